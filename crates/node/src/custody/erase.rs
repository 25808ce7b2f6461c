//! Erasing what is redacted, and saying so on the ledger.
//!
//! # Invariants
//!
//! * Nothing is erased unless this node's own newest state says that the redaction binds.
//! * The custodian says that it erased after it has, of every version, and of all words in cases about the
//!   record. A crash in between erases again.
//! * Whatever fails is tried again until the ledger has the custodian's word.
//!
//! Which cases are about a record is read from the blocks of its chart's log, since a record's own list drops the
//! oldest. A custodian that began from the state has no words from before, and finds the cases to which some were said
//! since by what was said.

use std::{collections::BTreeSet, sync::Arc};

use keepwell_crypto::command::sign;
use keepwell_engine::{
    admission::{Admission, Refused},
    block::Block,
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    access::RecordName,
    case::{CaseDecide, CaseExtend, CaseOpen, CaseStatement},
    command::{COMMAND_VERSION, Command, Payload, SignedCommand},
    encoding::List,
    id::{CaseId, ChartId, CommandId, Height, Location, LogPosition, RecordId},
    member::Party,
    outcome::Verdict,
    record::RecordErased,
    time::Window,
};
use rand_core::Rng as _;
use thiserror::Error;
use tokio::time::{Duration, sleep};

use super::{
    Custody, CustodyError,
    pending::{PendingError, PendingRedaction},
    store::{RecordObject, SmallKind, SmallObject},
};
use crate::random::rng;

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long the command may wait for a block, in milliseconds of block time.
const WINDOW_MS: u64 = 120_000;
/// Cases that are read from the state together.
const CASES_AT_ONCE: usize = 256;

#[derive(Debug, Error)]
enum EraseError {
    #[error(transparent)]
    Pending(#[from] PendingError),
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the ledger does not take the custodian's word now: {0}")]
    Refused(Refused),
}

/// Erases for as long as the node runs.
pub async fn keep_erased(
    custody: Arc<Custody>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
) {
    let eraser = Eraser { custody: &custody, core: &core, reader: &*reader, admission: &admission };
    let mut tip = core.watch_tip();
    loop {
        tip.borrow_and_update();
        if let Err(error) = eraser.erase_all().await {
            tracing::warn!(%error, "could not erase all that is redacted; it is tried again");
            sleep(RETRY).await;
            continue;
        }
        if tip.changed().await.is_err() {
            return;
        }
    }
}

struct Eraser<'a> {
    custody: &'a Custody,
    core: &'a Core,
    reader: &'a dyn Reader,
    admission: &'a Admission,
}

impl Eraser<'_> {
    /// Tries all of them; one that fails holds up no other.
    async fn erase_all(&self) -> Result<(), EraseError> {
        let mut failed = Ok(());
        for redaction in self.custody.pending.redactions()? {
            match self.erase(&redaction).await {
                Ok(()) => self.custody.pending.forget_redaction(&redaction)?,
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    async fn erase(&self, redaction: &PendingRedaction) -> Result<(), EraseError> {
        let PendingRedaction { chart, record, .. } = *redaction;
        let Some(original) = self.original_of(chart, record)? else { return Ok(()) };
        let value = self.reader.state(&[Key::RecordState(chart, original)]).await?.pop().flatten();
        // While it does not bind, the entry that makes it bind is still to come.
        let Some(Value::RecordState(state)) = value else { return Ok(()) };
        let Some(redaction) = state.redaction.as_ref().filter(|_| state.is_redacted()) else {
            return Ok(());
        };
        for object in self.versions_of(chart, original)? {
            self.custody.erase(&object).await?;
        }
        for object in self.words_about(chart, original).await? {
            self.custody.delete_small(&object).await?;
        }
        if redaction.outstanding.contains(&self.custody.organisation) {
            self.say(RecordErased { chart, record }).await?;
        }
        Ok(())
    }

    /// The first version of the record that an entry names, if there is such a record.
    fn original_of(
        &self,
        chart: ChartId,
        record: RecordName,
    ) -> Result<Option<RecordId>, EraseError> {
        let line = self.core.index.log(chart, record.position).map_err(|_| ReadError::Storage)?;
        let entry = line.and_then(|line| line.record).filter(|it| it.record == record.record);
        Ok(entry.map(|entry| entry.original))
    }

    /// Every version of a record: the whole log of its chart is looked through, which is seldom done.
    fn versions_of(
        &self,
        chart: ChartId,
        original: RecordId,
    ) -> Result<Vec<RecordObject>, EraseError> {
        let mut versions = Vec::new();
        for position in (0..).map(LogPosition) {
            let line = self.core.index.log(chart, position).map_err(|_| ReadError::Storage)?;
            let Some(line) = line else { break };
            versions.extend(
                line.record.filter(|it| it.original == original).map(|it| RecordObject {
                    chart,
                    record: it.record,
                    version: it.version,
                }),
            );
        }
        Ok(versions)
    }

    /// What was said in the cases about a record: it may repeat what the record says.
    ///
    /// The record's own list names only the cases that go with it; the log has them all.
    async fn words_about(
        &self,
        chart: ChartId,
        original: RecordId,
    ) -> Result<Vec<SmallObject>, EraseError> {
        let mut words = Vec::new();
        for keys in self.cases_of(chart).await?.chunks(CASES_AT_ONCE) {
            for value in self.reader.state(keys).await?.into_iter().flatten() {
                let Value::Case(case) = value else { continue };
                if case.record == Some(original) {
                    let object = |digest| SmallObject { chart, kind: SmallKind::Words, digest };
                    words.extend(case.words().map(object));
                }
            }
        }
        Ok(words)
    }

    /// Every case of a chart in which something was said, where this node has the block of it.
    async fn cases_of(&self, chart: ChartId) -> Result<Vec<Key>, EraseError> {
        let mut cases = BTreeSet::new();
        let floor = self.core.floor().map_err(|_| ReadError::Storage)?;
        let mut read: Option<(Height, Block)> = None;
        for position in (0..).map(LogPosition) {
            let line = self.core.index.log(chart, position).map_err(|_| ReadError::Storage)?;
            let Some(line) = line else { break };
            // Where a node began later, no words from before are here.
            if line.record.is_some() || line.location.height <= floor {
                continue;
            }
            let Location { height, index } = line.location;
            let block = match read.take() {
                Some((of, block)) if of == height => block,
                Some(_) | None => self.reader.block(height).await?,
            };
            cases.extend(case_of(entry_at(&block, index)?.payload()));
            read = Some((height, block));
        }
        Ok(cases.into_iter().map(|case| Key::Case(chart, case)).collect())
    }

    async fn say(&self, erased: RecordErased) -> Result<(), EraseError> {
        let bytes = self.custody.word(erased, self.core).encode();
        let outcome = self.admission.submit(bytes).await.map_err(EraseError::Refused)?;
        if let Verdict::Rejected(why) = outcome.verdict {
            tracing::warn!(%why, "the ledger refused the custodian's word that it erased");
        }
        Ok(())
    }
}

/// The case in which an entry says something.
const fn case_of(payload: &Payload) -> Option<CaseId> {
    if let Payload::CaseOpen(CaseOpen { case, .. })
    | Payload::CaseDecide(CaseDecide { case, .. })
    | Payload::CaseExtend(CaseExtend { case, .. })
    | Payload::CaseState(CaseStatement { case, .. }) = payload
    {
        Some(*case)
    } else {
        None
    }
}

impl Custody {
    /// Deletes one version of a record.
    pub(super) async fn erase(&self, object: &RecordObject) -> Result<(), CustodyError> {
        // The capsule first: without it the body is noise.
        self.store.delete(&object.capsule()).await?;
        Ok(self.store.delete(&object.body()).await?)
    }

    /// The custodian's word, signed.
    fn word(&self, erased: RecordErased, core: &Core) -> SignedCommand {
        let mut id = [0; 16];
        rng().fill_bytes(&mut id);
        let from = core.tip().time();
        let signers = List::from_vec(vec![Party::Custodian(self.organisation)])
            .expect("a command may have one signer");
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain,
            id: CommandId(id),
            window: Window { from, until: from.plus_ms(WINDOW_MS) },
            signers,
            payload: Payload::RecordErased(erased),
            part: None,
        };
        sign(command, &[&self.key])
    }
}
