//! Who one is at a host: which mechanism, with which secret.
//!
//! Chooses only from what the host has offered on this very connection, after TLS where there is TLS.

use fnap::Event;
use fnap::client::sasl::NONCE;
use fnap::client::{Exchange, SaslError};
use fnap::sasl::{Mechanism, PlainCredentials};
use tokio::time::{Instant, timeout_at};

use super::offer::Offer;
use super::{Connection, REPLY_TIMEOUT, source};
use crate::config::{Agent, Login};
use crate::error::Error;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// What anybody may ask for.
    Anybody,
    /// What needs somebody, and be it anonymous.
    Somebody,
    /// To prove a password.
    Password,
}

impl Connection {
    /// Authenticates as the agent says.
    pub(super) async fn authenticate(&mut self, agent: &Agent, need: Need) -> Result<(), Error> {
        let chosen = choose(&agent.login, &self.offer, need);
        let chosen = chosen.map_err(|wanted| Error::NoMechanism {
            address: self.address.clone(),
            wanted,
            offered: self.offer.names(),
        })?;
        let Some(mechanism) = chosen else { return Ok(()) };
        self.prove(agent, mechanism).await
    }

    /// The mechanism that was used last.
    pub(crate) const fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    async fn prove(&mut self, agent: &Agent, mechanism: Mechanism) -> Result<(), Error> {
        let asked = Instant::now();
        let exchange = exchange(agent, mechanism).await?;
        // A program may have asked somebody for it, which is not the host's time.
        self.limit = self.limit.later(asked.elapsed());
        self.mechanism = Some(mechanism);
        self.session.authenticate(exchange).map_err(|error| self.protocol(error.to_string()))?;
        self.trace.client(format!("AUTHENTICATE {}", mechanism.name()).as_bytes());
        self.trace.hide(true);
        let (asked, end) = (Instant::now(), self.limit.end(Instant::now(), REPLY_TIMEOUT));
        // One end for all of it: a host that says its challenge octet by octet would have no end.
        let outcome = timeout_at(end, self.outcome()).await;
        let result = outcome.unwrap_or_else(|_| Err(self.silent(end - asked)));
        self.trace.hide(false);
        result
    }

    async fn outcome(&mut self) -> Result<(), Error> {
        self.write_out().await?;
        loop {
            if let Some(event) = self.session.next_event() {
                return match event {
                    Event::Authenticated(_) => Ok(()),
                    Event::Failed(failure) => Err(failure.into()),
                    other => Err(self.unexpected(other)),
                };
            }
            // What is to be sent now answers the host's challenge.
            if self.write_out().await? > 0 {
                self.trace.credentials();
            }
            self.fill().await?;
        }
    }
}

/// The mechanism to use; none where nobody has to be somebody. The error says what was wanted.
fn choose(login: &Login, offer: &Offer, need: Need) -> Result<Option<Mechanism>, String> {
    if login.mechanism == Some(Mechanism::ScramSha256) {
        // A host with users of whom it has no verifier for it does not announce it. Asking costs nothing, and
        // gives nothing away.
        return Ok(login.mechanism);
    }
    let candidates = candidates(login, need);
    if candidates.is_empty() {
        let anonymous = need == Need::Somebody && offer.has(Mechanism::Anonymous);
        return Ok(anonymous.then_some(Mechanism::Anonymous));
    }
    match candidates.iter().copied().find(|one| offer.has(*one)) {
        Some(first) => Ok(Some(first)),
        None => Err(candidates.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ")),
    }
}

/// What can be done with what one has, the best first.
fn candidates(login: &Login, need: Need) -> Vec<Mechanism> {
    if let Some(forced) = login.mechanism {
        return vec![forced];
    }
    let mut candidates = Vec::new();
    if login.certificate.is_some() && need != Need::Password {
        candidates.push(Mechanism::External);
    }
    if login.token.is_some() && need != Need::Password {
        candidates.push(Mechanism::OauthBearer);
    }
    if login.username.is_some() {
        // A host announces SCRAM only if it has verifiers for it of all users. Where it is refused, PLAIN is not tried:
        // the password would go to a host that did not prove to know it.
        candidates.extend([Mechanism::ScramSha256, Mechanism::Plain]);
    }
    candidates
}

async fn exchange(agent: &Agent, mechanism: Mechanism) -> Result<Exchange, Error> {
    let login = &agent.login;
    let acts_as = login.acts_as.as_deref().unwrap_or_default();
    let exchange = match mechanism {
        Mechanism::Plain => {
            let (user, password) = (login.user(), source::password(agent).await?);
            match PlainCredentials::new(user, password.reveal()) {
                Ok(plain) => Exchange::plain(acts_as, &plain),
                Err(_) => Err(SaslError::Unusable {
                    what: "the user's name or the password",
                    mechanism: mechanism.name(),
                }),
            }
        }
        Mechanism::ScramSha256 => {
            let mut nonce = [0; NONCE];
            getrandom::fill(&mut nonce)
                .map_err(|error| Error::Usage(format!("no randomness: {error}")))?;
            let password = source::password(agent).await?;
            Exchange::scram_sha_256(acts_as, login.user(), password.reveal(), nonce)
        }
        Mechanism::OauthBearer => {
            let token = source::token(agent).await?;
            let (host, port) = (agent.server_name(), agent.address.port());
            Exchange::oauth_bearer(acts_as, host, port, token.reveal())
        }
        Mechanism::External => Exchange::external(acts_as),
        Mechanism::Anonymous => Ok(Exchange::anonymous()),
    };
    exchange.map_err(|error| Error::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Certificate, Source};

    fn offer(words: &[&str]) -> Offer {
        Offer::read(&words.iter().map(|word| format!("AUTH={word}")).collect::<Vec<_>>())
    }

    fn login(username: bool, token: bool, certificate: bool) -> Login {
        Login {
            username: username.then(|| "ana".to_owned()),
            token: token.then(|| Source::File("t".into())),
            certificate: certificate.then(|| Certificate { chain: "c".into(), key: "k".into() }),
            ..Login::default()
        }
    }

    const ALL: &[&str] = &["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS"];

    #[test]
    fn the_best_that_the_host_offers_and_one_has_is_taken() {
        use Mechanism::{Anonymous, External, OauthBearer, Plain, ScramSha256};
        let chosen = |login: &Login, words: &[&str]| choose(login, &offer(words), Need::Somebody);
        assert_eq!(chosen(&login(true, true, true), ALL).unwrap(), Some(External));
        assert_eq!(chosen(&login(true, true, false), ALL).unwrap(), Some(OauthBearer));
        assert_eq!(chosen(&login(true, false, false), ALL).unwrap(), Some(ScramSha256));
        assert_eq!(chosen(&login(true, false, true), &["PLAIN"]).unwrap(), Some(Plain));
        assert_eq!(chosen(&login(false, false, false), ALL).unwrap(), Some(Anonymous));
        assert_eq!(chosen(&login(false, false, false), &["PLAIN"]).unwrap(), None);
        assert_eq!(
            chosen(&login(true, false, false), &["EXTERNAL"]),
            Err("SCRAM-SHA-256, PLAIN".to_owned())
        );
        let unknown = choose(&login(true, false, false), &Offer::default(), Need::Somebody);
        assert_eq!(unknown.unwrap(), Some(Plain));
    }

    #[test]
    fn what_is_forced_and_what_is_needed_limit_the_choice() {
        use Mechanism::{Plain, ScramSha256};
        let forced = Login { mechanism: Some(Plain), ..login(true, true, true) };
        assert_eq!(choose(&forced, &offer(ALL), Need::Somebody).unwrap(), Some(Plain));
        assert!(choose(&forced, &offer(&["SCRAM-SHA-256"]), Need::Somebody).is_err());
        let forced = Login { mechanism: Some(ScramSha256), ..login(true, true, true) };
        let unannounced = choose(&forced, &offer(&["PLAIN"]), Need::Somebody);
        assert_eq!(unannounced.unwrap(), Some(ScramSha256));
        let all = login(true, true, true);
        assert_eq!(choose(&all, &offer(ALL), Need::Password).unwrap(), Some(ScramSha256));
        let nobody = login(false, false, false);
        assert_eq!(choose(&nobody, &offer(ALL), Need::Anybody).unwrap(), None);
    }
}
