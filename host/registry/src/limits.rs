//! How much the registry is willing to hold, and the shapes of what it is handed.

use crate::error::RegistryError;
use crate::model::{Config, LIMIT_PREFIX, PEER, PROCESSOR_LIMITS, PROCESSOR_OPTIONS, PROTECTED};

/// Namespaces of a host. Each is an SRV record and somebody's agreement; hundreds are many.
pub const MAX_NAMESPACES: usize = 1_000;

/// Flows of a host. All rows are in memory at about 1 KiB each: 100 MiB at the limit, ten times the
/// largest installation that is measured.
pub const MAX_FLOWS: usize = 100_000;

/// Processors of a host. Each has at least one shard, a task and perhaps an instance.
pub const MAX_PROCESSORS: usize = 10_000;

/// Inputs or outputs of one processor: a command line is at most 8 KiB and each name up to 200 octets,
/// so about forty names come through a line; the rest is room for programs.
pub const MAX_ENDS: usize = 64;

/// Partitions of a flow. A shard each, and no embedded log gains from more.
pub const MAX_PARTITIONS: u32 = 1_024;

/// Settings of one namespace or flow.
pub const MAX_CONFIG_KEYS: usize = 64;

/// Octets of a setting's key.
pub const MAX_CONFIG_KEY: usize = 64;

/// Octets of a setting's value.
pub const MAX_CONFIG_VALUE: usize = 4 * 1024;

/// Octets of a processor's JSON configuration: a rule table of a thousand lines.
pub const MAX_PROCESSOR_CONFIG: usize = 64 * 1024;

/// How the names of topics begin that a broker, or a host on it, keeps for itself.
pub const INTERNAL_TOPICS: &[&str] = &["__", "_fnaa."];

/// Octets of a topic's name (Kafka's limit).
pub const MAX_TOPIC: usize = 249;

/// Octets of a processor type's name: `<type>-<hash>` is one DNS label of at most 63.
pub const MAX_KIND: usize = 50;

/// Octets of a stored row or journal entry; the largest that is written is a processor with the
/// longest configuration, twice (before and after), escaped.
pub(crate) const MAX_DOCUMENT: usize = 1024 * 1024;

pub(crate) fn check_config(config: &Config) -> Result<(), RegistryError> {
    if config.len() > MAX_CONFIG_KEYS {
        return Err(RegistryError::TooMany {
            what: "settings of one name",
            limit: MAX_CONFIG_KEYS,
        });
    }
    for (key, value) in config {
        if !is_key(key) {
            let shown: String = key.chars().take(MAX_CONFIG_KEY).collect();
            return Err(RegistryError::invalid(format!("not a setting: {}", shown.escape_debug())));
        }
        if value.len() > MAX_CONFIG_VALUE || value.chars().any(char::is_control) {
            return Err(RegistryError::invalid(format!(
                "value of {key} is longer than {MAX_CONFIG_VALUE} octets or has control characters"
            )));
        }
    }
    match config.get(PROTECTED).map(String::as_str) {
        None | Some("true" | "false") => Ok(()),
        Some(_) => Err(RegistryError::invalid(format!("{PROTECTED} is true or false"))),
    }
}

pub(crate) fn check_options(options: &Config) -> Result<(), RegistryError> {
    for (key, value) in options {
        if let Some(limit) = key.strip_prefix(LIMIT_PREFIX) {
            check_limit(limit, value)?;
            continue;
        }
        let Some((_, values)) = PROCESSOR_OPTIONS.iter().find(|(name, _)| name == key) else {
            let known: Vec<&str> = PROCESSOR_OPTIONS.iter().map(|(name, _)| *name).collect();
            let known = format!("{}, {LIMIT_PREFIX}NAME", known.join(", "));
            return Err(unknown("option", key, &known));
        };
        if !values.contains(&value.as_str()) {
            return Err(RegistryError::invalid(format!("{key} is one of {}", values.join(", "))));
        }
    }
    Ok(())
}

/// A limit's name and lowest value; the highest is for who knows what the operator grants.
fn check_limit(limit: &str, value: &str) -> Result<(), RegistryError> {
    let Some((_, least)) = PROCESSOR_LIMITS.iter().find(|(name, _)| *name == limit) else {
        let known: Vec<&str> = PROCESSOR_LIMITS.iter().map(|(name, _)| *name).collect();
        return Err(unknown("limit", limit, &known.join(", ")));
    };
    match value.parse::<u64>() {
        Ok(value) if value >= *least => Ok(()),
        _ => {
            let words = format!("{LIMIT_PREFIX}{limit} is a whole number of at least {least}");
            Err(RegistryError::invalid(words))
        }
    }
}

fn unknown(what: &str, key: &str, known: &str) -> RegistryError {
    let shown: String = key.chars().take(MAX_CONFIG_KEY).collect();
    RegistryError::invalid(format!("no {what} {}: there are {known}", shown.escape_debug()))
}

/// A plugin configuration is one JSON value; what is in it the plugin says.
pub(crate) fn check_processor_config(config: &str) -> Result<(), RegistryError> {
    if config.len() > MAX_PROCESSOR_CONFIG {
        let words = format!("configuration is longer than {MAX_PROCESSOR_CONFIG} octets");
        return Err(RegistryError::invalid(words));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(config)
        .map(drop)
        .map_err(|error| RegistryError::invalid(format!("configuration is not JSON: {error}")))
}

pub(crate) fn check_topic(topic: &str) -> Result<(), RegistryError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let sound = (1..=MAX_TOPIC).contains(&topic.len()) && topic.bytes().all(allowed);
    if INTERNAL_TOPICS.iter().any(|prefix| topic.starts_with(prefix)) {
        let shown: String = topic.chars().take(MAX_TOPIC).collect();
        let words = format!("topic {} is an internal one and no flow's", shown.escape_debug());
        return Err(RegistryError::invalid(words));
    }
    if sound && topic != "." && topic != ".." {
        return Ok(());
    }
    Err(RegistryError::invalid(format!(
        "a topic has 1 to {MAX_TOPIC} of a-z, A-Z, 0-9, '.', '_' and '-'"
    )))
}

pub(crate) fn check_partitions(partitions: u32) -> Result<(), RegistryError> {
    if (1..=MAX_PARTITIONS).contains(&partitions) {
        return Ok(());
    }
    Err(RegistryError::invalid(format!("partitions are 1 to {MAX_PARTITIONS}")))
}

pub(crate) fn check_kind(kind: &str) -> Result<(), RegistryError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = (1..=MAX_KIND).contains(&kind.len()) && kind.bytes().all(allowed);
    if sound && !kind.starts_with('-') && !kind.ends_with('-') {
        return Ok(());
    }
    Err(RegistryError::invalid(format!(
        "a processor type has 1 to {MAX_KIND} of a-z, 0-9 and inner '-'"
    )))
}

pub(crate) fn check_broker(broker: &str) -> Result<(), RegistryError> {
    if is_key(broker) || broker == PEER {
        return Ok(());
    }
    Err(RegistryError::invalid("a broker's name has 1 to 64 of a-z, 0-9, '.', '_' and '-'"))
}

fn is_key(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=MAX_CONFIG_KEY).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> Config {
        [(key.to_owned(), value.to_owned())].into()
    }

    #[test]
    fn settings_over_their_limits_are_refused() {
        assert!(check_config(&one("retention.ms", "1000")).is_ok());
        assert!(check_config(&one("Retention", "1")).is_err());
        assert!(check_config(&one("", "1")).is_err());
        assert!(check_config(&one(&"k".repeat(MAX_CONFIG_KEY + 1), "1")).is_err());
        assert!(check_config(&one("k", &"v".repeat(MAX_CONFIG_VALUE))).is_ok());
        assert!(check_config(&one("k", &"v".repeat(MAX_CONFIG_VALUE + 1))).is_err());
        assert!(check_config(&one("k", "a\r\nb")).is_err());
        let many = |n: usize| (0..n).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check_config(&many(MAX_CONFIG_KEYS)).is_ok());
        assert!(check_config(&many(MAX_CONFIG_KEYS + 1)).is_err());
        assert!(check_config(&one(PROTECTED, "yes")).is_err());
    }

    #[test]
    fn an_option_or_its_value_that_nobody_knows_is_refused_with_what_there_is() {
        assert!(check_options(&one("upgrade", "pinned")).is_ok());
        let error = check_options(&one("upgrade", "never")).unwrap_err().to_string();
        assert_eq!(error, "upgrade is one of auto, one-first, shadow-first, pinned");
        let error = check_options(&one("colour", "red")).unwrap_err().to_string();
        assert_eq!(
            error,
            "no option colour: there are upgrade, upgrade-first, on-gap, dead-letters, ring, delivery, snapshots, limit.NAME"
        );
    }

    #[test]
    fn a_limit_is_known_and_a_number_that_leaves_something_to_work_with() {
        for (name, least) in PROCESSOR_LIMITS {
            let key = format!("limit.{name}");
            assert!(check_options(&one(&key, &least.to_string())).is_ok(), "{key}");
            for wrong in ["", "-1", "1.5", "1m", "99999999999999999999"] {
                assert!(check_options(&one(&key, wrong)).is_err(), "{key}={wrong}");
            }
        }
        let error = check_options(&one("limit.call_ms", "0")).unwrap_err().to_string();
        assert_eq!(error, "limit.call_ms is a whole number of at least 1");
        let error = check_options(&one("limit.colour", "1")).unwrap_err().to_string();
        assert!(
            error.starts_with("no limit colour: there are memory, table_elements, "),
            "{error}"
        );
    }

    #[test]
    fn a_configuration_is_json_within_its_limit() {
        assert!(check_processor_config(r#"{"a":[1,2]}"#).is_ok());
        assert!(check_processor_config("{").is_err());
        assert!(check_processor_config("{} {}").is_err());
        let long = format!("\"{}\"", "a".repeat(MAX_PROCESSOR_CONFIG));
        assert!(check_processor_config(&long).is_err());
        assert!(check_processor_config(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn topics_types_partitions_and_brokers_have_their_shapes() {
        assert!(check_topic("time.flows_1-A").is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "__consumer_offsets", "_fnaa.x.state"] {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
        assert!(check_topic("_schemas").is_ok());
        assert!(check_topic(&"t".repeat(MAX_TOPIC + 1)).is_err());
        assert!(check_kind("bridge").is_ok());
        for bad in ["", "Bridge", "-a", "a-", "a.b", &"k".repeat(MAX_KIND + 1)] {
            assert!(check_kind(bad).is_err(), "{bad}");
        }
        assert!(check_partitions(0).is_err());
        assert!(check_partitions(MAX_PARTITIONS).is_ok());
        assert!(check_partitions(MAX_PARTITIONS + 1).is_err());
        assert!(check_broker("embedded").is_ok());
        assert!(check_broker("").is_err());
    }
}
