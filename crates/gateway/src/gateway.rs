//! What a gateway holds: the way to the ledger, the key agent of its organisation, and the index.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Mutex as Lock, PoisonError},
    time::{Duration, Instant},
};

use keepwell_client::{
    Client,
    chart::Arrangement,
    identity::{Actor, OrganisationAgent},
};
use keepwell_fhir::{
    interaction::{Id, ResourceType},
    outcome::Outcome,
    subscription::endpoint::Listed,
};
use keepwell_types::{
    access::Purpose,
    id::{ChartId, MemberId, OrganisationId},
};
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use crate::{
    alone::Tags,
    answer::{ambiguous, no_index},
    authoring::Authorings,
    dicom::Namespaces,
    index::{FIND_TERMS_MAX, Index, Version},
    sight::Sight,
    structure::Checks,
    terms::Terms,
};

/// Whom the names of what patients write themselves are of: no organisation's id.
pub(crate) const PATIENTS: OrganisationId = OrganisationId([0; OrganisationId::LEN]);

/// Who asks, and what for.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The member in whose name accesses and records stand on the ledger.
    pub actor: Actor,
    /// What for.
    pub purpose: Purpose,
    /// What may be seen of what the ledger allows.
    pub sight: Sight,
}

/// With what charts are opened for patients who are new.
#[derive(Clone, Debug)]
pub struct NewCharts {
    /// The compartments by name, and whether each needs separate consent.
    pub compartments: Vec<(&'static str, bool)>,
    /// Who stores, and who else may author.
    pub arrangement: Arrangement,
    /// How long a patient has to claim the chart, in milliseconds.
    pub claim_ms: u64,
}

/// What is chosen for a gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its public address, without a slash at the end.
    pub base: String,
    /// Charts of new patients.
    pub new_charts: NewCharts,
    /// Where parts of requests wait to be sealed, themselves sealed under a key that is in memory alone.
    pub folder: PathBuf,
    /// How long an export is kept once it is done.
    pub exports_kept: Duration,
    /// Whose images are taken; none, if there are no namespaces.
    pub images: Option<Namespaces>,
    /// The hosts to which notifications may be sent.
    pub endpoints: Listed,
}

/// One organisation's gateway.
pub struct Gateway {
    pub(crate) client: Client,
    pub(crate) agent: Mutex<OrganisationAgent>,
    pub(crate) index: Index,
    pub(crate) settings: Settings,
    pub(crate) organisation: OrganisationId,
    /// Whose member each author is, as far as it was asked.
    pub(crate) authors: Lock<BTreeMap<MemberId, OrganisationId>>,
    /// All organisations, as of the last time that the ledger was followed.
    pub(crate) organisations: Lock<Vec<OrganisationId>>,
    /// Charts that are left alone, until when, and how long that was.
    pub(crate) resting: Lock<BTreeMap<ChartId, (Instant, Duration)>>,
    /// Charts that were opened for Patients whom the ledger then refused: the next ones get them.
    pub(crate) spare: Lock<Vec<ChartId>>,
    /// What those who create on a condition are alone with.
    pub(crate) tags: Tags,
    /// What an author needs to know of charts.
    pub(crate) authorings: Authorings,
    /// Places to look at the structure of what is sent.
    pub(crate) checks: Checks,
    /// Moves whenever something of a chart is new here.
    pub(crate) news: watch::Sender<()>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("organisation", &self.organisation).finish_non_exhaustive()
    }
}

/// A resource of the index, read, or a fact of the ledger.
pub(crate) struct Found {
    pub(crate) version: Version,
    pub(crate) resource: Value,
    /// Whether it may be shown without another access, as a fact may for which there was one.
    pub(crate) is_allowed: bool,
}

impl Found {
    /// Nothing if what is kept is no resource.
    pub(crate) fn of(version: Version) -> Option<Self> {
        let resource = serde_json::from_slice(&version.body).ok()?;
        Some(Self { version, resource, is_allowed: false })
    }

    pub(crate) fn resource_type(&self) -> &str {
        self.resource.get("resourceType").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &str {
        self.resource.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> &str {
        std::str::from_utf8(&self.version.body).unwrap_or_default()
    }

    /// Its path below the base.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.resource_type(), self.id())
    }
}

impl Gateway {
    /// A gateway over these. `index` is under the agent's key ([`OrganisationAgent::gateway_key`]).
    pub fn new(client: Client, agent: OrganisationAgent, index: Index, settings: Settings) -> Self {
        let organisation = agent.identity().organisation();
        Self {
            client,
            agent: Mutex::new(agent),
            index,
            settings,
            organisation,
            authors: Lock::default(),
            organisations: Lock::default(),
            resting: Lock::default(),
            spare: Lock::default(),
            tags: Tags::default(),
            authorings: Authorings::default(),
            checks: Checks::default(),
            news: watch::Sender::new(()),
        }
    }

    /// Its public address.
    pub fn base(&self) -> &str {
        &self.settings.base
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms(self.index.key())
    }

    /// Who may have written what is here, this organisation first: a name that two of them use is this one's.
    fn authors(&self) -> Vec<OrganisationId> {
        let all = self.organisations.lock().unwrap_or_else(PoisonError::into_inner);
        let others = all.iter().copied().filter(|it| *it != self.organisation);
        [self.organisation, PATIENTS].into_iter().chain(others).collect()
    }

    /// What has this type and id: what this organisation wrote, or else what others did. It may be more than one, in charts
    /// that were filled from files: then nobody can say which is meant.
    pub(crate) async fn named(&self, of: ResourceType, id: &Id) -> Result<Vec<Found>, Outcome> {
        let name = |author| self.terms().name(author, of.as_str(), id.as_str());
        let names: Vec<_> = self.authors().into_iter().map(name).collect();
        let mut found = Vec::new();
        for names in names.chunks(FIND_TERMS_MAX) {
            found.extend(self.index.named(names).await.map_err(|error| no_index(&error))?);
        }
        if found.iter().any(|it| it.name == names[0]) {
            found.retain(|it| it.name == names[0]);
        }
        Ok(found.into_iter().filter_map(Found::of).collect())
    }

    /// The one resource with this type and id, if there is one.
    pub(crate) async fn only(&self, of: ResourceType, id: &Id) -> Result<Option<Found>, Outcome> {
        let mut found = self.named(of, id).await?;
        if found.len() > 1 {
            return Err(ambiguous());
        }
        Ok(found.pop())
    }

    /// The chart of a patient of this organisation.
    pub(crate) async fn chart_of(&self, patient: &Id) -> Result<Option<ChartId>, Outcome> {
        let of: ResourceType = "Patient".parse().expect("R4 has it");
        Ok(self.only(of, patient).await?.map(|it| it.version.chart))
    }
}
