//! How the hosts of one identity share its lanes: as members of one consumer group on the positions topic.
//!
//! Kafka's group decides who has which partition; a lane follows its partition. Nothing is read here.
//! Members are static: a host that is killed and comes back under its name has its lanes at once. Lanes move
//! one by one (the cooperative protocol), so that a host that comes disturbs no lane that stays.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::begin::MOST_LANES;
use super::ours::Ours;
use super::shares::{SESSION, Shares, TICK};
use crate::broker::BrokerError;
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::Fault;
use crate::kafka::native::handle::{Handle, Queue};
use crate::kafka::voice::Voice;

/// How often the group hears from a member.
const HEARTBEAT: Duration = Duration::from_millis(1500);

/// How long who was put out of the group waits before joining it again, at first and at most.
const REJOIN: Duration = Duration::from_secs(2);
const LONGEST_REJOIN: Duration = Duration::from_secs(60);

/// Who gives lanes up when the group takes them.
#[async_trait::async_trait]
pub(super) trait GivesUp: Send + Sync {
    /// Ends what is under way in these lanes and gives them up. Takes no longer than a session.
    async fn give_up(&self, lanes: &[u32]);
}

/// A member of the group.
pub(super) struct Member {
    // Goes first: a queue has to be given back before its client.
    queue: Queue,
    consumer: Arc<BaseConsumer<Ears>>,
    ears: Ears,
}

impl Member {
    /// Joins.
    pub(super) async fn join(cluster: &Cluster, ours: &Ours) -> Result<Self, BrokerError> {
        let ears = Ears { voice: cluster.voice().clone(), said: Arc::default() };
        let (config, topic) = (config(cluster), Arc::clone(&ours.positions.topic));
        let joined = spawn_blocking(move || -> Result<_, KafkaError> {
            let none = || KafkaError::ClientCreation("no client".into());
            let consumer = BaseConsumer::from_config_and_context(&config, ears.clone())?;
            let consumer = Arc::new(consumer);
            consumer.subscribe(&[&topic])?;
            let handle =
                Handle::of(Arc::clone(&consumer), |one| Some(one.client())).ok_or_else(none)?;
            let queue = Queue::consumer(&handle).ok_or_else(none)?;
            Ok(Self { queue, consumer, ears })
        });
        let joined = joined.await.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
        joined.map_err(|error| cluster.error("", &error))
    }

    /// Tells the shares what the group says, until the broker is dropped. Whoever is put out of the group
    /// joins it again after a while: a cluster takes a member for two when it lost an answer to him.
    pub(super) async fn run(
        mut self,
        cluster: Arc<Cluster>,
        ours: Arc<Ours>,
        shares: Arc<Shares>,
        lanes: impl GivesUp,
        mut closing: watch::Receiver<()>,
    ) {
        let mut wait = REJOIN;
        loop {
            let begun = Instant::now();
            if !self.attend(&cluster, &shares, &lanes, &mut closing).await {
                return;
            }
            wait = if begun.elapsed() > LONGEST_REJOIN { REJOIN } else { wait };
            self = loop {
                tokio::select! {
                    _ = closing.changed() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                // Two hosts under one name put each other out: ever more seldom.
                wait = (wait * 2).min(LONGEST_REJOIN);
                if let Ok(member) = Self::join(&cluster, &ours).await {
                    break member;
                }
            };
            shares.out(None);
        }
    }

    /// The same until the broker is dropped (`false`) or this host is put out of the group.
    async fn attend(
        self,
        cluster: &Cluster,
        shares: &Shares,
        lanes: &impl GivesUp,
        closing: &mut watch::Receiver<()>,
    ) -> bool {
        let mut is_out = false;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = closing.changed() => break,
                _ = ticks.tick() => shares.tick(),
                () = self.queue.woken().notified() => {}
            }
            while self.queue.len() > 0 {
                // Records there are none, and the library mends what goes wrong, but for rights.
                if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                    note_refusal(cluster, shares, &error);
                }
            }
            while let Some(said) = self.ears.next() {
                self.obey(shares, lanes, said).await;
            }
            if let Some((code, text)) = self.consumer.client().fatal_error() {
                let instance = &cluster.options().instance;
                let text = format!(
                    "this host is out of the group of its identity: another one may run as {instance} ({text})"
                );
                tracing::warn!(broker = cluster.options().name, cause = text, "lost all lanes");
                shares.out(Some(cluster.fault("", &Fault::new(code, text))));
                lanes.give_up(&(0..MOST_LANES).collect::<Vec<_>>()).await;
                is_out = true;
                break;
            }
        }
        // It waits for its threads.
        spawn_blocking(move || drop(self));
        is_out
    }

    async fn obey(&self, shares: &Shares, lanes: &impl GivesUp, said: Said) {
        let numbers = numbers(said.partitions());
        // What goes wrong here the group notices: it then begins anew.
        match said {
            Said::Given(mut partitions) => {
                drop(partitions.set_all_offsets(Offset::Beginning));
                drop(self.consumer.incremental_assign(&partitions));
                // Lanes are read when they are taken over, and not here.
                drop(self.consumer.pause(&partitions));
                tracing::info!(lanes = ?numbers, "was given lanes");
                shares.given(&numbers);
            }
            Said::Taken(partitions) => {
                shares.taken(&numbers);
                tracing::info!(lanes = ?numbers, lost = self.consumer.assignment_lost(), "gives lanes up");
                let gives_up = lanes.give_up(&numbers);
                let mut ticks = interval(TICK);
                tokio::pin!(gives_up);
                loop {
                    tokio::select! {
                        () = &mut gives_up => break,
                        _ = ticks.tick() => shares.tick(),
                    }
                }
                drop(self.consumer.incremental_unassign(&partitions));
            }
        }
    }
}

/// A consumer that is dropped waits for answers to what its group says, and nobody obeys any more: also where a
/// runtime that ends drops this in the middle of attending.
impl Drop for Member {
    fn drop(&mut self) {
        self.ears.said.is_closing.store(true, Ordering::Release);
        while let Some(said) = self.ears.next() {
            // What goes wrong here the group notices.
            drop(match said {
                Said::Given(partitions) => self.consumer.incremental_assign(&partitions),
                Said::Taken(partitions) => self.consumer.incremental_unassign(&partitions),
            });
        }
    }
}

/// Who is not let into the group has no lanes, and is told why.
fn note_refusal(cluster: &Cluster, shares: &Shares, error: &KafkaError) {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
        shares.out(Some(cluster.error("", error)));
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<u32> {
    let elements = partitions.elements();
    elements.iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}

/// What the group said.
enum Said {
    Given(TopicPartitionList),
    Taken(TopicPartitionList),
}

impl Said {
    fn partitions(&self) -> &TopicPartitionList {
        match self {
            Self::Given(partitions) | Self::Taken(partitions) => partitions,
        }
    }
}

/// Notes what the group says, for the task that polls: giving lanes up takes longer than a callback may.
#[derive(Clone)]
struct Ears {
    voice: Voice,
    said: Arc<Noted>,
}

#[derive(Default)]
struct Noted {
    said: Mutex<VecDeque<Said>>,
    /// Nobody will obey any more.
    is_closing: AtomicBool,
}

impl Ears {
    fn next(&self) -> Option<Said> {
        self.said.said.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.voice.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }
}

impl ConsumerContext for Ears {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.said.is_closing.load(Ordering::Acquire) {
            drop(consumer.incremental_unassign(partitions));
            return;
        }
        let said = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Said::Given(partitions.clone()),
            _ => Said::Taken(partitions.clone()),
        };
        self.said.said.lock().unwrap_or_else(PoisonError::into_inner).push_back(said);
    }
}

fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = cluster.client_config();
    let options = cluster.options();
    config.set("group.id", format!("fnaa.{}", options.identity));
    config.set("group.instance.id", &options.instance);
    config.set("session.timeout.ms", SESSION.as_millis().to_string());
    config.set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string());
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "error");
    config
}
