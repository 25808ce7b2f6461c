//! An upload as it comes in: no longer than was declared, and no slower than it may be.
//!
//! # Invariants
//!
//! * Only the time in which this node waits for the sender counts against the sender: a slow disk here
//!   cuts nobody off.
//!
//! Not here: how many uploads run at one time ([`super::uploads`]).

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::store::StoreError;

/// How slowly an upload may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// How long it may stand still.
    pub stall: Duration,
    /// How long it may take beyond what its bytes take at the least rate.
    pub grace: Duration,
    /// Its least rate.
    pub bytes_per_s_min: u64,
}

impl Pace {
    /// What a custodian waits for: a phone on a poor link that feeds several custodians at once, and
    /// nobody who holds a place for its own sake.
    pub const CUSTODY: Self = Self {
        stall: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        bytes_per_s_min: 16 * 1024,
    };

    /// What a custodian waits for when it fetches from another one: no longer for each object than a slow line takes,
    /// since there are others to look after.
    pub const LENDER: Self = Self {
        stall: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        bytes_per_s_min: 512 * 1024,
    };

    /// How long the sender of so many bytes may have been waited for.
    fn wait_max(&self, bytes: u64) -> Duration {
        self.grace + Duration::from_millis(bytes.saturating_mul(1_000) / self.bytes_per_s_min)
    }
}

/// An upload of a declared length.
pub struct Incoming<S> {
    stream: S,
    declared: u64,
    pace: Pace,
    /// Read, and to be read again.
    again: Option<Bytes>,
    len: u64,
    waited: Duration,
}

impl<S, E> Incoming<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// What comes in `stream`, which was declared to have so many bytes.
    pub fn new(stream: S, declared: u64) -> Self {
        Self::at_pace(stream, declared, Pace::CUSTODY)
    }

    /// The same, at another pace than those of authors.
    pub fn at_pace(stream: S, declared: u64, pace: Pace) -> Self {
        Self { stream, declared, pace, again: None, len: 0, waited: Duration::ZERO }
    }

    /// Its bytes, as they were declared.
    pub const fn declared(&self) -> u64 {
        self.declared
    }

    /// The next piece; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(piece) = self.again.take() {
            return Ok(Some(piece));
        }
        let Some(piece) = self.wait().await? else { return Ok(None) };
        self.len += piece.len() as u64;
        if self.len > self.declared {
            return Err(StoreError::TooLong { max: self.declared });
        }
        Ok(Some(piece))
    }

    /// Gives pieces back, which come again as one.
    pub fn put_back(&mut self, pieces: Bytes) {
        self.again = Some(pieces);
    }

    async fn wait(&mut self) -> Result<Option<Bytes>, StoreError> {
        let left = self.pace.wait_max(self.len).saturating_sub(self.waited);
        let begun = Instant::now();
        let piece = timeout(left.min(self.pace.stall), self.stream.next()).await;
        self.waited += begun.elapsed();
        match piece {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(StoreError::CutOff),
            Err(_) if left < self.pace.stall => {
                Err(StoreError::TooSlow { bytes_per_s_min: self.pace.bytes_per_s_min })
            }
            Err(_) => Err(StoreError::CutOff),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const PACE: Pace = Pace {
        stall: Duration::from_millis(500),
        grace: Duration::from_millis(2_000),
        bytes_per_s_min: 10_000,
    };

    /// Pieces of 100 bytes, each after a pause, and what comes of all of them.
    async fn check(pieces: usize, pause_ms: u64) -> Result<u64, StoreError> {
        let stream = stream::iter(0..pieces).then(|_| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            Ok::<_, ()>(Bytes::from_static(&[7; 100]))
        });
        let mut incoming = Incoming::at_pace(Box::pin(stream), 100_000, PACE);
        while incoming.next().await?.is_some() {}
        Ok(incoming.len)
    }

    #[tokio::test]
    async fn who_sends_too_slowly_is_cut_off_and_nobody_else() {
        // 100 bytes are to take 10 ms on average.
        assert!(matches!(check(100, 0).await, Ok(10_000)), "at once");
        assert!(matches!(check(4, 50).await, Ok(400)), "slowly, and within the grace");
        let slow = check(100, 50).await;
        assert!(matches!(slow, Err(StoreError::TooSlow { bytes_per_s_min: 10_000 })), "{slow:?}");
        let still = check(1, 10_000).await;
        assert!(matches!(still, Err(StoreError::CutOff)), "{still:?}");
    }

    #[tokio::test]
    async fn a_slow_disk_counts_against_nobody() {
        let stream = stream::iter(vec![Ok::<_, ()>(Bytes::from_static(b"a")); 10]);
        let mut incoming = Incoming::at_pace(stream, 10, PACE);
        while incoming.next().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(incoming.len, 10);
    }

    #[tokio::test]
    async fn no_more_comes_than_was_declared() {
        let stream = stream::iter([b"abc".as_slice(), b"de"].map(|it| Ok::<_, ()>(it.into())));
        let mut incoming = Incoming::new(stream, 4);
        assert_eq!(incoming.next().await.unwrap().unwrap(), b"abc".as_slice());
        assert!(matches!(incoming.next().await, Err(StoreError::TooLong { max: 4 })));
    }
}
