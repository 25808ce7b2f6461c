//! Trees: known roots and paths, then every leaf and every growth of every small tree, then damage.
#![allow(clippy::unwrap_used, missing_docs)]

use keepwell_merkle::tree::{
    self, ConsistencyPath, EMPTY, Frontier, InclusionPath, LEAVES_MAX, PathError, leaf_digest,
    node_digest,
};
use keepwell_types::{encoding::List, id::Digest};
use proptest::prelude::*;

/// The leaves that the implementations of Certificate Transparency test with.
const CT_LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots that they find, for the first 1, 2, ... of these leaves.
const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_leaves(count: usize) -> Vec<Digest> {
    CT_LEAVES[..count].iter().map(|it| leaf_digest(&hex::decode(it).unwrap())).collect()
}

fn some_leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|at| leaf_digest(&at.to_le_bytes())).collect()
}

/// The root as RFC 9162, section 2.1.1, defines it.
fn defined_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => EMPTY,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_digest(&defined_root(left), &defined_root(right))
        }
    }
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    assert_eq!(tree::root(&[]), EMPTY);
    for (count, known) in (1..).zip(CT_ROOTS) {
        assert_eq!(tree::root(&ct_leaves(count)).to_string(), known, "{count} leaves");
    }
}

/// `index size: first bytes of each step`, as the implementations of Certificate Transparency find.
#[test]
fn paths_are_those_of_certificate_transparency() {
    let known = "
        0 1:
        0 8: 96a296d2 5f083f0a 6b47aaf2
        5 8: bc1a0643 ca854ea1 d37ee418
        2 3: fac54203
        1 5: 6e340b9c 5f083f0a bc1a0643
    ";
    for line in known.trim().lines() {
        let (place, steps) = line.split_once(':').unwrap();
        let (index, size) = place.trim().split_once(' ').unwrap();
        let path = tree::prove(&ct_leaves(size.parse().unwrap()), index.parse().unwrap()).unwrap();
        assert_eq!(first_bytes(&path.steps), steps.trim(), "{line}");
    }
}

/// `before after: first bytes of each step`.
#[test]
fn growth_is_that_of_certificate_transparency() {
    let known = "
        1 1:
        1 8: 96a296d2 5f083f0a 6b47aaf2
        6 8: 0ebc5d34 ca854ea1 d37ee418
        2 5: 5f083f0a bc1a0643
    ";
    for line in known.trim().lines() {
        let (sizes, steps) = line.split_once(':').unwrap();
        let (before, after) = sizes.trim().split_once(' ').unwrap();
        let leaves = ct_leaves(after.parse().unwrap());
        let path = tree::prove_consistency(&leaves, before.parse().unwrap()).unwrap();
        assert_eq!(first_bytes(&path.steps), steps.trim(), "{line}");
    }
}

fn first_bytes(steps: &[Digest]) -> String {
    steps.iter().map(|step| hex::encode(&step.0[..4])).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_leaf_of_every_small_tree_is_proven_there_and_nowhere_else() {
    for size in 0..=66 {
        let leaves = some_leaves(size);
        let root = defined_root(&leaves);
        assert_eq!(tree::root(&leaves), root, "{size} leaves");
        assert_eq!(tree::prove(&leaves, size), None);
        for (index, leaf) in (0..).zip(&leaves) {
            let path = tree::prove(&leaves, index).unwrap();
            assert_eq!(path.verify(&root, size, index, leaf), Ok(()), "{index} of {size}");
            // Even if the path itself is made to claim another place.
            for other in (0..size).filter(|other| *other != index) {
                let moved = InclusionPath { index: other, ..path.clone() };
                assert!(moved.verify(&root, size, other, leaf).is_err(), "{index} at {other}");
            }
        }
    }
}

#[test]
fn every_growth_of_every_small_tree_is_proven() {
    let leaves = some_leaves(66);
    let roots: Vec<_> = (0..=leaves.len()).map(|size| defined_root(&leaves[..size])).collect();
    for after in 0..roots.len() {
        for before in 0..=after {
            let path = tree::prove_consistency(&leaves[..after], before as u64).unwrap();
            let (earlier, later) = ((before as u64, &roots[before]), (after as u64, &roots[after]));
            assert_eq!(path.verify(earlier, later), Ok(()), "{before} to {after}");

            let other = Digest([7; 32]);
            assert!(path.verify((before as u64, &other), later).is_err(), "{before} to {after}");
            if 0 < before {
                assert!(path.verify(earlier, (after as u64, &other)).is_err());
            }
        }
        assert_eq!(tree::prove_consistency(&leaves[..after], after as u64 + 1), None);
    }
}

#[test]
fn a_tree_that_lost_a_leaf_is_no_growth() {
    let leaves = some_leaves(20);
    for (before, lost) in (2..20_u64).flat_map(|before| (0..before).map(move |it| (before, it))) {
        let mut altered = leaves.clone();
        altered.remove(lost as usize);
        let path = tree::prove_consistency(&altered, before.min(19)).unwrap();
        let before_root = tree::root(&leaves[..before as usize]);
        let after_root = tree::root(&altered);
        assert_eq!(
            path.verify((path.before, &before_root), (19, &after_root)),
            Err(PathError::Root),
            "{lost} lost of {before}"
        );
    }
}

#[test]
fn the_size_is_part_of_the_claim() {
    // Leaf 0 of 3 has a path of the same shape as leaf 0 of 4: only the size tells them apart.
    let leaves = some_leaves(4);
    let path = tree::prove(&leaves, 0).unwrap();
    let root = tree::root(&leaves);
    let claimed = InclusionPath { size: 3, ..path.clone() };
    assert_eq!(claimed.verify(&root, 3, 0, &leaves[0]), Ok(()));
    assert_eq!(
        claimed.verify(&root, 4, 0, &leaves[0]),
        Err(PathError::Place { given_index: 0, given_size: 3, index: 0, size: 4 })
    );
}

#[test]
fn sizes_are_limited() {
    let path = |index, size| InclusionPath { index, size, steps: List::new() };
    let leaf = Digest([1; 32]);
    for (index, size) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (0, LEAVES_MAX + 1), (0, u64::MAX)]
    {
        assert_eq!(
            path(index, size).verify(&leaf, size, index, &leaf),
            Err(PathError::NoSuchLeaf { index, size })
        );
    }
    assert_eq!(
        path(0, LEAVES_MAX).verify(&leaf, LEAVES_MAX, 0, &leaf),
        Err(PathError::Steps { given: 0, needed: 48 })
    );
    for (before, after) in [(1, 0), (1, LEAVES_MAX + 1), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        let growth = ConsistencyPath { before, after, steps: List::new() };
        assert_eq!(
            growth.verify((before, &leaf), (after, &leaf)),
            Err(PathError::NoSuchGrowth { before, after })
        );
    }
}

#[test]
fn nothing_grows_from_a_wrong_empty_root() {
    let growth = ConsistencyPath { before: 0, after: 0, steps: List::new() };
    let other = Digest([0; 32]);
    assert_eq!(growth.verify((0, &EMPTY), (0, &EMPTY)), Ok(()));
    assert_eq!(growth.verify((0, &other), (0, &EMPTY)), Err(PathError::Root));
    assert_eq!(growth.verify((0, &EMPTY), (0, &other)), Err(PathError::Root));
}

/// What may happen to the steps of a path on its way.
#[derive(Clone, Debug)]
enum Damage {
    Flip { step: usize, byte: usize, bit: u8 },
    CutOff,
    Extend,
    Drop(usize),
    Swap(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), 0..32_usize, 0..8_u8).prop_map(|(step, byte, bit)| Damage::Flip {
            step,
            byte,
            bit
        }),
        Just(Damage::CutOff),
        Just(Damage::Extend),
        any::<usize>().prop_map(Damage::Drop),
        any::<usize>().prop_map(Damage::Swap),
    ]
}

/// The steps after `damage`, or nothing if there is nothing to damage in this way.
fn damaged(steps: &[Digest], damage: &Damage) -> Option<Vec<Digest>> {
    let mut damaged = steps.to_vec();
    match damage {
        Damage::Extend => damaged.push(Digest([9; 32])),
        Damage::CutOff => drop(damaged.pop()?),
        Damage::Drop(_) | Damage::Flip { .. } if steps.is_empty() => return None,
        Damage::Drop(at) => drop(damaged.remove(at % steps.len())),
        Damage::Flip { step, byte, bit } => damaged[step % steps.len()].0[*byte] ^= 1 << bit,
        Damage::Swap(_) if steps.len() < 2 => return None,
        Damage::Swap(at) => damaged.swap(at % (steps.len() - 1), at % (steps.len() - 1) + 1),
    }
    Some(damaged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damaged_paths_are_refused(size in 1..600_u64, at in any::<u64>(), damage in damage()) {
        let leaves = some_leaves(size);
        let index = at % size;
        let leaf = &leaves[index as usize];
        let root = tree::root(&leaves);
        let path = tree::prove(&leaves, index).unwrap();
        prop_assert_eq!(path.verify(&root, size, index, leaf), Ok(()));
        if let Some(steps) = damaged(&path.steps, &damage) {
            let path = InclusionPath { steps: List::from_vec(steps).unwrap(), ..path };
            prop_assert!(path.verify(&root, size, index, leaf).is_err());
        }
    }

    #[test]
    fn damaged_growth_is_refused(after in 1..600_u64, at in any::<u64>(), damage in damage()) {
        let leaves = some_leaves(after);
        let before = at % (after + 1);
        let (earlier, later) = (tree::root(&leaves[..before as usize]), tree::root(&leaves));
        let path = tree::prove_consistency(&leaves, before).unwrap();
        let sizes = ((before, &earlier), (after, &later));
        prop_assert_eq!(path.verify(sizes.0, sizes.1), Ok(()));
        if let Some(steps) = damaged(&path.steps, &damage) {
            let path = ConsistencyPath { steps: List::from_vec(steps).unwrap(), ..path };
            prop_assert!(path.verify(sizes.0, sizes.1).is_err());
        }
    }

    #[test]
    fn paths_survive_their_encoding(size in 1..600_u64, at in any::<u64>()) {
        let path = tree::prove(&some_leaves(size), at % size).unwrap();
        let bytes = keepwell_types::encode(&path);
        prop_assert_eq!(keepwell_types::decode(&bytes, bytes.len()), Ok(path));
    }

    #[test]
    fn a_frontier_has_the_root_of_its_leaves(size in 0..600_u64) {
        let leaves = some_leaves(size);
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!((frontier.len(), frontier.root()), (size, defined_root(&leaves)));
        prop_assert_eq!(frontier.is_empty(), size == 0);
    }
}
