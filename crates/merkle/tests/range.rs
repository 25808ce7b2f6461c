//! Ranges: positions, growth node by node, proofs from the store for every earlier count, lost nodes.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;

use keepwell_merkle::{
    range::{self, NodeSource, PEAKS_BYTES_MAX, Peaks, ProveError},
    tree::{self, LEAVES_MAX, PathError, leaf_digest},
};
use keepwell_types::{DecodeError, id::Digest};
use proptest::prelude::*;

fn some_leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|at| leaf_digest(&at.to_le_bytes())).collect()
}

#[test]
fn positions_are_those_of_the_picture() {
    let expected = [((0, 0), 0), ((0, 1), 1), ((1, 0), 2), ((0, 2), 3), ((0, 3), 4)];
    let more = [((1, 1), 5), ((2, 0), 6), ((0, 4), 7), ((0, 5), 8), ((1, 2), 9)];
    for ((height, place), position) in expected.into_iter().chain(more) {
        assert_eq!(range::position(height, place), position, "{height} {place}");
    }
    let lens: Vec<_> = (0..=8).map(range::nodes_len).collect();
    assert_eq!(lens, [0, 1, 3, 4, 7, 8, 10, 11, 15]);
    assert_eq!(range::nodes_len(LEAVES_MAX), 2 * LEAVES_MAX - 1);
    assert_eq!(range::position(48, 0), 2 * LEAVES_MAX - 2);
}

#[test]
fn a_range_is_stored_by_appending_and_its_root_is_the_trees() {
    let leaves = some_leaves(100);
    let (mut peaks, mut file) = (Peaks::new(), Vec::new());
    for (count, leaf) in (0..).zip(&leaves) {
        assert_eq!(peaks.count(), count);
        assert_eq!(file.len() as u64, range::nodes_len(count));
        assert_eq!(peaks.root(), tree::root(&leaves[..count as usize]));
        file.extend(peaks.push(*leaf));
    }
    assert_eq!(file, range::nodes(&leaves));
    for (place, leaf) in (0..).zip(&leaves) {
        assert_eq!(file[range::position(0, place) as usize], *leaf);
    }
}

/// Who begins at some count with its peaks alone proves all that comes after.
#[test]
fn peaks_in_their_places_are_enough_for_later_leaves() {
    struct Sparse(std::collections::BTreeMap<u64, Digest>);

    impl NodeSource for Sparse {
        fn node(&self, position: u64) -> Option<Digest> {
            self.0.get(&position).copied()
        }
    }

    let leaves = some_leaves(70);
    for begun in 0..=40 {
        let mut peaks = Peaks::new();
        leaves[..begun as usize].iter().for_each(|leaf| drop(peaks.push(*leaf)));
        let mut store = Sparse(peaks.placed().collect());
        for leaf in &leaves[begun as usize..] {
            let first = range::nodes_len(peaks.count());
            store.0.extend((first..).zip(peaks.push(*leaf)));
        }
        for count in begun + 1..=70 {
            let root = tree::root(&leaves[..count as usize]);
            for index in begun..count {
                let path = range::prove(&store, count, index).unwrap();
                let leaf = &leaves[index as usize];
                assert_eq!(path.verify(&root, count, index, leaf), Ok(()), "{index} of {count}");
            }
        }
    }
}

#[test]
fn the_store_proves_each_leaf_of_each_earlier_count() {
    let leaves = some_leaves(70);
    let nodes = range::nodes(&leaves);
    for count in 1..=70 {
        let earlier = &leaves[..count as usize];
        let root = tree::root(earlier);
        for (index, leaf) in (0..).zip(earlier) {
            let path = range::prove(nodes.as_slice(), count, index).unwrap();
            assert_eq!(path.verify(&root, count, index, leaf), Ok(()), "{index} of {count}");
            assert_eq!(Some(path), tree::prove(earlier, index));
        }
        for before in 0..=count {
            let path = range::prove_consistency(nodes.as_slice(), before, count).unwrap();
            let before_root = tree::root(&leaves[..before as usize]);
            assert_eq!(path.verify((before, &before_root), (count, &root)), Ok(()));
        }
    }
}

#[test]
fn a_node_is_not_a_leaf() {
    let leaves = some_leaves(8);
    let nodes = range::nodes(&leaves);
    let (root, inner) = (tree::root(&leaves), nodes[range::position(1, 0) as usize]);
    let mut path = range::prove(nodes.as_slice(), 8, 0).unwrap();
    path.steps = path.steps[1..].to_vec().try_into().unwrap();
    assert_eq!(path.verify(&root, 8, 0, &inner), Err(PathError::Steps { given: 2, needed: 3 }));
    // The tree over the nodes has the same root; who knows the size is not deceived.
    path.size = 4;
    assert_eq!(
        path.verify(&root, 8, 0, &inner),
        Err(PathError::Place { given_index: 0, given_size: 4, index: 0, size: 8 })
    );
}

#[test]
fn what_is_not_in_the_range_is_not_proven() {
    let nodes = range::nodes(&some_leaves(5));
    let nodes = nodes.as_slice();
    let out_of_range = |asked, count| Err(ProveError::OutOfRange { asked, count });
    assert_eq!(range::prove(nodes, 5, 5), out_of_range(5, 5));
    assert_eq!(range::prove(nodes, 0, 0), out_of_range(0, 0));
    assert_eq!(range::prove(nodes, u64::MAX, 0), out_of_range(0, u64::MAX));
    assert_eq!(range::prove(nodes, 6, 4), Err(ProveError::Missing { position: 8 }));
    let shrinks = range::prove_consistency(nodes, 6, 5);
    assert_eq!(shrinks, Err(ProveError::OutOfRange { asked: 6, count: 5 }));
}

/// A store that notes which nodes were read, and lacks one.
struct Lossy {
    nodes: Vec<Digest>,
    lost: Option<u64>,
    read: RefCell<Vec<u64>>,
}

impl NodeSource for Lossy {
    fn node(&self, position: u64) -> Option<Digest> {
        self.read.borrow_mut().push(position);
        (Some(position) != self.lost).then(|| self.nodes[position as usize])
    }
}

#[test]
fn each_lost_node_that_a_proof_needs_is_named() {
    let mut store =
        Lossy { nodes: range::nodes(&some_leaves(45)), lost: None, read: RefCell::default() };
    for index in 0..45 {
        store.lost = None;
        range::prove(&store, 45, index).unwrap();
        for position in store.read.take() {
            store.lost = Some(position);
            assert_eq!(range::prove(&store, 45, index), Err(ProveError::Missing { position }));
            store.read.take();
        }
    }
}

#[test]
fn a_proof_reads_few_nodes_of_a_long_range() {
    /// A range of 2^40 leaves, each of whose nodes has its position for a digest.
    struct Endless(RefCell<u32>);
    impl NodeSource for Endless {
        fn node(&self, position: u64) -> Option<Digest> {
            *self.0.borrow_mut() += 1;
            Some(leaf_digest(&position.to_le_bytes()))
        }
    }
    let store = Endless(RefCell::default());
    let path = range::prove(&store, (1 << 40) - 1, 12_345).unwrap();
    assert_eq!(path.steps.len(), 40);
    assert_eq!(store.0.take(), 39 + 39, "siblings, and the peaks to the right");
}

#[test]
fn peaks_survive_their_encoding() {
    let mut peaks = Peaks::new();
    for leaf in some_leaves(300) {
        assert_eq!(Peaks::decode(&peaks.encode()), Ok(peaks.clone()));
        drop(peaks.push(leaf));
    }
}

#[test]
fn peaks_that_do_not_fit_their_count_are_refused() {
    let digest = |byte: u8| [&[0x58, 0x20][..], &[byte; 32]].concat();
    let encoded = |count: &[u8], peaks: &[u8]| {
        let many = [0x80 | peaks.len() as u8];
        let digests: Vec<_> = peaks.iter().flat_map(|peak| digest(*peak)).collect();
        [&[0x82], count, &many, &digests[..]].concat()
    };
    let beyond = [0x1b, 0, 1, 0, 0, 0, 0, 0, 1];
    assert!(Peaks::decode(&encoded(&[3], &[1, 2])).is_ok());
    for (name, bytes) in [
        ("too few peaks", encoded(&[3], &[1])),
        ("too many peaks", encoded(&[4], &[1, 2])),
        ("peaks of nothing", encoded(&[0], &[1])),
        ("more leaves than a tree has", encoded(&beyond, &[1, 2])),
        ("three items", [&[0x83, 0, 0x80][..], &[0]].concat()),
        ("one item", vec![0x81, 0]),
        ("cut off", encoded(&[1], &[1])[..20].to_vec()),
    ] {
        assert!(matches!(Peaks::decode(&bytes), Err(DecodeError::Malformed { .. })), "{name}");
    }
    assert_eq!(Peaks::decode(&encoded(&[0x18, 3], &[1, 2])), Err(DecodeError::NotCanonical));
    let extra = [encoded(&[1], &[1]), vec![0]].concat();
    assert_eq!(Peaks::decode(&extra), Err(DecodeError::Trailing { extra: 1 }));
    let largest = encoded(&[0x1b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[]);
    let (with_its_peaks, max) = (largest.len() + 1 + 48 * 34, PEAKS_BYTES_MAX);
    assert!(with_its_peaks <= max, "{with_its_peaks} bytes");
}

proptest! {
    #[test]
    fn any_bytes_are_peaks_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(peaks) = Peaks::decode(&bytes) {
            prop_assert_eq!(peaks.encode(), bytes);
        }
    }
}
