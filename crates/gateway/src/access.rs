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
            let mut waiting: Vec<_> =
                places.chunks(ACCESS_RECORDS_MAX).rev().map(<[usize]>::to_vec).collect();
            while let Some(mut some) = waiting.pop() {
                if self.access(asker, chart, versions, &some).await? {
                    some.iter().for_each(|at| shown[*at] = true);
                } else if some.len() > 1 {
                    // An access is allowed whole or not at all: each half is asked for alone.
                    let second = some.split_off(some.len() / 2);
                    waiting.extend([second, some]);
                }
            }
        }
        Ok(shown)
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
