//! Launches out of a system: which patient is open in it (SMART App Launch 2.2, section 2.0.2).
//!
//! ```text
//! POST BASE/auth/launch   Authorization: Bearer the system's token    {"patient": "ID", "encounter": "ID"}
//! 201                                                                 {"launch": "..", "expires_in": 300}
//! ```
//!
//! The system then opens the app with `iss` and `launch`.
//!
//! # Invariants
//!
//! * A launch is for the app and the person who come with it, once: it opens nothing, and what the person may not see they
//!   do not see by it.

use std::time::Instant;

use keepwell_fhir::{
    interaction::{Id, ResourceType},
    outcome::{IssueType, Outcome, Status},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LAUNCH_TIME, Smart};
use crate::{
    auth::Session,
    capability::Served,
    gateway::Gateway,
    server::{not_in_scope, served},
};

/// What is open in a system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Launch {
    pub(super) patient: Id,
    pub(super) encounter: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    patient: String,
    encounter: Option<String>,
}

impl Smart {
    /// Keeps what is open in the system whose session it is, as far as it may see that itself.
    pub(super) async fn launch(
        &self,
        gateway: &Gateway,
        session: &Session,
        body: &[u8],
        now: Instant,
    ) -> Result<Value, Outcome> {
        if !session.launches {
            return Err(not_in_scope());
        }
        let wrong = || {
            let text = "a launch is {\"patient\": \"ID\"}, and the encounter's id as encounter if one is open; send it as JSON";
            Outcome::error(IssueType::Value, text)
        };
        let sent: Sent = serde_json::from_slice(body).map_err(|_| wrong())?;
        let patient: Id = sent.patient.parse().map_err(|_| wrong())?;
        let chart = seen(gateway, session, ("Patient", &patient)).await?;
        let encounter = match sent.encounter {
            Some(id) => Some(id.parse::<Id>().map_err(|_| wrong())?),
            None => None,
        };
        if let Some(encounter) = &encounter
            && seen(gateway, session, ("Encounter", encounter)).await? != chart
        {
            return Err(crate::answer::not_found());
        }
        let launch = self.launches.keep(now, Launch { patient, encounter });
        let launch = launch.ok_or_else(|| {
            let text = "too many launches are under way; try again in a minute";
            Outcome::error(IssueType::Throttled, text).with_status(Status::UNAVAILABLE)
        })?;
        Ok(json!({ "launch": launch, "expires_in": LAUNCH_TIME.as_secs() }))
    }
}

/// The chart of what a system has open, if it may read that.
async fn seen(
    gateway: &Gateway,
    session: &Session,
    (of, id): (&str, &Id),
) -> Result<keepwell_types::id::ChartId, Outcome> {
    let of: ResourceType = of.parse().expect("R4 has it");
    let read = served(session, keepwell_fhir::interaction::Interaction::Read(of, id.clone()))?;
    let Served::Read(of, id) = &read else { return Err(not_in_scope()) };
    Ok(gateway.one(&session.asker_of(&read), *of, id).await?.version.chart)
}
