//! Watches the plugin directory and offers what settles there to the catalog.
//!
//! Told of changes by the operating system; looks by itself now and then, because such news can get
//! lost, and when somebody asks. Decides nothing about plugins.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, Outcome};
use crate::inbox::{Inbox, Look, ReadError, Stamp, read};

/// A directory that is watched until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    requests: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Makes the directory where there is none, handles every file in it once, and watches it. A file
    /// that keeps changing or takes long to compile is waited for a while only, and handled later.
    ///
    /// # Errors
    /// When the directory cannot be made or read. Where the operating system does not tell of changes,
    /// that is logged and the directory is looked at now and then.
    pub async fn start(catalog: Catalog, dir: &Path) -> io::Result<Self> {
        let news = Arc::new(Notify::new());
        let mut task = Task {
            inbox: Some(Inbox::open(dir)?),
            system: subscribe(dir, &news),
            dir: dir.into(),
            catalog,
            quiet: false,
        };
        match tokio::time::timeout(START, task.handle_until_quiet()).await {
            Ok(handled) => handled?,
            Err(_) => {
                task.quiet = false;
                tracing::warn!(dir = %dir.display(), "plugin files take long, the start goes on without");
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

struct Task {
    dir: Box<Path>,
    /// Away while a blocking thread looks.
    inbox: Option<Inbox>,
    /// Kept because dropping it ends the news.
    system: Option<RecommendedWatcher>,
    catalog: Catalog,
    /// Whether no file was changing at the latest look.
    quiet: bool,
}

impl Task {
    async fn run(mut self, news: Arc<Notify>, mut requested: mpsc::Receiver<oneshot::Sender<()>>) {
        loop {
            let mut done = None;
            tokio::select! {
                () = news.notified() => {}
                () = tokio::time::sleep(self.interval()), if self.quiet => self.watch_again(),
                // The wait was in the latest look.
                () = std::future::ready(()), if !self.quiet => {}
                request = requested.recv() => match request {
                    Some(request) => done = Some(request),
                    None => return,
                },
            }
            if let (Some(_), Some(inbox)) = (&done, &mut self.inbox) {
                inbox.forget();
            }
            if let Err(error) = self.handle_until_quiet().await {
                tracing::warn!(dir = %self.dir.display(), %error, "cannot look at the plugin directory");
            }
            if let Some(done) = done {
                // Whoever asked may have gone.
                done.send(()).ok();
            }
        }
    }

    /// Handles what settles until nothing changes any more; a file that is written without end makes
    /// nobody wait for longer than a few looks.
    async fn handle_until_quiet(&mut self) -> io::Result<()> {
        // Also where looking fails: trying again at once would not help.
        self.quiet = true;
        for _ in 0..MOST_LOOKS {
            let Look { settled, unsettled, gone } = self.look().await?;
            for file in &gone {
                self.catalog.gone(file).await;
            }
            for (file, stamp) in settled {
                self.handle(file, stamp).await;
            }
            self.quiet = !unsettled;
            if self.quiet {
                break;
            }
            tokio::time::sleep(QUIET).await;
        }
        Ok(())
    }

    async fn look(&mut self) -> io::Result<Look> {
        let mut inbox = match self.inbox.take() {
            Some(inbox) => inbox,
            None => Inbox::open(&self.dir)?,
        };
        let looked = tokio::task::spawn_blocking(move || (inbox.look(), inbox)).await;
        let (look, inbox) = looked.map_err(io::Error::other)?;
        self.inbox = Some(inbox);
        look
    }

    async fn handle(&mut self, file: String, stamp: Stamp) {
        let Some(path) = self.inbox.as_ref().map(|inbox| inbox.path(&file)) else { return };
        let bytes = tokio::task::spawn_blocking(move || read(&path, stamp)).await;
        let bytes = bytes.unwrap_or_else(|error| Err(ReadError::Refused(error.to_string())));
        let again = match bytes {
            Ok(bytes) => self.catalog.offer(&file, bytes).await == Outcome::StoreFailed,
            Err(ReadError::Changed) => true,
            Err(ReadError::Refused(reason)) => {
                self.catalog.reject(&file, &reason).await;
                false
            }
        };
        if let (false, Some(inbox)) = (again, &mut self.inbox) {
            inbox.handled(file, stamp);
        }
    }

    /// Time between two looks at the whole directory.
    fn interval(&self) -> Duration {
        if self.system.is_some() { RESCAN } else { RESCAN_BLIND }
    }

    /// The directory may have been replaced by another of its name, which nobody watches.
    fn watch_again(&mut self) {
        if let Some(system) = &mut self.system
            && let Err(error) = system.watch(&self.dir, RecursiveMode::NonRecursive)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot watch the plugin directory");
        }
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

/// How long a file must stay the same before it is read. A copy over a network writes more often.
const QUIET: Duration = Duration::from_millis(250);

/// How long a start waits for plugin files: a first start compiles the included ones in seconds.
const START: Duration = Duration::from_secs(60);

/// Looks that a start or a request waits for, two seconds in all: a copy that is under way ends within
/// them or much later.
const MOST_LOOKS: u32 = 8;

/// Time between looks that nobody asked for: lost news is made good within this.
const RESCAN: Duration = Duration::from_secs(30);

/// The same where the operating system tells nothing.
const RESCAN_BLIND: Duration = Duration::from_secs(3);

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
