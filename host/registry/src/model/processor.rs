//! Processors, as rows and as wishes, and what may be set of them.

use std::collections::BTreeMap;

use fnap::subject::Subject;
use host_events::Incarnation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Config;
use crate::Name;
use crate::dead::DeadLetters;
use crate::grants::Maker;
use crate::letters::Letters;
use crate::successor::{ShadowChange, Successor};

/// A processor: a plugin between flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Never used again for another one, even under the same name.
    pub id: Uuid,
    /// Its name.
    pub name: Name,
    /// The processor type, i.e. the plugin.
    pub kind: String,
    /// Flows it reads.
    pub inputs: Vec<Name>,
    /// Flows it writes.
    pub outputs: Vec<Name>,
    /// Configuration for the plugin, JSON.
    pub config: String,
    /// Where it began to read.
    pub start: Start,
    /// What it should do.
    pub desired: Desired,
    /// Why, where the host did it for somebody.
    #[serde(default)]
    pub because: Option<String>,
    /// The host's own settings: [`PROCESSOR_OPTIONS`].
    pub options: Config,
    /// Counts its changes.
    pub revision: u64,
    /// The life of each input that was meant at creation.
    pub input_incarnations: BTreeMap<Name, Incarnation>,
    /// Partitions of each input at creation. Those that came later are read from their beginning,
    /// whatever `start` says: everything in them was written since.
    #[serde(default)]
    pub input_partitions: BTreeMap<Name, u32>,
    /// Digest of the plugin that it stays with, where `upgrade=pinned`, or until another one follows by
    /// `upgrade=shadow-first`.
    #[serde(default)]
    pub pinned: Option<String>,
    /// Digest of the version that it stayed with before by `upgrade=shadow-first`, and goes back to where that one is
    /// not to run any more.
    #[serde(default)]
    pub before: Option<String>,
    /// Digest of the version that runs beside the one that counts, see [`ShadowChange`].
    #[serde(default)]
    pub shadow: Option<String>,
    /// The version that is to follow by `upgrade=shadow-first`.
    #[serde(default)]
    pub successor: Option<Box<Successor>>,
    /// What became of its dead letters.
    #[serde(default)]
    pub dead: Box<DeadLetters>,
    /// What has made it of a pattern.
    #[serde(default)]
    pub mirror: Option<Name>,
    /// Whose it is, and by whose rights it reads and writes; none where the host made it, or an earlier version
    /// that did not ask.
    #[serde(default)]
    pub owner: Option<Subject>,
    /// When it was created.
    pub created_at: i64,
}

impl Processor {
    /// The limits that are its own, by name.
    pub fn own_limits(&self) -> impl Iterator<Item = (&str, u64)> {
        self.options
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(LIMIT_PREFIX)?, value.parse().ok()?)))
    }

    /// An option in force: as set, or the default.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        let default =
            || PROCESSOR_OPTIONS.iter().find(|(name, _)| *name == key)?.1.first().copied();
        self.options.get(key).map(String::as_str).or_else(default)
    }
}

/// Where a processor begins to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the first record of the log.
    #[default]
    Earliest,
    /// After the last record at the time of creation.
    Latest,
    /// At an offset of one partition, the others at their beginning.
    Offset {
        /// The partition.
        partition: u32,
        /// The offset.
        offset: u64,
    },
    /// At the first record at or after a time, in milliseconds since 1970 UTC.
    Time(i64),
}

/// What a processor should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Desired {
    /// Process.
    Running,
    /// Hold, ready to go on.
    Paused,
    /// Drained, instances gone, position kept.
    Stopped,
    /// Drained and on its way out.
    Deleted,
}

/// A processor to create.
#[derive(Clone, Debug)]
pub struct NewProcessor {
    /// Its name, or [`crate::derived_name`].
    pub name: Name,
    /// The processor type.
    pub kind: String,
    /// Flows to read.
    pub inputs: Vec<Name>,
    /// Flows to write.
    pub outputs: Vec<Name>,
    /// Configuration for the plugin, JSON.
    pub config: String,
    /// Where to begin.
    pub start: Start,
    /// The host's own settings.
    pub options: Config,
    /// Digest of the plugin that runs now: where it shall stay with one, it stays with that.
    pub pin: Option<String>,
    /// Dead letters that a processor of this name has left: they are not this one's.
    pub former: Option<(Incarnation, Letters)>,
    /// What makes it of a pattern.
    pub mirror: Option<Name>,
    /// Who makes it.
    pub maker: Maker,
}

impl NewProcessor {
    /// One of a type, from and to flows, with nothing said beside that.
    #[must_use]
    pub fn named(name: Name, kind: &str, inputs: Vec<Name>, outputs: Vec<Name>) -> Self {
        Self {
            name,
            kind: kind.to_owned(),
            inputs,
            outputs,
            config: "{}".to_owned(),
            start: Start::default(),
            options: Config::new(),
            pin: None,
            former: None,
            mirror: None,
            maker: Maker::default(),
        }
    }

    /// The processor as it would be, for a trial.
    #[must_use]
    pub fn preview(&self) -> Processor {
        Processor {
            id: Uuid::nil(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            config: self.config.clone(),
            start: self.start,
            desired: Desired::Running,
            because: None,
            options: self.options.clone(),
            revision: 0,
            input_incarnations: BTreeMap::new(),
            input_partitions: BTreeMap::new(),
            pinned: None,
            before: None,
            shadow: None,
            successor: None,
            dead: Box::default(),
            mirror: None,
            owner: self.maker.owner.clone(),
            created_at: 0,
        }
    }
}

/// A change of a processor.
#[derive(Clone, Debug, Default)]
pub struct ProcessorChange {
    /// New configuration for the plugin, JSON.
    pub config: Option<String>,
    /// Options to set.
    pub options: Config,
    /// Digest of the plugin that runs now: where this change pins, it stays with that.
    pub pin: Option<String>,
    /// What becomes of its shadow.
    pub shadow: Option<ShadowChange>,
}

/// Begins the options that set a limit of one processor: `limit.memory=1048576`.
pub const LIMIT_PREFIX: &str = "limit.";

/// Limits of a processor's plugin, and the lowest value that leaves it something to work with. The
/// highest is what the operator grants.
pub const PROCESSOR_LIMITS: &[(&str, u64)] = &[
    ("memory", 64 * 1024),
    ("table_elements", 100),
    ("call_ms", 1),
    ("soft_ms", 1),
    ("init_ms", 1),
    ("batch_events", 1),
    ("batch_bytes", 1024),
    ("emit_events", 0),
    ("emit_bytes", 0),
    ("state_bytes", 0),
    ("state_value_bytes", 0),
    ("log_lines", 0),
    ("recycle_bytes", 0),
    ("idle_ms", 10),
];

/// Options of a processor and the values they take, the default first.
pub const PROCESSOR_OPTIONS: &[(&str, &[&str])] = &[
    ("upgrade", &["auto", "one-first", "shadow-first", "pinned"]),
    ("upgrade-first", &["no", "yes"]),
    ("on-gap", &["stop", "record"]),
    ("dead-letters", &["auto", "all", "off"]),
    ("ring", &["refuse", "allow"]),
    ("delivery", &["auto", "exactly-once", "at-least-once"]),
    ("snapshots", &["off", "hourly", "daily"]),
];
