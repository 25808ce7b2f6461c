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

use keepwell_crypto::{body, hash, seal};
use keepwell_types::id::Digest;

use crate::tree::Frontier;

/// Bytes before the first chunk.
pub const HEADER_BYTES: u64 = body::HEADER_BYTES as u64;
/// Bytes that sealing adds to each chunk.
pub const TAG_BYTES: u64 = seal::TAG_BYTES as u64;
/// Chunks are of 2^63 bytes at most, so that lengths fit.
const LOG2_MAX: u8 = 62;

/// Digests a body that arrives in pieces of any size.
#[derive(Clone, Debug)]
pub struct ContentHasher {
    chunk: u64,
    leaves: Frontier,
    leaf: hash::Stream,
    /// Bytes that the current leaf still takes.
    room: u64,
    /// Whether the current leaf has any.
    begun: bool,
    len: u64,
}

impl ContentHasher {
    /// For a body of chunks of `2^log2` bytes of ciphertext.
    ///
    /// # Panics
    ///
    /// If `log2` is over 62: no header says so.
    pub fn new(log2: u8) -> Self {
        assert!(log2 <= LOG2_MAX, "a chunk's length fits 64 bits");
        let chunk = (1 << log2) + TAG_BYTES;
        Self {
            chunk,
            leaves: Frontier::new(),
            leaf: new_leaf(),
            room: HEADER_BYTES + chunk,
            begun: false,
            len: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let fits = usize::try_from(self.room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(fits);
            self.leaf.update(now);
            self.begun = true;
            self.len += fits as u64;
            self.room -= fits as u64;
            if self.room == 0 {
                self.end_leaf();
            }
            bytes = later;
        }
    }

    /// Bytes so far.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing came yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The root over the leaves of the whole body.
    pub fn finish(mut self) -> Digest {
        if self.begun {
            self.end_leaf();
        }
        self.leaves.root()
    }

    fn end_leaf(&mut self) {
        let leaf = core::mem::replace(&mut self.leaf, new_leaf());
        self.leaves.push(leaf.finish());
        self.room = self.chunk;
        self.begun = false;
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
