//! Processors: events go from flow to flow through plugins.
//!
//! One task owns one shard (partition p of every input): source → plugin → sink → commit. The
//! [`Processors`] supervisor makes what runs agree with what the registry says should run. Here
//! plugins and brokers meet; this crate knows neither Wasm nor any particular broker, nor FNAP's wire.

mod batches;
mod careful;
mod commits;
mod control;
mod dead;
mod delivery;
mod dry;
mod episodes;
mod growth;
mod hands;
mod inputs;
mod intake;
mod isolate;
mod lag;
mod limits;
mod living;
mod logs;
mod meeting;
mod migrate;
mod outputs;
mod pieces;
mod probation;
mod reconfigure;
mod replay;
mod rights;
mod rollouts;
mod shadow;
mod shard;
mod size;
mod snapshots;
mod spec;
mod start;
mod status;
mod successors;
mod supervisor;
mod swap;
mod ticks;
mod told;
mod traced;
mod trial;
mod versions;
mod views;
mod worker;

pub use delivery::Delivery;
pub use dry::{Dry, DryError, Letter, Outcome};
pub use lag::Lag;
pub use logs::{KEPT_BYTES, KEPT_LINES, Logged, Logs, Tail};
pub use rollouts::{FirstDoes, Upgrade};
pub use shadow::{Begin, Difference, PastError, PastReport, ShadowReport, Span};
pub use shard::Backoff;
pub use snapshots::{SNAPSHOT_BYTES, SNAPSHOTS, Snapshot, SnapshotError, SnapshotShard};
pub use spec::{Brokers, SpecError, topic_of};
pub use status::{Phase, ShardReport};
pub use supervisor::{Options, Processors, Report};
pub use trial::{Candidate, TrialHook};
pub use views::{View, ViewError};
