//! Serving the interface: connections, their limits, and their end.
//!
//! # Invariants
//!
//! * Every connection is a task of the set that [`serve`] holds: when the node ends, in whatever way,
//!   all of them end, and no request is answered from a node that is gone.
//! * A client that sends its headers slowly, or opens connections without end, costs a bounded share.
//! * An answer that refuses a request before its body has come still arrives: a connection that were
//!   closed under a sender would be reset, and the answer with it (RFC 9112, section 9.6).

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
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
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Node, error::ApiError};

/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of the headers of a request.
const HEADER_BYTES_MAX: usize = 64 * 1024;
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

/// Serves `router` until the node stops, and a little longer what is under way.
pub async fn serve(listener: TcpListener, router: Router, mut stopping: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(connection(stream, place, router.clone(), stopping.clone()));
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::info!("cut off requests that were still under way");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are small and waited for; a failure costs some milliseconds only.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| Box::pin(router.call(request)));
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Errors are those of a client that went away.
    tokio::select! {
        _ = poll_fn(|context| served.poll_without_shutdown(context)) => {}
        () = stopped(&mut stopping) => {
            std::pin::Pin::new(&mut served).graceful_shutdown();
            let _ = poll_fn(|context| served.poll_without_shutdown(context)).await;
        }
    }
    let stream = served.into_parts().io.into_inner();
    tokio::select! {
        _ = timeout(LINGER, linger(stream)) => {}
        () = stopped(&mut stopping) => {}
    }
}

/// Says that no more answers come, and reads what is still sent, to its end.
async fn linger(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
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

/// Counts and logs each answer, by the template of its path.
pub async fn observe(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let method = method_name(request.method());
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    tracing::debug!(method, route, status, took_ms = took.as_millis(), "answered");
    node.metrics.request(method, route, status, took);
    Ok(response)
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

    use axum::routing::put;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_refusal_reaches_who_is_still_sending() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        // It answers without a look at the body.
        let router = Router::new().route("/", put(async || StatusCode::INSUFFICIENT_STORAGE));
        let (stop, stopping) = watch::channel(false);
        let server = tokio::spawn(serve(listener, router, stopping));

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
