//! TLS of the interface for clients: version 1.3 alone, with a key exchange that a quantum computer of
//! later does not undo.
//!
//! # Invariants
//!
//! * Nobody is spoken to in an older version. X25519MLKEM768 comes first; plain X25519 is left for tools
//!   that do not know it, and a client of ours never falls back to it.
//! * A certificate's key is read only from a file that nobody else on the machine can read.
//! * A certificate that was renewed is shown from the next minute on, without a restart. Files that do not
//!   fit together change nothing.
//! * Nothing of the ledger hangs on a certificate: what a node answers is proven, and what it is asked is
//!   signed, whoever is on the way.
//!
//! Not here: which certificates a client trusts (`keepwell_client::tls`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use keepwell_types::time::BlockTime;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use thiserror::Error;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

use crate::{
    clock::Clock,
    config::TlsConfig,
    folder::{create_private, is_private},
};

/// Bytes of a file with certificates or with a key.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(60);
/// Before the end of a certificate, its operator is warned.
pub const WARNING_MS: u64 = 14 * 24 * 60 * 60 * 1_000;
/// How long a certificate that is made here holds. Its key is what clients trust, not its dates.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks differ.
const SKEW: Duration = Duration::from_secs(24 * 60 * 60);
/// The names of a certificate's files, in a folder that is made here.
pub const CERTIFICATE_FILE: &str = "certificate.pem";
/// See [`CERTIFICATE_FILE`].
pub const KEY_FILE: &str = "key.pem";

/// A certificate that cannot be used, and what its operator does about it.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The system refused.
    #[error("{path}: {source}; check that it is there and that the node's user may read it")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Longer than any such file.
    #[error("{path} has {len} bytes, more than {max}; is it the right file?")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// Others can read the key.
    #[error("{path} can be read by others on this machine; make it its user's alone (chmod 600)")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not a certificate.
    #[error(
        "{path} holds no certificate in PEM that can be used ({reason}); is it the right file?"
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Not a key.
    #[error(
        "{path} holds no private key in PEM that can be used ({reason}); is it the right file?"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The two are not of each other.
    #[error(
        "the key in {key} is not that of the certificate in {certificate}; name files that belong together"
    )]
    Apart {
        /// Of the certificate.
        certificate: PathBuf,
        /// Of the key.
        key: PathBuf,
    },
    /// Names that no certificate has.
    #[error("a certificate for {names:?} cannot be made ({reason}); name hosts or addresses")]
    Names {
        /// What was asked for.
        names: Vec<String>,
        /// Why not.
        reason: String,
    },
}

/// The certificate that a service shows, as its files have it.
#[derive(Debug)]
pub struct Certificate {
    files: TlsConfig,
    current: RwLock<Shown>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    ends: BlockTime,
}

impl Certificate {
    /// Reads a certificate and its key.
    pub fn open(files: &TlsConfig) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Shown::read(files)?);
        Ok(Arc::new(Self { files: files.clone(), current }))
    }

    /// The certificate itself, without its authorities.
    pub fn der(&self) -> CertificateDer<'static> {
        self.shown().key.cert[0].clone()
    }

    /// When it ends.
    pub fn ends(&self) -> BlockTime {
        self.shown().ends
    }

    /// What speaks TLS with it.
    pub fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has suites of TLS 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Reads the files again; whether there is another certificate now.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let new = Shown::read(&self.files)?;
        if new.key.cert == self.shown().key.cert {
            return Ok(false);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// Looks at the files every minute, for ever, and warns while the certificate is about to end.
    pub async fn keep(self: Arc<Self>) {
        let mut warned = None;
        loop {
            let ends = self.ends();
            if ends_soon(ends) && warned != Some(ends) {
                let file = self.files.certificate.display();
                tracing::warn!(%file, "the certificate for clients ends within two weeks, or has ended; renew it");
                warned = Some(ends);
            }
            sleep(LOOK).await;
            match self.reload() {
                Ok(true) => tracing::info!("the certificate for clients was renewed"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the certificate for clients stays as it was"),
            }
        }
    }

    fn shown(&self) -> Shown {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }
}

impl Shown {
    fn read(files: &TlsConfig) -> Result<Self, TlsError> {
        let chain = read_chain(&files.certificate)?;
        let ends = end(&chain[0]).map_err(|reason| {
            let path = files.certificate.clone();
            TlsError::Certificate { path, reason }
        })?;
        let refused = |reason| TlsError::Key { path: files.key.clone(), reason };
        let pem = Zeroizing::new(read(&files.key, true)?);
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|it| refused(it.to_string()))?;
        let key = aws_lc_rs::sign::any_supported_type(&key);
        let key = CertifiedKey::new(chain, key.map_err(|it| refused(it.to_string()))?);
        key.keys_match().map_err(|_| {
            let TlsConfig { certificate, key } = files.clone();
            TlsError::Apart { certificate, key }
        })?;
        Ok(Self { key: Arc::new(key), ends })
    }
}

/// The first certificate of a file, and when it ends.
pub fn read_certificate(path: &Path) -> Result<(CertificateDer<'static>, BlockTime), TlsError> {
    let certificate = read_chain(path)?.swap_remove(0);
    let ends = end(&certificate)
        .map_err(|reason| TlsError::Certificate { path: path.to_path_buf(), reason })?;
    Ok((certificate, ends))
}

/// Makes a key, and a certificate for these names that the key signed itself, in files of a new folder.
pub fn make(folder: &Path, names: &[String]) -> Result<TlsConfig, TlsError> {
    let refused =
        |error: rcgen::Error| TlsError::Names { names: names.to_vec(), reason: error.to_string() };
    let mut about = CertificateParams::new(names).map_err(refused)?;
    about.distinguished_name.remove(DnType::CommonName);
    about.distinguished_name.push(DnType::CommonName, "Keepwell");
    about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    (about.not_before, about.not_after) = ((now - SKEW).into(), (now + VALIDITY).into());
    let key = KeyPair::generate().map_err(refused)?;
    let certificate = about.self_signed(&key).map_err(refused)?;
    let files =
        TlsConfig { certificate: folder.join(CERTIFICATE_FILE), key: folder.join(KEY_FILE) };
    let secret = Zeroizing::new(key.serialize_pem());
    create_private(folder)
        .map_err(|source| TlsError::File { path: folder.to_path_buf(), source })?;
    write_new(&files.key, 0o600, secret.as_bytes())?;
    write_new(&files.certificate, 0o644, certificate.pem().as_bytes())?;
    Ok(files)
}

/// TLS 1.3 with the hybrid key exchange first.
fn provider() -> Arc<CryptoProvider> {
    let groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::X25519];
    Arc::new(CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() })
}

/// All certificates of a file: one, then its authorities; or authorities alone.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |reason: String| TlsError::Certificate { path: path.to_path_buf(), reason };
    let pem = read(path, false)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(refused("there is none in it".into())),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// When a certificate ends.
fn end(certificate: &CertificateDer<'_>) -> Result<BlockTime, String> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|it| it.to_string())?;
    let since_1970 = parsed.tbs_certificate().validity().not_after.to_unix_duration();
    Ok(BlockTime(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)))
}

/// Whether a certificate is about to end, or has.
pub fn ends_soon(ends: BlockTime) -> bool {
    ends.0 < Clock.now().0.saturating_add(WARNING_MS)
}

fn read(path: &Path, is_secret: bool) -> Result<Vec<u8>, TlsError> {
    let file = |source| TlsError::File { path: path.to_path_buf(), source };
    let metadata = fs::metadata(path).map_err(file)?;
    if is_secret && !is_private(path, &metadata) {
        return Err(TlsError::Exposed { path: path.to_path_buf() });
    }
    let (len, max) = (metadata.len(), FILE_BYTES_MAX);
    if len > max {
        return Err(TlsError::TooLong { path: path.to_path_buf(), len, max });
    }
    fs::read(path).map_err(file)
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), TlsError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
    .map_err(|source| TlsError::File { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_made_can_be_shown() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["node.example.org".to_owned(), "192.0.2.1".to_owned()];
        let files = make(&folder.path().join("tls"), &names).unwrap();
        let certificate = Certificate::open(&files).unwrap();
        assert_eq!(read_certificate(&files.certificate).unwrap().0, certificate.der());
        assert!(!ends_soon(certificate.ends()));
        // A key that clients trust is never written over.
        let again = make(&folder.path().join("tls"), &names).expect_err("there is one");
        assert!(matches!(again, TlsError::File { .. }), "{again}");
    }

    #[test]
    fn files_that_do_not_fit_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost".to_owned()];
        let [first, second] = ["a", "b"].map(|it| make(&folder.path().join(it), &names).unwrap());
        let certificate = Certificate::open(&first).unwrap();
        let shown = certificate.der();
        assert!(!certificate.reload().unwrap());

        fs::copy(&second.certificate, &first.certificate).unwrap();
        let apart = certificate.reload().expect_err("another key's certificate");
        assert!(matches!(apart, TlsError::Apart { .. }), "{apart}");
        assert_eq!(certificate.der(), shown);

        fs::copy(&second.key, &first.key).unwrap();
        assert!(certificate.reload().unwrap());
        assert_ne!(certificate.der(), shown);
    }

    #[test]
    fn each_wrong_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let good = make(&folder.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let file = |name: &str, mode: u32, bytes: &[u8]| {
            let path = folder.path().join(name);
            write_new(&path, mode, bytes).unwrap();
            path
        };
        let key = fs::read(&good.key).unwrap();
        let wrong_keys = [
            (file("open.pem", 0o640, &key), "chmod 600"),
            (file("empty.pem", 0o600, b""), "no private key"),
            (file("long.pem", 0o600, &vec![b'-'; 70_000]), "is it the right file?"),
            (folder.path().join("none.pem"), "check that it is there"),
            (file("cut.pem", 0o600, &key[..key.len() / 2]), "no private key"),
        ];
        for (key, words) in wrong_keys {
            let error = Certificate::open(&TlsConfig { key, ..good.clone() });
            let error = error.expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        let certificate = file("certificate-of-nothing.pem", 0o600, &key);
        let error = Certificate::open(&TlsConfig { certificate, ..good }).expect_err("a key");
        assert!(error.to_string().contains("no certificate"), "{error}");
        let error = make(&folder.path().join("odd"), &["ümläut".to_owned()]).expect_err("a name");
        assert!(matches!(error, TlsError::Names { .. }), "{error}");
    }
}
