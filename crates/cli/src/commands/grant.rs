//! `keepwell grant`: give, list, revoke.

use clap::{Args, Subcommand};
use keepwell_client::{grant::Recipient, verify::LogMark};
use keepwell_crypto::seal::SealingPublic;
use keepwell_types::{
    access::Purpose,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, GrantId, MemberId},
    record::RecordKind,
    set::{KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use serde_json::json;

use std::{fs, path::PathBuf};

use crate::{
    commands::compartments, failure::Failure, output::Output, profile::As, runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Give, list or revoke permissions
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell grant give --as ./ana --chart CHART --to MEMBER --key clinician.pub --compartment normal --purpose TREAT --days 30
  keepwell grant list --as ./ana CHART
  keepwell grant revoke --as ./ana --chart CHART GRANT")]
pub(crate) struct Grant {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Let a member read compartments of a chart
    Give {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The member
        #[arg(long, value_name = "MEMBER")]
        to: MemberId,
        /// The member's public key, as it hands it out; it is checked against the ledger
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Which compartments: names or numbers; may be given several times
        #[arg(long = "compartment", required = true)]
        compartments: Vec<String>,
        /// Only records of these kinds; all kinds where none is given
        #[arg(long = "kind")]
        kinds: Vec<RecordKind>,
        /// What for; may be given several times
        #[arg(long = "purpose", default_value = "TREAT")]
        purposes: Vec<Purpose>,
        /// For how many days
        #[arg(long, default_value_t = 30)]
        days: u64,
        /// At most so many accesses
        #[arg(long)]
        accesses: Option<u32>,
        /// Consent to compartments that need their own
        #[arg(long)]
        separate_consent: bool,
    },
    /// List every grant that was ever given
    List {
        #[command(flatten)]
        who: As,
        /// The chart
        chart: ChartId,
    },
    /// End a grant, from the next block on
    Revoke {
        #[command(flatten)]
        who: As,
        /// The chart
        #[arg(long)]
        chart: ChartId,
        /// The grant
        grant: GrantId,
    },
}

impl Grant {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Give {
                who,
                chart,
                to,
                key,
                compartments: words,
                kinds,
                purposes,
                days,
                accesses,
                separate_consent,
            } => {
                let mut session = who.session()?;
                let bytes = fs::read(&key).map_err(Failure::at(&key))?;
                let key = SealingPublic::from_bytes(&bytes)
                    .map_err(|error| Failure::Misused(format!("{}: {error}", key.display())))?;
                let holder = session.holder(chart)?;
                let compartments = compartments(&session, chart, &words)?;
                let meanings = session.meanings(chart).cloned().unwrap_or_default();
                let given = block_on(async {
                    let now = session.client.tip().await?.header().time;
                    let terms = GrantTerms {
                        effect: Effect::Allow,
                        grantee: Grantee::Member(to),
                        compartments,
                        kinds: if kinds.is_empty() {
                            KindSet::all()
                        } else {
                            kinds.into_iter().collect()
                        },
                        records: List::new(),
                        purposes: purposes.into_iter().collect::<PurposeSet>(),
                        window: Window {
                            from: BlockTime(now.0),
                            until: now.plus_ms(days.saturating_mul(DAY_MS)),
                        },
                        accesses_max: accesses,
                        separate_consent,
                    };
                    let recipient = Recipient { member: to, key };
                    Ok(session
                        .client
                        .give_grant(&holder, terms, Some(&recipient), &meanings)
                        .await?)
                })?;
                session.remember()?;
                let at = given.decided.outcome().location;
                output.result(
                    &format!("grant {} is in force from block {}", given.grant, at.height),
                    &json!({ "grant": given.grant, "height": at.height, "terms": given.notice.terms }),
                );
                Ok(())
            }
            What::List { who, chart } => {
                let session = who.session()?;
                block_on(async {
                    let actor = session.actor(chart)?;
                    let grants = session.client.grants(&actor, chart, LogMark::START).await?;
                    let lines: Vec<_> = grants
                        .iter()
                        .map(|it| {
                            let terms = &it.entry.terms;
                            let state = match it.entry.revoked_at {
                                Some(at) => format!("revoked {at}"),
                                None => format!("until {}", terms.window.until),
                            };
                            format!("{}  {:?} {:?}  {state}", it.grant, terms.effect, terms.grantee)
                        })
                        .collect();
                    let rows: Vec<_> = grants
                        .iter()
                        .map(|it| json!({ "grant": it.grant, "entry": it.entry }))
                        .collect();
                    output.result(&lines.join("\n"), &json!(rows));
                    Ok(())
                })
            }
            What::Revoke { who, chart, grant } => {
                let mut session = who.session()?;
                let holder = session.holder(chart)?;
                let decided =
                    block_on(async { Ok(session.client.revoke_grant(&holder, grant).await?) })?;
                session.remember()?;
                let at = decided.outcome().location;
                output.result(
                    &format!("grant {grant} has ended: nothing is opened with it after block {}. What was opened before stays known to whoever opened it; `keepwell audit` lists that.", at.height),
                    &json!({ "grant": grant, "height": at.height }),
                );
                Ok(())
            }
        }
    }
}
