//! `fnua deadletters`: events that a processor could not take.
//!
//! They lie in a flow of their own, which is only read here. Which of them are replayed or
//! dropped is known to the host alone: DESCRIBE PROCESSOR lists those, all others are open.

mod choose;
mod handled;
mod letter;

use std::io::{Read, Write};

use bytes::Bytes;
use fnap::command::Command;
use fnap::log::OneLine;
use fnap::{Code, Failure, Format as FnapFormat, Name, Start, Word};
use serde_json::Value;

use crate::cli::Format;
use crate::cli::looking::DeadLetters;
use crate::config::Agent;
use crate::connection::{Connection, connect};
use crate::error::Error;
use crate::output;
use crate::printer::Printer;
use crate::run::Setting;
use handled::Handled;
use letter::Letter;

/// Bytes of the list that are gathered before they go to stdout.
const CHUNK: usize = 64 << 10;

/// Runs the command.
pub(crate) async fn run(
    command: &DeadLetters,
    agent: &Agent,
    setting: &Setting,
    stdin: Box<dyn Read + Send>,
    mut stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    let mut connection = connect(agent, setting).await?;
    match command {
        DeadLetters::List { processor, all } => {
            list(&mut connection, processor, *all, setting, stdout).await?;
        }
        DeadLetters::Show { processor, letters } => {
            for letter in letters {
                let text = show(&mut connection, processor, *letter, setting).await?;
                output::bytes(stdout.as_mut(), text.as_bytes())?;
            }
        }
        DeadLetters::Replay(chosen) => {
            let commands = choose::commands(chosen, |processor, letters| Command::Replay {
                processor,
                letters,
            });
            choose::send(&mut connection, commands, setting, stdout.as_mut()).await?;
        }
        DeadLetters::Drop { chosen, yes } => {
            if setting.ask
                && !yes
                && !choose::confirmed(&mut connection, chosen, stdin, setting).await?
            {
                return Ok(());
            }
            let commands = choose::commands(chosen, |processor, letters| Command::Discard {
                processor,
                letters,
            });
            choose::send(&mut connection, commands, setting, stdout.as_mut()).await?;
        }
    }
    connection.quit().await;
    Ok(())
}

/// What DESCRIBE PROCESSOR says of its dead letters.
struct Described {
    flow: Name,
    open: Option<u64>,
    handled: Handled,
}

async fn describe(connection: &mut Connection, processor: &Name) -> Result<Described, Error> {
    let word: Word = processor.as_str().parse().map_err(|_| too_long(processor))?;
    let command = Command::DescribeProcessor { processor: word, format: FnapFormat::Json };
    let answer = connection.command(&command).await?;
    let line = answer.data.first().map(String::as_str).unwrap_or_default();
    let description: Value = serde_json::from_str(line).unwrap_or_default();
    let letters = description.get("dead-letters").unwrap_or(&Value::Null);
    let named = letters.get("flow").and_then(Value::as_str).and_then(|name| name.parse().ok());
    let flow = match named {
        Some(flow) => flow,
        None => format!("{processor}.dead").parse().map_err(|_| too_long(processor))?,
    };
    Ok(Described {
        flow,
        open: letters.get("open").and_then(Value::as_u64),
        handled: Handled::read(letters.get("handled").unwrap_or(&Value::Null)),
    })
}

fn too_long(processor: &Name) -> Error {
    Error::Usage(format!("{processor} is too long a name to have dead letters"))
}

async fn list(
    connection: &mut Connection,
    processor: &Name,
    all: bool,
    setting: &Setting,
    stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    let Described { flow, handled, .. } = describe(connection, processor).await?;
    let read = fnap::Read { from: Some(Start::Earliest), ..fnap::Read::new(flow) };
    connection.read(read).await?;
    let mut printer = Printer::start(stdout);
    let width = setting.screen.then(crate::io::columns).flatten();
    let mut chunk = Vec::new();
    while let Some(line) = next_line(connection).await? {
        let wrong = || connection.protocol("a dead letter that does not say where it lies".into());
        let letter = Letter::of(&line).ok_or_else(wrong)?;
        let open = !handled.contains(letter.partition, letter.offset);
        if !open && !all {
            continue;
        }
        let line = match setting.format {
            Format::Json => letter.json(open).to_string(),
            Format::Text | Format::Raw => cut(&mark(letter.line(), open, all), width),
        };
        chunk.extend_from_slice(line.as_bytes());
        chunk.push(b'\n');
        if chunk.len() >= CHUNK {
            printer.print(std::mem::take(&mut chunk)).await?;
        }
    }
    printer.print(chunk).await?;
    printer.finish().await
}

/// Where all are listed, which of them need nobody any more.
fn mark(line: String, open: bool, all: bool) -> String {
    match (all, open) {
        (false, _) => line,
        (true, true) => format!("open     {line}"),
        (true, false) => format!("handled  {line}"),
    }
}

/// The next line of a flow that may not be there yet, which is as good as empty.
async fn next_line(connection: &mut Connection) -> Result<Option<Bytes>, Error> {
    match connection.next_line().await {
        Err(Error::Refused(failure)) if failure.code == Code::NotFound => Ok(None),
        line => line,
    }
}

async fn show(
    connection: &mut Connection,
    processor: &Name,
    (partition, offset): (u32, u64),
    setting: &Setting,
) -> Result<String, Error> {
    let Described { flow, handled, .. } = describe(connection, processor).await?;
    let words = format!("dead letter {partition}:{offset} of {processor}");
    let missing = || Error::Refused(Failure::new(Code::NotFound, words.clone()));
    let from = Some(Start::Offset { partition, offset });
    connection.read(fnap::Read { from, limit: Some(1), ..fnap::Read::new(flow) }).await?;
    let line = next_line(connection).await?.ok_or_else(missing)?;
    // Takes the end of the answer too.
    while next_line(connection).await?.is_some() {}
    let letter = Letter::of(&line).ok_or_else(missing)?;
    if (letter.partition, letter.offset) != (partition, offset) {
        // That offset holds nothing, or nothing any more; another letter must not be taken for it.
        return Err(missing());
    }
    let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
    Ok(match setting.format {
        Format::Json => line + "\n",
        Format::Text | Format::Raw => sheet(&letter, !handled.contains(partition, offset), &line),
    })
}

/// What happened, a fact a line, and the event.
fn sheet(letter: &Letter, open: bool, line: &str) -> String {
    let mut text = format!("letter     {}\n", letter.name());
    text += &format!("open       {}\n", if open { "yes" } else { "no" });
    for (name, value) in &letter.about {
        // A reason may have lines, which are meant as such.
        let lines: Vec<String> = value.lines().map(|line| OneLine(line).to_string()).collect();
        text += &format!("{name:<10} {}\n", lines.join("\n           "));
    }
    text + &format!("\n{}\n\n", OneLine(line))
}

/// The front of a reason on one line: a trap's words come before its backtrace, in lines or not.
fn glimpse(reason: &str) -> String {
    let front = reason.split(FRAMES).next().unwrap_or_default();
    let lines = front.lines().take_while(|line| !line.contains("wasm backtrace"));
    OneLine(lines.collect::<Vec<_>>().join("; ").trim_end()).to_string()
}

/// What stands before the frames of a trap.
const FRAMES: &str = "error while executing at wasm backtrace";

/// As much as fits on a line of the terminal.
fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_a_trap_is_what_comes_before_its_frames() {
        let trap = "trap: at src/lib.rs:7 deliberate error while executing at wasm backtrace: 0: x";
        assert_eq!(glimpse(trap), "trap: at src/lib.rs:7 deliberate");
        assert_eq!(glimpse("unreachable\nwasm backtrace:\n 0: x"), "unreachable");
        assert_eq!(glimpse("no such key"), "no such key");
    }

    #[test]
    fn a_long_line_is_cut_to_the_terminal_and_whole_elsewhere() {
        assert_eq!(cut("abcdef", Some(4)), "abc…");
        assert_eq!(cut("abcd", Some(4)), "abcd");
        assert_eq!(cut("abcdef", None), "abcdef");
    }
}
