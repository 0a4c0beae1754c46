//! Topics: looked at by name, with their ids.

use std::time::Duration;

use rdkafka::bindings::*;
use uuid::Uuid;

use super::{Asked, Event, Fault, Owned, array, c_string, string};
use crate::kafka::native::handle::Handle;

/// A topic as a broker of the cluster knows it.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct TopicDescription {
    pub(in crate::kafka) name: String,
    /// Its id; `None` from brokers that have none (before Kafka 2.8).
    pub(in crate::kafka) id: Option<Uuid>,
    /// In the order of their numbers.
    pub(in crate::kafka) partitions: Vec<PartitionDescription>,
}

/// A partition: who leads it, and its copies.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct PartitionDescription {
    pub(in crate::kafka) number: i32,
    /// Whether somebody leads it now.
    pub(in crate::kafka) led: bool,
    pub(in crate::kafka) replicas: usize,
}

/// Each topic, or why it cannot be described, in the order of the answer.
pub(in crate::kafka) async fn describe_topics(
    handle: &Handle,
    names: &[&str],
    limit: Duration,
) -> Result<Vec<(String, Result<TopicDescription, Fault>)>, Fault> {
    let asked = ask(handle, names, limit)?;
    let event = asked.answer().await?;
    Ok(described(&event))
}

fn ask(handle: &Handle, names: &[&str], limit: Duration) -> Result<Asked, Fault> {
    let names = names.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: as many names as are said; librdkafka copies them.
    let topics = unsafe {
        Owned::new(
            rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            rd_kafka_TopicCollection_destroy,
        )?
    };
    let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    Asked::new(handle, op, limit, |client, options, queue| {
        // SAFETY: all four are alive, and librdkafka copies what it keeps.
        unsafe { rd_kafka_DescribeTopics(client, topics.as_ptr(), options, queue) }
    })
}

fn described(event: &Event) -> Vec<(String, Result<TopicDescription, Fault>)> {
    // SAFETY: the event is alive while its topics are read; it is null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DescribeTopics_result(event.as_ptr());
        if result.is_null() {
            return Vec::new();
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &mut count);
        array(topics, count)
            .iter()
            .map(|topic| (string(rd_kafka_TopicDescription_name(*topic)), description(*topic)))
            .collect()
    }
}

/// # Safety
/// The topic is alive.
unsafe fn description(
    topic: *const rd_kafka_TopicDescription_t,
) -> Result<TopicDescription, Fault> {
    // SAFETY: the topic is alive, and everything asked of it lives as long.
    unsafe {
        Fault::of_error(rd_kafka_TopicDescription_error(topic))?;
        let mut count = 0;
        let partitions = rd_kafka_TopicDescription_partitions(topic, &mut count);
        let mut partitions: Vec<_> =
            array(partitions, count).iter().map(|one| partition(*one)).collect();
        partitions.sort_by_key(|partition| partition.number);
        Ok(TopicDescription {
            name: string(rd_kafka_TopicDescription_name(topic)),
            id: id(rd_kafka_TopicDescription_topic_id(topic)),
            partitions,
        })
    }
}

/// # Safety
/// The partition is alive.
unsafe fn partition(partition: *const rd_kafka_TopicPartitionInfo_t) -> PartitionDescription {
    let mut replicas = 0;
    // SAFETY: the partition is alive; of the array only the length is taken.
    unsafe {
        rd_kafka_TopicPartitionInfo_replicas(partition, &mut replicas);
        PartitionDescription {
            number: rd_kafka_TopicPartitionInfo_partition(partition),
            led: !rd_kafka_TopicPartitionInfo_leader(partition).is_null(),
            replicas,
        }
    }
}

/// # Safety
/// The id is null or alive.
unsafe fn id(id: *const rd_kafka_Uuid_t) -> Option<Uuid> {
    if id.is_null() {
        return None;
    }
    // SAFETY: it is alive.
    let (most, least) = unsafe {
        (rd_kafka_Uuid_most_significant_bits(id), rd_kafka_Uuid_least_significant_bits(id))
    };
    let id = Uuid::from_u64_pair(most.cast_unsigned(), least.cast_unsigned());
    (!id.is_nil()).then_some(id)
}
