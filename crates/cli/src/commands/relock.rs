//! `keepwell relock`: another lock for key files.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_node::{
    config::{NodeConfig, Operator},
    folder::Folder,
    keys::{Relocked, Unlock, relock},
    random::rng,
    run::NodeError,
};
use serde_json::json;

use crate::{
    commands::node::key_files,
    failure::Failure,
    lock::{Lock, fields, line, named, of_node, unlock},
    output::Output,
    profile::{AGENT, Profile, WALLET, next_passphrase},
};

/// Lock the key files of a node, of a profile or of a trustee anew
///
/// The keys stay as they are; what unlocks them changes: an operator's file, a key in a PKCS#11 token or, if neither is
/// named, a passphrase. Older copies of the files, and what a disk keeps of them, open with the lock before: destroy
/// that too. A node must not run meanwhile. What was cut off is done again by the same command. The files stay with the
/// user that they belong to.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell relock --config /etc/keepwell/node.toml --to-operator-token operator.toml
  keepwell relock --config /etc/keepwell/node.toml --to-operator-file /mnt/key/operator
  keepwell relock --as ./hospital-administrator --to-operator-token operator.toml
  keepwell relock --trustee ./trustee --operator-file /mnt/key/operator \\
      --to-operator-token operator.toml")]
pub(crate) struct Relock {
    #[command(flatten)]
    whose: Whose,
    /// The file of 32 random bytes that unlocks them from now on
    #[arg(long, value_name = "FILE")]
    to_operator_file: Option<PathBuf>,
    /// The file that names the key in a PKCS#11 token that does, as `keepwell token new` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "to_operator_file")]
    to_operator_token: Option<PathBuf>,
    /// A file with the passphrase that does; without any of the three, a new passphrase is asked for
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to_operator_file", "to_operator_token"])]
    to_passphrase_file: Option<PathBuf>,
    #[command(flatten, next_help_heading = "What unlocks a trustee's keys until now")]
    before: Lock,
}

/// Whose key files
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// Of the node with this configuration, which says what unlocks them now
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of the profile in this folder
    #[arg(id = "as", long = "as", value_name = "DIR")]
    profile: Option<PathBuf>,
    /// Of the trustee in this folder
    #[arg(long, value_name = "DIR")]
    trustee: Option<PathBuf>,
}

impl Relock {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let operator = named(self.to_operator_file.as_deref(), self.to_operator_token.as_deref())?;
        let to = To { operator, passphrase_file: self.to_passphrase_file };
        let Whose { config, profile, trustee } = self.whose;
        if let Some(folder) = trustee {
            return of_a_trustee(&folder, &self.before, &to, output);
        }
        if self.before.is_named() {
            return Err(Failure::Misused(
                "--operator-file and --operator-token are for --trustee; a node's configuration and a profile say what unlocks their keys now".into(),
            ));
        }
        match (config, profile) {
            (Some(config), _) => of_a_node(&config, to, output),
            (None, Some(folder)) => of_a_profile(&folder, to, output),
            (None, None) => unreachable!("the arguments name one of the three"),
        }
    }
}

/// What unlocks the files from now on: a passphrase where no operator's key does.
struct To {
    operator: Option<Operator>,
    passphrase_file: Option<PathBuf>,
}

impl To {
    /// The variable that names the passphrase's file is of the one before.
    fn lock(&self) -> Result<Unlock, Failure> {
        let lock = match &self.operator {
            Some(operator) => unlock(operator)?,
            None => next_passphrase(self.passphrase_file.as_deref())?,
        };
        Ok(of_node(&lock))
    }
}

fn of_a_node(path: &Path, to: To, output: &Output) -> Result<(), Failure> {
    let config = NodeConfig::read(path)?;
    // A node that ran would lock its next shares as before.
    let held = config.folder.exists().then(|| Folder::open(&config.folder)).transpose();
    let _held = held.map_err(NodeError::from)?;
    let files = key_files(&config)?;
    let done = files.relock(&mut rng(), &to.lock()?)?;
    let line = to.operator.map_or_else(
        || "# neither operator_file nor operator_token: a passphrase unlocks them".to_owned(),
        line,
    );
    output.result(
        &format!(
            "{}. In {}, under [keys], this takes the place of what was there:\n  {line}",
            said(done, &config.keys.folder),
            path.display()
        ),
        &json!({ "locked": done.locked, "already": done.already, "setting": line }),
    );
    Ok(())
}

fn of_a_profile(folder: &Path, to: To, output: &Output) -> Result<(), Failure> {
    let _held = hold(folder)?;
    let mut profile = Profile::read(folder)?;
    let (before, after) = (of_node(&profile.unlock(folder)?), to.lock()?);
    let folders = [folder.to_path_buf(), folder.join(AGENT), folder.join(WALLET)];
    let folders: Vec<_> = folders.into_iter().filter(|it| it.is_dir()).collect();
    let done = relock(&mut rng(), &folders, (&before, &after))?;
    (profile.operator_file, profile.operator_token) = fields(to.operator);
    profile.write(folder)?;
    output.result(
        &format!("{}.", said(done, folder)),
        &json!({ "locked": done.locked, "already": done.already }),
    );
    Ok(())
}

/// Nothing that a trustee has says what unlocks its keys: whoever runs it does.
fn of_a_trustee(folder: &Path, before: &Lock, to: &To, output: &Output) -> Result<(), Failure> {
    let _held = hold(folder)?;
    let (before, after) = (of_node(&before.open()?), to.lock()?);
    let done = relock(&mut rng(), &[folder.to_path_buf()], (&before, &after))?;
    output.result(
        &format!("{}. Name what unlocks them now to `keepwell trustee run`.", said(done, folder)),
        &json!({ "locked": done.locked, "already": done.already }),
    );
    Ok(())
}

/// Holds a profile: of two that lock it anew at once, the profile would name the lock of one and the files have the
/// other's.
fn hold(folder: &Path) -> Result<File, Failure> {
    let held = File::open(folder).map_err(Failure::at(folder))?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(Failure::Misused(format!(
            "another command locks the keys in {} anew; wait for its end",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::at(folder)(error)),
    }
}

fn said(Relocked { locked, already }: Relocked, folder: &Path) -> String {
    let already = match already {
        0 => String::new(),
        already => format!("; {already} were so already"),
    };
    format!("{locked} key files in {} are locked anew{already}", folder.display())
}
