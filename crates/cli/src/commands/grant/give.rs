//! `keepwell grant give`: a permission or a prohibition.

use clap::Args;
use keepwell_client::{grant::Recipient, identity::Actor, verify::LogMark};
use keepwell_types::{
    access::RecordName,
    command::Payload,
    encoding::List,
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{ChartId, Digest, GrantId, GroupId, MemberId, OrganisationId, TeamId},
    member::Role,
    time::BlockTime,
};
use serde_json::json;

use super::{For, Key, dry_run};
use crate::{
    commands::compartments,
    failure::Failure,
    output::Output,
    page::To,
    profile::{As, Session},
    runtime::block_on,
};

/// Whom a rule is for
#[derive(Args)]
struct Whom {
    /// For a member
    #[arg(long, value_name = "MEMBER", group = "grantee")]
    to: Option<MemberId>,
    /// For an organisation
    #[arg(long, group = "grantee")]
    organisation: Option<OrganisationId>,
    /// ... whoever has this role there
    #[arg(long, requires = "organisation")]
    role: Option<Role>,
    /// For a care team
    #[arg(long, group = "grantee")]
    team: Option<TeamId>,
    /// For a group of an organisation's, such as a tumour board
    #[arg(long, group = "grantee")]
    group: Option<GroupId>,
    /// For everyone
    #[arg(long, group = "grantee")]
    everyone: bool,
}

impl Whom {
    fn grantee(&self) -> Result<Grantee, Failure> {
        let Self { to, organisation, role, team, group, everyone } = *self;
        let organisation = organisation.map(|organisation| match role {
            Some(role) => Grantee::Role { organisation, role },
            None => Grantee::Organisation(organisation),
        });
        let named = [
            to.map(Grantee::Member),
            organisation,
            team.map(Grantee::Team),
            group.map(Grantee::Group),
            everyone.then_some(Grantee::Everyone),
        ];
        named.into_iter().flatten().next().ok_or_else(|| {
            Failure::Misused(
                "say for whom: --to, --organisation (with --role), --team, --group or --everyone"
                    .into(),
            )
        })
    }
}

/// A rule that is given
#[derive(Args)]
pub(super) struct Give {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    #[command(flatten)]
    whom: Whom,
    /// A prohibition; else a permission
    #[arg(long)]
    deny: bool,
    #[command(flatten)]
    key: Key,
    /// A key agent of the organisation, who is to have the keys for its readers
    #[arg(long, value_name = "MEMBER", requires = "organisation")]
    agent: Option<MemberId>,
    /// Which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required = true)]
    compartments: Vec<String>,
    /// Only this record of them, by its place in the log; may be given several times
    #[arg(long = "record", value_name = "POSITION")]
    records: Vec<u64>,
    #[command(flatten)]
    what_for: For,
    /// The grantee may pass it on, to one member each time
    #[arg(long, conflicts_with = "deny")]
    onward: bool,
    /// Give nothing: say which past accesses would be decided otherwise
    #[arg(long)]
    dry_run: bool,
}

/// A grant that is given to nobody: its id is nobody's, and nothing is sealed for it.
fn given(chart: ChartId, terms: GrantTerms) -> GrantGive {
    GrantGive { chart, grant: GrantId([0xff; 16]), terms, seeds: Digest([0; 32]) }
}

impl Give {
    /// What is given.
    async fn terms(
        &self,
        session: &Session,
        actor: &Actor,
        now: BlockTime,
    ) -> Result<GrantTerms, Failure> {
        let grantee = self.whom.grantee()?;
        let compartments = compartments(session, self.chart, &self.compartments)?;
        let terms = self.what_for.terms(grantee, compartments, now);
        let records = named(session, actor, self.chart, &self.records).await?;
        let effect = if self.deny { Effect::Deny } else { Effect::Allow };
        Ok(GrantTerms { effect, records, onward: self.onward, ..terms })
    }

    /// To whom keys are sealed, if to anyone.
    async fn recipient(
        &self,
        session: &Session,
        actor: &Actor,
    ) -> Result<Option<Recipient>, Failure> {
        let Some(member) = self.agent.or(self.whom.to).filter(|_| !self.deny) else {
            return Ok(None);
        };
        Ok(Some(self.key.of(session, actor, member).await?))
    }

    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (mut session, chart) = (self.who.session()?, self.chart);
        let holder = session.holder(chart)?;
        let actor = holder.actor();
        if self.dry_run {
            let terms = block_on(async {
                let now = session.client.tip().await?.header().time;
                self.terms(&session, &actor, now).await
            })?;
            let give = Payload::GrantGive(given(chart, terms));
            return dry_run(&session, chart, &To::usual(), *output, |_| give);
        }
        let meanings = session.meanings(chart).cloned().unwrap_or_default();
        let (given, with_keys) = block_on(async {
            let now = session.client.tip().await?.header().time;
            let terms = self.terms(&session, &actor, now).await?;
            let to = self.recipient(&session, &actor).await?;
            let given = session.client.give_grant(&holder, terms, to.as_ref(), &meanings).await?;
            Ok((given, to.is_some()))
        })?;
        session.remember()?;
        let (grant, at) = (given.grant, given.decided.outcome().location);
        let next = match (self.deny, with_keys, self.agent) {
            (true, ..) => {
                "; whoever had keys keeps them, and nothing is released against it".into()
            }
            (false, true, None) => String::new(),
            (false, true, Some(agent)) => format!(
                "; key agent {agent} hands the keys to each reader (`keepwell grant keys --grant {grant}`)"
            ),
            (false, false, _) => {
                "; write each of its readers a letter with the keys (`keepwell grant keys`)".into()
            }
        };
        output.result(
            &format!("grant {grant} is in force from block {}{next}", at.height),
            &json!({ "grant": grant, "height": at.height, "terms": given.notice.terms }),
        );
        Ok(())
    }
}

/// The records at these places of a chart's log.
async fn named<const MAX: usize>(
    session: &Session,
    actor: &Actor,
    chart: ChartId,
    places: &[u64],
) -> Result<List<RecordName, MAX>, Failure> {
    if places.is_empty() {
        return Ok(List::new());
    }
    let records = session.client.records(actor, chart, LogMark::START).await?;
    let name = |place: &u64| {
        let record = records.iter().find(|it| it.name.position.0 == *place);
        let none = || Failure::Misused(format!("no record stands at position {place}"));
        record.map(|it| it.name).ok_or_else(none)
    };
    let names = places.iter().map(name).collect::<Result<_, _>>()?;
    List::from_vec(names).map_err(|error| Failure::Misused(format!("the records: {error}")))
}
