//! One custodian asking others for what it has lost.
//!
//! Not here: whether what they send is what the ledger commits to, which whoever asked compares.

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use keepwell_types::{
    encoding::List,
    id::{ChainId, ChartId, LogPosition, OrganisationId},
    limits::CAPSULE_BYTES_MAX,
    wire::{CapsuleAnswer, CapsuleRequest},
};
use reqwest::Method;

use crate::{
    error::UsageError,
    identity::Actor,
    node::{Ask, Endpoint, NodeError, NodeFault, Nodes},
};

/// Bytes of an answer with one capsule.
const ANSWER_BYTES_MAX: usize = CAPSULE_BYTES_MAX + 64;

/// The nodes of other custodians, asked in the name of one.
#[derive(Clone, Debug)]
pub struct Lending {
    nodes: Nodes,
    custodian: Actor,
}

impl Lending {
    /// Of these nodes, as this custodian.
    pub fn new(
        chain: ChainId,
        endpoints: Vec<Endpoint>,
        custodian: Actor,
    ) -> Result<Self, UsageError> {
        Ok(Self { nodes: Nodes::new(chain, endpoints)?, custodian })
    }

    /// Whether a node of this organisation is among them.
    pub fn knows(&self, organisation: OrganisationId) -> bool {
        self.nodes.of(organisation).is_some()
    }

    /// The salted capsule of the record at a position, as the lender has it.
    pub async fn capsule(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> Result<Option<Bytes>, NodeError> {
        let node = self.node(lender);
        let positions = List::from_vec(vec![at]).expect("a request may have one position");
        let body = keepwell_types::encode(&CapsuleRequest { positions });
        let (target, actor) = (format!("/v1/charts/{chart}/capsules"), Some(&self.custodian));
        let ask = Ask::with_body(Method::POST, target, actor, body, ANSWER_BYTES_MAX);
        let bytes = self.nodes.ask(node, &ask).await?;
        let garbled =
            |_| NodeError { node: node.clone(), fault: NodeFault::Garbled { status: 200 } };
        let answer: CapsuleAnswer =
            keepwell_types::decode(&bytes, ANSWER_BYTES_MAX).map_err(garbled)?;
        let capsule = answer.capsules.iter().next().cloned().flatten();
        Ok(capsule.map(|it| Bytes::from(it.to_vec())))
    }

    /// Its body, as it comes.
    pub async fn body(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> Result<impl Stream<Item = Result<Bytes, NodeFault>> + Send + use<>, NodeError> {
        let target = format!("/v1/charts/{chart}/records/{at}/body");
        let pieces = self.nodes.get_stream(self.node(lender), &self.custodian, &target, 0).await?;
        let next = |mut pieces: crate::node::Pieces| async move {
            let piece = pieces.next().await.transpose()?;
            Some((piece, pieces))
        };
        Ok(stream::unfold(pieces, next).boxed())
    }

    fn node(&self, lender: OrganisationId) -> &Endpoint {
        self.nodes.of(lender).expect("who is asked is known")
    }
}
