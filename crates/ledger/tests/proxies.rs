//! Who acts for a patient, how far and until when.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::{
    release::{Accepted, ReleaseHalt, ReleaseRefusal, release_check},
    state::{Key, Value},
};
use keepwell_types::{
    access::{AccessOpen, Purpose, Target},
    encoding::List,
    id::{Digest, LogPosition},
    limits::PROXIES_MAX,
    member::Party,
    outcome::Rejection,
};
use support::{START, World, chart_id, check, proxy_id};

/// A patient's chart with records in two compartments, and a caregiver for the first.
const CARE: &str = "
    t0  rex   open        c1                                        ok
    t0  drey  add         open   compartment=1                      ok
    t0  drey  add         closed compartment=2                      ok
    t1  c1    name_proxy  cara compartments=1 ends=t100             ok
";

fn check_care(script: &str) -> World {
    let mut world = check(CARE);
    world.run(script);
    world
}

#[test]
fn h2_a_proxy_acts_in_its_own_name_within_its_compartments() {
    let world = check_care(
        "
        t2  proxy:cara  read      open                               ok
        t2  proxy:cara  read      closed                             outside_proxy
        t2  proxy:cara  read      open,closed                        outside_proxy
        t2  proxy:cara  read      1 until=2                          ok
        t2  proxy:cara  read      1,2 until=2                        outside_proxy
        t2  proxy:cara  add       diary compartment=1                ok
        t2  proxy:cara  add       other compartment=2                outside_proxy
        t2  proxy:cara  give      g1 to=carl compartments=1 ends=t100    ok
        t2  proxy:cara  give      g2 to=carl compartments=1 ends=t100+1  outside_proxy
        t2  proxy:cara  give      g2 to=carl compartments=1,2        outside_proxy
        t2  carl        read      open                               ok
        t2  proxy:cara  revoke    g1                                 ok
        t2  carl        read      open                               not_granted
        t2  proxy:cara  restrict  open   of=processing               ok
        t2  proxy:cara  restrict  closed of=processing               outside_proxy
        t2  proxy:cara  lift      open   of=processing               ok
        t2  proxy:cara  case      k1 kind=amendment of=open          ok
        t2  proxy:cara  case      k2 kind=amendment of=closed        outside_proxy
        t2  proxy:cara  case      k2 kind=access                     outside_proxy
        t2  carl        ask       q1 to=carl compartments=1          ok
        t2  carl        ask       q2 to=carl compartments=1,2        ok
        t2  proxy:cara  answer    q1 grant=g3 to=carl compartments=1 outside_proxy
        t2  proxy:cara  answer    q1 grant=g3 to=carl compartments=1 ends=t90  ok
        t2  proxy:cara  answer    q2 grant=g4 to=carl compartments=1 ends=t90  outside_proxy
    ",
    );
    let author = world.record("c1", "diary").1.author;
    assert_eq!(author, Party::Proxy(chart_id("c1"), proxy_id("cara")));
}

/// What no power stands for is the patient's alone.
#[test]
fn a_proxy_has_no_say_over_keys_and_people() {
    check_care(
        "
        t2  proxy:cara  name_proxy  carl                             outside_proxy
        t2  proxy:cara  guard       c1 groups=1:@cara                outside_proxy
        t2  proxy:cara  advance     c1                               outside_proxy
        t2  proxy:cara  arrange     c1                               outside_proxy
        t2  proxy:cara  prepare     c1                               outside_proxy
        t2  proxy:cara  close_chart       c1                               outside_proxy
        t2  proxy:cara  team        t1 members=carl                  outside_proxy
        t2  proxy:cara  redact      open                             outside_proxy
        t2  proxy:cara  revoke_all  clinic                           outside_proxy
        t2  c1          name_proxy  max compartments=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15  ok
        t2  proxy:max   revoke_all  clinic                           ok
    ",
    );
}

#[test]
fn a_proxy_has_the_powers_it_was_given() {
    check_care(
        "
        t2  c1         name_proxy  ro compartments=1 powers=read     ok
        t2  proxy:ro   read        open                              ok
        t2  proxy:ro   add         diary compartment=1               outside_proxy
        t2  proxy:ro   give        g1 to=carl compartments=1         outside_proxy
        t2  proxy:ro   restrict    open                              outside_proxy
        t2  proxy:ro   case        k1 of=open                        outside_proxy
        t2  c1         give        g1 to=carl compartments=1         ok
        t2  proxy:ro   revoke      g1                                outside_proxy
        t2  c1         name_proxy  wo compartments=1 powers=write    ok
        t2  proxy:wo   read        open                              outside_proxy
        t2  proxy:wo   add         diary compartment=1               ok
    ",
    );
}

/// Not through a new version of what it may not touch, nor with words in a case that is about anything.
#[test]
fn a_proxy_reaches_no_further_through_versions_and_cases() {
    check_care(
        "
        t2  c1          add    own compartment=2                        ok
        t2  proxy:cara  add    more compartment=1 amends=own            outside_proxy
        t2  c1          add    mine compartment=1                       ok
        t3  proxy:cara  add    again compartment=1 amends=mine          ok
        t4  c1          case   k1 of=own                                ok
        t4  proxy:cara  state  k1                                       outside_proxy
        t5  c1          add    in1 compartment=1 amends=own             ok
        t6  proxy:cara  case      k2 of=in1                             outside_proxy
        t6  proxy:cara  restrict  in1 of=processing                     outside_proxy
        t6  c1          restrict  in1 of=processing                     ok
        t6  proxy:cara  lift      in1 of=processing                     outside_proxy
    ",
    );
}

#[test]
fn a_proxy_is_over_at_its_expiry() {
    check_care(
        "
        t100-1  proxy:cara  read  open                               ok
        t100    proxy:cara  read  open                               ~proxy_not_in_force
        t100    proxy:cara  add   diary compartment=1                ~proxy_not_in_force
        t100    proxy:cara  end_proxy  cara                          ~proxy_not_in_force
        t100    c1  name_proxy  later compartments=1 from=t110 ends=t120  ok
        t110-1  proxy:later  read  open                              ~proxy_not_in_force
        t110    proxy:later  read  open                              ok
    ",
    );
}

#[test]
fn a_proxy_is_ended_by_the_patient_or_steps_down() {
    check_care(
        "
        t2  drey         end_proxy   cara                            not_controller
        t2  c1           name_proxy  bob compartments=1              ok
        t2  proxy:bob    end_proxy   cara                            outside_proxy
        t2  proxy:bob!   end_proxy   bob                             ~key_not_of_signer
        t2  proxy:bob    end_proxy   bob                             ok
        t2  proxy:bob    read        open                            ~unknown_proxy
        t2  c1           end_proxy   cara                            ok
        t2  proxy:cara   read        open                            ~unknown_proxy
        t2  c1           end_proxy   cara                            unknown_proxy
    ",
    );
}

/// A prohibition is a grant: ending one that reaches further than the proxy would open what is not its own.
#[test]
fn a_proxy_ends_no_prohibition_beyond_its_compartments() {
    check_care(
        "
        t2  c1          give    g1 to=carl compartments=1,2          ok
        t2  c1          give    g2 to=carl compartments=1,2 deny     ok
        t2  proxy:cara  revoke  g2                                   outside_proxy
        t2  proxy:cara  revoke  g1                                   outside_proxy
        t2  carl        read    open                                 denied
    ",
    );
}

#[test]
fn terms_of_a_proxy_do_something_and_end() {
    check_care(
        "
        t2  c1    name_proxy  cara                                   proxy_exists
        t2  c1    name_proxy  p1 powers=none                         empty_terms
        t2  c1    name_proxy  p1 compartments=none                   empty_terms
        t2  c1    name_proxy  p1 ends=t2                             window_passed
        t2  c1    name_proxy  p1 ends=t999999999                     too_long
        t2  drey  name_proxy  p1                                     not_controller
        t2  c1    name_proxy  p1 powers=veto compartments=none       ok
    ",
    );
}

#[test]
fn nobody_is_kept_out_by_proxies_that_are_over() {
    let mut script = String::new();
    for number in 1..PROXIES_MAX {
        script += &format!("t2  c1  name_proxy  p{number} ends=t50  ok\n");
    }
    check_care(&format!(
        "{script}
        t2   c1  name_proxy  last                                    too_many_proxies
        t50  c1  name_proxy  last                                    ok
    "
    ));
}

/// Whoever is told of a recovery can end it, if the patient has said so.
#[test]
fn a_proxy_vetoes_a_recovery_if_it_may() {
    check_care(
        "
        t2   c1          guard       c1 groups=1:@ann                ok
        t2   c1          name_proxy  eye powers=veto compartments=none  ok
        t2   c1          name_proxy  ro  powers=read compartments=1     ok
        t10  @ann        recover     r1                              ok
        t11  proxy:ro    veto        r1                              outside_proxy
        t11  proxy:eye   veto        r1                              ok
        t20  next:phone  finish      r1                              ~key_not_of_signer
    ",
    );
}

/// A child's chart: the parents act until majority, and the child claims it.
#[test]
fn a_proxy_of_a_minor_ends_at_majority() {
    check(
        "
        t0      rex           open        c1 claim=t1000               ok
        t0      drey          add         open compartment=1           ok
        t1      c1            name_proxy  early compartments=1         ok
        t1      c1            minor       c1 until=t1                  window_passed
        t1      drey          minor       c1 until=t100                not_controller
        t1      c1            minor       c1 until=t100                ok
        t1      c1            minor       c1 until=t200                of_age
        t2      c1            name_proxy  mum compartments=1 ends=t100+1  of_age
        t2      c1            name_proxy  mum compartments=1 ends=t100    ok
        t2      proxy:mum     read        open                         ok
        t2      proxy:mum     give        g1 to=carl compartments=1 ends=t100+1  outside_proxy
        t2      proxy:mum     give        g1 to=carl compartments=1 ends=t100    ok
        t2      carl          read        open                         ok
        t100-1  proxy:mum     read        open                         ok
        t100-1  proxy:early   read        open                         ok
        t100    carl          read        open                         outside_window
        t100    proxy:mum     read        open                         ~proxy_not_in_force
        t100    proxy:early   read        open                         ~proxy_not_in_force
        t100    c1            name_proxy  dad compartments=1 ends=t200 of_age
        t101    code:c1+wallet:c1  claim  c1                           ok
        t102    c1            minor       c1 until=t300                not_claimable
        t102    c1            name_proxy  mum compartments=1 ends=t200 ok
        t103    proxy:mum     read        open                         ok
    ",
    );
}

/// A claim ends whoever an organisation let act for an adult; a minor's parents read on, and do no more until the
/// patient says so.
#[test]
fn a_claim_ends_proxies_that_the_patient_did_not_name() {
    check(
        "
        t0  rex                open        c1 claim=t1000              ok
        t0  drey               add         open compartment=1          ok
        t1  c1                 name_proxy  cara compartments=1         ok
        t2  code:c1+wallet:c1  claim       c1                          ok
        t3  proxy:cara         read        open                        ~unknown_proxy
    ",
    );
    check(
        "
        t0   rex                open        c1 claim=t1000             ok
        t0   drey               add         open compartment=1         ok
        t1   c1                 minor       c1 until=t100              ok
        t1   c1                 name_proxy  mum compartments=1 ends=t100  ok
        t50  code:c1+wallet:c1  claim       c1                         ok
        t51  proxy:mum          read        open                       ok
        t51  proxy:mum          give        g1 to=carl compartments=1 ends=t100  outside_proxy
        t51  c1                 name_proxy  dad ends=t200              of_age
        t51  c1                 name_proxy  dad compartments=1 ends=t100   ok
        t51  proxy:dad          give        g1 to=carl compartments=1 ends=t100  ok
        t99  c1                 end_proxy   mum                        ok
    ",
    );
}

/// While the organisation that holds the keys is suspended, nobody acts by what it said.
#[test]
fn a_suspended_organisations_proxies_wait() {
    check(
        "
        t0  rex       open        c1 claim=t1000                       ok
        t0  drey      add         open compartment=1                   ok
        t1  c1        name_proxy  cara compartments=1                  ok
        t2  clinic+lab+insurer  suspend_organisation  hospital         ok
        t3  proxy:cara  read      open                                 ~organisation_suspended
    ",
    );
}

fn release(world: &World, compartments: &str, at: u64) -> Result<(), ReleaseHalt> {
    let open = AccessOpen {
        chart: chart_id("c1"),
        target: Target::Compartments {
            compartments: support::script::compartments(compartments),
            until: LogPosition(3),
        },
        purpose: Purpose::Treatment,
        reader_key: Digest([9; 32]),
        notice: 1,
    };
    let access = Accepted {
        reader: Party::Proxy(chart_id("c1"), proxy_id("cara")),
        open: &open,
        position: LogPosition(9),
        time: START.plus_ms(at * 1_000 - 1_000),
    };
    let mut records: List<_, 4> = List::new();
    for name in ["open", "closed"] {
        let (position, entry) = world.record("c1", name);
        if open_covers(&open, &entry) {
            records.push((position, entry)).unwrap();
        }
    }
    world.ask(
        |view| {
            let now = START.plus_ms(at * 1_000);
            release_check(view, &world.parameters, now, &access, &records)
        },
        |halt| match halt {
            ReleaseHalt::Lacks(lacks) => Some(*lacks),
            ReleaseHalt::Refused(_) => None,
        },
    )
}

fn open_covers(open: &AccessOpen, entry: &keepwell_ledger::state::RecordEntry) -> bool {
    match &open.target {
        Target::Compartments { compartments, .. } => compartments.contains(entry.compartment),
        Target::Records(_) => true,
    }
}

/// An access that was accepted opens nothing once the proxy is over, was ended, or asks beyond its terms.
#[test]
fn h1_validators_look_at_a_proxy_again() {
    let mut world = check(CARE);
    assert_eq!(release(&world, "1", 99), Ok(()));
    let outside = release(&world, "1,2", 99);
    assert!(
        matches!(outside, Err(ReleaseHalt::Refused(ReleaseRefusal::NotAllowed { .. }))),
        "{outside:?}"
    );
    let over = Rejection::ProxyNotInForce(proxy_id("cara"));
    let refused = |why| Err(ReleaseHalt::Refused(ReleaseRefusal::Reader(why)));
    assert_eq!(release(&world, "1", 100), refused(over));
    world.run("t3  c1  end_proxy  cara  ok");
    assert_eq!(release(&world, "1", 50), refused(Rejection::UnknownProxy(proxy_id("cara"))));
    assert_eq!(world.stored(&Key::Proxies(chart_id("c1"))).map(kind), None);
}

fn kind(value: Value) -> bool {
    matches!(value, Value::Proxies(_))
}
