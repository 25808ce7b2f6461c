//! Blocks as the engine carries them: a header and the entries it commits to.
//!
//! ```text
//! block = u16 length ‖ header (canonical CBOR) ‖ u32 count ‖ count × (u32 length ‖ entry (canonical CBOR))
//! ```
//!
//! # Invariants
//!
//! * A block's digest is its header's, and the header commits to every byte of every entry: two blocks
//!   with one digest are one block.
//! * A block that decodes has a payload digest and a number of entries that match its header, and is
//!   within the limits. Whether the entries are valid commands is checked on execution.

use std::sync::Arc;

use bytes::Bytes;
use commonware_codec::{
    Buf, Copying, DecodeExt as _, EncodeSize, Error as CodecError, FixedSize as _, Read,
    ReadExt as _, Write,
};
use commonware_consensus::{
    Block as ConsensusBlock, BoundedBlock, CertifiableBlock, Heightable,
    simplex::types::Context as EngineContext,
    types::{Epoch, Height as EngineHeight, Round as EngineRound, View},
};
use commonware_cryptography::{Digestible, ed25519, sha256};
use commonware_runtime::BufMut;
use keepwell_crypto::command::chain_id;
use keepwell_merkle::{
    block::{block_id, outcome_root},
    range::Peaks,
    tree,
};
use keepwell_types::{
    block::{HEADER_VERSION, Header, Round, SyncTarget},
    command::{Entry, SignedCommand},
    genesis::Genesis,
    id::{BlockId, ChainId, Digest, Height, PublicKey},
    limits::{BLOCK_BYTES_MAX, BLOCK_COMMANDS_MAX, BLOCK_WIRE_BYTES_MAX, HEADER_BYTES_MAX},
};

/// The engine's digest type.
pub type EngineDigest = sha256::Digest;
/// The engine's key type.
pub type EngineKey = ed25519::PublicKey;
/// Where consensus stands when a block is proposed.
pub type Context = EngineContext<EngineDigest, EngineKey>;

/// What the encoding of an [`Entry::Signed`] begins with.
const SIGNED_ENTRY: u8 = 1;

/// One entry as it travels: its canonical bytes, and their leaf digest in the payload's tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawEntry {
    bytes: Bytes,
    leaf: Digest,
}

impl RawEntry {
    /// Takes encoded bytes.
    pub fn new(bytes: Bytes) -> Self {
        Self { leaf: tree::leaf_digest(&bytes), bytes }
    }

    /// Encodes `entry`.
    pub fn encode(entry: &Entry) -> Self {
        Self::new(keepwell_types::encode(entry).into())
    }

    /// Encodes `Entry::Signed(signed)`, and leaves the command where it is.
    pub fn signed(signed: &SignedCommand) -> Self {
        Self::new(keepwell_types::encode(&(SIGNED_ENTRY, (signed,))).into())
    }

    /// The canonical bytes, if they are.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Names these exact bytes, signatures included.
    pub const fn leaf(&self) -> Digest {
        self.leaf
    }
}

/// A header and the entries it commits to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    header: Header,
    id: BlockId,
    entries: Arc<[RawEntry]>,
}

/// Digest of the entries of a block: the root of the tree of their bytes.
pub fn payload_digest(entries: &[RawEntry]) -> Digest {
    tree::root(&entries.iter().map(RawEntry::leaf).collect::<Vec<_>>())
}

impl Block {
    /// A block of `entries` under `header`, which commits to them.
    pub fn new(header: Header, entries: Arc<[RawEntry]>) -> Self {
        let id = block_id(&header);
        Self { header, id, entries }
    }

    /// The empty block that every validator starts from.
    pub fn genesis(genesis: &Genesis, sync: SyncTarget) -> Self {
        let header = Header {
            version: HEADER_VERSION,
            chain: chain_id(genesis),
            height: Height(0),
            parent: BlockId([0; 32]),
            time: genesis.founded,
            payload: payload_digest(&[]),
            entries: 0,
            outcomes: outcome_root(&[]),
            state: Digest([0; 32]),
            history: Peaks::default().root(),
            sync,
            round: Round {
                epoch: 0,
                view: 0,
                parent_view: 0,
                leader: genesis.validators.first().map_or(PublicKey([0; 32]), |it| it.consensus),
            },
            next: None,
        };
        Self::new(header, Arc::new([]))
    }

    /// A block from the bytes that validators send each other, if they are one.
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        Self::decode(Bytes::copy_from_slice(bytes)).ok()
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The block's id.
    pub const fn id(&self) -> BlockId {
        self.id
    }

    /// The entries.
    pub const fn entries(&self) -> &Arc<[RawEntry]> {
        &self.entries
    }

    /// Whether the block is of this consortium.
    pub fn is_of(&self, chain: ChainId) -> bool {
        self.header.chain == chain && self.header.version == HEADER_VERSION
    }
}

/// The engine's form of a digest of ours.
pub fn to_engine(digest: [u8; 32]) -> EngineDigest {
    sha256::Digest(digest)
}

/// The round of a header, from the engine's context.
pub fn round_of(context: &Context) -> Round {
    let mut leader = [0; 32];
    leader.copy_from_slice(context.leader.as_ref());
    Round {
        epoch: context.round.epoch().get(),
        view: context.round.view().get(),
        parent_view: context.parent.0.get(),
        leader: PublicKey(leader),
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        let header = keepwell_types::encode(&self.header);
        // The limits of a header and of a block are far below what these widths hold.
        buf.put_u16(header.len() as u16);
        buf.put_slice(&header);
        buf.put_u32(self.entries.len() as u32);
        for entry in self.entries.iter() {
            buf.put_u32(entry.bytes.len() as u32);
            buf.put_slice(&entry.bytes);
        }
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        let header = keepwell_types::encode(&self.header).len();
        let entries: usize = self.entries.iter().map(|entry| 4 + entry.bytes.len()).sum();
        2 + header + 4 + entries
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let header = take(buf, |buf| Ok(usize::from(u16::read(buf)?)), HEADER_BYTES_MAX)?;
        let header: Header = keepwell_types::decode(&header, HEADER_BYTES_MAX)
            .map_err(|_| CodecError::Invalid("Block", "header is not canonical"))?;
        // The leader's key must be a point, since the engine's context holds it as one.
        leader_of(&header).ok_or(CodecError::Invalid("Block", "leader is not a key"))?;
        let count = u32::read(buf)? as usize;
        if count > BLOCK_COMMANDS_MAX || count != header.entries as usize {
            return Err(CodecError::InvalidLength(count));
        }
        let mut room = BLOCK_BYTES_MAX;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let bytes = take(buf, |buf| Ok(u32::read(buf)? as usize), room)?;
            room -= bytes.len();
            entries.push(RawEntry::new(bytes));
        }
        if payload_digest(&entries) != header.payload {
            return Err(CodecError::Invalid("Block", "entries are not what the header commits to"));
        }
        Ok(Self::new(header, entries.into()))
    }
}

/// Reads a length of at most `max` and as many bytes.
fn take<B: Buf>(
    buf: &mut B,
    length: impl FnOnce(&mut B) -> Result<usize, CodecError>,
    max: usize,
) -> Result<Bytes, CodecError> {
    let length = length(buf)?;
    if length > max {
        return Err(CodecError::InvalidLength(length));
    }
    if buf.remaining() < length {
        return Err(CodecError::EndOfBuffer);
    }
    Ok(buf.copy_to_bytes(length))
}

fn leader_of(header: &Header) -> Option<EngineKey> {
    EngineKey::read(&mut Copying(&header.round.leader.0)).ok()
}

impl Digestible for Block {
    type Digest = EngineDigest;

    fn digest(&self) -> EngineDigest {
        to_engine(self.id.0)
    }
}

impl Heightable for Block {
    fn height(&self) -> EngineHeight {
        EngineHeight::new(self.header.height.0)
    }
}

impl ConsensusBlock for Block {
    fn parent(&self) -> EngineDigest {
        to_engine(self.header.parent.0)
    }
}

impl CertifiableBlock for Block {
    type Context = Context;

    fn context(&self) -> Context {
        let round = &self.header.round;
        Context {
            round: EngineRound::new(Epoch::new(round.epoch), View::new(round.view)),
            leader: leader_of(&self.header).expect("checked when the block was read or made"),
            parent: (View::new(round.parent_view), to_engine(self.header.parent.0)),
        }
    }
}

impl BoundedBlock for Block {
    fn max_encode_size((): &()) -> usize {
        BLOCK_WIRE_BYTES_MAX
    }
}

const _: () = assert!(EngineDigest::SIZE == Digest::LEN && EngineKey::SIZE == PublicKey::LEN);
