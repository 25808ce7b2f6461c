//! A node's configuration as the program writes it, for `keepwell node` to read.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::Serialize;

/// See [`keepwell_node::config::NodeConfig`]; what has a default there is left out.
#[derive(Serialize)]
pub(crate) struct NodeToml {
    pub(crate) folder: PathBuf,
    pub(crate) genesis: PathBuf,
    pub(crate) listen_peers: SocketAddr,
    pub(crate) listen_clients: SocketAddr,
    pub(crate) keys: KeysToml,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsToml>,
    pub(crate) peers: Vec<PeerToml>,
}

#[derive(Serialize)]
pub(crate) struct KeysToml {
    pub(crate) folder: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator_file: Option<PathBuf>,
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
