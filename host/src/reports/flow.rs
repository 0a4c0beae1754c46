//! The reports flow of a namespace: `reports.NAMESPACE`, made by the host, closed to others and in no zone.
//!
//! Takes no flow that somebody has made. What was written is recognised by its number and not written twice.

use anyhow::{Context, Result, bail};
use fnap::command::Timestamp;
use fnap::name::Name;
use host_brokers::{Append, Broker, Token, TopicRef};
use host_events::from_write_line;
use host_processors::topic_of;
use host_registry::{ACCESS, Flow, FlowStatus, NewFlow, PUBLISH, REPORTS, Report};
use host_server::Services;
use serde_json::{Value, json};

/// What a reports flow keeps, in octets: some ten thousand reports. Strangers can cause them.
const KEPT_OCTETS: u64 = 16 << 20;

/// And for how long, in milliseconds: 90 days.
const KEPT_FOR: u64 = 90 * 24 * 3600 * 1000;

/// A flow that reports are written to.
pub(super) struct Reports<'a> {
    services: &'a Services,
    name: Name,
    broker: &'a dyn Broker,
    topic: TopicRef,
}

impl<'a> Reports<'a> {
    /// The flow of a namespace, made where it is not there.
    pub(super) async fn of(services: &'a Services, namespace: &Name) -> Result<Self> {
        let name = namespace.child(REPORTS)?;
        let flow = find(services, &name).await.with_context(|| format!("flow {name}"))?;
        let broker = services.brokers.get(&flow.broker).context("its broker is not configured")?;
        Ok(Self { services, name, broker: &**broker, topic: topic_of(&flow) })
    }

    /// Writes one, unless it is there.
    pub(super) async fn write(&self, report: &Report) -> Result<()> {
        let id = id(report);
        let event = event(&self.services.hostname, &self.name, report, &id).to_string();
        let record = from_write_line(event.as_bytes())?.into_record(report.at);
        let token = Token { principal: "host".to_owned(), token: format!("report-{id}") };
        let append = Append { records: vec![(0, record)], token: Some(token) };
        self.broker.append(&self.topic, append).await?;
        Ok(())
    }
}

async fn find(services: &Services, name: &Name) -> Result<Flow> {
    let flow = match services.registry.flow(name).await? {
        Some(flow) => flow,
        None => make(services, name).await?,
    };
    if let Some(owner) = &flow.owner {
        bail!("it was made by {owner}: reports have no other place");
    }
    if flow.status != FlowStatus::Active {
        bail!("it is not active");
    }
    Ok(flow)
}

async fn make(services: &Services, name: &Name) -> Result<Flow> {
    let mut new = NewFlow::named(name.clone());
    for (key, value) in [
        // Strangers do not even ask for it.
        (ACCESS, "closed".to_owned()),
        (PUBLISH, "none".to_owned()),
        ("retention.bytes", KEPT_OCTETS.to_string()),
        ("retention.ms", KEPT_FOR.to_string()),
    ] {
        new.config.insert(key.to_owned(), value);
    }
    let entry = services.registry.create_flow(new).await?;
    services.reconciler.wait(entry).await?;
    services.registry.flow(name).await?.context("it was taken away again")
}

/// What is told of reports that found no room.
pub(super) fn dropped(first: &Report, many: u64) -> Report {
    Report {
        kind: DROPPED.to_owned(),
        subject: String::new(),
        data: json!({ "dropped": many }),
        ..first.clone()
    }
}

/// The kind of that.
const DROPPED: &str = "reports.dropped";

/// The same for the same report, however often it is carried.
fn id(report: &Report) -> String {
    match report.kind.as_str() {
        DROPPED => format!("{}-dropped", report.number),
        _ => report.number.to_string(),
    }
}

/// The type begins with the name of the host turned round: it is the host who says so.
fn event(hostname: &str, flow: &Name, report: &Report, id: &str) -> Value {
    let domain: Vec<&str> = hostname.rsplit('.').collect();
    let time = Timestamp::from_unix_millis(report.at);
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": format!("flow://{flow}"),
        "type": format!("{}.{}", domain.join("."), report.kind),
        "datacontenttype": "application/json",
        "data": report.data,
    });
    if let Value::Object(event) = &mut event {
        if !report.subject.is_empty() {
            event.insert("subject".to_owned(), report.subject.clone().into());
        }
        if let Some(time) = time {
            event.insert("time".to_owned(), time.to_string().into());
        }
    }
    event
}
