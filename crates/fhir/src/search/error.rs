//! Why a query is refused, or a part of it is not answered.
//!
//! # Invariants
//!
//! * No text repeats a value: values of a query are of patients, and errors go to logs.

use alloc::string::String;

use thiserror::Error;

/// Why a query, or a part of it, is not answered: the fault of whoever wrote it. No text repeats a value.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SearchError {
    /// Several types have the rest of the chain, and it would mean different things.
    #[error("{parameter} may refer to several types; name one, as in {parameter}:Type.{rest}")]
    AmbiguousChain {
        /// The reference.
        parameter: String,
        /// What follows it.
        rest: String,
    },
    /// Two result parameters ask for different things.
    #[error("{one} and {other} cannot both be asked for; leave one out")]
    Conflict {
        /// One of them.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A parameter without a value.
    #[error("{parameter} has no value; give it one or leave it out")]
    Empty {
        /// Its name.
        parameter: String,
    },
    /// The modifier is not one of the parameter's, or cannot be answered here.
    #[error("{parameter} does not take the modifier {modifier:?}; see the CapabilityStatement")]
    Modifier {
        /// The parameter.
        parameter: String,
        /// The modifier.
        modifier: String,
    },
    /// The query is not a form.
    #[error("the query is not percent-encoded UTF-8; encode each name and value")]
    NotAForm,
    /// Only references lead on to other resources.
    #[error("{parameter} is no reference; only references are followed with `.` or `_has`")]
    NotAReference {
        /// The parameter.
        parameter: String,
    },
    /// A result parameter stands twice.
    #[error("{parameter} stands more than once; say it once")]
    Repeated {
        /// The parameter.
        parameter: &'static str,
    },
    /// A chain has too many links.
    #[error("{parameter} has more than {links_max} links; search in two steps")]
    TooDeep {
        /// The parameter.
        parameter: String,
        /// Links allowed.
        links_max: usize,
    },
    /// The query is too large.
    #[error("more than {most} {what}; split the search into several")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// The type has no such parameter.
    #[error("{resource_type} has no search parameter {parameter:?}; see the CapabilityStatement")]
    UnknownParameter {
        /// The type.
        resource_type: String,
        /// The name.
        parameter: String,
    },
    /// No such type is served.
    #[error("{resource_type:?} is not served; the CapabilityStatement lists the types that are")]
    UnknownType {
        /// The type.
        resource_type: String,
    },
    /// R4 has the parameter, and this server does not serve it.
    #[error("{parameter} is not served; leave it out, or filter what comes back")]
    Unsupported {
        /// Its name.
        parameter: String,
    },
    /// A value is not of the parameter's kind.
    #[error("{parameter} takes {expected}")]
    Value {
        /// The parameter.
        parameter: String,
        /// What it should have been.
        expected: &'static str,
    },
}

impl SearchError {
    /// Whether lenient handling may leave it out.
    pub fn is_ignorable(&self) -> bool {
        match self {
            Self::Empty { .. } | Self::UnknownParameter { .. } | Self::Unsupported { .. } => true,
            Self::AmbiguousChain { .. }
            | Self::Conflict { .. }
            | Self::Modifier { .. }
            | Self::NotAForm
            | Self::NotAReference { .. }
            | Self::Repeated { .. }
            | Self::TooDeep { .. }
            | Self::TooMany { .. }
            | Self::UnknownType { .. }
            | Self::Value { .. } => false,
        }
    }
}
