//! Credentials: what a licensing board says that a member may do.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::Text,
    id::{CredentialId, Digest, MemberId},
    limits::CREDENTIAL_SCOPE_BYTES_MAX,
    set::vocabulary,
    time::Window,
};

vocabulary! {
    /// What a credential is about.
    CredentialKind {
        /// May practise.
        Licence = 0, "licence";
        /// Is a specialist.
        Specialty = 1, "specialty";
        /// May prescribe controlled substances.
        ControlledSubstance = 2, "controlled_substance";
    }
}

/// `credential.issue`: signed by a licensor of a licensing board.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CredentialIssue {
    /// Whose it is.
    #[n(0)]
    pub member: MemberId,
    /// The new credential.
    #[n(1)]
    pub credential: CredentialId,
    /// What it is about.
    #[n(2)]
    pub kind: CredentialKind,
    /// Where or for what it holds, as the board publishes it: `US-CA`, or the code of a specialty.
    #[n(3)]
    pub scope: Text<CREDENTIAL_SCOPE_BYTES_MAX>,
    /// When it holds.
    #[n(4)]
    pub window: Window,
    /// Digest of the credential as its holder has it.
    #[n(5)]
    pub evidence: Digest,
}

/// `credential.suspend`, `credential.reinstate` and `credential.revoke`: signed by a licensor of the board
/// that issued it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CredentialStanding {
    /// Whose it is.
    #[n(0)]
    pub member: MemberId,
    /// The credential.
    #[n(1)]
    pub credential: CredentialId,
}
