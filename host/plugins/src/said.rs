//! What instances of one version say in `init`, so that it is heard once and not of each of them: a batch that is taken apart
//! makes a dozen, and idle ones are made anew.
//!
//! Keeps no text. What is new in a later `init` is always heard.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::Level;

/// Lines that are remembered: one that says more in `init` is limited by its rate, as elsewhere.
const MOST: usize = 64;

/// What was said before, by instances of one version for one shard.
#[derive(Debug, Default)]
pub struct Said(Mutex<Before>);

#[derive(Debug, Default)]
struct Before {
    digest: Option<Arc<str>>,
    lines: BTreeSet<u64>,
}

impl Said {
    /// An instance of this version begins: what another one has said is no longer known.
    pub(crate) fn meet(&self, digest: &Arc<str>) {
        let mut before = self.before();
        if before.digest.as_ref() != Some(digest) {
            *before = Before { digest: Some(Arc::clone(digest)), lines: BTreeSet::new() };
        }
    }

    fn before(&self) -> MutexGuard<'_, Before> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `init` of one instance.
#[derive(Debug)]
pub(crate) struct Init {
    said: Arc<Said>,
    now: Vec<u64>,
}

impl Init {
    pub(crate) fn new(said: &Arc<Said>) -> Self {
        Self { said: Arc::clone(said), now: Vec::new() }
    }

    /// Whether an instance before has said this.
    pub(crate) fn is_known(
        &mut self,
        level: Level,
        message: &str,
        fields: &[(String, String)],
    ) -> bool {
        let mut hasher = DefaultHasher::new();
        (level as u8, message, fields).hash(&mut hasher);
        let line = hasher.finish();
        if self.said.before().lines.contains(&line) {
            return true;
        }
        if self.now.len() < MOST {
            self.now.push(line);
        }
        false
    }

    /// It is over, well or not.
    pub(crate) fn end(self) {
        let mut before = self.said.before();
        let room = MOST.saturating_sub(before.lines.len());
        before.lines.extend(self.now.iter().take(room));
    }
}
