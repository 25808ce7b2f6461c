//! A connection whose other end must take what it is sent.
//!
//! An answer is made before anyone reads it, so whoever asks for a long one and reads it byte by byte would
//! hold it, and a place among the connections, for as long as they like.
//!
//! # Invariants
//!
//! * The time that is spent in waiting for room to write is at most [`PATIENCE`], and what the bytes that
//!   were written take at [`BYTES_PER_S_MIN`]. Then the connection breaks off. What went into the system's
//!   buffers before the first wait was not read by anyone, and earns nothing.
//! * Waiting for something to say, or to read, costs nothing here: those have limits of their own.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// How long a reader may take nothing at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a reader takes in the long run.
const BYTES_PER_S_MIN: u64 = 1_024;

/// A connection that gives up on a reader who takes too little.
pub struct Paced {
    stream: TcpStream,
    /// For a reader who takes nothing.
    patience: Duration,
    /// Bytes, since the first wait.
    written: u64,
    /// All waits that are over.
    waited: Duration,
    /// Since when it waits for room, and until when it may.
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Paced {
    /// With all patience left.
    pub const fn new(stream: TcpStream) -> Self {
        let (patience, waited) = (PATIENCE, Duration::ZERO);
        Self { stream, patience, written: 0, waited, waits: None }
    }

    /// How much longer it may wait.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.written / BYTES_PER_S_MIN);
        (self.patience + earned).saturating_sub(self.waited)
    }

    fn paced(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = written else {
            let patience = self.patience();
            let (_, end) =
                self.waits.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
            ready!(end.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        if let Some((since, _)) = self.waits.take() {
            self.waited += since.elapsed();
        }
        let bytes = written?;
        if self.waited > Duration::ZERO {
            self.written += bytes as u64;
        }
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.paced(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time,
    };

    use super::*;

    async fn pair() -> (Paced, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let reader = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Paced::new(listener.accept().await.unwrap().0), reader)
    }

    /// More than the system buffers for a connection.
    const LONG: usize = 64 * 1024 * 1024;

    #[tokio::test]
    async fn who_reads_nothing_is_given_up() {
        let (paced, reader) = pair().await;
        let mut paced = Paced { patience: Duration::from_millis(200), ..paced };
        let begun = Instant::now();
        let error = paced.write_all(&vec![7; LONG]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20), "what lies in buffers earns nothing");
        drop(reader);
    }

    #[tokio::test]
    async fn who_reads_gets_all_of_it() {
        let (mut paced, mut reader) = pair().await;
        let read = tokio::spawn(async move {
            let mut bytes = vec![0; LONG];
            reader.read_exact(&mut bytes).await.map(drop)
        });
        paced.write_all(&vec![7; LONG]).await.unwrap();
        time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap().unwrap();
    }
}
