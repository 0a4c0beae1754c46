//! Brokers as they stand in a file, and what they mean.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host_brokers::kafka::{LANES, Mechanism, Tls, check_setting};
use toml::Spanned;

use super::kafka::{KafkaBroker, Password};
use super::meaning::Reader;
use super::raw::{At, RawBroker, RawSasl, RawTls};
use super::{Broker, BrokerKind, EMBEDDED};

impl Reader<'_> {
    /// Brokers of a host of this name, whose relative paths are relative to `base`.
    pub(super) fn brokers(
        &mut self,
        written: Vec<RawBroker>,
        us: &str,
        base: &Path,
    ) -> Vec<Broker> {
        let mut brokers: Vec<Broker> = Vec::new();
        for raw in written {
            let name = raw.name.clone();
            // The name is a directory below data_dir.
            if name.get_ref().contains('.') || self.name(&name).is_none() {
                self.fault(&name, "a broker's name is one label of a-z, 0-9 and inner '-'");
            }
            if brokers.iter().any(|other| other.name == *name.get_ref()) {
                self.fault(&name, format!("a second broker {}", name.get_ref()));
            }
            let kind = self.kind(raw, us, base);
            if let Some(other) = brokers.iter().find(|other| share(&other.kind, &kind)) {
                let what = format!(
                    "brokers {} and {} name one cluster and one identity: each needs an identity of its own there",
                    other.name,
                    name.get_ref()
                );
                self.fault(&name, what);
            }
            brokers.push(Broker { name: name.into_inner(), kind });
        }
        if brokers.is_empty() {
            brokers.push(Broker { name: EMBEDDED.to_owned(), kind: BrokerKind::Embedded });
        }
        brokers
    }

    fn kind(&mut self, raw: RawBroker, us: &str, base: &Path) -> BrokerKind {
        match raw.kind.get_ref().as_str() {
            EMBEDDED => self.embedded(&raw),
            KAFKA => {
                return self
                    .kafka(raw, us, base)
                    .map_or(BrokerKind::Embedded, |kafka| BrokerKind::Kafka(Box::new(kafka)));
            }
            other => {
                let shown = other.escape_debug();
                let what = format!("no broker type {shown}: there are {EMBEDDED} and {KAFKA}");
                self.fault(&raw.kind, what);
            }
        }
        BrokerKind::Embedded
    }

    fn embedded(&mut self, raw: &RawBroker) {
        let RawBroker {
            name: _,
            kind,
            servers,
            identity,
            lanes,
            replication,
            advertise,
            tls,
            sasl,
            subscriptions,
            client,
        } = raw;
        let foreign = [
            ("servers", servers.is_some()),
            ("identity", identity.is_some()),
            ("lanes", lanes.is_some()),
            ("replication", replication.is_some()),
            ("advertise", advertise.is_some()),
            ("tls", tls.is_some()),
            ("sasl", sasl.is_some()),
            ("subscriptions", subscriptions.is_some()),
            ("client", client.is_some()),
        ];
        for (key, _) in foreign.iter().filter(|(_, is_there)| *is_there) {
            self.fault(kind, format!("an embedded broker has no {key}"));
        }
    }

    fn kafka(&mut self, raw: RawBroker, us: &str, base: &Path) -> Option<KafkaBroker> {
        let Some(servers) = raw.servers else {
            self.fault(&raw.kind, "servers is missing: host:port,… of a kafka broker");
            return None;
        };
        if !servers.get_ref().split(',').all(is_server) {
            self.fault(&servers, "servers are host:port,… as in kafka1.example.com:9092");
        }
        let identity = raw.identity.map_or_else(
            || us.to_owned(),
            |identity| {
                if !is_identity(identity.get_ref()) {
                    let what = format!("an identity is 1 to {MOST_IDENTITY} of a-z, 0-9, '.', '-'");
                    self.fault(&identity, what);
                }
                identity.into_inner()
            },
        );
        let lanes = self.number(raw.lanes, 1..=MOST_LANES);
        let replication = self.number(raw.replication, 1..=MOST_REPLICATION);
        Some(KafkaBroker {
            servers: servers.into_inner(),
            identity,
            lanes: lanes.and_then(|count| u32::try_from(count).ok()).unwrap_or(LANES),
            replication: replication.and_then(|count| u16::try_from(count).ok()),
            advertise: raw.advertise.and_then(|text| self.advertised(&text)),
            tls: raw.tls.map(|tls| self.tls(tls, base)),
            sasl: raw.sasl.and_then(|sasl| self.sasl(sasl.into_inner(), base)),
            subscriptions: raw.subscriptions.and_then(|raw| self.lending(raw.into_inner())),
            client: self.client(raw.client),
        })
    }

    fn tls(&mut self, tls: Spanned<RawTls>, base: &Path) -> Tls {
        let span = tls.span();
        let raw = tls.into_inner();
        let mut file = |file: At<String>| file.and_then(|file| self.file(&file, base));
        let (ca_file, certificate, key) =
            (file(raw.ca_file), file(raw.certificate_file), file(raw.key_file));
        if certificate.is_some() != key.is_some() {
            let what = "certificate_file and key_file are given together, or none of them";
            self.fault(&Spanned::new(span, ()), what);
        }
        let take_any_certificate = raw.take_any_certificate.unwrap_or(false);
        Tls { ca_file, identity: certificate.zip(key), take_any_certificate }
    }

    fn sasl(&mut self, raw: RawSasl, base: &Path) -> Option<Password> {
        let known = |one: &Mechanism| one.name() == raw.mechanism.get_ref();
        let mechanism = Mechanism::ALL.into_iter().find(known);
        if mechanism.is_none() {
            self.fault(&raw.mechanism, "a mechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512");
        }
        if raw.username.get_ref().is_empty() {
            self.fault(&raw.username, "empty username");
        }
        let file: Option<PathBuf> = self.file(&raw.password_file, base);
        let username = raw.username.into_inner();
        Some(Password { mechanism: mechanism?, username, file: file? })
    }

    fn client(&mut self, raw: At<BTreeMap<String, Spanned<toml::Value>>>) -> Settings {
        let mut settings = Settings::new();
        for (key, value) in raw.map(Spanned::into_inner).unwrap_or_default() {
            let text = match value.get_ref() {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(is_so) => is_so.to_string(),
                toml::Value::Float(number) => number.to_string(),
                _ => {
                    let shown = key.escape_debug();
                    self.fault(&value, format!("{shown} is a text, a number, true or false"));
                    continue;
                }
            };
            match check_setting(&key, &text) {
                Ok(()) => drop(settings.insert(key, text)),
                Err(why) => self.fault(&value, why),
            }
        }
        settings
    }
}

/// Whether two brokers would put each other out of the lanes of one identity.
fn share(one: &BrokerKind, other: &BrokerKind) -> bool {
    let (BrokerKind::Kafka(one), BrokerKind::Kafka(other)) = (one, other) else { return false };
    let has = |server: &str| other.servers.split(',').any(|there| there == server);
    one.identity == other.identity && one.servers.split(',').any(has)
}

type Settings = BTreeMap<String, String>;

/// A name or address, and a port.
pub(crate) fn is_server(server: &str) -> bool {
    let is_name =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    server.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && host.chars().all(is_name)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// It is part of the names of topics and transactions.
fn is_identity(identity: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    (1..=MOST_IDENTITY).contains(&identity.len()) && identity.chars().all(fits)
}

const KAFKA: &str = "kafka";

/// Octets of an identity: `_fnaa.` and `.positions` fit around it into Kafka's 249.
const MOST_IDENTITY: usize = 200;

/// Lanes are producers, each with threads and connections to every node.
const MOST_LANES: u64 = 64;

/// Copies of a topic: Kafka clusters of more nodes than that keep fewer copies, too.
const MOST_REPLICATION: u64 = 32;
