//! What a plugin decided about a batch, checked against the batch and the contract.

use bytes::Bytes;
use host_events::Record;

/// One decision. Actions take effect in order; indexes and outputs exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This event to this output, byte for byte.
    Forward {
        /// Index in the batch.
        index: u32,
        /// The output.
        output: u32,
    },
    /// Every event of the batch to this output, byte for byte.
    ForwardAll {
        /// The output.
        output: u32,
    },
    /// A new event.
    Emit {
        /// The output.
        output: u32,
        /// The record's key: what the plugin said, else the event's `partitionkey`.
        key: Option<Bytes>,
        /// The event in Kafka's binary mode; its key is `key`.
        record: Record,
    },
    /// An event of the batch with other data or attributes.
    Rewrite {
        /// The output.
        output: u32,
        /// Index in the batch.
        index: u32,
        /// The changed event with the timestamp of the old one, and its key, unless the plugin set it.
        record: Record,
        /// Whether the plugin set the key: the event goes to the partition of it.
        keyed: bool,
    },
    /// Nowhere, on purpose.
    Drop {
        /// Index in the batch.
        index: u32,
    },
    /// To the processor's dead-letter flow.
    DeadLetter {
        /// Index in the batch.
        index: u32,
        /// The plugin's words.
        reason: String,
    },
}
