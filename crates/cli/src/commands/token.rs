//! `keepwell token`: keys in PKCS#11 tokens that unlock key files.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_node::{
    config::{Operator, TokenConfig, credentials},
    token::{make_key, operator_key},
};
use serde_json::json;

use crate::{
    failure::Failure,
    founding::write_durably,
    lock::{line, pin},
    output::Output,
};

/// Make a key in a PKCS#11 token that unlocks a node's keys, or try one
///
/// The token makes the operator's key out of a secret that it never gives away: a copy of the disk opens nothing
/// without it. docs/operations/token.md says what that protects from, and what not.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell token new --module /usr/lib/softhsm/libsofthsm2.so --token hospital --key keepwell \\
      --pin-file /run/pin --to operator.toml
  keepwell relock --config /etc/keepwell/node.toml --to-operator-token operator.toml
  keepwell token check --module /usr/lib/softhsm/libsofthsm2.so --token hospital --key keepwell")]
pub(crate) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key that its token never gives away
    ///
    /// Nothing that the token has already is changed. Whoever loses the token loses what only its key unlocks: see
    /// first how a second token gets a copy, or keep the node's keys under another lock elsewhere too.
    New {
        #[command(flatten)]
        named: Named,
        /// Where the token is described for --operator-token
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// See whether the PIN is right and the key serves
    ///
    /// A right PIN also ends the doubt after a wrong one, which nodes wait for. A wrong one counts as a try.
    Check {
        #[command(flatten)]
        named: Named,
    },
}

/// A key in a token
#[derive(Args)]
struct Named {
    /// The library with which the token's own software speaks PKCS#11
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// The token's label
    #[arg(long, value_name = "LABEL")]
    token: String,
    /// The key's label
    #[arg(long, value_name = "LABEL")]
    key: String,
    /// A file with the PIN; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

impl Named {
    /// The same, by whole paths.
    fn config(self) -> Result<TokenConfig, Failure> {
        let Self { module, token, key, pin_file } = self;
        let mut config = TokenConfig { module, token, key, pin_file };
        config.check()?;
        let here = std::env::current_dir().map_err(Failure::at("."))?;
        config.resolve(&here, credentials().as_deref());
        Operator::Token(config.clone()).check_here()?;
        Ok(config)
    }
}

impl Token {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::New { named, to } => {
                let config = named.config()?;
                to.as_deref().map_or(Ok(()), check_free)?;
                make_key(&config, &pin(&config)?.by_hand())?;
                if let Some(path) = &to {
                    describe(&config, path)?;
                }
                report("is made, and never leaves it", &config, output);
            }
            What::Check { named } => {
                let config = named.config()?;
                operator_key(&config, &pin(&config)?.by_hand())?;
                report("serves", &config, output);
            }
        }
        Ok(())
    }
}

/// Sees that a description can be put there: a key that is made is not made again.
fn check_free(path: &Path) -> Result<(), Failure> {
    match File::create_new(path) {
        Ok(_) => fs::remove_file(path).map_err(Failure::at(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::Misused(format!("{} is there already; name another file", path.display())))
        }
        Err(error) => Err(Failure::at(path)(error)),
    }
}

fn describe(config: &TokenConfig, path: &Path) -> Result<(), Failure> {
    let text = toml::to_string(&config.clone().lasting()).expect("a token's name is plain TOML");
    write_durably(path, text.as_bytes()).map_err(|error| {
        Failure::Misused(format!(
            "the key is made and in the token, but {} could not be written: {error}; write it by hand:\n{text}",
            path.display()
        ))
    })
}

fn report(what: &str, config: &TokenConfig, output: &Output) {
    let TokenConfig { token, key, .. } = config;
    output.result(
        &format!(
            "The key {key:?} of the token {token:?} {what}. For node.toml, under [keys]:\n  {}",
            line(Operator::Token(config.clone()))
        ),
        &json!({ "token": token, "key": key }),
    );
}
