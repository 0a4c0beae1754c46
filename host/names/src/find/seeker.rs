//! One search: step by step from a name to hosts, each step noted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnap::name::Name;
use futures::future::join_all;
use hickory_resolver::proto::rr::RecordType;

use super::error::FindError;
use super::order;
use super::step::{Stage, Step};
use super::words::Words;
use super::{
    Found, MAX_ADDRESSES, MAX_LEVELS, Place, QUEUE, Queue, Way, bounded, holds, levels, service_of,
    target,
};
use crate::agents::{AGENT_SERVICE, MAX_AGENTS};
use crate::asking::Found as Records;
use crate::records::{Kind, Ptr, Security, Srv, written};
use crate::{Age, LookupError, Names};

pub(super) struct Seeker<'a> {
    pub(super) names: &'a Names,
    pub(super) age: Age,
    pub(super) steps: Vec<Step>,
}

impl Seeker<'_> {
    pub(super) async fn seek(&mut self, name: &Name) -> Result<Found, FindError> {
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

    pub(super) async fn host(
        &mut self,
        host: &Name,
        port: u16,
        look: bool,
    ) -> Result<Found, FindError> {
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

/// Records of a question, already read.
struct Read<T> {
    pub(super) records: Vec<T>,
    answer: Arc<Records>,
}

/// What is known on the way.
struct Path {
    pub(super) security: Security,
    pub(super) ttl: Duration,
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
