//! Why a command failed: each message says what to do next.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    process::ExitCode,
};

use keepwell_client::{
    ClientError,
    consortium::GenesisError,
    error::{KeyError, LedgerError, UsageError},
    identity::FileError,
    tls::KeyFault,
};
use keepwell_crypto::ceremony::CeremonyFault;
use keepwell_gateway::{FollowError, auth::ClientKeyError, index::IndexError};
use keepwell_merkle::{anchor::DocumentError, receipt::ReceiptError};
use keepwell_node::{
    config::ConfigError, genesis::FoundError, keys::KeysError, run::NodeError, tls::TlsError,
    token::TokenError, traces::TracesError,
};
use thiserror::Error;

use crate::bench::BenchError;

/// A command that failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Found(#[from] FoundError),
    #[error(transparent)]
    Ceremony(#[from] CeremonyFault),
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Traces(#[from] TracesError),
    #[error(transparent)]
    Certificate(#[from] KeyFault),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error(transparent)]
    ClientKey(#[from] ClientKeyError),
    /// A file or folder of the user's.
    #[error("{path}: {source}; {}", advice(.source))]
    Path { path: PathBuf, source: io::Error },
    /// A profile that cannot be read.
    #[error("the profile {path} cannot be used: {reason}")]
    Profile { path: PathBuf, reason: String },
    /// What was asked does not fit who asks.
    #[error("{0}")]
    Misused(String),
    /// Custodians that do not have what they store, or have what they erased.
    #[error("{faults} of {asked} answers are not as they must be; see above for each")]
    Custodians { faults: usize, asked: usize },
    /// A step of the tour did not do what it says.
    #[error("the tour failed at step {step}: {reason}")]
    Tour { step: usize, reason: String },
}

/// What a person does about what the system said of a path.
fn advice(error: &io::Error) -> &'static str {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the system's errors are many, and not ours")]
    match error.kind() {
        ErrorKind::NotFound => "check the path",
        ErrorKind::PermissionDenied => "give this user access to it (chown, chmod)",
        ErrorKind::ReadOnlyFilesystem => "mount it for writing, or name another place",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room, then try again",
        ErrorKind::IsADirectory => "name a file",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "name a folder, or a new one",
        ErrorKind::InvalidData => "is it the right file?",
        _ => "try again, or name another one",
    }
}

/// What a node ends with whose program is too old: starting it again changes nothing.
const OUTDATED: u8 = 3;
/// What a program ends with that was given a PIN which is wrong, or may be: starting it again may lock the token.
const WRONG_PIN: u8 = 4;

impl Failure {
    /// What the program ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if let Self::Node(NodeError::Outdated(_)) = self {
            return OUTDATED.into();
        }
        if let Self::Token(fault) = self
            && fault.is_of_the_pin()
        {
            return WRONG_PIN.into();
        }
        ExitCode::FAILURE
    }

    /// Names the file that an error is about.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Path { path: path.into(), source }
    }
}
