//! `keepwell open`: read compartments of a chart, under a grant or as its controller.

use std::path::{Path, PathBuf};

use clap::Args;
use keepwell_client::{
    identity::Actor,
    open::{Opened, OpenedRecord, Opening, What},
};
use keepwell_types::{
    access::Purpose,
    id::{ChartId, Compartment, GrantId},
    set::CompartmentSet,
};
use serde_json::json;

use crate::{
    commands::{case::attached, grant::keys_of},
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// Records of more sealed bytes are not described by their content.
const DESCRIBED_BYTES_MAX: u64 = 1024 * 1024;

/// Open compartments of a chart: one access, which the patient sees, allowed or not
#[derive(Args)]
#[command(after_help = "Example:
  keepwell open --as pilot/people/clinician --chart CHART --grant GRANT --compartment 7 --purpose TREAT --to ./chart")]
pub(crate) struct Open {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// The grant that brought the keys, for readers who do not control the chart
    #[arg(long)]
    grant: Option<GrantId>,
    /// A letter with the keys, where they did not come with a grant
    #[arg(long, value_name = "FILE", conflicts_with = "grant")]
    letter: Option<PathBuf>,
    /// Which compartments: names or numbers; may be given several times
    #[arg(long = "compartment", required = true)]
    compartments: Vec<String>,
    /// What for
    #[arg(long, default_value = "TREAT")]
    purpose: Purpose,
    /// Folder into which the contents are written
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Open {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let chart = self.chart;
        block_on(async {
            let actor = session.actor(chart)?;
            let (seeds, compartments) = if self.grant.is_some() || self.letter.is_some() {
                let wanted = self.compartments.iter().map(|word| number(word)).collect::<Result<
                    CompartmentSet,
                    _,
                >>(
                )?;
                (keys_of(&session, chart, self.grant, self.letter.as_deref()).await?, wanted)
            } else {
                let wanted = super::compartments(&session, chart, &self.compartments)?;
                (session.own_seeds(chart, wanted).await?, wanted)
            };
            let what = What::Compartments(compartments, None);
            let opening =
                Opening { actor: &actor, chart, what: &what, purpose: self.purpose, seeds: &seeds };
            let opened = session.client.open(&opening).await?;
            show(&session, &actor, &opened, self.to.as_deref(), output).await
        })
    }
}

/// Reads what was opened, into a folder if one is named, and says what it is.
pub(crate) async fn show(
    session: &Session,
    actor: &Actor,
    opened: &Opened,
    to: Option<&Path>,
    output: &Output,
) -> Result<(), Failure> {
    if let Some(folder) = to {
        std::fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for record in &opened.records {
        let facts = record.facts();
        let path = to.map(|it| it.join(format!("{}.bin", facts.name.position)));
        let (bytes, line) = read(session, actor, record, path.as_deref(), output).await?;
        rows.push(json!({ "position": facts.name.position, "kind": facts.kind, "bytes": bytes }));
        lines.push(format!("{:>6}  {:<13} {line}", facts.name.position, facts.kind.as_str()));
    }
    for withheld in &opened.withheld {
        lines.push(format!("{:>6}  closed: {}", withheld.facts.name.position, withheld.error));
    }
    let (attached, attached_rows) = attached(session, opened, output).await?;
    lines.extend(attached);
    lines.push(format!(
        "{} records opened by the access at position {}, which the patient sees",
        opened.records.len(),
        opened.position
    ));
    output.result(
        &lines.join("\n"),
        &json!({ "access": opened.position, "records": rows, "withheld": opened.withheld.len(), "attached": attached_rows }),
    );
    Ok(())
}

/// Reads one record into a file, if one is named, and says how many bytes it has and a line about it. A
/// large one passes through memory in pieces, and only where there is a file for it.
async fn read(
    session: &Session,
    actor: &Actor,
    record: &OpenedRecord,
    path: Option<&Path>,
    output: &Output,
) -> Result<(Option<u64>, String), Failure> {
    let large = record.facts().sealed_bytes > DESCRIBED_BYTES_MAX;
    let mut content = Vec::new();
    let report = match path {
        None if large => {
            let line = format!("{} bytes sealed; --to reads them", record.facts().sealed_bytes);
            return Ok((None, line));
        }
        Some(path) if large => {
            let mut file = tokio::fs::File::create(path).await.map_err(Failure::at(path))?;
            session.client.read(actor, record, &mut file).await?
        }
        Some(_) | None => session.client.read(actor, record, &mut content).await?,
    };
    for fault in &report.faults {
        output.warn(&fault.to_string());
    }
    if large {
        return Ok((Some(report.bytes), format!("{} bytes", report.bytes)));
    }
    if let Some(path) = path {
        std::fs::write(path, &content).map_err(Failure::at(path))?;
    }
    Ok((Some(report.bytes), keepwell_fhir::summary::one_line(&content)))
}

/// A reader elsewhere knows compartments by number, from the notice of its grant.
fn number(word: &str) -> Result<Compartment, Failure> {
    word.parse().ok().and_then(Compartment::new).ok_or_else(|| {
        Failure::Misused(format!(
            "{word:?} is no compartment number; the grant's notice says which number it is"
        ))
    })
}
