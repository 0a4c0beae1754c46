//! Runs a participant until it is told to end: signals, reload, metrics and probes, the last words.
//!
//! SIGTERM and SIGINT drain, for a while, and end with 0; SIGHUP reads the configuration again. What cannot change
//! while the host runs is logged as waiting for a restart.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use host_iam::Users;
use host_observe::http::Door;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Config, differences};
use crate::host::{Census, Host};
use crate::identities::{self, Lookout};
use crate::observed::Observed;
use crate::open_files;
use crate::strangers;

/// How long the end may take: with a broker that has just gone what is in flight would take more than a minute, and
/// whoever wants the host to begin again waits, or kills it. What is cut off is as after a crash, which loses nothing.
const LONGEST_END: Duration = Duration::from_secs(30);

/// Reads the configuration again.
pub type Reread<'a> = &'a (dyn Fn() -> Result<Config> + Sync);

/// Where a host is reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// FNAP in clear text and with STARTTLS, in the order of the settings.
    pub fnap: Vec<SocketAddr>,
    /// FNAP under TLS, in the order of the settings.
    pub fnaps: Vec<SocketAddr>,
    /// Metrics and probes.
    pub observe: Option<SocketAddr>,
    /// The embedded name server, by UDP and TCP, in the order of the settings.
    pub dns: Vec<SocketAddr>,
}

/// Starts the participant, says that it is ready, and runs it until a signal ends it.
///
/// # Errors
/// When a part does not start.
pub async fn serve(
    config: Config,
    reread: Reread<'_>,
    ready: impl FnOnce(&Addresses) -> Result<()>,
) -> Result<()> {
    let began = Instant::now();
    // Before anything else: a signal that comes while parts start must not kill them half way.
    let mut signals = Signals::new()?;
    let mut hup = signal(SignalKind::hangup()).context("SIGHUP")?;
    let (version, data_dir) = (env!("CARGO_PKG_VERSION"), config.data_dir.display());
    tracing::info!(version, %data_dir, "starting");
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    open_files::take_all(config.listener.connections);
    let mut lookout = Lookout::new(&config).await;
    let users = Arc::new(identities::open(&config)?);
    if let Some(proof) = strangers::proof(&config.names).context("names")? {
        users.ask_for_domains(proof);
    }
    // Probes are answered while parts start: that it takes long is no reason to kill it.
    let observed = Arc::new(Observed::default());
    let window = Window::open(config.observe, &observed).await?;
    let host = tokio::select! {
        host = Host::start(&config, Arc::clone(&users), &observed) => host?,
        _ = signals.end() => return Ok(()),
    };
    let addresses = Addresses {
        fnap: host.addresses().to_vec(),
        fnaps: host.tls_addresses().to_vec(),
        observe: window.address,
        dns: host.dns_addresses().to_vec(),
    };
    say_ready(&host, &addresses, began).await?;
    ready(&addresses)?;
    let mut config = config;
    let reason = loop {
        tokio::select! {
            reason = signals.end() => break reason,
            _ = hup.recv() => config = reload(config, reread, &users, &host).await,
            () = lookout.changed(&config) => {
                match identities::take_over(&config, &users) {
                    Ok(()) => host.take_over_users(&config),
                    Err(error) => {
                        tracing::error!(cause = %format!("{error:#}"), "users not taken over");
                    }
                }
            }
        }
    };
    let began = Instant::now();
    observed.draining();
    tracing::info!(reason, "shutdown begun");
    if timeout(LONGEST_END, host.stop(&observed)).await.is_err() {
        tracing::warn!("what is in flight takes too long and is left as it is, as at a crash");
    }
    window.close().await;
    tracing::info!(took_ms = millis(began), "shutdown ended");
    Ok(())
}

async fn say_ready(host: &Host, addresses: &Addresses, began: Instant) -> Result<()> {
    let Census { namespaces, flows, processors, types } = host.census().await?;
    let joined = |all: &[SocketAddr]| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join(" "))
    };
    let (fnap, fnaps) = (joined(&addresses.fnap), joined(&addresses.fnaps));
    let dns = joined(&addresses.dns);
    let took_ms = millis(began);
    let observe = addresses.observe.map(tracing::field::display);
    tracing::info!(
        fnap, fnaps, observe, dns, namespaces, flows, processors, types, took_ms, "ready"
    );
    Ok(())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Those that end the host.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate()).context("SIGTERM")?,
            int: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }

    /// Waits until somebody wants the end; says how.
    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// The observe address, where there is one.
struct Window {
    address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Window {
    async fn open(wanted: Option<SocketAddr>, observed: &Arc<Observed>) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let Some(wanted) = wanted else { return Ok(Self { address: None, stop, task: None }) };
        let door = Door::bind(wanted).await;
        let door =
            door.with_context(|| format!("cannot listen on {wanted} for metrics and probes"))?;
        let address = Some(door.address()?);
        let task = Some(tokio::spawn(door.serve(Arc::clone(observed) as _, stopped)));
        Ok(Self { address, stop, task })
    }

    async fn close(self) {
        self.stop.send_replace(true);
        let Some(task) = self.task else { return };
        if let Err(error) = task.await {
            tracing::error!(cause = %error, "the observe address broke");
        }
    }
}

/// Takes over what can change; a configuration that is wrong changes nothing.
async fn reload(old: Config, reread: Reread<'_>, users: &Users, host: &Host) -> Config {
    host.rescan_plugins().await;
    host.look_at_certificates().await;
    let read = reread().and_then(|new| identities::take_over(&new, users).map(|()| new));
    let new = match read {
        Ok(new) => new,
        Err(error) => {
            tracing::error!(cause = %format!("{error:#}"), "configuration not taken over");
            return old;
        }
    };
    host.take_over_users(&new);
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
