//! `keepwell wallet`: a patient's keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::identity::Wallet as Keys;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    lock::{Lock, unlock},
    output::Output,
    profile::{As, Identity, Profile, Session, WALLET, new_passphrase, passphrase_of},
    runtime::block_on,
};

/// Make a wallet, show what one holds, back it up, or restore it
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell wallet new --dir ./ana --like pilot/people/clinician
  keepwell wallet show --as ./ana
  keepwell wallet export --as ./ana --out ana.backup
  keepwell wallet import --from ana.backup --dir ./ana-again --like pilot/people/clinician")]
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
        #[command(flatten)]
        lock: Lock,
    },
    /// Write the whole wallet, with the list of its charts, to one file under a passphrase
    ///
    /// Whoever has the file and its passphrase has the wallet. What is added to the wallet later is not in it.
    Export {
        #[command(flatten)]
        who: As,
        /// Where the backup is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A file with the passphrase; without it, it is asked for
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Restore a wallet from a backup into a new folder
    ///
    /// Without an operator's file or token the backup's passphrase locks it there too.
    Import {
        /// The backup
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// A file with the backup's passphrase; without it, it is asked for
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// The folder
        #[arg(long)]
        dir: PathBuf,
        /// A profile whose genesis file and nodes the wallet uses too
        #[arg(long, value_name = "DIR")]
        like: PathBuf,
        #[command(flatten)]
        lock: Lock,
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
            What::Export { who, out, passphrase_file } => {
                export(&who.session()?, &out, passphrase_file.as_deref(), output)
            }
            What::Import { from, passphrase_file, dir, like, lock } => {
                let operator = lock.operator()?;
                let profile = Profile::like(&like, operator.clone())?;
                let of_backup = passphrase_of(passphrase_file.as_deref())?;
                let unlock = match &operator {
                    Some(operator) => unlock(operator)?,
                    None => of_backup.clone(),
                };
                let keys = Keys::import(&from, &of_backup, &dir.join(WALLET), &unlock)?;
                profile.write(&dir)?;
                let charts = keys.charts().len();
                output.result(
                    &format!("The wallet is restored in {}, with {charts} charts.", dir.display()),
                    &json!({ "wallet": dir, "charts": charts }),
                );
                Ok(())
            }
            What::New { dir, like, lock } => {
                let profile = Profile::like(&like, lock.operator()?)?;
                let unlock = lock.make()?;
                // Keys first: they are never overwritten, and neither is the profile beside them.
                Keys::create(&dir.join(WALLET), &unlock, false)?;
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

fn export(
    session: &Session,
    out: &Path,
    passphrase_file: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    let Identity::Wallet(wallet) = &session.identity else {
        return Err(Failure::Misused(
            "a patient's wallet is backed up like this; keep copies of other key files as they are"
                .into(),
        ));
    };
    wallet.export(out, &new_passphrase(passphrase_file)?)?;
    let charts = wallet.charts().len();
    output.result(
        &format!(
            "The wallet, with {charts} charts, is in {}. Keep it apart from its passphrase; write another when charts are added.",
            out.display()
        ),
        &json!({ "backup": out, "charts": charts }),
    );
    Ok(())
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
