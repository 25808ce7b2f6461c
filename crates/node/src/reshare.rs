//! What this validator does, by itself, when validators change.
//!
//! ```text
//!  newest state ─> what is waited for (the ledger's `duty`) ─> key files, shares ─> command ─> the ledger
//! ```
//!
//! # Invariants
//!
//! * Nothing is said about a state that is old: what this node has to say is for the newest one.
//! * A crash at any point does the same again: a dealing follows from the share and from what the ledger says, and keys
//!   and shares are in their files before the ledger hears of them.
//! * Nothing secret leaves but in a dealing, sealed to its receiver; the one exception is a share whose receiver
//!   complained, which its dealer opens for all.
//!
//! Not here: who is waited for and when that ends (`keepwell_ledger::state::Changing`), what a dealing is
//! (`keepwell_crypto::reshare`), and which shares serve ([`crate::shares`]).

use std::sync::Arc;

use keepwell_crypto::{
    command::sign,
    dealing::{Commitments, Dealing, OpenedShare, SubShare},
    reshare::{Resharing, ResharingFault, Share},
    seal::{SealingKey, SealingPublic},
};
use keepwell_engine::{
    admission::{Admission, Refused},
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::state::{Changing, Dealt, DealtKey, Duty, Key, Value};
use keepwell_types::{
    command::{COMMAND_VERSION, Command, Payload},
    encoding::{Blob, List},
    id::{CommandId, Height, Location, OrganisationId},
    member::Party,
    outcome::{Rejection, Verdict},
    time::Window,
    validators::{
        Complaint, KeyUse, OpenShare, ReshareCheck, ReshareConfirm, ReshareDeal, ReshareOpen,
        ReshareReady, SHARE_PROOF_BYTES, ValidatorSet, index_of,
    },
};
use rand_core::Rng as _;
use thiserror::Error;
use tokio::time::{Duration, sleep};

use crate::{
    clock::Clock,
    random::rng,
    shares::{Shares, SharesError},
};

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long a command may wait for a block, in milliseconds of block time: it is said again then, if it is still due.
const WINDOW_MS: u64 = 20_000;

#[derive(Debug, Error)]
enum ReshareError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error("the validators of the ledger are no committee: {0}")]
    Fault(#[from] ResharingFault),
    #[error("no share of the {0:?} key is here that this validator could deal anew")]
    NoShare(KeyUse),
    #[error(
        "the key to which shares are dealt is not here, or is another one than the ledger has: this validator gets no share in this change; restore receiving-{}-{}.key if you have it",
        .0.height, .0.index
    )]
    NoReceivingKey(Location),
    #[error("dealer {0} sent this validator a share that does not open, and nobody opened it")]
    WrongShare(u16),
    #[error("the ledger does not show what its rules say it has: {0}")]
    Missing(&'static str),
    #[error("the ledger does not take the validator's word now: {0}")]
    Refused(Refused),
    #[error("the ledger refuses the validator's word: {0}")]
    Rejected(Rejection),
}

/// Takes part in changes of validators for as long as the node runs, and puts shares in their places.
pub async fn keep_resharing(
    organisation: OrganisationId,
    shares: Arc<Shares>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
    clock: Clock,
) {
    let (settled, missed) = (None, None);
    let mut deputy =
        Deputy { organisation, shares, core, reader, admission, clock, settled, missed };
    let mut tip = deputy.core.watch_tip();
    loop {
        tip.borrow_and_update();
        if let Err(error) = deputy.step().await {
            tracing::warn!(%error, "could not take part in a change of validators; it is tried again");
            sleep(RETRY).await;
            continue;
        }
        if tip.changed().await.is_err() {
            return;
        }
    }
}

/// Acts for this validator.
struct Deputy {
    organisation: OrganisationId,
    shares: Arc<Shares>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    admission: Admission,
    clock: Clock,
    /// The set and the change for which shares are in their places.
    settled: Option<(u64, Option<Location>)>,
    /// The set for which it was said that a share is missing.
    missed: Option<u64>,
}

impl Deputy {
    async fn step(&mut self) -> Result<(), ReshareError> {
        let tip = self.core.tip();
        let (set, changing) = self.standing().await?;
        // The state of the last block of an epoch is there a moment before everyone is told who follows.
        if self.core.sets.newest().since != set.since {
            return Ok(());
        }
        let standing = (set.since, changing.as_ref().map(|it| it.began));
        if self.settled != Some(standing) {
            self.shares.settle(tip.height(), set.clone(), standing.1).await?;
            // Before the first block of this start, nothing can be told to be over.
            self.settled = Some(standing).filter(|_| tip.height() > Height(0));
        }
        // What an older state asks for, the others have had or have given up.
        if !self.clock.is_fresh(tip.time()) {
            return Ok(());
        }
        if self.shares.is_missing() && self.missed != Some(standing.0) {
            self.missed = Some(standing.0);
            tracing::warn!(
                "this validator has no share of the committee's key: it releases nothing until shares are dealt anew; restore share.key if you have it"
            );
        }
        let Some(changing) = changing else { return Ok(()) };
        let release = self.shares.release_key();
        let next = Height(tip.height().0 + 1);
        let blocks = self.core.sets.epoch_blocks();
        let Some(duty) = changing.duty(&set, &release, next, blocks) else { return Ok(()) };
        let part = Part { deputy: self, set: &set, changing: &changing };
        for payload in part.said(duty).await? {
            self.say(payload).await?;
        }
        tracing::info!(change = %changing.began.height, ?duty, "did this validator's part");
        Ok(())
    }

    /// Who validates, and the change of it, if one stands.
    async fn standing(&self) -> Result<(ValidatorSet, Option<Changing>), ReshareError> {
        let mut values = self.reader.state(&[Key::Validators, Key::Changing]).await?.into_iter();
        match (values.next().flatten(), values.next().flatten()) {
            (Some(Value::Validators(it)), Some(Value::Changing(changing))) => {
                Ok((it.set, Some(changing)))
            }
            (Some(Value::Validators(it)), _) => Ok((it.set, None)),
            // Before the founding entries.
            _ => Ok((ValidatorSet::of(&self.core.genesis), None)),
        }
    }

    async fn say(&self, payload: Payload) -> Result<(), ReshareError> {
        let now = self.core.tip().time();
        let mut id = [0; CommandId::LEN];
        rng().fill_bytes(&mut id);
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.core.chain,
            id: CommandId(id),
            window: Window { from: now, until: now.plus_ms(WINDOW_MS) },
            signers: List::from_vec(vec![Party::Validator(self.organisation)]).expect("one signer"),
            payload,
        };
        let signed = sign(command, &[&self.shares.signing()]);
        let outcome =
            self.admission.submit(signed.encode()).await.map_err(ReshareError::Refused)?;
        match outcome.verdict {
            Verdict::Accepted => Ok(()),
            // What was said before a crash, or what the others did not wait for: the next state says what is due.
            Verdict::Rejected(
                Rejection::SaidAlready
                | Rejection::NotAtThisStage
                | Rejection::NoSuchChange { .. }
                | Rejection::NotInChange,
            ) => Ok(()),
            Verdict::Rejected(rejection) => Err(ReshareError::Rejected(rejection)),
        }
    }
}

/// This validator's part in a change, in one state.
struct Part<'a> {
    deputy: &'a Deputy,
    set: &'a ValidatorSet,
    changing: &'a Changing,
}

/// One key, and what resharing it takes.
struct OneKey {
    key: KeyUse,
    resharing: Resharing,
}

impl Part<'_> {
    async fn said(&self, duty: Duty) -> Result<Vec<Payload>, ReshareError> {
        match duty {
            Duty::Ready => self.ready().await,
            Duty::Deal => self.deal().await,
            Duty::Check => self.check().await,
            Duty::Open => self.open().await,
            Duty::Confirm => self.confirm().await,
        }
    }

    async fn ready(&self) -> Result<Vec<Payload>, ReshareError> {
        let drawn = self.deputy.shares.draw_receiving(self.changing.began).await?;
        let receiving = drawn.public().to_blob();
        Ok(vec![Payload::ReshareReady(ReshareReady { change: self.changing.began, receiving })])
    }

    async fn deal(&self) -> Result<Vec<Payload>, ReshareError> {
        let own = self.set.index_of(&self.deputy.shares.release_key());
        let own = own.ok_or(ReshareError::Missing("this validator's seat"))?;
        let dealt = self.dealt(own).await?.unwrap_or_default();
        let (shares, receivers) = (self.deputy.shares.all().await?, self.receivers().await?);
        let mut said = Vec::new();
        for one in self.keys()? {
            if dealt.of(one.key).is_none() {
                let dealing = one.dealt(&shares, &receivers)?.dealing().encode();
                let dealing = Blob::from_vec(dealing)
                    .map_err(|_| ReshareError::Missing("room for a dealing to all of them"))?;
                let deal = ReshareDeal { change: self.changing.began, key: one.key, dealing };
                said.push(Payload::ReshareDeal(deal));
            }
        }
        Ok(said)
    }

    async fn check(&self) -> Result<Vec<Payload>, ReshareError> {
        let own = self.own_place()?;
        let receiving = self.receiving(own).await?;
        let mut wrong = List::new();
        for one in self.keys()? {
            for dealer in self.changing.dealt.iter() {
                let (dealing, _) = self.dealing(dealer, one.key).await?;
                if one.resharing.open(&dealing, own, &receiving).is_err() {
                    let complaint = Complaint { key: one.key, dealer };
                    wrong.push(complaint).expect("there is room for each dealer and key");
                }
            }
        }
        if !wrong.is_empty() {
            tracing::warn!(
                dealers = wrong.len(),
                "shares that were dealt to this validator are wrong"
            );
        }
        Ok(vec![Payload::ReshareCheck(ReshareCheck { change: self.changing.began, wrong })])
    }

    async fn open(&self) -> Result<Vec<Payload>, ReshareError> {
        let own = self.set.index_of(&self.deputy.shares.release_key());
        let own = own.ok_or(ReshareError::Missing("this validator's seat"))?;
        let stands = self.dealt(own).await?.ok_or(ReshareError::Missing("what was dealt"))?;
        let (shares, receivers) = (self.deputy.shares.all().await?, self.receivers().await?);
        let mut opened = List::new();
        for one in self.keys()? {
            let Some(stands) = stands.of(one.key).filter(|it| !it.accusers.is_empty()) else {
                continue;
            };
            let dealt = one.dealt(&shares, &receivers)?;
            for receiver in stands.accusers.iter() {
                let share = dealt.opened(receiver).share().clone();
                let share = OpenShare { key: one.key, receiver, share };
                opened.push(share).expect("there is room for each receiver and key");
            }
        }
        Ok(vec![Payload::ReshareOpen(ReshareOpen { change: self.changing.began, shares: opened })])
    }

    async fn confirm(&self) -> Result<Vec<Payload>, ReshareError> {
        let own = self.own_place()?;
        let receiving = self.receiving(own).await?;
        let (mut shares, mut release, mut matching) = (Vec::new(), None, None);
        for one in self.keys()? {
            let (mut parts, mut commitments): (Vec<SubShare>, Vec<Commitments>) =
                Default::default();
            for dealer in self.changing.counting().iter().take(self.set.quorum()) {
                let (dealing, stands) = self.dealing(dealer, one.key).await?;
                parts.push(one.received(&dealing, &stands, (own, dealer), &receiving)?);
                commitments.push(stands.commitments);
            }
            let damaged = ResharingFault::Numbers;
            let share = one.resharing.share(own, &parts).map_err(damaged)?;
            let committee = one.resharing.finish(&commitments).map_err(damaged)?;
            let proof = one.resharing.prove(&mut rng(), &committee, &share);
            match one.key {
                KeyUse::Release => release = Some(proof),
                KeyUse::Match => matching = Some(proof),
            }
            shares.push(share);
        }
        let release: Blob<SHARE_PROOF_BYTES> = release.ok_or(ReshareError::Missing("a key"))?;
        // From the command on, others count on these shares.
        self.deputy.shares.keep(self.changing.began, shares).await?;
        let confirm = ReshareConfirm { change: self.changing.began, release, matching };
        Ok(vec![Payload::ReshareConfirm(confirm)])
    }

    /// The keys that are dealt anew.
    fn keys(&self) -> Result<Vec<OneKey>, ReshareError> {
        let (chain, began) = (&self.deputy.core.chain, self.changing.began);
        let keys = [KeyUse::Release, KeyUse::Match].into_iter();
        keys.filter_map(|key| self.set.committee(key).map(|keys| (key, keys)))
            .map(|(key, keys)| {
                let seats = self.changing.seats.len();
                let resharing = Resharing::new(chain, began, key, keys, seats)?;
                Ok(OneKey { key, resharing })
            })
            .collect()
    }

    /// This validator's place in the set to come, counted from 1.
    fn own_place(&self) -> Result<u16, ReshareError> {
        let own = index_of(&self.changing.seats, &self.deputy.shares.release_key());
        own.ok_or(ReshareError::Missing("this validator's seat"))
    }

    /// The key to which others dealt. With any other one, every dealing would look wrong, and honest dealers would open
    /// to all what was for this validator alone.
    async fn receiving(&self, own: u16) -> Result<SealingKey, ReshareError> {
        let began = self.changing.began;
        let key = self.deputy.shares.receiving(began).await?;
        let said = self.deputy.reader.state(&[Key::Receiver(own)]).await?.pop().flatten();
        let Some(Value::Receiver(said)) = said else {
            return Err(ReshareError::Missing("to which key this validator is dealt"));
        };
        let fits = |key: &SealingKey| key.public().to_blob() == said.receiving;
        key.filter(fits).ok_or(ReshareError::NoReceivingKey(began))
    }

    /// Whom is dealt to, by place.
    async fn receivers(&self) -> Result<Vec<Option<SealingPublic>>, ReshareError> {
        let count = u16::try_from(self.changing.seats.len()).expect("a set has few seats");
        let keys: Vec<_> = (1..=count).map(Key::Receiver).collect();
        let values = self.deputy.reader.state(&keys).await?;
        (1..=count)
            .zip(values)
            .map(|(index, value)| match value {
                _ if !self.changing.ready.contains(index) => Ok(None),
                Some(Value::Receiver(it)) => SealingPublic::from_bytes(&it.receiving)
                    .map(Some)
                    .map_err(|_| ReshareError::Missing("a key to deal to")),
                _ => Err(ReshareError::Missing("a key to deal to")),
            })
            .collect()
    }

    /// What the ledger keeps of what was dealt by one.
    async fn dealt(&self, dealer: u16) -> Result<Option<Dealt>, ReshareError> {
        match self.deputy.reader.state(&[Key::Dealt(dealer)]).await?.pop().flatten() {
            Some(Value::Dealt(dealt)) => Ok(Some(dealt)),
            _ => Ok(None),
        }
    }

    /// One dealing, from its block, and what the ledger keeps of it.
    async fn dealing(&self, dealer: u16, key: KeyUse) -> Result<(Dealing, DealtKey), ReshareError> {
        let missing = || ReshareError::Missing("what was dealt");
        let stands = self.dealt(dealer).await?.and_then(|it| it.of(key).cloned());
        let stands = stands.ok_or_else(missing)?;
        let Location { height, index } = stands.location;
        let entry = entry_at(&self.deputy.reader.block(height).await?, index)?;
        let Payload::ReshareDeal(deal) = entry.payload() else { return Err(missing()) };
        Ok((Dealing::decode(&deal.dealing).map_err(|_| missing())?, stands))
    }
}

impl OneKey {
    /// This validator's dealing: the same one whenever it is made.
    fn dealt(
        &self,
        shares: &[Share],
        receivers: &[Option<SealingPublic>],
    ) -> Result<keepwell_crypto::dealing::Dealt, ReshareError> {
        let dealt = shares.iter().find_map(|share| self.resharing.deal(share, receivers).ok());
        dealt.ok_or(ReshareError::NoShare(self.key))
    }

    /// What `dealer` dealt to `own`: as it was sealed, or as it was opened after a complaint.
    fn received(
        &self,
        dealing: &Dealing,
        stands: &DealtKey,
        (own, dealer): (u16, u16),
        receiving: &SealingKey,
    ) -> Result<SubShare, ReshareError> {
        let sealed = self.resharing.open(dealing, own, receiving);
        let opened = || {
            let opened = stands.opened.iter().find(|it| it.receiver == own)?;
            let opened = OpenedShare::new(own, opened.share.clone());
            self.resharing.check_opened(&stands.commitments, &opened).ok()
        };
        sealed.ok().or_else(opened).ok_or(ReshareError::WrongShare(dealer))
    }
}
