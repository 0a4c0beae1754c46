//! The binary `fnaad`: arguments, logging, runtime; everything else is in the library.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use fnaad::cert::{Made, Order};
use fnaad::cli::{self, Cli, Command};
use fnaad::config::{Config, Log, LogFormat};
use fnaad::demo;
use fnaad::dev::{Asked, Dev};
use fnaad::lock::DirLock;
use fnaad::serve::{Addresses, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Millions of small pieces of memory a second come and go on other threads than those they were made on: a third of the
/// processor time of a keyed count went into the C library's allocator. Also what librdkafka allocates comes from here.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("fnaad: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { command, log_format }: Cli) -> Result<ExitCode> {
    match command {
        Command::Dev(dev) => block_on(run_dev(&dev, log_format)).map(|()| ExitCode::SUCCESS),
        Command::Serve(args) => block_on(run_serve(&args, log_format)).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check(&args),
        Command::Dns(args) => dns(args),
        Command::Demo(args) => block_on(run_demo(args)),
        Command::Cert(args) => cert(args).map(|()| ExitCode::SUCCESS),
        Command::HashPassword => cli::hash_password(stdin(), stdout()).map(|()| ExitCode::SUCCESS),
        Command::User(args) => {
            fnaad::user::run(&args.command, &mut stdout()).map(|()| ExitCode::SUCCESS)
        }
        Command::Plugin(args) => {
            let well = block_on(plugin(args, log_format))?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Plugins(args) => {
            fnaad::plugins::run(&args, &mut stdout(), &mut stderr()).map(|()| ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            cli::completions(shell, &mut stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Ctrl-C ends the demo, and the participant with it.
async fn run_demo(args: cli::Demo) -> Result<ExitCode> {
    let cli::Demo { keep, dir, brokers, dns_server, dns_key } = args;
    let options = demo::Options { keep, dir, brokers, name_server: dns_server.zip(dns_key) };
    // Before anything is started: who ends it then finds nothing running afterwards.
    let mut pressed = signal(SignalKind::interrupt()).context("SIGINT")?;
    tokio::select! {
        clean = demo::run(options) => Ok(if clean? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = pressed.recv() => {
            say("fnaad: interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// What a shell says of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Nothing of it is worth a line of log, unless something is wrong.
async fn plugin(args: fnaad::plugin::Plugin, log_format: Option<LogFormat>) -> Result<bool> {
    log_as(&Log { level: tracing::Level::WARN, ..Log::default() }, log_format)?;
    fnaad::plugin::run(args.command, &mut stdout(), &mut stderr()).await
}

async fn run_dev(args: &cli::Dev, log_format: Option<LogFormat>) -> Result<()> {
    let cli::Dev { listen, dns, ref namespaces, ref broker, .. } = *args;
    let asked = Asked { listen, dns, namespaces, broker: broker.as_ref() };
    let mut dev = Dev::prepare(&args.dir, asked)?;
    let mut config = dev.config().clone();
    config.observe = args.observe.or(config.observe);
    if let (Some(server), Some(key)) = (args.dns_server, &args.dns_key) {
        config.dns.write_to(server, std::path::absolute(key).context("--dns-key")?);
    }
    config.names.overrule(&args.resolve.zones);
    config.peers.domain = args.domain.clone().or(config.peers.domain);
    log_as(&config.log, log_format)?;
    config.peers.secret_file = fnaad::peers::dev_secret(args.peers_secret.as_deref())?;
    let again = config.clone();
    serve(config, &|| Ok(again.clone()), |addresses| {
        dev.listening(
            *addresses.fnap.first().context("no address")?,
            addresses.dns.first().copied(),
            (&again.dns.zones, &args.resolve.zones),
        )?;
        ready(addresses)
    })
    .await
}

async fn run_serve(args: &cli::Serve, log_format: Option<LogFormat>) -> Result<()> {
    let load = || {
        let mut config = Config::load(&args.configured.config)?;
        config.names.overrule(&args.resolve.zones);
        Ok(config)
    };
    let config = load()?;
    log_as(&config.log, log_format)?;
    let lock = DirLock::take(&config.data_dir, |words| tracing::warn!("{words}"));
    let _lock = lock.context("data_dir")?;
    serve(config, &load, ready).await
}

fn cert(cli::Cert { dir, names, clients, days, force }: cli::Cert) -> Result<()> {
    let made = fnaad::cert::make(&Order { dir, names, clients, days, force })?;
    let mut out = stdout();
    for Made { path, what } in made {
        writeln!(out, "{}: {what}", path.display()).context("stdout")?;
    }
    Ok(())
}

fn check(args: &cli::Configured) -> Result<ExitCode> {
    let findings = fnaad::config::check(&args.config)?;
    for finding in &findings {
        let kind = if finding.fatal { "error" } else { "warning" };
        let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
        say(&format!("{}{line}: {kind}: {}", args.config.display(), finding.what));
    }
    let fatal = findings.iter().any(|finding| finding.fatal);
    Ok(if fatal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn dns(cli::Dns { command }: cli::Dns) -> Result<ExitCode> {
    let mut out = stdout();
    match command {
        cli::DnsCommand::Export { zone, format, at } => {
            fnaad::dns::export(&at.config, zone.as_ref(), format, &mut out)?;
            Ok(ExitCode::SUCCESS)
        }
        cli::DnsCommand::Check { format, at } => {
            let agrees = block_on(fnaad::dns::check(&at.config, format, &mut out))?;
            Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // A plugin that is still being compiled must not hold the end up.
    runtime.shutdown_background();
    done
}

/// Logs to stderr; `FNAAD_LOG` says more or less than the configuration, for one run.
fn log_as(log: &Log, format: Option<LogFormat>) -> Result<()> {
    let filter = EnvFilter::try_from_env("FNAAD_LOG");
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(log.directives()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // A log that cannot be written must not end the host.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal());
    let set = match format.unwrap_or(log.format) {
        LogFormat::Json => {
            let flat = builder.json().flatten_event(true);
            flat.with_current_span(false).with_span_list(false).try_init()
        }
        LogFormat::Text => builder.try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("logging: {error}"))
}

/// The one line on stdout that programs wait for.
fn ready(addresses: &Addresses) -> Result<()> {
    let mut line = "ready".to_owned();
    addresses.fnap.iter().for_each(|address| line += &format!(" fnap={address}"));
    addresses.fnaps.iter().for_each(|address| line += &format!(" fnaps={address}"));
    addresses.dns.iter().for_each(|address| line += &format!(" dns={address}"));
    addresses.observe.iter().for_each(|address| line += &format!(" observe={address}"));
    let mut out = stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("stdout")
}

fn say(line: &str) {
    // A stderr that is gone is no reason to fail.
    drop(writeln!(stderr(), "{line}"));
}
