//! Cases: what a patient asks of the chart's organisation by right, what it answers, and the words of both.
//!
//! ```text
//! controller  request ── sealed to the case's key, which is handed to privacy officers ──> custodians
//!             case.open {kind, record, digest of the request} ──> ledger
//! officer     request ──> case's key ──> denial or extension, sealed to the same key ──> custodians
//!             case.decide, case.extend ──> ledger
//! controller  statement of disagreement, with the case's key attached to every version of the record
//!             case.state ──> ledger
//! reader      opens the record ──> its cases, with proof ──> all words of those whose key is attached
//! ```
//!
//! # Invariants
//!
//! * What is attached to a record is told from the state, with proof: no node leaves a case out.
//! * Words open with the key of their case only, and are those whose digest a party signed.
//! * Whoever opens a record after a disagreement gets the request, the denial, the disagreement and the rebuttal
//!   together (45 CFR 164.526(d)(5)); before there is one, the facts of the case and no words.
//!
//! Not here: clocks and grounds, which the ledger applies; the amendment itself ([`crate::author`]).

use std::collections::{BTreeMap, BTreeSet};

use keepwell_crypto::{
    body::Dek,
    keys::CaseKey,
    seal::OpenError,
    words::{CaseWords, Readers, Subject, seal_words},
};
use keepwell_ledger::state::{Case, Chart, Key, RecordState, Value};
use keepwell_types::{
    access::{Purpose, RecordName, Target},
    case::{
        CaseAcknowledge, CaseDecide, CaseDecision, CaseExtend, CaseKind, CaseOpen, CaseStatement,
        DenialGround,
    },
    command::{Entry, Payload},
    id::{CaseId, ChainId, ChartId, Digest, LogPosition, MemberId, OrganisationId, RecordId},
    limits::ACCESS_RECORDS_MAX,
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
};
use zeroize::Zeroizing;

use crate::{
    Client,
    audit::{Access, accesses_in},
    client::{Decided, random, rng},
    error::{ClientError, KeyError, UsageError},
    identity::{Actor, ChartHolder, MemberIdentity},
    open::{Opened, OpenedRecord, Opening, RecordFacts, What, records_in},
    verify::{LogLine, LogMark, VerifiedLog},
};

/// What was said when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speech {
    /// What is asked for.
    Request,
    /// Why the answer takes longer.
    Extension,
    /// Why it is denied.
    Denial,
    /// The patient does not agree.
    Disagreement,
    /// The organisation answers that.
    Rebuttal,
}

impl Speech {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Extension => "extension",
            Self::Denial => "denial",
            Self::Disagreement => "disagreement",
            Self::Rebuttal => "rebuttal",
        }
    }
}

/// Something that was said in a case; its words are sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Said {
    /// What it is.
    pub speech: Speech,
    /// Who said it.
    pub by: Party,
    /// When.
    pub at: BlockTime,
    /// Digest of the sealed words.
    pub words: Digest,
}

/// A case as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedCase {
    /// Its id.
    pub case: CaseId,
    /// The record that it is about, as the patient named it.
    pub record: Option<RecordName>,
    /// Clock, answer and whom it was brought to.
    pub entry: Case,
    /// What was said, in order.
    pub said: Vec<Said>,
}

/// An organisation that has opened what a case is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EarlierRecipient {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// When it did so last, before the answer.
    pub last: BlockTime,
    /// Whether it says that it was told.
    pub told: bool,
}

/// A case about a record that was opened.
#[derive(Clone)]
pub struct Attachment {
    /// The record, by the id of its first version.
    pub record: RecordId,
    /// The case.
    pub case: CaseId,
    /// Its clock and answer.
    pub entry: Case,
    /// What was said, in order; nothing while the words are not for whoever reads the record.
    pub texts: Vec<Zeroizing<String>>,
}

/// What is attached to opened records.
#[derive(Clone, Default)]
pub struct Attachments {
    /// Cases about them.
    pub cases: Vec<Attachment>,
    /// Records whose cases could not be asked for: their earlier versions were not opened with them.
    pub unknown: Vec<RecordName>,
}

/// Whose words and keys they are.
#[derive(Clone, Copy, Debug)]
pub enum Voice<'a> {
    /// Whoever controls the chart.
    Controller(&'a ChartHolder),
    /// A member of the chart's organisation.
    Member(&'a MemberIdentity),
}

impl Voice<'_> {
    /// Signs as this voice.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Controller(holder) => holder.actor(),
            Self::Member(member) => member.actor(),
        }
    }
}

/// The cases in a log, with what was said; as the log has it, without their state.
fn told_in(log: &VerifiedLog) -> Vec<(CaseId, Option<RecordName>, Vec<Said>)> {
    let mut cases: Vec<(CaseId, Option<RecordName>, Vec<Said>)> = Vec::new();
    for line in log.lines().iter().filter(|line| line.outcome.verdict.is_accepted()) {
        if let Payload::CaseOpen(open) = line.entry.payload() {
            cases.push((open.case, open.record, Vec::new()));
        }
        if let Some((case, said)) = said_in(line) {
            let told = cases.iter_mut().find(|(known, ..)| *known == case);
            told.into_iter().for_each(|(.., all)| all.push(said));
        }
    }
    cases
}

fn said_in(line: &LogLine) -> Option<(CaseId, Said)> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let (by, at) = (*signed.command.signers.first()?, line.outcome.time);
    #[expect(clippy::wildcard_enum_match_arm, reason = "nothing is said in other commands")]
    let (case, speech, words) = match &signed.command.payload {
        Payload::CaseOpen(it) => (it.case, Speech::Request, it.statement?),
        Payload::CaseExtend(it) => (it.case, Speech::Extension, it.statement),
        Payload::CaseDecide(it) => match it.decision {
            CaseDecision::Accept => return None,
            CaseDecision::Deny { statement, .. } => (it.case, Speech::Denial, statement),
        },
        Payload::CaseState(it) => match by {
            Party::Controller(_) | Party::Proxy(..) => {
                (it.case, Speech::Disagreement, it.statement)
            }
            Party::Member(_)
            | Party::Administrator(_)
            | Party::Claimant(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => (it.case, Speech::Rebuttal, it.statement),
        },
        _ => return None,
    };
    Some((case, Said { speech, by, at, words }))
}

/// Whether an access asked for any of these records.
fn asked_for(access: &Access, records: &[&RecordFacts]) -> bool {
    match &access.target {
        Target::Records(names) => records.iter().any(|it| names.contains(&it.name)),
        Target::Compartments { compartments, until } => records
            .iter()
            .any(|it| it.name.position < *until && compartments.contains(it.compartment)),
    }
}

impl Client {
    /// Asks for something by right. The request can be read by these members, who should be privacy officers of
    /// the chart's organisation, and whose keys their organisation has published.
    pub async fn open_case(
        &self,
        holder: &ChartHolder,
        (kind, record): (CaseKind, Option<RecordName>),
        text: &str,
        officers: &[MemberId],
    ) -> Result<(CaseId, Decided), ClientError> {
        let (actor, chart, case) = (holder.actor(), holder.chart(), CaseId(random()));
        let organisation = self.chart(&actor, chart).await?.organisation;
        let mut members = Vec::with_capacity(officers.len());
        for officer in officers {
            if self.member(&actor, *officer).await?.organisation != organisation {
                return Err(UsageError::NotOfChart(*officer).into());
            }
            members.push((*officer, self.member_key(&actor, *officer).await?));
        }
        let key = holder.secret().case_key(case);
        let readers = Readers { members: &members, records: &[] };
        let words = self.say(&actor, (chart, case), &key, text, readers).await?;
        let open = CaseOpen { chart, case, kind, record, statement: Some(words) };
        Ok((case, self.command(&actor, Payload::CaseOpen(open)).await?))
    }

    /// Does what was asked for. An amendment is then to be added.
    pub async fn accept_case(
        &self,
        officer: &MemberIdentity,
        chart: ChartId,
        case: CaseId,
    ) -> Result<Decided, ClientError> {
        let decide = CaseDecide { chart, case, decision: CaseDecision::Accept };
        self.command(&officer.actor(), Payload::CaseDecide(decide)).await
    }

    /// Does not do what was asked for, on a ground that the law has, and says why.
    pub async fn deny_case(
        &self,
        officer: &MemberIdentity,
        (chart, case): (ChartId, CaseId),
        ground: DenialGround,
        text: &str,
    ) -> Result<Decided, ClientError> {
        let statement = self.answer(officer, (chart, case), text).await?;
        let decision = CaseDecision::Deny { ground, statement };
        let decide = CaseDecide { chart, case, decision };
        self.command(&officer.actor(), Payload::CaseDecide(decide)).await
    }

    /// Takes more time, once, and says why.
    pub async fn extend_case(
        &self,
        officer: &MemberIdentity,
        (chart, case): (ChartId, CaseId),
        text: &str,
    ) -> Result<Decided, ClientError> {
        let statement = self.answer(officer, (chart, case), text).await?;
        let extend = CaseExtend { chart, case, statement };
        self.command(&officer.actor(), Payload::CaseExtend(extend)).await
    }

    /// Answers a statement of disagreement.
    pub async fn rebut_case(
        &self,
        officer: &MemberIdentity,
        (chart, case): (ChartId, CaseId),
        text: &str,
    ) -> Result<Decided, ClientError> {
        let statement = self.answer(officer, (chart, case), text).await?;
        let state = CaseStatement { chart, case, statement };
        self.command(&officer.actor(), Payload::CaseState(state)).await
    }

    /// Disagrees with a denial. From then on whoever opens the record opens all words of the case with it.
    ///
    /// The versions of the record that there are by now are opened for that, in one access: their data keys carry
    /// the words. Said again after an amendment, it goes with that version too.
    pub async fn disagree(
        &self,
        holder: &ChartHolder,
        case: CaseId,
        text: &str,
    ) -> Result<Decided, ClientError> {
        let (actor, chart) = (holder.actor(), holder.chart());
        let entry = self.case(&actor, chart, case, None).await?;
        let record = entry.record.ok_or(UsageError::NoRecordOfCase(case))?;
        let versions = self.versions(holder, record).await?;
        let records: Vec<(RecordId, &Dek)> =
            versions.iter().map(|it| (it.facts().name.record, it.dek())).collect();
        let key = self.case_key(Voice::Controller(holder), chart, case).await?;
        let readers = Readers { members: &[], records: &records };
        let statement = self.say(&actor, (chart, case), &key, text, readers).await?;
        let state = CaseStatement { chart, case, statement };
        self.command(&actor, Payload::CaseState(state)).await
    }

    /// Opens the versions of a record, the newest ones if there are more than one access names.
    async fn versions(
        &self,
        holder: &ChartHolder,
        original: RecordId,
    ) -> Result<Vec<OpenedRecord>, ClientError> {
        let (actor, chart) = (holder.actor(), holder.chart());
        let records = self.records(&actor, chart, LogMark::START).await?;
        let is_version = |it: &&RecordFacts| it.original(&records) == original;
        let versions: Vec<_> = records.iter().filter(is_version).collect();
        let newest = &versions[versions.len().saturating_sub(ACCESS_RECORDS_MAX)..];
        let compartments: CompartmentSet = newest.iter().map(|it| it.compartment).collect();
        let seeds = holder.seeds(&self.chart(&actor, chart).await?, compartments);
        let what = What::Records(newest.iter().map(|it| it.name).collect());
        let purpose = Purpose::PatientRequest;
        let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
        let opened = self.open(&opening).await?;
        match opened.withheld.into_iter().next() {
            // One that stays closed would go on without the words.
            Some(withheld) => Err(withheld.error),
            None => Ok(opened.records),
        }
    }

    /// Says, for one's organisation, that it was told what became of a case.
    pub async fn acknowledge_case(
        &self,
        member: &MemberIdentity,
        chart: ChartId,
        case: CaseId,
    ) -> Result<Decided, ClientError> {
        let acknowledge = CaseAcknowledge { chart, case };
        self.command(&member.actor(), Payload::CaseAcknowledge(acknowledge)).await
    }

    /// A case as it stands. Someone from elsewhere names an access of its organisation, and a record that this
    /// asks for.
    pub async fn case(
        &self,
        actor: &Actor,
        chart: ChartId,
        case: CaseId,
        through: Option<(LogPosition, LogPosition)>,
    ) -> Result<Case, ClientError> {
        let target = format!("/v1/charts/{chart}/cases/{case}{}", query(through));
        match self.state(actor, Key::Case(chart, case), target).await?.into_value() {
            Some(Value::Case(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchCase(case).into()),
        }
    }

    /// Every case of a chart. The list is complete: it comes from the chart's log.
    pub async fn cases(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<ListedCase>, ClientError> {
        let log = self.log(actor, chart, known).await?;
        let mut cases = Vec::new();
        for (case, record, said) in told_in(&log) {
            let entry = self.case(actor, chart, case, None).await?;
            cases.push(ListedCase { case, record, entry, said });
        }
        Ok(cases)
    }

    /// What was said in a case, for those to whom its key was handed.
    pub async fn words_of(
        &self,
        voice: Voice<'_>,
        chart: ChartId,
        listed: &ListedCase,
    ) -> Result<Vec<(Said, Zeroizing<String>)>, ClientError> {
        let (actor, key) = (voice.actor(), self.case_key(voice, chart, listed.case).await?);
        let (chain, entry) = (self.consortium().chain(), self.chart(&actor, chart).await?);
        let subject = Subject { chain: &chain, chart: &chart, case: &listed.case };
        let mut texts = Vec::with_capacity(listed.said.len());
        for said in &listed.said {
            let words = self.words(&actor, chart, &entry, said.words).await?;
            let text = words.open(&subject, &key).map_err(not_for(listed.case))?;
            texts.push((*said, text));
        }
        Ok(texts)
    }

    /// Organisations beside the chart's own that have opened what a case is about, before it was answered.
    ///
    /// An access to compartments counts for every record in them, also for one that stayed closed: telling one
    /// too many does no harm.
    pub async fn earlier_recipients(
        &self,
        actor: &Actor,
        chart: ChartId,
        entry: &Case,
    ) -> Result<Vec<EarlierRecipient>, ClientError> {
        let log = self.log(actor, chart, LogMark::START).await?;
        let own = self.chart(actor, chart).await?.organisation;
        let records: Vec<_> = records_in(&log).collect();
        let is_about = |it: &&RecordFacts| {
            entry.record.is_none_or(|original| it.original(&records) == original)
        };
        let about: Vec<_> = records.iter().filter(is_about).collect();
        let mut last: BTreeMap<OrganisationId, BlockTime> = BTreeMap::new();
        for access in accesses_in(&log) {
            let before = entry.decided.is_none_or(|decided| access.time <= decided.at);
            let Party::Member(reader) = access.reader else { continue };
            if !before || access.refused.is_some() || !asked_for(&access, &about) {
                continue;
            }
            let organisation = self.member(actor, reader).await?.organisation;
            if organisation != own {
                last.insert(organisation, access.time);
            }
        }
        let mut recipients = Vec::with_capacity(last.len());
        for (organisation, last) in last {
            let name = self.organisation(actor, organisation).await?.name.to_string();
            let told = entry.told.contains(&organisation);
            recipients.push(EarlierRecipient { organisation, name, last, told });
        }
        Ok(recipients)
    }

    /// The cases about records that were just opened, and what was said in those whose words go with them.
    pub async fn attachments(
        &self,
        actor: &Actor,
        opened: &Opened,
    ) -> Result<Attachments, ClientError> {
        let Some(first) = opened.records.first() else { return Ok(Attachments::default()) };
        let chart = first.chart();
        let (originals, unknown) = self.originals(actor, chart, opened).await?;
        let mut attachments = Attachments { cases: Vec::new(), unknown };
        let custody = self.chart(actor, chart).await?;
        for (record, versions) in originals {
            let through = versions.first().map(|it| (it.access(), it.facts().name.position));
            let state = self.followed(actor, chart, record, through).await?;
            for case in state.cases.iter() {
                let found = self.case(actor, chart, *case, through).await?;
                let texts =
                    self.texts(actor, (chart, &custody), (*case, &found), &versions).await?;
                attachments.cases.push(Attachment { record, case: *case, entry: found, texts });
            }
        }
        Ok(attachments)
    }

    /// What has become of a record, for someone who has opened it.
    async fn followed(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordId,
        through: Option<(LogPosition, LogPosition)>,
    ) -> Result<RecordState, ClientError> {
        let target = format!("/v1/charts/{chart}/record-states/{record}{}", query(through));
        let proven = self.state(actor, Key::RecordState(chart, record), target).await?;
        match proven.into_value() {
            Some(Value::RecordState(state)) => Ok(state),
            Some(_) | None => Ok(RecordState::default()),
        }
    }

    /// Opened records by their first versions; and those of which no first version is known here.
    async fn originals<'a>(
        &self,
        actor: &Actor,
        chart: ChartId,
        opened: &'a Opened,
    ) -> Result<Originals<'a>, ClientError> {
        let known = opened.records.iter().map(OpenedRecord::facts);
        let mut known: Vec<_> =
            known.chain(opened.withheld.iter().map(|it| &it.facts)).cloned().collect();
        let is_first = |first: RecordId, known: &[RecordFacts]| {
            known.iter().any(|it| it.name.record == first && it.amends.is_none())
        };
        let all_known = known.iter().all(|it| is_first(it.original(&known), &known));
        if !all_known {
            match self.records(actor, chart, LogMark::START).await {
                Ok(records) => known = records,
                // Someone from elsewhere has what the access shows.
                Err(ClientError::Node(error)) if error.fault.is_forbidden() => {}
                Err(error) => return Err(error),
            }
        }
        let (mut originals, mut unknown) = (BTreeMap::new(), Vec::new());
        for record in &opened.records {
            let first = record.facts().original(&known);
            if is_first(first, &known) {
                originals.entry(first).or_insert_with(Vec::new).push(record);
            } else {
                unknown.push(record.facts().name);
            }
        }
        Ok((originals, unknown))
    }

    /// All words of a case whose key is attached to one of these versions; none if it is to no one.
    async fn texts(
        &self,
        actor: &Actor,
        (chart, custody): (ChartId, &Chart),
        (case, entry): (CaseId, &Case),
        versions: &[&OpenedRecord],
    ) -> Result<Vec<Zeroizing<String>>, ClientError> {
        // Without a disagreement nothing is attached.
        if entry.statements.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = Vec::new();
        for digest in entry.words() {
            words.push(self.words(actor, chart, custody, digest).await?);
        }
        let chain = self.consortium().chain();
        let subject = Subject { chain: &chain, chart: &chart, case: &case };
        let Some(key) = key_in(&subject, &words, versions) else { return Ok(Vec::new()) };
        let open = |words: &CaseWords| words.open(&subject, &key).map_err(not_for(case));
        Ok(words.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Seals a text to a case's key, and stores it.
    async fn say(
        &self,
        actor: &Actor,
        (chart, case): (ChartId, CaseId),
        key: &CaseKey,
        text: &str,
        readers: Readers<'_>,
    ) -> Result<Digest, ClientError> {
        let chain = self.consortium().chain();
        let subject = Subject { chain: &chain, chart: &chart, case: &case };
        let words =
            seal_words(&mut rng(), &subject, key, text, readers).map_err(UsageError::Seal)?;
        self.put_words(actor, chart, &words).await
    }

    async fn answer(
        &self,
        officer: &MemberIdentity,
        (chart, case): (ChartId, CaseId),
        text: &str,
    ) -> Result<Digest, ClientError> {
        let key = self.case_key(Voice::Member(officer), chart, case).await?;
        self.say(&officer.actor(), (chart, case), &key, text, Readers::default()).await
    }

    /// The key of a case: derived by whoever opened it, handed to members with the request.
    async fn case_key(
        &self,
        voice: Voice<'_>,
        chart: ChartId,
        case: CaseId,
    ) -> Result<CaseKey, ClientError> {
        let actor = voice.actor();
        let entry = self.case(&actor, chart, case, None).await?;
        let asked = entry.asked.ok_or_else(|| not_for(case)(OpenError::WrongKey))?;
        let custody = self.chart(&actor, chart).await?;
        let words = self.words(&actor, chart, &custody, asked).await?;
        let member = match voice {
            // Whoever opened the case may have had other keys: the patient before a recovery, or a proxy.
            Voice::Controller(holder) => {
                let key = holder.secret().case_key(case);
                words.check(&key).map_err(not_for(case))?;
                return Ok(key);
            }
            Voice::Member(member) => member,
        };
        let chain: ChainId = self.consortium().chain();
        let subject = Subject { chain: &chain, chart: &chart, case: &case };
        let key = words.key_of_member(&subject, member.member(), &member.sealing());
        Ok(key.map_err(not_for(case))?)
    }
}

/// Opened versions by the first version of their record, and records whose first version is not known.
type Originals<'a> = (BTreeMap<RecordId, Vec<&'a OpenedRecord>>, Vec<RecordName>);

fn not_for(case: CaseId) -> impl Fn(OpenError) -> KeyError {
    move |error| KeyError::Case { case, error }
}

fn query(through: Option<(LogPosition, LogPosition)>) -> String {
    through.map_or_else(String::new, |(access, position)| {
        format!("?access={access}&position={position}")
    })
}

/// The key of a case, as it is attached to one of the versions that were opened.
fn key_in(
    subject: &Subject<'_>,
    words: &[CaseWords],
    versions: &[&OpenedRecord],
) -> Option<CaseKey> {
    words.iter().find_map(|words| {
        let attached: BTreeSet<_> = words.records().collect();
        let fits = |it: &&&OpenedRecord| attached.contains(&it.facts().name.record);
        let mut opened = versions.iter().filter(fits);
        opened.find_map(|it| words.key_of_record(subject, it.facts().name.record, it.dek()).ok())
    })
}
