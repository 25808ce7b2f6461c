//! Epochs: a consensus of its own for each, one after the other, over the same chain.
//!
//! ```text
//!            votes, certificates, fetch: one subchannel for each epoch
//!                 │                 │
//!   ... ──> consensus of epoch e ──> consensus of epoch e + 1 ──> ...
//!                 │                 ▲
//!                 └─ last block of e, final and executed here: what e + 1 begins from
//! ```
//!
//! # Invariants
//!
//! * At most one consensus runs. That of an epoch begins from the last block of the epoch before, which is final, and
//!   with the validators that this block leaves in force.
//! * The votes that a validator has cast in an epoch stay on its disk until a restart can no longer lead back into
//!   that epoch: nobody votes twice because it forgot.
//! * What comes for the next epoch before it begins here is kept, within a limit for each peer: a validator that is a
//!   moment late misses nothing. What comes for a later epoch says that the sender is ahead, and is dropped.
//!
//! A validator that may have forgotten votes follows without one ([`crate::abstention`]), until a block is final that was
//! made after it started; then it enters the epoch again, as one that votes, from that block.
//!
//! A validator that lags behind asks whoever sent it something of a later epoch for the certificate of the last block
//! of its own, which it can check; the blocks before follow from that one.
//!
//! Not here: who validates when ([`crate::sets`]).

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use commonware_consensus::{
    CertifiableAutomaton, Relay, Reporter,
    simplex::{
        self, Plan, SkipBudget,
        config::{Floor, ForwardPolicy, SkipPolicy},
        elector::RoundRobin,
        types::{Activity, Finalization},
    },
    types::{Epoch, Height as EngineHeight, ViewDelta},
};
use commonware_cryptography::Sha256;
use commonware_p2p::{
    Blocker, Message, Receiver, Sender,
    utils::mux::{Builder as _, Error as MuxError, MuxHandle, Muxer, SubReceiver, SubSender},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Error as RuntimeError, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef,
};
use commonware_utils::{NZDuration, NZUsize, channel::mpsc, vec::NonEmptyVec};
use futures::{FutureExt as _, pin_mut, select_biased};
use keepwell_types::{id::Height, time::BlockTime, validators::epoch_of};
use rand_core::CryptoRng;
use tokio::sync::watch;

use crate::{
    abstention,
    application::Scheme,
    block::{Context, EngineDigest, EngineKey, to_engine},
    core::{Core, Tip},
    index::IndexError,
    patience::{Hearing, Patient, Unheard},
    reader::Marshal,
    sets::Schemes,
    sync::finalization,
};

/// Messages for the next epoch that are kept from one peer on one channel. Votes of the first views fit.
const EARLY_MAX: usize = 16;
/// How often a validator says again that it gives up a view, and how it came to that view.
const TIMEOUT_RETRY: Duration = Duration::from_secs(2);
/// Epochs before the present one whose votes are looked for, and removed, when a validator starts.
const STALE_EPOCHS: u64 = 16;
/// How many blocks before the newest are looked at for one with a certificate of its own, to begin from.
const CERTIFICATE_SEARCH: u64 = 64;
/// Pause before a subchannel is asked for again that an ended consensus still holds, and how often.
const RELEASE: (Duration, usize) = (Duration::from_millis(5), 2_000);

/// What the consensus of every epoch is made with.
pub(crate) struct Parts<B, A> {
    pub core: Arc<Core>,
    pub schemes: Schemes,
    pub marshal: Marshal,
    pub blocker: B,
    pub application: A,
    /// Begins the names of partitions.
    pub prefix: String,
    pub page_cache: CacheRef,
    pub leader_timeout: Duration,
    pub certification_timeout: Duration,
    /// If it may have forgotten votes: it votes again once a block that is later than this is final.
    pub abstains: Option<BlockTime>,
}

/// The channels of consensus.
pub(crate) struct Channels<S, R> {
    pub votes: (S, R),
    pub certificates: (S, R),
    pub fetch: (S, R),
}

/// Runs epoch after epoch, from the one that the block store has come to. It ends when consensus does.
pub(crate) async fn start<E, B, A, S, R>(
    context: E,
    parts: Parts<B, A>,
    channels: Channels<S, R>,
) -> Result<Handle<()>, IndexError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    B: Blocker<PublicKey = EngineKey>,
    A: Consensual,
    S: Sender<PublicKey = EngineKey>,
    R: Receiver<PublicKey = EngineKey>,
{
    // The block store has not processed what a validator began from.
    let newest = processed(&parts.marshal).await.max(parts.core.floor()?);
    let tips = parts.core.watch_tip();
    let (votes, certificates) = (
        Channel::over(context.child("votes"), channels.votes),
        Channel::over(context.child("certificates"), channels.certificates),
    );
    let (fetch_muxer, fetch) =
        Muxer::new(context.child("fetch"), channels.fetch.0, channels.fetch.1);
    fetch_muxer.start();
    let abstains = parts.abstains;
    let stale = VecDeque::new();
    let ended_by = None;
    let mut epochs =
        Epochs { context, parts, votes, certificates, fetch, stale, abstains, ended_by };
    let first = epochs.epoch_after(newest);
    let from = epochs.newest_floor(first, newest).await?;
    epochs.stale.extend(first.saturating_sub(STALE_EPOCHS)..first);
    let spawner = epochs.context.child("epochs");
    Ok(spawner.spawn(move |_| async move {
        if let Err(error) = epochs.run(tips, first, from).await {
            panic!("consensus cannot go on: {error}; the validator stops");
        }
    }))
}

/// What proposes, checks and hears of blocks: the same in each epoch.
pub(crate) trait Consensual:
    CertifiableAutomaton<Context = Context, Digest = EngineDigest>
    + Relay<Digest = EngineDigest, PublicKey = EngineKey, Plan = Plan<EngineKey>>
    + Reporter<Activity = Activity<Scheme, EngineDigest>>
{
}

impl<A> Consensual for A where
    A: CertifiableAutomaton<Context = Context, Digest = EngineDigest>
        + Relay<Digest = EngineDigest, PublicKey = EngineKey, Plan = Plan<EngineKey>>
        + Reporter<Activity = Activity<Scheme, EngineDigest>>
{
}

struct Epochs<E, B, A, S: Sender> {
    context: E,
    parts: Parts<B, A>,
    votes: Channel<S>,
    certificates: Channel<S>,
    fetch: MuxHandle<S>,
    /// Epochs whose votes may still be on the disk.
    stale: VecDeque<u64>,
    /// As [`Parts::abstains`], until that has come about.
    abstains: Option<BlockTime>,
    /// The block that ended the abstention, until it is on the disk: then the note goes.
    ended_by: Option<Height>,
}

/// The consensus that runs.
struct Running {
    epoch: u64,
    /// Whether this validator may vote in it.
    votes: bool,
    engine: Handle<()>,
}

impl<E, B, A, S> Epochs<E, B, A, S>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    B: Blocker<PublicKey = EngineKey>,
    A: Consensual,
    S: Sender<PublicKey = EngineKey>,
{
    async fn run(
        mut self,
        mut tips: watch::Receiver<Tip>,
        first: u64,
        from: Floor<Scheme, EngineDigest>,
    ) -> Result<(), EpochError> {
        let mut running = self.enter(first, from).await?;
        loop {
            let event = {
                let tip = tips.changed().fuse();
                let vote = self.votes.ahead.recv().fuse();
                let certificate = self.certificates.ahead.recv().fuse();
                let ended = (&mut running.engine).fuse();
                pin_mut!(tip, vote, certificate, ended);
                // In this order: `select!` draws lots of its own, and a run would not follow from its seed.
                select_biased! {
                    changed = tip => changed.map_or(Event::Ended, |()| Event::Tip),
                    vote = vote => vote.map_or(Event::Ended, |(of, it)| Event::Vote(of, it)),
                    certificate = certificate => {
                        certificate.map_or(Event::Ended, |(of, it)| Event::Certificate(of, it))
                    }
                    _ = ended => Event::Ended,
                }
            };
            match event {
                Event::Tip => {
                    let tip = tips.borrow_and_update().clone();
                    running = self.follow(running, &tip).await?;
                    self.remove_stale().await?;
                    self.remove_note().await?;
                }
                Event::Vote(epoch, message) => {
                    self.hint(running.epoch, epoch, &message.0);
                    self.votes.keep(running.epoch, epoch, message);
                }
                Event::Certificate(epoch, message) => {
                    self.hint(running.epoch, epoch, &message.0);
                    self.certificates.keep(running.epoch, epoch, message);
                }
                Event::Ended => return Ok(()),
            }
        }
    }

    /// What a block that is final and executed leads to: a later epoch, a vote, or nothing.
    async fn follow(&mut self, running: Running, tip: &Tip) -> Result<Running, EpochError> {
        let (height, epoch) = (tip.height(), self.epoch_after(tip.height()));
        let is_newer = self.abstains.is_some_and(|since| tip.time() > since);
        if epoch > running.epoch {
            // In an epoch that began before this block, it may have voted: it enters that as one that abstains.
            if is_newer && self.first_of(epoch).0 == height.0 + 1 {
                self.vote_again(height);
            }
            self.stale.push_back(running.epoch);
            let from = Floor::Genesis(self.boundary(epoch)?);
            return self.replace(running, epoch, from).await;
        }
        if !is_newer {
            return Ok(running);
        }
        if running.votes {
            // What it votes with remembers its votes since the start.
            self.vote_again(height);
            return Ok(running);
        }
        match certificate(&self.parts.marshal, epoch, height).await {
            Some(certificate) => {
                self.vote_again(height);
                self.replace(running, epoch, Floor::Finalized(certificate)).await
            }
            None => Ok(running),
        }
    }

    /// Ends the consensus that runs, and begins another one.
    async fn replace(
        &mut self,
        running: Running,
        epoch: u64,
        from: Floor<Scheme, EngineDigest>,
    ) -> Result<Running, EpochError> {
        running.engine.abort();
        // However it ended, its channels are free only once it has.
        let _ = running.engine.await;
        self.enter(epoch, from).await
    }

    fn vote_again(&mut self, height: Height) {
        (self.abstains, self.ended_by) = (None, Some(height));
        tracing::info!(
            "this validator has newer blocks than any that it may have voted on: it votes"
        );
    }

    /// Removes the note of an abstention that is over, once a restart finds the block that ended it.
    async fn remove_note(&mut self) -> Result<(), EpochError> {
        if let Some(height) = self.ended_by
            && processed(&self.parts.marshal).await >= height
        {
            abstention::forget(&self.context, &self.parts.prefix).await?;
            self.ended_by = None;
        }
        Ok(())
    }

    /// What an epoch begins from here: the newest block of it that is on the disk with its certificate, or the last one
    /// of the epoch before. A validator whose votes are lost re-enters no view before it.
    async fn newest_floor(
        &mut self,
        epoch: u64,
        newest: Height,
    ) -> Result<Floor<Scheme, EngineDigest>, IndexError> {
        // The block that it began from is fetched by the engine, which has no certificate of it under its height yet.
        if let Some(floor) = self.parts.core.index.floor()?
            && (floor.tip.header.height, floor.tip.certificate.epoch) == (newest, epoch)
        {
            return Ok(Floor::Finalized(finalization(&floor)));
        }
        let oldest = self.first_of(epoch).0.max(newest.0.saturating_sub(CERTIFICATE_SEARCH)).max(1);
        for height in (oldest..=newest.0).rev() {
            let found = certificate(&self.parts.marshal, epoch, Height(height)).await;
            if let Some(found) = found {
                return Ok(Floor::Finalized(found));
            }
        }
        Ok(Floor::Genesis(self.boundary(epoch)?))
    }

    /// Whether this validator may vote in an epoch: not while it abstains, where the others can do without.
    fn may_vote(&self, epoch: u64) -> bool {
        let set = self.parts.core.sets.in_force(epoch);
        self.abstains.is_none() || !set.is_some_and(|it| abstention::others_suffice(&it))
    }

    async fn enter(
        &mut self,
        epoch: u64,
        from: Floor<Scheme, EngineDigest>,
    ) -> Result<Running, EpochError> {
        let (schemes, votes) = (&self.parts.schemes, self.may_vote(epoch));
        let scheme = if votes { schemes.of(epoch) } else { schemes.without_vote(epoch) };
        let (Some(scheme), Some(others)) = (scheme, schemes.others(epoch)) else {
            return Err(EpochError::Unknown(epoch));
        };
        let unheard = Unheard::new(others);
        let hearing = |(sender, inner)| (sender, Hearing { inner, unheard: unheard.clone() });
        let channels = (
            hearing(self.votes.open(&self.context, epoch).await?),
            hearing(self.certificates.open(&self.context, epoch).await?),
        );
        let fetch = register(&self.context, &mut self.fetch, epoch).await?;
        let parts = &self.parts;
        let context = Arc::new(self.context.child("patience"));
        // The others are in the view after the one that they tell it, and in none that it can have left.
        let quiet = (votes && self.abstains.is_some())
            .then(|| context.current() + parts.leader_timeout + TIMEOUT_RETRY);
        let automaton = Patient { context, inner: parts.application.clone(), unheard, quiet };
        let buffer_bytes = NZUsize!(1 << 20);
        let engine = simplex::Engine::new(
            self.context.child("simplex").with_attribute("epoch", epoch),
            simplex::Config {
                scheme: (*scheme).clone(),
                elector: RoundRobin::<Sha256>::default(),
                blocker: parts.blocker.clone(),
                automaton,
                relay: parts.application.clone(),
                reporter: parts.application.clone(),
                track_historical_votes: false,
                strategy: Sequential,
                partition: self.partition(epoch, votes),
                mailbox_size: NZUsize!(1024),
                epoch: Epoch::new(epoch),
                floor: from,
                replay_buffer: buffer_bytes,
                write_buffer: buffer_bytes,
                page_cache: parts.page_cache.clone(),
                leader_timeout: parts.leader_timeout,
                certification_timeout: parts.certification_timeout,
                timeout_retry: TIMEOUT_RETRY,
                view_retention: ViewDelta::new(256),
                skip: SkipPolicy::Enabled {
                    timeout: Duration::from_secs(11),
                    budget: SkipBudget::Participants,
                },
                fetch_timeout: NZDuration!(Duration::from_secs(2)),
                fetch_retry_delay: Duration::from_millis(200),
                forward: ForwardPolicy::SilentVoters,
            },
        );
        let engine = engine.start(channels.0, channels.1, fetch);
        self.parts.core.set_abstains(!votes);
        tracing::debug!(epoch, votes, "an epoch begins");
        Ok(Running { epoch, votes, engine })
    }

    /// Asks a peer that is ahead for the certificate of the last block of the epoch that runs.
    fn hint(&self, running: u64, theirs: u64, from: &EngineKey) {
        let last = self.first_of(running + 1).0 - 1;
        if theirs > running && self.parts.core.tip().height().0 < last {
            self.parts
                .marshal
                .hint_finalized(EngineHeight::new(last), NonEmptyVec::new(from.clone()));
        }
    }

    /// Removes votes of epochs that a restart cannot lead back into.
    async fn remove_stale(&mut self) -> Result<(), EpochError> {
        while let Some(epoch) = self.stale.front().copied() {
            if processed(&self.parts.marshal).await.0 + 1 < self.first_of(epoch + 1).0 {
                return Ok(());
            }
            for votes in [true, false] {
                match self.context.remove(&self.partition(epoch, votes), None).await {
                    Ok(()) | Err(RuntimeError::PartitionMissing(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            self.stale.pop_front();
        }
        Ok(())
    }

    /// Where the consensus of an epoch keeps what it needs; that of one who abstains is ended in the middle of an epoch,
    /// and may not be done with its own when the next one begins.
    fn partition(&self, epoch: u64, votes: bool) -> String {
        let suffix = if votes { "" } else { "-abstains" };
        format!("{}-simplex-{epoch}{suffix}", self.parts.prefix)
    }

    fn first_of(&self, epoch: u64) -> Height {
        Height(epoch * u64::from(self.parts.core.sets.epoch_blocks()))
    }

    /// The epoch of the block after the one at this height.
    fn epoch_after(&self, height: Height) -> u64 {
        epoch_of(Height(height.0 + 1), self.parts.core.sets.epoch_blocks())
    }

    /// The block that an epoch begins from.
    fn boundary(&self, epoch: u64) -> Result<EngineDigest, IndexError> {
        let height = self.first_of(epoch).0.saturating_sub(1);
        if height == 0 {
            return Ok(to_engine(self.parts.core.genesis_block.id().0));
        }
        let id = self.parts.core.index.id(Height(height))?;
        Ok(to_engine(id.ok_or(IndexError::Incomplete { height })?.0))
    }
}

/// The newest block that is on the disk, with all that follows from it.
pub(crate) async fn processed(marshal: &Marshal) -> Height {
    Height(marshal.get_processed().await.map_or(0, |it| it.height().get()))
}

/// The certificate of a block, if it has one of its own, of this epoch.
async fn certificate(
    marshal: &Marshal,
    epoch: u64,
    height: Height,
) -> Option<Finalization<Scheme, EngineDigest>> {
    let found = marshal.get_finalization(EngineHeight::new(height.0)).await?;
    (found.proposal.round.epoch().get() == epoch).then_some(found)
}

enum Event {
    /// A block is final and executed here.
    Tip,
    /// A vote of an epoch that does not run.
    Vote(u64, Message<EngineKey>),
    /// A certificate of an epoch that does not run.
    Certificate(u64, Message<EngineKey>),
    /// A part that this needs has ended, and so does consensus.
    Ended,
}

/// Why consensus cannot go on.
#[derive(Debug, thiserror::Error)]
enum EpochError {
    #[error("the validators of epoch {0} are not known")]
    Unknown(u64),
    #[error("a channel is gone: {0}")]
    Channel(#[from] MuxError),
    #[error("votes of an epoch that has ended cannot be removed: {0}")]
    Remove(#[from] RuntimeError),
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// A channel with a subchannel for each epoch.
struct Channel<S: Sender> {
    subchannels: MuxHandle<S>,
    /// What comes for epochs that do not run.
    ahead: mpsc::Receiver<(u64, Message<S::PublicKey>)>,
    /// What came for the next epoch, and which that was, in order.
    early: VecDeque<(u64, Message<S::PublicKey>)>,
    /// How much of it from each peer.
    counts: BTreeMap<S::PublicKey, usize>,
}

impl<S: Sender<PublicKey = EngineKey>> Channel<S> {
    fn over<E, R>(context: E, (sender, receiver): (S, R)) -> Self
    where
        E: Spawner,
        R: Receiver<PublicKey = EngineKey>,
    {
        let (muxer, subchannels, ahead) =
            Muxer::builder(context, sender, receiver).with_backup().build();
        muxer.start();
        Self { subchannels, ahead, early: VecDeque::new(), counts: BTreeMap::new() }
    }

    /// Keeps a message of an epoch, if that is the next one and the peer's room is not full.
    fn keep(&mut self, running: u64, epoch: u64, message: Message<EngineKey>) {
        if epoch != running + 1 {
            return;
        }
        let count = self.counts.entry(message.0.clone()).or_default();
        if *count < EARLY_MAX {
            *count += 1;
            self.early.push_back((epoch, message));
        }
    }

    /// Opens the subchannel of an epoch, in which what came early comes first.
    async fn open(
        &mut self,
        context: &impl Clock,
        epoch: u64,
    ) -> Result<(SubSender<S>, Late), MuxError> {
        let (sender, receiver) = register(context, &mut self.subchannels, epoch).await?;
        // From here on nothing of this epoch goes past the subchannel.
        while let Ok((of, message)) = self.ahead.try_recv() {
            self.keep(epoch.saturating_sub(1), of, message);
        }
        self.counts.clear();
        // What came for an epoch that was passed over would be a fault in this one.
        let early = self.early.drain(..).filter(|(of, _)| *of == epoch).map(|(_, it)| it);
        Ok((sender, Late { early: early.collect(), receiver }))
    }
}

/// Opens a subchannel. A consensus that was ended may hold it for a moment more.
async fn register<S: Sender>(
    context: &impl Clock,
    subchannels: &mut MuxHandle<S>,
    epoch: u64,
) -> Result<(SubSender<S>, SubReceiver<S::PublicKey>), MuxError> {
    let (pause, times) = RELEASE;
    for _ in 0..times {
        match subchannels.register(epoch).await {
            Err(MuxError::AlreadyRegistered(_)) => context.sleep(pause).await,
            registered => return registered,
        }
    }
    subchannels.register(epoch).await
}

/// A subchannel, after what came for it before it was open.
#[derive(Debug)]
struct Late {
    early: VecDeque<Message<EngineKey>>,
    receiver: SubReceiver<EngineKey>,
}

impl Receiver for Late {
    type Error = MuxError;
    type PublicKey = EngineKey;

    async fn recv(&mut self) -> Result<Message<EngineKey>, MuxError> {
        match self.early.pop_front() {
            Some(message) => Ok(message),
            None => self.receiver.recv().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.receiver.capacity()
    }
}
