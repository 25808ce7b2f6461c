//! Sealing, as an author does it: whole bodies in memory.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod consortium;
pub mod custody;

use keepwell_crypto::{
    body::{Dek, Encryptor, SEALED_CHUNK_BYTES_MAX},
    capsule::{Capsule, SaltedCapsule},
    seal::SealingPublic,
    threshold::Committee,
};
use keepwell_merkle::content::ContentHasher;
use keepwell_node::{custody::store::RecordObject, random::rng};
use keepwell_types::{
    access::Purpose,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChainId, Compartment, Digest, Epoch},
    record::Label,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};

/// A sealed object.
pub struct Sealed {
    pub body: Vec<u8>,
    pub capsule: SaltedCapsule,
    pub dek: Dek,
}

impl Sealed {
    pub fn content(&self) -> Digest {
        self.capsule.capsule.label().content
    }
}

/// Seals `content` as a version of a record.
pub fn seal(
    chain: ChainId,
    object: &RecordObject,
    compartment: (Compartment, Epoch, &SealingPublic),
    committee: &Committee,
    content: &[u8],
) -> Sealed {
    let dek = Dek::generate(&mut rng());
    let mut encryptor = Encryptor::new(&dek, &object.record, content.len() as u64).unwrap();
    let mut body = encryptor.header().to_vec();
    let mut hasher = ContentHasher::new(encryptor.layout().chunk_log2());
    let mut buffer = vec![0; SEALED_CHUNK_BYTES_MAX];
    let mut left = content;
    while let Some(slot) = encryptor.next_slot() {
        let (now, later) = left.split_at(slot.content.len());
        buffer[slot.content].copy_from_slice(now);
        body.extend_from_slice(encryptor.seal_chunk(&mut buffer).unwrap());
        left = later;
    }
    hasher.update(&body);
    let (compartment, epoch, key) = compartment;
    let label = Label {
        chain,
        chart: object.chart,
        record: object.record,
        version: object.version,
        compartment,
        epoch,
        committee: committee.id(),
        content: hasher.finish(),
        sealed_bytes: body.len() as u64,
    };
    let capsule = Capsule::seal(&mut rng(), label, key, committee, &dek).unwrap();
    Sealed { body, capsule: SaltedCapsule::new(&mut rng(), capsule), dek }
}

/// Terms that allow a member everything ordinary for treatment.
pub fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Everyone,
        compartments: CompartmentSet::EMPTY.with(Compartment::new(0).unwrap()),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
        window: Window { from: BlockTime(0), until: BlockTime(u64::MAX) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    }
}
