//! `keepwell bench table`: the figures of all runs, as a table and as a picture.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write},
    path::PathBuf,
};

use clap::Args;
use serde::Deserialize;

use super::{
    BenchError,
    figure::{Better, Figure, median},
    plot::{Bar, plot},
};

/// Print the medians of all figures in files of JSON lines as a table
#[derive(Args, Clone, Debug)]
pub(super) struct Table {
    /// Files that other benchmarks wrote
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Draw them as well, in this file
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// A line with a figure; other lines are passed over.
#[derive(Deserialize)]
struct FigureLine {
    figure: Figure,
    value: f64,
}

impl Table {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<(), BenchError> {
        let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for path in &self.files {
            let file = fs::File::open(path)
                .map_err(|source| BenchError::Folder { path: path.clone(), source })?;
            for line in BufReader::new(file).lines() {
                if let Ok(FigureLine { figure, value }) = serde_json::from_str(&line?) {
                    values.entry(figure).or_default().push(value);
                }
            }
        }
        writeln!(out, "| figure | must | aim | median | runs | reached |")?;
        writeln!(out, "|---|---|---|---|---|---|")?;
        for figure in Figure::ALL {
            writeln!(out, "{}", row(figure, values.get(&figure).map_or(&[], Vec::as_slice)))?;
        }
        let Some(path) = &self.svg else { return Ok(()) };
        let bars: Vec<_> = values
            .iter()
            .filter_map(|(figure, values)| Some(Bar { figure: *figure, value: median(values)? }))
            .collect();
        fs::write(path, plot(&bars))
            .map_err(|source| BenchError::Folder { path: path.clone(), source })
    }
}

fn row(figure: Figure, values: &[f64]) -> String {
    let sign = match figure.better() {
        Better::Higher => '≥',
        Better::Lower => '≤',
    };
    let bound = |bound: Option<f64>| bound.map_or(String::new(), |it| format!("{sign} {it}"));
    let (must, aim) = (bound(Some(figure.must())), bound(figure.aim()));
    let Some(value) = median(values) else {
        return format!("| {} | {must} | {aim} | not measured | 0 | |", figure.text());
    };
    let reached = match (figure.holds(value), figure.aimed(value)) {
        (true, true) => "aim",
        (true, false) => "must",
        (false, _) => "no",
    };
    let value = short(value);
    format!("| {} | {must} | {aim} | {value} | {} | {reached} |", figure.text(), values.len())
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
        let cases: [(&[f64], &str); 4] = [
            (&[], "not measured | 0 | |"),
            (&[0.1], "0.100 | 1 | no |"),
            (&[0.1, 0.2, 0.3], "0.200 | 3 | must |"),
            (&[0.5], "0.500 | 1 | aim |"),
        ];
        for (values, end) in cases {
            assert_eq!(
                row(Figure::VerifyShare, values),
                format!("| {text} | ≥ 0.15 | ≥ 0.4 | {end}")
            );
        }
    }
}
