//! What a token lets whoever shows it see: everything of its types, or less.
//!
//! # Invariants
//!
//! * What is out of sight is looked at by nobody: no access to it is asked for, no search, chain or include finds it, and
//!   its id is one of nothing.
//! * A scope of one patient reaches that patient's chart. Resources are kept in the chart of the patient whom they are
//!   about, so that the chart is the compartment, and no reference leads out of it.
//!
//! Not here: what the ledger allows ([`crate::access`]), and writes: tokens with such scopes make none.

use std::sync::Arc;

use keepwell_fhir::{
    header::instant,
    interaction::{Id, ResourceType},
    outcome::Outcome,
    search::{Entry, Query},
};
use keepwell_types::id::ChartId;

use crate::{
    answer::{ambiguous, not_found},
    auth::{Level, Permission, Scope},
    gateway::{Asker, Found, Gateway},
    index::Version,
};

/// What may be seen; without views, all that the ledger allows.
#[derive(Clone, Debug, Default)]
pub struct Sight(Option<Arc<[View]>>);

/// What one scope shows.
#[derive(Debug)]
struct View {
    of: Option<ResourceType>,
    chart: Option<ChartId>,
    narrowed: Option<Query>,
}

impl View {
    fn reaches(&self, chart: ChartId) -> bool {
        self.chart.is_none_or(|it| it == chart)
    }

    fn shows(&self, found: &Found) -> bool {
        let is_of = |of: ResourceType| of.as_str() == found.resource_type();
        let time = instant(found.version.time.0);
        self.reaches(found.version.chart)
            && self.of.is_none_or(is_of)
            && self
                .narrowed
                .as_ref()
                .is_none_or(|it| it.matches(&Entry::new(&found.resource, found.id(), &time)))
    }
}

impl Sight {
    /// All.
    pub const ALL: Self = Self(None);

    /// What scopes show to whoever has this permission, where those of one patient are of this chart.
    pub(crate) fn of(
        scopes: &[Scope],
        permission: Permission,
        chart: Option<ChartId>,
        base: &str,
    ) -> Self {
        if !scopes.iter().any(Scope::is_limited) {
            return Self::ALL;
        }
        let views = scopes.iter().filter_map(|scope| {
            let of = scope.resource_type();
            let chart = match scope.level() {
                Level::Patient => Some(chart?),
                Level::System | Level::User => None,
            };
            let narrowed = match scope.narrowed() {
                // A search that cannot be read shows nothing.
                Some(_) => Some(scope.query(base)?),
                None => None,
            };
            scope.allows(of, permission).then_some(View { of, chart, narrowed })
        });
        Self(Some(views.collect()))
    }

    /// Whether nothing is out of it.
    pub(crate) const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether something of a chart may be in it.
    pub(crate) fn reaches(&self, chart: ChartId) -> bool {
        self.0.as_ref().is_none_or(|views| views.iter().any(|it| it.reaches(chart)))
    }

    /// Whether a version is in it.
    pub(crate) fn shows(&self, version: &Version) -> bool {
        self.0.is_none() || Found::of(version.clone()).is_some_and(|it| self.shows_found(&it))
    }

    /// Whether what was found is in it.
    pub(crate) fn shows_found(&self, found: &Found) -> bool {
        self.0.as_ref().is_none_or(|views| views.iter().any(|it| it.shows(found)))
    }

    /// The only chart that it reaches, if it is one.
    pub(crate) fn only_chart(&self) -> Option<ChartId> {
        let views = self.0.as_ref()?;
        let chart = views.first()?.chart?;
        views.iter().all(|it| it.chart == Some(chart)).then_some(chart)
    }
}

impl Gateway {
    /// The one resource with this type and id in the charts that are in sight, if there is one.
    pub(crate) async fn only_in_sight(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Option<Found>, Outcome> {
        let mut found = self.named(of, id).await?;
        found.retain(|it| asker.sight.reaches(it.version.chart));
        if found.len() > 1 {
            return Err(ambiguous());
        }
        Ok(found.pop())
    }

    /// The same, if it is itself in sight; whether the ledger allows an access is still to be asked.
    pub(crate) async fn only_shown(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Found, Outcome> {
        let found = self.only_in_sight(asker, of, id).await?;
        found.filter(|it| asker.sight.shows_found(it)).ok_or_else(not_found)
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        id::{LogPosition, RecordId},
        time::BlockTime,
    };
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;

    const OURS: ChartId = ChartId([1; 32]);
    const OTHER: ChartId = ChartId([2; 32]);

    fn observation(chart: ChartId, category: &str) -> Version {
        let resource = json!({
            "resourceType": "Observation", "id": "1", "status": "final",
            "category": [{ "coding": [{ "system": "http://c", "code": category }] }],
        });
        Version {
            row: 1,
            record: RecordId([3; 32]),
            chart,
            position: LogPosition(1),
            name: [0; 16],
            number: 1,
            time: BlockTime(0),
            body: Zeroizing::new(resource.to_string().into_bytes()),
        }
    }

    #[test]
    fn a_scope_shows_its_patient_its_type_and_what_it_is_narrowed_to() {
        for (scopes, chart, code, is_shown) in [
            ("system/Observation.rs", OTHER, "lab", true),
            ("patient/Observation.rs", OURS, "lab", true),
            ("patient/*.rs", OURS, "lab", true),
            ("patient/*.rs", OTHER, "lab", false),
            ("patient/Observation.rs", OTHER, "lab", false),
            ("patient/Condition.rs", OURS, "lab", false),
            // To be found is not to be read.
            ("patient/Observation.s", OURS, "lab", false),
            ("patient/Observation.rs?category=http://c|lab", OURS, "lab", true),
            ("patient/Observation.rs?category=http://c|lab", OURS, "vital", false),
            ("patient/Observation.rs?category=http://c|lab", OTHER, "lab", false),
            ("patient/Observation.rs?category=http://d|lab", OURS, "lab", false),
            ("user/Observation.rs?category=http://c|lab", OTHER, "lab", true),
            ("user/Observation.rs?category=http://c|lab", OTHER, "vital", false),
            // The wider one does not widen the narrower.
            ("user/Condition.rs patient/Observation.rs", OTHER, "lab", false),
            ("user/Observation.s patient/Observation.r", OTHER, "lab", false),
            ("user/Observation.r patient/Condition.r", OTHER, "lab", true),
        ] {
            let all: Vec<_> = scopes.split(' ').map(|it| Scope::parse(it).unwrap()).collect();
            let sight = Sight::of(&all, Permission::Read, Some(OURS), "https://g.example/fhir");
            assert_eq!(sight.shows(&observation(chart, code)), is_shown, "{scopes} {code}");
        }
    }

    #[test]
    fn without_a_patient_a_scope_of_one_shows_nothing() {
        let scopes = [Scope::parse("patient/*.rs").unwrap()];
        let sight = Sight::of(&scopes, Permission::Search, None, "");
        assert!(!sight.reaches(OURS) && !sight.shows(&observation(OURS, "lab")));
        assert_eq!(sight.only_chart(), None);
    }
}
