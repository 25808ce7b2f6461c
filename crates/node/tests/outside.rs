//! Attackers from outside: whoever reaches a node's interface for clients and is nobody there.
//!
//! One consortium serves all of it, one node with TLS and the others without: a node takes seconds to start.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use common::consortium::{Consortium, error_of, run};
use keepwell_node::{
    api::{
        Description,
        visitors::{ADDRESS_REQUESTS_MAX, ADDRESS_REQUESTS_PER_S},
    },
    config::TlsConfig,
    run::RunningNode,
    tls,
};
use reqwest::{Method, StatusCode};
use rustls::{
    ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, aws_lc_rs::kx_group},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use utoipa::OpenApi as _;

const HOSPITAL: usize = 0;
const CLINIC: usize = 1;

/// What anyone may ask: how the node is, what it starts from, and what proves itself: the newest header, and the
/// hand-overs to those who certify it.
/// A command carries its own signatures.
const PUBLIC: [(&str, &str); 8] = [
    ("get", "/metrics"),
    ("get", "/v1/genesis"),
    ("get", "/v1/handovers"),
    ("get", "/v1/health"),
    ("get", "/v1/openapi.json"),
    ("get", "/v1/ready"),
    ("get", "/v1/tip"),
    ("post", "/v1/commands"),
];

#[test]
fn nobody_gets_more_than_what_is_public() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), async |context| {
        let mut consortium = Consortium::start(context, folder.path()).await;
        consortium.abort(HOSPITAL).await;
        let files = tls::make(&folder.path().join("tls"), &["localhost".to_owned()]).unwrap();
        let config = {
            let mut config = consortium.config(HOSPITAL);
            config.tls = Some(files.clone());
            config
        };
        let hospital = consortium.try_start_with(config).await.unwrap();
        tls_is_new_enough(&hospital, &files).await;
        a_renewed_certificate_is_shown(&hospital, &files, folder.path()).await;
        plain_http_is_told_to_use_tls(hospital.addresses.clients).await;

        every_path_wants_an_identity(&consortium).await;
        odd_requests_are_refused(&consortium).await;
        nothing_is_unpacked(&consortium).await;
        slow_ones_are_given_up(hospital.addresses.clients, address(&consortium)).await;
        what_is_watched_is_counted(&consortium).await;
        // Last: it uses up what an address may ask.
        who_asks_too_fast_is_told_so(address(&consortium)).await;
        hospital.stop().await;
        consortium.stop().await;
    });
}

fn address(consortium: &Consortium) -> SocketAddr {
    consortium.urls[CLINIC].trim_start_matches("http://").parse().unwrap()
}

/// A client that speaks these versions and groups, and takes any certificate.
fn connector(
    versions: &[&'static SupportedProtocolVersion],
    groups: &[&'static dyn SupportedKxGroup],
) -> TlsConnector {
    let provider =
        Arc::new(CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Looks at no certificate: these tests are about what comes before.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn tls_is_new_enough(node: &RunningNode, files: &TlsConfig) {
    let hybrid: &[_] = &[kx_group::X25519MLKEM768];
    let first: &[_] = &[kx_group::X25519MLKEM768, kx_group::X25519];
    let last: &[_] = &[kx_group::X25519, kx_group::X25519MLKEM768];
    let classic: &[_] = &[kx_group::X25519];
    let other: &[_] = &[kx_group::SECP256R1];
    for (versions, groups, expected) in [
        (&[&TLS13][..], hybrid, Some(NamedGroup::X25519MLKEM768)),
        (&[&TLS13], first, Some(NamedGroup::X25519MLKEM768)),
        (&[&TLS13, &TLS12], first, Some(NamedGroup::X25519MLKEM768)),
        // Whoever shows a share of the classic one first gets that: it is theirs to choose.
        (&[&TLS13], last, Some(NamedGroup::X25519)),
        (&[&TLS13], classic, Some(NamedGroup::X25519)),
        (&[&TLS13], other, None),
        (&[&TLS12], classic, None),
    ] {
        let stream = TcpStream::connect(node.addresses.clients).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let spoken = connector(versions, groups).connect(name, stream).await;
        let group = spoken.as_ref().ok().and_then(|stream| {
            stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name())
        });
        assert_eq!(group, expected, "{versions:?} {groups:?}: {:?}", spoken.err());
    }

    // Whoever trusts the certificate gets an answer.
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(node.addresses.clients).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let answer =
        exchange(&mut stream, b"GET /v1/health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

async fn a_renewed_certificate_is_shown(
    node: &RunningNode,
    files: &TlsConfig,
    folder: &std::path::Path,
) {
    let shown = async || {
        let stream = TcpStream::connect(node.addresses.clients).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = connector(&[&TLS13], &[kx_group::X25519MLKEM768]);
        let stream = connector.connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = shown().await;
    let new = tls::make(&folder.join("new"), &["localhost".to_owned()]).unwrap();
    std::fs::copy(&new.certificate, &files.certificate).unwrap();
    std::fs::copy(&new.key, &files.key).unwrap();
    assert!(node.certificate.as_ref().unwrap().reload().unwrap());
    assert_ne!(shown().await, before);
}

async fn plain_http_is_told_to_use_tls(address: SocketAddr) {
    let answer = reqwest::get(format!("http://{address}/v1/health")).await.unwrap();
    assert_eq!(error_of(answer).await, (400, "tls_only".to_owned()));
}

/// The dashboard and the alerts that operators are given name metrics that a node has, and runbooks that exist.
async fn what_is_watched_is_counted(consortium: &Consortium) {
    const DASHBOARD: &str = include_str!("../../../packaging/monitoring/grafana-dashboard.json");
    const RULES: &str = include_str!("../../../packaging/monitoring/prometheus-rules.yml");
    let page = consortium.open_page(CLINIC, "/metrics").await.text().await.unwrap();
    serde_json::from_str::<serde_json::Value>(DASHBOARD).unwrap();
    let mut seen = 0;
    for word in [DASHBOARD, RULES].concat().split(|it: char| it != '_' && !it.is_ascii_lowercase())
    {
        if !word.starts_with("keepwell_") {
            continue;
        }
        let suffixes = ["_total", "_bucket", "_count", "_sum"];
        let name = suffixes.into_iter().find_map(|it| word.strip_suffix(it)).unwrap_or(word);
        assert!(page.contains(&format!("# TYPE {name} ")), "a node has no metric {word}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
    let number = |name: &str| -> u64 {
        let begins = format!("{name} ");
        let line = page.lines().find_map(|it| it.strip_prefix(begins.as_str()));
        line.unwrap().parse().unwrap()
    };
    assert_eq!(number("keepwell_validators"), 4);
    // All four share a runtime and its metrics; the one that began anew may still be on its way back.
    assert!((2..=3).contains(&number("keepwell_peers_connected")), "{page}");
    assert!(number("keepwell_disk_free_bytes") > 0);
    assert_eq!(number("keepwell_certificate_ends_seconds"), 0);
    let runbooks = RULES.lines().filter_map(|it| it.trim().strip_prefix("runbook: "));
    let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for runbook in runbooks {
        assert!(home.join(runbook).is_file(), "there is no {runbook}");
    }
}

/// Every path of the interface's own description either is public or wants a signature, before it looks at
/// anything else; and no path is public that is not in the list.
async fn every_path_wants_an_identity(consortium: &Consortium) {
    let description = serde_json::to_value(Description::openapi()).unwrap();
    let mut public = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            if PUBLIC.contains(&(method, path)) {
                public.push((method.clone(), path.clone()));
                continue;
            }
            nobody_is_answered(consortium, method, &filled(path, None), &[]).await;
            for odd in ["00", "%00", "..%2f..", "%f0%9f%92%8a", "{chart}"] {
                let path = filled(path, Some(odd));
                // Some look at the path's form first, which says nothing of what is there.
                nobody_is_answered(consortium, method, &path, &["malformed"]).await;
            }
        }
    }
    assert_eq!(public.len(), PUBLIC.len(), "a public path is not in the description");
}

/// The path, with this in the place of each parameter, or with something of the right form.
fn filled(template: &str, odd: Option<&str>) -> String {
    let (short, long) = ("0".repeat(32), "0".repeat(64));
    let right = |name: &str| match name {
        "height" | "index" | "position" | "version" => "1".to_owned(),
        "chart" | "record" | "digest" => long.clone(),
        _ => short.clone(),
    };
    let segments = template.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(name) => odd.map_or_else(|| right(name.trim_end_matches('}')), str::to_owned),
        None => segment.to_owned(),
    });
    let path = segments.collect::<Vec<_>>().join("/");
    if template.contains("/sealed") { path + "?kind=sheet" } else { path }
}

async fn nobody_is_answered(consortium: &Consortium, method: &str, path: &str, also: &[&str]) {
    let method: Method = method.to_uppercase().parse().unwrap();
    let refused = |answer: (u16, String), expected: &str| {
        let is_malformed = answer.0 == 400 && also.contains(&answer.1.as_str());
        let is_refused = answer == (401, expected.to_owned()) || is_malformed;
        assert!(is_refused, "{method} {path}: {answer:?}");
    };
    let unsigned = reqwest::Client::new()
        .request(method.clone(), format!("{}{path}", consortium.urls[CLINIC]))
        .body("\u{0}\u{ff}{}")
        .send()
        .await
        .unwrap();
    refused(error_of(unsigned).await, "unsigned");
    for header in ["Bearer x", "Keepwell", "Keepwell !", "Keepwell AA", "Keepwell gw", "Basic eDp4"]
    {
        let answer = consortium.send(CLINIC, method.clone(), path, header.to_owned(), "x").await;
        refused(error_of(answer).await, "malformed_request");
    }
}

/// Sends bytes, and reads until the other side is done.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> String {
    // It may refuse before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn odd_requests_are_refused(consortium: &Consortium) {
    let address = address(consortium);
    let head =
        |rest: &str| format!("GET /v1/tip HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}\r\n");
    let many: String = (0..200).map(|at| format!("x-{at}: 1\r\n")).collect();
    let long = "a".repeat(200_000);
    for (name, request, expected) in [
        ("many headers", head(&many), "431"),
        ("a long header", head(&format!("x: {long}\r\n")), "431"),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "4"),
        ("a header without a name", head(": 1\r\n"), "400"),
        ("a header that is folded", head("x: 1\r\n  2\r\n"), "400"),
        ("two lengths", "POST /v1/commands HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(), "400"),
        ("a length that is none", "POST /v1/commands HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".to_owned(), "400"),
        ("a length beyond all", "POST /v1/commands HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 18446744073709551615\r\n\r\n".to_owned(), "4"),
        ("a body in a coding", "POST /v1/commands HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(), "4"),
        ("a wrong chunk", "POST /v1/commands HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(), "400"),
        ("an endless chunk", format!("POST /v1/commands HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n{long}{long}{long}{long}{long}{long}"), "413"),
        ("a zero byte in the path", "GET /v1/\0 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), "400"),
        ("another protocol", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "closed"),
        ("no protocol", "\u{1}\u{2}\u{3}\u{4}\r\n\r\n".to_owned(), "400"),
        ("no path", "GET  HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("an unknown method", "BREW /v1/tip HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(), "405"),
        ("a path that is none", "GET /v1/../../etc/passwd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(), "404"),
        ("a height that is none", head("keepwell-seen: -1\r\n"), "400"),
        ("a height beyond all", head("keepwell-seen: 18446744073709551615\r\n"), "503"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = exchange(&mut stream, request.as_bytes()).await;
        let status = answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 "));
        let status = if answer.is_empty() { Some("closed") } else { status };
        assert!(status.is_some_and(|it| it.starts_with(expected)), "{name}: {answer:?}");
    }
    for body in
        [&b""[..], b"\0", b"\xff\xff\xff\xff", b"\x9f\x9f\x9f\x9f", b"{\"a\":1}", &[0x81; 4_096]]
    {
        let answer = consortium.post_command(CLINIC, body.to_vec()).await;
        assert_eq!(error_of(answer).await.0, 400, "{body:?}");
    }
}

/// No body that is sent is unpacked, so none can be a bomb, and none that is answered is packed, so that its
/// length gives nothing away.
async fn nothing_is_unpacked(consortium: &Consortium) {
    // 1 MiB of zeros as gzip has it.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xec; 1_000]].concat();
    let http = reqwest::Client::new();
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let sent = http
            .post(format!("{}/v1/commands", consortium.urls[CLINIC]))
            .header("content-encoding", coding)
            .body(bomb.clone());
        let answer = error_of(sent.send().await.unwrap()).await;
        assert_eq!(answer, (400, "malformed".to_owned()), "{coding}");
        let asked = http
            .get(format!("{}/v1/openapi.json", consortium.urls[CLINIC]))
            .header("accept-encoding", coding);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("content-encoding"), "{coding}");
    }
}

/// Longest that someone may hold a connection without a request.
const PATIENCE: Duration = Duration::from_secs(22);

async fn slow_ones_are_given_up(with_tls: SocketAddr, plain: SocketAddr) {
    let head = b"POST /v1/commands HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
    tokio::join!(
        drip("silent", plain, b""),
        drip("slow with its headers", plain, b"GET /v1/tip HTTP/1.1\r\nhost: a\r\nx: "),
        drip("slow with its body", plain, head),
        drip("silent before TLS", with_tls, b""),
        // The beginning of a record of TLS that never ends.
        drip("slow with TLS", with_tls, b"\x16\x03\x01\x10\x00"),
    );
}

/// Sends a byte a second, and sees that it is not let go on for ever.
async fn drip(name: &'static str, to: SocketAddr, begin: &[u8]) {
    let begun = Instant::now();
    let (mut reads, mut writes) = TcpStream::connect(to).await.unwrap().into_split();
    writes.write_all(begin).await.unwrap();
    let writer = tokio::spawn(async move {
        while name_is_silent(name) || writes.write_all(b"a").await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, reads.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    writer.abort();
    assert!(ended.is_ok(), "{name}: held for {:?}: {answer}", begun.elapsed());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{name}: {answer}");
}

fn name_is_silent(name: &str) -> bool {
    name.starts_with("silent")
}

async fn who_asks_too_fast_is_told_so(to: SocketAddr) {
    const REQUESTS: usize = 12_000;
    let begun = Instant::now();
    let ask = "GET /v1/health HTTP/1.1\r\nhost: a\r\n\r\n";
    let last = "GET /v1/health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (mut reads, mut writes) = TcpStream::connect(to).await.unwrap().into_split();
    let writer = tokio::spawn(async move {
        let all = ask.repeat(REQUESTS - 1) + last;
        writes.write_all(all.as_bytes()).await.unwrap();
        // Given back, not dropped: whoever says that nothing more comes is not answered any more.
        writes
    });
    let mut answers = String::new();
    timeout(Duration::from_secs(60), reads.read_to_string(&mut answers)).await.unwrap().unwrap();
    drop(writer.await.unwrap());
    let (good, slower) =
        (answers.matches("HTTP/1.1 200 ").count(), answers.matches("too_many_here").count());
    assert_eq!(good + slower, REQUESTS);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let most = ADDRESS_REQUESTS_MAX as usize + seconds * ADDRESS_REQUESTS_PER_S as usize;
    assert!(good <= most, "{good} of {REQUESTS} were answered in {seconds} s");
}
