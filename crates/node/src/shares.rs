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
use keepwell_engine::{core::Core, index::IndexError};
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
    files: KeyFiles,
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
        Arc::new(Self { files, core, release, serving })
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

    /// Puts the shares of the set that validates in place, has them serve, and erases those that are over. All of it
    /// is of one state: that of a block at `height` or later, with this change under way, or failed and not replaced.
    pub async fn settle(
        self: &Arc<Self>,
        height: Height,
        set: ValidatorSet,
        change: Option<Location>,
    ) -> Result<(), SharesError> {
        self.with_files(move |it| it.settle_files(height, &set, change)).await
    }

    /// The key to which shares are dealt in a change, drawn if it is not here.
    pub async fn draw_receiving(
        self: &Arc<Self>,
        change: Location,
    ) -> Result<SealingKey, SharesError> {
        self.with_files(move |it| Ok(it.files.draw_receiving(&mut rng(), change)?)).await
    }

    /// The key to which shares are dealt in a change, if it is here.
    pub async fn receiving(
        self: &Arc<Self>,
        change: Location,
    ) -> Result<Option<SealingKey>, SharesError> {
        self.with_files(move |it| Ok(it.files.receiving(change)?)).await
    }

    /// Stores shares of the set that a change leads to. Returns when they are durable.
    pub async fn keep(
        self: &Arc<Self>,
        change: Location,
        shares: Vec<Share>,
    ) -> Result<(), SharesError> {
        self.with_files(move |it| {
            Ok(shares.iter().try_for_each(|share| it.files.keep(&mut rng(), change, share))?)
        })
        .await
    }

    /// Every share that is here.
    pub async fn all(self: &Arc<Self>) -> Result<Vec<Share>, SharesError> {
        let shares = self.with_files(|it| Ok(it.files.shares()?)).await?;
        Ok(shares.into_iter().map(|(_, share)| share).collect())
    }

    /// A passphrase takes a second to unlock a file: it takes it elsewhere.
    async fn with_files<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, SharesError> + Send + 'static,
    ) -> Result<T, SharesError> {
        let shares = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&shares));
        done.await.map_err(|_| SharesError::Ended)?
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
        // What began later than this node has come may still lead to a set.
        let is_over = |change: Location| change.height <= height && under_way != Some(change);
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
