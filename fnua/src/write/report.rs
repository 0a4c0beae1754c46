//! What was written, for people and for programs.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::batch::Batch;
use crate::io::Words;
use crate::teller::Teller;

/// A stretch of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: (String, u64),
    pub(super) last: (String, u64),
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((first, from), (last, to)) = (&self.first, &self.last);
        match (first == last, from == to) {
            (true, true) => write!(f, "{first}:{from}"),
            (true, false) => write!(f, "{first}:{from}-{to}"),
            (false, _) => write!(f, "{first}:{from} to {last}:{to}"),
        }
    }
}

/// What the host has answered so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) batches: u64,
    pub(super) bytes: u64,
    pub(super) reconnects: u64,
    started: Instant,
    progress: ProgressBar,
}

impl Tally {
    /// Begins to count; `draw` shows it on the terminal.
    pub(super) fn start(draw: bool) -> Self {
        let progress = if draw { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {human_pos} events, {per_sec:0}, {msg}")
        {
            progress.set_style(style);
        }
        Self { events: 0, batches: 0, bytes: 0, reconnects: 0, started: Instant::now(), progress }
    }

    /// The host is there, at once or after a broken connection: the time of the run counts from here.
    pub(super) fn connected(&mut self, again: bool) {
        self.started = Instant::now();
        self.reconnects += u64::from(again);
    }

    /// A batch is safe.
    pub(super) fn add(&mut self, batch: &Batch) {
        self.events += u64::from(batch.lines);
        self.batches += 1;
        self.bytes += batch.body.len() as u64;
        self.progress.set_position(self.events);
    }

    /// What tells of waits, beside the progress line.
    pub(super) fn teller(&self, words: Words) -> Teller {
        let progress = self.progress.clone();
        Teller::through(move |line| progress.suspend(|| words.say(line)))
    }

    /// Says on the progress line what is going on.
    pub(super) fn now(&self, what: &'static str) {
        self.progress.set_message(what);
    }

    /// Takes the progress line away.
    pub(super) fn stop(&self) {
        self.progress.finish_and_clear();
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// One line for people.
    pub(super) fn summary(&self, flow: &str) -> String {
        let seconds = self.elapsed().as_secs_f64();
        let rate = self.rate();
        let again = match self.reconnects {
            0 => String::new(),
            1 => ", connected again once".to_owned(),
            times => format!(", connected again {times} times"),
        };
        let events = if self.events == 1 { "event" } else { "events" };
        format!(
            "wrote {} {events} to {flow} in {seconds:.2} s ({rate:.0} a second){again}",
            self.events
        )
    }

    /// One JSON object for programs.
    pub(super) fn json(&self, flow: &str, run: &str) -> String {
        let seconds = (self.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        serde_json::json!({"flow": flow, "run": run, "events": self.events, "batches": self.batches,
            "bytes": self.bytes, "seconds": seconds, "reconnects": self.reconnects})
        .to_string()
    }

    fn rate(&self) -> f64 {
        // Half a millisecond at least: the rate of nothing at once is not infinite.
        let count = u32::try_from(self.events).unwrap_or(u32::MAX);
        f64::from(count) / self.elapsed().as_secs_f64().max(0.0005)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_the_input_is_named_as_compilers_do() {
        let place = |name: &str, line| (name.to_owned(), line);
        let shown = |first, last| Span { first, last }.to_string();
        assert_eq!(shown(place("a", 1), place("a", 1)), "a:1");
        assert_eq!(shown(place("a", 1), place("a", 512)), "a:1-512");
        assert_eq!(shown(place("a", 400), place("b", 2)), "a:400 to b:2");
    }
}
