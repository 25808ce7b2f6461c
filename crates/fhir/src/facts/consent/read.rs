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

use keepwell_types::{
    access::RecordName,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::GrantId,
    limits::GRANT_RECORDS_MAX,
    set::CompartmentSet,
    time::BlockTime,
};

use super::{
    PCF, SCOPE,
    clause::Clause,
    element::Element,
    error::{Fault, ReadError},
    note::{Narrowing, Note},
    precedence::{covers, meets, object_rank, subject_rank},
};
use crate::{
    bundle::DEPTH_MAX,
    classify::ACT_CODE,
    facts::{own, security_label::Meanings},
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
pub(super) enum Dialect {
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
pub(super) struct Reader<'a, 'b> {
    pub(super) reading: &'b Reading<'a>,
    pub(super) dialect: Dialect,
    pub(super) notes: Vec<Note>,
}

impl Reader<'_, '_> {
    pub(super) fn note(&mut self, at: &str, what: Narrowing) {
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

/// The grant that a Consent was written from, by its identifier: there is but one.
fn grant_of(root: &Element<'_>) -> Result<Option<GrantId>, ReadError> {
    let mut found = None;
    for identifier in root.list("identifier", PROVISIONS_MAX)? {
        if identifier.tree.text_of("system") != Some(own("grant").as_str()) {
            continue;
        }
        let value = identifier.needed("value")?;
        let Ok(grant) = value.text()?.parse() else { return value.fail(Fault::Malformed) };
        if found.is_some_and(|other| other != grant) {
            return identifier.fail(Fault::Contradiction);
        }
        found = Some(grant);
    }
    Ok(found)
}
