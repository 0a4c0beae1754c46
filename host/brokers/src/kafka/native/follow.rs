//! Reading a partition to a known end: records, and how far the log is readable.
//!
//! The binding tells that an end was reached, but not at which offset, nor how far beyond it the log goes.

use std::ffi::{CString, c_void};
use std::ptr::NonNull;

use bytes::Bytes;
use rdkafka::bindings::*;
use rdkafka::error::RDKafkaErrorCode;

use super::admin::{Fault, string};
use super::handle::{Handle, Queue};

/// What a consumer's queue gave.
pub(in crate::kafka) enum Found {
    /// A record; of what there is in it only what compacted topics use.
    Record {
        offset: u64,
        key: Option<Bytes>,
        value: Option<Bytes>,
    },
    /// Everything before this offset that can be read was read.
    End {
        offset: u64,
    },
    Fault(Fault),
    /// Something that says nothing here.
    Other,
}

/// Takes what lies in a consumer's queue, if anything does.
pub(in crate::kafka) fn take(queue: &Queue) -> Option<Found> {
    let event = queue.poll()?.as_ptr();
    // SAFETY: the event is ours until it is destroyed, and everything found in it is copied before.
    unsafe {
        let found = match rd_kafka_event_type(event) {
            RD_KAFKA_EVENT_FETCH => record(rd_kafka_event_message_next(event)),
            RD_KAFKA_EVENT_ERROR => error(event),
            _ => Found::Other,
        };
        rd_kafka_event_destroy(event);
        Some(found)
    }
}

/// # Safety
/// The message is null or alive.
unsafe fn record(message: *const rd_kafka_message_t) -> Found {
    // SAFETY: it is alive where it is not null.
    let Some(message) = (unsafe { message.as_ref() }) else { return Found::Other };
    let code = RDKafkaErrorCode::from(message.err);
    if code != RDKafkaErrorCode::NoError {
        return Found::Fault(Fault::new(code, code.to_string()));
    }
    // SAFETY: key and payload are as long as the message says.
    let (key, value) =
        unsafe { (copied(message.key, message.key_len), copied(message.payload, message.len)) };
    Found::Record { offset: message.offset.cast_unsigned(), key, value }
}

/// # Safety
/// The address is null or has so many bytes.
unsafe fn copied(bytes: *mut c_void, len: usize) -> Option<Bytes> {
    let bytes = NonNull::new(bytes.cast::<u8>())?;
    // SAFETY: passed on.
    Some(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), len) }))
}

/// # Safety
/// The event is alive and one of an error.
unsafe fn error(event: *mut rd_kafka_event_t) -> Found {
    // SAFETY: the event is alive; the partition that it gives is the caller's to destroy.
    unsafe {
        let code = RDKafkaErrorCode::from(rd_kafka_event_error(event));
        if code != RDKafkaErrorCode::PartitionEOF {
            let text = rd_kafka_event_error_string(event);
            return Found::Fault(Fault::new(code, string(text)));
        }
        let partition = rd_kafka_event_topic_partition(event);
        let Some(place) = partition.as_ref() else { return Found::Other };
        let offset = place.offset;
        rd_kafka_topic_partition_destroy(partition);
        Found::End { offset: offset.cast_unsigned() }
    }
}

/// How far the log of a partition that is being read goes, transactions that are open included, as the
/// last answer said. `None` before there was one.
pub(in crate::kafka) fn high_watermark(
    client: &Handle,
    topic: &str,
    partition: i32,
) -> Option<u64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: client and topic are alive, and there is room for both answers.
    let code = unsafe {
        rd_kafka_get_watermark_offsets(
            client.as_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    let known = RDKafkaErrorCode::from(code) == RDKafkaErrorCode::NoError;
    u64::try_from(high).ok().filter(|_| known)
}
