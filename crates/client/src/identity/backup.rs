//! Backups: a whole wallet in one file, under a passphrase.
//!
//! ```text
//! Backup = [version, key file, sealed index]      the key file opens with a passphrase (Argon2id), and the
//!                                                 index with what is in it
//! ```
//!
//! A root alone would not do: charts have random ids, and which are a patient's stands in the index. The keys
//! of charts that were claimed or recovered are there too.
//!
//! # Invariants
//!
//! * A backup opens with its own passphrase, whatever unlocks the wallet.
//! * A wallet is restored into a folder that has none.

use std::path::Path;

use keepwell_crypto::keyfile::{KEY_FILE_BYTES_MAX, KeyFile, KeyFileError, KeyKind};
use keepwell_types::encoding::Blob;
use minicbor::{Decode, Encode};

use super::{
    FileError, SecretBytes, Unlock, WALLET, WALLET_INDEX_DOMAIN, Wallet, about, damaged,
    files::{FileProblem, INDEX_BYTES_MAX, Vault, at, open_index, read_private, write_new},
    index_key,
};

/// The one version of backups.
const BACKUP_VERSION: u8 = 1;
/// Bytes of a backup.
const BACKUP_BYTES_MAX: usize = INDEX_BYTES_MAX + KEY_FILE_BYTES_MAX + 64;

#[derive(Decode, Encode)]
struct Backup {
    #[n(0)]
    version: u8,
    #[n(1)]
    key: Blob<KEY_FILE_BYTES_MAX>,
    #[n(2)]
    index: Blob<INDEX_BYTES_MAX>,
}

impl Wallet {
    /// Writes the wallet, as it is now, to a file that is not there yet. `lock` is a passphrase.
    pub fn export(&self, path: &Path, lock: &Unlock) -> Result<(), FileError> {
        self.save()?;
        let about = about(KeyKind::Root, "wallet backup", self.demonstration);
        let key = lock.lock(about, &self.root.as_bytes()[..]).map_err(at(path))?;
        let backup = Backup {
            version: BACKUP_VERSION,
            key: Blob::from_vec(key.encode()).expect("a key file is within its limit"),
            index: Blob::from_vec(self.vault.index_bytes()?)
                .map_err(|_| at(path)(FileProblem::Full))?,
        };
        write_new(path, &keepwell_types::encode(&backup)).map_err(at(path))
    }

    /// Restores a wallet from a backup into `folder`, where `unlock` opens it from then on.
    pub fn import(
        path: &Path,
        lock: &Unlock,
        folder: &Path,
        unlock: &Unlock,
    ) -> Result<Self, FileError> {
        let bytes = read_private(path, BACKUP_BYTES_MAX).map_err(at(path))?;
        let backup: Backup =
            keepwell_types::decode(&bytes, BACKUP_BYTES_MAX).map_err(|_| damaged(path))?;
        if backup.version != BACKUP_VERSION {
            return Err(damaged(path));
        }
        let (demonstration, secret) = open_key(&backup.key, lock).map_err(at(path))?;
        let root = secret.as_slice().try_into().map(SecretBytes::new);
        let root = root.map_err(|_| damaged(path))?;
        let index = open_index(&backup.index, &index_key(&root), WALLET_INDEX_DOMAIN);
        let index = index.ok_or_else(|| damaged(path))?;
        let wallet = Self { vault: Vault::begin(folder, WALLET)?, root, index, demonstration };
        wallet.save()?;
        let about = about(KeyKind::Root, "wallet", demonstration);
        wallet.vault.write_key(about, &wallet.root.as_bytes()[..], unlock)?;
        Ok(wallet)
    }
}

/// Whether a demonstration made the backup, and the root in it.
fn open_key(
    bytes: &[u8],
    lock: &Unlock,
) -> Result<(bool, zeroize::Zeroizing<Vec<u8>>), KeyFileError> {
    let file = KeyFile::decode(bytes)?;
    file.expect_kind(KeyKind::Root)?;
    Ok((file.about().demonstration, lock.open(&file)?))
}
