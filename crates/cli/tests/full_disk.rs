//! Disks that are full: who is concerned says so and loses nothing, the others go on, and with room again
//! everything is as if nothing had been.
//!
//! The small disks are file systems in memory. Where this user may not mount any, the tests say so and
//! pass.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Pilot, Place,
    nodes::{Node, SLUGS, meet, move_out},
    scratch,
    writer::Writer,
};

/// How many records may be written until a validator notices that its disk is full.
const RECORDS_MAX: usize = 200;

/// A file system of few MiB in the place of a folder, whose content it has.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Nothing where this user may not mount.
    fn mount(folder: &Path, mib: u64) -> Option<Self> {
        let beside = folder.with_extension("beside");
        fs::rename(folder, &beside).unwrap();
        fs::create_dir(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder);
        let mounted = mount.output().is_ok_and(|it| it.status.success());
        if !mounted {
            eprintln!("skipped: this user may not mount a small disk");
            return None;
        }
        let disk = Self { folder: folder.to_path_buf() };
        let copied = Command::new("cp").arg("-a").arg(beside.join(".")).arg(folder).status();
        assert!(copied.unwrap().success());
        Some(disk)
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still have it open.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

#[test]
fn a_custodian_on_a_full_disk_is_named_and_the_other_stands_in() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    let custody = |slug: &str| {
        // No bytes are kept free, so that it is the disk that says no.
        let mut config = File::options().append(true).open(place.node_config(slug)).unwrap();
        config.write_all(b"\n[custody_limits]\nfree_bytes_min = 0\n").unwrap();
        dir.join(format!("organisations/{slug}/node/custody"))
    };
    let Some(laboratory) = SmallDisk::mount(&custody("laboratory"), 8) else { return };
    let Some(hospital) = SmallDisk::mount(&custody("hospital"), 8) else { return };
    let _pilot = Pilot::start(&dir);
    let mut writer = Writer::new(place);
    writer.write().unwrap();

    laboratory.fill();
    let file = home.path().join("file");
    fs::write(&file, vec![7; 300_000]).unwrap();
    let done = place.add(&writer.wallet, &writer.chart, &file).ok();
    let named = place.organisation("laboratory");
    for words in [named.as_str(), "no room left on its disk", "use another custodian"] {
        assert!(done.stderr.contains(words), "nothing of {words:?}: {done:#?}");
    }

    hospital.fill();
    let refused = place.add(&writer.wallet, &writer.chart, &file);
    refused.refused_in_json();
    for words in ["0 custodians stored", "no room left on its disk", "or name other custodians"] {
        assert!(refused.stdout.contains(words), "nothing of {words:?}: {refused:#?}");
    }

    laboratory.make_room();
    hospital.make_room();
    writer.write().unwrap();
    writer.check();
}

#[test]
fn a_validator_on_a_full_disk_stops_and_catches_up() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let Some(disk) = SmallDisk::mount(&dir.join("organisations/insurer/node"), 64) else { return };
    let mut nodes = Node::start_all(&place);
    let mut writer = Writer::new(place);
    meet(&nodes, 1);

    disk.fill();
    let insurer = nodes.len() - 1;
    for _ in 0..RECORDS_MAX {
        writer.write().unwrap();
        if nodes[insurer].process.has_ended().is_some() {
            break;
        }
    }
    let ended = nodes[insurer].process.has_ended().expect("a validator that cannot write ends");
    let said = nodes[insurer].process.said();
    assert!(!ended.success() && said.contains("make room"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    // Started again too early, it says why not; the others go on.
    let mut early = Node::begin(&place, SLUGS[insurer]);
    assert!(!early.process.end().success());
    let said = early.process.said();
    assert!(said.contains("is full; make room, then start the node again"), "{said}");
    writer.write().unwrap();

    disk.make_room();
    nodes[insurer] = Node::start(&place, SLUGS[insurer]);
    let (height, _) = nodes[0].tip().unwrap();
    meet(&nodes, height);
    writer.check();
    nodes.iter_mut().for_each(|node| assert!(node.process.interrupt().success()));
}
