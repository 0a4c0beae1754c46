//! The yardstick: messages over one TCP connection from a process to another one, which keeps nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::two::Place;
use crate::ages::Ages;
use crate::events;

/// The words for the two processes.
pub const SOURCE: &str = "plain-source";
/// Behind it stands the address at which it listens.
pub const SINK: &str = "plain-sink";

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Messages.
    pub messages: u64,
    /// Octets of each.
    pub octets: usize,
    /// Messages a second; 0 is as many as there can be.
    pub rate: u64,
}

/// What came of it.
pub struct Got {
    /// From the first message to the last.
    pub took: Duration,
    /// Milliseconds from a message's making to its arrival.
    pub p50: f64,
    /// The same of the slowest of a hundred.
    pub p99: f64,
}

/// Copies from one place to another.
pub fn copy(from: &Place, to: &Place, sent: Sent) -> Got {
    let listen = format!("{}:0", to.address);
    let mut sink = to.command(&std::env::current_exe().unwrap());
    let mut sink = sink.args([SINK, &listen]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(sink.stdout.take().unwrap()).lines();
    let mut line = move || said.next().expect("a sink that says something").unwrap();
    let Sent { messages, octets, rate } = sent;
    let mut source: Command = from.command(&std::env::current_exe().unwrap());
    source.args([SOURCE, &line()]);
    let numbers = [messages, octets as u64, rate].map(|number| number.to_string());
    assert!(source.args(numbers).status().unwrap().success());
    let got: Vec<f64> = line().split(' ').map(|word| word.parse().unwrap()).collect();
    assert!(sink.wait().unwrap().success());
    Got { took: Duration::from_secs_f64(got[0]), p50: got[1], p99: got[2] }
}

/// Takes one connection: prints its address, then what it measured.
pub fn sink(arguments: &[String]) {
    let listener = TcpListener::bind(&arguments[0]).unwrap();
    say(&listener.local_addr().unwrap().to_string());
    let (stream, _) = listener.accept().unwrap();
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    let [messages, octets] = [number(&mut stream), number(&mut stream)];
    let mut message = vec![0; octets as usize];
    let (mut ages, mut began) = (Ages::default(), None);
    for _ in 0..messages {
        stream.read_exact(&mut message).unwrap();
        began.get_or_insert_with(Instant::now);
        let made = u64::from_le_bytes(message[..8].try_into().unwrap());
        ages.add(events::now().saturating_sub(made));
    }
    let took = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
    say(&format!("{took} {} {}", ages.percentile(50), ages.percentile(99)));
}

/// Sends to an address: so many messages, of so many octets, so many a second.
pub fn source(arguments: &[String]) {
    let [address, messages, octets, rate] = arguments else { panic!("{arguments:?}") };
    let [messages, octets, rate] =
        [messages, octets, rate].map(|word| word.parse::<u64>().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&messages.to_le_bytes()).unwrap();
    stream.write_all(&octets.to_le_bytes()).unwrap();
    let noise = events::noise(octets as usize).into_bytes();
    let (began, mut waiting) = (Instant::now(), Vec::with_capacity(WRITE + noise.len()));
    for number in 0..messages {
        if let Some(micros) = (number * 1_000_000).checked_div(rate) {
            std::thread::sleep(Duration::from_micros(micros).saturating_sub(began.elapsed()));
        }
        waiting.extend_from_slice(&events::now().to_le_bytes());
        waiting.extend_from_slice(&noise[8..]);
        if rate > 0 || waiting.len() >= WRITE || number + 1 == messages {
            stream.write_all(&waiting).unwrap();
            waiting.clear();
        }
    }
}

fn number(stream: &mut impl Read) -> u64 {
    let mut octets = [0; 8];
    stream.read_exact(&mut octets).unwrap();
    u64::from_le_bytes(octets)
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// Octets of one write at full pace.
const WRITE: usize = 64 << 10;
