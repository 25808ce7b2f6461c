//! A node is copied while it runs, its host is lost with its disk, and it comes back from the copy and its peers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path};

use common::{
    Done, Pilot, Place, keepwell,
    nodes::{Node, SLUGS, meet, move_out},
    scratch,
    writer::Writer,
};

/// Copies a folder with all that is in it.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The first file of blocks in a backup.
fn blocks_of(backup: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(backup.join("blocks")).unwrap();
    files.map(|it| it.unwrap().path()).min().unwrap()
}

fn back_up(config: &str, to: &Path) -> Done {
    keepwell(&["--json", "backup", "--config", config, "--to", to.to_str().unwrap()])
}

fn restore(from: &Path, config: &str) -> Done {
    keepwell(&["restore", "--from", from.to_str().unwrap(), "--config", config])
}

#[test]
fn a_lost_host_comes_back_from_its_backup_and_its_peers() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let mut nodes = Node::start_all(&place);
    let mut writer = Writer::new(place);
    meet(&nodes, 1);

    // While a client writes; then again, for what is new.
    let (config, backup) = (place.node_config(SLUGS[0]), home.path().join("backup"));
    restore(&backup, &config).refused(&["no finished backup"]);
    let mut first = None;
    writer.write_while(|| first = Some(back_up(&config, &backup).ok().json()));
    let first = first.unwrap();
    assert!(first["objects"].as_u64().unwrap() > 100, "{first}");
    writer.write().unwrap();
    let second = back_up(&config, &backup).ok().json();
    assert!(second["height"].as_u64() > first["height"].as_u64(), "{second}");
    assert!((2..40).contains(&second["objects"].as_u64().unwrap()), "{second}");
    back_up(&place.node_config(SLUGS[1]), &backup).refused_in_json();
    restore(&backup, &config).refused(&["has a node's data"]);

    // One that was cut off is an older one, and goes on.
    let cut_off = home.path().join("cut-off");
    copy_all(&backup, &cut_off);
    fs::write(cut_off.join("blocks/000000999999.cbor"), "half a bl").unwrap();
    fs::write(cut_off.join("objects/half.part"), "half an ob").unwrap();
    back_up(&config, &cut_off).ok();

    // What comes after the backup, its peers have. The host burns with its disk.
    writer.write().unwrap();
    nodes[0].process.kill();
    let folder = dir.join("organisations/hospital/node");
    fs::remove_dir_all(&folder).unwrap();
    let keys = dir.join("organisations/hospital/keys");
    back_up(&config, &backup).refused_in_json();
    fs::remove_dir_all(&keys).unwrap();

    for damage in [0, 20_000, usize::MAX] {
        let damaged = home.path().join(format!("damaged-{damage}"));
        copy_all(&backup, &damaged);
        let blocks = blocks_of(&damaged);
        let mut bytes = fs::read(&blocks).unwrap();
        let at = damage.min(bytes.len() - 1);
        bytes[at] ^= 1;
        fs::write(&blocks, bytes).unwrap();
        restore(&damaged, &config).refused(&["take another backup"]);
        fs::remove_dir_all(&folder).unwrap();
    }
    let gap = home.path().join("gap");
    copy_all(&backup, &gap);
    fs::remove_file(blocks_of(&gap)).unwrap();
    restore(&gap, &config).refused(&["does not follow", "take another backup"]);
    fs::remove_dir_all(&folder).unwrap();

    let restored = restore(&backup, &config).ok();
    assert!(restored.stdout.contains("Start the node"), "{restored:?}");
    let fsck = || keepwell(&["fsck", "--config", &config]).ok().stdout;
    assert!(fsck().contains("has not run since it was restored"));
    nodes[0] = Node::start(&place, SLUGS[0]);
    let (height, _) = nodes[1].tip().unwrap();
    meet(&nodes, height);
    writer.check();
    writer.write().unwrap();
    for node in &mut nodes {
        assert!(node.process.interrupt().success(), "{}", node.process.said());
    }
    let sound = fsck();
    assert!(sound.contains("entries of the state compared"), "{sound}");
}
