//! The words of a case, sealed to the case's own key.
//!
//! ```text
//! case key  = 32 bytes, derived from the chart's secret and the case
//! CaseWords = [suite, key check, encapsulated (1120), ciphertext, handed, attached]      ledger: its digest
//! plaintext = length of the text (4, big endian) ‖ text ‖ zeros up to Padmé(4 + length), 256 at least
//! handed    = [[member, encapsulated (1120), sealed case key (48)], ...]
//! attached  = [[record, sealed case key (48)], ...]
//! ```
//!
//! All words of one case, the request, the answer and what is said after it, are sealed to one key. Whoever
//! controls the chart derives it; members of the organisation that has to answer are *handed* it; and where
//! a statement of disagreement has to go with a record, it is *attached* to the record: sealed under a key that
//! derives from the record's data key. So whoever opens the record opens what was said about it, and nobody
//! opens it who does not, a redaction of the record included.
//!
//! # Invariants
//!
//! * The key check fixes the key: one object has one plaintext, whoever made it.
//! * Words open in their own case of their own chart alone, and what is attached to a record with the data key
//!   of that record alone.
//! * A data key attaches one value in one case: the case's key. So its cipher never sees two messages.
//!
//! Not here: who said it. The command that names the digest is signed.

use alloc::{string::String, vec, vec::Vec};

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit as _,
    aead::{Aead as _, Payload},
};
use keepwell_types::{
    DecodeError, encode,
    encoding::{Blob, List},
    id::{CaseId, ChainId, ChartId, Digest, MemberId, RecordId, Suite},
    limits::{CASE_ATTACHED_MAX, CASE_HANDED_MAX, CASE_TEXT_BYTES_MAX, SEALED_SEEDS_BYTES_MAX},
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    body::Dek,
    hash::{derive, digest},
    keys::CaseKey,
    padding::padded_len,
    seal::{self, ENCAPSULATED_BYTES, OpenError, SealError, SealingKey, SealingPublic, TAG_BYTES},
};

const WORDS_DOMAIN: &str = "keepwell/words/text/v1";
const HANDED_DOMAIN: &str = "keepwell/words/handed/v1";

/// Bytes of words: as of everything small that lies at custodians.
const WORDS_BYTES_MAX: usize = SEALED_SEEDS_BYTES_MAX;
const LENGTH_BYTES: usize = 4;
/// Shorter texts are as long as this: "no" and "yes, gladly" look alike.
const PLAIN_BYTES_MIN: u64 = 256;
const PLAIN_BYTES_MAX: usize = padded_len((LENGTH_BYTES + CASE_TEXT_BYTES_MAX) as u64) as usize;
const CIPHERTEXT_BYTES_MAX: usize = PLAIN_BYTES_MAX + TAG_BYTES;
const SEALED_KEY_BYTES: usize = 32 + TAG_BYTES;

// A line for a member is an id, an encapsulation and a sealed key, a line for a record an id and a sealed key;
// frames take 16 bytes at most.
const _: () = assert!(
    CIPHERTEXT_BYTES_MAX
        + ENCAPSULATED_BYTES
        + CASE_HANDED_MAX * (16 + ENCAPSULATED_BYTES + SEALED_KEY_BYTES + 16)
        + CASE_ATTACHED_MAX * (32 + SEALED_KEY_BYTES + 16)
        + 64
        <= WORDS_BYTES_MAX
);

/// What words are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The consortium.
    pub chain: &'a ChainId,
    /// The chart.
    pub chart: &'a ChartId,
    /// The case.
    pub case: &'a CaseId,
}

impl Subject<'_> {
    fn parts(&self) -> [&[u8]; 3] {
        [&self.chain.0, &self.chart.0, &self.case.0]
    }
}

/// Words of a case: an object that lies at the custodians.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct CaseWords {
    #[n(0)]
    suite: Suite,
    #[n(1)]
    key_check: Digest,
    #[n(2)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(3)]
    ciphertext: Blob<CIPHERTEXT_BYTES_MAX>,
    #[n(4)]
    handed: List<Handed, CASE_HANDED_MAX>,
    #[n(5)]
    attached: List<Attached, CASE_ATTACHED_MAX>,
}

/// The case's key for one member.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct Handed {
    #[n(0)]
    member: MemberId,
    #[n(1)]
    encapsulated: Blob<ENCAPSULATED_BYTES>,
    #[n(2)]
    sealed_key: Blob<SEALED_KEY_BYTES>,
}

/// The case's key for whoever opens one version of a record.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct Attached {
    #[n(0)]
    record: RecordId,
    #[n(1)]
    sealed_key: Blob<SEALED_KEY_BYTES>,
}

/// Who gets a case's key with words of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readers<'a> {
    /// Members that it is handed to.
    pub members: &'a [(MemberId, SealingPublic)],
    /// Versions of a record that it is attached to.
    pub records: &'a [(RecordId, &'a Dek)],
}

/// Seals a text to a case's key; hands the key to members, and attaches it to versions of a record.
pub fn seal_words(
    rng: &mut impl CryptoRng,
    subject: &Subject<'_>,
    key: &CaseKey,
    text: &str,
    readers: Readers<'_>,
) -> Result<CaseWords, SealError> {
    let Readers { members, records } = readers;
    let too_many = |given, max| SealError::TooManyReaders { given, max };
    let plain = pad(text)?;
    let public = key.sealing().public();
    let (encapsulated, ciphertext) =
        seal::seal(rng, &public, WORDS_DOMAIN, &subject.parts(), &plain);
    let handed: Vec<_> =
        members.iter().map(|(member, public)| hand(rng, subject, key, *member, public)).collect();
    let attached: Vec<_> =
        records.iter().map(|(record, dek)| attach(subject, key, *record, dek)).collect();
    Ok(CaseWords {
        suite: Suite::One,
        key_check: key_check(key),
        encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
        ciphertext: Blob::from_vec(ciphertext).expect("the length of the text was checked"),
        handed: List::from_vec(handed).map_err(|_| too_many(members.len(), CASE_HANDED_MAX))?,
        attached: List::from_vec(attached)
            .map_err(|_| too_many(records.len(), CASE_ATTACHED_MAX))?,
    })
}

impl CaseWords {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        keepwell_types::decode(bytes, WORDS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/words/sealed/v1", &[&self.encode()])
    }

    /// The text, with the case's key.
    pub fn open(
        &self,
        subject: &Subject<'_>,
        key: &CaseKey,
    ) -> Result<Zeroizing<String>, OpenError> {
        self.check(key)?;
        let parts = subject.parts();
        let (encapsulated, ciphertext) = (&self.encapsulated, &self.ciphertext);
        let plain = seal::open(&key.sealing(), WORDS_DOMAIN, &parts, encapsulated, ciphertext)?;
        unpad(&plain)
    }

    /// Whether the case's key was handed to this member.
    pub fn is_handed_to(&self, member: MemberId) -> bool {
        self.handed.iter().any(|handed| handed.member == member)
    }

    /// The case's key, for a member that it was handed to.
    pub fn key_of_member(
        &self,
        subject: &Subject<'_>,
        member: MemberId,
        key: &SealingKey,
    ) -> Result<CaseKey, OpenError> {
        let handed = self.handed.iter().find(|it| it.member == member);
        let handed = handed.ok_or(OpenError::WrongKey)?;
        let [chain, chart, case] = subject.parts();
        let parts: [&[u8]; 4] = [chain, chart, case, &member.0];
        let sealed =
            seal::open(key, HANDED_DOMAIN, &parts, &handed.encapsulated, &handed.sealed_key)?;
        self.checked(&sealed)
    }

    /// The versions of a record that the case's key is attached to.
    pub fn records(&self) -> impl Iterator<Item = RecordId> {
        self.attached.iter().map(|attached| attached.record)
    }

    /// The case's key, for whoever has opened a version of the record that it is attached to.
    pub fn key_of_record(
        &self,
        subject: &Subject<'_>,
        record: RecordId,
        dek: &Dek,
    ) -> Result<CaseKey, OpenError> {
        let attached = self.attached.iter().find(|it| it.record == record);
        let attached = attached.ok_or(OpenError::WrongKey)?;
        let opened = cipher(subject, record, dek)
            .decrypt(&[0; 12].into(), Payload { msg: &attached.sealed_key, aad: &[] })
            .map(Zeroizing::new)
            .map_err(|_| OpenError::WrongKey)?;
        self.checked(&opened)
    }

    fn checked(&self, key: &[u8]) -> Result<CaseKey, OpenError> {
        let key = CaseKey::from_bytes(key.try_into().map_err(|_| OpenError::WrongKey)?);
        self.check(&key)?;
        Ok(key)
    }

    /// Whether they are sealed to this key: a case has one, whoever speaks in it.
    pub fn check(&self, key: &CaseKey) -> Result<(), OpenError> {
        let is_it = key_check(key).0.ct_eq(&self.key_check.0);
        if bool::from(is_it) { Ok(()) } else { Err(OpenError::WrongKey) }
    }
}

fn hand(
    rng: &mut impl CryptoRng,
    subject: &Subject<'_>,
    key: &CaseKey,
    member: MemberId,
    public: &SealingPublic,
) -> Handed {
    let [chain, chart, case] = subject.parts();
    let parts: [&[u8]; 4] = [chain, chart, case, &member.0];
    let (encapsulated, sealed_key) =
        seal::seal(rng, public, HANDED_DOMAIN, &parts, key.as_bytes().as_slice());
    Handed {
        member,
        encapsulated: Blob::from_vec(encapsulated).expect("X-Wing's length"),
        sealed_key: Blob::from_vec(sealed_key).expect("a key and a tag"),
    }
}

fn attach(subject: &Subject<'_>, key: &CaseKey, record: RecordId, dek: &Dek) -> Attached {
    let message = Payload { msg: key.as_bytes().as_slice(), aad: &[] };
    let sealed_key = cipher(subject, record, dek)
        .encrypt(&[0; 12].into(), message)
        .expect("32 bytes are within the cipher's limit");
    Attached { record, sealed_key: Blob::from_vec(sealed_key).expect("a key and a tag") }
}

/// The cipher of one record in one case. It encrypts one value, the case's key.
fn cipher(subject: &Subject<'_>, record: RecordId, dek: &Dek) -> ChaCha20Poly1305 {
    let [chain, chart, case] = subject.parts();
    let parts: [&[u8]; 4] = [chain, chart, case, &record.0];
    let key: Zeroizing<[u8; 32]> =
        derive(dek.as_bytes().as_slice(), "keepwell/words/attached/v1", &parts);
    ChaCha20Poly1305::new((&*key).into())
}

fn key_check(key: &CaseKey) -> Digest {
    digest("keepwell/words/key-check/v1", &[key.as_bytes().as_slice()])
}

fn pad(text: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (len, max) = (text.len(), CASE_TEXT_BYTES_MAX);
    if len > max {
        return Err(SealError::TextTooLong { len, max });
    }
    let padded = padded_len((LENGTH_BYTES + len) as u64).max(PLAIN_BYTES_MIN) as usize;
    let mut plain = Zeroizing::new(vec![0; padded]);
    plain[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    plain[LENGTH_BYTES..LENGTH_BYTES + len].copy_from_slice(text.as_bytes());
    Ok(plain)
}

/// The text. Another padding than [`pad`]'s is its author's fault.
fn unpad(plain: &[u8]) -> Result<Zeroizing<String>, OpenError> {
    let (length, rest) = plain.split_first_chunk::<LENGTH_BYTES>().ok_or(OpenError::Padding)?;
    let len = u32::from_be_bytes(*length) as usize;
    let text = rest.get(..len).ok_or(OpenError::Padding)?;
    let text = core::str::from_utf8(text).map_err(|_| OpenError::Padding)?;
    match pad(text) {
        Ok(padded) if padded.as_slice() == plain => Ok(Zeroizing::new(text.into())),
        Ok(_) | Err(_) => Err(OpenError::Padding),
    }
}
