//! Runs a participant until it is told to end: signals, reload, the last words.
//!
//! SIGTERM and SIGINT drain and end with 0; SIGHUP reads the configuration again. What cannot change
//! while the host runs is logged as waiting for a restart.

use std::sync::Arc;

use anyhow::{Context, Result};
use host_iam::Users;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, differences};
use crate::host::Host;

/// Reads the configuration again.
pub type Reread<'a> = &'a (dyn Fn() -> Result<Config> + Sync);

/// Starts the participant, says that it is ready, and runs it until a signal ends it.
///
/// # Errors
/// When a part does not start.
pub async fn serve(
    config: Config,
    reread: Reread<'_>,
    ready: impl FnOnce(&Host) -> Result<()>,
) -> Result<()> {
    // Before anything else: a signal that comes while parts start must not kill them half way.
    let mut term = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut hup = signal(SignalKind::hangup()).context("SIGHUP")?;
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let users = Arc::new(Users::new(config.all_users().context("users")?).context("users")?);
    let host = tokio::select! {
        host = Host::start(&config, Arc::clone(&users)) => host?,
        _ = term.recv() => return Ok(()),
        _ = int.recv() => return Ok(()),
    };
    ready(&host)?;
    let mut config = config;
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => config = reload(config, reread, &users, &host).await,
        }
    }
    tracing::info!("draining");
    host.stop().await;
    tracing::info!("ended");
    Ok(())
}

/// Takes over what can change; a configuration that is wrong changes nothing.
async fn reload(old: Config, reread: Reread<'_>, users: &Users, host: &Host) -> Config {
    host.rescan_plugins().await;
    let read = reread().and_then(|new| Ok((new.all_users().context("users")?, new)));
    let (list, new) = match read {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(cause = %format!("{error:#}"), "configuration not taken over");
            return old;
        }
    };
    users.replace(list);
    if let Err(error) = host.take_over_namespaces(&new).await {
        tracing::error!(cause = %format!("{error:#}"), "namespaces not taken over");
    }
    let changes = differences(&old, &new);
    for change in &changes {
        let counts = if change.live { "now" } else { "from the next start" };
        tracing::info!(key = change.key, counts, "configuration changed");
    }
    tracing::info!(changes = changes.len(), "configuration read again, users and plugins with it");
    new
}
