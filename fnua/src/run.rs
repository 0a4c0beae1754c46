//! One run: arguments to an exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::agent::choose;
use crate::cli::plan::{Plan, plan};
use crate::cli::{Cli, Command, Format};
use crate::config::{Agent, Config, Places, locate};
use crate::connection::connect;
use crate::error::Error;
use crate::exit::Exit;
use crate::io::{Io, Words};
use crate::look::status;
use crate::trace::Trace;
use crate::{deadletters, logs, output, read, top, write};

/// What every command needs to know of the global options.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) words: Words,
    pub(crate) trace: Trace,
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    /// Whether a progress line may be drawn.
    pub(crate) progress: bool,
    /// Whether stdout is a screen.
    pub(crate) screen: bool,
    /// Whether somebody can be asked.
    pub(crate) ask: bool,
    /// How long to wait for the host to be reachable at all.
    pub(crate) wait: Duration,
}

/// Runs `fnua` with these arguments, the program's name first, on these streams.
///
/// Needs a tokio runtime with I/O and time. Ends the process in no case.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, io: Io) -> Exit {
    let words = Words::new(io.stderr);
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, io.stdout, &words),
    };
    let setting = Setting {
        trace: if cli.debug { Trace::to(words.clone()) } else { Trace::silent() },
        words,
        format: cli.format,
        quiet: cli.quiet,
        progress: io.progress,
        screen: io.screen,
        ask: io.ask,
        wait: Duration::from_secs(cli.wait),
    };
    match execute(&cli, &setting, io.stdin, io.stdout).await {
        Ok(()) => Exit::Done,
        Err(error) => {
            if error.exit() != Exit::Done {
                setting.words.say(&format!("fnua: {error}"));
            }
            error.exit()
        }
    }
}

async fn execute(
    cli: &Cli,
    setting: &Setting,
    stdin: Box<dyn io::Read + Send>,
    mut stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    if setting.format == Format::Raw && !matches!(cli.command, Command::Write(_)) {
        return Err(Error::Usage("--format raw is for write only".to_owned()));
    }
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "fnua", &mut script);
            output::bytes(stdout.as_mut(), &script)
        }
        Command::Read(args) => {
            let agent = agent(cli, Some(args.flow.as_str()))?;
            read::read(args, &agent, setting, stdout).await
        }
        Command::Write(args) => {
            let agent = agent(cli, Some(args.flow.as_str()))?;
            write::write(args, &agent, setting, stdin, stdout.as_mut()).await
        }
        Command::Status(args) => {
            let agent = agent(cli, args.namespace.as_ref().map(fnap::Name::as_str))?;
            status::status(args.namespace.as_ref(), &agent, setting, stdout.as_mut()).await
        }
        Command::DeadLetters(command) => {
            let agent = agent(cli, Some(command.processor().as_str()))?;
            deadletters::run(command, &agent, setting, stdin, stdout).await
        }
        Command::Top(args) => top::top(args, &agent(cli, None)?, setting, stdout).await,
        Command::Logs(args) => {
            let agent = agent(cli, Some(args.processor.as_str()))?;
            logs::logs(args, &agent, setting, stdout).await
        }
        command => match plan(command, setting.format)? {
            Some(plan) => one_command(cli, plan, setting, stdout.as_mut()).await,
            None => Ok(()),
        },
    }
}

async fn one_command(
    cli: &Cli,
    plan: Plan,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let agent = agent(cli, plan.about.as_ref().map(fnap::Name::as_str))?;
    let mut connection = connect(&agent, setting).await?;
    let answer = connection.command(&plan.command).await;
    connection.quit().await;
    output::answer(stdout, &answer?, setting)
}

fn agent(cli: &Cli, about: Option<&str>) -> Result<Agent, Error> {
    let config = match locate(&Places::from_environment(cli.config.clone())) {
        Some(path) => Config::load(&path)?,
        None => Config::default(),
    };
    Ok(choose(&config, cli.agent.as_deref(), about)?)
}

/// Help goes to stdout and is no error; what was typed wrong is told on stderr.
fn explain(error: &clap::Error, mut stdout: Box<dyn Write + Send>, words: &Words) -> Exit {
    let text = error.render().to_string();
    if error.use_stderr() {
        for line in text.trim_end().lines() {
            words.say(line);
        }
        return Exit::Usage;
    }
    match output::bytes(stdout.as_mut(), text.as_bytes()) {
        Ok(()) | Err(Error::OutputClosed) => Exit::Done,
        Err(error) => error.exit(),
    }
}
