//! Accepts connections, a task for each, as many as the operator allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fnap::server::{self, ServerOptions};
use host_iam::{Peer, Stranger};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::{Arrival, Connection};
use crate::places::Places;
use crate::services::Services;
use crate::tls::{Stream, Tls, welcome};

/// Wait after a failed accept, usually for want of file descriptors: a busy loop would not free any.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// Silence after which a peer's machine is asked whether it is still there; it is given up after as much
/// again. Who follows a flow may have nothing to say for days.
const ALIVE: Duration = Duration::from_secs(60);

/// Least time between two lines of the log about connections that were refused.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// WRITEs of one connection that may wait for the disk together. With four of them parsing and syncing
/// overlap; a connection holds at most so many MiB.
const WRITES_AT_ONCE: usize = 4;

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Most connections of the host at once; further ones are told `503` and closed.
    pub connections: usize,
    /// A connection that says nothing for so long is told `408` and closed.
    pub idle: Duration,
    /// A peer that does not take what is sent for so long is cut off.
    pub stalled: Duration,
    /// Longest line of a WRITE.
    pub max_data_line: usize,
}

/// What is spoken at an address.
#[derive(Clone, Debug)]
pub enum Speaks {
    /// Clear text.
    Clear {
        /// For STARTTLS; none where it is not offered.
        tls: Option<Arc<Tls>>,
        /// Whether somebody who comes over another address than loopback may authenticate in clear text:
        /// the operator named this one for it.
        named: bool,
    },
    /// TLS from the first octet on.
    Tls(Arc<Tls>),
}

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    speaks: Speaks,
    options: ListenerOptions,
    places: Arc<Places>,
}

impl Listener {
    /// Binds an address; port 0 takes a free one. Its connections take some of the host's `places`.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        speaks: Speaks,
        options: ListenerOptions,
        places: Arc<Places>,
    ) -> std::io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, speaks, options, places })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` becomes true, then waits for the connections to end.
    pub async fn serve(self, services: Arc<Services>, mut stop: watch::Receiver<bool>) {
        let mut refusals = Refusals::default();
        let mut tasks = JoinSet::new();
        let ending = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = tasks.join_next() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(cause = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                    continue;
                }
            };
            let Some((place, stranger)) = self.places.take(peer.ip()) else {
                services.traffic.connections_refused.one();
                refusals.one(peer, self.places.limit());
                self.refuse(&stream);
                continue;
            };
            services.traffic.connections.one();
            let (speaks, options) = (self.speaks.clone(), self.options.clone());
            let (services, ending) = (Arc::clone(&services), ending.clone());
            tasks.spawn(async move {
                let open = services.traffic.connections_open.hold();
                receive((stream, peer), stranger, speaks, options, &services, ending).await;
                drop((open, place));
            });
        }
        drop(self.socket);
        while tasks.join_next().await.is_some() {}
    }

    /// Says so without waiting: the peer may not even read. Before a handshake nothing can be said.
    fn refuse(&self, stream: &TcpStream) {
        if let Speaks::Clear { .. } = self.speaks {
            let sent = stream.try_write(b"503 UNAVAILABLE too many connections\r\n");
            tracing::trace!(?sent, "refusal sent");
        }
    }
}

/// Tells of refused connections once in a while: whoever is refused must not fill the log.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    since: u64,
}

impl Refusals {
    fn one(&mut self, peer: SocketAddr, limit: usize) {
        self.since += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            tracing::warn!(%peer, limit, refused = self.since, "too many connections");
            *self = Self { told: Some(Instant::now()), since: 0 };
        }
    }
}

/// One connection, from its first octet to its last.
async fn receive(
    (stream, peer): (TcpStream, SocketAddr),
    stranger: Stranger,
    speaks: Speaks,
    options: ListenerOptions,
    services: &Arc<Services>,
    stop: watch::Receiver<bool>,
) {
    // Replies are small and waited for. A machine that is gone without a word is noticed.
    let set = stream.set_nodelay(true).and_then(|()| {
        let probes = TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE / 4);
        SockRef::from(&stream).set_tcp_keepalive(&probes.with_retries(4))
    });
    if let Err(error) = set {
        tracing::debug!(%peer, cause = %error, "options of the socket could not be set");
    }
    let mut session = ServerOptions::new(services.hostname.clone());
    let arrival = match speaks {
        Speaks::Clear { tls, named } => {
            session.clear_text = named || is_loopback(&stream);
            if tls.is_some() {
                session.tls = server::Tls::Offered;
            }
            let who = Peer::in_clear(peer.ip().to_canonical());
            Arrival { stream: Stream::Clear(stream), peer, who, tls, stranger }
        }
        Speaks::Tls(tls) => {
            let done = welcome(&tls, stream, peer, &services.traffic, stop.clone()).await;
            let Some((stream, who)) = done else { return };
            let certificate = !who.certificates.is_empty();
            session.tls = server::Tls::Established { certificate };
            Arrival { stream, peer, who, tls: None, stranger }
        }
    };
    session.mechanisms = services.users.mechanisms();
    session.unannounced = services.users.unannounced();
    session.max_data_line = options.max_data_line;
    session.writes_at_once = WRITES_AT_ONCE;
    session.capabilities = capabilities(services);
    Connection::new(arrival, session, options, Arc::clone(services), stop).run().await;
}

/// Whether nothing of this connection leaves the machine.
fn is_loopback(stream: &TcpStream) -> bool {
    let local = stream.local_addr().map(|address| address.ip().to_canonical().is_loopback());
    local.unwrap_or(false)
}

fn capabilities(services: &Services) -> Vec<String> {
    let snapshot = services.catalog.snapshot();
    let available = snapshot.types.iter().filter(|(_, active)| active.available);
    let processors = available.map(|(name, _)| format!("PROCESSOR={name}"));
    let kafka = services.lender.offers().then(|| "KAFKA=1".to_owned());
    std::iter::once("STREAM=1".to_owned()).chain(kafka).chain(processors).collect()
}
