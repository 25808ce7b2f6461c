//! What an organisation answers for: accesses in its charts, and of its members in any chart.
//!
//! A page is a stretch of the chain, searched for such entries; each comes with its receipt.
//!
//! # Invariants
//!
//! * Only privacy officers and auditors of the organisation see it. An entry is shown as it stands on the ledger:
//!   it names a chart by its random id, and no patient.
//! * A page looks at a bounded stretch of the chain, so that nobody keeps a node busy with one request.
//! * What is shown is proven. That nothing was left out is this node's word: no root on the ledger is of an
//!   organisation's accesses. Of one of its own charts the chart's log proves it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use keepwell_engine::reader::{ReadError, entry_at};
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    command::{Entry, Payload},
    encoding::{Blob, List},
    id::{Height, Location, MemberId, OrganisationId},
    member::{Party, Role},
    time::BlockTime,
    wire::{ACCESS_PAGE_MAX, AccessPage},
};
use serde::Deserialize;

use super::{
    Node,
    auth::Caller,
    error::ApiError,
    form::{Accept, Params, Segments},
};

/// Blocks that one page looks at.
const BLOCKS_MAX: u64 = 2_048;
/// Entries that one page looks at.
const ENTRIES_MAX: usize = 16 * 1024;

/// Where a page begins: at a place in the chain, or at an instant of block time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    height: Option<u64>,
    index: Option<u32>,
    since: Option<BlockTime>,
}

/// A stretch of what an organisation answers for: accesses and emergencies in its charts or of its members, and
/// what became of its members' keys. Signed by a privacy officer or an auditor of the organisation.
#[utoipa::path(get, path = "/v1/organisations/{organisation}/accesses",
    params(
        ("organisation" = String, Path, description = "OrganisationId in hexadecimal digits"),
        ("height" = Option<u64>, Query, description = "First block; 1 unless given"),
        ("index" = Option<u32>, Query, description = "First entry in that block; 0 unless given"),
        ("since" = Option<u64>, Query, description = "Instead: the first block of this block time or later, in ms since 1970"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "AccessPage"),
        (status = 400, body = super::error::ErrorBody),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn accesses(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(organisation): Segments<OrganisationId>,
    Params(from): Params<Start>,
) -> Result<Response, ApiError> {
    check_officer(&node, &caller, organisation).await?;
    let from = match (from.since, from.height) {
        (Some(_), Some(_)) => {
            return Err(ApiError::malformed("give a block or an instant, not both"));
        }
        (Some(since), None) => Location { height: first_since(&node, since).await?, index: 0 },
        (None, height) => {
            let height = Height(height.unwrap_or(1).max(1));
            Location { height, index: from.index.unwrap_or(0) }
        }
    };
    Ok(accept.answer(&Search::new(&node, organisation).page(from).await?))
}

async fn check_officer(
    node: &Node,
    caller: &Caller,
    organisation: OrganisationId,
) -> Result<(), ApiError> {
    if let Party::Member(id) = caller.party()
        && let Some(Value::Member(member)) = node.value(Key::Member(id)).await?
    {
        let sees = [Role::PrivacyOfficer, Role::Auditor];
        let may = sees.into_iter().any(|role| member.roles.contains(role));
        if may && member.organisation == organisation {
            return Ok(());
        }
    }
    Err(ApiError::forbidden("privacy officers and auditors of the organisation"))
}

/// The first block of this block time or later; one above the tip if there is none.
async fn first_since(node: &Node, since: BlockTime) -> Result<Height, ReadError> {
    let (mut below, mut above) = (0, node.core.tip().height().0 + 1);
    while below + 1 < above {
        let middle = below + (above - below) / 2;
        let time = node.reader.block(Height(middle)).await?.header().time;
        if time < since { below = middle } else { above = middle }
    }
    Ok(Height(above))
}

/// A search through a stretch of the chain.
struct Search<'a> {
    node: &'a Node,
    organisation: OrganisationId,
    /// Whose the members are that were met.
    members: BTreeMap<MemberId, bool>,
}

impl<'a> Search<'a> {
    const fn new(node: &'a Node, organisation: OrganisationId) -> Self {
        Self { node, organisation, members: BTreeMap::new() }
    }

    async fn page(&mut self, from: Location) -> Result<AccessPage, ReadError> {
        let tip = self.node.core.tip();
        let (mut at, mut looked) = (from, 0);
        let mut receipts = Vec::new();
        while at.height <= tip.height()
            && at.height.0 - from.height.0 < BLOCKS_MAX
            && looked < ENTRIES_MAX
        {
            let block = self.node.core.index.block(at.height).map_err(|_| ReadError::Storage)?;
            let count = block.ok_or(ReadError::NotHere)?.outcomes.len() as u32;
            if at.index < count {
                let block = self.node.reader.block(at.height).await?;
                while at.index < count && receipts.len() < ACCESS_PAGE_MAX {
                    let entry = entry_at(&block, at.index)?;
                    if self.is_ours(&entry).await? {
                        receipts.push(self.receipt(at).await?);
                    }
                    (at.index, looked) = (at.index + 1, looked + 1);
                }
                if at.index < count {
                    break;
                }
            }
            at = Location { height: Height(at.height.0 + 1), index: 0 };
        }
        let receipts = List::from_vec(receipts).map_err(|_| ReadError::Storage)?;
        Ok(AccessPage { from, next: at, tip: tip.height(), receipts })
    }

    async fn receipt<const MAX: usize>(&self, at: Location) -> Result<Blob<MAX>, ReadError> {
        let receipt = self.node.receipts.receipt(at).await?.ok_or(ReadError::NotHere)?;
        Blob::from_vec(receipt.encode()).map_err(|_| ReadError::Storage)
    }

    /// Whether the organisation answers for what an entry tells.
    async fn is_ours(&mut self, entry: &Entry) -> Result<bool, ReadError> {
        let Entry::Signed(signed) = entry else { return Ok(false) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other command is about a read")]
        let chart = match &signed.command.payload {
            Payload::AccessOpen(it) => it.chart,
            Payload::BreakGlass(it) => it.chart,
            Payload::EmergencySecond(it) => it.chart,
            Payload::EmergencyReview(it) => it.chart,
            Payload::MemberRotate(it) => return self.is_own(it.member).await,
            Payload::MemberSuspend(it) | Payload::MemberReinstate(it) => {
                return self.is_own(it.member).await;
            }
            _ => return Ok(false),
        };
        if let Some(Party::Member(member)) = signed.command.signers.first()
            && self.is_own(*member).await?
        {
            return Ok(true);
        }
        // A refused command may name a chart that is not there.
        let chart = self.node.value(Key::Chart(chart)).await?;
        Ok(matches!(chart, Some(Value::Chart(it)) if it.organisation == self.organisation))
    }

    async fn is_own(&mut self, member: MemberId) -> Result<bool, ReadError> {
        if let Some(known) = self.members.get(&member) {
            return Ok(*known);
        }
        let entry = self.node.value(Key::Member(member)).await?;
        let is_own =
            matches!(entry, Some(Value::Member(it)) if it.organisation == self.organisation);
        self.members.insert(member, is_own);
        Ok(is_own)
    }
}
