//! The command line of `fnaad plugin`, but for `new`. Says what may be typed; does nothing of it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ListFormat;

/// A component and where compiled code is kept.
#[derive(Args, Debug)]
pub struct Component {
    /// The component, as it would lie in the plugin directory: NAME.wasm
    pub file: PathBuf,
    /// Directory for compiled code, which is run as it lies there [default: fnaa/compiled in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// What an instance is made with.
#[derive(Args, Clone, Debug, Default)]
pub struct Made {
    /// The configuration: JSON, or @FILE with JSON [default: the least that the schema asks for]
    #[arg(long, value_name = "JSON|@FILE")]
    pub config: Option<String>,
    /// Name of an output flow; can be repeated [default: as many as the plugin takes, at most two]
    #[arg(long = "output", value_name = "FLOW")]
    pub outputs: Vec<String>,
    /// Another limit than the usual one, as limit.NAME of a processor; can be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    pub limits: Vec<(String, u64)>,
}

/// `fnaad plugin check`.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    /// Which.
    #[command(flatten)]
    pub component: Component,
    /// What an instance is made with.
    #[command(flatten)]
    pub made: Made,
    /// Text for people, or one JSON object
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// `fnaad plugin run`.
#[derive(Args, Debug)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Which.
    #[command(flatten)]
    pub component: Component,
    /// What an instance is made with.
    #[command(flatten)]
    pub made: Made,
    /// Name of an input flow, and the file with its events, where they do not come from standard input; can be repeated
    #[arg(long = "input", value_name = "FLOW[=FILE]")]
    pub inputs: Vec<String>,
    /// Where events come from instead: a flow of a host that runs, or one dead letter there, as PROCESSOR/PARTITION:OFFSET
    /// or - for letters on standard input. Comes behind the file
    #[arg(long, value_names = ["FLOW|deadletter", "ID"], num_args = 1..=2, conflicts_with = "inputs")]
    pub from: Vec<String>,
    /// Events in one batch, at most; the last batch may have fewer [default: 512, or the limit batch_events]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// At most so many events
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// File with the plugin's state, which is read before and written after
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Name of the processor, which random numbers follow from [default: the type's name]
    #[arg(long, value_name = "NAME")]
    pub processor: Option<String>,
    /// Show also events that go nowhere on purpose
    #[arg(long)]
    pub all: bool,
    /// Let so many seconds pass without events after the last one, for a plugin with a timer
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=MOST_IDLE))]
    pub idle: Option<u32>,
    /// With --from: where to begin, as of `fnua read` [default: earliest]
    #[arg(long, value_name = "POSITION", requires = "from")]
    pub position: Option<String>,
    /// With --from: which host, as of `fnua` [default: as fnua finds it]
    #[arg(long, value_name = "NAME|HOST:PORT", requires = "from")]
    pub agent: Option<String>,
    /// With --from: configuration of `fnua` [default: as fnua finds it]
    #[arg(long, value_name = "FILE", requires = "from")]
    pub agent_config: Option<PathBuf>,
}

/// A component, events to try it with, and how what came of it is shown.
#[derive(Args, Debug)]
pub struct Tried {
    /// Which.
    #[command(flatten)]
    pub component: Component,
    /// What an instance is made with.
    #[command(flatten)]
    pub made: Made,
    /// Name of an input flow; can be repeated [default: as many as the plugin takes, at most two]
    #[arg(long = "input", value_name = "FLOW")]
    pub inputs: Vec<String>,
    /// File with events that the plugin is for, as fnua writes and reads them [default: some that are made up]
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Text for people, or one JSON object
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// `fnaad plugin conform`.
#[derive(Args, Debug)]
#[command(after_help = CONFORM_EXAMPLES)]
pub struct Conform {
    /// What is held against the rules.
    #[command(flatten)]
    pub tried: Tried,
}

/// `fnaad plugin bench`.
#[derive(Args, Debug)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct Bench {
    /// What is measured.
    #[command(flatten)]
    pub tried: Tried,
}

/// Seconds that pass after the last event at most: a year. What a plugin does every tenth of a second is seen long before.
const MOST_IDLE: i64 = 366 * 86_400;

fn limit(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE, as call_ms=500")?;
    let value = value.parse().map_err(|_| format!("{value} is no number"))?;
    let known = host_plugins::Limits::default().values();
    if !known.contains_key(name) {
        let known: Vec<_> = known.into_keys().collect();
        return Err(format!("no limit is called {name}; there are {}", known.join(", ")));
    }
    Ok((name.to_owned(), value))
}

const RUN_EXAMPLES: &str = "\
Events are lines as fnua writes and reads them. What comes out is one JSON object a line, in order: what goes to an output,
what becomes a dead letter, with --all what is dropped. Log lines of the plugin and words go to stderr.

Batches, limits, clock, random numbers and what happens to a batch that fails are those of a host. The clock stands at the
newest `time` of a batch. Each partition (flowpartition) is a shard, with a state and an instance of its own. The same
events give the same decisions. A plugin that asks for a retry gets the batch three times more.

A plugin with a timer is called by the events' time: between two batches, where one is due by what a shard's events have
shown; ticks that were passed are one. --idle 60 lets a minute pass after the last event, with every tick.

Exits with 1 where an event fails (a trap, a limit, a rejection, a broken rule), or the plugin stops.

Examples:
  fnaad plugin run every.wasm --config '{\"n\": 3}' < events.jsonl
  fnaad plugin run every.wasm --config @every.json --batch 1 --state every.state < events.jsonl
  fnaad plugin run window.wasm --config '{\"seconds\": 10}' --idle 60 < events.jsonl
  fnaad plugin run join.wasm --input a.example=a.jsonl --input b.example=b.jsonl
  fnaad plugin run every.wasm --from door.flows.example.org --events 1000
  fnaad plugin run every.wasm --from deadletter third.flows.example.org/0:12";

const CHECK_EXAMPLES: &str = "\
Exits with 1 where a host would refuse the file.

Examples:
  fnaad plugin check every.wasm
  fnaad plugin check every.wasm --config '{\"n\": 3}'
  fnaad plugin check every.wasm --format json | jq .problems";

const CONFORM_EXAMPLES: &str = "\
Exits with 1 where a rule is broken. What a rule means for a plugin: docs/plugins.md, \"Rules of the contract\".

Examples:
  fnaad plugin conform bridge.wasm
  fnaad plugin conform every.wasm --config '{\"n\": 3}' --events knocks.jsonl
  fnaad plugin conform every.wasm --config @every.json --format json | jq '.rules[] | select(.result == \"failed\")'";

const BENCH_EXAMPLES: &str = "\
Times are of calls alone, without broker and commit, in nanoseconds an event. The included bridge, which forwards, is
measured in the same run: what a plugin costs beside it is worth more than nanoseconds of one machine.

Examples:
  fnaad plugin bench every.wasm --config '{\"n\": 3}'
  fnaad plugin bench every.wasm --events knocks.jsonl --format json";
