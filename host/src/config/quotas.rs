//! `[[quotas]]`: how much of the host one principal may use.

use std::collections::BTreeMap;

use host_iam::{Quota, Subject};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;
use super::subjects::subject;

/// One of `[[quotas]]`, as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    #[serde(rename = "for")]
    pub(super) whose: Spanned<String>,
    pub(super) connections: At<u64>,
    pub(super) commands_per_second: At<u64>,
    pub(super) events_per_second: At<u64>,
    pub(super) bytes_per_second: At<u64>,
    pub(super) flows: At<u64>,
    pub(super) processors: At<u64>,
}

/// What `[[quotas]]` means.
pub(super) fn meaning(
    reader: &mut Reader<'_>,
    written: Option<Vec<RawQuota>>,
) -> BTreeMap<Subject, Quota> {
    let mut quotas = BTreeMap::new();
    for raw in written.unwrap_or_default() {
        let quota = Quota {
            connections: reader.number(raw.connections, 0..=MOST),
            commands_per_second: reader.number(raw.commands_per_second, 1..=MOST),
            events_per_second: reader.number(raw.events_per_second, 1..=MOST),
            bytes_per_second: reader.number(raw.bytes_per_second, 1..=MOST),
            flows: reader.number(raw.flows, 0..=MOST),
            processors: reader.number(raw.processors, 0..=MOST),
        };
        let Some(subject) = subject(reader, &raw.whose) else { continue };
        if quotas.insert(subject, quota).is_some() {
            reader.fault(&raw.whose, format!("a second quota for {}", raw.whose.get_ref()));
        }
    }
    quotas
}

/// The highest of any quota: far beyond what one machine does, so that a slip of the keys is seen.
const MOST: u64 = 1_000_000_000_000;
