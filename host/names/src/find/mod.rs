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
mod step;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnap::name::Name;
use futures::future::join_all;
use hickory_resolver::proto::rr::RecordType;
use tokio::time::timeout;

pub use error::FindError;
pub use order::order;
pub use step::{SHOWN, Stage, Step};
pub use words::{MAX_VALUE, MAX_WORDS, Words};

use crate::agents::{AGENT_SERVICE, MAX_AGENTS};
use crate::asking::Found as Records;
use crate::records::{Kind, Ptr, Security, Srv, written};
use crate::{Age, LookupError, Names};

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

/// Records of a question, already read.
struct Read<T> {
    records: Vec<T>,
    answer: Arc<Records>,
}

/// What is known on the way.
struct Path {
    security: Security,
    ttl: Duration,
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

struct Seeker<'a> {
    names: &'a Names,
    age: Age,
    steps: Vec<Step>,
}

impl Seeker<'_> {
    async fn seek(&mut self, name: &Name) -> Result<Found, FindError> {
        let mut path = Path { security: Security::Secure, ttl: Duration::MAX };
        let (zone, missing) = self.delegation(name).await?;
        let pointers: Read<Ptr> = self.read(Stage::Pointer, name.as_str(), RecordType::PTR).await?;
        path.saw(&pointers.answer);
        if let Some(service) = service_of(name, pointers.records) {
            return self.by_pointer(service, path).await;
        }
        let direct: Read<Srv> = self.read(Stage::Service, name.as_str(), RecordType::SRV).await?;
        path.saw(&direct.answer);
        if !direct.records.is_empty() {
            let hosts = self.hosts(name.as_str(), direct.records, false).await?;
            return Ok(path.found(hosts, Words::default(), None, Way::Direct));
        }
        for above in levels(name, zone.as_deref()) {
            let owner = format!("{AGENT_SERVICE}.{above}");
            let there: Read<Srv> = self.read(Stage::Namespace, &owner, RecordType::SRV).await?;
            path.saw(&there.answer);
            if !there.records.is_empty() {
                let words = self.words(&owner, Stage::Words, &mut path).await?;
                let hosts = self.hosts(&owner, there.records, words.tls).await?;
                // What is said of a namespace is not the incarnation of a flow.
                let words = Words { id: None, ..words };
                return Ok(path.found(hosts, words, None, Way::Namespace));
            }
        }
        let name = name.clone();
        Err(if missing { FindError::NoSuchName { name } } else { FindError::NoService { name } })
    }

    async fn host(&mut self, host: &Name, port: u16, look: bool) -> Result<Found, FindError> {
        // Where nothing is asked that could lead elsewhere, nothing is proved either.
        let security = if look { Security::Secure } else { Security::Insecure };
        let mut path = Path { security, ttl: Duration::MAX };
        if look {
            let there: Read<Srv> =
                self.read(Stage::Service, host.as_str(), RecordType::SRV).await?;
            path.saw(&there.answer);
            if !there.records.is_empty() {
                let hosts = self.hosts(host.as_str(), there.records, false).await?;
                return Ok(path.found(hosts, Words::default(), None, Way::Direct));
            }
        }
        let srv = Srv { priority: 0, weight: 0, port, target: host.to_string() };
        // An alias is for those who name a host, not for those whose record names a target.
        let addresses = self.addresses(host.as_str(), &srv, true).await?;
        let place = Place { target: host.clone(), port, addresses, tls: false };
        Ok(path.found(vec![place], Words::default(), None, Way::Direct))
    }

    /// The zone that a name is in, as far as its servers say, and whether there is no such name.
    async fn delegation(&mut self, name: &Name) -> Result<(Option<String>, bool), FindError> {
        let (zone, missing) = self.zone_of(name).await?;
        let leads_away =
            |zone: &Option<String>| zone.as_ref().is_some_and(|zone| !holds(zone, name));
        if !leads_away(&zone) {
            return Ok((zone, missing));
        }
        // An alias leads into somebody else's zone; the name itself is in that of the names above it.
        for above in std::iter::successors(name.parent(), Name::parent).take(MAX_LEVELS) {
            let (zone, _) = self.zone_of(&above).await?;
            if !leads_away(&zone) {
                return Ok((zone, missing));
            }
        }
        Ok((Some(name.to_string()), missing))
    }

    async fn zone_of(&mut self, name: &Name) -> Result<(Option<String>, bool), FindError> {
        let (mut step, answer) = self.ask(Stage::Delegation, name.as_str(), RecordType::SOA).await;
        let zone = answer.as_ref().ok().and_then(|answer| {
            let apex = (!answer.records.is_empty() && !answer.aliased).then(|| name.to_string());
            apex.or_else(|| answer.zone.as_ref().map(written))
        });
        step.zone.clone_from(&zone);
        self.steps.push(step);
        let answer = answer.map_err(|error| FindError::of(Stage::Delegation, error))?;
        Ok((zone, answer.missing))
    }

    async fn by_pointer(&mut self, service: String, mut path: Path) -> Result<Found, FindError> {
        let there: Read<Srv> = self.read(Stage::Service, &service, RecordType::SRV).await?;
        path.saw(&there.answer);
        if there.records.is_empty() {
            let owner = service;
            return Err(FindError::Dangling { owner });
        }
        let words = self.words(&service, Stage::Words, &mut path).await?;
        let queue = self.queue(&service, &mut path).await?;
        let hosts = self.hosts(&service, there.records, words.tls).await?;
        Ok(path.found(hosts, words, queue, Way::Pointer))
    }

    async fn words(
        &mut self,
        owner: &str,
        stage: Stage,
        path: &mut Path,
    ) -> Result<Words, FindError> {
        let texts = self.read(stage, owner, RecordType::TXT).await?;
        path.saw(&texts.answer);
        Ok(Words::read(&texts.records))
    }

    async fn queue(&mut self, service: &str, path: &mut Path) -> Result<Option<Queue>, FindError> {
        let owner = format!("{QUEUE}.{service}");
        let there: Read<Srv> = match self.read(Stage::Queue, &owner, RecordType::SRV).await {
            // There can be no such name where there is room for no more labels.
            Err(FindError::Lookup { source: LookupError::NoName(_), .. }) => return Ok(None),
            there => there?,
        };
        if there.records.is_empty() {
            return Ok(None);
        }
        path.saw(&there.answer);
        let words = self.words(&owner, Stage::Queue, path).await?;
        let servers = order(bounded(there.records), &mut order::dice());
        let servers = servers.iter().filter_map(|srv| Some((target(srv)?, srv.port)));
        let servers: Vec<_> = servers.take(MAX_AGENTS).collect();
        let queue = Queue { servers, kind: words.broker_type, tls: words.tls };
        Ok((!queue.servers.is_empty()).then_some(queue))
    }

    /// The hosts that SRV records mean, those that cannot be used left out.
    async fn hosts(
        &mut self,
        owner: &str,
        records: Vec<Srv>,
        tls: bool,
    ) -> Result<Vec<Place>, FindError> {
        if records.iter().all(|srv| srv.target.is_empty()) {
            return Err(FindError::Closed { owner: owner.to_owned() });
        }
        let ordered = order(bounded(records), &mut order::dice());
        let nonsense = |srv: &Srv| FindError::Nonsense {
            owner: owner.to_owned(),
            what: format!("{}:{}", srv.target.escape_debug(), srv.port),
        };
        let (mut places, mut wrong) = (Vec::new(), None);
        let mut looked = 0;
        for srv in ordered.iter().filter(|srv| !srv.target.is_empty()) {
            let Some(target) = target(srv) else {
                wrong.get_or_insert_with(|| nonsense(srv));
                continue;
            };
            if looked == MAX_AGENTS {
                break;
            }
            looked += 1;
            match self.addresses(owner, srv, false).await {
                Ok(addresses) => places.push(Place { target, port: srv.port, addresses, tls }),
                Err(error) => drop(wrong.get_or_insert(error)),
            }
        }
        match wrong {
            Some(error) if places.is_empty() => Err(error),
            _ => Ok(places),
        }
    }

    async fn addresses(
        &mut self,
        owner: &str,
        srv: &Srv,
        may_be_alias: bool,
    ) -> Result<Vec<IpAddr>, FindError> {
        let target = &srv.target;
        let kinds = [RecordType::A, RecordType::AAAA];
        let asked = kinds.map(|kind| self.ask(Stage::Address, target, kind));
        let (mut addresses, mut wrong) = (Vec::new(), None);
        for (mut step, answer) in join_all(asked).await {
            match answer {
                Ok(answer) if answer.aliased && !may_be_alias => {
                    let (target, owner) = (target.clone(), owner.to_owned());
                    let error = FindError::Alias { target, owner };
                    step.problem = Some(error.to_string());
                    wrong = Some(error);
                }
                Ok(answer) => addresses.extend(answer.records.iter().filter_map(IpAddr::read)),
                Err(error) => {
                    wrong.get_or_insert(FindError::of(Stage::Address, error));
                }
            }
            self.steps.push(step);
        }
        addresses.truncate(MAX_ADDRESSES);
        match wrong {
            Some(error @ FindError::Alias { .. }) => Err(error),
            Some(error) if addresses.is_empty() => Err(error),
            None if addresses.is_empty() => Err(FindError::NoAddress { target: target.clone() }),
            _ => Ok(addresses),
        }
    }

    async fn read<T: Kind>(
        &mut self,
        stage: Stage,
        owner: &str,
        kind: RecordType,
    ) -> Result<Read<T>, FindError> {
        let (step, answer) = self.ask(stage, owner, kind).await;
        self.steps.push(step);
        let answer = answer.map_err(|error| FindError::of(stage, error))?;
        let records = answer.records.iter().filter_map(T::read).collect();
        Ok(Read { records, answer })
    }

    async fn ask(
        &self,
        stage: Stage,
        owner: &str,
        kind: RecordType,
    ) -> (Step, Result<Arc<Records>, LookupError>) {
        let began = Instant::now();
        let answer = self.names.found(owner, kind, self.age).await;
        let servers = self.names.servers(owner).to_vec();
        (Step::new(stage, owner, kind, servers, began.elapsed(), &answer), answer)
    }
}

impl Path {
    fn saw(&mut self, answer: &Records) {
        self.security = self.security.min(answer.security);
        self.ttl = self.ttl.min(answer.ttl);
    }

    fn found(self, hosts: Vec<Place>, words: Words, queue: Option<Queue>, way: Way) -> Found {
        Found { agents: hosts, id: words.id, queue, security: self.security, way, ttl: self.ttl }
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
