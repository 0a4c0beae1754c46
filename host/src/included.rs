//! The plugins that travel with the host: put into the plugin directory where there is none yet.
//!
//! Once: what the operator changes or removes there stays so.

use std::path::Path;

use anyhow::{Context, Result};

use crate::files;

/// Makes a plugin directory with the included plugins in it; one that is there stays as it is.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn put(plugins: &Path) -> Result<()> {
    if plugins.exists() {
        return Ok(());
    }
    // All or none: a crash in the middle must not look like a directory that somebody emptied.
    let partial = plugins.with_added_extension("new");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).with_context(|| partial.display().to_string())?;
    }
    files::make_dir(&partial)?;
    for plugin in host_builtin::all() {
        files::replace(&partial.join(format!("{}.wasm", plugin.name)), plugin.component)?;
    }
    std::fs::rename(&partial, plugins).with_context(|| plugins.display().to_string())
}

/// Their types' names: everybody counts on them, so a first start waits until they are compiled.
pub(crate) fn names() -> Vec<String> {
    host_builtin::all().iter().map(|plugin| plugin.name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_missing_is_made_with_every_included_plugin() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("lib/plugins");
        // What a crash left.
        std::fs::create_dir_all(dir.path().join("lib/plugins.new/half")).unwrap();
        put(&plugins).unwrap();
        assert_eq!(std::fs::read_dir(&plugins).unwrap().count(), 4);
        assert_eq!(std::fs::read_dir(dir.path().join("lib")).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
