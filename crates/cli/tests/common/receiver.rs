//! A receiver of traces that is as good or as bad as it is told to be.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

/// Between two bytes of an answer that drips: less than anybody waits for one.
const DRIP: Duration = Duration::from_millis(500);

/// What it does with a message.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Never answers.
    Silent,
    /// Answers 500.
    Fails,
    /// Answers what is no HTTP.
    Babbles,
    /// Answers 200, and more than anybody wants to read.
    NeverEnds,
    /// Answers 200, a byte at a time.
    Drips,
}

/// What it was told.
#[derive(Debug, Default)]
pub struct Told {
    /// Messages that it took.
    pub messages: Vec<ExportTraceServiceRequest>,
    /// The heads of all requests, as text.
    pub heads: String,
}

/// A receiver, for as long as the test runs.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    manner: Arc<Mutex<Manner>>,
    told: Arc<Mutex<Told>>,
}

impl Receiver {
    /// Listens on a free port.
    pub fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn listen(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (manner, told) = (Arc::new(Mutex::new(Manner::Takes)), Arc::default());
        let receiver = Self { url, manner, told };
        let serving = receiver.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                // The sender may be gone at any time.
                thread::spawn(move || serving.answer(stream.unwrap()).unwrap_or(()));
            }
        });
        receiver
    }

    pub fn is_to(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Looks at what it was told so far.
    pub fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.lock().unwrap())
    }

    /// All spans that it took.
    pub fn spans(&self) -> Vec<Span> {
        self.told(|told| {
            let resources = told.messages.iter().flat_map(|it| &it.resource_spans);
            resources.flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans).cloned().collect()
        })
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body)?;
        self.told.lock().unwrap().heads += &head;
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Takes => {
                let message = ExportTraceServiceRequest::decode(&*body).unwrap();
                self.told.lock().unwrap().messages.push(message);
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            }
            // Until the sender hangs up.
            Manner::Silent => stream.read_to_end(&mut body).map(drop),
            Manner::Fails => stream.write_all(
                b"HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 4\r\n\r\nno!\n",
            ),
            Manner::Babbles => stream.write_all(&[0xff; 4_096]),
            Manner::NeverEnds => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 65_536])?;
                }
            }
            Manner::Drips => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")?;
                loop {
                    stream.write_all(b"x")?;
                    thread::sleep(DRIP);
                }
            }
        }
    }
}

/// A span's attribute that is text; nothing if it has none.
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key == key)?;
    let Value::StringValue(text) = found.value.as_ref()?.value.as_ref()? else { return None };
    Some(text)
}

/// A span's attribute that is a number.
pub fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let found = attributes.iter().find(|it| it.key == key)?;
    let Value::IntValue(number) = found.value.as_ref()?.value.as_ref()? else { return None };
    Some(*number)
}

/// Asks a node without a signature, and gives its whole answer.
pub fn ask(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let ask =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    String::from_utf8_lossy(&page).into_owned()
}
