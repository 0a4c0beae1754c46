//! One partition as one consumer reads it, and the readers that go along with it.
//!
//! Whoever wants more than is there takes it out of librdkafka's queue, for everybody. A feed never
//! moves by itself: it goes on where it stands, or is told to begin elsewhere.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_events::Stored;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Notify;
use uuid::Uuid;

use super::super::native::admin::Fault;
use super::super::native::consume::{Messages, Partition};
use super::arena::Arena;
use super::consumers::Listening;
use super::ears::Ears;
use super::window::Window;
use crate::broker::BatchLimits;
use crate::cut::Cut;

/// Records that are taken out at once: enough that taking costs little, few enough that nobody else on the
/// thread waits long.
const TAKEN: usize = 2000;

/// Bytes that are kept of a partition for readers that fell behind, before they have to read again.
const WINDOW: usize = 2 << 20;

/// The same of all partitions of a cluster together.
const WINDOWS: usize = 64 << 20;

/// What a reader finds.
pub(super) enum Look {
    /// The offset behind what is read, and the records.
    Read(Cut),
    /// Nothing yet; something may be there when this tells, or when the feed is changed.
    Wait(Option<Arc<Notify>>),
    /// The reader stands where this feed does not.
    Elsewhere,
    /// It has to be told to begin: the reader is the only one, or it is stopped. How often it was told.
    Free(u64),
    /// It does not go on: why, and how often it was told to begin when that was so.
    Failed(Fault, u64),
}

pub(super) struct Feed {
    topic: Arc<str>,
    partition: u32,
    life: Uuid,
    state: Mutex<State>,
    /// Told when the state was changed by somebody.
    changed: Notify,
    /// Bytes in the windows of all feeds.
    kept: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    reading: Option<(Partition, Listening)>,
    window: Window,
    fault: Option<Fault>,
    /// How often it was told to begin.
    begun: u64,
    /// Where the log was known to end last.
    end: Option<u64>,
    /// Where each reader stands.
    readers: HashMap<u64, u64>,
}

impl Feed {
    pub(super) fn new(
        topic: Arc<str>,
        partition: u32,
        life: Uuid,
        kept: Arc<AtomicUsize>,
    ) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { topic, partition, life, state, changed: Notify::new(), kept })
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Looks for what lies at an offset. With `keep`, what everybody has read is kept for others.
    pub(super) fn look(&self, reader: u64, at: u64, limits: BatchLimits, keep: bool) -> Look {
        let mut state = self.state();
        state.readers.insert(reader, at);
        loop {
            if let Some(read) = state.window.read(at, limits) {
                state.readers.insert(reader, read.0);
                state.pass_on();
                self.forget(&mut state, keep);
                return Look::Read(read);
            }
            if at != state.window.end() {
                state.readers.remove(&reader);
                let free = state.readers.is_empty() || state.reading.is_none();
                return if free { Look::Free(state.begun) } else { Look::Elsewhere };
            }
            if let Some(fault) = &state.fault {
                return Look::Failed(fault.clone(), state.begun);
            }
            let State { reading: Some((partition, listening)), .. } = &*state else {
                return Look::Free(state.begun);
            };
            let messages = partition.take(limits.records.clamp(1, TAKEN));
            if messages.is_empty() {
                return Look::Wait(partition.woken());
            }
            let taken = sort(&messages, at);
            drop(messages);
            // Asked behind the taking: what was taken is of this life, or the change was heard before it came.
            let life = listening.ears.life(&self.topic);
            self.put(&mut state, taken, life);
            self.changed.notify_waiters();
        }
    }

    /// Whether a reader at an offset has everything that there is.
    pub(super) fn is_at_end(&self, at: u64) -> bool {
        let state = self.state();
        state.window.end() == at && state.end == Some(at)
    }

    /// Whether a reader at an offset can go along.
    pub(super) fn reaches(&self, at: u64) -> bool {
        let state = self.state();
        state.begun > 0 && state.window.reaches(at)
    }

    /// How often it was told to begin.
    pub(super) fn begun(&self) -> u64 {
        self.state().begun
    }

    /// A reader is about to go along from an offset.
    pub(super) fn expect_reader(&self, reader: u64, at: u64) {
        self.state().readers.insert(reader, at);
    }

    /// What the consumer tells that it reads with.
    pub(super) fn ears(&self) -> Option<Arc<Ears>> {
        self.state().reading.as_ref().map(|(_, listening)| Arc::clone(&listening.ears))
    }

    pub(super) fn is_reading(&self) -> bool {
        self.state().reading.is_some()
    }

    /// Stops, waits until librdkafka has let go, and begins at an offset. Waits.
    pub(super) fn begin(&self, listening: Result<Listening, Fault>, from: u64) {
        self.stop();
        let started = listening.and_then(|listening| {
            let partition =
                Partition::start(&listening.consumer, &self.topic, self.partition, from)?;
            Ok((partition, listening))
        });
        let mut state = self.state();
        self.sized(&mut state, |state| state.window.reset(from));
        state.begun += 1;
        match started {
            Ok(reading) => (state.reading, state.fault) = (Some(reading), None),
            Err(fault) => state.fault = Some(fault),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Stops and waits until librdkafka has let go. Waits.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        let reading = state.reading.take();
        state.end = None;
        self.sized(&mut state, |state| {
            let end = state.window.end();
            state.window.reset(end);
        });
        drop(state);
        // Who began to wait a moment ago waits for what will never tell.
        self.changed.notify_waiters();
        drop(reading);
    }

    pub(super) fn forget_reader(&self, reader: u64) {
        let mut state = self.state();
        state.readers.remove(&reader);
        self.forget(&mut state, false);
    }

    /// Puts what was taken into the window.
    fn put(&self, state: &mut State, taken: Taken, life: Option<Uuid>) {
        // A topic that is not there when reading begins has no life.
        if life != Some(self.life) && !(life.is_none() && taken.is_only_a_fault()) {
            let text = match life {
                Some(life) => format!("another life: its id is {life}, meant is {}", self.life),
                None => "librdkafka did not tell the topic's id".to_owned(),
            };
            state.fault = Some(Fault::new(Code::UnknownTopicId, text));
            return;
        }
        let Taken { records, bytes, next, end, fault } = taken;
        if next > state.window.end() {
            self.sized(state, |state| state.window.push(records, bytes, next));
        }
        state.end = end.or(state.end);
        state.fault = fault;
    }

    fn forget(&self, state: &mut State, keep: bool) {
        let read = state.readers.values().copied().min().unwrap_or(u64::MAX);
        // Over the limit of all together nobody keeps anything for those behind.
        let room = WINDOWS.saturating_sub(self.kept.load(Ordering::Relaxed));
        let most = if room > 0 { WINDOW } else { 0 };
        let keep = if keep { most } else { 0 };
        self.sized(state, |state| state.window.forget(read, keep, most));
    }

    /// Changes the window, and keeps the count of all of them true.
    fn sized(&self, state: &mut State, change: impl FnOnce(&mut State)) {
        let before = state.window.bytes();
        change(state);
        self.kept.fetch_add(state.window.bytes(), Ordering::Relaxed);
        self.kept.fetch_sub(before, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    /// A queue tells one of those who wait for it that it is no longer empty, and only then. Whoever was told and
    /// found what another one had taken out meanwhile did not look into it: so somebody else is told.
    fn pass_on(&self) {
        if self.readers.len() > 1
            && let Some((partition, _)) = &self.reading
        {
            partition.wake_for_more();
        }
    }
}

/// Messages, sorted into what they are.
struct Taken {
    records: Vec<Stored>,
    bytes: usize,
    /// The offset behind everything.
    next: u64,
    /// Where the log ends, if it was told.
    end: Option<u64>,
    fault: Option<Fault>,
}

impl Taken {
    fn is_only_a_fault(&self) -> bool {
        self.records.is_empty() && self.end.is_none() && self.fault.is_some()
    }
}

fn sort(messages: &Messages<'_>, from: u64) -> Taken {
    let mut arena = Arena::with_capacity(messages.len(), messages.bytes());
    let (mut next, mut end, mut fault) = (from, None, None);
    for message in messages.iter() {
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        match message.fault() {
            None if offset < next => {}
            None => match arena.push(offset, message) {
                Ok(()) => next = offset + 1,
                Err(wrong) => {
                    fault = Some(wrong);
                    break;
                }
            },
            Some(Fault { code: Code::PartitionEOF, .. }) => {
                next = next.max(offset);
                end = Some(next);
            }
            Some(wrong) => {
                fault = Some(wrong);
                break;
            }
        }
    }
    let fault = fault.or_else(|| messages.doubt());
    let (records, bytes) = arena.finish();
    Taken { records, bytes, next, end, fault }
}
