//! `keepwell validator`: keys, change, show, vote-again.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{Client, identity::Actor};
use keepwell_engine::abstention;
use keepwell_ledger::state::{Changing, Duty, Stage};
use keepwell_node::{
    config::NodeConfig,
    folder::Folder,
    keys::NodeKeys,
    random::rng,
    run::{NodeError, prefix},
};
use keepwell_types::{
    encoding::{List, Text},
    id::{Height, OrganisationId, PublicKey},
    limits::VALIDATOR_CARD_BYTES_MAX,
    motion::Act,
    validators::{Change, Seat, ValidatorCard, ValidatorSet, epoch_of, quorum},
};
use serde_json::{Value, json};

use crate::{
    commands::{
        genesis::{not_a, read},
        node::load_keys,
        organisation,
    },
    failure::Failure,
    founding::write_durably,
    lock::{Lock, of_node},
    node_toml::{KeysToml, NodeToml, PeerToml, clients},
    output::Output,
    profile::As,
    runtime::{block_on, run_engine},
};

/// The file that a new validator shows to the others.
const CARD: &str = "validator.card";
/// The genesis file, beside a node's configuration.
const GENESIS: &str = "genesis.cbor";

/// See who validates; make the keys of one that is to join; move that validators change
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell validator show --as ./hospital-administrator
  keepwell validator keys --as ./pharmacy-administrator --dir ./pharmacy --address 10.0.0.5:7440 --peers hospital-node.toml
  keepwell validator change --as ./hospital-administrator --join validator.card
  keepwell validator change --as ./hospital-administrator --leave KEY
  keepwell validator change --as ./hospital-administrator
  keepwell validator vote-again --config /etc/keepwell/node.toml

The last change has the same validators deal their shares anew: what a thief had of them before opens nothing then.")]
pub(crate) struct Validator {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make the keys and the configuration of a node that is to join, and the card that lets it
    Keys(Keys),
    /// Move that validators join or leave, or that those there are deal their shares anew
    Change(MakeChange),
    /// Show who validates, and how far a change of that is
    Show {
        #[command(flatten)]
        who: As,
    },
    VoteAgain(VoteAgain),
}

/// A node that is to join
#[derive(Args)]
struct Keys {
    #[command(flatten)]
    who: As,
    /// The new node's folder
    #[arg(long)]
    dir: PathBuf,
    /// Where the other validators will reach it
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// Where it listens for them; its address unless it stands behind another one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where it will listen for clients; beyond this computer it gets a certificate
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7441")]
    listen_clients: SocketAddr,
    /// The configuration of any other node of the consortium, whose peers are taken over
    #[arg(long, value_name = "FILE")]
    peers: PathBuf,
    #[command(flatten)]
    lock: Lock,
}

/// Let a stopped validator that was restored, or began from the state of others, vote although there are no newer blocks
///
/// It may have forgotten how it voted last, so it waits for a block that is newer than its start. Where that many of the
/// others are lost that none can be made, it would wait for ever. Let as few vote again as are needed, and only when you
/// know that the host from before does not run.
#[derive(Args)]
struct VoteAgain {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Who joins, and who leaves
#[derive(Args)]
struct MakeChange {
    #[command(flatten)]
    who: As,
    /// The card of one that joins; may be given several times
    #[arg(long, value_name = "FILE")]
    join: Vec<PathBuf>,
    /// The consensus key of one that leaves, as `validator show` prints it; may be given several times
    #[arg(long, value_name = "KEY")]
    leave: Vec<PublicKey>,
    /// Days for which the motion waits
    #[arg(long, default_value_t = 14)]
    days: u64,
}

impl Validator {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Keys(it) => it.run(output),
            What::Change(it) => it.run(output),
            What::VoteAgain(it) => it.run(output),
            What::Show { who } => {
                let (client, actor) = who.asker()?;
                block_on(show(&client, &actor, output))
            }
        }
    }
}

impl VoteAgain {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let config = NodeConfig::read(&self.config)?;
        let key = load_keys(&config)?.consensus_key();
        let folder = Folder::open(&config.folder).map_err(NodeError::from)?;
        run_engine(&folder.engine(), 2, async |context| {
            let forgotten = abstention::forget(&context, &prefix(&key)).await;
            forgotten.map_err(|error| {
                let path = config.folder.display();
                Failure::Misused(format!("the note in {path} cannot be removed: {error}"))
            })
        })?;
        output.result(
            "Start the node: it votes from the newest block that it has.",
            &json!({ "validator": key }),
        );
        Ok(())
    }
}

impl Keys {
    fn run(self, output: &Output) -> Result<(), Failure> {
        if self.address.port() == 0 || self.address.ip().is_unspecified() {
            return Err(Failure::Misused(format!(
                "nobody can reach {}; write the address and port that the other validators use",
                self.address
            )));
        }
        let keys_folder = self.dir.join("keys");
        if keys_folder.exists() {
            return Err(Failure::Misused(format!(
                "{} has keys already; name another folder, or remove this one if its card was never handed out",
                self.dir.display()
            )));
        }
        let office = self.who.office()?;
        let organisation = office.administrator.organisation();
        let consortium = office.client.consortium();
        let peers = NodeConfig::read(&self.peers)?;
        let in_force = office.client.in_force();
        let seats = &in_force.validators().newest().seats;
        let listed =
            |seat: &Seat| peers.peers.iter().any(|it| it.validator == seat.validator.consensus);
        if !seats.iter().any(listed) {
            return Err(Failure::Misused(format!(
                "{} names no validator of this consortium; get the configuration of one of its nodes",
                self.peers.display()
            )));
        }
        let unlock = self.lock.make()?;

        let keys = NodeKeys::generate(&mut rng());
        let address = Text::from_string(self.address.to_string()).expect("an address is short");
        let card = keys.card(&consortium.chain(), organisation, address);
        let label = format!("validator of {organisation}");
        keys.store(&mut rng(), &keys_folder, &of_node(&unlock), &label, false)?;
        let (tls, url) = clients(&self.dir, self.listen_clients)?;
        let own = PeerToml { validator: keys.consensus_key().to_string(), address: self.address };
        let others = peers
            .peers
            .iter()
            .map(|it| PeerToml { validator: it.validator.to_string(), address: it.address });
        let config = NodeToml {
            folder: "node".into(),
            genesis: GENESIS.into(),
            listen_peers: self.listen.unwrap_or(self.address),
            listen_clients: self.listen_clients,
            organisation: Some(organisation),
            keys: KeysToml::new("keys", self.lock.operator()?),
            tls,
            peers: others.chain([own]).collect(),
        };
        let write = |name: &str, bytes: &[u8]| {
            let path = self.dir.join(name);
            write_durably(&path, bytes).map_err(Failure::at(path))
        };
        write(GENESIS, &consortium.genesis().encode())?;
        write("node.toml", config.to_string().as_bytes())?;
        write(CARD, &card.encode())?;
        let (custodian, consensus) = (keys.custodian_key(), keys.consensus_key());
        let path = self.dir.join(CARD);
        output.result(
            &format!(
                "The keys of a validator of {organisation} are in {}.\n  validator  {consensus}\n  custodian  {custodian}\n  clients    {url}\nStart it with `keepwell node --config {}`. Hand out {}; it holds no secret. An administrator of any organisation moves that it joins: `keepwell validator change --join {CARD}`. What it stores counts once the ledger has its custodian's key: `keepwell organisation admit --custodian`, or `rotate --custodian` of an organisation that is there",
                self.dir.display(),
                self.dir.join("node.toml").display(),
                path.display()
            ),
            &json!({ "organisation": organisation, "card": path, "consensus": consensus, "custodian": custodian, "clients": url }),
        );
        Ok(())
    }
}

impl MakeChange {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let joins: Vec<_> = self.join.iter().map(|it| read_card(it)).collect::<Result<_, _>>()?;
        let too_many = |error| Failure::Misused(format!("one change takes no more: {error}"));
        let joins = List::from_vec(joins).map_err(too_many)?;
        let leaves = List::from_vec(self.leave).map_err(too_many)?;
        let act = Act::Change(Change { joins, leaves });
        block_on(organisation::open(&self.who.office()?, act, self.days, output))
    }
}

fn read_card(path: &Path) -> Result<ValidatorCard, Failure> {
    ValidatorCard::decode(&read(path, VALIDATOR_CARD_BYTES_MAX)?)
        .map_err(|error| not_a(path, "a validator's card", error))
}

async fn show(client: &Client, actor: &Actor, output: &Output) -> Result<(), Failure> {
    let entry = client.validators(actor).await?;
    let set = entry.map_or_else(|| ValidatorSet::of(client.consortium().genesis()), |it| it.set);
    let changing = client.changing(actor).await?;
    let next = Height(client.tip().await?.header().height.0 + 1);
    let blocks = client.consortium().genesis().parameters.epoch_blocks();
    let mut lines = vec![format!(
        "{} validators since epoch {}; {} of them certify and open together. Epoch {}, block {next} comes next; an epoch has {blocks} blocks",
        set.seats.len(),
        set.since,
        set.quorum(),
        epoch_of(next, blocks)
    )];
    for seat in &set.seats {
        lines.push(line(client, actor, seat).await?);
    }
    let mut value = json!({ "set": set, "next": next, "epoch_blocks": blocks });
    if let Some(changing) = &changing {
        let stage = changing.stage(&set, next, blocks);
        lines.push(format!(
            "A change began in block {}: {}",
            changing.began.height,
            said_of(stage, next, blocks)
        ));
        for seat in joining(&set, changing) {
            lines.push(format!("joins: {}", line(client, actor, seat).await?.trim_start()));
        }
        for seat in set.seats.iter().filter(|it| !changing.seats.contains(it)) {
            lines.push(format!("  leaves: {}", seat.validator.consensus));
        }
        let missing = if stage == Stage::Failed { missing(&set, changing) } else { Vec::new() };
        lines.extend(missing.iter().map(|key| format!("  {key} was missing")));
        let waited = waited_for(&set, changing, next, blocks);
        if waited.is_empty() && missing.is_empty() {
            lines.push("  nobody is waited for".into());
        }
        lines.extend(
            waited.iter().map(|(of, key, duty)| format!("  {key} of {of} is to {}", to_do(*duty))),
        );
        let waited: Vec<Value> = waited
            .iter()
            .map(|(organisation, key, duty)| json!({ "organisation": organisation, "validator": key, "to": to_do(*duty) }))
            .collect();
        value["change"] = json!({
            "began": changing.began,
            "stage": word_of(stage),
            "seats": changing.seats,
            "waited_for": waited,
            "missing": missing,
        });
    }
    output.result(&lines.join("\n"), &value);
    Ok(())
}

async fn line(client: &Client, actor: &Actor, seat: &Seat) -> Result<String, Failure> {
    let Seat { validator, address } = seat;
    let organisation = client.organisation(actor, validator.organisation).await?;
    let address = address.as_ref().map_or("", |it| it.as_str());
    Ok(format!("  {}  {:<24} {address}", validator.consensus, organisation.name.as_str()))
}

fn joining<'a>(set: &ValidatorSet, changing: &'a Changing) -> impl Iterator<Item = &'a Seat> {
    changing.seats.iter().filter(|it| !set.seats.contains(it))
}

/// Whoever has something to say now, and what.
fn waited_for(
    set: &ValidatorSet,
    changing: &Changing,
    next: Height,
    blocks: u32,
) -> Vec<(OrganisationId, PublicKey, Duty)> {
    let seats = set.seats.iter().chain(joining(set, changing)).map(|it| it.validator);
    seats
        .filter_map(|it| {
            let duty = changing.duty(set, &it.release, next, blocks)?;
            Some((it.organisation, it.consensus, duty))
        })
        .collect()
}

/// The consensus keys of those for want of whom a change failed.
fn missing(set: &ValidatorSet, changing: &Changing) -> Vec<PublicKey> {
    let new = quorum(changing.seats.len());
    let (seats, there) = if changing.ready.len() < new {
        (&changing.seats, changing.ready)
    } else if changing.counting().len() < set.quorum() {
        (&set.seats, changing.counting())
    } else {
        (&changing.seats, changing.confirmed)
    };
    let missing = (1..).zip(seats.iter()).filter(|(index, _)| !there.contains(*index));
    missing.map(|(_, seat)| seat.validator.consensus).collect()
}

const fn to_do(duty: Duty) -> &'static str {
    match duty {
        Duty::Ready => "say that it is ready",
        Duty::Deal => "deal its share",
        Duty::Check => "check what it was dealt",
        Duty::Open => "open a share that its receiver complained about",
        Duty::Confirm => "store its share and say so",
    }
}

const fn word_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Receive => "receive",
        Stage::Deal => "deal",
        Stage::Check => "check",
        Stage::Open => "open",
        Stage::Confirm => "confirm",
        Stage::Done => "done",
        Stage::Failed => "failed",
    }
}

fn said_of(stage: Stage, next: Height, blocks: u32) -> String {
    match stage {
        Stage::Receive => "those that are to validate get ready".into(),
        Stage::Deal => "shares are dealt".into(),
        Stage::Check => "shares are checked".into(),
        Stage::Open => "shares that were complained about are opened".into(),
        Stage::Confirm => "shares are stored".into(),
        Stage::Done => {
            let first = (epoch_of(next, blocks) + 1) * u64::from(blocks);
            format!("shares are stored; the new set begins with block {first}")
        }
        Stage::Failed => {
            "too few took part, and it is over; those above go on. Move it again when they are there"
                .into()
        }
    }
}
