//! `keepwell emergency`: prepare, break, second, open, close, review; list and report.

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::{
    Client,
    emergency::{EmergencyOpening, ListedEmergency},
    identity::Actor,
    verify::LogMark,
};
use keepwell_ledger::state::{Emergency as Entry, EmergencyUse, Tally, Waiting};
use keepwell_types::{
    access::{EmergencyReason, Finding},
    id::{ChartId, LogPosition},
    time::BlockTime,
};
use serde_json::{Value, json};

use crate::{
    commands::{compartments, open},
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

const MINUTE_MS: u64 = 60 * 1_000;

/// Leave compartments to emergencies; break the glass, agree, open, end and review
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell emergency prepare --as ./ana --chart CHART --compartment normal
  keepwell emergency break --as ./clinician --chart CHART --reason unresponsive --minutes 60
  keepwell emergency second --as ./physician --chart CHART 41
  keepwell emergency open --as ./clinician --chart CHART 41 --to ./chart
  keepwell emergency close --as ./clinician --chart CHART 41
  keepwell emergency review --as ./clinic-officer --chart CHART 41 --finding justified
  keepwell emergency list --as ./ana CHART
  keepwell emergency report --as ./clinic-officer")]
pub(crate) struct Emergency {
    #[command(subcommand)]
    what: What,
}

/// One emergency of a chart
#[derive(Args)]
struct One {
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// The emergency: where the glass was broken in the chart's log
    emergency: u64,
}

impl One {
    const fn name(&self) -> (ChartId, LogPosition) {
        (self.chart, LogPosition(self.emergency))
    }
}

#[derive(Subcommand)]
enum What {
    /// Say what is left to emergencies, and share its keys out among the trustees
    Prepare {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Which compartments: names or numbers; may be given several times
        #[arg(long = "compartment", default_value = "normal")]
        compartments: Vec<String>,
        /// Leave nothing
        #[arg(long, conflicts_with = "compartments")]
        nothing: bool,
    },
    /// Break the glass; needs a licence, and the patient sees it in the same block
    Break {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// Why: unresponsive, danger, disaster or harm
        #[arg(long)]
        reason: EmergencyReason,
        /// For how many minutes; the consortium allows four hours at most
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Only these compartments: numbers; all that are left to emergencies where none is given
        #[arg(long = "compartment")]
        compartments: Vec<String>,
    },
    /// Agree to another clinician's emergency, so that it opens at once
    Second {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        one: One,
    },
    /// Open what an emergency covers, with keys from the trustees
    Open {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        one: One,
        /// Only these compartments: numbers; all that the emergency covers where none is given
        #[arg(long = "compartment")]
        compartments: Vec<String>,
        /// Folder into which the contents are written
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// End an emergency; what comes is sealed to other keys, if the patient published some
    Close {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        one: One,
    },
    /// Say what a review found, as a privacy officer of the clinician's organisation
    Review {
        #[command(flatten)]
        who: As,
        #[command(flatten)]
        one: One,
        /// justified or unjustified
        #[arg(long)]
        finding: Finding,
    },
    /// List the emergencies of a chart; at home in the chart all of them, from its log
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// Show how members of your organisation used emergencies, and which reviews are due or late
    Report {
        #[command(flatten)]
        who: As,
    },
}

impl Emergency {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        block_on(self.work(output))
    }

    async fn work(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Prepare { who, chart, compartments, nothing } => {
                let words = if nothing { Vec::new() } else { compartments };
                prepare(who.session()?, chart, &words, output).await
            }
            What::Break { who, chart, reason, minutes, compartments } => {
                let session = who.session()?;
                let terms = (reason, minutes);
                break_glass(&session, chart, terms, &compartments, output).await
            }
            What::Second { who, one } => {
                let (session, (chart, emergency)) = (who.session()?, one.name());
                let actor = session.member()?.actor();
                let decided = session.client.second_emergency(&actor, chart, emergency).await?;
                let height = decided.outcome().location.height;
                said(output, &format!("agreed in block {height}; it is open"), emergency)
            }
            What::Open { who, one, compartments, to } => {
                open_all(&who.session()?, one.name(), &compartments, to, output).await
            }
            What::Close { who, one } => {
                let (session, (chart, emergency)) = (who.session()?, one.name());
                let actor = session.actor(chart)?;
                let decided = session.client.close_emergency(&actor, chart, emergency).await?;
                let height = decided.outcome().location.height;
                said(output, &format!("ended in block {height}"), emergency)
            }
            What::Review { who, one, finding } => {
                let (session, (chart, emergency)) = (who.session()?, one.name());
                let (actor, client) = (session.member()?.actor(), &session.client);
                let decided = client.review_emergency(&actor, chart, emergency, finding).await?;
                let height = decided.outcome().location.height;
                said(output, &format!("reviewed in block {height}: {finding}"), emergency)
            }
            What::List { who, chart } => list(who.session()?, chart, output).await,
            What::Report { who } => report(&who.session()?, output).await,
        }
    }
}

fn said(output: &Output, text: &str, emergency: LogPosition) -> Result<(), Failure> {
    output.result(
        &format!("emergency {emergency}: {text}"),
        &json!({ "emergency": emergency, "result": text }),
    );
    Ok(())
}

async fn prepare(
    mut session: Session,
    chart: ChartId,
    words: &[String],
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let left = compartments(&session, chart, words)?;
    session.client.prepare_for_emergencies(&holder, left).await?;
    session.remember()?;
    let trustees = session.client.consortium().trustees();
    let numbers = trustees.map_or((0, 0), |it| (it.threshold(), it.len()));
    let text = if left.is_empty() {
        "nothing is left to emergencies".to_owned()
    } else {
        format!(
            "{} compartments are left to emergencies; {} of {} trustees give their keys together, for an emergency that the ledger allows",
            left.len(),
            numbers.0,
            numbers.1
        )
    };
    output.result(
        &text,
        &json!({ "compartments": left, "trustees_needed": numbers.0, "trustees": numbers.1 }),
    );
    Ok(())
}

async fn break_glass(
    session: &Session,
    chart: ChartId,
    (reason, minutes): (EmergencyReason, u64),
    words: &[String],
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let wanted = compartments(session, chart, words)?;
    let wanted = (!wanted.is_empty()).then_some(wanted);
    let now = session.client.tip().await?.header().time;
    let until = now.plus_ms(minutes.saturating_mul(MINUTE_MS));
    let broken = session.client.break_glass(&actor, chart, wanted, (reason, until)).await?;
    output.result(
        &format!(
            "emergency {}: it opens at {}, or as soon as another clinician agrees:\n  keepwell emergency second --chart {chart} {}\nThe patient sees it; your privacy officer has to review it.",
            broken.emergency, broken.opens_at, broken.emergency
        ),
        &json!({ "emergency": broken.emergency, "opens_at": broken.opens_at, "until": until }),
    );
    Ok(())
}

async fn open_all(
    session: &Session,
    (chart, emergency): (ChartId, LogPosition),
    words: &[String],
    to: Option<PathBuf>,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let wanted = if words.is_empty() {
        let all = session.client.emergencies(&actor, chart).await?;
        let own = all.iter().find(|it| it.position == emergency);
        own.map(|it| it.compartments).ok_or_else(|| {
            Failure::Misused(format!(
                "the ledger has no emergency {emergency} in this chart; `keepwell emergency list` shows them"
            ))
        })?
    } else {
        compartments(session, chart, words)?
    };
    let opening = EmergencyOpening { actor: &actor, chart, emergency, compartments: wanted };
    let it = session.client.open_in_emergency(&opening).await?;
    for fault in &it.trustees {
        output.warn(&fault.to_string());
    }
    open::show(session, &actor, &it.opened, to.as_deref(), output).await
}

async fn list(mut session: Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let is_home = !matches!(session.identity, Identity::Member(_));
    let all = if is_home {
        session.client.all_emergencies(&actor, chart, LogMark::START).await?
    } else {
        remembered(&session.client, &actor, chart).await?
    };
    session.remember()?;
    let now = session.client.tip().await?.header().time;
    let lines: Vec<_> = all.iter().map(|it| line(&session, chart, now, it)).collect();
    let rows: Vec<_> = all.iter().map(row).collect();
    let text = if lines.is_empty() { "no emergencies".into() } else { lines.join("\n") };
    output.result(&text, &json!({ "emergencies": rows, "complete": is_home }));
    Ok(())
}

/// What the state has, for those who may not follow the log.
async fn remembered(
    client: &Client,
    actor: &Actor,
    chart: ChartId,
) -> Result<Vec<ListedEmergency>, Failure> {
    let all = client.emergencies(actor, chart).await?;
    let listed = |entry: Entry| ListedEmergency {
        position: entry.position,
        at: entry.open.from,
        member: entry.member,
        compartments: entry.compartments,
        reason: entry.reason,
        entry: Some(entry),
    };
    Ok(all.into_iter().map(listed).collect())
}

fn line(session: &Session, chart: ChartId, now: BlockTime, it: &ListedEmergency) -> String {
    let names: Vec<_> = it
        .compartments
        .iter()
        .map(|compartment| {
            let known = session.meanings(chart).and_then(|known| known.name(compartment));
            known.map_or_else(|| compartment.index().to_string(), str::to_owned)
        })
        .collect();
    let stands = it
        .entry
        .as_ref()
        .map_or_else(|| "over; newer ones took its place".to_owned(), |entry| standing(entry, now));
    format!(
        "{:>6}  {}  {}  {}  by {}\n        {stands}",
        it.position,
        it.at,
        it.reason,
        names.join(", "),
        it.member
    )
}

/// How an emergency stands, in words.
fn standing(entry: &Entry, now: BlockTime) -> String {
    let agreed =
        entry.second.map_or_else(|| "nobody agreed".into(), |it| format!("agreed to by {it}"));
    let when = if entry.open.until <= now {
        format!("over since {}", entry.open.until)
    } else if entry.open.from <= now {
        format!("OPEN until {}", entry.open.until)
    } else {
        format!("opens at {}", entry.open.from)
    };
    let review = match entry.review {
        Some(finding) => format!("reviewed: {finding}"),
        None if entry.review_until <= now => {
            format!("REVIEW LATE since {}", entry.review_until)
        }
        None => format!("review due by {}", entry.review_until),
    };
    let closed = if entry.closed.is_some() { "closed" } else { "not closed" };
    format!("{agreed}; {when}; {review}; {closed}")
}

fn row(it: &ListedEmergency) -> Value {
    json!({
        "emergency": it.position,
        "at": it.at,
        "member": it.member,
        "compartments": it.compartments,
        "reason": it.reason,
        "entry": it.entry,
    })
}

async fn report(session: &Session, output: &Output) -> Result<(), Failure> {
    let member = session.member()?;
    let (actor, organisation) = (member.actor(), member.organisation());
    let (used, now) = session.client.emergency_use(&actor, organisation).await?;
    let mut charts = BTreeMap::new();
    for waiting in &used.waiting {
        let at = waiting.location;
        let receipt = session.client.receipt(&actor, at).await?;
        charts.extend(receipt.verified().entry().payload().chart().map(|chart| (at, chart)));
    }
    let chart_of = |waiting: &Waiting| charts.get(&waiting.location).copied();
    let mut lines: Vec<_> = used
        .members
        .iter()
        .rev()
        .map(|it| format!("  member {}: {}", it.member, counts(&it.tally)))
        .collect();
    lines.insert(0, format!("organisation {organisation}: {}", counts(&used.total())));
    if used.others != Tally::default() {
        lines.push(format!("  earlier members together: {}", counts(&used.others)));
    }
    lines.extend(used.waiting.iter().map(|it| waits(it, chart_of(it), now)));
    let unlisted = unlisted(&used);
    if unlisted > 0 {
        lines.push(format!("{unlisted} older ones were never reviewed"));
    }
    let rows: Vec<_> = used
        .waiting
        .iter()
        .map(|it| {
            json!({
                "member": it.member,
                "location": it.location,
                "chart": chart_of(it),
                "review_until": it.review_until,
                "late": it.review_until <= now,
            })
        })
        .collect();
    output.result(
        &lines.join("\n"),
        &json!({
            "organisation": organisation,
            "total": used.total(),
            "members": used.members,
            "others": used.others,
            "waiting": rows,
            "unlisted": unlisted,
        }),
    );
    Ok(())
}

fn counts(it: &Tally) -> String {
    format!(
        "broke the glass {} times ({} justified, {} unjustified, {} not reviewed), agreed {} times",
        it.broken,
        it.justified,
        it.unjustified,
        it.unreviewed(),
        it.seconded
    )
}

fn waits(it: &Waiting, chart: Option<ChartId>, now: BlockTime) -> String {
    let due = if it.review_until <= now { "REVIEW LATE since" } else { "review due by" };
    let chart = chart.map_or_else(String::new, |chart| format!(" in chart {chart}"));
    format!("{due} {}: member {}{chart}, block {}", it.review_until, it.member, it.location.height)
}

/// Emergencies that nobody reviewed and that newer ones pushed out of the list.
fn unlisted(used: &EmergencyUse) -> u32 {
    used.total().unreviewed().saturating_sub(used.waiting.len() as u32)
}
