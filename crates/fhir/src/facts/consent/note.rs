//! Where the ledger allows less than a Consent that is read, and how.

use alloc::string::String;
use core::fmt;

use keepwell_types::record::RecordKind;

use crate::classify::Sensitivity;

/// Where less is allowed than a Consent says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The element.
    pub at: String,
    /// What becomes of it.
    pub what: Narrowing,
}

/// How the ledger allows less.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Narrowing {
    /// Compartments of separate consent are not part of a Consent to everything.
    SeparateConsentLeftOut,
    /// The label stands for a whole compartment.
    LabelIsCompartment(Sensitivity),
    /// The mark `R` leaves out the compartment in which `V` lies too.
    RestrictedLeftOut,
    /// A prohibition of this label holds for every compartment in which a resource with it can lie.
    LabelDeniesMore,
    /// A prohibition holds for the whole kind.
    KindDeniesMore(RecordKind),
    /// A kind is left out: not all of its types are named.
    KindLeftOut(RecordKind),
    /// A prohibition holds whatever this condition says.
    ConditionIgnored,
    /// The purpose is none of the ledger's; nobody reads for it.
    PurposeLeftOut,
    /// A prohibition of this purpose holds for those that it comprises.
    PurposeDeniesMore,
    /// The ledger grants reading alone.
    ReadingAlone,
    /// The record alone, without what depends on it.
    DependentsLeftOut,
    /// The prohibition around it may come before this exception.
    ExceptionMayLose,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.at)?;
        match self.what {
            Narrowing::SeparateConsentLeftOut => f.write_str(
                "does not cover what needs a consent of its own; write another Consent with its label",
            ),
            Narrowing::LabelIsCompartment(sensitivity) => {
                write!(f, "is granted as the compartment {sensitivity}")
            }
            Narrowing::RestrictedLeftOut => f.write_str(
                "does not cover the compartment restricted, in which V may lie; write V if that is meant",
            ),
            Narrowing::LabelDeniesMore => f.write_str(
                "is denied with every compartment in which something with this label can lie",
            ),
            Narrowing::KindDeniesMore(kind) => write!(f, "is denied with all of kind {kind}"),
            Narrowing::KindLeftOut(kind) => {
                write!(f, "does not cover kind {kind}: not all of its types are named")
            }
            Narrowing::ConditionIgnored => f.write_str("the prohibition holds whatever this says"),
            Narrowing::PurposeLeftOut => f.write_str("nobody reads for this purpose here"),
            Narrowing::PurposeDeniesMore => {
                f.write_str("is denied with the purposes that it comprises")
            }
            Narrowing::ReadingAlone => f.write_str("allows reading and nothing else"),
            Narrowing::DependentsLeftOut => f.write_str("does not cover what depends on it"),
            Narrowing::ExceptionMayLose => {
                f.write_str("the prohibition around it may come before this exception")
            }
        }
    }
}
