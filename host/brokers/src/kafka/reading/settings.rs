//! How consumers are set up, and why so.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::ears::FACILITY;

/// How long a broker holds a request back that it has no records for. New partitions of a consumer join
/// with its next request, so this is also the longest that a new reader waits for its first record.
const WAIT: Duration = Duration::from_millis(500);

/// Bytes of one partition in one answer: large enough that a broker far away does not slow a single
/// partition down, small enough for hundreds of them.
const PARTITION: usize = 1 << 20;

/// Bytes of one answer: what is in memory of it before it is taken apart.
const ANSWER: usize = 16 << 20;

/// Kibibytes of a partition that wait to be taken; nothing more is asked for while there are. With what
/// the last answer brought that is the most that a slow processor keeps in memory for each partition.
const QUEUED_KIB: usize = 1 << 10;

/// Records, likewise: small ones cost far more memory than their bytes.
const QUEUED: usize = 10_000;

/// How soon a partition is asked for again whose queue was full. librdkafka's own second stops every
/// reader that is faster than one answer.
const FULL: Duration = Duration::from_millis(5);

/// How soon a topic that is not there is told to be gone: whether it really is gets checked then.
const GONE: Duration = Duration::from_millis(500);

pub(super) fn consumer(mut config: ClientConfig) -> ClientConfig {
    let debug = match config.get("debug") {
        Some(debug) => format!("{debug},{FACILITY}"),
        None => FACILITY.to_owned(),
    };
    let set: [(&str, String); 18] = [
        ("debug", debug),
        ("log_level", "7".into()),
        ("log.queue", "false".into()),
        ("auto.offset.reset", "error".into()),
        ("isolation.level", "read_committed".into()),
        ("enable.partition.eof", "true".into()),
        ("enable.auto.commit", "false".into()),
        ("enable.auto.offset.store", "false".into()),
        ("allow.auto.create.topics", "false".into()),
        ("check.crcs", "true".into()),
        ("fetch.wait.max.ms", WAIT.as_millis().to_string()),
        ("fetch.min.bytes", "1".into()),
        ("fetch.max.bytes", ANSWER.to_string()),
        ("max.partition.fetch.bytes", PARTITION.to_string()),
        ("queued.max.messages.kbytes", QUEUED_KIB.to_string()),
        ("queued.min.messages", QUEUED.to_string()),
        ("fetch.queue.backoff.ms", FULL.as_millis().to_string()),
        ("topic.metadata.propagation.max.ms", GONE.as_millis().to_string()),
    ];
    for (key, value) in set {
        config.set(key, value);
    }
    config
}
