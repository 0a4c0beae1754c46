//! Which broker `fnaad dev` uses: what was asked for, else what was kept from the last start.
//!
//! A Kafka that was named once stays known, so that namespaces that have their topics there go on. The
//! directory has an identity of its own on it: two directories on one Kafka must not take each other's
//! positions.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{Broker, BrokerKind, EMBEDDED, KafkaBroker, is_server};
use crate::files;

/// What `--broker` says: where new namespaces have their topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DevBroker {
    /// In the directory.
    Embedded,
    /// On a Kafka that is there, `host:port,…`.
    Kafka(String),
}

impl FromStr for DevBroker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            None if text == EMBEDDED => Ok(Self::Embedded),
            Some((KAFKA, servers)) if servers.split(',').all(is_server) => {
                Ok(Self::Kafka(servers.to_owned()))
            }
            _ => Err("a broker is embedded or kafka=HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for DevBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => out.write_str(EMBEDDED),
            Self::Kafka(servers) => write!(out, "{KAFKA}={servers}"),
        }
    }
}

/// What is kept in the directory.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    first: String,
    servers: String,
    identity: String,
}

/// Brokers, the first of which new namespaces get.
pub(super) fn brokers(dir: &Path, asked: Option<&DevBroker>) -> Result<Vec<Broker>> {
    let path = dir.join("broker");
    let kept = kept(&path)?;
    let now = match (asked, kept) {
        (None | Some(DevBroker::Embedded), None) => None,
        (None, kept) => kept,
        (Some(DevBroker::Embedded), Some(kept)) => {
            Some(Kept { first: EMBEDDED.to_owned(), ..kept })
        }
        (Some(DevBroker::Kafka(servers)), kept) => Some(Kept {
            format: FORMAT,
            first: KAFKA.to_owned(),
            servers: servers.clone(),
            identity: kept.map_or_else(new_identity, |kept| kept.identity),
        }),
    };
    let embedded = Broker { name: EMBEDDED.to_owned(), kind: BrokerKind::Embedded };
    let Some(now) = now else { return Ok(vec![embedded]) };
    files::replace(&path, toml::to_string(&now).context("broker")?.as_bytes())?;
    let kafka = KafkaBroker::plain(&now.servers, &now.identity);
    let kafka = Broker { name: KAFKA.to_owned(), kind: BrokerKind::Kafka(Box::new(kafka)) };
    Ok(if now.first == KAFKA { vec![kafka, embedded] } else { vec![embedded, kafka] })
}

/// The Kafka that a directory knows, if it knows one.
///
/// # Errors
/// When what is kept cannot be read.
pub fn kept_kafka(dir: &Path) -> Result<Option<KafkaBroker>> {
    let kept = kept(&dir.join("broker"))?;
    Ok(kept.map(|kept| KafkaBroker::plain(&kept.servers, &kept.identity)))
}

fn kept(path: &Path) -> Result<Option<Kept>> {
    let Some(text) = files::read(path)? else { return Ok(None) };
    let kept: Kept = toml::from_str(&text)
        .map_err(|error| anyhow::anyhow!("{}", error.message()))
        .with_context(|| path.display().to_string())?;
    if kept.format != FORMAT {
        let (found, path) = (kept.format, path.display());
        anyhow::bail!("{path} has the format {found}, this host knows {FORMAT}");
    }
    Ok(Some(kept))
}

fn new_identity() -> String {
    format!("dev-{}", Uuid::new_v4().simple())
}

const KAFKA: &str = "kafka";

/// Format of the kept file. One that is newer is refused.
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn first(brokers: &[Broker]) -> (&str, usize) {
        (brokers[0].name.as_str(), brokers.len())
    }

    fn kafka(brokers: &[Broker]) -> &KafkaBroker {
        let kinds = brokers.iter().find_map(|one| match &one.kind {
            BrokerKind::Kafka(kafka) => Some(kafka),
            BrokerKind::Embedded => None,
        });
        kinds.unwrap()
    }

    #[test]
    fn a_kafka_that_was_named_is_kept_with_its_identity_until_another_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let asked = |text: &str| text.parse::<DevBroker>().unwrap();
        assert_eq!(first(&brokers(dir.path(), None).unwrap()), ("embedded", 1));
        let one = brokers(dir.path(), Some(&asked("kafka=127.0.0.1:9092"))).unwrap();
        assert_eq!(first(&one), ("kafka", 2));
        let again = brokers(dir.path(), None).unwrap();
        assert_eq!(one, again);
        let other = brokers(dir.path(), Some(&asked("kafka=localhost:9094"))).unwrap();
        assert_eq!(kafka(&other).servers, "localhost:9094");
        assert_eq!(kafka(&other).identity, kafka(&one).identity);
        let back = brokers(dir.path(), Some(&DevBroker::Embedded)).unwrap();
        assert_eq!(first(&back), ("embedded", 2));
        assert_eq!(first(&brokers(dir.path(), None).unwrap()), ("embedded", 2));
        let elsewhere = tempfile::tempdir().unwrap();
        let elsewhere = brokers(elsewhere.path(), Some(&asked("kafka=localhost:9094"))).unwrap();
        assert_ne!(kafka(&elsewhere).identity, kafka(&one).identity);
    }

    #[test]
    fn what_is_no_broker_is_refused_and_so_is_what_a_newer_host_kept() {
        for text in ["", "kafka", "kafka=", "kafka=host", "redis=host:1", "embedded="] {
            assert!(text.parse::<DevBroker>().is_err(), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let kept = "format = 2\nfirst = \"kafka\"\nservers = \"a:1\"\nidentity = \"x\"\n";
        std::fs::write(dir.path().join("broker"), kept).unwrap();
        let error = brokers(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("has the format 2"), "{error}");
    }
}
