//! Offsets of partitions: where logs begin and end, and what lies at a time.

use std::time::Duration;

use rdkafka::bindings::*;

use super::{Asked, Fault, Options, Owned, Words, array, c_string, string};
use crate::kafka::native::handle::Handle;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) enum Wanted {
    /// The first that can be read.
    Earliest,
    /// The one after the last.
    Latest,
    /// The first at or after a time in milliseconds (not negative); -1 where there is none.
    At(i64),
}

/// What counts as the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kafka) enum Seen {
    /// What readers of committed records reach: the beginning of the first open transaction, else
    /// the end.
    Committed,
    /// The end.
    Everything,
}

/// A partition of a topic, and its offset or why there is none.
pub(in crate::kafka) type Found = (String, i32, Result<i64, Fault>);

/// An offset for each of some partitions.
pub(in crate::kafka) async fn list_offsets(
    handle: &Handle,
    partitions: &[(&str, i32)],
    wanted: Wanted,
    seen: Seen,
    limit: Duration,
) -> Result<Vec<Found>, Fault> {
    let event = ask(handle, partitions, wanted, seen, limit)?.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_ListOffsets_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let mut count = 0;
        let infos = rd_kafka_ListOffsets_result_infos(result, &mut count);
        let partition = |info: &*const _| rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
        let found = |element: &rd_kafka_topic_partition_t| {
            let (number, offset) = answer(element);
            (string(element.topic), number, offset)
        };
        Ok(array(infos, count).iter().map(|info| found(&*partition(info))).collect())
    }
}

fn ask(
    handle: &Handle,
    partitions: &[(&str, i32)],
    wanted: Wanted,
    seen: Seen,
    limit: Duration,
) -> Result<Asked, Fault> {
    let offset = match wanted {
        Wanted::Earliest => rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
        Wanted::Latest => rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
        Wanted::At(time) => time.max(0),
    };
    let partitions = partitions.iter().map(|(topic, number)| (*topic, *number, offset));
    let partitions = Partitions::new(partitions)?;
    let isolation = match seen {
        Seen::Committed => rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        Seen::Everything => rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
    };
    let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS;
    let options = Options::new(handle, op, limit)?;
    // SAFETY: the options are alive.
    let error = unsafe { rd_kafka_AdminOptions_set_isolation_level(options.0.as_ptr(), isolation) };
    Words::refused(error)?;
    Asked::with(handle, &options, |client, options, queue| {
        // SAFETY: everything is alive, and librdkafka copies the list.
        unsafe { rd_kafka_ListOffsets(client, partitions.as_ptr(), options, queue) }
    })
}

/// Partitions with an offset each, as librdkafka wants them.
pub(super) struct Partitions(Owned<rd_kafka_topic_partition_list_t>);

impl Partitions {
    pub(super) fn new<'a>(
        partitions: impl Iterator<Item = (&'a str, i32, i64)>,
    ) -> Result<Self, Fault> {
        // SAFETY: the list grows by itself, the name is copied, and each element is set before the next
        // is added, which may move it.
        unsafe {
            let list = Owned::new(
                rd_kafka_topic_partition_list_new(0),
                rd_kafka_topic_partition_list_destroy,
            )?;
            for (topic, partition, offset) in partitions {
                let topic = c_string(topic)?;
                let element =
                    rd_kafka_topic_partition_list_add(list.as_ptr(), topic.as_ptr(), partition);
                (*element).offset = offset;
            }
            Ok(Self(list))
        }
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }
}

/// Partition and offset, or why there is none, of each element.
///
/// # Safety
/// The list is null or alive.
pub(super) unsafe fn answers(
    list: *const rd_kafka_topic_partition_list_t,
) -> Vec<(i32, Result<i64, Fault>)> {
    // SAFETY: passed on.
    unsafe { elements(list) }.iter().map(answer).collect()
}

/// Topic and partition of each element of a list.
///
/// # Safety
/// The list is null or alive.
pub(super) unsafe fn places(list: *const rd_kafka_topic_partition_list_t) -> Vec<(String, i32)> {
    let place = |element: &rd_kafka_topic_partition_t| {
        // SAFETY: each element has a name, which lives as long.
        (unsafe { string(element.topic) }, element.partition)
    };
    // SAFETY: passed on.
    unsafe { elements(list) }.iter().map(place).collect()
}

/// # Safety
/// The list is null or alive for `'a`.
unsafe fn elements<'a>(
    list: *const rd_kafka_topic_partition_list_t,
) -> &'a [rd_kafka_topic_partition_t] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: the list is alive and has as many elements as it says.
    unsafe {
        if (*list).elems.is_null() {
            return &[];
        }
        std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0))
    }
}

fn answer(element: &rd_kafka_topic_partition_t) -> (i32, Result<i64, Fault>) {
    let offset = Words::default().check(element.err).map(|()| element.offset);
    (element.partition, offset)
}
