//! `keepwell restore`: make a node on a bare host from a backup.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_engine::{block::Block, import::Import, protocol::Known, speculation::ExecutedBlock};
use keepwell_node::{
    config::{CustodyConfig, NodeConfig},
    custody::{
        follow::{Named, names},
        store::RecordObject,
    },
    folder::Folder,
    run::{NodeError, prefix},
};
use keepwell_types::{
    command::{Entry, Payload},
    genesis::Genesis,
    id::OrganisationId,
    limits::COMMAND_BYTES_MAX,
    outcome::Verdict,
};
use serde_json::json;

use crate::{
    backup::{Backup, Erased, Manifest, copy, files_below, files_in, read_blocks},
    commands::{backup::erased_in, node::load_keys},
    failure::Failure,
    output::Output,
    runtime::run_engine,
};

/// Make a node on a bare host from a backup
///
/// Name a configuration of the new host: the backup's `node.toml` with its paths and addresses changed. Where the
/// genesis file or the folder of keys that it names is not there, the backup's is put there. Every block is verified
/// and executed. Then start the node: it fetches from its peers what came after the backup.
///
/// Never restore a node that still runs elsewhere. A node that was restored has forgotten how it voted last, and does
/// not vote before it has a block that is newer than its start. Where too few of the others run to make one, see
/// `keepwell validator vote-again`.
#[derive(Args)]
#[command(
    after_help = "Example:\n  keepwell restore --from /mnt/backup/hospital --config /etc/keepwell/node.toml"
)]
pub(crate) struct Restore {
    /// Folder of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The new host's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Restore {
    pub(crate) fn run(self, output: &Output, known: &Known) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let backup = Backup::new(&self.from);
        let manifest = backup.manifest()?.ok_or_else(|| {
            Failure::Misused(format!("{} has no finished backup", self.from.display()))
        })?;
        check_bare(&config)?;
        put_settings(&backup, &config)?;
        let genesis = config.read_genesis()?;
        let keys = load_keys(&config)?;
        if keys.consensus_key() != manifest.validator {
            return Err(Failure::Misused(
                "the keys that the configuration names are not those of the backup's node".into(),
            ));
        }
        let folder = Folder::open(&config.folder).map_err(NodeError::from)?;
        let prefix = prefix(&manifest.validator);
        let (blocks, found) = run_engine(&folder.engine(), 2, async |context| {
            put_blocks(context, (&genesis, known), &prefix, &backup, &manifest, output).await
        })?;
        let objects = match &config.custody {
            CustodyConfig::Folder(named) => {
                let custody = named.clone().unwrap_or_else(|| folder.custody());
                Some(found.put_objects(&backup, &custody)?)
            }
            CustodyConfig::S3(_) => None,
        };
        let missing = objects.map_or(0, |(_, missing)| missing);
        if missing > 0 {
            output.warn(&format!(
                "{missing} sealed objects that this custodian should have are not in the backup; the charts' other custodians have them"
            ));
        }
        output.result(
            &format!(
                "restored {blocks} blocks and {} sealed objects\nStart the node: it executes the blocks, and fetches from its peers what came since.",
                objects.map_or(0, |(copied, _)| copied)
            ),
            &json!({ "blocks": blocks, "objects": objects.map(|it| it.0), "missing": missing }),
        );
        Ok(())
    }
}

/// Nothing of a node may be in the way: what a restore replaces is lost.
fn check_bare(config: &NodeConfig) -> Result<(), Failure> {
    for below in ["engine", "index", "custody", "custody-index"] {
        let path = config.folder.join(below);
        if !files_below(&path)?.is_empty() {
            return Err(Failure::Misused(format!(
                "{} has a node's data; name another folder in the configuration, or move it away",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Puts the genesis file and the keys where the configuration has them, unless they are there.
fn put_settings(backup: &Backup, config: &NodeConfig) -> Result<(), Failure> {
    let genesis = backup.path("genesis.cbor");
    if config.genesis.exists() {
        let read = |path: &Path| fs::read(path).map_err(Failure::at(path));
        if read(&config.genesis)? != read(&genesis)? {
            return Err(Failure::Misused(format!(
                "{} is the genesis file of another consortium than the backup's",
                config.genesis.display()
            )));
        }
    } else {
        copy(&genesis, &config.genesis)?;
    }
    if config.keys.folder.exists() {
        return Ok(());
    }
    for path in files_in(&backup.path("keys"))? {
        copy(&path, &config.keys.folder.join(path.file_name().expect("it is a file")))?;
    }
    Ok(())
}

/// Verifies and executes the blocks of a backup, and stores them.
async fn put_blocks(
    context: commonware_runtime::tokio::Context,
    (genesis, known): (&Genesis, &Known),
    prefix: &str,
    backup: &Backup,
    manifest: &Manifest,
    output: &Output,
) -> Result<(u64, Found), Failure> {
    let wrong = |error: keepwell_engine::import::ImportError| Failure::Misused(error.to_string());
    let mut import = Import::open(context, genesis, prefix, known).await.map_err(wrong)?;
    let mut found = Found::of(manifest.organisation);
    for (from, path) in backup.files_of_blocks()? {
        for stored in read_blocks(&path)?.iter() {
            let (block, executed) = import.put(stored).await.map_err(wrong)?;
            found.take(&block, &executed);
        }
        output.say(&format!("blocks from {from} on"));
    }
    let blocks = import.finish().await.map_err(wrong)?;
    Ok((blocks, found))
}

/// What the blocks say about sealed objects.
struct Found {
    custodian: OrganisationId,
    /// What accepted entries name, and whether this custodian promised to have it.
    named: BTreeSet<(RecordObject, bool)>,
    erased: BTreeSet<Erased>,
}

impl Found {
    const fn of(custodian: OrganisationId) -> Self {
        Self { custodian, named: BTreeSet::new(), erased: BTreeSet::new() }
    }

    fn take(&mut self, block: &Block, executed: &ExecutedBlock) {
        let height = block.header().height;
        for (raw, outcome) in block.entries().iter().zip(&executed.outcomes) {
            let Ok(entry) = keepwell_types::decode::<Entry>(raw.bytes(), COMMAND_BYTES_MAX) else {
                continue;
            };
            if outcome.verdict != Verdict::Accepted {
                continue;
            }
            let promised = self.has_promised(&entry);
            for named in names(&entry, height) {
                if let Named::Record(object, _) = named {
                    self.named.insert((object, promised));
                }
            }
        }
        self.erased.extend(erased_in(block, self.custodian));
    }

    fn has_promised(&self, entry: &Entry) -> bool {
        let Payload::RecordAdd(it) = entry.payload() else { return false };
        it.custody.iter().any(|it| it.custodian == self.custodian)
    }

    /// Puts the objects that entries name into the custodian's folder. Says how many files that are, and how many
    /// records it should have and does not.
    fn put_objects(&self, backup: &Backup, custody: &Path) -> Result<(u64, u64), Failure> {
        let objects = backup.path("objects");
        let (mut copied, mut missing) = (0, 0);
        for (object, promised) in &self.named {
            let RecordObject { chart, record, version } = *object;
            if self.erased.contains(&Erased { chart, record }) {
                continue;
            }
            let path = |part| format!("records/{chart}/{record}-{version}.{part}");
            let mut is_here = true;
            for below in ["body", "capsule"].map(path) {
                let is_copied = copy(&objects.join(&below), &custody.join(&below))?;
                copied += u64::from(is_copied);
                is_here &= is_copied;
            }
            missing += u64::from(*promised && !is_here);
        }
        for folder in ["small", "members"] {
            for below in files_below(&objects.join(folder))? {
                let below = Path::new(folder).join(below);
                copied += u64::from(copy(&objects.join(&below), &custody.join(&below))?);
            }
        }
        Ok((copied, missing))
    }
}
