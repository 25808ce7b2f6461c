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
    error::ClientError,
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
    /// Who the members among the readers are.
    pub readers: BTreeMap<MemberId, ReaderFacts>,
    /// Up to where the log was read: what a wallet remembers.
    pub mark: LogMark,
    /// The block after which this is complete.
    pub header: VerifiedHeader,
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
        Ok(Audit { accesses, readers, mark: log.mark(), header: log.header().clone() })
    }

    async fn readers(
        &self,
        actor: &Actor,
        accesses: &[Access],
    ) -> Result<BTreeMap<MemberId, ReaderFacts>, ClientError> {
        let mut names: BTreeMap<OrganisationId, String> = BTreeMap::new();
        let mut readers = BTreeMap::new();
        for access in accesses {
            let Party::Member(id) = access.reader else { continue };
            if readers.contains_key(&id) {
                continue;
            }
            let Member { organisation, roles, .. } = self.member(actor, id).await?;
            let organisation_name = match names.entry(organisation) {
                btree_map::Entry::Occupied(known) => known.get().clone(),
                btree_map::Entry::Vacant(new) => {
                    let Organisation { name, .. } = self.organisation(actor, organisation).await?;
                    new.insert(name.to_string()).clone()
                }
            };
            readers.insert(id, ReaderFacts { organisation, organisation_name, roles });
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
