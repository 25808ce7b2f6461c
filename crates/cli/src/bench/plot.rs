//! A picture of the figures: how many times as good as it must be each of them is.
//!
//! All figures share one logarithmic axis, on which 1 is what must be and a tick on each bar is the
//! aim. So a bar that ends left of the line is a figure that was not reached, whatever its unit.

use std::fmt::Write as _;

use super::{
    figure::{Better, Figure},
    table::short,
};

/// One figure and what was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// Which.
    pub figure: Figure,
    /// How much.
    pub value: f64,
}

const WIDTH: f64 = 960.0;
const TEXT_WIDTH: f64 = 330.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 48.0;
const ROW: f64 = 30.0;
const BAR: f64 = 16.0;
/// The axis, in powers of ten around 1.
const DECADES: (f64, f64) = (-1.0, 2.0);

/// The picture, as SVG.
pub(super) fn plot(bars: &[Bar]) -> String {
    let height = TOP + ROW * bars.len() as f64 + 24.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"Measured figures against what they must be and what they aim at\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    axis(&mut svg, height);
    for (row, bar) in bars.iter().enumerate() {
        draw(&mut svg, TOP + ROW * row as f64, *bar);
    }
    svg.push_str("</svg>\n");
    svg
}

fn axis(svg: &mut String, height: f64) {
    let bottom = height - 20.0;
    for times in [0.1, 1.0, 10.0, 100.0] {
        let at = x(times);
        let (colour, label) = match times {
            1.0 => ("#b03030", "must".to_owned()),
            other => ("#d0d0d0", format!("{other} ×")),
        };
        line(svg, at, TOP - 12.0, bottom, colour, 1.0);
        text(svg, at, TOP - 18.0, "middle", colour, &label);
    }
    let note = "times as good as it must be (logarithmic); the dark tick on a bar is the aim";
    text(svg, WIDTH - 12.0, height - 6.0, "end", "#606060", note);
}

fn draw(svg: &mut String, top: f64, bar: Bar) {
    let Bar { figure, value } = bar;
    let times = figure.times(value, figure.must());
    let colour = match (figure.holds(value), figure.aimed(value)) {
        (true, true) => "#2e7d4f",
        (true, false) => "#6fae7d",
        (false, _) => "#c96a4a",
    };
    let (start, end) = (x(0.1), x(times));
    let middle = top + BAR / 2.0 + 4.0;
    text(svg, TEXT_WIDTH - 10.0, middle, "end", "#202020", name(figure));
    rectangle(svg, (start, top), ((end - start).max(1.0), BAR), colour);
    if let Some(aim) = figure.aim() {
        let at = x(figure.times(aim, figure.must()));
        line(svg, at, top - 3.0, top + BAR + 3.0, "#202020", 2.0);
    }
    let sign = match figure.better() {
        Better::Higher => '≥',
        Better::Lower => '≤',
    };
    let label = format!("{} ({sign} {})", short(value), figure.must());
    text(svg, WIDTH - 12.0, middle, "end", "#202020", &label);
}

/// Where on the axis `times` is; what lies beyond its ends is drawn at them.
fn x(times: f64) -> f64 {
    let (low, high) = DECADES;
    let share = (times.max(f64::MIN_POSITIVE).log10().clamp(low, high) - low) / (high - low);
    TEXT_WIDTH + share * (WIDTH - TEXT_WIDTH - RIGHT)
}

const fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::VerifyShare => "share of possible signature checks",
        Figure::PostgresGlobal => "÷ PostgreSQL, one chain (no signatures)",
        Figure::PostgresPatient => "÷ PostgreSQL, chain per patient (no signatures)",
        Figure::CommitLatency => "commit latency ÷ floor",
        Figure::OpenLatency => "whole open ÷ commit",
        Figure::SealRate => "seal and store ÷ ceiling",
        Figure::MemoryMib => "memory per validator, MiB",
        Figure::WriteAmplification => "bytes written ÷ command bytes",
        Figure::IdleCpuPercent => "idle CPU per validator, %",
        Figure::IdleBlocks => "idle blocks per second",
        Figure::GrowthRate => "rate with many records ÷ with few",
        Figure::ReportSeconds => "accounting over 10⁶ accesses, s",
        Figure::ReportMemoryMib => "its memory, MiB",
        Figure::MatchingMs => "one evaluation of matching, ms of CPU",
        Figure::DecisionGrants => "decision: 10⁴ grants ÷ one",
        Figure::DecisionMembers => "decision: 10⁴ members ÷ one",
        Figure::OpeningCpu => "opening 1,000 records: CPU ÷ shares",
        Figure::MoreValidators => "rate × validators: more ÷ 4",
        Figure::FarCommit => "commit, 40 ms apart ÷ 3 × 40 ms",
        Figure::CrashRate => "rate after a crash ÷ before",
        Figure::RestartSeconds => "restart to voting, 10⁶ records, s",
        Figure::BeginSeconds => "beginning from the state, 10⁶ records, s",
        Figure::BackupRate => "rate during a backup ÷ before, 10⁶ records",
        Figure::FhirTransaction => "FHIR transaction of 1,000, s",
        Figure::MllpRate => "HL7 v2 messages/s, final",
        Figure::FhirExport => "export, resources/s",
    }
}

pub(super) fn text(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, words: &str) {
    // Nothing here has a character that XML would read otherwise.
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
    );
}

pub(super) fn line(svg: &mut String, x: f64, from: f64, to: f64, colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
    );
}

fn rectangle(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_further_right() {
        assert!(x(0.1) < x(1.0) && x(1.0) < x(2.0) && x(2.0) < x(100.0));
        assert_eq!(x(0.0), x(0.1), "what is off the axis stays in the picture");
        assert_eq!(x(1e9), x(100.0));
    }

    #[test]
    fn every_figure_has_a_row() {
        let bars: Vec<_> = Figure::ALL.map(|figure| Bar { figure, value: figure.must() }).to_vec();
        let svg = plot(&bars);
        assert!(Figure::ALL.iter().all(|figure| svg.contains(name(*figure))));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
