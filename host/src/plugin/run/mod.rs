//! `fnaad plugin run`: events through a component as a host would take them, without flows.
//!
//! What decides is [`host_processors::Dry`], by the rules of a shard that runs. Here events are read, put into batches and
//! given to their shards, and what comes out is printed. Nothing is written but the state, where somebody asks for it.

pub(crate) mod lines;
mod outside;
mod printer;
mod state;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host_events::{Batch, Incarnation, Stored};
use host_plugins::{Info, Plugin, USUAL_BATCH};
use host_processors::{Dry, DryError, Outcome};
use uuid::Uuid;

use super::cli::Run;
use super::desk::{Desk, INSTANCES, Order};
use lines::{Event, Lines};
use outside::{Found, From};
use printer::{Log, Printer, say};
use state::Kept;

/// Runs to the end of the events. True where none failed.
pub(crate) async fn run(args: Run, out: &mut impl Write) -> Result<bool> {
    let desk = Desk::open(&args.component)?;
    let plugin = desk.plugin().await?;
    let from = From::read(&args)?;
    let found = outside::find(&from, &args, &plugin).await?;
    let Found { inputs, mut sources, made, processor } = found;
    let mut order = Order::of(plugin.info(), &made, &inputs)?;
    let batch = args.batch.unwrap_or(USUAL_BATCH);
    order.limits.batch_events = batch.min(order.limits.batch_events);
    let processor =
        args.processor.clone().or(processor).unwrap_or_else(|| plugin.info().name.clone());
    let printer = Printer::new(order.outputs.clone(), order.inputs.clone(), args.all);
    let mut shards = Shards {
        plugin: &plugin,
        order,
        processor,
        kept: Kept::default(),
        all: BTreeMap::new(),
        printer,
        clock: Clock::default(),
    };
    if let Some(path) = &args.state {
        shards.kept = Kept::read(path)?;
    }
    let mut ended = shards.run(&mut sources, args.events.unwrap_or(u64::MAX), out).await;
    if let Ok(true) = ended {
        ended = shards.end(args.idle, out).await;
    }
    out.flush().context("stdout")?;
    let well = ended? && sources.end()?;
    if let Some(path) = &args.state {
        shards.keep(path)?;
    }
    shards.sum_up();
    Ok(well && shards.printer.failed() == 0)
}

/// Everything that is read, and whoever sends it.
struct Sources {
    lines: Vec<Lines>,
    sender: Option<outside::Sender>,
}

impl Sources {
    /// Whether whoever sent them did so to the end.
    fn end(&mut self) -> Result<bool> {
        self.lines.clear();
        self.sender.take().map_or(Ok(true), outside::Sender::end)
    }
}

/// The shards that were met, one for each partition.
struct Shards<'a> {
    plugin: &'a Plugin,
    order: Order,
    processor: String,
    kept: Kept,
    all: BTreeMap<u32, Dry>,
    printer: Printer,
    clock: Clock,
}

/// What time it is, as events say it.
#[derive(Default)]
struct Clock {
    /// The newest time of each shard, milliseconds since 1970.
    shards: BTreeMap<u32, i64>,
}

impl Clock {
    /// An event was that late; a clock does not go back.
    fn saw(&mut self, shard: u32, time: i64) -> i64 {
        let newest = self.shards.entry(shard).or_insert(time);
        *newest = time.max(*newest);
        *newest
    }

    fn newest(&self) -> i64 {
        self.shards.values().copied().max().unwrap_or(0)
    }
}

impl Shards<'_> {
    /// Inputs take turns, batch by batch. False where the plugin stopped.
    async fn run(
        &mut self,
        sources: &mut Sources,
        most: u64,
        out: &mut impl Write,
    ) -> Result<bool> {
        // A configuration that is refused shall be told also where there are no events.
        self.shard(0).await?;
        let mut left = most;
        loop {
            let mut some = false;
            for (input, lines) in (0..).zip(&mut sources.lines) {
                let room = left.min(u64::from(self.order.limits.batch_events));
                let batch = lines.batch(usize::try_from(room)?, self.order.limits.batch_bytes)?;
                left -= batch.len() as u64;
                some |= !batch.is_empty();
                if !batch.is_empty() && !self.feed(input, batch, out).await? {
                    return Ok(false);
                }
            }
            if !some || left == 0 {
                return Ok(true);
            }
        }
    }

    /// Lets the clock go on without events, where somebody wants to see what comes then, and pauses all.
    async fn end(&mut self, idle: Option<u32>, out: &mut impl Write) -> Result<bool> {
        let from = self.clock.newest();
        let until = idle.map(|seconds| from.saturating_add(i64::from(seconds) * 1000));
        for shard in self.all.keys().copied().collect::<Vec<_>>() {
            let mut now = from;
            while let Some(until) = until.filter(|until| now <= *until) {
                if !self.tick(shard, now, out).await? {
                    return Ok(false);
                }
                // One that wants no ticks has none.
                let due = self.shard(shard).await?.due().unwrap_or(i64::MAX);
                now = due.max(now.saturating_add(1)).min(until.saturating_add(1));
            }
            if let Err(error) = self.shard(shard).await?.pause().await {
                say(&format!("shard {shard}: pause: {error}"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn feed(&mut self, input: u32, events: Vec<Event>, out: &mut impl Write) -> Result<bool> {
        let partition = events.first().map_or(0, |event| event.partition);
        let next = events.last().map_or(0, |event| event.offset + 1);
        let newest = events.iter().map(|event| event.record.timestamp).max().unwrap_or(0);
        let stored = |event: Event| Stored { offset: event.offset, record: event.record };
        let records: Arc<[Stored]> = events.into_iter().map(stored).collect();
        let flow = Incarnation(Uuid::from_u128(u128::from(input)));
        let batch = Batch { flow, partition, records, next };
        let mut outcomes = Vec::new();
        let fed = self.shard(partition).await?.feed(input, batch, &mut outcomes).await;
        if !self.told(partition, fed, outcomes, out)? {
            return Ok(false);
        }
        let now = self.clock.saw(partition, newest);
        self.tick(partition, now, out).await
    }

    /// Says what time it is: a plugin that wants to acts.
    async fn tick(&mut self, shard: u32, now: i64, out: &mut impl Write) -> Result<bool> {
        let mut outcomes = Vec::new();
        let ticked = self.shard(shard).await?.clock(now, &mut outcomes).await;
        self.told(shard, ticked, outcomes, out)
    }

    /// Prints what came of it. False where a host would not go on.
    fn told(
        &mut self,
        shard: u32,
        ended: Result<(), DryError>,
        outcomes: Vec<Outcome>,
        out: &mut impl Write,
    ) -> Result<bool> {
        for outcome in outcomes {
            self.printer.print(shard, outcome, out)?;
        }
        match ended {
            Ok(()) => return Ok(true),
            Err(DryError::Plugin(error)) => {
                say(&format!("shard {shard}: the plugin stops: {error}"));
            }
            Err(held) => say(&format!("shard {shard}: {held}")),
        }
        Ok(false)
    }

    async fn shard(&mut self, shard: u32) -> Result<&mut Dry> {
        if !self.all.contains_key(&shard) {
            if self.all.len() == INSTANCES as usize {
                bail!(
                    "more than {INSTANCES} partitions: each is a shard with an instance of its own"
                );
            }
            let setup = host_plugins::Setup {
                state: self.kept.of(shard),
                log: Arc::new(Log::new(shard)),
                ..self.order.setup(&self.processor, shard)
            };
            let begun = Dry::start(self.plugin.clone(), setup).await;
            let begun = begun.map_err(|error| {
                let to_do = super::advice::about_init(&error, self.order.is_chosen);
                anyhow::anyhow!("init with {}: {error}\n  {to_do}", self.order.config)
            })?;
            self.all.insert(shard, begun);
        }
        self.all.get_mut(&shard).context("a shard")
    }

    fn keep(&self, path: &std::path::Path) -> Result<()> {
        self.kept.write(path)
    }

    fn sum_up(&self) {
        let Info { name, version, .. } = self.plugin.info();
        let digest: String = self.plugin.digest().chars().take(12).collect();
        say(&format!("{name} {version} ({digest}): {}", self.printer.sum()));
    }
}
