//! How a peer comes in: TLS in the middle of a connection, and who he is.
//!
//! What the session asks for is handed to `host-iam`, with what is known of the peer; nothing of a
//! response is kept or logged.

use std::sync::Arc;

use fnap::reply::{Code, Failure};
use fnap::sasl::{Mechanism, Response};
use fnap::subject::Subject;
use host_iam::{Exchange, Principal, Step, Until};
use tokio::time::Instant;

use super::{Connection, Gone, stopping};
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
        let Some(mut exchange) = self.exchange.take() else { return self.session.refused() };
        let step = self.in_time(exchange.step(response.map(Response::expose))).await;
        self.exchange = Some(exchange);
        self.take(step);
    }

    pub(super) async fn misread(&mut self) {
        let services = Arc::clone(&self.services);
        let step = self.in_time(services.users.refuse(self.who.address)).await;
        self.take(step);
    }

    /// What a check comes to, which may ask others who do not answer: it ends with the time that a peer
    /// has to say who he is, and with the host.
    async fn in_time(&mut self, check: impl Future<Output = Step>) -> Result<Step, Failure> {
        let deadline = self.must_authenticate.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            step = check => Ok(step),
            () = tokio::time::sleep_until(deadline) => {
                Err(Failure::new(Code::Timeout, "authentication took too long"))
            }
            _ = self.stop.wait_for(|stop| *stop) => Err(stopping()),
        }
    }

    /// Somebody is who he says, and comes in unless he has as many connections as he may.
    fn let_in(&mut self, principal: Principal, until: Option<Until>) {
        match self.services.quotas.enter(&principal) {
            Ok(seat) => {
                self.seat = Some(seat);
                self.must_authenticate = None;
                // They have done their work, and a connection may last for weeks.
                self.who.certificates = Vec::new();
                // Anybody can come in without a name, and have as many domains as he likes.
                if matches!(principal.subject(), Subject::User(_)) {
                    self.stranger = None;
                }
                self.services.traffic.authentications.one();
                self.standing = Some(self.services.users.follow(&principal, until));
                self.session.authenticated(principal);
            }
            Err(limited) => {
                tracing::info!(peer = %self.peer, %principal, "too many connections of one principal");
                let failure = Failure::new(Code::RateLimit, limited.to_string());
                self.session.not_checked(failure);
            }
        }
    }

    fn take(&mut self, step: Result<Step, Failure>) {
        let step = match step {
            Ok(step) => step,
            Err(failure) => {
                self.exchange = None;
                return self.session.end(failure);
            }
        };
        if let Step::Challenge(challenge) = step {
            return self.session.challenge(&challenge);
        }
        let until = self.exchange.take().as_ref().and_then(Exchange::until);
        match step {
            Step::Authenticated(principal) => self.let_in(principal, until),
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
