//! A cluster that is somebody else's: the one client that asks it, and what clients take of it at most.
//!
//! It is a consumer that reads nothing, because consumers can be told where they may connect to. What librdkafka does not
//! bound is said in docs/operators.md: so only clusters of those are read whom the operator has named.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::ClientContext as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::native::admin::Fault;
use super::native::consumer::{Consumer, Hears};
use super::native::handle::Handle;
use super::voice::Voice;

/// Octets of one answer of records, all partitions together: a quarter of what our own brokers give, since a client is
/// there for each subscription.
const FETCH: usize = 4 << 20;

/// Octets of any answer, and of what one packed with zstd is unpacked to: a batch with one event of the largest that
/// crosses between hosts, and some more.
const ANSWER: usize = 20 << 20;

/// What asks the cluster; made when it is first needed.
#[derive(Default)]
pub(super) struct Guest(Mutex<Option<Arc<Consumer>>>);

impl Guest {
    pub(super) fn handle(&self, config: ClientConfig, voice: &Voice) -> Result<Handle, Fault> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*there {
            return Ok(client.handle());
        }
        let mut config = bounded(config);
        config.set("log.queue", "false");
        let made = Consumer::new(&config, Arc::new(Ears(voice.clone())), true);
        let client = made.map_err(|error| Fault::new(Code::InvalidArgument, error.to_string()))?;
        Ok(there.insert(client).handle())
    }
}

/// With the bounds that a stranger's cluster is read within.
pub(super) fn bounded(mut config: ClientConfig) -> ClientConfig {
    config.set("fetch.max.bytes", FETCH.to_string());
    config.set("receive.message.max.bytes", ANSWER.to_string());
    // A broker may ask clients how they are; a stranger's is told nothing.
    config.set("enable.metrics.push", "false");
    config
}

struct Ears(Voice);

impl Hears for Ears {
    fn line(&self, level: i32, facility: &str, line: &str) {
        let level = match level {
            ..=3 => RDKafkaLogLevel::Error,
            4 => RDKafkaLogLevel::Warning,
            _ => RDKafkaLogLevel::Info,
        };
        self.0.log(level, facility, line);
        if facility == "ERROR" {
            self.0.note(Fault::new(code(line), line));
        }
    }

    fn may_reach(&self, address: SocketAddr) -> bool {
        self.0.may_reach(address)
    }
}

/// Without a queue for errors their code is not told.
fn code(line: &str) -> Code {
    match line {
        line if line.contains("brokers are down") => Code::AllBrokersDown,
        line if line.contains("uthentication") => Code::Authentication,
        _ => Code::BrokerTransportFailure,
    }
}

#[cfg(test)]
mod tests {
    use crate::broker::{Broker as _, TopicRef};
    use crate::kafka::{Kafka, KafkaOptions, Reachable};
    use host_events::Incarnation;
    use tokio::net::TcpListener;

    async fn looked(reachable: Reachable) -> (String, bool) {
        let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = node.local_addr().unwrap().to_string();
        let options = KafkaOptions::new("theirs", &servers, "subscriber", "");
        let kafka = Kafka::open(KafkaOptions { guest_of: Some(reachable), ..options }).await;
        let kafka = kafka.unwrap();
        let topic = TopicRef::new("a", Incarnation(uuid::Uuid::nil()));
        let (looked, came) = tokio::join!(
            async { kafka.look(&[topic]).await.remove(0).unwrap_err().to_string() },
            async {
                let came = std::time::Duration::from_secs(6);
                tokio::time::timeout(came, async { drop(node.accept().await) }).await.is_ok()
            }
        );
        (looked, came)
    }

    #[tokio::test]
    async fn nobody_is_connected_to_where_that_is_not_allowed() {
        let (told, came) = looked(Reachable::default()).await;
        assert!(!came && told.contains("no address that brokers of others may have"), "{told}");
        let networks = vec!["127.0.0.0/8".parse().unwrap()];
        let (_, came) = looked(Reachable { networks, ..Reachable::default() }).await;
        assert!(came);
    }
}
