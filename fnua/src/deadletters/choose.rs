//! Letters that were chosen, as commands that the protocol takes: many names become several commands.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use fnap::command::{Command, MAX_PLACES};
use fnap::line::MAX_COMMAND;
use fnap::{Code, Name};

use super::describe;
use crate::cli::looking::Chosen;
use crate::connection::{Answer, Connection};
use crate::error::Error;
use crate::output;
use crate::run::Setting;

/// The commands for what was chosen, each within the protocol's limits. A name given twice counts once.
pub(super) fn commands(
    chosen: &Chosen,
    command: impl Fn(Name, Vec<(u32, u64)>) -> Command,
) -> Vec<Command> {
    let make = |letters: Vec<(u32, u64)>| command(chosen.processor.clone(), letters);
    if chosen.all {
        return vec![make(Vec::new())];
    }
    let mut letters = chosen.letters.clone();
    letters.sort_unstable();
    letters.dedup();
    let empty = make(vec![(0, 0)]).to_string().len();
    let mut commands = Vec::new();
    let (mut some, mut len) = (Vec::new(), empty);
    for (partition, offset) in letters {
        let more = format!(",{partition}:{offset}").len();
        if some.len() == MAX_PLACES || len + more > MAX_COMMAND {
            commands.push(make(std::mem::take(&mut some)));
            len = empty;
        }
        some.push((partition, offset));
        len += more;
    }
    commands.push(make(some));
    commands
}

/// Sends them one after another and prints what the host says to each.
pub(super) async fn send(
    connection: &mut Connection,
    commands: Vec<Command>,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let all = commands.len();
    for (done, command) in commands.iter().enumerate() {
        match command_when_free(connection, command, done > 0).await {
            Ok(answer) => output::answer(stdout, &answer, setting)?,
            Err(error) => {
                if all > 1 {
                    setting.words.say(&format!("fnua: {done} of {all} commands were carried out"));
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A replay ends a while after its answer; the next part of the same waits for that.
async fn command_when_free(
    connection: &mut Connection,
    command: &Command,
    waits: bool,
) -> Result<Answer, Error> {
    loop {
        match connection.command(command).await {
            Err(Error::Refused(no))
                if waits && no.code == Code::Conflict && no.words.contains("under way") =>
            {
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
            answered => return answered,
        }
    }
}

/// Time between two looks whether the part before is over. It ends with the replay, or with Ctrl-C.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// Asks the person at the terminal.
pub(super) async fn confirmed(
    connection: &mut Connection,
    chosen: &Chosen,
    stdin: Box<dyn Read + Send>,
    setting: &Setting,
) -> Result<bool, Error> {
    let what = if chosen.all {
        match describe(connection, &chosen.processor).await?.open {
            Some(open) => format!("all {open} open dead letters"),
            None => "all open dead letters".to_owned(),
        }
    } else {
        format!("{} dead letters", chosen.letters.len())
    };
    setting.words.say(&format!("fnua: drop {what} of {}? [y/N]", chosen.processor));
    let mut answer = String::new();
    // A line of a terminal is short; what is not a terminal is never asked.
    let read = BufReader::new(stdin.take(LONGEST_ANSWER)).read_line(&mut answer);
    let yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        setting.words.say("fnua: nothing was dropped");
    }
    Ok(yes)
}

/// Bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(letters: Vec<(u32, u64)>, all: bool) -> Vec<Command> {
        let chosen = Chosen { processor: "p.b".parse().unwrap(), letters, all };
        commands(&chosen, |processor, letters| Command::Replay { processor, letters })
    }

    #[test]
    fn names_are_said_once_and_all_is_no_name() {
        let lines = |commands: Vec<Command>| commands[0].to_string();
        assert_eq!(
            lines(planned(vec![(1, 2), (0, 7), (1, 2)], false)),
            "REPLAY p.b OFFSET 0:7,1:2"
        );
        assert_eq!(lines(planned(Vec::new(), true)), "REPLAY p.b");
    }

    #[test]
    fn many_names_become_commands_that_the_protocol_takes() {
        for first in [0, u64::from(u32::MAX), i64::MAX.unsigned_abs() - 5000] {
            let letters: Vec<_> = (first..first + 2500).map(|offset| (7, offset)).collect();
            let mut named: Vec<(u32, u64)> = Vec::new();
            let commands = planned(letters.clone(), false);
            for command in &commands {
                assert!(command.to_string().len() <= MAX_COMMAND);
                assert_eq!(command.to_string().parse().as_ref(), Ok(command));
                let Command::Replay { letters, .. } = command else { panic!("{command}") };
                named.extend(letters);
            }
            assert_eq!(named, letters);
            assert!((3..30).contains(&commands.len()), "{}", commands.len());
        }
    }
}
