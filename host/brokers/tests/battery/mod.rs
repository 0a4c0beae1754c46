//! What every broker must do, written against the trait alone.
//!
//! `battery!(name, constructor)` runs all of it over a [`Place`]: where one broker keeps what it keeps,
//! and which can be opened again. Nothing here may know which broker it is.

pub mod commits;
pub mod gaps;
pub mod logs;
pub mod outcomes;
pub mod patient;
pub mod topics;
pub mod writes;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host_brokers::{
    Append, BatchLimits, Broker, BrokerError, Commit, PartitionInfo, ShardId, Source, Token,
    TopicRef, TopicSpec,
};
use host_events::{Incarnation, Position, Record, Stored};
use uuid::Uuid;

/// Where a broker lives between openings.
pub trait Place: Send + Sync {
    /// Opens the broker; whoever had it open has dropped it.
    fn open(&self) -> impl Future<Output = Arc<dyn Broker>> + Send;
    /// Whether its readers may hold records that were in the log when they were fetched and are not any more.
    fn reads_ahead(&self) -> bool {
        false
    }
}

/// Runs the battery over a place.
#[macro_export]
macro_rules! battery {
    ($name:ident, $place:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the constructor is the caller's expression")]
            use super::*;
            $crate::battery!(@all $place);
            $crate::battery!(@commits $place);
        }
    };
    (@all $place:expr) => {
        $crate::battery!(@topics $place);
        $crate::battery!(@logs $place);
        // What cannot be cut this way is cut in tests of its own.
        $crate::battery!(@tests $place, gaps: [a_position_beyond_the_end_of_a_cut_log_is_refused]);
        $crate::battery!(@writes $place);
    };
    (@topics $place:expr) => {
            $crate::battery!(@tests $place, topics: [
                creating_again_is_harmless_and_another_life_is_refused,
                what_was_given_is_described,
                a_topic_that_is_not_there_is_not_found,
                deleting_is_harmless_twice_and_leaves_another_life_alone,
                another_life_of_a_topic_is_another_topic,
                partitions_grow_and_keep_their_records,
                purging_takes_the_records_and_keeps_the_offsets,
                retention_by_size_takes_the_oldest,
                retention_by_age_takes_the_oldest,
                topics_are_there_after_reopening,
            ]);
    };
    (@logs $place:expr) => {
            $crate::battery!(@tests $place, logs: [
                records_come_back_as_they_were_in_their_order,
                a_reader_begins_where_it_is_told,
                a_reader_waits_and_is_woken,
                a_reader_that_was_dropped_while_waiting_lost_nothing,
                a_batch_keeps_its_limits,
                a_position_outside_the_log_is_refused,
                a_reader_whose_position_was_purged_is_told,
                a_reader_of_a_deleted_topic_is_told,
                a_reader_does_not_wait_for_a_broker_that_was_dropped,
                an_offset_is_found_by_its_time,
                many_write_and_read_at_once_and_nothing_is_lost_or_repeated,
            ]);
            $crate::battery!(@tests $place, gaps: [
                a_reader_that_retention_overtook_is_told,
                a_reader_that_races_retention_never_jumps,
                sources_of_a_life_that_ended_read_nothing_of_the_next,
            ]);
    };
    (@commits $place:expr) => {
            $crate::battery!(@tests $place, commits: [
                a_new_shard_is_empty,
                a_commit_holds_outputs_positions_and_state,
                outputs_are_seen_only_after_their_commit,
                a_commit_that_cannot_write_one_output_writes_nothing,
                an_output_that_is_too_large_leaves_nothing_behind,
                whoever_opens_a_shard_fences_the_one_before,
                a_fence_does_not_outlive_its_broker,
                a_forgotten_processor_is_fenced_and_empty,
                positions_only_move_on,
                positions_move_back_where_the_commit_says_so,
                a_reposition_moves_back_and_fences,
                a_reposition_resets_the_state_only_when_told,
                shards_do_not_see_each_other,
                commits_of_many_shards_at_once_are_all_there,
            ]);
    };
    (@writes $place:expr) => {
        $crate::battery!(@tests $place, writes: [
                an_append_without_records_is_one,
                a_record_that_is_too_large_refuses_its_append,
                a_partition_that_is_not_there_refuses_its_append,
                a_refused_append_refuses_nobody_else,
                a_repeated_token_writes_nothing_and_gets_the_first_answer,
                a_repeated_token_is_recognised_whatever_the_limits_are_today,
                a_token_is_its_principals_and_its_topics,
                a_refused_append_does_not_use_its_token_up,
                one_token_at_once_writes_once,
                acknowledged_records_and_tokens_are_there_after_reopening,
                what_is_enqueued_after_something_lies_behind_it,
            ]);
    };
    (@tests $place:expr, $module:ident: [$($test:ident),* $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::battery::bounded($crate::battery::$module::$test($place)).await;
            }
        )*
    };
}

/// Runs the battery over a place where things fail, and where somebody patient asks again. Left out is
/// what asks who holds a shard: opening again takes it.
#[macro_export]
macro_rules! battery_under_fire {
    ($name:ident, $place:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the constructor is the caller's expression")]
            use super::*;
            $crate::battery!(@all $place);
            $crate::battery!(@tests $place, commits: [
                a_new_shard_is_empty,
                a_commit_holds_outputs_positions_and_state,
                outputs_are_seen_only_after_their_commit,
                a_commit_that_cannot_write_one_output_writes_nothing,
                an_output_that_is_too_large_leaves_nothing_behind,
                a_reposition_resets_the_state_only_when_told,
                shards_do_not_see_each_other,
                commits_of_many_shards_at_once_are_all_there,
            ]);
        }
    };
}

/// Runs what the battery asks of commits, reads and writes that fail.
#[macro_export]
macro_rules! battery_of_outcomes {
    ($name:ident, $place:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the constructor is the caller's expression")]
            use super::*;
            $crate::battery!(@tests $place, outcomes: [
                after_each_outcome_opening_again_shows_all_of_a_commit_or_nothing,
                a_commit_that_was_overtaken_while_it_was_slow_is_all_there_or_fenced,
                outputs_that_were_sent_and_not_committed_are_nowhere,
                whoever_opens_again_after_each_failure_commits_everything_once,
                a_reader_that_begins_again_where_it_was_gets_everything_once,
                a_writer_that_repeats_its_token_writes_everything_once,
            ]);
        }
    };
}

tokio::task_local! {
    /// What the topics of a test have in their names: brokers that many tests share tell them apart by it.
    static OWN: String;
}

/// Longer than the slowest test takes where seven others share two cores with it.
const HANGS: Duration = Duration::from_secs(240);

/// A test that hangs fails.
pub async fn bounded(test: impl Future<Output = ()>) {
    let bounded = tokio::time::timeout(HANGS, test);
    OWN.scope(Uuid::new_v4().simple().to_string(), bounded).await.expect("the test hangs");
}

/// A new life of a topic, created.
pub async fn topic(broker: &Arc<dyn Broker>, name: &str, partitions: u32) -> TopicRef {
    topic_with(broker, name, partitions, &[]).await
}

pub async fn topic_with(
    broker: &Arc<dyn Broker>,
    name: &str,
    partitions: u32,
    config: &[(&str, &str)],
) -> TopicRef {
    let mut spec = spec(name, partitions, config);
    spec.topic.id = broker.create(&spec).await.unwrap();
    spec.topic
}

pub fn spec(name: &str, partitions: u32, config: &[(&str, &str)]) -> TopicSpec {
    let name = OWN.try_with(|own| format!("{name}-{own}")).unwrap_or_else(|_| name.to_owned());
    let topic = TopicRef::new(name, Incarnation(Uuid::new_v4()));
    TopicSpec { topic, partitions, replication: None, config: settings(config) }
}

pub fn settings(config: &[(&str, &str)]) -> BTreeMap<String, String> {
    config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A record with this value, of the year 2026.
pub fn record(value: impl Into<Bytes>) -> Record {
    Record { value: Some(value.into()), timestamp: 1_780_000_000_000, ..Record::default() }
}

pub async fn append(broker: &Arc<dyn Broker>, topic: &TopicRef, partition: u32, values: &[&str]) {
    let records = values.iter().map(|value| (partition, record(value.to_string()))).collect();
    let appended = broker.append(topic, Append { records, token: None }).await.unwrap();
    assert_eq!((appended.count, appended.repeated), (values.len() as u64, false));
}

pub fn token(principal: &str, token: &str) -> Option<Token> {
    Some(Token { principal: principal.into(), token: token.into() })
}

pub const LIMITS: BatchLimits = BatchLimits { records: 500, bytes: 1 << 20 };

/// Everything from an offset to the end of the log at this moment.
pub async fn read_all(broker: &Arc<dyn Broker>, topic: &TopicRef, partition: u32) -> Vec<Stored> {
    let PartitionInfo { earliest, latest } = ends(broker, topic, partition).await;
    let mut source = broker.source(topic, partition, earliest).await.unwrap();
    read_until(source.as_mut(), latest).await
}

/// Everything up to an offset.
pub async fn read_until(source: &mut dyn Source, end: u64) -> Vec<Stored> {
    let (mut all, mut next) = (Vec::new(), 0);
    // An empty log has no batch to wait for.
    while next < end {
        let batch = source.next(LIMITS).await.unwrap();
        assert!(
            batch.records.iter().all(|stored| next <= stored.offset && stored.offset < batch.next)
        );
        next = batch.next;
        all.extend(batch.records.iter().cloned());
    }
    all
}

/// The values of a partition, from its beginning to its end.
pub async fn values(broker: &Arc<dyn Broker>, topic: &TopicRef, partition: u32) -> Vec<String> {
    let PartitionInfo { earliest, latest } = ends(broker, topic, partition).await;
    if earliest == latest {
        return Vec::new();
    }
    let text =
        |stored: &Stored| String::from_utf8(stored.record.value.clone().unwrap().into()).unwrap();
    read_all(broker, topic, partition).await.iter().map(text).collect()
}

/// The values of a partition, once there are so many. What was committed readers may see a moment later.
pub async fn at_least(
    broker: &Arc<dyn Broker>,
    topic: &TopicRef,
    partition: u32,
    count: usize,
) -> Vec<String> {
    loop {
        let seen = values(broker, topic, partition).await;
        if seen.len() >= count {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sees that these are the values of a partition.
pub async fn shows<T: AsRef<str>>(
    broker: &Arc<dyn Broker>,
    topic: &TopicRef,
    partition: u32,
    values: impl AsRef<[T]>,
) {
    let expected: Vec<_> = values.as_ref().iter().map(AsRef::as_ref).collect();
    assert_eq!(at_least(broker, topic, partition, expected.len()).await, expected);
}

pub async fn ends(broker: &Arc<dyn Broker>, topic: &TopicRef, partition: u32) -> PartitionInfo {
    broker.describe(topic).await.unwrap().partitions[partition as usize]
}

pub fn shard(number: u32) -> ShardId {
    ShardId { processor: Uuid::new_v4(), shard: number }
}

pub fn position(flow: Incarnation, partition: u32, next: u64) -> Position {
    Position([((flow, partition), next)].into())
}

/// A commit of a position alone.
pub fn commit_of(positions: Position) -> Commit {
    Commit { positions, digest: "00".into(), ..Commit::default() }
}

pub fn is_not_found(error: &BrokerError) -> bool {
    matches!(error, BrokerError::NotFound(_))
}

/// Asks until something is so. What brokers do by themselves (retention) they do in their own time.
pub async fn eventually<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
