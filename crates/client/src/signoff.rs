//! Sign-off: approving a proposed record, taking that back, and the file that proves who signed what.
//!
//! ```text
//! SignatureFile = [version, receipt of the record, [receipt of each signature that counts, ...], proof of the sign-off]
//! ```
//!
//! # Invariants
//!
//! * A signature is shown with its signer, its time and its meaning, and only if its own receipt proves it.
//! * A file shows each signature that counts at its block, none that was taken back, and none of another record.
//!
//! Not here: the name of a signer. The ledger knows members by their ids; who that is, their organisation answers for.

use keepwell_crypto::command::record_id_of;
use keepwell_ledger::state::{Approval, Key, Proposal, Value};
use keepwell_merkle::receipt::{Receipt, ReceiptError, VerifiedHeader, VerifiedReceipt};
use keepwell_types::{
    access::RecordName,
    command::{Entry, Payload},
    encoding::List,
    id::{ChartId, Commitment, Location, LogPosition, OrganisationId, RecordId},
    limits::{APPROVERS_MAX, RECEIPT_BYTES_MAX, STATE_VALUE_BYTES_MAX},
    member::Party,
    record::{RecordApprove, RecordKind, RecordRetract, RecordWithdraw},
    signoff::{Approver, Meaning, Of, Place},
    time::BlockTime,
    wire::StateProof,
};
use minicbor::{Decode, Encode};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Client,
    client::Decided,
    consortium::Consortium,
    error::{ClientError, UsageError},
    identity::Actor,
    node::Ask,
    verify::{ProofFault, Proven, state_then},
};

/// The one version of signature files.
pub const SIGNATURES_VERSION: u8 = 1;
/// Bytes of the proof of a sign-off.
const PROOF_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 3 * STATE_VALUE_BYTES_MAX;
/// Bytes of an encoded signature file.
pub const SIGNATURES_BYTES_MAX: usize =
    (APPROVERS_MAX + 1) * RECEIPT_BYTES_MAX + PROOF_BYTES_MAX + 256;

/// Why a file proves no signatures.
#[derive(Debug, Error)]
pub enum SignatureFault {
    /// Made by a later version of the program.
    #[error(
        "these are signatures of version {given}, and version {known} is known here; update the program"
    )]
    Version {
        /// The file's.
        given: u8,
        /// Known here.
        known: u8,
    },
    /// A receipt, or the proof of the sign-off, does not hold.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// What should be the record's receipt adds no record that needs approvals.
    #[error("its record is none that needs approvals; ask for the file again")]
    NoProposal,
    /// The signatures are not those that count.
    #[error(
        "its signatures are not the {counted} that count: one is missing, was added or is of another record; do not rely on it"
    )]
    OtherSignatures {
        /// How many count.
        counted: usize,
    },
}

impl From<ReceiptError> for SignatureFault {
    fn from(error: ReceiptError) -> Self {
        Self::Proof(error.into())
    }
}

/// A proposed record with its signatures, as a file that proves them to anyone who has the genesis file.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct SignatureFile {
    /// [`SIGNATURES_VERSION`].
    #[n(0)]
    pub version: u8,
    /// Of the entry that added the record.
    #[n(1)]
    pub record: Receipt,
    /// Of each approval that counts, in the order in which they were given.
    #[n(2)]
    pub approvals: List<Receipt, APPROVERS_MAX>,
    /// Of the sign-off, at a block after all of them.
    #[n(3)]
    pub sign_off: StateProof,
}

/// Signatures that are proven. Only [`SignatureFile::verify`] makes them.
#[derive(Clone, Debug)]
pub struct VerifiedSignatures {
    proposed: Proposed,
    proposal: Proposal,
    header: VerifiedHeader,
}

/// One signature as it is shown (21 CFR 11.50).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Signature {
    /// Who signed.
    pub signer: Party,
    /// When.
    pub time: BlockTime,
    /// What it says.
    pub meaning: Meaning,
    /// Where its entry stands.
    pub location: Location,
}

/// What a proven entry says of the record that it proposed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Proposed {
    /// The chart.
    pub chart: ChartId,
    /// The record.
    pub record: RecordId,
    /// Its coarse class.
    pub kind: RecordKind,
    /// What is to be signed.
    pub commitment: Commitment,
    /// Who added it.
    pub author: Party,
    /// When.
    pub time: BlockTime,
}

impl Proposed {
    /// Of an entry that added a record.
    fn of(proven: &VerifiedReceipt) -> Option<Self> {
        let Entry::Signed(signed) = proven.entry() else { return None };
        let Payload::RecordAdd(add) = &signed.command.payload else { return None };
        let outcome = proven.outcome();
        if !outcome.verdict.is_accepted() {
            return None;
        }
        Some(Self {
            chart: add.chart,
            record: record_id_of(&signed.command)?,
            kind: add.kind,
            commitment: add.commitment,
            author: *signed.command.signers.first()?,
            time: outcome.time,
        })
    }
}

/// The signatures that count in a sign-off, as they are shown.
pub fn signatures_in(proposal: &Proposal) -> Vec<Signature> {
    let shown = |approval: &Approval| {
        let place = proposal.rule.seat(approval.seat)?;
        let Approval { party: signer, time, location, .. } = *approval;
        Some(Signature { signer, time, meaning: place.meaning, location })
    };
    proposal.approvals.iter().filter_map(shown).collect()
}

impl SignatureFile {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, keepwell_types::DecodeError> {
        keepwell_types::decode(bytes, SIGNATURES_BYTES_MAX)
    }

    /// Checks it against the genesis file alone.
    pub fn verify(self, consortium: &Consortium) -> Result<VerifiedSignatures, SignatureFault> {
        if self.version != SIGNATURES_VERSION {
            let (given, known) = (self.version, SIGNATURES_VERSION);
            return Err(SignatureFault::Version { given, known });
        }
        let validators = consortium.validators();
        let proven = self.record.verify_by(validators)?;
        let proposed = Proposed::of(&proven).ok_or(SignatureFault::NoProposal)?;
        let key = Key::Proposal(proposed.chart, proposed.record);
        let proven = state_then(validators, &key, &self.sign_off)?;
        let header = proven.header().clone();
        let Some(Value::Proposal(proposal)) = proven.into_value() else {
            return Err(SignatureFault::NoProposal);
        };
        let counted = proposal.approvals.len();
        let other = || SignatureFault::OtherSignatures { counted };
        if self.approvals.len() != counted || proposal.commitment != proposed.commitment {
            return Err(other());
        }
        for (receipt, approval) in self.approvals.into_vec().into_iter().zip(&proposal.approvals) {
            let proven = receipt.verify_by(validators)?;
            if !is_signature(&proven, approval, &proposed, &proposal) {
                return Err(other());
            }
        }
        Ok(VerifiedSignatures { proposed, proposal, header })
    }
}

/// Whether a proven entry is this very approval of this very record.
fn is_signature(
    proven: &VerifiedReceipt,
    approval: &Approval,
    proposed: &Proposed,
    proposal: &Proposal,
) -> bool {
    let Entry::Signed(signed) = proven.entry() else { return false };
    let Payload::RecordApprove(approve) = &signed.command.payload else { return false };
    let outcome = proven.outcome();
    let meaning = proposal.rule.seat(approval.seat).map(|place| place.meaning);
    outcome.verdict.is_accepted()
        && (outcome.location, outcome.time) == (approval.location, approval.time)
        && signed.command.signers[..] == [approval.party]
        && (approve.chart, approve.record.record) == (proposed.chart, proposed.record)
        && approve.commitment == proposed.commitment
        && approve.seat == approval.seat
        && Some(approve.meaning) == meaning
}

impl VerifiedSignatures {
    /// The record.
    pub const fn proposed(&self) -> &Proposed {
        &self.proposed
    }

    /// Its sign-off: the rule, and whether it is met.
    pub const fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// The signatures, in the order in which they were given.
    pub fn signatures(&self) -> Vec<Signature> {
        signatures_in(&self.proposal)
    }

    /// The block after which they are these.
    pub const fn header(&self) -> &VerifiedHeader {
        &self.header
    }
}

/// A record's sign-off as it stands now, with its proofs.
#[derive(Clone, Debug)]
pub struct SignOff {
    /// How the record is named in its chart.
    pub name: RecordName,
    /// The record.
    pub proposed: Proposed,
    /// The rule, and who has signed.
    pub proposal: Proposal,
    receipt: Receipt,
    proof: StateProof,
}

impl Client {
    /// The sign-off of the record at a position of a chart's log.
    pub async fn sign_off(
        &self,
        actor: &Actor,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<SignOff, ClientError> {
        let proposed = |receipt: &Receipt, proven: &VerifiedReceipt| {
            Some((Proposed::of(proven), receipt.clone()))
        };
        let (proposed, receipt) = self.entry_at(actor, (chart, position), proposed).await?;
        let proposed = proposed.ok_or(UsageError::NotProposed(position))?;
        let (proven, proof) = self.proposal(actor, chart, proposed.record).await?;
        let Some(Value::Proposal(proposal)) = proven.into_value() else {
            return Err(UsageError::NotProposed(position).into());
        };
        let name = RecordName { position, record: proposed.record };
        Ok(SignOff { name, proposed, proposal, receipt, proof })
    }

    async fn proposal(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordId,
    ) -> Result<(Proven, StateProof), ClientError> {
        let target = format!("/v1/charts/{chart}/proposals/{record}");
        let key = Key::Proposal(chart, record);
        let ask = Ask::get(target, Some(actor), PROOF_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let proof: StateProof = crate::client::decode(bytes, PROOF_BYTES_MAX)?;
            Ok((self.checker(&self.in_force()).state(&key, &proof)?, proof))
        };
        let (proven, proof) = self.ask(&ask, check).await?;
        self.note(proven.header());
        Ok((proven, proof))
    }

    /// Signs a record that was shown, at a seat of its rule.
    pub async fn approve_record(
        &self,
        actor: &Actor,
        sign_off: &SignOff,
        meaning: Meaning,
        seat: u8,
    ) -> Result<Decided, ClientError> {
        let Proposed { chart, commitment, .. } = sign_off.proposed;
        let record = sign_off.name;
        let approve = RecordApprove { chart, record, commitment, meaning, seat };
        self.command(actor, Payload::RecordApprove(approve)).await
    }

    /// Takes a signature back, while nothing rests on it.
    pub async fn retract_approval(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::RecordRetract(RecordRetract { chart, record })).await
    }

    /// Proposes a record no longer, while it is not final.
    pub async fn withdraw_record(
        &self,
        actor: &Actor,
        chart: ChartId,
        record: RecordName,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::RecordWithdraw(RecordWithdraw { chart, record })).await
    }

    /// The first seat with room where the signer can say `meaning`; one of the step that is open, if there is any.
    /// Whether a credential holds is left to the ledger.
    pub async fn seat_for(
        &self,
        actor: &Actor,
        sign_off: &SignOff,
        meaning: Meaning,
    ) -> Result<u8, ClientError> {
        let open = sign_off.proposal.steps_met();
        let mut found = None;
        for (number, place) in (0..).zip(sign_off.proposal.rule.seats()) {
            let has_room = sign_off.proposal.taken(number) < usize::from(place.seat.min);
            if place.meaning != meaning || !has_room || !self.fits(actor, sign_off, place).await? {
                continue;
            }
            if place.step == open {
                return Ok(number);
            }
            found = found.or(Some(number));
        }
        Ok(found.ok_or(UsageError::NoSeat(meaning))?)
    }

    async fn fits(
        &self,
        actor: &Actor,
        sign_off: &SignOff,
        place: Place,
    ) -> Result<bool, ClientError> {
        let party = actor.party();
        Ok(match place.seat.who {
            Approver::Patient => party == Party::Controller(sign_off.proposed.chart),
            Approver::Author => party == sign_off.proposed.author,
            Approver::Proxy => {
                matches!(party, Party::Proxy(of, _) if of == sign_off.proposed.chart)
            }
            Approver::Member(id) => party == Party::Member(id),
            Approver::Administrator(id) => party == Party::Administrator(id),
            Approver::Role(role, of) => {
                let Party::Member(id) = party else { return Ok(false) };
                let member = self.member(actor, id).await?;
                member.roles.contains(role)
                    && member.organisation == self.organisation_of(actor, sign_off, of).await?
            }
            Approver::Credential(_, of) => {
                let Party::Member(id) = party else { return Ok(false) };
                let member = self.member(actor, id).await?;
                member.organisation == self.organisation_of(actor, sign_off, of).await?
            }
        })
    }

    async fn organisation_of(
        &self,
        actor: &Actor,
        sign_off: &SignOff,
        of: Of,
    ) -> Result<OrganisationId, ClientError> {
        Ok(match of {
            Of::Author => sign_off.proposal.organisation,
            Of::Organisation(id) => id,
            Of::Chart => self.chart(actor, sign_off.proposed.chart).await?.organisation,
        })
    }

    /// A copy of a record's signatures that anyone can verify.
    pub async fn signatures(
        &self,
        actor: &Actor,
        sign_off: &SignOff,
    ) -> Result<SignatureFile, ClientError> {
        let mut approvals = Vec::with_capacity(sign_off.proposal.approvals.len());
        for approval in &sign_off.proposal.approvals {
            approvals.push(self.receipt(actor, approval.location).await?.receipt().clone());
        }
        Ok(SignatureFile {
            version: SIGNATURES_VERSION,
            record: sign_off.receipt.clone(),
            approvals: List::from_vec(approvals).expect("as many as a sign-off counts"),
            sign_off: sign_off.proof.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
