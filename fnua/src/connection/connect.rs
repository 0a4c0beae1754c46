//! From an address to a greeted connection.

use std::net::SocketAddr;
use std::time::Duration;

use fnap::ClientSession;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::{Connection, MAX_LINE};
use crate::config::Agent;
use crate::error::Error;
use crate::trace::Trace;

/// A follower may be silent for days; a host that vanished without a word is noticed within about
/// a minute and a half.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Connects and waits for the greeting.
pub(super) async fn dial(agent: &Agent, trace: Trace) -> Result<Connection, Error> {
    let address = agent.address.to_string();
    trace.note(|| format!("C: Connecting to {address}"));
    let target = (agent.address.host(), agent.address.port());
    let unreachable = |error: std::io::Error| Error::Unreachable {
        address: address.clone(),
        reason: error.to_string(),
    };
    let stream = TcpStream::connect(target).await.map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?;
    if agent.credentials.is_some() && !agent.allow_plaintext && !is_loopback(peer) {
        return Err(Error::Plaintext(address));
    }
    stream.set_nodelay(true).map_err(unreachable)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(unreachable)?;
    let (reader, writer) = stream.into_split();
    let mut session = ClientSession::new(MAX_LINE);
    session.connecting();
    let mut connection = Connection {
        address,
        greeting: String::new(),
        reader: Box::new(reader),
        writer: Box::new(writer),
        session,
        trace,
    };
    connection.greeted().await?;
    Ok(connection)
}

fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}
