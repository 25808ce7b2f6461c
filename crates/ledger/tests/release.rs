//! What a validator releases after the access: still allowed, still young, still the same record.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::release::{
    Accepted, LabelMismatch, ReleaseHalt, ReleaseRefusal, label_matches, release_check,
};
use keepwell_types::{
    access::AccessOpen, command::Payload, id::*, member::Party, outcome::Rejection, record::Label,
    time::BlockTime,
};
use support::{CHAIN, PARAMETERS, World, chart_id, member_id, name_of, script};

const RECORDS: &str = "
    t0  rex   open  c1                                  ok
    t1  drey  add   result kind=result compartment=1    ok
    t1  drey  add   note   kind=document compartment=2  ok
    t1  lena  add   draft  approval=1:cleo              ok
";

/// A world in which `access`, a line of a script, was just accepted, and that access.
struct Opened {
    world: World,
    open: AccessOpen,
    reader: Party,
    position: LogPosition,
    time: BlockTime,
}

impl Opened {
    fn by(given: &str, access: &str) -> Self {
        let mut world = World::new(PARAMETERS);
        world.run(RECORDS);
        world.run(given);
        world.run(access);
        let command = world.last_command.clone().unwrap();
        let Payload::AccessOpen(open) = command.command().payload.clone() else {
            panic!("the last line opens")
        };
        let position = world.last.as_ref().unwrap().leaves.last().unwrap().position;
        let (reader, time) = (command.command().signers[0], world.time);
        Self { world, open, reader, position, time }
    }

    fn then(mut self, script: &str) -> Self {
        self.world.run(script);
        self
    }

    /// What is said to a release of these records at `now`: `ok`, or the name of the refusal.
    fn release(&self, now: &str, records: &[&str]) -> String {
        let records: Vec<_> = records.iter().map(|it| self.world.record("c1", it)).collect();
        let access = Accepted {
            reader: self.reader,
            open: &self.open,
            position: self.position,
            time: self.time,
        };
        let now = script::instant(now);
        let answer = self.world.ask(
            |view| release_check(view, &self.world.parameters, now, &access, &records),
            |halt| match halt {
                ReleaseHalt::Lacks(lacks) => Some(*lacks),
                ReleaseHalt::Refused(_) => None,
            },
        );
        match answer {
            Ok(()) => "ok".into(),
            Err(ReleaseHalt::Refused(ReleaseRefusal::NotAllowed { why, .. })) => name_of(&why),
            Err(ReleaseHalt::Refused(ReleaseRefusal::Reader(why))) => name_of(&why),
            Err(ReleaseHalt::Refused(refusal)) => name_of(&refusal),
            Err(ReleaseHalt::Lacks(_)) => unreachable!("what lacks is loaded"),
        }
    }
}

#[test]
fn an_access_is_released_for_two_minutes() {
    let opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read result,note ok");
    assert_eq!(opened.release("t3", &["result"]), "ok");
    assert_eq!(opened.release("t123", &["result", "note"]), "ok");
    assert_eq!(opened.release("t123+1", &["result"]), "too_old");
}

#[test]
fn only_what_was_asked_for_is_released() {
    let opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read result ok");
    assert_eq!(opened.release("t4", &["note"]), "not_asked");
    assert_eq!(opened.release("t4", &["result", "note"]), "not_asked");
    let opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read 1 until=2 ok");
    assert_eq!(opened.release("t4", &["result"]), "ok");
    assert_eq!(opened.release("t4", &["note"]), "not_asked");
    let opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read 1,2 until=2 ok");
    assert_eq!(opened.release("t4", &["note"]), "not_asked");
}

#[test]
fn each_record_of_compartments_is_decided_by_itself() {
    let given = "
        t2  c1  give  g1 to=carl kinds=result  ok
        t2  c1  give  g2 to=carl records=note deny  ok
    ";
    let opened = Opened::by(given, "t3 carl read 1,2 until=4 ok");
    assert_eq!(opened.release("t4", &["result"]), "ok");
    assert_eq!(opened.release("t4", &["result", "note"]), "denied");
    assert_eq!(opened.release("t4", &["result", "draft"]), "not_final");
}

#[test]
fn what_ended_since_is_not_released() {
    let opened = || Opened::by("t2 c1 give g1 to=carl ends=t9 ok", "t3 carl read result ok");
    let after = |script: &str| opened().then(script).release("t5", &["result"]);
    assert_eq!(after("t4 c1 give g2 to=cleo ok"), "ok");
    assert_eq!(after("t4 c1 revoke g1 ok"), "not_granted");
    assert_eq!(after("t4 c1 give g2 to=carl deny ok"), "denied");
    assert_eq!(after("t4 c1 limit g1 compartments=2 ends=t9 ok"), "not_granted");
    assert_eq!(after("t4 clinic suspend carl ok"), "member_suspended");
    let suspends = "t4 hospital+lab+insurer suspend_organisation clinic ok";
    assert_eq!(after(suspends), "organisation_suspended");
    assert_eq!(opened().release("t9-1", &["result"]), "ok");
    assert_eq!(opened().release("t9", &["result"]), "outside_window");
}

#[test]
fn the_access_that_used_up_a_grant_is_released() {
    let given = "t2 c1 give g1 to=carl max=1 ok";
    let opened = Opened::by(given, "t3 carl read result ok");
    assert_eq!(opened.release("t4", &["result"]), "ok");
    let opened = opened.then("t4 carl read result accesses_used_up");
    assert_eq!(opened.release("t5", &["result"]), "ok");
}

/// An access that one grant allowed does not live on by another that never counted it.
#[test]
fn a_grant_that_did_not_count_the_access_does_not_release_it() {
    let given = "
        t2  c1  give  g1 to=carl                        ok
        t2  c1  give  g2 to=organisation:clinic max=9   ok
    ";
    let opened = Opened::by(given, "t3 carl read result ok");
    assert_eq!(opened.release("t4", &["result"]), "ok");
    let opened = opened.then("t4 c1 revoke g1 ok");
    assert_eq!(opened.release("t5", &["result"]), "accesses_used_up");
}

#[test]
fn fewer_accesses_stop_the_last_ones() {
    let given = "
        t2  c1    give  g1 to=carl max=3   ok
        t2  carl  read  result             ok
    ";
    let opened = Opened::by(given, "t3 carl read result ok");
    let opened = opened.then("t4 c1 limit g1 max=2 ok");
    assert_eq!(opened.release("t5", &["result"]), "ok");
    let opened = opened.then("t5 c1 limit g1 max=1 ok");
    assert_eq!(opened.release("t5", &["result"]), "accesses_used_up");
}

#[test]
fn the_controller_is_released_everything_it_asked_for() {
    let opened = Opened::by("t2 c1 give g1 to=everyone deny ok", "t3 c1 read result,draft ok");
    assert_eq!(opened.release("t4", &["result", "draft"]), "ok");
    assert_eq!(opened.release("t4", &["note"]), "not_asked");
}

#[test]
fn parties_that_cannot_open_are_released_nothing() {
    let mut opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read result ok");
    for reader in [
        Party::Controller(chart_id("c2")),
        Party::Claimant(chart_id("c1")),
        Party::Administrator(support::organisation_id("clinic")),
    ] {
        opened.reader = reader;
        assert_eq!(opened.release("t4", &["result"]), "wrong_signers");
    }
    opened.reader = Party::Member(member_id("joe"));
    assert_eq!(
        opened.release("t4", &["result"]),
        name_of(&Rejection::UnknownMember(member_id("joe")))
    );
}

#[test]
fn a_label_is_compared_field_by_field() {
    let opened = Opened::by("t2 c1 give g1 to=carl ok", "t3 carl read result ok");
    let (_, entry) = opened.world.record("c1", "result");
    let (chart, committee) = (chart_id("c1"), CommitteeId([5; 32]));
    let label = Label {
        chain: CHAIN,
        chart,
        record: entry.record,
        version: entry.version,
        compartment: entry.compartment,
        epoch: entry.epoch,
        committee,
        content: Digest([6; 32]),
        sealed_bytes: entry.sealed_bytes,
    };
    let check = |label: Label| label_matches(&entry, CHAIN, chart, committee, &label);
    assert_eq!(check(label), Ok(()));

    let compartment = Compartment::new(2).unwrap();
    let faults = [
        ("chain", check(Label { chain: ChainId([0; 32]), ..label })),
        ("chart", check(Label { chart: ChartId([0; 32]), ..label })),
        ("record", check(Label { record: RecordId([0; 32]), ..label })),
        ("version", check(Label { version: Version(2), ..label })),
        ("compartment", check(Label { compartment, ..label })),
        ("epoch", check(Label { epoch: Epoch(1), ..label })),
        ("committee", check(Label { committee: CommitteeId([0; 32]), ..label })),
        ("sealed_bytes", check(Label { sealed_bytes: 1_001, ..label })),
    ];
    for (name, fault) in faults {
        assert_eq!(name_of(&fault.unwrap_err()), name);
    }
    let fault = check(Label { epoch: Epoch(1), ..label });
    assert_eq!(fault, Err(LabelMismatch::Epoch { label: Epoch(1), ledger: Epoch(0) }));
}
