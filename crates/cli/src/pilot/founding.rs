//! Founding the pilot's consortium: keys, genesis file, configurations, profiles, members.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use keepwell_client::{
    Client, Consortium,
    identity::{Actor, MemberIdentity, OrganisationAgent, Unlock},
    node::Endpoint,
};
use keepwell_crypto::{
    keyfile::{About, KeyFile, KeyKind},
    sign::SigningKey,
};
use keepwell_node::{
    genesis::{DEMONSTRATION_PARAMETERS, Demonstration, Founder, found as make},
    keys::Unlock as NodeUnlock,
    random::rng,
};
use keepwell_types::{
    command::Payload,
    encoding::Text,
    id::OrganisationId,
    member::{MemberEnrol, OrganisationKind, Party, Role},
    set::RoleSet,
    time::BlockTime,
};
use rand_core::Rng as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{organisation_folder, organisation_id, person_folder};
use crate::{
    failure::Failure,
    profile::{Node, Profile, read_operator},
};

/// One of the pilot's organisations.
pub(super) struct Organisation {
    pub(super) slug: &'static str,
    pub(super) name: &'static str,
    kind: OrganisationKind,
}

/// The four organisations.
pub(super) const ORGANISATIONS: [Organisation; 4] = [
    Organisation {
        slug: "hospital",
        name: "St. Brigid Hospital",
        kind: OrganisationKind::Hospital,
    },
    Organisation { slug: "clinic", name: "Meridian Telehealth", kind: OrganisationKind::Clinic },
    Organisation {
        slug: "laboratory",
        name: "Northlight Laboratory",
        kind: OrganisationKind::Laboratory,
    },
    Organisation { slug: "insurer", name: "Harbour Mutual", kind: OrganisationKind::Insurer },
];

/// The people who are enrolled, by their folders.
const AGENT: &str = "agent";
const OFFICER: &str = "officer";
const DESK: &str = "desk";
const CLINICIAN: &str = "clinician";
/// The public key that a member hands out.
const MEMBER_KEY: &str = "member.pub";

/// A node's configuration as the pilot writes it.
#[derive(Serialize)]
struct NodeToml {
    folder: PathBuf,
    genesis: PathBuf,
    listen_peers: SocketAddr,
    listen_clients: SocketAddr,
    keys: KeysToml,
    peers: Vec<PeerToml>,
}

#[derive(Serialize)]
struct KeysToml {
    folder: PathBuf,
    operator_file: PathBuf,
}

#[derive(Serialize)]
struct PeerToml {
    validator: String,
    address: SocketAddr,
}

/// Founds a consortium in `dir`. The genesis file is written last: a folder without it is not founded.
pub(super) fn found(dir: &Path, port: u16) -> Result<(), Failure> {
    let ports = ports(port)?;
    fs::create_dir_all(dir).map_err(Failure::at(dir))?;
    let founders: Vec<_> = ORGANISATIONS
        .iter()
        .map(|it| Founder { name: it.name.to_owned(), kind: it.kind })
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let founded = BlockTime(u64::try_from(now).unwrap_or(u64::MAX));
    let Demonstration { genesis, nodes } =
        make(&mut rng(), "Keepwell pilot", founded, &founders, DEMONSTRATION_PARAMETERS)?;

    let operator = operator_key(dir)?;
    let peers: Vec<SocketAddr> = ports.iter().map(|(peers, _)| loopback(*peers)).collect();
    let mut ids = BTreeMap::new();
    let mut endpoints = Vec::new();
    for (at, (organisation, node)) in ORGANISATIONS.iter().zip(&nodes).enumerate() {
        let folder = organisation_folder(dir, organisation.slug);
        fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
        let keys = folder.join("keys");
        // A founding that was cut off left key files of another consortium.
        let _ = fs::remove_dir_all(&keys);
        let unlock = NodeUnlock::Operator(operator.clone());
        node.keys.store(&mut rng(), &keys, &unlock, organisation.name, true)?;
        store_administrator(&keys, organisation.name, &node.administrator, &operator)?;
        let config = NodeToml {
            folder: "node".into(),
            genesis: "../../genesis.cbor".into(),
            listen_peers: peers[at],
            listen_clients: loopback(ports[at].1),
            keys: KeysToml { folder: "keys".into(), operator_file: "../../operator.key".into() },
            peers: nodes
                .iter()
                .zip(&peers)
                .map(|(node, address)| PeerToml {
                    validator: node.keys.consensus_key().to_string(),
                    address: *address,
                })
                .collect(),
        };
        write(&folder.join("node.toml"), &toml::to_string(&config).expect("plain TOML"))?;
        ids.insert(organisation.slug.to_owned(), node.organisation);
        let url = format!("http://{}", loopback(ports[at].1));
        endpoints.push(Node { organisation: node.organisation, url });
    }
    write(&dir.join("organisations.toml"), &toml::to_string(&ids).expect("plain TOML"))?;
    write(
        &dir.join("nodes.toml"),
        &toml::to_string(&Nodes { nodes: endpoints }).expect("plain TOML"),
    )?;
    fs::write(dir.join("genesis.cbor"), genesis.encode()).map_err(Failure::at(dir))
}

#[derive(Serialize, serde::Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::at(path))
}

/// A pair of ports for each organisation, for peers and for clients: those from `first` on, or free ones
/// if that is 0.
fn ports(first: u16) -> Result<Vec<(u16, u16)>, Failure> {
    // All are held at once, so that no two are the same, and tried before anything is founded on them.
    let held: Vec<_> = (0..2 * ORGANISATIONS.len() as u16)
        .map(|at| {
            let wanted = if first == 0 { Some(0) } else { first.checked_add(at) };
            let wanted = wanted.ok_or_else(|| no_port(u16::MAX, "it is the last one there is"))?;
            TcpListener::bind(loopback(wanted))
                .and_then(|it| Ok((it.local_addr()?.port(), it)))
                .map_err(|error| no_port(wanted, error))
        })
        .collect::<Result<_, _>>()?;
    Ok(held.chunks(2).map(|pair| (pair[0].0, pair[1].0)).collect())
}

fn no_port(port: u16, reason: impl std::fmt::Display) -> Failure {
    Failure::Misused(format!(
        "the pilot needs {} ports on loopback and cannot have {port}: {reason}; stop what uses it, or name another first port with --port (0 takes free ones)",
        2 * ORGANISATIONS.len()
    ))
}

/// The key that unlocks everything in the pilot; made once.
fn operator_key(dir: &Path) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let path = dir.join("operator.key");
    if let Ok(bytes) = fs::read(&path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice())
    {
        return Ok(Zeroizing::new(key));
    }
    let mut key = Zeroizing::new([0; 32]);
    rng().fill_bytes(&mut *key);
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(Failure::at(&path))?;
    file.write_all(&*key).and_then(|()| file.sync_all()).map_err(Failure::at(path))?;
    Ok(key)
}

fn about_administrator(name: &str) -> About {
    let label = Text::from_string(format!("administrator of {name}")).expect("short");
    About { kind: KeyKind::Administrator, label, demonstration: true }
}

fn store_administrator(
    keys: &Path,
    name: &str,
    seed: &Zeroizing<[u8; 32]>,
    operator: &Zeroizing<[u8; 32]>,
) -> Result<(), Failure> {
    let file =
        KeyFile::with_operator_key(&mut rng(), about_administrator(name), &seed[..], operator)
            .map_err(|error| Failure::Misused(error.to_string()))?;
    let path = keys.join("administrator.key");
    fs::write(&path, file.encode()).map_err(Failure::at(path))
}

fn administrator(dir: &Path, slug: &str) -> Result<Actor, Failure> {
    let path = organisation_folder(dir, slug).join("keys/administrator.key");
    let refused = |reason: String| Failure::Profile { path: path.clone(), reason };
    let file = KeyFile::decode(&fs::read(&path).map_err(Failure::at(&path))?)
        .map_err(|error| refused(error.to_string()))?;
    let seed = file
        .open_with_operator_key(&*operator_key(dir)?)
        .map_err(|error| refused(error.to_string()))?;
    let seed =
        <[u8; 32]>::try_from(seed.as_slice()).map_err(|_| refused("it is damaged".into()))?;
    let key = SigningKey::from_seed(&Zeroizing::new(seed));
    Ok(Actor::new(Party::Administrator(organisation_id(dir, slug)?), key))
}

/// A profile of the pilot, for a folder two levels below it.
pub(super) fn profile(dir: &Path) -> Result<Profile, Failure> {
    let path = dir.join("nodes.toml");
    let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
    let Nodes { nodes } = toml::from_str(&text)
        .map_err(|error| Failure::Profile { path, reason: error.to_string() })?;
    Ok(Profile {
        genesis: "../../genesis.cbor".into(),
        operator_file: Some("../../operator.key".into()),
        nodes,
    })
}

/// What unlocks the pilot's keys.
pub(super) fn unlock(dir: &Path) -> Result<Unlock, Failure> {
    read_operator(&dir.join("operator.key"))
}

/// Whether the people were enrolled: the last file of [`enrol`] is there.
pub(super) fn is_enrolled(dir: &Path) -> bool {
    person_folder(dir, CLINICIAN).join(MEMBER_KEY).exists()
}

/// Enrols the hospital's key agent and privacy officer, and the clinic's desk and clinician.
pub(super) async fn enrol(dir: &Path) -> Result<(), Failure> {
    for person in [AGENT, OFFICER, DESK, CLINICIAN] {
        // An enrolment that was cut off left members on the ledger whose keys may be lost.
        let _ = fs::remove_dir_all(person_folder(dir, person));
    }
    let profile = profile(dir)?;
    let genesis = fs::read(dir.join("genesis.cbor")).map_err(Failure::at(dir))?;
    let consortium = Arc::new(Consortium::read(&genesis)?);
    let endpoints = profile
        .nodes
        .iter()
        .map(|node| Endpoint { organisation: node.organisation, url: node.url.clone() })
        .collect();
    let client = Client::new(consortium, endpoints, None)?;
    let unlock = unlock(dir)?;

    let agent =
        member(&client, dir, "hospital", [Role::KeyAgent, Role::Gateway, Role::Registrar]).await?;
    let folder = person_folder(dir, AGENT);
    profile.write(&folder)?;
    OrganisationAgent::create(&folder.join("agent"), agent, &unlock, true)?;

    let officer = member(&client, dir, "hospital", [Role::PrivacyOfficer]).await?;
    let folder = person_folder(dir, OFFICER);
    profile.write(&folder)?;
    officer.create(&folder.join("member.key"), &unlock, true)?;

    let desk = member(&client, dir, "clinic", [Role::Registrar]).await?;
    let folder = person_folder(dir, DESK);
    profile.write(&folder)?;
    desk.create(&folder.join("member.key"), &unlock, true)?;

    let clinician = member(&client, dir, "clinic", [Role::Clinician]).await?;
    let folder = person_folder(dir, CLINICIAN);
    profile.write(&folder)?;
    clinician.create(&folder.join("member.key"), &unlock, true)?;
    let path = folder.join(MEMBER_KEY);
    fs::write(&path, clinician.sealing_public().to_bytes()).map_err(Failure::at(path))
}

async fn member(
    client: &Client,
    dir: &Path,
    slug: &str,
    roles: impl IntoIterator<Item = Role>,
) -> Result<MemberIdentity, Failure> {
    let organisation: OrganisationId = organisation_id(dir, slug)?;
    let identity = MemberIdentity::generate(client.consortium().chain(), organisation);
    let enrol = MemberEnrol {
        member: identity.member(),
        organisation,
        signing: identity.signing_public(),
        sealing: identity.sealing_digest(),
        roles: roles.into_iter().collect::<RoleSet>(),
    };
    let administrator = administrator(dir, slug)?;
    client.command(&administrator, Payload::MemberEnrol(enrol)).await?;
    let (member, key) = (identity.member(), identity.sealing_public());
    client.publish_member_key(&administrator, member, &key).await?;
    Ok(identity)
}
