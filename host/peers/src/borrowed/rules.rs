//! Whose topics are read, and where their brokers may be: what the operator has written, and never what the other side says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_brokers::kafka::{Network, Reachable};
use tokio::time::timeout;

/// How long the names of our own brokers are looked up, all together: where that takes longer they are known by what is
/// written alone.
const LOOK_UP: Duration = Duration::from_secs(3);

/// When a subscription's events may come from a topic at its owner's broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BorrowRules {
    /// Owners of flows within these names; nobody where there are none.
    pub domains: Vec<Name>,
    /// Everybody, whatever the names: on one machine, to try things out.
    pub anybody: bool,
    /// Where their brokers may be beside public addresses.
    pub networks: Vec<Network>,
    /// The ports that they may have; those that need no privilege where there are none.
    pub ports: Vec<u16>,
    /// Our own brokers, `host:port` each: nobody sends us there.
    pub ours: Vec<String>,
    /// Whose certificates are taken; those that the system trusts without it.
    pub ca_file: Option<PathBuf>,
}

impl BorrowRules {
    /// Everybody's.
    #[must_use]
    pub fn of_anybody() -> Self {
        Self { anybody: true, ..Self::default() }
    }

    /// Whether topics are read for a flow.
    pub(super) fn allow(&self, flow: &Name) -> bool {
        self.anybody || self.domains.iter().any(|domain| flow.is_within(domain))
    }

    /// Why they are not.
    pub(crate) fn refusal(&self, flow: &Name) -> Failure {
        let words = format!(
            "transport kafka: this host takes no topics of {flow}: its operator allows that with [peers.kafka]"
        );
        Failure::new(Code::NotImplemented, words)
    }

    pub(super) fn is_ours(&self, server: &str) -> bool {
        self.ours.iter().any(|own| own.eq_ignore_ascii_case(server))
    }

    /// The addresses of our own brokers, as far as they are known now.
    pub(super) async fn ours_now(&self) -> Vec<SocketAddr> {
        let looked = futures::future::join_all(self.ours.iter().map(tokio::net::lookup_host));
        let looked = timeout(LOOK_UP, looked).await.unwrap_or_default();
        let found = looked.into_iter().filter_map(Result::ok).flatten();
        let written = self.ours.iter().filter_map(|own| own.parse().ok());
        found.chain(written).collect()
    }

    pub(super) fn reachable(&self, near_only: bool, never: Vec<SocketAddr>) -> Reachable {
        let (networks, ports) = (self.networks.clone(), self.ports.clone());
        Reachable { networks, ports, never, near_only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_of_those_who_were_named_and_of_nobody_else() {
        let flow: Name = "time.flows.unix.ar".parse().unwrap();
        assert!(!BorrowRules::default().allow(&flow));
        assert!(BorrowRules::of_anybody().allow(&flow));
        for (domain, allowed) in
            [("unix.ar", true), ("flows.unix.ar", true), ("ix.ar", false), ("emiliano.ar", false)]
        {
            let domains = vec![domain.parse().unwrap()];
            let rules = BorrowRules { domains, ..BorrowRules::default() };
            assert_eq!(rules.allow(&flow), allowed, "{domain}");
        }
    }

    #[tokio::test]
    async fn nobody_leads_us_to_our_own_brokers() {
        let ours = vec!["Kafka.example:9092".to_owned(), "127.0.0.1:9092".to_owned()];
        let rules = BorrowRules { ours, ..BorrowRules::of_anybody() };
        assert!(rules.is_ours("kafka.EXAMPLE:9092") && !rules.is_ours("kafka.example:9093"));
        assert!(rules.ours_now().await.contains(&"127.0.0.1:9092".parse().unwrap()));
    }
}
