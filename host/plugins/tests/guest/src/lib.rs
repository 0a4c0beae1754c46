//! A plugin that does what its configuration says, right or wrong, so that the host can be tested.

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
}

/// Does what it is told.
#[derive(Debug)]
pub struct Guest {
    config: Config,
    kept: Vec<Vec<u8>>,
}

impl Processor for Guest {
    fn describe() -> Info {
        Info::new("guest", "0.1.0").summary("does what it is told").many_outputs()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let config: Config = setup.config()?;
        match config.act.as_str() {
            "loop-in-init" => spin(),
            "write-in-init" => {
                state::set(b"key", b"value").map_err(|error| Error::fatal(error.to_string()))?;
            }
            _ => {}
        }
        Ok(Self { config, kept: Vec::new() })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        self.act(batch)
    }

    fn pause(&mut self) -> Result<(), Error> {
        if self.config.act == "refuse-pause" { Err(Error::retry("busy")) } else { Ok(()) }
    }
}

impl Guest {
    fn act(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let times = self.config.times;
        Ok(match self.config.act.as_str() {
            "loop" => spin(),
            "spin" => {
                (0..u64::from(times) * 1_000_000).for_each(|turn| {
                    black_box(turn);
                });
                vec![Action::forward_all(0)]
            }
            "grow" => loop {
                self.kept.push(vec![1; 1 << 20]);
            },
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
            "fatal" => return Err(Error::fatal("stop")),
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
            "count" => return count(batch),
            "fill" => return fill(batch, times),
            "print" => print(batch),
            "world" => vec![Action::forward_all(0), Action::emit(0, world())],
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

/// Fills the state until it refuses.
fn fill(batch: &Batch, times: u32) -> Result<Vec<Action>, Error> {
    for number in 0..times {
        state::set(&number.to_le_bytes(), &[0; 1000])
            .map_err(|error| Error::fatal(error.to_string()))?;
    }
    Ok((0..batch.len()).map(|index| Action::forward(index, 0)).collect())
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

flow_sdk::export!(Guest);
