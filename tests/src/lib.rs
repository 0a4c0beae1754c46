//! What the stories need: the programs as processes, and sockets to talk to them as strangers do.
//!
//! Nothing here sleeps to hope: it waits for lines, for answers, or for ends, each with a limit after
//! which the test fails and says what it waited for.

mod agreement;
mod chance;
mod compiled;
mod config;
mod fickle;
mod fnaad;
mod fnua;
mod following;
mod guest;
mod inside;
mod memory;
pub mod metrics;
mod mounts;
mod participant;
mod projects;
mod prologue;
pub mod reference;
mod swaps;
mod tls;
mod tool;
mod waiting;
mod wire;

pub use agreement::{EXAMPLES, INCLUDED, Subject};
pub use chance::{Dice, number};
pub use compiled::{host_with_plugin, host_with_plugins};
pub use config::{Config, hash_password};
pub use fickle::{Fickle, LIFE, Manner, records};
pub use fnaad::{Fnaad, Refused};
pub use fnua::{Fnua, Said};
pub use following::Following;
pub use guest::{
    guest, keyed_count, lying_guest, noted, plain_guest, traced_guest, tumbling_window,
};
pub use inside::{
    age_snapshots, age_subscriptions, age_tokens, damage_events, damage_plugin, leftovers,
};
pub use memory::{memory_mib, peak_mib};
pub use mounts::{break_off, in_private_mounts, mount_image, mount_small, remount, unmount};
pub use participant::At;
pub use projects::{changed_project, example, fresh_project, project, remade_project};
pub use prologue::{A, B, Hosted, P, host_after, host_with};
pub use swaps::{Swapped, swap_under_load};
pub use tls::{Certificates, Trust};
pub use tool::Tools;
use tool::included;
pub use waiting::{
    eventually, eventually_described, eventually_holds, eventually_typed, eventually_within,
};
pub use wire::Wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for anything. Reached only when a test fails; generous because CI compiles beside.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Where a host that lends a topic to a subscriber ends itself if it is told to: around what it does at the broker.
pub const PLACES_OF_LENDING: [&str; 6] = [
    "lending.before-lent",
    "lending.lent",
    "lending.carrier-held",
    "lending.emptied",
    "lending.before-taken-back",
    "lending.taken-back",
];

/// The middle of loopback addresses that no other test of this process has, nor most likely another process: for hosts whose
/// ports have to be told beforehand.
#[must_use]
pub fn own_network() -> [u8; 2] {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let process = u8::try_from(std::process::id() % 128).unwrap();
    [64 + process, NEXT.fetch_add(1, Ordering::Relaxed)]
}

/// A program of this workspace, built before the stories run.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("own path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    assert!(path.is_file(), "{} is not built: `make stories` builds it first", path.display());
    path
}

/// Some events, spread over the partitions by sixteen keys.
#[must_use]
pub fn events(numbers: Range<usize>) -> Vec<String> {
    numbers.map(event).collect()
}

/// A CloudEvent as a JSON line: number `n`, of one of sixteen keys.
#[must_use]
pub fn event(n: usize) -> String {
    let event = serde_json::json!({
        "specversion": "1.0", "id": format!("e{n}"), "source": "/stories", "type": "told",
        "partitionkey": format!("k{}", n % 16), "data": {"n": n},
    });
    event.to_string()
}

/// The ids of events, in the order they were read.
#[must_use]
pub fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
}

/// The ids of events in each partition, in order; offsets have to rise.
#[must_use]
pub fn by_partition(events: &[Value]) -> BTreeMap<u64, Vec<&str>> {
    let (mut partitions, mut last) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
    for event in events {
        let partition = event["flowpartition"].as_u64().expect("a partition");
        let offset: u64 = event["flowoffset"].as_str().expect("an offset").parse().unwrap();
        let before = last.insert(partition, offset);
        assert!(before < Some(offset), "offset {offset} after {before:?} in {partition}");
        partitions.entry(partition).or_default().push(event["id"].as_str().expect("an id"));
    }
    partitions
}

/// The event without the place where it was read.
#[must_use]
pub fn unplaced(event: &Value) -> Value {
    let mut event = event.clone();
    let members = event.as_object_mut().expect("an object");
    members.remove("flowpartition").expect("a partition");
    members.remove("flowoffset").expect("an offset");
    event
}

/// Puts a file into a directory as a whole, as operators are told to.
pub fn drop_in(dir: &Path, name: &str, bytes: &[u8]) {
    let partial = dir.join(format!("{name}.part"));
    std::fs::write(&partial, bytes).unwrap();
    std::fs::rename(&partial, dir.join(name)).unwrap();
}
