//! TLS to nodes and trustees: version 1.3 with X25519MLKEM768 and nothing less, and whose key is at the other end.
//!
//! An address may name the key of whoever is there:
//!
//! ```text
//! https://node.example.org:7441#sha256=KEY[,KEY]...    the other end shows a certificate with this key
//! https://node.example.org:7441                        ... that an authority of the system vouches for
//! http://127.0.0.1:7441                                this computer: no TLS
//!
//! KEY = 64 hexadecimal digits: SHA-256 of the certificate's SubjectPublicKeyInfo (as RFC 7469, section 2.4)
//! ```
//!
//! # Invariants
//!
//! * Where an address names keys, they alone count: no authority can vouch for another one, and neither the
//!   name nor the dates in the certificate say anything. The holder of the key has signed the handshake.
//! * What is behind `#` is never sent.
//! * Whoever is on the way, answers are checked against the genesis file, and requests are good for one node
//!   and one answer. TLS hides who asks for what.
//!
//! Not here: which certificate a node shows (`keepwell_node::tls`).

use std::{error::Error, fmt, io, net::IpAddr, sync::Arc};

use keepwell_types::id::Digest;
use reqwest::Url;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    version::TLS13,
};
use rustls_platform_verifier::Verifier;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::error::UsageError;

/// Begins the keys of an address.
const KEYS: &str = "sha256=";
/// Keys of one address: the one of today, and those that will follow it.
const KEYS_MAX: usize = 4;

/// Where a node or a trustee is reached, and how it is known to be it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// `scheme://host:port`.
    base: String,
    trust: Trust,
}

/// Who may be at the other end.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Trust {
    /// This computer.
    Loopback,
    /// The holder of one of these keys.
    Keys(Vec<Digest>),
    /// Whoever an authority of the system vouches for.
    Authorities,
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, UsageError> {
        let wrong = || UsageError::Address { url: text.to_owned() };
        // What a URL's parser passes over, a person comparing two addresses does not see.
        if text.chars().any(|it| it.is_whitespace() || it.is_control()) {
            return Err(wrong());
        }
        let mut url = Url::parse(text).map_err(|_| wrong())?;
        let has_more = url.path() != "/" || url.query().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        let host = url.host_str().ok_or_else(wrong)?;
        let trust = match (url.scheme(), url.fragment()) {
            ("http", None) if is_loopback(host) => Trust::Loopback,
            ("http", None) => return Err(UsageError::NotLoopback { url: text.to_owned() }),
            ("https", None) => Trust::Authorities,
            ("https", Some(keys)) => Trust::Keys(read_keys(keys).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        url.set_fragment(None);
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), trust })
    }

    /// The address at which whoever shows `certificate` is reached.
    pub fn with_certificate(
        host: impl fmt::Display,
        certificate: &[u8],
    ) -> Result<String, KeyFault> {
        Ok(format!("https://{host}#{KEYS}{}", key_of(certificate)?))
    }

    /// Whether the other end must show a certificate.
    pub fn is_tls(&self) -> bool {
        match &self.trust {
            Trust::Loopback => false,
            Trust::Keys(_) | Trust::Authorities => true,
        }
    }

    /// `scheme://host:port`.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What speaks HTTP to it, and to nobody else.
    pub(crate) fn client(
        &self,
        builder: reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, UsageError> {
        let provider = provider();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .dangerous();
        let config = match &self.trust {
            Trust::Authorities => {
                let verifier = Verifier::new(provider)
                    .map_err(|error| UsageError::NoAuthorities { reason: error.to_string() })?;
                config.with_custom_certificate_verifier(Arc::new(verifier))
            }
            Trust::Keys(keys) => {
                let verifier = Pinned { keys: keys.clone(), provider };
                config.with_custom_certificate_verifier(Arc::new(verifier))
            }
            // Nobody's certificate would do, and none is asked for.
            Trust::Loopback => {
                let verifier = Pinned { keys: Vec::new(), provider };
                config.with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let builder = builder.https_only(self.is_tls()).no_proxy();
        let client = builder.tls_backend_preconfigured(config.with_no_client_auth()).build();
        Ok(client.expect("a client whose TLS is made needs nothing from the system"))
    }
}

fn read_keys(text: &str) -> Option<Vec<Digest>> {
    let keys: Option<Vec<Digest>> =
        text.strip_prefix(KEYS)?.split(',').map(|key| key.parse().ok()).collect();
    keys.filter(|keys| keys.len() <= KEYS_MAX)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

/// TLS 1.3 that no quantum computer undoes later. Every node has it.
fn provider() -> Arc<CryptoProvider> {
    let groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    Arc::new(CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() })
}

/// A certificate from which no key can be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the certificate's key cannot be read ({reason})")]
pub struct KeyFault {
    /// Why not.
    pub reason: String,
}

/// The digest of a certificate's key, as addresses name it.
pub fn key_of(certificate: &[u8]) -> Result<Digest, KeyFault> {
    let certificate = CertificateDer::from(certificate);
    let parsed = ParsedCertificate::try_from(&certificate)
        .map_err(|error| KeyFault { reason: error.to_string() })?;
    Ok(Digest(Sha256::digest(parsed.subject_public_key_info()).into()))
}

/// A key that an address does not name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the certificate's key is {0}")]
struct WrongKey(Digest);

/// Trusts the holders of some keys, and nobody else.
#[derive(Debug)]
struct Pinned {
    keys: Vec<Digest>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = key_of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        if self.keys.contains(&key) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(WrongKey(key)))).into())
    }

    /// Version 1.3 alone is spoken, so nobody asks.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why the two did not come to speak TLS with each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TlsFault {
    /// The other end has another key than its address names.
    WrongKey(Digest),
    /// No authority vouches for it, or not any more, or under another name.
    Certificate(String),
    /// The other end speaks something else.
    Other(String),
}

impl TlsFault {
    /// What TLS had to say about an error, if it was that.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = tls_error(error) {
                return Some(Self::of_tls(error));
            }
            cause = error.source();
        }
        None
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(refused) = error else {
            return Self::Other(error.to_string());
        };
        if let CertificateError::Other(OtherError(other)) = refused
            && let Some(WrongKey(given)) = other.downcast_ref()
        {
            return Self::WrongKey(*given);
        }
        Self::Certificate(refused.to_string())
    }
}

/// The error of TLS that `error` is, or that an error of IO carries.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(error);
    }
    let inner: &(dyn Error + 'static) = error.downcast_ref::<io::Error>()?.get_ref()?;
    tls_error(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";

    #[test]
    fn addresses_say_whom_to_trust() {
        let pinned = format!("https://node.example.org:7441#sha256={KEY}");
        let two = format!("https://192.0.2.1:7441#sha256={KEY},{KEY}");
        let five = format!("{two},{KEY},{KEY},{KEY}");
        let short = pinned.trim_end_matches('1');
        for (url, name) in [
            ("http://127.0.0.1:7700", "loopback"),
            ("http://127.9.8.7", "loopback"),
            ("http://[::1]:7700/", "loopback"),
            ("http://localhost:1", "loopback"),
            ("http://10.0.0.1:7700", "not_loopback"),
            ("http://localhost.example:7700", "not_loopback"),
            ("http://127.0.0.1.example:7700", "not_loopback"),
            ("https://node.example.org:7441", "authorities"),
            (&pinned, "keys 1"),
            (&two, "keys 2"),
            (&five, "address"),
            (short, "address"),
            ("https://192.0.2.1:7441#", "address"),
            ("https://192.0.2.1:7441#md5=1", "address"),
            // A key on loopback without TLS would be a check that checks nothing.
            ("http://127.0.0.1:7441#sha256=", "address"),
            ("https://name:word@192.0.2.1:7441", "address"),
            ("http://127.0.0.1:7700/v1", "address"),
            ("https://127.0.0.1:7700/?a", "address"),
            ("ftp://127.0.0.1:7700", "address"),
            ("127.0.0.1:7700", "address"),
            ("ht\ttp://127.0.0.1:7700", "address"),
            ("https://192.0.2.1:7441\n", "address"),
            ("", "address"),
        ] {
            let given = match Address::parse(url) {
                Ok(Address { trust: Trust::Loopback, .. }) => "loopback".to_owned(),
                Ok(Address { trust: Trust::Authorities, .. }) => "authorities".to_owned(),
                Ok(Address { trust: Trust::Keys(keys), .. }) => format!("keys {}", keys.len()),
                Err(UsageError::NotLoopback { .. }) => "not_loopback".to_owned(),
                Err(_) => "address".to_owned(),
            };
            assert_eq!(given, name, "{url}");
        }
    }

    #[test]
    fn the_keys_are_never_sent() {
        let address = Address::parse(&format!("https://192.0.2.1:7441/#sha256={KEY}")).unwrap();
        assert_eq!(address.base(), "https://192.0.2.1:7441");
    }
}
