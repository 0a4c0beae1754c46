//! `fnaad plugin`: what authors of plugins use, beside hosts that run.
//!
//! A component is a stranger's also where its author says that it is his: it is only ever looked at, or run in the
//! sandbox by the engine of a host, within the limits that a host has.
//!
//! # Layout
//!
//! - [`new`]: begins a project.
//! - [`cli`]: what may be typed to all others.
//! - `desk`: the engine, the file, and what an instance is made with.
//! - `check`, with `advice` (what to do about a problem) and `schema` (of configurations).
//! - `bench`: what an event costs.
//! - `conform`: a component held against the rules of the contract.
//! - `run`: events through a component, as a host would.
//! - `words`: what a component says, as it may be shown.

mod advice;
mod bench;
mod check;
pub mod cli;
mod conform;
mod desk;
pub mod new;
mod run;
mod schema;
mod words;

use std::io::Write;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};

/// `fnaad plugin`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Plugin {
    /// What to do.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Begin a plugin: a directory of its name that builds, and passes its test, with the ordinary tools of a language
    New(new::New),
    /// Say what a component is, and everything that keeps a host from running it
    Check(cli::Check),
    /// Run a component on events as a host would, and print what becomes of them
    Run(cli::Run),
    /// Hold a component against the rules of the contract
    Conform(cli::Conform),
    /// Measure what an event costs
    Bench(cli::Bench),
}

/// Does what was asked for. Data goes to `out`, words for people to `words`. True where all is well.
///
/// # Errors
/// When it cannot be done.
pub async fn run(
    command: PluginCommand,
    out: &mut impl Write,
    words: &mut impl Write,
) -> Result<bool> {
    let done = match command {
        PluginCommand::New(asked) => new::run(&asked, out, words).map(|()| true),
        PluginCommand::Check(args) => check::run(&args, out).await,
        PluginCommand::Run(args) => run::run(args, out).await,
        PluginCommand::Conform(args) => conform::run(&args, out).await,
        PluginCommand::Bench(args) => bench::run(&args, out).await,
    };
    // Whatever failed may have words of the component in it.
    done.map_err(|error| anyhow!(words::indented(&format!("{error:#}"))))
}

const EXAMPLES: &str = "\
None of it needs a host that runs. A component is only ever run in the sandbox, within the limits that hosts have.

Examples:
  fnaad plugin new --lang python mask         then: cd mask && make test && make
  fnaad plugin new --lang rust --in src dedup
  fnaad plugin check mask.wasm                will a host take it, and if not, why
  fnaad plugin run mask.wasm < events.jsonl   what becomes of these events
  fnaad plugin conform mask.wasm              does it keep the rules
  fnaad plugin bench mask.wasm                what an event costs";
