//! What resources are found by in the index, as terms under the organisation's key.
//!
//! ```text
//! name        author, type, id                       a resource, to whoever asks for it by its URL
//! kind        chart, type                            where a search looks that is confined to patients
//!             Patient                                where one looks that finds patients
//! text, day   chart, type, parameter, value          a key of a search, of anything but a Patient
//!             parameter, value                       of a Patient: identifiers, names, a day of birth, ways to reach it
//! beginning   parameter, three to eight characters   of a Patient's names
//! any         as text, without a value               more keys than are kept
//! chart       chart                                  its Patient
//! fact        type, place in the chain               an id of a fact of the ledger, which stands in no row
//! ```
//!
//! # Invariants
//!
//! * What has few values is a term with its chart, so that nobody counts patients by it. Of Patients, which are looked for
//!   over all charts, only what has many values is a term: no gender, no marital status. Whoever has the database alone
//!   still sees how many Patients share a name or a day of birth.
//! * A resource that matches a query has, for each of the query's groups of terms, one of them: what [`search::keys`] and
//!   [`Query::probes`] say of keys holds of their terms, and a group that has none here narrows nothing.
//!
//! Not here: numbers, words within words, and all dates but one day's, which are decided on the opened resource.

use keepwell_crypto::index::{IndexKey, Term};
use keepwell_fhir::search::{
    self, Entry, Key, Probe, Query,
    table::{Kind, parameters},
};
use keepwell_types::id::{ChartId, Height, Location, OrganisationId};

use crate::index::FIND_TERMS_MAX;

/// Characters by which the beginning of a name is found, at least: fewer have few values.
const BEGINNING_CHARS_MIN: usize = 3;
/// And at most.
const BEGINNING_CHARS_MAX: usize = 8;
/// Bytes of a term in the id of a fact.
const FACT_BYTES: usize = 12;
/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Parameters of a Patient that are terms.
const OF_PATIENTS: [&str; 9] =
    ["_id", "birthdate", "email", "family", "given", "identifier", "name", "phone", "telecom"];
const PATIENT: &str = "Patient";

/// Makes terms.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a>(pub &'a IndexKey);

impl Terms<'_> {
    /// A resource by whom it is from, its type and its id.
    pub fn name(&self, author: OrganisationId, resource_type: &str, id: &str) -> Term {
        self.0.term(&[b"name", &author.0, resource_type.as_bytes(), id.as_bytes()])
    }

    /// The resources of a type in a chart.
    pub fn kind(&self, chart: ChartId, resource_type: &str) -> Term {
        self.0.term(&[b"kind", &chart.0, resource_type.as_bytes()])
    }

    /// The Patients of all charts.
    pub fn patients(&self) -> Term {
        self.0.term(&[b"patients"])
    }

    /// The id of a fact of the ledger, as a resource of a type: where its entry stands, and a term of it, so that nobody
    /// else can make one. At most 64 characters (R4, id).
    pub fn fact(&self, resource_type: &str, Location { height, index }: Location) -> String {
        let place = [&height.0.to_be_bytes()[..], &index.to_be_bytes()[..]].concat();
        let term = self.0.term(&[b"fact", resource_type.as_bytes(), &place]);
        format!("{height}-{index}-{}", hex::encode(&term[..FACT_BYTES]))
    }

    /// Where the entry stands of which a fact has this id; nothing if it is none of a fact.
    pub fn fact_at(&self, resource_type: &str, id: &str) -> Option<Location> {
        let (height, rest) = id.split_once('-')?;
        let (index, _) = rest.split_once('-')?;
        let at = Location { height: Height(height.parse().ok()?), index: index.parse().ok()? };
        (self.fact(resource_type, at) == id).then_some(at)
    }

    /// The kind that a resource is kept as.
    pub fn kind_of(&self, chart: ChartId, resource_type: &str) -> Term {
        if resource_type == PATIENT { self.patients() } else { self.kind(chart, resource_type) }
    }

    /// What a resource of a chart is found by. `base` is the gateway's public address.
    pub fn of_entry(&self, chart: ChartId, entry: &Entry<'_>, base: &str) -> Vec<Term> {
        let space = Space::of(chart, entry.resource_type());
        let mut terms = Vec::new();
        for (parameter, key) in search::keys(entry, base) {
            if !space.has(parameter) {
                continue;
            }
            match key {
                Key::Text(text) => {
                    terms.push(self.text(&space, parameter, &text));
                    if space.has_beginnings(parameter) {
                        terms.extend(self.beginnings(&space, parameter, &text));
                    }
                }
                Key::Seconds(first, last) if is_day(first, last) => {
                    terms.push(self.day(&space, parameter, first));
                }
                Key::Seconds(..) | Key::Any => terms.push(self.any(&space, parameter)),
            }
        }
        if matches!(space, Space::Patients) {
            terms.push(self.patient_of(chart));
        }
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// The Patient of a chart.
    pub fn patient_of(&self, chart: ChartId) -> Term {
        self.0.term(&[b"chart", &chart.0])
    }

    /// What to ask the index: one of each of these lists. Of a query that looks in several charts, for one of them.
    pub fn of_query(&self, chart: Option<ChartId>, query: &Query) -> Vec<Vec<Term>> {
        let space = match chart {
            Some(chart) => Space::of(chart, query.resource_type),
            None => Space::Patients,
        };
        let mut left = FIND_TERMS_MAX / 2;
        let mut groups = Vec::new();
        for (parameter, probes) in query.probes() {
            if !space.has(parameter) {
                continue;
            }
            let terms = probes.iter().map(|probe| self.probe(&space, parameter, probe));
            let Some(mut terms) = terms.collect::<Option<Vec<_>>>() else { continue };
            terms.push(self.any(&space, parameter));
            // What is left out narrows less, and hides nothing.
            if terms.len() <= left {
                left -= terms.len();
                groups.push(terms);
            }
        }
        groups
    }

    fn probe(&self, space: &Space, parameter: &str, probe: &Probe) -> Option<Term> {
        match probe {
            Probe::Is(text) => Some(self.text(space, parameter, text)),
            Probe::Begins(text) if space.has_beginnings(parameter) => {
                let end = ends(text).last()?;
                Some(self.beginning(space, parameter, &text[..end]))
            }
            Probe::Touches(first, last) if is_day(*first, *last) => {
                Some(self.day(space, parameter, *first))
            }
            Probe::Begins(_) | Probe::Touches(..) => None,
        }
    }

    fn beginnings(&self, space: &Space, parameter: &str, text: &str) -> Vec<Term> {
        ends(text).map(|end| self.beginning(space, parameter, &text[..end])).collect()
    }

    fn beginning(&self, space: &Space, parameter: &str, text: &str) -> Term {
        self.in_space(space, b"beginning", parameter, text.as_bytes())
    }

    fn text(&self, space: &Space, parameter: &str, text: &str) -> Term {
        self.in_space(space, b"text", parameter, text.as_bytes())
    }

    fn day(&self, space: &Space, parameter: &str, first: i64) -> Term {
        self.in_space(space, b"day", parameter, &first.to_be_bytes())
    }

    fn any(&self, space: &Space, parameter: &str) -> Term {
        self.in_space(space, b"any", parameter, b"")
    }

    fn in_space(&self, space: &Space, what: &[u8], parameter: &str, value: &[u8]) -> Term {
        match space {
            Space::Patients => self.0.term(&[what, b"", b"", parameter.as_bytes(), value]),
            Space::Chart { chart, resource_type } => {
                let resource_type = resource_type.as_bytes();
                self.0.term(&[what, &chart.0, resource_type, parameter.as_bytes(), value])
            }
        }
    }
}

/// Whether these are the first and last second of one day, as dates are counted: two of those touch only if they are one.
fn is_day(first: i64, last: i64) -> bool {
    first.rem_euclid(DAY_S) == 0 && last.checked_sub(first) == Some(DAY_S - 1)
}

/// Where the beginnings of a text end.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.take(BEGINNING_CHARS_MAX).skip(BEGINNING_CHARS_MIN - 1)
}

/// Among what a term tells resources apart.
enum Space {
    Patients,
    Chart { chart: ChartId, resource_type: String },
}

impl Space {
    fn of(chart: ChartId, resource_type: &str) -> Self {
        match resource_type {
            PATIENT => Self::Patients,
            other => Self::Chart { chart, resource_type: other.to_owned() },
        }
    }

    fn has(&self, parameter: &str) -> bool {
        match self {
            Self::Patients => OF_PATIENTS.contains(&parameter),
            Self::Chart { .. } => true,
        }
    }

    fn has_beginnings(&self, parameter: &str) -> bool {
        let is_string =
            |name: &str| parameters(PATIENT).any(|it| it.name == name && it.kind == Kind::String);
        matches!(self, Self::Patients) && is_string(parameter)
    }
}

#[cfg(test)]
mod tests {
    use keepwell_fhir::search::{Handling, Options, table};
    use serde_json::{Value, json};

    use super::*;
    use crate::index::ROW_TERMS_MAX;

    const BASE: &str = "https://gateway.example/fhir";
    const CHART: ChartId = ChartId([3; 32]);

    fn key() -> IndexKey {
        IndexKey::from_bytes(&[7; 32])
    }

    fn query(resource_type: &str, text: &str) -> Query {
        let pairs = search::form::decode(text).unwrap();
        let options = Options { base: BASE, now_ms: 0, handling: Handling::Strict };
        Query::parse(resource_type, &pairs, options).unwrap()
    }

    /// Whether the index would find the resource, and whether it narrows the search at all.
    fn found(resource: &Value, text: &str) -> (bool, bool) {
        let (key, resource_type) = (key(), resource["resourceType"].as_str().unwrap());
        let entry = Entry::new(resource, "1", "2026-01-01T00:00:00Z");
        let terms = Terms(&key).of_entry(CHART, &entry, BASE);
        let chart = (resource_type != PATIENT).then_some(CHART);
        let groups = Terms(&key).of_query(chart, &query(resource_type, text));
        let is_hit = |group: &Vec<Term>| group.iter().any(|term| terms.contains(term));
        (groups.iter().all(is_hit), !groups.is_empty())
    }

    #[test]
    fn ids_of_facts_are_the_gateways_own() {
        let (key, other) = (key(), IndexKey::from_bytes(&[9; 32]));
        let longest = Location { height: Height(u64::MAX), index: u32::MAX };
        for at in [Location { height: Height(7), index: 2 }, longest] {
            let id = Terms(&key).fact("AuditEvent", at);
            assert!(id.len() <= 64, "{id}");
            assert_eq!(Terms(&key).fact_at("AuditEvent", &id), Some(at));
            assert_eq!(Terms(&key).fact_at("Provenance", &id), None);
            assert_eq!(Terms(&other).fact_at("AuditEvent", &id), None);
            for bad in [&id[1..], &id[..id.len() - 1], &format!("0{id}"), &id.to_uppercase()] {
                assert_eq!(Terms(&key).fact_at("AuditEvent", bad), None, "{bad}");
            }
        }
        for bad in ["", "7", "7-2", "7-2-", "-7-2-00", "7--2", "x-y-z"] {
            assert_eq!(Terms(&key).fact_at("AuditEvent", bad), None, "{bad}");
        }
    }

    #[test]
    fn patients_are_found_by_who_they_are() {
        let patient = json!({
            "resourceType": "Patient",
            "identifier": [{ "system": "urn:mrn", "value": "12" }],
            "name": [{ "family": "Sørensen-Łukasiewicz", "given": ["Ana"] }],
            "birthDate": "1980-02-29", "gender": "female",
        });
        for (text, is_narrow) in [
            ("identifier=urn:mrn|12", true),
            ("identifier=12", true),
            ("family=sør", true),
            ("family=Sørensen-Łuk", true),
            ("name:exact=Ana", true),
            ("birthdate=1980-02-29", true),
            ("given=ana&gender=female", true),
            ("gender=female", false),
            ("birthdate=ge1980", false),
            ("birthdate=1980", false),
            ("family:contains=ren", false),
            ("family=sø", false),
        ] {
            assert_eq!(found(&patient, text), (true, is_narrow), "{text}");
        }
        for text in ["identifier=urn:mrn|13", "family=sørx", "birthdate=1980-03-01", "_id=2"] {
            assert_eq!(found(&patient, text), (false, true), "{text}");
        }
    }

    #[test]
    fn less_than_a_day_is_found_by_any_day() {
        let patient = json!({ "resourceType": "Patient", "birthDate": "1980" });
        assert_eq!(found(&patient, "birthdate=1980-02-29"), (true, true));
    }

    #[test]
    fn a_stretch_as_long_as_a_day_is_none() {
        let observation = json!({
            "resourceType": "Observation",
            "effectivePeriod": {
                "start": "2026-01-01T12:00:00Z", "end": "2026-01-02T11:59:59Z",
            },
        });
        for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
            assert!(found(&observation, &format!("date={day}")).0, "{day}");
        }
        assert!(!is_day(i64::MIN, i64::MAX) && !is_day(1, DAY_S) && is_day(-DAY_S, -1));
        // One that never began, and one before 1970 that never ends.
        for period in [json!({ "end": "2026-01-02" }), json!({ "start": "1950-01-01" })] {
            let open = json!({ "resourceType": "Observation", "effectivePeriod": period });
            assert!(found(&open, "date=2026-01-01").0);
        }
    }

    /// So no resource, whoever made it, has more terms than a row takes, and what follows it in its chart comes in.
    #[test]
    fn no_resource_has_too_many_terms() {
        for of in table::resource_types() {
            let beginnings = BEGINNING_CHARS_MAX - BEGINNING_CHARS_MIN + 1;
            let space = Space::of(CHART, of);
            let has = parameters(of).filter(|it| space.has(it.name));
            let of_one = has.map(|it| 1 + usize::from(space.has_beginnings(it.name)) * beginnings);
            let terms = of_one.sum::<usize>() * search::KEYS_MAX + 1;
            assert!(terms <= ROW_TERMS_MAX, "{of}: {terms}");
        }
    }

    #[test]
    fn terms_of_one_chart_are_none_of_another() {
        let (key, other) = (key(), ChartId([4; 32]));
        let observation = json!({
            "resourceType": "Observation", "status": "final",
            "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
            "subject": { "reference": "Patient/1" },
        });
        assert_eq!(found(&observation, "code=http://loinc.org|8867-4&patient=1"), (true, true));
        assert_eq!(found(&observation, "code=8867-5"), (false, true));
        let entry = Entry::new(&observation, "1", "2026-01-01T00:00:00Z");
        let here = Terms(&key).of_entry(CHART, &entry, BASE);
        let there = Terms(&key).of_entry(other, &entry, BASE);
        assert!(!here.is_empty() && here.iter().all(|term| !there.contains(term)));
    }
}
