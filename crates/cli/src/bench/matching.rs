//! `keepwell bench matching`: what one evaluation of matching costs.
//!
//! What is timed is the work of four validators on one command of one point: hashing it, multiplying it, the
//! proof, the seal and the signature; on one core, one after the other, without a network. The client's part
//! (blinding, opening three answers, checking their proofs, taking the blinding away) is a line of its own, and
//! so is a command of as many points as one may have.

use std::time::{Duration, Instant};

use clap::Args;
use keepwell_crypto::{
    matching::{
        BlindedPoint, Blinding, Evaluation, Evaluator, Input, MatchingCommittee, Programme,
        TokenCollector, blind, deal,
    },
    seal::SealingKey,
    sign::SigningKey,
};
use keepwell_node::random::rng;
use keepwell_types::{
    access::Purpose,
    id::{ChainId, CommandDigest},
    limits::MATCH_POINTS_MAX,
    matching::MatchRule,
    wire::MatchAnswer,
};
use serde::Serialize;

use super::{
    BenchError,
    figure::{Figure, Lines, median},
};

const VALIDATORS: u16 = 4;
const CHAIN: ChainId = ChainId([7; 32]);

/// Evaluate blinded points for matching: CPU of four validators
#[derive(Args, Clone, Debug)]
pub(super) struct Matching {
    /// How often
    #[arg(long, default_value_t = 200)]
    rounds: usize,
}

#[derive(Debug, Serialize)]
struct MatchingLine {
    validators: u16,
    /// One point: all validators.
    one_ms: f64,
    /// One point: the client.
    one_client_ms: f64,
    /// A full command, for each of its points: all validators.
    full_ms_per_point: f64,
    /// A full command, for each of its points: the client.
    full_client_ms_per_point: f64,
}

/// A committee whose keys are all here.
struct Committee {
    keys: MatchingCommittee,
    evaluators: Vec<Evaluator>,
    release: Vec<SigningKey>,
}

impl Committee {
    fn new() -> Self {
        let (keys, shares) = deal(&mut rng(), VALIDATORS, VALIDATORS - 1);
        let keys = MatchingCommittee::new(&keys).expect("dealt keys are a committee");
        let release: Vec<_> =
            (1..=VALIDATORS as u8).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
        let evaluators = shares
            .into_iter()
            .zip(&release)
            .map(|(share, key)| Evaluator::new(keys.clone(), share, key.clone()))
            .collect::<Result<_, _>>()
            .expect("dealt shares are of their committee");
        Self { keys, evaluators, release }
    }

    /// What the validators and the client took for one command of `points` points, in milliseconds.
    fn round(&self, points: usize) -> (f64, f64) {
        let requester = SealingKey::generate(&mut rng());
        let programme = Programme { chain: &CHAIN, name: "bench", purpose: Purpose::Treatment };
        let texts: Vec<_> = (0..points).map(|at| format!("{at}|1980-02-29")).collect();
        let begun = Instant::now();
        let (blindings, blinded): (Vec<Blinding>, Vec<BlindedPoint>) = texts
            .iter()
            .map(|text| Input { rule: MatchRule::LastFourAndBirth, text })
            .map(|input| blind(&mut rng(), &self.keys, &programme, &input))
            .unzip();
        let evaluation = Evaluation {
            chain: CHAIN,
            command: CommandDigest([5; 32]),
            requester_key: requester.public().digest(),
            points: blinded.iter().map(BlindedPoint::digest).collect(),
        };
        let blinding_took = begun.elapsed();

        let begun = Instant::now();
        let public = requester.public();
        let answers: Vec<MatchAnswer> = self
            .evaluators
            .iter()
            .map(|it| it.evaluate(&mut rng(), &evaluation, &blinded, &public))
            .collect::<Result<_, _>>()
            .expect("the points are those of the evaluation");
        let validators_took = begun.elapsed();

        let begun = Instant::now();
        let mut collector = TokenCollector::new(&self.keys, &evaluation, &blinded, &requester)
            .expect("the points are those of the evaluation");
        for (answer, key) in answers.iter().zip(&self.release).take(usize::from(VALIDATORS) - 1) {
            collector.add(answer, &key.public()).expect("honest validators answer well");
        }
        let evaluated = collector.finish().expect("enough have answered");
        for (blinding, point) in blindings.into_iter().zip(&evaluated) {
            std::hint::black_box(blinding.finish(point));
        }
        (ms(validators_took), ms(blinding_took + begun.elapsed()))
    }

    /// The medians of many rounds.
    fn measure(&self, points: usize, rounds: usize) -> (f64, f64) {
        let (validators, client): (Vec<_>, Vec<_>) =
            (0..rounds).map(|_| self.round(points)).unzip();
        (median(&validators).unwrap_or_default(), median(&client).unwrap_or_default())
    }
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}

impl Matching {
    /// As often as usual.
    pub(super) const USUAL: Self = Self { rounds: 200 };

    pub(super) fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let committee = Committee::new();
        let (one_ms, one_client_ms) = committee.measure(1, self.rounds);
        let (full, full_client) = committee.measure(MATCH_POINTS_MAX, self.rounds.div_ceil(20));
        let line = MatchingLine {
            validators: VALIDATORS,
            one_ms,
            one_client_ms,
            full_ms_per_point: full / MATCH_POINTS_MAX as f64,
            full_client_ms_per_point: full_client / MATCH_POINTS_MAX as f64,
        };
        lines.put("matching", &line)?;
        lines.figure(Figure::MatchingMs, one_ms)
    }
}
