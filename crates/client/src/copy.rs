//! Copying the chain out of one's own node.
//!
//! Not here: checking what comes (`keepwell_engine::import` does, against the genesis file alone).

use keepwell_types::{
    id::Height,
    wire::{STORED_BLOCKS_BYTES_MAX, StoredBlocks},
};

use crate::{
    identity::Actor,
    node::{Ask, Endpoint, NodeError, NodeFault, Nodes},
};

/// The blocks of a node from a height on, as many as one answer has; none at the end.
pub async fn blocks(
    nodes: &Nodes,
    node: &Endpoint,
    actor: &Actor,
    from: Height,
) -> Result<StoredBlocks, NodeError> {
    let target = format!("/v1/blocks?from={from}");
    let bytes = nodes.ask(node, &Ask::get(target, Some(actor), STORED_BLOCKS_BYTES_MAX)).await?;
    keepwell_types::decode(&bytes, STORED_BLOCKS_BYTES_MAX)
        .map_err(|_| NodeError { node: node.clone(), fault: NodeFault::Garbled { status: 200 } })
}
