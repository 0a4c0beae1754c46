//! Topics made, grown, emptied and deleted.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::time::Duration;

use rdkafka::bindings::*;

use super::offsets::{Partitions, answers};
use super::{Asked, Event, Fault, Owned, Words, array, c_string};
use crate::kafka::native::handle::Handle;

/// Makes a topic. Without a replication the cluster's default is taken.
pub(in crate::kafka) async fn create_topic(
    handle: &Handle,
    name: &str,
    partitions: u32,
    replication: Option<u16>,
    config: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let topic = new_topic(name, partitions, replication)?;
        for (key, value) in config {
            let (key, value) = (c_string(key)?, c_string(value)?);
            // SAFETY: all three are alive; librdkafka copies the words.
            let code = unsafe {
                rd_kafka_NewTopic_set_config(topic.as_ptr(), key.as_ptr(), value.as_ptr())
            };
            Words::default().check(code)?;
        }
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies the topic.
            unsafe { rd_kafka_CreateTopics(client, &mut topic.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive; the result is null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_CreateTopics_result(event.as_ptr());
        first(&event, result, rd_kafka_CreateTopics_result_topics)
    }
}

fn new_topic(
    name: &str,
    partitions: u32,
    replication: Option<u16>,
) -> Result<Owned<rd_kafka_NewTopic_t>, Fault> {
    let name = c_string(name)?;
    let partitions = c_int::try_from(partitions).unwrap_or(c_int::MAX);
    let mut words = Words::default();
    // SAFETY: the name is alive and copied; the buffer is as large as is said.
    unsafe {
        let topic = rd_kafka_NewTopic_new(
            name.as_ptr(),
            partitions,
            replication.map_or(-1, c_int::from),
            words.as_mut_ptr(),
            words.len(),
        );
        if topic.is_null() {
            return Err(words.fault());
        }
        Owned::new(topic, rd_kafka_NewTopic_destroy)
    }
}

/// Grows a topic to so many partitions.
pub(in crate::kafka) async fn create_partitions(
    handle: &Handle,
    name: &str,
    total: u32,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let (name, mut words) = (c_string(name)?, Words::default());
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        // SAFETY: the name is alive and copied; the buffer is as large as is said.
        let grown = unsafe {
            let grown =
                rd_kafka_NewPartitions_new(name.as_ptr(), total, words.as_mut_ptr(), words.len());
            if grown.is_null() {
                return Err(words.fault());
            }
            Owned::new(grown, rd_kafka_NewPartitions_destroy)?
        };
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_CreatePartitions(client, &mut grown.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive; the result is null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_CreatePartitions_result(event.as_ptr());
        first(&event, result, rd_kafka_CreatePartitions_result_topics)
    }
}

/// Deletes whatever has this name.
pub(in crate::kafka) async fn delete_topic(
    handle: &Handle,
    name: &str,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let name = c_string(name)?;
        // SAFETY: the name is alive and copied.
        let topic = unsafe {
            Owned::new(rd_kafka_DeleteTopic_new(name.as_ptr()), rd_kafka_DeleteTopic_destroy)?
        };
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_DeleteTopics(client, &mut topic.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive; the result is null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DeleteTopics_result(event.as_ptr());
        first(&event, result, rd_kafka_DeleteTopics_result_topics)
    }
}

/// Deletes the records of partitions before offsets (-1: all of them), and says for each what failed.
pub(in crate::kafka) async fn delete_records(
    handle: &Handle,
    name: &str,
    before: &[(i32, i64)],
    limit: Duration,
) -> Result<Vec<(i32, Result<i64, Fault>)>, Fault> {
    let asked = {
        let partitions =
            Partitions::new(before.iter().map(|(partition, offset)| (name, *partition, *offset)))?;
        // SAFETY: the list is alive and copied.
        let records = unsafe {
            Owned::new(
                rd_kafka_DeleteRecords_new(partitions.as_ptr()),
                rd_kafka_DeleteRecords_destroy,
            )?
        };
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETERECORDS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_DeleteRecords(client, &mut records.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and so is the list in it; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DeleteRecords_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        Ok(answers(rd_kafka_DeleteRecords_result_offsets(result)))
    }
}

/// How the one topic of a request fared.
///
/// # Safety
/// `result` is null or points into the event.
unsafe fn first<T>(
    _event: &Event,
    result: *const T,
    topics: unsafe extern "C" fn(*const T, *mut usize) -> *mut *const rd_kafka_topic_result_t,
) -> Result<(), Fault> {
    if result.is_null() {
        return Ok(());
    }
    let mut count = 0;
    // SAFETY: the result is alive, and everything in it as long.
    unsafe {
        let topics = topics(result, &mut count);
        for topic in array(topics, count) {
            Fault::of_code(
                rd_kafka_topic_result_error(*topic),
                rd_kafka_topic_result_error_string(*topic),
            )?;
        }
    }
    Ok(())
}
