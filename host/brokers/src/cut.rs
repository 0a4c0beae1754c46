//! As much of what was read as fits into a batch.

use std::sync::Arc;

use host_events::Stored;

use crate::broker::BatchLimits;

/// The offset behind what records account for, and the records.
pub(crate) type Cut = (u64, Arc<[Stored]>);

/// As much of what was read as fits, from an offset on, and the offset after it.
pub(crate) fn cut(records: &Arc<[Stored]>, from: u64, end: u64, limits: BatchLimits) -> Cut {
    let rest = records.split_at(records.partition_point(|stored| stored.offset < from)).1;
    let mut bytes = 0;
    let fits = |(index, stored): &(usize, &Stored)| {
        bytes += stored.record.size();
        *index == 0 || (*index < limits.records && bytes <= limits.bytes)
    };
    let count = rest.iter().enumerate().take_while(fits).count();
    if count == records.len() {
        return (end, Arc::clone(records));
    }
    let (part, after) = rest.split_at(count);
    (after.first().map_or(end, |stored| stored.offset), part.into())
}
