//! Says it once: what goes on failing is one line in the log when it begins, one when it ends.
//!
//! A shard is tried again for as long as it fails; a line for each try would fill the disk and bury what
//! else there is to know. The tries themselves are told at the level `debug`.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Time after which an episode that goes on is told again: once a shift is enough to find it in a log that
/// was rotated.
const REMIND: Duration = Duration::from_secs(3600);

/// Time between two lines of one episode whose cause changes: causes may hold offsets or times.
const OTHER_CAUSE: Duration = Duration::from_secs(60);

/// Bytes of a cause that are compared and shown: a plugin's words can be long.
const MOST_CAUSE: usize = 1024;

/// What a shard's failures have said so far.
#[derive(Debug, Default)]
pub(crate) struct Episode(Option<Failing>);

#[derive(Debug)]
struct Failing {
    since: Instant,
    told: Instant,
    cause: String,
    tries: u64,
}

/// What is to be said of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Begins,
    OtherCause,
    GoesOn,
    /// Nothing that an operator does not know.
    Quiet,
}

impl Episode {
    /// A try failed; the next comes in `retry`, or none before somebody does something.
    pub(crate) fn failed(
        &mut self,
        processor: &str,
        shard: u32,
        cause: &dyn Display,
        retry: Option<Duration>,
    ) {
        let cause = cut(cause.to_string());
        let line = self.note(Instant::now(), &cause);
        let tries = self.0.as_ref().map_or(0, |failing| failing.tries);
        let retry_ms = retry.map(|retry| retry.as_millis() as u64);
        match line {
            Line::Begins => tracing::warn!(processor, shard, cause, retry_ms, "processor failed"),
            Line::OtherCause => {
                tracing::warn!(
                    processor,
                    shard,
                    cause,
                    tries,
                    "processor fails for another reason"
                );
            }
            Line::GoesOn => {
                tracing::warn!(processor, shard, cause, tries, "processor still fails");
            }
            Line::Quiet => {
                tracing::debug!(processor, shard, cause, tries, retry_ms, "processor failed again");
            }
        }
    }

    /// It works again, which is known when something was committed. Harmless where nothing failed.
    pub(crate) fn recovered(&mut self, processor: &str, shard: u32) {
        if let Some(Failing { since, tries, .. }) = self.0.take() {
            let failed_ms = since.elapsed().as_millis() as u64;
            tracing::info!(processor, shard, tries, failed_ms, "processor recovered");
        }
    }

    /// Whether it fails at present.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    fn note(&mut self, now: Instant, cause: &str) -> Line {
        let Some(failing) = &mut self.0 else {
            let cause = cause.to_owned();
            self.0 = Some(Failing { since: now, told: now, cause, tries: 1 });
            return Line::Begins;
        };
        failing.tries += 1;
        let quiet_for = now.saturating_duration_since(failing.told);
        let line = if failing.cause != cause && quiet_for >= OTHER_CAUSE {
            Line::OtherCause
        } else if quiet_for >= REMIND {
            Line::GoesOn
        } else {
            return Line::Quiet;
        };
        failing.told = now;
        cause.clone_into(&mut failing.cause);
        line
    }
}

/// Counts what may come very often, and lets the first of each period through: dead letters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    told: Option<Instant>,
    unsaid: u64,
}

impl Tally {
    /// So many more. Gives how many there were since the last line when a line is due.
    pub(crate) fn add(&mut self, count: u64) -> Option<u64> {
        self.add_at(Instant::now(), count)
    }

    fn add_at(&mut self, now: Instant, count: u64) -> Option<u64> {
        self.unsaid += count;
        let due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= OTHER_CAUSE);
        if !due || self.unsaid == 0 {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn cut(mut cause: String) -> String {
    cause.truncate(cause.floor_char_boundary(MOST_CAUSE));
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_ever_is_told_at_its_beginning_and_once_an_hour() {
        let (mut episode, start) = (Episode::default(), Instant::now());
        let lines = (0..7200).map(|second| episode.note(start + Duration::from_secs(second), "a"));
        let told: Vec<(usize, Line)> =
            lines.enumerate().filter(|(_, line)| *line != Line::Quiet).collect();
        assert_eq!(told, [(0, Line::Begins), (3600, Line::GoesOn)]);
    }

    #[test]
    fn another_cause_is_told_at_most_once_a_minute() {
        let (mut episode, start) = (Episode::default(), Instant::now());
        let mut note = |second, cause| episode.note(start + Duration::from_secs(second), cause);
        assert_eq!(note(0, "a"), Line::Begins);
        assert_eq!(note(1, "b"), Line::Quiet);
        assert_eq!(note(60, "c"), Line::OtherCause);
        assert_eq!(note(61, "d"), Line::Quiet);
        assert_eq!(note(200, "c"), Line::Quiet);
    }

    #[test]
    fn after_it_worked_again_the_next_failure_begins_anew() {
        let mut episode = Episode::default();
        episode.recovered("p", 0);
        episode.failed("p", 0, &"x".repeat(5000), None);
        assert!(episode.is_open());
        episode.recovered("p", 0);
        assert!(!episode.is_open());
        assert_eq!(episode.note(Instant::now(), "a"), Line::Begins);
    }

    #[test]
    fn a_flood_is_counted_and_told_once_a_minute() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(tally.add_at(at(0), 2), Some(2));
        assert_eq!(tally.add_at(at(1), 500), None);
        assert_eq!(tally.add_at(at(59), 1), None);
        assert_eq!(tally.add_at(at(60), 0), Some(501));
        assert_eq!(tally.add_at(at(200), 0), None);
    }
}
