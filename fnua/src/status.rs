//! `fnua status`: flows and processors at a glance, out of GET and DESCRIBE.

use std::io::Write;

use fnap::command::Command;
use fnap::{Format as FnapFormat, Name, Word};
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::config::Agent;
use crate::connection::{Connection, Patience, connect_within};
use crate::error::Error;
use crate::io::printable;
use crate::output;
use crate::run::Setting;

/// How many things of a kind are described one by one; a host of ten thousand flows is not a glance.
const DESCRIBED: usize = 200;

/// Lines of a reason that are shown: a plugin's last words take two or three.
const REASON_LINES: usize = 4;

/// DESCRIBEs sent ahead of their answers: few enough to fit into a socket's buffer.
const AHEAD: usize = 50;

type Thing = Map<String, Value>;

/// Runs the command.
pub(crate) async fn status(
    namespace: Option<&Name>,
    agent: &Agent,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let format = FnapFormat::Json;
    let mut connection =
        connect_within(agent, &setting.trace, &mut Patience::new(setting.wait)).await?;
    let flows =
        list(&mut connection, &Command::GetFlows { namespace: namespace.cloned(), format }).await?;
    let flows = described(&mut connection, flows, |thing| {
        Some(Command::DescribeFlow { flow: word(thing, "flow")?.parse().ok()?, format })
    })
    .await?;
    let processors = list(&mut connection, &Command::GetProcessors { format }).await?;
    let processors = described(&mut connection, processors, |thing| {
        let processor: Word = word(thing, "processor")?.parse().ok()?;
        Some(Command::DescribeProcessor { processor, format })
    })
    .await?;
    connection.quit().await;
    let text = match setting.format {
        Format::Json => format!("{}\n", json!({"flows": flows, "processors": processors})),
        Format::Text | Format::Raw => glance(&flows, &processors),
    };
    output::bytes(stdout, text.as_bytes())
}

async fn list(connection: &mut Connection, command: &Command) -> Result<Vec<Thing>, Error> {
    let answer = connection.command(command).await?;
    answer.data.iter().map(|line| thing(connection, line)).collect()
}

/// Replaces things by their descriptions, as far as they have one.
async fn described(
    connection: &mut Connection,
    mut things: Vec<Thing>,
    describe: impl Fn(&Thing) -> Option<Command>,
) -> Result<Vec<Thing>, Error> {
    let glanced = things.len().min(DESCRIBED);
    for some in things.get_mut(..glanced).unwrap_or_default().chunks_mut(AHEAD) {
        let mut asked = Vec::new();
        for (index, command) in some.iter().map(&describe).enumerate() {
            let Some(command) = command else { continue };
            connection.send(&command).await?;
            asked.push(index);
        }
        for index in asked {
            match connection.answer().await {
                Ok(answer) => {
                    let line =
                        answer.data.first().map(|line| thing(connection, line)).transpose()?;
                    if let (Some(line), Some(slot)) = (line, some.get_mut(index)) {
                        *slot = line;
                    }
                }
                // Gone since it was listed, or not for this user to see.
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(things)
}

fn thing(connection: &Connection, line: &str) -> Result<Thing, Error> {
    serde_json::from_str(line)
        .map_err(|error| connection.protocol(format!("no json object: {error}")))
}

fn word<'a>(thing: &'a Thing, key: &str) -> Option<&'a str> {
    thing.get(key).and_then(Value::as_str)
}

fn glance(flows: &[Thing], processors: &[Thing]) -> String {
    let mut text = String::new();
    let head = ["FLOW", "STATUS", "PARTITIONS", "OFFSETS", "BYTES"];
    let rows = flows.iter().map(|flow| {
        let span = offsets(flow).map_or_else(String::new, |count| count.to_string());
        [
            cell(flow, "flow"),
            cell(flow, "status"),
            cell(flow, "partitions"),
            span,
            cell(flow, "bytes"),
        ]
    });
    table(&mut text, head, rows.collect());
    text.push('\n');
    let head = ["PROCESSOR", "TYPE", "STATE", "IN", "OUT", "FLOWS"];
    let rows = processors.iter().map(|processor| {
        let flows = match (cell(processor, "from"), cell(processor, "to")) {
            (from, to) if from.is_empty() && to.is_empty() => String::new(),
            (from, to) => format!("{from} -> {to}"),
        };
        let [name, kind, state] = ["processor", "type", "state"].map(|key| cell(processor, key));
        [name, kind, state, cell(processor, "events-in"), cell(processor, "events-out"), flows]
    });
    table(&mut text, head, rows.collect());
    for processor in processors {
        if let Some(reason) = word(processor, "reason") {
            text += &format!("\n{}: {}", cell(processor, "processor"), glimpse(reason));
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// How many offsets the log spans; there may be fewer events, for offsets have gaps.
fn offsets(flow: &Thing) -> Option<u64> {
    let logs = flow.get("log")?.as_array()?;
    let span =
        |log: &Value| log.get("latest")?.as_u64()?.checked_sub(log.get("earliest")?.as_u64()?);
    logs.iter().map(span).sum()
}

fn cell(thing: &Thing, key: &str) -> String {
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

/// The front of a reason: a trap's words come before its backtrace, which DESCRIBE has.
fn glimpse(reason: &str) -> String {
    let lines = reason.lines().take_while(|line| !line.contains("wasm backtrace"));
    printable(&lines.take(REASON_LINES).collect::<Vec<_>>().join("; "))
}

fn table<const N: usize>(text: &mut String, head: [&str; N], rows: Vec<[String; N]>) {
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        *text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    };
    line(head);
    for row in &rows {
        line(row.each_ref().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Thing {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_glance_shows_flows_processors_and_what_is_wrong() {
        let flow = object(json!({"flow": "a.b", "status": "active", "partitions": 2, "bytes": 10,
            "log": [{"partition": 0, "earliest": 5, "latest": 9}, {"partition": 1, "earliest": 0, "latest": 3}]}));
        let processor =
            object(json!({"processor": "bridge-1.b", "type": "bridge", "state": "failed",
            "events-in": 7, "events-out": 6, "from": ["a.b"], "to": ["c.b", "d.b"],
            "reason": "trap\u{1b}\npanicked\nerror while executing at wasm backtrace:\n  0: x"}));
        let wanted = "\
FLOW  STATUS  PARTITIONS  OFFSETS  BYTES
a.b   active  2           7        10

PROCESSOR   TYPE    STATE   IN  OUT  FLOWS
bridge-1.b  bridge  failed  7   6    a.b -> c.b,d.b

bridge-1.b: trap\u{fffd}; panicked
";
        assert_eq!(glance(&[flow], &[processor]), wanted);
    }
}
