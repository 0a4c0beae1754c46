//! What names cost where a host has many: its start, its memory, its name server's answers, and looking whether all is there.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stories::{Config, Fnaad, PATIENCE, own_network, program};

use crate::idle;
use crate::process::{cpu_seconds, memory_mib};
use crate::table::{Reach, Table};

/// Flows of the host; `FNAA_BENCH_FLOWS` says another number.
const FLOWS: usize = 50_000;
/// How long the name server is asked.
const ASKED: Duration = Duration::from_secs(5);
/// Who asks it, each with so many questions under way.
const ASKERS: usize = 2;
const UNDER_WAY: usize = 16;

pub fn measure(table: &mut Table) {
    let given = std::env::var("FNAA_BENCH_FLOWS").ok().and_then(|text| text.parse().ok());
    let flows = given.unwrap_or(FLOWS);
    // In memory where there is such a place: it is not the disk that is measured.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(parent).unwrap();
    let [a, b] = own_network();
    let ip = format!("127.{a}.{b}.1");
    let what = |part: &str| format!("{flows} flows in dns: {part}");
    // The same flows without names, to compare with.
    let host = Fnaad::serve(dir.path(), config(dir.path(), &ip, false).save());
    idle::run(|| host.login_as("test", "test"), &commands(flows));
    assert!(host.end().success());
    let began = Instant::now();
    let host = Fnaad::serve(dir.path(), config(dir.path(), &ip, false).save());
    let (plain, plain_memory) = (began.elapsed(), memory_mib(host.id()));
    assert!(host.end().success());
    let config = config(dir.path(), &ip, true);
    let path = config.save();
    let began = Instant::now();
    let host = Fnaad::serve(dir.path(), path);
    let started = began.elapsed().saturating_sub(plain);
    let server = host.dns();
    assert!(
        answers(server, flows, Duration::from_millis(100)) > 0,
        "all is there when it is ready"
    );
    let seconds = |time: Duration| time.as_secs_f64();
    table.figure(&what("start takes longer"), seconds(started), "s", None, Reach::AtMost(10.0));
    let more = memory_mib(host.id()) - plain_memory;
    let each = more * 1_024.0 / flows as f64;
    table.figure(&what("memory for each"), each, "KiB", None, Reach::AtMost(8.0));
    let before = cpu_seconds(host.id());
    let answered = answers(server, flows, ASKED) as f64 / ASKED.as_secs_f64();
    let used = (cpu_seconds(host.id()) - before) / ASKED.as_secs_f64() * 100.0;
    table.figure(&what("answers"), answered, "/s", None, Reach::AtLeast(10_000.0));
    table.figure(&what("answers: CPU of the host"), used, "% of a core", None, Reach::None);
    let (took, cpu) = one_more(&host, flows);
    table.figure(
        &what("one more is found after"),
        seconds(took) * 1e3,
        "ms",
        None,
        Reach::AtMost(1_000.0),
    );
    table.figure(&what("one more: CPU of the host"), cpu * 1e3, "ms", None, Reach::None);
    for (command, most) in [("export", 10.0), ("check", 60.0)] {
        let took = dns(command, path);
        let what = what(&format!("fnaad dns {command}"));
        table.figure(&what, seconds(took), "s", None, Reach::AtMost(most));
    }
}

fn commands(flows: usize) -> Vec<String> {
    (0..flows).map(|number| format!("CREATE FLOW f{number}.flows.unix.ar")).collect()
}

fn config(dir: &Path, ip: &str, named: bool) -> Config {
    let mut config = Config::new(dir);
    if named {
        config.text += &format!(
            "\n[dns]\nagent = \"fnaa.unix.ar:61000\"\naddresses = [\"{ip}\"]\nlisten = [\"{ip}:5300\"]\n\
             [[dns.zones]]\nname = \"unix.ar\"\nembedded = true\n"
        );
    }
    config
}

/// Another flow is made; how long it takes until DNS knows it, and what it costs until all is quiet.
fn one_more(host: &Fnaad, flows: usize) -> (Duration, f64) {
    let mut wire = host.login_as("test", "test");
    let before = cpu_seconds(host.id());
    let began = Instant::now();
    wire.ok(&format!("CREATE FLOW f{flows}.flows.unix.ar"));
    let socket = socket(host.dns());
    let mut octets = [0; 512];
    loop {
        socket.send(&question(1, flows)).unwrap();
        let length = socket.recv(&mut octets).unwrap();
        if has_answers(&octets[..length]) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it is not published");
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    (took, cpu_seconds(host.id()) - before)
}

/// How many questions were answered with records.
fn answers(server: SocketAddr, flows: usize, time: Duration) -> usize {
    std::thread::scope(|scope| {
        let askers = (0..ASKERS).map(|asker| scope.spawn(move || ask(server, asker, flows, time)));
        let askers: Vec<_> = askers.collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    })
}

fn ask(server: SocketAddr, asker: usize, flows: usize, time: Duration) -> usize {
    let socket = socket(server);
    // Neighbours in turn are no neighbours in memory.
    let mut numbers = (asker..).step_by(ASKERS).map(|number| number * 7_919 % flows);
    let mut next = || question(1, numbers.next().unwrap());
    (0..UNDER_WAY).for_each(|_| {
        socket.send(&next()).unwrap();
    });
    let (began, mut answered, mut octets) = (Instant::now(), 0, [0; 2_048]);
    while began.elapsed() < time {
        // What was lost is replaced by another one.
        if let Ok(length) = socket.recv(&mut octets) {
            answered += usize::from(has_answers(&octets[..length]));
        }
        socket.send(&next()).unwrap();
    }
    answered
}

fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

/// A question for the SRV records of a flow.
fn question(id: u16, flow: usize) -> Vec<u8> {
    let mut octets = [&id.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in ["_flow", "_tcp", &format!("f{flow}"), "flows", "unix", "ar", ""] {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label.as_bytes());
    }
    octets.extend_from_slice(&[0, 33, 0, 1]);
    octets
}

fn has_answers(octets: &[u8]) -> bool {
    matches!(octets, [_, _, _, code, _, _, high, low, ..] if code & 15 == 0 && (*high, *low) != (0, 0))
}

/// `fnaad dns COMMAND`, which has to find all as it should be.
fn dns(command: &str, config: &Path) -> Duration {
    let began = Instant::now();
    let mut fnaad = Command::new(program("fnaad"));
    fnaad.args(["dns", command, "--config"]).arg(config).stdout(Stdio::null());
    assert!(fnaad.status().unwrap().success(), "fnaad dns {command}");
    began.elapsed()
}
