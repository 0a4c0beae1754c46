//! Arguments of `login` and `logout`.

use std::path::PathBuf;

use clap::Args;
use fnap::sasl::Mechanism;

use crate::config::TlsMode;

/// `fnua login`
#[derive(Debug, Args)]
#[command(after_help = LOGIN_HELP)]
pub(crate) struct LoginArgs {
    /// The host: a name from the configuration, or its address. Without it as for other commands.
    #[arg(value_name = "AGENT|ADDRESS")]
    pub(crate) target: Option<String>,
    /// The user's name.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// SCRAM-SHA-256 or PLAIN, and no other; without it the first of them that the host lists. Kept, too.
    #[arg(long, value_parser = mechanism)]
    pub(crate) mechanism: Option<Mechanism>,
    /// PEM file with the authority of the host's certificate; kept, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// starttls or implicit; kept, too.
    #[arg(long, value_name = "starttls|implicit", value_parser = tls)]
    pub(crate) tls: Option<TlsMode>,
}

/// `fnua logout`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fnua logout fnaa.unix.ar:61000\n  fnua logout home --user ana"
)]
pub(crate) struct LogoutArgs {
    /// The host: a name from the configuration, or its address. Without it as for other commands.
    #[arg(value_name = "AGENT|ADDRESS")]
    pub(crate) target: Option<String>,
    /// Only this user.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    Mechanism::from_name(text).ok_or_else(|| "expected SCRAM-SHA-256 or PLAIN".to_owned())
}

fn tls(text: &str) -> Result<TlsMode, String> {
    match text {
        "starttls" => Ok(TlsMode::StartTls),
        "implicit" => Ok(TlsMode::Implicit),
        _ => Err("expected starttls or implicit".to_owned()),
    }
}

const LOGIN_HELP: &str = "\
Proves the password to the host and keeps it in ~/.config/fnua/credentials.toml (0600), where commands
find it that have no other. On a terminal the password is asked for; else it is one line of stdin.

Examples:
  fnua login fnaa.unix.ar:61000 --user ana
  fnua login home --ca-file ca.pem
  pass show fnaa | fnua login home --user ana";
