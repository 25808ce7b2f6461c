//! One validator's consensus: blocks, execution, state, mempool, and their wiring to the engine.
//!
//! The engine (Commonware's simplex and its companions) orders blocks, certifies and stores them;
//! `keepwell-ledger` decides what is in them; this crate ties the two. It changes seldom and compiles
//! slowly, which is why it is a crate of its own and hides the runtime's type behind
//! [`reader::Reader`] and [`admission::Admission`].
//!
//! Not here: custody, release and the interfaces for clients (`keepwell-node`).

pub mod abstention;
pub mod admission;
pub mod application;
pub mod block;
pub mod check;
pub mod core;
mod epochs;
pub mod import;
pub mod index;
pub mod mempool;
pub mod network;
pub mod pace;
mod patience;
pub mod protocol;
pub mod reader;
pub mod replay;
pub mod reshare;
pub mod sets;
pub mod speculation;
pub mod state;
pub mod sync;
pub mod wiring;
