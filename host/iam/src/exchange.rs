//! One attempt to say who one is: the server's side of a SASL exchange, without its framing.
//!
//! Takes decoded responses and gives challenges. Every failure is [`Step::Refused`], after one duration,
//! whatever mechanism it was and whatever was wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fnap::name::Name;
use fnap::sasl::{Mechanism, PlainCredentials};
use tokio::time::Instant;

use crate::external::{self, Wanted};
use crate::oauth::{self, Bearer, NoBearer};
use crate::peer::Peer;
use crate::prepare;
use crate::principal::Principal;
use crate::scram::{Asked, ClientFirst, Final};
use crate::standing::Until;
use crate::users::{Attempt, Users, VerifyError, acts_as};

/// What comes next in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client is asked for a response to this; empty where it only has to begin.
    Challenge(Vec<u8>),
    /// It was he.
    Authenticated(Principal),
    /// It was not; nobody is told why.
    Refused,
    /// Nothing was checked: too many attempts of late, or too many at once.
    Busy {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// Nothing was checked: who would know does not answer. It may be tried again.
    Unknown,
}

/// Why a peer is not known as a domain's agent.
enum NoAgent {
    /// He is not; in words for the log.
    Refused(&'static str),
    /// Nobody could tell.
    Unknown,
}

/// An attempt under way. Dropping it gives it up.
#[derive(Debug)]
pub struct Exchange {
    users: Arc<Users>,
    mechanism: Mechanism,
    peer: Peer,
    state: State,
    /// Until when what was proven holds.
    until: Option<Until>,
}

#[derive(Debug)]
enum State {
    Begun,
    /// SCRAM: the client has to prove it.
    Asked(Box<Prover>),
    /// SCRAM: it did, and has been told the host's own proof.
    Proven(String),
    /// OAUTHBEARER: the client has been told that its token is none.
    Told,
    Over,
}

/// Who has to prove to be whom.
#[derive(Debug)]
struct Prover {
    asked: Asked,
    user: String,
    /// Whatever he answers: why he does not come in.
    cannot: Option<&'static str>,
}

type Outcome = Result<Step, VerifyError>;

const MALFORMED: &str = "malformed response";

impl Users {
    /// Begins an attempt.
    #[must_use]
    pub fn begin(self: &Arc<Self>, mechanism: Mechanism, peer: Peer) -> Exchange {
        Exchange { users: Arc::clone(self), mechanism, peer, state: State::Begun, until: None }
    }
}

impl Exchange {
    /// Takes the initial response (`None` where there is none) or the response to the last challenge.
    /// After anything but a challenge the exchange is over.
    pub async fn step(&mut self, response: Option<&[u8]>) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        let Some(response) = response else {
            return match state {
                State::Begun => {
                    self.state = state;
                    Step::Challenge(Vec::new())
                }
                _ => self.fail(None, MALFORMED).await.into(),
            };
        };
        let outcome = match (state, self.mechanism) {
            (State::Begun, _) if !self.users.mechanisms().contains(&self.mechanism) => {
                self.fail(None, "mechanism is not offered").await
            }
            (State::Begun, Mechanism::Plain) => self.plain(response).await,
            (State::Begun, Mechanism::ScramSha256) => self.scram_first(response).await,
            (State::Begun, Mechanism::External) => self.external(response).await,
            (State::Begun, Mechanism::Anonymous) => self.anonymous(response).await,
            (State::Begun, Mechanism::OauthBearer) => self.bearer(response).await,
            (State::Asked(prover), _) => self.scram_last(*prover, response).await,
            (State::Proven(user), _) => self.scram_end(&user, response).await,
            // Refused when it was told; whatever the client says to that.
            (State::Told, _) => Ok(Step::Refused),
            (State::Over, _) => self.fail(None, MALFORMED).await,
        };
        if let Ok(Step::Authenticated(principal)) = &outcome {
            let (mechanism, address) = (self.mechanism.name(), self.peer.address);
            tracing::debug!(mechanism, %address, %principal, "authenticated");
        }
        outcome.into()
    }

    /// Until when what somebody has come in with holds; none where that has no end of its own.
    #[must_use]
    pub fn until(&self) -> Option<Until> {
        self.until
    }

    fn attempt(&self) -> Attempt {
        Attempt { mechanism: self.mechanism, address: self.peer.address }
    }

    async fn fail(&self, user: Option<&str>, why: &str) -> Outcome {
        self.attempt().fail(&self.users, user, why).await
    }

    async fn plain(&self, response: &[u8]) -> Outcome {
        let Ok(credentials) = PlainCredentials::parse(response) else {
            return self.fail(None, MALFORMED).await;
        };
        Ok(self.users.verify(&credentials, self.peer.address).await?.into())
    }

    async fn scram_first(&mut self, response: &[u8]) -> Outcome {
        let Some(first) = ClientFirst::parse(response) else {
            return self.fail(None, MALFORMED).await;
        };
        let Some(user) = prepare::name(&first.user) else {
            return self.fail(None, MALFORMED).await;
        };
        // Who has failed too often learns nothing more, not even what he would be asked.
        self.users.queue(Some(&user), self.peer.address).await?.leave();
        let (verifier, can) = self.users.scram_of(&user, self.peer.address);
        let mut cannot = can.err();
        if !acts_as(&user, first.authorize.as_deref().unwrap_or_default()) {
            cannot = Some("acts as somebody else");
        }
        let mut ours = [0_u8; NONCE];
        if getrandom::fill(&mut ours).is_err() {
            return self.fail(None, "no random numbers").await;
        }
        let (asked, challenge) = Asked::new(&first, verifier, &ours);
        self.state = State::Asked(Box::new(Prover { asked, user, cannot }));
        Ok(Step::Challenge(challenge))
    }

    async fn scram_last(&mut self, prover: Prover, response: &[u8]) -> Outcome {
        let Prover { asked, user, cannot } = prover;
        let turn = self.users.queue(Some(&user), self.peer.address).await?;
        let begun = Instant::now();
        let proof = Final::parse(response).and_then(|last| asked.proves(&last));
        let why = match (proof, cannot) {
            (_, Some(why)) => why,
            (None, None) => "wrong password",
            (Some(_), None) if self.users.is_disabled(&user) => "the user is disabled",
            (Some(proof), None) => {
                turn.succeeded();
                self.state = State::Proven(user);
                return Ok(Step::Challenge(proof));
            }
        };
        drop(turn);
        Err(self.attempt().refused(&self.users, Some(&user), why, begun).await)
    }

    async fn scram_end(&self, user: &str, response: &[u8]) -> Outcome {
        if !response.is_empty() {
            return self.fail(Some(user), MALFORMED).await;
        }
        match self.users.known(user, self.peer.address) {
            Some(principal) => Ok(principal.into()),
            None => self.fail(Some(user), "the user is disabled").await,
        }
    }

    async fn anonymous(&self, response: &[u8]) -> Outcome {
        let Some(trace) = trace(response) else {
            return self.fail(None, MALFORMED).await;
        };
        // Also who says nothing waits his turn: addresses that guess are not let in meanwhile.
        self.users.queue(None, self.peer.address).await?.succeeded();
        tracing::info!(address = %self.peer.address, trace = %trace.escape_debug(), "anonymous");
        Ok(Principal::anonymous().into())
    }

    async fn external(&mut self, response: &[u8]) -> Outcome {
        let Some(wanted) = Wanted::parse(response) else {
            return self.fail(None, MALFORMED).await;
        };
        // Nobody guesses certificates, and a stranger's name server may be slow: others need not wait for it.
        self.users.queue(None, self.peer.address).await?.leave();
        let begun = Instant::now();
        let expires = self.peer.certificates.first().and_then(|leaf| external::expires(leaf));
        self.until = expires.map(Until::Certificate);
        let why = match (self.certified(), wanted) {
            (Some(user), Wanted::Any) => match self.users.admit(&user, []) {
                Some(principal) => return Ok(principal.into()),
                None => "the user is disabled",
            },
            (Some(user), Wanted::User(name) | Wanted::Either(Some(name), _)) if name == user => {
                match self.users.admit(&user, []) {
                    Some(principal) => return Ok(principal.into()),
                    None => "the user is disabled",
                }
            }
            (None, Wanted::Either(_, Some(domain))) | (_, Wanted::Domain(domain)) => {
                let users = Arc::clone(&self.users);
                let lookup = users.look_up(self.peer.address).await?;
                let proof = self.proves(&domain).await;
                if !matches!(proof, Err(NoAgent::Unknown)) {
                    lookup.was_answered();
                }
                match proof {
                    Ok(()) => {
                        // What a TLSA record means counts whatever it says of its time (RFC 7671, section 5.1).
                        let now = SystemTime::now();
                        let over = expires.is_some_and(|expires| expires <= now);
                        self.until = self.until.filter(|_| !over);
                        return Ok(Principal::domain(domain).into());
                    }
                    Err(NoAgent::Refused(why)) => why,
                    Err(NoAgent::Unknown) => return Ok(Step::Unknown),
                }
            }
            (None, _) => "no certificate that names a user",
            (Some(_), _) => "the certificate names another user",
        };
        Err(self.attempt().failed(&self.users, None, why, begun).await)
    }

    /// The user whom the operator's authority for clients vouches for.
    fn certified(&self) -> Option<String> {
        let leaf = self.peer.certificates.first().filter(|_| self.peer.verified)?;
        external::user_of(leaf, self.users.settings().common_names)
    }

    async fn proves(&self, domain: &Name) -> Result<(), NoAgent> {
        let nobody = NoAgent::Refused("nobody vouches for domains here");
        let proof = self.users.domains().ok_or(nobody)?;
        if self.peer.certificates.is_empty() {
            return Err(NoAgent::Refused("no certificate"));
        }
        match proof.proves(domain, &self.peer).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(NoAgent::Refused("the certificate is not that domain's")),
            Err(cause) => {
                tracing::info!(%domain, cause, "cannot tell whether a certificate is a domain's");
                Err(NoAgent::Unknown)
            }
        }
    }

    async fn bearer(&mut self, response: &[u8]) -> Outcome {
        let Some(request) = oauth::Request::parse(response) else {
            return self.fail(None, MALFORMED).await;
        };
        // Nobody guesses tokens, and the provider may be slow: others need not wait for it.
        self.users.queue(None, self.peer.address).await?.leave();
        let begun = Instant::now();
        let why = match self.whom(&request.token).await? {
            Ok(bearer) if !acts_as(&bearer.user, &request.authorize) => "acts as somebody else",
            Ok(bearer) => match self.users.admit(&bearer.user, bearer.groups) {
                Some(principal) => {
                    self.until = Some(Until::Token(bearer.until));
                    return Ok(principal.into());
                }
                None => "the user is disabled",
            },
            Err(NoBearer::Wrong(why)) => why,
            Err(NoBearer::TooMany) => return Err(VerifyError::busy()),
            Err(NoBearer::Unknown) => return Ok(Step::Unknown),
        };
        // Waits before the challenge: who does not answer it learns nothing sooner.
        let refused = self.attempt().failed(&self.users, None, why, begun).await;
        match oauth::challenge(self.users.providers()) {
            Some(challenge) => {
                self.state = State::Told;
                Ok(Step::Challenge(challenge))
            }
            None => Err(refused),
        }
    }

    /// Whom a token names. One that its provider has to be asked for is a look-up for this address.
    async fn whom(&self, token: &str) -> Result<Result<Bearer, NoBearer>, VerifyError> {
        let providers = self.users.providers();
        if let Some(known) = oauth::check_at_once(providers, token).transpose() {
            return Ok(known.map_err(NoBearer::Wrong));
        }
        let lookup = self.users.look_up(self.peer.address).await?;
        let asked = oauth::check(providers, token).await;
        if asked != Err(NoBearer::Unknown) {
            lookup.was_answered();
        }
        Ok(asked)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Who was told what he is asked, and gives up, has tried.
        if let State::Asked(prover) = &self.state {
            self.users.given_up(&prover.user, self.peer.address);
        }
    }
}

/// What an anonymous client says of itself (RFC 4505, section 2); none where it may not say that.
#[must_use]
pub fn trace(response: &[u8]) -> Option<&str> {
    let sound = |text: &&str| text.chars().count() <= MAX_TRACE && !text.contains('\0');
    std::str::from_utf8(response).ok().filter(sound)
}

/// Octets of the host's half of a nonce.
const NONCE: usize = 18;

/// Characters of what an anonymous client may say (RFC 4505, section 2).
const MAX_TRACE: usize = 255;

#[cfg(test)]
mod tests;
