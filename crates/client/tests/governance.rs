//! Motions and new keys, against four real nodes in one process: what each client can prove of them, and who is
//! answered.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use common::consortium::{self, Consortium as Nodes};
use keepwell_client::{
    governance::{administrators, approving},
    identity::{AdministratorIdentity, MemberIdentity},
};
use keepwell_types::{
    command::Payload,
    member::{MemberEnrol, MemberRotate, OrganisationRotate, OrganisationStanding, Role},
    motion::Act,
    outcome::Rejection,
    set::RoleSet,
};
use support::{actor, client, refused};

#[track_caller]
#[test]
fn organisations_decide_by_motions_and_change_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        govern(&nodes).await;
        nodes.stop().await;
    });
}

async fn govern(nodes: &Nodes) {
    let client = client(nodes);
    let own: Vec<_> = nodes.administrators.iter().map(actor).collect();
    let [hospital, .., last] = nodes.organisations[..] else { panic!("there are four") };

    // A member whose key changes is answered with both, and then with the new one alone.
    let identity = MemberIdentity::generate(nodes.chain, hospital);
    let enrol = MemberEnrol {
        member: identity.member(),
        organisation: hospital,
        signing: identity.signing_public(),
        sealing: identity.sealing_digest(),
        roles: RoleSet::EMPTY.with(Role::Registrar),
    };
    client.command(&own[0], Payload::MemberEnrol(enrol)).await.unwrap();
    let renewed = identity.renewed();
    assert_eq!(renewed.sealing_digest(), identity.sealing_digest());
    let rotate = |overlap_until| {
        Payload::MemberRotate(MemberRotate {
            member: renewed.member(),
            signing: renewed.signing_public(),
            sealing: renewed.sealing_digest(),
            overlap_until,
        })
    };
    let week = consortium::now().plus_ms(7 * 24 * 60 * 60 * 1_000);
    let (old, new) = (identity.actor(), renewed.actor());
    client.administer(&[&own[0], &new], rotate(Some(week))).await.unwrap();
    for actor in [&old, &new] {
        client.member(actor, renewed.member()).await.unwrap();
    }
    client.administer(&[&own[0], &new], rotate(None)).await.unwrap();
    assert!(client.member(&old, renewed.member()).await.is_err());
    client.member(&new, renewed.member()).await.unwrap();

    // Two administrators, both of whom must sign.
    let second = AdministratorIdentity::generate(hospital);
    let keys = vec![nodes.administrators[0].key.public(), second.public()];
    let rotate = Payload::OrganisationRotate(OrganisationRotate {
        organisation: hospital,
        administrators: administrators(keys, 2).unwrap(),
        custodian: client.organisation(&own[0], hospital).await.unwrap().custodian,
        overlap_until: None,
    });
    client.administer(&[&own[0]], rotate.clone()).await.unwrap();
    let alone = refused(client.administer(&[&own[0]], rotate.clone()).await);
    assert_eq!(alone, Rejection::TooFewAdministrators { signed: 1, needed: 2 });
    client.administer(&[&own[0], &second.actor()], rotate).await.unwrap();

    // A motion: three of four, of the hospital both.
    let act = Act::Expel(OrganisationStanding { organisation: last });
    let until = consortium::now().plus_ms(60 * 60 * 1_000);
    let moved = client.open_motion(&own[1], act.clone(), until).await.unwrap();
    let id = moved.motion;
    assert_eq!(moved.waits.unwrap().approvals.len(), 1);
    for administrator in [&own[0], &own[2]] {
        let moved = client.approve_motion(administrator, id, act.clone()).await.unwrap();
        assert!(moved.waits.is_some());
    }
    let listed = client.motions_of(&own[0], nodes.organisations[1]).await.unwrap();
    let [(listed, motion)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((listed, &motion.act), (&id, &act));
    let mut entries = Vec::new();
    for organisation in &nodes.organisations {
        entries.push((*organisation, client.organisation(&new, *organisation).await.unwrap()));
    }
    let of = |id| entries.iter().find(|(it, _)| *it == id).map(|(_, entry)| entry.clone());
    let approved = approving(motion, of, consortium::now());
    assert_eq!(approved, [nodes.organisations[1], nodes.organisations[2]]);
    let moved = client.approve_motion(&second.actor(), id, act).await.unwrap();
    assert!(moved.waits.is_none());
    assert_eq!(client.motion(&new, id).await.unwrap(), None);
    let list = client.organisations(&new).await.unwrap();
    assert!(!list.all.contains(&last));
    assert!(client.organisations(&own[3]).await.is_err(), "who was expelled is answered nothing");
}
