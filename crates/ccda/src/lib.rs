//! C-CDA documents, as FHIR, as pure functions.
//!
//! ```text
//!  bytes of a document
//!    |  Document::read     character set, no DTD, bounded; one patient; or a Refusal
//!    v
//!  Document
//!    |  map                FHIR R4 transaction, and what of the document is not in it; or a Refusal
//!    v
//!  Record ----> the caller commits it
//! ```
//!
//! [`document`] is what a document is before anything in it has a meaning, [`map`](mod@map) what it is in FHIR,
//! [`refusal`] why one is refused, and [`limits`] how much of anything there may be. Read is C-CDA R1.1 to R2.1 and
//! whatever else of CDA R2 says the same in the same templates.
//!
//! # Invariants
//!
//! * No input makes a function here panic or recurse without bound. Memory is a small multiple of the document's size.
//! * Nothing of a document is lost unsaid: the document itself is attached as it came, byte for byte, and sections and
//!   entries that have no place in FHIR here are listed by name and number.
//! * Nothing reads as its opposite: what is negated, nullified, about somebody else or only meant to be done either has
//!   FHIR's own expression for that, or is left to the original.
//! * Errors name elements, sections and counts, never what stands there.
//! * No clock, IO, randomness, environment, floats or hash maps: the crate is `no_std`.
//!
//! Not here: writing C-CDA; schematron rules (a document that breaks them is read as far as it goes); documents without
//! a structured body, whose text stays in the original; XDM packages.
#![no_std]

extern crate alloc;

pub mod document;
pub mod limits;
pub mod map;
pub mod refusal;
mod value;
