//! What the people and the key agents behind validators do: administrators move that validators change or that the
//! protocol is upgraded; validators deal their shares anew, and each keeps what it got, whatever happens to its process.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use commonware_runtime::{Clock as _, deterministic::Context};
use keepwell_crypto::{
    command::sign, hash::digest, reshare::Share, seal::SealingKey, sign::SigningKey,
    threshold::KeyShare,
};
use keepwell_engine::{
    admission::Admission,
    application::now,
    core::Core,
    reader::Reader,
    reshare::{Keeper, Part},
};
use keepwell_ledger::state::{Changing, Key, ProtocolPlan, Stage, Value};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Payload},
    encoding::List,
    id::{ChainId, CommandId, Height, Location, MotionId, OrganisationId},
    member::Party,
    motion::{Act, MotionApprove, MotionOpen},
    outcome::Outcome,
    protocol::Upgrade,
    time::{BlockTime, Window},
    validators::ValidatorSet,
};

use crate::{
    history::{CLINIC, INSURER},
    liars::{self, Lie},
    traffic::{HOSPITAL, key},
};

/// How often a deputy looks what is to be done.
const PACE: Duration = Duration::from_millis(250);
/// How long a command of a deputy may wait, in milliseconds.
const WINDOW_MS: u64 = 20_000;

/// The organisations that decide, with the keys of their administrators.
const ADMINISTRATORS: [(OrganisationId, u8); 3] = [(HOSPITAL, 10), (CLINIC, 24), (INSURER, 25)];

/// The shares of one validator and its keys for receiving them, as on a disk that is never lost.
#[derive(Clone)]
pub(crate) struct MemoryKeeper {
    place: u8,
    shares: Arc<Mutex<Vec<Share>>>,
    /// Whether it loses each key to which shares are dealt, before it needs it.
    loses_keys: bool,
}

impl MemoryKeeper {
    /// Of the validator at a place, with the share that it begins with.
    pub(crate) fn new(place: u8, share: Option<KeyShare>) -> Self {
        let shares = share.into_iter().map(Share::Release).collect();
        Self { place, shares: Arc::new(Mutex::new(shares)), loses_keys: false }
    }

    /// As it is where keys are lost, or not.
    pub(crate) fn losing(self, loses_keys: bool) -> Self {
        Self { loses_keys, ..self }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Share>> {
        self.shares.lock().expect("nobody panics while holding this lock")
    }
}

impl Keeper for MemoryKeeper {
    type Error = Infallible;

    async fn draw_receiving(&self, change: Location) -> Result<SealingKey, Infallible> {
        let parts: [&[u8]; 2] = [&keepwell_types::encode(&change), &[self.place]];
        Ok(SealingKey::from_seed(&digest("keepwell/sim/receiving", &parts).0))
    }

    async fn receiving(&self, change: Location) -> Result<Option<SealingKey>, Infallible> {
        if self.loses_keys { Ok(None) } else { self.draw_receiving(change).await.map(Some) }
    }

    async fn shares(&self) -> Result<Vec<Share>, Infallible> {
        Ok(self.all().clone())
    }

    async fn keep(&self, _: Location, shares: Vec<Share>) -> Result<(), Infallible> {
        self.all().extend(shares);
        Ok(())
    }
}

/// A validator's keys, beside that of consensus.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) chain: ChainId,
    pub(crate) organisation: OrganisationId,
    pub(crate) release: SigningKey,
    pub(crate) keeper: MemoryKeeper,
    /// What it says instead of what it should.
    pub(crate) lie: Option<Lie>,
}

/// Acts for one validator.
pub(crate) struct Deputy {
    pub(crate) office: Office,
    pub(crate) core: Arc<Core>,
    pub(crate) reader: Weak<dyn Reader>,
    pub(crate) admission: Admission,
    /// What administrators move, one after the other; nothing for all deputies but one.
    pub(crate) plan: Vec<Act>,
}

/// The state of validators, as one validator knows it.
struct Standing {
    set: ValidatorSet,
    changing: Option<Changing>,
    protocol: ProtocolPlan,
    next: Height,
}

impl Deputy {
    /// Does what is due, for ever.
    pub(crate) async fn serve(self, mut runtime: Context) {
        loop {
            runtime.sleep(PACE).await;
            let Some(reader) = self.reader.upgrade() else { return };
            let Some(standing) = self.standing(&*reader).await else { continue };
            if let Some(act) = self.due_act(&standing) {
                self.move_act(&mut runtime, &act).await;
            }
            let said = self.duty(&mut runtime, &*reader, &standing).await;
            for payload in said.unwrap_or_default() {
                let party = Party::Validator(self.office.organisation);
                self.say(&mut runtime, party, &self.office.release, payload).await;
            }
        }
    }

    async fn standing(&self, reader: &dyn Reader) -> Option<Standing> {
        let next = Height(self.core.tip().height().0 + 1);
        let keys = [Key::Validators, Key::Changing, Key::Protocol];
        let values = reader.state(&keys).await.ok()?;
        let [Some(Value::Validators(validators)), changing, protocol] = &values[..] else {
            return None;
        };
        let changing = match changing {
            Some(Value::Changing(changing)) => Some(changing.clone()),
            _ => None,
        };
        let protocol = match protocol {
            Some(Value::Protocol(plan)) => *plan,
            _ => ProtocolPlan::FIRST,
        };
        Some(Standing { set: validators.set.clone(), changing, protocol, next })
    }

    /// The act of the plan that has not come about, unless a change is under way.
    fn due_act(&self, standing: &Standing) -> Option<Act> {
        if standing
            .changing
            .as_ref()
            .is_some_and(|it| standing.stage(it, self.blocks()) != Stage::Failed)
        {
            return None;
        }
        let act = self.plan.iter().find(|act| !standing.shows(act))?;
        // An upgrade begins two epochs after it is moved, so that there is time to approve it.
        let from = Height(standing.next.0 + 2 * u64::from(self.blocks()));
        if let Act::Upgrade(it) = act {
            return Some(Act::Upgrade(Upgrade { from: Some(from), ..*it }));
        }
        Some(act.clone())
    }

    fn blocks(&self) -> u32 {
        self.core.sets.epoch_blocks()
    }

    /// Moves an act, and has every organisation approve it.
    async fn move_act(&self, runtime: &mut Context, act: &Act) {
        let motion = MotionId(random(runtime));
        let until = now(runtime).plus_ms(WINDOW_MS);
        for (place, (organisation, seed)) in ADMINISTRATORS.into_iter().enumerate() {
            let payload = if place == 0 {
                Payload::MotionOpen(MotionOpen { motion, act: act.clone(), until })
            } else {
                Payload::MotionApprove(MotionApprove { motion, act: act.clone() })
            };
            self.say(runtime, Party::Administrator(organisation), &key(seed), payload).await;
        }
    }

    async fn say(
        &self,
        runtime: &mut Context,
        party: Party,
        key: &SigningKey,
        payload: Payload,
    ) -> Option<Outcome> {
        let at = now(runtime);
        let window =
            Window { from: BlockTime(at.0.saturating_sub(1_000)), until: at.plus_ms(WINDOW_MS) };
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.office.chain,
            id: CommandId(random(runtime)),
            window,
            signers: List::from_vec(vec![party]).expect("one signer"),
            payload,
            part: None,
        };
        self.admission.submit(sign(command, &[key]).encode()).await.ok()
    }

    /// What the validator has to say now, if it can.
    async fn duty(
        &self,
        runtime: &mut Context,
        reader: &dyn Reader,
        standing: &Standing,
    ) -> Option<Vec<Payload>> {
        let changing = standing.changing.as_ref()?;
        let release = self.office.release.public();
        let duty = changing.duty(&standing.set, &release, standing.next, self.blocks())?;
        let part = Part {
            chain: &self.office.chain,
            reader,
            keeper: &self.office.keeper,
            release,
            set: &standing.set,
            changing,
        };
        let said = part.said(duty, runtime).await.ok()?;
        match self.office.lie {
            Some(lie) => liars::said(lie, said, changing),
            None => Some(said),
        }
    }
}

impl Standing {
    fn stage(&self, changing: &Changing, blocks: u32) -> Stage {
        changing.stage(&self.set, self.next, blocks)
    }

    /// Whether an act has come about.
    fn shows(&self, act: &Act) -> bool {
        let seats = &self.set.seats;
        match act {
            Act::Change(it) => {
                let sits = |key| seats.iter().any(|seat| seat.validator.consensus == key);
                it.joins.iter().all(|card| sits(card.seat.validator.consensus))
                    && it.leaves.iter().all(|key| !sits(*key))
            }
            Act::Expel(it) => {
                seats.iter().all(|seat| seat.validator.organisation != it.organisation)
            }
            Act::Upgrade(it) => {
                let planned = self.protocol.planned(self.next).map(|(to, _)| to);
                self.protocol.at(self.next) >= it.to || planned == Some(it.to)
            }
            Act::Admit(_) | Act::Suspend(_) | Act::Reinstate(_) | Act::Rotate(_) => true,
        }
    }
}

fn random(runtime: &mut Context) -> [u8; 16] {
    let mut bytes = [0; 16];
    rand_core::Rng::fill_bytes(runtime, &mut bytes);
    bytes
}
