//! `keepwell chart`: open, claim, renew the letter, show.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    Client,
    chart::{Arrangement, ClaimLetter, Meanings, OpenedForPatient},
    identity::OrganisationAgent,
};
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

/// Open a chart for a patient, claim one, renew a letter, or show one
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell chart open --as pilot/people/agent --custodian ORGANISATION --letter letter.keepwell
  keepwell chart claim --as ./ana --letter letter.keepwell --code 'ABCD-EFGH-...'
  keepwell chart renew-letter --as pilot/people/agent --letter letter.keepwell CHART
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
    /// Write a new letter and print a new code, where the patient lost one or the code is void
    ///
    /// The earlier letter and code are void from then on. A chart that is claimed needs neither.
    RenewLetter {
        #[command(flatten)]
        who: As,
        /// Where the letter is written
        #[arg(long, value_name = "FILE")]
        letter: PathBuf,
        /// Days until the code is void
        #[arg(long, default_value_t = 30)]
        days: u64,
        /// The chart
        chart: ChartId,
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
                let arrangement = Arrangement { custodians, contributors };
                block_on(async {
                    let agent = agent(&mut session.identity)?;
                    let until = until(&session.client, days).await?;
                    let opened = session
                        .client
                        .open_chart_for_patient(agent, &compartment_names(), &arrangement, until)
                        .await?;
                    hand_over(&opened, until, &letter, output)
                })
            }
            What::RenewLetter { who, letter, days, chart } => {
                let mut session = who.session()?;
                block_on(async {
                    let agent = agent(&mut session.identity)?;
                    let until = until(&session.client, days).await?;
                    agent.chart(chart)?;
                    if session.client.chart(&agent.identity().actor(), chart).await?.claimed {
                        return Err(Failure::Misused(format!(
                            "chart {chart} was claimed already: its patient's wallet controls it, and needs no letter"
                        )));
                    }
                    let renewed = session.client.renew_claim(agent, chart, until).await?;
                    hand_over(&renewed, until, &letter, output)
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

async fn until(client: &Client, days: u64) -> Result<BlockTime, Failure> {
    let now = client.tip().await?.header().time;
    Ok(now.plus_ms(days.saturating_mul(DAY_MS)))
}

fn agent(identity: &mut Identity) -> Result<&mut OrganisationAgent, Failure> {
    match identity {
        Identity::Agent(agent) => Ok(agent),
        Identity::Member(_) | Identity::Wallet(_) => Err(Failure::Misused(
            "charts for patients without a wallet are opened by an organisation's key agent, which also renews their letters"
                .into(),
        )),
    }
}

/// Writes the letter and prints the code.
fn hand_over(
    opened: &OpenedForPatient,
    until: BlockTime,
    letter: &Path,
    output: &Output,
) -> Result<(), Failure> {
    fs::write(letter, opened.letter.encode()).map_err(Failure::at(letter))?;
    let (chart, code) = (opened.chart, opened.code.print());
    output.result(
        &format!(
            "chart {chart}\nThe letter is in {}. The code, to be told apart from it, until {until}:\n  {}",
            letter.display(),
            *code
        ),
        &json!({ "chart": chart, "letter": letter, "code": *code, "until": until }),
    );
    Ok(())
}
