//! The ImagingStudy of a study: which instances it has, and which record each of them is.
//!
//! # Invariants
//!
//! * Its id follows from the study's UID under the organisation's key and from nothing else, so that a UID leads to it.
//! * It is written by whoever is alone with its study, and on the version that was read; another gateway's change is read
//!   first. So it only ever gains instances.
//!
//! Not here: descriptions of studies and series, who ordered and who read them.

use std::collections::BTreeSet;

use keepwell_fhir::{
    interaction::{Id, ResourceType},
    outcome::{IssueType, Outcome, Status},
};
use keepwell_types::id::{ChartId, UniquenessTag};
use serde_json::{Value, json};

use super::{Uid, address_of, head::Head};
use crate::{
    content::Content,
    gateway::{Asker, Found, Gateway},
    transaction::Write,
    write::{Refusal, Sent, follows},
};

/// The extension of an instance that says the SHA-256 digest of its file.
const DIGEST: &str = "urn:keepwell:fhir:sha-256";
/// Instances of one study: what it is found by fits in the index.
const INSTANCES_MAX: usize = 4_096;
/// How often a change of another gateway is read before one's own.
const RACES_MAX: u32 = 4;

/// An instance with its record.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(super) head: Head,
    pub(super) digest: [u8; 32],
    pub(super) content: Content,
}

/// An instance of a study.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Instance {
    pub(super) series: String,
    pub(super) uid: String,
    pub(super) digest: String,
    pub(super) content: Content,
}

/// The FHIR id of a study's resource.
pub(crate) fn id_of(study: &Uid) -> Id {
    let digest =
        keepwell_crypto::hash::digest("keepwell/gateway/study/v1", &[study.as_str().as_bytes()]);
    hex::encode(&digest.0[..24]).parse().expect("hexadecimal digits are an id")
}

pub(super) fn imaging_study() -> ResourceType {
    "ImagingStudy".parse().expect("R4 has it")
}

/// The instances that a resource names.
pub(super) fn instances(resource: &Value) -> Vec<Instance> {
    let all = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for series in all(resource, "series") {
        for one in all(&series, "instance") {
            let digest = all(&one, "extension").into_iter().find(|it| it["url"] == DIGEST);
            let digest = digest.and_then(|it| Some(it["valueString"].as_str()?.to_owned()));
            if let (Some(series), Some(uid), Some(digest), Some(content)) =
                (series["uid"].as_str(), one["uid"].as_str(), digest, Content::in_element(&one))
            {
                found.push(Instance { series: series.into(), uid: uid.into(), digest, content });
            }
        }
    }
    found
}

impl Gateway {
    /// The tag that only one live resource of a study has.
    pub(super) fn study_tag(&self, study: &Uid) -> UniquenessTag {
        self.index.key().tag(&[b"dicom-study", study.as_str().as_bytes()])
    }

    /// Adds instances of one study to its resource, and says of each whether it is in it now: it is not, if the study has
    /// other bytes under its UID.
    pub(super) async fn add_instances(
        &self,
        asker: &Asker,
        (chart, patient, study): (ChartId, &Id, &Uid),
        stored: &[Stored],
    ) -> Result<Vec<bool>, Outcome> {
        let tag = self.study_tag(study);
        let _alone = self.tags.alone([tag].into()).await;
        let (of, id) = (imaging_study(), id_of(study));
        let mut races = 0;
        loop {
            let found = self.only(of, &id).await?;
            if found.as_ref().is_some_and(|it| it.version.chart != chart) {
                return Err(of_another());
            }
            let base = found
                .as_ref()
                .map_or_else(|| self.new_study(patient, study), |it| it.resource.clone());
            let (resource, taken, changed) = with_instances(base, stored)?;
            if !changed {
                return Ok(taken);
            }
            let write = self.write_of(&found, (chart, &id), (&resource, tag))?;
            match self.add(asker, &write).await {
                Ok(_) => return Ok(taken),
                Err(refusal) if races < RACES_MAX && is_raced(&refusal) => {
                    races += 1;
                    // The other one's change is on the ledger.
                    drop(self.follow().await);
                }
                Err(refusal) => return Err(refusal.outcome()),
            }
        }
    }

    fn write_of(
        &self,
        found: &Option<Found>,
        (chart, id): (ChartId, &Id),
        (resource, tag): (&Value, UniquenessTag),
    ) -> Result<Write, Outcome> {
        let sent = Sent::of_json(imaging_study(), &resource.to_string())?;
        Ok(match found {
            Some(newest) => Write { chart, sent, uniqueness: None, amends: Some(follows(newest)?) },
            None => Write { chart, sent: sent.called(id)?, uniqueness: Some(tag), amends: None },
        })
    }

    fn new_study(&self, patient: &Id, study: &Uid) -> Value {
        json!({
            "resourceType": "ImagingStudy",
            "contained": [{
                "resourceType": "Endpoint", "id": "wado", "status": "active",
                "connectionType": {
                    "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                    "code": "dicom-wado-rs",
                },
                "payloadType": [{ "text": "DICOM" }], "payloadMimeType": ["application/dicom"],
                "address": address_of(self.base()),
            }],
            "identifier": [{
                "system": "urn:dicom:uid", "value": format!("urn:oid:{}", study.as_str()),
            }],
            "status": "available",
            "subject": { "reference": format!("Patient/{patient}") },
            "endpoint": [{ "reference": "#wado" }],
        })
    }
}

fn is_raced(refusal: &Refusal) -> bool {
    use keepwell_types::outcome::Rejection;

    refusal.is_tag_taken() || matches!(refusal, Refusal::Ledger(_, Rejection::NotNewest { .. }))
}

/// A study with instances; of each, whether it is in it; and whether anything changed.
fn with_instances(
    mut study: Value,
    stored: &[Stored],
) -> Result<(Value, Vec<bool>, bool), Outcome> {
    let (mut taken, mut changed) = (Vec::new(), false);
    let mut known = instances(&study);
    let mut all = study["series"].as_array().cloned().unwrap_or_default();
    for Stored { head, digest, content } in stored {
        let digest = hex::encode(digest);
        let uid = head.instance.as_str();
        if let Some(there) = known.iter().find(|it| it.uid == uid) {
            taken.push(there.digest == digest);
            continue;
        }
        if known.len() >= INSTANCES_MAX {
            return Err(too_many());
        }
        let mut instance = json!({
            "extension": [content.extension(), { "url": DIGEST, "valueString": digest }],
            "uid": uid,
            "sopClass": {
                "system": "urn:ietf:rfc:3986",
                "code": format!("urn:oid:{}", head.class.as_str()),
            },
        });
        if let Some(number) = head.number {
            instance["number"] = number.into();
        }
        let place = all.iter().position(|it| it["uid"] == head.series.as_str());
        let place = place.unwrap_or_else(|| {
            all.push(new_series(head));
            all.len() - 1
        });
        if let Some(instances) = all[place]["instance"].as_array_mut() {
            instances.push(instance);
        }
        let series = head.series.as_str().to_owned();
        known.push(Instance { series, uid: uid.into(), digest, content: *content });
        taken.push(true);
        changed = true;
        if let (Some(started), Value::Null) = (&head.started, &study["started"]) {
            study["started"] = started.as_str().into();
        }
    }
    if changed {
        counted(&mut study, all, known.len());
    }
    Ok((study, taken, changed))
}

fn new_series(head: &Head) -> Value {
    let modality = head.modality.as_deref().unwrap_or("OT");
    let mut series = json!({
        "uid": head.series.as_str(),
        "modality": coding(modality),
        "instance": [],
    });
    if let Some(number) = head.series_number {
        series["number"] = number.into();
    }
    series
}

fn coding(modality: &str) -> Value {
    json!({ "system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality })
}

/// Sets the series, and what is said of all of them.
fn counted(study: &mut Value, mut series: Vec<Value>, instances: usize) {
    let mut modalities = BTreeSet::new();
    for one in &mut series {
        let count = one["instance"].as_array().map_or(0, Vec::len);
        one["numberOfInstances"] = count.into();
        modalities.extend(one["modality"]["code"].as_str().map(str::to_owned));
    }
    study["modality"] = modalities.iter().map(|it| coding(it)).collect();
    study["numberOfSeries"] = series.len().into();
    study["numberOfInstances"] = instances.into();
    study["series"] = series.into();
}

fn of_another() -> Outcome {
    let text = "the study is another patient's here";
    Outcome::error(IssueType::Conflict, text).with_status(Status::CONFLICT)
}

fn too_many() -> Outcome {
    let text = format!("a study has {INSTANCES_MAX} instances at most");
    Outcome::error(IssueType::TooCostly, &text)
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        access::RecordName,
        id::{LogPosition, RecordId},
    };

    use super::*;

    fn stored(series: &str, instance: &str, digest: u8) -> Stored {
        let uid = |text: &str| Uid::parse(text).unwrap();
        let head = Head {
            class: uid("1.2"),
            instance: uid(instance),
            study: uid("9"),
            series: uid(series),
            patient: None,
            issuer: None,
            modality: Some("CT".into()),
            started: Some("2026-01-02".into()),
            series_number: Some(1),
            number: Some(2),
        };
        let name = RecordName { position: LogPosition(7), record: RecordId([digest; 32]) };
        Stored { head, digest: [digest; 32], content: Content { name, bytes: 10 } }
    }

    #[test]
    fn a_study_gains_instances_and_loses_none() {
        let (study, taken, changed) =
            with_instances(json!({}), &[stored("1", "1.1", 1), stored("2", "2.1", 2)]).unwrap();
        assert_eq!((taken, changed), (vec![true, true], true));
        let (study, taken, changed) =
            with_instances(study, &[stored("1", "1.2", 3), stored("1", "1.1", 1)]).unwrap();
        assert_eq!((taken, changed), (vec![true, true], true));
        assert_eq!(study["numberOfInstances"], 3);
        assert_eq!(study["numberOfSeries"], 2);
        let all = instances(&study);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].content, stored("1", "1.1", 1).content);
        // The same again changes nothing; other bytes under its UID are refused.
        let (again, taken, changed) =
            with_instances(study.clone(), &[stored("1", "1.1", 1)]).unwrap();
        assert_eq!((again, taken, changed), (study.clone(), vec![true], false));
        let (again, taken, changed) =
            with_instances(study.clone(), &[stored("1", "1.1", 9)]).unwrap();
        assert_eq!((again, taken, changed), (study, vec![false], false));
    }
}
