//! Reading what is true of a lane, after its producer has settled what was left behind.
//!
//! Reads committed records until the end that the log had then. A transaction of somebody else in the
//! partition would hide newer records: then it waits, and says so at last. Nothing is passed over: a lane that
//! does not begin as it was begun, and a record that belongs to another lane, are refused.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tokio::task::{coop, spawn_blocking};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::cache::Start;
use super::format::{self, Key, Malformed};
use super::mark::{Mark, POSITIONS_KEY, POSITIONS_WORD, STATE_KEY, STATE_WORD};
use super::ours::{Ours, lost};
use super::truth::Truth;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::follow::{Found, high_watermark, take};
use crate::kafka::native::handle::{Handle, Queue};
use crate::kafka::voice::Voice;

/// How long reading may stand still: no record, and no end further on, whatever else happens meanwhile. Longer
/// than the longest transaction that our producers leave open, and than a broker needs to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a topic that was there a moment ago may be unknown to a node: longer than metadata needs to spread.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Octets of one answer: few of a lane's are on their way, and all of a large state is.
const FETCHED: usize = 8 << 20;

/// Before a topic that a node does not know is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// Offsets up to which a lane is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ends {
    pub(super) positions: u64,
    pub(super) state: u64,
}

/// What was read of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) ends: Ends,
    pub(super) records: u64,
}

/// Reads a lane.
pub(super) async fn read(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
    truth: &mut Truth,
) -> Result<Read, BrokerError> {
    let mut check = Check::of_log(ours, lane);
    read_lane(cluster, &mut check, truth, None).await
}

/// Reads what came to a lane after what is known of it; nothing where it is not the lane that is known.
pub(super) async fn read_rest(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
    truth: &mut Truth,
    start: Start,
) -> Result<Option<Read>, BrokerError> {
    let mut check = Check::of_rest(ours, lane, start.word);
    let read = read_lane(cluster, &mut check, truth, Some(start.ends)).await;
    match read {
        Ok(_) if check.words < 2 => Ok(None),
        read => read.map(Some),
    }
}

async fn read_lane(
    cluster: &Cluster,
    check: &mut Check<'_>,
    truth: &mut Truth,
    from: Option<Ends>,
) -> Result<Read, BrokerError> {
    let reader = Reader::open(cluster, check.lane).await?;
    let read = reader.read_lane(cluster, check, truth, from).await;
    reader.close();
    read
}

/// What lane 0 begins with in a topic, if it begins at all.
pub(super) async fn mark(
    cluster: &Cluster,
    topic: &TopicRef,
    wanted: &[u8],
) -> Result<Option<Mark>, BrokerError> {
    let (reader, mut mark) = (Reader::open(cluster, 0).await?, None);
    let read = reader.read(cluster, topic, None, |key, value| {
        if *key != *wanted {
            return Ok(ControlFlow::Continue(()));
        }
        mark = value.as_deref().map(Mark::read).transpose()?;
        Ok(ControlFlow::Break(()))
    });
    let read = read.await;
    reader.close();
    read.map(|_| mark)
}

/// A consumer made for this, and given back after it.
pub(super) struct Reader {
    // Goes first: a queue has to be given back before its client.
    queue: Queue,
    handle: Handle,
    consumer: Arc<BaseConsumer<Voice>>,
    partition: i32,
}

impl Reader {
    pub(super) async fn open(cluster: &Cluster, lane: u32) -> Result<Self, BrokerError> {
        let (config, voice) = (config(cluster), cluster.voice().clone());
        let made = spawn_blocking(move || -> Result<_, KafkaError> {
            let none = || KafkaError::ClientCreation("no client".into());
            let consumer = Arc::new(BaseConsumer::from_config_and_context(&config, voice)?);
            let handle =
                Handle::of(Arc::clone(&consumer), |one| Some(one.client())).ok_or_else(none)?;
            let queue = Queue::consumer(&handle).ok_or_else(none)?;
            Ok((consumer, handle, queue))
        });
        let made = made.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        let (consumer, handle, queue) = made.map_err(|error| cluster.error("", &error))?;
        let mut reader = Self { queue, handle, consumer, partition: 0 };
        reader.turn_to(lane);
        Ok(reader)
    }

    /// Reads another lane from now on.
    pub(super) fn turn_to(&mut self, lane: u32) {
        self.partition = i32::try_from(lane).unwrap_or_default();
    }

    /// Closing it waits for its threads.
    pub(super) fn close(self) {
        spawn_blocking(move || drop(self));
    }

    async fn read_lane(
        &self,
        cluster: &Cluster,
        check: &mut Check<'_>,
        truth: &mut Truth,
        from: Option<Ends>,
    ) -> Result<Read, BrokerError> {
        let (ours, mut records) = (check.ours, 0);
        let begin = from.map(|from| from.positions);
        let positions = self.read(cluster, &ours.positions, begin, |key, value| {
            records += 1;
            check.position(truth, key, value).map(ControlFlow::Continue)
        });
        let positions = positions.await?;
        check.done(cluster, &ours.positions)?;
        let begin = from.map(|from| from.state);
        let state = self.read(cluster, &ours.state, begin, |key, value| {
            records += 1;
            check.state(truth, key, value).map(ControlFlow::Continue)
        });
        let state = state.await?;
        check.done(cluster, &ours.state)?;
        Ok(Read { ends: Ends { positions, state }, records })
    }

    /// Reads one topic's partition to its end, or until it is told to stop. The offset that comes next.
    pub(super) async fn read(
        &self,
        cluster: &Cluster,
        topic: &TopicRef,
        from: Option<u64>,
        mut take_in: impl FnMut(&Bytes, Option<Bytes>) -> Result<ControlFlow<()>, Malformed>,
    ) -> Result<u64, BrokerError> {
        let name = &*topic.topic;
        let (mut progress, mut end) = (Progress::new(from), None);
        self.assign(cluster, name, &progress)?;
        loop {
            let Some(found) = self.next(&progress).await else {
                return Err(stuck(cluster, name));
            };
            match found {
                Found::Record { offset, key, value } => {
                    if !progress.to(offset + 1) {
                        continue;
                    }
                    let taken = take_in(&key.unwrap_or_default(), value).map_err(|cause| {
                        let words =
                            format!("partition {}: offset {offset}: {cause}", self.partition);
                        BrokerError::Damaged(cluster.words(name, &words))
                    })?;
                    if taken.is_break() {
                        return Ok(offset + 1);
                    }
                }
                Found::End { offset } => {
                    progress.to(offset);
                    // The first answer came after the producer had settled what was before.
                    end = end.or_else(|| high_watermark(&self.handle, name, self.partition));
                    if end.is_some_and(|end| offset >= end) {
                        return Ok(offset);
                    }
                }
                Found::Fault(fault) if is_passing(fault.code) && !progress.stands(PATIENCE) => {}
                Found::Fault(fault) if is_unknown(fault.code) && !progress.stands(UNKNOWN_FOR) => {
                    sleep(AGAIN).await;
                    self.assign(cluster, name, &progress)?;
                }
                Found::Fault(fault) => return Err(cluster.fault(name, &fault)),
                Found::Other => {}
            }
        }
    }

    fn assign(&self, cluster: &Cluster, topic: &str, at: &Progress) -> Result<(), BrokerError> {
        let mut assigned = TopicPartitionList::new();
        let from = match at.next {
            Some(next) => Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX)),
            None => Offset::Beginning,
        };
        assigned
            .add_partition_offset(topic, self.partition, from)
            .and_then(|()| self.consumer.assign(&assigned))
            .map_err(|error| cluster.error(topic, &error))
    }

    /// What comes next; nothing where reading has stood still for too long.
    async fn next(&self, progress: &Progress) -> Option<Found> {
        let next = async {
            loop {
                if let Some(found) = take(&self.queue) {
                    coop::consume_budget().await;
                    return found;
                }
                self.queue.woken().notified().await;
            }
        };
        timeout_at(progress.since + PATIENCE, next).await.ok()
    }
}

/// How far reading is. Faults and ends that come again move nothing.
struct Progress {
    next: Option<u64>,
    since: Instant,
}

impl Progress {
    fn new(next: Option<u64>) -> Self {
        Self { next, since: Instant::now() }
    }

    /// Whether this is further than before.
    fn to(&mut self, next: u64) -> bool {
        let is_further = self.next.is_none_or(|now| next > now);
        if is_further {
            *self = Self { next: Some(next), since: Instant::now() };
        }
        is_further
    }

    fn stands(&self, time: Duration) -> bool {
        self.since.elapsed() > time
    }
}

fn stuck(cluster: &Cluster, topic: &str) -> BrokerError {
    let trouble = cluster.voice().trouble().unwrap_or_else(|| {
        let text = "its end does not come: a transaction of somebody else is open in it";
        Fault::new(Code::OperationTimedOut, text)
    });
    cluster.fault(topic, &trouble)
}

/// What every record of a lane has to be.
pub(super) struct Check<'a> {
    ours: &'a Ours,
    lane: u32,
    /// Whether what a lane begins with has to come, and whether it came.
    needs_mark: bool,
    has_mark: bool,
    /// A word that has to lie in both partitions, and how often it was found.
    word: Option<Uuid>,
    words: u32,
}

impl<'a> Check<'a> {
    fn of_log(ours: &'a Ours, lane: u32) -> Self {
        Self { ours, lane, needs_mark: true, has_mark: false, word: None, words: 0 }
    }

    /// Of what lies behind known offsets.
    fn of_rest(ours: &'a Ours, lane: u32, word: Uuid) -> Self {
        Self { word: Some(word), ..Self::of_cache(ours, lane) }
    }

    /// Of what is known without the log.
    pub(super) fn of_cache(ours: &'a Ours, lane: u32) -> Self {
        Self { needs_mark: false, ..Self::of_log(ours, lane) }
    }

    /// Takes in a record of the positions topic.
    pub(super) fn position(
        &mut self,
        truth: &mut Truth,
        key: &Bytes,
        value: Option<Bytes>,
    ) -> Result<(), Malformed> {
        if *key == *POSITIONS_KEY {
            return self.mark(value);
        }
        if *key == *POSITIONS_WORD {
            return self.word(value);
        }
        let shard = format::read_shard_key(key)?;
        self.is_here(self.ours.lane_of(shard), value.is_some())?;
        truth.position(shard, value.as_deref())
    }

    /// Takes in a record of the state topic.
    pub(super) fn state(
        &mut self,
        truth: &mut Truth,
        key: &Bytes,
        value: Option<Bytes>,
    ) -> Result<(), Malformed> {
        if *key == *STATE_KEY {
            return self.mark(value);
        }
        if *key == *STATE_WORD {
            return self.word(value);
        }
        let key = format::read_key(key)?;
        // A token lies in the lane of whoever gave it, and does not say who that was.
        if let Key::State(shard, _) = &key {
            self.is_here(self.ours.lane_of(*shard), value.is_some())?;
        }
        truth.state(key, value)
    }

    fn mark(&mut self, value: Option<Bytes>) -> Result<(), Malformed> {
        self.ours.mark(self.lane).agree(value.as_deref().unwrap_or_default())?;
        self.has_mark = true;
        Ok(())
    }

    /// One of somebody else says nothing here.
    fn word(&mut self, value: Option<Bytes>) -> Result<(), Malformed> {
        let found = value.and_then(|value| Uuid::from_slice(&value).ok());
        self.words += u32::from(found.is_some() && found == self.word);
        Ok(())
    }

    /// What is deleted in the wrong place says nothing.
    fn is_here(&self, lane: u32, is_there: bool) -> Result<(), Malformed> {
        if lane == self.lane || !is_there { Ok(()) } else { Err(Malformed::Elsewhere(lane)) }
    }

    /// Refuses a partition that did not begin as lanes do, and is ready for the next one.
    fn done(&mut self, cluster: &Cluster, topic: &TopicRef) -> Result<(), BrokerError> {
        if std::mem::take(&mut self.has_mark) || !self.needs_mark {
            return Ok(());
        }
        let words = format!("partition {}: what it begins with is not there", self.lane);
        Err(lost(cluster, topic, &words))
    }
}

/// What librdkafka mends by itself.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress
    )
}

/// What a node says that has not heard of a topic yet.
fn is_unknown(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
    )
}

fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client_config();
    // It joins nothing: the library wants a name to assign partitions.
    config.set("group.id", format!("fnaa.{}", cluster.options().identity));
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    config.set("auto.offset.reset", "error");
    // A partition without new records is answered at once.
    config.set("fetch.wait.max.ms", "10");
    // A lane is read at once: more comes with each answer, and a queue that was full is filled again soon.
    config.set("max.partition.fetch.bytes", FETCHED.to_string());
    config.set("fetch.queue.backoff.ms", "5");
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_further_is_progress() {
        let mut progress = Progress::new(None);
        assert!(progress.to(0), "an end at nothing is the first answer");
        let since = progress.since;
        assert!(!progress.to(0) && progress.since == since);
        assert!(progress.to(5) && !progress.to(4) && progress.next == Some(5));
        assert!(progress.stands(Duration::ZERO) && !progress.stands(PATIENCE));
    }
}
