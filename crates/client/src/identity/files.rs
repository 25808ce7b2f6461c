//! Key files and indexes on disk: private, atomic, held by one program at a time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use keepwell_crypto::{
    keyfile::{About, KEY_FILE_BYTES_MAX, KeyFile, KeyFileError, KeyKind},
    seal::{self, ENCAPSULATED_BYTES, SealingKey},
};
use keepwell_merkle::handover::Handover;
use keepwell_types::{
    encoding::{Blob, List},
    limits::{HANDOVERS_BYTES_MAX, HANDOVERS_MAX},
};
use minicbor::{Decode, Encode};
use rand_core::Rng as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::cost;
use crate::client::rng;

/// Bytes of an index: of about a million charts.
pub(super) const INDEX_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The one version of indexes.
const INDEX_VERSION: u8 = 1;

/// A file of keys that cannot be read or written.
#[derive(Debug, Error)]
#[error("{}: {problem}", .path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: FileProblem,
}

/// What is wrong with a file of keys.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// It is there already, and keys are never overwritten.
    #[error("it exists already and keys are never overwritten; choose another place")]
    Exists,
    /// It is not there.
    #[error("it does not exist; check the path, or restore it from your copy")]
    Missing,
    /// This user may not.
    #[error("this user may not read or write it; check its owner and mode")]
    Forbidden,
    /// A file system that is mounted for reading only.
    #[error("it is on a read-only file system; choose another place")]
    ReadOnly,
    /// No room.
    #[error("the disk is full; make room and try again; what was there before is unchanged")]
    Full,
    /// Other users may read it.
    #[error(
        "other users of this computer may read it (mode {mode:03o}); run chmod 600 on it, and think of its keys as seen"
    )]
    OpenToOthers {
        /// Its mode.
        mode: u32,
    },
    /// Another program has it open.
    #[error("another program has it open; close that first")]
    Busy,
    /// The key file's own.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Its contents are not what they should be.
    #[error("it is damaged, or belongs to other keys; restore it from your copy")]
    Damaged,
    /// Anything else that the system says.
    #[error("{0}")]
    System(io::Error),
}

impl From<io::Error> for FileProblem {
    fn from(error: io::Error) -> Self {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the system's errors are many, and not ours"
        )]
        match error.kind() {
            ErrorKind::AlreadyExists => Self::Exists,
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Forbidden,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::System(error),
        }
    }
}

pub(super) fn at<P: Into<FileProblem>>(path: &Path) -> impl FnOnce(P) -> FileError {
    move |problem| FileError { path: path.to_path_buf(), problem: problem.into() }
}

/// What opens key files.
#[derive(Clone)]
pub enum Unlock {
    /// A person's passphrase.
    Passphrase(Zeroizing<String>),
    /// An operator's key: 32 random bytes that are kept elsewhere.
    OperatorKey(Zeroizing<[u8; 32]>),
}

impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(..)",
            Self::OperatorKey(_) => "OperatorKey(..)",
        })
    }
}

impl Unlock {
    pub(super) fn lock(&self, about: About, secret: &[u8]) -> Result<KeyFile, KeyFileError> {
        let cost = cost(about.demonstration);
        match self {
            Self::Passphrase(passphrase) => {
                KeyFile::with_passphrase(&mut rng(), about, secret, passphrase, cost)
            }
            Self::OperatorKey(key) => KeyFile::with_operator_key(&mut rng(), about, secret, key),
        }
    }

    pub(super) fn open(&self, file: &KeyFile) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        match self {
            Self::Passphrase(passphrase) => file.open_with_passphrase(passphrase),
            Self::OperatorKey(key) => file.open_with_operator_key(key),
        }
    }
}

/// Writes a key file that is not there yet.
pub(super) fn write_key(
    path: &Path,
    about: About,
    secret: &[u8],
    unlock: &Unlock,
) -> Result<(), FileError> {
    if path.exists() {
        return Err(at(path)(FileProblem::Exists));
    }
    let file = unlock.lock(about, secret).map_err(at(path))?;
    write_new(path, &file.encode()).map_err(at(path))
}

/// Reads a key file.
pub(super) fn read_key(
    path: &Path,
    kind: KeyKind,
    unlock: &Unlock,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    Ok(open_key(path, kind, unlock)?.1)
}

fn open_key(
    path: &Path,
    kind: KeyKind,
    unlock: &Unlock,
) -> Result<(About, Zeroizing<Vec<u8>>), FileError> {
    let bytes = read_private(path, KEY_FILE_BYTES_MAX).map_err(at(path))?;
    let open = || {
        let file = KeyFile::decode(&bytes)?;
        file.expect_kind(kind)?;
        Ok::<_, KeyFileError>((file.about(), unlock.open(&file)?))
    };
    open().map_err(at(path))
}

/// A key file and its index, held until this is dropped.
#[derive(Debug)]
pub(super) struct Vault {
    key: PathBuf,
    index: PathBuf,
    _lock: File,
}

impl Vault {
    /// Holds the place of a new vault. The index is written first, so that whoever finds the key file
    /// finds an index too.
    pub(super) fn begin(folder: &Path, stem: &str) -> Result<Self, FileError> {
        create_private(folder).map_err(at(folder))?;
        let vault = Self::hold(folder, stem)?;
        if vault.key.exists() {
            return Err(at(&vault.key)(FileProblem::Exists));
        }
        Ok(vault)
    }

    /// Opens a vault, and its key file.
    pub(super) fn open(
        folder: &Path,
        stem: &str,
        kind: KeyKind,
        unlock: &Unlock,
    ) -> Result<(Self, About, Zeroizing<Vec<u8>>), FileError> {
        let key = folder.join(format!("{stem}.key"));
        if !key.exists() {
            return Err(at(&key)(FileProblem::Missing));
        }
        let vault = Self::hold(folder, stem)?;
        let (about, secret) = open_key(&key, kind, unlock)?;
        Ok((vault, about, secret))
    }

    /// The key file.
    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    /// Writes the key file of a new vault.
    pub(super) fn write_key(
        &self,
        about: About,
        secret: &[u8],
        unlock: &Unlock,
    ) -> Result<(), FileError> {
        write_key(&self.key, about, secret, unlock)
    }

    fn hold(folder: &Path, stem: &str) -> Result<Self, FileError> {
        let lock = hold_lock(&folder.join(format!("{stem}.lock")))?;
        let [key, index] = ["key", "index"].map(|it| folder.join(format!("{stem}.{it}")));
        Ok(Self { key, index, _lock: lock })
    }

    /// Writes the index.
    pub(super) fn save<T: Encode<()>>(
        &self,
        key: &SealingKey,
        domain: &str,
        index: &T,
    ) -> Result<(), FileError> {
        save_index(&self.index, key, domain, index)
    }

    /// The index as it is on disk.
    pub(super) fn index_bytes(&self) -> Result<Vec<u8>, FileError> {
        read_private(&self.index, INDEX_BYTES_MAX).map_err(at(&self.index))
    }

    /// Reads the index.
    pub(super) fn read_index<T>(&self, key: &SealingKey, domain: &str) -> Result<T, FileError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        load_index(&self.index, key, domain)
    }
}

/// A sealed file of a member's own, without a key file beside it, held until this is dropped.
#[derive(Debug)]
pub(crate) struct BookFile {
    path: PathBuf,
    key: SealingKey,
    _lock: File,
}

impl BookFile {
    /// Holds the book at `path`, which need not be there yet.
    pub(crate) fn hold(path: &Path, key: SealingKey) -> Result<Self, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = hold_lock(&path.with_file_name(format!("{name}.lock")))?;
        Ok(Self { path: path.to_path_buf(), key, _lock: lock })
    }

    /// Reads the book; nothing if there is none.
    pub(crate) fn read<T>(&self, domain: &str) -> Result<Option<T>, FileError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        if !self.path.exists() {
            return Ok(None);
        }
        load_index(&self.path, &self.key, domain).map(Some)
    }

    /// Writes the book.
    pub(crate) fn save<T: Encode<()>>(&self, domain: &str, book: &T) -> Result<(), FileError> {
        save_index(&self.path, &self.key, domain, book)
    }
}

/// Hand-overs that were followed before; none where there is no such file. They prove themselves, and are no secret.
pub(crate) fn read_handovers(path: &Path) -> Result<Vec<Handover>, FileError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(HANDOVERS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(at(path))?;
    let handovers: List<Handover, HANDOVERS_MAX> =
        keepwell_types::decode(&bytes, HANDOVERS_BYTES_MAX)
            .map_err(|_| at(path)(FileProblem::Damaged))?;
    Ok(handovers.into_vec())
}

/// Keeps hand-overs that were followed: whoever does is never led back to validators who left.
pub(crate) fn save_handovers(path: &Path, handovers: &[Handover]) -> Result<(), FileError> {
    let handovers: List<Handover, HANDOVERS_MAX> =
        List::from_vec(handovers.to_vec()).map_err(|_| at(path)(FileProblem::Damaged))?;
    replace(path, &keepwell_types::encode(&handovers)).map_err(at(path))
}

fn hold_lock(path: &Path) -> Result<File, FileError> {
    let lock = private().create(true).truncate(false).read(true).write(true).open(path);
    let lock = lock.map_err(at(path))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => at(path)(FileProblem::Busy),
        TryLockError::Error(error) => at(path)(error),
    })?;
    Ok(lock)
}

fn save_index<T: Encode<()>>(
    path: &Path,
    key: &SealingKey,
    domain: &str,
    index: &T,
) -> Result<(), FileError> {
    let plain = Zeroizing::new(keepwell_types::encode(index));
    let (encapsulated, ciphertext) = seal::seal(&mut rng(), &key.public(), domain, &[], &plain);
    let sealed = SealedIndex {
        version: INDEX_VERSION,
        encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
        ciphertext: Blob::from_vec(ciphertext).map_err(|_| at(path)(FileProblem::Full))?,
    };
    replace(path, &keepwell_types::encode(&sealed)).map_err(at(path))
}

fn load_index<T>(path: &Path, key: &SealingKey, domain: &str) -> Result<T, FileError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let bytes = read_private(path, INDEX_BYTES_MAX).map_err(at(path))?;
    open_index(&bytes, key, domain).ok_or_else(|| at(path)(FileProblem::Damaged))
}

#[derive(Decode, Encode)]
struct SealedIndex {
    #[n(0)]
    version: u8,
    #[n(1)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(2)]
    ciphertext: Blob<INDEX_BYTES_MAX>,
}

pub(super) fn open_index<T>(bytes: &[u8], key: &SealingKey, domain: &str) -> Option<T>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let sealed: SealedIndex = keepwell_types::decode(bytes, INDEX_BYTES_MAX).ok()?;
    if sealed.version != INDEX_VERSION {
        return None;
    }
    let plain = seal::open(key, domain, &[], &sealed.encapsulated, &sealed.ciphertext).ok()?;
    keepwell_types::decode(&plain, INDEX_BYTES_MAX).ok()
}

/// How files of keys are made: for this user alone.
fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "other systems have no modes")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

pub(super) fn read_private(path: &Path, max: usize) -> Result<Vec<u8>, FileProblem> {
    let file = File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FileProblem::OpenToOthers { mode });
        }
    }
    let mut bytes = Vec::new();
    // One byte more than there may be shows that there is more; whoever decodes refuses it.
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that must not be there yet; it appears whole.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(path, bytes)?;
    // A link, unlike a rename, replaces nothing.
    let linked = fs::hard_link(&staged, path);
    fs::remove_file(&staged)?;
    linked?;
    sync_folder(path)
}

/// Writes a file in place of one that may be there; it is the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(path, bytes)?;
    if let Err(error) = fs::rename(&staged, path) {
        // What could not be put in place is of no use; the error that matters is the first.
        let _ = fs::remove_file(&staged);
        return Err(error);
    }
    sync_folder(path)
}

/// Writes `bytes` durably beside `path`.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = path.with_file_name(format!(".{name}.{:016x}", rng().next_u64()));
    let write = || {
        let mut file = private().create_new(true).write(true).open(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(staged),
        Err(error) => {
            let _ = fs::remove_file(&staged);
            Err(error)
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
