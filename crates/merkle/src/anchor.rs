//! Anchored documents: any number of documents under one `anchor.add`, each proven alone.
//!
//! ```text
//! salted digest   = H("keepwell/merkle/document/v1", salt, SHA-256(document))
//! leaf            = leaf(salted digest)                               leaf, root: `tree`
//! DocumentReceipt = [version, salt, SHA-256(document), path, receipt of the anchor.add]
//! ```
//!
//! # Invariants
//!
//! * A document is known here by its SHA-256 digest, so a verifier streams it and a document may have
//!   any size.
//! * Each document has a salt of its own. A leaf, and the siblings in someone else's path, say nothing
//!   about a document to whoever lacks its salt, however few documents there could have been.
//!
//! Not here: drawing salts and building the tree of an anchor (`keepwell-client`).

use alloc::vec::Vec;

use keepwell_crypto::hash;
use keepwell_types::{
    anchor::AnchorAdd,
    command::Payload,
    genesis::Genesis,
    id::{Digest, Salt},
    limits::RECEIPT_FILE_BYTES_MAX,
};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    certificate::Validators,
    receipt::{Forgery, Receipt, ReceiptError, VerifiedReceipt},
    tree::{self, InclusionPath},
};

/// The one version of document receipts.
pub const DOCUMENT_RECEIPT_VERSION: u8 = 1;

/// Separates salted digests of documents from every other digest.
const DOMAIN: &str = "keepwell/merkle/document/v1";

/// The leaf of a document in its anchor's tree; `document` is its SHA-256 digest.
pub fn document_leaf(salt: &Salt, document: &Digest) -> Digest {
    tree::leaf_digest(&hash::digest(DOMAIN, &[&salt.0, &document.0]).0)
}

/// Proof that a document was anchored.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct DocumentReceipt {
    /// [`DOCUMENT_RECEIPT_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The document's salt.
    #[n(1)]
    pub salt: Salt,
    /// SHA-256 digest of the document.
    #[n(2)]
    pub document: Digest,
    /// From the document to the anchor's root.
    #[n(3)]
    pub path: InclusionPath,
    /// Of the `anchor.add`.
    #[n(4)]
    pub receipt: Receipt,
}

/// Why a document was not shown to be anchored.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DocumentError {
    /// The receipt is of another document, or the document has changed.
    #[error(
        "the document has digest {given} and the receipt is for {expected}: it is another document, or was changed"
    )]
    OtherDocument {
        /// The document's.
        given: Digest,
        /// The receipt's.
        expected: Digest,
    },
    /// The receipt was refused.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl From<Forgery> for DocumentError {
    fn from(forgery: Forgery) -> Self {
        Self::Receipt(forgery.into())
    }
}

/// A document that was anchored. Only [`DocumentReceipt::verify`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedDocument {
    document: Digest,
    receipt: VerifiedReceipt,
}

impl VerifiedDocument {
    /// SHA-256 digest of the document.
    pub const fn document(&self) -> Digest {
        self.document
    }

    /// The `anchor.add` that anchors it: who, and when.
    pub const fn receipt(&self) -> &VerifiedReceipt {
        &self.receipt
    }
}

impl DocumentReceipt {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Ok(keepwell_types::decode(bytes, RECEIPT_FILE_BYTES_MAX)?)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Checks that the document with this SHA-256 digest was anchored in the consortium that `genesis`
    /// founded.
    pub fn verify(
        self,
        genesis: &Genesis,
        document: &Digest,
    ) -> Result<VerifiedDocument, DocumentError> {
        self.verify_by(&Validators::of(genesis).map_err(ReceiptError::from)?, document)
    }

    /// Checks that the document with this SHA-256 digest is in an anchor that these validators
    /// certified.
    pub fn verify_by(
        self,
        validators: &Validators,
        document: &Digest,
    ) -> Result<VerifiedDocument, DocumentError> {
        if self.version != DOCUMENT_RECEIPT_VERSION {
            let (given, known) = (self.version, DOCUMENT_RECEIPT_VERSION);
            return Err(ReceiptError::Version { given, known }.into());
        }
        if *document != self.document {
            let (given, expected) = (*document, self.document);
            return Err(DocumentError::OtherDocument { given, expected });
        }
        let receipt = self.receipt.verify_by(validators)?;
        let anchor = accepted_anchor(&receipt)?;
        // Any place in the tree will do: which one the document has is not part of the claim.
        let leaf = document_leaf(&self.salt, document);
        self.path
            .verify(&anchor.root, anchor.documents, self.path.index, &leaf)
            .map_err(Forgery::Document)?;
        Ok(VerifiedDocument { document: *document, receipt })
    }
}

/// The anchor that a proven receipt is of.
fn accepted_anchor(receipt: &VerifiedReceipt) -> Result<&AnchorAdd, Forgery> {
    let Payload::AnchorAdd(anchor) = receipt.entry().payload() else {
        return Err(Forgery::NotAccepted("anchor.add"));
    };
    if !receipt.outcome().verdict.is_accepted() {
        return Err(Forgery::NotAccepted("anchor.add"));
    }
    Ok(anchor)
}
