//! An emergency against four real nodes and three trustees, and what trustees and the ledger refuse.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::{path::Path, sync::Arc, time::Duration};

use common::consortium::{self, Consortium as Nodes, Person, now};
use keepwell_client::{
    Client, ClientError, Consortium,
    author::NewRecord,
    chart::Arrangement,
    emergency::{EmergencyOpening, OpenedInEmergency, TrusteeEndpoint},
    error::{LedgerError, TrusteeError},
    identity::{MemberIdentity, TrusteeIdentity, Wallet},
    open::{Opening, What},
    trustee::Trustee,
    verify::LogMark,
};
use keepwell_crypto::trustee::TrusteeKey;
use keepwell_types::{
    access::{EmergencyReason, Finding, Purpose},
    command::Payload,
    credential::{CredentialIssue, CredentialKind, CredentialStanding},
    encoding::{List, Text},
    genesis::{Genesis, Trustees},
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment, CredentialId, Digest, LogPosition, OrganisationId},
    member::{Administrators, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::Rejection,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};
use support::{enrol, enrol_at, unlock};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

const NAMES: [(&str, bool); 3] = [("normal", false), ("psychiatry", false), ("notes", true)];
const BOARD: OrganisationId = OrganisationId([0xb0; 16]);
const HOUR_MS: u64 = 3_600_000;

/// The genesis file names three trustees and a licensing board.
fn say_more(genesis: &mut Genesis, trustees: &[TrusteeIdentity], board: &Person) {
    let public = trustees.iter().map(|it| it.public("Trustee", None).unwrap()).collect();
    genesis.trustees = Some(Trustees { threshold: 2, trustees: List::from_vec(public).unwrap() });
    let admit = OrganisationAdmit {
        organisation: BOARD,
        kind: OrganisationKind::LicensingBoard,
        name: Text::from_string("Board".into()).unwrap(),
        administrators: Administrators::one(board.key.public()),
        custodian: None,
    };
    genesis.entries.push(Payload::OrganisationAdmit(admit)).unwrap();
}

/// Serves a trustee until the test ends; returns its address.
async fn serve(trustee: Trustee) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_body(&mut stream).await;
            let permit = trustee.permit(now(), &request);
            let (status, body) = match permit.and_then(|permit| trustee.answer(&permit)) {
                Ok(answer) => ("200 OK", answer.encode()),
                Err(refusal) => {
                    let code = refusal.code();
                    let body = format!(r#"{{"error":"{code}","message":"{code}"}}"#);
                    ("403 Forbidden", body.into_bytes())
                }
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    url
}

async fn read_body(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 65_536]);
    loop {
        let len = stream.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..len]);
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
            if len == 0 { return Vec::new() } else { continue }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |it| it.parse().unwrap());
        if bytes.len() >= end + 4 + length || len == 0 {
            return bytes.split_off(end + 4);
        }
    }
}

fn client(nodes: &Nodes, trustees: Vec<TrusteeEndpoint>) -> Client {
    support::client(nodes).with_trustees(trustees).unwrap()
}

async fn trustees(nodes: &Nodes, identities: &[TrusteeIdentity]) -> Vec<TrusteeEndpoint> {
    let consortium = Arc::new(Consortium::new(nodes.genesis.clone()).unwrap());
    let public = nodes.genesis.trustees.clone().unwrap();
    let mut endpoints = Vec::new();
    for (trustee, identity) in (1..).zip(identities) {
        let key = TrusteeKey::new(&public, identity.secret()).unwrap();
        let url = serve(Trustee::new(consortium.clone(), key)).await;
        endpoints.push(TrusteeEndpoint { trustee, url });
    }
    endpoints
}

async fn license(client: &Client, licensor: &MemberIdentity, to: &MemberIdentity, number: u8) {
    let issue = CredentialIssue {
        member: to.member(),
        credential: CredentialId([number; 16]),
        kind: CredentialKind::Licence,
        scope: Text::from_string("US-CA".into()).unwrap(),
        window: Window { from: now(), until: now().plus_ms(100 * HOUR_MS) },
        evidence: Digest([number; 32]),
    };
    client.command(&licensor.actor(), Payload::CredentialIssue(issue)).await.unwrap();
}

/// Everyone in the story.
struct Cast {
    client: Client,
    /// Knows one trustee only.
    alone: Client,
    licensor: MemberIdentity,
    registrar: MemberIdentity,
    author: MemberIdentity,
    clinician: MemberIdentity,
    second: MemberIdentity,
    officer: MemberIdentity,
    wallet: Wallet,
    chart: ChartId,
    normal: Compartment,
    psychiatry: Compartment,
}

impl Cast {
    async fn gather(
        nodes: &Nodes,
        path: &Path,
        endpoints: Vec<TrusteeEndpoint>,
        board: &Person,
    ) -> Self {
        let alone = client(nodes, endpoints[..1].to_vec());
        let client = client(nodes, endpoints);
        let _of = |at: usize| (&nodes.administrators[at], nodes.organisations[at]);
        let licensor = enrol_at(&client, BOARD, board, &[Role::Licensor]).await;
        let registrar = enrol(&client, nodes, 0, &[Role::Registrar]).await;
        let author = enrol(&client, nodes, 0, &[Role::Clinician]).await;
        let clinician = enrol(&client, nodes, 1, &[Role::Clinician]).await;
        let second = enrol(&client, nodes, 0, &[Role::Clinician]).await;
        let officer = enrol(&client, nodes, 1, &[Role::PrivacyOfficer]).await;
        license(&client, &licensor, &clinician, 1).await;
        license(&client, &licensor, &second, 2).await;
        let mut wallet = Wallet::create(&path.join("wallet"), &unlock(), true).unwrap();
        let arrangement = Arrangement {
            custodians: vec![nodes.organisations[0], nodes.organisations[2]],
            contributors: vec![],
        };
        let signer = (&registrar.actor(), nodes.organisations[0]);
        let (chart, _) =
            client.open_chart(&mut wallet, signer, &NAMES, &arrangement).await.unwrap();
        let meanings = wallet.chart(chart).unwrap().meanings().clone();
        let normal = meanings.compartment("normal").unwrap();
        let psychiatry = meanings.compartment("psychiatry").unwrap();
        Self {
            client,
            alone,
            licensor,
            registrar,
            author,
            clinician,
            second,
            officer,
            wallet,
            chart,
            normal,
            psychiatry,
        }
    }

    async fn write(&self, compartment: Compartment, content: &[u8]) {
        let author = self.author.actor();
        let authoring = self.client.authoring(&author, self.chart).await.unwrap();
        let new = NewRecord::new(compartment, RecordKind::Result);
        let content = (content, content.len() as u64);
        self.client.add_record(&author, &authoring, &new, content).await.unwrap();
    }

    async fn prepare(&self, compartments: &[Compartment]) {
        let holder = self.wallet.holder(self.chart).unwrap();
        let left = compartments.iter().copied().collect();
        self.client.prepare_for_emergencies(&holder, left).await.unwrap();
    }

    async fn break_glass(&self, ms: u64) -> Result<LogPosition, ClientError> {
        let terms = (EmergencyReason::Danger, now().plus_ms(ms));
        let actor = self.clinician.actor();
        Ok(self.client.break_glass(&actor, self.chart, None, terms).await?.emergency)
    }

    async fn second(&self, emergency: LogPosition) {
        let actor = self.second.actor();
        self.client.second_emergency(&actor, self.chart, emergency).await.unwrap();
    }

    async fn open_with(
        &self,
        client: &Client,
        emergency: LogPosition,
        compartments: &[Compartment],
    ) -> Result<OpenedInEmergency, ClientError> {
        let opening = EmergencyOpening {
            actor: &self.clinician.actor(),
            chart: self.chart,
            emergency,
            compartments: compartments.iter().copied().collect(),
        };
        client.open_in_emergency(&opening).await
    }

    async fn open(&self, emergency: LogPosition) -> Result<OpenedInEmergency, ClientError> {
        self.open_with(&self.client, emergency, &[self.normal]).await
    }

    /// What was opened, in the order of the log.
    async fn read(&self, it: &OpenedInEmergency) -> Vec<Vec<u8>> {
        let mut contents = Vec::new();
        for record in &it.opened.records {
            let mut content = Vec::new();
            self.client.read(&self.clinician.actor(), record, &mut content).await.unwrap();
            contents.push(content);
        }
        contents
    }

    async fn epoch(&self, compartment: Compartment) -> u32 {
        let actor = self.registrar.actor();
        self.client.chart(&actor, self.chart).await.unwrap().epoch(compartment).0
    }
}

fn rejection(done: Result<OpenedInEmergency, ClientError>) -> Option<Rejection> {
    match done {
        Err(ClientError::Ledger(LedgerError::Rejected { rejection, .. })) => Some(rejection),
        Ok(_) | Err(_) => None,
    }
}

/// The codes with which trustees refused.
fn refused_by_trustees(done: Result<OpenedInEmergency, ClientError>) -> Vec<String> {
    let Err(ClientError::Trustees(TrusteeError::TooFew { faults, .. })) = done else {
        panic!("{done:?}");
    };
    faults.iter().map(|fault| fault.problem.to_string()).collect()
}

#[test]
fn h3_an_emergency_from_its_preparation_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let identities: Vec<_> = (0..3).map(|_| TrusteeIdentity::generate()).collect();
        let board = Person::new(Party::Administrator(BOARD));
        let more = |genesis: &mut Genesis| say_more(genesis, &identities, &board);
        let nodes = Nodes::start_as(context, &path, more).await;
        let endpoints = trustees(&nodes, &identities).await;
        let cast = Cast::gather(&nodes, &path, endpoints, &board).await;
        story(&cast, &path).await;
        nodes.stop().await;
    });
}

async fn story(cast: &Cast, path: &Path) {
    cast.write(cast.normal, b"allergic to penicillin").await;
    cast.write(cast.psychiatry, b"nobody else's business").await;
    // Nothing is left yet.
    assert!(cast.break_glass(HOUR_MS).await.is_err());
    cast.prepare(&[cast.normal]).await;

    let emergency = cast.break_glass(HOUR_MS).await.unwrap();
    assert_eq!(rejection(cast.open(emergency).await), Some(Rejection::OutsideWindow));
    cast.second(emergency).await;
    let it = cast.open(emergency).await.unwrap();
    assert_eq!(cast.read(&it).await, [b"allergic to penicillin"]);
    assert!(it.opened.withheld.is_empty() && it.trustees.is_empty(), "{it:?}");
    // Neither another compartment nor one trustee alone.
    let both = [cast.normal, cast.psychiatry];
    let refused = rejection(cast.open_with(&cast.client, emergency, &both).await);
    assert_eq!(refused, Some(Rejection::NotGranted));
    let alone = cast.open_with(&cast.alone, emergency, &[cast.normal]).await;
    assert_eq!(refused_by_trustees(alone).len(), 2);

    the_patient_sees_it(cast, emergency).await;
    what_is_forbidden_stays_so(cast, emergency).await;
    it_ends_and_the_key_changes(cast, emergency, &it).await;
    a_custodian_closes_what_nobody_does(cast).await;
    assert!(path.exists());
}

async fn the_patient_sees_it(cast: &Cast, emergency: LogPosition) {
    let actor = cast.wallet.holder(cast.chart).unwrap().actor();
    let all = cast.client.all_emergencies(&actor, cast.chart, LogMark::START).await.unwrap();
    let [listed] = &all[..] else { panic!("{all:?}") };
    let entry = listed.entry.unwrap();
    assert_eq!((listed.position, listed.member), (emergency, cast.clinician.member()));
    assert_eq!(entry.second, Some(cast.second.member()));
    let audit = cast.client.audit(&actor, cast.chart, LogMark::START).await.unwrap();
    let opened = audit.accesses.iter().filter(|it| it.refused.is_none());
    assert!(opened.clone().all(|it| it.purpose == Purpose::BreakGlass));
    assert_eq!(opened.count(), 2);
}

/// A licence that is suspended, a prohibition, and a compartment that is taken out again.
async fn what_is_forbidden_stays_so(cast: &Cast, emergency: LogPosition) {
    let licence =
        CredentialStanding { member: cast.clinician.member(), credential: CredentialId([1; 16]) };
    let licensor = cast.licensor.actor();
    cast.client.command(&licensor, Payload::CredentialSuspend(licence.clone())).await.unwrap();
    assert_eq!(rejection(cast.open(emergency).await), Some(Rejection::NotGranted));
    cast.client.command(&licensor, Payload::CredentialReinstate(licence)).await.unwrap();

    let holder = cast.wallet.holder(cast.chart).unwrap();
    let terms = GrantTerms {
        effect: Effect::Deny,
        grantee: Grantee::Member(cast.clinician.member()),
        compartments: CompartmentSet::EMPTY.with(cast.normal),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::EMPTY.with(Purpose::BreakGlass),
        window: Window { from: now(), until: now().plus_ms(HOUR_MS) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    };
    let meanings = cast.wallet.chart(cast.chart).unwrap().meanings();
    let given = cast.client.give_grant(&holder, terms, None, meanings).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rejection(cast.open(emergency).await), Some(Rejection::Denied));
    cast.client.revoke_grant(&holder, given.grant).await.unwrap();

    // What is not left any more is closed at once, though the glass was broken before.
    cast.prepare(&[cast.psychiatry]).await;
    assert_eq!(rejection(cast.open(emergency).await), Some(Rejection::NotGranted));
    cast.prepare(&[cast.normal]).await;
    assert!(cast.open(emergency).await.is_ok());
}

async fn it_ends_and_the_key_changes(
    cast: &Cast,
    emergency: LogPosition,
    before: &OpenedInEmergency,
) {
    let epoch = cast.epoch(cast.normal).await;
    let clinician = cast.clinician.actor();
    cast.client.close_emergency(&clinician, cast.chart, emergency).await.unwrap();
    assert_eq!(rejection(cast.open(emergency).await), Some(Rejection::OutsideWindow));
    assert_eq!(cast.epoch(cast.normal).await, epoch + 1);
    assert_eq!(cast.epoch(cast.psychiatry).await, 0);

    // The patient was not there, and what is added is for the patient.
    cast.write(cast.normal, b"after it").await;
    let next = keepwell_types::id::Epoch(epoch + 1);
    assert!(before.seeds.get(cast.normal, next).is_none());
    let holder = cast.wallet.holder(cast.chart).unwrap();
    let chart = cast.client.chart(&holder.actor(), cast.chart).await.unwrap();
    let normal = CompartmentSet::EMPTY.with(cast.normal);
    let opening = Opening {
        actor: &holder.actor(),
        chart: cast.chart,
        what: &What::Compartments(normal, None),
        purpose: Purpose::PatientRequest,
        seeds: &holder.seeds(&chart, normal),
    };
    let opened = cast.client.open(&opening).await.unwrap();
    assert_eq!((opened.records.len(), opened.withheld.len()), (2, 0));

    let officer = cast.officer.actor();
    let organisation = cast.officer.organisation();
    let (used, _) = cast.client.emergency_use(&officer, organisation).await.unwrap();
    let receipt = cast.client.receipt(&officer, used.waiting[0].location).await.unwrap();
    assert_eq!(receipt.verified().entry().payload().chart(), Some(cast.chart));
    let finding = Finding::Unjustified;
    cast.client.review_emergency(&officer, cast.chart, emergency, finding).await.unwrap();
    let (used, _) = cast.client.emergency_use(&officer, organisation).await.unwrap();
    assert_eq!((used.total().unjustified, used.waiting.len()), (1, 0));
    // What one organisation did is not for the members of another, nor for its own clinicians.
    for other in [&cast.registrar, &cast.clinician] {
        let asked = cast.client.emergency_use(&other.actor(), organisation).await;
        assert!(matches!(asked, Err(ClientError::Node(_))), "{asked:?}");
    }
}

/// The patient comes back, prepares again, and an emergency that nobody closes is closed by a custodian.
async fn a_custodian_closes_what_nobody_does(cast: &Cast) {
    cast.prepare(&[cast.normal]).await;
    let epoch = cast.epoch(cast.normal).await;
    let emergency = cast.break_glass(8_000).await.unwrap();
    cast.second(emergency).await;
    let it = cast.open(emergency).await.unwrap();
    assert_eq!(cast.read(&it).await.len(), 2, "what was added at the epoch that moved on, too");
    for _ in 0..60 {
        if cast.epoch(cast.normal).await == epoch + 1 {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    panic!("no custodian closed the emergency within a minute");
}
