//! Lines that plugins write: where they go, and how many.
//!
//! A plugin cannot flood: lines above the rate are counted and left out, long ones are cut.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use crate::said::{Init, Said};

/// Where the lines of one processor go. Called from inside a guest's call: must not block.
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn log(&self, line: LogLine);
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warn,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text, at most 8 KiB.
    pub message: String,
    /// Facts, at most 32; with the text at most 16 KiB.
    pub fields: Vec<(String, String)>,
}

/// A sink that forgets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl LogSink for NoLog {
    fn log(&self, _: LogLine) {}
}

/// The way to a sink, at the rate that is granted.
pub(crate) struct Gate {
    sink: Arc<dyn LogSink>,
    lines: u32,
    rate: f64,
    tokens: f64,
    filled: Instant,
    left_out: u64,
    /// Whether somebody was told that lines are left out, since the gate was last quite open.
    told: bool,
    last_words: String,
    /// Until `init` has ended.
    init: Option<Init>,
}

impl Gate {
    pub(crate) fn new(sink: Arc<dyn LogSink>, lines: u32) -> Self {
        let rate = f64::from(lines);
        Self {
            sink,
            lines,
            rate,
            tokens: rate,
            filled: Instant::now(),
            left_out: 0,
            told: false,
            last_words: String::new(),
            init: None,
        }
    }

    /// The same for an instance whose `init` is still to come.
    pub(crate) fn before_init(self, said: &Arc<Said>) -> Self {
        Self { init: Some(Init::new(said)), ..self }
    }

    /// From now on everything is heard, whatever was said before.
    pub(crate) fn end_init(&mut self) {
        if let Some(init) = self.init.take() {
            init.end();
        }
    }

    /// Passes a line on, cut to size, or counts it.
    pub(crate) fn log(&mut self, level: Level, message: &str, fields: Vec<(String, String)>) {
        self.log_at(Instant::now(), level, message, fields);
    }

    /// Takes the end of what was warned of since the last time, for the message of a trap. Lines that
    /// were left out are in it too.
    pub(crate) fn take_last_words(&mut self) -> String {
        std::mem::take(&mut self.last_words)
    }

    fn log_at(&mut self, now: Instant, level: Level, message: &str, fields: Vec<(String, String)>) {
        if level >= Level::Warn {
            self.remember(message, &fields);
        }
        if self.init.as_mut().is_some_and(|init| init.is_known(level, message, &fields)) {
            return;
        }
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.rate);
        if self.tokens >= self.rate {
            self.told = false;
        }
        if self.tokens < 1.0 {
            self.left_out += 1;
            return self.tell_that_lines_are_left_out();
        }
        self.tokens -= 1.0;
        self.tell_what_was_left_out();
        let message = plain(message, MAX_MESSAGE);
        let fields = cut_fields(fields, MAX_LINE - message.len());
        self.sink.log(LogLine { level, message, fields });
    }

    fn remember(&mut self, message: &str, fields: &[(String, String)]) {
        if self.last_words.len() > LAST_WORDS {
            self.last_words.clear();
        }
        self.last_words.push_str(&plain(message, MAX_VALUE));
        for (name, value) in fields.iter().take(MAX_NAMED) {
            let (name, value) = (plain(name, MAX_NAME), plain(value, MAX_VALUE));
            // Writing to a string cannot fail.
            write!(self.last_words, " {name}={value}").ok();
        }
        self.last_words.push('\n');
    }

    /// At once, because a plugin that is silent afterwards would never be told of.
    fn tell_that_lines_are_left_out(&mut self) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let message = format!("limit passed: log_lines={}: lines are left out", self.lines);
        self.sink.log(LogLine { level: Level::Warn, message, fields: Vec::new() });
    }

    fn tell_what_was_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let message = "lines left out, too many a second".to_owned();
            let fields = vec![("lines".to_owned(), left_out.to_string())];
            self.sink.log(LogLine { level: Level::Warn, message, fields });
        }
    }
}

/// As many facts as there is room for.
fn cut_fields(fields: Vec<(String, String)>, mut room: usize) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for (name, value) in fields.iter().take(MAX_FIELDS) {
        let (name, value) = (plain(name, MAX_NAME), plain(value, MAX_VALUE));
        let Some(rest) = room.checked_sub(name.len() + value.len()) else { break };
        room = rest;
        kept.push((name, value));
    }
    kept
}

/// A beginning of at most `max` bytes of what a guest wrote, for people: what a terminal would obey is
/// not in it.
pub(crate) fn plain(text: &str, max: usize) -> String {
    let obeyed = |found: char| found.is_control() && found != '\n' && found != '\t';
    cut(text, max).replace(obeyed, " ")
}

/// Whether a line may show it: nothing that a terminal obeys, that ends the line or that turns its direction, unseen.
#[must_use]
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !INVISIBLE.contains(&c)
}

/// What turns the direction of a line or ends it, unseen.
const INVISIBLE: [char; 14] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}',
    '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// The longest beginning of at most `max` bytes that ends between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// Bytes of a line with its facts: what is kept of a processor's log stays below a few megabytes.
pub(crate) const MAX_LINE: usize = 16 * 1024;

/// Bytes of a message: a stack trace of a guest's language fits.
const MAX_MESSAGE: usize = 8 * 1024;

/// Facts of a line.
const MAX_FIELDS: usize = 32;

/// Bytes of a fact's name.
const MAX_NAME: usize = 64;

/// Bytes of a fact's value.
const MAX_VALUE: usize = 1024;

/// Bytes of warnings that go with a trap: a panic's message and place.
const LAST_WORDS: usize = 1024;

/// Facts of a warning that go with a trap.
const MAX_NAMED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Default)]
    struct Kept(Mutex<Vec<LogLine>>);

    impl LogSink for Kept {
        fn log(&self, line: LogLine) {
            self.0.lock().unwrap().push(line);
        }
    }

    #[test]
    fn lines_above_the_rate_are_left_out_and_counted() {
        let kept = Arc::new(Kept::default());
        let mut gate = Gate::new(Arc::clone(&kept) as Arc<dyn LogSink>, 2);
        let now = Instant::now();
        for line in ["1", "2", "3", "4"] {
            gate.log_at(now, Level::Info, line, Vec::new());
        }
        gate.log_at(now + Duration::from_millis(500), Level::Info, "5", Vec::new());
        gate.log_at(now + Duration::from_millis(500), Level::Info, "6", Vec::new());
        let kept = kept.0.lock().unwrap();
        let messages: Vec<_> = kept.iter().map(|line| line.message.as_str()).collect();
        let told = "limit passed: log_lines=2: lines are left out";
        assert_eq!(messages, ["1", "2", told, "lines left out, too many a second", "5"]);
        assert_eq!(kept[3].fields, [("lines".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn what_was_warned_of_is_kept_for_a_trap_even_where_the_log_is_full() {
        let mut gate = Gate::new(Arc::new(NoLog), 0);
        gate.log(Level::Info, "usual", Vec::new());
        gate.log(Level::Error, "panicked", vec![("at".to_owned(), "lib.rs".to_owned())]);
        gate.log(Level::Warn, "stderr", Vec::new());
        assert_eq!(gate.take_last_words(), "panicked at=lib.rs\nstderr\n");
        assert_eq!(gate.take_last_words(), "");
        for _ in 0..100 {
            gate.log(Level::Error, &"x".repeat(10_000), Vec::new());
        }
        assert!(gate.take_last_words().len() < 4 * LAST_WORDS);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let kept = Arc::new(Kept::default());
        let mut gate = Gate::new(Arc::clone(&kept) as Arc<dyn LogSink>, 2);
        let fields = vec![("é".repeat(99), "é".repeat(999)); 99];
        gate.log(Level::Info, &"é".repeat(MAX_MESSAGE), fields);
        let kept = kept.0.lock().unwrap();
        assert_eq!(kept[0].message.len(), MAX_MESSAGE);
        assert_eq!(kept[0].fields[0].0.len(), MAX_NAME);
        assert_eq!(kept[0].fields[0].1.len(), MAX_VALUE);
        let fields = kept[0].fields.iter().map(|(name, value)| name.len() + value.len());
        let size = MAX_MESSAGE + fields.sum::<usize>();
        assert!((MAX_LINE - MAX_NAME - MAX_VALUE..=MAX_LINE).contains(&size), "{size}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("\u{1b}[2J\r\n\tä", 100), " [2J \n\tä");
    }

    #[test]
    fn a_line_has_a_few_facts_only() {
        let kept = Arc::new(Kept::default());
        let mut gate = Gate::new(Arc::clone(&kept) as Arc<dyn LogSink>, 2);
        gate.log(Level::Info, "", vec![("n".to_owned(), String::new()); 99]);
        assert_eq!(kept.0.lock().unwrap()[0].fields.len(), MAX_FIELDS);
    }
}
