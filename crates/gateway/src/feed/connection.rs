//! One connection: frames in, answers out, in turn.
//!
//! # Invariants
//!
//! * Bytes beyond the message that is worked on are not read: a sender that sends on fills its own buffers.
//! * A frame is complete within [`Times::frame_max`], and no part of it comes later than [`Times::stall_max`] after the
//!   last; otherwise it counts as cut, is not answered, and the connection is closed. An answer that is not taken
//!   within [`Times::write_max`] closes it too.
//! * What is read depends on the bytes alone, not on how they came.

use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

use keepwell_hl7v2::{
    limits::GARBAGE_BYTES_MAX,
    mllp::{self, Decoder, Event, Fault, Held},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::timeout,
};

use super::{
    MESSAGE_BYTES_MAX,
    commit::Commit,
    receive::{Heard, Receiver},
    stopped,
};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long a sender may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two messages: connections stay open, and those of computers that are gone do not.
    pub(super) idle_max: Duration,
    /// Between two parts of a frame.
    pub(super) stall_max: Duration,
    /// For a frame.
    pub(super) frame_max: Duration,
    /// For the `CR` after a frame, without which it is whole all the same.
    pub(super) end_max: Duration,
    /// To take an answer.
    pub(super) write_max: Duration,
}

impl Times {
    pub(super) const USUAL: Self = Self {
        idle_max: Duration::from_secs(60 * 60),
        stall_max: Duration::from_secs(30),
        frame_max: Duration::from_secs(300),
        end_max: Duration::from_millis(500),
        write_max: Duration::from_secs(30),
    };
}

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// By its sender.
    Closed,
    /// The gateway stops.
    Stopping,
    /// Nothing was sent for long.
    Idle,
    /// A frame did not come to its end, an answer was not taken, or nobody came in.
    Slow,
    /// What came is not MLLP.
    NotMllp,
    /// The network failed, or its sender went away.
    Broken,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "its sender closed it",
            Self::Stopping => "the gateway stops",
            Self::Idle => "nothing was sent for long",
            Self::Slow => "the sender was too slow; nothing of an unfinished message was taken",
            Self::NotMllp => "what came is not MLLP; does the sender speak TLS where this feed does not, or otherwise?",
            Self::Broken => "it broke",
        })
    }
}

/// Answers what comes until the connection ends.
pub(super) async fn talk<S, C>(
    stream: S,
    receiver: &Receiver<C>,
    times: Times,
    mut stopping: watch::Receiver<bool>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Commit,
{
    let mut line = Line::new(stream, times);
    let ended = loop {
        let event = match line.next(&mut stopping).await {
            Ok(event) => event,
            Err(ended) => break ended,
        };
        let heard = match event {
            Event::Frame(bytes) => receiver.receive(bytes, &mut stopping).await,
            Event::Fault(fault) => match of_fault(receiver, &fault, line.decoder.head()) {
                Ok(heard) => heard,
                Err(ended) => break ended,
            },
        };
        let answers = match heard {
            Heard::Answers(answers) => answers,
            Heard::Stopping => break Ended::Stopping,
        };
        if let Err(ended) = line.answer(&answers).await {
            break ended;
        }
    };
    // So that TLS says that this was the end, and no more.
    let _ = timeout(times.write_max, line.stream.shutdown()).await;
    ended
}

fn of_fault<C: Commit>(receiver: &Receiver<C>, fault: &Fault, head: &[u8]) -> Result<Heard, Ended> {
    tracing::warn!(%fault, "a sender's framing is wrong");
    match fault {
        Fault::Garbage { bytes } if *bytes >= GARBAGE_BYTES_MAX => Err(Ended::NotMllp),
        // There is no message that could be answered.
        Fault::Garbage { .. } | Fault::Cut { .. } => Ok(Heard::Answers(Vec::new())),
        // Unanswered, it would be sent again for ever.
        Fault::TooLarge { .. } | Fault::EndInside { .. } => {
            Ok(Heard::Answers(receiver.refuse(head, fault)))
        }
    }
}

struct Line<S> {
    stream: S,
    times: Times,
    decoder: Decoder,
    chunk: Vec<u8>,
    /// What of the chunk the decoder has not taken.
    rest: Range<usize>,
    /// Since when a frame is coming.
    since: Option<Instant>,
    /// Why nothing more comes.
    ended: Option<Ended>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    fn new(stream: S, times: Times) -> Self {
        let (decoder, chunk) = (Decoder::new(MESSAGE_BYTES_MAX), vec![0; CHUNK_BYTES]);
        Self { stream, times, decoder, chunk, rest: 0..0, since: None, ended: None }
    }

    /// The next frame or fault.
    async fn next(&mut self, stopping: &mut watch::Receiver<bool>) -> Result<Event, Ended> {
        loop {
            if *stopping.borrow() {
                return Err(Ended::Stopping);
            }
            let mut input = &self.chunk[self.rest.clone()];
            let event = self.decoder.next(&mut input);
            self.rest.start = self.rest.end - input.len();
            if let Some(event) = event {
                self.since = None;
                return Ok(event);
            }
            if let Some(ended) = self.ended {
                return self.decoder.quiet().ok_or(ended);
            }
            let wait = self.wait();
            tokio::select! {
                () = stopped(stopping) => return Err(Ended::Stopping),
                read = timeout(wait, self.stream.read(&mut self.chunk)) => match read {
                    Ok(Ok(0)) => self.ended = Some(Ended::Closed),
                    Ok(Ok(bytes)) => self.rest = 0..bytes,
                    Ok(Err(_)) => return Err(Ended::Broken),
                    Err(_) => match self.decoder.held() {
                        Held::Nothing => return Err(Ended::Idle),
                        Held::Part => self.ended = Some(Ended::Slow),
                        Held::Whole => return self.decoder.quiet().ok_or(Ended::Slow),
                    },
                }
            }
        }
    }

    /// How long the next bytes may take.
    fn wait(&mut self) -> Duration {
        let Times { idle_max, stall_max, frame_max, end_max, .. } = self.times;
        let most = match self.decoder.held() {
            Held::Nothing => return idle_max,
            Held::Part => stall_max,
            Held::Whole => end_max,
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        most.min(frame_max.saturating_sub(since.elapsed()))
    }

    async fn answer(&mut self, answers: &[Vec<u8>]) -> Result<(), Ended> {
        // What cannot be framed has a byte that no frame of the sender's had either.
        let frames: Vec<u8> = answers.iter().filter_map(|it| mllp::encode(it)).flatten().collect();
        if frames.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&frames).await?;
            self.stream.flush().await
        };
        match timeout(self.times.write_max, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Broken),
            Err(_) => Err(Ended::Slow),
        }
    }
}
