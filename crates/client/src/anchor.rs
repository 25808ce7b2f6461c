//! Anchors: one entry for any number of documents, and a receipt for each of them.
//!
//! ```text
//! documents ── SHA-256, read in pieces ──> salted leaves ──> tree ──> anchor.add {root, count}
//!                                                              └──> one DocumentReceipt each
//! ```
//!
//! # Invariants
//!
//! * A document is read once, in pieces, and never held.
//! * Each document has a fresh salt, so its receipt says nothing of the others.
//!
//! Not here: checking a receipt, which `keepwell-merkle` does.

use std::path::{Path, PathBuf};

use keepwell_crypto::hash::Stream;
use keepwell_merkle::{
    anchor::{DOCUMENT_RECEIPT_VERSION, DocumentReceipt, document_leaf},
    range,
    receipt::Receipt,
    tree,
};
use keepwell_types::{
    anchor::AnchorAdd,
    command::Payload,
    id::{Digest, Salt},
    limits::ANCHOR_DOCUMENTS_MAX,
};
use tokio::{
    fs::{self, File},
    io::{AsyncRead, AsyncReadExt as _},
};

use crate::{
    Client,
    client::{Decided, random},
    error::{ClientError, UsageError},
    identity::Actor,
};

/// Bytes that are read of a document at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// The SHA-256 digest of a document.
pub async fn digest_of(mut document: impl AsyncRead + Unpin) -> Result<Digest, UsageError> {
    let mut stream = Stream::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let len = document.read(&mut piece).await.map_err(UsageError::Content)?;
        if len == 0 {
            return Ok(stream.finish());
        }
        stream.update(&piece[..len]);
    }
}

/// The files in a folder and the folders below it, in order of their paths. Links are not followed.
pub async fn files_in(folder: &Path) -> Result<Vec<PathBuf>, UsageError> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        let mut entries = fs::read_dir(&folder).await.map_err(UsageError::Content)?;
        while let Some(entry) = entries.next_entry().await.map_err(UsageError::Content)? {
            let kind = entry.file_type().await.map_err(UsageError::Content)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A document that waits for its anchor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Salted {
    salt: Salt,
    document: Digest,
}

/// Documents that wait for their anchor.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    salted: Vec<Salted>,
}

impl Documents {
    /// Adds a document by its digest; its receipt will stand at the same place.
    pub fn push(&mut self, document: Digest) {
        self.salted.push(Salted { salt: Salt(random()), document });
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.salted.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.salted.is_empty()
    }

    fn leaves(&self) -> Vec<Digest> {
        self.salted.iter().map(|it| document_leaf(&it.salt, &it.document)).collect()
    }
}

/// Documents that were anchored: makes the receipt of each.
#[derive(Clone, Debug)]
pub struct Anchored {
    documents: Documents,
    nodes: Vec<Digest>,
    decided: Decided,
    /// The proof of the anchor, as it is given to others.
    portable: Receipt,
}

impl Anchored {
    /// The proof of the anchor itself.
    pub const fn decided(&self) -> &Decided {
        &self.decided
    }

    /// The receipts of all documents, in their order.
    pub fn receipts(&self) -> impl Iterator<Item = DocumentReceipt> {
        let leaves = self.documents.len();
        (0..).zip(&self.documents.salted).map(move |(index, it)| DocumentReceipt {
            version: DOCUMENT_RECEIPT_VERSION,
            salt: it.salt,
            document: it.document,
            path: range::prove(self.nodes.as_slice(), leaves, index)
                .expect("every leaf of a tree whose nodes are all here can be proven"),
            receipt: self.portable.clone(),
        })
    }
}

impl Client {
    /// Anchors documents under one entry.
    pub async fn anchor(
        &self,
        actor: &Actor,
        documents: Documents,
    ) -> Result<Anchored, ClientError> {
        let given = documents.len();
        if given == 0 {
            return Err(UsageError::NoDocuments.into());
        }
        if given > ANCHOR_DOCUMENTS_MAX {
            let max = ANCHOR_DOCUMENTS_MAX;
            return Err(UsageError::TooManyDocuments { given, max }.into());
        }
        let leaves = documents.leaves();
        let add = AnchorAdd { root: tree::root(&leaves), documents: given };
        let decided = self.command(actor, Payload::AnchorAdd(add)).await?;
        let portable = self.portable(decided.receipt());
        Ok(Anchored { nodes: range::nodes(&leaves), documents, decided, portable })
    }

    /// Anchors every file in a folder; the receipts are in the order of the paths. `reading` is told of
    /// each file, its place and how many there are, before it is read.
    pub async fn anchor_folder(
        &self,
        actor: &Actor,
        folder: &Path,
        mut reading: impl FnMut(&Path, usize, usize),
    ) -> Result<(Anchored, Vec<PathBuf>), ClientError> {
        let files = files_in(folder).await?;
        let mut documents = Documents::default();
        for (place, path) in files.iter().enumerate() {
            reading(path, place, files.len());
            let file = File::open(path).await.map_err(UsageError::Content)?;
            documents.push(digest_of(file).await?);
        }
        Ok((self.anchor(actor, documents).await?, files))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn folders_are_read_in_the_order_of_paths_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a folder/ünïcode");
        fs::create_dir_all(&below).unwrap();
        for path in [folder.path().join("b"), below.join("c d"), folder.path().join("a")] {
            fs::write(path, b"x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let files = files_in(folder.path()).await.unwrap();
        let expected = [folder.path().join("a"), below.join("c d"), folder.path().join("b")];
        assert_eq!(files, expected);
        assert!(matches!(
            files_in(&folder.path().join("nowhere")).await,
            Err(UsageError::Content(_))
        ));
    }

    #[tokio::test]
    async fn digests_do_not_depend_on_pieces() {
        let document = vec![7; 3 * PIECE_BYTES + 1];
        let whole = keepwell_crypto::hash::sha256(&[&document]);
        assert_eq!(digest_of(&document[..]).await.unwrap(), whole);
    }

    #[test]
    fn each_document_is_salted_apart() {
        let mut documents = Documents::default();
        documents.push(Digest([1; 32]));
        documents.push(Digest([1; 32]));
        let leaves = documents.leaves();
        assert_ne!(leaves[0], leaves[1]);
    }
}
