//! A whole host: events in with `fnua write`, through a bridge from flow to flow, out with `fnua read`;
//! against the same bytes appended to a bare file.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use stories::{A, B, Fnaad, P, Wire};

use crate::table::{Reach, Table};

/// The flow of small events.
const C: &str = "c.flows.unix.ar";
/// Events that go through.
const EVENTS: u64 = 300_000;
/// Octets of an event's data.
const DATA: usize = 1024;
/// Octets of a small event's data.
const SMALL: usize = 100;
/// Events of one append to the bare file: the bytes that a commit of a busy shard has, so that both
/// wait for the disk as often.
const APPEND: u64 = 4096;
/// Passes of which the best counts, the host and the bare file by turns.
const ROUNDS: usize = 3;
/// Longest time that anything here may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn measure(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(&dir.path().join("host"));
    let mut wire = host.login();
    wire.ok(&format!("CREATE FLOW {C}"));
    let small = write(&host, C, SMALL);
    wire.ok(&format!("DELETE FLOW {C}"));
    wire.ok(&format!("CREATE FLOW {A}"));
    let written = write(&host, A, DATA);
    let (mut through, mut bare) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        bare = bare.min(bare_append(dir.path()));
        through = through.min(bridge(&mut wire));
    }
    let read = (0..ROUNDS).map(|_| timed(|| read_all(&host))).min().unwrap();
    let rate = |took: Duration| EVENTS as f64 / took.as_secs_f64();
    let what = format!("flow to flow (bare file {:.0}/s)", rate(bare));
    let ratio = rate(through) / rate(bare);
    table.ratio(&what, rate(through), "events/s", ratio, Reach::AtLeast(0.4));
    let reach = Reach::AtLeast(80_000.0);
    table.figure("fnua write, 100 octets", rate(small), "events/s", None, reach);
    table.figure("fnua write, 1 KiB", rate(written), "events/s", None, reach);
    table.figure("fnua read, 1 KiB", rate(read), "events/s", None, reach);
}

/// From the command that makes the processor to the last event in its output.
fn bridge(wire: &mut Wire) -> Duration {
    wire.ok(&format!("CREATE FLOW {B}"));
    let took = timed(|| {
        wire.ok(&format!("CREATE PROCESSOR {P} TYPE bridge FROM {A} TO {B} START EARLIEST"));
        let began = Instant::now();
        while events(wire, B) < EVENTS {
            assert!(began.elapsed() < PATIENCE, "{:?}", wire.describe(&format!("PROCESSOR {P}")));
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    wire.ok(&format!("DELETE PROCESSOR {P}"));
    wire.ok(&format!("DELETE FLOW {B}"));
    took
}

fn events(wire: &mut Wire, flow: &str) -> u64 {
    let flow = wire.describe(&format!("FLOW {flow}"));
    flow["log"].as_array().unwrap().iter().map(|log| log["latest"].as_u64().unwrap()).sum()
}

/// Writes events with so many octets of data.
fn write(host: &Fnaad, flow: &str, data: usize) -> Duration {
    let lines = host.dir().join("events.jsonl");
    write_lines(&lines, data);
    let took = timed(|| {
        let mut child = host.fnua().spawn(&["--quiet", "write", flow, &lines.to_string_lossy()]);
        assert!(child.wait().unwrap().success());
    });
    std::fs::remove_file(lines).unwrap();
    took
}

/// Reads everything; whoever reads less would look fast.
fn read_all(host: &Fnaad) {
    let mut child = host.fnua().spawn(&["--quiet", "read", A]);
    let (mut stdout, mut buffer, mut lines) = (child.stdout.take().unwrap(), vec![0; 1 << 16], 0);
    loop {
        let count = stdout.read(&mut buffer).unwrap();
        if count == 0 {
            break;
        }
        lines += buffer[..count].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(lines, EVENTS);
}

fn write_lines(to: &Path, octets: usize) {
    let mut file = BufWriter::new(File::create(to).unwrap());
    for number in 0..EVENTS {
        let data = noise(number, octets);
        writeln!(
            file,
            r#"{{"specversion":"1.0","id":"{number}","source":"/bench","type":"measured","subject":"a thing","datacontenttype":"text/plain","data":"{data}"}}"#
        )
        .unwrap();
    }
    file.into_inner().unwrap();
}

/// The bytes of the records' data, each append on disk before the next.
fn bare_append(dir: &Path) -> Duration {
    let path = dir.join("bare");
    let mut file = File::create(&path).unwrap();
    let block: Vec<u8> = (0..APPEND).flat_map(|number| noise(number, DATA).into_bytes()).collect();
    let took = timed(|| {
        for begun in (0..EVENTS).step_by(APPEND as usize) {
            let part = APPEND.min(EVENTS - begun) as usize * DATA;
            file.write_all(&block[..part]).unwrap();
            file.sync_data().unwrap();
        }
    });
    std::fs::remove_file(path).unwrap();
    took
}

/// Text that no file system makes smaller.
fn noise(seed: u64, octets: usize) -> String {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..octets).map(letter).map(|letter| if letter == '\\' { 'z' } else { letter }).collect()
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
