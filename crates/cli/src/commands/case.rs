//! `keepwell case`: open, list, inbox, show; accept, deny, extend; disagree, rebut; acknowledge.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::{
    case::{Attachment, EarlierRecipient, ListedCase, Voice},
    client::Decided,
    open::Opened,
    verify::LogMark,
};
use keepwell_ledger::state;
use keepwell_types::{
    case::{CaseDecision, CaseKind, DenialGround},
    id::{CaseId, ChartId, LogPosition, MemberId},
    limits::CASE_TEXT_BYTES_MAX,
    time::BlockTime,
};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

/// Ask for access, an amendment, an accounting, erasure or restriction by right; answer; say what is said after it
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell case open --as ./ana --chart CHART --kind amendment --position 4 --to OFFICER --text 'The allergy is not mine.'
  keepwell case list --as ./ana CHART
  keepwell case inbox --as pilot/people/agent
  keepwell case show --as pilot/people/officer --chart CHART CASE
  keepwell case accept --as pilot/people/officer --chart CHART CASE
  keepwell case deny --as pilot/people/officer --chart CHART CASE --ground accurate_and_complete --text 'The test was repeated.'
  keepwell case extend --as pilot/people/officer --chart CHART CASE --text 'We wait for the laboratory.'
  keepwell case disagree --as ./ana --chart CHART CASE --text 'The test was not mine.'
  keepwell case rebut --as pilot/people/officer --chart CHART CASE --text-file answer.txt
  keepwell case acknowledge --as pilot/people/clinician --chart CHART CASE")]
pub(crate) struct Case {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Ask for something by right: the clock of the answer begins
    Open {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// access, amendment, accounting, erasure or restriction
        #[arg(long)]
        kind: CaseKind,
        /// The record that it is about, by its position; an amendment is about one
        #[arg(long)]
        position: Option<u64>,
        /// Who can read the request: privacy officers of the chart's organisation
        #[arg(long, value_name = "MEMBER", required = true)]
        to: Vec<MemberId>,
        #[command(flatten)]
        words: Words,
    },
    /// List the cases of a chart, late ones marked
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// List what is to be done in all charts of a profile: answers due and late, and recipients to be told
    Inbox {
        #[command(flatten)]
        who: As,
    },
    /// Show a case: its clock, its words and whom it concerns
    Show {
        #[command(flatten)]
        which: Which,
        /// For who is elsewhere: an access of your organisation
        #[arg(long, requires = "position")]
        access: Option<u64>,
        /// For who is elsewhere: a record that this access asked for
        #[arg(long, requires = "access")]
        position: Option<u64>,
    },
    /// Do what was asked for
    Accept {
        #[command(flatten)]
        which: Which,
    },
    /// Do not do what was asked for, on a ground that the law has for it
    Deny {
        #[command(flatten)]
        which: Which,
        /// Why: `keepwell case deny` names the grounds of each kind when one does not fit
        #[arg(long)]
        ground: DenialGround,
        #[command(flatten)]
        words: Words,
    },
    /// Take 30 days more, once
    Extend {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        words: Words,
    },
    /// Disagree with a denial: all words of the case go with the record from then on
    Disagree {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        words: Words,
    },
    /// Answer a disagreement
    Rebut {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        words: Words,
    },
    /// Say that your organisation, which has opened the record, was told
    Acknowledge {
        #[command(flatten)]
        which: Which,
    },
}

/// Which case
#[derive(Args)]
struct Which {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// The case, as `case list` shows it
    case: CaseId,
}

/// What is said, sealed to those whom it concerns
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Words {
    /// The words
    #[arg(long)]
    text: Option<String>,
    /// A file with the words
    #[arg(long, value_name = "FILE")]
    text_file: Option<PathBuf>,
}

impl Words {
    fn read(self) -> Result<String, Failure> {
        match (self.text, self.text_file) {
            (Some(text), _) => Ok(text),
            (None, Some(path)) => read_text(&path),
            (None, None) => Ok(String::new()),
        }
    }
}

/// A file that is far too long is not read.
fn read_text(path: &Path) -> Result<String, Failure> {
    let about = std::fs::metadata(path).map_err(Failure::at(path))?;
    if about.len() > CASE_TEXT_BYTES_MAX as u64 {
        return Err(Failure::Misused(format!(
            "{} has {} bytes, and one text has {CASE_TEXT_BYTES_MAX} at most; shorten it, or add a record and refer to it",
            path.display(),
            about.len()
        )));
    }
    std::fs::read_to_string(path).map_err(Failure::at(path))
}

impl Case {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Open { who, chart, kind, position, to, words } => {
                let (session, text) = (who.session()?, words.read()?);
                let asked = (kind, position.map(LogPosition));
                block_on(open(&session, chart, asked, (&to, &text), output))
            }
            What::List { who, chart } => {
                let session = who.session()?;
                block_on(list(&session, &[chart], false, output))
            }
            What::Inbox { who } => {
                let session = who.session()?;
                let charts = charts(&session.identity)?;
                block_on(list(&session, &charts, true, output))
            }
            What::Show { which, access, position } => {
                let session = which.who.session()?;
                let through = access.map(LogPosition).zip(position.map(LogPosition));
                block_on(async {
                    match through {
                        None => show(&session, which.chart, which.case, output).await,
                        Some(_) => glance(&session, &which, through, output).await,
                    }
                })
            }
            What::Accept { which } => which.accept(output),
            What::Deny { which, ground, words } => which.deny(ground, words, output),
            What::Extend { which, words } => which.extend(words, output),
            What::Disagree { which, words } => which.disagree(words, output),
            What::Rebut { which, words } => which.rebut(words, output),
            What::Acknowledge { which } => which.acknowledge(output),
        }
    }
}

impl Which {
    fn accept(self, output: &Output) -> Result<(), Failure> {
        let (session, chart, case) = (self.who.session()?, self.chart, self.case);
        let (kind, decided) = block_on(async {
            let officer = session.member()?;
            let decided = session.client.accept_case(officer, chart, case).await?;
            let entry = session.client.case(&officer.actor(), chart, case, None).await?;
            Ok((entry.kind, decided))
        })?;
        let next = match kind {
            CaseKind::Access => "hand out the copy (keepwell open, keepwell record get)",
            CaseKind::Amendment => {
                "add the amended version (keepwell record add --amends), and tell earlier recipients (keepwell case show)"
            }
            CaseKind::Accounting => "hand out the accounting (keepwell audit)",
            CaseKind::Erasure => {
                "approve the redaction (keepwell record redact), and tell earlier recipients (keepwell case show)"
            }
            CaseKind::Restriction => {
                "restrict the record (keepwell record restrict), and tell earlier recipients (keepwell case show)"
            }
        };
        said(output, case, &format!("accepted; next: {next}"), &decided);
        Ok(())
    }

    fn deny(self, ground: DenialGround, words: Words, output: &Output) -> Result<(), Failure> {
        let (session, text) = (self.who.session()?, words.read()?);
        let at = (self.chart, self.case);
        let decided = block_on(async {
            Ok(session.client.deny_case(session.member()?, at, ground, &text).await?)
        })?;
        let review = if ground.is_reviewable() {
            "the patient has a right to have it reviewed by another professional"
        } else {
            "the patient may disagree (keepwell case disagree)"
        };
        said(output, self.case, &format!("denied as {}; {review}", ground.as_str()), &decided);
        Ok(())
    }

    fn extend(self, words: Words, output: &Output) -> Result<(), Failure> {
        let (session, text) = (self.who.session()?, words.read()?);
        let at = (self.chart, self.case);
        let decided = block_on(async {
            Ok(session.client.extend_case(session.member()?, at, &text).await?)
        })?;
        said(output, self.case, "extended by 30 days; it cannot be extended again", &decided);
        Ok(())
    }

    fn disagree(self, words: Words, output: &Output) -> Result<(), Failure> {
        let (session, text) = (self.who.session()?, words.read()?);
        let decided = block_on(async {
            let holder = session.holder(self.chart)?;
            Ok(session.client.disagree(&holder, self.case, &text).await?)
        })?;
        let attached =
            "your disagreement, and all that was said before, goes with the record from now on";
        said(output, self.case, attached, &decided);
        Ok(())
    }

    fn rebut(self, words: Words, output: &Output) -> Result<(), Failure> {
        let (session, text) = (self.who.session()?, words.read()?);
        let at = (self.chart, self.case);
        let decided =
            block_on(async { Ok(session.client.rebut_case(session.member()?, at, &text).await?) })?;
        said(
            output,
            self.case,
            "the rebuttal goes with the record, beside the disagreement",
            &decided,
        );
        Ok(())
    }

    fn acknowledge(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let decided = block_on(async {
            let member = session.member()?;
            Ok(session.client.acknowledge_case(member, self.chart, self.case).await?)
        })?;
        said(output, self.case, "your organisation was told, and says so", &decided);
        Ok(())
    }
}

fn said(output: &Output, case: CaseId, what: &str, decided: &Decided) {
    let height = decided.outcome().location.height;
    output.result(
        &format!("case {case}, block {height}: {what}"),
        &json!({ "case": case, "height": height }),
    );
}

async fn open(
    session: &Session,
    chart: ChartId,
    (kind, position): (CaseKind, Option<LogPosition>),
    (to, text): (&[MemberId], &str),
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let record = match position {
        None => None,
        Some(position) => {
            let facts = super::record::facts(session, chart, position).await?;
            Some(facts.name)
        }
    };
    let client = &session.client;
    let (case, decided) = client.open_case(&holder, (kind, record), text, to).await?;
    let due = client.case(&holder.actor(), chart, case, None).await?.due;
    let height = decided.outcome().location.height;
    output.result(
        &format!("case {case} is open from block {height} on; the answer is due before {due}"),
        &json!({ "case": case, "height": height, "due": due }),
    );
    Ok(())
}

/// The charts of a profile: what an organisation's agent opened, or what a wallet has.
fn charts(identity: &Identity) -> Result<Vec<ChartId>, Failure> {
    match identity {
        Identity::Wallet(wallet) => Ok(wallet.charts().iter().map(|it| it.chart()).collect()),
        Identity::Agent(agent) => Ok(agent.charts().map(|it| it.chart()).collect()),
        Identity::Member(_) => Err(Failure::Misused(
            "a member's profile knows no charts: act as the organisation's key agent, or list one chart with `keepwell case list`".into(),
        )),
    }
}

/// Lists cases: all of them, or those in which something is to be done.
async fn list(
    session: &Session,
    charts: &[ChartId],
    only_open: bool,
    output: &Output,
) -> Result<(), Failure> {
    let now = session.client.tip().await?.header().time;
    let (mut lines, mut rows, mut late) = (Vec::new(), Vec::new(), 0);
    for &chart in charts {
        let actor = session.actor(chart)?;
        for listed in session.client.cases(&actor, chart, LogMark::START).await? {
            let untold = untold(session, chart, &listed).await?;
            if only_open && listed.entry.decided.is_some() && untold.is_empty() {
                continue;
            }
            late += usize::from(listed.entry.is_late(now));
            lines.push(line(chart, &listed, untold.len(), now));
            rows.push(row(chart, &listed, &untold, now));
        }
    }
    if late > 0 {
        output.warn(&format!("{late} cases are late: an answer was due, and is not there"));
    }
    lines.push(format!("{} cases", rows.len()));
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

/// Earlier recipients who have to be told of what was accepted, and have not said that they were.
async fn untold(
    session: &Session,
    chart: ChartId,
    listed: &ListedCase,
) -> Result<Vec<EarlierRecipient>, Failure> {
    if !is_told_of(&listed.entry) {
        return Ok(Vec::new());
    }
    let actor = session.actor(chart)?;
    let recipients = session.client.earlier_recipients(&actor, chart, &listed.entry).await?;
    Ok(recipients.into_iter().filter(|it| !it.told).collect())
}

/// Whether earlier recipients are told: of what is amended, erased or restricted (45 CFR 164.526(c)(3), GDPR
/// article 19).
fn is_told_of(entry: &state::Case) -> bool {
    let changes = match entry.kind {
        CaseKind::Amendment | CaseKind::Erasure | CaseKind::Restriction => true,
        CaseKind::Access | CaseKind::Accounting => false,
    };
    changes && entry.decided.is_some_and(|decided| decided.decision == CaseDecision::Accept)
}

/// How a case stands, in words.
fn standing(entry: &state::Case, now: BlockTime) -> String {
    let answer = match entry.decided {
        None if entry.is_late(now) => format!("LATE: was due before {}", entry.due),
        None => format!("due before {}", entry.due),
        Some(decided) => {
            let late = if entry.due <= decided.at { ", late" } else { "" };
            match decided.decision {
                CaseDecision::Accept => format!("accepted {}{late}", decided.at),
                CaseDecision::Deny { ground, .. } => {
                    format!("denied as {} {}{late}", ground.as_str(), decided.at)
                }
            }
        }
    };
    let extended = if entry.extended { ", extended" } else { "" };
    format!("{answer}{extended}")
}

fn line(chart: ChartId, listed: &ListedCase, untold: usize, now: BlockTime) -> String {
    let about = listed
        .record
        .map_or_else(|| "the chart".to_owned(), |name| format!("position {}", name.position));
    let untold = if untold == 0 { String::new() } else { format!("; {untold} to be told") };
    format!(
        "{}  {:<11} {about:<13} {}{untold}\n    chart {chart}",
        listed.case,
        listed.entry.kind.as_str(),
        standing(&listed.entry, now)
    )
}

fn row(chart: ChartId, listed: &ListedCase, untold: &[EarlierRecipient], now: BlockTime) -> Value {
    let untold: Vec<_> = untold.iter().map(|it| it.organisation).collect();
    json!({
        "chart": chart,
        "case": listed.case,
        "record": listed.record,
        "entry": listed.entry,
        "late": listed.entry.is_late(now),
        "to_be_told": untold,
    })
}

async fn show(
    session: &Session,
    chart: ChartId,
    case: CaseId,
    output: &Output,
) -> Result<(), Failure> {
    let (client, actor) = (&session.client, session.actor(chart)?);
    let now = client.tip().await?.header().time;
    let cases = client.cases(&actor, chart, LogMark::START).await?;
    let listed = cases.iter().find(|it| it.case == case).ok_or_else(|| {
        Failure::Misused(format!("case {case} is not in this chart; see `keepwell case list`"))
    })?;
    let mut lines = vec![line(chart, listed, 0, now)];
    let words = words(session, chart, listed).await;
    let texts: Vec<Value> = match &words {
        Ok(words) => {
            for (said, text) in words {
                lines.push(format!(
                    "{}  {}:\n    {}",
                    said.at,
                    said.speech.as_str(),
                    text.as_str()
                ));
            }
            words.iter().map(|(said, text)| spoken(said, text)).collect()
        }
        Err(failure) => {
            output.warn(&failure.to_string());
            Vec::new()
        }
    };
    let recipients = client.earlier_recipients(&actor, chart, &listed.entry).await?;
    for recipient in &recipients {
        let told = match (recipient.told, is_told_of(&listed.entry)) {
            (true, _) => "was told",
            (false, true) => "TO BE TOLD",
            (false, false) => "",
        };
        lines.push(format!("opened by {} until {}  {told}", recipient.name, recipient.last));
    }
    let recipients: Vec<_> = recipients
        .iter()
        .map(|it| json!({ "organisation": it.organisation, "name": it.name, "last": it.last, "told": it.told }))
        .collect();
    let mut value = row(chart, listed, &[], now);
    value["words"] = json!(texts);
    value["recipients"] = json!(recipients);
    output.result(&lines.join("\n"), &value);
    Ok(())
}

fn spoken(said: &keepwell_client::case::Said, text: &str) -> Value {
    json!({ "speech": said.speech.as_str(), "by": said.by, "at": said.at, "text": text })
}

/// The words of a case, as whoever asks can open them: as the controller where the chart's keys are here.
async fn words(
    session: &Session,
    chart: ChartId,
    listed: &ListedCase,
) -> Result<Vec<(keepwell_client::case::Said, zeroize::Zeroizing<String>)>, Failure> {
    if let Identity::Wallet(wallet) = &session.identity {
        let holder = wallet.holder(chart)?;
        return Ok(session.client.words_of(Voice::Controller(&holder), chart, listed).await?);
    }
    let voice = Voice::Member(session.member()?);
    Ok(session.client.words_of(voice, chart, listed).await?)
}

/// What someone from elsewhere learns of a case: how it stands.
async fn glance(
    session: &Session,
    which: &Which,
    through: Option<(LogPosition, LogPosition)>,
    output: &Output,
) -> Result<(), Failure> {
    let (actor, now) = (session.actor(which.chart)?, session.client.tip().await?.header().time);
    let entry = session.client.case(&actor, which.chart, which.case, through).await?;
    let told = session.member().is_ok_and(|it| entry.told.contains(&it.organisation()));
    let told = if told { "; your organisation said that it was told" } else { "" };
    output.result(
        &format!("{}  {}{told}", entry.kind.as_str(), standing(&entry, now)),
        &json!({ "case": which.case, "entry": entry }),
    );
    Ok(())
}

/// What goes with records that were opened, in lines for people and rows for programs.
pub(crate) async fn attached(
    session: &Session,
    opened: &Opened,
    output: &Output,
) -> Result<(Vec<String>, Vec<Value>), Failure> {
    let Some(first) = opened.records.first() else { return Ok((Vec::new(), Vec::new())) };
    let (client, actor) = (&session.client, session.actor(first.chart())?);
    let now = client.tip().await?.header().time;
    let attachments = client.attachments(&actor, opened).await?;
    for name in &attachments.unknown {
        output.warn(&format!(
            "whether there are cases about the record at position {} is not known: open its earlier versions with it",
            name.position
        ));
    }
    let lines = attachments.cases.iter().map(|it| attached_line(it, now)).collect();
    let rows = attachments.cases.iter().map(attached_row).collect();
    Ok((lines, rows))
}

fn attached_line(attachment: &Attachment, now: BlockTime) -> String {
    let entry = &attachment.entry;
    let mut text = format!(
        "attached to record {}: {} {}, case {}",
        attachment.record,
        entry.kind.as_str(),
        standing(entry, now),
        attachment.case
    );
    for said in &attachment.texts {
        text.push_str("\n    ");
        text.push_str(said);
    }
    text
}

fn attached_row(attachment: &Attachment) -> Value {
    let texts: Vec<&str> = attachment.texts.iter().map(|it| it.as_str()).collect();
    json!({
        "record": attachment.record,
        "case": attachment.case,
        "entry": attachment.entry,
        "texts": texts,
    })
}

#[cfg(test)]
mod tests {
    use keepwell_ledger::state::Decided;
    use keepwell_types::{encoding::List, id::Digest};

    use super::*;

    fn entry(due: u64, decided: Option<(CaseDecision, u64)>) -> state::Case {
        state::Case {
            kind: CaseKind::Amendment,
            record: None,
            opened_at: BlockTime(0),
            due: BlockTime(due),
            extended: false,
            decided: decided.map(|(decision, at)| Decided { decision, at: BlockTime(at) }),
            statements: List::new(),
            told: List::new(),
            asked: None,
            put_off: None,
        }
    }

    #[test]
    fn p5_g1_a_case_is_late_from_the_very_instant_on() {
        let late = |now| standing(&entry(1_000, None), BlockTime(now)).starts_with("LATE");
        assert_eq!([late(999), late(1_000), late(1_001)], [false, true, true]);
        let answered = |at| {
            let entry = entry(1_000, Some((CaseDecision::Accept, at)));
            standing(&entry, BlockTime(9_999)).ends_with(", late")
        };
        assert_eq!([answered(999), answered(1_000)], [false, true]);
    }

    #[test]
    fn g6_recipients_are_told_of_what_changed() {
        let ground = DenialGround::AccurateAndComplete;
        let deny = CaseDecision::Deny { ground, statement: Digest([0; 32]) };
        assert!(is_told_of(&entry(1, Some((CaseDecision::Accept, 0)))));
        assert!(!is_told_of(&entry(1, Some((deny, 0)))));
        assert!(!is_told_of(&entry(1, None)));
        let mut access = entry(1, Some((CaseDecision::Accept, 0)));
        access.kind = CaseKind::Access;
        assert!(!is_told_of(&access));
    }
}
