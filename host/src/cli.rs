//! The command line of `fnaad`. Says what may be typed; does nothing of it.

mod examples;
mod user;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use fnap::name::Name;
use host_names::ZoneServers;
use zeroize::Zeroizing;

use crate::cert::{Client, HostName};
use crate::config::LogFormat;
use crate::dev::DevBroker;
use crate::plugin::Plugin;
use crate::plugins::Plugins;
use examples::{CERT_EXAMPLES, DEV_EXAMPLES, DNS_EXAMPLES, EXAMPLES};
pub use user::{ListFormat, User, UserCommand, UsersAt, Verifiers};

/// A participant of the event streaming open network: carries events between flows, through sandboxed
/// processors.
#[derive(Debug, Parser)]
#[command(name = "fnaad", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How a line of the log looks; overrules the configuration
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a participant for trying out: everything in one directory, events there or on a Kafka
    Dev(Dev),
    /// Run a participant as the operator configured it
    Serve(Serve),
    /// Say what is wrong with a configuration, without starting anything
    Check(Configured),
    /// Print what should stand in DNS, or compare it with what does
    Dns(Dns),
    /// Show the main job on real data, and count what arrived
    Demo(Demo),
    /// Make an authority for development, and certificates that it signs
    Cert(Cert),
    /// Read a password from standard input and print the verifier for a users file
    HashPassword,
    /// Add, change and list the users of a users file
    User(User),
    /// Make a plugin, and try it out
    Plugin(Plugin),
    /// See what plugins a host has, pin and go back to versions, take types away
    Plugins(Plugins),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// `fnaad dev`.
#[derive(Args, Debug)]
#[command(after_help = DEV_EXAMPLES)]
pub struct Dev {
    /// Directory of the participant; made if it does not exist, gone on with if it does
    pub dir: PathBuf,
    /// Address and port; port 0 takes a free one and keeps it for the next start [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the name server, which has the zones of the namespaces' domains; port 0 takes a free one and
    /// keeps it for the next start [default: the address of --listen and a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    pub dns: Option<SocketAddr>,
    /// Write the names to this name server, by updates (RFC 2136), rather than serve them
    #[arg(long, value_name = "ADDR:PORT", requires = "dns_key", conflicts_with = "dns")]
    pub dns_server: Option<SocketAddr>,
    /// File of the key that signs these updates (TSIG), as tsig-keygen makes it
    #[arg(long, value_name = "FILE", requires = "dns_server")]
    pub dns_key: Option<PathBuf>,
    /// Address and port of metrics and probes [default: 127.0.0.1 and a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    pub observe: Option<SocketAddr>,
    /// Namespace to make, if it does not exist; can be repeated [default: flows.test]
    #[arg(long = "namespace", value_name = "NS")]
    pub namespaces: Vec<Name>,
    /// Where new namespaces have their topics: kafka=HOST:PORT (one that is there, in clear text) or
    /// embedded; kept for the next start [default: embedded]
    #[arg(long, value_name = "BROKER")]
    pub broker: Option<DevBroker>,
    /// The domain of this participant, as hosts of others know it [default: the first namespace, without `flows.`]
    #[arg(long, value_name = "NAME")]
    pub domain: Option<Name>,
    /// File with the secret by which hosts of one user on this machine trust each other; made if it does not exist
    /// [default: fnaa/peers.secret in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub peers_secret: Option<PathBuf>,
    /// Whom to ask about names.
    #[command(flatten)]
    pub resolve: Resolve,
}

/// Name servers of zones.
#[derive(Args, Debug)]
pub struct Resolve {
    /// Ask the name server at this address about names of this zone; can be repeated
    #[arg(long = "resolve", value_name = "ZONE=IP:PORT")]
    pub zones: Vec<ZoneServers>,
}

/// `fnaad serve`.
#[derive(Args, Debug)]
pub struct Serve {
    /// What to run.
    #[command(flatten)]
    pub configured: Configured,
    /// Whom to ask about names.
    #[command(flatten)]
    pub resolve: Resolve,
}

/// `fnaad serve` and `fnaad check`.
#[derive(Args, Debug)]
pub struct Configured {
    /// The configuration, TOML
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `fnaad dns`.
#[derive(Args, Debug)]
#[command(after_help = DNS_EXAMPLES)]
pub struct Dns {
    /// What to do with it.
    #[command(subcommand)]
    pub command: DnsCommand,
}

/// What to do with names.
#[derive(Debug, Subcommand)]
pub enum DnsCommand {
    /// Print the records that should be there, as a zone file has them; the host may run or not
    Export {
        /// Only those of one zone, whether it is configured or not
        #[arg(long, value_name = "ZONE")]
        zone: Option<Name>,
        /// Lines of a zone file, or JSON, one object a line
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
        /// Of which host.
        #[command(flatten)]
        at: Configured,
    },
    /// Ask the name servers of the configured zones, and print what is missing, different or too much
    Check {
        /// Text for people, or JSON, one object a line
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
        /// Of which host.
        #[command(flatten)]
        at: Configured,
    },
}

/// `fnaad demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Leave the participants running afterwards
    #[arg(long)]
    pub keep: bool,
    /// Directory of the participants [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the events are: kafka=HOST:PORT (one that is there, in clear text) or embedded; said twice, of the one
    /// participant and of the other [default: embedded]
    #[arg(long = "broker", value_name = "BROKER")]
    pub brokers: Vec<DevBroker>,
    /// Write the names of unix.ar and emiliano.ar to this name server, by updates (RFC 2136), rather than serve them
    #[arg(long, value_name = "ADDR:PORT", requires = "dns_key")]
    pub dns_server: Option<SocketAddr>,
    /// File of the key that signs these updates (TSIG), as tsig-keygen makes it
    #[arg(long, value_name = "FILE", requires = "dns_server")]
    pub dns_key: Option<PathBuf>,
}

/// `fnaad cert`.
#[derive(Args, Debug)]
#[command(after_help = CERT_EXAMPLES)]
pub struct Cert {
    /// Directory of the files; the authority in it is made at the first time and kept
    pub dir: PathBuf,
    /// Name or address under which the host is reached; can be repeated
    #[arg(long = "name", value_name = "HOST", required_unless_present = "clients")]
    pub names: Vec<HostName>,
    /// Whom to give a certificate for AUTHENTICATE EXTERNAL: user:NAME, or domain:NAME with the names of
    /// its agent; can be repeated
    #[arg(long = "client", value_name = "WHO")]
    pub clients: Vec<Client>,
    /// How many days they can be used
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub days: u16,
    /// Replace certificates that are there; never the authority
    #[arg(long)]
    pub force: bool,
}

/// Reads one line with a password and writes its verifier.
///
/// # Errors
/// When there is no password, or it is too long.
pub fn hash_password(input: impl Read, mut output: impl Write) -> anyhow::Result<()> {
    writeln!(output, "{}", host_iam::hash_password(&password_line(input)?)?)?;
    Ok(())
}

/// Reads one line with a password.
pub(crate) fn password_line(input: impl Read) -> anyhow::Result<Zeroizing<String>> {
    let mut octets = Zeroizing::new(Vec::new());
    // One octet over the longest, and a line end: whatever is longer is refused as too long.
    input.take(fnap::sasl::MAX_PASSWORD as u64 + 3).read_to_end(&mut octets)?;
    let text = std::str::from_utf8(&octets);
    let text = text.map_err(|_| anyhow::anyhow!("the password is not utf-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.contains('\n') {
        anyhow::bail!("a password is one line: these are more");
    }
    Ok(Zeroizing::new(password.to_owned()))
}

/// Writes the completions for a shell.
pub fn completions(shell: Shell, output: &mut impl Write) {
    clap_complete::generate(shell, &mut Cli::command(), "fnaad", output);
}

#[cfg(test)]
mod tests;
