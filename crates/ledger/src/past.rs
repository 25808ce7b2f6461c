//! The past: by which rules the accesses in a chart's log were allowed.
//!
//! A log says who opened what, and not by which rule. Its own entries say which rules there were: here they
//! are read once more, in order, and the rule of [`crate::consent`] is asked at each access.
//!
//! # Invariants
//!
//! * Grants, their counts, ends of organisations and care teams become, entry by entry, what the state had.
//! * What a chart's log does not tell, members and their roles above all, is what the caller loads: as it is
//!   today. An access that this does not explain any more is [`Allowed::Unknown`], never a guess.
//! * What is remembered between entries does not grow with the number of accesses.
//!
//! Not here: refused accesses, which name their reason; hard stops, which no accepted access met.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use keepwell_crypto::command::record_id_of;
use keepwell_types::{
    access::{AccessOpen, BreakGlass, Purpose, RecordName, Target},
    command::{Entry, Payload},
    genesis::Parameters,
    grant::{GrantLimit, GrantRevoke},
    id::{ChartId, Compartment, GrantId, LogPosition, MemberId},
    limits::EMERGENCIES_MAX,
    member::Party,
    outcome::Outcome,
    record::RecordKind,
    set::CompartmentSet,
    time::BlockTime,
};

use crate::{
    access::counted,
    consent::{Consent, Counting, Decision, Item, Origin, Question, Reader},
    grant::{Draft, limited},
    state::{Chart, Cutoff, Grant, Key, Subject, Value},
    team,
    view::{Lacks, View},
};

/// Decisions that are remembered until a rule changes.
const REMEMBERED_MAX: usize = 16 * 1024;

/// By which rules an accepted access was allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// These, each a part of it.
    By(BTreeSet<Origin>),
    /// What is known today does not say: since then the reader's roles or groups have changed.
    Unknown,
}

/// A chart's rules, from the entries of its log so far.
#[derive(Clone, Debug)]
pub struct Past {
    chart: ChartId,
    entry: Chart,
    parameters: Parameters,
    view: View,
    records: BTreeMap<LogPosition, (RecordName, Compartment, RecordKind)>,
    emergencies: Vec<Broken>,
    /// Whether a grant has ever listed records: until then decisions do not depend on which it is.
    lists_records: bool,
    /// Instants at which a grant begins or ends.
    edges: BTreeSet<BlockTime>,
    remembered: BTreeMap<Asked, Option<Vec<Origin>>>,
    /// Until when what is remembered holds.
    holds_until: BlockTime,
}

/// An emergency in which the glass was broken.
#[derive(Clone, Copy, Debug)]
struct Broken {
    position: LogPosition,
    member: MemberId,
    compartments: CompartmentSet,
    until: BlockTime,
}

/// A part of an access, and who asks for it: compartments, or one record in one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Asked {
    reader: MemberId,
    purpose: Purpose,
    compartments: CompartmentSet,
    /// One record; without it, all of the compartments.
    one: Option<(RecordKind, Option<RecordName>)>,
}

impl Past {
    /// A chart before the first entry of its log; `entry` is what the ledger has of it today.
    pub fn new(chart: ChartId, entry: Chart, parameters: Parameters) -> Self {
        Self {
            chart,
            entry,
            parameters,
            view: View::new(),
            records: BTreeMap::new(),
            emergencies: Vec::new(),
            lists_records: false,
            edges: BTreeSet::new(),
            remembered: BTreeMap::new(),
            holds_until: BlockTime(0),
        }
    }

    /// Takes in what the log does not tell: a member, a group, an organisation.
    pub fn load(&mut self, key: Key, value: Option<Value>) {
        self.view.load(key, value);
    }

    /// What the rules are, as far as the log tells: for checks against the state itself.
    pub fn value(&self, key: &Key) -> Option<&Value> {
        self.view.value(key).ok().flatten()
    }

    /// Takes the next entry of the log. Of an accepted access it says by which rules it was allowed. If
    /// something is lacking nothing is taken: load it and give the entry again.
    pub fn take(
        &mut self,
        position: LogPosition,
        entry: &Entry,
        outcome: &Outcome,
    ) -> Result<Option<Allowed>, Lacks> {
        let Entry::Signed(signed) = entry else { return Ok(None) };
        let (payload, signers) = (&signed.command.payload, &signed.command.signers);
        let (Some(by), true) = (signers.first(), outcome.verdict.is_accepted()) else {
            return Ok(None);
        };
        if let Payload::AccessOpen(open) = payload {
            return self.opened(position, *by, open, outcome.time).map(Some);
        }
        if let Payload::RecordAdd(add) = payload
            && let Some(record) = record_id_of(&signed.command)
        {
            self.added(RecordName { position, record }, add.compartment, add.kind);
        }
        self.change(position, *by, payload, outcome.time);
        Ok(None)
    }

    /// Takes a record that was added: what [`Self::take`] does with its entry.
    pub fn added(&mut self, name: RecordName, compartment: Compartment, kind: RecordKind) {
        self.records.insert(name.position, (name, compartment, kind));
    }

    fn change(&mut self, position: LogPosition, by: Party, payload: &Payload, time: BlockTime) {
        if let Some(draft) = Draft::of_accepted(payload, by) {
            let grant = draft.entry(self.entry.separate_consent, time, position);
            return self.give(draft.id(), grant);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other command changes a rule")]
        match payload {
            Payload::GrantLimit(it) => self.limit(it),
            Payload::GrantRevoke(it) => self.revoke(it, time),
            Payload::GrantRevokeOrganisation(it) => {
                self.put(Key::Cutoff(self.chart, it.organisation), Cutoff { before: position });
            }
            Payload::TeamArrange(it) => {
                let before = self.view.teams(self.chart).ok().flatten();
                let teams = team::arranged(before, it).expect("it was accepted");
                self.put(Key::Teams(self.chart), teams);
            }
            Payload::BreakGlass(it) => self.broke(position, by, it),
            _ => {}
        }
    }

    fn give(&mut self, id: GrantId, grant: Grant) {
        let key = Key::Subject(self.chart, grant.terms.grantee);
        let mut subject = match self.value(&key) {
            Some(Value::Subject(subject)) => subject.clone(),
            Some(_) | None => Subject::default(),
        };
        subject.grants.push(id).expect("it was accepted");
        self.lists_records |= !grant.terms.records.is_empty();
        self.edges.extend([grant.terms.window.from, grant.terms.window.until]);
        if let Some(passed) = grant.passed
            && let Some(ground) = self.grant(passed.from)
        {
            let ground = Grant { passed_on: ground.passed_on.saturating_add(1), ..ground };
            self.put(Key::Grant(self.chart, passed.from), ground);
        }
        self.put(key, subject);
        self.put(Key::Grant(self.chart, id), grant);
    }

    fn limit(&mut self, it: &GrantLimit) {
        let Some(grant) = self.grant(it.grant) else { return };
        let grant = Grant { terms: limited(&grant.terms, it), ..grant };
        self.edges.extend([grant.terms.window.from, grant.terms.window.until]);
        self.put(Key::Grant(self.chart, it.grant), grant);
    }

    fn revoke(&mut self, it: &GrantRevoke, time: BlockTime) {
        let Some(grant) = self.grant(it.grant) else { return };
        let key = Key::Subject(self.chart, grant.terms.grantee);
        if let Some(Value::Subject(subject)) = self.value(&key) {
            let mut subject = subject.clone();
            subject.grants.retain(|id| *id != it.grant);
            self.put(key, subject);
        }
        self.put(Key::Grant(self.chart, it.grant), Grant { revoked_at: Some(time), ..grant });
    }

    fn broke(&mut self, position: LogPosition, by: Party, it: &BreakGlass) {
        let Party::Member(member) = by else { return };
        // As many as a chart can have open at a time, of each of whom the newest count.
        if self.emergencies.len() >= EMERGENCIES_MAX * EMERGENCIES_MAX {
            self.emergencies.remove(0);
        }
        let (compartments, until) = (it.compartments, it.until);
        self.emergencies.push(Broken { position, member, compartments, until });
    }

    fn grant(&self, id: GrantId) -> Option<Grant> {
        match self.value(&Key::Grant(self.chart, id)) {
            Some(Value::Grant(grant)) => Some(grant.clone()),
            Some(_) | None => None,
        }
    }

    fn put(&mut self, key: Key, entry: impl Into<Value>) {
        // What is remembered, and until when it holds, depend on every rule.
        self.remembered.clear();
        self.holds_until = BlockTime(0);
        self.view.write(key, Some(entry.into()));
    }

    /// Takes an accepted access: what [`Self::take`] does with its entry.
    pub fn opened(
        &mut self,
        position: LogPosition,
        by: Party,
        open: &AccessOpen,
        time: BlockTime,
    ) -> Result<Allowed, Lacks> {
        let Party::Member(reader) = by else {
            return Ok(Allowed::By(BTreeSet::from([Origin::Controller])));
        };
        let mut origins = BTreeSet::new();
        let mut is_known = true;
        for asked in self.parts(reader, open) {
            match self.part(&asked, time)? {
                Some(by) => origins.extend(by),
                None => is_known = false,
            }
        }
        if !is_known || origins.is_empty() {
            return Ok(Allowed::Unknown);
        }
        self.count(position, &origins);
        Ok(Allowed::By(origins))
    }

    /// What is asked for, part by part; of a record that is not in the log, nothing.
    fn parts(&self, reader: MemberId, open: &AccessOpen) -> Vec<Asked> {
        let purpose = open.purpose;
        match &open.target {
            Target::Compartments { compartments, .. } => {
                Vec::from([Asked { reader, purpose, compartments: *compartments, one: None }])
            }
            Target::Records(names) => names
                .iter()
                .filter_map(|name| self.records.get(&name.position))
                .map(|(name, compartment, kind)| {
                    let compartments = CompartmentSet::EMPTY.with(*compartment);
                    let one = Some((*kind, self.lists_records.then_some(*name)));
                    Asked { reader, purpose, compartments, one }
                })
                .collect(),
        }
    }

    /// By which rules one part was allowed; nothing if none of today's allows it.
    fn part(&mut self, asked: &Asked, time: BlockTime) -> Result<Option<Vec<Origin>>, Lacks> {
        if self.holds_until <= time || self.remembered.len() >= REMEMBERED_MAX {
            self.remembered.clear();
            let next = self.edges.range(time.plus_ms(1)..).next();
            self.holds_until = next.copied().unwrap_or(BlockTime(u64::MAX));
        }
        if let Some(known) = self.remembered.get(asked) {
            return Ok(known.clone());
        }
        let by = self.decide(asked, time)?;
        // An emergency ends without an entry.
        if asked.purpose != Purpose::BreakGlass {
            self.remembered.insert(*asked, by.clone());
        }
        Ok(by)
    }

    fn decide(&mut self, asked: &Asked, time: BlockTime) -> Result<Option<Vec<Origin>>, Lacks> {
        loop {
            match self.decided(asked, time) {
                Err(Lacks(key)) if self.tells(&key) => self.view.load(key, None),
                decided @ (Ok(_) | Err(_)) => return decided,
            }
        }
    }

    fn decided(&self, asked: &Asked, time: BlockTime) -> Result<Option<Vec<Origin>>, Lacks> {
        let Some(member) = self.view.member(asked.reader)? else { return Ok(None) };
        let reader = Reader::member(asked.reader, member);
        let (chart, purpose, counting) = (self.chart, asked.purpose, Counting::Opening);
        let question = Question { chart, purpose, time, counting };
        let consent = Consent::of(&self.view, &self.parameters, &self.entry, reader, question)?;
        let mut origins = Vec::new();
        for compartment in asked.compartments.iter() {
            let by = match asked.one {
                None => consent.compartment(compartment).ok(),
                Some((kind, record)) => {
                    let item = Item { compartment, kind, record };
                    match consent.explain_item(&item).decision {
                        Decision::Allowed(origin) => Some(Vec::from([origin])),
                        Decision::Refused(_) => None,
                    }
                }
            };
            // Whether a licence held in an emergency is what the ledger knew then.
            let by = by.or_else(|| self.emergency(asked, compartment, time));
            let Some(by) = by else { return Ok(None) };
            origins.extend(by);
        }
        origins.sort_unstable();
        origins.dedup();
        Ok(Some(origins))
    }

    fn emergency(
        &self,
        asked: &Asked,
        compartment: Compartment,
        time: BlockTime,
    ) -> Option<Vec<Origin>> {
        let is_it = |it: &&Broken| {
            it.member == asked.reader
                && it.compartments.contains(compartment)
                && time < it.until
                && asked.purpose == Purpose::BreakGlass
        };
        let found = self.emergencies.iter().rev().find(is_it)?;
        Some(Vec::from([Origin::Emergency(found.position)]))
    }

    /// Whether the log tells all there is under a key, so that nothing told is nothing there.
    fn tells(&self, key: &Key) -> bool {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other key is of a chart's rules")]
        match key {
            Key::Grant(chart, _)
            | Key::Subject(chart, _)
            | Key::Cutoff(chart, _)
            | Key::Teams(chart)
            | Key::Emergencies(chart) => *chart == self.chart,
            _ => false,
        }
    }

    fn count(&mut self, position: LogPosition, origins: &BTreeSet<Origin>) {
        for origin in origins {
            let Origin::Grant(id) = origin else { continue };
            let Some(grant) = self.grant(*id) else { continue };
            if grant.terms.accesses_max.is_some()
                && let Ok(grant) = counted(&grant, position)
            {
                self.put(Key::Grant(self.chart, *id), grant);
            }
        }
    }
}
