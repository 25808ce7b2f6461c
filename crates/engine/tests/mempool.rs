//! Commands that wait: turns between organisations, limits, windows, and what never leaves early.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use keepwell_crypto::{
    command::{sign, verify},
    sign::SigningKey,
};
use keepwell_engine::{
    block::RawEntry,
    mempool::{Busy, GATHERED_BYTES_MAX, Inserted, Mempool, PAYER_COMMANDS_MAX, Pending},
};
use keepwell_ledger::state::Account;
use keepwell_types::{
    anchor::AnchorAdd,
    command::{COMMAND_VERSION, Command, Entry, Part, Payload},
    encoding::List,
    id::{ChainId, CommandId, Digest, MemberId, OrganisationId, TransactionId},
    limits::{
        BLOCK_BYTES_MAX, BLOCK_COMMANDS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX,
    },
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
    signed_as(window, organisation, number, documents, None)
}

fn signed_as(
    window: Window,
    organisation: u8,
    number: u32,
    documents: u64,
    part: Option<Part>,
) -> Pending {
    let command = Command {
        version: COMMAND_VERSION,
        chain: ChainId([1; 32]),
        id: command_id(number),
        window,
        signers: List::from_vec(vec![Party::Member(MemberId([organisation; 16]))]).unwrap(),
        payload: Payload::AnchorAdd(AnchorAdd { root: Digest([2; 32]), documents }),
        part,
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

/// Part `place` of a transaction of so many, with the command that has that number.
fn part(organisation: u8, id: u8, (place, parts): (u16, u16), number: u32) -> Pending {
    part_in(WINDOW, organisation, id, (place, parts), number)
}

fn part_in(
    window: Window,
    organisation: u8,
    id: u8,
    (place, parts): (u16, u16),
    number: u32,
) -> Pending {
    let part = Part::new(TransactionId([id; 16]), place, parts).unwrap();
    signed_as(window, organisation, number, 1, Some(part))
}

/// All parts of a transaction, whose commands have numbers from `first` on.
fn parts(organisation: u8, id: u8, parts: u16, first: u32) -> Vec<Pending> {
    (0..parts)
        .map(|place| part(organisation, id, (place, parts), first + u32::from(place)))
        .collect()
}

/// What the pool offers, which must be something exactly if it says so.
fn candidates(pool: &Mempool, now: BlockTime) -> Vec<CommandId> {
    let has = pool.has_candidate(&BTreeSet::new(), now);
    let candidates = pool.candidates(&BTreeSet::new(), now);
    assert_eq!(has, !candidates.is_empty());
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

fn numbers(candidates: &[CommandId]) -> Vec<u32> {
    let number = |id: &CommandId| u32::from_be_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]);
    candidates.iter().map(number).collect()
}

#[test]
fn a_transaction_is_a_candidate_when_all_of_it_is_here_whatever_order_it_came_in() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let pool = Mempool::default();
        pool.insert(pending(1, 50)).unwrap();
        for (place, came) in order.into_iter().zip(1..) {
            assert_eq!(numbers(&candidates(&pool, NOW)), [50]);
            let one = || part(1, 9, (place, 3), u32::from(place));
            assert_eq!(pool.insert(one()), Ok(Inserted::New));
            assert_eq!(pool.insert(one()), Ok(Inserted::Known));
            assert_eq!(pool.load().0, 1 + came);
        }
        assert_eq!(numbers(&candidates(&pool, NOW)), [50, 0, 1, 2]);
    }
}

/// Another's transaction of the same id is another; another command for the same place is none.
#[test]
fn parts_of_two_transactions_do_not_mix() {
    let pool = Mempool::default();
    pool.insert(part(1, 9, (0, 2), 0)).unwrap();
    pool.insert(part(2, 9, (1, 2), 1)).unwrap();
    pool.insert(part(1, 8, (1, 2), 2)).unwrap();
    pool.insert(part(1, 9, (1, 3), 3)).unwrap();
    assert_eq!(candidates(&pool, NOW), []);
    assert_eq!(pool.insert(part(1, 9, (0, 2), 4)), Ok(Inserted::PlaceTaken));
    let clash = vec![part(1, 9, (0, 2), 5), part(1, 9, (1, 2), 6)];
    assert_eq!(pool.insert_transaction(clash), Ok(Inserted::PlaceTaken));
    assert_eq!(pool.load().0, 4);
    pool.insert(part(1, 9, (1, 2), 7)).unwrap();
    assert_eq!(numbers(&candidates(&pool, NOW)), [0, 7]);
}

#[test]
fn all_parts_are_taken_in_or_none() {
    let pool = Mempool::default();
    assert_eq!(pool.insert_transaction(parts(1, 9, 3, 0)), Ok(Inserted::New));
    assert_eq!(pool.insert_transaction(parts(1, 9, 3, 0)), Ok(Inserted::Known));
    assert_eq!(pool.insert_transaction(parts(2, 9, 3, 2)), Ok(Inserted::IdTaken));
    // A peer has sent one of them before.
    pool.insert(part(1, 8, (1, 2), 11)).unwrap();
    assert_eq!(pool.insert_transaction(parts(1, 8, 2, 10)), Ok(Inserted::New));
    assert_eq!(numbers(&candidates(&pool, NOW)), [0, 1, 2, 10, 11]);
    assert_eq!(pool.load().0, 5);

    for number in 100..100 + PAYER_COMMANDS_MAX as u32 - 7 {
        pool.insert(pending(1, number)).unwrap();
    }
    let busy = Busy::Payer { max: PAYER_COMMANDS_MAX };
    assert_eq!(pool.insert_transaction(parts(1, 7, 3, 20)), Err(busy));
    assert_eq!(pool.insert_transaction(parts(1, 7, 2, 20)), Ok(Inserted::New));
    assert_eq!(pool.insert(part(1, 6, (0, 2), 30)), Err(busy), "gathered parts have places too");
}

#[test]
fn a_transaction_waits_as_long_as_its_first_window() {
    let pool = Mempool::default();
    let short = Window { until: BlockTime(55_000), ..WINDOW };
    let late = Window { from: BlockTime(52_000), ..WINDOW };
    pool.insert(part_in(short, 1, 9, (0, 3), 0)).unwrap();
    pool.insert(part_in(late, 1, 9, (1, 3), 1)).unwrap();
    pool.insert(part(1, 9, (2, 3), 2)).unwrap();
    pool.insert(part(1, 8, (0, 2), 5)).unwrap();
    assert_eq!(candidates(&pool, NOW), [], "one has not begun");
    assert_eq!(numbers(&candidates(&pool, BlockTime(52_000))), [0, 1, 2]);
    let in_parent = BTreeSet::from([command_id(1)]);
    assert!(!pool.has_candidate(&in_parent, BlockTime(52_000)));
    pool.postpone(command_id(2), BlockTime(53_000));
    assert_eq!(candidates(&pool, BlockTime(52_999)), []);
    assert_eq!(candidates(&pool, BlockTime(53_000)).len(), 3);
    assert_eq!(candidates(&pool, short.until), []);
    assert_eq!(numbers(&pool.expire(short.until)), [0, 1, 2], "the others go with the first");
    assert_eq!(numbers(&pool.expire(WINDOW.until)), [5], "what is incomplete ends with its window");
    assert_eq!((pool.is_empty(), pool.load()), (true, (0, 0)));
    // Gathered anew, it counts from the beginning.
    assert_eq!(pool.insert_transaction(parts(1, 9, 3, 0)), Ok(Inserted::New));
}

/// A final block had other parts than some that are here: what is left never comes together.
#[test]
fn what_lost_a_part_waits_for_it() {
    let pool = Mempool::default();
    pool.insert_transaction(parts(1, 9, 3, 0)).unwrap();
    pool.remove([command_id(1)]);
    assert_eq!((candidates(&pool, NOW), pool.load().0), (vec![], 2));
    pool.insert(part(1, 9, (1, 3), 1)).unwrap();
    assert_eq!(numbers(&candidates(&pool, NOW)), [0, 1, 2]);
    pool.remove([0, 1, 2].map(command_id));
    assert_eq!((pool.is_empty(), pool.load()), (true, (0, 0)));
}

/// However much others send, and its own payer: a transaction that does not fit has the next block.
#[test]
fn a_large_transaction_comes_through() {
    let whole = TRANSACTION_COMMANDS_MAX as u16;
    for before in [0, 10, 3_500] {
        let pool = Mempool::default();
        for number in 0..before {
            pool.insert(pending(2, 10_000 + number)).unwrap();
            pool.insert(pending(3, 20_000 + number)).unwrap();
            pool.insert(pending(2, 30_000 + number)).unwrap();
        }
        pool.insert_transaction(parts(2, 9, whole, 0)).unwrap();
        for number in 0..before {
            pool.insert(pending(1, 40_000 + number)).unwrap();
            pool.insert(pending(3, 50_000 + number)).unwrap();
        }
        let mut blocks = 0;
        loop {
            blocks += 1;
            let taken = pool.candidates(&BTreeSet::new(), NOW);
            let bytes: usize = taken.iter().map(|it| it.raw.bytes().len()).sum();
            assert!(taken.len() <= BLOCK_COMMANDS_MAX && bytes <= BLOCK_BYTES_MAX);
            let ids: Vec<_> = taken.iter().map(|it| it.verified.command().id).collect();
            let of_it: Vec<_> =
                numbers(&ids).into_iter().filter(|it| *it < u32::from(whole)).collect();
            if !of_it.is_empty() {
                assert_eq!(of_it, (0..u32::from(whole)).collect::<Vec<_>>());
                let start = numbers(&ids).iter().position(|it| *it == 0).unwrap();
                assert_eq!(numbers(&ids)[start..][..of_it.len()], of_it[..], "next to each other");
                break;
            }
            pool.remove(ids);
        }
        // Those before it in its payer's queue fill so many blocks.
        assert!(blocks <= 2 + before as usize / 900, "{blocks} after {before}");
    }
}

#[test]
fn what_never_comes_together_has_bounds() {
    let pool = Mempool::default();
    let size = part(1, 0, (1_000, 1_024), 0).raw.bytes().len();
    let in_one = TRANSACTION_BYTES_MAX / size;
    let places = 1_024.min(in_one) - 1;
    let mut number = 0;
    let mut add = |pool: &Mempool| {
        let (of, place) = (number / places, number % places);
        number += 1;
        let payer = (OrganisationId([(of / 8) as u8; 16]), Account::Members);
        let one = part(1, of as u8, (place as u16, 1_024), number as u32);
        pool.insert(Pending { payer, ..one })
    };
    let busy = loop {
        if let Err(busy) = add(&pool) {
            break busy;
        }
    };
    assert_eq!(busy, Busy::Gathered { max: GATHERED_BYTES_MAX });
    assert!((GATHERED_BYTES_MAX - 1_000..=GATHERED_BYTES_MAX).contains(&pool.load().1));
    assert_eq!(candidates(&pool, NOW), []);
    // What comes whole has room, and so has what is no part.
    pool.insert_transaction(parts(2, 200, 3, 1_000_000)).unwrap();
    pool.insert(pending(2, 2_000_000)).unwrap();
    assert_eq!(candidates(&pool, NOW).len(), 4);
}
