//! Commands: what a signer asks of the ledger.
//!
//! ```text
//! SignedCommand = [command, [signature, ...]]        signatures[i] is by command.signers[i]
//! Command       = [version, chain, id, window, [signer, ...], payload]
//! ```
//!
//! A command is single-use: its random id is remembered until its window has passed, and after that
//! the window refuses it. So a busy signer is never serialised, and nothing is remembered for ever.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::AccessOpen,
    anchor::AnchorAdd,
    chart::{ChartArrange, ChartClaim, ChartOpen, CompartmentRotate},
    encoding::{DecodeError, List},
    grant::{GrantGive, GrantLimit, GrantRevoke},
    id::{ChainId, ChartId, CommandId, PublicKey, Signature, Suite},
    limits::{COMMAND_BYTES_MAX, SIGNERS_MAX},
    member::{
        MemberAssign, MemberEnrol, MemberRotate, MemberStanding, OrganisationAdmit,
        OrganisationStanding, Party,
    },
    record::{RecordAdd, RecordApprove},
    time::Window,
};

/// The one version of commands.
pub const COMMAND_VERSION: u8 = 1;

/// What is asked, one variant for each command of each family.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Admit an organisation.
    #[n(0)]
    OrganisationAdmit(#[n(0)] OrganisationAdmit),
    /// Suspend an organisation.
    #[n(1)]
    OrganisationSuspend(#[n(0)] OrganisationStanding),
    /// Reinstate an organisation.
    #[n(2)]
    OrganisationReinstate(#[n(0)] OrganisationStanding),
    /// Enrol a member.
    #[n(3)]
    MemberEnrol(#[n(0)] MemberEnrol),
    /// Change a member's keys.
    #[n(4)]
    MemberRotate(#[n(0)] MemberRotate),
    /// Change a member's roles.
    #[n(5)]
    MemberAssign(#[n(0)] MemberAssign),
    /// Suspend a member.
    #[n(6)]
    MemberSuspend(#[n(0)] MemberStanding),
    /// Reinstate a member.
    #[n(7)]
    MemberReinstate(#[n(0)] MemberStanding),
    /// Open a chart.
    #[n(8)]
    ChartOpen(#[n(0)] ChartOpen),
    /// Claim a chart.
    #[n(9)]
    ChartClaim(#[n(0)] ChartClaim),
    /// Say who stores and writes a chart.
    #[n(10)]
    ChartArrange(#[n(0)] ChartArrange),
    /// Move compartments to their next epoch.
    #[n(11)]
    CompartmentRotate(#[n(0)] CompartmentRotate),
    /// Add a record.
    #[n(12)]
    RecordAdd(#[n(0)] RecordAdd),
    /// Approve a proposed record.
    #[n(13)]
    RecordApprove(#[n(0)] RecordApprove),
    /// Give a grant.
    #[n(14)]
    GrantGive(#[n(0)] GrantGive),
    /// Limit a grant.
    #[n(15)]
    GrantLimit(#[n(0)] GrantLimit),
    /// Revoke a grant.
    #[n(16)]
    GrantRevoke(#[n(0)] GrantRevoke),
    /// Open records.
    #[n(17)]
    AccessOpen(#[n(0)] AccessOpen),
    /// Anchor documents.
    #[n(18)]
    AnchorAdd(#[n(0)] AnchorAdd),
}

impl Payload {
    /// The chart that the command touches, if it touches one.
    pub const fn chart(&self) -> Option<ChartId> {
        match self {
            Self::OrganisationAdmit(_)
            | Self::OrganisationSuspend(_)
            | Self::OrganisationReinstate(_)
            | Self::MemberEnrol(_)
            | Self::MemberRotate(_)
            | Self::MemberAssign(_)
            | Self::MemberSuspend(_)
            | Self::MemberReinstate(_)
            | Self::AnchorAdd(_) => None,
            Self::ChartOpen(it) => Some(it.chart),
            Self::ChartClaim(it) => Some(it.chart),
            Self::ChartArrange(it) => Some(it.chart),
            Self::CompartmentRotate(it) => Some(it.chart),
            Self::RecordAdd(it) => Some(it.chart),
            Self::RecordApprove(it) => Some(it.chart),
            Self::GrantGive(it) => Some(it.chart),
            Self::GrantLimit(it) => Some(it.chart),
            Self::GrantRevoke(it) => Some(it.chart),
            Self::AccessOpen(it) => Some(it.chart),
        }
    }

    /// The command's name, as the documents and the interfaces write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OrganisationAdmit(_) => "organisation.admit",
            Self::OrganisationSuspend(_) => "organisation.suspend",
            Self::OrganisationReinstate(_) => "organisation.reinstate",
            Self::MemberEnrol(_) => "member.enrol",
            Self::MemberRotate(_) => "member.rotate",
            Self::MemberAssign(_) => "member.assign",
            Self::MemberSuspend(_) => "member.suspend",
            Self::MemberReinstate(_) => "member.reinstate",
            Self::ChartOpen(_) => "chart.open",
            Self::ChartClaim(_) => "chart.claim",
            Self::ChartArrange(_) => "chart.arrange",
            Self::CompartmentRotate(_) => "compartment.rotate",
            Self::RecordAdd(_) => "record.add",
            Self::RecordApprove(_) => "record.approve",
            Self::GrantGive(_) => "grant.give",
            Self::GrantLimit(_) => "grant.limit",
            Self::GrantRevoke(_) => "grant.revoke",
            Self::AccessOpen(_) => "access.open",
            Self::AnchorAdd(_) => "anchor.add",
        }
    }
}

/// What is signed.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Command {
    /// [`COMMAND_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium it is for.
    #[n(1)]
    pub chain: ChainId,
    /// Random, and used once.
    #[n(2)]
    pub id: CommandId,
    /// Block times at which it may be decided; at most ten minutes.
    #[n(3)]
    pub window: Window,
    /// Who signs: first whoever acts, then whoever else the command needs.
    #[n(4)]
    pub signers: List<Party, SIGNERS_MAX>,
    /// What is asked.
    #[n(5)]
    pub payload: Payload,
}

/// One signer's signature over a command.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CommandSignature {
    /// The algorithms.
    #[n(0)]
    pub suite: Suite,
    /// The key. The ledger checks that it is the signer's at the height of execution.
    #[n(1)]
    pub key: PublicKey,
    /// The signature over the command's digest.
    #[n(2)]
    pub signature: Signature,
}

/// A command with the signatures of its signers, in their order.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SignedCommand {
    /// What is signed.
    #[n(0)]
    pub command: Command,
    /// By whom.
    #[n(1)]
    pub signatures: List<CommandSignature, SIGNERS_MAX>,
}

impl SignedCommand {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, COMMAND_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }
}

/// What a block carries: entries of the genesis file in block 1, signed commands after it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An entry of the genesis file, authorised by everyone who accepts that file.
    #[n(0)]
    Genesis(#[n(0)] Payload),
    /// A signed command.
    #[n(1)]
    Signed(#[n(0)] SignedCommand),
}

impl Entry {
    /// What is asked.
    pub const fn payload(&self) -> &Payload {
        match self {
            Self::Genesis(payload) => payload,
            Self::Signed(signed) => &signed.command.payload,
        }
    }
}
