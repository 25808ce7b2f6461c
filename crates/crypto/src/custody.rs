//! Custody: a custodian's signed word that it has stored a sealed object durably.
//!
//! Not here: whether the signer is a custodian, and which one. The ledger checks the key.

use keepwell_types::{
    command::Command,
    encode,
    id::{PublicKey, RecordId, Signature, Version},
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd},
};

use crate::sign::{self, Claim, SignatureError, SigningKey};

const DOMAIN: &str = "keepwell/custody/statement/v1";

/// The version of a record that amends nothing.
pub const FIRST_VERSION: Version = Version(1);

/// The version that a `record.add` makes.
pub fn version_of(add: &RecordAdd) -> Version {
    add.amends.map_or(FIRST_VERSION, |amended| amended.version)
}

/// Signs a statement with the custodian's key.
pub fn sign_custody(key: &SigningKey, statement: &CustodyStatement) -> Signature {
    key.sign(DOMAIN, &encode(statement))
}

/// Verifies that `key` signed the statement.
pub fn verify_custody(
    key: &PublicKey,
    statement: &CustodyStatement,
    signature: &Signature,
) -> Result<(), SignatureError> {
    sign::verify(key, DOMAIN, &encode(statement), signature)
}

/// The claim behind one acknowledgement in a `record.add`.
pub(crate) fn claim(
    command: &Command,
    add: &RecordAdd,
    record: RecordId,
    acknowledgement: &CustodyAcknowledgement,
) -> Claim {
    let statement = CustodyStatement {
        chain: command.chain,
        custodian: acknowledgement.custodian,
        record,
        version: version_of(add),
        commitment: add.commitment,
        sealed_bytes: add.sealed_bytes,
        until: acknowledgement.until,
    };
    Claim {
        key: acknowledgement.key,
        digest: sign::signed_digest(DOMAIN, &encode(&statement)),
        signature: acknowledgement.signature,
    }
}
