//! What a process costs, as the kernel counts it.

use std::collections::BTreeMap;

pub use stories::{memory_mib, peak_mib};

/// The unit of processor time in /proc, the same on every Linux machine of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time that a process and its ended children have used.
pub fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SECOND
}

/// How many threads a process has of each name.
pub fn threads(id: u32) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{id}/task")).unwrap() {
        // A thread that has ended since has no name.
        let Ok(name) = std::fs::read_to_string(task.unwrap().path().join("comm")) else { continue };
        *names.entry(name.trim_end().to_owned()).or_default() += 1;
    }
    names
}
