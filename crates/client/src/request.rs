//! Requests: a member asks for a grant; whoever controls the chart answers.
//!
//! Not here: whether a request may be made or answered, which the ledger decides.

use keepwell_ledger::state::{Key, Request, RequestEnd, Value};
use keepwell_types::{
    command::{Entry, Payload},
    grant::{
        Answer, GrantAnswer, GrantRequest, GrantTerms, GrantWithdraw, RefusalReason, RequestReason,
    },
    id::{ChartId, GrantId, MemberId, RequestId},
    member::Party,
    time::BlockTime,
};

use crate::{
    Client,
    chart::Meanings,
    client::{Decided, random},
    error::{ClientError, UsageError},
    grant::{GivenGrant, GrantNotice, Recipient},
    identity::{Actor, ChartHolder},
    verify::{LogLine, LogMark},
};

/// A request as a chart's log has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedRequest {
    /// Who asks.
    pub member: MemberId,
    /// When it was made.
    pub at: BlockTime,
    /// What was asked, and why.
    pub asked: GrantRequest,
    /// What became of it; nothing while it waits, or since it has waited too long.
    pub end: Option<RequestEnd>,
}

impl ListedRequest {
    /// Whether it can still be answered at `now`.
    pub fn waits(&self, now: BlockTime) -> bool {
        self.end.is_none() && now < self.asked.until
    }
}

/// The requests in the lines of a log, in order.
pub fn requests_in(lines: &[LogLine]) -> Vec<ListedRequest> {
    let mut requests: Vec<ListedRequest> = Vec::new();
    for line in lines.iter().filter(|line| line.outcome.verdict.is_accepted()) {
        if let Some(request) = asked_in(line) {
            requests.push(request);
        } else if let Some((id, end)) = ended_in(line) {
            let ended = requests.iter_mut().find(|request| request.asked.request == id);
            ended.into_iter().for_each(|request| request.end = Some(end));
        }
    }
    requests
}

fn asked_in(line: &LogLine) -> Option<ListedRequest> {
    let Entry::Signed(signed) = &line.entry else { return None };
    let Payload::GrantRequest(asked) = &signed.command.payload else { return None };
    let Party::Member(member) = *signed.command.signers.first()? else { return None };
    Some(ListedRequest { member, at: line.outcome.time, asked: asked.clone(), end: None })
}

fn ended_in(line: &LogLine) -> Option<(RequestId, RequestEnd)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other command ends a request")]
    match line.entry.payload() {
        Payload::GrantAnswer(it) => Some((
            it.request,
            match &it.answer {
                Answer::Give { grant, .. } => RequestEnd::Given(*grant),
                Answer::Refuse(reason) => RequestEnd::Refused(*reason),
            },
        )),
        Payload::GrantWithdraw(it) => Some((it.request, RequestEnd::Withdrawn)),
        _ => None,
    }
}

impl Client {
    /// Asks for a grant of these terms, until `until`.
    pub async fn request_grant(
        &self,
        actor: &Actor,
        chart: ChartId,
        terms: GrantTerms,
        reason: RequestReason,
        until: BlockTime,
    ) -> Result<(RequestId, Decided), ClientError> {
        let request = RequestId(random());
        let asked = GrantRequest { chart, request, terms, reason, note: None, until };
        Ok((request, self.command(actor, Payload::GrantRequest(asked)).await?))
    }

    /// Asks no longer.
    pub async fn withdraw_request(
        &self,
        actor: &Actor,
        chart: ChartId,
        request: RequestId,
    ) -> Result<Decided, ClientError> {
        self.command(actor, Payload::GrantWithdraw(GrantWithdraw { chart, request })).await
    }

    /// A request as it stands, for those at home in the chart and for the asker's organisation.
    pub async fn request(
        &self,
        actor: &Actor,
        chart: ChartId,
        request: RequestId,
    ) -> Result<Request, ClientError> {
        let target = format!("/v1/charts/{chart}/requests/{request}");
        let proven = self.state(actor, Key::Request(chart, request), target).await?;
        match proven.into_value() {
            Some(Value::Request(entry)) => Ok(entry),
            _ => Err(UsageError::NoSuchRequest(request).into()),
        }
    }

    /// Every request that was ever made in a chart. The list is complete: it comes from the chart's log.
    pub async fn requests(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<ListedRequest>, ClientError> {
        Ok(requests_in(self.log(actor, chart, known).await?.lines()))
    }

    /// Answers a request with a grant of what was asked for, or of less.
    pub async fn grant_request(
        &self,
        holder: &ChartHolder,
        request: RequestId,
        terms: GrantTerms,
        to: &Recipient,
        meanings: &Meanings,
    ) -> Result<GivenGrant, ClientError> {
        let (chart, grant) = (holder.chart(), GrantId(random()));
        let seeds = self.hand_over_seeds(holder, grant, &terms, Some(to)).await?;
        let answer = Answer::Give { grant, terms: terms.clone(), seeds };
        let answer = GrantAnswer { chart, request, answer };
        let decided = self.command(&holder.actor(), Payload::GrantAnswer(answer)).await?;
        let meanings = meanings.of(terms.compartments);
        Ok(GivenGrant { grant, decided, notice: GrantNotice { chart, grant, terms, meanings } })
    }

    /// Answers a request with no.
    pub async fn refuse_request(
        &self,
        holder: &ChartHolder,
        request: RequestId,
        reason: RefusalReason,
    ) -> Result<Decided, ClientError> {
        let (chart, answer) = (holder.chart(), Answer::Refuse(reason));
        let answer = GrantAnswer { chart, request, answer };
        self.command(&holder.actor(), Payload::GrantAnswer(answer)).await
    }
}
