//! Merkle trees of RFC 9162, section 2.1, over SHA-256.
//!
//! ```text
//! leaf = SHA-256(0x00 ‖ data)                    root of n leaves: split at the largest power of two
//! node = SHA-256(0x01 ‖ left ‖ right)            below n, the left part is full; of none: SHA-256()
//!
//!            root
//!           /    \
//!         ab      cde       a path for d of 5:  c's sibling first, then upwards
//!        /  \    /   \      steps = [c, e, ab]
//!       a    b  cd    e
//!              /  \
//!             c    d
//! ```
//!
//! # Invariants
//!
//! * Leaves and nodes are hashed apart, so a node never passes for a leaf.
//! * A tree has at most 2^48 leaves; each function asserts or refuses more.
//! * Whoever verifies brings index and size. The tree of 3 and the tree of 4 leaves have paths of the
//!   same shape: without the size, a leaf could be shown in two places.
//!
//! Not here: where nodes are kept ([`crate::range`]); what is in the leaves ([`crate::block`],
//! [`crate::anchor`]).

use alloc::vec::Vec;

use keepwell_crypto::hash;
use keepwell_types::{encoding::List, id::Digest, limits::PATH_STEPS_MAX};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::range;

/// Leaves of one tree.
pub const LEAVES_MAX: u64 = 1 << PATH_STEPS_MAX;

/// Root of the tree without leaves: SHA-256 of no bytes.
pub const EMPTY: Digest = Digest([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The digest of a leaf that holds `data`.
pub fn leaf_digest(data: &[u8]) -> Digest {
    hash::sha256(&[&[0x00], data])
}

/// The digest of the node over `left` and `right`.
pub fn node_digest(left: &Digest, right: &Digest) -> Digest {
    hash::sha256(&[&[0x01], &left.0, &right.0])
}

/// The root over `leaves`, given by their digests.
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// Proves that `leaves[index]` is in the tree of all `leaves`; nothing if there is no such leaf.
///
/// Hashes the whole tree. To prove many leaves of one tree, keep its nodes: [`range::nodes`].
pub fn prove(leaves: &[Digest], index: u64) -> Option<InclusionPath> {
    range::prove(range::nodes(leaves).as_slice(), leaves.len() as u64, index).ok()
}

/// Proves that the tree of all `leaves` extends the tree of the first `before` of them; nothing if
/// there are not as many.
pub fn prove_consistency(leaves: &[Digest], before: u64) -> Option<ConsistencyPath> {
    let nodes = range::nodes(leaves);
    range::prove_consistency(nodes.as_slice(), before, leaves.len() as u64).ok()
}

/// The right edge of a growing tree: all that is needed to append to it and to know its root.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    len: u64,
    /// Roots of the full subtrees, the largest first: one for each bit of `len`.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { len: 0, peaks: Vec::new() }
    }

    /// The edge of a tree of `len` leaves, if `peaks` has a root for each of its full subtrees.
    pub(crate) fn from_peaks(len: u64, peaks: Vec<Digest>) -> Option<Self> {
        (len <= LEAVES_MAX && peaks.len() == len.count_ones() as usize)
            .then_some(Self { len, peaks })
    }

    /// How many leaves it has.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Roots of its full subtrees, the largest first.
    pub(crate) fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// Appends a leaf, given by its digest.
    pub fn push(&mut self, leaf: Digest) {
        self.push_noting(leaf, |_| ());
    }

    /// Appends a leaf and hands each node that comes with it to `made`, from the leaf upwards.
    pub(crate) fn push_noting(&mut self, leaf: Digest, mut made: impl FnMut(Digest)) {
        assert!(self.len < LEAVES_MAX, "a tree has at most {LEAVES_MAX} leaves");
        // Each full subtree that the leaf completes merges with the one to its left, as in adding
        // one to a binary number.
        let merges = self.len.trailing_ones() as usize;
        let lefts = self.peaks.split_off(self.peaks.len() - merges);
        let mut node = leaf;
        made(node);
        for left in lefts.iter().rev() {
            node = node_digest(left, &node);
            made(node);
        }
        self.peaks.push(node);
        self.len += 1;
    }

    /// Its root.
    pub fn root(&self) -> Digest {
        join(&self.peaks)
    }
}

/// The root over full subtrees that stand side by side, the largest first.
pub(crate) fn join(peaks: &[Digest]) -> Digest {
    match peaks.split_last() {
        None => EMPTY,
        Some((last, rest)) => {
            rest.iter().rev().fold(*last, |right, left| node_digest(left, &right))
        }
    }
}

/// Proof that a leaf stands in a tree (RFC 9162, section 2.1.3).
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct InclusionPath {
    /// Which leaf, counted from 0.
    #[n(0)]
    pub index: u64,
    /// Leaves of the tree.
    #[n(1)]
    pub size: u64,
    /// The sibling at each level that has one, from the leaf upwards.
    #[n(2)]
    pub steps: List<Digest, PATH_STEPS_MAX>,
}

/// Why a path proves nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PathError {
    /// It is for another leaf, or for a tree of another size.
    #[error("the path is for leaf {given_index} of {given_size}, not for leaf {index} of {size}")]
    Place {
        /// The path's.
        given_index: u64,
        /// The path's.
        given_size: u64,
        /// The one to prove.
        index: u64,
        /// The tree's.
        size: u64,
    },
    /// No tree has such a leaf.
    #[error("there is no leaf {index} in a tree of {size}, or the tree is too large")]
    NoSuchLeaf {
        /// The leaf.
        index: u64,
        /// The tree.
        size: u64,
    },
    /// A tree of `before` leaves does not grow into one of `after`, or the latter is too large.
    #[error("a tree of {before} leaves cannot grow into one of {after}")]
    NoSuchGrowth {
        /// Earlier.
        before: u64,
        /// Later.
        after: u64,
    },
    /// Cut off or extended.
    #[error("the path has {given} steps and needs {needed}")]
    Steps {
        /// The path's.
        given: usize,
        /// What such a path has.
        needed: usize,
    },
    /// The leaf, the root or a step is another one.
    #[error("the path does not lead to the root")]
    Root,
}

impl InclusionPath {
    /// Checks that `leaf` is leaf `index` of the tree of `size` leaves that has this `root`.
    ///
    /// `size` and `index` must come from what is already proven, never from the path itself.
    pub fn verify(
        &self,
        root: &Digest,
        size: u64,
        index: u64,
        leaf: &Digest,
    ) -> Result<(), PathError> {
        if (self.index, self.size) != (index, size) {
            let (given_index, given_size) = (self.index, self.size);
            return Err(PathError::Place { given_index, given_size, index, size });
        }
        if index >= size || size > LEAVES_MAX {
            return Err(PathError::NoSuchLeaf { index, size });
        }
        let needed = steps_of(index, size);
        if self.steps.len() != needed {
            return Err(PathError::Steps { given: self.steps.len(), needed });
        }
        if climb(index, size, *leaf, &self.steps) != *root {
            return Err(PathError::Root);
        }
        Ok(())
    }
}

/// How many steps the path of leaf `index` of `size` has.
fn steps_of(index: u64, size: u64) -> usize {
    levels(index, size).filter(|(at, last)| has_sibling(*at, *last)).count()
}

/// The root that `steps` lead to from `leaf`.
fn climb(index: u64, size: u64, leaf: Digest, steps: &[Digest]) -> Digest {
    let siblings = levels(index, size).filter(|(at, last)| has_sibling(*at, *last));
    siblings.zip(steps).fold(leaf, |node, ((at, _), step)| {
        if at % 2 == 1 { node_digest(step, &node) } else { node_digest(&node, step) }
    })
}

/// Below the root, from the leaves upwards: the place of the node over leaf `index` in its level, and
/// the place of the last node of that level.
fn levels(index: u64, size: u64) -> impl Iterator<Item = (u64, u64)> + Clone {
    core::iter::successors(Some((index, size - 1)), |(at, last)| Some((at / 2, last / 2)))
        .take_while(|(_, last)| *last > 0)
}

/// A node without a sibling, the last of a level of odd length, rises to the next level unchanged.
const fn has_sibling(at: u64, last: u64) -> bool {
    at % 2 == 1 || at < last
}

/// Steps of a [`ConsistencyPath`]: one more than those of an inclusion path.
pub const CONSISTENCY_STEPS_MAX: usize = PATH_STEPS_MAX + 1;

/// Proof that a tree only grew since it was smaller (RFC 9162, section 2.1.4).
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ConsistencyPath {
    /// Leaves earlier.
    #[n(0)]
    pub before: u64,
    /// Leaves later.
    #[n(1)]
    pub after: u64,
    /// Nodes, from the edge of the earlier tree upwards.
    #[n(2)]
    pub steps: List<Digest, CONSISTENCY_STEPS_MAX>,
}

impl ConsistencyPath {
    /// Checks that the tree of `after` leaves with root `after_root` begins with the tree of `before`
    /// leaves with root `before_root` (RFC 9162, section 2.1.4.2; equal and empty trees, which it
    /// leaves out, need no steps).
    pub fn verify(&self, before: (u64, &Digest), after: (u64, &Digest)) -> Result<(), PathError> {
        let ((before, before_root), (after, after_root)) = (before, after);
        if (self.before, self.after) != (before, after) || before > after || after > LEAVES_MAX {
            return Err(PathError::NoSuchGrowth { before, after });
        }
        if 0 < before && before < after {
            return self.verify_growth(before_root, after_root);
        }
        self.expect_steps(0)?;
        let starts = before > 0 || *before_root == EMPTY;
        let ends = before < after || before_root == after_root;
        if starts && ends { Ok(()) } else { Err(PathError::Root) }
    }

    /// `verify`, for 0 < before < after.
    fn verify_growth(&self, before_root: &Digest, after_root: &Digest) -> Result<(), PathError> {
        // Start at the last full subtree of the earlier tree. If that is the whole earlier tree, it is
        // known by its root and not repeated in the steps.
        let whole = self.before.is_power_of_two();
        let height = (self.before - 1).trailing_ones();
        let (at, last) = ((self.before - 1) >> height, (self.after - 1) >> height);
        let siblings = levels(at, last + 1).filter(|(at, last)| has_sibling(*at, *last));

        self.expect_steps(siblings.clone().count() + usize::from(!whole))?;
        let (start, steps) = match self.steps.split_first() {
            Some((first, rest)) if !whole => (first, rest),
            Some(_) | None => (before_root, &*self.steps),
        };
        // Nodes to the left belong to both trees, nodes to the right to the later one only.
        let roots =
            siblings.zip(steps).fold((*start, *start), |(earlier, later), ((at, _), step)| {
                if at % 2 == 1 {
                    (node_digest(step, &earlier), node_digest(step, &later))
                } else {
                    (earlier, node_digest(&later, step))
                }
            });
        if roots == (*before_root, *after_root) { Ok(()) } else { Err(PathError::Root) }
    }

    fn expect_steps(&self, needed: usize) -> Result<(), PathError> {
        let given = self.steps.len();
        if given == needed { Ok(()) } else { Err(PathError::Steps { given, needed }) }
    }
}
