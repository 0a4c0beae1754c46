//! TLS to a host: whom to believe, what to show of oneself, and words for what goes wrong.
//!
//! The host's name and its certificate's authority are always verified: nothing here can switch that off.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::private;
use crate::config::{Agent, Certificate, TlsMode};
use crate::error::Error;

/// Octets of a key's file: one of 16,384 bits is a fifth of it, and a certificate may stand beside it.
const MAX_KEY: u64 = 64 << 10;

/// Makes the handshake.
pub(super) async fn handshake(
    agent: &Agent,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = agent.server_name().to_owned();
    let wrong = |reason| Error::Tls { address: agent.address.to_string(), reason };
    let server = ServerName::try_from(name)
        .map_err(|_| wrong(format!("{} can be no certificate's name", agent.server_name())))?;
    let connector = TlsConnector::from(Arc::new(config(agent)?));
    connector.connect(server, stream).await.map_err(|error| failed(agent, &error))
}

fn config(agent: &Agent) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| Error::Usage(format!("tls: {error}"));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(authorities(agent.tls.ca_file.as_deref())?);
    match &agent.login.certificate {
        None => Ok(config.with_no_client_auth()),
        Some(own) => {
            let (chain, key) = own_certificate(own)?;
            config.with_client_auth_cert(chain, key).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => Error::Usage(format!(
                    "{} is not the key of the certificate in {}",
                    own.key.display(),
                    own.chain.display()
                )),
                other => Error::Usage(format!("certificate {}: {other}", own.chain.display())),
            })
        }
    }
}

fn authorities(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let reason = "the system has no certificates of authorities: name some with ca_file";
            return Err(Error::Usage(reason.to_owned()));
        }
        return Ok(store);
    };
    for certificate in certificates(path)? {
        store
            .add(certificate)
            .map_err(|error| Error::Usage(format!("ca_file {}: {error}", path.display())))?;
    }
    Ok(store)
}

fn own_certificate(
    own: &Certificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let text = private::read(&own.key, MAX_KEY).map_err(Error::Usage)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(&own.key, &error))?;
    Ok((certificates(&own.chain)?, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
    let found: Vec<_> =
        found.collect::<Result<_, _>>().map_err(|error| unreadable(path, &error))?;
    if found.is_empty() {
        return Err(Error::Usage(format!("{}: no certificate in it", path.display())));
    }
    Ok(found)
}

/// The library's errors about PEM repeat no content.
fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    Error::Usage(format!("{}: {error}", path.display()))
}

fn failed(agent: &Agent, error: &io::Error) -> Error {
    let address = agent.address.to_string();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(error) => Error::Tls { address, reason: reason(agent, error) },
        None => Error::Broken { address, reason: format!("in the tls handshake: {error}") },
    }
}

fn reason(agent: &Agent, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => distrusted(agent, error),
        rustls::Error::InvalidMessage(_) if agent.tls.mode == Some(TlsMode::Implicit) => {
            "what answers there does not speak tls at once; is tls = \"starttls\" meant?".to_owned()
        }
        rustls::Error::InvalidMessage(_) => {
            "what follows its answer to starttls is no handshake".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the host ended the handshake: {alert:?}"),
        other => other.to_string(),
    }
}

fn distrusted(agent: &Agent, error: &CertificateError) -> String {
    let name = agent.server_name();
    match error {
        CertificateError::NotValidForName => format!("its certificate is not for {name}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("its certificate is not for {name} but for {}", names(presented))
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = time.as_secs().saturating_sub(not_after.as_secs());
            format!("its certificate has expired {} ago", rough(Duration::from_secs(since)))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = not_before.as_secs().saturating_sub(time.as_secs());
            let until = rough(Duration::from_secs(until));
            format!("its certificate is valid in {until} only; is the clock right?")
        }
        CertificateError::UnknownIssuer => match &agent.tls.ca_file {
            Some(path) => {
                format!("its certificate is of no authority in {}", path.display())
            }
            None => "its certificate is of an unknown authority; ca_file names another".to_owned(),
        },
        CertificateError::BadSignature => {
            "its certificate is not signed by the authority that it names".to_owned()
        }
        other => format!("its certificate is not good: {other}"),
    }
}

/// The library writes names as `DnsName("a.example")` and `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_matches([')', '"']).to_owned()
    };
    let shown: Vec<_> = presented.iter().take(MAX_NAMES).map(bare).collect();
    if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
}

fn rough(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        seconds @ 0..120 => (seconds, "s"),
        seconds @ 120..7_200 => (seconds / 60, "min"),
        seconds @ 7_200..172_800 => (seconds / 3_600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

/// A certificate for a hundred names is not shown whole.
const MAX_NAMES: usize = 5;
