//! Hearing the others before consensus takes anyone for silent, or votes where it may have voted before.
//!
//! Consensus skips the turn of a leader that it has not heard for some seconds, and one that has just begun has heard
//! nobody. It leaves its first view with the votes of a quorum; that of the next leader may still be on the way. Where
//! some validators have it and others do not, some skip the next view and some vote in it. Neither are enough, and all
//! wait until the view times out. So the first view that is certified ends only once everyone was heard.
//!
//! A validator that may have forgotten votes, and votes all the same since the others cannot do without, says nothing of
//! any block at first: by then it has heard in which view the others are. It leaves that one with them.
//!
//! # Invariants
//!
//! * A validator that is down costs [`WAIT_MAX`], once for each consensus that begins.
//! * Verdicts are passed on as they are.
//!
//! Not here: which leaders are skipped (commonware's simplex, as [`crate::epochs`] sets it up).

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use commonware_consensus::{Automaton, CertifiableAutomaton, Handoff, types::Round};
use commonware_p2p::{Message, Receiver};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::channel::{fallible::OneshotExt as _, oneshot};
use futures::{FutureExt as _, pin_mut, select_biased};
use tokio::sync::watch;

use crate::block::{EngineDigest, EngineKey};

/// How long a validator that is not heard is waited for: a few times what a message takes around the world.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// The other validators of an epoch that were not heard in it yet.
#[derive(Clone, Debug)]
pub(crate) struct Unheard(Arc<watch::Sender<BTreeSet<EngineKey>>>);

impl Unheard {
    /// Waits for these.
    pub fn new(others: BTreeSet<EngineKey>) -> Self {
        Self(Arc::new(watch::Sender::new(others)))
    }

    fn hear(&self, from: &EngineKey) {
        self.0.send_if_modified(|unheard| unheard.remove(from));
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Returns once all were heard, or have been waited for long enough; from then on nobody is waited for.
    async fn wait(&self, clock: &impl Clock) {
        let mut changes = self.0.subscribe();
        let all = changes.wait_for(BTreeSet::is_empty).fuse();
        let late = clock.sleep(WAIT_MAX).fuse();
        pin_mut!(all, late);
        // In this order: `select!` draws lots of its own, and a run would not follow from its seed.
        select_biased! {
            _ = all => {}
            () = late => {}
        }
        self.0.send_modify(BTreeSet::clear);
    }
}

/// A channel of consensus; whoever sends something was heard.
#[derive(Debug)]
pub(crate) struct Hearing<R> {
    pub inner: R,
    pub unheard: Unheard,
}

impl<R: Receiver<PublicKey = EngineKey>> Receiver for Hearing<R> {
    type Error = R::Error;
    type PublicKey = EngineKey;

    async fn recv(&mut self) -> Result<Message<EngineKey>, R::Error> {
        let message = self.inner.recv().await?;
        self.unheard.hear(&message.0);
        Ok(message)
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}

/// What checks blocks, and certifies the first of them once everyone was heard.
pub(crate) struct Patient<E, A> {
    pub context: Arc<E>,
    pub inner: A,
    pub unheard: Unheard,
    /// Until when it says nothing of blocks.
    pub quiet: Option<SystemTime>,
}

impl<E, A: Clone> Clone for Patient<E, A> {
    fn clone(&self) -> Self {
        let Self { context, inner, unheard, quiet } = self;
        let (context, unheard) = (context.clone(), unheard.clone());
        Self { context, inner: inner.clone(), unheard, quiet: *quiet }
    }
}

impl<E: Clock + Spawner, A> Patient<E, A> {
    /// An answer that never comes, if this is not the time for one.
    fn silence<T: Send + 'static>(&self) -> Option<oneshot::Receiver<T>> {
        self.quiet.filter(|until| self.context.current() < *until)?;
        let (mut answer, answered) = oneshot::channel();
        self.context.child("quiet").spawn(move |_| async move { answer.closed().await });
        Some(answered)
    }
}

impl<E, A> Automaton for Patient<E, A>
where
    E: Clock + Spawner,
    A: Automaton<Digest = EngineDigest>,
    A::Context: Send,
{
    type Context = A::Context;
    type Digest = EngineDigest;

    async fn propose(&mut self, context: A::Context) -> oneshot::Receiver<EngineDigest> {
        match self.silence() {
            Some(silence) => silence,
            None => self.inner.propose(context).await,
        }
    }

    async fn verify(
        &mut self,
        context: A::Context,
        payload: EngineDigest,
    ) -> oneshot::Receiver<bool> {
        match self.silence() {
            Some(silence) => silence,
            None => self.inner.verify(context, payload).await,
        }
    }
}

impl<E, A> CertifiableAutomaton for Patient<E, A>
where
    E: Clock + Spawner,
    A: CertifiableAutomaton<Digest = EngineDigest>,
    A::Context: Send,
{
    async fn prepare(&mut self, context: A::Context) -> oneshot::Receiver<Handoff<EngineDigest>> {
        match self.silence() {
            Some(silence) => silence,
            None => self.inner.prepare(context).await,
        }
    }

    async fn certify(&mut self, round: Round, payload: EngineDigest) -> oneshot::Receiver<bool> {
        let verdict = self.inner.certify(round, payload).await;
        if self.unheard.is_empty() {
            return verdict;
        }
        let (mut answer, answered) = oneshot::channel();
        let unheard = self.unheard.clone();
        self.context.child("patience").spawn(move |context| async move {
            unheard.wait(&context).await;
            let given_up = answer.closed().map(|()| None).fuse();
            let verdict = verdict.map(Result::ok).fuse();
            let valid = {
                pin_mut!(given_up, verdict);
                select_biased! { valid = verdict => valid, none = given_up => none }
            };
            if let Some(valid) = valid {
                answer.send_lossy(valid);
            }
        });
        answered
    }
}
