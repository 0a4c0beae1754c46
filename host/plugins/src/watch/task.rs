//! What watches one plugin directory: looks when there is news, when somebody asks and now and then, and hands on what has
//! settled. Nothing is read here, and what a file is worth the catalog says.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::under_way::{Handled, UnderWay};
use crate::inbox::{Inbox, Look};

/// How long a file must stay the same before it is read. A copy over a network writes more often.
const QUIET: Duration = Duration::from_millis(250);

/// Looks that a start or a request waits for, two seconds in all: a copy that is under way ends within
/// them or much later.
const MOST_LOOKS: u32 = 8;

/// Requests that wait at once: an operator's, and what he has reloaded meanwhile. Others wait until these are answered.
const MOST_ASKING: usize = 16;

/// Time between looks that nobody asked for: lost news is made good within this.
const RESCAN: Duration = Duration::from_secs(30);

/// The same where the operating system tells nothing.
const RESCAN_BLIND: Duration = Duration::from_secs(3);

/// A directory, and what is known and under way of it.
pub(super) struct Task {
    pub(super) dir: Box<Path>,
    /// Away while a blocking thread looks.
    pub(super) inbox: Option<Inbox>,
    /// Kept because dropping it ends the news.
    pub(super) system: Option<RecommendedWatcher>,
    pub(super) under_way: UnderWay,
    /// Whether no file was changing at the latest look.
    pub(super) quiet: bool,
    /// When the latest look was.
    pub(super) looked: Option<Instant>,
}

/// Somebody who waits until everything is handled.
struct Asking {
    done: oneshot::Sender<()>,
    /// Looks that he waits for, at most.
    looks: u32,
}

impl Task {
    pub(super) async fn run(
        mut self,
        news: Arc<Notify>,
        mut requested: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
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
    pub(super) async fn handle_until_quiet(&mut self) -> io::Result<()> {
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
    pub(super) async fn handle_those(&mut self, awaited: &[String]) {
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
