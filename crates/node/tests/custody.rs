//! Custody: what is stored, what is acknowledged, what is refused, and what a crash in between leaves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use bytes::Bytes;
use common::{
    custody::{AUTHOR, CHAIN, CHART, CUSTODIAN, NOW, Place, cut_off, object, whole},
    seal,
};
use keepwell_crypto::{
    body::Layout,
    custody::{chosen_leaf, shown_digest, verify_custody, verify_finding},
    grant,
    threshold::{self, Committee},
};
use keepwell_merkle::{
    content,
    tree::{InclusionPath, leaf_digest},
};
use keepwell_node::{
    config::CustodyLimits,
    custody::{
        CustodyError, LabelFault, UNNAMED_MS_MAX,
        follow::Named,
        quota::{Author, Charge, OverQuota, Whose},
        store::{RecordObject, SmallKind, SmallObject, Store, StoreError},
    },
    random::rng,
};
use keepwell_types::{
    encode,
    encoding::List,
    id::{
        BlockId, ChainId, ChartId, Compartment, Digest, Epoch, GrantId, MemberId, OrganisationId,
        Version,
    },
    member::Party,
    record::CustodyStatement,
    wire::{SeedTable, SeedTableLine},
};

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
            place.custody.put_capsule(object, AUTHOR.party, capsule.clone()).await.unwrap();
        let statement = CustodyStatement {
            chain: CHAIN,
            custodian: CUSTODIAN,
            record: object.record,
            version: object.version,
            commitment: sealed.capsule.commitment(),
            sealed_bytes: stored.sealed_bytes,
            until: acknowledged.until,
        };
        assert_eq!(acknowledged.key, place.key.public());
        let promised = NOW..NOW.plus_ms(UNNAMED_MS_MAX);
        assert!(promised.contains(&acknowledged.until), "nothing is promised that is not kept");
        verify_custody(&acknowledged.key, &statement, &acknowledged.signature).unwrap();
        assert_eq!(place.custody.capsule(&object).await.unwrap().unwrap(), capsule);
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
    let put = |capsule: Vec<u8>| place.custody.put_capsule(object, AUTHOR.party, capsule.into());
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
    let first =
        place.custody.put_capsule(object, AUTHOR.party, sealed.capsule.encode().into()).await;

    // The same again is the same, before and after an entry names it.
    for named in [false, true] {
        if named {
            place.custody.name(Named::Record(object, sealed.capsule.commitment())).unwrap();
        }
        place.put(object, &sealed).await;
        let capsule = sealed.capsule.encode().into();
        let again = place.custody.put_capsule(object, AUTHOR.party, capsule).await.unwrap();
        let first = first.as_ref().unwrap();
        assert_eq!((again.custodian, again.key), (first.custodian, first.key));
        assert_eq!(again == *first, !named, "what an entry names is promised for good");

        let other = place.seal(&object, b"another");
        let body = place.custody.put_body(object, AUTHOR, NOW, whole(&other.body)).await;
        assert!(matches!(body, Err(CustodyError::Exists)));
        let capsule =
            place.custody.put_capsule(object, AUTHOR.party, other.capsule.encode().into()).await;
        assert!(matches!(capsule, Err(CustodyError::Exists)));
        let capsule = place.custody.capsule(&object).await.unwrap().unwrap();
        assert_eq!(capsule, sealed.capsule.encode());
    }
}

#[tokio::test]
async fn nobody_goes_on_with_the_object_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let object = object(1);
    let sealed = place.seal(&object, b"content");
    let stranger = Author { party: Party::Member(MemberId([9; 16])), ..AUTHOR };
    place.custody.put_body(object, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    let body = place.custody.put_body(object, stranger, NOW, whole(&sealed.body)).await;
    assert!(matches!(body, Err(CustodyError::OtherParty)));
    let capsule =
        place.custody.put_capsule(object, stranger.party, sealed.capsule.encode().into()).await;
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
    place.custody.put_capsule(object, AUTHOR.party, sealed.capsule.encode().into()).await.unwrap();
    let body = place.custody.body(&object, None).await.unwrap();
    assert_eq!(body.len, sealed.body.len() as u64);
}

#[tokio::test]
async fn what_nothing_names_is_deleted_after_a_day_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let [named, late, unnamed, body_only] = [1, 2, 3, 4].map(object);
    let mut commitments = Vec::new();
    for object in [named, late, unnamed] {
        let sealed = place.seal(&object, b"content");
        place.put(object, &sealed).await;
        commitments.push(sealed.capsule.commitment());
    }
    let sealed = place.seal(&body_only, b"content");
    place.custody.put_body(body_only, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    place.custody.name(Named::Record(named, commitments[0])).unwrap();

    // The log has the late one, though following has missed it.
    let in_log =
        |object: &RecordObject, commitment| Some((*object, commitment) == (late, commitments[1]));
    let day = NOW.plus_ms(UNNAMED_MS_MAX);
    assert_eq!(place.custody.sweep(day, in_log).await.unwrap(), 0);
    let later = day.plus_ms(1);
    let in_doubt = place.custody.sweep(later, |_, _| None).await.unwrap();
    assert_eq!(in_doubt, 1, "whatever the log has, a body without a capsule opens nothing");
    assert_eq!(place.custody.sweep(later, in_log).await.unwrap(), 1);
    for (object, stays) in [(named, true), (late, true), (unnamed, false), (body_only, false)] {
        assert_eq!(place.custody.body(&object, None).await.is_ok(), stays, "{object:?}");
    }
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 0);
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
    let put =
        |kind, bytes: Vec<u8>| place.custody.put_small(CHART, kind, AUTHOR, NOW, bytes.into());
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
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 1);
    let stays = async |kind, digest: Digest| {
        place.custody.small(&SmallObject { chart: CHART, kind, digest }).await.is_ok()
    };
    assert!(stays(SmallKind::Seeds, direct.digest()).await);
    assert!(stays(SmallKind::Seeds, listed.digest()).await);
    assert!(stays(SmallKind::Table, table).await);
    assert!(!stays(SmallKind::Seeds, neither.digest()).await);
    assert!(matches!(put(SmallKind::Seeds, vec![0]).await, Err(CustodyError::Malformed(_))));
}

#[tokio::test]
async fn a_table_takes_nothing_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let terms = common::terms();
    let binding =
        grant::Binding { chain: &CHAIN, chart: &CHART, grant: &GrantId([1; 16]), terms: &terms };
    let seeds = grant::seal_seeds(&mut rng(), &binding, &place.compartment.public(), &[]).unwrap();
    let put =
        |kind, bytes: Vec<u8>| place.custody.put_small(CHART, kind, AUTHOR, NOW, bytes.into());
    put(SmallKind::Seeds, seeds.encode()).await.unwrap();
    let table = |grant| {
        let lines = vec![SeedTableLine { grant: GrantId([grant; 16]), seeds: seeds.digest() }];
        encode(&SeedTable { lines: List::from_vec(lines).unwrap() })
    };
    let named = put(SmallKind::Table, table(1)).await.unwrap();
    place.custody.name(Named::Small(CHART, named)).unwrap();
    // Other tables that list the same seeds come, and go again.
    let bogus = put(SmallKind::Table, table(2)).await.unwrap();
    let later = NOW.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 1);
    for (kind, digest, stays) in [
        (SmallKind::Table, named, true),
        (SmallKind::Table, bogus, false),
        (SmallKind::Seeds, seeds.digest(), true),
    ] {
        let found = place.custody.small(&SmallObject { chart: CHART, kind, digest }).await;
        assert_eq!(found.is_ok(), stays, "{kind:?}");
    }
    // Sent again, they are still named.
    put(SmallKind::Seeds, seeds.encode()).await.unwrap();
    let later = later.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_acknowledged_under_a_chart_that_does_not_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let here = object(1);
    let elsewhere = RecordObject { chart: ChartId([9; 32]), ..here };
    // The same ciphertext, labelled for a chart under which it is not stored.
    let sealed = place.seal(&elsewhere, b"content");
    place.custody.put_body(here, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    let capsule = sealed.capsule.encode().into();
    let acknowledged = place.custody.put_capsule(elsewhere, AUTHOR.party, capsule).await;
    assert!(matches!(acknowledged, Err(CustodyError::Exists)), "{acknowledged:?}");
    let body = place.custody.put_body(elsewhere, AUTHOR, NOW, whole(&sealed.body)).await;
    assert!(matches!(body, Err(CustodyError::Exists)), "{body:?}");
}

#[tokio::test]
async fn an_entry_names_the_object_that_it_commits_to() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let [noise, body_only] = [1, 2].map(object);
    place.put(noise, &place.seal(&noise, b"noise")).await;
    let sealed = place.seal(&body_only, b"content");
    place.custody.put_body(body_only, AUTHOR, NOW, whole(&sealed.body)).await.unwrap();
    // Their records are added, with capsules that other custodians have; and one of another chart.
    let added = [noise, body_only].map(|it| (it, place.seal(&it, b"else").capsule.commitment()));
    for (object, commitment) in added {
        place.custody.name(Named::Record(object, commitment)).unwrap();
        let foreign = RecordObject { chart: ChartId([9; 32]), ..object };
        place.custody.name(Named::Record(foreign, commitment)).unwrap();
    }
    let in_log = |object: &RecordObject, commitment| Some(added.contains(&(*object, commitment)));
    let later = NOW.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, in_log).await.unwrap(), 2);
    assert_eq!(place.custody.unnamed_bytes(), 0);
}

/// What an object of so many bytes counts for.
fn charged(bytes: u64) -> u64 {
    Charge::of(AUTHOR, bytes).bytes
}

#[tokio::test]
async fn nobody_fills_the_disk_with_what_no_entry_names() {
    let folder = tempfile::tempdir().unwrap();
    let committee = Place::open(folder.path()).committee;
    let sealed_bytes = |place: &Place| place.seal(&object(1), b"content").body.len() as u64;
    let each = charged(sealed_bytes(&Place::open(folder.path())));
    let limits = CustodyLimits {
        party_unnamed_bytes_max: 2 * each,
        organisation_unnamed_bytes_max: 3 * each,
        free_bytes_min: 0,
    };
    let open = || {
        let store = Store::in_folder(&folder.path().join("objects"));
        Place::open_store(store.unwrap(), folder.path(), committee.clone(), limits)
    };
    let place = open();
    let member = |id: u8| Author { party: Party::Member(MemberId([id; 16])), ..AUTHOR };
    let put = async |place: &Place, record: u8, author| {
        let object = object(record);
        let sealed = place.seal(&object, b"content");
        let stored = place.custody.put_body(object, author, NOW, whole(&sealed.body)).await;
        stored.map(|_| sealed)
    };
    let over = |error, whose, objects| match error {
        Err(CustodyError::Quota(quota)) => {
            let max = if whose == Whose::Party { 2 * each } else { 3 * each };
            assert_eq!(quota, OverQuota { whose, bytes: objects * each, max });
        }
        Err(other) => panic!("{whose:?}: {other}"),
        Ok(_) => panic!("{whose:?}: it was stored"),
    };
    let first = put(&place, 1, member(1)).await.unwrap();
    put(&place, 2, member(1)).await.unwrap();
    over(put(&place, 3, member(1)).await, Whose::Party, 3);
    // Sending one again, or half of it, takes no more room than it has, or gives it back.
    put(&place, 2, member(1)).await.unwrap();
    place.custody.put_body(object(2), member(1), NOW, cut_off(&first.body)).await.unwrap_err();
    put(&place, 3, member(1)).await.unwrap();
    put(&place, 4, member(2)).await.unwrap();
    over(put(&place, 5, member(3)).await, Whose::Organisation, 4);
    let elsewhere = Author { party: member(4).party, organisation: OrganisationId([9; 16]) };
    put(&place, 6, elsewhere).await.unwrap();
    assert_eq!(place.custody.unnamed_bytes(), 4 * each);

    // What is counted survives a restart; what is named, or deleted, counts no longer.
    drop(place);
    let place = open();
    assert_eq!(place.custody.unnamed_bytes(), 4 * each);
    over(put(&place, 5, member(3)).await, Whose::Organisation, 4);
    let capsule =
        place.custody.put_capsule(object(1), member(1).party, first.capsule.encode().into());
    capsule.await.unwrap();
    place.custody.name(Named::Record(object(1), first.capsule.commitment())).unwrap();
    put(&place, 5, member(3)).await.unwrap();
    let later = NOW.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 4);
    assert_eq!(place.custody.unnamed_bytes(), 0);
    assert!(place.custody.body(&object(1), None).await.is_ok(), "what is named stays");
}

#[tokio::test]
async fn the_last_room_on_the_disk_is_not_for_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let limits = CustodyLimits { free_bytes_min: u64::MAX, ..CustodyLimits::default() };
    let place = Place::open_limited(folder.path(), limits);
    let sealed = place.seal(&object(1), b"content");
    let stored = place.custody.put_body(object(1), AUTHOR, NOW, whole(&sealed.body)).await;
    assert!(matches!(stored, Err(CustodyError::Store(StoreError::Full))), "{stored:?}");
    let seeds = vec![SeedTableLine { grant: GrantId([1; 16]), seeds: Digest([1; 32]) }];
    let table = encode(&SeedTable { lines: List::from_vec(seeds).unwrap() });
    let stored = place.custody.put_small(CHART, SmallKind::Table, AUTHOR, NOW, table.into()).await;
    assert!(matches!(stored, Err(CustodyError::Store(StoreError::Full))), "{stored:?}");
    assert_eq!(place.custody.unnamed_bytes(), 0, "nothing waits that was not taken");
}

#[tokio::test]
async fn small_objects_count_too() {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        CustodyLimits { party_unnamed_bytes_max: charged(1_000), ..CustodyLimits::default() };
    let place = Place::open_limited(folder.path(), limits);
    let table = |lines: u8| {
        let line = |at| SeedTableLine { grant: GrantId([at; 16]), seeds: Digest([at; 32]) };
        encode(&SeedTable { lines: List::from_vec((0..lines).map(line).collect()).unwrap() })
    };
    let put = |bytes: Vec<u8>| {
        place.custody.put_small(CHART, SmallKind::Table, AUTHOR, NOW, bytes.into())
    };
    let digest = put(table(1)).await.unwrap();
    put(table(1)).await.unwrap();
    assert!(matches!(put(table(2)).await, Err(CustodyError::Quota(_))));
    place.custody.name(Named::Small(CHART, digest)).unwrap();
    put(table(2)).await.unwrap();
    put(table(1)).await.unwrap();
}

#[tokio::test]
async fn a_challenge_is_answered_by_whoever_has_the_whole_body() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    for (record, len) in [(1, 5), (2, 300_000), (3, 9 * 1024 * 1024)] {
        let object = object(record);
        let sealed = place.seal(&object, &vec![7; len]);
        place.put(object, &sealed).await;
        for block in 0..4 {
            let answer = place.custody.challenge(&object, BlockId([block; 32])).await.unwrap();
            let (finding, shown) = (answer.finding, answer.shown.unwrap());
            assert_eq!(finding.block, BlockId([block; 32]));
            assert_eq!(finding.shown, Some(shown_digest(&shown)));
            verify_finding(&place.key.public(), &finding, &answer.signature).unwrap();
            assert_eq!(*shown.capsule, *sealed.capsule.encode());
            let layout = Layout::of_sealed(sealed.body.len() as u64).unwrap();
            let (size, root) = (content::leaves(&layout), sealed.content());
            let index = chosen_leaf(&finding, size);
            let path: InclusionPath = keepwell_types::decode(&shown.path, 4_096).unwrap();
            path.verify(&root, size, index, &leaf_digest(&shown.leaf)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_custodian_says_itself_that_it_lost_or_damaged_a_body() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path());
    let (whole, never) = (object(1), object(2));
    let sealed = place.seal(&whole, &vec![7; 300_000]);
    place.put(whole, &sealed).await;
    let block = BlockId([9; 32]);
    let has = async |object| place.custody.challenge(&object, block).await.unwrap().shown.is_some();
    assert!(has(whole).await);
    assert!(!has(never).await);
    let answer = place.custody.challenge(&never, block).await.unwrap();
    verify_finding(&place.key.public(), &answer.finding, &answer.signature).unwrap();
    // Any flipped byte, not only one of the chosen leaf.
    let body = body_file(folder.path());
    let good = std::fs::read(&body).unwrap();
    for at in [0, 60, 100_000, good.len() - 1] {
        let mut bent = good.clone();
        bent[at] ^= 1;
        std::fs::write(&body, bent).unwrap();
        assert!(!has(whole).await, "byte {at}");
    }
    std::fs::write(&body, &good[..good.len() - 1]).unwrap();
    assert!(!has(whole).await);
    std::fs::write(&body, &good).unwrap();
    assert!(has(whole).await);
}

/// The one body in a store.
fn body_file(folder: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "body") {
                return path;
            }
        }
    }
    panic!("no body is stored");
}
