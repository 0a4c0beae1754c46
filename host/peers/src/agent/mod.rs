//! The way to another participant's host: from the name of a flow to a connection on which we are known.
//!
//! Finds the hosts by DNS and tries them and their addresses in order. TLS begins at once where DNS says so, else with
//! STARTTLS; clear text is spoken only over loopback, with a host that shares the secret of this machine's user.
//! We are `domain:NAME` there, by our own certificate (EXTERNAL) or by that secret (SCRAM-SHA-256).
//!
//! Every step has an end in time and in octets, whatever the other side does, and every error names the step. Keeps no
//! connection, tries nothing again later, and subscribes to nothing: that is for whoever calls. Where DNS is remembered and leads
//! nowhere, it is asked anew, once. Without DNSSEC whoever forges
//! DNS can lead us to a host of his own with a good certificate of its own; what he gets is our name, and no secret.

mod error;
mod peer;
mod stream;
mod talk;
mod tls;
mod way;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fnap::name::Name;
use host_names::{Age, Finder, Found, Names, Place, Roots, Security, Tlsa};
use tokio::time::{Instant, timeout_at};

pub use error::{Again, PeerError, Step, Why};
pub use peer::Peer;
pub use stream::PeerStream;
pub use talk::Answer;
pub use tls::OwnCertificate;

use crate::dev::SharedSecret;
use way::{Way, shown};

/// Reaches the hosts of other participants.
#[derive(Clone, Debug)]
pub struct Agents {
    names: Arc<Names>,
    us: Name,
    own: Option<OwnCertificate>,
    roots: Roots,
    secret: Option<SharedSecret>,
    patience: Patience,
}

/// How long the steps may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A connection to one address: a packet that was lost is sent again after 1 and after 3 s.
    pub connect: Duration,
    /// A handshake, a greeting, or the answer to a command: longer than any commit.
    pub answer: Duration,
    /// Authentication: the other host asks DNS about us meanwhile.
    pub authenticate: Duration,
    /// All hosts and addresses together; the last one that is tried may be cut short.
    pub whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { connect: secs(5), answer: secs(20), authenticate: secs(40), whole: secs(90) }
    }
}

impl Agents {
    /// Speaks for the domain `us`. `own` is shown to hosts that are reached under TLS, `roots` vouch for them.
    #[must_use]
    pub fn new(names: Arc<Names>, us: Name, own: Option<OwnCertificate>, roots: Roots) -> Self {
        Self { names, us, own, roots, secret: None, patience: Patience::default() }
    }

    /// Speaks clear text with hosts on this machine, and proves itself to them by this secret.
    #[must_use]
    pub fn sharing(self, secret: SharedSecret) -> Self {
        Self { secret: Some(secret), ..self }
    }

    /// Takes other times.
    #[must_use]
    pub fn patient(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The domain that we speak for.
    #[must_use]
    pub const fn us(&self) -> &Name {
        &self.us
    }

    /// Finds where a flow is, by answers of DNS that may be so old.
    ///
    /// # Errors
    /// Those of [`Step::Resolve`].
    pub async fn find(&self, flow: &Name, age: Age) -> Result<Found, PeerError> {
        let search = Finder::new(Arc::clone(&self.names)).find(flow, age).await;
        search.found.map_err(|error| PeerError::new(Step::Resolve, flow.as_str(), error))
    }

    /// Finds a host of a flow and makes us known to it. A host that has moved since DNS was asked is found where it is now.
    ///
    /// # Errors
    /// That of the host with which most steps went well. A host that refuses whom we say we are is the last one that is
    /// asked; all others are passed over for the next.
    pub async fn reach(&self, flow: &Name) -> Result<Peer, PeerError> {
        let found = self.find(flow, Age::Any).await?;
        match self.connect(&found).await {
            Err(error) => match self.elsewhere(flow, &found, &error).await {
                Some(now) => self.connect(&now).await,
                None => Err(error),
            },
            reached => reached,
        }
    }

    /// Where a flow is by now, after this has come of the places that were remembered; none where it is not elsewhere.
    pub(crate) async fn elsewhere(
        &self,
        flow: &Name,
        before: &Found,
        error: &PeerError,
    ) -> Option<Found> {
        if !error.may_be_elsewhere() {
            return None;
        }
        let now = self.find(flow, Age::New).await.ok()?;
        now.leads_elsewhere(before).then_some(now)
    }

    /// The same with hosts that were found.
    ///
    /// # Errors
    /// As [`Self::reach`].
    pub async fn connect(&self, found: &Found) -> Result<Peer, PeerError> {
        let deadline = Instant::now() + self.patience.whole;
        let mut worst: Option<PeerError> = None;
        for place in &found.agents {
            let Place { target, port, addresses, .. } = place;
            tracing::debug!(%target, port, addresses = addresses.len(), "another host is tried");
            for address in addresses {
                let error = match timeout_at(deadline, self.at(found, place, *address)).await {
                    Ok(Ok(peer)) => return Ok(peer),
                    Ok(Err(error)) => error,
                    Err(_) => {
                        let (host, why) = (shown(place, *address), Why::Slow(self.patience.whole));
                        further(&mut worst, PeerError::new(Step::Connect, host, why));
                        return Err(worst.unwrap_or_else(|| no_host(found)));
                    }
                };
                tracing::debug!(%error, "another host was not reached");
                // It is one host everywhere: who asks the next one only adds to the failures that are counted.
                let is_last = error.step == Step::Authenticate && error.refusal().is_some();
                further(&mut worst, error);
                if is_last {
                    return Err(worst.unwrap_or_else(|| no_host(found)));
                }
            }
        }
        Err(worst.unwrap_or_else(|| no_host(found)))
    }

    /// One address of a host. A certificate that is not the one which DNS was remembered to mean may be a new one.
    async fn at(&self, found: &Found, place: &Place, address: IpAddr) -> Result<Peer, PeerError> {
        let tlsa = self.tlsa(found, place, Age::Any).await?;
        let way = Way { agents: self, place, address, tlsa: &tlsa };
        let error = match way.go().await {
            Ok(peer) => return Ok(peer),
            Err((step, why)) => PeerError::new(step, way.shown(), why),
        };
        if error.step != Step::Tls || found.security != Security::Secure {
            return Err(error);
        }
        match self.tlsa(found, place, Age::New).await {
            Ok(now) if now != tlsa => {
                let way = Way { tlsa: &now, ..way };
                way.go().await.map_err(|(step, why)| PeerError::new(step, way.shown(), why))
            }
            _ => Err(error),
        }
    }

    /// What DNSSEC proves of a host's certificate: nothing where it does not prove that this is the host.
    async fn tlsa(&self, found: &Found, place: &Place, age: Age) -> Result<Vec<Tlsa>, PeerError> {
        if found.security != Security::Secure {
            return Ok(Vec::new());
        }
        let host = || format!("{}:{}", place.target, place.port);
        let answer = self.names.tlsa(place.target.as_str(), place.port, age).await;
        let answer = answer.map_err(|error| PeerError::new(Step::Resolve, host(), error))?;
        let secure = answer.security == Security::Secure;
        Ok(if secure { answer.records } else { Vec::new() })
    }
}

/// Keeps the error of whoever came furthest; the first of several.
fn further(worst: &mut Option<PeerError>, error: PeerError) {
    if worst.as_ref().is_none_or(|before| before.step < error.step) {
        *worst = Some(error);
    }
}

/// Whoever found it says that there is at least one.
fn no_host(found: &Found) -> PeerError {
    let why = Why::Protocol("no host with an address".to_owned());
    PeerError::new(Step::Resolve, format!("{:?}", found.way), why)
}
