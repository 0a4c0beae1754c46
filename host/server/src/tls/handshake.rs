//! One handshake as a server, within its time, and what it shows of the peer.

use std::net::SocketAddr;
use std::time::Duration;

use host_iam::Peer;
use host_observe::Traffic;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{InvalidMessage, ServerConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::material::Loaded;
use super::{Stream, Tls};

/// Why there was no handshake. Its words are for the log.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the peer speaks clear text")]
    ClearText,
    #[error("none within {} s", HANDSHAKE.as_secs())]
    TooSlow,
    #[error("the peer went away")]
    Gone,
    #[error("{0}")]
    Refused(rustls::Error),
}

/// Does the handshake and gives the encrypted stream and the peer; none, and a line in the log, where it
/// fails. Given up when the host stops.
pub(crate) async fn welcome(
    tls: &Tls,
    stream: TcpStream,
    peer: SocketAddr,
    traffic: &Traffic,
    mut stop: watch::Receiver<bool>,
) -> Option<(Stream, Peer)> {
    let loaded = tls.current();
    let done = tokio::select! {
        done = handshake(&loaded, stream) => done,
        _ = stop.wait_for(|stop| *stop) => return None,
    };
    match done {
        Ok(stream) => {
            let shown = shown(&loaded, peer, stream.get_ref().1);
            Some((Stream::Encrypted(Box::new(stream)), shown))
        }
        Err(failed) => {
            traffic.handshake_failures.one();
            tracing::info!(%peer, cause = %failed, "no tls handshake");
            None
        }
    }
}

async fn handshake(loaded: &Loaded, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failed> {
    let accept = TlsAcceptor::from(loaded.config.clone()).accept(stream).into_fallible();
    let accepted = tokio::time::timeout(HANDSHAKE, accept).await;
    let (error, mut stream) = match accepted.map_err(|_| Failed::TooSlow)? {
        Ok(stream) => return Ok(stream),
        Err(failed) => failed,
    };
    // The alert has been sent; the peer sees an end behind it, not a reset.
    let closed = stream.shutdown().await;
    tracing::trace!(?closed, "closed");
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    Err(match cause {
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            Failed::ClearText
        }
        Some(cause) => Failed::Refused(cause.clone()),
        None => Failed::Gone,
    })
}

fn shown(loaded: &Loaded, peer: SocketAddr, connection: &ServerConnection) -> Peer {
    let chain = connection.peer_certificates().unwrap_or_default();
    Peer {
        address: peer.ip().to_canonical(),
        encrypted: true,
        certificates: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        verified: is_verified(loaded, chain),
    }
}

/// Whether the operator's authority vouches for a client, now.
fn is_verified(loaded: &Loaded, chain: &[CertificateDer<'_>]) -> bool {
    let (Some(authority), Some((leaf, others))) = (&loaded.authority, chain.split_first()) else {
        return false;
    };
    authority.verify_client_cert(leaf, others, UnixTime::now()).is_ok()
}

/// Time for a handshake: three round trips to the moon and back, and a slow machine.
const HANDSHAKE: Duration = Duration::from_secs(10);
