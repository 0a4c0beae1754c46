//! `fnaad plugins`: what is installed, and what an operator wants of it.
//!
//! Reads the registry beside a host that may run. What is wanted is written there as a wish, which the host
//! performs and answers, or performs at its next start. Changes nothing else.

mod list;
pub(crate) mod perform;
mod wish;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::cli::ListFormat;
use crate::config::Config;
use crate::lock::DirLock;
pub(crate) use wish::{Answer, Verb, Wish};

/// `fnaad plugins`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Plugins {
    /// What to do with them.
    #[command(subcommand)]
    pub command: PluginsCommand,
    /// Of which host.
    #[command(flatten)]
    pub at: At,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginsCommand {
    /// Show the processor types, the version of each that runs, and what was rejected
    List {
        /// Text for people, or JSON, one object a line
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Show one type: its versions that are kept, what waits or was rejected, and who uses it
    Show {
        /// The processor type
        name: String,
        /// Text for people, or JSON, one object
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Have a type stay with a version; newer files are kept and wait
    Pin {
        /// The processor type
        name: String,
        /// What the version calls itself, or the beginning of its digest
        version: String,
    },
    /// Let a type take newer versions again, also one that was gone back from
    Unpin {
        /// The processor type
        name: String,
    },
    /// Have the version before run again; the one that runs is not tried any more until `unpin` or `pin`
    ///
    /// Said again it goes one more version back, where one is kept, and never forth.
    Rollback {
        /// The processor type
        name: String,
    },
    /// Take a type's file and its versions away; refused while a processor uses it
    Remove {
        /// The processor type
        name: String,
        /// Pause the processors that use it
        #[arg(long)]
        force: bool,
    },
}

/// Which host: one of the two, before the command or behind it. clap cannot require what may stand in both places.
#[derive(Args, Debug)]
pub struct At {
    /// The configuration of `fnaad serve`; this or --dir is needed
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "dir")]
    pub config: Option<PathBuf>,
    /// The directory of `fnaad dev`; this or --config is needed
    #[arg(long, value_name = "DIR", global = true)]
    pub dir: Option<PathBuf>,
}

/// Where a host keeps what this needs.
pub(crate) struct Place {
    registry: PathBuf,
    /// Where a host that runs has its lock.
    locked: PathBuf,
}

impl At {
    fn place(&self) -> Result<Place> {
        let (data, locked) = match (&self.dir, &self.config) {
            (Some(dir), None) => (dir.join("data"), dir.clone()),
            (None, Some(config)) => {
                let config = Config::load(config)?;
                (config.data_dir.clone(), config.data_dir)
            }
            (None, None) => bail!("which host? give --config FILE or --dir DIR"),
            (Some(_), Some(_)) => bail!("--config and --dir name two hosts: give one of them"),
        };
        let registry = data.join("registry.db");
        if !registry.exists() {
            bail!("{}: no host has run here yet", data.display());
        }
        Ok(Place { registry, locked })
    }
}

/// Does what was asked for: data to `out`, words to `words`.
///
/// # Errors
/// When the registry cannot be read or written, or the host says no.
pub fn run(asked: &Plugins, out: &mut impl Write, words: &mut impl Write) -> Result<()> {
    let place = asked.at.place()?;
    let verb = match &asked.command {
        PluginsCommand::List { format } => return list::list(&place.registry, *format, out),
        PluginsCommand::Show { name, format } => {
            return list::show(&place.registry, name, *format, out);
        }
        PluginsCommand::Pin { name, version } => {
            Verb::Pin { name: name.clone(), version: version.clone() }
        }
        PluginsCommand::Unpin { name } => Verb::Unpin { name: name.clone() },
        PluginsCommand::Rollback { name } => Verb::Rollback { name: name.clone() },
        PluginsCommand::Remove { name, force } => {
            Verb::Remove { name: name.clone(), force: *force }
        }
    };
    ask(&place, verb, words)
}

/// Writes the wish down and waits for its answer, where a host runs.
fn ask(place: &Place, verb: Verb, words: &mut impl Write) -> Result<()> {
    let wish = serde_json::to_string(&Wish::of_this_user(verb)).context("wish")?;
    let number = host_registry::put_wish(&place.registry, &wish).context("registry")?;
    if !runs(&place.locked) {
        writeln!(words, "no host runs: it is done when one starts").context("stderr")?;
        return Ok(());
    }
    let begun = Instant::now();
    loop {
        if let Some(answer) =
            host_registry::peek_answer(&place.registry, number).context("registry")?
        {
            return match serde_json::from_str(&answer).context("the host's answer")? {
                Answer::Done(told) => writeln!(words, "{told}").context("stderr"),
                Answer::Refused(why) => bail!("{why}"),
            };
        }
        if !runs(&place.locked) {
            writeln!(words, "the host has ended: it is done when one starts").context("stderr")?;
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!("the host has not answered yet, and may still do it");
        }
        std::thread::sleep(LOOK);
    }
}

fn runs(locked: &Path) -> bool {
    DirLock::holder(locked).is_some()
}

/// How long an answer is waited for: the host may be compiling a large file before.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two looks for an answer.
const LOOK: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Works beside a host that runs, and without one: then what is wanted is done at its next start.

Examples:
  fnaad plugins list --config fnaad.toml
  fnaad plugins show bridge --dir ./try --format json
  fnaad plugins pin bridge 0.2.0 --config fnaad.toml       newer files are kept and wait
  fnaad plugins unpin bridge --config fnaad.toml
  fnaad plugins rollback bridge --config fnaad.toml        the version before runs again
  fnaad plugins remove mask --force --config fnaad.toml    its processors are paused";
