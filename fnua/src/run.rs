//! One run: arguments to an exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::agent::choose;
use crate::cli::plan::{Plan, plan};
use crate::cli::{Cli, Command, Format};
use crate::config::{Agent, Config, Keep, Places, locate, own_directory};
use crate::connection::{Need, connect_for};
use crate::error::Error;
use crate::exit::Exit;
use crate::io::{Io, Words};
use crate::look::status;
use crate::trace::Trace;
use crate::{deadletters, login, logs, output, read, top, write};

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
            let agent = agent(cli, setting, Some(args.flow.as_str()))?;
            read::read(args, &agent, setting, stdout).await
        }
        Command::Write(args) => {
            let agent = agent(cli, setting, Some(args.flow.as_str()))?;
            write::write(args, &agent, setting, stdin, stdout.as_mut()).await
        }
        Command::Status(args) => {
            let agent = agent(cli, setting, args.namespace.as_ref().map(fnap::Name::as_str))?;
            status::status(args.namespace.as_ref(), &agent, setting, stdout.as_mut()).await
        }
        Command::DeadLetters(command) => {
            let agent = agent(cli, setting, Some(command.processor().as_str()))?;
            deadletters::run(command, &agent, setting, stdin, stdout).await
        }
        Command::Login(args) => {
            let (agent, keep) = kept_for(cli, args.target.as_deref())?;
            login::login(args, agent, &keep, setting, stdin).await
        }
        Command::Logout(args) => {
            let (agent, keep) = kept_for(cli, args.target.as_deref())?;
            login::logout(args, &agent, &keep, setting)
        }
        Command::Top(args) => top::top(args, &agent(cli, setting, None)?, setting, stdout).await,
        Command::Logs(args) => {
            let agent = agent(cli, setting, Some(args.processor.as_str()))?;
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
    let agent = agent(cli, setting, plan.about.as_ref().map(fnap::Name::as_str))?;
    let need = match plan.command {
        fnap::Command::Capabilities => Need::Anybody,
        _ => Need::Somebody,
    };
    let command = with_prefix(plan.command, &agent)?;
    let mut connection = connect_for(&agent, setting, need).await?;
    let answer = connection.command(&command).await;
    connection.quit().await;
    output::answer(stdout, &answer?, setting)
}

/// The draft's `prefix`: a subscription without a local name gets one of it.
fn with_prefix(command: fnap::Command, agent: &Agent) -> Result<fnap::Command, Error> {
    match (command, &agent.prefix) {
        (fnap::Command::Subscribe { flow, local: None, settings }, Some(prefix)) => {
            let local = format!("{prefix}{flow}").parse().map_err(|error| {
                Error::Usage(format!("{prefix}{flow} is no local name ({error}): give --local"))
            })?;
            Ok(fnap::Command::Subscribe { flow, local: Some(local), settings })
        }
        (command, _) => Ok(command),
    }
}

fn agent(cli: &Cli, setting: &Setting, about: Option<&str>) -> Result<Agent, Error> {
    let mut config = config(cli)?;
    if let Some(keep) = keep() {
        config = config.with_kept(&keep.all()?);
    }
    let agent = choose(&config, cli.agent.as_deref(), about)?;
    if agent.tls.allow_plaintext {
        setting.words.say(&format!(
            "fnua: no tls to {}: whoever is in between can read and change everything",
            agent.address
        ));
    }
    Ok(agent)
}

fn config(cli: &Cli) -> Result<Config, Error> {
    match locate(&Places::from_environment(cli.config.clone())) {
        Some(found) => Ok(Config::found(&found)?),
        None => Ok(Config::default()),
    }
}

fn keep() -> Option<Keep> {
    own_directory().map(Keep::new)
}

fn kept_for(cli: &Cli, target: Option<&str>) -> Result<(Agent, Keep), Error> {
    let nowhere = || Error::Usage("nowhere to keep credentials: $HOME is not set".to_owned());
    let keep = keep().ok_or_else(nowhere)?;
    let config = config(cli)?.with_kept(&keep.all()?);
    Ok((login::target(&config, target.or(cli.agent.as_deref()))?, keep))
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
