//! The Merkle mountain range: how a tree that only grows is stored, and proven from its store.
//!
//! A range is the tree of [`crate::tree`] without the nodes that still change. Each leaf appends
//! itself and the parents that it completes, and no node is ever rewritten, so the nodes fit a flat
//! file, 32 bytes each, in the order of their positions:
//!
//! ```text
//! height 2         6                  leaves  0  1  2  3  4          count 5
//!                /   \
//! height 1     2      5               nodes   0  1 2  3  4 5 6  7    8 nodes, peaks 6 and 7
//!             / \    / \
//! height 0   0   1  3   4   7         root = H(0x01 ‖ node 6 ‖ node 7)
//! leaf       0   1  2   3   4
//! ```
//!
//! Position arithmetic, where ones(n) is the number of set bits of n:
//!
//! ```text
//! nodes of the first n leaves                    2n − ones(n)
//! position of leaf i                             2i − ones(i)
//! position of the root of the 2^h leaves         position of its last leaf, plus h:
//!   from k·2^h                                   2m − ones(m) + h, where m = (k + 1)·2^h − 1
//! ```
//!
//! # Invariants
//!
//! * The root over the peaks, joined from the right, *is* the root of RFC 9162 over the leaves. So a
//!   path in a range is a [`tree::InclusionPath`], and the range needs no verifier of its own.
//! * A node at a position never changes; a proof for any earlier count can be made at any time.
//!
//! Not here: the file. A node gives a [`NodeSource`].

use alloc::vec::Vec;

use keepwell_types::{DecodeError, encoding::List, id::Digest, limits::PATH_STEPS_MAX};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use thiserror::Error;

use crate::tree::{self, ConsistencyPath, Frontier, InclusionPath, LEAVES_MAX};

/// A path in a range: the same as in the tree that it stores.
pub type RangePath = InclusionPath;

/// Bytes of encoded [`Peaks`].
pub const PEAKS_BYTES_MAX: usize = 16 + PATH_STEPS_MAX * (Digest::LEN + 2);

/// Nodes of a range of `count` leaves; the position of the next leaf.
pub const fn nodes_len(count: u64) -> u64 {
    2 * count - count.count_ones() as u64
}

/// Position of the root of the `2^height` leaves from `place · 2^height`, counted from 0.
pub const fn position(height: u32, place: u64) -> u64 {
    let last_leaf = ((place + 1) << height) - 1;
    nodes_len(last_leaf) + height as u64
}

/// Where the nodes of a range are kept.
pub trait NodeSource {
    /// The node at `position`, if it can be read.
    fn node(&self, position: u64) -> Option<Digest>;
}

impl NodeSource for [Digest] {
    fn node(&self, position: u64) -> Option<Digest> {
        usize::try_from(position).ok().and_then(|at| self.get(at).copied())
    }
}

/// All nodes of the range over `leaves`, in the order of their positions.
pub fn nodes(leaves: &[Digest]) -> Vec<Digest> {
    let mut nodes = Vec::with_capacity(2 * leaves.len());
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push_noting(*leaf, |node| nodes.push(node)));
    nodes
}

/// The peaks of a range: all that is needed to append to it and to know its root.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Peaks(Frontier);

impl Peaks {
    /// The empty range.
    pub const fn new() -> Self {
        Self(Frontier::new())
    }

    /// How many leaves it has.
    pub const fn count(&self) -> u64 {
        self.0.len()
    }

    /// The peaks, the highest first: one for each set bit of the count.
    pub fn peaks(&self) -> &[Digest] {
        self.0.peaks()
    }

    /// Appends a leaf, given by its digest, and returns the nodes to store, in the order of their
    /// positions; the first has position [`nodes_len`] of the count before.
    #[must_use = "the nodes must be stored, or later proofs cannot be made"]
    pub fn push(&mut self, leaf: Digest) -> Vec<Digest> {
        let mut made = Vec::with_capacity(1 + self.count().trailing_ones() as usize);
        self.0.push_noting(leaf, |node| made.push(node));
        made
    }

    /// The root.
    pub fn root(&self) -> Digest {
        self.0.root()
    }

    /// The peaks with their positions: all nodes of the range that proofs of later leaves need.
    pub fn placed(&self) -> impl Iterator<Item = (u64, Digest)> {
        let count = self.count();
        let heights = (0..u64::BITS).rev().filter(move |height| count >> height & 1 == 1);
        // The leaves before a peak are those of higher peaks.
        let positions = heights.map(move |height| position(height, (count >> height) - 1));
        positions.zip(self.peaks().iter().copied())
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, PEAKS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }
}

impl<C> Encode<C> for Peaks {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.u64(self.count())?.array(self.peaks().len() as u64)?;
        self.peaks().iter().try_for_each(|peak| peak.encode(e, ctx))
    }
}

impl<'b, C> Decode<'b, C> for Peaks {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        if d.array()? != Some(2) {
            return Err(decode::Error::message("not the peaks of a range").at(at));
        }
        let count = d.u64()?;
        let peaks = List::<Digest, PATH_STEPS_MAX>::decode(d, ctx)?.into_vec();
        Frontier::from_peaks(count, peaks)
            .map(Self)
            .ok_or_else(|| decode::Error::message("wrong number of peaks").at(at))
    }
}

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ProveError {
    /// The range has no such leaf, or never had as many.
    #[error("the range has {count} leaves; there is nothing to prove about {asked}")]
    OutOfRange {
        /// The leaf, or the earlier count.
        asked: u64,
        /// Leaves of the range.
        count: u64,
    },
    /// The store lacks a node: it is damaged, or shorter than the range.
    #[error("node {position} of the range is missing; rebuild the range from the blocks")]
    Missing {
        /// Where.
        position: u64,
    },
}

/// Proves leaf `index` of the first `count` leaves of a range, which may have more by now.
pub fn prove(
    source: &(impl NodeSource + ?Sized),
    count: u64,
    index: u64,
) -> Result<RangePath, ProveError> {
    if index >= count || count > LEAVES_MAX {
        return Err(ProveError::OutOfRange { asked: index, count });
    }
    let siblings = (0..u64::BITS)
        .take_while(|height| (count - 1) >> height > 0)
        .map(|height| (height, index >> height ^ 1))
        .filter(|(height, sibling)| sibling << height < count);
    let steps = siblings
        .map(|(height, sibling)| {
            let from = sibling << height;
            digest_of(source, from, count.min(from + (1 << height)))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(InclusionPath { index, size: count, steps: bounded(steps) })
}

/// Proves that the first `after` leaves of a range begin with the first `before`.
pub fn prove_consistency(
    source: &(impl NodeSource + ?Sized),
    before: u64,
    after: u64,
) -> Result<ConsistencyPath, ProveError> {
    if before > after || after > LEAVES_MAX {
        return Err(ProveError::OutOfRange { asked: before, count: after });
    }
    let mut steps = Vec::new();
    if before > 0 {
        let (mut from, mut until) = (0, after);
        let mut later = Vec::new();
        // Down to the node over the earlier tree's last leaves that the later tree has as well
        // (RFC 9162, section 2.1.4.1); what was passed on the way is the rest of the proof.
        while before < until {
            let middle = from + (until - from).next_power_of_two() / 2;
            if before <= middle {
                later.push(digest_of(source, middle, until)?);
                until = middle;
            } else {
                later.push(digest_of(source, from, middle)?);
                from = middle;
            }
        }
        if from > 0 {
            steps.push(digest_of(source, from, until)?);
        }
        steps.extend(later.into_iter().rev());
    }
    Ok(ConsistencyPath { before, after, steps: bounded(steps) })
}

/// The root over the leaves in `from..until`, where `from` is a multiple of a power of two that is
/// not smaller than their number.
fn digest_of(
    source: &(impl NodeSource + ?Sized),
    from: u64,
    until: u64,
) -> Result<Digest, ProveError> {
    let mut at = from;
    let mut peaks = Vec::new();
    while at < until {
        let height = (until - at).ilog2();
        let position = position(height, at >> height);
        peaks.push(source.node(position).ok_or(ProveError::Missing { position })?);
        at += 1 << height;
    }
    Ok(tree::join(&peaks))
}

/// A path's steps as a list: a tree of at most 2^48 leaves has no longer path.
fn bounded<const MAX: usize>(steps: Vec<Digest>) -> List<Digest, MAX> {
    List::from_vec(steps).expect("a tree is not higher than its limit")
}
