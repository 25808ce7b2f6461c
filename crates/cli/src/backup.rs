//! A backup's folder: what one node cannot get back from its peers, and the blocks.
//!
//! ```text
//! DIR/
//!   backup.json                  whose it is and how far it goes; written last
//!   genesis.cbor  node.toml
//!   keys/                        the node's key files, locked as they are
//!   blocks/000000000001.cbor     StoredBlocks from that height on
//!   objects/                     sealed objects, named as in the custodian's folder
//! ```
//!
//! # Invariants
//!
//! * A file has its name when it is whole and durable, and `backup.json` never says more than there is: a backup that
//!   was cut off is an older one, and goes on.
//! * Blocks are copied before objects. A custodian stores an object before the ledger names it, so every object that
//!   the copied blocks name was there to be copied.
//! * What the custodian erased, by its own word on the ledger, is erased here by the next backup, and restored by none.
//!
//! Not here: the operator's key file or passphrase, without which the keys do not open and which belongs elsewhere.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use keepwell_node::folder::create_private;
use keepwell_types::{
    encoding::List,
    id::{BlockId, ChainId, ChartId, Height, OrganisationId, PublicKey, RecordId},
    wire::{STORED_BLOCKS_BYTES_MAX, StoredBlock, StoredBlocks},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, founding::write_durably};

/// The one version of backups.
const VERSION: u8 = 1;
const MANIFEST: &str = "backup.json";
/// Ends the names of files that are not whole yet.
const PART: &str = "part";

/// Whose a backup is, and how far it goes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u8,
    /// The consortium.
    pub(crate) chain: ChainId,
    /// Whose node it is.
    pub(crate) organisation: OrganisationId,
    /// The node's consensus key.
    pub(crate) validator: PublicKey,
    /// The newest block in it; 0 for none.
    pub(crate) height: Height,
    /// Its id; the genesis block's at height 0.
    pub(crate) block: BlockId,
}

impl Manifest {
    /// Of a backup that has nothing yet.
    pub(crate) const fn new(
        chain: ChainId,
        organisation: OrganisationId,
        validator: PublicKey,
        genesis: BlockId,
    ) -> Self {
        let (version, height) = (VERSION, Height(0));
        Self { version, chain, organisation, validator, height, block: genesis }
    }
}

/// A backup's folder.
#[derive(Clone, Debug)]
pub(crate) struct Backup {
    dir: PathBuf,
}

impl Backup {
    /// The backup in this folder, which may be a new one.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// What is below the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// Creates the folders for this user alone.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        for below in ["blocks", "keys", "objects"] {
            let path = self.path(below);
            create_private(&path).map_err(Failure::at(path))?;
        }
        Ok(())
    }

    /// What the backup says of itself; nothing, if it is new.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>, Failure> {
        let path = self.path(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::at(path)(error)),
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::Misused(format!(
                "{} is damaged: {error}; take a new backup into another folder",
                path.display()
            ))
        })?;
        if manifest.version == VERSION {
            return Ok(Some(manifest));
        }
        Err(Failure::Misused(format!(
            "{} is of version {}, and {VERSION} is known here; use the program that wrote it",
            path.display(),
            manifest.version
        )))
    }

    /// Says how far the backup goes.
    pub(crate) fn finish(&self, manifest: &Manifest) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(manifest).expect("a manifest is plain JSON");
        let path = self.path(MANIFEST);
        write_durably(&path, text.as_bytes()).map_err(Failure::at(&path))
    }

    /// Keeps blocks, the first of which has height `from`.
    pub(crate) fn keep_blocks(&self, from: Height, blocks: &StoredBlocks) -> Result<(), Failure> {
        let path = self.path(&format!("blocks/{:012}.cbor", from.0));
        write_durably(&path, &keepwell_types::encode(blocks)).map_err(Failure::at(&path))
    }

    /// Removes files of blocks after `height`: a backup that was cut off fetches them again.
    pub(crate) fn forget_blocks_after(&self, height: Height) -> Result<(), Failure> {
        for (from, path) in self.files_of_blocks()? {
            if from > height {
                fs::remove_file(&path).map_err(Failure::at(&path))?;
            }
        }
        Ok(())
    }

    /// The files of blocks, by the height of the first block in each, in order.
    pub(crate) fn files_of_blocks(&self) -> Result<Vec<(Height, PathBuf)>, Failure> {
        let mut files = Vec::new();
        for path in files_in(&self.path("blocks"))? {
            let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            let is_whole = path.extension().is_some_and(|it| it == "cbor");
            if let Some(first) = first.filter(|_| is_whole) {
                files.push((Height(first), path));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The blocks in a file.
pub(crate) fn read_blocks(path: &Path) -> Result<List<StoredBlock, 256>, Failure> {
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    let blocks: StoredBlocks =
        keepwell_types::decode(&bytes, STORED_BLOCKS_BYTES_MAX).map_err(|error| {
            Failure::Misused(format!("{} is damaged: {error}; take another backup", path.display()))
        })?;
    Ok(blocks.blocks)
}

/// The files in a folder, without those that are not whole; none, if there is no such folder.
pub(crate) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::at(folder)(error)),
    };
    let paths = entries.map(|entry| Ok(entry.map_err(Failure::at(folder))?.path()));
    let mut paths: Vec<_> = paths.collect::<Result<_, Failure>>()?;
    // A store that writes an object gives it such a name until it is whole.
    paths.retain(|path| path.is_file() && !path.to_string_lossy().contains('#'));
    paths.retain(|path| path.extension().is_none_or(|it| it != PART));
    paths.sort();
    Ok(paths)
}

/// All files below a folder, by their paths in it.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut below, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for path in files_in(&next)? {
            let inside = path.strip_prefix(folder).expect("it was found there");
            below.push(inside.to_path_buf());
        }
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.map_err(Failure::at(&next))?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    below.sort();
    Ok(below)
}

/// Copies a file durably; says nothing of one that is gone.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<bool, Failure> {
    let part = to.with_added_extension(PART);
    if let Some(folder) = to.parent() {
        create_private(folder).map_err(Failure::at(folder))?;
    }
    match fs::copy(from, &part) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Failure::at(from)(error)),
    }
    let durable = || -> io::Result<()> {
        File::open(&part)?.sync_all()?;
        fs::rename(&part, to)?;
        match to.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    durable().map_err(Failure::at(to))?;
    Ok(true)
}

/// Removes a file that may be gone.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::at(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A record that the custodian erased.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Erased {
    pub(crate) chart: ChartId,
    pub(crate) record: RecordId,
}
