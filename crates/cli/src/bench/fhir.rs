//! `keepwell bench fhir`: a server of FHIR R4, Keepwell's gateway or any other, as its clients find it.
//!
//! Nothing is started: the server is there already, with whatever it keeps. Each client has a patient of its own and
//! waits for each answer before it asks again. With `--pid`, what those processes used is set against what they did, so
//! that servers of different shape are compared by CPU.
//!
//! # Invariants
//!
//! * An answer that is neither what was asked for nor "later" ends the run: it is no measurement.
//! * "Later" (429, 503) is counted, and asked again after a pause, which is in the time.
//!
//! Not here: what a server says of itself, and whether it is right, which tests say.

mod export;

use std::{
    fs,
    io::{self, ErrorKind},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use futures::future::try_join_all;
use keepwell_gateway::feed::mllp::{self, Decoder, Event};
use reqwest::{Client, Method, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::{
    BenchError,
    figure::{Figure, Lines, Spread},
    limits::Limits,
    process::Usage,
};

/// Pause after "later".
const PAUSE: Duration = Duration::from_millis(50);
/// How often one request is asked again.
const AGAIN_MAX: usize = 600;
/// Entries of the transaction that is judged, and senders of messages.
const USUAL_ENTRIES: usize = 1_000;
const USUAL_SENDERS: usize = 16;
/// Bytes of an acknowledgement.
const ACKNOWLEDGEMENT_BYTES_MAX: usize = 64 * 1024;
const LOINC: &str = "http://loinc.org";
const NUMBERS: &str = "urn:keepwell:bench";

/// Ask a FHIR server, and send it messages: create, read, search, transactions, MLLP
#[derive(Args, Clone, Debug)]
pub(super) struct Fhir {
    /// The address of the FHIR interface
    #[arg(long)]
    base: String,
    /// A file with the token that is shown, if one is wanted
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Clients at once, each with a patient of its own
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Entries of a transaction; with another number there is no figure
    #[arg(long, default_value_t = USUAL_ENTRIES)]
    entries: usize,
    /// Export all that may be read as well
    #[arg(long)]
    export: bool,
    /// Where HL7 v2 messages are taken, as 127.0.0.1:2575; without it none is sent
    #[arg(long)]
    mllp: Option<String>,
    /// What stands in MSH-4 of them
    #[arg(long, default_value = "HOSPITAL")]
    facility: String,
    /// Who sends them, one connection each; with another number there is no figure
    #[arg(long, default_value_t = USUAL_SENDERS)]
    senders: usize,
    /// Processes whose CPU is counted: the server's, on this computer
    #[arg(long)]
    pid: Vec<u32>,
    /// Folder on the disk to measure
    #[arg(long, default_value = "keepwell-bench")]
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct FhirLine {
    clients: usize,
    seconds: f64,
    per_second: f64,
    /// Of the processes that were named; nothing without them.
    per_cpu_second: Option<f64>,
    /// How often the answer was "later".
    later: usize,
    wait: Spread,
}

impl Fhir {
    pub(super) async fn run(&self, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        lines.put("limits", &Limits::measure(&self.dir)?)?;
        let server = Server::new(self)?;
        let patients = try_join_all((0..self.clients).map(|_| server.patient())).await?;
        let for_s = Duration::from_secs(self.seconds);

        let created = self
            .measure(for_s, self.clients, async |client, turn| {
                let body = weight(&patients[client], turn);
                let (made, later) = server.send(Method::POST, "/Observation", Some(&body)).await?;
                Ok((id_of(&made), later))
            })
            .await?;
        lines.put("fhir_create", &created.line)?;

        let read = self
            .measure(for_s, self.clients, async |client, turn| {
                let ids = &created.made[client];
                let path = format!("/Observation/{}", ids[turn % ids.len()]);
                Ok(((), server.send(Method::GET, &path, None).await?.1))
            })
            .await?;
        lines.put("fhir_read", &read.line)?;

        let search = self
            .measure(for_s, self.clients, async |client, _| {
                let patient = &patients[client];
                let path =
                    format!("/Observation?patient={patient}&code={LOINC}%7C29463-7&_count=10");
                Ok(((), server.send(Method::GET, &path, None).await?.1))
            })
            .await?;
        lines.put("fhir_search", &search.line)?;

        let transaction = self
            .measure(for_s, 1, async |_, turn| {
                let body = bundle(self.entries, turn);
                Ok(((), server.send(Method::POST, "", Some(&body)).await?.1))
            })
            .await?;
        lines.put("fhir_transaction", &transaction.line)?;
        if self.entries == USUAL_ENTRIES {
            lines.figure(Figure::FhirTransaction, transaction.line.wait.p50_ms / 1_000.0)?;
        }
        if self.export {
            let exported = server.export(for_s).await?;
            lines.put("fhir_export", &exported)?;
            lines.figure(Figure::FhirExport, exported.files_per_second)?;
        }
        match &self.mllp {
            Some(address) => self.messages(address, lines).await,
            None => Ok(()),
        }
    }

    async fn messages(&self, address: &str, lines: &mut Lines<'_>) -> Result<(), BenchError> {
        let mut senders = Vec::with_capacity(self.senders);
        for _ in 0..self.senders {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            senders.push(tokio::sync::Mutex::new(Sender { stream, decoder: decoder() }));
        }
        let run = std::process::id();
        let for_s = Duration::from_secs(self.seconds);
        let sent = self
            .measure(for_s, self.senders, async |sender, turn| {
                let message = message(&self.facility, &format!("{run}-{sender}-{turn}"), sender);
                Ok(((), senders[sender].lock().await.send(message.as_bytes()).await?))
            })
            .await?;
        lines.put("mllp", &sent.line)?;
        if self.senders == USUAL_SENDERS {
            lines.figure(Figure::MllpRate, sent.line.per_second)?;
        }
        Ok(())
    }

    /// Does something over and over, with so many at once, for so long. It says what it made, and how often the answer
    /// was "later".
    async fn measure<T>(
        &self,
        for_s: Duration,
        clients: usize,
        what: impl AsyncFn(usize, usize) -> Result<(T, usize), BenchError>,
    ) -> Result<Measured<T>, BenchError> {
        let (used, begun) = (self.cpu_s()?, Instant::now());
        let what = &what;
        let one = |client| async move {
            let (mut made, mut waits, mut later) = (Vec::new(), Vec::new(), 0);
            while made.is_empty() || begun.elapsed() < for_s {
                let start = Instant::now();
                let (it, again) = what(client, made.len()).await?;
                waits.push(start.elapsed());
                made.push(it);
                later += again;
            }
            Ok::<_, BenchError>((made, waits, later))
        };
        let done = try_join_all((0..clients).map(one)).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu_s = self.cpu_s()? - used;
        let (mut made, mut waits, mut later) = (Vec::new(), Vec::new(), 0);
        for (its, of_it, again) in done {
            made.push(its);
            waits.extend(of_it);
            later += again;
        }
        let count = waits.len() as f64;
        let per_cpu_second = (cpu_s > 0.0).then(|| count / cpu_s);
        let (per_second, wait) = (count / seconds, Spread::of(waits));
        let line = FhirLine { clients, seconds, per_second, per_cpu_second, later, wait };
        Ok(Measured { made, line })
    }

    /// CPU that the named processes have used.
    fn cpu_s(&self) -> Result<f64, BenchError> {
        let of = |pid: &u32| Ok(Usage::of_process(*pid)?.cpu_s);
        self.pid.iter().map(of).sum()
    }
}

/// What was made, by each client, and how it went.
struct Measured<T> {
    made: Vec<Vec<T>>,
    line: FhirLine,
}

/// The server that is asked.
struct Server {
    http: Client,
    base: String,
    token: Option<String>,
}

impl Server {
    fn new(given: &Fhir) -> Result<Self, BenchError> {
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path);
            text.map_err(|source| BenchError::Folder { path: path.clone(), source })
        };
        let token = given.token_file.as_ref().map(read).transpose()?;
        let token = token.map(|it| it.trim().to_owned());
        let base = given.base.trim_end_matches('/').to_owned();
        Ok(Self { http: Client::new(), base, token })
    }

    /// The id of a patient who is new.
    async fn patient(&self) -> Result<String, BenchError> {
        let body = json!({ "resourceType": "Patient", "name": [{ "family": "Bench" }] });
        Ok(id_of(&self.send(Method::POST, "/Patient", Some(&body.to_string())).await?.0))
    }

    /// The answer, and how often there was none yet.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<(Value, usize), BenchError> {
        for later in 0..AGAIN_MAX {
            let mut ask = self.http.request(method.clone(), format!("{}{path}", self.base));
            if let Some(token) = &self.token {
                ask = ask.bearer_auth(token);
            }
            if let Some(body) = body {
                ask = ask.header(CONTENT_TYPE, "application/fhir+json").body(body.to_owned());
            }
            let answer = ask.send().await.map_err(failed)?;
            let status = answer.status();
            let text = answer.text().await.map_err(failed)?;
            if status.is_success() {
                return Ok((serde_json::from_str(&text)?, later));
            }
            if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                let of = format!("{method} {}", path.split('?').next().unwrap_or_default());
                return Err(BenchError::Answer { of, status: status.as_u16(), message: text });
            }
            sleep(PAUSE).await;
        }
        Err(BenchError::AlwaysBusy)
    }
}

fn failed(error: reqwest::Error) -> io::Error {
    io::Error::other(error.without_url())
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_default().to_owned()
}

fn observation(subject: &str, turn: usize) -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "subject": { "reference": subject },
        "code": { "coding": [{ "system": LOINC, "code": "29463-7", "display": "Body weight" }] },
        "effectiveDateTime": "2026-05-04T09:00:00Z",
        "valueQuantity": {
            "value": 60 + turn % 60, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg",
        },
    })
}

fn weight(patient: &str, turn: usize) -> String {
    observation(&format!("Patient/{patient}"), turn).to_string()
}

/// A transaction of so many entries: a patient who is new, and what was observed.
fn bundle(entries: usize, turn: usize) -> String {
    let post = |full_url: String, resource: Value| {
        let request = json!({ "method": "POST", "url": resource["resourceType"] });
        json!({ "fullUrl": full_url, "resource": resource, "request": request })
    };
    let name = |entry: usize| format!("urn:uuid:00000000-0000-4000-8000-{entry:012}");
    let number = json!([{ "system": NUMBERS, "value": format!("{}-{turn}", std::process::id()) }]);
    let patient = json!({ "resourceType": "Patient", "identifier": number });
    let others = (1..entries).map(|entry| post(name(entry), observation(&name(0), entry)));
    let entry: Vec<_> = std::iter::once(post(name(0), patient)).chain(others).collect();
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry }).to_string()
}

/// A result, of the sender's own patient.
fn message(facility: &str, id: &str, sender: usize) -> String {
    [
        format!("MSH|^~\\&|BENCH|{facility}|KEEPWELL|KEEPWELL|20260504090000+0000||ORU^R01^ORU_R01|{id}|P|2.5.1"),
        format!("PID|1||{}-{sender}^^^BENCH^MR||Bench^Ada||19700101|F", std::process::id()),
        format!("OBR|1|{id}|{id}|29463-7^Body weight^LN|||20260504090000+0000|||||||||||||||20260504090000+0000||||F"),
        "OBX|1|NM|29463-7^Body weight^LN||72.5|kg^kilogram^UCUM|||||F|||20260504090000+0000".to_owned(),
    ]
    .join("\r")
        + "\r"
}

fn decoder() -> Decoder {
    Decoder::new(ACKNOWLEDGEMENT_BYTES_MAX)
}

/// A connection to a feed.
struct Sender {
    stream: TcpStream,
    decoder: Decoder,
}

impl Sender {
    /// Sends a message until it is accepted; how often it was not yet.
    async fn send(&mut self, message: &[u8]) -> Result<usize, BenchError> {
        let frame = mllp::encode(message).ok_or(BenchError::AlwaysBusy)?;
        for later in 0..AGAIN_MAX {
            self.stream.write_all(&frame).await?;
            let answer = String::from_utf8_lossy(&self.answer().await?).into_owned();
            match answer.split('\r').find_map(|it| it.strip_prefix("MSA|")).map(|it| &it[..2]) {
                Some("AA" | "CA") => return Ok(later),
                // The ledger, or another change of the same patient, was in the way.
                Some("AE" | "AR") if answer.contains("|207^") || answer.contains("|206^") => {
                    sleep(PAUSE).await;
                }
                _ => {
                    let of = "a message".to_owned();
                    return Err(BenchError::Answer { of, status: 0, message: answer });
                }
            }
        }
        Err(BenchError::AlwaysBusy)
    }

    async fn answer(&mut self) -> Result<Vec<u8>, BenchError> {
        let mut chunk = [0; 4_096];
        loop {
            let count = self.stream.read(&mut chunk).await?;
            match self.decoder.next(&mut &chunk[..count]) {
                Some(Event::Frame(bytes)) => return Ok(bytes),
                Some(Event::Fault(fault)) => return Err(io::Error::other(fault).into()),
                None if count == 0 => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_it_should_be() {
        let bundle: Value = serde_json::from_str(&bundle(3, 7)).unwrap();
        assert_eq!(bundle["entry"].as_array().unwrap().len(), 3);
        assert_eq!(
            bundle["entry"][2]["resource"]["subject"]["reference"],
            bundle["entry"][0]["fullUrl"]
        );
        let message = message("HOSPITAL", "1-2-3", 2);
        let fields: Vec<_> = message.split('\r').next().unwrap().split('|').collect();
        assert_eq!((fields[3], fields[9], fields[10]), ("HOSPITAL", "1-2-3", "P"));
    }
}
