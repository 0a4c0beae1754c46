//! What the supervisor asks of a processor's shards.

/// What a shard shall do from its next batch boundary on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Process events.
    Run,
    /// Hold at the batch boundary; positions stay.
    Pause,
    /// Finish what is in flight, then end the task.
    Stop,
    /// Call the plugin's `destroy`, then end the task: the processor was deleted.
    Destroy,
}
