//! What connections cost that do nothing, and what hostile peers cost those who work.

mod crowd;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
pub use stories::A;
use stories::{Certificates, Config, Fnaad, Wire, event};

use crate::process::memory_mib;
use crate::table::{Reach, Table};

/// Connections that say nothing.
const IDLE: usize = 10_000;
/// Under TLS: each takes two files of this process.
const IDLE_TLS: usize = 5_000;
/// Of those who are looked at after they have worked: each costs a slow hash to come in.
const WORKED: usize = 500;
/// Answers of each kind whose times one connection takes in each round: fewer than a connection may ask for at
/// its own pace.
const ANSWERS: usize = 1_000;
/// Connections that do so, one after another.
const CONNECTIONS: usize = 5;
/// Rounds by turns of which the best counts.
const ROUNDS: usize = 3;

pub fn measure(table: &mut Table) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    idle(table);
    idle_under_tls(table);
    beside(table);
}

fn host(dir: &Path) -> Fnaad {
    let mut config = Config::new(dir);
    config.text += LIMITS;
    let host = Fnaad::serve(dir, config.save());
    login(&host).ok(&format!("CREATE FLOW {A}"));
    host
}

fn login(host: &Fnaad) -> Wire {
    host.login_as("test", "test")
}

fn idle(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let each = |before: f64, count: usize| each(&host, before, count);
    let before = memory_mib(host.id());
    let mut strangers: Vec<TcpStream> = (0..IDLE).map(|_| greeted(host.address())).collect();
    let what = format!("{IDLE} idle connections: memory of each");
    table.figure(&what, each(before, IDLE), "KiB", None, Reach::AtMost(16.0));
    strangers.iter_mut().for_each(asks_much);
    let what = format!("{IDLE} that asked 1,000 times before: memory of each");
    table.figure(&what, each(before, IDLE), "KiB", None, Reach::AtMost(16.0));
    drop(strangers);
    let before = memory_mib(host.id());
    let mut users: Vec<Wire> = (0..WORKED).map(|_| login(&host)).collect();
    for (number, user) in users.iter_mut().enumerate() {
        user.write(A, &[event(number)]);
        user.data(&format!("READ {A} FROM earliest LIMIT 1"));
    }
    let what = format!("{WORKED} who wrote and read before: memory of each");
    table.figure(&what, each(before, WORKED), "KiB", None, Reach::None);
}

fn each(host: &Fnaad, before: f64, count: usize) -> f64 {
    (memory_mib(host.id()) - before) * 1024.0 / count as f64
}

fn idle_under_tls(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &["--name", "127.0.0.1"]);
    let mut config = Config::new(dir.path());
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{TLS}\n[[namespaces]]"), 1);
    config.text += LIMITS;
    let host = Fnaad::serve(dir.path(), config.save());
    let greeted = || Wire::connect_tls(host.tls_address(), &certificates.trust()).unwrap();
    drop(greeted());
    let before = memory_mib(host.id());
    let strangers: Vec<Wire> = (0..IDLE_TLS).map(|_| greeted()).collect();
    let what = format!("{IDLE_TLS} idle connections under tls: memory of each");
    table.figure(&what, each(&host, before, strangers.len()), "KiB", None, Reach::AtMost(64.0));
}

fn greeted(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(stories::PATIENCE)).unwrap();
    stream.read_exact(&mut [0; GREETING.len()]).unwrap();
    stream
}

/// More commands at once than go into a small buffer.
fn asks_much(stream: &mut TcpStream) {
    const COMMANDS: usize = 1_000;
    stream.write_all(&b"NOOP\r\n".repeat(COMMANDS)).unwrap();
    stream.read_exact(&mut [0; b"220 OK\r\n".len() * COMMANDS]).unwrap();
}

fn beside(table: &mut Table) {
    let dir = tempfile::tempdir_in(memory()).unwrap();
    let host = host(dir.path());
    let all = ("of every kind at once", crowd::KINDS);
    let kinds = crowd::KINDS.iter().map(|kind| (kind.0, std::slice::from_ref(kind)));
    let crowds: Vec<_> = kinds.chain([all]).collect();
    // Each kind with turns of its own: the best of more rounds is better.
    let mut best = vec![[[Times::WORST; 2]; 2]; crowds.len()];
    for _ in 0..ROUNDS {
        for ((_, kinds), [alone, beside]) in crowds.iter().zip(&mut best) {
            answers(&host, alone);
            let crowd = crowd::Crowd::around(&host, kinds);
            answers(&host, beside);
            drop(crowd);
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    for (at, what) in ["NOOP", "WRITE of one event"].into_iter().enumerate() {
        for ((who, _), [alone, beside]) in crowds.iter().zip(&best) {
            let (alone, beside) = (alone[at], beside[at]);
            let ratio = |of: fn(&Times) -> Duration| micros(of(&beside)) / micros(of(&alone));
            let row = |times: &str| format!("{what} beside peers {who}: {times}");
            let shown = micros(beside.median);
            table.ratio(&row("p50"), shown, "us", ratio(|times| times.median), Reach::None);
            let shown = micros(beside.p99);
            table.ratio(&row("p99"), shown, "us", ratio(|times| times.p99), Reach::AtMost(1.5));
        }
        let alone = best.iter().map(|[alone, _]| alone[at]);
        let least = |of: fn(&Times) -> Duration| alone.clone().map(|times| of(&times)).min();
        let p50 = least(|times| times.median).map_or(0.0, micros);
        let p99 = least(|times| times.p99).map_or(0.0, micros);
        table.figure(&format!("{what} alone: p50"), p50, "us", None, Reach::None);
        table.figure(&format!("{what} alone: p99"), p99, "us", None, Reach::None);
    }
}

/// How long answers took.
#[derive(Clone, Copy)]
struct Times {
    median: Duration,
    p99: Duration,
}

impl Times {
    const WORST: Self = Self { median: Duration::MAX, p99: Duration::MAX };

    fn of(wires: &mut [Wire], command: fn(&mut Wire)) -> Self {
        let answers = wires.iter_mut().flat_map(|wire| {
            (0..ANSWERS).map(move |_| {
                let began = Instant::now();
                command(wire);
                began.elapsed()
            })
        });
        let mut times: Vec<Duration> = answers.collect();
        times.sort_unstable();
        Self { median: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
    }
}

/// Takes the better of what was known and what is measured now.
fn answers(host: &Fnaad, best: &mut [Times; 2]) {
    let mut wires: Vec<Wire> = (0..CONNECTIONS).map(|_| login(host)).collect();
    let commands: [fn(&mut Wire); 2] = [noop, write];
    for (best, command) in best.iter_mut().zip(commands) {
        let now = Times::of(&mut wires, command);
        *best = Times { median: best.median.min(now.median), p99: best.p99.min(now.p99) };
    }
}

fn noop(wire: &mut Wire) {
    wire.ok("NOOP");
}

fn write(wire: &mut Wire) {
    assert_eq!(wire.write(A, &[event(0)]), "220 OK 1 events");
}

/// In memory where there is such a place: it is not the disk that is measured.
fn memory() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

const GREETING: &[u8] = b"220 fnaa.unix.ar FNAA\r\n";
const LIMITS: &str = "[limits]\nconnections = 50000\n";
const TLS: &str = "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"tls/server.pem\"\n\
    key_file = \"tls/server.key\"\n";
