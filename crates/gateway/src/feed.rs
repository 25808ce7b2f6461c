//! Feeds: HL7 v2 messages over MLLP, each answered once what it says is final on the ledger.
//!
//! ```text
//!  sender ──bytes──> connection   frames, one at a time, in the order in which they came
//!                        v
//!                     receive      a message, from a sender that is known, in FHIR; or a refusal
//!                        v
//!                     commit       one transaction, once ─> Gateway ─> ledger
//!                        v
//!  sender <──ACK────  AA; AE or AR with the reason; or nothing, and the sender keeps the message
//! ```
//!
//! # Invariants
//!
//! * `AA` is said of what is final, and of nothing else. There is no queue here: until then the message is its
//!   sender's.
//! * The very same message is written once, however often it is sent, to whichever connection, before or after a crash:
//!   the ledger holds what it was stored by unique. It is answered `AA` each time. Other bytes are another message,
//!   also with a control id that was used before.
//! * Messages of a connection are written in their order: the next is not looked at before the last is answered. Those
//!   of several connections are in the order in which the ledger takes them.
//! * What fails for a reason that may pass is tried again while its sender waits, for as long as is configured, and
//!   then refused as not its sender's fault (`AR`, 207; 206 where another one was first). So a slow ledger slows its
//!   senders.
//! * Bytes, time and memory of a connection are bounded, and so is the number of connections.
//! * No log line has an id or anything of a message but its kind and the places in it that FHIR has none for.
//!
//! A facility in MSH-4 is what a sender says of itself. Who may speak at all is decided by TLS, by certificates that
//! the feed's authorities have signed; senders that do not trust each other have feeds of their own.
//!
//! Not here: what messages mean (`keepwell-hl7v2`); sending messages; clocks that change (a feed's zone is an offset).

mod commit;
mod connection;
mod merge;
mod receive;
mod sender;
#[cfg(test)]
mod tests;
pub mod tls;

use std::{sync::Arc, time::Duration};

pub use keepwell_hl7v2::{charset::CharacterSet, map::Offset, mllp};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::gateway::{Asker, Gateway};
use commit::Writer;
use connection::{Ended, Times};
use receive::Receiver;
pub use sender::{Sender, SenderError, Senders};

/// Connections of one feed; others wait.
pub const CONNECTIONS_MAX: usize = 32;
/// Bytes of one message: a scanned document in base64 fits, and what is made of it fits in a transaction.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a message waits for a ledger that does not answer, unless configured.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a sender may take to say who it is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What is chosen for a feed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose messages are taken.
    pub senders: Senders,
    /// The character set of messages that name none (MSH-18).
    pub undeclared: CharacterSet,
    /// What clocks show where neither a time nor its message says it.
    pub zone: Option<Offset>,
    /// How long a message waits for a ledger that does not answer.
    pub patience: Duration,
}

/// Serves a feed, in the name of `asker`, until it is told to stop, and what is under way then to its end.
///
/// A listener that others than this computer reach has TLS, which the caller sees to.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    (gateway, asker): (Arc<Gateway>, Asker),
    settings: Settings,
    mut stopping: watch::Receiver<bool>,
) {
    let receiver = Arc::new(Receiver::new(Writer { gateway, asker }, settings));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(ended) = connections.join_next() => told(ended),
            (stream, place) = accept(&listener, &places) => {
                let (tls, receiver, stopping) = (tls.clone(), receiver.clone(), stopping.clone());
                connections.spawn(async move {
                    let _place = place;
                    talk(stream, tls, &receiver, stopping).await
                });
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        told(ended);
    }
}

/// The next connection, as soon as there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a feed could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    receiver: &Receiver<Writer>,
    stopping: watch::Receiver<bool>,
) -> Ended {
    // An answer is one small packet, for which its sender waits.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return connection::talk(stream, receiver, Times::USUAL, stopping).await;
    };
    match timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::talk(stream, receiver, Times::USUAL, stopping).await,
        Ok(Err(error)) => {
            tracing::warn!(%error, "a sender did not come in; does it speak TLS 1.2 or 1.3, with a certificate that client_ca has signed?");
            Ended::Broken
        }
        Err(_) => Ended::Slow,
    }
}

fn told(ended: Result<Ended, tokio::task::JoinError>) {
    match ended {
        Ok(Ended::Closed | Ended::Stopping | Ended::Idle) => {}
        Ok(ended) => tracing::warn!(%ended, "a connection of a feed has ended"),
        // Nothing was answered, so nothing is lost.
        Err(_) => tracing::error!("a connection of a feed failed; tell who develops the gateway"),
    }
}

/// Returns when the gateway is to stop. Whoever could tell is gone: it stops as well.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
