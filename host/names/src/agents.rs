//! Which hosts and ports a domain names as its agents.

use fnap::name::Name;

use crate::records::{Answer, Security, Srv};
use crate::{LookupError, Names};

/// What stands in front of a domain: the draft's service (section 3.1.2).
pub const AGENT_SERVICE: &str = "_flow._tcp";

/// Most agents of a domain that are looked at: each costs a question, and nobody's hosts of one identity are more.
pub const MAX_AGENTS: usize = 8;

/// A host that speaks for a domain, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Agent {
    /// Its host.
    pub host: Name,
    /// Its TCP port.
    pub port: u16,
}

impl Names {
    /// The agents of a domain: the SRV records of `_flow._tcp.DOMAIN`, as the draft has them, or else of the
    /// domain itself, as its proof of concept has them. In order of priority, then of weight; none where the
    /// domain has none or says so. An answer made of two is as secure as the worse one.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn agents(&self, domain: &Name) -> Result<Answer<Agent>, LookupError> {
        let first = self.srv(&format!("{AGENT_SERVICE}.{domain}")).await?;
        if !first.records.is_empty() {
            return Ok(agents(first));
        }
        let other = self.srv(domain.as_str()).await?;
        let security: Security = first.security.min(other.security);
        Ok(agents(Answer { security, ttl: first.ttl.min(other.ttl), ..other }))
    }
}

fn agents(answer: Answer<Srv>) -> Answer<Agent> {
    let Answer { mut records, security, ttl } = answer;
    records.sort_by(|one, other| {
        let rank = |srv: &Srv| (srv.priority, u16::MAX - srv.weight);
        rank(one).cmp(&rank(other)).then_with(|| one.cmp(other))
    });
    let mut agents: Vec<Agent> = Vec::new();
    for srv in records {
        // What is no host name stands in nobody's certificate. (Parsing takes a URI, too.)
        let host = srv.target.parse().ok().filter(|host: &Name| host.as_str() == srv.target);
        let agent = host.map(|host| Agent { host, port: srv.port });
        agents.extend(agent.filter(|agent| !agents.contains(agent)));
    }
    agents.truncate(MAX_AGENTS);
    Answer { records: agents, security, ttl }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 61000, target: target.to_owned() }
    }

    fn hosts(records: Vec<Srv>) -> Vec<String> {
        let answer = Answer { records, security: Security::Secure, ttl: Duration::ZERO };
        agents(answer).records.iter().map(|agent| agent.host.to_string()).collect()
    }

    #[test]
    fn agents_come_by_priority_and_weight_and_each_once() {
        let written = vec![
            srv(20, 99, "c.example"),
            srv(10, 1, "b.example"),
            srv(10, 5, "a.example"),
            srv(30, 0, "a.example"),
        ];
        assert_eq!(hosts(written), ["a.example", "b.example", "c.example"]);
    }

    #[test]
    fn a_target_that_is_no_host_name_is_no_agent() {
        for target in ["", "_x.example", "flow://a.example", "a\\.b.example", "A.example"] {
            assert_eq!(hosts(vec![srv(0, 0, target)]), [""; 0], "{target}");
        }
    }

    #[test]
    fn a_domain_with_a_thousand_agents_has_eight() {
        let many = (0..1000).map(|number| srv(number, 0, &format!("a{number}.example"))).collect();
        let hosts = hosts(many);
        assert_eq!(hosts.len(), MAX_AGENTS);
        assert_eq!(hosts[0], "a0.example");
    }
}
