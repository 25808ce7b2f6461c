//! Senders: whose messages a feed takes, and in which namespace each one's numbers are.
//!
//! # Invariants
//!
//! * A message is of a sender that is listed, by what stands in MSH-4, and in MSH-3 where the list says so, or it is
//!   none of this feed's: numbers of a hospital that nobody named would otherwise be taken for those of another.

use std::collections::BTreeSet;

use keepwell_hl7v2::message::Envelope;
use thiserror::Error;

/// Senders of one feed.
pub const SENDERS_MAX: usize = 256;
/// Characters of a namespace.
pub const NAMESPACE_CHARS_MAX: usize = 200;

/// Whose messages are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sender {
    /// MSH-4, as it is written in messages, such as `HOSPITAL` or `HOSPITAL^1.2.3^ISO`.
    pub facility: String,
    /// MSH-3, as it is written; any, if there is none.
    pub application: Option<String>,
    /// Under which the numbers stand that have no authority of their own: an absolute URI without a slash at its end.
    pub namespace: String,
}

/// A list of senders that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SenderError {
    /// Nobody could send anything.
    #[error("no sender is named; list each facility (MSH-4) with its namespace")]
    None,
    /// More than a feed has.
    #[error("{0} senders are more than {SENDERS_MAX}; make several feeds")]
    TooMany(usize),
    /// It would not be known which namespace is meant.
    #[error("facility {0:?} is listed twice for the same application; list it once")]
    Twice(String),
    /// References to it would mean something else elsewhere.
    #[error(
        "the namespace {0:?} is no absolute URI of at most {NAMESPACE_CHARS_MAX} characters without a slash at its end, such as https://hospital.example/v2"
    )]
    Namespace(String),
}

/// All senders of a feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Senders(Vec<Sender>);

impl Senders {
    /// A list that can be used.
    pub fn new(senders: Vec<Sender>) -> Result<Self, SenderError> {
        if senders.is_empty() {
            return Err(SenderError::None);
        }
        if senders.len() > SENDERS_MAX {
            return Err(SenderError::TooMany(senders.len()));
        }
        let mut names = BTreeSet::new();
        for Sender { facility, application, namespace } in &senders {
            if !names.insert((facility, application)) {
                return Err(SenderError::Twice(facility.clone()));
            }
            if !is_namespace(namespace) {
                return Err(SenderError::Namespace(namespace.clone()));
            }
        }
        Ok(Self(senders))
    }

    /// Whose message it is. Who is listed with the application comes before who is listed without.
    pub(super) fn of(&self, envelope: &Envelope) -> Option<&Sender> {
        let of_facility = || self.0.iter().filter(|it| it.facility == envelope.sending_facility);
        let application = Some(&envelope.sending_application);
        let named = of_facility().find(|it| it.application.as_ref() == application);
        named.or_else(|| of_facility().find(|it| it.application.is_none()))
    }
}

/// An absolute URI (RFC 3986, 4.3) to which more can be added.
fn is_namespace(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let is_of_rest = |c: char| c.is_ascii_alphanumeric() || "-._~:/@!&'()*+=%".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(is_of_scheme)
        && rest.chars().any(|c| c.is_ascii_alphanumeric())
        && rest.chars().all(is_of_rest)
        && !rest.ends_with('/')
        && text.len() <= NAMESPACE_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(facility: &str, application: Option<&str>, namespace: &str) -> Sender {
        let application = application.map(str::to_owned);
        Sender { facility: facility.into(), application, namespace: namespace.into() }
    }

    #[test]
    fn a_list_that_cannot_be_used_says_so() {
        let good = sender("A", None, "https://hospital.example/v2");
        let many = (0..=SENDERS_MAX).map(|it| sender(&it.to_string(), None, "urn:x"));
        for (senders, error) in [
            (vec![], SenderError::None),
            (many.collect(), SenderError::TooMany(SENDERS_MAX + 1)),
            (vec![good.clone(), sender("A", None, "urn:x")], SenderError::Twice("A".into())),
        ] {
            assert_eq!(Senders::new(senders), Err(error));
        }
        for namespace in
            ["", "urn:", "hospital", "https://hospital.example/", "urn:a b", "urn:a|b", "1:x", ":x"]
        {
            let error = Senders::new(vec![good.clone(), sender("B", None, namespace)]);
            assert_eq!(error, Err(SenderError::Namespace(namespace.into())));
        }
        for namespace in ["urn:oid:1.2.3", "urn:x", "https://hospital.example/v2"] {
            let same = sender("A", Some("LAB"), namespace);
            assert!(Senders::new(vec![good.clone(), same]).is_ok(), "{namespace}");
        }
    }
}
