//! The physical limits of this machine, measured in the same run as what is compared with them.
//!
//! Each limit is the best of a few short rounds: a limit is what the machine can do, not what it did
//! while something else ran. Figures of Keepwell are the opposite, medians of whole runs.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use keepwell_crypto::{
    body::{Dek, Encryptor, SEALED_CHUNK_BYTES_MAX},
    hash::Stream,
    sign::{self, SigningKey},
};
use keepwell_types::id::{PublicKey, RecordId, Signature};
use serde::Serialize;

use super::{BenchError, scratch::Scratch};

/// Rounds of which the best counts.
const ROUNDS: usize = 3;
/// How long one round lasts at least.
const ROUND: Duration = Duration::from_millis(250);
/// Bytes of content that the ciphers run over.
const CIPHER_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of the file that is written in one go.
const WRITE_BYTES: usize = 256 * 1024 * 1024;
const BLOCK_BYTES: usize = 1024 * 1024;
/// Appends that are made durable one by one.
const SYNCS: usize = 200;
/// Bytes of such an append: a page, as a journal writes it.
const SYNC_BYTES: usize = 4_096;
/// Writers in the row of the latency: as many as validators.
const WRITERS: usize = 4;
const ROUND_TRIPS: usize = 5_000;
/// Bytes that go each way.
const PING_BYTES: usize = 64;

const DOMAIN: &str = "keepwell/bench/limit/v1";

/// What the machine can do.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Limits {
    /// Processors that this process may use.
    pub cores: usize,
    /// Strict verifications of Ed25519 per second on one core, one by one.
    pub ed25519_single_per_s: f64,
    /// The same, 64 at once.
    pub ed25519_batch_64_per_s: f64,
    /// The same, 128 at once.
    pub ed25519_batch_128_per_s: f64,
    /// Sealing of a body in memory, 10⁹ bytes per second on one core.
    pub aes_256_gcm_gb_per_s: f64,
    /// Hashing, 10⁹ bytes per second on one core.
    pub sha_256_gb_per_s: f64,
    /// A file written from its beginning to its end, then made durable; 10⁶ bytes per second.
    pub write_mb_per_s: f64,
    /// One durable append, median.
    pub fdatasync_p50_us: f64,
    /// The same while three others append to files of their own, median.
    pub fdatasync_four_writers_p50_us: f64,
    /// A small message to another thread and back over loopback TCP, median.
    pub loopback_round_trip_p50_us: f64,
}

impl Limits {
    /// Measures all of them, on the disk that has `dir`. Takes about ten seconds.
    pub(super) fn measure(dir: &Path) -> Result<Self, BenchError> {
        let scratch = Scratch::new(dir, "limits")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            ed25519_single_per_s: best(|| verify_rate(1)),
            ed25519_batch_64_per_s: best(|| verify_rate(64)),
            ed25519_batch_128_per_s: best(|| verify_rate(128)),
            aes_256_gcm_gb_per_s: best(seal_rate),
            sha_256_gb_per_s: best(hash_rate),
            write_mb_per_s: write_rate(scratch.path())?,
            fdatasync_p50_us: sync_latency(scratch.path(), 1)?,
            fdatasync_four_writers_p50_us: sync_latency(scratch.path(), WRITERS)?,
            loopback_round_trip_p50_us: round_trip_latency()?,
        })
    }

    /// The higher of the batched rates.
    pub(super) fn verify_batched_per_s(&self) -> f64 {
        self.ed25519_batch_64_per_s.max(self.ed25519_batch_128_per_s)
    }

    /// The least that a commit on a quorum costs: one durable write and ten messages in a row.
    pub(super) fn commit_floor_us(&self) -> f64 {
        self.fdatasync_four_writers_p50_us + 10.0 * self.loopback_round_trip_p50_us
    }

    /// The most that a file can be sealed and stored at, in 10⁶ bytes per second.
    pub(super) fn seal_ceiling_mb_per_s(&self) -> f64 {
        self.write_mb_per_s.min(1_000.0 * self.aes_256_gcm_gb_per_s)
    }
}

fn best(mut rate: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| rate()).fold(0.0, f64::max)
}

/// How often per second `work` is done, for at least [`ROUND`].
fn per_second(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < ROUND {
        work();
        done += 1;
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

/// Signatures of distinct keys over distinct messages, as many as one batch has.
fn verify_rate(batch: usize) -> f64 {
    let claims: Vec<(PublicKey, [u8; 32], Signature)> = (0..batch)
        .map(|index| {
            let message = [index as u8; 32];
            let key = SigningKey::from_seed(&[index as u8; 32]);
            (key.public(), message, key.sign(DOMAIN, &message))
        })
        .collect();
    let borrowed: Vec<_> = claims
        .iter()
        .map(|(key, message, signature)| (*key, message.as_slice(), *signature))
        .collect();
    let rounds = per_second(|| match borrowed.as_slice() {
        [(key, message, signature)] => {
            let verified = sign::verify(key, DOMAIN, message, signature);
            assert!(verified.is_ok(), "what was signed a moment ago verifies");
        }
        many => {
            let verified = sign::verify_many(DOMAIN, many);
            assert!(verified.iter().all(Result::is_ok), "what was signed a moment ago verifies");
        }
    });
    rounds * batch as f64
}

fn seal_rate() -> f64 {
    let mut buffer = vec![0; SEALED_CHUNK_BYTES_MAX];
    let rounds = per_second(|| {
        let dek = Dek::from_bytes(&[7; 32]);
        let mut encryptor = Encryptor::new(&dek, &RecordId([1; 32]), CIPHER_BYTES)
            .expect("the content is shorter than the longest record");
        while encryptor.next_slot().is_some() {
            let sealed = encryptor.seal_chunk(&mut buffer);
            assert!(sealed.is_ok(), "the buffer serves every chunk");
        }
    });
    rounds * CIPHER_BYTES as f64 / 1e9
}

fn hash_rate() -> f64 {
    let block = vec![7; BLOCK_BYTES];
    let rounds = per_second(|| {
        let mut stream = Stream::new();
        (0..CIPHER_BYTES).step_by(BLOCK_BYTES).for_each(|_| stream.update(&block));
        std::hint::black_box(stream.finish());
    });
    rounds * CIPHER_BYTES as f64 / 1e9
}

/// Writes files that stay until all are written, as what a custodian stores stays: memory that the system
/// has just got back from a deleted file is faster to write to.
fn write_rate(dir: &Path) -> Result<f64, BenchError> {
    let block = noise(BLOCK_BYTES);
    let files: Vec<_> = (0..ROUNDS).map(|round| dir.join(format!("sequential-{round}"))).collect();
    let mut best = 0.0_f64;
    for path in &files {
        let start = Instant::now();
        let mut file = File::create(path)?;
        for _ in (0..WRITE_BYTES).step_by(BLOCK_BYTES) {
            file.write_all(&block)?;
        }
        file.sync_data()?;
        best = best.max(WRITE_BYTES as f64 / 1e6 / start.elapsed().as_secs_f64());
    }
    files.iter().try_for_each(fs::remove_file)?;
    Ok(best)
}

/// Bytes that no disk compresses.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn sync_latency(dir: &Path, writers: usize) -> Result<f64, BenchError> {
    let append = |writer: usize| -> std::io::Result<Vec<Duration>> {
        let mut file = File::create(dir.join(format!("append-{writer}")))?;
        let page = noise(SYNC_BYTES);
        (0..SYNCS)
            .map(|_| {
                let start = Instant::now();
                file.write_all(&page)?;
                file.sync_data()?;
                Ok(start.elapsed())
            })
            .collect()
    };
    let mut taken = Vec::new();
    thread::scope(|scope| {
        let append = &append;
        let threads: Vec<_> =
            (0..writers).map(|writer| scope.spawn(move || append(writer))).collect();
        for thread in threads {
            taken.extend(thread.join().expect("a writer does not panic")?);
        }
        Ok::<_, BenchError>(())
    })?;
    Ok(median_us(taken))
}

fn round_trip_latency() -> Result<f64, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut stream = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = thread::spawn(move || {
        let mut message = [0; PING_BYTES];
        while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
    });
    let mut message = [1; PING_BYTES];
    let mut taken = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        taken.push(start.elapsed());
    }
    drop(stream);
    echo.join().expect("the echo ends when its stream does");
    Ok(median_us(taken))
}

fn median_us(taken: Vec<Duration>) -> f64 {
    super::figure::Spread::of(taken).p50_ms * 1_000.0
}
