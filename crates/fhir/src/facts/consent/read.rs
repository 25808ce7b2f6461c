//! Reads a Consent into terms of grants; see [`super`] for what is refused and what is noted.
//!
//! ```text
//! bytes -- size, depth, keys --> tree -- header --> in force? -- provision --> Clause --+
//!                                                                |                      | for each actor, and apart
//!                                                                +-- exceptions --------+ for separate consent
//!                                                                                       v
//!                                                     precedence of the ledger <-- Vec<GrantTerms>
//! ```

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use keepwell_types::{
    access::{Purpose, RecordName},
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{Compartment, GrantId},
    limits::GRANT_RECORDS_MAX,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use thiserror::Error;

use super::{PCF, SCOPE, pcf_label};
use crate::{
    bundle::DEPTH_MAX,
    classify::{ACT_CODE, CONFIDENTIALITY, SecurityLabel, Sensitivity, types_of},
    facts::{
        ACT_REASON, PARTICIPATION, grantee_at, own, record_at,
        security_label::{Meanings, category_of},
        time::{Dated, period},
    },
    tree::{Tree, too_deep},
};

/// Bytes of a Consent that is read.
pub const CONSENT_BYTES_MAX: usize = 1 << 20;
/// Exceptions of one Consent.
pub const PROVISIONS_MAX: usize = 16;
/// Rules that one Consent becomes.
pub const RULES_MAX: usize = 64;
/// Notes on one Consent; what is beyond is narrowed all the same, and not told.
pub const NOTES_MAX: usize = 256;
const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
const CONSENT_ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
const CONSENT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/consentactorrole";

/// What a Consent is read against.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The reference to the chart's patient: a Consent of another is refused.
    pub patient: &'a str,
    /// What the chart's compartments are for.
    pub meanings: &'a Meanings,
    /// Those that need separate consent.
    pub separate_consent: CompartmentSet,
    /// The privacy policies that the consortium keeps, by URI. A Consent by another is refused, and one by none too,
    /// unless it says by its `policyRule` whether its patient opts in or out.
    pub policies: &'a [&'a str],
    /// Block time, from which a permission without a beginning holds.
    pub now: BlockTime,
    /// Where days begin that name no zone, in minutes east of UTC.
    pub zone_minutes: i32,
    /// Whom references of others name, beside those that the ledger's own ids make.
    pub parties: &'a BTreeMap<String, Grantee>,
    /// Which records references of others name.
    pub records: &'a BTreeMap<String, RecordName>,
}

/// What a Consent says.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// It is in force.
    Rules {
        /// The grant that it was written from, if it was written here.
        grant: Option<GrantId>,
        /// What is to be granted, so that the ledger allows no more than the Consent.
        rules: Vec<GrantTerms>,
        /// Where the ledger will allow less, and why.
        notes: Vec<Note>,
    },
    /// It is `inactive` or `entered-in-error`: what was granted by it is to be revoked.
    Ended {
        /// The grant that it was written from, if it was written here.
        grant: Option<GrantId>,
    },
}

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
    /// What stands in the extension is not what stands beside it, or the policy's rule is both to allow and to deny.
    #[error(
        "contradicts itself; write one or the other, or take the Consent from the ledger again"
    )]
    Contradiction,
    /// No compartment, kind, record, purpose, time or access is left of it.
    #[error("nothing is left that it would permit or deny; remove it, or have it cover something")]
    Empty,
}

/// Reads a Consent.
pub fn read(json: &[u8], reading: &Reading<'_>) -> Result<Read, ReadError> {
    let fail = |fault| ReadError { at: "Consent".into(), fault };
    if json.len() > CONSENT_BYTES_MAX {
        return Err(fail(Fault::TooLarge { bytes_max: CONSENT_BYTES_MAX }));
    }
    if too_deep(json, DEPTH_MAX).is_some() {
        return Err(fail(Fault::NotJson));
    }
    let tree: Tree = serde_json::from_slice(json).map_err(|_| fail(Fault::NotJson))?;
    if tree.text_of("resourceType") != Some("Consent") {
        return Err(fail(Fault::NotAConsent));
    }
    let root = Element { tree: &tree, path: "Consent".into() };
    Reader { reading, dialect: dialect(&tree), notes: Vec::new() }.consent(&root)
}

/// How labels are meant.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Dialect {
    /// As [`super::write()`] writes them.
    Own,
    /// As tags.
    Pcf,
    /// Confidentiality as a high-water mark.
    R4,
}

fn dialect(tree: &Tree) -> Dialect {
    let profiles = tree.at(&["meta", "profile"]).map_or(&[][..], Tree::items);
    let has =
        |prefix: &str| profiles.iter().filter_map(Tree::text).any(|it| it.starts_with(prefix));
    if has(&own("profile/grant")) {
        Dialect::Own
    } else if has(PCF) {
        Dialect::Pcf
    } else {
        Dialect::R4
    }
}

/// An element and where it stands.
struct Element<'a> {
    tree: &'a Tree,
    path: String,
}

impl<'a> Element<'a> {
    fn fail<T>(&self, fault: Fault) -> Result<T, ReadError> {
        Err(ReadError { at: self.path.clone(), fault })
    }

    fn child(&self, name: &str) -> Option<Element<'a>> {
        let tree = self.tree.field(name)?;
        Some(Element { tree, path: format!("{}.{name}", self.path) })
    }

    fn needed(&self, name: &str) -> Result<Element<'a>, ReadError> {
        let missing = || ReadError { at: format!("{}.{name}", self.path), fault: Fault::Malformed };
        self.child(name).ok_or_else(missing)
    }

    /// The items of a list, each with its place; at most `max`, and none that is empty.
    fn list(&self, name: &str, max: usize) -> Result<Vec<Element<'a>>, ReadError> {
        let Some(list) = self.child(name) else { return Ok(Vec::new()) };
        let Tree::List(items) = list.tree else { return list.fail(Fault::Malformed) };
        if items.is_empty() {
            return list.fail(Fault::Malformed);
        }
        if items.len() > max {
            return list.fail(Fault::TooMany { max });
        }
        let item = |(place, tree)| Element { tree, path: format!("{}[{place}]", list.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn text(&self) -> Result<&'a str, ReadError> {
        self.tree.text().map_or_else(|| self.fail(Fault::Malformed), Ok)
    }

    /// The reference, without a version.
    fn reference(&self) -> Result<&'a str, ReadError> {
        self.only(&REFERENCE)?;
        let reference = self.needed("reference")?.text()?;
        Ok(crate::bundle::unversioned(reference))
    }

    /// Only these elements, and those that every element of FHIR may have and that may be skipped.
    fn only(&self, known: &[&str]) -> Result<(), ReadError> {
        let Tree::Object(fields) = self.tree else { return self.fail(Fault::Malformed) };
        for name in fields.keys().map(String::as_str) {
            let is_known = matches!(name, "id" | "extension") || known.contains(&name);
            if !is_known && name == "modifierExtension" {
                return self.needed(name)?.fail(Fault::UnknownModifier);
            }
            if !is_known {
                // The name is the sender's own text, so only the element around it is told.
                return self.fail(Fault::UnknownElement);
            }
        }
        Ok(())
    }

    /// System and code of a Coding.
    fn coding(&self) -> Result<(&'a str, &'a str), ReadError> {
        self.only(&["system", "version", "code", "display", "_display", "userSelected"])?;
        Ok((self.needed("system")?.text()?, self.needed("code")?.text()?))
    }

    /// The codings of a CodeableConcept.
    fn codings(&self) -> Result<Vec<(&'a str, &'a str)>, ReadError> {
        self.only(&["coding", "text", "_text"])?;
        self.list("coding", NOTES_MAX)?.iter().map(Element::coding).collect()
    }
}

/// What R4 has in a Consent.
const HEADER: [&str; 20] = [
    "resourceType",
    "meta",
    "implicitRules",
    "language",
    "text",
    "contained",
    "identifier",
    "status",
    "scope",
    "category",
    "patient",
    "dateTime",
    "performer",
    "organization",
    "sourceAttachment",
    "sourceReference",
    "policy",
    "policyRule",
    "verification",
    "provision",
];
/// What R4 has in a Reference, with the names of people in other scripts.
const REFERENCE: [&str; 5] = ["reference", "type", "identifier", "display", "_display"];
/// What R4 has in a provision.
const PROVISION: [&str; 12] = [
    // It is read apart, by [`Reader::extensions`].
    "modifierExtension",
    "type",
    "period",
    "actor",
    "action",
    "securityLabel",
    "purpose",
    "class",
    "code",
    "dataPeriod",
    "data",
    "provision",
];

/// A provision as it stands, before it is one rule for each actor.
#[derive(Clone)]
struct Clause {
    path: String,
    effect: Effect,
    grantees: Vec<Grantee>,
    compartments: CompartmentSet,
    kinds: KindSet,
    records: Vec<RecordName>,
    purposes: PurposeSet,
    window: Window,
    accesses_max: Option<u32>,
    onward: bool,
    stated: Stated,
}

/// What of a clause the Consent itself states: of a permission all, and less of a prohibition that the ledger widens. An
/// exception opens nothing else.
#[derive(Clone, Copy)]
struct Stated {
    /// Those that its labels stand for.
    compartments: CompartmentSet,
    /// Those of which every type is named.
    kinds: KindSet,
    /// Those that are named, without those that they comprise.
    purposes: PurposeSet,
    /// Whether the ledger keeps every other condition.
    is_kept: bool,
}

impl Stated {
    const fn is_nothing(self) -> bool {
        !self.is_kept || self.compartments.is_empty() || self.kinds.is_empty()
    }
}

struct Reader<'a, 'b> {
    reading: &'b Reading<'a>,
    dialect: Dialect,
    notes: Vec<Note>,
}

impl Reader<'_, '_> {
    fn note(&mut self, at: &str, what: Narrowing) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Note { at: at.to_string(), what });
        }
    }

    fn consent(mut self, root: &Element<'_>) -> Result<Read, ReadError> {
        root.only(&HEADER)?;
        if let Some(rules) = root.child("implicitRules") {
            return rules.fail(Fault::UnknownModifier);
        }
        let patient = root.needed("patient")?;
        if patient.reference()? != self.reading.patient {
            return patient.fail(Fault::OtherPatient);
        }
        let grant = grant_of(root)?;
        let status = root.needed("status")?;
        match status.text()? {
            "active" => {}
            "inactive" | "entered-in-error" => return Ok(Read::Ended { grant }),
            "draft" | "proposed" | "rejected" => return status.fail(Fault::NotAgreed),
            _ => return status.fail(Fault::Malformed),
        }
        self.header(root)?;
        let nested = root.child("provision").and_then(|it| it.child("provision"));
        if let Some(nested) = nested.filter(|_| self.dialect == Dialect::Own) {
            return nested.fail(Fault::Contradiction);
        }
        let rules = self.rules(root)?;
        Ok(Read::Rules { grant, rules, notes: self.notes })
    }

    fn header(&self, root: &Element<'_>) -> Result<(), ReadError> {
        let scope = root.needed("scope")?;
        if !scope.codings()?.contains(&(SCOPE, "patient-privacy")) {
            return scope.fail(Fault::OtherScope);
        }
        for verification in root.list("verification", PROVISIONS_MAX)? {
            verification.only(&["verified", "verifiedWith", "verificationDate"])?;
            if !matches!(verification.needed("verified")?.tree, Tree::Bool(true)) {
                return verification.fail(Fault::NotVerified);
            }
        }
        for policy in root.list("policy", PROVISIONS_MAX)? {
            policy.only(&["authority", "uri"])?;
            let uri = policy.needed("uri")?;
            if !self.reading.policies.contains(&uri.text()?) {
                return uri.fail(Fault::UnknownPolicy);
            }
        }
        // R4, invariant ppc-1.
        if root.child("policy").is_none() && root.child("policyRule").is_none() {
            return Err(ReadError { at: "Consent.policy".into(), fault: Fault::UnknownPolicy });
        }
        Ok(())
    }

    /// What holds by the rule of the policy, to which R4 leaves it.
    fn base(&self, root: &Element<'_>) -> Result<Option<Effect>, ReadError> {
        let Some(rule) = root.child("policyRule") else { return Ok(None) };
        let codings = rule.codings()?;
        let has = |code| codings.contains(&(ACT_CODE, code));
        match (has("OPTIN"), has("OPTOUT")) {
            (true, false) => Ok(Some(Effect::Allow)),
            (false, true) => Ok(Some(Effect::Deny)),
            (true, true) => rule.fail(Fault::Contradiction),
            (false, false) => rule.fail(Fault::UnknownPolicy),
        }
    }

    fn rules(&mut self, root: &Element<'_>) -> Result<Vec<GrantTerms>, ReadError> {
        let nothing = Tree::Object(BTreeMap::new());
        let empty = || Element { tree: &nothing, path: "Consent.provision".into() };
        let provision = root.child("provision").unwrap_or_else(empty);
        let (around, exceptions) = match (effect_of(&provision)?, self.base(root)?) {
            // The policy allows and the provision denies, or the other way round: that is the exception.
            (Some(own), Some(base)) if own != base => {
                (self.clause(&empty(), base, None)?, vec![provision])
            }
            // The policy denies more than the provision does, and goes on denying it.
            (Some(Effect::Deny), Some(Effect::Deny))
                if provision.only(&["type", "provision"]).is_err() =>
            {
                (self.covered(&provision, &empty())?, Vec::new())
            }
            (Some(own), _) => {
                let exceptions = provision.list("provision", PROVISIONS_MAX)?;
                (self.clause(&provision, own, None)?, exceptions)
            }
            // Examples of R4 itself mean by such conditions now what the policy says, now its opposite.
            (None, Some(base)) if provision.only(&["provision"]).is_ok() => {
                let exceptions = provision.list("provision", PROVISIONS_MAX)?;
                (self.clause(&provision, base, None)?, exceptions)
            }
            (None, _) => {
                let at = format!("{}.type", provision.path);
                return Err(ReadError { at, fault: Fault::NoEffect });
            }
        };
        let mut rules = self.split(&around)?;
        let bases = rules.len();
        for exception in exceptions {
            let clause = self.exception(&exception, &around)?;
            let terms = self.split(&clause)?;
            self.keep_order(&clause, &terms, &rules[..bases])?;
            rules.extend(terms);
            if rules.len() > RULES_MAX {
                return exception.fail(Fault::TooMany { max: RULES_MAX });
            }
        }
        Ok(rules)
    }

    /// The whole prohibition by the policy, which covers that of the provision. Exceptions in it would be from a
    /// part of what is denied, and what holds then nobody has said.
    fn covered(
        &mut self,
        provision: &Element<'_>,
        empty: &Element<'_>,
    ) -> Result<Clause, ReadError> {
        // It may still hold what must not be skipped.
        self.clause(provision, Effect::Deny, None)?;
        if let Some(exception) = provision.list("provision", PROVISIONS_MAX)?.first() {
            return exception.fail(Fault::NoException);
        }
        self.clause(empty, Effect::Deny, None)
    }

    fn exception(&mut self, element: &Element<'_>, around: &Clause) -> Result<Clause, ReadError> {
        if let Some(nested) = element.child("provision") {
            return nested.fail(Fault::TooNested);
        }
        let Some(effect) = effect_of(element)? else {
            return element.fail(Fault::NoEffect);
        };
        if effect == around.effect {
            return element.fail(Fault::NoException);
        }
        if effect == Effect::Allow && around.stated.is_nothing() {
            return element.fail(Fault::WouldWiden);
        }
        let mut clause = self.clause(element, effect, Some(around))?;
        if effect == Effect::Allow {
            // Outside what is around it, it would be an exception from nothing.
            let is_around = |one: &Grantee| around.grantees.iter().any(|it| covers(*it, *one));
            if !clause.grantees.iter().all(is_around) {
                return element.fail(Fault::NoException);
            }
            clause.compartments = clause.compartments.and(around.stated.compartments);
            clause.kinds = clause.kinds.and(around.stated.kinds);
            clause.purposes = clause.purposes.and(around.purposes);
            let (from, until) = (around.window.from, around.window.until);
            clause.window.from = clause.window.from.max(from);
            clause.window.until = clause.window.until.min(until);
            if !around.records.is_empty() {
                clause.records.retain(|name| around.records.contains(name));
                if clause.records.is_empty() {
                    return element.fail(Fault::Empty);
                }
            }
        }
        Ok(clause)
    }

    fn clause(
        &mut self,
        element: &Element<'_>,
        effect: Effect,
        around: Option<&Clause>,
    ) -> Result<Clause, ReadError> {
        element.only(&PROVISION)?;
        let mut is_kept = self.action(element, effect)?;
        for name in ["code", "dataPeriod"] {
            if let Some(condition) = element.child(name) {
                self.unkept(&condition, effect)?;
                is_kept = false;
            }
        }
        let compartments = self.compartments(element, effect, around)?;
        let (kinds, stated_kinds) = self.kinds(element, effect, around)?;
        let (purposes, stated_purposes) = self.purposes(element, effect, around)?;
        let stated = Stated {
            compartments: self.stated_compartments(element, effect, compartments)?,
            kinds: stated_kinds,
            purposes: stated_purposes,
            is_kept,
        };
        let mut clause = Clause {
            path: element.path.clone(),
            effect,
            grantees: self.grantees(element, around)?,
            compartments,
            kinds,
            records: self.records(element, effect, around)?,
            purposes,
            window: self.window(element, around)?,
            accesses_max: None,
            onward: false,
            stated,
        };
        self.extensions(element, &mut clause)?;
        Ok(clause)
    }

    /// A condition that the ledger does not know.
    fn unkept(&mut self, element: &Element<'_>, effect: Effect) -> Result<(), ReadError> {
        match effect {
            Effect::Allow => element.fail(Fault::WouldWiden),
            Effect::Deny => {
                self.note(&element.path, Narrowing::ConditionIgnored);
                Ok(())
            }
        }
    }

    /// Whether it is reading that is permitted or denied, and not what comes after it alone.
    fn action(&mut self, element: &Element<'_>, effect: Effect) -> Result<bool, ReadError> {
        let actions = element.list("action", PROVISIONS_MAX)?;
        // To use what one has is not to retrieve it, but whoever may not use it need not read it.
        let is_reading: &[&str] = match effect {
            Effect::Allow => &["access"],
            Effect::Deny => &["access", "use"],
        };
        let mut named = Vec::new();
        for action in &actions {
            let codings = action.codings()?.into_iter();
            named.extend(codings.filter(|(system, _)| *system == CONSENT_ACTION));
        }
        if !actions.is_empty() && !named.iter().any(|(_, code)| is_reading.contains(code)) {
            return element.needed("action")?.fail(Fault::OtherAction);
        }
        if effect == Effect::Allow && actions.len() > 1 {
            self.note(&format!("{}.action", element.path), Narrowing::ReadingAlone);
        }
        Ok(actions.is_empty() || named.iter().any(|(_, code)| *code == "access"))
    }

    fn grantees(
        &self,
        element: &Element<'_>,
        around: Option<&Clause>,
    ) -> Result<Vec<Grantee>, ReadError> {
        let actors = element.list("actor", RULES_MAX)?;
        if actors.is_empty() {
            return Ok(around.map_or(vec![Grantee::Everyone], |it| it.grantees.clone()));
        }
        actors.iter().map(|actor| self.grantee(actor)).collect()
    }

    fn grantee(&self, actor: &Element<'_>) -> Result<Grantee, ReadError> {
        actor.only(&["role", "reference"])?;
        let role = actor.needed("role")?;
        let receives = |(system, code): &(&str, &str)| match *system {
            PARTICIPATION => matches!(*code, "IRCP" | "PRCP"),
            CONSENT_ROLE => *code == "GRANTEE",
            _ => false,
        };
        if !role.codings()?.iter().any(receives) {
            return role.fail(Fault::OtherRole);
        }
        let who = actor.needed("reference")?;
        let name = who.reference()?;
        let known = self.reading.parties.get(name).copied().or_else(|| grantee_at(name));
        known.map_or_else(|| who.fail(Fault::UnknownActor), Ok)
    }

    fn compartments(
        &mut self,
        element: &Element<'_>,
        effect: Effect,
        around: Option<&Clause>,
    ) -> Result<CompartmentSet, ReadError> {
        let labels = element.list("securityLabel", NOTES_MAX)?;
        if self.dialect == Dialect::Own {
            return self.own_compartments(element, &labels);
        }
        if self.dialect == Dialect::R4 && effect == Effect::Allow && labels.len() > 1 {
            // They are the fields of one label, which restrict together.
            return element.needed("securityLabel")?.fail(Fault::WouldWiden);
        }
        if !labels.is_empty() {
            let mut compartments = CompartmentSet::EMPTY;
            for label in &labels {
                compartments = compartments.or(self.labelled(label, effect)?);
            }
            return Ok(compartments);
        }
        let all = CompartmentSet::all();
        match effect {
            Effect::Deny => Ok(around.map_or(all, |it| it.compartments)),
            Effect::Allow => {
                self.ordinary(element, around.map_or(all, |it| it.stated.compartments))
            }
        }
    }

    /// Those of a clause's compartments that hold nothing which its labels do not name.
    fn stated_compartments(
        &self,
        element: &Element<'_>,
        effect: Effect,
        compartments: CompartmentSet,
    ) -> Result<CompartmentSet, ReadError> {
        let labels = element.list("securityLabel", NOTES_MAX)?;
        if effect == Effect::Allow || self.dialect == Dialect::Own || labels.is_empty() {
            return Ok(compartments);
        }
        let mut stated: Option<CompartmentSet> = None;
        for label in &labels {
            let (system, code) = label.coding()?;
            let meant = self.meant(system, code).iter();
            let meant: CompartmentSet =
                meant.filter_map(|it| self.reading.meanings.compartment(*it)).collect();
            stated = Some(match stated {
                None => meant,
                // Fields of one label restrict together, and tags each for itself.
                Some(others) if self.dialect == Dialect::R4 => others.and(meant),
                Some(others) => others.or(meant),
            });
        }
        Ok(stated.unwrap_or(compartments))
    }

    /// What a permission without a label is for: of `whole`, what needs no consent of its own.
    fn ordinary(
        &mut self,
        element: &Element<'_>,
        whole: CompartmentSet,
    ) -> Result<CompartmentSet, ReadError> {
        let ordinary = whole.without(self.reading.separate_consent);
        if ordinary.is_empty() {
            let at = format!("{}.securityLabel", element.path);
            return Err(ReadError { at, fault: Fault::SeparateConsent });
        }
        if ordinary != whole {
            self.note(&element.path, Narrowing::SeparateConsentLeftOut);
        }
        Ok(ordinary)
    }

    /// The compartments by their numbers, where they agree with the labels.
    fn own_compartments(
        &self,
        element: &Element<'_>,
        labels: &[Element<'_>],
    ) -> Result<CompartmentSet, ReadError> {
        let Some(text) = extension(element, "compartments")?.map(|it| it.text()).transpose()?
        else {
            return element.fail(Fault::Contradiction);
        };
        let mut compartments = CompartmentSet::EMPTY;
        for number in text.split(' ') {
            let compartment = number.parse().ok().and_then(Compartment::new);
            let Some(compartment) = compartment else { return element.fail(Fault::Malformed) };
            compartments = compartments.with(compartment);
        }
        let given = labels.iter().map(Element::coding).collect::<Result<Vec<_>, _>>()?;
        let meant = compartments.iter().filter_map(|it| self.reading.meanings.of(it));
        let meant: Vec<_> = meant.filter_map(pcf_label).collect();
        if given == meant { Ok(compartments) } else { element.fail(Fault::Contradiction) }
    }

    fn labelled(
        &mut self,
        label: &Element<'_>,
        effect: Effect,
    ) -> Result<CompartmentSet, ReadError> {
        let (system, code) = label.coding()?;
        if system != ACT_CODE && system != CONFIDENTIALITY {
            return label.fail(Fault::WouldWiden);
        }
        match effect {
            Effect::Deny => Ok(self.denied(label, system, code)),
            Effect::Allow => self.allowed(label, system, code),
        }
    }

    /// Everything in which a resource with the label can lie: it may have more labels, and the most restrictive of
    /// them chose its compartment. What no meaning is known of may hold anything.
    fn denied(&mut self, label: &Element<'_>, system: &str, code: &str) -> CompartmentSet {
        self.note(&label.path, Narrowing::LabelDeniesMore);
        let meaning =
            SecurityLabel { system: Some(system.into()), code: code.into() }.sensitivity();
        let from = match (system, self.dialect) {
            (CONFIDENTIALITY, Dialect::R4) => Sensitivity::Normal,
            _ => meaning,
        };
        let can_lie = |it: &Compartment| self.reading.meanings.of(*it).is_none_or(|it| it >= from);
        Compartment::all().filter(can_lie).collect()
    }

    fn allowed(
        &mut self,
        label: &Element<'_>,
        system: &str,
        code: &str,
    ) -> Result<CompartmentSet, ReadError> {
        let meant = self.meant(system, code);
        if meant.is_empty() {
            return label.fail(Fault::WouldWiden);
        }
        let mut compartments = CompartmentSet::EMPTY;
        for sensitivity in meant {
            let Some(compartment) = self.reading.meanings.compartment(*sensitivity) else {
                return label.fail(Fault::NoCompartment);
            };
            self.note(&label.path, Narrowing::LabelIsCompartment(*sensitivity));
            compartments = compartments.with(compartment);
        }
        if self.dialect == Dialect::R4 && (system, code) == (CONFIDENTIALITY, "R") {
            self.note(&label.path, Narrowing::RestrictedLeftOut);
        }
        Ok(compartments)
    }

    /// What a label stands for; nothing if it is for a part of a compartment, or for none.
    fn meant(&self, system: &str, code: &str) -> &'static [Sensitivity] {
        let is_r4 = self.dialect == Dialect::R4;
        match (system, code) {
            (CONFIDENTIALITY, "N") => &[Sensitivity::Normal],
            // The compartment for R is for V as well, which is above the mark.
            (CONFIDENTIALITY, "R") if is_r4 => &[Sensitivity::Normal],
            (CONFIDENTIALITY, "V") if is_r4 => &[Sensitivity::Normal, Sensitivity::Restricted],
            (CONFIDENTIALITY, "R") => &[Sensitivity::Restricted],
            (ACT_CODE, _) => {
                let of = Sensitivity::ALL.iter().find(|it| category_of(**it) == Some(code));
                of.map_or(&[], core::slice::from_ref)
            }
            _ => &[],
        }
    }

    /// The kinds of a clause, and those of them that hold nothing which its classes do not name.
    fn kinds(
        &mut self,
        element: &Element<'_>,
        effect: Effect,
        around: Option<&Clause>,
    ) -> Result<(KindSet, KindSet), ReadError> {
        let classes = element.list("class", NOTES_MAX)?;
        if classes.is_empty() {
            let kinds = around.map_or(KindSet::all(), |it| it.kinds);
            return Ok((kinds, kinds));
        }
        let mut types = Vec::new();
        for class in &classes {
            let (system, code) = class.coding()?;
            let is_known = system == RESOURCE_TYPES && crate::classify::kind_of(code).is_some();
            if !is_known {
                return class.fail(Fault::WouldWiden);
            }
            types.push(code);
        }
        let path = format!("{}.class", element.path);
        let (mut kinds, mut stated) = (KindSet::EMPTY, KindSet::EMPTY);
        for kind in RecordKind::ALL.iter().copied() {
            let has_any = types_of(kind).any(|it| types.contains(&it));
            let has_all = types_of(kind).all(|it| types.contains(&it));
            match (effect, has_any, has_all) {
                (_, _, true) => {
                    kinds = kinds.with(kind);
                    stated = stated.with(kind);
                }
                (_, false, false) => {}
                (Effect::Deny, true, false) => {
                    self.note(&path, Narrowing::KindDeniesMore(kind));
                    kinds = kinds.with(kind);
                }
                (Effect::Allow, true, false) => self.note(&path, Narrowing::KindLeftOut(kind)),
            }
        }
        if kinds.is_empty() {
            return Err(ReadError { at: path, fault: Fault::WouldWiden });
        }
        Ok((kinds, stated))
    }

    fn records(
        &mut self,
        element: &Element<'_>,
        effect: Effect,
        around: Option<&Clause>,
    ) -> Result<Vec<RecordName>, ReadError> {
        let data = element.list("data", GRANT_RECORDS_MAX)?;
        if data.is_empty() {
            return Ok(around.map_or(Vec::new(), |it| it.records.clone()));
        }
        let mut records = Vec::new();
        for item in &data {
            item.only(&["meaning", "reference"])?;
            let meaning = item.needed("meaning")?;
            match (meaning.text()?, effect) {
                ("instance", _) => {}
                ("dependents", Effect::Allow) => {
                    self.note(&meaning.path, Narrowing::DependentsLeftOut);
                }
                _ => return meaning.fail(Fault::WouldWiden),
            }
            let name = self.record(&item.needed("reference")?)?;
            if !records.contains(&name) {
                records.push(name);
            }
        }
        Ok(records)
    }

    fn record(&self, item: &Element<'_>) -> Result<RecordName, ReadError> {
        item.only(&REFERENCE)?;
        let found = if let Some(identifier) = item.child("identifier") {
            identifier.only(&["use", "type", "system", "value", "period", "assigner"])?;
            let is_own = identifier.needed("system")?.text()? == own("record");
            let value = identifier.needed("value")?.text()?;
            record_at(value).filter(|_| is_own)
        } else {
            self.reading.records.get(item.reference()?).copied()
        };
        found.map_or_else(|| item.fail(Fault::UnknownRecord), Ok)
    }

    /// The purposes of a clause, and those of them that it names.
    fn purposes(
        &mut self,
        element: &Element<'_>,
        effect: Effect,
        around: Option<&Clause>,
    ) -> Result<(PurposeSet, PurposeSet), ReadError> {
        let codes = element.list("purpose", NOTES_MAX)?;
        if codes.is_empty() {
            let all = PurposeSet::all();
            let purposes = match effect {
                Effect::Deny => around.map_or(all, |it| it.purposes),
                Effect::Allow => around.map_or(all, |it| it.stated.purposes),
            };
            return Ok((purposes, purposes));
        }
        let (mut purposes, mut stated) = (PurposeSet::EMPTY, PurposeSet::EMPTY);
        for item in &codes {
            let (system, code) = item.coding()?;
            let known = code.parse::<Purpose>().ok().filter(|_| system == ACT_REASON);
            stated = known.map_or(stated, |purpose| stated.with(purpose));
            match (known, effect) {
                (Some(purpose), Effect::Deny) if self.dialect != Dialect::Own => {
                    let comprised = comprised(purpose);
                    if !comprised.is_empty() {
                        self.note(&item.path, Narrowing::PurposeDeniesMore);
                    }
                    purposes =
                        comprised.iter().fold(purposes.with(purpose), |all, it| all.with(*it));
                }
                (Some(purpose), _) => purposes = purposes.with(purpose),
                (None, Effect::Allow) => self.note(&item.path, Narrowing::PurposeLeftOut),
                (None, Effect::Deny) => return item.fail(Fault::WouldWiden),
            }
        }
        if purposes.is_empty() {
            return element.needed("purpose")?.fail(Fault::Empty);
        }
        Ok((purposes, stated))
    }

    fn window(&self, element: &Element<'_>, around: Option<&Clause>) -> Result<Window, ReadError> {
        let usual = around
            .map_or(Window { from: self.reading.now, until: BlockTime(u64::MAX) }, |it| it.window);
        let Some(stated) = element.child("period") else { return Ok(usual) };
        stated.only(&["start", "end"])?;
        let at = |name: &str| match stated.child(name) {
            None => Ok(None),
            Some(time) => match period(time.text()?, self.reading.zone_minutes) {
                Some(dated) => Ok(Some(dated)),
                None => time.fail(Fault::Malformed),
            },
        };
        let (start, end) = (at("start")?, at("end")?);
        if start.is_none() && end.is_none() {
            return stated.fail(Fault::Malformed);
        }
        let window = Window {
            from: start.map_or(usual.from, |Dated { from, .. }| from),
            until: end.map_or(BlockTime(u64::MAX), |Dated { until, .. }| until),
        };
        if window.is_empty() { stated.fail(Fault::Empty) } else { Ok(window) }
    }

    /// Our own extensions; of others, those that may not be skipped are refused.
    fn extensions(&self, element: &Element<'_>, clause: &mut Clause) -> Result<(), ReadError> {
        for modifier in element.list("modifierExtension", PROVISIONS_MAX)? {
            let url = modifier.needed("url")?.text()?;
            let is_own = ["compartments", "kinds", "accesses-max"].iter().any(|it| url == own(it));
            if !is_own || self.dialect != Dialect::Own {
                return modifier.fail(Fault::UnknownModifier);
            }
        }
        if self.dialect != Dialect::Own {
            return Ok(());
        }
        if let Some(kinds) = extension(element, "kinds")? {
            let known = |word: &str| word.parse::<RecordKind>().ok();
            let words = kinds.text()?.split(' ').map(known).collect::<Option<KindSet>>();
            let Some(words) = words else { return kinds.fail(Fault::Malformed) };
            clause.kinds = clause.kinds.and(words);
        }
        if let Some(max) = extension(element, "accesses-max")? {
            let Tree::Number(digits) = max.tree else { return max.fail(Fault::Malformed) };
            let Ok(number) = digits.parse::<u32>() else { return max.fail(Fault::Malformed) };
            clause.accesses_max = Some(number);
        }
        if let Some(onward) = extension(element, "onward")? {
            clause.onward = matches!(onward.tree, Tree::Bool(true));
        }
        Ok(())
    }

    /// One rule for each actor, and separate consent apart.
    fn split(&mut self, clause: &Clause) -> Result<Vec<GrantTerms>, ReadError> {
        let separate = clause.compartments.and(self.reading.separate_consent);
        let ordinary = clause.compartments.without(separate);
        if clause.effect == Effect::Allow && !separate.is_empty() && !ordinary.is_empty() {
            let at = format!("{}.securityLabel", clause.path);
            return Err(ReadError { at, fault: Fault::SeparateConsent });
        }
        let fail = |fault| ReadError { at: clause.path.clone(), fault };
        let is_empty = clause.compartments.is_empty()
            || clause.kinds.is_empty()
            || clause.purposes.is_empty()
            || clause.window.is_empty()
            || clause.accesses_max == Some(0);
        if is_empty {
            return Err(fail(Fault::Empty));
        }
        let records = List::from_vec(clause.records.clone())
            .map_err(|_| fail(Fault::TooMany { max: GRANT_RECORDS_MAX }))?;
        let mut rules = Vec::new();
        for grantee in clause.grantees.iter().copied() {
            for (compartments, separate_consent) in [(ordinary, false), (separate, true)] {
                if compartments.is_empty() {
                    continue;
                }
                rules.push(GrantTerms {
                    effect: clause.effect,
                    grantee,
                    compartments,
                    kinds: clause.kinds,
                    records: records.clone(),
                    purposes: clause.purposes,
                    window: clause.window,
                    accesses_max: clause.accesses_max,
                    separate_consent,
                    onward: clause.onward,
                });
            }
        }
        if clause.accesses_max.is_some() && rules.len() > 1 {
            // The ledger would count for each of them.
            return Err(fail(Fault::Contradiction));
        }
        if rules.len() > RULES_MAX {
            return Err(fail(Fault::TooMany { max: RULES_MAX }));
        }
        Ok(rules)
    }

    /// Whether a prohibition that is an exception comes before the permission around it in the ledger's order.
    fn keep_order(
        &mut self,
        clause: &Clause,
        exceptions: &[GrantTerms],
        around: &[GrantTerms],
    ) -> Result<(), ReadError> {
        let separate_consent = self.reading.separate_consent;
        let rank = |it: &GrantTerms| (subject_rank(it.grantee), object_rank(it, separate_consent));
        let meets = |one: &GrantTerms, other: &GrantTerms| {
            let are_apart = subject_rank(one.grantee) == subject_rank(other.grantee)
                && matches!(one.grantee, Grantee::Member(_) | Grantee::Organisation(_))
                && one.grantee != other.grantee;
            !are_apart && !one.compartments.and(other.compartments).is_empty()
        };
        let pairs =
            || exceptions.iter().flat_map(|one| around.iter().map(move |other| (one, other)));
        match clause.effect {
            Effect::Deny => {
                let loses = |(deny, allow): (&GrantTerms, &GrantTerms)| {
                    meets(deny, allow) && rank(deny) < rank(allow)
                };
                if pairs().any(loses) {
                    let at = clause.path.clone();
                    return Err(ReadError { at, fault: Fault::ExceptionWouldLose });
                }
            }
            Effect::Allow => {
                let loses = |(allow, deny): (&GrantTerms, &GrantTerms)| {
                    meets(allow, deny) && rank(allow) <= rank(deny)
                };
                if pairs().any(loses) {
                    self.note(&clause.path, Narrowing::ExceptionMayLose);
                }
            }
        }
        Ok(())
    }
}

fn effect_of(provision: &Element<'_>) -> Result<Option<Effect>, ReadError> {
    let Some(stated) = provision.child("type") else { return Ok(None) };
    match stated.text()? {
        "permit" => Ok(Some(Effect::Allow)),
        "deny" => Ok(Some(Effect::Deny)),
        _ => stated.fail(Fault::Malformed),
    }
}

/// The grant that a Consent was written from, by its identifier.
fn grant_of(root: &Element<'_>) -> Result<Option<GrantId>, ReadError> {
    for identifier in root.list("identifier", PROVISIONS_MAX)? {
        if identifier.tree.text_of("system") == Some(own("grant").as_str()) {
            let value = identifier.needed("value")?;
            return match value.text()?.parse() {
                Ok(grant) => Ok(Some(grant)),
                Err(_) => value.fail(Fault::Malformed),
            };
        }
    }
    Ok(None)
}

/// The value of the one extension of ours with this name, whether it may be skipped or not.
fn extension<'a>(element: &Element<'a>, name: &str) -> Result<Option<Element<'a>>, ReadError> {
    let mut found: Option<Element<'a>> = None;
    let plain = element.list("extension", NOTES_MAX)?;
    for item in plain.into_iter().chain(element.list("modifierExtension", NOTES_MAX)?) {
        if item.tree.text_of("url") != Some(own(name).as_str()) {
            continue;
        }
        let value = ["valueString", "valueDecimal", "valueBoolean"]
            .iter()
            .find_map(|name| item.child(name));
        match value {
            Some(value) if found.is_none() => found = Some(value),
            Some(_) | None => return item.fail(Fault::Malformed),
        }
    }
    Ok(found)
}

/// The purposes that a purpose comprises in HL7's code system.
const fn comprised(purpose: Purpose) -> &'static [Purpose] {
    match purpose {
        Purpose::Treatment => &[
            Purpose::EmergencyTreatment,
            Purpose::BreakGlass,
            Purpose::Coordination,
            Purpose::ClinicalTrial,
        ],
        Purpose::EmergencyTreatment => &[Purpose::BreakGlass],
        Purpose::Operations => &[Purpose::Legal, Purpose::Administration],
        Purpose::Research => &[Purpose::ClinicalTrial],
        Purpose::PatientRequest => &[Purpose::FamilyRequest],
        Purpose::BreakGlass
        | Purpose::Coordination
        | Purpose::Payment
        | Purpose::ClinicalTrial
        | Purpose::PublicHealth
        | Purpose::FamilyRequest
        | Purpose::Legal
        | Purpose::Administration => &[],
    }
}

/// Whether all of `inner` are of `outer` for certain. Whose member someone is, a Consent does not say.
fn covers(outer: Grantee, inner: Grantee) -> bool {
    match (outer, inner) {
        (Grantee::Everyone, _) => true,
        (Grantee::Organisation(whole), Grantee::Role { organisation, .. }) => whole == organisation,
        _ => outer == inner,
    }
}

/// How specific a subject is to the ledger (docs/consent.md).
const fn subject_rank(grantee: Grantee) -> u8 {
    match grantee {
        Grantee::Member(_) => 3,
        Grantee::Role { .. } | Grantee::Team(_) | Grantee::Group(_) => 2,
        Grantee::Organisation(_) => 1,
        Grantee::Everyone => 0,
    }
}

/// How specific an object is to the ledger.
fn object_rank(terms: &GrantTerms, separate_consent: CompartmentSet) -> u8 {
    let nameable = if terms.separate_consent {
        separate_consent
    } else {
        CompartmentSet::all().without(separate_consent)
    };
    if !terms.records.is_empty() {
        3
    } else if terms.kinds != KindSet::all() {
        2
    } else {
        u8::from(terms.compartments != nameable)
    }
}
