//! What the user typed: the commands of the draft's figure 15 and their options.
//!
//! Only reads arguments; what they mean for the protocol is in [`plan`].

pub(crate) mod login;
pub(crate) mod looking;
pub(crate) mod objects;
pub(crate) mod plan;
pub(crate) mod streams;
pub(crate) mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use fnap::{Name, Word};
use host_names::ZoneServers;

use login::{LoginArgs, LogoutArgs};
use looking::{DeadLetters, LogsArgs, ReplayArgs, StatusArgs, TopArgs};
use objects::{Create, Delete, Describe, Get, GrantArgs, Purge, Remove, Update};
use streams::{ReadArgs, WriteArgs};
use values::{Meant, NameList, ProcessorOptions};

/// Uses flows: create them, write and read events, and run processors between them.
#[derive(Debug, Parser)]
#[command(name = "fnua", version, after_help = HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The host to talk to: a name from the configuration, or its address.
    #[arg(long, global = true, value_name = "NAME|HOST:PORT")]
    pub(crate) agent: Option<String>,
    /// Name server to ask for the hosts of flows, in place of the system's; can be repeated.
    #[arg(long, global = true, value_name = "IP[:PORT]", value_parser = host_names::name_server_of)]
    pub(crate) nameserver: Vec<SocketAddr>,
    /// Name server to ask about the names of one zone; can be repeated.
    #[arg(long, global = true, value_name = "ZONE=IP[:PORT]")]
    pub(crate) resolve: Vec<ZoneServers>,
    /// Print the dialogue with the host on stderr (C: client, S: server).
    #[arg(short, long, global = true)]
    pub(crate) debug: bool,
    /// Say nothing about what went well.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// text or json: what is printed; raw: `write` wraps any lines.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// How long to wait for the host to be reachable at all; 0 tries once.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Raw,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a flow, a namespace or a processor.
    #[command(subcommand)]
    Create(Create),
    /// Delete a flow, a namespace or a processor.
    #[command(subcommand)]
    Delete(Delete),
    /// List what there is.
    #[command(subcommand)]
    Get(Get),
    /// Tell everything about one thing.
    #[command(subcommand, alias = "desc")]
    Describe(Describe),
    /// Change a flow, a namespace or a processor.
    #[command(subcommand)]
    Update(Update),
    /// Destroy the events of a flow.
    #[command(subcommand)]
    Purge(Purge),
    /// Print the events of a flow, one JSON object a line.
    Read(ReadArgs),
    /// Write events to a flow: JSON lines from files or stdin.
    Write(WriteArgs),
    /// Copy one flow to another (a bridge processor), or all that a pattern means.
    #[command(
        after_help = "Examples:\n  fnua replicate time.flows.unix.ar copy.flows.unix.ar\n  fnua replicate 'orders-*.flows.unix.ar' '*.copies.unix.ar'"
    )]
    Replicate {
        /// Flow to read, or a pattern of flows: each gets a bridge, those that come later, too.
        from: Meant,
        /// Flow to write, or the pattern of their names.
        to: Meant,
        #[command(flatten)]
        options: ProcessorOptions,
    },
    /// Bring several flows together in one (a collector processor).
    #[command(
        after_help = "Example:\n  fnua collect a.flows.unix.ar,b.flows.unix.ar all.flows.unix.ar"
    )]
    Collect {
        /// Flows to read, then the flow to write.
        #[arg(num_args = 2.., required = true, value_name = "FLOW[,FLOW…]|PATTERN")]
        flows: Vec<Meant>,
        #[command(flatten)]
        options: ProcessorOptions,
    },
    /// Spread one flow over several (a distributor processor).
    #[command(
        after_help = "Example:\n  fnua distribute all.flows.unix.ar a.flows.unix.ar,b.flows.unix.ar"
    )]
    Distribute {
        /// The flow to read, then the flows to write.
        #[arg(num_args = 2.., required = true, value_name = "FLOW[,FLOW…]")]
        flows: Vec<NameList>,
        #[command(flatten)]
        options: ProcessorOptions,
    },
    /// Make new events out of several flows (a signal processor).
    #[command(
        after_help = "Example:\n  fnua signal signal --from quakes.flows.unix.ar --to alerts.flows.unix.ar \\\n    --config-file rules.json"
    )]
    Signal {
        /// Type of the processor, see `fnua get types`.
        r#type: Word,
        #[command(flatten)]
        ends: values::Ends,
        #[command(flatten)]
        options: ProcessorOptions,
    },
    /// Hold a flow, a processor or a subscription.
    Pause {
        /// Its name.
        name: Name,
    },
    /// Go on after `pause` or `stop`.
    Resume {
        /// Its name.
        name: Name,
    },
    /// Finish what is under way, then hold.
    Stop {
        /// Its name.
        name: Name,
    },
    /// Show every step on the way to a flow, and what is wrong with it.
    #[command(
        after_help = "Examples:\n  fnua trace time.flows.unix.ar\n  fnua trace time.flows.unix.ar --nameserver 192.0.2.53 --format json"
    )]
    Trace {
        /// The flow.
        flow: Name,
    },
    /// Flows, processors and what is wrong, at a glance.
    Status(StatusArgs),
    /// Watch what flows and processors do.
    Top(TopArgs),
    /// Run another version of a processor's plugin over past events, beside the one that it has, and show what differs.
    Replay(ReplayArgs),
    /// Keep the state of a processor as it is now, for `fnua replay --from-snapshot`; prints its number.
    #[command(
        after_help = "The eight latest are kept; snapshots=hourly or daily of a processor takes them by itself.\n\nExamples:\n  fnua snapshot p.flows.unix.ar\n  fnua snapshot p.flows.unix.ar --forget 7\n  fnua update processor p.flows.unix.ar snapshots=daily"
    )]
    Snapshot {
        /// The processor.
        processor: Name,
        /// Forget one instead, by its number.
        #[arg(long, value_name = "NUMBER")]
        forget: Option<u64>,
    },
    /// What a processor logs.
    Logs(LogsArgs),
    /// Events that a processor could not take: list, show, replay or drop them.
    #[command(subcommand, name = "deadletters", alias = "dl")]
    DeadLetters(DeadLetters),
    /// Subscribe to a flow of any host.
    #[command(
        after_help = "Examples:\n  fnua subscribe time.flows.unix.ar\n  fnua subscribe time.flows.unix.ar --local emiliano.ar-time.flows.unix.ar\n  fnua subscribe quakes.flows.unix.ar --filter 'data.properties.mag >= 5'"
    )]
    Subscribe {
        /// The flow.
        flow: Name,
        /// The flow here that gets its events [default: the `prefix` of the host, or its first namespace and a hyphen, and
        /// the flow's name]
        #[arg(long, value_name = "NAME")]
        local: Option<Name>,
        /// Which events are wanted, in CEL: the others never leave the host that has them.
        #[arg(long, value_name = "CEL")]
        filter: Option<String>,
        /// How its events come: stream or kafka. Where it is not said, as the other host offers it.
        #[arg(long)]
        transport: Option<String>,
        /// Further settings.
        #[arg(value_name = "KEY=VALUE", value_parser = values::setting)]
        settings: Vec<(String, String)>,
    },
    /// End a subscription of one's own.
    Unsubscribe {
        /// Its name.
        subscription: Name,
    },
    /// End a subscription that others have here.
    #[command(subcommand)]
    Remove(Remove),
    /// Say yes to a request, see `fnua get requests`.
    #[command(
        after_help = "Examples:\n  fnua approve c7xk2q5mwfzt4b3a\n  fnua approve c7xk2q5mwfzt4b3a --filter \"type == 'tick'\""
    )]
    Approve {
        /// The request.
        request: Word,
        /// Which events the subscriber gets, in CEL; those that he asked for at most.
        #[arg(long, value_name = "CEL")]
        filter: Option<String>,
        /// What is done to them on the way: a processor type, and its configuration in JSON behind a blank.
        #[arg(long, value_name = "TYPE[ JSON]")]
        policy: Option<String>,
    },
    /// Say no to a request.
    #[command(after_help = "Example:\n  fnua deny c7xk2q5mwfzt4b3a \"not without a contract\"")]
    Deny {
        /// The request.
        request: Word,
        /// Why, for the one who asked.
        reason: Option<String>,
    },
    /// Prove a password to a host, and keep it.
    Login(LoginArgs),
    /// Forget a password that was kept.
    Logout(LogoutArgs),
    /// What the host can do.
    Capabilities,
    /// Allow somebody something.
    #[command(
        after_help = "Examples:\n  fnua grant read time.flows.unix.ar user:ana\n  fnua grant read,write flows.unix.ar group:ops\n  fnua grant administer '*' domain:emiliano.ar"
    )]
    Grant(GrantArgs),
    /// Allow somebody something no longer.
    #[command(after_help = "Example:\n  fnua revoke write flows.unix.ar group:ops")]
    Revoke(GrantArgs),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  fnua completions bash > ~/.local/share/bash-completion/completions/fnua"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const HELP: &str = "\
A flow is named like a host, `time.flows.unix.ar`, or as a URI, `flow://time.flows.unix.ar`.

Examples:
  fnua login fnaa.unix.ar:61000 --user ana
  fnua create flow time.flows.unix.ar
  fnua write time.flows.unix.ar events.jsonl
  fnua read time.flows.unix.ar --from latest --follow
  fnua replicate time.flows.unix.ar copy.flows.unix.ar
  fnua status

The host is the one of --agent, else the agent in the configuration whose namespace fits the flow
best, else the first agent; where that one does not know the flow, or there is none, the host is found in
DNS by the flow's name. The configuration is the file of --config, else $FNUA_CONFIG, else
./fnua.toml, else ~/.config/fnua/config.toml; what ends in .yaml or .yml is the draft's YAML:
  [[agents]]
  name = \"home\"
  address = \"fnaa.unix.ar:61000\"
  username = \"ana\"
  ca_file = \"ca.pem\"
  namespaces = [\"flows.unix.ar\"]

Addresses that are not loopback are spoken to under TLS only. docs/fnua.md has every key.

Exit codes: 0 done, 1 the host said no, 2 wrong arguments or input, 3 host not reachable or
connection broken, 4 `status` or `trace` found something wrong, or what `replay` compared differs, 5 asked,
and the flow's owner has to say his word: the host goes on by itself, 130 ended by Ctrl-C before it was
through. What goes on until Ctrl-C (--follow, `top`) ends with 0. Data goes to stdout, words to stderr.";

#[cfg(test)]
mod tests;
