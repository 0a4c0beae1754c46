//! What the host shows on its observe address: whether it lives, whether it is ready, and its metrics.
//!
//! Looks only. It holds nothing that the host needs for ending, from [`Observed::ended`] on.

mod brokers;
mod metrics;
mod series;
mod subscriptions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use host_brokers::{Broker, BrokerError, TopicRef};
use host_events::Incarnation;
use host_observe::http::Pages;
use host_plugins::Engine;
use host_server::{Services, Tls};
use tokio::task::AbortHandle;
use uuid::Uuid;

pub(crate) use brokers::{Measured, Measures};

/// The ticker has to be seen ticking within this; it rests half a second at most.
const TICKER_REST: Duration = Duration::from_secs(10);

/// Longest wait for a broker's answer to a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// The host as probes and scrapes find it.
pub struct Observed {
    stage: Mutex<Stage>,
    pulse: Mutex<Option<(u64, Instant)>>,
}

/// How far the host's life is.
#[derive(Clone)]
enum Stage {
    Starting,
    Up(Arc<Up>),
    Draining(Arc<Up>),
    Ended,
}

/// The parts of a host that runs.
pub(crate) struct Up {
    pub(crate) services: Arc<Services>,
    pub(crate) engine: Engine,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) brokers: Vec<Arc<Measures>>,
    pub(crate) listeners: Vec<AbortHandle>,
}

impl Default for Observed {
    fn default() -> Self {
        Self { stage: Mutex::new(Stage::Starting), pulse: Mutex::default() }
    }
}

impl Observed {
    /// Everything runs and connections are accepted.
    pub(crate) fn up(&self, up: Up) {
        self.enter(Stage::Up(Arc::new(up)));
    }

    /// No new work should come.
    pub fn draining(&self) {
        if let Stage::Up(up) = self.stage() {
            self.enter(Stage::Draining(up));
        }
    }

    /// The host lets go of everything.
    pub fn ended(&self) {
        self.enter(Stage::Ended);
    }

    fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the ticker stood still since the last look long enough to be called dead.
    fn ticker_is_dead(&self, engine: &Engine) -> bool {
        let mut pulse = self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let ticks = engine.ticks();
        match *pulse {
            Some((seen, at)) if seen == ticks => at.elapsed() > TICKER_REST,
            _ => {
                *pulse = Some((ticks, Instant::now()));
                false
            }
        }
    }
}

#[async_trait]
impl Pages for Observed {
    async fn metrics(&self) -> String {
        metrics::page(&self.stage()).await
    }

    async fn not_alive(&self) -> Vec<String> {
        // That this is answered shows that the runtime lives.
        match self.stage() {
            Stage::Up(up) | Stage::Draining(up) if self.ticker_is_dead(&up.engine) => {
                vec!["the clock that stops plugins stands still".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    async fn not_ready(&self) -> Vec<String> {
        match self.stage() {
            Stage::Starting => vec!["starting".to_owned()],
            Stage::Draining(_) | Stage::Ended => vec!["shutting down".to_owned()],
            Stage::Up(up) => up.not_ready().await,
        }
    }
}

impl Up {
    async fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.listeners.iter().any(AbortHandle::is_finished) {
            reasons.push("a listener has ended".to_owned());
        }
        let probes = self.services.brokers.iter().map(|(name, broker)| async move {
            let reason = unreachable(broker.as_ref()).await?;
            Some(format!("broker {name}: {reason}"))
        });
        reasons.extend(futures::future::join_all(probes).await.into_iter().flatten());
        reasons
    }
}

/// Asks for a topic that no broker has: a broker that says so is there.
async fn unreachable(broker: &dyn Broker) -> Option<String> {
    let topic = TopicRef::new("_fnaa.probe", Incarnation(Uuid::nil()));
    match tokio::time::timeout(PATIENCE, broker.describe(&topic)).await {
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error @ BrokerError::Unavailable(_))) => Some(error.to_string()),
        Ok(_) => None,
    }
}
