//! A broker that fails on purpose, for tests: wraps any other one and makes what is asked of it go wrong
//! as planned, within what the traits allow.
//!
//! It never makes anything up: what it says was not done was not done, what it lets through the wrapped
//! broker did. It is no part of a program that anybody runs (the feature `faults`).

mod held;
mod plan;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures::FutureExt;
use host_events::Position;
use uuid::Uuid;

use crate::broker::{
    Append, Appended, Broker, BrokerError, Consumer, Enqueued, FoundTopic, Opened, ShardId, Source,
    TopicChange, TopicInfo, TopicRef, TopicSpec,
};

use held::{FaultyFence, FaultySource};
use plan::Plan;
pub use plan::{Fault, Happened, Op, Rate, Record};

/// What every injected error says, so that a test can tell it from a real one.
pub const INJECTED: &str = "injected";

/// A broker that fails as it is told. Dropping it releases what is held.
pub struct Faulty {
    inner: Arc<dyn Broker>,
    plan: Arc<Plan>,
}

impl Faulty {
    /// Wraps a broker; nothing fails until it is told to.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>) -> Arc<Self> {
        Arc::new(Self { inner, plan: Arc::default() })
    }

    /// The broker inside, which never fails on purpose.
    #[must_use]
    pub fn sound(&self) -> &Arc<dyn Broker> {
        &self.inner
    }

    /// What the next operations of a kind suffer, in order, whoever asks for them; `None` lets one
    /// through. Comes before chance.
    pub fn script(&self, op: Op, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.plan.script(op, faults);
    }

    /// From now on things go wrong by chance.
    pub fn at_random(&self, seed: u64, rates: &[Rate]) {
        self.plan.at_random(seed, rates);
    }

    /// From now on a commit with more records than that is too much.
    pub fn takes_at_most(&self, records: usize) {
        self.plan.most.store(records, Ordering::Relaxed);
    }

    /// From now on nothing goes wrong; what is held goes on.
    pub fn calm(&self) {
        self.plan.calm();
    }

    /// Lets everything go on that is held now.
    pub fn release(&self) {
        self.plan.release();
    }

    /// Tells those who wait for it that it is there again.
    pub fn returns(&self) {
        self.plan.returned.notify_waiters();
    }

    /// What happened so far.
    #[must_use]
    pub fn record(&self) -> Record {
        self.plan.record()
    }

    /// Waits until something has happened.
    pub async fn until(&self, so: impl Fn(&Record) -> bool) {
        self.plan.until(so).await;
    }

    async fn under<T: Send>(
        &self,
        op: Op,
        name: &str,
        number: u32,
        work: impl Future<Output = Result<T, BrokerError>> + Send,
    ) -> Result<T, BrokerError> {
        self.suffer(self.plan.draw(op, name, number), work).await
    }

    async fn suffer<T: Send>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T, BrokerError>> + Send,
    ) -> Result<T, BrokerError> {
        match fault {
            None => work.await,
            Some(Fault::Slow) => {
                self.plan.hold().await;
                work.await
            }
            Some(Fault::SlowAnswer) => {
                let done = work.await;
                self.plan.hold().await;
                done
            }
            Some(Fault::LostMade) => {
                work.await?;
                Err(injected(Fault::LostMade))
            }
            Some(Fault::Ends) => ends(),
            Some(fault) => Err(injected(fault)),
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.plan.calm();
    }
}

/// What a caller is told.
fn injected(fault: Fault) -> BrokerError {
    let words = format!("{INJECTED}: {fault:?}");
    match fault {
        Fault::Full => BrokerError::Full(words),
        Fault::Torn => BrokerError::Damaged(words),
        _ => BrokerError::Unavailable(words),
    }
}

/// The asking task ends as by a panic, but without the words that would look like a failed test.
fn ends() -> ! {
    std::panic::resume_unwind(Box::new(INJECTED))
}

#[async_trait]
impl Broker for Faulty {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn server(&self) -> String {
        self.inner.server()
    }

    async fn create(&self, topic: &TopicSpec) -> Result<Option<Uuid>, BrokerError> {
        self.under(Op::Topic, &topic.topic.topic, 0, self.inner.create(topic)).await
    }

    async fn update(&self, topic: &TopicRef, change: &TopicChange) -> Result<(), BrokerError> {
        self.under(Op::Topic, &topic.topic, 0, self.inner.update(topic, change)).await
    }

    async fn describe(&self, topic: &TopicRef) -> Result<TopicInfo, BrokerError> {
        self.under(Op::Describe, &topic.topic, 0, self.inner.describe(topic)).await
    }

    async fn topics(&self) -> Result<Vec<FoundTopic>, BrokerError> {
        self.under(Op::Describe, "", 0, self.inner.topics()).await
    }

    async fn consumers(&self, topic: &TopicRef) -> Result<Vec<Consumer>, BrokerError> {
        self.under(Op::Describe, &topic.topic, 0, self.inner.consumers(topic)).await
    }

    async fn delete(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.under(Op::Topic, &topic.topic, 0, self.inner.delete(topic)).await
    }

    async fn purge(&self, topic: &TopicRef) -> Result<(), BrokerError> {
        self.under(Op::Topic, &topic.topic, 0, self.inner.purge(topic)).await
    }

    async fn append(&self, topic: &TopicRef, append: Append) -> Result<Appended, BrokerError> {
        self.under(Op::Append, &topic.topic, 0, self.inner.append(topic, append)).await
    }

    /// What is slow here has not reached the queue yet.
    async fn enqueue(&self, topic: &TopicRef, append: Append) -> Result<Enqueued, BrokerError> {
        let fault = self.plan.draw(Op::Append, &topic.topic, 0);
        let enqueuing = self.inner.enqueue(topic, append);
        if fault != Some(Fault::SlowAnswer) {
            return self.suffer(fault, enqueuing).await;
        }
        let (enqueued, plan) = (enqueuing.await?, Arc::clone(&self.plan));
        let held = async move {
            let done = enqueued.await;
            plan.hold().await;
            done
        };
        Ok(held.boxed())
    }

    async fn source(
        &self,
        topic: &TopicRef,
        partition: u32,
        from: u64,
    ) -> Result<Box<dyn Source>, BrokerError> {
        let opening = self.inner.source(topic, partition, from);
        let inner = self.under(Op::Source, &topic.topic, partition, opening).await?;
        let (plan, topic) = (Arc::clone(&self.plan), Arc::clone(&topic.topic));
        Ok(Box::new(FaultySource { inner, plan, topic, partition, torn: false }))
    }

    async fn offset_at(
        &self,
        topic: &TopicRef,
        partition: u32,
        time: i64,
    ) -> Result<u64, BrokerError> {
        let looking = self.inner.offset_at(topic, partition, time);
        self.under(Op::OffsetAt, &topic.topic, partition, looking).await
    }

    async fn open(&self, shard: ShardId) -> Result<Opened, BrokerError> {
        let opened = self.under(Op::Open, "", shard.shard, self.inner.open(shard)).await?;
        let fence = FaultyFence {
            inner: opened.fence,
            plan: Arc::clone(&self.plan),
            broker: Arc::downgrade(&self.inner),
            shard,
        };
        Ok(Opened { fence: Box::new(fence), ..opened })
    }

    async fn returned(&self) {
        self.plan.returned.notified().await;
    }

    async fn reposition(
        &self,
        shard: ShardId,
        positions: Position,
        reset_state: bool,
    ) -> Result<(), BrokerError> {
        let moving = self.inner.reposition(shard, positions, reset_state);
        self.under(Op::Shard, "", shard.shard, moving).await
    }

    async fn forget(&self, processor: Uuid) -> Result<(), BrokerError> {
        self.under(Op::Shard, "", 0, self.inner.forget(processor)).await
    }
}
