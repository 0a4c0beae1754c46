//! The command line of `fnaad`. Says what may be typed; does nothing of it.

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

/// `fnaad user`.
#[derive(Args, Debug)]
#[command(after_help = USER_EXAMPLES)]
pub struct User {
    /// What to do with them.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is asked for, or one line of standard input
    Add {
        /// What the user is called
        name: String,
        /// A group that grants can name; can be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// For one who comes in with a certificate or a token only
        #[arg(long, conflicts_with_all = ["scram_only", "no_scram"])]
        no_password: bool,
        /// What is made of the password.
        #[command(flatten)]
        verifiers: Verifiers,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
    /// Give a user another password
    Passwd {
        /// What the user is called
        name: String,
        /// What is made of the password.
        #[command(flatten)]
        verifiers: Verifiers,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
    /// Keep a user out, whatever he proves; his connections end
    Disable {
        /// What the user is called
        name: String,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
    /// Let a disabled user in again
    Enable {
        /// What the user is called
        name: String,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
    /// Take a user out of the file; his connections end
    Remove {
        /// What the user is called
        name: String,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
    /// Show the users, what they can come in with, and their groups; never a verifier
    List {
        /// Text for people, or JSON, one object a line
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
        /// Where.
        #[command(flatten)]
        at: UsersAt,
    },
}

/// Where users stand.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct UsersAt {
    /// The configuration; its `users_file` is meant
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The users file itself
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What is made of a password.
#[derive(Args, Debug, Default)]
pub struct Verifiers {
    /// Only a verifier for SCRAM-SHA-256, against which PLAIN is checked, too
    #[arg(long, conflicts_with = "no_scram")]
    pub scram_only: bool,
    /// Only a verifier for PLAIN, which is the dearest to guess at for whoever steals the file
    #[arg(long)]
    pub no_scram: bool,
}

/// How a list looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
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

const EXAMPLES: &str = "\
Examples:
  fnaad demo                                  see it work, in a minute
  fnaad dev ./try --namespace flows.unix.ar   a participant of your own
  fnua --config ./try/fnua.toml get flows     ask it
  fnaad check --config fnaad.toml             before a start
  fnaad serve --config fnaad.toml             SIGTERM drains, SIGHUP reads the file again
  fnaad cert ./tls --name fnaa.example.org    certificates for trying TLS out
  fnaad user add ana --config fnaad.toml      somebody who may come in
  fnaad hash-password < password.txt          a verifier, to be written into a file by hand
  fnaad plugin new --lang python mask         a plugin of your own, in your language
  fnaad plugin check mask.wasm                will a host take it";

const DNS_EXAMPLES: &str = "\
Export needs no zone in the configuration: whoever may not let a host write to his zone puts there what it prints.
Check exits with 1 where anything is not as it should be, or cannot be asked.

Examples:
  fnaad dns export --config fnaad.toml
  fnaad dns export --config fnaad.toml --zone flows.example.org >> flows.example.org.zone
  fnaad dns check --config fnaad.toml";

const USER_EXAMPLES: &str = "\
A running host takes the file over by itself, within seconds.

Examples:
  fnaad user add ana --group ops --config fnaad.toml
  fnaad user passwd ana --config fnaad.toml < password.txt
  fnaad user disable ana --config fnaad.toml
  fnaad user list --format json --file users.toml";

const CERT_EXAMPLES: &str = "\
Files: ca.pem and ca.key (the authority), server.pem and server.key, user-NAME.pem, domain-NAME.pem and
their keys, in PEM. Keys are for their owner only (mode 0600). Nothing that is there is replaced without --force.
With --client domain:NAME a server.pem that bears all the names stays as it is, also with --force.
For the open network take a certificate that everybody's software trusts, as of an ACME authority.

Examples:
  fnaad cert ./tls --name fnaa.example.org --name 192.0.2.1
  fnaad cert ./tls --client user:ana                          one more, of the same authority
  fnaad cert ./tls --client domain:example.org --name fnaa.example.org    for its agent; server.pem stays
  fnaad cert ./tls --name fnaa.example.org --name 192.0.2.1 --days 90 --force
                                                              a new server.pem; a running host takes it over

In fnaad.toml:
  [tls]
  certificate_file = \"tls/server.pem\"
  key_file = \"tls/server.key\"
  client_ca_file = \"tls/ca.pem\"";

const DEV_EXAMPLES: &str = "\
It prints `ready fnap=ADDR:PORT dns=ADDR:PORT observe=ADDR:PORT` on standard output when it accepts, and logs to
standard error. The second address answers questions about the names of its flows, the third has /metrics, /livez
and /readyz. Two of them on one machine find each other with --resolve, each by the dns address of the other.

Examples:
  fnaad dev ./try
  fnaad dev ./try --listen 127.0.0.1:61000 --namespace flows.unix.ar --namespace flows.example
  fnaad dev ./one --namespace flows.unix.ar --dns 127.0.0.1:5301 --resolve emiliano.ar=127.0.0.1:5302
  fnaad dev ./two --namespace emiliano.ar --dns 127.0.0.1:5302 --resolve unix.ar=127.0.0.1:5301
  fnua --config ./two/fnua.toml subscribe time.flows.unix.ar
  fnaad dev ./onkafka --broker kafka=127.0.0.1:9092
  fnua --config ./try/fnua.toml create flow time.flows.unix.ar
  cp target/my-plugin.wasm ./try/plugins/     running processors take it over

In the directory: fnua.toml (for the user agent, with the password), users.toml, tls (its own
authority and certificate), plugins, data, listen, dns, broker, layout, lock.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_takes_a_directory_an_address_and_namespaces() {
        let args = [
            "fnaad",
            "dev",
            "d",
            "--listen",
            "[::1]:0",
            "--namespace",
            "A.test",
            "--namespace",
            "b.test",
        ];
        let Command::Dev(dev) = Cli::try_parse_from(args).unwrap().command else {
            panic!("not dev")
        };
        assert_eq!(dev.dir, PathBuf::from("d"));
        assert_eq!(dev.listen.unwrap().to_string(), "[::1]:0");
        let names: Vec<&str> = dev.namespaces.iter().map(Name::as_str).collect();
        assert_eq!(names, ["a.test", "b.test"]);
    }

    #[test]
    fn what_cannot_be_understood_is_a_usage_error() {
        let wrong: [&[&str]; 10] = [
            &["fnaad", "dev"],
            &["fnaad", "dev", "d", "--listen", "nowhere"],
            &["fnaad", "dev", "d", "--namespace", "a..b"],
            &["fnaad", "dev", "d", "--broker", "kafka"],
            &["fnaad", "serve"],
            &["fnaad", "cert", "d"],
            &["fnaad", "cert", "d", "--name", "a..b"],
            &["fnaad", "cert", "d", "--client", "ana"],
            &["fnaad", "cert", "d", "--name", "a.test", "--days", "0"],
            &["fnaad", "fly"],
        ];
        for args in wrong {
            assert_eq!(Cli::try_parse_from(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn help_shows_examples() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("fnaad dev ./try --namespace flows.unix.ar"), "{help}");
    }

    fn verifier(input: &str) -> anyhow::Result<String> {
        let mut output = Vec::new();
        hash_password(input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output)?)
    }

    #[test]
    fn a_password_is_one_line_whatever_ends_it() {
        for input in ["secret", "secret\n", "secret\r\n"] {
            let mut users = host_iam::UserList::default();
            users.insert("ana", verifier(input).unwrap().trim_end()).unwrap();
        }
        let long = "x".repeat(fnap::sasl::MAX_PASSWORD + 1);
        for input in ["", "\n", "a\nb\n", &long] {
            assert!(verifier(input).is_err());
        }
    }

    #[test]
    fn what_is_no_password_is_called_one() {
        let refused = |input: &[u8]| password_line(input).unwrap_err().to_string();
        assert_eq!(refused(b"\xff\xfe\n"), "the password is not utf-8");
        assert_eq!(refused(b"a\nb\n"), "a password is one line: these are more");
    }

    #[test]
    fn there_are_completions_for_every_shell() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let mut script = Vec::new();
            completions(shell, &mut script);
            assert!(String::from_utf8(script).unwrap().contains("hash-password"));
        }
    }
}
