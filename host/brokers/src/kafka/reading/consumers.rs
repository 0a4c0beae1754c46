//! The consumers of a cluster: two at the most, made when they are needed, closed when they are idle.
//!
//! A consumer costs a thread of its own and one for each broker it has heard of, and it has one position
//! for each partition. The first consumer reads along with everybody who is near the end of a partition,
//! or alone; the second serves by turns those who are elsewhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::super::cluster::Cluster;
use super::super::guest;
use super::super::native::admin::Fault;
use super::super::native::consumer::Consumer;
use super::ears::Ears;
use super::settings;

/// How long a consumer without partitions is kept: processors that restart, and looks at the oldest
/// event of a flow, come back within it.
const IDLE: Duration = Duration::from_secs(60);

/// Calls into librdkafka that wait, at once: they are short, and each keeps a thread busy.
const WAITING: usize = 4;

/// A consumer, and what it tells.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) consumer: Arc<Consumer>,
    pub(super) ears: Arc<Ears>,
}

/// What a consumer is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads along.
    Main,
    /// Serves by turns.
    Turns,
}

pub(super) struct Consumers {
    cluster: Arc<Cluster>,
    main: Mutex<Option<Listening>>,
    turns: Mutex<Option<Listening>>,
    waiting: Arc<Semaphore>,
}

impl Consumers {
    pub(super) fn new(cluster: Arc<Cluster>) -> Arc<Self> {
        let waiting = Arc::new(Semaphore::new(WAITING));
        Arc::new(Self { cluster, main: Mutex::default(), turns: Mutex::default(), waiting })
    }

    /// The consumer of a role, made if need be. Inside of a runtime.
    pub(super) fn consumer(self: &Arc<Self>, role: Role) -> Result<Listening, Fault> {
        let mut slot = self.slot(role);
        if let Some(listening) = &*slot {
            return Ok(listening.clone());
        }
        let cluster = &self.cluster;
        let config = settings::consumer(cluster.client_config());
        let config = if cluster.is_guest() { guest::bounded(config) } else { config };
        let ears = Arc::new(Ears::new(cluster.voice().clone()));
        let heard: Arc<Ears> = Arc::clone(&ears);
        let consumer = Consumer::new(&config, heard, cluster.is_guest());
        let consumer = consumer.map_err(|error| fault(&error))?;
        let listening = Listening { consumer, ears };
        *slot = Some(listening.clone());
        let watched = Arc::downgrade(self);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                loop {
                    tokio::time::sleep(IDLE).await;
                    let Some(consumers) = watched.upgrade() else { return };
                    if consumers.close_idle(role) {
                        return;
                    }
                }
            });
        }
        Ok(listening)
    }

    /// Whether the consumer of a role was idle, and is closed.
    fn close_idle(&self, role: Role) -> bool {
        let mut slot = self.slot(role);
        let idle = |listening: &Listening| Arc::strong_count(&listening.consumer) == 1;
        if slot.as_ref().is_some_and(idle) {
            *slot = None;
        }
        slot.is_none()
    }

    /// Does something that waits, away from tasks. It is done to its end even where nobody waits for it.
    pub(super) async fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let gone = || Fault::new(Code::Fail, "the runtime is shutting down");
        let permit = Arc::clone(&self.waiting).acquire_owned().await.map_err(|_| gone())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.unwrap_or_else(|_| Err(gone()))
    }

    fn slot(&self, role: Role) -> MutexGuard<'_, Option<Listening>> {
        let slot = match role {
            Role::Main => &self.main,
            Role::Turns => &self.turns,
        };
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fault(error: &KafkaError) -> Fault {
    Fault::new(error.rdkafka_error_code().unwrap_or(Code::InvalidArgument), error.to_string())
}
