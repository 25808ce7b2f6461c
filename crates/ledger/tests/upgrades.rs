//! How the protocol moves on: one version after the other, at a block that is far enough ahead for all to hear of it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{Key, ProtocolPlan, Value};
use keepwell_types::{
    genesis::Parameters,
    id::{Height, Protocol},
    limits::EPOCH_BLOCKS_MIN,
};
use support::{PARAMETERS, World};

/// Epochs have eight blocks, and each second of a script is a block: t1 is block 2.
fn world() -> World {
    World::new(Parameters { epoch_blocks: Some(EPOCH_BLOCKS_MIN), ..PARAMETERS })
}

fn plan(world: &World) -> ProtocolPlan {
    match world.stored(&Key::Protocol) {
        None => ProtocolPlan::FIRST,
        Some(Value::Protocol(plan)) => plan,
        other => panic!("{other:?}"),
    }
}

fn in_force(world: &World, height: u64) -> u16 {
    plan(world).at(Height(height)).0
}

#[test]
fn an_upgrade_begins_at_its_block() {
    let mut world = world();
    assert_eq!(in_force(&world, u64::MAX), 1);
    world.run(
        "
        t1  hospital  move   m1 act=upgrade:2 from=20  ok
        t1  clinic    agree  m1 act=upgrade:2 from=21  other_motion
        t1  clinic    agree  m1 act=upgrade:2          other_motion
        t1  clinic    agree  m1 act=upgrade:2 from=20  ok
    ",
    );
    assert_eq!(plan(&world), ProtocolPlan::FIRST, "two of four organisations are not enough");
    world.run("t2 lab agree m1 act=upgrade:2 from=20 ok");
    assert_eq!((in_force(&world, 19), in_force(&world, 20)), (1, 2));
    assert_eq!(plan(&world).planned(Height(19)), Some((Protocol(2), Height(20))));
    assert_eq!(plan(&world).planned(Height(20)), None);
}

/// Whoever keeps up hears of it an epoch before: whatever was moved earlier and is approved later.
#[test]
fn an_upgrade_that_not_all_would_hear_of_is_refused() {
    let mut world = world();
    world.run(
        "
        t1  hospital  move   m0 act=upgrade:2 from=0   upgrade_too_soon
        t1  hospital  move   m0 act=upgrade:2 from=9   upgrade_too_soon
        t1  hospital  move   m1 act=upgrade:2 from=10  ok
        t1  clinic    agree  m1 act=upgrade:2 from=10  ok
        t2  lab       agree  m1 act=upgrade:2 from=10  upgrade_too_soon
        t2  hospital  move   m2 act=upgrade:2 from=18446744073709551615  ok
    ",
    );
    assert_eq!(plan(&world), ProtocolPlan::FIRST);
}

#[test]
fn versions_follow_one_another() {
    let mut world = world();
    world.run(
        "
        t1  hospital  move   m0 act=upgrade:0 from=99      other_protocol
        t1  hospital  move   m0 act=upgrade:1 from=99      other_protocol
        t1  hospital  move   m0 act=upgrade:3 from=99      other_protocol
        t1  hospital  move   m0 act=upgrade:65535 from=99  other_protocol
        t1  hospital  move   m1 act=upgrade:2 from=12      ok
        t1  clinic    agree  m1 act=upgrade:2 from=12      ok
        t1  lab       agree  m1 act=upgrade:2 from=12      ok
        t2  hospital  move   m2 act=upgrade:3 from=99      other_protocol
        t3  hospital  move   m3 act=upgrade:2 from=99      ok
    ",
    );
    for second in 5..=11 {
        world.run(&format!("t{second} hospital move n{second} act=suspend:lab ok\nt{second} hospital drop n{second} ok"));
    }
    assert_eq!((world.height, in_force(&world, 12)), (Height(11), 2));
    world.run(
        "
        t12  clinic    agree  m3 act=upgrade:2 from=99  other_protocol
        t12  hospital  move   m4 act=upgrade:2          other_protocol
        t12  hospital  move   m5 act=upgrade:3 from=30  ok
        t12  clinic    agree  m5 act=upgrade:3 from=30  ok
        t12  lab       agree  m5 act=upgrade:3 from=30  ok
    ",
    );
    assert_eq!((in_force(&world, 12), in_force(&world, 29), in_force(&world, 30)), (2, 2, 3));
}

#[test]
fn an_upgrade_that_has_not_begun_is_moved_or_called_off() {
    let mut world = world();
    world.run(
        "
        t1  hospital  move   m0 act=upgrade:2          no_upgrade
        t1  hospital  move   m1 act=upgrade:2 from=20  ok
        t1  clinic    agree  m1 act=upgrade:2 from=20  ok
        t1  lab       agree  m1 act=upgrade:2 from=20  ok
        t2  hospital  move   m2 act=upgrade:2 from=30  ok
        t2  clinic    agree  m2 act=upgrade:2 from=30  ok
        t2  lab       agree  m2 act=upgrade:2 from=30  ok
    ",
    );
    assert_eq!((in_force(&world, 29), in_force(&world, 30)), (1, 2));
    world.run(
        "
        t3  hospital  move   m3 act=upgrade:3          other_protocol
        t3  hospital  move   m4 act=upgrade:2          ok
        t3  clinic    agree  m4 act=upgrade:2          ok
        t3  lab       agree  m4 act=upgrade:2          ok
        t3  hospital  move   m5 act=upgrade:2          no_upgrade
    ",
    );
    assert_eq!(in_force(&world, u64::MAX), 1);
}
