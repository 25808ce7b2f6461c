//! Tokens that agree and tokens that must not, and validators that lie.

use keepwell_ledger::state::{FormerKey, Member};
use keepwell_types::{
    id::{CommandDigest, Height},
    time::BlockTime,
};

use super::*;
use crate::{
    letter::Letter,
    testing::{Answers, World, organisation, serve},
};

const NOW: BlockTime = BlockTime(1_000);
const SELF: MemberId = MemberId([1; 16]);
const OTHER: MemberId = MemberId([2; 16]);

fn programme(name: &str) -> ProgrammeOf {
    ProgrammeOf {
        chain: ChainId([7; 32]),
        name: ProgrammeName::from_string(name.into()).unwrap(),
        purpose: Purpose::Treatment,
    }
}

/// `i1 n7`: tokens by the first letters of rules, with numbers that stand for keys.
fn tokens(text: &str) -> Vec<RuledToken> {
    let token = |word: &str| RuledToken {
        rule: match &word[..1] {
            "i" => MatchRule::Identifier,
            "l" => MatchRule::LastFourAndBirth,
            "s" => MatchRule::SoundAndBirth,
            _ => MatchRule::NameBirthAndPostal,
        },
        token: MatchToken([word[1..].parse().unwrap(); 32]),
    };
    text.split_whitespace().map(token).collect()
}

fn book(programme: ProgrammeOf, lines: &[(u8, &str)]) -> TokenBook {
    let mut book = TokenBook::new(programme);
    for (chart, text) in lines {
        book.put(ChartId([*chart; 32]), tokens(text)).unwrap();
    }
    book
}

#[test]
fn persons_are_found_by_the_rules_that_agree() {
    let ours = book(programme("p"), &[(1, "i1 l1 s1 n1"), (2, "i2 s2"), (3, "s1"), (4, "")]);
    let mut theirs = book(programme("p"), &[(11, "i1 l1 s1 n9"), (12, "s2"), (13, "n7"), (14, "")]);
    let sheet = theirs.sheet(SELF).unwrap();
    let found: Vec<_> = ours
        .compare(&sheet)
        .unwrap()
        .iter()
        .map(|it| {
            let theirs = theirs.chart_of(it.subject, SELF).unwrap();
            (it.chart.0[0], theirs.0[0], it.rules.len())
        })
        .collect();
    assert_eq!(found[0], (1, 11, 3));
    let mut rest = found[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, [(2, 12, 1), (3, 11, 1)]);
    // The same number under another rule is another key.
    let other = book(programme("p"), &[(1, "l9")]).sheet(SELF).unwrap();
    assert!(book(programme("p"), &[(1, "i9")]).compare(&other).unwrap().is_empty());
}

#[test]
fn tokens_of_another_programme_are_not_compared() {
    let ours = book(programme("p"), &[(1, "i1")]);
    let purpose = ProgrammeOf { purpose: Purpose::Research, ..programme("p") };
    let chain = ProgrammeOf { chain: ChainId([8; 32]), ..programme("p") };
    for other in [programme("q"), purpose, chain] {
        let sheet = book(other, &[(1, "i1")]).sheet(SELF).unwrap();
        assert!(matches!(ours.compare(&sheet), Err(UsageError::OtherProgramme { .. })));
    }
}

#[test]
fn a_sheet_names_no_chart_and_calls_nobody_the_same_twice() {
    let mut ours = book(programme("p"), &[(0xa1, "i1"), (0xa2, "i2")]);
    let (first, second) = (ours.sheet(SELF).unwrap(), ours.sheet(OTHER).unwrap());
    let bytes = keepwell_types::encode(&first);
    assert!(!bytes.windows(32).any(|it| it == [0xa1; 32] || it == [0xa2; 32]));
    for (one, two) in first.lines.iter().zip(&second.lines) {
        assert_ne!(one.subject, two.subject);
    }
    let subject = first.lines[0].subject;
    assert!(ours.chart_of(subject, SELF).is_some());
    assert_eq!(ours.chart_of(subject, OTHER), None, "a subject is of one sheet");
    ours.sheet(SELF).unwrap();
    assert_eq!(ours.chart_of(subject, SELF), None, "a new sheet replaces the one before");
    assert_eq!(ours.shown.len(), 4);
}

#[test]
fn a_patient_is_in_a_book_once_with_as_many_tokens_as_there_may_be() {
    let mut ours = book(programme("p"), &[(1, "i1 i1 l1"), (1, "i3")]);
    assert_eq!(ours.lines.len(), 1);
    assert_eq!(ours.lines[0].tokens.to_vec(), tokens("i3"));
    let many: Vec<_> = (0..20).map(|at| tokens(&format!("i{at}"))[0]).collect();
    ours.put(ChartId([2; 32]), many).unwrap();
    assert_eq!(ours.lines[1].tokens.len(), TOKENS_MAX);
}

#[test]
fn a_book_opens_for_its_member_and_for_one_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.book");
    let member = || MemberIdentity::generate(ChainId([7; 32]), organisation(0));
    let (owner, stranger) = (member(), member());
    let mut kept = KeptBook::open(&path, &owner).unwrap();
    assert!(kept.book.is_none());
    kept.book = Some(book(programme("p"), &[(1, "i1")]));
    kept.save().unwrap();
    assert!(KeptBook::open(&path, &owner).is_err(), "it is held");
    drop(kept);
    assert!(KeptBook::open(&path, &stranger).is_err());
    let again = KeptBook::open(&path, &owner).unwrap();
    assert_eq!(again.book, Some(book(programme("p"), &[(1, "i1")])));
    let bytes = std::fs::read(&path).unwrap();
    assert!(
        !bytes.windows(32).any(|it| it == [1; 32]),
        "neither charts nor tokens are in the open"
    );
}

#[test]
fn a_letter_opens_for_its_receiver_and_its_use() {
    let chain = ChainId([7; 32]);
    let member = |place| MemberIdentity::generate(chain, organisation(place));
    let (writer, reader, stranger) = (member(0), member(1), member(2));
    let entry = |identity: &MemberIdentity| Member {
        organisation: identity.organisation(),
        signing: identity.signing_public(),
        sealing: identity.sealing_digest(),
        roles: Default::default(),
        suspended: false,
        groups: List::new(),
        former: None,
    };
    let sheet = book(programme("p"), &[(1, "i1")]).sheet(reader.member()).unwrap();
    let to = (reader.member(), &reader.sealing_public());
    let bytes = Letter::write(&writer, to, SHEET_DOMAIN, &sheet).unwrap();

    let letter = Letter::open(&reader, SHEET_DOMAIN, &bytes).unwrap();
    let read: TokenSheet = letter.read(&chain, SHEET_DOMAIN, &entry(&writer), NOW).unwrap();
    assert_eq!(read, sheet);
    let forged = letter.read::<TokenSheet>(&chain, SHEET_DOMAIN, &entry(&stranger), NOW);
    assert!(matches!(forged, Err(UsageError::Letter)), "signed by someone else");
    let elsewhere = ChainId([8; 32]);
    assert!(letter.read::<TokenSheet>(&elsewhere, SHEET_DOMAIN, &entry(&writer), NOW).is_err());
    // Whoever wrote it has another key by now: what was on its way is read while the former one counts.
    let former = FormerKey { signing: writer.signing_public(), until: NOW.plus_ms(1) };
    let renewed = Member { former: Some(former), ..entry(&stranger) };
    let read: TokenSheet = letter.read(&chain, SHEET_DOMAIN, &renewed, NOW).unwrap();
    assert_eq!(read, sheet);
    let late = letter.read::<TokenSheet>(&chain, SHEET_DOMAIN, &renewed, NOW.plus_ms(1));
    assert!(matches!(late, Err(UsageError::Letter)), "the former key counts no more");

    assert!(Letter::open(&stranger, SHEET_DOMAIN, &bytes).is_err());
    assert!(Letter::open(&reader, "keepwell/client/link-letter/v1", &bytes).is_err());
    for at in [0, 20, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Letter::open(&reader, SHEET_DOMAIN, &changed).is_err(), "byte {at}");
    }
    // To the right key, in another's name.
    let to = (stranger.member(), &reader.sealing_public());
    let bytes = Letter::write(&writer, to, SHEET_DOMAIN, &sheet).unwrap();
    assert!(Letter::open(&reader, SHEET_DOMAIN, &bytes).is_err());
}

/// One evaluation, and four validators that answer it.
struct Asked {
    world: World,
    requester: SealingKey,
    evaluation: Evaluation,
    points: Vec<BlindedPoint>,
    actor: Actor,
}

const AT: Location = Location { height: Height(9), index: 2 };

impl Asked {
    fn new() -> Self {
        let world = World::new("matching");
        let requester = SealingKey::generate(&mut rng());
        let chain = world.chain();
        let named = Programme { chain: &chain, name: "p", purpose: Purpose::Treatment };
        let committee = world.consortium.matching().unwrap();
        let input = Input { rule: MatchRule::Identifier, text: "a|1" };
        let points = vec![blind(&mut rng(), committee, &named, &input).1];
        let evaluation = Evaluation {
            chain,
            command: CommandDigest([5; 32]),
            requester_key: requester.public().digest(),
            points: points.iter().map(BlindedPoint::digest).collect(),
        };
        let identity = MemberIdentity::generate(chain, organisation(0));
        Self { world, requester, evaluation, points, actor: identity.actor() }
    }

    fn answer(&self, place: usize) -> MatchAnswer {
        self.answer_to(place, &self.evaluation)
    }

    fn answer_to(&self, place: usize, evaluation: &Evaluation) -> MatchAnswer {
        let (evaluator, requester) = (self.world.evaluator(place), self.requester.public());
        evaluator.evaluate(&mut rng(), evaluation, &self.points, &requester).unwrap()
    }

    /// Collects from validators that answer these bytes.
    async fn collect(&self, answers: [Vec<u8>; 4]) -> Result<Vec<ValidatorFault>, ReleaseError> {
        let mut urls = Vec::new();
        for answer in answers {
            urls.push(serve(Answers::from([("POST /v1/match".to_owned(), answer)])).await);
        }
        let client = self.world.client(urls);
        let batch = Batch {
            actor: &self.actor,
            requester: self.requester.clone(),
            points: self.points.clone(),
        };
        let (points, faults) =
            client.collect_points(&batch, (&self.world.consortium, &self.evaluation), AT).await?;
        assert_eq!(points.len(), self.points.len());
        Ok(faults)
    }
}

fn encoded(answer: &MatchAnswer) -> Vec<u8> {
    keepwell_types::encode(answer)
}

#[tokio::test]
async fn a_lying_validator_is_named_and_the_others_evaluate() {
    let asked = Asked::new();
    let other = Evaluation { command: CommandDigest([6; 32]), ..asked.evaluation.clone() };
    // What another consortium's share makes, under this validator's own signature: a proven lie.
    let foreign = World::new("elsewhere");
    let lie = {
        let keys = foreign.consortium.genesis().matching.clone().unwrap();
        let committee = keepwell_crypto::matching::MatchingCommittee::new(&keys).unwrap();
        let share = foreign.matching_share(0);
        let key = asked.world.release_key(0).clone();
        let evaluator = keepwell_crypto::matching::Evaluator::new(committee, share, key).unwrap();
        let requester = asked.requester.public();
        evaluator.evaluate(&mut rng(), &asked.evaluation, &asked.points, &requester).unwrap()
    };
    let [one, two, three] = [1, 2, 3].map(|place| encoded(&asked.answer(place)));
    for (what, answer, blamed) in [
        ("a lie under its own signature", encoded(&lie), true),
        ("an answer to another command", encoded(&asked.answer_to(0, &other)), false),
        ("another validator's answer", one.clone(), false),
        ("garbage", b"garbage".to_vec(), false),
        ("nothing", Vec::new(), false),
    ] {
        let answers = [answer.clone(), one.clone(), two.clone(), Vec::new()];
        match asked.collect(answers).await {
            Err(ReleaseError::TooFew { shares, faults }) => {
                assert_eq!((shares.have, shares.need), (2, 3), "{what}");
                let fault = faults.iter().find(|it| it.organisation == organisation(0)).unwrap();
                assert_eq!(fault.is_proven(), blamed, "{what}: {fault}");
            }
            other => panic!("{what}: {other:?}"),
        }
        let faults = asked.collect([answer, one.clone(), two.clone(), three.clone()]).await;
        for fault in faults.unwrap() {
            assert_eq!(fault.organisation, organisation(0), "{what}");
        }
    }
}
