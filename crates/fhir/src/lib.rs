//! FHIR resources to and from ledger terms, as pure functions.
//!
//! A resource stays the bytes it came as: FHIR's decimals, order and spacing carry meaning that no typed model keeps,
//! and a digest of re-written JSON proves nothing. So [`bundle`] cuts a Bundle into the exact bytes of its resources,
//! [`classify`](mod@classify) says which record kind and which compartment each belongs to, [`patients`] tells which
//! patients of several inputs are one, and [`summary`] says in one line what a resource is, and [`matching`] by what a
//! patient is compared with those of other organisations. [`facts`] says what the ledger knows as resources of FHIR,
//! and [`synthetic`] makes patients who never lived. [`draft`] is a transaction while a map from another standard writes
//! it.
//!
//! For the REST interface, [`interaction`] says what a request asks for, [`header`] under which conditions, [`search`]
//! answers queries over opened resources, [`transaction`] takes Bundles of several requests and gives references the
//! ids that they stand for, by [`splice`]s that leave every other byte, [`patch`] changes parts of a resource,
//! [`response`] makes the Bundles that answer, [`subscription`] reads who wants to be told of what and writes what they are
//! told, and [`outcome`] says what went wrong.
//!
//! # Invariants
//!
//! * No input makes a function here panic, recurse without bound or take more than a small multiple
//!   of its size in memory.
//! * What is ambiguous is closed, not opened: a key that stands twice is refused, a sensitivity label
//!   without a compartment of its own restricts.
//! * No clock, IO, randomness, environment, floats or hash maps: the crate is `no_std`.
//!
//! Not here: validation against StructureDefinitions (`keepwell-gateway`), and sealing.
#![no_std]

extern crate alloc;

mod calendar;
mod tree;

pub mod bundle;
pub mod classify;
pub mod draft;
pub mod export;
pub mod facts;
pub mod header;
pub mod interaction;
pub mod matching;
pub mod outcome;
pub mod parameters;
pub mod patch;
pub mod patients;
pub mod response;
pub mod search;
pub mod splice;
pub mod subscription;
pub mod summary;
pub mod synthetic;
pub mod transaction;
