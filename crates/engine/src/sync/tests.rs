//! Goal: logs are cut into answers and put together again, and none that was altered is taken. Method: an index with a
//! log that fits no answer between some that do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use keepwell_ledger::state::LogLine;
use keepwell_merkle::chart_log;
use keepwell_types::{
    encode,
    encoding::List,
    id::{ChartId, Digest, Height, Location, LogPosition},
};

use super::{
    ask::{ANSWER_BYTES_MAX, CHARTS_MAX, LINES_MAX, LinePage},
    begin::{head_after, log_of},
    serve::{chart_page, line_page},
};
use crate::{index::Index, reader::ReadError};

const SHORT: usize = 3;
const LONG: usize = 2 * LINES_MAX + 7;
const CHARTS: [(ChartId, usize); 3] =
    [(ChartId([1; 32]), SHORT), (ChartId([2; 32]), LONG), (ChartId([3; 32]), SHORT)];

/// Lines at blocks 1, 2, 3 and so on.
fn lines(count: usize) -> Vec<LogLine> {
    let location = |height| Location { height: Height(height), index: 0 };
    (1..).take(count).map(|height| LogLine { location: location(height), record: None }).collect()
}

fn index(folder: &tempfile::TempDir) -> Index {
    let index = Index::open(folder.path()).unwrap();
    for (chart, count) in CHARTS {
        index.put_log(chart, &lines(count)).unwrap();
    }
    index.set_height(Height(LONG as u64)).unwrap();
    index
}

fn head(count: usize) -> Digest {
    head_after(chart_log::EMPTY, LogPosition(0), &lines(count))
}

#[test]
fn logs_go_into_answers_and_a_long_one_into_several() {
    let folder = tempfile::tempdir().unwrap();
    let index = index(&folder);
    let page = chart_page(&index, Height(LONG as u64), None).unwrap();
    let found: Vec<_> = page.charts.iter().map(|it| (it.chart, it.lines.len())).collect();
    assert_eq!(found, [(CHARTS[0].0, SHORT), (CHARTS[1].0, 0), (CHARTS[2].0, SHORT)]);
    assert_eq!(page.next, None);
    assert_eq!(chart_page(&index, Height(9), Some(CHARTS[2].0)).unwrap().charts.len(), 0);

    let (mut until, mut next, mut parts) = (LogPosition(LONG as u64), head(LONG), Vec::new());
    while until > LogPosition(0) {
        let bytes = encode(&line_page(&index, CHARTS[1].0, until).unwrap());
        assert!(bytes.len() <= ANSWER_BYTES_MAX);
        let page = log_of(until, next, &bytes).unwrap();
        until = LogPosition(until.0 - page.lines.len() as u64);
        next = page.before;
        parts.push(page.lines.into_vec());
    }
    assert!(parts.len() > 2, "{} parts", parts.len());
    let whole: Vec<_> = parts.into_iter().rev().flatten().collect();
    assert_eq!(whole, lines(LONG));
}

/// Charts that began after the block are passed over, so many for each question.
#[test]
fn an_answer_ends_though_no_chart_is_old_enough() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path()).unwrap();
    let chart = |at: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(at as u64).to_be_bytes());
        ChartId(id)
    };
    for at in 0..=CHARTS_MAX {
        index.put_log(chart(at), &lines(1)).unwrap();
    }
    index.set_height(Height(1)).unwrap();
    let page = chart_page(&index, Height(0), None).unwrap();
    assert_eq!((page.charts.len(), page.next), (0, Some(chart(CHARTS_MAX - 1))));
    let page = chart_page(&index, Height(0), page.next).unwrap();
    assert_eq!((page.charts.len(), page.next), (0, None));
}

/// What came after the floor is none of its business, and who has not come so far says nothing.
#[test]
fn logs_end_at_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    let index = index(&folder);
    let page = chart_page(&index, Height(2), None).unwrap();
    assert!(page.charts.iter().all(|it| *it.lines == lines(2)));
    assert_eq!(page.charts.len(), CHARTS.len());
    assert_eq!(chart_page(&index, Height(0), None).unwrap().charts.len(), 0);
    let ahead = Height(LONG as u64 + 1);
    assert_eq!(chart_page(&index, ahead, None).unwrap_err(), ReadError::NotHere);
    let until = LogPosition(SHORT as u64 + 1);
    assert_eq!(line_page(&index, CHARTS[0].0, until).unwrap_err(), ReadError::NotHere);
}

#[test]
fn an_altered_answer_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let index = index(&folder);
    let until = LogPosition(LONG as u64);
    let good = line_page(&index, CHARTS[1].0, until).unwrap();
    let is_taken = |page: &LinePage| log_of(until, head(LONG), &encode(page)).is_some();
    assert!(is_taken(&good));
    assert!(!is_taken(&LinePage { before: Digest([7; 32]), ..good.clone() }));
    assert!(!is_taken(&LinePage { lines: List::new(), ..good.clone() }));
    let altered = |alter: fn(&mut Vec<LogLine>)| {
        let mut lines = good.lines.to_vec();
        alter(&mut lines);
        LinePage { lines: List::from_vec(lines).unwrap(), ..good.clone() }
    };
    assert!(!is_taken(&altered(|lines| drop(lines.pop()))));
    assert!(!is_taken(&altered(|lines| drop(lines.remove(0)))));
    assert!(!is_taken(&altered(|lines| lines.swap(0, 1))));
    assert!(!is_taken(&altered(|lines| lines[5].location.index ^= 1)));
    // A log that would begin from another head than that of no lines.
    let short = head_after(Digest([7; 32]), LogPosition(0), &lines(SHORT));
    let forged = LinePage { before: Digest([7; 32]), lines: List::from_vec(lines(SHORT)).unwrap() };
    assert!(log_of(LogPosition(SHORT as u64), short, &encode(&forged)).is_none());
    assert!(log_of(until, head(LONG), b"no answer").is_none());
}
