//! Feeds over a wire in memory, and what stands for the ledger behind them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keepwell_fhir::outcome::{IssueType, Outcome};
use keepwell_hl7v2::{
    map::Identifier,
    mllp::{Decoder, Event, encode},
};
use proptest::prelude::*;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
    runtime::{Builder, Runtime},
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    CharacterSet, MESSAGE_BYTES_MAX, Sender, Senders, Settings,
    commit::{Bundle, Commit, Committed},
    connection::{Ended, Times, talk},
    receive::Receiver,
};

const NAMESPACE: &str = "https://hospital.example/v2";
const TIMES: Times = Times {
    idle_max: Duration::from_secs(20),
    stall_max: Duration::from_millis(200),
    frame_max: Duration::from_secs(5),
    end_max: Duration::from_millis(20),
    write_max: Duration::from_millis(200),
};

/// A ledger in memory: what was committed, in order.
#[derive(Debug)]
struct Ledger {
    state: Mutex<State>,
    /// As many commits as there are permits.
    open: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    committed: Vec<Value>,
    failures: VecDeque<Outcome>,
    patients: BTreeMap<String, BTreeSet<String>>,
    begun: usize,
}

impl Ledger {
    fn new() -> Self {
        Self { state: Mutex::default(), open: Semaphore::new(Semaphore::MAX_PERMITS) }
    }

    fn failing(failures: impl IntoIterator<Item = Outcome>) -> Self {
        let ledger = Self::new();
        ledger.state().failures.extend(failures);
        ledger
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages that are committed, by their original.
    fn originals(&self) -> Vec<String> {
        let state = self.state();
        let data = state.committed.iter().map(|bundle| {
            let entries = bundle["entry"].as_array().unwrap();
            let binary = entries.iter().find(|it| it["resource"]["resourceType"] == "Binary");
            binary.unwrap()["resource"]["data"].as_str().unwrap().to_owned()
        });
        data.collect()
    }
}

fn condition(bundle: &Value, original: usize) -> String {
    bundle["entry"][original]["request"]["ifNoneExist"].as_str().unwrap().to_owned()
}

impl Commit for &Ledger {
    async fn commit(&self, bundle: &Bundle) -> Result<Committed, Outcome> {
        self.state().begun += 1;
        self.open.acquire().await.unwrap().forget();
        let mut state = self.state();
        if let Some(failure) = state.failures.pop_front() {
            return Err(failure);
        }
        let json: Value = serde_json::from_slice(&bundle.json).unwrap();
        let key = condition(&json, bundle.original);
        let is_there = |it: &Value| {
            let entries = it["entry"].as_array().unwrap();
            entries.iter().any(|it| it["request"]["ifNoneExist"] == key.as_str())
        };
        if state.committed.iter().any(is_there) {
            return Ok(Committed::Before);
        }
        state.committed.push(json);
        Ok(Committed::Now)
    }

    async fn patients(&self, identifiers: &[Identifier]) -> Result<BTreeSet<String>, Outcome> {
        let mut state = self.state();
        if let Some(failure) = state.failures.pop_front() {
            return Err(failure);
        }
        let found = identifiers.iter().filter_map(|it| state.patients.get(&it.value));
        Ok(found.flatten().cloned().collect())
    }
}

fn settings(patience: Duration) -> Settings {
    let sender = |facility: &str, application: Option<&str>| Sender {
        facility: facility.into(),
        application: application.map(str::to_owned),
        namespace: NAMESPACE.into(),
    };
    let senders = vec![sender("HOSPITAL", None), sender("CLINIC", Some("LAB"))];
    let senders = Senders::new(senders).unwrap();
    Settings { senders, undeclared: CharacterSet::Utf8, zone: None, patience }
}

/// What a feed says to what comes in these pieces, and how the connection ends.
async fn heard(ledger: &Ledger, pieces: &[Vec<u8>]) -> (Vec<Vec<u8>>, Ended) {
    let receiver = Receiver::new(ledger, settings(Duration::from_secs(2)));
    let (ours, theirs) = duplex(64 * 1024);
    let (mut hears, mut says) = tokio::io::split(ours);
    let (_stop, stopping) = watch::channel(false);
    let says = async {
        for piece in pieces {
            says.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        says.shutdown().await.unwrap();
    };
    let mut bytes = Vec::new();
    let talk = talk(theirs, &receiver, TIMES, stopping);
    let (ended, (), read) = tokio::join!(talk, says, hears.read_to_end(&mut bytes));
    read.unwrap();
    (frames(&bytes), ended)
}

fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let (mut rest, mut found) = (bytes, Vec::new());
    while let Some(event) = decoder.next(&mut rest) {
        match event {
            Event::Frame(frame) => found.push(frame),
            Event::Fault(fault) => panic!("{fault}"),
        }
    }
    found
}

/// The acknowledgement code, the control id and the error code of an answer.
fn said(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let field = |name: &str, at: usize| {
        let line = text.split('\r').find(|it| it.starts_with(name));
        line.and_then(|it| it.split('|').nth(at)).unwrap_or_default().to_owned()
    };
    let error = field("ERR", 3);
    let error = error.split('^').next().unwrap_or_default();
    format!("{} {} {error}", field("MSA", 1), field("MSA", 2)).trim_end().to_owned()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn message(id: &str) -> String {
    format!(
        "MSH|^~\\&|LAB|HOSPITAL|||20260430120000+0200||ADT^A28|{id}|P|2.5.1\rPID|||7{id}||Doe^Jo\r"
    )
}

fn framed(text: &str) -> Vec<u8> {
    encode(text.as_bytes()).unwrap()
}

fn unavailable() -> Outcome {
    Outcome::error(IssueType::Transient, "the ledger cannot be reached")
}

#[test]
fn each_message_has_its_answer() {
    let pid = "PID|||7\r";
    let header = |about: &str| format!("MSH|^~\\&|LAB|{about}");
    let sent = "|||20260430120000+0200||";
    let table: Vec<(&str, Vec<u8>, &[&str], usize)> = vec![
        ("good", framed(&message("1")), &["AA 1"], 1),
        (
            "two at once",
            [framed(&message("1")), framed(&message("2"))].concat(),
            &["AA 1", "AA 2"],
            2,
        ),
        (
            "the same twice",
            [framed(&message("1")), framed(&message("1"))].concat(),
            &["AA 1", "AA 1"],
            1,
        ),
        (
            "one id, other bytes",
            [framed(&message("1")), framed(&message("1").replace("Doe", "Roe"))].concat(),
            &["AA 1", "AA 1"],
            2,
        ),
        (
            "no facility that is known",
            framed(&format!("{}{sent}ADT^A28|1|P|2.5.1\r{pid}", header("NOBODY"))),
            &["AR 1 204"],
            0,
        ),
        (
            "of an application",
            framed(&format!("{}{sent}ADT^A28|1|P|2.5.1\r{pid}", header("CLINIC"))),
            &["AA 1"],
            1,
        ),
        (
            "of another application",
            framed(&format!("MSH|^~\\&|EHR|CLINIC{sent}ADT^A28|1|P|2.5.1\r{pid}")),
            &["AR 1 204"],
            0,
        ),
        (
            "for training",
            framed(&format!("{}{sent}ADT^A28|1|T|2.5.1\r{pid}", header("HOSPITAL"))),
            &["AR 1 202"],
            0,
        ),
        (
            "of no kind that is read",
            framed(&format!("{}{sent}DFT^P03|1|P|2.5.1\r{pid}", header("HOSPITAL"))),
            &["AR 1 200"],
            0,
        ),
        (
            "of no event that is read",
            framed(&format!("{}{sent}ADT^A99|1|P|2.5.1\r{pid}", header("HOSPITAL"))),
            &["AR 1 201"],
            0,
        ),
        (
            "without its patient",
            framed(&format!("{}{sent}ADT^A28|1|P|2.5.1\rEVN|A28\r", header("HOSPITAL"))),
            &["AE 1 100"],
            0,
        ),
        (
            "an acknowledgement",
            framed(&format!("{}{sent}ACK|1|P|2.5.1\rMSA|AA|7\r", header("HOSPITAL"))),
            &[],
            0,
        ),
        (
            "both modes",
            framed(&message("1").replace("2.5.1", "2.5.1|||AL|AL")),
            &["CA 1", "AA 1"],
            1,
        ),
        ("no answer wanted", framed(&message("1").replace("2.5.1", "2.5.1|||NE|NE")), &[], 1),
        ("a batch", framed("BHS|^~\\&|LAB\r"), &["AR  100"], 0),
        ("no HL7", framed("hello"), &["AR  100"], 0),
        ("nothing", framed(""), &["AR  100"], 0),
        ("not framed", b"hello".to_vec(), &[], 0),
        ("a line end between", [b"\r\n".to_vec(), framed(&message("1"))].concat(), &["AA 1"], 1),
        (
            "cut, and sent again",
            [framed(&message("1"))[..50].to_vec(), framed(&message("1"))].concat(),
            &["AA 1"],
            1,
        ),
        ("cut by the end", framed(&message("1"))[..50].to_vec(), &[], 0),
        (
            "without the last CR",
            framed(&message("1")).split_last().unwrap().1.to_vec(),
            &["AA 1"],
            1,
        ),
        (
            "merged, without the CR between",
            [framed(&message("1")).split_last().unwrap().1, &framed(&message("2"))].concat(),
            &["AA 1", "AA 2"],
            2,
        ),
        (
            "an end inside",
            [
                b"\x0b".to_vec(),
                message("1").replace("Doe", "D\x1coe").into_bytes(),
                b"\x1c\r".to_vec(),
                framed(&message("2")),
            ]
            .concat(),
            &["AR 1 102", "AA 2"],
            1,
        ),
        (
            "too large",
            [framed(&(message("1") + &"x".repeat(MESSAGE_BYTES_MAX))), framed(&message("2"))]
                .concat(),
            &["AR 1 102", "AA 2"],
            1,
        ),
    ];
    let runtime = runtime();
    for (name, bytes, answers, committed) in table {
        let ledger = Ledger::new();
        let (heard, ended) = runtime.block_on(heard(&ledger, &[bytes]));
        let heard: Vec<_> = heard.iter().map(|it| said(it)).collect();
        assert_eq!(heard, answers, "{name}");
        assert_eq!(ended, Ended::Closed, "{name}");
        assert_eq!(ledger.originals().len(), committed, "{name}");
    }
}

#[test]
fn bytes_are_read_as_the_message_says() {
    let name = |bytes: &[u8], set: &str| {
        let text = format!("MSH|^~\\&|LAB|HOSPITAL|||||ADT^A28|1|P|2.5.1||||||{set}\rPID|||7||X\r");
        let at = text.find("||X").unwrap() + 2;
        let bytes = [&text.as_bytes()[..at], bytes, b"\r"].concat();
        let ledger = Ledger::new();
        let (heard, _) = runtime().block_on(heard(&ledger, &[encode(&bytes).unwrap()]));
        let state = ledger.state();
        let name = state.committed.first().map(|bundle| {
            let entries = bundle["entry"].as_array().unwrap();
            let patient = entries.iter().find(|it| it["resource"]["resourceType"] == "Patient");
            patient.unwrap()["resource"]["name"][0]["family"].as_str().unwrap().to_owned()
        });
        (said(&heard[0]), name)
    };
    let good = Some("Grønn".to_owned());
    assert_eq!(name(b"Gr\xf8nn", "8859/1"), ("AA 1".into(), good.clone()));
    assert_eq!(name("Grønn".as_bytes(), "UNICODE UTF-8"), ("AA 1".into(), good.clone()));
    assert_eq!(name("Grønn".as_bytes(), ""), ("AA 1".into(), good));
    // A guess would make another name of it.
    assert_eq!(name(b"Gr\xf8nn", ""), ("AE 1 102".into(), None));
    assert_eq!(name("Grønn".as_bytes(), "8859/1"), ("AE 1 102".into(), None));
}

/// What was committed is known by the ledger alone: another receiver finds it too.
#[test]
fn a_message_is_stored_once_whoever_receives_it() {
    let (ledger, runtime) = (Ledger::new(), runtime());
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (heard, _) = runtime.block_on(heard(&ledger, &[framed(&message("1"))]));
        let text = String::from_utf8(heard[0].clone()).unwrap();
        let mut fields: Vec<_> = text.split('|').map(str::to_owned).collect();
        // All but its time.
        fields.remove(6);
        answers.push(fields);
    }
    assert_eq!(ledger.originals().len(), 1);
    assert!(answers.windows(2).all(|it| it[0] == it[1]), "{answers:?}");
}

#[test]
fn what_passes_is_waited_for_and_what_stays_is_told() {
    let outcome = |code| Outcome::error(code, "do this");
    let raced = || outcome(IssueType::Conflict);
    for (failures, answer, committed) in [
        (vec![unavailable(), unavailable()], "AA 1", 1),
        (vec![outcome(IssueType::NoStore), raced()], "AA 1", 1),
        // Two seconds of patience.
        (vec![unavailable(); 4], "AR 1 207", 0),
        (vec![raced(); 4], "AR 1 206", 0),
        (vec![outcome(IssueType::Forbidden)], "AR 1 207", 0),
        (vec![outcome(IssueType::Exception)], "AR 1 207", 0),
        (vec![outcome(IssueType::MultipleMatches)], "AE 1 204", 0),
        (vec![outcome(IssueType::BusinessRule)], "AE 1 204", 0),
        (vec![outcome(IssueType::TooLong)], "AR 1 102", 0),
    ] {
        let ledger = Ledger::failing(failures.clone());
        let (heard, _) = runtime().block_on(heard(&ledger, &[framed(&message("1"))]));
        assert_eq!(said(&heard[0]), answer, "{failures:?}");
        assert_eq!(ledger.originals().len(), committed, "{failures:?}");
    }
}

/// Nothing is answered before it is committed, and nothing is looked at before the last was answered.
#[test]
fn a_slow_ledger_slows_its_sender() {
    runtime().block_on(async {
        let mut ledger = Ledger::new();
        ledger.open = Semaphore::new(0);
        let receiver = Receiver::new(&ledger, settings(Duration::from_secs(60)));
        let (ours, theirs) = duplex(256);
        let (mut hears, mut says) = tokio::io::split(ours);
        let (_stop, stopping) = watch::channel(false);
        let all: Vec<u8> = (0..400).flat_map(|it| framed(&message(&it.to_string()))).collect();
        let sends = async {
            let stuck = timeout(Duration::from_millis(300), says.write_all(&all)).await;
            assert!(stuck.is_err(), "a sender goes on as fast as it is answered");
            assert_eq!(ledger.state().begun, 1);
            assert_eq!(ledger.originals().len(), 0);
            ledger.open.add_permits(1);
        };
        let hears = async {
            let mut bytes = vec![0; 4_096];
            let read = hears.read(&mut bytes).await.unwrap();
            assert_eq!(said(&bytes[1..read]), "AA 0");
            assert_eq!(ledger.originals().len(), 1);
        };
        let talk = talk(theirs, &receiver, TIMES, stopping);
        tokio::select! {
            ended = talk => panic!("{ended}"),
            _ = async { tokio::join!(sends, hears) } => {}
        }
    });
}

#[test]
fn a_gateway_that_stops_answers_what_is_committed_and_no_more() {
    runtime().block_on(async {
        let mut ledger = Ledger::new();
        ledger.open = Semaphore::new(0);
        let receiver = Receiver::new(&ledger, settings(Duration::from_secs(60)));
        let (mut ours, theirs) = duplex(64 * 1024);
        let (stop, stopping) = watch::channel(false);
        let script = async {
            ours.write_all(&[framed(&message("1")), framed(&message("2"))].concat()).await.unwrap();
            while ledger.state().begun == 0 {
                tokio::task::yield_now().await;
            }
            stop.send_replace(true);
            ledger.open.add_permits(2);
            let mut bytes = Vec::new();
            ours.read_to_end(&mut bytes).await.unwrap();
            frames(&bytes).iter().map(|it| said(it)).collect::<Vec<_>>()
        };
        let talking = async { talk(theirs, &receiver, TIMES, stopping).await };
        let (ended, heard) = tokio::join!(talking, script);
        assert_eq!((ended, heard), (Ended::Stopping, vec!["AA 1".to_owned()]));

        // What waits for the ledger is not answered: its sender has it.
        let ledger = Ledger::failing(vec![unavailable(); 99]);
        let receiver = Receiver::new(&ledger, settings(Duration::from_secs(60)));
        let (mut ours, theirs) = duplex(64 * 1024);
        let (stop, stopping) = watch::channel(false);
        ours.write_all(&framed(&message("1"))).await.unwrap();
        let script = async {
            while ledger.state().begun == 0 {
                tokio::task::yield_now().await;
            }
            stop.send_replace(true);
            let mut bytes = Vec::new();
            ours.read_to_end(&mut bytes).await.unwrap();
            bytes
        };
        let talking = async { talk(theirs, &receiver, TIMES, stopping).await };
        let (ended, heard) = tokio::join!(talking, script);
        assert_eq!((ended, heard), (Ended::Stopping, vec![]));
    });
}

#[test]
fn slow_senders_end() {
    let begun = &framed(&message("1"))[..20];
    for (bytes, times, ended) in [
        (begun, TIMES, Ended::Slow),
        (&b""[..], Times { idle_max: Duration::from_millis(50), ..TIMES }, Ended::Idle),
        (&[b'x'; 5_000][..], TIMES, Ended::NotMllp),
    ] {
        runtime().block_on(async {
            let ledger = Ledger::new();
            let receiver = Receiver::new(&ledger, settings(Duration::from_secs(1)));
            let (mut ours, theirs) = duplex(64 * 1024);
            let (_stop, stopping) = watch::channel(false);
            ours.write_all(bytes).await.unwrap();
            assert_eq!(talk(theirs, &receiver, times, stopping).await, ended);
            let mut heard = Vec::new();
            ours.read_to_end(&mut heard).await.unwrap();
            assert!(heard.is_empty() && ledger.state().begun == 0, "{heard:?}");
        });
    }
}

/// Bytes that come one by one keep a connection only so long.
#[test]
fn a_frame_has_a_time() {
    runtime().block_on(async {
        let ledger = Ledger::new();
        let receiver = Receiver::new(&ledger, settings(Duration::from_secs(1)));
        let (mut ours, theirs) = duplex(64 * 1024);
        let (_stop, stopping) = watch::channel(false);
        let times = Times { frame_max: Duration::from_millis(300), ..TIMES };
        let drips = async {
            for byte in framed(&message("1")) {
                if ours.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("it was read to its end");
        };
        let (ended, ()) = tokio::join!(talk_owned(theirs, &receiver, times, stopping), drips);
        assert_eq!(ended, Ended::Slow);
    });
}

async fn talk_owned(
    stream: tokio::io::DuplexStream,
    receiver: &Receiver<&Ledger>,
    times: Times,
    stopping: watch::Receiver<bool>,
) -> Ended {
    talk(stream, receiver, times, stopping).await
}

#[test]
fn an_answer_that_nobody_takes_ends_the_connection() {
    runtime().block_on(async {
        let ledger = Ledger::new();
        let receiver = Receiver::new(&ledger, settings(Duration::from_secs(1)));
        let (mut ours, theirs) = duplex(16);
        let (_stop, stopping) = watch::channel(false);
        let all: Vec<u8> = framed(&message("1"));
        let sends = async {
            ours.write_all(&all).await.unwrap();
            // It never reads.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let (ended, ()) = tokio::join!(talk(theirs, &receiver, TIMES, stopping), sends);
        assert_eq!(ended, Ended::Slow);
        assert_eq!(ledger.originals().len(), 1);
    });
}

#[test]
fn a_merge_is_a_case_for_people() {
    let merge = |rest: &str| {
        format!("MSH|^~\\&|LAB|HOSPITAL|||20260430120000+0200||ADT^A40|1|P|2.5.1\r{rest}")
    };
    let one = "PID|||NEW^^^^MR\rMRG|OLD^^^^MR\r";
    let known = |pairs: &[(&str, &str)]| {
        let ledger = Ledger::new();
        for (number, id) in pairs {
            let mut state = ledger.state();
            state.patients.entry((*number).into()).or_default().insert((*id).into());
        }
        ledger
    };
    for (name, ledger, text, answer, tasks) in [
        ("both known", known(&[("NEW", "a"), ("OLD", "b")]), merge(one), "AA 1", 1),
        ("one already", known(&[("NEW", "a"), ("OLD", "a")]), merge(one), "AA 1", 0),
        ("nobody remains", known(&[("OLD", "b")]), merge(one), "AE 1 204", 0),
        ("nobody is given up", known(&[("NEW", "a")]), merge(one), "AE 1 204", 0),
        (
            "several remain",
            known(&[("NEW", "a"), ("NEW", "c"), ("OLD", "b")]),
            merge(one),
            "AE 1 204",
            0,
        ),
        (
            "several merges",
            known(&[("NEW", "a"), ("OLD", "b")]),
            merge(&format!("{one}PID|||X^^^^MR\rMRG|Y^^^^MR\r")),
            "AE 1 100",
            0,
        ),
    ] {
        let sent = [framed(&text), framed(&text)];
        let (heard, _) = runtime().block_on(heard(&ledger, &sent));
        assert_eq!(heard.iter().map(|it| said(it)).collect::<Vec<_>>(), [answer; 2], "{name}");
        let state = ledger.state();
        assert!(state.committed.len() <= 1, "{name}");
        let found = state.committed.iter().flat_map(|it| it["entry"].as_array().unwrap());
        let found: Vec<_> = found.filter(|it| it["resource"]["resourceType"] == "Task").collect();
        assert_eq!(found.len(), tasks, "{name}");
        for task in found {
            assert_eq!(task["resource"]["for"]["reference"], "Patient/a");
            assert!(!task.to_string().contains("Patient/b"), "{task}");
            assert_eq!(task["resource"]["input"][0]["valueIdentifier"]["value"], "OLD");
        }
        for bundle in &state.committed {
            let limits = keepwell_fhir::transaction::Limits {
                bytes_max: 1 << 20,
                entries_max: 16,
                base: None,
            };
            let json = bundle.to_string();
            let parsed = keepwell_fhir::transaction::parse(json.as_bytes(), &limits);
            assert!(parsed.is_ok(), "{parsed:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the network does to them, the same bytes have the same answers.
    #[test]
    fn no_chunking_changes_an_answer(
        cuts in prop::collection::vec(0_usize..700, 0..12),
        kinds in prop::collection::vec(0_u8..6, 1..6),
    ) {
        let mut bytes = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            let frame = framed(&message(&at.to_string()));
            match kind {
                0 | 1 => bytes.extend(frame),
                2 => bytes.extend(&frame[..frame.len() - 1]),
                3 => bytes.extend(&frame[..40]),
                4 => bytes.extend([b"noise".to_vec(), frame].concat()),
                _ => bytes.extend(framed(&message("same"))),
            }
        }
        let mut cuts: Vec<_> = cuts.into_iter().filter(|it| *it < bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|it| bytes[it[0]..it[1]].to_vec()).collect();
        let runtime = runtime();
        let (whole, cut) = (Ledger::new(), Ledger::new());
        let expected = runtime.block_on(heard(&whole, &[bytes.clone()]));
        let found = runtime.block_on(heard(&cut, &pieces));
        let words = |it: &(Vec<Vec<u8>>, Ended)| (it.0.iter().map(|it| said(it)).collect::<Vec<_>>(), it.1);
        prop_assert_eq!(words(&expected), words(&found));
        prop_assert_eq!(whole.originals(), cut.originals());
    }
}
