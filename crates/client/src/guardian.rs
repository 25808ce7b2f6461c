//! Guardians, and what they do: a chart comes to a new wallet when the old one is lost.
//!
//! ```text
//! patient    masters of all compartments ── shared out, sealed to each guardian ──> custodians
//!            guardian.set {who, digest} ──> ledger
//! new wallet offer ── by hand ──> guardians
//! guardian   share ── sealed to the offer's key ──> custodians
//!            recovery.start or .approve {the offer's key, digest} ──> ledger: the patient is told
//! new wallet (after the delay) shares ──> masters; recovery.finish ──> ledger; new key sheet
//! ```
//!
//! # Invariants
//!
//! * What guardians hold together is masters, which sign nothing: guardians who conspire read nothing until
//!   the ledger has given the chart to new keys, which the patient sees, and can veto, before.
//! * A guardian hands its share to the key that it approves, and to no other.
//! * The new wallet keeps the old masters, on disk, before it takes the chart over.
//!
//! Not here: how guardians know who asks. They look at the person, not at the offer.

use keepwell_crypto::{
    escrow::Share,
    guardian::{Binding, Group, GuardianEscrow},
    keys::ChartSecret,
    seal::SealingKey,
};
use keepwell_ledger::state::{Chart, Guardians, Key, Recovery, Value};
use keepwell_types::{
    command::Payload,
    encoding::List,
    guardian::{
        Guardian, GuardianGroup, GuardianPlace, GuardianPolicy, GuardianSet, RecoveryApprove,
        RecoveryEnd, RecoveryFinish, RecoveryGround, RecoveryStart,
    },
    id::{ChartId, Digest, Epoch, LogPosition, MemberId},
    member::Party,
    set::CompartmentSet,
};

use crate::{
    Client,
    chart::{keys_at, unless_refused},
    client::{Decided, rng},
    delegate::Offer,
    error::{ClientError, KeyError, UsageError},
    grant::Rotated,
    identity::{Actor, ChartHolder, KnownChart, MemberIdentity, Wallet},
    masters::Masters,
};

/// Bytes of what guardians hold together: sixteen masters for each of many generations.
const MASTERS_BYTES_MAX: usize = 64 * 1024;
/// Stands for the digest of what guardians hold where there are none.
const NO_ESCROW: Digest = Digest([0; 32]);

/// One who is to be a guardian.
#[derive(Clone, Debug)]
pub enum Named {
    /// Whoever made this offer.
    Offer(Box<Offer>),
    /// A member, under its own name.
    Member(MemberId),
}

/// Guardians of whom so many are needed.
#[derive(Clone, Debug)]
pub struct NamedGroup {
    /// How many.
    pub approvals_min: u8,
    /// Of whom.
    pub guardians: Vec<Named>,
}

/// With which keys someone is a guardian.
#[derive(Clone, Debug)]
pub struct GuardianKeys {
    actor: Actor,
    sealing: SealingKey,
    guardian: Guardian,
}

impl GuardianKeys {
    /// With keys that were offered for this chart.
    pub fn of_offer(chart: ChartId, secret: &ChartSecret) -> Self {
        let key = secret.signing();
        let guardian = Guardian::Key(key.public());
        let actor = Actor::new(Party::Guardian(chart), key);
        Self { actor, sealing: secret.sealing(), guardian }
    }

    /// As a member.
    pub fn of_member(member: &MemberIdentity) -> Self {
        let guardian = Guardian::Member(member.member());
        Self { actor: member.actor(), sealing: member.sealing(), guardian }
    }

    /// Signs as this guardian.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where it stands among a chart's guardians, if it does.
    pub fn place(&self, guardians: &Guardians) -> Option<GuardianPlace> {
        guardians.policy.place_of(&self.guardian)
    }
}

/// A chart that a wallet has taken over.
#[derive(Debug)]
pub struct TakenOver {
    /// The chart.
    pub chart: ChartId,
    /// What was done so that grantees read on.
    pub rotated: Rotated,
}

impl Client {
    /// Who guards a chart, if somebody does.
    pub async fn guardians(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<Option<Guardians>, ClientError> {
        let target = format!("/v1/charts/{chart}/guardians");
        let proven = self.state(actor, Key::Guardians(chart), target).await?;
        match proven.into_value() {
            Some(Value::Guardians(guardians)) => Ok(Some(guardians)),
            Some(_) | None => Ok(None),
        }
    }

    /// The recoveries of a chart that wait.
    pub async fn recoveries(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<Vec<Recovery>, ClientError> {
        let target = format!("/v1/charts/{chart}/recoveries");
        let proven = self.state(actor, Key::Recoveries(chart), target).await?;
        match proven.into_value() {
            Some(Value::Recoveries(recoveries)) => Ok(recoveries.open.into_vec()),
            Some(_) | None => Ok(Vec::new()),
        }
    }

    /// Says who guards a chart, in the place of those before; without groups, nobody.
    pub async fn set_guardians(
        &self,
        wallet: &Wallet,
        chart: ChartId,
        (groups, groups_min): (&[NamedGroup], u8),
        executor: Option<&Offer>,
    ) -> Result<Decided, ClientError> {
        let actor = wallet.holder(chart)?.actor();
        let mut policy = GuardianPolicy {
            groups: List::new(),
            groups_min,
            executor: executor.map(Offer::signing),
        };
        let mut shared = Vec::new();
        for group in groups {
            let (named, keys) = self.named(&actor, group).await?;
            policy.groups.push(named).map_err(|_| UsageError::Guardians)?;
            shared.push(keys);
        }
        // With what the ledger would refuse, nothing is shared out.
        if !groups.is_empty() && !policy.is_sound() {
            return Err(UsageError::Guardians.into());
        }
        let escrow = if groups.is_empty() {
            NO_ESCROW
        } else {
            self.share_out(wallet, chart, u16::from(groups_min), &shared).await?
        };
        let set = GuardianSet { chart, policy, escrow };
        self.command(&actor, Payload::GuardianSet(set)).await
    }

    /// A group as the ledger has it, and the keys to which its shares are sealed.
    async fn named(
        &self,
        actor: &Actor,
        group: &NamedGroup,
    ) -> Result<(GuardianGroup, Group), ClientError> {
        let (mut guardians, mut keys) = (List::new(), Vec::new());
        for named in &group.guardians {
            let (guardian, key) = match named {
                Named::Offer(offer) => (Guardian::Key(offer.signing()), offer.sealing().clone()),
                Named::Member(id) => (Guardian::Member(*id), self.member_key(actor, *id).await?),
            };
            guardians.push(guardian).map_err(|_| UsageError::Guardians)?;
            keys.push(key);
        }
        let approvals_min = group.approvals_min;
        let shared = Group { threshold: u16::from(approvals_min), guardians: keys };
        Ok((GuardianGroup { guardians, approvals_min }, shared))
    }

    /// Shares out what opens the chart, and stores it at its custodians.
    async fn share_out(
        &self,
        wallet: &Wallet,
        id: ChartId,
        groups_min: u16,
        groups: &[Group],
    ) -> Result<Digest, ClientError> {
        let actor = wallet.holder(id)?.actor();
        let masters = wallet.masters(id, CompartmentSet::all())?;
        let secret = zeroize::Zeroizing::new(keepwell_types::encode(&masters));
        let chain = self.consortium().chain();
        let binding = Binding { chain: &chain, chart: &id };
        let escrow = GuardianEscrow::deal(&mut rng(), &binding, &secret, groups_min, groups)
            .map_err(KeyError::Escrow)?;
        let chart = self.chart(&actor, id).await?;
        self.put_guardian_escrow(&actor, id, &chart, &escrow).await?;
        Ok(escrow.digest())
    }

    /// Starts a recovery: vouches for whoever made the offer, and hands over a share.
    pub async fn start_recovery(
        &self,
        keys: &GuardianKeys,
        offer: &Offer,
        ground: RecoveryGround,
    ) -> Result<Decided, ClientError> {
        let chart = offer.chart();
        let share = self.hand_over(keys, offer).await?;
        let (successor, sealing) = (offer.signing(), offer.sealing().digest());
        let start = RecoveryStart { chart, ground, successor, sealing, share };
        self.command(&keys.actor, Payload::RecoveryStart(start)).await
    }

    /// Approves the recovery that another guardian has started for whoever made the offer.
    pub async fn approve_recovery(
        &self,
        keys: &GuardianKeys,
        offer: &Offer,
    ) -> Result<Decided, ClientError> {
        let (chart, successor) = (offer.chart(), offer.signing());
        let open = self.recoveries(&keys.actor, chart).await?;
        let is_its =
            |it: &&Recovery| (it.successor, it.sealing) == (successor, offer.sealing().digest());
        let recovery = open.iter().find(is_its).ok_or(UsageError::NoRecovery(chart))?.position;
        let share = self.hand_over(keys, offer).await?;
        let approve = RecoveryApprove { chart, recovery, successor, share };
        self.command(&keys.actor, Payload::RecoveryApprove(approve)).await
    }

    /// Seals the guardian's share to the offer's key, and stores it.
    async fn hand_over(&self, keys: &GuardianKeys, offer: &Offer) -> Result<Digest, ClientError> {
        let (actor, id, chain) = (&keys.actor, offer.chart(), self.consortium().chain());
        let guardians = self.guardians(actor, id).await?.ok_or(UsageError::NoGuardians(id))?;
        let place = keys.place(&guardians).ok_or(UsageError::NoGuardians(id))?;
        let chart = self.chart(actor, id).await?;
        let escrow = self.guardian_escrow(actor, id, &chart, guardians.escrow).await?;
        let binding = Binding { chain: &chain, chart: &id };
        let share = escrow
            .hand_over(&mut rng(), &binding, place, &keys.sealing, offer.sealing())
            .map_err(KeyError::Escrow)?;
        self.put_share(actor, id, &chart, &share).await?;
        Ok(share.digest())
    }

    /// Takes an approval back; of whoever started the recovery, that ends it.
    pub async fn withdraw_recovery(
        &self,
        keys: &GuardianKeys,
        chart: ChartId,
        recovery: LogPosition,
    ) -> Result<Decided, ClientError> {
        let payload = Payload::RecoveryWithdraw(RecoveryEnd { chart, recovery });
        self.command(&keys.actor, payload).await
    }

    /// Ends a recovery.
    pub async fn veto_recovery(
        &self,
        holder: &ChartHolder,
        recovery: LogPosition,
    ) -> Result<Decided, ClientError> {
        let payload = Payload::RecoveryVeto(RecoveryEnd { chart: holder.chart(), recovery });
        self.command(&holder.actor(), payload).await
    }

    /// Takes a chart over, once its guardians have approved and the delay is past. If an earlier try was cut
    /// off, this completes it.
    pub async fn finish_recovery(
        &self,
        wallet: &mut Wallet,
        id: ChartId,
    ) -> Result<TakenOver, ClientError> {
        let holder = wallet.new_holder(id);
        if wallet.chart(id).is_ok() && self.chart(&holder.actor(), id).await.is_ok() {
            let holder = wallet.holder(id)?;
            self.publish_keys(&holder).await?;
            let rotated = self.rotate_compartments(&holder, CompartmentSet::all()).await?;
            return Ok(TakenOver { chart: id, rotated });
        }
        let key = holder.secret().signing();
        let (own, successor) = (key.public(), Actor::new(Party::Successor(id), key));
        let chart = self.chart(&successor, id).await?;
        let open = self.recoveries(&successor, id).await?;
        // A guardian may have started another one for this key, with shares that go elsewhere.
        let sealing = holder.sealing().public().digest();
        let is_own = |it: &&Recovery| it.successor == own && it.sealing == sealing;
        let recovery = open
            .iter()
            .find(|it| is_own(it) && it.ready_at.is_some())
            .or_else(|| open.iter().find(is_own))
            .ok_or(UsageError::NoRecovery(id))?;
        let masters = self.collect_masters(&successor, &holder, &chart, recovery).await?;
        let epochs = chart.epochs.map(|epoch| Epoch(epoch.0.saturating_add(1)));
        // What an earlier try left behind, or what the wallet has as a proxy.
        let before = wallet.chart(id).ok().cloned();
        wallet.forget(id);
        wallet.add(KnownChart::recovered(id, masters, epochs))?;
        wallet.save()?;
        let (keys, _) = keys_at(&holder, &epochs);
        let (position, replaces) = (recovery.position, chart.keys.sheet);
        let finish =
            RecoveryFinish { chart: id, recovery: position, keys, replaces, epochs: chart.epochs };
        if let Err(error) = self.command(&successor, Payload::RecoveryFinish(finish)).await {
            return Err(unless_refused(error, || {
                wallet.forget(id);
                // There is room: the chart was taken out in the line before.
                let _ = before.map(|known| wallet.add(known));
                wallet.save()
            }));
        }
        let holder = wallet.holder(id)?;
        self.publish_keys(&holder).await?;
        let rotated = self.rotate_compartments(&holder, CompartmentSet::all()).await?;
        Ok(TakenOver { chart: id, rotated })
    }

    /// What the guardians' shares give back.
    async fn collect_masters(
        &self,
        successor: &Actor,
        holder: &ChartHolder,
        chart: &Chart,
        recovery: &Recovery,
    ) -> Result<Masters, ClientError> {
        let (id, chain) = (holder.chart(), self.consortium().chain());
        let guardians = self.guardians(successor, id).await?.ok_or(UsageError::NoGuardians(id))?;
        let escrow = self.guardian_escrow(successor, id, chart, guardians.escrow).await?;
        let binding = Binding { chain: &chain, chart: &id };
        let mut shares: Vec<(GuardianPlace, Share)> = Vec::new();
        for approval in &recovery.approvals {
            // A share that does not open is left out: others may be enough.
            let Ok(handed) = self.share(successor, id, chart, approval.share).await else {
                continue;
            };
            if let Ok(share) = handed.open(&binding, approval.by, &holder.sealing()) {
                shares.push((approval.by, share));
            }
        }
        let secret = escrow.recover(&binding, &shares).map_err(KeyError::Escrow)?;
        let masters = keepwell_types::decode(&secret, MASTERS_BYTES_MAX);
        Ok(masters.map_err(|error| UsageError::NotA { what: "what guardians hold", error })?)
    }
}
