//! Where sealed objects lie: a folder, or an S3-compatible object store.
//!
//! ```text
//! records/<chart>/<record>-<version>.body       ciphertext, as it came
//! records/<chart>/<record>-<version>.capsule    salted capsule
//! small/<chart>/<kind>-<digest>                 key sheets, sealed seeds and tables of them
//! members/<member>.key                          X-Wing public keys of members
//! ```
//!
//! # Invariants
//!
//! * Names are made of identifiers in hexadecimal digits, never of text that someone sent: no name
//!   leads out of the store.
//! * What [`Store::put`] and [`Store::put_stream`] return for is durable: in a folder the file and the
//!   entries of the folders above it are synced, and an object store answers no sooner.
//! * An object is whole or not there: a cut-off upload leaves nothing under its name.

use std::{
    error::Error as _,
    io::{self, ErrorKind},
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream::BoxStream};
use keepwell_types::id::{ChartId, Digest, MemberId, RecordId, Version};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions,
    RetryConfig, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem, path::Path,
};
use thiserror::Error;

use super::incoming::Incoming;
use crate::{
    config::S3Config,
    folder::{FolderError, create_private, free_bytes},
};

/// Bytes that are written at once to a folder.
const FOLDER_PART_BYTES: usize = 1024 * 1024;
/// Bytes of one part of an upload to an object store, which must be at least 5 MiB; 12 GiB of them
/// are fewer than the 10,000 parts that S3 takes.
const S3_PART_BYTES: usize = 8 * 1024 * 1024;
/// How often, and for how long, an object store that fails is asked again: an author is waiting, and can
/// turn to another custodian.
const RETRIES_MAX: usize = 4;
const RETRY: Duration = Duration::from_secs(15);
/// Bytes of a credentials file.
const CREDENTIALS_BYTES_MAX: usize = 4_096;

/// Why the store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No such object.
    #[error("the object is not stored here")]
    NotFound,
    /// No room.
    #[error(
        "this custodian has no room left on its disk; nothing of the object was kept; use another custodian, or try again later"
    )]
    Full,
    /// The sender stopped in the middle.
    #[error(
        "the upload ended or stood still before its end; nothing of it was kept; send it again"
    )]
    CutOff,
    /// The sender takes too long.
    #[error(
        "the upload came at less than {bytes_per_s_min} bytes a second; nothing of it was kept; send it again over a faster link"
    )]
    TooSlow {
        /// The limit.
        bytes_per_s_min: u64,
    },
    /// More than was allowed, or declared.
    #[error("the object has more than {max} bytes; nothing of it was kept")]
    TooLong {
        /// The limit.
        max: u64,
    },
    /// Anything else that the store says. Its text may name objects: it goes to the log of the operator.
    #[error("this custodian's store failed; try again, or use another custodian")]
    Failed(#[source] object_store::Error),
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Self::NotFound;
        }
        let mut cause = error.source();
        while let Some(inner) = cause {
            let kind = inner.downcast_ref::<io::Error>().map(io::Error::kind);
            if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
                return Self::Full;
            }
            cause = inner.source();
        }
        Self::Failed(error)
    }
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The object store's configuration.
    #[error(
        "the store of sealed objects cannot be used: {0}; check [custody] in the configuration"
    )]
    Store(#[from] object_store::Error),
    /// The credentials.
    #[error(
        "the credentials file {0} must have two lines, access key id and secret access key, and be readable by this user alone"
    )]
    Credentials(PathBuf),
}

/// The name of a record's version in the store.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RecordObject {
    /// The chart.
    pub chart: ChartId,
    /// The record.
    pub record: RecordId,
    /// Its version.
    pub version: Version,
}

impl RecordObject {
    fn path(&self, part: &str) -> Path {
        let Self { chart, record, version } = self;
        Path::from(format!("records/{chart}/{record}-{version}.{part}"))
    }

    /// Of the ciphertext.
    pub(super) fn body(&self) -> Path {
        self.path("body")
    }

    /// Of the capsule.
    pub(super) fn capsule(&self) -> Path {
        self.path("capsule")
    }
}

/// The name of a member's public key in the store.
pub(super) fn member_key(member: MemberId) -> Path {
    Path::from(format!("members/{member}.key"))
}

/// What a small object is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SmallKind {
    /// A chart's key sheet.
    Sheet,
    /// Seeds sealed to a grantee.
    Seeds,
    /// The table of the seeds that a rotation brings.
    Table,
    /// Words of a case.
    Words,
    /// What the guardians of a chart hold together.
    Guardians,
    /// A guardian's share of it, sealed to a successor.
    Share,
    /// Keys of epochs to come.
    Ahead,
    /// What a chart leaves to emergencies.
    Escrow,
}

impl SmallKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Sheet,
        Self::Seeds,
        Self::Table,
        Self::Words,
        Self::Guardians,
        Self::Share,
        Self::Ahead,
        Self::Escrow,
    ];

    /// As paths and queries write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sheet => "sheet",
            Self::Seeds => "seeds",
            Self::Table => "table",
            Self::Words => "words",
            Self::Guardians => "guardians",
            Self::Share => "share",
            Self::Ahead => "ahead",
            Self::Escrow => "escrow",
        }
    }
}

/// The name of a small object: what it is, and its digest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct SmallObject {
    /// The chart.
    pub chart: ChartId,
    /// What it is.
    pub kind: SmallKind,
    /// Its digest, as the ledger names it.
    pub digest: Digest,
}

impl SmallObject {
    pub(super) fn path(&self) -> Path {
        let Self { chart, kind, digest } = self;
        Path::from(format!("small/{chart}/{}-{digest}", kind.as_str()))
    }
}

/// A stretch of an object, as it is read.
pub struct Stretch {
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, object_store::Error>>,
    /// Which bytes of the object they are.
    pub range: Range<u64>,
    /// Bytes of the whole object.
    pub len: u64,
}

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    part_bytes: usize,
    /// Where the store is a folder.
    folder: Option<PathBuf>,
}

impl Store {
    /// A store in a folder, which is created if it is missing.
    pub fn in_folder(folder: &FilePath) -> Result<Self, OpenError> {
        create_private(folder).map_err(|error| FolderError::of(folder, error))?;
        let files = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self {
            objects: Arc::new(files),
            part_bytes: FOLDER_PART_BYTES,
            folder: Some(folder.to_path_buf()),
        })
    }

    /// A store in an S3-compatible object store.
    pub fn in_s3(config: &S3Config) -> Result<Self, OpenError> {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_allow_http(config.is_loopback())
            .with_retry(RetryConfig {
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(file) = &config.credentials_file {
            let (id, secret) =
                read_credentials(file).ok_or_else(|| OpenError::Credentials(file.clone()))?;
            builder = builder.with_access_key_id(id).with_secret_access_key(&*secret);
        }
        let bucket = builder.build()?;
        let objects: Arc<dyn ObjectStore> = if config.prefix.is_empty() {
            Arc::new(bucket)
        } else {
            Arc::new(object_store::prefix::PrefixStore::new(bucket, config.prefix.as_str()))
        };
        Ok(Self { objects, part_bytes: S3_PART_BYTES, folder: None })
    }

    /// Stores a small object durably.
    pub async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.put_opts(path, bytes.into(), PutOptions::default()).await?;
        Ok(())
    }

    /// Stores what comes durably, and shows each piece to `seen` before. What came is under its name only
    /// if all of it came.
    pub async fn put_stream<S, E>(
        &self,
        path: &Path,
        incoming: &mut Incoming<S>,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(), StoreError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut first = BytesMut::new();
        while first.len() < self.part_bytes {
            match incoming.next().await? {
                Some(piece) => {
                    seen(&piece);
                    first.extend_from_slice(&piece);
                }
                None => return self.put(path, first.freeze()).await,
            }
        }
        let upload = self.objects.put_multipart_opts(path, PutMultipartOptions::default()).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, self.part_bytes);
        upload.put(first.freeze());
        let ended = loop {
            match incoming.next().await {
                Ok(Some(piece)) => {
                    seen(&piece);
                    upload.put(piece);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
            // One part is on its way while the next one comes in.
            if let Err(error) = upload.wait_for_capacity(1).await {
                break Err(error.into());
            }
        };
        match ended {
            Ok(()) => {
                upload.finish().await?;
                Ok(())
            }
            Err(error) => {
                // What is left of the upload has no name; the store drops it in the end if this fails.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// A whole small object.
    pub async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        Ok(self.objects.get_opts(path, GetOptions::default()).await?.bytes().await?)
    }

    /// A stretch of an object, or all of it.
    pub async fn read(&self, path: &Path, range: Option<GetRange>) -> Result<Stretch, StoreError> {
        let options = GetOptions { range, ..GetOptions::default() };
        let result = self.objects.get_opts(path, options).await?;
        let (range, len) = (result.range.clone(), result.meta.size);
        Ok(Stretch { bytes: result.into_stream(), range, len })
    }

    /// Whether there is such an object.
    pub async fn has(&self, path: &Path) -> Result<bool, StoreError> {
        match self.objects.head(path).await.map_err(StoreError::from) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        match self.objects.delete(path).await.map_err(StoreError::from) {
            Ok(()) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Bytes that are free on the disk of a folder; an object store has no such limit.
    pub fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let free = free_bytes(folder).map_err(|error| {
            let (store, source) = ("LocalFileSystem", Box::new(error));
            StoreError::Failed(object_store::Error::Generic { store, source })
        })?;
        Ok(Some(free))
    }

    /// Removes what uploads left behind that a crash cut off before `before`. An object store does so
    /// by a rule of its bucket.
    pub fn remove_cut_off(&self, before: SystemTime) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if is_staged(&entry.file_name().to_string_lossy())
                    && entry.metadata()?.modified()? < before
                {
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a file is an upload that has not ended: `object_store` names those `<name>#<number>`.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn read_credentials(file: &FilePath) -> Option<(String, zeroize::Zeroizing<String>)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(file).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            return None;
        }
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(file).ok()?);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (id, secret) = (lines.next()?, lines.next()?);
    (text.len() <= CREDENTIALS_BYTES_MAX && lines.next().is_none())
        .then(|| (id.to_owned(), zeroize::Zeroizing::new(secret.to_owned())))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn pieces(
        pieces: Vec<Result<&'static [u8], ()>>,
    ) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        stream::iter(pieces.into_iter().map(|piece| piece.map(Bytes::from_static)))
    }

    fn files_in(folder: &FilePath) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files
    }

    #[tokio::test]
    async fn only_whole_objects_have_a_name() {
        static LARGE: [u8; FOLDER_PART_BYTES] = [7; FOLDER_PART_BYTES];
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path()).unwrap();
        let path = Path::from("records/a");
        let cut_off = |error| matches!(error, StoreError::CutOff);
        let too_long = |error| matches!(error, StoreError::TooLong { max: 10 });
        type Case = (Vec<Result<&'static [u8], ()>>, u64, fn(StoreError) -> bool);
        let cases: [Case; 4] = [
            (vec![Ok(b"abc"), Err(())], 10, cut_off),
            (vec![Ok(&LARGE), Ok(b"abc"), Err(())], u64::MAX, cut_off),
            (vec![Ok(b"abc"), Ok(b"defghijk")], 10, too_long),
            (vec![Ok(&LARGE)], 10, too_long),
        ];
        for (stream, max, fault) in cases {
            let error =
                store.put_stream(&path, &mut Incoming::new(pieces(stream), max), |_| ()).await;
            assert!(fault(error.unwrap_err()));
            assert!(!store.has(&path).await.unwrap());
            assert_eq!(files_in(folder.path()), Vec::<PathBuf>::new());
        }
    }

    #[tokio::test]
    async fn objects_come_back_whole_and_in_stretches() {
        static LARGE: [u8; FOLDER_PART_BYTES] = [7; FOLDER_PART_BYTES];
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path()).unwrap();
        let path = Path::from("records/a");
        let mut seen = 0;
        let stream = pieces(vec![Ok(b"abc"), Ok(&LARGE), Ok(b"xyz")]);
        let mut incoming = Incoming::new(stream, u64::MAX);
        store.put_stream(&path, &mut incoming, |piece| seen += piece.len()).await.unwrap();
        assert_eq!(seen, LARGE.len() + 6);
        let whole = store.get(&path).await.unwrap();
        assert_eq!(
            (whole.len(), &whole[..4], &whole[whole.len() - 3..]),
            (seen, &b"abc\x07"[..], &b"xyz"[..])
        );
        let stretch = store.read(&path, Some(GetRange::Bounded(1..4))).await.unwrap();
        assert_eq!((stretch.range, stretch.len), (1..4, seen as u64));
        store.delete(&path).await.unwrap();
        store.delete(&path).await.unwrap();
        assert!(matches!(store.get(&path).await, Err(StoreError::NotFound)));
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(ErrorKind::StorageFull)),
        };
        assert!(matches!(StoreError::from(error), StoreError::Full));
    }

    #[test]
    fn what_a_crash_left_behind_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_folder(folder.path()).unwrap();
        let records = folder.path().join("records/a");
        std::fs::create_dir_all(&records).unwrap();
        for name in ["r-1.body", "r-1.body#1", "r-1.capsule#22"] {
            std::fs::write(records.join(name), b"x").unwrap();
        }
        store.remove_cut_off(SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert_eq!(files_in(folder.path()).len(), 3, "a running upload is left alone");
        store.remove_cut_off(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(files_in(folder.path()), [records.join("r-1.body")]);
    }

    #[cfg(unix)]
    #[test]
    fn credentials_are_two_lines_that_nobody_else_reads() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        for (text, mode, fits) in [
            ("id\nsecret\n", 0o600, true),
            ("id\nsecret\n", 0o644, false),
            ("id\n", 0o600, false),
            ("id\nsecret\nmore\n", 0o600, false),
        ] {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_credentials(&file).is_some(), fits, "{text:?} {mode:o}");
        }
    }
}
