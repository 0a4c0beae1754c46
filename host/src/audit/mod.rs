//! Carries the audit log from the registry, where each change writes it, to a file and to a flow.
//!
//! Each change comes once to each of them and in order, whatever dies in between. Where one of them cannot be
//! written it is tried again, and the other goes on; nothing is left out. Decides nothing about what is written
//! down.

mod file;
mod flow;
mod in_force;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use fnap::command::Timestamp;
use fnap::name::Name;
use host_registry::{Audited, Carried, Registry};
use host_server::Services;
use tokio::time::sleep;

pub use file::AuditFile;
pub(crate) use in_force::{Configured, keep, removed};

/// Changes carried at once: a few hundred KiB.
const AT_ONCE: u32 = 256;

/// First wait after a failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Longest wait after failures: the disk has room again, or the broker is back, when somebody sees to it.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Where the audit log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// JSON lines, mode 0600.
    pub file: PathBuf,
    /// A flow of CloudEvents; none where nobody asked for one.
    pub flow: Option<Name>,
}

/// One of the two places.
enum To {
    File(AuditFile),
    Flow(Name),
}

/// Carries until the host ends.
pub(crate) async fn carry(options: AuditOptions, services: Arc<Services>) {
    let AuditOptions { file, flow } = options;
    let to_file = carry_to(To::File(AuditFile::new(file)), &services);
    match flow {
        Some(flow) => drop(tokio::join!(to_file, carry_to(To::Flow(flow), &services))),
        None => to_file.await,
    }
}

async fn carry_to(mut to: To, services: &Services) {
    let mut changes = services.registry.subscribe();
    let (mut wait, mut told) = (FIRST_WAIT, String::new());
    loop {
        changes.borrow_and_update();
        match to.carry_on(services).await {
            Ok(()) => {
                if !told.is_empty() {
                    tracing::info!(to = to.name(), "the audit log goes on");
                }
                (wait, told) = (FIRST_WAIT, String::new());
                if changes.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let words = format!("{error:#}");
                if words != told {
                    tracing::error!(to = to.name(), cause = words, "the audit log waits");
                }
                told = words;
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

impl To {
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Flow(_) => "flow",
        }
    }

    /// Carries all that waits.
    async fn carry_on(&mut self, services: &Services) -> Result<()> {
        let Services { registry, .. } = services;
        // What is wrong is told before there is anything to carry.
        match self {
            Self::File(file) => file.ready().await?,
            Self::Flow(name) => flow::ready(services, name).await?,
        }
        loop {
            let after = self.place(registry.carried().await?);
            let rows = registry.audited(after, AT_ONCE).await?;
            let Some(last) = rows.last().map(|row| row.number) else { return Ok(()) };
            match self {
                Self::File(file) => file.append(rows).await?,
                Self::Flow(name) => flow::append(services, name, &rows).await?,
            }
            self.carried(registry, last).await?;
        }
    }

    fn place(&self, carried: Carried) -> u64 {
        match self {
            Self::File(_) => carried.file,
            Self::Flow(_) => carried.flow,
        }
    }

    async fn carried(&self, registry: &Registry, last: u64) -> Result<()> {
        match self {
            Self::File(_) => registry.carried_to_file(last).await?,
            Self::Flow(_) => registry.carried_to_flow(last).await?,
        }
        Ok(())
    }
}

/// A change as JSON, the same in the file and in an event.
fn json(row: &Audited) -> serde_json::Value {
    let Audited { number, at, who, origin, subject, change, command } = row;
    serde_json::json!({
        "number": number,
        "time": time(*at),
        "who": who,
        "from": origin,
        "what": subject,
        "change": change,
        "command": command,
    })
}

/// Milliseconds since 1970 as RFC 3339; the number itself where it is out of that format's range.
fn time(millis: i64) -> String {
    Timestamp::from_unix_millis(millis).map_or_else(|| millis.to_string(), Timestamp::with_millis)
}
