//! `keepwell genesis`: keys, draft, show, found, check.

mod rules;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand};
use keepwell_client::{Consortium, identity::AdministratorIdentity};
use keepwell_crypto::{
    ceremony::{Board, Founded, Founding, Participant, Plan, check_card},
    command::chain_id,
};
use keepwell_node::{
    keys::{FounderKeys, Unlock as NodeUnlock, forget_ceremony, store_shares},
    random::rng,
};
use keepwell_types::{
    encoding::{List, Text},
    founding::{DRAFT_VERSION, Draft, FounderCard},
    genesis::{Genesis as GenesisFile, Trustee, Trustees},
    id::{Digest, PublicKey},
    limits::{DRAFT_BYTES_MAX, FOUNDER_CARD_BYTES_MAX, FOUNDING_BYTES_MAX, GENESIS_BYTES_MAX},
    member::{Administrators, OrganisationAdmit, OrganisationKind},
    time::BlockTime,
};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    founding::{Host, write_durably},
    lock::{Lock, fields, of_node},
    node_toml::{KeysToml, NodeToml, PeerToml, clients},
    output::Output,
    page::plain,
    profile::{ADMINISTRATOR_KEY, Node, Profile},
    runtime::block_on,
};

/// Bytes of a trustee's public file.
const TRUSTEE_BYTES_MAX: usize = 4 * 1024;
/// The folder of a founder's administrator, in the founder's.
const ADMINISTRATOR: &str = "administrator";
/// The founder's card, its draft's outcome, and the record of the ceremony, in the founder's folder.
const CARD: &str = "founder.card";
const GENESIS: &str = "genesis.cbor";
const FOUNDING: &str = "founding.cbor";
/// Posts of the ceremony, in the founder's folder.
const CEREMONY: &str = "ceremony";

/// Found a consortium together: each organisation on its own host, nobody with a key of another
///
/// Each makes its keys and hands out its card; one makes a draft of the cards and hands that out; all read its digest
/// to each other, by voice, and begin. Their hosts make the consortium's keys together. docs/founding.md goes through
/// it step by step.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell genesis keys --dir ./hospital --name 'St. Brigid' --kind hospital --address 192.0.2.1:7440
  keepwell genesis draft --name 'Northern Exchange' --to draft.cbor hospital.card clinic.card lab.card insurer.card
  keepwell genesis show draft.cbor
  keepwell genesis found --dir ./hospital --draft draft.cbor --agreed DIGEST
  keepwell genesis check --genesis genesis.cbor founding.cbor")]
pub(crate) struct Genesis {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make the keys of one founder, and its card for the others
    Keys(Keys),
    /// Make a draft of the founders' cards, for all to read
    Draft(MakeDraft),
    /// Show a card, a draft, a genesis file, or the record of a founding
    Show {
        /// The file
        file: PathBuf,
    },
    /// Make the consortium's keys together with the other founders, and the genesis file
    Found(Found),
    /// Make a genesis file again from the record of its founding, and see that all founders agreed to it
    Check {
        /// The genesis file
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        /// The record of the founding
        founding: PathBuf,
    },
}

/// One founder
#[derive(Args)]
struct Keys {
    /// The folder, which must not have keys yet
    #[arg(long)]
    dir: PathBuf,
    /// The organisation's name, which everyone sees
    #[arg(long)]
    name: String,
    /// hospital, clinic, laboratory, pharmacy, insurer, manufacturer, licensing_board, sponsor or trustee
    #[arg(long)]
    kind: OrganisationKind,
    /// Where the other founders reach its host, and later its node
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// The key of a further administrator; may be given several times
    #[arg(long = "administrator", value_name = "KEY")]
    administrators: Vec<PublicKey>,
    /// How many administrators must sign together
    #[arg(long, default_value_t = 1)]
    needed: u32,
    #[command(flatten)]
    lock: Lock,
}

/// A draft
#[derive(Args)]
struct MakeDraft {
    /// The consortium's name
    #[arg(long)]
    name: String,
    /// Where the draft is written
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// What the consortium chooses, as docs/founding.md shows; without it the usual
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// A trustee's public file; may be given several times
    #[arg(long = "trustee", value_name = "FILE", requires = "trustees_needed")]
    trustees: Vec<PathBuf>,
    /// How many trustees open together what patients left to emergencies
    #[arg(long, value_name = "NUMBER", requires = "trustees")]
    trustees_needed: Option<u16>,
    /// The founders' cards
    #[arg(required = true)]
    cards: Vec<PathBuf>,
}

/// The ceremony
#[derive(Args)]
struct Found {
    /// The founder's folder, where its keys are
    #[arg(long)]
    dir: PathBuf,
    /// The draft
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// The draft's digest, as all founders read it to each other
    #[arg(long, value_name = "DIGEST")]
    agreed: Digest,
    /// Where this host listens for the others; its card's address unless it stands behind another one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where the node will listen for clients; beyond this computer it gets a certificate
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7441")]
    listen_clients: SocketAddr,
    #[command(flatten)]
    lock: Lock,
}

impl Genesis {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Keys(it) => it.run(output),
            What::Draft(it) => it.run(output),
            What::Show { file } => show(&file, output),
            What::Found(it) => it.run(output),
            What::Check { genesis, founding } => check(&genesis, &founding, output),
        }
    }
}

/// A file of at most so many bytes.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let len = fs::metadata(path).map_err(Failure::at(path))?.len();
    if len > max as u64 {
        return Err(Failure::Misused(format!(
            "{} has {len} bytes, more than {max}; is it the right file?",
            path.display()
        )));
    }
    fs::read(path).map_err(Failure::at(path))
}

pub(crate) fn not_a(path: &Path, what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Misused(format!("{} is not {what}: {error}", path.display()))
}

fn read_card(path: &Path) -> Result<FounderCard, Failure> {
    let card = FounderCard::decode(&read(path, FOUNDER_CARD_BYTES_MAX)?)
        .map_err(|error| not_a(path, "a founder's card", error))?;
    check_card(&card)?;
    Ok(card)
}

impl Keys {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let name = Text::from_string(self.name.clone())
            .map_err(|error| Failure::Misused(format!("the name is too long: {error}")))?;
        if self.address.port() == 0 || self.address.ip().is_unspecified() {
            return Err(Failure::Misused(format!(
                "nobody can reach {}; write the address and port that the other founders use",
                self.address
            )));
        }
        if self.dir.join("keys").exists() {
            return Err(Failure::Misused(format!(
                "{} has keys already; name another folder, or remove this one if its card was never handed out",
                self.dir.display()
            )));
        }
        let unlock = self.lock.make()?;
        let administrator = AdministratorIdentity::found();
        let mut keys = vec![administrator.public()];
        keys.extend(&self.administrators);
        let keys = List::from_vec(keys)
            .map_err(|error| Failure::Misused(format!("the administrators: {error}")))?;
        let administrators = Administrators { keys, needed: self.needed };
        if !administrators.are_sound() {
            return Err(Failure::Misused(format!(
                "{} of these {} administrators cannot sign together; each key counts once",
                self.needed,
                administrators.keys.len()
            )));
        }
        let admit = OrganisationAdmit {
            organisation: administrator.organisation(),
            kind: self.kind,
            name,
            administrators,
            custodian: None,
        };
        let address = Text::from_string(self.address.to_string()).expect("an address is short");
        let founder = FounderKeys::generate(&mut rng());
        let card = founder.card(admit, address);
        founder.store(&mut rng(), &self.dir.join("keys"), &of_node(&unlock), &self.name)?;
        let folder = self.dir.join(ADMINISTRATOR);
        fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
        administrator.create(&folder.join(ADMINISTRATOR_KEY), &unlock, false)?;
        let path = self.dir.join(CARD);
        write_durably(&path, &card.encode()).map_err(Failure::at(&path))?;
        let organisation = card.founder.admit.organisation;
        output.result(
            &format!(
                "The keys of organisation {organisation} are in {}. Hand out {}; it holds no secret.",
                self.dir.display(),
                path.display()
            ),
            &json!({ "organisation": organisation, "card": path, "consensus": card.founder.consensus }),
        );
        Ok(())
    }
}

impl MakeDraft {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let mut cards: Vec<_> =
            self.cards.iter().map(|path| read_card(path)).collect::<Result<_, _>>()?;
        cards.sort_by_key(|card| card.founder.consensus);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let text = match &self.rules {
            Some(path) => fs::read_to_string(path).map_err(Failure::at(path))?,
            None => String::new(),
        };
        let draft = Draft {
            version: DRAFT_VERSION,
            name: Text::from_string(self.name.clone())
                .map_err(|error| Failure::Misused(format!("the name is too long: {error}")))?,
            founded: BlockTime(u64::try_from(now).unwrap_or(u64::MAX)),
            parameters: rules::read(&text, cards.len())?,
            founders: List::from_vec(cards)
                .map_err(|error| Failure::Misused(format!("the founders: {error}")))?,
            trustees: self.trustees()?,
        };
        let plan = Plan::new(draft)?;
        addresses(plan.draft())?;
        write_durably(&self.to, &plan.draft().encode()).map_err(Failure::at(&self.to))?;
        output.result(
            &format!(
                "{}\n\n{} is the draft. Hand it to every founder; each reads it (`keepwell genesis show`), and all read its digest to each other, by voice:\n  {}",
                text_of(plan.draft()),
                self.to.display(),
                plan.digest()
            ),
            &json!({ "draft": self.to, "digest": plan.digest(), "founders": plan.founders().count() }),
        );
        Ok(())
    }

    fn trustees(&self) -> Result<Option<Trustees>, Failure> {
        let Some(threshold) = self.trustees_needed else { return Ok(None) };
        let trustee = |path: &PathBuf| {
            keepwell_types::decode::<Trustee>(&read(path, TRUSTEE_BYTES_MAX)?, TRUSTEE_BYTES_MAX)
                .map_err(|error| not_a(path, "a trustee's public file", error))
        };
        let trustees = self.trustees.iter().map(trustee).collect::<Result<_, _>>()?;
        let trustees = List::from_vec(trustees)
            .map_err(|error| Failure::Misused(format!("the trustees: {error}")))?;
        Ok(Some(Trustees { threshold, trustees }))
    }
}

/// Where each founder is reached, in their order: as numbers, so that nobody else decides where that is.
fn addresses(draft: &Draft) -> Result<Vec<SocketAddr>, Failure> {
    let address = |card: &FounderCard| {
        let founder = &card.founder;
        founder.address.as_str().parse().map_err(|_| {
            Failure::Misused(format!(
                "organisation {} has the address {:?}, which is not a number and a port; let it make its card again",
                founder.admit.organisation,
                plain(founder.address.as_str())
            ))
        })
    };
    draft.founders.iter().map(address).collect()
}

/// A draft as its founders read it. Names of others cannot look like lines of it.
fn text_of(draft: &Draft) -> String {
    let mut lines = vec![format!(
        "{}, founded {}, {} founders of whom {} open a record together",
        plain(draft.name.as_str()),
        draft.founded,
        draft.founders.len(),
        draft.threshold()
    )];
    for (number, card) in (1..).zip(draft.founders.iter()) {
        let founder = &card.founder;
        let administrators = &founder.admit.administrators;
        lines.push(format!(
            "  {number}  {}, {}, at {}\n     organisation {}\n     validator    {}\n     administrators: {} of {}",
            plain(founder.admit.name.as_str()),
            founder.admit.kind,
            plain(founder.address.as_str()),
            founder.admit.organisation,
            founder.consensus,
            administrators.needed,
            administrators.keys.len()
        ));
    }
    match &draft.trustees {
        None => lines.push("no trustees: patients leave nothing to emergencies".into()),
        Some(trustees) => {
            let names: Vec<_> =
                trustees.trustees.iter().map(|it| plain(it.name.as_str())).collect();
            lines.push(format!("trustees, {} of: {}", trustees.threshold, names.join(", ")));
        }
    }
    lines.push(format!("rules: {}", json!(draft.parameters)));
    lines.join("\n")
}

/// Shows what a file is.
fn show(path: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = read(path, FOUNDING_BYTES_MAX.max(GENESIS_BYTES_MAX).max(DRAFT_BYTES_MAX))?;
    let (text, value) = if let Ok(card) = FounderCard::decode(&bytes) {
        check_card(&card)?;
        let founder = &card.founder;
        let text = format!(
            "a founder's card, signed by its keys: {}, {}, at {}, organisation {}",
            plain(founder.admit.name.as_str()),
            founder.admit.kind,
            plain(founder.address.as_str()),
            founder.admit.organisation
        );
        (text, json!({ "card": founder }))
    } else if let Ok(draft) = Draft::decode(&bytes) {
        shown_draft(Plan::new(draft)?)
    } else if let Ok(genesis) = GenesisFile::decode(&bytes) {
        genesis.check().map_err(|error| not_a(path, "a genesis file that can be used", error))?;
        let (chain, validators) = (chain_id(&genesis), genesis.validators.len());
        let text = format!(
            "a genesis file: {}, chain {chain}, {validators} validators{}",
            plain(genesis.name.as_str()),
            if genesis.demonstration { ", a demonstration: its keys protect nothing" } else { "" }
        );
        (
            text,
            json!({ "genesis": chain, "validators": validators, "demonstration": genesis.demonstration }),
        )
    } else if let Ok(founding) = Founding::decode(&bytes) {
        let chain = chain_id(&founding.genesis()?);
        (
            format!("the record of a founding, to which all agreed: chain {chain}"),
            json!({ "founding": chain }),
        )
    } else {
        let what = "a card, a draft, a genesis file or the record of a founding";
        return Err(not_a(path, what, "it is damaged, or of another program"));
    };
    output.result(&text, &value);
    Ok(())
}

fn shown_draft(plan: Plan) -> (String, Value) {
    let text = format!(
        "{}\n\nits digest, to be read to the other founders by voice:\n  {}",
        text_of(plan.draft()),
        plan.digest()
    );
    (text, json!({ "draft": plan.draft(), "digest": plan.digest() }))
}

impl Found {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let draft = Draft::decode(&read(&self.draft, DRAFT_BYTES_MAX)?)
            .map_err(|error| not_a(&self.draft, "a draft", error))?;
        let plan = Plan::new(draft)?;
        addresses(plan.draft())?;
        if plan.digest() != self.agreed {
            return Err(Failure::Misused(format!(
                "the draft in {} has the digest\n  {}\nand the founders agreed on\n  {}\nSomeone has another draft: find out who, before anyone begins",
                self.draft.display(),
                plan.digest(),
                self.agreed
            )));
        }
        block_on(self.ceremony(&plan, output))
    }

    /// From here on everything can be cut off at any time, and begun again with the same command.
    async fn ceremony(&self, plan: &Plan, output: &Output) -> Result<(), Failure> {
        let genesis = self.dir.join(GENESIS);
        let (keys, unlock) = (self.dir.join("keys"), of_node(&self.lock.open()?));
        if genesis.exists() {
            let founded = self.founded_before(plan)?;
            let host = self.host(plan, founded).await?;
            output.say("founded already; shows its posts to the others");
            host.see_off(*output).await;
            return forget_ceremony(&keys).map_err(Failure::from);
        }
        let founder = FounderKeys::load(&keys, &unlock)?;
        let secret = founder.ceremony();
        let participant = Participant::new(plan, founder.signing(), &secret)?;
        let mut host = self.host(plan, participant.founder()).await?;
        let founded = match host.run(&participant, *output).await {
            Ok(founded) => founded,
            Err(failure) => {
                output.failure(&failure);
                host.leave(*output).await;
                return Err(failure);
            }
        };
        self.keep(&founded, &unlock, host.board())?;
        let chain = chain_id(&founded.genesis);
        output.result(
            &format!(
                "founded: chain {chain}\n{} is the genesis file; read the chain's id to the others, by voice. When all have it, start the node:\n  keepwell node --config {}",
                genesis.display(),
                self.dir.join("node.toml").display()
            ),
            &json!({ "chain": chain, "genesis": genesis, "config": self.dir.join("node.toml") }),
        );
        host.see_off(*output).await;
        Ok(forget_ceremony(&keys)?)
    }

    async fn host<'a>(&self, plan: &'a Plan, founder: u16) -> Result<Host<'a>, Failure> {
        let own = addresses(plan.draft())?[usize::from(founder) - 1];
        // A draft that failed leaves its posts behind, and the next one begins with none.
        let posts = self.dir.join(CEREMONY).join(plan.digest().to_string());
        Host::open(plan, founder, &posts, self.listen.unwrap_or(own)).await
    }

    /// Which founder has its genesis file here, if it is of this draft.
    fn founded_before(&self, plan: &Plan) -> Result<u16, Failure> {
        let path = self.dir.join(FOUNDING);
        let founding = Founding::decode(&read(&path, FOUNDING_BYTES_MAX)?)
            .map_err(|error| not_a(&path, "the record of a founding", error))?;
        let same = founding.plan()?.digest() == plan.digest();
        let card = read_card(&self.dir.join(CARD))?;
        let own = |founder: &u16| plan.founder(*founder) == Some(&card.founder);
        plan.founders().find(own).filter(|_| same).ok_or_else(|| {
            Failure::Misused(format!(
                "{} is founded already, from another draft; for another consortium, make keys in another folder",
                self.dir.display()
            ))
        })
    }

    /// Keeps what came out. The genesis file is written last: without it nothing is founded yet.
    fn keep(
        &self,
        founded: &Founded,
        unlock: &NodeUnlock,
        board: &Board<'_>,
    ) -> Result<(), Failure> {
        let genesis = &founded.genesis;
        let card = read_card(&self.dir.join(CARD))?;
        store_shares(
            &mut rng(),
            &self.dir.join("keys"),
            unlock,
            card.founder.admit.name.as_str(),
            founded,
        )?;
        let write = |name: &str, bytes: &[u8]| {
            let path = self.dir.join(name);
            write_durably(&path, bytes).map_err(Failure::at(path))
        };
        write(FOUNDING, &board.record().encode())?;
        let operator = self.lock.operator()?;
        let addresses = addresses(board.plan().draft())?;
        let own = addresses[usize::from(founded.share.index()) - 1];
        let (tls, url) = clients(&self.dir, self.listen_clients)?;
        let config = NodeToml {
            folder: "node".into(),
            genesis: GENESIS.into(),
            listen_peers: self.listen.unwrap_or(own),
            listen_clients: self.listen_clients,
            organisation: None,
            keys: KeysToml::new("keys", operator.clone()),
            tls,
            peers: genesis
                .validators
                .iter()
                .zip(addresses)
                .map(|(it, address)| PeerToml { validator: it.consensus.to_string(), address })
                .collect(),
        };
        write("node.toml", config.to_string().as_bytes())?;
        let organisation = card.founder.admit.organisation;
        let (operator_file, operator_token) = fields(operator);
        let profile = Profile {
            genesis: Path::new("..").join(GENESIS),
            operator_file,
            operator_token,
            nodes: vec![Node { organisation, url }],
            trustees: Vec::new(),
        };
        profile.write(&self.dir.join(ADMINISTRATOR))?;
        let bytes = genesis.encode();
        Consortium::read(&bytes)?;
        write(GENESIS, &bytes)
    }
}

/// Makes the genesis file again, from what everyone saw.
fn check(genesis: &Path, founding: &Path, output: &Output) -> Result<(), Failure> {
    let given = read(genesis, GENESIS_BYTES_MAX)?;
    let record = Founding::decode(&read(founding, FOUNDING_BYTES_MAX)?)
        .map_err(|error| not_a(founding, "the record of a founding", error))?;
    let made = record.genesis()?;
    if made.encode() != given {
        return Err(Failure::Misused(format!(
            "{} is not what was founded in {}, which is chain {}; get the genesis file from another founder",
            genesis.display(),
            founding.display(),
            chain_id(&made)
        )));
    }
    let (chain, founders) = (chain_id(&made), made.validators.len());
    output.result(
        &format!(
            "chain {chain}: all {founders} founders made its keys together, and agreed to this file"
        ),
        &json!({ "chain": chain, "founders": founders }),
    );
    Ok(())
}
