//! Whether a peer's certificate is that of a domain's agent.
//!
//! | DNS says | what the certificate has to be |
//! |---|---|
//! | SRV proven by DNSSEC, TLSA of the agent's host and port proven and usable | one that a TLSA record means; an authority's word counts for nothing |
//! | SRV proven, no TLSA that counts | from a trusted authority, with the name of the agent's host |
//! | SRV not signed | from a trusted authority, with the name of the agent's host **and** that of the domain |
//! | anything refuted, or not answered | not decided: an error, and never a refusal |
//!
//! Without DNSSEC whoever forges an answer points `_flow._tcp.victim.example` to a host of his own, for which he
//! has a good certificate; so the certificate has to name the domain itself. TLSA without DNSSEC is what
//! anybody may have written, and is not asked for.

use std::time::Duration;

use fnap::name::Name;
use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::certificates::Chain;
use crate::dane::{Published, published};
use crate::records::{Answer, Security};
use crate::{Age, Agent, LookupError, Names, Roots};

/// Decides about domains.
#[derive(Debug)]
pub struct Domains {
    names: Names,
    roots: Roots,
    timeout: Duration,
    places: Semaphore,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The certificate is that of the domain's agent.
    Proven,
    /// It is not.
    Refused(Refusal),
}

/// Why a certificate is not that of a domain's agent; for the log, not for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// None, too many, or nothing that can be read.
    #[error("no certificate that can be used")]
    NoCertificate,
    /// The domain names no agent.
    #[error("the domain has no agent in dns")]
    NoAgent,
    /// It does not have the name of an agent's host.
    #[error("the certificate does not name an agent of the domain")]
    NotNamed,
    /// It has, but DNS is not signed, and it does not name the domain.
    #[error("the domain is not signed and the certificate does not name it")]
    DomainNotNamed,
    /// No authority that is trusted vouches for it today.
    #[error("no trusted authority vouches for the certificate")]
    NotTrusted,
    /// TLSA records mean other certificates.
    #[error("the tlsa records of the agent mean other certificates")]
    NotPublished,
}

impl Domains {
    /// By what these names say and these authorities vouch for, each decision within `timeout`.
    #[must_use]
    pub fn new(names: Names, roots: Roots, timeout: Duration) -> Self {
        Self { names, roots, timeout, places: Semaphore::new(MAX_AT_ONCE) }
    }

    /// Whether a chain of certificates (DER, the peer's own first), whose key the peer has been seen to hold, is
    /// that of an agent of `domain`.
    ///
    /// # Errors
    /// When DNS does not answer, or what it answers is refuted by DNSSEC: nothing is decided then.
    pub async fn proves(
        &self,
        domain: &Name,
        certificates: &[Vec<u8>],
    ) -> Result<Verdict, LookupError> {
        let Some(chain) = Chain::read(certificates) else {
            return Ok(Verdict::Refused(Refusal::NoCertificate));
        };
        let decision = async {
            let _place = self.places.acquire().await.map_err(|_| LookupError::TooSlow)?;
            self.decide(domain, &chain).await
        };
        timeout(self.timeout, decision).await.unwrap_or(Err(LookupError::TooSlow))
    }

    async fn decide(&self, domain: &Name, chain: &Chain) -> Result<Verdict, LookupError> {
        let Answer { records: agents, security, .. } = self.names.agents(domain).await?;
        let verdicts = match security {
            Security::Secure => join_all(agents.iter().map(|agent| self.of(agent, chain))).await,
            Security::Insecure => {
                agents.iter().map(|agent| Ok(self.unsigned(domain, agent, chain))).collect()
            }
        };
        let mut worst = Ok(Verdict::Refused(Refusal::NoAgent));
        for verdict in verdicts {
            match verdict {
                Ok(Verdict::Proven) => return Ok(Verdict::Proven),
                // One agent that could not be asked about may be the one.
                verdict if worst.is_ok() => worst = verdict,
                _ => {}
            }
        }
        worst
    }

    /// About one agent that DNSSEC proves to be the domain's.
    async fn of(&self, agent: &Agent, chain: &Chain) -> Result<Verdict, LookupError> {
        let tlsa = self.names.tlsa(agent.host.as_str(), agent.port, Age::Any).await?;
        let says = match tlsa.security {
            Security::Secure => published(&tlsa.records, chain, &agent.host, &self.roots),
            Security::Insecure => Published::Nothing,
        };
        Ok(match says {
            Published::This => Verdict::Proven,
            Published::Other => Verdict::Refused(Refusal::NotPublished),
            Published::Nothing => self.vouched(agent, chain),
        })
    }

    /// About one agent that is said to be the domain's by an answer that is not signed.
    fn unsigned(&self, domain: &Name, agent: &Agent, chain: &Chain) -> Verdict {
        match self.vouched(agent, chain) {
            Verdict::Proven if !chain.is_named(domain) => Verdict::Refused(Refusal::DomainNotNamed),
            verdict => verdict,
        }
    }

    fn vouched(&self, agent: &Agent, chain: &Chain) -> Verdict {
        if !chain.is_named(&agent.host) {
            return Verdict::Refused(Refusal::NotNamed);
        }
        match chain.leads_to(self.roots.anchors(), &|_| true) {
            true => Verdict::Proven,
            false => Verdict::Refused(Refusal::NotTrusted),
        }
    }
}

/// Decisions at once; others wait for a place within their own time. Each asks for a dozen names.
const MAX_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests;
