//! A sign-off, against four real nodes in one process: who signs, who does not, and what each party can prove.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::path::Path;

use common::consortium::{self, Consortium as Nodes};
use keepwell_client::{
    Client, ClientError,
    author::NewRecord,
    chart::Arrangement,
    client::Decided,
    error::UsageError,
    identity::{Actor, OrganisationAgent, Wallet},
    signoff::{SignatureFile, signatures_in},
};
use keepwell_types::{
    id::{ChartId, LogPosition},
    member::Role,
    outcome::Rejection,
    record::RecordKind,
    signoff::Meaning,
};
use support::{client, enrol, refused, unlock};

#[test]
fn t4_t5_every_party_has_a_copy_that_it_can_verify() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        sign_off(&nodes, &path).await;
        nodes.stop().await;
    });
}

/// Signs with this meaning, at the seat that fits.
async fn sign(
    client: &Client,
    actor: &Actor,
    (chart, position): (ChartId, LogPosition),
    meaning: Meaning,
) -> Result<Decided, ClientError> {
    let asked = client.sign_off(actor, chart, position).await?;
    let seat = client.seat_for(actor, &asked, meaning).await?;
    client.approve_record(actor, &asked, meaning, seat).await
}

async fn sign_off(nodes: &Nodes, path: &Path) {
    let client = client(nodes);
    let agent = enrol(&client, nodes, 0, &[Role::KeyAgent, Role::Registrar]).await;
    let resident = enrol(&client, nodes, 0, &[Role::Clinician]).await;
    let nurse = enrol(&client, nodes, 0, &[Role::Nurse]).await;
    let consultant = enrol(&client, nodes, 1, &[Role::Clinician]).await;
    let stranger = enrol(&client, nodes, 1, &[Role::Clinician]).await;
    let mut agent = OrganisationAgent::create(&path.join("agent"), agent, &unlock(), true).unwrap();
    let arrangement = Arrangement {
        custodians: vec![nodes.organisations[0], nodes.organisations[2]],
        contributors: vec![],
    };
    let until = consortium::now().plus_ms(3_600_000);
    let opened = client
        .open_chart_for_patient(&mut agent, &[("normal", false)], &arrangement, until)
        .await
        .unwrap();
    let chart = opened.chart;
    let normal = agent.chart(chart).unwrap().meanings().compartment("normal").unwrap();

    let author = resident.actor();
    let authoring = client.authoring(&author, chart).await.unwrap();
    let rule = format!(
        "authorship: author; review: all(nurse@chart, member:{}, patient)",
        consultant.member()
    );
    let approval = Some(rule.parse().unwrap());
    let new = NewRecord { approval, ..NewRecord::new(normal, RecordKind::Document) };
    let added = client.add_record(&author, &authoring, &new, (&b"a note"[..], 6)).await.unwrap();
    let position = client.position(&author, chart, &added.decided).await.unwrap();
    let place = (chart, position);

    // In order, with the meaning of the step, and by those whom it names.
    let early = sign(&client, &nurse.actor(), place, Meaning::Review).await;
    assert!(matches!(refused(early), Rejection::StepNotOpen { step: 2, .. }));
    let other = sign(&client, &author, place, Meaning::Consent).await;
    assert!(matches!(other, Err(ClientError::Usage(UsageError::NoSeat(Meaning::Consent)))));
    sign(&client, &author, place, Meaning::Authorship).await.unwrap();
    sign(&client, &nurse.actor(), place, Meaning::Review).await.unwrap();
    // Whoever is named may see what to sign, also from elsewhere; a stranger may not.
    sign(&client, &consultant.actor(), place, Meaning::Review).await.unwrap();
    let hidden = client.sign_off(&stranger.actor(), chart, position).await;
    assert!(matches!(hidden, Err(ClientError::Node(_))), "{hidden:?}");

    // One thinks again.
    let asked = client.sign_off(&nurse.actor(), chart, position).await.unwrap();
    let relied_on = client.retract_approval(&author, chart, asked.name).await;
    assert_eq!(refused(relied_on), Rejection::ReliedOn(added.record));
    client.retract_approval(&nurse.actor(), chart, asked.name).await.unwrap();
    sign(&client, &nurse.actor(), place, Meaning::Review).await.unwrap();

    // The agent holds the chart's key and is not the patient.
    let holder = agent.holder(chart).unwrap().actor();
    let for_patient = sign(&client, &holder, place, Meaning::Review).await;
    assert_eq!(refused(for_patient), Rejection::NotPatient(chart));
    let mut wallet = Wallet::create(&path.join("wallet"), &unlock(), true).unwrap();
    client.claim_chart(&mut wallet, &opened.letter, &opened.code).await.unwrap();
    let patient = wallet.holder(chart).unwrap().actor();
    sign(&client, &patient, place, Meaning::Review).await.unwrap();
    let late = client.withdraw_record(&author, chart, asked.name).await;
    assert_eq!(refused(late), Rejection::AlreadyFinal(added.record));

    // Each of them has the same signatures, from a file and the genesis file alone.
    for actor in [&author, &nurse.actor(), &consultant.actor(), &patient] {
        let signed = client.sign_off(actor, chart, position).await.unwrap();
        let bytes = client.signatures(actor, &signed).await.unwrap().encode();
        let file = SignatureFile::decode(&bytes).unwrap();
        let verified = file.verify(client.consortium()).unwrap();
        assert!(verified.proposal().is_final());
        assert_eq!(verified.signatures(), signatures_in(&signed.proposal));
        assert_eq!(verified.signatures().len(), 4);
        assert_eq!(verified.proposed().record, added.record);
    }
    let record = client.sign_off(&patient, chart, LogPosition(0)).await;
    assert!(
        matches!(record, Err(ClientError::Usage(UsageError::NotProposed(LogPosition(0))))),
        "{record:?}"
    );
}
