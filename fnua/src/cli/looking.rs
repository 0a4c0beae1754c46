//! Arguments of the commands that look at a running host: `status`, `top`, `logs`, `deadletters`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use fnap::{Name, Start, Word};

/// `fnua status`
#[derive(Debug, Args)]
#[command(after_help = STATUS_HELP)]
pub(crate) struct StatusArgs {
    /// Only flows of this namespace.
    pub(crate) namespace: Option<Name>,
}

/// `fnua top`
#[derive(Debug, Args)]
#[command(after_help = TOP_HELP)]
pub(crate) struct TopArgs {
    /// Measure for one interval, print the tables and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// How often to look, such as 2s or 500ms.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// What stands first.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: Sort,
}

/// `--sort`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// What is furthest behind.
    #[default]
    Lag,
    /// What does most.
    Rate,
    /// By name.
    Name,
}

/// `fnua logs`
#[derive(Debug, Args)]
#[command(after_help = LOGS_HELP)]
pub(crate) struct LogsArgs {
    /// The processor.
    pub(crate) processor: Name,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only lines from this number on (`seq` of --format json).
    #[arg(long, value_name = "SEQ")]
    pub(crate) since: Option<u64>,
    /// Of what is there, only the last so many lines.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// With --follow: how long to try again after a broken connection; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = super::streams::RETRY_SECONDS)]
    pub(crate) retry_for: u64,
}

/// `fnua replay`
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub(crate) struct ReplayArgs {
    /// The processor.
    pub(crate) processor: Name,
    /// The other version of its plugin: its number, or the beginning of its digest.
    #[arg(long)]
    pub(crate) version: Word,
    /// The first event: earliest, latest, PARTITION:OFFSET or an RFC 3339 time.
    #[arg(long, value_parser = super::values::start, value_name = "START")]
    pub(crate) from: Option<Start>,
    /// Begin with the state and the positions of a snapshot, by its number (`fnua describe processor` has them).
    #[arg(long, value_name = "NUMBER", conflicts_with = "from")]
    pub(crate) from_snapshot: Option<u64>,
    /// The event after the last one; the end of the flows where absent.
    #[arg(long, value_parser = super::values::start, value_name = "START")]
    pub(crate) to: Option<Start>,
}

const REPLAY_HELP: &str =
    "Both versions begin with an empty state, or with that of a snapshot; nothing of what they do is written
anywhere, and the processor goes on meanwhile. No snapshot is chosen by itself: where one lies before
--from, it is named on stderr. Ends with 4 where the versions differ; Ctrl-C ends it with what was compared
until then, and with 130.

Examples:
  fnua replay p.flows.unix.ar --version 1.3.0
  fnua replay p.flows.unix.ar --version 1.3.0 --from-snapshot 7
  fnua replay p.flows.unix.ar --version 0a1b2c3d --from 2026-01-31T12:00:00Z --format json";

/// `fnua deadletters`
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List the open ones, a line each.
    #[command(
        after_help = "Each line: name, time, kind, source as flow:partition:offset, reason.\n\nExamples:\n  fnua deadletters list br.flows.unix.ar\n  fnua deadletters list br.flows.unix.ar --all --format json"
    )]
    List {
        /// The processor.
        processor: Name,
        /// Those that were replayed or dropped, too.
        #[arg(long)]
        all: bool,
    },
    /// Print letters whole: what happened, then the event.
    #[command(
        after_help = "Examples:\n  fnua deadletters show br.flows.unix.ar 0:12\n  fnua deadletters show br.flows.unix.ar 0:12 --format json | jq .data"
    )]
    Show {
        /// The processor.
        processor: Name,
        /// Letters by name.
        #[arg(value_name = "P:N", required = true, value_parser = letter)]
        letters: Vec<(u32, u64)>,
    },
    /// Let letters go through the processor again.
    #[command(
        after_help = "Examples:\n  fnua deadletters replay br.flows.unix.ar 0:12 0:15\n  fnua deadletters replay br.flows.unix.ar --all"
    )]
    Replay(Chosen),
    /// Be done with letters: they are listed no more. Their events stay in the flow PROCESSOR.dead.
    #[command(
        after_help = "On a terminal it asks first.\n\nExamples:\n  fnua deadletters drop br.flows.unix.ar 0:12\n  fnua deadletters drop br.flows.unix.ar --all --yes"
    )]
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

impl DeadLetters {
    /// The processor whose letters they are.
    pub(crate) fn processor(&self) -> &Name {
        match self {
            Self::List { processor, .. } | Self::Show { processor, .. } => processor,
            Self::Replay(chosen) | Self::Drop { chosen, .. } => &chosen.processor,
        }
    }
}

/// Letters of a processor, by name or all.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    /// The processor.
    pub(crate) processor: Name,
    /// Letters by name.
    #[arg(value_name = "P:N", value_parser = letter, required_unless_present = "all")]
    pub(crate) letters: Vec<(u32, u64)>,
    /// All that are open.
    #[arg(long, conflicts_with = "letters")]
    pub(crate) all: bool,
}

fn letter(text: &str) -> Result<(u32, u64), String> {
    match fnap::command::parse_offset(text) {
        Ok(fnap::Start::Offset { partition, offset }) => Ok((partition, offset)),
        _ => Err("expected PARTITION:OFFSET, as `deadletters list` names it".to_owned()),
    }
}

/// Shorter looks would cost the host more than they show.
const SHORTEST: Duration = Duration::from_millis(100);

/// `2s`, `500ms`, or seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 2s or 500ms, at least 100ms".to_owned();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let interval = Duration::from_millis(u64::from(number) * unit);
    if interval < SHORTEST { Err(wrong()) } else { Ok(interval) }
}

const STATUS_HELP: &str = "\
Ends with 4 when something is wrong: a processor that has failed, cannot be read or has open dead
letters, a plugin file that was refused, a flow that is neither active nor paused. Else with 0, and
as every command with 1, 2 or 3 when it cannot look.

Examples:
  fnua status
  fnua status flows.unix.ar --format json
  fnua --quiet status || echo 'look at the host'";

const TOP_HELP: &str = "\
On a terminal it fills the screen until Ctrl-C; elsewhere it prints the tables once an interval, with
--format json one object. Events a second are counted between two looks; `-` is what the host does
not say.

Examples:
  fnua top
  fnua top --sort rate --interval 5s
  fnua top --once --format json | jq '.processors[] | select(.state != \"running\")'";

const LOGS_HELP: &str = "\
Shows what the plugins of a processor log, and, marked `host`, what the host did with it. The host keeps
the last lines only, and none over its restart; lines that are gone are counted.

Examples:
  fnua logs br.flows.unix.ar
  fnua logs br.flows.unix.ar --lines 20 --follow
  fnua logs br.flows.unix.ar --format json | jq 'select(.level == \"error\")'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_in_seconds_or_milliseconds_and_not_too_short() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("5"), Ok(Duration::from_secs(5)));
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "s", "99ms", "0", "-1s", "1h", "99999999999s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_letter_is_named_by_partition_and_offset() {
        assert_eq!(letter("3:12"), Ok((3, 12)));
        assert!(letter("12").is_err());
    }
}
