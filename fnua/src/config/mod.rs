//! The configuration file: which hosts there are, and who one is there.
//!
//! Unknown keys are refused by name and line. A file that holds a password and that others can
//! read is refused, as ssh does with keys. No error repeats a value, which might be a password.

mod find;
mod parse;

use std::path::{Path, PathBuf};

pub(crate) use find::{Places, locate};

use crate::address::Address;
use crate::secret::Password;

/// Everything a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The hosts, in the order written.
    pub agents: Vec<Agent>,
}

/// One host, and who one is there.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What `--agent` calls it.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// User and password; without them fnua does not authenticate.
    pub credentials: Option<Credentials>,
    /// Namespaces it hosts, lower case.
    pub namespaces: Vec<String>,
    /// Whether the password may travel in clear to an address that is not loopback.
    pub allow_plaintext: bool,
}

/// Who one is at a host.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Password,
}

impl Agent {
    /// A host that no configuration names: there one is nobody.
    #[must_use]
    pub fn stranger(address: Address) -> Self {
        Self {
            name: address.to_string(),
            address,
            credentials: None,
            namespaces: Vec::new(),
            allow_plaintext: false,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, says something unknown or wrong, or shows a password to others.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable =
            |error: std::io::Error| ConfigError::Unreadable(path.to_owned(), error.to_string());
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let config =
            parse::parse(&text).map_err(|fault| ConfigError::Wrong(path.to_owned(), fault))?;
        if config.agents.iter().any(|agent| agent.credentials.is_some()) {
            refuse_if_others_can_read(path)?;
        }
        Ok(config)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    /// The file says something wrong.
    #[error("config {}:{}", .0.display(), .1)]
    Wrong(PathBuf, Fault),
    /// Others can read a password.
    #[error("config {} holds a password and others can read it (mode {:04o}): chmod 600 {}", .0.display(), .1, .0.display())]
    Exposed(PathBuf, u32),
}

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {reason}")]
pub struct Fault {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong; never the value itself.
    pub reason: String,
}

#[cfg(unix)]
fn refuse_if_others_can_read(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let unreadable =
        |error: std::io::Error| ConfigError::Unreadable(path.to_owned(), error.to_string());
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
    // Write access counts too: who can write the file can send the password elsewhere.
    if mode & 0o077 != 0 {
        return Err(ConfigError::Exposed(path.to_owned(), mode));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Path) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests;
