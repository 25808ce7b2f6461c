//! MLLP: where one message ends and the next begins on a connection (HL7 Transport Specification: MLLP, Release 1).
//!
//! ```text
//!  0x0B  message ...  0x1C 0x0D     0x0B  message ...  0x1C 0x0D
//!  VT                 FS   CR       VT                 FS   CR
//!
//!            VT                  FS                  CR
//!  Between -----> Inside ----------------> Ending ------------> Between   Frame
//!     ^             | VT: Cut, again Inside   | VT: Frame, Inside
//!     |             | too many bytes          | other: EndInside
//!     +---- VT -----+-----> Skipping <--------+
//! ```
//!
//! # Invariants
//!
//! * The events depend on the bytes alone, not on how the network cut them: every chunking gives the same.
//! * A frame that came in full is given as it came. One that was cut, was too large or holds an end byte is never
//!   given, so it is never acknowledged and its sender sends it again.
//! * Each byte is looked at once. What is held is at most one frame.
//!
//! The caller takes one event at a time and reads on when it has dealt with it: a slow receiver slows its sender.
//!
//! Not here: MLLP Release 2's commit bytes, and time. A sender that forgets the last `CR` waits for its answer; when
//! the connection is quiet or ends, [`Decoder::quiet`] says what it had sent.

use alloc::vec::Vec;
use core::mem;

use thiserror::Error;

use crate::limits::{GARBAGE_BYTES_MAX, HEADER_BYTES_MAX};

const VT: u8 = 0x0b;
const FS: u8 = 0x1c;
const CR: u8 = 0x0d;
const LF: u8 = 0x0a;

/// What a decoder found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A message, without its framing.
    Frame(Vec<u8>),
    /// Bytes that are no message; they are gone.
    Fault(Fault),
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Fault {
    /// Bytes stood outside frames. Told when a frame begins, and whenever there are too many.
    #[error(
        "{bytes} bytes outside frames were skipped; does the sender speak MLLP, and TLS on this port?"
    )]
    Garbage {
        /// How many, up to [`GARBAGE_BYTES_MAX`].
        bytes: u64,
    },

    /// A frame ended before its end block: another began, or the connection ended.
    #[error("a frame was cut after {bytes} bytes; send the message again")]
    Cut {
        /// Bytes that had come.
        bytes: usize,
    },

    /// A frame has more bytes than are allowed; the rest of it is skipped.
    #[error(
        "a frame has more than {bytes_max} bytes; send large documents in parts or by reference"
    )]
    TooLarge {
        /// Bytes allowed.
        bytes_max: usize,
    },

    /// The end byte stands inside a frame, which no HL7 character set needs; the rest of the frame is skipped.
    #[error("byte {at} of a frame is 0x1C, which only ends frames; escape it as \\X1C\\")]
    EndInside {
        /// Where in the frame.
        at: usize,
    },
}

/// Reads frames out of the bytes of one connection.
#[derive(Debug)]
pub struct Decoder {
    frame_bytes_max: usize,
    held: Vec<u8>,
    /// How the frame began that was refused last.
    head: Vec<u8>,
    state: State,
}

/// What a decoder has that it has given no event of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Held {
    /// Nothing: the next byte begins a frame, or belongs to none.
    Nothing,
    /// A part of a frame, or of one that is skipped.
    Part,
    /// A frame with its end byte and without its `CR`.
    Whole,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Outside frames, after so many bytes that do not belong there.
    Between(u64),
    Inside,
    /// After the end byte; only now is it known whether the frame ended.
    Ending,
    /// In a frame that was refused, until the next begins.
    Skipping,
}

impl Decoder {
    /// A decoder at the beginning of a connection, for frames of up to `frame_bytes_max` bytes.
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { frame_bytes_max, held: Vec::new(), head: Vec::new(), state: State::Between(0) }
    }

    /// Takes bytes off the front of `input` up to the next event; nothing when all of them were taken without one.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Event> {
        while !input.is_empty() {
            let event = match self.state {
                State::Between(garbage) => self.between(garbage, input),
                State::Inside => self.inside(input),
                State::Ending => self.ending(input),
                State::Skipping => self.skip(input),
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// What more is waited for, and so how long.
    pub const fn held(&self) -> Held {
        match self.state {
            State::Between(_) => Held::Nothing,
            State::Inside | State::Skipping => Held::Part,
            State::Ending => Held::Whole,
        }
    }

    /// How the frame began that was refused last ([`Fault::TooLarge`], [`Fault::EndInside`]), up to its first line end
    /// and [`HEADER_BYTES_MAX`]: enough to answer it.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The connection is quiet, or has ended: what came is all that comes.
    ///
    /// Call it until it gives nothing. After it a new frame may begin.
    pub fn quiet(&mut self) -> Option<Event> {
        match mem::replace(&mut self.state, State::Between(0)) {
            State::Between(0) | State::Skipping => None,
            State::Between(bytes) => Some(Event::Fault(Fault::Garbage { bytes })),
            State::Inside => Some(Event::Fault(Fault::Cut { bytes: self.drop_held() })),
            State::Ending => Some(self.frame()),
        }
    }

    fn between(&mut self, garbage: u64, input: &mut &[u8]) -> Option<Event> {
        let byte = take(input)?;
        if byte == VT {
            self.state = State::Inside;
            let fault = Fault::Garbage { bytes: garbage };
            return (garbage > 0).then_some(Event::Fault(fault));
        }
        // Line ends between frames are a habit of senders and harm nobody.
        let garbage = garbage + u64::from(byte != CR && byte != LF);
        let is_full = garbage >= GARBAGE_BYTES_MAX;
        self.state = State::Between(if is_full { 0 } else { garbage });
        is_full.then_some(Event::Fault(Fault::Garbage { bytes: garbage }))
    }

    fn inside(&mut self, input: &mut &[u8]) -> Option<Event> {
        let end = input.iter().position(|byte| matches!(*byte, VT | FS));
        let (content, rest) = input.split_at(end.unwrap_or(input.len()));
        let room = self.frame_bytes_max - self.held.len();
        if content.len() > room {
            // Where the limit is passed, so that no chunking tells it sooner than another.
            self.held.extend_from_slice(&content[..room]);
            *input = &input[room..];
            return Some(self.refuse(Fault::TooLarge { bytes_max: self.frame_bytes_max }));
        }
        self.held.extend_from_slice(content);
        *input = rest;
        match take(input)? {
            VT => Some(Event::Fault(Fault::Cut { bytes: self.drop_held() })),
            _end => {
                self.state = State::Ending;
                None
            }
        }
    }

    fn ending(&mut self, input: &mut &[u8]) -> Option<Event> {
        match *input.first()? {
            CR => {
                take(input);
                self.state = State::Between(0);
                Some(self.frame())
            }
            // Without its CR, the frame is whole all the same.
            VT => {
                take(input);
                self.state = State::Inside;
                Some(self.frame())
            }
            _other => {
                let at = self.held.len();
                Some(self.refuse(Fault::EndInside { at }))
            }
        }
    }

    fn skip(&mut self, input: &mut &[u8]) -> Option<Event> {
        let begin = input.iter().position(|byte| *byte == VT);
        *input = &input[begin.map_or(input.len(), |at| at + 1)..];
        if begin.is_some() {
            self.state = State::Inside;
        }
        None
    }

    fn frame(&mut self) -> Event {
        Event::Frame(mem::take(&mut self.held))
    }

    fn refuse(&mut self, fault: Fault) -> Event {
        let mut held = mem::take(&mut self.held);
        let end = held.iter().position(|byte| matches!(*byte, CR | LF)).unwrap_or(held.len());
        held.truncate(end.min(HEADER_BYTES_MAX));
        held.shrink_to_fit();
        self.head = held;
        self.state = State::Skipping;
        Event::Fault(fault)
    }

    fn drop_held(&mut self) -> usize {
        mem::take(&mut self.held).len()
    }
}

/// A message in its frame; nothing if it holds a byte that frames are made of.
pub fn encode(message: &[u8]) -> Option<Vec<u8>> {
    if message.iter().any(|byte| matches!(*byte, VT | FS)) {
        return None;
    }
    let mut frame = Vec::with_capacity(message.len() + 3);
    frame.push(VT);
    frame.extend_from_slice(message);
    frame.extend_from_slice(&[FS, CR]);
    Some(frame)
}

fn take(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}
