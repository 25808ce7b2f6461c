//! Public keys of members: handed to nodes by whoever has them, fetched by whoever seals to them.
//!
//! Not here: trust in what a node hands out. The ledger has each key's digest.

use keepwell_crypto::seal::SealingPublic;
use keepwell_types::{chart::COMPARTMENT_KEY_BYTES, id::MemberId};
use reqwest::Method;

use crate::{
    Client,
    error::{ClientError, UsageError},
    identity::Actor,
    node::Ask,
};

/// Bytes of an answer that has none.
const NOTHING_BYTES_MAX: usize = 1_024;

impl Client {
    /// Hands a member's public key to every node that takes it. Signed by the member or its administrator.
    pub async fn publish_member_key(
        &self,
        actor: &Actor,
        member: MemberId,
        key: &SealingPublic,
    ) -> Result<(), ClientError> {
        let target = format!("/v1/members/{member}/key");
        let bytes = key.to_bytes().to_vec();
        let ask = Ask::with_body(Method::PUT, target, Some(actor), bytes, NOTHING_BYTES_MAX);
        let mut refused = Vec::new();
        let mut taken = false;
        for node in self.nodes().endpoints() {
            match self.nodes().ask(node, &ask).await {
                Ok(_) => taken = true,
                Err(error) => refused.push(ClientError::from(error)),
            }
        }
        if taken { Ok(()) } else { Err(ClientError::NoNode(refused)) }
    }

    /// The public key of a member, as the ledger's digest proves it, if a node has it.
    pub async fn member_key(
        &self,
        actor: &Actor,
        member: MemberId,
    ) -> Result<SealingPublic, ClientError> {
        let digest = self.member(actor, member).await?.sealing;
        let target = format!("/v1/members/{member}/key");
        let ask = Ask::get(target, Some(actor), COMPARTMENT_KEY_BYTES);
        for node in self.nodes().endpoints() {
            let Ok(bytes) = self.nodes().ask(node, &ask).await else { continue };
            match SealingPublic::from_bytes(&bytes) {
                Ok(key) if key.digest() == digest => return Ok(key),
                Ok(_) | Err(_) => {}
            }
        }
        Err(UsageError::NoMemberKey(member).into())
    }
}
