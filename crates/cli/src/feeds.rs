//! A gateway's feeds of HL7 v2 messages: their configuration, and their listeners beside the FHIR interface.
//!
//! # Invariants
//!
//! * Beyond this computer a feed speaks TLS, and to senders alone whose certificates its authorities have signed. No
//!   setting changes that: who sends to a feed writes into charts.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use keepwell_gateway::{
    Asker, Gateway, Sight,
    feed::{self, CharacterSet, Offset, Sender, Senders, Settings},
};
use keepwell_node::{
    config::TlsConfig,
    tls::{Certificate, read_chain},
};
use keepwell_types::access::Purpose;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{failure::Failure, profile::Session};

/// Feeds of one gateway.
const FEEDS_MAX: usize = 32;

/// A feed, as it is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeedConfig {
    /// Where it listens.
    listen: SocketAddr,
    /// The profile of the member in whose name what comes is written.
    member: PathBuf,
    /// What for.
    purpose: Purpose,
    /// What clocks show where a message does not say it, such as `+0100`.
    zone: Option<String>,
    /// The character set of messages that name none, as in MSH-18.
    charset: Option<String>,
    /// Seconds that a message waits for a ledger that does not answer.
    patience_s: Option<u64>,
    /// How it speaks TLS.
    tls: Option<FeedTlsConfig>,
    /// Whose messages are taken.
    #[serde(default)]
    senders: Vec<SenderConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedTlsConfig {
    /// PEM: the certificate, then those of its authorities.
    certificate: PathBuf,
    /// PEM: its private key.
    key: PathBuf,
    /// PEM: the authorities that sign senders' certificates.
    client_ca: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderConfig {
    /// MSH-4, as it is written.
    facility: String,
    /// MSH-3, as it is written.
    application: Option<String>,
    /// Under which its own numbers stand.
    namespace: String,
}

/// A feed that can be served.
struct Feed {
    listen: SocketAddr,
    asker: Asker,
    settings: Settings,
    tls: Option<(Arc<Certificate>, PathBuf)>,
}

/// Feeds that listen and are not served yet.
pub(crate) struct Feeds(Vec<(TcpListener, Feed)>);

impl FeedConfig {
    /// With paths from the configuration's folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.member = folder.join(&self.member);
        if let Some(FeedTlsConfig { certificate, key, client_ca }) = &mut self.tls {
            for path in [certificate, key, client_ca] {
                *path = folder.join(&*path);
            }
        }
        self
    }

    /// Why it cannot be used, as far as the configuration alone tells.
    pub(crate) fn check(all: &[Self]) -> Result<(), String> {
        if all.len() > FEEDS_MAX {
            return Err(format!("{} feeds are more than {FEEDS_MAX}", all.len()));
        }
        let mut addresses = BTreeSet::new();
        for feed in all {
            let listen = feed.listen;
            if listen.port() != 0 && !addresses.insert(listen) {
                return Err(format!("two feeds listen on {listen}"));
            }
            if !listen.ip().is_loopback() && feed.tls.is_none() {
                return Err(format!(
                    "the feed on {listen} is reached by others and has no [feeds.tls]: messages would travel in the open, and anybody could send some; name certificate, key and client_ca, or listen on 127.0.0.1"
                ));
            }
            feed.settings().map_err(|reason| format!("the feed on {listen}: {reason}"))?;
        }
        Ok(())
    }

    fn settings(&self) -> Result<Settings, String> {
        let senders = self.senders.iter().cloned();
        let senders = senders.map(|SenderConfig { facility, application, namespace }| Sender {
            facility,
            application,
            namespace,
        });
        let senders = Senders::new(senders.collect()).map_err(|error| error.to_string())?;
        let zone = self.zone.as_deref().map(|text| {
            Offset::parse(&text.replacen(':', "", 1))
                .ok_or_else(|| format!("zone is {text:?}, and is an offset such as +0100"))
        });
        let charset = self.charset.as_deref().map(|text| {
            CharacterSet::named(text).ok_or_else(|| {
                format!("charset is {text:?}, and is one of UNICODE UTF-8, 8859/1, 8859/9, 8859/15 and ASCII")
            })
        });
        if self.patience_s == Some(0) {
            return Err("patience_s is 0, and is a second at least".into());
        }
        Ok(Settings {
            senders,
            undeclared: charset.transpose()?.unwrap_or(CharacterSet::Utf8),
            zone: zone.transpose()?,
            patience: self.patience_s.map_or(feed::PATIENCE, Duration::from_secs),
        })
    }

    fn open(&self) -> Result<Feed, Failure> {
        let settings = self.settings().map_err(Failure::Misused)?;
        let member = Session::open(&self.member)?;
        let asker =
            Asker { actor: member.member()?.actor(), purpose: self.purpose, sight: Sight::ALL };
        let tls = self.tls.clone().map(|FeedTlsConfig { certificate, key, client_ca }| {
            Ok::<_, Failure>((Certificate::open(&TlsConfig { certificate, key })?, client_ca))
        });
        Ok(Feed { listen: self.listen, asker, settings, tls: tls.transpose()? })
    }
}

impl Feeds {
    /// Opens what feeds need, and listens.
    pub(crate) async fn listen(configs: &[FeedConfig]) -> Result<Self, Failure> {
        let mut feeds = Vec::new();
        for config in configs {
            let feed = config.open()?;
            let listener = TcpListener::bind(feed.listen).await;
            feeds.push((listener.map_err(Failure::at(feed.listen.to_string()))?, feed));
        }
        Ok(Self(feeds))
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |it: &TcpListener| it.local_addr().map(|it| it.to_string());
        self.0.iter().filter_map(|(listener, _)| address(listener).ok()).collect()
    }

    /// Serves them until they are told to stop.
    pub(crate) fn serve(
        self,
        gateway: &Arc<Gateway>,
        stopping: &watch::Receiver<bool>,
    ) -> Result<JoinSet<()>, Failure> {
        let mut served = JoinSet::new();
        for (listener, feed) in self.0 {
            let tls = match feed.tls {
                Some((certificate, client_ca)) => {
                    let authorities = read_chain(&client_ca)?;
                    let acceptor = feed::tls::acceptor(certificate.clone(), authorities);
                    let acceptor = acceptor.map_err(|it| Failure::Misused(it.to_string()))?;
                    // It ends with the program.
                    tokio::spawn(certificate.keep());
                    Some(acceptor)
                }
                None => None,
            };
            let of = (gateway.clone(), feed.asker);
            served.spawn(feed::serve(listener, tls, of, feed.settings, stopping.clone()));
        }
        Ok(served)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = "listen = \"127.0.0.1:2575\"\nmember = \"m\"\npurpose = \"TREAT\"\n\
        senders = [{ facility = \"A\", namespace = \"https://hospital.example/v2\" }]\n";
    const TLS: &str = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";

    fn check(text: &str) -> Result<(), String> {
        let feed: FeedConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        FeedConfig::check(&[feed])
    }

    #[test]
    fn a_feed_that_cannot_be_used_says_why() {
        let open = FEED.replace("127.0.0.1", "10.0.0.7");
        let good = [FEED, "zone = \"+01:00\"\ncharset = \"8859/1\"\npatience_s = 9\n"].concat();
        for text in [FEED.to_owned(), good, [&open, TLS].concat()] {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
        for (text, words) in [
            (open, "client_ca"),
            ([FEED, "zone = \"Europe/Berlin\"\n"].concat(), "such as +0100"),
            ([FEED, "charset = \"latin\"\n"].concat(), "8859/1"),
            ([FEED, "patience_s = 0\n"].concat(), "a second at least"),
            ([FEED, "[tls]\ncertificate = \"c\"\nkey = \"k\"\n"].concat(), "client_ca"),
            (FEED.replace("https://hospital.example/v2", "hospital"), "absolute URI"),
            (FEED.replace("senders", "sender"), "unknown field"),
        ] {
            let error = check(&text).expect_err(words);
            assert!(error.contains(words), "nothing of {words:?}: {error}");
        }
        let feed: FeedConfig = toml::from_str(FEED).expect("it is good");
        let twice = FeedConfig::check(&[feed.clone(), feed]);
        assert_eq!(twice, Err("two feeds listen on 127.0.0.1:2575".into()));
    }
}
