//! Matching: tokens of one's own patients from the validators, shown to another organisation, compared.
//!
//! ```text
//! keys of patients ── blinded ──> match.evaluate {digests} ──> ledger
//!                                 all validators at once ──> t good answers ──> tokens ──> book
//! book ── without charts, signed, sealed ──> member of the other organisation
//! own book + their sheet ──> candidates: own chart, their subject, by which rules
//! ```
//!
//! # Invariants
//!
//! * Nobody learns a key: validators see blinded points, the other organisation sees tokens, and what it has
//!   no equal token for says nothing to it but how many persons there are.
//! * A book, which says whose tokens are whose, is sealed to its member. A sheet names no chart, and calls
//!   the same person something else in each.
//! * Tokens are compared within one consortium, programme and purpose only.
//! * A validator whose signed answer is wrong is named and left out.
//!
//! Not here: how keys are made (`keepwell-fhir`), and what two organisations make of a candidate
//! ([`crate::link`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use keepwell_crypto::{
    matching::{
        BlindedPoint, Blinding, EvaluatedPoint, Evaluation, Input, Programme, TokenCollector, blind,
    },
    seal::SealingKey,
};
use keepwell_ledger::state::{Key, MatchQuota, Value};
use keepwell_types::{
    access::Purpose,
    command::Payload,
    encoding::{Blob, List},
    id::{
        ChainId, ChartId, Location, MatchSubject, MatchToken, MemberId, OrganisationId, PublicKey,
    },
    limits::MATCH_POINTS_MAX,
    matching::{MatchEvaluate, MatchRule, ProgrammeName},
    wire::{MatchAnswer, MatchRequest, SEALED_EVALUATION_BYTES_MAX},
};
use minicbor::{Decode, Encode};
use reqwest::Method;
use tokio::time::sleep;

use crate::{
    Client, Consortium,
    client::{Draft, random, rng},
    error::{ClientError, ReleaseError, UsageError, ValidatorFault, ValidatorProblem},
    identity::{Actor, BookFile, FileError, MemberIdentity},
    letter::Writer,
    node::Ask,
};

/// Persons in one book or sheet.
pub const PERSONS_MAX: usize = 20_000;
/// Tokens of one person: see `keepwell_fhir::matching::KEYS_MAX`.
pub const TOKENS_MAX: usize = 8;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = SEALED_EVALUATION_BYTES_MAX + 2_048;
/// How often a validator that is behind is asked.
const TRIES: usize = 4;
/// How long between.
const PAUSE: Duration = Duration::from_millis(300);

const BOOK_DOMAIN: &str = "keepwell/client/token-book/v1";
const SHEET_DOMAIN: &str = "keepwell/client/token-sheet/v1";

/// A programme, as whoever takes part in it writes it.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ProgrammeOf {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// Its name.
    #[n(1)]
    pub name: ProgrammeName,
    /// What for.
    #[n(2)]
    pub purpose: Purpose,
}

impl std::fmt::Display for ProgrammeOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {} in consortium {}", self.name.as_str(), self.purpose, self.chain)
    }
}

/// One token of one person.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Ord, PartialEq, PartialOrd)]
pub struct RuledToken {
    /// By which rule.
    #[n(0)]
    pub rule: MatchRule,
    /// The token.
    #[n(1)]
    pub token: MatchToken,
}

/// The tokens of one of one's own patients.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct BookLine {
    /// Whose.
    #[n(0)]
    pub chart: ChartId,
    /// In ascending order.
    #[n(1)]
    pub tokens: List<RuledToken, TOKENS_MAX>,
}

/// The tokens of one's own patients, in one programme.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct TokenBook {
    /// Of which programme.
    #[n(0)]
    pub programme: ProgrammeOf,
    /// The patients.
    #[n(1)]
    pub lines: List<BookLine, PERSONS_MAX>,
    /// What they were called in sheets that were shown.
    #[n(2)]
    pub shown: List<Shown, PERSONS_MAX>,
}

/// What a patient is called in a sheet that was shown.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Shown {
    /// The name in the sheet.
    #[n(0)]
    pub subject: MatchSubject,
    /// Whose it is.
    #[n(1)]
    pub chart: ChartId,
    /// To whom the sheet was written.
    #[n(2)]
    pub to: MemberId,
}

/// The tokens of a person whom one does not know, as another organisation shows them.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SheetLine {
    /// What the other organisation calls the person in this sheet.
    #[n(0)]
    pub subject: MatchSubject,
    /// In ascending order.
    #[n(1)]
    pub tokens: List<RuledToken, TOKENS_MAX>,
}

/// Tokens as they are shown to another organisation.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct TokenSheet {
    /// Of which programme.
    #[n(0)]
    pub programme: ProgrammeOf,
    /// In ascending order of subjects, which are random.
    #[n(1)]
    pub lines: List<SheetLine, PERSONS_MAX>,
}

/// Two charts that may be of one person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// One's own.
    pub chart: ChartId,
    /// The other organisation's.
    pub subject: MatchSubject,
    /// By which rules they agree.
    pub rules: BTreeSet<MatchRule>,
}

impl TokenBook {
    /// Of a programme, with nobody in it.
    pub const fn new(programme: ProgrammeOf) -> Self {
        Self { programme, lines: List::new(), shown: List::new() }
    }

    /// Puts the tokens of a patient in, in place of earlier ones.
    pub fn put(&mut self, chart: ChartId, mut tokens: Vec<RuledToken>) -> Result<(), UsageError> {
        tokens.sort();
        tokens.dedup();
        tokens.truncate(TOKENS_MAX);
        let tokens = List::from_vec(tokens).expect("it was cut to size");
        let mut lines: Vec<_> = self.lines.iter().filter(|it| it.chart != chart).cloned().collect();
        lines.push(BookLine { chart, tokens });
        let full = |_| UsageError::TooManyPersons { max: PERSONS_MAX };
        self.lines = List::from_vec(lines).map_err(full)?;
        Ok(())
    }

    /// A sheet to show to `to`. The book remembers who is called what in it, and forgets earlier sheets to the
    /// same member.
    pub fn sheet(&mut self, to: MemberId) -> Result<TokenSheet, UsageError> {
        let full = |_| UsageError::TooManyPersons { max: PERSONS_MAX };
        let mut shown: Vec<_> = self.shown.iter().filter(|it| it.to != to).copied().collect();
        let mut lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| SheetLine { subject: MatchSubject(random()), tokens: line.tokens.clone() })
            .collect();
        for (line, sheet) in self.lines.iter().zip(&lines) {
            shown.push(Shown { subject: sheet.subject, chart: line.chart, to });
        }
        self.shown = List::from_vec(shown).map_err(full)?;
        // The order of the book would tell who came when.
        lines.sort_by_key(|line| line.subject);
        let lines = List::from_vec(lines).map_err(full)?;
        Ok(TokenSheet { programme: self.programme.clone(), lines })
    }

    /// Whose chart a subject of a sheet to `to` is.
    pub fn chart_of(&self, subject: MatchSubject, to: MemberId) -> Option<ChartId> {
        let shown = self.shown.iter().find(|it| it.subject == subject && it.to == to);
        shown.map(|it| it.chart)
    }

    /// Which patients may be persons of `sheet`, those first with whom most rules agree.
    pub fn compare(&self, sheet: &TokenSheet) -> Result<Vec<Candidate>, UsageError> {
        if self.programme != sheet.programme {
            let (ours, theirs) = (self.programme.to_string(), sheet.programme.to_string());
            return Err(UsageError::OtherProgramme { ours, theirs });
        }
        let mut own: BTreeMap<RuledToken, Vec<ChartId>> = BTreeMap::new();
        for line in &self.lines {
            for token in &line.tokens {
                own.entry(*token).or_default().push(line.chart);
            }
        }
        let mut agree: BTreeMap<(ChartId, MatchSubject), BTreeSet<MatchRule>> = BTreeMap::new();
        for line in &sheet.lines {
            for token in &line.tokens {
                for chart in own.get(token).into_iter().flatten() {
                    agree.entry((*chart, line.subject)).or_default().insert(token.rule);
                }
            }
        }
        let candidate = |((chart, subject), rules)| Candidate { chart, subject, rules };
        let mut candidates: Vec<_> = agree.into_iter().map(candidate).collect();
        candidates.sort_by_key(|it| std::cmp::Reverse(it.rules.len()));
        Ok(candidates)
    }
}

/// A book on disk, held until this is dropped.
#[derive(Debug)]
pub struct KeptBook {
    file: BookFile,
    /// What is in it; nothing yet if there is no file.
    pub book: Option<TokenBook>,
}

impl KeptBook {
    /// Opens the book at `path`, or the place of a new one.
    pub fn open(path: &Path, identity: &MemberIdentity) -> Result<Self, FileError> {
        let file = BookFile::hold(path, identity.book_key())?;
        let book = file.read(BOOK_DOMAIN)?;
        Ok(Self { file, book })
    }

    /// Writes what is in it.
    pub fn save(&self) -> Result<(), FileError> {
        self.book.as_ref().map_or(Ok(()), |book| self.file.save(BOOK_DOMAIN, book))
    }
}

/// What was evaluated.
#[derive(Debug)]
pub struct Evaluated {
    /// One for each key, in their order.
    pub tokens: Vec<MatchToken>,
    /// Where the commands stand on the ledger.
    pub commands: Vec<Location>,
    /// Validators that gave nothing, or something wrong.
    pub validators: Vec<ValidatorFault>,
}

/// One command's points.
struct Batch<'a> {
    actor: &'a Actor,
    requester: SealingKey,
    points: Vec<BlindedPoint>,
}

impl Client {
    /// Has keys evaluated: each is a point of the quota, and each command stands on the ledger.
    pub async fn evaluate(
        &self,
        actor: &Actor,
        programme: &ProgrammeOf,
        keys: &[(MatchRule, String)],
    ) -> Result<Evaluated, ClientError> {
        // Its key is the same one for ever, whoever holds shares of it.
        let committee = self.consortium().matching().ok_or(UsageError::NoMatching)?;
        let mut evaluated =
            Evaluated { tokens: Vec::new(), commands: Vec::new(), validators: Vec::new() };
        let named = Programme {
            chain: &programme.chain,
            name: programme.name.as_str(),
            purpose: programme.purpose,
        };
        for keys in keys.chunks(MATCH_POINTS_MAX) {
            let input = |(rule, text): &(MatchRule, String)| {
                blind(&mut rng(), committee, &named, &Input { rule: *rule, text })
            };
            let (blindings, points): (Vec<Blinding>, Vec<_>) = keys.iter().map(input).unzip();
            let requester = SealingKey::generate(&mut rng());
            let batch = Batch { actor, requester, points };
            self.evaluate_batch(&batch, programme, blindings, &mut evaluated).await?;
        }
        Ok(evaluated)
    }

    async fn evaluate_batch(
        &self,
        batch: &Batch<'_>,
        programme: &ProgrammeOf,
        blindings: Vec<Blinding>,
        evaluated: &mut Evaluated,
    ) -> Result<(), ClientError> {
        let points: Vec<_> = batch.points.iter().map(BlindedPoint::digest).collect();
        let requester_key = batch.requester.public().digest();
        let payload = Payload::MatchEvaluate(MatchEvaluate {
            programme: programme.name.clone(),
            purpose: programme.purpose,
            points: List::from_vec(points.clone()).expect("keys are cut to size"),
            requester_key,
        });
        let decided = self.submit(&[batch.actor], Draft::now(), payload).await?.accepted()?;
        let (chain, command) = (self.consortium().chain(), decided.command());
        let evaluation = Evaluation { chain, command, requester_key, points };
        let at = decided.outcome().location;
        // The command had a certificate, which was followed; others may have taken over since.
        let known = self.in_force();
        let collected = match self.collect_points(batch, (&known, &evaluation), at).await {
            Err(_) if self.has_others_since(known.validators().newest().since).await => {
                self.collect_points(batch, (&self.in_force(), &evaluation), at).await
            }
            collected => collected,
        };
        let (points, faults) = collected?;
        let tokens = blindings.into_iter().zip(&points).map(|(blinding, at)| blinding.finish(at));
        evaluated.tokens.extend(tokens);
        evaluated.commands.push(at);
        evaluated.validators.extend(faults);
        Ok(())
    }

    /// The evaluated points, from as many validators as it takes.
    async fn collect_points(
        &self,
        batch: &Batch<'_>,
        (consortium, evaluation): (&Consortium, &Evaluation),
        at: Location,
    ) -> Result<(Vec<EvaluatedPoint>, Vec<ValidatorFault>), ReleaseError> {
        let committee = consortium.matching().expect("hand-overs keep the keys that there are");
        let mut collector =
            TokenCollector::new(committee, evaluation, &batch.points, &batch.requester)?;
        let body = request_of(batch, at);
        let mut answers: FuturesUnordered<_> = consortium
            .shares()
            .map(|share| self.ask_evaluation(batch, (consortium, share), &body))
            .collect();
        let mut faults = Vec::new();
        while let Some((organisation, answer)) = answers.next().await {
            let added = answer.and_then(|(answer, key)| Ok(collector.add(&answer, &key)?));
            if let Err(problem) = added {
                faults.push(ValidatorFault { organisation, problem });
            }
            if collector.is_complete() {
                break;
            }
        }
        drop(answers);
        match collector.finish() {
            Ok(points) => Ok((points, faults)),
            Err(shares) => Err(ReleaseError::TooFew { shares, faults }),
        }
    }

    /// Asks the validator that has one share.
    async fn ask_evaluation(
        &self,
        batch: &Batch<'_>,
        (consortium, share): (&Consortium, u16),
        body: &[u8],
    ) -> (OrganisationId, Result<(MatchAnswer, PublicKey), ValidatorProblem>) {
        let (organisation, key) =
            consortium.releaser(share).expect("there is a validator for each share");
        let Some(node) = self.nodes().of(organisation) else {
            return (organisation, Err(ValidatorProblem::NoAddress));
        };
        let target = "/v1/match".to_owned();
        let ask = Ask::with_body(
            Method::POST,
            target,
            Some(batch.actor),
            body.to_vec(),
            ANSWER_BYTES_MAX,
        );
        let mut tries = 1;
        let bytes = loop {
            match self.nodes().ask(node, &ask).await {
                Err(error) if error.fault.is_busy() && tries < TRIES => {
                    tries += 1;
                    sleep(PAUSE).await;
                }
                answer => break answer,
            }
        };
        let answer = bytes.map_err(ValidatorProblem::from).and_then(|bytes| {
            let answer: Option<MatchAnswer> = keepwell_types::decode(&bytes, ANSWER_BYTES_MAX).ok();
            // An answer in the name of another share would put the blame on another validator.
            let own = answer.filter(|it| it.share == share);
            own.map(|it| (it, *key)).ok_or_else(|| ValidatorProblem::Garbled(node.clone()))
        });
        (organisation, answer)
    }

    /// What an organisation has had evaluated in the latest period in which it had anything.
    pub async fn match_quota(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
    ) -> Result<MatchQuota, ClientError> {
        let target = format!("/v1/organisations/{organisation}/match-quota");
        let proven = self.state(actor, Key::MatchQuota(organisation), target).await?;
        match proven.into_value() {
            Some(Value::MatchQuota(quota)) => Ok(quota),
            Some(_) | None => Ok(MatchQuota::default()),
        }
    }

    /// Shows the tokens of a book to a member of another organisation: the bytes of the letter. The book must
    /// be saved before the letter is sent.
    pub async fn share_tokens(
        &self,
        identity: &MemberIdentity,
        book: &mut TokenBook,
        to: MemberId,
    ) -> Result<Vec<u8>, ClientError> {
        let sheet = book.sheet(to)?;
        self.write_letter(identity, to, SHEET_DOMAIN, &sheet).await
    }

    /// Reads tokens that another organisation shows.
    pub async fn shown_tokens(
        &self,
        identity: &MemberIdentity,
        bytes: &[u8],
    ) -> Result<(Writer, TokenSheet), ClientError> {
        self.read_letter(identity, SHEET_DOMAIN, bytes).await
    }
}

fn request_of(batch: &Batch<'_>, evaluation: Location) -> Vec<u8> {
    let points = batch.points.iter().map(BlindedPoint::to_bytes).collect();
    let requester_key: Blob<_> = batch.requester.public().to_blob();
    let points = List::from_vec(points).expect("keys are cut to size");
    keepwell_types::encode(&MatchRequest { evaluation, requester_key, points })
}

#[cfg(test)]
mod tests;
