//! `keepwell node`: one organisation's validator.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use keepwell_client::tls::Address;
use keepwell_engine::protocol::Known;
use keepwell_node::{
    config::NodeConfig,
    folder::Folder,
    keys::{KeyFiles, NodeKeys, Unlock},
    run::{self, NodeError},
    tls::Certificate,
};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::passphrase,
    runtime::{asked_to_stop, run_engine},
};

/// Run one organisation's node until it is told to stop
#[derive(Args)]
#[command(after_help = "Example:
  keepwell node --config /etc/keepwell/node.toml

It ends with code 3 where the consortium has moved on to rules that this program does not know: install a newer one.")]
pub(crate) struct Node {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Threads of the engine
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

impl Node {
    pub(crate) fn run(self, output: &Output, known: Known) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let keys = key_files(&config)?;
        let storage = config.folder.join("engine");
        try_folder(&config)?;
        run_engine(&storage, self.threads, async |context| {
            let mut node = run::start(context, config, keys, known).await?;
            let (peers, certificate) = (node.addresses.peers, node.certificate.as_deref());
            let clients = address(node.addresses.clients, certificate)?;
            output.result(
                &format!("clients: {clients}\npeers: {peers}"),
                &json!({
                    "organisation": node.organisation,
                    "clients": clients,
                    "peers": peers,
                }),
            );
            let ended = tokio::select! {
                () = asked_to_stop() => Ok(()),
                outdated = node.ended() => Err(match outdated {
                    Some(outdated) => NodeError::Outdated(outdated).into(),
                    None => Failure::Misused("the node ended by itself; its log says why".into()),
                }),
            };
            node.stop().await;
            ended
        })
    }
}

/// Where a service is reached, as a profile names it: with the key of its certificate.
pub(crate) fn address(
    listens: SocketAddr,
    certificate: Option<&Certificate>,
) -> Result<String, Failure> {
    match certificate {
        Some(certificate) => Ok(Address::with_certificate(listens, &certificate.der())?),
        None => Ok(format!("http://{listens}")),
    }
}

/// Sees that a node can have its folder. The engine's runtime waits for another process that holds its
/// storage, and panics over storage that cannot be written: who starts one looks first.
pub(crate) fn try_folder(config: &NodeConfig) -> Result<(), Failure> {
    Folder::open(&config.folder).map(drop).map_err(|error| NodeError::from(error).into())
}

/// A node's key files, and what unlocks them as its configuration says.
pub(crate) fn key_files(config: &NodeConfig) -> Result<KeyFiles, Failure> {
    let unlock = match &config.keys.operator_file {
        Some(path) => Unlock::read_operator(path)?,
        None => Unlock::Passphrase(passphrase()?),
    };
    Ok(KeyFiles::new(config.keys.folder.clone(), unlock))
}

/// Unlocks a node's keys as its configuration says.
pub(crate) fn load_keys(config: &NodeConfig) -> Result<NodeKeys, Failure> {
    Ok(key_files(config)?.load()?)
}
