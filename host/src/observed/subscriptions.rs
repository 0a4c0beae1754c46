//! Subscriptions on the page of metrics, from either end: who has flows of this host, and what comes here from others.

use fnap::name::Name;
use host_brokers::TopicInfo;
use host_observe::{Exposition, Kind, Number};
use host_registry::{Flow, Stage};
use host_server::Carried;

use super::{Up, series};

/// One subscription: its labels, what it carried, and whether events can come.
struct Look {
    names: [String; 2],
    carried: Carried,
    goes: bool,
}

/// The words of one end.
struct Words {
    labels: [&'static str; 2],
    families: [(&'static str, &'static str); 6],
}

const OWNER: Words = Words {
    labels: ["subscription", "flow"],
    families: [
        ("fnaa_subscriber_events_total", "Events sent to the subscriber."),
        ("fnaa_subscriber_bytes_total", "Octets of them as they were sent."),
        (
            "fnaa_subscriber_cpu_seconds_total",
            "Processor time of the filters and policies of the subscription.",
        ),
        ("fnaa_subscriber_retries_total", "Times that the subscriber began again."),
        (
            "fnaa_subscriber_lag_events",
            "Offsets between what is safe at the subscriber's and the ends of the flow. Absent where unknown.",
        ),
        ("fnaa_subscriber_connected", "1 while somebody is attached to the subscription."),
    ],
};

const SUBSCRIBER: Words = Words {
    labels: ["local", "flow"],
    families: [
        ("fnaa_subscription_events_total", "Events that came and were committed."),
        ("fnaa_subscription_bytes_total", "Octets of them."),
        ("fnaa_subscription_cpu_seconds_total", "Processor time of the processor that carries."),
        ("fnaa_subscription_retries_total", "Times that it began again after a failure."),
        (
            "fnaa_subscription_lag_events",
            "Offsets between what is safe here and the ends of the flow. Absent where unknown.",
        ),
        (
            "fnaa_subscription_active",
            "1 while the subscription is active and nothing stands still.",
        ),
    ],
};

/// Writes both ends; gives how many have no series of their own.
pub(super) async fn write(
    page: &mut Exposition,
    up: &Up,
    flows: &[Flow],
    infos: &[Option<TopicInfo>],
) -> [(&'static str, u64); 2] {
    let (theirs, subscribers) = theirs(up, flows, infos).await;
    families(page, &OWNER, &theirs);
    tokio::task::yield_now().await;
    let (ours, subscriptions) = ours(up).await;
    families(page, &SUBSCRIBER, &ours);
    [("subscriber", subscribers), ("subscription", subscriptions)]
}

async fn theirs(up: &Up, flows: &[Flow], infos: &[Option<TopicInfo>]) -> (Vec<Look>, u64) {
    let registry = &up.services.registry;
    let mut rows = registry.live_subscribers();
    let age = |row: &host_registry::Subscriber| (row.created_at, row.name.clone());
    let omitted = series::oldest(&mut rows, series::MOST_SUBSCRIPTIONS, age);
    let known: std::collections::HashMap<&Name, &TopicInfo> = flows
        .iter()
        .zip(infos)
        .filter_map(|(flow, info)| Some((&flow.name, info.as_ref()?)))
        .collect();
    let mut looks = Vec::with_capacity(rows.len());
    for row in rows {
        let info = known.get(&row.flow);
        let ends =
            info.map(|info| info.partitions.iter().map(|log| log.latest).collect::<Vec<_>>());
        let carried = up.services.carried_to(&row, ends.as_deref()).await;
        let goes = registry.standing(&row.name).is_some_and(|standing| standing.connected > 0);
        looks.push(Look { names: [row.name.to_string(), row.flow.to_string()], carried, goes });
    }
    (looks, omitted)
}

async fn ours(up: &Up) -> (Vec<Look>, u64) {
    let mut rows = up.services.registry.subscriptions();
    let age = |row: &host_registry::Subscription| (row.created_at, row.local.clone());
    let omitted = series::oldest(&mut rows, series::MOST_SUBSCRIPTIONS, age);
    let mut looks = Vec::with_capacity(rows.len());
    for row in rows {
        let stands = up.services.peers.standstill(&row);
        let goes = row.stage == Stage::Active && stands.is_none() && row.condition.is_none();
        let carried = up.services.carried_here(&row).await;
        looks.push(Look { names: [row.local.to_string(), row.flow.to_string()], carried, goes });
    }
    (looks, omitted)
}

fn families(page: &mut Exposition, words: &Words, looks: &[Look]) {
    let values: [fn(&Look) -> Option<Number>; 6] = [
        |look| Some(look.carried.events.into()),
        |look| Some(look.carried.bytes.into()),
        |look| Some(look.carried.cpu.as_secs_f64().into()),
        |look| Some(look.carried.retries.into()),
        |look| look.carried.lag.map(Number::from),
        |look| Some(look.goes.into()),
    ];
    for ((name, help), value) in words.families.into_iter().zip(values) {
        let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
        let mut family = page.family(name, kind, help);
        for look in looks {
            let [first, second] = &look.names;
            let labels = [(words.labels[0], first.as_str()), (words.labels[1], second.as_str())];
            value(look).into_iter().for_each(|value| family.sample(&labels, value));
        }
    }
}
