//! From the name of a flow to the hosts that have it: by every way that is in use, and every step told.
//!
//! | way | who has it | records |
//! |---|---|---|
//! | pointer | draft, section 3.1.2 | PTR at the flow; SRV and TXT where it leads, and below `_queue.` there |
//! | direct | proof of concept, section 6.4 | SRV at the flow itself |
//! | namespace | whoever publishes no flows | SRV at `_flow._tcp.` of the name and of those above it in its zone |
//!
//! The first way that leads somewhere counts. Connects to nobody, and decides nothing about certificates: what DNS says
//! of a host is whether TLS begins at once, and whether DNSSEC proves it.

mod elsewhere;
mod error;
mod order;
mod seeker;
mod step;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use tokio::time::timeout;

use crate::agents::AGENT_SERVICE;
use crate::records::{Ptr, Security, Srv};
use crate::{Age, Names};
pub use error::FindError;
pub use order::order;
use seeker::Seeker;
pub use step::{SHOWN, Stage, Step};
pub use words::{MAX_VALUE, MAX_WORDS, Words};

/// Finds the hosts of flows.
#[derive(Clone, Debug)]
pub struct Finder {
    names: Arc<Names>,
}

/// A search, and what came of it.
#[derive(Debug)]
pub struct Search {
    /// Everything that was asked, in order.
    pub steps: Vec<Step>,
    /// Where the flow is.
    pub found: Result<Found, FindError>,
}

/// Where a flow is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its hosts in the order in which they are to be tried, at least one.
    pub agents: Vec<Place>,
    /// The incarnation of the flow that was published.
    pub id: Option<String>,
    /// Where its topic is, where that is published.
    pub queue: Option<Queue>,
    /// Whether DNSSEC proves all that led to the names of the hosts. (Their addresses prove themselves by TLS.)
    pub security: Security,
    /// Which way led there.
    pub way: Way,
    /// How long it may be remembered.
    pub ttl: Duration,
}

/// A host of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its name, which its certificate has to bear.
    pub target: Name,
    /// TCP port.
    pub port: u16,
    /// Its addresses, at least one.
    pub addresses: Vec<IpAddr>,
    /// Whether TLS begins at once.
    pub tls: bool,
}

/// The broker of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Names and ports of its servers, in the order in which they are to be tried.
    pub servers: Vec<(Name, u16)>,
    /// What kind it is, such as `kafka`.
    pub kind: Option<String>,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// How a flow was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a pointer at its name.
    Pointer,
    /// By an SRV record at its name.
    Direct,
    /// By the service of a namespace above it.
    Namespace,
}

impl Finder {
    /// Looks up by way of these names.
    #[must_use]
    pub const fn new(names: Arc<Names>) -> Self {
        Self { names }
    }

    /// Finds the hosts of a flow, or of a namespace, by answers that may be so old.
    pub async fn find(&self, name: &Name, age: Age) -> Search {
        let mut seeker = Seeker { names: &self.names, age, steps: Vec::new() };
        let whole = self.names.timeout() * WHOLE;
        let found = timeout(whole, seeker.seek(name)).await;
        Search { steps: seeker.steps, found: found.unwrap_or(Err(FindError::TooSlow)) }
    }

    /// The addresses of a host that is known by its name, and at the port that an SRV record at that very name tells,
    /// as the proof of concept finds its own agent; at `port` where there is none.
    pub async fn host(&self, host: &Name, port: u16, look_for_port: bool, age: Age) -> Search {
        let mut seeker = Seeker { names: &self.names, age, steps: Vec::new() };
        let whole = self.names.timeout() * WHOLE;
        let found = timeout(whole, seeker.host(host, port, look_for_port)).await;
        Search { steps: seeker.steps, found: found.unwrap_or(Err(FindError::TooSlow)) }
    }
}

/// Where pointers lead: to the service of the flow itself, if that is among them, else to the first that is one. What
/// leads to something else, as pointers at names of addresses do, is none of ours.
pub(crate) fn service_of(name: &Name, pointers: Vec<Ptr>) -> Option<String> {
    let prefix = format!("{AGENT_SERVICE}.");
    let own = format!("{prefix}{name}");
    let mut services: Vec<_> =
        pointers.into_iter().filter(|Ptr(target)| target.starts_with(&prefix)).collect();
    services.sort();
    let at = services.iter().position(|Ptr(target)| *target == own).unwrap_or(0);
    (at < services.len()).then(|| services.swap_remove(at).0)
}

/// Whether a name lies in a zone.
fn holds(zone: &str, name: &Name) -> bool {
    let front = name.as_str().strip_suffix(zone);
    zone.is_empty() || front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// The name and those above it, up to the beginning of its zone: nobody's neighbours are asked, and no top level.
fn levels<'a>(name: &Name, zone: Option<&'a str>) -> impl Iterator<Item = Name> + use<'a> {
    let is_inside =
        move |name: &Name| name.parent().is_some() && zone.is_none_or(|zone| holds(zone, name));
    let all = std::iter::successors(Some(name.clone()), Name::parent);
    all.take_while(is_inside).take(MAX_LEVELS)
}

/// The host that a record means; none where its target is no host name, or there is no port.
pub(crate) fn target(srv: &Srv) -> Option<Name> {
    // Parsing takes a URI, too.
    let host: Name = srv.target.parse().ok()?;
    (host.as_str() == srv.target && srv.port != 0).then_some(host)
}

/// The most wanted of them.
pub(crate) fn bounded(mut records: Vec<Srv>) -> Vec<Srv> {
    records.sort();
    records.truncate(MAX_RECORDS);
    records
}

/// What stands in front of a flow's service and names its broker (draft, section 3.1.2).
const QUEUE: &str = "_queue";

/// A search takes so many times the time of one question at most: it makes ten of them, and where one alone takes its
/// whole time the next ones do, too.
pub const WHOLE: u32 = 4;

/// SRV records of one answer among which one chooses; the others are those of the least priority.
pub const MAX_RECORDS: usize = 32;

/// Addresses of one host that are kept.
pub const MAX_ADDRESSES: usize = 16;

/// Names that are looked at on the way up: flows lie a few labels below their namespaces.
pub const MAX_LEVELS: usize = 8;

#[cfg(test)]
mod tests;
