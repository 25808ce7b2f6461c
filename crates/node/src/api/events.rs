//! Streams of events: each final block, and each time that a chart is touched.
//!
//! A stream ends after [`STREAM_MAX`] at the latest, so that whoever listens shows again who they are;
//! listeners connect again by themselves.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use keepwell_engine::core::FinalBlock;
use keepwell_types::id::ChartId;
use serde_json::json;
use tokio::{sync::broadcast::error::RecvError, time::Instant};

use super::{
    EVENT_STREAMS_MAX, Node, auth::Caller, error::ApiError, form::Segments, server::stopped,
};

/// How long one stream lasts.
pub const STREAM_MAX: Duration = Duration::from_secs(600);

/// Every final block, as it comes: `{height, id, time, entries}`. Signed by any member.
#[utoipa::path(get, path = "/v1/events", responses(
    (status = 200, content_type = "text/event-stream", description = "Events named `block`; `missed` where some were lost"),
    (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    (status = 429, body = super::error::ErrorBody),
))]
pub async fn blocks(State(node): State<Arc<Node>>, caller: Caller) -> Result<Response, ApiError> {
    if caller.organisation().is_none() {
        return Err(ApiError::forbidden("members"));
    }
    stream_of(node, |block| {
        let header = &block.tip.header;
        let event = json!({
            "height": header.height, "id": block.tip.id, "time": header.time, "entries": header.entries,
        });
        vec![("block", event)]
    })
}

/// A chart is touched: `{height, position}`. Signed by its controller or organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/events",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "text/event-stream", description = "Events named `chart`; `missed` where some were lost"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody), (status = 429, body = super::error::ErrorBody),
    ))]
pub async fn chart(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    let entry = node.chart(chart).await?;
    if !caller.is_at_home(chart, &entry) {
        return Err(ApiError::forbidden("the chart's controller and organisation"));
    }
    stream_of(node, move |block| {
        let touched = block.touched.iter().filter(|(touched, _)| *touched == chart);
        let height = block.tip.height();
        touched
            .map(|(_, position)| ("chart", json!({ "height": height, "position": position })))
            .collect()
    })
}

type Events = Vec<(&'static str, serde_json::Value)>;

fn stream_of(
    node: Arc<Node>,
    of_block: impl Fn(&FinalBlock) -> Events + Send + 'static,
) -> Result<Response, ApiError> {
    match node.streams.try_acquire() {
        Ok(permit) => permit.forget(),
        Err(_) => {
            let message =
                format!("{EVENT_STREAMS_MAX} streams of events run at this node; try another");
            return Err(ApiError::node(StatusCode::TOO_MANY_REQUESTS, "busy", message));
        }
    }
    let events = events(Place(node), of_block);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// A place among the streams that may run; given back when the stream ends.
struct Place(Arc<Node>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.add_permits(1);
    }
}

fn events(
    place: Place,
    of_block: impl Fn(&FinalBlock) -> Events + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let blocks = place.0.core.events();
    let mut stopping = place.0.stopping.clone();
    let end = Instant::now() + STREAM_MAX;
    let until = async move {
        tokio::select! {
            () = stopped(&mut stopping) => {}
            () = tokio::time::sleep_until(end) => {}
        }
    };
    stream::unfold((place, blocks, of_block), |(place, mut blocks, of_block)| async move {
        let events = match blocks.recv().await {
            Ok(block) => of_block(&block),
            Err(RecvError::Lagged(blocks)) => vec![("missed", json!({ "blocks": blocks }))],
            Err(RecvError::Closed) => return None,
        };
        Some((stream::iter(events), (place, blocks, of_block)))
    })
    .flatten()
    .map(|(name, data)| Ok(Event::default().event(name).data(data.to_string())))
    .take_until(until)
}
