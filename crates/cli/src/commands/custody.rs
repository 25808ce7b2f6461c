//! `keepwell custody`: whether custodians still have what they store, and have not what they erased.

use clap::Args;
use keepwell_client::{challenge::Challenged, open::RecordFacts, verify::LogMark};
use keepwell_types::{
    id::{ChartId, LogPosition, OrganisationId},
    limits::ACCESS_RECORDS_MAX,
};
use rand_core::Rng as _;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// Ask custodians to show that they have a chart's records, and have not what they erased
///
/// Each shows the part of the record that the newest block chooses. It has to read all of the record for
/// that, and signs what it finds.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell custody --as ./ana CHART                a few records, drawn by lot
  keepwell custody --as ./ana CHART --position 4   one record
  keepwell custody --as ./ana CHART --all          every record")]
pub(crate) struct Custody {
    #[command(flatten)]
    who: As,
    /// The chart
    chart: ChartId,
    /// One record: its position in the chart's log, as `record list` shows it
    #[arg(long, conflicts_with_all = ["all", "sample"])]
    position: Option<u64>,
    /// All records
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// How many records are drawn by lot
    #[arg(long, default_value_t = 8)]
    sample: usize,
}

/// What one custodian showed of one record, and whether that is as it should be.
struct Line {
    position: LogPosition,
    custodian: OrganisationId,
    /// Whether the ledger has its word that it erased the record.
    erased: bool,
    challenged: Challenged,
}

impl Line {
    fn said(&self) -> (&'static str, String) {
        match (&self.challenged, self.erased) {
            (Challenged::Has(_), false) => ("has", "has the record".into()),
            (Challenged::HasNot(_), true) => ("erased", "has erased the record".into()),
            (Challenged::Has(_), true) => (
                "not_erased",
                "SAYS ON THE LEDGER THAT IT ERASED THE RECORD, AND STILL SERVES IT; tell its privacy officer".into(),
            ),
            (Challenged::HasNot(_), false) => {
                ("lost", "SAYS THAT IT DOES NOT HAVE THE RECORD; it must fetch it from another custodian".into())
            }
            (Challenged::Wrong(problem), _) => {
                ("wrong", format!("SHOWED SOMETHING ELSE: {problem}; it must fetch the record from another custodian"))
            }
            (Challenged::Silent(problem), _) => {
                ("silent", format!("gave no answer that it signed: {problem}; try again later"))
            }
        }
    }

    fn is_fault(&self) -> bool {
        match (&self.challenged, self.erased) {
            (Challenged::Has(_), false) | (Challenged::HasNot(_), true) => false,
            (
                Challenged::Has(_)
                | Challenged::HasNot(_)
                | Challenged::Wrong(_)
                | Challenged::Silent(_),
                _,
            ) => true,
        }
    }

    fn json(&self) -> Value {
        let (verdict, _) = self.said();
        let signed = match &self.challenged {
            Challenged::Has(answer) | Challenged::HasNot(answer) => Some(json!({
                "finding": answer.finding,
                "key": answer.key,
                "signature": answer.signature,
            })),
            Challenged::Wrong(_) | Challenged::Silent(_) => None,
        };
        json!({ "position": self.position, "custodian": self.custodian, "verdict": verdict, "signed": signed })
    }
}

impl Custody {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let session = self.who.session()?;
        let lines = block_on(async {
            let actor = session.actor(self.chart)?;
            let records = session.client.records(&actor, self.chart, LogMark::START).await?;
            let mut lines = Vec::new();
            for facts in self.chosen(&records)? {
                lines.extend(challenge(&session, self.chart, &records, facts).await?);
            }
            Ok::<_, Failure>(lines)
        })?;
        let text: Vec<_> = lines
            .iter()
            .map(|line| format!("{:>6}  {}  {}", line.position, line.custodian, line.said().1))
            .collect();
        let json: Vec<_> = lines.iter().map(Line::json).collect();
        output.result(&text.join("\n"), &json!(json));
        match lines.iter().filter(|line| line.is_fault()).count() {
            0 => Ok(()),
            faults => Err(Failure::Custodians { faults, asked: lines.len() }),
        }
    }

    fn chosen<'a>(&self, records: &'a [RecordFacts]) -> Result<Vec<&'a RecordFacts>, Failure> {
        if let Some(position) = self.position {
            let found = records.iter().find(|it| it.name.position == LogPosition(position));
            let found = found.ok_or_else(|| {
                Failure::Misused(format!(
                    "no record stands at position {position}; see `keepwell record list`"
                ))
            })?;
            return Ok(vec![found]);
        }
        let mut left: Vec<_> = records.iter().collect();
        if self.all {
            return Ok(left);
        }
        let wanted = self.sample.min(ACCESS_RECORDS_MAX).min(left.len());
        let mut rng = keepwell_node::random::rng();
        let drawn = (0..wanted).map(|_| left.swap_remove(rng.next_u64() as usize % left.len()));
        Ok(drawn.collect())
    }
}

async fn challenge(
    session: &Session,
    chart: ChartId,
    records: &[RecordFacts],
    facts: &RecordFacts,
) -> Result<Vec<Line>, Failure> {
    let actor = session.actor(chart)?;
    let original = facts.original(records);
    let (state, _) = session.client.record_state(&actor, chart, original).await?;
    let outstanding = state.redaction.as_ref().filter(|_| state.is_redacted());
    let mut lines = Vec::new();
    for &custodian in &facts.custodians {
        let challenged = session.client.challenge(&actor, chart, facts, custodian).await?;
        let erased = outstanding.is_some_and(|it| !it.outstanding.contains(&custodian));
        let waiting = outstanding.is_some_and(|it| it.outstanding.contains(&custodian));
        // Until it has said that it erased, it may do so at any time.
        let erased = erased || (waiting && matches!(challenged, Challenged::HasNot(_)));
        let position = facts.name.position;
        lines.push(Line { position, custodian, erased, challenged });
    }
    Ok(lines)
}
