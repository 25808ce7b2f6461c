//! Images: DICOM instances over DICOMweb (PS3.18), each a record of its own, and an ImagingStudy that names them.
//!
//! ```text
//! POST dicomweb/studies   parts ─> spool ─> head ─> patient's chart ─> a record each, final
//!                                                                      └─> ImagingStudy, a version for each request
//! GET dicomweb/studies/.. ImagingStudy ─> one access for 32 records ─> instances, as they were sent
//! ```
//!
//! # Invariants
//!
//! * An instance is said to be stored once its record and the study that names it are final.
//! * An instance goes into the chart of the one patient whom PatientID names in the namespace of its issuer, or is refused.
//! * The same bytes are stored once, however often they are sent. Other bytes under a UID that the chart has are refused.
//! * Of two requests for one study, neither loses an instance of the other.
//! * A UID is digits and dots before anything is done with it; nothing that is sent is ever part of a path on disk.
//! * Nothing of an instance is on this computer's disk but sealed under a key that is in memory alone.
//!
//! Not here: searches (QIDO-RS; ImagingStudy is searched for over FHIR), metadata, frames, rendering and bulk data; other
//! transfer syntaxes than the one that was sent; making Patients; the same UID in the charts of two patients, which are
//! two instances; DIMSE.

mod head;
mod multipart;
mod spool;
pub(crate) mod stow;
pub(crate) mod study;
pub(crate) mod wado;

use std::collections::BTreeMap;

use keepwell_fhir::outcome::{IssueType, Outcome};

/// Characters of a UID (PS3.5, 9.1).
const UID_CHARS_MAX: usize = 64;

/// In which namespace a patient's number is, by who issued it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Namespaces {
    /// Of numbers whose issuer is not said: the system of a Patient's identifier.
    pub unsaid: Option<String>,
    /// By IssuerOfPatientID (0010,0021).
    pub issuers: BTreeMap<String, String>,
}

impl Namespaces {
    /// The namespace of a number.
    fn of(&self, issuer: Option<&str>) -> Option<&str> {
        match issuer {
            Some(issuer) => self.issuers.get(issuer).map(String::as_str),
            None => self.unsaid.as_deref(),
        }
    }
}

/// A unique identifier (PS3.5, 9.1): digits and dots.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Uid(String);

impl Uid {
    /// Reads one. Components with leading zeros are taken, since devices send them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_component = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        let is_one = text.len() <= UID_CHARS_MAX && text.split('.').all(is_component);
        is_one.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a path below `dicomweb` names (PS3.18, 10.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    Studies,
    Study(Uid),
    Series(Uid, Uid),
    Instance(Uid, Uid, Uid),
}

impl Target {
    pub(crate) fn parse(below: &str) -> Result<Self, Outcome> {
        let parts: Vec<_> = below.trim_start_matches('/').split('/').collect();
        let uid = |text: &str| Uid::parse(text).ok_or_else(not_a_target);
        Ok(match parts[..] {
            ["studies"] => Self::Studies,
            ["studies", study] => Self::Study(uid(study)?),
            ["studies", study, "series", series] => Self::Series(uid(study)?, uid(series)?),
            ["studies", study, "series", series, "instances", instance] => {
                Self::Instance(uid(study)?, uid(series)?, uid(instance)?)
            }
            _ => return Err(not_a_target()),
        })
    }

    pub(crate) const fn study(&self) -> Option<&Uid> {
        match self {
            Self::Studies => None,
            Self::Study(study) | Self::Series(study, _) | Self::Instance(study, ..) => Some(study),
        }
    }

    /// The study that a STOW request is for, if it says one.
    pub(crate) fn of_stow(self) -> Result<Option<Uid>, Outcome> {
        match self {
            Self::Studies => Ok(None),
            Self::Study(study) => Ok(Some(study)),
            Self::Series(..) | Self::Instance(..) => Err(crate::capability::not_served()),
        }
    }
}

/// The path of DICOMweb, beside the base's: `/dicomweb` for `/fhir`.
pub(crate) fn path_of(base: &str) -> String {
    let above = base.rsplit_once('/').map_or("", |(above, _)| above);
    format!("{above}/dicomweb")
}

/// The address of DICOMweb.
pub(crate) fn address_of(base: &str) -> String {
    let path = crate::server::path_of(base);
    let host = base.trim_end_matches('/');
    format!("{}{}", &host[..host.len() - path.len()], path_of(path))
}

fn not_a_target() -> Outcome {
    let text = "studies are here, as studies/UID, studies/UID/series/UID and studies/UID/series/UID/instances/UID; metadata, frames and rendering are not";
    Outcome::error(IssueType::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_digits_and_dots() {
        for good in ["1", "1.2.840.10008.1.2", "2.25.329800735698586629295641978511506172918"] {
            assert!(Uid::parse(good).is_some(), "{good}");
        }
        let long = "1.".repeat(32) + "1";
        for bad in
            ["", ".", "1.", ".1", "1..2", "../1", "1/2", "1.2 ", "1.a", "%2e%2e", "1\0", &long]
        {
            assert!(Uid::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_names_what_is_there_or_nothing() {
        assert_eq!(Target::parse("/studies").unwrap(), Target::Studies);
        assert!(matches!(Target::parse("/studies/1.2/series/3").unwrap(), Target::Series(..)));
        for bad in [
            "",
            "/",
            "/studies/",
            "/studies/..",
            "/studies/1/../2",
            "/studies/1/series",
            "/studies/1/metadata",
            "/studies/1/series/2/instances/3/frames/1",
            "/patients/1",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        assert!(Target::parse("/studies/1/series/2").unwrap().of_stow().is_err());
    }

    #[test]
    fn it_is_beside_the_base() {
        for (base, address) in [
            ("http://127.0.0.1:7480/fhir", "http://127.0.0.1:7480/dicomweb"),
            ("https://fhir.example.org", "https://fhir.example.org/dicomweb"),
            ("https://example.org/a/fhir", "https://example.org/a/dicomweb"),
        ] {
            assert_eq!(address_of(base), address);
        }
    }

    #[test]
    fn a_number_is_of_its_issuer() {
        let issuers = BTreeMap::from([("A".to_owned(), "urn:a".to_owned())]);
        let all = Namespaces { unsaid: Some("urn:x".into()), issuers };
        for (issuer, expected) in
            [(None, Some("urn:x")), (Some("A"), Some("urn:a")), (Some("B"), None)]
        {
            assert_eq!(all.of(issuer), expected);
        }
    }
}
