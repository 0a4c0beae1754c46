//! What librdkafka tells by itself: log lines, and what is wrong with the cluster at the moment.
//!
//! Lines go to the log, repeated ones once a minute. What is wrong is kept, so that a request that
//! waits in vain can say why.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::native::admin::Fault;
use super::reachable::Reachable;

/// How often one and the same line is told: a broker that is away makes librdkafka repeat itself with
/// every attempt to connect.
const REPEAT: Duration = Duration::from_secs(60);

/// How many different lines are remembered for that; more of them within a minute are told again.
const LINES: usize = 64;

/// The context of every client of a cluster: cloned into each.
#[derive(Clone)]
pub(super) struct Voice(Arc<Inner>);

struct Inner {
    broker: String,
    told: Mutex<HashMap<String, Instant>>,
    trouble: Mutex<Trouble>,
    changed: Notify,
    /// Where its clients may connect to; anywhere without it.
    reachable: Option<Reachable>,
}

#[derive(Default)]
struct Trouble {
    /// What is wrong, since somebody last got an answer.
    now: Option<Fault>,
    /// Since when nobody answers, or nobody lets us in.
    hopeless: Option<Instant>,
    /// Why a connection last failed: librdkafka says the same reason twice a minute at most, and how many
    /// brokers are down every time.
    reason: Option<Fault>,
}

impl Voice {
    /// Of clients that may connect to these addresses alone, or to any.
    pub(super) fn new(broker: &str, reachable: Option<Reachable>) -> Self {
        Self(Arc::new(Inner {
            broker: broker.to_owned(),
            told: Mutex::default(),
            trouble: Mutex::default(),
            changed: Notify::new(),
            reachable,
        }))
    }

    /// Whether a client may connect to an address; one that it may not is told of.
    pub(super) fn may_reach(&self, address: SocketAddr) -> bool {
        let allowed = self.0.reachable.as_ref().is_none_or(|reachable| reachable.allows(address));
        if !allowed {
            let words = format!("{address} is no address that brokers of others may have here");
            if self.is_news(&words) {
                warn!(broker = self.0.broker.as_str(), "{words}");
            }
            self.note(Fault::new(Code::BrokerTransportFailure, words));
        }
        allowed
    }

    /// What was wrong last, since somebody last got an answer.
    pub(super) fn trouble(&self) -> Option<Fault> {
        lock(&self.0.trouble).now.clone()
    }

    /// What keeps everybody of the cluster from answering, where that has lasted for so long.
    pub(super) fn away_for(&self, time: Duration) -> Option<Fault> {
        let trouble = lock(&self.0.trouble);
        let lasts = trouble.hopeless.is_some_and(|since| since.elapsed() >= time);
        trouble.now.clone().filter(|_| lasts)
    }

    /// Somebody got an answer: what was wrong is so no longer.
    pub(super) fn is_well(&self) {
        let mut trouble = lock(&self.0.trouble);
        trouble.now = None;
        let was_hopeless = trouble.hopeless.take();
        drop(trouble);
        if was_hopeless.is_some() {
            self.0.changed.notify_waiters();
        }
    }

    /// Waits until somebody of a cluster answers again of which nobody did: it may be that nobody does only later.
    pub(super) async fn returned(&self) {
        self.troubled().await;
        loop {
            let changed = self.0.changed.notified();
            if lock(&self.0.trouble).hopeless.is_none() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until no broker of the cluster can be talked to.
    pub(super) async fn troubled(&self) -> Fault {
        loop {
            let changed = self.0.changed.notified();
            if let Trouble { now: Some(fault), hopeless: Some(_), .. } = &*lock(&self.0.trouble) {
                return fault.clone();
            }
            changed.await;
        }
    }

    pub(super) fn note(&self, fault: Fault) {
        let mut trouble = lock(&self.0.trouble);
        if matches!(fault.code, Code::AllBrokersDown | Code::Authentication) {
            trouble.hopeless.get_or_insert_with(Instant::now);
        }
        trouble.now = match fault.code {
            Code::AllBrokersDown => trouble.reason.clone().or(Some(fault)),
            _ => {
                trouble.reason = Some(fault);
                trouble.reason.clone()
            }
        };
        drop(trouble);
        self.0.changed.notify_waiters();
    }

    fn is_news(&self, line: &str) -> bool {
        let mut told = lock(&self.0.told);
        let now = Instant::now();
        if told.get(line).is_some_and(|last| now.duration_since(*last) < REPEAT) {
            return false;
        }
        if told.len() >= LINES {
            told.retain(|_, last| now.duration_since(*last) < REPEAT);
        }
        if told.len() >= LINES {
            told.clear();
        }
        told.insert(line.to_owned(), now);
        true
    }
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "FAIL" {
            // Some failures are told in no other way.
            let fault = Fault::new(Code::BrokerTransportFailure, line);
            lock(&self.0.trouble).reason = Some(fault);
        }
        if !self.is_news(&without_numbers(line)) {
            return;
        }
        let broker = self.0.broker.as_str();
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => warn!(broker, facility, line, "librdkafka says"),
            _ => debug!(broker, facility, line, "librdkafka says"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        if self.is_news(&without_numbers(reason)) {
            warn!(broker = self.0.broker.as_str(), %code, reason, "broker in trouble");
        }
        if is_of_the_connection(code) {
            self.note(Fault::new(code, reason));
        }
    }
}

fn is_of_the_connection(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::Authentication
            | Code::BrokerTransportFailure
            | Code::CriticalSystemResource
            | Code::Resolve
            | Code::SSL
    )
}

impl ConsumerContext for Voice {}

/// What a line tells: lines that differ in durations, ports and counts alone are one, and so are those that librdkafka says
/// of a thread and then as an error, or of which it has left some out.
fn without_numbers(line: &str) -> String {
    let of_thread = line.strip_prefix("[thrd:").and_then(|line| line.split_once("]: "));
    let line = of_thread.map_or(line, |(_, line)| line);
    let (line, after) = line.rsplit_once(" (after ").unwrap_or((line, ""));
    // In which state a connection ended tells one that was idle from a listener of another protocol.
    let state = after.split_once(" in state ").map_or("", |(_, state)| state);
    let state = state.split([',', ')']).next().unwrap_or_default();
    let told = line.chars().chain([' ']).chain(state.chars());
    told.filter(|c| !c.is_ascii_digit()).take(200).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_numbers_alone_are_told_once_and_others_each() {
        let voice = Voice::new("k", None);
        let is_news = |line: &str| voice.is_news(&without_numbers(line));
        assert!(is_news("127.0.0.1:9092: refused (after 3ms, 2 suppressed)"));
        assert!(!is_news("127.0.0.1:9094: refused (after 41ms, 170 suppressed)"));
        assert!(is_news("something else"));
        assert!(is_news(
            "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Refused (after 3ms in state CONNECT)"
        ));
        assert!(!is_news("127.0.0.1:9092/1: Refused (after 3ms in state CONNECT)"));
        assert!(!is_news(
            "127.0.0.1:9092/1: Refused (after 0ms in state CONNECT, 21 identical error(s) suppressed)"
        ));
        assert!(is_news("k/1: Disconnected (after 600000ms in state UP)"));
        assert!(is_news("k/1: Disconnected (after 3ms in state APIVERSION_QUERY)"));
        assert!(!is_news(
            "k/1: Disconnected (after 5ms in state APIVERSION_QUERY, 2 identical error(s) suppressed)"
        ));
        for line in 0..10 * LINES {
            let name: String = line.to_string().bytes().map(|c| char::from(c + 50)).collect();
            assert!(is_news(&name), "{name}");
            assert!(lock(&voice.0.told).len() <= LINES);
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_cluster_is_told_when_it_answers_again_and_not_before() {
        let voice = Voice::new("k", None);
        let returned = voice.returned();
        tokio::pin!(returned);
        assert!(futures::poll!(&mut returned).is_pending(), "nobody is away");
        voice.is_well();
        assert!(futures::poll!(&mut returned).is_pending(), "it was not away");
        voice.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert!(futures::poll!(&mut returned).is_pending(), "nobody answers");
        voice.is_well();
        assert!(futures::poll!(&mut returned).is_ready());
    }

    #[test]
    fn away_is_who_has_not_answered_for_a_while_and_not_who_lost_one_connection() {
        let voice = Voice::new("k", None);
        voice.error(KafkaError::Global(Code::BrokerTransportFailure), "refused");
        assert!(voice.away_for(Duration::ZERO).is_none());
        voice.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(voice.away_for(Duration::ZERO).unwrap().text, "refused");
        assert!(voice.away_for(Duration::from_secs(3600)).is_none());
        voice.is_well();
        assert!(voice.away_for(Duration::ZERO).is_none());
    }

    #[test]
    fn that_brokers_are_down_is_told_with_the_reason_also_when_that_was_told_before() {
        let voice = Voice::new("k", None);
        let down = || voice.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        voice.error(KafkaError::Global(Code::Authentication), "who are you");
        down();
        assert_eq!(voice.trouble().unwrap().code, Code::Authentication);
        voice.is_well();
        assert!(voice.trouble().is_none());
        down();
        assert_eq!(voice.trouble().unwrap().text, "who are you");
        voice.log(RDKafkaLogLevel::Info, "FAIL", "connecting to a SSL listener?");
        down();
        assert_eq!(voice.trouble().unwrap().text, "connecting to a SSL listener?");
        voice.is_well();
        voice.error(KafkaError::Global(Code::UnknownTopicOrPartition), "no topic");
        assert!(voice.trouble().is_none());
    }
}
