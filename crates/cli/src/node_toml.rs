//! A node's configuration as the program writes it, for `keepwell node` to read.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use keepwell_client::tls::Address;
use keepwell_node::{
    config::{Operator, TokenConfig},
    tls,
};
use keepwell_types::id::OrganisationId;
use serde::Serialize;

use crate::{failure::Failure, lock};

/// The folder of the certificate that a node shows to clients, beside its configuration.
pub(crate) const TLS: &str = "tls";

/// See [`keepwell_node::config::NodeConfig`]; what has a default there is left out.
#[derive(Serialize)]
pub(crate) struct NodeToml {
    pub(crate) folder: PathBuf,
    pub(crate) genesis: PathBuf,
    pub(crate) listen_peers: SocketAddr,
    pub(crate) listen_clients: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) organisation: Option<OrganisationId>,
    pub(crate) keys: KeysToml,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsToml>,
    pub(crate) peers: Vec<PeerToml>,
}

#[derive(Serialize)]
pub(crate) struct KeysToml {
    folder: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_token: Option<TokenConfig>,
}

impl KeysToml {
    /// Keys in this folder, which this unlocks.
    pub(crate) fn new(folder: &str, operator: Option<Operator>) -> Self {
        let (operator_file, operator_token) = lock::fields(operator);
        Self { folder: folder.into(), operator_file, operator_token }
    }
}

#[derive(Serialize)]
pub(crate) struct TlsToml {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Serialize)]
pub(crate) struct PeerToml {
    pub(crate) validator: String,
    pub(crate) address: SocketAddr,
}

impl fmt::Display for NodeToml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).expect("a configuration is plain TOML"))
    }
}

/// How the node whose configuration is in `folder` speaks to clients, and where they reach it: beyond this computer with
/// a certificate, which is made once.
pub(crate) fn clients(
    folder: &Path,
    listens: SocketAddr,
) -> Result<(Option<TlsToml>, String), Failure> {
    if listens.ip().is_loopback() {
        return Ok((None, format!("http://{listens}")));
    }
    let folder = folder.join(TLS);
    if !folder.exists() {
        tls::make(&folder, &[listens.ip().to_string()])?;
    }
    let (certificate, key) = (tls::CERTIFICATE_FILE, tls::KEY_FILE);
    let (shown, _) = tls::read_certificate(&folder.join(certificate))?;
    let url = Address::with_certificate(listens, &shown)?;
    let below = |name| Path::new(TLS).join(name);
    Ok((Some(TlsToml { certificate: below(certificate), key: below(key) }), url))
}
