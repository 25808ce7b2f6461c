//! What each decoder is held to. A target says whether the decoder took the bytes.
#![expect(missing_docs, reason = "a target has the name of what its decoder reads")]

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::CertifiableBlock as _;
use keepwell_client::{
    chart::{ClaimLetter, Meanings},
    delegate::Offer,
    grant::GrantNotice,
    key_letter::KeyLetter,
    letter::Letter,
    link::{LinkLetter, PatientsWord, Refiled},
    matching::{TokenBook, TokenSheet},
    open::records_on,
    proxy::ProxyLetter,
    record::ErasureCertificate,
    report::officer::check_page,
    signoff::SignatureFile,
    tls::Address,
    trustee::{Permit, TRUSTEE_REQUEST_BYTES_MAX},
    verify::{LogMark, LogWalk},
};
use keepwell_crypto::{
    body::{self, Decryptor, Layout},
    capsule::SaltedCapsule,
    ceremony::{self, Board, Founding, Plan, Post},
    command,
    custody::{shown_digest, verify_custody, verify_finding},
    dealing::{self, Dealing},
    escrow::Escrow,
    grant::{self, SealedSeeds},
    guardian::{self, GuardianEscrow},
    keyfile::KeyFile,
    keys::ClaimCode,
    matching::BlindedPoint,
    request, reshare,
    sd_jwt::Issued,
    sheet,
    threshold::{Committee, KeyShare, Partial},
    trustee::{ChartEscrow, TrusteeAnswer},
    words::CaseWords,
};
use keepwell_engine::{
    admission::read_forwarded,
    block::Block,
    index::BlockLine,
    sync::{ANSWER_BYTES_MAX, Ask, ChartPage, LinePage, TipPage},
};
use keepwell_ledger::state::{Key, LogLine, Value};
use keepwell_merkle::{
    anchor::DocumentReceipt,
    block,
    certificate::{self, Validators},
    content::ContentHasher,
    handover::Handover,
    range::{Peaks, RangePath},
    receipt::Receipt,
};
use keepwell_node::config::NodeConfig;
use keepwell_types::{
    access::{Purpose, Target as Asked},
    block::{Certificate, Header},
    challenge::ChallengeAnswer,
    chart::KeySheet,
    command::{Entry, SignedCommand},
    encoding::{Blob, DecodeError, List},
    founding::{Draft, FounderCard},
    genesis::Genesis,
    id::{ChartId, Digest, GrantId, Location, LogPosition, MemberId},
    limits::{
        CAPSULE_BYTES_MAX, CHALLENGE_ANSWER_BYTES_MAX, COMMAND_BYTES_MAX, HANDOVER_BYTES_MAX,
        HEADER_BYTES_MAX, RECEIPT_BYTES_MAX, VALIDATORS_MAX,
    },
    member::Role,
    outcome::{Outcome, Verdict},
    record::{CustodyAcknowledgement, CustodyStatement, Label, RecordKind},
    set::CompartmentSet,
    signoff::ApprovalRule,
    time::BlockTime,
    validators::{ValidatorCard, ValidatorSet},
    wire::{
        AccessPage, CapsuleAnswer, CapsuleRequest, LogPage, MatchAnswer, MatchRequest, OpenedPage,
        ReleaseAnswer, ReleaseRequest, STORED_BLOCKS_BYTES_MAX, SeedTable, SignedRequest,
        StateProof, StoredBlocks, TRANSACTION_PARTS_BYTES_MAX, TRANSACTION_RECEIPTS_BYTES_MAX,
        TransactionParts, TransactionReceipts, TrusteeRequest,
    },
};
use minicbor::{Decode, Encode};

use crate::{interop, seeds};

/// More than any message may have.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Gives a decoder bytes; says whether it took them.
pub type Target = fn(&[u8]) -> bool;

/// Each target with its name.
pub const ALL: [(&str, Target); 75] = [
    ("access_page", access_page),
    ("acknowledgement", acknowledgement),
    ("anchor_receipt", anchor_receipt),
    ("block", block),
    ("body", body),
    ("bundle", bundle),
    ("capsule", capsule),
    ("capsule_answer", capsule_answer),
    ("capsule_request", capsule_request),
    ("case_words", case_words),
    ("ccda_document", interop::ccda_document),
    ("certificate", certificate),
    ("challenge_answer", challenge_answer),
    ("chart_escrow", chart_escrow),
    ("claim_code", claim_code),
    ("claim_letter", claim_letter),
    ("command", command),
    ("dealing", dealing),
    ("draft", draft),
    ("entry", entry),
    ("escrow", escrow),
    ("fhir_consent", interop::fhir_consent),
    ("fhir_export", interop::fhir_export),
    ("fhir_header", interop::fhir_header),
    ("fhir_patch", interop::fhir_patch),
    ("fhir_search", interop::fhir_search),
    ("fhir_transaction", interop::fhir_transaction),
    ("forwarded", forwarded),
    ("founder_card", founder_card),
    ("founding", founding),
    ("genesis", genesis),
    ("grant_notice", grant_notice),
    ("grant_seals", grant_seals),
    ("guardian_escrow", guardian_escrow),
    ("handover", handover),
    ("header", header),
    ("history_path", history_path),
    ("hl7v2_message", interop::hl7v2_message),
    ("index_line", index_line),
    ("key_file", key_file),
    ("key_letter", key_letter),
    ("key_sheet", key_sheet),
    ("label", label),
    ("log_page", log_page),
    ("match_message", match_message),
    ("meanings", meanings),
    ("mllp", interop::mllp),
    ("node_address", node_address),
    ("node_config", node_config),
    ("outcome", outcome),
    ("offer", offer),
    ("opened_page", opened_page),
    ("post", post),
    ("proxy_letter", proxy_letter),
    ("receipt", receipt),
    ("release_answer", release_answer),
    ("release_request", release_request),
    ("request", request),
    ("sd_jwt", sd_jwt),
    ("sealed_seeds", sealed_seeds),
    ("seed_table", seed_table),
    ("share", share),
    ("share_proof", share_proof),
    ("sign_off_rule", sign_off_rule),
    ("signatures", signatures),
    ("state_proof", state_proof),
    ("state_value", state_value),
    ("stored_blocks", stored_blocks),
    ("sync_message", sync_message),
    ("transaction", transaction),
    ("transaction_receipts", transaction_receipts),
    ("trustee_answer", trustee_answer),
    ("trustee_request", trustee_request),
    ("validator_card", validator_card),
    ("word", word),
];

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

pub fn command(bytes: &[u8]) -> bool {
    let Ok(signed) = SignedCommand::decode(bytes) else { return false };
    assert_eq!(signed.encode(), bytes, "accepted bytes are the one encoding");
    let _ = command::record_id_of(&signed.command);
    let _ = (signed.command.payload.name(), signed.command.payload.chart());
    let parties = signed.command.signers.len();
    if let Ok(verified) = command::verify(signed) {
        assert_eq!(verified.signatures().len(), parties, "each signer signed");
        assert!(parties == 0 || seeds::is_seed("command", bytes), "a signature was forged");
    }
    true
}

/// The bytes are what a client sends to have a transaction decided.
pub fn transaction(bytes: &[u8]) -> bool {
    let parts = decode::<TransactionParts>(bytes, TRANSACTION_PARTS_BYTES_MAX);
    let Some(parts) = parts else { return false };
    parts.iter().all(|part| command(&part.encode()))
}

/// The bytes are the answer to a transaction.
pub fn transaction_receipts(bytes: &[u8]) -> bool {
    let receipts = decode::<TransactionReceipts>(bytes, TRANSACTION_RECEIPTS_BYTES_MAX);
    let Some(receipts) = receipts else { return false };
    receipt(&receipts.first) && receipts.refused.is_none_or(|it| receipt(&it))
}

/// The bytes are a message of a validator to another one: commands that clients gave it.
pub fn forwarded(bytes: &[u8]) -> bool {
    let commands = read_forwarded(bytes);
    let sizes = commands.iter().map(Vec::len);
    assert!(sizes.sum::<usize>() <= bytes.len(), "a message holds no more than its bytes");
    let signed: Vec<_> =
        commands.iter().filter_map(|bytes| SignedCommand::decode(bytes).ok()).collect();
    let together = command::verify_all(signed.clone());
    let apart = signed.iter().cloned().map(command::verify);
    assert!(together.into_iter().eq(apart), "a batch answers as its commands do one by one");
    !signed.is_empty()
}

pub fn entry(bytes: &[u8]) -> bool {
    let Some(entry) = decode::<Entry>(bytes, COMMAND_BYTES_MAX) else { return false };
    let _ = command::entry_digest(&entry, 0);
    let _ = (entry.payload().name(), entry.payload().chart());
    true
}

/// The bytes are a block as validators send it to one another.
pub fn block(bytes: &[u8]) -> bool {
    let Ok(block) = Block::decode(Copying(bytes)) else { return false };
    assert_eq!(&block.encode()[..], bytes, "accepted bytes are the one encoding");
    // Consensus asks for it without asking whether there is one.
    let _ = block.context();
    block.entries().iter().for_each(|raw| {
        entry(raw.bytes());
    });
    true
}

pub fn genesis(bytes: &[u8]) -> bool {
    let Ok(genesis) = Genesis::decode(bytes) else { return false };
    assert_eq!(genesis.encode(), bytes, "accepted bytes are the one encoding");
    let _ = command::chain_id(&genesis);
    assert!(genesis.quorum() + genesis.faults_max() == genesis.validators.len());
    let _ = Validators::of(&genesis);
    let _ = Committee::new(&genesis.committee);
    true
}

pub fn header(bytes: &[u8]) -> bool {
    let Some(header) = decode::<Header>(bytes, HEADER_BYTES_MAX) else { return false };
    let _ = block::block_id(&header);
    true
}

pub fn certificate(bytes: &[u8]) -> bool {
    let Some(certificate) = decode::<Certificate>(bytes, RECEIPT_BYTES_MAX) else { return false };
    if certificate::verify(&certificate, seeds::genesis()).is_ok() {
        assert!(seeds::is_seed("certificate", bytes), "a vote was forged");
    }
    true
}

pub fn handover(bytes: &[u8]) -> bool {
    let Some(handover) = decode::<Handover>(bytes, HANDOVER_BYTES_MAX) else { return false };
    let mut validators = Validators::of(seeds::genesis()).expect("a consortium has validators");
    if validators.advance(&handover).is_ok() {
        assert!(seeds::is_seed("handover", bytes), "a hand-over was forged");
    }
    true
}

pub fn receipt(bytes: &[u8]) -> bool {
    let Ok(receipt) = Receipt::decode(bytes) else { return false };
    assert_eq!(receipt.encode(), bytes, "accepted bytes are the one encoding");
    if receipt.verify(&seeds::receipts().genesis).is_ok() {
        assert!(seeds::is_seed("receipt", bytes), "a receipt was forged");
    }
    true
}

pub fn anchor_receipt(bytes: &[u8]) -> bool {
    let Ok(receipt) = DocumentReceipt::decode(bytes) else { return false };
    assert_eq!(receipt.encode(), bytes, "accepted bytes are the one encoding");
    let proofs = seeds::document_receipts();
    if receipt.verify(&proofs.genesis, &proofs.document).is_ok() {
        assert!(seeds::is_seed("anchor_receipt", bytes), "a receipt was forged");
    }
    true
}

pub fn outcome(bytes: &[u8]) -> bool {
    let Some(outcome) = decode::<Outcome>(bytes, RECEIPT_BYTES_MAX) else { return false };
    let _ = block::outcome_leaf(&outcome);
    if let Verdict::Rejected(rejection) = &outcome.verdict {
        assert!(!rejection.to_string().is_empty(), "a refusal says why");
    }
    true
}

pub fn history_path(bytes: &[u8]) -> bool {
    let peaks = Peaks::decode(bytes);
    if let Ok(peaks) = &peaks {
        assert_eq!(peaks.encode(), bytes, "accepted bytes are the one encoding");
        let _ = peaks.root();
    }
    let path = decode::<RangePath>(bytes, RECEIPT_BYTES_MAX);
    if let Some(path) = &path {
        let verified = path.verify(&Digest([1; 32]), 1 << 20, 77, &Digest([2; 32]));
        assert!(verified.is_err(), "a path to a random root was found");
    }
    peaks.is_ok() || path.is_some()
}

pub fn capsule(bytes: &[u8]) -> bool {
    let Ok(salted) = SaltedCapsule::decode(bytes) else { return false };
    assert_eq!(salted.encode(), bytes, "accepted bytes are the one encoding");
    assert!(bytes.len() <= CAPSULE_BYTES_MAX);
    let _ = salted.commitment();
    if salted.capsule.verify_release(seeds::committee()).is_ok() {
        assert_eq!(salted.capsule.label(), &seeds::label(), "a capsule was given another label");
    }
    true
}

pub fn label(bytes: &[u8]) -> bool {
    decode::<Label>(bytes, CAPSULE_BYTES_MAX).is_some()
}

pub fn key_file(bytes: &[u8]) -> bool {
    let Ok(file) = KeyFile::decode(bytes) else { return false };
    assert_eq!(file.encode(), bytes, "accepted bytes are the one encoding");
    let _ = (file.about(), file.lock_kind());
    // With an operator's key only: a passphrase's cost is bounded, and still far too slow to fuzz.
    if file.open_with_operator_key(&seeds::OPERATOR_KEY).is_ok() {
        assert!(seeds::is_seed("key_file", bytes), "a key file was forged");
    }
    true
}

pub fn grant_seals(bytes: &[u8]) -> bool {
    let Ok(sealed) = SealedSeeds::decode(bytes) else { return false };
    assert_eq!(sealed.encode(), bytes, "accepted bytes are the one encoding");
    let _ = sealed.digest();
    let opened =
        seeds::with_binding(|binding| grant::open_seeds(binding, &seeds::grantee(), &sealed));
    assert!(opened.is_err() || seeds::is_seed("grant_seals", bytes), "sealed seeds were altered");
    true
}

/// The bytes are what a grantee finds under a good seal, which anyone can make.
pub fn sealed_seeds(bytes: &[u8]) -> bool {
    let Ok(sealed) = SealedSeeds::decode(&seeds::seal_plain(bytes)) else { return false };
    seeds::with_binding(|binding| grant::open_seeds(binding, &seeds::grantee(), &sealed)).is_ok()
}

/// The bytes are an escrow; its holders' keys open their shares and get the secret, or it is not the one
/// that was dealt.
pub fn escrow(bytes: &[u8]) -> bool {
    let Ok(escrow) = Escrow::decode(bytes) else { return false };
    assert_eq!(escrow.encode(), bytes, "an escrow has two encodings");
    let open = |holder| escrow.open_share(&[&seeds::CHART.0], holder, &seeds::grantee()).ok();
    let shares: Vec<_> = [1, 2].into_iter().filter_map(open).collect();
    let secret = escrow.recover(&[&seeds::CHART.0], &shares);
    assert!(secret.is_err() || seeds::is_seed("escrow", bytes), "an escrow was altered");
    true
}

/// The bytes are words of a case, as they lie at custodians.
pub fn case_words(bytes: &[u8]) -> bool {
    let Ok(words) = CaseWords::decode(bytes) else { return false };
    assert_eq!(words.encode(), bytes, "accepted bytes are the one encoding");
    let _ = words.digest();
    let _ = words.records().count();
    seeds::with_subject(|subject, key| {
        let forged = words.open(subject, key).is_ok() && !seeds::is_seed("case_words", bytes);
        // Who is handed the key, or attached, does not change what is said.
        assert!(
            !forged || words_said(&words) == words_said(&seeds::case_words()),
            "words were altered"
        );
    });
    true
}

/// The part of words that the text is in: the key check, the encapsulation and the ciphertext.
fn words_said(words: &CaseWords) -> Vec<u8> {
    let bytes = words.encode();
    let len = 2 + 2 + 32 + 3 + 1_120 + 3 + 256 + 16;
    bytes[..len.min(bytes.len())].to_vec()
}

/// The bytes are a credential or a presentation, as anyone may hand it to a board.
pub fn sd_jwt(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(issued) = Issued::parse(text) else { return false };
    assert_eq!(issued.text(), text, "a credential is its parts");
    let _ = (issued.names(), issued.evidence());
    let (trust, request) = (seeds::trust(), seeds::presentation_request());
    if issued.verify(&trust).is_ok() {
        // Its holder may leave out what can be disclosed.
        let seed = Issued::parse(&seeds::credential()).map(|seed| seed.evidence());
        assert_eq!(Ok(issued.evidence()), seed, "a credential was forged");
    }
    if issued.verify_presentation(&trust, &request).is_ok() {
        assert!(seeds::is_seed("sd_jwt", bytes), "a presentation was forged");
    }
    true
}

/// The bytes are what guardians hold together: nothing that is decoded has two encodings.
pub fn guardian_escrow(bytes: &[u8]) -> bool {
    let Ok(escrow) = GuardianEscrow::decode(bytes) else { return false };
    assert_eq!(escrow.encode(), bytes, "what guardians hold has two encodings");
    let binding = guardian::Binding { chain: &seeds::CHAIN, chart: &seeds::CHART };
    let _ = escrow.recover(&binding, &[]);
    true
}

/// The bytes are an offer for the chart, which its own key has signed.
pub fn offer(bytes: &[u8]) -> bool {
    let Ok(offer) = Offer::read(bytes, seeds::CHAIN, seeds::CHART) else { return false };
    assert_eq!(offer.encode(), bytes, "an offer has two encodings");
    true
}

pub fn key_letter(bytes: &[u8]) -> bool {
    let Ok(letter) = KeyLetter::decode(bytes) else { return false };
    assert_eq!(letter.encode(), bytes, "a letter has two encodings");
    true
}

pub fn proxy_letter(bytes: &[u8]) -> bool {
    let Ok(letter) = ProxyLetter::decode(bytes) else { return false };
    assert_eq!(letter.encode(), bytes, "a letter has two encodings");
    true
}

/// The bytes are what a chart leaves to emergencies; a trustee opens its shares of it, or none.
pub fn chart_escrow(bytes: &[u8]) -> bool {
    let Ok(escrow) = ChartEscrow::decode(bytes) else { return false };
    assert_eq!(escrow.encode(), bytes, "accepted bytes are the one encoding");
    let answer = seeds::trustee_answer(&escrow);
    assert!(answer.is_some() || !seeds::is_seed("chart_escrow", bytes), "a trustee has its shares");
    true
}

/// The bytes are a trustee's answer: another than the one that it signed does not count.
pub fn trustee_answer(bytes: &[u8]) -> bool {
    let Ok(answer) = TrusteeAnswer::decode(bytes) else { return false };
    assert_eq!(answer.encode(), bytes, "accepted bytes are the one encoding");
    let added = seeds::add_to_collector(&answer);
    assert!(added.is_err() || seeds::is_seed("trustee_answer", bytes), "a signature was forged");
    true
}

/// The bytes are what a reader brings a trustee: its proofs are of nothing here.
pub fn trustee_request(bytes: &[u8]) -> bool {
    let Some(request) = decode::<TrusteeRequest>(bytes, TRUSTEE_REQUEST_BYTES_MAX) else {
        return false;
    };
    let permit = Permit::of(seeds::consortium(), BlockTime(0), &request);
    assert!(permit.is_err(), "a permit was forged");
    true
}

/// The bytes are a grantee's notice, sealed or as it is under the seal, which anyone can make.
pub fn grant_notice(bytes: &[u8]) -> bool {
    let opened = GrantNotice::open(&seeds::CHAIN, &seeds::grantee(), bytes).is_ok();
    assert!(!opened || seeds::is_seed("grant_notice", bytes), "a sealed notice was altered");
    opened || decode::<GrantNotice>(bytes, MESSAGE_BYTES_MAX).is_some()
}

/// The bytes are the meanings of compartments, sealed or as they are under the seal.
pub fn meanings(bytes: &[u8]) -> bool {
    let opened = Meanings::open(seeds::CHART, &seeds::grantee(), bytes).is_ok();
    assert!(!opened || seeds::is_seed("meanings", bytes), "sealed meanings were altered");
    let Some(meanings) = decode::<Meanings>(bytes, MESSAGE_BYTES_MAX) else { return opened };
    meanings.iter().for_each(|meaning| {
        assert!(meanings.name(meaning.compartment).is_some(), "a compartment has its name");
        assert!(meanings.compartment(meaning.name.as_str()).is_ok(), "a name has a compartment");
    });
    true
}

pub fn claim_letter(bytes: &[u8]) -> bool {
    let Ok(letter) = ClaimLetter::decode(bytes) else { return false };
    assert_eq!(letter.encode(), bytes, "accepted bytes are the one encoding");
    true
}

pub fn key_sheet(bytes: &[u8]) -> bool {
    let Some(sheet) = decode::<KeySheet>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let root = sheet::root(&sheet);
    let _ = sheet::verify(&sheet, &root);
    true
}

pub fn seed_table(bytes: &[u8]) -> bool {
    let Some(table) = decode::<SeedTable>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let lines: Vec<(GrantId, Digest)> =
        table.lines.iter().map(|line| (line.grant, line.seeds)).collect();
    let _ = grant::table_digest(&lines);
    true
}

/// The bytes are a custodian's answer to a challenge.
pub fn challenge_answer(bytes: &[u8]) -> bool {
    let answer = decode::<ChallengeAnswer>(bytes, CHALLENGE_ANSWER_BYTES_MAX);
    let Some(answer) = answer else { return false };
    // The key is named for the asker to look up; who changes it makes an answer of somebody else.
    let signed = answer.key == seeds::custodian()
        && verify_finding(&answer.key, &answer.finding, &answer.signature).is_ok();
    let given = answer.shown.as_ref().map(shown_digest) == answer.finding.shown;
    assert!(
        !(signed && given) || seeds::is_seed("challenge_answer", bytes),
        "a finding was forged"
    );
    true
}

/// The bytes are a custodian's word that it stored a record.
pub fn acknowledgement(bytes: &[u8]) -> bool {
    let given = decode::<CustodyAcknowledgement>(bytes, MESSAGE_BYTES_MAX);
    let Some(given) = given else { return false };
    let statement = CustodyStatement { until: given.until, ..seeds::custody_statement() };
    if verify_custody(&seeds::custodian(), &statement, &given.signature).is_ok() {
        assert_eq!(given.until, seeds::custody_statement().until, "a statement was forged");
    }
    let _ = verify_custody(&given.key, &statement, &given.signature);
    true
}

/// The bytes are all dealings of a ceremony.
pub fn dealing(bytes: &[u8]) -> bool {
    let dealings = decode::<List<Dealing, VALIDATORS_MAX>>(bytes, MESSAGE_BYTES_MAX);
    let Some(dealings) = dealings else { return false };
    let (session, numbers) = (&seeds::SESSION, seeds::numbers());
    dealings.iter().for_each(|dealing| {
        let _ = dealing.digest();
        let _ = dealing.open(session, numbers, 1, &seeds::grantee());
    });
    let fresh = dealing::finish_fresh(session, numbers, &dealings);
    let anew = dealing::finish_anew(seeds::committee(), session, numbers, &dealings);
    if let Ok(keys) = &fresh {
        let _ = Committee::new(keys);
    }
    if let Ok(keys) = &anew {
        let next = Committee::new(keys);
        assert!(next.is_ok_and(|next| next.id() == seeds::committee().id()), "the key stays");
    }
    fresh.is_ok() || anew.is_ok()
}

pub fn founder_card(bytes: &[u8]) -> bool {
    let Ok(card) = FounderCard::decode(bytes) else { return false };
    assert_eq!(card.encode(), bytes, "accepted bytes are the one encoding");
    let signed = ceremony::check_card(&card).is_ok();
    assert!(!signed || seeds::is_seed("founder_card", bytes), "the fuzzer has no founder's keys");
    signed
}

pub fn validator_card(bytes: &[u8]) -> bool {
    let Ok(card) = ValidatorCard::decode(bytes) else { return false };
    assert_eq!(card.encode(), bytes, "accepted bytes are the one encoding");
    let signed = reshare::check_card(&seeds::CHAIN, &card).is_ok();
    let is_ours = seeds::is_seed("validator_card", bytes);
    assert!(!signed || is_ours, "the fuzzer has no validator's keys");
    signed
}

/// The bytes show that somebody has a share.
pub fn share_proof(bytes: &[u8]) -> bool {
    let Ok(proof) = Blob::from_vec(bytes.to_vec()) else { return false };
    let (resharing, keys) = seeds::reshare();
    let shown = resharing.verify(keys, 1, &proof).is_ok();
    assert!(!shown || seeds::is_seed("share_proof", bytes), "the fuzzer has no share");
    shown
}

pub fn draft(bytes: &[u8]) -> bool {
    let Ok(draft) = Draft::decode(bytes) else { return false };
    assert_eq!(draft.encode(), bytes, "accepted bytes are the one encoding");
    // What is not signed in it, founders read to each other.
    Plan::new(draft).is_ok()
}

pub fn post(bytes: &[u8]) -> bool {
    let Ok(post) = Post::decode(bytes) else { return false };
    assert_eq!(post.encode(), bytes, "accepted bytes are the one encoding");
    let taken = Board::new(seeds::plan()).add(post).is_ok();
    assert!(!taken || seeds::is_seed("post", bytes), "the fuzzer has no founder's keys");
    taken
}

pub fn founding(bytes: &[u8]) -> bool {
    let Ok(founding) = Founding::decode(bytes) else { return false };
    assert_eq!(founding.encode(), bytes, "accepted bytes are the one encoding");
    let founded = founding.genesis().is_ok();
    assert!(!founded || seeds::is_seed("founding", bytes), "the fuzzer has no founder's keys");
    founded
}

pub fn claim_code(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let Ok(code) = ClaimCode::parse(text) else { return false };
    let again = ClaimCode::parse(&code.print());
    assert!(again.is_ok_and(|again| again.print() == code.print()), "a code reads as printed");
    true
}

/// The bytes are a sign-off rule, as people write it or in its encoding.
pub fn sign_off_rule(bytes: &[u8]) -> bool {
    let written = str::from_utf8(bytes).ok().and_then(|text| text.parse::<ApprovalRule>().ok());
    let Some(rule) = written.or_else(|| decode(bytes, COMMAND_BYTES_MAX)) else { return false };
    let met = |signed: usize| rule.steps_met(|_| signed);
    assert!(rule.is_as_strict_as(&rule), "a rule is as strict as itself");
    if rule.check() {
        assert_eq!(
            (met(0), met(usize::MAX)),
            (0, rule.steps.len()),
            "a rule can be met, by somebody"
        );
        let span = rule.within_ms.is_none_or(|ms| ms % 1_000 == 0);
        let again = rule.to_string().parse();
        assert!(!span || again.as_ref() == Ok(&rule), "a rule reads as printed");
    }
    true
}

/// The bytes are a file of signatures.
pub fn signatures(bytes: &[u8]) -> bool {
    let Some(file) = decode::<SignatureFile>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let verified = file.verify(seeds::consortium());
    assert!(verified.is_err(), "signatures were forged: the seed is of another record");
    true
}

/// The bytes are an id or a word of a vocabulary, as people write them.
pub fn word(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let printed = [
        text.parse::<ChartId>().map(|id| id.to_string()).ok(),
        text.parse::<MemberId>().map(|id| id.to_string()).ok(),
        text.parse::<Role>().map(|word| word.to_string()).ok(),
        text.parse::<Purpose>().map(|word| word.to_string()).ok(),
        text.parse::<RecordKind>().map(|word| word.to_string()).ok(),
    ];
    let mut printed = printed.into_iter().flatten().peekable();
    let taken = printed.peek().is_some();
    assert!(printed.all(|again| again.eq_ignore_ascii_case(text)), "a word reads as printed");
    taken
}

/// The bytes are a sealed body, as a custodian might serve it.
pub fn body(bytes: &[u8]) -> bool {
    if let Some(log2) = body::chunk_log2(bytes) {
        let mut hasher = ContentHasher::new(log2);
        bytes.chunks(1_000).for_each(|piece| hasher.update(piece));
        let _ = hasher.finish();
    }
    if let Ok(layout) = Layout::of_sealed(bytes.len() as u64) {
        assert_eq!(layout.sealed_bytes(), bytes.len() as u64);
    }
    let opened = opens(bytes).is_some();
    assert!(!opened || seeds::is_seed("body", bytes), "a body was altered");
    opened
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

pub fn bundle(bytes: &[u8]) -> bool {
    let bundle = keepwell_fhir::bundle::split(bytes, MESSAGE_BYTES_MAX);
    if let Ok(bundle) = &bundle {
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
    bundle.is_ok()
}

pub fn request(bytes: &[u8]) -> bool {
    let Some(signed) = decode::<SignedRequest>(bytes, MESSAGE_BYTES_MAX) else { return false };
    if request::verify(signed).is_ok() {
        assert!(seeds::is_seed("request", bytes), "a request was forged");
    }
    true
}

pub fn release_request(bytes: &[u8]) -> bool {
    let Some(request) = decode::<ReleaseRequest>(bytes, MESSAGE_BYTES_MAX) else { return false };
    request.items.iter().filter(|item| capsule(&item.capsule)).count() == request.items.len()
}

pub fn capsule_request(bytes: &[u8]) -> bool {
    decode::<CapsuleRequest>(bytes, MESSAGE_BYTES_MAX).is_some()
}

pub fn capsule_answer(bytes: &[u8]) -> bool {
    let Some(answer) = decode::<CapsuleAnswer>(bytes, MESSAGE_BYTES_MAX) else { return false };
    answer.capsules.iter().flatten().filter(|it| capsule(it)).count() > 0
}

pub fn release_answer(bytes: &[u8]) -> bool {
    let Some(answer) = decode::<ReleaseAnswer>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let _ = Partial::from_bytes(&answer.sealed);
    true
}

/// The bytes are a request or an answer of matching, or what members write to each other about it, under the
/// seal or as it came.
pub fn match_message(bytes: &[u8]) -> bool {
    if let Some(request) = decode::<MatchRequest>(bytes, MESSAGE_BYTES_MAX) {
        for bytes in &request.points {
            let point = BlindedPoint::from_bytes(bytes);
            assert!(point.is_none_or(|point| point.to_bytes() == *bytes), "a point has one form");
        }
        return true;
    }
    if let Some(sheet) = decode::<TokenSheet>(bytes, MESSAGE_BYTES_MAX) {
        let _ = TokenBook::new(sheet.programme.clone()).compare(&sheet);
        return true;
    }
    if let Ok(word) = PatientsWord::decode(bytes) {
        assert_eq!(word.encode(), bytes, "accepted bytes are the one encoding");
        return true;
    }
    decode::<MatchAnswer>(bytes, MESSAGE_BYTES_MAX).is_some()
        || decode::<LinkLetter>(bytes, MESSAGE_BYTES_MAX).is_some()
        || decode::<Refiled>(bytes, MESSAGE_BYTES_MAX).is_some()
        || Letter::open(seeds::member(), "keepwell/fuzz/letter/v1", bytes).is_ok()
}

/// The bytes are a validator's shares and their proof, or its key, as they stand in a file.
pub fn share(bytes: &[u8]) -> bool {
    let partial = Partial::from_bytes(bytes);
    if let Ok(partial) = &partial {
        assert_eq!(&*partial.to_bytes(), bytes, "accepted bytes are the one encoding");
    }
    let share = KeyShare::from_bytes(bytes);
    if let Some(share) = &share {
        assert_eq!(&share.to_bytes()[..], bytes, "accepted bytes are the one encoding");
        assert!(!share.is_of(seeds::committee()) || seeds::is_seed("share", bytes));
    }
    partial.is_ok() || share.is_some()
}

/// The bytes are a node's answer: an entry of the state, or its absence, with proof; or such a proof in a
/// file, as the certificate of an erasure.
pub fn state_proof(bytes: &[u8]) -> bool {
    if let Some(certificate) = decode::<ErasureCertificate>(bytes, MESSAGE_BYTES_MAX) {
        let verified = certificate.verify(seeds::consortium());
        assert!(verified.is_err(), "a certificate was forged: the seed is of a chart's log");
        return true;
    }
    let Some(proof) = decode::<StateProof>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let proves = |chart, value: Option<Value>| {
        let key = Key::ChartLog(chart);
        let Ok(proven) = seeds::with_checker(|checker| checker.state(&key, &proof)) else {
            return false;
        };
        assert_eq!(proven.value(), value.as_ref(), "an entry of the state was forged");
        true
    };
    let log = Some(Value::ChartLog(seeds::chart_log()));
    proves(seeds::CHART, log) || proves(seeds::NO_CHART, None)
}

/// The bytes are a node's answer: a stretch of what an organisation answers for.
pub fn access_page(bytes: &[u8]) -> bool {
    let Some(page) = decode::<AccessPage>(bytes, MESSAGE_BYTES_MAX) else { return false };
    if check_page(&page, None, &[]).is_err() {
        return false;
    }
    assert!(page.from < page.next || page.next.height > page.tip, "a page that stands still");
    true
}

/// The bytes are a node's answer, or a file of a backup: final blocks as they are stored.
pub fn stored_blocks(bytes: &[u8]) -> bool {
    let Some(page) = decode::<StoredBlocks>(bytes, STORED_BLOCKS_BYTES_MAX) else { return false };
    page.blocks.iter().filter(|it| block(&it.block)).count() == page.blocks.len()
}

/// The bytes are a node's answer: records that an access asks for, each with its receipt.
pub fn opened_page(bytes: &[u8]) -> bool {
    let Some(page) = decode::<OpenedPage>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let until = LogPosition(100);
    let target = Asked::Compartments { compartments: CompartmentSet::all(), until };
    if records_on(seeds::CHART, &target, (LogPosition(0), page.next), &[]).is_err() {
        return false;
    }
    assert!(LogPosition(0) < page.next && page.next <= until, "a page that stands still");
    page.records.iter().filter(|it| receipt(&it.receipt)).count() == page.records.len()
}

/// The bytes are a node's answer: a stretch of a chart's log, with proof of the log's end.
pub fn log_page(bytes: &[u8]) -> bool {
    let Some(page) = decode::<LogPage>(bytes, MESSAGE_BYTES_MAX) else { return false };
    let mut walk = LogWalk::from_mark(seeds::CHART, LogMark::START);
    if seeds::with_checker(|checker| walk.take(page, checker)).is_err() {
        return false;
    }
    let log = walk.finish();
    assert!(log.is_none_or(|log| log.mark().head == seeds::chart_log().head), "a log was forged");
    true
}

pub fn state_value(bytes: &[u8]) -> bool {
    let Ok(value) = Value::decode(bytes) else { return false };
    assert_eq!(value.encode(), bytes, "accepted bytes are the one encoding");
    true
}

/// The bytes are a line of the node's index.
pub fn index_line(bytes: &[u8]) -> bool {
    decode::<LogLine>(bytes, MESSAGE_BYTES_MAX).is_some()
        || decode::<BlockLine>(bytes, MESSAGE_BYTES_MAX).is_some()
        || decode::<Location>(bytes, MESSAGE_BYTES_MAX).is_some()
}

/// The bytes are what a new validator asks, or how it is answered.
pub fn sync_message(bytes: &[u8]) -> bool {
    if let Ok(ask) = Ask::decode(Copying(bytes)) {
        assert_eq!(&*ask.encode(), bytes, "accepted bytes are the one encoding");
        return true;
    }
    decode::<TipPage>(bytes, ANSWER_BYTES_MAX).is_some()
        || decode::<ChartPage>(bytes, ANSWER_BYTES_MAX).is_some()
        || decode::<LinePage>(bytes, ANSWER_BYTES_MAX).is_some()
}

/// The bytes are the address of a node, as profiles have it.
pub fn node_address(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    match Address::parse(text) {
        Ok(address) => {
            let is_plain = text.get(..5).is_some_and(|it| it.eq_ignore_ascii_case("http:"));
            assert!(address.is_tls() || is_plain, "https never becomes plain HTTP");
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            false
        }
    }
}

/// The bytes are a node's `node.toml`.
pub fn node_config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    match NodeConfig::parse(text) {
        Ok(config) => {
            assert!(config.check().is_ok(), "a configuration that exists is valid");
            let _ = config.check_peers(&ValidatorSet::of(seeds::genesis()));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            false
        }
    }
}
