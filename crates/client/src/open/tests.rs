//! Hostile custodians and validators: each is found out and named, and the others serve.

use keepwell_crypto::{
    body::{Encryptor, sealed_len},
    capsule::Capsule,
    command::{command_digest, sign},
    custody::FIRST_VERSION,
    keys::ChartSecret,
    release::Expected,
    seal,
    sign::SigningKey,
    threshold::Partial,
};
use keepwell_merkle::{
    block::{entry_leaf, outcome_leaf, outcome_root, payload_digest},
    range,
    receipt::{RECEIPT_VERSION, Receipt},
};
use keepwell_types::{
    block::Header,
    command::{COMMAND_VERSION, Command},
    id::{CommandDigest, CommandId, Digest, Location, MemberId, Signature},
    outcome::{Rejection, Verdict},
    record::RecordAdd,
    time::Window,
};

use super::*;
use crate::testing::{Answers, FOUNDED, World, list, organisation, serve};

const CHART: ChartId = ChartId([0xc0; 32]);
const POSITION: LogPosition = LogPosition(3);
const ACCESS: LogPosition = LogPosition(8);

fn actor() -> Actor {
    Actor::new(Party::Member(MemberId([1; 16])), SigningKey::from_seed(&[7; 32]))
}

fn compartment() -> Compartment {
    Compartment::new(4).unwrap()
}

/// A record of a chart, sealed.
struct Sample {
    facts: RecordFacts,
    capsule: SaltedCapsule,
    dek: Dek,
    content: Vec<u8>,
    body: Vec<u8>,
    seeds: Seeds,
}

fn sample(world: &World, record: u8, len: usize) -> Sample {
    let record = RecordId([record; 32]);
    let dek = Dek::generate(&mut rng());
    let content: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
    let mut encryptor = Encryptor::new(&dek, &record, len as u64).unwrap();
    let (mut body, mut at) = (encryptor.header().to_vec(), 0);
    while let Some(slot) = encryptor.next_slot() {
        let mut chunk = vec![0; slot.sealed_bytes];
        let end = at + slot.content.len();
        chunk[slot.content].copy_from_slice(&content[at..end]);
        at = end;
        body.extend_from_slice(encryptor.seal_chunk(&mut chunk).unwrap());
    }
    let seed = ChartSecret::derive(&[9; 32], CHART).epoch_seed(compartment(), Epoch(0));
    let label = Label {
        chain: world.chain(),
        chart: CHART,
        record,
        version: FIRST_VERSION,
        compartment: compartment(),
        epoch: Epoch(0),
        committee: world.consortium.committee().id(),
        content: Digest([0; 32]),
        sealed_bytes: sealed_len(len as u64),
    };
    let committee = world.consortium.committee();
    let public = seed.sealing().public();
    let capsule = Capsule::seal(&mut rng(), label, &public, committee, &dek).unwrap();
    let capsule = SaltedCapsule::new(&mut rng(), capsule);
    let facts = RecordFacts {
        name: RecordName { position: POSITION, record },
        version: FIRST_VERSION,
        compartment: compartment(),
        epoch: Epoch(0),
        kind: RecordKind::Result,
        commitment: capsule.commitment(),
        sealed_bytes: label.sealed_bytes,
        author: Party::Member(MemberId([1; 16])),
        custodians: vec![organisation(0), organisation(1)],
        time: FOUNDED,
        proposed: false,
        amends: None,
    };
    let mut seeds = Seeds::default();
    seeds.insert(compartment(), Epoch(0), seed);
    Sample { facts, capsule, dek, content, body, seeds }
}

impl Sample {
    fn opened(&self) -> OpenedRecord {
        let (facts, dek) = (self.facts.clone(), self.dek.clone());
        OpenedRecord { chart: CHART, access: ACCESS, facts, dek }
    }

    /// A client whose two custodians serve these bodies.
    async fn client(&self, world: &World, bodies: [Vec<u8>; 2]) -> Client {
        let mut urls = Vec::new();
        for body in bodies {
            let target = body_target(CHART, POSITION, ACCESS);
            urls.push(serve(Answers::from([(format!("GET {target}"), body)])).await);
        }
        world.client(urls)
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[tokio::test]
async fn a_flipped_byte_names_custodian_and_record_and_another_custodian_serves() {
    let world = World::new("custody");
    // Three chunks of 64 KiB, the last one with padding.
    let sample = sample(&world, 1, 150_000);
    let chunk = 65_536 + 16;
    for (what, bad, expected) in [
        ("nothing", sample.body.clone(), None),
        ("first chunk", flipped(&sample.body, 40), Some("chunk 0 ")),
        ("second chunk", flipped(&sample.body, 40 + chunk), Some("chunk 1 ")),
        ("last byte", flipped(&sample.body, sample.body.len() - 1), Some("chunk 2 ")),
        ("header", flipped(&sample.body, 10), Some("header")),
        ("cut off", sample.body[..chunk + 100].to_vec(), Some("ends in chunk 1")),
        (
            "swapped chunks",
            {
                let mut body = sample.body.clone();
                let (first, second) = body[40..40 + 2 * chunk].split_at_mut(chunk);
                first.swap_with_slice(second);
                body
            },
            Some("chunk 0 "),
        ),
        ("nothing there", Vec::new(), Some("ends in chunk 0")),
    ] {
        let client = sample.client(&world, [bad, sample.body.clone()]).await;
        let mut content = Vec::new();
        let report = client.read(&actor(), &sample.opened(), &mut content).await.unwrap();
        assert!(content == sample.content, "{what}");
        assert_eq!(report.bytes, 150_000);
        match (expected, &report.faults[..]) {
            (None, []) => {}
            (Some(expected), [fault]) => {
                assert_eq!(fault.custodian, organisation(0), "{what}");
                assert_eq!(fault.object, SealedObject::Record(sample.facts.name.record));
                let problem = fault.problem.to_string();
                assert!(problem.contains(expected), "{what}: {problem}");
                let whole = fault.to_string();
                assert!(whole.contains(&sample.facts.name.record.to_string()), "{whole}");
                assert!(whole.contains(&organisation(0).to_string()), "{whole}");
            }
            (_, faults) => panic!("{what}: {faults:?}"),
        }
    }
}

#[tokio::test]
async fn where_no_custodian_is_right_all_are_named() {
    let world = World::new("custody");
    let sample = sample(&world, 1, 1_000);
    let bad = flipped(&sample.body, 100);
    let client = sample.client(&world, [bad.clone(), bad]).await;
    let mut content = Vec::new();
    match client.read(&actor(), &sample.opened(), &mut content).await {
        Err(ClientError::Custody(CustodyError::Unreadable { faults, .. })) => {
            let named: Vec<_> = faults.iter().map(|fault| fault.custodian).collect();
            assert_eq!(named, sample.facts.custodians);
        }
        other => panic!("{other:?}"),
    }
    assert!(content.is_empty());
}

#[tokio::test]
async fn stretches_are_read_from_the_chunks_they_touch() {
    let world = World::new("custody");
    let sample = sample(&world, 1, 150_000);
    // The chunk in the middle is damaged at the first custodian.
    let bad = flipped(&sample.body, 40 + 65_552 + 5);
    let client = sample.client(&world, [bad, sample.body.clone()]).await;
    for (range, faults) in
        [(0..0, 0), (0..1, 0), (140_000..150_000, 0), (60_000..70_000, 1), (0..150_000, 1)]
    {
        let mut content = Vec::new();
        let (from, until) = (range.start as usize, range.end as usize);
        let report =
            client.read_range(&actor(), &sample.opened(), range, &mut content).await.unwrap();
        assert!(content == sample.content[from..until], "{from}..{until}");
        assert_eq!(report.faults.len(), faults, "{from}..{until}");
    }
    for range in [0..150_001, 150_001..150_002] {
        let outside = client.read_range(&actor(), &sample.opened(), range, &mut Vec::new()).await;
        assert!(matches!(outside, Err(ClientError::Usage(UsageError::Range { .. }))));
    }
}

#[test]
fn a_capsule_is_the_ledgers_own_or_refused() {
    let world = World::new("capsules");
    let (own, foreign) = (sample(&world, 1, 10), sample(&world, 2, 10));
    let committee = world.consortium.committee().id();
    let check = |facts: &RecordFacts, bytes: &[u8]| {
        check_capsule(&world.chain(), CHART, &committee, facts, bytes).err()
    };
    let bytes = own.capsule.encode();
    assert_eq!(check(&own.facts, &bytes), None);
    assert_eq!(check(&own.facts, &foreign.capsule.encode()), Some(CustodyProblem::Capsule));
    assert_eq!(check(&own.facts, &bytes[1..]), Some(CustodyProblem::Capsule));
    for at in [5, 40, bytes.len() - 1] {
        assert_eq!(check(&own.facts, &flipped(&bytes, at)), Some(CustodyProblem::Capsule), "{at}");
    }
    // A whole foreign capsule, committed again under a record of one's own.
    let mut recommitted = own.facts.clone();
    recommitted.commitment = foreign.facts.commitment;
    let foreign = foreign.capsule.encode();
    assert_eq!(check(&recommitted, &foreign), Some(CustodyProblem::ForeignCapsule));
    type Change = fn(&mut RecordFacts);
    let changes: [Change; 4] = [
        |facts| facts.version = Version(2),
        |facts| facts.compartment = Compartment::new(5).unwrap(),
        |facts| facts.epoch = Epoch(1),
        |facts| facts.sealed_bytes += 1,
    ];
    for change in changes {
        let mut facts = own.facts.clone();
        change(&mut facts);
        assert_eq!(check(&facts, &bytes), Some(CustodyProblem::ForeignCapsule), "{facts:?}");
    }
    let elsewhere = check_capsule(&world.chain(), ChartId([1; 32]), &committee, &own.facts, &bytes);
    assert_eq!(elsewhere.err(), Some(CustodyProblem::ForeignCapsule));
}

/// What the validators answer to a request for a release of one record.
struct Release {
    world: World,
    sample: Sample,
    reader: SealingKey,
    access: Released,
}

impl Release {
    fn new() -> Self {
        let world = World::new("release");
        let sample = sample(&world, 1, 10);
        let reader = SealingKey::generate(&mut rng());
        let access = Released {
            chain: world.chain(),
            command: CommandDigest([5; 32]),
            reader_key: reader.public().digest(),
        };
        Self { world, sample, reader, access }
    }

    /// The honest answer of the validator at a place.
    fn answer(&self, place: usize) -> ReleaseAnswer {
        self.answer_to(place, &self.access)
    }

    fn answer_to(&self, place: usize, access: &Released) -> ReleaseAnswer {
        let facts = &self.sample.facts;
        let expected = Expected {
            chart: CHART,
            record: facts.name.record,
            version: facts.version,
            compartment: facts.compartment,
            epoch: facts.epoch,
            sealed_bytes: facts.sealed_bytes,
            commitment: facts.commitment,
        };
        let items = [(expected, self.sample.capsule.clone())];
        let releaser = self.world.releaser(place);
        releaser.release(&mut rng(), access, &items, &self.reader.public()).unwrap()
    }

    /// Collects from validators that answer this; an empty answer is none.
    async fn collect(
        &self,
        answers: [Vec<u8>; 4],
    ) -> Result<(Dek, Vec<ValidatorFault>), ReleaseError> {
        let mut urls = Vec::new();
        for answer in answers {
            let mut served = Answers::new();
            if !answer.is_empty() {
                served.insert("POST /v1/release".to_owned(), answer);
            }
            urls.push(serve(served).await);
        }
        let client = self.world.client(urls);
        let (actor, what) = (actor(), What::Records(vec![self.sample.facts.name]));
        let opening = Opening {
            actor: &actor,
            chart: CHART,
            what: &what,
            purpose: Purpose::Treatment,
            seeds: &self.sample.seeds,
        };
        let (access, key) = (self.access, self.reader.clone());
        let reading = Reading { opening: &opening, key, access, position: ACCESS };
        let (facts, capsule) = (self.sample.facts.clone(), self.sample.capsule.clone());
        let batch = vec![Sealed { facts, capsule }];
        let mut faults = Vec::new();
        let secrets = client.release(&reading, &batch, &mut faults).await?;
        let Sealed { facts, capsule } = &batch[0];
        let dek = open_one(&self.sample.seeds, facts, capsule, &secrets[0]).unwrap();
        Ok((dek, faults))
    }
}

fn encoded(answer: &ReleaseAnswer) -> Vec<u8> {
    keepwell_types::encode(answer)
}

#[tokio::test]
async fn a_lying_validator_is_named_and_the_others_open() {
    let release = Release::new();
    // Signed by validator 0, and not the work of its share: that of another access.
    let other = Released { command: CommandDigest([6; 32]), ..release.access };
    let lie = release.lie(0);
    let [one, two, three] = [1, 2, 3].map(|place| encoded(&release.answer(place)));
    for (what, answer, blamed) in [
        ("a lie under its own signature", encoded(&lie), true),
        ("an answer to another access", encoded(&release.answer_to(0, &other)), false),
        ("another validator's answer", one.clone(), false),
        ("garbage", b"garbage".to_vec(), false),
        ("nothing", Vec::new(), false),
        (
            "a changed answer",
            {
                let mut answer = release.answer(0);
                answer.signature = Signature([0; 64]);
                encoded(&answer)
            },
            false,
        ),
    ] {
        // Two honest ones are too few: validator 0 is needed, and found out.
        let answers = [answer.clone(), one.clone(), two.clone(), Vec::new()];
        match release.collect(answers).await {
            Err(ReleaseError::TooFew { shares, faults }) => {
                assert_eq!((shares.have, shares.need), (2, 3), "{what}");
                let fault = faults.iter().find(|it| it.organisation == organisation(0)).unwrap();
                assert_eq!(fault.is_proven(), blamed, "{what}: {fault}");
            }
            other => panic!("{what}: {other:?}"),
        }
        let answers = [answer, one.clone(), two.clone(), three.clone()];
        let (dek, faults) = release.collect(answers).await.unwrap();
        assert_eq!(dek, release.sample.dek, "{what}");
        for fault in &faults {
            assert_eq!(fault.organisation, organisation(0), "{what}");
        }
    }
}

impl Release {
    /// A share that is not the validator's own, sealed and signed as if it were.
    fn lie(&self, place: usize) -> ReleaseAnswer {
        let honest = self.answer(place);
        // What `keepwell_crypto::release` signs and seals, written again for someone who lies.
        let commitments = [self.sample.facts.commitment];
        let context = context(&self.access, &commitments);
        let share = honest.share;
        let partial = vec![1; Partial::encoded_len(1)];
        let parts: [&[u8]; 2] = [&context.0, &share.to_le_bytes()];
        let reader = self.reader.public();
        let (encapsulated, sealed) =
            seal::seal(&mut rng(), &reader, "keepwell/release/share/v1", &parts, &partial);
        let parts: [&[u8]; 4] = [&context.0, &share.to_le_bytes(), &encapsulated, &sealed];
        let message = keepwell_crypto::hash::digest("keepwell/release/message/v1", &parts);
        let key = self.world.release_key(place);
        ReleaseAnswer {
            access: self.access.command,
            share,
            encapsulated: Blob::from_vec(encapsulated).unwrap(),
            sealed: Blob::from_vec(sealed).unwrap(),
            signature: key.sign("keepwell/release/answer/v1", &message.0),
        }
    }
}

fn context(access: &Released, commitments: &[Commitment]) -> Digest {
    let mut parts: Vec<&[u8]> = vec![&access.chain.0, &access.command.0, &access.reader_key.0];
    parts.extend(commitments.iter().map(|it| &it.0[..]));
    keepwell_crypto::hash::digest("keepwell/release/context/v1", &parts)
}

/// The receipt of a signed entry that adds a record, alone in block 3.
fn receipt(world: &World, verdict: Verdict) -> Receipt {
    let command = Command {
        version: COMMAND_VERSION,
        chain: world.chain(),
        id: CommandId([1; 16]),
        window: Window { from: FOUNDED, until: FOUNDED.plus_ms(600_000) },
        signers: list([actor().party()]),
        payload: Payload::RecordAdd(RecordAdd {
            chart: CHART,
            compartment: compartment(),
            epoch: Epoch(0),
            kind: RecordKind::Result,
            commitment: Commitment([1; 32]),
            sealed_bytes: 100,
            custody: List::new(),
            approval: None,
            uniqueness: None,
            amends: None,
        }),
        part: None,
    };
    let header = world.header(3, Digest([3; 32]));
    let outcome = Outcome {
        command: command_digest(&command),
        location: Location { height: header.height, index: 0 },
        time: header.time,
        verdict,
    };
    let entry = Entry::Signed(sign(command, &[actor().key()]));
    let header = Header {
        payload: payload_digest(std::slice::from_ref(&entry)),
        entries: 1,
        outcomes: outcome_root(std::slice::from_ref(&outcome)),
        ..header
    };
    let path = |leaf| range::prove(&range::nodes(&[leaf])[..], 1, 0).unwrap();
    Receipt {
        version: RECEIPT_VERSION,
        entry_path: path(entry_leaf(&entry)),
        outcome_path: path(outcome_leaf(&outcome)),
        entry,
        outcome,
        certified: world.certified(header),
        handovers: None,
    }
}

#[test]
fn what_is_said_of_a_record_is_proven() {
    let world = World::new("proven");
    let verify = |receipt: Receipt| receipt.verify_by(world.consortium.validators());
    let good = receipt(&world, Verdict::Accepted);
    let proven = verify(good.clone()).unwrap();
    let all = Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(9) };
    let facts = record_of(CHART, &all, POSITION, &proven).unwrap();
    assert_eq!((facts.name.position, facts.sealed_bytes), (POSITION, 100));
    assert_eq!((facts.kind, facts.time), (RecordKind::Result, good.outcome.time));
    let named = |record| Target::Records(list([RecordName { position: POSITION, record }]));
    let own = named(facts.name.record);
    assert_eq!(record_of(CHART, &own, POSITION, &proven), Ok(facts));
    let other = Err(ProofFault::OtherEntry(POSITION));
    assert_eq!(record_of(CHART, &named(RecordId([9; 32])), POSITION, &proven), other);
    assert_eq!(record_of(ChartId([1; 32]), &all, POSITION, &proven), other);
    let elsewhere = Err(ProofFault::OtherEntry(LogPosition(4)));
    assert_eq!(record_of(CHART, &own, LogPosition(4), &proven), elsewhere);
    let none = Target::Compartments { compartments: CompartmentSet::EMPTY, until: LogPosition(9) };
    assert_eq!(record_of(CHART, &none, POSITION, &proven), other);
    let refused = verify(receipt(&world, Verdict::Rejected(Rejection::NotGranted))).unwrap();
    assert_eq!(record_of(CHART, &all, POSITION, &refused), other);

    // A node that lies well signs the entry anew and makes the outcome fit.
    let change = |change: fn(&mut RecordAdd)| {
        let mut receipt = good.clone();
        let Entry::Signed(signed) = &receipt.entry else { panic!("the entry is signed") };
        let mut command = signed.command.clone();
        let Payload::RecordAdd(add) = &mut command.payload else { panic!("it adds a record") };
        change(add);
        receipt.outcome.command = command_digest(&command);
        receipt.entry = Entry::Signed(sign(command, &[actor().key()]));
        receipt
    };
    let mut later = good.clone();
    later.outcome.time = good.outcome.time.plus_ms(1);
    for (what, receipt) in [
        ("another kind", change(|it| it.kind = RecordKind::Document)),
        ("another commitment", change(|it| it.commitment = Commitment([2; 32]))),
        ("another time", later),
    ] {
        assert!(verify(receipt).is_err(), "{what}");
    }
}

/// A node that shows a record twice, goes backwards or leaves its stretch is asked nothing more.
#[test]
fn a_page_of_records_goes_on_and_keeps_to_its_stretch() {
    let world = World::new("pages");
    let proven = receipt(&world, Verdict::Accepted).verify_by(world.consortium.validators());
    let proven = proven.unwrap();
    let all = Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(9) };
    for (from, next, places, good) in [
        (0, 9, &[3][..], true),
        (0, 4, &[3], true),
        (3, 4, &[3], true),
        (0, 9, &[], true),
        (0, 9, &[1, 3, 8], true),
        (0, 9, &[3, 3], false),
        (0, 9, &[3, 1], false),
        (0, 3, &[3], false),
        (4, 9, &[3], false),
        (0, 0, &[], false),
        (5, 4, &[], false),
        (0, 10, &[], false),
        (0, u64::MAX, &[u64::MAX], false),
    ] {
        let records: Vec<_> = places.iter().map(|at| (LogPosition(*at), proven.clone())).collect();
        let stretch = (LogPosition(from), LogPosition(next));
        let read = records_on(CHART, &all, stretch, &records);
        assert_eq!(read.is_ok(), good, "{from}..{next} {places:?}: {read:?}");
    }
}

/// Fetches the capsules of three records from two custodians that answer this.
async fn fetch(world: &World, samples: &[Sample], answers: [Option<Vec<u8>>; 2]) -> Fetched {
    let mut urls = Vec::new();
    for answer in answers {
        let target = format!("POST /v1/charts/{CHART}/capsules?access={ACCESS}");
        let answers = answer.map(|answer| (target, answer));
        urls.push(serve(Answers::from_iter(answers)).await);
    }
    let client = world.client(urls);
    let (actor, what) = (actor(), What::Compartments(CompartmentSet::all(), None));
    let opening = Opening {
        actor: &actor,
        chart: CHART,
        what: &what,
        purpose: Purpose::Treatment,
        seeds: &samples[0].seeds,
    };
    let key = SealingKey::generate(&mut rng());
    let access = Released {
        chain: world.chain(),
        command: CommandDigest([5; 32]),
        reader_key: key.public().digest(),
    };
    let reading = Reading { opening: &opening, key, access, position: ACCESS };
    let mut facts: Vec<_> = samples.iter().map(|it| it.facts.clone()).collect();
    for (place, facts) in (0..).zip(&mut facts) {
        facts.name.position = LogPosition(place);
    }
    // Of the last one the reader has no seed.
    facts.last_mut().unwrap().epoch = Epoch(1);
    client.capsules(&reading, facts).await
}

/// Where the records stand that were fetched, and those that were not.
fn places(fetched: &Fetched) -> (Vec<u64>, Vec<u64>) {
    let at = |facts: &RecordFacts| facts.name.position.0;
    let sealed = fetched.sealed.iter().map(|it| at(&it.facts)).collect();
    (sealed, fetched.withheld.iter().map(|it| at(&it.facts)).collect())
}

#[tokio::test]
async fn capsules_come_from_whichever_custodian_gives_the_ledgers_own() {
    let world = World::new("capsules");
    let samples: Vec<_> = (1..=4).map(|record| sample(&world, record, 10)).collect();
    let capsule = |place: usize| Some(Blob::from_vec(samples[place].capsule.encode()).unwrap());
    let answer = |capsules: Vec<_>| {
        let capsules = list(capsules);
        Some(keepwell_types::encode(&CapsuleAnswer { capsules }))
    };
    let good = || answer((0..3).map(capsule).collect());
    let fetched = fetch(&world, &samples, [good(), None]).await;
    assert_eq!(places(&fetched), (vec![0, 1, 2], vec![3]));
    assert!(fetched.custodians.is_empty());

    // The first has one of them only, and gives another's for the second.
    let bad = answer(vec![capsule(0), capsule(0), None]);
    let rest = answer(vec![capsule(1), capsule(2)]);
    let fetched = fetch(&world, &samples, [bad.clone(), rest]).await;
    assert_eq!(places(&fetched), (vec![0, 1, 2], vec![3]));
    let problems: Vec<_> = fetched.custodians.iter().map(|it| it.problem.clone()).collect();
    assert_eq!(problems, [CustodyProblem::Capsule, CustodyProblem::NoCapsule]);

    // One that answers nonsense, or less than it was asked for, is passed over.
    let few = answer(vec![capsule(0), capsule(1)]);
    for first in [few, Some(b"garbage".to_vec()), None] {
        let fetched = fetch(&world, &samples, [first, good()]).await;
        assert_eq!(places(&fetched), (vec![0, 1, 2], vec![3]));
        assert_eq!(fetched.custodians.len(), 3);
    }
    // Where neither has a record, that one stays closed, and the others open.
    let fetched = fetch(&world, &samples, [bad, answer(vec![None, capsule(2)])]).await;
    assert_eq!(places(&fetched), (vec![0, 2], vec![3, 1]));
}
