//! The matching service: this validator's part in evaluations that the ledger has accepted.
//!
//! ```text
//!  request ─> newest block fresh? ─> match.evaluate at its place, accepted, of the asker
//!                                       │ (waits up to 2 s for it)
//!                                       v
//!            ledger: young, asker in standing, on the newest state ─> its very points ─> partials
//! ```
//!
//! # Invariants
//!
//! * Everything is checked on this node's own newest state, as for a release.
//! * Only the points that the command names are multiplied, and the answer is sealed to the key that it
//!   names. Asking again gives the same points again, and nothing needs to be remembered for it.
//!
//! Not here: what the partials are (`keepwell_crypto::matching`), quotas (`keepwell_ledger::matching`).

use std::sync::Arc;

use axum::http::StatusCode;
use keepwell_crypto::{
    matching::{BlindedPoint, Evaluation, EvaluationRefusal as PointsRefusal},
    seal::SealingPublic,
};
use keepwell_engine::{
    core::{Core, Tip},
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::{
    View,
    matching::{EvaluationHalt, EvaluationRefusal, evaluation_check},
};
use keepwell_types::{
    command::{Entry, Payload},
    id::{Location, MemberId},
    matching::MatchEvaluate,
    member::Party,
    outcome::Outcome,
    time::BlockTime,
    wire::{MatchAnswer, MatchRequest},
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use crate::{
    api::error::Fault,
    clock::{Clock, TIP_AGE_MS_MAX},
    random::rng,
    release::WAIT,
    shares::Watching,
};

/// How often a check is done again because a block came in between.
const CHECKS_MAX: usize = 8;

/// Why this validator evaluates nothing.
#[derive(Debug, Error)]
pub enum MatchingError {
    /// The consortium has no matching.
    #[error("this consortium has no matching: its genesis file names no committee for it")]
    NoMatching,
    /// The command's block was not applied here in time.
    #[error("this validator is behind: it does not have the evaluation yet; ask again in a second")]
    Behind,
    /// The newest block is old.
    #[error("this validator is cut off: its newest block is older than {} s; ask others", TIP_AGE_MS_MAX / 1_000)]
    CutOff,
    /// No share.
    #[error("this validator has no share of the key for matching now; ask others")]
    NoShare,
    /// No accepted evaluation stands there.
    #[error("no accepted evaluation stands there; name the place of yours")]
    NoEvaluation,
    /// Someone else's evaluation.
    #[error("the evaluation is another party's; ask with the key of whoever signed it")]
    OtherRequester,
    /// Not an X-Wing key.
    #[error("the requester key is not an X-Wing public key")]
    RequesterKey,
    /// Not a point.
    #[error("point {item} is not one of the group, or is its identity; blind it again")]
    Point {
        /// Its place in the request, counted from 0.
        item: usize,
    },
    /// The ledger says no.
    #[error("{0}")]
    Refused(#[from] EvaluationRefusal),
    /// The points or the key are not those of the command.
    #[error("{0}")]
    Points(#[from] PointsRefusal),
    /// This node's own state could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

impl MatchingError {
    /// For programs, and for the metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoMatching => "no_matching",
            Self::Behind => "behind",
            Self::CutOff => "cut_off",
            Self::NoShare => "no_share",
            Self::NoEvaluation => "no_evaluation",
            Self::OtherRequester => "other_requester",
            Self::RequesterKey => "malformed_key",
            Self::Point { .. } => "malformed_point",
            Self::Refused(EvaluationRefusal::TooOld { .. }) => "too_old",
            Self::Refused(EvaluationRefusal::Requester(_)) => "requester_barred",
            Self::Points(PointsRefusal::Count { .. }) => "count",
            Self::Points(PointsRefusal::RequesterKey) => "other_key",
            Self::Points(PointsRefusal::Point { .. }) => "other_point",
            Self::Read(_) => "storage",
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Behind | Self::CutOff | Self::NoShare | Self::Read(_) => Fault::Node,
            Self::NoMatching | Self::NoEvaluation | Self::Refused(_) => Fault::Ledger,
            Self::OtherRequester | Self::RequesterKey | Self::Point { .. } | Self::Points(_) => {
                Fault::Client
            }
        }
    }

    /// How it is answered.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Behind => StatusCode::TOO_EARLY,
            Self::CutOff | Self::NoShare | Self::Read(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoMatching | Self::NoEvaluation => StatusCode::NOT_FOUND,
            Self::OtherRequester | Self::Refused(_) => StatusCode::FORBIDDEN,
            Self::RequesterKey | Self::Point { .. } => StatusCode::BAD_REQUEST,
            Self::Points(PointsRefusal::Count { .. }) => StatusCode::BAD_REQUEST,
            Self::Points(_) => StatusCode::FORBIDDEN,
        }
    }
}

/// A `match.evaluate` that was accepted.
struct Accepted {
    member: MemberId,
    asked: MatchEvaluate,
    outcome: Outcome,
}

/// This validator's matching service.
#[derive(Clone)]
pub struct MatchingService {
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    shares: Watching,
    clock: Clock,
}

impl MatchingService {
    /// Evaluates with the share that serves, if the consortium has matching, for what is in this state.
    pub const fn new(
        core: Arc<Core>,
        reader: Arc<dyn Reader>,
        shares: Watching,
        clock: Clock,
    ) -> Self {
        Self { core, reader, shares, clock }
    }

    /// Evaluates what `party` asks for, if its command permits it now.
    #[tracing::instrument(name = "evaluate", skip_all)]
    pub async fn evaluate(
        &self,
        party: Party,
        request: MatchRequest,
    ) -> Result<MatchAnswer, MatchingError> {
        if self.core.genesis.matching.is_none() {
            return Err(MatchingError::NoMatching);
        }
        let requester = SealingPublic::from_bytes(&request.requester_key)
            .map_err(|_| MatchingError::RequesterKey)?;
        let points = points(&request)?;
        let accepted = self.wait_for(request.evaluation).await?;
        if party != Party::Member(accepted.member) {
            return Err(MatchingError::OtherRequester);
        }
        self.check_on_newest_state(accepted.member, accepted.outcome.time).await?;
        let evaluation = Evaluation {
            chain: self.core.chain,
            command: accepted.outcome.command,
            requester_key: accepted.asked.requester_key,
            points: accepted.asked.points.into_vec(),
        };
        let serving = self.shares.now(WAIT).await.ok_or(MatchingError::Behind)?;
        let evaluator = serving.evaluator.ok_or(MatchingError::NoShare)?;
        let answer = tokio::task::spawn_blocking(move || {
            evaluator.evaluate(&mut rng(), &evaluation, &points, &requester)
        });
        Ok(answer.await.map_err(|_| ReadError::Storage)??)
    }

    /// The evaluation, once it is applied here.
    async fn wait_for(&self, at: Location) -> Result<Accepted, MatchingError> {
        let deadline = Instant::now() + WAIT;
        let mut tip = self.core.watch_tip();
        loop {
            let newest = self.fresh_tip()?;
            tip.mark_unchanged();
            if at.height <= newest.height() {
                match self.accepted(at).await {
                    Err(MatchingError::Read(ReadError::NotHere)) => {}
                    found => return found,
                }
            }
            match timeout_at(deadline, tip.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(MatchingError::Behind),
            }
        }
    }

    /// The accepted evaluation at a place of the chain.
    async fn accepted(&self, at: Location) -> Result<Accepted, MatchingError> {
        let line = self.core.index.block(at.height).map_err(|_| ReadError::Storage)?;
        let outcomes = line.ok_or(ReadError::NotHere)?.outcomes.into_vec();
        let outcome = outcomes.into_iter().nth(at.index as usize);
        let outcome = outcome.ok_or(MatchingError::NoEvaluation)?;
        let entry = entry_at(&self.reader.block(at.height).await?, at.index)?;
        let Entry::Signed(signed) = entry else { return Err(MatchingError::NoEvaluation) };
        match (signed.command.payload, signed.command.signers.first()) {
            (Payload::MatchEvaluate(asked), Some(Party::Member(member)))
                if outcome.verdict.is_accepted() =>
            {
                Ok(Accepted { member: *member, asked, outcome })
            }
            _ => Err(MatchingError::NoEvaluation),
        }
    }

    fn fresh_tip(&self) -> Result<Tip, MatchingError> {
        let tip = self.core.tip();
        if self.clock.is_fresh(tip.time()) { Ok(tip) } else { Err(MatchingError::CutOff) }
    }

    async fn check_on_newest_state(
        &self,
        member: MemberId,
        accepted: BlockTime,
    ) -> Result<(), MatchingError> {
        for _ in 0..CHECKS_MAX {
            let tip = self.fresh_tip()?;
            self.check(member, accepted, &tip).await?;
            if self.core.tip().id == tip.id {
                return Ok(());
            }
        }
        Err(MatchingError::Behind)
    }

    async fn check(
        &self,
        member: MemberId,
        accepted: BlockTime,
        tip: &Tip,
    ) -> Result<(), MatchingError> {
        let mut view = View::new();
        loop {
            match evaluation_check(&view, tip.time(), member, accepted) {
                Ok(()) => return Ok(()),
                Err(EvaluationHalt::Refused(refusal)) => return Err(refusal.into()),
                Err(EvaluationHalt::Lacks(lacks)) => {
                    let value = self.reader.state(&[lacks.0]).await?.pop().flatten();
                    view.load(lacks.0, value);
                }
            }
        }
    }
}

fn points(request: &MatchRequest) -> Result<Vec<BlindedPoint>, MatchingError> {
    let point =
        |(item, bytes)| BlindedPoint::from_bytes(bytes).ok_or(MatchingError::Point { item });
    request.points.iter().enumerate().map(point).collect()
}
