//! What becomes of a record after it was added: restrictions, redaction, and the certificate of its erasure.
//!
//! Not here: amendments, which are authored like records ([`crate::author`]).

use keepwell_ledger::state::{Key, RecordState, Value};
use keepwell_merkle::receipt::VerifiedHeader;
use keepwell_types::{
    access::RecordName,
    command::Payload,
    id::{ChartId, RecordId},
    limits::{RECEIPT_BYTES_MAX, STATE_VALUE_BYTES_MAX},
    record::{RecordKeep, RecordRedact, RecordRestrict, RedactionGround},
    set::RestrictionSet,
    wire::StateProof,
};
use minicbor::{Decode, Encode};

use crate::{
    Client,
    client::Decided,
    consortium::Consortium,
    error::ClientError,
    identity::Actor,
    node::Ask,
    verify::{ProofFault, Proven, state_then},
};

/// Bytes of an encoded certificate.
pub const CERTIFICATE_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 3 * STATE_VALUE_BYTES_MAX + 256;

/// What has become of a record, as a file that proves it to anyone who has the genesis file: whether it is
/// redacted, since when, and who has erased it and who has not.
///
/// It is a proof of the state at one block. A later one may say more, and none less.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ErasureCertificate {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record, by the id of its first version.
    #[n(1)]
    pub record: RecordId,
    /// Proof of its state.
    #[n(2)]
    pub proof: StateProof,
}

/// A certificate that holds: the record's state, and the block after which it was that.
#[derive(Clone, Debug)]
pub struct VerifiedErasure {
    /// The state.
    pub state: RecordState,
    /// The block.
    pub header: VerifiedHeader,
}

impl ErasureCertificate {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, keepwell_types::DecodeError> {
        keepwell_types::decode(bytes, CERTIFICATE_BYTES_MAX)
    }

    /// Checks it against the genesis file alone.
    pub fn verify(&self, consortium: &Consortium) -> Result<VerifiedErasure, ProofFault> {
        let key = Key::RecordState(self.chart, self.record);
        let proven = state_then(consortium.validators(), &key, &self.proof)?;
        let header = proven.header().clone();
        let state = match proven.into_value() {
            Some(Value::RecordState(state)) => state,
            Some(_) | None => RecordState::default(),
        };
        Ok(VerifiedErasure { state, header })
    }
}

impl Client {
    /// Restricts a record in all its versions.
    pub async fn restrict_record(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
        restrictions: RestrictionSet,
    ) -> Result<Decided, ClientError> {
        let restrict = RecordRestrict { chart, record, restrictions };
        self.command(actor, Payload::RecordRestrict(restrict)).await
    }

    /// Lifts restrictions of a record.
    pub async fn lift_restrictions(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
        restrictions: RestrictionSet,
    ) -> Result<Decided, ClientError> {
        let restrict = RecordRestrict { chart, record, restrictions };
        self.command(actor, Payload::RecordLift(restrict)).await
    }

    /// Approves that a record be redacted; it is, once every required party has.
    pub async fn redact_record(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
        ground: RedactionGround,
    ) -> Result<Decided, ClientError> {
        let redact = RecordRedact { chart, record, ground };
        self.command(actor, Payload::RecordRedact(redact)).await
    }

    /// Takes an approval of a redaction back.
    pub async fn keep_record(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::RecordKeep(RecordKeep { chart, record })).await
    }

    /// What has become of the record whose first version is `record`, with its proof.
    pub async fn record_state(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordId,
    ) -> Result<(RecordState, ErasureCertificate), ClientError> {
        let target = format!("/v1/charts/{chart}/record-states/{record}");
        let key = Key::RecordState(chart, record);
        let ask = Ask::get(target, Some(actor), CERTIFICATE_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let proof: StateProof = crate::client::decode(bytes, CERTIFICATE_BYTES_MAX)?;
            let proven: Proven = self.checker(&self.in_force()).state(&key, &proof)?;
            Ok((proven, proof))
        };
        let (proven, proof) = self.ask(&ask, check).await?;
        self.note(proven.header());
        let state = match proven.into_value() {
            Some(Value::RecordState(state)) => state,
            Some(_) | None => RecordState::default(),
        };
        Ok((state, ErasureCertificate { chart, record, proof }))
    }
}
