//! A partition of one life of a topic, and how its readers share two feeds.
//!
//! The main feed is read along by everybody who stands where it does. Who stands elsewhere takes turns on
//! the second feed, which goes wherever it is told for one gulp. Who has read everything that way takes
//! the main feed over, so that whoever waits for new records never needs a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::super::native::admin::Fault;
use super::consumers::{Consumers, Role};
use super::feed::Feed;

pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    pub(super) life: Uuid,
    pub(super) main: Arc<Feed>,
    pub(super) turns: Arc<Feed>,
    /// Whose turn it is.
    pub(super) turn: Mutex<()>,
    /// Held while a feed is told to begin or to stop.
    control: Arc<Mutex<()>>,
    readers: AtomicUsize,
    turning: AtomicUsize,
    numbers: AtomicU64,
    /// Its life is over, and another one may be read in its stead.
    over: AtomicBool,
}

impl Place {
    pub(super) fn new(
        topic: Arc<str>,
        partition: u32,
        life: Uuid,
        kept: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        let feed = || Feed::new(Arc::clone(&topic), partition, life, Arc::clone(kept));
        let (main, turns) = (feed(), feed());
        Arc::new(Self {
            partition,
            life,
            main,
            turns,
            topic,
            turn: Mutex::default(),
            control: Arc::default(),
            readers: AtomicUsize::new(0),
            turning: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// One more reader; its number.
    pub(super) fn enter(&self) -> u64 {
        self.readers.fetch_add(1, Ordering::AcqRel);
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// One less.
    pub(super) fn leave(&self) {
        self.readers.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn is_left(&self) -> bool {
        self.readers.load(Ordering::Acquire) == 0
    }

    /// One more that takes turns.
    pub(super) fn enter_turns(&self) {
        self.turning.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn leave_turns(&self) {
        self.turning.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether some readers stand elsewhere than the main feed.
    pub(super) fn takes_turns(&self) -> bool {
        self.turning.load(Ordering::Acquire) > 0
    }

    /// Has a feed begin at an offset, unless it was told to begin since it was looked at.
    pub(super) async fn begin(
        self: &Arc<Self>,
        consumers: &Arc<Consumers>,
        role: Role,
        from: u64,
        begun: u64,
    ) -> Result<(), Fault> {
        let control = Arc::clone(&self.control).lock_owned().await;
        if self.over.load(Ordering::Acquire) {
            return Err(Fault::new(Code::UnknownTopicId, "another life of it is read now"));
        }
        if self.feed(role).begun() != begun {
            return Ok(());
        }
        let (place, makers) = (Arc::clone(self), Arc::clone(consumers));
        let begin = move || {
            place.feed(role).begin(makers.consumer(role), from);
            drop(control);
            Ok(())
        };
        consumers.wait(begin).await
    }

    /// Stops what nobody uses any more.
    pub(super) async fn tidy(self: Arc<Self>, consumers: Arc<Consumers>) {
        let control = Arc::clone(&self.control).lock_owned().await;
        let main = self.is_left() && self.main.is_reading();
        let turns = !self.takes_turns() && self.turns.is_reading();
        if !main && !turns {
            return;
        }
        let stop = move || {
            if main && self.is_left() {
                self.main.stop();
            }
            if turns && !self.takes_turns() {
                self.turns.stop();
            }
            drop(control);
            Ok(())
        };
        // It fails where the runtime ends, and everything with it.
        drop(consumers.wait(stop).await);
    }

    /// Stops everything for good, whoever uses it.
    pub(super) async fn end(self: Arc<Self>, consumers: &Arc<Consumers>) {
        let control = Arc::clone(&self.control).lock_owned().await;
        self.over.store(true, Ordering::Release);
        let stop = move || {
            for feed in [&self.main, &self.turns] {
                feed.stop();
                feed.changed().notify_waiters();
            }
            drop(control);
            Ok(())
        };
        drop(consumers.wait(stop).await);
    }

    pub(super) fn feed(&self, role: Role) -> &Arc<Feed> {
        match role {
            Role::Main => &self.main,
            Role::Turns => &self.turns,
        }
    }
}
