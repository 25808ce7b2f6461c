//! Looks: every access of a chart with who, what for, what, and by which rule.
//!
//! # Invariants
//!
//! * [`Looks`] of a chart are made from a log that is complete.
//! * By which rule an access was allowed follows from the log ([`keepwell_ledger::past`]); where members have changed
//!   since, it may not follow any more, and is then not said.

use std::collections::{BTreeMap, btree_map};

use keepwell_crypto::command::record_id_of;
use keepwell_ledger::{
    Lacks,
    consent::Origin,
    past::{Allowed, Past},
    state::{Chart, Key, Value},
};
use keepwell_merkle::receipt::VerifiedHeader;
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    command::{Entry, Payload},
    encoding::List,
    genesis::Parameters,
    id::{ChartId, Compartment, Digest, Location, LogPosition, MemberId, OrganisationId, RecordId},
    member::{OrganisationKind, Party},
    outcome::{Rejection, Verdict},
    record::RecordKind,
    set::{CompartmentSet, RoleSet},
    time::BlockTime,
};

use crate::{
    Client,
    error::{ClientError, UsageError},
    identity::Actor,
    verify::{LogLine, LogMark},
};

/// What was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// The records that stand at these positions.
    Records(Box<[LogPosition]>),
    /// Every record in these compartments that stands before a position.
    Compartments(CompartmentSet, LogPosition),
}

/// By which rules, or that it is not known any more.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum By {
    /// These.
    Rules(Vec<Origin>),
    /// Not known: the reader's roles or groups have changed since.
    Unknown,
    /// By none: it was refused.
    Refused,
}

/// One access.
#[derive(Clone, Debug)]
pub struct Look {
    /// Where it stands in the chart's log.
    pub position: LogPosition,
    /// Where it stands in the chain.
    pub location: Location,
    /// When.
    pub time: BlockTime,
    /// What for, as the reader signed it.
    pub purpose: Purpose,
    /// What was asked for.
    pub wanted: Wanted,
    /// Why it was refused, if it was.
    pub refused: Option<Box<Rejection>>,
    reader: u32,
    by: u32,
}

/// Who a reader is, as the ledger has it now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReaderIs {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub organisation_name: String,
    /// What it is.
    pub kind: OrganisationKind,
    /// What the reader does there.
    pub roles: RoleSet,
}

/// Gathers looks from the lines of a log, in order.
#[derive(Debug, Default)]
pub struct Gathering {
    looks: Vec<Look>,
    parties: Vec<Party>,
    places: BTreeMap<Party, u32>,
    records: BTreeMap<LogPosition, Added>,
    rules: Vec<LogLine>,
    claimed: Option<LogPosition>,
}

/// A record that was added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Added {
    /// Its id.
    pub record: RecordId,
    /// Its compartment.
    pub compartment: Compartment,
    /// Its kind.
    pub kind: RecordKind,
}

/// Every access of a chart.
#[derive(Debug)]
pub struct Looks {
    /// The chart.
    pub chart: ChartId,
    /// Its organisation.
    pub organisation: OrganisationId,
    /// In the order in which they were decided.
    pub looks: Vec<Look>,
    /// Who the members among the readers are; nothing of one that is no member of this consortium.
    pub readers: BTreeMap<MemberId, Option<ReaderIs>>,
    /// Where the patient claimed the chart.
    pub claimed: Option<LogPosition>,
    parties: Vec<Party>,
    records: BTreeMap<LogPosition, Added>,
    origins: Vec<By>,
}

/// Looks, and what proves that they are all.
#[derive(Debug)]
pub struct ProvenLooks {
    /// The looks.
    pub looks: Looks,
    /// Up to where the log was read.
    pub mark: LogMark,
    /// The block after which this is complete.
    pub header: VerifiedHeader,
}

impl Gathering {
    /// Takes the next line of the log.
    pub fn take(&mut self, line: LogLine) {
        let Entry::Signed(signed) = &line.entry else { return };
        let accepted = line.outcome.verdict.is_accepted();
        #[expect(clippy::wildcard_enum_match_arm, reason = "rules of the past read the rest")]
        match &signed.command.payload {
            Payload::AccessOpen(open) => {
                let Some(party) = signed.command.signers.first() else { return };
                let look = self.look(&line, *party, open);
                self.looks.push(look);
            }
            Payload::RecordAdd(add) if accepted => {
                if let Some(record) = record_id_of(&signed.command) {
                    let (compartment, kind) = (add.compartment, add.kind);
                    let added = Added { record, compartment, kind };
                    self.records.insert(line.position, added);
                }
            }
            Payload::ChartClaim(_) if accepted => self.claimed = Some(line.position),
            _ if accepted => self.rules.push(line),
            _ => {}
        }
    }

    fn look(&mut self, line: &LogLine, party: Party, open: &AccessOpen) -> Look {
        let next = u32::try_from(self.parties.len()).unwrap_or(u32::MAX);
        let reader = *self.places.entry(party).or_insert(next);
        if reader == next {
            self.parties.push(party);
        }
        let wanted = match &open.target {
            Target::Records(names) => Wanted::Records(names.iter().map(|it| it.position).collect()),
            Target::Compartments { compartments, until } => {
                Wanted::Compartments(*compartments, *until)
            }
        };
        let refused = match &line.outcome.verdict {
            Verdict::Accepted => None,
            Verdict::Rejected(rejection) => Some(Box::new(rejection.clone())),
        };
        Look {
            position: line.position,
            location: line.outcome.location,
            time: line.outcome.time,
            purpose: open.purpose,
            wanted,
            refused,
            reader,
            by: 0,
        }
    }

    /// The members among the readers.
    pub fn members(&self) -> impl Iterator<Item = MemberId> {
        self.parties.iter().filter_map(|party| match party {
            Party::Member(id) => Some(*id),
            Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => None,
        })
    }

    /// Says of each access by which rules it was allowed. `load` gives what the log does not tell.
    pub fn finish(
        self,
        (chart, entry): (ChartId, Chart),
        parameters: Parameters,
        readers: BTreeMap<MemberId, Option<ReaderIs>>,
        load: impl Fn(&Key) -> Option<Value>,
    ) -> Looks {
        let organisation = entry.organisation;
        let mut past = Past::new(chart, entry, parameters);
        let mut rules = self.rules.iter().peekable();
        let mut added = self.records.iter().peekable();
        let mut known = BTreeMap::from([(By::Refused, 0_u32)]);
        let mut looks = self.looks;
        for look in &mut looks {
            while let Some((position, it)) =
                added.next_if(|(position, _)| **position < look.position)
            {
                let name = RecordName { position: *position, record: it.record };
                past.added(name, it.compartment, it.kind);
            }
            while let Some(line) = rules.next_if(|line| line.position < look.position) {
                let taken = loaded(&mut past, &load, |past| {
                    past.take(line.position, &line.entry, &line.outcome)
                });
                debug_assert!(taken.is_none(), "accesses are not among the rules");
            }
            if look.refused.is_some() {
                continue;
            }
            let open = look.open(chart, &self.records);
            let reader = self.parties[look.reader as usize];
            let allowed = loaded(&mut past, &load, |past| {
                past.opened(look.position, reader, &open, look.time)
            });
            let by = match allowed {
                Allowed::By(origins) => By::Rules(origins.into_iter().collect()),
                Allowed::Unknown => By::Unknown,
            };
            let next = known.len() as u32;
            look.by = *known.entry(by).or_insert(next);
        }
        let mut origins: Vec<_> = known.into_iter().collect();
        origins.sort_by_key(|(_, place)| *place);
        let origins = origins.into_iter().map(|(by, _)| by).collect();
        let (parties, records, claimed) = (self.parties, self.records, self.claimed);
        Looks { chart, organisation, looks, readers, claimed, parties, records, origins }
    }
}

/// Asks the past, and loads what it lacks: what is nowhere is nothing.
fn loaded<T>(
    past: &mut Past,
    load: &impl Fn(&Key) -> Option<Value>,
    mut ask: impl FnMut(&mut Past) -> Result<T, Lacks>,
) -> T {
    loop {
        match ask(past) {
            Ok(answer) => return answer,
            Err(Lacks(key)) => past.load(key, load(&key)),
        }
    }
}

impl Look {
    fn open(&self, chart: ChartId, records: &BTreeMap<LogPosition, Added>) -> AccessOpen {
        let target = match &self.wanted {
            Wanted::Compartments(compartments, until) => {
                Target::Compartments { compartments: *compartments, until: *until }
            }
            Wanted::Records(positions) => {
                let name = |position: &LogPosition| {
                    let record = records.get(position)?.record;
                    Some(RecordName { position: *position, record })
                };
                let names = positions.iter().filter_map(name).collect();
                Target::Records(List::from_vec(names).unwrap_or_default())
            }
        };
        let (purpose, reader_key) = (self.purpose, Digest([0; 32]));
        AccessOpen { chart, target, purpose, reader_key, notice: 0 }
    }
}

impl Looks {
    /// Who looked.
    pub fn reader(&self, look: &Look) -> Party {
        self.parties[look.reader as usize]
    }

    /// By which rules.
    pub fn by(&self, look: &Look) -> &By {
        &self.origins[look.by as usize]
    }

    /// Who the reader is, where it is a member.
    pub fn reader_is(&self, look: &Look) -> Option<&ReaderIs> {
        let Party::Member(id) = self.reader(look) else { return None };
        self.readers.get(&id)?.as_ref()
    }

    /// Whether an access of the chart's controller was one of the organisation's key agent, before the patient
    /// claimed the chart.
    pub fn is_by_agent(&self, look: &Look) -> bool {
        let by_controller = matches!(self.reader(look), Party::Controller(_));
        by_controller && self.claimed.is_some_and(|claimed| look.position < claimed)
    }

    /// The record at a position.
    pub fn record(&self, position: LogPosition) -> Option<&Added> {
        self.records.get(&position)
    }

    /// Which compartments an access named, and which kinds where it named records.
    pub fn touched(&self, look: &Look) -> (CompartmentSet, Vec<RecordKind>) {
        match &look.wanted {
            Wanted::Compartments(compartments, _) => (*compartments, Vec::new()),
            Wanted::Records(positions) => {
                let added = || positions.iter().filter_map(|it| self.records.get(it));
                let mut kinds: Vec<_> = added().map(|it| it.kind).collect();
                kinds.sort_unstable();
                kinds.dedup();
                (added().map(|it| it.compartment).collect(), kinds)
            }
        }
    }
}

impl Client {
    /// Every access of a chart, for those at home in it.
    pub async fn looks(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<ProvenLooks, ClientError> {
        let each = |gathering: &mut Gathering, line| gathering.take(line);
        let gathered = self.fold_log(actor, chart, known, Gathering::default(), each).await?;
        let (gathering, mark, header) = gathered;
        let entry = self.chart(actor, chart).await?;
        let mut facts: BTreeMap<Key, Option<Value>> = BTreeMap::new();
        let mut readers = BTreeMap::new();
        let mut names = gathering.members().collect::<Vec<_>>();
        names.extend(gathering.rules.iter().filter_map(passed_by));
        for id in names {
            let is = self.reader_is(actor, id, &mut facts).await?;
            readers.insert(id, is);
        }
        let parameters = self.consortium().genesis().parameters.clone();
        let load = |key: &Key| facts.get(key).cloned().flatten();
        let looks = gathering.finish((chart, entry), parameters, readers, load);
        Ok(ProvenLooks { looks, mark, header })
    }

    /// Who a member is; what was learned of it and its organisation is put into `facts`.
    pub(crate) async fn reader_is(
        &self,
        actor: &Actor,
        id: MemberId,
        facts: &mut BTreeMap<Key, Option<Value>>,
    ) -> Result<Option<ReaderIs>, ClientError> {
        let member = match self.member(actor, id).await {
            Ok(member) => member,
            Err(ClientError::Usage(UsageError::NoSuchMember(_))) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (organisation, roles) = (member.organisation, member.roles);
        facts.insert(Key::Member(id), Some(Value::Member(member)));
        let key = Key::Organisation(organisation);
        let entry = match facts.entry(key) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(new) => {
                let entry = self.organisation(actor, organisation).await?;
                new.insert(Some(Value::Organisation(entry)))
            }
        };
        let Some(Value::Organisation(entry)) = entry else { return Ok(None) };
        let (organisation_name, kind) = (entry.name.to_string(), entry.kind);
        Ok(Some(ReaderIs { organisation, organisation_name, kind, roles }))
    }
}

/// Who passed a grant on: whether that still holds depends on who they are.
fn passed_by(line: &LogLine) -> Option<MemberId> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let Payload::GrantPass(_) = &signed.command.payload else { return None };
    match signed.command.signers.first()? {
        Party::Member(id) => Some(*id),
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => None,
    }
}
