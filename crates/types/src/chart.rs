//! Charts, their keys, and who stores and writes them.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{Blob, List},
    id::{ChartId, Compartment, Digest, Epoch, OrganisationId, PublicKey},
    limits::{AHEAD_LINES_MAX, COMPARTMENTS, CONTRIBUTORS_MAX, CUSTODIANS_MAX},
    set::CompartmentSet,
    time::BlockTime,
};

/// Bytes of an X-Wing public key.
pub const COMPARTMENT_KEY_BYTES: usize = 1_216;

/// The keys of whoever controls a chart: the patient's wallet, or the organisation's key agent until
/// the patient claims it.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartKeys {
    /// Verifies the controller's commands.
    #[n(0)]
    pub signing: PublicKey,
    /// Digest of the X-Wing key to which things for the controller are sealed.
    #[n(1)]
    pub sealing: Digest,
    /// Root of the [`KeySheet`] of the compartments.
    #[n(2)]
    pub sheet: Digest,
}

/// A chart's public compartment keys: open to authors, checked against the root on the ledger.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct KeySheet {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// One line for each compartment, in order.
    #[n(1)]
    pub lines: List<KeyLine, COMPARTMENTS>,
}

/// One compartment's current key.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct KeyLine {
    /// The compartment.
    #[n(0)]
    pub compartment: Compartment,
    /// The key's generation.
    #[n(1)]
    pub epoch: Epoch,
    /// X-Wing public key.
    #[n(2)]
    pub key: Blob<COMPARTMENT_KEY_BYTES>,
}

/// Public keys of epochs to come, by which compartments move on while their controller is away.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct AheadSheet {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// In ascending order of compartments, and for each of its epochs.
    #[n(1)]
    pub lines: List<KeyLine, AHEAD_LINES_MAX>,
}

/// What the ledger knows of an [`AheadSheet`].
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct KeysAhead {
    /// Digest of the sheet.
    #[n(0)]
    pub sheet: Digest,
    /// For each compartment the first epoch that has no key on the sheet; 0 where it has none at all.
    #[n(1)]
    pub until: [Epoch; COMPARTMENTS],
}

/// What proves the right to claim a chart: whoever holds the one-time code can derive the key.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ClaimTicket {
    /// Verifies the claim.
    #[n(0)]
    pub key: PublicKey,
    /// First instant at which the code is void.
    #[n(1)]
    pub until: BlockTime,
}

/// `chart.open`: a chart of the signer's organisation.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartOpen {
    /// The new chart.
    #[n(0)]
    pub chart: ChartId,
    /// Keys of its controller.
    #[n(1)]
    pub keys: ChartKeys,
    /// The compartments that no ordinary grant opens: always as many, used or not.
    #[n(2)]
    pub separate_consent: CompartmentSet,
    /// Who stores its sealed objects.
    #[n(3)]
    pub custodians: List<OrganisationId, CUSTODIANS_MAX>,
    /// Who may author in it beside its organisation.
    #[n(4)]
    pub contributors: List<OrganisationId, CONTRIBUTORS_MAX>,
    /// How the patient may claim it, where the organisation opened it for one without a wallet.
    #[n(5)]
    pub claim: Option<ClaimTicket>,
}

/// `chart.claim`: the patient takes control. Signed by the claim key and by the new signing key.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartClaim {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The wallet's keys; every compartment moves to its next epoch.
    #[n(1)]
    pub keys: ChartKeys,
    /// Root of the [`KeySheet`] that the patient's letter leads to: the chart's own, or else the letter
    /// is not of the keys and epochs that the chart has.
    #[n(2)]
    pub inherited: Digest,
}

/// `chart.arrange`: the controller says who stores and who may author, and, until the patient has claimed
/// the chart, may replace the one-time code.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartArrange {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Who stores its sealed objects.
    #[n(1)]
    pub custodians: List<OrganisationId, CUSTODIANS_MAX>,
    /// Who may author in it beside its organisation.
    #[n(2)]
    pub contributors: List<OrganisationId, CONTRIBUTORS_MAX>,
    /// How the patient may claim it from now on; without it, as before.
    #[n(3)]
    pub claim: Option<ClaimTicket>,
}

/// `compartment.rotate`: the controller moves compartments to their next epoch.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CompartmentRotate {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Which compartments.
    #[n(1)]
    pub compartments: CompartmentSet,
    /// Root of the new [`KeySheet`].
    #[n(2)]
    pub sheet: Digest,
    /// Digest of the table of seeds sealed to all grantees who read on; it takes the place of the one before.
    #[n(3)]
    pub seeds: Digest,
}

/// `chart.prepare`: the controller says what is left to emergencies.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChartPrepare {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The compartments that may be opened in an emergency.
    #[n(1)]
    pub emergency: CompartmentSet,
    /// Digest of their keys, shared out among the trustees and sealed to each.
    #[n(2)]
    pub escrow: Digest,
    /// Keys by which those compartments move on after an emergency; only of a chart that a patient
    /// controls.
    #[n(3)]
    pub ahead: Option<KeysAhead>,
}
