//! GET LOG: what the plugins of a processor logged, and what the host did with it.

use fnap::command::Format;
use fnap::log::{LogEntry, LogItem};
use fnap::name::Name;
use fnap::reply::Reply;
use host_plugins::Level;
use host_processors::{Logged, Tail};

use super::describe::time;
use super::{Answer, processors};
use crate::services::Services;

pub(super) async fn get(
    services: &Services,
    name: &Name,
    since: Option<u64>,
    format: Format,
) -> Answer {
    processors::find(services, name).await?;
    let items = items(services.processors.logs().since(name.as_str(), since));
    Ok(match format {
        Format::Json => Reply::data(items.map(|item| item.to_json())),
        Format::Text => Reply::data(items),
    })
}

/// The last lines, as a description ends with them.
pub(super) fn last(services: &Services, name: &Name, lines: usize) -> Vec<String> {
    let tail = services.processors.logs().since(name.as_str(), None);
    let left_out = tail.lines.len().saturating_sub(lines);
    items(tail).skip(left_out).map(|item| item.to_string()).collect()
}

fn items(tail: Tail) -> impl Iterator<Item = LogItem> {
    let missed = (tail.missed > 0).then_some(LogItem::Missed(tail.missed));
    missed.into_iter().chain(tail.lines.into_iter().map(|line| LogItem::Line(entry(line))))
}

fn entry(logged: Logged) -> LogEntry {
    let level = match logged.line.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    LogEntry {
        seq: logged.seq,
        time: time(logged.time).as_str().unwrap_or_default().to_owned(),
        level: level.to_owned(),
        by_host: logged.by_host,
        shard: logged.shard,
        message: logged.line.message,
        fields: logged.line.fields,
    }
}
