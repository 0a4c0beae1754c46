//! What is measured of two participants: how soon the first event is there, how many come a second, how old they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stories::{Following, Wire};

use super::plain::{self, Sent};
use super::two::{self, LOCAL, Place, Two};
use crate::ages::Ages;
use crate::events::{self, Load};
use crate::table::{Reach, Table};

const DEBUG: bool = cfg!(debug_assertions);

/// What is measured, and how much of it.
pub struct Plan {
    /// How both are connected, for the rows.
    pub how: String,
    /// Events that are there before somebody subscribes.
    pub events: u64,
    /// Partitions of flows that are subscribed to.
    pub partitions: &'static [u32],
    /// Whether streams are under TLS.
    pub tls: bool,
    /// What rates have to reach: so many events a second, or such a part of plain TCP's.
    pub rate: Reach,
    /// The same of the part.
    pub part: Reach,
}

/// Subscriptions and copies, by turns.
const ROUNDS: usize = if DEBUG { 1 } else { 3 };
/// Subscriptions whose first event is waited for.
const FIRSTS: usize = if DEBUG { 1 } else { 5 };
/// Octets of an event's data.
const OCTETS: usize = 1 << 10;
/// Events a second at an even pace, and how many.
const PACE: u64 = if DEBUG { 100 } else { 1_000 };
const PACED: u64 = if DEBUG { 100 } else { 10_000 };
/// Connections that write at an even pace: each waits for the disk.
const WRITERS: u64 = 8;
/// What a follower may have under way.
const CREDIT: u64 = 4 << 20;
/// A first part of the paced events does not count: a tenth.
const IGNORED: u64 = PACED / 10;

/// Both on this machine, with nothing in between.
pub fn near(table: &mut Table) {
    let part = (std::process::id() % 200) as u8 + 20;
    let place =
        |last| Place { address: format!("127.{part}.88.{last}"), control: None, network: None };
    let plan = |how: &str, tls| Plan {
        how: how.to_owned(),
        events: if DEBUG { 3_000 } else { 300_000 },
        partitions: &[1, 4],
        tls,
        rate: Reach::AtLeast(100_000.0),
        part: Reach::None,
    };
    pair(table, [place(1), place(2)], &plan("clear", false));
    pair(table, [place(3), place(4)], &plan("tls", true));
}

/// All that is measured of two places.
pub fn pair(table: &mut Table, places: [Place; 2], plan: &Plan) {
    let two = Two::start(places, plan.tls);
    let mut owner = two.owner();
    first_event(table, &two, &mut owner, plan);
    plan.partitions.iter().for_each(|count| rates(table, &two, &mut owner, plan, *count));
    latency(table, &two, &mut owner, plan);
}

fn first_event(table: &mut Table, two: &Two, owner: &mut Wire, plan: &Plan) {
    const FLOW: &str = "first.flows.unix.ar";
    owner.ok(&format!("CREATE FLOW {FLOW} access=open"));
    owner.write(FLOW, &[events::line(0, &events::noise(OCTETS * 2), OCTETS)]);
    let mut took: Vec<Duration> = (0..FIRSTS).map(|_| two.first_event(FLOW)).collect();
    took.sort_unstable();
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let what = |which: &str| format!("{}: fnua subscribe to first event, {which}", plan.how);
    table.figure(&what("median"), millis(took[took.len() / 2]), "ms", None, Reach::None);
    table.figure(&what("longest"), millis(took[took.len() - 1]), "ms", None, Reach::None);
}

/// Subscriptions and plain copies by turns. The sums count: what is lost on the way hits both by chance.
fn rates(table: &mut Table, two: &Two, owner: &mut Wire, plan: &Plan, partitions: u32) {
    let flow = format!("many{partitions}.flows.unix.ar");
    owner.ok(&format!("CREATE FLOW {flow} access=open partitions={partitions}"));
    events::write(|| two.owner(), &flow, Load { events: plan.events, octets: OCTETS });
    let octets = events::line(0, &events::noise(OCTETS * 2), OCTETS).len();
    let sent = Sent { messages: plan.events, octets, rate: 0 };
    let (mut stream, mut copy) = (Vec::new(), Vec::new());
    let mut user = two.user();
    for _ in 0..ROUNDS {
        stream.push(two::rate(&mut user, &flow, plan.events));
        let took = plain::copy(&two.places[0], &two.places[1], sent).took;
        copy.push(plan.events as f64 / took.as_secs_f64());
    }
    owner.ok(&format!("DELETE FLOW {flow}"));
    let mean =
        |rates: &[f64]| rates.len() as f64 / rates.iter().map(|rate| 1.0 / rate).sum::<f64>();
    let (stream, copy) = (mean(&stream), mean(&copy));
    let what = |part: &str| format!("{}: 1 KiB, {partitions} partitions, {part}", plan.how);
    table.figure(&what("stream"), stream, "events/s", None, plan.rate);
    table.ratio(&what("beside plain tcp"), copy, "events/s", stream / copy, plan.part);
}

/// Events at an even pace: how old they are in the owner's flow, in the subscriber's, and over plain TCP.
fn latency(table: &mut Table, two: &Two, owner: &mut Wire, plan: &Plan) {
    const FLOW: &str = "paced.flows.unix.ar";
    owner.ok(&format!("CREATE FLOW {FLOW} access=open"));
    let mut user = two.user();
    owner.write(FLOW, &[events::line(0, &events::noise(OCTETS * 2), OCTETS)]);
    user.data(&format!("SUBSCRIBE {FLOW} LOCAL {LOCAL}"));
    // The first one is there, so that both run.
    let begun = [AtomicBool::new(false), AtomicBool::new(false)];
    let (mut here, mut there) = std::thread::scope(|scope| {
        let here = scope.spawn(|| ages(two.owner(), FLOW, &begun[0]));
        let there = scope.spawn(|| ages(two.user(), LOCAL, &begun[1]));
        while !begun.iter().all(|one| one.load(Ordering::Relaxed)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        paced(two, FLOW);
        (here.join().unwrap(), there.join().unwrap())
    });
    two::unsubscribe(&mut user);
    let octets = events::line(0, &events::noise(OCTETS * 2), OCTETS).len();
    let sent = Sent { messages: PACED, octets, rate: PACE };
    let copied = plain::copy(&two.places[0], &two.places[1], sent);
    let what = |of: &str, part: &str| format!("{}: {PACE} a second, {of}: {part}", plan.how);
    for (percent, copied) in [(50, copied.p50), (99, copied.p99)] {
        let which = format!("p{percent}");
        table.figure(&what("plain tcp", &which), copied, "ms", None, Reach::None);
        let age = here.percentile(percent);
        table.figure(&what("in the owner's flow", &which), age, "ms", None, Reach::None);
        let age = there.percentile(percent);
        let ratio = age / copied;
        table.ratio(&what("in the subscriber's", &which), age, "ms", ratio, Reach::None);
    }
}

/// Follows a flow of a host until all paced events are there.
fn ages(wire: Wire, flow: &str, begun: &AtomicBool) -> Ages {
    let mut following = attach(wire, flow);
    let (stream, mut came, mut ages) = (following.1, 0, Ages::default());
    while came < PACED + 1 {
        for (_, record) in following.0.records(stream, 1) {
            let now = events::now();
            begun.store(true, Ordering::Relaxed);
            came += 1;
            let made = record.headers.iter().find(|header| &*header.name == b"ce_made").unwrap();
            let made = std::str::from_utf8(made.value.as_deref().unwrap()).unwrap();
            if came > IGNORED {
                ages.add(now.saturating_sub(made.parse().unwrap()));
            }
        }
    }
    assert!(ages.len() as u64 >= PACED - IGNORED);
    ages
}

fn attach(wire: Wire, flow: &str) -> (Following, u32) {
    let mut following = Following::begin(wire);
    let stream = following.attach(flow, &std::collections::BTreeMap::new(), CREDIT);
    (following, stream)
}

/// Writes events, each by itself, at an even pace.
fn paced(two: &Two, flow: &str) {
    let began = Instant::now() + Duration::from_millis(500);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let (mut wire, noise) = (two.owner(), events::noise(OCTETS * 64));
                for number in (0..PACED).filter(|number| number % WRITERS == writer) {
                    let due = began + Duration::from_micros(number * 1_000_000 / PACE);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let answer = wire.write(flow, &[events::line(number, &noise, OCTETS)]);
                    assert!(answer.starts_with("220 "), "{answer}");
                }
            });
        }
    });
}
