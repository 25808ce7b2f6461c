//! Blocks: what they bring, what makes them invalid, and that they do so everywhere alike.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Instant;

use keepwell_crypto::command::verify;
use keepwell_ledger::{
    BlockContext, Halt, View, accountable, decide,
    execute::{ApplyError, CheckedEntry, Executed, Execution, Inadmissible, admissible, keys_of},
    state::{Account, Key, ReplaySlot, SpentId, Value},
};
use keepwell_merkle::{
    block::{history_leaf, outcome_root},
    range::Peaks,
};
use keepwell_types::{
    anchor::AnchorAdd,
    command::Payload,
    encoding::List,
    id::*,
    limits::{REPLAY_IDS_PER_SLOT_MAX, REPLAY_SLOTS},
    member::Party,
    outcome::{Rejection, Verdict},
    time::BlockTime,
};
use support::{
    CHAIN, CHART, MEMBERS, ORGANISATIONS, PARAMETERS, START, World, check, check_chart, genesis,
    member_id,
};

const SCRIPT: &str = "
    t1  rex   open     c1                             ok
    t1  drey  add      r1 tag=mrn-1                   ok
    t1  drey  add      r2 approval=2:drey,carl        ok
    t1  c1    give     g1 to=carl max=1               ok
    t1  carl  read     r1                             ok
    t1  carl  read     r1                             accesses_used_up
    t1  drey  approve  r2                             ok
    t1  carl  approve  r2                             ok
    t1  c1    revoke   g1                             ok
";

#[test]
fn the_same_block_twice_brings_the_same() {
    let run = || {
        let world = check(SCRIPT);
        (world.last.unwrap(), world.state)
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let keys: Vec<_> = first.0.changes.iter().map(|(key, _)| *key).collect();
    assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(!keys.iter().any(|key| matches!(key, Key::Record(..))));
    assert_eq!(first.0.outcome_root, outcome_root(&first.0.outcomes));
}

/// Whether keys are loaded before or when they are asked for changes nothing.
#[test]
fn what_is_loaded_early_changes_nothing() {
    let before = check(CHART);
    let mut world = before.clone();
    world.run("t1 drey add r1 ok");
    let entry = CheckedEntry::Signed(world.last_command.clone().unwrap());
    let context = BlockContext { parent: before.parent, ..world.context() };

    let mut execution = Execution::new(context);
    let all: Vec<Key> = before.state.keys().copied().collect();
    for key in all.into_iter().chain(keys_of(&entry)) {
        execution.load(key, before.stored(&key));
    }
    let executed = run(execution, &before, &[entry]);
    assert_eq!(Some(executed), world.last);
}

/// Applies entries, loading from `world` what they lack.
fn run(mut execution: Execution, world: &World, entries: &[CheckedEntry]) -> Executed {
    for entry in entries {
        while let Err(error) = execution.apply(entry) {
            let ApplyError::Lacks(key) = error else { panic!("{error}") };
            execution.load(key, world.stored(&key));
        }
    }
    loop {
        match execution.finish() {
            Ok(executed) => break executed,
            Err((unfinished, key)) => {
                execution = unfinished;
                execution.load(key, world.stored(&key));
            }
        }
    }
}

#[test]
fn an_entry_that_lacks_a_key_has_not_happened() {
    let mut world = check(CHART);
    world.at(START.plus_ms(9_000));
    let signed =
        world.sign(&[(Party::Member(member_id("drey")), support::key("member:drey"))], anchor(5));
    let entry = CheckedEntry::Signed(verify(signed).unwrap());
    let mut execution = Execution::new(world.context());
    let mut lacked = Vec::new();
    let outcome = loop {
        match execution.apply(&entry) {
            Ok(outcome) => break outcome.clone(),
            Err(ApplyError::Lacks(key)) => {
                assert!(!lacked.contains(&key), "{key:?} is asked for once");
                lacked.push(key);
                execution.load(key, world.stored(&key));
            }
            Err(ApplyError::Inadmissible(reason)) => panic!("{reason}"),
        }
    };
    assert_eq!((outcome.location.index, outcome.verdict), (0, Verdict::Accepted));
    assert!(matches!(lacked[0], Key::ReplaySlot(_)));
}

fn anchor(documents: u64) -> Payload {
    Payload::AnchorAdd(AnchorAdd { root: Digest([1; 32]), documents })
}

#[test]
fn genesis_entries_stand_in_block_one_and_nothing_else_does() {
    let world = World::new(PARAMETERS);
    let entry = CheckedEntry::genesis(genesis().remove(0), 0);
    let later = BlockContext { height: Height(2), ..world.context() };
    let refused = Execution::new(later).apply(&entry).map(|_| ());
    assert_eq!(refused, Err(Inadmissible::Misplaced(Height(2)).into()));

    let mut world = world;
    let signed =
        world.sign(&[(Party::Member(member_id("drey")), support::key("member:drey"))], anchor(5));
    let first = BlockContext { height: Height(1), ..world.context() };
    let refused =
        Execution::new(first).apply(&CheckedEntry::Signed(verify(signed).unwrap())).map(|_| ());
    assert_eq!(refused, Err(Inadmissible::Misplaced(Height(1)).into()));
}

/// A genesis file out of order, or with what needs a signer, is executed all the same and refused in
/// its outcomes.
#[test]
fn a_genesis_file_may_hold_what_is_refused() {
    let context = BlockContext {
        chain: CHAIN,
        parameters: PARAMETERS,
        height: Height(1),
        time: START,
        parent: BlockId([0; 32]),
    };
    let mut payloads = genesis();
    payloads.reverse();
    payloads.push(anchor(5));
    let entries: Vec<_> =
        payloads.into_iter().zip(0..).map(|(it, at)| CheckedEntry::genesis(it, at)).collect();
    let empty = World { state: Default::default(), ..World::new(PARAMETERS) };
    let executed = run(Execution::new(context), &empty, &entries);
    let refused: Vec<_> = executed.outcomes.iter().map(|it| !it.verdict.is_accepted()).collect();
    // Reversed, the members come before their organisations; an anchor needs a signer.
    let (members, all) = (MEMBERS.len(), MEMBERS.len() + ORGANISATIONS.len());
    let expected: Vec<_> = (0..=all).map(|at| at < members || at == all).collect();
    assert_eq!(refused, expected);
}

#[test]
fn the_history_has_every_block_before_this_one() {
    let mut world = World::new(PARAMETERS);
    let mut peaks = Peaks::new();
    let mut nodes = peaks.push(history_leaf(&BlockId([0; 32])));
    for second in 1..9 {
        let parent = world.parent;
        nodes.extend(peaks.push(history_leaf(&parent)));
        world.run(&format!("t{second} drey anchor 1 ok"));
        let executed = world.last.as_ref().unwrap();
        assert_eq!(executed.history_root, peaks.root());
        for (position, node) in &executed.history_nodes {
            assert_eq!(nodes[*position as usize], *node);
        }
    }
    assert_eq!(world.height, Height(9));
    assert_eq!(world.stored(&Key::History), Some(Value::History(peaks)));
}

#[test]
fn a_full_replay_slot_waits_for_a_window_to_end() {
    let mut world = check(CHART);
    world.run("t1 drey anchor 1 ok");
    let command = world.last_command.clone().unwrap();
    let id = command.command().id;
    let slot = |live: usize, dead: usize| {
        let spent = |number: usize, until| {
            let mut other = id;
            other.0[8..].copy_from_slice(&(number as u64).to_be_bytes());
            SpentId { id: other, until }
        };
        let live = (0..live).map(|it| spent(it, START.plus_ms(60_000)));
        let dead = (1_000..1_000 + dead).map(|it| spent(it, START.plus_ms(1_000)));
        Value::ReplaySlot(ReplaySlot { spent: List::from_vec(live.chain(dead).collect()).unwrap() })
    };
    let verdict = |value: Value| {
        let mut view = View::new();
        view.load(Key::replay_slot_of(&id), Some(value));
        loop {
            match admissible(&view, &world.context(), &command) {
                Err(ApplyError::Lacks(key)) => view.load(key, world.stored(&key)),
                answer => break answer,
            }
        }
    };
    let quota = Key::Quota(support::organisation_id("hospital"), Account::Members);
    let full = REPLAY_IDS_PER_SLOT_MAX;
    assert_eq!(verdict(slot(full, 0)), Err(Inadmissible::SlotFull(id).into()));
    assert_eq!(verdict(slot(full - 1, 1)), Ok(quota));
    assert_eq!(verdict(slot(full - 1, 0)), Ok(quota));
    assert!(Inadmissible::SlotFull(id).may_pass() && !Inadmissible::Replayed(id).may_pass());
}

#[test]
fn ended_ids_leave_their_slot() {
    let mut world = check(CHART);
    world.run("t1 drey anchor 1 window=t1..t2 ok");
    let first = world.last_command.clone().unwrap().command().id;
    let mut id = first;
    id.0[15] ^= 1;
    world.at(START.plus_ms(3_000));
    let drey = (Party::Member(member_id("drey")), support::key("member:drey"));
    let mut command = world.sign(&[drey], anchor(5)).command;
    command.id = id;
    let drey = (Party::Member(member_id("drey")), support::key("member:drey"));
    world.submit(verify(support::sign_as(command, &[drey])).unwrap()).unwrap();
    world.end();
    let Some(Value::ReplaySlot(slot)) = world.stored(&Key::replay_slot_of(&first)) else {
        panic!("the slot is written")
    };
    assert_eq!(slot.spent.iter().map(|it| it.id).collect::<Vec<_>>(), [id]);
}

#[test]
fn slots_are_numbered_by_the_first_bytes_of_an_id() {
    let mut id = CommandId([0xff; 16]);
    assert_eq!(Key::replay_slot_of(&id), Key::ReplaySlot(REPLAY_SLOTS - 1));
    id.0[0] = 5;
    id.0[1] = 0;
    assert_eq!(Key::replay_slot_of(&id), Key::ReplaySlot(5));
}

#[test]
fn deciding_alone_changes_nothing() {
    let mut world = check_chart("t1 c1 give g1 to=carl max=1 ok");
    world.at(START.plus_ms(2_000));
    let signed =
        world.sign(&[(Party::Member(member_id("drey")), support::key("member:drey"))], anchor(0));
    let command = verify(signed).unwrap();
    let answer = world.ask(
        |view| decide(view, &world.context(), 3, &command),
        |halt| match halt {
            Halt::Lacks(lacks) => Some(*lacks),
            Halt::Rejected(_) => None,
        },
    );
    assert_eq!(answer, Err(Halt::Rejected(Rejection::AnchorSize { documents: 0 })));
    let owner = world.ask(
        |view| accountable(view, world.time, &command),
        |halt| match halt {
            Halt::Lacks(lacks) => Some(*lacks),
            Halt::Rejected(_) => None,
        },
    );
    assert_eq!(owner, Ok((support::organisation_id("hospital"), Account::Members)));
}

/// `cargo test --release -- --ignored --nocapture`: what executing a full block costs, without
/// signatures and without a database.
#[test]
#[ignore = "measures"]
fn how_fast_a_block_is_executed() {
    const COMMANDS: usize = 4_000;
    const CHARTS: usize = 200;
    let mut world = World::new(keepwell_types::genesis::Parameters {
        commands_per_minute_max: u32::MAX,
        ..PARAMETERS
    });
    let opens: String = (0..CHARTS).map(|at| format!("t1 rex open c{at} ok\n")).collect();
    world.run(&opens);
    let grants: String = (0..CHARTS)
        .map(|at| format!("t2 c{at} give g1 to=carl max=1000000 in=c{at} ok\n"))
        .collect();
    world.run(&grants);
    let records: String =
        (0..CHARTS).map(|at| format!("t3 drey add r{at} in=c{at} ok\n")).collect();
    world.run(&records);

    world.at(BlockTime(START.0 + 4_000));
    let lines: String = (0..COMMANDS)
        .map(|at| match at % 2 {
            0 => format!("t4 drey add s{at} in=c{} ok\n", at % CHARTS),
            _ => format!("t4 carl read r{0} in=c{0} ok\n", at % CHARTS),
        })
        .collect();
    let entries: Vec<_> = support::lines(&lines)
        .iter()
        .map(|line| CheckedEntry::Signed(verify(line.command(&mut world)).unwrap()))
        .collect();
    let execution = world.block.take().unwrap();
    let start = Instant::now();
    let executed = run(execution, &world, &entries);
    let elapsed = start.elapsed();
    let encoding = Instant::now();
    let bytes: usize = executed
        .changes
        .iter()
        .map(|(key, value)| key.to_bytes().len() + value.as_ref().map_or(0, |it| it.encode().len()))
        .sum();
    println!(
        "{COMMANDS} commands in {elapsed:?}, {} changes of {bytes} bytes encoded in {:?}",
        executed.changes.len(),
        encoding.elapsed()
    );
    assert!(executed.outcomes.iter().all(|outcome| outcome.verdict.is_accepted()));
}
