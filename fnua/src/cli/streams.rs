//! Arguments of `read` and `write`.

use std::path::PathBuf;

use clap::Args;
use fnap::{Name, Start};

use super::values;

/// `fnua read`
#[derive(Debug, Args)]
#[command(after_help = READ_HELP)]
pub(crate) struct ReadArgs {
    /// The flow.
    pub(crate) flow: Name,
    /// Where to begin: earliest, latest, PARTITION:OFFSET (that partition only) or an RFC 3339 time.
    /// Without it the oldest event, with --follow the next one.
    #[arg(long, value_name = "POSITION", value_parser = values::start)]
    pub(crate) from: Option<Start>,
    /// Stop after so many events.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// With --follow: how long to try again after a broken connection; 0 is never.
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_SECONDS)]
    pub(crate) retry_for: u64,
}

/// `fnua write`
#[derive(Debug, Args)]
#[command(after_help = WRITE_HELP)]
pub(crate) struct WriteArgs {
    /// The flow.
    pub(crate) flow: Name,
    /// Files with one event a line; `-`, or none, is stdin.
    pub(crate) files: Vec<PathBuf>,
    /// Name of the run. The same input with the same name again writes nothing twice (for 24 hours).
    #[arg(long, visible_alias = "token-prefix", value_name = "NAME", value_parser = run_id)]
    pub(crate) run_id: Option<String>,
    /// How long to try again after a broken connection, or while the host says 503, as it does of a flow that is paused; 0
    /// is never. A connection or an answer is waited for no longer than what is left of it, the first connection 10 s at least.
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_SECONDS)]
    pub(crate) retry_for: u64,
    /// How many batches may wait for their answer. With 1 nothing is sent after a refused batch.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) window: u8,
    /// With --format raw: the events' `source`.
    #[arg(long, default_value = "/fnua", value_name = "URI")]
    pub(crate) source: String,
    /// With --format raw: the events' `type`.
    #[arg(long, default_value = "fnua.line")]
    pub(crate) r#type: String,
}

/// Longest name of a run: a token is one word, and needs room for a hyphen and twenty digits.
pub(crate) const MAX_RUN_ID: usize = 64;

/// A minute covers the restart of a host.
pub(crate) const RETRY_SECONDS: u64 = 60;

fn run_id(text: &str) -> Result<String, String> {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > MAX_RUN_ID || !visible {
        return Err(format!("1 to {MAX_RUN_ID} visible ascii characters"));
    }
    Ok(text.to_owned())
}

const READ_HELP: &str = "\
Each line is one CloudEvent in JSON; its place is in the attributes flowpartition and flowoffset.

Examples:
  fnua read time.flows.unix.ar --limit 10
  fnua read time.flows.unix.ar --from 2026-01-31T12:00:00Z
  fnua read time.flows.unix.ar --from 0:1500
  fnua read time.flows.unix.ar --from latest --follow | jq .data

After a broken connection --follow goes on where it was, without a loss or a repeat.";

const WRITE_HELP: &str = "\
Each line is one CloudEvent in JSON. Lines are sent in batches; a batch is written as a whole or not
at all. What was not answered when a connection breaks is sent again, and is still written once.

Examples:
  fnua write time.flows.unix.ar events.jsonl more.jsonl
  fnua write time.flows.unix.ar --run-id import-2026-01 events.jsonl
  tail -f app.log | fnua write log.flows.unix.ar --format raw --source /app --type app.line

When the host refuses a batch, up to --window batches behind it may be under way already, and are written
all the same; the report says which. One that was refused for now (503, 429) is sent again and then lies behind
them: stderr says so. Where that order counts, --window 1 never has more than one under way.

When it gives up, it says which lines are not written, which may be, and how to write the rest.";
