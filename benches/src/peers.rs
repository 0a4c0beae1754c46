//! What connections cost that do nothing, and what hostile peers cost those who work.

mod crowd;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stories::{Config, Fnaad, Wire, event};

use crate::process::memory_mib;
use crate::table::{Reach, Table};

/// Connections that say nothing.
const IDLE: usize = 10_000;
/// Of those who are looked at after they have worked: each costs a slow hash to come in.
const WORKED: usize = 500;
/// Answers whose times are taken, of each kind in each round.
const ANSWERS: usize = 1_000;
/// Rounds by turns of which the best counts.
const ROUNDS: usize = 5;

pub fn measure(table: &mut Table) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    idle(table);
    beside(table);
}

fn host(dir: &Path) -> Fnaad {
    let mut config = Config::new(dir);
    config.text += "[limits]\nconnections = 50000\n";
    let host = Fnaad::serve(dir, config.save());
    login(&host).ok(&format!("CREATE FLOW {FLOW}"));
    host
}

fn login(host: &Fnaad) -> Wire {
    host.login_as("test", "test")
}

fn idle(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let host = host(dir.path());
    let each = |before: f64, count: usize| (memory_mib(host.id()) - before) * 1024.0 / count as f64;
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
        user.write(FLOW, &[event(number)]);
        user.data(&format!("READ {FLOW} FROM earliest LIMIT 1"));
    }
    let what = format!("{WORKED} who wrote and read before: memory of each");
    table.figure(&what, each(before, WORKED), "KiB", None, Reach::None);
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
    let mut best = [[Duration::MAX; 2]; 2];
    for _ in 0..ROUNDS {
        for (hostile, best) in best.iter_mut().enumerate() {
            let crowd = (hostile == 1).then(|| crowd::Crowd::around(&host));
            let mut wire = login(&host);
            let commands: [fn(&mut Wire); 2] = [noop, write];
            for (best, command) in best.iter_mut().zip(commands) {
                *best = p99(&mut wire, command).min(*best);
            }
            drop(crowd);
        }
    }
    let [alone, beside] = best;
    for (what, alone, beside) in
        [("NOOP", alone[0], beside[0]), ("WRITE of one event", alone[1], beside[1])]
    {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        table.figure(&format!("{what} alone: p99"), micros(alone), "us", None, Reach::None);
        let ratio = beside.as_secs_f64() / alone.as_secs_f64();
        let what = format!("{what} beside hostile peers: p99");
        table.ratio(&what, micros(beside), "us", ratio, Reach::AtMost(1.5));
    }
}

fn noop(wire: &mut Wire) {
    wire.ok("NOOP");
}

fn write(wire: &mut Wire) {
    assert_eq!(wire.write(FLOW, &[event(0)]), "220 OK 1 events");
}

fn p99(wire: &mut Wire, command: fn(&mut Wire)) -> Duration {
    let mut times: Vec<Duration> = (0..ANSWERS)
        .map(|_| {
            let began = Instant::now();
            command(wire);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[ANSWERS * 99 / 100]
}

/// In memory where there is such a place: it is not the disk that is measured.
fn memory() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

const FLOW: &str = "a.flows.unix.ar";
const GREETING: &[u8] = b"220 fnaa.unix.ar FNAA\r\n";
