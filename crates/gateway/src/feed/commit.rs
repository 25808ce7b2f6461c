//! Committing what a message says: the one edge between feeds and the ledger.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use keepwell_fhir::{
    interaction::{Query as Condition, ResourceType},
    outcome::{IssueType, Outcome},
    transaction::{self, Limits, Submission},
};
use keepwell_hl7v2::map::Identifier;

use crate::{
    follow::BODY_BYTES_MAX,
    gateway::{Asker, Gateway},
    transaction::{ENTRIES_MAX, identifier_query},
};

/// What a message says, as FHIR.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bundle {
    /// A Bundle of type `transaction`.
    pub(super) json: Vec<u8>,
    /// Which of its entries only this message makes, on a condition.
    pub(super) original: usize,
}

/// What became of a Bundle that is on the ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Committed {
    /// It was written.
    Now,
    /// It had been written before.
    Before,
}

/// What writes: a gateway, or what stands for one in tests.
pub(super) trait Commit: Send + Sync {
    /// Writes all of a Bundle, once.
    fn commit(&self, bundle: &Bundle) -> impl Future<Output = Result<Committed, Outcome>> + Send;

    /// The ids of the Patients whom any of these identifiers finds.
    fn patients(
        &self,
        identifiers: &[Identifier],
    ) -> impl Future<Output = Result<BTreeSet<String>, Outcome>> + Send;
}

/// A gateway in the name of a feed's member.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) gateway: Arc<Gateway>,
    pub(super) asker: Asker,
}

impl Commit for Writer {
    async fn commit(&self, bundle: &Bundle) -> Result<Committed, Outcome> {
        let limits = Limits {
            bytes_max: usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX),
            entries_max: ENTRIES_MAX,
            base: Some(self.gateway.base()),
        };
        let transaction = match transaction::parse(&bundle.json, &limits)? {
            Submission::Transaction(transaction) => transaction,
            Submission::Batch(_) => {
                let text = "the gateway made no transaction of the message; tell its operator";
                return Err(Outcome::error(IssueType::Exception, text));
            }
        };
        let sent = (bundle.json.as_slice(), &transaction);
        let written = self.gateway.transaction_once(&self.asker, sent, bundle.original).await?;
        Ok(if written.is_some() { Committed::Now } else { Committed::Before })
    }

    async fn patients(&self, identifiers: &[Identifier]) -> Result<BTreeSet<String>, Outcome> {
        let patient: ResourceType = "Patient".parse().expect("R4 has it");
        let mut ids = BTreeSet::new();
        for Identifier { system, value } in identifiers {
            let condition = Condition::parse(&identifier_query(system, value))?;
            let found = self.gateway.found_by(patient, None, &condition).await?;
            let versions: Vec<_> = found.iter().map(|it| &it.version).collect();
            let shown = self.gateway.may_show(&self.asker, &versions).await?;
            let shown = found.iter().zip(shown).filter_map(|(it, shown)| shown.then_some(it));
            ids.extend(shown.map(|it| it.id().to_owned()));
        }
        Ok(ids)
    }
}
