//! Pieces of a batch, and which failures are looked for in them.
//!
//! A batch that fails is cut until the event that fails alone is found.

use std::ops::Range;
use std::sync::Arc;

use host_events::{Batch, Stored};
use host_plugins::CallError;

use crate::dead::Kind;
use crate::inputs::Next;

/// What kind of failure it is where an event can be to blame; none where it cannot.
pub(crate) fn kind(cause: &CallError) -> Option<Kind> {
    match cause {
        CallError::Reject { .. } => Some(Kind::Reject),
        CallError::Trap(_) => Some(Kind::Trap),
        CallError::Limit { .. } => Some(Kind::Limit),
        CallError::Contract(_) => Some(Kind::Contract),
        CallError::Retry(_) | CallError::Fatal(_) | CallError::Dead | CallError::Busy(_) => None,
    }
}

/// Cuts a batch into pieces of at most so many events.
pub(crate) fn chop(next: &Next, most: usize) -> Vec<Next> {
    let len = next.batch.records.len();
    let starts = (0..len).step_by(most.max(1));
    starts.map(|start| piece(next, start..(start + most.max(1)).min(len))).collect()
}

/// Pieces of a batch that ran for too long: each that has the event that loops takes all its time, so few in a row may. From
/// 8,192 events on it is alone after four of them; by halves it would be after thirteen, and the shard stand for half a minute.
const TIMED_PIECES: usize = 16;

/// Cuts a batch that failed: around the event that the plugin blames, in many pieces where it ran for too long, else in
/// halves; where nearly every event fails, after the first, because that one decides. One event cannot be cut.
pub(crate) fn split(next: &Next, cause: &CallError, first_decides: bool) -> Vec<Next> {
    let len = next.batch.records.len();
    let cuts = match cause {
        _ if len <= 1 => vec![],
        _ if first_decides => vec![1],
        CallError::Reject { index, .. } if (*index as usize) < len => {
            vec![*index as usize, *index as usize + 1]
        }
        late if late.is_late() => return chop(next, len.div_ceil(TIMED_PIECES)),
        _ => vec![len / 2],
    };
    let ends = cuts.into_iter().chain([len]);
    let mut start = 0;
    let ranges = ends.map(|end| std::mem::replace(&mut start, end)..end);
    ranges.filter(|range| !range.is_empty()).map(|range| piece(next, range)).collect()
}

/// Some events of a batch. A piece in the middle accounts for everything up to the next event.
fn piece(next: &Next, range: Range<usize>) -> Next {
    let Batch { flow, partition, ref records, next: end } = next.batch;
    let after = records.get(range.end).map_or(end, |stored| stored.offset);
    let records: Arc<[Stored]> = records.get(range).unwrap_or_default().into();
    Next { input: next.input, batch: Batch { flow, partition, records, next: after } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_events::{Incarnation, Record};

    /// Events at the offsets 0, 10, 20, …; the batch accounts for everything up to 99.
    fn next(events: u64) -> Next {
        let stored = |n| Stored { offset: n * 10, record: Record::default() };
        let records = (0..events).map(stored).collect();
        let flow = Incarnation(uuid::Uuid::nil());
        Next { input: 0, batch: Batch { flow, partition: 0, records, next: 99 } }
    }

    fn offsets(pieces: &[Next]) -> Vec<(Vec<u64>, u64)> {
        let of = |piece: &Next| piece.batch.records.iter().map(|stored| stored.offset).collect();
        pieces.iter().map(|piece| (of(piece), piece.batch.next)).collect()
    }

    #[test]
    fn halves_account_for_the_gaps_between_them() {
        let trap = CallError::Trap("".into());
        let halves = split(&next(5), &trap, false);
        assert_eq!(offsets(&halves), [(vec![0, 10], 20), (vec![20, 30, 40], 99)]);
        assert_eq!(split(&next(1), &trap, false).len(), 1);
    }

    #[test]
    fn an_event_that_loops_is_alone_after_few_pieces() {
        let late = CallError::Limit { which: "call_ms", limit: 2_000, words: String::new() };
        let (mut piece, mut late_ones) = (next(8_192), 0);
        while piece.batch.records.len() > 1 {
            piece = split(&piece, &late, false).pop().unwrap();
            late_ones += 1;
        }
        assert_eq!((piece.batch.records[0].offset, late_ones), (81_910, 4));
        let cut = offsets(&split(&next(3), &late, false));
        assert_eq!(cut, [(vec![0], 10), (vec![10], 20), (vec![20], 99)]);
        let full = CallError::Limit { which: "memory", limit: 1, words: String::new() };
        assert_eq!(split(&next(64), &full, false).len(), 2);
    }

    #[test]
    fn the_event_that_the_plugin_blames_is_cut_out() {
        let reject = |index| CallError::Reject { index, reason: String::new() };
        let cut = split(&next(4), &reject(2), false);
        assert_eq!(offsets(&cut), [(vec![0, 10], 20), (vec![20], 30), (vec![30], 99)]);
        assert_eq!(
            offsets(&split(&next(3), &reject(0), false)),
            [(vec![0], 10), (vec![10, 20], 99)]
        );
        // One that does not exist says nothing.
        assert_eq!(split(&next(4), &reject(9), false).len(), 2);
    }

    #[test]
    fn where_nearly_all_fail_the_first_event_decides() {
        let trap = CallError::Trap("".into());
        assert_eq!(offsets(&split(&next(3), &trap, true)), [(vec![0], 10), (vec![10, 20], 99)]);
    }

    #[test]
    fn chopping_keeps_every_event_in_order() {
        assert_eq!(
            offsets(&chop(&next(5), 2)),
            [(vec![0, 10], 20), (vec![20, 30], 40), (vec![40], 99)]
        );
    }
}
