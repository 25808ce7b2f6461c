//! Traces: spans of what a node does, sent to a receiver of OpenTelemetry (OTLP over HTTP).
//!
//! ```text
//!  request, block ─> chosen? ─> span ─> only what may leave ─> queue ─> receiver
//!                    (ratio)            (ATTRIBUTES)             └ full: dropped, and counted
//! ```
//!
//! # Invariants
//!
//! * A span has a fixed name, or a method with the template of a path; its attributes are those of [`ATTRIBUTES`]. No
//!   identifier, content, purpose or address of a client is in one: whatever else a span carries stays here.
//! * Nobody outside chooses what is traced. A client's `traceparent` names the trace that a span belongs to; whether
//!   there is one is drawn here, and its flags and `tracestate` are not looked at.
//! * No receiver slows a node down, whatever it does: what waits is bounded, what is more is dropped, and a thread of
//!   its own does the sending.
//!
//! Not here: which work has a span, which stands where the work is done; and the log.

use std::{
    fmt::Debug,
    io::{self, ErrorKind, Read},
    net::IpAddr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::http::{HeaderMap, Uri};
use opentelemetry::{
    Context, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, TracerProvider as _,
    },
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as Otlp, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::EnvResourceDetector,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, IdGenerator as _, RandomIdGenerator, Sampler,
        SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample, Span, SpanData,
        SpanEvents, SpanExporter, SpanLinks, SpanProcessor,
    },
};
use prometheus_client::metrics::counter::Counter;
use reqwest::{blocking::Client, redirect::Policy};
use serde::Deserialize;
use thiserror::Error;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt as _, FilterFn, filter_fn},
    layer::Filter,
    registry::LookupSpan,
};

/// What a span may say, besides its name, its times and its place in a trace. No value is anybody's: methods,
/// templates of paths, numbers of the ledger that everybody knows, and words of fixed lists.
pub const ATTRIBUTES: [&str; 5] =
    ["http.request.method", "http.route", "http.response.status_code", "height", "commands"];

/// What has traces besides requests. Other work that nobody asks for has none, such as a look at stored records.
const BLOCKS: [&str; 3] = ["propose block", "check block", "final block"];
/// Begins the names of the modules whose spans are traces.
const OURS: &str = "keepwell";
/// Spans that wait for the receiver, those under way included.
const SPANS_MAX: usize = 4_096;
/// Spans in one message.
const MESSAGE_SPANS_MAX: usize = 512;
/// How long spans are gathered for a message.
const GATHERED: Duration = Duration::from_secs(1);
/// How long the receiver may take for one message. The last piece of its answer may take as long again.
const RECEIVER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a receiver's answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// How long a node that stops waits for the receiver to take what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The path of traces under a receiver's address.
const PATH: &str = "/v1/traces";
/// The most requests that are traced in a second, unless configured.
const REQUESTS_PER_SECOND_MAX: u32 = 100;

/// Where spans are sent, and of how much.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// The receiver's address: a collector's or a store's of traces. `/v1/traces` is added to it.
    pub endpoint: String,
    /// The part of requests and of blocks that is traced, from 0 to 1.
    #[serde(default = "default_sample_ratio")]
    pub sample_ratio: f64,
    /// Requests that are traced in a second, at most: what others send here does not decide what tracing costs.
    #[serde(default = "default_requests_per_second_max")]
    pub requests_per_second_max: u32,
}

const fn default_sample_ratio() -> f64 {
    0.1
}

const fn default_requests_per_second_max() -> u32 {
    REQUESTS_PER_SECOND_MAX
}

/// Traces that cannot begin, and what the operator does about it.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The address, which is not shown: what is wrong with it may be that a password stands in it.
    #[error(
        "the endpoint of [traces] cannot be used; write it as https://host:4318 or, on loopback only, http://127.0.0.1:4318, without a name, password or query in it: secrets go into OTEL_EXPORTER_OTLP_HEADERS"
    )]
    Endpoint,
    /// The part that is traced.
    #[error(
        "sample_ratio of [traces] is {0}; it is a part of all: write a number from 0 to 1, such as 0.1"
    )]
    Ratio(f64),
    /// The system, or what stands in the environment.
    #[error("traces cannot be sent: {0}; correct what OTEL_EXPORTER_OTLP_* say in the environment")]
    Exporter(#[from] ExporterBuildError),
    /// The HTTP client.
    #[error("traces cannot be sent: {0}; check the certificates of this machine's authorities")]
    Client(#[from] reqwest::Error),
}

impl TracesConfig {
    /// All requests and blocks, to this receiver: for who tries it.
    pub const fn everything(endpoint: String) -> Self {
        Self { endpoint, sample_ratio: 1.0, requests_per_second_max: u32::MAX }
    }

    /// Checks what can be checked without the receiver.
    pub fn check(&self) -> Result<(), TracesError> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(TracesError::Ratio(self.sample_ratio));
        }
        if is_endpoint(&self.endpoint) {
            return Ok(());
        }
        Err(TracesError::Endpoint)
    }

    fn address(&self) -> String {
        format!("{}{PATH}", self.endpoint.trim_end_matches('/'))
    }

    fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }
}

/// Whether an address is one to send to: with TLS, or on this machine.
fn is_endpoint(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let host = authority.host().trim_matches(['[', ']']);
    let is_here =
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_private = scheme == "https" || (scheme == "http" && is_here);
    is_private && !authority.as_str().contains('@') && uri.query().is_none()
}

/// How many spans went where, since the program started: it has one subscriber, and so one way out for spans.
#[derive(Clone, Debug, Default)]
pub struct SpanCounts {
    /// In messages that the receiver took, even if it refused some of them in its answer.
    pub sent: Counter,
    /// Not taken: there was no room, or the receiver failed.
    pub dropped: Counter,
}

/// The program's own.
pub static SPANS: LazyLock<SpanCounts> = LazyLock::new(SpanCounts::default);

/// Traces that are being sent. Whoever ends the program ends them first.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Opens the way to a receiver, which is not asked. Not to be called on a thread of an async runtime.
    pub fn open(config: &TracesConfig) -> Result<Self, TracesError> {
        config.check()?;
        let waiting = Arc::new(Waiting::default());
        let exporter = Sending {
            exporter: exporter(config)?,
            waiting: waiting.clone(),
            fails: AtomicBool::new(false),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_MAX)
            .with_max_export_batch_size(MESSAGE_SPANS_MAX)
            .with_scheduled_delay(GATHERED)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(OURS)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Lots::new(config))
            .with_resource(resource)
            .with_span_processor(Border { batches, waiting })
            .build();
        Ok(Self { provider })
    }

    /// What a subscriber takes so that our spans are sent. It takes no events: a trace has no log in it.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        // What it would add by itself is of no use to operators, or says how the program was built.
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(OURS))
            .with_context_activation(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(is_span_of_ours).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is left, if the receiver takes it at once. Not to be called on a thread of an async runtime.
    pub fn end(self) {
        if self.provider.shutdown_with_timeout(LAST_WORDS).is_err() {
            tracing::info!("the receiver of traces did not take the last spans");
        }
    }
}

/// What a log shows of `filter`: all but our spans, which are for traces.
pub fn log_filter<S: Subscriber>(filter: impl Filter<S>) -> impl Filter<S> {
    filter.and(filter_fn(|it| !is_span_of_ours(it)).with_max_level_hint(LevelFilter::TRACE))
}

fn is_span_of_ours(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with(OURS)
}

/// The context that a client's request continues, if it names a trace as W3C Trace Context says (level 1, section
/// 3.2). What is malformed, doubled or of a later version is as if it were not there.
pub fn continued(headers: &HeaderMap) -> Option<Context> {
    let mut given = headers.get_all("traceparent").iter();
    let (Some(header), None) = (given.next(), given.next()) else { return None };
    let parent = read_traceparent(header.to_str().ok()?)?;
    Some(Context::new().with_remote_span_context(parent))
}

/// `00-<32 digits>-<16 digits>-<2 digits>`, all lowercase hexadecimal, the first two numbers not 0.
fn read_traceparent(text: &str) -> Option<SpanContext> {
    let is_hex = |it: &str| it.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
    let fields: Vec<&str> = text.splitn(5, '-').collect();
    let ["00", trace, span, flags] = fields[..] else { return None };
    if (trace.len(), span.len(), flags.len()) != (32, 16, 2)
        || ![trace, span, flags].into_iter().all(is_hex)
    {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    // The sampled flag is not taken over: who is traced is decided here.
    let parent = SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, true, TraceState::NONE);
    parent.is_valid().then_some(parent)
}

/// Chooses what is traced. Spans within a span go with it; for requests and blocks a lot is drawn that no client knows
/// or touches, since the ids of a continued trace are its client's choice.
#[derive(Clone, Debug)]
struct Lots {
    ratio: Sampler,
    requests_per_second_max: u32,
    requests: Arc<Mutex<(Instant, u32)>>,
}

impl Lots {
    fn new(config: &TracesConfig) -> Self {
        Self {
            ratio: Sampler::TraceIdRatioBased(config.sample_ratio),
            requests_per_second_max: config.requests_per_second_max,
            requests: Arc::new(Mutex::new((Instant::now(), 0))),
        }
    }

    fn draw(&self) -> bool {
        let lot = RandomIdGenerator::default().new_trace_id();
        let drawn = self.ratio.should_sample(None, lot, "", &SpanKind::Internal, &[], &[]);
        drawn.decision == SamplingDecision::RecordAndSample
    }

    /// Whether one more request may be traced in this second.
    fn has_room(&self) -> bool {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.0.elapsed() >= Duration::from_secs(1) {
            *requests = (Instant::now(), 0);
        }
        let has_room = requests.1 < self.requests_per_second_max;
        requests.1 += u32::from(has_room);
        has_room
    }
}

impl ShouldSample for Lots {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        name: &str,
        kind: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent =
            parent.map(|it| it.span().span_context().clone()).filter(SpanContext::is_valid);
        let is_chosen = match parent {
            Some(parent) if !parent.is_remote() => parent.is_sampled(),
            Some(_) | None if *kind == SpanKind::Server => self.draw() && self.has_room(),
            Some(_) | None => BLOCKS.contains(&name) && self.draw(),
        };
        SamplingResult {
            decision: if is_chosen {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: TraceState::NONE,
        }
    }
}

/// How many spans wait for the receiver.
#[derive(Debug, Default)]
struct Waiting(AtomicUsize);

impl Waiting {
    /// Takes one of the places, if there is one.
    fn enter(&self) -> bool {
        let one_more = |waiting: usize| (waiting < SPANS_MAX).then_some(waiting + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn leave(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// Lets out what may leave, as much as there is room for.
#[derive(Debug)]
struct Border {
    batches: BatchSpanProcessor,
    waiting: Arc<Waiting>,
}

impl SpanProcessor for Border {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.enter() {
            self.batches.on_end(stripped(span));
        } else {
            SPANS.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// A span without what is on no list of ours.
fn stripped(mut span: SpanData) -> SpanData {
    span.attributes.retain(|it| ATTRIBUTES.contains(&it.key.as_str()));
    (span.events, span.links) = (SpanEvents::default(), SpanLinks::default());
    if matches!(span.status, Status::Error { .. }) {
        span.status = Status::error("");
    }
    span
}

/// Sends spans, and counts what came of it.
#[derive(Debug)]
struct Sending<E> {
    exporter: E,
    waiting: Arc<Waiting>,
    /// Whether the last message failed. The log says when that changes, and not each time.
    fails: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Sending<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.waiting.leave(spans);
        let failed_before = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Ok(()) => {
                SPANS.sent.inc_by(spans as u64);
                if failed_before {
                    tracing::warn!("the receiver of traces takes spans again");
                }
            }
            Err(error) => {
                SPANS.dropped.inc_by(spans as u64);
                if !failed_before {
                    tracing::warn!(%error, "spans do not reach the receiver of traces and are dropped; the node goes on. See whether it runs, and [traces]");
                }
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

fn exporter(config: &TracesConfig) -> Result<Otlp, TracesError> {
    let client = Client::builder().timeout(RECEIVER_TIMEOUT).redirect(Policy::none());
    // What is on this machine is not asked for through another one.
    let client = if config.is_plain() { client.no_proxy() } else { client.https_only(true) };
    let exporter = Otlp::builder()
        .with_http()
        .with_http_client(Receiver(client.build()?))
        .with_endpoint(config.address())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(RECEIVER_TIMEOUT);
    Ok(exporter.build()?)
}

/// The receiver, of whose answers no more is read than an answer needs.
#[derive(Debug)]
struct Receiver(Client);

#[async_trait]
impl HttpClient for Receiver {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let begun = Instant::now();
        let answer = self.0.execute(request.try_into()?)?;
        let status = answer.status();
        let body = read_by(answer.take(ANSWER_BYTES_MAX), begun + RECEIVER_TIMEOUT)?;
        Ok(Response::builder().status(status).body(body.into())?)
    }
}

/// Reads to the end. The client's timeout is for each read anew: a receiver that sends a byte at a time would keep the
/// sending for itself.
fn read_by(mut answer: impl Read, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut body, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        match answer.read(&mut piece)? {
            0 => return Ok(body),
            len => body.extend_from_slice(&piece[..len]),
        }
        if deadline < Instant::now() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use axum::http::HeaderValue;
    use opentelemetry::trace::Event;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn config(endpoint: &str) -> TracesConfig {
        TracesConfig::everything(endpoint.to_owned())
    }

    #[test]
    fn spans_travel_with_tls_or_not_at_all() {
        for (endpoint, fits) in [
            ("http://127.0.0.1:4318", true),
            ("http://127.0.0.1:4318/", true),
            ("http://localhost:4318", true),
            ("http://[::1]:4318", true),
            ("https://traces.example.org", true),
            ("https://traces.example.org/otlp", true),
            ("http://traces.example.org:4318", false),
            ("http://127.0.0.1.example.org:4318", false),
            ("http://localhost.example.org", false),
            ("https://name:secret@traces.example.org", false),
            ("http://127.0.0.1:80@traces.example.org", false),
            ("https://traces.example.org?token=secret", false),
            ("grpc://127.0.0.1:4317", false),
            ("127.0.0.1:4318", false),
            ("https://", false),
            ("", false),
        ] {
            assert_eq!(config(endpoint).check().is_ok(), fits, "{endpoint}");
        }
        let refused = config("https://name:secret@traces.example.org").check().unwrap_err();
        assert!(!refused.to_string().contains("name:secret"), "{refused}");
        assert_eq!(
            config("https://t.example.org/otlp/").address(),
            "https://t.example.org/otlp/v1/traces"
        );
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let config = TracesConfig { sample_ratio: ratio, ..config("http://127.0.0.1:1") };
            assert!(matches!(config.check(), Err(TracesError::Ratio(_))), "{ratio}");
        }
    }

    #[test]
    fn a_trace_is_continued_if_it_is_well_formed() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        let parent = read_traceparent(&good).unwrap();
        assert_eq!(parent.trace_id().to_string(), TRACE);
        assert!(parent.is_remote() && !parent.is_sampled());
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c00-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(read_traceparent(bad).is_none(), "{bad:?}");
        }
        let mut headers = HeaderMap::new();
        assert!(continued(&headers).is_none());
        headers.append("traceparent", HeaderValue::from_str(&good).unwrap());
        assert!(continued(&headers).is_some());
        headers.append("traceparent", HeaderValue::from_str(&good).unwrap());
        assert!(continued(&headers).is_none(), "two parents");
    }

    /// How many of a thousand are traced, as children of `parent` or of nothing.
    fn chosen(lots: &Lots, parent: Option<&Context>, name: &str, kind: &SpanKind) -> usize {
        let is_chosen = |_: &usize| {
            let trace = TraceId::from_hex(TRACE).unwrap();
            let result = lots.should_sample(parent, trace, name, kind, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        (0..1_000).filter(is_chosen).count()
    }

    fn request(lots: &Lots, parent: Option<&Context>) -> usize {
        chosen(lots, parent, "GET /", &SpanKind::Server)
    }

    fn work(lots: &Lots, parent: Option<&Context>, name: &str) -> usize {
        chosen(lots, parent, name, &SpanKind::Internal)
    }

    #[test]
    fn no_client_chooses_what_is_traced() {
        let sampled = TraceFlags::SAMPLED;
        // A trace id and a flag by which a sampler that believed them would always choose.
        let low = TraceId::from_hex("0af7651916cd43dd0000000000000001").unwrap();
        let remote = SpanContext::new(low, SpanId::from(1), sampled, true, TraceState::NONE);
        let remote = Context::new().with_remote_span_context(remote);
        let lots = |sample_ratio, requests_per_second_max| {
            let endpoint = String::new();
            Lots::new(&TracesConfig { endpoint, sample_ratio, requests_per_second_max })
        };
        assert_eq!(request(&lots(0.0, u32::MAX), Some(&remote)), 0);
        let some = request(&lots(0.1, u32::MAX), Some(&remote));
        assert!((20..300).contains(&some), "{some}");
        // All that come within this second, or within two of them.
        let bounded = lots(1.0, 100);
        assert!((100..=200).contains(&request(&bounded, Some(&remote))));
        assert_eq!(work(&bounded, None, BLOCKS[0]), 1_000, "blocks are not crowded out");
        assert_eq!(work(&bounded, None, "open body"), 0, "nobody asked for it");
        let local = |flags| {
            let local = SpanContext::new(low, SpanId::from(1), flags, false, TraceState::NONE);
            Context::new().with_remote_span_context(local)
        };
        assert_eq!(work(&lots(0.0, 0), Some(&local(sampled)), "open body"), 1_000);
        let not_sampled = local(TraceFlags::NOT_SAMPLED);
        assert_eq!(work(&lots(1.0, 9), Some(&not_sampled), "open body"), 0);
    }

    #[test]
    fn only_what_is_listed_leaves() {
        let mut events = SpanEvents::default();
        events.events.push(Event::with_name("opened"));
        let mut links = SpanLinks::default();
        links.links.push(Link::with_context(SpanContext::NONE));
        let span = SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: Cow::Borrowed("GET /v1/tip"),
            start_time: std::time::UNIX_EPOCH,
            end_time: std::time::UNIX_EPOCH,
            attributes: vec![KeyValue::new("chart", "0102"), KeyValue::new("height", 7)],
            dropped_attributes_count: 0,
            events,
            links,
            status: Status::error("chart 0102 is not here"),
            instrumentation_scope: opentelemetry::InstrumentationScope::default(),
        };
        let left = stripped(span);
        assert_eq!(left.attributes, [KeyValue::new("height", 7)]);
        assert!(left.events.events.is_empty() && left.links.links.is_empty());
        assert_eq!(left.status, Status::error(""));
    }

    #[test]
    fn what_waits_is_bounded() {
        let waiting = Waiting::default();
        assert!((0..SPANS_MAX).all(|_| waiting.enter()));
        assert!(!waiting.enter());
        waiting.leave(1);
        assert!(waiting.enter() && !waiting.enter());
    }
}
