//! A file of an export: one resource on each line (NDJSON), made of the index while it is sent.
//!
//! # Invariants
//!
//! * The same bytes are made each time, so that a transfer that was cut is gone on with by `Range` (RFC 9110, section
//!   14).
//! * Of a row that is not in the index any more no other is sent in its place: the transfer is cut, and says so by its
//!   length.
//!
//! Not here: several ranges at once, which get all of the file.

use std::ops::Range;

use axum::{body::Body, http::HeaderValue};
use keepwell_client::{ClientError, error::UsageError};
use keepwell_fhir::search::shape::{self, Shape};
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream},
    sync::OwnedSemaphorePermit,
};

use super::{ExportId, Exports};
use crate::{
    answer::without_ids,
    content::finish,
    index::{Index, IndexError, Version},
    read::shown_text,
};

/// Bytes and lines that are made before they are sent.
const PART_BYTES: usize = 1024 * 1024;
const PART_LINES: usize = 250;

/// A file that may be sent.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(super) id: ExportId,
    pub(super) file: u32,
    pub(crate) bytes: u64,
    pub(super) shape: Shape,
}

impl Opened {
    /// What says that two answers are of one file.
    pub(crate) fn tag(&self) -> String {
        format!("\"{}-{}\"", self.id, self.file)
    }
}

/// A stretch of a file that is asked for (RFC 9110, section 14.1.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ByteRange {
    /// All of it: nothing else was asked for, or nothing that is understood.
    Whole,
    Part(Range<u64>),
    /// It is beyond the end.
    Unsatisfiable,
}

impl ByteRange {
    /// Reads a `Range` header, for a file of so many bytes.
    pub(crate) fn parse(header: Option<&HeaderValue>, bytes: u64) -> Self {
        let text = header.and_then(|it| it.to_str().ok());
        let spec = text.and_then(|it| it.strip_prefix("bytes=")).map(str::trim);
        let Some((first, last)) = spec.and_then(|it| it.split_once('-')) else {
            return Self::Whole;
        };
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
            // A number that is too large is beyond every end.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
            (Some(first), None) if last.is_empty() => first..bytes,
            (None, Some(count)) if first.is_empty() => bytes.saturating_sub(count)..bytes,
            _ => return Self::Whole,
        };
        if range.start < range.end { Self::Part(range) } else { Self::Unsatisfiable }
    }
}

impl Exports {
    /// The body of an answer with a stretch of a file. The place is kept until it is sent.
    pub(crate) fn body_of(
        &self,
        opened: Opened,
        range: Range<u64>,
        place: OwnedSemaphorePermit,
    ) -> Body {
        self.gateway().streamed(range.end - range.start, move |gateway, output| {
            Box::pin(async move {
                let _place = place;
                let sent = send(&gateway.index, &opened, range, output).await;
                sent.inspect_err(|error| {
                    tracing::warn!(error = without_ids(error), "a file of an export was cut");
                })
            })
        })
    }
}

/// Sends a stretch of a file.
async fn send(
    index: &Index,
    opened: &Opened,
    range: Range<u64>,
    mut output: DuplexStream,
) -> Result<(), ClientError> {
    let mut at = range.start;
    while at < range.end {
        let page = index.export_page(opened.id, opened.file, at).await;
        let page = page.map_err(of_index)?.ok_or_else(gone)?;
        let bytes = |lines: &[(u64, u32)]| lines.iter().map(|(_, it)| u64::from(*it)).sum::<u64>();
        let mut from = page.until_byte.saturating_sub(bytes(&page.lines));
        for lines in parts(&page.lines) {
            let until = from + bytes(lines);
            if at < until && from < range.end {
                let part = part(index, opened, lines).await?;
                let stretch = at - from..until.min(range.end) - from;
                let place = |it: u64| usize::try_from(it).map_err(|_| gone());
                let stretch = place(stretch.start)?..place(stretch.end)?;
                output.write_all(&part[stretch]).await.map_err(UsageError::Output)?;
                at = until.min(range.end);
            }
            from = until;
        }
    }
    finish(output).await;
    Ok(())
}

/// Some lines of a file, one after the other.
async fn part(
    index: &Index,
    opened: &Opened,
    lines: &[(u64, u32)],
) -> Result<Vec<u8>, ClientError> {
    let rows: Vec<_> = lines.iter().map(|(row, _)| *row).collect();
    let versions = index.rows(&rows).await.map_err(of_index)?;
    if versions.len() != lines.len() {
        return Err(gone());
    }
    let mut part = Vec::with_capacity(lines.iter().map(|(_, it)| *it as usize).sum());
    for (version, (_, bytes)) in versions.iter().zip(lines) {
        let line = line_of(version, &opened.shape).filter(|it| it.len() == *bytes as usize);
        part.extend_from_slice(line.ok_or_else(gone)?.as_bytes());
    }
    Ok(part)
}

/// Lines that are made before they are sent.
fn parts(lines: &[(u64, u32)]) -> impl Iterator<Item = &[(u64, u32)]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let mut bytes = 0_usize;
        let fits = |(_, it): &&(u64, u32)| {
            bytes = bytes.saturating_add(*it as usize);
            bytes <= PART_BYTES
        };
        let count = rest.iter().take(PART_LINES).take_while(fits).count().max(1).min(rest.len());
        let (part, others) = rest.split_at(count);
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}

/// The line of a version. It has no break in it: within JSON they stand between tokens alone.
pub(super) fn line_of(version: &Version, wanted: &Shape) -> Option<String> {
    let json = std::str::from_utf8(&version.body).ok()?;
    let whole = shown_text(json, version.number, version.time);
    let mut line = match wanted {
        Shape::Whole => whole,
        Shape::Count | Shape::Data | Shape::Elements(_) | Shape::Summary | Shape::Text => {
            shape::shape(&whole, wanted).ok()??
        }
    };
    line.retain(|c| c != '\n' && c != '\r');
    line.push('\n');
    Some(line)
}

fn of_index(error: IndexError) -> ClientError {
    UsageError::Output(std::io::Error::other(error)).into()
}

/// A row was forgotten since: whoever wants the rest exports again.
fn gone() -> ClientError {
    let text = "something in it is not kept any more; export again";
    UsageError::Output(std::io::Error::other(text)).into()
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        id::{ChartId, LogPosition, RecordId},
        time::BlockTime,
    };
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_range_is_understood_or_all_is_sent() {
        for (header, expected) in [
            ("bytes=0-0", ByteRange::Part(0..1)),
            ("bytes=0-99", ByteRange::Part(0..10)),
            ("bytes=3-", ByteRange::Part(3..10)),
            ("bytes=9-9", ByteRange::Part(9..10)),
            ("bytes=-4", ByteRange::Part(6..10)),
            ("bytes=-40", ByteRange::Part(0..10)),
            ("bytes=0-99999999999999999999999", ByteRange::Part(0..10)),
            ("bytes=10-", ByteRange::Unsatisfiable),
            ("bytes=10-12", ByteRange::Unsatisfiable),
            ("bytes=99999999999999999999999-", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=5-4", ByteRange::Whole),
            ("bytes=0-1,3-4", ByteRange::Whole),
            ("bytes=-", ByteRange::Whole),
            ("bytes=+1-2", ByteRange::Whole),
            ("bytes=a-b", ByteRange::Whole),
            ("lines=0-1", ByteRange::Whole),
            ("", ByteRange::Whole),
        ] {
            let header_value = HeaderValue::from_static(header);
            assert_eq!(ByteRange::parse(Some(&header_value), 10), expected, "{header}");
        }
        assert_eq!(ByteRange::parse(None, 10), ByteRange::Whole);
    }

    #[test]
    fn lines_are_made_in_bounded_parts() {
        let big = u32::try_from(PART_BYTES).unwrap();
        for (bytes, expected) in [
            (vec![], vec![]),
            (vec![1; PART_LINES + 1], vec![PART_LINES, 1]),
            (vec![big, 1], vec![1, 1]),
            (vec![big + 1, 1, 1], vec![1, 2]),
            (vec![1, big - 1, 1], vec![2, 1]),
        ] {
            let lines: Vec<_> = bytes.iter().map(|it| (0, *it)).collect();
            let counts: Vec<_> = parts(&lines).map(<[_]>::len).collect();
            assert_eq!(counts, expected);
        }
    }

    #[test]
    fn a_line_is_the_resource_without_breaks() {
        let json = "{\r\n  \"resourceType\": \"Observation\",\n  \"id\": \"1\",\n  \"extension\": [ { \"url\": \"a\\nb\", \"valueDecimal\": 1.50 } ]\n}";
        let version = Version {
            row: 1,
            record: RecordId([3; 32]),
            chart: ChartId([1; 32]),
            position: LogPosition(1),
            name: [0; 16],
            number: 2,
            time: BlockTime(0),
            body: Zeroizing::new(json.as_bytes().to_vec()),
        };
        let line = line_of(&version, &Shape::Whole).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with("}\n") && line.contains("1.50") && line.contains("\"a\\nb\""));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["meta"]["versionId"], "2");
        let id = Shape::Elements(["id".to_owned()].into());
        let part = line_of(&version, &id).unwrap();
        assert!(part.contains("SUBSETTED") && !part.contains("1.50"), "{part}");
    }
}
