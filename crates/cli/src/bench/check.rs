//! After the clock: is everything that was acknowledged in the state of every validator?
//!
//! 1. All validators stand at one height with one header, state root included.
//! 2. Every validator shows the whole log of every chart, chained to the head that is proven to be in
//!    its state; each acknowledged command is in one of them, accepted.
//! 3. For a sample of the commands, every validator gives a receipt by the command's id, and it verifies.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use keepwell_client::{
    identity::Actor,
    verify::{LogLine, LogMark},
};
use keepwell_crypto::request;
use keepwell_merkle::receipt::Receipt;
use keepwell_node::{clock::Clock, random::rng};
use keepwell_types::{
    command::Entry,
    encoding::Text,
    id::{ChainId, ChartId, CommandId, OrganisationId},
    wire::Request,
};
use rand_core::Rng as _;
use serde::Serialize;

use super::{
    BenchError,
    fleet::{Fleet, Node},
    http::{Connection, authorization, get},
};

/// Receipts that are asked for by id, of each validator.
const SAMPLE: usize = 1_000;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Checked {
    /// Commands that were acknowledged.
    pub acknowledged: usize,
    /// Accepted commands in the logs of the charts, the same at every validator.
    pub in_state: usize,
    /// Validators whose logs were read to the end.
    pub validators: usize,
    /// Receipts that were asked for by id and verified.
    pub receipts: usize,
    /// Where all validators stood with the same header.
    pub height: u64,
    /// The root of the state there.
    pub state: String,
}

/// Checks all of it; an error says what is missing where.
pub(super) async fn check(
    fleet: &Fleet,
    charts: &[Vec<ChartId>],
    acknowledged: &BTreeSet<CommandId>,
) -> Result<Checked, BenchError> {
    let header = fleet.meet().await?;
    let asked = fleet.nodes.iter().map(|node| accepted_commands(fleet, node, charts));
    let mut owners = BTreeMap::new();
    // All at once: a validator reads its blocks while what another has sent is verified.
    for (validator, accepted) in try_join_all(asked).await?.into_iter().enumerate() {
        let missing = acknowledged.iter().filter(|id| !accepted.contains_key(id)).count();
        if missing > 0 {
            return Err(BenchError::Lost { missing, of: acknowledged.len(), validator });
        }
        owners = accepted;
    }
    let receipts = check_receipts(fleet, &owners).await?;
    Ok(Checked {
        acknowledged: acknowledged.len(),
        in_state: owners.len(),
        validators: fleet.nodes.len(),
        receipts,
        height: header.height.0,
        state: header.state.to_string(),
    })
}

/// Checks that all validators agree and stand; not that every command is there.
pub(super) async fn check_roots(fleet: &Fleet) -> Result<(u64, String), BenchError> {
    let header = fleet.meet().await?;
    Ok((header.height.0, header.state.to_string()))
}

/// The accepted commands in the logs of all charts, as one validator proves them to be in its state, each
/// with the place of the organisation whose chart it is.
async fn accepted_commands(
    fleet: &Fleet,
    node: &Node,
    charts: &[Vec<ChartId>],
) -> Result<BTreeMap<CommandId, usize>, BenchError> {
    let client = fleet.client_of(node)?;
    let mut accepted = BTreeMap::new();
    for (owner, charts) in charts.iter().enumerate() {
        let actor = fleet.nodes[owner].identity.actor();
        for chart in charts {
            let log = client.log(&actor, *chart, LogMark::START).await?;
            let commands = log.lines().iter().filter_map(accepted_command);
            accepted.extend(commands.map(|id| (id, owner)));
        }
    }
    Ok(accepted)
}

fn accepted_command(line: &LogLine) -> Option<CommandId> {
    match &line.entry {
        Entry::Signed(signed) if line.outcome.verdict.is_accepted() => Some(signed.command.id),
        Entry::Signed(_) | Entry::Genesis(_) => None,
    }
}

async fn check_receipts(
    fleet: &Fleet,
    owners: &BTreeMap<CommandId, usize>,
) -> Result<usize, BenchError> {
    let step = (owners.len() / SAMPLE).max(1);
    let sample: Vec<_> = owners.iter().step_by(step).take(SAMPLE).collect();
    for node in &fleet.nodes {
        let mut asker = Asker::new(fleet.chain, node).await?;
        for (id, owner) in &sample {
            let actor = fleet.nodes[**owner].identity.actor();
            let bytes = asker.get(&actor, &format!("/v1/commands/{id}")).await?;
            let receipt = Receipt::decode(&bytes)?.verify_by(&fleet.validators)?;
            let found = match receipt.entry() {
                Entry::Signed(signed) => Some(signed.command.id),
                Entry::Genesis(_) => None,
            };
            if found != Some(**id) || !receipt.outcome().verdict.is_accepted() {
                return Err(BenchError::WrongReceipt(**id));
            }
        }
    }
    Ok(sample.len() * fleet.nodes.len())
}

/// Asks one node.
struct Asker {
    chain: ChainId,
    node: OrganisationId,
    connection: Connection,
}

impl Asker {
    async fn new(chain: ChainId, node: &Node) -> Result<Self, BenchError> {
        let connection = Connection::open(node.address).await?;
        Ok(Self { chain, node: node.organisation, connection })
    }

    /// The body of the answer to a `GET` that `actor` signs.
    async fn get(&mut self, actor: &Actor, path: &str) -> Result<Vec<u8>, BenchError> {
        let target = format!("GET {path}");
        let mut id = [0; 16];
        rng().fill_bytes(&mut id);
        let signed = request::sign(
            actor.key(),
            Request {
                chain: self.chain,
                node: self.node,
                party: actor.party(),
                id: CommandId(id),
                at: Clock.now(),
                target: Text::from_string(target.clone())?,
                body: request::body_digest(b""),
            },
        );
        let proof = authorization(&signed);
        self.connection.ask(&get(path, Some(&proof))).await?.ok(&target)
    }
}
