//! Why a document is refused.
//!
//! # Invariants
//!
//! * A refusal names elements, bytes and counts. What stands there is never repeated: it may be about a patient, and
//!   refusals are written to logs.

use thiserror::Error;

use crate::limits::{
    ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, IDENTIFIER_BYTES_MAX, NAMESPACES_MAX, NODES_MAX,
    SECTIONS_MAX,
};

/// Why a document is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    /// The document has too many bytes.
    #[error(
        "{bytes} bytes are more than {DOCUMENT_BYTES_MAX}; keep what is larger as a Binary of its own"
    )]
    TooLarge {
        /// Bytes of the document.
        bytes: usize,
    },

    /// It is in another encoding than it has to be, or says so.
    #[error("the document is not in UTF-8; write it as UTF-8 and declare that, or nothing")]
    Encoding,

    /// It has a document type declaration.
    #[error("the document has a DTD; send it without, with every entity written out")]
    Dtd,

    /// It has an entity that is not XML's own.
    #[error("the document has an entity that is not one of XML's five; write the character itself")]
    Entity,

    /// It is no XML.
    #[error("the document is no well-formed XML; check it with its schema before sending it")]
    NotXml,

    /// Its elements stand too deep in each other.
    #[error("elements stand more than {DEPTH_MAX} deep in each other; send a flatter document")]
    TooDeep,

    /// It has too many elements, texts and comments.
    #[error("the document has more than {NODES_MAX} nodes; send it in parts")]
    TooManyNodes,

    /// One element has too many attributes.
    #[error("an element has more than {ATTRIBUTES_MAX} attributes; no element of CDA has so many")]
    TooManyAttributes,

    /// It declares too many namespaces.
    #[error(
        "the document declares more than {NAMESPACES_MAX} namespaces; declare each once, at its top"
    )]
    TooManyNamespaces,

    /// It has too many sections.
    #[error("the document has more than {SECTIONS_MAX} sections; send it in parts")]
    TooManySections,

    /// It is XML, and no document of CDA.
    #[error("the document's element is no ClinicalDocument of urn:hl7-org:v3; send CDA R2")]
    NotCda,

    /// It has no id that tells it from all others.
    #[error("ClinicalDocument/id has no OID or UUID; give the document an id of its own")]
    NoId,

    /// It is about nobody, or about several.
    #[error("the document has {0} recordTarget elements; send one document for each patient")]
    Patients(usize),

    /// No number is the patient's own.
    #[error(
        "recordTarget has no id that is the patient's own, with an OID or UUID as its root; send one, such as the medical record number"
    )]
    NotThePatients,

    /// An identifier on which much depends is longer than any real one.
    #[error(
        "an id of the document or of its patient has more than {IDENTIFIER_BYTES_MAX} bytes; send a shorter one"
    )]
    TooLong,
}
