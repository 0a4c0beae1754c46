//! The steps at the host: from the connection to the first event.

use std::time::{Duration, Instant};

use fnap::command::Command;
use fnap::{Format as FnapFormat, Name, Read, Start};
use tokio::time::timeout;

use super::advice;
use super::row::{HOST, Row, Rows};
use crate::config::Agent;
use crate::connection::{Connection, Met, REPLY_TIMEOUT, Safety, Stage};
use crate::error::Error;
use crate::run::Setting;

/// Goes on until a step does not work.
pub(super) async fn walk(flow: &Name, agent: &Agent, setting: &Setting, rows: &mut Rows) {
    let Some(mut connection) = open(agent, setting, rows).await else { return };
    if grant(&mut connection, flow, rows).await {
        first_event(&mut connection, flow, rows).await;
    }
    connection.quit().await;
}

/// A connection to the first host that can be reached.
async fn open(agent: &Agent, setting: &Setting, rows: &mut Rows) -> Option<Connection> {
    let began = Instant::now();
    let mut away = Vec::new();
    for one in std::iter::once(agent).chain(&agent.others) {
        let mut seen = Vec::new();
        let mut watch = |stage, met, took| seen.push(row(stage, met, took, one));
        let opened = Connection::open_in_stages(one, setting.trace.clone(), &mut watch).await;
        match opened {
            Err((Stage::Connect, error)) => {
                away.push(error);
                if began.elapsed() < WHOLE {
                    continue;
                }
                break;
            }
            opened => {
                let mut others: Vec<_> = away.iter().map(ToString::to_string).collect();
                // The first of them is the connection.
                seen.into_iter()
                    .for_each(|row: Row| rows.push(row.with(std::mem::take(&mut others))));
                return match opened {
                    Ok(connection) => Some(connection),
                    Err((stage, error)) => {
                        fail(name(stage), &error, rows);
                        None
                    }
                };
            }
        }
    }
    if let Some(error) = away.first() {
        let others: Vec<_> = away.iter().skip(1).map(ToString::to_string).collect();
        let failed = Row::failed(HOST[0], &error.to_string(), advice::of_error(error));
        rows.push(failed.after(began.elapsed()).with(others));
    }
    None
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Tls => "tls",
        Stage::Greeting => "greeting",
        Stage::Authentication => "authentication",
    }
}

fn row(stage: Stage, met: Met, took: Duration, agent: &Agent) -> Row {
    let said = match met {
        Met::Address(peer) => format!("{} at {peer}", agent.address),
        Met::Clear => "none: in clear".to_owned(),
        Met::Safety(Safety { version, names, until, days }) => {
            let names = names.join(", ");
            format!("{version}, certificate of {names}, until {until} ({days} days)")
        }
        Met::Greeting(text) => text,
        Met::Somebody(Some(mechanism)) => match agent.login.username.as_deref() {
            Some(user) => format!("{user}, by {}", mechanism.name()),
            None => format!("by {}", mechanism.name()),
        },
        Met::Somebody(None) => "as nobody: nothing that one has is offered".to_owned(),
    };
    Row::well(name(stage), took, said)
}

/// Whether one may see the flow.
async fn grant(connection: &mut Connection, flow: &Name, rows: &mut Rows) -> bool {
    let began = Instant::now();
    let command = Command::DescribeFlow { flow: flow.clone(), format: FnapFormat::Text };
    match connection.command(&command).await {
        Ok(answer) => {
            let told = answer.data.into_iter().take(LINES).collect();
            rows.push(Row::well("grant", began.elapsed(), "").with(told));
            true
        }
        Err(error) => {
            fail("grant", &error, rows);
            false
        }
    }
}

/// Whether one may read it, and what comes.
async fn first_event(connection: &mut Connection, flow: &Name, rows: &mut Rows) {
    let began = Instant::now();
    let read = Read { from: Some(Start::Earliest), limit: Some(1), ..Read::new(flow.clone()) };
    let reading = async {
        connection.read(read).await?;
        let mut first = None;
        // To the end of the answer, or what follows would be taken for it.
        while let Some(line) = connection.next_line().await? {
            first.get_or_insert(line);
        }
        Ok::<_, Error>(first)
    };
    let read = timeout(REPLY_TIMEOUT, reading).await;
    match read.unwrap_or_else(|_| Err(connection.broken("no event in time"))) {
        Ok(Some(line)) => {
            let shown: String = String::from_utf8_lossy(&line).chars().take(SHOWN).collect();
            rows.push(Row::well("first-event", began.elapsed(), shown));
        }
        Ok(None) => rows.push(Row::well("first-event", began.elapsed(), "none yet")),
        Err(error) => fail("first-event", &error, rows),
    }
}

fn fail(step: &'static str, error: &Error, rows: &mut Rows) {
    rows.push(Row::failed(step, &error.to_string(), advice::of_error(error)));
}

/// After so long no further host is tried.
const WHOLE: Duration = Duration::from_secs(30);

/// Lines of a description that are shown: the draft's four.
const LINES: usize = 4;

/// Characters of an event that are shown.
const SHOWN: usize = 200;
