//! Messages between a client and a node: requests that carry their own proof of who asks, and answers
//! that carry their own proof of being right.
//!
//! Proofs whose types live on a higher floor (receipts, proofs of the state) travel here as bytes.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    block::Certificate,
    chart::COMPARTMENT_KEY_BYTES,
    command::{Entry, SignedCommand},
    encoding::{Blob, List, Text},
    id::{
        ChainId, ChartId, CommandDigest, CommandId, Digest, GrantId, Height, Location, LogPosition,
        OrganisationId, PublicKey, Signature, Suite,
    },
    limits::{
        BLOCK_WIRE_BYTES_MAX, CAPSULE_BYTES_MAX, CHART_ESCROW_BYTES_MAX, MATCH_POINTS_MAX,
        RECEIPT_BYTES_MAX, RELEASE_CAPSULES_MAX, STATE_VALUE_BYTES_MAX, TRANSACTION_BYTES_MAX,
        TRANSACTION_COMMANDS_MAX,
    },
    member::Party,
    outcome::Outcome,
    time::BlockTime,
};

/// Who asks a node for something, and for exactly what; signed. Travels in the `authorization` header.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Request {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// Whose node is asked: what one node was sent, it cannot send to another.
    #[n(1)]
    pub node: OrganisationId,
    /// Who asks.
    #[n(2)]
    pub party: Party,
    /// Random; a node answers it once.
    #[n(3)]
    pub id: CommandId,
    /// The asker's clock.
    #[n(4)]
    pub at: BlockTime,
    /// Method, path and query, such as `GET /v1/charts/..`.
    #[n(5)]
    pub target: Text<1024>,
    /// Digest of the body; of no bytes where there is none or it is streamed.
    #[n(6)]
    pub body: Digest,
}

/// A [`Request`] with its signature.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SignedRequest {
    /// What is signed.
    #[n(0)]
    pub request: Request,
    /// The algorithms.
    #[n(1)]
    pub suite: Suite,
    /// The key, which the state must name as the party's.
    #[n(2)]
    pub key: PublicKey,
    /// The signature.
    #[n(3)]
    pub signature: Signature,
}

/// A wish for shares: the reader shows each capsule of the records that a committed access opened.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReleaseRequest {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Where the access stands in the chart's log.
    #[n(1)]
    pub access: LogPosition,
    /// X-Wing key to which the answer is sealed; its digest is in the access.
    #[n(2)]
    pub reader_key: Blob<COMPARTMENT_KEY_BYTES>,
    /// What is to be opened.
    #[n(3)]
    pub items: List<ReleaseItem, RELEASE_CAPSULES_MAX>,
}

/// One record of a [`ReleaseRequest`].
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReleaseItem {
    /// Where the record stands in the chart's log.
    #[n(0)]
    pub position: LogPosition,
    /// The salted capsule: see `keepwell-crypto`.
    #[n(1)]
    pub capsule: Blob<CAPSULE_BYTES_MAX>,
}

/// A wish for capsules of records of one chart.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CapsuleRequest {
    /// Where the records stand in the chart's log.
    #[n(0)]
    pub positions: List<LogPosition, RELEASE_CAPSULES_MAX>,
}

/// What a custodian has of a [`CapsuleRequest`].
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CapsuleAnswer {
    /// The salted capsules, in the order of the request; nothing for one that it does not have.
    #[n(0)]
    pub capsules: List<Option<Blob<CAPSULE_BYTES_MAX>>, RELEASE_CAPSULES_MAX>,
}

/// Bytes of one validator's sealed shares: 32 for each capsule, proof and tag.
pub const SEALED_SHARE_BYTES_MAX: usize = 32 * RELEASE_CAPSULES_MAX + 256;

/// One validator's shares, sealed to the reader's key.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReleaseAnswer {
    /// The access.
    #[n(0)]
    pub access: CommandDigest,
    /// The share's index: the validator's place plus 1.
    #[n(1)]
    pub share: u16,
    /// X-Wing encapsulation.
    #[n(2)]
    pub encapsulated: Blob<1_120>,
    /// Sealed shares and their proof.
    #[n(3)]
    pub sealed: Blob<SEALED_SHARE_BYTES_MAX>,
    /// By the validator's release key, over all of the above.
    #[n(4)]
    pub signature: Signature,
}

/// A wish for a trustee's shares, and the proofs of everything that the trustee looks at: it trusts no node
/// and asks none.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct TrusteeRequest {
    /// The receipt of the reader's accepted `access.open`, for the purpose `BTG`.
    #[n(0)]
    pub access: Blob<RECEIPT_BYTES_MAX>,
    /// The emergency, by where the glass was broken in the chart's log.
    #[n(1)]
    pub emergency: LogPosition,
    /// X-Wing key to which the answer is sealed; its digest is in the access.
    #[n(2)]
    pub reader_key: Blob<COMPARTMENT_KEY_BYTES>,
    /// What the chart leaves to emergencies: see `keepwell_crypto::trustee`.
    #[n(3)]
    pub escrow: Blob<CHART_ESCROW_BYTES_MAX>,
    /// Of the chart.
    #[n(4)]
    pub chart: StateProof,
    /// Of its emergencies.
    #[n(5)]
    pub emergencies: StateProof,
    /// Of the reader.
    #[n(6)]
    pub member: StateProof,
    /// Of the reader's organisation.
    #[n(7)]
    pub organisation: StateProof,
    /// Of the reader's credentials.
    #[n(8)]
    pub credentials: StateProof,
}

/// `POST /v1/match`: asks one validator to evaluate blinded points for a committed `match.evaluate`.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MatchRequest {
    /// Where the command stands.
    #[n(0)]
    pub evaluation: Location,
    /// X-Wing key to which the answer is sealed; its digest is in the command.
    #[n(1)]
    pub requester_key: Blob<COMPARTMENT_KEY_BYTES>,
    /// The points whose digests are in the command, in its order.
    #[n(2)]
    pub points: List<PointBytes, MATCH_POINTS_MAX>,
}

/// The canonical encoding of a point of ristretto255.
pub type PointBytes = Digest;

/// Bytes of one validator's sealed evaluation: 32 for each point, proof and tag.
pub const SEALED_EVALUATION_BYTES_MAX: usize = 32 * MATCH_POINTS_MAX + 256;

/// One validator's evaluation, sealed to the requester's key.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MatchAnswer {
    /// The `match.evaluate`.
    #[n(0)]
    pub evaluation: CommandDigest,
    /// The share's index: the validator's place plus 1.
    #[n(1)]
    pub share: u16,
    /// X-Wing encapsulation.
    #[n(2)]
    pub encapsulated: Blob<1_120>,
    /// The sealed evaluation and its proof.
    #[n(3)]
    pub sealed: Blob<SEALED_EVALUATION_BYTES_MAX>,
    /// By the validator's release key, over all of the above.
    #[n(4)]
    pub signature: Signature,
}

/// Entries of a chart's log on one page.
pub const LOG_PAGE_MAX: usize = 256;

/// A stretch of a chart's log, and proof of the log's head.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct LogPage {
    /// Proof of the chart's log head at a certified height.
    #[n(0)]
    pub head: StateProof,
    /// Position of the first entry.
    #[n(1)]
    pub from: LogPosition,
    /// Head of the log before the first entry.
    #[n(2)]
    pub before: Digest,
    /// The entries, in order.
    #[n(3)]
    pub entries: List<LogEntry, LOG_PAGE_MAX>,
}

/// One entry of a chart's log.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct LogEntry {
    /// What was asked.
    #[n(0)]
    pub entry: Entry,
    /// What was decided.
    #[n(1)]
    pub outcome: Outcome,
}

/// A value of the state, or its absence, with proof against a certified block.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct StateProof {
    /// `keepwell_merkle::CertifiedHeader`, encoded.
    #[n(0)]
    pub certified: Blob<RECEIPT_BYTES_MAX>,
    /// The value, if the key has one.
    #[n(1)]
    pub value: Option<Blob<STATE_VALUE_BYTES_MAX>>,
    /// The proof, in the encoding of the state's database.
    #[n(2)]
    pub proof: Blob<{ 2 * STATE_VALUE_BYTES_MAX }>,
}

/// Entries on one [`AccessPage`].
pub const ACCESS_PAGE_MAX: usize = 256;

/// What an organisation answers for, from a stretch of the chain: accesses and emergencies in its charts and
/// of its members.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct AccessPage {
    /// First place that was looked at.
    #[n(0)]
    pub from: Location,
    /// First place that was not: where the next page begins.
    #[n(1)]
    pub next: Location,
    /// The node's newest block.
    #[n(2)]
    pub tip: Height,
    /// Receipts of the entries, encoded, in their order.
    #[n(3)]
    pub receipts: List<Blob<RECEIPT_BYTES_MAX>, ACCESS_PAGE_MAX>,
}

/// Records on one [`OpenedPage`].
pub const OPENED_PAGE_MAX: usize = 128;

/// Records that an accepted access asks for, from a stretch of the chart's log.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct OpenedPage {
    /// First position that was not looked at: where the next page begins.
    #[n(0)]
    pub next: LogPosition,
    /// In the order of the log.
    #[n(1)]
    pub records: List<PlacedReceipt, OPENED_PAGE_MAX>,
}

/// The receipt of an entry, and where the node says that it stands.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct PlacedReceipt {
    /// In the chart's log. The receipt does not prove it.
    #[n(0)]
    pub position: LogPosition,
    /// The receipt, encoded.
    #[n(1)]
    pub receipt: Blob<RECEIPT_BYTES_MAX>,
}

/// What is sent to have a transaction decided: all of its parts, in their order.
pub type TransactionParts = List<SignedCommand, TRANSACTION_COMMANDS_MAX>;

/// Bytes of [`TransactionParts`]: each takes less than as an entry of a block, and the list's head a few more.
pub const TRANSACTION_PARTS_BYTES_MAX: usize = TRANSACTION_BYTES_MAX + 8;

/// Uploads of record bodies that a custodian takes from one organisation at one time.
pub const ORGANISATION_UPLOADS_MAX: usize = 16;

/// The answer to a transaction. Its parts stand next to each other in one block and take effect all or none, so the
/// receipt of one proves whether all did.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct TransactionReceipts {
    /// The receipt of the first part, encoded.
    #[n(0)]
    pub first: Blob<RECEIPT_BYTES_MAX>,
    /// That of the part for whose sake all were refused, where that is another one.
    #[n(1)]
    pub refused: Option<Blob<RECEIPT_BYTES_MAX>>,
}

/// Bytes of [`TransactionReceipts`].
pub const TRANSACTION_RECEIPTS_BYTES_MAX: usize = 2 * RECEIPT_BYTES_MAX + 16;

/// Grants in one [`SeedTable`].
pub const SEED_TABLE_MAX: usize = 1_024;

/// Whose sealed seeds a `compartment.rotate` brings; its digest is that command's `seeds`.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SeedTable {
    /// In ascending order of grants.
    #[n(0)]
    pub lines: List<SeedTableLine, SEED_TABLE_MAX>,
}

/// The seeds of one grant in a [`SeedTable`].
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SeedTableLine {
    /// The grant.
    #[n(0)]
    pub grant: GrantId,
    /// Digest of its sealed seeds.
    #[n(1)]
    pub seeds: Digest,
}

/// Blocks in one [`StoredBlocks`].
pub const STORED_BLOCKS_MAX: usize = 256;
/// Bytes of blocks after which a node ends a [`StoredBlocks`].
pub const STORED_BLOCKS_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of an encoded [`StoredBlocks`]: the block with which it reaches its size may be the largest there is, and each
/// has a certificate.
pub const STORED_BLOCKS_BYTES_MAX: usize = STORED_BLOCKS_BYTES + 4 * 1024 * 1024;

/// Final blocks as a node stores them, from one height on without a gap.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct StoredBlocks {
    /// In the order of their heights; none where the node has no more.
    #[n(0)]
    pub blocks: List<StoredBlock, STORED_BLOCKS_MAX>,
}

/// A final block, whole.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct StoredBlock {
    /// The block as validators send it to each other.
    #[n(0)]
    pub block: Blob<BLOCK_WIRE_BYTES_MAX>,
    /// Its certificate. A block without one of its own is final through a later one.
    #[n(1)]
    pub certificate: Option<Certificate>,
}
