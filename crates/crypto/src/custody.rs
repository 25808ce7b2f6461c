//! Custody: a custodian's signed word that it has stored a sealed object durably, and what it finds when it
//! is asked again.
//!
//! Not here: whether the signer is a custodian, and which one. The ledger checks the key.

use keepwell_types::{
    challenge::{Finding, Shown},
    command::Command,
    encode,
    id::{BlockId, Digest, PublicKey, RecordId, Signature, Version},
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd},
};

use crate::{
    hash::digest,
    sign::{self, Claim, SignatureError, SigningKey},
};

const DOMAIN: &str = "keepwell/custody/statement/v1";
const FINDING_DOMAIN: &str = "keepwell/custody/finding/v1";

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

/// The leaf that a block chooses, of a body of `leaves`: of the digest of the question the first 8 bytes,
/// which of so few leaves favour none noticeably.
///
/// # Panics
///
/// If there are no leaves: every body has one.
pub fn chosen_leaf(question: &Finding, leaves: u64) -> u64 {
    let Finding { chain, custodian, chart, record, version, block: BlockId(block), shown: _ } =
        question;
    let parts: [&[u8]; 6] =
        [&chain.0, &custodian.0, &chart.0, &record.0, &version.0.to_le_bytes(), block];
    let [a, b, c, d, e, f, g, h, ..] = digest("keepwell/custody/challenge/v1", &parts).0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).checked_rem(leaves).expect("every body has a leaf")
}

/// What a finding says of what is shown.
pub fn shown_digest(shown: &Shown) -> Digest {
    digest("keepwell/custody/shown/v1", &[&encode(shown)])
}

/// Signs a finding with the custodian's key.
pub fn sign_finding(key: &SigningKey, finding: &Finding) -> Signature {
    key.sign(FINDING_DOMAIN, &encode(finding))
}

/// Verifies that `key` signed the finding.
pub fn verify_finding(
    key: &PublicKey,
    finding: &Finding,
    signature: &Signature,
) -> Result<(), SignatureError> {
    sign::verify(key, FINDING_DOMAIN, &encode(finding), signature)
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
