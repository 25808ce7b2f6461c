//! Why a Consent is refused, and where.

use alloc::string::String;

use thiserror::Error;

/// Why a Consent is refused, and where.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{at}: {fault}")]
pub struct ReadError {
    /// The element, such as `Consent.provision.provision[1].actor[0].reference`.
    pub at: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with an element.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    /// Too many bytes.
    #[error("more than {bytes_max} bytes; send it without what is attached to it")]
    TooLarge {
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Not JSON, too deep, or a key stands twice.
    #[error("no JSON with each key once; send FHIR R4 in JSON")]
    NotJson,
    /// Another resource.
    #[error("is no Consent; send one of FHIR R4")]
    NotAConsent,
    /// It is missing or of the wrong JSON type.
    #[error("is missing, or not what FHIR R4 has there; write it as FHIR R4 does")]
    Malformed,
    /// More items than are read.
    #[error("more than {max} of them; write several Consents")]
    TooMany {
        /// Items allowed.
        max: usize,
    },
    /// FHIR R4 has no such element here, so nobody knows what it would restrict.
    #[error("is an element that FHIR R4 does not have here; remove it")]
    UnknownElement,
    /// An extension that must not be skipped, and is not known.
    #[error("is a modifier extension that is not known here; write the Consent without it")]
    UnknownModifier,
    /// It is proposed, a draft or rejected.
    #[error("nobody has agreed to it; send it once it is active")]
    NotAgreed,
    /// Someone looked whether it is genuine and found that it is not.
    #[error("the Consent is said not to be verified; have it verified first")]
    NotVerified,
    /// It is about research, treatment or advance directives.
    #[error(
        "is not patient-privacy, the only kind of consent that is kept here; send one of that scope"
    )]
    OtherScope,
    /// It is another patient's.
    #[error("is not the patient of this chart; send it to the chart of whose it is")]
    OtherPatient,
    /// Its policy may restrict what it allows, and is not known.
    #[error("is no policy that this consortium keeps; name one of its policies")]
    UnknownPolicy,
    /// Nothing says whether it allows or denies.
    #[error("does not say whether it permits or denies what it names; write permit or deny")]
    NoEffect,
    /// An exception of an exception.
    #[error("exceptions of exceptions are not kept here; write several Consents")]
    TooNested,
    /// An exception that permits what is permitted, or denies what is denied.
    #[error("is no exception from what is around it; write it as a Consent of its own")]
    NoException,
    /// Nobody here goes by that reference.
    #[error("names nobody whom the ledger knows; refer to its member, organisation, team or group")]
    UnknownActor,
    /// Another role than that of who receives information.
    #[error("is no recipient of information (IRCP), which is who reads; name one")]
    OtherRole,
    /// No record here goes by that reference.
    #[error("names no record that the ledger knows; refer to one by the ledger's name for it")]
    UnknownRecord,
    /// The ledger grants and denies reading alone.
    #[error("the ledger grants and denies reading; write access, or nothing")]
    OtherAction,
    /// Keeping the condition is not possible, and without it more would be allowed.
    #[error(
        "the ledger cannot keep this condition, and would allow more without it; write the Consent without it, or \
         permit less"
    )]
    WouldWiden,
    /// The chart has no compartment that is known to be for this.
    #[error(
        "no compartment of the chart is for this label; set one up, or permit what the chart has"
    )]
    NoCompartment,
    /// Ordinary and separate consent in one.
    #[error(
        "this label needs a consent that names nothing else; write a Consent of its own for it"
    )]
    SeparateConsent,
    /// The prohibition would not hold: the permission around it comes before it.
    #[error(
        "this exception would lose against the permission around it; name the same actors in both"
    )]
    ExceptionWouldLose,
    /// What stands in the extension is not what stands beside it, the policy's rule is both to allow and to deny, or it
    /// is said to be of two grants.
    #[error(
        "contradicts itself; write one or the other, or take the Consent from the ledger again"
    )]
    Contradiction,
    /// No compartment, kind, record, purpose, time or access is left of it.
    #[error("nothing is left that it would permit or deny; remove it, or have it cover something")]
    Empty,
}
