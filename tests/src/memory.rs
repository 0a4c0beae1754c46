//! What a process holds in memory, as the kernel counts it.

/// Memory of a process that is in use, in MiB.
#[must_use]
pub fn memory_mib(id: u32) -> f64 {
    kib(id, "VmRSS:") / 1024.0
}

/// The most memory that a process had in use since it began, in MiB.
#[must_use]
pub fn peak_mib(id: u32) -> f64 {
    kib(id, "VmHWM:") / 1024.0
}

fn kib(id: u32, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
