//! Governance: what an organisation's administrators do, alone or with those of the others.
//!
//! Members are one organisation's own business: as many of its administrators as it needs sign one command. What
//! organisations decide together is a motion, which each approves where it sits; the approval that is enough carries
//! it out.
//!
//! Not here: what counts as enough, which the ledger says.

use keepwell_ledger::state::{
    Changing, Key, Motion, Organisation, Organisations, ProtocolPlan, Validators, Value,
};
use keepwell_types::{
    command::Payload,
    encoding::List,
    id::{MotionId, OrganisationId, PublicKey},
    member::Administrators,
    motion::{Act, MotionApprove, MotionOpen, MotionWithdraw},
    time::BlockTime,
};
use rand_core::Rng as _;

use crate::{
    Client,
    client::{Decided, Draft, rng},
    error::{ClientError, UsageError},
    identity::Actor,
};

/// What became of a motion.
#[derive(Clone, Debug)]
pub struct Moved {
    /// Its id.
    pub motion: MotionId,
    /// What is moved.
    pub act: Act,
    /// What it still waits for; without it, it was carried out.
    pub waits: Option<Motion>,
    /// The entry.
    pub decided: Decided,
}

impl Client {
    /// All organisations that were not expelled.
    pub async fn organisations(&self, actor: &Actor) -> Result<Organisations, ClientError> {
        let proven = self.state(actor, Key::Organisations, "/v1/organisations".into()).await?;
        match proven.into_value() {
            Some(Value::Organisations(list)) => Ok(list),
            _ => Ok(Organisations::default()),
        }
    }

    /// Who validates.
    pub async fn validators(&self, actor: &Actor) -> Result<Option<Validators>, ClientError> {
        let proven = self.state(actor, Key::Validators, "/v1/validators".into()).await?;
        match proven.into_value() {
            Some(Value::Validators(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// The change of validators that is under way, or the last one that failed.
    pub async fn changing(&self, actor: &Actor) -> Result<Option<Changing>, ClientError> {
        let proven = self.state(actor, Key::Changing, "/v1/validators/change".into()).await?;
        match proven.into_value() {
            Some(Value::Changing(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// Which version of the protocol is in force, and which is planned.
    pub async fn protocol(&self, actor: &Actor) -> Result<ProtocolPlan, ClientError> {
        match self.state(actor, Key::Protocol, "/v1/protocol".into()).await?.into_value() {
            Some(Value::Protocol(plan)) => Ok(plan),
            _ => Ok(ProtocolPlan::FIRST),
        }
    }

    /// A motion, if it is there; it may have waited too long.
    pub async fn motion(
        &self,
        actor: &Actor,
        motion: MotionId,
    ) -> Result<Option<Motion>, ClientError> {
        let target = format!("/v1/motions/{motion}");
        match self.state(actor, Key::Motion(motion), target).await?.into_value() {
            Some(Value::Motion(entry)) => Ok(Some(entry)),
            _ => Ok(None),
        }
    }

    /// The motions that one organisation's administrators have made and that still wait.
    pub async fn motions_of(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
    ) -> Result<Vec<(MotionId, Motion)>, ClientError> {
        let target = format!("/v1/organisations/{organisation}/motions");
        let proven = self.state(actor, Key::OpenMotions(organisation), target).await?;
        let Some(Value::OpenMotions(list)) = proven.into_value() else { return Ok(Vec::new()) };
        let mut motions = Vec::new();
        for id in list.open.iter() {
            if let Some(motion) = self.motion(actor, *id).await?
                && self.tip().await?.header().time < motion.until
            {
                motions.push((*id, motion));
            }
        }
        Ok(motions)
    }

    /// Makes a motion, with the signer's own approval.
    pub async fn open_motion(
        &self,
        actor: &Actor,
        act: Act,
        until: BlockTime,
    ) -> Result<Moved, ClientError> {
        let mut id = [0; MotionId::LEN];
        rng().fill_bytes(&mut id);
        let motion = MotionId(id);
        let open = Payload::MotionOpen(MotionOpen { motion, act: act.clone(), until });
        let decided = self.command(actor, open).await?;
        self.moved(actor, motion, act, decided).await
    }

    /// Approves a motion: what it says now, and nothing else.
    pub async fn approve_motion(
        &self,
        actor: &Actor,
        motion: MotionId,
        act: Act,
    ) -> Result<Moved, ClientError> {
        let approve = Payload::MotionApprove(MotionApprove { motion, act: act.clone() });
        let decided = self.command(actor, approve).await?;
        self.moved(actor, motion, act, decided).await
    }

    async fn moved(
        &self,
        actor: &Actor,
        motion: MotionId,
        act: Act,
        decided: Decided,
    ) -> Result<Moved, ClientError> {
        let waits = self.motion(actor, motion).await?;
        Ok(Moved { motion, act, waits, decided })
    }

    /// Takes back a motion of the signer's organisation.
    pub async fn withdraw_motion(
        &self,
        actor: &Actor,
        motion: MotionId,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::MotionWithdraw(MotionWithdraw { motion })).await
    }

    /// A command of an organisation's administrators together, and of whoever else has to sign it.
    pub async fn administer(
        &self,
        signers: &[&Actor],
        payload: Payload,
    ) -> Result<Decided, ClientError> {
        Ok(self.submit(signers, Draft::now(), payload).await?.accepted()?)
    }
}

/// Administrators of whom so many must sign.
pub fn administrators(keys: Vec<PublicKey>, needed: u32) -> Result<Administrators, UsageError> {
    let administrators = List::from_vec(keys)
        .map(|keys| Administrators { keys, needed })
        .map_err(|_| UsageError::UnsoundAdministrators)?;
    if administrators.are_sound() {
        Ok(administrators)
    } else {
        Err(UsageError::UnsoundAdministrators)
    }
}

/// The organisations that have approved a motion, as far as their approvals count.
pub fn approving(
    motion: &Motion,
    of: impl Fn(OrganisationId) -> Option<Organisation>,
    now: BlockTime,
) -> Vec<OrganisationId> {
    let mut approving = Vec::new();
    for organisation in motion.approvals.iter().map(|it| it.organisation) {
        let Some(entry) = of(organisation) else { continue };
        let keys: Vec<_> = motion
            .approvals
            .iter()
            .filter(|it| it.organisation == organisation)
            .map(|it| it.key)
            .collect();
        let counts = !entry.suspended && entry.is_spoken_for(&keys, now);
        if counts && !approving.contains(&organisation) {
            approving.push(organisation);
        }
    }
    approving
}
