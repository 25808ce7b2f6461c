//! `keepwell audit`: who looked.

use clap::Args;
use keepwell_client::verify::LogMark;
use keepwell_types::{access::Target, id::ChartId, member::Party};
use serde_json::json;

use crate::{
    failure::Failure,
    output::Output,
    profile::{As, Identity, Session},
    runtime::block_on,
};

/// List every access to a chart, refused ones included; complete, and checked to be
#[derive(Args)]
#[command(after_help = "Example:\n  keepwell audit --as ./ana CHART")]
pub(crate) struct Audit {
    #[command(flatten)]
    who: As,
    /// The chart
    chart: ChartId,
}

impl Audit {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let mut session = self.who.session()?;
        let chart = self.chart;
        block_on(show(&mut session, chart, output))
    }
}

/// Prints every access of a chart and remembers how far its log was seen.
pub(crate) async fn show(
    session: &mut Session,
    chart: ChartId,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let known = match &session.identity {
        Identity::Wallet(wallet) => wallet.chart(chart)?.log(),
        Identity::Agent(agent) => agent.chart(chart)?.log(),
        Identity::Member(_) => LogMark::START,
    };
    let audit = session.client.audit(&actor, chart, known).await?;
    let mut lines = Vec::new();
    let mut rows = Vec::new();
    for access in &audit.accesses {
        let (who, role, organisation) = match access.reader {
            Party::Member(member) => match audit.readers.get(&member).and_then(Option::as_ref) {
                Some(facts) => {
                    (member.to_string(), facts.roles_in_words(), facts.organisation_name.clone())
                }
                None => {
                    (member.to_string(), "not a member of this consortium".into(), String::new())
                }
            },
            Party::Controller(_) if audit.is_by_agent(access) => (
                "the organisation's key agent".into(),
                "controller of the chart until it was claimed".into(),
                String::new(),
            ),
            Party::Controller(_) => {
                let is_own = matches!(actor.party(), Party::Controller(_));
                let who = if is_own { "you" } else { "the patient" };
                (who.into(), "controller of the chart".into(), String::new())
            }
            Party::Proxy(_, proxy) => {
                (format!("proxy {proxy}"), "acts for the patient".into(), String::new())
            }
            Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => (format!("{:?}", access.reader), String::new(), String::new()),
        };
        let which = match &access.target {
            Target::Records(names) => format!("{} records", names.len()),
            Target::Compartments { compartments, until } => {
                let names: Vec<_> = compartments
                    .iter()
                    .map(|it| {
                        session
                            .meanings(chart)
                            .and_then(|known| known.name(it))
                            .map_or_else(|| it.index().to_string(), str::to_owned)
                    })
                    .collect();
                format!("{} up to position {until}", names.join(", "))
            }
        };
        let decision =
            access.refused.as_ref().map_or_else(|| "opened".into(), |it| format!("REFUSED: {it}"));
        lines.push(format!(
            "{}  {organisation} ({role})  {}  {which}  {decision}\n    by {who}, position {} of the log",
            access.time, access.purpose, access.position
        ));
        rows.push(json!({
            "time": access.time,
            "reader": access.reader,
            "organisation": organisation,
            "role": role,
            "purpose": access.purpose,
            "target": access.target,
            "refused": access.refused,
            "position": access.position,
        }));
    }
    lines.push(format!(
        "{} accesses. The list is complete at block {}: it was checked against the chart's log.",
        rows.len(),
        audit.header.header().height
    ));
    match &mut session.identity {
        Identity::Wallet(wallet) => wallet.note_log(chart, audit.mark),
        Identity::Agent(agent) => agent.note_log(chart, audit.mark),
        Identity::Member(_) => {}
    }
    session.remember()?;
    output.result(
        &lines.join("\n"),
        &json!({ "accesses": rows, "height": audit.header.header().height }),
    );
    Ok(())
}
