//! A provision as a clause: each condition that the ledger keeps, and what it was in the provision.

use alloc::{format, string::String, vec, vec::Vec};

use keepwell_types::{
    access::{Purpose, RecordName},
    grant::{Effect, Grantee},
    id::Compartment,
    limits::GRANT_RECORDS_MAX,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};

use super::{
    element::{Element, REFERENCE},
    error::{Fault, ReadError},
    note::Narrowing,
    pcf_label,
    read::{Dialect, NOTES_MAX, PROVISIONS_MAX, RULES_MAX, Reader},
};
use crate::{
    classify::{ACT_CODE, CONFIDENTIALITY, SecurityLabel, Sensitivity, types_of},
    facts::{
        ACT_REASON, PARTICIPATION, grantee_at, own, record_at,
        security_label::category_of,
        time::{Dated, period},
    },
    tree::Tree,
};

const RESOURCE_TYPES: &str = "http://hl7.org/fhir/resource-types";
const CONSENT_ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
const CONSENT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/consentactorrole";
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
pub(super) struct Clause {
    pub(super) path: String,
    pub(super) effect: Effect,
    pub(super) grantees: Vec<Grantee>,
    pub(super) compartments: CompartmentSet,
    pub(super) kinds: KindSet,
    pub(super) records: Vec<RecordName>,
    pub(super) purposes: PurposeSet,
    pub(super) window: Window,
    pub(super) accesses_max: Option<u32>,
    pub(super) onward: bool,
    pub(super) stated: Stated,
}

/// What of a clause the Consent itself states: of a permission all, and less of a prohibition that the ledger widens.
/// An exception opens nothing else.
#[derive(Clone, Copy)]
pub(super) struct Stated {
    /// Those that its labels stand for.
    pub(super) compartments: CompartmentSet,
    /// Those of which every type is named.
    pub(super) kinds: KindSet,
    /// Those that are named, without those that they comprise.
    pub(super) purposes: PurposeSet,
    /// Whether the ledger keeps every other condition.
    pub(super) is_kept: bool,
}

impl Stated {
    pub(super) const fn is_nothing(self) -> bool {
        !self.is_kept || self.compartments.is_empty() || self.kinds.is_empty()
    }
}

impl Reader<'_, '_> {
    pub(super) fn clause(
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
        let Some(text) = element.extension("compartments")?.map(|it| it.text()).transpose()? else {
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
        if let Some(kinds) = element.extension("kinds")? {
            let known = |word: &str| word.parse::<RecordKind>().ok();
            let words = kinds.text()?.split(' ').map(known).collect::<Option<KindSet>>();
            let Some(words) = words else { return kinds.fail(Fault::Malformed) };
            clause.kinds = clause.kinds.and(words);
        }
        if let Some(max) = element.extension("accesses-max")? {
            let Tree::Number(digits) = max.tree else { return max.fail(Fault::Malformed) };
            let Ok(number) = digits.parse::<u32>() else { return max.fail(Fault::Malformed) };
            clause.accesses_max = Some(number);
        }
        if let Some(onward) = element.extension("onward")? {
            clause.onward = matches!(onward.tree, Tree::Bool(true));
        }
        Ok(())
    }
}

/// The purposes that a purpose comprises in HL7's code system.
pub(super) const fn comprised(purpose: Purpose) -> &'static [Purpose] {
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
