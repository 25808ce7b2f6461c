//! Releases: whether a validator may still answer for an access that was accepted.
//!
//! An accepted access is a fact; a release for it is not a right. Between the two the patient may have
//! revoked, the reader may have been suspended, time may have passed. So each validator decides again,
//! on its newest applied state, and for each record by itself.
//!
//! # Invariants
//!
//! * What is released was allowed when the access was decided and is allowed now.
//! * A grant with a number of accesses allows a release only for an access that was counted for it.
//! * A capsule is opened only if its label says, field by field, what the ledger's own entry says.
//!
//! Not here: the shares (`keepwell-crypto`), and that the access was accepted and the reader's key is
//! the one in it (`keepwell-node`).

use keepwell_types::{
    access::{AccessOpen, RecordName},
    genesis::Parameters,
    id::{ChainId, ChartId, CommitteeId, Compartment, Epoch, LogPosition, RecordId, Version},
    limits::RELEASE_AGE_MS_MAX,
    member::Party,
    outcome::Rejection,
    proxy::Power,
    record::Label,
    set::CompartmentSet,
    time::BlockTime,
};
use thiserror::Error;

use crate::{
    consent::{Consent, Counting, Decision, Question, Reader},
    decide::Halt,
    signer::{controlled_chart, known_chart, member_in_standing, proxy_in_force},
    state::RecordEntry,
    view::{Lacks, View},
};

/// An access that the ledger has accepted.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// Who signed it.
    pub reader: Party,
    /// What was asked.
    pub open: &'a AccessOpen,
    /// Where its outcome stands in the chart's log.
    pub position: LogPosition,
    /// The time of its block.
    pub time: BlockTime,
}

/// Why a validator releases nothing for an access.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReleaseRefusal {
    /// The access is too old.
    #[error("the access of {opened} is over at {now}: open the records again")]
    TooOld {
        /// When it was accepted.
        opened: BlockTime,
        /// Newest block time.
        now: BlockTime,
    },
    /// The reader may not act any more.
    #[error("the reader may not act any more: {0}")]
    Reader(Rejection),
    /// The access does not ask for this record.
    #[error("the access does not ask for record {0}: open it by name")]
    NotAsked(RecordId),
    /// The rules do not allow it any more.
    #[error("record {record} may not be opened any more: {why}")]
    NotAllowed {
        /// The record.
        record: RecordId,
        /// What the ledger would say now.
        why: Rejection,
    },
}

/// Why [`release_check`] did not say yes.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ReleaseHalt {
    /// A key must be loaded first; nothing is decided.
    #[error(transparent)]
    Lacks(#[from] Lacks),
    /// Nothing is released.
    #[error(transparent)]
    Refused(#[from] ReleaseRefusal),
}

/// Decides whether all of `records` may be released for `access`, at the newest block time `now`.
///
/// `records` are the ledger's own entries, with their positions in the log of the access's chart.
pub fn release_check(
    view: &View,
    parameters: &Parameters,
    now: BlockTime,
    access: &Accepted<'_>,
    records: &[(LogPosition, RecordEntry)],
) -> Result<(), ReleaseHalt> {
    if now.ms_since(access.time) > RELEASE_AGE_MS_MAX {
        return Err(ReleaseRefusal::TooOld { opened: access.time, now }.into());
    }
    let (reader, bounds) = reader_in_standing(view, access, now)?;
    let chart = known_chart(view, access.open.chart).map_err(reader_fault)?;
    let question = Question {
        chart: access.open.chart,
        purpose: access.open.purpose,
        time: now,
        counting: Counting::Opened(access.position),
    };
    let consent = Consent::of(view, parameters, chart, reader, question)?;
    for (position, entry) in records {
        let name = RecordName { position: *position, record: entry.record };
        if !access.open.target.asks_for(name, entry.compartment) {
            return Err(ReleaseRefusal::NotAsked(entry.record).into());
        }
        if !bounds.contains(entry.compartment) {
            let (record, why) = (entry.record, Rejection::NotGranted);
            return Err(ReleaseRefusal::NotAllowed { record, why }.into());
        }
        if let Decision::Refused(refusal) = consent.record(*position, entry)? {
            let (record, why) = (entry.record, refusal.into());
            return Err(ReleaseRefusal::NotAllowed { record, why }.into());
        }
    }
    Ok(())
}

/// The reader, and the compartments beyond which nothing is released to it whatever the rules of consent say.
fn reader_in_standing<'a>(
    view: &'a View,
    access: &Accepted<'_>,
    now: BlockTime,
) -> Result<(Reader<'a>, CompartmentSet), ReleaseHalt> {
    match access.reader {
        Party::Member(id) => {
            let member = member_in_standing(view, id).map_err(reader_fault)?;
            Ok((Reader::member(id, member), CompartmentSet::all()))
        }
        Party::Controller(id) if id == access.open.chart => {
            controlled_chart(view, id).map_err(reader_fault)?;
            Ok((Reader::Controller, CompartmentSet::all()))
        }
        Party::Proxy(chart, id) if chart == access.open.chart => {
            let proxy = proxy_in_force(view, chart, id, now).map_err(reader_fault)?;
            if !proxy.terms.powers.contains(Power::Read) {
                return Err(ReleaseRefusal::Reader(Rejection::OutsideProxy(id)).into());
            }
            Ok((Reader::Controller, proxy.terms.compartments))
        }
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => Err(ReleaseRefusal::Reader(Rejection::WrongSigners).into()),
    }
}

fn reader_fault(halt: Halt) -> ReleaseHalt {
    match halt {
        Halt::Lacks(lacks) => lacks.into(),
        Halt::Rejected(rejection) => ReleaseRefusal::Reader(rejection).into(),
    }
}

/// How a capsule's label differs from the ledger's entry.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LabelMismatch {
    /// Another consortium's.
    #[error("the capsule is of consortium {label}, not {ledger}")]
    Chain {
        /// The capsule's.
        label: ChainId,
        /// The ledger's.
        ledger: ChainId,
    },
    /// Another chart's.
    #[error("the capsule is of chart {label}, not {ledger}")]
    Chart {
        /// The capsule's.
        label: ChartId,
        /// The ledger's.
        ledger: ChartId,
    },
    /// Another record's.
    #[error("the capsule is of record {label}, not {ledger}")]
    Record {
        /// The capsule's.
        label: RecordId,
        /// The ledger's.
        ledger: RecordId,
    },
    /// Another version's.
    #[error("the capsule is of version {label}, not {ledger}")]
    Version {
        /// The capsule's.
        label: Version,
        /// The ledger's.
        ledger: Version,
    },
    /// Sealed to another compartment.
    #[error("the capsule is sealed to compartment {}, not {}", .label.index(), .ledger.index())]
    Compartment {
        /// The capsule's.
        label: Compartment,
        /// The ledger's.
        ledger: Compartment,
    },
    /// Sealed to another generation of the compartment's key.
    #[error("the capsule is sealed to epoch {label}, not {ledger}")]
    Epoch {
        /// The capsule's.
        label: Epoch,
        /// The ledger's.
        ledger: Epoch,
    },
    /// Sealed to another committee.
    #[error("the capsule is sealed to committee {label}, not {ledger}")]
    Committee {
        /// The capsule's.
        label: CommitteeId,
        /// The ledger's.
        ledger: CommitteeId,
    },
    /// Of a body of another size.
    #[error("the capsule is of a body of {label} bytes, not {ledger}")]
    SealedBytes {
        /// The capsule's.
        label: u64,
        /// The ledger's.
        ledger: u64,
    },
}

/// Compares a capsule's label with the ledger's entry, field by field. The root of the body's chunks
/// alone is not compared: the ledger has it only inside the commitment to the capsule.
pub fn label_matches(
    entry: &RecordEntry,
    chain: ChainId,
    chart: ChartId,
    committee: CommitteeId,
    label: &Label,
) -> Result<(), LabelMismatch> {
    macro_rules! compare {
        ($($fault:ident: $field:ident == $ledger:expr;)+) => {$(
            if label.$field != $ledger {
                return Err(LabelMismatch::$fault { label: label.$field, ledger: $ledger });
            }
        )+};
    }
    compare! {
        Chain: chain == chain;
        Chart: chart == chart;
        Record: record == entry.record;
        Version: version == entry.version;
        Compartment: compartment == entry.compartment;
        Epoch: epoch == entry.epoch;
        Committee: committee == committee;
        SealedBytes: sealed_bytes == entry.sealed_bytes;
    }
    Ok(())
}
