//! What a soak has run: a text file that only grows, one line for each batch of seeds.
//!
//! ```text
//! PROGRAM    REVISION  SCENARIO                       SEEDS    SECONDS  WHAT FAILED
//! 5f3c...    b25b85d   faults::crashes_and_restarts   100..150  41
//! 5f3c...    b25b85d   faults::crashes_and_restarts   150..151  0        a validator's state at block 87 is no ...
//! ```
//!
//! Columns are separated by tabs. A line with nothing in its last column says that these seeds passed.
//!
//! # Invariants
//!
//! * A line is of one program, by its digest: what another one passed does not count.
//! * A line is written whole when its seeds are done, so whoever stops a soak loses the batches under way.
//!
//! Not here: which seeds run next, and how.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    ops::Range,
    path::Path,
};

use crate::process::Failure;

/// One batch of seeds of one scenario.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// The digest of the program that ran them.
    pub(crate) program: String,
    /// Of which revision it was built.
    pub(crate) revision: String,
    pub(crate) scenario: String,
    pub(crate) seeds: Range<u64>,
    /// How long they took.
    pub(crate) seconds: u64,
    /// What went wrong; nothing if all passed.
    pub(crate) failed: Option<String>,
}

impl Line {
    fn parse(text: &str) -> Option<Self> {
        let columns: Vec<&str> = text.split('\t').collect();
        let [program, revision, scenario, seeds, seconds, failed] = columns[..] else {
            return None;
        };
        Some(Self {
            program: program.into(),
            revision: revision.into(),
            scenario: scenario.into(),
            seeds: range(seeds)?,
            seconds: seconds.parse().ok()?,
            failed: (!failed.is_empty()).then(|| failed.into()),
        })
    }

    fn text(&self) -> String {
        let Self { program, revision, scenario, seeds, seconds, failed } = self;
        let failed = failed.as_deref().unwrap_or_default().replace(['\t', '\n'], " ");
        let Range { start, end } = seeds;
        format!("{program}\t{revision}\t{scenario}\t{start}..{end}\t{seconds}\t{failed}\n")
    }
}

/// The seeds that `text` names, as `0..10000`.
pub(crate) fn range(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_once("..")?;
    let range = start.parse().ok()?..end.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// The file, and what stands in it.
pub(crate) struct Results {
    file: File,
    lines: Vec<Line>,
}

impl Results {
    /// Opens the results in `path`, or begins one. A last line that was cut off is not counted, and what follows
    /// begins on a line of its own.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let told = |error: io::Error| {
            Failure::new(format!("the results in {} cannot be used: {error}", path.display()))
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(told(error)),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(told)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(told)?;
        }
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(Self { file, lines: whole.lines().filter_map(Line::parse).collect() })
    }

    /// Adds a line, on the disk too.
    pub(crate) fn add(&mut self, line: Line) -> io::Result<()> {
        self.file.write_all(line.text().as_bytes())?;
        self.file.sync_data()?;
        self.lines.push(line);
        Ok(())
    }

    /// What `program` has run of a scenario.
    pub(crate) fn standing(&self, program: &str, scenario: &str) -> Standing {
        let mut standing = Standing::default();
        let own = |line: &&Line| line.program == program && line.scenario == scenario;
        for line in self.lines.iter().filter(own) {
            standing.seconds += line.seconds;
            let to =
                if line.failed.is_none() { &mut standing.passed } else { &mut standing.failed };
            to.extend(line.seeds.clone());
        }
        standing
    }

    /// Those of `seeds` that failed in `program`, and why.
    pub(crate) fn failures(
        &self,
        program: &str,
        scenario: &str,
        seeds: &Range<u64>,
    ) -> BTreeMap<u64, &str> {
        let own = self.lines.iter().filter(|it| it.program == program && it.scenario == scenario);
        let failed = own.filter_map(|line| Some((line, line.failed.as_deref()?)));
        let each = failed.flat_map(|(line, why)| line.seeds.clone().map(move |seed| (seed, why)));
        each.filter(|(seed, _)| seeds.contains(seed)).collect()
    }
}

/// What has been run of one scenario.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing {
    pub(crate) passed: BTreeSet<u64>,
    pub(crate) failed: BTreeSet<u64>,
    pub(crate) seconds: u64,
}

impl Standing {
    pub(crate) fn len(&self) -> usize {
        self.passed.union(&self.failed).count()
    }

    /// The first of `seeds` that have not been run and are not `taken` by someone: at most `most`, one after the other.
    pub(crate) fn next(
        &self,
        seeds: &Range<u64>,
        taken: &[Range<u64>],
        most: u64,
    ) -> Option<Range<u64>> {
        let is_done = |seed: &u64| self.passed.contains(seed) || self.failed.contains(seed);
        let is_free = |seed: &u64| !is_done(seed) && !taken.iter().any(|it| it.contains(seed));
        let start = seeds.clone().find(is_free)?;
        let end = seeds.end.min(start.saturating_add(most));
        Some(start..(start..end).find(|seed| !is_free(seed)).unwrap_or(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seeds: Range<u64>, failed: Option<&str>) -> Line {
        Line {
            program: "5f3c".into(),
            revision: "b25b85d".into(),
            scenario: "faults::calm".into(),
            seeds,
            seconds: 3,
            failed: failed.map(String::from),
        }
    }

    #[test]
    fn results_are_read_back_without_their_torn_end() {
        let path = std::env::temp_dir().join(format!("keepwell-results-{}", std::process::id()));
        let mut results = Results::open(&path).unwrap();
        results.add(line(0..50, None)).unwrap();
        results.add(line(50..51, Some("it\tfell\nover"))).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "5f3c\tb25b85d\tfaults::calm\t51..6")
            .unwrap();

        let mut again = Results::open(&path).unwrap();
        assert_eq!(again.lines.len(), 2);
        assert_eq!(again.lines[1].failed.as_deref(), Some("it fell over"));
        again.add(line(51..60, None)).unwrap();
        let read = Results::open(&path).unwrap();
        assert_eq!(
            read.failures("5f3c", "faults::calm", &(0..60)),
            [(50, "it fell over")].into(),
            "whoever ran it"
        );
        assert!(read.failures("5f3c", "faults::calm", &(0..50)).is_empty());
        assert!(read.failures("77aa", "faults::calm", &(0..60)).is_empty());
        let standing = read.standing("5f3c", "faults::calm");
        fs::remove_file(&path).unwrap();
        assert_eq!((standing.len(), standing.failed.len()), (60, 1));
    }

    #[test]
    fn what_another_program_passed_does_not_count() {
        let path = std::env::temp_dir().join(format!("keepwell-programs-{}", std::process::id()));
        let mut results = Results::open(&path).unwrap();
        results.add(line(0..50, None)).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(results.standing("5f3c", "faults::calm").len(), 50);
        assert_eq!(results.standing("77aa", "faults::calm").len(), 0);
        assert_eq!(results.standing("5f3c", "faults::torn_writes").len(), 0);
    }

    #[test]
    fn seeds_are_run_once_and_in_order() {
        let standing =
            Standing { passed: (0..10).chain(20..30).collect(), failed: [10].into(), seconds: 0 };
        let next = |taken: &[Range<u64>], most| standing.next(&(0..40), taken, most);
        assert_eq!(next(&[], 50), Some(11..20));
        assert_eq!(next(&[], 5), Some(11..16));
        assert_eq!(next(std::slice::from_ref(&(11..16)), 5), Some(16..20));
        assert_eq!(next(&[11..16, 16..20], 50), Some(30..40));
        assert_eq!(next(&[11..20, 30..40], 50), None);
    }

    #[test]
    fn a_range_is_two_numbers_and_not_empty() {
        assert_eq!(range("0..10000"), Some(0..10_000));
        for text in ["", "7", "..", "0..", "9..3", "3..3", "a..b", "0...5"] {
            assert_eq!(range(text), None, "{text} was taken");
        }
    }
}
