//! What locks keys, as command lines, profiles and configurations name it: an operator's key out of a file or of a
//! PKCS#11 token, or a passphrase.
//!
//! Not here: asking for passphrases (`crate::profile`), and tokens themselves (`keepwell_node::token`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_client::identity::Unlock;
use keepwell_node::{
    config::{Operator, TokenConfig, credentials},
    keys::{Unlock as NodeUnlock, read_operator_key},
    token::{Pin, operator_key},
};
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    profile::{new_passphrase, passphrase},
};

/// What unlocks keys
#[derive(Args, Clone, Debug)]
pub(crate) struct Lock {
    /// A file of 32 random bytes that unlocks the keys; without it, and without a token, a passphrase does
    #[arg(long, value_name = "FILE")]
    operator_file: Option<PathBuf>,
    /// A file that names a key in a PKCS#11 token which unlocks the keys, as `keepwell token new` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "operator_file")]
    operator_token: Option<PathBuf>,
}

impl Lock {
    /// Whether anything but a passphrase was named.
    pub(crate) const fn is_named(&self) -> bool {
        self.operator_file.is_some() || self.operator_token.is_some()
    }

    /// What was named, by whole paths; nothing for a passphrase.
    pub(crate) fn operator(&self) -> Result<Option<Operator>, Failure> {
        named(self.operator_file.as_deref(), self.operator_token.as_deref())
    }

    /// Unlocks what is there.
    pub(crate) fn open(&self) -> Result<Unlock, Failure> {
        match self.operator()? {
            Some(operator) => unlock(&operator),
            None => passphrase().map(Unlock::Passphrase),
        }
    }

    /// Locks what is new.
    pub(crate) fn make(&self) -> Result<Unlock, Failure> {
        new_unlock(self.operator()?.as_ref())
    }
}

/// A file, or what a file says of a token, by whole paths.
pub(crate) fn named(
    file: Option<&Path>,
    token: Option<&Path>,
) -> Result<Option<Operator>, Failure> {
    if let Some(path) = token {
        let mut token = TokenConfig::read(path)?;
        let here = std::env::current_dir().map_err(Failure::at("."))?;
        token.resolve(&here, credentials().as_deref());
        return Ok(Some(Operator::Token(token)));
    }
    let whole = |path: &Path| fs::canonicalize(path).map_err(Failure::at(path));
    Ok(file.map(whole).transpose()?.map(Operator::File))
}

/// The operator's key. Nobody is asked for anything but a PIN that is in no file.
pub(crate) fn unlock(operator: &Operator) -> Result<Unlock, Failure> {
    operator.check_here()?;
    Ok(Unlock::OperatorKey(match operator {
        Operator::File(path) => read_operator_key(path)?,
        Operator::Token(token) => operator_key(token, &pin(token)?)?,
    }))
}

/// What new keys are locked with: an operator's key, or a passphrase.
pub(crate) fn new_unlock(operator: Option<&Operator>) -> Result<Unlock, Failure> {
    match operator {
        Some(operator) => unlock(operator),
        None => new_passphrase(None),
    }
}

/// A token's PIN: from its file, or typed without echo.
pub(crate) fn pin(token: &TokenConfig) -> Result<Pin, Failure> {
    if let Some(path) = &token.pin_file {
        return Ok(Pin::read(path)?);
    }
    let typed = rpassword::prompt_password(format!("PIN of the token {:?}: ", token.token));
    let typed = typed.map(Zeroizing::new);
    Ok(Pin::typed(&typed.map_err(Failure::at("the terminal (or name the PIN's file)"))?))
}

/// As profiles and configurations have it: one of the two, or neither.
pub(crate) fn fields(operator: Option<Operator>) -> (Option<PathBuf>, Option<TokenConfig>) {
    match operator.map(Operator::lasting) {
        Some(Operator::File(path)) => (Some(path), None),
        Some(Operator::Token(token)) => (None, Some(token)),
        None => (None, None),
    }
}

/// What unlocks keys, as a line of a configuration.
pub(crate) fn line(operator: Operator) -> String {
    match operator.lasting() {
        Operator::File(path) => format!("operator_file = {path:?}"),
        Operator::Token(token) => {
            let value = toml::Value::try_from(token).expect("a token's name is plain TOML");
            format!("operator_token = {value}")
        }
    }
}

/// The node's locks have a type of their own.
pub(crate) fn of_node(unlock: &Unlock) -> NodeUnlock {
    match unlock {
        Unlock::Passphrase(it) => NodeUnlock::Passphrase(it.clone()),
        Unlock::OperatorKey(it) => NodeUnlock::Operator(it.clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_operators_key_is_for_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("operator.key");
        for (len, mode, fits) in [(32, 0o600, true), (32, 0o644, false), (33, 0o600, false)] {
            fs::write(&path, vec![7; len]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let unlocked = unlock(&Operator::File(path.clone()));
            assert_eq!(unlocked.is_ok(), fits, "{len} {mode:o}");
        }
    }
}
