//! What comes out of a run: a JSON object a line on stdout, words and the plugin's log on stderr.

use std::io::{Write, stderr};

use anyhow::{Context, Result};
use host_events::{Batch, Record, Stored, write_read_line};
use host_plugins::{Action, Level, LogLine, LogSink};
use host_processors::Outcome;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::plugin::words;

/// Prints outcomes and counts them.
pub(super) struct Printer {
    outputs: Vec<String>,
    inputs: Vec<String>,
    all: bool,
    /// Events that have gone to each output.
    sent: Vec<u64>,
    events: u64,
    dropped: u64,
    letters: u64,
    failed: u64,
    ticks: u64,
}

/// A line of stdout.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
struct Line<'a> {
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<u32>,
    flow: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// When the plugin was called by the clock, milliseconds since 1970; none where an event came.
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<i64>,
    event: Box<RawValue>,
}

impl<'a> Line<'a> {
    fn of(action: &'a str, flow: &'a str, event: Box<RawValue>) -> Self {
        Self { action, output: None, flow, kind: None, reason: None, tick: None, event }
    }
}

impl Printer {
    pub(super) fn new(outputs: Vec<String>, inputs: Vec<String>, all: bool) -> Self {
        let sent = vec![0; outputs.len()];
        let (events, dropped, letters, failed, ticks) = (0, 0, 0, 0, 0);
        Self { outputs, inputs, all, sent, events, dropped, letters, failed, ticks }
    }

    /// Events that failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Everything in one line.
    pub(super) fn sum(&self) -> String {
        let Self { events, dropped, letters, failed, .. } = self;
        let sent: u64 = self.sent.iter().sum();
        let ticks = match self.ticks {
            0 => String::new(),
            ticks => format!(", {ticks} ticks"),
        };
        format!(
            "{events} events in, {sent} out, {dropped} dropped, {letters} dead letters, {failed} of them failed{ticks}"
        )
    }

    pub(super) fn print(
        &mut self,
        partition: u32,
        outcome: Outcome,
        out: &mut impl Write,
    ) -> Result<()> {
        match outcome {
            Outcome::Decided { input, batch, actions } => {
                self.events += batch.records.len() as u64;
                self.decided(input, &batch, actions, out)
            }
            Outcome::GivenUp { input, stored, kind, reason } => {
                self.events += 1;
                self.letters += 1;
                self.failed += 1;
                self.letter(input, partition, &stored, (kind, &reason), out)
            }
            Outcome::Ticked { now, actions } => {
                self.ticks += 1;
                self.ticked(now, actions, out)
            }
        }
    }

    /// A tick has no events: it can only emit some.
    fn ticked(&mut self, now: i64, actions: Vec<Action>, out: &mut impl Write) -> Result<()> {
        for action in actions {
            if let Action::Emit { output, key, mut record } = action {
                record.key = key.or(record.key);
                self.send("emit", output, record, Some(now), out)?;
            }
        }
        Ok(())
    }

    fn decided(
        &mut self,
        input: u32,
        batch: &Batch,
        actions: Vec<Action>,
        out: &mut impl Write,
    ) -> Result<()> {
        let at = |index: u32| batch.records.get(index as usize);
        let mut goes = vec![false; batch.records.len()];
        for action in actions {
            for index in indexes(&action, batch.records.len()) {
                if let Some(goes) = goes.get_mut(index) {
                    *goes = true;
                }
            }
            match action {
                Action::Forward { index, output } => {
                    if let Some(stored) = at(index) {
                        self.send("forward", output, stored.record.clone(), None, out)?;
                    }
                }
                Action::ForwardAll { output } => {
                    for stored in batch.records.iter() {
                        self.send("forward", output, stored.record.clone(), None, out)?;
                    }
                }
                Action::Rewrite { output, record, .. } => {
                    self.send("rewrite", output, record, None, out)?
                }
                Action::Emit { output, key, mut record } => {
                    record.key = key.or(record.key);
                    self.send("emit", output, record, None, out)?;
                }
                Action::Drop { .. } => {}
                Action::DeadLetter { index, reason } => {
                    if let Some(stored) = at(index) {
                        self.letters += 1;
                        self.letter(input, batch.partition, stored, ("asked", &reason), out)?;
                    }
                }
            }
        }
        for (stored, _) in batch.records.iter().zip(goes).filter(|(_, goes)| !goes) {
            self.dropped += 1;
            if self.all {
                let flow = self.input(input);
                let event = event(stored, batch.partition)?;
                write(out, &Line::of("drop", flow, event))?;
            }
        }
        Ok(())
    }

    fn send(
        &mut self,
        action: &str,
        output: u32,
        record: Record,
        tick: Option<i64>,
        out: &mut impl Write,
    ) -> Result<()> {
        let sent = self.sent.get_mut(output as usize).context("an output")?;
        let stored = Stored { offset: *sent, record };
        *sent += 1;
        let flow = self.outputs.get(output as usize).map_or("", String::as_str);
        let event = event(&stored, 0)?;
        write(out, &Line { output: Some(output), tick, ..Line::of(action, flow, event) })
    }

    fn letter(
        &self,
        input: u32,
        partition: u32,
        stored: &Stored,
        (kind, reason): (&str, &str),
        out: &mut impl Write,
    ) -> Result<()> {
        let (flow, event) = (self.input(input), event(stored, partition)?);
        let (kind, reason) = (Some(kind), Some(reason));
        write(out, &Line { kind, reason, ..Line::of("dead-letter", flow, event) })
    }

    fn input(&self, input: u32) -> &str {
        self.inputs.get(input as usize).map_or("", String::as_str)
    }
}

/// Events that go somewhere by an action.
fn indexes(action: &Action, len: usize) -> std::ops::Range<usize> {
    match action {
        Action::Forward { index, .. }
        | Action::Rewrite { index, .. }
        | Action::DeadLetter { index, .. } => *index as usize..*index as usize + 1,
        Action::ForwardAll { .. } => 0..len,
        Action::Emit { .. } | Action::Drop { .. } => 0..0,
    }
}

fn event(stored: &Stored, partition: u32) -> Result<Box<RawValue>> {
    let mut line = Vec::new();
    write_read_line(stored, partition, &mut line);
    Ok(RawValue::from_string(String::from_utf8(line)?)?)
}

fn write(out: &mut impl Write, line: &Line<'_>) -> Result<()> {
    let line = words::json(serde_json::to_string(line)?);
    writeln!(out, "{line}").context("stdout")
}

/// Says something to whoever sits there; a stderr that is gone is no reason to fail.
pub(super) fn say(text: &str) {
    drop(writeln!(stderr(), "{}", words::indented(text)));
}

/// The log of one shard's plugin.
pub(super) struct Log(u32);

impl Log {
    pub(super) fn new(shard: u32) -> Self {
        Self(shard)
    }
}

impl LogSink for Log {
    fn log(&self, line: LogLine) {
        let level = match line.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let fields: String =
            line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        say(&words::one_line(&format!("log {} {level}: {}{fields}", self.0, line.message)));
    }
}
