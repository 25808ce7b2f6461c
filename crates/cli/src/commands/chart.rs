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

/// Open a chart for a patient, claim one, renew a letter, show one, or close it
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell chart open --as pilot/people/agent --custodian ORGANISATION --letter letter.keepwell
  keepwell chart claim --as ./ana --letter letter.keepwell --code 'ABCD-EFGH-...'
  keepwell chart renew-letter --as pilot/people/agent --letter letter.keepwell CHART
  keepwell chart minor --as pilot/people/agent --of-age 2031-05 CHART
  keepwell chart close --as ./ana CHART
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
    /// Say until when the patient of a chart that nobody has claimed is a minor: proxies end then
    Minor {
        #[command(flatten)]
        who: As,
        /// The month of majority, such as 2031-05: it begins at the first instant of it
        #[arg(long, value_name = "YEAR-MONTH")]
        of_age: Month,
        /// The chart
        chart: ChartId,
    },
    /// Close a chart for good: it can be read as before, and nothing is added
    Close {
        #[command(flatten)]
        who: As,
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

/// The first instant of a month. A day would be a birthday.
#[derive(Clone, Copy, Debug)]
struct Month(BlockTime);

impl std::str::FromStr for Month {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = "a month is written like 2031-05";
        let (year, month) = text.split_once('-').ok_or(fault)?;
        let year: u64 = year.parse().map_err(|_| fault)?;
        let month: u64 = month.parse().map_err(|_| fault)?;
        if !(1970..=9_999).contains(&year) || !(1..=12).contains(&month) {
            return Err(fault);
        }
        Ok(Self(BlockTime(first_day(year, month) * DAY_MS)))
    }
}

/// Days from 1970-01-01 to the first of a month (Hinnant, "chrono-compatible low-level date algorithms",
/// `days_from_civil`).
const fn first_day(year: u64, month: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
            What::Minor { who, of_age, chart } => {
                let session = who.session()?;
                let holder = session.holder(chart)?;
                let marked = session.client.mark_minor(&holder, of_age.0);
                block_on(async { Ok(marked.await?) })?;
                output.result(
                    &format!("the patient of chart {chart} is a minor until {}", of_age.0),
                    &json!({ "chart": chart, "of_age_at": of_age.0 }),
                );
                Ok(())
            }
            What::Close { who, chart } => {
                let session = who.session()?;
                let holder = session.holder(chart)?;
                let closed = session.client.close_chart(&holder);
                block_on(async { Ok(closed.await?) })?;
                output.result(
                    &format!(
                        "chart {chart} is closed: it can be read as before, and nothing is added"
                    ),
                    &json!({ "chart": chart }),
                );
                Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_its_first_instant() {
        for (text, begins) in [
            ("1970-01", "1970-01-01T00:00:00.000Z"),
            ("2000-03", "2000-03-01T00:00:00.000Z"),
            ("2031-05", "2031-05-01T00:00:00.000Z"),
            ("2044-12", "2044-12-01T00:00:00.000Z"),
        ] {
            assert_eq!(text.parse::<Month>().unwrap().0.to_string(), begins);
        }
        for text in ["2031", "2031-13", "2031-00", "31-05", "may"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
