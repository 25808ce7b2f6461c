//! What operators ask before they start a node, and while it runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, process::Command};

use common::{
    Done, KEEPWELL, Pilot, Place, keepwell,
    nodes::{Node, SLUGS, move_out},
    scratch, wait_until,
};

fn check(place: &Place<'_>) -> Done {
    keepwell(&["config", "check", "--config", &place.node_config("hospital")])
}

fn status(place: &Place<'_>) -> Done {
    keepwell(&["status", "--config", &place.node_config("hospital"), "--once"])
}

/// The line of a check about one thing.
#[track_caller]
fn line<'a>(done: &'a Done, state: &str, what: &str) -> &'a str {
    let is_it = |line: &&str| line.split_whitespace().take(2).eq([state, what]);
    done.stdout.lines().find(is_it).unwrap_or_else(|| panic!("no {state} {what}: {done:#?}"))
}

#[test]
fn a_configuration_is_looked_at_before_it_is_used() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);

    let good = check(&place).ok();
    for what in ["genesis", "keys", "folder", "custody", "tls", "traces", "peers", "clients"] {
        line(&good, "good", what);
    }
    // A pilot's configuration names no other custodian.
    line(&good, "mind", "custodians");
    assert!(line(&good, "good", "keys").contains(&place.organisation("hospital")));

    // Each thing that is wrong is found, whatever else is.
    let path = place.node_config("hospital");
    let config = fs::read_to_string(&path).unwrap();
    let clients = place.toml("organisations/hospital/node.toml");
    let clients = clients["listen_clients"].as_str().unwrap();
    let held = TcpListener::bind(clients).unwrap();
    let other = dir.join("organisations/hospital/other");
    fs::write(&other, [9; 32]).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let tls = place.path("organisations/hospital/tls");
    keepwell(&["certificate", "new", "--dir", &tls, "localhost"]).ok();
    let key = dir.join("organisations/hospital/tls/key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let wrong = config.replace("../../operator.key", "other").replace("../../genesis.cbor", "none")
        + "\n[tls]\ncertificate = \"tls/certificate.pem\"\nkey = \"tls/key.pem\"\n\
           [[custodians]]\norganisation = \"00112233445566778899aabbccddeeff\"\nurl = \"the clinic\"\n";
    fs::write(&path, &wrong).unwrap();
    let refused = check(&place).refused(&["5 of 9"]);
    for (what, words) in [
        ("genesis", "get the consortium's own file"),
        ("keys", "key file"),
        ("custodians", "00112233445566778899aabbccddeeff"),
        ("tls", "chmod 600"),
        ("clients", "stop what uses the port"),
    ] {
        assert!(line(&refused, "wrong", what).contains(words), "{refused:#?}");
    }
    let json = keepwell(&["--json", "config", "check", "--config", &path]);
    assert!(json.stdout.contains("\"fits\":false"), "{json:#?}");
    drop(held);
    fs::write(&path, "folder = 7").unwrap();
    check(&place).refused(&["the configuration has a mistake"]);
    fs::write(&path, config).unwrap();

    // A node that runs is not disturbed, and says how it is.
    status(&place).refused(&["cannot be reached", "start it"]);
    let mut nodes: Vec<_> = SLUGS.into_iter().map(|slug| Node::start(&place, slug)).collect();
    let running = check(&place).ok();
    assert!(line(&running, "good", "folder").contains("a node runs in it"));
    // A link may break again while the last of them start.
    let mut shown = status(&place);
    wait_until(|| {
        shown = status(&place);
        shown.status.success()
    });
    assert!(shown.stdout.contains("3 of 3 connected"), "{shown:#?}");
    assert!(!shown.stdout.contains('!'), "{shown:#?}");
    nodes.pop().unwrap().process.kill();
    let mut missed = status(&place);
    wait_until(|| {
        missed = status(&place);
        missed.stdout.contains("! peers       2 of 3 connected")
    });
    missed.refused(&["needed for 1 of these"]);
    let json = keepwell(&["--json", "status", "--config", &path, "--once"]);
    assert!(json.stdout.contains("\"connected\":2"), "{json:#?}");
}

/// A unit's credentials are no shell's: what needs no key works there, and what needs one says how it gets it.
#[test]
fn whoever_has_no_credentials_is_told_where_they_are_needed() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let path = place.node_config("hospital");
    let tls = place.path("organisations/hospital/tls");
    keepwell(&["certificate", "new", "--dir", &tls, "localhost"]).ok();
    let given = dir.join("credentials");
    fs::create_dir(&given).unwrap();
    fs::copy(dir.join("operator.key"), given.join("operator")).unwrap();
    fs::rename(dir.join("organisations/hospital/tls/key.pem"), given.join("tls")).unwrap();
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("../../operator.key", "$CREDENTIALS_DIRECTORY/operator")
        + "\n[tls]\ncertificate = \"tls/certificate.pem\"\nkey = \"$CREDENTIALS_DIRECTORY/tls\"\n";
    fs::write(&path, config).unwrap();

    let checked = check(&place).ok();
    for what in ["keys", "tls"] {
        assert!(line(&checked, "unseen", what).contains("systemd-run"), "{checked:#?}");
    }
    status(&place).refused(&["cannot be reached"]);
    for command in ["fsck", "node"] {
        keepwell(&[command, "--config", &path]).refused(&["systemd-run"]);
    }
    let unit = |arguments: &[&str]| {
        Done::of(Command::new(KEEPWELL).env("CREDENTIALS_DIRECTORY", &given), arguments)
    };
    let checked = unit(&["config", "check", "--config", &path]).ok();
    for what in ["keys", "tls"] {
        line(&checked, "good", what);
    }
    unit(&["fsck", "--config", &path]).ok();

    // What is written down is the credential's name, which the next start knows too.
    let other = given.join("other");
    fs::write(&other, [9; 32]).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    let other = other.to_str().unwrap();
    let moved = unit(&["relock", "--config", &path, "--to-operator-file", other]).ok();
    let setting = "operator_file = \"$CREDENTIALS_DIRECTORY/other\"";
    assert!(moved.stdout.contains(setting), "{moved:#?}");
    let (wallet, like) = (place.path("ana"), place.person("agent"));
    let new = ["wallet", "new", "--dir", &wallet, "--like", &like, "--operator-file", other];
    unit(&new).ok();
    assert!(fs::read_to_string(place.path("ana/profile.toml")).unwrap().contains(setting));
    let show = ["wallet", "show", "--as", &wallet];
    keepwell(&show).refused(&["systemd-run"]);
    unit(&show).refused(&["reach"]);
}
