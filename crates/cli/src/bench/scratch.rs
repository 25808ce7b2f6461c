//! A folder for one run, removed at its end.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::BenchError;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A folder of our own below the one that was named.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Creates it.
    pub(super) fn new(dir: &Path, name: &str) -> Result<Self, BenchError> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path)
            .and_then(|()| path.canonicalize())
            .map(|path| Self { path, keep: false })
            .map_err(|source| BenchError::Folder { path: dir.to_path_buf(), source })
    }

    /// Where it is; an absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it on the disk: something went wrong, and its cause is in there.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

/// Bytes of all files below a folder.
pub(super) fn bytes_below(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A file that its owner removed meanwhile counts for nothing.
        bytes += match kind.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata().map_or(0, |file| file.len()),
        };
    }
    Ok(bytes)
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What is left over is in a folder that its user named.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
