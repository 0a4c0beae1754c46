//! A plugin that does what its configuration says, right or wrong, so that the host can be tested.
//!
//! What it says about itself it is told by other means, see [`lies`]. It exports an interface more than
//! it must, see [`extra`]; how it acts by the clock is in [`ticks`], what
//! it remembers from one configuration to the next, and from one version, in [`memory`], and what it says to a terminal in
//! [`rude`].

#[cfg(target_family = "wasm")]
mod extra;
mod lies;
mod memory;
mod rude;
mod ticks;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, SystemTime};

use flow_sdk::{Action, Batch, Error, Event, Info, Processor, Setup, log, state};

/// What it is told to do.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// One of the names in [`Guest::act`].
    #[serde(default)]
    act: String,
    /// How often, where that means something.
    #[serde(default)]
    times: u32,
    /// Milliseconds from tick to tick.
    #[serde(default)]
    tick: u32,
}

/// Does what it is told.
#[derive(Debug)]
pub struct Guest {
    config: Config,
    /// Memory that is never given back.
    kept: Vec<Vec<u8>>,
    /// How many it has seen.
    batches: u32,
    /// The shard it serves.
    shard: u32,
    /// Events that it has seen.
    seen: u64,
}

impl Processor for Guest {
    fn describe() -> Info {
        let info = Info::new("guest", "0.1.0").summary("does what it is told").many_outputs();
        lies::told(info)
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let mut config: Config = setup.config()?;
        config.act = lies::act().unwrap_or(config.act);
        if lies::traps_in_init() {
            trap("deliberate");
        }
        rude::init(&config.act)?;
        match config.act.as_str() {
            "loop-in-init" => spin(),
            "trap-in-init" => trap("deliberate"),
            "tell-and-panic-at-odd" => log::info("begins", &[]),
            "refuse-seven" if config.times == 7 => return Err(Error::fatal("no seven")),
            "trap-on-state" if state::get(b"n").is_some() => trap("deliberate"),
            "recurse-in-init" => drop(black_box(recurse(0))),
            "grow-in-init" => grow(),
            "write-in-init" => {
                state::set(b"key", b"value").map_err(|error| Error::fatal(error.to_string()))?;
            }
            _ => {}
        }
        Ok(Self { config, kept: Vec::new(), batches: 0, shard: setup.shard, seen: 0 })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        self.act(batch)
    }

    fn pause(&mut self) -> Result<(), Error> {
        match self.config.act.as_str() {
            "refuse-pause" => Err(Error::retry("busy")),
            "write-in-pause" => {
                drop(state::set(b"key", b"value"));
                Ok(())
            }
            "trap-in-pause" => trap("deliberate"),
            "loop-in-pause" => spin(),
            _ => Ok(()),
        }
    }

    fn destroy(&mut self) -> Result<(), Error> {
        match self.config.act.as_str() {
            "trap-in-destroy" => trap("deliberate"),
            "loop-in-destroy" => spin(),
            _ => Ok(()),
        }
    }
}

impl Guest {
    fn act(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let times = self.config.times;
        self.batches += 1;
        Ok(match self.config.act.as_str() {
            "loop" => spin(),
            "spin" => {
                (0..u64::from(times) * 1_000_000).for_each(|turn| {
                    black_box(turn);
                });
                vec![Action::forward_all(0)]
            }
            "grow" => grow(),
            "many-mebibytes" => {
                black_box((0..times).map(|_| vec![1_u8; 1 << 20]).collect::<Vec<_>>());
                vec![Action::forward_all(0)]
            }
            "grow-slowly" => {
                self.kept.push(vec![1; 1 << 20]);
                vec![Action::forward_all(0)]
            }
            "leak" => {
                let kept = |_| vec![1; times as usize];
                self.kept.extend((0..batch.len()).map(kept));
                vec![Action::forward_all(0)]
            }
            "count-and-leak" => {
                self.kept.push(vec![1; times as usize]);
                return count_each(batch);
            }
            "recurse" => vec![Action::forward_all(recurse(0) as u32)],
            "panic" => trap("deliberate"),
            "exit" => std::process::exit(3),
            "nothing" => Vec::new(),
            "unknown-output" => vec![Action::forward_all(9)],
            "unknown-index" => vec![Action::forward_all(0), Action::drop(999)],
            "bad-index" => batch.attribute(999, "id").map(|_| Vec::new()).unwrap_or_default(),
            "many-actions" => (0..times).map(|_| Action::drop(0)).collect(),
            "retry" => return Err(Error::retry("later")),
            "reject" => return Err(Error::reject(times, "never")),
            "reject-odd" => return memory::reject(batch, |index| is_odd(batch, index)),
            "reject-marked" => {
                return memory::reject(batch, |index| memory::is_marked(batch, index));
            }
            "mark" => return memory::mark(batch),
            "fatal" => return Err(Error::fatal("stop")),
            "fatal-at-odd" => match (0..batch.len()).any(|index| is_odd(batch, index)) {
                true => return Err(Error::fatal("stop")),
                false => vec![Action::forward_all(0)],
            },
            "column" => {
                black_box(batch.attributes("type"));
                vec![Action::forward_all(0)]
            }
            "attribute-each" => {
                (0..batch.len()).for_each(|index| {
                    black_box(batch.attribute(index, "type"));
                });
                vec![Action::forward_all(0)]
            }
            "data-all" => {
                black_box(batch.data_all());
                vec![Action::forward_all(0)]
            }
            "forward-each" => (0..batch.len()).map(|index| Action::forward(index, 0)).collect(),
            "forward-twice" => vec![Action::forward_all(0), Action::forward_all(0)],
            "emit" => emit(batch, times),
            "emit-invalid" => vec![Action::forward_all(0), Action::emit(0, Event::new("", "", ""))],
            "rewrite-each" => (0..batch.len())
                .map(|index| {
                    Action::from(Action::rewrite(index, 0).set("seen", "yes").data(*b"new"))
                })
                .collect(),
            "rewrite-data" => rewrite_data(batch),
            "recall" => self.remember(batch),
            "tick-remember" => {
                self.seen += u64::from(batch.len());
                vec![Action::forward_all(0)]
            }
            "mask" => mask(batch),
            "mask-anew" => anew(batch),
            "trap-at-third" if self.batches == 3 => trap("deliberate"),
            "refuse-some" => (0..batch.len())
                .map(|index| match is_odd(batch, index) {
                    true => Action::dead_letter(index, "odd"),
                    false => Action::forward(index, 0),
                })
                .collect(),
            "panic-at-odd" | "tell-and-panic-at-odd" => {
                if !lies::is_mended() && (0..batch.len()).any(|index| is_odd(batch, index)) {
                    trap("deliberate")
                }
                vec![Action::forward_all(0)]
            }
            "reverse" => (0..batch.len()).rev().map(|index| Action::forward(index, 0)).collect(),
            "remember" => {
                self.kept.push(Vec::new());
                let number = self.kept.len().to_string();
                (0..batch.len()).map(|index| Action::dead_letter(index, &number)).collect()
            }
            "count" => return count(batch),
            "fill" => return fill(batch, times),
            "long-key" => return write(&vec![b'k'; times as usize], b""),
            "long-value" => return write(b"key", &vec![b'v'; times as usize]),
            "alias-emits" => alias_emits(times),
            "alias-rewrites" => alias_rewrites(times),
            "dead-letters" => (0..times).map(|_| Action::dead_letter(0, "again")).collect(),
            "log-flood" => log_flood(times),
            "log-long" => log_long(times),
            "print-flood" => print_flood(times),
            "random-for-ever" => loop {
                black_box(RandomState::new());
                drop(std::fs::read_dir("/"));
            },
            "sleep-for-ever" => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            "read" => {
                let mut line = String::new();
                drop(std::io::stdin().read_line(&mut line));
                vec![Action::forward_all(0)]
            }
            "print" => print(batch),
            act if act.starts_with("rude-") => return rude::process(act, batch),
            "world" => vec![Action::forward_all(0), Action::emit(0, world())],
            _ if lies::loops() => spin(),
            _ => vec![Action::forward_all(0)],
        })
    }
}

/// Does not end.
fn spin() -> ! {
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn.wrapping_add(1));
    }
}

/// Takes memory until there is none.
fn grow() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// A trap with words on stderr.
#[expect(clippy::panic, reason = "a guest that misbehaves")]
fn trap(words: &str) -> ! {
    panic!("{words}")
}

/// Uses up the stack.
#[expect(unconditional_recursion, reason = "a guest that misbehaves")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1)) + 1)
}

/// Takes the data of all events, changes a little of each and gives it back.
fn rewrite_data(batch: &Batch) -> Vec<Action> {
    let all = (0..).zip(batch.data_all());
    let rewritten = |(index, data): (u32, Option<Vec<u8>>)| {
        let mut data = data.unwrap_or_default();
        data.iter_mut().take(8).for_each(|byte| *byte = byte.to_ascii_uppercase());
        Action::from(Action::rewrite(index, 0).data(data))
    };
    all.map(rewritten).collect()
}

/// Puts a nought for every digit of the data; another version a nine.
fn mask(batch: &Batch) -> Vec<Action> {
    let data = |index| masked(batch.data(index).unwrap_or_default());
    (0..batch.len())
        .map(|index| Action::from(Action::rewrite(index, 0).data(data(index))))
        .collect()
}

/// The same in new events, which have nothing of the old ones.
fn anew(batch: &Batch) -> Vec<Action> {
    let event = |index| {
        let data = masked(batch.data(index).unwrap_or_default());
        Action::emit(0, Event::new("anew", "/guest", "made").with_data("application/json", data))
    };
    (0..batch.len()).flat_map(|index| [Action::drop(index), event(index)]).collect()
}

fn masked(mut data: Vec<u8>) -> Vec<u8> {
    let digit = if lies::is_nines() { b'9' } else { b'0' };
    data.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|byte| *byte = digit);
    data
}

/// Whether the last digit of an event's data is odd.
fn is_odd(batch: &Batch, index: u32) -> bool {
    let data = batch.data(index).unwrap_or_default();
    data.iter().rfind(|byte| byte.is_ascii_digit()).is_some_and(|byte| byte % 2 == 1)
}

/// Emits events with as many bytes of data as there are events.
fn emit(batch: &Batch, times: u32) -> Vec<Action> {
    let event = |number: u32| {
        let event = Event::new(&number.to_string(), "/guest", "made").with("partitionkey", "k");
        Action::emit(0, event.with_data("text/plain", vec![b'x'; 1000]))
    };
    let dropped = (0..batch.len()).map(Action::drop);
    dropped.chain((0..times).map(event)).collect()
}

/// Counts batches in the state.
fn count(batch: &Batch) -> Result<Vec<Action>, Error> {
    let number = state::get(b"n").map_or(0, |number| number.first().copied().unwrap_or(0));
    state::set(b"n", &[number + 1]).map_err(|error| Error::fatal(error.to_string()))?;
    Ok((0..batch.len()).map(|index| Action::forward(index, 0)).collect())
}

/// Numbers events by the state.
fn count_each(batch: &Batch) -> Result<Vec<Action>, Error> {
    let number = |index: u32| {
        let before = state::get(b"n").unwrap_or_default();
        let before = <[u8; 4]>::try_from(before.as_slice()).map_or(0, u32::from_le_bytes);
        state::set(b"n", &(before + 1).to_le_bytes())?;
        let text = (before + 1).to_string();
        Ok(Action::from(Action::rewrite(index, 0).set("counted", text.as_str())))
    };
    (0..batch.len()).map(number).collect()
}

/// Fills the state until it refuses.
fn fill(batch: &Batch, times: u32) -> Result<Vec<Action>, Error> {
    for number in 0..times {
        state::set(&number.to_le_bytes(), &[0; 1000])
            .map_err(|error| Error::fatal(error.to_string()))?;
    }
    Ok((0..batch.len()).map(|index| Action::forward(index, 0)).collect())
}

/// Writes one key.
fn write(key: &[u8], value: &[u8]) -> Result<Vec<Action>, Error> {
    state::set(key, value)?;
    Ok(vec![Action::forward_all(0)])
}

/// One buffer of a mebibyte, claimed to be another one each time. Whoever frees them would break the
/// guest; but the host has to lift all of them first.
#[expect(unsafe_code, reason = "a guest that misbehaves")]
fn alias() -> impl Fn() -> Vec<u8> {
    let mut buffer = std::mem::ManuallyDrop::new(vec![b'a'; 1 << 20]);
    let (start, len, capacity) = (buffer.as_mut_ptr(), buffer.len(), buffer.capacity());
    // SAFETY: not sound; inside a guest it can harm the guest only.
    move || unsafe { Vec::from_raw_parts(start, len, capacity) }
}

fn alias_emits(times: u32) -> Vec<Action> {
    let data = alias();
    let event = |number: u32| Event::new(&number.to_string(), "/guest", "made");
    let emits = (0..times).map(|n| Action::emit(0, event(n).with_data("text/plain", data())));
    [Action::forward_all(0)].into_iter().chain(emits).collect()
}

fn alias_rewrites(times: u32) -> Vec<Action> {
    let data = alias();
    (0..times).map(|_| Action::from(Action::rewrite(0, 0).data(data()))).collect()
}

/// Many lines.
fn log_flood(times: u32) -> Vec<Action> {
    (0..times).for_each(|number| log::info(&number.to_string(), &[]));
    vec![Action::forward_all(0)]
}

/// A line with a long message, many facts, and what a terminal would obey.
fn log_long(times: u32) -> Vec<Action> {
    let text = format!("\u{1b}[2J\r\n220 OK\r\n{}", "x".repeat(times as usize));
    let fields = vec![("field", text.as_str()); 100];
    log::warn(&text, &fields);
    vec![Action::forward_all(0)]
}

/// Many bytes on stdout, without an end of line and with many.
#[expect(clippy::print_stdout, reason = "it is what is tested")]
fn print_flood(times: u32) -> Vec<Action> {
    (0..times).for_each(|_| print!("{}", "x".repeat(1000)));
    (0..times).for_each(|number| println!("{number}"));
    vec![Action::forward_all(0)]
}

/// Writes to all three places that end up in the log.
#[expect(clippy::print_stdout, reason = "it is what is tested")]
fn print(batch: &Batch) -> Vec<Action> {
    println!("printed {}", batch.len());
    eprintln!("complained");
    log::info("logged", &[("events", "some")]);
    vec![Action::forward_all(0)]
}

/// Says what it sees of the world: clock, sleep, random numbers, environment, files.
fn world() -> Event {
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let start = since(SystemTime::now());
    std::thread::sleep(Duration::from_secs(3600));
    let slept = since(SystemTime::now()).saturating_sub(start);
    let mut seen = HashMap::new();
    seen.insert("files", std::fs::read_dir("/").is_ok());
    seen.insert("connects", std::net::TcpStream::connect("127.0.0.1:1").is_ok_and(|_| true));
    seen.insert("binds", std::net::UdpSocket::bind("127.0.0.1:0").is_ok());
    let environment = std::env::vars().count() + std::env::args().count();
    Event::new("1", "/guest", "world")
        .with("start", start.as_millis().to_string().as_str())
        .with("slept", slept.as_secs().to_string().as_str())
        .with("random", RandomState::new().hash_one(7).to_string().as_str())
        .with("environment", environment.to_string().as_str())
        .with("granted", seen.values().any(|granted| *granted).to_string().as_str())
}

#[cfg(not(feature = "plain"))]
flow_sdk::export!(Guest: Timer, Reconfigure, Migrate);
#[cfg(feature = "plain")]
flow_sdk::export!(Guest: Timer, Reconfigure);
