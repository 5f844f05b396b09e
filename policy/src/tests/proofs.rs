//! Proofs over the tree, held to published cases and to a tree made the plain way.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use proptest::prelude::*;
use serde_json::Value;

use super::examples::root;
use crate::digest::Digest;
use crate::log::{Edge, Frontier, Node, Outline, Tile, leaf_hash, prove_consistency, prove_inclusion};
use crate::reason::Reason;

const NONE: Digest = Digest::from_bytes([7; 32]);

// Every complete subtree, level by level, made the plain way.
struct Naive(Vec<Vec<Digest>>);

impl Naive {
    fn of(size: u64, salt: u64) -> Self {
        let leaves = (0..size).map(|number| leaf_hash(&[number.to_be_bytes(), salt.to_be_bytes()].concat()));
        let mut levels: Vec<Vec<Digest>> = vec![leaves.collect()];
        while levels.last().unwrap().len() > 1 {
            let below = levels.last().unwrap().chunks_exact(2).map(|pair| above(pair[0], pair[1]));
            levels.push(below.collect());
        }
        Self(levels)
    }

    fn node(&self, node: Node) -> Option<Digest> {
        self.0.get(node.level as usize)?.get(usize::try_from(node.index).unwrap()).copied()
    }

    fn fill(&self, outline: &Outline) -> Vec<Digest> {
        outline.filled(|node| self.node(node)).unwrap()
    }

    fn root(&self, size: u64) -> Digest {
        let mut frontier = Frontier::default();
        self.0[0].iter().take(size as usize).for_each(|leaf| frontier.append(*leaf));
        assert_eq!(self.fill(&Outline::root(size)).first().copied(), (size > 0).then(|| frontier.root()));
        frontier.root()
    }
}

fn above(left: Digest, right: Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

fn root_of(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

fn cases(name: &str) -> Vec<Value> {
    let path = root().join("tests/vectors/transparency-dev-merkle").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn number(case: &Value, member: &str) -> u64 {
    case[member].as_u64().unwrap()
}

// Some published cases have words in place of hashes: each stands for a hash of its own, and nothing at all for one that
// nothing else has.
fn digest(case: &Value, member: &str) -> Digest {
    hash(&case[member], member)
}

fn hash(text: &Value, member: &str) -> Digest {
    let bytes = BASE64.decode(text.as_str().unwrap_or_default().as_bytes()).unwrap();
    let own = if bytes.is_empty() { member } else { "word" }.as_bytes();
    <[u8; 32]>::try_from(bytes.as_slice()).map_or_else(|_| Digest::of_parts(&[own, &bytes]), Digest::from_bytes)
}

fn proof(case: &Value) -> Vec<Digest> {
    case["proof"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|text| hash(text, "proof")).collect()
}

#[test]
fn f07_published_inclusion_proofs_are_judged_as_they_were() {
    let all = cases("inclusion.json");
    assert_eq!(all.len(), 98);
    for case in all {
        let (leaf, root, proof) = (digest(&case, "leafHash"), digest(&case, "root"), proof(&case));
        let judged = prove_inclusion(leaf, number(&case, "leafIdx"), number(&case, "treeSize"), &proof, root);
        assert_eq!(judged.is_err(), case["wantErr"].as_bool().unwrap(), "{}", case["file"]);
    }
}

#[test]
fn f07_published_consistency_proofs_are_judged_as_they_were() {
    let all = cases("consistency.json");
    assert_eq!(all.len(), 98);
    for case in all {
        let (old, new, proof) = (digest(&case, "root1"), digest(&case, "root2"), proof(&case));
        let judged = prove_consistency((number(&case, "size1"), old), (number(&case, "size2"), new), &proof);
        assert_eq!(judged.is_err(), case["wantErr"].as_bool().unwrap(), "{}", case["file"]);
    }
}

#[test]
fn f07_the_published_roots_are_those_of_the_frontier() {
    let path = root().join("tests/vectors/transparency-dev-merkle/hashes.json");
    let hashes: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(hashes["empty_root"], Frontier::default().root().to_string());
    assert_eq!(hashes["empty_leaf"], leaf_hash(b"").to_string());
    let leaves = hashes["leaves_hex"].as_array().unwrap();
    let mut frontier = Frontier::default();
    for (leaf, root) in leaves.iter().zip(hashes["roots_by_size"].as_array().unwrap().iter().skip(1)) {
        frontier.append(leaf_hash(&data_encoding::HEXLOWER.decode(leaf.as_str().unwrap().as_bytes()).unwrap()));
        assert_eq!(*root, frontier.root().to_string());
    }
}

#[test]
fn every_proof_of_a_small_tree_holds_and_no_other() {
    let naive = Naive::of(40, 0);
    for size in 1..=40 {
        let root = naive.root(size);
        for index in 0..size {
            let leaf = naive.0[0][index as usize];
            let proof = naive.fill(&Outline::inclusion(index, size).unwrap());
            prove_inclusion(leaf, index, size, &proof, root).unwrap();
            for other in 0..size + 2 {
                let held = prove_inclusion(leaf, other, size, &proof, root);
                assert_eq!(held.is_ok(), other == index, "{index} as {other} of {size}");
            }
            for mutant in mutants(&proof) {
                let refused = prove_inclusion(leaf, index, size, &mutant, root).unwrap_err();
                assert_eq!(refused.reason, Reason::ProofInvalid);
            }
        }
        for before in 1..=size {
            let (old, proof) = (naive.root(before), naive.fill(&Outline::consistency(before, size).unwrap()));
            prove_consistency((before, old), (size, root), &proof).unwrap();
            for other in (0..size + 2).filter(|other| *other != before) {
                assert!(
                    prove_consistency((other, old), (size, root), &proof).is_err(),
                    "{before} as {other} of {size}"
                );
            }
            for mutant in mutants(&proof) {
                let refused = prove_consistency((before, old), (size, root), &mutant).unwrap_err();
                assert_eq!(refused.reason, Reason::ProofInvalid);
            }
        }
    }
}

// Every hash changed, left out, doubled, swapped with its neighbour; one more at either end.
fn mutants(proof: &[Digest]) -> Vec<Vec<Digest>> {
    let mut mutants = vec![[proof, &[NONE]].concat(), [&[NONE], proof].concat()];
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at] = NONE;
        let (mut shorter, mut longer) = (proof.to_vec(), proof.to_vec());
        shorter.remove(at);
        longer.insert(at, proof[at]);
        mutants.extend([changed, shorter, longer]);
        if at + 1 < proof.len() {
            let mut swapped = proof.to_vec();
            swapped.swap(at, at + 1);
            mutants.push(swapped);
        }
    }
    mutants
}

#[test]
fn nothing_is_proved_of_sizes_that_cannot_be() {
    for (index, size) in [(0, 0), (1, 1), (5, 4), (u64::MAX, u64::MAX)] {
        assert_eq!(Outline::inclusion(index, size).unwrap_err().reason, Reason::ProofInvalid);
        assert_eq!(prove_inclusion(NONE, index, size, &[], NONE).unwrap_err().reason, Reason::ProofInvalid);
    }
    for (before, size) in [(0, 0), (0, 5), (6, 5), (u64::MAX, 1)] {
        assert_eq!(Outline::consistency(before, size).unwrap_err().reason, Reason::ProofInvalid);
        assert_eq!(prove_consistency((before, NONE), (size, NONE), &[]).unwrap_err().reason, Reason::ProofInvalid);
    }
    // Equal sizes leave nothing to prove: the roots are equal, and the proof is empty.
    prove_consistency((3, NONE), (3, NONE), &[]).unwrap();
    assert!(prove_consistency((3, NONE), (3, NONE), &[NONE]).is_err());
    assert!(prove_consistency((3, NONE), (3, leaf_hash(b"")), &[]).is_err());
    // However large a size, whatever is shown is refused or accepted, and never more than that.
    let long = vec![NONE; 70];
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        for place in [0, 1, size / 2, size - 2, size - 1] {
            for shown in [0, 1, 63, 64, 65, 70] {
                assert!(prove_inclusion(NONE, place, size, &long[..shown], NONE).is_err());
                assert!(prove_consistency((place.max(1), NONE), (size, leaf_hash(b"")), &long[..shown]).is_err());
            }
            assert!(Outline::inclusion(place, size).unwrap().nodes().len() <= 128);
            assert!(Outline::consistency(place.max(1), size).unwrap().nodes().len() <= 128);
        }
    }
}

#[test]
fn a_tile_lies_where_the_specification_says() {
    let path = |level, index, width| Tile { level, index, width }.path();
    assert_eq!(path(0, 0, 256), "tile/0/000");
    assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path(1, 999, 256), "tile/1/999");
    assert_eq!(path(1, 1000, 256), "tile/1/x001/000");
    assert_eq!(path(1, 4, 17), "tile/1/004.p/17");
}

#[test]
fn the_tiles_of_a_growing_log_are_those_of_its_tree() {
    let size = 256 * 259 + 77;
    let naive = Naive::of(size, 3);
    let (mut edge, mut kept) = (Edge::default(), BTreeMap::new());
    for (index, leaf) in naive.0[0].iter().enumerate() {
        let changed = edge.append(*leaf);
        assert_eq!(changed.is_empty(), (index + 1) % 256 != 0);
        kept.extend(changed);
    }
    for (tile, hashes) in &kept {
        let (start, count) = tile.leaves();
        assert!(start + count <= size);
        let each = Node { level: tile.level * 8, index: tile.index * 256 };
        let wanted = (0..tile.width as u64).map(|at| naive.node(Node { index: each.index + at, ..each }).unwrap());
        assert!(wanted.eq(hashes.iter().copied()), "{tile:?}");
    }
    // Whatever a proof asks for stands in a tile that was made, but for the leaves behind the last whole one.
    for (index, size) in [(0, size), (256 * 256, size), (size - 1, size), (70, 256 * 256), (300, 256 * 257)] {
        for node in Outline::inclusion(index, size).unwrap().nodes() {
            let tile = Tile::of(node, size);
            match kept.get(&tile) {
                Some(hashes) => assert_eq!(tile.node(hashes, node), naive.node(node)),
                None => assert_eq!((tile.level, tile.width), (0, 77), "{node:?}"),
            }
        }
    }
}

#[test]
fn a_tile_of_another_length_is_none() {
    let tile = Tile { level: 0, index: 0, width: 2 };
    assert_eq!(tile.read(&[7; 64]), Some(vec![NONE, NONE]));
    for length in [0, 32, 63, 65, 96] {
        assert_eq!(tile.read(&vec![7; length]), None, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_edge_that_is_put_together_from_tiles_is_the_one_that_grew(size in prop_oneof![0_u64..600, 65_000_u64..66_500]) {
        let (mut grown, mut frontier, mut below) = (Edge::default(), Frontier::default(), Vec::new());
        for number in 0..size {
            let leaf = leaf_hash(&number.to_be_bytes());
            below.push(leaf);
            grown.append(leaf);
            frontier.append(leaf);
        }
        let mut open = Vec::new();
        for tile in Edge::tiles(size) {
            let at_edge = below.len() - tile.width;
            prop_assert_eq!(tile.index as usize, at_edge / Tile::FULL);
            open.push(below.split_off(at_edge));
            below = below.chunks_exact(Tile::FULL).map(root_of).collect();
        }
        let edge = Edge::of(size, open.clone()).unwrap();
        prop_assert_eq!(edge.frontier().unwrap(), frontier);
        prop_assert_eq!(&edge, &grown);
        let lacking = open.iter().map(|hashes| hashes.iter().skip(1).copied().collect()).collect();
        prop_assert!(size == 0 || Edge::of(size, lacking).is_none());
    }

    #[test]
    fn t63_proofs_of_random_trees_hold_and_their_mutants_do_not(
        size in 1_u64..10_000, salt in any::<u64>(), places in proptest::collection::vec(any::<u64>(), 8)
    ) {
        let naive = Naive::of(size, salt);
        let root = naive.root(size);
        for place in places {
            let index = place % size;
            let leaf = naive.0[0][index as usize];
            let proof = naive.fill(&Outline::inclusion(index, size).unwrap());
            prop_assert!(prove_inclusion(leaf, index, size, &proof, root).is_ok());
            prop_assert!(prove_inclusion(NONE, index, size, &proof, root).is_err());
            prop_assert!(prove_inclusion(leaf, index, size, &proof, NONE).is_err());
            for mutant in mutants(&proof) {
                prop_assert!(prove_inclusion(leaf, index, size, &mutant, root).is_err());
            }
            let before = index + 1;
            let (old, proof) = (naive.root(before), naive.fill(&Outline::consistency(before, size).unwrap()));
            prop_assert!(prove_consistency((before, old), (size, root), &proof).is_ok());
            prop_assert!(before == size || prove_consistency((before, NONE), (size, root), &proof).is_err());
            prop_assert!(prove_consistency((before, old), (size, NONE), &proof).is_err());
            for mutant in mutants(&proof) {
                prop_assert!(prove_consistency((before, old), (size, root), &mutant).is_err());
            }
        }
    }
}
