//! One connection: moves bytes between a socket and a [`ServerSession`], and performs its actions.
//!
//! Decides nothing about the protocol. It reads, writes, times out, and does what the session says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fnap::command::Command;
use fnap::reply::{Code, Failure, Reply};
use fnap::sasl::{Mechanism, Response};
use fnap::server::{Action, ServerOptions, ServerSession, WriteBatch};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use host_iam::{Exchange, Peer, Principal, Step};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::listener::ListenerOptions;
use crate::perform::{count, perform};
use crate::read::{self, Ended};
use crate::services::Services;
use crate::write;

/// Room for each read of the socket: a WRITE of 64 events of 1 KiB.
const READ_SIZE: usize = 64 * 1024;

/// Replies gathered before they are sent; pipelined commands answer together.
const FLUSH_SIZE: usize = 64 * 1024;

/// Time from the greeting to a right password. Strangers must not hold connections; a person at a
/// terminal needs some seconds to paste a token.
const AUTHENTICATION: Duration = Duration::from_secs(60);

/// A connection and where it stands.
pub(crate) struct Connection<S> {
    stream: S,
    peer: SocketAddr,
    session: ServerSession<Principal>,
    options: ListenerOptions,
    services: Arc<Services>,
    stop: watch::Receiver<bool>,
    out: Vec<u8>,
    /// The attempt to authenticate that is under way.
    exchange: Option<Exchange>,
    /// By when the peer has to be authenticated; none once it is.
    must_authenticate: Option<Instant>,
    /// WRITEs under way, answered in their order.
    writes: FuturesOrdered<BoxFuture<'static, Reply>>,
}

/// The connection is over; why is of no interest to anybody but the log.
pub(crate) struct Gone;

enum Input {
    Written(Reply),
    Read(std::io::Result<usize>),
    Idle,
    Stop,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(crate) fn new(
        stream: S,
        peer: SocketAddr,
        session: ServerOptions,
        options: ListenerOptions,
        services: Arc<Services>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let session = ServerSession::new(session);
        Self {
            stream,
            peer,
            session,
            options,
            services,
            stop,
            out: Vec::new(),
            exchange: None,
            must_authenticate: Some(Instant::now() + AUTHENTICATION),
            writes: FuturesOrdered::new(),
        }
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        let services = Arc::clone(&self.services);
        let _open = services.traffic.connections_open.hold();
        tracing::debug!(peer = %self.peer, "connected");
        if self.serve().await.is_ok() {
            // The peer sees an end, not a reset.
            let closed = self.stream.shutdown().await;
            tracing::trace!(peer = %self.peer, ?closed, "closed");
        }
        tracing::debug!(peer = %self.peer, "disconnected");
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        loop {
            while let Some(action) = self.session.next_action() {
                if matches!(action, Action::Close) {
                    return self.flush().await;
                }
                self.act(action).await?;
            }
            self.flush().await?;
            match self.input().await {
                Input::Written(reply) => self.session.reply(reply),
                Input::Read(Ok(1..)) => {}
                // What was sent before is still performed.
                Input::Read(Ok(0)) => self.session.input_ended(),
                Input::Read(Err(_)) => return Err(Gone),
                Input::Idle => {
                    self.session.end(Failure::new(Code::Timeout, "nothing was said for too long"));
                }
                Input::Stop => {
                    self.session.end(Failure::new(Code::Unavailable, "the host is shutting down"));
                }
            }
        }
    }

    async fn input(&mut self) -> Input {
        let waits = !self.writes.is_empty();
        let stopping = *self.stop.borrow();
        if stopping && !waits {
            return Input::Stop;
        }
        // A peer that sends WRITE after WRITE must not hold up the end.
        let wanted = self.session.wants_input() && !stopping;
        let idle = Instant::now() + self.options.idle;
        let silent_until = self.must_authenticate.map_or(idle, |deadline| deadline.min(idle));
        let input = self.session.input();
        input.reserve(READ_SIZE);
        tokio::select! {
            Some(reply) = self.writes.next(), if waits => Input::Written(reply),
            read = self.stream.read_buf(input), if wanted => Input::Read(read),
            () = tokio::time::sleep_until(silent_until), if !waits => Input::Idle,
            _ = self.stop.wait_for(|stop| *stop), if !waits => Input::Stop,
        }
    }

    async fn act(&mut self, action: Action<Principal>) -> Result<(), Gone> {
        match action {
            Action::Send(bytes) => self.send(&bytes).await?,
            Action::Authenticate { mechanism, response } => {
                self.authenticate(mechanism, response.as_ref()).await;
            }
            Action::Respond(response) => self.respond(Some(&response)).await,
            Action::Misread => {
                let step = self.services.users.refuse(self.peer.ip()).await;
                self.take(step);
            }
            Action::Execute { command: Command::Read(read), .. } => self.read(read).await?,
            Action::Execute { principal, command } => {
                self.flush().await?;
                let reply = perform(&self.services, &principal, command).await;
                self.session.reply(reply);
            }
            Action::ExecuteWrite { principal, batch } => {
                self.flush().await?;
                self.post(principal, batch).await;
            }
            // Outside of a READ there is nothing to stop; it ended while DONE was on its way.
            Action::StopFollowing | Action::Close => {}
            // Neither is offered by this host: the session refuses them before they come here.
            Action::StartTls | Action::StartStream { .. } => return Err(Gone),
        }
        Ok(())
    }

    /// Begins a WRITE. It is polled once at once, so that it stands in the broker's queue before the
    /// next one begins.
    async fn post(&mut self, principal: Principal, batch: WriteBatch) {
        let services = Arc::clone(&self.services);
        let mut write = async move { write::write(&services, &principal, batch).await }.boxed();
        match futures::poll!(&mut write) {
            Poll::Ready(reply) => self.writes.push_back(std::future::ready(reply).boxed()),
            Poll::Pending => self.writes.push_back(write),
        }
    }

    async fn authenticate(&mut self, mechanism: Mechanism, response: Option<&Response>) {
        let peer = Peer::in_clear(self.peer.ip());
        self.exchange = Some(self.services.users.begin(mechanism, peer));
        self.respond(response).await;
    }

    async fn respond(&mut self, response: Option<&Response>) {
        // The session asks for no response to nothing.
        let Some(exchange) = &mut self.exchange else { return self.session.refused() };
        let step = exchange.step(response.map(Response::expose)).await;
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        if let Step::Challenge(challenge) = step {
            return self.session.challenge(&challenge);
        }
        self.exchange = None;
        match step {
            Step::Authenticated(principal) => {
                self.must_authenticate = None;
                self.services.traffic.authentications.one();
                self.session.authenticated(principal);
            }
            Step::Busy { retry_after } => {
                let words = format!("retry-after={}", retry_after.as_secs().max(1));
                self.session.not_checked(Failure::new(Code::RateLimit, words));
            }
            Step::Refused | Step::Challenge(_) => {
                self.services.traffic.authentication_failures.one();
                tracing::info!(peer = %self.peer, "authentication failed");
                self.session.refused();
            }
        }
    }

    /// A READ: the data lines go out as fast as the peer takes them; DONE and the host's end stop it.
    async fn read(&mut self, command: fnap::command::Read) -> Result<(), Gone> {
        self.flush().await?;
        let mut reading = match read::start(&self.services, &command).await {
            Ok(reading) => reading,
            Err(failure) => {
                count(&self.services, &command, Some(failure.code));
                self.session.reply(failure.into());
                return Ok(());
            }
        };
        count(&self.services, &command, None);
        self.session.read_started();
        let outcome = loop {
            if self.settle_while_reading().await? {
                break Ok(());
            }
            let following = command.follow && self.session.wants_input();
            let input = self.session.input();
            input.reserve(READ_SIZE);
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => {
                    break Err(Failure::new(Code::Unavailable, "the host is shutting down"));
                }
                // Before the events: DONE is heard also while there are always more of them.
                read = self.stream.read_buf(input), if following => match read {
                    Ok(1..) => {}
                    Ok(0) => self.session.input_ended(),
                    Err(_) => return Err(Gone),
                },
                chunk = reading.next_chunk(&self.services.traffic, &mut self.out) => match chunk {
                    Ok(Ended::No) => {}
                    Ok(Ended::Yes) => break Ok(()),
                    Err(failure) => break Err(failure),
                },
            }
        };
        self.session.read_ended(outcome);
        Ok(())
    }

    /// Sends what is gathered and takes note of DONE; true when reading shall stop.
    async fn settle_while_reading(&mut self) -> Result<bool, Gone> {
        let mut stop = false;
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Send(bytes) => self.send(&bytes).await?,
                Action::StopFollowing => stop = true,
                Action::Close => return Err(Gone),
                _ => {}
            }
        }
        self.flush().await?;
        Ok(stop)
    }

    async fn send(&mut self, bytes: &Bytes) -> Result<(), Gone> {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= FLUSH_SIZE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.out.is_empty() {
            return Ok(());
        }
        let stalled: Duration = self.options.stalled;
        let written = tokio::time::timeout(stalled, self.stream.write_all(&self.out)).await;
        self.out.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone),
            Err(_) => {
                tracing::info!(peer = %self.peer, "the peer does not take what is sent");
                Err(Gone)
            }
        }
    }
}
