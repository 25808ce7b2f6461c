//! The folder of one node: created for it alone, held by one process at a time.
//!
//! ```text
//! folder/              mode 0700
//!   lock               held while the node runs (advisory, released by the system when a process dies)
//!   engine/            blocks, certificates, state: the runtime's storage, where the node has its own
//!   index/             derived, can be built again
//!   custody/           sealed objects, where they are not in an object store
//!   custody-index/     which objects no entry names yet
//! ```
//!
//! Not here: the node's keys, which belong on other storage than what they open.

use std::{
    env,
    fs::{self, File, Metadata, TryLockError},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Bytes that must be writable for a node to start.
const PROBE_BYTES: usize = 1024 * 1024;

/// A folder that a node cannot use, and what its operator does about it.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another process holds it.
    #[error(
        "another process runs a node in {path}; stop it first, or give this node another folder"
    )]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// It is a file, or a part of its path is.
    #[error("{path} is not a folder; name another one in the configuration")]
    NotFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Not readable or not writable for this user.
    #[error(
        "{path} cannot be read and written by this user; give it to the user that runs the node (chown, chmod 700)"
    )]
    Forbidden {
        /// The folder.
        path: PathBuf,
    },
    /// On a file system that is mounted for reading only.
    #[error("{path} is on a read-only file system; mount it for writing")]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// No room.
    #[error("the disk under {path} is full; make room, then start the node again; nothing is lost")]
    Full {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else that the system says.
    #[error("{path} cannot be used: {source}")]
    System {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FolderError {
    pub(crate) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the system's errors are many, and not ours"
        )]
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Self::NotFolder { path },
            ErrorKind::PermissionDenied => Self::Forbidden { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::System { path, source },
        }
    }
}

/// A node's folder, held for as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, takes its lock, and sees that it can be written.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        create_private(path).map_err(|error| FolderError::of(path, error))?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .map_err(|error| FolderError::of(path, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => FolderError::Busy { path: path.to_path_buf() },
            TryLockError::Error(error) => FolderError::of(path, error),
        })?;
        probe(path).map_err(|error| FolderError::of(path, error))?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For the runtime's storage.
    pub fn engine(&self) -> PathBuf {
        self.path.join("engine")
    }

    /// For the index of final blocks.
    pub fn index(&self) -> PathBuf {
        self.path.join("index")
    }

    /// For sealed objects.
    pub fn custody(&self) -> PathBuf {
        self.path.join("custody")
    }

    /// For what is known about objects that wait to be named.
    pub fn custody_index(&self) -> PathBuf {
        self.path.join("custody-index")
    }
}

/// Creates a folder, and those above it, for this user alone; one that is there keeps its mode.
pub fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Gives a new file to the user whose file it takes the place of.
pub fn hand_over(file: &File, before: &Metadata) -> io::Result<()> {
    if file.metadata()?.uid() == before.uid() {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))
}

/// Where systemd puts the credentials of a unit.
pub const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Whether nobody but its user can read a file. What systemd gives to a unit's user by an access list shows in the
/// bits of its group.
pub fn is_private(path: &Path, metadata: &Metadata) -> bool {
    let is_credential = env::var_os(CREDENTIALS).is_some_and(|folder| path.starts_with(folder));
    let others = if is_credential { 0o037 } else { 0o077 };
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & others == 0
}

/// Bytes that this user may still write on the disk of a folder.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Reads the folder, and writes and removes a file there: finds at the start what would else stop the
/// node in the middle of a block.
fn probe(path: &Path) -> io::Result<()> {
    fs::read_dir(path)?.next().transpose()?;
    let probe = path.join("probe");
    let written = File::create(&probe).and_then(|mut file| {
        file.write_all(&vec![0; PROBE_BYTES])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_process_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a folder/with spaces and ünïcode");
        let first = Folder::open(&path).unwrap();
        assert!(matches!(Folder::open(&path), Err(FolderError::Busy { .. })));
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("node")).unwrap();
        let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_file_is_not_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, b"").unwrap();
        assert!(matches!(Folder::open(&path), Err(FolderError::NotFolder { .. })));
        assert!(matches!(Folder::open(&path.join("below")), Err(FolderError::NotFolder { .. })));
    }

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let of = |kind: ErrorKind| FolderError::of(Path::new("/node"), kind.into()).to_string();
        for (kind, advice) in [
            (ErrorKind::PermissionDenied, "give it to the user"),
            (ErrorKind::ReadOnlyFilesystem, "mount it for writing"),
            (ErrorKind::StorageFull, "make room"),
            (ErrorKind::QuotaExceeded, "make room"),
            (ErrorKind::NotADirectory, "name another one"),
        ] {
            assert!(of(kind).contains(advice), "{kind:?}: {}", of(kind));
        }
    }
}
