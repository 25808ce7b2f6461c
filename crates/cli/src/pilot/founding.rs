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
    identity::{
        Actor, AdministratorIdentity, MemberIdentity, OrganisationAgent, TrusteeIdentity, Unlock,
    },
    node::Endpoint,
};
use keepwell_crypto::sign::SigningKey;
use keepwell_node::{
    config::Operator,
    genesis::{DEMONSTRATION_PARAMETERS, Demonstration, Founder, found as make},
    keys::Unlock as NodeUnlock,
    ports,
    random::rng,
};
use keepwell_types::{
    command::Payload,
    credential::{CredentialIssue, CredentialKind},
    encoding::{List, Text},
    genesis::Parameters,
    genesis::Trustees,
    id::{CredentialId, Digest, OrganisationId},
    member::{Administrators, MemberEnrol, OrganisationAdmit, OrganisationKind, Role},
    record::RecordKind,
    set::{KindSet, RoleSet},
    signoff::KindRule,
    time::{BlockTime, Window},
};
use rand_core::Rng as _;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{organisation_folder, organisation_id, person_folder};
use crate::{
    failure::Failure,
    lock,
    node_toml::{KeysToml, NodeToml, PeerToml},
    profile::{ADMINISTRATOR_KEY, Node, Profile, Trustee},
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

/// Whose signatures legal matter needs.
const LEGAL_RULE: &str = "consent: patient; witness: any(clinician@chart, nurse@chart)";
/// The trustees, by their folders and names; none of them has a validator.
pub(super) const TRUSTEES: [(&str, &str); 3] = [
    ("advocate", "Patients' Advocate"),
    ("regulator", "Health Data Regulator"),
    ("exchange", "National Exchange"),
];
/// How many of them open together.
const TRUSTEES_NEEDED: u16 = 2;

/// The licensing board, which has no validator either.
const BOARD: (&str, &str) = ("board", "State Medical Board");
/// How long its licences hold.
const LICENCE_MS: u64 = 365 * 24 * 60 * 60 * 1_000;

/// The people who are enrolled, by their folders.
pub(super) const AGENT: &str = "agent";
pub(super) const CLINIC_AGENT: &str = "clinic-agent";
const OFFICER: &str = "officer";
const DESK: &str = "desk";
pub(super) const CLINICIAN: &str = "clinician";
pub(super) const PHYSICIAN: &str = "physician";
pub(super) const CLINIC_OFFICER: &str = "clinic-officer";
const LICENSOR: &str = "licensor";
/// The public key that a member hands out.
const MEMBER_KEY: &str = "member.pub";

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
    let Demonstration { mut genesis, nodes } =
        make(&mut rng(), "Keepwell pilot", founded, &founders, parameters())?;

    let operator = operator_key(dir)?;
    genesis.trustees = Some(trustees(dir)?);
    let (board, admission) = board(dir)?;
    genesis.entries.push(admission).map_err(|error| Failure::Misused(error.to_string()))?;
    let (ports, trustee_ports) = ports.split_at(2 * ORGANISATIONS.len());
    let ports: Vec<_> = ports.chunks(2).map(|pair| (pair[0], pair[1])).collect();
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
        store_administrator(dir, organisation.slug, node.organisation, &node.administrator)?;
        let config = NodeToml {
            folder: "node".into(),
            genesis: "../../genesis.cbor".into(),
            listen_peers: peers[at],
            listen_clients: loopback(ports[at].1),
            organisation: None,
            keys: KeysToml::new("keys", Some(Operator::File("../../operator.key".into()))),
            tls: None,
            peers: nodes
                .iter()
                .zip(&peers)
                .map(|(node, address)| PeerToml {
                    validator: node.keys.consensus_key().to_string(),
                    address: *address,
                })
                .collect(),
        };
        write(&folder.join("node.toml"), &config.to_string())?;
        ids.insert(organisation.slug.to_owned(), node.organisation);
        let url = format!("http://{}", loopback(ports[at].1));
        endpoints.push(Node { organisation: node.organisation, url });
    }
    ids.insert(BOARD.0.to_owned(), board);
    let trustees = (1..).zip(trustee_ports);
    let trustees = trustees
        .map(|(trustee, port)| Trustee { trustee, url: format!("http://{}", loopback(*port)) })
        .collect();
    write(&dir.join("organisations.toml"), &toml::to_string(&ids).expect("plain TOML"))?;
    write(
        &dir.join("nodes.toml"),
        &toml::to_string(&Nodes { nodes: endpoints, trustees }).expect("plain TOML"),
    )?;
    fs::write(dir.join("genesis.cbor"), genesis.encode()).map_err(Failure::at(dir))
}

#[derive(Serialize, serde::Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trustees: Vec<Trustee>,
}

pub(super) fn trustee_folder(dir: &Path, slug: &str) -> PathBuf {
    dir.join("trustees").join(slug)
}

/// Makes the trustees' keys, each in a folder of its own.
fn trustees(dir: &Path) -> Result<Trustees, Failure> {
    let unlock = unlock(dir)?;
    let mut public = Vec::new();
    for (slug, name) in TRUSTEES {
        let folder = trustee_folder(dir, slug);
        // A founding that was cut off left keys of another consortium.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
        let identity = TrusteeIdentity::generate();
        identity.create(&folder.join("trustee.key"), &unlock, name, true)?;
        public.push(identity.public(name, None)?);
    }
    let trustees = List::from_vec(public).map_err(|error| Failure::Misused(error.to_string()))?;
    Ok(Trustees { threshold: TRUSTEES_NEEDED, trustees })
}

/// Makes the licensing board's keys; the genesis file admits it.
fn board(dir: &Path) -> Result<(OrganisationId, Payload), Failure> {
    let (slug, name) = BOARD;
    let (mut seed, mut organisation) = (Zeroizing::new([0; 32]), [0; 16]);
    rng().fill_bytes(&mut *seed);
    rng().fill_bytes(&mut organisation);
    let organisation = OrganisationId(organisation);
    store_administrator(dir, slug, organisation, &seed)?;
    let admit = OrganisationAdmit {
        organisation,
        kind: OrganisationKind::LicensingBoard,
        name: Text::from_string(name.to_owned()).expect("short"),
        administrators: Administrators::one(SigningKey::from_seed(&seed).public()),
        custodian: None,
    };
    Ok((organisation, Payload::OrganisationAdmit(admit)))
}

/// Where the trustees listen; nowhere in a pilot that was founded without them.
pub(super) fn trustee_urls(dir: &Path) -> Result<Vec<Trustee>, Failure> {
    Ok(profile(dir)?.trustees)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(Failure::at(path))
}

/// What the pilot's consortium chooses: legal matter, such as a consent, waits for the patient and a witness.
fn parameters() -> Parameters {
    let legal = KindRule {
        kinds: KindSet::EMPTY.with(RecordKind::Legal),
        rule: LEGAL_RULE.parse().expect("the pilot's rule can be met"),
        or_less: false,
    };
    let sign_off = Some(List::from_vec(vec![legal]).expect("one rule is within the limit"));
    Parameters { sign_off, ..DEMONSTRATION_PARAMETERS }
}

/// Two for each organisation and one for each trustee.
const PORTS: u16 = 2 * ORGANISATIONS.len() as u16 + TRUSTEES.len() as u16;

/// As many ports as the pilot needs: those from `first` on, or free ones if that is 0.
fn ports(first: u16) -> Result<Vec<u16>, Failure> {
    if first == 0 {
        return ports::free(PORTS.into()).map_err(|error| no_port(0, error));
    }
    // Each is tried before anything is founded on them.
    let wanted = (0..PORTS).map(|at| {
        let wanted = first.checked_add(at);
        let wanted = wanted.ok_or_else(|| no_port(u16::MAX, "it is the last one there is"))?;
        TcpListener::bind(loopback(wanted)).map_err(|error| no_port(wanted, error))?;
        Ok(wanted)
    });
    wanted.collect()
}

fn no_port(port: u16, reason: impl std::fmt::Display) -> Failure {
    Failure::Misused(format!(
        "the pilot needs {} ports on loopback and cannot have {port}: {reason}; stop what uses it, or name another first port with --port (0 takes free ones)",
        PORTS
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

/// Where an organisation's administrator has its profile.
fn administrator_folder(dir: &Path, slug: &str) -> PathBuf {
    person_folder(dir, &format!("{slug}-administrator"))
}

fn store_administrator(
    dir: &Path,
    slug: &str,
    organisation: OrganisationId,
    seed: &Zeroizing<[u8; 32]>,
) -> Result<(), Failure> {
    let folder = administrator_folder(dir, slug);
    // A founding that was cut off left keys of another consortium.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
    let identity = AdministratorIdentity::from_seed(organisation, seed);
    Ok(identity.create(&folder.join(ADMINISTRATOR_KEY), &unlock(dir)?, true)?)
}

fn administrator(dir: &Path, slug: &str) -> Result<Actor, Failure> {
    let path = administrator_folder(dir, slug).join(ADMINISTRATOR_KEY);
    Ok(AdministratorIdentity::open(&path, &unlock(dir)?)?.actor())
}

/// A profile of the pilot, for a folder two levels below it.
pub(super) fn profile(dir: &Path) -> Result<Profile, Failure> {
    let path = dir.join("nodes.toml");
    let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
    let Nodes { nodes, trustees } = toml::from_str(&text)
        .map_err(|error| Failure::Profile { path, reason: error.to_string() })?;
    Ok(Profile {
        genesis: "../../genesis.cbor".into(),
        operator_file: Some("../../operator.key".into()),
        operator_token: None,
        nodes,
        trustees,
    })
}

/// What unlocks the pilot's keys.
pub(super) fn unlock(dir: &Path) -> Result<Unlock, Failure> {
    lock::unlock(&Operator::File(dir.join("operator.key")))
}

/// Whether the people were enrolled: the last file of [`enrol`] is there.
pub(super) fn is_enrolled(dir: &Path) -> bool {
    person_folder(dir, CLINICIAN).join(MEMBER_KEY).exists()
}

/// Enrols the hospital's key agent, privacy officer and physician, the clinic's key agent, clinician, desk and
/// privacy officer, and the board's licensor, who licenses both clinicians.
pub(super) async fn enrol(dir: &Path) -> Result<(), Failure> {
    for person in
        [AGENT, CLINIC_AGENT, OFFICER, LICENSOR, PHYSICIAN, CLINIC_OFFICER, DESK, CLINICIAN]
    {
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
    for slug in ORGANISATIONS.iter().map(|it| it.slug).chain([BOARD.0]) {
        profile.write(&administrator_folder(dir, slug))?;
    }

    for (person, slug) in [(AGENT, "hospital"), (CLINIC_AGENT, "clinic")] {
        let roles = [Role::KeyAgent, Role::Gateway, Role::Registrar];
        let agent = member(&client, dir, slug, roles).await?;
        let folder = person_folder(dir, person);
        profile.write(&folder)?;
        OrganisationAgent::create(&folder.join("agent"), agent, &unlock, true)?;
    }

    let mut people = Vec::new();
    for (person, slug, role) in [
        (OFFICER, "hospital", Role::PrivacyOfficer),
        (LICENSOR, BOARD.0, Role::Licensor),
        (PHYSICIAN, "hospital", Role::Clinician),
        (CLINIC_OFFICER, "clinic", Role::PrivacyOfficer),
        (DESK, "clinic", Role::Registrar),
        (CLINICIAN, "clinic", Role::Clinician),
    ] {
        let identity = member(&client, dir, slug, [role]).await?;
        let folder = person_folder(dir, person);
        profile.write(&folder)?;
        identity.create(&folder.join("member.key"), &unlock, true)?;
        people.push((role, identity));
    }
    license(&client, &people).await?;
    let (_, clinician) = people.last().expect("the clinician is the last one");
    let path = person_folder(dir, CLINICIAN).join(MEMBER_KEY);
    fs::write(&path, clinician.sealing_public().to_bytes()).map_err(Failure::at(path))
}

/// The licensor licenses each clinician.
async fn license(client: &Client, people: &[(Role, MemberIdentity)]) -> Result<(), Failure> {
    let of = |role| people.iter().filter(move |(its, _)| *its == role).map(|(_, it)| it);
    let licensor = of(Role::Licensor).next().expect("there is a licensor").actor();
    let from = client.tip().await?.header().time;
    for clinician in of(Role::Clinician) {
        let (mut credential, mut evidence) = ([0; 16], [0; 32]);
        rng().fill_bytes(&mut credential);
        rng().fill_bytes(&mut evidence);
        let issue = CredentialIssue {
            member: clinician.member(),
            credential: CredentialId(credential),
            kind: CredentialKind::Licence,
            scope: Text::from_string("US-CA".to_owned()).expect("short"),
            window: Window { from, until: from.plus_ms(LICENCE_MS) },
            evidence: Digest(evidence),
        };
        client.command(&licensor, Payload::CredentialIssue(issue)).await?;
    }
    Ok(())
}

/// Enrols a member of the hospital or another organisation, and publishes its key.
pub(super) async fn member(
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
