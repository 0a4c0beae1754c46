//! How long a start takes, and what a large population costs while nothing happens.

use std::path::Path;
use std::time::{Duration, Instant};

use stories::{Fnaad, Wire};

use crate::process::{cpu_seconds, memory_mib};
use crate::table::{Reach, Table};

/// Flows of the population.
const FLOWS: usize = 10_000;
/// Processors of the population, each between two flows of its own.
const PROCESSORS: usize = 1_000;
/// How long the idle host is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Connections that make the population.
const CONNECTIONS: usize = 16;
/// Commands that are under way on each.
const PIPELINED: usize = 64;
/// Starts of which the best counts.
const STARTS: usize = 5;

pub fn measure(table: &mut Table) {
    starts(table);
    // In memory where there is such a place: it is not the disk that is measured.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(parent).unwrap();
    let host = Fnaad::dev(dir.path());
    populate(&host);
    assert!(host.end().success());
    let began = Instant::now();
    let host = Fnaad::dev(dir.path());
    let started = began.elapsed();
    settle(|| host.login(), PROCESSORS);
    let settled = began.elapsed();
    let before = cpu_seconds(host.id());
    std::thread::sleep(LOOK);
    let share = (cpu_seconds(host.id()) - before) / LOOK.as_secs_f64() * 100.0;
    let what = |part: &str| format!("{PROCESSORS} processors, {FLOWS} flows: {part}");
    table.figure(&what("memory"), memory_mib(host.id()), "MiB", None, Reach::AtMost(1024.0));
    table.figure(&what("idle CPU"), share, "% of a core", None, Reach::AtMost(5.0));
    table.figure(&what("ready"), started.as_secs_f64() * 1e3, "ms", None, Reach::None);
    table.figure(&what("all run"), settled.as_secs_f64() * 1e3, "ms", None, Reach::None);
}

fn starts(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    assert!(Fnaad::dev(dir.path()).end().success());
    let start = |_| {
        let began = Instant::now();
        let host = Fnaad::dev(dir.path());
        let took = began.elapsed();
        assert!(host.end().success());
        took
    };
    let best = (0..STARTS).map(start).min().unwrap();
    let millis = best.as_secs_f64() * 1e3;
    table.figure("start with cached plugins", millis, "ms", None, Reach::AtMost(300.0));
}

fn populate(host: &Fnaad) {
    let flows = (0..FLOWS).map(|number| format!("CREATE FLOW {}", flow(number)));
    run(|| host.login(), &flows.collect::<Vec<_>>());
    let processor = |number: usize| {
        let (from, to) = (flow(2 * number), flow(2 * number + 1));
        format!("CREATE PROCESSOR p{number}.flows.unix.ar TYPE bridge FROM {from} TO {to}")
    };
    run(|| host.login(), &(0..PROCESSORS).map(processor).collect::<Vec<_>>());
}

fn flow(number: usize) -> String {
    format!("f{number}.flows.unix.ar")
}

/// Carries commands out over some connections, many under way on each.
pub fn run(login: impl Fn() -> Wire + Sync, commands: &[String]) {
    std::thread::scope(|scope| {
        for part in commands.chunks(commands.len().div_ceil(CONNECTIONS)) {
            let login = &login;
            scope.spawn(move || {
                let mut wire = login();
                part.chunks(PIPELINED).for_each(|commands| pipelined(&mut wire, commands));
            });
        }
    });
}

fn pipelined(wire: &mut Wire, commands: &[String]) {
    let text: String = commands.iter().flat_map(|command| [command, "\r\n"]).collect();
    wire.send(text.as_bytes());
    for command in commands {
        let answer = wire.answer();
        assert!(answer[0].starts_with("220 OK"), "{command}: {answer:?}");
    }
}

/// Waits until all of so many processors run.
pub fn settle(login: impl Fn() -> Wire, count: usize) {
    let mut wire = login();
    let began = Instant::now();
    loop {
        let processors = wire.json("GET PROCESSORS");
        let running = processors.iter().filter(|one| one["state"] == "running").count();
        if running == count {
            return;
        }
        assert!(began.elapsed() < stories::PATIENCE, "{running} of {count} run");
        std::thread::sleep(Duration::from_millis(50));
    }
}
