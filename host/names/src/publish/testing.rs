//! What tests publish.

use super::{Agent, Change, Flow, Owner, Queue, Zone, agent_sets, flow_sets, namespace_sets};

pub(crate) fn zone() -> Zone {
    Zone::new("unix.ar".parse().unwrap())
}

pub(crate) fn agent() -> Agent {
    let addresses = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    Agent { name: "fnaa.unix.ar".parse().unwrap(), port: 61000, tls: true, addresses, ttl: 300 }
}

pub(crate) fn flow(name: &str, id: &str) -> Flow {
    let queue = Queue {
        host: "kafka.unix.ar".parse().unwrap(),
        port: 9092,
        tls: true,
        kind: "kafka".to_owned(),
    };
    Flow {
        name: name.parse().unwrap(),
        namespace: "flows.unix.ar".parse().unwrap(),
        id: id.to_owned(),
        ttl: 60,
        queue: Some(queue),
        listed: true,
    }
}

/// Everything about a flow that was not there before.
pub(crate) fn fresh(flow: &Flow) -> Change {
    let fresh = vec![(Owner::from(&flow.name), flow.id.clone())];
    Change { add: flow_sets(flow, &agent()), fresh, ..Change::default() }
}

/// The host and its namespace.
pub(crate) fn ground() -> Change {
    let mut add = agent_sets(&agent());
    add.extend(namespace_sets(&"flows.unix.ar".parse().unwrap(), &agent()));
    Change { add, ..Change::default() }
}

pub(crate) fn withdrawn(change: &Change) -> Change {
    Change { remove: change.add.clone(), ..Change::default() }
}
