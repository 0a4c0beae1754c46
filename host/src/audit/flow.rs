//! The audit log as a flow of CloudEvents, which an administrator reads and processes as any other.
//!
//! Makes the flow where it is not there, protected, and takes none that somebody has made. A change that was written is recognised by its number and
//! not written twice.

use anyhow::{Context, Result, bail};
use fnap::name::Name;
use host_brokers::{Append, Token};
use host_events::from_write_line;
use host_processors::topic_of;
use host_registry::{ACCESS, Audited, Flow, FlowStatus, NewFlow, PROTECTED};
use host_server::Services;

/// Writes changes, in order.
pub(super) async fn append(services: &Services, name: &Name, rows: &[Audited]) -> Result<()> {
    write(services, name, rows).await.with_context(|| format!("flow {name}"))
}

/// The flow, made where it is not there.
pub(super) async fn ready(services: &Services, name: &Name) -> Result<()> {
    find(services, name).await.map(drop).with_context(|| format!("flow {name}"))
}

async fn find(services: &Services, name: &Name) -> Result<Flow> {
    let flow = match services.registry.flow(name).await? {
        Some(flow) => flow,
        None => make(services, name).await?,
    };
    if let Some(owner) = &flow.owner {
        bail!("it was made by {owner}, who can change it: delete it, or name another in [audit]");
    }
    if flow.status != FlowStatus::Active {
        bail!("it is not active");
    }
    Ok(flow)
}

async fn write(services: &Services, name: &Name, rows: &[Audited]) -> Result<()> {
    let flow = find(services, name).await?;
    let broker = services.brokers.get(&flow.broker).context("its broker is not configured")?;
    let topic = topic_of(&flow);
    for row in rows {
        let event = event(&services.hostname, name, row).to_string();
        let record = from_write_line(event.as_bytes())?.into_record(row.at);
        // One at a time: what was written before a crash is told apart by its own number.
        let token = Token { principal: "host".to_owned(), token: format!("audit-{}", row.number) };
        broker.append(&topic, Append { records: vec![(0, record)], token: Some(token) }).await?;
    }
    Ok(())
}

async fn make(services: &Services, name: &Name) -> Result<Flow> {
    let mut new = NewFlow::named(name.clone());
    new.config.insert(PROTECTED.to_owned(), "true".to_owned());
    // Strangers do not even ask for it.
    new.config.insert(ACCESS.to_owned(), "closed".to_owned());
    let entry = services.registry.create_flow(new).await?;
    services.reconciler.wait(entry).await?;
    services.registry.flow(name).await?.context("it was taken away again")
}

/// The type begins with the name of the host turned round: it is the host who says so.
fn event(hostname: &str, flow: &Name, row: &Audited) -> serde_json::Value {
    let domain: Vec<&str> = hostname.rsplit('.').collect();
    serde_json::json!({
        "specversion": "1.0",
        "id": row.number.to_string(),
        "source": format!("flow://{flow}"),
        "type": format!("{}.audit.{}", domain.join("."), row.change),
        "subject": row.subject,
        "time": super::time(row.at),
        "datacontenttype": "application/json",
        "data": super::json(row),
    })
}
