//! Words of a case: who opens them, and who does not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    body::Dek,
    keys::{CaseKey, ChartSecret, MemberSecret},
    seal::{OpenError, SealError, SealingPublic},
    words::{CaseWords, Readers, Subject, seal_words},
};
use keepwell_types::{
    id::{CaseId, ChainId, ChartId, MemberId, RecordId},
    limits::{CASE_ATTACHED_MAX, CASE_HANDED_MAX, CASE_TEXT_BYTES_MAX, SEALED_SEEDS_BYTES_MAX},
};
use support::{CHAIN, CHART, CountingRng, ROOT};

const CASE: CaseId = CaseId([5; 16]);
const SUBJECT: Subject<'_> = Subject { chain: &CHAIN, chart: &CHART, case: &CASE };
const OFFICER: MemberId = MemberId([1; 16]);
const RECORD: RecordId = RecordId([4; 32]);
const TEXT: &str = "The allergy to penicillin is not mine.";

fn key() -> CaseKey {
    ChartSecret::derive(&ROOT, CHART).case_key(CASE)
}

fn officer() -> MemberSecret {
    MemberSecret::from_bytes(&[2; 32])
}

fn dek() -> Dek {
    Dek::from_bytes(&[9; 32])
}

fn sealed(text: &str) -> CaseWords {
    let members = [(OFFICER, officer().sealing().public())];
    let dek = dek();
    let records = [(RECORD, &dek)];
    let readers = Readers { members: &members, records: &records };
    seal_words(&mut CountingRng::new("words"), &SUBJECT, &key(), text, readers).unwrap()
}

#[test]
fn p6_whoever_opens_the_record_opens_what_was_said_about_it() {
    let words = CaseWords::decode(&sealed(TEXT).encode()).unwrap();
    assert_eq!(words.digest(), sealed(TEXT).digest());
    assert_eq!(*words.open(&SUBJECT, &key()).unwrap(), TEXT);
    let handed = words.key_of_member(&SUBJECT, OFFICER, &officer().sealing()).unwrap();
    let attached = words.key_of_record(&SUBJECT, RECORD, &dek()).unwrap();
    assert_eq!((&handed, &attached), (&key(), &key()));
    assert!(words.is_handed_to(OFFICER) && !words.is_handed_to(MemberId([3; 16])));
    assert_eq!(words.records().collect::<Vec<_>>(), [RECORD]);
}

/// As another program computes them: the case's key, its check, and the key under a record's data key.
#[test]
fn the_keys_of_a_case_are_frozen() {
    let [expected, check, attached] = [
        "0aea5260d89f4123eef732bb9d08362a597c292b5b800f08e0ec63b844f0bada",
        "817277df0f867b584e7ca713713a63eb7f491490e72de7135d8703a544974375",
        "1b858111e87506f73251673331c0305fa0ace20921db450be610aa8633ce62f1c135fbfaa7a82a8bad33a44b322cb9b7",
    ]
    .map(|digits| hex::decode(digits).unwrap());
    assert_eq!(key().as_bytes()[..], expected);
    let bytes = sealed(TEXT).encode();
    for part in [check, attached] {
        assert!(bytes.windows(part.len()).any(|it| it == part), "{}", hex::encode(part));
    }
}

#[test]
fn words_open_nowhere_else() {
    let words = sealed(TEXT);
    let (chain, chart, case) = (ChainId([0; 32]), ChartId([0; 32]), CaseId([0; 16]));
    for (name, subject) in [
        ("chain", Subject { chain: &chain, ..SUBJECT }),
        ("chart", Subject { chart: &chart, ..SUBJECT }),
        ("case", Subject { case: &case, ..SUBJECT }),
    ] {
        let wrong = Some(OpenError::WrongKey);
        let member = words.key_of_member(&subject, OFFICER, &officer().sealing());
        assert_eq!(words.open(&subject, &key()).err(), wrong, "{name}");
        assert_eq!(member.err(), wrong, "{name}");
        assert_eq!(words.key_of_record(&subject, RECORD, &dek()).err(), wrong, "{name}");
    }
}

#[test]
fn other_keys_open_nothing() {
    let words = sealed(TEXT);
    let wrong = Some(OpenError::WrongKey);
    let other_case = ChartSecret::derive(&ROOT, CHART).case_key(CaseId([6; 16]));
    assert_eq!(words.open(&SUBJECT, &other_case).err(), wrong);
    let stranger = MemberSecret::from_bytes(&[3; 32]).sealing();
    assert_eq!(words.key_of_member(&SUBJECT, OFFICER, &stranger).err(), wrong);
    let other = MemberId([3; 16]);
    assert_eq!(words.key_of_member(&SUBJECT, other, &officer().sealing()).err(), wrong);
    let other_dek = Dek::from_bytes(&[8; 32]);
    assert_eq!(words.key_of_record(&SUBJECT, RECORD, &other_dek).err(), wrong);
    let other_version = RecordId([7; 32]);
    assert_eq!(words.key_of_record(&SUBJECT, other_version, &dek()).err(), wrong);
}

/// Short answers look alike, and no length shows to the byte.
#[test]
fn the_size_says_little_of_the_text() {
    let len = |text: &str| sealed(text).encode().len();
    assert_eq!(len("no"), len(TEXT));
    assert_eq!(len(&"x".repeat(1_000)), len(&"x".repeat(1_010)));
    assert_eq!(*sealed("").open(&SUBJECT, &key()).unwrap(), "");
}

#[test]
fn limits_hold() {
    let rng = &mut CountingRng::new("limits");
    let longest = "x".repeat(CASE_TEXT_BYTES_MAX);
    let dek = dek();
    let members = vec![(OFFICER, officer().sealing().public()); CASE_HANDED_MAX + 1];
    let records = vec![(RECORD, &dek); CASE_ATTACHED_MAX + 1];
    let seal = |rng: &mut CountingRng, text: &str, handed: usize, attached: usize| {
        let members: &[(MemberId, SealingPublic)] = &members[..handed];
        let readers = Readers { members, records: &records[..attached] };
        seal_words(rng, &SUBJECT, &key(), text, readers)
    };
    let most = seal(rng, &longest, CASE_HANDED_MAX, CASE_ATTACHED_MAX).unwrap();
    assert!(most.encode().len() <= SEALED_SEEDS_BYTES_MAX);
    assert_eq!(CaseWords::decode(&most.encode()), Ok(most));
    let (len, max) = (CASE_TEXT_BYTES_MAX + 1, CASE_TEXT_BYTES_MAX);
    let too_long = seal(rng, &format!("{longest}x"), 0, 0);
    assert_eq!(too_long.err(), Some(SealError::TextTooLong { len, max }));
    let given = CASE_HANDED_MAX + 1;
    let many = seal(rng, TEXT, given, 0).err();
    assert_eq!(many, Some(SealError::TooManyReaders { given, max: CASE_HANDED_MAX }));
    let given = CASE_ATTACHED_MAX + 1;
    let many = seal(rng, TEXT, 0, given).err();
    assert_eq!(many, Some(SealError::TooManyReaders { given, max: CASE_ATTACHED_MAX }));
}
