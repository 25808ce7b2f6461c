//! Why: who may read what in a chart and by which rule, who could, and who would under another rule.
//!
//! ```text
//! log, complete ── grants, records, readers ──┐
//! state, proven value by value ───────────────┴─> view ──> the ledger's own rule ──> answer
//! ```
//!
//! # Invariants
//!
//! * The rule is the one that validators run (`keepwell_ledger::consent`, `keepwell_ledger::trial`), on values that
//!   were proven, of records and grants from a log that is complete. No node's opinion enters.
//! * The values are of blocks a moment apart: an answer says of which.
//! * A trial signs a command whose window is over, and sends it to nobody.
//!
//! What cannot be known: the ledger lists no organisation's members. Of one, of a role and of a group it is said what
//! holds for whoever is in it and is named by nothing else; members that this chart has met are told apart.
//!
//! Not here: printing; by which rule an access of the past was allowed ([`crate::report`]).

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keepwell_crypto::command::{sign, verify};
use keepwell_ledger::{
    BlockContext, Halt, Lacks, View,
    consent::{Consent, Counting, Decision, Item, Origin, Question, Reader, Trace},
    state::{Chart, ChartLog, Key, Member, Organisation, RecordEntry, Value},
    trial,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    command::{COMMAND_VERSION, Command, Payload},
    encoding::List,
    grant::Grantee,
    id::{
        ChartId, CommandId, Compartment, Digest, GroupId, Height, LogPosition, MemberId,
        OrganisationId, PublicKey,
    },
    limits::ACCESS_RECORDS_MAX,
    member::{Party, Role},
    outcome::Rejection,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};
use serde::Serialize;

use crate::{
    Client,
    audit::{Access, accesses_in},
    error::{ClientError, UsageError},
    grant::given,
    identity::{Actor, ChartHolder},
    open::{RecordFacts, records_in},
    verify::{LogMark, VerifiedLog},
};

/// Stands for a member who is named nowhere.
const ANYONE: MemberId = MemberId([0; 16]);
/// Different accesses that a trial asks for again; the newest of more.
pub const TRIED_MAX: usize = 4_096;

/// Whose reading is asked about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Whoever controls the chart.
    Controller,
    /// A member.
    Member(MemberId),
    /// Whoever has a role at an organisation, and is named by nothing else.
    Role {
        /// The organisation.
        organisation: OrganisationId,
        /// The role.
        role: Role,
    },
    /// Whoever is in a group, and is named by nothing else.
    Group(GroupId),
    /// Whoever is of an organisation, and is named by nothing else.
    Organisation(OrganisationId),
    /// Whoever is of another organisation of the consortium, and is named by nothing else.
    Everyone,
}

/// What is asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The record that stands at a position of the chart's log.
    Record(LogPosition),
    /// Any record of a compartment; of one kind, or of each.
    Compartment(Compartment, Option<RecordKind>),
}

/// Why a reader may or may not.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// At which instant.
    pub time: BlockTime,
    /// What keeps the reader from acting at all.
    pub barred: Option<Rejection>,
    /// For which kinds of records, and why. Of a record there is one.
    pub traces: Vec<Explained>,
}

/// Kinds of records for which the same holds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Explained {
    /// The kinds.
    pub kinds: KindSet,
    /// Why.
    pub trace: Trace,
}

/// Someone who may read.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct MayRead {
    /// Who.
    pub subject: Subject,
    /// Of which organisation.
    pub organisation: Option<OrganisationId>,
    /// For which purposes.
    pub purposes: PurposeSet,
    /// Which kinds of records, for at least one of the purposes.
    pub kinds: KindSet,
    /// By which rules.
    pub by: BTreeSet<Origin>,
    /// What keeps them from acting at all, if something does: then they may not now.
    pub barred: Option<Rejection>,
}

/// Who may read.
#[derive(Clone, Debug, Serialize)]
pub struct Who {
    /// At which instant.
    pub time: BlockTime,
    /// Those who may.
    pub readers: Vec<MayRead>,
    /// Organisations that may write in the chart, and read only what is granted to them.
    pub contributors: Vec<OrganisationId>,
    /// Who was looked at.
    pub examined: usize,
}

/// What a trial found.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// At which instant.
    pub time: BlockTime,
    /// Why the ledger would refuse the command; then nothing else is here.
    pub refused: Option<Rejection>,
    /// Past accesses that would be decided otherwise.
    pub changed: Vec<Changed>,
    /// How many different ones would be decided as they are now.
    pub unchanged: usize,
    /// How many accesses the log has.
    pub accesses: usize,
    /// Older different ones that were not asked for again.
    pub left_out: usize,
}

/// A past access that a change would decide otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// Who.
    pub reader: Party,
    /// What for.
    pub purpose: Purpose,
    /// What was asked for.
    pub target: Target,
    /// How often it was asked for.
    pub times: usize,
    /// When last.
    pub last: BlockTime,
    /// Whether the reader would gain; else they would lose.
    pub gains: bool,
    /// By which rules it is allowed, or would be.
    pub by: BTreeSet<Origin>,
    /// Why it is refused, or would be.
    pub refused: Rejection,
}

/// Between which blocks values were proven.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Proven {
    /// The first.
    pub from: Height,
    /// The last.
    pub until: Height,
}

/// A chart's rules: its whole log, and each value of the state that a question has needed so far.
pub struct Rules<'a> {
    client: &'a Client,
    actor: &'a Actor,
    chart: ChartId,
    entry: Chart,
    log: VerifiedLog,
    records: Vec<RecordFacts>,
    view: View,
    proven: Proven,
    time: BlockTime,
}

impl Client {
    /// The rules of a chart, for those at home in it.
    pub async fn rules<'a>(
        &'a self,
        actor: &'a Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Rules<'a>, ClientError> {
        let log = self.log(actor, chart, known).await?;
        let header = log.header().header();
        let (height, time) = (header.height, header.time);
        let entry = self.chart(actor, chart).await?;
        let mut view = View::new();
        view.load(Key::Chart(chart), Some(Value::Chart(entry.clone())));
        let records = records_in(&log).collect();
        let proven = Proven { from: height, until: height };
        Ok(Rules { client: self, actor, chart, entry, log, records, view, proven, time })
    }
}

impl Rules<'_> {
    /// The chart.
    pub const fn entry(&self) -> &Chart {
        &self.entry
    }

    /// Its log.
    pub const fn log(&self) -> &VerifiedLog {
        &self.log
    }

    /// Between which blocks the values were proven.
    pub const fn proven(&self) -> Proven {
        self.proven
    }

    /// The newest block time that was seen.
    pub const fn time(&self) -> BlockTime {
        self.time
    }

    /// Why `subject` may or may not read something for a purpose, now or at another instant.
    pub async fn explain(
        &mut self,
        subject: Subject,
        about: About,
        purpose: Purpose,
        at: Option<BlockTime>,
    ) -> Result<Explanation, ClientError> {
        let reader = self.reader(subject).await?;
        let time = at.unwrap_or(self.time);
        let barred = self.barred(subject).await?;
        let question = self.question(purpose, time);
        let traces = match about {
            About::Record(position) => {
                let entry = self.record(position).await?;
                let explain = |consent: &Consent<'_>| consent.explain(position, &entry);
                let trace = self.consent(reader.as_ref(), question, explain).await?;
                vec![Explained { kinds: KindSet::EMPTY.with(entry.kind), trace }]
            }
            About::Compartment(compartment, kind) => {
                let kinds = kind.map_or(KindSet::all(), |kind| KindSet::EMPTY.with(kind));
                let explain = |consent: &Consent<'_>| {
                    let item = |kind| Item { compartment, kind, record: None };
                    Ok(kinds.iter().map(|kind| consent.explain_item(&item(kind))).collect())
                };
                let traces: Vec<Trace> = self.consent(reader.as_ref(), question, explain).await?;
                alike(traces)
            }
        };
        Ok(Explanation { time, barred, traces })
    }

    /// Who may read something now, for any of these purposes.
    pub async fn who(&mut self, about: About, purposes: PurposeSet) -> Result<Who, ClientError> {
        let subjects = self.subjects().await?;
        let examined = subjects.len();
        let mut readers = Vec::new();
        for subject in subjects {
            readers.extend(self.may_read(subject, about, purposes).await?);
        }
        let contributors = self.entry.contributors.to_vec();
        Ok(Who { time: self.time, readers, contributors, examined })
    }

    async fn may_read(
        &mut self,
        subject: Subject,
        about: About,
        purposes: PurposeSet,
    ) -> Result<Option<MayRead>, ClientError> {
        let mut may = MayRead {
            subject,
            organisation: self.reader(subject).await?.map(|it| it.1.organisation),
            purposes: PurposeSet::EMPTY,
            kinds: KindSet::EMPTY,
            by: BTreeSet::new(),
            barred: None,
        };
        for purpose in purposes.iter() {
            let why = self.explain(subject, about, purpose, None).await?;
            may.barred = why.barred;
            for Explained { kinds, trace } in why.traces {
                let Decision::Allowed(origin) = trace.decision else { continue };
                may.purposes = may.purposes.with(purpose);
                may.kinds = may.kinds.or(kinds);
                may.by.insert(origin);
            }
        }
        // One who stands for an organisation that is nobody's has none.
        may.organisation = may.organisation.filter(|_| subject != Subject::Everyone);
        Ok((!may.purposes.is_empty()).then_some(may))
    }

    /// By which rules an access to records would be allowed now, or why it would be refused. Nothing is sent, and nothing
    /// is counted.
    pub async fn would_allow(
        &mut self,
        reader: Party,
        purpose: Purpose,
        names: &[RecordName],
    ) -> Result<Result<BTreeSet<Origin>, Rejection>, ClientError> {
        let target = Target::Records(List::from_vec(names.to_vec()).map_err(|_| {
            let (given, max) = (names.len(), ACCESS_RECORDS_MAX);
            UsageError::TooManyRecords { given, max }
        })?);
        let (chart, reader_key) = (self.chart, Digest([0; 32]));
        let open = AccessOpen { chart, target, purpose, reader_key, notice: 0 };
        self.tried_now(None, reader, &open).await
    }

    /// Everyone whom this chart's log or its rules name.
    async fn subjects(&mut self) -> Result<BTreeSet<Subject>, ClientError> {
        let mut subjects = BTreeSet::from([Subject::Controller, Subject::Everyone]);
        subjects.insert(Subject::Organisation(self.entry.organisation));
        let named = self.entry.contributors.iter().copied().map(Subject::Organisation);
        subjects.extend(named);
        for (_, terms) in given(&self.log) {
            subjects.extend(match terms.grantee {
                Grantee::Member(id) => Some(Subject::Member(id)),
                Grantee::Role { organisation, role } => Some(Subject::Role { organisation, role }),
                Grantee::Organisation(id) => Some(Subject::Organisation(id)),
                Grantee::Group(id) => Some(Subject::Group(id)),
                // Whoever is in a team now is named one by one.
                Grantee::Everyone | Grantee::Team(_) => None,
            });
        }
        for line in self.log.lines() {
            let keepwell_types::command::Entry::Signed(signed) = &line.entry else { continue };
            subjects.extend(signed.command.signers.iter().filter_map(|party| match party {
                Party::Member(id) => Some(Subject::Member(*id)),
                Party::Controller(_)
                | Party::Claimant(_)
                | Party::Administrator(_)
                | Party::Custodian(_)
                | Party::Proxy(..)
                | Party::Guardian(_)
                | Party::Successor(_)
                | Party::Validator(_) => None,
            }));
        }
        let chart = self.chart;
        let teams = self.ask(|view| Ok(view.teams(chart)?.cloned())).await?.unwrap_or_default();
        let members = teams.teams.iter().flat_map(|team| team.members.iter());
        subjects.extend(members.map(|id| Subject::Member(*id)));
        Ok(subjects)
    }

    /// What a command would change of the accesses that were asked for so far: each of them is asked for once
    /// more, now, as the rules are and as they would be.
    pub async fn dry_run(
        &mut self,
        holder: &ChartHolder,
        payload: Payload,
    ) -> Result<Trial, ClientError> {
        // The list before the grant: what is listed is there for good, and what is not may have been revoked
        // in the meantime, which the grant then says.
        if let Payload::GrantRevoke(it) = &payload
            && let Some(Value::Grant(grant)) = self.fetch(Key::Grant(it.chart, it.grant)).await?
        {
            self.load(Key::Subject(it.chart, grant.terms.grantee)).await?;
        }
        let command = self.unsent(holder, payload);
        let block = self.block();
        let mut after = loop {
            match trial::after(&self.view, &block, &command) {
                Ok(after) => break after,
                Err(Halt::Lacks(lacks)) => self.load(lacks.0).await?,
                Err(Halt::Rejected(refused)) => return Ok(self.refused(refused)),
            }
        };
        let accesses: Vec<_> = accesses_in(&self.log).collect();
        let mut trial = Trial { accesses: accesses.len(), ..self.refused_nothing() };
        let mut tried = different(accesses);
        trial.left_out = tried.len().saturating_sub(TRIED_MAX);
        tried.truncate(TRIED_MAX);
        for (access, times) in tried {
            let open = self.again(&access);
            let now = self.tried_now(None, access.reader, &open).await?;
            let then = self.tried_now(Some(&mut after), access.reader, &open).await?;
            let (gains, by, refused) = match (now, then) {
                (Err(refused), Ok(by)) => (true, by, refused),
                (Ok(by), Err(refused)) => (false, by, refused),
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => {
                    trial.unchanged += 1;
                    continue;
                }
            };
            let Access { reader, purpose, target, time: last, .. } = access;
            let changed = Changed { reader, purpose, target, times, last, gains, by, refused };
            trial.changed.push(changed);
        }
        Ok(trial)
    }

    fn refused(&self, refused: Rejection) -> Trial {
        Trial { refused: Some(refused), ..self.refused_nothing() }
    }

    const fn refused_nothing(&self) -> Trial {
        Trial {
            time: self.time,
            refused: None,
            changed: Vec::new(),
            unchanged: 0,
            accesses: 0,
            left_out: 0,
        }
    }

    /// The next block, as far as a trial has one.
    fn block(&self) -> BlockContext {
        let header = self.log.header();
        BlockContext {
            chain: self.client.consortium().chain(),
            parameters: self.client.consortium().genesis().parameters.clone(),
            height: Height(header.header().height.0 + 1),
            time: self.time.plus_ms(1),
            parent: header.id(),
        }
    }

    /// A command of the chart's controller that no block can have: its window was over in 1970.
    fn unsent(&self, holder: &ChartHolder, payload: Payload) -> keepwell_crypto::command::Verified {
        let actor = holder.actor();
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.client.consortium().chain(),
            id: CommandId([0; 16]),
            window: Window { from: BlockTime(0), until: BlockTime(1) },
            signers: List::from_vec(vec![actor.party()]).expect("one signer"),
            payload,
            part: None,
        };
        verify(sign(command, &[actor.key()])).expect("it was signed a moment ago")
    }

    /// The same access as of now: a compartment is asked for as far as the log goes.
    fn again(&self, access: &Access) -> AccessOpen {
        let target = match &access.target {
            Target::Records(names) => Target::Records(names.clone()),
            Target::Compartments { compartments, .. } => {
                Target::Compartments { compartments: *compartments, until: self.log.mark().count }
            }
        };
        let (chart, purpose) = (self.chart, access.purpose);
        AccessOpen { chart, target, purpose, reader_key: Digest([0; 32]), notice: 0 }
    }

    /// Whether an access would be allowed now: as the state is, or as it is in `view`.
    async fn tried_now(
        &mut self,
        mut changed: Option<&mut View>,
        reader: Party,
        open: &AccessOpen,
    ) -> Result<Result<BTreeSet<Origin>, Rejection>, ClientError> {
        let parameters = self.client.consortium().genesis().parameters.clone();
        let time = self.time.plus_ms(2);
        loop {
            let view = changed.as_deref().unwrap_or(&self.view);
            match trial::access(view, &parameters, reader, open, time) {
                Ok(by) => return Ok(Ok(by)),
                Err(Halt::Rejected(rejection)) => return Ok(Err(rejection)),
                Err(Halt::Lacks(Lacks(key))) => {
                    if self.view.value(&key).is_err() {
                        self.load(key).await?;
                    }
                    if let Some(view) = changed.as_deref_mut() {
                        let value = self.view.value(&key).expect("it was loaded").cloned();
                        view.load(key, value);
                    }
                }
            }
        }
    }

    /// What the ledger has of whoever is asked about; nothing of the controller.
    async fn reader(
        &mut self,
        subject: Subject,
    ) -> Result<Option<(MemberId, Member)>, ClientError> {
        let (organisation, roles, groups) = match subject {
            Subject::Controller => return Ok(None),
            Subject::Member(id) => {
                let member = self.ask(|view| Ok(view.member(id)?.cloned())).await?;
                let member = member.ok_or(UsageError::NoSuchMember(id))?;
                return Ok(Some((id, member)));
            }
            Subject::Role { organisation, role } => {
                (organisation, RoleSet::EMPTY.with(role), List::new())
            }
            Subject::Organisation(organisation) => (organisation, RoleSet::EMPTY, List::new()),
            Subject::Everyone => (OrganisationId([0; 16]), RoleSet::EMPTY, List::new()),
            Subject::Group(id) => {
                let group = self.ask(|view| Ok(view.group(id)?.copied())).await?;
                let organisation = group.ok_or(UsageError::NoSuchGroup(id))?.organisation;
                let groups = List::from_vec(vec![id]).expect("one group");
                (organisation, RoleSet::EMPTY, groups)
            }
        };
        let member = Member {
            organisation,
            signing: PublicKey([0; 32]),
            sealing: Digest([0; 32]),
            roles,
            suspended: false,
            groups,
            former: None,
        };
        Ok(Some((ANYONE, member)))
    }

    /// What keeps a reader from acting at all.
    async fn barred(&mut self, subject: Subject) -> Result<Option<Rejection>, ClientError> {
        let Some((id, member)) = self.reader(subject).await? else { return Ok(None) };
        if member.suspended {
            return Ok(Some(Rejection::MemberSuspended(id)));
        }
        let organisation = member.organisation;
        let entry = self.ask(|view| Ok(view.organisation(organisation)?.cloned())).await?;
        let suspended = entry.is_some_and(|it: Organisation| it.suspended);
        Ok(suspended.then_some(Rejection::OrganisationSuspended(organisation)))
    }

    /// What the ledger has of the record at a position.
    pub async fn record(&mut self, position: LogPosition) -> Result<RecordEntry, ClientError> {
        match self.fetch(Key::Record(self.chart, position)).await? {
            Some(Value::Record(entry)) => Ok(entry),
            Some(_) | None => Err(UsageError::NoSuchRecord(position).into()),
        }
    }

    const fn question(&self, purpose: Purpose, time: BlockTime) -> Question {
        Question { chart: self.chart, purpose, time, counting: Counting::Opening }
    }

    /// Asks the rule of consent something.
    async fn consent<T>(
        &mut self,
        reader: Option<&(MemberId, Member)>,
        question: Question,
        ask: impl Fn(&Consent<'_>) -> Result<T, Lacks>,
    ) -> Result<T, ClientError> {
        let parameters = self.client.consortium().genesis().parameters.clone();
        let chart = self.entry.clone();
        let reader = reader.map_or(Reader::Controller, |(id, entry)| Reader::member(*id, entry));
        self.ask(|view| ask(&Consent::of(view, &parameters, &chart, reader, question)?)).await
    }

    /// Asks the view something, and loads what it lacks.
    async fn ask<T>(
        &mut self,
        question: impl Fn(&View) -> Result<T, Lacks>,
    ) -> Result<T, ClientError> {
        loop {
            match question(&self.view) {
                Ok(answer) => return Ok(answer),
                Err(Lacks(key)) => self.load(key).await?,
            }
        }
    }

    async fn load(&mut self, key: Key) -> Result<(), ClientError> {
        let value = self.fetch(key).await?;
        self.view.load(key, value);
        Ok(())
    }

    /// What stands under a key, proven.
    async fn fetch(&mut self, key: Key) -> Result<Option<Value>, ClientError> {
        if key == Key::ChartLog(self.chart) {
            let LogMark { count, head } = self.log.mark();
            // A trial ends before anyone compares lines.
            return Ok(Some(Value::ChartLog(ChartLog { count, head, ..ChartLog::EMPTY })));
        }
        if let Key::Record(_, position) = key {
            return Ok(self.entry_of(position).await?.map(Value::Record));
        }
        let target = target_of(&key).ok_or(UsageError::NotForTrial)?;
        let proven = self.client.state(self.actor, key, target).await?;
        let header = proven.header().header();
        self.proven.from = self.proven.from.min(header.height);
        self.proven.until = self.proven.until.max(header.height);
        self.time = self.time.max(header.time);
        Ok(proven.into_value())
    }

    /// The record that the log has at a position, as the ledger has it.
    async fn entry_of(&self, position: LogPosition) -> Result<Option<RecordEntry>, ClientError> {
        let Some(facts) = self.records.iter().find(|it| it.name.position == position) else {
            return Ok(None);
        };
        let line = self.log.lines().iter().find(|line| line.position == position);
        let Some(line) = line else { return Ok(None) };
        let Payload::RecordAdd(add) = line.entry.payload() else { return Ok(None) };
        let organisation = match facts.author {
            Party::Member(id) => self.client.member(self.actor, id).await?.organisation,
            Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => self.entry.organisation,
        };
        let custodians = List::from_vec(facts.custodians.clone()).unwrap_or_default();
        Ok(Some(RecordEntry {
            record: facts.name.record,
            version: facts.version,
            compartment: facts.compartment,
            epoch: facts.epoch,
            kind: facts.kind,
            commitment: facts.commitment,
            sealed_bytes: facts.sealed_bytes,
            author: facts.author,
            organisation,
            proposed: facts.proposed,
            location: line.outcome.location,
            custodians,
            uniqueness: add.uniqueness,
            original: facts.original(&self.records),
        }))
    }
}

/// Where a node proves a value that the rule of consent, or a command about grants, reads.
fn target_of(key: &Key) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "neither reads another key")]
    Some(match key {
        Key::Chart(chart) => format!("/v1/charts/{chart}"),
        Key::Member(member) => format!("/v1/members/{member}"),
        Key::Organisation(organisation) => format!("/v1/organisations/{organisation}"),
        Key::Group(group) => format!("/v1/groups/{group}"),
        Key::Credentials(member) => format!("/v1/members/{member}/credentials"),
        Key::Grant(chart, grant) => format!("/v1/charts/{chart}/grants/{grant}"),
        Key::Subject(chart, grantee) => {
            let grantee = URL_SAFE_NO_PAD.encode(keepwell_types::encode(grantee));
            format!("/v1/charts/{chart}/subjects/{grantee}")
        }
        Key::Cutoff(chart, organisation) => format!("/v1/charts/{chart}/cutoffs/{organisation}"),
        Key::Teams(chart) => format!("/v1/charts/{chart}/teams"),
        Key::Proxies(chart) => format!("/v1/charts/{chart}/proxies"),
        Key::Emergencies(chart) => format!("/v1/charts/{chart}/emergencies"),
        Key::RecordState(chart, record) => format!("/v1/charts/{chart}/record-states/{record}"),
        Key::Proposal(chart, record) => format!("/v1/charts/{chart}/proposals/{record}"),
        Key::Request(chart, request) => format!("/v1/charts/{chart}/requests/{request}"),
        Key::Case(chart, case) => format!("/v1/charts/{chart}/cases/{case}"),
        _ => return None,
    })
}

/// Puts kinds together for which the same is said.
fn alike(traces: Vec<Trace>) -> Vec<Explained> {
    let mut explained: Vec<Explained> = Vec::new();
    for trace in traces {
        let same = |it: &&mut Explained| {
            it.trace.decision == trace.decision
                && it.trace.steps == trace.steps
                && it.trace.stops == trace.stops
        };
        match explained.iter_mut().find(same) {
            Some(known) => known.kinds = known.kinds.with(trace.kind),
            None => explained.push(Explained { kinds: KindSet::EMPTY.with(trace.kind), trace }),
        }
    }
    explained
}

/// What tells one access from another in a trial.
type Same = (Party, Purpose, Vec<RecordName>, CompartmentSet);

/// Accesses that differ in who, what for or what, the newest first, each with how often it was asked for.
fn different(accesses: Vec<Access>) -> Vec<(Access, usize)> {
    let mut known: BTreeMap<Same, usize> = BTreeMap::new();
    let mut different: Vec<(Access, usize)> = Vec::new();
    for access in accesses.into_iter().rev() {
        let (names, compartments) = match &access.target {
            Target::Records(names) => (names.to_vec(), CompartmentSet::EMPTY),
            Target::Compartments { compartments, .. } => (Vec::new(), *compartments),
        };
        let same = (access.reader, access.purpose, names, compartments);
        let at = *known.entry(same).or_insert(different.len());
        match different.get_mut(at) {
            Some((_, times)) => *times += 1,
            None => different.push((access, 1)),
        }
    }
    different
}

#[cfg(test)]
mod tests {
    use keepwell_types::id::Location;

    use super::*;

    fn access(reader: u8, purpose: Purpose, compartment: u8, time: u64) -> Access {
        let compartments = Compartment::new(compartment).into_iter().collect::<CompartmentSet>();
        Access {
            position: LogPosition(time),
            location: Location { height: Height(1), index: 0 },
            time: BlockTime(time),
            reader: Party::Member(MemberId([reader; 16])),
            purpose,
            target: Target::Compartments { compartments, until: LogPosition(time) },
            refused: None,
        }
    }

    #[test]
    fn the_same_access_is_tried_once() {
        let accesses = vec![
            access(1, Purpose::Treatment, 1, 5),
            access(1, Purpose::Payment, 1, 6),
            access(1, Purpose::Treatment, 1, 7),
            access(2, Purpose::Treatment, 1, 8),
            access(1, Purpose::Treatment, 2, 9),
            access(1, Purpose::Treatment, 1, 10),
        ];
        let given: Vec<_> =
            different(accesses).iter().map(|(it, times)| (it.time.0, *times)).collect();
        assert_eq!(given, [(10, 3), (9, 1), (8, 1), (6, 1)]);
    }

    #[test]
    fn every_key_that_the_rule_reads_has_a_path() {
        let (chart, id) = (ChartId([1; 32]), [2; 16]);
        for key in [
            Key::Chart(chart),
            Key::Member(MemberId(id)),
            Key::Group(GroupId(id)),
            Key::Subject(chart, Grantee::Everyone),
            Key::Teams(chart),
            Key::Cutoff(chart, OrganisationId(id)),
        ] {
            assert!(target_of(&key).is_some_and(|it| it.starts_with("/v1/")), "{key:?}");
        }
        assert_eq!(target_of(&Key::History), None);
    }
}
