//! One organisation's FHIR interface, beside the systems that it has.
//!
//! ```text
//! server    connections, who is asking (auth, smart), what for (keepwell_fhir::interaction)
//! feed      connections, HL7 v2 messages (keepwell_hl7v2)
//!   |
//! Gateway   read, search, history -> index -> an access, in the name of whoever asks -> answer
//!           create, update        -> sealed, at custodians, committed -> index -> answer
//!   ^
//! follow    the ledger's charts -> opened -> index
//! ```
//!
//! # Invariants
//!
//! * What is kept here is derived from the ledger and the custodians, and sealed under the organisation's key.
//! * Nobody is shown a resource before an access to it, in their name and for their purpose, is committed and allowed. What
//!   the ledger refuses does not exist for them.
//! * What is acknowledged as written is final and durable.
//!
//! Not here: rules of the ledger (`keepwell-ledger`), sealing and opening (`keepwell-client`), what FHIR says of
//! resources and searches (`keepwell-fhir`), and what messages mean (`keepwell-hl7v2`).

mod access;
mod alone;
pub mod answer;
pub mod auth;
mod authoring;
mod binary;
pub mod capability;
mod ccda;
mod content;
pub mod dicom;
pub mod everything;
pub mod export;
mod facts;
pub mod feed;
mod follow;
mod gateway;
pub mod index;
mod read;
mod search;
pub mod server;
mod sight;
pub mod smart;
mod structure;
pub mod subscribe;
pub mod summary;
mod terms;
pub mod transaction;
mod validate;
mod write;

pub use answer::without_ids;
pub use follow::{FollowError, Followed};
pub use gateway::{Asker, Gateway, NewCharts, Settings};
pub use sight::Sight;
