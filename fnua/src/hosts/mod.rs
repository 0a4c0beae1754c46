//! Which host a run talks to: the own one, and where that one does not know a name, the one that DNS says.
//!
//! What is given to a host that was found in DNS: what was configured or kept for that very name and port, and nothing
//! else. So a record that somebody forged leads to a stranger, who gets no credential.

mod origin;
mod tell;

use std::net::SocketAddr;
use std::sync::Arc;

use fnap::{Code, Failure, Name};
use host_names::{Age, Finder, Found, Names, Place, Search};

use crate::address::Address;
use crate::agent::{NoAgent, choose, fits};
use crate::config::{Agent, Config, TlsMode};
use crate::error::Error;
use crate::trace::Trace;
pub(crate) use origin::Origin;
use origin::Sought;

/// The hosts that a run may talk to.
#[derive(Debug)]
pub(crate) struct Hosts {
    config: Arc<Config>,
    asked: Option<String>,
    finder: Option<Arc<Finder>>,
    trace: Trace,
}

/// The own host.
#[derive(Debug)]
pub(crate) enum Own {
    /// The one that is meant.
    Meant(Box<Agent>),
    /// Only the first one there is: others may know a name better.
    First(Box<Agent>),
    /// There is none.
    Nobody(NoAgent),
}

impl Hosts {
    pub(crate) fn new(config: Config, asked: Option<String>, trace: Trace) -> Self {
        Self { config: Arc::new(config), asked, finder: None, trace }
    }

    /// The own host for something about this name.
    pub(crate) async fn own(&mut self, about: Option<&Name>) -> Result<Own, Error> {
        let flow = about.map(Name::as_str);
        let agent = match choose(&self.config, self.asked.as_deref(), flow) {
            Ok(agent) => agent,
            Err(none @ NoAgent::NoneKnown) => return Ok(Own::Nobody(none)),
            Err(error) => return Err(error.into()),
        };
        let is_meant = self.asked.is_some() || flow.is_some_and(|flow| fits(&agent, flow));
        let agent = Box::new(self.located(agent).await?);
        Ok(if is_meant { Own::Meant(agent) } else { Own::First(agent) })
    }

    /// The host of `--agent`; none where nobody has named one.
    pub(crate) async fn asked_for(&mut self) -> Result<Option<Agent>, Error> {
        if self.asked.is_none() {
            return Ok(None);
        }
        let agent = choose(&self.config, self.asked.as_deref(), None)?;
        self.located(agent).await.map(Some)
    }

    /// Whether signatures count for what is found out about a name.
    pub(crate) fn is_checked(&self, name: &Name) -> bool {
        let holds = |zone: &Name| name == zone || name.is_within(zone);
        let names = &self.config.names;
        names.options().checked && !names.zones.iter().any(|zone| holds(&zone.name))
    }

    /// The host of a flow or of a namespace, by its name alone.
    pub(crate) async fn find(&mut self, name: &Name) -> Result<Agent, Error> {
        Origin::begin(self.origin(Sought::Flow(name.clone()))?).await
    }

    /// The same with all steps.
    pub(crate) async fn search(&mut self, name: &Name) -> Result<Search, Error> {
        Ok(self.origin(Sought::Flow(name.clone()))?.search(Age::Any).await)
    }

    /// The hosts that were found, the first of them before the others.
    pub(crate) fn agent_of(&self, found: &Found) -> Option<Agent> {
        agent_of(&self.config, found)
    }

    /// An agent whose host is looked up where one has said who is to be asked about it: as the draft's transcripts do,
    /// by SRV at its name where no other port than the usual one was said, then by its addresses.
    pub(crate) async fn located(&mut self, agent: Agent) -> Result<Agent, Error> {
        let host: Option<Name> = agent.address.host().parse().ok();
        let is_address = agent.address.host().parse::<std::net::IpAddr>().is_ok();
        let Some(host) = host.filter(|host| !is_address && self.config.names.covers(host)) else {
            return Ok(agent);
        };
        Origin::begin(self.origin(Sought::Host { agent: Box::new(agent), host })?).await
    }

    fn origin(&mut self, sought: Sought) -> Result<Origin, Error> {
        let (config, finder) = (Arc::clone(&self.config), self.finder()?);
        Ok(Origin::new(config, finder, sought, self.trace.clone()))
    }

    fn finder(&mut self) -> Result<Arc<Finder>, Error> {
        if let Some(finder) = &self.finder {
            return Ok(Arc::clone(finder));
        }
        let names = Names::new(&self.config.names.options())?;
        let finder = Arc::new(Finder::new(Arc::new(names)));
        self.finder = Some(Arc::clone(&finder));
        Ok(finder)
    }
}

/// The hosts that were found, the first of them before the others.
fn agent_of(config: &Config, found: &Found) -> Option<Agent> {
    let mut agents = found.agents.iter().filter_map(|place| of_place(config, place));
    let first = agents.next()?;
    Some(Agent { others: agents.collect(), ..first })
}

fn of_place(config: &Config, place: &Place) -> Option<Agent> {
    let address = Address::new(place.target.as_str(), place.port)?;
    let known = config.agents.iter().find(|agent| agent.address == address);
    let mut agent = known.cloned().unwrap_or_else(|| {
        let mut stranger = Agent::stranger(address);
        stranger.tls.ca_file.clone_from(&config.names.ca_file);
        stranger
    });
    agent.at = at(place);
    if agent.tls.mode.is_none() {
        agent.tls.mode = match (place.tls, known) {
            (true, _) => Some(TlsMode::Implicit),
            // Who answers for DNS may lead a password to loopback, where anybody listens in clear.
            (false, Some(_)) => Some(TlsMode::StartTls),
            (false, None) => None,
        };
    }
    Some(agent)
}

/// Whether a host says that it does not have what a name means, rather than something that belongs to it.
pub(crate) fn does_not_know(failure: &Failure, name: &Name) -> bool {
    failure.code == Code::NotFound
        && failure.words.split_ascii_whitespace().any(|word| word == name.as_str())
}

fn at(place: &Place) -> Vec<SocketAddr> {
    place.addresses.iter().map(|address| (*address, place.port).into()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::secret::Password;

    fn place(tls: bool) -> Place {
        Place {
            target: "fnaa.unix.ar".parse().unwrap(),
            port: 61000,
            addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))],
            tls,
        }
    }

    fn hosts(agents: Vec<Agent>) -> Hosts {
        let mut config = Config { agents, ..Config::default() };
        config.names.ca_file = Some("ca.pem".into());
        Hosts::new(config, None, Trace::silent())
    }

    fn known(address: &str) -> Agent {
        Agent::stranger(address.parse().unwrap())
            .with_password("ana", Password::new("sesame".to_owned()))
    }

    #[test]
    fn a_stranger_gets_no_credential_and_has_to_be_who_the_record_names() {
        let hosts = hosts(vec![known("fnaa.unix.ar:61001"), known("192.0.2.1:61000")]);
        let agent = of_place(&hosts.config, &place(true)).unwrap();
        assert!(agent.login.username.is_none() && agent.login.password.is_none());
        assert_eq!(agent.server_name(), "fnaa.unix.ar");
        assert_eq!(agent.tls.mode, Some(TlsMode::Implicit));
        assert_eq!(agent.tls.ca_file.as_deref(), Some("ca.pem".as_ref()));
        assert_eq!(agent.at, ["192.0.2.1:61000".parse().unwrap()]);
        assert_eq!(of_place(&hosts.config, &place(false)).unwrap().tls.mode, None);
    }

    #[test]
    fn a_host_that_one_knows_gets_what_is_its_own_but_never_in_clear() {
        let agent =
            of_place(&hosts(vec![known("fnaa.unix.ar:61000")]).config, &place(false)).unwrap();
        assert_eq!(agent.login.user(), "ana");
        assert_eq!(agent.tls.mode, Some(TlsMode::StartTls));
        assert_eq!(agent.tls.ca_file, None, "its own authorities, which are the system's");
        let mut never = known("fnaa.unix.ar:61000");
        never.tls.mode = Some(TlsMode::Never);
        let never = of_place(&hosts(vec![never]).config, &place(true)).unwrap();
        assert_eq!(never.tls.mode, Some(TlsMode::Never), "what is configured counts");
    }

    #[test]
    fn only_what_is_said_of_the_very_name_leads_on_to_dns() {
        let name: Name = "a.b".parse().unwrap();
        let failure = |line: &str| {
            let (code, words) = line.split_once(" ").unwrap();
            let code = if code == "404" { Code::NotFound } else { Code::Forbidden };
            Failure::new(code, words.split_once(" ").unwrap().1)
        };
        for (line, leads_on) in [
            ("404 NOT_FOUND flow a.b", true),
            ("404 NOT_FOUND no namespace of this host holds a.b", true),
            ("404 NOT_FOUND command READ", false),
            ("404 NOT_FOUND flow x.a.b", false),
            ("403 FORBIDDEN flow a.b", false),
        ] {
            assert_eq!(does_not_know(&failure(line), &name), leads_on, "{line}");
        }
    }
}
