//! Keys for life: guardians, a lost wallet, and proxies, against four real nodes in one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::{path::Path, time::Duration};

use common::consortium::{self, Consortium as Nodes, now};
use keepwell_client::{
    Client, ClientError,
    author::NewRecord,
    chart::Arrangement,
    delegate::Offer,
    error::KeyError,
    guardian::{GuardianKeys, Named, NamedGroup},
    identity::{ChartHolder, MemberIdentity, Wallet},
    open::{Opening, What},
    proxy::ProxyLetter,
    verify::LogMark,
};
use keepwell_types::{
    access::Purpose,
    guardian::RecoveryGround,
    id::{ChartId, Compartment},
    member::{Party, Role},
    outcome::Rejection,
    proxy::{Power, ProxyTerms},
    record::RecordKind,
    set::{CompartmentSet, PowerSet},
    time::Window,
};
use support::{client, enrol, refused, unlock};

const NAMES: [(&str, bool); 2] = [("normal", false), ("psychiatry", false)];

fn wallet(path: &Path, name: &str) -> Wallet {
    Wallet::create(&path.join(name), &unlock(), true).unwrap()
}

/// A chart that a wallet opened, with a record in each of two compartments.
async fn chart_of(
    client: &Client,
    nodes: &Nodes,
    wallet: &mut Wallet,
    author: &MemberIdentity,
) -> (ChartId, [Compartment; 2]) {
    let arrangement =
        Arrangement { custodians: nodes.organisations[..2].to_vec(), contributors: vec![] };
    let signer = (&author.actor(), nodes.organisations[0]);
    let (chart, _) = client.open_chart(wallet, signer, &NAMES, &arrangement).await.unwrap();
    let meanings = wallet.chart(chart).unwrap().meanings().clone();
    let compartments = NAMES.map(|(name, _)| meanings.compartment(name).unwrap());
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    for (compartment, content) in compartments.into_iter().zip([b"one", b"two"]) {
        let new = NewRecord::new(compartment, RecordKind::Result);
        client.add_record(&author.actor(), &authoring, &new, (&content[..], 3)).await.unwrap();
    }
    (chart, compartments)
}

/// What a holder reads of these compartments.
async fn read(
    client: &Client,
    holder: &ChartHolder,
    compartments: CompartmentSet,
) -> Result<Vec<Vec<u8>>, ClientError> {
    let (actor, chart) = (holder.actor(), holder.chart());
    let entry = client.chart(&actor, chart).await?;
    let seeds = holder.seeds(&entry, compartments);
    let what = What::Compartments(compartments, None);
    let purpose = Purpose::PatientRequest;
    let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
    let opened = client.open(&opening).await?;
    assert!(opened.withheld.is_empty(), "{:?}", opened.withheld);
    let mut contents = Vec::new();
    for record in &opened.records {
        let mut content = Vec::new();
        client.read(&actor, record, &mut content).await?;
        contents.push(content);
    }
    Ok(contents)
}

#[test]
fn guardians_bring_a_chart_to_a_new_wallet() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        recover(&nodes, &path).await;
        nodes.stop().await;
    });
}

async fn recover(nodes: &Nodes, path: &Path) {
    let client = client(nodes);
    let author = enrol(&client, nodes, 0, &[Role::Clinician]).await;
    let officer = enrol(&client, nodes, 1, &[Role::PrivacyOfficer]).await;
    let mut patient = wallet(path, "patient");
    let (chart, compartments) = chart_of(&client, nodes, &mut patient, &author).await;
    let all: CompartmentSet = compartments.into_iter().collect();

    let friends = ["ann", "ben", "eve"].map(|name| wallet(path, name).delegate(chart));
    let offers = friends.iter().map(|secret| Offer::make(nodes.chain, chart, secret));
    let groups = [
        NamedGroup {
            approvals_min: 2,
            guardians: offers.map(|it| Named::Offer(it.into())).collect(),
        },
        NamedGroup { approvals_min: 1, guardians: vec![Named::Member(officer.member())] },
    ];
    client.set_guardians(&patient, chart, (&groups, 2), None).await.unwrap();

    // Nobody else sees who guards.
    let other = enrol(&client, nodes, 2, &[Role::Clinician]).await;
    assert!(client.guardians(&other.actor(), chart).await.is_err());
    assert!(client.guardians(&officer.actor(), chart).await.unwrap().is_some());

    let mut new = wallet(path, "new");
    let offer = Offer::make(nodes.chain, chart, new.new_holder(chart).secret());
    let [ann, ben, eve] = friends.each_ref().map(|it| GuardianKeys::of_offer(chart, it));
    let stranger = GuardianKeys::of_offer(chart, &wallet(path, "stranger").delegate(chart));
    let ground = RecoveryGround::Lost;
    assert!(client.start_recovery(&stranger, &offer, ground).await.is_err());
    let thief = wallet(path, "thief");
    let thiefs = Offer::make(nodes.chain, chart, thief.new_holder(chart).secret());

    // The patient vetoes what a guardian should not have started.
    client.start_recovery(&eve, &thiefs, ground).await.unwrap();
    let holder = patient.holder(chart).unwrap();
    let open = client.recoveries(&holder.actor(), chart).await.unwrap();
    client.veto_recovery(&holder, open[0].position).await.unwrap();
    assert!(client.recoveries(&holder.actor(), chart).await.unwrap().is_empty());

    // Two friends and the officer; before the last of them the shares give nothing.
    client.start_recovery(&ann, &offer, ground).await.unwrap();
    client.approve_recovery(&ben, &offer).await.unwrap();
    let early = client.finish_recovery(&mut new, chart).await;
    assert!(matches!(early, Err(ClientError::Key(KeyError::Escrow(_)))), "{early:?}");
    let officers = GuardianKeys::of_member(&officer);
    client.approve_recovery(&officers, &offer).await.unwrap();
    assert!(client.approve_recovery(&officers, &thiefs).await.is_err());
    loop {
        match client.finish_recovery(&mut new, chart).await {
            Ok(taken) => {
                assert!(taken.rotated.left_behind.is_empty());
                break;
            }
            too_soon => {
                let why = refused(too_soon);
                assert!(matches!(why, Rejection::RecoveryTooSoon { .. }), "{why:?}");
                assert!(new.chart(chart).is_err(), "what was refused leaves nothing behind");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
    // Again, as after a crash.
    client.finish_recovery(&mut new, chart).await.unwrap();
    new.save().unwrap();

    // The old wallet is nobody, and the new one reads what was sealed before and after.
    assert!(read(&client, &holder, all).await.is_err());
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let after = NewRecord::new(compartments[0], RecordKind::Result);
    client.add_record(&author.actor(), &authoring, &after, (&b"three"[..], 5)).await.unwrap();
    let holder = new.holder(chart).unwrap();
    let contents = read(&client, &holder, all).await.unwrap();
    assert_eq!(contents, [&b"one"[..], b"two", b"three"]);
    assert!(client.guardians(&holder.actor(), chart).await.unwrap().is_none());
    let names = new.chart(chart).unwrap().meanings();
    assert_eq!(names.compartment("psychiatry").unwrap(), compartments[1]);
}

#[test]
fn a_caregiver_acts_in_its_compartments_and_the_patient_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        care(&nodes, &path).await;
        nodes.stop().await;
    });
}

async fn care(nodes: &Nodes, path: &Path) {
    let client = client(nodes);
    let author = enrol(&client, nodes, 0, &[Role::Clinician]).await;
    let mut patient = wallet(path, "patient");
    let (chart, [normal, psychiatry]) = chart_of(&client, nodes, &mut patient, &author).await;
    let given = CompartmentSet::EMPTY.with(normal);

    let mut carer = wallet(path, "carer");
    let offer = Offer::make(nodes.chain, chart, &carer.delegate(chart));
    let holder = patient.holder(chart).unwrap();
    let window = Window { from: now(), until: now().plus_ms(3_600_000) };
    let powers = PowerSet::EMPTY.with(Power::Read).with(Power::Write);
    let terms = ProxyTerms { powers, compartments: given, window };
    let masters = patient.masters(chart, given).unwrap();
    let named = client.add_proxy(&holder, &offer, terms, &masters).await.unwrap();
    let letter = ProxyLetter::decode(&named.letter.encode()).unwrap();
    let mut other = wallet(path, "other");
    assert!(client.accept_proxy(&mut other, &letter).await.is_err());
    client.accept_proxy(&mut carer, &letter).await.unwrap();

    let proxy = carer.holder(chart).unwrap();
    assert_eq!(read(&client, &proxy, given).await.unwrap(), [b"one"]);
    let both = given.with(psychiatry);
    let outside = refused(read(&client, &proxy, both).await);
    assert_eq!(outside, Rejection::OutsideProxy(named.proxy));
    let authoring = client.authoring(&proxy.actor(), chart).await.unwrap();
    let diary = NewRecord::new(normal, RecordKind::Document);
    client.add_record(&proxy.actor(), &authoring, &diary, (&b"slept"[..], 5)).await.unwrap();

    // It reads on after the patient has moved the compartment to its next epoch.
    client.rotate_compartments(&holder, given).await.unwrap();
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let new = NewRecord::new(normal, RecordKind::Result);
    client.add_record(&author.actor(), &authoring, &new, (&b"new"[..], 3)).await.unwrap();
    let contents = read(&client, &proxy, given).await.unwrap();
    assert_eq!(contents, [&b"one"[..], b"slept", b"new"]);

    let seen = client.audit(&holder.actor(), chart, LogMark::START).await.unwrap();
    let by_proxy = Party::Proxy(chart, named.proxy);
    assert!(seen.accesses.iter().all(|it| it.reader == by_proxy), "{:?}", seen.accesses);
    assert_eq!(seen.accesses.iter().filter(|it| it.refused.is_some()).count(), 1);

    let acts = client.acts_for_patient(&holder.actor(), chart, LogMark::START).await.unwrap();
    assert!(acts.iter().all(|it| it.party == by_proxy), "{acts:?}");
    assert!(acts.iter().any(|it| it.command == "record.add" && it.refused.is_none()));

    client.end_proxy(&holder, named.proxy).await.unwrap();
    assert!(read(&client, &proxy, given).await.is_err());
    assert!(client.proxies(&holder.actor(), chart).await.unwrap().all.is_empty());
}
