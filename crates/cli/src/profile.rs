//! Who a command acts as: a folder with a profile, keys, and the nodes to ask.
//!
//! ```text
//! DIR/profile.toml     genesis file, what unlocks the keys, nodes, names of compartments
//! DIR/member.key       a person or device of an organisation, or
//! DIR/agent/           an organisation's key agent, or
//! DIR/wallet/          a patient, or
//! DIR/administrator.key    who speaks for an organisation
//! ```
//!
//! A profile holds no secret: keys are in their own files, encrypted.

use std::{
    env, fs,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use keepwell_client::{
    Client, Consortium,
    chart::Meanings,
    emergency::TrusteeEndpoint,
    identity::{
        Actor, AdministratorIdentity, ChartHolder, MemberIdentity, OrganisationAgent, Seeds,
        Unlock, Wallet,
    },
    node::Endpoint,
    verify::TipSeen,
};
use keepwell_crypto::keys::ChartSecret;
use keepwell_node::config::{KeysConfig, Operator, TokenConfig, credentials};
use keepwell_types::{
    id::{ChartId, OrganisationId},
    set::CompartmentSet,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{failure::Failure, founding::write_durably, lock};

/// Where a passphrase is read from when nobody is there to type it.
pub(crate) const PASSPHRASE_FILE: &str = "KEEPWELL_PASSPHRASE_FILE";

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
    /// A file of 32 bytes that unlocks the keys; without it, and without a token, a passphrase does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator_file: Option<PathBuf>,
    /// A key in a PKCS#11 token that does, instead of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator_token: Option<TokenConfig>,
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
        let path = folder.join(PROFILE);
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        toml::from_str(&text).map_err(|error| Failure::Profile { path, reason: error.to_string() })
    }

    /// Writes it into `folder`, which is created if it is missing: whole or not at all, since it says what unlocks the keys.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Failure> {
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
        let path = folder.join(PROFILE);
        let text = toml::to_string(self).expect("a profile is plain TOML");
        write_durably(&path, text.as_bytes()).map_err(Failure::at(path))
    }

    /// A profile with the genesis file and nodes of another.
    pub(crate) fn like(like: &Path, operator: Option<Operator>) -> Result<Self, Failure> {
        let mut profile = Self::read(like)?;
        let genesis = like.join(&profile.genesis);
        profile.genesis = fs::canonicalize(&genesis).map_err(Failure::at(genesis))?;
        (profile.operator_file, profile.operator_token) = lock::fields(operator);
        Ok(profile)
    }

    /// The same, for another folder.
    pub(crate) fn moved(&self, folder: &Path) -> Result<Self, Failure> {
        Self::like(folder, self.operator(folder)?)
    }

    /// What unlocks the keys, by whole paths; nothing for a passphrase.
    pub(crate) fn operator(&self, folder: &Path) -> Result<Option<Operator>, Failure> {
        // It may be there only once there are keys in it.
        let base = path::absolute(folder).map_err(Failure::at(folder))?;
        let (operator_file, operator_token) =
            (self.operator_file.clone(), self.operator_token.clone());
        let mut keys = KeysConfig { folder: base.clone(), operator_file, operator_token };
        keys.check().map_err(|error| Failure::Profile {
            path: folder.join(PROFILE),
            reason: error.to_string(),
        })?;
        keys.resolve(&base, credentials().as_deref());
        Ok(keys.operator())
    }

    pub(crate) fn consortium(&self, folder: &Path) -> Result<Consortium, Failure> {
        let path = folder.join(&self.genesis);
        Ok(Consortium::read(&fs::read(&path).map_err(Failure::at(path))?)?)
    }

    /// Whoever asks the profile's nodes and trustees, having seen the ledger so far.
    fn client(&self, folder: &Path, seen: Option<TipSeen>) -> Result<Client, Failure> {
        let consortium = Arc::new(self.consortium(folder)?);
        let endpoint = |it: &Node| Endpoint { organisation: it.organisation, url: it.url.clone() };
        let trustee = |it: &Trustee| TrusteeEndpoint { trustee: it.trustee, url: it.url.clone() };
        let client = Client::new(consortium, self.nodes.iter().map(endpoint).collect(), seen)?;
        let client = client.remembering(folder.join(HANDOVERS))?;
        Ok(client.with_trustees(self.trustees.iter().map(trustee).collect())?)
    }

    pub(crate) fn unlock(&self, folder: &Path) -> Result<Unlock, Failure> {
        match self.operator(folder)? {
            Some(operator) => lock::unlock(&operator),
            None => passphrase().map(Unlock::Passphrase),
        }
    }
}

/// A passphrase: from this file, or as [`passphrase`] asks for it.
pub(crate) fn passphrase_of(file: Option<&Path>) -> Result<Unlock, Failure> {
    file.map_or_else(passphrase, read_passphrase).map(Unlock::Passphrase)
}

/// A passphrase that something is locked with from now on: typed twice, since a slip would lock it for good.
pub(crate) fn new_passphrase(file: Option<&Path>) -> Result<Unlock, Failure> {
    let named = env::var_os(PASSPHRASE_FILE).map(PathBuf::from);
    match file.or(named.as_deref()) {
        Some(path) => read_passphrase(path).map(Unlock::Passphrase),
        None => twice(["Passphrase: ", "The same again: "], PASSPHRASE_FILE),
    }
}

/// Likewise, one that takes the place of another: it comes from nowhere where that one may come from.
pub(crate) fn next_passphrase(file: Option<&Path>) -> Result<Unlock, Failure> {
    match file {
        Some(path) => read_passphrase(path).map(Unlock::Passphrase),
        None => twice(["New passphrase: ", "New passphrase again: "], "--to-passphrase-file"),
    }
}

/// A passphrase: from the file that the environment names, or typed without echo.
pub(crate) fn passphrase() -> Result<Zeroizing<String>, Failure> {
    match env::var_os(PASSPHRASE_FILE) {
        Some(path) => read_passphrase(Path::new(&path)),
        None => typed("Passphrase: ", PASSPHRASE_FILE),
    }
}

fn read_passphrase(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(Failure::at(path))?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn twice(prompts: [&str; 2], otherwise: &str) -> Result<Unlock, Failure> {
    let [first, again] = prompts;
    let first = typed(first, otherwise)?;
    if first != typed(again, otherwise)? {
        return Err(Failure::Misused("the two passphrases differ; type the same one twice".into()));
    }
    Ok(Unlock::Passphrase(first))
}

/// What a person types without echo. `otherwise` says where a file is named.
fn typed(prompt: &str, otherwise: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(Failure::at(format!("the terminal (or name a file with {otherwise})")))
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
            (folder.join(MEMBER_KEY), folder.join(AGENT), folder.join(WALLET));
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

    /// The member that signs.
    pub(crate) fn member(&self) -> Result<&MemberIdentity, Failure> {
        match self {
            Self::Member(member) => Ok(member),
            Self::Agent(agent) => Ok(agent.identity()),
            Self::Wallet(_) => {
                Err(Failure::Misused("this needs a member's profile, and this is a wallet".into()))
            }
        }
    }
}

/// The file of a profile, in its folder.
const PROFILE: &str = "profile.toml";
/// The file of the hand-overs that were followed, in a profile.
const HANDOVERS: &str = "handovers";
/// The file of a member's key in a profile.
pub(crate) const MEMBER_KEY: &str = "member.key";
/// The folder of a key agent in a profile.
pub(crate) const AGENT: &str = "agent";
/// The folder of a wallet in a profile.
pub(crate) const WALLET: &str = "wallet";
/// The file of an administrator's key in a profile.
pub(crate) const ADMINISTRATOR_KEY: &str = "administrator.key";

/// An administrator, and a client that asks for them.
pub(crate) struct Office {
    pub(crate) client: Client,
    pub(crate) administrator: AdministratorIdentity,
}

impl Office {
    /// Whether the profile in `folder` is an administrator's.
    pub(crate) fn is_at(folder: &Path) -> bool {
        folder.join(ADMINISTRATOR_KEY).exists()
    }

    /// Reads the profile in `folder`, opens the administrator's key, and gets ready to ask.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let profile = Profile::read(folder)?;
        let path = folder.join(ADMINISTRATOR_KEY);
        if !Self::is_at(folder) {
            let reason = format!(
                "it holds no {ADMINISTRATOR_KEY}: this is for an organisation's administrators; make one with `keepwell organisation key`"
            );
            return Err(Failure::Profile { path: folder.to_path_buf(), reason });
        }
        let administrator = AdministratorIdentity::open(&path, &profile.unlock(folder)?)?;
        Ok(Self { client: profile.client(folder, None)?, administrator })
    }

    /// Signs as the administrator.
    pub(crate) fn actor(&self) -> Actor {
        self.administrator.actor()
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

    /// The same, for what only administrators do.
    pub(crate) fn office(&self) -> Result<Office, Failure> {
        Office::open(&self.profile)
    }

    /// The same, for what anyone may ask.
    pub(crate) fn asker(&self) -> Result<(Client, Actor), Failure> {
        if Office::is_at(&self.profile) {
            let office = self.office()?;
            let actor = office.actor();
            return Ok((office.client, actor));
        }
        let session = self.session()?;
        let actor = session.asker()?;
        Ok((session.client, actor))
    }
}

impl Session {
    /// Reads the profile in `folder`, opens its keys, and gets ready to ask.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let profile = Profile::read(folder)?;
        let identity = Identity::open(folder, &profile.unlock(folder)?)?;
        let seen = match &identity {
            Identity::Member(_) => None,
            Identity::Agent(agent) => agent.tip(),
            Identity::Wallet(wallet) => wallet.tip(),
        };
        Ok(Self { client: profile.client(folder, seen)?, identity })
    }

    /// Who asks about what is no chart's: a patient as the controller of any chart.
    pub(crate) fn asker(&self) -> Result<Actor, Failure> {
        let Identity::Wallet(wallet) = &self.identity else { return Ok(self.member()?.actor()) };
        let chart = wallet.charts().first().map(|it| it.chart());
        let chart = chart.ok_or_else(|| {
            Failure::Misused("this wallet has no chart to ask with; claim one".into())
        })?;
        self.actor(chart)
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
        self.identity.member()
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
