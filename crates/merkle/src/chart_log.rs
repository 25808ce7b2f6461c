//! The log of a chart: a hash chain over every outcome that touched it, refused ones included.
//!
//! ```text
//! head(0)     = 32 zero bytes
//! head(n + 1) = H("keepwell/merkle/chart-log/v1", head(n), n, leaf(outcome n))     n: u64, little endian
//! ```
//!
//! The state holds the head and the length of each chart's log. Whoever has the outcomes from some
//! position on, and the head before it, computes the same head, or lacks one, or has one too many.
//!
//! Beside it runs a second chain, of what nodes keep of each outcome to find it again: its line. A node that begins from
//! the state of others checks their lines by it.
//!
//! ```text
//! lines(0)     = 32 zero bytes
//! lines(n + 1) = H("keepwell/merkle/chart-lines/v1", lines(n), n, line n, encoded)
//! ```
//!
//! Not here: that one outcome was decided (its receipt shows that, [`crate::receipt`]); that a head is
//! the one in the state (a proof of the state's database does). Why a chain and not a tree:
//! `docs/decisions/0003-chart-log-is-a-hash-chain.md`.

use keepwell_crypto::hash;
use keepwell_types::{
    id::{Digest, LogPosition},
    outcome::Outcome,
};

use crate::block;

/// Separates heads from every other digest.
const DOMAIN: &str = "keepwell/merkle/chart-log/v1";

/// Separates heads of lines from every other digest.
const LINES_DOMAIN: &str = "keepwell/merkle/chart-lines/v1";

/// Head of a chain to which nothing is appended yet.
pub const EMPTY: Digest = Digest([0; 32]);

/// The head after `outcome` is appended at `position` to the log whose head is `head`.
pub fn extend(head: Digest, position: LogPosition, outcome: &Outcome) -> Digest {
    let leaf = block::outcome_leaf(outcome);
    hash::digest(DOMAIN, &[&head.0, &position.0.to_le_bytes(), &leaf.0])
}

/// The head after all of `outcomes` are appended, the first of them at position `from`; nothing if they
/// would stand beyond the last position there is.
pub fn extend_all<'a>(
    head: Digest,
    from: LogPosition,
    outcomes: impl IntoIterator<Item = &'a Outcome>,
) -> Option<Digest> {
    let mut positions = (from.0..=u64::MAX).map(LogPosition);
    outcomes
        .into_iter()
        .try_fold(head, |head, outcome| Some(extend(head, positions.next()?, outcome)))
}

/// The head after `line` is appended at `position` to the chain of lines whose head is `head`.
pub fn extend_lines(head: Digest, position: LogPosition, line: &[u8]) -> Digest {
    hash::digest(LINES_DOMAIN, &[&head.0, &position.0.to_le_bytes(), line])
}
