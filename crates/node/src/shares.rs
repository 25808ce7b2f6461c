//! The shares that this validator serves with, and their files as sets of validators come and go.
//!
//! # Invariants
//!
//! * A share serves only in the set of validators whose committee it is of. Which set that is, final blocks say.
//! * A share for a set to come is durable before anyone is told that it is here, and stays until that set has begun or
//!   another change has.
//! * A share of a set that is over is erased once it is known to be one. Whatever is of no set that is known here stays:
//!   this node may be behind.
//!
//! Not here: how a share comes about ([`crate::reshare`]), key files ([`crate::keys`]).

use std::{fmt, sync::Arc, time::Duration};

use keepwell_crypto::{
    matching::{Evaluator, MatchingCommittee},
    release::Releaser,
    reshare::Share,
    seal::SealingKey,
    sign::SigningKey,
    threshold::Committee,
};
use keepwell_engine::{core::Core, index::IndexError, reshare::Keeper};
use keepwell_types::{
    id::{Height, Location, PublicKey},
    validators::ValidatorSet,
};
use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use crate::{
    keys::{KeyFiles, KeysError},
    random::rng,
};

/// Why shares cannot be read or stored: this host's fault.
#[derive(Debug, Error)]
pub enum SharesError {
    /// The key files.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The hand-overs.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The task that read them.
    #[error("what reads the key files ended; the log says why")]
    Ended,
}

/// What serves in one set of validators.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The first epoch of the set.
    pub since: u64,
    /// Releases, where this validator has a share.
    pub releaser: Option<Arc<Releaser>>,
    /// Evaluates for matching, where it has one and the consortium has matching.
    pub evaluator: Option<Arc<Evaluator>>,
}

/// Shows what serves now, to whatever answers requests.
#[derive(Clone)]
pub struct Watching {
    core: Arc<Core>,
    serving: watch::Receiver<Serving>,
}

impl Watching {
    /// What serves in the newest set. Where a set has just begun, this waits for its shares to be in place; nothing if
    /// that takes too long.
    pub async fn now(&self, patience: Duration) -> Option<Serving> {
        let core = &self.core;
        let in_place = |serving: &Serving| serving.since == core.sets.newest().since;
        let mut serving = self.serving.clone();
        let found = timeout_at(Instant::now() + patience, serving.wait_for(in_place)).await;
        found.ok()?.ok().map(|it| it.clone())
    }

    /// Whether a share of the committee's key serves.
    pub fn releases(&self) -> bool {
        self.serving.borrow().releaser.is_some()
    }
}

/// This validator's shares.
pub struct Shares {
    files: Arc<KeyFiles>,
    core: Arc<Core>,
    release: Zeroizing<[u8; 32]>,
    serving: watch::Sender<Serving>,
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Shares {
    /// In these files, of the validator with this release key. Nothing serves before [`Self::settle`].
    pub fn new(files: KeyFiles, core: Arc<Core>, release: Zeroizing<[u8; 32]>) -> Arc<Self> {
        // No set begins with it: until settled, nobody takes this for the newest.
        let serving = watch::Sender::new(Serving { since: u64::MAX, ..Serving::default() });
        if let Err(error) = files.sweep() {
            tracing::warn!(%error, "what a crash left of key files is still there");
        }
        Arc::new(Self { files: Arc::new(files), core, release, serving })
    }

    /// What serves, as it changes.
    pub fn watch(&self) -> Watching {
        Watching { core: self.core.clone(), serving: self.serving.subscribe() }
    }

    /// Whether this validator has a seat in the newest set, and no share of its committee's key.
    pub fn is_missing(&self) -> bool {
        let sits = self.core.sets.newest().index_of(&self.release_key()).is_some();
        sits && self.serving.borrow().releaser.is_none()
    }

    /// The public key of release answers.
    pub fn release_key(&self) -> PublicKey {
        self.signing().public()
    }

    /// Signs release answers, and what the validator says on the ledger.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_seed(&self.release)
    }

    /// Puts the shares of the set that validates in place, has them serve, and erases those that are over: as the state
    /// of a block at `height` says or that of a later one, with this change under way, or failed and not replaced.
    pub async fn settle(
        self: &Arc<Self>,
        height: Height,
        set: ValidatorSet,
        change: Option<Location>,
    ) -> Result<(), SharesError> {
        let shares = self.clone();
        elsewhere(move || shares.settle_files(height, &set, change)).await
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&KeyFiles) -> Result<T, KeysError> + Send + 'static,
    ) -> Result<T, SharesError> {
        let files = self.files.clone();
        elsewhere(move || Ok(work(&files)?)).await
    }

    fn settle_files(
        &self,
        height: Height,
        set: &ValidatorSet,
        under_way: Option<Location>,
    ) -> Result<(), SharesError> {
        for (file, share) in self.files.shares()? {
            if file.change.is_some() && is_of(&share, set) {
                self.files.put_in_force(file)?;
            }
        }
        let mut sets = vec![ValidatorSet::of(&self.core.genesis)];
        sets.extend(self.core.index.handovers(0)?.into_iter().map(|it| it.set));
        let past: Vec<_> = sets.into_iter().filter(|it| it.since < set.since).collect();
        // A change that is no longer on record led nowhere if another one stands in its place, or if the present set is
        // younger. Else it leads to the next set, whose first block is about to come. And of what began later than this
        // node has come, nothing is known.
        let begun = set.since * u64::from(self.core.sets.epoch_blocks());
        let is_over = |change: Location| {
            let replaced = under_way.is_some() || change.height.0 < begun;
            change.height <= height && under_way != Some(change) && replaced
        };
        let (mut here, mut over) = (Vec::new(), Vec::new());
        for (file, share) in self.files.shares()? {
            let is_past = || !is_of(&share, set) && past.iter().any(|past| is_of(&share, past));
            if file.change.map_or_else(is_past, is_over) {
                over.push(file);
            } else {
                here.push(share);
            }
        }
        self.serving.send_replace(self.serve(set, &here));
        // Nobody waits for what is erased.
        over.into_iter().try_for_each(|file| self.files.erase_share(file))?;
        let mut received = self.files.receiving_changes()?.into_iter().filter(|it| is_over(*it));
        Ok(received.try_for_each(|change| self.files.erase_receiving(change))?)
    }

    /// What serves in a set, of these shares.
    fn serve(&self, set: &ValidatorSet, shares: &[Share]) -> Serving {
        let mut serving = Serving { since: set.since, ..Serving::default() };
        let index = set.index_of(&self.release_key());
        for share in shares {
            match share {
                Share::Release(it) if Some(it.index()) == index => {
                    let committee = Committee::new(&set.committee).ok();
                    let releaser =
                        committee.and_then(|of| Releaser::new(of, it.clone(), self.signing()).ok());
                    serving.releaser = serving.releaser.or(releaser.map(Arc::new));
                }
                Share::Match(it) if Some(it.index()) == index => {
                    let committee = set.matching.as_ref();
                    let committee = committee.and_then(|keys| MatchingCommittee::new(keys).ok());
                    let evaluator = committee
                        .and_then(|of| Evaluator::new(of, it.clone(), self.signing()).ok());
                    serving.evaluator = serving.evaluator.or(evaluator.map(Arc::new));
                }
                Share::Release(_) | Share::Match(_) => {}
            }
        }
        serving
    }
}

impl Keeper for Shares {
    type Error = SharesError;

    async fn draw_receiving(&self, change: Location) -> Result<SealingKey, SharesError> {
        self.with_files(move |files| files.draw_receiving(&mut rng(), change)).await
    }

    async fn receiving(&self, change: Location) -> Result<Option<SealingKey>, SharesError> {
        self.with_files(move |files| files.receiving(change)).await
    }

    async fn shares(&self) -> Result<Vec<Share>, SharesError> {
        let shares = self.with_files(KeyFiles::shares).await?;
        Ok(shares.into_iter().map(|(_, share)| share).collect())
    }

    async fn keep(&self, change: Location, shares: Vec<Share>) -> Result<(), SharesError> {
        self.with_files(move |files| {
            shares.iter().try_for_each(|share| files.keep(&mut rng(), change, share))
        })
        .await
    }
}

/// A passphrase takes a second to unlock a file: it takes it where nobody else waits.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SharesError> + Send + 'static,
) -> Result<T, SharesError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SharesError::Ended)?
}

/// Whether a share is one of a set's committee.
fn is_of(share: &Share, set: &ValidatorSet) -> bool {
    match share {
        Share::Release(it) => Committee::new(&set.committee).is_ok_and(|of| it.is_of(&of)),
        Share::Match(it) => {
            let committee =
                set.matching.as_ref().and_then(|keys| MatchingCommittee::new(keys).ok());
            committee.is_some_and(|of| it.is_of(&of))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use keepwell_crypto::threshold::{self, KeyShare};
    use keepwell_engine::{import::first_block, index::Index};
    use keepwell_types::{
        genesis::{CommitteeKeys, Genesis, Parameters},
        member::OrganisationKind,
        time::BlockTime,
    };

    use super::*;
    use crate::{
        genesis::{DEMONSTRATION_PARAMETERS, Founder, found},
        keys::{NodeKeys, Unlock},
    };

    /// Epochs have 64 blocks.
    const EPOCH: u64 = 64;
    const CHANGE: Location = Location { height: Height(5), index: 1 };
    const LATER: Location = Location { height: Height(79), index: 0 };

    /// The only validator of a consortium.
    struct Host {
        home: tempfile::TempDir,
        genesis: Genesis,
        shares: Arc<Shares>,
    }

    impl Host {
        fn new() -> Self {
            Self::with(|_| {})
        }

        fn with(alter: impl FnOnce(&mut NodeKeys)) -> Self {
            let founder = Founder { name: "H".into(), kind: OrganisationKind::Hospital };
            let parameters = Parameters { matching: None, ..DEMONSTRATION_PARAMETERS };
            let founded = found(&mut rng(), "t", BlockTime(1), &[founder], parameters).unwrap();
            let (genesis, mut node) = (founded.genesis, founded.nodes.into_iter().next().unwrap());
            alter(&mut node.keys);
            let home = tempfile::tempdir().unwrap();
            let unlock = || Unlock::Operator(Zeroizing::new([5; 32]));
            let keys = home.path().join("keys");
            node.keys.store(&mut rng(), &keys, &unlock(), "hospital", true).unwrap();
            let index = Index::open(&home.path().join("index")).unwrap();
            let core = Core::new(genesis.clone(), first_block(&genesis), index).unwrap();
            let files = KeyFiles::new(keys, unlock());
            let shares = Shares::new(files, Arc::new(core), node.keys.release.clone());
            Self { home, genesis, shares }
        }

        /// Dealt to in a change: the keys that it leads to.
        fn dealt(&self, change: Location) -> CommitteeKeys {
            let (keys, share) = another();
            self.shares.files.draw_receiving(&mut rng(), change).unwrap();
            self.shares.files.keep(&mut rng(), change, &Share::Release(share)).unwrap();
            keys
        }

        fn settle(&self, height: u64, set: &ValidatorSet, under_way: Option<Location>) -> Serving {
            self.shares.settle_files(Height(height), set, under_way).unwrap();
            self.shares.serving.borrow().clone()
        }

        fn founders(&self) -> ValidatorSet {
            ValidatorSet::of(&self.genesis)
        }

        /// The files of shares and of keys for receiving them.
        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(self.home.path().join("keys")).unwrap();
            let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
            let begins = |name: &String| name.starts_with("share") || name.starts_with("receiving");
            let mut names: Vec<_> = names.filter(begins).collect();
            names.sort();
            names
        }
    }

    fn another() -> (CommitteeKeys, KeyShare) {
        let (keys, mut shares) = threshold::deal(&mut rng(), 1, 1);
        (keys, shares.remove(0))
    }

    const BOTH: [&str; 3] = ["receiving-5-1.key", "share-5-1.key", "share.key"];

    /// The last block of an epoch takes the change off the record a moment before the next set is known.
    #[test]
    fn a_new_share_outlives_the_moment_between_a_hand_over_and_its_set() {
        let host = Host::new();
        let committee = host.dealt(CHANGE);
        let founders = host.founders();
        assert!(host.settle(40, &founders, Some(CHANGE)).releaser.is_some());
        assert_eq!(host.files(), BOTH);
        assert!(host.settle(2 * EPOCH - 1, &founders, None).releaser.is_some());
        assert_eq!(host.files(), BOTH);
        let set = ValidatorSet { since: 2, committee, ..founders };
        let serving = host.settle(2 * EPOCH - 1, &set, None);
        assert!((serving.since, serving.releaser.is_some()) == (2, true));
        assert_eq!(host.files(), ["share.key"]);
        // It stays in force.
        assert!(host.settle(9 * EPOCH, &set, None).releaser.is_some());
        assert_eq!(host.files(), ["share.key"]);
    }

    #[test]
    fn shares_of_a_change_that_another_one_replaced_are_erased() {
        let host = Host::new();
        host.dealt(CHANGE);
        let founders = host.founders();
        // A node that has not come so far knows nothing about it.
        host.settle(CHANGE.height.0 - 1, &founders, Some(LATER));
        assert_eq!(host.files(), BOTH);
        host.settle(LATER.height.0, &founders, Some(LATER));
        assert_eq!(host.files(), ["share.key"]);
    }

    #[test]
    fn shares_of_a_change_that_led_to_a_set_without_them_are_erased() {
        let host = Host::new();
        host.dealt(CHANGE);
        let set = ValidatorSet { since: 1, committee: another().0, ..host.founders() };
        // The share of the founders' committee is of another set than this one, so it is over as well.
        assert!(host.settle(EPOCH, &set, None).releaser.is_none());
        assert!(host.files().is_empty(), "{:?}", host.files());
    }

    #[test]
    fn a_share_of_no_known_set_stays_and_does_not_serve() {
        let host = Host::with(|keys| keys.share = Some(another().1));
        let founders = host.founders();
        assert!(host.settle(1, &founders, None).releaser.is_none());
        assert_eq!(host.files(), ["share.key"]);
        assert!(host.shares.is_missing());
    }
}
