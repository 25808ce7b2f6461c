//! One persistent HTTP/1.1 connection, and requests that are bytes before the clock starts.
//!
//! The load generator shares its cores with the validators that it measures, so it does as little as it
//! can: it writes prepared bytes and reads a status and a body of a stated length.
//!
//! Not here: anything that checks an answer. What was acknowledged is checked after the clock stopped.

use std::{io, net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keepwell_types::wire::SignedRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::BenchError;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the body of an answer.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a node answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a 200, or an error that shows what the node said instead.
    pub(super) fn ok(self, of: &str) -> Result<Vec<u8>, BenchError> {
        if self.status == 200 {
            return Ok(self.body);
        }
        let message = String::from_utf8_lossy(&self.body).into_owned();
        Err(BenchError::Answer { of: of.to_owned(), status: self.status, message })
    }
}

/// `POST path` with a body in the canonical encoding.
pub(super) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cbor\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// `GET path`, with proof of who asks where the node wants it.
pub(super) fn get(path: &str, authorization: Option<&str>) -> Vec<u8> {
    let proof =
        authorization.map(|proof| format!("authorization: {proof}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{proof}\r\n").into_bytes()
}

/// The header that proves who asks.
pub(super) fn authorization(signed: &SignedRequest) -> String {
    format!("Keepwell {}", URL_SAFE_NO_PAD.encode(keepwell_types::encode(signed)))
}

/// A connection that stays open.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8_192) })
    }

    /// Sends prepared bytes and waits for the answer to them.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        timeout(ANSWER_MAX, self.exchange(request)).await?
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head_bytes = loop {
            if let Some(end) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                break end + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(invalid("the head of an answer does not end"));
            }
            self.read_more().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_bytes])
            .map_err(|_| invalid("the head of an answer is not text"))?;
        let (status, body_bytes) = read_head(head)?;
        while self.buffer.len() < head_bytes + body_bytes {
            self.read_more().await?;
        }
        Ok(Answer { status, body: self.buffer[head_bytes..head_bytes + body_bytes].to_vec() })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The status, and the length of the body.
fn read_head(head: &str) -> io::Result<(u16, usize)> {
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| invalid("the answer is not HTTP/1.1"))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .filter(|length| *length <= BODY_BYTES_MAX)
        .ok_or_else(|| invalid("the answer does not say how long it is"))?;
    Ok((status, length))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Some((200, 12))),
            ("HTTP/1.1 429 Too Many Requests\r\na: b\r\ncontent-length:0\r\n\r\n", Some((429, 0))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", None),
            ("SSH-2.0-server\r\n\r\n", None),
        ];
        for (head, expected) in cases {
            assert_eq!(read_head(head).ok(), expected, "{head:?}");
        }
    }
}
