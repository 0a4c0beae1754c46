//! A source: one reader of a partition, and what it does when things go wrong.
//!
//! Its position is its own; what is fetched belongs to the feeds. So dropping what waits loses nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host_events::Batch;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::super::native::admin::Fault;
use super::Pool;
use super::consumers::Role;
use super::feed::Look;
use super::place::Place;
use super::window::Window;
use crate::broker::{BatchLimits, BrokerError, Source, TopicRef};
use crate::cut::Cut;

/// How long a reader waits for a cluster of which nobody answers, before it says so. Longer than a broker
/// takes to hand its partitions over, so that a restart of one of several is not told.
const AWAY: Duration = Duration::from_secs(10);

/// The pause before something that failed is tried again, where only time can mend it.
const AGAIN: Duration = Duration::from_millis(500);

/// Records and bytes of one turn: worth the request that begins it, soon over for those who wait.
const GULP: BatchLimits = BatchLimits { records: 2000, bytes: 2 << 20 };

pub(super) struct Reader {
    pool: Arc<Pool>,
    place: Arc<Place>,
    number: u64,
    topic: TopicRef,
    at: u64,
    /// What the last turn brought.
    gulp: Window,
    takes_turns: bool,
    /// What was told already, and stays so until something changes.
    told: bool,
    runtime: Handle,
}

impl Reader {
    pub(super) fn new(
        pool: Arc<Pool>,
        place: Arc<Place>,
        number: u64,
        topic: TopicRef,
        at: u64,
    ) -> Self {
        let (gulp, runtime) = (Window::default(), Handle::current());
        let (takes_turns, told) = (false, false);
        Self { pool, place, number, topic, at, gulp, takes_turns, told, runtime }
    }

    /// What lies at the position.
    async fn read(&mut self, limits: BatchLimits) -> Result<Cut, BrokerError> {
        loop {
            if let Some(cut) = self.gulp.read(self.at, limits) {
                self.gulp.forget(cut.0, 0, usize::MAX);
                return Ok(cut);
            }
            let place = Arc::clone(&self.place);
            let changed = place.main.changed().notified();
            if self.pool.is_closed() {
                return Err(closed());
            }
            match place.main.look(self.number, self.at, limits, place.takes_turns()) {
                Look::Read(cut) => {
                    self.stop_turns();
                    self.told = false;
                    return Ok(cut);
                }
                Look::Wait(woken) => self.wait(Role::Main, changed, woken).await?,
                Look::Free(begun) => self.begin(Role::Main, begun).await?,
                Look::Elsewhere => self.turn().await?,
                Look::Failed(fault, begun) => self.mend(Role::Main, &fault, begun).await?,
            }
        }
    }

    /// Takes a turn: fills the gulp with what lies at the position, or takes the main feed over.
    async fn turn(&mut self) -> Result<(), BrokerError> {
        let place = Arc::clone(&self.place);
        if !self.takes_turns {
            self.takes_turns = true;
            place.enter_turns();
        }
        let _turn = place.turn.lock().await;
        loop {
            let changed = place.turns.changed().notified();
            if self.pool.is_closed() {
                return Err(closed());
            }
            if place.main.reaches(self.at) {
                return Ok(());
            }
            if place.turns.is_at_end(self.at) {
                let begun = place.main.begun();
                place.main.expect_reader(self.number, self.at);
                return self.begin(Role::Main, begun).await;
            }
            match place.turns.look(self.number, self.at, GULP, false) {
                Look::Read((next, records)) => {
                    self.told = false;
                    self.gulp.reset(self.at);
                    let bytes = records.iter().map(|stored| stored.record.size()).sum();
                    self.gulp.push(records, bytes, next);
                    return Ok(());
                }
                Look::Wait(woken) => self.wait(Role::Turns, changed, woken).await?,
                Look::Free(begun) => self.begin(Role::Turns, begun).await?,
                // Whoever had the last turn left it elsewhere.
                Look::Elsewhere => self.begin(Role::Turns, place.turns.begun()).await?,
                Look::Failed(fault, begun) => self.mend(Role::Turns, &fault, begun).await?,
            }
        }
    }

    fn stop_turns(&mut self) {
        if std::mem::take(&mut self.takes_turns) {
            self.place.turns.forget_reader(self.number);
            self.place.leave_turns();
            self.tidy();
        }
    }

    async fn begin(&self, role: Role, begun: u64) -> Result<(), BrokerError> {
        let began = self.place.begin(&self.pool.consumers, role, self.at, begun).await;
        began.map_err(|fault| self.pool.cluster.fault(&self.topic.topic, &fault))
    }

    /// Waits until there may be something, or until it is clear that the cluster is away.
    async fn wait(
        &self,
        role: Role,
        changed: Notified<'_>,
        woken: Option<Arc<Notify>>,
    ) -> Result<(), BrokerError> {
        let woken = async {
            match &woken {
                Some(woken) => woken.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => Ok(()),
            () = woken => Ok(()),
            () = tokio::time::sleep(AWAY) => self.check_answers(role),
        }
    }

    fn check_answers(&self, role: Role) -> Result<(), BrokerError> {
        let Some(ears) = self.place.feed(role).ears().filter(|ears| ears.silence() > AWAY) else {
            return Ok(());
        };
        let trouble = ears.trouble().unwrap_or_default();
        let text = format!("no broker has answered for {} s; {trouble}", ears.silence().as_secs());
        let fault = Fault::new(Code::BrokerTransportFailure, text.trim_end_matches("; "));
        Err(self.pool.cluster.fault(&self.topic.topic, &fault))
    }

    /// Finds out what a fault means: an error, or that the feed has to begin again.
    async fn mend(&mut self, role: Role, fault: &Fault, begun: u64) -> Result<(), BrokerError> {
        match fault.code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                self.find_range(fault).await?;
            }
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId => {
                self.pool.find(&self.topic, self.place.partition).await?;
            }
            _ if !self.told => {
                self.told = true;
                return Err(self.failure(fault));
            }
            _ => self.told = false,
        }
        tokio::time::sleep(AGAIN).await;
        self.begin(role, begun).await
    }

    /// Whether the position is out of the log: of the same life, or of another one.
    async fn find_range(&self, fault: &Fault) -> Result<(), BrokerError> {
        let (partition, wanted) = (self.place.partition, self.at);
        let (_, found) = self.pool.find(&self.topic, partition).await?;
        let Some(latest) = cut_at(fault).filter(|latest| *latest < wanted) else {
            return self.pool.check(&found, partition, wanted).await;
        };
        // The log was cut below the position and has grown again: the position is in it, but what lies
        // behind it is not what follows on what was read.
        let (earliest, _) = self.pool.ends(&found).await?;
        Err(BrokerError::OutOfRange { partition, wanted, earliest, latest })
    }

    fn failure(&self, fault: &Fault) -> BrokerError {
        let cluster = &self.pool.cluster;
        match fault.code {
            Code::BadMessage | Code::BadCompression | Code::NotImplemented => {
                BrokerError::Damaged(cluster.words(&self.topic.topic, &fault.text))
            }
            _ => cluster.fault(&self.topic.topic, &fault.clone().lacking("Read")),
        }
    }

    fn tidy(&self) {
        self.runtime.spawn(Arc::clone(&self.pool).tidy(Arc::clone(&self.place)));
    }
}

#[async_trait]
impl Source for Reader {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        let (next, records) = self.read(limits).await?;
        self.at = next;
        let (flow, partition) = (self.topic.incarnation, self.place.partition);
        Ok(Batch { flow, partition, records, next })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.place.main.forget_reader(self.number);
        if self.takes_turns {
            self.place.turns.forget_reader(self.number);
            self.place.leave_turns();
        }
        self.place.leave();
        self.tidy();
    }
}

/// Where a log was found to be cut, in librdkafka's words.
fn cut_at(fault: &Fault) -> Option<u64> {
    let (_, after) = fault.text.split_once("broker end offset is ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn closed() -> BrokerError {
    BrokerError::Unavailable("the broker was closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_log_was_cut_is_understood() {
        let fault = |text: &str| Fault::new(Code::AutoOffsetReset, text);
        let words = "Partition log truncation detected at offset 7 (leader epoch 1): broker end offset \
                     is 5 (offset leader epoch 0). Reset to INVALID.";
        assert_eq!(cut_at(&fault(words)), Some(5));
        assert_eq!(cut_at(&fault("fetch failed")), None);
    }
}
