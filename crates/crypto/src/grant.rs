//! The sealed part of a grant: epoch seeds for the grantee, bound to the terms.
//!
//! ```text
//! SealedSeeds = [suite, encapsulated (1120), ciphertext]      GrantGive.seeds = its digest
//! plaintext   = [[compartment, epoch, seed (32)], ...]        in ascending order
//! info        = digest(chain, chart, grant, canonical terms)
//! ```
//!
//! # Invariants
//!
//! * Seeds open only under the very terms that the controller signed; the digest of the sealed seeds is
//!   not one of the terms.
//! * Lines ascend strictly: one seed for each epoch of a compartment.
//!
//! Not here: whether the grant is in force. The ledger decides, at each access.

use alloc::vec::Vec;

use keepwell_types::{
    DecodeError, encode,
    encoding::{Blob, List},
    grant::GrantTerms,
    id::{ChainId, ChartId, Compartment, Digest, Epoch, GrantId, Suite},
    limits::SEALED_SEEDS_BYTES_MAX,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    hash::{Hasher, digest},
    keys::EpochSeed,
    seal::{self, ENCAPSULATED_BYTES, OpenError, SealError, SealingKey, SealingPublic, TAG_BYTES},
};

const DOMAIN: &str = "keepwell/grant/seeds/v1";

/// Seeds in one grant: 64 epochs of every compartment.
pub const SEEDS_MAX: usize = 64 * keepwell_types::limits::COMPARTMENTS;

/// Bytes of ciphertext: what [`SEALED_SEEDS_BYTES_MAX`] leaves beside the encapsulation and the frame.
const CIPHERTEXT_BYTES_MAX: usize = SEALED_SEEDS_BYTES_MAX - ENCAPSULATED_BYTES - 16;

// A line is at most 42 bytes: array head 1, compartment 1, epoch 5, seed 2 + 32, with one to spare.
const _: () = assert!(SEEDS_MAX * 42 + 3 + TAG_BYTES <= CIPHERTEXT_BYTES_MAX);

/// What seeds are bound to: the grant as it was given.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The consortium.
    pub chain: &'a ChainId,
    /// The chart.
    pub chart: &'a ChartId,
    /// The grant.
    pub grant: &'a GrantId,
    /// Its terms, as they were signed first: a later limit does not change them.
    pub terms: &'a GrantTerms,
}

/// The seed of one epoch of one compartment.
pub type Seed = (Compartment, Epoch, EpochSeed);

/// Epoch seeds sealed to a grantee: an object that lies at the custodians.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SealedSeeds {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(2)]
    ciphertext: Blob<CIPHERTEXT_BYTES_MAX>,
}

impl SealedSeeds {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, SEALED_SEEDS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/grant/sealed/v1", &[&self.encode()])
    }
}

/// The digest of the seeds that a rotation seals to the remaining grantees, in ascending order of
/// grants: `CompartmentRotate.seeds`.
pub fn table_digest(table: &[(GrantId, Digest)]) -> Digest {
    let mut hasher = Hasher::new("keepwell/grant/table/v1");
    for (grant, seeds) in table {
        hasher.part(&grant.0);
        hasher.part(&seeds.0);
    }
    hasher.finish()
}

/// Seals seeds to a grantee. They may come in any order.
pub fn seal_seeds(
    rng: &mut impl CryptoRng,
    binding: &Binding<'_>,
    grantee: &SealingPublic,
    seeds: &[Seed],
) -> Result<SealedSeeds, SealError> {
    let mut lines: Vec<_> = seeds.iter().map(SeedLine::new).collect();
    lines.sort_by_key(SeedLine::place);
    let wrong = SealError::Seeds { max: SEEDS_MAX };
    if !ascend(&lines) {
        return Err(wrong);
    }
    let lines = List::<_, SEEDS_MAX>::from_vec(lines).map_err(|_| wrong)?;
    let plaintext = Zeroizing::new(encode(&lines));
    let terms = encode(binding.terms);
    let (encapsulated, ciphertext) =
        seal::seal(rng, grantee, DOMAIN, &binding.parts(&terms), &plaintext);
    Ok(SealedSeeds {
        suite: Suite::One,
        encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
        ciphertext: Blob::from_vec(ciphertext).expect("the number of seeds was checked"),
    })
}

/// Opens seeds, under the terms that the ledger has for the grant.
pub fn open_seeds(
    binding: &Binding<'_>,
    grantee: &SealingKey,
    sealed: &SealedSeeds,
) -> Result<Vec<Seed>, OpenError> {
    let terms = encode(binding.terms);
    let parts = binding.parts(&terms);
    let plaintext = seal::open(grantee, DOMAIN, &parts, &sealed.encapsulated, &sealed.ciphertext)?;
    let lines: List<SeedLine, SEEDS_MAX> =
        keepwell_types::decode(&plaintext, CIPHERTEXT_BYTES_MAX)?;
    if !ascend(&lines) {
        return Err(OpenError::Seeds);
    }
    Ok(lines.iter().map(SeedLine::seed).collect())
}

impl Binding<'_> {
    fn parts<'a>(&'a self, terms: &'a [u8]) -> [&'a [u8]; 4] {
        [&self.chain.0, &self.chart.0, &self.grant.0, terms]
    }
}

/// One seed as it is sealed. Erased from memory when dropped.
#[derive(Decode, Encode)]
struct SeedLine {
    #[n(0)]
    compartment: Compartment,
    #[n(1)]
    epoch: Epoch,
    #[n(2)]
    seed: Digest,
}

impl SeedLine {
    fn new((compartment, epoch, seed): &Seed) -> Self {
        Self { compartment: *compartment, epoch: *epoch, seed: Digest(*seed.as_bytes()) }
    }

    fn seed(&self) -> Seed {
        (self.compartment, self.epoch, EpochSeed::from_bytes(&self.seed.0))
    }

    fn place(&self) -> (Compartment, Epoch) {
        (self.compartment, self.epoch)
    }
}

impl Drop for SeedLine {
    fn drop(&mut self) {
        self.seed.0.zeroize();
    }
}

fn ascend(lines: &[SeedLine]) -> bool {
    lines.is_sorted_by(|before, after| before.place() < after.place())
}
