//! `fnua replay`: two versions of a plugin over past events, and what differs.
//!
//! The host runs them; this asks how far it is, and shows what it has found. Where somebody ends it, the host is told.

use std::io::Write;
use std::time::Duration;

use fnap::command::{Command, Origin, Start, Timestamp};
use fnap::log::OneLine;
use fnap::{Code, Failure, Format as FnapFormat, Name, Word};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use crate::cli::Format;
use crate::cli::looking::ReplayArgs;
use crate::config::Agent;
use crate::connection::{Connection, connect};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::output;
use crate::run::Setting;

/// Time between two looks: a person sees it move, and the host has little to do with it.
const LOOK: Duration = Duration::from_millis(250);

/// Runs the command.
pub(crate) async fn replay(
    args: &ReplayArgs,
    agent: &Agent,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let mut interrupt = Interrupt::listen_to_all();
    let mut connection = connect(agent, setting).await?;
    let ReplayArgs { processor, version, from, from_snapshot, to } = args;
    let (processor, version) = (processor.clone(), version.clone());
    if let Some(from) = from
        && !setting.quiet
        && let Some(words) = advice(&describe(&mut connection, &processor).await?, *from)
    {
        setting.words.say(&words);
    }
    let from = from_snapshot.map(Origin::Snapshot).or_else(|| from.map(Origin::Start));
    let begin = Command::Compare { processor, version, from, to: *to };
    connection.command(&begin).await?;
    let progress = progress(setting);
    let mut seen = Map::new();
    let through = tokio::select! {
        through = watch(&mut connection, args, &progress, &mut seen) => through.map(|()| true),
        () = interrupt.wait() => Ok(false),
    };
    progress.finish_and_clear();
    // One that was in the middle of an answer, or is broken, says nothing more.
    let connection = matches!(through, Ok(true)).then_some(connection);
    let early = matches!(through, Ok(false));
    let ended = tokio::select! {
        ended = end(connection, (agent, setting), args, early.then_some(&mut seen)) => ended,
        // Asked twice: whoever asks does not want to wait for the host.
        () = interrupt.wait() => Ok(()),
    };
    if early {
        return tell_early_end(&seen, setting, stdout).and(ended).and(Err(stopped(&seen)));
    }
    through?;
    show(&seen, setting, stdout)?;
    match seen.get("reason").and_then(Value::as_str) {
        Some(reason) => Err(Error::Differs(format!("it did not get through: {}", OneLine(reason)))),
        None if is_same(&seen) => Ok(()),
        None => Err(Error::Differs("the versions differ".to_owned())),
    }
}

/// Looks until it is through; what it sees is kept at each look.
async fn watch(
    connection: &mut Connection,
    args: &ReplayArgs,
    progress: &ProgressBar,
    seen: &mut Map<String, Value>,
) -> Result<(), Error> {
    loop {
        *seen = look(connection, args).await?;
        progress.set_length(number(seen, "all"));
        progress.set_position(number(seen, "done"));
        progress.set_message(format!("{} differ", number(seen, "differ")));
        if seen.get("state").and_then(Value::as_str) != Some("running") {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What was compared until somebody ended it; nothing where nothing was, because zeros would look like a result.
fn tell_early_end(
    seen: &Map<String, Value>,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    if number(seen, "done") == 0 { Ok(()) } else { show(seen, setting, stdout) }
}

fn stopped(seen: &Map<String, Value>) -> Error {
    let (done, all) = (number(seen, "done"), number(seen, "all"));
    let words = format!("stopped before it was through: {done} of {all} offsets were compared");
    Error::Interrupted(words)
}

/// Ends it at the host, however this ends here. What the host has found it forgets then, so who wants it is told before.
async fn end(
    connection: Option<Connection>,
    (agent, setting): (&Agent, &Setting),
    args: &ReplayArgs,
    latest: Option<&mut Map<String, Value>>,
) -> Result<(), Error> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect(agent, setting).await?,
    };
    if let Some(latest) = latest
        && let Ok(found) = look(&mut connection, args).await
    {
        *latest = found;
    }
    let stop = Command::StopComparing { processor: args.processor.clone() };
    match connection.command(&stop).await {
        // The host has forgotten it by itself, or has heard it before.
        Ok(_) | Err(Error::Refused(Failure { code: Code::NotFound, .. })) => {}
        Err(error) => return Err(error),
    }
    connection.quit().await;
    Ok(())
}

fn progress(setting: &Setting) -> ProgressBar {
    let progress = if setting.progress { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len}, {per_sec:0}, {msg}")
    {
        progress.set_style(style);
    }
    progress
}

/// What DESCRIBE PROCESSOR says of it, without the prefix.
async fn look(connection: &mut Connection, args: &ReplayArgs) -> Result<Map<String, Value>, Error> {
    let found = describe(connection, &args.processor)
        .await?
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("comparison.")?.to_owned(), value)));
    let found: Map<String, Value> = found.collect();
    match found.is_empty() {
        true => Err(Error::Differs("the host knows nothing of it any more".to_owned())),
        false => Ok(found),
    }
}

async fn describe(connection: &mut Connection, name: &Name) -> Result<Map<String, Value>, Error> {
    let long = |_| Error::Usage(format!("{name} is too long a name"));
    let processor: Word = name.as_str().parse().map_err(long)?;
    let command = Command::DescribeProcessor { processor, format: FnapFormat::Json };
    let answer = connection.command(&command).await?;
    let line = answer.data.first().map(String::as_str).unwrap_or_default();
    Ok(serde_json::from_str(line).unwrap_or_default())
}

/// The latest snapshot with a state before the first event: what is compared without one begins with an empty state.
fn advice(described: &Map<String, Value>, from: Start) -> Option<String> {
    let kept = described.iter().filter_map(|(key, snapshot)| {
        let number: u64 = key.strip_prefix("snapshot.")?.parse().ok()?;
        let has_state = snapshot["entries"].as_u64() > Some(0);
        (has_state && lies_before(snapshot, from)).then_some((number, snapshot))
    });
    let (number, snapshot) = kept.max_by_key(|(number, _)| *number)?;
    let time = OneLine(snapshot["time"].as_str().unwrap_or_default());
    Some(format!(
        "both versions begin with an empty state; --from-snapshot {number} begins with that of {time}, which lies before"
    ))
}

fn lies_before(snapshot: &Value, from: Start) -> bool {
    let text = |key: &str| snapshot[key].as_str().unwrap_or_default();
    match from {
        Start::Earliest | Start::Latest => false,
        Start::Time(from) => text("time").parse().is_ok_and(|taken: Timestamp| taken <= from),
        Start::Offset { partition, offset } => text("positions").split(',').any(|position| {
            let mut parts = position.rsplit(':').map(|part| part.parse::<u64>().ok());
            let next = parts.next().flatten().is_some_and(|next| next <= offset);
            next && parts.next().flatten() == Some(u64::from(partition))
        }),
    }
}

fn number(found: &Map<String, Value>, key: &str) -> u64 {
    found.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn is_same(found: &Map<String, Value>) -> bool {
    ["differ", "emitted-differ", "state-differ"].iter().all(|key| number(found, key) == 0)
}

fn show(
    found: &Map<String, Value>,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    if setting.format == Format::Json {
        let line = format!("{}\n", Value::Object(found.clone()));
        return output::bytes(stdout, line.as_bytes());
    }
    let mut text = String::new();
    let counts = [("differ", "agree", "events"), ("emitted-differ", "emitted-agree", "new events")];
    for (differ, agree, what) in counts {
        let (differ, agree) = (number(found, differ), number(found, agree));
        text.push_str(&format!("{what}: {agree} alike, {differ} not\n"));
    }
    text.push_str(&format!("batches with another state: {}\n", number(found, "state-differ")));
    for example in found.get("example").and_then(Value::as_array).into_iter().flatten() {
        let [event, counts, shadow] = ["event", "counts", "shadow"]
            .map(|side| example.get(side).and_then(Value::as_str).unwrap_or_default());
        let [event, counts, shadow] = [event, counts, shadow].map(OneLine);
        text.push_str(&format!("\n{event}\n  runs now  {counts}\n  {:<9} {shadow}\n", "other"));
    }
    output::bytes(stdout, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_latest_snapshot_that_lies_before_the_first_event_is_told() {
        let snapshot = |hour: &str, next: u64, entries: u64| {
            let time = format!("2026-01-31T{hour}:00:00.000Z");
            json!({ "time": time, "positions": format!("f:0:{next},f:1:7"), "entries": entries })
        };
        let described = json!({
            "snapshot.2": snapshot("09", 20, 1), "snapshot.10": snapshot("10", 30, 1),
            "snapshot.11": snapshot("11", 40, 1), "snapshot.12": snapshot("11", 40, 0), "state": "running",
        });
        let told = |from: Start| {
            let words = advice(described.as_object().unwrap(), from)?;
            let rest = words.split("--from-snapshot ").nth(1).unwrap();
            Some(rest.split(' ').next().unwrap().to_owned())
        };
        let time = |text: &str| Start::Time(text.parse().unwrap());
        let offset = |partition, offset| Start::Offset { partition, offset };
        assert_eq!(told(time("2026-01-31T10:30:00Z")).as_deref(), Some("10"));
        assert_eq!(told(time("2026-01-31T12:00:00+01:00")).as_deref(), Some("11"));
        assert_eq!(told(time("2026-01-31T08:59:59Z")), None);
        assert_eq!(told(offset(0, 39)).as_deref(), Some("10"));
        assert_eq!((told(offset(0, 19)), told(offset(2, 99))), (None, None));
        assert_eq!((told(Start::Earliest), told(Start::Latest)), (None, None));
    }
}
