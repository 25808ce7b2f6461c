//! Clients in a closed loop: each sends a command, waits until it is final and durable, sends the next.
//!
//! ```text
//!   start      t0                                   t1
//!     | warm-up | measured                           | draining: nothing new is sent
//! ```
//!
//! What was acknowledged between t0 and t1 makes the rate and the latencies; all that was ever
//! acknowledged is checked afterwards ([`super::check`]). Where there are fewer commands than time, t1
//! is when the first client finds none left.
//!
//! All clients share one thread: what they cost is taken from the validators, and is reported.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use keepwell_types::id::CommandId;
use tokio::{
    sync::Notify,
    task::{JoinSet, LocalSet},
    time::sleep,
};

use super::{
    BenchError, figure::Spread, fleet::Fleet, http::Connection, process::Usage, workload::Prepared,
};

/// How long a client waits when a node says that it is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// How often a client asks again before it gives up.
const BUSY_TIMES_MAX: u64 = 3_000;

/// How long clients run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    /// Until all commands are acknowledged; all of it is measured.
    All,
    /// For so long, if the commands last.
    For {
        /// Before the clock starts.
        warm_up: Duration,
        /// While it runs.
        measured: Duration,
    },
}

/// What the clients saw.
pub(super) struct Driven {
    /// Every command that was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// How often a node said that it is busy.
    pub busy: u64,
    /// Whether the commands ran out before the time did.
    pub exhausted: bool,
    /// At t0.
    pub before: Snapshot,
    /// At t1.
    pub after: Snapshot,
}

/// One command that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    /// The command.
    pub id: CommandId,
    /// Bytes of the signed command.
    pub command_bytes: u32,
    /// When it was sent.
    sent: Instant,
    /// When the answer was there.
    answered: Instant,
}

/// What stands at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The moment.
    at: Instant,
    /// What each validator has used.
    pub validators: Vec<Usage>,
    /// What the clients have used.
    pub clients: Usage,
    /// The newest block.
    pub height: u64,
}

impl Snapshot {
    /// Now.
    pub(super) async fn take(fleet: &Fleet) -> Result<Self, BenchError> {
        let height = fleet.tips().await?.iter().map(|tip| tip.height.0).max().unwrap_or(0);
        let (validators, clients) = (fleet.usage()?, Usage::of_self()?);
        Ok(Self { at: Instant::now(), validators, clients, height })
    }

    /// Seconds since `earlier`.
    pub(super) fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }
}

impl Driven {
    /// Seconds between t0 and t1.
    pub(super) fn seconds(&self) -> f64 {
        self.after.seconds_since(&self.before)
    }

    /// How many were acknowledged between t0 and t1.
    pub(super) fn measured(&self) -> usize {
        self.in_window().count()
    }

    /// Acknowledged commands per second.
    pub(super) fn rate(&self) -> f64 {
        self.measured() as f64 / self.seconds()
    }

    /// From sending to the answer.
    pub(super) fn latency(&self) -> Spread {
        Spread::of(self.in_window().map(|it| it.answered - it.sent).collect())
    }

    /// The longest time from `start` on in which nothing was acknowledged.
    pub(super) fn longest_gap_since(&self, start: Instant) -> Duration {
        longest_gap(start, self.acknowledged.iter().map(|it| it.answered).collect())
    }

    /// Bytes of all acknowledged commands.
    pub(super) fn command_bytes(&self) -> u64 {
        self.acknowledged.iter().map(|it| u64::from(it.command_bytes)).sum()
    }

    fn in_window(&self) -> impl Iterator<Item = &Acknowledged> {
        let window = self.before.at..self.after.at;
        self.acknowledged.iter().filter(move |it| window.contains(&it.answered))
    }
}

/// The longest time between two moments, of which `start` is the first; those before it do not count.
fn longest_gap(start: Instant, mut moments: Vec<Instant>) -> Duration {
    moments.retain(|it| *it > start);
    moments.sort_unstable();
    let before = std::iter::once(&start).chain(&moments);
    let gaps = before.zip(&moments).map(|(before, it)| it.duration_since(*before));
    gaps.max().unwrap_or_default()
}

/// What the clients share.
struct Shared {
    /// What is left to send, for each validator.
    work: Vec<RefCell<std::vec::IntoIter<Prepared>>>,
    acknowledged: RefCell<Vec<Acknowledged>>,
    busy: Cell<u64>,
    stop: Cell<bool>,
    exhausted: Notify,
}

/// Has `clients` clients send `work`, one list for each validator, to which its clients are connected.
/// Validators without work have none.
pub(super) async fn drive(
    fleet: &Fleet,
    work: Vec<Vec<Prepared>>,
    clients: usize,
    span: Span,
) -> Result<Driven, BenchError> {
    let count = work.iter().map(Vec::len).sum();
    let shared = Rc::new(Shared {
        work: work.into_iter().map(|it| RefCell::new(it.into_iter())).collect(),
        acknowledged: RefCell::new(Vec::with_capacity(count)),
        busy: Cell::new(0),
        stop: Cell::new(false),
        exhausted: Notify::new(),
    });
    let addresses: Vec<SocketAddr> = fleet.nodes.iter().map(|node| node.address).collect();
    let local = LocalSet::new();
    let (before, after, exhausted) =
        local.run_until(conduct(fleet, &shared, &addresses, clients, span)).await?;
    let acknowledged = shared.acknowledged.take();
    Ok(Driven { acknowledged, busy: shared.busy.get(), exhausted, before, after })
}

async fn conduct(
    fleet: &Fleet,
    shared: &Rc<Shared>,
    addresses: &[SocketAddr],
    clients: usize,
    span: Span,
) -> Result<(Snapshot, Snapshot, bool), BenchError> {
    let mut tasks = JoinSet::new();
    let with_work: Vec<_> = (0..addresses.len())
        .filter(|at| !shared.work[*at].borrow().as_slice().is_empty())
        .collect();
    for validator in with_work.into_iter().cycle().take(clients) {
        let connection = Connection::open(addresses[validator]).await?;
        tasks.spawn_local(run_client(Rc::clone(shared), validator, connection));
    }
    let (before, after, exhausted) = match span {
        Span::All => {
            let before = Snapshot::take(fleet).await?;
            join_all(&mut tasks).await?;
            (before, Snapshot::take(fleet).await?, true)
        }
        Span::For { warm_up, measured } => {
            sleep(warm_up).await;
            let before = Snapshot::take(fleet).await?;
            let exhausted = tokio::select! {
                () = sleep(measured) => false,
                () = shared.exhausted.notified() => true,
                Some(failure) = first_failure(&mut tasks) => return Err(failure),
            };
            (before, Snapshot::take(fleet).await?, exhausted)
        }
    };
    shared.stop.set(true);
    join_all(&mut tasks).await?;
    Ok((before, after, exhausted))
}

async fn join_all(tasks: &mut JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    first_failure(tasks).await.map_or(Ok(()), Err)
}

/// Waits until a client fails. Clients that end because nothing is left are no failure.
async fn first_failure(tasks: &mut JoinSet<Result<(), BenchError>>) -> Option<BenchError> {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended.expect("a client does not panic") {
            return Some(error);
        }
    }
    None
}

async fn run_client(
    shared: Rc<Shared>,
    validator: usize,
    mut connection: Connection,
) -> Result<(), BenchError> {
    while !shared.stop.get() {
        let Some(next) = shared.work[validator].borrow_mut().next() else {
            shared.exhausted.notify_one();
            return Ok(());
        };
        let sent = Instant::now();
        send(&shared, &mut connection, &next).await?;
        let answered = Instant::now();
        let (id, command_bytes) = (next.id, next.command_bytes);
        shared.acknowledged.borrow_mut().push(Acknowledged { id, command_bytes, sent, answered });
    }
    Ok(())
}

async fn send(
    shared: &Shared,
    connection: &mut Connection,
    command: &Prepared,
) -> Result<(), BenchError> {
    let busy = commit(connection, command).await?;
    shared.busy.set(shared.busy.get() + busy);
    Ok(())
}

/// Sends a command until a node takes it, and waits until it is final; returns how often the node was busy.
pub(super) async fn commit(
    connection: &mut Connection,
    command: &Prepared,
) -> Result<u64, BenchError> {
    for busy in 0..BUSY_TIMES_MAX {
        let answer = connection.ask(&command.request).await?;
        if !matches!(answer.status, 429 | 503) {
            return answer.ok("POST /v1/commands").map(|_| busy);
        }
        sleep(BUSY_PAUSE).await;
    }
    Err(BenchError::AlwaysBusy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_begins_with_the_start() {
        let start = Instant::now();
        let gap = |seconds: &[u64]| {
            let at = |it: &u64| start - Duration::from_secs(5) + Duration::from_secs(*it);
            longest_gap(start, seconds.iter().map(at).collect()).as_secs()
        };
        // Five seconds before the start are none of it.
        assert_eq!(gap(&[0, 8, 9]), 3);
        assert_eq!(gap(&[9, 6, 7]), 2, "in whatever order");
        assert_eq!(gap(&[0, 4]), 0);
        assert_eq!(gap(&[]), 0);
    }
}
