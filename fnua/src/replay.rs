//! `fnua replay`: two versions of a plugin over past events, and what differs.
//!
//! The host runs them; this asks how far it is, and shows what it has found. Where somebody ends it, the host is told.

use std::io::Write;
use std::time::Duration;

use fnap::command::{Command, Origin};
use fnap::log::OneLine;
use fnap::{Code, Failure, Format as FnapFormat, Word};
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
    Error::Usage(format!("stopped before it was through: {done} of {all} offsets were compared"))
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
    let name = &args.processor;
    let long = |_| Error::Usage(format!("{name} is too long a name"));
    let processor: Word = name.as_str().parse().map_err(long)?;
    let command = Command::DescribeProcessor { processor, format: FnapFormat::Json };
    let answer = connection.command(&command).await?;
    let line = answer.data.first().map(String::as_str).unwrap_or_default();
    let description: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
    let found = description
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("comparison.")?.to_owned(), value)));
    let found: Map<String, Value> = found.collect();
    match found.is_empty() {
        true => Err(Error::Differs("the host knows nothing of it any more".to_owned())),
        false => Ok(found),
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
