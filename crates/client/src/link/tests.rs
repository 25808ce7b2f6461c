//! What a book keeps, what a letter must fit, and what a reversal finds.

use keepwell_ledger::state::LinkSide;
use keepwell_types::id::{Commitment, Epoch, LogPosition, RecordId, Version};

use super::*;
use crate::testing::organisation;

const CHAIN: ChainId = ChainId([7; 32]);
const LINK: LinkId = LinkId([3; 16]);

fn line(link: LinkId) -> LinkLine {
    let own = Opening { chart: ChartId([1; 32]), salt: Salt([2; 32]) };
    let (words, noted) = (List::new(), List::new());
    LinkLine { link, with: organisation(1), own, theirs: None, words, noted }
}

fn name(position: u64) -> RecordName {
    RecordName { position: LogPosition(position), record: RecordId([position as u8; 32]) }
}

#[test]
fn an_opening_is_of_its_own_link_side_and_consortium() {
    let opening = line(LINK).own;
    let commitment = link_commitment(&CHAIN, &LINK, &opening.chart, &opening.salt);
    let link = Link {
        proposed: LinkSide {
            organisation: organisation(0),
            member: MemberId([9; 16]),
            commitment,
            at: BlockTime(1),
        },
        with: organisation(1),
        confirmed: None,
        approved: None,
        until: BlockTime(9),
        since: None,
        reversed: None,
    };
    assert!(opening.is_of(&CHAIN, LINK, &link, organisation(0)));
    assert!(!opening.is_of(&CHAIN, LINK, &link, organisation(1)), "the other side");
    assert!(!opening.is_of(&CHAIN, LinkId([4; 16]), &link, organisation(0)), "another link");
    assert!(!opening.is_of(&ChainId([8; 32]), LINK, &link, organisation(0)));
    let other = Opening { chart: ChartId([5; 32]), ..opening };
    assert!(!other.is_of(&CHAIN, LINK, &link, organisation(0)), "another chart");
}

#[test]
fn a_book_has_a_line_for_each_link_and_a_note_for_each_record() {
    let mut book = LinkBook::default();
    book.put(line(LINK)).unwrap();
    book.put(LinkLine { with: organisation(2), ..line(LINK) }).unwrap();
    book.put(line(LinkId([4; 16]))).unwrap();
    assert_eq!(book.lines.len(), 2);
    assert_eq!(book.line(LINK).unwrap().with, organisation(2));
    assert!(matches!(book.line(LinkId([5; 16])), Err(UsageError::UnknownLink(_))));
    let unsent = Noted { record: name(4), refiled_to: None };
    let sent = Noted { refiled_to: Some(MemberId([9; 16])), ..unsent };
    book.note(LINK, unsent).unwrap();
    book.note(LINK, Noted { record: name(5), refiled_to: None }).unwrap();
    book.note(LINK, sent).unwrap();
    assert_eq!(book.line(LINK).unwrap().noted.to_vec()[0], sent);
    assert_eq!(book.line(LINK).unwrap().noted.len(), 2);
    assert!(book.note(LinkId([5; 16]), unsent).is_err());
}

#[test]
fn a_book_opens_for_its_member_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("links.book");
    let member = || MemberIdentity::generate(CHAIN, organisation(0));
    let (owner, stranger) = (member(), member());
    let mut kept = KeptLinks::open(&path, &owner).unwrap();
    kept.book.put(line(LINK)).unwrap();
    kept.save().unwrap();
    drop(kept);
    assert!(KeptLinks::open(&path, &stranger).is_err());
    assert_eq!(KeptLinks::open(&path, &owner).unwrap().book.lines.to_vec(), [line(LINK)]);
}

#[test]
fn a_patients_word_is_for_one_link_and_says_one_thing() {
    let holder = ChartHolder::derive(&[1; 32], ChartId([2; 32]));
    let word = PatientsWord::sign(&holder, CHAIN, LINK, true);
    assert_eq!(PatientsWord::decode(&word.encode()).unwrap(), word);
    let verifies = |word: &PatientsWord| {
        let PatientsWord { chain, link, chart, agrees, at, .. } = *word;
        let message = PatientsWord::message(&chain, link, chart, agrees, at);
        let key = holder.actor().key().public();
        sign::verify(&key, WORD_DOMAIN, message.as_bytes(), &word.signature).is_ok()
    };
    assert!(verifies(&word));
    for (what, other) in [
        ("another link", PatientsWord { link: LinkId([4; 16]), ..word.clone() }),
        ("the contrary", PatientsWord { agrees: false, ..word.clone() }),
        ("another chart", PatientsWord { chart: ChartId([3; 32]), ..word.clone() }),
        ("another consortium", PatientsWord { chain: ChainId([8; 32]), ..word.clone() }),
        ("another time", PatientsWord { at: BlockTime(0), ..word.clone() }),
    ] {
        assert!(!verifies(&other), "{what}");
    }
    assert!(PatientsWord::decode(&word.encode()[1..]).is_err());
}

fn facts(position: u64, time: u64) -> RecordFacts {
    RecordFacts {
        name: name(position),
        version: Version(1),
        compartment: keepwell_types::id::Compartment::new(1).unwrap(),
        epoch: Epoch(0),
        kind: RecordKind::Result,
        commitment: Commitment([1; 32]),
        sealed_bytes: 100,
        author: Party::Member(MemberId([6; 16])),
        custodians: Vec::new(),
        time: BlockTime(time),
        proposed: false,
        amends: None,
    }
}

#[test]
fn what_was_written_while_a_link_held_is_found() {
    let records = (1..=5).map(|at| facts(at, 10 * at)).collect();
    let found: Vec<_> = written_between(records, BlockTime(20), BlockTime(40))
        .map(|it| it.name.position.0)
        .collect();
    assert_eq!(found, [2, 3, 4]);
}

#[test]
fn what_is_refiled_says_who_wrote_it_and_names_no_chart() {
    let refiled = Refiled::of(LINK, &facts(4, 40), Some("normal"), b"{}".to_vec()).unwrap();
    assert_eq!(refiled.author, Some(MemberId([6; 16])));
    let provenance = refiled.provenance(&name(9));
    assert!(provenance.contains(&MemberId([6; 16]).to_string()));
    assert!(provenance.contains(&name(9).record.to_string()));
    assert!(!provenance.contains(&name(4).record.to_string()), "the wrong chart's record");
    let controller = RecordFacts { author: Party::Controller(ChartId([0xc1; 32])), ..facts(4, 40) };
    let refiled = Refiled::of(LINK, &controller, None, Vec::new()).unwrap();
    let bytes = keepwell_types::encode(&refiled);
    assert!(!bytes.windows(32).any(|it| it == [0xc1; 32]), "no chart goes to the other patient");
    assert!(refiled.provenance(&name(9)).contains("unknown"));
    let too_large = vec![0; REFILED_BYTES_MAX + 1];
    assert!(Refiled::of(LINK, &controller, None, too_large).is_err());
}
