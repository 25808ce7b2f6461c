//! An accepted access, as it is found in the log of its chart.
//!
//! Not here: whether it still permits anything. That is decided on the newest state
//! (`keepwell_ledger::release`).

use keepwell_engine::{
    block::Block,
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::state::RecordEntry;
use keepwell_types::{
    access::{AccessOpen, RecordName},
    command::{Entry, Payload},
    id::{ChartId, CommandDigest, Location, LogPosition},
    member::Party,
    outcome::Outcome,
    time::BlockTime,
};
use thiserror::Error;

/// No accepted access stands there.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NotOpened {
    /// The log does not reach so far, as far as this node knows.
    #[error("nothing stands at position {0} of this chart's log yet; ask again in a second")]
    NotThere(LogPosition),
    /// Something else stands there, or the access was refused.
    #[error(
        "what stands at position {0} of this chart's log is not an accepted access; name the position of yours"
    )]
    NotAccepted(LogPosition),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// An accepted access.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// What was asked.
    pub open: AccessOpen,
    /// Who asked.
    pub reader: Party,
    /// The command.
    pub command: CommandDigest,
    /// Where its outcome stands in the chart's log.
    pub position: LogPosition,
    /// The time of its block.
    pub time: BlockTime,
}

impl Opened {
    /// Whether it asks for the record that stands at `position`.
    pub fn covers(&self, position: LogPosition, entry: &RecordEntry) -> bool {
        let name = RecordName { position, record: entry.record };
        self.open.target.asks_for(name, entry.compartment)
    }
}

/// Reads the log of a chart: a block is read once for all that follow one another in it, as those of a transaction do.
pub struct Log<'a> {
    core: &'a Core,
    reader: &'a dyn Reader,
    chart: ChartId,
    /// The block that was read last, and what became of its entries.
    last: Option<(Block, Vec<Outcome>)>,
}

impl<'a> Log<'a> {
    /// The log of `chart`, from these.
    pub const fn new(core: &'a Core, reader: &'a dyn Reader, chart: ChartId) -> Self {
        Self { core, reader, chart, last: None }
    }

    /// What stands at a position: the entry and its outcome. Nothing if the log does not reach so far.
    pub async fn entry(
        &mut self,
        position: LogPosition,
    ) -> Result<Option<(Entry, Outcome)>, ReadError> {
        let line = self.core.index.log(self.chart, position).map_err(|_| ReadError::Storage)?;
        let Some(line) = line else { return Ok(None) };
        let Location { height, index } = line.location;
        let (block, outcomes) = match self.last.take() {
            Some(last) if last.0.header().height == height => self.last.insert(last),
            Some(_) | None => {
                let line = self.core.index.block(height).map_err(|_| ReadError::Storage)?;
                let outcomes = line.ok_or(ReadError::NotHere)?.outcomes.into_vec();
                self.last.insert((self.reader.block(height).await?, outcomes))
            }
        };
        let outcome = outcomes.get(index as usize).ok_or(ReadError::Storage)?;
        Ok(Some((entry_at(block, index)?, outcome.clone())))
    }
}

/// The accepted access at a position of a chart's log.
pub async fn opened(
    core: &Core,
    reader: &dyn Reader,
    chart: ChartId,
    position: LogPosition,
) -> Result<Opened, NotOpened> {
    let found = Log::new(core, reader, chart).entry(position).await?;
    let (entry, outcome) = found.ok_or(NotOpened::NotThere(position))?;
    let Entry::Signed(signed) = entry else { return Err(NotOpened::NotAccepted(position)) };
    match (signed.command.payload, signed.command.signers.first()) {
        (Payload::AccessOpen(open), Some(reader)) if outcome.verdict.is_accepted() => Ok(Opened {
            open,
            reader: *reader,
            command: outcome.command,
            position,
            time: outcome.time,
        }),
        _ => Err(NotOpened::NotAccepted(position)),
    }
}
