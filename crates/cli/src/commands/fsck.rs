//! `keepwell fsck`: check everything that a stopped node has on disk.

use std::path::PathBuf;

use clap::Args;
use keepwell_engine::{check, index::Index};
use keepwell_node::{config::NodeConfig, folder::Folder, run::prefix};
use serde_json::json;

use crate::{commands::node::load_keys, failure::Failure, output::Output, runtime::run_engine};

/// Check everything that a stopped node has on disk, and name what is wrong
///
/// Certificates are verified against the genesis file, every block is executed again, and the result is
/// compared with the headers, the index and the state.
#[derive(Args)]
#[command(after_help = "Example:\n  keepwell fsck --config pilot/organisations/hospital/node.toml")]
pub(crate) struct Fsck {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the engine's storage, where it is not in the node's own
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
}

impl Fsck {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let genesis = config.read_genesis()?;
        let keys = load_keys(&config)?;
        // Held until the check ends, so that no node writes meanwhile.
        let folder =
            Folder::open(&config.folder).map_err(|error| Failure::Misused(error.to_string()))?;
        let index =
            Index::open(&folder.index()).map_err(|error| Failure::Misused(error.to_string()))?;
        let storage = self.storage.unwrap_or_else(|| config.folder.join("engine"));
        let prefix = prefix(&keys.consensus_key());
        let sound = run_engine(&storage, 2, async |context| {
            check::check(context, &genesis, &prefix, &index, |_| ()).await
        })
        .map_err(|error| Failure::Misused(format!("not sound: {error}")))?;
        output.result(
            &format!(
                "sound: {} blocks executed again, {} certificates verified, {} entries of the state compared",
                sound.blocks, sound.certificates, sound.entries
            ),
            &json!({ "sound": true, "blocks": sound.blocks, "certificates": sound.certificates, "entries": sound.entries }),
        );
        Ok(())
    }
}
