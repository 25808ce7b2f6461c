//! `$import-ccda`: a C-CDA document as it is, kept sealed, and what its sections say as FHIR.
//!
//! ```text
//! bytes ─> whose it is ─> the one patient here, or a new one
//!       ─> whether a later document of theirs is here
//!       ─> keepwell_ccda::map ─> one transaction ─> what was kept, and what is in the original alone
//! ```
//!
//! # Invariants
//!
//! * All of a document is written, or nothing; the same document once, however often it is sent.
//! * A document goes into the chart of the one patient whom its numbers find, unless it says that they were born on
//!   another day.
//! * Of two documents of one patient at once, the second finds what the first wrote.
//! * What is answered names sections and counts, and nothing that stands in them.
//!
//! Not here: what a document means (`keepwell_ccda`), and changing who a patient is by a document.

use std::collections::BTreeMap;

use axum::body::Bytes;
use keepwell_ccda::{
    document::Document,
    map::{self, Identifier, Reception, Record, Section, is_later},
    refusal::Refusal,
};
use keepwell_crypto::hash::{digest, sha256};
use keepwell_fhir::{
    facts::NAMESPACE,
    interaction::{Query as Condition, ResourceType},
    outcome::{Issue, IssueType, Outcome, Severity, Status},
    search::{Handling, Options, Query},
    transaction::{self, Action, Limits, Submission},
};
use keepwell_types::id::UniquenessTag;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{
    answer::Answer,
    follow::BODY_BYTES_MAX,
    gateway::{Asker, Gateway},
    server::now_ms,
    transaction::{ENTRIES_MAX, identifier_query},
};

/// The types that documents are sent as.
pub(crate) const MEDIA_TYPES: [&str; 4] =
    ["application/hl7-cda+xml", "application/cda+xml", "application/xml", "text/xml"];
/// Documents of one patient without a time of day that are looked at; with more, none is the newest.
const UNDATED_MAX: usize = 32;
const NAME_DOMAIN: &str = "keepwell/gateway/ccda-entry/v1";

/// What a document says of itself.
struct Head {
    patients: Vec<Identifier>,
    born: Option<String>,
    written: Option<String>,
}

/// A patient who is here.
struct Known {
    id: String,
    /// Which of the document's numbers found them.
    by: usize,
}

impl Gateway {
    /// Keeps a document and what it says. `may` is whether who asks may do what an entry does.
    pub(crate) async fn import_ccda(
        &self,
        asker: &Asker,
        bytes: Bytes,
        may: impl Fn(&Action<'_>) -> bool + Send,
    ) -> Result<Answer, Outcome> {
        let sent = bytes.clone();
        let head = in_background(move || head_of(&sent)).await?.map_err(|it| refused(&it))?;
        let numbers = head.patients.iter().map(|it| self.number_of(it));
        let _alone = self.tags.alone(numbers.collect()).await;
        let known = self.patient_of(asker, &head).await?;
        let is_newest = match &known {
            None => true,
            Some(known) => self.is_newest(asker, known, head.written.as_deref()).await?,
        };
        let known_by = known.as_ref().map_or(0, |it| it.by);
        let digest = sha256(&[&bytes]).0;
        let record = in_background(move || record_of(&bytes, (digest, is_newest, known_by)))
            .await?
            .map_err(|it| refused(&it))?;
        let json = record.bundle.to_string();
        let limits = Limits {
            bytes_max: usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX),
            entries_max: ENTRIES_MAX,
            base: Some(self.base()),
        };
        let Submission::Transaction(transaction) = transaction::parse(json.as_bytes(), &limits)?
        else {
            let text = "the gateway made no transaction of the document; tell its operator";
            return Err(Outcome::error(IssueType::Exception, text));
        };
        if !transaction.entries.iter().all(|it| may(&it.action)) {
            return Err(crate::server::not_in_scope());
        }
        let sent = (json.as_bytes(), &transaction);
        match self.transaction_once(asker, sent, record.original).await? {
            Some(written) => Ok(imported(&record, &written)),
            None => self.imported_before(asker, known.as_ref(), &digest).await,
        }
    }

    /// What only one document of a patient's number at a time has: no condition of anyone's has it too.
    fn number_of(&self, Identifier { system, value }: &Identifier) -> UniquenessTag {
        self.index.key().tag(&[b"ccda", system.as_bytes(), value.as_bytes()])
    }

    /// The one patient whom a document's numbers find, of those whom who asks may see.
    async fn patient_of(&self, asker: &Asker, head: &Head) -> Result<Option<Known>, Outcome> {
        let mut known: Option<Known> = None;
        for (by, Identifier { system, value }) in head.patients.iter().enumerate() {
            let condition = Condition::parse(&identifier_query(system, value))?;
            let found = self.found_by(of("Patient"), None, &condition).await?;
            let versions: Vec<_> = found.iter().map(|it| &it.version).collect();
            let shown = self.may_show(asker, &versions).await?;
            for (patient, _) in found.iter().zip(shown).filter(|(_, shown)| *shown) {
                match &known {
                    Some(known) if known.id != patient.id() => return Err(several_patients()),
                    Some(_) => {}
                    None => {
                        is_same_person(patient.json(), head.born.as_deref())?;
                        known = Some(Known { id: patient.id().to_owned(), by });
                    }
                }
            }
        }
        Ok(known)
    }

    /// Whether no document of the patient that is here is dated later.
    async fn is_newest(
        &self,
        asker: &Asker,
        known: &Known,
        written: Option<&str>,
    ) -> Result<bool, Outcome> {
        let Some(written) = written else { return Ok(false) };
        let count = (UNDATED_MAX + 1).to_string();
        let dated = self.documents(asker, known, &[("_sort", "-date"), ("_count", "1")]).await?;
        let undated = [("date:missing", "true"), ("_count", &count)];
        let undated = self.documents(asker, known, &undated).await?;
        let mut all = dated.iter().chain(&undated);
        Ok(undated.len() <= UNDATED_MAX
            && !all.any(|it| {
                let creation = it.pointer("/content/0/attachment/creation");
                creation.and_then(Value::as_str).is_some_and(|it| is_later(it, written))
            }))
    }

    /// The documents of a patient that were imported.
    async fn documents(
        &self,
        asker: &Asker,
        known: &Known,
        asked: &[(&str, &str)],
    ) -> Result<Vec<Value>, Outcome> {
        let own = (String::from("identifier"), format!("{NAMESPACE}ccda:patient|"));
        let mut pairs = vec![(String::from("patient"), known.id.clone()), own];
        pairs.extend(asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let options = Options { base: self.base(), now_ms: now_ms(), handling: Handling::Strict };
        let query = Query::parse("DocumentReference", &pairs, options).map_err(|_| failed())?;
        let answer = self.search(asker, &query, None).await?;
        let body: Value =
            serde_json::from_str(&answer.body.unwrap_or_default()).map_err(|_| failed())?;
        let entries = body["entry"].as_array().cloned().unwrap_or_default();
        Ok(entries.into_iter().map(|mut it| it["resource"].take()).collect())
    }

    /// Says that a document is here, if it is this one.
    async fn imported_before(
        &self,
        asker: &Asker,
        known: Option<&Known>,
        digest: &[u8],
    ) -> Result<Answer, Outcome> {
        let Some(known) = known else { return Err(crate::write::taken()) };
        let this = format!("{NAMESPACE}ccda:sha-256|{}", hex::encode(digest));
        let found = self.documents(asker, known, &[("identifier", &this)]).await?;
        let Some(id) = found.first().and_then(|it| it["id"].as_str()) else {
            let text = "another document has the same id and version, for the same patient; give this one an id or versionNumber of its own";
            return Err(Outcome::error(IssueType::Conflict, text));
        };
        let issue = Issue::new(
            Severity::Information,
            IssueType::Informational,
            "this document was imported before; nothing was written again",
        );
        let mut answer = Answer::of(Status::OK, Outcome::new(issue).to_json());
        answer.location = Some(format!("{}/DocumentReference/{id}", self.base()));
        Ok(answer)
    }
}

/// Refuses a document whose numbers find two patients.
fn several_patients() -> Outcome {
    let text = "the document's numbers are of several patients here; correct them in the document, or in the Patients, and send it again";
    Outcome::error(IssueType::MultipleMatches, text)
}

/// Does what takes long for a large document where it delays nobody.
async fn in_background<T: Send + 'static>(
    what: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Outcome> {
    spawn_blocking(what).await.map_err(|_| failed())
}

fn head_of(bytes: &[u8]) -> Result<Head, Refusal> {
    let document = Document::read(bytes)?;
    Ok(Head {
        patients: document.patient_identifiers()?,
        born: document.birth_date(),
        written: document.written_at(),
    })
}

fn record_of(
    bytes: &[u8],
    (digest_of, is_newest, known_by): ([u8; 32], bool, usize),
) -> Result<Record, Refusal> {
    let name = |number: u32| {
        let name = digest(NAME_DOMAIN, &[&digest_of, &number.to_be_bytes()]).0;
        *name.first_chunk().expect("a digest has sixteen bytes")
    };
    let received_ms = now_ms();
    let reception = Reception { received_ms, digest: digest_of, name: &name, is_newest, known_by };
    map::map(&Document::read(bytes)?, &reception)
}

/// Refuses a document whose patient was born on another day than the one whom its number finds.
fn is_same_person(patient: &str, born: Option<&str>) -> Result<(), Outcome> {
    let patient: Value = serde_json::from_str(patient).map_err(|_| failed())?;
    let here = patient["birthDate"].as_str();
    let is_other = here.zip(born).is_some_and(|(one, other)| {
        // As far as both say it.
        let bytes = one.len().min(other.len());
        one.get(..bytes) != other.get(..bytes)
    });
    if !is_other {
        return Ok(());
    }
    let text = "the patient whom the document's number finds was born on another day; correct the number or the day, in the document or here, and send it again";
    let outcome = Outcome::error(IssueType::BusinessRule, text);
    Err(outcome.with_status(Status::UNPROCESSABLE))
}

/// What was written, and where; and of each section what was not.
fn imported(record: &Record, written: &BTreeMap<usize, Answer>) -> Answer {
    let text = format!("{} resources are written, the document itself among them", written.len());
    let mut outcome =
        Outcome::new(Issue::new(Severity::Information, IssueType::Informational, &text));
    record.sections.iter().for_each(|it| outcome.push(told(it)));
    let mut answer = Answer::of(Status::CREATED, outcome.to_json());
    answer.location = written.get(&record.original).and_then(|it| it.location.clone());
    answer
}

/// What became of a section.
fn told(section: &Section) -> Issue {
    let Section { name, number, entries, left, left_more } = section;
    let name = name.as_deref().unwrap_or("no name that is known");
    let mut text = format!("section {number} ({name}): {entries} entries");
    if left.is_empty() {
        return Issue::new(Severity::Information, IssueType::Informational, &text);
    }
    text.push_str("; in the original alone:");
    for (entry, why) in left {
        text.push_str(&format!(" {entry} ({}),", why.as_str()));
    }
    text.pop();
    if *left_more > 0 {
        text.push_str(&format!(", and {left_more} more"));
    }
    Issue::new(Severity::Information, IssueType::Incomplete, &text)
}

fn refused(refusal: &Refusal) -> Outcome {
    let (code, status) = match refusal {
        Refusal::TooLarge { .. } => (IssueType::TooLong, Status::CONTENT_TOO_LARGE),
        Refusal::Encoding
        | Refusal::Dtd
        | Refusal::Entity
        | Refusal::NotXml
        | Refusal::TooDeep
        | Refusal::TooManyNodes
        | Refusal::TooManyAttributes
        | Refusal::TooManyNamespaces => (IssueType::Structure, Status::BAD_REQUEST),
        Refusal::TooManySections
        | Refusal::NotCda
        | Refusal::NoId
        | Refusal::Patients(_)
        | Refusal::NotThePatients
        | Refusal::TooLong => (IssueType::Value, Status::UNPROCESSABLE),
    };
    Outcome::error(code, &refusal.to_string()).with_status(status)
}

/// Refuses what is sent as anything but XML.
pub(crate) fn not_a_document() -> Outcome {
    let text = format!("a C-CDA document is XML; send it with Content-Type: {}", MEDIA_TYPES[0]);
    Outcome::error(IssueType::NotSupported, &text).with_status(Status::UNSUPPORTED_MEDIA_TYPE)
}

fn failed() -> Outcome {
    tracing::error!("a document could not be read; tell who develops the gateway");
    Outcome::error(IssueType::Exception, "the gateway failed; tell its operator")
}

fn of(name: &str) -> ResourceType {
    name.parse().expect("R4 has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_by_the_day_of_birth_as_far_as_both_say_it() {
        for (here, sent, is_same) in [
            (r#"{"birthDate":"1970-03-01"}"#, Some("1970-03-01"), true),
            (r#"{"birthDate":"1970-03"}"#, Some("1970-03-01"), true),
            (r#"{"birthDate":"1970-03-01"}"#, Some("1970"), true),
            (r#"{"birthDate":"1970-03-01"}"#, None, true),
            ("{}", Some("1970-03-01"), true),
            (r#"{"birthDate":"1970-03-01"}"#, Some("1970-01-03"), false),
            (r#"{"birthDate":"1971"}"#, Some("1970-03-01"), false),
        ] {
            assert_eq!(is_same_person(here, sent).is_ok(), is_same, "{here} {sent:?}");
        }
    }
}
