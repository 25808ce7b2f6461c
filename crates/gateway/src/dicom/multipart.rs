//! `multipart/related` (RFC 2046, 5.1; RFC 2387), part by part, as it comes.
//!
//! ```text
//! [preamble] --B CRLF headers CRLF CRLF content CRLF --B CRLF ... CRLF --B-- [epilogue]
//! ```
//!
//! # Invariants
//!
//! * Memory is one buffer, [`BUFFER_BYTES`], whatever is sent.
//! * A part ends at its delimiter and nowhere else: a body that ends before is an error, after the pieces that came.
//! * What stands behind the closing delimiter is not read.
//!
//! Not here: multipart inside multipart, transfer encodings, and what a part is.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes that are held at one time.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of the headers of one part, and of what stands before the first part.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// Characters of a boundary (RFC 2046, 5.1.1).
const BOUNDARY_CHARS_MAX: usize = 70;

/// Why a body is no multipart.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error(
        "send multipart/related; type=\"application/dicom\"; boundary=.., a boundary of 1 to {BOUNDARY_CHARS_MAX} characters"
    )]
    ContentType,
    #[error("the body is cut: the closing boundary did not come; send it again")]
    Cut,
    #[error("the body has no boundary as its Content-Type says it; send both with one boundary")]
    Boundary,
    #[error("the headers of a part are none, or have more than {HEADER_BYTES_MAX} bytes")]
    Headers,
    #[error("nothing came for too long, or the connection broke; send it again")]
    Broken(#[source] io::Error),
}

/// What a `Content-Type` of `multipart/related` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Related {
    pub(super) boundary: String,
    /// The type of the parts, if it is said.
    pub(super) of: Option<String>,
}

impl Related {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = parameters(text).into_iter();
        let kind = parts.next().ok_or(Fault::ContentType)?.0;
        let all: Vec<_> = parts.collect();
        let one = |name: &str| {
            let mut found = all.iter().filter(|it| it.0 == name);
            let first = found.next().map(|it| it.1.clone());
            if found.next().is_some() { Err(Fault::ContentType) } else { Ok(first) }
        };
        let boundary = one("boundary")?.unwrap_or_default();
        let is_of = |c: char| c.is_ascii_alphanumeric() || "'()+_,-./:=? ".contains(c);
        let is_boundary =
            (1..=BOUNDARY_CHARS_MAX).contains(&boundary.len()) && boundary.chars().all(is_of);
        if kind != "multipart/related" || !is_boundary {
            return Err(Fault::ContentType);
        }
        Ok(Self { boundary, of: one("type")?.map(|it| it.to_ascii_lowercase()) })
    }
}

/// The value of a header and its parameters: names in small letters, values without their quotes.
pub(super) fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut all, mut quoted, mut escaped, mut part) = (Vec::new(), false, false, String::new());
    for c in text.chars().chain([';']) {
        match c {
            _ if escaped => {
                part.push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => all.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    let named = |(at, part): (usize, String)| match part.split_once('=') {
        Some((name, value)) if at > 0 => {
            (name.trim().to_ascii_lowercase(), value.trim().to_owned())
        }
        _ => (part.trim().to_ascii_lowercase(), String::new()),
    };
    all.into_iter().enumerate().map(named).collect()
}

/// The headers of a part: names in small letters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(bytes).map_err(|_| Fault::Headers)?;
        let lines = text.split("\r\n").filter(|it| !it.is_empty());
        let header = |line: &str| {
            let (name, value) = line.split_once(':').ok_or(Fault::Headers)?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Self(lines.map(header).collect::<Result<_, _>>()?))
    }

    /// The media type of the part, in small letters.
    pub(super) fn media_type(&self) -> Option<String> {
        let value = &self.0.iter().find(|it| it.0 == "content-type")?.1;
        parameters(value).into_iter().next().map(|it| it.0)
    }
}

/// A body, part by part.
#[derive(Debug)]
pub(super) struct Multipart<R> {
    source: R,
    /// What came and was not handed out.
    buffer: Vec<u8>,
    /// Bytes of the buffer that were handed out, and go with the next step.
    given: usize,
    is_at_end: bool,
    delimiter: Vec<u8>,
    /// Whether the next bytes are behind a delimiter.
    is_between: bool,
    /// Whether no delimiter came yet.
    is_before: bool,
}

impl<R: AsyncRead + Unpin> Multipart<R> {
    pub(super) fn new(source: R, boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may be what the body begins with.
        let buffer = b"\r\n".to_vec();
        Self {
            source,
            buffer,
            given: 0,
            is_at_end: false,
            delimiter,
            is_between: false,
            is_before: true,
        }
    }

    /// The headers of the next part; nothing behind the last one. What is left of a part is passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Headers>, Fault> {
        let mut before = 0;
        let is_first = std::mem::replace(&mut self.is_before, false);
        while !self.is_between {
            let piece = self.piece().await.map_err(|fault| {
                let is_none = is_first && matches!(fault, Fault::Cut);
                if is_none { Fault::Boundary } else { fault }
            })?;
            before += piece.map_or(0, <[u8]>::len);
            if is_first && before > HEADER_BYTES_MAX {
                return Err(Fault::Boundary);
            }
        }
        self.is_between = false;
        let line = self.until(b"\r\n").await?;
        if line.starts_with(b"--") {
            return Ok(None);
        }
        if !line.iter().all(|it| matches!(it, b' ' | b'\t')) {
            return Err(Fault::Boundary);
        }
        // A part without headers has an empty line alone.
        self.fill(2).await?;
        if self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
            return Ok(Some(Headers(Vec::new())));
        }
        let headers = self.until(b"\r\n\r\n").await?;
        Ok(Some(Headers::parse(&headers)?))
    }

    /// More of the part; nothing at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<&[u8]>, Fault> {
        if self.is_between {
            return Ok(None);
        }
        self.buffer.drain(..std::mem::take(&mut self.given));
        loop {
            match self.found() {
                Some(0) => {
                    self.buffer.drain(..self.delimiter.len());
                    self.is_between = true;
                    return Ok(None);
                }
                Some(at) => {
                    self.given = at;
                    break;
                }
                // A delimiter may begin in the last bytes.
                None if self.buffer.len() >= self.delimiter.len() => {
                    self.given = self.buffer.len() - (self.delimiter.len() - 1);
                    break;
                }
                None if self.is_at_end => return Err(Fault::Cut),
                None => self.more().await?,
            }
        }
        Ok(Some(&self.buffer[..self.given]))
    }

    /// Where the delimiter is.
    fn found(&self) -> Option<usize> {
        let mut from = 0;
        while let Some(at) = self.buffer[from..].iter().position(|it| *it == b'\r') {
            if self.buffer[from + at..].starts_with(&self.delimiter) {
                return Some(from + at);
            }
            from += at + 1;
        }
        None
    }

    /// The bytes before a mark, which goes with them.
    async fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, Fault> {
        loop {
            let at = self.buffer.windows(mark.len()).position(|it| it == mark);
            if let Some(at) = at.filter(|at| *at <= HEADER_BYTES_MAX) {
                let found = self.buffer[..at].to_vec();
                self.buffer.drain(..at + mark.len());
                return Ok(found);
            }
            // Nothing has to follow the closing delimiter.
            if self.buffer.starts_with(b"--") {
                return Ok(b"--".to_vec());
            }
            if at.is_some() || self.buffer.len() > HEADER_BYTES_MAX {
                return Err(Fault::Headers);
            }
            if self.is_at_end {
                return Err(Fault::Cut);
            }
            self.more().await?;
        }
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Fault> {
        while self.buffer.len() < bytes && !self.is_at_end {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<(), Fault> {
        let room = BUFFER_BYTES.saturating_sub(self.buffer.len()).max(1) as u64;
        let mut some = (&mut self.source).take(room);
        let read = some.read_buf(&mut self.buffer).await.map_err(Fault::Broken)?;
        self.is_at_end = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Comes in pieces of so many bytes.
    struct Slow<'a>(&'a [u8], usize);

    impl AsyncRead for Slow<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let len = self.1.min(self.0.len()).min(buffer.remaining());
            let (now, later) = self.0.split_at(len);
            buffer.put_slice(now);
            self.0 = later;
            std::task::Poll::Ready(Ok(()))
        }
    }

    async fn parts(body: &[u8], step: usize) -> Result<Vec<(Option<String>, Vec<u8>)>, Fault> {
        let mut all = Vec::new();
        let mut multipart = Multipart::new(Slow(body, step), "b");
        while let Some(headers) = multipart.next().await? {
            let mut content = Vec::new();
            while let Some(piece) = multipart.piece().await? {
                content.extend_from_slice(piece);
            }
            all.push((headers.media_type(), content));
        }
        Ok(all)
    }

    /// A part's type, if it says one, and its bytes.
    type Part = (Option<String>, Vec<u8>);

    fn run(body: &[u8], step: usize) -> Result<Vec<Part>, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(parts(body, step))
    }

    #[test]
    fn parts_come_as_they_were_sent() {
        for (body, expected) in [
            ("--b\r\nContent-Type: A/B; x=y\r\n\r\none\r\n--b--", vec![(Some("a/b"), "one")]),
            (
                "before\r\n--b \t\r\n\r\n\r\n--b\r\n\r\n\r\n\r\n--b--\r\nafter",
                vec![(None, ""), (None, "\r\n")],
            ),
            ("--b\r\n\r\n\r\n--\r\n-b\r\n--c\r\n--b--", vec![(None, "\r\n--\r\n-b\r\n--c")]),
            ("--b--", vec![]),
        ] {
            for step in [1, 2, 3, 100_000] {
                let parts = run(body.as_bytes(), step).unwrap();
                let parts: Vec<_> = parts
                    .iter()
                    .map(|(kind, it)| (kind.as_deref(), std::str::from_utf8(it).unwrap()))
                    .collect();
                assert_eq!(parts, expected, "{body:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_no_multipart_is_refused() {
        let long = format!("--b\r\nx: {}\r\n\r\n\r\n--b--", "y".repeat(HEADER_BYTES_MAX));
        let before = format!("{}\r\n--b--", "y".repeat(2 * HEADER_BYTES_MAX));
        for (body, fault) in [
            ("", "Boundary"),
            ("--a\r\n\r\none\r\n--a--", "Boundary"),
            ("--bb\r\n\r\none\r\n--bb--", "Boundary"),
            ("--b\r\n\r\none\r\n--bb--", "Cut"),
            ("--b\r\n\r\none\r\n--bb\r\n", "Boundary"),
            (&before, "Boundary"),
            ("--b\r\n\r\none", "Cut"),
            ("--b\r\n\r\none\r\n--", "Cut"),
            ("--b\r\nContent-Ty", "Cut"),
            ("--b", "Cut"),
            ("--b\r\nno header\r\n\r\n\r\n--b--", "Headers"),
            (&long, "Headers"),
        ] {
            for step in [1, 100_000] {
                let given = format!("{:?}", run(body.as_bytes(), step).unwrap_err());
                assert_eq!(given, fault, "{body:.40?} by {step}");
            }
        }
    }

    #[test]
    fn a_content_type_says_the_boundary() {
        let good = "Multipart/Related; type=\"application/dicom\"; boundary=\"a b\\c\"";
        let related = Related::parse(good).unwrap();
        assert_eq!(
            (&*related.boundary, related.of.as_deref()),
            ("a bc", Some("application/dicom"))
        );
        let long = format!("multipart/related; boundary={}", "b".repeat(71));
        for bad in [
            "",
            "multipart/related",
            "multipart/related; boundary=",
            "multipart/form-data; boundary=b",
            "multipart/related; boundary=a; boundary=b",
            "multipart/related; boundary=\"a\r\nb\"",
            &long,
        ] {
            assert!(Related::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(body in "[\\-b\r\nx: ]{0,60}", step in 1usize..9) {
            // The same, however it is cut on its way.
            let (one, two) = (run(body.as_bytes(), step), run(body.as_bytes(), 1_000));
            prop_assert_eq!(one.ok(), two.ok());
        }

        #[test]
        fn contents_come_back(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200_000), 0..3)) {
            prop_assume!(contents.iter().all(|it| !it.windows(5).any(|it| it == b"\r\n--b")));
            let mut body = Vec::new();
            for content in &contents {
                body.extend_from_slice(b"--b\r\n\r\n");
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--b--");
            let parts: Vec<_> = run(&body, 70_000).unwrap().into_iter().map(|it| it.1).collect();
            prop_assert_eq!(parts, contents);
        }
    }
}
