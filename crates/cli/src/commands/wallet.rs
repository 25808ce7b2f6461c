//! `keepwell wallet`: a patient's keys.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::identity::{Unlock, Wallet as Keys};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Profile, passphrase, read_operator},
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
    /// Show the charts in a wallet
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
                profile.write(&dir)?;
                Keys::create(&dir.join("wallet"), &unlock, false)?;
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
                    let charts: Vec<_> = session
                        .wallet()?
                        .charts()
                        .iter()
                        .map(|it| json!({ "chart": it.chart(), "organisation": it.organisation() }))
                        .collect();
                    let lines: Vec<_> = charts
                        .iter()
                        .map(|it| format!("chart {} with {}", it["chart"], it["organisation"]))
                        .collect();
                    let header = tip.header();
                    let text = format!(
                        "{}\nThe ledger is at height {}, {}.",
                        if lines.is_empty() { "No charts yet.".into() } else { lines.join("\n") },
                        header.height,
                        header.time,
                    );
                    output.result(&text, &json!({ "charts": charts, "height": header.height }));
                    Ok(())
                })
            }
        }
    }
}
