//! Files of any size pass through a client in pieces: its memory stays within 64 MiB over what it needs
//! for one byte.
//!
//! `KEEPWELL_LARGE_MIB=10240` is the largest file there is; it takes 40 GiB in the folder for temporary
//! files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    env,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    thread,
    time::Instant,
};

use common::{PATIENCE, POLL, Pilot, Process, keepwell};

/// Size of the large file, unless told otherwise.
const LARGE_MIB: u64 = 256;
/// What a client may need more for it.
const OVER_KIB_MAX: u64 = 64 * 1024;
const MIB: u64 = 1024 * 1024;

/// Runs a command about a file of `mib` MiB and says how much memory it needed. A larger file may take longer.
fn peak_kib(arguments: &[&str], log: &Path, mib: u64) -> u64 {
    let patience = PATIENCE * (1 + mib / LARGE_MIB) as u32;
    let mut process = Process::start(arguments, log);
    let (mut peak, start) = (0, Instant::now());
    while process.has_ended().is_none() {
        peak = process.memory_peak_kib().unwrap_or(peak);
        assert!(start.elapsed() < patience, "it does not end: {}", process.said());
        thread::sleep(POLL);
    }
    assert!(process.end().success(), "{}", process.said());
    peak
}

/// Writes a file that says in each MiB which one it is, with holes between.
fn write_large(path: &Path, mib: u64) {
    let mut file = File::create(path).unwrap();
    for index in 0..mib {
        file.seek(SeekFrom::Start(index * MIB)).unwrap();
        file.write_all(&(index + 1).to_be_bytes()).unwrap();
    }
    file.set_len(mib * MIB).unwrap();
}

fn assert_same(a: &Path, b: &Path) {
    let [mut a, mut b] = [a, b].map(|path| File::open(path).unwrap());
    let [mut left, mut right] = [(); 2].map(|()| vec![0; MIB as usize]);
    let len = a.metadata().unwrap().len();
    assert_eq!(len, b.metadata().unwrap().len());
    for index in 0..len / MIB {
        a.read_exact(&mut left).unwrap();
        b.read_exact(&mut right).unwrap();
        assert!(left == right, "MiB {index} came back changed");
    }
}

#[test]
fn a_large_file_needs_no_more_memory_than_a_small_one() {
    let mib = env::var("KEEPWELL_LARGE_MIB")
        .map_or(LARGE_MIB, |it| it.parse().expect("KEEPWELL_LARGE_MIB is a number"));
    // On a disk: this is more than a folder in memory should hold.
    let home = tempfile::Builder::new().prefix("keepwell-").tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let pilot = Pilot::start(&home.path().join("pilot"));
    let (chart, wallet) = pilot.place().claimed();
    let log = home.path().join("log");
    let (small, large) = (at("small"), at("large"));
    fs::write(&small, "x").unwrap();
    write_large(Path::new(&large), mib);

    let add = |file: &str| {
        let line =
            ["record", "add", "--as", &wallet, "--chart", &chart, "--compartment", "restricted"];
        let peak = peak_kib(&[&line[..], &["--json", file]].concat(), &log, mib);
        let added: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
        (peak, added["position"].to_string())
    };
    let (baseline, _) = add(&small);
    let (added, position) = add(&large);
    let read = at("read");
    let get = ["record", "get", "--as", &wallet, "--chart", &chart, "--position", &position];
    let got = peak_kib(&[&get[..], &["--to", &read]].concat(), &log, mib);
    assert_same(Path::new(&large), Path::new(&read));
    fs::remove_file(&read).unwrap();

    let opened = at("opened");
    let open = ["open", "--as", &wallet, "--chart", &chart, "--compartment", "restricted"];
    let open = [&open[..], &["--purpose", "PATRQT"]].concat();
    let described = keepwell(&open).ok();
    assert!(described.stdout.contains("--to reads them"), "{described:#?}");
    let into_files = peak_kib(&[&open[..], &["--to", &opened]].concat(), &log, mib);
    assert_same(Path::new(&large), &home.path().join(format!("opened/{position}.bin")));

    println!("KiB: {baseline} for one byte; {mib} MiB: add {added}, get {got}, open {into_files}");
    for (command, peak) in [("add", added), ("get", got), ("open", into_files)] {
        assert!(
            peak <= baseline + OVER_KIB_MAX,
            "{command} needed {peak} KiB, one byte {baseline}"
        );
    }
}
