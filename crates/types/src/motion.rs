//! Motions: what the consortium's administrators decide without signing one command together.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    id::MotionId,
    member::{OrganisationAdmit, OrganisationRotate, OrganisationStanding},
    protocol::Upgrade,
    time::BlockTime,
    validators::Change,
};

/// What is moved: one of the commands that organisations decide together.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Admit an organisation.
    #[n(0)]
    Admit(#[n(0)] OrganisationAdmit),
    /// Suspend one.
    #[n(1)]
    Suspend(#[n(0)] OrganisationStanding),
    /// Reinstate one.
    #[n(2)]
    Reinstate(#[n(0)] OrganisationStanding),
    /// Expel one, for good.
    #[n(3)]
    Expel(#[n(0)] OrganisationStanding),
    /// Give one new keys.
    #[n(4)]
    Rotate(#[n(0)] OrganisationRotate),
    /// Change who validates, or have them deal their shares anew.
    #[n(5)]
    Change(#[n(0)] Change),
    /// Have the rules of the next version of the protocol hold from a block on.
    #[n(6)]
    Upgrade(#[n(0)] Upgrade),
}

/// `motion.open`: signed by one administrator, which is its first approval.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MotionOpen {
    /// The new motion.
    #[n(0)]
    pub motion: MotionId,
    /// What is moved.
    #[n(1)]
    pub act: Act,
    /// First instant at which it waits no more.
    #[n(2)]
    pub until: BlockTime,
}

/// `motion.approve`: signed by one administrator. What is moved happens with the approval that is enough.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MotionApprove {
    /// The motion.
    #[n(0)]
    pub motion: MotionId,
    /// What is approved: the signature is for nothing else.
    #[n(1)]
    pub act: Act,
}

/// `motion.withdraw`: signed by an administrator of the organisation that made it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MotionWithdraw {
    /// The motion.
    #[n(0)]
    pub motion: MotionId,
}
