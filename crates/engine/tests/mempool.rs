//! Commands that wait: turns between organisations, limits, windows, and what never leaves early.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use keepwell_crypto::{
    command::{sign, verify},
    sign::SigningKey,
};
use keepwell_engine::{
    block::RawEntry,
    mempool::{Busy, Inserted, Mempool, PAYER_COMMANDS_MAX, Pending},
};
use keepwell_ledger::state::Account;
use keepwell_types::{
    anchor::AnchorAdd,
    command::{COMMAND_VERSION, Command, Entry, Payload},
    encoding::List,
    id::{ChainId, CommandId, Digest, MemberId, OrganisationId},
    limits::BLOCK_COMMANDS_MAX,
    member::Party,
    time::{BlockTime, Window},
};

const NOW: BlockTime = BlockTime(50_000);
const WINDOW: Window = Window { from: BlockTime(40_000), until: BlockTime(60_000) };

fn command_id(number: u32) -> CommandId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    CommandId(id)
}

fn pending_in(window: Window, organisation: u8, number: u32, documents: u64) -> Pending {
    let command = Command {
        version: COMMAND_VERSION,
        chain: ChainId([1; 32]),
        id: command_id(number),
        window,
        signers: List::from_vec(vec![Party::Member(MemberId([organisation; 16]))]).unwrap(),
        payload: Payload::AnchorAdd(AnchorAdd { root: Digest([2; 32]), documents }),
        part: None,
    };
    let signed = sign(command, &[&SigningKey::from_seed(&[3; 32])]);
    Pending {
        raw: RawEntry::signed(&signed),
        verified: verify(signed).unwrap(),
        payer: (OrganisationId([organisation; 16]), Account::Members),
        until: window.until,
    }
}

fn pending(organisation: u8, number: u32) -> Pending {
    pending_in(WINDOW, organisation, number, 1)
}

fn candidates(pool: &Mempool, now: BlockTime) -> Vec<CommandId> {
    let candidates = pool.candidates(&BTreeSet::new(), now);
    candidates.iter().map(|it| it.verified.command().id).collect()
}

#[test]
fn an_entry_is_encoded_the_same_with_and_without_its_command() {
    let signed = pending(1, 1).verified.into_signed();
    assert_eq!(RawEntry::signed(&signed), RawEntry::encode(&Entry::Signed(signed)));
}

#[test]
fn one_that_floods_delays_itself_only() {
    let pool = Mempool::default();
    let flood = BLOCK_COMMANDS_MAX as u32 + 100;
    for number in 0..flood {
        pool.insert(pending(1, number)).unwrap();
    }
    for number in flood..flood + 3 {
        pool.insert(pending(2, number)).unwrap();
    }
    let taken = candidates(&pool, NOW);
    assert!(taken.len() <= BLOCK_COMMANDS_MAX);
    for number in flood..flood + 3 {
        let place = taken.iter().position(|id| *id == command_id(number)).unwrap();
        assert!(place < 6, "{place}: they take turns");
    }
}

#[test]
fn who_floods_has_so_many_places_and_others_keep_theirs() {
    let pool = Mempool::default();
    for number in 0..PAYER_COMMANDS_MAX as u32 {
        pool.insert(pending(1, number)).unwrap();
    }
    let next = PAYER_COMMANDS_MAX as u32;
    let busy = pool.insert(pending(1, next)).unwrap_err();
    assert_eq!(busy, Busy::Payer { max: PAYER_COMMANDS_MAX });
    assert_eq!(pool.insert(pending(2, next)), Ok(Inserted::New));
    // Whoever must stop the flood comes through.
    let payer = (OrganisationId([1; 16]), Account::Administrator);
    assert_eq!(pool.insert(Pending { payer, ..pending(1, next + 2) }), Ok(Inserted::New));
    // A place that is free again can be taken.
    pool.remove([command_id(0)]);
    assert_eq!(pool.insert(pending(1, next + 1)), Ok(Inserted::New));
}

/// What no block can have makes room for others of its payer, however long its window is.
#[test]
fn a_command_waits_no_longer_than_it_may() {
    let pool = Mempool::default();
    let ends = WINDOW.from.plus_ms(5);
    assert!(ends < WINDOW.until);
    pool.insert(Pending { until: ends, ..pending(1, 7) }).unwrap();
    assert_eq!(pool.expire(WINDOW.from.plus_ms(4)), []);
    assert_eq!(candidates(&pool, WINDOW.from.plus_ms(4)), [command_id(7)]);
    assert_eq!(pool.expire(ends), [command_id(7)]);
    assert!(pool.is_empty() && pool.load() == (0, 0));
    assert_eq!(pool.insert(pending(1, 7)), Ok(Inserted::New));
}

#[test]
fn an_id_is_of_the_first_command_that_has_it() {
    let pool = Mempool::default();
    assert_eq!(pool.insert(pending(1, 7)), Ok(Inserted::New));
    assert_eq!(pool.insert(pending(1, 7)), Ok(Inserted::Known));
    assert_eq!(pool.insert(pending_in(WINDOW, 1, 7, 2)), Ok(Inserted::IdTaken));
    assert_eq!(pool.insert(pending(2, 7)), Ok(Inserted::IdTaken));
    assert_eq!(pool.load().0, 1);
}

#[test]
fn a_leader_is_offered_what_its_block_could_have() {
    let pool = Mempool::default();
    pool.insert(pending(1, 1)).unwrap();
    assert_eq!(candidates(&pool, BlockTime(WINDOW.from.0 - 1)), []);
    assert_eq!(candidates(&pool, WINDOW.from), [command_id(1)]);
    assert_eq!(candidates(&pool, WINDOW.until), []);
    let in_parent = BTreeSet::from([command_id(1)]);
    assert!(pool.candidates(&in_parent, NOW).is_empty());

    pool.postpone(command_id(1), NOW.plus_ms(10));
    assert_eq!(candidates(&pool, NOW), []);
    assert!(!pool.is_empty(), "what was left out of one block waits for another");
    assert_eq!(candidates(&pool, NOW.plus_ms(10)), [command_id(1)]);
}

#[test]
fn what_is_final_or_too_late_leaves_and_nothing_else() {
    let pool = Mempool::default();
    for number in 0..4 {
        let until = BlockTime(50_000 + u64::from(number));
        let window = Window { until, ..WINDOW };
        pool.insert(pending_in(window, 1, number, 1)).unwrap();
    }
    pool.remove([command_id(3), command_id(99)]);
    let expired = pool.expire(BlockTime(50_001));
    assert_eq!(expired, [command_id(0), command_id(1)]);
    assert_eq!(candidates(&pool, BlockTime(50_001)), [command_id(2)]);
    let leaf = pending_in(Window { until: BlockTime(50_002), ..WINDOW }, 1, 2, 1).raw.leaf();
    assert!(pool.verified(&leaf).is_some());
    pool.remove([command_id(2)]);
    assert!(pool.is_empty());
    assert_eq!(pool.load(), (0, 0));
    assert!(pool.verified(&leaf).is_none());
}
