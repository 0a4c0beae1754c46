//! The process itself, as the system sees it. Names are those of Prometheus' own client libraries, so that
//! existing dashboards find them. What the system does not tell is left out.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::text::{Exposition, Kind};

/// Ticks a second of the times in `/proc`: part of Linux' interface for programs, the same everywhere.
const TICKS: f64 = 100.0;

/// Writes memory, processor time, open files and the start.
pub fn write(page: &mut Exposition) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = kib(&status, "VmRSS:") {
        let help = "Resident memory size in bytes.";
        page.single("process_resident_memory_bytes", Kind::Gauge, help, bytes);
    }
    if let Some(bytes) = kib(&status, "VmSize:") {
        let help = "Virtual memory size in bytes: mostly address space reserved for plugins.";
        page.single("process_virtual_memory_bytes", Kind::Gauge, help, bytes);
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = cpu_seconds(&stat) {
        let help = "Total user and system CPU time spent in seconds.";
        page.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    if let Some(seconds) = start_time(&stat) {
        let help = "Start time of the process since unix epoch in seconds.";
        page.single("process_start_time_seconds", Kind::Gauge, help, seconds);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The one that lists them is among them.
        let open = (entries.count() as u64).saturating_sub(1);
        page.single("process_open_fds", Kind::Gauge, "Number of open file descriptors.", open);
    }
    if let Some(most) = most_files(&fs::read_to_string("/proc/self/limits").unwrap_or_default()) {
        let help = "Maximum number of open file descriptors.";
        page.single("process_max_fds", Kind::Gauge, help, most);
    }
}

fn kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// A field of `/proc/self/stat` by its number in the manual. The second one may hold blanks and brackets.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_time(stat: &str) -> Option<f64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    // Whole seconds: the two clocks are not read at the same moment, and a start does not move.
    Some((now - uptime + field(stat, 22)? / TICKS).round())
}

fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_itself() {
        let mut page = Exposition::default();
        write(&mut page);
        let text = page.into_text();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let start = value("process_start_time_seconds ");
        assert!(
            (now - 86_400.0..=now + 2.0).contains(&start),
            "{start} is not shortly before {now}"
        );
    }

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 999 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(field(stat, 22), Some(999.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
