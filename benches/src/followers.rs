//! Many who follow one flow: what each of them costs the host in memory and threads, on connections of their own and on
//! one connection together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fnap::stream::Followed;
use stories::{A, Config, Fnaad, Following, Wire};

use crate::events::{self, Load};
use crate::idle;
use crate::process::{cpu_seconds, memory_mib, peak_mib, threads};
use crate::table::{Reach, Table};

/// Followers of the flow.
const FOLLOWERS: usize = if cfg!(debug_assertions) { 20 } else { 500 };
/// What is written while they follow: 1 KiB each, some 100 MB.
const LOAD: Load =
    Load { events: if cfg!(debug_assertions) { 2_000 } else { 100_000 }, octets: 1 << 10 };
/// What a follower may have under way: as much as a host gives its streams.
const CREDIT: u64 = 4 << 20;
/// Longest time until all have everything.
const PATIENCE: Duration = Duration::from_secs(900);
/// Changes of the registry, with followers and without.
const CHANGES: usize = if cfg!(debug_assertions) { 100 } else { 2_000 };
/// A thread that follows needs no more.
const STACK: usize = 512 << 10;

pub fn measure(table: &mut Table) {
    round(table, "one connection each", 1);
    round(table, "one connection for all", FOLLOWERS);
}

/// Subscribes and attaches all, so many of them on one connection; writes, and looks at the host.
fn round(table: &mut Table, how: &str, streams: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text += LIMITS;
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = login(&host);
    wire.ok(&format!("CREATE FLOW {A}"));
    let names: Vec<String> =
        (0..FOLLOWERS).map(|_| wire.data(&format!("SUBSCRIBE {A}")).swap_remove(0)).collect();
    let names: Vec<&[String]> = names.chunks(streams).collect();
    let [connected, look, attached, end] = [(); 4].map(|()| Barrier::new(names.len() + 1));
    let alone = changes(&host, "before");
    let came = AtomicU64::new(0);
    let what = |part: &str| format!("{FOLLOWERS} followers, {how}: {part}");
    std::thread::scope(|scope| {
        for names in names {
            let (host, barriers, came) = (&host, [&connected, &look, &attached, &end], &came);
            let work = move || follow(host, names, barriers, came);
            std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).unwrap();
        }
        // A password costs memory that others use later: what a follower costs is what comes now.
        connected.wait();
        let (before, idle) = (memory_mib(host.id()), count(threads(host.id())));
        look.wait();
        attached.wait();
        let kib = (memory_mib(host.id()) - before) * 1024.0 / FOLLOWERS as f64;
        table.figure(&what("memory of each, attached"), kib, "KiB", None, Reach::None);
        let (began, cpu) = (Instant::now(), cpu_seconds(host.id()));
        events::write(|| login(&host), A, LOAD);
        let all = LOAD.events * FOLLOWERS as u64;
        while came.load(Ordering::Relaxed) < all {
            assert!(began.elapsed() < PATIENCE, "{} of {all}", came.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(5));
        }
        let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(host.id()) - cpu);
        table.figure(&what("all have all"), all as f64 / took, "events/s", None, Reach::None);
        let cpu = cpu / all as f64 * 1e6;
        table.figure(&what("processor time"), cpu, "s/million", None, Reach::None);
        let after = memory_mib(host.id());
        table.figure(&what("memory, connected"), before, "MiB", None, Reach::None);
        table.figure(&what("memory after"), after, "MiB", None, Reach::None);
        table.figure(&what("most memory"), peak_mib(host.id()), "MiB", None, Reach::None);
        let more = count(threads(host.id())) as f64 - idle as f64;
        table.figure(&what("threads, connected"), idle as f64, "threads", None, Reach::None);
        table.figure(&what("more threads"), more, "threads", None, Reach::None);
        // Each stream is looked at again when something changes, whatever that was.
        let beside = changes(&host, "beside");
        let row = what("processor time of a change beside them");
        table.ratio(&row, beside, "us", beside / alone, Reach::None);
        end.wait();
    });
}

/// Follows on one connection until all of its streams have everything.
fn follow(host: &Fnaad, names: &[String], barriers: [&Barrier; 4], came: &AtomicU64) {
    let [connected, look, attached, end] = barriers;
    let mut following = Following::begin(login(host));
    connected.wait();
    look.wait();
    let begun = names.iter().map(|name| following.attach(name, &BTreeMap::new(), CREDIT));
    let mut missing: BTreeMap<u32, u64> = begun.map(|stream| (stream, LOAD.events)).collect();
    let mut waiting = missing.len();
    while waiting > 0 {
        match following.next() {
            Followed::Attached { .. } => waiting -= 1,
            Followed::Hello => {}
            other => panic!("{other:?}"),
        }
    }
    attached.wait();
    while !missing.is_empty() {
        let batch = match following.next() {
            Followed::Records(batch) => batch,
            other => panic!("{other:?}"),
        };
        let left = missing.get_mut(&batch.stream).expect("no more than was written");
        *left -= batch.count as u64;
        if *left == 0 {
            missing.remove(&batch.stream);
        }
        following.side().used(batch.stream, batch.cost);
        came.fetch_add(batch.count as u64, Ordering::Relaxed);
    }
    // What was given back last is said, or the host would wait for it.
    following.write();
    end.wait();
}

/// Makes flows that nobody follows; gives microseconds of processor time of each.
fn changes(host: &Fnaad, name: &str) -> f64 {
    let create = |number| format!("CREATE FLOW {name}{number}.flows.unix.ar");
    let commands: Vec<String> = (0..CHANGES).map(create).collect();
    let cpu = cpu_seconds(host.id());
    idle::run(|| login(host), &commands);
    (cpu_seconds(host.id()) - cpu) / CHANGES as f64 * 1e6
}

/// One after another: only so many passwords are checked at once, and so many wait.
fn login(host: &Fnaad) -> Wire {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    host.login_as("test", "test")
}

fn count(threads: BTreeMap<String, usize>) -> usize {
    threads.values().sum()
}

const LIMITS: &str = "[limits]\nconnections = 2000\n";
