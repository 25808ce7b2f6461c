//! A founded consortium whose nodes clients reach through TLS, as operators and people use it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use common::{
    Done, KEEPWELL, Pilot, Place, Process, keepwell, nodes::Node, nodes::move_out, scratch,
};

/// Adds a certificate to a node's configuration, and says where the node is reached now.
fn give_certificate(place: &Place<'_>, slug: &str) -> String {
    let dir = place.path(&format!("organisations/{slug}/tls"));
    let made = keepwell(&["certificate", "new", "--dir", &dir, "127.0.0.1"]).ok();
    let key = made.word_after("For addresses: ");
    let path = place.node_config(slug);
    let config = fs::read_to_string(&path).unwrap();
    let tls = "\n[tls]\ncertificate = \"tls/certificate.pem\"\nkey = \"tls/key.pem\"\n";
    fs::write(&path, config + tls).unwrap();
    let config = place.toml(&format!("organisations/{slug}/node.toml"));
    format!("https://{}{key}", config["listen_clients"].as_str().unwrap())
}

/// Makes a profile know one node only, at this address.
fn point_to(profile: &str, organisation: &str, url: &str) {
    let path = Path::new(profile).join("profile.toml");
    let mut toml: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let mut node = toml::Table::new();
    node.insert("organisation".into(), organisation.into());
    node.insert("url".into(), url.into());
    toml.insert("nodes".into(), vec![toml::Value::Table(node)].into());
    fs::write(path, toml.to_string()).unwrap();
}

/// An authority, a certificate of it for 127.0.0.1, and one of the same key that has ended.
fn authority(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let mut about = CertificateParams::default();
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("ca.pem"), about.self_signed(&key).unwrap().pem()).unwrap();
    let authority = Issuer::new(about, key);

    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    let mut about = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let year = |from, until| (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    for (name, (begin, end)) in
        [("certificate.pem", year(2020, 2100)), ("ended.pem", year(2019, 2020))]
    {
        (about.not_before, about.not_after) = (begin, end);
        let signed = about.signed_by(&key, &authority).unwrap();
        fs::write(folder.join(name), signed.pem()).unwrap();
    }
}

#[test]
fn people_reach_nodes_by_their_keys() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let url = give_certificate(&place, "hospital");
    let mut hospital = Node::start(&place, "hospital");
    let _others = ["clinic", "laboratory", "insurer"].map(|slug| Node::start(&place, slug));
    // What the node says is what people put into their profiles.
    assert!(
        hospital.process.said().contains(&format!("clients: {url}")),
        "{}",
        hospital.process.said()
    );

    let (officer, own) = (place.person("officer"), place.organisation("hospital"));
    let list = || keepwell(&["organisation", "list", "--as", &officer]);
    point_to(&officer, &own, &url);
    assert!(list().ok().stdout.contains("St. Brigid"));

    // Somebody on the way has another key; an older profile has no TLS at all.
    let elsewhere = keepwell(&["certificate", "new", "--dir", &place.path("elsewhere"), "a"]).ok();
    let (at, key) = url.split_once("#sha256=").unwrap();
    point_to(&officer, &own, &format!("{at}{}", elsewhere.word_after("For addresses: ")));
    list().refused(&["which its address does not name", key, "by another way"]);
    point_to(&officer, &own, at);
    list().refused(&["not to be trusted here", "ask its operator"]);
    point_to(&officer, &own, &at.replace("https", "http"));
    list().refused(&["speaks TLS 1.3", "https://"]);
    point_to(&officer, &own, "http://192.0.2.1:7441");
    list().refused(&["would travel in the open"]);

    // An authority's certificate, good at first; then one that has ended, which those who know the key go on with.
    assert!(hospital.process.interrupt().success());
    let (ca, tls) = (home.path().join("authority"), dir.join("organisations/hospital/tls"));
    authority(&ca);
    let put = |certificate: &str| {
        fs::copy(ca.join(certificate), tls.join("certificate.pem")).unwrap();
        fs::write(tls.join("key.pem"), fs::read(ca.join("key.pem")).unwrap()).unwrap();
    };
    let by_authority = || {
        let mut command = Command::new(KEEPWELL);
        command.env("SSL_CERT_FILE", ca.join("ca.pem"));
        Done::of(&mut command, &["organisation", "list", "--as", &officer])
    };
    put("certificate.pem");
    let mut hospital = Node::start(&place, "hospital");
    point_to(&officer, &own, at);
    by_authority().ok();
    let by_name = at.replace("127.0.0.1", "localhost");
    point_to(&officer, &own, &by_name);
    by_authority().refused(&["not to be trusted here", "not valid for name"]);
    point_to(&officer, &own, at);
    list().refused(&["not to be trusted here"]);
    assert!(hospital.process.interrupt().success());

    put("ended.pem");
    let shown =
        keepwell(&["certificate", "show", tls.join("certificate.pem").to_str().unwrap()]).ok();
    assert!(shown.stdout.contains("2020-01-01T00:00:00.000Z: renew it"), "{}", shown.stdout);
    let hospital = Node::start(&place, "hospital");
    by_authority().refused(&["expired", "renew"]);
    point_to(&officer, &own, &format!("{at}{}", shown.word_after("For addresses: ")));
    list().ok();
    drop(hospital);
}

#[test]
fn nothing_listens_beyond_this_computer_without_a_certificate() {
    let home = scratch();
    let dir = home.path().join("pilot");
    let mut pilot = Pilot::start(&dir);
    assert!(pilot.process.interrupt().success());
    let place = Place { dir: &dir };
    let path = place.node_config("hospital");
    let config = fs::read_to_string(&path).unwrap();
    let clients = place.toml("organisations/hospital/node.toml");
    let clients = clients["listen_clients"].as_str().unwrap();
    fs::write(&path, config.replace(clients, "0.0.0.0:0")).unwrap();
    keepwell(&["node", "--config", &path]).refused(&["no [tls]", "keepwell certificate new"]);

    let (trustee, genesis) = (place.path("trustees/advocate"), place.genesis());
    let operator = place.path("operator.key");
    let run = ["trustee", "run", "--dir", &trustee, "--genesis", &genesis];
    let run = [&run[..], &["--operator-file", &operator, "--listen", "0.0.0.0:0"]].concat();
    keepwell(&run).refused(&["there is no certificate", "keepwell certificate new"]);
    let tls = place.path("tls");
    keepwell(&["certificate", "new", "--dir", &tls, "127.0.0.1"]).ok();
    let (certificate, key) = (format!("{tls}/certificate.pem"), format!("{tls}/key.pem"));
    let with = ["--certificate", &certificate, "--certificate-key", &key];
    let mut trustee = Process::start(&[&run[..], &with].concat(), &home.path().join("trustee.log"));
    trustee.wait_for("https://0.0.0.0:");
    assert!(trustee.interrupt().success());
    keepwell(&["certificate", "new", "--dir", &tls, "127.0.0.1"]).refused(&["key.pem"]);
}
