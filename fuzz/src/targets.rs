//! What each decoder is held to.

use keepwell_crypto::{
    body::{self, Decryptor, Layout},
    capsule::SaltedCapsule,
    command,
    grant::{self, SealedSeeds},
    keyfile::KeyFile,
    keys::ClaimCode,
    request, sheet,
    threshold::{Committee, KeyShare, Partial},
};
use keepwell_ledger::state::Value;
use keepwell_merkle::{
    anchor::DocumentReceipt,
    block,
    certificate::{self, Validators},
    chart_log,
    content::ContentHasher,
    range::{Peaks, RangePath},
    receipt::Receipt,
};
use keepwell_types::{
    block::{Certificate, Header},
    chart::KeySheet,
    command::SignedCommand,
    encoding::DecodeError,
    genesis::Genesis,
    id::Digest,
    limits::{CAPSULE_BYTES_MAX, HEADER_BYTES_MAX, RECEIPT_BYTES_MAX},
    outcome::{Outcome, Verdict},
    record::Label,
    wire::{LogPage, ReleaseAnswer, ReleaseRequest, SignedRequest},
};
use minicbor::{Decode, Encode};

use crate::seeds;

/// More than any message may have.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A value, if the bytes are one; then they are its only encoding.
fn decode<'b, T>(bytes: &'b [u8], max: usize) -> Option<T>
where
    T: Decode<'b, ()> + Encode<()>,
{
    let decoded: Result<T, DecodeError> = keepwell_types::decode(bytes, max);
    let value = decoded.ok()?;
    assert_eq!(keepwell_types::encode(&value), bytes, "accepted bytes are the one encoding");
    Some(value)
}

pub fn command(bytes: &[u8]) {
    let Ok(signed) = SignedCommand::decode(bytes) else { return };
    assert_eq!(signed.encode(), bytes, "accepted bytes are the one encoding");
    let _ = command::record_id_of(&signed.command);
    let _ = (signed.command.payload.name(), signed.command.payload.chart());
    let parties = signed.command.signers.len();
    if let Ok(verified) = command::verify(signed) {
        assert_eq!(verified.signatures().len(), parties, "each signer signed");
        assert!(parties == 0 || seeds::is_seed("command", bytes), "a signature was forged");
    }
}

pub fn genesis(bytes: &[u8]) {
    let Ok(genesis) = Genesis::decode(bytes) else { return };
    assert_eq!(genesis.encode(), bytes, "accepted bytes are the one encoding");
    let _ = command::chain_id(&genesis);
    assert!(genesis.quorum() + genesis.faults_max() == genesis.validators.len());
    let _ = Validators::of(&genesis);
    let _ = Committee::new(&genesis.committee);
}

pub fn header(bytes: &[u8]) {
    if let Some(header) = decode::<Header>(bytes, HEADER_BYTES_MAX) {
        let _ = block::block_id(&header);
    }
}

pub fn certificate(bytes: &[u8]) {
    if let Some(certificate) = decode::<Certificate>(bytes, RECEIPT_BYTES_MAX) {
        let verified = certificate::verify(&certificate, seeds::genesis());
        assert!(verified.is_err(), "a vote was forged");
    }
}

pub fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    assert_eq!(receipt.encode(), bytes, "accepted bytes are the one encoding");
    assert!(receipt.verify(seeds::genesis()).is_err(), "a receipt was forged");
}

pub fn anchor_receipt(bytes: &[u8]) {
    let Ok(receipt) = DocumentReceipt::decode(bytes) else { return };
    assert_eq!(receipt.encode(), bytes, "accepted bytes are the one encoding");
    let verified = receipt.verify(seeds::genesis(), &Digest([7; 32]));
    assert!(verified.is_err(), "a receipt was forged");
}

pub fn outcome(bytes: &[u8]) {
    let Some(outcome) = decode::<Outcome>(bytes, RECEIPT_BYTES_MAX) else { return };
    let _ = block::outcome_leaf(&outcome);
    if let Verdict::Rejected(rejection) = &outcome.verdict {
        assert!(!rejection.to_string().is_empty(), "a refusal says why");
    }
}

pub fn history_path(bytes: &[u8]) {
    if let Ok(peaks) = Peaks::decode(bytes) {
        assert_eq!(peaks.encode(), bytes, "accepted bytes are the one encoding");
        let _ = peaks.root();
    }
    if let Some(path) = decode::<RangePath>(bytes, RECEIPT_BYTES_MAX) {
        let verified = path.verify(&Digest([1; 32]), 1 << 20, 77, &Digest([2; 32]));
        assert!(verified.is_err(), "a path to a random root was found");
    }
}

pub fn capsule(bytes: &[u8]) {
    let Ok(salted) = SaltedCapsule::decode(bytes) else { return };
    assert_eq!(salted.encode(), bytes, "accepted bytes are the one encoding");
    assert!(bytes.len() <= CAPSULE_BYTES_MAX);
    let _ = salted.commitment();
    if salted.capsule.verify_release(seeds::committee()).is_ok() {
        assert_eq!(salted.capsule.label(), &seeds::label(), "a capsule was given another label");
    }
}

pub fn label(bytes: &[u8]) {
    let _ = decode::<Label>(bytes, CAPSULE_BYTES_MAX);
}

pub fn key_file(bytes: &[u8]) {
    let Ok(file) = KeyFile::decode(bytes) else { return };
    assert_eq!(file.encode(), bytes, "accepted bytes are the one encoding");
    let _ = (file.about(), file.lock_kind());
    // With an operator's key only: a passphrase's cost is bounded, and still far too slow to fuzz.
    if file.open_with_operator_key(&seeds::OPERATOR_KEY).is_ok() {
        assert!(seeds::is_seed("key_file", bytes), "a key file was forged");
    }
}

pub fn grant_seals(bytes: &[u8]) {
    let Ok(sealed) = SealedSeeds::decode(bytes) else { return };
    assert_eq!(sealed.encode(), bytes, "accepted bytes are the one encoding");
    let _ = sealed.digest();
    let opened =
        seeds::with_binding(|binding| grant::open_seeds(binding, &seeds::grantee(), &sealed));
    assert!(opened.is_err() || seeds::is_seed("grant_seals", bytes), "sealed seeds were altered");
}

pub fn key_sheet(bytes: &[u8]) {
    let Some(sheet) = decode::<KeySheet>(bytes, MESSAGE_BYTES_MAX) else { return };
    let root = sheet::root(&sheet);
    let _ = sheet::verify(&sheet, &root);
}

pub fn claim_code(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(code) = ClaimCode::parse(text) {
        let again = ClaimCode::parse(&code.print());
        assert!(again.is_ok_and(|again| again.print() == code.print()), "a code reads as printed");
    }
}

/// The bytes are a sealed body, as a custodian might serve it.
pub fn body(bytes: &[u8]) {
    if let Some(log2) = body::chunk_log2(bytes) {
        let mut hasher = ContentHasher::new(log2);
        bytes.chunks(1_000).for_each(|piece| hasher.update(piece));
        let _ = hasher.finish();
    }
    if let Ok(layout) = Layout::of_sealed(bytes.len() as u64) {
        assert_eq!(layout.sealed_bytes(), bytes.len() as u64);
    }
    if opens(bytes).is_some() {
        assert!(seeds::is_seed("body", bytes), "a body was altered");
    }
}

fn opens(bytes: &[u8]) -> Option<u64> {
    let (header, mut chunks) = bytes.split_at_checked(body::HEADER_BYTES)?;
    let mut decryptor =
        Decryptor::new(&seeds::dek(), &seeds::label().record, header, bytes.len() as u64).ok()?;
    while let Some(length) = decryptor.next_sealed_bytes() {
        let (chunk, rest) = chunks.split_at_checked(length)?;
        decryptor.open_chunk(&mut chunk.to_vec()).ok()?;
        chunks = rest;
    }
    decryptor.finish().ok()
}

pub fn bundle(bytes: &[u8]) {
    if let Ok(bundle) = keepwell_fhir::bundle::split(bytes, MESSAGE_BYTES_MAX) {
        let _ = bundle.patients();
        bundle.resources.iter().for_each(|resource| {
            let _ = resource.classify();
        });
        bundle.warnings.iter().for_each(|warning| {
            let _ = warning.to_string();
        });
    }
    let line = keepwell_fhir::summary::one_line(bytes);
    assert!(line.chars().count() <= keepwell_fhir::summary::LINE_CHARS_MAX, "a line is short");
    assert!(!line.chars().any(char::is_control), "a line cannot steer a terminal");
}

pub fn request(bytes: &[u8]) {
    let Some(signed) = decode::<SignedRequest>(bytes, MESSAGE_BYTES_MAX) else { return };
    if request::verify(signed).is_ok() {
        assert!(seeds::is_seed("request", bytes), "a request was forged");
    }
}

pub fn release_request(bytes: &[u8]) {
    let Some(request) = decode::<ReleaseRequest>(bytes, MESSAGE_BYTES_MAX) else { return };
    request.items.iter().for_each(|item| capsule(&item.capsule));
}

pub fn release_answer(bytes: &[u8]) {
    let Some(answer) = decode::<ReleaseAnswer>(bytes, MESSAGE_BYTES_MAX) else { return };
    let _ = Partial::from_bytes(&answer.sealed);
}

/// The bytes are a validator's shares and their proof, or its key, as they stand in a file.
pub fn share(bytes: &[u8]) {
    if let Ok(partial) = Partial::from_bytes(bytes) {
        assert_eq!(&*partial.to_bytes(), bytes, "accepted bytes are the one encoding");
    }
    if let Some(share) = KeyShare::from_bytes(bytes) {
        assert_eq!(&share.to_bytes()[..], bytes, "accepted bytes are the one encoding");
        assert!(!share.is_of(seeds::committee()) || seeds::is_seed("share", bytes));
    }
}

pub fn log_page(bytes: &[u8]) {
    let Some(page) = decode::<LogPage>(bytes, MESSAGE_BYTES_MAX) else { return };
    let outcomes = page.entries.iter().map(|entry| &entry.outcome);
    let _ = chart_log::extend_all(page.before, page.from, outcomes);
}

pub fn state_value(bytes: &[u8]) {
    let Ok(value) = Value::decode(bytes) else { return };
    assert_eq!(value.encode(), bytes, "accepted bytes are the one encoding");
}
