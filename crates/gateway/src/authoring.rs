//! What an author needs to know of charts, kept for the next record in them.
//!
//! # Invariants
//!
//! * Nothing is decided by it: the ledger and the custodians check each record. What is sealed by what has changed since
//!   they refuse, and it is sealed once more by what is there now.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use keepwell_client::{
    author::Authoring,
    error::{ClientError, CustodyError, LedgerError},
    identity::Actor,
};
use keepwell_types::{id::ChartId, outcome::Rejection};

use crate::gateway::Gateway;

/// Charts of which it is kept, each in some twenty kibibytes.
const CHARTS_MAX: usize = 512;

/// What is known of charts.
#[derive(Debug, Default)]
pub(crate) struct Authorings(Mutex<BTreeMap<ChartId, Arc<Authoring>>>);

impl Authorings {
    fn known(&self, chart: ChartId) -> Option<Arc<Authoring>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&chart).cloned()
    }

    fn keep(&self, authoring: Authoring) -> Arc<Authoring> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CHARTS_MAX {
            // All can be asked for again.
            all.clear();
        }
        let authoring = Arc::new(authoring);
        all.insert(authoring.chart(), authoring.clone());
        authoring
    }

    /// Forgets a chart.
    pub(crate) fn forget(&self, chart: ChartId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&chart);
    }
}

impl Gateway {
    /// What an author needs to know of a chart, as it was when it was last asked for.
    pub(crate) async fn authoring(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<Arc<Authoring>, ClientError> {
        match self.authorings.known(chart) {
            Some(known) => Ok(known),
            None => Ok(self.authorings.keep(self.client.authoring(actor, chart).await?)),
        }
    }
}

/// Whether a record may have been refused for what was known of its chart. Nothing of it is on the ledger then.
pub(crate) fn may_be_outdated(error: &ClientError) -> bool {
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other error is about what was known")]
    match error {
        ClientError::Custody(CustodyError::TooFew { .. }) => true,
        ClientError::Ledger(
            LedgerError::Rejected { rejection, .. } | LedgerError::RejectedPart { rejection, .. },
        ) => matches!(
            rejection,
            Rejection::WrongEpoch { .. } | Rejection::NotCustodian(_) | Rejection::CustodianKey(_)
        ),
        _ => false,
    }
}
