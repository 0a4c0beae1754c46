//! One contender at a time at work, measured.

use std::time::{Duration, Instant};

use kafka_node::Node;

use super::check::Reader;
use super::contender::{Contender, Mode, Pace, Task};
use super::paced::{self, Ages};
use super::records::{self, SOURCE};
use super::{PARTITIONS, topics};
use crate::process::{cpu_seconds, peak_mib};

/// How long a node may take to delete what was copied.
const DELETED: Duration = Duration::from_secs(10);

/// What was measured of a contender in one mode.
pub struct Figures {
    /// What it is called.
    pub name: &'static str,
    /// Records a second, of the best round.
    pub rate: f64,
    /// Seconds of processor time of its process for a million records, in that round.
    pub cpu: f64,
    /// The same of the node.
    pub node: f64,
    /// The most memory in use, in MiB.
    pub peak: f64,
    /// Milliseconds from a record's making until a reader outside has it, at an even pace.
    pub p50: f64,
    pub p99: f64,
}

/// Measures all contenders by turns, so that what else the machine does hits all of them.
pub fn by_turns(node: &Node, contenders: &[Contender], mode: Mode) -> Vec<Figures> {
    let mut figures: Vec<Option<Figures>> = contenders.iter().map(|_| None).collect();
    for round in 0..contenders.iter().map(|contender| contender.rounds).max().unwrap_or(0) {
        for (contender, best) in contenders.iter().zip(&mut figures) {
            if round < contender.rounds {
                let measured = at_full_pace(node, contender, mode);
                if best.as_ref().is_none_or(|best| best.rate < measured.rate) {
                    *best = Some(measured);
                }
            }
        }
    }
    // What was copied is deleted; a node that deletes gigabytes answers late.
    std::thread::sleep(DELETED);
    let mut figures: Vec<Figures> = figures.into_iter().flatten().collect();
    for (contender, figures) in contenders.iter().zip(&mut figures) {
        let mut ages = at_even_pace(node, contender, mode);
        (figures.p50, figures.p99) = (ages.percentile(50), ages.percentile(99));
    }
    figures
}

/// From the first record in the target to the last, so that nobody's start counts.
fn at_full_pace(node: &Node, contender: &Contender, mode: Mode) -> Figures {
    let alias = alias();
    let servers = &node.servers();
    let task = Task { servers, source: SOURCE, alias: &alias, mode, pace: Pace::Full };
    let target = task.target();
    topics::create(servers, &target);
    let reader = Reader::new(servers, &target);
    let running = (contender.start)(&task);
    reader.wait_begun();
    let used = || (cpu_seconds(running.id()), cpu_seconds(node.pid().unwrap()));
    let (began, before) = (Instant::now(), used());
    reader.wait_last(records::EACH);
    let (took, after) = (began.elapsed(), used());
    let peak = peak_mib(running.id());
    drop(running);
    reader.verify(records::EACH, mode);
    topics::delete(servers, &target);
    let millions = (records::EACH * PARTITIONS as u64) as f64 / 1e6;
    let rate = millions * 1e6 / took.as_secs_f64();
    let cpu = (after.0 - before.0) / millions;
    eprintln!("  {} {}: {rate:.0} records/s", contender.name, mode.word());
    let node = (after.1 - before.1) / millions;
    Figures { name: contender.name, rate, cpu, node, peak, p50: 0.0, p99: 0.0 }
}

fn at_even_pace(node: &Node, contender: &Contender, mode: Mode) -> Ages {
    let alias = alias();
    let source = format!("paced-{alias}");
    let servers = &node.servers();
    let task = Task { servers, source: &source, alias: &alias, mode, pace: Pace::Prompt };
    let target = task.target();
    topics::create(servers, &source);
    topics::create(servers, &target);
    let reader = Reader::new(servers, &target);
    paced::write_first(servers, &source);
    let running = (contender.start)(&task);
    reader.wait_last(1);
    let mut ages = Ages::default();
    std::thread::scope(|scope| {
        scope.spawn(|| paced::write_others(servers, &source));
        reader.follow(paced::EACH, |number, age| ages.add(number, age));
    });
    drop(running);
    topics::delete(servers, &source);
    topics::delete(servers, &target);
    ages
}

/// A name that no run had before.
pub fn alias() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("run{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
