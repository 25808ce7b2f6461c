//! HL7 v2 messages that a hospital's gateway takes beside a pilot: what was acknowledged is on the ledger and found
//! over FHIR, and stays so once, whatever is sent again, killed or switched off in between.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, Pilot, Place,
    desk::{Desk, name_real_senders, pilot},
    scratch,
};
use serde_json::Value;
use tokio::runtime::Runtime;

const BEGIN: u8 = 0x0b;
const END: [u8; 2] = [0x1c, 0x0d];
/// How long nothing is answered that cannot be committed.
const QUIET: Duration = Duration::from_secs(3);
/// Somewhere in the middle of writing what a message says.
const MID_WRITE: Duration = Duration::from_millis(150);
/// How long a second answer may take after the first.
const MORE: Duration = Duration::from_millis(300);

/// A sender's connection.
struct Sender(TcpStream);

impl Sender {
    fn connect(desk: &Desk<'_>) -> Self {
        let config = desk.place.toml("gateways/hospital/gateway.toml");
        Self(TcpStream::connect(config["feeds"][0]["listen"].as_str().unwrap()).unwrap())
    }

    fn send(&mut self, message: &[u8]) {
        self.0.write_all(&[&[BEGIN], message, &END].concat()).unwrap();
    }

    /// The next answer, if there is one in time.
    fn heard(&mut self, within: Duration) -> Option<String> {
        let (start, mut bytes) = (Instant::now(), Vec::new());
        self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while !bytes.ends_with(&END) {
            assert!(start.elapsed() < within || bytes.is_empty(), "a part of an answer");
            if start.elapsed() >= within {
                return None;
            }
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) => panic!("the gateway closed the connection"),
                Ok(_) => bytes.push(byte[0]),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                }
            }
        }
        Some(String::from_utf8_lossy(&bytes[1..bytes.len() - 2]).into_owned())
    }

    /// The last answer to a message, of which there may be two.
    fn last_heard_of(&mut self, message: &[u8]) -> String {
        self.send(message);
        let mut last = self.heard(PATIENCE).expect("it is answered");
        while let Some(next) = self.heard(MORE) {
            last = next;
        }
        last
    }

    /// Sends a message, and panics unless it is answered so.
    #[track_caller]
    fn says(&mut self, message: &str, answer: &str) {
        self.send(message.as_bytes());
        let heard = self.heard(PATIENCE).expect("it is answered");
        assert_eq!(said(&heard), answer, "{heard:?}");
    }
}

/// The acknowledgement code, the control id and the error code of an answer.
fn said(answer: &str) -> String {
    let field = |name: &str, at: usize| {
        let line = answer.split('\r').find(|it| it.starts_with(name));
        line.and_then(|it| it.split('|').nth(at)).unwrap_or_default().to_owned()
    };
    let error = field("ERR", 3);
    let code = error.split('^').next().unwrap_or_default();
    format!("{} {} {code}", field("MSA", 1), field("MSA", 2)).trim_end().to_owned()
}

fn header(event: &str, id: &str) -> String {
    format!("MSH|^~\\&|EHR|HOSPITAL|GATEWAY|KEEPWELL|20261102100000+0100||{event}|{id}|P|2.5.1\r")
}

fn admission(id: &str) -> String {
    header("ADT^A01^ADT_A01", id)
        + "EVN|A01|20261102095900+0100\rPID|1||70017^^^^MR||Grønn^Ada||19610203|F\r\
           PV1|1|I|W1^2^3|||||||||||||||||V7001\r"
}

fn result(id: &str, value: &str) -> String {
    header("ORU^R01^ORU_R01", id)
        + &format!(
            "PID|1||70017^^^^MR||Grønn^Ada||19610203|F\rOBR|1|P{id}|F{id}|29463-7^Weight^LN|||20261102{id}\r\
             OBX|1|NM|29463-7^Weight^LN||{value}|kg^kg^UCUM|||||F|||20261102{id}\r"
        )
}

async fn entries(desk: &Desk<'_>, query: &str) -> Vec<Value> {
    let found = desk.get(query).await;
    found["entry"].as_array().cloned().unwrap_or_default()
}

async fn patient(desk: &Desk<'_>, number: &str) -> String {
    let found = entries(desk, &format!("Patient?identifier={number}")).await;
    assert_eq!(found.len(), 1, "{number}: {found:?}");
    found[0]["resource"]["id"].as_str().unwrap().to_owned()
}

/// Counts what a patient has: results, and messages as they came.
async fn counts(desk: &Desk<'_>, patient: &str) -> [usize; 2] {
    let results = format!("Observation?patient={patient}&_count=100");
    let messages = format!("DocumentReference?patient={patient}&_count=100");
    [entries(desk, &results).await.len(), entries(desk, &messages).await.len()]
}

#[test]
fn what_is_acknowledged_is_stored_once() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let real = name_real_senders(&dir);
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = Runtime::new().unwrap();
    let id = runtime.block_on(messages_become_records(&desk));
    runtime.block_on(what_cannot_be_is_answered(&desk));
    let attached = runtime.block_on(a_merge_is_a_case(&desk, &id));
    runtime.block_on(real_messages_are_taken(&desk, &real));

    // It is killed while it writes, and forgets all: what was acknowledged is known from the ledger and the custodians
    // alone, and what was not is sent again.
    let [results, messages] = runtime.block_on(counts(&desk, &id));
    Sender::connect(&desk).send(result("1040", "74.5").as_bytes());
    thread::sleep(MID_WRITE);
    desk.process.kill();
    fs::remove_dir_all(dir.join("gateways/hospital/index")).unwrap();
    desk.process = Desk::run(&desk.place, &desk.config);
    desk.token = desk.token_of("ehr");
    Sender::connect(&desk).says(&result("1010", "72.5"), "AA 1010");
    Sender::connect(&desk).says(&result("1040", "74.5"), "AA 1040");
    assert_eq!(runtime.block_on(counts(&desk, &id)), [results + 1, messages + 1]);
    assert_eq!(runtime.block_on(desk.get(&attached))["resourceType"], "Binary");

    // The ledger is switched off, and its senders wait.
    let mut sender = Sender::connect(&desk);
    assert!(pilot.process.interrupt().success());
    sender.send(result("1030", "73.5").as_bytes());
    assert_eq!(sender.heard(QUIET), None, "nothing is acknowledged that is not stored");
    pilot = Pilot::begin_with(&dir, &[]).until_up();
    assert_eq!(said(&sender.heard(PATIENCE).expect("it is answered")), "AA 1030");
    assert_eq!(runtime.block_on(counts(&desk, &id)), [results + 2, messages + 2]);

    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    assert!(pilot.process.interrupt().success());
    let said = desk.process.said();
    for word in ["70017", "Grønn", "Ada", "Patient/"] {
        assert!(!said.contains(word), "{word} is in the log: {said}");
    }
}

async fn messages_become_records(desk: &Desk<'_>) -> String {
    let mut sender = Sender::connect(desk);
    sender.says(&admission("0900"), "AA 0900");
    let id = patient(desk, "70017").await;
    assert_eq!(entries(desk, &format!("Encounter?patient={id}")).await.len(), 1);
    sender.says(&result("1010", "72.5"), "AA 1010");
    let query = format!("Observation?patient={id}&code=http://loinc.org|29463-7");
    let weight = entries(desk, &query).await;
    assert_eq!(weight[0]["resource"]["valueQuantity"]["value"].to_string(), "72.5", "{weight:?}");
    let before = counts(desk, &id).await;
    assert_eq!(before, [1, 2]);

    // Sent again, by the same connection and by another one, and two at once.
    sender.says(&result("1010", "72.5"), "AA 1010");
    Sender::connect(desk).says(&admission("0900"), "AA 0900");
    let mut other = Sender::connect(desk);
    for it in [&mut sender, &mut other] {
        it.send(result("1020", "71.5").as_bytes());
    }
    for it in [&mut sender, &mut other] {
        assert_eq!(said(&it.heard(PATIENCE).expect("it is answered")), "AA 1020");
    }
    let [results, messages] = before;
    assert_eq!(counts(desk, &id).await, [results + 1, messages + 1]);
    id
}

async fn what_cannot_be_is_answered(desk: &Desk<'_>) {
    let before = entries(desk, "Patient?_count=100").await.len();
    let mut sender = Sender::connect(desk);
    let other = |text: String| text.replace("70017", "70099").replace("V7001", "V7099");
    let table = [
        (other(admission("1")).replace("|HOSPITAL|", "|NOBODY|"), "AR 1 204"),
        (other(admission("2")).replace("|P|2.5.1", "|T|2.5.1"), "AR 2 202"),
        (other(admission("3")).replace("A01", "A99"), "AR 3 201"),
        (header("ADT^A01", "4") + "EVN|A01\r", "AE 4 100"),
        (other(admission("5")).replace("2.5.1", "9"), "AR 5 203"),
    ];
    for (message, answer) in table {
        sender.says(&message, answer);
    }
    // In Latin-1, and not saying so.
    let text = other(admission("6"));
    let bytes: Vec<u8> = text.chars().map(|it| u8::try_from(u32::from(it)).unwrap()).collect();
    sender.send(&bytes);
    assert_eq!(said(&sender.heard(PATIENCE).unwrap()), "AE 6 102");
    // Cut, and then merged with the next.
    sender.0.write_all(&[&[BEGIN], &text.as_bytes()[..60]].concat()).unwrap();
    sender.says(&admission("0900"), "AA 0900");
    assert_eq!(entries(desk, "Patient?_count=100").await.len(), before);
}

/// Returns where the message is, as it came.
async fn a_merge_is_a_case(desk: &Desk<'_>, remains: &str) -> String {
    let mut sender = Sender::connect(desk);
    let merge = header("ADT^A40^ADT_A39", "41") + "PID|1||70017^^^^MR\rMRG|70018^^^^MR\r";
    sender.says(&merge, "AE 41 204");
    let other = header("ADT^A28^ADT_A05", "40") + "PID|1||70018^^^^MR||Gronn^Ada\r";
    sender.says(&other, "AA 40");
    for _ in 0..2 {
        sender.says(&merge, "AA 41");
    }
    let tasks = entries(desk, &format!("Task?patient={remains}&status=requested")).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0]["resource"]["input"][0]["valueIdentifier"]["value"], "70018");
    let message = tasks[0]["resource"]["focus"]["reference"].as_str().unwrap();
    let message = desk.get(message).await;
    let binary = message["content"][0]["attachment"]["url"].as_str().unwrap().to_owned();
    assert_eq!(desk.get(&binary).await["resourceType"], "Binary");
    binary
}

/// Each is committed and found, or is told why not; sent again it is not stored again.
async fn real_messages_are_taken(desk: &Desk<'_>, messages: &[(String, Vec<u8>)]) {
    let mut sender = Sender::connect(desk);
    let mut taken = 0;
    for (name, bytes) in messages {
        let header = String::from_utf8_lossy(bytes).into_owned();
        let asks = |at: usize| header.split(['\r', '\n']).next().unwrap().split('|').nth(at);
        if asks(14) == Some("NE") && asks(15) == Some("NE") {
            println!("{name}: wants no answer");
            continue;
        }
        let text = sender.last_heard_of(bytes);
        println!("{name}: {}", text.replace('\r', " / "));
        if said(&text).starts_with("AA") {
            taken += 1;
            assert_eq!(said(&sender.last_heard_of(bytes)), said(&text), "{name}");
        }
    }
    assert!(messages.is_empty() || taken * 2 > messages.len(), "{taken} of {}", messages.len());
}
