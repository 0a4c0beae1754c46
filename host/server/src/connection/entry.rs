//! How a peer comes in: TLS in the middle of a connection, and who he is.
//!
//! What the session asks for is handed to `host-iam`, with what is known of the peer; nothing of a
//! response is kept or logged.

use fnap::reply::{Code, Failure};
use fnap::sasl::{Mechanism, Response};
use fnap::subject::Subject;
use host_iam::{Principal, Step};

use super::{Connection, Gone};
use crate::tls::{Stream, welcome};

impl Connection {
    /// Nothing that came in clear text lives on: the session has thrown it away, and what is still on its
    /// way is taken for a part of the handshake, which fails.
    pub(super) async fn start_tls(&mut self) -> Result<(), Gone> {
        self.flush().await?;
        let before = std::mem::replace(&mut self.stream, Stream::Gone);
        let (Some(tls), Stream::Clear(stream)) = (&self.tls, before) else { return Err(Gone) };
        let traffic = &self.services.traffic;
        let done = welcome(tls, stream, self.peer, traffic, self.stop.clone()).await;
        (self.stream, self.who) = done.ok_or(Gone)?;
        self.exchange = None;
        self.session.tls_established(!self.who.certificates.is_empty());
        Ok(())
    }

    pub(super) async fn authenticate(&mut self, mechanism: Mechanism, response: Option<&Response>) {
        self.exchange = Some(self.services.users.begin(mechanism, self.who.clone()));
        self.respond(response).await;
    }

    pub(super) async fn respond(&mut self, response: Option<&Response>) {
        // The session asks for no response to nothing.
        let Some(exchange) = &mut self.exchange else { return self.session.refused() };
        let step = exchange.step(response.map(Response::expose)).await;
        self.take(step);
    }

    /// Somebody is who he says, and comes in unless he has as many connections as he may.
    fn let_in(&mut self, principal: Principal) {
        match self.services.quotas.enter(&principal) {
            Ok(seat) => {
                self.seat = Some(seat);
                self.must_authenticate = None;
                // Anybody can come in without a name, and have as many domains as he likes.
                if matches!(principal.subject(), Subject::User(_)) {
                    self.stranger = None;
                }
                self.services.traffic.authentications.one();
                self.standing = Some(self.services.users.follow(&principal));
                self.session.authenticated(principal);
            }
            Err(limited) => {
                tracing::info!(peer = %self.peer, %principal, "too many connections of one principal");
                let failure = Failure::new(Code::RateLimit, limited.to_string());
                self.session.not_checked(failure);
            }
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        if let Step::Challenge(challenge) = step {
            return self.session.challenge(&challenge);
        }
        self.exchange = None;
        match step {
            Step::Authenticated(principal) => self.let_in(principal),
            Step::Unknown => {
                let words = "nobody answers who could tell, try again";
                self.session.not_checked(Failure::new(Code::Unavailable, words));
            }
            Step::Busy { retry_after } => {
                let words = format!("retry-after={}", retry_after.as_secs().max(1));
                self.session.not_checked(Failure::new(Code::RateLimit, words));
            }
            Step::Refused | Step::Challenge(_) => {
                self.services.traffic.authentication_failures.one();
                self.session.refused();
            }
        }
    }
}
