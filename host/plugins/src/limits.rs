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

/// Counts the memory and tables of one instance, over all of its core modules, and refuses growth.
///
/// The limits of wasmtime's own limiter are for each memory alone; some guests have three.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    max_memory: usize,
    elements: usize,
    max_elements: usize,
    refused: Option<&'static str>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        let most = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            memory: 0,
            max_memory: most(limits.memory),
            elements: 0,
            max_elements: most(limits.table_elements),
            refused: None,
        }
    }

    /// Bytes of all memories.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Takes the name of the limit that growth was refused for since it was asked last. A guest may
    /// live with a refusal; a trap after one is the limit's doing.
    pub(crate) fn take_refused(&mut self) -> Option<&'static str> {
        self.refused.take()
    }
}

impl wasmtime::ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let within_own = maximum.is_none_or(|maximum| desired <= maximum);
        if total > self.max_memory {
            self.refused = Some("memory");
        } else if within_own {
            self.memory = total;
        }
        Ok(total <= self.max_memory && within_own)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        let within_own = maximum.is_none_or(|maximum| desired <= maximum);
        if total > self.max_elements {
            self.refused = Some("table_elements");
        } else if within_own {
            self.elements = total;
        }
        Ok(total <= self.max_elements && within_own)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

/// Core instances of one component: an interpreter has its own, adapters and shims, about ten.
pub(crate) const MAX_CORE_INSTANCES: usize = 32;

/// Linear memories of one component; QuickJS has three.
pub(crate) const MAX_MEMORIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::ResourceLimiter;

    const PAGE: usize = 64 * 1024;

    fn limiter() -> Limiter {
        let memory = 4 * PAGE as u64;
        Limiter::new(&Limits { memory, table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memories_count_together_and_a_refusal_is_remembered_once() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 3 * PAGE, None).unwrap());
        assert!(limiter.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(limiter.take_refused(), None);
        assert!(!limiter.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        assert_eq!(limiter.memory(), 4 * PAGE);
        assert_eq!(limiter.take_refused(), Some("memory"));
        assert_eq!(limiter.take_refused(), None);
    }

    #[test]
    fn growth_that_a_memory_forbids_itself_is_not_counted() {
        let mut limiter = limiter();
        assert!(!limiter.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert_eq!((limiter.memory(), limiter.take_refused()), (0, None));
    }

    #[test]
    fn tables_count_together() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.take_refused(), Some("table_elements"));
    }

    #[test]
    fn an_unknown_limit_is_refused_and_a_missing_one_is_the_default() {
        let set: Limits = serde_json::from_str(r#"{"call_ms": 10}"#).unwrap();
        assert_eq!(set, Limits { call_ms: 10, ..Limits::default() });
        assert!(serde_json::from_str::<Limits>(r#"{"cal_ms": 10}"#).is_err());
    }
}
