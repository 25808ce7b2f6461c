//! Checks of what nodes answer: pure functions of bytes, the genesis file and the clock.
//!
//! ```text
//! tip          certified, not older than two heartbeats and 5 s, not below one that was seen
//! state        value or absence -- proof of the state's database --> header.state -- certified, fresh
//! chart's log  pages, chained from a known head to the head in the state, at its count
//! ```
//!
//! # Invariants
//!
//! * [`Proven`] and [`VerifiedLog`] are made here and nowhere else.
//! * A log is believed whole or not at all: no line of it is shown before the head was reached. Who
//!   leaves a line out, alters one or stops early does not reach it.
//! * What was seen only grows, so a node cannot show an earlier state as the present one, not even
//!   within the time that a tip may be old.
//!
//! Not here: receipts, which `keepwell-merkle` verifies; capsules and bodies ([`crate::open`]).

use commonware_codec::{Copying, Decode as _, RangeCfg};
use commonware_cryptography::{Sha256, sha256};
use commonware_storage::{
    mmr,
    qmdb::{
        any::value::VariableEncoding,
        current::ordered::proof::constant::{ExclusionProof, KeyValueProof},
    },
};
use keepwell_crypto::command::entry_digest;
use keepwell_ledger::state::{ChartLog, Key, Value};
use keepwell_merkle::{
    certificate::Validators,
    chart_log,
    receipt::{CertifiedHeader, Forgery, ReceiptError, VerifiedHeader},
};
use keepwell_types::{
    DecodeError,
    command::Entry,
    id::{BlockId, ChartId, Digest, Height, LogPosition},
    limits::STATE_VALUE_BYTES_MAX,
    outcome::Outcome,
    time::BlockTime,
    wire::{LogPage, StateProof},
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{consortium::FollowError, node::Endpoint};

/// Longest time between two blocks of an idle consortium, in milliseconds.
pub const HEARTBEAT_MS: u64 = 1_500;
/// Age from which on a tip is refused, in milliseconds.
pub const TIP_AGE_MS_MAX: u64 = 2 * HEARTBEAT_MS + 5_000;
/// How far a tip may be ahead of the client's clock, in milliseconds: it is certified, so beyond this
/// the clock is wrong, and could not tell a stale tip.
pub const TIP_AHEAD_MS_MAX: u64 = 60_000;

/// An answer that does not hold, and the node that gave it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{node} gave an answer that does not hold: {fault}")]
pub struct ProofError {
    /// Who answered.
    pub node: Endpoint,
    /// What is wrong with it.
    pub fault: ProofFault,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ProofFault {
    /// Not in its encoding.
    #[error("it is damaged ({0}); ask another node")]
    Encoding(#[from] DecodeError),
    /// Its certificate or one of its paths.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// A hand-over to other validators.
    #[error(transparent)]
    Handover(#[from] FollowError),
    /// A receipt, and not of the command that was sent.
    #[error(
        "the receipt is of another command than the one that was sent; ask another node what became of yours"
    )]
    OtherCommand,
    /// Too old, too low, or in the future.
    #[error(transparent)]
    Tip(#[from] TipFault),
    /// The proof does not lead from the value to the state of the certified block.
    #[error(
        "the proof of {what} does not lead to the state of block {height}; report the node's operator"
    )]
    State {
        /// What was to be proven.
        what: &'static str,
        /// The block.
        height: Height,
    },
    /// The state holds another kind of entry there.
    #[error("the state has another kind of entry under this key; update the program")]
    Kind,
    /// The log of a chart.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// A page of what an organisation answers for.
    #[error(
        "the page of accesses does not go on where the last one ended, or shows what does not stand in its stretch; ask another node"
    )]
    AccessPage,
    /// A page of the records that an access asks for.
    #[error(
        "the page of records does not go on where the last one ended, or shows what does not stand in its stretch; ask another node"
    )]
    OpenedPage,
    /// A receipt of another entry than the one that was asked for.
    #[error(
        "the receipt for position {0} of the log is of another chart, or not of what was asked for; ask another node"
    )]
    OtherEntry(LogPosition),
}

impl ProofFault {
    /// Whether the node may only be late: another one, or the same one soon, can answer.
    pub const fn is_lateness(&self) -> bool {
        matches!(self, Self::Tip(TipFault::Stale { .. } | TipFault::Behind { .. }))
    }

    /// Whether those who certified it are not those who validate as far as is known here.
    pub const fn is_certificate(&self) -> bool {
        matches!(self, Self::Receipt(ReceiptError::Forged(Forgery::Certificate(_))))
    }

    /// The error that names `node`.
    pub fn of(self, node: &Endpoint) -> ProofError {
        ProofError { node: node.clone(), fault: self }
    }
}

/// Why a certified block is not taken for the newest.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TipFault {
    /// Too old.
    #[error(
        "the node's newest block, {height}, is of {time} and it is {now}: the node or the consortium stands still; ask another node, and check this computer's clock"
    )]
    Stale {
        /// The block.
        height: Height,
        /// Its time.
        time: BlockTime,
        /// The client's clock.
        now: BlockTime,
    },
    /// Below one that was seen.
    #[error(
        "the node's newest block is {height} and block {seen} was seen before; ask another node"
    )]
    Behind {
        /// The node's.
        height: Height,
        /// Seen before.
        seen: Height,
    },
    /// In the future.
    #[error("block {height} is of {time} and this computer's clock says {now}; set the clock")]
    Ahead {
        /// The block.
        height: Height,
        /// Its time.
        time: BlockTime,
        /// The client's clock.
        now: BlockTime,
    },
    /// Two certified blocks of one height: more than a third of the validators are dishonest.
    #[error(
        "two different blocks of height {height} are certified, {given} and {seen}: the validators have broken the ledger; keep both receipts and tell every organisation"
    )]
    Fork {
        /// The height.
        height: Height,
        /// Now shown.
        given: BlockId,
        /// Seen before.
        seen: BlockId,
    },
}

/// The newest block that was seen.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct TipSeen {
    /// Its height.
    #[n(0)]
    pub height: Height,
    /// Its id.
    #[n(1)]
    pub id: BlockId,
}

impl TipSeen {
    /// A verified block, as one remembers it.
    pub fn of(header: &VerifiedHeader) -> Self {
        Self { height: header.header().height, id: header.id() }
    }

    /// The later of the two.
    #[must_use]
    pub fn later(self, other: Option<Self>) -> Self {
        other.filter(|other| other.height > self.height).unwrap_or(self)
    }
}

/// Checks that a certified block can be the newest at `now`.
pub fn check_tip(
    header: &VerifiedHeader,
    seen: Option<TipSeen>,
    now: BlockTime,
) -> Result<TipSeen, TipFault> {
    let tip = TipSeen::of(header);
    let (height, time) = (tip.height, header.header().time);
    if let Some(seen) = seen {
        if height < seen.height {
            return Err(TipFault::Behind { height, seen: seen.height });
        }
        if height == seen.height && tip.id != seen.id {
            return Err(TipFault::Fork { height, given: tip.id, seen: seen.id });
        }
    }
    if now.ms_since(time) > TIP_AGE_MS_MAX {
        return Err(TipFault::Stale { height, time, now });
    }
    if time.ms_since(now) > TIP_AHEAD_MS_MAX {
        return Err(TipFault::Ahead { height, time, now });
    }
    Ok(tip)
}

/// What answers are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Checker<'a> {
    /// Who certifies.
    pub validators: &'a Validators,
    /// The newest block seen so far.
    pub seen: Option<TipSeen>,
    /// The client's clock.
    pub now: BlockTime,
}

impl Checker<'_> {
    /// Checks that an encoded header is final and can be the newest.
    pub fn tip(&self, certified: &[u8]) -> Result<VerifiedHeader, ProofFault> {
        let header = CertifiedHeader::decode(certified)?.verify_by(self.validators)?;
        check_tip(&header, self.seen, self.now)?;
        Ok(header)
    }

    /// Checks that the newest state has this value, or none, under `key`.
    pub fn state(&self, key: &Key, proof: &StateProof) -> Result<Proven, ProofFault> {
        let header = self.tip(&proof.certified)?;
        value_at(header, key, proof)
    }
}

/// Checks that the state had this value, or none, under `key` after some block, however long ago.
pub fn state_then(
    validators: &Validators,
    key: &Key,
    proof: &StateProof,
) -> Result<Proven, ProofFault> {
    let header = CertifiedHeader::decode(&proof.certified)?.verify_by(validators)?;
    value_at(header, key, proof)
}

fn value_at(header: VerifiedHeader, key: &Key, proof: &StateProof) -> Result<Proven, ProofFault> {
    let value = proof.value.as_ref().map(|value| value.to_vec());
    check_state(key, value.as_deref(), &proof.proof, header.header().state)
        .map_err(|what| ProofFault::State { what, height: header.header().height })?;
    let value = value.as_deref().map(Value::decode).transpose()?;
    if value.as_ref().is_some_and(|value| !key.holds(value)) {
        return Err(ProofFault::Kind);
    }
    Ok(Proven { value, header })
}

/// A value of the state, or its absence. Only [`Checker::state`] and [`state_then`] make one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proven {
    value: Option<Value>,
    header: VerifiedHeader,
}

impl Proven {
    /// The value.
    pub const fn value(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// The value.
    pub fn into_value(self) -> Option<Value> {
        self.value
    }

    /// The block after which the state is this.
    pub const fn header(&self) -> &VerifiedHeader {
        &self.header
    }
}

// The state's database, as `keepwell-engine` sets it up: an ordered QMDB over an MMR with SHA-256,
// keys of 32 bytes, values of any length up to the limit, and a bitmap in chunks of 32 bytes. It is
// named again here, so that a wallet does not carry the engine with it.
type StateKey = sha256::Digest;
type StateValue = Vec<u8>;
const BITMAP_CHUNK: usize = 32;
type Presence = KeyValueProof<mmr::Family, StateKey, sha256::Digest, BITMAP_CHUNK>;
type Absence = ExclusionProof<
    mmr::Family,
    StateKey,
    VariableEncoding<StateValue>,
    sha256::Digest,
    BITMAP_CHUNK,
>;

/// Digests in one proof: a path and the peaks of the largest possible range, with room.
const PROOF_DIGESTS_MAX: usize = 256;

/// Checks a proof of the state's database; on failure says of what it was to be.
fn check_state(
    key: &Key,
    value: Option<&[u8]>,
    proof: &[u8],
    root: Digest,
) -> Result<(), &'static str> {
    let (key, root) = (sha256::Digest(key.to_bytes()), sha256::Digest(root.0));
    let value_config = (RangeCfg::new(0..=STATE_VALUE_BYTES_MAX), ());
    match value {
        Some(value) => {
            let what = "a value";
            let config = (PROOF_DIGESTS_MAX, ());
            let proof = Presence::decode_cfg(Copying(proof), &config).map_err(|_| what)?;
            let value = value.to_vec();
            let holds = proof.verify::<Sha256, VariableEncoding<StateValue>>(key, value, &root);
            holds.then_some(()).ok_or(what)
        }
        None => {
            let what = "an absence";
            let config = (PROOF_DIGESTS_MAX, ((), value_config), value_config);
            let proof = Absence::decode_cfg(Copying(proof), &config).map_err(|_| what)?;
            proof.verify::<Sha256>(&key, &root).then_some(()).ok_or(what)
        }
    }
}

/// What is wrong with a page of a chart's log.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LogFault {
    /// The page begins elsewhere.
    #[error(
        "a page from position {given} was answered where {asked} was asked for; ask another node"
    )]
    From {
        /// Asked for.
        asked: LogPosition,
        /// The page's.
        given: LogPosition,
    },
    /// The page continues another log.
    #[error(
        "the log before position {0} is not the one that was seen; the node altered the history: report its operator"
    )]
    Before(LogPosition),
    /// The log is shorter than it was.
    #[error(
        "the log has {count} entries and had {known}; the node altered the history: report its operator"
    )]
    Shrunk {
        /// In the state.
        count: LogPosition,
        /// Seen before.
        known: LogPosition,
    },
    /// The chart is not in the state.
    #[error("chart {0} does not exist")]
    NoChart(ChartId),
    /// An entry is not the one that the outcome beside it decides.
    #[error(
        "the entry at position {0} is not the one that was decided there; the node altered it: report its operator"
    )]
    OtherEntry(LogPosition),
    /// An entry is of another chart.
    #[error("the entry at position {0} is not of this chart; report the node's operator")]
    OtherChart(LogPosition),
    /// More entries than the log has.
    #[error("the node shows more than the {count} entries of the log; report its operator")]
    TooMany {
        /// In the state.
        count: LogPosition,
    },
    /// A page without entries before the end of the log.
    #[error("the node stops at position {at} of {count}: it hides entries; report its operator")]
    Withheld {
        /// Where.
        at: LogPosition,
        /// In the state.
        count: LogPosition,
    },
    /// All entries are there, and at least one was altered, left out, added or moved.
    #[error(
        "the entries up to position {count} do not make the log that the ledger commits to: an entry is hidden or altered; report the node's operator"
    )]
    Head {
        /// In the state.
        count: LogPosition,
    },
}

/// Up to where a chart's log is known, and its head there.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct LogMark {
    /// How many entries are known.
    #[n(0)]
    pub count: LogPosition,
    /// The head after them.
    #[n(1)]
    pub head: Digest,
}

impl LogMark {
    /// Nothing is known.
    pub const START: Self = Self { count: LogPosition(0), head: chart_log::EMPTY };
}

impl Default for LogMark {
    fn default() -> Self {
        Self::START
    }
}

/// One entry of a chart's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// Where it stands.
    pub position: LogPosition,
    /// What was asked, and by whom.
    pub entry: Entry,
    /// What was decided, and when.
    pub outcome: Outcome,
}

/// Every entry of a chart's log from a known position on. Only [`LogWalk::finish`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedLog {
    chart: ChartId,
    lines: Vec<LogLine>,
    mark: LogMark,
    header: VerifiedHeader,
}

impl VerifiedLog {
    /// The chart.
    pub const fn chart(&self) -> ChartId {
        self.chart
    }

    /// The entries, in order.
    pub fn lines(&self) -> &[LogLine] {
        &self.lines
    }

    /// The entries, in order.
    pub fn into_lines(self) -> Vec<LogLine> {
        self.lines
    }

    /// Where the log ends; what to remember for the next time.
    pub const fn mark(&self) -> LogMark {
        self.mark
    }

    /// The block after which it ends there.
    pub const fn header(&self) -> &VerifiedHeader {
        &self.header
    }
}

/// A walk over the pages of a chart's log.
#[derive(Clone, Debug)]
pub struct LogWalk {
    chart: ChartId,
    /// What was seen of the log before.
    known: LogMark,
    position: LogPosition,
    /// The head at `position`; not known before the first page of a walk from the middle.
    head: Option<Digest>,
    lines: Vec<LogLine>,
    end: Option<VerifiedHeader>,
}

impl LogWalk {
    /// A walk from where the log is known: it finds every entry after that, and any change before it.
    pub const fn from_mark(chart: ChartId, mark: LogMark) -> Self {
        Self::new(chart, mark, mark.count, Some(mark.head))
    }

    /// A walk over the whole log, which must still begin as it was known.
    pub const fn whole(chart: ChartId, known: LogMark) -> Self {
        Self::new(chart, known, LogMark::START.count, Some(LogMark::START.head))
    }

    /// A walk from the middle of a log: it finds every entry from `position` on, and says nothing of
    /// those before.
    pub const fn from_middle(chart: ChartId, position: LogPosition) -> Self {
        Self::new(chart, LogMark::START, position, None)
    }

    const fn new(
        chart: ChartId,
        known: LogMark,
        position: LogPosition,
        head: Option<Digest>,
    ) -> Self {
        Self { chart, known, position, head, lines: Vec::new(), end: None }
    }

    /// The next position that is needed; nothing at the end.
    pub const fn next(&self) -> Option<LogPosition> {
        if self.end.is_some() { None } else { Some(self.position) }
    }

    /// Takes the page that begins at [`Self::next`], and keeps its lines.
    pub fn take(&mut self, page: LogPage, checker: &Checker<'_>) -> Result<(), ProofFault> {
        let mut lines = Vec::new();
        self.take_with(page, checker, |line| lines.push(line))?;
        self.lines.append(&mut lines);
        Ok(())
    }

    /// Takes the page that begins at [`Self::next`], and hands its lines on. Nothing of them may be shown
    /// before the walk has ended: until then an entry may have been left out.
    pub(crate) fn take_with(
        &mut self,
        page: LogPage,
        checker: &Checker<'_>,
        mut each: impl FnMut(LogLine),
    ) -> Result<(), ProofFault> {
        let proven = checker.state(&Key::ChartLog(self.chart), &page.head)?;
        let Some(Value::ChartLog(log)) = proven.value else {
            return Err(LogFault::NoChart(self.chart).into());
        };
        self.check_page(&page, &log)?;
        let mut head = page.before;
        let given = page.entries.len();
        for line in page.entries.into_vec() {
            head = self.step(head, line.entry, line.outcome, &mut each)?;
        }
        self.head = Some(head);
        if self.position < log.count {
            if given == 0 {
                let (at, count) = (self.position, log.count);
                return Err(LogFault::Withheld { at, count }.into());
            }
            return Ok(());
        }
        if head != log.head {
            return Err(LogFault::Head { count: log.count }.into());
        }
        self.end = Some(proven.header);
        Ok(())
    }

    /// The log, if its end was reached.
    pub fn finish(self) -> Option<VerifiedLog> {
        let Self { chart, position, head, lines, end, .. } = self;
        let mark = LogMark { count: position, head: head? };
        Some(VerifiedLog { chart, lines, mark, header: end? })
    }

    fn check_page(&self, page: &LogPage, log: &ChartLog) -> Result<(), LogFault> {
        if log.count < self.known.count {
            return Err(LogFault::Shrunk { count: log.count, known: self.known.count });
        }
        if page.from != self.position {
            return Err(LogFault::From { asked: self.position, given: page.from });
        }
        if self.head.is_some_and(|head| head != page.before) {
            return Err(LogFault::Before(self.position));
        }
        if self.position.0 + page.entries.len() as u64 > log.count.0 {
            return Err(LogFault::TooMany { count: log.count });
        }
        Ok(())
    }

    fn step(
        &mut self,
        head: Digest,
        entry: Entry,
        outcome: Outcome,
        each: &mut impl FnMut(LogLine),
    ) -> Result<Digest, LogFault> {
        let position = self.position;
        if entry_digest(&entry, outcome.location.index) != outcome.command {
            return Err(LogFault::OtherEntry(position));
        }
        if entry.payload().chart() != Some(self.chart) {
            return Err(LogFault::OtherChart(position));
        }
        let head = chart_log::extend(head, position, &outcome);
        self.position = LogPosition(position.0 + 1);
        if self.position == self.known.count && head != self.known.head {
            return Err(LogFault::Before(self.position));
        }
        each(LogLine { position, entry, outcome });
        Ok(head)
    }
}

#[cfg(test)]
mod tests;
