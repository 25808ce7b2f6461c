//! A validator's own disk, which may be slow or full while those of the others are well: the faults of the simulator's
//! runtime are for all disks at once.
//!
//! Not here: writes that are torn or lost, and syncs that fail ([`commonware_runtime::deterministic::FaultConfig`]).

use std::{
    convert::Infallible,
    fmt::Display,
    future::Future,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use commonware_runtime::{
    Blob, BlobVersion, Clock, Error, Handle, IoBufs, IoBufsMut, Metrics, Name, ReadOptions,
    Spawner, Storage, Supervisor, WriteOptions, deterministic, signal,
    telemetry::metrics::{Metric, Registered},
};
use futures::Stream;
use governor::clock::{Clock as GovernorClock, ReasonablyRealtime};
use keepwell_engine::application::now;
use rand_core::{TryCryptoRng, TryRng};

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// What is to be durable takes so much longer.
    Slow(Duration),
    /// Nothing more can be written.
    Full,
}

/// Trouble that begins at a time and ends at another one, in seconds since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    /// What is wrong.
    pub trouble: Trouble,
    /// The first second of it.
    pub from: u64,
    /// The first second after it.
    pub to: u64,
}

/// A disk, and the clock by which its trouble comes and goes.
#[derive(Clone)]
struct Disk {
    clock: Arc<deterministic::Context>,
    spell: Option<Spell>,
    /// How often something met the trouble.
    met: Arc<AtomicU64>,
}

impl Disk {
    fn trouble(&self) -> Option<Trouble> {
        let spell = self.spell?;
        let second = now(self.clock.as_ref()).0 / 1_000;
        (spell.from..spell.to).contains(&second).then_some(spell.trouble)
    }

    async fn before_write(&self) -> Result<(), Error> {
        match self.trouble() {
            Some(Trouble::Full) => {
                self.met.fetch_add(1, Ordering::Relaxed);
                Err(Error::WriteFailed)
            }
            Some(Trouble::Slow(_)) | None => Ok(()),
        }
    }

    async fn before_sync(&self) {
        match self.trouble() {
            Some(Trouble::Slow(pause)) => {
                self.met.fetch_add(1, Ordering::Relaxed);
                self.clock.sleep(pause).await;
            }
            Some(Trouble::Full) | None => {}
        }
    }
}

/// The simulator's runtime, as a validator with a disk of its own has it.
pub(crate) struct Host {
    inner: deterministic::Context,
    disk: Disk,
}

impl Host {
    /// A host whose disk has this trouble, and counts how often something met it.
    pub(crate) fn new(
        inner: deterministic::Context,
        spell: Option<Spell>,
        met: Arc<AtomicU64>,
    ) -> Self {
        let clock = Arc::new(inner.child("disk"));
        Self { inner, disk: Disk { clock, spell, met } }
    }

    fn map(self, change: impl FnOnce(deterministic::Context) -> deterministic::Context) -> Self {
        Self { inner: change(self.inner), disk: self.disk }
    }
}

impl Supervisor for Host {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { inner: self.inner.child(label), disk: self.disk.clone() }
    }

    fn with_attribute(self, key: &'static str, value: impl Display) -> Self {
        self.map(|it| it.with_attribute(key, value))
    }
}

impl Spawner for Host {
    fn shared(self, blocking: bool) -> Self {
        self.map(|it| it.shared(blocking))
    }

    fn dedicated(self) -> Self {
        self.map(Spawner::dedicated)
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Self { inner, disk } = self;
        inner.spawn(move |inner| f(Self { inner, disk }))
    }

    async fn stop(self, value: i32, timeout: Option<Duration>) -> Result<(), Error> {
        self.inner.stop(value, timeout).await
    }

    fn stopped(&self) -> signal::Signal {
        self.inner.stopped()
    }
}

impl Metrics for Host {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(
        &self,
        name: N,
        help: H,
        metric: M,
    ) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl Clock for Host {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep(duration)
    }

    fn sleep_until(
        &self,
        deadline: SystemTime,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.inner.sleep_until(deadline)
    }
}

impl GovernorClock for Host {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.inner.now()
    }
}

impl ReasonablyRealtime for Host {}

impl TryRng for Host {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.try_fill_bytes(bytes)
    }
}

impl TryCryptoRng for Host {}

impl Storage for Host {
    type Blob = OwnBlob;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(OwnBlob, u64, BlobVersion), Error> {
        let (inner, size, version) = self.inner.open_versioned(partition, name, versions).await?;
        Ok((OwnBlob { inner, disk: self.disk.clone() }, size, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        self.inner.remove(partition, name).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }
}

/// A blob on a validator's own disk.
pub(crate) struct OwnBlob {
    inner: <deterministic::Context as Storage>::Blob,
    disk: Disk,
}

impl Blob for OwnBlob {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.inner.read_at_buf(offset, len, bufs, options).await
    }

    async fn read_at(
        &self,
        offset: u64,
        len: usize,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        self.inner.read_at(offset, len, options).await
    }

    fn read_many(
        &self,
        ranges: &[(u64, usize)],
        options: ReadOptions,
    ) -> impl Stream<Item = Result<(usize, IoBufsMut), Error>> + Send {
        self.inner.read_many(ranges, options)
    }

    async fn start_read_many(
        &self,
        ranges: &[(u64, usize)],
        options: ReadOptions,
    ) -> Handle<Vec<IoBufsMut>> {
        self.inner.start_read_many(ranges, options).await
    }

    async fn write_at(
        &self,
        offset: u64,
        bufs: impl Into<IoBufs> + Send,
        options: WriteOptions,
    ) -> Result<(), Error> {
        self.disk.before_write().await?;
        if options.contains(WriteOptions::SYNC) {
            self.disk.before_sync().await;
        }
        self.inner.write_at(offset, bufs, options).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        self.disk.before_write().await?;
        self.inner.resize(len).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.disk.before_sync().await;
        self.inner.sync().await
    }

    async fn start_sync(&self) -> Handle<()> {
        self.disk.before_sync().await;
        self.inner.start_sync().await
    }
}
