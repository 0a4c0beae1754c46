//! What plugins log and what the host did with each processor, the last lines of each.
//!
//! Memory is bounded for each processor, in lines and in bytes: plugins are hostile, and the oldest line
//! goes first. Nothing of it outlives the host.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_events::clock::now;
use host_plugins::{Level, LogLine, LogSink};

/// Lines kept for each processor: what a person reads to see why it misbehaves, and more than a
/// follower that looks once a second misses at the rate that plugins are granted.
pub const KEPT_LINES: usize = 500;

/// Bytes kept for each processor, so that a thousand of them with the longest lines stay near 128 MiB.
/// Three lines of the greatest length fit.
pub const KEPT_BYTES: usize = 128 * 1024;

/// What a line takes beside its texts, and each fact of it beside its own: roughly their structs.
const LINE_BYTES: usize = 96;
const FACT_BYTES: usize = 48;

/// The logs of every processor of this host. Cloning shares them.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    logs: HashMap<String, Arc<Log>>,
    /// Above every number of the logs that were forgotten: who follows a processor that is deleted and
    /// made again misses nothing of the new one.
    floor: u64,
}

/// One line with its place in a processor's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number: one more than that of the line before, for the life of the host.
    pub seq: u64,
    /// Milliseconds since 1970, never less than those of the line before.
    pub time: i64,
    /// Whether the host says it of the processor, and not the plugin.
    pub by_host: bool,
    /// The shard it is about, if it is about one.
    pub shard: Option<u32>,
    /// What is said.
    pub line: LogLine,
}

/// The end of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Lines that were asked for and are no longer kept; they came before the others.
    pub missed: u64,
    /// What is kept, oldest first.
    pub lines: Vec<Logged>,
}

/// Where one shard of a processor logs to.
#[derive(Clone)]
pub(crate) struct ShardLog {
    log: Arc<Log>,
    shard: u32,
}

struct Log {
    processor: String,
    kept: Mutex<Kept>,
}

struct Kept {
    lines: VecDeque<Logged>,
    bytes: usize,
    /// The number of the next line.
    next: u64,
}

impl Logs {
    /// Where the plugins of a shard log to, and where the host says what it did with it.
    pub(crate) fn shard(&self, processor: &str, shard: u32) -> ShardLog {
        ShardLog { log: self.log(processor), shard }
    }

    /// Says what the host did with a processor; `shard` where it is about one. Not for one that was
    /// forgotten: it would be kept again.
    pub(crate) fn host_line(
        &self,
        processor: &str,
        shard: Option<u32>,
        level: Level,
        message: &str,
        fields: &[(&str, &dyn std::fmt::Display)],
    ) {
        self.log(processor).push(true, shard, host_line(level, message, fields));
    }

    pub(crate) fn forget(&self, processor: &str) {
        let mut all = self.all();
        if let Some(log) = all.logs.remove(processor) {
            all.floor = all.floor.max(log.kept().next);
        }
    }

    /// The last lines of a processor, or those from a number on.
    #[must_use]
    pub fn since(&self, processor: &str, since: Option<u64>) -> Tail {
        let log = self.all().logs.get(processor).map(Arc::clone);
        log.map(|log| log.kept().since(since)).unwrap_or_default()
    }

    fn log(&self, processor: &str) -> Arc<Log> {
        let mut all = self.all();
        let next = all.floor;
        let new = || {
            let kept = Mutex::new(Kept { lines: VecDeque::new(), bytes: 0, next });
            Arc::new(Log { processor: processor.to_owned(), kept })
        };
        Arc::clone(all.logs.entry(processor.to_owned()).or_insert_with(new))
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardLog {
    /// Says what the host did with this shard.
    pub(crate) fn host_line(
        &self,
        level: Level,
        message: &str,
        fields: &[(&str, &dyn std::fmt::Display)],
    ) {
        self.log.push(true, Some(self.shard), host_line(level, message, fields));
    }

    /// The same place, for a plugin.
    pub(crate) fn sink(&self) -> Arc<dyn LogSink> {
        Arc::new(self.clone())
    }
}

impl LogSink for ShardLog {
    fn log(&self, line: LogLine) {
        let LogLine { level, message, fields } = &line;
        let (processor, shard) = (&self.log.processor, self.shard);
        tracing::debug!(%processor, shard, plugin_level = ?level, said = message, ?fields, "plugin log");
        self.log.push(false, Some(shard), line);
    }
}

impl Log {
    fn push(&self, by_host: bool, shard: Option<u32>, line: LogLine) {
        self.kept().push(by_host, shard, line);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, by_host: bool, shard: Option<u32>, line: LogLine) {
        // Clocks are set back now and then; a log that runs backwards helps nobody.
        let time = self.lines.back().map_or(i64::MIN, |last| last.time).max(now());
        self.bytes += size(&line);
        self.lines.push_back(Logged { seq: self.next, time, by_host, shard, line });
        self.next += 1;
        while self.lines.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes = self.bytes.saturating_sub(size(&oldest.line));
        }
    }

    fn since(&self, since: Option<u64>) -> Tail {
        let oldest = self.lines.front().map_or(self.next, |line| line.seq);
        let missed = since.map_or(0, |since| oldest.saturating_sub(since));
        let from = since.unwrap_or(0);
        let lines = self.lines.iter().filter(|line| line.seq >= from).cloned().collect();
        Tail { missed, lines }
    }
}

fn host_line(level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) -> LogLine {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), cut(value.to_string())));
    LogLine { level, message: message.to_owned(), fields: fields.collect() }
}

/// A reason may hold what a plugin said, at any length.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_HOST_VALUE));
    text
}

/// Bytes of a fact that the host tells: a trap's words and the front of its backtrace.
const MAX_HOST_VALUE: usize = 4 * 1024;

fn size(line: &LogLine) -> usize {
    let facts = line.fields.iter().map(|(name, value)| name.len() + value.len() + FACT_BYTES);
    line.message.len() + facts.sum::<usize>() + LINE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: impl Into<String>) -> LogLine {
        LogLine { level: Level::Info, message: message.into(), fields: Vec::new() }
    }

    fn messages(tail: &Tail) -> Vec<&str> {
        tail.lines.iter().map(|line| line.line.message.as_str()).collect()
    }

    #[test]
    fn lines_have_numbers_shards_and_whose_they_are() {
        let logs = Logs::default();
        let shard = logs.shard("p", 3);
        shard.sink().log(line("one"));
        shard.host_line(Level::Warn, "begins again", &[("cause", &"trap")]);
        logs.host_line("p", None, Level::Error, "cannot run", &[]);
        let tail = logs.since("p", None);
        assert_eq!(messages(&tail), ["one", "begins again", "cannot run"]);
        let places = tail.lines.iter().map(|line| (line.seq, line.shard, line.by_host));
        let wanted = [(0, Some(3), false), (1, Some(3), true), (2, None, true)];
        assert_eq!(places.collect::<Vec<_>>(), wanted);
        assert_eq!(tail.lines[1].line.fields, [("cause".to_owned(), "trap".to_owned())]);
        assert!(tail.lines.is_sorted_by_key(|line| line.time));
        assert_eq!(logs.since("q", None), Tail::default());
    }

    #[test]
    fn only_the_last_lines_are_kept_and_what_is_gone_is_counted() {
        let logs = Logs::default();
        let sink = logs.shard("p", 0).sink();
        for number in 0..KEPT_LINES + 10 {
            sink.log(line(number.to_string()));
        }
        let tail = logs.since("p", None);
        assert_eq!((tail.missed, tail.lines.len()), (0, KEPT_LINES));
        assert_eq!(logs.since("p", Some(0)).missed, 10);
        assert_eq!(logs.since("p", Some(4)).missed, 6);
        let last = KEPT_LINES as u64 + 9;
        assert_eq!(messages(&logs.since("p", Some(last))), [last.to_string()]);
        assert_eq!(logs.since("p", Some(last + 1)), Tail::default());
    }

    #[test]
    fn long_lines_are_kept_up_to_a_number_of_bytes() {
        let logs = Logs::default();
        let sink = logs.shard("p", 0).sink();
        for _ in 0..100 {
            let fields = vec![("n".to_owned(), "y".repeat(1024)); 32];
            sink.log(LogLine { level: Level::Info, message: "x".repeat(8 * 1024), fields });
        }
        let tail = logs.since("p", Some(0));
        let bytes: usize = tail.lines.iter().map(|line| size(&line.line)).sum();
        assert!(bytes <= KEPT_BYTES && tail.lines.len() >= 3, "{bytes} {}", tail.lines.len());
        assert_eq!(tail.missed + tail.lines.len() as u64, 100);
        let long = "z".repeat(1 << 20);
        logs.host_line("p", None, Level::Warn, "begins again", &[("cause", &long)]);
        assert_eq!(logs.since("p", None).lines.last().unwrap().line.fields[0].1.len(), 4096);
    }

    #[test]
    fn a_processor_made_again_goes_on_with_larger_numbers() {
        let logs = Logs::default();
        logs.host_line("p", None, Level::Info, "first life", &[]);
        logs.forget("p");
        assert_eq!(logs.since("p", None), Tail::default());
        logs.host_line("p", None, Level::Info, "second life", &[]);
        assert_eq!(messages(&logs.since("p", Some(1))), ["second life"]);
    }
}
