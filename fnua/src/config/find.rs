//! Where the configuration lies: `--config`, `$FNUA_CONFIG`, `./fnua.toml`, then the user's own. What
//! ends in `.toml` may end in `.yaml` or `.yml`, too.

use std::path::PathBuf;

/// The places to look at, from the environment once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `--config`.
    pub(crate) flag: Option<PathBuf>,
    /// `$FNUA_CONFIG`.
    pub(crate) variable: Option<PathBuf>,
    /// Looked at in this order when neither is given, and skipped when absent.
    pub(crate) habitual: Vec<Found>,
}

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Whether nobody named it and it lies where anybody may have put it: in the current directory.
    pub(crate) by_chance: bool,
}

impl Found {
    /// A file that somebody named, or the user's own.
    pub(crate) fn meant(path: PathBuf) -> Self {
        Self { path, by_chance: false }
    }
}

impl Places {
    /// The places that this process's environment names.
    #[must_use]
    pub(crate) fn from_environment(flag: Option<PathBuf>) -> Self {
        let here = ENDINGS.map(|ending| PathBuf::from(format!("fnua.{ending}")));
        let mut habitual = here.map(|path| Found { path, by_chance: true }).to_vec();
        if let Some(directory) = own_directory() {
            let own = ENDINGS.map(|ending| directory.join(format!("config.{ending}")));
            habitual.extend(own.map(Found::meant));
        }
        Self { flag, variable: from_environment("FNUA_CONFIG"), habitual }
    }
}

/// The file to read: one that was named is taken as it is, of the others the first that exists.
#[must_use]
pub(crate) fn locate(places: &Places) -> Option<Found> {
    let named = places.flag.as_ref().or(places.variable.as_ref()).cloned().map(Found::meant);
    named.or_else(|| places.habitual.iter().find(|found| found.path.is_file()).cloned())
}

/// Where the user's own files lie: `$XDG_CONFIG_HOME/fnua`, or `~/.config/fnua`.
pub(crate) fn own_directory() -> Option<PathBuf> {
    let directory = from_environment("XDG_CONFIG_HOME")
        .or_else(|| from_environment("HOME").map(|home| home.join(".config")));
    directory.map(|directory| directory.join("fnua"))
}

fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

const ENDINGS: [&str; 3] = ["toml", "yaml", "yml"];
