//! The secrets of one node, and their key files.
//!
//! ```text
//! consensus.key    32-byte seed   votes, and links to peers
//! release.key      32-byte seed   signs release answers
//! share.key        34 bytes       share of the committee's key
//! matching.key     34 bytes       share of the key that evaluates for matching; only where there is matching
//! custodian.key    32-byte seed   signs acknowledgements of custody
//! ceremony.key     32-byte seed   deals, and opens what others deal; until the consortium is founded
//!
//! receiving-H-I.key, share-H-I.key, matching-H-I.key     of the change of validators that began at entry I of block H
//! ```
//!
//! The files of a change are there from when the validator takes part in it until the set that it leads to has begun,
//! or another change has: then its shares take the names of those before, which are gone.
//!
//! # Invariants
//!
//! * A secret is on disk only inside a key file, and leaves memory when dropped.
//! * Nothing here prints a secret: `Debug` shows names only.
//! * A key file is written whole or not at all, for its user alone, and never over another one, with two exceptions:
//!   shares of a new set take the place of those that open nothing any more, and a file with another lock takes the place
//!   of the one with the same secret ([`relock`]).

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use keepwell_crypto::{
    ceremony::{CeremonySecret, Founded, sign_card},
    keyfile::{About, Cost, KEY_FILE_BYTES_MAX, KeyFile, KeyFileError, KeyKind, LABEL_BYTES_MAX},
    matching::MatchingShare,
    reshare::{self, Share},
    seal::SealingKey,
    sign::SigningKey,
    threshold::KeyShare,
};
use keepwell_types::{
    encoding::Text,
    founding::{Founder, FounderCard},
    genesis::Validator,
    id::{ChainId, Height, Location, OrganisationId, PublicKey},
    limits::ADDRESS_BYTES_MAX,
    member::OrganisationAdmit,
    validators::{KeyUse, Seat, ValidatorCard},
};
use rand_core::CryptoRng;
use tempfile::NamedTempFile;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::folder::{create_private, hand_over, is_private};

/// Keys that could not be read or written.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The system refused.
    #[error(
        "the key file {path}: {source}; check that it is there and belongs to the user that runs the node"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not open.
    #[error("the key file {path}: {source}")]
    Locked {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyFileError,
    },
    /// The secret inside is of another length or form.
    #[error(
        "the key file {path} opens, and what is in it is no {kind:?} key; restore it from your copy"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        kind: KeyKind,
    },
    /// Longer than any key file.
    #[error("{path} has more than {max} bytes, and is no key file", max = KEY_FILE_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The operator's file.
    #[error(
        "the operator's file {path} must have exactly 32 bytes and be readable by this user alone (chmod 600)"
    )]
    Operator {
        /// The file.
        path: PathBuf,
    },
    /// A file that would change hands.
    #[error(
        "the key file {path} belongs to another user, to whom a new one could not be given ({source}); run this as that user, or as root; nothing was changed"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another lock that is none.
    #[error(
        "what is to unlock the keys is what unlocks them now, and nothing was changed; name another operator's file, token or passphrase"
    )]
    SameLock,
    /// Nothing to lock anew.
    #[error(
        "there is no key file in {folder}, and nothing was changed; correct the folder's name, which of a node is keys.folder in its configuration"
    )]
    NoFiles {
        /// The folder, or the first of several.
        folder: PathBuf,
    },
    /// A label that no key file takes.
    #[error("the label of the keys has more than {max} bytes", max = LABEL_BYTES_MAX)]
    Label,
}

/// What unlocks key files.
#[derive(Eq, PartialEq)]
pub enum Unlock {
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The operator's key, kept on other storage than the key files.
    Operator(Zeroizing<[u8; 32]>),
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(..)",
            Self::Operator(_) => "Operator(..)",
        })
    }
}

/// Reads an operator's file, whatever it unlocks: 32 random bytes that nobody else can read.
pub fn read_operator_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let file = |source| KeysError::File { path: path.to_path_buf(), source };
    let refused = || KeysError::Operator { path: path.to_path_buf() };
    let metadata = fs::metadata(path).map_err(file)?;
    if !is_private(path, &metadata) || metadata.len() != 32 {
        return Err(refused());
    }
    let bytes = fs::read(path).map(Zeroizing::new).map_err(file)?;
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| refused())
}

/// The secrets of one node.
pub struct NodeKeys {
    /// Makes its votes and its links to peers.
    pub consensus: Zeroizing<[u8; 32]>,
    /// Signs its release answers.
    pub release: Zeroizing<[u8; 32]>,
    /// Its share of the committee's key. Who is to join has none yet.
    pub share: Option<KeyShare>,
    /// Its share of the key that evaluates for matching.
    pub matching: Option<MatchingShare>,
    /// Signs its organisation's acknowledgements of custody.
    pub custodian: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKeys").field("consensus", &self.consensus_key()).finish_non_exhaustive()
    }
}

/// The names of the key files that each node has, in its keys' folder.
const FILES: [(KeyKind, &str); 3] = [
    (KeyKind::Consensus, "consensus.key"),
    (KeyKind::Release, "release.key"),
    (KeyKind::Custodian, "custodian.key"),
];
/// The names of a founder's key files, in the same folder.
const FOUNDER_FILES: [(KeyKind, &str); 4] = [
    (KeyKind::Consensus, "consensus.key"),
    (KeyKind::Release, "release.key"),
    (KeyKind::Custodian, "custodian.key"),
    (KeyKind::Ceremony, "ceremony.key"),
];

impl NodeKeys {
    /// The public key of its votes, which names it among the validators.
    pub fn consensus_key(&self) -> PublicKey {
        SigningKey::from_seed(&self.consensus).public()
    }

    /// The public key of its release answers.
    pub fn release_key(&self) -> PublicKey {
        SigningKey::from_seed(&self.release).public()
    }

    /// The public key of its acknowledgements of custody.
    pub fn custodian_key(&self) -> PublicKey {
        SigningKey::from_seed(&self.custodian).public()
    }

    /// Reads and unlocks the key files in `folder`.
    pub fn load(folder: &Path, unlock: &Unlock) -> Result<Self, KeysError> {
        let [consensus, release, custodian] =
            FILES.map(|(kind, name)| read_seed((folder.join(name), kind), unlock));
        let (mut share, mut matching) = (None, None);
        for key in [KeyUse::Release, KeyUse::Match] {
            match read_share(folder, ShareFile::in_force(key), unlock)? {
                Some(Share::Release(it)) => share = Some(it),
                Some(Share::Match(it)) => matching = Some(it),
                None => {}
            }
        }
        let (consensus, release, custodian) = (consensus?, release?, custodian?);
        Ok(Self { consensus, release, share, matching, custodian })
    }

    /// Draws the keys of a validator that is to join: shares are dealt to it later.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = || {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *seed);
            seed
        };
        let (consensus, release, custodian) = (seed(), seed(), seed());
        Self { consensus, release, share: None, matching: None, custodian }
    }

    /// What its organisation shows to the others, for them to let it join.
    pub fn card(
        &self,
        chain: &ChainId,
        organisation: OrganisationId,
        address: Text<ADDRESS_BYTES_MAX>,
    ) -> ValidatorCard {
        let keys = [&self.consensus, &self.release].map(|seed| SigningKey::from_seed(seed));
        let [consensus, release] = [keys[0].public(), keys[1].public()];
        let validator = Validator { organisation, consensus, release };
        reshare::sign_card(chain, Seat { validator, address: Some(address) }, [&keys[0], &keys[1]])
    }

    /// Writes the key files into `folder`, which is created if it is missing. Files that are there
    /// already are not overwritten: that is an error.
    pub fn store(
        &self,
        rng: &mut impl CryptoRng,
        folder: &Path,
        unlock: &Unlock,
        label: &str,
        demonstration: bool,
    ) -> Result<(), KeysError> {
        let seeds = [&self.consensus, &self.release, &self.custodian];
        let files = FILES.into_iter().zip(seeds.map(|seed| &seed[..]));
        store(rng, folder, unlock, (label, demonstration), files)?;
        for share in self.shares() {
            let file = ShareFile::in_force(share.key());
            let bytes = bytes_of(&share);
            let files = [((file.kind(), file.name()), &bytes[..])];
            store(rng, folder, unlock, (label, demonstration), files)?;
        }
        Ok(())
    }

    fn shares(&self) -> impl Iterator<Item = Share> {
        let share = self.share.clone().map(Share::Release);
        share.into_iter().chain(self.matching.clone().map(Share::Match))
    }
}

/// The file of a share: of the set that validates, or of the one that a change leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShareFile {
    /// What it is a share of.
    pub key: KeyUse,
    /// Where the change began.
    pub change: Option<Location>,
}

impl ShareFile {
    const fn in_force(key: KeyUse) -> Self {
        Self { key, change: None }
    }

    const fn stem(key: KeyUse) -> &'static str {
        match key {
            KeyUse::Release => "share",
            KeyUse::Match => "matching",
        }
    }

    fn name(self) -> String {
        let stem = Self::stem(self.key);
        match self.change {
            Some(change) => of_change(stem, change),
            None => format!("{stem}.key"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [KeyUse::Release, KeyUse::Match].into_iter().find_map(|key| {
            let in_force = Self::in_force(key);
            if name == in_force.name() {
                return Some(in_force);
            }
            change_of(Self::stem(key), name).map(|change| Self { key, change: Some(change) })
        })
    }

    const fn kind(self) -> KeyKind {
        match self.key {
            KeyUse::Release => KeyKind::Share,
            KeyUse::Match => KeyKind::MatchingShare,
        }
    }
}

const RECEIVING: &str = "receiving";
/// Ends the names of all key files.
const KEY_FILE: &str = ".key";
/// Begins the names of files that are not whole yet.
const UNFINISHED: &str = ".unfinished-";

fn of_change(stem: &str, Location { height, index }: Location) -> String {
    format!("{stem}-{height}-{index}.key")
}

fn change_of(stem: &str, name: &str) -> Option<Location> {
    let numbers = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".key")?;
    let (height, index) = numbers.split_once('-')?;
    let change = Location { height: Height(height.parse().ok()?), index: index.parse().ok()? };
    // No other spelling of the same numbers is a name of ours.
    (of_change(stem, change) == name).then_some(change)
}

fn bytes_of(share: &Share) -> Zeroizing<[u8; KeyShare::LEN]> {
    match share {
        Share::Release(it) => it.to_bytes(),
        Share::Match(it) => it.to_bytes(),
    }
}

/// The key files of a running node, and what unlocks them: shares come and go with changes of validators.
#[derive(Debug)]
pub struct KeyFiles {
    folder: PathBuf,
    unlock: Unlock,
}

impl KeyFiles {
    /// Of this folder.
    pub const fn new(folder: PathBuf, unlock: Unlock) -> Self {
        Self { folder, unlock }
    }

    /// Reads the keys that a node starts with.
    pub fn load(&self) -> Result<NodeKeys, KeysError> {
        NodeKeys::load(&self.folder, &self.unlock)
    }

    /// Whether shares could be stored here.
    pub fn can_write(&self) -> bool {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.folder).is_ok()
    }

    /// Every share that is here: of the set that validates first. One of a change that cannot be read is left out, since
    /// it can be made again.
    pub fn shares(&self) -> Result<Vec<(ShareFile, Share)>, KeysError> {
        let mut files: Vec<_> =
            self.names()?.iter().filter_map(|it| ShareFile::parse(it)).collect();
        files.sort_by_key(|it| (it.change, it.key));
        let mut shares = Vec::new();
        for file in files {
            match read_share(&self.folder, file, &self.unlock) {
                Ok(share) => shares.extend(share.map(|share| (file, share))),
                Err(error) if file.change.is_some() => {
                    tracing::warn!(%error, "a share of a change of validators cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(shares)
    }

    /// The changes for which a receiving key is here.
    pub fn receiving_changes(&self) -> Result<Vec<Location>, KeysError> {
        Ok(self.names()?.iter().filter_map(|name| change_of(RECEIVING, name)).collect())
    }

    /// Removes what a process that was killed left of files that it wrote.
    pub fn sweep(&self) -> Result<(), KeysError> {
        let mut names = self.names()?.into_iter().filter(|it| it.starts_with(UNFINISHED));
        names.try_for_each(|name| self.erase(&name))
    }

    /// The key to which shares are dealt in a change, if it is here.
    pub fn receiving(&self, change: Location) -> Result<Option<SealingKey>, KeysError> {
        let path = self.folder.join(of_change(RECEIVING, change));
        if !path.exists() {
            return Ok(None);
        }
        let seed = read_seed((path, KeyKind::Receiving), &self.unlock)?;
        Ok(Some(SealingKey::from_seed(&seed)))
    }

    /// The same, drawn and stored if it is not here.
    pub fn draw_receiving(
        &self,
        rng: &mut impl CryptoRng,
        change: Location,
    ) -> Result<SealingKey, KeysError> {
        if let Some(drawn) = self.receiving(change)? {
            return Ok(drawn);
        }
        let path = self.folder.join(of_change(RECEIVING, change));
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let file = self.lock(rng, KeyKind::Receiving, &*seed)?;
        write_new(&path, &file.encode()).map_err(|source| KeysError::File { path, source })?;
        Ok(SealingKey::from_seed(&seed))
    }

    /// Stores a share of the set that a change leads to. Returns when it is durable.
    pub fn keep(
        &self,
        rng: &mut impl CryptoRng,
        change: Location,
        share: &Share,
    ) -> Result<(), KeysError> {
        let file = ShareFile { key: share.key(), change: Some(change) };
        let path = self.folder.join(file.name());
        let locked = self.lock(rng, file.kind(), &*bytes_of(share))?;
        // One that is there is the same, or damaged.
        replace(&path, &locked.encode()).map_err(|source| KeysError::File { path, source })
    }

    /// Gives the share of a change its place: the one that was there is no more.
    pub fn put_in_force(&self, file: ShareFile) -> Result<(), KeysError> {
        let (from, to) = (file.name(), ShareFile::in_force(file.key).name());
        let path = self.folder.join(from);
        fs::rename(&path, self.folder.join(to))
            .and_then(|()| sync(&self.folder))
            .map_err(|source| KeysError::File { path, source })
    }

    /// Removes a share.
    pub fn erase_share(&self, file: ShareFile) -> Result<(), KeysError> {
        self.erase(&file.name())
    }

    /// Removes the key to which shares were dealt in a change.
    pub fn erase_receiving(&self, change: Location) -> Result<(), KeysError> {
        self.erase(&of_change(RECEIVING, change))
    }

    fn erase(&self, name: &str) -> Result<(), KeysError> {
        let path = self.folder.join(name);
        remove(&path)
            .and_then(|()| sync(&self.folder))
            .map_err(|source| KeysError::File { path, source })
    }

    fn names(&self) -> Result<Vec<String>, KeysError> {
        names(&self.folder)
    }

    /// Locks every key file anew, as [`relock`] does.
    pub fn relock(&self, rng: &mut impl CryptoRng, to: &Unlock) -> Result<Relocked, KeysError> {
        relock(rng, std::slice::from_ref(&self.folder), (&self.unlock, to))
    }

    /// Locks a secret as the node's other keys are.
    fn lock(
        &self,
        rng: &mut impl CryptoRng,
        kind: KeyKind,
        secret: &[u8],
    ) -> Result<KeyFile, KeysError> {
        let (_, name) = FILES[0];
        let path = self.folder.join(name);
        let About { label, demonstration, .. } = read_key_file(&path, FILES[0].0)?.about();
        let about = About { kind, label, demonstration };
        lock(rng, about, secret, &self.unlock).map_err(|source| KeysError::Locked { path, source })
    }
}

/// How many key files a change of their lock met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relocked {
    /// Which have the new lock from now on.
    pub locked: usize,
    /// Which had it already, by a try that was cut off.
    pub already: usize,
}

/// Locks every key file in these folders anew. All are opened, and what takes their place is written, before the first is
/// replaced, and each belongs to whom it did: what was cut off is done again with the same two locks.
pub fn relock(
    rng: &mut impl CryptoRng,
    folders: &[PathBuf],
    (from, to): (&Unlock, &Unlock),
) -> Result<Relocked, KeysError> {
    if from == to {
        return Err(KeysError::SameLock);
    }
    let (mut successors, mut already) = (Vec::new(), 0);
    for folder in folders {
        for name in names(folder)?.into_iter().filter(|it| it.ends_with(KEY_FILE)) {
            let path = folder.join(name);
            match locked_anew(rng, &path, (from, to))? {
                Some(file) => successors.push((successor(&path, &file.encode())?, path)),
                None => already += 1,
            }
        }
    }
    let locked = successors.len();
    if locked + already == 0 {
        return Err(KeysError::NoFiles { folder: folders.first().cloned().unwrap_or_default() });
    }
    for (file, path) in successors {
        let replaced = file.persist(&path).map_err(io::Error::from);
        let durable = replaced.and_then(|_| sync(parent(&path)));
        durable.map_err(|source| KeysError::File { path, source })?;
    }
    Ok(Relocked { locked, already })
}

/// A key file with another lock; nothing for one that has it.
fn locked_anew(
    rng: &mut impl CryptoRng,
    path: &Path,
    (from, to): (&Unlock, &Unlock),
) -> Result<Option<KeyFile>, KeysError> {
    let file = decode_key_file(path)?;
    if open(&file, to).is_ok() {
        return Ok(None);
    }
    let anew = open(&file, from).and_then(|secret| lock(rng, file.about(), &secret, to));
    anew.map(Some).map_err(|source| KeysError::Locked { path: path.to_path_buf(), source })
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Result<Vec<String>, KeysError> {
    let names = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().into_string().ok())).collect::<io::Result<_>>()
    });
    let names: Vec<Option<String>> =
        names.map_err(|source| KeysError::File { path: folder.to_path_buf(), source })?;
    Ok(names.into_iter().flatten().collect())
}

/// The secrets that a founder makes by itself, before the consortium has a key. Erased from memory when dropped.
pub struct FounderKeys {
    consensus: Zeroizing<[u8; 32]>,
    release: Zeroizing<[u8; 32]>,
    custodian: Zeroizing<[u8; 32]>,
    ceremony: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for FounderKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let consensus = SigningKey::from_seed(&self.consensus).public();
        f.debug_struct("FounderKeys").field("consensus", &consensus).finish_non_exhaustive()
    }
}

impl FounderKeys {
    /// Draws them.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = || {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut *seed);
            seed
        };
        Self { consensus: seed(), release: seed(), custodian: seed(), ceremony: seed() }
    }

    /// Signs for the founder during the ceremony, and for its validator ever after.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&self.consensus)
    }

    /// Deals, and opens what the others deal.
    pub fn ceremony(&self) -> CeremonySecret {
        CeremonySecret::from_seed(&self.ceremony)
    }

    /// What the organisation hands to the other founders. Its custodian's key is filled in.
    pub fn card(&self, admit: OrganisationAdmit, address: Text<ADDRESS_BYTES_MAX>) -> FounderCard {
        let [consensus, release, custodian] = [&self.consensus, &self.release, &self.custodian]
            .map(|seed| SigningKey::from_seed(seed));
        let founder = Founder {
            admit: OrganisationAdmit { custodian: Some(custodian.public()), ..admit },
            consensus: consensus.public(),
            release: release.public(),
            ceremony: self.ceremony().receiving().public().to_blob(),
            address,
        };
        sign_card(founder, [&consensus, &release, &custodian])
    }

    /// Writes the key files into `folder`, as [`NodeKeys::store`] does.
    pub fn store(
        &self,
        rng: &mut impl CryptoRng,
        folder: &Path,
        unlock: &Unlock,
        label: &str,
    ) -> Result<(), KeysError> {
        let secrets = [&self.consensus, &self.release, &self.custodian, &self.ceremony];
        let files = FOUNDER_FILES.into_iter().zip(secrets.map(|secret| &secret[..]));
        store(rng, folder, unlock, (label, false), files)
    }

    /// Reads and unlocks the key files in `folder`.
    pub fn load(folder: &Path, unlock: &Unlock) -> Result<Self, KeysError> {
        let [consensus, release, custodian, ceremony] =
            FOUNDER_FILES.map(|(kind, name)| read_seed((folder.join(name), kind), unlock));
        Ok(Self {
            consensus: consensus?,
            release: release?,
            custodian: custodian?,
            ceremony: ceremony?,
        })
    }
}

/// Writes what a founder has of the ceremony beside its other keys, which are a node's then. What was written before
/// a crash stays, if it is the same.
pub fn store_shares(
    rng: &mut impl CryptoRng,
    folder: &Path,
    unlock: &Unlock,
    label: &str,
    founded: &Founded,
) -> Result<(), KeysError> {
    let matching = founded.matching.clone().map(Share::Match);
    for share in [Share::Release(founded.share.clone())].into_iter().chain(matching) {
        let (file, secret) = (ShareFile::in_force(share.key()), bytes_of(&share));
        let (kind, name) = (file.kind(), file.name());
        let path = folder.join(&name);
        if path.exists() {
            if read_secret(&path, kind, unlock)?.as_slice() == secret.as_slice() {
                continue;
            }
            return Err(KeysError::Content { path, kind });
        }
        store(rng, folder, unlock, (label, false), [((kind, name), &secret[..])])?;
    }
    Ok(())
}

/// Removes what nobody needs once the consortium is founded: whoever had it could make the founder's dealings again.
pub fn forget_ceremony(folder: &Path) -> Result<(), KeysError> {
    let path = folder.join("ceremony.key");
    remove(&path).map_err(|source| KeysError::File { path, source })
}

/// Writes key files into `folder`, which is created if it is missing.
fn store<'a>(
    rng: &mut impl CryptoRng,
    folder: &Path,
    unlock: &Unlock,
    (label, demonstration): (&str, bool),
    files: impl IntoIterator<Item = ((KeyKind, impl AsRef<Path>), &'a [u8])>,
) -> Result<(), KeysError> {
    create_private(folder)
        .map_err(|source| KeysError::File { path: folder.to_path_buf(), source })?;
    let label = Text::from_string(label.to_owned()).map_err(|_| KeysError::Label)?;
    for ((kind, name), secret) in files {
        let path = folder.join(name);
        let about = About { kind, label: label.clone(), demonstration };
        let file = lock(rng, about, secret, unlock)
            .map_err(|source| KeysError::Locked { path: path.clone(), source })?;
        write_new(&path, &file.encode()).map_err(|source| KeysError::File { path, source })?;
    }
    Ok(())
}

fn read_seed(
    (path, kind): (PathBuf, KeyKind),
    unlock: &Unlock,
) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let secret = read_secret(&path, kind, unlock)?;
    let seed = <[u8; 32]>::try_from(secret.as_slice());
    seed.map(Zeroizing::new).map_err(|_| KeysError::Content { path, kind })
}

/// The share in a file, if the file is there.
fn read_share(folder: &Path, file: ShareFile, unlock: &Unlock) -> Result<Option<Share>, KeysError> {
    let (path, kind) = (folder.join(file.name()), file.kind());
    if !path.exists() {
        return Ok(None);
    }
    let secret = read_secret(&path, kind, unlock)?;
    let share = match file.key {
        KeyUse::Release => KeyShare::from_bytes(&secret).map(Share::Release),
        KeyUse::Match => MatchingShare::from_bytes(&secret).map(Share::Match),
    };
    share.map(Some).ok_or(KeysError::Content { path, kind })
}

fn lock(
    rng: &mut impl CryptoRng,
    about: About,
    secret: &[u8],
    unlock: &Unlock,
) -> Result<KeyFile, KeyFileError> {
    let cost = if about.demonstration { Cost::DEMONSTRATION } else { Cost::STANDARD };
    match unlock {
        Unlock::Passphrase(it) => KeyFile::with_passphrase(rng, about, secret, it, cost),
        Unlock::Operator(it) => KeyFile::with_operator_key(rng, about, secret, it),
    }
}

fn read_secret(
    path: &Path,
    kind: KeyKind,
    unlock: &Unlock,
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    open(&read_key_file(path, kind)?, unlock)
        .map_err(|source| KeysError::Locked { path: path.to_path_buf(), source })
}

fn open(file: &KeyFile, unlock: &Unlock) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    match unlock {
        Unlock::Passphrase(it) => file.open_with_passphrase(it),
        Unlock::Operator(it) => file.open_with_operator_key(it),
    }
}

fn read_key_file(path: &Path, kind: KeyKind) -> Result<KeyFile, KeysError> {
    let key_file = decode_key_file(path)?;
    let fits = key_file.expect_kind(kind);
    fits.map_err(|source| KeysError::Locked { path: path.to_path_buf(), source })?;
    Ok(key_file)
}

fn decode_key_file(path: &Path) -> Result<KeyFile, KeysError> {
    let file = |source| KeysError::File { path: path.to_path_buf(), source };
    if fs::metadata(path).map_err(file)?.len() > KEY_FILE_BYTES_MAX as u64 {
        return Err(KeysError::TooLong { path: path.to_path_buf() });
    }
    KeyFile::decode(&fs::read(path).map_err(file)?)
        .map_err(|source| KeysError::Locked { path: path.to_path_buf(), source })
}

/// Writes a new file durably, for this user alone. It gets its name when it is whole, and takes nobody else's: a crash
/// or a full disk leaves none that does not open, and of two at once the second is refused.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(path, bytes)?.persist_noclobber(path)?;
    sync(parent(path))
}

/// Likewise, over a file that may be there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(path, bytes)?.persist(path)?;
    sync(parent(path))
}

fn written(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// What is to take the place of a file, and belongs to whom that does.
fn successor(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, KeysError> {
    let refused = |source| KeysError::File { path: path.to_path_buf(), source };
    let before = fs::metadata(path).map_err(refused)?;
    let file = written(path, bytes).map_err(refused)?;
    hand_over(file.as_file(), &before)
        .map_err(|source| KeysError::Owner { path: path.to_path_buf(), source })?;
    Ok(file)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use keepwell_crypto::{matching, threshold};

    use super::*;
    use crate::random::rng;

    fn keys() -> NodeKeys {
        NodeKeys {
            consensus: Zeroizing::new([1; 32]),
            release: Zeroizing::new([2; 32]),
            share: Some(threshold::deal(&mut rng(), 1, 1).1.remove(0)),
            matching: Some(matching::deal(&mut rng(), 1, 1).1.remove(0)),
            custodian: Zeroizing::new([3; 32]),
        }
    }

    #[test]
    fn keys_come_back_with_the_right_lock_only() {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = |text: &str| Unlock::Passphrase(Zeroizing::new(text.to_owned()));
        let locks = [
            (passphrase("correct horse"), passphrase("battery staple")),
            (Unlock::Operator(Zeroizing::new([5; 32])), Unlock::Operator(Zeroizing::new([6; 32]))),
        ];
        for (at, (right, wrong)) in locks.iter().enumerate() {
            let folder = folder.path().join(at.to_string());
            keys().store(&mut rng(), &folder, right, "hospital", true).unwrap();
            let loaded = NodeKeys::load(&folder, right).unwrap();
            assert_eq!(
                (*loaded.consensus, *loaded.release, *loaded.custodian),
                ([1; 32], [2; 32], [3; 32])
            );
            assert!(matches!(NodeKeys::load(&folder, wrong), Err(KeysError::Locked { .. })));
            assert!(matches!(
                NodeKeys::load(&folder, &locks[1 - at].0),
                Err(KeysError::Locked { .. })
            ));
        }
    }

    #[test]
    fn a_share_for_matching_is_there_or_not_and_is_no_share_for_releases() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::Operator(Zeroizing::new([5; 32]));
        keys().store(&mut rng(), folder.path(), &unlock, "hospital", true).unwrap();
        assert!(NodeKeys::load(folder.path(), &unlock).unwrap().matching.is_some());
        let matching = folder.path().join("matching.key");
        fs::copy(folder.path().join("share.key"), &matching).unwrap();
        assert!(matches!(
            NodeKeys::load(folder.path(), &unlock),
            Err(KeysError::Locked { source: KeyFileError::WrongKind { .. }, .. })
        ));
        fs::remove_file(matching).unwrap();
        assert!(NodeKeys::load(folder.path(), &unlock).unwrap().matching.is_none());
    }

    #[test]
    fn shares_of_a_change_take_the_place_of_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = || Unlock::Operator(Zeroizing::new([5; 32]));
        keys().store(&mut rng(), folder.path(), &unlock(), "hospital", true).unwrap();
        let files = KeyFiles::new(folder.path().to_path_buf(), unlock());
        let change = |height| Location { height: Height(height), index: 3 };
        let (first, second) = (change(9), change(10));
        assert!(files.receiving(first).unwrap().is_none());
        let received = files.draw_receiving(&mut rng(), first).unwrap().public();
        assert_eq!(files.draw_receiving(&mut rng(), first).unwrap().public(), received);
        assert_eq!(files.receiving(first).unwrap().unwrap().public(), received);
        assert_ne!(files.draw_receiving(&mut rng(), second).unwrap().public(), received);
        let dealt = keys();
        for (change, share) in [first, second].into_iter().zip(dealt.shares()) {
            // A second time over the same.
            files.keep(&mut rng(), change, &share).unwrap();
            files.keep(&mut rng(), change, &share).unwrap();
        }
        let here: Vec<_> = files.shares().unwrap().iter().map(|(it, _)| it.name()).collect();
        assert_eq!(here, ["share.key", "matching.key", "share-9-3.key", "matching-10-3.key"]);
        assert_eq!(files.receiving_changes().unwrap().len(), 2);

        // A share of a change that is damaged hides no other; what a crash left is swept away.
        fs::write(folder.path().join("share-11-0.key"), b"half").unwrap();
        fs::write(folder.path().join(".unfinished-x"), b"half").unwrap();
        assert_eq!(files.shares().unwrap().len(), 4);
        files.sweep().unwrap();
        let damaged = Location { height: Height(11), index: 0 };
        files.erase_share(ShareFile { key: KeyUse::Release, change: Some(damaged) }).unwrap();

        files.put_in_force(ShareFile { key: KeyUse::Release, change: Some(first) }).unwrap();
        files.erase_share(ShareFile { key: KeyUse::Match, change: Some(second) }).unwrap();
        files.erase_receiving(first).unwrap();
        files.erase_receiving(first).unwrap();
        let now = files.load().unwrap().share.unwrap();
        assert_eq!(*now.to_bytes(), *dealt.share.unwrap().to_bytes());
        let mut names = files.names().unwrap();
        names.sort();
        let expected = [
            "consensus.key",
            "custodian.key",
            "matching.key",
            "receiving-10-3.key",
            "release.key",
            "share.key",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_new_lock_takes_the_place_of_the_old_one_or_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let operator = |byte| Unlock::Operator(Zeroizing::new([byte; 32]));
        let locked = |byte| KeyFiles::new(folder.path().to_path_buf(), operator(byte));
        keys().store(&mut rng(), folder.path(), &operator(5), "hospital", true).unwrap();
        let change = Location { height: Height(9), index: 3 };
        let received = locked(5).draw_receiving(&mut rng(), change).unwrap().public();

        // Whoever has neither lock changes nothing, and neither does one who has it for a part.
        assert!(locked(6).relock(&mut rng(), &operator(7)).is_err());
        let damaged = folder.path().join("share-11-0.key");
        fs::write(&damaged, b"half").unwrap();
        assert!(locked(5).relock(&mut rng(), &operator(7)).is_err());
        locked(5).load().unwrap();
        fs::remove_file(damaged).unwrap();

        // One file is locked anew already, as after a crash.
        let before = fs::read(folder.path().join("release.key")).unwrap();
        let relocked = |locked, already| Relocked { locked, already };
        assert_eq!(locked(5).relock(&mut rng(), &operator(7)).unwrap(), relocked(6, 0));
        fs::write(folder.path().join("release.key"), before).unwrap();
        assert!(locked(5).load().is_err() && locked(7).load().is_err());
        assert_eq!(locked(5).relock(&mut rng(), &operator(7)).unwrap(), relocked(1, 5));
        let loaded = locked(7).load().unwrap();
        assert_eq!((*loaded.release, *loaded.custodian), ([2; 32], [3; 32]));
        assert_eq!(locked(7).receiving(change).unwrap().unwrap().public(), received);
        assert!(locked(5).load().is_err());

        let passphrase = Unlock::Passphrase(Zeroizing::new("correct horse".to_owned()));
        locked(7).relock(&mut rng(), &passphrase).unwrap();
        let files = KeyFiles::new(folder.path().to_path_buf(), passphrase);
        assert!(files.load().unwrap().matching.is_some());
    }

    /// Nothing is locked anew by the lock that is there, nor where there is nothing.
    #[test]
    fn a_lock_that_changes_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let operator = |byte| Unlock::Operator(Zeroizing::new([byte; 32]));
        let passphrase = |text: &str| Unlock::Passphrase(Zeroizing::new(text.to_owned()));
        let files = |unlock| KeyFiles::new(folder.path().to_path_buf(), unlock);
        let nothing = files(operator(5)).relock(&mut rng(), &operator(6));
        assert!(matches!(nothing, Err(KeysError::NoFiles { .. })));
        keys().store(&mut rng(), folder.path(), &operator(5), "hospital", true).unwrap();
        for same in [
            || Unlock::Operator(Zeroizing::new([5; 32])),
            || Unlock::Passphrase(Zeroizing::new("correct horse".to_owned())),
        ] {
            let refused = files(same()).relock(&mut rng(), &same());
            assert!(matches!(refused, Err(KeysError::SameLock)));
        }
        files(operator(5)).relock(&mut rng(), &passphrase("correct horse")).unwrap();
        files(passphrase("correct horse")).relock(&mut rng(), &passphrase("battery")).unwrap();
        assert!(files(passphrase("correct horse")).load().is_err());
        files(passphrase("battery")).load().unwrap();
    }

    /// A wallet beside an agent: neither is left with a lock of its own.
    #[test]
    fn of_several_folders_all_are_opened_before_the_first_changes() {
        let home = tempfile::tempdir().unwrap();
        let operator = |byte| Unlock::Operator(Zeroizing::new([byte; 32]));
        let folders = ["agent", "wallet"].map(|it| home.path().join(it));
        for folder in &folders {
            keys().store(&mut rng(), folder, &operator(5), "hospital", true).unwrap();
        }
        fs::write(folders[1].join("damaged.key"), b"half").unwrap();
        assert!(relock(&mut rng(), &folders, (&operator(5), &operator(6))).is_err());
        NodeKeys::load(&folders[0], &operator(5)).unwrap();
        fs::remove_file(folders[1].join("damaged.key")).unwrap();
        let done = relock(&mut rng(), &folders, (&operator(5), &operator(6))).unwrap();
        assert_eq!(done, Relocked { locked: 10, already: 0 });
        for folder in &folders {
            NodeKeys::load(folder, &operator(6)).unwrap();
        }
    }

    /// The node's user must be able to read what an administrator of its host locked anew.
    #[test]
    fn a_new_lock_leaves_a_key_file_to_its_user() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let operator = |byte| Unlock::Operator(Zeroizing::new([byte; 32]));
        keys().store(&mut rng(), folder.path(), &operator(5), "hospital", true).unwrap();
        let path = folder.path().join("release.key");
        if chown(&path, Some(65_534), Some(65_534)).is_err() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let files = KeyFiles::new(folder.path().to_path_buf(), operator(5));
        files.relock(&mut rng(), &operator(6)).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (65_534, 65_534));
        assert_eq!(metadata.mode() & 0o777, 0o600);
        let others = fs::metadata(folder.path().join("share.key")).unwrap();
        assert_eq!(others.uid(), fs::metadata(folder.path()).unwrap().uid());
        assert_eq!(files.names().unwrap().len(), 5);
    }

    #[test]
    fn only_names_of_ours_are_shares() {
        for name in ["share-9-3.key", "matching-0-0.key", "share.key", "matching.key"] {
            assert_eq!(ShareFile::parse(name).map(ShareFile::name).as_deref(), Some(name));
        }
        for name in ["share-09-3.key", "share-9.key", "share-9-3.key~", "share--9-3.key", "x.key"] {
            assert_eq!(ShareFile::parse(name), None, "{name}");
        }
    }

    #[test]
    fn who_is_to_join_has_keys_and_no_share() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::Operator(Zeroizing::new([5; 32]));
        let keys = NodeKeys::generate(&mut rng());
        keys.store(&mut rng(), folder.path(), &unlock, "pharmacy", false).unwrap();
        let loaded = NodeKeys::load(folder.path(), &unlock).unwrap();
        assert!(loaded.share.is_none() && loaded.matching.is_none());
        assert_eq!(loaded.consensus_key(), keys.consensus_key());
    }

    #[test]
    fn keys_are_never_overwritten_nor_printed() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::Operator(Zeroizing::new([5; 32]));
        let keys = keys();
        keys.store(&mut rng(), folder.path(), &unlock, "hospital", true).unwrap();
        let again = keys.store(&mut rng(), folder.path(), &unlock, "hospital", true);
        assert!(matches!(again, Err(KeysError::File { .. })));
        let printed = format!("{keys:?} {unlock:?}");
        assert!(!printed.contains("[1, 1") && !printed.contains("5, 5"), "{printed}");
    }

    #[test]
    fn of_two_that_store_at_once_one_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::Operator(Zeroizing::new([5; 32]));
        let founders: Vec<_> = (0..4).map(|_| FounderKeys::generate(&mut rng())).collect();
        let stored: Vec<_> = thread::scope(|scope| {
            let store = |founder: &FounderKeys| {
                founder.store(&mut rng(), folder.path(), &unlock, "hospital").is_ok()
            };
            let all: Vec<_> = founders.iter().map(|it| scope.spawn(move || store(it))).collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let winners: Vec<_> = founders.iter().zip(stored).filter(|(_, it)| *it).collect();
        let [(winner, _)] = winners[..] else { panic!("{} stored", winners.len()) };
        let loaded = FounderKeys::load(folder.path(), &unlock).unwrap();
        assert_eq!(loaded.signing().public(), winner.signing().public());
        assert_eq!(*loaded.ceremony, *winner.ceremony);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FOUNDER_FILES.len());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_for_its_user_alone_and_is_never_replaced() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("share.key");
        write_new(&path, b"first").unwrap();
        let again = write_new(&path, b"second").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_the_place_of_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::Operator(Zeroizing::new([5; 32]));
        keys().store(&mut rng(), folder.path(), &unlock, "hospital", true).unwrap();
        fs::copy(folder.path().join("release.key"), folder.path().join("consensus.key")).unwrap();
        assert!(matches!(
            NodeKeys::load(folder.path(), &unlock),
            Err(KeysError::Locked { source: KeyFileError::WrongKind { .. }, .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn the_operators_file_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator");
        for (len, mode, fits) in [(32, 0o600, true), (32, 0o640, false), (31, 0o600, false)] {
            fs::write(&path, vec![7; len]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_operator_key(&path).is_ok(), fits, "{len} {mode:o}");
        }
    }
}
