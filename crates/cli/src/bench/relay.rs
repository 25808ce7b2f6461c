//! Links that take time: a relay in front of a validator, through which all others reach it.
//!
//! What arrives at one end leaves at the other in the same order, so much later, however much it is. So a link is long
//! and wide; it loses nothing. It stands in for `tc netem` where the kernel has none, and needs no rights.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks on the way in one direction of one connection.
const CHUNKS_MAX: usize = 1_024;

/// Listens until it is dropped.
pub(super) struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Hands on everything to `to`, and back, so much later.
    pub(super) async fn start(to: SocketAddr, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((here, _)) = listener.accept().await {
                connections.spawn(connect(here, to, delay));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, task })
    }

    /// Where others reach the validator.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until either end closes. A validator that does not run yet is dialed again by who wants it.
async fn connect(here: TcpStream, to: SocketAddr, delay: Duration) {
    let Ok(there) = TcpStream::connect(to).await else { return };
    if here.set_nodelay(true).and_then(|()| there.set_nodelay(true)).is_err() {
        return;
    }
    let (here, there) = (here.into_split(), there.into_split());
    tokio::select! {
        () = carry(here.0, there.1, delay) => {}
        () = carry(there.0, here.1, delay) => {}
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let read = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            let due = Instant::now() + delay;
            if sender.send((due, chunk[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_of_it_comes_out_in_order_and_not_too_early() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let delay = Duration::from_millis(30);
        let relay = Relay::start(server.local_addr().unwrap(), delay).await.unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|it| it as u8).collect();
        let start = Instant::now();
        let mut client = TcpStream::connect(relay.address()).await.unwrap();
        let (mut arrived, _) = server.accept().await.unwrap();
        let echo = async {
            let mut bytes = vec![0; sent.len()];
            arrived.read_exact(&mut bytes).await.unwrap();
            assert!(start.elapsed() >= delay);
            arrived.write_all(&bytes).await.unwrap();
        };
        let ask = async {
            let (mut back, mut forth) = client.split();
            let mut bytes = vec![0; sent.len()];
            let (wrote, read) = tokio::join!(forth.write_all(&sent), back.read_exact(&mut bytes));
            wrote.and(read.map(drop)).unwrap();
            bytes
        };
        let ((), answer) = tokio::join!(echo, ask);
        assert!(answer == sent && start.elapsed() >= delay * 2);
    }
}
