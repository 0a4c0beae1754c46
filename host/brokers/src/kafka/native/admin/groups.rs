//! Consumer groups: which there are, who is in them, and what they have committed.
//!
//! What only the coordinator of a group answers is asked of a client of its own alone: see `kafka::coordinators`.

use std::time::Duration;

use rdkafka::bindings::*;

use super::offsets::{Partitions, answers, places};
use super::{Asked, Fault, Owned, array, c_string, string};
use crate::kafka::native::handle::Handle;

/// The longest time that librdkafka gives a request. One to a coordinator may not run out of it: librdkafka (2.12) forgets to
/// take it from those that wait for the coordinator, and when that is back, uses what it has freed.
const LONGEST: Duration = Duration::from_secs(3600);

/// A group as its coordinator knows it.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Group {
    pub(in crate::kafka) name: String,
    /// In Kafka's word.
    pub(in crate::kafka) state: &'static str,
    pub(in crate::kafka) members: usize,
    /// Topics that members of it were given partitions of.
    pub(in crate::kafka) topics: Vec<String>,
    /// Who was given what.
    pub(in crate::kafka) given: Vec<Given>,
}

/// A partition of a group's, and who was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Given {
    pub(in crate::kafka) topic: String,
    pub(in crate::kafka) partition: i32,
    /// What the member is called, where it has a name that stays.
    pub(in crate::kafka) instance: String,
    /// Where it was seen.
    pub(in crate::kafka) host: String,
}

/// The names of all groups.
pub(in crate::kafka) async fn list_groups(
    handle: &Handle,
    limit: Duration,
) -> Result<Vec<String>, Fault> {
    let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
    let asked = Asked::new(handle, op, limit, |client, options, queue| {
        // SAFETY: all three are alive.
        unsafe { rd_kafka_ListConsumerGroups(client, options, queue) }
    })?;
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_ListConsumerGroups_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let mut count = 0;
        let errors = rd_kafka_ListConsumerGroups_result_errors(result, &mut count);
        array(errors, count).iter().try_for_each(|error| Fault::of_error(*error))?;
        let groups = rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
        let name = |group: &*const _| string(rd_kafka_ConsumerGroupListing_group_id(*group));
        Ok(array(groups, count).iter().map(name).collect())
    }
}

/// Groups by name; those that cannot be described are left out. Asks coordinators, for as long as somebody waits.
pub(in crate::kafka) async fn describe_groups(
    handle: &Handle,
    groups: &[&str],
) -> Result<Vec<Group>, Fault> {
    let asked = {
        let groups = groups.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = groups.iter().map(|name| name.as_ptr()).collect();
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        Asked::new(handle, op, LONGEST, |client, options, queue| {
            let (names, count) = (pointers.as_mut_ptr(), pointers.len());
            // SAFETY: as many names as are said; librdkafka copies them.
            unsafe { rd_kafka_DescribeConsumerGroups(client, names, count, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DescribeConsumerGroups_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let mut count = 0;
        let groups = rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        Ok(array(groups, count).iter().filter_map(|one| group(*one).ok()).collect())
    }
}

/// What a group has committed of partitions of a topic; negative where nothing. Asks its coordinator, for as long as somebody
/// waits.
pub(in crate::kafka) async fn committed(
    handle: &Handle,
    group: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<(i32, Result<i64, Fault>)>, Fault> {
    let asked = {
        let group = c_string(group)?;
        let partitions = Partitions::new(partitions.iter().map(|one| (topic, *one, -1001)))?;
        // SAFETY: name and list are alive and copied.
        let wanted = unsafe {
            Owned::new(
                rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), partitions.as_ptr()),
                rd_kafka_ListConsumerGroupOffsets_destroy,
            )?
        };
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        Asked::new(handle, op, LONGEST, |client, options, queue| {
            let mut wanted = wanted.as_ptr();
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_ListConsumerGroupOffsets(client, &mut wanted, 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_ListConsumerGroupOffsets_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let (mut count, mut all) = (0, Vec::new());
        let groups = rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
        for group in array(groups, count) {
            Fault::of_error(rd_kafka_group_result_error(*group))?;
            all.extend(answers(rd_kafka_group_result_partitions(*group)));
        }
        Ok(all)
    }
}

/// # Safety
/// The group is alive.
unsafe fn group(group: *const rd_kafka_ConsumerGroupDescription_t) -> Result<Group, Fault> {
    // SAFETY: the group is alive, and everything in it as long.
    unsafe {
        Fault::of_error(rd_kafka_ConsumerGroupDescription_error(group))?;
        let members = rd_kafka_ConsumerGroupDescription_member_count(group);
        let mut given = Vec::new();
        for index in 0..members {
            let member = rd_kafka_ConsumerGroupDescription_member(group, index);
            let assignment = rd_kafka_MemberDescription_assignment(member);
            if assignment.is_null() {
                continue;
            }
            let instance = string(rd_kafka_MemberDescription_group_instance_id(member));
            let host = string(rd_kafka_MemberDescription_host(member));
            let places = places(rd_kafka_MemberAssignment_partitions(assignment));
            given.extend(places.into_iter().map(|(topic, partition)| Given {
                topic,
                partition,
                instance: instance.clone(),
                host: host.clone(),
            }));
        }
        let mut topics: Vec<_> = given.iter().map(|given| given.topic.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        let name = string(rd_kafka_ConsumerGroupDescription_group_id(group));
        let state = word(rd_kafka_ConsumerGroupDescription_state(group));
        Ok(Group { name, state, members, topics, given })
    }
}

fn word(state: rd_kafka_consumer_group_state_t) -> &'static str {
    use rd_kafka_consumer_group_state_t as State;
    match state {
        State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => "PreparingRebalance",
        State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => "CompletingRebalance",
        State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => "Stable",
        State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => "Dead",
        State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => "Empty",
        _ => "Unknown",
    }
}
