//! What a node is to be like, and the properties that say so.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::certificates::Certificates;

/// Ports of every node, on its own address.
pub(crate) const CLEAR: u16 = 9092;
pub(crate) const CONTROLLER: u16 = 9093;
pub(crate) const TLS: u16 = 9094;
pub(crate) const SASL: u16 = 9095;
pub(crate) const SASL_TLS: u16 = 9096;
pub(crate) const PROXIED: u16 = 9097;

/// What a test adds to a node; the default is one that speaks clear text and lets everybody in.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    properties: Vec<(String, String)>,
    pub(crate) java: Vec<String>,
    pub(crate) tuned: bool,
    pub(crate) tls: bool,
    client_certificates: bool,
    pub(crate) users: Vec<User>,
    acls: bool,
    proxy: Option<SocketAddr>,
    pub(crate) under: Option<PathBuf>,
    pub(crate) rehearsal: bool,
}

/// Somebody who may sign in by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Where a node is and who votes with it.
pub(crate) struct Place<'a> {
    pub(crate) id: u32,
    pub(crate) ip: Ipv4Addr,
    pub(crate) dir: &'a Path,
    /// Address of every node of the cluster, by id from 1.
    pub(crate) voters: &'a [Ipv4Addr],
    pub(crate) certificates: Option<&'a Certificates>,
}

impl Setup {
    /// A property of server.properties; a later one wins, over the ones made here, too.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// An option of the JVM, e.g. `-Xmx1g`.
    #[must_use]
    pub fn java(mut self, option: impl Into<String>) -> Self {
        self.java.push(option.into());
        self
    }

    /// Compiles and collects as a server would: for measurements, not for quick starts.
    #[must_use]
    pub fn tuned(mut self) -> Self {
        self.tuned = true;
        self
    }

    /// Listens for TLS, too: [`Node::tls_servers`](crate::Node::tls_servers).
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// TLS that asks every client for a certificate of the node's authority.
    #[must_use]
    pub fn client_certificates(mut self) -> Self {
        self.client_certificates = true;
        self.tls()
    }

    /// Listens for SASL, too ([`Node::sasl_servers`](crate::Node::sasl_servers)), with this user.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push(User { name: name.to_owned(), password: password.to_owned() });
        self
    }

    /// Users may do what ACLs allow. Who comes to the clear listener, as the tools do, may do all.
    #[must_use]
    pub fn acls(mut self) -> Self {
        self.acls = true;
        self
    }

    /// One more listener in clear text ([`Node::proxied`](crate::Node::proxied)), which tells its clients to come to `proxy`.
    #[must_use]
    pub fn behind(mut self, proxy: SocketAddr) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Puts the node's folder below another one than the system's for temporary files.
    #[must_use]
    pub fn under(mut self, dir: impl Into<PathBuf>) -> Self {
        self.under = Some(dir.into());
        self
    }

    /// The node whose JVM writes the archive that others read.
    pub(crate) fn rehearsal() -> Self {
        Self { rehearsal: true, ..Self::default() }
    }

    pub(crate) fn server_properties(&self, place: &Place<'_>) -> String {
        let mut text =
            format!("node.id={}\nlog.dirs={}\n", place.id, place.dir.join("log").display());
        text.push_str(ALWAYS);
        self.listeners(place, &mut text);
        replication(place.voters.len().min(3), &mut text);
        if let Some(certificates) = place.certificates {
            tls(certificates, self.client_certificates, &mut text);
        }
        if !self.users.is_empty() {
            sasl(&self.users, &mut text);
        }
        if self.acls {
            text.push_str(
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n",
            );
            text.push_str("super.users=User:ANONYMOUS\n");
        }
        for (name, value) in &self.properties {
            writeln!(text, "{name}={value}").unwrap();
        }
        text
    }

    fn listeners(&self, place: &Place<'_>, text: &mut String) {
        let own = |port| SocketAddr::from((place.ip, port));
        let mut all = vec![("CLEAR", "PLAINTEXT", own(CLEAR), own(CLEAR))];
        if self.tls {
            all.push(("TLS", "SSL", own(TLS), own(TLS)));
        }
        if !self.users.is_empty() {
            all.push(("SASL", "SASL_PLAINTEXT", own(SASL), own(SASL)));
        }
        if self.tls && !self.users.is_empty() {
            all.push(("SASLTLS", "SASL_SSL", own(SASL_TLS), own(SASL_TLS)));
        }
        if let Some(proxy) = self.proxy {
            all.push(("PROXIED", "PLAINTEXT", own(PROXIED), proxy));
        }
        let (mut bound, mut told, mut protocols) = (String::new(), String::new(), String::new());
        for (name, protocol, at, advertised) in all {
            write!(bound, "{name}://{at},").unwrap();
            write!(told, "{}{name}://{advertised}", if told.is_empty() { "" } else { "," })
                .unwrap();
            write!(protocols, "{name}:{protocol},").unwrap();
        }
        writeln!(text, "listeners={bound}CONTROLLER://{}", own(CONTROLLER)).unwrap();
        writeln!(text, "advertised.listeners={told}").unwrap();
        writeln!(text, "listener.security.protocol.map={protocols}CONTROLLER:PLAINTEXT").unwrap();
        let voters = place.voters.iter().zip(1..).map(|(ip, id)| format!("{id}@{ip}:{CONTROLLER}"));
        writeln!(text, "controller.quorum.voters={}", voters.collect::<Vec<_>>().join(","))
            .unwrap();
    }
}

/// What a node gets that was killed: it may only come back when the session of its former life has ended,
/// nine seconds otherwise. A node that has just been started keeps the longer one: on a machine that does
/// much else it would now and then be taken for gone.
pub(crate) const AGAIN: &str = "broker.session.timeout.ms=4000\n";

/// Small and quick to start.
const ALWAYS: &str = "process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLEAR
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=5
transaction.state.log.num.partitions=5
share.coordinator.state.topic.num.partitions=1
broker.heartbeat.interval.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
log.retention.ms=-1
log.segment.bytes=1048576
log.roll.ms=600000
log.initial.task.delay.ms=100
log.retention.check.interval.ms=200
num.network.threads=2
num.io.threads=4
background.threads=2
";

/// Kafka's own topics are kept on as many nodes as there are.
fn replication(nodes: usize, text: &mut String) {
    let isr = nodes.div_ceil(2);
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        writeln!(text, "{topic}.replication.factor={nodes}").unwrap();
    }
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        writeln!(text, "{topic}.min.isr={isr}").unwrap();
    }
}

fn tls(certificates: &Certificates, ask: bool, text: &mut String) {
    writeln!(text, "ssl.keystore.type=PEM\nssl.truststore.type=PEM").unwrap();
    writeln!(text, "ssl.keystore.location={}", certificates.server.display()).unwrap();
    writeln!(text, "ssl.truststore.location={}", certificates.ca.display()).unwrap();
    writeln!(text, "ssl.client.auth={}", if ask { "required" } else { "none" }).unwrap();
}

fn sasl(users: &[User], text: &mut String) {
    text.push_str("sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n");
    let module = "org.apache.kafka.common.security";
    let known: String =
        users.iter().map(|user| format!(" user_{}=\"{}\"", user.name, user.password)).collect();
    for listener in ["sasl", "sasltls"] {
        let name = |mechanism| format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
        writeln!(text, "{}={module}.plain.PlainLoginModule required{known};", name("plain"))
            .unwrap();
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            writeln!(text, "{}={module}.scram.ScramLoginModule required;", name(mechanism))
                .unwrap();
        }
    }
}
