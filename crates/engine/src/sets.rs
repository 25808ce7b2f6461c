//! Who validates in which epoch, as final blocks have said so far, and the schemes that votes are checked by.
//!
//! # Invariants
//!
//! * An epoch has a set here only when every block before it is final here: no later hand-over can be missing.
//! * What is known only grows. A set that is known for an epoch never becomes another one.
//!
//! Not here: how a set comes about (`keepwell-ledger`), and how others follow it without the blocks
//! (`keepwell_merkle::handover`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use commonware_codec::{Copying, ReadExt as _};
use commonware_consensus::types::Epoch;
use commonware_cryptography::{
    Signer as _,
    certificate::{Provider, Scoped},
    ed25519,
};
use commonware_utils::ordered::Set;
use keepwell_merkle::certificate::consensus_namespace;
use keepwell_types::{
    genesis::Genesis,
    id::{ChainId, Height},
    validators::{ValidatorSet, epoch_of},
};
use tokio::sync::watch;

use crate::{application::Scheme, block::EngineKey};

/// The sets that are known, and for which epochs.
#[derive(Debug)]
pub struct Sets {
    epoch_blocks: u32,
    known: watch::Sender<Known>,
}

/// What is known at a moment.
#[derive(Clone, Debug)]
struct Known {
    /// By the first epoch of each.
    sets: BTreeMap<u64, Arc<ValidatorSet>>,
    /// The newest epoch whose set is known.
    through: u64,
}

impl Known {
    fn in_force(&self, epoch: u64) -> Option<&Arc<ValidatorSet>> {
        let known = epoch <= self.through;
        known.then(|| self.sets.range(..=epoch).next_back()).flatten().map(|(_, set)| set)
    }
}

impl Sets {
    /// Knows the founders, for the first epoch.
    pub fn new(genesis: &Genesis) -> Self {
        let sets = BTreeMap::from([(0, Arc::new(ValidatorSet::of(genesis)))]);
        let known = watch::Sender::new(Known { sets, through: 0 });
        Self { epoch_blocks: genesis.parameters.epoch_blocks(), known }
    }

    /// Blocks of one epoch.
    pub const fn epoch_blocks(&self) -> u32 {
        self.epoch_blocks
    }

    /// Takes in that the block at `height` is final, and all before it; `next` validate after it, if it says so.
    pub fn follow(&self, height: Height, next: Option<&ValidatorSet>) {
        let epoch = epoch_of(Height(height.0 + 1), self.epoch_blocks);
        self.known.send_if_modified(|known| {
            let further = epoch > known.through;
            known.through = known.through.max(epoch);
            if let Some(next) = next {
                known.sets.entry(next.since).or_insert_with(|| Arc::new(next.clone()));
            }
            further
        });
    }

    /// Who validates in an epoch, if that is known here.
    pub fn in_force(&self, epoch: u64) -> Option<Arc<ValidatorSet>> {
        self.known.borrow().in_force(epoch).cloned()
    }

    /// Who validates in the newest epoch that is known.
    pub fn newest(&self) -> Arc<ValidatorSet> {
        let known = self.known.borrow();
        let newest = known.in_force(known.through).expect("the founders validate from epoch 0 on");
        newest.clone()
    }

    /// Hears of each set that takes over from the founders, or only of the newest where it does not keep up.
    pub fn changes(&self) -> Changes {
        Changes { since: 0, known: self.known.subscribe() }
    }
}

/// The sets that take over, as they do.
#[derive(Debug)]
pub struct Changes {
    since: u64,
    known: watch::Receiver<Known>,
}

impl Changes {
    /// The newest set, once it is another one than before; nothing when the validator has ended.
    pub async fn next(&mut self) -> Option<Arc<ValidatorSet>> {
        loop {
            let later = {
                let known = self.known.borrow_and_update();
                known.sets.range(self.since + 1..).next_back().map(|(_, set)| set.clone())
            };
            if let Some(set) = later {
                self.since = set.since;
                return Some(set);
            }
            self.known.changed().await.ok()?;
        }
    }
}

/// The scheme of each epoch: one that signs where this validator has a seat, and only checks where it has none.
#[derive(Clone)]
pub struct Schemes {
    sets: Arc<Sets>,
    namespace: Arc<[u8]>,
    secret: ed25519::PrivateKey,
    made: Arc<Mutex<BTreeMap<u64, Arc<Scheme>>>>,
}

impl Schemes {
    /// The schemes of the validator with this key.
    pub fn new(sets: Arc<Sets>, chain: &ChainId, secret: ed25519::PrivateKey) -> Self {
        let namespace = consensus_namespace(chain).as_slice().into();
        Self { sets, namespace, secret, made: Arc::default() }
    }

    /// The scheme of an epoch, if its validators are known here.
    pub fn of(&self, epoch: u64) -> Option<Arc<Scheme>> {
        let set = self.sets.in_force(epoch)?;
        let mut made = self.made.lock().expect("nobody panics while holding this lock");
        let scheme = made.entry(set.since).or_insert_with(|| Arc::new(self.make(&set)));
        Some(scheme.clone())
    }

    /// The scheme of an epoch for one that only checks, if its validators are known here.
    pub fn without_vote(&self, epoch: u64) -> Option<Arc<Scheme>> {
        let set = self.sets.in_force(epoch)?;
        let keys = Set::from_iter_dedup(engine_keys(&set));
        Some(Arc::new(Scheme::verifier(&self.namespace, keys)))
    }

    /// The validators of an epoch but this one, if they are known here.
    pub fn others(&self, epoch: u64) -> Option<BTreeSet<EngineKey>> {
        let set = self.sets.in_force(epoch)?;
        let own = self.secret.public_key();
        Some(engine_keys(&set).filter(|key| *key != own).collect())
    }

    fn make(&self, set: &ValidatorSet) -> Scheme {
        let keys = Set::from_iter_dedup(engine_keys(set));
        match keys.position(&self.secret.public_key()) {
            Some(_) => Scheme::signer(&self.namespace, keys, self.secret.clone())
                .expect("the key is among them"),
            None => Scheme::verifier(&self.namespace, keys),
        }
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.of(epoch.get()).map(Scoped::scheme)
    }
}

/// The consensus keys of a set, as the engine has them.
pub fn engine_keys(set: &ValidatorSet) -> impl Iterator<Item = EngineKey> {
    set.seats.iter().map(|seat| {
        EngineKey::read(&mut Copying(&seat.validator.consensus.0))
            .expect("a key that is no key takes no seat")
    })
}
