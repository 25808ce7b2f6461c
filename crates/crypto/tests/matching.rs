//! The oblivious function against a single key that is not shared, and against those who would misuse it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
};
use keepwell_crypto::{
    hash::digest,
    matching::{
        BlindedPoint, Blinding, Evaluation, EvaluationRefusal, Evaluator, Input, MatchingCommittee,
        MatchingShare, Programme, TokenCollector, blind, consent_digest, deal, link_commitment,
    },
    release::ShareFault,
    seal::SealingKey,
    sign::SigningKey,
    threshold::TooFewShares,
};
use keepwell_types::{
    access::Purpose,
    id::{ChainId, ChartId, CommandDigest, Digest, LinkId, MatchToken, Salt},
    limits::MATCH_POINTS_MAX,
    matching::MatchRule,
    wire::MatchAnswer,
};
use sha2::{Digest as _, Sha512};
use support::CountingRng;

const CHAIN: ChainId = ChainId([7; 32]);
const PROGRAMME: Programme<'_> =
    Programme { chain: &CHAIN, name: "regional-2026", purpose: Purpose::Treatment };
const RULE: MatchRule = MatchRule::LastFourAndBirth;

fn rng(seed: u64) -> CountingRng {
    CountingRng::new(Box::leak(format!("matching {seed}").into_boxed_str()))
}

/// Four validators of whom three evaluate.
struct World {
    committee: MatchingCommittee,
    shares: Vec<MatchingShare>,
    evaluators: Vec<Evaluator>,
    keys: Vec<SigningKey>,
    requester: SealingKey,
}

/// One command, and what its sender keeps.
struct Asked {
    evaluation: Evaluation,
    points: Vec<BlindedPoint>,
    blindings: Vec<Blinding>,
}

fn world(seed: u64) -> World {
    let mut rng = rng(seed);
    let (keys, shares) = deal(&mut rng, 4, 3);
    let committee = MatchingCommittee::new(&keys).unwrap();
    let keys: Vec<_> = (1..=4).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    let evaluators = shares
        .iter()
        .zip(&keys)
        .map(|(share, key)| Evaluator::new(committee.clone(), share.clone(), key.clone()).unwrap())
        .collect();
    World { committee, shares, evaluators, keys, requester: SealingKey::generate(&mut rng) }
}

impl World {
    fn ask(&self, seed: u64, programme: &Programme<'_>, texts: &[&str]) -> Asked {
        let mut rng = rng(seed);
        let (blindings, points): (Vec<_>, Vec<_>) = texts
            .iter()
            .map(|text| blind(&mut rng, &self.committee, programme, &Input { rule: RULE, text }))
            .unzip();
        let evaluation = Evaluation {
            chain: CHAIN,
            command: CommandDigest([seed as u8; 32]),
            requester_key: self.requester.public().digest(),
            points: points.iter().map(BlindedPoint::digest).collect(),
        };
        Asked { evaluation, points, blindings }
    }

    fn answer(&self, at: usize, asked: &Asked) -> MatchAnswer {
        let requester = self.requester.public();
        let evaluator = &self.evaluators[at];
        evaluator.evaluate(&mut rng(9), &asked.evaluation, &asked.points, &requester).unwrap()
    }

    fn collector(&self, asked: &Asked) -> TokenCollector<'_> {
        let (evaluation, points) = (&asked.evaluation, &asked.points);
        TokenCollector::new(&self.committee, evaluation, points, &self.requester).unwrap()
    }

    /// Tokens by these validators.
    fn tokens(&self, asked: Asked, validators: &[usize]) -> Result<Vec<MatchToken>, TooFewShares> {
        let mut collector = self.collector(&asked);
        for &at in validators {
            collector.add(&self.answer(at, &asked), &self.keys[at].public()).unwrap();
        }
        let evaluated = collector.finish()?;
        Ok(asked.blindings.into_iter().zip(&evaluated).map(|(it, at)| it.finish(at)).collect())
    }

    /// The key that nobody has, from all shares: P(0) of the polynomial through the first three.
    fn single_key(&self) -> Scalar {
        let share = |at: usize| {
            let bytes = self.shares[at].to_bytes();
            Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes[2..].try_into().unwrap()))
        };
        // Lagrange at 0 for 1, 2, 3: 3, −3, 1.
        let three = Scalar::from(3_u8);
        three * share(0).unwrap() - three * share(1).unwrap() + share(2).unwrap()
    }
}

/// RFC 9497, section 3.3.1, Evaluate: Finalize(input, k·HashToGroup(input)) with one key and no blinding.
fn reference(world: &World, key: &Scalar, programme: &Programme<'_>, text: &str) -> MatchToken {
    let parts: [&[u8]; 3] =
        [&programme.chain.0, programme.name.as_bytes(), programme.purpose.as_str().as_bytes()];
    let info = digest("keepwell/matching/info/v1", &parts);
    let (rule, text) = (RULE.as_str().as_bytes(), text.as_bytes());
    let mut hasher = Sha512::new();
    for part in [&b"keepwell/matching/input/v1"[..], &info.0, rule, text] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let point = RistrettoPoint::from_uniform_bytes(&hasher.finalize().into());
    let evaluated = (point * key).compress().0;
    let parts: [&[u8]; 5] = [&world.committee.id().0, &info.0, rule, text, &evaluated];
    MatchToken(digest("keepwell/matching/token/v1", &parts).0)
}

#[test]
fn tokens_are_those_of_one_key_that_nobody_has() {
    let world = world(1);
    let key = world.single_key();
    let texts = ["4321|1980-02-29", "", "Ünïcode|1980-02-29"];
    let expected: Vec<_> =
        texts.iter().map(|text| reference(&world, &key, &PROGRAMME, text)).collect();
    for (seed, validators) in (10..).zip(&[[0, 1, 2], [0, 1, 3], [1, 2, 3], [3, 0, 2]]) {
        let asked = world.ask(seed, &PROGRAMME, &texts);
        assert_eq!(world.tokens(asked, validators).unwrap(), expected, "{validators:?}");
    }
    let asked = world.ask(20, &PROGRAMME, &texts);
    assert_eq!(world.tokens(asked, &[0, 1]), Err(TooFewShares { have: 2, need: 3 }));
}

#[test]
fn a_token_of_another_programme_purpose_rule_or_consortium_is_another() {
    let world = world(1);
    let one = |seed, programme: &Programme<'_>| {
        world.tokens(world.ask(seed, programme, &["4321|1980-02-29"]), &[0, 1, 2]).unwrap()[0]
    };
    let token = one(1, &PROGRAMME);
    assert_eq!(one(2, &PROGRAMME), token, "whatever the blinding was");
    let others = [
        Programme { name: "regional-2027", ..PROGRAMME },
        Programme { purpose: Purpose::Research, ..PROGRAMME },
        Programme { chain: &ChainId([8; 32]), ..PROGRAMME },
    ];
    for (seed, other) in (3..).zip(&others) {
        assert_ne!(one(seed, other), token, "{other:?}");
    }
    let other_rule = Input { rule: MatchRule::Identifier, text: "4321|1980-02-29" };
    let (blinding, point) = blind(&mut rng(9), &world.committee, &PROGRAMME, &other_rule);
    let mut asked = world.ask(9, &PROGRAMME, &[]);
    asked.evaluation.points = vec![point.digest()];
    (asked.points, asked.blindings) = (vec![point], vec![blinding]);
    assert_ne!(world.tokens(asked, &[0, 1, 2]).unwrap()[0], token);
    let other = self::world(2);
    let asked = other.ask(1, &PROGRAMME, &["4321|1980-02-29"]);
    assert_ne!(other.tokens(asked, &[0, 1, 2]).unwrap()[0], token, "another committee");
}

#[test]
fn blinded_points_say_nothing_twice() {
    let world = world(1);
    let asked = world.ask(1, &PROGRAMME, &["same", "same"]);
    assert_ne!(asked.points[0].to_bytes(), asked.points[1].to_bytes());
    let tokens = world.tokens(asked, &[0, 1, 2]).unwrap();
    assert_eq!(tokens[0], tokens[1]);
}

#[test]
fn only_the_points_of_the_command_are_evaluated_in_its_order() {
    let world = world(1);
    let asked = world.ask(1, &PROGRAMME, &["a", "b"]);
    let other = world.ask(2, &PROGRAMME, &["c"]);
    let [a, b, c] = [asked.points[0], asked.points[1], other.points[0]];
    let requester = world.requester.public();
    for (points, expected) in [
        (vec![a, b], Ok(())),
        (vec![b, a], Err(EvaluationRefusal::Point { item: 0 })),
        (vec![a, c], Err(EvaluationRefusal::Point { item: 1 })),
        (vec![a, a], Err(EvaluationRefusal::Point { item: 1 })),
        (vec![a], Err(EvaluationRefusal::Count { given: 1, committed: 2 })),
        (vec![a, b, c], Err(EvaluationRefusal::Count { given: 3, committed: 2 })),
        (vec![], Err(EvaluationRefusal::Count { given: 0, committed: 2 })),
    ] {
        let answer =
            world.evaluators[0].evaluate(&mut rng(3), &asked.evaluation, &points, &requester);
        assert_eq!(answer.map(|_| ()), expected);
    }
    let empty = Evaluation { points: vec![], ..asked.evaluation.clone() };
    let nothing = world.evaluators[0].evaluate(&mut rng(3), &empty, &[], &requester);
    assert_eq!(nothing, Err(EvaluationRefusal::Count { given: 0, committed: 0 }));
    let stranger = SealingKey::generate(&mut rng(4));
    let refused = world.evaluators[0].evaluate(
        &mut rng(3),
        &asked.evaluation,
        &asked.points,
        &stranger.public(),
    );
    assert_eq!(refused, Err(EvaluationRefusal::RequesterKey));
    let collector =
        TokenCollector::new(&world.committee, &asked.evaluation, &asked.points, &stranger);
    assert_eq!(collector.err(), Some(EvaluationRefusal::RequesterKey));
}

#[test]
fn what_is_no_point_or_the_identity_is_no_blinded_point() {
    assert!(BlindedPoint::from_bytes(&Digest([0; 32])).is_none(), "the identity");
    assert!(BlindedPoint::from_bytes(&Digest([0xff; 32])).is_none());
    let odd = Digest([1; 32]);
    assert!(CompressedRistretto(odd.0).decompress().is_none());
    assert!(BlindedPoint::from_bytes(&odd).is_none());
}

/// Each fault that an answer can have, and whom it names.
#[test]
fn a_lying_validator_is_named_and_dropped() {
    let world = world(1);
    let asked = world.ask(1, &PROGRAMME, &["a", "b"]);
    let other = world.ask(2, &PROGRAMME, &["a", "b"]);
    let liar =
        Evaluator::new(world.committee.clone(), world.shares[1].clone(), world.keys[0].clone())
            .unwrap();
    let requester = world.requester.public();
    let of_another_share =
        liar.evaluate(&mut rng(5), &asked.evaluation, &asked.points, &requester).unwrap();
    let renamed = MatchAnswer { share: 1, ..of_another_share.clone() };
    let flipped = {
        let mut answer = world.answer(0, &asked);
        answer.signature.0[5] ^= 1;
        answer
    };
    // The validator signs what it did not multiply: a world with other shares, the same release keys.
    let foreign = self::world(3);
    let wrong = {
        let evaluator = Evaluator::new(
            foreign.committee.clone(),
            foreign.shares[0].clone(),
            world.keys[0].clone(),
        );
        let evaluator = evaluator.unwrap();
        evaluator.evaluate(&mut rng(6), &asked.evaluation, &asked.points, &requester).unwrap()
    };
    for (what, answer, expected) in [
        ("another request", world.answer(0, &other), ShareFault::Unsigned { share: 1 }),
        ("a flipped bit", flipped, ShareFault::Unsigned { share: 1 }),
        ("a renamed share", renamed, ShareFault::Unsigned { share: 1 }),
        ("another's share", of_another_share, ShareFault::Unsigned { share: 2 }),
        ("another key", wrong, ShareFault::Proof { share: 1 }),
    ] {
        let mut collector = world.collector(&asked);
        let key = if answer.share == 2 { &world.keys[1] } else { &world.keys[0] };
        assert_eq!(collector.add(&answer, &key.public()), Err(expected), "{what}");
        // Whoever is left serves.
        for at in 1..4 {
            collector.add(&world.answer(at, &asked), &world.keys[at].public()).unwrap();
        }
        assert!(collector.is_complete() && collector.finish().is_ok(), "{what}");
    }
    let culprit = ShareFault::Proof { share: 1 }.culprit();
    assert_eq!(culprit, Some(1));

    let mut collector = world.collector(&asked);
    let answer = world.answer(0, &asked);
    collector.add(&answer, &world.keys[0].public()).unwrap();
    let again = collector.add(&answer, &world.keys[0].public());
    assert_eq!(again, Err(ShareFault::Duplicate { share: 1 }), "a replay");
}

#[test]
fn a_share_of_another_committee_evaluates_nothing() {
    let (world, other) = (world(1), world(2));
    let key = world.keys[0].clone();
    let evaluator = Evaluator::new(world.committee.clone(), other.shares[0].clone(), key);
    assert_eq!(evaluator.unwrap_err().share, 1);
    let share = &world.shares[2];
    let again = MatchingShare::from_bytes(&*share.to_bytes()).unwrap();
    assert!(again.is_of(&world.committee) && again.index() == 3);
    assert!(!format!("{share:?}").contains(&hex::encode(&share.to_bytes()[2..])));
}

#[test]
fn as_many_points_as_a_command_names_fit_an_answer() {
    let world = world(1);
    let texts: Vec<_> = (0..MATCH_POINTS_MAX).map(|at| at.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let asked = world.ask(1, &PROGRAMME, &texts);
    let tokens = world.tokens(asked, &[0, 1, 2]).unwrap();
    assert_eq!(tokens.len(), MATCH_POINTS_MAX);
}

#[test]
fn commitments_of_links_are_salted_and_of_one_side() {
    let (link, chart, salt) = (LinkId([1; 16]), ChartId([2; 32]), Salt([3; 32]));
    let commitment = link_commitment(&CHAIN, &link, &chart, &salt);
    for other in [
        link_commitment(&ChainId([9; 32]), &link, &chart, &salt),
        link_commitment(&CHAIN, &LinkId([9; 16]), &chart, &salt),
        link_commitment(&CHAIN, &link, &ChartId([9; 32]), &salt),
        link_commitment(&CHAIN, &link, &chart, &Salt([9; 32])),
    ] {
        assert_ne!(commitment, other);
    }
    assert_ne!(consent_digest(&salt, b"yes"), consent_digest(&Salt([4; 32]), b"yes"));
    assert_ne!(consent_digest(&salt, b"yes"), consent_digest(&salt, b"no"));
}
