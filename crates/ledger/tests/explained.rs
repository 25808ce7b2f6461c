//! Why, what if, and by which rule: what is told of decisions is what was decided.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use keepwell_crypto::command::verify;
use keepwell_ledger::{
    Halt,
    consent::{Cause, Consent, Counting, Decision, Origin, Question, Reader, Trace},
    past::{Allowed, Past},
    state::{Key, Value},
    trial,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    command::{Command, Entry, Payload, SignedCommand},
    encoding::List,
    grant::{GrantGive, GrantRevoke, GrantTerms, Grantee},
    id::{ChartId, Digest, LogPosition},
    member::Party,
    outcome::Rejection,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};
use support::{
    MEMBERS, PARAMETERS, World, chart_id, check, grant_id, key, lines, member_id, sign_as,
};

/// Records that are stopped in every way, and one that is not.
const STOPPED: &str = "
    t0  rex   open      c1                                          ok
    t1  drey  add       free      kind=result compartment=1         ok
    t1  drey  add       redacted  kind=result compartment=1         ok
    t1  drey  add       closed    kind=result compartment=1         ok
    t1  drey  add       paid      kind=result compartment=1         ok
    t1  drey  add       waiting   kind=result compartment=1 approval=1:lena  ok
    t1  drey  add       secret    kind=document compartment=12      ok
    t1  c1    give      g1 to=everyone purposes=TREAT,HPAYMT,HLEGAL ok
    t1  c1    redact    redacted                                    ok
    t1  hugh  redact    redacted                                    ok
    t1  c1    restrict  closed of=processing                        ok
    t1  c1    restrict  paid of=self_pay                            ok
";
const RECORDS: [&str; 6] = ["free", "redacted", "closed", "paid", "waiting", "secret"];

/// What the rule says to a reader about a record, and why.
fn ask(world: &World, reader: Option<&str>, record: &str, purpose: Purpose) -> (Decision, Trace) {
    let (position, entry) = world.record("c1", record);
    let chart = chart_id("c1");
    world
        .ask(
            |view| {
                let reader = match reader {
                    None => Reader::Controller,
                    Some(name) => {
                        let id = member_id(name);
                        Reader::member(id, view.member(id)?.expect("the member exists"))
                    }
                };
                let counting = Counting::Opening;
                let question = Question { chart, purpose, time: world.time, counting };
                let chart = view.chart(chart)?.expect("the chart exists");
                let consent = Consent::of(view, &world.parameters, chart, reader, question)?;
                Ok((consent.record(position, &entry)?, consent.explain(position, &entry)?))
            },
            |lacks: &keepwell_ledger::Lacks| Some(*lacks),
        )
        .unwrap()
}

#[test]
fn each_hard_stop_is_named_whether_it_stops_the_reader_or_not() {
    let world = check(STOPPED);
    for (reader, record, purpose, expected) in [
        (Some("carl"), "free", Purpose::Treatment, &[][..]),
        (Some("carl"), "redacted", Purpose::Treatment, &[(Cause::Redacted, true)]),
        (None, "redacted", Purpose::PatientRequest, &[(Cause::Redacted, true)]),
        (Some("carl"), "closed", Purpose::Treatment, &[(Cause::Restricted, true)]),
        (Some("carl"), "closed", Purpose::Legal, &[(Cause::Restricted, false)]),
        (None, "closed", Purpose::PatientRequest, &[(Cause::Restricted, false)]),
        (Some("ivy"), "paid", Purpose::Payment, &[(Cause::SelfPay, true)]),
        (Some("carl"), "paid", Purpose::Payment, &[(Cause::SelfPay, false)]),
        (Some("carl"), "waiting", Purpose::Treatment, &[(Cause::Proposed, true)]),
        (Some("lena"), "waiting", Purpose::Treatment, &[(Cause::Proposed, false)]),
        (Some("nora"), "waiting", Purpose::Treatment, &[(Cause::Proposed, false)]),
        (Some("carl"), "secret", Purpose::Treatment, &[(Cause::SeparateConsent, true)]),
        (None, "secret", Purpose::PatientRequest, &[(Cause::SeparateConsent, false)]),
    ] {
        let (_, trace) = ask(&world, reader, record, purpose);
        let given: Vec<_> = trace.stops.iter().map(|it| (it.cause, it.stops)).collect();
        assert_eq!(given, expected, "{reader:?} {record} {purpose}");
    }
    let text = ask(&world, Some("ivy"), "paid", Purpose::Payment).1.to_string();
    assert!(text.contains("-  the patient paid for it, so no insurer reads it: stops"), "{text}");
}

/// The trace decides nothing: what it says is what the rule said, and a stop that stops refuses.
#[test]
fn an_explanation_is_never_other_than_the_decision() {
    let mut world = check(STOPPED);
    world.run(
        "
        t2  c1    give  g2 to=carl deny purposes=HLEGAL             ok
        t2  c1    give  g3 to=cleo compartments=12 separate         ok
        t2  c1    give  g4 to=lena max=1                            ok
        t2  lena  read  free                                        ok
    ",
    );
    let readers = MEMBERS.iter().map(|it| Some(it.0)).chain([None]);
    for reader in readers {
        for record in RECORDS {
            for purpose in PurposeSet::all().iter() {
                let (decision, trace) = ask(&world, reader, record, purpose);
                assert_eq!(decision, trace.decision, "{reader:?} {record} {purpose}");
                let stopped = trace.stops.iter().any(|stop| stop.stops);
                let refused = matches!(decision, Decision::Refused(_));
                assert!(refused || !stopped, "{reader:?} {record} {purpose}: {trace}");
            }
        }
    }
}

/// Reads the log of `c1` again, up to the end.
fn past_of(world: &World) -> (Past, Vec<(LogPosition, Allowed)>) {
    let chart = chart_id("c1");
    let Some(Value::Chart(entry)) = world.stored(&Key::Chart(chart)) else { panic!("no chart") };
    let mut past = Past::new(chart, entry, world.parameters.clone());
    let mut allowed = Vec::new();
    for (_, position, entry, outcome) in world.log.iter().filter(|it| it.0 == chart) {
        let by = loop {
            match past.take(*position, entry, outcome) {
                Ok(by) => break by,
                Err(lacks) => past.load(lacks.0, world.stored(&lacks.0)),
            }
        };
        allowed.extend(by.map(|by| (*position, by)));
    }
    (past, allowed)
}

#[test]
fn e2_the_log_tells_by_which_rule_each_access_was_allowed() {
    let world = check(
        "
        t0  rex   open   c1                                     ok
        t0  hospital+clinic+lab  admit  medboard                ok
        t0  medboard  enrol  liz of=medboard roles=licensor     ok
        t0  liz   issue  l1 to=carl                             ok
        t1  drey  add    result kind=result compartment=1       ok
        t1  drey  add    note   kind=document compartment=2     ok
        t2  c1    give   g1 to=organisation:clinic              ok
        t2  carl  read   result                                 ok
        t3  c1    give   g2 to=carl records=result max=2 ends=t6 ok
        t3  carl  read   result                                 ok
        t3  carl  read   result,note                            ok
        t4  carl  read   result                                 ok
        t4  c1    give   g3 to=carl compartments=2 from=t5 ends=t9 ok
        t5-1  carl  read note                                   ok
        t5    carl  read note                                   ok
        t9    carl  read note                                   ok
        t10 c1    limit  g1 compartments=1                      ok
        t10 carl  read   note                                   outside_window
        t10 c1    team   x members=ivy                          ok
        t10 c1    give   g4 to=team:x onward ends=t900          ok
        t10 ivy   pass   g5 of=g4 to=lena compartments=1 ends=t50 ok
        t10 lena  read   result                                 ok
        t11 c1    read   result for=PATRQT                      ok
        t11 c1    prepare c1 compartments=1,2                   ok
        t12 carl  break  e1 compartments=2                      ok
        t17 carl  read   note for=BTG                           ok
        t18 c1    revoke_all clinic                             ok
        t18 carl  read   result                                 not_granted
        t19 c1    give   g6 to=role:clinic:nurse                ok
        t19 cleo  read   result                                 ok
        t20 clinic assign cleo roles=clinician                  ok
        t20 c1    revoke g4                                     ok
        t21 c1    team   x                                      ok
    ",
    );
    let (past, allowed) = past_of(&world);
    let grant = |name: &str| Origin::Grant(grant_id(name));
    let emergency = Origin::Emergency(world.emergency("e1"));
    let by = |origins: &[Origin]| Allowed::By(origins.iter().copied().collect::<BTreeSet<_>>());
    let expected = [
        by(&[grant("g1")]),
        by(&[grant("g2")]),
        by(&[grant("g2"), grant("g1")]),
        by(&[grant("g1")]),
        by(&[grant("g1")]),
        by(&[grant("g3")]),
        by(&[grant("g1")]),
        by(&[grant("g5")]),
        by(&[Origin::Controller]),
        by(&[emergency]),
        // Today cleo is no nurse any more: which grant it was is not guessed.
        Allowed::Unknown,
    ];
    let given: Vec<_> = allowed.into_iter().map(|(_, allowed)| allowed).collect();
    assert_eq!(given, expected);
    rules_are_those_of_the_state(&world, &past);
}

/// Whatever the log's entries made of grants, lists, teams and cutoffs is what the state has.
fn rules_are_those_of_the_state(world: &World, past: &Past) {
    let chart = chart_id("c1");
    for (key, bytes) in &world.state {
        let rule = match key {
            Key::Grant(it, _) | Key::Subject(it, _) | Key::Cutoff(it, _) => *it == chart,
            Key::Teams(it) => *it == chart,
            Key::History
            | Key::ReplaySlot(_)
            | Key::Quota(..)
            | Key::Organisations
            | Key::Organisation(_)
            | Key::Member(_)
            | Key::Chart(_)
            | Key::ChartLog(_)
            | Key::Proposal(..)
            | Key::Tag(..)
            | Key::Record(..)
            | Key::Group(_)
            | Key::Request(..)
            | Key::OpenRequests(..)
            | Key::RecordState(..)
            | Key::Credentials(_)
            | Key::Emergencies(_)
            | Key::Case(..)
            | Key::Guardians(_)
            | Key::Recoveries(_)
            | Key::Proxies(_)
            | Key::EmergencyUse(_)
            | Key::MatchQuota(_)
            | Key::Link(_)
            | Key::Motion(_)
            | Key::OpenMotions(_)
            | Key::Validators
            | Key::Changing
            | Key::Receiver(_)
            | Key::Dealt(_)
            | Key::Protocol => false,
        };
        if rule {
            assert_eq!(past.value(key).map(Value::encode).as_ref(), Some(bytes), "{key:?}");
        }
    }
}

/// A command of the chart's controller that goes nowhere, as of now.
fn unsent(world: &World, payload: Payload) -> keepwell_crypto::command::Verified {
    let mut world = world.clone();
    let signers = [(Party::Controller(chart_id("c1")), key("controller:c1"))];
    let SignedCommand { command, .. } = world.sign(&signers, payload);
    let window = Window { from: command.window.from, until: command.window.from.plus_ms(1) };
    verify(sign_as(Command { window, ..command }, &signers)).unwrap()
}

fn terms(world: &World, grantee: Grantee, effect: keepwell_types::grant::Effect) -> GrantTerms {
    GrantTerms {
        effect,
        grantee,
        compartments: CompartmentSet::from_bits(0b110).unwrap(),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
        window: Window { from: world.time, until: world.time.plus_ms(60_000) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    }
}

/// Decides an access as of now, under the rules as they would be after a command.
fn tried(
    world: &World,
    command: Option<&Payload>,
    reader: &str,
    record: &str,
) -> Result<BTreeSet<Origin>, Rejection> {
    let open = AccessOpen {
        chart: chart_id("c1"),
        target: Target::Records(List::from_vec(vec![world.name(record)]).unwrap()),
        purpose: Purpose::Treatment,
        reader_key: Digest([0; 32]),
        notice: 0,
    };
    let party = Party::Member(member_id(reader));
    let (block, now) = (world.context(), world.time.plus_ms(1));
    let mut view = keepwell_ledger::View::new();
    loop {
        let given = match command {
            None => trial::access(&view, &world.parameters, party, &open, now),
            Some(payload) => trial::after(&view, &block, &unsent(world, payload.clone()))
                .and_then(|after| trial::access(&after, &world.parameters, party, &open, now)),
        };
        match given {
            Ok(origins) => return Ok(origins),
            Err(Halt::Rejected(rejection)) => return Err(rejection),
            Err(Halt::Lacks(lacks)) => view.load(lacks.0, world.stored(&lacks.0)),
        }
    }
}

#[test]
fn a_trial_is_what_would_be_decided_and_changes_nothing() {
    use keepwell_types::grant::Effect::{Allow, Deny};
    let mut world = check("t0 rex open c1 ok");
    world.run(
        "
        t1  drey  add   result kind=result compartment=1     ok
        t2  c1    give  g1 to=organisation:clinic            ok
        t2  carl  read  result                               ok
    ",
    );
    let before = world.state.clone();
    let give = |name: &str, grantee, effect| {
        let terms = terms(&world, grantee, effect);
        let (chart, grant) = (chart_id("c1"), grant_id(name));
        Payload::GrantGive(GrantGive { chart, grant, terms, seeds: Digest([0; 32]) })
    };
    let carl = Grantee::Member(member_id("carl"));
    let ivy = Grantee::Member(member_id("ivy"));
    let revoke = Payload::GrantRevoke(GrantRevoke { chart: chart_id("c1"), grant: grant_id("g1") });
    for (command, reader, allowed) in [
        (None, "carl", true),
        (None, "ivy", false),
        (Some(give("g2", ivy, Allow)), "ivy", true),
        (Some(give("g2", carl, Deny)), "carl", false),
        (Some(give("g2", carl, Deny)), "cleo", true),
        (Some(revoke), "carl", false),
    ] {
        let given = tried(&world, command.as_ref(), reader, "result");
        assert_eq!(given.is_ok(), allowed, "{command:?} {reader}: {given:?}");
    }
    // What the ledger would refuse is refused here, in the ledger's words.
    let again = give("g1", ivy, Allow);
    assert_eq!(
        tried(&world, Some(&again), "ivy", "result"),
        Err(Rejection::GrantExists(grant_id("g1")))
    );
    assert_eq!(world.state, before);
    // A reader who may not act gains nothing.
    world.run("t3 clinic suspend carl ok");
    assert_eq!(
        tried(&world, None, "carl", "result"),
        Err(Rejection::MemberSuspended(member_id("carl")))
    );
}

/// A log that was tampered with is not read here at all; what names no record allows nothing.
#[test]
fn the_past_holds_against_odd_entries() {
    let world = check("t0 rex open c1 ok");
    let chart = chart_id("c1");
    let Some(Value::Chart(entry)) = world.stored(&Key::Chart(chart)) else { panic!("no chart") };
    let mut past = Past::new(chart, entry, PARAMETERS);
    let mut odd = world.clone();
    let open = AccessOpen {
        chart: ChartId([9; 32]),
        target: Target::Records(List::new()),
        purpose: Purpose::Treatment,
        reader_key: Digest([0; 32]),
        notice: 0,
    };
    let signers = [(Party::Member(member_id("carl")), key("member:carl"))];
    let entry = Entry::Signed(odd.sign(&signers, Payload::AccessOpen(open)));
    let outcome = world.log[0].3.clone();
    let by = past.take(LogPosition(7), &entry, &outcome).unwrap();
    assert_eq!(by, Some(Allowed::Unknown));
    assert!(lines("").is_empty());
}
