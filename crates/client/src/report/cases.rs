//! Cases of a chart with their clocks: what the patient asked for by right, by when it is due, and what is late.
//!
//! Not here: what may be asked and answered, which the ledger decides.

use keepwell_ledger::state::{Case, Key, Value};
use keepwell_types::{
    case::CaseKind,
    command::Payload,
    id::{CaseId, ChartId},
    time::BlockTime,
};

use crate::{Client, error::ClientError, identity::Actor, verify::LogMark};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// An accounting is free once in so long (45 CFR 164.528(c)(2)).
const FREE_MS: u64 = 365 * DAY_MS;

/// A case as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedCase {
    /// Its id.
    pub case: CaseId,
    /// What the ledger has of it.
    pub entry: Case,
}

/// Where a case's clock stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Clock {
    /// It was answered in time.
    Answered,
    /// It was answered, and late.
    AnsweredLate,
    /// It waits; so many whole days are left.
    Due(u64),
    /// It waits, and is late by so many whole days.
    Late(u64),
}

impl ListedCase {
    /// Where its clock stands at `now`. What is due at an instant is late from that instant on.
    pub fn clock(&self, now: BlockTime) -> Clock {
        let due = self.entry.due;
        match &self.entry.decided {
            Some(decided) if decided.at < due => Clock::Answered,
            Some(_) => Clock::AnsweredLate,
            None if now < due => Clock::Due(due.ms_since(now) / DAY_MS),
            None => Clock::Late(now.ms_since(due) / DAY_MS),
        }
    }
}

/// Whether an accounting that was asked for is free of charge: the first one within twelve months is.
pub fn is_free(cases: &[ListedCase], case: &ListedCase) -> bool {
    let is_earlier = |it: &ListedCase| {
        it.entry.kind == CaseKind::Accounting
            && it.case != case.case
            && it.entry.opened_at < case.entry.opened_at
            && case.entry.opened_at.ms_since(it.entry.opened_at) < FREE_MS
    };
    !cases.iter().any(is_earlier)
}

impl Client {
    /// Every case of a chart, for those at home in it. The list is complete: it comes from the chart's log.
    pub async fn case_clocks(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<ListedCase>, ClientError> {
        let each = |opened: &mut Vec<CaseId>, line: crate::verify::LogLine| {
            if let (Payload::CaseOpen(it), true) =
                (line.entry.payload(), line.outcome.verdict.is_accepted())
            {
                opened.push(it.case);
            }
        };
        let (opened, ..) = self.fold_log(actor, chart, known, Vec::new(), each).await?;
        let mut cases = Vec::new();
        for case in opened {
            let target = format!("/v1/charts/{chart}/cases/{case}");
            let proven = self.state(actor, Key::Case(chart, case), target).await?;
            if let Some(Value::Case(entry)) = proven.into_value() {
                cases.push(ListedCase { case, entry });
            }
        }
        Ok(cases)
    }
}

#[cfg(test)]
mod tests {
    use keepwell_ledger::state::Decided;
    use keepwell_types::{case::CaseDecision, encoding::List};

    use super::*;

    fn case(id: u8, opened_at: u64, decided: Option<u64>) -> ListedCase {
        let kind = CaseKind::Accounting;
        let opened_at = BlockTime(opened_at);
        let entry = Case {
            kind,
            record: None,
            opened_at,
            due: opened_at.plus_ms(kind.due_ms()),
            extended: false,
            decided: decided
                .map(|at| Decided { decision: CaseDecision::Accept, at: BlockTime(at) }),
            statements: List::new(),
            told: List::new(),
            asked: None,
            put_off: None,
        };
        ListedCase { case: CaseId([id; 16]), entry }
    }

    #[test]
    fn p8_an_accounting_is_due_in_sixty_days_to_the_millisecond() {
        let due = 60 * DAY_MS;
        for (decided, now, expected) in [
            (None, 0, Clock::Due(60)),
            (None, due - 1, Clock::Due(0)),
            (None, due, Clock::Late(0)),
            (None, due + 3 * DAY_MS, Clock::Late(3)),
            (Some(due - 1), due * 2, Clock::Answered),
            (Some(due), due * 2, Clock::AnsweredLate),
        ] {
            let case = case(1, 0, decided);
            assert_eq!(case.clock(BlockTime(now)), expected, "{decided:?} {now}");
        }
    }

    #[test]
    fn p8_the_first_accounting_in_twelve_months_is_free() {
        let cases = [case(1, 0, None), case(2, FREE_MS - 1, None), case(3, 2 * FREE_MS, None)];
        let free: Vec<_> = cases.iter().map(|it| is_free(&cases, it)).collect();
        assert_eq!(free, [true, false, true]);
    }
}
