//! Records: what is sealed, where it is kept, and who must approve it.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::RecordName,
    encoding::List,
    id::{
        ChainId, ChartId, Commitment, CommitteeId, Compartment, Digest, Epoch, OrganisationId,
        PublicKey, RecordId, Signature, UniquenessTag, Version,
    },
    limits::CUSTODIANS_MAX,
    set::{RestrictionSet, vocabulary},
    signoff::{ApprovalRule, Meaning},
    time::BlockTime,
};

vocabulary! {
    /// The coarse class of a record: all that the ledger learns about its content.
    RecordKind {
        /// Who the patient is.
        Identity = 0, "identity";
        /// A visit.
        Encounter = 1, "encounter";
        /// A problem or diagnosis.
        Condition = 2, "condition";
        /// A measurement or result.
        Result = 3, "result";
        /// An image.
        Imaging = 4, "imaging";
        /// A medicine taken or given.
        Medication = 5, "medication";
        /// An order for a medicine.
        Prescription = 6, "prescription";
        /// An allergy.
        Allergy = 7, "allergy";
        /// A vaccination.
        Immunization = 8, "immunization";
        /// Something done.
        Procedure = 9, "procedure";
        /// A plan or order.
        Plan = 10, "plan";
        /// A note or other document.
        Document = 11, "document";
        /// Consent, directives and other legal matter.
        Legal = 12, "legal";
        /// Cover, claims and money.
        Financial = 13, "financial";
        /// A device.
        Device = 14, "device";
        /// Anything else.
        Other = 15, "other";
    }
}

/// Everything that a release depends on; bound into both locks and into the ciphertext.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Label {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// The chart.
    #[n(1)]
    pub chart: ChartId,
    /// The record.
    #[n(2)]
    pub record: RecordId,
    /// The record's version.
    #[n(3)]
    pub version: Version,
    /// The compartment whose key is the first lock.
    #[n(4)]
    pub compartment: Compartment,
    /// The generation of that key.
    #[n(5)]
    pub epoch: Epoch,
    /// The committee whose key is the second lock.
    #[n(6)]
    pub committee: CommitteeId,
    /// Root of the Merkle tree of the body's chunks, as they lie at a custodian.
    #[n(7)]
    pub content: Digest,
    /// Bytes of the body, padded and encrypted.
    #[n(8)]
    pub sealed_bytes: u64,
}

/// What a custodian signs when it has stored a sealed object durably.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CustodyStatement {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// Who stores.
    #[n(1)]
    pub custodian: OrganisationId,
    /// The record.
    #[n(2)]
    pub record: RecordId,
    /// Its version.
    #[n(3)]
    pub version: Version,
    /// What is committed to.
    #[n(4)]
    pub commitment: Commitment,
    /// Bytes of the body as stored.
    #[n(5)]
    pub sealed_bytes: u64,
    /// First instant at which the custodian may delete it, unless an entry names it by then.
    #[n(6)]
    pub until: BlockTime,
}

/// A custodian's signature over its [`CustodyStatement`].
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CustodyAcknowledgement {
    /// Who stores.
    #[n(0)]
    pub custodian: OrganisationId,
    /// The key that it signs such statements with.
    #[n(1)]
    pub key: PublicKey,
    /// The signature.
    #[n(2)]
    pub signature: Signature,
    /// The end of its promise, as it stands in the statement.
    #[n(3)]
    pub until: BlockTime,
}

/// Which version of a record a new one follows. Each version has an id of its own.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Amended {
    /// The newest version so far: the original stays as it is, and where it is.
    #[n(0)]
    pub record: RecordName,
    /// The number of the new version.
    #[n(1)]
    pub version: Version,
}

/// `record.add`: a new record; or `record.amend`, a new version of one. Its id follows from the command's id,
/// signer and window.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordAdd {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The compartment it is sealed to.
    #[n(1)]
    pub compartment: Compartment,
    /// The generation of that compartment's key.
    #[n(2)]
    pub epoch: Epoch,
    /// Its coarse class.
    #[n(3)]
    pub kind: RecordKind,
    /// The salted digest of its capsule.
    #[n(4)]
    pub commitment: Commitment,
    /// Bytes of its body as stored.
    #[n(5)]
    pub sealed_bytes: u64,
    /// Who has stored it.
    #[n(6)]
    pub custody: List<CustodyAcknowledgement, CUSTODIANS_MAX>,
    /// Who must approve it before it is final: whom the consortium asks for, or nobody, if this says nothing.
    #[n(7)]
    pub approval: Option<ApprovalRule>,
    /// A digest that the organisation wants to be unique among its live records.
    #[n(8)]
    pub uniqueness: Option<UniquenessTag>,
    /// What it amends; nothing, if it is a record of its own.
    #[n(9)]
    pub amends: Option<Amended>,
}

/// `record.approve`: one party's approval of a proposed record, which is its signature.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordApprove {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record.
    #[n(1)]
    pub record: RecordName,
    /// What was approved: the commitment of the version that the signer was shown.
    #[n(2)]
    pub commitment: Commitment,
    /// What the signature says, as the step of the rule demands it.
    #[n(3)]
    pub meaning: Meaning,
    /// The number of the rule's seat that the signer takes.
    #[n(4)]
    pub seat: u8,
}

/// `record.retract`: a party takes its approval back, while nothing rests on it yet.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordRetract {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record.
    #[n(1)]
    pub record: RecordName,
}

/// `record.withdraw`: the author proposes a record no longer, while it is not final.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordWithdraw {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record.
    #[n(1)]
    pub record: RecordName,
}

vocabulary! {
    /// What keeps a record from being read or from being redacted.
    Restriction {
        /// The patient paid for it, and no insurer may read it (45 CFR 164.522(a)(1)(vi)).
        SelfPay = 0, "self_pay";
        /// Nobody but the patient reads it, except for legal claims (GDPR article 18).
        Processing = 1, "processing";
        /// It must be kept, and is not redacted.
        LegalHold = 2, "legal_hold";
    }
}

/// `record.restrict` and `record.lift`, of a record in all its versions.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordRestrict {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Any version of the record.
    #[n(1)]
    pub record: RecordName,
    /// What is restricted, or is no more.
    #[n(2)]
    pub restrictions: RestrictionSet,
}

vocabulary! {
    /// Why a record is to be redacted.
    RedactionGround {
        /// It is about somebody else, or is wrong from beginning to end.
        Error = 0, "error";
        /// The patient wants it erased (GDPR article 17).
        PatientWish = 1, "patient_wish";
        /// It need not be kept any longer.
        RetentionOver = 2, "retention_over";
        /// A court or authority orders it.
        Order = 3, "order";
    }
}

/// `record.redact`: one required party's approval that no validator releases a record any more, in any
/// version. It binds with the last of them.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordRedact {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Any version of the record.
    #[n(1)]
    pub record: RecordName,
    /// Why: all parties say the same.
    #[n(2)]
    pub ground: RedactionGround,
}

/// `record.keep`: a party takes its approval of a redaction back, while it does not bind yet.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordKeep {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Any version of the record.
    #[n(1)]
    pub record: RecordName,
}

/// `record.erased`: a custodian says, under signature, that it has destroyed all that it had of a redacted
/// record.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct RecordErased {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Any version of the record.
    #[n(1)]
    pub record: RecordName,
}
