//! Links: two organisations agree, with the patient or a privacy officer, that two charts are of one person.
//!
//! ```text
//! first      link.propose {random id, salted digest of (link, chart)} ──> ledger
//!            letter {link, chart, salt, what their sheet called the person} ──> second
//! second     letter = ledger? link.confirm {salted digest of (link, its chart)} ──> ledger
//!            letter {link, its chart, its salt} ──> first
//! third      link.confirm {officer, or salted digest of what the patient signed} ──> ledger
//! either     link.reverse {reason} ──> ledger
//!            what the counterpart wrote in one's chart meanwhile ──> refiled in the right chart, restricted here
//! ```
//!
//! # Invariants
//!
//! * The ledger never learns which charts are linked. Each organisation keeps, in a book sealed to its member,
//!   its own chart and salt and the other's, and can prove the link with them.
//! * A side is confirmed only if the letter's chart and salt make what the ledger has of the other side.
//! * The work list of a reversal is made from the chart's own proven log, so it is complete, whatever anyone
//!   noted or forgot to note.
//! * What is refiled says who wrote it and when, and of no other chart.
//!
//! Not here: whether the charts are of one person.

use std::{collections::BTreeMap, path::Path};

use keepwell_crypto::{
    hash::digest,
    matching::{consent_digest, link_commitment},
    sign,
};
use keepwell_ledger::state::{Key, Link, Value};
use keepwell_types::{
    access::RecordName,
    command::Payload,
    encoding::{Blob, List, Text},
    id::{
        ChainId, ChartId, Digest, LinkId, MatchSubject, MemberId, OrganisationId, Salt, Signature,
    },
    link::{Confirmation, LinkConfirm, LinkPropose, LinkReversal, LinkReverse},
    member::Party,
    record::RecordKind,
    time::BlockTime,
};
use minicbor::{Decode, Encode};

use crate::{
    Client,
    client::{Decided, now, random},
    error::{ClientError, UsageError},
    identity::{Actor, BookFile, ChartHolder, FileError, MemberIdentity},
    letter::{LETTER_BODY_BYTES_MAX, Writer},
    open::RecordFacts,
    verify::LogMark,
};

/// Links in one book.
pub const LINKS_MAX: usize = 100_000;
/// Records noted for one link.
pub const NOTED_MAX: usize = 4_096;
/// Words of the patient about one link.
pub const WORDS_MAX: usize = 16;
/// Bytes of a record that is refiled.
pub const REFILED_BYTES_MAX: usize = LETTER_BODY_BYTES_MAX - 4_096;
/// Bytes of a patient's word.
const WORD_BYTES_MAX: usize = 512;

const BOOK_DOMAIN: &str = "keepwell/client/link-book/v1";
const LETTER_DOMAIN: &str = "keepwell/client/link-letter/v1";
const REFILED_DOMAIN: &str = "keepwell/client/refiled/v1";
const WORD_DOMAIN: &str = "keepwell/client/patients-word/v1";

/// What shows that a side of a link is about a chart.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Opening {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// What it was digested with.
    #[n(1)]
    pub salt: Salt,
}

impl Opening {
    fn draw(chart: ChartId) -> Self {
        Self { chart, salt: Salt(random()) }
    }

    /// Whether the ledger has it as the side of `organisation`.
    pub fn is_of(
        &self,
        chain: &ChainId,
        id: LinkId,
        link: &Link,
        organisation: OrganisationId,
    ) -> bool {
        let commitment = link_commitment(chain, &id, &self.chart, &self.salt);
        link.commitment(organisation) == Some(commitment)
    }
}

/// What one organisation writes to the other about a link.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct LinkLetter {
    /// The link.
    #[n(0)]
    pub link: LinkId,
    /// The writer's side.
    #[n(1)]
    pub side: Opening,
    /// What the reader's own sheet called the person, where one was shown.
    #[n(2)]
    pub subject: Option<MatchSubject>,
}

/// What a patient says about a link, signed with the key of one of the two charts.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct PatientsWord {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// The link.
    #[n(1)]
    pub link: LinkId,
    /// The patient's chart.
    #[n(2)]
    pub chart: ChartId,
    /// Whether the patient agrees, or agrees no more.
    #[n(3)]
    pub agrees: bool,
    /// When it was signed.
    #[n(4)]
    pub at: BlockTime,
    /// By whoever controls the chart.
    #[n(5)]
    pub signature: Signature,
}

impl PatientsWord {
    /// Signs a word about a link.
    pub fn sign(holder: &ChartHolder, chain: ChainId, link: LinkId, agrees: bool) -> Self {
        let (chart, at) = (holder.chart(), now());
        let message = Self::message(&chain, link, chart, agrees, at);
        let signature = holder.actor().key().sign(WORD_DOMAIN, message.as_bytes());
        Self { chain, link, chart, agrees, at, signature }
    }

    fn message(
        chain: &ChainId,
        link: LinkId,
        chart: ChartId,
        agrees: bool,
        at: BlockTime,
    ) -> Digest {
        let parts: [&[u8]; 5] =
            [&chain.0, &link.0, &chart.0, &[u8::from(agrees)], &at.0.to_le_bytes()];
        digest("keepwell/client/patients-word-message/v1", &parts)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, UsageError> {
        keepwell_types::decode(bytes, WORD_BYTES_MAX)
            .map_err(|error| UsageError::NotA { what: "a patient's word about a link", error })
    }
}

/// A record that was written in a chart while a link held.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Noted {
    /// The record.
    #[n(0)]
    pub record: RecordName,
    /// To whom it was sent to be refiled, once it was.
    #[n(1)]
    pub refiled_to: Option<MemberId>,
}

/// What an organisation keeps of one link.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct LinkLine {
    /// The link.
    #[n(0)]
    pub link: LinkId,
    /// With which organisation.
    #[n(1)]
    pub with: OrganisationId,
    /// One's own side.
    #[n(2)]
    pub own: Opening,
    /// The other side, once its letter was read.
    #[n(3)]
    pub theirs: Option<Opening>,
    /// What the patient signed, with the salts under which the ledger has it.
    #[n(4)]
    pub words: List<KeptWord, WORDS_MAX>,
    /// Records that were noted as written under it.
    #[n(5)]
    pub noted: List<Noted, NOTED_MAX>,
}

/// A patient's word and the salt under which the ledger has it.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct KeptWord {
    /// The word.
    #[n(0)]
    pub word: PatientsWord,
    /// The salt.
    #[n(1)]
    pub salt: Salt,
}

/// The links of one organisation, as one of its members keeps them.
#[derive(Clone, Debug, Decode, Default, Encode, Eq, PartialEq)]
pub struct LinkBook {
    /// In the order in which they were made.
    #[n(0)]
    pub lines: List<LinkLine, LINKS_MAX>,
}

impl LinkBook {
    /// What is kept of a link.
    pub fn line(&self, link: LinkId) -> Result<&LinkLine, UsageError> {
        self.lines.iter().find(|it| it.link == link).ok_or(UsageError::UnknownLink(link))
    }

    /// Puts a line in, in place of an earlier one of the same link.
    fn put(&mut self, line: LinkLine) -> Result<(), UsageError> {
        let mut lines = core::mem::take(&mut self.lines).into_vec();
        match lines.iter_mut().find(|it| it.link == line.link) {
            Some(earlier) => *earlier = line,
            None => lines.push(line),
        }
        self.lines = List::from_vec(lines).map_err(|_| UsageError::BookFull { max: LINKS_MAX })?;
        Ok(())
    }

    /// Notes a record as written under a link, or what became of it.
    pub fn note(&mut self, link: LinkId, noted: Noted) -> Result<(), UsageError> {
        let mut line = self.line(link)?.clone();
        let mut all = line.noted.into_vec();
        match all.iter_mut().find(|it| it.record == noted.record) {
            Some(earlier) => *earlier = noted,
            None => all.push(noted),
        }
        line.noted = List::from_vec(all).map_err(|_| UsageError::BookFull { max: NOTED_MAX })?;
        self.put(line)
    }
}

/// A book of links on disk, held until this is dropped.
#[derive(Debug)]
pub struct KeptLinks {
    file: BookFile,
    /// What is in it.
    pub book: LinkBook,
}

impl KeptLinks {
    /// Opens the book at `path`, or begins one.
    pub fn open(path: &Path, identity: &MemberIdentity) -> Result<Self, FileError> {
        let file = BookFile::hold(path, identity.book_key())?;
        let book = file.read(BOOK_DOMAIN)?.unwrap_or_default();
        Ok(Self { file, book })
    }

    /// Writes what is in it.
    pub fn save(&self) -> Result<(), FileError> {
        self.file.save(BOOK_DOMAIN, &self.book)
    }
}

/// A record to look at after a link was reversed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkLine {
    /// What the ledger says of it.
    pub facts: RecordFacts,
    /// Whether the other organisation of the link wrote it.
    pub by_counterpart: bool,
    /// Whether it was noted as written under the link.
    pub noted: bool,
    /// To whom it was sent to be refiled, once it was.
    pub refiled_to: Option<MemberId>,
}

/// A record on its way to the chart where it belongs.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Refiled {
    /// The link that was reversed.
    #[n(0)]
    pub link: LinkId,
    /// Its coarse class.
    #[n(1)]
    pub kind: RecordKind,
    /// What its compartment is called, where that is known.
    #[n(2)]
    pub compartment: Option<Text<64>>,
    /// Who wrote it; whoever controlled the wrong chart is not named.
    #[n(3)]
    pub author: Option<MemberId>,
    /// When it was written.
    #[n(4)]
    pub written: BlockTime,
    /// Its content.
    #[n(5)]
    pub content: Blob<REFILED_BYTES_MAX>,
}

impl Refiled {
    /// Where the record comes from, as a FHIR Provenance that names no chart.
    pub fn provenance(&self, filed: &RecordName) -> String {
        let author = self.author.map_or_else(|| "unknown".to_owned(), |author| author.to_string());
        serde_json::json!({
            "resourceType": "Provenance",
            "target": [{ "identifier": {
                "system": "urn:keepwell:record", "value": filed.record.to_string() } }],
            "occurredDateTime": self.written.to_string(),
            "recorded": now().to_string(),
            "reason": [{ "text": format!("filed anew after link {} was reversed", self.link) }],
            "agent": [{ "who": { "identifier": {
                "system": "urn:keepwell:member", "value": author } } }],
        })
        .to_string()
    }
}

impl Client {
    /// A link, as the ledger has it.
    pub async fn link(&self, actor: &Actor, id: LinkId) -> Result<Link, ClientError> {
        let proven = self.state(actor, Key::Link(id), format!("/v1/links/{id}")).await?;
        match proven.into_value() {
            Some(Value::Link(link)) => Ok(link),
            Some(_) | None => Err(UsageError::NoSuchLink(id).into()),
        }
    }

    /// Proposes that `chart` and a chart of `with` are of one person. The book is written before the command
    /// is sent: a link whose salt is lost can never be proven.
    pub async fn propose_link(
        &self,
        identity: &MemberIdentity,
        kept: &mut KeptLinks,
        (chart, with): (ChartId, OrganisationId),
        until: BlockTime,
    ) -> Result<(LinkId, Decided), ClientError> {
        let (link, own) = (LinkId(random()), Opening::draw(chart));
        let (words, noted) = (List::new(), List::new());
        kept.book.put(LinkLine { link, with, own, theirs: None, words, noted })?;
        kept.save()?;
        let commitment = link_commitment(&identity.chain(), &link, &chart, &own.salt);
        let propose = LinkPropose { link, with, commitment, until };
        let decided = self.command(&identity.actor(), Payload::LinkPropose(propose)).await?;
        Ok((link, decided))
    }

    /// Writes one's side of a link to a member of the other organisation.
    pub async fn write_link(
        &self,
        identity: &MemberIdentity,
        line: &LinkLine,
        subject: Option<MatchSubject>,
        to: MemberId,
    ) -> Result<Vec<u8>, ClientError> {
        let letter = LinkLetter { link: line.link, side: line.own, subject };
        self.write_letter(identity, to, LETTER_DOMAIN, &letter).await
    }

    /// Reads a letter about a link, and checks it against the ledger.
    pub async fn read_link(
        &self,
        identity: &MemberIdentity,
        bytes: &[u8],
    ) -> Result<(Writer, LinkLetter, Link), ClientError> {
        let (writer, letter): (_, LinkLetter) =
            self.read_letter(identity, LETTER_DOMAIN, bytes).await?;
        let link = self.link(&identity.actor(), letter.link).await?;
        let organisation = writer.entry.organisation;
        if !letter.side.is_of(&identity.chain(), letter.link, &link, organisation) {
            return Err(UsageError::LinkMismatch(letter.link).into());
        }
        Ok((writer, letter, link))
    }

    /// Confirms one's own side: `chart` is of the person whom the letter is about.
    pub async fn confirm_link(
        &self,
        identity: &MemberIdentity,
        kept: &mut KeptLinks,
        (letter, from): (&LinkLetter, OrganisationId),
        chart: ChartId,
    ) -> Result<Decided, ClientError> {
        let link = letter.link;
        // A letter that comes twice must not cost the salt under which the ledger has one's side.
        let own = match kept.book.line(link) {
            Ok(line) if (line.own.chart, line.with) == (chart, from) => line.own,
            Ok(_) => return Err(UsageError::LinkKnown(link).into()),
            Err(_) => {
                let own = Opening::draw(chart);
                let (theirs, words, noted) = (Some(letter.side), List::new(), List::new());
                kept.book.put(LinkLine { link, with: from, own, theirs, words, noted })?;
                kept.save()?;
                own
            }
        };
        let commitment = link_commitment(&identity.chain(), &link, &chart, &own.salt);
        self.send_confirmation(&identity.actor(), link, Confirmation::Side(commitment)).await
    }

    /// Keeps the other side of a link that one proposed, from the letter of `from` that answers.
    pub fn keep_answer(
        &self,
        kept: &mut KeptLinks,
        (letter, from): (&LinkLetter, OrganisationId),
    ) -> Result<(), ClientError> {
        let line = kept.book.line(letter.link)?.clone();
        if line.with != from {
            return Err(UsageError::Letter.into());
        }
        kept.book.put(LinkLine { theirs: Some(letter.side), ..line })?;
        Ok(kept.save()?)
    }

    /// Finds a link in order, as a privacy officer.
    pub async fn approve_link(&self, actor: &Actor, link: LinkId) -> Result<Decided, ClientError> {
        self.send_confirmation(actor, link, Confirmation::Officer).await
    }

    /// Confirms a link with what the patient signed.
    pub async fn confirm_link_by_patient(
        &self,
        identity: &MemberIdentity,
        kept: &mut KeptLinks,
        (link, word): (LinkId, &PatientsWord),
    ) -> Result<Decided, ClientError> {
        let consent = self.keep_word(identity, kept, link, (word, true)).await?;
        self.send_confirmation(&identity.actor(), link, Confirmation::Patient(consent)).await
    }

    async fn send_confirmation(
        &self,
        actor: &Actor,
        link: LinkId,
        confirmation: Confirmation,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::LinkConfirm(LinkConfirm { link, confirmation })).await
    }

    /// Checks a patient's word and keeps it; the salted digest of it.
    async fn keep_word(
        &self,
        identity: &MemberIdentity,
        kept: &mut KeptLinks,
        link: LinkId,
        (word, agrees): (&PatientsWord, bool),
    ) -> Result<Digest, ClientError> {
        let line = kept.book.line(link)?.clone();
        let charts = [Some(line.own.chart), line.theirs.map(|it| it.chart)];
        let about = word.chain == identity.chain()
            && (word.link, word.agrees) == (link, agrees)
            && charts.contains(&Some(word.chart));
        let chart = self.chart(&identity.actor(), word.chart).await?;
        let message = PatientsWord::message(&word.chain, link, word.chart, agrees, word.at);
        let (key, signature) = (&chart.keys.signing, &word.signature);
        let signed = sign::verify(key, WORD_DOMAIN, message.as_bytes(), signature).is_ok();
        // Before a chart is claimed, its key is the organisation's own: that is not the patient's word.
        if !(about && signed && chart.claim.is_none()) {
            return Err(UsageError::NotThePatient(link).into());
        }
        // The ledger may have this word already, under the salt that is kept.
        let known = line.words.iter().find(|it| it.word == *word).map(|it| it.salt);
        let salt = known.unwrap_or_else(|| Salt(random()));
        if known.is_none() {
            let mut words = line.words.to_vec();
            words.push(KeptWord { word: word.clone(), salt });
            let full = |_| UsageError::BookFull { max: WORDS_MAX };
            let words = List::from_vec(words).map_err(full)?;
            kept.book.put(LinkLine { words, ..line })?;
            kept.save()?;
        }
        Ok(consent_digest(&salt, &word.encode()))
    }

    /// Reverses a link. A withdrawal of the patient is checked and kept first.
    pub async fn reverse_link(
        &self,
        identity: &MemberIdentity,
        kept: &mut KeptLinks,
        (link, reason): (LinkId, LinkReversal),
        withdrawal: Option<&PatientsWord>,
    ) -> Result<Decided, ClientError> {
        let withdrawal = match withdrawal {
            Some(word) => Some(self.keep_word(identity, kept, link, (word, false)).await?),
            None => None,
        };
        let reverse = LinkReverse { link, reason, withdrawal };
        self.command(&identity.actor(), Payload::LinkReverse(reverse)).await
    }

    /// Every record that was written in one's own chart while a link held: those of the other organisation
    /// and those that were noted first. `actor` may read the chart's log.
    pub async fn work_list(
        &self,
        actor: &Actor,
        line: &LinkLine,
    ) -> Result<Vec<WorkLine>, ClientError> {
        let link = self.link(actor, line.link).await?;
        let Some(since) = link.since else { return Ok(Vec::new()) };
        let until = link.reversed.map_or(BlockTime(u64::MAX), |reversed| reversed.at);
        let records = self.records(actor, line.own.chart, LogMark::START).await?;
        let mut organisations: BTreeMap<MemberId, OrganisationId> = BTreeMap::new();
        let mut work = Vec::new();
        for facts in written_between(records, since, until) {
            let by_counterpart = match facts.author {
                Party::Member(id) => {
                    let organisation = match organisations.get(&id) {
                        Some(known) => *known,
                        None => self.member(actor, id).await?.organisation,
                    };
                    organisations.insert(id, organisation);
                    organisation == line.with
                }
                Party::Controller(_)
                | Party::Claimant(_)
                | Party::Administrator(_)
                | Party::Custodian(_)
                | Party::Proxy(..)
                | Party::Guardian(_)
                | Party::Successor(_)
                | Party::Validator(_) => false,
            };
            let noted = line.noted.iter().find(|it| it.record == facts.name);
            work.push(WorkLine {
                by_counterpart,
                noted: noted.is_some(),
                refiled_to: noted.and_then(|it| it.refiled_to),
                facts,
            });
        }
        work.sort_by_key(|it| (!(it.by_counterpart || it.noted), it.facts.name.position));
        Ok(work)
    }

    /// Writes a record to the member who files it in the right chart.
    pub async fn write_refiled(
        &self,
        identity: &MemberIdentity,
        refiled: &Refiled,
        to: MemberId,
    ) -> Result<Vec<u8>, ClientError> {
        self.write_letter(identity, to, REFILED_DOMAIN, refiled).await
    }

    /// Reads a record that is to be filed in the right chart.
    pub async fn read_refiled(
        &self,
        identity: &MemberIdentity,
        bytes: &[u8],
    ) -> Result<(Writer, Refiled), ClientError> {
        self.read_letter(identity, REFILED_DOMAIN, bytes).await
    }
}

/// Records that were added from `since` on and before `until`; the blocks of both count, since what stood in
/// them may have been decided with the link.
fn written_between(
    records: Vec<RecordFacts>,
    since: BlockTime,
    until: BlockTime,
) -> impl Iterator<Item = RecordFacts> {
    records.into_iter().filter(move |it| since <= it.time && it.time <= until)
}

impl Refiled {
    /// A record as it is refiled, from what the ledger says of it and its content.
    pub fn of(
        link: LinkId,
        facts: &RecordFacts,
        compartment: Option<&str>,
        content: Vec<u8>,
    ) -> Result<Self, UsageError> {
        let author = match facts.author {
            Party::Member(member) => Some(member),
            Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => None,
        };
        Ok(Self {
            link,
            kind: facts.kind,
            compartment: compartment.and_then(|it| Text::from_string(it.to_owned()).ok()),
            author,
            written: facts.time,
            content: Blob::from_vec(content)
                .map_err(|_| UsageError::LetterTooLong { max: REFILED_BYTES_MAX })?,
        })
    }
}

#[cfg(test)]
mod tests;
