//! One attempt to say who one is: the server's side of a SASL exchange, without its framing.
//!
//! Takes decoded responses and gives challenges. Every failure is [`Step::Refused`], after one duration,
//! whatever mechanism it was and whatever was wrong.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fnap::sasl::{Mechanism, PlainCredentials};

use crate::principal::Principal;
use crate::users::{Users, VerifyError};

/// What the connection knows of its other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: IpAddr,
    /// Whether nobody else can read along.
    pub encrypted: bool,
    /// Its certificates in DER, the leaf first, if it proved to have the leaf's key; else none.
    pub certificates: Vec<Vec<u8>>,
    /// Whether they lead to the authority that the operator configured for clients.
    pub verified: bool,
    /// What names this very connection (`tls-exporter`, RFC 9266).
    pub exporter: Option<[u8; 32]>,
}

impl Peer {
    /// Somebody on a connection without encryption.
    #[must_use]
    pub fn in_clear(address: IpAddr) -> Self {
        Self {
            address,
            encrypted: false,
            certificates: Vec::new(),
            verified: false,
            exporter: None,
        }
    }
}

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
}

/// An attempt under way. Dropping it gives it up.
#[derive(Debug)]
pub struct Exchange {
    users: Arc<Users>,
    mechanism: Mechanism,
    peer: Peer,
}

impl Users {
    /// Begins an attempt.
    #[must_use]
    pub fn begin(self: &Arc<Self>, mechanism: Mechanism, peer: Peer) -> Exchange {
        Exchange { users: Arc::clone(self), mechanism, peer }
    }
}

impl Exchange {
    /// Takes the initial response (`None` where there is none) or the response to the last challenge.
    /// After anything but a challenge the exchange is over.
    pub async fn step(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else { return Step::Challenge(Vec::new()) };
        match self.mechanism {
            Mechanism::Plain => self.plain(response).await,
            _ => Step::Refused,
        }
    }

    async fn plain(&self, response: &[u8]) -> Step {
        let Ok(credentials) = PlainCredentials::parse(response) else {
            return self.users.refuse(self.peer.address).await;
        };
        match self.users.verify(&credentials, self.peer.address).await {
            Ok(principal) => Step::Authenticated(principal),
            Err(VerifyError::Refused) => Step::Refused,
            Err(VerifyError::Busy { retry_after }) => Step::Busy { retry_after },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{UserList, hash_password};
    use std::net::Ipv4Addr;

    fn begin(mechanism: Mechanism) -> Exchange {
        let mut list = UserList::default();
        list.insert("ana", &hash_password("right").unwrap()).unwrap();
        let users = Arc::new(Users::new(list).unwrap());
        users.begin(mechanism, Peer::in_clear(Ipv4Addr::LOCALHOST.into()))
    }

    #[tokio::test(start_paused = true)]
    async fn plain_takes_a_password_at_once_or_when_it_is_asked() {
        let ana = Step::Authenticated(Principal::user("ana", []));
        assert_eq!(begin(Mechanism::Plain).step(Some(b"\0ana\0right")).await, ana);
        let mut asked = begin(Mechanism::Plain);
        assert_eq!(asked.step(None).await, Step::Challenge(Vec::new()));
        assert_eq!(asked.step(Some(b"\0ana\0right")).await, ana);
        for wrong in [&b"\0ana\0wrong"[..], b"", b"ana", b"\0\xff\0right", b"bo\0ana\0right"] {
            assert_eq!(begin(Mechanism::Plain).step(Some(wrong)).await, Step::Refused);
        }
    }
}
