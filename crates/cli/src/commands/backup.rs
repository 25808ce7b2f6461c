//! `keepwell backup`: copy what one node has into a folder, while it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use keepwell_client::{
    ClientError, Consortium, client::Client, copy::blocks, identity::Actor, node::Endpoint,
};
use keepwell_crypto::sign::SigningKey;
use keepwell_engine::{block::Block, import::first_block};
use keepwell_node::{
    config::{CustodyConfig, NodeConfig},
    keys::NodeKeys,
};
use keepwell_types::{
    command::{Entry, Payload},
    id::{Height, OrganisationId},
    limits::COMMAND_BYTES_MAX,
    member::Party,
    wire::StoredBlock,
};
use serde_json::json;

use crate::{
    backup::{Backup, Erased, Manifest, copy, files_below, files_in, remove},
    commands::node::{load_keys, url},
    failure::Failure,
    output::Output,
    runtime::block_on,
};

/// Copy a running node into a folder: its keys, its blocks, its sealed objects
///
/// Run it again, with the same folder, and it copies what is new. Keys are copied as they are, locked: what
/// unlocks them is not, and belongs on another shelf. What the custodian erased since is erased here too.
#[derive(Args)]
#[command(
    after_help = "Example:\n  keepwell backup --config /etc/keepwell/node.toml --to /mnt/backup/hospital"
)]
pub(crate) struct BackUp {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the backup
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where the node is asked, if the configuration does not say
    #[arg(long, value_name = "URL")]
    node: Option<String>,
}

impl BackUp {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let consortium = Arc::new(Consortium::new(config.read_genesis()?)?);
        let keys = load_keys(&config)?;
        let backup = Backup::new(&self.to);
        let known = backup.manifest()?;
        let organisation = match &known {
            Some(manifest) => manifest.organisation,
            None => whose(&config, &consortium, &keys)?,
        };
        let mut manifest = manifest(known, &consortium, &keys, organisation)?;
        backup.create()?;
        self.copy_settings(&backup, &config)?;
        let before = manifest.height;
        let node = self.endpoint(&config, organisation)?;
        let key = SigningKey::from_seed(&keys.custodian);
        let chain = Chain {
            client: Client::new(consortium, vec![node], None)?,
            actor: Actor::new(Party::Custodian(organisation), key),
        };
        let erased = block_on(chain.copy(&backup, &mut manifest, output))?;
        let objects = match &config.custody {
            CustodyConfig::Folder(named) => {
                let folder = named.clone().unwrap_or_else(|| config.folder.join("custody"));
                Some(copy_objects(&folder, &backup, &erased)?)
            }
            CustodyConfig::S3(_) => None,
        };
        backup.finish(&manifest)?;
        let new = manifest.height.0 - before.0;
        let said = match objects {
            Some(objects) => format!("{objects} new sealed objects"),
            None => "the sealed objects are in an object store, which has its own copies".into(),
        };
        output.result(
            &format!(
                "{} has the node up to block {}: {new} new blocks, {said}\nWhat unlocks its keys is not in it: keep that elsewhere.",
                self.to.display(),
                manifest.height
            ),
            &json!({ "height": manifest.height, "blocks": new, "objects": objects }),
        );
        Ok(())
    }

    /// Copies the small files as they are now. Keys that the node no longer has are not kept.
    fn copy_settings(&self, backup: &Backup, config: &NodeConfig) -> Result<(), Failure> {
        copy_there(&self.config, &backup.path("node.toml"))?;
        copy_there(&config.genesis, &backup.path("genesis.cbor"))?;
        let keys = files_in(&config.keys.folder)?;
        for path in &keys {
            copy_there(path, &backup.path("keys").join(path.file_name().expect("it is a file")))?;
        }
        for path in files_in(&backup.path("keys"))? {
            if !keys.iter().any(|key| key.file_name() == path.file_name()) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn endpoint(
        &self,
        config: &NodeConfig,
        organisation: OrganisationId,
    ) -> Result<Endpoint, Failure> {
        let url = match &self.node {
            Some(url) => url.clone(),
            None if config.listen_clients.port() == 0 => {
                return Err(Failure::Misused(
                    "the configuration does not say at which port clients ask the node; name it with --node"
                        .into(),
                ));
            }
            None => url(config)?,
        };
        Ok(Endpoint { organisation, url })
    }
}

/// Whose node it is. The configuration of one that joined after the founding says so.
fn whose(
    config: &NodeConfig,
    consortium: &Consortium,
    keys: &NodeKeys,
) -> Result<OrganisationId, Failure> {
    let validator = keys.consensus_key();
    let founders = &consortium.genesis().validators;
    let seat = founders.iter().find(|it| it.consensus == validator);
    config.organisation.or(seat.map(|it| it.organisation)).ok_or_else(|| {
        Failure::Misused(
            "the genesis file does not say whose validator this is; say it with `organisation` in its configuration"
                .into(),
        )
    })
}

/// What the folder has of this node, if it is this node's.
fn manifest(
    known: Option<Manifest>,
    consortium: &Consortium,
    keys: &NodeKeys,
    organisation: OrganisationId,
) -> Result<Manifest, Failure> {
    let (chain, validator) = (consortium.chain(), keys.consensus_key());
    match known {
        Some(known) if known.chain == chain && known.validator == validator => Ok(known),
        Some(_) => Err(Failure::Misused(
            "the folder has the backup of another node; give each node a folder of its own".into(),
        )),
        None => {
            let first = first_block(consortium.genesis()).id();
            Ok(Manifest::new(chain, organisation, validator, first))
        }
    }
}

fn copy_there(from: &Path, to: &Path) -> Result<(), Failure> {
    if copy(from, to)? {
        return Ok(());
    }
    Err(Failure::Misused(format!("{} is not there; check the configuration", from.display())))
}

/// The way to the node's blocks.
struct Chain {
    client: Client,
    actor: Actor,
}

impl Chain {
    /// Copies the blocks that the backup lacks, and says which records the custodian erased in them.
    async fn copy(
        &self,
        backup: &Backup,
        manifest: &mut Manifest,
        output: &Output,
    ) -> Result<Vec<Erased>, Failure> {
        backup.forget_blocks_after(manifest.height)?;
        let mut erased = Vec::new();
        loop {
            let from = Height(manifest.height.0 + 1);
            let node = &self.client.nodes().endpoints()[0];
            let stored = blocks(self.client.nodes(), node, &self.actor, from).await;
            let stored = stored.map_err(ClientError::from)?;
            if stored.blocks.is_empty() {
                return Ok(erased);
            }
            // Whoever certified these blocks may have taken over since.
            self.client.follow(node).await?;
            for block in stored.blocks.iter() {
                erased.extend(self.take(block, manifest)?);
            }
            backup.keep_blocks(from, &stored)?;
            output.say(&format!("block {}", manifest.height));
        }
    }

    /// Checks that a block is the next one.
    fn take(&self, stored: &StoredBlock, manifest: &mut Manifest) -> Result<Vec<Erased>, Failure> {
        let height = Height(manifest.height.0 + 1);
        let wrong = || {
            Failure::Misused(format!(
                "the node gave something else than block {height} after the backup's newest; run `keepwell fsck` on the node, and take a new backup into another folder"
            ))
        };
        let block = Block::from_wire(&stored.block).ok_or_else(wrong)?;
        let header = block.header();
        if header.height != height || header.parent != manifest.block {
            return Err(wrong());
        }
        if let Some(certificate) = &stored.certificate {
            let in_force = self.client.in_force();
            in_force.validators().verify_header(header, certificate).map_err(|_| wrong())?;
        }
        (manifest.height, manifest.block) = (height, block.id());
        Ok(erased_in(&block, manifest.organisation))
    }
}

/// The records of which this custodian says in the block that it erased them.
pub(crate) fn erased_in(block: &Block, custodian: OrganisationId) -> Vec<Erased> {
    let mut erased = Vec::new();
    for raw in block.entries().iter() {
        let Ok(Entry::Signed(signed)) = keepwell_types::decode(raw.bytes(), COMMAND_BYTES_MAX)
        else {
            continue;
        };
        let by_it = signed.command.signers.contains(&Party::Custodian(custodian));
        if let Payload::RecordErased(it) = &signed.command.payload
            && by_it
        {
            erased.push(Erased { chart: it.chart, record: it.record.record });
        }
    }
    erased
}

/// Copies the objects that the backup lacks, and removes those that were erased.
fn copy_objects(folder: &Path, backup: &Backup, erased: &[Erased]) -> Result<u64, Failure> {
    let objects = backup.path("objects");
    let mut copied = 0;
    for below in files_below(folder)? {
        let to = objects.join(&below);
        // Objects never change, so one that is there is the same. Members' keys do.
        let is_there = fs::metadata(&to).is_ok() && !below.starts_with("members");
        // An object that was deleted meanwhile is no loss: the ledger does not name it.
        if !is_there && copy(&folder.join(&below), &to)? {
            copied += 1;
        }
    }
    for it in erased {
        forget(&objects, folder, it)?;
    }
    Ok(copied)
}

/// Erases a record, and the words in cases of its chart that the custodian erased.
fn forget(objects: &Path, custody: &Path, erased: &Erased) -> Result<(), Failure> {
    let (record, chart) = (format!("{}-", erased.record), erased.chart.to_string());
    for path in files_in(&objects.join("records").join(&chart))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(&record) {
            remove(&path)?;
        }
    }
    for path in files_in(&objects.join("small").join(&chart))? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("words-") && !custody.join("small").join(&chart).join(name).exists() {
            remove(&path)?;
        }
    }
    Ok(())
}
