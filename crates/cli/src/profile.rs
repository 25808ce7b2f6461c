//! Who a command acts as: a folder with a profile, keys, and the nodes to ask.
//!
//! ```text
//! DIR/profile.toml     genesis file, what unlocks the keys, nodes, names of compartments
//! DIR/member.key       a person or device of an organisation, or
//! DIR/agent/           an organisation's key agent, or
//! DIR/wallet/          a patient
//! ```
//!
//! A profile holds no secret: keys are in their own files, encrypted.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use keepwell_client::{
    Client, Consortium,
    chart::Meanings,
    emergency::TrusteeEndpoint,
    identity::{Actor, ChartHolder, MemberIdentity, OrganisationAgent, Seeds, Unlock, Wallet},
    node::Endpoint,
};
use keepwell_crypto::keys::ChartSecret;
use keepwell_node::keys::read_operator_key;
use keepwell_types::{
    id::{ChartId, OrganisationId},
    set::CompartmentSet,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Where a passphrase is read from when nobody is there to type it.
const PASSPHRASE_FILE: &str = "KEEPWELL_PASSPHRASE_FILE";

/// Whom a command acts as
#[derive(Args, Clone, Debug)]
pub(crate) struct As {
    /// Folder of the profile to act as
    #[arg(id = "as", long = "as", value_name = "DIR", env = "KEEPWELL_AS")]
    profile: PathBuf,
}

/// What a profile says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The consortium's genesis file, from the profile's folder.
    pub(crate) genesis: PathBuf,
    /// A file of 32 bytes that unlocks the keys; without it a passphrase does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator_file: Option<PathBuf>,
    /// The nodes that are asked, in this order.
    pub(crate) nodes: Vec<Node>,
    /// Where trustees are reached, for emergencies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trustees: Vec<Trustee>,
}

/// A trustee that can be asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trustee {
    /// Which, counted from 1 in the order of the genesis file.
    pub(crate) trustee: u16,
    /// Where it is reached.
    pub(crate) url: String,
}

/// A node that can be asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Whose it is.
    pub(crate) organisation: OrganisationId,
    /// Where it is reached.
    pub(crate) url: String,
}

impl Profile {
    /// Reads the profile in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("profile.toml");
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        toml::from_str(&text).map_err(|error| Failure::Profile { path, reason: error.to_string() })
    }

    /// Writes it into `folder`, which is created if it is missing.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
        let path = folder.join("profile.toml");
        let text = toml::to_string(self).expect("a profile is plain TOML");
        fs::write(&path, text).map_err(Failure::at(path))
    }

    fn consortium(&self, folder: &Path) -> Result<Consortium, Failure> {
        let path = folder.join(&self.genesis);
        Ok(Consortium::read(&fs::read(&path).map_err(Failure::at(path))?)?)
    }

    fn unlock(&self, folder: &Path) -> Result<Unlock, Failure> {
        match &self.operator_file {
            Some(file) => read_operator(&folder.join(file)),
            None => passphrase().map(Unlock::Passphrase),
        }
    }
}

/// A passphrase: from this file, or as [`passphrase`] asks for it.
pub(crate) fn passphrase_of(file: Option<&Path>) -> Result<Unlock, Failure> {
    let Some(path) = file else { return passphrase().map(Unlock::Passphrase) };
    let text = Zeroizing::new(fs::read_to_string(path).map_err(Failure::at(path))?);
    let text = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    Ok(Unlock::Passphrase(text))
}

/// A passphrase that something is locked with from now on: typed twice, since a slip would lock it for good.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Unlock, Failure> {
    let first = passphrase_of(file)?;
    let is_typed = file.is_none() && std::env::var_os(PASSPHRASE_FILE).is_none();
    let Unlock::Passphrase(typed) = &first else { return Ok(first) };
    if is_typed && *typed != passphrase()? {
        return Err(Failure::Misused("the two passphrases differ; type the same one twice".into()));
    }
    Ok(first)
}

/// Reads an operator's key.
pub(crate) fn read_operator(path: &Path) -> Result<Unlock, Failure> {
    Ok(Unlock::OperatorKey(read_operator_key(path)?))
}

/// A passphrase: from the file that the environment names, or typed without echo.
pub(crate) fn passphrase() -> Result<Zeroizing<String>, Failure> {
    if let Some(path) = std::env::var_os(PASSPHRASE_FILE) {
        let text = Zeroizing::new(fs::read_to_string(&path).map_err(Failure::at(&path))?);
        return Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    rpassword::prompt_password("Passphrase: ")
        .map(Zeroizing::new)
        .map_err(Failure::at("the terminal (or name a file in KEEPWELL_PASSPHRASE_FILE)"))
}

/// The keys of whom a command acts as.
#[derive(Debug)]
pub(crate) enum Identity {
    /// A member.
    Member(MemberIdentity),
    /// A key agent, with the charts that it holds.
    Agent(Box<OrganisationAgent>),
    /// A patient.
    Wallet(Box<Wallet>),
}

impl Identity {
    /// Opens the keys in `folder`.
    pub(crate) fn open(folder: &Path, unlock: &Unlock) -> Result<Self, Failure> {
        let (member, agent, wallet) =
            (folder.join("member.key"), folder.join("agent"), folder.join("wallet"));
        if member.exists() {
            Ok(Self::Member(MemberIdentity::open(&member, unlock)?))
        } else if agent.exists() {
            Ok(Self::Agent(OrganisationAgent::open(&agent, unlock)?.into()))
        } else if wallet.exists() {
            Ok(Self::Wallet(Wallet::open(&wallet, unlock)?.into()))
        } else {
            let reason = "it holds no member.key, agent or wallet; name another folder, or make one with `keepwell wallet new`".into();
            Err(Failure::Profile { path: folder.to_path_buf(), reason })
        }
    }
}

/// A command's identity, and a client that asks for it.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
}

impl As {
    /// Reads the profile, opens the keys, and gets ready to ask.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        Session::open(&self.profile)
    }
}

impl Session {
    /// Reads the profile in `folder`, opens its keys, and gets ready to ask.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let profile = Profile::read(folder)?;
        let consortium = Arc::new(profile.consortium(folder)?);
        let identity = Identity::open(folder, &profile.unlock(folder)?)?;
        let seen = match &identity {
            Identity::Member(_) => None,
            Identity::Agent(agent) => agent.tip(),
            Identity::Wallet(wallet) => wallet.tip(),
        };
        let endpoints = profile
            .nodes
            .into_iter()
            .map(|node| Endpoint { organisation: node.organisation, url: node.url })
            .collect();
        let trustees = profile
            .trustees
            .into_iter()
            .map(|it| TrusteeEndpoint { trustee: it.trustee, url: it.url })
            .collect();
        let client = Client::new(consortium, endpoints, seen)?.with_trustees(trustees)?;
        Ok(Self { client, identity })
    }

    /// Signs for this chart: as its controller where the keys are here, else as the member.
    pub(crate) fn actor(&self, chart: ChartId) -> Result<Actor, Failure> {
        match &self.identity {
            Identity::Member(member) => Ok(member.actor()),
            Identity::Agent(agent) => Ok(agent.identity().actor()),
            Identity::Wallet(wallet) => Ok(wallet.holder(chart)?.actor()),
        }
    }

    /// The keys with which this profile acts in another's chart, as guardian or proxy.
    pub(crate) fn delegate(&self, chart: ChartId) -> ChartSecret {
        match &self.identity {
            Identity::Member(member) => member.delegate(chart),
            Identity::Agent(agent) => agent.identity().delegate(chart),
            Identity::Wallet(wallet) => wallet.delegate(chart),
        }
    }

    /// The member that signs, for what a patient cannot do.
    pub(crate) fn member(&self) -> Result<&MemberIdentity, Failure> {
        match &self.identity {
            Identity::Member(member) => Ok(member),
            Identity::Agent(agent) => Ok(agent.identity()),
            Identity::Wallet(_) => {
                Err(Failure::Misused("this needs a member's profile, and this is a wallet".into()))
            }
        }
    }

    /// The keys of a chart's controller.
    pub(crate) fn holder(&self, chart: ChartId) -> Result<ChartHolder, Failure> {
        match &self.identity {
            Identity::Wallet(wallet) => Ok(wallet.holder(chart)?),
            Identity::Agent(agent) => Ok(agent.holder(chart)?),
            Identity::Member(_) => Err(Failure::Misused(
                "this needs the keys of the chart: act as the patient's wallet, or as the key agent that opened the chart".into(),
            )),
        }
    }

    /// What the compartments of a chart are for, where that is known here.
    pub(crate) fn meanings(&self, chart: ChartId) -> Option<&Meanings> {
        match &self.identity {
            Identity::Wallet(wallet) => wallet.chart(chart).ok().map(|it| it.meanings()),
            Identity::Agent(agent) => agent.chart(chart).ok().map(|it| it.meanings()),
            Identity::Member(_) => None,
        }
    }

    /// The epoch seeds of compartments that a controller has.
    pub(crate) async fn own_seeds(
        &self,
        chart: ChartId,
        compartments: CompartmentSet,
    ) -> Result<Seeds, Failure> {
        let holder = self.holder(chart)?;
        let entry = self.client.chart(&holder.actor(), chart).await?;
        Ok(holder.seeds(&entry, compartments))
    }

    /// Remembers how far the ledger was seen, so that no node can show less next time.
    pub(crate) fn remember(&mut self) -> Result<(), Failure> {
        let seen = self.client.seen();
        match &mut self.identity {
            Identity::Member(_) => Ok(()),
            Identity::Agent(agent) => {
                agent.note_tip(seen);
                Ok(agent.save()?)
            }
            Identity::Wallet(wallet) => {
                wallet.note_tip(seen);
                Ok(wallet.save()?)
            }
        }
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
            assert_eq!(read_operator(&path).is_ok(), fits, "{len} {mode:o}");
        }
    }
}
