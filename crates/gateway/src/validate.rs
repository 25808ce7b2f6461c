//! `$validate`: whether a resource would be taken (R4, Resource/$validate), without taking it.
//!
//! It says all that this gateway itself looks at when a resource is written: JSON, structure, whose it is. Nothing is
//! stored, and of a resource that is sent nothing is asked of the ledger; one that is stored is read first, by an
//! access.
//!
//! Warnings are what keeps a resource from being written by itself, and not in a transaction with others.
//!
//! Not here: what the ledger decides (whether who asks may author in the chart, and which version is the newest), and
//! what nobody looks at here: required codes and terminology, rules (invariants), profiles, what references refer to.

use keepwell_fhir::{
    bundle::{self, Owner},
    interaction::{Id, Query, ResourceType, Scope},
    outcome::{Issue, IssueType, Outcome, Severity, Status},
    parameters::Parameters,
};
use serde_json::Value;

use crate::{
    answer::Answer,
    capability::{is_about_patients, no_deletes},
    follow::BODY_BYTES_MAX,
    gateway::{Asker, Gateway},
    write::{no_patient, other_id, several_patients},
};

/// Where the profiles of R4 itself are.
const R4: &str = "http://hl7.org/fhir/StructureDefinition/";

/// What is to be done with a resource (value set `resource-validation-mode`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Create,
    Update,
    Delete,
    Profile,
}

/// A request to validate.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    mode: Option<Mode>,
    profiles: Vec<String>,
    /// The resource, if one was sent.
    resource: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    /// Reads a request, whose resource is its body or stands in one of Parameters.
    pub(crate) fn read(query: &Query, body: &'a [u8]) -> Result<Self, Outcome> {
        let mut asked = Self::default();
        let mut pairs: Vec<_> = query.parameters().collect();
        // What is no JSON is a resource that is wrong.
        let parameters = Parameters::read(body).ok().flatten();
        match parameters.filter(|it| !it.resources.is_empty() || is_of_request(it)) {
            Some(Parameters { pairs: sent, resources }) => {
                pairs.extend(sent);
                let [(name, resource)] = &resources[..] else {
                    if resources.is_empty() {
                        asked.take_all(&pairs)?;
                        return Ok(asked);
                    }
                    return Err(unknown("more than one resource"));
                };
                if name != "resource" {
                    return Err(unknown(name));
                }
                asked.resource = Some(resource.as_bytes());
            }
            None => asked.resource = Some(body).filter(|it| !it.is_empty()),
        }
        asked.take_all(&pairs)?;
        Ok(asked)
    }

    fn take_all(&mut self, pairs: &[(String, String)]) -> Result<(), Outcome> {
        for (name, value) in pairs {
            match (name.as_str(), value.as_str()) {
                ("mode", "create") => self.mode = Some(Mode::Create),
                ("mode", "update") => self.mode = Some(Mode::Update),
                ("mode", "delete") => self.mode = Some(Mode::Delete),
                ("mode", "profile") => self.mode = Some(Mode::Profile),
                ("profile", profile) => self.profiles.push(profile.to_owned()),
                ("_format", _) => {}
                _ => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    /// Whether it is of what is stored.
    pub(crate) const fn is_of_stored(&self) -> bool {
        self.resource.is_none()
    }
}

/// Whether Parameters without a resource are those of the request, and no resource that is to be validated.
fn is_of_request(parameters: &Parameters<'_>) -> bool {
    let names = |it: &(String, String)| matches!(it.0.as_str(), "mode" | "profile");
    !parameters.pairs.is_empty() && parameters.pairs.iter().all(names)
}

impl Gateway {
    /// All that is to be said of a resource that is sent, or of one that is stored and may be seen.
    pub(crate) async fn validate(
        &self,
        asker: &Asker,
        scope: &Scope,
        asked: &Asked<'_>,
    ) -> Result<Answer, Outcome> {
        let (of, id) = match scope {
            Scope::Type(of) => (*of, None),
            Scope::Instance(of, id) => (*of, Some(id)),
            Scope::System => return Err(crate::capability::not_served()),
        };
        let mut issues = Vec::new();
        if asked.mode == Some(Mode::Delete) {
            issues.extend(no_deletes().issues().iter().cloned());
        } else {
            match (asked.resource, id) {
                (Some(body), _) => issues.extend(self.issues_of(of, id, asked.mode, body).await?),
                (None, Some(id)) => {
                    let found = self.one(asker, of, id).await?;
                    issues.extend(self.faults(found.json(), None).await?);
                }
                (None, None) => return Err(nothing_sent()),
            }
        }
        issues.extend(asked.profiles.iter().filter_map(|it| of_profile(of, it)));
        let is_taken = issues.iter().all(|it| it.severity() < Severity::Error);
        if is_taken {
            let text = "it would be taken, as far as is looked at here: JSON, elements with their types and numbers, and whose it is; codes, rules, profiles and references are not looked at";
            issues.insert(0, Issue::new(Severity::Information, IssueType::Informational, text));
        }
        let mut issues = issues.into_iter();
        let first =
            issues.next().expect("what is not taken has an issue, and the rest has this one");
        let mut outcome = Outcome::new(first);
        issues.for_each(|issue| outcome.push(issue));
        // The operation succeeds also where the resource does not (R4, Resource/$validate).
        Ok(Answer::of(Status::OK, outcome.to_json()))
    }

    async fn issues_of(
        &self,
        of: ResourceType,
        id: Option<&Id>,
        mode: Option<Mode>,
        body: &[u8],
    ) -> Result<Vec<Issue>, Outcome> {
        let bytes_max = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
        let read = match bundle::whole(body, bytes_max) {
            Ok(read) => read,
            Err(error) => {
                // What cannot be read strictly has no elements to speak of.
                let issue = Issue::new(Severity::Error, IssueType::Structure, &error.to_string());
                return Ok(vec![issue]);
            }
        };
        let mut issues = self.faults(read.json, None).await?;
        let mut at = |outcome: Outcome, severity: Severity| {
            for issue in outcome.issues() {
                issues.push(issue.clone().with_severity(severity));
            }
        };
        if read.resource_type != of.as_str() {
            let text = format!("this is no {of}; ask $validate of its own type");
            let outcome = Outcome::error(IssueType::Value, &text);
            at(outcome.at("Resource.resourceType"), Severity::Error);
            return Ok(issues);
        }
        let has_no_id = read.id.as_ref().is_some_and(|it| it.parse::<Id>().is_err());
        if id.is_some_and(|id| read.id.as_deref() != Some(id.as_str())) {
            at(other_id(), Severity::Error);
        } else if has_no_id || (read.id.is_none() && element(read.json, "id").is_some()) {
            at(bad_id(of), Severity::Warning);
        }
        // What is alone must say whose it is; in a transaction others say it.
        let alone = if mode.is_some() { Severity::Error } else { Severity::Warning };
        if !is_about_patients(of.as_str()) {
            at(about_nobody(), alone);
        } else if of.as_str() != "Patient" {
            match self.owner_of(of.as_str(), &read.owner) {
                Owner::Several => at(several_patients(), Severity::Error),
                Owner::Here(_) | Owner::Nobody => at(no_patient(), alone),
                owner @ Owner::Elsewhere(_) => match self.chart_of_owner(&owner).await {
                    Ok(_) => {}
                    Err(outcome) if outcome.status() == Status::UNPROCESSABLE => at(outcome, alone),
                    Err(outcome) => return Err(outcome),
                },
            }
        }
        let profiles = element(read.json, "meta").and_then(|it| it.get("profile").cloned());
        if profiles.is_some_and(|it| it.as_array().is_some_and(|it| !it.is_empty())) {
            let text = "the profiles that it claims are not looked at";
            let issue = Issue::new(Severity::Warning, IssueType::NotSupported, text);
            issues.push(issue.at(&format!("{of}.meta.profile")));
        }
        Ok(issues)
    }
}

/// An element of a resource, if it has it.
fn element(json: &str, name: &str) -> Option<Value> {
    let mut resource: Value = serde_json::from_str(json).ok()?;
    resource.get_mut(name).map(Value::take)
}

/// The gateway gives an id, whatever one a create has (R4, 3.1.0.8).
fn bad_id(of: ResourceType) -> Outcome {
    let text = "an id has 1 to 64 of the characters A-Z a-z 0-9 - . and this one has others; a create gets another one anyway";
    Outcome::error(IssueType::Value, text).at(&format!("{of}.id"))
}

/// What is to be said of a profile by which a resource is to be judged.
fn of_profile(of: ResourceType, profile: &str) -> Option<Issue> {
    let url = profile.split_once('|').map_or(profile, |(url, _)| url);
    let is_known = url.strip_prefix(R4).is_some_and(|it| it == of.as_str() || it == "Resource");
    let text = format!("this profile is not known here; only R4's own {R4}{of} is");
    (!is_known).then(|| Issue::new(Severity::Error, IssueType::NotSupported, &text))
}

fn about_nobody() -> Outcome {
    let text = "resources of this type are about no patient: they are taken with those of the patient in whose transaction they come";
    Outcome::error(IssueType::BusinessRule, text)
}

fn nothing_sent() -> Outcome {
    let text = "send the resource as the body, or as the parameter resource of Parameters";
    Outcome::error(IssueType::Required, text)
}

fn unknown(name: &str) -> Outcome {
    let text = format!(
        "{name} is not taken; $validate has resource, mode (create, update, delete or profile) and profile"
    );
    Outcome::error(IssueType::NotSupported, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_sent_by_itself_or_among_parameters() {
        let resource = r#"{"resourceType":"Basic"}"#;
        let parameters =
            |all: &str| format!(r#"{{"resourceType":"Parameters","parameter":[{all}]}}"#);
        let wrapped = format!(r#"{{"name":"resource","resource":{resource}}}"#);
        let mode = r#"{"name":"mode","valueCode":"create"}"#;
        for (query, body, mode, sent) in [
            ("", resource.to_owned(), None, Some(resource)),
            ("mode=update", resource.to_owned(), Some(Mode::Update), Some(resource)),
            ("", parameters(&wrapped), None, Some(resource)),
            ("", parameters(&format!("{wrapped},{mode}")), Some(Mode::Create), Some(resource)),
            ("", parameters(mode), Some(Mode::Create), None),
            ("mode=delete", String::new(), Some(Mode::Delete), None),
            ("", "{".to_owned(), None, Some("{")),
        ] {
            let query = Query::parse(query).unwrap();
            let asked = Asked::read(&query, body.as_bytes()).unwrap();
            let given = asked.resource.map(|it| std::str::from_utf8(it).unwrap());
            assert_eq!((asked.mode, given), (mode, sent), "{body}");
        }
        // Parameters that are themselves to be validated.
        let own = parameters(r#"{"name":"other","valueString":"a"}"#);
        let asked = Asked::read(&Query::default(), own.as_bytes()).unwrap();
        assert_eq!(asked.resource, Some(own.as_bytes()));
        for (query, body) in [
            ("mode=guess", String::new()),
            ("strict=true", resource.to_owned()),
            ("", parameters(&format!("{wrapped},{wrapped}"))),
            ("", parameters(r#"{"name":"other","resource":{}}"#)),
            ("", parameters(&format!(r#"{wrapped},{{"name":"other","valueCode":"a"}}"#))),
        ] {
            let query = Query::parse(query).unwrap();
            assert!(Asked::read(&query, body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn only_r4s_own_profiles_are_known() {
        let of: ResourceType = "Patient".parse().unwrap();
        for (profile, is_known) in [
            ("http://hl7.org/fhir/StructureDefinition/Patient", true),
            ("http://hl7.org/fhir/StructureDefinition/Patient|4.0.1", true),
            ("http://hl7.org/fhir/StructureDefinition/Resource", true),
            ("http://hl7.org/fhir/StructureDefinition/Observation", false),
            ("http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient", false),
            ("", false),
        ] {
            assert_eq!(of_profile(of, profile).is_none(), is_known, "{profile}");
        }
    }
}
