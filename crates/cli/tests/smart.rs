//! People who sign in at a pilot's gateway: at a real OpenID provider (`oidc-provider`), for an app that sees one
//! patient. Where Chromium is (`apt-get install chromium`), an app of `fhirclient` does the same in it.
//!
//! Provider and app are installed by `npm` into the target folder; where that cannot be done, this is skipped with a
//! word.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use common::{
    Place,
    desk::{Desk, header, pilot, refused},
    installed::{self, SCRIPTS, said},
    scratch,
};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use serde_json::{Value, json};

const VERIFIER: &str = "0123456789abcdefghijklmnopqrstuvwxyz-._~ABCDE";
const SECRET: &str = "a secret: with %, + and &";
const HOSTILE: &str = "Growth <script>alert(1)</script>";
const ALL: &str = "openid fhirUser launch/patient patient/*.rs";
const CHROMIUM: &str = "/usr/bin/chromium";

/// A program of Node's that ends with the test.
struct Provider(Child);

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Provider {
    fn start(folder: &Path, port: u16, base: &str) -> Self {
        let script = folder.join("provider.mjs");
        fs::copy(Path::new(SCRIPTS).join("sign_in/provider.mjs"), &script).unwrap();
        let mut child = Command::new("node")
            .arg(script)
            .env("PORT", port.to_string())
            .env("CALLBACK", format!("{base}/auth/callback"))
            .env("SECRET", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        // It ends if nobody hears it.
        thread::spawn(move || stdout.lines().count());
        Self(child)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn people_sign_in_and_see_one_patient() {
    let Some(folder) = installed::node("sign_in.json") else { return };
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let place = Place { dir: &dir };
    let base = place.toml("gateways/hospital/gateway.toml")["base"].as_str().unwrap().to_owned();
    let (port, app_port) = (free_port(), free_port());
    configure(&dir, port, app_port);
    let _provider = Provider::start(&folder, port, &base);
    let mut desk = Desk::start(place);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = format!("http://127.0.0.1:{app_port}/");
    let patients = runtime.block_on(async {
        let patients = patients(&desk).await;
        what_is_told_is_so(&desk, &app).await;
        one_patient_is_seen(&desk, &app, &patients).await;
        what_is_narrowed_is_seen(&desk, &app, &patients).await;
        a_system_opens_an_app(&desk, &app, &patients).await;
        others_get_nothing(&desk, &app).await;
        patients
    });
    if Path::new(CHROMIUM).exists() {
        let launch = runtime.block_on(launch(&desk, &json!({ "patient": patients[0] })));
        in_chromium(&folder, &desk, app_port, &patients, &launch);
    } else {
        println!("SKIPPED: there is no {CHROMIUM}");
    }
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    for word in ["ana", "Patient/", "code="] {
        assert!(!desk.process.said().contains(word), "{}", desk.process.said());
    }
    assert!(pilot.process.interrupt().success());
}

fn configure(dir: &Path, port: u16, app_port: u16) {
    let config = dir.join("gateways/hospital/gateway.toml");
    fs::write(dir.join("gateways/hospital/login.secret"), SECRET).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    let scopes = "scopes = [\"system/*.cruds\"]\n";
    let text = text.replace(scopes, &format!("{scopes}launches = true\n"));
    let people = format!(
        r#"
[sign_in]
issuer = "http://127.0.0.1:{port}"
client_id = "keepwell"
client_secret_file = "login.secret"

[[people]]
subject = "ana"
member = "../../people/physician"
purposes = ["TREAT", "HRESCH"]
fhir_user = "Practitioner/ana"

[[apps]]
id = "growth"
name = "{HOSTILE}"
redirect_uris = ["http://127.0.0.1:{app_port}/"]
scopes = ["openid", "fhirUser", "launch", "launch/patient", "patient/*.rs", "user/*.rs"]
"#
    );
    fs::write(config, text + &people).unwrap();
}

/// A browser, as far as signing in needs one: cookies by path, and redirects one by one.
#[derive(Default)]
struct Browser {
    http: Option<Client>,
    cookies: Vec<(String, String, String)>,
}

/// Where a browser came to.
struct Page {
    url: String,
    status: StatusCode,
    policy: String,
    body: String,
}

impl Page {
    /// The value of a hidden field, or where a form goes.
    fn value_after(&self, words: &str) -> String {
        let rest = self.body.split_once(words);
        let rest = rest
            .unwrap_or_else(|| panic!("{words} at {} {}: {}", self.status, self.url, self.body));
        rest.1.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    async fn send(&mut self, method: Method, url: &str, form: &[(&str, &str)]) -> Response {
        let build = || Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap_or_default());
        let sent = self.cookies.iter().filter(|it| path.starts_with(&it.1));
        let sent: Vec<_> = sent.map(|(name, _, value)| format!("{name}={value}")).collect();
        let mut request = self.http.get_or_insert_with(build).request(method.clone(), url);
        request = request.header("cookie", sent.join("; "));
        if method == Method::POST {
            request = request.form(form);
        }
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let mut parts = cookie.to_str().unwrap().split(';').map(str::trim);
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let of_path =
                |it: &str| it.to_lowercase().strip_prefix("path=").map(|_| it[5..].to_owned());
            let at = parts.find_map(of_path).unwrap_or_else(|| "/".into());
            self.cookies.retain(|it| !(it.0 == name && it.1 == at));
            self.cookies.push((name.to_owned(), at, value.to_owned()));
        }
        answer
    }

    /// Goes on until there is a page, or an address that is the app's.
    async fn go(&mut self, method: Method, url: &str, form: &[(&str, &str)], app: &str) -> Page {
        let mut answer = self.send(method, url, form).await;
        let mut at = url.to_owned();
        for _ in 0..10 {
            if !answer.status().is_redirection() {
                break;
            }
            let to = header(&answer, "location");
            let origin: String = at.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            at = if to.starts_with('/') { origin + &to } else { to };
            if at.starts_with(app) {
                let status = answer.status();
                return Page { url: at, status, policy: String::new(), body: String::new() };
            }
            answer = self.send(Method::GET, &at, &[]).await;
        }
        let policy = answer.headers().get("content-security-policy");
        let policy = policy.map_or_else(String::new, |it| it.to_str().unwrap().to_owned());
        Page { url: at, status: answer.status(), policy, body: answer.text().await.unwrap() }
    }

    /// Signs in as a person, as far as the gateway's page.
    async fn sign_in(
        &mut self,
        desk: &Desk<'_>,
        app: &str,
        name: &str,
        more: &[(&str, &str)],
    ) -> Page {
        let mut page = self.go(Method::GET, &authorize(desk, app, more), &[], app).await;
        let login = [("prompt", "login"), ("login", name), ("password", "x")];
        for form in [&login[..], &[("prompt", "consent")][..]] {
            if page.url.starts_with(&desk.base) || page.url.starts_with(app) {
                break;
            }
            let action = page.value_after("action=\"");
            page = self.go(Method::POST, &action, form, app).await;
        }
        page
    }

    /// Decides on the gateway's page.
    async fn decide(&mut self, page: &Page, app: &str, form: &[(&str, &str)]) -> Page {
        let hidden =
            ["login", "csrf"].map(|it| page.value_after(&format!("name=\"{it}\" value=\"")));
        let mut all = vec![("login", hidden[0].as_str()), ("csrf", &hidden[1])];
        all.extend(form);
        self.go(Method::POST, &page.value_after("action=\""), &all, app).await
    }
}

fn authorize(desk: &Desk<'_>, app: &str, more: &[(&str, &str)]) -> String {
    let digest = keepwell_crypto::hash::sha256(&[VERIFIER.as_bytes()]);
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest.0);
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", "growth"),
        ("redirect_uri", app),
        ("state", "of the app"),
        ("aud", &desk.base),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    pairs.extend(more);
    let pairs: Vec<_> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    format!("{}/auth/authorize?{}", desk.base, keepwell_fhir::search::form::encode(&pairs))
}

/// The value of a parameter in an address.
fn parameter(url: &str, name: &str) -> Option<String> {
    let pairs = keepwell_fhir::search::form::decode(url.split_once('?')?.1).unwrap();
    pairs.into_iter().find(|it| it.0 == name).map(|it| it.1)
}

/// What the token endpoint answers to a code.
async fn exchange(desk: &Desk<'_>, app: &str, code: &str) -> (StatusCode, Value) {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", app),
        ("code_verifier", VERIFIER),
        ("client_id", "growth"),
    ];
    let url = format!("{}/auth/token", desk.base);
    let answer = desk.http.post(url).form(&form).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// A token for scopes, about a patient whom the person names.
async fn token(desk: &Desk<'_>, app: &str, scope: &str, patient: &str) -> Value {
    let mut browser = Browser::default();
    let page = browser.sign_in(desk, app, "ana", &[("scope", scope)]).await;
    let form = [("decision", "allow"), ("purpose", "TREAT"), ("patient", patient)];
    let back = browser.decide(&page, app, &form).await;
    assert_eq!(parameter(&back.url, "state").as_deref(), Some("of the app"), "{}", back.body);
    let code = parameter(&back.url, "code").unwrap();
    let (status, given) = exchange(desk, app, &code).await;
    assert_eq!(status, StatusCode::OK, "{given}");
    given
}

async fn launch(desk: &Desk<'_>, what: &Value) -> String {
    let answer = desk.send(Method::POST, "auth/launch", &what.to_string()).await;
    assert_eq!(answer.status(), 201);
    let given: Value = answer.json().await.unwrap();
    given["launch"].as_str().unwrap().to_owned()
}

/// Two patients of whom there are Observations.
async fn patients(desk: &Desk<'_>) -> Vec<String> {
    let found = desk.get("Patient?_count=10").await;
    let mut patients = Vec::new();
    for entry in found["entry"].as_array().unwrap() {
        let id = entry["resource"]["id"].as_str().unwrap().to_owned();
        let found = desk.get(&format!("Observation?patient={id}&_count=1")).await;
        if found["entry"].as_array().is_some_and(|it| !it.is_empty()) {
            patients.push(id);
        }
    }
    assert!(patients.len() >= 2, "{patients:?}");
    patients
}

async fn what_is_told_is_so(desk: &Desk<'_>, app: &str) {
    let url = format!("{}/.well-known/smart-configuration", desk.base);
    let origin = app.trim_end_matches('/');
    let answer = desk.http.get(&url).header("origin", origin).send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), origin);
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["authorization_endpoint"], format!("{}/auth/authorize", desk.base));
    assert_eq!(told["code_challenge_methods_supported"], json!(["S256"]));
    let keys = desk.http.get(told["jwks_uri"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(keys.json::<Value>().await.unwrap()["keys"][0]["alg"], "RS256");
    let other = desk.http.get(&url).header("origin", "https://evil.example").send().await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let preflight = desk
        .http
        .request(Method::OPTIONS, format!("{}/Patient", desk.base))
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 204);
    assert!(header(&preflight, "access-control-allow-headers").contains("authorization"));
}

async fn one_patient_is_seen(desk: &Desk<'_>, app: &str, patients: &[String]) {
    let (ours, other) = (&patients[0], &patients[1]);
    let mut browser = Browser::default();
    let page = browser.sign_in(desk, app, "ana", &[("scope", ALL)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(!page.body.contains("<script") && page.body.contains("&lt;script&gt;"));
    assert!(page.policy.contains("frame-ancestors 'none'"), "{}", page.policy);
    let form = |patient| [("decision", "allow"), ("purpose", "TREAT"), ("patient", patient)];
    let again = browser.decide(&page, app, &form("nobody")).await;
    assert!(again.body.contains("Nobody whom you may see"), "{}", again.body);
    // The form of the first page is used, and one in another browser is nothing.
    assert_eq!(browser.decide(&page, app, &form(ours)).await.status, StatusCode::BAD_REQUEST);
    let stranger = Browser::default().decide(&again, app, &form(ours)).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST);
    let back = browser.decide(&again, app, &form(ours)).await;
    let code = parameter(&back.url, "code").unwrap();
    let (status, given) = exchange(desk, app, &code).await;
    assert_eq!((status, &given["patient"]), (StatusCode::OK, &json!(ours)), "{given}");
    assert!(given["id_token"].is_string());

    let visit = &Visit { desk, token: given["access_token"].as_str().unwrap() };
    let theirs = desk.get(&format!("Observation?patient={other}&_count=1")).await;
    let theirs = theirs["entry"][0]["resource"]["id"].as_str().unwrap();
    for path in [
        format!("Patient/{other}"),
        format!("Patient/{other}/_history/1"),
        format!("Patient/{other}/_history"),
        format!("Patient/{other}/$everything"),
        format!("Patient/{other}/$summary"),
        format!("Observation/{theirs}"),
        format!("Observation/{theirs}/_history/1"),
        format!("Observation/{theirs}/_history"),
        "Observation/no-such-id".to_owned(),
    ] {
        refused(visit.ask(Method::GET, &path, "").await, 404, "nothing is here").await;
    }
    for path in [
        format!("Observation?patient={other}"),
        format!("Observation?_id={theirs}"),
        format!("Patient?_id={other}"),
        format!("Patient?_id={other}&_revinclude=Observation:patient"),
        format!("Patient?_has:Observation:patient:_id={theirs}"),
        format!("Observation?patient={other}&_include=Observation:subject"),
        format!("AuditEvent?patient={other}"),
    ] {
        let found = visit.get(&path).await;
        assert!(found["entry"].as_array().is_none_or(Vec::is_empty), "{path}: {found}");
    }
    for path in [
        "Observation?_count=200".to_owned(),
        "Patient?_revinclude=Observation:patient".to_owned(),
        format!("Observation?patient={ours},{other}&_include=Observation:subject"),
        format!("Patient/{ours}/$everything"),
        format!("AuditEvent?patient={ours}&_count=5"),
    ] {
        let found = visit.get(&path).await;
        assert!(found["entry"].as_array().is_some_and(|it| !it.is_empty()), "{path}: {found}");
        assert!(found.to_string().contains(ours.as_str()), "{path}");
        assert!(!found["entry"].to_string().contains(other.as_str()), "{path}");
    }
    let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": [
        { "request": { "method": "GET", "url": format!("Patient/{other}") } },
        { "request": { "method": "GET", "url": format!("Patient/{ours}") } },
    ]});
    for kind in ["batch", "transaction"] {
        let mut bundle = batch.clone();
        bundle["type"] = json!(kind);
        let answer = visit.ask(Method::POST, "", &bundle.to_string()).await;
        let answer: Value = answer.json().await.unwrap();
        let status =
            |at: usize| answer["entry"][at]["response"]["status"].as_str().unwrap()[..3].to_owned();
        assert_eq!((status(0), status(1)), ("404".into(), "200".into()), "{answer}");
    }
    let weight = json!({ "resourceType": "Observation", "status": "final",
        "code": { "text": "x" }, "subject": { "reference": format!("Patient/{ours}") } });
    let answer = visit.ask(Method::POST, "Observation", &weight.to_string()).await;
    refused(answer, 403, "scope").await;

    // Whoever comes with the code again ends the token.
    let (status, told) = exchange(desk, app, &code).await;
    assert_eq!((status, &told["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    refused(visit.ask(Method::GET, &format!("Patient/{ours}"), "").await, 401, "token").await;
}

/// A person's app, which asks with their token.
struct Visit<'a> {
    desk: &'a Desk<'a>,
    token: &'a str,
}

impl Visit<'_> {
    async fn ask(&self, method: Method, path: &str, body: &str) -> Response {
        let url = format!("{}/{path}", self.desk.base);
        let ask = self.desk.http.request(method, url).bearer_auth(self.token);
        let ask = ask.header("content-type", "application/fhir+json");
        ask.body(body.to_owned()).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path, "").await;
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

async fn what_is_narrowed_is_seen(desk: &Desk<'_>, app: &str, patients: &[String]) {
    let ours = &patients[0];
    let mut ids = Vec::new();
    for (category, value) in [("laboratory", "1"), ("vital-signs", "2")] {
        let observation = json!({ "resourceType": "Observation", "status": "final",
            "category": [{ "coding": [{ "system": "http://categories.example", "code": category }] }],
            "code": { "text": value }, "subject": { "reference": format!("Patient/{ours}") } });
        let answer = desk.send(Method::POST, "Observation", &observation.to_string()).await;
        assert_eq!(answer.status(), 201);
        let location = header(&answer, "location");
        ids.push(location.rsplit('/').nth(2).unwrap().to_owned());
    }
    let scope = "launch/patient patient/Patient.rs patient/Observation.rs?category=http://categories.example|laboratory";
    let given = token(desk, app, scope, ours).await;
    assert_eq!(given["scope"], scope);
    let desk = Visit { desk, token: given["access_token"].as_str().unwrap() };
    assert_eq!(desk.get(&format!("Observation/{}", ids[0])).await["id"], json!(ids[0]));
    let hidden = desk.ask(Method::GET, &format!("Observation/{}", ids[1]), "").await;
    refused(hidden, 404, "nothing is here").await;
    for path in [
        "Observation?_count=200".to_owned(),
        format!("Patient?_id={ours}&_revinclude=Observation:patient"),
        format!("Patient/{ours}/$everything"),
        format!("Patient/{ours}/_history"),
        format!("Patient?_has:Observation:patient:_id={}", ids[0]),
    ] {
        let found = desk.get(&path).await.to_string();
        assert!(!found.contains(&ids[1]), "{path}");
    }
    let hidden = desk.get(&format!("Patient?_has:Observation:patient:_id={}", ids[1])).await;
    assert!(hidden["entry"].as_array().is_none_or(Vec::is_empty), "{hidden}");
    refused(desk.ask(Method::GET, "Condition", "").await, 403, "scope").await;
}

async fn a_system_opens_an_app(desk: &Desk<'_>, app: &str, patients: &[String]) {
    let opened = launch(desk, &json!({ "patient": patients[1] })).await;
    let more = [("scope", "openid fhirUser launch patient/*.rs"), ("launch", opened.as_str())];
    let mut browser = Browser::default();
    let page = browser.sign_in(desk, app, "ana", &more).await;
    assert!(!page.body.contains("name=\"patient\""), "{}", page.body);
    // The patient is the one that is open, whatever the form says.
    let form = [("decision", "allow"), ("purpose", "TREAT"), ("patient", patients[0].as_str())];
    let back = browser.decide(&page, app, &form).await;
    let (_, given) = exchange(desk, app, &parameter(&back.url, "code").unwrap()).await;
    assert_eq!(given["patient"], json!(patients[1]), "{given}");
    let again = Browser::default().sign_in(desk, app, "ana", &more).await;
    assert_eq!(parameter(&again.url, "error").as_deref(), Some("invalid_request"));
    for (what, status) in [
        (json!({ "patient": "nobody" }), 404),
        (json!({ "patient": patients[0], "encounter": "none" }), 404),
        (json!({}), 400),
        (json!({ "patient": patients[0], "user": "ana" }), 400),
    ] {
        let answer = desk.send(Method::POST, "auth/launch", &what.to_string()).await;
        assert_eq!(answer.status().as_u16(), status, "{what}");
    }
    let reader = desk.token_of("reader");
    let url = format!("{}/auth/launch", desk.base);
    let answer = desk.http.post(url).bearer_auth(reader).body("{}").send().await.unwrap();
    refused(answer, 403, "scope").await;
}

async fn others_get_nothing(desk: &Desk<'_>, app: &str) {
    let page = Browser::default().sign_in(desk, app, "bob", &[("scope", ALL)]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("nobody has listed you"), "{}", page.body);
    let mut browser = Browser::default();
    let page = browser.sign_in(desk, app, "ana", &[("scope", ALL)]).await;
    let stranger = Browser::default().go(Method::GET, &page.url, &[], app).await;
    assert_eq!(stranger.status, StatusCode::BAD_REQUEST);
    let denied = browser.decide(&page, app, &[("decision", "deny"), ("purpose", "TREAT")]).await;
    assert_eq!(parameter(&denied.url, "error").as_deref(), Some("access_denied"));
    // A purpose that is not the person's own.
    let page = browser.sign_in(desk, app, "ana", &[("scope", ALL)]).await;
    let denied = browser.decide(&page, app, &[("decision", "allow"), ("purpose", "HPAYMT")]).await;
    assert_eq!(parameter(&denied.url, "error").as_deref(), Some("access_denied"));
    let evil = authorize(desk, "https://evil.example/", &[("scope", ALL)]);
    let page = browser.go(Method::GET, &evil, &[], "https://evil.example/").await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}

fn in_chromium(folder: &Path, desk: &Desk<'_>, app_port: u16, patients: &[String], launch: &str) {
    let script = folder.join("app.mjs");
    fs::copy(Path::new(SCRIPTS).join("sign_in/app.mjs"), &script).unwrap();
    let done = Command::new("node")
        .arg(script)
        .env("BASE", &desk.base)
        .env("APP_PORT", app_port.to_string())
        .env("PATIENT", &patients[0])
        .env("OTHER", &patients[1])
        .env("LAUNCH", launch)
        .env("CHROMIUM", CHROMIUM)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", said(&done));
}
