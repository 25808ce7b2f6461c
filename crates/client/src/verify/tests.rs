//! Hostile answers: each is refused, and for its own reason.

use keepwell_crypto::{
    command::{command_digest, sign},
    sign::SigningKey,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    command::{COMMAND_VERSION, Command, Payload},
    encoding::{Blob, List},
    id::{CommandId, Location, MemberId},
    member::Party,
    outcome::{Rejection, Verdict},
    set::CompartmentSet,
    time::Window,
    wire::LogEntry,
};

use super::*;
use crate::testing::{FOUNDED, World, list};

const CHART: ChartId = ChartId([0xc0; 32]);
const LOG: Key = Key::ChartLog(CHART);

fn name<T>(result: Result<T, ProofFault>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(ProofFault::Encoding(_)) => "encoding",
        Err(ProofFault::Receipt(_)) => "receipt",
        Err(ProofFault::Handover(_)) => "handover",
        Err(ProofFault::OtherCommand) => "other_command",
        Err(ProofFault::State { .. }) => "state",
        Err(ProofFault::Kind) => "kind",
        Err(ProofFault::OtherEntry(_)) => "not_asked",
        Err(ProofFault::AccessPage) => "access_page",
        Err(ProofFault::OpenedPage) => "opened_page",
        Err(ProofFault::Tip(fault)) => match fault {
            TipFault::Stale { .. } => "stale",
            TipFault::Behind { .. } => "behind",
            TipFault::Ahead { .. } => "ahead",
            TipFault::Fork { .. } => "fork",
        },
        Err(ProofFault::Log(fault)) => match fault {
            LogFault::From { .. } => "from",
            LogFault::Before(_) => "before",
            LogFault::Shrunk { .. } => "shrunk",
            LogFault::NoChart(_) => "no_chart",
            LogFault::OtherEntry(_) => "other_entry",
            LogFault::OtherChart(_) => "other_chart",
            LogFault::TooMany { .. } => "too_many",
            LogFault::Withheld { .. } => "withheld",
            LogFault::Head { .. } => "head",
        },
    }
}

#[test]
fn a_tip_is_fresh_and_never_below_one_that_was_seen() {
    let world = World::new("tips");
    let tip = world.certified(world.header(5, Digest([9; 32]))).encode();
    let at = |height| {
        let header = world.certified(world.header(height, Digest([9; 32])));
        Some(TipSeen::of(&header.verify_by(world.consortium.validators()).unwrap()))
    };
    let fork = world.certified(world.header(5, Digest([8; 32])));
    let fork = Some(TipSeen::of(&fork.verify_by(world.consortium.validators()).unwrap()));
    for (age_ms, seen, expected) in [
        (0, None, "ok"),
        (TIP_AGE_MS_MAX, None, "ok"),
        (TIP_AGE_MS_MAX + 1, None, "stale"),
        (0, at(4), "ok"),
        (0, at(5), "ok"),
        (0, at(6), "behind"),
        (TIP_AGE_MS_MAX + 1, at(6), "behind"),
        (0, fork, "fork"),
    ] {
        let checker = world.checker(5, age_ms, seen);
        assert_eq!(name(checker.tip(&tip)), expected, "{age_ms} ms old, {seen:?} seen");
    }
    let mut early = world.checker(5, 0, None);
    early.now = BlockTime(FOUNDED.0 - TIP_AHEAD_MS_MAX);
    assert_eq!(name(early.tip(&tip)), "ahead");
}

#[test]
fn a_tip_of_another_consortium_or_with_fewer_votes_is_refused() {
    let (world, other) = (World::new("ours"), World::new("theirs"));
    let checker = world.checker(5, 0, None);
    let foreign = other.certified(other.header(5, Digest([9; 32]))).encode();
    assert_eq!(name(checker.tip(&foreign)), "receipt");
    let mut weak = world.certified(world.header(5, Digest([9; 32])));
    weak.certificate.votes = list(weak.certificate.votes.iter().take(2).copied());
    assert_eq!(name(checker.tip(&weak.encode())), "receipt");
    let mut changed = world.certified(world.header(5, Digest([9; 32])));
    changed.header.time = changed.header.time.plus_ms(1);
    assert_eq!(name(checker.tip(&changed.encode())), "receipt");
    assert_eq!(name(checker.tip(b"no header")), "receipt");
}

fn log_value(count: u64, head: u8) -> Value {
    Value::ChartLog(ChartLog {
        count: LogPosition(count),
        head: Digest([head; 32]),
        ..ChartLog::EMPTY
    })
}

#[test]
fn values_and_absences_of_the_state_are_proven() {
    let world = World::new("state");
    let other = Key::ChartLog(ChartId([0xc1; 32]));
    let absent = Key::ChartLog(ChartId([0xc2; 32]));
    let values = [(LOG, log_value(3, 7)), (other, log_value(4, 8))];
    let checker = world.checker(5, 0, None);
    let good = world.prove(5, &values, LOG);
    let proven = checker.state(&LOG, &good).unwrap();
    assert_eq!(proven.value(), Some(&log_value(3, 7)));
    let nothing = world.prove(5, &values, absent);
    assert_eq!(checker.state(&absent, &nothing).unwrap().value(), None);
    assert_eq!(checker.state(&absent, &world.prove(5, &[], absent)).unwrap().value(), None);

    let value = |value: Value| Some(Blob::from_vec(value.encode()).unwrap());
    let with = |change: &dyn Fn(&mut StateProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        proof
    };
    let forged: [(&str, Key, StateProof, &str); 9] = [
        ("another value", LOG, with(&|it| it.value = value(log_value(2, 7))), "state"),
        ("another key's proof", other, good.clone(), "state"),
        ("absence of what is there", LOG, with(&|it| it.value = None), "state"),
        ("absence by another's absence", LOG, nothing.clone(), "state"),
        ("a value for what is absent", absent, with(&|_| ()), "state"),
        (
            "an earlier state's proof",
            LOG,
            {
                let earlier = world.prove(4, &[(LOG, log_value(1, 1))], LOG);
                StateProof { certified: good.certified.clone(), ..earlier }
            },
            "state",
        ),
        (
            "a cut-off proof",
            LOG,
            with(&|it| {
                it.proof = Blob::from_vec(it.proof[..it.proof.len() - 1].to_vec()).unwrap();
            }),
            "state",
        ),
        (
            "an earlier block",
            LOG,
            with(&|it| {
                it.certified = world.prove(4, &values, LOG).certified;
            }),
            "behind",
        ),
        (
            "no certificate",
            LOG,
            with(&|it| it.certified = Blob::from_vec(vec![]).unwrap()),
            "receipt",
        ),
    ];
    let seen = Some(TipSeen::of(proven.header()));
    for (what, key, proof, expected) in forged {
        assert_eq!(name(world.checker(5, 0, seen).state(&key, &proof)), expected, "{what}");
    }
    for at in 0..good.proof.len() {
        let flipped = with(&|it| {
            let mut bytes = it.proof.to_vec();
            bytes[at] ^= 1;
            it.proof = Blob::from_vec(bytes).unwrap();
        });
        assert_eq!(name(checker.state(&LOG, &flipped)), "state", "byte {at} flipped");
    }
}

/// An access of the chart, as it stands in block `height`: every third one refused.
fn line(world: &World, chart: ChartId, height: u64) -> LogEntry {
    let payload = Payload::AccessOpen(AccessOpen {
        chart,
        target: Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(1) },
        purpose: Purpose::Treatment,
        reader_key: Digest([height as u8; 32]),
        notice: 1,
    });
    let command = Command {
        version: COMMAND_VERSION,
        chain: world.chain(),
        id: CommandId([height as u8; 16]),
        window: Window { from: FOUNDED, until: FOUNDED.plus_ms(600_000) },
        signers: list([Party::Member(MemberId([1; 16]))]),
        payload,
        part: None,
    };
    let refused = height.is_multiple_of(3);
    let outcome = Outcome {
        command: command_digest(&command),
        location: Location { height: Height(height), index: 0 },
        time: FOUNDED.plus_ms(1_500 * height),
        verdict: if refused { Verdict::Rejected(Rejection::NotGranted) } else { Verdict::Accepted },
    };
    let entry = Entry::Signed(sign(command, &[&SigningKey::from_seed(&[7; 32])]));
    LogEntry { entry, outcome }
}

fn lines(world: &World, count: u64) -> Vec<LogEntry> {
    (1..=count).map(|height| line(world, CHART, height)).collect()
}

fn head(lines: &[LogEntry]) -> Digest {
    let outcomes = lines.iter().map(|line| &line.outcome);
    chart_log::extend_all(chart_log::EMPTY, LogPosition(0), outcomes).unwrap()
}

/// A page of a log, proven at height 50.
fn page(world: &World, log: &[LogEntry], from: usize, shown: &[LogEntry]) -> LogPage {
    let value =
        ChartLog { count: LogPosition(log.len() as u64), head: head(log), ..ChartLog::EMPTY };
    LogPage {
        head: world.prove(50, &[(LOG, Value::ChartLog(value))], LOG),
        from: LogPosition(from as u64),
        before: head(&log[..from]),
        entries: list(shown.iter().cloned()),
    }
}

fn walk(world: &World, mut walk: LogWalk, pages: Vec<LogPage>) -> Result<VerifiedLog, ProofFault> {
    let checker = world.checker(50, 0, None);
    for page in pages {
        walk.take(page, &checker)?;
    }
    Ok(walk.finish().expect("the pages reach the end"))
}

#[test]
fn a_whole_log_is_shown_over_any_pages() {
    let world = World::new("log");
    let log = lines(&world, 9);
    let mark = LogMark { count: LogPosition(4), head: head(&log[..4]) };
    let pages = |cuts: &[usize]| -> Vec<_> {
        cuts.windows(2).map(|it| page(&world, &log, it[0], &log[it[0]..it[1]])).collect()
    };
    for (start, cuts, shown) in [
        (LogWalk::from_mark(CHART, LogMark::START), vec![0, 9], 9),
        (LogWalk::from_mark(CHART, LogMark::START), vec![0, 1, 5, 9], 9),
        (LogWalk::from_mark(CHART, mark), vec![4, 6, 9], 5),
        (LogWalk::whole(CHART, mark), vec![0, 3, 9], 9),
        (LogWalk::from_middle(CHART, LogPosition(7)), vec![7, 8, 9], 2),
    ] {
        let log = walk(&world, start, pages(&cuts)).unwrap();
        assert_eq!(log.lines().len(), shown, "{cuts:?}");
        assert_eq!(log.mark().count, LogPosition(9));
    }
    let all = LogMark { count: LogPosition(9), head: head(&log) };
    let nothing_new =
        walk(&world, LogWalk::from_mark(CHART, all), vec![page(&world, &log, 9, &[])]);
    assert!(nothing_new.unwrap().lines().is_empty());
}

#[test]
fn a_node_that_hides_or_alters_an_access_is_caught() {
    let world = World::new("log");
    let log = lines(&world, 6);
    let without = |at: usize| {
        let mut log = log.clone();
        log.remove(at);
        log
    };
    let altered = |at: usize, change: &dyn Fn(&mut LogEntry)| {
        let mut log = log.clone();
        change(&mut log[at]);
        log
    };
    let mut swapped = log.clone();
    swapped.swap(2, 3);
    let mut longer = log.clone();
    longer.push(line(&world, CHART, 7));
    let mut replaced = without(2);
    replaced.insert(2, line(&world, CHART, 8));
    let elsewhere = altered(2, &|it| *it = line(&world, ChartId([0xc1; 32]), 3));
    let one = |shown: &[LogEntry]| vec![page(&world, &log, 0, shown)];
    let ended_early = vec![page(&world, &log, 0, &log[..4]), page(&world, &log, 4, &[])];
    let mut misplaced = one(&log);
    misplaced[0].from = LogPosition(1);
    let mut rebased = one(&log);
    rebased[0].before = Digest([1; 32]);
    for (what, pages, expected) in [
        ("all of it", one(&log), "ok"),
        (
            "the refused access left out",
            {
                let mut pages = one(&without(2));
                pages.push(page(&world, &log, 5, &log[5..]));
                pages
            },
            "before",
        ),
        (
            "one left out, the end repeated",
            {
                let mut shown = without(2);
                shown.push(log[5].clone());
                one(&shown)
            },
            "head",
        ),
        ("the end left out", ended_early, "withheld"),
        ("two swapped", one(&swapped), "head"),
        ("one replaced", one(&replaced), "head"),
        ("one of another chart", one(&elsewhere), "other_chart"),
        ("one more than there are", one(&longer), "too_many"),
        (
            "a refusal shown as accepted",
            { one(&altered(2, &|it| it.outcome.verdict = Verdict::Accepted)) },
            "head",
        ),
        ("another time", one(&altered(2, &|it| it.outcome.time = FOUNDED)), "head"),
        (
            "another command under the outcome",
            { one(&altered(2, &|it| it.entry = line(&world, CHART, 9).entry)) },
            "other_entry",
        ),
        ("a page from elsewhere", misplaced, "from"),
        ("another beginning", rebased, "before"),
    ] {
        let walked = walk(&world, LogWalk::from_mark(CHART, LogMark::START), pages);
        assert_eq!(name(walked), expected, "{what}");
    }
}

/// A report is made of lines as they come, and never of some of them.
#[test]
fn h6_a_report_over_a_log_with_a_hidden_access_fails_and_is_not_shorter() {
    let world = World::new("log");
    let log = lines(&world, 6);
    let mut hiding = log.clone();
    hiding.remove(3);
    for (shown, ends) in [(&log, true), (&hiding, false)] {
        let mut gathering = crate::report::looks::Gathering::default();
        let mut walk = LogWalk::whole(CHART, LogMark::START);
        let pages = [page(&world, &log, 0, shown), page(&world, &log, shown.len(), &[])];
        let checker = world.checker(50, 0, None);
        let mut taken = Ok(());
        for page in pages {
            if taken.is_ok() && walk.next().is_some() {
                taken = walk.take_with(page, &checker, |line| gathering.take(line));
            }
        }
        assert_eq!((taken.is_ok(), walk.finish().is_some()), (ends, ends));
    }
}

#[test]
fn what_was_seen_cannot_be_taken_back() {
    let world = World::new("log");
    let (log, mut other) = (lines(&world, 6), lines(&world, 6));
    other[1] = line(&world, CHART, 20);
    let mark = |log: &[LogEntry]| LogMark { count: LogPosition(log.len() as u64), head: head(log) };
    let pages = |log: &[LogEntry]| vec![page(&world, log, 0, log)];
    for (what, known, log, expected) in [
        ("the same", mark(&log[..4]), &log[..], "ok"),
        ("another history", mark(&log[..4]), &other[..], "before"),
        ("a shorter one", mark(&log), &log[..4], "shrunk"),
    ] {
        let walked = walk(&world, LogWalk::whole(CHART, known), pages(log));
        assert_eq!(name(walked), expected, "{what}");
    }
    let mut after = page(&world, &other, 4, &other[4..]);
    let walked = walk(&world, LogWalk::from_mark(CHART, mark(&log[..4])), vec![after.clone()]);
    assert_eq!(name(walked), "before");
    // The true head before it does not help: the end is another one.
    after.before = head(&log[..4]);
    let walked = walk(&world, LogWalk::from_mark(CHART, mark(&log[..4])), vec![after]);
    assert_eq!(name(walked), "head");
}

#[test]
fn a_chart_that_is_not_there_has_no_log() {
    let world = World::new("log");
    let page = LogPage {
        head: world.prove(50, &[], LOG),
        from: LogPosition(0),
        before: chart_log::EMPTY,
        entries: List::new(),
    };
    let walked = walk(&world, LogWalk::from_mark(CHART, LogMark::START), vec![page]);
    assert_eq!(name(walked), "no_chart");
}
