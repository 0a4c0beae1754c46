//! Where the configuration lies: `--config`, `$FNUA_CONFIG`, `./fnua.toml`, then the user's own.

use std::path::PathBuf;

/// The places to look at, from the environment once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `--config`.
    pub(crate) flag: Option<PathBuf>,
    /// `$FNUA_CONFIG`.
    pub(crate) variable: Option<PathBuf>,
    /// Looked at in this order when neither is given, and skipped when absent.
    pub(crate) habitual: Vec<PathBuf>,
}

impl Places {
    /// The places that this process's environment names.
    #[must_use]
    pub(crate) fn from_environment(flag: Option<PathBuf>) -> Self {
        let path = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let directory =
            path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config")));
        let mut habitual = vec![PathBuf::from("fnua.toml")];
        habitual.extend(directory.map(|directory| directory.join("fnua").join("config.toml")));
        Self { flag, variable: path("FNUA_CONFIG"), habitual }
    }
}

/// The file to read: one that was named is taken as it is, of the others the first that exists.
#[must_use]
pub(crate) fn locate(places: &Places) -> Option<PathBuf> {
    let named = places.flag.as_ref().or(places.variable.as_ref());
    named.or_else(|| places.habitual.iter().find(|path| path.is_file())).cloned()
}
