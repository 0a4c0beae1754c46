//! How long events wait while one version of a plugin follows another, under load, on either broker. What comes
//! through is checked: nothing is lost, repeated or reordered. `SWAPS=1000` measures more of them.

use stories::{Fnaad, Swapped, Wire, number, swap_under_load};

use crate::kafka::{node, on_kafka};
use crate::table::{Reach, Table};

/// Swaps that are measured, in each of three shards.
const SWAPS: usize = 100;

/// On the embedded broker.
pub fn measure(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let plugins = dir.path().join("plugins");
    rows(table, "embedded", &swap(|| host.login(), &plugins));
}

/// On a Kafka of one node.
pub fn measure_on_kafka(table: &mut Table) {
    let node = node();
    let (host, dir) = on_kafka(&node.servers());
    let plugins = dir.path().join("data/plugins");
    rows(table, "Kafka", &swap(|| host.login_as("test", "test"), &plugins));
}

fn swap(login: impl Fn() -> Wire + Sync, plugins: &std::path::Path) -> Swapped {
    swap_under_load(login, plugins, number("SWAPS", SWAPS))
}

fn rows(table: &mut Table, broker: &str, seen: &Swapped) {
    let what = |part: &str| format!("pause at a swap, {broker}: {part}");
    let millis = |key: &str| seen.pauses[key].as_f64().unwrap();
    table.figure(&what("p50"), millis("p50"), "ms", None, Reach::None);
    table.figure(&what("p99"), millis("p99"), "ms", None, Reach::AtMost(20.0));
    table.figure(&what("longest"), millis("max"), "ms", None, Reach::None);
    table.figure(&what("events that came through"), seen.events as f64, "", None, Reach::None);
}
