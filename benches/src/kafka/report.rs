//! The rows of the table: each contender's figures, and what the bridge has to reach beside them.

use super::contender::Mode;
use super::run::Figures;
use super::{BRIDGE, LOOP, MIRROR};
use crate::table::{Reach, Table};

/// Adds the rows of one mode: ratios are to the plain loop, and of the bridge to MirrorMaker.
pub fn rows(table: &mut Table, mode: Mode, figures: &[Figures]) {
    let of = |name| figures.iter().find(|one| one.name == name);
    for one in figures {
        rows_of(table, mode, one, of(LOOP));
    }
    let (Some(bridge), Some(mirror)) = (of(BRIDGE), of(MIRROR)) else { return };
    let what = |part: &str| format!("{BRIDGE} to {MIRROR} {}: {part}", mode.word());
    let (each, ratio) = (1e6 / bridge.cpu, mirror.cpu / bridge.cpu);
    table.ratio(&what("per CPU s"), each, "records", ratio, Reach::AtLeast(8.0));
    let (peak, ratio) = (bridge.peak, bridge.peak / mirror.peak);
    table.ratio(&what("memory"), peak, "MiB", ratio, Reach::AtMost(0.1));
}

fn rows_of(table: &mut Table, mode: Mode, one: &Figures, yardstick: Option<&Figures>) {
    let what = |part: &str| format!("{} {}: {part}", one.name, mode.word());
    let is_bridge = one.name == BRIDGE;
    let reach = |reach| if is_bridge { reach } else { Reach::None };
    let beside = yardstick.unwrap_or(one);
    let (rate, cpu) = (one.rate / beside.rate, one.cpu / beside.cpu);
    table.ratio(&what("throughput"), one.rate, "records/s", rate, reach(Reach::AtLeast(0.9)));
    table.ratio(&what("its CPU"), one.cpu, "s/million", cpu, reach(Reach::AtMost(1.15)));
    table.figure(&what("the node's CPU"), one.node, "s/million", None, Reach::None);
    table.figure(&what("peak memory"), one.peak, "MiB", None, Reach::None);
    table.figure(&what("p50 at 1,000/s"), one.p50, "ms", None, Reach::None);
    let prompt = is_bridge && mode == Mode::ExactlyOnce;
    let prompt = if prompt { Reach::AtMost(15.0) } else { Reach::None };
    table.figure(&what("p99 at 1,000/s"), one.p99, "ms", None, prompt);
}

/// Adds what exactly-once costs the bridge.
pub fn price(table: &mut Table, at_least: &[Figures], exactly: &[Figures]) {
    let rate = |all: &[Figures]| all.iter().find(|one| one.name == BRIDGE).map(|one| one.rate);
    let (Some(at_least), Some(exactly)) = (rate(at_least), rate(exactly)) else { return };
    let (what, ratio) = (format!("{BRIDGE}: exactly-once to at-least-once"), exactly / at_least);
    table.ratio(&what, exactly, "records/s", ratio, Reach::AtLeast(0.85));
}
