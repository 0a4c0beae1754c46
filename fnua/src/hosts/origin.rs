//! How a host was found, for who has to find it again: a command that runs for days outlives the place of a host.
//!
//! Asks nobody while a host can be reached where it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use fnap::Name;
use host_names::{Age, FindError, Finder, Found, Place, Search};

use super::{agent_of, at, tell};
use crate::address::{Address, DEFAULT_PORT};
use crate::config::{Agent, Config, TlsMode};
use crate::error::Error;
use crate::trace::Trace;

/// How a host was found, and where it was the last time.
pub(crate) struct Origin {
    config: Arc<Config>,
    finder: Arc<Finder>,
    sought: Sought,
    trace: Trace,
    /// Where it was found again, if it was.
    moved: Mutex<Option<Agent>>,
}

/// What was looked for.
pub(super) enum Sought {
    /// The host of a flow, or of a namespace.
    Flow(Name),
    /// A host that is configured, by its name.
    Host { agent: Box<Agent>, host: Name },
}

impl Origin {
    pub(super) const fn new(
        config: Arc<Config>,
        finder: Arc<Finder>,
        sought: Sought,
        trace: Trace,
    ) -> Self {
        Self { config, finder, sought, trace, moved: Mutex::new(None) }
    }

    /// Finds it for the first time.
    pub(super) async fn begin(self) -> Result<Agent, Error> {
        let found = self.search(Age::Any).await.found;
        let agent = self.agent(found)?;
        Ok(Agent { origin: Some(Arc::new(self)), ..agent })
    }

    /// Where it was found again, if it was.
    pub(crate) fn moved(&self) -> Option<Agent> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it is by now; none where it is still there, as far as anybody knows.
    pub(crate) async fn elsewhere(&self, before: &Agent) -> Option<Agent> {
        let found = self.search(Age::New).await.found;
        let now = self.agent(found).ok().filter(|now| places(now) != places(before))?;
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.clone());
        Some(now)
    }

    /// Looks for it, by answers of DNS that may be so old.
    pub(super) async fn search(&self, age: Age) -> Search {
        let search = match &self.sought {
            Sought::Flow(name) => {
                self.trace.note(|| format!("Resolving {name}"));
                self.finder.find(name, age).await
            }
            Sought::Host { agent, host } => {
                let port = agent.address.port();
                self.finder.host(host, port, port == DEFAULT_PORT, age).await
            }
        };
        tell::steps(&search.steps, &self.trace);
        search
    }

    fn agent(&self, found: Result<Found, FindError>) -> Result<Agent, Error> {
        let (Sought::Flow(name) | Sought::Host { host: name, .. }) = &self.sought;
        let found = found.map_err(|reason| Error::NotFound { name: name.clone(), reason })?;
        match &self.sought {
            Sought::Flow(name) => agent_of(&self.config, &found)
                .ok_or_else(|| Error::Usage(format!("no host of {name}"))),
            Sought::Host { agent, .. } => Ok(at_places(agent, &found)),
        }
    }
}

// The configuration is everybody's, and long.
impl std::fmt::Debug for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Origin").finish_non_exhaustive()
    }
}

/// A configured host at the places that were found.
fn at_places(agent: &Agent, found: &Found) -> Agent {
    let place = |place: &Place| {
        let address = Address::new(place.target.as_str(), place.port)?;
        // Whatever its record leads to, it has to be the host that was configured.
        let server_name = Some(agent.server_name().to_owned());
        Some(Agent { address, server_name, at: at(place), ..agent.clone() })
    };
    let mut places = found.agents.iter().filter_map(place);
    let first = places.next().unwrap_or_else(|| agent.clone());
    Agent { others: places.collect(), ..first }
}

/// All places of an agent, whatever their order.
fn places(agent: &Agent) -> Vec<(String, Vec<SocketAddr>, Option<TlsMode>)> {
    let place = |agent: &Agent| {
        let mut at = agent.at.clone();
        at.sort_unstable();
        (agent.address.to_string(), at, agent.tls.mode)
    };
    let mut all: Vec<_> = std::iter::once(agent).chain(&agent.others).map(place).collect();
    all.sort_unstable_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    all
}
