//! Accepts connections, a task for each, as many as the operator allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fnap::server::ServerOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::services::Services;

/// Wait after a failed accept, usually for want of file descriptors: a busy loop would not free any.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// WRITEs of one connection that may wait for the disk together. With four of them parsing and syncing
/// overlap; a connection holds at most so many MiB.
const WRITES_AT_ONCE: usize = 4;

/// How a listener treats its connections.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Most connections at once; further ones are told `503` and closed.
    pub connections: usize,
    /// A connection that says nothing for so long is told `408` and closed.
    pub idle: Duration,
    /// A peer that does not take what is sent for so long is cut off.
    pub stalled: Duration,
    /// Passwords in the clear also on addresses that are not loopback.
    pub plain_anywhere: bool,
    /// Longest line of a WRITE.
    pub max_data_line: usize,
}

/// An address that is listened on.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    options: ListenerOptions,
}

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, options: ListenerOptions) -> std::io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, options })
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
        let permits = Arc::new(Semaphore::new(self.options.connections));
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
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                services.traffic.connections_refused.one();
                tracing::warn!(%peer, limit = self.options.connections, "too many connections");
                refuse(&stream);
                continue;
            };
            services.traffic.connections.one();
            let connection = self.connection(stream, peer, &services, &ending);
            tasks.spawn(async move {
                connection.run().await;
                drop(permit);
            });
        }
        drop(self.socket);
        while tasks.join_next().await.is_some() {}
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        services: &Arc<Services>,
        stop: &watch::Receiver<bool>,
    ) -> Connection<TcpStream> {
        // Replies are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, cause = %error, "no delay could not be set");
        }
        let local = stream.local_addr().map(|address| address.ip().is_loopback());
        let mut options = ServerOptions::new(services.hostname.clone());
        options.clear_text = self.options.plain_anywhere || local.unwrap_or(false);
        options.max_data_line = self.options.max_data_line;
        options.writes_at_once = WRITES_AT_ONCE;
        options.capabilities = capabilities(services);
        Connection::new(
            stream,
            peer,
            options,
            self.options.clone(),
            Arc::clone(services),
            stop.clone(),
        )
    }
}

/// Says so without waiting: the peer may not even read.
fn refuse(stream: &TcpStream) {
    let sent = stream.try_write(b"503 UNAVAILABLE too many connections\r\n");
    tracing::trace!(?sent, "refusal sent");
}

fn capabilities(services: &Services) -> Vec<String> {
    let snapshot = services.catalog.snapshot();
    let available = snapshot.types.iter().filter(|(_, active)| active.available);
    available.map(|(name, _)| format!("PROCESSOR={name}")).collect()
}
