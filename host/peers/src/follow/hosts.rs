//! Which hosts have which flows, remembered for as long as DNS allows and not for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fnap::name::Name;
use host_names::Age;
use tokio::time::Instant;

use crate::reach::{Reach, Unreached};

/// Longest time for which it is remembered where a flow was found: all flows are looked at every few seconds, and each
/// search asks seven questions, which the names' own cache answers.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Which hosts a connection may lead to: their names and ports, in whatever order and at whatever addresses they are
/// found, since a host proves its name; and whether DNSSEC proves them, since that decides which certificates count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hosts(Arc<str>);

impl Hosts {
    fn of(found: &host_names::Found) -> Self {
        let place = |place: &host_names::Place| {
            let host_names::Place { target, port, tls, .. } = place;
            format!("{target}:{port}{}", if *tls { " tls" } else { "" })
        };
        let mut places: Vec<String> = found.agents.iter().map(place).collect();
        places.sort_unstable();
        Self(format!("{:?} {}", found.security, places.join(",")).into())
    }
}

/// The hosts of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    pub(super) hosts: Hosts,
    pub(super) found: Arc<host_names::Found>,
}

/// Where flows were found, each with the time until which that counts.
#[derive(Default)]
pub(super) struct Found(Mutex<HashMap<Name, (Instant, Whose)>>);

impl Found {
    fn known(&self) -> MutexGuard<'_, HashMap<Name, (Instant, Whose)>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that are remembered, or else found now.
    pub(super) async fn find(&self, reach: &dyn Reach, flow: &Name) -> Result<Whose, Unreached> {
        let known = self.known().get(flow).and_then(fresh);
        match known {
            Some(known) => Ok(known),
            None => self.found(reach, flow, Age::Any).await,
        }
    }

    /// Those that DNS says now.
    pub(super) async fn anew(&self, reach: &dyn Reach, flow: &Name) -> Result<Whose, Unreached> {
        self.found(reach, flow, Age::New).await
    }

    async fn found(&self, reach: &dyn Reach, flow: &Name, age: Age) -> Result<Whose, Unreached> {
        let found = reach.find(flow, age).await?;
        let until = Instant::now() + found.ttl.min(REMEMBERED);
        let whose = Whose { hosts: Hosts::of(&found), found: Arc::new(found) };
        let mut known = self.known();
        known.retain(|_, known| fresh(known).is_some());
        known.insert(flow.clone(), (until, whose.clone()));
        Ok(whose)
    }
}

fn fresh((until, whose): &(Instant, Whose)) -> Option<Whose> {
    (*until > Instant::now()).then(|| whose.clone())
}
