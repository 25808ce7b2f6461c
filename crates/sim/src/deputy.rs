//! What the people and the key agents behind validators do when validators change: administrators move it, validators
//! deal their shares anew, and each keeps what it got, whatever happens to its process.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use commonware_runtime::{Clock as _, deterministic::Context};
use keepwell_crypto::{
    command::sign,
    dealing::{Dealing, SubShare},
    hash::digest,
    reshare::{Resharing, Share},
    seal::{SealingKey, SealingPublic},
    sign::SigningKey,
    threshold::KeyShare,
};
use keepwell_engine::{
    admission::Admission,
    application::now,
    core::Core,
    reader::{Reader, entry_at},
};
use keepwell_ledger::state::{Changing, Dealt, Duty, Key, Stage, Value};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Payload},
    encoding::{Blob, List},
    id::{ChainId, CommandId, Height, Location, MotionId, OrganisationId},
    member::Party,
    motion::{Act, MotionApprove, MotionOpen},
    outcome::Outcome,
    time::{BlockTime, Window},
    validators::{
        Complaint, KeyUse, ReshareCheck, ReshareConfirm, ReshareDeal, ReshareReady, ValidatorSet,
        index_of,
    },
};

use crate::{
    history::{CLINIC, INSURER},
    traffic::{HOSPITAL, key},
};

/// How often a deputy looks what is to be done.
const PACE: Duration = Duration::from_millis(250);
/// How long a command of a deputy may wait, in milliseconds.
const WINDOW_MS: u64 = 20_000;

/// The organisations that decide, with the keys of their administrators.
const ADMINISTRATORS: [(OrganisationId, u8); 3] = [(HOSPITAL, 10), (CLINIC, 24), (INSURER, 25)];

/// The shares of one validator, as on a disk that is never lost.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Mutex<Vec<Share>>>);

impl Shares {
    pub(crate) fn of(share: KeyShare) -> Self {
        let shares = Self::default();
        shares.keep(Share::Release(share));
        shares
    }

    fn keep(&self, share: Share) {
        self.0.lock().expect("nobody panics while holding this lock").push(share);
    }

    fn all(&self) -> Vec<Share> {
        self.0.lock().expect("nobody panics while holding this lock").clone()
    }
}

/// A validator's keys, beside that of consensus.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) chain: ChainId,
    pub(crate) organisation: OrganisationId,
    pub(crate) release: SigningKey,
    pub(crate) shares: Shares,
    /// Whether the last of those to whom it deals gets a wrong share.
    pub(crate) deals_wrong: bool,
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
                self.move_act(&mut runtime, act).await;
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
        let values = reader.state(&[Key::Validators, Key::Changing]).await.ok()?;
        let [Some(Value::Validators(validators)), changing] = &values[..] else { return None };
        let changing = match changing {
            Some(Value::Changing(changing)) => Some(changing.clone()),
            _ => None,
        };
        Some(Standing { set: validators.set.clone(), changing, next })
    }

    /// The act of the plan that has not come about, unless a change is under way.
    fn due_act(&self, standing: &Standing) -> Option<&Act> {
        if standing
            .changing
            .as_ref()
            .is_some_and(|it| standing.stage(it, self.blocks()) != Stage::Failed)
        {
            return None;
        }
        self.plan.iter().find(|act| !standing.shows(act))
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
        let (change, set) = (changing.began, &standing.set);
        let resharing = Resharing::new(
            &self.office.chain,
            change,
            KeyUse::Release,
            &set.committee,
            changing.seats.len(),
        );
        let resharing = resharing.ok()?;
        let own = index_of(&changing.seats, &release);
        match duty {
            Duty::Ready => {
                let receiving = Blob::from_vec(self.receiving(change).public().to_bytes()).ok()?;
                Some(vec![Payload::ReshareReady(ReshareReady { change, receiving })])
            }
            Duty::Deal => {
                let receivers = receivers(reader, changing).await?;
                let dealt = self
                    .office
                    .shares
                    .all()
                    .iter()
                    .find_map(|it| resharing.deal(it, &receivers).ok())?;
                let mut dealing = dealt.dealing().encode();
                if self.office.deals_wrong {
                    // What is sealed to the last receiver stands at the end.
                    *dealing.last_mut()? ^= 1;
                }
                let dealing = Blob::from_vec(dealing).ok()?;
                let deal = ReshareDeal { change, key: KeyUse::Release, dealing };
                Some(vec![Payload::ReshareDeal(deal)])
            }
            Duty::Check => {
                let mut wrong = Vec::new();
                for dealer in changing.dealt.iter() {
                    let (dealing, _) = dealing_of(reader, dealer).await?;
                    if resharing.open(&dealing, own?, &self.receiving(change)).is_err() {
                        wrong.push(Complaint { key: KeyUse::Release, dealer });
                    }
                }
                let wrong = List::from_vec(wrong).ok()?;
                Some(vec![Payload::ReshareCheck(ReshareCheck { change, wrong })])
            }
            // Whoever deals wrong shares does not open right ones; nobody complains of the others.
            Duty::Open => None,
            Duty::Confirm => {
                let (mut parts, mut commitments): (Vec<SubShare>, _) = (Vec::new(), Vec::new());
                for dealer in changing.counting().iter().take(set.quorum()) {
                    let (dealing, dealt) = dealing_of(reader, dealer).await?;
                    parts.push(resharing.open(&dealing, own?, &self.receiving(change)).ok()?);
                    commitments.push(dealt.release?.commitments);
                }
                let share = resharing.share(own?, &parts).ok()?;
                let committee = resharing.finish(&commitments).ok()?;
                let release = resharing.prove(runtime, &committee, &share);
                self.office.shares.keep(share);
                let confirm = ReshareConfirm { change, release, matching: None };
                Some(vec![Payload::ReshareConfirm(confirm)])
            }
        }
    }

    /// The key to which is dealt in one change: the same one after a crash.
    fn receiving(&self, change: Location) -> SealingKey {
        let organisation = &self.office.organisation.0[..];
        let change = keepwell_types::encode(&change);
        SealingKey::from_seed(&digest("keepwell/sim/receiving", &[organisation, &change]).0)
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
            Act::Admit(_) | Act::Suspend(_) | Act::Reinstate(_) | Act::Rotate(_) => true,
        }
    }
}

fn random(runtime: &mut Context) -> [u8; 16] {
    let mut bytes = [0; 16];
    rand_core::Rng::fill_bytes(runtime, &mut bytes);
    bytes
}

/// Whom is dealt to, by place.
async fn receivers(reader: &dyn Reader, changing: &Changing) -> Option<Vec<Option<SealingPublic>>> {
    let mut receivers = Vec::new();
    for index in 1..=changing.seats.len() as u16 {
        let value = reader.state(&[Key::Receiver(index)]).await.ok()?.pop()?;
        receivers.push(match value {
            Some(Value::Receiver(it)) if changing.ready.contains(index) => {
                Some(SealingPublic::from_bytes(&it.receiving).ok()?)
            }
            _ => None,
        });
    }
    Some(receivers)
}

/// What one dealer dealt, and what the ledger keeps of it.
async fn dealing_of(reader: &dyn Reader, dealer: u16) -> Option<(Dealing, Dealt)> {
    let value = reader.state(&[Key::Dealt(dealer)]).await.ok()?.pop()?;
    let Some(Value::Dealt(dealt)) = value else { return None };
    let at = dealt.release.as_ref()?.location;
    let entry = entry_at(&reader.block(at.height).await.ok()?, at.index).ok()?;
    let Payload::ReshareDeal(deal) = entry.payload() else { return None };
    Some((Dealing::decode(&deal.dealing).ok()?, dealt))
}
