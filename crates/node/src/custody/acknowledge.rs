//! Acknowledgements: the custodian's signed word that it has a sealed object.
//!
//! # Invariants
//!
//! * Nothing is acknowledged that is not durable: [`acknowledge`] takes a [`Durable`], and only storing
//!   makes one.
//! * Nothing is promised for longer than it is kept: the ledger takes no acknowledgement after its end,
//!   and the object stays for another [`MARGIN_MS`], so that the entry is seen before it is deleted.

use keepwell_crypto::{custody::sign_custody, sign::SigningKey};
use keepwell_types::{
    id::{ChainId, Commitment, OrganisationId},
    record::{CustodyAcknowledgement, CustodyStatement},
    time::BlockTime,
};

use super::{UNNAMED_MS_MAX, pending::PendingRecord, store::RecordObject};

/// How much earlier a promise ends than the object is deleted, in milliseconds.
const MARGIN_MS: u64 = 60 * 60 * 1_000;

/// The end of the promise to keep an object that waits on this line. One without a line is kept.
pub(super) fn kept_until(line: Option<&PendingRecord>) -> BlockTime {
    line.map_or(BlockTime(u64::MAX), |line| line.since.plus_ms(UNNAMED_MS_MAX - MARGIN_MS))
}

/// A sealed object that is stored durably: body and capsule, which fit each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Durable {
    pub(super) object: RecordObject,
    pub(super) commitment: Commitment,
    pub(super) sealed_bytes: u64,
    /// See [`CustodyStatement::until`].
    pub(super) until: BlockTime,
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
        until: stored.until,
    };
    CustodyAcknowledgement {
        custodian,
        key: key.public(),
        signature: sign_custody(key, &statement),
        until: stored.until,
    }
}
