//! Guardians of a chart, and recoveries: how a chart comes to new keys when the old ones are lost.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    chart::ChartKeys,
    encoding::List,
    id::{ChartId, Digest, Epoch, LogPosition, MemberId, PublicKey},
    limits::{COMPARTMENTS, GUARDIAN_GROUPS_MAX, GUARDIANS_MAX},
    set::vocabulary,
};

/// One who has a say in a recovery.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Guardian {
    /// A key that its holder made for this chart alone: nothing tells whose it is.
    #[n(0)]
    Key(#[n(0)] PublicKey),
    /// A member, such as an institution's officer, who has no say while suspended.
    #[n(1)]
    Member(#[n(0)] MemberId),
}

/// Guardians of whom so many are needed.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GuardianGroup {
    /// Each once, over all groups of a policy.
    #[n(0)]
    pub guardians: List<Guardian, GUARDIANS_MAX>,
    /// How many of them must approve.
    #[n(1)]
    pub approvals_min: u8,
}

/// Whose approvals let a chart come to new keys: some groups, and in each of them some guardians.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GuardianPolicy {
    /// The groups.
    #[n(0)]
    pub groups: List<GuardianGroup, GUARDIAN_GROUPS_MAX>,
    /// How many of them must have approved: all for "and", one for "or".
    #[n(1)]
    pub groups_min: u8,
    /// The key to which alone the chart goes when its patient has died.
    #[n(2)]
    pub executor: Option<PublicKey>,
}

/// A guardian's place in a policy.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GuardianPlace {
    /// Its group.
    #[n(0)]
    pub group: u8,
    /// Its place in the group.
    #[n(1)]
    pub place: u8,
}

impl GuardianPolicy {
    /// Where a guardian stands, if it is one.
    pub fn place_of(&self, guardian: &Guardian) -> Option<GuardianPlace> {
        (0..).zip(self.groups.iter()).find_map(|(group, it)| {
            let place = it.guardians.iter().position(|known| known == guardian)?;
            Some(GuardianPlace { group, place: u8::try_from(place).ok()? })
        })
    }

    /// Who stands at a place.
    pub fn guardian_at(&self, at: GuardianPlace) -> Option<Guardian> {
        self.groups.get(usize::from(at.group))?.guardians.get(usize::from(at.place)).copied()
    }

    /// Whether the guardians at these places, each there once, are enough.
    pub fn is_met_by(&self, places: &[GuardianPlace]) -> bool {
        let met = |(group, it): &(u8, &GuardianGroup)| {
            let approvals = places.iter().filter(|at| at.group == *group).count();
            approvals >= usize::from(it.approvals_min)
        };
        (0..).zip(self.groups.iter()).filter(met).count() >= usize::from(self.groups_min)
    }

    /// Whether it can be met at all, and names nobody twice.
    pub fn is_sound(&self) -> bool {
        let all = || self.groups.iter().flat_map(|group| group.guardians.iter());
        let once = all().enumerate().all(|(place, it)| !all().take(place).any(|other| other == it));
        let within = |min: u8, of: usize| min > 0 && usize::from(min) <= of;
        once && all().count() <= GUARDIANS_MAX
            && within(self.groups_min, self.groups.len())
            && self.groups.iter().all(|it| within(it.approvals_min, it.guardians.len()))
    }
}

/// `guardian.set`: the controller says who guards the chart, in the place of those before. Recoveries that
/// have begun end.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GuardianSet {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Who; nobody if it has no groups.
    #[n(1)]
    pub policy: GuardianPolicy,
    /// Digest of what opens the chart's compartments, shared out among the guardians and sealed to each.
    #[n(2)]
    pub escrow: Digest,
}

vocabulary! {
    /// Why a chart is to come to new keys.
    RecoveryGround {
        /// The patient's keys are lost.
        Lost = 0, "lost";
        /// The patient has died.
        Death = 1, "death";
    }
}

/// `recovery.start`: a guardian vouches for whoever holds a new key. It counts as that guardian's approval.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryStart {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Why.
    #[n(1)]
    pub ground: RecoveryGround,
    /// The new signing key.
    #[n(2)]
    pub successor: PublicKey,
    /// Digest of the X-Wing key to which the shares are sealed.
    #[n(3)]
    pub sealing: Digest,
    /// Digest of the guardian's share, sealed to that key.
    #[n(4)]
    pub share: Digest,
}

/// `recovery.approve`: another guardian vouches for the same.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryApprove {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Where the recovery was started in the chart's log, which names it.
    #[n(1)]
    pub recovery: LogPosition,
    /// The new signing key, so that what is signed says for whom.
    #[n(2)]
    pub successor: PublicKey,
    /// Digest of the guardian's share, sealed to the successor.
    #[n(3)]
    pub share: Digest,
}

/// `recovery.withdraw`: a guardian takes its approval back; of whoever started it, that ends the recovery.
/// `recovery.veto`: the controller ends it.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryEnd {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The recovery.
    #[n(1)]
    pub recovery: LogPosition,
}

/// `recovery.finish`: the successor takes control. Signed by the new key; every compartment moves to its next
/// epoch.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecoveryFinish {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The recovery.
    #[n(1)]
    pub recovery: LogPosition,
    /// The successor's keys.
    #[n(2)]
    pub keys: ChartKeys,
    /// Root of the key sheet that these take the place of: with another one, the epochs are others.
    #[n(3)]
    pub replaces: Digest,
    /// The epochs that these follow, of each compartment.
    #[n(4)]
    pub epochs: [Epoch; COMPARTMENTS],
}
