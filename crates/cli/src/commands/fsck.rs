//! `keepwell fsck`: check everything that a stopped node has on disk.

mod custody;

use std::{
    fmt::Display,
    panic::{self, UnwindSafe},
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_engine::{check, index::Index, protocol::Known};
use keepwell_node::{
    config::{CustodyConfig, NodeConfig},
    custody::pending::Pending,
    folder::Folder,
    run::prefix,
};
use serde_json::json;

use crate::{commands::node::load_keys, failure::Failure, output::Output, runtime::run_engine};

/// Check everything that a stopped node has on disk, and name what is wrong
///
/// Certificates are verified against the genesis file, every block is executed again, and the result is
/// compared with the headers, the index and the state. A node that began from the state of others has no
/// block before: its state and index are compared with what validators certified. Sealed objects in the
/// node's folder are compared with what the ledger commits to; whether they open, only their readers know.
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
    pub(crate) fn run(self, output: &Output, known: &Known) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let genesis = config.read_genesis()?;
        let keys = load_keys(&config)?;
        // Held until the check ends, so that no node writes meanwhile.
        let folder =
            Folder::open(&config.folder).map_err(|error| Failure::Misused(error.to_string()))?;
        // Without an archive there are no blocks from before to build it of.
        let damaged = if config.archive {
            "the index is damaged; remove its folder and start again: it is built from the blocks"
        } else {
            "the index is damaged, and cannot be built without the blocks before; remove what is in the node's folder but the sealed objects, and start it with `archive = true`"
        };
        let index = open(&folder.index(), damaged, Index::open)?;
        open(
            &folder.custody_index(),
            "the custody index is damaged; remove its folder and start again: no object is lost",
            |path| Pending::open(path).map(drop),
        )?;
        let storage = self.storage.unwrap_or_else(|| config.folder.join("engine"));
        let prefix = prefix(&keys.consensus_key());
        let sound = run_engine(&storage, 2, async |context| {
            check::check(context, &genesis, &prefix, &index, known, |_| ()).await
        })
        .map_err(|error| Failure::Misused(format!("not sound: {error}")))?;
        let objects = match &config.custody {
            CustodyConfig::Folder(named) => {
                Some(custody::check(&named.clone().unwrap_or_else(|| folder.custody()), &index)?)
            }
            CustodyConfig::S3(_) => None,
        };
        let read = match objects {
            Some(objects) => format!("{objects} sealed objects read"),
            None => "the sealed objects are in an object store and were not read".into(),
        };
        let blocks = match sound.floor {
            Some(floor) => format!("{} blocks after block {floor} followed", sound.blocks),
            None => format!("{} blocks executed again", sound.blocks),
        };
        let state = match (sound.unbuilt, sound.floor) {
            (true, Some(_)) => {
                "the state is not there yet: the node was stopped while it fetched it".into()
            }
            (true, None) => {
                "the state is not there yet: the node has not run since it was restored".into()
            }
            (false, _) => format!("{} entries of the state compared", sound.entries),
        };
        output.result(
            &format!(
                "sound: {blocks}, {} certificates verified, {state}, {read}",
                sound.certificates
            ),
            &json!({
                "sound": true,
                "began_from": sound.floor,
                "blocks": sound.blocks,
                "certificates": sound.certificates,
                "entries": sound.entries,
                "objects": objects,
            }),
        );
        Ok(())
    }
}

/// Opens one of a node's derived stores. What they are built on asserts what only damage breaks, and says
/// nothing that helps whoever runs the node.
fn open<T, E: Display>(
    path: &Path,
    damaged: &str,
    open: impl FnOnce(&Path) -> Result<T, E> + UnwindSafe,
) -> Result<T, Failure> {
    panic::set_hook(Box::new(|panicked| tracing::debug!("{panicked}")));
    let reason = match panic::catch_unwind(|| open(path)) {
        Ok(Ok(store)) => return Ok(store),
        Ok(Err(error)) => error.to_string(),
        Err(_) => damaged.to_owned(),
    };
    Err(Failure::Misused(format!("not sound: {}: {reason}", path.display())))
}
