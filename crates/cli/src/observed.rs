//! What the program says of what it does: a log for people, and a node's traces.
//!
//! Logs go to standard error: our own warnings and worse unless `KEEPWELL_LOG` says otherwise. The
//! engine calls every stop of a validator an error, so what it logs is off.
//!
//! Not here: what may be in either, which is a matter of those who write to them and of `keepwell_node::traces`.

use keepwell_node::traces::{Traces, TracesConfig, log_filter};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

use crate::failure::Failure;

/// Begins the log.
pub(crate) fn log() {
    tracing_subscriber::registry().with(to_stderr()).init();
}

/// Begins the log, and traces if they are configured; whoever calls it ends them with [`end`].
pub(crate) fn log_and_trace(config: Option<&TracesConfig>) -> Result<Option<Traces>, Failure> {
    let Some(config) = config else {
        log();
        return Ok(None);
    };
    let traces = Traces::open(config)?;
    tracing_subscriber::registry().with(to_stderr()).with(traces.layer()).init();
    Ok(Some(traces))
}

/// Sends what is left of traces.
pub(crate) fn end(traces: Option<Traces>) {
    if let Some(traces) = traces {
        traces.end();
    }
}

fn to_stderr<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = EnvFilter::try_from_env("KEEPWELL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("off,keepwell=warn"));
    tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(log_filter(filter))
}
