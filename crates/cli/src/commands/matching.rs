//! `keepwell match`: evaluate, share, compare, quota.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, Subcommand};
use keepwell_client::{
    error::UsageError,
    letter::LETTER_BYTES_MAX,
    matching::{KeptBook, ProgrammeOf, RuledToken, TokenBook},
};
use keepwell_fhir::matching::{KEYS_MAX, MatchKey, keys};
use keepwell_types::{
    access::Purpose,
    encoding::Text,
    id::{ChartId, MemberId, OrganisationId},
    limits::MATCH_POINTS_MAX,
    matching::MatchRule,
};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// Patients whose keys fit one command, whatever they have.
const PATIENTS_AT_ONCE: usize = MATCH_POINTS_MAX / KEYS_MAX;

/// Find the persons whom two organisations both know, without showing who they are
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell match evaluate --as pilot/people/agent --programme regional-2026 --book tokens.book --patient CHART=ana.json
  keepwell match share --as pilot/people/agent --book tokens.book --to MEMBER --out tokens.letter
  keepwell match compare --as ./desk --book tokens.book --sheet tokens.letter
  keepwell match quota --as ./desk")]
pub(crate) struct Match {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make tokens of patients: each key is a point of the quota, and each command stands on the ledger
    Evaluate {
        #[command(flatten)]
        who: As,
        /// The programme, as every organisation in it writes it
        #[arg(long)]
        programme: String,
        /// What for
        #[arg(long, default_value = "TREAT")]
        purpose: Purpose,
        /// The sealed book that the tokens are kept in; made if it is not there
        #[arg(long, value_name = "FILE")]
        book: PathBuf,
        /// A chart and the file of its FHIR Patient resource; more than once for more
        #[arg(long = "patient", value_name = "CHART=FILE", required = true)]
        patients: Vec<Patient>,
    },
    /// Show the tokens of a book to a member of another organisation, without the charts
    Share {
        #[command(flatten)]
        who: As,
        /// The book
        #[arg(long, value_name = "FILE")]
        book: PathBuf,
        /// The member
        #[arg(long)]
        to: MemberId,
        /// Where the sealed letter is written
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Compare the tokens of a book with those that another organisation shows
    Compare {
        #[command(flatten)]
        who: As,
        /// The book
        #[arg(long, value_name = "FILE")]
        book: PathBuf,
        /// The sealed letter
        #[arg(long, value_name = "FILE")]
        sheet: PathBuf,
    },
    /// Show what an organisation has had evaluated in this period
    Quota {
        #[command(flatten)]
        who: As,
        /// The organisation; without it one's own
        #[arg(long)]
        organisation: Option<OrganisationId>,
    },
}

/// `CHART=FILE`.
#[derive(Clone, Debug)]
struct Patient {
    chart: ChartId,
    file: PathBuf,
}

impl FromStr for Patient {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (chart, file) = text.split_once('=').ok_or("write it as CHART=FILE")?;
        let chart = chart.parse().map_err(|error| format!("{error}; write it as CHART=FILE"))?;
        Ok(Self { chart, file: file.into() })
    }
}

impl Match {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Evaluate { who, programme, purpose, book, patients } => {
                let session = who.session()?;
                let name = Text::from_string(programme).map_err(|error| {
                    Failure::Misused(format!("the name of the programme is too long: {error}"))
                })?;
                let chain = session.client.consortium().chain();
                let programme = ProgrammeOf { chain, name, purpose };
                block_on(evaluate(&session, programme, &book, &patients, output))
            }
            What::Share { who, book, to, out } => share(&who.session()?, &book, to, &out, output),
            What::Compare { who, book, sheet } => compare(&who.session()?, &book, &sheet, output),
            What::Quota { who, organisation } => quota(&who.session()?, organisation, output),
        }
    }
}

async fn evaluate(
    session: &Session,
    programme: ProgrammeOf,
    path: &Path,
    patients: &[Patient],
    output: &Output,
) -> Result<(), Failure> {
    let identity = session.member()?;
    let mut kept = KeptBook::open(path, identity)?;
    let mut book = kept.book.take().unwrap_or_else(|| TokenBook::new(programme.clone()));
    if book.programme != programme {
        return Err(Failure::Misused(format!(
            "{} is a book of programme {}; name another book for {programme}",
            path.display(),
            book.programme
        )));
    }
    let (mut tokens, mut commands) = (0, Vec::new());
    for patients in patients.chunks(PATIENTS_AT_ONCE) {
        let asked = asked(patients, output)?;
        let keys: Vec<_> = asked.iter().map(|(_, key)| (key.rule, key.text.clone())).collect();
        let evaluated = session.client.evaluate(&identity.actor(), &programme, &keys).await?;
        for fault in &evaluated.validators {
            output.warn(&fault.to_string());
        }
        for patient in patients {
            let of_patient = asked.iter().zip(&evaluated.tokens);
            let of_patient = of_patient.filter(|((chart, _), _)| *chart == patient.chart);
            let ruled = of_patient.map(|((_, key), token)| (key.rule, *token));
            book.put(
                patient.chart,
                ruled.map(|(rule, token)| RuledToken { rule, token }).collect(),
            )?;
        }
        // What was evaluated has used up quota: it is kept whatever comes of the next.
        kept.book = Some(book.clone());
        kept.save()?;
        tokens += evaluated.tokens.len();
        commands.extend(evaluated.commands);
    }
    let persons = book.lines.len();
    output.result(
        &format!(
            "{tokens} tokens of {} patients, by {} commands on the ledger; the book has {persons}. Show it to another organisation:\n  keepwell match share --as DIR --book {} --to MEMBER --out FILE",
            patients.len(),
            commands.len(),
            path.display()
        ),
        &json!({
            "tokens": tokens,
            "patients": patients.len(),
            "commands": commands,
            "persons": persons,
        }),
    );
    Ok(())
}

/// The keys of patients, with their charts.
fn asked(patients: &[Patient], output: &Output) -> Result<Vec<(ChartId, MatchKey)>, Failure> {
    let mut asked = Vec::new();
    for Patient { chart, file } in patients {
        let json = fs::read(file).map_err(Failure::at(file))?;
        let keys = keys(&json)
            .map_err(|error| Failure::Misused(format!("{}: {error}", file.display())))?;
        if keys.is_empty() {
            output.warn(&format!(
                "{} says too little of the patient to compare it; nothing of it is evaluated",
                file.display()
            ));
        }
        asked.extend(keys.into_iter().map(|key| (*chart, key)));
    }
    Ok(asked)
}

fn kept_book(session: &Session, path: &Path) -> Result<(KeptBook, TokenBook), Failure> {
    let mut kept = KeptBook::open(path, session.member()?)?;
    let book = kept.book.take().ok_or_else(|| {
        Failure::Misused(format!(
            "there is no book {}; make one with `keepwell match evaluate`",
            path.display()
        ))
    })?;
    Ok((kept, book))
}

fn share(
    session: &Session,
    path: &Path,
    to: MemberId,
    out: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let (mut kept, mut book) = kept_book(session, path)?;
    let identity = session.member()?;
    let letter = block_on(async {
        Ok::<_, Failure>(session.client.share_tokens(identity, &mut book, to).await?)
    })?;
    let persons = book.lines.len();
    kept.book = Some(book);
    // First the book: a sheet whose names nobody remembers is of no use.
    kept.save()?;
    fs::write(out, letter).map_err(Failure::at(out))?;
    output.result(
        &format!(
            "the tokens of {persons} persons are in {}, for member {to} alone. It compares them with its own:\n  keepwell match compare --as DIR --book FILE --sheet {}",
            out.display(),
            out.display()
        ),
        &json!({ "persons": persons, "letter": out, "to": to }),
    );
    Ok(())
}

fn compare(session: &Session, path: &Path, sheet: &Path, output: &Output) -> Result<(), Failure> {
    let (_, book) = kept_book(session, path)?;
    let bytes = read_letter(sheet)?;
    let identity = session.member()?;
    let (writer, shown) =
        block_on(async { Ok::<_, Failure>(session.client.shown_tokens(identity, &bytes).await?) })?;
    let candidates = book.compare(&shown)?;
    let organisation = writer.entry.organisation;
    let words = |rules: &BTreeSet<MatchRule>| {
        rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut lines: Vec<_> = candidates
        .iter()
        .map(|it| format!("chart {}  subject {}  by {}", it.chart, it.subject, words(&it.rules)))
        .collect();
    lines.push(format!(
        "{} candidates among {} persons of organisation {organisation}. A person looks at each before it is proposed:\n  keepwell link propose --as DIR --book links.book --chart CHART --with {organisation} --subject SUBJECT --to {} --letter FILE",
        candidates.len(),
        shown.lines.len(),
        writer.member
    ));
    let rows: Vec<_> = candidates
        .iter()
        .map(|it| json!({ "chart": it.chart, "subject": it.subject, "rules": it.rules }))
        .collect();
    output.result(
        &lines.join("\n"),
        &json!({
            "organisation": organisation,
            "member": writer.member,
            "persons": shown.lines.len(),
            "candidates": rows,
        }),
    );
    Ok(())
}

fn quota(
    session: &Session,
    organisation: Option<OrganisationId>,
    output: &Output,
) -> Result<(), Failure> {
    let identity = session.member()?;
    let organisation = organisation.unwrap_or_else(|| identity.organisation());
    let Some(rule) = session.client.consortium().genesis().parameters.matching else {
        return Err(UsageError::NoMatching.into());
    };
    let (quota, now) = block_on(async {
        let quota = session.client.match_quota(&identity.actor(), organisation).await?;
        Ok::<_, Failure>((quota, session.client.tip().await?.header().time))
    })?;
    let used = if quota.period == now.0 / rule.period_ms.max(1) { quota.used } else { 0 };
    output.result(
        &format!(
            "{used} of {} points of this period are used, and {} were ever",
            rule.points_max, quota.total
        ),
        &json!({
            "organisation": organisation,
            "used": used,
            "max": rule.points_max,
            "total": quota.total,
            "period_ms": rule.period_ms,
        }),
    );
    Ok(())
}

/// A letter as it came, if it is no larger than one may be.
pub(crate) fn read_letter(path: &Path) -> Result<Vec<u8>, Failure> {
    let len = fs::metadata(path).map_err(Failure::at(path))?.len();
    if len > LETTER_BYTES_MAX as u64 + 4_096 {
        return Err(Failure::Misused(format!(
            "{} has {len} bytes, more than any letter; is it the right file?",
            path.display()
        )));
    }
    fs::read(path).map_err(Failure::at(path))
}
