//! Proxies: who acts for a patient in a chart, how far and until when; minors, and the end of a chart.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    id::{ChartId, Digest, ProxyId, PublicKey},
    set::{CompartmentSet, PowerSet, vocabulary},
    time::{BlockTime, Window},
};

vocabulary! {
    /// What whoever controls a chart may do, as far as a proxy may be given it.
    Power {
        /// Open records.
        Read = 0, "read";
        /// Add records, and amend those of the patient.
        Write = 1, "write";
        /// Give grants, and answer requests.
        Grant = 2, "grant";
        /// Limit and revoke grants; with every compartment, all that an organisation has as well.
        Revoke = 3, "revoke";
        /// Restrict records, and lift that.
        Restrict = 4, "restrict";
        /// Open cases, and state disagreement.
        Case = 5, "case";
        /// End recoveries.
        Veto = 6, "veto";
        /// Sign records, where their rule has a seat for a proxy.
        Sign = 7, "sign";
    }
}

/// How far a proxy may act for the patient.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ProxyTerms {
    /// What it may do.
    #[n(0)]
    pub powers: PowerSet,
    /// In which compartments.
    #[n(1)]
    pub compartments: CompartmentSet,
    /// When.
    #[n(2)]
    pub window: Window,
}

/// `proxy.add`: the controller lets someone act for the patient.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ProxyAdd {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The new proxy.
    #[n(1)]
    pub proxy: ProxyId,
    /// Verifies its commands: a key that it made for this chart alone.
    #[n(2)]
    pub signing: PublicKey,
    /// Digest of the X-Wing key to which things for it are sealed.
    #[n(3)]
    pub sealing: Digest,
    /// How far.
    #[n(4)]
    pub terms: ProxyTerms,
}

/// `proxy.end`: the controller ends a proxy, or the proxy steps down.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ProxyEnd {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The proxy.
    #[n(1)]
    pub proxy: ProxyId,
}

/// `chart.minor`: the organisation that opened a chart says until when its patient is a minor. Proxies end
/// then.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartMinor {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// First instant of majority. Not a birthday: an instant of the same month says less.
    #[n(1)]
    pub until: BlockTime,
}

/// `chart.close`: the controller ends a chart for good. What is in it can be read as before; nothing is added.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartClose {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
}
