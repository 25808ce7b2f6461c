//! Grants as Consent: written by IHE's profile Privacy Consent on FHIR (PCF), read from it and from R4 as it is.
//!
//! ```text
//! terms            element of Consent                    what a reader without our extensions sees
//! effect           provision.type                        the same
//! grantee          provision.actor, as IRCP; no actor    the same
//!                  for everyone
//! compartments     provision.securityLabel, as tags,     the same where one label says it; else of a permission
//!                  and `compartments`                    less, and what would look otherwise it must not act on
//! kinds            `kinds`                               a permission it must not act on; of a prohibition more
//! records          provision.data, `instance`            the same
//! purposes         provision.purpose; none for all       the same; with what HL7 has below them, to who looks there
//! window           provision.period                      the same
//! accesses_max     `accesses-max`                        a permission it must not act on
//! onward           `onward`                              that nobody passes it on
//! ```
//!
//! PCF has a short list of labels and neither classes nor counts; [`Unexpressed`] lists what of a grant it cannot say.
//!
//! # Invariants
//!
//! * What [`write()`] wrote, [`read()`] reads as the same terms.
//! * What is read allows nothing that the Consent does not: a condition that the ledger cannot keep is refused in a
//!   permission, with the place of the element, and left out of a prohibition, with a [`Note`].
//! * An exception that the ledger's order of precedence would let a permission override is refused.
//! * A prohibition may be kept wider than it is written. An exception from it opens the compartments that its labels
//!   stand for, the kinds of which it names every type and the purposes that it names, and is refused if there are none
//!   or if the prohibition has a condition that is not kept.
//!
//! # Labels of others
//!
//! A compartment is the unit in which a patient shares. A label in a permission of others stands for a compartment if
//! it is the code that [`super::security_label`] writes for it, and what else [`classify`](mod@crate::classify) puts
//! there is shared with it; any other code is refused, narrower or wider. In a prohibition it stands for every
//! compartment in which a resource with that label can lie. Confidentiality is a tag to PCF, and a high-water mark to
//! R4: there `R` permits what is normal alone, since `V` lies where `R` does, and `V` permits that compartment too.
//! Several labels of a permission are tags to PCF, each of which is permitted, and the fields of one label to R4, which
//! restrict together: there they are refused.
//!
//! R4 leaves to the policy's rule (`OPTIN`, `OPTOUT`) what holds beside a provision. A provision against that rule is
//! an exception from it, and one that denies part of what the rule denies leaves the rule whole. Conditions without
//! `permit` or `deny` are refused, since examples of R4 mean either by them.
//!
//! Not here: whether the patient signed, and giving the grant, which a wallet does with the terms that are read.

mod clause;
mod element;
mod error;
mod explain;
mod note;
mod precedence;
mod read;

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use keepwell_types::{
    access::Purpose,
    grant::{Effect, GrantTerms},
    id::{GrantId, Location, OrganisationId},
    set::{CompartmentSet, KindSet, PurposeSet},
    time::BlockTime,
};
use serde_json::{Value, json};
use thiserror::Error;

use clause::comprised;
pub use error::{Fault, ReadError};
pub use explain::in_words;
pub use note::{Narrowing, Note};
pub use read::{CONSENT_BYTES_MAX, NOTES_MAX, PROVISIONS_MAX, RULES_MAX, Read, Reading, read};

use super::{
    ACT_REASON, CALENDAR_END, LOINC, PARTICIPATION, coding, concept, entry_identifier,
    grantee_reference, instant, last_before, organisation_reference, own, own_identifier,
    record_identifier, reference, security_label::Meanings,
};
use crate::classify::{ACT_CODE, CONFIDENTIALITY, Sensitivity};

/// What the profiles of PCF begin with.
pub const PCF: &str = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/";
const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";

/// A grant as the ledger has it.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    /// The resource's id.
    pub name: &'a str,
    /// The grant's id.
    pub id: GrantId,
    /// Its terms, as given or limited last.
    pub terms: &'a GrantTerms,
    /// When it was given.
    pub given_at: BlockTime,
    /// Where it was given.
    pub location: Location,
    /// When it was revoked.
    pub revoked_at: Option<BlockTime>,
    /// Accesses counted for it.
    pub accesses_used: u32,
    /// Which grant it was passed on from.
    pub passed_from: Option<GrantId>,
}

/// What a Consent says beside the grant.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The reference to the chart's patient, `Patient/id`.
    pub patient: &'a str,
    /// The chart's organisation.
    pub organisation: OrganisationId,
    /// What its compartments are for.
    pub meanings: &'a Meanings,
    /// Those that need separate consent.
    pub separate_consent: CompartmentSet,
    /// Where the consortium's privacy policy stands, a URI.
    pub policy: &'a str,
    /// Block time.
    pub now: BlockTime,
}

/// A Consent, and what it could not say in FHIR's own words.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The resource.
    pub consent: Value,
    /// What stands in extensions only, or nowhere.
    pub unexpressed: Vec<Unexpressed>,
}

/// What of a grant FHIR has no words for, or PCF has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unexpressed {
    /// No label of PCF stands for these compartments; they are in an extension.
    Compartments(CompartmentSet),
    /// The label `R` stands for a compartment here; who reads R4 without PCF takes it for everything up to `R`.
    HighWaterMark,
    /// PCF has no classes; the kinds are in an extension.
    Kinds(KindSet),
    /// These are below the purposes of a permission in HL7's code system, and the permission is not for them; who takes
    /// a code with those below it takes it for them too.
    Purposes(PurposeSet),
    /// Consent counts nothing; the number is in an extension.
    AccessesMax(u32),
    /// Consent does not say that a grantee may pass it on; an extension does.
    Onward,
    /// Consent does not say where it comes from; an extension does.
    PassedFrom(GrantId),
}

impl fmt::Display for Unexpressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compartments(set) => {
                write!(f, "{} compartments that no security label of PCF names", set.len())
            }
            Self::HighWaterMark => {
                f.write_str("that R is one compartment, and not everything up to R")
            }
            Self::Kinds(kinds) => write!(f, "that it is for {} kinds of records only", kinds.len()),
            Self::Purposes(purposes) => write!(
                f,
                "that it is not for {} purposes that HL7 has below those named",
                purposes.len()
            ),
            Self::AccessesMax(max) => write!(f, "that it is for {max} accesses at most"),
            Self::Onward => f.write_str("that the grantee may pass it on"),
            Self::PassedFrom(grant) => write!(f, "that it was passed on from grant {grant}"),
        }
    }
}

/// Why a grant cannot be written as a Consent.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum WriteError {
    /// The terms permit or forbid nothing, so the ledger has no such grant.
    #[error("the terms name no compartment, kind, purpose, time or access; no grant has such")]
    EmptyTerms,
    /// Separate and ordinary consent are mixed, so the ledger has no such grant.
    #[error(
        "the terms mix separate and ordinary consent; give the chart's own list of which are which"
    )]
    SeparateConsent,
    /// It begins after the last year that FHIR can write.
    #[error("the grant begins at {0}, which FHIR cannot write; show it another way")]
    From(BlockTime),
    /// It ends after the last year that FHIR can write, and without an end it would be longer.
    #[error("the grant ends at {0}, which FHIR cannot write; show it another way")]
    Until(BlockTime),
}

/// Writes a grant as a Consent by PCF.
pub fn write(grant: &Grant<'_>, setting: &Setting<'_>) -> Result<Written, WriteError> {
    check(grant.terms, setting.separate_consent)?;
    let mut provision = Provision::new(grant.terms);
    provision.compartments(grant.terms, setting.meanings);
    provision.conditions(grant.terms);
    let profile = provision.profile(grant.terms);
    let mut unexpressed = provision.unexpressed.clone();
    let mut extensions =
        vec![json!({ "url": own("accesses-used"), "valueDecimal": grant.accesses_used })];
    if let Some(from) = grant.passed_from {
        unexpressed.push(Unexpressed::PassedFrom(from));
        let identifier = own_identifier("grant", from);
        extensions.push(json!({ "url": own("passed-from"), "valueIdentifier": identifier }));
    }
    let narrative = super::summary_document::paragraphs(&in_words(grant.terms, setting.meanings));
    let title = format!("Entry {}/{} of the ledger", grant.location.height, grant.location.index);
    let consent = json!({
        "resourceType": "Consent",
        "id": grant.name,
        "meta": { "profile": [format!("{PCF}{profile}"), own("profile/grant")] },
        "text": { "status": "generated", "div": narrative },
        "extension": extensions,
        "identifier": [
            own_identifier("grant", grant.id),
            entry_identifier(grant.location),
        ],
        "status": if is_over(grant, setting.now) { "inactive" } else { "active" },
        "scope": concept(SCOPE, "patient-privacy"),
        "category": [concept(LOINC, "59284-0")],
        "patient": reference(setting.patient),
        "dateTime": instant(grant.given_at),
        "performer": [reference(setting.patient)],
        "organization": [reference(&organisation_reference(setting.organisation))],
        "sourceAttachment": { "title": title },
        "policy": [{ "uri": setting.policy }],
        "provision": provision.into_value(),
    });
    Ok(Written { consent, unexpressed })
}

/// Whether such terms can be a grant's.
fn check(terms: &GrantTerms, separate_consent: CompartmentSet) -> Result<(), WriteError> {
    let is_empty = terms.compartments.is_empty()
        || terms.kinds.is_empty()
        || terms.purposes.is_empty()
        || terms.window.is_empty()
        || terms.accesses_max == Some(0);
    let misplaced = if terms.separate_consent {
        terms.compartments.without(separate_consent)
    } else {
        terms.compartments.and(separate_consent)
    };
    if is_empty {
        return Err(WriteError::EmptyTerms);
    }
    if !misplaced.is_empty() {
        return Err(WriteError::SeparateConsent);
    }
    if terms.window.from > CALENDAR_END {
        return Err(WriteError::From(terms.window.from));
    }
    let until = terms.window.until;
    if last_before(until) > CALENDAR_END && until != BlockTime(u64::MAX) {
        return Err(WriteError::Until(until));
    }
    Ok(())
}

/// Whether it allows or denies nothing any more.
fn is_over(grant: &Grant<'_>, now: BlockTime) -> bool {
    let is_used_up = grant.terms.accesses_max.is_some_and(|max| grant.accesses_used >= max);
    grant.revoked_at.is_some() || grant.terms.window.until <= now || is_used_up
}

/// The labels that PCF's advanced profile has (its `AdvancedSecurityTagVS`), as far as one stands for a compartment.
const fn pcf_label(sensitivity: Sensitivity) -> Option<(&'static str, &'static str)> {
    match sensitivity {
        Sensitivity::Normal => Some((CONFIDENTIALITY, "N")),
        Sensitivity::Restricted => Some((CONFIDENTIALITY, "R")),
        Sensitivity::SexualReproductive => Some((ACT_CODE, "SEX")),
        Sensitivity::Hiv => Some((ACT_CODE, "HIV")),
        Sensitivity::Psychiatry => Some((ACT_CODE, "PSY")),
        Sensitivity::SubstanceUse => Some((ACT_CODE, "ETH")),
        Sensitivity::Genetics | Sensitivity::DomesticViolence | Sensitivity::PsychotherapyNotes => {
            None
        }
    }
}

/// The provision of a grant, and what it could not say.
struct Provision {
    fields: serde_json::Map<String, Value>,
    plain: Vec<Value>,
    modifying: Vec<Value>,
    labels: Vec<Value>,
    is_allowing: bool,
    unexpressed: Vec<Unexpressed>,
}

impl Provision {
    fn new(terms: &GrantTerms) -> Self {
        let mut fields = serde_json::Map::new();
        let is_allowing = match terms.effect {
            Effect::Allow => true,
            Effect::Deny => false,
        };
        fields.insert("type".into(), json!(if is_allowing { "permit" } else { "deny" }));
        Self {
            fields,
            plain: Vec::new(),
            modifying: Vec::new(),
            labels: Vec::new(),
            is_allowing,
            unexpressed: Vec::new(),
        }
    }

    /// An extension that makes the provision cover less: whoever skips it would allow too much.
    fn covers_less(&mut self, extension: Value) {
        let list = if self.is_allowing { &mut self.modifying } else { &mut self.plain };
        list.push(extension);
    }

    fn compartments(&mut self, terms: &GrantTerms, meanings: &Meanings) {
        let label_of = |compartment| meanings.of(compartment).and_then(pcf_label);
        let labelled: CompartmentSet =
            terms.compartments.iter().filter(|one| label_of(*one).is_some()).collect();
        let labels = labelled.iter().filter_map(label_of);
        self.labels = labels.map(|(system, code)| coding(system, code)).collect();
        let rest = terms.compartments.without(labelled);
        let names = terms.compartments.iter().map(|it| it.index().to_string()).collect::<Vec<_>>();
        let extension = json!({ "url": own("compartments"), "valueString": names.join(" ") });
        let has_restricted = labelled.iter().any(|it| label_of(it) == Some((CONFIDENTIALITY, "R")));
        // Without a label the provision looks as if it covered everything; with some it looks as if it covered them. To
        // who reads R4 without PCF, R looks as if it covered everything up to it, and several as if all had to be there.
        let looks_wider = has_restricted || (labelled.is_empty() && !rest.is_empty());
        let looks_narrower = labelled.len() > 1 || (!labelled.is_empty() && !rest.is_empty());
        let misleads = if self.is_allowing { looks_wider } else { looks_narrower };
        if misleads {
            self.modifying.push(extension);
        } else {
            self.plain.push(extension);
        }
        if !rest.is_empty() {
            self.unexpressed.push(Unexpressed::Compartments(rest));
        }
        if has_restricted {
            self.unexpressed.push(Unexpressed::HighWaterMark);
        }
    }

    fn conditions(&mut self, terms: &GrantTerms) {
        self.period(terms);
        if let Some(grantee) = grantee_reference(terms.grantee) {
            let role = concept(PARTICIPATION, "IRCP");
            let actor = json!([{ "role": role, "reference": reference(&grantee) }]);
            self.fields.insert("actor".into(), actor);
        }
        if !self.labels.is_empty() {
            self.fields.insert("securityLabel".into(), json!(self.labels));
        }
        if terms.purposes != PurposeSet::all() {
            let purposes = terms.purposes.iter().map(|it| coding(ACT_REASON, it.as_str()));
            self.fields.insert("purpose".into(), purposes.collect());
        }
        let below: PurposeSet = terms.purposes.iter().flat_map(comprised).copied().collect();
        let below = below.without(terms.purposes);
        if self.is_allowing && !below.is_empty() {
            self.unexpressed.push(Unexpressed::Purposes(below));
        }
        if !terms.records.is_empty() {
            let data = terms.records.iter().map(|name| {
                let name = record_identifier(*name);
                json!({ "meaning": "instance", "reference": { "identifier": name } })
            });
            self.fields.insert("data".into(), data.collect());
        }
        if terms.kinds != KindSet::all() {
            let kinds = terms.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ");
            self.covers_less(json!({ "url": own("kinds"), "valueString": kinds }));
            self.unexpressed.push(Unexpressed::Kinds(terms.kinds));
        }
        if let Some(max) = terms.accesses_max {
            self.covers_less(json!({ "url": own("accesses-max"), "valueDecimal": max }));
            self.unexpressed.push(Unexpressed::AccessesMax(max));
        }
        if terms.onward {
            self.plain.push(json!({ "url": own("onward"), "valueBoolean": true }));
            self.unexpressed.push(Unexpressed::Onward);
        }
    }

    fn period(&mut self, terms: &GrantTerms) {
        let window = terms.window;
        let mut period = json!({ "start": instant(window.from) });
        if window.until != BlockTime(u64::MAX) {
            period["end"] = json!(instant(last_before(window.until)));
        }
        self.fields.insert("period".into(), period);
    }

    /// The least of PCF's profiles that it fits.
    fn profile(&self, terms: &GrantTerms) -> &'static str {
        let basic: PurposeSet =
            [Purpose::Treatment, Purpose::Payment, Purpose::Operations, Purpose::BreakGlass]
                .into_iter()
                .collect();
        let is_basic = terms.purposes == PurposeSet::all() || basic.includes(terms.purposes);
        if !self.labels.is_empty() {
            "IHE.PCF.consentAdvanced"
        } else if terms.records.is_empty() && is_basic {
            "IHE.PCF.consentBasic"
        } else {
            "IHE.PCF.consentIntermediate"
        }
    }

    fn into_value(mut self) -> Value {
        if !self.plain.is_empty() {
            self.fields.insert("extension".into(), Value::Array(self.plain));
        }
        if !self.modifying.is_empty() {
            self.fields.insert("modifierExtension".into(), Value::Array(self.modifying));
        }
        Value::Object(self.fields)
    }
}
