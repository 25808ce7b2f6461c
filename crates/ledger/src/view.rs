//! The part of the state that a decision reads.
//!
//! A view holds what was loaded into it, and knows of each key whether it was loaded. Reading a key
//! that was not gives [`Lacks`], which names it: whoever holds the database loads it and asks again.
//! So the ledger needs neither async nor the whole state in memory, and entries are decoded once.
//!
//! # Invariants
//!
//! * What was written in a view is never overwritten by what is loaded into it.
//! * What was written since a [`Mark`] can be undone, at the cost of those writes. What was loaded since stays: it is
//!   what the state before the block has.
//! * A value stands only under a key of its kind; a database that has it otherwise is damaged, and the
//!   view panics rather than decide from it.

use alloc::{collections::BTreeMap, vec::Vec};

use keepwell_merkle::range::Peaks;
use keepwell_types::{
    grant::Grantee,
    id::{
        CaseId, ChartId, GrantId, GroupId, LinkId, LogPosition, MemberId, MotionId, OrganisationId,
        RecordId, RequestId, UniquenessTag,
    },
};
use thiserror::Error;

use crate::state::{
    Account, Case, Changing, Chart, ChartLog, Credentials, Cutoff, Dealt, Emergencies,
    EmergencyUse, Grant, Group, Guardians, Key, Link, MatchQuota, Member, Motion, OpenMotions,
    OpenRequests, Organisation, Organisations, Proposal, ProtocolPlan, Proxies, Quota, Receiver,
    RecordEntry, RecordState, Recoveries, ReplaySlot, Request, Stored, Subject, TagOwner, Teams,
    Validators, Value,
};

/// A key that was read and not loaded.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{0:?} is not loaded; load it and ask again")]
pub struct Lacks(pub Key);

/// Loaded keys of the state, and what was written over them since.
#[derive(Clone, Debug, Default)]
pub struct View {
    entries: BTreeMap<Key, Loaded>,
    /// What stood under keys before they were written, in the order of the writes; while a transaction is under way.
    journal: Option<Vec<(Key, Option<Loaded>)>>,
}

/// A point to which writes can be undone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Before the first write that the journal has.
    pub(crate) const BEGINNING: Self = Self(0);
}

#[derive(Clone, Debug)]
struct Loaded {
    value: Option<Value>,
    written: bool,
}

impl View {
    /// Nothing loaded yet.
    pub const fn new() -> Self {
        Self { entries: BTreeMap::new(), journal: None }
    }

    /// Takes in what the state has under `key`: a value, or nothing.
    ///
    /// # Panics
    ///
    /// If the value is not of the key's kind: the database is damaged.
    pub fn load(&mut self, key: Key, value: Option<Value>) {
        assert_kind(&key, value.as_ref());
        self.entries.entry(key).or_insert(Loaded { value, written: false });
    }

    /// The keys that are here, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.keys()
    }

    /// What stands under `key`, if anything does.
    pub fn value(&self, key: &Key) -> Result<Option<&Value>, Lacks> {
        let loaded = self.entries.get(key).ok_or(Lacks(*key))?;
        Ok(loaded.value.as_ref())
    }

    /// An organisation.
    pub fn organisation(&self, id: OrganisationId) -> Result<Option<&Organisation>, Lacks> {
        self.read(Key::Organisation(id))
    }

    /// All organisations.
    pub fn organisations(&self) -> Result<Option<&Organisations>, Lacks> {
        self.read(Key::Organisations)
    }

    /// A motion that waits.
    pub fn motion(&self, id: MotionId) -> Result<Option<&Motion>, Lacks> {
        self.read(Key::Motion(id))
    }

    /// The motions of an organisation's administrators that wait.
    pub fn open_motions(&self, id: OrganisationId) -> Result<Option<&OpenMotions>, Lacks> {
        self.read(Key::OpenMotions(id))
    }

    /// Who validates.
    pub fn validators(&self) -> Result<Option<&Validators>, Lacks> {
        self.read(Key::Validators)
    }

    /// The change of validators that is under way, or that failed last.
    pub fn changing(&self) -> Result<Option<&Changing>, Lacks> {
        self.read(Key::Changing)
    }

    /// Which version of the protocol is in force, and which is planned.
    pub fn protocol(&self) -> Result<ProtocolPlan, Lacks> {
        Ok(self.read(Key::Protocol)?.copied().unwrap_or(ProtocolPlan::FIRST))
    }

    /// One of the new set that is ready.
    pub fn receiver(&self, index: u16) -> Result<Option<&Receiver>, Lacks> {
        self.read(Key::Receiver(index))
    }

    /// What one of the old set has dealt.
    pub fn dealt(&self, index: u16) -> Result<Option<&Dealt>, Lacks> {
        self.read(Key::Dealt(index))
    }

    /// A member.
    pub fn member(&self, id: MemberId) -> Result<Option<&Member>, Lacks> {
        self.read(Key::Member(id))
    }

    /// A chart.
    pub fn chart(&self, id: ChartId) -> Result<Option<&Chart>, Lacks> {
        self.read(Key::Chart(id))
    }

    /// The log of a chart.
    pub fn chart_log(&self, id: ChartId) -> Result<Option<&ChartLog>, Lacks> {
        self.read(Key::ChartLog(id))
    }

    /// A grant.
    pub fn grant(&self, chart: ChartId, id: GrantId) -> Result<Option<&Grant>, Lacks> {
        self.read(Key::Grant(chart, id))
    }

    /// The grants that someone has in a chart.
    pub fn subject(&self, chart: ChartId, grantee: Grantee) -> Result<Option<&Subject>, Lacks> {
        self.read(Key::Subject(chart, grantee))
    }

    /// Up to where grants do not reach the readers of an organisation.
    pub fn cutoff(
        &self,
        chart: ChartId,
        organisation: OrganisationId,
    ) -> Result<Option<&Cutoff>, Lacks> {
        self.read(Key::Cutoff(chart, organisation))
    }

    /// The care teams of a chart.
    pub fn teams(&self, chart: ChartId) -> Result<Option<&Teams>, Lacks> {
        self.read(Key::Teams(chart))
    }

    /// A group of members.
    pub fn group(&self, id: GroupId) -> Result<Option<&Group>, Lacks> {
        self.read(Key::Group(id))
    }

    /// A request for a grant.
    pub fn request(&self, chart: ChartId, id: RequestId) -> Result<Option<&Request>, Lacks> {
        self.read(Key::Request(chart, id))
    }

    /// The requests of an organisation that wait.
    pub fn open_requests(
        &self,
        chart: ChartId,
        organisation: OrganisationId,
    ) -> Result<Option<&OpenRequests>, Lacks> {
        self.read(Key::OpenRequests(chart, organisation))
    }

    /// What has happened since it was added to the record whose first version is `original`.
    pub fn record_state(
        &self,
        chart: ChartId,
        original: RecordId,
    ) -> Result<Option<&RecordState>, Lacks> {
        self.read(Key::RecordState(chart, original))
    }

    /// The credentials of a member.
    pub fn credentials(&self, id: MemberId) -> Result<Option<&Credentials>, Lacks> {
        self.read(Key::Credentials(id))
    }

    /// How an organisation's members used emergencies.
    pub fn emergency_use(&self, id: OrganisationId) -> Result<Option<&EmergencyUse>, Lacks> {
        self.read(Key::EmergencyUse(id))
    }

    /// The emergencies of a chart.
    pub fn emergencies(&self, chart: ChartId) -> Result<Option<&Emergencies>, Lacks> {
        self.read(Key::Emergencies(chart))
    }

    /// A case.
    pub fn case(&self, chart: ChartId, id: CaseId) -> Result<Option<&Case>, Lacks> {
        self.read(Key::Case(chart, id))
    }

    /// What an organisation has had evaluated for matching.
    pub fn match_quota(&self, organisation: OrganisationId) -> Result<Option<&MatchQuota>, Lacks> {
        self.read(Key::MatchQuota(organisation))
    }

    /// A link.
    pub fn link(&self, id: LinkId) -> Result<Option<&Link>, Lacks> {
        self.read(Key::Link(id))
    }

    /// What a record waits for.
    /// Who guards a chart.
    pub fn guardians(&self, chart: ChartId) -> Result<Option<&Guardians>, Lacks> {
        self.read(Key::Guardians(chart))
    }

    /// The recoveries of a chart that wait.
    pub fn recoveries(&self, chart: ChartId) -> Result<Option<&Recoveries>, Lacks> {
        self.read(Key::Recoveries(chart))
    }

    /// Who acts for the patient of a chart.
    pub fn proxies(&self, chart: ChartId) -> Result<Option<&Proxies>, Lacks> {
        self.read(Key::Proxies(chart))
    }

    /// The sign-off of a record.
    pub fn proposal(&self, chart: ChartId, id: RecordId) -> Result<Option<&Proposal>, Lacks> {
        self.read(Key::Proposal(chart, id))
    }

    /// Who has a tag.
    pub fn tag(
        &self,
        organisation: OrganisationId,
        tag: UniquenessTag,
    ) -> Result<Option<&TagOwner>, Lacks> {
        self.read(Key::Tag(organisation, tag))
    }

    /// The record that the outcome at `position` added. What stands at or after the end of the log is
    /// nothing, whatever an index that is ahead of this state may say.
    pub fn record(
        &self,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<Option<&RecordEntry>, Lacks> {
        match self.chart_log(chart)? {
            Some(log) if position < log.count => self.read(Key::Record(chart, position)),
            Some(_) | None => Ok(None),
        }
    }

    pub(crate) fn replay_slot(&self, key: Key) -> Result<Option<&ReplaySlot>, Lacks> {
        self.read(key)
    }

    pub(crate) fn quota(
        &self,
        organisation: OrganisationId,
        account: Account,
    ) -> Result<Option<&Quota>, Lacks> {
        self.read(Key::Quota(organisation, account))
    }

    pub(crate) fn history(&self) -> Result<Option<&Peaks>, Lacks> {
        self.read(Key::History)
    }

    /// Puts `value` in place of what stands under `key`.
    pub(crate) fn write(&mut self, key: Key, value: Option<Value>) {
        assert_kind(&key, value.as_ref());
        let before = self.entries.insert(key, Loaded { value, written: true });
        if let Some(journal) = &mut self.journal {
            journal.push((key, before));
        }
    }

    /// The entry under `key`, to be changed in place; a default one where there is none.
    pub(crate) fn write_in_place<T: Stored + Default>(&mut self, key: Key) -> &mut T {
        if let Some(journal) = &mut self.journal {
            journal.push((key, self.entries.get(&key).cloned()));
        }
        let loaded = self.entries.entry(key).or_insert(Loaded { value: None, written: true });
        loaded.written = true;
        let value = loaded.value.get_or_insert_with(|| T::default().into());
        assert_kind(&key, Some(value));
        T::of_mut(value).expect("a value under a key is of the key's kind")
    }

    /// From here on it is kept what writes replace, until [`Self::end_journal`].
    pub(crate) fn begin_journal(&mut self) {
        assert!(self.journal.is_none(), "writes are recorded for one transaction at a time");
        self.journal = Some(Vec::new());
    }

    /// The point up to which was written.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.journal.as_ref().map_or(0, Vec::len))
    }

    /// Has every key be as it was at `mark`.
    pub(crate) fn undo(&mut self, mark: Mark) {
        let Some(journal) = &mut self.journal else { return };
        for (key, before) in journal.drain(mark.0..).rev() {
            match before {
                Some(before) => drop(self.entries.insert(key, before)),
                None => drop(self.entries.remove(&key)),
            }
        }
    }

    /// What was written stays.
    pub(crate) fn end_journal(&mut self) {
        self.journal = None;
    }

    /// What was written, in the order of the keys.
    pub(crate) fn into_written(self) -> impl Iterator<Item = (Key, Option<Value>)> {
        self.entries
            .into_iter()
            .filter(|(_, loaded)| loaded.written)
            .map(|(key, loaded)| (key, loaded.value))
    }

    fn read<T: Stored>(&self, key: Key) -> Result<Option<&T>, Lacks> {
        let value = self.value(&key)?;
        Ok(value.map(|value| T::of(value).expect("a value under a key is of the key's kind")))
    }
}

fn assert_kind(key: &Key, value: Option<&Value>) {
    assert!(value.is_none_or(|value| key.holds(value)), "{key:?} holds a value of another kind");
}
