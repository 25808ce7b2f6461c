//! Receipts: one file that proves, offline and years later, what was asked and what was decided.
//!
//! ```text
//! Receipt         = [version, entry, outcome, entry path, outcome path, certified header, hand-overs or null]
//! CertifiedHeader = [header, ancestry or null, certificate]
//! Ancestry        = [path of the header's block in the range of blocks, descendant header]
//! ```
//!
//! Not every block has a certificate of its own: the header of a later block that has one proves it by
//! its `history`.
//!
//! # Invariants
//!
//! * What verifies follows from the genesis file alone, and from hand-overs that follow from it: [`VerifiedReceipt`] and [`VerifiedHeader`] are
//!   made here and nowhere else.
//! * Each byte is covered. The signatures of the command are too: a receipt holds the very entry that
//!   the block carried. That they were good at that height is part of what the validators certified.
//! * A receipt of one epoch of four validators for a `record.add` has at most 8 KiB.
//!
//! Not here: later events. A receipt says what was decided at a height, not that it still holds.

use alloc::vec::Vec;

use keepwell_crypto::command::entry_digest;
use keepwell_types::{
    DecodeError,
    block::{Certificate, HEADER_VERSION, Header},
    command::Entry,
    encoding::List,
    genesis::Genesis,
    id::{BlockId, ChainId, Height},
    limits::{HANDOVERS_MAX, RECEIPT_BYTES_MAX, RECEIPT_FILE_BYTES_MAX},
    outcome::Outcome,
    time::BlockTime,
};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    block,
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
    range::RangePath,
    tree::{InclusionPath, PathError},
};

/// The one version of receipts.
pub const RECEIPT_VERSION: u8 = 1;

/// Why a receipt was refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReceiptError {
    /// Not a receipt, or one that was cut off or damaged on its way.
    #[error("this is not a whole receipt: {0}; fetch it again")]
    Malformed(#[from] DecodeError),
    /// Made by a later version of the program.
    #[error(
        "this is a receipt of version {given}, and version {known} is known here; update the program"
    )]
    Version {
        /// The receipt's.
        given: u8,
        /// Known here.
        known: u8,
    },
    /// The genesis file cannot be used.
    #[error(
        "the genesis file lists no validators in ascending order of their keys; get the consortium's own file"
    )]
    Genesis,
    /// Of another consortium than the genesis file.
    #[error(
        "the receipt is of consortium {given}, the genesis file of {expected}; use the genesis file of the receipt's consortium"
    )]
    OtherConsortium {
        /// The receipt's.
        given: ChainId,
        /// The genesis file's.
        expected: ChainId,
    },
    /// It proves nothing: someone altered or forged it, or it was put together wrongly.
    #[error(
        "the receipt is altered or forged: {0}; do not rely on it, and ask another member for it"
    )]
    Forged(#[from] Forgery),
}

/// The first step of a proof that does not hold.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Forgery {
    /// The signatures of the validators.
    #[error("its certificate does not hold: {0}")]
    Certificate(CertificateError),
    /// A hand-over in it.
    #[error("{0}")]
    Handover(HandoverError),
    /// The certificate is for another block than the one shown.
    #[error("it certifies block {certified}, and shows block {shown}")]
    OtherBlock {
        /// The certificate's.
        certified: BlockId,
        /// The header's.
        shown: BlockId,
    },
    /// A header is of a version that no validator makes.
    #[error("it has a header of version {0}")]
    HeaderVersion(u8),
    /// The block that is certified does not come after the one it should prove.
    #[error("block {descendant} cannot prove block {height}, which is not before it")]
    NotDescendant {
        /// Of the header.
        height: Height,
        /// Of the certified header.
        descendant: Height,
    },
    /// The path from the header to the certified header.
    #[error("its block is not in the history of the certified block: {0}")]
    Ancestry(PathError),
    /// The outcome claims to stand in another block.
    #[error("its outcome is of height {outcome}, its block of height {header}")]
    Height {
        /// The outcome's.
        outcome: Height,
        /// The header's.
        header: Height,
    },
    /// The outcome has another time than its block.
    #[error("its outcome is of {outcome}, its block of {header}")]
    Time {
        /// The outcome's.
        outcome: BlockTime,
        /// The header's.
        header: BlockTime,
    },
    /// The outcome is of another command.
    #[error("its outcome is not of the command that it shows")]
    OtherCommand,
    /// The path from the outcome to the header.
    #[error("its outcome is not in its block: {0}")]
    Outcome(PathError),
    /// The path from the entry to the header.
    #[error("its command, with these signatures, is not in its block: {0}")]
    Entry(PathError),
    /// What a proof needs was not accepted by the ledger, or is of another kind.
    #[error("it is not the receipt of an accepted {0}")]
    NotAccepted(&'static str),
    /// The path from the document to the anchor.
    #[error("its document is not in the anchor: {0}")]
    Document(PathError),
}

impl From<CertificateError> for ReceiptError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Genesis => Self::Genesis,
            CertificateError::OtherBlock { certified, shown } => {
                Self::Forged(Forgery::OtherBlock { certified, shown })
            }
            CertificateError::OtherEpoch { .. }
            | CertificateError::TooFewVotes { .. }
            | CertificateError::VoteOrder { .. }
            | CertificateError::UnknownValidator { .. }
            | CertificateError::BadVote { .. } => Self::Forged(Forgery::Certificate(error)),
        }
    }
}

/// A header with all that shows it to be final.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CertifiedHeader {
    /// The header.
    #[n(0)]
    pub header: Header,
    /// Where the certificate is of a later block: how that proves this one.
    #[n(1)]
    pub ancestry: Option<Ancestry>,
    /// Of the descendant, if there is one, else of the header.
    #[n(2)]
    pub certificate: Certificate,
}

/// Proof that one block is among the ancestors of another.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Ancestry {
    /// The earlier block's place in the descendant's `history`.
    #[n(0)]
    pub path: RangePath,
    /// The later header.
    #[n(1)]
    pub descendant: Header,
}

/// A header that is final. Only [`CertifiedHeader::verify`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedHeader {
    header: Header,
    id: BlockId,
}

impl VerifiedHeader {
    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The block's id.
    pub const fn id(&self) -> BlockId {
        self.id
    }
}

impl CertifiedHeader {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Ok(keepwell_types::decode(bytes, RECEIPT_BYTES_MAX)?)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Checks that the header is final in the consortium that `genesis` founded.
    pub fn verify(self, genesis: &Genesis) -> Result<VerifiedHeader, ReceiptError> {
        self.verify_by(&Validators::of(genesis)?)
    }

    /// Checks that the header was certified by these validators, itself or by a descendant.
    pub fn verify_by(self, validators: &Validators) -> Result<VerifiedHeader, ReceiptError> {
        let id = checked_id(&self.header, validators)?;
        let certified = match &self.ancestry {
            None => &self.header,
            Some(ancestry) => {
                ancestry.verify(self.header.height, &id)?;
                checked_id(&ancestry.descendant, validators)?;
                &ancestry.descendant
            }
        };
        validators.verify_header(certified, &self.certificate)?;
        Ok(VerifiedHeader { header: self.header, id })
    }
}

/// The id of a header, if it is one of this consortium.
fn checked_id(header: &Header, validators: &Validators) -> Result<BlockId, ReceiptError> {
    let (given, expected) = (header.chain, validators.chain());
    if given != expected {
        return Err(ReceiptError::OtherConsortium { given, expected });
    }
    if header.version != HEADER_VERSION {
        return Err(Forgery::HeaderVersion(header.version).into());
    }
    Ok(block::block_id(header))
}

impl Ancestry {
    /// Checks that block `id` of this `height` is an ancestor of the descendant.
    fn verify(&self, height: Height, id: &BlockId) -> Result<(), Forgery> {
        let descendant = self.descendant.height;
        if descendant <= height {
            return Err(Forgery::NotDescendant { height, descendant });
        }
        // The history of a block at height h is over the h blocks from height 0 to h - 1.
        self.path
            .verify(&self.descendant.history, descendant.0, height.0, &block::history_leaf(id))
            .map_err(Forgery::Ancestry)
    }
}

/// An entry of a block, its outcome, and all that proves both.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    #[n(0)]
    pub version: u8,
    /// What was asked, with its signatures.
    #[n(1)]
    pub entry: Entry,
    /// What was decided.
    #[n(2)]
    pub outcome: Outcome,
    /// From the entry to the header's `payload`.
    #[n(3)]
    pub entry_path: InclusionPath,
    /// From the outcome to the header's `outcomes`.
    #[n(4)]
    pub outcome_path: InclusionPath,
    /// The header, and proof that it is final.
    #[n(5)]
    pub certified: CertifiedHeader,
    /// How those who certified it came to validate, where they are not the founders.
    #[n(6)]
    pub handovers: Option<List<Handover, HANDOVERS_MAX>>,
}

/// A proven entry and outcome. Only [`Receipt::verify`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedReceipt {
    entry: Entry,
    outcome: Outcome,
    header: VerifiedHeader,
}

impl VerifiedReceipt {
    /// What was asked.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What was decided.
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Its block.
    pub const fn header(&self) -> &VerifiedHeader {
        &self.header
    }
}

impl Receipt {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Ok(keepwell_types::decode(bytes, RECEIPT_FILE_BYTES_MAX)?)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Checks that the entry and the outcome are of a final block of the consortium that `genesis`
    /// founded.
    pub fn verify(self, genesis: &Genesis) -> Result<VerifiedReceipt, ReceiptError> {
        self.verify_by(&Validators::of(genesis)?)
    }

    /// Checks that the entry and the outcome are of a block that these validators certified.
    pub fn verify_by(self, validators: &Validators) -> Result<VerifiedReceipt, ReceiptError> {
        if self.version != RECEIPT_VERSION {
            let (given, known) = (self.version, RECEIPT_VERSION);
            return Err(ReceiptError::Version { given, known });
        }
        let verified = match &self.handovers {
            None => self.certified.verify_by(validators)?,
            Some(handovers) => self.certified.verify_by(&advanced(validators, handovers)?)?,
        };
        let header = verified.header();
        check_outcome(&self.outcome, header)?;

        let (size, index) = (u64::from(header.entries), self.outcome.location.index);
        if entry_digest(&self.entry, index) != self.outcome.command {
            return Err(Forgery::OtherCommand.into());
        }
        let index = u64::from(index);
        self.outcome_path
            .verify(&header.outcomes, size, index, &block::outcome_leaf(&self.outcome))
            .map_err(Forgery::Outcome)?;
        self.entry_path
            .verify(&header.payload, size, index, &block::entry_leaf(&self.entry))
            .map_err(Forgery::Entry)?;
        Ok(VerifiedReceipt { entry: self.entry, outcome: self.outcome, header: verified })
    }
}

/// Validators that have followed these hand-overs too.
fn advanced(validators: &Validators, handovers: &[Handover]) -> Result<Validators, ReceiptError> {
    let mut advanced = validators.clone();
    for handover in handovers {
        advanced.advance(handover).map_err(Forgery::Handover)?;
    }
    Ok(advanced)
}

/// Checks that the outcome says of itself what its block says.
fn check_outcome(outcome: &Outcome, header: &Header) -> Result<(), Forgery> {
    if outcome.location.height != header.height {
        let (outcome, header) = (outcome.location.height, header.height);
        return Err(Forgery::Height { outcome, header });
    }
    if outcome.time != header.time {
        return Err(Forgery::Time { outcome: outcome.time, header: header.time });
    }
    Ok(())
}
