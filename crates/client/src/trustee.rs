//! A trustee: opens its shares of what a chart left to emergencies, for an access that the ledger allows.
//!
//! ```text
//! request ─> the receipt of the access: accepted, for the purpose BTG, of a member, not old
//!        └─> proofs of the newest state:
//!              chart         leaves these compartments to emergencies, and this is the escrow it names
//!              emergencies   this one is the member's, of these compartments, and open
//!              member, organisation, credentials   in standing, with a licence that holds
//!        ──> shares, sealed to the key that the access names, and signed
//! ```
//!
//! # Invariants
//!
//! * A trustee trusts no node and asks none: whoever asks brings the proofs, and each is checked against the
//!   genesis file and this computer's clock. So nothing is opened that the ledger does not allow now, but for
//!   the few seconds by which a state may be old; in those, validators still refuse.
//! * [`Permit`] is made by [`Permit::of`] alone, and nothing is opened without one.
//! * Which compartments, which chart and which key: all comes from what was proven, nothing from the request.
//!
//! Not here: what the access was decided by, prohibitions included: an accepted one was not forbidden, and
//! what is forbidden after it, validators do not release. The way to trustees is in [`crate::emergency`].

use std::sync::Arc;

use keepwell_crypto::{
    escrow::EscrowFault,
    release::Access,
    seal::SealingPublic,
    trustee::{ChartEscrow, Opens, TrusteeAnswer, TrusteeKey},
};
use keepwell_ledger::state::{Chart, Emergency, Key, Value};
use keepwell_merkle::receipt::{Receipt, VerifiedReceipt};
use keepwell_types::{
    DecodeError,
    access::{AccessOpen, Purpose, Target},
    command::{Entry, Payload},
    credential::CredentialKind,
    id::{ChartId, CommandDigest, LogPosition, MemberId},
    limits::{
        CHART_ESCROW_BYTES_MAX, RECEIPT_BYTES_MAX, RELEASE_AGE_MS_MAX, STATE_VALUE_BYTES_MAX,
    },
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
    wire::{StateProof, TrusteeRequest},
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Consortium,
    client::rng,
    verify::{Checker, ProofFault, Proven},
};

/// Bytes of a request: a receipt, an escrow and five proofs.
pub const TRUSTEE_REQUEST_BYTES_MAX: usize = RECEIPT_BYTES_MAX
    + CHART_ESCROW_BYTES_MAX
    + 5 * (RECEIPT_BYTES_MAX + 3 * STATE_VALUE_BYTES_MAX)
    + 4 * 1_024;

/// Why a trustee opens nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TrusteeRefusal {
    /// Not a request.
    #[error("this is not such a request: {0}; update the program")]
    Malformed(#[from] DecodeError),
    /// A proof or receipt does not hold, or is too old.
    #[error("a proof does not hold: {0}")]
    Proof(#[from] ProofFault),
    /// The receipt is not of an access in an emergency that the ledger accepted.
    #[error(
        "the receipt is not of an accepted access for the purpose BTG, of compartments, by a member; open the access first"
    )]
    NoAccess,
    /// The access is old.
    #[error("the access of {opened} is over at {now}: open the records again")]
    TooOld {
        /// When it was accepted.
        opened: BlockTime,
        /// Now.
        now: BlockTime,
    },
    /// Another key than the access names.
    #[error("the access names another reader key; ask with the key made for that access")]
    ReaderKey,
    /// The escrow is not the one that the ledger names.
    #[error("this is not the escrow that the ledger names for the chart; fetch it again")]
    Escrow,
    /// The patient has not left these to emergencies, or takes them out again.
    #[error("these compartments are not left to emergencies: {}", numbers(.0))]
    NotLeft(CompartmentSet),
    /// The emergency is not there, is another member's, or is of other compartments.
    #[error("no emergency at {0} is this reader's and covers what the access asks for")]
    NoEmergency(LogPosition),
    /// Nobody has agreed and the delay has not passed.
    #[error(
        "the emergency opens at {from}, and now it is {now}: have another clinician agree, or wait"
    )]
    NotYet {
        /// When it opens.
        from: BlockTime,
        /// Now.
        now: BlockTime,
    },
    /// It is over.
    #[error(
        "the emergency was over at {until}, and now it is {now}: break the glass again if it goes on"
    )]
    Over {
        /// When it ended.
        until: BlockTime,
        /// Now.
        now: BlockTime,
    },
    /// The reader or its organisation may not act.
    #[error("the reader or its organisation is suspended; ask the organisation's administrator")]
    Suspended,
    /// The reader's licence does not hold.
    #[error("the reader has no licence that holds now; its licensing board knows why")]
    Unlicensed,
    /// This trustee's share.
    #[error("this trustee's share cannot be had: {0}")]
    Share(#[from] EscrowFault),
}

fn numbers(compartments: &CompartmentSet) -> String {
    let numbers: Vec<_> = compartments.iter().map(|it| it.index().to_string()).collect();
    numbers.join(", ")
}

impl TrusteeRefusal {
    /// For programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Proof(_) => "proof",
            Self::NoAccess => "no_access",
            Self::TooOld { .. } => "too_old",
            Self::ReaderKey => "other_key",
            Self::Escrow => "other_escrow",
            Self::NotLeft(_) => "not_left",
            Self::NoEmergency(_) => "no_emergency",
            Self::NotYet { .. } => "not_yet",
            Self::Over { .. } => "over",
            Self::Suspended => "suspended",
            Self::Unlicensed => "unlicensed",
            Self::Share(_) => "share",
        }
    }
}

/// The access of a request, as its receipt proves it.
struct Asked<'a> {
    receipt: &'a VerifiedReceipt,
    open: &'a AccessOpen,
    member: MemberId,
    compartments: CompartmentSet,
}

impl<'a> Asked<'a> {
    fn of(receipt: &'a VerifiedReceipt) -> Option<Self> {
        let Entry::Signed(signed) = receipt.entry() else { return None };
        let Payload::AccessOpen(open) = &signed.command.payload else { return None };
        let [Party::Member(member)] = signed.command.signers[..] else { return None };
        let Target::Compartments { compartments, .. } = open.target else { return None };
        let accepted = receipt.outcome().verdict.is_accepted();
        let is_one = accepted && open.purpose == Purpose::BreakGlass;
        is_one.then_some(Self { receipt, open, member, compartments })
    }
}

/// That the ledger allows a reader what is left of some compartments, as it was proven.
#[derive(Clone, Debug)]
pub struct Permit {
    access: Access,
    reader: SealingPublic,
    escrow: ChartEscrow,
    chart: Chart,
    member: MemberId,
    emergency: Emergency,
    compartments: CompartmentSet,
}

/// What a trustee keeps of an answer: no secret, and enough to tell whoever asks what it opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Answered {
    /// The access.
    pub access: CommandDigest,
    /// The chart.
    pub chart: ChartId,
    /// Where the glass was broken in its log.
    pub emergency: LogPosition,
    /// To whom.
    pub member: MemberId,
    /// What of.
    pub compartments: CompartmentSet,
}

impl Permit {
    /// Checks a request at `now`, by the trustee's own clock.
    pub fn of(
        consortium: &Consortium,
        now: BlockTime,
        request: &TrusteeRequest,
    ) -> Result<Self, TrusteeRefusal> {
        let receipt = Receipt::decode(&request.access).map_err(ProofFault::from)?;
        let receipt = receipt.verify_by(consortium.validators()).map_err(ProofFault::from)?;
        let asked = Asked::of(&receipt).ok_or(TrusteeRefusal::NoAccess)?;
        let opened = asked.receipt.outcome().time;
        if now.ms_since(opened) > RELEASE_AGE_MS_MAX {
            return Err(TrusteeRefusal::TooOld { opened, now });
        }
        let reader = SealingPublic::from_bytes(&request.reader_key)
            .map_err(|_| TrusteeRefusal::ReaderKey)?;
        if reader.digest() != asked.open.reader_key {
            return Err(TrusteeRefusal::ReaderKey);
        }
        let state = State { consortium, now, request };
        state.check_standing(asked.member)?;
        let chart = state.chart(asked.open.chart)?;
        let escrow = left_of(&chart, &asked, &request.escrow)?;
        let emergency = state.emergency(&asked)?;
        let access = Access {
            chain: consortium.chain(),
            command: asked.receipt.outcome().command,
            reader_key: asked.open.reader_key,
        };
        let (member, compartments) = (asked.member, asked.compartments);
        Ok(Self { access, reader, escrow, chart, member, emergency, compartments })
    }

    /// What is kept of it.
    pub fn answered(&self) -> Answered {
        Answered {
            access: self.access.command,
            chart: self.escrow.chart(),
            emergency: self.emergency.position,
            member: self.member,
            compartments: self.compartments,
        }
    }
}

/// What the chart leaves to emergencies, if the access asks for nothing else.
fn left_of(chart: &Chart, asked: &Asked<'_>, escrow: &[u8]) -> Result<ChartEscrow, TrusteeRefusal> {
    let not_left = asked.compartments.without(chart.emergency);
    if !not_left.is_empty() {
        return Err(TrusteeRefusal::NotLeft(not_left));
    }
    let escrow = ChartEscrow::decode(escrow)?;
    let named = chart.escrow == Some(escrow.digest()) && escrow.chart() == asked.open.chart;
    if named { Ok(escrow) } else { Err(TrusteeRefusal::Escrow) }
}

/// The state as the request proves it.
struct State<'a> {
    consortium: &'a Consortium,
    now: BlockTime,
    request: &'a TrusteeRequest,
}

impl State<'_> {
    fn proven(&self, key: &Key, proof: &StateProof) -> Result<Proven, TrusteeRefusal> {
        // Requests meet in any order, and each brings the newest state that its asker could get.
        let checker =
            Checker { validators: self.consortium.validators(), seen: None, now: self.now };
        Ok(checker.state(key, proof)?)
    }

    fn check_standing(&self, id: MemberId) -> Result<(), TrusteeRefusal> {
        let member = self.proven(&Key::Member(id), &self.request.member)?.into_value();
        let Some(Value::Member(member)) = member else { return Err(TrusteeRefusal::Suspended) };
        let key = Key::Organisation(member.organisation);
        let organisation = self.proven(&key, &self.request.organisation)?.into_value();
        let stands = matches!(organisation, Some(Value::Organisation(it)) if !it.suspended);
        if member.suspended || !stands {
            return Err(TrusteeRefusal::Suspended);
        }
        let credentials = self.proven(&Key::Credentials(id), &self.request.credentials)?;
        let time = self.latest(&credentials);
        let licensed = matches!(credentials.value(), Some(Value::Credentials(it)) if it.hold(CredentialKind::Licence, time));
        if licensed { Ok(()) } else { Err(TrusteeRefusal::Unlicensed) }
    }

    fn chart(&self, id: ChartId) -> Result<Chart, TrusteeRefusal> {
        match self.proven(&Key::Chart(id), &self.request.chart)?.into_value() {
            Some(Value::Chart(chart)) => Ok(chart),
            _ => Err(TrusteeRefusal::Escrow),
        }
    }

    /// The emergency, open. It begins by block time and is over by whichever clock is ahead.
    fn emergency(&self, asked: &Asked<'_>) -> Result<Emergency, TrusteeRefusal> {
        let (position, key) = (self.request.emergency, Key::Emergencies(asked.open.chart));
        let proven = self.proven(&key, &self.request.emergencies)?;
        let (begins_by, ends_by) = (proven.header().header().time, self.latest(&proven));
        let Some(Value::Emergencies(emergencies)) = proven.into_value() else {
            return Err(TrusteeRefusal::NoEmergency(position));
        };
        let is_it = |it: &&Emergency| {
            (it.position, it.member) == (position, asked.member)
                && it.compartments.includes(asked.compartments)
        };
        let emergency =
            *emergencies.all.iter().find(is_it).ok_or(TrusteeRefusal::NoEmergency(position))?;
        let (from, until) = (emergency.open.from, emergency.open.until);
        if until <= ends_by {
            return Err(TrusteeRefusal::Over { until, now: ends_by });
        }
        if begins_by < from {
            return Err(TrusteeRefusal::NotYet { from, now: begins_by });
        }
        Ok(emergency)
    }

    fn latest(&self, proven: &Proven) -> BlockTime {
        proven.header().header().time.max(self.now)
    }
}

/// One trustee of a consortium.
#[derive(Clone, Debug)]
pub struct Trustee {
    consortium: Arc<Consortium>,
    key: TrusteeKey,
}

impl Trustee {
    /// The trustee with these keys.
    pub const fn new(consortium: Arc<Consortium>, key: TrusteeKey) -> Self {
        Self { consortium, key }
    }

    /// Its place among the trustees, counted from 1.
    pub const fn index(&self) -> u16 {
        self.key.index()
    }

    /// Checks a request at `now`.
    pub fn permit(&self, now: BlockTime, request: &[u8]) -> Result<Permit, TrusteeRefusal> {
        let request: TrusteeRequest = keepwell_types::decode(request, TRUSTEE_REQUEST_BYTES_MAX)?;
        Permit::of(&self.consortium, now, &request)
    }

    /// Opens what is permitted. Whoever calls has written down before that it was asked for.
    pub fn answer(&self, permit: &Permit) -> Result<TrusteeAnswer, TrusteeRefusal> {
        let opens = Opens {
            access: &permit.access,
            compartments: permit.compartments,
            epochs: &permit.chart.epochs,
        };
        Ok(self.key.answer(&mut rng(), &opens, &permit.escrow, &permit.reader)?)
    }
}

#[cfg(test)]
mod tests;
