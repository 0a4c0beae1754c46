//! What a Kafka broker is to other participants: `[brokers.subscriptions]`.
//!
//! Whoever is not offered any broker has his subscriptions over streams.

use host_peers::lending::{Offer, Security};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::brokers::is_server;
use super::meaning::Reader;
use super::raw::At;
use super::{Broker, BrokerKind, Config};

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawLending {
    pub(super) servers: Spanned<String>,
    pub(super) security: At<String>,
}

/// How the topics of subscriptions are read from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lending {
    /// Where: `host:port,…`.
    pub servers: String,
    /// How connections are secured there.
    pub security: Security,
}

impl Reader<'_> {
    pub(super) fn lending(&mut self, raw: RawLending) -> Option<Lending> {
        if !raw.servers.get_ref().split(',').all(is_server) {
            self.fault(&raw.servers, "servers are host:port,… as in kafka.example.com:9094");
            return None;
        }
        let security = match raw.security {
            None => Security::SaslSsl,
            Some(word) => {
                let known = |one: &Security| one.as_str() == word.get_ref();
                match Security::ALL.into_iter().find(known) {
                    Some(security) => security,
                    None => {
                        self.fault(&word, "security is SASL_SSL or SASL_PLAINTEXT");
                        return None;
                    }
                }
            }
        };
        Some(Lending { servers: raw.servers.into_inner(), security })
    }
}

impl Config {
    /// Brokers that are offered to other participants.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let offer = |Broker { name, kind }: &Broker| {
            let BrokerKind::Kafka(kafka) = kind else { return None };
            let Lending { servers, security } = kafka.subscriptions.clone()?;
            Some(Offer { broker: name.clone(), servers, security })
        };
        self.brokers.iter().filter_map(offer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(broker: &str, table: &str) -> Result<Vec<Offer>, String> {
        let text = format!(
            "hostname = \"h.test\"\nlisten = [\"127.0.0.1:0\"]\ndata_dir = \"d\"\n\
             [[brokers]]\nname = \"k\"\n{broker}\n[brokers.subscriptions]\n{table}\n"
        );
        let config = Config::parse(&text, Path::new("fnaad.toml"));
        config.map(|config| config.offers()).map_err(|error| error.to_string())
    }

    const KAFKA: &str = "type = \"kafka\"\nservers = \"10.0.0.1:9092\"";

    #[test]
    fn a_kafka_broker_is_offered_under_other_addresses_and_secured_unless_it_is_said_otherwise() {
        let offers = read(KAFKA, "servers = \"kafka.unix.ar:9094\"").unwrap();
        let offer = Offer {
            broker: "k".to_owned(),
            servers: "kafka.unix.ar:9094".to_owned(),
            security: Security::SaslSsl,
        };
        assert_eq!(offers, [offer]);
        let clear = "servers = \"10.0.0.1:9094\"\nsecurity = \"SASL_PLAINTEXT\"";
        assert_eq!(read(KAFKA, clear).unwrap()[0].security, Security::SaslPlaintext);
    }

    #[test]
    fn what_cannot_be_offered_is_refused_with_its_line() {
        for (broker, table, words) in [
            ("type = \"embedded\"", "servers = \"a:1\"", "has no subscriptions"),
            (KAFKA, "servers = \"a\"", ":9: servers are host:port"),
            (KAFKA, "servers = \"a:1\"\nsecurity = \"PLAINTEXT\"", ":10: security is"),
            (KAFKA, "security = \"SASL_SSL\"", "missing field"),
        ] {
            let refused = read(broker, table).unwrap_err();
            assert!(refused.contains(words), "{table}: {refused}");
        }
    }
}
