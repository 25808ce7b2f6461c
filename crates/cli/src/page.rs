//! Pages: what a report prints, as text, JSON, CSV or HTML, row by row, so that memory does not grow with them.
//!
//! ```text
//! begin(title, facts)   table(name, columns)  row  row  ...  table ...   end(notes)
//! ```
//!
//! # Invariants
//!
//! * What others wrote (names above all) cannot steer what shows it: in HTML it is escaped, and no script runs in the
//!   page; in CSV no cell begins like a formula; everywhere but in JSON, control characters and those that turn or hide
//!   text are shown as what they are.
//! * No cell is longer than [`CELL_CHARS_MAX`] characters.
//! * JSON has the values as they are, for programs.
//!
//! Not here: what a report says.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{failure::Failure, output::Output};

/// Characters of one cell.
pub(crate) const CELL_CHARS_MAX: usize = 2_048;
/// Rows of text after which the widths of columns stay as they are.
const MEASURED_ROWS: usize = 256;
/// Widest column of text.
const WIDTH_MAX: usize = 48;

/// How a report is written
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal
    Text,
    /// For programs
    Json,
    /// For spreadsheets: the rows alone
    Csv,
    /// For a browser or a printer
    Html,
}

/// How and where a report is written
#[derive(Args, Clone, Debug)]
pub(crate) struct To {
    /// text, json, csv or html; text unless given, or json with --json
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// A new file to write it to, which its user alone can read
    #[arg(long = "to", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl To {
    /// To the output, as text or JSON.
    pub(crate) const fn usual() -> Self {
        Self { format: None, path: None }
    }

    /// Begins a page.
    pub(crate) fn begin(
        &self,
        output: Output,
        title: &str,
        facts: &[(&str, String)],
    ) -> Result<Page<Box<dyn Write>>, Failure> {
        let usual = if output.is_text() { Format::Text } else { Format::Json };
        let format = self.format.unwrap_or(usual);
        let (out, path): (Box<dyn Write>, _) = match &self.path {
            Some(path) => (Box::new(private_file(path).map_err(Failure::at(path))?), path.clone()),
            None => (Box::new(io::stdout()), PathBuf::from("the output")),
        };
        let page = Page::begin(BufWriter::with_capacity(64 * 1024, out), format, title, facts);
        page.map_err(Failure::at(&path)).map(|page| Page { path, ..page })
    }
}

/// A new file that its user alone can read. What is there already, a link above all, is left alone.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A column: its name for programs, and for people.
pub(crate) type Column = (&'static str, &'static str);

/// A page that is being written.
pub(crate) struct Page<W: Write> {
    out: BufWriter<W>,
    format: Format,
    path: PathBuf,
    table: Option<Table>,
    tables: usize,
}

/// The table that is being written.
struct Table {
    columns: Vec<Column>,
    rows: usize,
    widths: Option<Vec<usize>>,
    waiting: Vec<Vec<String>>,
}

impl<W: Write> Page<W> {
    /// Begins a page.
    pub(crate) fn begin(
        mut out: BufWriter<W>,
        format: Format,
        title: &str,
        facts: &[(&str, String)],
    ) -> io::Result<Self> {
        match format {
            Format::Text => {
                writeln!(out, "{}", plain(title))?;
                for (name, value) in facts {
                    writeln!(out, "  {}: {}", plain(name), plain(value))?;
                }
            }
            Format::Json => {
                let facts: serde_json::Map<_, _> =
                    facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                write!(out, "{{\"title\":{},\"facts\":{}", json!(title), Value::Object(facts))?;
                write!(out, ",\"tables\":[")?;
            }
            Format::Csv => {}
            Format::Html => begin_html(&mut out, title, facts)?,
        }
        Ok(Self { out, format, path: PathBuf::new(), table: None, tables: 0 })
    }

    /// Begins a table.
    pub(crate) fn table(&mut self, name: &str, columns: &[Column]) -> Result<(), Failure> {
        self.begin_table(name, columns).map_err(Failure::at(&self.path))
    }

    fn begin_table(&mut self, name: &str, columns: &[Column]) -> io::Result<()> {
        self.end_table()?;
        match self.format {
            Format::Text => writeln!(self.out, "\n{}", plain(name))?,
            Format::Json => {
                let comma = if self.tables > 0 { "," } else { "" };
                write!(self.out, "{comma}{{\"name\":{},\"rows\":[", json!(name))?;
            }
            Format::Csv => {
                let gap = if self.tables > 0 { "\r\n" } else { "" };
                let names: Vec<_> = columns.iter().map(|it| csv_cell(it.0)).collect();
                write!(self.out, "{gap}{}\r\n", names.join(","))?;
            }
            Format::Html => {
                write!(self.out, "<h2>{}</h2>\n<table><thead><tr>", html(name))?;
                for (_, label) in columns {
                    write!(self.out, "<th scope=\"col\">{}</th>", html(label))?;
                }
                writeln!(self.out, "</tr></thead><tbody>")?;
            }
        }
        self.tables += 1;
        let columns = columns.to_vec();
        self.table = Some(Table { columns, rows: 0, widths: None, waiting: Vec::new() });
        Ok(())
    }

    /// Writes a row of the table that was begun last, one cell for each column.
    pub(crate) fn row(&mut self, cells: &[String]) -> Result<(), Failure> {
        self.write_row(cells).map_err(Failure::at(&self.path))
    }

    fn write_row(&mut self, cells: &[String]) -> io::Result<()> {
        let Some(table) = &mut self.table else { return Ok(()) };
        assert_eq!(cells.len(), table.columns.len(), "a row has one cell for each column");
        let out = &mut self.out;
        match self.format {
            Format::Text => {
                let cells: Vec<_> = cells.iter().map(|cell| plain(cell)).collect();
                match &table.widths {
                    Some(widths) => write_aligned(out, widths, &cells)?,
                    None => table.waiting.push(cells),
                }
                if table.waiting.len() >= MEASURED_ROWS {
                    table.measure(out)?;
                }
            }
            Format::Json => {
                out.write_all(if table.rows > 0 { b",{" } else { b"{" })?;
                for (place, ((key, _), cell)) in table.columns.iter().zip(cells).enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    write!(out, "{comma}{}:{}", json!(key), json!(cell))?;
                }
                out.write_all(b"}")?;
            }
            Format::Csv => {
                for (place, cell) in cells.iter().enumerate() {
                    let comma = if place > 0 { "," } else { "" };
                    write!(out, "{comma}{}", csv_cell(cell))?;
                }
                out.write_all(b"\r\n")?;
            }
            Format::Html => {
                out.write_all(b"<tr>")?;
                for cell in cells {
                    out.write_all(b"<td><bdi>")?;
                    if is_simple(cell) {
                        out.write_all(cell.as_bytes())?;
                    } else {
                        out.write_all(html(cell).as_bytes())?;
                    }
                    out.write_all(b"</bdi></td>")?;
                }
                out.write_all(b"</tr>\n")?;
            }
        }
        table.rows += 1;
        Ok(())
    }

    fn end_table(&mut self) -> io::Result<()> {
        let Some(mut table) = self.table.take() else { return Ok(()) };
        match self.format {
            Format::Text => table.measure(&mut self.out),
            Format::Json => write!(self.out, "]}}"),
            Format::Csv => Ok(()),
            Format::Html if table.rows == 0 => {
                let span = table.columns.len();
                let none = format!("<tr><td colspan=\"{span}\">none</td></tr>");
                writeln!(self.out, "{none}\n</tbody></table>")
            }
            Format::Html => writeln!(self.out, "</tbody></table>"),
        }
    }

    /// Ends the page with notes. CSV has none.
    pub(crate) fn end(mut self, notes: &[String]) -> Result<(), Failure> {
        let path = self.path.clone();
        self.write_end(notes).map_err(Failure::at(path))
    }

    fn write_end(&mut self, notes: &[String]) -> io::Result<()> {
        self.end_table()?;
        let out = &mut self.out;
        match self.format {
            Format::Text => {
                if !notes.is_empty() {
                    writeln!(out)?;
                }
                notes.iter().try_for_each(|note| writeln!(out, "{}", plain(note)))?;
            }
            Format::Json => writeln!(out, "],\"notes\":{}}}", json!(notes))?,
            Format::Csv => {}
            Format::Html => {
                writeln!(out, "<ul class=\"notes\">")?;
                for note in notes {
                    writeln!(out, "<li>{}</li>", html(note))?;
                }
                writeln!(out, "</ul>\n</body></html>")?;
            }
        }
        out.flush()
    }
}

impl Table {
    /// Writes the rows that waited for the widths of their columns.
    fn measure(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.widths.is_some() {
            return Ok(());
        }
        let labels: Vec<_> = self.columns.iter().map(|it| it.1.to_owned()).collect();
        let widths: Vec<_> = (0..labels.len())
            .map(|place| {
                let cells = self.waiting.iter().chain([&labels]).map(|row| &row[place]);
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(WIDTH_MAX)
            })
            .collect();
        if self.waiting.is_empty() {
            writeln!(out, "  none")?;
        } else {
            write_aligned(out, &widths, &labels)?;
        }
        for row in self.waiting.drain(..) {
            write_aligned(out, &widths, &row)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

fn write_aligned(out: &mut impl Write, widths: &[usize], cells: &[String]) -> io::Result<()> {
    let mut line = String::from(" ");
    for (cell, &width) in cells.iter().zip(widths) {
        // A `String` takes everything.
        let _ = write!(line, " {cell:<width$}");
    }
    writeln!(out, "{}", line.trim_end())
}

/// Whether a character turns, hides or moves text around it.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether text is the same in HTML, so that nothing of it need be looked at twice.
fn is_simple(text: &str) -> bool {
    let is_special = |it: u8| matches!(it, b'&' | b'<' | b'>' | b'"' | b'\'' | b'`');
    text.len() <= CELL_CHARS_MAX
        && text.bytes().all(|it| matches!(it, b' '..=b'~') && !is_special(it))
}

/// Text that shows what it is made of, and no more of it than a cell holds.
pub(crate) fn plain(text: &str) -> String {
    let is_plain = text.bytes().all(|it| matches!(it, b' '..=b'~'));
    if is_plain && text.len() <= CELL_CHARS_MAX {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(CELL_CHARS_MAX));
    for (place, c) in text.chars().enumerate() {
        if place == CELL_CHARS_MAX {
            shown.push('…');
            break;
        }
        if is_deceptive(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// Plain text as a cell of CSV (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe.
pub(crate) fn csv_cell(text: &str) -> String {
    let text = plain(text);
    let begins = text.trim_start().chars().next();
    let is_formula =
        begins.is_some_and(|c| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'));
    let guard = if is_formula { "'" } else { "" };
    let must_quote = text.contains([',', '"', ';', '\'', ' ']) || is_formula;
    if must_quote { format!("\"{guard}{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Plain text in HTML, between tags and in quoted attributes.
pub(crate) fn html(text: &str) -> String {
    let text = plain(text);
    if !text.contains(['&', '<', '>', '"', '\'', '`']) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '`' => escaped.push_str("&#96;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1a1a1a}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}\
dt{color:#555}dd{margin:0;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}\
th,td{border:1px solid #bbb;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
th{background:#f0f0f0}.notes{color:#333}\
@media print{body{margin:0;max-width:none;font-size:10px}thead{display:table-header-group}tr{break-inside:avoid}}";

/// The head of an HTML page in which nothing runs and which fetches nothing.
pub(crate) fn html_head(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"referrer\" content=\"no-referrer\"><title>{0}</title><style>{STYLE}</style></head>\n<body><h1>{0}</h1>\n",
        html(title)
    )
}

fn begin_html(out: &mut impl Write, title: &str, facts: &[(&str, String)]) -> io::Result<()> {
    write!(out, "{}<dl>", html_head(title))?;
    for (name, value) in facts {
        write!(out, "<dt>{}</dt><dd>{}</dd>", html(name), html(value))?;
    }
    writeln!(out, "</dl>")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [("who", "Who"), ("what", "What")];

    fn written(format: Format, rows: &[[&str; 2]]) -> String {
        let mut bytes = Vec::new();
        let facts = [("Chart", "<b>&".to_owned())];
        let mut page =
            Page::begin(BufWriter::new(&mut bytes), format, "A <title>", &facts).unwrap();
        page.table("Rows", &COLUMNS).unwrap();
        for row in rows {
            page.row(&row.map(str::to_owned)).unwrap();
        }
        page.end(&["a note".to_owned()]).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_name_becomes_a_tag() {
        let hostile = "</td><script>alert(1)</script>\" onload='x' `&";
        let page = written(Format::Html, &[[hostile, "x"]]);
        for tag in ["<script", "</script", "onload='", "A <title>", "<b>&"] {
            assert!(!page.contains(tag), "{tag} in {page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(page.contains("default-src 'none'"), "{page}");
    }

    #[test]
    fn what_is_written_as_it_is_needs_no_escape() {
        for c in (0..=0x2ff).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            assert!(!is_simple(&text) || html(&text) == text, "{c:?}");
        }
        assert!(!is_simple(&"a".repeat(CELL_CHARS_MAX + 1)));
    }

    #[test]
    fn no_cell_becomes_a_formula() {
        for (cell, expected) in [
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("  =1", "\"'  =1\""),
            ("\t=1", "\\u{9}=1"),
            ("\r=1", "\\u{d}=1"),
            ("＝1", "\"'＝1\""),
            ("=\"a\",b", "\"'=\"\"a\"\",b\""),
            ("a,b", "\"a,b\""),
            ("a\nb", "a\\u{a}b"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(csv_cell(cell), expected, "{cell:?}");
        }
        let page = written(Format::Csv, &[["=cmd|' /C calc'!A0", "b"]]);
        assert_eq!(page, "who,what\r\n\"'=cmd|' /C calc'!A0\",b\r\n");
    }

    #[test]
    fn what_turns_or_hides_text_is_shown() {
        let name = "Dr. \u{202e}live\u{202c} \u{200b}Ann\u{feff}\u{1b}[2J";
        for format in [Format::Text, Format::Csv, Format::Html] {
            let page = written(format, &[[name, "x"]]);
            let deceives = |c: char| is_deceptive(c) && !matches!(c, '\n' | '\r');
            assert!(!page.contains(deceives), "{format:?} {page:?}");
            assert!(page.contains("\\u{202e}live"), "{format:?} {page}");
        }
        let page: Value = serde_json::from_str(&written(Format::Json, &[[name, "x"]])).unwrap();
        assert_eq!(page["tables"][0]["rows"][0]["who"], name);
    }

    #[test]
    fn a_cell_of_absurd_size_is_cut() {
        let long = "ä".repeat(10 * CELL_CHARS_MAX);
        assert_eq!(plain(&long).chars().count(), CELL_CHARS_MAX + 1);
        for format in [Format::Text, Format::Csv, Format::Html] {
            assert!(written(format, &[[&long, "x"]]).len() < 3 * CELL_CHARS_MAX + 4_096);
        }
    }

    #[test]
    fn text_is_aligned_and_json_is_one_value() {
        let rows = [["ana", "reads"], ["bartholomew", "writes"]];
        let text = written(Format::Text, &rows);
        assert!(text.contains("  Who         What\n  ana         reads\n"), "{text}");
        let page: Value = serde_json::from_str(&written(Format::Json, &rows)).unwrap();
        assert_eq!(page["tables"][0]["rows"].as_array().unwrap().len(), 2);
        assert_eq!(page["notes"][0], "a note");
        assert_eq!(written(Format::Text, &[]).matches("none").count(), 1);
    }

    #[test]
    fn a_report_does_not_follow_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        assert!(private_file(&link).is_err());
        assert!(private_file(&victim).is_err());
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
    }
}
