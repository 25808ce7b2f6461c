//! Accesses: reads that are decided, counted and kept, allowed or not.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::List,
    id::{ChartId, Compartment, Digest, LogPosition, RecordId},
    limits::ACCESS_RECORDS_MAX,
    set::{CompartmentSet, vocabulary},
    time::BlockTime,
};

vocabulary! {
    /// Purpose of use (HL7 v3 ActReason, PurposeOfUse). What a reader attests, under signature.
    Purpose {
        /// Treatment.
        Treatment = 0, "TREAT";
        /// Emergency treatment.
        EmergencyTreatment = 1, "ETREAT";
        /// Breaking the glass.
        BreakGlass = 2, "BTG";
        /// Coordination of care.
        Coordination = 3, "COC";
        /// Payment.
        Payment = 4, "HPAYMT";
        /// Health-care operations.
        Operations = 5, "HOPERAT";
        /// Research.
        Research = 6, "HRESCH";
        /// Clinical trial.
        ClinicalTrial = 7, "CLINTRL";
        /// Public health.
        PublicHealth = 8, "PUBHLTH";
        /// The patient asks.
        PatientRequest = 9, "PATRQT";
        /// The family asks.
        FamilyRequest = 10, "FAMRQT";
        /// Legal.
        Legal = 11, "HLEGAL";
        /// System administration.
        Administration = 12, "HSYSADMIN";
    }
}

/// A record as commands name it: where it stands in its chart's log, and which it is.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct RecordName {
    /// Place of the outcome of its `record.add` in the log of the chart.
    #[n(0)]
    pub position: LogPosition,
    /// The record.
    #[n(1)]
    pub record: RecordId,
}

/// What an access asks for.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// These records.
    #[n(0)]
    Records(#[n(0)] List<RecordName, ACCESS_RECORDS_MAX>),
    /// Every record in `compartments` that stands before `until` in the chart's log.
    #[n(1)]
    Compartments {
        /// Which compartments.
        #[n(0)]
        compartments: CompartmentSet,
        /// First position not asked for.
        #[n(1)]
        until: LogPosition,
    },
}

impl Target {
    /// First position from which on nothing is asked for.
    pub fn end(&self) -> LogPosition {
        match self {
            Self::Records(names) => {
                let last = names.iter().map(|name| name.position).max();
                last.map_or(LogPosition(0), |last| LogPosition(last.0.saturating_add(1)))
            }
            Self::Compartments { until, .. } => *until,
        }
    }

    /// Whether a record of this compartment is asked for.
    pub fn asks_for(&self, name: RecordName, compartment: Compartment) -> bool {
        match self {
            Self::Records(names) => names.contains(&name),
            Self::Compartments { compartments, until } => {
                name.position < *until && compartments.contains(compartment)
            }
        }
    }
}

/// `access.open`: a wish to read, and its audit entry.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct AccessOpen {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// What is asked for.
    #[n(1)]
    pub target: Target,
    /// What it is for.
    #[n(2)]
    pub purpose: Purpose,
    /// Digest of the fresh public key to which the shares are sealed; another key is refused.
    #[n(3)]
    pub reader_key: Digest,
    /// Number of the redisclosure notice that the reader has been shown and signs here.
    #[n(4)]
    pub notice: u8,
}

vocabulary! {
    /// Why a clinician breaks the glass.
    EmergencyReason {
        /// The patient cannot speak or decide.
        Unresponsive = 0, "unresponsive";
        /// Life or limb is in danger, and there is no time to ask.
        Danger = 1, "danger";
        /// A disaster with many patients.
        Disaster = 2, "disaster";
        /// The patient may harm somebody.
        Harm = 3, "harm";
    }
}

/// `access.break_glass`: a licensed clinician opens compartments in an emergency. What is read is opened by
/// accesses of its own, for the purpose `BTG`.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct BreakGlass {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Which compartments, of those that the patient has left to emergencies.
    #[n(1)]
    pub compartments: CompartmentSet,
    /// Why.
    #[n(2)]
    pub reason: EmergencyReason,
    /// First instant at which it is over.
    #[n(3)]
    pub until: BlockTime,
}

/// `access.second`: another licensed clinician agrees, so that nothing waits for the delay.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct EmergencySecond {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Where the glass was broken, in the chart's log.
    #[n(1)]
    pub emergency: LogPosition,
}

vocabulary! {
    /// What a review of an emergency found.
    Finding {
        /// It was one.
        Justified = 0, "justified";
        /// It was none.
        Unjustified = 1, "unjustified";
    }
}

/// `access.review`: what a privacy officer of the clinician's organisation found.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct EmergencyReview {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Where the glass was broken, in the chart's log.
    #[n(1)]
    pub emergency: LogPosition,
    /// What was found.
    #[n(2)]
    pub finding: Finding,
}

/// `access.close`: an emergency ends, and what it opened moves to its next epoch if a key of it was
/// published ahead.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct EmergencyClose {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Where the glass was broken, in the chart's log.
    #[n(1)]
    pub emergency: LogPosition,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const fn name(position: u64, record: u8) -> RecordName {
        RecordName { position: LogPosition(position), record: RecordId([record; 32]) }
    }

    const fn compartment(index: u8) -> Compartment {
        match Compartment::new(index) {
            Some(compartment) => compartment,
            None => panic!("there are fewer compartments"),
        }
    }

    #[test]
    fn records_are_asked_for_by_place_and_id() {
        let names = vec![name(7, 1), name(3, 2)];
        let target = Target::Records(List::from_vec(names).expect("two are not too many"));
        assert_eq!(target.end(), LogPosition(8));
        assert!(target.asks_for(name(3, 2), compartment(0)));
        assert!(!target.asks_for(name(3, 1), compartment(0)));
        assert!(!target.asks_for(name(4, 2), compartment(0)));
        assert_eq!(Target::Records(List::new()).end(), LogPosition(0));
        let last = List::from_vec(vec![name(u64::MAX, 1)]).expect("one is not too many");
        assert_eq!(Target::Records(last).end(), LogPosition(u64::MAX));
    }

    #[test]
    fn a_compartment_is_asked_for_up_to_a_position() {
        let compartments = [compartment(3)].into_iter().collect();
        let target = Target::Compartments { compartments, until: LogPosition(5) };
        assert_eq!(target.end(), LogPosition(5));
        assert!(target.asks_for(name(4, 1), compartment(3)));
        assert!(!target.asks_for(name(5, 1), compartment(3)));
        assert!(!target.asks_for(name(4, 1), compartment(2)));
    }
}
