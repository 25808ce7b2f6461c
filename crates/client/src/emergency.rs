//! Emergencies: prepared by whoever controls a chart; begun, agreed to, opened, ended and reviewed by members.
//!
//! ```text
//! wallet     seeds, shared out among the trustees ──> custodians        keys of epochs to come ──> custodians
//!            chart.prepare {compartments, digests of both} ──> ledger
//! clinician  access.break_glass ──> another's access.second, or the delay
//!            access.open for BTG ──> proofs of the newest state ──> trustees, all at once ──> t shares ──> seeds
//!              ──> capsules, validators, bodies as in any opening
//! anyone     access.close ──> what was opened is at its next epoch; the patient need not be there
//! ```
//!
//! # Invariants
//!
//! * Only seeds of epochs that have begun are in what an emergency opens.
//! * A trustee that lied is named and dropped, and others stand in for it.
//! * What is opened is opened by an access like any other: the patient sees it in the same log.
//!
//! Not here: what trustees check ([`crate::trustee`]).

use futures::{StreamExt as _, stream::FuturesUnordered};
use keepwell_crypto::{
    sheet,
    trustee::{ANSWER_BYTES_MAX, AnswerCollector, ChartEscrow, Left, Opens, TrusteeAnswer},
};
use keepwell_ledger::state::{Chart, Emergencies, Emergency, EmergencyUse, Key, Value};
use keepwell_types::{
    access::{
        BreakGlass, EmergencyClose, EmergencyReason, EmergencyReview, EmergencySecond, Finding,
        Purpose,
    },
    chart::{AheadSheet, ChartPrepare, KeysAhead},
    command::{Entry, Payload},
    encoding::Blob,
    id::{ChartId, Epoch, LogPosition, MemberId, OrganisationId},
    limits::{EPOCHS_AHEAD_MAX, ESCROW_EPOCHS_MAX},
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
    wire::TrusteeRequest,
};

use crate::{
    Client,
    client::{Decided, rng},
    error::{ClientError, LedgerError, TrusteeError, TrusteeFault, TrusteeProblem, UsageError},
    identity::{Actor, ChartHolder, Seeds},
    node::NodeFault,
    open::{Opened, Opening, Reading, What},
    verify::{LogLine, LogMark},
};

/// The path at which trustees are asked.
pub const SHARE_PATH: &str = "/v1/share";

/// Where a trustee is reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrusteeEndpoint {
    /// Which, counted from 1 in the order of the genesis file.
    pub trustee: u16,
    /// `http://host:port`, without a path.
    pub url: String,
}

/// An emergency that was begun.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Where it stands in the chart's log: its name.
    pub emergency: LogPosition,
    /// When it opens unless another clinician agrees before.
    pub opens_at: BlockTime,
    /// The proof.
    pub decided: Decided,
}

/// A wish to open in an emergency.
#[derive(Clone, Copy, Debug)]
pub struct EmergencyOpening<'a> {
    /// Who broke the glass.
    pub actor: &'a Actor,
    /// Which chart.
    pub chart: ChartId,
    /// Which emergency.
    pub emergency: LogPosition,
    /// Which of its compartments.
    pub compartments: CompartmentSet,
}

/// What was opened in an emergency.
#[derive(Debug)]
pub struct OpenedInEmergency {
    /// As in any opening.
    pub opened: Opened,
    /// The keys that the trustees gave.
    pub seeds: Seeds,
    /// Trustees that gave nothing, or something wrong.
    pub trustees: Vec<TrusteeFault>,
}

/// An emergency as a chart's log has it, and what became of it as far as the ledger remembers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedEmergency {
    /// Where the glass was broken in the log.
    pub position: LogPosition,
    /// When.
    pub at: BlockTime,
    /// By whom.
    pub member: MemberId,
    /// Which compartments.
    pub compartments: CompartmentSet,
    /// Why.
    pub reason: EmergencyReason,
    /// How it stands; nothing of one that newer ones pushed out.
    pub entry: Option<Emergency>,
}

impl Client {
    /// Leaves these compartments to emergencies, and nothing else, from now on.
    ///
    /// Where compartments moved on while the holder was away, they move on once more, so that whoever holds a
    /// grant gets the keys of what was added since.
    pub async fn prepare_for_emergencies(
        &self,
        holder: &ChartHolder,
        compartments: CompartmentSet,
    ) -> Result<Decided, ClientError> {
        let (actor, id) = (holder.actor(), holder.chart());
        let moved = self.moved_on(&actor, id).await?;
        if !moved.is_empty() {
            self.rotate_only(holder, moved).await?;
        }
        self.prepare(holder, compartments).await
    }

    /// [`Self::prepare_for_emergencies`] of a chart whose compartments did not move on by themselves.
    pub(crate) async fn prepare(
        &self,
        holder: &ChartHolder,
        compartments: CompartmentSet,
    ) -> Result<Decided, ClientError> {
        let trustees = self.consortium().trustees().ok_or(UsageError::NoTrustees)?;
        let (actor, id) = (holder.actor(), holder.chart());
        let chart = self.chart(&actor, id).await?;
        let left = left(holder, &chart, compartments)?;
        let chain = self.consortium().chain();
        let escrow = ChartEscrow::deal(&mut rng(), &chain, id, trustees, &left)
            .map_err(UsageError::Escrow)?;
        self.put_escrow(&actor, id, &chart, &escrow).await?;
        let ahead = match keys_ahead(holder, &chart, compartments) {
            Some((sheet, keys)) => {
                self.put_ahead(&actor, &chart, &sheet).await?;
                Some(keys)
            }
            None => None,
        };
        let prepare =
            ChartPrepare { chart: id, emergency: compartments, escrow: escrow.digest(), ahead };
        self.command(&actor, Payload::ChartPrepare(prepare)).await
    }

    /// The compartments that moved on after an emergency: the key sheet has their epochs before.
    async fn moved_on(&self, actor: &Actor, id: ChartId) -> Result<CompartmentSet, ClientError> {
        let chart = self.chart(actor, id).await?;
        if chart.ahead.is_none() {
            return Ok(CompartmentSet::EMPTY);
        }
        let sheet = self.sheet(actor, id, &chart).await?;
        let behind = sheet.lines.iter().filter(|it| it.epoch < chart.epoch(it.compartment));
        Ok(behind.map(|line| line.compartment).collect())
    }

    /// Breaks the glass until `until`, for these compartments or for all that are left to emergencies.
    pub async fn break_glass(
        &self,
        actor: &Actor,
        chart: ChartId,
        compartments: Option<CompartmentSet>,
        (reason, until): (EmergencyReason, BlockTime),
    ) -> Result<Broken, ClientError> {
        let compartments = match compartments {
            Some(compartments) => compartments,
            None => self.chart(actor, chart).await?.emergency,
        };
        let payload = Payload::BreakGlass(BreakGlass { chart, compartments, reason, until });
        let decided = self.command(actor, payload).await?;
        let at = decided.outcome().location;
        let all = self.emergencies(actor, chart).await?;
        let own = all.iter().find(|it| it.location == Some(at)).ok_or(LedgerError::NoPosition)?;
        Ok(Broken { emergency: own.position, opens_at: own.open.from, decided })
    }

    /// Agrees to another clinician's emergency.
    pub async fn second_emergency(
        &self,
        actor: &Actor,
        chart: ChartId,
        emergency: LogPosition,
    ) -> Result<Decided, ClientError> {
        let second = EmergencySecond { chart, emergency };
        self.command(actor, Payload::EmergencySecond(second)).await
    }

    /// Ends an emergency. What it opened is sealed to other keys from then on, if the patient published some.
    pub async fn close_emergency(
        &self,
        actor: &Actor,
        chart: ChartId,
        emergency: LogPosition,
    ) -> Result<Decided, ClientError> {
        let close = EmergencyClose { chart, emergency };
        self.command(actor, Payload::EmergencyClose(close)).await
    }

    /// Says what a review found.
    pub async fn review_emergency(
        &self,
        actor: &Actor,
        chart: ChartId,
        emergency: LogPosition,
        finding: Finding,
    ) -> Result<Decided, ClientError> {
        let review = EmergencyReview { chart, emergency, finding };
        self.command(actor, Payload::EmergencyReview(review)).await
    }

    /// The emergencies of a chart that the ledger remembers.
    pub async fn emergencies(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<Vec<Emergency>, ClientError> {
        let target = emergencies_target(chart);
        match self.state(actor, Key::Emergencies(chart), target).await?.into_value() {
            Some(Value::Emergencies(Emergencies { all })) => Ok(all.into_vec()),
            _ => Ok(Vec::new()),
        }
    }

    /// Every emergency of a chart, from its log: none is left out. For those at home in the chart.
    pub async fn all_emergencies(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<ListedEmergency>, ClientError> {
        let log = self.log(actor, chart, known).await?;
        let entries = self.emergencies(actor, chart).await?;
        Ok(log.lines().iter().filter_map(|line| listed(line, &entries)).collect())
    }

    /// How the members of an organisation used emergencies, and what waits for review. For its privacy
    /// officers and its administrator.
    pub async fn emergency_use(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
    ) -> Result<(EmergencyUse, BlockTime), ClientError> {
        let target = format!("/v1/organisations/{organisation}/emergencies");
        let proven = self.state(actor, Key::EmergencyUse(organisation), target).await?;
        let now = proven.header().header().time;
        match proven.into_value() {
            Some(Value::EmergencyUse(used)) => Ok((used, now)),
            _ => Ok((EmergencyUse::default(), now)),
        }
    }

    /// Opens what an emergency covers: one access, the trustees' shares of the keys, the validators' of the
    /// records.
    pub async fn open_in_emergency(
        &self,
        it: &EmergencyOpening<'_>,
    ) -> Result<OpenedInEmergency, ClientError> {
        let chart = self.chart(it.actor, it.chart).await?;
        let escrow = self.chart_escrow(it.actor, it.chart, &chart).await?;
        let (what, none) = (What::Compartments(it.compartments, None), Seeds::default());
        let opening = Opening {
            actor: it.actor,
            chart: it.chart,
            what: &what,
            purpose: Purpose::BreakGlass,
            seeds: &none,
        };
        let (reading, decided) = self.begin(&opening).await?;
        let (request, chart) = self.trustee_request(it, &reading, (&decided, &escrow)).await?;
        let opens =
            Opens { access: &reading.access, compartments: it.compartments, epochs: &chart.epochs };
        let (seeds, trustees) = self.collect_seeds(&reading, &opens, &escrow, &request).await?;
        let opening = Opening { seeds: &seeds, ..opening };
        let Reading { key, access, position, .. } = reading;
        let reading = Reading { opening: &opening, key, access, position };
        let opened = self.open_reading(&reading, decided).await?;
        Ok(OpenedInEmergency { opened, seeds, trustees })
    }

    /// What each trustee is sent, and the chart as it is proven in it.
    async fn trustee_request(
        &self,
        it: &EmergencyOpening<'_>,
        reading: &Reading<'_>,
        (decided, escrow): (&Decided, &ChartEscrow),
    ) -> Result<(TrusteeRequest, Chart), ClientError> {
        let (actor, chart) = (it.actor, it.chart);
        let Party::Member(member) = actor.party() else {
            return Err(UsageError::NotAMember.into());
        };
        let organisation = self.member(actor, member).await?.organisation;
        let ask = async |key: Key, target: String| self.state_proof(actor, key, target).await;
        let ((chart_proof, proven), emergencies, member, organisation, credentials) = futures::try_join!(
            ask(Key::Chart(chart), format!("/v1/charts/{chart}")),
            ask(Key::Emergencies(chart), emergencies_target(chart)),
            ask(Key::Member(member), format!("/v1/members/{member}")),
            ask(Key::Organisation(organisation), format!("/v1/organisations/{organisation}")),
            ask(Key::Credentials(member), format!("/v1/members/{member}/credentials")),
        )?;
        let Some(Value::Chart(chart)) = proven.into_value() else {
            return Err(UsageError::NoSuchChart(chart).into());
        };
        let request = TrusteeRequest {
            access: Blob::from_vec(decided.receipt().encode())
                .expect("receipts are within their limit"),
            emergency: it.emergency,
            reader_key: reading.key.public().to_blob(),
            escrow: Blob::from_vec(escrow.encode()).expect("escrows are within their limit"),
            chart: chart_proof,
            emergencies: emergencies.0,
            member: member.0,
            organisation: organisation.0,
            credentials: credentials.0,
        };
        Ok((request, chart))
    }

    /// The seeds, from as many trustees as it takes.
    async fn collect_seeds(
        &self,
        reading: &Reading<'_>,
        opens: &Opens<'_>,
        escrow: &ChartEscrow,
        request: &TrusteeRequest,
    ) -> Result<(Seeds, Vec<TrusteeFault>), ClientError> {
        let trustees = self.consortium().trustees().ok_or(UsageError::NoTrustees)?;
        let mut collector = AnswerCollector::new(trustees, opens, escrow, &reading.key);
        let body = keepwell_types::encode(request);
        let mut answers: FuturesUnordered<_> =
            (1..=trustees.len()).map(|trustee| self.ask_trustee(trustee, &body)).collect();
        let (mut faults, mut have) = (Vec::new(), 0);
        while let Some((trustee, answer)) = answers.next().await {
            match answer.and_then(|answer| Ok(collector.add(&answer)?)) {
                Ok(()) => have += 1,
                Err(problem) => faults.push(self.trustee_fault(trustee, problem)),
            }
            if collector.is_complete() {
                break;
            }
        }
        drop(answers);
        if !collector.is_complete() {
            let need = usize::from(trustees.threshold());
            return Err(TrusteeError::TooFew { have, need, faults }.into());
        }
        let mut seeds = Seeds::default();
        for (compartment, epoch, seed) in collector.finish().map_err(TrusteeError::Escrow)? {
            seeds.insert(compartment, epoch, seed);
        }
        Ok((seeds, faults))
    }

    async fn ask_trustee(
        &self,
        trustee: u16,
        body: &[u8],
    ) -> (u16, Result<TrusteeAnswer, TrusteeProblem>) {
        let Some(endpoint) = self.trustees().iter().find(|it| it.trustee == trustee) else {
            return (trustee, Err(TrusteeProblem::NoAddress));
        };
        let answer =
            self.nodes().post(&endpoint.url, SHARE_PATH, body.to_vec(), ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(TrusteeProblem::Node).and_then(|bytes| {
            let answer = TrusteeAnswer::decode(&bytes).ok();
            // An answer in the name of another would put the blame on it.
            let own = answer.filter(|it| it.trustee() == trustee);
            own.ok_or(TrusteeProblem::Node(NodeFault::Garbled { status: 200 }))
        });
        (trustee, answer)
    }

    fn trustee_fault(&self, trustee: u16, problem: TrusteeProblem) -> TrusteeFault {
        let trustees = self.consortium().genesis().trustees.as_ref();
        let place = usize::from(trustee).saturating_sub(1);
        let known = trustees.and_then(|it| it.trustees.get(place));
        let name = known.map_or_else(String::new, |it| it.name.to_string());
        TrusteeFault { trustee, name, problem }
    }
}

fn emergencies_target(chart: ChartId) -> String {
    format!("/v1/charts/{chart}/emergencies")
}

fn listed(line: &LogLine, entries: &[Emergency]) -> Option<ListedEmergency> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let Payload::BreakGlass(it) = &signed.command.payload else { return None };
    let Party::Member(member) = *signed.command.signers.first()? else { return None };
    if !line.outcome.verdict.is_accepted() {
        return None;
    }
    Some(ListedEmergency {
        position: line.position,
        at: line.outcome.time,
        member,
        compartments: it.compartments,
        reason: it.reason,
        entry: entries.iter().find(|entry| entry.position == line.position).copied(),
    })
}

/// What is left: for each compartment the seeds of all epochs so far, and, apart, of each epoch to come.
fn left(
    holder: &ChartHolder,
    chart: &Chart,
    compartments: CompartmentSet,
) -> Result<Vec<Left>, UsageError> {
    let mut left = Vec::new();
    for compartment in compartments.iter() {
        let next = chart.epoch(compartment).0 + 1;
        if next as usize > ESCROW_EPOCHS_MAX {
            return Err(UsageError::TooManyEpochs);
        }
        let seed = |epoch| {
            let seed = holder.epoch_seed(compartment, Epoch(epoch));
            seed.ok_or_else(|| UsageError::UnknownChart(holder.chart()))
        };
        let seeds = (0..next).map(seed).collect::<Result<_, _>>()?;
        left.push(Left { compartment, from: Epoch(0), seeds });
        for epoch in next..next + EPOCHS_AHEAD_MAX as u32 {
            left.push(Left { compartment, from: Epoch(epoch), seeds: vec![seed(epoch)?] });
        }
    }
    Ok(left)
}

/// The public keys of epochs to come; none where the organisation's key agent moves compartments on itself.
fn keys_ahead(
    holder: &ChartHolder,
    chart: &Chart,
    compartments: CompartmentSet,
) -> Option<(AheadSheet, KeysAhead)> {
    if chart.claim.is_some() || compartments.is_empty() {
        return None;
    }
    let (secret, id) = (holder.secret(), holder.chart());
    sheet::ahead(secret, id, &chart.epochs, compartments, EPOCHS_AHEAD_MAX as u32)
}

#[cfg(test)]
mod tests;
