//! Sources and shards of a faulty broker. They keep no broker alive, as those of a sound one do not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use host_events::Batch;

use crate::broker::{
    BatchLimits, Broker, BrokerError, Commit, CommitOutcome, Fence, Output, ShardId, Source,
    Transaction,
};

use super::plan::{Fault, Op, Plan};
use super::{INJECTED, ends, injected};

pub(super) struct FaultySource {
    pub(super) inner: Box<dyn Source>,
    pub(super) plan: Arc<Plan>,
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    pub(super) torn: bool,
}

#[async_trait]
impl Source for FaultySource {
    async fn next(&mut self, limits: BatchLimits) -> Result<Batch, BrokerError> {
        let torn = || BrokerError::Damaged("injected: the read was cut".into());
        if self.torn {
            return Err(torn());
        }
        match self.plan.draw(Op::Next, &self.topic, self.partition) {
            None => self.inner.next(limits).await,
            // Nothing was read yet: dropping the future while it is held loses nothing.
            Some(Fault::Slow | Fault::SlowAnswer) => {
                self.plan.hold().await;
                self.inner.next(limits).await
            }
            Some(Fault::Torn | Fault::LostMade) => {
                // From here on nobody gets what this source has passed.
                self.torn = true;
                drop(self.inner.next(limits).await);
                Err(torn())
            }
            Some(Fault::Ends) => ends(),
            Some(fault) => Err(injected(fault)),
        }
    }
}

pub(super) struct FaultyFence {
    pub(super) inner: Box<dyn Fence>,
    pub(super) plan: Arc<Plan>,
    pub(super) broker: Weak<dyn Broker>,
    pub(super) shard: ShardId,
}

impl Fence for FaultyFence {
    fn begin(&mut self) -> Box<dyn Transaction + '_> {
        Box::new(FaultyTransaction {
            inner: self.inner.begin(),
            plan: &self.plan,
            broker: &self.broker,
            shard: self.shard,
            output: None,
            records: 0,
        })
    }
}

struct FaultyTransaction<'a> {
    inner: Box<dyn Transaction + 'a>,
    plan: &'a Arc<Plan>,
    broker: &'a Weak<dyn Broker>,
    shard: ShardId,
    /// Tells the shards of one processor from another's: their ids are chance.
    output: Option<Arc<str>>,
    records: usize,
}

impl FaultyTransaction<'_> {
    fn draw(&self, op: Op) -> Option<Fault> {
        self.plan.draw(op, self.output.as_deref().unwrap_or_default(), self.shard.shard)
    }
}

#[async_trait]
impl Transaction for FaultyTransaction<'_> {
    async fn send(&mut self, outputs: Vec<Output>) -> Result<(), BrokerError> {
        if let Some(output) = outputs.first() {
            self.output.get_or_insert_with(|| Arc::clone(&output.topic.topic));
        }
        self.records += outputs.iter().map(|output| output.records.len()).sum::<usize>();
        match self.draw(Op::Send) {
            None => self.inner.send(outputs).await,
            Some(Fault::Slow | Fault::SlowAnswer) => {
                self.plan.hold().await;
                self.inner.send(outputs).await
            }
            Some(Fault::Fenced) => {
                steal(self.broker, self.shard).await;
                self.inner.send(outputs).await
            }
            Some(Fault::LostMade) => {
                self.inner.send(outputs).await?;
                Err(injected(Fault::LostMade))
            }
            Some(Fault::Ends) => ends(),
            Some(fault) => Err(injected(fault)),
        }
    }

    async fn commit(self: Box<Self>, commit: Commit) -> CommitOutcome {
        let most = self.plan.most.load(Ordering::Relaxed);
        if most > 0 && self.records > most {
            return CommitOutcome::Aborted(BrokerError::TooMuch(format!("{INJECTED}: {most}")));
        }
        match self.draw(Op::Commit) {
            None => self.inner.commit(commit).await,
            Some(fault @ (Fault::Unavailable | Fault::Full)) => {
                CommitOutcome::Aborted(injected(fault))
            }
            Some(Fault::Fenced) => {
                steal(self.broker, self.shard).await;
                self.inner.commit(commit).await
            }
            Some(Fault::LostMade) => match self.inner.commit(commit).await {
                CommitOutcome::Committed => CommitOutcome::Unknown(injected(Fault::LostMade)),
                other => other,
            },
            Some(fault @ (Fault::LostNotMade | Fault::Torn)) => {
                CommitOutcome::Unknown(injected(fault))
            }
            Some(Fault::Slow) => {
                self.plan.hold().await;
                self.inner.commit(commit).await
            }
            Some(Fault::SlowAnswer) => {
                let outcome = self.inner.commit(commit).await;
                self.plan.hold().await;
                outcome
            }
            Some(Fault::Ends) => ends(),
        }
    }
}

/// Somebody else takes the shard over, and lets it go at once.
async fn steal(broker: &Weak<dyn Broker>, shard: ShardId) {
    if let Some(broker) = broker.upgrade() {
        drop(broker.open(shard).await);
    }
}
