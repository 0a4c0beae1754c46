//! `fnaad plugin`: what the author of a plugin types. One file for each command; none of them needs a running host.

pub mod new;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
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
}

/// Does what was asked for. Data goes to `out`, words for people to `words`.
///
/// # Errors
/// When it cannot be done.
pub fn run(
    command: &PluginCommand,
    out: &mut impl Write,
    words: &mut impl Write,
) -> Result<ExitCode> {
    match command {
        PluginCommand::New(asked) => new::run(asked, out, words).map(|()| ExitCode::SUCCESS),
    }
}

const EXAMPLES: &str = "\
Examples:
  fnaad plugin new --lang python mask         then: cd mask && make test && make
  fnaad plugin new --lang rust --in src dedup";
