//! Four nodes in one process, over real sockets: what they accept, prove, store and release, and what
//! they refuse.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{io, net::Ipv4Addr, sync::Mutex, time::Duration};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use common::{
    Sealed,
    consortium::{Consortium, Person, error_of, now, random, run, unlock},
    seal,
};
use futures::StreamExt as _;
use keepwell_crypto::{
    capsule::SaltedCapsule,
    command::{record_id, record_id_of, sign},
    custody::sign_custody,
    keys::ChartSecret,
    release::{Access, Collector},
    request::body_digest,
    seal::SealingKey,
    sheet,
    sign::SigningKey,
    threshold::Committee,
};
use keepwell_merkle::{
    chart_log,
    receipt::{CertifiedHeader, Receipt},
};
use keepwell_node::{
    config::NodeConfig, custody::store::RecordObject, folder::FolderError, keys::NodeKeys, ports,
    run::NodeError,
};
use keepwell_types::{
    access::{AccessOpen, Purpose, RecordName, Target},
    chart::{ChartKeys, ChartOpen, KeySheet},
    command::{COMMAND_VERSION, Command, Part, Payload, SignedCommand},
    encode,
    encoding::{Blob, List, Text},
    grant::{GrantGive, GrantRevoke},
    id::{
        ChainId, ChartId, CommandId, Compartment, Digest, Epoch, GrantId, Location, LogPosition,
        MemberId, RecordId, TransactionId, Version,
    },
    limits::{
        COMMAND_BYTES_MAX, COMMAND_WINDOW_MS_MAX, COMPARTMENTS, RECEIPT_BYTES_MAX,
        REQUEST_SKEW_MS_MAX,
    },
    member::{MemberEnrol, MemberStanding, Party, Role},
    outcome::{Rejection, Verdict},
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd, RecordKind},
    set::{CompartmentSet, RoleSet},
    time::{BlockTime, Window},
    wire::{
        AccessPage, CapsuleAnswer, CapsuleRequest, LogEntry, LogPage, OpenedPage, ReleaseAnswer,
        ReleaseItem, ReleaseRequest, Request, StateProof, TRANSACTION_RECEIPTS_BYTES_MAX,
        TransactionParts, TransactionReceipts,
    },
};
use reqwest::{Method, StatusCode};

const HOSPITAL: usize = 0;
const CLINIC: usize = 1;
const LABORATORY: usize = 2;
const INSURER: usize = 3;

/// What a record says, over and over.
const CONTENT: &str = "Ada Example, born 1970-01-01, MRN 00417-A: warfarin 5 mg. ";
/// Identifiers of the patient in it.
const IDENTIFIERS: [&str; 3] = ["Ada Example", "1970-01-01", "00417-A"];

/// Everything that is logged in this process, once someone listens.
static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Writes to [`LOGGED`].
struct Logged;

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A chart, with its secrets.
struct Chart {
    id: ChartId,
    secret: ChartSecret,
    controller: Person,
}

impl Chart {
    fn new() -> Self {
        let id = ChartId(random());
        let secret = ChartSecret::derive(&random(), id);
        let controller = Person { party: Party::Controller(id), key: secret.signing() };
        Self { id, secret, controller }
    }

    fn compartment(&self) -> Compartment {
        Compartment::new(4).unwrap()
    }

    fn sheet(&self) -> KeySheet {
        sheet::sheet(&self.secret, self.id, &[Epoch(0); COMPARTMENTS])
    }

    fn epoch_key(&self) -> SealingKey {
        self.secret.epoch_seed(self.compartment(), Epoch(0)).sealing()
    }
}

/// A record that was sealed and not added yet.
struct Draft {
    command: Command,
    object: RecordObject,
    sealed: Sealed,
}

/// Adds members, charts and records to a consortium.
struct World {
    consortium: Consortium,
    committee: Committee,
    clinician: Person,
    colleague: Person,
}

impl World {
    async fn new(consortium: Consortium) -> Self {
        let committee = Committee::new(&consortium.genesis.committee).unwrap();
        let mut world = Self {
            consortium,
            committee,
            clinician: Person::new(Party::Member(MemberId(random()))),
            colleague: Person::new(Party::Member(MemberId(random()))),
        };
        world.clinician = world.enrol(HOSPITAL, Role::Clinician).await;
        world.colleague = world.enrol(CLINIC, Role::Clinician).await;
        world
    }

    async fn enrol(&self, at: usize, role: Role) -> Person {
        let member = MemberId(random());
        let person = Person::new(Party::Member(member));
        let enrol = MemberEnrol {
            member,
            organisation: self.consortium.organisations[at],
            signing: person.key.public(),
            sealing: SealingKey::from_seed(&random()).public().digest(),
            roles: RoleSet::EMPTY.with(role),
        };
        let administrator = &self.consortium.administrators[at];
        self.consortium.accepted(at, Payload::MemberEnrol(enrol), &[administrator]).await;
        person
    }

    /// Opens a chart of the signer's organisation, whose custodians are hospital and laboratory.
    async fn open_chart(&self, by: &Person) -> Chart {
        let chart = Chart::new();
        let keys = ChartKeys {
            signing: chart.controller.key.public(),
            sealing: chart.secret.sealing().public().digest(),
            sheet: sheet::root(&chart.sheet()),
        };
        let custodians = [HOSPITAL, LABORATORY].map(|at| self.consortium.organisations[at]);
        let open = ChartOpen {
            chart: chart.id,
            keys,
            separate_consent: Compartment::all().take(4).collect(),
            custodians: List::from_vec(custodians.to_vec()).unwrap(),
            contributors: List::new(),
            claim: None,
        };
        self.consortium.accepted(HOSPITAL, Payload::ChartOpen(open), &[by]).await;
        chart
    }

    /// Seals a record of `chart`, to be added by `author`.
    fn draft(&self, chart: &Chart, author: &Person, content: &[u8]) -> Draft {
        let (id, until) = (CommandId(random()), now().plus_ms(120_000));
        let record = record_id(&self.consortium.chain, &chart.id, author.party, id, until);
        let object = RecordObject { chart: chart.id, record, version: Version(1) };
        let key = chart.epoch_key().public();
        let compartment = (chart.compartment(), Epoch(0), &key);
        let sealed = seal(self.consortium.chain, &object, compartment, &self.committee, content);
        let add = RecordAdd {
            chart: chart.id,
            compartment: chart.compartment(),
            epoch: Epoch(0),
            kind: RecordKind::Result,
            commitment: sealed.capsule.commitment(),
            sealed_bytes: sealed.body.len() as u64,
            custody: List::new(),
            approval: None,
            uniqueness: None,
            amends: None,
        };
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.consortium.chain,
            id,
            window: Window { from: BlockTime(now().0 - 2_000), until },
            signers: List::from_vec(vec![author.party]).unwrap(),
            payload: Payload::RecordAdd(add),
            part: None,
        };
        assert_eq!(record_id_of(&command), Some(record));
        Draft { command, object, sealed }
    }

    fn base(object: &RecordObject) -> String {
        format!("/v1/charts/{}/records/{}/{}", object.chart, object.record, object.version)
    }

    /// Stores a draft at a custodian.
    async fn store(&self, at: usize, author: &Person, draft: &Draft) -> CustodyAcknowledgement {
        let base = Self::base(&draft.object);
        let body = draft.sealed.body.clone();
        let path = format!("{base}/body");
        let mut answer = self.consortium.put_streamed(at, author, &path, body.clone()).await;
        // A node that is a block behind does not know a chart that was opened at another.
        for _ in 0..50 {
            if answer.status() != StatusCode::NOT_FOUND {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            answer = self.consortium.put_streamed(at, author, &path, body.clone()).await;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
        let capsule = draft.sealed.capsule.encode();
        let path = format!("{base}/capsule");
        let answer = self.consortium.ask(at, author, Method::PUT, &path, capsule).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
        keepwell_types::decode(&answer.bytes().await.unwrap(), 1_024).unwrap()
    }

    /// Adds a draft, with these acknowledgements.
    async fn add(
        &self,
        author: &Person,
        draft: &Draft,
        custody: Vec<CustodyAcknowledgement>,
    ) -> LogPosition {
        let mut command = draft.command.clone();
        if let Payload::RecordAdd(add) = &mut command.payload {
            add.custody = List::from_vec(custody).unwrap();
        }
        let receipt = self.consortium.submit(HOSPITAL, &sign(command, &[&author.key])).await;
        assert!(receipt.outcome().verdict.is_accepted(), "{:?}", receipt.outcome());
        self.position(draft.object.chart, draft.object.record)
    }

    /// The capsule at a position, from the hospital; or the status and the error.
    async fn capsule(
        &self,
        asker: &Person,
        chart: ChartId,
        position: LogPosition,
        by: &str,
    ) -> Result<Vec<u8>, (u16, String)> {
        let request = CapsuleRequest { positions: List::from_vec(vec![position]).unwrap() };
        let (path, body) = (format!("/v1/charts/{chart}/capsules{by}"), encode(&request));
        let answer = self.consortium.ask(HOSPITAL, asker, Method::POST, &path, body).await;
        if answer.status() != StatusCode::OK {
            return Err(error_of(answer).await);
        }
        let bytes = answer.bytes().await.unwrap();
        let answer: CapsuleAnswer = keepwell_types::decode(&bytes, 1 << 20).unwrap();
        Ok(answer.capsules[0].as_ref().unwrap().to_vec())
    }

    /// The records of an access to one record: shown to its reader, page by page, and to nobody else.
    async fn check_records_of(
        &self,
        reader: &Person,
        chart: ChartId,
        (access, position): (LogPosition, LogPosition),
    ) {
        let path = format!("/v1/charts/{chart}/log/{access}/records");
        let page = async |from: u64| {
            let answer = self.consortium.get(CLINIC, reader, &format!("{path}?from={from}")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let bytes = answer.bytes().await.unwrap();
            keepwell_types::decode::<OpenedPage>(&bytes, 1 << 24).unwrap()
        };
        let after = LogPosition(position.0 + 1);
        for (from, places) in [(0, &[position][..]), (position.0, &[position]), (after.0, &[])] {
            let page = page(from).await;
            let shown: Vec<_> = page.records.iter().map(|it| it.position).collect();
            assert_eq!((&shown[..], page.next), (places, after), "from {from}");
        }
        let no_access = format!("/v1/charts/{chart}/log/{position}/records");
        for (asker, path) in
            [(&self.consortium.administrators[CLINIC], &path), (reader, &no_access)]
        {
            let answer = self.consortium.get(CLINIC, asker, path).await;
            assert_eq!(error_of(answer).await, (403, "forbidden".to_owned()));
        }
    }

    /// Where the record stands in its chart's log.
    fn position(&self, chart: ChartId, record: RecordId) -> LogPosition {
        let index = &self.consortium.node(HOSPITAL).core.index;
        (0..)
            .map(LogPosition)
            .find(|at| {
                let line = index.log(chart, *at).unwrap().expect("the record stands in the log");
                line.record.is_some_and(|it| it.record == record)
            })
            .unwrap()
    }

    /// Puts a capsule on the ledger that a careless or colluding custodian acknowledged unseen.
    async fn add_unseen(
        &self,
        chart: &Chart,
        author: &Person,
        capsule: &SaltedCapsule,
        label_of: &RecordAdd,
    ) -> (LogPosition, RecordId) {
        let mut draft = self.draft(chart, author, b"anything");
        if let Payload::RecordAdd(add) = &mut draft.command.payload {
            add.commitment = capsule.commitment();
            add.sealed_bytes = label_of.sealed_bytes;
        }
        let statement = CustodyStatement {
            chain: self.consortium.chain,
            custodian: self.consortium.organisations[HOSPITAL],
            record: draft.object.record,
            version: Version(1),
            commitment: capsule.commitment(),
            sealed_bytes: label_of.sealed_bytes,
            until: BlockTime(u64::MAX),
        };
        let key = &self.consortium.custodians[HOSPITAL];
        let acknowledgement = CustodyAcknowledgement {
            custodian: statement.custodian,
            key: key.public(),
            signature: sign_custody(key, &statement),
            until: statement.until,
        };
        (self.add(author, &draft, vec![acknowledgement]).await, draft.object.record)
    }

    /// Opens a record for treatment; says where the access stands, and what releases depend on.
    async fn open(
        &self,
        reader: &Person,
        chart: ChartId,
        name: RecordName,
        key: &SealingKey,
    ) -> (LogPosition, Access, bool) {
        let open = AccessOpen {
            chart,
            target: Target::Records(List::from_vec(vec![name]).unwrap()),
            purpose: Purpose::Treatment,
            reader_key: key.public().digest(),
            notice: self.consortium.genesis.parameters.notice,
        };
        let command = self.consortium.command(Payload::AccessOpen(open), &[reader]);
        let receipt = self.consortium.submit(HOSPITAL, &command).await;
        let index = &self.consortium.node(HOSPITAL).core.index;
        let location = receipt.outcome().location;
        let position = (0..)
            .map(LogPosition)
            .find(|at| index.log(chart, *at).unwrap().unwrap().location == location)
            .unwrap();
        let access = Access {
            chain: self.consortium.chain,
            command: receipt.outcome().command,
            reader_key: key.public().digest(),
        };
        (position, access, receipt.outcome().verdict.is_accepted())
    }

    /// Asks one node for its shares of one record.
    async fn release(
        &self,
        at: usize,
        reader: &Person,
        chart: ChartId,
        access: LogPosition,
        key: &SealingKey,
        (position, capsule): (LogPosition, &SaltedCapsule),
    ) -> Result<ReleaseAnswer, (u16, String)> {
        let capsule = Blob::from_vec(capsule.encode()).unwrap();
        let request = ReleaseRequest {
            chart,
            access,
            reader_key: key.public().to_blob(),
            items: List::from_vec(vec![ReleaseItem { position, capsule }]).unwrap(),
        };
        let answer =
            self.consortium.ask(at, reader, Method::POST, "/v1/release", encode(&request)).await;
        if answer.status() != StatusCode::OK {
            return Err(error_of(answer).await);
        }
        Ok(keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 20).unwrap())
    }
}

fn by(access: LogPosition) -> String {
    format!("?access={access}")
}

async fn status(answer: reqwest::Response) -> u16 {
    answer.status().as_u16()
}

#[test]
fn a_record_is_stored_proven_opened_and_closed_again() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), async |context| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(|| Logged)
            .init();
        let consortium = Consortium::start(context, folder.path()).await;
        let world = World::new(consortium).await;
        let (chart, draft) = life_of_a_record(&world).await;
        nothing_secret_is_logged(&world, &chart, &draft);
        world.consortium.stop().await;
    });
}

/// Looks for content, keys and people in the log of all nodes.
fn nothing_secret_is_logged(world: &World, chart: &Chart, draft: &Draft) {
    let log = String::from_utf8(LOGGED.lock().unwrap().clone()).unwrap();
    assert!(log.contains("answered") && log.contains("/v1/release"), "requests are logged");
    for text in IDENTIFIERS.into_iter().chain(CONTENT.split_whitespace()) {
        // A word alone may be one of the log's own.
        assert!(text.len() < 6 || !log.contains(text), "{text} is in the log");
    }
    let mut secrets: Vec<Vec<u8>> = vec![
        CONTENT.into(),
        draft.sealed.dek.as_bytes().to_vec(),
        chart.secret.as_bytes().to_vec(),
        chart.secret.compartment(chart.compartment()).as_bytes().to_vec(),
        chart.secret.epoch_seed(chart.compartment(), Epoch(0)).as_bytes().to_vec(),
    ];
    for at in [HOSPITAL, CLINIC, LABORATORY, INSURER] {
        let keys = NodeKeys::load(&world.consortium.config(at).keys.folder, &unlock()).unwrap();
        secrets.extend([keys.consensus, keys.release, keys.custodian].map(|it| it.to_vec()));
        secrets.push(keys.share.unwrap().to_bytes().to_vec());
    }
    for secret in secrets {
        // Base 64 of what follows other bytes begins at another third of a group.
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{secret:?}");
        let mut forms = vec![hex.to_uppercase(), hex, list.trim_matches(['[', ']']).to_owned()];
        for skipped in 0..3 {
            let whole = (secret.len() - skipped) / 3 * 3;
            let bytes = &secret[skipped..skipped + whole];
            forms.push(BASE64_STANDARD_NO_PAD.encode(bytes));
            forms.push(BASE64_URL_SAFE_NO_PAD.encode(bytes));
        }
        assert!(forms.iter().all(|form| !log.contains(form)), "a secret is in the log");
    }
    // Whose chart and which record a line is about is for nobody who reads logs.
    for id in [chart.id.to_string(), draft.object.record.to_string()] {
        assert!(!log.contains(&id), "a chart or a record is named in the log");
    }
}

#[allow(clippy::too_many_lines, reason = "a story, told in order")]
async fn life_of_a_record(world: &World) -> (Chart, Draft) {
    let World { consortium, committee, clinician, colleague } = world;
    let chart = world.open_chart(clinician).await;

    // The key sheet, for authors.
    let path = format!("/v1/charts/{}/sealed?kind=sheet", chart.id);
    let key_sheet = chart.sheet();
    let answer = consortium.ask(HOSPITAL, clinician, Method::PUT, &path, encode(&key_sheet)).await;
    let digest: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let root: Digest = digest["digest"].as_str().unwrap().parse().unwrap();
    assert_eq!(root, sheet::root(&key_sheet));
    let path = format!("/v1/charts/{}/sealed/{root}?kind=sheet", chart.id);
    let answer = consortium.get(HOSPITAL, colleague, &path).await;
    assert_eq!(answer.bytes().await.unwrap(), encode(&key_sheet));
    let path = format!("/v1/charts/{}/sealed?kind=sheet", chart.id);
    let answer = consortium.ask(CLINIC, clinician, Method::PUT, &path, encode(&key_sheet)).await;
    assert_eq!(error_of(answer).await, (403, "not_custodian".to_owned()));

    // The body goes to two custodians, and to no other.
    let content = CONTENT.repeat(4_000).into_bytes();
    let draft = world.draft(&chart, clinician, &content);
    let custody = vec![
        world.store(HOSPITAL, clinician, &draft).await,
        world.store(LABORATORY, clinician, &draft).await,
    ];
    let base = World::base(&draft.object);
    for (at, person, expected) in
        [(CLINIC, clinician, "not_custodian"), (HOSPITAL, colleague, "forbidden")]
    {
        let path = format!("{base}/body");
        let answer = consortium.put_streamed(at, person, &path, draft.sealed.body.clone()).await;
        assert_eq!(error_of(answer).await, (403, expected.to_owned()));
    }
    let pieces = futures::stream::iter([Ok::<_, io::Error>(draft.sealed.body.clone())]);
    let unmeasured = reqwest::Body::wrap_stream(pieces);
    let path = format!("{base}/body");
    let answer = consortium.put_streamed(HOSPITAL, clinician, &path, unmeasured).await;
    assert_eq!(error_of(answer).await, (411, "length_required".to_owned()));
    let position = world.add(clinician, &draft, custody).await;
    let name = RecordName { position, record: draft.object.record };

    // Whoever is at home reads the sealed object, others do not.
    let object = format!("/v1/charts/{}/records/{position}", chart.id);
    let answer = consortium.get(LABORATORY, &chart.controller, &format!("{object}/body")).await;
    assert_eq!(answer.bytes().await.unwrap(), draft.sealed.body);
    let sealed = draft.sealed.capsule.encode();
    assert_eq!(world.capsule(clinician, chart.id, position, "").await.unwrap(), sealed);
    let by_colleague = world.capsule(colleague, chart.id, position, "").await;
    assert_eq!(by_colleague.unwrap_err(), (403, "forbidden".to_owned()));
    let answer = consortium.get(HOSPITAL, colleague, &format!("{object}/body")).await;
    assert_eq!(error_of(answer).await.0, 403);
    let header = consortium.authorization(HOSPITAL, clinician, &format!("GET {object}/body"), &[]);
    let url = format!("{}{object}/body", consortium.urls[HOSPITAL]);
    let answer = reqwest::Client::new()
        .get(url)
        .header("authorization", header)
        .header("range", "bytes=40-99")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.bytes().await.unwrap(), draft.sealed.body[40..100]);

    // Without a grant the colleague's access is refused, and the refusal is in the log.
    let key = SealingKey::from_seed(&random());
    let (refused, _, accepted) = world.open(colleague, chart.id, name, &key).await;
    assert!(!accepted);
    let capsule = &draft.sealed.capsule;
    let shown = (position, capsule);
    let error = world.release(HOSPITAL, colleague, chart.id, refused, &key, shown).await;
    assert_eq!(error.unwrap_err(), (404, "no_access".to_owned()));

    // With a grant it is accepted, and three validators' shares open the record.
    let give = |grant| {
        let Party::Member(_) = colleague.party else { unreachable!("they are a member") };
        let mut terms = common::terms();
        terms.compartments = CompartmentSet::EMPTY.with(chart.compartment());
        Payload::GrantGive(GrantGive { chart: chart.id, grant, terms, seeds: Digest([0; 32]) })
    };
    let grant = GrantId([1; 16]);
    consortium.accepted(CLINIC, give(grant), &[&chart.controller]).await;
    let (access, opened, accepted) = world.open(colleague, chart.id, name, &key).await;
    assert!(accepted);
    let by_access = by(access);
    assert_eq!(world.capsule(colleague, chart.id, position, &by_access).await.unwrap(), sealed);
    let other = world.capsule(colleague, chart.id, LogPosition(0), &by_access).await;
    assert_eq!(other.unwrap_err(), (403, "forbidden".to_owned()), "what it does not ask for");
    let borrowed = world.capsule(&chart.controller, chart.id, position, &by_access).await;
    assert_eq!(borrowed.unwrap(), sealed, "at home no access is needed");
    world.check_records_of(colleague, chart.id, (access, position)).await;
    let answer = consortium.get(HOSPITAL, clinician, &format!("{object}/body{}", by(access))).await;
    assert_eq!(status(answer).await, 200, "at home no access is needed");
    let capsules = [capsule.clone()];
    let mut collector = Collector::new(committee, &opened, &capsules, &key).unwrap();
    for at in [HOSPITAL, LABORATORY, INSURER] {
        let answer = world.release(at, colleague, chart.id, access, &key, shown).await.unwrap();
        let validator = consortium.genesis.validators[usize::from(answer.share) - 1];
        assert_eq!(validator.organisation, consortium.organisations[at]);
        collector.add(&answer, &validator.release).unwrap();
    }
    let released = collector.finish().unwrap();
    let granted = capsule.capsule.open_grant(&chart.epoch_key()).unwrap();
    assert_eq!(capsule.capsule.open(&granted, &released[0]).unwrap(), draft.sealed.dek);

    hostile_releases(world, &chart, &draft, position, access, &key).await;

    // The log page rebuilds the head that the state has, and an unsorted reader does not get it.
    let path = format!("/v1/charts/{}/log?from=1&limit=3", chart.id);
    let answer = consortium.get(CLINIC, &chart.controller, &path).await;
    let page: LogPage = keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 20).unwrap();
    assert_eq!((page.from, page.entries.len()), (LogPosition(1), 3));
    let whole = format!("/v1/charts/{}/log", chart.id);
    let answer = consortium.get(CLINIC, &chart.controller, &whole).await;
    let all: LogPage = keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 20).unwrap();
    let first = chart_log::extend(all.before, LogPosition(0), &all.entries[0].outcome);
    assert_eq!((all.before, page.before), (chart_log::EMPTY, first));
    assert_eq!(status(consortium.get(CLINIC, colleague, &whole).await).await, 403);
    let entry = format!("/v1/charts/{}/log/{position}", chart.id);
    assert_eq!(status(consortium.get(CLINIC, colleague, &entry).await).await, 403);
    let answer = consortium.get(CLINIC, colleague, &format!("{entry}{}", by(access))).await;
    let entry: LogEntry = keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 20).unwrap();
    assert!(matches!(entry.entry.payload(), Payload::RecordAdd(_)));

    // An auditor sees the charts of its own organisation, and no other's.
    let line = consortium.node(HOSPITAL).core.index.log(chart.id, position).unwrap().unwrap();
    let receipt = format!("/v1/receipts/{}/{}", line.location.height, line.location.index);
    let entry = format!("/v1/charts/{}/log/{position}", chart.id);
    for (at, expected) in [(HOSPITAL, 200), (CLINIC, 403)] {
        let auditor = world.enrol(at, Role::Auditor).await;
        for path in [&whole, &entry, &receipt] {
            let answer = consortium.get(HOSPITAL, &auditor, path).await;
            assert_eq!(status(answer).await, expected, "{path}");
        }
    }

    // Why the colleague may.
    let Party::Member(member) = colleague.party else { unreachable!("they are a member") };
    let path = format!(
        "/v1/charts/{}/explain?member={member}&compartment=4&kind=result&purpose=TREAT",
        chart.id
    );
    let answer = consortium.get(HOSPITAL, &chart.controller, &path).await;
    assert!(answer.text().await.unwrap().contains(r#""decision":{"allowed":"#));
    let why = format!("/v1/charts/{}/explain?member={member}&purpose=TREAT", chart.id);
    let answer =
        consortium.get(HOSPITAL, &chart.controller, &format!("{why}&record={position}")).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""stops":[]"#) && text.contains(r#""allowed""#), "{text}");
    for (path, expected) in [
        (why.clone(), (400, "malformed")),
        (format!("{why}&record={position}&compartment=4"), (400, "malformed")),
        (format!("{why}&record=99999"), (404, "not_found")),
    ] {
        let answer = consortium.get(HOSPITAL, &chart.controller, &path).await;
        assert_eq!(error_of(answer).await, (expected.0, expected.1.to_owned()), "{path}");
    }
    rules_and_acts(world, chart.id, colleague).await;

    // Whoever is at home hears of each entry as it comes.
    let path = format!("/v1/charts/{}/events", chart.id);
    let answer = consortium.get(HOSPITAL, colleague, &path).await;
    assert_eq!(error_of(answer).await, (403, "forbidden".to_owned()));
    let answer = consortium.get(HOSPITAL, &chart.controller, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut events = answer.bytes_stream();

    // After the revocation no validator releases again, though the access was accepted.
    let revoke = Payload::GrantRevoke(GrantRevoke { chart: chart.id, grant });
    consortium.accepted(INSURER, revoke, &[&chart.controller]).await;
    for at in [HOSPITAL, CLINIC, LABORATORY, INSURER] {
        catch_up(consortium, at).await;
        let error = world.release(at, colleague, chart.id, access, &key, shown).await;
        assert_eq!(error.unwrap_err(), (403, "not_allowed".to_owned()));
    }
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    let event = event.unwrap().unwrap().unwrap();
    let data = event.strip_prefix(b"event: chart\ndata: ").expect("it names what it is");
    let data: serde_json::Value = serde_json::from_slice(data).unwrap();
    let log = &consortium.node(HOSPITAL).core.index;
    let last = (0..).take_while(|at| log.log(chart.id, LogPosition(*at)).unwrap().is_some()).last();
    assert_eq!(data["position"], last.unwrap());
    (chart, draft)
}

/// Waits until a node has what the insurer's node has.
async fn catch_up(consortium: &Consortium, at: usize) {
    let height = consortium.node(INSURER).core.tip().height();
    let mut tip = consortium.node(at).core.watch_tip();
    let reached = tip.wait_for(|tip| tip.height() >= height);
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap().unwrap();
}

/// What a reader with an accepted access tries.
async fn hostile_releases(
    world: &World,
    chart: &Chart,
    draft: &Draft,
    position: LogPosition,
    access: LogPosition,
    key: &SealingKey,
) {
    let World { clinician, colleague, .. } = world;
    let capsule = &draft.sealed.capsule;
    let refused = async |reader, access, key, shown| {
        let answer = world.release(HOSPITAL, reader, chart.id, access, key, shown).await;
        answer.expect_err("it is refused").1
    };
    // Someone else's access, another key, a position that is no access, one that is not there yet.
    let other_key = SealingKey::from_seed(&random());
    assert_eq!(refused(clinician, access, key, (position, capsule)).await, "other_reader");
    assert_eq!(refused(colleague, access, &other_key, (position, capsule)).await, "other_key");
    assert_eq!(refused(colleague, position, key, (position, capsule)).await, "no_access");
    assert_eq!(refused(colleague, LogPosition(900), key, (position, capsule)).await, "behind");
    assert_eq!(refused(colleague, access, key, (LogPosition(0), capsule)).await, "no_record");

    // A record that the access does not ask for.
    let second = world.draft(chart, clinician, b"another");
    let custody = vec![world.store(HOSPITAL, clinician, &second).await];
    let elsewhere = world.add(clinician, &second, custody).await;
    let shown = (elsewhere, &second.sealed.capsule);
    assert_eq!(refused(colleague, access, key, shown).await, "not_asked");
    // The right position with the capsule of another record.
    let shown = (position, &second.sealed.capsule);
    assert_eq!(refused(colleague, access, key, shown).await, "wrong_capsule");

    // A whole foreign capsule, byte for byte, committed under a record of the thief's own chart.
    let Payload::RecordAdd(add) = &draft.command.payload else { unreachable!("it adds a record") };
    let own = world.open_chart(clinician).await;
    let (stolen, record) = world.add_unseen(&own, &own.controller, capsule, add).await;
    let name = RecordName { position: stolen, record };
    let (opened, _, accepted) = world.open(&own.controller, own.id, name, key).await;
    assert!(accepted, "the thief may open the record: it is in their own chart");
    for at in [HOSPITAL, CLINIC, LABORATORY, INSURER] {
        catch_up(&world.consortium, at).await;
        let shown = (stolen, capsule);
        let answer = world.release(at, &own.controller, own.id, opened, key, shown).await;
        assert_eq!(answer.expect_err("it is foreign"), (403, "foreign_capsule".to_owned()));
    }

    // The same capsule with the label of the thief's record: the second lock does not fit it.
    let thief = world.draft(&own, &own.controller, b"anything");
    let relabelled = relabel(capsule, &thief.sealed.capsule);
    let mut thief_command = thief.command.clone();
    if let Payload::RecordAdd(add) = &mut thief_command.payload {
        add.commitment = relabelled.commitment();
    }
    let statement = CustodyStatement {
        chain: world.consortium.chain,
        custodian: world.consortium.organisations[HOSPITAL],
        record: thief.object.record,
        version: Version(1),
        commitment: relabelled.commitment(),
        sealed_bytes: thief.sealed.body.len() as u64,
        until: BlockTime(u64::MAX),
    };
    let custodian = &world.consortium.custodians[HOSPITAL];
    let custody = vec![CustodyAcknowledgement {
        custodian: statement.custodian,
        key: custodian.public(),
        signature: sign_custody(custodian, &statement),
        until: statement.until,
    }];
    let thief = Draft { command: thief_command, ..thief };
    let at = world.add(&own.controller, &thief, custody).await;
    let name = RecordName { position: at, record: thief.object.record };
    let (opened, _, accepted) = world.open(&own.controller, own.id, name, key).await;
    assert!(accepted);
    let shown = (at, &relabelled);
    let answer = world.release(HOSPITAL, &own.controller, own.id, opened, key, shown).await;
    assert_eq!(answer.expect_err("it is relabelled"), (403, "bad_capsule".to_owned()));
}

/// A capsule with the label of another.
fn relabel(capsule: &SaltedCapsule, with: &SaltedCapsule) -> SaltedCapsule {
    let (from, to) = (encode(capsule.capsule.label()), encode(with.capsule.label()));
    let bytes = capsule.encode();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let bytes = [&bytes[..at], &to, &bytes[at + from.len()..]].concat();
    SaltedCapsule::decode(&bytes).unwrap()
}

#[test]
fn requests_are_answered_once_and_to_whoever_signed_them() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), async |context| {
        let consortium = Consortium::start(context, folder.path()).await;
        let world = World::new(consortium).await;
        requests(&world).await;
        commands(&world).await;
        transactions(&world).await;
        pages(&world).await;
        world.consortium.stop().await;
    });
}

async fn requests(world: &World) {
    let World { consortium, clinician, .. } = world;
    let Party::Member(member) = clinician.party else { unreachable!("they are a member") };
    let path = format!("/v1/members/{member}");
    let target = format!("GET {path}");
    let ask =
        async |header: String| consortium.send(HOSPITAL, Method::GET, &path, header, vec![]).await;
    let request = || Request {
        chain: consortium.chain,
        node: consortium.organisations[HOSPITAL],
        party: clinician.party,
        id: CommandId(random()),
        at: now(),
        target: Text::from_string(target.clone()).unwrap(),
        body: body_digest(&[]),
    };
    let header = consortium.authorize(clinician, request());
    let answer = ask(header.clone()).await;
    let proof: StateProof =
        keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 20).unwrap();
    assert!(proof.value.is_some());
    let certified =
        keepwell_types::decode::<CertifiedHeader>(&proof.certified, RECEIPT_BYTES_MAX).unwrap();
    certified.verify(&consortium.genesis).unwrap();
    // The same value as JSON, for people.
    let answer = reqwest::Client::new()
        .get(format!("{}{path}", consortium.urls[HOSPITAL]))
        .header("authorization", consortium.authorize(clinician, request()))
        .header("accept", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let json: StateProof = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(json.value, proof.value);

    let expect = async |header: String, expected: &str| {
        let (status, code) = error_of(ask(header).await).await;
        assert_eq!((status, code.as_str()), (401, expected));
    };
    expect(header, "replayed").await;
    for skewed in [now().0 - REQUEST_SKEW_MS_MAX - 5_000, now().0 + REQUEST_SKEW_MS_MAX + 5_000] {
        let request = Request { at: BlockTime(skewed), ..request() };
        expect(consortium.authorize(clinician, request), "skew").await;
    }
    let wrong_chain = Request { chain: ChainId([9; 32]), ..request() };
    expect(consortium.authorize(clinician, wrong_chain), "wrong_chain").await;
    let wrong_node = Request { node: consortium.organisations[CLINIC], ..request() };
    expect(consortium.authorize(clinician, wrong_node), "wrong_node").await;
    // What one node was sent, it does not get answered by another.
    let header = consortium.authorize(clinician, request());
    let replayed = consortium.send(CLINIC, Method::GET, &path, header, vec![]).await;
    assert_eq!(error_of(replayed).await, (401, "wrong_node".to_owned()));
    let wrong_body = Request { body: body_digest(b"x"), ..request() };
    expect(consortium.authorize(clinician, wrong_body), "wrong_body").await;
    let other = Text::from_string("GET /v1/events".to_owned()).unwrap();
    let wrong_target = Request { target: other, ..request() };
    expect(consortium.authorize(clinician, wrong_target), "wrong_target").await;
    let stranger = Person { party: clinician.party, key: SigningKey::from_seed(&random()) };
    expect(consortium.authorize(&stranger, request()), "not_signers_key").await;
    let unknown = Request { party: Party::Member(MemberId([9; 16])), ..request() };
    expect(consortium.authorize(clinician, unknown), "not_signers_key").await;
    expect("Bearer token".to_owned(), "malformed_request").await;
    expect(format!("Keepwell {}", "A".repeat(4_000)), "malformed_request").await;
    let answer = consortium.open_page(HOSPITAL, &path).await;
    assert_eq!(error_of(answer).await, (401, "unsigned".to_owned()));

    // A member that is suspended is heard no more.
    let leaver = world.enrol(HOSPITAL, Role::Nurse).await;
    assert_eq!(status(consortium.get(HOSPITAL, &leaver, &path).await).await, 200);
    let Party::Member(member) = leaver.party else { unreachable!("they are a member") };
    let suspend = Payload::MemberSuspend(MemberStanding { member });
    consortium.accepted(HOSPITAL, suspend, &[&consortium.administrators[HOSPITAL]]).await;
    let answer = consortium.get(HOSPITAL, &leaver, &path).await;
    assert_eq!(error_of(answer).await, (403, "suspended".to_owned()));
}

async fn commands(world: &World) {
    let World { consortium, clinician, .. } = world;
    let anchor = || {
        Payload::AnchorAdd(keepwell_types::anchor::AnchorAdd {
            root: Digest(random()),
            documents: 3,
        })
    };
    // The same bytes again, at another node, get the same receipt.
    let command = consortium.command(anchor(), &[clinician]);
    let first = consortium.submit(HOSPITAL, &command).await;
    catch_up(consortium, LABORATORY).await;
    let again = consortium.submit(LABORATORY, &command).await;
    assert_eq!(first.outcome(), again.outcome());
    let location = first.outcome().location;
    for path in [
        format!("/v1/receipts/{}/{}", location.height, location.index),
        format!("/v1/commands/{}", command.command.id),
    ] {
        let answer = consortium.get(HOSPITAL, clinician, &path).await;
        assert_eq!(status(answer).await, 200, "{path}");
    }
    let answer = consortium.get(HOSPITAL, clinician, "/v1/receipts/1/400").await;
    assert_eq!(error_of(answer).await, (404, "not_found".to_owned()));

    let post = async |bytes| error_of(consortium.post_command(CLINIC, bytes).await).await;
    let mut other = consortium.command(anchor(), &[clinician]).command;
    other.id = command.command.id;
    let other = sign(other, &[&clinician.key]);
    assert_eq!(post(other.encode()).await, (409, "id_taken".to_owned()));
    let mut bytes = command.encode();
    bytes.pop();
    assert_eq!(post(bytes).await, (400, "malformed".to_owned()));
    assert_eq!(post(vec![0; COMMAND_BYTES_MAX + 1]).await, (413, "too_long".to_owned()));
    let mut forged = consortium.command(anchor(), &[clinician]);
    forged.command.id = CommandId(random());
    assert_eq!(post(forged.encode()).await, (400, "bad_signature".to_owned()));
    let mut elsewhere = consortium.command(anchor(), &[clinician]).command;
    elsewhere.chain = ChainId([9; 32]);
    let elsewhere = sign(elsewhere, &[&clinician.key]);
    assert_eq!(post(elsewhere.encode()).await, (400, "wrong_chain".to_owned()));
    let mut late = consortium.command(anchor(), &[clinician]).command;
    late.window = Window { from: BlockTime(now().0 - 60_000), until: BlockTime(now().0 - 30_000) };
    let late = sign(late, &[&clinician.key]);
    assert_eq!(post(late.encode()).await, (400, "expired".to_owned()));
    for (from_ms, len_ms, expected) in
        [(60_000, 60_000, "not_yet"), (0, 0, "window"), (0, COMMAND_WINDOW_MS_MAX + 1, "window")]
    {
        let mut command = consortium.command(anchor(), &[clinician]).command;
        let from = now().plus_ms(from_ms);
        command.window = Window { from, until: from.plus_ms(len_ms) };
        let command = sign(command, &[&clinician.key]);
        assert_eq!(post(command.encode()).await, (400, expected.to_owned()));
    }
    let stranger = Person::new(Party::Member(MemberId(random())));
    let strange = consortium.command(anchor(), &[&stranger]);
    assert_eq!(post(strange.encode()).await, (403, "signer".to_owned()));
}

/// All or none, with the receipt that proves it; the same parts again get the same, from any node.
async fn transactions(world: &World) {
    let World { consortium, clinician, .. } = world;
    let parts = |documents: &[u64]| -> Vec<SignedCommand> {
        let transaction = TransactionId(random());
        let parts = documents.len() as u16;
        let sign_part = |(documents, place): (&u64, u16)| {
            let (root, documents) = (Digest(random()), *documents);
            let payload = Payload::AnchorAdd(keepwell_types::anchor::AnchorAdd { root, documents });
            let mut command = consortium.command(payload, &[clinician]).command;
            command.part = Part::new(transaction, place, parts).ok();
            sign(command, &[&clinician.key])
        };
        documents.iter().zip(0..).map(sign_part).collect()
    };
    let send = async |at: usize, parts: &[SignedCommand]| {
        let sent: TransactionParts = List::from_vec(parts.to_vec()).unwrap();
        let body = keepwell_types::encode(&sent);
        consortium.ask(at, clinician, Method::POST, "/v1/transactions", body).await
    };
    let decided = async |at: usize, parts: &[SignedCommand]| {
        let answer = send(at, parts).await;
        assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.text().await);
        let bytes = answer.bytes().await.unwrap();
        let max = TRANSACTION_RECEIPTS_BYTES_MAX;
        let receipts: TransactionReceipts = keepwell_types::decode(&bytes, max).unwrap();
        let proven = |receipt: &[u8]| {
            let receipt: Receipt = keepwell_types::decode(receipt, RECEIPT_BYTES_MAX).unwrap();
            receipt.verify(&consortium.genesis).unwrap().outcome().clone()
        };
        (proven(&receipts.first), receipts.refused.map(|it| proven(&it)))
    };
    let many: Vec<u64> = (1..=700).collect();
    let whole = parts(&many);
    let (first, refused) = decided(HOSPITAL, &whole).await;
    assert!(first.verdict.is_accepted() && refused.is_none());
    catch_up(consortium, LABORATORY).await;
    assert_eq!(decided(LABORATORY, &whole).await.0, first);
    let last = Location { index: first.location.index + 699, ..first.location };
    let path = format!("/v1/receipts/{}/{}", last.height, last.index);
    assert_eq!(status(consortium.get(HOSPITAL, clinician, &path).await).await, 200);

    let (first, refused) = decided(HOSPITAL, &parts(&[1, 2, 0, 4])).await;
    assert_eq!(first.verdict, Verdict::Rejected(Rejection::Transaction { place: 2 }));
    let refused = refused.unwrap();
    assert_eq!(refused.verdict, Verdict::Rejected(Rejection::AnchorSize { documents: 0 }));
    assert_eq!(refused.location.index, first.location.index + 2);

    let no_transaction = (400, "no_transaction".to_owned());
    let good = parts(&[1, 2, 3]);
    let turned = [good[0].clone(), good[2].clone(), good[1].clone()];
    for wrong in [&good[..2], &good[1..], &good[..1], &turned, &[]] {
        assert_eq!(error_of(send(CLINIC, wrong).await).await, no_transaction);
    }
    let alone = consortium.post_command(CLINIC, good[0].encode()).await;
    assert_eq!(error_of(alone).await, (400, "part_alone".to_owned()));
    // A part of what is final has its outcome, asked for alone.
    let part = consortium.submit(HOSPITAL, &whole[5]).await;
    assert!(part.outcome().verdict.is_accepted());
}

/// The rules of a chart are for those at home; what an organisation answers for is for its officers.
async fn rules_and_acts(world: &World, chart: ChartId, colleague: &Person) {
    let World { consortium, clinician, .. } = world;
    let clinic = consortium.organisations[CLINIC];
    for rule in ["teams".to_owned(), format!("cutoffs/{clinic}"), "subjects/ggOA".to_owned()] {
        let path = format!("/v1/charts/{chart}/{rule}");
        let statuses = [
            status(consortium.get(HOSPITAL, clinician, &path).await).await,
            status(consortium.get(HOSPITAL, colleague, &path).await).await,
        ];
        assert_eq!(statuses, [200, 403], "{path}");
    }
    let acts = |at: usize, query: &str| {
        format!("/v1/organisations/{}/accesses{query}", consortium.organisations[at])
    };
    let officer = world.enrol(CLINIC, Role::PrivacyOfficer).await;
    for (who, path, expected) in [
        (&officer, acts(CLINIC, ""), 200),
        (&officer, acts(HOSPITAL, ""), 403),
        (colleague, acts(CLINIC, ""), 403),
        (&officer, acts(CLINIC, "?since=0&height=1"), 400),
    ] {
        let answer = consortium.get(CLINIC, who, &path).await;
        assert_eq!(status(answer).await, expected, "{path}");
    }
    // The colleague's accesses in the hospital's chart are the clinic's to answer for.
    let answer = consortium.get(CLINIC, &officer, &acts(CLINIC, "?since=0")).await;
    let page: AccessPage = keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 24).unwrap();
    assert!(page.from < page.next, "{page:?}");
    let proven = page.receipts.iter().map(|receipt| {
        let receipt = Receipt::decode(receipt).unwrap().verify(&consortium.genesis).unwrap();
        receipt.entry().payload().chart()
    });
    assert!(
        proven.filter(|it| *it == Some(chart)).count() >= 2,
        "a refused one and one that was not"
    );
    let past = acts(CLINIC, "?since=99999999999999");
    let answer = consortium.get(CLINIC, &officer, &past).await;
    let page: AccessPage = keepwell_types::decode(&answer.bytes().await.unwrap(), 1 << 24).unwrap();
    assert!(page.receipts.is_empty(), "{page:?}");
}

async fn pages(world: &World) {
    let World { consortium, clinician, .. } = world;
    let text = async |path| {
        let answer = consortium.open_page(HOSPITAL, path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    };
    assert!(text("/v1/health").await.contains(r#""status":"ok""#));
    assert!(text("/v1/ready").await.contains("height"));
    let description: serde_json::Value =
        serde_json::from_str(&text("/v1/openapi.json").await).unwrap();
    assert_eq!(description["paths"].as_object().unwrap().len(), 56);
    let answer = consortium.open_page(HOSPITAL, "/v1/genesis").await;
    assert_eq!(answer.bytes().await.unwrap(), consortium.genesis.encode());
    let answer = consortium.open_page(HOSPITAL, "/v1/tip").await;
    let tip: CertifiedHeader =
        keepwell_types::decode(&answer.bytes().await.unwrap(), RECEIPT_BYTES_MAX).unwrap();
    tip.verify(&consortium.genesis).unwrap();
    let answer = consortium.open_page(HOSPITAL, "/v1/handovers?from=1").await;
    assert_eq!(answer.bytes().await.unwrap()[..], [0x80], "nobody handed over");
    let answer = consortium.open_page(HOSPITAL, "/v1/handovers?from=one").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let answer = consortium.open_page(HOSPITAL, "/v1/nothing").await;
    assert_eq!(error_of(answer).await, (404, "no_such_path".to_owned()));
    let answer = consortium.open_page(HOSPITAL, "/v1/release").await;
    assert_eq!(error_of(answer).await, (405, "no_such_method".to_owned()));

    let metrics = text("/metrics").await;
    for expected in [
        "keepwell_height ",
        r#"keepwell_commands_total{family="member.enrol",outcome="accepted"}"#,
        r#"route="/v1/members/{member}""#,
    ] {
        assert!(metrics.contains(expected), "{expected}");
    }
    let Party::Member(member) = clinician.party else { unreachable!("they are a member") };
    assert!(!metrics.contains(&member.to_string()), "no metric names a person");
    assert_eq!(metrics.matches("# EOF").count(), 1);

    // Final blocks, as they come.
    let answer = consortium.get(HOSPITAL, clinician, "/v1/events").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut events = answer.bytes_stream();
    let event = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    let event = event.unwrap().unwrap().unwrap();
    assert!(event.starts_with(b"event: block\ndata: {\"height\":"), "{event:?}");
}

#[test]
fn a_node_that_was_cut_down_comes_back_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), async |context| {
        let consortium = Consortium::start(context, folder.path()).await;
        let mut world = World::new(consortium).await;

        // Nobody else takes its folder or its ports while it runs.
        let second = world.consortium.try_start(INSURER).await.err();
        assert!(matches!(second, Some(NodeError::Folder(FolderError::Busy { .. }))), "{second:?}");
        let elsewhere = NodeConfig {
            folder: world.consortium.folder().join("elsewhere"),
            ..world.consortium.config(INSURER)
        };
        let second = world.consortium.try_start_with(elsewhere.clone()).await.err();
        assert!(matches!(second, Some(NodeError::Listen { .. })), "{second:?}");
        let wrong_keys = NodeConfig { keys: world.consortium.config(CLINIC).keys, ..elsewhere };
        let mut mixed = wrong_keys.clone();
        mixed.peers.pop();
        mixed.listen_peers = (Ipv4Addr::LOCALHOST, ports::free(1).unwrap()[0]).into();
        let error = world.consortium.try_start_with(mixed).await.err();
        assert!(matches!(error, Some(NodeError::Config(_))), "{error:?}");

        let chart = world.open_chart(&world.clinician).await;
        let draft = world.draft(&chart, &world.clinician, b"before the crash");
        let custody = vec![world.store(LABORATORY, &world.clinician, &draft).await];
        world.consortium.abort(LABORATORY).await;
        let gone = reqwest::get(format!("{}/v1/health", world.consortium.urls[LABORATORY])).await;
        assert!(gone.is_err(), "a node that is gone answers nothing");

        // The others go on.
        let position = world.add(&world.clinician, &draft, custody).await;
        for _ in 0..3 {
            world.open_chart(&world.clinician).await;
        }
        world.consortium.start_node(LABORATORY).await.unwrap();
        catch_up(&world.consortium, LABORATORY).await;
        let path = format!("/v1/charts/{}/records/{position}/body", chart.id);
        let answer = world.consortium.get(LABORATORY, &chart.controller, &path).await;
        assert_eq!(answer.bytes().await.unwrap(), draft.sealed.body);
        world.open_chart(&world.clinician).await;
        world.consortium.stop().await;
    });
}
