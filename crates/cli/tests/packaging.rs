//! What operators install: everything that the package names is there, and the unit says of the program what is so.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{Done, KEEPWELL, keepwell};

const UNIT: &str = include_str!("../../../packaging/systemd/keepwell-node.service");
/// What operators of a node with a token put beside the unit.
const TOKEN: &str = include_str!("../../../packaging/systemd/token.conf");
const IMAGE: &str = include_str!("../../../packaging/container/Containerfile");

fn home() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_package_names_files_that_exist() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    for asset in package["assets"].as_array().unwrap() {
        let path = asset[0].as_str().unwrap();
        // What a release build makes.
        if path != "target/release/keepwell" {
            let folder = here.join(path.split('*').next().unwrap());
            assert!(folder.exists(), "{path}");
            files += 1;
        }
    }
    assert!(files > 5);
    for folder in [&package["maintainer-scripts"], &package["systemd-units"]["unit-scripts"]] {
        assert!(here.join(folder.as_str().unwrap()).is_dir(), "{folder}");
    }
}

/// The commands that the unit and the image run, without their configurations, are commands of the program.
#[test]
fn what_is_started_is_a_command() {
    let lines = UNIT.lines().filter_map(|line| line.strip_prefix("ExecStart"));
    let started: Vec<_> = lines.filter_map(|line| line.split_once("/usr/bin/keepwell ")).collect();
    assert_eq!(started.len(), 2, "one looks, one runs");
    for (_, words) in started {
        let words: Vec<_> = words.split(' ').take_while(|it| !it.starts_with("--")).collect();
        let help = keepwell(&[&words[..], &["--help"]].concat()).ok();
        assert!(help.stdout.contains("--config <FILE>"), "{words:?}");
    }
    assert!(IMAGE.contains("ENTRYPOINT [\"/usr/bin/keepwell\"]"));
    assert!(IMAGE.contains("CMD [\"node\", \"--config\", \"/etc/keepwell/node.toml\"]"));
    let toolchain = fs::read_to_string(home().join("rust-toolchain.toml")).unwrap();
    let version = toolchain.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let minor = version.rsplit_once('.').unwrap().0;
    assert!(IMAGE.contains(&format!("library/rust:{minor}-")), "the image builds with {version}");
}

/// Where systemd is at hand, it reads the unit and finds it well closed.
#[test]
fn systemd_takes_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("systemd-analyze is not here: the unit was not looked at");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("keepwell-node.service");
    fs::write(&unit, UNIT.replace("/usr/bin/keepwell", KEEPWELL)).unwrap();
    let unit = unit.to_str().unwrap();
    let verified = Done::of(&mut Command::new("systemd-analyze"), &["verify", unit]).ok();
    assert_eq!(verified.stderr, "");
    // 20 is 2.0 of 10, the most exposed.
    let closed = ["security", "--offline=true", "--threshold=20", unit];
    Done::of(&mut Command::new("systemd-analyze"), &closed).ok();

    // With a token, as it stands and with every line in force.
    let beside = folder.path().join("keepwell-node.service.d");
    fs::create_dir(&beside).unwrap();
    let all: Vec<_> = TOKEN
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(set) if set.split_once('=').is_some_and(|(name, _)| is_setting(name)) => set,
            Some(_) | None => line,
        })
        .collect();
    assert!(all.iter().filter(|it| it.starts_with("DeviceAllow=")).count() > 1);
    for text in [TOKEN, &all.join("\n")] {
        fs::write(beside.join("token.conf"), text).unwrap();
        let verified = Done::of(&mut Command::new("systemd-analyze"), &["verify", unit]).ok();
        assert_eq!(verified.stderr, "");
    }
}

/// Whether this can stand before the `=` of a unit's line.
fn is_setting(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_uppercase())
        && name.chars().all(|it| it.is_ascii_alphanumeric())
}
