//! One contender at a time counts, measured.

use std::collections::HashMap;
use std::time::Instant;

use kafka_node::Node;

use super::tally::Tally;
use super::{ALL, WARM, load};
use crate::kafka::contender::{Contender, Mode, Pace, Task};
use crate::kafka::{run, topics};
use crate::process::{cpu_seconds, peak_mib};

/// What was measured of a contender.
#[derive(Clone)]
pub struct Figures {
    pub name: &'static str,
    /// Records for a second of its processor time, once it was warm.
    pub per_cpu: f64,
    /// The same from its start on.
    pub whole: f64,
    /// Records a second.
    pub rate: f64,
    /// Seconds of the node's processor time for a million records.
    pub node: f64,
    /// The most memory in use, in MiB.
    pub peak: f64,
    /// Records that it wrote.
    pub outputs: u64,
}

/// The median of each contender, all of them by turns.
pub fn by_turns(node: &Node, contenders: &[Contender], source: &str, keys: u64) -> Vec<Figures> {
    let expected = load::expected(keys);
    let mut seen: Vec<Vec<Figures>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..contenders.iter().map(|contender| contender.rounds).max().unwrap_or(0) {
        for (contender, seen) in contenders.iter().zip(&mut seen) {
            if round < contender.rounds {
                seen.push(one(node, contender, source, &expected));
            }
        }
    }
    seen.into_iter().filter_map(median).collect()
}

fn median(mut figures: Vec<Figures>) -> Option<Figures> {
    figures.sort_by(|one, other| one.per_cpu.total_cmp(&other.per_cpu));
    figures.get(figures.len() / 2).cloned()
}

fn one(
    node: &Node,
    contender: &Contender,
    source: &str,
    expected: &HashMap<Vec<u8>, u64>,
) -> Figures {
    let (servers, alias) = (&node.servers(), &run::alias());
    let task = Task { servers, source, alias, mode: Mode::ExactlyOnce, pace: Pace::Full };
    let target = task.target();
    topics::create(servers, &target);
    let mut tally = Tally::new(servers, &target);
    let running = (contender.start)(&task);
    tally.until(WARM);
    let used = || (cpu_seconds(running.id()), cpu_seconds(node.pid().unwrap()));
    let (began, before) = (Instant::now(), used());
    tally.until(ALL);
    let (took, after) = (began.elapsed(), used());
    let peak = peak_mib(running.id());
    drop(running);
    tally.verify(expected);
    topics::delete(servers, &target);
    let counted = (ALL - WARM) as f64;
    let figures = Figures {
        name: contender.name,
        per_cpu: counted / (after.0 - before.0),
        whole: ALL as f64 / after.0,
        rate: counted / took.as_secs_f64(),
        node: (after.1 - before.1) / counted * 1e6,
        peak,
        outputs: tally.outputs(),
    };
    let Figures { name, per_cpu, rate, .. } = &figures;
    eprintln!("  {name}: {per_cpu:.0} records a CPU second, {rate:.0} a second");
    figures
}
