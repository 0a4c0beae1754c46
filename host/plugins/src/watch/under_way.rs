//! Plugin files that are being handled: a few at once, and one large one at a time, so that a file that takes long to compile
//! holds up no other; one that is refused by its size alone, unread, waits for none. A file is never handled twice at once, or an older version could come after a newer one.
//!
//! Decides nothing about plugins, and does not look at the directory.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tokio::task::{Id, JoinSet};

use crate::catalog::{Catalog, Outcome};
use crate::inbox::{ReadError, Stamp, read};
use crate::limits::{AT_ONCE, LARGE, MAX_COMPONENT};

/// What is under way, and what waits.
pub(super) struct UnderWay {
    catalog: Catalog,
    /// As the latest look saw them, small ones first.
    waiting: Vec<(String, Stamp)>,
    tasks: JoinSet<bool>,
    busy: HashMap<Id, (String, Stamp)>,
    /// Of those under way: changed meanwhile.
    changed: BTreeSet<String>,
    /// Of those under way: gone meanwhile.
    gone: BTreeSet<String>,
}

/// A file that is through.
pub(super) struct Handled {
    pub(super) file: String,
    /// As it was when it was read.
    pub(super) stamp: Stamp,
    /// It may do later as it is.
    pub(super) again: bool,
    /// There is another one of the name by now.
    pub(super) changed: bool,
    /// It is gone by now, or was in between.
    pub(super) gone: bool,
}

impl UnderWay {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            waiting: Vec::new(),
            tasks: JoinSet::new(),
            busy: HashMap::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
        }
    }

    /// What has settled is to be handled; what waited since an earlier look is among it.
    pub(super) fn take(&mut self, settled: Vec<(String, Stamp)>) {
        self.waiting.clear();
        for (file, stamp) in settled {
            match self.busy.values().find(|(busy, _)| *busy == file) {
                // It was away for a moment only.
                Some((_, before)) if *before == stamp => drop(self.gone.remove(&file)),
                Some(_) => drop(self.changed.insert(file)),
                None => self.waiting.push((file, stamp)),
            }
        }
        self.waiting.sort_by_key(|(_, stamp)| stamp.size());
    }

    /// Files are gone. Of one that is under way [`Handled`] says so when it is through, or it would come back.
    pub(super) async fn gone(&mut self, files: Vec<String>) {
        for file in files {
            match self.is_busy(&file) {
                true => drop(self.gone.insert(file)),
                false => self.catalog.gone(&file).await,
            }
        }
    }

    /// Begins with as many as may be under way.
    pub(super) fn begin(&mut self, dir: &Path) {
        let too_large = |(_, stamp): &(String, Stamp)| stamp.size() > MAX_COMPONENT;
        while let Some(next) = self.waiting.iter().position(too_large) {
            self.begin_one(next, dir);
        }
        while self.tasks.len() < AT_ONCE {
            let large = self.busy.values().any(|(_, stamp)| stamp.size() >= LARGE);
            let may = |(_, stamp): &(String, Stamp)| !large || stamp.size() < LARGE;
            let Some(next) = self.waiting.iter().position(may) else { return };
            self.begin_one(next, dir);
        }
    }

    fn begin_one(&mut self, next: usize, dir: &Path) {
        let (file, stamp) = self.waiting.remove(next);
        let work = handle(self.catalog.clone(), dir.join(&file), file.clone(), stamp);
        let id = self.tasks.spawn(work).id();
        self.busy.insert(id, (file, stamp));
    }

    /// Whether something is under way; nothing waits where nothing is, once [`Self::begin`] was called.
    pub(super) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Whether one of these types is under way, or waits.
    pub(super) fn has_one_of(&self, types: &[String]) -> bool {
        let all = self.busy.values().chain(&self.waiting);
        let mut stems = all.filter_map(|(file, _)| file.strip_suffix(".wasm"));
        stems.any(|stem| types.iter().any(|name| name == stem))
    }

    /// Those under way, and those that wait.
    pub(super) fn files(&self) -> Vec<&str> {
        self.busy.values().chain(&self.waiting).map(|(file, _)| file.as_str()).collect()
    }

    /// The next that is through; none where nothing is under way. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Handled> {
        let (id, again) = match self.tasks.join_next_with_id().await? {
            Ok(through) => through,
            Err(error) => {
                tracing::error!(cause = %error, "a plugin file broke the host's task");
                (error.id(), false)
            }
        };
        let (file, stamp) = self.busy.remove(&id)?;
        let (changed, gone) = (self.changed.remove(&file), self.gone.remove(&file));
        Some(Handled { file, stamp, again, changed, gone })
    }

    fn is_busy(&self, file: &str) -> bool {
        self.busy.values().any(|(busy, _)| busy == file)
    }
}

/// Says whether the same file may do later.
async fn handle(catalog: Catalog, path: PathBuf, file: String, stamp: Stamp) -> bool {
    let bytes = tokio::task::spawn_blocking(move || read(&path, stamp)).await;
    let bytes = bytes.unwrap_or_else(|error| Err(ReadError::Refused(error.to_string())));
    match bytes {
        Ok(bytes) => catalog.offer(&file, bytes).await == Outcome::StoreFailed,
        Err(ReadError::Changed) => true,
        Err(ReadError::Refused(reason)) => {
            catalog.reject(&file, &reason).await;
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::NoTrial;
    use crate::inbox::{Inbox, Look};
    use crate::store::MemoryStore;
    use crate::tests::engine;

    /// A file that no look called settled yet, and one that is under way with it.
    async fn begun(dir: &Path) -> (UnderWay, Inbox, Vec<(String, Stamp)>) {
        std::fs::write(dir.join("no.wasm"), "no component").unwrap();
        let store = Arc::new(MemoryStore::default());
        let catalog = Catalog::open(engine().clone(), store, Arc::new(NoTrial)).await.unwrap();
        let (mut under_way, mut inbox) = (UnderWay::new(catalog), Inbox::open(dir).unwrap());
        inbox.look().unwrap();
        let settled = inbox.look().unwrap().settled;
        under_way.take(settled.clone());
        under_way.begin(dir);
        (under_way, inbox, settled)
    }

    /// As after a look at the directory while it was at another place.
    async fn away(dir: &Path, inbox: &mut Inbox, under_way: &mut UnderWay) {
        let elsewhere = dir.with_extension("elsewhere");
        std::fs::rename(dir, &elsewhere).unwrap();
        std::fs::create_dir(dir).unwrap();
        let Look { gone, .. } = inbox.look().unwrap();
        assert_eq!(gone, ["no.wasm"]);
        under_way.gone(gone).await;
        std::fs::remove_dir(dir).unwrap();
        std::fs::rename(elsewhere, dir).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_was_away_for_a_moment_is_not_gone_when_it_is_through() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("plugins");
        std::fs::create_dir(&dir).unwrap();
        let (mut under_way, mut inbox, settled) = begun(&dir).await;
        away(&dir, &mut inbox, &mut under_way).await;
        inbox.look().unwrap();
        under_way.take(inbox.look().unwrap().settled);
        let Handled { file, stamp, changed, gone, .. } = under_way.next().await.unwrap();
        assert_eq!(((file, stamp), changed, gone), (settled[0].clone(), false, false));
    }

    #[tokio::test]
    async fn a_file_that_stays_away_is_gone_when_it_is_through() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("plugins");
        std::fs::create_dir(&dir).unwrap();
        let (mut under_way, mut inbox, _) = begun(&dir).await;
        away(&dir, &mut inbox, &mut under_way).await;
        assert!(under_way.next().await.unwrap().gone);
    }
}
