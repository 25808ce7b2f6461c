//! `keepwell grant request`, `requests`, `answer` and `withdraw`: permissions that are asked for.

use clap::Args;
use keepwell_client::{request::ListedRequest, verify::LogMark};
use keepwell_ledger::state::RequestEnd;
use keepwell_types::{
    grant::{Grantee, RefusalReason, RequestReason},
    id::{ChartId, RequestId},
    time::BlockTime,
};
use serde_json::json;

use super::{DAY_MS, For, Key};
use crate::{
    commands::compartments,
    failure::Failure,
    output::Output,
    profile::{As, Session},
    runtime::block_on,
};

/// What is asked for
#[derive(Args)]
pub(super) struct Request {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    /// Which compartments, by their numbers; may be given several times
    #[arg(long = "compartment", required = true)]
    compartments: Vec<String>,
    /// Why
    #[arg(long, default_value = "treatment")]
    reason: RequestReason,
    /// Days that the request waits for an answer
    #[arg(long, default_value_t = 14)]
    wait_days: u64,
    #[command(flatten)]
    what_for: For,
}

/// What is answered
#[derive(Args)]
pub(super) struct Answer {
    #[command(flatten)]
    who: As,
    /// The chart
    #[arg(long)]
    chart: ChartId,
    #[command(flatten)]
    key: Key,
    /// Only these compartments of those asked for; may be given several times
    #[arg(long = "compartment")]
    compartments: Vec<String>,
    /// For fewer days than were asked for
    #[arg(long)]
    days: Option<u64>,
    /// Refuse, for this reason
    #[arg(long, value_name = "REASON", conflicts_with_all = ["key", "compartments", "days"])]
    refuse: Option<RefusalReason>,
    /// The request
    request: RequestId,
}

impl Request {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let (session, chart) = (self.who.session()?, self.chart);
        let member = session.member()?;
        let wanted = compartments(&session, chart, &self.compartments)?;
        let (request, decided) = block_on(async {
            let now = session.client.tip().await?.header().time;
            let terms = self.what_for.terms(Grantee::Member(member.member()), wanted, now);
            let until = now.plus_ms(self.wait_days.saturating_mul(DAY_MS));
            let actor = member.actor();
            Ok(session.client.request_grant(&actor, chart, terms, self.reason, until).await?)
        })?;
        let at = decided.outcome().location;
        output.result(
            &format!("request {request} waits for the patient's answer, since block {}", at.height),
            &json!({ "request": request, "height": at.height }),
        );
        Ok(())
    }
}

/// Who asked for what, and what became of it.
pub(super) fn list(session: &Session, chart: ChartId, output: &Output) -> Result<(), Failure> {
    let actor = session.actor(chart)?;
    let (requests, now) = block_on(async {
        let requests = session.client.requests(&actor, chart, LogMark::START).await?;
        Ok((requests, session.client.tip().await?.header().time))
    })?;
    let lines: Vec<_> = requests.iter().map(|it| line_of(it, now)).collect();
    let rows: Vec<_> = requests
        .iter()
        .map(|it| json!({ "by": it.member, "at": it.at, "asked": it.asked, "end": it.end }))
        .collect();
    output.result(&lines.join("\n"), &json!(rows));
    Ok(())
}

fn line_of(request: &ListedRequest, now: BlockTime) -> String {
    let asked = &request.asked;
    let state = match request.end {
        Some(RequestEnd::Given(grant)) => format!("answered with grant {grant}"),
        Some(RequestEnd::Refused(reason)) => format!("refused: {reason}"),
        Some(RequestEnd::Withdrawn) => "withdrawn".into(),
        None if request.waits(now) => format!("waits until {}", asked.until),
        None => format!("waited in vain until {}", asked.until),
    };
    let numbers: Vec<_> =
        asked.terms.compartments.iter().map(|it| it.index().to_string()).collect();
    format!(
        "{}  {}  member {} for {}: compartments {} until {}  {state}",
        asked.request,
        request.at,
        request.member,
        asked.reason,
        numbers.join(", "),
        asked.terms.window.until
    )
}

impl Answer {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.refuse {
            Some(reason) => self.refuse(reason, output),
            None => self.give(output),
        }
    }

    fn give(self, output: &Output) -> Result<(), Failure> {
        let (mut session, chart, request) = (self.who.session()?, self.chart, self.request);
        let holder = session.holder(chart)?;
        let fewer = compartments(&session, chart, &self.compartments)?;
        let meanings = session.meanings(chart).cloned().unwrap_or_default();
        let given = block_on(async {
            let entry = session.client.request(&holder.actor(), chart, request).await?;
            let now = session.client.tip().await?.header().time;
            let mut terms = entry.terms;
            terms.compartments = if fewer.is_empty() { terms.compartments } else { fewer };
            if let Some(days) = self.days {
                let until = now.plus_ms(days.saturating_mul(DAY_MS));
                terms.window.until = terms.window.until.min(until);
            }
            let to = self.key.of(&session, &holder.actor(), entry.member).await?;
            Ok(session.client.grant_request(&holder, request, terms, &to, &meanings).await?)
        })?;
        session.remember()?;
        let at = given.decided.outcome().location;
        output.result(
            &format!(
                "request {request} is answered: grant {} is in force from block {}",
                given.grant, at.height
            ),
            &json!({ "request": request, "grant": given.grant, "height": at.height, "terms": given.notice.terms }),
        );
        Ok(())
    }

    fn refuse(self, reason: RefusalReason, output: &Output) -> Result<(), Failure> {
        let (mut session, request) = (self.who.session()?, self.request);
        let holder = session.holder(self.chart)?;
        let decided =
            block_on(async { Ok(session.client.refuse_request(&holder, request, reason).await?) })?;
        session.remember()?;
        let at = decided.outcome().location;
        output.result(
            &format!("request {request} is refused in block {}", at.height),
            &json!({ "request": request, "height": at.height, "reason": reason }),
        );
        Ok(())
    }
}

/// The asker asks no longer.
pub(super) fn withdraw(
    session: &Session,
    chart: ChartId,
    request: RequestId,
    output: &Output,
) -> Result<(), Failure> {
    let actor = session.member()?.actor();
    let decided =
        block_on(async { Ok(session.client.withdraw_request(&actor, chart, request).await?) })?;
    let at = decided.outcome().location;
    output.result(
        &format!("request {request} is withdrawn in block {}", at.height),
        &json!({ "request": request, "height": at.height }),
    );
    Ok(())
}
