//! `fnua status`: flows, processors and what is wrong at a glance, out of GET and DESCRIBE.

use std::io::Write;

use fnap::command::Command;
use fnap::{Format as FnapFormat, Name, Word};
use serde_json::{Value, json};

use super::table::table;
use super::{
    Thing, Wrong, cell, count, dead_letters, lag_seconds, list, list_if_any, number, thing, word,
    wrong,
};
use crate::cli::Format;
use crate::config::Agent;
use crate::connection::{Connection, connect};
use crate::error::Error;
use crate::output;
use crate::run::Setting;

/// How many things of a kind are described one by one; a host of ten thousand flows is not a glance.
const DESCRIBED: usize = 200;

/// DESCRIBEs sent ahead of their answers: few enough to fit into a socket's buffer.
const AHEAD: usize = 50;

/// Runs the command.
pub(crate) async fn status(
    namespace: Option<&Name>,
    agent: &Agent,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut connection = connect(agent, setting).await?;
    let (flows, processors, types) = look(&mut connection, namespace).await?;
    connection.quit().await;
    let wrong = wrong(&flows, &processors, &types);
    let text = match setting.format {
        Format::Json => {
            let wrong: Vec<Value> = wrong.iter().map(Wrong::json).collect();
            format!("{}\n", json!({"flows": flows, "processors": processors, "wrong": wrong}))
        }
        Format::Text | Format::Raw if setting.quiet => list_wrong(&wrong),
        Format::Text | Format::Raw => glance(&flows, &processors, &wrong),
    };
    output::bytes(stdout, text.as_bytes())?;
    if wrong.is_empty() { Ok(()) } else { Err(Error::Wrong { things: wrong.len() }) }
}

async fn look(
    connection: &mut Connection,
    namespace: Option<&Name>,
) -> Result<(Vec<Thing>, Vec<Thing>, Vec<Thing>), Error> {
    let format = FnapFormat::Json;
    let command = Command::GetFlows { namespace: namespace.cloned(), format };
    let flows = list(connection, &command).await?;
    let flows = described(connection, flows, |thing| {
        Some(Command::DescribeFlow { flow: word(thing, "flow")?.parse().ok()?, format })
    })
    .await?;
    let processors = list(connection, &Command::GetProcessors { format }).await?;
    let processors = described(connection, processors, |thing| {
        let processor: Word = word(thing, "processor")?.parse().ok()?;
        Some(Command::DescribeProcessor { processor, format })
    })
    .await?;
    let types = list_if_any(connection, &Command::GetProcessorTypes { format }).await?;
    Ok((flows, processors, types))
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

fn glance(flows: &[Thing], processors: &[Thing], wrong: &[Wrong]) -> String {
    let mut text = String::new();
    let rows: Vec<_> = flows.iter().map(flow_row).collect();
    table(&mut text, ["FLOW", "STATUS", " PARTITIONS", " OFFSETS", " BYTES"], &rows);
    text.push('\n');
    let head = ["PROCESSOR", "TYPE", "STATE", " IN", " OUT", " LAG", " BEHIND", " DEAD", "FLOWS"];
    let rows: Vec<_> = processors.iter().map(processor_row).collect();
    table(&mut text, head, &rows);
    text.push('\n');
    if wrong.is_empty() { text + "nothing is wrong\n" } else { text + &list_wrong(wrong) }
}

fn flow_row(flow: &Thing) -> [String; 5] {
    let [name, status, partitions, bytes] =
        ["flow", "status", "partitions", "bytes"].map(|key| cell(flow, key));
    [
        name,
        status,
        partitions,
        offsets(flow).map_or_else(String::new, |span| span.to_string()),
        bytes,
    ]
}

fn processor_row(processor: &Thing) -> [String; 9] {
    let flows = match (cell(processor, "from"), cell(processor, "to")) {
        (from, to) if from.is_empty() && to.is_empty() => String::new(),
        (from, to) => format!("{from} -> {to}"),
    };
    let [name, kind, state] = ["processor", "type", "state"].map(|key| cell(processor, key));
    let [seen, made, lag] =
        ["events-in", "events-out", "lag-events"].map(|key| count(number(processor, key)));
    let dead = count(dead_letters(processor));
    [name, kind, state, seen, made, lag, lag_seconds(processor), dead, flows]
}

fn list_wrong(wrong: &[Wrong]) -> String {
    wrong.iter().map(|Wrong { about, what }| format!("! {about}: {what}\n")).collect()
}

/// How many offsets the log spans; there may be fewer events, for offsets have gaps.
fn offsets(flow: &Thing) -> Option<u64> {
    let logs = flow.get("log")?.as_array()?;
    let span =
        |log: &Value| log.get("latest")?.as_u64()?.checked_sub(log.get("earliest")?.as_u64()?);
    logs.iter().map(span).sum()
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
            "events-in": 7, "events-out": 6, "lag-events": 1200, "lag-seconds": 61.2,
            "from": ["a.b"], "to": ["c.b", "d.b"], "dead-letters": {"open": 1},
            "reason": "trap\u{1b}\npanicked\nerror while executing at wasm backtrace:\n  0: x"}));
        let (flows, processors) = ([flow], [processor]);
        let wanted = "\
FLOW  STATUS  PARTITIONS  OFFSETS  BYTES
a.b   active           2        7     10

PROCESSOR   TYPE    STATE   IN  OUT   LAG  BEHIND  DEAD  FLOWS
bridge-1.b  bridge  failed   7    6  1200    61 s     1  a.b -> c.b,d.b

! bridge-1.b: failed: trap\u{fffd}; panicked
! bridge-1.b: 1 dead letter
";
        assert_eq!(glance(&flows, &processors, &wrong(&flows, &processors, &[])), wanted);
    }

    #[test]
    fn a_host_that_says_little_has_dashes() {
        let processor = object(json!({"processor": "p.b", "type": "bridge", "state": "running"}));
        let shown = glance(&[], &[processor], &[]);
        assert!(
            shown.ends_with(
                "\np.b        bridge  running   -    -    -       -     -\n\nnothing is wrong\n"
            ),
            "{shown}"
        );
    }
}
