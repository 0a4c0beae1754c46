//! What this host remembers of an identity's topics, in its own data directory: topics that are gone, with
//! everything that they held, look like topics that never were.
//!
//! Knows one file. Whoever wants to begin anew without them removes it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::disk;
use super::format;
use crate::kafka::KafkaOptions;

/// Largest file that is read: it is some 200 bytes long.
const LARGEST: u64 = 64 * 1024;

/// The topics as they were last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    v: u64,
    lanes: u32,
    pub(super) positions: Option<Uuid>,
    pub(super) state: Option<Uuid>,
}

impl Memory {
    pub(super) fn new(lanes: u32, positions: Option<Uuid>, state: Option<Uuid>) -> Self {
        Self { v: format::VERSION.into(), lanes, positions, state }
    }

    /// Where it lies; `None` for a host that has no place for it.
    pub(super) fn path(options: &KafkaOptions) -> Option<PathBuf> {
        let dir = &options.cache_dir;
        let name = format!("lanes.{}.json", options.identity);
        (!dir.as_os_str().is_empty()).then(|| dir.join(name))
    }

    /// What is remembered, if anything is. One that cannot be understood is an error: not to know is not the
    /// same as never to have known.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let told = |why: &str| format!("{}: {why}", path.display());
        let Some(bytes) = disk::read(path, LARGEST).map_err(|error| told(&error.to_string()))?
        else {
            return Ok(None);
        };
        format::known_version(&bytes).map_err(|why| told(&why.to_string()))?;
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|_| told("it is damaged"))
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        disk::replace(path, |file| serde_json::to_writer(file, self).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_what_is_strange_is_refused_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let options = KafkaOptions::new("k", "127.0.0.1:1", "x", dir.path());
        let path = Memory::path(&options).unwrap();
        assert_eq!(Memory::read(&path), Ok(None));
        let memory = Memory::new(8, Some(Uuid::from_u128(1)), None);
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path), Ok(Some(memory)));
        for (text, words) in [("{", "says no version"), (r#"{"v":2}"#, "format 2")] {
            std::fs::write(&path, text).unwrap();
            let error = Memory::read(&path).unwrap_err();
            assert!(error.contains("lanes.x.json") && error.contains(words), "{error}");
        }
        assert_eq!(Memory::path(&KafkaOptions::new("k", "127.0.0.1:1", "x", "")), None);
    }
}
