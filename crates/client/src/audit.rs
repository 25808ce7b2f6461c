//! Who looked: every access of a chart, allowed or refused, from a log that is known to be complete.
//!
//! Not here: how completeness is checked ([`crate::verify::LogWalk`]).

use std::collections::{BTreeMap, btree_map};

use keepwell_ledger::state::{Member, Organisation};
use keepwell_merkle::receipt::VerifiedHeader;
use keepwell_types::{
    access::{Purpose, Target},
    command::{Entry, Payload},
    id::{ChartId, Location, LogPosition, MemberId, OrganisationId},
    member::{Party, Role},
    outcome::{Rejection, Verdict},
    set::RoleSet,
    time::BlockTime,
};

use crate::{
    Client,
    error::{ClientError, UsageError},
    identity::Actor,
    verify::{LogLine, LogMark, VerifiedLog},
};

/// One access, as it was decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    /// Place in the chart's log.
    pub position: LogPosition,
    /// Place in the chain.
    pub location: Location,
    /// When.
    pub time: BlockTime,
    /// Who.
    pub reader: Party,
    /// What for, as the reader signed it.
    pub purpose: Purpose,
    /// What was asked for.
    pub target: Target,
    /// Why it was refused, if it was.
    pub refused: Option<Rejection>,
}

/// What the ledger says of a reader now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReaderFacts {
    /// Its organisation.
    pub organisation: OrganisationId,
    /// That organisation's name.
    pub organisation_name: String,
    /// What it does there.
    pub roles: RoleSet,
}

/// Every access of a chart.
#[derive(Clone, Debug)]
pub struct Audit {
    /// In the order in which they were decided.
    pub accesses: Vec<Access>,
    /// Who the members among the readers are; nothing of one that is no member of this consortium.
    pub readers: BTreeMap<MemberId, Option<ReaderFacts>>,
    /// Where the patient claimed the chart: whoever controlled it before was its organisation's key agent.
    pub claimed: Option<LogPosition>,
    /// Up to where the log was read: what a wallet remembers.
    pub mark: LogMark,
    /// The block after which this is complete.
    pub header: VerifiedHeader,
}

impl Audit {
    /// Whether an access of the chart's controller was one of the organisation's key agent, before the
    /// patient claimed the chart.
    pub fn is_by_agent(&self, access: &Access) -> bool {
        let by_controller = matches!(access.reader, Party::Controller(_));
        by_controller && self.claimed.is_some_and(|claimed| access.position < claimed)
    }
}

/// The accesses in a log.
pub fn accesses_in(log: &VerifiedLog) -> impl Iterator<Item = Access> {
    log.lines().iter().filter_map(access_of)
}

fn access_of(line: &LogLine) -> Option<Access> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let Payload::AccessOpen(access) = &signed.command.payload else { return None };
    let refused = match &line.outcome.verdict {
        Verdict::Accepted => None,
        Verdict::Rejected(rejection) => Some(rejection.clone()),
    };
    Some(Access {
        position: line.position,
        location: line.outcome.location,
        time: line.outcome.time,
        reader: *signed.command.signers.first()?,
        purpose: access.purpose,
        target: access.target.clone(),
        refused,
    })
}

/// Where in a log the patient claimed the chart.
pub fn claim_in(log: &VerifiedLog) -> Option<LogPosition> {
    let is_claim = |line: &&LogLine| {
        line.outcome.verdict.is_accepted() && matches!(line.entry.payload(), Payload::ChartClaim(_))
    };
    log.lines().iter().find(is_claim).map(|line| line.position)
}

impl Client {
    /// Every access of a chart, and who the readers are. `known` is up to where the log was seen before:
    /// a log that was altered since is refused.
    pub async fn audit(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Audit, ClientError> {
        let log = self.log(actor, chart, known).await?;
        let accesses: Vec<_> = accesses_in(&log).collect();
        let readers = self.readers(actor, &accesses).await?;
        let (claimed, mark, header) = (claim_in(&log), log.mark(), log.header().clone());
        Ok(Audit { accesses, readers, claimed, mark, header })
    }

    async fn readers(
        &self,
        actor: &Actor,
        accesses: &[Access],
    ) -> Result<BTreeMap<MemberId, Option<ReaderFacts>>, ClientError> {
        let mut names: BTreeMap<OrganisationId, String> = BTreeMap::new();
        let mut readers = BTreeMap::new();
        for access in accesses {
            let Party::Member(id) = access.reader else { continue };
            if readers.contains_key(&id) {
                continue;
            }
            let Member { organisation, roles, .. } = match self.member(actor, id).await {
                Ok(member) => member,
                Err(ClientError::Usage(UsageError::NoSuchMember(_))) => {
                    readers.insert(id, None);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let organisation_name = match names.entry(organisation) {
                btree_map::Entry::Occupied(known) => known.get().clone(),
                btree_map::Entry::Vacant(new) => {
                    let Organisation { name, .. } = self.organisation(actor, organisation).await?;
                    new.insert(name.to_string()).clone()
                }
            };
            readers.insert(id, Some(ReaderFacts { organisation, organisation_name, roles }));
        }
        Ok(readers)
    }
}

impl ReaderFacts {
    /// What it does there, in words.
    pub fn roles_in_words(&self) -> String {
        self.roles.iter().map(Role::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        access::RecordName,
        encoding::List,
        id::{Digest, Height},
    };

    use super::*;
    use crate::testing::World;

    const CHART: ChartId = ChartId([0xc0; 32]);

    fn access(position: u64, reader: Party) -> Access {
        Access {
            position: LogPosition(position),
            location: Location { height: Height(1), index: 0 },
            time: BlockTime(1),
            reader,
            purpose: Purpose::Treatment,
            target: Target::Records(List::<RecordName, _>::new()),
            refused: None,
        }
    }

    #[test]
    fn a_controllers_access_before_the_claim_is_the_agents() {
        let world = World::new("audit");
        let header = world.certified(world.header(3, Digest([3; 32])));
        let header = header.verify_by(world.consortium.validators()).unwrap();
        let audit = |claimed| Audit {
            accesses: Vec::new(),
            readers: BTreeMap::new(),
            claimed,
            mark: LogMark::START,
            header: header.clone(),
        };
        let (controller, member) = (Party::Controller(CHART), Party::Member(MemberId([1; 16])));
        for (claimed, position, reader, expected) in [
            (Some(5), 4, controller, true),
            (Some(5), 6, controller, false),
            (Some(5), 4, member, false),
            (None, 4, controller, false),
        ] {
            let is_by_agent =
                audit(claimed.map(LogPosition)).is_by_agent(&access(position, reader));
            assert_eq!(is_by_agent, expected, "{claimed:?} {position} {reader:?}");
        }
    }
}
