//! `keepwell node`: one organisation's validator.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use keepwell_client::{
    identity::Actor,
    lender::Lending,
    node::{Endpoint, NodeFault},
    tls::Address,
};
use keepwell_crypto::{command::chain_id, sign::SigningKey};
use keepwell_engine::protocol::Known;
use keepwell_node::{
    config::{CustodianConfig, NodeConfig},
    custody::repair::Lenders,
    folder::Folder,
    keys::{KeyFiles, NodeKeys, Unlock},
    run::{self, NodeError, check_keys},
    tls::{Certificate, read_certificate},
};
use keepwell_types::{
    id::{ChartId, LogPosition, OrganisationId},
    member::Party,
    validators::ValidatorSet,
};
use serde_json::json;

use crate::{
    failure::Failure,
    lock::{of_node, unlock},
    observed,
    output::Output,
    profile::passphrase,
    runtime::{asked_to_stop, run_engine},
};

/// Run one organisation's node until it is told to stop
#[derive(Args)]
#[command(after_help = "Example:
  keepwell node --config /etc/keepwell/node.toml

It ends with code 3 where the consortium has moved on to rules that this program does not know: install a newer one.
It ends with code 4 where a token refuses the PIN: correct that first, since few wrong ones lock a token.")]
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
        config.check_here()?;
        let traces = observed::log_and_trace(config.traces.as_ref())?;
        let done = self.serve(config, output, known);
        observed::end(traces);
        done
    }

    fn serve(self, config: NodeConfig, output: &Output, known: Known) -> Result<(), Failure> {
        let keys = key_files(&config)?;
        let storage = config.folder.join("engine");
        try_folder(&config)?;
        let check_every = Duration::from_secs(config.custody_check_s);
        let lenders = Others::of(&config, &keys)?;
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
            let repairs = node.keep_repaired(lenders, check_every);
            let ended = tokio::select! {
                never = repairs => match never {},
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

/// The nodes of other custodians that the configuration names.
struct Others(Option<Lending>);

impl Others {
    fn of(config: &NodeConfig, keys: &KeyFiles) -> Result<Self, Failure> {
        if config.custodians.is_empty() {
            return Ok(Self(None));
        }
        let (genesis, keys) = (config.read_genesis()?, keys.load()?);
        let own = check_keys(&ValidatorSet::of(&genesis), &keys, config.organisation)?;
        let custodian = Actor::new(Party::Custodian(own), SigningKey::from_seed(&keys.custodian));
        let endpoint = |it: &CustodianConfig| {
            let CustodianConfig { organisation, url } = it.clone();
            Endpoint { organisation, url }
        };
        let endpoints = config.custodians.iter().map(endpoint).collect();
        Ok(Self(Some(Lending::new(chain_id(&genesis), endpoints, custodian)?)))
    }

    fn lending(&self) -> Result<&Lending, String> {
        self.0.as_ref().ok_or_else(|| "no other custodian is configured".to_owned())
    }
}

impl Lenders for Others {
    type Body = BoxStream<'static, Result<Bytes, String>>;

    fn knows(&self, organisation: OrganisationId) -> bool {
        self.0.as_ref().is_some_and(|it| it.knows(organisation))
    }

    async fn capsule(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> Result<Bytes, String> {
        let capsule = self.lending()?.capsule(lender, chart, at).await;
        capsule.map_err(|it| in_words(&it.fault))?.ok_or_else(|| "it has no capsule".to_owned())
    }

    async fn body(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> Result<Self::Body, String> {
        let body = self.lending()?.body(lender, chart, at).await;
        let body = body.map_err(|it| in_words(&it.fault))?;
        Ok(body.map_err(|it| in_words(&it)).boxed())
    }
}

/// What another node did, for the log: its own words may say anything, and name a chart.
fn in_words(fault: &NodeFault) -> String {
    if let NodeFault::Refused { status, .. } = fault {
        return format!("it refused, with status {status}");
    }
    format!("it {fault}")
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

/// Where the node with this configuration is reached. Its certificate says so; the key of that is not opened.
pub(crate) fn url(config: &NodeConfig) -> Result<String, Failure> {
    let Some(files) = &config.tls else { return address(config.listen_clients, None) };
    let (shown, _) = read_certificate(&files.certificate)?;
    Ok(Address::with_certificate(config.listen_clients, &shown)?)
}

/// Sees that a node can have its folder. The engine's runtime waits for another process that holds its
/// storage, and panics over storage that cannot be written: who starts one looks first.
pub(crate) fn try_folder(config: &NodeConfig) -> Result<(), Failure> {
    Folder::open(&config.folder).map(drop).map_err(|error| NodeError::from(error).into())
}

/// A node's key files, and what unlocks them as its configuration says.
pub(crate) fn key_files(config: &NodeConfig) -> Result<KeyFiles, Failure> {
    let unlock = match config.keys.operator() {
        Some(operator) => of_node(&unlock(&operator)?),
        None => Unlock::Passphrase(passphrase()?),
    };
    Ok(KeyFiles::new(config.keys.folder.clone(), unlock))
}

/// Unlocks a node's keys as its configuration says.
pub(crate) fn load_keys(config: &NodeConfig) -> Result<NodeKeys, Failure> {
    Ok(key_files(config)?.load()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lender_says_stays_out_of_the_log() {
        let (code, message) = ("forbidden".to_owned(), "chart 0102".to_owned());
        let words = in_words(&NodeFault::Refused { status: 403, code, message });
        assert_eq!(words, "it refused, with status 403");
        assert_eq!(in_words(&NodeFault::Unreachable), format!("it {}", NodeFault::Unreachable));
    }
}
