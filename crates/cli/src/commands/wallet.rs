//! `keepwell wallet`: a patient's keys.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::identity::{Unlock, Wallet as Keys};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Identity, Profile, passphrase, read_operator},
    runtime::block_on,
};

/// Make a wallet, or show what one holds
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell wallet new --dir ./ana --like pilot/people/clinician
  keepwell wallet show --as ./ana")]
pub(crate) struct Wallet {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a wallet in a new folder
    New {
        /// The folder
        #[arg(long)]
        dir: PathBuf,
        /// A profile whose genesis file and nodes the wallet uses too
        #[arg(long, value_name = "DIR")]
        like: PathBuf,
        /// A file of 32 random bytes that unlocks it; without it a passphrase does
        #[arg(long, value_name = "FILE")]
        operator_file: Option<PathBuf>,
    },
    /// Show the charts in a wallet, or which member of which organisation a profile is
    Show {
        #[command(flatten)]
        who: As,
    },
}

impl Wallet {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::New { dir, like, operator_file } => {
                let mut profile = Profile::read(&like)?;
                let unlock = match &operator_file {
                    Some(path) => read_operator(path)?,
                    None => Unlock::Passphrase(passphrase()?),
                };
                let genesis = like.join(&profile.genesis);
                profile.genesis = fs::canonicalize(&genesis).map_err(Failure::at(genesis))?;
                profile.operator_file = operator_file
                    .map(|path| fs::canonicalize(&path).map_err(Failure::at(path)))
                    .transpose()?;
                // Keys first: they are never overwritten, and neither is the profile beside them.
                Keys::create(&dir.join("wallet"), &unlock, false)?;
                profile.write(&dir)?;
                let shown = dir.display();
                output.result(
                    &format!("A wallet is in {shown}. Claim a chart:\n  keepwell chart claim --as {shown} --letter FILE"),
                    &json!({ "wallet": dir }),
                );
                Ok(())
            }
            What::Show { who } => {
                let mut session = who.session()?;
                block_on(async {
                    let tip = session.client.tip().await?;
                    session.remember()?;
                    let header = tip.header();
                    let (lines, mut value) = held(&session.identity);
                    value["height"] = json!(header.height);
                    let text = format!(
                        "{}\nThe ledger is at height {}, {}.",
                        lines.join("\n"),
                        header.height,
                        header.time,
                    );
                    output.result(&text, &value);
                    Ok(())
                })
            }
        }
    }
}

/// What a profile is and holds, in words and as JSON.
fn held(identity: &Identity) -> (Vec<String>, Value) {
    let (member, charts): (_, Vec<_>) = match identity {
        Identity::Member(member) => (Some(member), Vec::new()),
        Identity::Agent(agent) => {
            let organisation = agent.identity().organisation();
            (Some(agent.identity()), agent.charts().map(|it| (it.chart(), organisation)).collect())
        }
        Identity::Wallet(wallet) => {
            (None, wallet.charts().iter().map(|it| (it.chart(), it.organisation())).collect())
        }
    };
    let mut lines: Vec<_> = member
        .iter()
        .map(|it| format!("member {} of organisation {}", it.member(), it.organisation()))
        .chain(charts.iter().map(|(chart, with)| format!("chart {chart} with {with}")))
        .collect();
    if lines.is_empty() {
        lines.push("No charts yet.".into());
    }
    let charts: Vec<_> = charts
        .iter()
        .map(|(chart, organisation)| json!({ "chart": chart, "organisation": organisation }))
        .collect();
    let mut value = json!({ "charts": charts });
    if let Some(member) = member {
        value["member"] = json!(member.member());
        value["organisation"] = json!(member.organisation());
    }
    (lines, value)
}
