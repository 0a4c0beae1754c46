//! The client's side of each mechanism: challenges go in, responses come out.
//!
//! Believes no host: what it sends is checked and limited, and with SCRAM the host has to prove that it
//! knows the user's verifier. Random bytes come from the caller. Nothing here shows a secret in an error
//! or in `Debug`, and all of them are wiped when they are dropped.

mod bearer;
mod scram;
#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

use crate::sasl::{MAX_RESPONSE, MAX_USER, Mechanism, PlainCredentials};
use bearer::Bearer;
use scram::Scram;

pub use scram::{MAX_ITERATIONS, MIN_ITERATIONS, NONCE};

/// What is sent to the host, decoded; wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// One attempt to authenticate.
pub struct Exchange(Kind);

enum Kind {
    /// All that the mechanism has to say, until it is said.
    Once(Mechanism, Option<Secret>),
    Scram(Box<Scram>),
    Bearer(Bearer),
}

/// Why an exchange cannot begin, or not go on. Says nothing of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// A name, a password or a token that the mechanism has no way to say.
    #[error("{what} is empty, too long, or holds what {mechanism} cannot carry")]
    Unusable {
        /// What it is.
        what: &'static str,
        /// Name of the mechanism.
        mechanism: &'static str,
    },
    /// A challenge that the mechanism does not have.
    #[error("the host's challenge is none of {0}")]
    Challenge(&'static str),
    /// The host's part of the nonce does not continue ours: somebody plays an older exchange back.
    #[error("the host's nonce does not continue ours")]
    Nonce,
    /// So few iterations that the password could be guessed, or so many that this client would be busy for long.
    #[error("the host asks for {0} iterations, {MIN_ITERATIONS} to {MAX_ITERATIONS} are taken")]
    Iterations(u64),
    /// The host's signature is wrong.
    #[error("the host does not know this user: its proof is wrong")]
    NotTheHost,
    /// The host says that all is well and has proved nothing.
    #[error("the host has not proved that it knows this user")]
    NotProved,
}

impl Exchange {
    /// PLAIN (RFC 4616).
    ///
    /// # Errors
    /// When the name to act as does not go with the mechanism.
    pub fn plain(authorize: &str, plain: &PlainCredentials) -> Result<Self, SaslError> {
        let authorize = name("the name to act as", authorize, Mechanism::Plain)?;
        let mut response = Zeroizing::new(Vec::with_capacity(
            authorize.len() + plain.user().len() + plain.password().len() + 2,
        ));
        for part in [authorize, "\0", plain.user(), "\0", plain.password()] {
            response.extend_from_slice(part.as_bytes());
        }
        Ok(Self(Kind::Once(Mechanism::Plain, Some(response))))
    }

    /// SCRAM-SHA-256 (RFC 7677), without channel binding. `authorize` is empty for oneself; `nonce` is random.
    ///
    /// # Errors
    /// When a name or the password cannot be prepared (RFC 4013), is empty, or too long.
    pub fn scram_sha_256(
        authorize: &str,
        user: &str,
        password: &str,
        nonce: [u8; NONCE],
    ) -> Result<Self, SaslError> {
        Ok(Self(Kind::Scram(Box::new(Scram::new(authorize, user, password, nonce)?))))
    }

    /// OAUTHBEARER (RFC 7628): a token for the host that is known as `host` and `port`.
    ///
    /// # Errors
    /// When the token is none (RFC 6750), or a part is too long.
    pub fn oauth_bearer(
        authorize: &str,
        host: &str,
        port: u16,
        token: &str,
    ) -> Result<Self, SaslError> {
        Ok(Self(Kind::Bearer(Bearer::new(authorize, host, port, token)?)))
    }

    /// EXTERNAL (RFC 4422, appendix A): who the client's certificate says, or `authorize` where it is not empty.
    ///
    /// # Errors
    /// When the name is too long or holds control characters.
    pub fn external(authorize: &str) -> Result<Self, SaslError> {
        let authorize = name("the name to act as", authorize, Mechanism::External)?;
        let response = Zeroizing::new(authorize.as_bytes().to_vec());
        Ok(Self(Kind::Once(Mechanism::External, Some(response))))
    }

    /// ANONYMOUS (RFC 4505), without a trace of who it is.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Kind::Once(Mechanism::Anonymous, Some(Zeroizing::default())))
    }

    /// The mechanism.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match &self.0 {
            Kind::Once(mechanism, _) => *mechanism,
            Kind::Scram(_) => Mechanism::ScramSha256,
            Kind::Bearer(_) => Mechanism::OauthBearer,
        }
    }

    /// The response to a challenge. The first one, which asks to begin, is empty.
    ///
    /// # Errors
    /// When the challenge is none of the mechanism's, or the host turns out to be somebody else.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match &mut self.0 {
            Kind::Once(mechanism, response) => match response.take() {
                Some(response) if challenge.is_empty() => Ok(response),
                _ => Err(SaslError::Challenge(mechanism.name())),
            },
            Kind::Scram(scram) => scram.respond(challenge),
            Kind::Bearer(bearer) => bearer.respond(challenge),
        }
    }

    /// The host says that all is well: whether it may say so.
    ///
    /// # Errors
    /// When the mechanism demands a proof of the host that did not come.
    pub fn finish(&self) -> Result<(), SaslError> {
        match &self.0 {
            Kind::Once(_, None) => Ok(()),
            Kind::Once(..) => Err(SaslError::NotProved),
            Kind::Scram(scram) => scram.finish(),
            Kind::Bearer(bearer) => bearer.finish(),
        }
    }

    /// What the host has said about why it refuses, such as OAUTHBEARER's status; visible ASCII.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match &self.0 {
            Kind::Bearer(bearer) => bearer.refusal(),
            Kind::Once(..) | Kind::Scram(_) => None,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Exchange").field(&self.mechanism()).finish()
    }
}

/// A name that may be empty.
fn name<'a>(what: &'static str, text: &'a str, mechanism: Mechanism) -> Result<&'a str, SaslError> {
    if text.len() > MAX_USER || text.contains(char::is_control) {
        return Err(SaslError::Unusable { what, mechanism: mechanism.name() });
    }
    Ok(text)
}

/// Most octets of a response that fit a line.
const MAX_OCTETS: usize = MAX_RESPONSE / 4 * 3;
