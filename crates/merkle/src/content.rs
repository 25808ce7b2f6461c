//! The content of a sealed body, as it lies at a custodian: `Label::content`.
//!
//! ```text
//! body     header (40 bytes) ‖ chunk 0 ‖ chunk 1 ‖ ... ‖ chunk n − 1
//! chunk    2^log2 bytes of ciphertext ‖ tag (16 bytes); the last may be shorter
//! leaf 0   header ‖ chunk 0        leaf i   chunk i              leaf, root: `tree`
//! ```
//!
//! A leaf is what a reader decrypts in one step, so a flipped bit is laid at the door of the custodian
//! that served it before any key is used, and a stretch of a large body can be proven alone.
//!
//! # Invariants
//!
//! * Memory does not grow with the body or its chunks: 32 bytes for each full subtree.
//! * Who seals and who stores cut the body in the same places, however it arrives.
//!
//! Not here: what is in the header and the chunks (`keepwell-crypto`).

use alloc::vec::Vec;
use core::ops::Range;

use keepwell_crypto::{body, hash, seal};
use keepwell_types::id::Digest;

use crate::tree::{self, Frontier, InclusionPath};

/// Bytes before the first chunk.
pub const HEADER_BYTES: u64 = body::HEADER_BYTES as u64;
/// Bytes that sealing adds to each chunk.
pub const TAG_BYTES: u64 = seal::TAG_BYTES as u64;
/// Chunks are of 2^63 bytes at most, so that lengths fit.
const LOG2_MAX: u8 = 62;

/// Digests a body that arrives in pieces of any size.
#[derive(Clone, Debug)]
pub struct ContentHasher {
    cutter: Cutter,
    leaves: Frontier,
}

impl ContentHasher {
    /// For a body of chunks of `2^log2` bytes of ciphertext.
    ///
    /// # Panics
    ///
    /// If `log2` is over 62: no header says so.
    pub fn new(log2: u8) -> Self {
        Self { cutter: Cutter::new(log2), leaves: Frontier::new() }
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.cutter.update(bytes, |leaf| self.leaves.push(leaf));
    }

    /// Bytes so far.
    pub const fn len(&self) -> u64 {
        self.cutter.len
    }

    /// Whether nothing came yet.
    pub const fn is_empty(&self) -> bool {
        self.cutter.len == 0
    }

    /// The root over the leaves of the whole body.
    pub fn finish(mut self) -> Digest {
        self.cutter.finish(|leaf| self.leaves.push(leaf));
        self.leaves.root()
    }
}

/// Proves that one leaf is in a body that arrives in pieces of any size. Memory grows by 32 bytes for each
/// leaf: for the largest body, less than a MiB.
#[derive(Clone, Debug)]
pub struct ContentProver {
    cutter: Cutter,
    leaves: Vec<Digest>,
}

impl ContentProver {
    /// For a body of chunks of `2^log2` bytes of ciphertext.
    ///
    /// # Panics
    ///
    /// If `log2` is over 62: no header says so.
    pub fn new(log2: u8) -> Self {
        Self { cutter: Cutter::new(log2), leaves: Vec::new() }
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.cutter.update(bytes, |leaf| self.leaves.push(leaf));
    }

    /// The root over the leaves of the whole body, and the path of leaf `index` if there is such a leaf.
    pub fn finish(mut self, index: u64) -> (Digest, Option<InclusionPath>) {
        self.cutter.finish(|leaf| self.leaves.push(leaf));
        (tree::root(&self.leaves), tree::prove(&self.leaves, index))
    }
}

/// How many leaves a body of this layout has: one for each chunk.
pub fn leaves(layout: &body::Layout) -> u64 {
    u64::from(layout.chunks())
}

/// Where leaf `index` lies in a body of this layout.
pub fn leaf_range(layout: &body::Layout, index: u64) -> Option<Range<u64>> {
    let chunk = layout.sealed_range(u32::try_from(index).ok()?)?;
    Some(if index == 0 { 0..chunk.end } else { chunk })
}

/// Cuts a body into leaves, and digests each.
#[derive(Clone, Debug)]
struct Cutter {
    chunk: u64,
    leaf: hash::Stream,
    /// Bytes that the current leaf still takes.
    room: u64,
    /// Whether the current leaf has any.
    begun: bool,
    len: u64,
}

impl Cutter {
    fn new(log2: u8) -> Self {
        assert!(log2 <= LOG2_MAX, "a chunk's length fits 64 bits");
        let chunk = (1 << log2) + TAG_BYTES;
        Self { chunk, leaf: new_leaf(), room: HEADER_BYTES + chunk, begun: false, len: 0 }
    }

    fn update(&mut self, mut bytes: &[u8], mut push: impl FnMut(Digest)) {
        while !bytes.is_empty() {
            let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(fits);
            self.leaf.update(now);
            self.begun = true;
            self.len += fits as u64;
            self.room -= fits as u64;
            if self.room == 0 {
                push(self.end_leaf());
            }
            bytes = later;
        }
    }

    fn finish(&mut self, mut push: impl FnMut(Digest)) {
        if self.begun {
            push(self.end_leaf());
        }
    }

    fn end_leaf(&mut self) -> Digest {
        let leaf = core::mem::replace(&mut self.leaf, new_leaf());
        self.room = self.chunk;
        self.begun = false;
        leaf.finish()
    }
}

/// The prefix that sets leaves apart from nodes (RFC 9162, section 2.1.1).
fn new_leaf() -> hash::Stream {
    let mut leaf = hash::Stream::new();
    leaf.update(&[0x00]);
    leaf
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::tree;

    fn leaves_of(body: &[u8], log2: u8) -> Vec<Digest> {
        let chunk = (1 << log2) + 16;
        let first = body.len().min(40 + chunk);
        let mut leaves = Vec::new();
        if !body.is_empty() {
            leaves.push(tree::leaf_digest(&body[..first]));
        }
        leaves.extend(body[first..].chunks(chunk).map(tree::leaf_digest));
        leaves
    }

    #[test]
    fn pieces_do_not_matter() {
        let body: Vec<u8> = (0..1_000_u32).map(|at| (at * 7) as u8).collect();
        for len in [0, 1, 40, 41, 71, 72, 73, 88, 89, 104, 105, 999, 1_000] {
            let expected = tree::root(&leaves_of(&body[..len], 4));
            for piece in [1, 3, 32, 72, 1_000] {
                let mut hasher = ContentHasher::new(4);
                body[..len].chunks(piece).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.len(), len as u64);
                assert_eq!(hasher.finish(), expected, "{len} bytes in pieces of {piece}");
            }
        }
    }

    #[test]
    fn every_leaf_of_a_body_is_proven_by_its_bytes() {
        for content in [0_u64, 10, 65_000, 200_000, 9_000_000] {
            let layout = body::Layout::of_content(content).unwrap();
            let body: Vec<u8> = (0..layout.sealed_bytes()).map(|at| (at * 7) as u8).collect();
            let mut hasher = ContentHasher::new(layout.chunk_log2());
            hasher.update(&body);
            let root = hasher.finish();
            let size = leaves(&layout);
            for index in [0, size / 2, size - 1] {
                let mut prover = ContentProver::new(layout.chunk_log2());
                body.chunks(100_003).for_each(|piece| prover.update(piece));
                let (proven, path) = prover.finish(index);
                let range = leaf_range(&layout, index).unwrap();
                let leaf = &body[range.start as usize..range.end as usize];
                assert_eq!(proven, root);
                path.unwrap().verify(&root, size, index, &tree::leaf_digest(leaf)).unwrap();
            }
            assert_eq!(leaf_range(&layout, size), None);
        }
    }

    #[test]
    fn order_and_length_of_chunks_matter() {
        let root = |body: &[u8]| {
            let mut hasher = ContentHasher::new(4);
            hasher.update(body);
            hasher.finish()
        };
        let mut body: Vec<u8> = (0..200_u8).collect();
        let whole = root(&body);
        assert_ne!(root(&body[..199]), whole);
        body[72..136].rotate_left(32);
        assert_ne!(root(&body), whole);
    }
}
