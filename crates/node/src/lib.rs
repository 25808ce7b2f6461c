//! One validator: engine wiring, execution, storage, custody, release, peer and client API.
//!
//! ```text
//!  peers ── engine ── blocks, state, index          (`keepwell-engine`)
//!              ├─ reshare     this validator's part when validators change; the shares that it then serves with
//!              │
//!  clients ── api ─┬─ commands, receipts, proofs, logs, events
//!                  ├─ release     shares for committed accesses, on the node's own newest state
//!                  ├─ matching    blinded points of committed evaluations, likewise
//!                  └─ custody     sealed objects of the organisation, acknowledged when durable
//! ```
//!
//! Not here: consensus and execution (`keepwell-engine`), the rules (`keepwell-ledger`), and whatever
//! checks a node's answers (`keepwell-client`).

pub mod clock;
pub mod ports;
pub mod random;

pub mod config;
pub mod folder;
pub mod genesis;
pub mod keys;
pub mod tls;
pub mod token;

pub mod custody;

pub mod matching;
pub mod opened;
pub mod receipts;
pub mod release;
pub mod reshare;
pub mod shares;

pub mod api;
pub mod metrics;
pub mod run;
pub mod traces;
