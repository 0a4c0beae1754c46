//! What counting costs where events only pass through: processor time for an event from flow to flow, of the host as it
//! is, of one that traces and meets events without a trace, and of one where each event has a trace of its own.
//!
//! `BARE=PROGRAM` is one more `fnaad` to compare with, such as one out of which the meters were taken. All of them by
//! turns; the median counts. The events are small, so that what is done for each weighs most.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use stories::{A, B, Config, Fnaad, P, PATIENCE, Wire, program};
use tempfile::TempDir;

use crate::process::cpu_seconds;
use crate::table::{Reach, Table};

/// Events that go through.
const EVENTS: u64 = 1_000_000;
/// Octets of an event's data.
const DATA: usize = 100;
/// Rounds of which the median counts.
const ROUNDS: usize = 9;
/// What the first is called, which the others are compared with.
const AS_IT_IS: &str = "as it is";
/// What the one is called that is to cost hardly less.
const BARE: &str = "without meters";
/// How much more what counts may cost.
const MOST: f64 = 1.05;

/// A host with events in its flow.
struct One {
    name: &'static str,
    host: Fnaad,
    /// Microseconds of processor time for an event, of each round.
    each: Vec<f64>,
    _dir: TempDir,
}

pub fn measure(table: &mut Table) {
    let collector = collector();
    let traces = format!("\n[traces]\nendpoint = \"http://{collector}/v1/traces\"\n");
    let fnaad = program("fnaad");
    let mut hosts = vec![
        One::start(AS_IT_IS, &fnaad, "", false),
        One::start("traces on, none traced", &fnaad, &traces, false),
        One::start("traces on, each traced", &fnaad, &traces, true),
    ];
    if let Some(bare) = std::env::var_os("BARE") {
        hosts.push(One::start(BARE, &PathBuf::from(bare), "", false));
    }
    for _ in 0..ROUNDS {
        hosts.iter_mut().for_each(One::carry);
    }
    rows(table, hosts);
}

fn rows(table: &mut Table, mut hosts: Vec<One>) {
    let medians: Vec<(&str, f64)> =
        hosts.iter_mut().map(|one| (one.name, median(&mut one.each))).collect();
    let as_it_is = medians.first().map_or(f64::NAN, |(_, each)| *each);
    for (name, each) in medians {
        let what = format!("from flow to flow, {name}");
        match name {
            AS_IT_IS => table.figure(&what, each, "us an event", None, Reach::None),
            BARE => {
                let what = format!("{what}; {AS_IT_IS} to it");
                table.ratio(&what, each, "us an event", as_it_is / each, Reach::AtMost(MOST));
            }
            "traces on, none traced" => {
                table.ratio(&what, each, "us an event", each / as_it_is, Reach::AtMost(MOST));
            }
            _ => table.ratio(&what, each, "us an event", each / as_it_is, Reach::None),
        }
    }
}

fn median(each: &mut [f64]) -> f64 {
    each.sort_by(f64::total_cmp);
    each[each.len() / 2]
}

impl One {
    fn start(name: &'static str, fnaad: &Path, more: &str, traced: bool) -> Self {
        // In memory where there is such a place: it is not the disk that is measured.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(parent).unwrap();
        let mut config = Config::new(dir.path());
        config.text.push_str(more);
        let host = Fnaad::serve_by(fnaad, dir.path(), config.save());
        let mut wire = host.login_as("test", "test");
        wire.ok(&format!("CREATE FLOW {A}"));
        write(&mut wire, traced);
        Self { name, host, each: Vec::new(), _dir: dir }
    }

    fn carry(&mut self) {
        let mut wire = self.host.login_as("test", "test");
        wire.ok(&format!("CREATE FLOW {B}"));
        let (began, before) = (Instant::now(), cpu_seconds(self.host.id()));
        wire.ok(&format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} START EARLIEST"));
        while held(&mut wire) < EVENTS {
            assert!(began.elapsed() < PATIENCE, "{:?}", wire.describe(&format!("PROCESSOR {P}")));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let each = (cpu_seconds(self.host.id()) - before) * 1e6 / EVENTS as f64;
        eprintln!("  {}: {each:.3} us an event", self.name);
        self.each.push(each);
        wire.ok(&format!("DELETE PROCESSOR {P}"));
        wire.ok(&format!("DELETE FLOW {B}"));
    }
}

fn held(wire: &mut Wire) -> u64 {
    let flow = wire.describe(&format!("FLOW {B}"));
    flow["log"].as_array().unwrap().iter().map(|log| log["latest"].as_u64().unwrap()).sum()
}

/// Events of one WRITE: the most that go into it.
const AT_ONCE: u64 = 512;

fn write(wire: &mut Wire, traced: bool) {
    let data = "d".repeat(DATA);
    let line = |number: u64| {
        let trace = if traced {
            format!(r#""traceparent":"00-{:032x}-{:016x}-01","#, number + 1, number + 1)
        } else {
            String::new()
        };
        format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/bench","type":"measured",{trace}"datacontenttype":"text/plain","data":"{data}"}}"#
        )
    };
    for from in (0..EVENTS).step_by(AT_ONCE as usize) {
        let lines: Vec<String> = (from..EVENTS.min(from + AT_ONCE)).map(line).collect();
        let answer = wire.write(A, &lines);
        assert!(answer.starts_with("220 "), "{answer}");
    }
}

/// Takes spans and forgets them, as long as this process lives; its address.
fn collector() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            // A host that leaves is no failure.
            std::thread::spawn(move || stream.and_then(take));
        }
    });
    address
}

fn take(stream: TcpStream) -> std::io::Result<()> {
    let (mut reader, mut answers) = (BufReader::new(stream.try_clone()?), stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(octets) = header.strip_prefix("content-length:") {
            length = octets.trim().parse().unwrap_or(0);
        }
        if header.is_empty() {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            answers.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        }
    }
}
