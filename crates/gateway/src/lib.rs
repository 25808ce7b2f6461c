//! One organisation's FHIR interface, beside the systems that it has.
//!
//! A hospital does not replace its systems. Its gateway speaks their languages on one side and the ledger's on the other.
//!
//! # Invariants
//!
//! * What is kept here is derived from the ledger and the custodians, and sealed under the organisation's key.
//!
//! Not here: rules of the ledger (`keepwell-ledger`), sealing and opening (`keepwell-client`), and what FHIR says of
//! resources and searches (`keepwell-fhir`).

pub mod index;
