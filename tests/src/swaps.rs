//! One version of a plugin after another, while events flow.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::{A, B, P, Wire, by_partition, drop_in, events, eventually_described, eventually_holds};

/// Events of one WRITE.
const TOGETHER: usize = 20;

/// Between two WRITEs: a few of them come between any two versions.
const PAUSE: Duration = Duration::from_millis(25);

/// Partitions of the flows.
const PARTITIONS: usize = 3;

/// What was seen of it.
pub struct Swapped {
    /// Events that went through.
    pub events: usize,
    /// How long those of a shard waited, as DESCRIBE PROCESSOR says it.
    pub pauses: Value,
}

/// Lets two versions of the bridge follow each other so many times under load, and looks whether every
/// event came through, once and in order.
///
/// # Panics
/// When that is not so.
pub fn swap_under_load(login: impl Fn() -> Wire + Sync, plugins: &Path, swaps: usize) -> Swapped {
    let mut wire = login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions={PARTITIONS}"));
    }
    wire.ok(&format!("REPLICATE {A} {B} AS {P}"));
    let versions = [
        (host_builtin::bridge_next().component, "0.2.0".to_owned()),
        (host_builtin::all()[0].component, version_of_first(&mut wire)),
    ];
    let enough = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_until(login(), &enough));
        let _over = Over(&enough);
        for (component, version) in versions.iter().cycle().take(swaps) {
            drop_in(plugins, "bridge.wasm", component);
            eventually_described(&mut wire, P, version, |seen| {
                let runs = |shard| seen[format!("shard.{shard}")]["version"] == **version;
                (0..PARTITIONS).all(runs)
            });
        }
        enough.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    let seen = eventually_described(&mut wire, P, "all events", |seen| {
        seen["lag-events"] == 0 && seen["state"] == "running"
    });
    let copied = eventually_holds(&mut wire, B, written);
    assert_eq!(by_partition(&copied), by_partition(&wire.read(A)), "lost, repeated or reordered");
    assert_eq!(seen["failures"], 0, "{seen}");
    Swapped { events: written, pauses: seen["swap-pause-ms"].clone() }
}

fn version_of_first(wire: &mut Wire) -> String {
    wire.describe("PROCESSOR bridge")["version"].as_str().unwrap().to_owned()
}

fn write_until(mut wire: Wire, enough: &AtomicBool) -> usize {
    let mut written = 0;
    while !enough.load(Ordering::Relaxed) {
        let answer = wire.write(A, &events(written..written + TOGETHER));
        assert_eq!(answer, format!("220 OK {TOGETHER} events"));
        written += TOGETHER;
        std::thread::sleep(PAUSE);
    }
    written
}

/// Whoever writes must not go on where something else fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
