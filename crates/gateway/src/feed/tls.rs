//! TLS of feeds: each side shows the other a certificate.
//!
//! # Invariants
//!
//! * A sender without a certificate that one of the feed's authorities has signed says not one byte to the gateway.
//!
//! TLS 1.2 is spoken too (RFC 9325): interface engines often have nothing newer.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    server::{ResolvesServerCert, WebPkiClientVerifier},
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// What cannot be trusted.
#[derive(Debug, Error)]
#[error(
    "the authorities of senders cannot be used ({0}); name a file with their certificates in PEM"
)]
pub struct AuthorityError(String);

/// What speaks TLS with a certificate, to senders whose certificates one of `authorities` has signed.
pub fn acceptor(
    certificate: Arc<dyn ResolvesServerCert>,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<TlsAcceptor, AuthorityError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|error| AuthorityError(error.to_string()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let verifier = verifier.build().map_err(|error| AuthorityError(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AuthorityError(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::{
        ClientConfig,
        pki_types::{PrivateKeyDer, ServerName},
        sign::{CertifiedKey, SingleCertAndKey},
        version::{TLS12, TLS13},
    };
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_rustls::TlsConnector;

    use super::*;

    type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

    /// An authority, and a certificate of it.
    fn authority() -> (CertificateDer<'static>, Shown) {
        let mut about = CertificateParams::default();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = about.self_signed(&key).unwrap().der().clone();
        let authority = Issuer::new(about, key);
        let key = KeyPair::generate().unwrap();
        let about = CertificateParams::new(["feed.example".to_owned()]).unwrap();
        let signed = about.signed_by(&key, &authority).unwrap().der().clone();
        (own, (signed, PrivateKeyDer::try_from(key.serialize_der()).unwrap()))
    }

    #[tokio::test]
    async fn only_senders_of_the_authorities_come_in() {
        let (own, (certificate, key)) = authority();
        let (theirs, sender) = authority();
        let (_, stranger) = authority();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let shown = CertifiedKey::new(vec![certificate], key);
        let acceptor = acceptor(Arc::new(SingleCertAndKey::from(shown)), vec![theirs]).unwrap();
        for (who, versions, comes_in) in [
            (Some(&sender), &[&TLS13][..], true),
            (Some(&sender), &[&TLS12], true),
            (Some(&stranger), &[&TLS13], false),
            (Some(&stranger), &[&TLS12], false),
            (None, &[&TLS13], false),
        ] {
            let mut roots = RootCertStore::empty();
            roots.add(own.clone()).unwrap();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots);
            let config = match who {
                Some((shown, key)) => {
                    config.with_client_auth_cert(vec![shown.clone()], key.clone_key()).unwrap()
                }
                None => config.with_no_client_auth(),
            };
            let (here, there) = duplex(64 * 1024);
            let says = async {
                let name = ServerName::try_from("feed.example").unwrap();
                let mut stream =
                    TlsConnector::from(Arc::new(config)).connect(name, here).await.ok()?;
                stream.write_all(b"x").await.ok()?;
                // What was refused is told with the first byte that is read.
                (stream.read(&mut [0]).await.ok()? == 1).then_some(())
            };
            let hears = async {
                let mut stream = acceptor.accept(there).await.ok()?;
                stream.read_exact(&mut [0]).await.ok()?;
                stream.write_all(b"y").await.ok()?;
                stream.shutdown().await.ok()
            };
            let (said, heard) = tokio::join!(says, hears);
            assert_eq!((said.is_some(), heard.is_some()), (comes_in, comes_in), "{versions:?}");
        }
        assert!(super::acceptor(acceptor_less(), Vec::new()).is_err(), "nobody could come in");
    }

    fn acceptor_less() -> Arc<dyn ResolvesServerCert> {
        let (_, (certificate, key)) = authority();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)))
    }
}
