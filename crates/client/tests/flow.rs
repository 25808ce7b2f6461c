//! The life of a record, against four real nodes in one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::path::Path;

use common::consortium::{self, Consortium as Nodes, now};
use keepwell_client::{
    ClientError,
    author::NewRecord,
    challenge::Challenged,
    chart::{Arrangement, ClaimLetter},
    error::{CustodyProblem, LedgerError},
    grant::{GrantNotice, Recipient},
    identity::{OrganisationAgent, Seeds, Wallet},
    open::{Opening, What},
    verify::LogMark,
};
use keepwell_types::{
    access::Purpose,
    encoding::List,
    grant::{Effect, GrantLimit, GrantTerms, Grantee},
    member::Role,
    outcome::Rejection,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use support::{client, enrol, unlock};

const NAMES: [(&str, bool); 3] =
    [("normal", false), ("psychiatry", false), ("substance-use", true)];

#[test]
fn the_life_of_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        life(&nodes, &path).await;
        nodes.stop().await;
    });
}

fn flip(folder: &Path, at: usize) -> bool {
    let mut stack = vec![folder.to_path_buf()];
    let mut flipped = false;
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_some_and(|it| it == "body") {
                let mut bytes = std::fs::read(&path).unwrap();
                if bytes.len() > at {
                    bytes[at] ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                    flipped = true;
                }
            }
        }
    }
    flipped
}

/// Puts a folder in the place of the first capsule that a custodian has.
fn spoil_capsule(folder: &Path) {
    let mut stack = vec![folder.to_path_buf()];
    while let Some(folder) = stack.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                stack.push(path);
            } else if path.extension().is_some_and(|it| it == "capsule") {
                std::fs::remove_file(&path).unwrap();
                return std::fs::create_dir(&path).unwrap();
            }
        }
    }
    panic!("the custodian has no capsule");
}

async fn life(nodes: &Nodes, path: &Path) {
    let client = client(nodes);
    let agent = enrol(&client, nodes, 0, &[Role::KeyAgent, Role::Registrar]).await;
    let author = enrol(&client, nodes, 0, &[Role::Clinician]).await;
    let clinician = enrol(&client, nodes, 1, &[Role::Clinician]).await;

    let mut agent = OrganisationAgent::create(&path.join("agent"), agent, &unlock(), true).unwrap();
    let arrangement = Arrangement {
        custodians: vec![nodes.organisations[0], nodes.organisations[2]],
        contributors: vec![],
    };
    let until = now().plus_ms(3_600_000);
    let opened =
        client.open_chart_for_patient(&mut agent, &NAMES, &arrangement, until).await.unwrap();
    let chart = opened.chart;

    let meanings = agent.chart(chart).unwrap().meanings().clone();
    let normal = meanings.compartment("normal").unwrap();
    let psychiatry = meanings.compartment("psychiatry").unwrap();
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let mut contents = Vec::new();
    for (len, compartment) in [(0_usize, normal), (1_000, normal), (300_000, psychiatry)] {
        let content: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let new = NewRecord::new(compartment, RecordKind::Result);
        let added = client
            .add_record(&author.actor(), &authoring, &new, (&content[..], len as u64))
            .await
            .unwrap();
        assert!(added.faults.is_empty(), "{:?}", added.faults);
        contents.push(content);
    }

    // The organisation's agent looks into the chart, as long as it can.
    let holder = agent.holder(chart).unwrap();
    let state = client.chart(&holder.actor(), chart).await.unwrap();
    let all = What::Compartments(CompartmentSet::all(), None);
    let before_claim = Opening {
        actor: &holder.actor(),
        chart,
        what: &all,
        purpose: Purpose::Operations,
        seeds: &holder.seeds(&state, CompartmentSet::all()),
    };
    assert_eq!(client.open(&before_claim).await.unwrap().records.len(), 3);

    // The code is replaced, and the first one claims nothing any more.
    let mut wallet = Wallet::create(&path.join("wallet"), &unlock(), true).unwrap();
    let renewed = client.renew_claim(&mut agent, chart, until).await.unwrap();
    let void = client.claim_chart(&mut wallet, &opened.letter, &opened.code).await;
    assert!(matches!(void, Err(ClientError::Node(_))), "{void:?}");

    // A letter from before a rotation claims nothing either.
    let rotated = CompartmentSet::EMPTY.with(psychiatry);
    client.rotate_compartments(&holder, rotated).await.unwrap();
    let old = client.claim_chart(&mut wallet, &renewed.letter, &renewed.code).await;
    let rejection = Rejection::LetterOutOfDate(chart);
    assert!(
        matches!(
            &old,
            Err(ClientError::Ledger(LedgerError::Rejected { rejection: it, .. })) if *it == rejection
        ),
        "{old:?}"
    );

    // The patient claims.
    let (letter, code) = client.claim_letter(&agent, chart).await.unwrap();
    let letter = ClaimLetter::decode(&letter.encode()).unwrap();
    client.claim_chart(&mut wallet, &letter, &code).await.unwrap();
    client.claim_chart(&mut wallet, &letter, &code).await.unwrap();
    let holder = wallet.holder(chart).unwrap();

    // An author goes on at the new epoch.
    let stale = client
        .add_record(
            &author.actor(),
            &authoring,
            &NewRecord::new(normal, RecordKind::Result),
            (&b"old"[..], 3),
        )
        .await;
    assert!(
        matches!(
            stale,
            Err(ClientError::Ledger(LedgerError::Rejected {
                rejection: Rejection::WrongEpoch { .. },
                ..
            }))
        ),
        "{stale:?}"
    );
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let added = client
        .add_record(
            &author.actor(),
            &authoring,
            &NewRecord::new(normal, RecordKind::Condition),
            (&b"after the claim"[..], 15),
        )
        .await
        .unwrap();
    contents.insert(2, b"after the claim".to_vec());
    let _ = client.position(&author.actor(), chart, &added.decided).await.unwrap();

    // The patient reads everything.
    let state = client.chart(&holder.actor(), chart).await.unwrap();
    let seeds = holder.seeds(&state, CompartmentSet::all());
    let what = What::Compartments(CompartmentSet::all(), None);
    let actor = holder.actor();
    let opening = Opening {
        actor: &actor,
        chart,
        what: &what,
        purpose: Purpose::PatientRequest,
        seeds: &seeds,
    };
    let own = client.open(&opening).await.unwrap();
    assert!(own.withheld.is_empty(), "{:?}", own.withheld);
    assert_eq!(own.records.len(), 4);
    for record in &own.records {
        let mut content = Vec::new();
        client.read(&actor, record, &mut content).await.unwrap();
        assert!(contents.contains(&content));
    }

    // A grant for the clinician.
    let recipient = Recipient { member: clinician.member(), key: clinician.sealing_public() };
    let terms = GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(clinician.member()),
        compartments: CompartmentSet::EMPTY.with(normal),
        kinds: KindSet::EMPTY.with(RecordKind::Result),
        records: List::new(),
        purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
        window: Window { from: now(), until: now().plus_ms(30 * 24 * 3_600_000) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    };
    let given = client
        .give_grant(&holder, terms, Some(&recipient), wallet.chart(chart).unwrap().meanings())
        .await
        .unwrap();
    let notice = given.notice.seal(&nodes.chain, &recipient.key);

    let notice = GrantNotice::open(&nodes.chain, &clinician.sealing(), &notice).unwrap();
    let reader = clinician.actor();
    let (_, seeds) = client
        .accept_grant(
            &reader,
            &clinician.sealing(),
            (notice.chart, notice.grant),
            Some(&notice.terms),
        )
        .await
        .unwrap();
    let normal = notice.meanings.compartment("normal").unwrap();
    let what = What::Compartments(CompartmentSet::EMPTY.with(normal), None);
    let opening =
        Opening { actor: &reader, chart, what: &what, purpose: Purpose::Treatment, seeds: &seeds };
    let read = client.open(&opening).await.unwrap();
    // The record of another kind stays closed.
    assert_eq!(read.records.len(), 2, "{:?}", read.withheld);
    assert_eq!(read.withheld.len(), 1);
    for record in &read.records {
        let mut content = Vec::new();
        client.read(&reader, record, &mut content).await.unwrap();
        assert!(contents[..2].contains(&content));
    }
    // By name.
    let what = What::Records(vec![read.records[1].facts().name]);
    let opening = Opening { what: &what, ..opening };
    let named = client.open(&opening).await.unwrap();
    assert_eq!(named.records.len(), 1);

    // Psychiatry is refused.
    let what = What::Compartments(CompartmentSet::EMPTY.with(psychiatry), None);
    let none = Seeds::default();
    let asking = Opening { what: &what, seeds: &none, ..opening };
    let refused = client.open(&asking).await;
    assert!(matches!(refused, Err(ClientError::Ledger(_))), "{refused:?}");

    // The patient sees it all.
    let audit = client.audit(&holder.actor(), chart, LogMark::START).await.unwrap();
    assert_eq!(audit.accesses.len(), 5);
    assert!(audit.accesses[4].refused.is_some());
    let by_agent: Vec<_> = audit.accesses.iter().map(|it| audit.is_by_agent(it)).collect();
    assert_eq!(by_agent, [true, false, false, false, false]);
    wallet.note_log(chart, audit.mark);
    wallet.note_tip(client.seen());
    wallet.save().unwrap();

    // After a rotation a grantee reads what is new, with the keys that the rotation brought.
    client
        .publish_member_key(&reader, clinician.member(), &clinician.sealing_public())
        .await
        .unwrap();
    let moved = CompartmentSet::EMPTY.with(normal);
    let rotated = client.rotate_compartments(&holder, moved).await.unwrap();
    assert!(rotated.left_behind.is_empty(), "{:?}", rotated.left_behind);
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let new = NewRecord::new(normal, RecordKind::Result);
    client.add_record(&author.actor(), &authoring, &new, (&b"new"[..], 3)).await.unwrap();
    let in_normal = What::Compartments(moved, None);
    let again = Opening { what: &in_normal, ..opening };
    let with_old_keys = client.open(&again).await.unwrap();
    assert_eq!((with_old_keys.records.len(), with_old_keys.withheld.len()), (2, 2));
    let (_, seeds) = client
        .accept_grant(
            &reader,
            &clinician.sealing(),
            (notice.chart, notice.grant),
            Some(&notice.terms),
        )
        .await
        .unwrap();
    let with_new_keys = client.open(&Opening { seeds: &seeds, ..again }).await.unwrap();
    assert_eq!((with_new_keys.records.len(), with_new_keys.withheld.len()), (3, 1));

    // The keys of a limited grant open with the terms that were signed, which the grantee can ask for.
    let GrantTerms { compartments, kinds, purposes, window, .. } = notice.terms.clone();
    let window = Window { until: BlockTime(window.until.0 - 1), ..window };
    let accesses_max = Some(100);
    let grant = given.grant;
    let limit = GrantLimit { chart, grant, compartments, kinds, purposes, window, accesses_max };
    client.limit_grant(&holder, limit).await.unwrap();
    let at = (chart, grant);
    let (entry, accepted) =
        client.accept_grant(&reader, &clinician.sealing(), at, None).await.unwrap();
    assert!(entry.terms != notice.terms && accepted.iter().eq(seeds.iter()));
    assert!(client.rotate_lost(&holder, grant).await.unwrap().is_none(), "nothing was lost");

    // A revoked reader still has the seeds, and opens nothing.
    client.revoke_grant(&holder, given.grant).await.unwrap();
    // Whoever was cut off before the keys moved completes it by trying again, once.
    assert!(client.rotate_lost(&holder, grant).await.unwrap().is_some());
    assert!(client.rotate_lost(&holder, grant).await.unwrap().is_none());
    let refused = client.open(&opening).await;
    assert!(matches!(refused, Err(ClientError::Ledger(_))), "{refused:?}");
    let grants = client.grants(&holder.actor(), chart, audit.mark).await.unwrap();
    assert!(grants.len() == 1 && grants[0].entry.revoked_at.is_some());

    // A flipped byte names its custodian.
    assert!(flip(&path.join("node-0"), 60));
    let record = own.records.iter().find(|it| it.facts().sealed_bytes > 200_000).unwrap();
    let mut content = Vec::new();
    let report = client.read(&holder.actor(), record, &mut content).await.unwrap();
    assert_eq!(report.faults[0].custodian, nodes.organisations[0]);
    assert!(matches!(report.faults[0].problem, CustodyProblem::Chunk { index: 0 }));
    assert_eq!(content, contents[3]);
    let mut content = Vec::new();
    client.read_range(&holder.actor(), record, 299_000..300_000, &mut content).await.unwrap();
    assert_eq!(content, contents[3][299_000..]);

    // What one custodian cannot read, another one gives; and the first still gives the rest.
    spoil_capsule(&path.join("node-0"));
    let everything = What::Compartments(CompartmentSet::all(), None);
    let state = client.chart(&holder.actor(), chart).await.unwrap();
    let seeds = holder.seeds(&state, CompartmentSet::all());
    let purpose = Purpose::PatientRequest;
    let all = Opening { actor: &actor, chart, what: &everything, purpose, seeds: &seeds };
    let all = client.open(&all).await.unwrap();
    assert_eq!((all.records.len(), all.withheld.len()), (5, 0), "{:?}", all.withheld);

    // A challenge finds the custodian out; the other one still has the record.
    let ask = async |custodian| {
        client.challenge(&holder.actor(), chart, record.facts(), custodian).await.unwrap()
    };
    assert!(matches!(ask(nodes.organisations[0]).await, Challenged::HasNot(_)));
    assert!(matches!(ask(nodes.organisations[2]).await, Challenged::Has(_)));
    assert!(matches!(ask(nodes.organisations[1]).await, Challenged::HasNot(_)));

    // Anchors.
    let documents = path.join("documents");
    std::fs::create_dir_all(&documents).unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(documents.join(name), name).unwrap();
    }
    let (anchored, files) =
        client.anchor_folder(&author.actor(), &documents, |_, _, _| ()).await.unwrap();
    for (file, receipt) in files.iter().zip(anchored.receipts()) {
        let digest =
            keepwell_client::anchor::digest_of(&std::fs::read(file).unwrap()[..]).await.unwrap();
        receipt.verify(&nodes.genesis, &digest).unwrap();
    }

    // A record far larger than what may be held in memory passes through.
    let bytes = 100 * 1024 * 1024_u64;
    let before = memory_peak_kib();
    let content = tokio::io::AsyncReadExt::take(tokio::io::repeat(7), bytes);
    let authoring = client.authoring(&author.actor(), chart).await.unwrap();
    let new = NewRecord::new(normal, RecordKind::Imaging);
    client.add_record(&author.actor(), &authoring, &new, (content, bytes)).await.unwrap();
    let grown = memory_peak_kib() - before;
    // The two custodians and the nodes around them live in this process too.
    assert!(grown < 64 * 1024, "memory grew by {grown} KiB");
}

/// The most memory that this process ever held.
fn memory_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
