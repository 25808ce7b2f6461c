//! A spool: bytes that wait on disk until their number is known, sealed under a key that is in memory alone.
//!
//! ```text
//! chunk i = seal(key, i, 65,532 bytes)        all of one length but the last
//! ```
//!
//! # Invariants
//!
//! * The file has no name: it is gone when the spool is, or the program.
//! * Whoever takes the disk has nothing: the key was never written.
//! * Memory is a chunk.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use axum::body::Bytes;
use futures::stream;
use getrandom::SysRng;
use keepwell_crypto::index::IndexKey;
use keepwell_types::id::RecordId;
use rand_core::{Rng as _, UnwrapErr};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncRead, task::spawn_blocking};
use tokio_util::io::StreamReader;
use zeroize::Zeroizing;

/// Bytes of a chunk: with their length, a size to which nothing is padded.
const CHUNK_BYTES: usize = 64 * 1024 - 4;
/// Bytes of a chunk that is full, as it is sealed: nonce, length, bytes, tag.
const SEALED_BYTES: u64 = 12 + 64 * 1024 + 16;

/// Bytes that are being spooled.
#[derive(Debug)]
pub(super) struct Spooling {
    file: Arc<File>,
    key: Arc<IndexKey>,
    waiting: Zeroizing<Vec<u8>>,
    chunks: u64,
    bytes: u64,
    hasher: Sha256,
}

impl Spooling {
    /// An empty spool, in a folder.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        let file = Arc::new(tempfile::tempfile_in(folder)?);
        let mut key = Zeroizing::new([0; 32]);
        UnwrapErr(SysRng).fill_bytes(&mut *key);
        let key = Arc::new(IndexKey::from_bytes(&key));
        let waiting = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(Self { file, key, waiting, chunks: 0, bytes: 0, hasher: Sha256::new() })
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) async fn write(&mut self, mut piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        while !piece.is_empty() {
            let room = CHUNK_BYTES - self.waiting.len();
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.waiting.extend_from_slice(now);
            piece = later;
            if self.waiting.len() == CHUNK_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let next = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        let chunk = std::mem::replace(&mut self.waiting, next);
        let (file, key, at) = (self.file.clone(), self.key.clone(), self.chunks);
        self.chunks += 1;
        let written = spawn_blocking(move || {
            let sealed = key.seal(&mut UnwrapErr(SysRng), &place(at), &chunk);
            file.write_all_at(&sealed, at * SEALED_BYTES)
        });
        written.await.map_err(io::Error::other)?
    }

    pub(super) async fn finish(mut self) -> io::Result<Spool> {
        if !self.waiting.is_empty() {
            self.flush().await?;
        }
        let Self { file, key, chunks, bytes, hasher, .. } = self;
        Ok(Spool { file, key, chunks, bytes, digest: hasher.finalize().into() })
    }
}

/// Bytes that are spooled.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    key: Arc<IndexKey>,
    chunks: u64,
    bytes: u64,
    digest: [u8; 32],
}

impl Spool {
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 digest of the bytes.
    pub(super) const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// One chunk; nothing behind the last.
    fn chunk(&self, at: u64) -> io::Result<Zeroizing<Vec<u8>>> {
        if at >= self.chunks {
            return Ok(Zeroizing::default());
        }
        let end = if at + 1 == self.chunks {
            self.file.metadata()?.len()
        } else {
            (at + 1) * SEALED_BYTES
        };
        let len = end.saturating_sub(at * SEALED_BYTES).min(SEALED_BYTES);
        let mut sealed = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file.read_exact_at(&mut sealed, at * SEALED_BYTES)?;
        self.key.open(&place(at), &sealed).map_err(io::Error::other)
    }

    /// The bytes, for whoever may block.
    pub(super) fn read(&self) -> impl Read + Send + use<> {
        Reading { spool: self.clone(), next: 0, chunk: Zeroizing::default(), given: 0 }
    }

    /// The bytes.
    pub(super) fn stream(&self) -> impl AsyncRead + Send + Unpin + use<> {
        let pieces = stream::unfold((self.clone(), 0), |(spool, at)| async move {
            let reader = spool.clone();
            let chunk = spawn_blocking(move || reader.chunk(at)).await;
            match chunk.map_err(io::Error::other).flatten() {
                Ok(chunk) if chunk.is_empty() => None,
                chunk => Some((chunk.map(|it| Bytes::copy_from_slice(&it)), (spool, at + 1))),
            }
        });
        StreamReader::new(Box::pin(pieces))
    }
}

struct Reading {
    spool: Spool,
    next: u64,
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
}

impl Read for Reading {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if self.given == self.chunk.len() {
            (self.chunk, self.given) = (self.spool.chunk(self.next)?, 0);
            self.next += 1;
        }
        let some = (self.chunk.len() - self.given).min(output.len());
        output[..some].copy_from_slice(&self.chunk[self.given..self.given + some]);
        self.given += some;
        Ok(some)
    }
}

/// What a chunk is bound to.
fn place(at: u64) -> RecordId {
    let mut place = [0; 32];
    place[..8].copy_from_slice(&at.to_be_bytes());
    RecordId(place)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_spooled_comes_back_and_is_sealed_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 300_000] {
            let bytes: Vec<_> = (0..len).map(|it| (it % 251) as u8).collect();
            let mut spooling = Spooling::begin(folder.path()).unwrap();
            for piece in bytes.chunks(10_007) {
                spooling.write(piece).await.unwrap();
            }
            assert_eq!(spooling.bytes(), len as u64);
            let spool = spooling.finish().await.unwrap();
            let (mut one, mut two) = (Vec::new(), Vec::new());
            spool.read().read_to_end(&mut one).unwrap();
            spool.stream().read_to_end(&mut two).await.unwrap();
            assert!(one == bytes && two == bytes, "{len}");
            assert_eq!(spool.digest(), <[u8; 32]>::from(Sha256::digest(&bytes)));
            let mut raw = vec![0; usize::try_from(spool.file.metadata().unwrap().len()).unwrap()];
            spool.file.read_exact_at(&mut raw, 0).unwrap();
            assert!(!raw.windows(16).any(|it| bytes.windows(16).take(1).any(|one| one == it)));
            assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        }
    }
}
