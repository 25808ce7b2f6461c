//! A picture of how things go with validators and with records: one panel for each, from the lines of `bench scale`.

use std::fmt::Write as _;

use super::{
    plot::{line, text},
    scale::{RecordsLine, SizeLine},
    table::short,
};

const PANEL: (f64, f64) = (460.0, 250.0);
const MARGIN: (f64, f64) = (60.0, 44.0);
const COLUMNS: usize = 2;
const COLOURS: [&str; 2] = ["#2e7d4f", "#3f6fb0"];

/// One thing that was measured again and again.
struct Curve {
    name: &'static str,
    /// What it was measured at, as written below the axis; and the value.
    points: Vec<(String, f64)>,
}

/// Curves over one axis.
struct Panel {
    title: &'static str,
    below: &'static str,
    curves: Vec<Curve>,
}

/// The picture, as SVG; panels for which there are no lines are left out.
pub(super) fn curves(sizes: &[SizeLine], records: &[RecordsLine]) -> String {
    let panels: Vec<_> = by_size(sizes).into_iter().chain(by_records(records)).collect();
    let panels: Vec<_> = panels.into_iter().filter(|it| !it.curves[0].points.is_empty()).collect();
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"Rate, memory, disk and starts by the number of validators and of records\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let left = PANEL.0 * (at % COLUMNS) as f64;
        let top = PANEL.1 * (at / COLUMNS) as f64;
        draw(&mut svg, (left, top), panel);
    }
    svg.push_str("</svg>\n");
    svg
}

fn by_size(sizes: &[SizeLine]) -> [Panel; 2] {
    let curve = |name, of: fn(&SizeLine) -> f64| Curve {
        name,
        points: sizes.iter().map(|it| (it.validators.to_string(), of(it))).collect(),
    };
    [
        Panel {
            title: "commands/s on one machine",
            below: "validators",
            curves: vec![
                curve("× validators", |it| it.commands_per_s * it.validators as f64),
                curve("commands/s", |it| it.commands_per_s),
            ],
        },
        Panel {
            title: "latency with as many clients",
            below: "validators",
            curves: vec![curve("p50, ms", |it| it.p50_ms)],
        },
    ]
}

fn by_records(records: &[RecordsLine]) -> [Panel; 4] {
    let curve = |name, of: fn(&RecordsLine) -> f64| Curve {
        name,
        points: records.iter().map(|it| (short_count(it.records), of(it))).collect(),
    };
    let panel = |title, curves| Panel { title, below: "records", curves };
    [
        panel("commands/s, four validators", vec![curve("commands/s", |it| it.commands_per_s)]),
        panel("latency", vec![curve("p50, ms", |it| it.p50_ms)]),
        panel(
            "MiB of a validator",
            vec![curve("on disk", |it| it.stored_mib), curve("in memory", |it| it.rss_mib)],
        ),
        panel(
            "seconds to begin",
            vec![
                curve("a new node, from the state", |it| it.begin_s),
                curve("a killed validator, to its vote", |it| it.restart_s),
            ],
        ),
    ]
}

/// A power of ten as people write it.
fn short_count(count: usize) -> String {
    match count.checked_ilog10().filter(|power| 10_usize.pow(*power) == count) {
        Some(power) => format!("10^{power}"),
        None => count.to_string(),
    }
}

fn draw(svg: &mut String, (left, top): (f64, f64), panel: &Panel) {
    let (width, height) = (PANEL.0 - 2.0 * MARGIN.0, PANEL.1 - 2.0 * MARGIN.1);
    let (x0, y0) = (left + MARGIN.0, top + MARGIN.1);
    let values = panel.curves.iter().flat_map(|curve| curve.points.iter().map(|it| it.1));
    let most = values.fold(f64::MIN_POSITIVE, f64::max);
    let count = panel.curves[0].points.len();
    let at = |place: usize, value: f64| {
        let across = (place as f64 + 0.5) / count as f64;
        (x0 + width * across, y0 + height * (1.0 - value / most))
    };
    text(svg, x0, top + 18.0, "start", "#202020", panel.title);
    line(svg, x0, y0, y0 + height, "#909090", 1.0);
    for share in [0.0, 0.5, 1.0] {
        let y = y0 + height * (1.0 - share);
        let _ = writeln!(
            svg,
            "<path d=\"M{x0:.1} {y:.1} h{width:.1}\" stroke=\"#d0d0d0\" stroke-width=\"1\"/>"
        );
        text(svg, x0 - 6.0, y + 4.0, "end", "#606060", &short(most * share));
    }
    for (place, (label, _)) in panel.curves[0].points.iter().enumerate() {
        text(svg, at(place, 0.0).0, y0 + height + 16.0, "middle", "#606060", label);
    }
    text(svg, x0 + width, y0 + height + 32.0, "end", "#606060", panel.below);
    let mut right = left + PANEL.0 - 12.0;
    for (curve, colour) in panel.curves.iter().zip(COLOURS).rev() {
        text(svg, right, top + 18.0, "end", colour, curve.name);
        right -= 8.0 + 6.5 * curve.name.chars().count() as f64;
        let mut path = String::new();
        for (place, (_, value)) in curve.points.iter().enumerate() {
            let (x, y) = at(place, *value);
            let _ = write!(path, "{}{x:.1} {y:.1} ", if place == 0 { 'M' } else { 'L' });
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let _ = writeln!(
            svg,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.trim_end()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_without_lines_are_left_out() {
        let size = |validators| SizeLine {
            validators,
            commands_per_s: 1_000.0 / validators as f64,
            p50_ms: 10.0,
            rss_mib: 100.0,
            ran_out_of_commands: false,
        };
        let svg = curves(&[size(4), size(16)], &[]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("commands/s on one machine") && !svg.contains("seconds to begin"));
        // As many dots as points of all curves.
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(curves(&[], &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn powers_of_ten() {
        let words = [10_000, 1_000_000, 12_345, 0].map(short_count);
        assert_eq!(words, ["10^4", "10^6", "12345", "0"]);
    }
}
