//! Quotas: how many bytes of objects that no entry names yet each party and organisation has here.
//!
//! # Invariants
//!
//! * An object counts from before its first byte is stored until an entry names it or it is deleted, with
//!   the length that was declared: what is counted is never less than what is stored.

use std::collections::BTreeMap;

use keepwell_types::{id::OrganisationId, member::Party};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::config::CustodyLimits;

/// What an object takes besides its bytes: its files, their folders, and its line in the index.
const OBJECT_BYTES: u64 = 8 * 1024;

/// Who sends an object, and the organisation that answers for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Author {
    /// Who sends it.
    pub party: Party,
    /// For whom they act; for whoever controls a chart, the chart's.
    pub organisation: OrganisationId,
}

/// What an object counts for, and among whose.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Charge {
    /// Who sends it.
    #[n(0)]
    pub party: Party,
    /// The organisation that answers for it.
    #[n(1)]
    pub organisation: OrganisationId,
    /// Bytes.
    #[n(2)]
    pub bytes: u64,
}

impl Charge {
    /// For an object of so many bytes.
    pub fn of(author: Author, bytes: u64) -> Self {
        let Author { party, organisation } = author;
        Self { party, organisation, bytes: bytes.saturating_add(OBJECT_BYTES) }
    }
}

/// An object for which there is no room until others are named or deleted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "objects that no entry names yet would take {bytes} bytes here, and {whose} may have {max}; add the records whose objects are stored, wait until the others are deleted after 24 hours, or use another custodian"
)]
pub struct OverQuota {
    /// Whose limit.
    pub whose: Whose,
    /// What they would have.
    pub bytes: u64,
    /// The limit.
    pub max: u64,
}

/// Whose limit was reached.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Whose {
    /// The sender's.
    #[error("one party")]
    Party,
    /// The organisation's that answers for the sender.
    #[error("one organisation")]
    Organisation,
}

/// What each party and organisation has here.
#[derive(Debug, Default)]
pub(super) struct Usage {
    parties: BTreeMap<Party, u64>,
    organisations: BTreeMap<OrganisationId, u64>,
    bytes: u64,
}

impl Usage {
    /// Whether there is room for one more object.
    pub(super) fn check(&self, charge: &Charge, limits: &CustodyLimits) -> Result<(), OverQuota> {
        let of_party = self.parties.get(&charge.party).copied().unwrap_or_default();
        let of_organisation = self.organisations.get(&charge.organisation).copied();
        for (whose, has, max) in [
            (Whose::Party, of_party, limits.party_unnamed_bytes_max),
            (
                Whose::Organisation,
                of_organisation.unwrap_or_default(),
                limits.organisation_unnamed_bytes_max,
            ),
        ] {
            let bytes = has.saturating_add(charge.bytes);
            if bytes > max {
                return Err(OverQuota { whose, bytes, max });
            }
        }
        Ok(())
    }

    /// Counts an object.
    pub(super) fn add(&mut self, charge: &Charge) {
        *self.parties.entry(charge.party).or_default() += charge.bytes;
        *self.organisations.entry(charge.organisation).or_default() += charge.bytes;
        self.bytes += charge.bytes;
    }

    /// Counts an object no longer.
    pub(super) fn remove(&mut self, charge: &Charge) {
        take(&mut self.parties, charge.party, charge.bytes);
        take(&mut self.organisations, charge.organisation, charge.bytes);
        self.bytes -= charge.bytes;
    }

    /// Bytes of all.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn take<K: Ord>(map: &mut BTreeMap<K, u64>, key: K, bytes: u64) {
    if let Some(has) = map.get_mut(&key) {
        *has -= bytes;
        if *has == 0 {
            map.remove(&key);
        }
    }
}
