//! Transactions: commands of one first signer that take effect all or none.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, time::Instant};

use keepwell_crypto::command::{Verified, record_id_of, sign, verify};
use keepwell_ledger::{
    execute::{ApplyError, CheckedEntry, Executed, Execution, Inadmissible, units},
    state::{Key, Value},
};
use keepwell_types::{
    access::RecordName,
    anchor::AnchorAdd,
    command::{Command, Part, Payload},
    grant::GrantRevoke,
    id::*,
    limits::{TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX},
    outcome::{Outcome, Rejection, Verdict},
};
use proptest::prelude::*;
use support::{
    CHART, PARAMETERS, START, World, chart_id, check, key, lines, member_id, name_of,
    organisation_id,
};

const ID: TransactionId = TransactionId([1; 16]);

/// The lines of a script as parts of one transaction. Later lines may name the records of earlier ones.
fn parts(world: &mut World, id: TransactionId, script: &str) -> Vec<CheckedEntry> {
    let lines = lines(script);
    world.at(lines[0].time);
    let mut counts = BTreeMap::new();
    let mut made = Vec::new();
    for (line, place) in lines.iter().zip(0..) {
        let part = Part::new(id, place, lines.len() as u16).unwrap();
        let command = verify(line.command_as(world, Some(part))).unwrap();
        if let Some(chart) = command.command().payload.chart() {
            let count = counts.entry(chart).or_insert_with(|| log_count(world, chart));
            if let (Payload::RecordAdd(add), Some(record)) =
                (&command.command().payload, record_id_of(command.command()))
            {
                let name = RecordName { position: LogPosition(*count), record };
                world.named.insert(line.what.clone(), (name, add.commitment));
            }
            *count += 1;
        }
        made.push(CheckedEntry::Signed(command));
    }
    made
}

fn log_count(world: &World, chart: ChartId) -> u64 {
    match world.stored(&Key::ChartLog(chart)) {
        Some(Value::ChartLog(log)) => log.count.0,
        _ => 0,
    }
}

/// Executes a script as one transaction in a block of its own and compares the verdict of each line.
fn check_parts(world: &mut World, script: &str) -> Vec<Outcome> {
    let unit = parts(world, ID, script);
    let outcomes = world.apply_unit(&unit).unwrap();
    world.end();
    for (line, outcome) in lines(script).iter().zip(&outcomes) {
        let verdict = match &outcome.verdict {
            Verdict::Accepted => "ok".into(),
            Verdict::Rejected(why) => name_of(why),
        };
        assert_eq!(verdict, line.expected, "in the line\n    {}", line.text);
    }
    outcomes
}

/// The state without what a refusal changes too.
fn effects(world: &World) -> BTreeMap<Key, Vec<u8>> {
    let of_refusals = |key: &Key| {
        matches!(key, Key::History | Key::ReplaySlot(_) | Key::Quota(..) | Key::ChartLog(_))
    };
    world.state.clone().into_iter().filter(|(key, _)| !of_refusals(key)).collect()
}

fn quota(world: &World) -> u32 {
    let key = Key::Quota(organisation_id("hospital"), keepwell_ledger::state::Account::Members);
    match world.stored(&key) {
        Some(Value::Quota(quota)) => quota.used,
        _ => 0,
    }
}

#[test]
fn all_parts_take_effect_each_on_what_the_one_before_left() {
    let mut world = check(CHART);
    let outcomes = check_parts(
        &mut world,
        "
        t1  drey  add   r1  tag=mrn-1                           ok
        t1  drey  add   v2  amends=r1                           ok
        t1  drey  add   v3  amends=v2 version_is=3              ok
        t1  drey  add   r2                                      ok
    ",
    );
    let indices: Vec<_> = outcomes.iter().map(|it| it.location.index).collect();
    assert_eq!(indices, [0, 1, 2, 3]);
    assert_eq!(log_count(&world, chart_id("c1")), 5);
    world.run("t2 drey add v4 amends=v3 version_is=4 ok");
}

#[test]
fn a_chart_is_opened_and_filled_at_once() {
    let mut world = World::new(PARAMETERS);
    check_parts(
        &mut world,
        "
        t1  rex  open  c1       ok
        t1  rex  add   r1       ok
        t1  rex  open  c2       ok
        t1  rex  add   r2 in=c2 ok
    ",
    );
    assert_eq!([log_count(&world, chart_id("c1")), log_count(&world, chart_id("c2"))], [2, 2]);
}

#[test]
fn one_refused_part_undoes_all_and_leaves_what_refusals_leave() {
    let setting = format!("{CHART}\nt0 drey add old tag=taken ok\nt0 drey add old2 ok");
    let mut world = check(&setting);
    let (before, used) = (effects(&world), quota(&world));
    let outcomes = check_parts(
        &mut world,
        "
        t1  drey  add  r1  tag=free                transaction
        t1  drey  add  v2  amends=old2             transaction
        t1  drey  add  r2  tag=taken               tag_taken
        t1  drey  add  r3                          transaction
        t1  drey  add  v3  amends=v2 version_is=3  transaction
    ",
    );
    let why = Verdict::Rejected(Rejection::Transaction { place: 2 });
    assert_eq!([&outcomes[0], &outcomes[4]].map(|it| &it.verdict), [&why; 2]);
    assert_eq!(effects(&world), before);
    assert_eq!((log_count(&world, chart_id("c1")), quota(&world)), (8, used + 5));
    let leaves = &world.last.as_ref().unwrap().leaves;
    let (places, records): (Vec<_>, Vec<_>) =
        leaves.iter().map(|it| (it.line.location, it.line.record.clone())).unzip();
    assert_eq!(places, outcomes.iter().map(|it| it.location).collect::<Vec<_>>());
    assert_eq!(records, [None, None, None, None, None], "no record was added");
    // What the parts would have taken is free.
    world.run("t2 drey add r1 tag=free ok\nt2 drey add v2 amends=old2 ok");
}

#[test]
fn a_chart_that_a_refused_transaction_would_have_opened_has_no_log() {
    let mut world = check(CHART);
    check_parts(
        &mut world,
        "
        t1  rex  open  c2               transaction
        t1  rex  add   r1  in=c2        transaction
        t1  rex  add   r2               transaction
        t1  rex  add   r3  bytes=max+1  record_size
    ",
    );
    let charts: Vec<_> = world.last.as_ref().unwrap().leaves.iter().map(|it| it.chart).collect();
    assert_eq!(charts, [chart_id("c1"); 2]);
    assert_eq!(world.stored(&Key::Chart(chart_id("c2"))), None);
    assert_eq!(world.stored(&Key::ChartLog(chart_id("c2"))), None);
    world.run("t2 rex open c2 ok");
}

#[test]
fn a_tag_is_taken_once_within_a_transaction_and_between_two() {
    let mut world = check(CHART);
    let clash = "
        t1  drey  add  r1  tag=mrn-1  transaction
        t1  drey  add  r2  tag=mrn-1  tag_taken
    ";
    check_parts(&mut world, clash);
    let first = "
        t2  drey  add  r1  tag=mrn-1  ok
        t2  drey  add  r2             ok
    ";
    let second = "
        t2  drey  add  s1             transaction
        t2  drey  add  s2  tag=mrn-1  tag_taken
    ";
    let [first, second] = [first, second].map(|script| parts(&mut world, ID, script));
    let accepted = |outcomes: Vec<Outcome>| outcomes.iter().all(|it| it.verdict.is_accepted());
    assert!(accepted(world.apply_unit(&first).unwrap()));
    assert!(!accepted(world.apply_unit(&second).unwrap()));
}

/// Who may act is found before the first part: whoever has used up its one key by a part is in a valid block, and what
/// comes after it is decided, and refused.
#[test]
fn parts_may_stand_where_they_do_whatever_the_parts_before_do() {
    let mut world = check("t0 rex open c1 claim=t100 ok");
    let outcomes = check_parts(
        &mut world,
        "
        t1  code:c1+wallet:c1  claim  c1    transaction
        t1  code:c1+wallet:c1  claim  c1    not_claimable
    ",
    );
    assert!(outcomes.iter().all(|it| !it.verdict.is_accepted()));
    world.run("t2 code:c1+wallet:c1 claim c1 ok\nt3 code:c1+wallet:c1 claim c1 ~not_claimable");
}

/// What a leader could make of two transactions, of two signers.
#[test]
fn a_block_has_a_transaction_whole_and_in_order_or_not_at_all() {
    let mut world = check(CHART);
    let three = |world: &mut World, id, who: &str| {
        let script: String = (0..3).map(|at| format!("t1 {who} anchor {} ok\n", at + 1)).collect();
        parts(world, id, &script)
    };
    let a = three(&mut world, ID, "drey");
    let b = three(&mut world, TransactionId([2; 16]), "drey");
    let stranger = three(&mut world, ID, "nora");
    let of = |from: &[&CheckedEntry]| from.iter().map(|it| (*it).clone()).collect::<Vec<_>>();
    let of_four: Vec<_> = {
        let script = "t1 drey anchor 1 ok\n".repeat(4);
        parts(&mut world, ID, &script)
    };
    let cases: [(&str, Vec<CheckedEntry>, u16); 11] = [
        ("the last is left out", of(&[&a[0], &a[1]]), 2),
        ("the first is left out", of(&[&a[1], &a[2]]), 0),
        ("one in the middle is left out", of(&[&a[0], &a[2]]), 1),
        ("in another order", of(&[&a[0], &a[2], &a[1]]), 1),
        ("backwards", of(&[&a[2], &a[1], &a[0]]), 0),
        ("one twice", of(&[&a[0], &a[1], &a[1], &a[2]]), 2),
        ("of another transaction", of(&[&a[0], &b[1], &a[2]]), 1),
        ("of another signer, with the same id", of(&[&a[0], &stranger[1], &a[2]]), 1),
        ("of another length", of(&[&a[0], &of_four[1], &a[2]]), 1),
        ("two of them, interleaved", of(&[&a[0], &b[0], &a[1], &b[1], &a[2], &b[2]]), 1),
        ("a part alone", of(&[&a[0]]), 1),
    ];
    for (name, entries, place) in cases {
        let unit = units(&entries).next().unwrap();
        let parts = unit[0].part().unwrap().parts();
        let refused = world.clone().apply_unit(unit).map(drop);
        let expected = Inadmissible::OutOfPlace { transaction: ID, place, parts };
        assert_eq!(refused, Err(expected), "{name}");
    }
    // Two that share an id are two all the same.
    let both = [a, stranger, b].concat();
    let taken: Vec<_> = units(&both).map(|unit| world.apply_unit(unit).unwrap().len()).collect();
    assert_eq!(taken, [3, 3, 3]);
}

#[test]
fn a_part_that_cannot_stand_there_keeps_all_of_them_out_and_leaves_no_trace() {
    let mut world = check(CHART);
    let cases = [
        ("t1 drey anchor 1 ok\nt1 drey anchor 2 window=t5..t9 ok\n", "not_yet"),
        ("t1 drey anchor 1 ok\nt1 drey anchor 2 chain=other ok\n", "wrong_chain"),
        ("t1 drey! anchor 1 ok\nt1 drey! anchor 2 ok\n", "~key_not_of_signer"),
        ("t1 drey anchor 1 ok\nt1 drey anchor 2 version=9 ok\n", "unknown_version"),
    ];
    for (script, expected) in cases {
        let mut here = world.clone();
        let unit = parts(&mut here, ID, script);
        let why = match here.apply_unit(&unit) {
            Err(Inadmissible::Signer(why)) => format!("~{}", name_of(&why)),
            Err(other) => name_of(&other),
            Ok(outcomes) => panic!("{outcomes:?}"),
        };
        assert_eq!(why, expected, "{script}");
        here.end();
        let executed = here.last.as_ref().unwrap();
        let touched: Vec<_> = executed.changes.iter().map(|(key, _)| key).collect();
        assert_eq!(touched, [&Key::History], "{script}");
        assert!(executed.outcomes.is_empty() && executed.leaves.is_empty());
    }
    // The same id twice, which the second part finds spent by the first.
    let unit = parts(&mut world, ID, "t1 drey anchor 1 ok\nt1 drey anchor 2 ok\n");
    let [CheckedEntry::Signed(first), CheckedEntry::Signed(second)] = &unit[..] else { panic!() };
    let again = Command { id: first.command().id, ..second.command().clone() };
    let again = verify(sign(again, &[&key("member:drey")])).unwrap();
    let refused = world.apply_unit(&[unit[0].clone(), CheckedEntry::Signed(again)]).unwrap_err();
    assert_eq!(refused, Inadmissible::Replayed(first.command().id));
    world.apply_unit(&unit).unwrap();
}

#[test]
fn the_quota_counts_every_part_before_any_is_decided() {
    let parameters =
        keepwell_types::genesis::Parameters { commands_per_minute_max: 3, ..PARAMETERS };
    let anchors = |count: usize| "t61 drey anchor 1 ok\n".repeat(count);
    for (count, fits) in [(2, true), (3, true), (4, false)] {
        let mut world = World::new(parameters.clone());
        let unit = parts(&mut world, ID, &anchors(count));
        let taken = world.apply_unit(&unit).map(|outcomes| outcomes.len());
        match fits {
            true => assert_eq!(taken, Ok(count)),
            false => assert_eq!(name_of(&taken.unwrap_err()), "quota_exceeded"),
        }
        world.end();
        assert_eq!(quota(&world), if fits { count as u32 } else { 0 });
    }
}

#[test]
fn a_single_part_is_not_replayed_and_stands_nowhere_alone() {
    let mut world = check(CHART);
    let unit = parts(&mut world, ID, "t1 drey anchor 1 ok\nt1 drey anchor 2 ok\n");
    world.apply_unit(&unit).unwrap();
    world.end();
    world.at(START.plus_ms(2_000));
    for part in &unit {
        assert_eq!(name_of(&world.apply(part).unwrap_err()), "out_of_place");
    }
    assert_eq!(name_of(&world.apply_unit(&unit).unwrap_err()), "replayed");
}

/// Applies entries unit by unit, loading from `world` what they lack.
fn run(mut execution: Execution, world: &World, entries: &[CheckedEntry]) -> Executed {
    for unit in units(entries) {
        while let Err(error) = execution.apply_unit(unit) {
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

/// Whether keys are there from the start or are asked for one by one, and whether what they are asked for is given up
/// on the way, changes nothing of what follows.
#[test]
fn a_transaction_that_lacks_a_key_goes_on_or_has_not_happened() {
    let before = check(&format!("{CHART}\nt0 drey add old ok"));
    for last in ["t1 drey add r9 ok", "t1 drey add r9 bytes=max+1 ok"] {
        let mut world = before.clone();
        let script = format!(
            "t1 drey add r1 tag=a ok\nt1 drey add v2 amends=old ok\nt1 drey add r2 tag=b ok\n{last}"
        );
        let unit = parts(&mut world, ID, &script);
        let single = CheckedEntry::Signed(
            verify(lines("t1 nora anchor 1 ok")[0].command(&mut world)).unwrap(),
        );
        let context = world.context();
        let lazily = run(Execution::new(context.clone()), &before, &unit);
        let mut early = Execution::new(context.clone());
        for key in before.state.keys() {
            early.load(*key, before.stored(key));
        }
        assert_eq!(run(early, &before, &unit), lazily);

        let alone = run(Execution::new(context.clone()), &before, std::slice::from_ref(&single));
        let mut lacks = 0;
        loop {
            let mut execution = Execution::new(context.clone());
            let mut loaded = 0;
            while loaded < lacks
                && let Err(ApplyError::Lacks(key)) = execution.apply_unit(&unit)
            {
                execution.load(key, before.stored(&key));
                loaded += 1;
            }
            let Err(ApplyError::Lacks(_)) = execution.apply_unit(&unit) else { break };
            let gave_up = run(execution.clone(), &before, std::slice::from_ref(&single));
            assert_eq!(gave_up, alone, "after {lacks} keys");
            let nothing = run(execution, &before, &[]);
            assert!(nothing.outcomes.is_empty() && nothing.leaves.is_empty());
            assert_eq!(nothing.changes.len(), 1, "{:?}", nothing.changes);
            lacks += 1;
        }
        assert!(lacks > 8, "{lacks}");
    }
}

/// What happens in the random scripts: more than one of many clashes with another.
fn line() -> impl Strategy<Value = String> {
    let chart = prop_oneof![4 => Just("c1"), 1 => Just("c2"), 1 => Just("c3")];
    let record = 0..4_usize;
    prop_oneof![
        2 => chart.clone().prop_map(|chart| format!("rex open {chart}")),
        6 => (chart.clone(), record.clone())
            .prop_map(|(chart, record)| format!("drey add r{record} in={chart}")),
        3 => (chart.clone(), record.clone(), 0..6_usize)
            .prop_map(|(chart, record, tag)| format!("drey add r{record} in={chart} tag=t{tag}")),
        3 => (record.clone(), record, 2..4_u32).prop_map(|(record, other, version)| {
            format!("drey add r{record} amends=r{other} version_is={version}")
        }),
        2 => Just("drey anchor 1".to_owned()),
        1 => Just("drey anchor 0".to_owned()),
        1 => (0..2_usize).prop_map(|group| format!("hospital form g{group} of=hospital purposes=TREAT")),
    ]
}

/// Units of a block: scripts of one signer each.
fn block() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(line(), 1..7), 1..4)
}

/// The same commands without a transaction around them.
fn single(entry: &CheckedEntry, payload: Option<Payload>) -> CheckedEntry {
    let CheckedEntry::Signed(command) = entry else { panic!("signed") };
    let alone = command.command();
    let payload = payload.unwrap_or_else(|| alone.payload.clone());
    let alone = Command { part: None, payload, ..alone.clone() };
    let keys: Vec<_> = alone.signers.iter().map(signing_key).collect();
    CheckedEntry::Signed(verify(sign(alone, &keys.iter().collect::<Vec<_>>())).unwrap())
}

fn signing_key(party: &keepwell_types::member::Party) -> keepwell_crypto::sign::SigningKey {
    let names = ["rex", "drey"].map(|name| (name, member_id(name)));
    match names.iter().find(|(_, id)| *party == keepwell_types::member::Party::Member(*id)) {
        Some((name, _)) => key(&format!("member:{name}")),
        None => key("administrator:hospital"),
    }
}

/// All or none, as it is said and not as it is done: the parts one by one on a copy of everything, which is thrown away
/// if one of them is refused.
fn naive(world: &mut World, unit: &[CheckedEntry]) -> Option<usize> {
    let mut copy = world.clone();
    let accepted =
        |copy: &mut World, it| copy.apply(&single(it, None)).unwrap().verdict.is_accepted();
    match unit.iter().position(|it| !accepted(&mut copy, it)) {
        None => {
            *world = copy;
            None
        }
        Some(refused) => {
            for it in unit {
                let outcome = world.apply(&single(it, Some(refusable(it)))).unwrap();
                assert!(!outcome.verdict.is_accepted());
            }
            Some(refused)
        }
    }
}

/// What is refused whenever it is asked, of the same chart.
fn refusable(entry: &CheckedEntry) -> Payload {
    match entry.payload().chart() {
        Some(chart) => Payload::GrantRevoke(GrantRevoke { chart, grant: GrantId([0; 16]) }),
        None => Payload::AnchorAdd(AnchorAdd { root: Digest([0; 32]), documents: 0 }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_transaction_is_its_parts_or_nothing(blocks in prop::collection::vec(block(), 1..4)) {
        let mut world = check(CHART);
        let mut model = world.clone();
        for (scripts, second) in blocks.into_iter().zip(1..) {
            for (script, number) in scripts.into_iter().zip(0..) {
                // One first signer for all of it.
                let who = script[0].split(' ').next().unwrap().to_owned();
                let script: Vec<_> = script
                    .iter()
                    .filter(|line| line.starts_with(&who))
                    .map(|line| format!("t{second} {line} ok\n"))
                    .collect();
                world.at(START.plus_ms(second * 1_000));
                model.at(START.plus_ms(second * 1_000));
                let unit = if script.len() == 1 {
                    let line = lines(&script[0]).remove(0);
                    vec![CheckedEntry::Signed(verify(line.command(&mut world)).unwrap())]
                } else {
                    parts(&mut world, TransactionId([number; 16]), &script.concat())
                };
                let outcomes = world.apply_unit(&unit).unwrap();
                let refused = naive(&mut model, &unit);
                for (place, outcome) in outcomes.iter().enumerate() {
                    match refused {
                        None => prop_assert!(outcome.verdict.is_accepted()),
                        Some(refused) if place != refused => prop_assert_eq!(
                            &outcome.verdict,
                            &Verdict::Rejected(Rejection::Transaction { place: refused as u16 })
                        ),
                        Some(_) => prop_assert!(!outcome.verdict.is_accepted()),
                    }
                }
            }
            world.end();
            model.end();
            // Logs are of outcomes, which name commands; the model's are others.
            let places = |world: &World| -> Vec<_> {
                let leaves = &world.last.as_ref().unwrap().leaves;
                leaves.iter().map(|it| (it.chart, it.position, it.line.clone())).collect()
            };
            prop_assert_eq!(places(&world), places(&model));
            let state = |world: &World| -> BTreeMap<_, _> {
                let others = |key: &Key| !matches!(key, Key::ChartLog(_) | Key::History);
                world.state.clone().into_iter().filter(|(key, _)| others(key)).collect()
            };
            prop_assert_eq!(state(&world), state(&model));
        }
    }
}

/// `cargo test --release -- --ignored --nocapture`: what a whole block of one transaction costs, where every key is
/// asked for one by one, and what it has for bytes.
#[test]
#[ignore = "measures"]
fn how_fast_a_transaction_is_executed() {
    let mut world = World::new(keepwell_types::genesis::Parameters {
        commands_per_minute_max: u32::MAX,
        ..PARAMETERS
    });
    world.run(CHART);
    for refused in [false, true] {
        let last = if refused { "bytes=max+1" } else { "" };
        let script: String = (1..TRANSACTION_COMMANDS_MAX)
            .map(|at| format!("t1 drey add r{at} tag=t{at} ok\n"))
            .chain([format!("t1 drey add last {last} ok\n")])
            .collect();
        let unit = parts(&mut world, ID, &script);
        let bytes: usize = unit
            .iter()
            .map(|it| match it {
                CheckedEntry::Genesis { .. } => 0,
                CheckedEntry::Signed(it) => Verified::signed(it).encode().len(),
            })
            .sum();
        let start = Instant::now();
        let executed = run(Execution::new(world.context()), &world, &unit);
        println!(
            "{} parts of {bytes} bytes ({TRANSACTION_BYTES_MAX} at most) in {:?}",
            executed.outcomes.len(),
            start.elapsed()
        );
        assert!(executed.outcomes.iter().all(|it| it.verdict.is_accepted() != refused));
    }
}
