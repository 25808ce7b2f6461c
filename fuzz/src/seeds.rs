//! One valid input of each target at least, made with keys that the fuzzer does not have.

use std::{collections::BTreeMap, sync::OnceLock};

use keepwell_crypto::{
    body::{Dek, Encryptor},
    capsule::{Capsule, SaltedCapsule},
    command,
    grant::{self, Binding},
    keyfile::{About, KeyFile, KeyKind},
    keys::{ChartSecret, ClaimCode},
    request,
    seal::SealingKey,
    sheet,
    sign::SigningKey,
    threshold::{self, Committee},
};
use keepwell_ledger::state::{ChartLog, Value};
use keepwell_merkle::{
    anchor::{DOCUMENT_RECEIPT_VERSION, DocumentReceipt},
    range::{Peaks, RangePath},
    receipt::{Ancestry, CertifiedHeader, RECEIPT_VERSION, Receipt},
    tree,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    anchor::AnchorAdd,
    block::{Certificate, HEADER_VERSION, Header, Round, SyncTarget, Vote},
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encode,
    encoding::{Blob, List, Text},
    genesis::{GENESIS_VERSION, Genesis, OwnOrganisation, Parameters, Validator},
    grant::{Effect, GrantGive, GrantTerms, Grantee},
    id::{
        BlockId, ChainId, ChartId, CommandDigest, CommandId, Commitment, Compartment, Digest,
        Epoch, GrantId, Height, Location, LogPosition, MemberId, OrganisationId, PublicKey,
        RecordId, Salt, Signature, Version,
    },
    member::{MemberEnrol, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::{Outcome, Rejection, Verdict},
    record::{ApprovalRule, CustodyStatement, Label, RecordAdd, RecordKind},
    set::Set,
    time::{BlockTime, Window},
    wire::{LogEntry, LogPage, ReleaseAnswer, ReleaseItem, ReleaseRequest, Request, StateProof},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Opens the seed of `key_file`.
pub const OPERATOR_KEY: [u8; 32] = [42; 32];

const CHAIN: ChainId = ChainId([1; 32]);
const CHART: ChartId = ChartId([2; 32]);
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
    BTreeMap::from([
        ("anchor_receipt", vec![encode(&anchor_receipt())]),
        ("body", [0, 1, 1_000, 100_000].map(body).to_vec()),
        ("bundle", bundles()),
        ("capsule", vec![capsule().encode()]),
        ("certificate", vec![encode(&certificate())]),
        ("claim_code", vec![ClaimCode::generate(&mut rng(1)).print().as_bytes().to_vec()]),
        ("command", commands().iter().map(SignedCommand::encode).collect()),
        ("genesis", vec![genesis().encode()]),
        ("grant_seals", vec![grant_seals()]),
        ("header", vec![encode(&header(9))]),
        ("history_path", vec![peaks().encode(), encode(&path())]),
        ("key_file", vec![key_file()]),
        ("key_sheet", vec![encode(&sheet::sheet(&chart_secret(), CHART, &[Epoch(0); 16]))]),
        ("label", vec![encode(&label())]),
        ("log_page", [5, u64::MAX].map(|from| encode(&log_page(from))).to_vec()),
        ("outcome", outcomes().iter().map(encode).collect()),
        ("receipt", vec![encode(&receipt(None)), encode(&receipt(Some(ancestry())))]),
        ("release_answer", vec![encode(&release_answer())]),
        ("release_request", vec![encode(&release_request())]),
        ("request", vec![encode(&signed_request())]),
        ("state_value", state_values().iter().map(Value::encode).collect()),
        ("share", vec![vec![0; 96], dealt().1.to_vec()]),
    ])
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
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
fn dealt() -> (keepwell_types::genesis::CommitteeKeys, [u8; threshold::KeyShare::LEN]) {
    let (keys, shares) = threshold::deal(&mut rng(2), VALIDATORS, 3);
    (keys, *shares[0].to_bytes())
}

/// The committee that the seeds are sealed to.
pub fn committee() -> &'static Committee {
    static COMMITTEE: OnceLock<Committee> = OnceLock::new();
    COMMITTEE.get_or_init(|| Committee::new(&dealt().0).expect("dealt keys are a committee"))
}

/// The genesis file that everything is checked against.
pub fn genesis() -> &'static Genesis {
    static GENESIS: OnceLock<Genesis> = OnceLock::new();
    GENESIS.get_or_init(|| {
        let mut validators: Vec<_> = (0..VALIDATORS as u8)
            .map(|index| Validator {
                organisation: ORGANISATION,
                consensus: key(100 + index).public(),
                release: key(110 + index).public(),
            })
            .collect();
        validators.sort_by_key(|validator| validator.consensus);
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
            },
            entries: list(vec![
                Payload::OrganisationAdmit(OrganisationAdmit {
                    organisation: ORGANISATION,
                    kind: OrganisationKind::Hospital,
                    name: text("Hospital"),
                    administrator: key(1).public(),
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
    }
}

fn key_file() -> Vec<u8> {
    let about = About { kind: KeyKind::Root, label: text("wallet"), demonstration: true };
    KeyFile::with_operator_key(&mut rng(7), about, &[11; 32], &OPERATOR_KEY)
        .expect("32 bytes are within the limit")
        .encode()
}

fn commands() -> Vec<SignedCommand> {
    let statement = CustodyStatement {
        chain: CHAIN,
        custodian: ORGANISATION,
        record: RecordId([8; 32]),
        version: Version(1),
        commitment: Commitment([12; 32]),
        sealed_bytes: 1_234,
        until: BlockTime(2_000),
    };
    let acknowledgement = keepwell_types::record::CustodyAcknowledgement {
        custodian: ORGANISATION,
        key: key(2).public(),
        signature: keepwell_crypto::custody::sign_custody(&key(2), &statement),
        until: BlockTime(2_000),
    };
    let record = RecordName { position: LogPosition(7), record: RecordId([8; 32]) };
    [
        Payload::RecordAdd(RecordAdd {
            chart: CHART,
            compartment: compartment(),
            epoch: Epoch(2),
            kind: RecordKind::Result,
            commitment: Commitment([12; 32]),
            sealed_bytes: 1_234,
            custody: list(vec![acknowledgement]),
            approval: Some(ApprovalRule {
                parties: list(vec![Party::Controller(CHART)]),
                approvals_min: 1,
            }),
            uniqueness: None,
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
        Payload::AnchorAdd(AnchorAdd { root: Digest([15; 32]), documents: 1_000 }),
    ]
    .map(|payload| {
        let command = Command {
            version: COMMAND_VERSION,
            chain: CHAIN,
            id: CommandId([16; 16]),
            window: WINDOW,
            signers: list(vec![Party::Member(MEMBER)]),
            payload,
        };
        command::sign(command, &[&key(3)])
    })
    .to_vec()
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
        round: Round {
            epoch: 0,
            view: height,
            parent_view: height - 1,
            leader: PublicKey([23; 32]),
        },
    }
}

/// Of the right shape, with signatures of nobody.
fn certificate() -> Certificate {
    let votes = (0..3).map(|validator| Vote { validator, signature: Signature([24; 64]) });
    Certificate {
        epoch: 0,
        view: 9,
        parent_view: 8,
        block: BlockId([25; 32]),
        votes: list(votes.collect()),
    }
}

fn outcomes() -> Vec<Outcome> {
    [Verdict::Accepted, Verdict::Rejected(Rejection::UnknownChart(CHART))]
        .map(|verdict| Outcome {
            command: CommandDigest([26; 32]),
            location: Location { height: Height(9), index: 0 },
            time: BlockTime(1_790_000_000_009),
            verdict,
        })
        .to_vec()
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

fn ancestry() -> Ancestry {
    Ancestry { path: path(), descendant: header(100) }
}

fn receipt(ancestry: Option<Ancestry>) -> Receipt {
    Receipt {
        version: RECEIPT_VERSION,
        entry: Entry::Signed(commands().swap_remove(0)),
        outcome: outcomes().swap_remove(0),
        entry_path: path(),
        outcome_path: path(),
        certified: CertifiedHeader { header: header(9), ancestry, certificate: certificate() },
    }
}

fn anchor_receipt() -> DocumentReceipt {
    DocumentReceipt {
        version: DOCUMENT_RECEIPT_VERSION,
        salt: Salt([27; 32]),
        document: Digest([7; 32]),
        path: path(),
        receipt: receipt(None),
    }
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

fn log_page(from: u64) -> LogPage {
    let entry = Entry::Signed(commands().swap_remove(2));
    let entries =
        outcomes().into_iter().map(|outcome| LogEntry { entry: entry.clone(), outcome }).collect();
    LogPage {
        head: StateProof {
            certified: blob(encode(&receipt(None).certified)),
            value: Some(blob(vec![32; 40])),
            proof: blob(vec![33; 200]),
        },
        from: LogPosition(from),
        before: Digest([34; 32]),
        entries: list(entries),
    }
}

fn state_values() -> [Value; 2] {
    [Value::History(peaks()), Value::ChartLog(ChartLog::EMPTY)]
}

fn bundles() -> Vec<Vec<u8>> {
    let hostile = [
        r#"{"resourceType":"Observation","id":"a","subject":{"reference":"Patient/1"},"valueQuantity":{"value":1.50,"unit":"kg"}}"#,
        r#"{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","id":"1","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}}},{"resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:1"},"code":{"text":"a\u0007b"}}}]}"#,
        "\u{feff}{\"resourceType\":\"Bundle\",\"entry\":[{}]}",
    ];
    let generated = keepwell_fhir::synthetic::Synthetic::new(1).patient(0, 1_790_000_000_000);
    // Whole patients are larger than what the fuzzer mutates well: their first resources will do.
    let resources = generated["entry"].as_array().into_iter().flatten().take(6);
    let single = resources.map(|entry| entry["resource"].to_string().into_bytes());
    hostile.map(|json| json.as_bytes().to_vec()).into_iter().chain(single).collect()
}

#[cfg(test)]
mod tests {
    use crate::targets;

    type Target = fn(&[u8]);

    /// A target that its own seed trips over would report nothing else.
    #[test]
    fn each_target_takes_its_seeds() {
        let all: [(&str, Target); 22] = [
            ("anchor_receipt", targets::anchor_receipt),
            ("body", targets::body),
            ("bundle", targets::bundle),
            ("capsule", targets::capsule),
            ("certificate", targets::certificate),
            ("claim_code", targets::claim_code),
            ("command", targets::command),
            ("genesis", targets::genesis),
            ("grant_seals", targets::grant_seals),
            ("header", targets::header),
            ("history_path", targets::history_path),
            ("key_file", targets::key_file),
            ("key_sheet", targets::key_sheet),
            ("label", targets::label),
            ("log_page", targets::log_page),
            ("outcome", targets::outcome),
            ("receipt", targets::receipt),
            ("release_answer", targets::release_answer),
            ("release_request", targets::release_request),
            ("request", targets::request),
            ("share", targets::share),
            ("state_value", targets::state_value),
        ];
        assert_eq!(super::all().len(), all.len(), "each target has a seed");
        for (name, target) in all {
            let inputs = &super::all()[name];
            assert!(!inputs.is_empty(), "{name} has no seed");
            inputs.iter().for_each(|input| target(input));
        }
    }
}
