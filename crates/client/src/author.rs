//! Authoring: sealing a record of any size and handing it to custodians, in one pass.
//!
//! ```text
//!            ┌─> custodian 1 ─┐
//! content ─> encrypt in place ─┼─> custodian 2 ─┼─> same content root ─> capsule ─> acknowledgements
//!            └─> content root ─┴─> ...          ┘                                        │
//!                                                          record.add, signed  <─────────┘
//! ```
//!
//! # The record's id and the command's window
//!
//! The record's id, which the ciphertext is bound to, follows from the id of the command that adds it and
//! the *end* of that command's window. So both are chosen before the first byte is sealed: the end is when the
//! upload should be done over a line of 8 Mbit/s, with two minutes to spare. The ledger lets the window of a
//! record be longer by just that time, so the command can be sent as soon as the upload is done. An upload
//! that takes even longer is refused as expired and starts again.
//!
//! # Many records at once
//!
//! [`Client::add_records`] hands [`RECORDS_AT_ONCE`] records to custodians at a time and adds all of them in one
//! transaction, which needs the windows of all of them to be open: so each is as long as it may be from now on, some nine
//! minutes for small records, and all have to be at custodians by then.
//!
//! # Invariants
//!
//! * Memory is a few chunks of 1 MiB, whatever the size: each custodian has one chunk on its way, one
//!   waiting.
//! * A data key encrypts one content once. It is never written anywhere.
//! * The compartment's key comes from the sheet that the ledger commits to, at the epoch that the ledger
//!   has.
//! * A custodian that fails, lags or lies is left out and named, as long as enough are left.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::{join, join_all},
    stream,
};
use keepwell_crypto::{
    body::{Dek, Encryptor, sealed_len},
    capsule::{Capsule, SaltedCapsule},
    command::record_id,
    custody::{FIRST_VERSION, verify_custody},
    seal::SealingPublic,
    sheet,
};
use keepwell_ledger::state::{Chart, Organisation};
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    chart::{AheadSheet, KeyLine},
    command::{Payload, window_ms_max_of},
    encoding::List,
    id::{
        ChartId, CommandId, Compartment, Digest, Epoch, Location, OrganisationId, PublicKey,
        RecordId, UniquenessTag, Version,
    },
    limits::{TRANSACTION_COMMANDS_MAX, UPLOAD_BYTES_PER_MS},
    record::{Amended, CustodyAcknowledgement, CustodyStatement, Label, RecordAdd, RecordKind},
    signoff::ApprovalRule,
    time::{BlockTime, Window},
    wire::ORGANISATION_UPLOADS_MAX,
};
use reqwest::{Body, Method};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use zeroize::Zeroize as _;

use crate::{
    Client,
    client::{Decided, DecidedTransaction, Draft, now, random, rng},
    error::{
        ClientError, CustodyError, CustodyFault, CustodyProblem, KeyError, SealedObject, UsageError,
    },
    identity::Actor,
    node::{Ask, Endpoint, NodeError, NodeFault, STALL},
};

/// Time that every upload may take, and that is left when it is done, in milliseconds.
const SPARE_MS: u64 = 2 * 60 * 1_000;
/// How long a custodian may take to make what it got durable.
const DURABLE: Duration = Duration::from_secs(120);
/// Bytes of an acknowledgement.
const ACKNOWLEDGEMENT_BYTES_MAX: usize = 1_024;
/// Records that are on their way to custodians at one time, of those that are added together: half of what a custodian
/// takes from one organisation, so that others who share the client go on.
pub const RECORDS_AT_ONCE: usize = ORGANISATION_UPLOADS_MAX / 2;
/// How far the clock of whoever adds records together may be ahead of the ledger's, in milliseconds.
const AHEAD_MS: u64 = 60 * 1_000;

/// What an author needs to know of a chart, checked once and good for many records: until a compartment
/// is rotated, which the ledger's refusal says.
#[derive(Clone, Debug)]
pub struct Authoring {
    id: ChartId,
    chart: Chart,
    keys: Vec<(Epoch, SealingPublic)>,
    custodians: BTreeMap<OrganisationId, Organisation>,
}

impl Authoring {
    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.id
    }

    fn key(&self, compartment: Compartment) -> &(Epoch, SealingPublic) {
        &self.keys[usize::from(compartment.index())]
    }
}

/// What is said of a record on the ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewRecord {
    /// Which key it is sealed to.
    pub compartment: Compartment,
    /// Its coarse class.
    pub kind: RecordKind,
    /// Who must approve it; whom the consortium asks for, if this says nothing.
    pub approval: Option<ApprovalRule>,
    /// What shall be unique among the organisation's live records, if anything shall.
    pub uniqueness: Option<UniquenessTag>,
    /// What it amends; nothing, if it is a record of its own.
    pub amends: Option<Amended>,
}

impl NewRecord {
    /// A record that is final at once.
    pub const fn new(compartment: Compartment, kind: RecordKind) -> Self {
        Self { compartment, kind, approval: None, uniqueness: None, amends: None }
    }
}

/// A record that was added.
#[derive(Clone, Debug)]
pub struct AddedRecord {
    /// Its id.
    pub record: RecordId,
    /// What it was sealed under.
    pub label: Label,
    /// The proof.
    pub decided: Decided,
    /// Custodians that did not do their part.
    pub faults: Vec<CustodyFault>,
}

/// A record that was sealed and lies at custodians.
#[derive(Clone, Debug)]
pub struct SealedRecord {
    /// Its id.
    pub record: RecordId,
    /// What it was sealed under.
    pub label: Label,
    /// Where the entry stands that added it.
    pub location: Location,
    /// Custodians that did not do their part.
    pub faults: Vec<CustodyFault>,
}

/// Records that were added together.
#[derive(Clone, Debug)]
pub struct AddedRecords {
    /// In the order in which they were given.
    pub records: Vec<SealedRecord>,
    /// The proof for all of them.
    pub decided: DecidedTransaction,
}

/// A record that lies at custodians, and the command that adds it, not yet signed.
struct Prepared {
    draft: Draft,
    add: RecordAdd,
    record: RecordId,
    label: Label,
    faults: Vec<CustodyFault>,
}

/// The window of a command that adds a record of so many bytes, begun `now`: see the module's explanation. It
/// is as long as it may be and so begins minutes ago, since clocks differ.
pub fn window_for(now: BlockTime, sealed_bytes: u64) -> Window {
    let until = now.plus_ms(SPARE_MS + sealed_bytes / UPLOAD_BYTES_PER_MS);
    Window { from: BlockTime(until.0.saturating_sub(window_ms_max_of(sealed_bytes))), until }
}

/// The window of a command that adds a record of so many bytes together with others, begun `now`: as long as it may be,
/// from now on.
fn window_among(now: BlockTime, sealed_bytes: u64) -> Window {
    let from = BlockTime(now.0.saturating_sub(AHEAD_MS));
    Window { from, until: from.plus_ms(window_ms_max_of(sealed_bytes)) }
}

/// The key of a compartment at the epoch that the ledger has: on the sheet, or on the one of keys to come if
/// the compartment moved on after an emergency.
fn current_key(
    chart: &Chart,
    line: &KeyLine,
    ahead: Option<&AheadSheet>,
) -> Result<(Epoch, SealingPublic), ClientError> {
    let (compartment, given) = (line.compartment, line.epoch);
    let expected = chart.epoch(compartment);
    let found = if given == expected {
        Some(line)
    } else {
        ahead.and_then(|sheet| sheet::key_ahead(sheet, compartment, expected))
    };
    let line = found.ok_or(KeyError::SheetEpoch { compartment, given, expected })?;
    let key = SealingPublic::from_bytes(&line.key).map_err(UsageError::Seal)?;
    Ok((expected, key))
}

impl Client {
    /// Learns what an author needs to know of a chart.
    pub async fn authoring(&self, actor: &Actor, id: ChartId) -> Result<Authoring, ClientError> {
        let chart = self.chart(actor, id).await?;
        let sheet = self.sheet(actor, id, &chart).await?;
        let behind = sheet.lines.iter().any(|line| line.epoch < chart.epoch(line.compartment));
        let ahead = match chart.ahead.filter(|_| behind) {
            Some(ahead) => Some(self.ahead_sheet(actor, id, &chart, ahead.sheet).await?),
            None => None,
        };
        let keys = sheet.lines.iter().map(|line| current_key(&chart, line, ahead.as_ref()));
        let keys = keys.collect::<Result<_, ClientError>>()?;
        let mut custodians = BTreeMap::new();
        for custodian in &chart.custodians {
            custodians.insert(*custodian, self.organisation(actor, *custodian).await?);
        }
        Ok(Authoring { id, chart, keys, custodians })
    }

    /// Seals exactly `content_bytes` bytes of `content`, stores them, and adds the record.
    pub async fn add_record(
        &self,
        actor: &Actor,
        authoring: &Authoring,
        new: &NewRecord,
        (content, content_bytes): (impl AsyncRead + Unpin, u64),
    ) -> Result<AddedRecord, ClientError> {
        let place = self.upload_place().await;
        let window = window_for(now(), sealed_len(content_bytes));
        let prepared =
            self.seal_record(actor, authoring, (new, window), (content, content_bytes)).await?;
        drop(place);
        let Prepared { draft, add, record, label, faults } = prepared;
        let decided = self.submit(&[actor], draft, Payload::RecordAdd(add)).await?.accepted()?;
        Ok(AddedRecord { record, label, decided, faults })
    }

    /// Seals the content of each record, stores it, and adds all of them in one transaction, so that all are added or
    /// none is.
    ///
    /// A custodian stores for charts that are on the ledger, so those are opened first. Where one record cannot be stored
    /// nothing is sent; what lies at custodians by then and is on no ledger they destroy themselves.
    pub async fn add_records(
        &self,
        actor: &Actor,
        records: Vec<(&Authoring, NewRecord, &[u8])>,
    ) -> Result<AddedRecords, ClientError> {
        let given = records.len();
        if given == 0 || given > TRANSACTION_COMMANDS_MAX {
            return Err(UsageError::TransactionCommands { given }.into());
        }
        let begun = now();
        // Boxed, so that a task with all this in it is seen to be one that may move between threads.
        let sealing = records.iter().map(|(authoring, new, content)| {
            let content_bytes = content.len() as u64;
            let window = window_among(begun, sealed_len(content_bytes));
            async move {
                let _place = self.upload_place().await;
                self.seal_record(actor, authoring, (new, window), (*content, content_bytes)).await
            }
            .boxed()
        });
        let prepared: Vec<Prepared> = stream::iter(sealing.collect::<Vec<_>>())
            .buffered(RECORDS_AT_ONCE)
            .try_collect()
            .await?;
        let adds = prepared.iter().map(|it| (it.draft, Payload::RecordAdd(it.add.clone())));
        let decided = self.submit_transaction(actor, adds.collect()).await?.accepted()?;
        let records = prepared.into_iter().enumerate().map(|(place, it)| SealedRecord {
            record: it.record,
            label: it.label,
            location: decided.location(place),
            faults: it.faults,
        });
        Ok(AddedRecords { records: records.collect(), decided })
    }

    /// Seals a record and hands it to custodians, for a command with this window.
    async fn seal_record(
        &self,
        actor: &Actor,
        authoring: &Authoring,
        (new, window): (&NewRecord, Window),
        (content, content_bytes): (impl AsyncRead + Unpin, u64),
    ) -> Result<Prepared, ClientError> {
        let chain = self.consortium().chain();
        let draft = Draft { id: CommandId(random()), window };
        let record = record_id(&chain, &authoring.id, actor.party(), draft.id, window.until);
        let version = new.amends.map_or(FIRST_VERSION, |amended| amended.version);
        let dek = Dek::generate(&mut rng());
        let encryptor = Encryptor::new(&dek, &record, content_bytes).map_err(UsageError::Seal)?;

        let upload = Upload { client: self, actor, authoring, record, version };
        let stored = upload.body(encryptor, content, content_bytes).await?;
        let (epoch, key) = authoring.key(new.compartment);
        let label = Label {
            chain,
            chart: authoring.id,
            record,
            version,
            compartment: new.compartment,
            epoch: *epoch,
            committee: self.consortium().committee().id(),
            content: stored.content,
            sealed_bytes: stored.sealed_bytes,
        };
        let capsule = Capsule::seal(&mut rng(), label, key, self.consortium().committee(), &dek)
            .map_err(UsageError::Seal)?;
        let salted = SaltedCapsule::new(&mut rng(), capsule);
        let (custody, faults) = upload.capsule(&salted, stored).await?;

        let add = RecordAdd {
            chart: authoring.id,
            compartment: new.compartment,
            epoch: *epoch,
            kind: new.kind,
            commitment: salted.commitment(),
            sealed_bytes: label.sealed_bytes,
            custody: List::from_vec(custody).expect("as many as the chart has custodians, at most"),
            approval: new.approval.clone(),
            uniqueness: new.uniqueness,
            amends: new.amends,
        };
        Ok(Prepared { draft, add, record, label, faults })
    }
}

/// One record on its way to custodians.
struct Upload<'a> {
    client: &'a Client,
    actor: &'a Actor,
    authoring: &'a Authoring,
    record: RecordId,
    version: Version,
}

/// A body that lies at custodians.
struct StoredBody {
    content: Digest,
    sealed_bytes: u64,
    custodians: Vec<OrganisationId>,
    faults: Vec<CustodyFault>,
}

/// A custodian's word about a body.
#[derive(Deserialize)]
struct Stored {
    content: Digest,
    sealed_bytes: u64,
}

impl Upload<'_> {
    fn needed(&self) -> usize {
        usize::from(self.client.consortium().genesis().parameters.custodians_min)
    }

    fn fault(&self, custodian: OrganisationId, problem: CustodyProblem) -> CustodyFault {
        CustodyFault { custodian, object: SealedObject::Record(self.record), problem }
    }

    fn too_few(&self, stored: usize, faults: Vec<CustodyFault>) -> ClientError {
        let (object, needed) = (SealedObject::Record(self.record), self.needed());
        CustodyError::TooFew { object, stored, needed, faults }.into()
    }

    fn target(&self, part: &str) -> String {
        let (chart, record, version) = (self.authoring.id, self.record, self.version);
        format!("/v1/charts/{chart}/records/{record}/{version}/{part}")
    }

    /// Streams the body to all custodians at once.
    async fn body(
        &self,
        encryptor: Encryptor,
        content: impl AsyncRead + Unpin,
        content_bytes: u64,
    ) -> Result<StoredBody, ClientError> {
        let sealed_bytes = encryptor.layout().sealed_bytes();
        let mut faults = Vec::new();
        let mut tee = Tee::default();
        let (ended, end) = watch::channel(false);
        let mut uploads = Vec::new();
        for &custodian in &self.authoring.chart.custodians {
            let Some(node) = self.client.nodes().of(custodian) else {
                faults.push(self.fault(custodian, CustodyProblem::NoAddress));
                continue;
            };
            let body = tee.lane();
            uploads.push(self.send_body(node, custodian, (body, sealed_bytes), end.clone()));
        }
        let (pumped, answers) = join(
            async {
                let content = pump(encryptor, (content, content_bytes), &mut tee).await;
                tee.close();
                ended.send_replace(true);
                content
            },
            join_all(uploads),
        )
        .await;
        let content = pumped?;
        let mut custodians = Vec::new();
        for (custodian, answer) in answers {
            let problem = match answer {
                Ok(stored) if (stored.content, stored.sealed_bytes) == (content, sealed_bytes) => {
                    custodians.push(custodian);
                    continue;
                }
                Ok(_) => CustodyProblem::OtherContent,
                Err(problem) => problem,
            };
            faults.push(self.fault(custodian, problem));
        }
        if custodians.len() < self.needed() {
            return Err(self.too_few(custodians.len(), faults));
        }
        Ok(StoredBody { content, sealed_bytes, custodians, faults })
    }

    async fn send_body(
        &self,
        node: &Endpoint,
        custodian: OrganisationId,
        body: (Body, u64),
        end: watch::Receiver<bool>,
    ) -> (OrganisationId, Result<Stored, CustodyProblem>) {
        let target = self.target("body");
        let error = |fault| CustodyProblem::from(NodeError { node: node.clone(), fault });
        let sent = tokio::select! {
            answer = self.client.nodes().put_stream(node, self.actor, &target, body) => {
                answer.map_err(CustodyProblem::from)
            }
            () = overdue(end) => Err(error(NodeFault::TimedOut)),
        };
        let garbled = NodeFault::Garbled { status: 200 };
        let stored = sent.and_then(|it| serde_json::from_slice(&it).map_err(|_| error(garbled)));
        (custodian, stored)
    }

    /// Hands the capsule to those who have the body, and collects what they sign.
    async fn capsule(
        &self,
        salted: &SaltedCapsule,
        stored: StoredBody,
    ) -> Result<(Vec<CustodyAcknowledgement>, Vec<CustodyFault>), ClientError> {
        let (target, bytes) = (self.target("capsule"), salted.encode());
        let ask =
            Ask::with_body(Method::PUT, target, Some(self.actor), bytes, ACKNOWLEDGEMENT_BYTES_MAX);
        let answers = join_all(stored.custodians.iter().map(async |&custodian| {
            let bytes = self.client.ask_custodian(custodian, &ask).await?;
            let is_its_key = |key: &PublicKey| {
                let entry = self.authoring.custodians.get(&custodian);
                entry.is_some_and(|it| it.has_custodian(key, now()))
            };
            let statement = |until| CustodyStatement {
                chain: self.client.consortium().chain(),
                custodian,
                record: self.record,
                version: self.version,
                commitment: salted.commitment(),
                sealed_bytes: stored.sealed_bytes,
                until,
            };
            checked_acknowledgement(&bytes, statement, is_its_key)
                .ok_or(CustodyProblem::Acknowledgement)
        }))
        .await;
        let (mut custody, mut faults) = (Vec::new(), stored.faults);
        for (custodian, answer) in stored.custodians.iter().zip(answers) {
            match answer {
                Ok(acknowledgement) => custody.push(acknowledgement),
                Err(problem) => faults.push(self.fault(*custodian, problem)),
            }
        }
        if custody.len() < self.needed() {
            return Err(self.too_few(custody.len(), faults));
        }
        Ok((custody, faults))
    }
}

/// An acknowledgement, if it is the custodian's word for this very statement.
fn checked_acknowledgement(
    bytes: &[u8],
    statement: impl FnOnce(BlockTime) -> CustodyStatement,
    is_its_key: impl Fn(&PublicKey) -> bool,
) -> Option<CustodyAcknowledgement> {
    let given: CustodyAcknowledgement =
        keepwell_types::decode(bytes, ACKNOWLEDGEMENT_BYTES_MAX).ok()?;
    let statement = statement(given.until);
    let is_its_word = statement.custodian == given.custodian && is_its_key(&given.key);
    let verified = verify_custody(&given.key, &statement, &given.signature).is_ok();
    (is_its_word && verified).then_some(given)
}

/// Returns a while after the upload's end.
async fn overdue(mut end: watch::Receiver<bool>) {
    let has_ended = end.wait_for(|ended| *ended).await.is_ok();
    if !has_ended {
        std::future::pending::<()>().await;
    }
    sleep(DURABLE).await;
}

/// Hands each piece of a body to several uploads.
#[derive(Default)]
struct Tee {
    lanes: Vec<mpsc::Sender<io::Result<Bytes>>>,
}

impl Tee {
    /// One more upload.
    fn lane(&mut self) -> Body {
        let (sender, mut receiver) = mpsc::channel(1);
        self.lanes.push(sender);
        Body::wrap_stream(stream::poll_fn(move |context| receiver.poll_recv(context)))
    }

    /// Sends a piece to all; whoever has hung up or stands still is left behind. False if nobody is left.
    async fn send(&mut self, piece: &Bytes) -> bool {
        let sent = join_all(self.lanes.iter().map(|lane| async {
            matches!(timeout(STALL, lane.send(Ok(piece.clone()))).await, Ok(Ok(())))
        }))
        .await;
        let mut sent = sent.into_iter();
        // A lane that is dropped here ends early, and its custodian keeps nothing of it.
        self.lanes.retain(|_| sent.next().unwrap_or(false));
        !self.lanes.is_empty()
    }

    /// Breaks all uploads off.
    async fn abort(&mut self) {
        for lane in self.lanes.drain(..) {
            let cut_off = io::Error::other("the content could not be read to its end");
            let _ = timeout(STALL, lane.send(Err(cut_off))).await;
        }
    }

    /// Ends all uploads.
    fn close(&mut self) {
        self.lanes.clear();
    }
}

/// Encrypts the content and sends it through the tee; returns the content root.
async fn pump(
    mut encryptor: Encryptor,
    (mut content, content_bytes): (impl AsyncRead + Unpin, u64),
    tee: &mut Tee,
) -> Result<Digest, UsageError> {
    let mut hasher = ContentHasher::new(encryptor.layout().chunk_log2());
    let header = Bytes::copy_from_slice(&encryptor.header());
    hasher.update(&header);
    let mut listened = tee.send(&header).await;
    let mut left = content_bytes;
    while let Some(slot) = encryptor.next_slot().filter(|_| listened) {
        let mut chunk = BytesMut::zeroed(slot.sealed_bytes);
        left -= slot.content.len() as u64;
        let read = fill(&mut content, &mut chunk[slot.content], left == 0, content_bytes).await;
        if let Err(error) = read {
            chunk.zeroize();
            tee.abort().await;
            return Err(error);
        }
        encryptor.seal_chunk(&mut chunk)?;
        let chunk = chunk.freeze();
        hasher.update(&chunk);
        listened = tee.send(&chunk).await;
    }
    Ok(hasher.finish())
}

/// Reads the content of one chunk; the last one must end the content.
async fn fill(
    content: &mut (impl AsyncRead + Unpin),
    chunk: &mut [u8],
    is_last: bool,
    expected: u64,
) -> Result<(), UsageError> {
    content.read_exact(chunk).await.map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            UsageError::ContentLength { expected, more: false }
        } else {
            UsageError::Content(error)
        }
    })?;
    if is_last && content.read(&mut [0]).await.map_err(UsageError::Content)? > 0 {
        return Err(UsageError::ContentLength { expected, more: true });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use keepwell_types::limits::SEALED_BYTES_MAX;

    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn windows_end_when_an_upload_should_be_done() {
        let now = BlockTime(1_795_000_000_000);
        for (bytes, until_ms) in [
            (0, 2 * MINUTE),
            (4_000_000, 2 * MINUTE + 4_000),
            (SEALED_BYTES_MAX, 2 * MINUTE + 12_884_901),
        ] {
            let window = window_for(now, bytes);
            assert_eq!(window.until.ms_since(now), until_ms, "{bytes}");
            assert_eq!(window.len_ms(), window_ms_max_of(bytes));
            // Whoever is done at once does not wait, even where a clock is minutes behind.
            assert_eq!(now.ms_since(window.from), 8 * MINUTE, "{bytes}");
        }
    }

    async fn pumped(content: &[u8], announced: u64) -> Result<(Digest, Vec<u8>), UsageError> {
        let (dek, record) = (Dek::generate(&mut rng()), RecordId([1; 32]));
        let encryptor = Encryptor::new(&dek, &record, announced)?;
        let (sender, mut receiver) = mpsc::channel(1);
        let mut tee = Tee { lanes: vec![sender] };
        let read = async {
            let mut body = Vec::new();
            while let Some(Ok(piece)) = receiver.recv().await {
                body.extend_from_slice(&piece);
            }
            body
        };
        let pump = async {
            let root = pump(encryptor, (content, announced), &mut tee).await;
            tee.close();
            root
        };
        let (root, body) = join(pump, read).await;
        Ok((root?, body))
    }

    #[tokio::test]
    async fn bodies_have_the_announced_size_and_the_root_of_what_was_sent() {
        for len in [0, 1, 65_536, 9_000_000] {
            let content = vec![7; len];
            let (root, body) = pumped(&content, len as u64).await.unwrap();
            assert_eq!(body.len() as u64, keepwell_crypto::body::sealed_len(len as u64));
            let log2 = keepwell_crypto::body::chunk_log2(&body).unwrap();
            let mut hasher = ContentHasher::new(log2);
            hasher.update(&body);
            assert_eq!(hasher.finish(), root);
        }
    }

    #[tokio::test]
    async fn content_that_changes_while_it_is_read_is_refused() {
        for (len, announced, is_more) in
            [(10, 9, true), (9, 10, false), (1, 0, true), (0, 1, false)]
        {
            match pumped(&vec![7; len], announced).await {
                Err(UsageError::ContentLength { expected, more }) => {
                    assert_eq!((expected, more), (announced, is_more));
                }
                other => panic!("{len} for {announced}: {other:?}"),
            }
        }
    }
}
