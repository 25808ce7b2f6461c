//! Acknowledgements: the custodian's signed word that it has a sealed object.
//!
//! # Invariants
//!
//! * Nothing is acknowledged that is not durable: [`acknowledge`] takes a [`Durable`], and only storing
//!   makes one.

use keepwell_crypto::{custody::sign_custody, sign::SigningKey};
use keepwell_types::{
    id::{ChainId, Commitment, OrganisationId},
    record::{CustodyAcknowledgement, CustodyStatement},
};

use super::store::RecordObject;

/// A sealed object that is stored durably: body and capsule, which fit each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    pub(super) object: RecordObject,
    pub(super) commitment: Commitment,
    pub(super) sealed_bytes: u64,
}

/// Signs that `custodian` has stored the object.
pub fn acknowledge(
    key: &SigningKey,
    chain: ChainId,
    custodian: OrganisationId,
    stored: &Durable,
) -> CustodyAcknowledgement {
    let statement = CustodyStatement {
        chain,
        custodian,
        record: stored.object.record,
        version: stored.object.version,
        commitment: stored.commitment,
        sealed_bytes: stored.sealed_bytes,
    };
    CustodyAcknowledgement {
        custodian,
        key: key.public(),
        signature: sign_custody(key, &statement),
    }
}
