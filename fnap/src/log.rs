//! The data lines of `GET LOG`, as JSON and as text.
//!
//! What is logged comes from plugins, and may be meant to deceive: nothing in it ends a line or steers a
//! terminal, and no plugin can write what looks like a line of the host.

use std::fmt;

use serde_json::{Map, Value};

use crate::value::Quoted;

/// One data line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogItem {
    /// A line of the log.
    Line(LogEntry),
    /// So many lines before the next one were asked for and are no longer kept.
    Missed(u64),
}

/// One line of a processor's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number; later lines of the same processor have larger ones, for the life of the host.
    pub seq: u64,
    /// RFC 3339.
    pub time: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Whether the host says it of the processor; else the plugin says it.
    pub by_host: bool,
    /// The shard it is about, if it is about one.
    pub shard: Option<u32>,
    /// The text.
    pub message: String,
    /// Facts.
    pub fields: Vec<(String, String)>,
}

impl LogItem {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Missed(lines) => serde_json::json!({ "missed": lines }),
            Self::Line(entry) => entry.to_json(),
        }
    }

    /// Reads what [`Self::to_json`] writes; none where it is something else.
    #[must_use]
    pub fn from_json(line: &str) -> Option<Self> {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else { return None };
        if let Some(missed) = object.get("missed") {
            return missed.as_u64().map(Self::Missed);
        }
        LogEntry::from_object(&object).map(Self::Line)
    }
}

impl LogEntry {
    fn to_json(&self) -> Value {
        let pair = |(name, value): &(String, String)| (name.clone(), Value::from(value.as_str()));
        let fields: Map<String, Value> = self.fields.iter().map(pair).collect();
        serde_json::json!({
            "seq": self.seq,
            "time": self.time,
            "level": self.level,
            "by": if self.by_host { "host" } else { "plugin" },
            "shard": self.shard,
            "message": self.message,
            "fields": fields,
        })
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let fields = object.get("fields").and_then(Value::as_object);
        let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let shard = object.get("shard").and_then(Value::as_u64);
        Some(Self {
            seq: object.get("seq")?.as_u64()?,
            time: text("time").unwrap_or_default().to_owned(),
            level: text("level").unwrap_or_default().to_owned(),
            by_host: text("by") == Some("host"),
            shard: shard.and_then(|shard| u32::try_from(shard).ok()),
            message: text("message")?.to_owned(),
            fields: fields.into_iter().flatten().map(|(k, v)| (k.clone(), value(v))).collect(),
        })
    }
}

impl fmt::Display for LogItem {
    /// `TIME LEVEL [host ][shard=N ]message name=value…`, or `… N lines are gone`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(1) => out.write_str("… 1 line is gone"),
            Self::Missed(lines) => write!(out, "… {lines} lines are gone"),
            Self::Line(entry) => entry.fmt(out),
        }
    }
}

impl fmt::Display for LogEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:<5}", OneLine(&self.time), OneLine(&self.level).to_string())?;
        // Before the shard, where no plugin's words can stand.
        if self.by_host {
            out.write_str(" host")?;
        }
        if let Some(shard) = self.shard {
            write!(out, " shard={shard}")?;
        }
        write!(out, " {}", OneLine(&self.message))?;
        for (name, value) in &self.fields {
            let pair = [name, value].map(|text| Quoted(text).to_string());
            write!(out, " {}={}", OneLine(&pair[0]), OneLine(&pair[1]))?;
        }
        Ok(())
    }
}

/// A text on one line: what would end the line, move the cursor or turn the reading direction is shown
/// as an escape.
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if steers(c) {
                write!(out, "{}", c.escape_default())?;
            } else {
                fmt::Write::write_char(out, c)?;
            }
        }
        Ok(())
    }
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> LogEntry {
        LogEntry {
            seq: 7,
            time: "2026-01-31T12:00:00Z".to_owned(),
            level: "warn".to_owned(),
            by_host: false,
            shard: Some(2),
            message: "expression failed".to_owned(),
            fields: vec![
                ("expression".to_owned(), "data.mag >= 5".to_owned()),
                ("n".to_owned(), "3".to_owned()),
            ],
        }
    }

    #[test]
    fn a_line_is_the_same_after_a_way_over_json() {
        for item in [
            LogItem::Line(entry()),
            LogItem::Line(LogEntry { by_host: true, shard: None, ..entry() }),
            LogItem::Missed(3),
        ] {
            assert_eq!(LogItem::from_json(&item.to_json().to_string()), Some(item));
        }
        for wrong in ["", "7", "{}", "{\"missed\":-1}", "{\"seq\":1}"] {
            assert_eq!(LogItem::from_json(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_of_text_has_time_level_shard_message_and_facts() {
        let text = LogItem::Line(entry()).to_string();
        let wanted =
            "2026-01-31T12:00:00Z warn  shard=2 expression failed expression=\"data.mag >= 5\" n=3";
        assert_eq!(text, wanted);
        let host = LogEntry { by_host: true, level: "error".to_owned(), ..entry() };
        assert!(host.to_string().starts_with("2026-01-31T12:00:00Z error host shard=2 "), "{host}");
        assert_eq!(LogItem::Missed(3).to_string(), "… 3 lines are gone");
    }

    #[test]
    fn nothing_in_a_line_ends_it_or_steers_a_terminal() {
        let hostile = "a\r\n220 OK\u{1b}[2J\u{9b}c\u{202e}".to_owned();
        let fields = vec![(hostile.clone(), hostile.clone())];
        let entry = LogEntry { message: hostile, fields, ..entry() };
        let text = entry.to_string();
        assert!(!text.chars().any(steers), "{text:?}");
        assert!(text.contains("a\\r\\n220 OK\\u{1b}[2J\\u{9b}c\\u{202e}"), "{text}");
        assert!(!entry.to_json().to_string().contains(['\r', '\n', '\u{1b}']));
    }
}
