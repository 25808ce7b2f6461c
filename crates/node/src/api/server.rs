//! Serving the interface: connections, their limits, and their end.
//!
//! # Invariants
//!
//! * Every connection is a task of the set that [`serve`] holds: when the node ends, in whatever way,
//!   all of them end, and no request is answered from a node that is gone.
//! * A client that sends its headers slowly, reads its answers slowly, or opens connections without end
//!   costs a bounded share ([`visitors`](super::visitors), [`super::paced`]).
//! * Where there is a certificate nobody is answered without TLS, but for a word that it is needed.
//! * An answer that refuses a request before its body has come still arrives: a connection that were
//!   closed under a sender would be reset, and the answer with it (RFC 9112, section 9.6).

use std::{
    convert::Infallible,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use keepwell_types::id::Height;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument as _, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    Node,
    error::ApiError,
    paced::Paced,
    visitors::{Visitor, Visitors},
};
use crate::traces::continued;

/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send the headers of a request, and before that to agree on keys.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the headers of a request.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// How long an ordinary answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The header in which an asker says which height it has seen.
pub const SEEN: &str = "keepwell-seen";
/// How long a node that is behind may take to catch up with an asker.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How long a sender whose request was answered early may go on sending.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes that are thrown away at once of what it still sends.
const LINGER_BYTES: usize = 64 * 1024;
/// How long requests that are under way may go on when the node stops.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until the node stops, and a little longer what is under way: with TLS, or without it.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let visitors = Arc::new(Visitors::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            (stream, place, visitor) = accept(&listener, &places, &visitors) => {
                let (tls, router, stopping) = (tls.clone(), router.clone(), stopping.clone());
                connections.spawn(async move {
                    let _place = place;
                    // Errors are those of a client that went away.
                    let _ = connection(stream, visitor, tls, router, stopping).await;
                });
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::info!("cut off requests that were still under way");
    }
}

/// The next connection that may come in; those of an address that has too many are closed at once.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    visitors: &Arc<Visitors>,
) -> (TcpStream, OwnedSemaphorePermit, Visitor) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if let Some(visitor) = visitors.enter(from.ip()) {
                    return (stream, place, visitor);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    mut stream: TcpStream,
    visitor: Visitor,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    // Answers are small and waited for; a failure costs some milliseconds only.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        exchange(Paced::new(stream), visitor, router, stopping).await;
        return Ok(());
    };
    let mut first = [0];
    timeout(HEADER_TIMEOUT, stream.peek(&mut first)).await??;
    // Methods are capital letters; a TLS record begins with its type, 22.
    if first[0].is_ascii_uppercase() {
        stream.write_all(TLS_ONLY).await?;
        timeout(LINGER, linger(stream)).await??;
        return Ok(());
    }
    let stream = timeout(HEADER_TIMEOUT, tls.accept(Paced::new(stream))).await??;
    exchange(stream, visitor, router, stopping).await;
    Ok(())
}

/// What whoever speaks plain HTTP is told where TLS is spoken.
const TLS_ONLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: application/json\r\n\
    connection: close\r\n\
    content-length: 107\r\n\r\n\
    {\"error\":\"tls_only\",\"fault\":\"client\",\"message\":\"this port speaks TLS 1.3; begin the address with https://\"}";

/// Answers the requests of one connection, one after the other.
async fn exchange<S>(
    stream: S,
    visitor: Visitor,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(visitor.clone());
        Box::pin(router.call(request))
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Errors are those of a client that went away.
    tokio::select! {
        _ = &mut served => {}
        () = stopped(&mut stopping) => {
            std::pin::Pin::new(&mut served).graceful_shutdown();
            let _ = (&mut served).await;
        }
    }
    let stream = served.into_parts().io.into_inner();
    tokio::select! {
        _ = timeout(LINGER, linger(stream)) => {}
        () = stopped(&mut stopping) => {}
    }
}

/// Says that no more answers come, and reads what is still sent, to its end.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    // Where all went well it was said already.
    let _ = stream.shutdown().await;
    let mut rest = vec![0; LINGER_BYTES];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// Resolves when the node stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        // Nobody is left to stop it: it runs until its tasks are aborted.
        std::future::pending::<()>().await;
    }
}

/// Answers nobody from a state older than what the asker has seen ([`SEEN`]): a command that one node
/// has acknowledged is there at every other node that is asked next.
pub async fn caught_up(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if let Some(seen) = request.headers().get(SEEN) {
        let seen = seen.to_str().ok().and_then(|it| it.parse().ok());
        let seen = seen.ok_or_else(|| {
            ApiError::malformed("the header keepwell-seen is no height; send a decimal number")
        })?;
        let mut tip = node.core.watch_tip();
        let reached = tip.wait_for(|tip| tip.height() >= Height(seen));
        if !matches!(timeout(CATCH_UP, reached).await, Ok(Ok(_))) {
            let message = "this node is behind what you have seen; ask again in a second, or ask another node";
            return Err(ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "behind", message));
        }
    }
    Ok(next.run(request).await)
}

/// Gives up on an ordinary answer that takes too long.
pub async fn in_time(request: Request, next: Next) -> Result<Response, ApiError> {
    timeout(ANSWER_TIMEOUT, next.run(request)).await.map_err(|_| {
        let message = "the answer took too long; ask again, or ask another node";
        ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "timeout", message)
    })
}

/// Counts, logs and traces each answer, by the template of its path.
pub async fn observe(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let method = method_name(request.method());
    let span = request_span(method, &route, request.headers());
    let response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), begun.elapsed());
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("otel.status_code", "error");
    }
    let status = status.as_u16();
    tracing::debug!(method, route, status, took_ms = took.as_millis(), "answered");
    node.metrics.request(method, route, status, took);
    Ok(response)
}

/// The span of a request, named as OpenTelemetry's conventions for HTTP have it. It is of the trace that its client
/// names, or begins one.
fn request_span(method: &str, route: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    if !span.is_disabled()
        && let Some(parent) = continued(headers)
    {
        // It fails where no traces are sent, and then there is nothing to continue.
        let _ = span.set_parent(parent);
    }
    span
}

/// The method, if the interface has it: a metric has no more values than that.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::{get, put};

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_answer_reaches_a_slow_reader_whole() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // More than the system buffers, and the last answer of its connection.
        let router = Router::new().route("/", get(async || vec![7; 32 * MIB]));
        let (stop, stopping) = watch::channel(false);
        let server = tokio::spawn(serve(listener, None, router, stopping));

        let mut reader = TcpStream::connect(address).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
        reader.write_all(ask).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > 32 * MIB, "{} bytes came", answer.len());
        stop.send_replace(true);
        server.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_refusal_reaches_who_is_still_sending() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // It answers without a look at the body.
        let router = Router::new().route("/", put(async || StatusCode::INSUFFICIENT_STORAGE));
        let (stop, stopping) = watch::channel(false);
        let server = tokio::spawn(serve(listener, None, router, stopping));

        let mut sender = TcpStream::connect(address).await.unwrap();
        let head = format!("PUT / HTTP/1.1\r\nhost: node\r\ncontent-length: {}\r\n\r\n", 32 * MIB);
        sender.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..32 {
            sender.write_all(&vec![7; MIB]).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        let mut answer = String::new();
        sender.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 507 "), "{answer}");
        stop.send_replace(true);
        server.await.unwrap();
    }
}
