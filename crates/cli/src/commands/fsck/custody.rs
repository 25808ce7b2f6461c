//! The sealed objects in a stopped node's folder, against what the ledger commits to.
//!
//! ```text
//! ledger: commitment ──> capsule ──> its label: content root, bytes ──> body
//! ```
//!
//! Not here: objects that this custodian never took, which look the same as a chart's folder that is
//! gone as a whole; and whether an object opens, which takes the keys of its reader.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use keepwell_crypto::{body, capsule::SaltedCapsule};
use keepwell_engine::index::Index;
use keepwell_ledger::state::RecordEntry;
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    id::{ChartId, Digest, LogPosition},
    limits::CAPSULE_BYTES_MAX,
};
use thiserror::Error;

use crate::failure::Failure;

/// Bytes that are read of a body at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// Damaged objects that are named; of more, only how many there are.
const NAMED_MAX: usize = 20;

/// What is wrong with one object.
#[derive(Debug, Error)]
enum Damage {
    #[error("cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    #[error("is missing")]
    Missing,
    #[error("is not the capsule that the ledger commits to")]
    Capsule,
    #[error("has {stored} bytes, and the ledger says {expected}")]
    Length { stored: u64, expected: u64 },
    #[error("is damaged: its content is not what its capsule says")]
    Content,
}

/// A damaged object's file.
#[derive(Debug, Error)]
#[error("{path} {damage}")]
struct Damaged {
    path: PathBuf,
    damage: Damage,
}

/// Checks the objects in `folder` that the index names, and says how many there are.
pub(super) fn check(folder: &Path, index: &Index) -> Result<u64, Failure> {
    let (mut objects, mut damaged) = (0, Vec::new());
    for (chart, folder) in charts(&folder.join("records"))? {
        for position in (0..).map(LogPosition) {
            let line =
                index.log(chart, position).map_err(|error| Failure::Misused(error.to_string()))?;
            let Some(line) = line else { break };
            match line.record.map(|entry| check_object(&folder, &entry)) {
                None | Some(Ok(false)) => {}
                Some(Ok(true)) => objects += 1,
                Some(Err(error)) => damaged.push(error),
            }
        }
    }
    if damaged.is_empty() { Ok(objects) } else { Err(not_sound(&damaged)) }
}

fn not_sound(damaged: &[Damaged]) -> Failure {
    let mut lines: Vec<_> = damaged.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    if damaged.len() > NAMED_MAX {
        lines.push(format!("and {} more", damaged.len() - NAMED_MAX));
    }
    Failure::Misused(format!(
        "not sound: this custodian's disk has damaged sealed objects:\n  {}\nreaders are served by the chart's other custodians; copy these files from one of them, then check again",
        lines.join("\n  ")
    ))
}

/// The charts that have objects here.
fn charts(records: &Path) -> Result<Vec<(ChartId, PathBuf)>, Failure> {
    let entries = match fs::read_dir(records) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::at(records)(error)),
    };
    let mut charts = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Failure::at(records))?;
        if let Ok(chart) = entry.file_name().to_string_lossy().parse() {
            charts.push((chart, entry.path()));
        }
    }
    charts.sort();
    Ok(charts)
}

/// Checks one record's object; says whether it is here.
fn check_object(folder: &Path, entry: &RecordEntry) -> Result<bool, Damaged> {
    let path = |part| folder.join(format!("{}-{}.{part}", entry.record, entry.version));
    let (capsule, body) = (path("capsule"), path("body"));
    if !capsule.exists() && !body.exists() {
        return Ok(false);
    }
    let content =
        read_capsule(&capsule, entry).map_err(|damage| Damaged { path: capsule, damage })?;
    check_body(&body, entry.sealed_bytes, content)
        .map_err(|damage| Damaged { path: body, damage })?;
    Ok(true)
}

/// The content root that the capsule says, if it is the one on the ledger.
fn read_capsule(path: &Path, entry: &RecordEntry) -> Result<Digest, Damage> {
    let mut bytes = Vec::new();
    // One byte more than a capsule has shows that it is none.
    open(path)?.take(CAPSULE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    let salted = SaltedCapsule::decode(&bytes).map_err(|_| Damage::Capsule)?;
    if salted.commitment() != entry.commitment {
        return Err(Damage::Capsule);
    }
    Ok(salted.capsule.label().content)
}

fn check_body(path: &Path, expected: u64, content: Digest) -> Result<(), Damage> {
    let mut file = open(path)?;
    let stored = file.metadata()?.len();
    if stored != expected {
        return Err(Damage::Length { stored, expected });
    }
    let mut piece = vec![0; PIECE_BYTES];
    let first = file.read(&mut piece)?;
    let log2 = body::chunk_log2(&piece[..first]).ok_or(Damage::Content)?;
    let mut hasher = ContentHasher::new(log2);
    hasher.update(&piece[..first]);
    loop {
        let len = file.read(&mut piece)?;
        if len == 0 {
            break;
        }
        hasher.update(&piece[..len]);
    }
    if hasher.finish() == content { Ok(()) } else { Err(Damage::Content) }
}

fn open(path: &Path) -> Result<File, Damage> {
    File::open(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound { Damage::Missing } else { error.into() }
    })
}
