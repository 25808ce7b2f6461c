//! The way to nodes: HTTP, requests signed by who asks, and errors that say whose fault they are.
//!
//! What travels is signed, proven or sealed, and still says who asks for what: beyond this computer it goes
//! through TLS ([`crate::tls`]).
//!
//! # Invariants
//!
//! * A request is sent again only where sending it twice does what sending it once does. A signed request
//!   gets a fresh id each time; a command keeps its own, and a node answers it with its first receipt.
//! * No answer is read beyond what its kind may have.
//!
//! Not here: what answers mean ([`crate::client`]).

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures::StreamExt as _;
use keepwell_crypto::request::{body_digest, sign};
use keepwell_types::{
    encoding::Text,
    id::{ChainId, CommandId, Digest, Height, OrganisationId},
    wire::Request,
};
use rand_core::Rng as _;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, header};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    client::{now, rng},
    error::UsageError,
    identity::Actor,
    tls::{Address, TlsFault},
};

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a node may take for an ordinary answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How long a stream may stand still.
pub(crate) const STALL: Duration = Duration::from_secs(30);
/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 16 * 1024;
/// The header in which a node is told which height was seen.
const SEEN: &str = "keepwell-seen";

/// The address of a node, and whose it is.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// The organisation that runs it.
    pub organisation: OrganisationId,
    /// Where it is, and how it is known to be it: see [`Address`].
    pub url: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is for the program to compare.
        let address = self.url.split('#').next().unwrap_or_default();
        write!(f, "the node of organisation {} at {address}", self.organisation)
    }
}

/// A node that does not answer, or refuses.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{node} {fault}")]
pub struct NodeError {
    /// Which.
    pub node: Endpoint,
    /// What it did.
    pub fault: NodeFault,
}

/// What a node did instead of answering.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NodeFault {
    /// Nothing listens there.
    #[error("cannot be reached; start it, or use another node")]
    Unreachable,
    /// It was reached, and the connection ended before its answer.
    #[error("broke the connection off before it answered; try again, or use another node")]
    BrokenOff,
    /// Its certificate has a key that its address does not name.
    #[error(
        "shows a certificate with the key {0}, which its address does not name: ask its operator, by another way than this one, whether that is its new key, and write it into the address; if not, somebody is on the way"
    )]
    WrongKey(Digest),
    /// Nobody whom the system trusts vouches for its certificate.
    #[error(
        "shows a certificate that is not to be trusted here ({0}); ask its operator to renew it, or for the key to name in its address (#sha256=...)"
    )]
    Certificate(String),
    /// It speaks something else.
    #[error(
        "does not speak TLS 1.3 with X25519MLKEM768, as nodes do ({0}); check the address, or use another node"
    )]
    NoTls(String),
    /// No answer in time.
    #[error("did not answer in time; use another node")]
    TimedOut,
    /// It said why not.
    #[error("refused: {message} ({code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The node's code for programs.
        code: String,
        /// What happened and what to do next, in the node's words.
        message: String,
    },
    /// Not an answer of a node.
    #[error("sent something that is no answer of a node (status {status}); check the address")]
    Garbled {
        /// HTTP status.
        status: u16,
    },
    /// More than such an answer may have.
    #[error("sent more than the {max} bytes that such an answer may have; use another node")]
    TooLong {
        /// The limit.
        max: usize,
    },
}

impl NodeFault {
    /// Whether another node, or this one in a moment, may answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::BrokenOff
            | Self::WrongKey(_)
            | Self::Certificate(_)
            | Self::NoTls(_)
            | Self::TimedOut
            | Self::Garbled { .. }
            | Self::TooLong { .. } => true,
            Self::Refused { status, code, .. } => {
                matches!(status, 425 | 429 | 502 | 503 | 504) && code != "missed"
            }
        }
    }

    /// Whether this node says that it can answer in a moment.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { status: 425 | 429 | 503, .. }) && self.may_pass()
    }

    /// Whether the node says that the asker may not have it.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }

    /// Whether the node says that there is no such thing.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// An error as nodes send it.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    message: String,
}

/// What to ask a node.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Who asks; nobody where anyone may.
    pub(crate) actor: Option<&'a Actor>,
    pub(crate) body: Vec<u8>,
    pub(crate) answer_bytes_max: usize,
    pub(crate) patience: Duration,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(target: String, actor: Option<&'a Actor>, answer_bytes_max: usize) -> Self {
        let (method, body) = (Method::GET, Vec::new());
        Self { method, target, actor, body, answer_bytes_max, patience: ANSWER }
    }

    pub(crate) fn with_body(
        method: Method,
        target: String,
        actor: Option<&'a Actor>,
        body: Vec<u8>,
        answer_bytes_max: usize,
    ) -> Self {
        Self { method, target, actor, body, answer_bytes_max, patience: ANSWER }
    }
}

/// What speaks to one node or trustee.
#[derive(Clone, Debug)]
pub struct Link {
    address: Address,
    http: reqwest::Client,
}

impl Link {
    /// Gets ready to speak to whoever is at this address.
    pub fn to(url: &str) -> Result<Self, UsageError> {
        let address = Address::parse(url)?;
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        let http = address.client(builder)?;
        Ok(Self { address, http })
    }

    /// Gets a page that anyone may see, such as a node's metrics. Nothing in it is proven.
    pub async fn page(&self, target: &str, bytes_max: usize) -> Result<String, NodeFault> {
        let request = self.request(Method::GET, target);
        let answer = async { read(checked(request.send().await).await?, bytes_max).await };
        let bytes = timeout(ANSWER, answer).await.unwrap_or(Err(NodeFault::TimedOut))?;
        let garbled = NodeFault::Garbled { status: StatusCode::OK.as_u16() };
        String::from_utf8(bytes).map_err(|_| garbled)
    }

    fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{target}", self.address.base()))
    }
}

/// The nodes that a client asks, in the order in which it asks them.
#[derive(Clone, Debug)]
pub struct Nodes {
    /// What speaks to whom, by their addresses.
    links: BTreeMap<String, Link>,
    chain: ChainId,
    endpoints: Vec<Endpoint>,
    /// The newest height that was verified; nodes answer from no older state.
    seen: Arc<AtomicU64>,
}

impl Nodes {
    /// Nodes of one consortium.
    pub fn new(chain: ChainId, endpoints: Vec<Endpoint>) -> Result<Self, UsageError> {
        if endpoints.is_empty() {
            return Err(UsageError::NoNodes);
        }
        let mut nodes =
            Self { links: BTreeMap::new(), chain, endpoints: Vec::new(), seen: Arc::default() };
        endpoints.iter().try_for_each(|it| nodes.link_to(&it.url))?;
        nodes.endpoints = endpoints;
        Ok(nodes)
    }

    /// Makes what speaks to whoever is at this address.
    pub(crate) fn link_to(&mut self, url: &str) -> Result<(), UsageError> {
        if !self.links.contains_key(url) {
            self.links.insert(url.to_owned(), Link::to(url)?);
        }
        Ok(())
    }

    fn link(&self, url: &str) -> &Link {
        self.links.get(url).expect("nodes and trustees are named before they are asked")
    }

    /// From now on, asks for answers from no state older than this.
    pub(crate) fn note_seen(&self, height: Height) {
        self.seen.fetch_max(height.0, Ordering::Relaxed);
    }

    /// All, in the order in which they are asked.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// A node of this organisation.
    pub fn of(&self, organisation: OrganisationId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|it| it.organisation == organisation)
    }

    /// Asks one node, and reads its answer.
    pub(crate) async fn ask(&self, node: &Endpoint, ask: &Ask<'_>) -> Result<Vec<u8>, NodeError> {
        let error = |fault| NodeError { node: node.clone(), fault };
        let answer = async {
            let body = Bytes::from(ask.body.clone());
            let request = self.link(&node.url).request(ask.method.clone(), &ask.target);
            let mut request = self.with_seen(request);
            if let Some(actor) = ask.actor {
                let signed = self.authorization(node, actor, (&ask.method, &ask.target), &ask.body);
                request = request.header(header::AUTHORIZATION, signed);
            }
            if !body.is_empty() {
                request = request.header(header::CONTENT_TYPE, "application/cbor").body(body);
            }
            let response = checked(request.send().await).await?;
            read(response, ask.answer_bytes_max).await
        };
        timeout(ask.patience, answer).await.unwrap_or(Err(NodeFault::TimedOut)).map_err(error)
    }

    /// Streams `body` of exactly `bytes` bytes to one node, and reads its answer.
    pub(crate) async fn put_stream(
        &self,
        node: &Endpoint,
        actor: &Actor,
        target: &str,
        (body, bytes): (Body, u64),
    ) -> Result<Vec<u8>, NodeError> {
        let signed = self.authorization(node, actor, (&Method::PUT, target), &[]);
        let request = self
            .with_seen(self.link(&node.url).request(Method::PUT, target))
            .header(header::AUTHORIZATION, signed)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, bytes)
            .body(body);
        let answer = async { read(checked(request.send().await).await?, ERROR_BYTES_MAX).await };
        answer.await.map_err(|fault| NodeError { node: node.clone(), fault })
    }

    /// Asks one node for the bytes of an object from `from` on; the answer is read as it comes.
    pub(crate) async fn get_stream(
        &self,
        node: &Endpoint,
        actor: &Actor,
        target: &str,
        from: u64,
    ) -> Result<Pieces, NodeError> {
        let error = |fault| NodeError { node: node.clone(), fault };
        let signed = self.authorization(node, actor, (&Method::GET, target), &[]);
        let request = self.with_seen(self.link(&node.url).request(Method::GET, target));
        let mut request = request.header(header::AUTHORIZATION, signed);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let sent = timeout(ANSWER, request.send()).await;
        let response = match sent {
            Ok(sent) => checked(sent).await.map_err(error)?,
            Err(_) => return Err(error(NodeFault::TimedOut)),
        };
        // A node that ignores the range would be read from the wrong place.
        let expected = if from > 0 { StatusCode::PARTIAL_CONTENT } else { response.status() };
        if response.status() != expected {
            return Err(error(NodeFault::Garbled { status: response.status().as_u16() }));
        }
        Ok(Pieces { response })
    }

    /// Posts to somebody who is no node, and whom what is sent convinces by itself: a trustee.
    pub(crate) async fn post(
        &self,
        url: &str,
        target: &str,
        body: Vec<u8>,
        answer_bytes_max: usize,
    ) -> Result<Vec<u8>, NodeFault> {
        let request = self.link(url).request(Method::POST, target);
        let request = request.header(header::CONTENT_TYPE, "application/cbor").body(body);
        let answer = async { read(checked(request.send().await).await?, answer_bytes_max).await };
        timeout(ANSWER, answer).await.unwrap_or(Err(NodeFault::TimedOut))
    }

    fn with_seen(&self, request: RequestBuilder) -> RequestBuilder {
        match self.seen.load(Ordering::Relaxed) {
            0 => request,
            height => request.header(SEEN, height),
        }
    }

    fn authorization(
        &self,
        node: &Endpoint,
        actor: &Actor,
        (method, target): (&Method, &str),
        body: &[u8],
    ) -> String {
        let mut id = [0; CommandId::LEN];
        rng().fill_bytes(&mut id);
        let target = Text::from_string(format!("{method} {target}"))
            .expect("targets are made here, of identifiers and numbers, and are far shorter");
        let request = Request {
            chain: self.chain,
            node: node.organisation,
            party: actor.party(),
            id: CommandId(id),
            at: now(),
            target,
            body: body_digest(body),
        };
        let signed = keepwell_types::encode(&sign(actor.key(), request));
        format!("Keepwell {}", URL_SAFE_NO_PAD.encode(signed))
    }
}

/// The body of an answer, as it comes.
pub(crate) struct Pieces {
    response: Response,
}

impl Pieces {
    /// The next piece; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, NodeFault> {
        match timeout(STALL, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(fault_of(&error)),
            Err(_) => Err(NodeFault::TimedOut),
        }
    }
}

/// The response, if it is a good one; else what the node said.
async fn checked(sent: Result<Response, reqwest::Error>) -> Result<Response, NodeFault> {
    let response = sent.map_err(|error| fault_of(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let garbled = NodeFault::Garbled { status: status.as_u16() };
    let Ok(bytes) = read(response, ERROR_BYTES_MAX).await else { return Err(garbled) };
    Err(refusal(status.as_u16(), &bytes).unwrap_or(garbled))
}

fn refusal(status: u16, bytes: &[u8]) -> Option<NodeFault> {
    let refusal: Refusal = serde_json::from_slice(bytes).ok()?;
    // A node's words go to a person's terminal: nothing in them may steer it.
    let clean = |text: String| text.chars().filter(|it| !it.is_control()).collect();
    Some(NodeFault::Refused { status, code: clean(refusal.error), message: clean(refusal.message) })
}

async fn read(response: Response, max: usize) -> Result<Vec<u8>, NodeFault> {
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| fault_of(&error))?;
        if bytes.len() + piece.len() > max {
            return Err(NodeFault::TooLong { max });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn fault_of(error: &reqwest::Error) -> NodeFault {
    if let Some(fault) = TlsFault::of(error) {
        return match fault {
            TlsFault::WrongKey(given) => NodeFault::WrongKey(given),
            TlsFault::Certificate(reason) => NodeFault::Certificate(reason),
            TlsFault::Other(reason) => NodeFault::NoTls(reason),
        };
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => NodeFault::TimedOut,
        (false, true) => NodeFault::Unreachable,
        (false, false) => NodeFault::BrokenOff,
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use keepwell_node::{
        api::server,
        tls::{Certificate, make, read_certificate},
    };
    use tokio::{net::TcpListener, sync::watch};

    use super::*;

    /// Asks whoever is at this address.
    async fn ask(url: String) -> Result<Vec<u8>, NodeFault> {
        let node = Endpoint { organisation: OrganisationId([1; 16]), url };
        let nodes = Nodes::new(ChainId([2; 32]), vec![node.clone()]).unwrap();
        let ask = Ask::get("/".to_owned(), None, 16);
        nodes.ask(&node, &ask).await.map_err(|error| error.fault)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_has_another_key_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        // The name in the certificate is not the one that is asked for: the key counts.
        let [own, other] = ["own", "other"]
            .map(|it| make(&folder.path().join(it), &["node.example.org".to_owned()]).unwrap());
        let certificate = Certificate::open(&own).unwrap();
        let (stop, stopping) = watch::channel(false);
        let serve = async |tls| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().route("/", get(async || "here"));
            tokio::spawn(server::serve(listener, tls, router, stopping.clone()));
            address
        };
        let (secure, plain) = (serve(Some(certificate.acceptor())).await, serve(None).await);
        let named = |at, files: &keepwell_node::config::TlsConfig| {
            let (shown, _) = read_certificate(&files.certificate).unwrap();
            Address::with_certificate(at, &shown).unwrap()
        };
        let (right, wrong) = (named(secure, &own), named(secure, &other));
        let given: Digest = right.split_once("sha256=").unwrap().1.parse().unwrap();

        assert_eq!(ask(right.clone()).await.unwrap(), b"here");
        let key = wrong.split_once("sha256=").unwrap().1;
        assert_eq!(ask(format!("{right},{key}")).await.unwrap(), b"here", "one that will follow");
        assert_eq!(ask(wrong).await, Err(NodeFault::WrongKey(given)));
        assert_eq!(ask(format!("http://{plain}")).await.unwrap(), b"here");

        let unknown = ask(format!("https://{secure}")).await.unwrap_err();
        assert!(matches!(unknown, NodeFault::Certificate(_)), "{unknown}");
        let no_tls = ask(named(plain, &own)).await.unwrap_err();
        assert!(matches!(no_tls, NodeFault::NoTls(_)), "{no_tls}");
        let told = ask(format!("http://{secure}")).await.unwrap_err();
        assert!(matches!(&told, NodeFault::Refused { code, .. } if code == "tls_only"), "{told}");
        stop.send_replace(true);
    }

    #[test]
    fn what_a_node_says_cannot_steer_a_terminal() {
        let body = br#"{"error":"busy","fault":"node","message":"try \u001b[2Jagain\n"}"#;
        let fault = refusal(429, body).unwrap();
        assert!(fault.may_pass());
        assert_eq!(fault.to_string(), "refused: try [2Jagain (busy)");
        assert_eq!(refusal(500, b"<html>"), None);
    }
}
