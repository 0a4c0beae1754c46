//! Wires the parts of a participant: what starts after what, and what ends before what.
//!
//! Start: broker, registry, engine, catalog, processors, reconciler, listeners. Nobody is accepted
//! before everything that a command needs is there. Stop: the other way round.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use fnap::name::Name;
use fnap::subject::Subject;
use host_iam::{Grants, Owner, Quotas, Users};
use host_observe::traces::Traces;
use host_peers::lending::Lender;
use host_plugins::Watcher;
use host_processors::Processors;
use host_registry::{NewNamespace, Reconciler, Registry, Told};
use host_server::{Listener, ListenerOptions, Places, Services, Speaks, Tls, watch_subscriptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::audit::{self, Configured};
use crate::config::Config;
use crate::ground::Ground;
use crate::observed::{Observed, Up};
use crate::plugins::perform::Genie;
use crate::publishing::Publishing;
use crate::reports;

/// A running participant.
pub struct Host {
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    places: Arc<Places>,
    services: Arc<Services>,
    watcher: Watcher,
    publishing: Arc<Publishing>,
    /// For the audit log.
    configured: watch::Sender<Configured>,
}

/// How many there are of what a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Namespaces.
    pub namespaces: usize,
    /// Flows.
    pub flows: usize,
    /// Processors.
    pub processors: usize,
    /// Processor types.
    pub types: usize,
}

impl Host {
    /// Starts everything; when it returns, connections are accepted.
    ///
    /// # Errors
    /// Says which part did not start and why.
    pub async fn start(config: &Config, users: Arc<Users>, observed: &Observed) -> Result<Self> {
        let tls = config.tls.clone().map(Tls::open).transpose().context("tls")?.map(Arc::new);
        tls.iter().flat_map(|tls| tls.warnings()).for_each(|warning| tracing::warn!("{warning}"));
        let mut ground = Ground::open(config).await?;
        let (engine, brokers) = (ground.engine.clone(), std::mem::take(&mut ground.measures));
        let (publishing, home) = (Publishing::new(config), ground.home.clone());
        let Begun { services, watcher, mut background } =
            begin(ground, config, users, Arc::clone(&publishing)).await?;
        if let Some(tls) = tls.clone() {
            background.push(tokio::spawn(async move { tls.watch().await }));
        }
        let (configured, states) = watch::channel(Configured::of(config, &services.users));
        background.push(audit::keep(services.registry.clone(), states).await);
        let mut host = Self {
            addresses: Vec::new(),
            tls_addresses: Vec::new(),
            tls: tls.clone(),
            stop: watch::Sender::new(false),
            listeners: Vec::new(),
            background,
            places: Places::new(config.listener.connections),
            services: Arc::new(services),
            watcher,
            publishing,
            configured,
        };
        home.leads_to(&(Arc::clone(&host.services) as _));
        host.open_doors(config).await?;
        host.publish().await?;
        host.carry_audit(config).await?;
        host.report(config);
        let subscriptions = watch_subscriptions(Arc::clone(&host.services));
        host.background.push(tokio::spawn(subscriptions));
        let (services, listeners) = (Arc::clone(&host.services), &host.listeners);
        let listeners = listeners.iter().map(JoinHandle::abort_handle).collect();
        observed.up(Up { tls, services, engine, brokers, listeners });
        Ok(host)
    }

    async fn open_doors(&mut self, config: &Config) -> Result<()> {
        for address in &config.listen {
            let speaks = Speaks::Clear { tls: self.tls.clone(), named: config.is_named(*address) };
            let taken = self.listen(*address, speaks, &config.listener).await?;
            self.addresses.push(taken);
        }
        for address in &config.listen_tls {
            let speaks = Speaks::Tls(self.tls.clone().context("listen_tls without a certificate")?);
            let taken = self.listen(*address, speaks, &config.listener).await?;
            self.tls_addresses.push(taken);
        }
        Ok(())
    }

    /// What others find of it says where it listens.
    async fn publish(&mut self) -> Result<()> {
        let Self { addresses, tls_addresses, services, publishing, .. } = &*self;
        let tasks = publishing.begin(&services.registry, addresses, tls_addresses).await;
        self.background.extend(tasks.context("dns")?);
        Ok(())
    }

    async fn carry_audit(&mut self, config: &Config) -> Result<()> {
        let flow = config.audit.flow.is_some();
        self.services.registry.has_audit_flow(flow).await.context("audit log")?;
        let carried = audit::carry(config.audit.clone(), Arc::clone(&self.services));
        self.background.push(tokio::spawn(carried));
        Ok(())
    }

    /// What was written down while they were wanted is carried in any case.
    fn report(&mut self, config: &Config) {
        let (carried, watched) = (Arc::clone(&self.services), Arc::clone(&self.services));
        self.background.push(tokio::spawn(reports::carry(carried)));
        if config.reports.enabled {
            let late = config.reports.late;
            self.background.push(tokio::spawn(reports::watch(watched, late)));
        }
    }

    async fn listen(
        &mut self,
        address: SocketAddr,
        speaks: Speaks,
        options: &ListenerOptions,
    ) -> Result<SocketAddr> {
        let places = Arc::clone(&self.places);
        let listener = Listener::bind(address, speaks, options.clone(), places);
        let listener = listener.await.with_context(|| format!("cannot listen on {address}"))?;
        let taken = listener.address()?;
        let services = Arc::clone(&self.services);
        let stopped = self.stop.subscribe();
        self.listeners.push(tokio::spawn(listener.serve(services, stopped)));
        Ok(taken)
    }

    /// Where it listens for clear text and STARTTLS, in the order of the settings.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for TLS, in the order of the settings.
    #[must_use]
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// Where the embedded name server answers, in the order of the settings.
    #[must_use]
    pub fn dns_addresses(&self) -> &[SocketAddr] {
        self.publishing.addresses()
    }

    /// Looks at the certificate's files now.
    pub async fn look_at_certificates(&self) {
        if let Some(tls) = &self.tls {
            tls.look().await;
        }
    }

    /// What there is, for the log.
    ///
    /// # Errors
    /// When the registry cannot be read.
    pub async fn census(&self) -> Result<Census> {
        let Services { registry, catalog, .. } = &*self.services;
        Ok(Census {
            namespaces: registry.namespaces().await?.len(),
            flows: registry.flows(None).await?.len(),
            processors: registry.processors().await?.len(),
            types: catalog.snapshot().types.len(),
        })
    }

    /// Looks at the plugin directory now.
    pub async fn rescan_plugins(&self) {
        self.watcher.rescan().await;
    }

    /// Takes over who administers, what quotas there are, and which groups users are in; what is different is
    /// written down.
    pub fn take_over_users(&self, config: &Config) {
        let Services { grants, quotas, users, .. } = &*self.services;
        take_over_rights(grants, quotas, users, config);
        self.configured.send_replace(Configured::of(config, users));
    }

    /// Makes the namespaces of a configuration that was read again.
    ///
    /// # Errors
    /// When one cannot be made; those before it are.
    pub async fn take_over_namespaces(&self, config: &Config) -> Result<()> {
        let Services { registry, reconciler, .. } = &*self.services;
        make_namespaces(registry, reconciler, &config.namespaces).await
    }

    /// Tells clients, drains processors, ends everything.
    pub async fn stop(self, observed: &Observed) {
        self.stop.send_replace(true);
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(cause = %error, "a listener broke");
            }
        }
        for task in &self.background {
            task.abort();
        }
        self.services.processors.drain().await;
        let traces = self.services.traffic.traces.clone();
        let sent = tokio::task::spawn_blocking(move || traces.end());
        let brokers = self.services.brokers.values();
        futures::future::join_all(brokers.map(|broker| broker.close())).await;
        if let Err(error) = sent.await {
            tracing::error!(cause = %error, "the last traces were not sent");
        }
        observed.ended();
    }
}

fn take_over_rights(grants: &Grants, quotas: &Quotas, users: &Users, config: &Config) {
    grants.set_users(users.absent());
    grants.set_administrators(config.administrators.iter().cloned());
    quotas.set(config.quotas.clone());
}

/// What runs before anybody is let in.
struct Begun {
    services: Services,
    watcher: Watcher,
    background: Vec<JoinHandle<()>>,
}

/// Starts what works without anybody: processors, and what the registry decided and is not done yet.
async fn begin(
    ground: Ground,
    config: &Config,
    users: Arc<Users>,
    outward: Arc<Publishing>,
) -> Result<Begun> {
    let (grants, quotas) = (Grants::default(), Quotas::default());
    let removed = audit::removed(&ground.registry, &users.states()).await.context("registry")?;
    grants.set_removed(removed.into_keys());
    take_over_rights(&grants, &quotas, &users, config);
    // Whoever may do everything in its namespace could forge it.
    grants.reserve(config.audit.flow.clone());
    let decides = grants.clone();
    ground.registry.keep_reports(config.reports.enabled);
    ground.registry.tell(move |news| tell(&decides, news));
    let traces = config.traces.as_ref().map(Traces::start).transpose();
    let traces = traces.map_err(anyhow::Error::msg).context("traces")?.unwrap_or_default();
    let processors = ground.processors(config, &grants, &quotas, &traces);
    let genie = Genie {
        registry: ground.registry.clone(),
        catalog: ground.catalog.clone(),
        plugins_dir: config.plugins_dir.clone(),
    };
    // Before a file that came meanwhile is taken.
    genie.perform_all().await;
    let watcher = ground.watch_plugins(config).await?;
    processors.start_all().await.context("processors")?;
    let mut background = looking_after(&processors);
    background.push(tokio::spawn(genie.watch(watcher.rescans())));
    let Ground { brokers, registry, catalog, peers, .. } = ground;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(processors.clone()));
    make_namespaces(&registry, &reconciler, &config.namespaces).await?;
    // What it makes is carried out by the reconciler.
    let patterns = processors.clone();
    background.push(tokio::spawn(async move { patterns.watch_patterns().await }));
    let cared_for = peers.clone();
    background.push(tokio::spawn(async move { cared_for.care().await }));
    let lender = Lender::new(registry.clone(), brokers.clone(), config.offers());
    let lent = lender.clone();
    background.push(tokio::spawn(async move { lent.care().await }));
    let services = Services {
        hostname: config.hostname.clone(),
        default_broker: config.default_broker(),
        registry,
        reconciler,
        processors,
        brokers,
        catalog,
        users,
        grants,
        quotas,
        outward,
        peers,
        lender,
        spread: 0.into(),
        read_room: host_server::ReadRoom::default(),
        logs: host_server::Logs::default(),
        traffic: host_server::traffic().with_traces(traces),
    };
    Ok(Begun { services, watcher, background })
}

/// What is seen to in the background as long as processors run.
fn looking_after(processors: &Processors) -> Vec<JoinHandle<()>> {
    let (flows, lag, rights) = (processors.clone(), processors.clone(), processors.clone());
    let snapshots = processors.clone();
    vec![
        tokio::spawn(async move { flows.watch().await }),
        tokio::spawn(async move { lag.watch_lag().await }),
        tokio::spawn(async move { rights.watch_rights().await }),
        tokio::spawn(async move { snapshots.watch_snapshots().await }),
    ]
}

/// What the registry keeps, to who decides by it.
fn tell(grants: &Grants, news: Told<'_>) {
    let owner = |subject: Option<&Subject>, below| {
        subject.map(|subject| Owner { subject: subject.clone(), below })
    };
    match news {
        Told::Namespace(name, subject) => grants.named(name, owner(subject, true), false),
        Told::Flow(name, subject, open) => grants.named(name, owner(subject, false), open),
        Told::Processor(name, subject) => grants.named(name, owner(subject, false), false),
        Told::Gone(name) => grants.gone(name),
        Told::Granted(object, subject, right, scope) => {
            grants.granted(object, subject, right, scope);
        }
        Told::Revoked(object, subject, right) => grants.revoked(object, subject, right),
    }
}

/// What the configuration names exists; what it no longer names stays, because flows may live there.
async fn make_namespaces(
    registry: &Registry,
    reconciler: &Reconciler,
    namespaces: &[(Name, String)],
) -> Result<()> {
    for (name, broker) in namespaces {
        if registry.namespace(name).await?.is_some() {
            continue;
        }
        let (name, broker) = (name.clone(), broker.clone());
        let new =
            NewNamespace { name: name.clone(), broker, config: Default::default(), owner: None };
        let made = registry.create_namespace(new).await;
        reconciler.wait(made.with_context(|| format!("namespace {name}"))?).await?;
    }
    Ok(())
}
