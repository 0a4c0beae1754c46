//! What a consumer tells by itself: which life of a topic it reads, and whether anybody answers.
//!
//! librdkafka asks brokers for records by a topic's id, and brokers answer by it. But when a topic is
//! deleted and made again it takes the new id over without a word to whoever reads, and records do not
//! carry the id. It does write the change into its log, in the moment before: whoever hears that line
//! knows of every record from which life it came. Where the line is not understood any more, nothing is
//! read at all, since no record is of a life that was never heard of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use uuid::Uuid;

use super::super::native::consumer::Hears;
use super::super::voice::Voice;

/// What librdkafka calls lines about topics, and must be told to write (`debug`).
pub(super) const FACILITY: &str = "metadata";

/// Lines up to this level of syslog's are passed on: those behind it are only there because of
/// [`FACILITY`].
const INFO: i32 = 6;

/// Topics whose lives are remembered, for as long as the consumer is there: many more than a host
/// reads. More of them are not read.
const MOST_TOPICS: usize = 200_000;

/// What was heard of one consumer.
pub(super) struct Ears {
    voice: Voice,
    lives: Mutex<HashMap<Arc<str>, Uuid>>,
    born: Instant,
    /// Milliseconds since `born`.
    answered: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Ears {
    pub(super) fn new(voice: Voice) -> Self {
        Self {
            voice,
            lives: Mutex::default(),
            born: Instant::now(),
            answered: AtomicU64::new(0),
            trouble: Mutex::default(),
        }
    }

    /// The life that everything has come from which this consumer has got of a topic, if it was one.
    pub(super) fn life(&self, topic: &str) -> Option<Uuid> {
        lock(&self.lives).get(topic).copied()
    }

    /// How long nobody has answered.
    pub(super) fn silence(&self) -> Duration {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(answered)
    }

    /// What was wrong, since somebody last answered.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    fn took(&self, topic: &str, life: Uuid) {
        let mut lives = lock(&self.lives);
        if let Some(known) = lives.get_mut(topic) {
            *known = life;
        } else if lives.len() < MOST_TOPICS {
            lives.insert(topic.into(), life);
        }
    }
}

impl Hears for Ears {
    fn line(&self, level: i32, facility: &str, line: &str) {
        if let Some((topic, life)) = change_of_life(line) {
            self.took(topic, life);
        }
        if level > INFO {
            return;
        }
        if matches!(facility, "FAIL" | "ERROR") {
            *lock(&self.trouble) = Some(line.to_owned());
        }
        let level = match level {
            ..=3 => RDKafkaLogLevel::Error,
            4 => RDKafkaLogLevel::Warning,
            _ => RDKafkaLogLevel::Info,
        };
        self.voice.log(level, facility, line);
    }

    fn may_reach(&self, address: SocketAddr) -> bool {
        self.voice.may_reach(address)
    }

    fn answered(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered.store(now, Ordering::Relaxed);
    }
}

/// Understands `… Topic NAME changed id from ID to ID`.
fn change_of_life(line: &str) -> Option<(&str, Uuid)> {
    let (before, ids) = line.rsplit_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    let (_, id) = ids.split_once(" to ")?;
    let bytes = STANDARD_NO_PAD.decode(id.trim()).ok()?;
    Some((topic, Uuid::from_slice(&bytes).ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_life_is_understood_and_nothing_else() {
        let line = "[thrd:main]: Topic a.b-c_d changed id from AAAAAAAAAAAAAAAAAAAAAA to \
                    Ej5FZ+ibEtOkVkJmFBdAAA";
        let life = Uuid::from_u128(0x123e_4567_e89b_12d3_a456_4266_1417_4000);
        assert_eq!(change_of_life(line), Some(("a.b-c_d", life)));
        for line in ["Topic a [0] Leader 1 Epoch 0", " changed id from x to y", ""] {
            assert_eq!(change_of_life(line), None, "{line}");
        }
    }
}
