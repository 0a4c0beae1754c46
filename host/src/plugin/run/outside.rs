//! Where the events of a run come from: standard input, files, a flow of a host that runs, or a dead letter there.
//!
//! Hosts are asked by `fnua`, as its user would ask them, in this process: with his configuration, his login, his rights.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read, empty, pipe, stderr, stdin};
use std::path::PathBuf;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use fnua::{Exit, Io};
use host_events::from_write_line;
use host_plugins::{Cardinality, Plugin};
use host_processors::Letter;
use serde_json::Value;

use super::Sources;
use super::lines::Lines;
use super::printer::say;
use crate::plugin::cli::{Made, Run};

/// Where events come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Standard input, or the files of inputs.
    Here,
    /// A flow.
    Flow(String),
    /// A dead letter: the processor and the letter's name.
    Letter(String, String),
    /// Dead letters on standard input.
    Letters,
}

impl From {
    pub(super) fn read(args: &Run) -> Result<Self> {
        let words: Vec<&str> = args.from.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] => Ok(Self::Here),
            ["deadletter", "-"] => Ok(Self::Letters),
            ["deadletter", id] => match id.split_once('/') {
                Some((processor, letter)) => {
                    Ok(Self::Letter(processor.to_owned(), letter.to_owned()))
                }
                None => bail!(
                    "--from deadletter {id}: an id is PROCESSOR/PARTITION:OFFSET, as p.flows.example.org/0:12"
                ),
            },
            ["deadletter"] => bail!(
                "--from deadletter: which one? PROCESSOR/PARTITION:OFFSET, or - for standard input"
            ),
            ["-"] => Ok(Self::Here),
            [flow] => Ok(Self::Flow((*flow).to_owned())),
            _ => bail!("--from {}: a flow, or deadletter and an id", words.join(" ")),
        }
    }
}

/// What was found: inputs by name with their lines, and what the instances are made with.
pub(super) struct Found {
    pub(super) inputs: Vec<String>,
    pub(super) sources: Sources,
    pub(super) made: Made,
    pub(super) processor: Option<String>,
}

/// Finds the events, and of a dead letter the processor that could not take it.
pub(super) async fn find(from: &From, args: &Run, plugin: &Plugin) -> Result<Found> {
    let mut made = args.made.clone();
    let read_here = |name: &str, are_letters| Lines::new(name, Box::new(stdin()), are_letters);
    let (inputs, lines, sender, processor) = match from {
        From::Here => {
            let (inputs, lines) = here(args, plugin)?;
            (inputs, lines, None, None)
        }
        From::Letters => (Vec::new(), vec![read_here("stdin", true)], None, None),
        From::Flow(flow) => {
            let (sender, lines) = Sender::start(args, flow)?;
            (vec![flow.clone()], vec![Lines::new(flow, Box::new(lines), false)], Some(sender), None)
        }
        From::Letter(processor, letter) => {
            let text = ask(args, &["deadletters", "show", processor, letter]).await?;
            let record = from_write_line(text.trim().as_bytes())?.into_record(0);
            let flow = Letter::of(&record).context("the host sent no dead letter")?.flow;
            compare(&record, plugin);
            let inputs = the_same(args, processor, &mut made).await?;
            let at = inputs.iter().position(|input| *input == flow).unwrap_or(0);
            // The others are there, and silent.
            let nothing = || Lines::new("nothing", Box::new(empty()), false);
            let mut lines: Vec<_> = inputs.iter().map(|_| nothing()).collect();
            let letter =
                Lines::new(letter, Box::new(std::io::Cursor::new(text.into_bytes())), true);
            match lines.get_mut(at) {
                Some(place) => *place = letter,
                None => lines.push(letter),
            }
            (inputs, lines, None, Some(processor.clone()))
        }
    };
    Ok(Found { inputs, sources: Sources { lines, sender }, made, processor })
}

/// Inputs with their files; one without a file has standard input.
fn here(args: &Run, plugin: &Plugin) -> Result<(Vec<String>, Vec<Lines>)> {
    let named: Vec<(String, Option<PathBuf>)> = match args.inputs.as_slice() {
        [] => vec![("in".to_owned(), None)],
        named => named
            .iter()
            .map(|input| match input.split_once('=') {
                Some((name, file)) => (name.to_owned(), (file != "-").then(|| file.into())),
                None => (input.clone(), None),
            })
            .collect(),
    };
    if plugin.info().inputs == Cardinality::One && named.len() > 1 {
        bail!("the plugin takes one input, not {}", named.len());
    }
    if named.iter().filter(|(_, file)| file.is_none()).count() > 1 {
        bail!("one input can have standard input: the others want a file, as --input FLOW=FILE");
    }
    let mut lines = Vec::new();
    for (name, file) in &named {
        let (name, from): (_, Box<dyn Read + Send>) = match file {
            Some(path) => {
                let shown = path.display().to_string();
                let file = File::open(path).with_context(|| shown.clone())?;
                (shown, Box::new(file))
            }
            None => (name.clone(), Box::new(stdin())),
        };
        lines.push(Lines::new(&name, from, false));
    }
    Ok((named.into_iter().map(|(name, _)| name).collect(), lines))
}

/// Says whether it is the plugin that failed then.
fn compare(letter: &host_events::Record, plugin: &Plugin) {
    let digest = Letter::of(letter).map(|letter| letter.digest).unwrap_or_default();
    let same = *digest == **plugin.digest();
    let words = if same { "the same file" } else { "another file" };
    say(&format!("failed in {digest}, runs in {}: {words}", plugin.digest()));
}

/// Flows, configuration and limits of a processor, where the host shows them and nothing else was asked for.
async fn the_same(args: &Run, processor: &str, made: &mut Made) -> Result<Vec<String>> {
    let text = ask(args, &["describe", "processor", processor]).await?;
    let shown: Value = serde_json::from_str(text.trim()).context("DESCRIBE PROCESSOR")?;
    let names = |key: &str| -> Vec<String> {
        let all = shown.get(key).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if made.outputs.is_empty() {
        made.outputs = names("to");
    }
    if made.config.is_none() {
        match shown.get("config").and_then(Value::as_str) {
            Some(config) => {
                made.config =
                    Some(if config.trim().is_empty() { "{}".to_owned() } else { config.to_owned() })
            }
            None => {
                say("the host does not show the processor's configuration: give it with --config")
            }
        }
    }
    for (key, value) in shown.as_object().into_iter().flatten() {
        let name = key.strip_prefix("option.limit.");
        let value = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        if let Some((name, value)) = name.zip(value)
            && !made.limits.iter().any(|(own, _)| own == name)
        {
            made.limits.push((name.to_owned(), value));
        }
    }
    say("state is not taken over: it begins empty, or with --state");
    Ok(names("from"))
}

/// Asks a host by `fnua` and gives what it answers.
async fn ask(args: &Run, words: &[&str]) -> Result<String> {
    let (io, stdout, said) = Io::captured(Vec::new());
    match fnua::run(arguments(args, words), io).await {
        Exit::Done => Ok(stdout.text()),
        exit => {
            bail!("fnua {} ended with {}: {}", words.join(" "), exit.code(), said.text().trim())
        }
    }
}

fn arguments(args: &Run, words: &[&str]) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["fnua".into(), "--format".into(), "json".into()];
    if let Some(agent) = &args.agent {
        all.extend(["--agent".into(), agent.into()]);
    }
    if let Some(config) = &args.agent_config {
        all.extend(["--config".into(), config.into()]);
    }
    all.extend(words.iter().map(OsString::from));
    all
}

/// `fnua read` in a thread of its own, into a pipe.
pub(super) struct Sender(JoinHandle<Result<Exit>>);

impl Sender {
    fn start(args: &Run, flow: &str) -> Result<(Self, PipeReader)> {
        let (reader, writer) = pipe().context("a pipe")?;
        let position = args.position.as_deref().unwrap_or("earliest");
        let limit = args.events.map(|events| events.to_string());
        let mut words = vec!["read", flow, "--from", position];
        if let Some(limit) = &limit {
            words.extend(["--limit", limit]);
        }
        let arguments = arguments(args, &words);
        let thread = std::thread::Builder::new().name("fnua".to_owned()).spawn(move || {
            let io = Io {
                stdin: Box::new(empty()),
                stdout: Box::new(writer),
                stderr: Box::new(stderr()),
                progress: false,
                screen: false,
                ask: false,
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(fnua::run(arguments, io)))
        });
        Ok((Self(thread.context("a thread")?), reader))
    }

    /// Whether all was sent that was asked for. Whoever stopped reading has closed the pipe.
    pub(super) fn end(self) -> Result<bool> {
        match self.0.join() {
            Ok(exit) => Ok(exit? == Exit::Done),
            Err(_) => bail!("fnua ended by itself"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::plugin::PluginCommand;
    use clap::Parser;

    fn from(words: &[&str]) -> Result<From> {
        let cli = Cli::try_parse_from(["fnaad", "plugin", "run", "a.wasm"].iter().chain(words))?;
        let Command::Plugin(plugin) = cli.command else { bail!("not plugin") };
        let PluginCommand::Run(args) = plugin.command else { bail!("not run") };
        From::read(&args)
    }

    #[test]
    fn events_come_from_where_it_is_said() {
        assert_eq!(from(&[]).unwrap(), From::Here);
        assert_eq!(from(&["--from", "-"]).unwrap(), From::Here);
        assert_eq!(from(&["--from", "f.test"]).unwrap(), From::Flow("f.test".to_owned()));
        assert_eq!(from(&["--from", "deadletter", "-"]).unwrap(), From::Letters);
        let letter = From::Letter("p.test".to_owned(), "0:12".to_owned());
        assert_eq!(from(&["--from", "deadletter", "p.test/0:12"]).unwrap(), letter);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for wrong in [&["deadletter"][..], &["deadletter", "0:12"], &["a.test", "b.test"]] {
            assert!(from(&[&["--from"], wrong].concat()).is_err(), "{wrong:?}");
        }
        assert!(from(&["--from", "a.test", "--input", "b"]).is_err());
        assert!(from(&["--position", "latest"]).is_err());
    }
}
