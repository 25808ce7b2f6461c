//! Following the ledger: which objects are named by accepted entries, and deleting those that are not.
//!
//! # Invariants
//!
//! * Nothing is deleted while this node is behind: an entry that names an object may be in a block
//!   that it has not seen.
//! * Following only shortens the list of what waits. Before an object is deleted, the log of its chart
//!   is searched for it, so that one which came after the entry that names it stays.

use std::{sync::Arc, time::SystemTime};

use keepwell_crypto::{command::record_id_of, custody::version_of};
use keepwell_engine::{
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    access::RecordName,
    case::CaseDecision,
    command::{Entry, Payload},
    grant::Answer,
    id::{ChartId, Commitment, Digest, Height, LogPosition},
    time::BlockTime,
};
use thiserror::Error;
use tokio::{
    task::yield_now,
    time::{Duration, sleep},
};

use super::{
    Custody, CustodyError, UNNAMED_MS_MAX,
    pending::{PendingError, PendingRedaction},
    store::RecordObject,
};
use crate::clock::Clock;

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often objects that nothing names are looked for.
const SWEEP: Duration = Duration::from_secs(600);
/// Objects that are deleted in one go.
const SWEEP_OBJECTS_MAX: usize = 10_000;

/// Why following stopped for a moment.
#[derive(Debug, Error)]
enum FollowError {
    #[error(transparent)]
    Pending(#[from] PendingError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What an accepted entry names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Named {
    /// A record's object, by the capsule that the entry commits to.
    Record(RecordObject, Commitment),
    /// A key sheet, sealed seeds or something else that is small and sealed.
    Small(ChartId, Digest),
    /// A record that is redacted, or may be soon.
    Redaction(PendingRedaction),
    /// A chart in which the glass was broken.
    Emergency(ChartId),
}

/// What `entry` names, once it is accepted in the block at `height`.
pub fn names(entry: &Entry, height: Height) -> Vec<Named> {
    match entry.payload() {
        Payload::RecordAdd(it) => match entry {
            Entry::Signed(signed) => record_id_of(&signed.command)
                .map(|record| RecordObject { chart: it.chart, record, version: version_of(it) })
                .map(|object| Named::Record(object, it.commitment))
                .into_iter()
                .collect(),
            Entry::Genesis(_) => Vec::new(),
        },
        Payload::ChartOpen(it) => vec![Named::Small(it.chart, it.keys.sheet)],
        Payload::RecoveryFinish(it) => vec![Named::Small(it.chart, it.keys.sheet)],
        Payload::GuardianSet(it) => vec![Named::Small(it.chart, it.escrow)],
        Payload::RecoveryStart(it) => vec![Named::Small(it.chart, it.share)],
        Payload::RecoveryApprove(it) => vec![Named::Small(it.chart, it.share)],
        Payload::ChartClaim(it) => vec![Named::Small(it.chart, it.keys.sheet)],
        Payload::CompartmentRotate(it) => {
            vec![Named::Small(it.chart, it.sheet), Named::Small(it.chart, it.seeds)]
        }
        Payload::GrantGive(it) => vec![Named::Small(it.chart, it.seeds)],
        Payload::GrantPass(it) => vec![Named::Small(it.chart, it.seeds)],
        Payload::GrantRequest(it) => small(it.chart, it.note),
        Payload::GrantAnswer(it) => match &it.answer {
            Answer::Give { seeds, .. } => vec![Named::Small(it.chart, *seeds)],
            Answer::Refuse(_) => Vec::new(),
        },
        Payload::RecordRedact(it) => {
            let (chart, record) = (it.chart, it.record);
            vec![Named::Redaction(PendingRedaction { chart, record, height })]
        }
        Payload::ChartPrepare(it) => {
            let mut named = small(it.chart, it.ahead.map(|ahead| ahead.sheet));
            named.push(Named::Small(it.chart, it.escrow));
            named
        }
        Payload::BreakGlass(it) => vec![Named::Emergency(it.chart)],
        Payload::CaseOpen(it) => small(it.chart, it.statement),
        Payload::CaseDecide(it) => match it.decision {
            CaseDecision::Accept => Vec::new(),
            CaseDecision::Deny { statement, .. } => vec![Named::Small(it.chart, statement)],
        },
        Payload::CaseExtend(it) => vec![Named::Small(it.chart, it.statement)],
        Payload::CaseState(it) => vec![Named::Small(it.chart, it.statement)],
        Payload::OrganisationAdmit(_)
        | Payload::OrganisationSuspend(_)
        | Payload::OrganisationReinstate(_)
        | Payload::OrganisationExpel(_)
        | Payload::OrganisationRotate(_)
        | Payload::MotionOpen(_)
        | Payload::MotionApprove(_)
        | Payload::MotionWithdraw(_)
        | Payload::ReshareReady(_)
        | Payload::ReshareDeal(_)
        | Payload::ReshareCheck(_)
        | Payload::ReshareOpen(_)
        | Payload::ReshareConfirm(_)
        | Payload::MemberEnrol(_)
        | Payload::MemberRotate(_)
        | Payload::MemberAssign(_)
        | Payload::MemberSuspend(_)
        | Payload::MemberReinstate(_)
        | Payload::ChartArrange(_)
        | Payload::RecordApprove(_)
        | Payload::RecordRetract(_)
        | Payload::RecordWithdraw(_)
        | Payload::GrantLimit(_)
        | Payload::GrantRevoke(_)
        | Payload::AccessOpen(_)
        | Payload::AnchorAdd(_)
        | Payload::GrantRevokeOrganisation(_)
        | Payload::GrantWithdraw(_)
        | Payload::TeamArrange(_)
        | Payload::GroupForm(_)
        | Payload::RecordRestrict(_)
        | Payload::RecordLift(_)
        | Payload::RecordKeep(_)
        | Payload::RecordErased(_)
        | Payload::EmergencySecond(_)
        | Payload::EmergencyReview(_)
        | Payload::EmergencyClose(_)
        | Payload::CredentialIssue(_)
        | Payload::CredentialSuspend(_)
        | Payload::CredentialReinstate(_)
        | Payload::CredentialRevoke(_)
        | Payload::CaseAcknowledge(_)
        | Payload::RecoveryWithdraw(_)
        | Payload::RecoveryVeto(_)
        | Payload::ProxyAdd(_)
        | Payload::ProxyEnd(_)
        | Payload::ChartMinor(_)
        | Payload::ChartClose(_)
        | Payload::MatchEvaluate(_)
        | Payload::LinkPropose(_)
        | Payload::LinkConfirm(_)
        | Payload::LinkReverse(_) => Vec::new(),
    }
}

fn small(chart: ChartId, digest: Option<Digest>) -> Vec<Named> {
    digest.map(|digest| Named::Small(chart, digest)).into_iter().collect()
}

impl Custody {
    /// Notes what an accepted entry names.
    pub fn name(&self, named: Named) -> Result<(), PendingError> {
        match named {
            Named::Record(object, commitment) => self.pending.name_record(&object, commitment),
            Named::Small(chart, digest) => self.pending.name_small(chart, digest),
            Named::Redaction(redaction) => self.pending.put_redaction(redaction),
            Named::Emergency(chart) => self.pending.put_emergency(chart),
        }
    }

    /// Deletes what has waited for too long at `now`, unless `is_named` says that an entry commits to its
    /// capsule or cannot tell; says how many objects.
    pub async fn sweep(
        &self,
        now: BlockTime,
        is_named: impl Fn(&RecordObject, Commitment) -> Option<bool>,
    ) -> Result<usize, CustodyError> {
        let before = BlockTime(now.0.saturating_sub(UNNAMED_MS_MAX));
        let mut swept = 0;
        for object in self.pending.records_before(before, SWEEP_OBJECTS_MAX)? {
            // One that is being sent again right now is looked at the next time.
            let Ok(_use) = self.take(object) else { continue };
            let named = match self.commitment_of(&object).await? {
                Some(commitment) => is_named(&object, commitment),
                // A body alone opens nothing, whatever entry there is.
                None => Some(false),
            };
            match named {
                Some(false) => {}
                Some(true) => {
                    self.pending.forget_record(&object)?;
                    continue;
                }
                None => continue,
            }
            self.store.delete(&object.capsule()).await?;
            self.store.delete(&object.body()).await?;
            self.pending.forget_record(&object)?;
            swept += 1;
        }
        for object in self.pending.small_before(before, SWEEP_OBJECTS_MAX)? {
            // It may have come at the moment in which an entry named it.
            if !self.pending.is_named(&object)? {
                self.delete_small(&object).await?;
                swept += 1;
            }
            self.pending.forget_small(&object)?;
        }
        if swept > 0 {
            self.pending.persist().await?;
        }
        Ok(swept)
    }
}

/// Follows the ledger for as long as the node runs.
pub async fn follow(custody: Arc<Custody>, core: Arc<Core>, reader: Arc<dyn Reader>) {
    let mut tip = core.watch_tip();
    loop {
        let newest = tip.borrow_and_update().height();
        if let Err(error) = follow_to(&custody, &core, &*reader, newest).await {
            tracing::debug!(%error, "custody waits for the ledger");
            sleep(RETRY).await;
            continue;
        }
        if tip.changed().await.is_err() {
            return;
        }
    }
}

async fn follow_to(
    custody: &Custody,
    core: &Core,
    reader: &dyn Reader,
    newest: Height,
) -> Result<(), FollowError> {
    let mut at = custody.pending.cursor()?;
    let floor = core.floor().map_err(|_| ReadError::Storage)?;
    if at < floor {
        begin_at(custody, core, reader, floor).await?;
        at = floor;
    }
    while at < newest {
        let height = Height(at.0 + 1);
        let line = core.index.block(height).map_err(|_| ReadError::Storage)?;
        let outcomes = line.ok_or(ReadError::NotHere)?.outcomes;
        if !outcomes.is_empty() {
            let block = reader.block(height).await?;
            for (index, outcome) in (0..).zip(outcomes.iter()) {
                if outcome.verdict.is_accepted() {
                    for named in names(&entry_at(&block, index)?, height) {
                        custody.name(named)?;
                    }
                }
            }
        }
        custody.pending.put_cursor(height)?;
        at = height;
    }
    Ok(())
}

/// Goes on after the block that this node began from. What it would have noted on the way is looked up in the state; it
/// had no objects then, or it would not have begun there.
async fn begin_at(
    custody: &Custody,
    core: &Core,
    reader: &dyn Reader,
    floor: Height,
) -> Result<(), FollowError> {
    let own = custody.organisation();
    let mut last = None;
    while let Some(chart) = core.index.chart_after(last).map_err(|_| ReadError::Storage)? {
        last = Some(chart);
        if let [Some(_)] = reader.state(&[Key::Emergencies(chart)]).await?[..] {
            custody.name(Named::Emergency(chart))?;
        }
        for position in (0..).map(LogPosition) {
            // The index answers at once, and there is a line for each entry of each chart: others have their turn.
            yield_now().await;
            let line = core.index.log(chart, position).map_err(|_| ReadError::Storage)?;
            let Some(line) = line else { break };
            let Some(it) = line.record.filter(|it| it.custodians.contains(&own)) else { continue };
            let state = reader.state(&[Key::RecordState(chart, it.original)]).await?;
            if matches!(&state[..], [Some(Value::RecordState(state))] if state.redaction.is_some())
            {
                let record = RecordName { record: it.record, position };
                let redaction = PendingRedaction { chart, record, height: floor };
                custody.name(Named::Redaction(redaction))?;
            }
        }
    }
    Ok(custody.pending.put_cursor(floor)?)
}

/// Whether the log of the object's chart has its record with this capsule; nothing if it cannot be read.
/// Slow, and only for objects that were given up on.
fn is_in_log(core: &Core, object: &RecordObject, commitment: Commitment) -> Option<bool> {
    for position in (0..).map(LogPosition) {
        let Some(line) = core.index.log(object.chart, position).ok()? else { return Some(false) };
        let wanted = (object.record, object.version, commitment);
        if line.record.is_some_and(|it| (it.record, it.version, it.commitment) == wanted) {
            return Some(true);
        }
    }
    None
}

/// Deletes, from time to time, what nothing names, and what crashes left behind.
pub async fn keep_swept(custody: Arc<Custody>, core: Arc<Core>, clock: Clock) {
    let started = SystemTime::now();
    let store = custody.store.clone();
    let leftovers = tokio::task::spawn_blocking(move || store.remove_cut_off(started)).await;
    if let Ok(Err(error)) = leftovers {
        tracing::warn!(%error, "could not look for uploads that a crash cut off");
    }
    loop {
        sleep(SWEEP).await;
        let tip = core.tip();
        let caught_up = custody.pending.cursor().is_ok_and(|cursor| cursor == tip.height());
        if !caught_up || !clock.is_fresh(tip.time()) {
            continue;
        }
        let is_named = |object: &RecordObject, commitment| is_in_log(&core, object, commitment);
        match custody.sweep(clock.now(), is_named).await {
            Ok(0) => {}
            Ok(objects) => {
                tracing::info!(objects, "deleted objects that no entry named in 24 hours")
            }
            Err(error) => tracing::warn!(%error, "could not delete objects that no entry names"),
        }
    }
}
