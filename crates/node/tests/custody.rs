//! Custody: what is stored, what is acknowledged, what is refused, and what a crash in between leaves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{Sealed, seal};
use futures::{Stream, stream};
use keepwell_crypto::{
    custody::verify_custody,
    grant,
    seal::SealingKey,
    sign::SigningKey,
    threshold::{self, Committee},
};
use keepwell_node::{
    custody::{
        Custody, CustodyError, Identity, LabelFault, UNNAMED_MS_MAX,
        follow::Named,
        pending::Pending,
        store::{RecordObject, SmallKind, SmallObject, Store, StoreError},
    },
    random::rng,
};
use keepwell_types::{
    encode,
    encoding::List,
    id::{
        ChainId, ChartId, Compartment, Digest, Epoch, GrantId, MemberId, OrganisationId, RecordId,
        Version,
    },
    member::Party,
    record::CustodyStatement,
    time::BlockTime,
    wire::{SeedTable, SeedTableLine},
};

const CHAIN: ChainId = ChainId([1; 32]);
const CHART: ChartId = ChartId([2; 32]);
const CUSTODIAN: OrganisationId = OrganisationId([3; 16]);
const AUTHOR: Party = Party::Member(MemberId([4; 16]));
const NOW: BlockTime = BlockTime(1_000_000_000);

struct Place {
    custody: Custody,
    committee: Committee,
    compartment: SealingKey,
    key: SigningKey,
}

impl Place {
    fn open(folder: &Path) -> Self {
        let committee = Committee::new(&threshold::deal(&mut rng(), 4, 3).0).unwrap();
        Self::open_with(folder, committee)
    }

    fn open_with(folder: &Path, committee: Committee) -> Self {
        let key = SigningKey::from_seed(&[5; 32]);
        let identity = Identity {
            chain: CHAIN,
            committee: committee.id(),
            organisation: CUSTODIAN,
            key: key.clone(),
        };
        let store = Store::in_folder(&folder.join("objects")).unwrap();
        let pending = Pending::open(&folder.join("index")).unwrap();
        let compartment = SealingKey::from_seed(&[6; 32]);
        Self { custody: Custody::new(identity, store, pending), committee, compartment, key }
    }

    fn seal(&self, object: &RecordObject, content: &[u8]) -> Sealed {
        let compartment = Compartment::new(0).unwrap();
        let public = self.compartment.public();
        seal(CHAIN, object, (compartment, Epoch(0), &public), &self.committee, content)
    }

    async fn put(&self, object: RecordObject, sealed: &Sealed) {
        self.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
        self.custody.put_capsule(object, AUTHOR, sealed.capsule.encode().into()).await.unwrap();
    }
}

fn object(record: u8) -> RecordObject {
    RecordObject { chart: CHART, record: RecordId([record; 32]), version: Version(1) }
}

fn whole(body: &[u8]) -> impl Stream<Item = Result<Bytes, ()>> + Unpin + use<> {
    let pieces: Vec<_> = body.chunks(10_000).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    stream::iter(pieces)
}

fn cut_off(body: &[u8]) -> impl Stream<Item = Result<Bytes, ()>> + Unpin + use<> {
    stream::iter([Ok(Bytes::copy_from_slice(body)), Err(())])
}

#[tokio::test]
async fn a_sealed_object_is_acknowledged_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    for (record, len) in [(1, 0), (2, 5), (3, 100_000), (4, 3 * 1024 * 1024)] {
        let object = object(record);
        let sealed = place.seal(&object, &vec![7; len]);
        let stored =
            place.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
        assert_eq!(
            (stored.content, stored.sealed_bytes),
            (sealed.content(), sealed.body.len() as u64)
        );
        let capsule: Bytes = sealed.capsule.encode().into();
        let acknowledged =
            place.custody.put_capsule(object, AUTHOR, capsule.clone()).await.unwrap();
        let statement = CustodyStatement {
            chain: CHAIN,
            custodian: CUSTODIAN,
            record: object.record,
            version: object.version,
            commitment: sealed.capsule.commitment(),
            sealed_bytes: stored.sealed_bytes,
        };
        assert_eq!(acknowledged.key, place.key.public());
        verify_custody(&acknowledged.key, &statement, &acknowledged.signature).unwrap();
        assert_eq!(place.custody.capsule(&object).await.unwrap(), capsule);
        let body = place.custody.body(&object, None).await.unwrap();
        assert_eq!(body.len, sealed.body.len() as u64);
    }
}

#[tokio::test]
async fn bodies_that_are_not_whole_or_not_sealed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    let put = |body| place.custody.put_body(object, AUTHOR, NOW, body);
    let error = place.custody.put_body(object, AUTHOR, NOW, cut_off(&sealed.body)).await;
    assert!(matches!(error, Err(CustodyError::Store(StoreError::CutOff))));
    let truncated = &sealed.body[..sealed.body.len() - 1];
    let longer = [&sealed.body[..], b"x"].concat();
    let other = [b"%PDF-1.7".as_slice(), &sealed.body].concat();
    for body in [b"".as_slice(), b"short", truncated, &longer, &other] {
        assert!(matches!(put(whole(body)).await, Err(CustodyError::NotSealed)), "{}", body.len());
        assert!(matches!(
            place.custody.body(&object, None).await,
            Err(CustodyError::Store(StoreError::NotFound))
        ));
    }
    // None of this is in the way of the whole body.
    place.put(object, &sealed).await;
}

#[tokio::test]
async fn a_capsule_must_fit_the_stored_body() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    let put = |capsule: Vec<u8>| place.custody.put_capsule(object, AUTHOR, capsule.into());
    assert!(matches!(put(sealed.capsule.encode()).await, Err(CustodyError::NoBody)));
    place.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();

    let public = place.compartment.public();
    let compartment = (Compartment::new(0).unwrap(), Epoch(0), &public);
    let strangers = Committee::new(&threshold::deal(&mut rng(), 4, 3).0).unwrap();
    let of = |chain, object: &RecordObject, committee: &Committee, content: &[u8]| {
        seal(chain, object, compartment, committee, content).capsule.encode()
    };
    let second_version = RecordObject { version: Version(2), ..object };
    let other_chart = RecordObject { chart: ChartId([9; 32]), ..object };
    let long = vec![0; 10_000];
    let cases = [
        (of(ChainId([9; 32]), &object, &place.committee, b"content"), LabelFault::Chain),
        (of(CHAIN, &second_version, &place.committee, b"content"), LabelFault::Record),
        (of(CHAIN, &other_chart, &place.committee, b"content"), LabelFault::Record),
        (of(CHAIN, &crate::object(2), &place.committee, b"content"), LabelFault::Record),
        (of(CHAIN, &object, &strangers, b"content"), LabelFault::Committee),
        (of(CHAIN, &object, &place.committee, b"other!!"), LabelFault::Content),
        (
            of(CHAIN, &object, &place.committee, &long),
            LabelFault::SealedBytes {
                label: keepwell_crypto::body::sealed_len(10_000),
                stored: sealed.body.len() as u64,
            },
        ),
    ];
    for (capsule, fault) in cases {
        match put(capsule).await {
            Err(CustodyError::Label(found)) => assert_eq!(found, fault),
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    let mut truncated = sealed.capsule.encode();
    truncated.pop();
    assert!(matches!(put(truncated).await, Err(CustodyError::Malformed(_))));
    put(sealed.capsule.encode()).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    place.put(object, &sealed).await;
    let first = place.custody.put_capsule(object, AUTHOR, sealed.capsule.encode().into()).await;

    // The same again is the same, before and after an entry names it.
    for named in [false, true] {
        if named {
            place.custody.name(Named::Record(object.record, object.version)).unwrap();
        }
        place.put(object, &sealed).await;
        let again = place.custody.put_capsule(object, AUTHOR, sealed.capsule.encode().into()).await;
        assert_eq!(again.unwrap(), *first.as_ref().unwrap());

        let other = place.seal(&object, b"another");
        let body = place.custody.put_body(object, AUTHOR, NOW, whole(&other.body)).await;
        assert!(matches!(body, Err(CustodyError::Exists)));
        let capsule =
            place.custody.put_capsule(object, AUTHOR, other.capsule.encode().into()).await;
        assert!(matches!(capsule, Err(CustodyError::Exists)));
        let capsule = place.custody.capsule(&object).await.unwrap();
        assert_eq!(capsule, sealed.capsule.encode());
    }
}

#[tokio::test]
async fn nobody_goes_on_with_the_object_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    let stranger = Party::Member(MemberId([9; 16]));
    place.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    let body = place.custody.put_body(object, stranger, NOW, whole(&sealed.body)).await;
    assert!(matches!(body, Err(CustodyError::OtherParty)));
    let capsule = place.custody.put_capsule(object, stranger, sealed.capsule.encode().into()).await;
    assert!(matches!(capsule, Err(CustodyError::OtherParty)));
}

#[tokio::test]
async fn a_crash_between_body_and_capsule_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    place.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    let committee = place.committee.clone();
    drop(place);

    let place = Place::open_with(folder.path(), committee);
    place.custody.put_capsule(object, AUTHOR, sealed.capsule.encode().into()).await.unwrap();
    let body = place.custody.body(&object, None).await.unwrap();
    assert_eq!(body.len, sealed.body.len() as u64);
}

#[tokio::test]
async fn what_nothing_names_is_deleted_after_a_day_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let [named, late, unnamed, body_only] = [1, 2, 3, 4].map(object);
    for object in [named, late, unnamed] {
        place.put(object, &place.seal(&object, b"content")).await;
    }
    let sealed = place.seal(&body_only, b"content");
    place.custody.put_body(body_only, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    place.custody.name(Named::Record(named.record, named.version)).unwrap();

    // The log has the late one, though following has missed it.
    let in_log = |object: &RecordObject| Some(*object == late);
    let day = NOW.plus_ms(UNNAMED_MS_MAX);
    assert_eq!(place.custody.sweep(day, in_log).await.unwrap(), 0);
    let later = day.plus_ms(1);
    assert_eq!(place.custody.sweep(later, |_| None).await.unwrap(), 0, "in doubt it stays");
    assert_eq!(place.custody.sweep(later, in_log).await.unwrap(), 2);
    for (object, stays) in [(named, true), (late, true), (unnamed, false), (body_only, false)] {
        assert_eq!(place.custody.body(&object, None).await.is_ok(), stays, "{object:?}");
    }
    assert_eq!(place.custody.sweep(later, |_| Some(false)).await.unwrap(), 0);
}

#[tokio::test]
async fn small_objects_stay_once_an_entry_names_them_or_their_table() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let seeds = |grant: u8| {
        let terms = common::terms();
        let binding = grant::Binding {
            chain: &CHAIN,
            chart: &CHART,
            grant: &GrantId([grant; 16]),
            terms: &terms,
        };
        grant::seal_seeds(&mut rng(), &binding, &place.compartment.public(), &[]).unwrap()
    };
    let put = |kind, bytes: Vec<u8>| place.custody.put_small(CHART, kind, NOW, bytes.into());
    let [direct, listed, neither] = [1, 2, 3].map(seeds);
    for seeds in [&direct, &listed, &neither] {
        assert_eq!(put(SmallKind::Seeds, seeds.encode()).await.unwrap(), seeds.digest());
    }
    let lines = vec![SeedTableLine { grant: GrantId([2; 16]), seeds: listed.digest() }];
    let table = SeedTable { lines: List::from_vec(lines).unwrap() };
    let table = put(SmallKind::Table, encode(&table)).await.unwrap();
    assert_eq!(table, grant::table_digest(&[(GrantId([2; 16]), listed.digest())]));

    place.custody.name(Named::Small(CHART, direct.digest())).unwrap();
    place.custody.name(Named::Small(CHART, table)).unwrap();
    let later = NOW.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, |_| Some(false)).await.unwrap(), 1);
    let stays = async |kind, digest: Digest| {
        place.custody.small(&SmallObject { chart: CHART, kind, digest }).await.is_ok()
    };
    assert!(stays(SmallKind::Seeds, direct.digest()).await);
    assert!(stays(SmallKind::Seeds, listed.digest()).await);
    assert!(stays(SmallKind::Table, table).await);
    assert!(!stays(SmallKind::Seeds, neither.digest()).await);
    assert!(matches!(put(SmallKind::Seeds, vec![0]).await, Err(CustodyError::Malformed(_))));
}
