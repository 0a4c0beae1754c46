//! What a processor and each of its shards used up since the host started, for DESCRIBE.

use std::time::Duration;

use host_processors::{Report, ShardReport};
use serde_json::{Value, json};

use super::describe::Description;

/// Adds a line for the whole, and one for each shard.
pub(super) fn with_usage(description: Description, report: &Report) -> Description {
    let description = description.with("usage", usage(&report.shards));
    report.shards.iter().fold(description, |description, shard| {
        description.with(&format!("usage.{}", shard.shard), usage(std::slice::from_ref(shard)))
    })
}

fn usage(shards: &[ShardReport]) -> Value {
    let sum = |of: fn(&ShardReport) -> u64| shards.iter().map(of).sum::<u64>();
    json!({
        "cpu-ms": sum(|shard| millis(shard.used.cpu)),
        "calls": sum(|shard| shard.used.calls),
        "bytes-in": sum(|shard| shard.bytes_in),
        "bytes-out": sum(|shard| shard.bytes_out),
        "dead-letters": sum(|shard| shard.dead_letters),
        "memory": sum(|shard| shard.used.memory),
        "memory-peak": sum(|shard| shard.used.most_memory),
        "traps": sum(|shard| shard.used.traps),
        "limits-passed": sum(|shard| shard.used.limits),
        "retries": sum(|shard| shard.used.retries),
        "commits": sum(|shard| shard.commits),
        "commit-ms": sum(|shard| millis(shard.commit_time)),
        "instances": sum(|shard| shard.used.instances),
        "recycled": sum(|shard| shard.recycled),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
