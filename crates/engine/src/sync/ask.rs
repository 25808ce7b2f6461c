//! What one validator asks another, and how it is answered.
//!
//! The steps of the state's log are asked for and answered in the engine's own form.

use std::{fmt, num::NonZeroU64};

use bytes::BufMut;
use commonware_codec::{
    Buf, EncodeSize, Error as CodecError, FixedSize as _, Read, ReadExt as _, Write,
};
use commonware_storage::{mmr, qmdb::sync::Request};
use commonware_utils::{NZU64, Span};
use keepwell_ledger::state::LogLine;
use keepwell_merkle::{handover::Handover, range::RangePath};
use keepwell_types::{
    block::{Certificate, Header},
    encoding::List,
    id::{BlockId, ChartId, Digest, Height, LogPosition},
    limits::{HANDOVERS_MAX, HANDOVERS_PAGE_MAX},
};
use minicbor::{Decode, Encode};

/// Bytes of an answer, at most; a hand-over that stands alone in one fits.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Charts of one [`ChartPage`].
pub const CHARTS_MAX: usize = 4_096;
/// Lines of one chart in an answer.
pub const LINES_MAX: usize = 4_096;
/// Steps of one answer.
pub const STEPS_MAX: NonZeroU64 = NZU64!(256);

/// What one validator asks another.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Ask {
    /// Its newest certified block, and hand-overs to validators from epoch `since` on: a [`TipPage`]. `place` tells apart
    /// what is asked of several.
    Tip {
        /// Of the one that is asked, among those that are.
        place: u16,
        /// An epoch.
        since: u64,
    },
    /// Steps of the state's log.
    Steps(Request<mmr::Family>),
    /// Logs of charts after this one, in the order of their ids, up to a block: a [`ChartPage`].
    Charts {
        /// The block.
        floor: Height,
        /// The chart.
        after: Option<ChartId>,
    },
    /// The lines of a chart before a position, as many as fit: a [`LinePage`].
    Log {
        /// The chart.
        chart: ChartId,
        /// The position.
        until: LogPosition,
    },
}

impl fmt::Display for Ask {
    /// Without the chart: what is written in logs names none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tip { since, .. } => write!(f, "the newest block, and hand-overs since {since}"),
            Self::Steps(request) => write!(f, "steps of the state: {request}"),
            Self::Charts { floor, .. } => write!(f, "logs of charts at block {floor}"),
            Self::Log { until, .. } => write!(f, "lines of one chart before {until}"),
        }
    }
}

impl Span for Ask {}

impl Write for Ask {
    fn write(&self, buf: &mut impl BufMut) {
        match self {
            Self::Tip { place, since } => {
                0_u8.write(buf);
                place.write(buf);
                since.write(buf);
            }
            Self::Steps(request) => {
                1_u8.write(buf);
                request.write(buf);
            }
            Self::Charts { floor, after } => {
                2_u8.write(buf);
                floor.0.write(buf);
                after.map(|it| it.0).write(buf);
            }
            Self::Log { chart, until } => {
                3_u8.write(buf);
                chart.0.write(buf);
                until.0.write(buf);
            }
        }
    }
}

impl EncodeSize for Ask {
    fn encode_size(&self) -> usize {
        u8::SIZE
            + match self {
                Self::Tip { .. } => u16::SIZE + u64::SIZE,
                Self::Steps(request) => request.encode_size(),
                Self::Charts { after, .. } => u64::SIZE + after.map(|it| it.0).encode_size(),
                Self::Log { .. } => Digest::LEN + u64::SIZE,
            }
    }
}

impl Read for Ask {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        Ok(match u8::read(buf)? {
            0 => Self::Tip { place: u16::read(buf)?, since: u64::read(buf)? },
            1 => Self::Steps(Request::read(buf)?),
            2 => Self::Charts {
                floor: Height(u64::read(buf)?),
                after: Option::<[u8; 32]>::read(buf)?.map(ChartId),
            },
            3 => Self::Log {
                chart: ChartId(<[u8; 32]>::read(buf)?),
                until: LogPosition(u64::read(buf)?),
            },
            other => return Err(CodecError::InvalidEnum(other)),
        })
    }
}

/// The newest block of a validator, and how its validators came to be.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct TipPage {
    /// Hand-overs from the asked epoch on, in order.
    #[n(0)]
    pub handovers: List<Handover, HANDOVERS_PAGE_MAX>,
    /// Its newest certified block; none if there are more hand-overs, which are to be asked for first.
    #[n(1)]
    pub tip: Option<Tip>,
}

/// A certified block, from which a validator can go on.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Tip {
    /// Its header.
    #[n(0)]
    pub header: Header,
    /// Its own certificate.
    #[n(1)]
    pub certificate: Certificate,
    /// The last block of the epoch before, if that is neither the genesis block nor this one: what the consensus of
    /// this epoch began from, and its place in the history that the header commits to.
    #[n(2)]
    pub boundary: Option<Boundary>,
}

/// An earlier block, and the proof that it is one.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Boundary {
    /// The block.
    #[n(0)]
    pub id: BlockId,
    /// Its path in the history of a later block.
    #[n(1)]
    pub path: RangePath,
}

/// The block that a validator began from, and how it knows it.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct Floor {
    /// The block.
    #[n(0)]
    pub tip: Tip,
    /// All hand-overs until then.
    #[n(1)]
    pub handovers: List<Handover, HANDOVERS_MAX>,
    /// How many validators there are in its epoch.
    #[n(2)]
    pub validators: u32,
}

/// Logs of charts, whole.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ChartPage {
    /// In the order of their ids.
    #[n(0)]
    pub charts: List<ChartLines, CHARTS_MAX>,
    /// The chart to go on after; none where there are no more. Charts that began after the block are passed over, so
    /// that it may be one that is not among these.
    #[n(1)]
    pub next: Option<ChartId>,
}

/// The log of one chart.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct ChartLines {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Its lines; none if they are to be asked for by [`Ask::Log`].
    #[n(1)]
    pub lines: List<LogLine, LINES_MAX>,
}

/// Lines of one chart that end before the asked position.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct LinePage {
    /// The head of the chain of lines before the first of these.
    #[n(0)]
    pub before: Digest,
    /// The lines.
    #[n(1)]
    pub lines: List<LogLine, LINES_MAX>,
}
