//! Which records there are of a host, a namespace and a flow, for three readers.
//!
//! | who reads | what he asks for |
//! |---|---|
//! | the draft's (section 3.1.2) | PTR of the flow → `_flow._tcp.FLOW`: SRV and TXT; `_queue._flow._tcp.FLOW`: SRV and TXT |
//! | its proof of concept's | SRV of the flow itself, and of the host itself |
//! | DNS-SD browsers (RFC 6763) | PTR of `_flow._tcp.NAMESPACE` → an instance for each flow: SRV and TXT |
//!
//! Never a CNAME: an SRV target must not be one (RFC 2782), and it would hide the other records of its owner.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fnap::name::Name;

use super::{Data, Owner, Service, Set};
use crate::AGENT_SERVICE;

/// What stands in front of a flow's name to find its broker: the draft's service (section 3.1.2).
pub const QUEUE_SERVICE: &str = "_queue._flow._tcp";

/// Longest TTL, in seconds, of records of a subscription's flow: so long they may outlive its end in somebody's
/// memory (the draft's example has 21600 for some).
pub const MAX_SUBSCRIPTION_TTL: u32 = 300;

/// Most flows of a namespace that are listed for DNS-SD: they are one set, and BIND answers SERVFAIL to an update that
/// makes a set larger than `max-records-per-type`, 100 unless somebody changes it.
pub const MAX_LISTED: usize = 100;

/// A host, as others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: Name,
    /// Its TCP port.
    pub port: u16,
    /// Whether TLS begins with the connection.
    pub tls: bool,
    /// Its addresses, where they are ours to publish.
    pub addresses: Vec<IpAddr>,
    /// TTL of its own records and those of namespaces, in seconds.
    pub ttl: u32,
}

/// Where a flow's broker is, for those who may read from it directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub host: Name,
    /// Its TCP port.
    pub port: u16,
    /// Whether TLS begins with the connection.
    pub tls: bool,
    /// What it is, such as `kafka`.
    pub kind: String,
}

/// A flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// The namespace it belongs to.
    pub namespace: Name,
    /// Its incarnation, by which the host recognises its own records.
    pub id: String,
    /// TTL of its records, in seconds; of a subscription's flow at most [`MAX_SUBSCRIPTION_TTL`].
    pub ttl: u32,
    /// Its broker; none unless others may reach it.
    pub queue: Option<Queue>,
    /// Whether whoever browses the namespace finds it. (A subscription's flow is nobody's to find but the
    /// subscriber's.) For at most [`MAX_LISTED`] flows of a namespace.
    pub listed: bool,
}

/// The records of a host; all of them have its name.
#[must_use]
pub fn agent_sets(agent: &Agent) -> Vec<Set> {
    let owner = Owner::from(&agent.name);
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for address in &agent.addresses {
        match address {
            IpAddr::V4(address) => v4.insert(*address),
            IpAddr::V6(address) => v6.insert(*address),
        };
    }
    let mut sets = vec![Set::srv(owner.clone(), agent.ttl, at(agent))];
    if !v4.is_empty() {
        sets.push(Set { owner: owner.clone(), ttl: agent.ttl, data: Data::A(v4) });
    }
    if !v6.is_empty() {
        sets.push(Set { owner, ttl: agent.ttl, data: Data::Aaaa(v6) });
    }
    sets
}

/// The records of a namespace: who answers for it, and that it can be browsed.
#[must_use]
pub fn namespace_sets(namespace: &Name, agent: &Agent) -> Vec<Set> {
    let service = Owner::under(AGENT_SERVICE, namespace);
    let types = Owner::under(SERVICE_TYPES, namespace);
    vec![Set::srv(service.clone(), agent.ttl, at(agent)), Set::ptr(types, agent.ttl, service)]
}

/// The records of a flow; of its namespace's the one that lists it.
#[must_use]
pub fn flow_sets(flow: &Flow, agent: &Agent) -> Vec<Set> {
    let (name, ttl) = (Owner::from(&flow.name), flow.ttl);
    let service = Owner::under(AGENT_SERVICE, &flow.name);
    let words = words(None, agent.tls, Some(&flow.id));
    let draft = Service { priority: PRIORITY, weight: WEIGHT, ..at(agent) };
    let mut sets = vec![
        Set::ptr(name.clone(), ttl, service.clone()),
        Set::srv(service.clone(), ttl, draft),
        Set::txt(service, ttl, words.clone()),
        Set::srv(name, ttl, at(agent)),
    ];
    sets.extend(flow.queue.iter().flat_map(|queue| queue_sets(flow, queue)));
    if let Some(instance) = instance(flow).filter(|_| flow.listed) {
        let list = Owner::under(AGENT_SERVICE, &flow.namespace);
        // One set for all flows of the namespace, and a set has one TTL (RFC 2181, section 5.2).
        sets.push(Set::ptr(list, agent.ttl, instance.clone()));
        sets.push(Set::srv(instance.clone(), ttl, at(agent)));
        sets.push(Set::txt(instance, ttl, words));
    }
    sets
}

fn queue_sets(flow: &Flow, queue: &Queue) -> [Set; 2] {
    let owner = Owner::under(QUEUE_SERVICE, &flow.name);
    let service = Service {
        priority: PRIORITY,
        weight: WEIGHT,
        port: queue.port,
        target: Owner::from(&queue.host),
    };
    let words = words(Some(&queue.kind), queue.tls, None);
    [Set::srv(owner.clone(), flow.ttl, service), Set::txt(owner, flow.ttl, words)]
}

/// The set among a flow's by which its host recognises them, the flow, and the incarnation that it carries. None where
/// the flow's own names lie in another zone.
#[must_use]
pub fn sign_of<'a>(sets: impl IntoIterator<Item = &'a Set>) -> Option<(&'a Set, Owner, String)> {
    let prefix = format!("{AGENT_SERVICE}.");
    sets.into_iter().find_map(|set| {
        let flow = set.owner.as_str().strip_prefix(&prefix)?.parse().ok()?;
        Some((set, flow, incarnation(set)?))
    })
}

/// The incarnation that a text carries.
pub(crate) fn incarnation(set: &Set) -> Option<String> {
    let Data::Txt(texts) = &set.data else { return None };
    let key = format!("{ID}=");
    texts.iter().flatten().find_map(|string| string.strip_prefix(&key)).map(str::to_owned)
}

/// The name of a flow as DNS-SD shows it: what it has before its namespace, as one label. None where that is longer
/// than a label may be: DNS-SD does not know the flow then, the other readers do.
fn instance(flow: &Flow) -> Option<Owner> {
    let front = flow.name.as_str().strip_suffix(flow.namespace.as_str())?.strip_suffix('.')?;
    let labels = [front].into_iter().chain(AGENT_SERVICE.split('.')).chain(flow.namespace.labels());
    Owner::from_labels(labels).ok()
}

fn at(agent: &Agent) -> Service {
    Service { priority: 0, weight: 0, port: agent.port, target: Owner::from(&agent.name) }
}

/// Strings of a TXT record, each a pair or a word of its own (RFC 6763, section 6.3): the draft prints them as one
/// string, which others take for one value.
fn words(kind: Option<&str>, tls: bool, id: Option<&str>) -> Vec<String> {
    let mut words = vec!["txtvers=1".to_owned()];
    words.extend(kind.map(|kind| pair("broker-type", kind)));
    words.extend(tls.then(|| "tls".to_owned()));
    words.extend(id.map(|id| pair(ID, id)));
    words
}

fn pair(key: &str, value: &str) -> String {
    let mut pair = format!("{key}={value}");
    pair.truncate(pair.floor_char_boundary(MAX_STRING));
    pair
}

/// Key of a flow's incarnation in its TXT record.
pub(crate) const ID: &str = "id";

/// Where DNS-SD lists the services of a domain (RFC 6763, section 9).
pub(crate) const SERVICE_TYPES: &str = "_services._dns-sd._udp";

/// What the draft's example has (section 3.1.2).
const PRIORITY: u16 = 30;

/// What the draft's example has (section 3.1.2).
const WEIGHT: u16 = 30;

/// Longest string of a TXT record in octets: its length is one octet (RFC 1035, section 3.3).
pub(crate) const MAX_STRING: usize = 255;

#[cfg(test)]
mod tests;
