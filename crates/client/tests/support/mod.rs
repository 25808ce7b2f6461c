//! A client of a running consortium, and members of it.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fmt::Debug, sync::Arc};

use keepwell_client::{
    Client, ClientError, Consortium,
    error::LedgerError,
    identity::{Actor, MemberIdentity, Unlock},
    node::Endpoint,
};
use keepwell_types::{
    command::Payload,
    id::OrganisationId,
    member::{MemberEnrol, Role},
    outcome::Rejection,
    set::RoleSet,
};
use zeroize::Zeroizing;

use crate::common::consortium::{Consortium as Nodes, Person};

/// What unlocks every key file of a test.
pub fn unlock() -> Unlock {
    Unlock::OperatorKey(Zeroizing::new([1; 32]))
}

/// Asks all nodes.
pub fn client(nodes: &Nodes) -> Client {
    let consortium = Arc::new(Consortium::new(nodes.genesis.clone()).unwrap());
    let endpoints = nodes
        .urls
        .iter()
        .zip(&nodes.organisations)
        .map(|(url, organisation)| Endpoint { organisation: *organisation, url: url.clone() })
        .collect();
    Client::new(consortium, endpoints, None).unwrap()
}

/// Signs as a person of the consortium's.
pub fn actor(person: &Person) -> Actor {
    Actor::new(person.party, person.key.clone())
}

/// Enrols a member of the organisation of a node, and publishes its key.
pub async fn enrol(client: &Client, nodes: &Nodes, at: usize, roles: &[Role]) -> MemberIdentity {
    enrol_at(client, nodes.organisations[at], &nodes.administrators[at], roles).await
}

/// The same, of any organisation.
pub async fn enrol_at(
    client: &Client,
    organisation: OrganisationId,
    administrator: &Person,
    roles: &[Role],
) -> MemberIdentity {
    let identity = MemberIdentity::generate(client.consortium().chain(), organisation);
    let payload = Payload::MemberEnrol(MemberEnrol {
        member: identity.member(),
        organisation,
        signing: identity.signing_public(),
        sealing: identity.sealing_digest(),
        roles: RoleSet::from_iter(roles.iter().copied()),
    });
    let administrator = actor(administrator);
    client.command(&administrator, payload).await.unwrap();
    let (member, key) = (identity.member(), identity.sealing_public());
    client.publish_member_key(&administrator, member, &key).await.unwrap();
    identity
}

/// Why the ledger refused it, as it must have.
#[track_caller]
pub fn refused<T: Debug>(result: Result<T, ClientError>) -> Rejection {
    match result {
        Err(ClientError::Ledger(LedgerError::Rejected { rejection, .. })) => rejection,
        other => panic!("{other:?}"),
    }
}
