//! Cases from the request to the last recipient who was told, and credentials, against four real nodes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::path::Path;

use common::consortium::{self, Consortium as Nodes, Person, now, random};
use keepwell_client::{
    Client, ClientError,
    author::NewRecord,
    case::{ListedCase, Speech, Voice},
    chart::{Arrangement, ClaimLetter},
    credential::{NewLicence, Standing, issuer_of, nonce_for, type_of},
    error::{KeyError, UsageError},
    grant::Recipient,
    identity::{ChartHolder, MemberIdentity, OrganisationAgent, Seeds, Wallet},
    open::{Opened, Opening, What},
    verify::LogMark,
};
use keepwell_crypto::{
    sd_jwt::{Issued, NewCredential, Request, SdJwtError, Trust, issue},
    sign::SigningKey,
};
use keepwell_types::{
    access::{Purpose, RecordName},
    case::{CaseDecision, CaseKind, DenialGround},
    command::Payload,
    credential::CredentialKind,
    encoding::{List, Text},
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, OrganisationId, RecordId},
    limits::RECORD_CASES_MAX,
    member::{Administrators, OrganisationAdmit, OrganisationKind, Party, Role},
    outcome::Rejection,
    record::{Amended, RecordKind, RedactionGround},
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};
use support::{client, enrol, enrol_at, refused, unlock};

const NAMES: [(&str, bool); 2] = [("normal", false), ("psychiatry", false)];
const ASKED: &str = "The allergy to penicillin is not mine.";
const DENIED: &str = "The test was repeated on 3 May, with the same result.";
const DISAGREED: &str = "The test on 3 May was not mine either.";
const REBUTTED: &str = "The sample bore your name and date of birth.";

/// A chart that its patient has claimed, with one record that a clinician elsewhere may read.
struct Scene {
    client: Client,
    author: MemberIdentity,
    officer: MemberIdentity,
    /// Another officer, to whom nobody hands anything.
    second_officer: MemberIdentity,
    clinician: MemberIdentity,
    seeds: Seeds,
    holder: ChartHolder,
    chart: ChartId,
    record: RecordName,
}

impl Scene {
    async fn new(nodes: &Nodes, path: &Path) -> Self {
        let client = client(nodes);
        let [hospital, clinic] =
            [0, 1].map(|at| (nodes.organisations[at], &nodes.administrators[at]));
        let agent =
            enrol_at(&client, hospital.0, hospital.1, &[Role::KeyAgent, Role::Registrar]).await;
        let author = enrol_at(&client, hospital.0, hospital.1, &[Role::Clinician]).await;
        let officer = enrol_at(&client, hospital.0, hospital.1, &[Role::PrivacyOfficer]).await;
        let second_officer =
            enrol_at(&client, hospital.0, hospital.1, &[Role::PrivacyOfficer]).await;
        let clinician = enrol_at(&client, clinic.0, clinic.1, &[Role::Clinician]).await;

        let mut agent =
            OrganisationAgent::create(&path.join("agent"), agent, &unlock(), true).unwrap();
        let arrangement = Arrangement {
            custodians: vec![nodes.organisations[0], nodes.organisations[2]],
            contributors: vec![nodes.organisations[1]],
        };
        let until = now().plus_ms(3_600_000);
        let opened =
            client.open_chart_for_patient(&mut agent, &NAMES, &arrangement, until).await.unwrap();
        let mut wallet = Wallet::create(&path.join("wallet"), &unlock(), true).unwrap();
        let letter = ClaimLetter::decode(&opened.letter.encode()).unwrap();
        let chart = client.claim_chart(&mut wallet, &letter, &opened.code).await.unwrap();
        let holder = wallet.holder(chart).unwrap();
        let meanings = wallet.chart(chart).unwrap().meanings().clone();
        let normal = meanings.compartment("normal").unwrap();

        let authoring = client.authoring(&author.actor(), chart).await.unwrap();
        let new = NewRecord::new(normal, RecordKind::Condition);
        let added = client
            .add_record(&author.actor(), &authoring, &new, (&b"penicillin"[..], 10))
            .await
            .unwrap();
        let position = client.position(&author.actor(), chart, &added.decided).await.unwrap();
        let record = RecordName { position, record: added.record };

        let recipient = Recipient { member: clinician.member(), key: clinician.sealing_public() };
        let terms = GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(clinician.member()),
            compartments: CompartmentSet::EMPTY.with(normal),
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
            window: Window { from: now(), until: now().plus_ms(24 * 3_600_000) },
            accesses_max: None,
            separate_consent: false,
            onward: false,
        };
        let given = client.give_grant(&holder, terms, Some(&recipient), &meanings).await.unwrap();
        let terms = Some(&given.notice.terms);
        let (_, seeds) = client
            .accept_grant(&clinician.actor(), &clinician.sealing(), (chart, given.grant), terms)
            .await
            .unwrap();
        Self { client, author, officer, second_officer, clinician, seeds, holder, chart, record }
    }

    async fn read_elsewhere(&self, what: &What) -> Result<Opened, ClientError> {
        let actor = self.clinician.actor();
        let (chart, purpose, seeds) = (self.chart, Purpose::Treatment, &self.seeds);
        self.client.open(&Opening { actor: &actor, chart, what, purpose, seeds }).await
    }

    async fn cases(&self) -> Vec<ListedCase> {
        self.client.cases(&self.holder.actor(), self.chart, LogMark::START).await.unwrap()
    }

    /// Adds a version of the record, and names it.
    async fn amend(&self, content: &[u8]) -> RecordName {
        let actor = self.author.actor();
        let records = self.client.records(&actor, self.chart, LogMark::START).await.unwrap();
        let newest = records.last().unwrap();
        let authoring = self.client.authoring(&actor, self.chart).await.unwrap();
        let mut new = NewRecord::new(newest.compartment, newest.kind);
        new.amends = Some(Amended {
            record: newest.name,
            version: keepwell_types::id::Version(newest.version.0 + 1),
        });
        let added = self
            .client
            .add_record(&actor, &authoring, &new, (content, content.len() as u64))
            .await
            .unwrap();
        let position = self.client.position(&actor, self.chart, &added.decided).await.unwrap();
        RecordName { position, record: added.record }
    }
}

#[test]
fn p5_p6_g6_an_amendment_from_the_request_to_the_last_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        let scene = Scene::new(&nodes, &path).await;
        disagreement(&scene, &nodes).await;
        acceptance(&scene, &nodes).await;
        redaction(&scene).await;
        redaction_elsewhere(&scene, &nodes).await;
        credentials(&scene, &nodes).await;
        nodes.stop().await;
    });
}

/// Denied, disagreed with, rebutted: what is said goes with the record.
async fn disagreement(scene: &Scene, nodes: &Nodes) {
    let Scene { client, officer, holder, chart, .. } = scene;
    let by_name = What::Records(vec![scene.record]);
    let first = scene.read_elsewhere(&by_name).await.unwrap();
    let about = (CaseKind::Amendment, Some(scene.record));
    let elsewhere = client.open_case(holder, about, ASKED, &[scene.clinician.member()]).await;
    assert!(matches!(elsewhere, Err(ClientError::Usage(UsageError::NotOfChart(_)))));
    let (case, _) = client.open_case(holder, about, ASKED, &[officer.member()]).await.unwrap();
    let at = (*chart, case);

    // The officer reads it; a colleague to whom it was not handed does not, and neither does a custodian.
    let listed = scene.cases().await.remove(0);
    let voice = Voice::Member(officer);
    let words = client.words_of(voice, *chart, &listed).await.unwrap();
    assert_eq!((words[0].0.speech, words[0].1.as_str()), (Speech::Request, ASKED));
    let other = client.words_of(Voice::Member(&scene.second_officer), *chart, &listed).await;
    assert!(matches!(other, Err(ClientError::Key(KeyError::Case { .. }))), "{:?}", other.map(drop));
    let body = nodes.folder().join("node-0");
    assert!(!holds(&body, ASKED.as_bytes()), "no custodian has the words in the clear");

    // Whoever opens the record sees that there is a case, and none of its words.
    let opened = scene.read_elsewhere(&by_name).await.unwrap();
    let attached = client.attachments(&scene.clinician.actor(), &opened).await.unwrap();
    assert_eq!((attached.cases.len(), attached.cases[0].texts.len()), (1, 0));

    // Before a denial nobody disagrees; a ground of another law is none.
    let early = client.disagree(holder, case, DISAGREED).await;
    assert_eq!(refused(early), Rejection::CaseNotWaiting(case));
    let wrong = client.deny_case(officer, at, DenialGround::HealthCare, DENIED).await;
    assert!(matches!(refused(wrong), Rejection::WrongGround { .. }));
    client.extend_case(officer, at, "We wait for the laboratory.").await.unwrap();
    client.deny_case(officer, at, DenialGround::AccurateAndComplete, DENIED).await.unwrap();
    client.disagree(holder, case, DISAGREED).await.unwrap();
    client.rebut_case(officer, at, REBUTTED).await.unwrap();

    // Both sides read all of it, in order.
    let listed = scene.cases().await.remove(0);
    let of_patient = client.words_of(Voice::Controller(holder), *chart, &listed).await.unwrap();
    let speeches: Vec<_> = of_patient.iter().map(|(said, _)| said.speech.as_str()).collect();
    assert_eq!(speeches, ["request", "extension", "denial", "disagreement", "rebuttal"]);

    // And so does whoever opens the record from now on, by name and by compartment.
    let compartment = first.records[0].facts().compartment;
    let all = What::Compartments(CompartmentSet::EMPTY.with(compartment), None);
    for what in [&by_name, &all] {
        let opened = scene.read_elsewhere(what).await.unwrap();
        let attached = client.attachments(&scene.clinician.actor(), &opened).await.unwrap();
        let texts: Vec<_> = attached.cases[0].texts.iter().map(|it| it.as_str()).collect();
        assert_eq!(texts[0], ASKED);
        assert_eq!(texts[2..], [DENIED, DISAGREED, REBUTTED]);
    }

    // A version that is added later is told of the case, and carries the words once they are said again.
    let second = scene.amend(b"penicillin, mild").await;
    let both = What::Records(vec![scene.record, second]);
    let opened = scene.read_elsewhere(&both).await.unwrap();
    let attached = client.attachments(&scene.clinician.actor(), &opened).await.unwrap();
    assert_eq!((attached.cases.len(), attached.unknown.len()), (1, 0));
    let alone = What::Records(vec![second]);
    let opened = scene.read_elsewhere(&alone).await.unwrap();
    let attached = client.attachments(&scene.clinician.actor(), &opened).await.unwrap();
    assert_eq!(attached.unknown, [second]);
    client.disagree(holder, case, "Nor is it mild.").await.unwrap();

    // Nobody from elsewhere follows the case without having opened the record.
    let insurer =
        enrol_at(client, nodes.organisations[3], &nodes.administrators[3], &[Role::ClaimsAssessor])
            .await;
    let stranger = client.case(&insurer.actor(), *chart, case, None).await;
    assert!(matches!(stranger, Err(ClientError::Node(ref it)) if it.fault.is_forbidden()));
    let through = Some((first.position, scene.record.position));
    let stranger = client.case(&insurer.actor(), *chart, case, through).await;
    assert!(matches!(stranger, Err(ClientError::Node(ref it)) if it.fault.is_forbidden()));
    let seen = client.case(&scene.clinician.actor(), *chart, case, through).await.unwrap();
    assert!(matches!(seen.decided.unwrap().decision, CaseDecision::Deny { .. }));
}

/// Accepted, amended, and everyone told who had opened it.
async fn acceptance(scene: &Scene, nodes: &Nodes) {
    let Scene { client, officer, holder, chart, clinician, .. } = scene;
    let about = (CaseKind::Amendment, Some(scene.record));
    let (case, _) = client.open_case(holder, about, ASKED, &[officer.member()]).await.unwrap();
    client.accept_case(officer, *chart, case).await.unwrap();
    scene.amend(b"no allergy known").await;
    let entry = client.case(&officer.actor(), *chart, case, None).await.unwrap();
    let recipients = client.earlier_recipients(&officer.actor(), *chart, &entry).await.unwrap();
    assert_eq!(recipients.len(), 1, "{recipients:?}");
    assert_eq!((recipients[0].organisation, recipients[0].told), (nodes.organisations[1], false));
    client.acknowledge_case(clinician, *chart, case).await.unwrap();
    let entry = client.case(&officer.actor(), *chart, case, None).await.unwrap();
    let recipients = client.earlier_recipients(&officer.actor(), *chart, &entry).await.unwrap();
    assert!(recipients[0].told);
    let twice = client.acknowledge_case(clinician, *chart, case).await;
    assert_eq!(refused(twice), Rejection::CaseNotWaiting(case));
}

/// With the record, the custodians erase what was said about it, also in cases that no longer go with it.
async fn redaction(scene: &Scene) {
    let Scene { client, officer, holder, chart, .. } = scene;
    let about = (CaseKind::Amendment, Some(scene.record));
    while scene.cases().await.len() <= RECORD_CASES_MAX {
        client.open_case(holder, about, ASKED, &[officer.member()]).await.unwrap();
    }
    let cases = scene.cases().await;
    for case in &cases {
        let words = client.words_of(Voice::Controller(holder), *chart, case).await.unwrap();
        assert_eq!(words[0].1.as_str(), ASKED);
    }
    let ground = RedactionGround::PatientWish;
    client.redact_record(&holder.actor(), *chart, scene.record, ground).await.unwrap();
    client.redact_record(&officer.actor(), *chart, scene.record, ground).await.unwrap();
    let original: RecordId = scene.record.record;
    for _ in 0..600 {
        let (state, _) = client.record_state(&holder.actor(), *chart, original).await.unwrap();
        let redaction = state.redaction.unwrap();
        if redaction.bound.is_some() && redaction.outstanding.is_empty() {
            for case in &cases {
                let gone = client.words_of(Voice::Controller(holder), *chart, case).await;
                assert!(matches!(gone, Err(ClientError::Custody(_))), "{:?}", gone.map(drop));
            }
            assert!(state.cases.len() < cases.len(), "one of them was no longer in the list");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the custodians have not said that they erased");
}

/// What a contributor added is redacted with its own officer, who sees that one entry and not the chart.
async fn redaction_elsewhere(scene: &Scene, nodes: &Nodes) {
    let Scene { client, officer, clinician, holder, chart, .. } = scene;
    let own = enrol(client, nodes, 1, &[Role::PrivacyOfficer]).await;
    let stranger = enrol(client, nodes, 2, &[Role::PrivacyOfficer]).await;
    let actor = clinician.actor();
    let authoring = client.authoring(&actor, *chart).await.unwrap();
    let records = client.records(&holder.actor(), *chart, LogMark::START).await.unwrap();
    let new = NewRecord::new(records[0].compartment, RecordKind::Document);
    let added = client.add_record(&actor, &authoring, &new, (&b"elsewhere"[..], 9)).await.unwrap();
    let position = client.position(&actor, *chart, &added.decided).await.unwrap();
    let facts = client.record_at(&own.actor(), *chart, position).await.unwrap();
    assert_eq!(facts.name, RecordName { position, record: added.record });
    for (who, at) in [(&stranger, position), (&own, scene.record.position)] {
        let refused = client.record_at(&who.actor(), *chart, at).await;
        assert!(matches!(refused, Err(ClientError::Node(ref it)) if it.fault.is_forbidden()));
    }
    let ground = RedactionGround::PatientWish;
    for actor in [holder.actor(), officer.actor()] {
        client.redact_record(&actor, *chart, facts.name, ground).await.unwrap();
    }
    let state = client.record_state(&holder.actor(), *chart, added.record).await.unwrap().0;
    assert!(!state.is_redacted(), "the author's organisation has not approved");
    let by_stranger = client.redact_record(&stranger.actor(), *chart, facts.name, ground).await;
    refused(by_stranger);
    client.redact_record(&own.actor(), *chart, facts.name, ground).await.unwrap();
    let state = client.record_state(&holder.actor(), *chart, added.record).await.unwrap().0;
    assert!(state.is_redacted());
}

/// A board issues, a member shows, another board's word is taken; what is false is not.
async fn credentials(scene: &Scene, nodes: &Nodes) {
    let client = &scene.client;
    let organisation = OrganisationId(random());
    let administrator = Person::new(Party::Administrator(organisation));
    let admit = Payload::OrganisationAdmit(OrganisationAdmit {
        organisation,
        kind: OrganisationKind::LicensingBoard,
        name: Text::from_string("Medical board".into()).unwrap(),
        administrators: Administrators::one(administrator.key.public()),
        custodian: None,
    });
    let founders: Vec<_> = nodes.administrators.iter().collect();
    nodes.accepted(0, admit, &founders).await;
    let board = enrol_at(client, organisation, &administrator, &[Role::Licensor]).await;
    let doctor = &scene.author;

    let claims = [("family_name".to_owned(), "Huber".to_owned())];
    let new = NewLicence {
        member: doctor.member(),
        kind: CredentialKind::Licence,
        scope: "US-CA",
        window: Window { from: now(), until: now().plus_ms(3_600_000) },
        claims: &claims,
    };
    let issued = client.issue_credential(&board, &new).await.unwrap();
    let known = client.credentials(&doctor.actor(), doctor.member()).await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].evidence, issued.file.evidence());
    assert_eq!(known[0].window.until.0 % 1_000, 0);

    // Shown to a verifier outside, who has the board's key alone.
    let file = Issued::parse(&issued.file.text()).unwrap();
    let request = Request { audience: "https://verifier.example", nonce: "n-1" };
    let shown = client.present_credential(doctor, &file, &["family_name"], &request).unwrap();
    let issuer = issuer_of(&nodes.chain, organisation);
    let key = board.signing_public();
    let trust = Trust { issuer: &issuer, key: &key, now: now().0 / 1_000 };
    let verified = shown.verify_presentation(&trust, &request).unwrap();
    assert_eq!((verified.vct, verified.holder), (type_of(new.kind), doctor.signing_public()));
    let other = client.present_credential(&scene.officer, &file, &[], &request);
    assert!(matches!(other, Err(UsageError::Credential(SdJwtError::NotHolder))));

    // Only a board issues.
    let by_officer = client.issue_credential(&scene.officer, &new).await;
    assert_eq!(refused(by_officer), Rejection::RoleMissing(Role::Licensor));
    let credential = issued.credential;
    for standing in [Standing::Suspend, Standing::Reinstate, Standing::Revoke] {
        client.change_credential(&board, doctor.member(), credential, standing).await.unwrap();
    }
    let revived =
        client.change_credential(&board, doctor.member(), credential, Standing::Reinstate).await;
    assert_eq!(refused(revived), Rejection::NoSuchCredential(credential));
    import(scene, &board).await;
}

/// Another issuer's credential, in a wallet with a key of its own.
async fn import(scene: &Scene, board: &MemberIdentity) {
    let (client, doctor) = (&scene.client, &scene.author);
    let (issuer_key, wallet) = (SigningKey::from_seed(&[7; 32]), SigningKey::from_seed(&[8; 32]));
    let issuer = "https://kammer.example";
    let second = now().0 / 1_000;
    let foreign = NewCredential {
        issuer,
        vct: "https://kammer.example/arzt",
        issued_at: second,
        from: second - 10,
        until: second + 3_600,
        holder: wallet.public(),
        status: None,
        open: vec![],
        disclosable: vec![],
    };
    let file = issue(&mut rand(), &issuer_key, &foreign).unwrap();
    let audience = issuer_of(&client.consortium().chain(), board.organisation());
    let nonce = nonce_for(doctor.member());
    let request = Request { audience: &audience, nonce: &nonce };
    let shown = file.present(&wallet, &[], &request, second).unwrap();
    let taken = (doctor.member(), CredentialKind::Licence, "DE-BY");
    let key = issuer_key.public();

    // For another member, to another request, by another issuer.
    let other = (scene.officer.member(), CredentialKind::Licence, "DE-BY");
    let imported = client.import_credential(board, other, &shown, (issuer, &key), &nonce).await;
    assert!(matches!(imported, Err(ClientError::Usage(UsageError::OtherNonce(_)))));
    let again = nonce_for(doctor.member());
    let imported = client.import_credential(board, taken, &shown, (issuer, &key), &again).await;
    let fault = ClientError::Usage(UsageError::Credential(SdJwtError::OtherNonce));
    assert_eq!(imported.unwrap_err().to_string(), fault.to_string());
    let own = board.signing_public();
    let imported = client.import_credential(board, taken, &shown, (issuer, &own), &nonce).await;
    assert!(matches!(imported, Err(ClientError::Usage(UsageError::Credential(_)))));

    let (credential, ..) =
        client.import_credential(board, taken, &shown, (issuer, &key), &nonce).await.unwrap();
    let known = client.credentials(&doctor.actor(), doctor.member()).await.unwrap();
    let it = known.iter().find(|it| it.credential == credential).unwrap();
    assert_eq!((it.window.until.0, it.evidence), ((second + 3_600) * 1_000, file.evidence()));
    // The same presentation once more.
    let replayed = client.import_credential(board, taken, &shown, (issuer, &key), &nonce).await;
    let exists = Rejection::CredentialExists(credential);
    assert_eq!(refused(replayed), exists);
}

fn rand() -> impl rand_core::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Whether a file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    let mut stack = vec![folder.to_path_buf()];
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|it| it == bytes) {
                return true;
            }
        }
    }
    false
}
