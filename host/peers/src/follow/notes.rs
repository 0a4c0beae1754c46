//! What followers have to say to their link: put together for each of them, so that nothing is lost however busy the link
//! is, and nothing piles up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fnap::stream::StreamError;
use tokio::sync::Notify;

/// What all followers of a link have said and it has not heard.
#[derive(Default)]
pub(super) struct Notes {
    said: Mutex<BTreeMap<u64, Note>>,
    bell: Notify,
}

/// What one has said.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// What the batches cost that he has taken.
    pub(super) used: u64,
    /// The position before which all is safe here.
    pub(super) safe: Option<u64>,
    /// What was wrong with what came.
    pub(super) wrong: Option<StreamError>,
    /// He wants no more.
    pub(super) left: bool,
}

impl Notes {
    fn said(&self) -> MutexGuard<'_, BTreeMap<u64, Note>> {
        // Nothing panics while it holds the lock.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, follower: u64, change: impl FnOnce(&mut Note)) {
        change(self.said().entry(follower).or_default());
        self.bell.notify_one();
    }

    /// Waits for something, and takes all of it. May be dropped and called again.
    pub(super) async fn heard(&self) -> BTreeMap<u64, Note> {
        loop {
            let said = std::mem::take(&mut *self.said());
            if !said.is_empty() {
                return said;
            }
            // Whoever speaks between the look and this rings in advance.
            self.bell.notified().await;
        }
    }
}
