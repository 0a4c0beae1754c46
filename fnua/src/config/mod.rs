//! The configuration file: which hosts there are, and who one is there. In TOML, or in the draft's YAML where
//! the file's name ends so.
//!
//! Unknown keys are refused by name and line. A file that holds a password and that others can
//! read is refused, as ssh does with keys. No error repeats a value, which might be a password.

mod agent;
mod find;
mod keep;
mod meaning;
mod names;
mod node;
mod toml_text;
mod yaml_text;

use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub use agent::{Agent, Certificate, Login, Source, Tls, TlsMode};
pub(crate) use find::{Found, Places, locate, own_directory};
pub use keep::KeepError;
pub(crate) use keep::{Keep, Kept};
pub use names::NameService;

/// Largest file that is read; 2,000 agents fit.
const MAX_FILE: usize = 1 << 20;

/// Everything a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The hosts, in the order written.
    pub agents: Vec<Agent>,
    /// Whether the file was found in the current directory, where nobody had named it.
    pub by_chance: bool,
    /// How hosts are found that no agent here is.
    pub names: NameService,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, says something unknown or wrong, or shows a password to others.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let wrong = |fault| ConfigError::Wrong(path.to_owned(), fault);
        let directory = path.parent().unwrap_or(Path::new(""));
        let config = parse(&text, Syntax::of(path), directory).map_err(wrong)?;
        if config.agents.iter().any(Agent::holds_password) {
            refuse_if_others_can_read(path)?;
        }
        Ok(config)
    }

    /// Reads a file that was found. One that lies in the current directory by chance may say less: it is refused
    /// where somebody else may have written it, or wants a program run or TLS left out.
    pub(crate) fn found(found: &Found) -> Result<Self, ConfigError> {
        if !found.by_chance {
            return Self::load(&found.path);
        }
        refuse_if_others_can_write(&found.path)?;
        let config = Self::load(&found.path)?;
        let says = config.agents.iter().find_map(Agent::reaches_out);
        match says.or_else(|| config.names.leads_away()) {
            Some(key) => Err(ConfigError::Chance(found.path.clone(), key)),
            None => Ok(Self { by_chance: true, ..config }),
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug)]
enum Syntax {
    Toml,
    Yaml,
}

impl Syntax {
    fn of(path: &Path) -> Self {
        let extension = path.extension().unwrap_or_default();
        let yaml = ["yaml", "yml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml));
        if yaml { Self::Yaml } else { Self::Toml }
    }
}

fn parse(text: &str, syntax: Syntax, directory: &Path) -> Result<Config, Fault> {
    let root = match syntax {
        Syntax::Toml => toml_text::read(text)?,
        Syntax::Yaml => yaml_text::read(text)?,
    };
    meaning::config(root, directory)
}

fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let unreadable = |error: String| ConfigError::Unreadable(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_FILE as u64 + 1).read_to_string(&mut text);
    match read.map_err(|error| unreadable(error.to_string()))? {
        len if len > MAX_FILE => Err(unreadable(format!("over {MAX_FILE} bytes"))),
        _ => Ok(text),
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
    /// It was found in the current directory, and is not the user's own.
    #[error("config {} was found here and somebody else can have written it (mode {:04o}): --config {} if it is meant", .0.display(), .1, .0.display())]
    Foreign(PathBuf, u32),
    /// It was found in the current directory, and says what such a file may not.
    #[error("config {} was found here and has {}: --config {} if it is meant", .0.display(), .1, .0.display())]
    Chance(PathBuf, &'static str),
}

/// Whoever can write it says where a password goes.
#[cfg(unix)]
fn refuse_if_others_can_write(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt;
    let unreadable =
        |error: std::io::Error| ConfigError::Unreadable(path.to_owned(), error.to_string());
    let found = std::fs::metadata(path).map_err(unreadable)?;
    let own = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    if own && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(ConfigError::Foreign(path.to_owned(), found.mode() & 0o7777))
}

#[cfg(not(unix))]
fn refuse_if_others_can_write(_: &Path) -> Result<(), ConfigError> {
    Ok(())
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

/// As ssh does with keys.
#[cfg(unix)]
pub(crate) fn refuse_if_others_can_read(path: &Path) -> Result<(), ConfigError> {
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
pub(crate) fn refuse_if_others_can_read(_: &Path) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests;
