//! `keepwell guardian`: offer, set, show.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    delegate::{OFFER_BYTES_MAX, Offer},
    guardian::{Named, NamedGroup},
};
use keepwell_types::{
    guardian::{Guardian as OnLedger, GuardianPolicy},
    id::{ChartId, MemberId},
};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

/// Say who can bring a chart to new keys when its wallet is lost, or be one of them
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell guardian offer --as ./ben --chart CHART --out ben.offer
  keepwell guardian set --as ./ana --chart CHART --group 2:ben.offer,eve.offer,max.offer --group 1:MEMBER,MEMBER
  keepwell guardian show --as ./ana CHART")]
pub(crate) struct Guardian {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Be ready to guard a patient's chart: writes public keys that are made for it, for the patient
    Offer {
        #[command(flatten)]
        who: As,
        /// The chart, as the patient tells it
        #[arg(long)]
        chart: ChartId,
        /// Where the offer is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Name the guardians of a chart, in the place of those before; without groups, nobody
    Set {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// How many of whom: NUMBER:WHO,WHO,... where WHO is the file of an offer, or a member's id; may be
        /// given several times
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// How many of the groups are needed; all where it is not given
        #[arg(long, value_name = "NUMBER")]
        groups_min: Option<u8>,
        /// The offer of whoever has the chart when the patient has died, made with `recover offer`
        #[arg(long, value_name = "FILE")]
        executor: Option<PathBuf>,
    },
    /// Show who guards a chart
    Show {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
}

impl Guardian {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Offer { who, chart, out } => {
                let session = who.session()?;
                let secret = session.delegate(chart);
                let offer = Offer::make(session.client.consortium().chain(), chart, &secret);
                write_offer(
                    &offer,
                    &out,
                    "the patient, who names you with `keepwell guardian set`",
                    output,
                )
            }
            What::Set { who, chart, groups, groups_min, executor } => {
                set(who.session()?, chart, (&groups, groups_min), executor.as_deref(), output)
            }
            What::Show { who, chart } => show(&who.session()?, chart, output),
        }
    }
}

/// Writes an offer to a file.
pub(crate) fn write_offer(
    offer: &Offer,
    out: &Path,
    for_whom: &str,
    output: &Output,
) -> Result<(), Failure> {
    fs::write(out, offer.encode()).map_err(Failure::at(out))?;
    output.result(
        &format!("The offer is in {}. Hand it to {for_whom}.", out.display()),
        &json!({ "offer": out, "chart": offer.chart(), "key": offer.signing() }),
    );
    Ok(())
}

/// Reads an offer that was made for this chart.
pub(crate) fn read_offer(session: &Session, chart: ChartId, path: &Path) -> Result<Offer, Failure> {
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    let bytes = &bytes[..bytes.len().min(OFFER_BYTES_MAX + 1)];
    Ok(Offer::read(bytes, session.client.consortium().chain(), chart)?)
}

fn set(
    mut session: Session,
    chart: ChartId,
    (groups, groups_min): (&[String], Option<u8>),
    executor: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let groups =
        groups.iter().map(|it| group(&session, chart, it)).collect::<Result<Vec<_>, _>>()?;
    let executor = executor.map(|path| read_offer(&session, chart, path)).transpose()?;
    let all = u8::try_from(groups.len()).unwrap_or(u8::MAX);
    let groups_min = groups_min.unwrap_or(all);
    let Identity::Wallet(wallet) = &session.identity else {
        return Err(Failure::Misused("guardians are named by a patient's wallet".into()));
    };
    let named = (&groups[..], groups_min);
    let set = session.client.set_guardians(wallet, chart, named, executor.as_ref());
    let decided = block_on(async { Ok(set.await?) })?;
    session.remember()?;
    let height = decided.outcome().location.height;
    let delay = delay(&session);
    let text = if groups.is_empty() {
        format!("chart {chart} has no guardians from block {height} on")
    } else {
        format!(
            "chart {chart} is guarded from block {height} on: {groups_min} of {} groups bring it to new keys, {delay} after the last of them approves, unless you veto",
            groups.len()
        )
    };
    output.result(&text, &json!({ "chart": chart, "groups": groups.len(), "height": height }));
    Ok(())
}

/// How long a recovery waits, in words.
pub(crate) fn delay(session: &Session) -> String {
    let seconds = session.client.consortium().genesis().parameters.recovery().delay_ms / 1_000;
    if seconds < 3_600 { format!("{seconds} s") } else { format!("{} h", seconds / 3_600) }
}

/// Reads `2:ben.offer,eve.offer`.
fn group(session: &Session, chart: ChartId, text: &str) -> Result<NamedGroup, Failure> {
    let malformed = || {
        Failure::Misused(format!(
            "{text:?} is no group; write how many of whom, such as 2:ben.offer,eve.offer,MEMBER"
        ))
    };
    let (min, names) = text.split_once(':').ok_or_else(malformed)?;
    let approvals_min = min.parse().map_err(|_| malformed())?;
    let named = |name: &str| match name.parse::<MemberId>() {
        Ok(member) => Ok(Named::Member(member)),
        Err(_) => Ok(Named::Offer(read_offer(session, chart, Path::new(name))?.into())),
    };
    let guardians = names.split(',').map(named).collect::<Result<_, Failure>>()?;
    Ok(NamedGroup { approvals_min, guardians })
}

fn show(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let found = block_on(async { Ok(session.client.guardians(&actor, chart).await?) })?;
    let Some(guardians) = found else {
        output.result(&format!("chart {chart} has no guardians"), &json!({ "guardians": null }));
        return Ok(());
    };
    let text = lines(&guardians.policy).join("\n");
    output.result(&text, &json!({ "guardians": guardians }));
    Ok(())
}

fn lines(policy: &GuardianPolicy) -> Vec<String> {
    let mut lines = vec![format!("{} of these groups are needed:", policy.groups_min)];
    for group in &policy.groups {
        lines.push(format!("  {} of {}", group.approvals_min, group.guardians.len()));
        lines.extend(group.guardians.iter().map(|guardian| match guardian {
            OnLedger::Key(key) => format!("    the key {key}"),
            OnLedger::Member(member) => format!("    the member {member}"),
        }));
    }
    if let Some(executor) = policy.executor {
        lines.push(format!("executor: the key {executor}"));
    }
    lines
}
