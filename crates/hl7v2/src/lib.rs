//! HL7 v2 messages, as FHIR and as bytes on a wire, as pure functions.
//!
//! ```text
//!  bytes of a connection
//!    |  mllp::Decoder           frames, wherever the network cut them
//!    v
//!  bytes of a message
//!    |  Message::parse          character set, segments, envelope; or a Refusal
//!    v
//!  Message
//!    |  map                     FHIR R4 transaction, or what to merge; or a Refusal
//!    v
//!  Mapped ----> the caller commits it ----> acknowledge ----> mllp::encode
//! ```
//!
//! [`mllp`] is the framing, [`message`] what a message says, [`charset`] and [`escape`] how its bytes are text,
//! [`map`](mod@map) what it is in FHIR, [`time`] what its times are, [`acknowledge`](mod@acknowledge) the answer,
//! [`refusal`] why one is refused, and [`limits`] how much of anything there may be. Versions 2.3 to 2.8.2 are read.
//!
//! # Invariants
//!
//! * No input makes a function here panic or recurse without bound. Memory is a small multiple of the message's size,
//!   and some twenty kilobytes for each of its segments ([`limits::SEGMENTS_MAX`]) while what it is in FHIR is written.
//! * Nothing of a message is lost unsaid: what has no place in FHIR here is listed by its path, and the message
//!   itself is attached as it came. Of a merge (A40) only numbers are read, and its caller keeps it.
//! * Errors, faults and paths name segments, fields and offsets, never what stands there.
//! * No clock, IO, randomness, environment, floats or hash maps: the crate is `no_std`.
//!
//! Not here: connections, TLS, and which messages were stored before ([`map::Record::original`] is by what they
//! are known); batches (`FHS`, `BHS`), which are refused; the XML encoding of v2.
#![no_std]

extern crate alloc;

pub mod acknowledge;
pub mod charset;
pub mod escape;
pub mod limits;
pub mod map;
pub mod message;
pub mod mllp;
pub mod refusal;
pub mod time;
