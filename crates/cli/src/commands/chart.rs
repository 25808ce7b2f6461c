//! `keepwell chart`: open, claim, show.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use keepwell_client::chart::{Arrangement, ClaimLetter, Meanings};
use keepwell_crypto::keys::ClaimCode;
use keepwell_types::{
    id::{ChartId, OrganisationId},
    time::BlockTime,
};
use serde_json::json;

use crate::{
    commands::compartment_names,
    failure::Failure,
    output::Output,
    profile::{As, Identity},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Open a chart for a patient, claim one, or show one
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell chart open --as pilot/people/agent --custodian ORGANISATION --letter letter.keepwell
  keepwell chart claim --as ./ana --letter letter.keepwell --code 'ABCD-EFGH-...'
  keepwell chart show --as ./ana CHART")]
pub(crate) struct Chart {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Open a chart for a patient without a wallet: writes a letter and prints a one-time code
    Open {
        #[command(flatten)]
        who: As,
        /// Who stores its sealed objects; may be given several times
        #[arg(long = "custodian", value_name = "ORGANISATION", required = true)]
        custodians: Vec<OrganisationId>,
        /// Who may write in it beside the organisation; may be given several times
        #[arg(long = "contributor", value_name = "ORGANISATION")]
        contributors: Vec<OrganisationId>,
        /// Where the letter is written
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// Days until the code is void
        #[arg(long, default_value_t = 30)]
        days: u64,
    },
    /// Claim a chart with its letter and one-time code: from then on the wallet controls it
    Claim {
        #[command(flatten)]
        who: As,
        /// The letter
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// The code
        #[arg(long)]
        code: String,
    },
    /// Show what the ledger knows of a chart
    Show {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
}

impl Chart {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Open { who, custodians, contributors, letter, days } => {
                let mut session = who.session()?;
                let Identity::Agent(agent) = &mut session.identity else {
                    return Err(Failure::Misused("charts for patients without a wallet are opened by an organisation's key agent".into()));
                };
                block_on(async {
                    let now = session.client.tip().await?.header().time;
                    let until = BlockTime(now.0.saturating_add(days.saturating_mul(DAY_MS)));
                    let arrangement = Arrangement { custodians, contributors };
                    let opened = session
                        .client
                        .open_chart_for_patient(agent, &compartment_names(), &arrangement, until)
                        .await?;
                    fs::write(&letter, opened.letter.encode()).map_err(Failure::at(&letter))?;
                    let code = opened.code.print();
                    output.result(
                        &format!(
                            "chart {}\nThe letter is in {}. The code, to be told apart from it, until {until}:\n  {}",
                            opened.chart, letter.display(), *code
                        ),
                        &json!({ "chart": opened.chart, "letter": letter, "code": *code, "until": until }),
                    );
                    Ok(())
                })
            }
            What::Claim { who, letter, code } => {
                let mut session = who.session()?;
                let letter = ClaimLetter::decode(&fs::read(&letter).map_err(Failure::at(letter))?)?;
                let code =
                    ClaimCode::parse(&code).map_err(|error| Failure::Misused(error.to_string()))?;
                let Identity::Wallet(wallet) = &mut session.identity else {
                    return Err(Failure::Misused("charts are claimed by a wallet".into()));
                };
                let chart = block_on(async {
                    Ok(session.client.claim_chart(wallet, &letter, &code).await?)
                })?;
                session.remember()?;
                output.result(
                    &format!(
                        "chart {chart} is yours: every key of it has changed to your wallet's"
                    ),
                    &json!({ "chart": chart }),
                );
                Ok(())
            }
            What::Show { who, chart } => {
                let session = who.session()?;
                block_on(async {
                    let actor = session.actor(chart)?;
                    let entry = session.client.chart(&actor, chart).await?;
                    let known: Vec<_> =
                        session.meanings(chart).into_iter().flat_map(Meanings::iter).collect();
                    let names: Vec<_> = known
                        .iter()
                        .map(|it| {
                            let epoch = entry.epoch(it.compartment);
                            json!({ "name": it.name, "compartment": it.compartment, "epoch": epoch })
                        })
                        .collect();
                    let compartments: String = known
                        .iter()
                        .map(|it| {
                            format!(
                                "\n  {} is compartment {} at epoch {}",
                                it.name.as_str(),
                                it.compartment.index(),
                                entry.epoch(it.compartment)
                            )
                        })
                        .collect();
                    output.result(
                        &format!(
                            "chart {chart}\norganisation {}\nclaimed: {}\ncustodians: {}{compartments}",
                            entry.organisation,
                            if entry.claimed { "yes" } else { "no" },
                            entry.custodians.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                        ),
                        &json!({ "chart": chart, "entry": entry, "compartments": names }),
                    );
                    Ok(())
                })
            }
        }
    }
}
