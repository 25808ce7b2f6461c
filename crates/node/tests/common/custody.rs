//! A custodian with its keys, and bodies that are sent to it.

use std::path::Path;

use bytes::Bytes;
use futures::{Stream, stream};
use keepwell_crypto::{
    seal::SealingKey,
    sign::SigningKey,
    threshold::{self, Committee},
};
use keepwell_node::{
    config::CustodyLimits,
    custody::{
        Custody, Identity,
        incoming::Incoming,
        pending::Pending,
        quota::Author,
        store::{RecordObject, Store},
    },
    random::rng,
};
use keepwell_types::{
    id::{ChainId, ChartId, Compartment, Epoch, MemberId, OrganisationId, RecordId, Version},
    member::Party,
    time::BlockTime,
};

use super::{Sealed, seal};

pub const CHAIN: ChainId = ChainId([1; 32]);
pub const CHART: ChartId = ChartId([2; 32]);
pub const CUSTODIAN: OrganisationId = OrganisationId([3; 16]);
pub const AUTHOR: Author =
    Author { party: Party::Member(MemberId([4; 16])), organisation: CUSTODIAN };
pub const NOW: BlockTime = BlockTime(1_000_000_000);

/// A custodian, a compartment that records are sealed to, and the committee that releases them.
pub struct Place {
    pub custody: Custody,
    pub committee: Committee,
    pub compartment: SealingKey,
    pub key: SigningKey,
}

impl Place {
    /// Opens a custodian whose store is a folder.
    pub fn open(folder: &Path) -> Self {
        let committee = Committee::new(&threshold::deal(&mut rng(), 4, 3).0).unwrap();
        Self::open_with(folder, committee)
    }

    /// Opens it again, with the committee it had.
    pub fn open_with(folder: &Path, committee: Committee) -> Self {
        let store = Store::in_folder(&folder.join("objects")).unwrap();
        Self::open_store(store, folder, committee, CustodyLimits::default())
    }

    /// Opens a custodian whose store is a folder, with these limits.
    pub fn open_limited(folder: &Path, limits: CustodyLimits) -> Self {
        let committee = Committee::new(&threshold::deal(&mut rng(), 4, 3).0).unwrap();
        let store = Store::in_folder(&folder.join("objects")).unwrap();
        Self::open_store(store, folder, committee, limits)
    }

    /// Opens a custodian with this store, and its index below `folder`.
    pub fn open_store(
        store: Store,
        folder: &Path,
        committee: Committee,
        limits: CustodyLimits,
    ) -> Self {
        let key = SigningKey::from_seed(&[5; 32]);
        let identity = Identity {
            chain: CHAIN,
            committee: committee.id(),
            organisation: CUSTODIAN,
            key: key.clone(),
        };
        let pending = Pending::open(&folder.join("index")).unwrap();
        let compartment = SealingKey::from_seed(&[6; 32]);
        let custody = Custody::new(identity, store, pending, limits);
        Self { custody, committee, compartment, key }
    }

    /// Seals a version of a record.
    pub fn seal(&self, object: &RecordObject, content: &[u8]) -> Sealed {
        let compartment = Compartment::new(0).unwrap();
        let public = self.compartment.public();
        seal(CHAIN, object, (compartment, Epoch(0), &public), &self.committee, content)
    }

    /// Stores all of it.
    pub async fn put(&self, object: RecordObject, sealed: &Sealed) {
        self.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
        let capsule = sealed.capsule.encode().into();
        self.custody.put_capsule(object, AUTHOR.party, capsule).await.unwrap();
    }
}

/// The first version of a record.
pub fn object(record: u8) -> RecordObject {
    RecordObject { chart: CHART, record: RecordId([record; 32]), version: Version(1) }
}

/// All of a body, in pieces.
pub fn whole(body: &[u8]) -> Incoming<impl Stream<Item = Result<Bytes, ()>> + Unpin + use<>> {
    let pieces: Vec<_> = body.chunks(10_000).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    Incoming::new(stream::iter(pieces), body.len() as u64)
}

/// A body whose sender is lost.
pub fn cut_off(body: &[u8]) -> Incoming<impl Stream<Item = Result<Bytes, ()>> + Unpin + use<>> {
    let pieces = [Ok(Bytes::copy_from_slice(body)), Err(())];
    Incoming::new(stream::iter(pieces), body.len() as u64)
}
