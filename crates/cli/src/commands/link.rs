//! `keepwell link`: propose, confirm, keep, approve, consent, show, list; reverse, work, refile, file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    author::NewRecord,
    link::{KeptLinks, LinkLine, Noted, PatientsWord, REFILED_BYTES_MAX, Refiled, WorkLine},
    matching::KeptBook,
    open::{Opening, RecordFacts, What as Wanted},
    verify::LogMark,
};
use keepwell_ledger::state::{Link as Entry, LinkStatus};
use keepwell_types::{
    access::{Purpose, RecordName},
    id::{ChartId, LinkId, LogPosition, MatchSubject, MemberId, OrganisationId},
    link::LinkReversal,
    member::Party,
    record::{RecordKind, Restriction},
    set::RestrictionSet,
    time::BlockTime,
};
use serde_json::{Value, json};

use crate::{
    commands::{compartment, matching::read_letter},
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Say with another organisation that two charts are of one person, or take it back
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell link propose --as ./desk --book links.book --chart CHART --with ORGANISATION --subject SUBJECT --to MEMBER --letter link.letter
  keepwell link confirm --as pilot/people/agent --book links.book --letter link.letter --tokens tokens.book --answer answer.letter
  keepwell link approve --as pilot/people/officer LINK
  keepwell link consent --as ./ana --chart CHART --to consent.word LINK
  keepwell link keep --as ./desk --book links.book --letter answer.letter
  keepwell link show --as ./desk LINK
  keepwell link list --as ./desk --book links.book
  keepwell link note --as pilot/people/agent --book links.book --position 7 LINK
  keepwell link reverse --as ./desk --book links.book --reason wrong_person LINK
  keepwell link work --as pilot/people/agent --book links.book LINK
  keepwell link refile --as pilot/people/agent --book links.book --position 7 --to MEMBER --out record.letter LINK
  keepwell link file --as ./desk --chart CHART --letter record.letter")]
pub(crate) struct Link {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Propose a link: the ledger gets a random id and a salted digest, and learns no chart
    Propose {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// One's own chart
        #[arg(long)]
        chart: ChartId,
        /// The other organisation
        #[arg(long)]
        with: OrganisationId,
        /// What the other organisation's sheet calls the person, as `match compare` shows it
        #[arg(long)]
        subject: Option<MatchSubject>,
        /// The member of the other organisation who is written to
        #[arg(long)]
        to: MemberId,
        /// Where the sealed letter to that member is written
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// How long it waits to be confirmed, in days
        #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=30))]
        days: u64,
    },
    /// Confirm one's own side, after reading the letter and checking it against the ledger
    Confirm {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// The letter
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// One's own chart of the person
        #[arg(long, conflicts_with = "tokens", required_unless_present = "tokens")]
        chart: Option<ChartId>,
        /// The book of tokens that says whose chart the letter's subject is
        #[arg(long, value_name = "FILE")]
        tokens: Option<PathBuf>,
        /// Where the sealed answer to the letter's writer is written
        #[arg(long, value_name = "FILE")]
        answer: PathBuf,
    },
    /// Keep the other side of a link that one proposed, from the answer to one's letter
    Keep {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// The answer
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
    },
    /// Find a link in order, as a privacy officer; or with what the patient signed
    Approve {
        #[command(flatten)]
        who: As,
        /// What the patient signed; without it a privacy officer approves
        #[arg(long, value_name = "FILE", requires = "book")]
        consent: Option<PathBuf>,
        /// The book of links, for a consent
        #[arg(long, value_name = "FILE")]
        book: Option<PathBuf>,
        /// The link
        link: LinkId,
    },
    /// Sign, as the patient, that one agrees to a link, or agrees no more
    Consent {
        #[command(flatten)]
        who: As,
        /// The patient's chart, at one of the two organisations
        #[arg(long)]
        chart: ChartId,
        /// Agree no more
        #[arg(long)]
        withdraw: bool,
        /// Where it is written, for the organisation that keeps it
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The link
        link: LinkId,
    },
    /// Show where a link stands and who has said what of it
    Show {
        #[command(flatten)]
        who: As,
        /// One's chart at one of the two organisations, for a wallet
        #[arg(long)]
        chart: Option<ChartId>,
        /// The link
        link: LinkId,
    },
    /// List the links of a book
    List {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
    },
    /// Note that a record was written under a link
    Note {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// Its position in the log of one's own chart, as `record list` shows it
        #[arg(long)]
        position: u64,
        /// The link
        link: LinkId,
    },
    /// Reverse a link for good, and list what was written meanwhile
    Reverse {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// Why: wrong_person, consent_withdrawn, error or not_needed
        #[arg(long)]
        reason: LinkReversal,
        /// What the patient signed to agree no more
        #[arg(long, value_name = "FILE")]
        withdrawal: Option<PathBuf>,
        /// The link
        link: LinkId,
    },
    /// List what was written in one's own chart while a link held
    Work {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// The link
        link: LinkId,
    },
    /// Send a record to whoever files it in the right chart, and restrict it in the wrong one
    Refile {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        book: Book,
        /// Its position in the log of one's own chart, as `link work` shows it
        #[arg(long)]
        position: u64,
        /// The member who files it
        #[arg(long)]
        to: MemberId,
        /// Where the sealed letter to that member is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The link
        link: LinkId,
    },
    /// File a record that was sent after a link was reversed, with a note of where it comes from
    File {
        #[command(flatten)]
        who: As,
        /// The letter
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// The right chart
        #[arg(long)]
        chart: ChartId,
        /// Which compartment: its name or number; without it the one that it had
        #[arg(long)]
        compartment: Option<String>,
    },
}

/// The book of links
#[derive(Args)]
struct Book {
    /// The sealed book of links of this member; made if it is not there
    #[arg(id = "book", long = "book", value_name = "FILE")]
    path: PathBuf,
}

impl Book {
    fn open(&self, session: &Session) -> Result<KeptLinks, Failure> {
        Ok(KeptLinks::open(&self.path, session.member()?)?)
    }
}

impl Link {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Propose { who, book, chart, with, subject, to, letter, days } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                let proposal = Proposal { chart, with, subject, to, days };
                block_on(propose(&session, kept, &proposal, &letter, output))
            }
            What::Confirm { who, book, letter, chart, tokens, answer } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                let own = chart.map_or_else(|| Own::Tokens(tokens.unwrap_or_default()), Own::Chart);
                block_on(confirm(&session, kept, &letter, own, &answer, output))
            }
            What::Keep { who, book, letter } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(keep(&session, kept, &letter, output))
            }
            What::Approve { who, consent, book, link } => {
                let session = who.session()?;
                block_on(approve(&session, consent.zip(book), link, output))
            }
            What::Consent { who, chart, withdraw, to, link } => {
                consent(&who.session()?, (chart, link), !withdraw, &to, output)
            }
            What::Show { who, chart, link } => block_on(show(&who.session()?, chart, link, output)),
            What::List { who, book } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(list(&session, &kept, output))
            }
            What::Note { who, book, position, link } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(note(&session, kept, link, LogPosition(position), output))
            }
            What::Reverse { who, book, reason, withdrawal, link } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(reverse(&session, kept, (link, reason), withdrawal.as_deref(), output))
            }
            What::Work { who, book, link } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(async {
                    let work = work(&session, kept.book.line(link)?).await?;
                    output.result(&work_in_words(&work), &work_as_json(&work));
                    Ok(())
                })
            }
            What::Refile { who, book, position, to, out, link } => {
                let session = who.session()?;
                let kept = book.open(&session)?;
                block_on(refile(&session, kept, (link, LogPosition(position)), (to, &out), output))
            }
            What::File { who, letter, chart, compartment } => {
                block_on(file(&who.session()?, &letter, chart, compartment.as_deref(), output))
            }
        }
    }
}

/// A wish for a link.
struct Proposal {
    chart: ChartId,
    with: OrganisationId,
    subject: Option<MatchSubject>,
    to: MemberId,
    days: u64,
}

/// How one's own chart is found.
enum Own {
    Chart(ChartId),
    Tokens(PathBuf),
}

async fn propose(
    session: &Session,
    mut kept: KeptLinks,
    proposal: &Proposal,
    letter: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    // Whoever cannot be written to can confirm nothing: this fails before anything stands on the ledger.
    client.member_key(&identity.actor(), proposal.to).await?;
    let now = client.tip().await?.header().time;
    // A minute less than the limit: the command is decided later than it is signed, and clocks differ.
    let until = now.plus_ms(proposal.days * DAY_MS - 60_000);
    let sides = (proposal.chart, proposal.with);
    let (link, decided) = client.propose_link(identity, &mut kept, sides, until).await?;
    let line = kept.book.line(link)?;
    let bytes = client.write_link(identity, line, proposal.subject, proposal.to).await?;
    fs::write(letter, bytes).map_err(Failure::at(letter))?;
    let height = decided.outcome().location.height;
    output.result(
        &format!(
            "link {link} is proposed in block {height} and waits until {until}. Hand {} to member {}; a privacy officer or the patient must agree as well",
            letter.display(),
            proposal.to
        ),
        &json!({ "link": link, "until": until, "letter": letter, "height": height }),
    );
    Ok(())
}

async fn confirm(
    session: &Session,
    mut kept: KeptLinks,
    letter: &Path,
    own: Own,
    answer: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let (writer, about, _) = client.read_link(identity, &read_letter(letter)?).await?;
    let chart = match own {
        Own::Chart(chart) => chart,
        Own::Tokens(path) => {
            let kept = KeptBook::open(&path, identity)?;
            let found = kept.book.as_ref().zip(about.subject);
            let found = found.and_then(|(book, subject)| book.chart_of(subject, writer.member));
            found.ok_or_else(|| {
                Failure::Misused(
                    "the book of tokens does not say whose chart the letter is about; name it with --chart".into(),
                )
            })?
        }
    };
    let from = writer.entry.organisation;
    let decided = client.confirm_link(identity, &mut kept, (&about, from), chart).await?;
    let line = kept.book.line(about.link)?;
    let bytes = client.write_link(identity, line, None, writer.member).await?;
    fs::write(answer, bytes).map_err(Failure::at(answer))?;
    let entry = client.link(&identity.actor(), about.link).await?;
    let height = decided.outcome().location.height;
    let status = status_in_words(&entry, decided.outcome().time);
    output.result(
        &format!(
            "your side of link {} is confirmed in block {height}: {status}. Hand {} to member {}",
            about.link,
            answer.display(),
            writer.member
        ),
        &json!({
            "link": about.link,
            "chart": chart,
            "answer": answer,
            "height": height,
            "status": entry.status(decided.outcome().time),
        }),
    );
    Ok(())
}

async fn keep(
    session: &Session,
    mut kept: KeptLinks,
    letter: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let (writer, about, entry) = client.read_link(identity, &read_letter(letter)?).await?;
    client.keep_answer(&mut kept, (&about, writer.entry.organisation))?;
    let now = client.tip().await?.header().time;
    output.result(
        &format!(
            "the other side of link {} is chart {}, as the ledger commits to it: {}",
            about.link,
            about.side.chart,
            status_in_words(&entry, now)
        ),
        &json!({ "link": about.link, "chart": about.side.chart, "status": entry.status(now) }),
    );
    Ok(())
}

async fn approve(
    session: &Session,
    consent: Option<(PathBuf, PathBuf)>,
    link: LinkId,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let decided = match consent {
        None => client.approve_link(&identity.actor(), link).await?,
        Some((consent, book)) => {
            let word = word(&consent)?;
            let mut kept = KeptLinks::open(&book, identity)?;
            client.confirm_link_by_patient(identity, &mut kept, (link, &word)).await?
        }
    };
    let entry = client.link(&identity.actor(), link).await?;
    let (height, time) = (decided.outcome().location.height, decided.outcome().time);
    output.result(
        &format!("link {link}, block {height}: {}", status_in_words(&entry, time)),
        &json!({ "link": link, "height": height, "status": entry.status(time) }),
    );
    Ok(())
}

fn word(path: &Path) -> Result<PatientsWord, Failure> {
    Ok(PatientsWord::decode(&fs::read(path).map_err(Failure::at(path))?)?)
}

fn consent(
    session: &Session,
    (chart, link): (ChartId, LinkId),
    agrees: bool,
    to: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let word = PatientsWord::sign(&holder, session.client.consortium().chain(), link, agrees);
    fs::write(to, word.encode()).map_err(Failure::at(to))?;
    let said = if agrees { "agree" } else { "agree no more" };
    output.result(
        &format!(
            "that you {said} to link {link} is signed in {}; hand it to the organisation, which keeps it",
            to.display()
        ),
        &json!({ "link": link, "agrees": agrees, "file": to }),
    );
    Ok(())
}

async fn show(
    session: &Session,
    chart: Option<ChartId>,
    link: LinkId,
    output: &Output,
) -> Result<(), Failure> {
    let actor = match chart {
        Some(chart) => session.actor(chart)?,
        None => session.member()?.actor(),
    };
    let entry = session.client.link(&actor, link).await?;
    let now = session.client.tip().await?.header().time;
    let mut lines = vec![format!("link {link}: {}", status_in_words(&entry, now))];
    for side in [Some(entry.proposed), entry.confirmed].into_iter().flatten() {
        let (member, organisation) = (side.member, side.organisation);
        lines.push(format!("{}  member {member} of organisation {organisation}", side.at));
    }
    if let Some(approval) = entry.approved {
        let by = if approval.consent.is_some() { "the patient, by" } else { "privacy officer" };
        lines.push(format!("{}  {by} member {}", approval.at, approval.member));
    }
    if let Some(reversed) = entry.reversed {
        let (member, organisation) = (reversed.member, reversed.organisation);
        lines.push(format!(
            "{}  reversed by member {member} of organisation {organisation}: {}",
            reversed.at, reversed.reason
        ));
    }
    let value = json!({ "link": link, "status": entry.status(now), "entry": entry });
    output.result(&lines.join("\n"), &value);
    Ok(())
}

fn status_in_words(entry: &Entry, now: BlockTime) -> String {
    match entry.status(now) {
        LinkStatus::Confirmed => {
            entry.since.map_or_else(|| "it holds".into(), |since| format!("it holds since {since}"))
        }
        LinkStatus::Lapsed => format!("it was not confirmed before {}", entry.until),
        LinkStatus::Reversed => "it was reversed".into(),
        LinkStatus::Proposed => {
            let side = entry.confirmed.is_none().then_some("the other organisation");
            let third = entry.approved.is_none().then_some("a privacy officer or the patient");
            let waits: Vec<_> = [side, third].into_iter().flatten().collect();
            format!("it waits until {} for {}", entry.until, waits.join(" and "))
        }
    }
}

async fn list(session: &Session, kept: &KeptLinks, output: &Output) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let now = session.client.tip().await?.header().time;
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for line in &kept.book.lines {
        let entry = session.client.link(&actor, line.link).await;
        // A link whose proposal was refused or never sent is in the book, and not on the ledger.
        let (said, status) = match &entry {
            Ok(entry) => (status_in_words(entry, now), json!(entry.status(now))),
            Err(error) => (error.to_string(), Value::Null),
        };
        lines.push(format!("{}  chart {}  with {}  {said}", line.link, line.own.chart, line.with));
        rows.push(json!({
            "link": line.link,
            "chart": line.own.chart,
            "with": line.with,
            "their_chart": line.theirs.map(|it| it.chart),
            "status": status,
        }));
    }
    if lines.is_empty() {
        lines.push("No links yet.".into());
    }
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

async fn note(
    session: &Session,
    mut kept: KeptLinks,
    link: LinkId,
    position: LogPosition,
    output: &Output,
) -> Result<(), Failure> {
    let chart = kept.book.line(link)?.own.chart;
    let facts = facts(session, chart, position).await?;
    kept.book.note(link, Noted { record: facts.name, refiled_to: None })?;
    kept.save()?;
    output.result(
        &format!("the record at position {position} is noted under link {link}"),
        &json!({ "link": link, "record": facts.name }),
    );
    Ok(())
}

async fn facts(
    session: &Session,
    chart: ChartId,
    position: LogPosition,
) -> Result<RecordFacts, Failure> {
    let actor = session.actor(chart)?;
    let records = session.client.records(&actor, chart, LogMark::START).await?;
    let found = records.into_iter().find(|it| it.name.position == position);
    found.ok_or_else(|| {
        Failure::Misused(format!(
            "no record stands at position {position}; see `keepwell record list`"
        ))
    })
}

async fn reverse(
    session: &Session,
    mut kept: KeptLinks,
    (link, reason): (LinkId, LinkReversal),
    withdrawal: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let withdrawal = withdrawal.map(word).transpose()?;
    let what = (link, reason);
    let decided = client.reverse_link(identity, &mut kept, what, withdrawal.as_ref()).await?;
    // Whoever reverses need not be who keeps the book or may read the chart. The link is reversed either way.
    let work = match kept.book.line(link).map_err(Failure::from) {
        Ok(line) => work(session, line).await,
        Err(error) => Err(error),
    };
    let work = work.unwrap_or_else(|error| {
        output.warn(&format!("the work list cannot be made here: {error}"));
        Vec::new()
    });
    let height = decided.outcome().location.height;
    output.result(
        &format!("link {link} is reversed in block {height}, for good.\n{}", work_in_words(&work)),
        &json!({ "link": link, "height": height, "work": work_as_json(&work) }),
    );
    Ok(())
}

async fn work(session: &Session, line: &LinkLine) -> Result<Vec<WorkLine>, Failure> {
    let actor = session.member()?.actor();
    Ok(session.client.work_list(&actor, line).await?)
}

fn work_in_words(work: &[WorkLine]) -> String {
    if work.is_empty() {
        return "Nothing was written in the chart while the link held.".into();
    }
    let line = |it: &WorkLine| {
        let why = match (it.refiled_to, it.by_counterpart, it.noted) {
            (Some(_), ..) => "sent to be filed anew",
            (None, true, _) => "written by the other organisation",
            (None, false, true) => "noted under the link",
            (None, false, false) => "written meanwhile",
        };
        let facts = &it.facts;
        let (position, time, kind) = (facts.name.position, facts.time, facts.kind.as_str());
        format!("{position:>6}  {time}  {kind:<13} {why}")
    };
    let mut lines: Vec<_> = work.iter().map(line).collect();
    lines.push(
        "Look at each; what belongs elsewhere goes there with `keepwell link refile`.".into(),
    );
    lines.join("\n")
}

fn work_as_json(work: &[WorkLine]) -> Value {
    let row = |it: &WorkLine| {
        json!({
            "position": it.facts.name.position,
            "record": it.facts.name.record,
            "kind": it.facts.kind,
            "time": it.facts.time,
            "by_counterpart": it.by_counterpart,
            "noted": it.noted,
            "refiled_to": it.refiled_to,
        })
    };
    work.iter().map(row).collect()
}

async fn refile(
    session: &Session,
    mut kept: KeptLinks,
    (link, position): (LinkId, LogPosition),
    (to, out): (MemberId, &Path),
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let chart = kept.book.line(link)?.own.chart;
    let facts = facts(session, chart, position).await?;
    let content = content(session, chart, &facts).await?;
    let name = session.meanings(chart).and_then(|it| it.name(facts.compartment));
    let refiled = Refiled::of(link, &facts, name, content)?;
    let letter = client.write_refiled(identity, &refiled, to).await?;
    fs::write(out, letter).map_err(Failure::at(out))?;
    let controller = session.holder(chart)?.actor();
    let restriction: RestrictionSet = [Restriction::Processing].into_iter().collect();
    client.restrict_record(&controller, chart, facts.name, restriction).await?;
    kept.book.note(link, Noted { record: facts.name, refiled_to: Some(to) })?;
    kept.save()?;
    output.result(
        &format!(
            "the record at position {position} is in {}, for member {to} alone, and nobody processes it here any more. Redact it once it is filed: `keepwell record redact --ground error`",
            out.display()
        ),
        &json!({ "link": link, "position": position, "letter": out, "to": to }),
    );
    Ok(())
}

/// The content of a record, by an access that stands in the chart's log.
async fn content(
    session: &Session,
    chart: ChartId,
    facts: &RecordFacts,
) -> Result<Vec<u8>, Failure> {
    if facts.sealed_bytes > REFILED_BYTES_MAX as u64 {
        return Err(Failure::Misused(format!(
            "the record has {} bytes sealed and a letter carries {REFILED_BYTES_MAX} at most; get it with `keepwell record get`, and add it to the right chart by hand",
            facts.sealed_bytes
        )));
    }
    let actor = session.holder(chart)?.actor();
    let seeds = session.own_seeds(chart, [facts.compartment].into_iter().collect()).await?;
    let what = Wanted::Records(vec![facts.name]);
    let purpose = Purpose::Operations;
    let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
    let opened = session.client.open(&opening).await?;
    let record = match (opened.records.first(), opened.withheld.into_iter().next()) {
        (Some(record), _) => record,
        (None, Some(withheld)) => return Err(withheld.error.into()),
        (None, None) => return Err(Failure::Misused("the access covers no such record".into())),
    };
    let mut content = Vec::new();
    session.client.read(&actor, record, &mut content).await?;
    Ok(content)
}

async fn file(
    session: &Session,
    letter: &Path,
    chart: ChartId,
    word: Option<&str>,
    output: &Output,
) -> Result<(), Failure> {
    let (identity, client) = (session.member()?, &session.client);
    let (writer, refiled) = client.read_refiled(identity, &read_letter(letter)?).await?;
    let named = refiled.compartment.as_ref().map(|it| it.as_str());
    let compartment = compartment(session, chart, word.or(named).unwrap_or("normal"))?;
    let actor = session.actor(chart)?;
    let authoring = client.authoring(&actor, chart).await?;
    let content: &[u8] = &refiled.content;
    let new = NewRecord::new(compartment, refiled.kind);
    let added =
        client.add_record(&actor, &authoring, &new, (content, content.len() as u64)).await?;
    let position = client.position(&actor, chart, &added.decided).await?;
    let name = RecordName { position, record: added.record };
    let provenance = refiled.provenance(&name);
    let note = NewRecord::new(compartment, RecordKind::Document);
    let bytes = provenance.as_bytes();
    let noted = client.add_record(&actor, &authoring, &note, (bytes, bytes.len() as u64)).await?;
    for fault in added.faults.iter().chain(&noted.faults) {
        output.warn(&fault.to_string());
    }
    let author = refiled.author.map(Party::Member);
    output.result(
        &format!(
            "the record is at position {position} of the chart, with a note of where it comes from. Tell member {} that the wrong one can be redacted",
            writer.member
        ),
        &json!({
            "position": position,
            "record": added.record,
            "provenance": noted.record,
            "author": author,
            "written": refiled.written,
            "from": writer.member,
        }),
    );
    Ok(())
}
