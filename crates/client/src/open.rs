//! Opening: one access for many records, shares from the validators, bodies from the custodians.
//!
//! ```text
//! access.open, a fresh key's digest ──> accepted, at a position of the chart's log
//!   entries ──> capsules, from custodians: the ledger's commitment, the entry's label
//!   all validators at once ──> signed answers ──> t good shares ──> second lock
//!   seeds ──> first lock ──> data keys
//!   bodies, from custodians, chunk by chunk
//! ```
//!
//! # Invariants
//!
//! * A record is opened only under an accepted access whose receipt was verified.
//! * A capsule is used only if the entry commits to it and its label is the entry's in every field.
//! * An answer that its validator signed and that is wrong is dropped and names the validator; so is a
//!   capsule or a chunk, with custodian and record. Whoever is left serves.
//! * What [`Client::read`] hands out is authentic, chunk by chunk; it is whole once it returns.
//!
//! A reader from elsewhere may not follow the chart's log, so it asks for the receipts of the records that
//! it opens: that proves everything which is said of the record but its place in the log, and validators
//! release only for the record that really stands there. Such a reader cannot tell whether a node kept a
//! record back; whoever may follow the log can.
//!
//! Not here: whether the access is allowed, which the ledger decides.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::{Buf as _, BytesMut};
use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use keepwell_crypto::{
    body::{Dek, HEADER_BYTES, Layout, Opener},
    capsule::SaltedCapsule,
    command::record_id_of,
    custody::version_of,
    release::{Access as Released, CollectError, Collector},
    seal::{OpenError, SealingKey},
    threshold::ReleaseSecret,
};
use keepwell_merkle::receipt::{Receipt, VerifiedReceipt};
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    command::{Entry, Payload},
    encoding::{Blob, List},
    id::{
        ChainId, ChartId, Commitment, CommitteeId, Compartment, Epoch, LogPosition, OrganisationId,
        PublicKey, RecordId, Version,
    },
    limits::{ACCESS_RECORDS_MAX, CAPSULE_BYTES_MAX, RELEASE_CAPSULES_MAX},
    member::Party,
    outcome::Outcome,
    record::{Label, RecordKind},
    set::CompartmentSet,
    time::BlockTime,
    wire::{
        CapsuleAnswer, CapsuleRequest, ReleaseAnswer, ReleaseItem, ReleaseRequest,
        SEALED_SHARE_BYTES_MAX,
    },
};
use reqwest::Method;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::sleep,
};
use zeroize::Zeroizing;

use crate::{
    Client, Consortium,
    client::{Decided, Draft, rng},
    error::{
        ClientError, CustodyError, CustodyFault, CustodyProblem, KeyError, ReleaseError,
        SealedObject, UsageError, ValidatorFault, ValidatorProblem,
    },
    identity::{Actor, Seeds},
    node::{Ask, NodeError, NodeFault, Pieces},
    verify::{LogLine, LogMark, ProofFault, VerifiedLog},
};

/// Batches of capsules that are fetched at one time.
const FETCHES: usize = 4;
/// Bytes of the capsules of one batch.
const CAPSULES_BYTES_MAX: usize = (CAPSULE_BYTES_MAX + 8) * RELEASE_CAPSULES_MAX + 64;
/// How often a node that is behind is asked.
const TRIES: usize = 4;
/// How long between.
const PAUSE: Duration = Duration::from_millis(300);
/// Bytes of a release answer.
const RELEASE_BYTES_MAX: usize = SEALED_SHARE_BYTES_MAX + 2_048;

/// What the ledger says of one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordFacts {
    /// How commands name it.
    pub name: RecordName,
    /// Its version.
    pub version: Version,
    /// The compartment it is sealed to.
    pub compartment: Compartment,
    /// The generation of that compartment's key.
    pub epoch: Epoch,
    /// Its coarse class.
    pub kind: RecordKind,
    /// The salted digest of its capsule.
    pub commitment: Commitment,
    /// Bytes of its body as stored.
    pub sealed_bytes: u64,
    /// Who added it.
    pub author: Party,
    /// Who has stored it.
    pub custodians: Vec<OrganisationId>,
    /// When it was added.
    pub time: BlockTime,
    /// Whether its author named whose approvals it needs; the consortium may ask for some where the author did not.
    pub proposed: bool,
    /// The version before it, if it amends one.
    pub amends: Option<RecordName>,
}

impl RecordFacts {
    /// The first version of this record, of the records of its chart.
    pub fn original(&self, records: &[Self]) -> RecordId {
        let mut first = self;
        while let Some(before) = first.amends
            && before.position < first.name.position
            && let Some(earlier) = records.iter().find(|it| it.name == before)
        {
            first = earlier;
        }
        first.name.record
    }

    /// Of an entry that added a record.
    fn of(position: LogPosition, entry: &Entry, outcome: &Outcome) -> Option<Self> {
        let Entry::Signed(signed) = entry else { return None };
        let Payload::RecordAdd(add) = &signed.command.payload else { return None };
        if !outcome.verdict.is_accepted() {
            return None;
        }
        Some(Self {
            name: RecordName { position, record: record_id_of(&signed.command)? },
            version: version_of(add),
            compartment: add.compartment,
            epoch: add.epoch,
            kind: add.kind,
            commitment: add.commitment,
            sealed_bytes: add.sealed_bytes,
            author: *signed.command.signers.first()?,
            custodians: add.custody.iter().map(|it| it.custodian).collect(),
            time: outcome.time,
            proposed: add.approval.is_some(),
            amends: add.amends.map(|amended| amended.record),
        })
    }

    /// Nothing of a line that adds no record.
    pub fn of_line(line: &LogLine) -> Option<Self> {
        Self::of(line.position, &line.entry, &line.outcome)
    }

    fn object(&self) -> SealedObject {
        SealedObject::Record(self.name.record)
    }

    fn fault(&self, custodian: OrganisationId, problem: CustodyProblem) -> CustodyFault {
        CustodyFault { custodian, object: self.object(), problem }
    }

    /// Whether a capsule's label is this record's in every field but the content root, which only the
    /// capsule has.
    fn fits(
        &self,
        chain: &ChainId,
        chart: &ChartId,
        committee: &CommitteeId,
        label: &Label,
    ) -> bool {
        let Label {
            chain: its_chain,
            chart: its_chart,
            record,
            version,
            compartment,
            epoch,
            committee: its_committee,
            content: _,
            sealed_bytes,
        } = label;
        (its_chain, its_chart, its_committee) == (chain, chart, committee)
            && (record, version) == (&self.name.record, &self.version)
            && (compartment, epoch) == (&self.compartment, &self.epoch)
            && *sealed_bytes == self.sealed_bytes
    }
}

/// The records that were added, in the order of the log.
pub fn records_in(log: &VerifiedLog) -> impl Iterator<Item = RecordFacts> {
    log.lines().iter().filter_map(RecordFacts::of_line)
}

/// The records on a page of what an access asks for, which looked at the log `from` here and up to `next`.
pub fn records_on(
    chart: ChartId,
    target: &Target,
    (from, next): (LogPosition, LogPosition),
    records: &[(LogPosition, VerifiedReceipt)],
) -> Result<Vec<RecordFacts>, ProofFault> {
    if next <= from || next > target.end() {
        return Err(ProofFault::OpenedPage);
    }
    let mut least = from;
    let mut page = Vec::with_capacity(records.len());
    for (position, proven) in records {
        if *position < least || next <= *position {
            return Err(ProofFault::OpenedPage);
        }
        least = LogPosition(position.0 + 1);
        page.push(record_of(chart, target, *position, proven)?);
    }
    Ok(page)
}

/// The record that a receipt proves, if an access to `target` asks for it.
fn record_of(
    chart: ChartId,
    target: &Target,
    position: LogPosition,
    proven: &VerifiedReceipt,
) -> Result<RecordFacts, ProofFault> {
    let facts = RecordFacts::of(position, proven.entry(), proven.outcome());
    let of_chart = proven.entry().payload().chart() == Some(chart);
    let asked_for = |it: &RecordFacts| of_chart && target.asks_for(it.name, it.compartment);
    facts.filter(asked_for).ok_or(ProofFault::OtherEntry(position))
}

/// Checks a capsule that a custodian gave.
pub fn check_capsule(
    chain: &ChainId,
    chart: ChartId,
    committee: &CommitteeId,
    facts: &RecordFacts,
    bytes: &[u8],
) -> Result<SaltedCapsule, CustodyProblem> {
    let salted = SaltedCapsule::decode(bytes).map_err(|_| CustodyProblem::Capsule)?;
    if salted.commitment() != facts.commitment {
        return Err(CustodyProblem::Capsule);
    }
    if !facts.fits(chain, &chart, committee, salted.capsule.label()) {
        return Err(CustodyProblem::ForeignCapsule);
    }
    Ok(salted)
}

/// What is to be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// These records.
    Records(Vec<RecordName>),
    /// All records in these compartments, up to a position of the chart's log, or to its end.
    Compartments(CompartmentSet, Option<LogPosition>),
}

/// A wish to open.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// Which chart.
    pub chart: ChartId,
    /// What.
    pub what: &'a What,
    /// What for. It is signed, and the patient sees it.
    pub purpose: Purpose,
    /// The compartments' keys that the reader holds.
    pub seeds: &'a Seeds,
}

/// A record whose data key is here.
#[derive(Clone, Debug)]
pub struct OpenedRecord {
    chart: ChartId,
    access: LogPosition,
    facts: RecordFacts,
    dek: Dek,
}

impl OpenedRecord {
    /// What the ledger says of it.
    pub const fn facts(&self) -> &RecordFacts {
        &self.facts
    }

    /// Its chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// Where the access that opened it stands.
    pub(crate) const fn access(&self) -> LogPosition {
        self.access
    }

    pub(crate) const fn dek(&self) -> &Dek {
        &self.dek
    }
}

/// A record that the access covers, and why it is closed all the same.
#[derive(Debug)]
pub struct Withheld {
    /// What the ledger says of it.
    pub facts: RecordFacts,
    /// Why.
    pub error: ClientError,
}

/// What an access has opened.
#[derive(Debug)]
pub struct Opened {
    /// The proof of the access: the same entry that the patient sees.
    pub decided: Decided,
    /// Its place in the chart's log.
    pub position: LogPosition,
    /// The records, in the order of the log.
    pub records: Vec<OpenedRecord>,
    /// Records that the access covers and that stay closed.
    pub withheld: Vec<Withheld>,
    /// Custodians that gave something wrong.
    pub custodians: Vec<CustodyFault>,
    /// Validators that gave nothing, or something wrong.
    pub validators: Vec<ValidatorFault>,
}

/// How a record was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReadReport {
    /// Bytes that were handed out.
    pub bytes: u64,
    /// Custodians that gave something wrong; others stood in.
    pub faults: Vec<CustodyFault>,
}

/// What was fetched for an access.
#[derive(Default)]
struct Fetched {
    /// In the order of the log.
    sealed: Vec<Sealed>,
    withheld: Vec<Withheld>,
    /// Custodians that gave something wrong, of records that another one gave.
    custodians: Vec<CustodyFault>,
}

/// A record whose capsule is to be fetched.
struct Fetch {
    facts: RecordFacts,
    /// What was wrong with its custodians so far, in their order.
    faults: Vec<CustodyFault>,
}

impl Fetch {
    fn unreadable(self) -> Withheld {
        let (object, faults) = (self.facts.object(), self.faults);
        Withheld { facts: self.facts, error: CustodyError::Unreadable { object, faults }.into() }
    }
}

/// What one custodian is asked for, in batches as large as it gives at one time.
fn in_batches(
    (custodian, fetches): (OrganisationId, Vec<Fetch>),
) -> impl Iterator<Item = (OrganisationId, Vec<Fetch>)> {
    let mut fetches = fetches.into_iter();
    let batch = move || {
        let batch: Vec<_> = fetches.by_ref().take(RELEASE_CAPSULES_MAX).collect();
        (!batch.is_empty()).then_some((custodian, batch))
    };
    std::iter::from_fn(batch)
}

/// A record with its capsule.
struct Sealed {
    facts: RecordFacts,
    capsule: SaltedCapsule,
}

/// A fresh key and the accepted access that names it.
pub(crate) struct Reading<'a> {
    pub(crate) opening: &'a Opening<'a>,
    pub(crate) key: SealingKey,
    pub(crate) access: Released,
    pub(crate) position: LogPosition,
}

impl Client {
    /// The records of a chart, for those who may read its log.
    pub async fn records(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<RecordFacts>, ClientError> {
        Ok(records_in(&self.log(actor, chart, known).await?).collect())
    }

    /// One record of a chart whose log the actor may not read: for its author, and for a privacy officer of the
    /// author's organisation. The entry is proven; that it stands at this position is not.
    pub async fn record_at(
        &self,
        actor: &Actor,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<RecordFacts, ClientError> {
        let record = |_: &Receipt, proven: &VerifiedReceipt| {
            RecordFacts::of(position, proven.entry(), proven.outcome())
        };
        self.entry_at(actor, (chart, position), record).await
    }

    /// Opens records: one access, which stands on the ledger whether it is allowed or not.
    pub async fn open(&self, opening: &Opening<'_>) -> Result<Opened, ClientError> {
        let (reading, decided) = self.begin(opening).await?;
        self.open_reading(&reading, decided).await
    }

    /// Has an access decided to records that the reader has already, as from an index of its organisation: the same
    /// entry and the same decision as [`Self::open`] makes, and nothing is fetched.
    pub async fn note_access(&self, opening: &Opening<'_>) -> Result<Decided, ClientError> {
        self.access(opening, &SealingKey::generate(&mut rng())).await
    }

    /// Has the access decided; nothing is fetched yet.
    pub(crate) async fn begin<'a>(
        &self,
        opening: &'a Opening<'a>,
    ) -> Result<(Reading<'a>, Decided), ClientError> {
        let key = SealingKey::generate(&mut rng());
        let decided = self.access(opening, &key).await?;
        let position = self.position(opening.actor, opening.chart, &decided).await?;
        let access = Released {
            chain: self.consortium().chain(),
            command: decided.command(),
            reader_key: key.public().digest(),
        };
        Ok((Reading { opening, key, access, position }, decided))
    }

    /// Opens what an access covers.
    pub(crate) async fn open_reading(
        &self,
        reading: &Reading<'_>,
        decided: Decided,
    ) -> Result<Opened, ClientError> {
        let mut opened = Opened {
            decided,
            position: reading.position,
            records: Vec::new(),
            withheld: Vec::new(),
            custodians: Vec::new(),
            validators: Vec::new(),
        };
        let facts = self.facts(reading, &opened.decided).await?;
        let Fetched { sealed, withheld, custodians } = self.capsules(reading, facts).await;
        (opened.withheld, opened.custodians) = (withheld, custodians);
        let mut batches = sealed.into_iter().peekable();
        while batches.peek().is_some() {
            let batch: Vec<_> = batches.by_ref().take(RELEASE_CAPSULES_MAX).collect();
            self.open_batch(reading, batch, &mut opened).await;
        }
        opened.records.sort_by_key(|it| it.facts.name.position);
        Ok(opened)
    }

    /// Signs and sends the access.
    async fn access(
        &self,
        opening: &Opening<'_>,
        key: &SealingKey,
    ) -> Result<Decided, ClientError> {
        let access = AccessOpen {
            chart: opening.chart,
            target: self.target(opening).await?,
            purpose: opening.purpose,
            reader_key: key.public().digest(),
            notice: self.consortium().genesis().parameters.notice,
        };
        let payload = Payload::AccessOpen(access);
        Ok(self.submit(&[opening.actor], Draft::now(), payload).await?.accepted()?)
    }

    async fn target(&self, opening: &Opening<'_>) -> Result<Target, ClientError> {
        match opening.what {
            What::Records(names) => {
                let names = List::from_vec(names.clone()).map_err(|_| {
                    let (given, max) = (names.len(), ACCESS_RECORDS_MAX);
                    UsageError::TooManyRecords { given, max }
                })?;
                Ok(Target::Records(names))
            }
            What::Compartments(compartments, until) => {
                let until = match until {
                    Some(until) => *until,
                    None => self.end_of_log(opening).await?,
                };
                Ok(Target::Compartments { compartments: *compartments, until })
            }
        }
    }

    async fn end_of_log(&self, opening: &Opening<'_>) -> Result<LogPosition, ClientError> {
        match self.log_count(opening.actor, opening.chart).await {
            Err(ClientError::Node(error)) if error.fault.is_forbidden() => {
                self.log_count_by_search(opening.actor, opening.chart).await
            }
            count => count,
        }
    }

    /// What the ledger says of each record that the access covers.
    async fn facts(
        &self,
        reading: &Reading<'_>,
        decided: &Decided,
    ) -> Result<Vec<RecordFacts>, ClientError> {
        let Payload::AccessOpen(access) = decided.verified().entry().payload() else {
            return Ok(Vec::new());
        };
        let Opening { actor, chart, .. } = *reading.opening;
        let Target::Compartments { compartments, until } = &access.target else {
            return self.shown(reading, &access.target).await;
        };
        match self.log(actor, chart, LogMark::START).await {
            Ok(log) => Ok(records_in(&log)
                .filter(|it| it.name.position < *until && compartments.contains(it.compartment))
                .collect()),
            Err(ClientError::Node(error)) if error.fault.is_forbidden() => {
                self.shown(reading, &access.target).await
            }
            Err(error) => Err(error),
        }
    }

    /// The records that an access asks for, as a node proves them to its reader.
    async fn shown(
        &self,
        reading: &Reading<'_>,
        target: &Target,
    ) -> Result<Vec<RecordFacts>, ClientError> {
        let Opening { actor, chart, .. } = *reading.opening;
        let (mut from, mut facts) = (LogPosition(0), Vec::new());
        while from < target.end() {
            let check = |next, records: &[(LogPosition, VerifiedReceipt)]| {
                Ok((next, records_on(chart, target, (from, next), records)?))
            };
            let (next, page) =
                self.opened_page(actor, (chart, reading.position), from, check).await?;
            facts.extend(page);
            from = next;
        }
        Ok(facts)
    }

    /// The capsules of records whose key the reader holds, each from the first of its custodians that gives it.
    async fn capsules(&self, reading: &Reading<'_>, facts: Vec<RecordFacts>) -> Fetched {
        let mut fetched = Fetched::default();
        let seeds = reading.opening.seeds;
        let mut waiting = Vec::with_capacity(facts.len());
        for facts in facts {
            let (compartment, epoch) = (facts.compartment, facts.epoch);
            if seeds.get(compartment, epoch).is_some() {
                waiting.push(Fetch { facts, faults: Vec::new() });
            } else {
                let error = KeyError::NoSeed { compartment, epoch }.into();
                fetched.withheld.push(Withheld { facts, error });
            }
        }
        while !waiting.is_empty() {
            let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for fetch in waiting.drain(..) {
                match fetch.facts.custodians.get(fetch.faults.len()) {
                    Some(custodian) => of.entry(*custodian).or_default().push(fetch),
                    None => fetched.withheld.push(fetch.unreadable()),
                }
            }
            let mut answers = stream::iter(of.into_iter().flat_map(in_batches))
                .map(async |(custodian, batch)| {
                    let capsules = self.ask_capsules(reading, custodian, &batch).await;
                    (custodian, batch, capsules)
                })
                .buffered(FETCHES);
            while let Some((custodian, batch, capsules)) = answers.next().await {
                for (mut fetch, capsule) in batch.into_iter().zip(capsules) {
                    match capsule {
                        Ok(capsule) => {
                            fetched.custodians.extend(fetch.faults);
                            fetched.sealed.push(Sealed { facts: fetch.facts, capsule });
                        }
                        Err(problem) => {
                            fetch.faults.push(fetch.facts.fault(custodian, problem));
                            waiting.push(fetch);
                        }
                    }
                }
            }
        }
        fetched.sealed.sort_by_key(|it| it.facts.name.position);
        fetched
    }

    /// Asks one custodian for the capsules of a batch.
    async fn ask_capsules(
        &self,
        reading: &Reading<'_>,
        custodian: OrganisationId,
        batch: &[Fetch],
    ) -> Vec<Result<SaltedCapsule, CustodyProblem>> {
        let Opening { actor, chart, .. } = *reading.opening;
        let positions = batch.iter().map(|it| it.facts.name.position).collect();
        let positions = List::from_vec(positions).expect("batches are cut to size");
        let body = keepwell_types::encode(&CapsuleRequest { positions });
        let target = format!("/v1/charts/{chart}/capsules?access={}", reading.position);
        let ask = Ask::with_body(Method::POST, target, Some(actor), body, CAPSULES_BYTES_MAX);
        let answer = self.ask_custodian(custodian, &ask).await.and_then(|bytes| {
            let answer: Option<CapsuleAnswer> =
                keepwell_types::decode(&bytes, CAPSULES_BYTES_MAX).ok();
            let whole = answer.filter(|it| it.capsules.len() == batch.len());
            whole.ok_or(CustodyProblem::OtherObject)
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => return vec![Err(problem); batch.len()],
        };
        let (chain, committee) = (self.consortium().chain(), self.consortium().committee().id());
        let check = |(fetch, bytes): (&Fetch, &Option<Blob<CAPSULE_BYTES_MAX>>)| {
            let bytes = bytes.as_ref().ok_or(CustodyProblem::NoCapsule)?;
            check_capsule(&chain, chart, &committee, &fetch.facts, bytes)
        };
        batch.iter().zip(answer.capsules.iter()).map(check).collect()
    }

    /// Opens as many of a batch as validators release: where they refuse a batch, each half is asked for
    /// alone, down to the records that they refuse.
    async fn open_batch(&self, reading: &Reading<'_>, batch: Vec<Sealed>, opened: &mut Opened) {
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            match self.release(reading, &batch, &mut opened.validators).await {
                Ok(secrets) => open_all(reading, batch, &secrets, opened),
                Err(error) if batch.len() == 1 || !is_refusal(&error) => {
                    let withheld = batch
                        .into_iter()
                        .map(|it| Withheld { facts: it.facts, error: error.clone().into() });
                    opened.withheld.extend(withheld);
                }
                Err(_) => {
                    let second = batch.split_off(batch.len() / 2);
                    batches.extend([second, batch]);
                }
            }
        }
    }

    /// The secrets of the second lock. Where others took over from the validators that were known, it is asked for
    /// once more: shares of two sets do not go together.
    async fn release(
        &self,
        reading: &Reading<'_>,
        batch: &[Sealed],
        named: &mut Vec<ValidatorFault>,
    ) -> Result<Vec<ReleaseSecret>, ReleaseError> {
        let known = self.in_force().validators().newest().since;
        match self.release_by_known(reading, batch, named).await {
            Err(error) if !is_refusal(&error) && self.has_others_since(known).await => {
                self.release_by_known(reading, batch, named).await
            }
            answer => answer,
        }
    }

    /// The secrets of the second lock, from as many of the validators that are known as it takes.
    async fn release_by_known(
        &self,
        reading: &Reading<'_>,
        batch: &[Sealed],
        named: &mut Vec<ValidatorFault>,
    ) -> Result<Vec<ReleaseSecret>, ReleaseError> {
        let capsules: Vec<_> = batch.iter().map(|it| it.capsule.clone()).collect();
        let consortium = self.in_force();
        let mut collector =
            Collector::new(consortium.committee(), &reading.access, &capsules, &reading.key)?;
        let body = request_of(reading, batch);
        let mut answers: FuturesUnordered<_> = consortium
            .shares()
            .map(|share| self.ask_share(reading, (&consortium, share), &body))
            .collect();
        let mut faults = Vec::new();
        while let Some((organisation, answer)) = answers.next().await {
            let added = answer.and_then(|(answer, key)| Ok(collector.add(&answer, &key)?));
            if let Err(problem) = added {
                faults.push(ValidatorFault { organisation, problem });
            }
            if collector.is_complete() {
                break;
            }
        }
        drop(answers);
        match collector.finish() {
            Ok(secrets) => {
                named.extend(faults);
                Ok(secrets)
            }
            Err(shares) => Err(ReleaseError::TooFew { shares, faults }),
        }
    }

    /// Asks the validator that has one share.
    async fn ask_share(
        &self,
        reading: &Reading<'_>,
        (consortium, share): (&Consortium, u16),
        body: &[u8],
    ) -> (OrganisationId, Result<(ReleaseAnswer, PublicKey), ValidatorProblem>) {
        let (organisation, key) =
            consortium.releaser(share).expect("there is a validator for each share");
        let Some(node) = self.nodes().of(organisation) else {
            return (organisation, Err(ValidatorProblem::NoAddress));
        };
        let (target, actor) = ("/v1/release".to_owned(), reading.opening.actor);
        let ask =
            Ask::with_body(Method::POST, target, Some(actor), body.to_vec(), RELEASE_BYTES_MAX);
        let mut tries = 1;
        let bytes = loop {
            match self.nodes().ask(node, &ask).await {
                Err(error) if error.fault.is_busy() && tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                answer => break answer,
            }
        };
        let answer = bytes.map_err(ValidatorProblem::from).and_then(|bytes| {
            let answer: Option<ReleaseAnswer> =
                keepwell_types::decode(&bytes, RELEASE_BYTES_MAX).ok();
            // An answer in the name of another share would put the blame on another validator.
            let own = answer.filter(|it| it.share == share);
            own.map(|it| (it, *key)).ok_or_else(|| ValidatorProblem::Garbled(node.clone()))
        });
        (organisation, answer)
    }

    /// Writes the whole content of an opened record to `output`.
    pub async fn read(
        &self,
        actor: &Actor,
        record: &OpenedRecord,
        output: &mut (impl AsyncWrite + Unpin),
    ) -> Result<ReadReport, ClientError> {
        let mut body = BodyReader::new(self, actor, record)?;
        let (mut bytes, mut content_bytes) = (0, 0);
        for index in 0..body.layout.chunks() {
            body.load(index).await?;
            if index == 0 {
                content_bytes = body.content_bytes()?;
            }
            let content = body.content(index, content_bytes)?;
            output.write_all(content).await.map_err(UsageError::Output)?;
            bytes += content.len() as u64;
        }
        output.flush().await.map_err(UsageError::Output)?;
        Ok(ReadReport { bytes, faults: body.faults })
    }

    /// Writes a stretch of the content of an opened record to `output`; only the chunks that it touches,
    /// and the first one, are fetched.
    pub async fn read_range(
        &self,
        actor: &Actor,
        record: &OpenedRecord,
        range: Range<u64>,
        output: &mut (impl AsyncWrite + Unpin),
    ) -> Result<ReadReport, ClientError> {
        let mut body = BodyReader::new(self, actor, record)?;
        body.load(0).await?;
        let content_bytes = body.content_bytes()?;
        let Range { start: from, end: until } = range;
        if from > until || until > content_bytes {
            return Err(UsageError::Range { content_bytes, from, until }.into());
        }
        let mut at = from;
        while at < until {
            let (index, within) = body.layout.locate(at).expect("the range was checked");
            body.load(index).await?;
            let plain = body.plain();
            let len = (until - at).min((plain.len() - within) as u64);
            let stretch = &plain[within..within + len as usize];
            output.write_all(stretch).await.map_err(UsageError::Output)?;
            at += len;
        }
        output.flush().await.map_err(UsageError::Output)?;
        Ok(ReadReport { bytes: until - from, faults: body.faults })
    }
}

/// The target under which the body of a record is asked for.
fn body_target(chart: ChartId, at: LogPosition, access: LogPosition) -> String {
    format!("/v1/charts/{chart}/records/{at}/body?access={access}")
}

fn request_of(reading: &Reading<'_>, batch: &[Sealed]) -> Vec<u8> {
    let item = |it: &Sealed| ReleaseItem {
        position: it.facts.name.position,
        capsule: Blob::from_vec(it.capsule.encode()).expect("capsules are within their limit"),
    };
    keepwell_types::encode(&ReleaseRequest {
        chart: reading.opening.chart,
        access: reading.position,
        reader_key: reading.key.public().to_blob(),
        items: List::from_vec(batch.iter().map(item).collect()).expect("batches are cut to size"),
    })
}

/// Opens each capsule with both secrets.
fn open_all(
    reading: &Reading<'_>,
    batch: Vec<Sealed>,
    secrets: &[ReleaseSecret],
    opened: &mut Opened,
) {
    let Opening { chart, seeds, .. } = *reading.opening;
    for (Sealed { facts, capsule }, secret) in batch.into_iter().zip(secrets) {
        match open_one(seeds, &facts, &capsule, secret) {
            Ok(dek) => {
                let access = reading.position;
                opened.records.push(OpenedRecord { chart, access, facts, dek });
            }
            Err(error) => opened.withheld.push(Withheld { facts, error: error.into() }),
        }
    }
}

fn open_one(
    seeds: &Seeds,
    facts: &RecordFacts,
    salted: &SaltedCapsule,
    secret: &ReleaseSecret,
) -> Result<Dek, KeyError> {
    let (compartment, epoch) = (facts.compartment, facts.epoch);
    let seed = seeds.get(compartment, epoch).ok_or(KeyError::NoSeed { compartment, epoch })?;
    let open = || {
        let granted = salted.capsule.open_grant(&seed.sealing())?;
        salted.capsule.open(&granted, secret)
    };
    open().map_err(|error| KeyError::Capsule { record: facts.name.record, error })
}

/// Whether something in the batch is at fault, so that the rest of it may open.
fn is_refusal(error: &ReleaseError) -> bool {
    let faults = match error {
        ReleaseError::TooFew { faults, .. } => faults,
        ReleaseError::Request(CollectError::Ciphertext { .. }) => return true,
        ReleaseError::Request(CollectError::ReaderKey) | ReleaseError::Evaluation(_) => {
            return false;
        }
    };
    faults.iter().any(|fault| match &fault.problem {
        ValidatorProblem::Node(NodeError { fault, .. }) => fault.is_forbidden(),
        ValidatorProblem::NoAddress | ValidatorProblem::Garbled(_) | ValidatorProblem::Share(_) => {
            false
        }
    })
}

/// Reads the chunks of one body, from one custodian after the other.
struct BodyReader<'a> {
    client: &'a Client,
    actor: &'a Actor,
    record: &'a OpenedRecord,
    layout: Layout,
    /// Custodians that have not failed, the one in use first.
    custodians: Vec<OrganisationId>,
    source: Option<Source>,
    opener: Option<Opener>,
    buffer: Zeroizing<Vec<u8>>,
    /// The chunk whose plaintext is in the buffer, and how long it is.
    loaded: Option<(u32, usize)>,
    faults: Vec<CustodyFault>,
}

/// A custodian's stream, and the chunk that comes next in it.
struct Source {
    pieces: Pieces,
    rest: BytesMut,
    next: u32,
}

impl Source {
    /// Fills `buffer`; false if the stream ends before.
    async fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, NodeFault> {
        while self.rest.len() < buffer.len() {
            match self.pieces.next().await? {
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => return Ok(false),
            }
        }
        buffer.copy_from_slice(&self.rest[..buffer.len()]);
        self.rest.advance(buffer.len());
        Ok(true)
    }
}

impl<'a> BodyReader<'a> {
    fn new(
        client: &'a Client,
        actor: &'a Actor,
        record: &'a OpenedRecord,
    ) -> Result<Self, ClientError> {
        let facts = &record.facts;
        let layout =
            Layout::of_sealed(facts.sealed_bytes).map_err(|error| own_fault(facts, error))?;
        Ok(Self {
            client,
            actor,
            record,
            layout,
            custodians: facts.custodians.clone(),
            source: None,
            opener: None,
            buffer: Zeroizing::new(Vec::new()),
            loaded: None,
            faults: Vec::new(),
        })
    }

    /// Fetches and opens a chunk, from whichever custodian has it right.
    async fn load(&mut self, index: u32) -> Result<(), ClientError> {
        if self.loaded.is_some_and(|(loaded, _)| loaded == index) {
            return Ok(());
        }
        while let Some(&custodian) = self.custodians.first() {
            match self.load_from(custodian, index).await {
                Ok(()) => return Ok(()),
                Err(problem) => {
                    self.faults.push(self.record.facts.fault(custodian, problem));
                    self.custodians.remove(0);
                    self.source = None;
                }
            }
        }
        let object = self.record.facts.object();
        Err(CustodyError::Unreadable { object, faults: self.faults.clone() }.into())
    }

    async fn load_from(
        &mut self,
        custodian: OrganisationId,
        index: u32,
    ) -> Result<(), CustodyProblem> {
        self.loaded = None;
        if self.opener.is_none() {
            self.read_header(custodian).await?;
        }
        if self.source.as_ref().is_none_or(|source| source.next != index) {
            let range = self.layout.sealed_range(index).ok_or(CustodyProblem::CutOff { index })?;
            self.source = Some(self.start(custodian, range.start, index).await?);
        }
        let range = self.layout.sealed_range(index).ok_or(CustodyProblem::CutOff { index })?;
        self.buffer.resize((range.end - range.start) as usize, 0);
        let (Some(source), Some(opener)) = (&mut self.source, &self.opener) else {
            return Err(CustodyProblem::CutOff { index });
        };
        if !self.client.filled(custodian, source, &mut self.buffer).await? {
            return Err(CustodyProblem::CutOff { index });
        }
        source.next = index + 1;
        let plain = opener.decrypt_chunk(index, &mut self.buffer);
        let len = plain.map_err(|_| CustodyProblem::Chunk { index })?.len();
        self.loaded = Some((index, len));
        Ok(())
    }

    /// Reads the header, and leaves the stream at chunk 0.
    async fn read_header(&mut self, custodian: OrganisationId) -> Result<(), CustodyProblem> {
        let mut source = self.start(custodian, 0, 0).await?;
        let mut header = [0; HEADER_BYTES];
        if !self.client.filled(custodian, &mut source, &mut header).await? {
            return Err(CustodyProblem::CutOff { index: 0 });
        }
        let OpenedRecord { dek, facts, .. } = self.record;
        let opener = Opener::new(dek, &facts.name.record, &header, facts.sealed_bytes);
        self.opener = Some(opener.map_err(CustodyProblem::Header)?);
        self.source = Some(source);
        Ok(())
    }

    async fn start(
        &self,
        custodian: OrganisationId,
        from: u64,
        next: u32,
    ) -> Result<Source, CustodyProblem> {
        let nodes = self.client.nodes();
        let node = nodes.of(custodian).ok_or(CustodyProblem::NoAddress)?;
        let OpenedRecord { chart, access, facts, .. } = self.record;
        let target = body_target(*chart, facts.name.position, *access);
        let mut tries = 0;
        let pieces = loop {
            tries += 1;
            match nodes.get_stream(node, self.actor, &target, from).await {
                // A node that was started a moment ago is behind what others have shown.
                Err(error) if error.fault.is_busy() && tries < TRIES => sleep(PAUSE).await,
                pieces => break pieces?,
            }
        };
        Ok(Source { pieces, rest: BytesMut::new(), next })
    }

    /// The plaintext of the chunk that was loaded last.
    fn plain(&self) -> &[u8] {
        let len = self.loaded.map_or(0, |(_, len)| len);
        &self.buffer[..len]
    }

    fn opener(&self) -> &Opener {
        self.opener.as_ref().expect("a chunk was loaded, and the header before it")
    }

    /// The length of the content, once chunk 0 is loaded.
    fn content_bytes(&self) -> Result<u64, ClientError> {
        self.opener()
            .content_bytes(self.plain())
            .map_err(|error| own_fault(&self.record.facts, error))
    }

    fn content(&self, index: u32, content_bytes: u64) -> Result<&[u8], ClientError> {
        let content = self.opener().content(index, content_bytes, self.plain());
        content.map_err(|error| own_fault(&self.record.facts, error))
    }
}

impl Client {
    async fn filled(
        &self,
        custodian: OrganisationId,
        source: &mut Source,
        buffer: &mut [u8],
    ) -> Result<bool, CustodyProblem> {
        let node = self.nodes().of(custodian).ok_or(CustodyProblem::NoAddress)?;
        let filled = source.fill(buffer).await;
        Ok(filled.map_err(|fault| NodeError { node: node.clone(), fault })?)
    }
}

/// What is authentic and wrong all the same is the author's fault.
fn own_fault(facts: &RecordFacts, error: OpenError) -> ClientError {
    KeyError::Author { record: facts.name.record, error }.into()
}

#[cfg(test)]
mod tests;
