//! A patient's summary (IPS 1.1, Patient/$summary): a document of what whoever asks may read of a chart.
//!
//! ```text
//! index: the newest of each resource, of types that the token is good for -- compose --> what a summary uses
//! accesses to those                                                       -- compose --> of what was allowed
//! ```
//!
//! A section whose type is not in scope, whose resources were refused and of which there are none read alike:
//! `unavailable`.
//!
//! # Invariants
//!
//! * An access to each resource of the document is committed and allowed before it is shown; what a summary does not use
//!   costs none.
//! * Resources that do not say that they are about the patient are left out.
//!
//! Not here: summaries of patients found by `identifier`, and keeping them: each is made anew.

use std::collections::{BTreeMap, BTreeSet};

use getrandom::SysRng;
use keepwell_fhir::{
    facts::summary_document::{
        Author, Input, Material, RESOURCES_BYTES_MAX, RESOURCES_MAX, Summary, SummaryError, compose,
    },
    interaction::{Id, Query, ResourceType},
    outcome::{IssueType, Outcome, Status},
    search::table,
};
use keepwell_types::{id::ChartId, time::BlockTime};
use rand_core::{Rng as _, UnwrapErr};

use crate::{
    answer::{Answer, no_index, not_found, refused},
    gateway::{Asker, Found, Gateway},
    index::{Find, ROWS_MAX},
    server::now_ms,
};

/// The profile of all that is made here: the only one that may be asked for.
const PROFILE: &str = "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips";
/// Resources of a chart that may have to be left out, one after the other, before it is given up.
const DROPS_MAX: usize = 64;

/// Checks the parameters: `profile` alone, of what IPS has for one patient.
pub fn check(query: &Query) -> Result<(), Outcome> {
    for (name, value) in query.parameters() {
        match name.as_str() {
            "_format" => {}
            "profile" if value == PROFILE => {}
            "profile" => {
                let text = format!(
                    "summaries are made by one profile; leave it out, or ask for {PROFILE}"
                );
                return Err(Outcome::error(IssueType::NotSupported, &text));
            }
            _ => {
                let text =
                    "a summary is asked for with profile alone; leave the other parameters out";
                return Err(Outcome::error(IssueType::NotSupported, text));
            }
        }
    }
    Ok(())
}

impl Gateway {
    /// The summary of a patient, of the types for which `may` holds.
    pub async fn summary(
        &self,
        asker: &Asker,
        id: &Id,
        may: impl Fn(ResourceType) -> bool,
    ) -> Result<Answer, Outcome> {
        let patient: ResourceType = "Patient".parse().expect("R4 has it");
        let found = self.only_in_sight(asker, patient, id).await?.ok_or_else(not_found)?;
        // Whoever may not see the patient learns nothing of their chart.
        if self.may_show(asker, &[&found.version]).await? != [true] {
            return Err(not_found());
        }
        let types = table::resource_types().filter_map(|of| of.parse().ok());
        let types: Vec<_> = types.filter(|of| *of != patient && may(*of)).collect();
        let mut resources = self.newest_of(found.version.chart, &types).await?;
        resources.retain(|it| asker.sight.shows_found(it));
        resources.insert(0, found);
        let organisation = self.client.organisation(&asker.actor, self.organisation).await;
        let author = organisation.map_err(|error| refused(&error))?.name.to_string();
        let time = BlockTime(now_ms());
        let draft = Draft { base: self.base(), patient: id.as_str(), author: &author, time };

        let (used, _) = draft.compose(resources)?;
        let versions: Vec<_> = used.iter().map(|it| &it.version).collect();
        let allowed = self.may_show(asker, &versions).await?;
        let used = used.into_iter().zip(allowed).filter_map(|(it, may)| may.then_some(it));
        // Of what is allowed nothing is used that was not asked for: less refers to less.
        let (_, summary) = draft.compose(used.collect())?;
        Ok(Answer::of(Status::OK, summary.json))
    }

    /// The newest versions of a chart's resources of some types.
    async fn newest_of(
        &self,
        chart: ChartId,
        types: &[ResourceType],
    ) -> Result<Vec<Found>, Outcome> {
        let kinds: Vec<_> =
            types.iter().map(|of| self.terms().kind_of(chart, of.as_str())).collect();
        let at = self.index.now().await.map_err(|error| no_index(&error))?;
        let (mut found, mut bytes, mut after) = (Vec::new(), 0, 0);
        loop {
            let find = Find { kinds: &kinds, terms: &[], at, after, rows_max: ROWS_MAX };
            let rows = self.index.find(&find).await.map_err(|error| no_index(&error))?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = last.row;
            bytes += rows.iter().map(|it| it.body.len()).sum::<usize>();
            found.extend(rows.into_iter().filter_map(Found::of));
            if found.len() >= RESOURCES_MAX || bytes > RESOURCES_BYTES_MAX {
                return Err(too_large());
            }
        }
    }
}

/// What a summary is made with, beside the resources.
struct Draft<'a> {
    base: &'a str,
    patient: &'a str,
    /// The organisation's name.
    author: &'a str,
    time: BlockTime,
}

impl Draft<'_> {
    /// The summary of some resources, and those of them that it uses.
    fn compose(&self, mut found: Vec<Found>) -> Result<(Vec<Found>, Summary), Outcome> {
        keep_first_of_each(&mut found);
        let (bundle_id, composition_id) = (uuid(), uuid());
        for _ in 0..=DROPS_MAX {
            let aliases = aliases_of(&found);
            let inputs = found.iter().zip(&aliases);
            let inputs: Vec<_> = inputs
                .map(|(it, alias)| Input { json: it.json(), alias: alias.as_deref() })
                .collect();
            let composed = compose(&Material {
                bundle_id: &bundle_id,
                composition_id: &composition_id,
                time: self.time,
                base: self.base,
                patient: self.patient,
                author: Author::Named(self.author),
                resources: &inputs,
                nil_known: &[],
            });
            match composed {
                Ok(summary) => {
                    let unused: BTreeSet<_> = summary.left_out.iter().copied().collect();
                    let mut places = 0..;
                    found.retain(|_| places.next().is_some_and(|place| !unused.contains(&place)));
                    return Ok((found, summary));
                }
                Err(
                    SummaryError::NotAResource { place }
                    | SummaryError::Twice { place }
                    | SummaryError::OtherPatient { place },
                ) => drop(found.remove(place)),
                Err(SummaryError::TooLarge) => return Err(too_large()),
                // The patient's record was refused meanwhile.
                Err(SummaryError::NoPatient) => return Err(not_found()),
                Err(
                    SummaryError::Argument(_) | SummaryError::NoAuthor | SummaryError::NotNil(_),
                ) => return Err(impossible()),
            }
        }
        Err(impossible())
    }
}

/// Leaves out what has the type and id of one before it, which came from another author.
fn keep_first_of_each(found: &mut Vec<Found>) {
    let mut seen = BTreeSet::new();
    found.retain(|it| seen.insert(it.path()));
}

/// What other resources may call each: what came in Bundles is referred to as those called it, where one alone has the id.
fn aliases_of(found: &[Found]) -> Vec<Option<String>> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for it in found {
        *counts.entry(it.id()).or_default() += 1;
    }
    let alias = |it: &Found| (counts[it.id()] == 1).then(|| format!("urn:uuid:{}", it.id()));
    found.iter().map(alias).collect()
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|it| &digits[it]);
    parts.join("-")
}

fn too_large() -> Outcome {
    let text = "the chart has more than a summary holds; search for what is needed, or ask for $everything page by page";
    Outcome::error(IssueType::TooCostly, text)
}

fn impossible() -> Outcome {
    let text = "no summary can be made of this chart: too much of it does not say that it is about the patient; search for what is needed, and have the rest amended";
    Outcome::error(IssueType::Processing, text)
}

#[cfg(test)]
mod tests {
    use keepwell_crypto::index::TERM_BYTES;
    use keepwell_types::id::{LogPosition, RecordId};
    use serde_json::{Value, json};
    use zeroize::Zeroizing;

    use super::*;
    use crate::index::Version;

    fn found(resource: &Value) -> Found {
        let version = Version {
            row: 1,
            record: RecordId([0; 32]),
            chart: ChartId([0; 32]),
            position: LogPosition(0),
            name: [0; TERM_BYTES],
            number: 1,
            time: BlockTime(1),
            body: Zeroizing::new(resource.to_string().into_bytes()),
        };
        Found::of(version).unwrap()
    }

    fn condition(id: &str, subject: &str) -> Value {
        json!({
            "resourceType": "Condition", "id": id, "subject": { "reference": subject },
            "code": { "text": id },
        })
    }

    fn composed(resources: &[Value]) -> Result<(Vec<String>, Value), Outcome> {
        let base = "https://gateway.example/fhir";
        let draft = Draft { base, patient: "p", author: "Clinic", time: BlockTime(1) };
        let patient = json!({ "resourceType": "Patient", "id": "p" });
        let all = [&patient].into_iter().chain(resources).map(found);
        let (used, summary) = draft.compose(all.collect())?;
        let used = used.iter().map(Found::path).collect();
        Ok((used, serde_json::from_str(&summary.json).unwrap()))
    }

    #[test]
    fn what_is_not_about_the_patient_is_left_out() {
        let resources = [
            condition("1", "Patient/p"),
            condition("2", "Patient/another"),
            condition("3", "urn:uuid:p"),
            // As another author called it.
            condition("1", "Patient/p"),
            // Nothing refers to it.
            json!({ "resourceType": "Organization", "id": "o" }),
        ];
        let (used, summary) = composed(&resources).unwrap();
        assert_eq!(used, ["Patient/p", "Condition/1", "Condition/3"]);
        assert_eq!(summary["entry"].as_array().unwrap().len(), 4, "{summary}");
        assert_eq!(summary["entry"][0]["resource"]["author"][0]["display"], "Clinic");
    }

    #[test]
    fn an_id_of_two_types_names_neither() {
        let both = [
            json!({ "resourceType": "Organization", "id": "p" }),
            condition("1", "urn:uuid:p"),
            condition("2", "Patient/p"),
        ];
        let (used, _) = composed(&both).unwrap();
        assert_eq!(used, ["Patient/p", "Condition/2"]);
    }

    #[test]
    fn a_chart_of_others_has_no_summary() {
        let others: Vec<_> =
            (0..=DROPS_MAX).map(|id| condition(&id.to_string(), "Patient/another")).collect();
        assert!(composed(&others[..DROPS_MAX]).is_ok());
        assert!(composed(&others).unwrap_err().to_json().contains("search"));
    }

    #[test]
    fn a_summary_is_asked_for_by_its_profile_or_none() {
        let asked = |text: &str| check(&Query::parse(text).unwrap());
        for good in ["", "_format=json", &format!("profile={PROFILE}")] {
            assert!(asked(good).is_ok(), "{good}");
        }
        for bad in ["profile=http://example.org", "identifier=a|b", "_type=Condition", "_count=1"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_uuids_of_version_4() {
        let id = uuid();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        assert!("89ab".contains(&id[19..20]) && id != uuid(), "{id}");
    }
}
