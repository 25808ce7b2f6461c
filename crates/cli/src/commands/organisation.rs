//! `keepwell organisation`: list, show; key; rotate; move, motions, approve, withdraw.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use keepwell_client::{
    Client,
    client::Decided,
    governance::{Moved, administrators, approving},
    identity::{Actor, AdministratorIdentity, Unlock},
};
use keepwell_ledger::state::{Motion, Organisation as Entry};
use keepwell_types::{
    command::Payload,
    encoding::Text,
    id::{MotionId, OrganisationId, PublicKey},
    limits::KEY_OVERLAP_MS_MAX,
    member::{OrganisationAdmit, OrganisationKind, OrganisationRotate, OrganisationStanding},
    motion::Act,
    protocol::Upgrade,
    time::BlockTime,
    validators::{Change, Seat, ValidatorCard},
};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    lock::Lock,
    output::Output,
    profile::{ADMINISTRATOR_KEY, As, Office, Profile},
    runtime::block_on,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Days for which a motion for new keys waits.
const MOTION_DAYS: u64 = 14;
/// Days for which former keys count at most, from the block on that carries the rotation out.
const OVERLAP_DAYS_MAX: u64 = KEY_OVERLAP_MS_MAX / DAY_MS;

/// See the organisations of the consortium; as their administrators, decide together who is one
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell organisation list --as ./ana
  keepwell organisation show --as ./ana ORGANISATION
  keepwell organisation key --like ./hospital-administrator --to ./second
  keepwell organisation rotate --as ./hospital-administrator --key KEY --key KEY --needed 2 --overlap-days 7
  keepwell organisation admit --as ./hospital-administrator --name 'Corner Pharmacy' --kind pharmacy --key KEY ORGANISATION
  keepwell organisation suspend --as ./hospital-administrator ORGANISATION
  keepwell organisation reinstate --as ./hospital-administrator ORGANISATION
  keepwell organisation expel --as ./hospital-administrator ORGANISATION
  keepwell organisation motions --as ./clinic-administrator
  keepwell organisation approve --as ./clinic-administrator MOTION
  keepwell organisation withdraw --as ./hospital-administrator MOTION")]
pub(crate) struct Organisation {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List the organisations, and who may act
    List {
        #[command(flatten)]
        who: As,
    },
    /// Show an organisation: who speaks for it, and with which keys
    Show {
        #[command(flatten)]
        who: As,
        /// The organisation
        organisation: OrganisationId,
    },
    /// Draw an administrator's key, in a profile of its own; it counts once the ledger names it
    Key {
        /// A profile of the same consortium, whose nodes and genesis file are taken over
        #[arg(long, value_name = "DIR")]
        like: PathBuf,
        /// Whose administrator; without it, of an organisation that is to be admitted
        #[arg(long)]
        organisation: Option<OrganisationId>,
        /// The new profile
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        #[command(flatten)]
        lock: Lock,
    },
    /// Move that an organisation be admitted
    Admit(Admit),
    /// Move that an organisation be suspended: it and its members do nothing until it is reinstated
    Suspend(About),
    /// Move that an organisation be reinstated
    Reinstate(About),
    /// Move that an organisation be expelled, for good
    Expel(About),
    /// Give an organisation new keys
    Rotate(Rotate),
    /// List the motions that wait, with who has approved
    Motions {
        #[command(flatten)]
        who: As,
    },
    /// Approve a motion as it stands; the approval that is enough carries it out
    Approve {
        #[command(flatten)]
        who: As,
        /// The motion, as `organisation motions` shows it
        motion: MotionId,
    },
    /// Take back a motion of one's own organisation
    Withdraw {
        #[command(flatten)]
        who: As,
        /// The motion
        motion: MotionId,
    },
}

/// Which organisation, and how long the motion waits
#[derive(Args)]
struct About {
    #[command(flatten)]
    who: As,
    /// Days for which the motion waits
    #[arg(long, default_value_t = 14)]
    days: u64,
    /// The organisation
    organisation: OrganisationId,
}

/// Which keys
#[derive(Args)]
struct Keys {
    /// An administrator's key, as `organisation key` prints it; may be given several times
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<PublicKey>,
    /// How many of them must sign together
    #[arg(long, default_value_t = 1)]
    needed: u32,
}

/// Who is to be admitted
#[derive(Args)]
struct Admit {
    #[command(flatten)]
    who: As,
    /// Days for which the motion waits
    #[arg(long, default_value_t = 14)]
    days: u64,
    /// Its name, which everyone sees
    #[arg(long)]
    name: String,
    /// hospital, clinic, laboratory, pharmacy, insurer, manufacturer, licensing_board, sponsor or trustee
    #[arg(long)]
    kind: OrganisationKind,
    #[command(flatten)]
    keys: Keys,
    /// The key with which its node will acknowledge custody, as `keepwell validator keys` prints it
    #[arg(long, value_name = "KEY")]
    custodian: Option<PublicKey>,
    /// Its id, as `organisation key` printed it
    organisation: OrganisationId,
}

/// New keys, and until when those so far count
#[derive(Args)]
struct Rotate {
    #[command(flatten)]
    who: As,
    /// Another administrator of the organisation whose profile is here; may be given several times
    #[arg(long = "with", value_name = "DIR")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    /// The key with which its node acknowledges custody from then on; without it that key stays
    #[arg(long, value_name = "KEY")]
    custodian: Option<PublicKey>,
    /// Days for which the keys so far count beside the new ones; 0 ends them at once
    #[arg(long, default_value_t = 7)]
    overlap_days: u64,
    /// Move it, for others to approve: where its administrators sit apart, or lost their keys
    #[arg(long)]
    motion: bool,
    /// Another organisation, which has lost its keys; needs --motion
    #[arg(long, requires = "motion")]
    organisation: Option<OrganisationId>,
}

impl Organisation {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::List { who } => {
                let (client, actor) = who.asker()?;
                block_on(list(&client, &actor, output))
            }
            What::Show { who, organisation } => {
                let (client, actor) = who.asker()?;
                block_on(show(&client, &actor, organisation, output))
            }
            What::Key { like, organisation, to, lock } => {
                let profile = Profile::like(&like, lock.operator()?)?;
                let unlock = lock.make()?;
                key(&profile, &unlock, organisation, &to, output)
            }
            What::Admit(it) => it.run(output),
            What::Suspend(it) => it.run(Act::Suspend, output),
            What::Reinstate(it) => it.run(Act::Reinstate, output),
            What::Expel(it) => it.run(Act::Expel, output),
            What::Rotate(it) => it.run(output),
            What::Motions { who } => {
                let (client, actor) = who.asker()?;
                block_on(motions(&client, &actor, output))
            }
            What::Approve { who, motion } => block_on(approve(&who.office()?, motion, output)),
            What::Withdraw { who, motion } => block_on(async {
                let office = who.office()?;
                let decided = office.client.withdraw_motion(&office.actor(), motion).await?;
                output.result(
                    &format!("motion {motion} is withdrawn, in block {}", height(&decided)),
                    &json!({ "motion": motion, "height": height(&decided) }),
                );
                Ok(())
            }),
        }
    }
}

impl About {
    fn run(self, act: fn(OrganisationStanding) -> Act, output: &Output) -> Result<(), Failure> {
        let act = act(OrganisationStanding { organisation: self.organisation });
        block_on(open(&self.who.office()?, act, self.days, output))
    }
}

impl Admit {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let name = Text::from_string(self.name)
            .map_err(|error| Failure::Misused(format!("its name: {error}")))?;
        let admit = OrganisationAdmit {
            organisation: self.organisation,
            kind: self.kind,
            name,
            administrators: administrators(self.keys.keys, self.keys.needed)?,
            custodian: self.custodian,
        };
        block_on(open(&self.who.office()?, Act::Admit(admit), self.days, output))
    }
}

impl Rotate {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let waits = if self.motion { MOTION_DAYS } else { 0 };
        if self.overlap_days.saturating_add(waits) > OVERLAP_DAYS_MAX {
            return Err(Failure::Misused(format!(
                "former keys count for at most {} days here; a motion may wait {waits} of {OVERLAP_DAYS_MAX}",
                OVERLAP_DAYS_MAX - waits
            )));
        }
        let office = self.who.office()?;
        let with = with_others(&self.with)?;
        block_on(async {
            let own = office.administrator.organisation();
            let organisation = self.organisation.unwrap_or(own);
            let (client, actor) = (&office.client, office.actor());
            let now = client.tip().await?.header().time;
            let entry = client.organisation(&actor, organisation).await?;
            // A motion may be carried out as late as it waits.
            let overlap = self.overlap_days.saturating_mul(DAY_MS);
            let rotate = OrganisationRotate {
                organisation,
                administrators: administrators(self.keys.keys, self.keys.needed)?,
                custodian: self.custodian.or(entry.custodian),
                overlap_until: (overlap > 0).then(|| now.plus_ms(waits * DAY_MS + overlap)),
            };
            if self.motion {
                return open(&office, Act::Rotate(rotate), MOTION_DAYS, output).await;
            }
            let signers: Vec<&Actor> = [&actor].into_iter().chain(&with).collect();
            let until = rotate.overlap_until;
            let payload = Payload::OrganisationRotate(rotate);
            let decided = client.administer(&signers, payload).await?;
            let former = match until {
                Some(until) => format!("; those so far count until {until}"),
                None => "; those so far count no more".to_owned(),
            };
            output.result(
                &format!("the new keys count from block {} on{former}", height(&decided)),
                &json!({ "organisation": organisation, "height": height(&decided), "overlap_until": until }),
            );
            Ok(())
        })
    }
}

/// The administrators of other profiles on this computer.
pub(crate) fn with_others(folders: &[PathBuf]) -> Result<Vec<Actor>, Failure> {
    folders.iter().map(|folder| Ok(Office::open(folder)?.actor())).collect()
}

pub(crate) fn height(decided: &Decided) -> u64 {
    decided.outcome().location.height.0
}

fn key(
    profile: &Profile,
    unlock: &Unlock,
    organisation: Option<OrganisationId>,
    to: &Path,
    output: &Output,
) -> Result<(), Failure> {
    let identity = match organisation {
        Some(organisation) => AdministratorIdentity::generate(organisation),
        None => AdministratorIdentity::found(),
    };
    let organisation = identity.organisation();
    fs::create_dir_all(to).map_err(Failure::at(to))?;
    identity.create(&to.join(ADMINISTRATOR_KEY), unlock, false)?;
    profile.write(to)?;
    let public = identity.public();
    output.result(
        &format!(
            "{} is the profile of an administrator of\n  organisation {organisation}\n  key          {public}\nIt counts once the ledger names it: `keepwell organisation rotate --key {public}` of that organisation, or `organisation admit` for a new one",
            to.display()
        ),
        &json!({ "profile": to, "organisation": organisation, "key": public }),
    );
    Ok(())
}

async fn list(client: &Client, actor: &Actor, output: &Output) -> Result<(), Failure> {
    let all = client.organisations(actor).await?;
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for id in all.all.iter() {
        let entry = client.organisation(actor, *id).await?;
        lines.push(format!(
            "{id}  {:<16} {:<24} {}",
            entry.kind.as_str(),
            entry.name.as_str(),
            standing(&entry)
        ));
        values.push(json!({ "organisation": id, "entry": entry }));
    }
    let (count, needed) = (all.all.len(), all.administrators_min());
    lines.push(format!("{count} organisations; {needed} of them decide together"));
    output.result(&lines.join("\n"), &json!({ "organisations": values, "needed": needed }));
    Ok(())
}

fn standing(entry: &Entry) -> String {
    match (entry.expelled_at, entry.suspended) {
        (Some(at), _) => format!("expelled {at}"),
        (None, true) => "suspended".into(),
        (None, false) => "in standing".into(),
    }
}

async fn show(
    client: &Client,
    actor: &Actor,
    id: OrganisationId,
    output: &Output,
) -> Result<(), Failure> {
    let entry = client.organisation(actor, id).await?;
    let mut lines = vec![
        format!("{} ({}), {}", entry.name.as_str(), entry.kind.as_str(), standing(&entry)),
        format!(
            "{} of {} administrators sign for it:",
            entry.administrators.needed,
            entry.administrators.keys.len()
        ),
    ];
    lines.extend(entry.administrators.keys.iter().map(|key| format!("  {key}")));
    lines.extend(entry.custodian.map(|key| format!("custody is acknowledged with {key}")));
    if let Some(former) = &entry.former {
        lines.push(format!("until {} so do its former keys:", former.until));
        lines.extend(former.administrators.keys.iter().map(|key| format!("  {key}")));
    }
    output.result(&lines.join("\n"), &json!({ "organisation": id, "entry": entry }));
    Ok(())
}

pub(crate) async fn open(
    office: &Office,
    act: Act,
    days: u64,
    output: &Output,
) -> Result<(), Failure> {
    let now = office.client.tip().await?.header().time;
    let until = now.plus_ms(days.saturating_mul(DAY_MS));
    let moved = office.client.open_motion(&office.actor(), act, until).await?;
    say(&moved, "made", output);
    Ok(())
}

async fn approve(office: &Office, id: MotionId, output: &Output) -> Result<(), Failure> {
    let (client, actor) = (&office.client, office.actor());
    let motion = client.motion(&actor, id).await?.ok_or_else(|| {
        Failure::Misused(format!(
            "no motion {id} waits; `keepwell organisation motions` shows those that do"
        ))
    })?;
    output.say(&format!("approving: {}", said(&motion.act)));
    let moved = client.approve_motion(&actor, id, motion.act).await?;
    say(&moved, "approved", output);
    Ok(())
}

fn say(moved: &Moved, word: &str, output: &Output) {
    let (id, at) = (moved.motion, height(&moved.decided));
    let what = said(&moved.act);
    let text = match &moved.waits {
        None => format!("motion {id} is carried out in block {at}: {what}"),
        Some(it) => format!(
            "motion {id} is {word} in block {at}: {what}\nIt waits for others until {}; they see it with `keepwell organisation motions`",
            it.until
        ),
    };
    let value = json!({ "motion": id, "height": at, "act": moved.act, "carried_out": moved.waits.is_none() });
    output.result(&text, &value);
}

/// What is moved, in words.
fn said(act: &Act) -> String {
    match act {
        Act::Admit(it) => format!(
            "admit {} ({}) as {}, for which {} of {} administrators sign",
            it.name.as_str(),
            it.kind.as_str(),
            it.organisation,
            it.administrators.needed,
            it.administrators.keys.len()
        ),
        Act::Suspend(it) => format!("suspend {}", it.organisation),
        Act::Reinstate(it) => format!("reinstate {}", it.organisation),
        Act::Expel(it) => format!("expel {}, for good", it.organisation),
        Act::Rotate(it) => format!(
            "give {} new keys: {} of {} administrators sign",
            it.organisation,
            it.administrators.needed,
            it.administrators.keys.len()
        ),
        Act::Change(it) => changed(it),
        Act::Upgrade(Upgrade { to, from: Some(from) }) => {
            format!("have the rules of protocol {to} hold from block {from} on")
        }
        Act::Upgrade(Upgrade { to, from: None }) => {
            format!("call the upgrade to protocol {to} off")
        }
    }
}

/// Who joins and who leaves.
fn changed(change: &Change) -> String {
    let join = |card: &ValidatorCard| {
        let Seat { validator, address } = &card.seat;
        let address = address.as_ref().map_or("no address", |it| it.as_str());
        format!(
            "let a validator of {} join, at {address}, with key {}",
            validator.organisation, validator.consensus
        )
    };
    let joins = change.joins.iter().map(join);
    let leaves = change.leaves.iter().map(|key| format!("let validator {key} leave"));
    let all: Vec<_> = joins.chain(leaves).collect();
    if all.is_empty() {
        "have the validators deal their shares anew".into()
    } else {
        all.join(", ")
    }
}

async fn motions(client: &Client, actor: &Actor, output: &Output) -> Result<(), Failure> {
    let all = client.organisations(actor).await?;
    let mut entries = BTreeMap::new();
    let mut waiting = Vec::new();
    for id in all.all.iter() {
        entries.insert(*id, client.organisation(actor, *id).await?);
        waiting.extend(client.motions_of(actor, *id).await?);
    }
    let (now, needed) = (client.tip().await?.header().time, all.administrators_min());
    let mut lines = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    for (id, motion) in &waiting {
        let by = approving(motion, |it| entries.get(&it).cloned(), now);
        lines.push(line(*id, motion, by.len(), needed));
        values.push(json!({ "motion": id, "act": motion.act, "by": motion.organisation, "until": motion.until, "approved_by": by, "needed": needed }));
    }
    lines.push(format!("{} motions wait", waiting.len()));
    output.result(&lines.join("\n"), &json!(values));
    Ok(())
}

fn line(id: MotionId, motion: &Motion, approved: usize, needed: u32) -> String {
    let (until, what): (BlockTime, _) = (motion.until, said(&motion.act));
    format!(
        "{id}  until {until}  approved for {approved} of {needed} organisations\n    moved by {}: {what}",
        motion.organisation
    )
}
