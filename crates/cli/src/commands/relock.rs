//! `keepwell relock`: another lock for key files.

use std::path::{Path, PathBuf};

use clap::Args;
use keepwell_node::{
    config::{NodeConfig, Operator},
    folder::Folder,
    keys::{KeyFiles, Unlock},
    random::rng,
    run::NodeError,
};
use serde_json::json;

use crate::{
    commands::node::key_files,
    failure::Failure,
    lock::{fields, line, named, new_unlock, of_node},
    output::Output,
    profile::{AGENT, Profile, WALLET},
};

/// Lock the key files of a node, or of a profile, anew
///
/// The keys stay as they are; what unlocks them changes: an operator's file, a key in a PKCS#11 token or, if neither is
/// named, a passphrase. Older copies of the files, and what a disk keeps of them, open with the lock before: destroy
/// that too. A node must not run meanwhile. What was cut off is done again by the same command. The files stay with the
/// user that they belong to.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell relock --config /etc/keepwell/node.toml --to-operator-token operator.toml
  keepwell relock --config /etc/keepwell/node.toml --to-operator-file /mnt/key/operator
  keepwell relock --as ./hospital-administrator --to-operator-token operator.toml")]
pub(crate) struct Relock {
    #[command(flatten)]
    whose: Whose,
    /// The file of 32 random bytes that unlocks them from now on
    #[arg(long, value_name = "FILE")]
    to_operator_file: Option<PathBuf>,
    /// The file that names the key in a PKCS#11 token that does, as `keepwell token new` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "to_operator_file")]
    to_operator_token: Option<PathBuf>,
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
}

impl Relock {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let to = named(self.to_operator_file.as_deref(), self.to_operator_token.as_deref())?;
        match (self.whose.config, self.whose.profile) {
            (Some(config), _) => of_a_node(&config, to.as_ref(), output),
            (None, Some(folder)) => of_a_profile(&folder, to, output),
            (None, None) => unreachable!("the arguments name one of the two"),
        }
    }
}

fn of_a_node(path: &Path, to: Option<&Operator>, output: &Output) -> Result<(), Failure> {
    let config = NodeConfig::read(path)?;
    // A node that ran would lock its next shares as before.
    let held = config.folder.exists().then(|| Folder::open(&config.folder)).transpose();
    let _held = held.map_err(NodeError::from)?;
    let files = key_files(&config)?;
    let count = files.relock(&mut rng(), &of_node(&new_unlock(to)?))?;
    let line = to.map_or_else(
        || "# neither operator_file nor operator_token: a passphrase unlocks them".to_owned(),
        |it| line(it.clone()),
    );
    output.result(
        &format!(
            "{count} key files in {} are locked anew. In {}, under [keys], this takes the place of what was there:\n  {line}",
            config.keys.folder.display(),
            path.display()
        ),
        &json!({ "files": count, "setting": line }),
    );
    Ok(())
}

fn of_a_profile(folder: &Path, to: Option<Operator>, output: &Output) -> Result<(), Failure> {
    let mut profile = Profile::read(folder)?;
    let (before, after) = (profile.unlock(folder)?, of_node(&new_unlock(to.as_ref())?));
    let folders = [folder.to_path_buf(), folder.join(AGENT), folder.join(WALLET)];
    let mut count = 0;
    for folder in folders.into_iter().filter(|it| it.is_dir()) {
        count += relock(folder, of_node(&before), &after)?;
    }
    (profile.operator_file, profile.operator_token) = fields(to);
    profile.write(folder)?;
    output.result(
        &format!("{count} key files of {} are locked anew.", folder.display()),
        &json!({ "files": count }),
    );
    Ok(())
}

fn relock(folder: PathBuf, before: Unlock, after: &Unlock) -> Result<usize, Failure> {
    Ok(KeyFiles::new(folder, before).relock(&mut rng(), after)?)
}
