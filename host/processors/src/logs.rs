//! What plugins log, the last lines of each processor.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use host_plugins::{LogLine, LogSink};

/// Lines kept for each processor: what a person reads to see why it misbehaves.
const KEPT_LINES: usize = 200;

/// The logs of every processor of this host.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<HashMap<String, Arc<Log>>>>);

#[derive(Default)]
struct Log {
    processor: String,
    lines: Mutex<VecDeque<LogLine>>,
}

impl Logs {
    /// Where the plugins of a processor log to.
    pub(crate) fn sink(&self, processor: &str) -> Arc<dyn LogSink> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Log { processor: processor.to_owned(), ..Log::default() });
        Arc::clone(logs.entry(processor.to_owned()).or_insert_with(new)) as Arc<dyn LogSink>
    }

    pub(crate) fn forget(&self, processor: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(processor);
    }

    /// The last lines of a processor, oldest first.
    #[must_use]
    pub fn of(&self, processor: &str) -> Vec<LogLine> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = logs.get(processor) else { return Vec::new() };
        let lines = log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

impl LogSink for Log {
    fn log(&self, line: LogLine) {
        let LogLine { level, message, fields } = &line;
        tracing::debug!(processor = %self.processor, ?level, message, ?fields, "plugin log");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
