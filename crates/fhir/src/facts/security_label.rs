//! Security labels out: what a compartment is, as DS4P labels, and the way back.
//!
//! [`crate::classify`](mod@crate::classify) chooses the compartment on the way in; this says on the way out what it
//! chose. Each sensitivity has a confidentiality and, where it is a category, the one code that stands for all of it:
//!
//! ```text
//! normal               N             domestic-violence    R  SDV     substance-use        R  ETH
//! restricted           R             hiv                  R  HIV     psychotherapy-notes  R  PSYTHPN
//! sexual-reproductive  R  SEX        psychiatry           R  PSY
//! genetics             R  GDIS
//! ```
//!
//! # Invariants
//!
//! * The labels of a sensitivity classify as that sensitivity.
//! * Labels are added to a resource, never taken from it, and no other byte of it changes.
//!
//! Not here: markings for print (`extension-sec-label-...` of DS4P), and labels of parts of a resource that its author
//! did not label.

use alloc::{format, string::String, vec::Vec};

use keepwell_types::{id::Compartment, limits::COMPARTMENTS, set::CompartmentSet};
use serde_json::{Value, json, value::RawValue};
use thiserror::Error;

use crate::{
    bundle::{DEPTH_MAX, INLINE_LABEL, collect_meta},
    classify::{ACT_CODE, CONFIDENTIALITY, SecurityLabel, Sensitivity, classify},
    tree::{Fields, Tree, too_deep},
};

/// The code of [`CONFIDENTIALITY`] for a sensitivity.
pub const fn confidentiality_of(sensitivity: Sensitivity) -> &'static str {
    match sensitivity {
        Sensitivity::Normal => "N",
        Sensitivity::Restricted
        | Sensitivity::SexualReproductive
        | Sensitivity::Genetics
        | Sensitivity::DomesticViolence
        | Sensitivity::Hiv
        | Sensitivity::Psychiatry
        | Sensitivity::SubstanceUse
        | Sensitivity::PsychotherapyNotes => "R",
    }
}

/// The code of [`ACT_CODE`] that stands for a category; nothing for what is none.
pub const fn category_of(sensitivity: Sensitivity) -> Option<&'static str> {
    match sensitivity {
        Sensitivity::Normal | Sensitivity::Restricted => None,
        Sensitivity::SexualReproductive => Some("SEX"),
        Sensitivity::Genetics => Some("GDIS"),
        Sensitivity::DomesticViolence => Some("SDV"),
        Sensitivity::Hiv => Some("HIV"),
        Sensitivity::Psychiatry => Some("PSY"),
        Sensitivity::SubstanceUse => Some("ETH"),
        Sensitivity::PsychotherapyNotes => Some("PSYTHPN"),
    }
}

/// The labels of a sensitivity: confidentiality first, then the category.
pub fn labels_of(sensitivity: Sensitivity) -> Vec<SecurityLabel> {
    let label =
        |system: &str, code: &str| SecurityLabel { system: Some(system.into()), code: code.into() };
    let confidentiality = label(CONFIDENTIALITY, confidentiality_of(sensitivity));
    let category = category_of(sensitivity).map(|code| label(ACT_CODE, code));
    [confidentiality].into_iter().chain(category).collect()
}

/// The same, as `Coding`s for `meta.security`.
pub fn codings_of(sensitivity: Sensitivity) -> Vec<Value> {
    let coding = |label: SecurityLabel| json!({ "system": label.system, "code": label.code });
    labels_of(sensitivity).into_iter().map(coding).collect()
}

/// The extension that labels one element (DS4P, `extension-inline-sec-label`). A resource that has one is labelled
/// `PROCESSINLINELABEL` as well ([`inline_marker`]).
pub fn inline(sensitivity: Sensitivity) -> Value {
    let code = category_of(sensitivity)
        .map_or((CONFIDENTIALITY, confidentiality_of(sensitivity)), |code| (ACT_CODE, code));
    json!({ "url": INLINE_LABEL, "valueCoding": { "system": code.0, "code": code.1 } })
}

/// The label of a resource whose elements are labelled.
pub fn inline_marker() -> Value {
    json!({ "system": ACT_CODE, "code": "PROCESSINLINELABEL" })
}

/// What the compartments of a chart are for, as far as it is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Meanings([Option<Sensitivity>; COMPARTMENTS]);

/// A meaning or a compartment stands twice.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("compartment {} or {sensitivity} stands twice; each means one thing, so leave one out", .compartment.index())]
pub struct MeaningTwice {
    /// The second compartment.
    pub compartment: Compartment,
    /// What it was to mean.
    pub sensitivity: Sensitivity,
}

impl Meanings {
    /// The meanings of `pairs`; a compartment without one may hold anything.
    pub fn new(pairs: &[(Compartment, Sensitivity)]) -> Result<Self, MeaningTwice> {
        let mut meanings = Self::default();
        for &(compartment, sensitivity) in pairs {
            if meanings.of(compartment).is_some() || meanings.compartment(sensitivity).is_some() {
                return Err(MeaningTwice { compartment, sensitivity });
            }
            meanings.0[usize::from(compartment.index())] = Some(sensitivity);
        }
        Ok(meanings)
    }

    /// What a compartment is for.
    pub fn of(&self, compartment: Compartment) -> Option<Sensitivity> {
        self.0[usize::from(compartment.index())]
    }

    /// The compartment that is for this.
    pub fn compartment(&self, sensitivity: Sensitivity) -> Option<Compartment> {
        Compartment::all().find(|compartment| self.of(*compartment) == Some(sensitivity))
    }

    /// The compartments that have a meaning.
    pub fn known(&self) -> CompartmentSet {
        Compartment::all().filter(|compartment| self.of(*compartment).is_some()).collect()
    }
}

/// Why a resource is not labelled.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LabelError {
    /// It is no JSON object with each key once, or nests too deep.
    #[error(
        "what is to be labelled is no JSON resource with each key once; have it amended by whom it is from"
    )]
    NotAResource,
    /// `meta` or `meta.security` is of the wrong JSON type.
    #[error("{element} has the wrong JSON type; have the resource amended by whom it is from")]
    WrongType {
        /// Which of the two.
        element: &'static str,
    },
}

/// `json`, a resource of a compartment of this sensitivity, with the labels in `meta.security` that it lacks to say
/// so, or to say what its tags there say beyond it: those of [`labels_of`], since others know no other spelling and may
/// heed confidentiality alone. What is normal comes back as it is; labels of its parts say it of them alone.
pub fn with_labels(json: &str, sensitivity: Sensitivity) -> Result<String, LabelError> {
    let tree = parse(json)?;
    let resource_type = tree.text_of("resourceType").ok_or(LabelError::NotAResource)?;
    let mut labels = Vec::new();
    // Labels of its parts chose its compartment too, but whoever reads the resource looks at its own.
    if let Some(meta) = tree.field("meta") {
        collect_meta(meta, &mut labels);
    }
    let sensitivity = classify(resource_type, &labels).sensitivity.max(sensitivity);
    let missing: Vec<_> = labels_of(sensitivity)
        .into_iter()
        .filter(|label| sensitivity != Sensitivity::Normal && !labels.contains(label))
        // V is above R, and beside it R would let in whom R alone lets in.
        .filter(|label| {
            label.system.as_deref() != Some(CONFIDENTIALITY) || !labels.iter().any(is_v)
        })
        .map(|label| json!({ "system": label.system, "code": label.code }))
        .map(|coding| format!("{coding}"))
        .collect();
    if missing.is_empty() {
        return Ok(json.into());
    }
    let missing = missing.join(",");
    let fields: Fields<'_> = serde_json::from_str(json).map_err(|_| LabelError::NotAResource)?;
    let Some(meta) = fields.raw("meta") else {
        return insert(json, json, &format!(r#""meta":{{"security":[{missing}]}}"#));
    };
    let wrong = |element| LabelError::WrongType { element };
    let inner: Fields<'_> = serde_json::from_str(meta).map_err(|_| wrong("meta"))?;
    match inner.raw("security") {
        None => insert(json, meta, &format!(r#""security":[{missing}]"#)),
        Some(security) => {
            serde_json::from_str::<Vec<&RawValue>>(security).map_err(|_| wrong("meta.security"))?;
            insert(json, security, &missing)
        }
    }
}

fn is_v(label: &SecurityLabel) -> bool {
    label.system.as_deref() == Some(CONFIDENTIALITY) && label.code == "V"
}

fn parse(json: &str) -> Result<Tree, LabelError> {
    if too_deep(json.as_bytes(), DEPTH_MAX).is_some() {
        return Err(LabelError::NotAResource);
    }
    serde_json::from_str(json).map_err(|_| LabelError::NotAResource)
}

/// `whole` with `what` as the first thing in `part`, an object or list that is a slice of it.
fn insert(whole: &str, part: &str, what: &str) -> Result<String, LabelError> {
    let open = whole.find(['{', '[']).ok_or(LabelError::NotAResource)?;
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    // The whole may begin with spaces; its parts do not.
    let at = start.max(open) + 1;
    let rest = &whole[at..];
    let is_empty = rest.trim_start().starts_with(['}', ']']);
    let comma = if is_empty { "" } else { "," };
    Ok(format!("{}{what}{comma}{rest}", &whole[..at]))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::bundle::split;

    #[test]
    fn labels_classify_as_what_they_are_of() {
        for sensitivity in Sensitivity::ALL {
            let labels = labels_of(sensitivity);
            assert_eq!(classify("Observation", &labels).sensitivity, sensitivity);
            assert_eq!(codings_of(sensitivity).len(), labels.len());
        }
    }

    #[test]
    fn an_inline_label_classifies_as_what_it_is_of() {
        for sensitivity in Sensitivity::ALL {
            let json = json!({
                "resourceType": "Patient",
                "meta": { "security": [inline_marker()] },
                "birthDate": "1990-01-01",
                "_birthDate": { "extension": [inline(sensitivity)] },
            });
            let text = format!("{json}");
            let bundle = split(text.as_bytes(), 4_096).unwrap();
            assert_eq!(bundle.resources[0].classify().sensitivity, sensitivity);
        }
    }

    #[test]
    fn labels_are_added_and_no_byte_is_lost() {
        for json in [
            r#"{"resourceType":"Patient"}"#,
            r#"  { "resourceType" : "Patient", "x": 72.50 } "#,
            r#"{"meta":{},"resourceType":"Patient"}"#,
            r#"{"meta":{ "versionId":"1"},"resourceType":"Patient"}"#,
            r#"{"meta":{"security":[]},"resourceType":"Patient"}"#,
            r#"{"meta":{"security":[ {"code":"N"} ]},"resourceType":"Patient"}"#,
        ] {
            for sensitivity in Sensitivity::ALL {
                let out = with_labels(json, sensitivity).unwrap();
                let bundle = split(out.as_bytes(), 4_096).unwrap();
                assert_eq!(bundle.resources[0].classify().sensitivity, sensitivity, "{out}");
                assert_eq!(with_labels(&out, sensitivity).unwrap(), out);
                let mut rest = out.chars();
                assert!(json.chars().all(|c| rest.any(|other| other == c)), "{out}");
            }
        }
    }

    /// [`classify`] knows more spellings than others do, and whoever heeds confidentiality alone sees no category.
    #[test]
    fn whoever_reads_the_codes_of_the_table_alone_is_told_too() {
        let both = |code: &str| ["R", code].map(String::from).to_vec();
        for (tag, sensitivity, added) in [
            (r#"{"code":"HIV"}"#.into(), Sensitivity::Hiv, both("HIV")),
            (format!(r#"{{"system":"{ACT_CODE}","code":"hiv"}}"#), Sensitivity::Hiv, both("HIV")),
            (
                r#"{"system":"http://hl7.org/fhir/v3/ActCode","code":"PSY"}"#.into(),
                Sensitivity::Psychiatry,
                both("PSY"),
            ),
            (
                format!(r#"{{"system":"{ACT_CODE}","code":"STD"}}"#),
                Sensitivity::SexualReproductive,
                both("SEX"),
            ),
            (
                format!(r#"{{"system":"{ACT_CODE}","code":"PSY"}}"#),
                Sensitivity::Psychiatry,
                vec!["R".into()],
            ),
            // Its own tags say more than its compartment does.
            (
                format!(r#"{{"system":"{ACT_CODE}","code":"PSYTHPN"}}"#),
                Sensitivity::Normal,
                vec!["R".into()],
            ),
            (
                format!(r#"{{"system":"{CONFIDENTIALITY}","code":"V"}}"#),
                Sensitivity::Restricted,
                vec![],
            ),
            (
                format!(r#"{{"system":"{CONFIDENTIALITY}","code":"L"}}"#),
                Sensitivity::Normal,
                vec![],
            ),
        ] {
            let json = format!(r#"{{"resourceType":"Flag","meta":{{"security":[{tag}]}}}}"#);
            let out = with_labels(&json, sensitivity).unwrap();
            let tree = parse(&out).unwrap();
            let security = tree.at(&["meta", "security"]).map_or(&[][..], Tree::items);
            let new = security[..security.len() - 1].iter();
            let new: Vec<_> = new.filter_map(|it| it.text_of("code")).collect();
            assert_eq!(new, added, "{out}");
            assert_eq!(with_labels(&out, sensitivity).unwrap(), out);
        }
    }

    /// Whoever reads the resource looks at its own tags; what a part is labelled stands for the part.
    #[test]
    fn labels_of_parts_are_not_those_of_the_resource() {
        let tags = |code: &str| format!(r#"[{{"system":"{ACT_CODE}","code":"{code}"}}]"#);
        let inline = inline(Sensitivity::Hiv);
        for part in [
            format!(
                r#""contained":[{{"resourceType":"Patient","meta":{{"security":{}}}}}]"#,
                tags("HIV")
            ),
            format!(r#""_birthDate":{{"extension":[{inline}]}}"#),
            format!(r#""meta":{{"security":[]}},"_birthDate":{{"extension":[{inline}]}}"#),
        ] {
            let json = format!(r#"{{"resourceType":"Patient",{part}}}"#);
            let out = with_labels(&json, Sensitivity::Hiv).unwrap();
            let tree = parse(&out).unwrap();
            let security = tree.at(&["meta", "security"]).map_or(&[][..], Tree::items);
            let codes: Vec<_> = security.iter().filter_map(|it| it.text_of("code")).collect();
            assert_eq!(codes, ["R", "HIV"], "{out}");
            assert_eq!(with_labels(&out, Sensitivity::Hiv).unwrap(), out);
        }
    }

    #[test]
    fn what_is_no_resource_is_not_labelled() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let not = LabelError::NotAResource;
        for (json, fault) in [
            ("", not),
            ("[]", not),
            ("7", not),
            (deep.as_str(), not),
            (r#"{"resourceType":"Patient","a":1,"a":2}"#, not),
            (r#"{"a":1}"#, not),
            (r#"{"resourceType":"Patient","meta":7}"#, LabelError::WrongType { element: "meta" }),
            (
                r#"{"resourceType":"Patient","meta":{"security":7}}"#,
                LabelError::WrongType { element: "meta.security" },
            ),
        ] {
            assert_eq!(with_labels(json, Sensitivity::Hiv), Err(fault), "{json}");
        }
    }

    #[test]
    fn a_compartment_means_one_thing() {
        let [first, second] = [0, 1].map(|index| Compartment::new(index).unwrap());
        let (hiv, normal) = (Sensitivity::Hiv, Sensitivity::Normal);
        let meanings = Meanings::new(&[(first, hiv), (second, normal)]).unwrap();
        assert_eq!(meanings.compartment(normal), Some(second));
        assert_eq!(meanings.known().iter().collect::<Vec<_>>(), vec![first, second]);
        assert!(Meanings::new(&[(first, hiv), (second, hiv)]).is_err());
        assert!(Meanings::new(&[(first, hiv), (first, normal)]).is_err());
    }
}
