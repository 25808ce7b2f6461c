//! `keepwell grant limit` and `revoke`: less of a grant, or nothing; and new keys for what it has lost.

use clap::Args;
use keepwell_client::{grant::Rotated, identity::ChartHolder, verify::LogMark};
use keepwell_types::{
    access::Purpose,
    command::Payload,
    grant::{Effect, GrantLimit, GrantRevoke, GrantRevokeOrganisation, GrantTerms},
    id::{ChartId, GrantId, OrganisationId},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::BlockTime,
};
use serde_json::json;

use super::{DAY_MS, dry_run};
use crate::{
    commands::compartments,
    failure::Failure,
    output::Output,
    page::To,
    profile::{As, Session},
    runtime::block_on,
};

/// What is left of a grant
#[derive(Args)]
pub(super) struct Limit {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// Only these compartments of it: names or numbers; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    #[command(flatten)]
    less: Less,
    /// Limit nothing: say which past accesses would be decided otherwise
    #[arg(long)]
    dry_run: bool,
    /// The grant
    grant: GrantId,
}

/// Less than a grant has
#[derive(Args)]
pub(super) struct Less {
    /// Only records of these kinds; may be given several times
    #[arg(long = "kind")]
    kinds: Vec<RecordKind>,
    /// Only for these purposes; may be given several times
    #[arg(long = "purpose")]
    purposes: Vec<Purpose>,
    /// For so many more days, if it does not end before
    #[arg(long)]
    days: Option<u64>,
    /// At most so many accesses, those so far included
    #[arg(long)]
    accesses: Option<u32>,
}

impl Less {
    /// What is left of `terms` in these compartments; in all of its own, if none are named.
    pub(super) fn of(
        &self,
        terms: &GrantTerms,
        named: CompartmentSet,
        now: BlockTime,
    ) -> GrantTerms {
        let kinds: KindSet = self.kinds.iter().copied().collect();
        let purposes: PurposeSet = self.purposes.iter().copied().collect();
        let mut less = terms.clone();
        less.compartments = if named.is_empty() { less.compartments } else { named };
        less.kinds = if kinds.is_empty() { less.kinds } else { kinds };
        less.purposes = if purposes.is_empty() { less.purposes } else { purposes };
        if let Some(days) = self.days {
            let until = now.plus_ms(days.saturating_mul(DAY_MS));
            less.window.until = less.window.until.min(until);
        }
        less.accesses_max = self.accesses.or(less.accesses_max);
        less
    }
}

impl Limit {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (mut session, chart, grant) = (self.who.session()?, self.chart, self.grant);
        let holder = session.holder(chart)?;
        let fewer = compartments(&session, chart, &self.compartments)?;
        let left = block_on(async {
            let now = session.client.tip().await?.header().time;
            let entry = session.client.grant(&holder.actor(), chart, grant).await?;
            Ok(self.less.of(&entry.terms, fewer, now))
        })?;
        let limit = GrantLimit {
            chart,
            grant,
            compartments: left.compartments,
            kinds: left.kinds,
            purposes: left.purposes,
            window: left.window,
            accesses_max: left.accesses_max,
        };
        if self.dry_run {
            let limit = Payload::GrantLimit(limit);
            return dry_run(&session, chart, &To::usual(), *output, |_| limit);
        }
        let (height, rotated) = block_on(async {
            let decided = session.client.limit_grant(&holder, limit).await?;
            let rotated = rotate_lost(&session, &holder, grant).await?;
            Ok((decided.outcome().location.height, rotated))
        })?;
        session.remember()?;
        output.result(
            &format!("grant {grant} has less from block {height} on. {}", remains(rotated.as_ref())),
            &json!({ "grant": grant, "height": height, "terms": left, "left_behind": left_behind(rotated.as_ref(), *output) }),
        );
        Ok(())
    }
}

/// What ends
#[derive(Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// Everything that was granted so far, for every reader of this organisation
    #[arg(long, conflicts_with = "grant")]
    organisation: Option<OrganisationId>,
    /// The grant
    #[arg(required_unless_present = "organisation")]
    grant: Option<GrantId>,
    /// Revoke nothing: say which past accesses would be decided otherwise
    #[arg(long)]
    dry_run: bool,
}

impl Revoke {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        match (self.organisation, self.grant) {
            (Some(organisation), _) if self.dry_run => {
                let revoke = GrantRevokeOrganisation { chart, organisation };
                let revoke = Payload::GrantRevokeOrganisation(revoke);
                dry_run(&session, chart, &To::usual(), *output, |_| revoke)
            }
            (Some(organisation), _) => revoke_organisation(session, chart, organisation, output),
            (None, Some(grant)) if self.dry_run => {
                let revoke = Payload::GrantRevoke(GrantRevoke { chart, grant });
                dry_run(&session, chart, &To::usual(), *output, |_| revoke)
            }
            (None, Some(grant)) => revoke(session, chart, grant, output),
            (None, None) => Err(Failure::Misused(
                "name the grant that ends, or the organisation with --organisation".into(),
            )),
        }
    }
}

fn revoke(
    mut session: Session,
    chart: ChartId,
    grant: GrantId,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let (ended, rotated) = block_on(async {
        let client = &session.client;
        let entry = client.grant(&holder.actor(), chart, grant).await?;
        // An earlier try may have been cut off before it came to the keys.
        let ended = match entry.revoked_at {
            Some(at) => at,
            None => client.revoke_grant(&holder, grant).await?.outcome().time,
        };
        Ok((ended, rotate_lost(&session, &holder, grant).await?))
    })?;
    session.remember()?;
    output.result(
        &format!("grant {grant} has ended: nothing is opened with it after {ended}. {}", remains(rotated.as_ref())),
        &json!({ "grant": grant, "ended": ended, "left_behind": left_behind(rotated.as_ref(), *output) }),
    );
    Ok(())
}

fn revoke_organisation(
    mut session: Session,
    chart: ChartId,
    organisation: OrganisationId,
    output: &Output,
) -> Result<(), Failure> {
    let holder = session.holder(chart)?;
    let (decided, rotated) = block_on(async {
        let client = &session.client;
        let grants = client.grants(&holder.actor(), chart, LogMark::START).await?;
        let given = grants.iter().filter(|it| it.entry.terms.effect == Effect::Allow);
        let compartments: CompartmentSet =
            given.flat_map(|it| it.entry.terms.compartments.iter()).collect();
        let decided = client.revoke_organisation(&holder, organisation).await?;
        let rotated = match compartments.is_empty() || !holder.is_controller() {
            true => None,
            false => Some(client.rotate_compartments(&holder, compartments).await?),
        };
        Ok((decided, rotated))
    })?;
    session.remember()?;
    let at = decided.outcome().location;
    output.result(
        &format!("all that organisation {organisation} was granted has ended: none of its readers opens anything after block {} with what was given before it. {}", at.height, remains(rotated.as_ref())),
        &json!({ "organisation": organisation, "height": at.height, "left_behind": left_behind(rotated.as_ref(), *output) }),
    );
    Ok(())
}

/// New keys for what a grant has lost. A proxy has none to give new ones from.
async fn rotate_lost(
    session: &Session,
    holder: &ChartHolder,
    grant: GrantId,
) -> Result<Option<Rotated>, Failure> {
    if !holder.is_controller() {
        return Ok(None);
    }
    Ok(session.client.rotate_lost(holder, grant).await?)
}

/// What revoking does and cannot do. Without new keys, what is added opens with the old ones for whoever may.
const fn remains(rotated: Option<&Rotated>) -> &'static str {
    match rotated {
        Some(_) => REMAINS,
        None => {
            "What was opened before stays known to whoever opened it; `keepwell audit` lists that."
        }
    }
}

const REMAINS: &str = "What is added from now on is sealed to new keys, which whoever else reads on has got. What was opened before stays known to whoever opened it; `keepwell audit` lists that.";

/// The grants whose grantees have no new keys; people are warned of them.
fn left_behind(rotated: Option<&Rotated>, output: Output) -> Vec<GrantId> {
    let left_behind = rotated.map_or_else(Vec::new, |rotated| rotated.left_behind.clone());
    for grant in &left_behind {
        output.warn(&format!(
            "grant {grant} does not open what is added from now on: its grantee got no new keys; give it again, or write its readers new letters with keys, if they shall read on"
        ));
    }
    left_behind
}
