//! One valid input of each target at least, made with keys that the fuzzer does not have.
//!
//! What has frozen vectors begins at those as well, so that every kind of command, outcome and entry of the
//! state is there from the start.

use std::{collections::BTreeMap, sync::OnceLock};

use commonware_codec::Encode as _;
use commonware_runtime::{Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic};
use commonware_storage::qmdb::{floor::Proportional, sync as steps};
use commonware_utils::{NZU16, NZU64, NZUsize};
use keepwell_client::{
    Consortium,
    chart::Meanings,
    delegate::Offer,
    grant::GrantNotice,
    identity::{ChartHolder, MemberIdentity},
    letter::Letter,
    link::PatientsWord,
    matching::{ProgrammeOf, RuledToken, SheetLine, TokenSheet},
    record::ErasureCertificate,
    signoff::{SIGNATURES_VERSION, SignatureFile},
    verify::Checker,
};
use keepwell_crypto::{
    body::{Dek, Encryptor},
    capsule::{Capsule, SaltedCapsule},
    ceremony::{self, Board, Participant, Plan},
    command,
    custody::{FIRST_VERSION, shown_digest, sign_custody, sign_finding},
    dealing::{Dealing, Numbers},
    escrow::Escrow,
    grant::{self, Binding},
    guardian::{self, Group, GuardianEscrow},
    jose::Json,
    keyfile::{About, KeyFile, KeyKind},
    keys::{CaseKey, ChartSecret, ClaimCode, MemberSecret},
    matching::{self, Input, MatchingCommittee, Programme},
    release::Access,
    request,
    reshare::{self, Share},
    sd_jwt::{self, Issued, NewCredential, Trust},
    seal::{self, SealingKey},
    sheet,
    sign::SigningKey,
    threshold::{self, Committee, KeyShare},
    trustee::{
        AnswerCollector, AnswerFault, ChartEscrow, Left, Opens, TrusteeAnswer, TrusteeGroup,
        TrusteeKey,
    },
    words::{CaseWords, Readers, Subject, seal_words},
};
use keepwell_engine::{
    block::{Block, RawEntry, payload_digest},
    index::BlockLine,
    state::{StateDb, state_config},
    sync::{Ask, Boundary, ChartLines, ChartPage, LinePage, Tip, TipPage},
};
use keepwell_ledger::state::{ChartLog, Key, LogLine, Value};
use keepwell_merkle::{
    anchor::DocumentReceipt,
    block::block_id,
    certificate::{Validators, consensus_namespace},
    chart_log,
    handover::Handover,
    range::{Peaks, RangePath},
    receipt::{CertifiedHeader, Receipt},
    tree,
};
use keepwell_node::keys::FounderKeys;
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    block::{Certificate, HEADER_VERSION, Header, Round, SyncTarget, Vote},
    challenge::{ChallengeAnswer, Finding, Shown},
    command::{COMMAND_VERSION, Command, Entry, Part, Payload, SignedCommand},
    encode,
    encoding::{Blob, List, Text},
    founding::{DRAFT_VERSION, Draft, FounderCard},
    genesis::{
        CommitteeKeys, EmergencyRule, GENESIS_VERSION, Genesis, MatchingRule, OwnOrganisation,
        Parameters, Trustee, Trustees, Validator,
    },
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        BlockId, CaseId, ChainId, ChartId, CommandDigest, CommandId, Commitment, Compartment,
        Digest, Epoch, GrantId, Height, LinkId, Location, LogPosition, MatchSubject, MatchToken,
        MemberId, OrganisationId, ProxyId, PublicKey, RecordId, Signature, Suite, TransactionId,
        Version,
    },
    limits::TRANSACTION_COMMANDS_MAX,
    matching::MatchRule,
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::{Outcome, Rejection, Verdict},
    record::{CustodyAcknowledgement, CustodyStatement, Label, RecordAdd, RecordKind},
    set::{KindSet, Set},
    signoff::ApprovalRule,
    time::{BlockTime, Window},
    validators::{KeyUse, Seat, ValidatorSet},
    wire::{
        AccessPage, CapsuleAnswer, CapsuleRequest, LogEntry, LogPage, MatchRequest, OpenedPage,
        PlacedReceipt, ReleaseAnswer, ReleaseItem, ReleaseRequest, Request, SeedTable,
        SeedTableLine, StateProof, StoredBlock, StoredBlocks, TransactionReceipts, TrusteeRequest,
    },
};
use minicbor::{Decode, Encode};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::interop;

/// Opens the seed of `key_file`.
pub const OPERATOR_KEY: [u8; 32] = [42; 32];

/// The consortium of whatever is not checked against [`genesis`].
pub const CHAIN: ChainId = ChainId([1; 32]);
/// The chart of the seeds.
pub const CHART: ChartId = ChartId([2; 32]);
/// A chart that was never opened.
pub const NO_CHART: ChartId = ChartId([0xC2; 32]);
/// The ceremony of the seed of `dealing`.
pub const SESSION: Digest = Digest([35; 32]);

const ORGANISATION: OrganisationId = OrganisationId([3; 16]);
const MEMBER: MemberId = MemberId([4; 16]);
const GRANT: GrantId = GrantId([5; 16]);
const VALIDATORS: u16 = 4;
const WINDOW: Window =
    Window { from: BlockTime(1_790_000_000_000), until: BlockTime(1_790_000_600_000) };

type Inputs = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// The inputs of each target, by its name.
pub fn all() -> &'static Inputs {
    static ALL: OnceLock<Inputs> = OnceLock::new();
    ALL.get_or_init(make)
}

/// Whether `bytes` are an input of `target`.
pub fn is_seed(target: &str, bytes: &[u8]) -> bool {
    all().get(target).is_some_and(|inputs| inputs.iter().any(|input| input == bytes))
}

fn make() -> Inputs {
    let own = BTreeMap::from([
        ("access_page", vec![encode(&access_page())]),
        ("acknowledgement", vec![encode(&acknowledgement())]),
        ("anchor_receipt", document_receipts().vectors.clone()),
        ("block", blocks()),
        ("body", [0, 1, 1_000, 100_000].map(body).to_vec()),
        ("bundle", bundles()),
        ("capsule", vec![capsule().encode()]),
        ("capsule_answer", vec![encode(&capsule_answer())]),
        ("capsule_request", vec![encode(&capsule_request())]),
        ("case_words", vec![case_words().encode()]),
        ("certificate", vec![encode(&certified(header(9)).certificate)]),
        ("handover", vec![encode(&handover())]),
        ("challenge_answer", challenge_answers()),
        ("chart_escrow", vec![chart_escrow().encode()]),
        ("claim_code", vec![ClaimCode::generate(&mut rng(1)).print().as_bytes().to_vec()]),
        ("claim_letter", vec![claim_letter()]),
        ("command", commands().iter().chain(&parts()).map(SignedCommand::encode).collect()),
        ("dealing", dealings()),
        ("draft", vec![plan().draft().encode()]),
        ("entry", entries().iter().map(encode).collect()),
        ("escrow", vec![escrow()]),
        ("forwarded", vec![forwarded()]),
        ("founder_card", plan().draft().founders.iter().map(FounderCard::encode).collect()),
        ("founding", vec![board().record().encode()]),
        ("genesis", vec![genesis().encode(), receipts().genesis.encode()]),
        ("grant_notice", vec![encode(&notice()), sealed(NOTICE_DOMAIN, &CHAIN.0, &notice())]),
        ("grant_seals", vec![grant_seals()]),
        ("guardian_escrow", vec![guardian_escrow()]),
        ("header", [vec![encode(&header(9))], frozen::<Header>(ENCODINGS)].concat()),
        ("history_path", vec![peaks().encode(), encode(&path())]),
        ("index_line", index_lines()),
        ("key_file", vec![key_file()]),
        ("key_letter", vec![key_letter()]),
        ("key_sheet", vec![encode(&sheet::sheet(&chart_secret(), CHART, &[Epoch(0); 16]))]),
        ("label", [vec![encode(&label())], frozen::<Label>(ENCODINGS)].concat()),
        ("log_page", vec![encode(&log_page())]),
        ("match_message", match_messages()),
        ("meanings", vec![encode(&meanings()), sealed(MEANINGS_DOMAIN, &CHART.0, &meanings())]),
        ("node_address", node_addresses()),
        ("node_config", node_configs()),
        ("outcome", outcomes()),
        ("receipt", receipts().vectors.clone()),
        ("release_answer", vec![encode(&release_answer())]),
        ("release_request", vec![encode(&release_request())]),
        ("offer", vec![Offer::make(CHAIN, CHART, &chart_secret()).encode()]),
        ("opened_page", vec![encode(&opened_page())]),
        ("post", posts()),
        ("proxy_letter", vec![proxy_letter()]),
        ("request", vec![encode(&signed_request())]),
        ("seed_table", vec![encode(&seed_table())]),
        ("sd_jwt", vec![credential().into_bytes(), presentation().into_bytes()]),
        ("sealed_seeds", vec![sealed_seeds()]),
        ("share", vec![vec![0; 96], dealt().1.to_vec()]),
        ("share_proof", vec![share_proof()]),
        ("sign_off_rule", rules()),
        ("signatures", vec![signatures()]),
        ("state_proof", state_proofs()),
        ("state_value", state_values()),
        ("stored_blocks", vec![encode(&stored_blocks())]),
        ("sync_message", sync_messages()),
        (
            "transaction",
            vec![encode(&List::<_, TRANSACTION_COMMANDS_MAX>::from_vec(parts()).expect("few"))],
        ),
        ("transaction_receipts", transaction_receipts()),
        ("trustee_answer", vec![honest_answer().encode()]),
        ("trustee_request", vec![encode(&trustee_request())]),
        ("validator_card", vec![validator_card()]),
        ("word", words()),
    ]);
    own.into_iter().chain(interop::seeds()).collect()
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Frozen encodings: `name: bytes`.
const ENCODINGS: &str = include_str!("../../../vectors/types/encodings.txt");
/// Frozen entries of the state.
const VALUES: &str = include_str!("../../../vectors/ledger/values.txt");

/// Those of the frozen lines that are a `T`.
fn frozen<T>(lines: &str) -> Vec<Vec<u8>>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let encodings = lines.lines().filter_map(|line| Some(unhex(line.split_once(": ")?.1)));
    encodings.filter(|bytes| keepwell_types::decode::<T>(bytes, bytes.len()).is_ok()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("a vector is in hexadecimal digits")
}

/// Frozen receipts that decode, with what they are verified against.
pub struct Proofs {
    /// The consortium.
    pub genesis: Genesis,
    /// The document, if it is receipts of one.
    pub document: Digest,
    /// The receipts, most of them with a fault.
    vectors: Vec<Vec<u8>>,
}

impl Proofs {
    /// Reads `name verdict bytes`; the first line is the genesis file.
    fn read(lines: &str, decodes: impl Fn(&[u8]) -> bool) -> Self {
        let lines = lines.lines().filter(|line| !line.starts_with('#'));
        let mut parts = lines.filter_map(|line| {
            let (name, bytes) = (line.split(' ').next()?, line.rsplit(' ').next()?);
            Some((name, unhex(bytes)))
        });
        let (_, genesis) = parts.next().expect("the first line is the genesis file");
        let mut document = Digest([7; 32]);
        let mut vectors = Vec::new();
        for (name, bytes) in parts {
            match <[u8; 32]>::try_from(&*bytes) {
                Ok(digest) if name == "document" => document = Digest(digest),
                Ok(_) | Err(_) if decodes(&bytes) => vectors.push(bytes),
                Ok(_) | Err(_) => {}
            }
        }
        let genesis = Genesis::decode(&genesis).expect("a frozen genesis file decodes");
        Self { genesis, document, vectors }
    }
}

/// The frozen receipts.
pub fn receipts() -> &'static Proofs {
    static RECEIPTS: OnceLock<Proofs> = OnceLock::new();
    RECEIPTS.get_or_init(|| {
        let lines = include_str!("../../../vectors/merkle/receipts.txt");
        Proofs::read(lines, |bytes| Receipt::decode(bytes).is_ok())
    })
}

/// The frozen receipts of a document.
pub fn document_receipts() -> &'static Proofs {
    static RECEIPTS: OnceLock<Proofs> = OnceLock::new();
    RECEIPTS.get_or_init(|| {
        let lines = include_str!("../../../vectors/merkle/documents.txt");
        Proofs::read(lines, |bytes| DocumentReceipt::decode(bytes).is_ok())
    })
}

fn chart_secret() -> ChartSecret {
    ChartSecret::derive(&[6; 32], CHART)
}

fn compartment() -> Compartment {
    Compartment::new(3).expect("3 is below 16")
}

fn list<T, const MAX: usize>(items: Vec<T>) -> List<T, MAX> {
    List::from_vec(items).expect("a seed is within its limits")
}

fn blob<const MAX: usize>(bytes: Vec<u8>) -> Blob<MAX> {
    Blob::from_vec(bytes).expect("a seed is within its limits")
}

fn text<const MAX: usize>(words: &str) -> Text<MAX> {
    Text::from_string(words.to_owned()).expect("a seed is within its limits")
}

/// The committee's public keys, and one validator's share as it stands in a file.
fn dealt() -> (CommitteeKeys, [u8; threshold::KeyShare::LEN]) {
    let (keys, shares) = threshold::deal(&mut rng(2), VALIDATORS, 3);
    (keys, *shares[0].to_bytes())
}

/// The committee that the seeds are sealed to.
pub fn committee() -> &'static Committee {
    static COMMITTEE: OnceLock<Committee> = OnceLock::new();
    COMMITTEE.get_or_init(|| Committee::new(&dealt().0).expect("dealt keys are a committee"))
}

/// A change in which the same validators deal their shares anew, and the keys that are to come.
pub fn reshare() -> (&'static reshare::Resharing, &'static CommitteeKeys) {
    static RESHARE: OnceLock<(reshare::Resharing, CommitteeKeys)> = OnceLock::new();
    let (resharing, keys) = RESHARE.get_or_init(|| {
        let (keys, change) = (dealt().0, Location { height: Height(9), index: 0 });
        let seats = usize::from(VALIDATORS);
        let resharing = reshare::Resharing::new(&CHAIN, change, KeyUse::Release, &keys, seats);
        (resharing.expect("dealt keys are a committee"), keys)
    });
    (resharing, keys)
}

fn share_proof() -> Vec<u8> {
    let (resharing, keys) = reshare();
    let share = KeyShare::from_bytes(&dealt().1).expect("a share that was dealt");
    resharing.prove(&mut rng(70), keys, &Share::Release(share)).to_vec()
}

fn validator_card() -> Vec<u8> {
    let keys = [key(71), key(72)];
    let validator = Validator {
        organisation: OrganisationId([1; 16]),
        consensus: keys[0].public(),
        release: keys[1].public(),
    };
    let seat = Seat { validator, address: Some(text("192.0.2.1:7440")) };
    reshare::sign_card(&CHAIN, seat, keys.each_ref()).encode()
}

/// In the order of the genesis file.
fn consensus_keys() -> Vec<SigningKey> {
    let mut keys: Vec<_> = (100..100 + VALIDATORS as u8).map(key).collect();
    keys.sort_by_key(SigningKey::public);
    keys
}

/// The genesis file that everything is checked against, but receipts.
pub fn genesis() -> &'static Genesis {
    static GENESIS: OnceLock<Genesis> = OnceLock::new();
    GENESIS.get_or_init(|| {
        let validators: Vec<_> = consensus_keys()
            .iter()
            .zip(110..)
            .map(|(consensus, release)| Validator {
                organisation: ORGANISATION,
                consensus: consensus.public(),
                release: key(release).public(),
            })
            .collect();
        Genesis {
            version: GENESIS_VERSION,
            name: text("Seed"),
            founded: BlockTime(1_790_000_000_000),
            demonstration: true,
            validators: list(validators),
            committee: dealt().0,
            parameters: Parameters {
                own_organisation: OwnOrganisation::OptIn,
                custodians_min: 1,
                commands_per_minute_max: 1_000,
                notice: 1,
                licensed: KindSet::EMPTY,
                emergency: EmergencyRule::USUAL,
                sign_off: None,
                recovery: None,
                matching: None,
                epoch_blocks: None,
            },
            entries: list(vec![
                Payload::OrganisationAdmit(OrganisationAdmit {
                    organisation: ORGANISATION,
                    kind: OrganisationKind::Hospital,
                    name: text("Hospital"),
                    administrators: Administrators::one(key(1).public()),
                    custodian: Some(key(2).public()),
                }),
                Payload::MemberEnrol(MemberEnrol {
                    member: MEMBER,
                    organisation: ORGANISATION,
                    signing: key(3).public(),
                    sealing: Digest([7; 32]),
                    roles: Set::EMPTY.with(Role::Clinician),
                }),
            ]),
            trustees: None,
            matching: None,
        }
    })
}

/// What the seeds of `body` and `capsule` belong to.
pub fn label() -> Label {
    Label {
        chain: CHAIN,
        chart: CHART,
        record: RecordId([8; 32]),
        version: Version(1),
        compartment: compartment(),
        epoch: Epoch(2),
        committee: committee().id(),
        content: Digest([9; 32]),
        sealed_bytes: 1_234,
    }
}

/// Opens the seeds of `body`.
pub fn dek() -> Dek {
    Dek::generate(&mut rng(3))
}

fn body(content_bytes: usize) -> Vec<u8> {
    let mut encryptor = Encryptor::new(&dek(), &label().record, content_bytes as u64)
        .expect("a seed is within its limits");
    let mut sealed = encryptor.header().to_vec();
    while let Some(slot) = encryptor.next_slot() {
        let mut buffer = vec![0xA5; slot.sealed_bytes];
        sealed.extend(encryptor.seal_chunk(&mut buffer).expect("the buffer has the slot's size"));
    }
    sealed
}

fn capsule() -> SaltedCapsule {
    let compartment = chart_secret().epoch_seed(compartment(), Epoch(2)).sealing().public();
    let capsule = Capsule::seal(&mut rng(4), label(), &compartment, committee(), &dek())
        .expect("the label is of this committee");
    SaltedCapsule::new(&mut rng(5), capsule)
}

/// Opens the seed of `grant_seals`.
pub fn grantee() -> SealingKey {
    SealingKey::from_seed(&[10; 32])
}

/// The case of the seed of `case_words`.
const CASE: CaseId = CaseId([44; 16]);
/// The second at which the seeds of `sd_jwt` hold.
const SECOND: u64 = 1_790_000_000;

/// Lends what the seed of `case_words` is about, and its key.
pub fn with_subject<T>(use_it: impl FnOnce(&Subject<'_>, &CaseKey) -> T) -> T {
    let subject = Subject { chain: &CHAIN, chart: &CHART, case: &CASE };
    use_it(&subject, &chart_secret().case_key(CASE))
}

/// What a patient asks for.
pub fn case_words() -> CaseWords {
    let (members, dek) = ([(MEMBER, grantee().public())], Dek::from_bytes(&[45; 32]));
    let records = [(RecordId([46; 32]), &dek)];
    let readers = Readers { members: &members, records: &records };
    with_subject(|subject, key| seal_words(&mut rng(14), subject, key, "Not mine.", readers))
        .expect("few words for one member and one record")
}

fn issued() -> Issued {
    let text = |name: &str, value: &str| (name.to_owned(), Json::text(value));
    let new = NewCredential {
        issuer: "urn:board",
        vct: "urn:licence",
        issued_at: SECOND,
        from: SECOND,
        until: SECOND + 1_000,
        holder: key(48).public(),
        status: Some(Json::object([("list", Json::number(1))])),
        open: vec![text("scope", "US-CA")],
        disclosable: vec![text("family_name", "Möbius"), text("number", "4711")],
    };
    sd_jwt::issue(&mut rng(15), &key(47), &new).expect("names that do not collide")
}

/// A credential as its holder has it.
pub fn credential() -> String {
    issued().text()
}

fn presentation() -> String {
    let shown = issued().present(&key(48), &["number"], &presentation_request(), SECOND);
    shown.expect("the holder's own credential").text()
}

/// Whom the seeds of `sd_jwt` are believed to be from.
pub fn trust() -> Trust<'static> {
    static KEY: OnceLock<PublicKey> = OnceLock::new();
    Trust { issuer: "urn:board", key: KEY.get_or_init(|| key(47).public()), now: SECOND }
}

/// For what the presentation among the seeds was asked.
pub const fn presentation_request() -> sd_jwt::Request<'static> {
    sd_jwt::Request { audience: "urn:clinic", nonce: "nonce" }
}

/// Lends what the seed of `grant_seals` is bound to.
pub fn with_binding<T>(use_it: impl FnOnce(&Binding<'_>) -> T) -> T {
    use_it(&Binding { chain: &CHAIN, chart: &CHART, grant: &GRANT, terms: &terms() })
}

fn grant_seals() -> Vec<u8> {
    let seeds = [(compartment(), Epoch(2), chart_secret().epoch_seed(compartment(), Epoch(2)))];
    with_binding(|binding| grant::seal_seeds(&mut rng(6), binding, &grantee().public(), &seeds))
        .expect("one seed is not too many")
        .encode()
}

fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(MEMBER),
        compartments: Set::EMPTY.with(compartment()),
        kinds: Set::all(),
        records: List::new(),
        purposes: Set::EMPTY.with(Purpose::Treatment),
        window: WINDOW,
        accesses_max: Some(3),
        separate_consent: false,
        onward: false,
    }
}

fn key_file() -> Vec<u8> {
    let about = About { kind: KeyKind::Root, label: text("wallet"), demonstration: true };
    KeyFile::with_operator_key(&mut rng(7), about, &[11; 32], &OPERATOR_KEY)
        .expect("32 bytes are within the limit")
        .encode()
}

/// What the seed of `acknowledgement` says, but for its end.
pub fn custody_statement() -> CustodyStatement {
    CustodyStatement {
        chain: CHAIN,
        custodian: ORGANISATION,
        record: RecordId([8; 32]),
        version: FIRST_VERSION,
        commitment: Commitment([12; 32]),
        sealed_bytes: 1_234,
        until: BlockTime(2_000),
    }
}

/// Who signed the seed of `acknowledgement`.
pub fn custodian() -> PublicKey {
    key(2).public()
}

fn acknowledgement() -> CustodyAcknowledgement {
    let statement = custody_statement();
    CustodyAcknowledgement {
        custodian: ORGANISATION,
        key: custodian(),
        signature: sign_custody(&key(2), &statement),
        until: statement.until,
    }
}

/// One of each kind, and some that touch [`CHART`].
fn payloads() -> Vec<Payload> {
    let record = RecordName { position: LogPosition(7), record: RecordId([8; 32]) };
    let ours = [
        Payload::RecordAdd(RecordAdd {
            chart: CHART,
            compartment: compartment(),
            epoch: Epoch(2),
            kind: RecordKind::Result,
            commitment: Commitment([12; 32]),
            sealed_bytes: 1_234,
            custody: list(vec![acknowledgement()]),
            approval: Some(
                "authorship: author; review: 2 of (nurse@chart, licence@author, patient); within 2 days"
                    .parse()
                    .expect("a seed's rule can be met"),
            ),
            uniqueness: None,
            amends: None,
        }),
        Payload::GrantGive(GrantGive {
            chart: CHART,
            grant: GRANT,
            terms: terms(),
            seeds: Digest([13; 32]),
        }),
        Payload::AccessOpen(AccessOpen {
            chart: CHART,
            target: Target::Records(list(vec![record])),
            purpose: Purpose::Treatment,
            reader_key: Digest([14; 32]),
            notice: 1,
        }),
    ];
    let frozen = frozen::<Payload>(ENCODINGS);
    let frozen = frozen.iter().map(|bytes| {
        keepwell_types::decode(bytes, bytes.len()).expect("it was chosen because it decodes")
    });
    ours.into_iter().chain(frozen).collect()
}

fn command_of(payload: Payload) -> SignedCommand {
    let command = Command {
        version: COMMAND_VERSION,
        chain: CHAIN,
        id: CommandId([16; 16]),
        window: WINDOW,
        signers: list(vec![Party::Member(MEMBER)]),
        payload,
        part: None,
    };
    command::sign(command, &[&key(3)])
}

fn commands() -> Vec<SignedCommand> {
    payloads().into_iter().map(command_of).collect()
}

/// The parts of a transaction.
fn parts() -> Vec<SignedCommand> {
    let of = |(place, payload)| {
        let alone = command_of(payload).command;
        let part = Part::new(TransactionId([41; 16]), place, 3).expect("a place of three");
        command::sign(Command { part: Some(part), ..alone }, &[&key(3)])
    };
    (0..3).zip(payloads()).map(of).collect()
}

/// What becomes of transactions: taken, and refused for the sake of another part than the first.
fn transaction_receipts() -> Vec<Vec<u8>> {
    let receipt = |at: usize| Blob::from_vec(receipts().vectors[at].clone()).expect("a receipt");
    let taken = TransactionReceipts { first: receipt(0), refused: None };
    let refused = TransactionReceipts { refused: Some(receipt(1)), ..taken.clone() };
    vec![encode(&taken), encode(&refused)]
}

fn entries() -> Vec<Entry> {
    let genesis = payloads().into_iter().map(Entry::Genesis);
    commands().into_iter().map(Entry::Signed).chain(genesis).collect()
}

/// Commands as one validator hands them to the others.
fn forwarded() -> Vec<u8> {
    let commands: Vec<_> = commands().iter().take(3).map(SignedCommand::encode).collect();
    commonware_codec::Encode::encode(&commands).to_vec()
}

fn blocks() -> Vec<Vec<u8>> {
    let block = |entries: &[Entry]| {
        let entries: Vec<_> = entries.iter().map(RawEntry::encode).collect();
        let (payload, count) = (payload_digest(&entries), entries.len() as u32);
        let header = Header { payload, entries: count, ..header(9) };
        Block::new(header, entries.into()).encode().to_vec()
    };
    vec![block(&[]), block(&entries()[..1]), block(&entries()[..3])]
}

fn header(height: u64) -> Header {
    Header {
        version: HEADER_VERSION,
        chain: command::chain_id(genesis()),
        height: Height(height),
        parent: BlockId([17; 32]),
        time: BlockTime(1_790_000_000_000 + height),
        payload: Digest([18; 32]),
        entries: 1,
        outcomes: Digest([19; 32]),
        state: Digest([20; 32]),
        history: Digest([21; 32]),
        sync: SyncTarget { root: Digest([22; 32]), start: 0, end: 100 },
        round: Round { epoch: 0, view: height, parent_view: height - 1, leader: key(100).public() },
        next: None,
    }
}

/// A header with the votes of a quorum.
fn certified(header: Header) -> CertifiedHeader {
    let block = block_id(&header);
    let Round { epoch, view, parent_view, .. } = header.round;
    assert!(view < 128, "views here are one byte");
    let namespace = [&consensus_namespace(&header.chain)[..], b"_FINALIZE"].concat();
    let proposal = [&[0, view as u8, parent_view as u8][..], &block.0].concat();
    let signed = [&[namespace.len() as u8][..], &namespace, &proposal].concat();
    let votes = (0..).zip(consensus_keys()).take(genesis().quorum());
    let votes = votes.map(|(validator, key)| Vote { validator, signature: key.sign_raw(&signed) });
    let votes = list(votes.collect());
    let certificate = Certificate { epoch, view, parent_view, block, votes };
    CertifiedHeader { header, ancestry: None, certificate }
}

/// The founders, handed over to by themselves.
fn handover() -> Handover {
    let set = ValidatorSet { since: 1, ..ValidatorSet::of(genesis()) };
    let height = Height(u64::from(genesis().parameters.epoch_blocks()) - 1);
    let next = Some(command::validators_digest(&set));
    let CertifiedHeader { header, certificate, .. } =
        certified(Header { height, next, ..header(9) });
    Handover { header, certificate, set }
}

fn outcomes() -> Vec<Vec<u8>> {
    frozen::<Outcome>(ENCODINGS)
}

/// What the log of [`CHART`] has.
fn log() -> Vec<LogEntry> {
    let entries = commands().into_iter().take(3);
    let line = |(index, signed): (u32, SignedCommand)| {
        let refused = Verdict::Rejected(Rejection::UnknownChart(CHART));
        let outcome = Outcome {
            command: command::command_digest(&signed.command),
            location: Location { height: Height(8), index },
            time: BlockTime(1_790_000_000_008),
            verdict: if index == 1 { refused } else { Verdict::Accepted },
        };
        LogEntry { entry: Entry::Signed(signed), outcome }
    };
    (0..).zip(entries).map(line).collect()
}

/// The state of the seeds has one entry: the end of [`log`].
pub fn chart_log() -> ChartLog {
    let log = log();
    let outcomes = log.iter().map(|line| &line.outcome);
    let head = chart_log::extend_all(chart_log::EMPTY, LogPosition(0), outcomes)
        .expect("a log of three entries has a head");
    ChartLog { count: LogPosition(log.len() as u64), head, lines: Digest([26; 32]) }
}

/// What two charts are proven with, and a certificate that has the proof of something else in it.
fn state_proofs() -> Vec<Vec<u8>> {
    let mut proofs = [CHART, NO_CHART].map(|chart| encode(&state_proof(chart))).to_vec();
    let (chart, record, proof) = (CHART, RecordId([8; 32]), state_proof(CHART));
    proofs.push(ErasureCertificate { chart, record, proof }.encode());
    proofs
}

/// Rules as people write them and as commands have them.
fn rules() -> Vec<Vec<u8>> {
    let texts = [
        "authorship: author; responsibility: clinician@chart; within 3 days",
        "review: 2 of (nurse@chart, 2 licence@author, patient, any(author))",
    ];
    let encoded = |text: &&str| {
        let rule: ApprovalRule = text.parse().expect("a seed's rule can be met");
        encode(&rule)
    };
    let mut rules: Vec<_> = texts.iter().map(encoded).collect();
    rules.extend(texts.map(|text| text.as_bytes().to_vec()));
    rules
}

/// A file with the receipt of something else and the proof of something else in it.
fn signatures() -> Vec<u8> {
    let receipt = |bytes: &Vec<u8>| Receipt::decode(bytes).expect("a frozen receipt decodes");
    let record = receipts().vectors.first().map(receipt).expect("there are frozen receipts");
    let approvals = list(vec![record.clone()]);
    let sign_off = state_proof(CHART);
    SignatureFile { version: SIGNATURES_VERSION, record, approvals, sign_off }.encode()
}

/// The consortium of [`genesis`].
pub fn consortium() -> &'static Consortium {
    static CONSORTIUM: OnceLock<Consortium> = OnceLock::new();
    CONSORTIUM.get_or_init(|| {
        Consortium::read(&genesis().encode()).expect("the genesis file founds a consortium")
    })
}

/// What the end of `chart`'s log is proven with.
fn state_proof(chart: ChartId) -> StateProof {
    let (root, value, proof) = prove(Key::ChartLog(CHART), chart_log(), Key::ChartLog(chart));
    StateProof {
        certified: blob(certified(Header { state: root, ..header(9) }).encode()),
        value: value.map(blob),
        proof: blob(proof),
    }
}

/// The root of a state of one entry, the value under `asked`, and its proof.
fn prove(key: Key, log: ChartLog, asked: Key) -> (Digest, Option<Vec<u8>>, Vec<u8>) {
    let [key, asked] = [key, asked].map(|key| keepwell_engine::block::to_engine(key.to_bytes()));
    let value = Value::ChartLog(log).encode();
    deterministic::Runner::default().start(move |context| async move {
        let config = state_config("seed", CacheRef::new(NZU16!(4096), NZUsize!(64)));
        let db: StateDb<_> =
            StateDb::init(context.child("state"), config, None).await.expect("memory holds it");
        let batch = db.new_batch().write(key, Some(value));
        let batch = batch.merkleize(&db, None, &mut Proportional).await.expect("one entry fits");
        let db = db.apply_batch(batch).await.expect("the batch is of this state");
        let value = db.get(&asked).await.expect("memory is read");
        let proof = match value {
            Some(_) => db.key_value_proof(asked).await.map(|proof| proof.encode()),
            None => db.exclusion_proof(&asked).await.map(|proof| proof.encode()),
        };
        (Digest(db.root().0), value, proof.expect("what is there, or not, has a proof").to_vec())
    })
}

/// Lends what clients check answers with: just after the block of [`state_proof`].
pub fn with_checker<T>(use_it: impl FnOnce(&Checker<'_>) -> T) -> T {
    static VALIDATORS: OnceLock<Validators> = OnceLock::new();
    let validators = VALIDATORS
        .get_or_init(|| Validators::of(genesis()).expect("the genesis file names validators"));
    use_it(&Checker { validators, seen: None, now: header(10).time })
}

fn path() -> RangePath {
    let leaves: Vec<_> = (0..100).map(|leaf| Digest([leaf; 32])).collect();
    tree::prove(&leaves, 77).expect("77 is below 100")
}

fn peaks() -> Peaks {
    let mut peaks = Peaks::new();
    for leaf in 0..77 {
        let _ = peaks.push(Digest([leaf; 32]));
    }
    peaks
}

fn release_request() -> ReleaseRequest {
    let item = ReleaseItem { position: LogPosition(7), capsule: blob(capsule().encode()) };
    ReleaseRequest {
        chart: CHART,
        access: LogPosition(9),
        reader_key: grantee().public().to_blob(),
        items: list(vec![item]),
    }
}

fn release_answer() -> ReleaseAnswer {
    let mut encapsulated = vec![0; 1_120];
    rng(8).fill_bytes(&mut encapsulated);
    ReleaseAnswer {
        access: CommandDigest([28; 32]),
        share: 1,
        encapsulated: blob(encapsulated),
        sealed: blob(vec![29; 112]),
        signature: Signature([30; 64]),
    }
}

fn signed_request() -> keepwell_types::wire::SignedRequest {
    let wish = Request {
        chain: CHAIN,
        node: ORGANISATION,
        party: Party::Controller(CHART),
        id: CommandId([31; 16]),
        at: BlockTime(1_790_000_000_000),
        target: text("GET /v1/charts/02?from=0"),
        body: request::body_digest(&[]),
    };
    request::sign(&chart_secret().signing(), wish)
}

fn access_page() -> AccessPage {
    let (from, next) =
        (Location { height: Height(1), index: 0 }, Location { height: Height(2), index: 0 });
    AccessPage { from, next, tip: Height(1), receipts: List::new() }
}

fn opened_page() -> OpenedPage {
    let placed = |receipt| PlacedReceipt { position: LogPosition(1), receipt: blob(receipt) };
    let records = receipts().vectors.iter().take(1).cloned().map(placed).collect();
    OpenedPage { next: LogPosition(2), records: list(records) }
}

fn stored_blocks() -> StoredBlocks {
    let certificate = certified(header(9)).certificate;
    let certificates = [Some(certificate), None, None];
    let stored = blocks().into_iter().zip(certificates);
    let stored = stored.map(|(block, certificate)| StoredBlock { block: blob(block), certificate });
    StoredBlocks { blocks: list(stored.collect()) }
}

fn capsule_request() -> CapsuleRequest {
    CapsuleRequest { positions: list(vec![LogPosition(1), LogPosition(7)]) }
}

fn capsule_answer() -> CapsuleAnswer {
    CapsuleAnswer { capsules: list(vec![Some(blob(capsule().encode())), None]) }
}

fn log_page() -> LogPage {
    let (from, before) = (LogPosition(0), chart_log::EMPTY);
    LogPage { head: state_proof(CHART), from, before, entries: list(log()) }
}

fn state_values() -> Vec<Vec<u8>> {
    [vec![Value::History(peaks()).encode()], frozen::<Value>(VALUES)].concat()
}

fn index_lines() -> Vec<Vec<u8>> {
    let location = Location { height: Height(8), index: 2 };
    let records =
        frozen::<Value>(VALUES).into_iter().filter_map(|bytes| match Value::decode(&bytes) {
            Ok(Value::Record(record)) => Some(record),
            Ok(_) | Err(_) => None,
        });
    let lines = records.map(Some).chain([None]).map(|record| LogLine { location, record });
    let outcomes = log().into_iter().map(|line| line.outcome).collect();
    let block = BlockLine { id: BlockId([25; 32]), outcomes: list(outcomes) };
    lines.map(|line| encode(&line)).chain([encode(&block), encode(&location)]).collect()
}

/// What a new validator asks, and how it is answered.
fn sync_messages() -> Vec<Vec<u8>> {
    let some =
        steps::Request::Operations { size: 9_u64.into(), start: 2_u64.into(), max_ops: NZU64!(7) };
    let first = steps::Request::Boundary { size: 9_u64.into(), start: 2_u64.into() };
    let asks = [
        Ask::Tip { place: 3, since: 1 },
        Ask::Steps(some),
        Ask::Steps(first),
        Ask::Charts { floor: Height(9), after: None },
        Ask::Charts { floor: Height(9), after: Some(CHART) },
        Ask::Log { chart: CHART, until: LogPosition(3) },
    ];
    let CertifiedHeader { header, certificate, .. } = certified(header(9));
    let boundary = Some(Boundary { id: BlockId([25; 32]), path: path() });
    let tip = Some(Tip { header, certificate, boundary });
    let tips = [
        TipPage { handovers: List::new(), tip },
        TipPage { handovers: list(vec![handover()]), tip: None },
    ];
    let line = LogLine { location: Location { height: Height(8), index: 2 }, record: None };
    let lines = ChartLines { chart: CHART, lines: list(vec![line.clone()]) };
    let charts = ChartPage { next: Some(lines.chart), charts: list(vec![lines]) };
    let page = LinePage { before: Digest([26; 32]), lines: list(vec![line]) };
    let asks = asks.iter().map(|ask| ask.encode().to_vec());
    asks.chain(tips.iter().map(encode)).chain([encode(&charts), encode(&page)]).collect()
}

const NOTICE_DOMAIN: &str = "keepwell/client/grant-notice/v1";
const MEANINGS_DOMAIN: &str = "keepwell/client/meanings/v1";
const SEEDS_DOMAIN: &str = "keepwell/grant/seeds/v1";

/// A message of the wallet, sealed to [`grantee`].
fn sealed<T: Encode<()>>(domain: &str, part: &[u8], value: &T) -> Vec<u8> {
    let plain = encode(value);
    let (encapsulated, ciphertext) =
        seal::seal(&mut rng(11), &grantee().public(), domain, &[part], &plain);
    encode(&(blob::<1_120>(encapsulated), blob::<65_536>(ciphertext)))
}

fn meanings() -> Meanings {
    let names = [("general", false), ("psychiatry", true)];
    Meanings::draw(&mut rng(12), &names).expect("two names are not too many").0
}

fn notice() -> GrantNotice {
    GrantNotice { chart: CHART, grant: GRANT, terms: terms(), meanings: meanings() }
}

/// Of the right shape. What it seals is not: only the chart's holder can make that.
fn claim_letter() -> Vec<u8> {
    let sealed = (blob::<1_120>(vec![36; 1_120]), blob::<7_000>(vec![37; 600]));
    encode(&(1_u8, CHAIN, CHART, ORGANISATION, BlockTime(2_000), sealed))
}

/// The inside of [`grant_seals`].
fn sealed_seeds() -> Vec<u8> {
    encode(&[
        (compartment(), Epoch(2), Digest([38; 32])),
        (compartment(), Epoch(3), Digest([39; 32])),
    ])
}

fn challenge_answers() -> Vec<Vec<u8>> {
    let path = encode(&tree::prove(&[Digest([40; 32]), Digest([41; 32])], 1).expect("a leaf"));
    let shown =
        Shown { capsule: blob(capsule().encode()), leaf: blob(vec![7; 99]), path: blob(path) };
    [None, Some(shown)].map(challenge_answer).to_vec()
}

fn challenge_answer(shown: Option<Shown>) -> Vec<u8> {
    let CustodyStatement { chain, custodian, record, version, .. } = custody_statement();
    let block = BlockId([42; 32]);
    let digest = shown.as_ref().map(shown_digest);
    let finding = Finding { chain, custodian, chart: CHART, record, version, block, shown: digest };
    let key = key(2);
    let signature = sign_finding(&key, &finding);
    encode(&ChallengeAnswer { finding, key: key.public(), signature, shown })
}

/// A member who is written to.
pub fn member() -> &'static MemberIdentity {
    static IDENTITY: OnceLock<MemberIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| MemberIdentity::generate(CHAIN, ORGANISATION))
}

fn match_messages() -> Vec<Vec<u8>> {
    let (keys, _) = matching::deal(&mut rng(20), VALIDATORS, 3);
    let committee = MatchingCommittee::new(&keys).expect("dealt keys are a committee");
    let programme = Programme { chain: &CHAIN, name: "seed", purpose: Purpose::Treatment };
    let input = Input { rule: MatchRule::Identifier, text: "a|1" };
    let (_, point) = matching::blind(&mut rng(21), &committee, &programme, &input);
    let request = MatchRequest {
        evaluation: Location { height: Height(9), index: 0 },
        requester_key: grantee().public().to_blob(),
        points: list(vec![point.to_bytes()]),
    };
    let token = RuledToken { rule: MatchRule::Identifier, token: MatchToken([1; 32]) };
    let line = SheetLine { subject: MatchSubject([2; 16]), tokens: list(vec![token]) };
    let programme = ProgrammeOf { chain: CHAIN, name: text("seed"), purpose: Purpose::Treatment };
    let sheet = TokenSheet { programme, lines: list(vec![line]) };
    let holder = ChartHolder::derive(&[6; 32], CHART);
    let word = PatientsWord::sign(&holder, CHAIN, LinkId([3; 16]), true);
    let to = (member().member(), &member().sealing_public());
    let letter = Letter::write(member(), to, "keepwell/fuzz/letter/v1", &sheet);
    vec![encode(&request), encode(&sheet), word.encode(), letter.expect("a sheet fits a letter")]
}

fn escrow() -> Vec<u8> {
    let holders = [grantee().public(), grantee().public()];
    let escrow = Escrow::deal(&mut rng(14), &[&CHART.0], b"secret", 2, &holders);
    escrow.expect("two of two are an escrow").encode()
}

fn guardian_escrow() -> Vec<u8> {
    let group = Group { threshold: 1, guardians: vec![grantee().public(); 2] };
    let binding = guardian::Binding { chain: &CHAIN, chart: &CHART };
    let escrow = GuardianEscrow::deal(&mut rng(15), &binding, b"secret", 1, &[group]);
    escrow.expect("one of two is an escrow").encode()
}

/// Of the right shape, sealed to nobody.
fn key_letter() -> Vec<u8> {
    let sealed = (blob::<1_120>(vec![36; 1_120]), blob::<7_000>(vec![37; 600]));
    encode(&(1_u8, CHART, MemberId([28; 16]), sealed))
}

fn proxy_letter() -> Vec<u8> {
    let sealed = (blob::<1_120>(vec![36; 1_120]), blob::<7_000>(vec![37; 600]));
    encode(&(1_u8, CHART, ProxyId([27; 16]), sealed))
}

fn trustee_secret(number: u8) -> MemberSecret {
    MemberSecret::from_bytes(&[60 + number; 32])
}

fn trustees() -> Trustees {
    let trustee = |number| Trustee {
        name: text("Trustee"),
        sealing: trustee_secret(number).sealing().public().to_blob(),
        signing: trustee_secret(number).signing().public(),
        organisation: None,
    };
    Trustees { threshold: 2, trustees: list((1..4).map(trustee).collect()) }
}

fn trustee_group() -> TrusteeGroup {
    TrusteeGroup::new(&trustees()).expect("their keys are keys")
}

fn chart_escrow() -> ChartEscrow {
    let seeds = vec![chart_secret().epoch_seed(compartment(), Epoch(0))];
    let left = [Left { compartment: compartment(), from: Epoch(0), seeds }];
    ChartEscrow::deal(&mut rng(15), &CHAIN, CHART, &trustee_group(), &left)
        .expect("two of three are an escrow")
}

fn trustee_access() -> Access {
    let reader_key = grantee().public().digest();
    Access { chain: CHAIN, command: CommandDigest([61; 32]), reader_key }
}

/// What the first trustee answers about an escrow; nothing if it has no share of it.
pub fn trustee_answer(escrow: &ChartEscrow) -> Option<TrusteeAnswer> {
    let (access, epochs) = (trustee_access(), [Epoch(9); 16]);
    let compartments = escrow.compartments();
    let opens = Opens { access: &access, compartments, epochs: &epochs };
    let key = TrusteeKey::new(&trustees(), &trustee_secret(1)).expect("it is one of them");
    key.answer(&mut rng(16), &opens, escrow, &grantee().public()).ok()
}

fn honest_answer() -> TrusteeAnswer {
    trustee_answer(&chart_escrow()).expect("the first trustee has its share")
}

/// Whether an answer counts, of an honest trustee's escrow and access.
pub fn add_to_collector(answer: &TrusteeAnswer) -> Result<(), AnswerFault> {
    let (access, epochs) = (trustee_access(), [Epoch(9); 16]);
    let (group, escrow, reader) = (trustee_group(), chart_escrow(), grantee());
    let opens = Opens { access: &access, compartments: escrow.compartments(), epochs: &epochs };
    AnswerCollector::new(&group, &opens, &escrow, &reader).add(answer)
}

fn trustee_request() -> TrusteeRequest {
    let proof = || StateProof { certified: blob(Vec::new()), value: None, proof: blob(Vec::new()) };
    TrusteeRequest {
        access: blob(receipts().vectors[0].clone()),
        emergency: LogPosition(7),
        reader_key: grantee().public().to_blob(),
        escrow: blob(chart_escrow().encode()),
        chart: proof(),
        emergencies: proof(),
        member: proof(),
        organisation: proof(),
        credentials: proof(),
    }
}

/// Seeds that a stranger sealed: `plain` may be anything, the seal is good.
pub fn seal_plain(plain: &[u8]) -> Vec<u8> {
    let terms = encode(&terms());
    let parts: [&[u8]; 4] = [&CHAIN.0, &CHART.0, &GRANT.0, &terms];
    let (encapsulated, ciphertext) =
        seal::seal(&mut rng(13), &grantee().public(), SEEDS_DOMAIN, &parts, plain);
    encode(&(Suite::One, blob::<1_120>(encapsulated), blob::<65_536>(ciphertext)))
}

fn seed_table() -> SeedTable {
    let line = |grant| SeedTableLine { grant: GrantId([grant; 16]), seeds: Digest([40; 32]) };
    SeedTable { lines: list((1..4).map(line).collect()) }
}

/// 2 of these open what the next committee seals.
pub fn numbers() -> Numbers {
    Numbers::new(2, 2).expect("2 of 2 is a committee")
}

fn dealings() -> Vec<Vec<u8>> {
    let receivers = [grantee().public(), SealingKey::from_seed(&[41; 32]).public()];
    let shares = threshold::deal(&mut rng(2), VALIDATORS, 3).1;
    let anew = shares.iter().take(3).map(|share| {
        Dealing::anew(&mut rng(14), &SESSION, share, 2, &receivers).expect("2 of 2 is a committee")
    });
    let fresh = (1..3).map(|dealer| {
        Dealing::fresh(&mut rng(15 + u64::from(dealer)), &SESSION, dealer, 2, &receivers)
            .expect("2 of 2 is a committee")
    });
    [anew.collect::<Vec<_>>(), fresh.collect()].iter().map(encode).collect()
}

/// Two founders and their draft.
fn founding() -> &'static (Vec<FounderKeys>, Plan) {
    static FOUNDING: OnceLock<(Vec<FounderKeys>, Plan)> = OnceLock::new();
    FOUNDING.get_or_init(|| {
        let founder = |at: u8| {
            let keys = FounderKeys::generate(&mut rng(60 + u64::from(at)));
            let admit = OrganisationAdmit {
                organisation: OrganisationId([at; 16]),
                kind: OrganisationKind::Hospital,
                name: text("Founder"),
                administrators: Administrators::one(key(at).public()),
                custodian: None,
            };
            let card = keys.card(admit, text("192.0.2.1:7440"));
            (keys, card)
        };
        let mut founders: Vec<_> = (1..3).map(founder).collect();
        founders.sort_by_key(|(_, card)| card.founder.consensus);
        let (keys, cards) = founders.into_iter().unzip();
        let draft = Draft {
            version: DRAFT_VERSION,
            name: text("Seed"),
            founded: BlockTime(1_790_000_000_000),
            founders: list(cards),
            parameters: Parameters {
                matching: Some(MatchingRule::USUAL),
                epoch_blocks: None,
                ..genesis().parameters.clone()
            },
            trustees: None,
        };
        (keys, Plan::new(draft).expect("two founders are enough"))
    })
}

/// What the seeds' ceremony is about.
pub fn plan() -> &'static Plan {
    &founding().1
}

/// All posts of a ceremony.
fn board() -> Board<'static> {
    let (keys, plan) = founding();
    let mut board = Board::new(plan);
    for round in ceremony::Round::ALL {
        for keys in keys {
            let secret = keys.ceremony();
            let founder = Participant::new(plan, keys.signing(), &secret).expect("a founder");
            let post = founder.post(round, &board).expect("the rounds before are complete");
            board.add(post).expect("honest posts are taken");
        }
    }
    board
}

fn posts() -> Vec<Vec<u8>> {
    let board = board();
    let of = |round| plan().founders().map(move |founder| (round, founder));
    let places = ceremony::Round::ALL.into_iter().flat_map(of);
    places.filter_map(|(round, founder)| Some(board.post(round, founder)?.encode())).collect()
}

fn node_configs() -> Vec<Vec<u8>> {
    let peers: String = genesis()
        .validators
        .iter()
        .zip(1..)
        .map(|(validator, at)| {
            let key = validator.consensus;
            format!("[[peers]]\nvalidator = \"{key}\"\naddress = \"10.0.0.{at}:7440\"\n")
        })
        .collect();
    let folder = "folder = \"a\"\ngenesis = \"b\"\n";
    let keys = "[keys]\nfolder = \"c\"\noperator_file = \"d\"\n";
    let store = "[custody]\ns3 = { bucket = \"e\", region = \"f\", endpoint = \"http://127.0.0.1:9\", prefix = \"g\" }\n";
    let tls = "[tls]\ncertificate = \"h\"\nkey = \"i\"\n";
    let limits = "[custody_limits]\nparty_unnamed_bytes_max = 1\nfree_bytes_min = 2\n";
    let waits = "listen_peers = \"[::1]:1\"\nlisten_clients = \"10.0.0.1:2\"\nleader_timeout_ms = 2000\ncertification_timeout_ms = 60000\n";
    let token = "[keys]\nfolder = \"c\"\noperator_token = { module = \"/d\", token = \"e\", key = \"f\", pin_file = \"g\" }\n";
    let least = [folder, keys, &peers].concat();
    let in_a_token = [folder, token, &peers].concat();
    let most = [folder, waits, keys, tls, store, limits, &peers].concat();
    [least, in_a_token, most].map(String::into_bytes).to_vec()
}

/// Addresses of every kind that a profile may have.
fn node_addresses() -> Vec<Vec<u8>> {
    let key = "5a".repeat(32);
    let addresses = [
        "http://127.0.0.1:7441".to_owned(),
        "http://[::1]:7441/".to_owned(),
        "https://node.example.org".to_owned(),
        format!("https://192.0.2.1:7441#sha256={key}"),
        format!("https://192.0.2.1:7441#sha256={key},{key}"),
    ];
    addresses.map(String::into_bytes).to_vec()
}

/// Names as they stand in addresses, configurations and command lines.
fn words() -> Vec<Vec<u8>> {
    let words = [
        CHART.to_string(),
        MEMBER.to_string(),
        Purpose::Treatment.to_string(),
        Role::Clinician.to_string(),
        RecordKind::Result.to_string(),
    ];
    words.map(String::into_bytes).to_vec()
}

fn bundles() -> Vec<Vec<u8>> {
    let hostile = [
        r#"{"resourceType":"Observation","id":"a","subject":{"reference":"Patient/1"},"valueQuantity":{"value":1.50,"unit":"kg"}}"#,
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"1","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}},{"resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:1"},"code":{"text":"a\u0007b"}}}]}"#,
        "\u{feff}{\"resourceType\":\"Patient\",\"id\":\"1\"}",
    ];
    let generated = keepwell_fhir::synthetic::Synthetic::new(1).patient(0, 1_790_000_000_000);
    // Whole patients are larger than what the fuzzer mutates well: their first resources will do.
    let resources = generated["entry"].as_array().into_iter().flatten().take(6);
    let single = resources.map(|entry| entry["resource"].to_string().into_bytes());
    hostile.map(|json| json.as_bytes().to_vec()).into_iter().chain(single).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use crate::targets;

    /// A target whose seed is refused tests nothing but the refusal.
    #[test]
    fn each_target_takes_its_seeds() {
        let inputs = super::all().iter().flat_map(|(name, inputs)| {
            inputs.iter().enumerate().map(move |(index, input)| (*name, index, input))
        });
        let refused: Vec<_> = inputs
            .filter(|(name, _, input)| {
                let (_, target) = targets::ALL.iter().find(|(it, _)| it == name).expect("named");
                !target(input)
            })
            .map(|(name, index, _)| (name, index))
            .collect();
        assert_eq!(refused, []);
    }

    #[test]
    fn each_target_has_seeds_and_a_program() {
        let targets: BTreeSet<_> = targets::ALL.iter().map(|(name, _)| name.to_string()).collect();
        let seeds: BTreeSet<_> = super::all().keys().map(|name| name.to_string()).collect();
        assert_eq!(seeds, targets);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
        let programs = fs::read_dir(folder).expect("the programs are there").map(|entry| {
            let path = entry.expect("the folder is read").path();
            path.file_stem().expect("a file has a name").to_string_lossy().into_owned()
        });
        assert_eq!(programs.collect::<BTreeSet<_>>(), targets);
    }
}
