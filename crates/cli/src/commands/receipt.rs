//! `keepwell receipt`: a file that proves an outcome.

use std::path::PathBuf;

use clap::Args;
use keepwell_types::id::{Height, Location};
use serde_json::json;

use crate::{failure::Failure, output::Output, profile::As, runtime::block_on};

/// Write the receipt of an entry to a file, for `keepwell verify`
#[derive(Args)]
#[command(after_help = "Example:
  keepwell receipt --as pilot/people/agent --height 12 --index 0 --to record.receipt")]
pub(crate) struct Receipt {
    #[command(flatten)]
    who: As,
    /// The chart that the entry is about, for a wallet
    #[arg(long)]
    chart: Option<keepwell_types::id::ChartId>,
    /// The block
    #[arg(long)]
    height: u64,
    /// The entry's place in the block
    #[arg(long, default_value_t = 0)]
    index: u32,
    /// Where it is written
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Receipt {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let actor = match self.chart {
            Some(chart) => session.actor(chart)?,
            None => session.member()?.actor(),
        };
        block_on(async {
            let at = Location { height: Height(self.height), index: self.index };
            let decided = session.client.receipt(&actor, at).await?;
            let bytes = session.client.portable(decided.receipt()).encode();
            std::fs::write(&self.to, &bytes).map_err(Failure::at(&self.to))?;
            output.result(
                &format!("{} bytes are in {}. Anyone can check them offline:\n  keepwell verify --genesis FILE {}", bytes.len(), self.to.display(), self.to.display()),
                &json!({ "receipt": self.to, "bytes": bytes.len() }),
            );
            Ok(())
        })
    }
}
