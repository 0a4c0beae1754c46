//! What may stand in a configuration file: every key, nothing of its meaning.
//!
//! Every key is explained in docs/fnaad.example.toml; a test compares the two.

use std::collections::BTreeMap;

use host_iam::without_value;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::error::Fault;
use super::identities::{RawOauth, RawUser};
use super::lending::RawLending;
use super::names::RawNames;
use super::quotas::RawQuota;
use super::tls::{RawAddresses, RawCertificate};

/// A value and where it stands.
pub(super) type At<T> = Option<Spanned<T>>;

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) hostname: At<String>,
    pub(super) listen: RawAddresses,
    pub(super) listen_tls: RawAddresses,
    pub(super) clear_text_on: RawAddresses,
    pub(super) tls: Option<RawCertificate>,
    pub(super) data_dir: At<String>,
    pub(super) plugins_dir: At<String>,
    pub(super) users_file: At<String>,
    pub(super) log: Option<RawLog>,
    pub(super) observe: Option<RawObserve>,
    pub(super) names: Option<RawNames>,
    pub(super) peers: Option<super::peers::RawPeers>,
    pub(super) dns: Option<super::dns::RawDns>,
    pub(super) audit: Option<super::audit::RawAudit>,
    pub(super) reports: Option<super::reports::RawReports>,
    pub(super) traces: Option<super::traces::RawTraces>,
    pub(super) upgrades: Option<super::upgrades::RawUpgrades>,
    pub(super) limits: Option<RawLimits>,
    pub(super) brokers: Option<Vec<RawBroker>>,
    pub(super) namespaces: Option<Vec<RawNamespace>>,
    pub(super) users: Option<Vec<RawUser>>,
    pub(super) anonymous: Option<bool>,
    pub(super) certificate_common_names: Option<bool>,
    pub(super) oauth: Option<Vec<RawOauth>>,
    pub(super) administrators: Option<Vec<Spanned<String>>>,
    pub(super) quotas: Option<Vec<RawQuota>>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) format: At<String>,
    pub(super) level: At<String>,
    pub(super) filter: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawObserve {
    pub(super) listen: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) connections: At<u64>,
    pub(super) idle_seconds: At<u64>,
    pub(super) stalled_seconds: At<u64>,
    pub(super) event_bytes: At<u64>,
    pub(super) plugin: Option<RawPluginLimits>,
    pub(super) plugin_most: Option<RawPluginLimits>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawPluginLimits {
    pub(super) memory_bytes: At<u64>,
    pub(super) table_elements: At<u64>,
    pub(super) call_ms: At<u64>,
    pub(super) soft_ms: At<u64>,
    pub(super) init_ms: At<u64>,
    pub(super) batch_events: At<u64>,
    pub(super) batch_bytes: At<u64>,
    pub(super) emit_events: At<u64>,
    pub(super) emit_bytes: At<u64>,
    pub(super) state_bytes: At<u64>,
    pub(super) state_value_bytes: At<u64>,
    pub(super) log_lines: At<u64>,
    pub(super) recycle_bytes: At<u64>,
    pub(super) idle_ms: At<u64>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawBroker {
    pub(super) name: Spanned<String>,
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) servers: At<String>,
    pub(super) identity: At<String>,
    pub(super) lanes: At<u64>,
    pub(super) replication: At<u64>,
    pub(super) advertise: At<String>,
    pub(super) tls: At<RawTls>,
    pub(super) sasl: At<RawSasl>,
    pub(super) subscriptions: At<RawLending>,
    pub(super) client: At<BTreeMap<String, Spanned<toml::Value>>>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) ca_file: At<String>,
    pub(super) certificate_file: At<String>,
    pub(super) key_file: At<String>,
    pub(super) take_any_certificate: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSasl {
    pub(super) mechanism: Spanned<String>,
    pub(super) username: Spanned<String>,
    pub(super) password_file: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamespace {
    pub(super) name: Spanned<String>,
    pub(super) broker: At<String>,
}

pub(super) fn parse(text: &str) -> Result<Raw, Fault> {
    // The message only: the error's Display repeats the line, which may hold a verifier.
    toml::from_str(text).map_err(|error| Fault {
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        what: without_value(error.message()),
    })
}

/// The line of a byte, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
