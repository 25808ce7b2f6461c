//! What a chart leaves to emergencies: seeds of epochs, shared out among trustees, and a trustee's answer.
//!
//! ```text
//! wallet    line [compartment, from, until, escrow of its seeds]     ── custodians; the digest of all on the ledger
//!             from 0: all epochs so far          from e: epoch e alone, of those to come
//! trustee   an emergency that is open, an access of its clinician    (who calls this vouches for both)
//!             ── answer: the shares of the lines asked for, sealed to the reader's fresh key, and signed
//! reader    answers of a threshold of trustees ──> seeds
//! ```
//!
//! # Invariants
//!
//! * Seeds of an epoch to come are in lines of their own: whoever got the epochs so far has no key to what
//!   is sealed after them.
//! * An answer is for one access and one fresh key. Sent to anyone else it opens for nobody.
//! * Only a signed answer can be held against a trustee. A false share is told from a good one before it is
//!   used ([`crate::escrow`]), is dropped and names its trustee.
//!
//! Not here: whether the emergency is open and the access is of its clinician; `keepwell-client` checks that
//! against the genesis file for a trustee.

use alloc::{collections::BTreeMap, vec::Vec};

use keepwell_types::{
    DecodeError, decode, encode,
    encoding::List,
    genesis::Trustees,
    id::{ChainId, ChartId, CommandDigest, Compartment, Digest, Epoch, PublicKey, Signature},
    limits::{CHART_ESCROW_BYTES_MAX, COMPARTMENTS, ESCROW_LINES_MAX},
    set::CompartmentSet,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    escrow::{Escrow, EscrowFault, SealedShare, Share},
    grant::Seed,
    hash::digest,
    keys::{EpochSeed, MemberSecret},
    release::Access,
    seal::{SealError, SealingKey, SealingPublic},
    sign::{self, SigningKey},
};

const SIGNATURE_DOMAIN: &str = "keepwell/trustee/answer/v1";
/// Bytes of a seed.
const SEED_BYTES: usize = 32;
/// Bytes of an answer: a sealed share of each line, with room.
pub const ANSWER_BYTES_MAX: usize = ESCROW_LINES_MAX * 1_280 + 1_024;

/// The trustees of a consortium, with keys that were checked.
#[derive(Clone, Debug)]
pub struct TrusteeGroup {
    threshold: u16,
    sealing: Vec<SealingPublic>,
    signing: Vec<PublicKey>,
}

impl TrusteeGroup {
    /// Those of a genesis file.
    pub fn new(trustees: &Trustees) -> Result<Self, SealError> {
        let all = &trustees.trustees;
        let sealing = all.iter().map(|it| SealingPublic::from_bytes(&it.sealing));
        Ok(Self {
            threshold: trustees.threshold,
            sealing: sealing.collect::<Result<_, _>>()?,
            signing: all.iter().map(|it| it.signing).collect(),
        })
    }

    /// How many open together.
    pub const fn threshold(&self) -> u16 {
        self.threshold
    }

    /// How many there are.
    pub fn len(&self) -> u16 {
        self.signing.len() as u16
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.signing.is_empty()
    }
}

/// The seeds of consecutive epochs of one compartment: what one line shares out.
#[derive(Clone, Debug)]
pub struct Left {
    /// The compartment.
    pub compartment: Compartment,
    /// The first of the epochs.
    pub from: Epoch,
    /// One seed for each.
    pub seeds: Vec<EpochSeed>,
}

/// What a chart leaves to emergencies: an object that lies at the chart's custodians.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ChartEscrow {
    #[n(0)]
    chart: ChartId,
    #[n(1)]
    lines: List<EscrowLine, ESCROW_LINES_MAX>,
}

/// One line of a [`ChartEscrow`].
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
struct EscrowLine {
    #[n(0)]
    compartment: Compartment,
    /// First epoch whose seed is in it.
    #[n(1)]
    from: Epoch,
    /// First epoch whose seed is not.
    #[n(2)]
    until: Epoch,
    #[n(3)]
    escrow: Escrow,
}

/// The parts that bind an escrow to its line.
struct Bound([u8; 1], [u8; 4], [u8; 4]);

impl EscrowLine {
    fn bound(&self) -> Bound {
        let (from, until) = (self.from.0.to_le_bytes(), self.until.0.to_le_bytes());
        Bound([self.compartment.index()], from, until)
    }

    /// Whether it is of `compartments`, and of epochs that have begun.
    fn is_open(&self, compartments: CompartmentSet, epochs: &[Epoch; COMPARTMENTS]) -> bool {
        compartments.contains(self.compartment)
            && self.from <= epochs[usize::from(self.compartment.index())]
    }
}

impl Bound {
    fn parts<'a>(&'a self, chain: &'a ChainId, chart: &'a ChartId) -> [&'a [u8]; 5] {
        [&chain.0, &chart.0, &self.0, &self.1, &self.2]
    }
}

impl ChartEscrow {
    /// Shares out what is left.
    pub fn deal(
        rng: &mut impl CryptoRng,
        chain: &ChainId,
        chart: ChartId,
        trustees: &TrusteeGroup,
        left: &[Left],
    ) -> Result<Self, EscrowFault> {
        let mut lines = Vec::with_capacity(left.len());
        for Left { compartment, from, seeds } in left {
            let until = Epoch(from.0.saturating_add(seeds.len() as u32));
            let (from, until_bytes) = (*from, until.0.to_le_bytes());
            let bound = Bound([compartment.index()], from.0.to_le_bytes(), until_bytes);
            let mut secret = Zeroizing::new(Vec::with_capacity(seeds.len() * SEED_BYTES));
            seeds.iter().for_each(|seed| secret.extend_from_slice(seed.as_bytes()));
            let (parts, threshold) = (bound.parts(chain, &chart), trustees.threshold);
            let escrow = Escrow::deal(rng, &parts, &secret, threshold, &trustees.sealing)?;
            lines.push(EscrowLine { compartment: *compartment, from, until, escrow });
        }
        let lines = List::from_vec(lines).map_err(|_| EscrowFault::Malformed)?;
        Ok(Self { chart, lines })
    }

    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, CHART_ESCROW_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// What stands on the ledger.
    pub fn digest(&self) -> Digest {
        digest("keepwell/trustee/escrow/v1", &[&self.encode()])
    }

    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// Of which compartments it has lines.
    pub fn compartments(&self) -> CompartmentSet {
        self.lines.iter().map(|line| line.compartment).collect()
    }

    /// The lines of `compartments` whose epochs have begun.
    fn open(
        &self,
        compartments: CompartmentSet,
        epochs: &[Epoch; COMPARTMENTS],
    ) -> impl Iterator<Item = &EscrowLine> {
        self.lines.iter().filter(move |line| line.is_open(compartments, epochs))
    }
}

/// One trustee's shares, sealed to the reader of one access.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct TrusteeAnswer {
    #[n(0)]
    access: CommandDigest,
    #[n(1)]
    trustee: u16,
    #[n(2)]
    shares: List<SealedShare, ESCROW_LINES_MAX>,
    #[n(3)]
    signature: Signature,
}

impl TrusteeAnswer {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, ANSWER_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Whose it claims to be, counted from 1.
    pub const fn trustee(&self) -> u16 {
        self.trustee
    }
}

/// What is to be opened: lines of these compartments, up to the epochs that the chart has.
#[derive(Clone, Copy, Debug)]
pub struct Opens<'a> {
    /// The access, and the digest of the key that it names.
    pub access: &'a Access,
    /// Which compartments.
    pub compartments: CompartmentSet,
    /// The present epochs of the chart.
    pub epochs: &'a [Epoch; COMPARTMENTS],
}

/// A trustee's keys: all that touches its shares.
#[derive(Clone, Debug)]
pub struct TrusteeKey {
    index: u16,
    sealing: SealingKey,
    signing: SigningKey,
}

impl TrusteeKey {
    /// The keys that derive from `secret`, if they are those of one of the trustees.
    pub fn new(trustees: &Trustees, secret: &MemberSecret) -> Option<Self> {
        let (sealing, signing) = (secret.sealing(), secret.signing());
        let (seals, signs) = (sealing.public().to_blob(), signing.public());
        let is_own =
            |it: &keepwell_types::genesis::Trustee| it.sealing == seals && it.signing == signs;
        let place = trustees.trustees.iter().position(is_own)?;
        Some(Self { index: place as u16 + 1, sealing, signing })
    }

    /// Its place among the trustees, counted from 1.
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// Opens its shares of the lines, for whoever has the reader's key.
    ///
    /// The caller vouches that its ledger allows just this, and that `escrow` is what the ledger names.
    pub fn answer(
        &self,
        rng: &mut impl CryptoRng,
        opens: &Opens<'_>,
        escrow: &ChartEscrow,
        reader: &SealingPublic,
    ) -> Result<TrusteeAnswer, EscrowFault> {
        let Opens { access, compartments, epochs } = *opens;
        let mut shares = Vec::new();
        for line in escrow.open(compartments, epochs) {
            let bound = line.bound();
            let parts = bound.parts(&access.chain, &escrow.chart);
            let share = line.escrow.open_share(&parts, self.index, &self.sealing)?;
            shares.push(share.seal(rng, reader, &handed(access, &bound)));
        }
        let shares = List::from_vec(shares).map_err(|_| EscrowFault::Malformed)?;
        let message = signed_message(access, &escrow.digest(), self.index, &shares);
        let signature = self.signing.sign(SIGNATURE_DOMAIN, message.as_bytes());
        Ok(TrusteeAnswer { access: access.command, trustee: self.index, shares, signature })
    }
}

/// The parts that bind a share to the access it is handed over for.
fn handed<'a>(access: &'a Access, bound: &'a Bound) -> [&'a [u8]; 6] {
    [&access.chain.0, &access.command.0, &access.reader_key.0, &bound.0, &bound.1, &bound.2]
}

fn signed_message(
    access: &Access,
    escrow: &Digest,
    trustee: u16,
    shares: &List<SealedShare, ESCROW_LINES_MAX>,
) -> Digest {
    let (trustee, shares) = (trustee.to_le_bytes(), encode(shares));
    let parts: [&[u8]; 6] =
        [&access.chain.0, &access.command.0, &access.reader_key.0, &escrow.0, &trustee, &shares];
    digest("keepwell/trustee/message/v1", &parts)
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum AnswerFault {
    /// Not signed by the trustee for this access and escrow. Nobody's fault that could be proven.
    #[error(
        "an answer in the name of trustee {trustee} is not signed by it for this access; ask again"
    )]
    Unsigned {
        /// Whose it claims to be.
        trustee: u16,
    },
    /// It answered already. Nobody's fault.
    #[error("trustee {trustee} has answered already")]
    Duplicate {
        /// Which.
        trustee: u16,
    },
    /// There is no such trustee.
    #[error("there is no trustee {trustee}")]
    NoSuchTrustee {
        /// Whose it claims to be.
        trustee: u16,
    },
    /// It signed fewer or more shares than were asked for: its fault.
    #[error("trustee {trustee} signed {given} shares and {needed} were asked for; report it")]
    Count {
        /// Which.
        trustee: u16,
        /// Signed.
        given: usize,
        /// Asked for.
        needed: usize,
    },
    /// It signed what does not open, or a share that was not dealt to it: its fault.
    #[error("trustee {trustee} signed a false share; report it")]
    False {
        /// Which.
        trustee: u16,
    },
}

impl AnswerFault {
    /// The trustee at fault, as its own signature shows.
    pub const fn culprit(&self) -> Option<u16> {
        match *self {
            Self::Unsigned { .. } | Self::Duplicate { .. } | Self::NoSuchTrustee { .. } => None,
            Self::Count { trustee, .. } | Self::False { trustee } => Some(trustee),
        }
    }
}

/// A reader's collection of trustees' answers to one access.
pub struct AnswerCollector<'a> {
    trustees: &'a TrusteeGroup,
    access: &'a Access,
    escrow: &'a ChartEscrow,
    digest: Digest,
    reader: &'a SealingKey,
    lines: Vec<&'a EscrowLine>,
    /// For each trustee that answered a share of each line.
    answered: BTreeMap<u16, Vec<Share>>,
}

impl<'a> AnswerCollector<'a> {
    /// Begins a collection with the key that the access names.
    pub fn new(
        trustees: &'a TrusteeGroup,
        opens: &Opens<'a>,
        escrow: &'a ChartEscrow,
        reader: &'a SealingKey,
    ) -> Self {
        let lines = escrow.open(opens.compartments, opens.epochs).collect();
        let (access, digest) = (opens.access, escrow.digest());
        Self { trustees, access, escrow, digest, reader, lines, answered: BTreeMap::new() }
    }

    /// Takes an answer.
    pub fn add(&mut self, answer: &TrusteeAnswer) -> Result<(), AnswerFault> {
        let trustee = answer.trustee;
        let place = usize::from(trustee).checked_sub(1);
        let key = place.and_then(|place| self.trustees.signing.get(place));
        let key = key.ok_or(AnswerFault::NoSuchTrustee { trustee })?;
        let message = signed_message(self.access, &self.digest, trustee, &answer.shares);
        sign::verify(key, SIGNATURE_DOMAIN, message.as_bytes(), &answer.signature)
            .map_err(|_| AnswerFault::Unsigned { trustee })?;
        if self.answered.contains_key(&trustee) {
            return Err(AnswerFault::Duplicate { trustee });
        }
        let (given, needed) = (answer.shares.len(), self.lines.len());
        if given != needed {
            return Err(AnswerFault::Count { trustee, given, needed });
        }
        let lines = self.lines.iter().zip(&answer.shares);
        let shares = lines
            .map(|(line, sealed)| self.open(line, sealed).filter(|it| it.holder() == trustee))
            .collect::<Option<Vec<_>>>()
            .ok_or(AnswerFault::False { trustee })?;
        self.answered.insert(trustee, shares);
        Ok(())
    }

    /// A share that was dealt.
    fn open(&self, line: &EscrowLine, sealed: &SealedShare) -> Option<Share> {
        let bound = line.bound();
        let share = sealed.open_handed(self.reader, &handed(self.access, &bound)).ok()?;
        let parts = bound.parts(&self.access.chain, &self.escrow.chart);
        line.escrow.check_share(&parts, &share).ok().map(|()| share)
    }

    /// Whether enough have answered.
    pub fn is_complete(&self) -> bool {
        self.answered.len() >= usize::from(self.trustees.threshold)
    }

    /// The seeds of all lines.
    pub fn finish(self) -> Result<Vec<Seed>, EscrowFault> {
        let mut seeds = Vec::new();
        for (place, line) in self.lines.iter().enumerate() {
            let shares: Vec<_> = self.answered.values().map(|it| it[place].clone()).collect();
            let bound = line.bound();
            let parts = bound.parts(&self.access.chain, &self.escrow.chart);
            let secret = line.escrow.recover(&parts, &shares)?;
            let epochs = line.from.0..line.until.0;
            let (chunks, rest) = secret.as_chunks::<SEED_BYTES>();
            if chunks.len() != epochs.len() || !rest.is_empty() {
                return Err(EscrowFault::DealtWrongly);
            }
            seeds.extend(epochs.zip(chunks).map(|(epoch, seed)| {
                (line.compartment, Epoch(epoch), EpochSeed::from_bytes(seed))
            }));
        }
        Ok(seeds)
    }
}
