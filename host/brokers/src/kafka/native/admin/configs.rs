//! Settings of topics: looked at, and set one by one so that others' settings stay.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::bindings::*;

use super::{Asked, Fault, Owned, Words, array, c_string, string};
use crate::kafka::native::handle::Handle;

/// A setting of a topic that is in force.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Setting {
    pub(in crate::kafka) name: String,
    pub(in crate::kafka) value: String,
    /// Whether it was set for this topic, instead of coming from the broker.
    pub(in crate::kafka) own: bool,
}

/// Every setting of a topic, secret ones left out.
pub(in crate::kafka) async fn settings(
    handle: &Handle,
    topic: &str,
    limit: Duration,
) -> Result<Vec<Setting>, Fault> {
    let asked = {
        let resource = resource(topic)?;
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        Asked::new(handle, op, limit, |client, options, queue| {
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_DescribeConfigs(client, &mut resource.as_ptr(), 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_DescribeConfigs_result(event.as_ptr());
        if result.is_null() {
            return Ok(Vec::new());
        }
        let (mut count, mut settings) = (0, Vec::new());
        let resources = rd_kafka_DescribeConfigs_result_resources(result, &mut count);
        for resource in array(resources, count) {
            fate(*resource)?;
            let mut count = 0;
            let entries = rd_kafka_ConfigResource_configs(*resource, &mut count);
            settings.extend(array(entries, count).iter().filter_map(|entry| setting(*entry)));
        }
        Ok(settings)
    }
}

/// Sets some settings of a topic.
pub(in crate::kafka) async fn set_settings(
    handle: &Handle,
    topic: &str,
    config: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<(), Fault> {
    let asked = {
        let resource = resource(topic)?;
        for (key, value) in config {
            let (key, value) = (c_string(key)?, c_string(value)?);
            // SAFETY: all three are alive; librdkafka copies the words.
            let error = unsafe {
                rd_kafka_ConfigResource_add_incremental_config(
                    resource.as_ptr(),
                    key.as_ptr(),
                    rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                    value.as_ptr(),
                )
            };
            Words::refused(error)?;
        }
        let op = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        Asked::new(handle, op, limit, |client, options, queue| {
            let mut resource = resource.as_ptr();
            // SAFETY: everything is alive, and librdkafka copies what it keeps.
            unsafe { rd_kafka_IncrementalAlterConfigs(client, &mut resource, 1, options, queue) }
        })?
    };
    let event = asked.answer().await?;
    // SAFETY: the event is alive, and everything in it as long; null where it is of another kind.
    unsafe {
        let result = rd_kafka_event_IncrementalAlterConfigs_result(event.as_ptr());
        if result.is_null() {
            return Ok(());
        }
        let mut count = 0;
        let resources = rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        array(resources, count).iter().try_for_each(|resource| fate(*resource))
    }
}

fn resource(topic: &str) -> Result<Owned<rd_kafka_ConfigResource_t>, Fault> {
    let topic = c_string(topic)?;
    // SAFETY: the name is alive and copied.
    unsafe {
        Owned::new(
            rd_kafka_ConfigResource_new(
                rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                topic.as_ptr(),
            ),
            rd_kafka_ConfigResource_destroy,
        )
    }
}

/// # Safety
/// The resource is alive.
unsafe fn fate(resource: *const rd_kafka_ConfigResource_t) -> Result<(), Fault> {
    // SAFETY: passed on.
    unsafe {
        Fault::of_code(
            rd_kafka_ConfigResource_error(resource),
            rd_kafka_ConfigResource_error_string(resource),
        )
    }
}

/// # Safety
/// The entry is alive.
unsafe fn setting(entry: *const rd_kafka_ConfigEntry_t) -> Option<Setting> {
    // SAFETY: passed on.
    unsafe {
        let value = rd_kafka_ConfigEntry_value(entry);
        if value.is_null() || rd_kafka_ConfigEntry_is_sensitive(entry) == 1 {
            return None;
        }
        let own = rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
        Some(Setting {
            name: string(rd_kafka_ConfigEntry_name(entry)),
            value: string(value),
            own: rd_kafka_ConfigEntry_source(entry) == own,
        })
    }
}
