//! This host, as users meet it who subscribe to flows of their own host: what a remote agent would say over a connection
//! is performed for them, and streams are served to them as to anybody.
//!
//! By the rights that a user has while he is not here, since a subscription lasts longer than his connection. Performs what
//! has to do with subscriptions and nothing else.

use async_trait::async_trait;
use fnap::command::Command;
use fnap::reply::{Code, Failure, Reply};
use fnap::subject::Subject;
use host_iam::Principal;
use host_peers::home::Home;
use host_peers::source::{House, Visitor, serve};
use host_registry::{By, by_somebody};
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::by::shown;
use crate::may::subscriptions::From;
use crate::perform::subscriptions;
use crate::services::Services;

impl Services {
    /// What streams are served from.
    pub(crate) const fn house(&self) -> House<'_> {
        House {
            registry: &self.registry,
            brokers: &self.brokers,
            processors: &self.processors,
            grants: &self.grants,
            logs: &self.logs,
            traffic: &self.traffic,
        }
    }

    async fn asked(&self, who: &Principal, command: Command) -> Result<Reply, Failure> {
        match command {
            Command::Subscribe { flow, local: None, settings } => {
                subscriptions::subscribe(self, who, flow, &settings, From::Here).await
            }
            Command::Unsubscribe { subscription, settings } if settings.is_empty() => {
                subscriptions::unsubscribe(self, who, subscription).await
            }
            Command::Unsubscribe { subscription, settings } => {
                subscriptions::withdraw(self, who, subscription, &settings).await
            }
            _ => Err(Failure::new(Code::NotImplemented, "a host does not ask itself that")),
        }
    }

    fn stand_in(&self, who: &Subject) -> Result<Principal, Failure> {
        let words = || self.grants.kept_out(who).unwrap_or("is nobody here");
        let none = || Failure::new(Code::Forbidden, format!("{who} {}", words()));
        self.grants.stand_in(who).ok_or_else(none)
    }
}

#[async_trait]
impl Home for Services {
    async fn ask(&self, who: &Subject, command: Command) -> Result<Vec<String>, Failure> {
        let principal = self.stand_in(who)?;
        // In the background, too, it is his.
        let by = By { who: who.to_string(), origin: String::new(), command: shown(&command) };
        match by_somebody(by, self.asked(&principal, command)).await? {
            Reply::Data(lines) => Ok(lines),
            Reply::Error(failure) => Err(failure),
            Reply::Ok(_) | Reply::More(_) => Ok(Vec::new()),
        }
    }

    async fn serve(&self, who: &Subject, octets: DuplexStream) {
        match self.stand_in(who) {
            Ok(principal) => {
                // Whoever stops the host stops what reads from here.
                let (_goes_on, stop) = watch::channel(false);
                let visitor = Visitor { principal: &principal, seat: None, standing: None, stop };
                serve(octets, self.house(), visitor, false).await;
            }
            Err(failure) => tracing::debug!(%who, %failure, "no streams"),
        }
    }
}
