//! The state of shards in a file, so that a run can go on where the one before ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use host_plugins::{ShardState, SharedState};
use serde::{Deserialize, Serialize};

/// States by shard.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<u32, SharedState>);

/// As it lies there: entries as key and value in base64, by shard.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File1 {
    version: u32,
    shards: BTreeMap<u32, Vec<(String, String)>>,
}

impl Kept {
    /// Reads a file; where there is none, nothing is kept yet.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            file => file.with_context(shown)?,
        };
        let mut text = String::new();
        let length = file.take(MAX_FILE + 1).read_to_string(&mut text).with_context(shown)?;
        if length as u64 > MAX_FILE {
            bail!("{}: larger than {MAX_FILE} octets", shown());
        }
        let File1 { version, shards } = serde_json::from_str(&text).with_context(shown)?;
        if version != VERSION {
            bail!("{}: a state of version {version}, not {VERSION}", shown());
        }
        let decoded = |text: &str| BASE64_STANDARD.decode(text).map(Bytes::from);
        let state = |entries: Vec<(String, String)>| -> Result<SharedState> {
            let entry = |(key, value): (String, String)| Ok((decoded(&key)?, decoded(&value)?));
            let entries = entries.into_iter().map(entry).collect::<Result<Vec<_>>>()?;
            Ok(SharedState::new(ShardState::with_base(entries)))
        };
        let shards = shards.into_iter().map(|(shard, entries)| Ok((shard, state(entries)?)));
        Ok(Self(shards.collect::<Result<_>>().with_context(shown)?))
    }

    /// The state of one shard; whoever has it changes it here.
    pub(super) fn of(&mut self, shard: u32) -> SharedState {
        self.0.entry(shard).or_default().clone()
    }

    /// Writes all of them, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = |bytes: &Bytes| BASE64_STANDARD.encode(bytes);
        let shards = self.0.iter().map(|(shard, state)| {
            let state = state.lock();
            (*shard, state.base().map(|(key, value)| (text(key), text(value))).collect())
        });
        let file = File1 { version: VERSION, shards: shards.collect() };
        crate::files::replace(path, serde_json::to_string(&file)?.as_bytes())
    }
}

const VERSION: u32 = 1;

/// Octets of the file: the states of all shards that a run can have, as base64.
const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut kept = Kept::read(&path).unwrap();
        let limits = host_plugins::state::StateLimits { total: 1 << 20, value: 1 << 20 };
        let state = kept.of(3);
        state.lock().begin();
        state.lock().set("k".into(), Bytes::from_static(b"\0\xff"), limits).unwrap();
        state.lock().committed();
        kept.write(&path).unwrap();
        let again = Kept::read(&path).unwrap().of(3);
        assert_eq!(again.lock().get(b"k").as_deref(), Some(&b"\0\xff"[..]));
    }

    #[test]
    fn another_version_and_nonsense_are_refused_with_the_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        for text in
            [r#"{"version":2,"shards":{}}"#, "{", r#"{"version":1,"shards":{"0":[["*","*"]]}}"#]
        {
            std::fs::write(&path, text).unwrap();
            let refused = format!("{:#}", Kept::read(&path).err().unwrap());
            assert!(refused.contains("state"), "{refused}");
        }
    }
}
