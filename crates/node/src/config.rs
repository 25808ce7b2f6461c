//! The configuration of one node: what it chooses for itself. What all must share is in the genesis file.
//!
//! ```toml
//! folder = "/var/lib/keepwell"
//! genesis = "/etc/keepwell/genesis.cbor"
//! listen_peers = "10.0.0.1:7440"             # loopback unless configured
//! listen_clients = "10.0.0.1:7441"           # loopback unless configured; beyond it with [tls] only
//! organisation = "32 hexadecimal digits"     # whose node it is: only while it has no seat among the validators
//! custody_check_s = 604800                   # between two looks at all sealed objects, in seconds
//! archive = true                             # or false: a new node begins from the state of its peers
//!
//! [tls]                                      # of the interface for clients; without it plain HTTP, on loopback
//! certificate = "/etc/keepwell/tls/certificate.pem"
//! key = "/etc/keepwell/tls/key.pem"
//!
//! [keys]
//! folder = "/etc/keepwell/keys"
//! operator_file = "$CREDENTIALS_DIRECTORY/operator"   # of systemd, or any file; without it a passphrase is asked for
//! [keys.operator_token]                      # instead of the file: a key in a PKCS#11 token
//! module = "/usr/lib/softhsm/libsofthsm2.so"
//! token = "hospital"
//! key = "keepwell"
//! pin_file = "$CREDENTIALS_DIRECTORY/pin"
//!
//! [custody]                                  # without it, in the node's own folder
//! s3 = { bucket = "sealed", region = "eu-central-1", endpoint = "https://s3.example.org" }
//!
//! [custody_limits]                           # each has a default
//! party_unnamed_bytes_max = 17179869184      # of objects that no entry names yet
//! organisation_unnamed_bytes_max = 68719476736
//! free_bytes_min = 2147483648                # left free on the disk of a folder
//!
//! [traces]                                   # without it, none
//! endpoint = "http://127.0.0.1:4318"
//! sample_ratio = 0.1                         # of requests and blocks; has a default
//! requests_per_second_max = 100              # has a default
//!
//! [[custodians]]                             # whose nodes lend what is missing or damaged here
//! organisation = "32 hexadecimal digits"
//! url = "https://10.0.0.2:7441#sha256=..."
//!
//! [[peers]]                                  # one for each validator, this one included
//! validator = "32-byte consensus key in hexadecimal digits"
//! address = "10.0.0.1:7440"
//! ```
//!
//! # Invariants
//!
//! * A [`NodeConfig`] that exists is valid: all that can be checked without the genesis file was.
//! * No secret stands in a configuration, so it can be shown, copied and put under version control.
//! * A credential of systemd that is not here is no mistake: only whoever opens it is refused. A person at a shell sees
//!   how a node is, and has none.

use std::{
    collections::BTreeSet,
    env, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use keepwell_types::{
    genesis::Genesis,
    id::{OrganisationId, PublicKey},
    limits::{GENESIS_BYTES_MAX, VALIDATORS_MAX},
    validators::{Seat, ValidatorSet},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    folder::CREDENTIALS,
    traces::{TracesConfig, TracesError},
};

/// Bytes of a configuration file.
const CONFIG_BYTES_MAX: u64 = 256 * 1024;
/// Bytes of a token's label, as PKCS#11 has it.
const TOKEN_BYTES_MAX: usize = 32;
/// Bytes of the label of a key in a token.
const KEY_BYTES_MAX: usize = 128;
/// Port for peers, unless configured.
pub const PEERS_PORT: u16 = 7440;
/// Port for clients, unless configured.
pub const CLIENTS_PORT: u16 = 7441;
/// Begins the paths of what systemd gives to a unit.
const CREDENTIAL: &str = "$CREDENTIALS_DIRECTORY";
/// Shortest wait for a leader: it must be longer than the heartbeat.
const LEADER_TIMEOUT_MS_MIN: u64 = 2_000;
/// Longest wait for a leader or a certificate.
const TIMEOUT_MS_MAX: u64 = 60_000;

/// A configuration that cannot be used, and what its operator does about it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Longer than any configuration.
    #[error("the configuration {path} has {len} bytes, more than {max}; is it the right file?")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// Not TOML, or a setting that is missing, unknown or of another type.
    #[error("the configuration has a mistake: {0}")]
    Syntax(#[from] toml::de::Error),
    /// What describes a token has a mistake.
    #[error("{place}: {source}")]
    Token {
        /// The file, or the setting of a node's configuration.
        place: String,
        /// The mistake.
        source: Box<Self>,
    },
    /// A folder or file is not named.
    #[error("`{setting}` is empty; name a path")]
    EmptyPath {
        /// The setting.
        setting: &'static str,
    },
    /// Two locks for the same keys.
    #[error("both operator_file and operator_token are named; keep the one that locks the keys")]
    TwoLocks,
    /// A label that no token and no key has.
    #[error("`{setting}` has {len} bytes; write its label, of 1 to {max} bytes")]
    Label {
        /// The setting.
        setting: &'static str,
        /// Its bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Peers and clients on one address.
    #[error("listen_peers and listen_clients are both {0}; give each its own port")]
    SameAddress(SocketAddr),
    /// Beyond this machine without TLS.
    #[error(
        "listen_clients is {0}, which others reach, and there is no [tls]: who asks for whose chart would travel in the open; make a certificate with `keepwell certificate new`, or listen on loopback"
    )]
    InTheOpen(SocketAddr),
    /// A credential where there are none.
    #[error(
        "{path} is a credential of systemd, and this was not started with any; give it to the command with systemd-run, as docs/operations/README.md shows, or name a file"
    )]
    NoCredentials {
        /// As it is written.
        path: PathBuf,
    },
    /// A validator without an address of its own.
    #[error(
        "peers[{index}] has port 0, at which nobody can be reached; write the port that it listens on"
    )]
    PeerPort {
        /// Place in the list.
        index: usize,
    },
    /// A validator is listed twice.
    #[error("validator {0} is listed twice under [[peers]]; remove one")]
    PeerTwice(PublicKey),
    /// More than a consortium has.
    #[error("{given} peers are listed and a consortium has at most {max} validators")]
    TooManyPeers {
        /// Listed.
        given: usize,
        /// The limit.
        max: usize,
    },
    /// A validator without an address. Others may be listed: those who join later, and observers.
    #[error(
        "where validator {0} is reached is not known; list under [[peers]] each validator of the genesis file that has not left, once"
    )]
    PeerMissing(PublicKey),
    /// The timeouts do not work.
    #[error(
        "leader_timeout_ms is {leader_ms} and certification_timeout_ms {certification_ms}; they must be at least {min_ms} and at most {max_ms}, the second not less than the first"
    )]
    Timeouts {
        /// For the leader.
        leader_ms: u64,
        /// For the certificate.
        certification_ms: u64,
        /// Lower bound.
        min_ms: u64,
        /// Upper bound.
        max_ms: u64,
    },
    /// A disk that is read all the time.
    #[error(
        "custody_check_s is 0; write how many seconds are to pass between two looks at all sealed objects"
    )]
    CustodyCheck,
    /// The object store's address.
    #[error(
        "the endpoint of [custody] s3 is {0:?}; write it as https://host or, on loopback only, http://127.0.0.1:port"
    )]
    Endpoint(String),
    /// A secret in the wrong place.
    #[error("[custody] s3 names no bucket or no region")]
    Bucket,
    /// Where traces go.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The genesis file.
    #[error(
        "the genesis file {path} cannot be used: {reason}; get the consortium's own file again"
    )]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    fn of_a_token(place: &str) -> impl FnOnce(Self) -> Self {
        move |source| Self::Token { place: place.to_owned(), source: Box::new(source) }
    }
}

/// What one node chooses for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Folder of everything that the node writes.
    pub folder: PathBuf,
    /// The consortium's genesis file.
    pub genesis: PathBuf,
    /// Whose node it is. Needed only while it has no seat among the validators: before it joins, and after it left.
    pub organisation: Option<OrganisationId>,
    /// The node's keys.
    pub keys: KeysConfig,
    /// Where it listens for other validators.
    #[serde(default = "default_peers")]
    pub listen_peers: SocketAddr,
    /// Where it listens for clients; port 0 takes any free one.
    #[serde(default = "default_clients")]
    pub listen_clients: SocketAddr,
    /// The certificate that it shows to clients; without one it speaks plain HTTP, on loopback only.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Where each validator is reached, this one included.
    pub peers: Vec<PeerConfig>,
    /// Where sealed objects are kept.
    #[serde(default)]
    pub custody: CustodyConfig,
    /// How much is stored that no entry names yet.
    #[serde(default)]
    pub custody_limits: CustodyLimits,
    /// Nodes of other custodians, from which sealed objects are fetched that are missing or damaged here.
    #[serde(default)]
    pub custodians: Vec<CustodianConfig>,
    /// Seconds between two looks at all sealed objects.
    #[serde(default = "default_custody_check_s")]
    pub custody_check_s: u64,
    /// Whether a new node executes all blocks since the first, and keeps them. Otherwise it begins from the state of its
    /// peers, and has no earlier block.
    #[serde(default = "default_archive")]
    pub archive: bool,
    /// Where spans of what the node does are sent; without it, nowhere.
    #[serde(default)]
    pub traces: Option<TracesConfig>,
    /// How long a view waits for its leader.
    #[serde(default = "default_leader_timeout_ms")]
    pub leader_timeout_ms: u64,
    /// How long a view waits for its certificate.
    #[serde(default = "default_certification_timeout_ms")]
    pub certification_timeout_ms: u64,
}

/// Where a node's key files are, and what unlocks them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// Folder of the key files.
    pub folder: PathBuf,
    /// The operator's key file, 32 bytes; without it, and without a token, a passphrase unlocks them.
    pub operator_file: Option<PathBuf>,
    /// The token that makes the operator's key, instead of the file.
    #[serde(default)]
    pub operator_token: Option<TokenConfig>,
}

/// Where a PKCS#11 token has the key that makes an operator's key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The library with which its maker's software speaks to it.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label in it.
    pub key: String,
    /// The file with the PIN, which nobody but the node's user may read; without it the PIN is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
}

/// Where an operator's key comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Operator {
    /// A file of 32 bytes.
    File(PathBuf),
    /// A token makes it.
    Token(TokenConfig),
}

impl Operator {
    /// Refuses credentials of systemd that are not here.
    pub fn check_here(&self) -> Result<(), ConfigError> {
        match self {
            Self::File(path) => check_here(path),
            Self::Token(token) => {
                check_here(&token.module)?;
                token.pin_file.as_deref().map_or(Ok(()), check_here)
            }
        }
    }

    /// As a configuration names it. What systemd gives to a process lies elsewhere at the next start.
    pub fn lasting(self) -> Self {
        match self {
            Self::File(path) => Self::File(lasting(path)),
            Self::Token(token) => Self::Token(token.lasting()),
        }
    }
}

impl KeysConfig {
    /// What unlocks the keys; a passphrase, if nothing does.
    pub fn operator(&self) -> Option<Operator> {
        let token = self.operator_token.clone().map(Operator::Token);
        token.or_else(|| self.operator_file.clone().map(Operator::File))
    }

    /// Checks what can be checked without opening anything.
    pub fn check(&self) -> Result<(), ConfigError> {
        match &self.operator_token {
            Some(_) if self.operator_file.is_some() => Err(ConfigError::TwoLocks),
            Some(token) => token.check().map_err(ConfigError::of_a_token("[keys.operator_token]")),
            None => Ok(()),
        }
    }

    /// Makes its paths whole, as those of the file that it is part of.
    pub fn resolve(&mut self, base: &Path, credentials: Option<&Path>) {
        let paths = [&mut self.folder].into_iter().chain(self.operator_file.as_mut());
        paths.for_each(|path| resolve(path, base, credentials));
        if let Some(token) = &mut self.operator_token {
            token.resolve(base, credentials);
        }
    }
}

impl TokenConfig {
    /// Reads one from a file of its own; paths in it are relative to the file's folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let place = path.display().to_string();
        let mut config = Self::parse(&read(path)?).map_err(ConfigError::of_a_token(&place))?;
        config.resolve(path.parent().unwrap_or(Path::new("")), credentials().as_deref());
        Ok(config)
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what can be checked without the token.
    pub fn check(&self) -> Result<(), ConfigError> {
        let pin = self.pin_file.iter().map(|it| ("pin_file", it));
        let mut paths = [("module", &self.module)].into_iter().chain(pin);
        if let Some((setting, _)) = paths.find(|(_, path)| path.as_os_str().is_empty()) {
            return Err(ConfigError::EmptyPath { setting });
        }
        let labels = [("token", &self.token, TOKEN_BYTES_MAX), ("key", &self.key, KEY_BYTES_MAX)];
        let is_wrong =
            |(_, label, max): &(_, &String, usize)| label.is_empty() || *max < label.len();
        match labels.into_iter().find(is_wrong) {
            Some((setting, label, max)) => {
                Err(ConfigError::Label { setting, len: label.len(), max })
            }
            None => Ok(()),
        }
    }

    /// As a configuration names it, like [`Operator::lasting`].
    pub fn lasting(self) -> Self {
        let Self { module, token, key, pin_file } = self;
        Self { module: lasting(module), token, key, pin_file: pin_file.map(lasting) }
    }

    /// Makes its paths whole, as those of the configuration that it is part of.
    pub fn resolve(&mut self, base: &Path, credentials: Option<&Path>) {
        let paths = [&mut self.module].into_iter().chain(self.pin_file.as_mut());
        paths.for_each(|path| resolve(path, base, credentials));
    }
}

/// A certificate and its key, as files that are read again when they change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the certificate, then those of its authorities.
    pub certificate: PathBuf,
    /// PEM: its private key, which nobody but the node's user may read.
    pub key: PathBuf,
}

impl TlsConfig {
    /// Refuses credentials of systemd that are not here.
    pub fn check_here(&self) -> Result<(), ConfigError> {
        check_here(&self.certificate)?;
        check_here(&self.key)
    }
}

/// Where one validator is reached.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Its consensus key.
    pub validator: PublicKey,
    /// Its address.
    pub address: SocketAddr,
}

/// Where another custodian's node is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CustodianConfig {
    /// Whose node it is.
    pub organisation: OrganisationId,
    /// Its address for clients, with the key of its certificate, as in profiles.
    pub url: String,
}

/// Where sealed objects are kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CustodyConfig {
    /// In a folder; the node's own if none is named.
    Folder(Option<PathBuf>),
    /// In an S3-compatible object store.
    S3(S3Config),
}

impl Default for CustodyConfig {
    fn default() -> Self {
        Self::Folder(None)
    }
}

/// An S3-compatible object store. Credentials come from the environment (`AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, or the role of the machine), or from a file, never from here.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// The store's address, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// A file of two lines: access key id, secret access key.
    pub credentials_file: Option<PathBuf>,
    /// Begins the names of all objects.
    #[serde(default)]
    pub prefix: String,
}

/// How much a custodian stores of what no entry names yet, and what it leaves free.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct CustodyLimits {
    /// Bytes of one party's objects that no entry names yet.
    pub party_unnamed_bytes_max: u64,
    /// Bytes of one organisation's objects that no entry names yet, its patients' among them.
    pub organisation_unnamed_bytes_max: u64,
    /// Bytes that uploads leave free on the disk of a folder: a node that cannot write stops.
    pub free_bytes_min: u64,
}

impl Default for CustodyLimits {
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            party_unnamed_bytes_max: 16 * GIB,
            organisation_unnamed_bytes_max: 64 * GIB,
            free_bytes_min: 2 * GIB,
        }
    }
}

fn default_peers() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PEERS_PORT).into()
}

fn default_clients() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, CLIENTS_PORT).into()
}

/// A week.
const fn default_custody_check_s() -> u64 {
    7 * 24 * 60 * 60
}

const fn default_archive() -> bool {
    true
}

const fn default_leader_timeout_ms() -> u64 {
    3_000
}

const fn default_certification_timeout_ms() -> u64 {
    4_000
}

impl NodeConfig {
    /// Reads a configuration file; paths in it are relative to its own folder.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::parse(&read(path)?)?;
        config.resolve(path.parent().unwrap_or(Path::new("")), credentials().as_deref());
        Ok(config)
    }

    /// Parses and checks at once: a `NodeConfig` that exists is valid.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what can be checked without the genesis file. For configurations that are made, not read.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_paths()?;
        self.keys.check()?;
        let (peers, clients) = (self.listen_peers, self.listen_clients);
        if peers == clients && peers.port() != 0 {
            return Err(ConfigError::SameAddress(peers));
        }
        if !clients.ip().is_loopback() && self.tls.is_none() {
            return Err(ConfigError::InTheOpen(clients));
        }
        self.check_listed()?;
        if self.custody_check_s == 0 {
            return Err(ConfigError::CustodyCheck);
        }
        let (leader_ms, certification_ms) = (self.leader_timeout_ms, self.certification_timeout_ms);
        let (min_ms, max_ms) = (LEADER_TIMEOUT_MS_MIN, TIMEOUT_MS_MAX);
        if leader_ms < min_ms || certification_ms < leader_ms || max_ms < certification_ms {
            return Err(ConfigError::Timeouts { leader_ms, certification_ms, min_ms, max_ms });
        }
        self.traces.as_ref().map_or(Ok(()), TracesConfig::check)?;
        match &self.custody {
            CustodyConfig::Folder(_) => Ok(()),
            CustodyConfig::S3(store) => store.check(),
        }
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
        let paths = [
            ("folder", &self.folder),
            ("genesis", &self.genesis),
            ("keys.folder", &self.keys.folder),
        ];
        let tls = self.tls.iter();
        let tls = tls.flat_map(|it| [("tls.certificate", &it.certificate), ("tls.key", &it.key)]);
        match paths.into_iter().chain(tls).find(|(_, path)| path.as_os_str().is_empty()) {
            Some((setting, _)) => Err(ConfigError::EmptyPath { setting }),
            None => Ok(()),
        }
    }

    fn check_listed(&self) -> Result<(), ConfigError> {
        let given = self.peers.len();
        if given > VALIDATORS_MAX {
            return Err(ConfigError::TooManyPeers { given, max: VALIDATORS_MAX });
        }
        let mut seen = BTreeSet::new();
        for (index, peer) in self.peers.iter().enumerate() {
            if peer.address.port() == 0 {
                return Err(ConfigError::PeerPort { index });
            }
            if !seen.insert(peer.validator) {
                return Err(ConfigError::PeerTwice(peer.validator));
            }
        }
        Ok(())
    }

    /// Checks that each of those who validate is among the peers, or has an address on record.
    pub fn check_peers(&self, set: &ValidatorSet) -> Result<(), ConfigError> {
        let listed: BTreeSet<_> = self.peers.iter().map(|peer| peer.validator).collect();
        let is_known =
            |seat: &Seat| seat.address.is_some() || listed.contains(&seat.validator.consensus);
        match set.seats.iter().find(|seat| !is_known(seat)) {
            Some(seat) => Err(ConfigError::PeerMissing(seat.validator.consensus)),
            None => Ok(()),
        }
    }

    /// Reads the genesis file.
    pub fn read_genesis(&self) -> Result<Genesis, ConfigError> {
        let refused = |reason: String| ConfigError::Genesis { path: self.genesis.clone(), reason };
        let len = fs::metadata(&self.genesis).map_err(|error| refused(error.to_string()))?.len();
        if len > GENESIS_BYTES_MAX as u64 {
            return Err(refused(format!("it has {len} bytes, more than {GENESIS_BYTES_MAX}")));
        }
        let bytes = fs::read(&self.genesis).map_err(|error| refused(error.to_string()))?;
        Genesis::decode(&bytes).map_err(|error| refused(error.to_string()))
    }

    /// Refuses credentials of systemd that are not here, besides those of the keys: for whoever runs the node.
    pub fn check_here(&self) -> Result<(), ConfigError> {
        self.tls.as_ref().map_or(Ok(()), TlsConfig::check_here)?;
        match &self.custody {
            CustodyConfig::Folder(_) => Ok(()),
            CustodyConfig::S3(store) => store.check_here(),
        }
    }

    /// How long a view waits for its leader.
    pub const fn leader_timeout(&self) -> Duration {
        Duration::from_millis(self.leader_timeout_ms)
    }

    /// How long a view waits for its certificate.
    pub const fn certification_timeout(&self) -> Duration {
        Duration::from_millis(self.certification_timeout_ms)
    }

    /// Makes paths whole: those of systemd's credentials, and those that begin at the file's folder.
    fn resolve(&mut self, base: &Path, credentials: Option<&Path>) {
        let custody = match &mut self.custody {
            CustodyConfig::Folder(folder) => folder.as_mut(),
            CustodyConfig::S3(store) => store.credentials_file.as_mut(),
        };
        let paths = [&mut self.folder, &mut self.genesis];
        let tls = self.tls.as_mut().map(|it| [&mut it.certificate, &mut it.key]);
        for path in paths.into_iter().chain(custody).chain(tls.into_iter().flatten()) {
            resolve(path, base, credentials);
        }
        self.keys.resolve(base, credentials);
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), source };
    let len = fs::metadata(path).map_err(unreadable)?.len();
    if len > CONFIG_BYTES_MAX {
        let (path, max) = (path.to_path_buf(), CONFIG_BYTES_MAX);
        return Err(ConfigError::TooLong { path, len, max });
    }
    fs::read_to_string(path).map_err(unreadable)
}

/// Where systemd put the credentials of this process.
pub fn credentials() -> Option<PathBuf> {
    env::var_os(CREDENTIALS).map(PathBuf::from)
}

/// A credential that is not here stays as it is written.
fn resolve(path: &mut PathBuf, base: &Path, credentials: Option<&Path>) {
    *path = match (path.strip_prefix(CREDENTIAL), credentials) {
        (Ok(name), Some(credentials)) => credentials.join(name),
        (Ok(_), None) => return,
        (Err(_), _) => base.join(&*path),
    };
}

/// A credential as configurations name it, and any other path as it is.
fn lasting(path: PathBuf) -> PathBuf {
    let given = credentials().and_then(|folder| {
        path.strip_prefix(folder).map(|name| Path::new(CREDENTIAL).join(name)).ok()
    });
    given.unwrap_or(path)
}

/// Refuses a path that was left as it is written.
fn check_here(path: &Path) -> Result<(), ConfigError> {
    if path.starts_with(CREDENTIAL) {
        return Err(ConfigError::NoCredentials { path: path.to_path_buf() });
    }
    Ok(())
}

impl S3Config {
    /// Refuses credentials of systemd that are not here.
    pub fn check_here(&self) -> Result<(), ConfigError> {
        self.credentials_file.as_deref().map_or(Ok(()), check_here)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.bucket.is_empty() || self.region.is_empty() {
            return Err(ConfigError::Bucket);
        }
        match &self.endpoint {
            Some(endpoint) if !self.is_https() && !self.is_loopback() => {
                Err(ConfigError::Endpoint(endpoint.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn is_https(&self) -> bool {
        self.endpoint.as_deref().is_none_or(|it| it.starts_with("https://"))
    }

    /// Whether the store is on this machine, where plain HTTP shows nothing to anyone.
    pub fn is_loopback(&self) -> bool {
        let host = self.endpoint.as_deref().and_then(|it| it.strip_prefix("http://"));
        let host = host.map(|it| it.trim_end_matches('/'));
        host.is_some_and(|host| {
            host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
                || host == "localhost"
                || host.strip_prefix("localhost:").is_some_and(|port| port.parse::<u16>().is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    fn with(lines: &str) -> Result<NodeConfig, ConfigError> {
        NodeConfig::parse(&format!(
            "folder = \"n\"\ngenesis = \"g\"\n{lines}\n[keys]\nfolder = \"k\"\n"
        ))
    }

    #[test]
    fn defaults_are_loopback() {
        let config = with("peers = []").unwrap();
        assert!(config.listen_peers.ip().is_loopback());
        assert!(config.listen_clients.ip().is_loopback());
        assert_eq!(config.custody, CustodyConfig::Folder(None));
        assert_eq!(config.custody_limits, CustodyLimits::default());
    }

    #[test]
    fn each_mistake_says_what_to_do() {
        let peer = format!("{{ validator = \"{KEY}\", address = \"127.0.0.1:1\" }}");
        let cases = [
            ("peers = []\ncolour = 1", "unknown field `colour`"),
            ("", "missing field `peers`"),
            ("peers = []\nlisten_clients = \"here\"", "invalid socket address"),
            ("peers = []\nlisten_clients = \"127.0.0.1:7440\"", "give each its own port"),
            ("peers = []\nlisten_clients = \"10.0.0.1:1\"", "keepwell certificate new"),
            ("peers = []\nlisten_clients = \"[::]:1\"", "keepwell certificate new"),
            (
                "peers = []\ntls = { certificate = \"c\", key = \"\" }",
                "`tls.key` is empty; name a path",
            ),
            ("peers = []\ntls = { certificate = \"c\" }", "missing field `key`"),
            (
                "peers = [{ validator = \"01\", address = \"127.0.0.1:1\" }]",
                "64 hexadecimal digits",
            ),
            (&format!("peers = [{peer}, {peer}]"), "listed twice"),
            (
                &format!("peers = [{{ validator = \"{KEY}\", address = \"127.0.0.1:0\" }}]"),
                "port 0",
            ),
            ("peers = []\ncustody_limits = { free_bytes = 1 }", "unknown field `free_bytes`"),
            ("peers = []\ncustody_check_s = 0", "how many seconds"),
            ("peers = []\ntraces = {}", "missing field `endpoint`"),
            ("peers = []\ntraces = { endpoint = \"http://10.0.0.1:4318\" }", "on loopback only"),
            (
                "peers = []\ntraces = { endpoint = \"https://t.example.org\", sample_ratio = 10 }",
                "from 0 to 1",
            ),
            ("peers = []\nleader_timeout_ms = 100", "at least 2000"),
            ("peers = []\ncertification_timeout_ms = 2500", "not less than the first"),
            ("peers = []\ncustody = { s3 = { bucket = \"\", region = \"r\" } }", "no bucket"),
            (
                "peers = []\ncustody = { s3 = { bucket = \"b\", region = \"r\", secret_key = \"s\" } }",
                "unknown field `secret_key`",
            ),
            (
                "peers = []\ncustody = { s3 = { bucket = \"b\", region = \"r\", endpoint = \"http://s3.example.org\" } }",
                "https://host",
            ),
        ];
        for (lines, expected) in cases {
            let error = with(lines).expect_err(lines).to_string();
            assert!(error.contains(expected), "{lines}: {error}");
        }
    }

    #[test]
    fn a_token_is_named_whole_and_alone() {
        let keys = |lines: &str| {
            let text = format!(
                "folder = \"n\"\ngenesis = \"g\"\npeers = []\n[keys]\nfolder = \"k\"\n{lines}"
            );
            NodeConfig::parse(&text)
        };
        let token = |module: &str, token: &str, key: &str, more: &str| {
            format!(
                "operator_token = {{ module = \"{module}\", token = \"{token}\", key = \"{key}\"{more} }}\n"
            )
        };
        let whole = token("/m.so", "t", "k", ", pin_file = \"p\"");
        let cases = [
            (whole.clone() + "operator_file = \"o\"", "both operator_file and operator_token"),
            (token("", "t", "k", ""), "[keys.operator_token]: `module` is empty"),
            (
                token("/m.so", "t", "k", ", pin_file = \"\""),
                "[keys.operator_token]: `pin_file` is empty",
            ),
            (token("/m.so", "", "k", ""), "[keys.operator_token]: `token` has 0 bytes"),
            (token("/m.so", &"t".repeat(33), "k", ""), "of 1 to 32 bytes"),
            (token("/m.so", "t", &"k".repeat(129), ""), "of 1 to 128 bytes"),
            // A PIN stands in no configuration.
            (token("/m.so", "t", "k", ", pin = \"1234\""), "unknown field `pin`"),
            (
                "operator_token = { token = \"t\", key = \"k\" }".to_owned(),
                "missing field `module`",
            ),
        ];
        for (lines, expected) in cases {
            let error = keys(&lines).expect_err(&lines).to_string();
            assert!(error.contains(expected), "{lines}: {error}");
        }
        let mut config = keys(&whole.replace("\"p\"", "\"$CREDENTIALS_DIRECTORY/pin\"")).unwrap();
        config.resolve(Path::new("/etc"), None);
        let refused = config.keys.operator().unwrap().check_here();
        assert!(matches!(refused, Err(ConfigError::NoCredentials { .. })));
        config.resolve(Path::new("/etc"), Some(Path::new("/run/credentials/k")));
        config.keys.operator().unwrap().check_here().unwrap();
        let token = config.keys.operator_token.unwrap();
        assert_eq!(token.module, Path::new("/m.so"));
        assert_eq!(token.pin_file.unwrap(), Path::new("/run/credentials/k/pin"));
    }

    #[test]
    fn a_mistake_in_a_tokens_description_names_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.toml");
        for (text, words) in [
            ("module = \"/m.so\"\ntoken = \"t\"\nkey = 7", "invalid type"),
            ("module = \"/m.so\"\ntoken = \"t\"\nkey = \"\"", "`key` has 0 bytes"),
            ("module = \"\"\ntoken = \"t\"\nkey = \"k\"", "`module` is empty"),
        ] {
            fs::write(&path, text).unwrap();
            let error = TokenConfig::read(&path).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("operator.toml: "), "{error}");
            assert!(!error.contains("keys.operator_token"), "{error}");
        }
    }

    #[test]
    fn beyond_loopback_clients_are_served_with_a_certificate() {
        let tls = "peers = []\nlisten_clients = \"10.0.0.1:1\"\ntls = { certificate = \"c\", key = \"k\" }";
        let config = with(tls).unwrap();
        assert_eq!(config.tls, Some(TlsConfig { certificate: "c".into(), key: "k".into() }));
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for (endpoint, fits) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000/", true),
            ("http://localhost", true),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org:80", false),
            ("ftp://127.0.0.1:1", false),
        ] {
            let store = S3Config {
                bucket: "b".into(),
                region: "r".into(),
                endpoint: Some(endpoint.into()),
                credentials_file: None,
                prefix: String::new(),
            };
            assert_eq!(store.check().is_ok(), fits, "{endpoint}");
        }
    }

    /// The file that operators begin with.
    const EXAMPLE: &str = include_str!("../../../packaging/node.toml");

    #[test]
    fn the_example_says_everything_that_can_be_said() {
        NodeConfig::parse(EXAMPLE).unwrap();
        // Serde lists what it knows where it meets what it does not.
        let config = |lines: &str| format!("folder = \"n\"\ngenesis = \"g\"\npeers = []\n{lines}");
        let keys = "[keys]\nfolder = \"k\"\n";
        let s3 = "custody = { s3 = { bucket = \"b\", region = \"r\", colour = 1 } }\n";
        let cases = [
            (config(&["colour = 1\n", keys].concat()), 10),
            (config(&[keys, "colour = 1\n"].concat()), 3),
            (config(&[keys, "operator_token = { colour = 1 }\n"].concat()), 4),
            (config(&["tls = { colour = 1 }\n", keys].concat()), 2),
            (config(&["custody = { colour = 1 }\n", keys].concat()), 2),
            (config(&[s3, keys].concat()), 5),
            (config(&["traces = { colour = 1 }\n", keys].concat()), 3),
            (config(&["custody_limits = { colour = 1 }\n", keys].concat()), 3),
            (config(keys).replace("peers = []", "peers = [{ colour = 1 }]"), 2),
        ];
        for (text, least) in cases {
            let error = NodeConfig::parse(&text).expect_err(&text).to_string();
            let known: Vec<_> =
                error.split('`').skip(1).step_by(2).filter(|it| *it != "colour").collect();
            assert!(least <= known.len(), "{error}");
            for name in known.into_iter().filter(|it| {
                it.chars().all(|it| it == '_' || it.is_ascii_lowercase() || it.is_ascii_digit())
            }) {
                let is_said = EXAMPLE.contains(&format!("{name} = "))
                    || EXAMPLE.contains(&format!("[{name}]"));
                assert!(is_said, "nothing of {name}");
            }
        }
        // What is commented out is right as well, and the defaults are those of the program.
        let all: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(set) if is_setting(set) => format!("{set}\n"),
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        let all = all.replace("folder = \"/srv/keepwell/objects\"\n", "");
        assert!(matches!(NodeConfig::parse(&all), Err(ConfigError::TwoLocks)));
        let all: Vec<_> = all.lines().filter(|it| !it.starts_with("operator_file")).collect();
        let all = NodeConfig::parse(&all.join("\n")).unwrap();
        assert!(all.keys.operator_token.is_some_and(|it| it.pin_file.is_some()));
        let least = with("peers = []").unwrap();
        assert_eq!(all.custody_limits, least.custody_limits);
        assert_eq!(
            (all.listen_peers, all.listen_clients),
            (least.listen_peers, least.listen_clients)
        );
        assert_eq!(all.leader_timeout_ms, least.leader_timeout_ms);
        assert_eq!(all.certification_timeout_ms, least.certification_timeout_ms);
        let traces = all.traces.unwrap();
        let endpoint = &traces.endpoint;
        let least = with(&format!("peers = []\ntraces = {{ endpoint = {endpoint:?} }}")).unwrap();
        assert_eq!(Some(traces), least.traces);
        assert!(matches!(all.custody, CustodyConfig::S3(_)) && all.tls.is_some());
    }

    /// Whether a line of a comment is one of TOML.
    fn is_setting(line: &str) -> bool {
        let name =
            |it: &str| it.chars().all(|it| it == '_' || it == '3' || it.is_ascii_lowercase());
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(before, _)| name(before))
    }

    #[test]
    fn credentials_are_where_systemd_put_them_and_missed_when_they_are_opened() {
        let mut config = with(
            "peers = []\ntls = { certificate = \"c\", key = \"$CREDENTIALS_DIRECTORY/tls\" }\n\
             custody = { s3 = { bucket = \"b\", region = \"r\", credentials_file = \"$CREDENTIALS_DIRECTORY/s3\" } }",
        )
        .unwrap();
        let written = PathBuf::from("$CREDENTIALS_DIRECTORY/operator");
        config.keys.operator_file = Some(written.clone());
        config.resolve(Path::new("/etc"), None);
        assert_eq!(config.keys.folder, Path::new("/etc/k"));
        let none = config.keys.operator().unwrap().check_here();
        assert!(matches!(none, Err(ConfigError::NoCredentials { path }) if path == written));
        assert!(config.check_here().is_err());
        config.tls = None;
        assert!(config.check_here().is_err());
        config.resolve(Path::new("/etc"), Some(Path::new("/run/credentials/k")));
        config.check_here().unwrap();
        assert_eq!(config.keys.operator_file.unwrap(), Path::new("/run/credentials/k/operator"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        fs::write(&path, "folder = \"n\"\ngenesis = \"/g\"\npeers = []\n[keys]\nfolder = \"k\"\n")
            .unwrap();
        let config = NodeConfig::read(&path).unwrap();
        assert_eq!(config.folder, folder.path().join("n"));
        assert_eq!(config.genesis, Path::new("/g"));
        let missing = NodeConfig::read(&folder.path().join("none.toml"));
        assert!(matches!(missing, Err(ConfigError::Unreadable { .. })));
    }
}
