//! `fnaad plugin bench`: what an event costs, beside what it costs to pass it on.
//!
//! Measures calls only: no broker, no commit. Times are of this machine as it is now; the included bridge, which forwards
//! whole batches, is measured in the same run as the unit.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use host_events::Batch;
use host_plugins::{Instance, Plugin, SharedState};
use indicatif::ProgressBar;
use serde::Serialize;

use super::cli::Bench;
use super::conform::Trial;
use super::desk::{Desk, Order};
use super::words;

/// Events of a batch.
const SIZES: [usize; 3] = [1, 64, 512];

/// Calls whose time counts, and their number: enough for a p99, over before somebody is bored.
const MEASURED: Duration = Duration::from_millis(800);
const MOST_CALLS: usize = 50_000;
const LEAST_CALLS: usize = 20;

/// Calls before them: caches fill, interpreters settle.
const WARM: Duration = Duration::from_millis(200);

/// Instances that are made for the time of one.
const INSTANCES: usize = 51;

/// Measures and prints.
pub(crate) async fn run(Bench { tried: args }: &Bench, out: &mut impl Write) -> Result<bool> {
    let desk = Desk::open(&args.component)?;
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    progress.set_message("compiling");
    let plugin = desk.plugin().await?;
    let order = Order::of(plugin.info(), &args.made, &args.inputs)?;
    let trial = Trial::of(args.events.as_deref(), &order)?;
    let mut report = Report::of(&plugin, &trial);
    let subject = Subject { plugin: &plugin, order: &order, trial: &trial };
    progress.set_message("making instances");
    report.instance_microseconds = subject.instances().await?.as_micros();
    let unit = bridge(&desk).await?;
    let forwards = Order::of(unit.info(), &super::cli::Made::default(), &[])?;
    let forwarding = Subject { plugin: &unit, order: &forwards, trial: &trial };
    for size in SIZES {
        progress.set_message(format!("batches of {size}"));
        let (own, memory) = subject.measure(size).await?;
        let (unit, _) = forwarding.measure(size).await?;
        report.memory_bytes = report.memory_bytes.max(memory);
        let times_forward = own.median / unit.median.max(f64::MIN_POSITIVE);
        report.batches.push(Measured { batch: size, event: own, forward: unit, times_forward });
    }
    progress.set_message("ticks");
    report.tick = subject.ticks().await?;
    progress.finish_and_clear();
    words::print(&report, Report::text, args.format, out)?;
    Ok(true)
}

async fn bridge(desk: &Desk) -> Result<Plugin> {
    let bridge = host_builtin::all().into_iter().find(|plugin| plugin.name == "bridge");
    let component = bridge.context("the included bridge")?.component;
    Ok(desk.engine.load(Bytes::from_static(component)).await?)
}

/// What is measured, and with what.
struct Subject<'a> {
    plugin: &'a Plugin,
    order: &'a Order,
    trial: &'a Trial,
}

impl Subject<'_> {
    /// The middle of the times that making an instance takes.
    async fn instances(&self) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..INSTANCES {
            let began = Instant::now();
            drop(self.instance(&SharedState::default()).await?);
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok(times.get(times.len() / 2).copied().unwrap_or_default())
    }

    async fn instance(&self, state: &SharedState) -> Result<Instance> {
        let setup = host_plugins::Setup { state: state.clone(), ..self.order.setup("bench", 0) };
        let made = self.plugin.instantiate(setup).await;
        made.map_err(|error| {
            let to_do = super::advice::about_init(&error, self.order.is_chosen);
            anyhow!("init with {}: {error}\n  {to_do}", self.order.config)
        })
    }

    /// Times of calls with batches of one size, and the memory of the instance afterwards.
    async fn measure(&self, size: usize) -> Result<(Times, usize)> {
        let state = SharedState::default();
        let mut instance = self.instance(&state).await?;
        let batch = self.trial.one_of(size);
        let flow: Arc<str> = self.order.inputs.first().map_or("in", String::as_str).into();
        let began = Instant::now();
        while began.elapsed() < WARM {
            call(&mut instance, &state, &flow, &batch).await?;
        }
        let (began, mut calls) = (Instant::now(), Vec::new());
        while calls.len() < LEAST_CALLS || (began.elapsed() < MEASURED && calls.len() < MOST_CALLS)
        {
            let start = Instant::now();
            call(&mut instance, &state, &flow, &batch).await?;
            calls.push(start.elapsed());
        }
        Ok((Times::of(calls, size), instance.memory()))
    }

    /// Times of ticks one after the other behind a full batch, where the plugin wants any.
    async fn ticks(&self) -> Result<Option<Times>> {
        let state = SharedState::default();
        let mut instance = self.instance(&state).await?;
        let Some(interval) = instance.interval() else { return Ok(None) };
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let batch = self.trial.one_of(SIZES.into_iter().max().unwrap_or(1));
        let flow: Arc<str> = self.order.inputs.first().map_or("in", String::as_str).into();
        call(&mut instance, &state, &flow, &batch).await?;
        let newest = batch.records.iter().map(|stored| stored.record.timestamp).max();
        let mut now = newest.unwrap_or(0);
        let (began, mut calls) = (Instant::now(), Vec::new());
        while calls.len() < LEAST_CALLS || (began.elapsed() < MEASURED && calls.len() < MOST_CALLS)
        {
            now = now.saturating_add(interval);
            let start = Instant::now();
            state.lock().begin();
            let decided = instance.tick(now).await;
            state.lock().committed();
            calls.push(start.elapsed());
            decided.map_err(|error| anyhow!("the plugin fails by the clock: {error}"))?;
        }
        Ok(Some(Times::of(calls, 1)))
    }
}

async fn call(
    instance: &mut Instance,
    state: &SharedState,
    flow: &Arc<str>,
    batch: &Batch,
) -> Result<()> {
    state.lock().begin();
    let decided = instance.process(0, flow, batch.clone()).await;
    state.lock().committed();
    decided.map(drop).map_err(|error| {
        anyhow!("the plugin fails on these events: {error}\n  `fnaad plugin run` shows which, --events FILE takes others")
    })
}

/// Nanoseconds an event.
#[derive(Debug, Serialize)]
struct Times {
    min: f64,
    median: f64,
    p99: f64,
    calls: usize,
}

impl Times {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(mut calls: Vec<Duration>, size: usize) -> Self {
        calls.sort_unstable();
        let last = calls.len().saturating_sub(1);
        let at = |index: usize| {
            calls.get(index).map_or(0.0, |time| time.as_nanos() as f64 / size as f64)
        };
        Self { min: at(0), median: at(last / 2), p99: at(last * 99 / 100), calls: calls.len() }
    }
}

#[derive(Debug, Serialize)]
struct Measured {
    batch: usize,
    event: Times,
    /// The included bridge.
    forward: Times,
    times_forward: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    version: String,
    digest: String,
    /// Octets of an event, in the mean.
    event_bytes: usize,
    instance_microseconds: u128,
    memory_bytes: usize,
    batches: Vec<Measured>,
    /// Of a whole tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<Times>,
}

impl Report {
    fn of(plugin: &Plugin, trial: &Trial) -> Self {
        Self {
            name: plugin.info().name.clone(),
            version: plugin.info().version.clone(),
            digest: plugin.digest().to_string(),
            event_bytes: trial.mean_bytes(),
            instance_microseconds: 0,
            memory_bytes: 0,
            batches: Vec::new(),
            tick: None,
        }
    }

    fn text(&self) -> String {
        let mut text =
            format!("{} {}, events of {} octets\n", self.name, self.version, self.event_bytes);
        text += &format!(
            "{:>5} {:>9} {:>9} {:>9}   {:>9}\n",
            "batch", "min", "median", "p99", "forwarded"
        );
        for Measured { batch, event, forward, times_forward } in &self.batches {
            text += &format!(
                "{batch:>5} {:>9.0} {:>9.0} {:>9.0}   {:>9.0}   ns an event, {times_forward:.1} times\n",
                event.min, event.median, event.p99, forward.median
            );
        }
        if let Some(Times { min, median, p99, .. }) = self.tick {
            text += &format!(
                "{:>5} {min:>9.0} {median:>9.0} {p99:>9.0}   {:>9}   ns a tick\n",
                "tick", ""
            );
        }
        let (memory, made) = (self.memory_bytes / 1024, self.instance_microseconds);
        text + &format!("memory {memory} KiB, an instance with init {made} µs\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_an_event() {
        let times = Times::of((1..=200).map(Duration::from_micros).rev().collect(), 100);
        assert_eq!((times.min, times.median, times.p99, times.calls), (10.0, 1000.0, 1980.0, 200));
    }
}
