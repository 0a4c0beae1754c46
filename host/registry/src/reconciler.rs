//! Carries out the journal: makes the steps of pending entries through a [`Performer`].
//!
//! Entries about one name go one after another, others side by side. A step that fails is tried
//! again, later and later; a refusal undoes the entry where there is a way back. Decides nothing
//! about what should be.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use host_failpoints::failpoint;
use tokio::task::{self, JoinHandle, JoinSet};
use tracing::{info, warn};
use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::journal::{Entry, Intent, JournalId, Refusal, Step};
use crate::performer::{PerformError, Performer};
use crate::registry::Registry;

/// Makes the world agree with the registry. Dropping it stops wherever it is; the next one goes on
/// there.
#[derive(Debug)]
pub struct Reconciler {
    registry: Registry,
    task: JoinHandle<()>,
}

impl Reconciler {
    /// Carries out what is pending, and from now on whatever becomes so.
    #[must_use]
    pub fn start(registry: Registry, performer: Arc<dyn Performer>) -> Self {
        let dispatcher = Dispatcher { registry: registry.clone(), performer };
        Self { registry, task: tokio::spawn(dispatcher.run()) }
    }

    /// Waits until an entry has ended, at most [`COMMAND_WAIT`].
    ///
    /// # Errors
    /// The refusal when it was undone; [`RegistryError::Pending`] when it goes on in the background.
    pub async fn wait(&self, id: JournalId) -> Result<(), RegistryError> {
        self.registry.wait(id, COMMAND_WAIT).await
    }
}

impl Drop for Reconciler {
    fn drop(&mut self) {
        // Its drivers are in a JoinSet of the task and end with it.
        self.task.abort();
    }
}

struct Dispatcher {
    registry: Registry,
    performer: Arc<dyn Performer>,
}

impl Dispatcher {
    async fn run(self) {
        let mut changes = self.registry.subscribe();
        let mut busy = HashMap::new();
        let mut drivers = JoinSet::new();
        loop {
            changes.borrow_and_update();
            for entry in self.next_entries(&busy) {
                let name = entry.subject().clone();
                busy.insert(drivers.spawn(self.driver(entry)).id(), name);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some(ended) = drivers.join_next_with_id() => match ended {
                    Ok((id, ())) => drop(busy.remove(&id)),
                    Err(error) => {
                        warn!(%error, "a journal entry's driver ended early");
                        // Its name stays busy for a while: what panicked will panic again.
                        if let Some(name) = busy.remove(&error.id()) {
                            let pause = drivers.spawn(tokio::time::sleep(LONGEST_PAUSE));
                            busy.insert(pause.id(), name);
                        }
                    }
                },
            }
        }
    }

    /// The oldest entry of each name that nobody is busy with.
    fn next_entries(&self, busy: &HashMap<task::Id, Name>) -> Vec<Entry> {
        let mut seen: BTreeSet<Name> = busy.values().cloned().collect();
        let mut entries = self.registry.pending();
        entries.retain(|entry| seen.insert(entry.subject().clone()));
        entries.truncate(MAX_DRIVERS.saturating_sub(busy.len()));
        entries
    }

    fn driver(&self, entry: Entry) -> impl Future<Output = ()> + Send + 'static {
        let driver =
            Driver { registry: self.registry.clone(), performer: Arc::clone(&self.performer) };
        async move { driver.drive(entry.id).await }
    }
}

struct Driver {
    registry: Registry,
    performer: Arc<dyn Performer>,
}

impl Driver {
    /// Carries one entry to its end, or until another one overtakes it.
    async fn drive(&self, id: JournalId) {
        let mut pause = FIRST_PAUSE;
        while let Some(entry) = self.registry.entry(id) {
            let Some(step) = entry.next_step() else { return };
            match self.advance(&entry, step).await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(words) => {
                    warn!(entry = %id, subject = %entry.subject(), ?step, error = %words, "step failed, trying again");
                    self.registry.note_trouble(id, words);
                    self.sleep(id, pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Makes a step and records it; gives words when it has to be made again.
    async fn advance(&self, entry: &Entry, step: Step) -> Result<(), String> {
        let words = |error: RegistryError| error.to_string();
        failpoint!("reconciler.before-step");
        let made = self.make(entry, step).await;
        failpoint!("reconciler.step-made");
        match made {
            Ok(topic) => self.registry.step_done(entry.id, step, topic).await.map_err(words),
            Err(PerformError::Retry(words)) => Err(words),
            Err(PerformError::Refused(refusal)) => {
                let (Refusal::Conflict(why) | Refusal::Invalid(why)) = &refusal;
                let why = why.clone();
                if self.registry.undo(entry.id, refusal).await.map_err(words)? {
                    info!(entry = %entry.id, subject = %entry.subject(), ?step, reason = %why, "refused and undone");
                    return Ok(());
                }
                Err(why)
            }
        }
    }

    /// Makes a step; gives the id of a topic that it made.
    async fn make(&self, entry: &Entry, step: Step) -> Result<Option<Uuid>, PerformError> {
        let performer = &self.performer;
        let made = match &entry.intent {
            Intent::CreateFlow { flow }
            | Intent::UpdateFlow { after: flow, .. }
            | Intent::PurgeFlow { flow }
            | Intent::DeleteFlow { flow, .. } => match step {
                Step::CreateTopic => return performer.create_topic(flow).await,
                Step::UpdateTopic => performer.update_topic(flow).await,
                Step::PurgeTopic => performer.purge_topic(flow).await,
                Step::DeleteTopic => performer.delete_topic(flow).await,
                Step::ReleaseTopic => performer.release_topic(flow).await,
                _ => Err(misplaced(step)),
            },
            Intent::MoveProcessor { processor, to, keep_state } => match step {
                Step::MoveProcessor => performer.move_processor(processor, *to, *keep_state).await,
                _ => Err(misplaced(step)),
            },
            Intent::CreateProcessor { processor }
            | Intent::UpdateProcessor { after: processor, .. }
            | Intent::DeleteProcessor { processor } => match step {
                Step::ApplyProcessor => performer.apply_processor(processor).await,
                Step::ForgetProcessor => performer.forget_processor(processor).await,
                _ => Err(misplaced(step)),
            },
            Intent::Settled { .. } => Err(misplaced(step)),
        };
        made.map(|()| None)
    }

    /// Waits, but not longer than the entry is pending.
    async fn sleep(&self, id: JournalId, pause: Duration) {
        let mut changes = self.registry.subscribe();
        let overtaken =
            async { while self.registry.entry(id).is_some() && changes.changed().await.is_ok() {} };
        // Either way the entry is looked at again.
        drop(tokio::time::timeout(pause, overtaken).await);
    }
}

fn misplaced(step: Step) -> PerformError {
    PerformError::invalid(format!("step {step:?} does not belong to this entry"))
}

/// How long a command waits for what it decided: longer than any sound broker takes for a topic,
/// shorter than a client waits for a reply.
pub const COMMAND_WAIT: Duration = Duration::from_secs(20);

/// Entries that are carried out at a time: enough that a broker that is away does not hold up the
/// others, few enough that a host with 10,000 pending entries starts gently.
const MAX_DRIVERS: usize = 64;

/// Pause after a first failure: a command that waits for the entry should not notice.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: how late we may notice that a broker is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
