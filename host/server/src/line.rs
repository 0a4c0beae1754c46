//! The order of one connection's WRITEs on their way to a broker: each waits until the one before stands in the
//! broker's queue, whatever kept that one, and then no longer.
//!
//! Knows no events and no answers.

use host_brokers::{Append, Appended, Broker, BrokerError, TopicRef};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// WRITEs in a row.
#[derive(Debug, Default)]
pub(crate) struct Line {
    last: Option<Before>,
    has_token: bool,
}

/// One of them. Whoever leaves lets nobody pass those before: the one behind waits for them instead.
#[derive(Debug)]
pub(crate) struct Place {
    before: Option<Before>,
    /// Dropped when the next one may go, or tells whom it has to wait for.
    mine: Option<oneshot::Sender<Before>>,
}

/// Gone when the one before stands in the broker's queue, or has come to nothing there; where that one left without
/// asking the broker, it gives what stood before it.
#[derive(Debug)]
struct Before(oneshot::Receiver<Self>);

impl Line {
    /// Whether what comes next has a token where the one before had none, or the other way round.
    pub(crate) fn turns(&mut self, has_token: bool) -> bool {
        std::mem::replace(&mut self.has_token, has_token) != has_token
    }

    /// The next place.
    pub(crate) fn stand(&mut self) -> Place {
        let (mine, stands) = oneshot::channel();
        Place { before: self.last.replace(Before(stands)), mine: Some(mine) }
    }
}

impl Place {
    /// Appends behind what stands before it, and returns when that is safe.
    pub(crate) async fn append(
        mut self,
        broker: &dyn Broker,
        topic: &TopicRef,
        append: Append,
    ) -> Result<Appended, BrokerError> {
        // It stays here meanwhile: this place, too, may be left.
        while let Some(before) = &mut self.before {
            self.before = (&mut before.0).await.ok();
        }
        let enqueued = broker.enqueue(topic, append).await;
        drop(self);
        enqueued?.await
    }

    /// Passes over those that are gone, so that however many leave, only those still in the line are kept.
    fn catch_up(&mut self) {
        while let Some(before) = &mut self.before {
            match before.0.try_recv() {
                Ok(further) => self.before = Some(further),
                Err(TryRecvError::Closed) => self.before = None,
                Err(TryRecvError::Empty) => return,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.catch_up();
        if let (Some(mine), Some(before)) = (self.mine.take(), self.before.take()) {
            // Nobody may be behind.
            mine.send(before).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use host_brokers::embedded::{Embedded, EmbeddedOptions};
    use host_brokers::faulty::{Fault, Faulty, Op};
    use host_brokers::{BatchLimits, TopicSpec};
    use host_events::{Incarnation, Record};
    use uuid::Uuid;

    use super::*;

    /// A topic of one partition at a broker that fails as it is told.
    async fn broker(dir: &std::path::Path) -> (Arc<Faulty>, TopicRef) {
        let sound = Embedded::open(dir, EmbeddedOptions::default()).await.unwrap();
        let topic = TopicRef::new("a", Incarnation(Uuid::nil()));
        let spec = TopicSpec {
            topic: topic.clone(),
            partitions: 1,
            replication: None,
            config: Default::default(),
        };
        sound.create(&spec).await.unwrap();
        (Faulty::new(sound), topic)
    }

    fn write(
        line: &mut Line,
        (broker, topic): &(Arc<Faulty>, TopicRef),
        value: &'static str,
    ) -> tokio::task::JoinHandle<bool> {
        let (place, broker, topic) = (line.stand(), Arc::clone(broker), topic.clone());
        let record = Record { value: Some(value.into()), ..Record::default() };
        let append = Append { records: vec![(0, record)], token: None };
        tokio::spawn(async move { place.append(&*broker, &topic, append).await.is_ok() })
    }

    async fn written((broker, topic): &(Arc<Faulty>, TopicRef), count: usize) -> Vec<String> {
        let mut source = broker.source(topic, 0, 0).await.unwrap();
        let mut values = Vec::new();
        while values.len() < count {
            let batch = source.next(BatchLimits { records: 100, bytes: 1 << 20 }).await.unwrap();
            let value =
                |record: &Record| String::from_utf8(record.value.clone().unwrap().into()).unwrap();
            values.extend(batch.records.iter().map(|stored| value(&stored.record)));
        }
        values
    }

    #[tokio::test]
    async fn one_that_finds_no_room_is_not_passed() {
        let dir = tempfile::tempdir().unwrap();
        let (at, mut line) = (broker(dir.path()).await, Line::default());
        at.0.script(Op::Append, [None, Some(Fault::Slow)]);
        let writes = ["1", "2", "3", "4"].map(|value| write(&mut line, &at, value));
        at.0.until(|record| record.held == 1).await;
        // Those behind have had their turns, and did not ask.
        turns().await;
        assert_eq!(at.0.record().asked[&Op::Append], 2);
        at.0.release();
        for write in writes {
            assert!(write.await.unwrap());
        }
        assert_eq!(written(&at, 4).await, ["1", "2", "3", "4"]);
    }

    /// Everybody else has had their turns.
    async fn turns() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_leaves_lets_nobody_pass_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let (at, mut line) = (broker(dir.path()).await, Line::default());
        at.0.script(Op::Append, [Some(Fault::Slow)]);
        let slow = write(&mut line, &at, "slow");
        at.0.until(|record| record.held == 1).await;
        drop(line.stand());
        let refused_late = line.stand();
        let given_up = write(&mut line, &at, "given up");
        let quick = write(&mut line, &at, "quick");
        turns().await;
        drop(refused_late);
        turns().await;
        given_up.abort();
        turns().await;
        assert_eq!(at.0.record().asked[&Op::Append], 1);
        at.0.release();
        assert!(slow.await.unwrap() && quick.await.unwrap());
        assert_eq!(written(&at, 2).await, ["slow", "quick"]);
    }

    #[test]
    fn those_that_leave_take_no_room() {
        let mut line = Line::default();
        let first = line.stand();
        (0..100).for_each(|_| drop(line.stand()));
        let mut left = line.stand().before.take().unwrap();
        let mut before = left.0.try_recv().unwrap();
        assert_eq!(before.0.try_recv().unwrap_err(), TryRecvError::Empty);
        drop(first);
        assert_eq!(before.0.try_recv().unwrap_err(), TryRecvError::Closed);
    }

    #[tokio::test]
    async fn one_that_waits_for_its_answer_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (at, mut line) = (broker(dir.path()).await, Line::default());
        at.0.script(Op::Append, [Some(Fault::SlowAnswer)]);
        let first = write(&mut line, &at, "1");
        assert!(write(&mut line, &at, "2").await.unwrap());
        at.0.until(|record| record.held == 1).await;
        assert!(!first.is_finished());
        at.0.release();
        assert!(first.await.unwrap());
        assert_eq!(written(&at, 2).await, ["1", "2"]);
    }

    #[tokio::test]
    async fn one_that_comes_to_nothing_holds_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (at, mut line) = (broker(dir.path()).await, Line::default());
        at.0.script(Op::Append, [Some(Fault::Unavailable)]);
        drop(line.stand());
        assert!(!write(&mut line, &at, "1").await.unwrap());
        assert!(write(&mut line, &at, "2").await.unwrap());
        assert_eq!(written(&at, 1).await, ["2"]);
    }

    #[test]
    fn it_is_told_where_the_way_changes() {
        let mut line = Line::default();
        let turns = [false, true, true, false].map(|has_token| line.turns(has_token));
        assert_eq!(turns, [false, true, false, true]);
    }
}
