//! Processes are killed while clients write: what was acknowledged is there afterwards, byte for byte, and
//! the consortium goes on with one history.
//!
//! `KEEPWELL_ROUNDS` kills the pilot more often than the default, at moments that differ.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use common::{
    Pilot, Place,
    nodes::{Node, SLUGS, meet, move_out},
    scratch, wait_until,
    writer::Writer,
};

/// How many rounds, unless told otherwise.
const ROUNDS: u64 = 3;
/// Longest that a process may take to end when it is asked to.
const PROMPT: Duration = Duration::from_secs(20);

fn rounds() -> u64 {
    env::var("KEEPWELL_ROUNDS")
        .map_or(ROUNDS, |it| it.parse().expect("KEEPWELL_ROUNDS is a number"))
}

#[test]
fn a_killed_pilot_goes_on_where_it_was() {
    let home = scratch();
    let dir = home.path().join("pilot");
    let mut pilot = Pilot::start(&dir);
    let place = Place { dir: &dir };
    let genesis = fs::read(place.genesis()).unwrap();
    let patients = place.toml("pilot.toml");
    let mut writer = Writer::new(place);
    for round in 0..rounds() {
        writer.write_while(|| {
            thread::sleep(Duration::from_millis(137 * (round % 10)));
            pilot.process.kill();
        });
        pilot = Pilot::start(&dir);
        assert!(pilot.process.said().starts_with("Going on with the consortium"));
        assert_eq!(fs::read(place.genesis()).unwrap(), genesis, "it was founded again");
        assert_eq!(place.toml("pilot.toml"), patients);
    }
    writer.check();
    writer.write().unwrap();

    let start = Instant::now();
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
    assert!(start.elapsed() < PROMPT, "it took {:?} to stop", start.elapsed());
    assert!(pilot.process.said().ends_with("Stopping.\n"), "{}", pilot.process.said());
}

#[test]
fn a_founding_that_was_cut_off_is_done_again() {
    let home = scratch();
    let dir = home.path().join("pilot");
    let people = dir.join("people/clinician/profile.toml");
    let founding = || Pilot::begin(&dir).process;
    founding().wait_for("Founded");
    let mut again = founding();
    wait_until(|| people.exists());
    again.kill();
    // What is missing is made, and the patients are loaded.
    let mut pilot = Pilot::start(&dir);
    let patients = Place { dir: &dir }.toml("pilot.toml");
    assert_eq!(patients["patients"].as_array().unwrap().len(), 2);
    assert!(pilot.process.interrupt().success());
}

#[test]
fn killed_nodes_come_back_to_one_history() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let mut nodes = Node::start_all(&place);
    let mut writer = Writer::new(place);
    let founded = meet(&nodes, 1);
    writer.write().unwrap();

    // One of four: the others go on, and it catches up.
    let insurer = nodes.len() - 1;
    nodes[insurer].process.kill();
    for _ in 0..3 {
        writer.write().unwrap();
    }
    nodes[insurer] = Node::start(&place, SLUGS[insurer]);
    let height = meet(&nodes, founded + 4);

    // All of them, while a client writes.
    writer.write_while(|| nodes.iter_mut().for_each(|node| node.process.kill()));
    let mut nodes = Node::start_all(&place);
    meet(&nodes, height);
    writer.check();
    writer.write().unwrap();
    let height = meet(&nodes, height + 1);
    for node in &mut nodes {
        assert!(node.process.interrupt().success(), "{}", node.process.said());
    }

    // One of them alone: no block comes, and what is asked is answered from where it was.
    let alone = Node::start(&place, SLUGS[0]);
    let (tip, _) = alone.tip().expect("it answers as soon as it serves");
    assert!(tip > 0, "it begins anew");
    // The last blocks may have been on their way to the disk; it has them, and nobody else is there.
    wait_until(|| alone.tip().is_some_and(|(tip, _)| tip >= height));
}
