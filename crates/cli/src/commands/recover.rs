//! `keepwell recover`: offer, start, approve, withdraw, status, veto, finish.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::{
    Client, ClientError,
    delegate::Offer,
    guardian::GuardianKeys,
    identity::{Actor, Wallet},
};
use keepwell_ledger::state::Recovery;
use keepwell_types::{
    guardian::RecoveryGround,
    id::{ChartId, LogPosition},
    member::Party,
};
use serde_json::json;

use crate::{
    commands::guardian::{delay, read_offer, write_offer},
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

/// Bring a chart to a new wallet when the old one is lost, with its guardians
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell recover offer --as ./ana-new --chart CHART --out ana-new.offer
  keepwell recover start --as ./ben --chart CHART --offer ana-new.offer
  keepwell recover approve --as ./eve --chart CHART --offer ana-new.offer
  keepwell recover status --as ./ana CHART
  keepwell recover veto --as ./ana --chart CHART RECOVERY
  keepwell recover withdraw --as ./eve --chart CHART RECOVERY
  keepwell recover finish --as ./ana-new CHART")]
pub(crate) struct Recover {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Ask guardians for a chart: writes the public keys of this wallet, for them to approve
    Offer {
        #[command(flatten)]
        who: As,
        /// The chart, as a guardian or its organisation tells it
        #[arg(long)]
        chart: ChartId,
        /// Where the offer is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// As a guardian: vouch for whoever made the offer. Know the person; the offer proves no name
    Start {
        #[command(flatten)]
        with: With,
        /// Why: lost, or death
        #[arg(long, default_value = "lost")]
        ground: RecoveryGround,
    },
    /// As a guardian: vouch for whom another guardian has started a recovery
    Approve {
        #[command(flatten)]
        with: With,
    },
    /// As a guardian: take the approval back
    Withdraw {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The recovery, as `recover status` shows it
        recovery: LogPositionArgument,
    },
    /// Show the recoveries of a chart that wait
    Status {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// As the patient, or a proxy who may: end a recovery
    Veto {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The recovery, as `recover status` shows it
        recovery: LogPositionArgument,
    },
    /// As the new wallet: take the chart over, once the delay is past
    Finish {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
}

/// For whom a guardian vouches
#[derive(Args)]
struct With {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// The offer of the new wallet
    #[arg(long, value_name = "FILE")]
    offer: PathBuf,
}

/// A place in a chart's log.
#[derive(Clone, Copy, Debug)]
struct LogPositionArgument(LogPosition);

impl std::str::FromStr for LogPositionArgument {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(LogPosition(text.parse()?)))
    }
}

impl Recover {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Offer { who, chart, out } => offer(&who.session()?, chart, &out, output),
            What::Start { with, ground } => vouch(&with, Some(ground), output),
            What::Approve { with } => vouch(&with, None, output),
            What::Withdraw { who, chart, recovery } => {
                withdraw(&who.session()?, chart, recovery.0, output)
            }
            What::Status { who, chart } => status(&who.session()?, chart, output),
            What::Veto { who, chart, recovery } => veto(who.session()?, chart, recovery.0, output),
            What::Finish { who, chart } => finish(who.session()?, chart, output),
        }
    }
}

fn wallet(identity: &Identity) -> Result<&Wallet, Failure> {
    match identity {
        Identity::Wallet(wallet) => Ok(wallet),
        Identity::Member(_) | Identity::Agent(_) => Err(Failure::Misused(
            "a chart comes to a wallet; make one with `keepwell wallet new`".into(),
        )),
    }
}

fn offer(session: &Session, chart: ChartId, out: &Path, output: &Output) -> Result<(), Failure> {
    let holder = wallet(&session.identity)?.new_holder(chart);
    let offer = Offer::make(session.client.consortium().chain(), chart, holder.secret());
    write_offer(&offer, out, "the guardians, who have to know that it is you", output)
}

/// The keys with which this profile guards a chart: as a member if it is named as one, else those offered.
pub(crate) async fn guardian_keys(session: &Session, chart: ChartId) -> GuardianKeys {
    let offered = GuardianKeys::of_offer(chart, &session.delegate(chart));
    let Ok(member) = session.member() else { return offered };
    let keys = GuardianKeys::of_member(member);
    match session.client.guardians(keys.actor(), chart).await {
        Ok(Some(guardians)) if keys.place(&guardians).is_some() => keys,
        Ok(_) | Err(_) => offered,
    }
}

/// Starts a recovery for this reason, or approves one.
fn vouch(with: &With, ground: Option<RecoveryGround>, output: &Output) -> Result<(), Failure> {
    let (session, chart) = (with.who.session()?, with.chart);
    let offer = read_offer(&session, chart, &with.offer)?;
    let open = block_on(async {
        let keys = guardian_keys(&session, chart).await;
        match ground {
            Some(ground) => session.client.start_recovery(&keys, &offer, ground).await?,
            None => session.client.approve_recovery(&keys, &offer).await?,
        };
        let open = session.client.recoveries(keys.actor(), chart).await?;
        Ok(open.into_iter().find(|it| it.successor == offer.signing()))
    })?;
    let recovery = open.ok_or_else(|| Failure::Misused("the recovery was ended at once".into()))?;
    let waits = match recovery.ready_at {
        Some(at) => format!(
            "can be finished from {at} on, unless the patient vetoes ({} from the last approval)",
            delay(&session)
        ),
        None => "waits for further guardians".to_owned(),
    };
    let position = recovery.position;
    output.result(
        &format!("recovery {position} of chart {chart} has your approval, and {waits}"),
        &json!({ "chart": chart, "recovery": position, "ready_at": recovery.ready_at }),
    );
    Ok(())
}

fn withdraw(
    session: &Session,
    chart: ChartId,
    recovery: LogPosition,
    output: &Output,
) -> Result<(), Failure> {
    let decided = block_on(async {
        let keys = guardian_keys(session, chart).await;
        Ok(session.client.withdraw_recovery(&keys, chart, recovery).await?)
    })?;
    let height = decided.outcome().location.height;
    output.result(
        &format!(
            "recovery {recovery} does not have your approval any more, from block {height} on"
        ),
        &json!({ "chart": chart, "recovery": recovery, "height": height }),
    );
    Ok(())
}

/// Asks in each part that the profile can have in the chart, until it has one.
async fn open_recoveries(session: &Session, chart: ChartId) -> Result<Vec<Recovery>, ClientError> {
    let client: &Client = &session.client;
    let mut parts: Vec<Actor> = Vec::new();
    parts.extend(session.actor(chart).ok());
    if let Identity::Wallet(wallet) = &session.identity {
        let key = wallet.new_holder(chart).secret().signing();
        parts.push(Actor::new(Party::Successor(chart), key));
    }
    let last = GuardianKeys::of_offer(chart, &session.delegate(chart));
    for part in &parts {
        if let Ok(open) = client.recoveries(part, chart).await {
            return Ok(open);
        }
    }
    client.recoveries(last.actor(), chart).await
}

fn status(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let open = block_on(async { Ok(open_recoveries(session, chart).await?) })?;
    let lines: Vec<_> = open.iter().map(line).collect();
    let text = if lines.is_empty() {
        format!("no recovery of chart {chart} waits")
    } else {
        lines.join("\n")
    };
    output.result(&text, &json!({ "chart": chart, "recoveries": open }));
    Ok(())
}

fn line(recovery: &Recovery) -> String {
    let approvals = recovery.approvals.len();
    let waits = match recovery.ready_at {
        Some(at) => format!("can be finished from {at} on"),
        None => "waits for further guardians".to_owned(),
    };
    format!(
        "recovery {}  {}  to the key {}  {approvals} approvals, {waits}; over at {}",
        recovery.position, recovery.ground, recovery.successor, recovery.until
    )
}

fn veto(
    mut session: Session,
    chart: ChartId,
    recovery: LogPosition,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let vetoed = session.client.veto_recovery(&holder, recovery);
    let decided = block_on(async { Ok(vetoed.await?) })?;
    session.remember()?;
    let height = decided.outcome().location.height;
    output.result(
        &format!("recovery {recovery} is ended from block {height} on. If a guardian should not have approved it, name others with `keepwell guardian set`."),
        &json!({ "chart": chart, "recovery": recovery, "height": height }),
    );
    Ok(())
}

fn finish(mut session: Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let Identity::Wallet(wallet) = &mut session.identity else {
        return Err(Failure::Misused("a chart comes to a wallet".into()));
    };
    let finished = session.client.finish_recovery(wallet, chart);
    let taken = block_on(async { Ok(finished.await?) })?;
    session.remember()?;
    let left = taken.rotated.left_behind.len();
    output.result(
        &format!("chart {chart} is this wallet's: every key of it has changed, and what was sealed before opens too. It has no guardians now: name them with `keepwell guardian set`. {left} grantees need another grant."),
        &json!({ "chart": chart, "left_behind": left }),
    );
    Ok(())
}
