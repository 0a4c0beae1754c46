//! Watches the plugin directory and offers what settles there to the catalog.
//!
//! Told of changes by the operating system; looks by itself now and then, because such news can get
//! lost, and when somebody asks. Decides nothing about plugins.

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
use crate::inbox::{Inbox, Look};
use under_way::{Handled, UnderWay};

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

struct Task {
    dir: Box<Path>,
    /// Away while a blocking thread looks.
    inbox: Option<Inbox>,
    /// Kept because dropping it ends the news.
    system: Option<RecommendedWatcher>,
    under_way: UnderWay,
    /// Whether no file was changing at the latest look.
    quiet: bool,
    /// When the latest look was.
    looked: Option<Instant>,
}

/// Somebody who waits until everything is handled.
struct Asking {
    done: oneshot::Sender<()>,
    /// Looks that he waits for, at most.
    looks: u32,
}

impl Task {
    async fn run(mut self, news: Arc<Notify>, mut requested: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut asking: Vec<Asking> = Vec::new();
        loop {
            let mut looks = true;
            let (interval, quiet, busy) = (self.interval(), self.quiet, self.under_way.has_tasks());
            tokio::select! {
                handled = self.under_way.next(), if busy => {
                    looks = self.handled(handled).await;
                }
                // Where something is changing, the next look is due anyway.
                () = news.notified(), if quiet => {}
                () = tokio::time::sleep(interval), if quiet => self.watch_again(),
                // The wait is in the look.
                () = std::future::ready(()), if !quiet => {}
                request = requested.recv(), if asking.len() < MOST_ASKING => match request {
                    Some(done) => {
                        asking.push(Asking { done, looks: MOST_LOOKS });
                        self.inbox.iter_mut().for_each(Inbox::forget);
                    }
                    None => return,
                },
            }
            if looks {
                self.look_on().await;
                asking.iter_mut().for_each(|one| one.looks = one.looks.saturating_sub(1));
            }
            self.under_way.begin(&self.dir);
            let quiet = self.quiet;
            if !self.under_way.has_tasks() {
                for one in asking.extract_if(.., |one| quiet || one.looks == 0) {
                    // Whoever asked may have gone.
                    one.done.send(()).ok();
                }
            }
        }
    }

    /// Looks; where that fails, trying again at once would not help.
    async fn look_on(&mut self) {
        if let Err(error) = self.look_and_take().await {
            self.quiet = true;
            tracing::warn!(dir = %self.dir.display(), %error, "cannot look at the plugin directory");
        }
    }

    /// Handles what settles until nothing changes any more; a file that is written without end makes
    /// nobody wait for longer than a few looks.
    async fn handle_until_quiet(&mut self) -> io::Result<()> {
        for _ in 0..MOST_LOOKS {
            self.look_and_take().await?;
            self.under_way.begin(&self.dir);
            while self.under_way.has_tasks() {
                let handled = self.under_way.next().await;
                self.handled(handled).await;
                self.under_way.begin(&self.dir);
            }
            if self.quiet {
                break;
            }
        }
        Ok(())
    }

    /// Handles what is known of already, until none of these is among it.
    async fn handle_those(&mut self, awaited: &[String]) {
        while self.under_way.has_one_of(awaited) {
            let handled = self.under_way.next().await;
            self.handled(handled).await;
            self.under_way.begin(&self.dir);
        }
    }

    /// A file is through; says whether another look is due.
    async fn handled(&mut self, handled: Option<Handled>) -> bool {
        let Some(Handled { file, stamp, again, changed, gone }) = handled else { return false };
        if gone {
            self.under_way.gone(vec![file.clone()]).await;
        }
        if let (false, false, Some(inbox)) = (again, gone, &mut self.inbox) {
            inbox.handled(file, stamp);
        }
        // What the store refused is tried again with the next look, whenever that is.
        self.quiet &= !changed;
        changed
    }

    /// Looks, not sooner after a look that saw something change than that takes to settle; begins nothing.
    async fn look_and_take(&mut self) -> io::Result<()> {
        if let (false, Some(looked)) = (self.quiet, self.looked) {
            tokio::time::sleep_until(looked + QUIET).await;
        }
        self.quiet = true;
        let Look { settled, unsettled, gone } = self.look().await?;
        self.looked = Some(Instant::now());
        self.quiet = !unsettled;
        self.under_way.gone(gone).await;
        self.under_way.take(settled);
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

/// How long a start waits for plugin files: small ones are compiled by then, and what runs is in the store. The largest
/// interpreters take half a minute.
const START: Duration = Duration::from_secs(5);

/// How long it waits for those that everybody counts on: a first start compiles the included ones in seconds.
const START_AWAITED: Duration = Duration::from_secs(60);

/// Looks that a start or a request waits for, two seconds in all: a copy that is under way ends within
/// them or much later.
const MOST_LOOKS: u32 = 8;

/// Requests that wait at once: an operator's, and what he has reloaded meanwhile. Others wait until these are answered.
const MOST_ASKING: usize = 16;

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
