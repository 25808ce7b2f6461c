//! Accesses: before anything of the index is shown, the ledger decides that it may be, and keeps that it was.
//!
//! # Invariants
//!
//! * An access is in the name of the member who asks, for the purpose for which it asks, and names what is shown.
//! * What is out of the asker's sight costs no access, and is not shown.
//! * What an access was refused for is not shown. The refusal stands on the ledger as well, where the patient sees it.
//!
//! Not here: accesses that are committed after the answer, and several in one entry.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use keepwell_client::{
    ClientError,
    error::LedgerError,
    identity::Seeds,
    open::{Opening, What},
};
use keepwell_fhir::outcome::Outcome;
use keepwell_types::{access::RecordName, id::ChartId, limits::ACCESS_RECORDS_MAX};

use crate::{
    answer::refused,
    gateway::{Asker, Found, Gateway},
    index::Version,
};

/// Accesses of one chart that are under way at once.
const ACCESSES_MAX: usize = 8;

impl Gateway {
    /// Says of what was found whether it may be shown: accesses are decided to what is in need of one.
    pub(crate) async fn may_show_all(
        &self,
        asker: &Asker,
        found: &[&Found],
    ) -> Result<Vec<bool>, Outcome> {
        let waiting: Vec<_> =
            found.iter().filter(|it| !it.is_allowed).map(|it| &it.version).collect();
        let mut decided = self.may_show(asker, &waiting).await?.into_iter();
        Ok(found.iter().map(|it| it.is_allowed || decided.next() == Some(true)).collect())
    }

    /// Has accesses to these versions decided, one for each chart or more, and says of each whether it may be shown.
    pub(crate) async fn may_show(
        &self,
        asker: &Asker,
        versions: &[&Version],
    ) -> Result<Vec<bool>, Outcome> {
        let places = (0..versions.len()).filter(|at| asker.sight.shows(versions[*at]));
        self.decided(asker, versions, places.collect()).await
    }

    /// Whether the ledger allows an access to a patient's record, which itself need not be in sight.
    pub(crate) async fn may_look_at(
        &self,
        asker: &Asker,
        patient: &Version,
    ) -> Result<bool, Outcome> {
        if !asker.sight.reaches(patient.chart) {
            return Ok(false);
        }
        Ok(self.decided(asker, &[patient], vec![0]).await? == [true])
    }

    async fn decided(
        &self,
        asker: &Asker,
        versions: &[&Version],
        places: Vec<usize>,
    ) -> Result<Vec<bool>, Outcome> {
        let mut by_chart: BTreeMap<ChartId, Vec<usize>> = BTreeMap::new();
        for at in places {
            by_chart.entry(versions[at].chart).or_default().push(at);
        }
        let mut shown = vec![false; versions.len()];
        for (chart, places) in by_chart {
            for some in places.chunks(ACCESS_RECORDS_MAX) {
                let allowed = self.allowed_of(asker, chart, versions, some).await?;
                allowed.into_iter().for_each(|at| shown[at] = true);
            }
        }
        Ok(shown)
    }

    /// Those of some versions of a chart that may be shown.
    async fn allowed_of(
        &self,
        asker: &Asker,
        chart: ChartId,
        versions: &[&Version],
        places: &[usize],
    ) -> Result<Vec<usize>, Outcome> {
        let (mut waiting, mut allowed) = (vec![places], Vec::new());
        while let Some(some) = waiting.pop() {
            if self.access(asker, chart, versions, some).await? {
                allowed.extend(some);
            } else if some.len() > 1 {
                // An access is allowed whole or not at all: each half is asked for alone.
                let (first, second) = some.split_at(some.len() / 2);
                waiting.extend([second, first]);
            }
        }
        Ok(allowed)
    }

    /// Has accesses decided to what an export takes of one chart, and says of each version whether it may be shown.
    /// Where the first of them is the chart's Patient, so is the first access: for whom it is refused all of the chart
    /// is absent, and nothing more of it is asked for.
    pub(crate) async fn may_export(
        &self,
        asker: &Asker,
        versions: &[&Version],
        is_by_patient: bool,
    ) -> Result<Vec<bool>, Outcome> {
        let mut shown = vec![false; versions.len()];
        let Some(chart) = versions.first().map(|it| it.chart) else { return Ok(shown) };
        let places: Vec<_> = (0..versions.len()).collect();
        let (first, rest) = places.split_at(places.len().min(ACCESS_RECORDS_MAX));
        let first = match is_by_patient {
            true => self.allowed_by_patient(asker, chart, versions, first).await?,
            false => Some(self.allowed_of(asker, chart, versions, first).await?),
        };
        let Some(first) = first else { return Ok(shown) };
        let waiting: Vec<_> = rest
            .chunks(ACCESS_RECORDS_MAX)
            .map(|some| self.allowed_of(asker, chart, versions, some).boxed())
            .collect();
        let rest: Vec<_> = stream::iter(waiting).buffered(ACCESSES_MAX).try_collect().await?;
        first.into_iter().chain(rest.into_iter().flatten()).for_each(|at| shown[at] = true);
        Ok(shown)
    }

    /// Those of some versions of a chart, the Patient first, that may be shown; nothing if that one may not.
    async fn allowed_by_patient(
        &self,
        asker: &Asker,
        chart: ChartId,
        versions: &[&Version],
        places: &[usize],
    ) -> Result<Option<Vec<usize>>, Outcome> {
        if self.access(asker, chart, versions, places).await? {
            return Ok(Some(places.to_vec()));
        }
        let (patient, others) = places.split_at(1);
        if others.is_empty() || !self.access(asker, chart, versions, patient).await? {
            return Ok(None);
        }
        let others = self.allowed_of(asker, chart, versions, others).await?;
        Ok(Some(patient.iter().copied().chain(others).collect()))
    }

    async fn access(
        &self,
        asker: &Asker,
        chart: ChartId,
        versions: &[&Version],
        places: &[usize],
    ) -> Result<bool, Outcome> {
        let name = |at: &usize| RecordName {
            position: versions[*at].position,
            record: versions[*at].record,
        };
        let what = What::Records(places.iter().map(name).collect());
        let (actor, purpose, seeds) = (&asker.actor, asker.purpose, &Seeds::default());
        let opening = Opening { actor, chart, what: &what, purpose, seeds };
        match self.client.note_access(&opening).await {
            Ok(_) => Ok(true),
            Err(ClientError::Ledger(LedgerError::Rejected { .. })) => Ok(false),
            Err(error) => Err(refused(&error)),
        }
    }
}
