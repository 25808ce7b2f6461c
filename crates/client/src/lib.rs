//! The wallet and the verifier: builds commands, opens records, checks every answer.
//!
//! Everything here acts for a person or a device that trusts no node. A node is asked, and what it
//! answers is checked against the genesis file before anyone sees it:
//!
//! ```text
//!             identity                        who asks, and with which keys
//!                |
//!  author  open  grant  chart  audit  anchor  what is asked
//!  record  request  signoff  case  credential
//!  challenge  guardian  proxy  emergency  explain  report  copy
//!  matching  link  letter  key_letter  member  governance
//!                |
//!             client ---- verify              asks nodes; checks answers
//!                |
//!              node  ~~~~~~~~~~~~~~~~~~~~~~~~ HTTP
//! ```
//!
//! [`trustee`] is the other side of [`emergency`]: it too trusts no node, and asks none.
//!
//! # Invariants
//!
//! * Nothing that a node says is returned unless it was proven: a receipt by its certificate, a value
//!   of the state by its proof, a log by its head, a body by its key. What cannot be proven is an error
//!   that names the node.
//! * Secrets stay in the types of [`identity`], which erase them, and are written encrypted or not at
//!   all. No error and no `Debug` shows one.
//! * Memory does not grow with the size of a record.
//! * What is only computed is in pure functions of bytes ([`verify`], and the parts of the other modules
//!   that need no network); the clock and the system's randomness enter in [`client`] alone.
//!
//! Not here: rules (`keepwell-ledger` has them, validators apply them), printing, and asking a person
//! for anything.

pub mod error;

pub mod consortium;
pub mod verify;

pub mod node;
pub mod tls;

pub mod client;
mod custody;
pub mod identity;
pub mod masters;
mod sealed;

pub mod author;
pub mod case;
pub mod challenge;
pub mod chart;
pub mod copy;
pub mod credential;
pub mod delegate;
pub mod emergency;
pub mod governance;
pub mod grant;
pub mod guardian;
pub mod key_letter;
pub mod lender;
pub mod letter;
pub mod link;
pub mod matching;
pub mod member;
pub mod open;
pub mod proxy;
pub mod record;
pub mod request;
pub mod signoff;

pub mod anchor;
pub mod audit;
pub mod explain;
pub mod report;

pub mod trustee;

#[cfg(test)]
mod testing;

pub use client::Client;
pub use consortium::Consortium;
pub use error::ClientError;
