//! What an organisation answers for, for its privacy officer: accesses and emergencies in its charts and of its members,
//! and what became of its members' keys.
//!
//! # Invariants
//!
//! * Each act is proven by its receipt: a node can invent none and alter none.
//! * Whether a node left some out, no root on the ledger tells. Of the organisation's own charts their logs do: they can
//!   be compared, and [`Acts::hidden`] names what was left out. Of its members in other charts it is the node's word.

use std::collections::{BTreeMap, BTreeSet};

use keepwell_ledger::state::{Emergency, Key, Value};
use keepwell_merkle::receipt::{Receipt, VerifiedReceipt};
use keepwell_types::{
    access::{EmergencyReason, Finding, Purpose, Target},
    command::{Entry, Payload},
    id::{ChartId, Height, Location, LogPosition, MemberId, OrganisationId},
    limits::RECEIPT_BYTES_MAX,
    member::Party,
    outcome::{Rejection, Verdict},
    set::CompartmentSet,
    time::{BlockTime, Window},
    wire::{ACCESS_PAGE_MAX, AccessPage},
};
use serde::Serialize;

use super::looks::ReaderIs;
use crate::{
    Client,
    client::decode,
    error::{ClientError, UsageError},
    identity::Actor,
    node::Ask,
    verify::{LogLine, LogMark, ProofFault},
};

/// Bytes of one page.
const PAGE_BYTES_MAX: usize = ACCESS_PAGE_MAX * RECEIPT_BYTES_MAX + 1_024;

/// Something that an organisation answers for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Act {
    /// Where it stands in the chain.
    pub location: Location,
    /// When.
    pub time: BlockTime,
    /// Who.
    pub by: Party,
    /// What.
    pub did: Did,
    /// Why it was refused, if it was.
    pub refused: Option<Box<Rejection>>,
}

impl Act {
    /// The members that it names: who did it, and whose standing it changed.
    fn members(&self) -> impl Iterator<Item = MemberId> {
        let by = match self.by {
            Party::Member(id) => Some(id),
            Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => None,
        };
        by.into_iter().chain(self.did.member())
    }
}

/// What was done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Records were asked for.
    Open {
        /// Of which chart.
        chart: ChartId,
        /// What for.
        purpose: Purpose,
        /// Which.
        target: Target,
    },
    /// The glass was broken.
    BreakGlass {
        /// Of which chart.
        chart: ChartId,
        /// Which compartments.
        compartments: CompartmentSet,
        /// Why.
        reason: EmergencyReason,
        /// Until when.
        until: BlockTime,
    },
    /// Another clinician agreed.
    Second {
        /// Of which chart.
        chart: ChartId,
        /// Where the glass was broken.
        emergency: LogPosition,
    },
    /// An emergency was reviewed.
    Review {
        /// Of which chart.
        chart: ChartId,
        /// Where the glass was broken.
        emergency: LogPosition,
        /// What was found.
        finding: Finding,
    },
    /// A member was suspended.
    Suspend(MemberId),
    /// A member was reinstated.
    Reinstate(MemberId),
    /// A member has new keys.
    Rotate {
        /// Which.
        member: MemberId,
        /// Until when those before them count beside them.
        overlap_until: Option<BlockTime>,
    },
}

impl Did {
    /// The chart that it is about.
    pub const fn chart(&self) -> Option<ChartId> {
        match self {
            Self::Open { chart, .. }
            | Self::BreakGlass { chart, .. }
            | Self::Second { chart, .. }
            | Self::Review { chart, .. } => Some(*chart),
            Self::Suspend(_) | Self::Reinstate(_) | Self::Rotate { .. } => None,
        }
    }

    /// The member whose standing or keys it changes.
    pub const fn member(&self) -> Option<MemberId> {
        match self {
            Self::Suspend(member)
            | Self::Reinstate(member)
            | Self::Rotate { member, overlap_until: _ } => Some(*member),
            Self::Open { .. }
            | Self::BreakGlass { .. }
            | Self::Second { .. }
            | Self::Review { .. } => None,
        }
    }
}

/// Everything that an organisation answers for in a time.
#[derive(Debug)]
pub struct Acts {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Of this time.
    pub window: Window,
    /// In the order of the chain.
    pub acts: Vec<Act>,
    /// Who the members are; nothing of one that the ledger does not know.
    pub members: BTreeMap<MemberId, Option<ReaderIs>>,
    /// Whose the charts are.
    pub charts: BTreeMap<ChartId, Option<OrganisationId>>,
    /// The newest block that was looked at.
    pub tip: Height,
    /// Own charts whose logs were compared; nothing where that was not asked for.
    pub compared: Option<usize>,
    /// What stands in the log of an own chart and was not shown.
    pub hidden: Vec<(ChartId, Location)>,
}

impl Acts {
    /// Who the member behind an act is.
    pub fn member(&self, act: &Act) -> Option<(MemberId, Option<&ReaderIs>)> {
        let Party::Member(id) = act.by else { return None };
        Some((id, self.members.get(&id).and_then(Option::as_ref)))
    }

    /// Drops what a node showed beside what the organisation answers for.
    fn keep_own(&mut self) {
        let Self { organisation, acts, members, charts, .. } = self;
        let own = Some(*organisation);
        let of = |id: MemberId| members.get(&id)?.as_ref().map(|it| it.organisation);
        acts.retain(|act| {
            let by = matches!(act.by, Party::Member(id) if of(id) == own);
            let chart = act.did.chart().and_then(|chart| charts.get(&chart).copied().flatten());
            by || chart == own || act.did.member().and_then(of) == own
        });
        let named: BTreeSet<_> = acts.iter().filter_map(|act| act.did.chart()).collect();
        charts.retain(|chart, _| named.contains(chart));
    }

    /// The charts of the organisation itself.
    pub fn own_charts(&self) -> impl Iterator<Item = ChartId> {
        let own = |(chart, of): (&ChartId, &Option<OrganisationId>)| {
            (*of == Some(self.organisation)).then_some(*chart)
        };
        self.charts.iter().filter_map(own)
    }
}

/// What an entry is for a privacy officer; nothing of what is of no concern.
pub fn act_of(
    entry: &Entry,
    location: Location,
    time: BlockTime,
    verdict: &Verdict,
) -> Option<Act> {
    let Entry::Signed(signed) = entry else { return None };
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other command is about a read")]
    let did = match &signed.command.payload {
        Payload::AccessOpen(it) => {
            Did::Open { chart: it.chart, purpose: it.purpose, target: it.target.clone() }
        }
        Payload::BreakGlass(it) => Did::BreakGlass {
            chart: it.chart,
            compartments: it.compartments,
            reason: it.reason,
            until: it.until,
        },
        Payload::EmergencySecond(it) => Did::Second { chart: it.chart, emergency: it.emergency },
        Payload::EmergencyReview(it) => {
            Did::Review { chart: it.chart, emergency: it.emergency, finding: it.finding }
        }
        Payload::MemberSuspend(it) => Did::Suspend(it.member),
        Payload::MemberReinstate(it) => Did::Reinstate(it.member),
        Payload::MemberRotate(it) => {
            Did::Rotate { member: it.member, overlap_until: it.overlap_until }
        }
        _ => return None,
    };
    let refused = match verdict {
        Verdict::Accepted => None,
        Verdict::Rejected(rejection) => Some(Box::new(rejection.clone())),
    };
    Some(Act { location, time, by: *signed.command.signers.first()?, did, refused })
}

/// Checks that a page begins where it was asked for, goes on, and shows only what stands in its stretch.
pub fn check_page(
    page: &AccessPage,
    asked: Option<Location>,
    receipts: &[VerifiedReceipt],
) -> Result<(), ProofFault> {
    let begins = asked.is_none_or(|asked| page.from == asked);
    let mut last = None;
    let ordered = receipts.iter().all(|receipt| {
        let at = receipt.outcome().location;
        let fits = last < Some(at) && page.from <= at && at < page.next;
        last = Some(at);
        fits
    });
    let moves = page.from < page.next || page.next.height > page.tip;
    if begins && ordered && moves { Ok(()) } else { Err(ProofFault::AccessPage) }
}

impl Client {
    /// Everything that an organisation answers for in a time, for its privacy officers and auditors; with `compare`
    /// the logs of its own charts are read to find what a node left out.
    pub async fn acts(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
        window: Window,
        compare: bool,
    ) -> Result<Acts, ClientError> {
        let tip = self.tip().await?.header().height;
        let mut acts = Vec::new();
        let mut next: Option<Location> = None;
        while next.is_none_or(|next| next.height <= tip) {
            let (at, shown) = self.acts_page(actor, organisation, window.from, next).await?;
            let is_over = shown.last().is_some_and(|it| window.until <= it.time);
            acts.extend(shown.into_iter().filter(|it| window.contains(it.time)));
            if is_over {
                break;
            }
            next = Some(at);
        }
        let mut all = Acts {
            organisation,
            window,
            acts,
            members: BTreeMap::new(),
            charts: BTreeMap::new(),
            tip,
            compared: None,
            hidden: Vec::new(),
        };
        self.name_all(actor, &mut all).await?;
        if compare {
            self.compare(actor, &mut all).await?;
        }
        Ok(all)
    }

    async fn acts_page(
        &self,
        actor: &Actor,
        organisation: OrganisationId,
        since: BlockTime,
        next: Option<Location>,
    ) -> Result<(Location, Vec<Act>), ClientError> {
        let from = match next {
            Some(Location { height, index }) => format!("height={height}&index={index}"),
            None => format!("since={}", since.0),
        };
        let target = format!("/v1/organisations/{organisation}/accesses?{from}");
        let ask = Ask::get(target, Some(actor), PAGE_BYTES_MAX);
        let check = |bytes: &[u8]| {
            let page: AccessPage = decode(bytes, PAGE_BYTES_MAX)?;
            let mut receipts = Vec::new();
            for receipt in &page.receipts {
                let receipt = Receipt::decode(receipt)?;
                receipts.push(receipt.verify_by(self.in_force().validators())?);
            }
            check_page(&page, next, &receipts)?;
            let acts = receipts.iter().filter_map(|receipt| {
                let outcome = receipt.outcome();
                act_of(receipt.entry(), outcome.location, outcome.time, &outcome.verdict)
            });
            Ok((page.next, acts.collect()))
        };
        self.ask(&ask, check).await
    }

    async fn name_all(&self, actor: &Actor, acts: &mut Acts) -> Result<(), ClientError> {
        let mut facts = BTreeMap::new();
        let members: BTreeSet<_> = acts.acts.iter().flat_map(Act::members).collect();
        for id in members {
            let is = self.reader_is(actor, id, &mut facts).await?;
            acts.members.insert(id, is);
        }
        let charts: BTreeSet<_> = acts.acts.iter().filter_map(|act| act.did.chart()).collect();
        for chart in charts {
            let of = match self.chart(actor, chart).await {
                Ok(entry) => Some(entry.organisation),
                Err(ClientError::Usage(UsageError::NoSuchChart(_))) => None,
                Err(error) => return Err(error),
            };
            acts.charts.insert(chart, of);
        }
        acts.keep_own();
        Ok(())
    }

    /// Finds what the logs of own charts have and was not shown.
    async fn compare(&self, actor: &Actor, acts: &mut Acts) -> Result<(), ClientError> {
        let own: Vec<_> = acts.own_charts().collect();
        let shown: BTreeSet<_> = acts.acts.iter().map(|act| act.location).collect();
        for chart in &own {
            let (window, tip) = (acts.window, acts.tip);
            let each = |hidden: &mut Vec<Location>, line: LogLine| {
                let outcome = &line.outcome;
                let act = act_of(&line.entry, outcome.location, outcome.time, &outcome.verdict);
                let due =
                    act.is_some_and(|act| window.contains(act.time) && act.location.height <= tip);
                if due && !shown.contains(&outcome.location) {
                    hidden.push(outcome.location);
                }
            };
            let folded = self.fold_log(actor, *chart, LogMark::START, Vec::new(), each).await?;
            acts.hidden.extend(folded.0.into_iter().map(|at| (*chart, at)));
        }
        acts.compared = Some(own.len());
        Ok(())
    }

    /// The emergencies of a chart that are open, wait for review, or were the latest.
    pub async fn emergencies_of(
        &self,
        actor: &Actor,
        chart: ChartId,
    ) -> Result<Vec<Emergency>, ClientError> {
        let target = format!("/v1/charts/{chart}/emergencies");
        let proven = self.state(actor, Key::Emergencies(chart), target).await?;
        Ok(match proven.into_value() {
            Some(Value::Emergencies(emergencies)) => emergencies.all.into_vec(),
            Some(_) | None => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::encoding::List;

    use super::*;

    fn page(from: (u64, u32), next: (u64, u32), tip: u64) -> AccessPage {
        let at = |(height, index)| Location { height: Height(height), index };
        let (from, next, tip) = (at(from), at(next), Height(tip));
        AccessPage { from, next, tip, receipts: List::new() }
    }

    #[test]
    fn a_page_that_does_not_go_on_is_refused() {
        let asked = Some(Location { height: Height(5), index: 2 });
        for (what, page, holds) in [
            ("the stretch asked for", page((5, 2), (9, 0), 8), true),
            ("within one block", page((5, 2), (5, 7), 8), true),
            ("beyond the tip there is nothing", page((5, 2), (5, 2), 4), true),
            ("another beginning", page((5, 3), (9, 0), 8), false),
            ("it stands still", page((5, 2), (5, 2), 8), false),
            ("it goes back", page((5, 2), (4, 0), 8), false),
        ] {
            assert_eq!(check_page(&page, asked, &[]).is_ok(), holds, "{what}");
        }
        assert!(check_page(&page((7, 0), (9, 0), 8), None, &[]).is_ok());
    }
}
