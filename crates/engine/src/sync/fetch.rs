//! Asking others, until an answer fits.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use commonware_codec::Decode as _;
use commonware_cryptography::sha256;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_resolver::{
    Consumer, Delivery, Resolver as _, TargetedResolver as _,
    p2p::{Config, Engine, Mailbox},
};
use commonware_runtime::{Clock, Metrics, Spawner};
use commonware_storage::{
    mmr,
    qmdb::sync::{
        Feedback, Request, Response, Source,
        source::{self},
    },
};
use commonware_utils::{
    NZDuration, NZUsize,
    channel::{mpsc, oneshot},
    vec::NonEmptyVec,
};
use rand_core::Rng;

use super::{ask::Ask, serve::Server};
use crate::{
    block::EngineKey,
    state::{StateOperation, operation_config},
};

/// How long one of the others may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before another one is asked.
const RETRY_DELAY: Duration = Duration::from_millis(100);

type Steps = Response<mmr::Family, StateOperation, sha256::Digest>;

/// An answer, and what hears whether it fits.
pub struct Candidate {
    /// The answer.
    pub bytes: Bytes,
    verdict: oneshot::Sender<bool>,
}

impl Candidate {
    /// It fits: nobody else is asked.
    pub fn accept(self) {
        // Nobody hears it any more if the validator ends.
        let _ = self.verdict.send(true);
    }

    /// It does not: who sent it is blocked, and another one is asked.
    pub fn refuse(self, ask: &Ask) {
        tracing::warn!(%ask, "an answer of another validator does not fit what is certified");
        let _ = self.verdict.send(false);
    }
}

/// Where an answer goes.
enum Waiting {
    Bytes(mpsc::Sender<Candidate>),
    Steps(mpsc::Sender<(Steps, oneshot::Sender<bool>)>),
}

impl Waiting {
    fn is_over(&self) -> bool {
        match self {
            Self::Bytes(answers) => answers.is_closed(),
            Self::Steps(answers) => answers.is_closed(),
        }
    }
}

/// Hands answers to who waits for them.
#[derive(Clone, Default)]
pub struct Waiters(Arc<Mutex<BTreeMap<Ask, Waiting>>>);

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Ask, Waiting>> {
        self.0.lock().expect("nobody panics while holding this lock")
    }

    fn insert(&self, ask: Ask, waiting: Waiting) {
        let mut all = self.lock();
        all.retain(|_, it| !it.is_over());
        all.insert(ask, waiting);
    }
}

impl Consumer for Waiters {
    type Key = Ask;
    type Value = Bytes;
    type Subscriber = ();
    type Outcome = bool;

    /// An answer for which nobody waits any more is dropped with its verdict, which ends the asking.
    fn deliver(&mut self, delivery: Delivery<Ask, ()>, bytes: Bytes) -> oneshot::Receiver<bool> {
        let (verdict, heard) = oneshot::channel();
        match (self.lock().get(&delivery.key), &delivery.key) {
            (Some(Waiting::Bytes(answers)), _) => {
                drop(answers.try_send(Candidate { bytes, verdict }));
            }
            (Some(Waiting::Steps(answers)), Ask::Steps(request)) => match steps(request, bytes) {
                Some(steps) => drop(answers.try_send((steps, verdict))),
                None => drop(verdict.send(false)),
            },
            _ => {}
        }
        heard
    }
}

/// The answer to a request for steps, if it is one.
fn steps(request: &Request<mmr::Family>, bytes: Bytes) -> Option<Steps> {
    let max = usize::try_from(request.max_ops().get()).ok()?;
    let steps = Steps::decode_cfg(bytes, &(max, operation_config())).ok()?;
    let fits = matches!(
        (request, &steps),
        (Request::Operations { .. }, Response::Operations { .. })
            | (Request::Boundary { .. }, Response::Boundary { .. })
    );
    fits.then_some(steps)
}

/// Asks others.
#[derive(Clone)]
pub struct Fetcher {
    resolver: Mailbox<Ask, EngineKey>,
    waiters: Waiters,
}

/// Answers to one question, until one fits.
pub struct Candidates {
    ask: Ask,
    fetcher: Fetcher,
    answers: mpsc::Receiver<Candidate>,
}

impl Candidates {
    /// The next answer; it must be judged before another one comes.
    pub async fn next(&mut self) -> Candidate {
        match self.answers.recv().await {
            Some(candidate) => candidate,
            // The sender is in a map that lives as long as the fetcher.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Candidates {
    fn drop(&mut self) {
        self.fetcher.waiters.lock().remove(&self.ask);
        let ask = self.ask.clone();
        self.fetcher.resolver.retain(move |other, ()| *other != ask);
    }
}

impl Fetcher {
    /// Asks anyone.
    pub fn ask(&self, ask: Ask) -> Candidates {
        let candidates = self.wait_for(ask.clone());
        self.resolver.clone().fetch(ask);
        candidates
    }

    /// Asks this one only.
    pub fn ask_of(&self, from: EngineKey, ask: Ask) -> Candidates {
        let candidates = self.wait_for(ask.clone());
        self.resolver.clone().fetch_targeted(ask, NonEmptyVec::new(from));
        candidates
    }

    fn wait_for(&self, ask: Ask) -> Candidates {
        let (waiting, answers) = mpsc::channel(1);
        self.waiters.insert(ask.clone(), Waiting::Bytes(waiting));
        Candidates { ask, fetcher: self.clone(), answers }
    }
}

impl Source for Fetcher {
    type Family = mmr::Family;
    type Digest = sha256::Digest;
    type Op = StateOperation;
    type Error = Infallible;

    async fn serve(&self, request: Request<mmr::Family>) -> source::Result<Self> {
        let (waiting, mut answers) = mpsc::channel(1);
        let ask = Ask::Steps(request);
        self.waiters.insert(ask.clone(), Waiting::Steps(waiting));
        self.resolver.clone().fetch(ask);
        match answers.recv().await {
            Some((steps, verdict)) => Ok((steps, Some(Feedback::new(verdict, answers)))),
            None => std::future::pending().await,
        }
    }
}

/// Starts asking others and answering them, over one channel.
pub(crate) fn start<E, P, B, S, R>(
    context: E,
    me: EngineKey,
    peers: P,
    blocker: B,
    server: Server,
    channel: (S, R),
) -> Fetcher
where
    E: Clock + Spawner + Rng + Metrics,
    P: Provider<PublicKey = EngineKey>,
    B: Blocker<PublicKey = EngineKey>,
    S: Sender<PublicKey = EngineKey>,
    R: Receiver<PublicKey = EngineKey>,
{
    let waiters = Waiters::default();
    let (engine, resolver) = Engine::new(
        context,
        Config {
            peer_provider: peers,
            blocker,
            consumer: waiters.clone(),
            producer: server,
            mailbox_size: NZUsize!(1024),
            me: Some(me),
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: RETRY_DELAY,
            priority_requests: false,
            priority_responses: false,
        },
    );
    engine.start(channel);
    Fetcher { resolver, waiters }
}
