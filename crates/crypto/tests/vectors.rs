//! The formats, frozen: every byte below follows from fixed seeds and must stay what it is.
//!
//! `vectors/crypto/*.json` is what a second implementation is checked against. Most cases are negative:
//! each names its fault, and what this implementation answers. `KEEPWELL_VECTORS=write` writes the files
//! anew, which is a change of the protocol.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{env, fmt::Debug, fs, path::Path};

use keepwell_crypto::{
    body::{Decryptor, Dek, Encryptor, HEADER_BYTES, SEALED_CHUNK_BYTES_MAX, sealed_len},
    capsule::{Capsule, GrantSecret, SaltedCapsule},
    ceremony::{Board, CeremonySecret, Founding, Participant, Plan, Round, check_card, sign_card},
    command::{self, command_digest, genesis_digest, record_id_of},
    dealing::{Dealing, Numbers},
    grant::{Binding, SealedSeeds, open_seeds, seal_seeds},
    guardian::{self, Group, GuardianEscrow, HandedShare},
    hash::{self, digest},
    index::IndexKey,
    keyfile::{About, Cost, KeyFile, KeyFileError, KeyKind},
    keys::{CaseKey, ChartSecret, ClaimCode, ClaimCodeError, MemberSecret},
    padding::padded_len,
    release::{Access, Collector},
    reshare::{self, Resharing, Share},
    seal::{self, OpenError, SealingKey},
    sheet,
    sign::{self, SigningKey},
    threshold::{self, Committee, ReleaseSecret},
    trustee::{AnswerCollector, ChartEscrow, Left, Opens, TrusteeAnswer, TrusteeGroup, TrusteeKey},
    words::{CaseWords, Readers, Subject, seal_words},
};
use keepwell_types::{
    anchor::AnchorAdd,
    command::{COMMAND_VERSION, Command, Payload},
    encode,
    encoding::{List, Text},
    founding::{DRAFT_VERSION, Draft, Founder},
    genesis::{
        EmergencyRule, MatchingRule, OwnOrganisation, Parameters, Trustee, Trustees, Validator,
    },
    grant::{Effect, GrantTerms, Grantee},
    guardian::GuardianPlace,
    id::{
        CaseId, ChainId, CommandDigest, CommandId, Digest, Epoch, GrantId, Height, Location,
        MemberId, OrganisationId, PublicKey, RecordId, Signature,
    },
    limits::COMPARTMENTS,
    member::{Administrators, OrganisationAdmit, OrganisationKind, Party},
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
    validators::{KeyUse, Seat},
    wire::ReleaseAnswer,
};
use serde_json::{Value, json};
use support::{
    CHAIN, CHART, CountingRng, ROOT, Record, Validators, access, compartment, epoch_key, label,
};

/// Compares a file of vectors with what the code makes now.
fn check(name: &str, vectors: &Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/crypto");
    let path = folder.join(name).with_extension("json");
    let now = serde_json::to_string_pretty(vectors).unwrap() + "\n";
    if env::var_os("KEEPWELL_VECTORS").is_some_and(|wish| wish == "write") {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, &now).unwrap();
    }
    let frozen = fs::read_to_string(&path).unwrap();
    assert!(now == frozen, "the format of {name} has changed: that needs a new version of it");
}

/// What an implementation must refuse, and what this one says.
fn refused<T, E: Debug>(fault: &str, input: Value, answer: Result<T, E>) -> Value {
    let Err(error) = answer else { panic!("{fault} was not refused") };
    json!({ "fault": fault, "input": input, "error": format!("{error:?}") })
}

fn hex(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn hashes() {
    let case = |domain: &str, parts: &[&[u8]]| {
        let shown: Vec<_> = parts.iter().map(hex).collect();
        json!({ "domain": domain, "parts": shown, "digest": digest(domain, parts) })
    };
    let padded = [0, 1, 8, 9, 1_000, 65_536, 65_545, 10_737_418_248];
    let sealed = [0, 1, 65_528, 65_529, 7_000_000, 9_000_000, 10_737_418_240];
    let vectors = json!({
        "digest": [
            case("keepwell/test/one/v1", &[]),
            case("keepwell/test/one/v1", &[b""]),
            case("keepwell/test/one/v1", &[b"ab", b"c"]),
            case("keepwell/test/one/v1", &[b"a", b"bc"]),
            case("keepwell/test/two/v1", &[b"ab", b"c"]),
        ],
        "sha256": [{ "bytes": hex("abc"), "digest": hash::sha256(&[b"a", b"bc"]) }],
        "padded_len": padded.map(|len| json!([len, padded_len(len)])),
        "sealed_len": sealed.map(|len| json!([len, sealed_len(len)])),
    });
    check("hash", &vectors);
}

#[test]
fn signatures() {
    let key = SigningKey::from_seed(&[1; 32]);
    let (domain, message) = ("keepwell/test/one/v1", b"message");
    let signature = key.sign(domain, message);
    let public = key.public();
    let verify = |key: PublicKey, domain: &str, message: &[u8], signature: Signature| {
        sign::verify(&key, domain, message, &signature)
    };
    assert_eq!(verify(public, domain, message, signature), Ok(()));
    let with = |at: usize, byte: u8| {
        let mut changed = signature;
        changed.0[at] ^= byte;
        changed
    };
    // S + ℓ, the same scalar in a longer form.
    let order = Digest([
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ]);
    let mut longer = signature;
    let mut carry = 0;
    for (byte, add) in longer.0[32..].iter_mut().zip(order.0) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let mut neutral = PublicKey([0; 32]);
    neutral.0[0] = 1;
    let mut small_r = signature;
    small_r.0[..32].copy_from_slice(&neutral.0);
    let mut above_p = PublicKey([0xff; 32]);
    (above_p.0[0], above_p.0[31]) = (0xee, 0x7f);
    let cases = [
        ("signature damaged in R", public, with(0, 1)),
        ("signature damaged in S", public, with(32, 1)),
        ("S not reduced", public, longer),
        ("R of small order", public, small_r),
        ("key of small order", neutral, signature),
        ("key not canonical", above_p, signature),
        ("key of another", SigningKey::from_seed(&[2; 32]).public(), signature),
    ];
    let negative: Vec<_> = cases
        .into_iter()
        .map(|(fault, key, signature)| {
            let input = json!({ "key": key, "signature": signature });
            refused(fault, input, verify(key, domain, message, signature))
        })
        .chain([
            refused(
                "another domain",
                json!({ "domain": "keepwell/test/two/v1" }),
                verify(public, "keepwell/test/two/v1", message, signature),
            ),
            refused(
                "another message",
                json!({ "message": hex(b"messages") }),
                verify(public, domain, b"messages", signature),
            ),
        ])
        .collect();
    let vectors = json!({
        "seed": hex([1; 32]),
        "key": public,
        "domain": domain,
        "message": hex(message),
        "signature": signature,
        "refused": negative,
    });
    check("sign", &vectors);
}

#[test]
fn commands() {
    let key = SigningKey::from_seed(&[1; 32]);
    let payload = Payload::AnchorAdd(AnchorAdd { root: Digest([2; 32]), documents: 3 });
    let command = Command {
        version: COMMAND_VERSION,
        chain: CHAIN,
        id: CommandId([4; 16]),
        window: Window { from: BlockTime(1_000), until: BlockTime(2_000) },
        signers: List::from_vec(vec![Party::Member(MemberId([5; 16]))]).unwrap(),
        payload: payload.clone(),
        part: None,
    };
    let signed = command::sign(command.clone(), &[&key]);
    let record = command::record_id(
        &CHAIN,
        &CHART,
        Party::Member(MemberId([5; 16])),
        command.id,
        command.window.until,
    );
    assert_eq!(record_id_of(&command), None);
    let mut wrong_chain = signed.clone();
    wrong_chain.command.chain.0[0] ^= 1;
    let mut unsigned = signed.clone();
    unsigned.signatures = List::new();
    let mut nobody = unsigned.clone();
    nobody.command.signers = List::new();
    let negative =
        [("another chain", wrong_chain), ("no signature", unsigned), ("no signer", nobody)]
            .map(|(fault, signed)| refused(fault, hex(signed.encode()), command::verify(signed)));
    let vectors = json!({
        "command": hex(encode(&command)),
        "digest": command_digest(&command),
        "seed": hex([1; 32]),
        "signed": hex(signed.encode()),
        "genesis_payload": hex(encode(&payload)),
        "genesis_digests": [genesis_digest(&payload, 0), genesis_digest(&payload, 1)],
        "record_id": { "chart": CHART, "signer": hex(encode(&command.signers[0])), "record": record },
        "refused": negative,
    });
    check("command", &vectors);
}

#[test]
fn keys() {
    let chart = ChartSecret::derive(&ROOT, CHART);
    let member = MemberSecret::from_bytes(&[2; 32]);
    let code = ClaimCode::from_bytes(&[0xa5; 16]);
    let epochs = [Epoch(0); COMPARTMENTS];
    let key_sheet = sheet::sheet(&chart, CHART, &epochs);
    let seeds = [(0, 0), (2, 0), (2, 1), (15, 256)].map(|(index, epoch)| {
        let seed = chart.epoch_seed(compartment(index), Epoch(epoch));
        let key = seed.sealing().public().digest();
        json!({ "compartment": index, "epoch": epoch, "seed": hex(seed.as_bytes()), "key": key })
    });
    let printed = code.print();
    let typed = [
        ("a digit too few", printed[..33].to_string()),
        ("a digit too many", format!("{}0", *printed)),
        ("a letter that no code has", printed.replacen('M', "U", 1)),
        ("a digit mistyped", format!("{}0", &printed[..33])),
        ("first digit above 7", format!("8{}", &printed[1..])),
    ]
    .map(|(fault, typed)| {
        let answer: Result<_, ClaimCodeError> = ClaimCode::parse(&typed);
        refused(fault, json!(typed), answer)
    });
    let vectors = json!({
        "root": hex(ROOT),
        "chart": CHART,
        "chart_secret": hex(chart.as_bytes()),
        "chart_signing": chart.signing().public(),
        "chart_sealing": chart.sealing().public().digest(),
        "epoch_seeds": seeds,
        "sheet_root": sheet::root(&key_sheet),
        "sheet_lines": sheet::line_digests(&key_sheet),
        "member_secret": hex(member.as_bytes()),
        "member_signing": member.signing().public(),
        "member_sealing": member.sealing().public().digest(),
        "claim_code": hex(code.as_bytes()),
        "claim_code_printed": *printed,
        "claim_key": { "chain": CHAIN, "chart": CHART, "key": code.signing(&CHAIN, &CHART).public() },
        "claim_codes_refused": typed,
    });
    check("keys", &vectors);
}

#[test]
fn sealed_messages() {
    let rng = &mut CountingRng::new("vectors: seal");
    let key = SealingKey::from_seed(&[1; 32]);
    let (domain, parts): (_, [&[u8]; 2]) = ("keepwell/test/one/v1", [b"context", b""]);
    let (encapsulated, ciphertext) = seal::seal(rng, &key.public(), domain, &parts, b"plaintext");
    let open = |key: &SealingKey, domain, parts: &[&[u8]], encapsulated: &[u8], sealed: &[u8]| {
        seal::open(key, domain, parts, encapsulated, sealed).map(|bytes| bytes.to_vec())
    };
    let opened = open(&key, domain, &parts, &encapsulated, &ciphertext);
    assert_eq!(opened.unwrap(), b"plaintext");
    let other = SealingKey::from_seed(&[2; 32]);
    let negative = [
        refused(
            "another key",
            json!({ "seed": hex([2; 32]) }),
            open(&other, domain, &parts, &encapsulated, &ciphertext),
        ),
        refused(
            "another domain",
            json!({ "domain": "keepwell/test/two/v1" }),
            open(&key, "keepwell/test/two/v1", &parts, &encapsulated, &ciphertext),
        ),
        refused(
            "the context cut into other parts",
            json!({ "parts": [hex("contex"), hex("t")] }),
            open(&key, domain, &[b"contex", b"t"], &encapsulated, &ciphertext),
        ),
        refused(
            "ciphertext damaged",
            json!({ "ciphertext": hex(flipped(&ciphertext, 0)) }),
            open(&key, domain, &parts, &encapsulated, &flipped(&ciphertext, 0)),
        ),
        refused(
            "encapsulation damaged",
            json!({ "byte": 1_119 }),
            open(&key, domain, &parts, &flipped(&encapsulated, 1_119), &ciphertext),
        ),
        refused(
            "encapsulation cut off",
            json!({ "bytes": 1_119 }),
            open(&key, domain, &parts, &encapsulated[..1_119], &ciphertext),
        ),
    ];
    let vectors = json!({
        "seed": hex([1; 32]),
        "key": hex(key.public().to_bytes()),
        "key_digest": key.public().digest(),
        "domain": domain,
        "parts": parts.map(hex),
        "plaintext": hex("plaintext"),
        "encapsulated": hex(&encapsulated),
        "ciphertext": hex(&ciphertext),
        "refused": negative,
    });
    check("seal", &vectors);
}

const DEK: [u8; 32] = [4; 32];
const RECORD: RecordId = RecordId([5; 32]);

fn body(content: &[u8]) -> Vec<u8> {
    let mut encryptor =
        Encryptor::new(&Dek::from_bytes(&DEK), &RECORD, content.len() as u64).unwrap();
    let mut sealed = encryptor.header().to_vec();
    let mut buffer = vec![0; SEALED_CHUNK_BYTES_MAX];
    let mut rest = content;
    while let Some(slot) = encryptor.next_slot() {
        let (now, later) = rest.split_at(slot.content.len());
        buffer[slot.content].copy_from_slice(now);
        sealed.extend_from_slice(encryptor.seal_chunk(&mut buffer).unwrap());
        rest = later;
    }
    sealed
}

fn open_body(dek: [u8; 32], record: RecordId, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (header, mut rest) = sealed.split_at(HEADER_BYTES.min(sealed.len()));
    let sealed_bytes = sealed.len() as u64;
    let mut decryptor = Decryptor::new(&Dek::from_bytes(&dek), &record, header, sealed_bytes)?;
    let mut content = Vec::new();
    while let Some(needed) = decryptor.next_sealed_bytes() {
        let (now, later) = rest.split_at(needed);
        content.extend_from_slice(decryptor.open_chunk(&mut now.to_vec())?);
        rest = later;
    }
    decryptor.finish().map(|_| content)
}

#[test]
fn bodies() {
    let counting = |len: usize| -> Vec<u8> { (0..len).map(|at| at as u8).collect() };
    let small = [0, 1, 100].map(|len| {
        let sealed = body(&counting(len));
        assert_eq!(open_body(DEK, RECORD, &sealed).unwrap(), counting(len));
        json!({ "content_bytes": len, "sealed": hex(sealed) })
    });
    // Too long to print: content byte i is i mod 256, and the digest is of all sealed bytes.
    let large = [65_528, 65_529, 200_000, 9_000_000].map(|len| {
        let sealed = body(&counting(len));
        let digest = hash::sha256(&[&sealed]);
        json!({ "content_bytes": len, "sealed_bytes": sealed.len(), "sha256": digest })
    });
    let sealed = body(&counting(100));
    let cases = [
        ("another data key", [6; 32], RECORD, sealed.clone()),
        ("another record", DEK, RecordId([6; 32]), sealed.clone()),
        ("another version", DEK, RECORD, flipped(&sealed, 0)),
        ("another algorithm", DEK, RECORD, flipped(&sealed, 1)),
        ("another size of chunks", DEK, RECORD, flipped(&sealed, 2)),
        ("reserved byte used", DEK, RECORD, flipped(&sealed, 7)),
        ("commitment damaged", DEK, RECORD, flipped(&sealed, 8)),
        ("ciphertext damaged", DEK, RECORD, flipped(&sealed, 40)),
        ("tag damaged", DEK, RECORD, flipped(&sealed, sealed.len() - 1)),
        ("last byte cut off", DEK, RECORD, sealed[..sealed.len() - 1].to_vec()),
        ("header only", DEK, RECORD, sealed[..40].to_vec()),
        ("header cut off", DEK, RECORD, sealed[..39].to_vec()),
        ("a byte appended", DEK, RECORD, [&sealed[..], &[0]].concat()),
    ];
    let negative = cases.map(|(fault, dek, record, sealed)| {
        let input = json!({ "data_key": hex(dek), "record": record, "sealed": hex(&sealed) });
        refused(fault, input, open_body(dek, record, &sealed))
    });
    let vectors = json!({
        "data_key": hex(DEK),
        "record": RECORD,
        "sealed": small,
        "sealed_large": large,
        "refused": negative,
    });
    check("body", &vectors);
}

#[test]
fn locks() {
    let rng = &mut CountingRng::new("vectors: locks");
    let (keys, shares) = threshold::deal(rng, 4, 3);
    let committee = Committee::new(&keys).unwrap();
    let shown: Vec<_> = shares.iter().map(|share| hex(*share.to_bytes())).collect();
    let validators = Validators::with(committee.clone(), shares);
    let key = epoch_key(2, 0);
    let dek = Dek::from_bytes(&DEK);
    let honest = label(&committee, 1);
    let capsule = Capsule::seal(rng, honest, &key.public(), &committee, &dek).unwrap();
    let salted = SaltedCapsule::new(rng, capsule);
    let record = Record { dek, expected: support::expected(&salted), salted };
    let other = Record::new(rng, &committee, 2);

    let (access, reader) = access(rng);
    let items = [(record.expected, record.salted.clone())];
    let answers: Vec<_> = validators.releasers[..3]
        .iter()
        .map(|it| it.release(rng, &access, &items, &reader.public()).unwrap())
        .collect();
    let capsules = [record.salted.clone()];
    let released = {
        let mut collector = Collector::new(&committee, &access, &capsules, &reader).unwrap();
        for answer in &answers {
            collector.add(answer, validators.key(answer.share)).unwrap();
        }
        collector.finish().unwrap().remove(0)
    };
    let granted = record.salted.capsule.open_grant(&key).unwrap();
    assert_eq!(record.salted.capsule.open(&granted, &released), Ok(record.dek.clone()));

    let vectors = json!({
        "committee": hex(encode(&keys)),
        "committee_id": committee.id(),
        "shares": shown,
        "release_keys": validators.keys,
        "compartment_seed": hex(
            ChartSecret::derive(&ROOT, CHART).epoch_seed(compartment(2), Epoch(0)).as_bytes()
        ),
        "label": hex(encode(&honest)),
        "salted_capsule": hex(record.salted.encode()),
        "commitment": record.salted.commitment(),
        "access": {
            "chain": access.chain, "command": access.command, "reader_key": access.reader_key,
        },
        "reader_key": hex(reader.public().to_bytes()),
        "answers": answers.iter().map(|it| hex(encode(it))).collect::<Vec<_>>(),
        "grant_secret": hex(granted.as_bytes()),
        "release_secret": hex(released.as_bytes()),
        "data_key": hex(DEK),
        "capsules_refused_by_readers": capsules_refused(&record, &granted, &released),
        "capsules_refused_by_validators": releases_refused(rng, &validators, &record, &other),
        "answers_refused": answers_refused(&validators, &access, &capsules, &reader, &answers),
    });
    check("locks", &vectors);
}

fn capsules_refused(
    record: &Record,
    granted: &GrantSecret,
    released: &ReleaseSecret,
) -> [Value; 3] {
    let capsule = &record.salted.capsule;
    let bytes = record.salted.encode();
    let open = |granted: &[u8; 32], released: &[u8; 32]| {
        capsule.open(&GrantSecret::from_bytes(granted), &ReleaseSecret::from_bytes(released))
    };
    let not_canonical = [&bytes[..36], &[0x18, 1], &bytes[37..]].concat();
    [
        refused(
            "without the first lock",
            json!({ "grant_secret": hex([0; 32]) }),
            open(&[0; 32], released.as_bytes()),
        ),
        refused(
            "without the second lock",
            json!({ "release_secret": hex([0; 32]) }),
            open(granted.as_bytes(), &[0; 32]),
        ),
        refused("suite in two bytes", hex(&not_canonical), SaltedCapsule::decode(&not_canonical)),
    ]
}

fn releases_refused(
    rng: &mut CountingRng,
    validators: &Validators,
    record: &Record,
    other: &Record,
) -> [Value; 4] {
    let (access, reader) = access(rng);
    let mut release = |expected, salted: SaltedCapsule| {
        validators.releasers[0].release(rng, &access, &[(expected, salted)], &reader.public())
    };
    let foreign = keepwell_crypto::release::Expected {
        commitment: record.salted.commitment(),
        ..other.expected
    };
    let mut resalted = record.salted.clone();
    resalted.salt.0[0] ^= 1;
    // The second lock of the other capsule: four byte strings after their array's head.
    let (mut relabelled, lock) = (record.salted.encode(), other.salted.encode());
    let at = lock.len() - (2 + 48) - (2 + 32) - (1 + 4 * 34);
    relabelled[at..at + 137].copy_from_slice(&lock[at..at + 137]);
    let relabelled = SaltedCapsule::decode(&relabelled).unwrap();
    let mut no_point = record.salted.encode();
    no_point[at + 3..at + 35].fill(0xff);
    let no_point = SaltedCapsule::decode(&no_point).unwrap();
    [
        refused(
            "a foreign capsule, whole",
            json!({ "record": foreign.record, "salted_capsule": hex(record.salted.encode()) }),
            release(foreign, record.salted.clone()),
        ),
        refused("another salt", hex(resalted.encode()), release(record.expected, resalted)),
        refused(
            "the second lock of another capsule",
            hex(relabelled.encode()),
            release(support::expected(&relabelled), relabelled),
        ),
        refused(
            "no point in the second lock",
            hex(no_point.encode()),
            release(support::expected(&no_point), no_point),
        ),
    ]
}

fn answers_refused(
    validators: &Validators,
    access: &keepwell_crypto::release::Access,
    capsules: &[SaltedCapsule],
    reader: &SealingKey,
    answers: &[ReleaseAnswer],
) -> [Value; 3] {
    let add = |answer: &ReleaseAnswer, place: usize| {
        let mut collector =
            Collector::new(&validators.committee, access, capsules, reader).unwrap();
        collector.add(answer, &validators.keys[place])
    };
    let mut signature = answers[0].clone();
    signature.signature.0[32] ^= 1;
    let mut index = answers[0].clone();
    index.share = 2;
    [
        refused("signature damaged", hex(encode(&signature)), add(&signature, 0)),
        refused("claimed for another share", hex(encode(&index)), add(&index, 1)),
        refused("checked with another validator's key", json!({ "key": 1 }), add(&answers[0], 1)),
    ]
}

#[test]
fn grants() {
    let rng = &mut CountingRng::new("vectors: grants");
    let grant = GrantId([6; 16]);
    let grantee = MemberSecret::from_bytes(&[2; 32]).sealing();
    let terms = GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(MemberId([1; 16])),
        compartments: CompartmentSet::EMPTY.with(compartment(2)),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::all(),
        window: Window { from: BlockTime(0), until: BlockTime(99) },
        accesses_max: Some(10),
        separate_consent: false,
        onward: false,
    };
    let chart = ChartSecret::derive(&ROOT, CHART);
    let seeds = [0, 1].map(|epoch| {
        let (compartment, epoch) = (compartment(2), Epoch(epoch));
        (compartment, epoch, chart.epoch_seed(compartment, epoch))
    });
    let binding = Binding { chain: &CHAIN, chart: &CHART, grant: &grant, terms: &terms };
    let sealed = seal_seeds(rng, &binding, &grantee.public(), &seeds).unwrap();
    assert_eq!(open_seeds(&binding, &grantee, &sealed).unwrap(), seeds);

    let mut longer = terms.clone();
    longer.window.until = BlockTime(100);
    let changed = Binding { terms: &longer, ..binding };
    let other_grant = GrantId([7; 16]);
    let moved = Binding { grant: &other_grant, ..binding };
    let bytes = sealed.encode();
    let damaged = SealedSeeds::decode(&flipped(&bytes, bytes.len() - 1)).unwrap();
    let stranger = MemberSecret::from_bytes(&[3; 32]).sealing();
    let negative = [
        refused(
            "changed terms",
            json!({ "terms": hex(encode(&longer)) }),
            open_seeds(&changed, &grantee, &sealed),
        ),
        refused(
            "another grant",
            json!({ "grant": other_grant }),
            open_seeds(&moved, &grantee, &sealed),
        ),
        refused(
            "another grantee",
            json!({ "member_secret": hex([3; 32]) }),
            open_seeds(&binding, &stranger, &sealed),
        ),
        refused("seeds damaged", hex(damaged.encode()), open_seeds(&binding, &grantee, &damaged)),
    ];
    let shown = seeds.map(|(compartment, epoch, seed)| {
        json!({ "compartment": compartment, "epoch": epoch, "seed": hex(seed.as_bytes()) })
    });
    let vectors = json!({
        "chain": CHAIN,
        "chart": CHART,
        "grant": grant,
        "terms": hex(encode(&terms)),
        "member_secret": hex([2; 32]),
        "seeds": shown,
        "sealed": hex(&bytes),
        "digest": sealed.digest(),
        "refused": negative,
    });
    check("grant", &vectors);
}

/// What is said in a case: for whoever has its key, handed to a member or attached to a record.
#[test]
fn words() {
    let rng = &mut CountingRng::new("vectors: words");
    let (case, member, record) = (CaseId([6; 16]), MemberId([1; 16]), RecordId([8; 32]));
    let subject = Subject { chain: &CHAIN, chart: &CHART, case: &case };
    let key = CaseKey::from_bytes(&[4; 32]);
    let (sealing, dek) = (MemberSecret::from_bytes(&[2; 32]).sealing(), Dek::from_bytes(&[5; 32]));
    let (members, records) = ([(member, sealing.public())], [(record, &dek)]);
    let readers = Readers { members: &members, records: &records };
    let text = "Der Befund ist nicht meiner: “Käse”.";
    let sealed = seal_words(rng, &subject, &key, text, readers).unwrap();
    assert_eq!(sealed.open(&subject, &key).unwrap().as_str(), text);
    assert!(sealed.key_of_member(&subject, member, &sealing).unwrap() == key);
    assert!(sealed.key_of_record(&subject, record, &dek).unwrap() == key);

    let bytes = sealed.encode();
    let other_case = CaseId([7; 16]);
    let moved = Subject { case: &other_case, ..subject };
    let (other_key, other_dek) = (CaseKey::from_bytes(&[9; 32]), Dek::from_bytes(&[9; 32]));
    let damaged = |at: usize| CaseWords::decode(&flipped(&bytes, at));
    let negative = [
        refused("another key", hex([9; 32]), sealed.open(&subject, &other_key)),
        refused("another case", json!({ "case": other_case }), sealed.open(&moved, &key)),
        refused(
            "handed in another case",
            json!({ "case": other_case }),
            sealed.key_of_member(&moved, member, &sealing).map(|_| ()),
        ),
        refused(
            "not handed to this member",
            json!({ "member": MemberId([3; 16]) }),
            sealed.key_of_member(&subject, MemberId([3; 16]), &sealing).map(|_| ()),
        ),
        refused(
            "another data key",
            hex([9; 32]),
            sealed.key_of_record(&subject, record, &other_dek).map(|_| ()),
        ),
        refused(
            "not attached to this record",
            json!({ "record": RecordId([9; 32]) }),
            sealed.key_of_record(&subject, RecordId([9; 32]), &dek).map(|_| ()),
        ),
        refused("another suite", hex(flipped(&bytes, 1)), damaged(1).map(|_| ())),
        refused("cut off", hex(&bytes[..40]), CaseWords::decode(&bytes[..40]).map(|_| ())),
    ];
    let vectors = json!({
        "chain": CHAIN,
        "chart": CHART,
        "case": case,
        "case_key": hex([4; 32]),
        "text": text,
        "member": member,
        "member_secret": hex([2; 32]),
        "record": record,
        "data_key": hex([5; 32]),
        "sealed": hex(&bytes),
        "digest": sealed.digest(),
        "refused": negative,
    });
    check("words", &vectors);
}

#[test]
fn indexes() {
    let rng = &mut CountingRng::new("vectors: index");
    let (key, other) = (IndexKey::from_bytes(&[4; 32]), IndexKey::from_bytes(&[9; 32]));
    let (record, moved) = (RecordId([8; 32]), RecordId([9; 32]));
    let derived = |parts: &[&[u8]]| {
        let shown: Vec<_> = parts.iter().map(hex).collect();
        json!({ "parts": shown, "term": hex(key.term(parts)), "tag": key.tag(parts) })
    };
    let plain = b"{\"valueDecimal\":72.50}";
    let row = key.seal(rng, &record, plain);
    assert_eq!(*key.open(&record, &row).unwrap(), plain);
    let negative = [
        refused("another key", hex([9; 32]), other.open(&record, &row)),
        refused("another record", json!({ "record": moved }), key.open(&moved, &row)),
        refused("a changed row", hex(flipped(&row, 20)), key.open(&record, &flipped(&row, 20))),
        refused("cut off", hex(&row[..27]), key.open(&record, &row[..27])),
        refused("empty", hex([]), key.open(&record, &[])),
    ];
    let vectors = json!({
        "key": hex([4; 32]),
        "derived": [derived(&[]), derived(&[b"ab", b"c"]), derived(&[b"a", b"bc"])],
        "row": { "record": record, "plain": hex(plain), "row": hex(&row) },
        "refused": negative,
    });
    check("index", &vectors);
}

/// What guardians hold together: one of two friends, and two of three of a clinic's.
#[test]
fn guardians() {
    let rng = &mut CountingRng::new("vectors: guardians");
    let keys: Vec<_> = (20..25).map(|it| MemberSecret::from_bytes(&[it; 32]).sealing()).collect();
    let publics: Vec<_> = keys.iter().map(SealingKey::public).collect();
    let groups = [
        Group { threshold: 1, guardians: publics[..2].to_vec() },
        Group { threshold: 2, guardians: publics[2..].to_vec() },
    ];
    let binding = guardian::Binding { chain: &CHAIN, chart: &CHART };
    let secret = [3; 80];
    let escrow = GuardianEscrow::deal(rng, &binding, &secret, 2, &groups).unwrap();
    let successor = MemberSecret::from_bytes(&[30; 32]).sealing();
    let places = [(0, 1, 1), (1, 0, 2), (1, 2, 4)];
    let handed = places.map(|(group, place, key)| {
        let at = GuardianPlace { group, place };
        let handed = escrow.hand_over(rng, &binding, at, &keys[key], &successor.public()).unwrap();
        (at, handed)
    });
    let open = |(at, handed): &(GuardianPlace, HandedShare)| {
        (*at, handed.open(&binding, *at, &successor).unwrap())
    };
    let shares: Vec<_> = handed.iter().map(open).collect();
    assert_eq!(escrow.recover(&binding, &shares).unwrap().as_slice(), &secret);

    let bytes = escrow.encode();
    let other_chart = keepwell_types::id::ChartId([9; 32]);
    let moved = guardian::Binding { chart: &other_chart, ..binding };
    let elsewhere = GuardianPlace { group: 1, place: 1 };
    let negative = [
        refused("one group alone", json!(["0/1"]), escrow.recover(&binding, &shares[..1])),
        refused(
            "one of two in a group",
            json!(["0/1", "1/0"]),
            escrow.recover(&binding, &shares[..2]),
        ),
        refused("another chart", json!({ "chart": other_chart }), escrow.recover(&moved, &shares)),
        refused(
            "another guardian's key",
            hex([20; 32]),
            escrow.hand_over(rng, &binding, elsewhere, &keys[0], &successor.public()).map(|_| ()),
        ),
        refused(
            "handed at another place",
            json!({ "group": 1, "place": 1 }),
            handed[1].1.open(&binding, elsewhere, &successor).map(|_| ()),
        ),
        refused(
            "handed to another successor",
            hex([20; 32]),
            handed[0].1.open(&binding, handed[0].0, &keys[0]).map(|_| ()),
        ),
        refused("cut off", hex(&bytes[..40]), GuardianEscrow::decode(&bytes[..40]).map(|_| ())),
    ];
    let shown: Vec<_> = handed
        .iter()
        .map(|(at, handed)| {
            json!({ "group": at.group, "place": at.place, "handed": hex(handed.encode()), "digest": handed.digest() })
        })
        .collect();
    let vectors = json!({
        "chain": CHAIN,
        "chart": CHART,
        "guardian_secrets": (20..25).map(|it| hex([it; 32])).collect::<Vec<_>>(),
        "groups": [{ "of": 2, "threshold": 1 }, { "of": 3, "threshold": 2 }],
        "groups_min": 2,
        "secret": hex(secret),
        "successor_secret": hex([30; 32]),
        "escrow": hex(&bytes),
        "digest": escrow.digest(),
        "handed": shown,
        "refused": negative,
    });
    check("guardians", &vectors);
}

/// What a chart leaves to emergencies, and what two of three trustees give of it for one access.
#[test]
fn trustees() {
    let rng = &mut CountingRng::new("vectors: trustees");
    let secrets = [40, 41, 42].map(|it| MemberSecret::from_bytes(&[it; 32]));
    let trustee = |secret: &MemberSecret| Trustee {
        name: Text::from_string("Trustee".into()).unwrap(),
        sealing: secret.sealing().public().to_blob(),
        signing: secret.signing().public(),
        organisation: None,
    };
    let all = List::from_vec(secrets.iter().map(trustee).collect()).unwrap();
    let trustees = Trustees { threshold: 2, trustees: all };
    let group = TrusteeGroup::new(&trustees).unwrap();
    let chart = ChartSecret::derive(&ROOT, CHART);
    let left = |index, from: u32| Left {
        compartment: compartment(index),
        from: Epoch(from),
        seeds: (from..from + 2).map(|at| chart.epoch_seed(compartment(index), Epoch(at))).collect(),
    };
    let lines = [left(2, 0), left(2, 2), left(5, 0)];
    let escrow = ChartEscrow::deal(rng, &CHAIN, CHART, &group, &lines).unwrap();

    let reader = MemberSecret::from_bytes(&[50; 32]).sealing();
    let access = Access {
        chain: CHAIN,
        command: CommandDigest([9; 32]),
        reader_key: reader.public().digest(),
    };
    let mut epochs = [Epoch(0); COMPARTMENTS];
    epochs[2] = Epoch(1);
    let compartments = CompartmentSet::EMPTY.with(compartment(2));
    let opens = Opens { access: &access, compartments, epochs: &epochs };
    let mut answer = |at: usize| {
        let key = TrusteeKey::new(&trustees, &secrets[at]).unwrap();
        key.answer(rng, &opens, &escrow, &reader.public()).unwrap()
    };
    let answers = [answer(0), answer(2)];
    let collector = || AnswerCollector::new(&group, &opens, &escrow, &reader);
    let collect = |answers: &[TrusteeAnswer]| {
        let mut collector = collector();
        answers.iter().try_for_each(|it| collector.add(it)).unwrap();
        collector.finish()
    };
    let seeds = collect(&answers).unwrap();
    assert_eq!(seeds.len(), 2, "of epochs that have begun, of the compartment that was asked for");

    let (bytes, given) = (escrow.encode(), answers[0].encode());
    let damaged = TrusteeAnswer::decode(&flipped(&given, given.len() - 1)).unwrap();
    let negative = [
        refused("one trustee alone", json!([1]), collect(&answers[..1])),
        refused("signature damaged", hex(damaged.encode()), collector().add(&damaged)),
        refused("escrow cut off", hex(&bytes[..40]), ChartEscrow::decode(&bytes[..40])),
        refused("answer cut off", hex(&given[..40]), TrusteeAnswer::decode(&given[..40])),
    ];
    let shown: Vec<_> = seeds
        .iter()
        .map(|(compartment, epoch, seed)| {
            json!({ "compartment": compartment, "epoch": epoch, "seed": hex(seed.as_bytes()) })
        })
        .collect();
    let vectors = json!({
        "chain": CHAIN,
        "chart": CHART,
        "trustees": hex(encode(&trustees)),
        "trustee_secrets": [hex([40; 32]), hex([41; 32]), hex([42; 32])],
        "escrow": hex(&bytes),
        "digest": escrow.digest(),
        "access": { "command": access.command, "reader_key": access.reader_key },
        "reader_secret": hex([50; 32]),
        "compartments": compartments,
        "epochs": epochs,
        "answers": answers.iter().map(|it| hex(it.encode())).collect::<Vec<_>>(),
        "seeds": shown,
        "refused": negative,
    });
    check("trustees", &vectors);
}

#[test]
fn dealings() {
    let rng = &mut CountingRng::new("vectors: dealings");
    let session = Digest([8; 32]);
    let keys = [1, 2].map(|seed| SealingKey::from_seed(&[seed; 32]));
    let public = keys.each_ref().map(SealingKey::public);
    let numbers = Numbers::new(2, 2).unwrap();
    let dealing = Dealing::fresh(rng, &session, 1, 2, &public).unwrap();
    assert!(dealing.open(&session, numbers, 1, &keys[0]).is_ok());
    let negative = [
        refused(
            "another session",
            json!({ "session": Digest([9; 32]) }),
            dealing.open(&Digest([9; 32]), numbers, 1, &keys[0]),
        ),
        refused(
            "another receiver's key",
            json!({ "receiver": 1, "seed": hex([2; 32]) }),
            dealing.open(&session, numbers, 1, &keys[1]),
        ),
        refused(
            "another threshold",
            json!({ "threshold": 1 }),
            dealing.open(&session, Numbers::new(1, 2).unwrap(), 1, &keys[0]),
        ),
    ];
    let vectors = json!({
        "session": session,
        "receiver_seeds": [hex([1; 32]), hex([2; 32])],
        "dealing": hex(encode(&dealing)),
        "digest": dealing.digest(),
        "refused": negative,
    });
    check("dealing", &vectors);
}

/// Two hand their shares on to two, and every byte follows from seeds.
#[test]
fn resharings() {
    let rng = &mut CountingRng::new("vectors: resharings");
    let (chain, change) = (ChainId([6; 32]), Location { height: Height(300), index: 2 });
    let (old, shares) = threshold::deal(rng, 2, 2);
    let resharing = Resharing::new(&chain, change, KeyUse::Release, &old, 2).unwrap();
    let keys = [1, 2].map(|seed| SealingKey::from_seed(&[seed; 32]));
    let receivers = keys.each_ref().map(|key| Some(key.public()));
    let dealings: Vec<_> = shares
        .iter()
        .map(|share| resharing.deal(&Share::Release(share.clone()), &receivers).unwrap())
        .map(|dealt| dealt.dealing().clone())
        .collect();
    let commitments: Vec<_> =
        dealings.iter().map(|dealing| resharing.commitments(dealing).unwrap()).collect();
    let new = resharing.finish(&commitments).unwrap();
    let parts: Vec<_> =
        dealings.iter().map(|dealing| resharing.open(dealing, 1, &keys[0]).unwrap()).collect();
    let share = resharing.share(1, &parts).unwrap();
    let proof = resharing.prove(rng, &new, &share);
    resharing.verify(&new, 1, &proof).unwrap();

    let matching = Resharing::new(&chain, change, KeyUse::Match, &old, 2).unwrap();
    let elsewhere = Resharing::new(&ChainId([7; 32]), change, KeyUse::Release, &old, 2).unwrap();
    let validator = Validator {
        organisation: OrganisationId([3; 16]),
        consensus: SigningKey::from_seed(&[11; 32]).public(),
        release: SigningKey::from_seed(&[12; 32]).public(),
    };
    let address = Some(Text::from_string("192.0.2.1:7440".into()).unwrap());
    let signing = [11, 12].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let card = reshare::sign_card(&chain, Seat { validator, address }, signing.each_ref());
    let mut moved = card.clone();
    moved.seat.address = None;
    let negative = [
        refused("another index", json!({ "index": 2 }), resharing.verify(&new, 2, &proof)),
        refused("the old keys", json!({}), resharing.verify(&old, 1, &proof)),
        refused("the other key's session", json!({}), matching.verify(&new, 1, &proof)),
        refused("a dealing for the other key", json!({}), matching.commitments(&dealings[0])),
        refused("a dealing of another chain", json!({}), elsewhere.commitments(&dealings[0])),
        refused(
            "one dealing too few",
            json!({ "dealings": 1 }),
            resharing.finish(&commitments[..1]),
        ),
        refused(
            "a card of another chain",
            json!({}),
            reshare::check_card(&ChainId([7; 32]), &card),
        ),
        refused("a card that was moved", hex(moved.encode()), reshare::check_card(&chain, &moved)),
    ];
    let vectors = json!({
        "chain": chain,
        "change": { "height": 300, "index": 2 },
        "old": hex(encode(&old)),
        "shares": shares.iter().map(|share| hex(*share.to_bytes())).collect::<Vec<_>>(),
        "receiver_seeds": [hex([1; 32]), hex([2; 32])],
        "dealings": dealings.iter().map(|it| hex(it.encode())).collect::<Vec<_>>(),
        "new": hex(encode(&new)),
        "proof": hex(&*proof),
        "card_seeds": [hex([11; 32]), hex([12; 32])],
        "card": hex(card.encode()),
        "refused": negative,
    });
    check("resharing", &vectors);
}

/// Two founders and all that they post: every byte follows from their seeds.
#[test]
fn ceremonies() {
    let seeds = [1_u8, 2].map(|founder| [10, 20, 30, 40].map(|use_| [founder + use_; 32]));
    let founder = |at: usize| {
        let [consensus, release, custodian, secret] = &seeds[at];
        let [consensus, release, custodian] =
            [consensus, release, custodian].map(SigningKey::from_seed);
        let admit = OrganisationAdmit {
            organisation: OrganisationId([at as u8 + 1; 16]),
            kind: OrganisationKind::Hospital,
            name: Text::from_string(format!("Founder {at}")).unwrap(),
            administrators: Administrators::one(SigningKey::from_seed(&[50; 32]).public()),
            custodian: Some(custodian.public()),
        };
        let ceremony = CeremonySecret::from_seed(secret).receiving().public().to_blob();
        let address = Text::from_string("192.0.2.1:7440".into()).unwrap();
        let (consensus_key, release_key) = (consensus.public(), release.public());
        let founder =
            Founder { admit, consensus: consensus_key, release: release_key, ceremony, address };
        sign_card(founder, [&consensus, &release, &custodian])
    };
    let mut order = [0, 1];
    order.sort_by_key(|at| founder(*at).founder.consensus);
    let draft = Draft {
        version: DRAFT_VERSION,
        name: Text::from_string("Vectors".into()).unwrap(),
        founded: BlockTime(1_790_000_000_000),
        founders: List::from_vec(order.map(founder).to_vec()).unwrap(),
        parameters: Parameters {
            own_organisation: OwnOrganisation::OptIn,
            custodians_min: 1,
            commands_per_minute_max: 1_000,
            notice: 1,
            licensed: KindSet::EMPTY,
            emergency: EmergencyRule::USUAL,
            recovery: None,
            sign_off: None,
            matching: Some(MatchingRule::USUAL),
            epoch_blocks: None,
        },
        trustees: None,
    };
    let plan = Plan::new(draft.clone()).unwrap();
    let secrets = order.map(|at| CeremonySecret::from_seed(&seeds[at][3]));
    let founders: Vec<_> = order
        .iter()
        .zip(&secrets)
        .map(|(at, secret)| {
            Participant::new(&plan, SigningKey::from_seed(&seeds[*at][0]), secret).unwrap()
        })
        .collect();
    let (mut board, mut posts) = (Board::new(&plan), Vec::new());
    for round in Round::ALL {
        for founder in &founders {
            let post = founder.post(round, &board).unwrap();
            let bytes = post.encode();
            let digest = hex(hash::sha256(&[&bytes]).0);
            posts.push(json!({ "round": round.as_str(), "founder": post.founder(), "bytes": bytes.len(), "sha256": digest }));
            board.add(post).unwrap();
        }
    }
    let genesis = board.agreed().unwrap();
    assert!(founders.iter().all(|it| it.finish(&board).is_ok()));
    let record = board.record().encode();
    assert_eq!(Founding::decode(&record).unwrap().genesis().unwrap(), genesis);

    let other = Draft { founded: BlockTime(1), ..draft.clone() };
    let elsewhere = Plan::new(other).unwrap();
    let first = board.post(Round::Commit, 1).unwrap().clone();
    let card = &draft.founders[0];
    let mut unsigned = card.clone();
    unsigned.founder.address = Text::from_string("192.0.2.2:7440".into()).unwrap();
    let mut moved = draft.clone();
    moved.founders = List::from_vec(draft.founders.iter().rev().cloned().collect()).unwrap();
    let negative = [
        refused("an address that was not signed", hex(unsigned.encode()), check_card(&unsigned)),
        refused("founders out of order", hex(moved.encode()), Plan::new(moved.clone())),
        refused(
            "a post of another draft",
            json!({ "plan": elsewhere.digest(), "post": hex(first.encode()) }),
            Board::new(&elsewhere).add(first.clone()),
        ),
        refused("nobody has posted", json!([]), Board::new(&plan).agreed()),
    ];
    let vectors = json!({
        "seeds": order.map(|at| seeds[at].map(hex)),
        "cards": draft.founders.iter().map(|card| hex(card.encode())).collect::<Vec<_>>(),
        "draft": hex(draft.encode()),
        "digest": plan.digest(),
        "posts": posts,
        "first_post": hex(first.encode()),
        "genesis": hex(genesis.encode()),
        "record": { "bytes": record.len(), "sha256": hex(hash::sha256(&[&record]).0) },
        "refused": negative,
    });
    check("ceremony", &vectors);
}

#[test]
fn key_files() {
    let rng = &mut CountingRng::new("vectors: key files");
    let label = Text::from_string("a demonstration".into()).unwrap();
    let about = About { kind: KeyKind::Member, label, demonstration: true };
    let (passphrase, secret) = ("correct horse battery staple", [5; 32]);
    let cost = Cost::DEMONSTRATION;
    let by_passphrase =
        KeyFile::with_passphrase(rng, about.clone(), &secret, passphrase, cost).unwrap().encode();
    let by_operator = KeyFile::with_operator_key(rng, about, &secret, &[1; 32]).unwrap().encode();
    let open = |bytes: &[u8], passphrase: &str| -> Result<_, KeyFileError> {
        KeyFile::decode(bytes)?.open_with_passphrase(passphrase)
    };
    assert_eq!(open(&by_passphrase, passphrase).unwrap().as_slice(), secret);
    let operator = KeyFile::decode(&by_operator).unwrap();
    assert_eq!(operator.open_with_operator_key(&[1; 32]).unwrap().as_slice(), secret);

    let find =
        |part: &[u8]| by_passphrase.windows(part.len()).position(|window| window == part).unwrap();
    let replaced = |old: &[u8], new: &[u8]| {
        let at = find(old);
        [&by_passphrase[..at], new, &by_passphrase[at + old.len()..]].concat()
    };
    let costly = Cost { memory_kib: u32::MAX, ..cost };
    let mut version = by_passphrase.clone();
    version[1] = 2;
    let cases = [
        ("another passphrase", by_passphrase.clone(), "incorrect horse"),
        ("another version", version, passphrase),
        ("another label", replaced(b"a demonstration", b"a demonstratioN"), passphrase),
        ("real, not a demonstration", replaced(b"ation\xf5", b"ation\xf4"), passphrase),
        ("absurd memory", replaced(&encode(&cost), &encode(&costly)), passphrase),
        ("last byte cut off", by_passphrase[..by_passphrase.len() - 1].to_vec(), passphrase),
        ("last byte damaged", flipped(&by_passphrase, by_passphrase.len() - 1), passphrase),
        ("a byte appended", [&by_passphrase[..], &[0]].concat(), passphrase),
        ("locked with an operator key", by_operator.clone(), passphrase),
    ];
    let negative = cases.map(|(fault, bytes, passphrase)| {
        let input = json!({ "file": hex(&bytes), "passphrase": passphrase });
        refused(fault, input, open(&bytes, passphrase))
    });
    let vectors = json!({
        "secret": hex(secret),
        "passphrase": passphrase,
        "by_passphrase": hex(&by_passphrase),
        "operator_key": hex([1; 32]),
        "by_operator_key": hex(&by_operator),
        "refused": negative,
    });
    check("keyfile", &vectors);
}
