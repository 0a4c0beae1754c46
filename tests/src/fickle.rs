//! A host that is none: it speaks FNAP under TLS, and streams, and says from one moment to the next what a test wants it to say.
//!
//! It lets everybody in, keeps no promise, and remembers only what was said to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fnap::stream::messages::{
    Attach, Attached, Detach, Ended, Hello, Message, Pong, RecordSet, Records,
};
use fnap::stream::{FrameDecoder, Header, Partition, Record, decode, encode};
use prost::Message as _;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Certificates, event};

/// What it says and does until it is told otherwise.
#[derive(Clone)]
pub struct Manner {
    /// What it can do, as CAPABILITIES says it.
    pub offers: &'static [&'static str],
    /// Its answers to SUBSCRIBE, in turn; the last one again and again.
    pub subscribe: Vec<String>,
    /// Its answer to UNSUBSCRIBE.
    pub unsubscribe: &'static str,
    /// Its answer to STREAM.
    pub stream: &'static str,
    /// The name of the one subscription that it has; of others it says that there are none.
    pub has: String,
    /// What it calls the flow's life to who asks what there is, and to who follows.
    pub lives: [&'static str; 2],
    /// How many events the flow has.
    pub events: u64,
    /// What it sends to who follows, once the stream has begun: none for the events.
    pub sends: Option<fn(&Attach) -> Vec<Message>>,
}

/// The host; whoever speaks to it does so until the test ends.
pub struct Fickle {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Arc<ServerConfig>,
    manner: Mutex<Manner>,
    heard: Mutex<Vec<String>>,
    open: Mutex<Vec<TcpStream>>,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl Manner {
    /// As it should be: one subscription to a flow of so many events.
    #[must_use]
    pub fn good(has: &str, events: u64) -> Self {
        Self {
            offers: &["STREAM=1"],
            subscribe: vec![granted(has)],
            unsubscribe: "220 OK",
            stream: "220 OK",
            has: has.to_owned(),
            lives: [LIFE; 2],
            events,
            sends: None,
        }
    }
}

/// The answer to SUBSCRIBE that names a subscription.
fn granted(name: &str) -> String {
    format!("220 DATA\r\n{name}\r\n220 OK")
}

impl Fickle {
    /// Listens on a free port, with the host's certificate of a directory.
    #[must_use]
    pub fn start(certificates: &Certificates, manner: Manner) -> Self {
        let chain = vec![CertificateDer::from_pem_file(certificates.file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificates.file("server.key")).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let (manner, heard, open) = (Mutex::new(manner), Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { tls: Arc::new(tls), manner, heard, open });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = Self { port: listener.local_addr().unwrap().port(), shared };
        let shared = Arc::clone(&host.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        host
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Is another one from now on, and ends all connections.
    pub fn becomes(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        for stream in self.shared.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// What was said to it since this was asked last.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.heard.lock().unwrap())
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        self.open.lock().unwrap().push(stream.try_clone()?);
        let connection = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut lines = BufReader::new(StreamOwned::new(connection, stream));
        say(&mut lines, "220 fnaa.unix.ar FNAA")?;
        loop {
            let line = line(&mut lines)?;
            self.heard.lock().unwrap().push(line.clone());
            let words: Vec<&str> = line.split(' ').collect();
            let manner = self.manner.lock().unwrap().clone();
            match words[..] {
                ["CAPABILITIES"] => {
                    let offers = manner.offers.join("\r\n");
                    say(&mut lines, &format!("220 DATA\r\nAUTH=EXTERNAL\r\n{offers}\r\n220 OK"))?;
                }
                ["AUTHENTICATE", "EXTERNAL"] => {
                    say(&mut lines, "220 OK")?;
                    self::line(&mut lines)?;
                    say(&mut lines, "220 Authenticated")?;
                }
                ["SUBSCRIBE", ..] => say(&mut lines, &self.next_answer())?,
                ["UNSUBSCRIBE", ..] => say(&mut lines, manner.unsubscribe)?,
                ["STREAM"] => {
                    say(&mut lines, manner.stream)?;
                    if manner.stream.starts_with("220 ") {
                        return self.stream(lines);
                    }
                }
                _ => say(&mut lines, "501 NOT_IMPLEMENTED")?,
            }
        }
    }

    fn next_answer(&self) -> String {
        let answers = &mut self.manner.lock().unwrap().subscribe;
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
    }

    fn stream(&self, mut lines: BufReader<Tls>) -> std::io::Result<()> {
        let mut frames = FrameDecoder::default();
        frames.push(lines.buffer());
        let mut stream = lines.get_mut();
        tell(&mut stream, Message::Hello(Hello { version: 1, offers: vec![] }))?;
        let mut octets = [0; 16 << 10];
        loop {
            while let Some(frame) = frames.next_frame().expect("frames of a good host") {
                for message in self.answer(decode(frame).expect("a message of a good host")) {
                    tell(&mut stream, message)?;
                }
            }
            match stream.read(&mut octets)? {
                0 => return Ok(()),
                read => frames.push(&octets[..read]),
            }
        }
    }

    fn answer(&self, said: Message) -> Vec<Message> {
        let manner = self.manner.lock().unwrap().clone();
        match said {
            Message::Attach(attach) if attach.flow == manner.has => attached(&attach, &manner),
            Message::Attach(Attach { stream, flow, .. }) => {
                vec![ended(stream, 404, "NOT_FOUND", format!("flow {flow}"))]
            }
            Message::Detach(Detach { stream }) => vec![ended(stream, 220, "OK", String::new())],
            Message::Ping(ping) => vec![Message::Pong(Pong { token: ping.token })],
            _ => Vec::new(),
        }
    }
}

/// That a stream begins, and what comes on it.
fn attached(attach: &Attach, manner: &Manner) -> Vec<Message> {
    let next = attach.positions.first().map(|position| position.offset);
    let life = manner.lives[usize::from(next.is_some())];
    let partition =
        Partition { partition: 0, earliest: 0, latest: manner.events, next: next.unwrap_or(0) };
    let begins = Attached {
        stream: attach.stream,
        incarnation: life.to_owned(),
        partitions: vec![partition],
        held: false,
    };
    let mut said = vec![Message::Attached(begins)];
    match (next, manner.sends) {
        (None, _) => {}
        (Some(_), Some(sends)) => said.extend(sends(attach)),
        (Some(next), None) if next < manner.events => {
            said.push(Message::Records(records(attach.stream, next, manner.events)));
        }
        _ => {}
    }
    said
}

/// The events from one offset to another, as a stream carries them.
#[must_use]
pub fn records(stream: u32, from: u64, to: u64) -> Records {
    let header = |name: &'static str, value: &'static str| Header {
        name: Bytes::from_static(name.as_bytes()),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    let record = |offset: u64| Record {
        offset,
        value: Some(event(usize::try_from(offset).unwrap()).into()),
        headers: vec![header("content-type", "application/cloudevents+json")],
        timestamp: 1_700_000_000_000,
        ..Record::default()
    };
    let records: Vec<Record> = (from..to).map(record).collect();
    let count = u32::try_from(records.len()).unwrap();
    let body = RecordSet { records }.encode_to_vec().into();
    Records { stream, next: to, latest: to, count, body, ..Records::default() }
}

fn ended(stream: u32, code: u32, name: &str, words: String) -> Message {
    Message::Ended(Ended { stream, code, name: name.to_owned(), words })
}

fn line(lines: &mut BufReader<Tls>) -> std::io::Result<String> {
    let mut line = String::new();
    match lines.read_line(&mut line)? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn say(lines: &mut BufReader<Tls>, words: &str) -> std::io::Result<()> {
    let stream = lines.get_mut();
    stream.write_all(format!("{words}\r\n").as_bytes())?;
    stream.flush()
}

fn tell(stream: &mut impl Write, message: Message) -> std::io::Result<()> {
    stream.write_all(&encode(message))?;
    stream.flush()
}

/// The life of its flow.
pub const LIFE: &str = "5b1bd8f4-0000-4000-8000-000000000001";
