//! Watches the plugin directory and offers what settles there to the catalog.
//!
//! Told of changes by the operating system; looks by itself now and then, because such news can get
//! lost, and when somebody asks. Decides nothing about plugins.

mod task;
mod under_way;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::catalog::Catalog;
use crate::inbox::Inbox;
use task::Task;
use under_way::UnderWay;

/// A directory that is watched until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    requests: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Makes the directory where there is none, looks at every file in it, and watches it. Files that keep changing or take long
    /// are waited for a while only, those named in `awaited` for longer, and go on being handled.
    ///
    /// # Errors
    /// When the directory cannot be made or read. Where the operating system does not tell of changes,
    /// that is logged and the directory is looked at now and then.
    pub async fn start(catalog: Catalog, dir: &Path, awaited: &[String]) -> io::Result<Self> {
        let news = Arc::new(Notify::new());
        let mut task = Task {
            inbox: Some(Inbox::open(dir)?),
            system: subscribe(dir, &news),
            dir: dir.into(),
            under_way: UnderWay::new(catalog),
            quiet: true,
            looked: None,
        };
        let began = Instant::now();
        if let Ok(handled) = timeout(START, task.handle_until_quiet()).await {
            handled?;
        } else {
            task.quiet = false;
            let until = began + START_AWAITED;
            if timeout_at(until, task.handle_those(awaited)).await.is_err() {
                tracing::warn!(dir = %dir.display(), "plugins of the host take long, the start goes on without");
            }
            if task.under_way.has_tasks() {
                let files = task.under_way.files();
                tracing::info!(?files, "plugin files take long, the start goes on beside them");
            }
        }
        let (requests, requested) = mpsc::channel(1);
        let task = tokio::spawn(task.run(news, requested));
        Ok(Self { requests, task })
    }

    /// Looks at every file again, those that were rejected too, and waits until that is done, but not
    /// for files that keep changing.
    pub async fn rescan(&self) {
        self.rescans().now().await;
    }

    /// For whoever wants another look and does not own the watcher.
    #[must_use]
    pub fn rescans(&self) -> Rescans {
        Rescans(self.requests.clone())
    }
}

/// Asks a watcher for another look. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Rescans(mpsc::Sender<oneshot::Sender<()>>);

impl Rescans {
    /// As [`Watcher::rescan`].
    pub async fn now(&self) {
        let (done, finished) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            finished.await.ok();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn subscribe(dir: &Path, news: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let news = Arc::clone(news);
    let watcher = notify::recommended_watcher(move |told: notify::Result<Event>| {
        if is_news(&told) {
            news.notify_one();
        }
    });
    let watched = watcher.and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watched
        .inspect_err(|error| {
            tracing::warn!(dir = %dir.display(), %error, "cannot watch the plugin directory");
        })
        .ok()
}

/// Whether to look. What happened does not matter, errors included: the directory itself says how it is
/// now. But opening and reading are what looking does, and would make it look for ever.
fn is_news(told: &notify::Result<Event>) -> bool {
    match told {
        Ok(event) => match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => false,
            _ => true,
        },
        Err(_) => true,
    }
}

/// How long a start waits for plugin files: small ones are compiled by then, and what runs is in the store. The largest
/// interpreters take half a minute.
const START: Duration = Duration::from_secs(5);

/// How long it waits for those that everybody counts on: a first start compiles the included ones in seconds.
const START_AWAITED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::CreateKind;

    #[test]
    fn looking_is_no_news_and_writing_is() {
        let event = |kind| Ok(Event::new(kind));
        assert!(!is_news(&event(EventKind::Access(AccessKind::Open(AccessMode::Any)))));
        assert!(!is_news(&event(EventKind::Access(AccessKind::Close(AccessMode::Read)))));
        assert!(is_news(&event(EventKind::Access(AccessKind::Close(AccessMode::Write)))));
        assert!(is_news(&event(EventKind::Create(CreateKind::File))));
        assert!(is_news(&Err(notify::Error::generic("queue overflow"))));
    }
}
