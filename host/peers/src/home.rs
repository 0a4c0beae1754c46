//! This very host, as subscribers of its own meet it: as a host of others, with no network in between.
//!
//! What would be said over a connection is said to a [`Home`], and a stream is a pipe in memory. Decides nothing: who may
//! have what is asked as of anybody who comes over a connection.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::subject::Subject;
use host_names::{Age, Found, Security, Way};
use host_registry::Subscription;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::SetOnce;

use crate::reach::{Choice, Opened, Reach, Unreached};

/// Octets that one side has said and the other has not heard: some of a stream's usual frames, so that neither waits for
/// the other at each.
const PIPE: usize = 256 * 1024;

/// How long it counts where a flow of this host is found: it is not looked for.
const STAYS: Duration = Duration::from_secs(3600);

/// What the host's own subscribers may ask it.
const OFFERS: &str = "STREAM=1";

/// What performs commands and serves streams.
#[async_trait]
pub trait Home: Send + Sync {
    /// Performs what a subscriber says about a flow, and gives the lines of the answer.
    async fn ask(&self, who: &Subject, command: Command) -> Result<Vec<String>, Failure>;
    /// Serves streams to a subscriber until he closes the connection.
    async fn serve(&self, who: &Subject, octets: DuplexStream);
}

/// The way to this host: there from the start, and of use once the host runs. Cloning shares it.
#[derive(Clone, Default)]
pub struct HomeWay(Arc<SetOnce<Weak<dyn Home>>>);

/// The ways to the hosts of flows that somebody here subscribes to.
#[derive(Clone)]
pub struct Ways {
    /// To those of others.
    pub outside: Arc<dyn Reach>,
    /// To this one.
    pub home: HomeWay,
}

impl Ways {
    /// The way to the owner's host of a subscription.
    pub(crate) fn of(&self, row: &Subscription) -> Arc<dyn Reach> {
        match at_home(row) {
            Some(who) => self.home.of(who),
            None => Arc::clone(&self.outside),
        }
    }
}

/// Who a subscriber of this very host is to it; none where the flow lies elsewhere.
pub(crate) fn at_home(row: &Subscription) -> Option<Subject> {
    // What is nobody's is nobody's right either.
    row.here.then(|| row.owner.clone().unwrap_or(Subject::Anonymous))
}

/// The way of one subscriber.
struct Walk {
    way: HomeWay,
    who: Subject,
}

impl HomeWay {
    /// The host runs.
    pub fn leads_to(&self, home: &Arc<dyn Home>) {
        // There is one host.
        drop(self.0.set(Arc::downgrade(home)));
    }

    /// The way of a subscriber.
    fn of(&self, who: Subject) -> Arc<dyn Reach> {
        Arc::new(Walk { way: self.clone(), who })
    }
}

impl Walk {
    async fn home(&self) -> Result<Arc<dyn Home>, Unreached> {
        let home = self.way.0.wait().await.upgrade();
        home.ok_or_else(|| {
            Unreached::refused(Failure::new(Code::Unavailable, "the host is shutting down"))
        })
    }
}

#[async_trait]
impl Reach for Walk {
    async fn ask(&self, _: &Name, command: &Command) -> Result<Vec<String>, Unreached> {
        let answer = self.home().await?.ask(&self.who, command.clone()).await;
        answer.map_err(Unreached::refused)
    }

    async fn ask_able(&self, flow: &Name, choose: Choice<'_>) -> Result<Vec<String>, Unreached> {
        let command = choose(&[OFFERS.to_owned()]).map_err(Unreached::never)?;
        self.ask(flow, &command).await
    }

    async fn find(&self, _: &Name, _: Age) -> Result<Found, Unreached> {
        Ok(Found {
            agents: Vec::new(),
            id: None,
            queue: None,
            security: Security::Secure,
            way: Way::Pointer,
            ttl: STAYS,
        })
    }

    async fn stream(&self, _: &Found) -> Result<Opened, Unreached> {
        let (home, who) = (self.home().await?, self.who.clone());
        let (near, far) = duplex(PIPE);
        tokio::spawn(async move { home.serve(&who, far).await });
        Ok(Opened { octets: Box::new(near), host: None })
    }
}
