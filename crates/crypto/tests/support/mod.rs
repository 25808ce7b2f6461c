//! A small consortium's keys and objects. Every byte follows from the seed of the test.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use core::convert::Infallible;

use keepwell_crypto::{
    body::Dek,
    capsule::{Capsule, SaltedCapsule},
    hash::digest,
    keys::ChartSecret,
    release::{Access, Expected, Releaser},
    seal::{SealingKey, SealingPublic},
    sign::SigningKey,
    threshold::{self, Committee, KeyShare},
};
use keepwell_types::{
    id::{
        ChainId, ChartId, CommandDigest, Compartment, Digest, Epoch, PublicKey, RecordId, Version,
    },
    record::Label,
};
use rand_core::{TryCryptoRng, TryRng};

/// Bytes that follow from a seed: digests of a counter. For tests only.
pub struct CountingRng {
    seed: &'static str,
    blocks: u64,
}

impl CountingRng {
    pub fn new(seed: &'static str) -> Self {
        Self { seed, blocks: 0 }
    }
}

impl TryRng for CountingRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(32) {
            let parts: [&[u8]; 2] = [self.seed.as_bytes(), &self.blocks.to_le_bytes()];
            chunk.copy_from_slice(&digest("keepwell/test/rng/v1", &parts).0[..chunk.len()]);
            self.blocks += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for CountingRng {}

pub const CHAIN: ChainId = ChainId([1; 32]);
pub const CHART: ChartId = ChartId([3; 32]);
pub const ROOT: [u8; 32] = [7; 32];

pub fn compartment(index: u8) -> Compartment {
    Compartment::new(index).unwrap()
}

/// The key of one epoch of a compartment of [`CHART`].
pub fn epoch_key(index: u8, epoch: u32) -> SealingKey {
    ChartSecret::derive(&ROOT, CHART).epoch_seed(compartment(index), Epoch(epoch)).sealing()
}

/// A committee, and its validators with their shares and release keys.
pub struct Validators {
    pub committee: Committee,
    pub releasers: Vec<Releaser>,
    pub keys: Vec<PublicKey>,
}

impl Validators {
    pub fn new(rng: &mut CountingRng, shares: u16, threshold: u16) -> Self {
        let (keys, shares) = threshold::deal(rng, shares, threshold);
        Self::with(Committee::new(&keys).unwrap(), shares)
    }

    pub fn with(committee: Committee, shares: Vec<KeyShare>) -> Self {
        let keys: Vec<_> = shares.iter().map(|share| release_key(share.index())).collect();
        let releasers = shares
            .into_iter()
            .map(|share| {
                let key = release_key(share.index());
                Releaser::new(committee.clone(), share, key).unwrap()
            })
            .collect();
        Self { committee, releasers, keys: keys.iter().map(SigningKey::public).collect() }
    }

    /// The key that verifies the answers of a share.
    pub fn key(&self, share: u16) -> &PublicKey {
        &self.keys[usize::from(share) - 1]
    }
}

pub fn release_key(share: u16) -> SigningKey {
    SigningKey::from_seed(&[100 + share as u8; 32])
}

/// A record of [`CHART`], as its author made it and as the ledger has it.
#[derive(Clone)]
pub struct Record {
    pub dek: Dek,
    pub salted: SaltedCapsule,
    pub expected: Expected,
}

impl Record {
    pub fn new(rng: &mut CountingRng, committee: &Committee, number: u8) -> Self {
        Self::sealed_to(rng, committee, number, &epoch_key(2, 0).public())
    }

    pub fn sealed_to(
        rng: &mut CountingRng,
        committee: &Committee,
        number: u8,
        to: &SealingPublic,
    ) -> Self {
        let label = label(committee, number);
        let dek = Dek::generate(rng);
        let capsule = Capsule::seal(rng, label, to, committee, &dek).unwrap();
        let salted = SaltedCapsule::new(rng, capsule);
        let expected = expected(&salted);
        Self { dek, salted, expected }
    }
}

/// What an honest ledger says of a record with this capsule.
pub fn expected(salted: &SaltedCapsule) -> Expected {
    let label = salted.capsule.label();
    Expected {
        chart: label.chart,
        record: label.record,
        version: label.version,
        compartment: label.compartment,
        epoch: label.epoch,
        sealed_bytes: label.sealed_bytes,
        commitment: salted.commitment(),
    }
}

pub fn label(committee: &Committee, number: u8) -> Label {
    Label {
        chain: CHAIN,
        chart: CHART,
        record: RecordId([number; 32]),
        version: Version(1),
        compartment: compartment(2),
        epoch: Epoch(0),
        committee: committee.id(),
        content: Digest([number; 32]),
        sealed_bytes: 4_096,
    }
}

/// An access with a fresh key.
pub fn access(rng: &mut CountingRng) -> (Access, SealingKey) {
    let reader = SealingKey::generate(rng);
    let command = CommandDigest([9; 32]);
    (Access { chain: CHAIN, command, reader_key: reader.public().digest() }, reader)
}
