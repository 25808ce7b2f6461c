//! `keepwell report export`: everything that is held about a patient in a chart, as one folder that a person can read.
//!
//! ```text
//! DIR/README.txt  index.html                 for people
//! DIR/records/POSITION.json | .bin           each record, byte for byte as it went in
//! DIR/log.json  looked.csv  looked.html      every entry; who looked
//! DIR/chart.json  grants.json  requests.json  cases.json
//! DIR/receipts/POSITION.receipt              what proves each entry, without any node
//! DIR/export.json                            which chart, and whether all is here
//! ```
//!
//! # Invariants
//!
//! * Nothing is written outside the folder, in no temporary place. Each file is for its user alone.
//! * A file has its name only once it is whole: an export that was cut off goes on with what lacks.
//! * No link is followed: one that stands where a file is to be is refused.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_client::{
    identity::Actor,
    open::{OpenedRecord, Opening, RecordFacts, What, records_in},
    report::looks::Looks,
    verify::{LogMark, VerifiedLog},
};
use keepwell_types::{
    access::Purpose,
    command::Entry,
    id::{ChartId, Compartment, LogPosition},
    limits::ACCESS_RECORDS_MAX,
    set::CompartmentSet,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    commands::{compartments, known_log, remember_log},
    failure::Failure,
    looked::write_looked,
    output::Output,
    page::{Format, Page, html, html_head, private_file},
    profile::{As, Session},
    runtime::block_on,
};

/// What says which export a folder is.
const STATE: &str = "export.json";
/// Ends the names of files that are not whole yet.
const PART: &str = ".part";
/// Records of more bytes are not described by their content.
const DESCRIBED_BYTES_MAX: u64 = 1024 * 1024;

/// Which chart, and where to
#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    who: As,
    /// The chart
    chart: ChartId,
    /// The folder: a new one, or that of an export of this chart that was cut off
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Leave records of this compartment out; may be given several times
    #[arg(long, value_name = "COMPARTMENT")]
    without: Vec<String>,
}

impl Export {
    pub(crate) fn run(self, output: Output) -> Result<(), Failure> {
        let mut session = self.who.session()?;
        session.holder(self.chart)?;
        let left_out = compartments(&session, self.chart, &self.without)?;
        let folder = Folder::open(&self.to, self.chart)?;
        let known = known_log(&session, self.chart)?;
        let (mark, done) = block_on(async {
            let actor = session.actor(self.chart)?;
            let exporting = Exporting { session: &session, actor, chart: self.chart, folder };
            exporting.all(known, left_out, output).await
        })?;
        remember_log(&mut session, self.chart, mark)?;
        output.result(
            &format!(
                "{} records, {} entries with their receipts, and what was granted and asked are in {}; open index.html. {} records stayed closed.",
                done.records, done.entries, self.to.display(), done.closed.len()
            ),
            &json!({ "folder": self.to, "records": done.records, "entries": done.entries, "closed": done.closed }),
        );
        Ok(())
    }
}

/// What an export came to.
struct Done {
    records: usize,
    entries: usize,
    closed: Vec<LogPosition>,
}

/// What `export.json` says.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct State {
    keepwell_export: u8,
    chart: ChartId,
    complete: bool,
}

/// A folder of an export.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, or goes on in one of the same chart.
    fn open(path: &Path, chart: ChartId) -> Result<Self, Failure> {
        let folder = Self { path: path.to_path_buf() };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folder(path).map_err(Failure::at(path))?;
            }
            Err(error) => return Err(Failure::at(path)(error)),
            Ok(found) if !found.is_dir() => return Err(folder.refused("is a link or no folder")),
            Ok(_) => folder.check(chart)?,
        }
        for name in ["records", "receipts"] {
            folder.make(name)?;
        }
        if !folder.has(STATE)? {
            folder.note(chart, false)?;
        }
        Ok(folder)
    }

    /// Whether what is there is an export of this chart that was cut off.
    fn check(&self, chart: ChartId) -> Result<(), Failure> {
        let is_empty = fs::read_dir(&self.path).map_err(Failure::at(&self.path))?.next().is_none();
        if is_empty {
            return Ok(());
        }
        if !self.has(STATE)? {
            return Err(self.refused("has other things in it"));
        }
        let path = self.path.join(STATE);
        let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
        match serde_json::from_str::<State>(&text) {
            Ok(State { chart: its, .. }) if its != chart => {
                Err(self.refused("is an export of another chart"))
            }
            Ok(State { complete: true, .. }) => Err(self.refused("is a complete export already")),
            Ok(State { .. }) => Ok(()),
            Err(_) => Err(self.refused("has an export.json that cannot be read")),
        }
    }

    fn refused(&self, why: &str) -> Failure {
        let folder = self.path.display();
        Failure::Misused(format!("{folder} {why}; name a new folder"))
    }

    fn make(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(self.refused(&format!("has a link or file where {name} belongs"))),
            Err(_) => make_folder(&path).map_err(Failure::at(path)),
        }
    }

    /// Whether a whole file is there.
    fn has(&self, name: &str) -> Result<bool, Failure> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(true),
            Ok(_) => Err(self.refused(&format!("has a link or folder where {name} belongs"))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::at(path)(error)),
        }
    }

    /// Begins a file, in the place of one that was cut off.
    fn begin(&self, name: &str) -> Result<File, Failure> {
        let path = self.part(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::at(path)(error)),
        }
        private_file(&path).map_err(Failure::at(path))
    }

    fn part(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{PART}"))
    }

    /// Gives a whole file its name.
    fn end(&self, part: &str, name: &str) -> Result<(), Failure> {
        self.has(name)?;
        let path = self.path.join(name);
        fs::rename(self.part(part), &path).map_err(Failure::at(path))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut file = self.begin(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(Failure::at(self.part(name)))?;
        self.end(name, name)
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), Failure> {
        self.write(name, format!("{value:#}\n").as_bytes())
    }

    fn note(&self, chart: ChartId, complete: bool) -> Result<(), Failure> {
        self.write_json(STATE, &json!(State { keepwell_export: 1, chart, complete }))
    }

    /// The name of the record at a position, if it is here.
    fn record(&self, position: LogPosition) -> Result<Option<String>, Failure> {
        for name in [format!("records/{position}.json"), format!("records/{position}.bin")] {
            if self.has(&name)? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// An export at work.
struct Exporting<'a> {
    session: &'a Session,
    actor: Actor,
    chart: ChartId,
    folder: Folder,
}

impl Exporting<'_> {
    async fn all(
        &self,
        known: LogMark,
        left_out: CompartmentSet,
        output: Output,
    ) -> Result<(LogMark, Done), Failure> {
        let client = &self.session.client;
        let log = client.log(&self.actor, self.chart, known).await?;
        self.facts(&log).await?;
        let looks = client.looks(&self.actor, self.chart, known).await?.looks;
        self.looked(&looks)?;
        self.receipts(&log, output).await?;
        let facts: Vec<_> = records_in(&log).collect();
        let wanted = facts.iter().filter(|it| !left_out.contains(it.compartment));
        let wanted: Vec<_> = wanted.cloned().collect();
        let closed = self.records(&log, &wanted, output).await?;
        self.for_people(&log, &facts, left_out, &closed)?;
        self.folder.note(self.chart, true)?;
        let records = wanted.len() - closed.len();
        let closed = closed.into_iter().map(|it| it.0).collect();
        Ok((log.mark(), Done { records, entries: log.lines().len(), closed }))
    }

    /// What the ledger has of the chart.
    async fn facts(&self, log: &VerifiedLog) -> Result<(), Failure> {
        let (client, actor, chart) = (&self.session.client, &self.actor, self.chart);
        let entry = client.chart(actor, chart).await?;
        let names: Vec<_> = Compartment::all()
            .map(|it| json!({ "compartment": it, "name": self.name(it) }))
            .collect();
        let value = json!({ "chart": chart, "entry": entry, "compartments": names });
        self.folder.write_json("chart.json", &value)?;
        let grants = client.grants(actor, chart, LogMark::START).await?;
        let grants: Vec<_> =
            grants.iter().map(|it| json!({ "grant": it.grant, "entry": it.entry })).collect();
        self.folder.write_json("grants.json", &json!(grants))?;
        let requests: Vec<_> = keepwell_client::request::requests_in(log.lines())
            .iter()
            .map(|it| json!({ "by": it.member, "at": it.at, "asked": it.asked, "end": it.end }))
            .collect();
        self.folder.write_json("requests.json", &json!(requests))?;
        let cases = client.case_clocks(actor, chart, LogMark::START).await?;
        let cases: Vec<_> =
            cases.iter().map(|it| json!({ "case": it.case, "entry": it.entry })).collect();
        self.folder.write_json("cases.json", &json!(cases))?;
        let lines: Vec<_> = log.lines().iter().map(line).collect();
        let value = json!({
            "chart": chart,
            "complete_at_block": log.header().header().height,
            "head": log.mark().head,
            "entries": lines,
        });
        self.folder.write_json("log.json", &value)
    }

    fn name(&self, compartment: Compartment) -> String {
        let known = self.session.meanings(self.chart).and_then(|it| it.name(compartment));
        known.map_or_else(|| compartment.index().to_string(), str::to_owned)
    }

    fn looked(&self, looks: &Looks) -> Result<(), Failure> {
        let names =
            |set: CompartmentSet| set.iter().map(|it| self.name(it)).collect::<Vec<_>>().join(", ");
        for (name, format) in [("looked.csv", Format::Csv), ("looked.html", Format::Html)] {
            let out = io::BufWriter::new(self.folder.begin(name)?);
            let facts = [("Chart", self.chart.to_string())];
            let page = Page::begin(out, format, "Who looked", &facts);
            let mut page = page.map_err(Failure::at(self.folder.part(name)))?;
            write_looked(&mut page, looks, &names)?;
            page.end(&[])?;
            self.folder.end(name, name)?;
        }
        Ok(())
    }

    /// A receipt for each entry that has none here yet.
    async fn receipts(&self, log: &VerifiedLog, output: Output) -> Result<(), Failure> {
        for line in log.lines() {
            let name = format!("receipts/{}.receipt", line.position);
            if self.folder.has(&name)? {
                continue;
            }
            let at = line.outcome.location;
            let decided = self.session.client.receipt(&self.actor, at).await?;
            let receipt = self.session.client.portable(decided.receipt());
            self.folder.write(&name, &receipt.encode())?;
            if line.position.0.is_multiple_of(256) && line.position.0 > 0 {
                output.say(&format!("{} of {} receipts", line.position, log.lines().len()));
            }
        }
        Ok(())
    }

    /// Every record that is not here yet, and why one stayed closed.
    async fn records(
        &self,
        log: &VerifiedLog,
        wanted: &[RecordFacts],
        output: Output,
    ) -> Result<Vec<(LogPosition, String)>, Failure> {
        let mut lacking = Vec::new();
        for facts in wanted {
            if self.folder.record(facts.name.position)?.is_none() {
                lacking.push(facts);
            }
        }
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let compartments: CompartmentSet = lacking.iter().map(|it| it.compartment).collect();
        let what = if lacking.len() <= ACCESS_RECORDS_MAX {
            What::Records(lacking.iter().map(|it| it.name).collect())
        } else {
            What::Compartments(compartments, Some(log.mark().count))
        };
        let seeds = self.session.own_seeds(self.chart, compartments).await?;
        let opening = Opening {
            actor: &self.actor,
            chart: self.chart,
            what: &what,
            purpose: Purpose::PatientRequest,
            seeds: &seeds,
        };
        let opened = match self.session.client.open(&opening).await {
            Ok(opened) => opened,
            // One record that is redacted has an access by name refused; of compartments the rest is opened.
            Err(keepwell_client::ClientError::Ledger(_)) => {
                let what = What::Compartments(compartments, Some(log.mark().count));
                self.session.client.open(&Opening { what: &what, ..opening }).await?
            }
            Err(error) => return Err(error.into()),
        };
        for record in &opened.records {
            if self.folder.record(record.facts().name.position)?.is_none() {
                self.record(record, output).await?;
            }
        }
        let is_wanted =
            |position: LogPosition| lacking.iter().any(|it| it.name.position == position);
        let closed =
            opened.withheld.iter().map(|it| (it.facts.name.position, it.error.to_string()));
        Ok(closed.filter(|it| is_wanted(it.0)).collect())
    }

    async fn record(&self, record: &OpenedRecord, output: Output) -> Result<(), Failure> {
        let position = record.facts().name.position;
        let part = format!("records/{position}");
        let mut file = tokio::fs::File::from_std(self.folder.begin(&part)?);
        let report = self.session.client.read(&self.actor, record, &mut file).await?;
        for fault in &report.faults {
            output.warn(&fault.to_string());
        }
        file.sync_all().await.map_err(Failure::at(self.folder.part(&part)))?;
        let kind = if begins_like_json(&self.folder.part(&part))? { "json" } else { "bin" };
        self.folder.end(&part, &format!("records/{position}.{kind}"))
    }

    /// What people open first.
    fn for_people(
        &self,
        log: &VerifiedLog,
        facts: &[RecordFacts],
        left_out: CompartmentSet,
        closed: &[(LogPosition, String)],
    ) -> Result<(), Failure> {
        let mut page = html_head("Everything that is held about you in this chart");
        page.push_str("<p>Chart <bdi>");
        page.push_str(&self.chart.to_string());
        page.push_str("</bdi>. <a href=\"looked.html\">Who looked</a> (<a href=\"looked.csv\">as CSV</a>), <a href=\"log.json\">every entry</a>, <a href=\"grants.json\">grants</a>, <a href=\"requests.json\">requests</a>, <a href=\"cases.json\">cases</a>, <a href=\"chart.json\">the chart</a>, <a href=\"README.txt\">what is what</a>.</p>\n<h2>Records</h2>\n<table><thead><tr><th scope=\"col\">Position</th><th scope=\"col\">Added</th><th scope=\"col\">Kind</th><th scope=\"col\">Compartment</th><th scope=\"col\">Version</th><th scope=\"col\">Content</th></tr></thead><tbody>\n");
        for facts in facts {
            page.push_str(&self.row(facts, left_out, closed)?);
        }
        page.push_str("</tbody></table>\n</body></html>\n");
        self.folder.write("index.html", page.as_bytes())?;
        let height = log.header().header().height;
        self.folder.write("README.txt", readme(self.chart, height.0, left_out, closed).as_bytes())
    }

    fn row(
        &self,
        facts: &RecordFacts,
        left_out: CompartmentSet,
        closed: &[(LogPosition, String)],
    ) -> Result<String, Failure> {
        let position = facts.name.position;
        let content = match self.folder.record(position)? {
            Some(name) => {
                let path = self.folder.path.join(&name);
                format!("<a href=\"{name}\">{}</a>", html(&described(&path)?))
            }
            None if left_out.contains(facts.compartment) => "left out, as asked".into(),
            None => {
                let why = closed.iter().find(|it| it.0 == position).map(|it| it.1.as_str());
                html(&format!("closed: {}", why.unwrap_or("not opened")))
            }
        };
        let name = html(&self.name(facts.compartment));
        Ok(format!(
            "<tr><td>{position}</td><td>{}</td><td>{}</td><td><bdi>{name}</bdi></td><td>{}</td><td><bdi>{content}</bdi></td></tr>\n",
            facts.time, facts.kind, facts.version
        ))
    }
}

/// An entry of the log, for programs.
fn line(line: &keepwell_client::verify::LogLine) -> Value {
    let signers = match &line.entry {
        Entry::Genesis(_) => Vec::new(),
        Entry::Signed(signed) => signed.command.signers.to_vec(),
    };
    json!({
        "position": line.position,
        "command": line.entry.payload().name(),
        "signers": signers,
        "payload": line.entry.payload(),
        "outcome": line.outcome,
    })
}

fn begins_like_json(path: &Path) -> Result<bool, Failure> {
    let mut begin = Vec::new();
    let file = File::open(path).map_err(Failure::at(path))?;
    file.take(256).read_to_end(&mut begin).map_err(Failure::at(path))?;
    let text = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&begin);
    Ok(text.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'{'))
}

/// A line about a record's content.
fn described(path: &Path) -> Result<String, Failure> {
    let bytes = fs::symlink_metadata(path).map_err(Failure::at(path))?.len();
    if bytes > DESCRIBED_BYTES_MAX {
        return Ok(format!("{bytes} bytes"));
    }
    Ok(keepwell_fhir::summary::one_line(&fs::read(path).map_err(Failure::at(path))?))
}

fn readme(
    chart: ChartId,
    height: u64,
    left_out: CompartmentSet,
    closed: &[(LogPosition, String)],
) -> String {
    let mut text = format!(
        "Everything that is held about you in chart {chart}, as of block {height}.\n\n\
         Open index.html in a browser. Nothing in it is fetched from anywhere.\n\n\
         records/     each record, byte for byte as it went in. A file .json is a FHIR resource.\n\
         looked.html  who looked, from which organisation, for what, when, by which grant; looked.csv for a spreadsheet.\n\
         log.json     every entry of the chart's log. It was complete: its head is proven at the block above.\n\
         grants.json  who was allowed or forbidden what. requests.json  who asked. cases.json  what you asked for by right.\n\
         chart.json   what the ledger has of the chart, and what its compartments are for.\n\
         receipts/    what proves each entry to anyone who has the genesis file:\n\
         \x20            keepwell verify --genesis FILE receipts/POSITION.receipt\n\n\
         These files are in the clear. Whoever has them can read them: keep them where only you can.\n"
    );
    if !left_out.is_empty() {
        let numbers: Vec<_> = left_out.iter().map(|it| it.index().to_string()).collect();
        text.push_str(&format!("\nLeft out, as asked: compartments {}.\n", numbers.join(", ")));
    }
    for (position, why) in closed {
        text.push_str(&format!("\nThe record at position {position} stayed closed: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const CHART: ChartId = ChartId([7; 32]);

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn g7_what_was_cut_off_goes_on_and_what_is_whole_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("export");
        let folder = Folder::open(&path, CHART).unwrap();
        assert_eq!((mode(&path), mode(&path.join("records"))), (0o700, 0o700));
        folder.write("records/1.json", b"{\"whole\":1}").unwrap();
        assert_eq!(mode(&path.join("records/1.json")), 0o600);
        // Cut off in the middle of a record.
        folder.begin("records/2").unwrap().write_all(b"{\"ha").unwrap();
        drop(folder);

        let folder = Folder::open(&path, CHART).unwrap();
        assert_eq!(folder.record(LogPosition(1)).unwrap().as_deref(), Some("records/1.json"));
        assert_eq!(folder.record(LogPosition(2)).unwrap(), None);
        folder.begin("records/2").unwrap().write_all(b"{\"half\":2}").unwrap();
        folder.end("records/2", "records/2.json").unwrap();
        assert_eq!(fs::read(path.join("records/2.json")).unwrap(), b"{\"half\":2}");
        assert_eq!(mode(&path.join("records/2.json")), 0o600);
        folder.note(CHART, true).unwrap();
        let parts = |name: &str| fs::read_dir(path.join(name)).unwrap().count();
        assert_eq!(parts("records"), 2, "nothing that is not whole is left");

        let again = Folder::open(&path, CHART).unwrap_err().to_string();
        assert!(again.contains("complete export already"), "{again}");
    }

    #[test]
    fn a_folder_of_other_things_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let (path, other) = (home.path().join("export"), home.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("letter.txt"), "precious").unwrap();
        for (path, chart, word) in
            [(&other, CHART, "other things"), (&other.join("letter.txt"), CHART, "no folder")]
        {
            let refused = Folder::open(path, chart).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
        Folder::open(&path, CHART).unwrap();
        let refused = Folder::open(&path, ChartId([8; 32])).unwrap_err().to_string();
        assert!(refused.contains("another chart"), "{refused}");
        fs::write(path.join(STATE), "{").unwrap();
        assert!(Folder::open(&path, CHART).is_err());
        assert_eq!(fs::read_to_string(other.join("letter.txt")).unwrap(), "precious");
    }

    #[test]
    fn no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let (path, victim) = (home.path().join("export"), home.path().join("victim"));
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("5.json"), "precious").unwrap();

        symlink(&victim, home.path().join("link")).unwrap();
        assert!(Folder::open(&home.path().join("link"), CHART).is_err());

        let folder = Folder::open(&path, CHART).unwrap();
        symlink(victim.join("5.json"), path.join("records/5.json")).unwrap();
        assert!(folder.record(LogPosition(5)).is_err());
        assert!(folder.write("records/5.json", b"x").is_err());
        // A link in the place of a part is taken away, not followed.
        symlink(victim.join("5.json"), folder.part("records/6")).unwrap();
        folder.begin("records/6").unwrap().write_all(b"x").unwrap();
        drop(folder);

        fs::remove_dir_all(path.join("receipts")).unwrap();
        symlink(&victim, path.join("receipts")).unwrap();
        assert!(Folder::open(&path, CHART).is_err());
        assert_eq!(fs::read_to_string(victim.join("5.json")).unwrap(), "precious");
    }
}
