//! `fnua trace FLOW`: every step on the way to a flow, with its time and cause, as delv and swaks show theirs.
//!
//! Takes the way that a command takes which knows nothing but the flow's name. Changes nothing anywhere, and ends at the
//! first step that does not work: what it means, and what to do about it, stands there.

mod advice;
mod dns;
mod host;
mod row;

use std::io::Write;

use fnap::Name;

use crate::cli::Format;
use crate::config::Agent;
use crate::error::Error;
use crate::hosts::Hosts;
use crate::output;
use crate::run::{Setting, warned};
use row::{Row, Rows};

/// Runs the command.
pub(crate) async fn trace(
    flow: &Name,
    hosts: &mut Hosts,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut rows = Rows::default();
    if let Some(agent) = located(flow, hosts, &mut rows).await? {
        host::walk(flow, &warned(agent, setting), setting, &mut rows).await;
    }
    rows.complete();
    let text = match setting.format {
        Format::Json => rows.json(flow),
        Format::Text | Format::Raw => rows.text(flow),
    };
    output::bytes(stdout, text.as_bytes())?;
    match rows.failed() {
        Some(step) => Err(Error::Way { flow: flow.clone(), step }),
        None => Ok(()),
    }
}

/// The host that DNS says, or the one of `--agent`; none where the way ends before.
async fn located(flow: &Name, hosts: &mut Hosts, rows: &mut Rows) -> Result<Option<Agent>, Error> {
    if let Some(agent) = hosts.asked_for().await? {
        for step in row::DNS {
            rows.push(Row::skipped(step, "--agent names the host"));
        }
        return Ok(Some(agent));
    }
    let search = match hosts.search(flow).await {
        Ok(search) => search,
        Err(error) => {
            rows.push(Row::failed(row::DNS[0], &error.to_string(), advice::of_error(&error)));
            return Ok(None);
        }
    };
    dns::rows(&search, hosts.is_checked(flow), rows);
    Ok(search.found.ok().and_then(|found| hosts.agent_of(&found)))
}
