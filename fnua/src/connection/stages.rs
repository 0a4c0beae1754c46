//! A connection made stage by stage, for those who want to see where it ends.
//!
//! Does what [`Connection::open`] does, by the same means and in the same order, and shows each stage as it is passed.

use std::net::SocketAddr;
use std::time::Duration;

use fnap::sasl::Mechanism;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;

use super::connect::{Security, handshake, is_loopback, over, reach, security};
use super::{CONNECT_TIMEOUT, Connection, Need, silent, wire};
use crate::config::Agent;
use crate::error::Error;
use crate::trace::Trace;

/// A stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connect,
    Tls,
    Greeting,
    Authentication,
}

/// What a stage met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// An address that answers.
    Address(SocketAddr),
    /// No TLS, on loopback or where one has said so.
    Clear,
    /// TLS.
    Safety(Safety),
    /// What the host calls itself.
    Greeting(String),
    /// How one has proved oneself; none where that was not asked for.
    Somebody(Option<Mechanism>),
}

/// What protects a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Safety {
    /// Such as `TLSv1_3`.
    pub(crate) version: String,
    /// Names in the host's certificate, at most [`NAMES`].
    pub(crate) names: Vec<String>,
    /// When the certificate ends.
    pub(crate) until: String,
    /// Days until then.
    pub(crate) days: i64,
}

/// Names of a certificate that are shown.
const NAMES: usize = 8;

/// Shows stages: which one, what it met, and how long it took.
pub(crate) type Watch<'a> = dyn FnMut(Stage, Met, Duration) + Send + 'a;

impl Connection {
    /// Connects and authenticates; the error says at which stage it ended.
    pub(crate) async fn open_in_stages(
        agent: &Agent,
        trace: Trace,
        watch: &mut Watch<'_>,
    ) -> Result<Self, (Stage, Error)> {
        let mut clock = Clock { began: Instant::now(), watch };
        let (stream, peer) = limited(agent, Stage::Connect, reach(agent)).await?;
        clock.pass(Stage::Connect, Met::Address(peer));
        let kind = security(agent, is_loopback(peer)).map_err(|error| (Stage::Tls, error))?;
        let mut connection = match kind {
            Security::Implicit => {
                let made = handshake(agent, stream, &trace);
                let stream = limited(agent, Stage::Tls, made).await?;
                clock.pass(Stage::Tls, Met::Safety(safety(&stream)));
                over(agent, wire::tls(stream), trace)
            }
            Security::Clear | Security::StartTls => over(agent, wire::clear(stream), trace),
        };
        limited(agent, Stage::Greeting, connection.greeted()).await?;
        limited(agent, Stage::Greeting, connection.ask_for_offer()).await?;
        clock.pass(Stage::Greeting, Met::Greeting(connection.greeting().to_owned()));
        match kind {
            Security::StartTls => {
                let mut met = Safety::default();
                let mut seen = |stream: &TlsStream<TcpStream>| met = safety(stream);
                let secured = connection.start_tls_seen(agent, &mut seen);
                connection = limited(agent, Stage::Tls, secured).await?;
                clock.pass(Stage::Tls, Met::Safety(met));
            }
            Security::Clear => clock.pass(Stage::Tls, Met::Clear),
            Security::Implicit => {}
        }
        // No limit but that of each answer: a program may ask somebody for a password.
        let proved = connection.authenticate(agent, Need::Somebody).await;
        proved.map_err(|error| (Stage::Authentication, error))?;
        clock.pass(Stage::Authentication, Met::Somebody(connection.mechanism()));
        Ok(connection)
    }
}

async fn limited<T>(
    agent: &Agent,
    stage: Stage,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, (Stage, Error)> {
    let done = timeout(CONNECT_TIMEOUT, work).await;
    done.unwrap_or_else(|_| Err(silent(agent, CONNECT_TIMEOUT))).map_err(|error| (stage, error))
}

struct Clock<'a, 'b> {
    began: Instant,
    watch: &'a mut Watch<'b>,
}

impl Clock<'_, '_> {
    fn pass(&mut self, stage: Stage, met: Met) {
        let now = Instant::now();
        (self.watch)(stage, met, now - self.began);
        self.began = now;
    }
}

fn safety(stream: &TlsStream<TcpStream>) -> Safety {
    let session = stream.get_ref().1;
    let version = session.protocol_version().and_then(|version| version.as_str());
    let version = version.unwrap_or("TLS").to_owned();
    let own = session.peer_certificates().and_then(|chain| chain.first());
    Safety { version, ..own.map(of_certificate).unwrap_or_default() }
}

/// It has been verified, so it can be read; what cannot is left out.
fn of_certificate(certificate: &CertificateDer<'_>) -> Safety {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Safety::default();
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map_or(Vec::new(), |names| {
        names.value.general_names.iter().filter_map(shown).take(NAMES).collect()
    });
    let end = parsed.validity().not_after;
    let left = end.timestamp() - x509_parser::time::ASN1Time::now().timestamp();
    Safety { version: String::new(), names, until: end.to_string(), days: left.div_euclid(86_400) }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.escape_debug().to_string()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(std::net::IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*octets).map(std::net::IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
