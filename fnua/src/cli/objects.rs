//! Arguments of the commands about flows, namespaces, processors and the rest of a host.

use clap::{Args, Subcommand};
use fnap::command::KeepState;
use fnap::{Name, Object, Rights, Start, Subject, Word};

use super::values::{self, ConfigOptions, Ends, ProcessorOptions};

#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    /// Create a flow.
    #[command(
        after_help = "Examples:\n  fnua create flow time.flows.unix.ar\n  fnua create flow time.flows.unix.ar partitions=4"
    )]
    Flow(Changed),
    /// Create a namespace.
    Namespace {
        /// Its name.
        name: Name,
        /// The broker that holds its flows.
        #[arg(long)]
        broker: Option<Word>,
    },
    /// Create a processor of any type.
    #[command(
        after_help = "Example:\n  fnua create processor alerts.flows.unix.ar --type signal \\\n    --from quakes.flows.unix.ar --to big.flows.unix.ar --config-file rules.json",
        mut_arg("as_name", |unwanted| unwanted.hide(true))
    )]
    Processor {
        /// Its name.
        name: Name,
        /// Type, see `fnua get types`.
        #[arg(long)]
        r#type: Word,
        #[command(flatten)]
        ends: Ends,
        #[command(flatten)]
        options: ProcessorOptions,
    },
}

/// A name and settings.
#[derive(Debug, Args)]
pub(crate) struct Changed {
    /// Its name.
    pub(crate) name: Name,
    /// Settings.
    #[arg(value_name = "KEY=VALUE", value_parser = values::setting)]
    pub(crate) settings: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Delete a flow.
    Flow {
        /// Its name.
        name: Name,
    },
    /// Delete a namespace.
    Namespace {
        /// Its name.
        name: Name,
    },
    /// Delete a processor; its flows stay.
    Processor {
        /// Its name.
        name: Name,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// Flows, all or those of a namespace.
    #[command(alias = "fl")]
    Flows {
        /// Only flows of this namespace.
        namespace: Option<Name>,
    },
    /// Namespaces.
    #[command(alias = "ns")]
    Namespaces,
    /// Processors that run.
    Processors,
    /// Types of processors that are installed.
    #[command(alias = "processor-types")]
    Types,
    /// Brokers.
    Brokers,
    /// Agents of other participants.
    Agents,
    /// Subscriptions of one's own.
    Subscriptions,
    /// Subscriptions that others have to a flow.
    #[command(
        after_help = "Examples:\n  fnua get subscribers time.flows.unix.ar\n  fnua get subscribers time.flows.unix.ar --format json"
    )]
    Subscribers {
        /// The flow.
        flow: Name,
    },
    /// With what a Kafka client reads the topic of a subscription of one's own; each time with another password.
    #[command(
        after_help = "Example:\n  fnua get credentials m4yq7d2nkxpw5hzt.time.flows.unix.ar --format json"
    )]
    Credentials {
        /// The subscription.
        subscription: Name,
    },
    /// Requests for subscriptions that are yours to answer.
    #[command(after_help = "Example:\n  fnua get requests --format json")]
    Requests,
    /// Who was granted what.
    #[command(
        after_help = "Examples:\n  fnua get grants\n  fnua get grants --on flows.unix.ar\n  fnua get grants --to user:ana --format json"
    )]
    Grants {
        /// Only what was granted on this name, or on `*`.
        #[arg(long, value_name = "NAME|*")]
        on: Option<Object>,
        /// Only what was granted to this one.
        #[arg(long, value_name = "SUBJECT")]
        to: Option<Subject>,
    },
}

/// Rights, on what, and whose.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// read, write, subscribe or administer, or several with commas between them.
    #[arg(value_name = "RIGHT[,RIGHT…]")]
    pub(crate) rights: Rights,
    /// A name, which means all names below it too, or `*` for the whole host.
    #[arg(value_name = "NAME|*")]
    pub(crate) object: Object,
    /// user:NAME, group:NAME, domain:NAME, anonymous or everybody.
    pub(crate) subject: Subject,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// A flow: its broker, topic and server.
    #[command(after_help = "Example:\n  fnua describe flow time.flows.unix.ar")]
    Flow {
        /// Its name.
        name: Name,
    },
    /// A namespace.
    Namespace {
        /// Its name.
        name: Name,
    },
    /// A processor that runs, or a type of processor.
    Processor {
        /// Its name, or a type.
        #[arg(value_parser = values::processor_or_type)]
        name: Word,
    },
    /// A broker.
    Broker {
        /// Its name.
        name: Word,
    },
    /// The agent of a namespace.
    Agent {
        /// The namespace.
        namespace: Name,
    },
    /// The name server of a namespace.
    Nameserver {
        /// The namespace.
        namespace: Name,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    /// Change settings of a flow.
    Flow(Changed),
    /// Change settings of a namespace.
    Namespace(Changed),
    /// Change a processor: its settings, its configuration, or where it stands.
    #[command(
        after_help = "Examples:\n  fnua update processor p.flows.unix.ar --config-json '{\"rate\": 2}'\n  fnua update processor p.flows.unix.ar --position earliest --state reset\n  fnua update processor p.flows.unix.ar --shadow 1.3.0\n  fnua update processor p.flows.unix.ar --promote 1.3.0"
    )]
    Processor(UpdateProcessor),
}

#[derive(Debug, Args)]
pub(crate) struct UpdateProcessor {
    /// Its name.
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Where to go on, once it is paused or stopped: earliest, latest, PARTITION:OFFSET (that partition only) or an RFC 3339 time.
    #[arg(long, value_parser = values::start, conflicts_with_all = ["config_json", "config_file"])]
    pub(crate) position: Option<Start>,
    /// What becomes of its state when it is moved.
    #[arg(long, requires = "position", value_parser = keep_state, value_name = "keep|reset")]
    pub(crate) state: Option<KeepState>,
    /// Let another version of its plugin run beside the one that counts, with the same events: a version or the
    /// beginning of a digest. `fnua describe processor` shows how they compare.
    #[arg(long, value_name = "VERSION", group = "shadowing", conflicts_with_all = ["config_json", "config_file", "position"])]
    pub(crate) shadow: Option<Word>,
    /// Let the version that runs beside it take over; with a version or the beginning of a digest only where it is that.
    #[arg(long, value_name = "VERSION", num_args = 0..=1, group = "shadowing", conflicts_with_all = ["config_json", "config_file", "position"])]
    pub(crate) promote: Option<Option<Word>>,
    /// End the version that runs beside it.
    #[arg(long, group = "shadowing", conflicts_with_all = ["config_json", "config_file", "position"])]
    pub(crate) discard: bool,
    /// Settings.
    #[arg(value_name = "KEY=VALUE", value_parser = values::setting, conflicts_with_all = ["config_json", "config_file", "position", "shadowing"])]
    pub(crate) settings: Vec<(String, String)>,
}

fn keep_state(text: &str) -> Result<KeepState, String> {
    match text {
        "keep" => Ok(KeepState::Keep),
        "reset" => Ok(KeepState::Reset),
        _ => Err("expected keep or reset".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Purge {
    /// Destroy all events of a flow.
    #[command(
        after_help = "Example:\n  fnua purge flow time.flows.unix.ar --confirm time.flows.unix.ar"
    )]
    Flow {
        /// Its name.
        name: Name,
        /// The name once more, as a promise that it is meant.
        #[arg(long, value_name = "NAME")]
        confirm: Name,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Remove {
    /// A subscription that others have to a flow of one's own.
    #[command(
        after_help = "Example:\n  fnua remove subscriber m4yq7d2nkxpw5hzt.time.flows.unix.ar"
    )]
    Subscriber {
        /// The subscription.
        subscription: Name,
    },
}
