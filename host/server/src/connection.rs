//! One connection: moves bytes between a socket and a [`ServerSession`], and performs its actions.
//!
//! Decides nothing about the protocol. It reads, writes, times out, upgrades to TLS, and does what the
//! session says.

mod entry;
mod reading;
mod streaming;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use fnap::command::Command;
use fnap::reply::{Code, Failure, Reply};
use fnap::server::{Action, ServerOptions, ServerSession, WriteBatch};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use host_iam::{Ended, Exchange, Peer, Principal, Seat, Standing, Stranger};
use host_registry::as_by;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::coop::consume_budget;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout};

use crate::by::by;
use crate::input;
use crate::line::Line;
use crate::listener::ListenerOptions;
use crate::pace::Pace;
use crate::perform::{count, perform};
use crate::services::Services;
use crate::tls::{Stream, Tls};
use crate::write;

/// Replies gathered before they are sent; pipelined commands answer together.
const FLUSH_SIZE: usize = 64 * 1024;

/// Room for replies that a connection keeps while it waits.
const KEPT: usize = 1024;

/// Octets that are as much work as one command: a task goes on for 128 of either, then others have
/// their turns.
const PIECE: usize = 4 * 1024;

/// Time from the greeting to a right password. Strangers must not hold connections; a person at a
/// terminal needs some seconds to paste a token.
const AUTHENTICATION: Duration = Duration::from_secs(60);

/// Time for the last octets of a connection that ends, such as TLS's word that it does.
const CLOSING: Duration = Duration::from_secs(5);

/// What every TLS connection begins with (RFC 8446, section 5.1: a record of the handshake).
const TLS_RECORD: u8 = 0x16;

/// A connection and where it stands.
pub(crate) struct Connection {
    stream: Stream,
    peer: SocketAddr,
    /// What is known of who is at the other end.
    who: Peer,
    /// For STARTTLS; none where it is not offered.
    tls: Option<Arc<Tls>>,
    /// Whether the peer has said anything yet.
    silent: bool,
    session: ServerSession<Principal>,
    options: ListenerOptions,
    services: Arc<Services>,
    stop: watch::Receiver<bool>,
    out: Vec<u8>,
    /// The attempt to authenticate that is under way.
    exchange: Option<Exchange>,
    /// Whether whoever came in may stay.
    standing: Option<Standing>,
    /// By when the peer has to be authenticated; none once it is.
    must_authenticate: Option<Instant>,
    /// What the principal of this connection may use, once he is known.
    seat: Option<Seat>,
    /// Its place among those of its address that have not authenticated.
    stranger: Option<Stranger>,
    /// How fast it may make the host work for nothing.
    pace: Pace,
    /// WRITEs under way, answered in their order.
    writes: FuturesOrdered<BoxFuture<'static, Reply>>,
    /// Where they stand on their way to a broker.
    line: Line,
}

/// The connection is over; why is of no interest to anybody but the log.
pub(crate) struct Gone;

enum Input {
    Written(Reply),
    Read(io::Result<usize>),
    Idle,
    Unwelcome(Ended),
    Stop,
}

/// A peer that was let in at the door.
pub(crate) struct Arrival {
    pub(crate) stream: Stream,
    pub(crate) peer: SocketAddr,
    pub(crate) who: Peer,
    /// For STARTTLS; none where it is not offered.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Its place among those that have not authenticated.
    pub(crate) stranger: Stranger,
}

impl Connection {
    pub(crate) fn new(
        arrival: Arrival,
        session: ServerOptions,
        options: ListenerOptions,
        services: Arc<Services>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let Arrival { stream, peer, who, tls, stranger } = arrival;
        Self {
            stream,
            peer,
            who,
            tls,
            silent: true,
            session: ServerSession::new(session),
            options,
            services,
            stop,
            out: Vec::new(),
            exchange: None,
            standing: None,
            must_authenticate: Some(Instant::now() + AUTHENTICATION),
            seat: None,
            stranger: Some(stranger),
            pace: Pace::default(),
            writes: FuturesOrdered::new(),
            line: Line::default(),
        }
    }

    /// Serves until either side ends it.
    pub(crate) async fn run(mut self) {
        tracing::debug!(peer = %self.peer, encrypted = self.who.encrypted, "connected");
        if self.serve().await.is_ok() {
            // The peer sees an end, not a reset.
            let closed = timeout(CLOSING, self.stream.shutdown()).await;
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
                self.keep_pace().await?;
                // Thousands of commands may be here already.
                others_turn(0).await;
            }
            self.keep_pace().await?;
            self.flush().await?;
            match self.input().await {
                Input::Written(reply) => self.answered(reply),
                // It has failed at the greeting already: no alert would reach anybody.
                Input::Read(Ok(1..)) if self.speaks_tls() => {
                    tracing::info!(peer = %self.peer, "the peer speaks tls at an address of clear text");
                    return Ok(());
                }
                Input::Read(Ok(read @ 1..)) => {
                    let input = self.session.input();
                    let fresh = input.len().saturating_sub(read);
                    self.pace.pay_for_read(input.get(fresh..).unwrap_or_default());
                    others_turn(read).await;
                }
                // What was sent before is still performed.
                Input::Read(Ok(0)) => self.session.input_ended(),
                Input::Read(Err(_)) => return Err(Gone),
                Input::Idle => {
                    self.session.end(Failure::new(Code::Timeout, "nothing was said for too long"));
                }
                Input::Unwelcome(why) => self.session.end(unwelcome(why)),
                Input::Stop => self.session.end(stopping()),
            }
        }
    }

    /// Whether the first that came in clear text is a TLS handshake, and not a line.
    fn speaks_tls(&mut self) -> bool {
        let first = std::mem::replace(&mut self.silent, false);
        let begins = self.session.input().first() == Some(&TLS_RECORD);
        first && begins && !self.who.encrypted
    }

    /// Pauses where the peer has made the host do too much for nothing: what is answered goes out, and what
    /// comes meanwhile waits.
    async fn keep_pace(&mut self) -> Result<(), Gone> {
        self.pace.pay(&self.session.take_toll());
        let Some(until) = self.pace.pause() else { return Ok(()) };
        self.flush().await?;
        let deadline = self.must_authenticate;
        // What ends a connection ends it in the middle of what was said at once, too.
        tokio::select! {
            () = sleep_until(until) => {}
            () = sleep_until(deadline.unwrap_or(until)), if deadline.is_some() => {
                self.session.end(Failure::new(Code::Timeout, "authentication took too long"));
            }
            why = ended(&mut self.standing) => self.session.end(unwelcome(why)),
            _ = self.stop.wait_for(|stop| *stop) => self.session.end(stopping()),
        }
        Ok(())
    }

    async fn input(&mut self) -> Input {
        let waits = !self.writes.is_empty();
        let stopping = *self.stop.borrow();
        if stopping && !waits {
            return Input::Stop;
        }
        let unwelcome = self.standing.as_ref().and_then(Standing::has_ended);
        if let Some(why) = unwelcome.filter(|_| !waits) {
            return Input::Unwelcome(why);
        }
        // A peer that sends WRITE after WRITE must not hold up the end.
        let wanted = self.session.wants_input() && !stopping && unwelcome.is_none();
        let idle = Instant::now() + self.options.idle;
        let silent_until = self.must_authenticate.map_or(idle, |deadline| deadline.min(idle));
        // Who may have nothing more to say for hours holds no room for long answers.
        self.out.shrink_to(KEPT);
        tokio::select! {
            Some(reply) = self.writes.next(), if waits => Input::Written(reply),
            read = input::read(&mut self.stream, &mut self.session), if wanted => Input::Read(read),
            () = sleep_until(silent_until), if !waits => Input::Idle,
            why = ended(&mut self.standing), if !waits => Input::Unwelcome(why),
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
            Action::Misread => self.misread().await,
            Action::Execute { principal, command: Command::Read(read) } => {
                self.read(&principal, read).await?;
            }
            Action::Execute { command: Command::Stream, .. } => {
                count(&self.services, &Command::Stream, None);
                self.session.stream_accepted();
            }
            Action::Execute { principal, command } => {
                self.flush().await?;
                let by = by(&principal, self.who.address, &command);
                let reply = match self.metered(&command) {
                    Ok(()) => as_by(by, perform(&self.services, &principal, command)).await,
                    Err(failure) => failure.into(),
                };
                self.session.reply(reply);
            }
            Action::ExecuteWrite { principal, batch } => {
                self.flush().await?;
                self.post(principal, batch).await;
            }
            // Outside of a READ there is nothing to stop; it ended while DONE was on its way.
            Action::StopFollowing | Action::Close => {}
            Action::StartTls => self.start_tls().await?,
            Action::StartStream { principal } => return self.stream(&principal).await,
        }
        Ok(())
    }

    /// Whether the principal may have one command more now.
    fn metered(&self, command: &dyn std::fmt::Display) -> Result<(), Failure> {
        let asked = self.seat.as_ref().map_or(Ok(()), Seat::command);
        asked.map_err(|limited| {
            count(&self.services, command, Some(Code::RateLimit));
            Failure::new(Code::RateLimit, limited.to_string())
        })
    }

    /// Whether he may write so much now.
    fn metered_write(&self, batch: &WriteBatch) -> Result<(), Failure> {
        self.metered(&"WRITE")?;
        let Some(seat) = &self.seat else { return Ok(()) };
        let bytes: usize = batch.lines.iter().map(|line| line.len()).sum();
        seat.write(batch.lines.len() as u64, bytes as u64).map_err(|limited| {
            count(&self.services, &"WRITE", Some(Code::RateLimit));
            Failure::new(Code::RateLimit, limited.to_string())
        })
    }

    /// Begins a WRITE, which stands behind those that are under way. It is polled once at once, so that its events are
    /// on their way while the next ones are read.
    async fn post(&mut self, principal: Principal, batch: WriteBatch) {
        if let Err(failure) = self.metered_write(&batch) {
            return self.writes.push_back(std::future::ready(Reply::from(failure)).boxed());
        }
        // A broker may write what has a token another way than what has none.
        if self.line.turns(batch.token.is_some()) {
            while let Some(reply) = self.writes.next().await {
                self.answered(reply);
            }
        }
        let (services, place) = (Arc::clone(&self.services), self.line.stand());
        let write = async move { write::write(&services, &principal, batch, place).await };
        let mut write = write.boxed();
        match futures::poll!(&mut write) {
            Poll::Ready(reply) => self.writes.push_back(std::future::ready(reply).boxed()),
            Poll::Pending => self.writes.push_back(write),
        }
    }

    /// The oldest WRITE that was under way has ended.
    fn answered(&mut self, reply: Reply) {
        self.pace.pay_for_reply(&reply);
        self.session.reply(reply);
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
        let written = async {
            self.stream.write_all(&self.out).await?;
            // TLS may have kept some of it.
            self.stream.flush().await
        };
        let written = timeout(stalled, written).await;
        self.out.clear();
        taken(self.peer, written)
    }
}

/// What came of writing for as long as it may take.
fn taken<T>(peer: SocketAddr, written: Result<io::Result<T>, Elapsed>) -> Result<T, Gone> {
    written.map_or_else(
        |_| {
            tracing::info!(%peer, "the peer does not take what is sent");
            Err(Gone)
        },
        |written| written.map_err(|_| Gone),
    )
}

/// Waits until whoever came in may no longer stay.
async fn ended(standing: &mut Option<Standing>) -> Ended {
    match standing {
        Some(standing) => standing.ended().await,
        None => std::future::pending().await,
    }
}

/// What everybody is told at the end.
fn stopping() -> Failure {
    Failure::new(Code::Unavailable, "the host is shutting down")
}

/// What somebody is told who may no longer stay.
fn unwelcome(why: Ended) -> Failure {
    Failure::new(Code::AuthRequired, why.to_string())
}

/// Lets others have their turns, once enough has been done; now it was a command, or so many octets.
async fn others_turn(octets: usize) {
    for _ in 0..=octets / PIECE {
        consume_budget().await;
    }
}
