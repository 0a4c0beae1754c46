//! What should stand in DNS: a function of what the registry holds and of the configuration.
//!
//! Asks nobody and remembers nothing.

use std::collections::{BTreeMap, BTreeSet};

use fnap::name::Name;
use host_names::publish::{
    Agent, Flow as NamedFlow, MAX_LISTED, MAX_SUBSCRIPTION_TTL, Owner, Queue, Set, Zone,
    agent_sets, flow_sets, namespace_sets, zone_of,
};
use host_registry::{Findable, Flow, Namespace, Publish, Subscriber};

use crate::config::{Advertised, Config};

/// What the configuration says of this host to others.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    /// The host.
    pub(crate) agent: Agent,
    /// Brokers that others may reach, by name.
    pub(crate) queues: BTreeMap<String, Queue>,
    /// Zones that the host writes to.
    pub(crate) zones: Vec<Zone>,
}

impl Presence {
    /// Of a host that is reached at a port. None where the host's own name is no name of DNS.
    pub(crate) fn of(config: &Config, port: u16, tls: bool) -> Option<Self> {
        let dns = &config.dns;
        let name = dns.agent.clone().or_else(|| config.hostname.parse().ok())?;
        let agent = Agent { name, port, tls, addresses: dns.addresses.clone(), ttl: dns.ttl };
        let queue = |(broker, Advertised { host, port, tls }): (&str, Advertised)| {
            (broker.to_owned(), Queue { host, port, tls, kind: "kafka".to_owned() })
        };
        let queues = config.advertised().map(queue).collect();
        let zones = dns.zones.iter().map(|zone| Zone::new(zone.name.clone())).collect();
        Some(Self { agent, queues, zones })
    }
}

/// The records of one thing, as far as they lie in one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// All of them.
    pub(crate) sets: BTreeSet<Set>,
    /// The name that nobody else may have, and what its own records are known by.
    pub(crate) fresh: Option<(Owner, String)>,
}

/// Units by what they are about.
pub(crate) type Units = BTreeMap<String, Unit>;

/// All units, in whatever zone their records lie.
pub(crate) fn everything(findable: &Findable, presence: &Presence) -> Units {
    let Presence { agent, queues, .. } = presence;
    let Findable { namespaces, flows, subscribers } = findable;
    let unit = |sets: Vec<Set>| Unit { sets: sets.into_iter().collect(), fresh: None };
    let mut units = Units::from([(AGENT.to_owned(), unit(agent_sets(agent)))]);
    for Namespace { name, .. } in namespaces {
        units.insert(of_namespace(name), unit(namespace_sets(name, agent)));
    }
    let published: Vec<&Flow> = flows.iter().filter(|flow| is_published(flow)).collect();
    let listed = listed(&published);
    for flow in published {
        let named = NamedFlow {
            name: flow.name.clone(),
            namespace: flow.namespace.clone(),
            id: flow.incarnation.to_string(),
            ttl: agent.ttl,
            queue: queues.get(&flow.broker).cloned(),
            listed: listed.contains(&flow.name),
        };
        let fresh = Some((Owner::from(&named.name), named.id.clone()));
        let sets = flow_sets(&named, agent).into_iter().collect();
        units.insert(of_flow(&flow.name), Unit { sets, fresh });
    }
    let names = flows.iter().map(|flow| (&flow.name, flow)).collect::<BTreeMap<_, _>>();
    for subscriber in subscribers {
        let flow = names.get(&subscriber.flow).filter(|flow| has_names(flow, subscriber));
        let queue = subscriber.lent.as_ref().and_then(|lent| queues.get(&lent.broker)).cloned();
        units.extend(flow.map(|flow| subscription(flow, subscriber, queue, agent)));
    }
    units
}

/// Whether what somebody subscribed to stands in DNS under a name of its own, for whoever has come for that name.
fn has_names(flow: &Flow, subscriber: &Subscriber) -> bool {
    let is_this_life = flow.incarnation == subscriber.incarnation;
    let has_come = subscriber.handed_at.is_some();
    is_published(flow) && flow.publish() == Publish::Full && is_this_life && has_come
}

fn subscription(
    flow: &Flow,
    subscriber: &Subscriber,
    queue: Option<Queue>,
    agent: &Agent,
) -> (String, Unit) {
    let named = NamedFlow {
        name: subscriber.name.clone(),
        namespace: flow.namespace.clone(),
        id: flow.incarnation.to_string(),
        ttl: agent.ttl.min(MAX_SUBSCRIPTION_TTL),
        queue,
        listed: false,
    };
    let fresh = Some((Owner::from(&named.name), named.id.clone()));
    let sets = flow_sets(&named, agent).into_iter().collect();
    (format!("subscription {}", named.name), Unit { sets, fresh })
}

/// Flows that whoever browses their namespace finds: as many as fit, the oldest ones.
fn listed<'a>(flows: &[&'a Flow]) -> BTreeSet<&'a Name> {
    let mut oldest = flows.to_vec();
    oldest.sort_by_key(|flow| (flow.made, flow.created_at, &flow.name));
    let mut counts = BTreeMap::<&Name, usize>::new();
    let fits = oldest.into_iter().filter(|flow| {
        let count = counts.entry(&flow.namespace).or_default();
        *count += 1;
        *count <= MAX_LISTED
    });
    fits.map(|flow| &flow.name).collect()
}

/// Units by zone; records that lie in no zone of ours are left out.
pub(crate) fn wanted(findable: &Findable, presence: &Presence) -> BTreeMap<Zone, Units> {
    let mut zones = BTreeMap::<Zone, Units>::new();
    for (name, Unit { sets, fresh }) in everything(findable, presence) {
        let of = |owner: &Owner| zone_of(owner, &presence.zones);
        for set in sets {
            let Some(zone) = of(&set.owner) else { continue };
            let units = zones.entry(zone.clone()).or_default();
            let unit = units.entry(name.clone()).or_default();
            if let Some((owner, _)) = &fresh
                && unit.fresh.is_none()
                && of(owner) == Some(zone)
            {
                unit.fresh.clone_from(&fresh);
            }
            unit.sets.insert(set);
        }
    }
    zones
}

/// A flow that is being made, or on its way out, is nobody's to find.
fn is_published(flow: &Flow) -> bool {
    flow.is_usable() && !flow.alias && !flow.is_remote() && flow.publish() != Publish::None
}

/// The unit of the host itself.
pub(crate) const AGENT: &str = "agent";

/// The unit of a namespace.
pub(crate) fn of_namespace(name: &Name) -> String {
    format!("namespace {name}")
}

/// The unit of a flow.
pub(crate) fn of_flow(name: &Name) -> String {
    format!("flow {name}")
}

/// The name that a unit is about; none of the host itself.
pub(crate) fn name_of(unit: &str) -> Option<Name> {
    unit.split_once(' ').and_then(|(_, name)| name.parse().ok())
}

#[cfg(test)]
pub(super) mod tests {
    use host_events::Incarnation;
    use host_registry::{FlowStatus, Lent};
    use uuid::Uuid;

    use super::*;

    pub(in crate::publishing) fn presence(zones: &[&str]) -> Presence {
        let text = "hostname = \"fnaa.unix.ar\"\nlisten = [\"127.0.0.1:0\"]\ndata_dir = \"d\"\n\
            [dns]\naddresses = [\"192.0.2.1\"]\n\
            [[brokers]]\nname = \"inner\"\ntype = \"embedded\"\n\
            [[brokers]]\nname = \"kafka\"\ntype = \"kafka\"\nservers = \"10.0.0.1:9092\"\nadvertise = \"kafka.unix.ar:9093\"\n";
        let config = Config::parse(text, std::path::Path::new("fnaad.toml")).unwrap();
        let zones = zones.iter().map(|zone| Zone::new(zone.parse().unwrap())).collect();
        Presence { zones, ..Presence::of(&config, 61_000, false).unwrap() }
    }

    pub(in crate::publishing) fn namespace(name: &str) -> Namespace {
        Namespace {
            name: name.parse().unwrap(),
            broker: "inner".to_owned(),
            config: Default::default(),
            owner: None,
            created_at: 0,
        }
    }

    pub(in crate::publishing) fn flow(name: &str, id: u128) -> Flow {
        let name: Name = name.parse().unwrap();
        Flow {
            namespace: "flows.unix.ar".parse().unwrap(),
            incarnation: Incarnation(Uuid::from_u128(id)),
            broker: "inner".to_owned(),
            topic: name.to_string(),
            topic_id: None,
            partitions: 1,
            replication: None,
            config: Default::default(),
            owned: true,
            status: FlowStatus::Active,
            owner: None,
            revision: 1,
            created_at: 0,
            made: 0,
            alias: false,
            name,
        }
    }

    pub(in crate::publishing) fn findable(namespaces: &[Namespace], flows: &[Flow]) -> Findable {
        Findable { namespaces: namespaces.into(), flows: flows.into(), subscribers: Vec::new() }
    }

    fn text(unit: &Unit) -> String {
        unit.sets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn records_of_a_flow_are_those_of_all_three_readers_and_of_the_incarnation() {
        let units = everything(&findable(&[], &[flow("time.flows.unix.ar", 7)]), &presence(&[]));
        let unit = &units["flow time.flows.unix.ar"];
        let id = Uuid::from_u128(7).to_string();
        assert_eq!(unit.fresh, Some(("time.flows.unix.ar".parse().unwrap(), id.clone())));
        let text = text(unit);
        for line in [
            "time.flows.unix.ar. 300 IN PTR _flow._tcp.time.flows.unix.ar.\n",
            "time.flows.unix.ar. 300 IN SRV 0 0 61000 fnaa.unix.ar.\n",
            "_flow._tcp.flows.unix.ar. 300 IN PTR time._flow._tcp.flows.unix.ar.\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(text.contains(&format!("\"id={id}\"")), "{text}");
        assert!(!text.contains("_queue"), "{text}");
    }

    #[test]
    fn a_queue_is_published_where_its_broker_may_be_reached() {
        let on_kafka = Flow { broker: "kafka".to_owned(), ..flow("time.flows.unix.ar", 7) };
        let units = everything(&findable(&[], &[on_kafka]), &presence(&[]));
        let text = text(&units["flow time.flows.unix.ar"]);
        let line = "_queue._flow._tcp.time.flows.unix.ar. 300 IN SRV 30 30 9093 kafka.unix.ar.\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_is_not_whole_or_not_to_be_published_is_not() {
        let with = |status| Flow { status, ..flow("a.flows.unix.ar", 1) };
        let setting = |value: &str| {
            let mut flow = flow("a.flows.unix.ar", 1);
            flow.config.insert("publish".to_owned(), value.to_owned());
            flow
        };
        let is_there = |flow| everything(&findable(&[], &[flow]), &presence(&[])).len() == 2;
        for status in [FlowStatus::Creating, FlowStatus::Deleting] {
            assert!(!is_there(with(status)), "{status:?}");
        }
        for status in [FlowStatus::Active, FlowStatus::Paused] {
            assert!(is_there(with(status)), "{status:?}");
        }
        assert!(is_there(setting("flow")) && !is_there(setting("none")));
    }

    fn subscriber(flow: &Flow) -> Subscriber {
        Subscriber {
            name: format!("id.{}", flow.name).parse().unwrap(),
            flow: flow.name.clone(),
            incarnation: flow.incarnation,
            principal: "domain:emiliano.ar".parse().unwrap(),
            reference: None,
            filter: None,
            approval: None,
            hold: Default::default(),
            created_at: 0,
            handed_at: Some(1),
            attached_at: None,
            failure: None,
            ended: None,
            lent: None,
        }
    }

    #[test]
    fn a_subscription_has_names_where_its_flow_says_full_and_nobody_browses_them() {
        let flow = flow("time.flows.unix.ar", 7);
        let sets = |flow: &Flow, subscriber: Subscriber, ttl: u32| {
            let mut presence = presence(&[]);
            presence.agent.ttl = ttl;
            let all = Findable {
                subscribers: vec![subscriber],
                ..findable(&[], std::slice::from_ref(flow))
            };
            let units = everything(&all, &presence);
            units.get("subscription id.time.flows.unix.ar").map(text)
        };
        let his = subscriber(&flow);
        let text = sets(&flow, his.clone(), 3600).unwrap();
        let line = "id.time.flows.unix.ar. 300 IN SRV 0 0 61000 fnaa.unix.ar.\n";
        assert!(text.contains(line) && !text.contains("_tcp.flows.unix.ar."), "{text}");
        assert!(text.lines().all(|line| line.contains(" 300 IN ")), "{text}");
        let mut alone = flow.clone();
        alone.config.insert("publish".to_owned(), "flow".to_owned());
        assert_eq!(sets(&alone, his.clone(), 300), None);
        let unknown = Subscriber { handed_at: None, ..his.clone() };
        assert_eq!(sets(&flow, unknown, 300), None);
        let former = Flow { incarnation: Incarnation(Uuid::from_u128(9)), ..flow.clone() };
        assert_eq!(sets(&former, his, 300), None);
    }

    #[test]
    fn a_subscription_with_a_topic_of_its_own_says_where_that_is_reached() {
        let from = flow("time.flows.unix.ar", 7);
        let processor = "bridge-1.flows.unix.ar".parse().unwrap();
        let lent = Some(Lent { broker: "kafka".to_owned(), processor, cleared: false });
        let his = Subscriber { lent, ..subscriber(&from) };
        let mut own = flow("id.time.flows.unix.ar", 8);
        own.config.insert("publish".to_owned(), "none".to_owned());
        let all = Findable { subscribers: vec![his], ..findable(&[], &[from, own]) };
        let units = everything(&all, &presence(&[]));
        let text = text(&units["subscription id.time.flows.unix.ar"]);
        let line =
            "_queue._flow._tcp.id.time.flows.unix.ar. 300 IN SRV 30 30 9093 kafka.unix.ar.\n";
        assert!(text.contains(line), "{text}");
        assert!(!units.contains_key("flow id.time.flows.unix.ar"));
    }

    #[test]
    fn no_more_flows_of_a_namespace_are_listed_than_fit_and_the_oldest_are() {
        let of = |made: u64| Flow {
            made,
            ..flow(&format!("f{}.flows.unix.ar", 900 - made), 1 + u128::from(made))
        };
        let flows: Vec<Flow> = (0..MAX_LISTED as u64 + 2).map(of).collect();
        let units = everything(&findable(&[], &flows), &presence(&[]));
        let is_listed = |flow: &Flow| {
            text(&units[&of_flow(&flow.name)]).contains("_tcp.flows.unix.ar. 300 IN PTR ")
        };
        let listed: Vec<bool> = flows.iter().map(is_listed).collect();
        assert!(listed[..MAX_LISTED].iter().all(|listed| *listed));
        assert!(!listed[MAX_LISTED] && !listed[MAX_LISTED + 1]);
    }

    #[test]
    fn each_record_lies_in_the_zone_with_the_longest_name_and_foreign_ones_nowhere() {
        let namespaces = [namespace("flows.unix.ar"), namespace("other.ar")];
        let flows = [flow("time.flows.unix.ar", 7)];
        let zones =
            wanted(&findable(&namespaces, &flows), &presence(&["unix.ar", "flows.unix.ar"]));
        let names = |zone: &str| -> Vec<&str> {
            let units = &zones[&Zone::new(zone.parse().unwrap())];
            units.keys().map(String::as_str).collect()
        };
        assert_eq!(names("unix.ar"), [AGENT]);
        assert_eq!(names("flows.unix.ar"), ["flow time.flows.unix.ar", "namespace flows.unix.ar"]);
        // A flow that is a zone of its own: what lists it stands elsewhere, and claims no name there.
        let zones =
            wanted(&findable(&[], &flows), &presence(&["time.flows.unix.ar", "flows.unix.ar"]));
        let of = |zone: &str| &zones[&Zone::new(zone.parse().unwrap())]["flow time.flows.unix.ar"];
        assert!(of("time.flows.unix.ar").fresh.is_some());
        assert!(of("flows.unix.ar").fresh.is_none() && !of("flows.unix.ar").sets.is_empty());
    }
}
