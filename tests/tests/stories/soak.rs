//! SIGKILL at random under load, again and again: bridge, collector and counting signal, a plugin that
//! is swapped, processors that are paused, stopped and resumed, one that fails at some events and gets its
//! dead letters again, writers that repeat what was not answered. Afterwards the outputs equal the
//! inputs.
//!
//! `SOAK_KILLS` says how often (`make soak`: 100), `SOAK_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use stories::{
    Dice, Fnaad, Wire, by_partition, drop_in, event, eventually, eventually_holds, ids, number,
};

const SOURCE: &str = "source.flows.unix.ar";
const SIDE: &str = "side.flows.unix.ar";
const COPY: &str = "copy.flows.unix.ar";
const ALL: &str = "all.flows.unix.ar";
const ALERTS: &str = "alerts.flows.unix.ar";
const SIEVED: &str = "sieved.flows.unix.ar";
const SIEVE: &str = "sieve.flows.unix.ar";
const LETTERS: &str = "sieve.dead.flows.unix.ar";
const PROCESSORS: [&str; 4] =
    ["bridge.flows.unix.ar", "collector.flows.unix.ar", "signal.flows.unix.ar", SIEVE];

/// Kills of a run that nobody asked for more of.
const KILLS: usize = 25;

/// Events of one WRITE.
const TOGETHER: usize = 20;

/// Events of one partition and rule that make an alert.
const COUNT: usize = 50;

/// A connection that finds its way back to a host that is born again.
struct Client<'a> {
    address: String,
    credentials: (String, String),
    wire: Option<Wire>,
    enough: &'a AtomicBool,
}

impl<'a> Client<'a> {
    fn of(host: &Fnaad, enough: &'a AtomicBool) -> Self {
        let (address, credentials) = (host.address().to_owned(), host.fnua().credentials());
        Self { address, credentials, wire: None, enough }
    }

    /// The answer; `None` where the host ended before it.
    fn ask(&mut self, command: &str, events: &[String]) -> Option<String> {
        if self.wire.is_none() {
            let (user, password) = &self.credentials;
            self.wire = Wire::try_login(&self.address, user, password);
        }
        let answer = self.wire.as_mut().and_then(|wire| wire.try_ask(command, events));
        if answer.is_none() {
            self.wire = None;
            std::thread::sleep(Duration::from_millis(20));
        }
        answer?.pop()
    }

    /// Writes until it is enough, each batch until it is answered; gives the number of events.
    fn write(mut self, flow: &str, pause: u64) -> usize {
        let mut written = 0;
        while !self.enough.load(Ordering::Relaxed) {
            let numbers = written..written + TOGETHER;
            let events: Vec<String> = numbers
                .map(|n| event(n).replace("\"id\":\"e", &format!("\"id\":\"{}-e", &flow[..4])))
                .collect();
            let command = format!("WRITE {flow} ID {written}");
            let done = format!("220 OK {TOGETHER} events");
            eventually("an answer to a WRITE", || match self.ask(&command, &events) {
                Some(answer) if answer == done => Ok(()),
                other => Err(format!("{other:?}")),
            });
            written += TOGETHER;
            std::thread::sleep(Duration::from_millis(pause));
        }
        written
    }

    /// An operator who cannot leave it alone.
    fn meddle(mut self, dir: &Path, mut dice: Dice) {
        let mut next = false;
        while !self.enough.load(Ordering::Relaxed) {
            dice.wait(10, 120);
            let processor = PROCESSORS[dice.roll(4) as usize];
            match dice.roll(11) {
                0..=2 => drop(self.ask(&format!("PAUSE {processor}"), &[])),
                3 => drop(self.ask(&format!("STOP {processor}"), &[])),
                4..=8 => drop(self.ask(&format!("RESUME {processor}"), &[])),
                9 => drop(self.ask(&format!("REPLAY {SIEVE}"), &[])),
                _ => {
                    next = !next;
                    let bridge =
                        if next { host_builtin::bridge_next() } else { host_builtin::all()[0] };
                    drop_in(&dir.join("plugins"), "bridge.wasm", bridge.component);
                }
            }
        }
    }
}

fn network(wire: &mut Wire) {
    for flow in [SOURCE, COPY, ALL, ALERTS, SIEVED] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=4"));
    }
    wire.ok(&format!("CREATE FLOW {SIDE}"));
    let [bridge, collector, signal, sieve] = PROCESSORS;
    wire.ok(&format!("REPLICATE {SOURCE} {COPY} AS {bridge}"));
    wire.ok(&format!("COLLECT {COPY},{SIDE} {ALL} AS {collector}"));
    let rules = format!(
        r#"{{"rules":[{{"name":"many","when":"true","count":{{"at-least":{COUNT},"within":{COUNT}}},"emit":{{"type":"many"}}}}]}}"#
    );
    wire.ok(&format!("SIGNAL signal FROM {SOURCE} TO {ALERTS} AS {signal} CONFIG {rules}"));
    // Doubles a text until the plugin's memory is full, at one event of 61.
    let bomb = "['xxxxxxxxxxxxxxxx']".to_owned() + &".map(x, x + x + x + x)".repeat(12);
    let config = serde_json::json!({ "filter": format!("data.n % 61 != 7 || {bomb}.size() > 0") });
    wire.ok(&format!(
        "REPLICATE {SOURCE} {SIEVED} AS {sieve} limit.memory=16777216 dead-letters=all CONFIG {config}"
    ));
}

#[test]
fn killed_at_random_under_load_and_meddled_with_the_outputs_equal_the_inputs() {
    let kills = number("SOAK_KILLS", KILLS);
    println!("SOAK_KILLS={kills}");
    let mut dice = Dice::of("SOAK_SEED");
    let dir = tempfile::tempdir().unwrap();
    let mut host = Fnaad::dev(dir.path());
    network(&mut host.login());
    let enough = AtomicBool::new(false);
    let (source, side) = std::thread::scope(|scope| {
        let [one, two, operator] = [(); 3].map(|()| Client::of(&host, &enough));
        let source = scope.spawn(|| one.write(SOURCE, 5));
        let side = scope.spawn(|| two.write(SIDE, 20));
        let choices = dice.other();
        scope.spawn(|| operator.meddle(dir.path(), choices));
        // Whoever waits for an answer must hear that it is over, also where something here fails.
        let _over = Over(&enough);
        for _ in 0..kills {
            dice.wait(50, 600);
            host.kill_in_place(dir.path());
        }
        enough.store(true, Ordering::Relaxed);
        (source.join().unwrap(), side.join().unwrap())
    });
    let mut wire = host.login();
    for processor in PROCESSORS {
        wire.ok(&format!("RESUME {processor}"));
    }
    println!("{source} and {side} events");
    check(&mut wire, source, side);
    check_letters(&mut wire, source);
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check(wire: &mut Wire, written: usize, beside: usize) {
    let source = eventually_holds(wire, SOURCE, written);
    let side = eventually_holds(wire, SIDE, beside);
    for (flow, events) in [(SOURCE, &source), (SIDE, &side)] {
        let distinct: BTreeSet<&str> = ids(events).into_iter().collect();
        assert_eq!(distinct.len(), events.len(), "{flow} holds an event twice");
    }
    let copy = eventually_holds(wire, COPY, written);
    assert_eq!(by_partition(&copy), by_partition(&source), "the copy is another");
    let all = eventually_holds(wire, ALL, written + beside);
    for (flow, input) in [(COPY, &copy), (SIDE, &side)] {
        let from = |event: &&Value| event["sourceflow"] == flow;
        let collected: Vec<Value> = all.iter().filter(from).cloned().collect();
        assert_eq!(by_partition(&collected), by_partition(input), "collected from {flow}");
    }
    let of: BTreeMap<u64, usize> =
        by_partition(&source).into_iter().map(|(partition, ids)| (partition, ids.len())).collect();
    let counted: usize = of.values().map(|events| events / COUNT).sum();
    let alerts = eventually_holds(wire, ALERTS, counted);
    let distinct: BTreeSet<&str> = ids(&alerts).into_iter().collect();
    assert_eq!(distinct.len(), counted, "an alert was told twice");
}

/// What failed is in the dead letters, nothing else is, and in the end each event is through once.
fn check_letters(wire: &mut Wire, written: usize) {
    let failing = (0..written).filter(|n| n % 61 == 7).count();
    let sieved = eventually_holds(wire, SIEVED, written - failing);
    let source = wire.read(SOURCE);
    let sound = |event: &&Value| event["data"]["n"].as_u64().unwrap() % 61 != 7;
    let expected: Vec<Value> = source.iter().filter(sound).cloned().collect();
    assert_eq!(by_partition(&sieved), by_partition(&expected), "the sieve lets others through");
    let open = |seen: &Value| {
        let letters = &seen["dead-letters"];
        letters["open"] == failing as u64 && letters["replaying"].is_null()
    };
    stories::eventually_described(wire, SIEVE, "each failing event once among the letters", open);
    let letters = wire.read(LETTERS);
    assert!(
        letters.iter().all(|letter| !sound(&letter)),
        "a letter of an event that does not fail"
    );
    wire.ok(&format!("UPDATE PROCESSOR {SIEVE} CONFIG {{}}"));
    wire.ok(&format!("REPLAY {SIEVE}"));
    let all = eventually_holds(wire, SIEVED, written);
    let distinct: BTreeSet<&str> = ids(&all).into_iter().collect();
    assert_eq!(distinct.len(), written, "an event came through twice");
}
