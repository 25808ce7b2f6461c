//! A gateway of a pilot's hospital, and a system that asks it.

use std::{env, fs, path::Path};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Pilot, Place, Process, keepwell, scratch};

/// A pilot with patients who have not claimed their charts, and one who has.
pub fn pilot(home: &Path) -> Pilot {
    Pilot::begin_with(&home.join("pilot"), &["--patients", "3"]).until_up()
}

/// Asks the gateway of a new pilot's hospital, and ends both.
pub fn at_a_desk(ask: impl AsyncFnOnce(&mut Desk<'_>)) {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    Runtime::new().unwrap().block_on(ask(&mut desk));
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    assert!(pilot.process.interrupt().success());
}

/// A gateway of the pilot's hospital, and a system that asks it.
#[derive(Debug)]
pub struct Desk<'a> {
    pub place: Place<'a>,
    pub base: String,
    pub config: String,
    pub process: Process,
    pub token: String,
    pub http: Client,
}

impl<'a> Desk<'a> {
    pub fn start(place: Place<'a>) -> Self {
        let config = place.path("gateways/hospital/gateway.toml");
        let base =
            place.toml("gateways/hospital/gateway.toml")["base"].as_str().unwrap().to_owned();
        let again =
            ["gateway", "client", "--id", "ehr", "--to", &place.path("gateways/hospital/ehr")];
        keepwell(&again).refused(&["name a folder, or a new one"]);
        for id in ["reader", "research", "front", "glass"] {
            let folder = place.path(&format!("gateways/hospital/{id}"));
            keepwell(&["gateway", "client", "--id", id, "--to", &folder]).ok();
        }
        let research = "\n[[clients]]\nid = \"research\"\nkeys = \"research/keys.json\"\n\
            member = \"../../people/physician\"\npurpose = \"HRESCH\"\nscopes = [\"system/*.cruds\"]\n";
        let reader = "\n[[clients]]\nid = \"reader\"\nkeys = \"reader/keys.json\"\n\
            member = \"../../people/physician\"\npurpose = \"TREAT\"\nscopes = [\"system/*.read\"]\n";
        let front = "\n[[clients]]\nid = \"front\"\nkeys = \"front/keys.json\"\n\
            member = \"../../people/physician\"\npurpose = \"TREAT\"\nscopes = [\"system/Patient.rs\"]\n";
        // For a purpose that needs an emergency, of which there is none.
        let glass = "\n[[clients]]\nid = \"glass\"\nkeys = \"glass/keys.json\"\n\
            member = \"../../people/physician\"\npurpose = \"BTG\"\nscopes = [\"system/*.rs\"]\n";
        let text = fs::read_to_string(&config).unwrap();
        fs::write(
            &config,
            text.replace("[[clients]]", "follow_s = 1\n[[clients]]")
                + reader
                + research
                + front
                + glass,
        )
        .unwrap();
        let process = Self::run(&place, &config);
        let mut desk =
            Self { place, base, config, process, token: String::new(), http: Client::new() };
        desk.token = desk.token_of("ehr");
        desk
    }

    pub fn run(place: &Place<'_>, config: &str) -> Process {
        let log = place.dir.join("gateway.log");
        let mut process = Process::start(&["gateway", "run", "--config", config], &log);
        process.wait_for("fhir: ");
        process
    }

    pub fn token_of(&self, id: &str) -> String {
        self.token_for(id, "system/*.cruds")
    }

    /// A token for less than all that a system may ask for.
    pub fn token_for(&self, id: &str, scope: &str) -> String {
        let key = self.place.path(&format!("gateways/hospital/{id}/key.pem"));
        let of = ["--id", id, "--key", &key, "--scope", scope];
        let asked = [&["gateway", "token", "--base", &self.base][..], &of].concat();
        keepwell(&asked).ok().stdout.trim().to_owned()
    }

    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}/{path}", self.base)
        };
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, body: &str) -> Response {
        let ask = self.ask(method, path).header("content-type", "application/fhir+json");
        ask.body(body.to_owned()).send().await.unwrap()
    }
}

/// A header of an answer.
pub fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap().to_owned()
}

/// Panics unless the answer is an OperationOutcome with this status that says this.
pub async fn refused(answer: Response, status: u16, words: &str) {
    let given = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((given, &body["resourceType"]), (status, &json!("OperationOutcome")), "{body}");
    assert!(body.to_string().contains(words), "nothing of {words:?}: {body}");
}

/// Messages of others, if there are any here; their senders are listed in the pilot's configuration.
pub fn name_real_senders(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(data) = env::var("KEEPWELL_DATA") else {
        println!("skipped: KEEPWELL_DATA names no folder with messages of others");
        return Vec::new();
    };
    let Ok(folder) = fs::read_dir(Path::new(&data).join("hl7v2")) else {
        println!("skipped: no messages in {data}/hl7v2");
        return Vec::new();
    };
    let files = folder.map(|it| it.unwrap().path());
    let mut messages: Vec<_> = files
        .map(|it| (it.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&it).unwrap()))
        .collect();
    messages.sort();
    let mut facilities: Vec<_> = messages
        .iter()
        .map(|(_, bytes)| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.split('|').nth(3).unwrap_or_default().trim().to_owned()
        })
        .collect();
    facilities.sort();
    facilities.dedup();
    let senders: String = facilities
        .iter()
        .map(|it| format!(", {{ facility = {it:?}, namespace = \"https://others.example/v2\" }}"))
        .collect();
    let config = dir.join("gateways/hospital/gateway.toml");
    let text = fs::read_to_string(&config).unwrap();
    let own = "namespace = \"https://hospital.example/v2\" }";
    assert!(text.contains(own), "{text}");
    fs::write(&config, text.replace(own, &format!("{own}{senders}"))).unwrap();
    messages
}
