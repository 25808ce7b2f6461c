//! Blocks off the wire: one encoding for each block, and no block that is not what its header says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use keepwell_crypto::sign::SigningKey;
use keepwell_engine::{
    admission::read_forwarded,
    block::{Block, RawEntry, payload_digest},
};
use keepwell_types::{
    block::{HEADER_VERSION, Header, Round, SyncTarget},
    id::{BlockId, ChainId, Digest, Height, PublicKey},
    limits::{BLOCK_BYTES_MAX, BLOCK_COMMANDS_MAX},
    time::BlockTime,
};

fn header(entries: &[RawEntry]) -> Header {
    Header {
        version: HEADER_VERSION,
        chain: ChainId([1; 32]),
        height: Height(7),
        parent: BlockId([2; 32]),
        time: BlockTime(3),
        payload: payload_digest(entries),
        entries: entries.len() as u32,
        outcomes: Digest([4; 32]),
        state: Digest([5; 32]),
        history: Digest([6; 32]),
        sync: SyncTarget { root: Digest([7; 32]), start: 0, end: 1 },
        round: Round {
            epoch: 0,
            view: 8,
            parent_view: 7,
            leader: SigningKey::from_seed(&[9; 32]).public(),
        },
        next: None,
    }
}

fn entries(count: usize) -> Vec<RawEntry> {
    (0..count).map(|at| RawEntry::new(Bytes::from(vec![at as u8; 5]))).collect()
}

fn encoded(header: Header, entries: Vec<RawEntry>) -> Vec<u8> {
    Block::new(header, entries.into()).encode().to_vec()
}

fn decode(bytes: &[u8]) -> Option<Block> {
    Block::decode(Copying(bytes)).ok()
}

#[test]
fn a_block_comes_back() {
    for count in [0, 1, 2, 300] {
        let entries = entries(count);
        let block = Block::new(header(&entries), entries.into());
        assert_eq!(decode(&block.encode()).unwrap(), block);
    }
}

#[test]
fn a_block_is_what_its_header_commits_to() {
    let all = entries(3);
    let fewer = encoded(header(&all), all[..2].to_vec());
    let swapped = encoded(header(&all), vec![all[1].clone(), all[0].clone(), all[2].clone()]);
    let changed = encoded(header(&all), [&all[..2], &entries(5)[4..]].concat());
    let miscounted = encoded(Header { entries: 2, ..header(&all) }, all.clone());
    for bytes in [fewer, swapped, changed, miscounted] {
        assert!(decode(&bytes).is_none());
    }
    // Half of all strings are no point of the curve; a header that names one has no leader.
    let of = |byte| Round { leader: PublicKey([byte; 32]), ..header(&all).round };
    let led = |byte| decode(&encoded(Header { round: of(byte), ..header(&all) }, all.clone()));
    assert!((1..=16).any(|byte| led(byte).is_none()));
}

#[test]
fn cut_off_longer_and_flipped_blocks_are_refused() {
    let all = entries(3);
    let bytes = encoded(header(&all), all);
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_none(), "cut off at {len}");
    }
    assert!(decode(&[&bytes[..], &[0]].concat()).is_none());
    let id = decode(&bytes).unwrap().id();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        // Another header is another block; the entries are never anything else.
        assert!(decode(&flipped).is_none_or(|block| block.id() != id), "flipped at {at}");
    }
}

#[test]
fn absurd_sizes_cost_nothing() {
    let too_many = Header { entries: u32::MAX, ..header(&[]) };
    let mut bytes = encoded(too_many, Vec::new());
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode(&bytes).is_none());

    let many = entries(BLOCK_COMMANDS_MAX + 1);
    assert!(decode(&encoded(header(&many), many)).is_none());
    let long = vec![RawEntry::new(Bytes::from(vec![0; BLOCK_BYTES_MAX + 1]))];
    assert!(decode(&encoded(header(&long), long)).is_none());
}

#[test]
fn a_peers_message_that_is_none_has_no_commands() {
    let message = vec![vec![1_u8, 2], vec![3]].encode();
    assert_eq!(read_forwarded(&message), [vec![1, 2], vec![3]]);
    for len in 0..message.len() {
        assert!(read_forwarded(&message[..len]).is_empty());
    }
    assert!(read_forwarded(&[255; 64]).is_empty());
    assert!(read_forwarded(&vec![vec![0_u8; 1]; 257].encode()).is_empty());
}
