//! What the host costs: one table of ratios from one run. `make bench` builds and runs it.
//!
//! It measures and asserts nothing: a row that falls short is marked, and the run ends well. Ratios of
//! two things measured side by side say more than times, because machines differ and are shared.
//! Arguments name the parts to run: `boundary`, `neighbours`, `path`, `meters`, `idle`, `peers`, `rights`, `names`, `stream`, `followers`,
//! `languages`, `swap`, `kafka-swap`, `kafka`, `kafka-idle`, `takeover`, `streams`; none means all.
//! `copy-loop …` is the yardstick of the part `kafka` in a process of its own; the part `stream` has such processes, too.

mod ages;
mod batches;
mod boundary;
mod events;
mod followers;
mod idle;
mod kafka;
mod languages;
mod meters;
mod names;
mod neighbours;
mod path;
mod peers;
mod process;
mod rights;
mod stream;
mod swap;
mod table;

use table::Table;

/// Measures one part and adds its rows.
type Measure = fn(&mut Table);

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &asked[..] {
        if first == kafka::COPY_LOOP {
            return kafka::copy_loop(rest);
        }
        if stream::process(first, rest) {
            return;
        }
    }
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    let mut table = Table::default();
    let parts: [(&str, Measure); 17] = [
        ("boundary", boundary::measure),
        ("neighbours", neighbours::measure),
        ("path", path::measure),
        ("meters", meters::measure),
        ("idle", idle::measure),
        ("peers", peers::measure),
        ("rights", rights::measure),
        ("names", names::measure),
        ("stream", stream::measure),
        ("followers", followers::measure),
        ("languages", languages::measure),
        ("swap", swap::measure),
        ("kafka-swap", swap::measure_on_kafka),
        ("kafka", kafka::measure),
        ("kafka-idle", kafka::measure_idle),
        ("takeover", kafka::measure_takeover),
        ("streams", kafka::measure_streams),
    ];
    for (part, measure) in parts.into_iter().filter(|(part, _)| wanted(part)) {
        eprintln!("measuring: {part} (load {})", table::load());
        measure(&mut table);
    }
    table.print();
}
