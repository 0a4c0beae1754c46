//! What a plugin may use up. Passing a limit stops the plugin's call, never the host.
//!
//! Every limit has a default and its reason; each may be set for one processor, up to what the operator
//! grants. Those that cannot are in [`FIXED`].

use std::collections::BTreeMap;

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
    /// a batch with an event that loops is cut up to four times, so five times this is what such an event costs.
    /// Only time in which the guest itself runs is counted.
    pub call_ms: u64,
    /// Milliseconds that a call may run beside the others before it goes on in the slow lane. Five is
    /// where looping guests stopped being felt by their neighbours.
    pub soft_ms: u64,
    /// Milliseconds for `describe`, and for instantiation with `init`: interpreters start up there.
    pub init_ms: u64,
    /// Events of one batch, at most: [`USUAL_BATCH`] to begin with, and more for who is quick and gets whole
    /// ones. Beyond a few hundred a call's own cost no longer shows, but what a plugin puts together is put
    /// together for more events; beyond some thousand that does not show either.
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
    /// Bytes of all linear memories of an instance from which on a fresh one takes its place, at the
    /// boundary of two batches: some languages never give memory back. 0 for three quarters of `memory`,
    /// which leaves room for the next batch; as much as `memory` for never.
    pub recycle_bytes: u64,
    /// Milliseconds without a batch after which an instance is given back; the next batch has one made,
    /// which takes about a millisecond.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 128 * MIB,
            table_elements: 100_000,
            call_ms: 2_000,
            soft_ms: 5,
            init_ms: 5_000,
            batch_events: 8_192,
            batch_bytes: 4 * MIB,
            emit_events: 8_192,
            emit_bytes: 16 * MIB,
            state_bytes: 16 * MIB,
            state_value_bytes: 512 * KIB,
            log_lines: 50,
            recycle_bytes: 0,
            idle_ms: 60_000,
        }
    }
}

impl Limits {
    /// These limits, and some of them otherwise: by name, none above `most`. What is no limit's name
    /// changes nothing.
    #[must_use]
    pub fn with<'a>(&self, own: impl Iterator<Item = (&'a str, u64)>, most: &Self) -> Self {
        let (mut values, most) = (self.values(), most.highest());
        for (name, value) in own {
            if let (Some(set), Some(most)) = (values.get_mut(name), most.get(name)) {
                *set = value.min(*most);
            }
        }
        let values = values.into_iter().map(|(name, value)| (name, value.into())).collect();
        // Each value lies within one that the type has held before.
        serde_json::from_value(serde_json::Value::Object(values)).unwrap_or_else(|_| self.clone())
    }

    /// Bytes from which on an instance is recycled.
    #[must_use]
    pub fn recycle_at(&self) -> u64 {
        match self.recycle_bytes {
            0 => self.memory / 4 * 3,
            bytes => bytes,
        }
    }

    /// The highest values there may be where these are what is granted, by name.
    #[must_use]
    pub fn highest(&self) -> BTreeMap<String, u64> {
        let mut highest = self.values();
        if self.recycle_bytes == 0 {
            // Not to be recycled at all takes nothing from anybody.
            highest.insert(RECYCLE.to_owned(), self.memory);
        }
        highest
    }

    /// Bytes that one call may lift into the host. A list is lifted whole before it can be counted, so
    /// this is what keeps an answer of a billion actions, or a million that share one buffer, out of the
    /// host's memory. Follows from what may be emitted.
    #[must_use]
    pub fn lifted_bytes(&self) -> u64 {
        let events = u64::from(self.emit_events) * LIFTED_EVENT;
        let decisions = u64::from(self.batch_events) * LIFTED_ACTION * 4;
        self.emit_bytes.saturating_add(events + decisions + LIFTED_MARGIN)
    }

    /// Everything that limits a plugin, by name: these, what follows from them, and [`FIXED`].
    #[must_use]
    pub fn shown(&self) -> BTreeMap<String, u64> {
        let mut shown = self.values();
        shown.insert(LIFTED.to_owned(), self.lifted_bytes());
        shown.insert(RECYCLE.to_owned(), self.recycle_at());
        shown.extend(FIXED.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        shown
    }

    /// Every limit that can be set, by its name.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, u64> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return BTreeMap::new();
        };
        fields.into_iter().map(|(name, value)| (name, value.as_u64().unwrap_or(0))).collect()
    }
}

/// Events of one batch to begin with, for a view and at a desk: the slowest language measured needs 70 ms for them.
pub const USUAL_BATCH: u32 = 512;

/// Bytes of a component's file. A Python guest is 18 MB; compiling takes 25 times as much memory.
pub const MAX_COMPONENT: u64 = 64 * MIB;

/// Components that are compiled at once, of files that come and at a start. It takes memory and every core; a second one is there for small
/// ones beside a large one.
pub(crate) const AT_ONCE: usize = 2;

/// Bytes of a large component, of which one is compiled at a time: it takes seconds. Those of interpreters have 5 to 20 MiB, others a tenth of
/// it.
pub(crate) const LARGE: u64 = 2 * MIB;

/// The limit that the engine's words of a refusal are about: it has no types for these errors. Some come
/// from the pool of instances, some from where there is none.
pub(crate) fn refused(words: &str, limits: &Limits) -> Option<(&'static str, u64)> {
    let says = |part| words.contains(part);
    if says("core module instances") || says("instance count too high") {
        Some(("instances", MAX_CORE_INSTANCES as u64))
    } else if ["linear memories", "defined memories", "memory count too high"].into_iter().any(says)
    {
        Some(("memories", MAX_MEMORIES as u64))
    } else if ["contains", "defined"].into_iter().any(says) && says(" tables")
        || says("table count too high")
    {
        Some(("tables", MAX_TABLES as u64))
    } else if says("memory has a minimum byte size") {
        Some(("memory", limits.memory))
    } else if says("has a minimum element size") {
        Some(("table_elements", limits.table_elements))
    } else {
        None
    }
}

/// What is the same for every plugin of every host, by the names under which it is shown and passed.
pub const FIXED: &[(&str, u64)] = &[
    ("component_bytes", MAX_COMPONENT),
    ("function_bytes", MAX_FUNCTION as u64),
    ("nesting", MAX_NESTING as u64),
    ("compile_ms", MAX_COMPILE_MS),
    ("stack_bytes", MAX_STACK as u64),
    ("instances", MAX_CORE_INSTANCES as u64),
    ("memories", MAX_MEMORIES as u64),
    ("tables", MAX_TABLES as u64),
    ("handles", MAX_HANDLES as u64),
    ("state_key_bytes", crate::state::MAX_KEY as u64),
    ("log_line_bytes", crate::log::MAX_LINE as u64),
    ("timer_min_ms", MIN_TICK_MS as u64),
    ("timer_max_ms", MAX_TICK_MS as u64),
    ("describe_bytes", crate::plugin::MAX_DOCUMENT as u64),
    ("line_table_bytes", crate::lines::MAX_LINES as u64),
];

/// Name of [`Limits::lifted_bytes`].
pub(crate) const LIFTED: &str = "lifted_bytes";

/// Name of [`Limits::recycle_bytes`].
const RECYCLE: &str = "recycle_bytes";

/// Bytes of an emitted event beside its payload, when lifted: a dozen attributes of 64 bytes.
const LIFTED_EVENT: u64 = 1024;

/// Bytes of a decision, when lifted.
const LIFTED_ACTION: u64 = 256;

/// For reasons, names and log lines.
const LIFTED_MARGIN: u64 = MIB;

/// Milliseconds from tick to tick at least: a tick that writes is a commit, and a broker has better things to
/// do than a thousand a second for one plugin.
pub(crate) const MIN_TICK_MS: u32 = 100;

/// Milliseconds from tick to tick at most, a day. What is rarer would hardly live to see one.
pub(crate) const MAX_TICK_MS: u32 = 86_400_000;

/// Bytes of one function. The time and memory of compiling grow faster than a function does; the
/// largest interpreters' main loops have 200 KiB.
pub(crate) const MAX_FUNCTION: usize = 1024 * 1024;

/// Milliseconds that somebody waits for a component to be compiled. The largest interpreters take half a
/// minute, and ten times that where the machine is busy; a crafted file of a megabyte takes an hour.
pub(crate) const MAX_COMPILE_MS: u64 = 300_000;

/// Components and modules inside each other: tools make three or four.
pub(crate) const MAX_NESTING: usize = 32;

/// Handles of a store: the batches it may keep and WASI's.
pub(crate) const MAX_HANDLES: usize = 20_000;

/// Bytes of a guest's stack. Interpreters recurse on it.
pub(crate) const MAX_STACK: usize = 1024 * 1024;

/// Tables of one component: one for each core instance.
pub(crate) const MAX_TABLES: usize = MAX_CORE_INSTANCES;

/// Core instances of one component: an interpreter has its own, adapters and shims, about ten.
pub(crate) const MAX_CORE_INSTANCES: usize = 32;

/// Linear memories of one component; QuickJS has three.
pub(crate) const MAX_MEMORIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_limit_is_refused_and_a_missing_one_is_the_default() {
        let set: Limits = serde_json::from_str(r#"{"call_ms": 10}"#).unwrap();
        assert_eq!(set, Limits { call_ms: 10, ..Limits::default() });
        assert!(serde_json::from_str::<Limits>(r#"{"cal_ms": 10}"#).is_err());
    }

    #[test]
    fn an_instance_is_recycled_at_a_share_of_its_memory_or_where_its_owner_wants_it() {
        let usual = Limits::default();
        let own = |own: &[(&'static str, u64)]| {
            usual.with(own.iter().copied(), &Limits { memory: 256 * MIB, ..Limits::default() })
        };
        assert_eq!(usual.recycle_at(), 96 * MIB);
        assert_eq!(own(&[("memory", 200 * MIB)]).recycle_at(), 150 * MIB);
        assert_eq!(own(&[("recycle_bytes", 10 * MIB)]).recycle_at(), 10 * MIB);
        assert_eq!(own(&[("recycle_bytes", 1 << 40)]).recycle_at(), 256 * MIB);
        assert_eq!(usual.shown().get("recycle_bytes"), Some(&(96 * MIB)));
        let granted = Limits { recycle_bytes: 20 * MIB, ..Limits::default() };
        assert_eq!(granted.highest().get("recycle_bytes"), Some(&(20 * MIB)));
    }

    #[test]
    fn a_limit_is_set_by_its_name_and_never_above_the_highest() {
        let usual = Limits::default();
        let most = Limits { memory: 256 * MIB, ..Limits::default() };
        let own = [("memory", u64::MAX), ("log_lines", u64::MAX), ("call_ms", 7), ("colour", 1)];
        let set = usual.with(own.into_iter(), &most);
        assert_eq!(set, Limits { memory: 256 * MIB, call_ms: 7, ..Limits::default() });
        assert_eq!(usual.with([].into_iter(), &most), usual);
    }
}
