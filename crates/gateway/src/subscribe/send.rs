//! Sending a notification: out of this network, to an address on the operator's list, and nowhere else.
//!
//! # Invariants
//!
//! * A name is asked for whenever a connection is made, and a connection is made to those of its addresses that pass
//!   alone: what a name led to before says nothing. Connections are not kept.
//! * No redirect is followed, and no proxy of the environment is used.
//! * Of an answer the status is read, and no byte of its body; nobody is shown more of it.
//!
//! Not here: which addresses pass (`keepwell_fhir::subscription::endpoint`).

use std::{net::SocketAddr, time::Duration};

use getrandom::SysRng;
use keepwell_fhir::subscription::{Subscription, endpoint::Listed};
use rand_core::{Rng as _, UnwrapErr};
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use tokio::net::lookup_host;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Why a notification was not taken, as its owner reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Untaken {
    /// Nobody is there, or not where somebody may be told.
    Unreachable,
    /// It took too long.
    Late,
    /// It says no, with this status.
    Refused(u16),
}

impl Untaken {
    /// Whether to try again is of no use.
    pub(super) const fn is_final(self) -> bool {
        match self {
            Self::Unreachable | Self::Late => false,
            // Later, too early, too many: it may pass.
            Self::Refused(status) => status < 500 && !matches!(status, 408 | 425 | 429),
        }
    }

    /// What is told of it.
    pub(super) fn says(self) -> String {
        match self {
            Self::Unreachable => {
                "its address cannot be reached, or is inside a private network".into()
            }
            Self::Late => "its address does not answer in time".into(),
            Self::Refused(status @ 300..400) => {
                format!("its address redirects (status {status}), and is followed nowhere")
            }
            Self::Refused(status) => format!("its address answers with status {status}"),
        }
    }
}

/// Sends.
#[derive(Debug)]
pub(super) struct Sender {
    /// Nothing where no host is listed.
    http: Option<reqwest::Client>,
    listed: Listed,
}

impl Sender {
    pub(super) fn new(listed: Listed) -> Self {
        let http = (!listed.is_empty()).then(|| client(&listed)).flatten();
        Self { http, listed }
    }

    /// Sends a body to the address of a subscription.
    pub(super) async fn send(&self, to: &Subscription, body: String) -> Result<(), Untaken> {
        let http = self.http.as_ref().filter(|_| self.listed.check(&to.endpoint).is_ok());
        let Some(http) = http else { return Err(Untaken::Unreachable) };
        let request = http
            .post(to.endpoint.text())
            .headers(headers_of(to))
            .timeout(Duration::from_secs(to.timeout_s.into()))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(Untaken::Refused(answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err(Untaken::Late),
            Err(_) => Err(Untaken::Unreachable),
        }
    }
}

fn client(listed: &Listed) -> Option<reqwest::Client> {
    let built = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIME)
        .dns_resolver(std::sync::Arc::new(Names(listed.clone())))
        .user_agent("keepwell-gateway")
        .build();
    built.inspect_err(|error| tracing::error!(%error, "notifications cannot be sent")).ok()
}

/// Headers that were read when the subscription came.
fn headers_of(to: &Subscription) -> HeaderMap {
    let mut all = HeaderMap::new();
    for it in &to.headers {
        let name = HeaderName::from_bytes(it.name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(&it.value)) {
            value.set_sensitive(true);
            all.insert(name, value);
        }
    }
    all.insert(CONTENT_TYPE, HeaderValue::from_static("application/fhir+json"));
    all
}

/// Says where names are, of the addresses to which something may be sent.
#[derive(Debug)]
struct Names(Listed);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let (listed, name) = (self.0.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let found: Vec<_> = match listed.knows(&name) {
                true => Vec::new(),
                false => lookup_host((name.as_str(), 0)).await?.map(|it| it.ip()).collect(),
            };
            let allowed = listed.allowed(&name, &found);
            if allowed.is_empty() {
                return Err("no address of this name may be told anything".into());
            }
            let all: Addrs = Box::new(allowed.into_iter().map(|it| SocketAddr::new(it, 0)));
            Ok(all)
        })
    }
}

/// A random UUID (RFC 9562, version 4).
pub(super) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex::encode(bytes);
    let [a, b, c, d] = [8, 12, 16, 20];
    format!(
        "{}-{}-{}-{}-{}",
        &digits[..a],
        &digits[a..b],
        &digits[b..c],
        &digits[c..d],
        &digits[d..]
    )
}

#[cfg(test)]
mod tests {
    use keepwell_fhir::subscription::endpoint::Endpoint;
    use proptest::prelude::*;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    fn listed(texts: &[&str]) -> Sender {
        Sender::new(Listed::parse(texts.iter().copied()).unwrap())
    }

    fn subscription(endpoint: &str) -> Subscription {
        let body = serde_json::json!({
            "resourceType": "Subscription", "status": "requested", "reason": "a test",
            "criteria": "urn:keepwell:SubscriptionTopic/chart-record",
            "_criteria": { "extension": [{
                "url": "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-filter-criteria",
                "valueString": "patient=Patient/1",
            }] },
            "channel": { "type": "rest-hook", "endpoint": endpoint },
        });
        Subscription::parse(body.to_string().as_bytes(), "https://g.example/fhir", 0).unwrap()
    }

    /// A name is listed, and leads inside: nothing gets there, whoever listens.
    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = subscription(&format!("https://localhost:{port}/x"));
        let sender = listed(&[&format!("localhost:{port}")]);
        assert_eq!(sender.send(&to, "{}".into()).await, Err(Untaken::Unreachable));
        let nobody = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(nobody.is_err(), "somebody came");
        // The operator says that this is where it is.
        let sender = listed(&[&format!("localhost:{port}=127.0.0.1")]);
        let here = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1];
            stream.read_exact(&mut bytes).await.unwrap();
            bytes[0]
        });
        assert_eq!(sender.send(&to, "{}".into()).await, Err(Untaken::Unreachable), "no TLS there");
        assert_eq!(here.await.unwrap(), 22, "a handshake of TLS");
    }

    #[tokio::test]
    async fn without_a_list_nothing_is_sent() {
        let to = subscription("https://hooks.example.org/x");
        assert_eq!(listed(&[]).send(&to, "{}".into()).await, Err(Untaken::Unreachable));
        let other = listed(&["other.example.org"]);
        assert_eq!(other.send(&to, "{}".into()).await, Err(Untaken::Unreachable));
    }

    proptest! {
        /// What the list was asked about is what is connected to: two readers of a URL agree wherever one accepts it.
        #[test]
        fn who_checks_and_who_connects_read_the_same_host(
            scheme in "https?",
            authority in r"[a-z0-9.:@%#?\\\[\]_-]{1,24}|[0-9]{1,3}(\.[0-9]{1,3}){0,4}|0x[0-9a-f.]{1,9}|\[[0-9a-f:.]{2,20}\]",
            rest in r"(/[a-z.%@:\\#?]{0,8})?",
        ) {
            let text = format!("{scheme}://{authority}{rest}");
            // Where the second reader finds no host, nothing is connected to.
            if let (Ok(endpoint), Ok(url)) = (Endpoint::parse(&text), reqwest::Url::parse(&text)) {
                let port = url.port_or_known_default().unwrap();
                prop_assert_eq!(endpoint.place(), (url.host_str().unwrap().to_owned(), port), "{}", text);
                prop_assert!(url.username().is_empty() && url.fragment().is_none());
            }
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (untaken, is_final) in [
            (Untaken::Unreachable, false),
            (Untaken::Late, false),
            (Untaken::Refused(503), false),
            (Untaken::Refused(429), false),
            (Untaken::Refused(302), true),
            (Untaken::Refused(401), true),
            (Untaken::Refused(410), true),
        ] {
            assert_eq!(untaken.is_final(), is_final, "{untaken:?}");
        }
    }
}
