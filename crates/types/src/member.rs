//! Organisations, and the people and devices that act for them.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{List, Text},
    id::{ChartId, Digest, GroupId, MemberId, OrganisationId, ProxyId, PublicKey},
    limits::{ADMINISTRATORS_MAX, MEMBER_GROUPS_MAX, NAME_BYTES_MAX},
    set::{PurposeSet, RoleSet, vocabulary},
    time::BlockTime,
};

vocabulary! {
    /// What an organisation is.
    OrganisationKind {
        /// A hospital or practice.
        Hospital = 0, "hospital";
        /// A telehealth clinic.
        Clinic = 1, "clinic";
        /// A laboratory.
        Laboratory = 2, "laboratory";
        /// A pharmacy.
        Pharmacy = 3, "pharmacy";
        /// An insurer.
        Insurer = 4, "insurer";
        /// A manufacturer.
        Manufacturer = 5, "manufacturer";
        /// A licensing board.
        LicensingBoard = 6, "licensing_board";
        /// A research sponsor.
        Sponsor = 7, "sponsor";
        /// An emergency trustee.
        Trustee = 8, "trustee";
    }
}

vocabulary! {
    /// What a member does in its organisation.
    Role {
        /// Treats patients.
        Clinician = 0, "clinician";
        /// Nurses.
        Nurse = 1, "nurse";
        /// Dispenses.
        Pharmacist = 2, "pharmacist";
        /// Makes and signs results.
        LaboratoryScientist = 3, "laboratory_scientist";
        /// Opens charts and admits patients.
        Registrar = 4, "registrar";
        /// Assesses claims.
        ClaimsAssessor = 5, "claims_assessor";
        /// Answers for privacy.
        PrivacyOfficer = 6, "privacy_officer";
        /// A device that holds keys for charts without a wallet and for groups.
        KeyAgent = 7, "key_agent";
        /// A device that writes what other systems send.
        Gateway = 8, "gateway";
        /// Researches.
        Researcher = 9, "researcher";
        /// Audits.
        Auditor = 10, "auditor";
        /// Issues and withdraws credentials for a licensing board.
        Licensor = 11, "licensor";
    }
}

/// Who signs.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A member, with its own key.
    #[n(0)]
    Member(#[n(0)] MemberId),
    /// Whoever controls a chart, with the chart's key.
    #[n(1)]
    Controller(#[n(0)] ChartId),
    /// Whoever holds the one-time code of a chart.
    #[n(2)]
    Claimant(#[n(0)] ChartId),
    /// An administrator of an organisation; several sign for it where it needs several.
    #[n(3)]
    Administrator(#[n(0)] OrganisationId),
    /// What keeps sealed objects for an organisation.
    #[n(4)]
    Custodian(#[n(0)] OrganisationId),
    /// Whoever acts for a chart's patient, with a key made for this chart.
    #[n(10)]
    Proxy(#[n(0)] ChartId, #[n(1)] ProxyId),
    /// A guardian of a chart, with a key made for this chart.
    #[n(11)]
    Guardian(#[n(0)] ChartId),
    /// Whoever is to control a chart after a recovery, with the new key.
    #[n(12)]
    Successor(#[n(0)] ChartId),
    /// A validator of an organisation, or one that is to be, with its release key.
    #[n(13)]
    Validator(#[n(0)] OrganisationId),
}

/// Who speaks for an organisation: some of these keys together.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Administrators {
    /// Their keys.
    #[n(0)]
    pub keys: List<PublicKey, ADMINISTRATORS_MAX>,
    /// How many of them must sign.
    #[n(1)]
    pub needed: u32,
}

impl Administrators {
    /// One key alone.
    pub fn one(key: PublicKey) -> Self {
        Self { keys: List::from_vec([key].into()).expect("one is within the limit"), needed: 1 }
    }

    /// Whether enough of them can sign, and one signature is never enough for two.
    pub fn are_sound(&self) -> bool {
        let twice = |place: usize, key: &PublicKey| self.keys[..place].contains(key);
        let distinct = !self.keys.iter().enumerate().any(|(place, key)| twice(place, key));
        distinct && self.needed > 0 && self.needed as usize <= self.keys.len()
    }
}

/// `organisation.admit`: signed by the administrators of more than two thirds of the organisations.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct OrganisationAdmit {
    /// The new organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// What it is.
    #[n(1)]
    pub kind: OrganisationKind,
    /// Its public name.
    #[n(2)]
    pub name: Text<NAME_BYTES_MAX>,
    /// Verify its administrators.
    #[n(3)]
    pub administrators: Administrators,
    /// Verifies its acknowledgements of custody, if it is a custodian.
    #[n(4)]
    pub custodian: Option<PublicKey>,
}

/// `organisation.rotate`: new keys of an organisation. Signed by its administrators, or as
/// `organisation.admit` is if too few of them have their keys.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct OrganisationRotate {
    /// The organisation.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Verify its administrators from now on.
    #[n(1)]
    pub administrators: Administrators,
    /// Verifies its acknowledgements of custody from now on.
    #[n(2)]
    pub custodian: Option<PublicKey>,
    /// First instant at which the keys so far count no more; without it, that is now.
    #[n(3)]
    pub overlap_until: Option<BlockTime>,
}

/// `organisation.suspend`, `organisation.reinstate` and `organisation.expel`: signed as
/// `organisation.admit` is.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct OrganisationStanding {
    /// The organisation.
    #[n(0)]
    pub organisation: OrganisationId,
}

/// `member.enrol`: signed by the administrator of the member's organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MemberEnrol {
    /// The new member.
    #[n(0)]
    pub member: MemberId,
    /// Whose member it is, for good.
    #[n(1)]
    pub organisation: OrganisationId,
    /// Verifies its commands.
    #[n(2)]
    pub signing: PublicKey,
    /// Digest of the X-Wing key to which things for it are sealed.
    #[n(3)]
    pub sealing: Digest,
    /// What it does.
    #[n(4)]
    pub roles: RoleSet,
}

/// `member.rotate`: new keys for a member. Signed by the administrator and by the new signing key.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MemberRotate {
    /// The member.
    #[n(0)]
    pub member: MemberId,
    /// Verifies its commands from now on.
    #[n(1)]
    pub signing: PublicKey,
    /// Digest of its new X-Wing key.
    #[n(2)]
    pub sealing: Digest,
    /// First instant at which the signing key so far counts no more; without it, that is now.
    #[n(3)]
    pub overlap_until: Option<BlockTime>,
}

/// `member.assign`: other roles and groups. Signed by the administrator.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MemberAssign {
    /// The member.
    #[n(0)]
    pub member: MemberId,
    /// What it does from now on.
    #[n(1)]
    pub roles: RoleSet,
    /// The groups of its organisation that it is in from now on.
    #[n(2)]
    pub groups: List<GroupId, MEMBER_GROUPS_MAX>,
}

/// `group.form`: a group of members for a purpose, such as a tumour board. Signed by the organisation's
/// administrator.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct GroupForm {
    /// The new group.
    #[n(0)]
    pub group: GroupId,
    /// Whose group it is, for good.
    #[n(1)]
    pub organisation: OrganisationId,
    /// The purposes that it reads for, for good: patients rely on them.
    #[n(2)]
    pub purposes: PurposeSet,
}

/// `member.suspend` and `member.reinstate`: signed by the administrator.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MemberStanding {
    /// The member.
    #[n(0)]
    pub member: MemberId,
}
