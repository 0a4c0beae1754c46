//! Somebody who asks a faulty broker and does as the traits say when it fails: asks again, with a token
//! where that matters, opens again, and reads what is true. The battery must not notice the faults.

use std::sync::Weak;

use async_trait::async_trait;
use host_brokers::faulty::{Fault, Faulty, INJECTED, Op, Rate};
use host_brokers::{
    Appended, CommitOutcome, Consumer, Fence, FoundTopic, Opened, Output, TopicChange, TopicInfo,
    Transaction,
};
use host_events::Batch;

use super::*;

/// What the battery is run under.
const RATES: &[Rate] = &[
    (Op::Commit, Fault::Unavailable, 50),
    (Op::Commit, Fault::Full, 50),
    (Op::Commit, Fault::LostMade, 100),
    (Op::Commit, Fault::LostNotMade, 50),
    (Op::Send, Fault::LostMade, 50),
    (Op::Append, Fault::Full, 100),
    (Op::Append, Fault::LostMade, 200),
    (Op::Next, Fault::Unavailable, 100),
    (Op::Next, Fault::Torn, 100),
    (Op::Source, Fault::LostMade, 200),
    (Op::Open, Fault::LostMade, 200),
    (Op::Describe, Fault::Unavailable, 200),
    (Op::OffsetAt, Fault::Unavailable, 200),
    (Op::Topic, Fault::LostMade, 200),
    (Op::Topic, Fault::Unavailable, 100),
    (Op::Shard, Fault::LostMade, 300),
];

pub struct Patient(Arc<Faulty>);

impl Patient {
    pub fn over(broker: Arc<dyn Broker>, seed: u64) -> Arc<dyn Broker> {
        let faulty = Faulty::new(broker);
        faulty.at_random(seed, RATES);
        Arc::new(Self(faulty))
    }
}

fn is_injected(error: &BrokerError) -> bool {
    error.to_string().contains(INJECTED)
}

async fn again<T, F>(mut ask: impl FnMut() -> F) -> Result<T, BrokerError>
where
    F: Future<Output = Result<T, BrokerError>>,
{
    loop {
        match ask().await {
            Err(error) if is_injected(&error) => {}
            done => return done,
        }
    }
}

#[async_trait]
impl Broker for Patient {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn server(&self) -> String {
        self.0.server()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        again(|| self.0.create(topic)).await
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        again(|| self.0.update(topic, change)).await
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        again(|| self.0.describe(topic)).await
    }

    async fn topics(&self) -> Result<Vec<FoundTopic>, BrokerError> {
        again(|| self.0.topics()).await
    }

    async fn consumers(&self, topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        again(|| self.0.consumers(topic)).await
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        again(|| self.0.delete(topic)).await
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        again(|| self.0.purge(topic)).await
    }

    async fn append(&self, topic: &TopicRef, mut append: Append) -> Result<Appended, BrokerError> {
        if append.token.is_some() {
            // Whether it is repeated is the question then.
            return self.0.sound().append(topic, append).await;
        }
        append.token = token("patient", &Uuid::new_v4().to_string());
        let appended = again(|| self.0.append(topic, append.clone())).await?;
        Ok(Appended { repeated: false, ..appended })
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let inner = again(|| self.0.source(topic, partition, from)).await?;
        let (broker, topic) = (Arc::downgrade(&self.0), topic.clone());
        Ok(Box::new(PatientSource { inner, broker, topic, partition, next: from }))
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        again(|| self.0.offset_at(topic, partition, time)).await
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let mut opened = again(|| self.0.open(shard)).await?;
        let count = opened.positions.0.remove(&COUNT).unwrap_or(0);
        let (broker, inner) = (Arc::downgrade(&self.0), opened.fence);
        let fence = Box::new(PatientFence { inner, broker, shard, count });
        Ok(Opened { fence, ..opened })
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        again(|| self.0.reposition(shard, positions.clone(), reset_state)).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        again(|| self.0.forget(processor)).await
    }
}

struct PatientSource {
    inner: Box<dyn Source>,
    broker: Weak<Faulty>,
    topic: TopicRef,
    partition: u32,
    next: u64,
}

#[async_trait]
impl Source for PatientSource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        loop {
            match self.inner.next(limits).await {
                Ok(batch) => {
                    self.next = batch.next;
                    return Ok(batch);
                }
                Err(error) if is_injected(&error) => {
                    let Some(broker) = self.broker.upgrade() else { return Err(error) };
                    let (topic, partition, next) = (&self.topic, self.partition, self.next);
                    self.inner = again(|| broker.source(topic, partition, next)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A position of no flow, which every commit moves on: it tells whether the commit was made.
const COUNT: (Incarnation, u32) = (Incarnation(Uuid::nil()), 0);

struct PatientFence {
    inner: Box<dyn Fence>,
    broker: Weak<Faulty>,
    shard: ShardId,
    count: u64,
}

impl Fence for PatientFence {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(PatientTransaction { fence: self, outputs: Vec::new() })
    }
}

struct PatientTransaction<'a> {
    fence: &'a mut PatientFence,
    outputs: Vec<Output>,
}

#[async_trait]
impl Transaction for PatientTransaction<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        self.outputs.extend(outputs);
        Ok(())
    }

    async fn commit(self: Box<Self>, mut commit: Commit) -> CommitOutcome {
        let Self { fence, outputs } = *self;
        let count = fence.count + 1;
        commit.positions.set(COUNT.0, COUNT.1, count);
        loop {
            let outcome = attempt(fence.inner.as_mut(), outputs.clone(), commit.clone()).await;
            let error = match outcome {
                CommitOutcome::Aborted(error) | CommitOutcome::Unknown(error)
                    if is_injected(&error) =>
                {
                    error
                }
                CommitOutcome::Committed => {
                    fence.count = count;
                    return CommitOutcome::Committed;
                }
                other => return other,
            };
            let Some(broker) = fence.broker.upgrade() else { return CommitOutcome::Unknown(error) };
            let opened = match again(|| broker.open(fence.shard)).await {
                Ok(opened) => opened,
                Err(error) => return CommitOutcome::Unknown(error),
            };
            fence.inner = opened.fence;
            if opened.positions.get(COUNT.0, COUNT.1) == Some(count) {
                fence.count = count;
                return CommitOutcome::Committed;
            }
        }
    }
}

async fn attempt(fence: &mut dyn Fence, outputs: Vec<Output>, commit: Commit) -> CommitOutcome {
    let mut transaction = fence.begin();
    match transaction.send(outputs).await {
        Ok(()) => transaction.commit(commit).await,
        Err(error) => CommitOutcome::Aborted(error),
    }
}
