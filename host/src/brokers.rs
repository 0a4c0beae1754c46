//! Opens the brokers of a configuration, each measured from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host_brokers::Broker;
use host_brokers::embedded::Embedded;
use host_brokers::kafka::Kafka;
use host_events::murmur2;
use uuid::Uuid;

use crate::config::{self, BrokerKind, Config, KafkaBroker};
use crate::files;
use crate::observed::{Measured, Measures};

/// Brokers by their names.
pub(crate) type ByName = BTreeMap<String, Arc<dyn Broker>>;

/// All brokers that are configured, and what is measured of each.
pub(crate) async fn open_brokers(config: &Config) -> Result<(ByName, Vec<Arc<Measures>>)> {
    let (mut brokers, mut measures) = (BTreeMap::new(), Vec::new());
    for config::Broker { name, kind } in &config.brokers {
        let dir = config.data_dir.join("brokers").join(name);
        let broker = match kind {
            BrokerKind::Embedded => Embedded::open(&dir, Default::default())
                .await
                .map(|broker| broker as Arc<dyn Broker>)
                .with_context(|| format!("embedded broker {name} in {}", dir.display()))?,
            BrokerKind::Kafka(kafka) => {
                open_kafka(kafka, name, &config.data_dir, &dir).await.context("kafka broker")?
            }
        };
        let measured = Measures::new(name);
        measures.push(Arc::clone(&measured));
        let broker: Arc<dyn Broker> = Arc::new(Measured::new(broker, measured));
        brokers.insert(name.clone(), broker);
    }
    Ok((brokers, measures))
}

async fn open_kafka(
    kafka: &KafkaBroker,
    name: &str,
    data_dir: &Path,
    dir: &Path,
) -> Result<Arc<dyn Broker>> {
    files::make_dir(dir)?;
    let member = member(&instance(data_dir)?, data_dir)?;
    let options = kafka.options(name, &member, dir.to_owned());
    let options = options.map_err(anyhow::Error::msg).with_context(|| name.to_owned())?;
    Ok(Arc::new(Kafka::open(options).await?))
}

/// What this host is called among those of one identity: made once, and kept with its data.
fn instance(data_dir: &Path) -> Result<String> {
    let path = data_dir.join("instance");
    let Some(text) = files::read(&path)? else {
        let name = Uuid::new_v4().to_string();
        files::replace(&path, format!("{INSTANCE}{name}\n").as_bytes())?;
        return Ok(name);
    };
    match text.strip_prefix(INSTANCE).map(str::trim).filter(|name| name.parse::<Uuid>().is_ok()) {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{}: not the name of an instance, or of a newer host", path.display()),
    }
}

/// What an instance is called where it runs: a copy of its directory, beside it or on another machine, is another
/// member of the group that shares the lanes, and does not put it out.
fn member(instance: &str, data_dir: &Path) -> Result<String> {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let place = data_dir.canonicalize().with_context(|| data_dir.display().to_string())?;
    let place = [machine.trim().as_bytes(), &[0], place.as_os_str().as_encoded_bytes()].concat();
    Ok(format!("{instance}.{:08x}", murmur2(&place)))
}

/// Format of the file, and what comes before the name.
const INSTANCE: &str = "fnaad instance 1\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_name_and_refuses_that_of_a_newer_host() {
        let dir = tempfile::tempdir().unwrap();
        let name = instance(dir.path()).unwrap();
        assert_eq!(instance(dir.path()).unwrap(), name);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(instance(other.path()).unwrap(), name);
        let copied = member(&name, other.path()).unwrap();
        assert_ne!(member(&name, dir.path()).unwrap(), copied, "a copy is another one");
        assert_eq!(member(&name, other.path()).unwrap(), copied);
        let newer = format!("fnaad instance 2\n{name}\n");
        std::fs::write(dir.path().join("instance"), newer).unwrap();
        assert!(instance(dir.path()).unwrap_err().to_string().contains("newer"));
    }
}
