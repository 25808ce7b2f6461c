//! `keepwell record`: add, amend, list, get; sign-off ([`signoff`]); restrict, lift; redact, keep; certificate.

pub(crate) mod signoff;

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use keepwell_client::{
    ClientError,
    author::NewRecord,
    open::{Opening, RecordFacts, What as Wanted},
    verify::LogMark,
};
use keepwell_types::{
    access::{Purpose, RecordName},
    id::{ChartId, LogPosition, RecordId, Version},
    member::Party,
    record::{Amended, RecordKind, RedactionGround, Restriction},
    set::RestrictionSet,
    signoff::{ApprovalRule, Meaning},
};
use serde_json::json;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{
    commands::{case::attached, compartment},
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// Add a file to a chart, amend, list or get records, sign, restrict or redact one
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell record add --as pilot/people/agent --chart CHART --compartment normal --kind imaging ct.dcm
  keepwell record add --as ./resident --chart CHART --rule 'authorship: author; responsibility: clinician@chart' note.pdf
  keepwell record approve --as ./attending --chart CHART --position 4 --meaning responsibility
  keepwell record retract --as ./attending --chart CHART --position 4
  keepwell record withdraw --as ./resident --chart CHART --position 4
  keepwell record signatures --as ./ana --chart CHART --position 4 --to note.signatures
  keepwell record list --as ./ana CHART
  keepwell record get --as ./ana --chart CHART --position 4 --to ct.dcm
  keepwell record restrict --as ./ana --chart CHART --position 4 self_pay
  keepwell record lift --as ./ana --chart CHART --position 4 self_pay
  keepwell record redact --as ./ana --chart CHART --position 4 --ground patient_wish
  keepwell record keep --as ./ana --chart CHART --position 4
  keepwell record certificate --as ./ana --chart CHART --position 4 --to erased.certificate")]
pub(crate) struct Record {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Seal a file of any kind and size (to 10 GiB) and add it as a record
    Add {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Which compartment: its name or number
        #[arg(long, default_value = "normal")]
        compartment: String,
        /// Its coarse kind, which the ledger sees
        #[arg(long, default_value = "document")]
        kind: RecordKind,
        /// The record that it is a new version of: the position of its newest one
        #[arg(long, value_name = "POSITION")]
        amends: Option<u64>,
        /// Whose signatures make it final, such as 'authorship: author; responsibility: clinician@chart'
        ///
        /// Steps follow one another, each with the meaning of its signatures; any(..), all(..) and 2 of (..) combine
        /// patient, author, member:ID, ROLE@PLACE and CREDENTIAL@PLACE, where PLACE is author, chart or an
        /// organisation. It asks for no less than the consortium does: see docs/signoff.md.
        #[arg(long)]
        rule: Option<ApprovalRule>,
        /// Where its receipt is written
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
        /// The file
        file: PathBuf,
    },
    /// Sign a record that waits for signatures; read it first, with `keepwell record get`
    Approve {
        #[command(flatten)]
        which: Which,
        /// What the signature says, as the record's rule asks for it
        #[arg(long)]
        meaning: Meaning,
        /// The number of the rule's seat, from 0; the first that fits unless given
        #[arg(long)]
        seat: Option<u8>,
    },
    /// Take a signature back, while nothing rests on it
    Retract {
        #[command(flatten)]
        which: Which,
    },
    /// Propose a record no longer, while it is not final: for its author
    Withdraw {
        #[command(flatten)]
        which: Which,
    },
    /// Show who signed a record, when, and what each signature means
    Signatures {
        #[command(flatten)]
        which: Which,
        /// Where a copy is written that proves them, for `keepwell verify --signatures`
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// List the records of a chart, as far as the ledger knows them
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// Open one record and write its content to a file: an access that the patient sees
    Get {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Its position in the chart's log, as `record list` shows it
        #[arg(long)]
        position: u64,
        /// What for
        #[arg(long, default_value = "PATRQT")]
        purpose: Purpose,
        /// Where its content is written
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Keep a record, in all its versions, from being read or from being redacted
    Restrict {
        #[command(flatten)]
        which: Which,
        /// What is restricted: self_pay, processing or legal_hold
        #[arg(required = true)]
        restrictions: Vec<Restriction>,
    },
    /// Lift restrictions of a record
    Lift {
        #[command(flatten)]
        which: Which,
        /// What is restricted no more
        #[arg(required = true)]
        restrictions: Vec<Restriction>,
    },
    /// Approve that a record is redacted: nobody reads it any more once every party has approved
    Redact {
        #[command(flatten)]
        which: Which,
        /// Why; all parties say the same
        #[arg(long)]
        ground: RedactionGround,
    },
    /// Take an approval of a redaction back, while it does not bind yet
    Keep {
        #[command(flatten)]
        which: Which,
    },
    /// Write what has become of a redacted record to a file, for `keepwell verify --erasure`
    Certificate {
        #[command(flatten)]
        which: Which,
        /// Where it is written
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

/// Which record
#[derive(Args)]
struct Which {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// Its position in the chart's log, as `record list` shows it; any version will do
    #[arg(long)]
    position: u64,
}

impl Record {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Add { who, chart, compartment: word, kind, amends, rule, receipt, file } => {
                let session = who.session()?;
                let compartment = compartment(&session, chart, &word)?;
                let mut new = NewRecord { approval: rule, ..NewRecord::new(compartment, kind) };
                block_on(async {
                    if let Some(position) = amends {
                        let facts = facts(&session, chart, LogPosition(position)).await?;
                        let version = Version(facts.version.0.saturating_add(1));
                        new.amends = Some(Amended { record: facts.name, version });
                    }
                    add(&session, chart, &new, &file, receipt.as_deref(), output).await
                })
            }
            What::List { who, chart } => {
                let session = who.session()?;
                block_on(list(&session, chart, output))
            }
            What::Get { who, chart, position, purpose, to } => {
                let session = who.session()?;
                block_on(get(&session, chart, LogPosition(position), purpose, &to, output))
            }
            What::Approve { which, meaning, seat } => which.approve(meaning, seat, output),
            What::Retract { which } => which.retract(output),
            What::Withdraw { which } => which.withdraw(output),
            What::Signatures { which, to } => which.signatures(to.as_deref(), output),
            What::Restrict { which, restrictions } => which.restrict(restrictions, true, output),
            What::Lift { which, restrictions } => which.restrict(restrictions, false, output),
            What::Redact { which, ground } => which.redact(ground, output),
            What::Keep { which } => which.keep(output),
            What::Certificate { which, to } => which.certificate(&to, output),
        }
    }
}

impl Which {
    fn restrict(
        self,
        restrictions: Vec<Restriction>,
        on: bool,
        output: &Output,
    ) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let restrictions: RestrictionSet = restrictions.into_iter().collect();
        let decided = block_on(async {
            let actor = session.actor(chart)?;
            let name = facts(&session, chart, LogPosition(self.position)).await?.name;
            let client = &session.client;
            Ok(if on {
                client.restrict_record(&actor, chart, name, restrictions).await?
            } else {
                client.lift_restrictions(&actor, chart, name, restrictions).await?
            })
        })?;
        let height = decided.outcome().location.height;
        let said = if on { "restricted" } else { "not restricted any more" };
        output.result(
            &format!("the record at position {} is {said}, from block {height} on", self.position),
            &json!({ "position": self.position, "restrictions": restrictions, "on": on, "height": height }),
        );
        Ok(())
    }

    fn redact(self, ground: RedactionGround, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let state = block_on(async {
            let actor = session.actor(chart)?;
            let facts = facts(&session, chart, LogPosition(self.position)).await?;
            session.client.redact_record(&actor, chart, facts.name, ground).await?;
            // Of a record from elsewhere an officer sees that it was added, and not what becomes of it.
            match facts_and_original(&session, chart, facts.name.position).await {
                Ok((_, original)) => {
                    Ok(Some(session.client.record_state(&actor, chart, original).await?.0))
                }
                Err(Failure::Client(ClientError::Node(error))) if error.fault.is_forbidden() => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })?;
        let redaction = state.as_ref().and_then(|state| state.redaction.as_ref());
        let said = match redaction.and_then(|redaction| redaction.bound) {
            Some(bound) => format!(
                "the record is redacted: nobody reads it any more, and its custodians erase it until {}",
                bound.erase_until
            ),
            None => "your approval is on the ledger; the record is redacted once every party has approved".into(),
        };
        output.result(&said, &json!({ "position": self.position, "state": state }));
        Ok(())
    }

    fn keep(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let decided = block_on(async {
            let actor = session.actor(chart)?;
            let name = facts(&session, chart, LogPosition(self.position)).await?.name;
            Ok(session.client.keep_record(&actor, chart, name).await?)
        })?;
        let height = decided.outcome().location.height;
        output.result(
            &format!("your approval of the redaction is taken back in block {height}"),
            &json!({ "position": self.position, "height": height }),
        );
        Ok(())
    }

    fn certificate(self, to: &Path, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let (state, certificate) = block_on(async {
            let actor = session.actor(chart)?;
            let (_, original) =
                facts_and_original(&session, chart, LogPosition(self.position)).await?;
            Ok(session.client.record_state(&actor, chart, original).await?)
        })?;
        if !state.is_redacted() {
            return Err(Failure::Misused(
                "the record is not redacted, so nothing certifies its erasure; every required party must approve with `keepwell record redact` first".into(),
            ));
        }
        let bytes = certificate.encode();
        std::fs::write(to, &bytes).map_err(Failure::at(to))?;
        let outstanding =
            state.redaction.as_ref().map_or(0, |redaction| redaction.outstanding.len());
        output.result(
            &format!("{} bytes are in {}; {outstanding} custodians have not said yet that they erased. Anyone can check it offline:\n  keepwell verify --genesis FILE --erasure {}", bytes.len(), to.display(), to.display()),
            &json!({ "certificate": to, "bytes": bytes.len(), "outstanding": outstanding }),
        );
        Ok(())
    }
}

/// The record at a position.
pub(crate) async fn facts(
    session: &Session,
    chart: ChartId,
    position: LogPosition,
) -> Result<RecordFacts, Failure> {
    match facts_and_original(session, chart, position).await {
        // An officer of the author's organisation may see the one entry, and not the log.
        Err(Failure::Client(ClientError::Node(error))) if error.fault.is_forbidden() => {
            Ok(session.client.record_at(&session.actor(chart)?, chart, position).await?)
        }
        found => Ok(found?.0),
    }
}

/// The record at a position, and its first version.
async fn facts_and_original(
    session: &Session,
    chart: ChartId,
    position: LogPosition,
) -> Result<(RecordFacts, RecordId), Failure> {
    let actor = session.actor(chart)?;
    let records = session.client.records(&actor, chart, LogMark::START).await?;
    let found = records.iter().find(|it| it.name.position == position).ok_or_else(|| {
        Failure::Misused(format!(
            "no record stands at position {position}; see `keepwell record list`"
        ))
    })?;
    Ok((found.clone(), found.original(&records)))
}

async fn add(
    session: &Session,
    chart: ChartId,
    new: &NewRecord,
    file: &Path,
    receipt: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let authoring = session.client.authoring(&actor, chart).await?;
    let content = tokio::fs::File::open(file).await.map_err(Failure::at(file))?;
    let about = content.metadata().await.map_err(Failure::at(file))?;
    if !about.is_file() {
        return Err(Failure::Misused(format!(
            "{} is no regular file; name a file, or anchor a folder with `keepwell anchor`",
            file.display()
        )));
    }
    let len = about.len();
    let watched = Watched { content, bar: bar(len) };
    let added = session.client.add_record(&actor, &authoring, new, (watched, len)).await?;
    if let Some(path) = receipt {
        let receipt = session.client.portable(added.decided.receipt());
        std::fs::write(path, receipt.encode()).map_err(Failure::at(path))?;
    }
    let position = session.client.position(&actor, chart, &added.decided).await?;
    let at = added.decided.outcome().location;
    for fault in &added.faults {
        output.warn(&fault.to_string());
    }
    output.result(
        &format!(
            "record {} at position {position}, final in block {}, {} bytes sealed",
            added.record, at.height, added.label.sealed_bytes
        ),
        &json!({
            "record": added.record,
            "position": position,
            "height": at.height,
            "index": at.index,
            "sealed_bytes": added.label.sealed_bytes,
        }),
    );
    Ok(())
}

/// What is the patient's own is marked as such.
const fn author(party: Party) -> &'static str {
    match party {
        Party::Controller(_) => "controller",
        Party::Proxy(..) => "proxy",
        Party::Member(_) => "member",
        Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => "other",
    }
}

async fn list(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let records = session.client.records(&actor, chart, LogMark::START).await?;
    let name = |compartment| session.meanings(chart).and_then(|it| it.name(compartment));
    let rows: Vec<_> = records
        .iter()
        .map(|it| {
            json!({
                "position": it.name.position,
                "version": it.version,
                "record": it.name.record,
                "kind": it.kind,
                "compartment": it.compartment,
                "name": name(it.compartment),
                "time": it.time,
                "sealed_bytes": it.sealed_bytes,
                "author": it.author,
            })
        })
        .collect();
    let lines: Vec<_> = records
        .iter()
        .map(|it| {
            let named = name(it.compartment)
                .map_or_else(|| it.compartment.index().to_string(), str::to_owned);
            format!(
                "{:>6}  v{:<2} {}  {:<13} {:<20} {:>10} B  {:<10} {}",
                it.name.position,
                it.version,
                it.time,
                it.kind.as_str(),
                named,
                it.sealed_bytes,
                author(it.author),
                it.name.record
            )
        })
        .collect();
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

async fn get(
    session: &Session,
    chart: ChartId,
    position: LogPosition,
    purpose: Purpose,
    to: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let facts = facts(session, chart, position).await?;
    let seeds = session.own_seeds(chart, [facts.compartment].into_iter().collect()).await?;
    let what = Wanted::Records(vec![RecordName { ..facts.name }]);
    let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
    let opened = session.client.open(&opening).await?;
    let Some(record) = opened.records.first() else {
        return Err(match opened.withheld.into_iter().next() {
            Some(withheld) => withheld.error.into(),
            None => Failure::Misused("the access covers no such record".into()),
        });
    };
    let mut file = tokio::fs::File::create(to).await.map_err(Failure::at(to))?;
    let report = session.client.read(&actor, record, &mut file).await?;
    for fault in &report.faults {
        output.warn(&fault.to_string());
    }
    let (attached, rows) = attached(session, &opened, output).await?;
    let mut lines = vec![format!(
        "{} bytes are in {}; the access is at position {}",
        report.bytes,
        to.display(),
        opened.position
    )];
    lines.extend(attached);
    output.result(
        &lines.join("\n"),
        &json!({ "bytes": report.bytes, "file": to, "access": opened.position, "attached": rows }),
    );
    Ok(())
}

/// A progress bar over bytes, for people only.
fn bar(len: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
            .expect("the template is a constant");
    ProgressBar::new(len).with_style(style)
}

/// Content that is counted as it is read.
struct Watched<R> {
    content: R,
    bar: ProgressBar,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.content).poll_read(context, buffer);
        self.bar.inc((buffer.filled().len() - before) as u64);
        polled
    }
}
