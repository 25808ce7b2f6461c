//! `keepwell bench table`: the figures of all runs, as a table and as a picture.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{BufRead as _, BufReader, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    BenchError,
    curves::curves,
    figure::{Better, Figure, median},
    plot::{Bar, plot},
};

/// Print the medians of the figures in files of JSON lines as a table
#[derive(Args, Clone, Debug)]
pub(super) struct Table {
    /// Files that other benchmarks wrote
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Draw them as well, in this file
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Draw how things go with validators and with records, from what `bench scale` wrote, in this file
    #[arg(long)]
    curves: Option<PathBuf>,
}

/// A line with a figure; other lines are passed over.
#[derive(Deserialize)]
struct FigureLine {
    figure: Figure,
    value: f64,
}

impl Table {
    pub(super) fn run(&self, out: &mut dyn Write, json: bool) -> Result<(), BenchError> {
        let values = self.values()?;
        let row = |figure: &Figure| Row::of(*figure, values.get(figure)?);
        let rows: Vec<_> = Figure::ALL.iter().filter_map(row).collect();
        if json {
            writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        } else {
            writeln!(out, "| figure | must | aim | median | runs | reached |")?;
            writeln!(out, "|---|---|---|---|---|---|")?;
            for row in &rows {
                writeln!(out, "{row}")?;
            }
        }
        if let Some(path) = &self.svg {
            let bars = values.iter().filter_map(|(figure, values)| {
                Some(Bar { figure: *figure, value: median(values)? })
            });
            draw(path, &plot(&bars.collect::<Vec<_>>()))?;
        }
        match &self.curves {
            Some(path) => {
                draw(path, &curves(&self.lines("scale_size")?, &self.lines("scale_records")?))
            }
            None => Ok(()),
        }
    }

    /// All lines of one kind.
    fn lines<L: DeserializeOwned>(&self, kind: &str) -> Result<Vec<L>, BenchError> {
        let mut lines = Vec::new();
        for path in &self.files {
            for line in read(path)?.lines() {
                let line: Result<Value, _> = serde_json::from_str(&line?);
                if let Some(line) = line.ok().filter(|line| line["kind"] == kind) {
                    lines.push(serde_json::from_value(line)?);
                }
            }
        }
        Ok(lines)
    }

    fn values(&self) -> Result<BTreeMap<Figure, Vec<f64>>, BenchError> {
        let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for path in &self.files {
            for line in read(path)?.lines() {
                if let Ok(FigureLine { figure, value }) = serde_json::from_str(&line?) {
                    values.entry(figure).or_default().push(value);
                }
            }
        }
        Ok(values)
    }
}

fn read(path: &Path) -> Result<BufReader<fs::File>, BenchError> {
    let file = fs::File::open(path);
    file.map(BufReader::new).map_err(|source| BenchError::Folder { path: path.into(), source })
}

fn draw(path: &Path, picture: &str) -> Result<(), BenchError> {
    fs::write(path, picture).map_err(|source| BenchError::Folder { path: path.into(), source })
}

/// A figure and what was measured of it.
#[derive(Debug, Serialize)]
struct Row {
    figure: Figure,
    text: &'static str,
    better: Better,
    must: f64,
    aim: Option<f64>,
    median: f64,
    runs: usize,
    reached: Reached,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reached {
    Aim,
    Must,
    No,
}

impl Row {
    /// Nothing if it was not measured.
    fn of(figure: Figure, values: &[f64]) -> Option<Self> {
        let median = median(values)?;
        let reached = match (figure.holds(median), figure.aimed(median)) {
            (true, true) => Reached::Aim,
            (true, false) => Reached::Must,
            (false, _) => Reached::No,
        };
        let (must, aim, runs) = (figure.must(), figure.aim(), values.len());
        let (text, better) = (figure.text(), figure.better());
        Some(Self { figure, text, better, must, aim, median, runs, reached })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.better {
            Better::Higher => '≥',
            Better::Lower => '≤',
        };
        let aim = self.aim.map_or(String::new(), |it| format!("{sign} {it}"));
        let reached = match self.reached {
            Reached::Aim => "aim",
            Reached::Must => "must",
            Reached::No => "no",
        };
        let (text, must, median, runs) = (self.text, self.must, short(self.median), self.runs);
        write!(f, "| {text} | {sign} {must} | {aim} | {median} | {runs} | {reached} |")
    }
}

/// Three digits that matter, and no more.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let text = Figure::VerifyShare.text();
        let cases: [(&[f64], &str); 3] = [
            (&[0.1], "0.100 | 1 | no |"),
            (&[0.1, 0.2, 0.3], "0.200 | 3 | must |"),
            (&[0.5], "0.500 | 1 | aim |"),
        ];
        for (values, end) in cases {
            assert_eq!(
                Row::of(Figure::VerifyShare, values).unwrap().to_string(),
                format!("| {text} | ≥ 0.15 | ≥ 0.4 | {end}")
            );
        }
    }

    #[test]
    fn one_json_value_of_what_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.jsonl");
        fs::write(&path, "{\"figure\":\"verify_share\",\"value\":0.5}\nno figure\n").unwrap();
        let mut out = Vec::new();
        Table { files: vec![path], svg: None, curves: None }.run(&mut out, true).unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
        let measured = serde_json::json!({
            "figure": "verify_share", "text": Figure::VerifyShare.text(), "better": "higher", "must": 0.15, "aim": 0.4,
            "median": 0.5, "runs": 1, "reached": "aim",
        });
        assert_eq!(rows, [measured]);
    }
}
