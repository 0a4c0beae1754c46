//! From an address to a greeted connection, under TLS where it has to be.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fnap::{ClientSession, Command};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::client::TlsStream;

use super::offer::Offer;
use super::wire::{self, Reader, Writer};
use super::{Connection, Limit, MAX_LINE, tls};
use crate::config::{Agent, TlsMode};
use crate::error::Error;
use crate::trace::Trace;

/// A follower may be silent for days; a host that vanished without a word is noticed within about
/// a minute and a half.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long an address has before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Most addresses of a name that are tried: all of them have had their turn long before [`CONNECT_TIMEOUT`](super::CONNECT_TIMEOUT).
const MAX_ADDRESSES: usize = 16;

/// What is done about TLS at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    Clear,
    StartTls,
    Implicit,
}

/// Connects, waits for the greeting, makes TLS of it, and asks what the host can do.
pub(super) async fn dial(agent: &Agent, trace: Trace) -> Result<Connection, Error> {
    let address = agent.address.to_string();
    trace.note(|| format!("C: Connecting to {address}"));
    let (stream, peer) = reach(agent).await?;
    match security(agent, is_loopback(peer))? {
        Security::Clear => greeted(agent, wire::clear(stream), trace).await,
        Security::Implicit => {
            let stream = handshake(agent, stream, &trace).await?;
            greeted(agent, wire::tls(stream), trace).await
        }
        Security::StartTls => {
            let connection = greeted(agent, wire::clear(stream), trace).await?;
            connection.start_tls(agent).await
        }
    }
}

/// A connection to one of the addresses of the host.
pub(super) async fn reach(agent: &Agent) -> Result<(TcpStream, SocketAddr), Error> {
    let unreachable = |error: std::io::Error| Error::Unreachable {
        address: agent.address.to_string(),
        reason: error.to_string(),
    };
    let addresses = match agent.at.as_slice() {
        [] => {
            let looked = lookup_host((agent.address.host(), agent.address.port())).await;
            looked.map_err(unreachable)?.take(MAX_ADDRESSES).collect()
        }
        addresses => addresses.to_vec(),
    };
    let stream = first_of(addresses).await.map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(unreachable)?;
    Ok((stream, peer))
}

/// The first of the addresses that answers. Each next one is tried as soon as one before it has failed, or has not answered for
/// a moment (as RFC 8305, section 5): one that drops every packet holds nobody up.
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let (mut addresses, mut tries) = (addresses.into_iter(), JoinSet::new());
    let mut why = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address");
    loop {
        if let Some(address) = addresses.next() {
            tries.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            tried = tries.join_next() => match tried {
                None => return Err(why),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => why = error,
                Some(Err(error)) => why = io::Error::other(error),
            },
            () = sleep(NEXT_ADDRESS), if addresses.len() > 0 => {}
        }
    }
}

pub(super) fn security(agent: &Agent, loopback: bool) -> Result<Security, Error> {
    // Who answers for a name can let it lead to loopback, where anybody may listen: nobody's secret goes there in clear.
    let is_here = loopback && (agent.address.is_literal() || agent.login.is_nobody());
    match agent.tls.mode {
        Some(TlsMode::Implicit) => Ok(Security::Implicit),
        Some(TlsMode::StartTls) => Ok(Security::StartTls),
        Some(TlsMode::Never) if loopback || agent.tls.allow_plaintext => Ok(Security::Clear),
        Some(TlsMode::Never) => Err(Error::Plaintext(agent.address.to_string())),
        // Who says whom to believe wants somebody believed, also on loopback: any user can listen there.
        None if !is_here || agent.tls.ca_file.is_some() || agent.login.certificate.is_some() => {
            Ok(Security::StartTls)
        }
        None => Ok(Security::Clear),
    }
}

async fn greeted(
    agent: &Agent,
    streams: (Reader, Writer),
    trace: Trace,
) -> Result<Connection, Error> {
    let mut connection = over(agent, streams, trace);
    connection.greeted().await?;
    connection.ask_for_offer().await?;
    Ok(connection)
}

/// A connection on which nothing was said yet.
pub(super) fn over(agent: &Agent, (reader, writer): (Reader, Writer), trace: Trace) -> Connection {
    let mut session = ClientSession::new(MAX_LINE);
    session.connecting();
    Connection {
        address: agent.address.to_string(),
        greeting: String::new(),
        reader,
        writer,
        session,
        trace,
        offer: Offer::default(),
        mechanism: None,
        limit: Limit::default(),
    }
}

pub(super) async fn handshake(
    agent: &Agent,
    stream: TcpStream,
    trace: &Trace,
) -> Result<TlsStream<TcpStream>, Error> {
    let stream = tls::handshake(agent, stream).await?;
    trace.note(|| {
        let version = stream.get_ref().1.protocol_version();
        let version = version.and_then(|version| version.as_str()).unwrap_or("TLS");
        format!("C: {version} with {}", agent.server_name())
    });
    Ok(stream)
}

impl Connection {
    pub(super) async fn ask_for_offer(&mut self) -> Result<(), Error> {
        self.offer = match self.command(&Command::Capabilities).await {
            Ok(answer) => Offer::read(&answer.data),
            Err(Error::Refused(failure)) if Offer::is_unknown(&failure) => Offer::default(),
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// STARTTLS. What the host said before counts no more.
    async fn start_tls(self, agent: &Agent) -> Result<Self, Error> {
        self.start_tls_seen(agent, &mut |_| {}).await
    }

    /// The same; what came of the handshake is shown to somebody.
    pub(super) async fn start_tls_seen(
        mut self,
        agent: &Agent,
        seen: &mut (dyn FnMut(&TlsStream<TcpStream>) + Send),
    ) -> Result<Self, Error> {
        if !self.offer.starttls {
            return Err(self.no_tls("it does not offer starttls"));
        }
        match self.command(&Command::StartTls).await {
            Ok(_) => {}
            Err(Error::Refused(failure)) => {
                return Err(self.no_tls(&format!("it offers starttls and refuses it: {failure}")));
            }
            Err(error) => return Err(error),
        }
        // Whatever came with the answer is told here, before it could be taken for an answer.
        if let Some(event) = self.session.next_event() {
            return Err(self.unexpected(event));
        }
        let Self { address, greeting, reader, writer, mut session, trace, limit, .. } = self;
        let broken = || Error::Broken { address: address.clone(), reason: "lost".to_owned() };
        let stream = wire::unite(reader, writer).ok_or_else(broken)?;
        let stream = handshake(agent, stream, &trace).await?;
        seen(&stream);
        session.tls_established().map_err(|error| Error::Distrusted {
            address: address.clone(),
            reason: error.to_string(),
        })?;
        let (reader, writer) = wire::tls(stream);
        let (offer, mechanism) = (Offer::default(), None);
        let mut secured =
            Self { address, greeting, reader, writer, session, trace, offer, mechanism, limit };
        secured.ask_for_offer().await?;
        Ok(secured)
    }

    fn no_tls(&self, why: &str) -> Error {
        let reason = format!(
            "{why}, so nothing is sent: a host without tls needs tls = \"never\", one that begins with tls needs tls = \"implicit\""
        );
        Error::Tls { address: self.address.clone(), reason }
    }
}

pub(super) fn is_loopback(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;

    fn decided(tls: Tls, loopback: bool) -> Result<Security, Error> {
        let agent = Agent { tls, ..Agent::stranger("127.0.0.1:1".parse().unwrap()) };
        security(&agent, loopback)
    }

    #[test]
    fn addresses_that_are_not_loopback_need_tls_unless_that_is_said_twice() {
        let required = Security::StartTls;
        let mode = |mode| Tls { mode: Some(mode), ..Tls::default() };
        assert_eq!(decided(Tls::default(), false).unwrap(), required);
        assert_eq!(decided(mode(TlsMode::StartTls), true).unwrap(), required);
        assert_eq!(decided(mode(TlsMode::Implicit), true).unwrap(), Security::Implicit);
        assert_eq!(decided(mode(TlsMode::Never), true).unwrap(), Security::Clear);
        let refused = decided(mode(TlsMode::Never), false).unwrap_err();
        assert!(matches!(refused, Error::Plaintext(_)), "{refused}");
        let twice = Tls { allow_plaintext: true, ..mode(TlsMode::Never) };
        assert_eq!(decided(twice, false).unwrap(), Security::Clear);
    }

    #[test]
    fn a_name_that_leads_to_loopback_takes_tls_from_nobody_who_has_a_secret() {
        let nobody = Agent::stranger("fnaa.unix.ar:1".parse().unwrap());
        assert_eq!(security(&nobody, true).unwrap(), Security::Clear);
        let ana = || crate::secret::Password::new("sesame".to_owned());
        let named = nobody.clone().with_password("ana", ana());
        assert_eq!(security(&named, true).unwrap(), Security::StartTls);
        for literal in ["127.0.0.1:1", "[::1]:1", "localhost:1"] {
            let here = Agent::stranger(literal.parse().unwrap()).with_password("ana", ana());
            assert_eq!(security(&here, true).unwrap(), Security::Clear, "{literal}");
        }
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_up_no_other() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        // A queue that is full: whoever comes then gets no answer at all.
        let full =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(silent)).await
        {
            held.push(stream.unwrap());
        }
        let closed = "127.0.0.1:1".parse().unwrap();
        let stream = first_of(vec![silent, closed, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        assert!(first_of(vec![closed]).await.is_err());
        assert!(first_of(vec![]).await.is_err());
    }

    #[test]
    fn on_loopback_tls_is_needed_where_an_authority_is_known() {
        assert_eq!(decided(Tls::default(), true).unwrap(), Security::Clear);
        let known = Tls { ca_file: Some("ca.pem".into()), ..Tls::default() };
        assert_eq!(decided(known, true).unwrap(), Security::StartTls);
    }
}
