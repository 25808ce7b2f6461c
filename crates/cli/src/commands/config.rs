//! `keepwell config`: whether a node's configuration would do, before the node is started with it.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use keepwell_client::node::Link;
use keepwell_crypto::command::chain_id;
use keepwell_node::{
    config::{ConfigError, CustodyConfig, NodeConfig, Operator},
    custody::store::Store,
    folder::{Folder, FolderError, free_bytes},
    run::check_keys,
    tls::{Certificate, ends_soon},
    traces::{Traces, TracesConfig},
};
use keepwell_types::{genesis::Genesis, validators::ValidatorSet};
use serde_json::json;

use crate::{
    commands::node::{address, key_files},
    failure::Failure,
    output::Output,
    profile::PASSPHRASE_FILE,
};

/// Look at a node's configuration without starting the node
#[derive(Args)]
#[command(after_help = "Example:\n  keepwell config check --config /etc/keepwell/node.toml")]
pub(crate) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Say what is wrong with a configuration and everything that it names
    ///
    /// Nothing is changed, and a node that runs is not disturbed. Keys are unlocked if that needs no typing: with
    /// an operator's file, or a passphrase in the file that KEEPWELL_PASSPHRASE_FILE names. A PKCS#11 token is asked
    /// with --ask-token only: a wrong PIN counts as a try.
    Check {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Unlock the keys with the token too, if its PIN is in a file
        #[arg(long)]
        ask_token: bool,
    },
}

impl Config {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let What::Check { config, ask_token } = self.what;
        let findings = check(&NodeConfig::read(&config)?, ask_token);
        let wrong = findings.iter().filter(|it| matches!(it.state, State::Wrong)).count();
        let lines: Vec<_> = findings
            .iter()
            .map(|it| format!("{:<8}{:<12}{}", it.state.as_str(), it.what, it.words))
            .collect();
        let list: Vec<_> = findings
            .iter()
            .map(|it| json!({ "what": it.what, "state": it.state.as_str(), "message": it.words }))
            .collect();
        output.result(&lines.join("\n"), &json!({ "fits": wrong == 0, "findings": list }));
        match wrong {
            0 => Ok(()),
            wrong => Err(Failure::Misused(format!(
                "{wrong} of {} things that {} names are wrong; see above for each",
                findings.len(),
                config.display()
            ))),
        }
    }
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    state: State,
    words: String,
}

#[derive(Clone, Copy)]
enum State {
    /// As it must be.
    Good,
    /// A node starts with it, and its operator should know.
    Mind,
    /// No node starts with it.
    Wrong,
    /// It could not be seen from here.
    Unseen,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Mind => "mind",
            Self::Wrong => "wrong",
            Self::Unseen => "unseen",
        }
    }
}

fn check(config: &NodeConfig, ask_token: bool) -> Vec<Finding> {
    let genesis = read_genesis(config);
    let mut findings = vec![match &genesis {
        Ok(genesis) => {
            let (chain, founders) = (chain_id(genesis), ValidatorSet::of(genesis));
            let validators = founders.seats.len();
            let (state, words) = match config.check_peers(&founders) {
                Ok(()) => {
                    let words = format!(
                        "chain {chain}, {validators} validators, each listed under [[peers]]"
                    );
                    (State::Good, words)
                }
                // A node that has run knows from its blocks who has left.
                Err(error) if config.folder.exists() => {
                    (State::Mind, format!("chain {chain}; {error}"))
                }
                Err(error) => (State::Wrong, error.to_string()),
            };
            Finding { what: "genesis", state, words }
        }
        Err(words) => Finding { what: "genesis", state: State::Wrong, words: words.clone() },
    }];
    findings.push(of(
        "keys",
        match unseen_keys(config, ask_token) {
            Some(words) => Ok((State::Unseen, words)),
            None => keys(config, genesis.ok().as_ref()),
        },
    ));
    let (folder, runs) = folder(config);
    findings.push(of("folder", folder));
    findings.push(of("custody", custody(config)));
    findings.push(of("custodians", custodians(config)));
    findings.push(of("tls", certificate(config)));
    findings.push(of("traces", traces(config)));
    findings.push(of("peers", listens(config.listen_peers, runs)));
    findings.push(of("clients", listens(config.listen_clients, runs)));
    findings
}

type Found = Result<(State, String), String>;

fn of(what: &'static str, found: Found) -> Finding {
    let (state, words) = found.unwrap_or_else(|words| (State::Wrong, words));
    Finding { what, state, words }
}

fn good(words: impl Into<String>) -> Found {
    Ok((State::Good, words.into()))
}

fn read_genesis(config: &NodeConfig) -> Result<Genesis, String> {
    let genesis = config.read_genesis().map_err(|error| error.to_string())?;
    genesis.check().map_err(|error| format!("{error}; get the consortium's own file"))?;
    Ok(genesis)
}

/// Why the keys are not looked at, if they are not.
fn unseen_keys(config: &NodeConfig, ask_token: bool) -> Option<String> {
    let Some(operator) = config.keys.operator() else {
        return env::var_os(PASSPHRASE_FILE).is_none().then(|| format!(
            "a passphrase unlocks them; name a file with it in {PASSPHRASE_FILE} to have them looked at"
        ));
    };
    if let Err(absent) = operator.check_here() {
        return Some(absent.to_string());
    }
    match operator {
        Operator::Token(token) if token.pin_file.is_none() => Some(format!(
            "the token {:?} unlocks them, and asks for its PIN; `keepwell token check` tries it",
            token.token
        )),
        Operator::Token(token) if !ask_token => Some(format!(
            "the token {:?} unlocks them, and was not asked, since a wrong PIN counts as a try; --ask-token asks it",
            token.token
        )),
        Operator::File(_) | Operator::Token(_) => None,
    }
}

fn keys(config: &NodeConfig, genesis: Option<&Genesis>) -> Found {
    let files = key_files(config).map_err(|error| error.to_string())?;
    let keys = files.load().map_err(|error| error.to_string())?;
    let Some(genesis) = genesis else {
        return Ok((
            State::Unseen,
            "they unlock; whose they are only the genesis file says".into(),
        ));
    };
    let organisation = check_keys(&ValidatorSet::of(genesis), &keys, config.organisation)
        .map_err(|error| error.to_string())?;
    if !files.can_write() {
        let words = format!(
            "they are those of organisation {organisation}, and the node cannot write to {}: it takes no part when validators change; make the folder writable for it",
            config.keys.folder.display()
        );
        return Ok((State::Mind, words));
    }
    good(format!("they unlock, and are those of organisation {organisation}"))
}

/// The folder, and whether a node runs in it.
fn folder(config: &NodeConfig) -> (Found, bool) {
    let path = &config.folder;
    if !path.exists() {
        return (good("not there yet; the node makes it"), false);
    }
    match Folder::open(path) {
        Ok(_) => (room(config), false),
        Err(FolderError::Busy { .. }) => (good("a node runs in it"), true),
        Err(error) => (Err(error.to_string()), false),
    }
}

fn room(config: &NodeConfig) -> Found {
    let path = &config.folder;
    let free = free_bytes(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let least = config.custody_limits.free_bytes_min;
    if free < least {
        let words = format!(
            "the disk has {free} bytes left, and uploads leave {least} free: none is taken in; make room"
        );
        return Ok((State::Mind, words));
    }
    good(format!("readable and writable, {} GiB left on its disk", free >> 30))
}

/// A credential that the unit has, and whoever asks has not.
fn not_here(absent: &ConfigError) -> Found {
    Ok((State::Unseen, absent.to_string()))
}

fn custody(config: &NodeConfig) -> Found {
    match &config.custody {
        CustodyConfig::Folder(None) => good("in the node's folder"),
        CustodyConfig::Folder(Some(path)) if path.is_dir() => good(path.display().to_string()),
        CustodyConfig::Folder(Some(path)) => {
            good(format!("{}, not there yet; the node makes it", path.display()))
        }
        CustodyConfig::S3(store) => {
            if let Err(absent) = store.check_here() {
                return not_here(&absent);
            }
            Store::in_s3(store).map_err(|error| error.to_string())?;
            good(format!("bucket {}; the store itself was not asked", store.bucket))
        }
    }
}

fn custodians(config: &NodeConfig) -> Found {
    if config.custodians.is_empty() {
        let words = "none is named: what is damaged here is noticed, and not repaired; name others under [[custodians]]";
        return Ok((State::Mind, words.into()));
    }
    for custodian in &config.custodians {
        Link::to(&custodian.url).map_err(|error| format!("{}: {error}", custodian.organisation))?;
    }
    good(format!("{} named; none was asked", config.custodians.len()))
}

fn certificate(config: &NodeConfig) -> Found {
    let Some(files) = &config.tls else {
        return good("none: plain HTTP, on this computer alone");
    };
    if let Err(absent) = files.check_here() {
        return not_here(&absent);
    }
    let certificate = Certificate::open(files).map_err(|error| error.to_string())?;
    let url = address(config.listen_clients, Some(&certificate)).map_err(|it| it.to_string())?;
    let ends = certificate.ends();
    if ends_soon(ends) {
        return Ok((State::Mind, format!("the certificate ends at {ends}; renew it")));
    }
    good(format!("until {ends}; clients name {url}"))
}

fn traces(config: &NodeConfig) -> Found {
    let Some(traces) = &config.traces else { return good("none are sent") };
    Traces::open(traces).map_err(|error| error.to_string())?.end();
    let TracesConfig { endpoint, sample_ratio, requests_per_second_max } = traces;
    good(format!(
        "to {endpoint}, a part of {sample_ratio} and at most {requests_per_second_max} requests a second; the receiver was not asked"
    ))
}

fn listens(address: SocketAddr, runs: bool) -> Found {
    if runs {
        return good(format!("{address}, where the node that runs listens"));
    }
    TcpListener::bind(address).map_err(|error| {
        format!("{address}: {error}; stop what uses the port, or configure another one")
    })?;
    good(format!("{address} is free"))
}
