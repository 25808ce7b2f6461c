//! Every limit on a document, in one place. Beyond them a document is refused, never cut, but for
//! [`RESOURCES_MAX`] and [`TEXT_BYTES_MAX`], beyond which what is left out is listed.

/// Bytes of one document: with the same in base64 it fits in a transaction.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Elements inside each other; documents of C-CDA have some thirty.
pub const DEPTH_MAX: usize = 128;
/// Elements, texts and comments of one document.
pub const NODES_MAX: u32 = 1024 * 1024;
/// Attributes of one element.
pub const ATTRIBUTES_MAX: usize = 64;
/// Declarations of namespaces in one document.
pub const NAMESPACES_MAX: usize = 1_024;
/// Resources that are made of a document's entries; with the patient, the original and its Provenance they fit in one
/// transaction.
pub const RESOURCES_MAX: usize = 1_000;
/// Bytes of one text that is taken from an entry or from the narrative.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Bytes of each identifier or code that others are made of.
pub const IDENTIFIER_BYTES_MAX: usize = 512;
/// Identifiers of a patient that are looked for.
pub const PATIENT_IDENTIFIERS_MAX: usize = 16;
/// Sections of one document, those inside others included.
pub const SECTIONS_MAX: usize = 512;
/// Entries that a report names for one section; more are counted.
pub const LEFT_MAX: usize = 64;
