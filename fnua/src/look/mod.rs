//! Looking at a host: flows and processors as it lists them, and what is wrong with them.
//!
//! Reads JSON objects as far as they go: a host that says less leaves `-`, one that says more is not
//! disturbed.

pub(crate) mod status;
pub(crate) mod table;
mod wrong;

use fnap::command::Command;
use serde_json::{Map, Value};

use crate::connection::Connection;
use crate::error::Error;
use crate::io::printable;

pub(crate) use wrong::{Wrong, wrong};

/// One flow, processor or type, as the host describes it.
pub(crate) type Thing = Map<String, Value>;

/// Lines of a reason that are shown: a plugin's last words take two or three.
const REASON_LINES: usize = 4;

/// What a GET lists.
pub(crate) async fn list(
    connection: &mut Connection,
    command: &Command,
) -> Result<Vec<Thing>, Error> {
    let answer = connection.command(command).await?;
    answer.data.iter().map(|line| thing(connection, line)).collect()
}

/// The same, and nothing where the host does not have it.
pub(crate) async fn list_if_any(
    connection: &mut Connection,
    command: &Command,
) -> Result<Vec<Thing>, Error> {
    match list(connection, command).await {
        Err(Error::Refused(failure)) if !crate::error::may_pass(&failure) => Ok(Vec::new()),
        listed => listed,
    }
}

pub(crate) fn thing(connection: &Connection, line: &str) -> Result<Thing, Error> {
    serde_json::from_str(line)
        .map_err(|error| connection.protocol(format!("no json object: {error}")))
}

pub(crate) fn word<'a>(thing: &'a Thing, key: &str) -> Option<&'a str> {
    thing.get(key).and_then(Value::as_str)
}

pub(crate) fn number(thing: &Thing, key: &str) -> Option<u64> {
    thing.get(key).and_then(Value::as_u64)
}

/// A value as it is shown, empty where it is not there.
pub(crate) fn cell(thing: &Thing, key: &str) -> String {
    let text = match thing.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            let texts = values
                .iter()
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            texts.collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    };
    printable(&text)
}

/// A number as it is shown, `-` where the host does not say.
pub(crate) fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// How far behind in time, `-` where the host does not say.
pub(crate) fn lag_seconds(processor: &Thing) -> String {
    match processor.get("lag-seconds").and_then(Value::as_f64) {
        None => "-".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 600.0 => format!("{seconds:.0} s"),
        Some(seconds) if seconds < 36_000.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{:.0} h", seconds / 3600.0),
    }
}

/// Dead letters: the open ones where the host tells them apart.
pub(crate) fn dead_letters(processor: &Thing) -> Option<u64> {
    let said = processor.get("dead-letters")?;
    said.as_u64().or_else(|| said.get("open")?.as_u64())
}

/// The front of a reason: a trap's words come before its backtrace, which DESCRIBE has.
pub(crate) fn glimpse(reason: &str) -> String {
    let lines = reason.lines().take_while(|line| !line.contains("wasm backtrace"));
    printable(&lines.take(REASON_LINES).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_does_not_say_is_a_dash() {
        let thing = |value: Value| value.as_object().unwrap().clone();
        let full = thing(serde_json::json!({"lag-seconds": 12.4, "dead-letters": {"open": 3}}));
        assert_eq!((lag_seconds(&full), dead_letters(&full)), ("12 s".to_owned(), Some(3)));
        let bare = Thing::new();
        assert_eq!((lag_seconds(&bare), count(dead_letters(&bare))), ("-".into(), "-".into()));
        let lag = |seconds: f64| lag_seconds(&thing(serde_json::json!({ "lag-seconds": seconds })));
        assert_eq!([0.0, 90.0, 900.0, 90_000.0].map(lag), ["0.0 s", "90 s", "15 min", "25 h"]);
        let counted = thing(serde_json::json!({"dead-letters": 2, "lag-seconds": null}));
        assert_eq!((dead_letters(&counted), lag_seconds(&counted)), (Some(2), "-".to_owned()));
    }
}
