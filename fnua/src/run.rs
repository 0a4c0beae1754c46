//! One run: arguments to an exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::{CommandFactory, Parser};
use host_names::ZoneServers;

use crate::cli::plan::plan;
use crate::cli::{Cli, Command, Format};
use crate::config::{Agent, Config, Keep, Places, locate, own_directory};
use crate::connection::{Need, connect_for};
use crate::error::Error;
use crate::exit::Exit;
use crate::hosts::{Hosts, Own, does_not_know};
use crate::io::{Io, Once, Words};
use crate::look::status;
use crate::trace::Trace;
use crate::{deadletters, login, logs, output, read, replay, top, way, write};

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
    let mut hosts = hosts(cli, setting)?;
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "fnua", &mut script);
            output::bytes(stdout.as_mut(), &script)
        }
        Command::Read(args) => {
            let stdout = Once::new(stdout);
            let (agent, is_meant) = own(&mut hosts, setting, Some(&args.flow)).await?;
            let done = read::read(args, &agent, setting, Box::new(stdout.clone())).await;
            let is_meant = is_meant || !stdout.is_untouched();
            match other(&mut hosts, setting, Some(&args.flow), (&agent, is_meant), &done).await {
                Some(other) => read::read(args, &other, setting, Box::new(stdout)).await,
                None => done,
            }
        }
        Command::Write(args) => {
            let (agent, is_meant) = own(&mut hosts, setting, Some(&args.flow)).await?;
            let written = write::write(args, &agent, setting, stdin, stdout.as_mut()).await;
            match written {
                Err(Error::Refused(failure))
                    if !is_meant && does_not_know(&failure, &args.flow) =>
                {
                    Err(elsewhere(&mut hosts, failure, &args.flow).await)
                }
                written => written,
            }
        }
        Command::Trace { flow } => way::trace(flow, &mut hosts, setting, stdout.as_mut()).await,
        Command::Status(args) => {
            let (agent, _) = own(&mut hosts, setting, args.namespace.as_ref()).await?;
            status::status(args.namespace.as_ref(), &agent, setting, stdout.as_mut()).await
        }
        Command::DeadLetters(command) => {
            let (agent, _) = own(&mut hosts, setting, Some(command.processor())).await?;
            deadletters::run(command, &agent, setting, stdin, stdout).await
        }
        Command::Replay(args) => {
            let (agent, _) = own(&mut hosts, setting, Some(&args.processor)).await?;
            replay::replay(args, &agent, setting, stdout.as_mut()).await
        }
        Command::Login(args) => {
            let (agent, keep) = kept_for(cli, args.target.as_deref())?;
            let names = Config { names: asked_names(cli, config(cli)?).names, ..Config::default() };
            let mut hosts = Hosts::new(names, None, setting.trace.clone());
            login::login(args, agent, (&keep, &mut hosts), setting, stdin).await
        }
        Command::Logout(args) => {
            let (agent, keep) = kept_for(cli, args.target.as_deref())?;
            login::logout(args, &agent, &keep, setting)
        }
        Command::Top(args) => {
            let (agent, _) = own(&mut hosts, setting, None).await?;
            top::top(args, &agent, setting, stdout).await
        }
        Command::Logs(args) => {
            let (agent, _) = own(&mut hosts, setting, Some(&args.processor)).await?;
            logs::logs(args, &agent, setting, stdout).await
        }
        command => match plan(command, setting.format)? {
            Some(plan) => {
                let about = plan.about.as_ref();
                let (agent, is_meant) = own(&mut hosts, setting, about).await?;
                let done = one_command(&plan.command, &agent, setting, stdout.as_mut()).await;
                match other(&mut hosts, setting, about, (&agent, is_meant), &done).await {
                    Some(other) => {
                        one_command(&plan.command, &other, setting, stdout.as_mut()).await
                    }
                    None => done,
                }
            }
            None => Ok(()),
        },
    }
}

/// Where to do it again: where the own host does not know the name, and nobody has said that it should, at the host that
/// DNS says.
async fn other(
    hosts: &mut Hosts,
    setting: &Setting,
    about: Option<&fnap::Name>,
    (agent, is_meant): (&Agent, bool),
    done: &Result<(), Error>,
) -> Option<Agent> {
    let (Some(name), Err(Error::Refused(failure))) = (about, done) else { return None };
    if is_meant || !does_not_know(failure, name) {
        return None;
    }
    match hosts.find(name).await {
        Ok(other) => (other.address != agent.address).then(|| warned(other, setting)),
        Err(error) => {
            setting.trace.note(|| error.to_string());
            None
        }
    }
}

/// The host for something about a name, and whether somebody has said that it is that one.
async fn own(
    hosts: &mut Hosts,
    setting: &Setting,
    about: Option<&fnap::Name>,
) -> Result<(Agent, bool), Error> {
    let (agent, is_meant) = match (hosts.own(about).await?, about) {
        (Own::Meant(agent), _) => (*agent, true),
        (Own::First(agent), _) => (*agent, false),
        (Own::Nobody(_), Some(name)) => (hosts.find(name).await?, true),
        (Own::Nobody(none), None) => return Err(none.into()),
    };
    Ok((warned(agent, setting), is_meant))
}

/// What is read from a pipe cannot be read again for another host, so that is only named.
async fn elsewhere(hosts: &mut Hosts, failure: fnap::Failure, name: &fnap::Name) -> Error {
    match hosts.find(name).await {
        Ok(other) => Error::Elsewhere { failure, address: other.address.to_string() },
        Err(_) => Error::Refused(failure),
    }
}

async fn one_command(
    command: &fnap::Command,
    agent: &Agent,
    setting: &Setting,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let need = match command {
        fnap::Command::Capabilities => Need::Anybody,
        _ => Need::Somebody,
    };
    let command = with_prefix(command.clone(), agent)?;
    let mut connection = connect_for(agent, setting, need).await?;
    let answer = connection.command(&command).await;
    connection.quit().await;
    output::answer(stdout, &answer?, setting)
}

/// A subscription without a local name gets one of the draft's `prefix`; where there is none, of the first namespace that
/// the host has.
fn with_prefix(command: fnap::Command, agent: &Agent) -> Result<fnap::Command, Error> {
    let usual = || agent.namespaces.first().map(|namespace| format!("{namespace}-"));
    match command {
        fnap::Command::Subscribe { flow, local: None, settings } => {
            let Some(prefix) = agent.prefix.clone().or_else(usual) else {
                return Ok(fnap::Command::Subscribe { flow, local: None, settings });
            };
            let local = format!("{prefix}{flow}").parse().map_err(|error| {
                Error::Usage(format!("{prefix}{flow} is no local name ({error}): give --local"))
            })?;
            Ok(fnap::Command::Subscribe { flow, local: Some(local), settings })
        }
        command => Ok(command),
    }
}

fn hosts(cli: &Cli, setting: &Setting) -> Result<Hosts, Error> {
    let keeps_out =
        matches!(cli.command, Command::Completions { .. } | Command::Login(_) | Command::Logout(_));
    if keeps_out {
        return Ok(Hosts::new(Config::default(), None, Trace::silent()));
    }
    let mut config = config(cli)?;
    if let Some(keep) = keep() {
        config = config.with_kept(&keep.all()?);
    }
    Ok(Hosts::new(asked_names(cli, config), cli.agent.clone(), setting.trace.clone()))
}

/// With the name servers of the command line.
fn asked_names(cli: &Cli, mut config: Config) -> Config {
    if !cli.nameserver.is_empty() {
        config.names.servers.clone_from(&cli.nameserver);
    }
    ZoneServers::overrule(&mut config.names.zones, &cli.resolve);
    config
}

/// Says what goes in clear.
pub(crate) fn warned(agent: Agent, setting: &Setting) -> Agent {
    if agent.tls.allow_plaintext {
        setting.words.say(&format!(
            "fnua: no tls to {}: whoever is in between can read and change everything",
            agent.address
        ));
    }
    agent
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
