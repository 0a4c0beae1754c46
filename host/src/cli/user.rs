//! `fnaad user`: users and their passwords.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples::USER_EXAMPLES;

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
