//! How long events wait while one version of a plugin follows another, under load on the embedded broker.

use stories::{Fnaad, swap_under_load};

use crate::table::{Reach, Table};

/// Swaps that are measured, in each of three shards.
const SWAPS: usize = 100;

pub fn measure(table: &mut Table) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let seen = swap_under_load(|| host.login(), &dir.path().join("plugins"), SWAPS);
    let millis = |key: &str| seen.pauses[key].as_f64().unwrap();
    table.figure("pause at a swap, p50", millis("p50"), "ms", None, Reach::None);
    table.figure("pause at a swap, p99", millis("p99"), "ms", None, Reach::AtMost(20.0));
    table.figure("pause at a swap, longest", millis("max"), "ms", None, Reach::None);
}
