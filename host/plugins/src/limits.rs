//! What a plugin may use up. Passing a limit stops the plugin's call, never the host.
//!
//! Every limit has a default and its reason; an operator may set each for one processor.

use serde::{Deserialize, Serialize};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Limits of one processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of all linear memories of an instance together. A Rust or C guest needs 1 to 3 MiB, Go
    /// 8, Python 31, `StarlingMonkey` 88: room for the largest, and a bomb stays small.
    pub memory: u64,
    /// Elements of all tables of an instance together (8 bytes each on the host). The largest
    /// interpreters have some ten thousand functions.
    pub table_elements: u64,
    /// Milliseconds that one call may run. The slowest language measured needs 70 for a batch of 512;
    /// a batch that fails is halved up to nine times, so this is also what a looping event costs.
    /// Only time in which the guest itself runs is counted.
    pub call_ms: u64,
    /// Milliseconds that a call may run beside the others before it goes on in the slow lane. Five is
    /// where looping guests stopped being felt by their neighbours.
    pub soft_ms: u64,
    /// Milliseconds for `describe`, and for instantiation with `init`: interpreters start up there.
    pub init_ms: u64,
    /// Events of one batch. Beyond a few hundred a call's own cost no longer shows.
    pub batch_events: u32,
    /// Bytes of one batch: a guest may hold several copies of it in its memory. One event that is
    /// larger is a batch of its own.
    pub batch_bytes: u64,
    /// New or changed events for one batch.
    pub emit_events: u32,
    /// Bytes of new or changed events for one batch; they stay in the host's memory until they are
    /// committed.
    pub emit_bytes: u64,
    /// Bytes of a shard's state, keys and a fixed cost an entry included; all of it is in the host's
    /// memory.
    pub state_bytes: u64,
    /// Bytes of one value in the state: it must fit a record of a broker with default settings
    /// (Kafka: 1 MiB with everything).
    pub state_value_bytes: u64,
    /// Lines of log a second; as many again may come at once.
    pub log_lines: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 * MIB,
            table_elements: 100_000,
            call_ms: 2_000,
            soft_ms: 5,
            init_ms: 5_000,
            batch_events: 512,
            batch_bytes: 4 * MIB,
            emit_events: 8_192,
            emit_bytes: 16 * MIB,
            state_bytes: 16 * MIB,
            state_value_bytes: 512 * KIB,
            log_lines: 50,
        }
    }
}

/// Bytes of a component's file. A Python guest is 18 MB; compiling takes 25 times as much memory.
pub const MAX_COMPONENT: u64 = 64 * MIB;
