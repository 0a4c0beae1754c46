//! TLS to another host: whose certificate is believed, and what we show of ourselves.
//!
//! | DNS says | what the certificate has to be |
//! |---|---|
//! | TLSA of the host and port, all of it proven by DNSSEC | one that a TLSA record means; an authority's word counts for nothing |
//! | anything else | from a trusted authority, with the name of the host that the SRV record names |
//!
//! Nothing here can switch that off, and a host without authorities believes nobody.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fnap::name::Name;
use host_names::{Chain, Published, Roots, Tlsa, published};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::error::Why;

/// The files of the host's own certificate. They are read for each connection, so that what was renewed counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// PEM: the certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub key: PathBuf,
}

/// Makes the handshake with a host of that name.
pub(super) async fn handshake(
    host: &Name,
    stream: TcpStream,
    config: ClientConfig,
) -> Result<TlsStream<TcpStream>, Why> {
    let server = ServerName::try_from(host.to_string())
        .map_err(|_| Why::Certificate(format!("{host} can be no certificate's name")))?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(server, stream).await.map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidCertificate(wrong)) => Why::Certificate(distrusted(host, wrong)),
            Some(Error::InvalidMessage(_)) => {
                Why::Protocol("what answers there is no tls handshake".to_owned())
            }
            Some(Error::AlertReceived(alert)) => {
                Why::Protocol(format!("the host ended the handshake: {alert:?}"))
            }
            _ => Why::Broken(format!("in the tls handshake: {error}")),
        }
    })
}

/// What is shown and believed on a connection to a host.
pub(super) fn config(
    host: &Name,
    tlsa: Vec<Tlsa>,
    roots: &Roots,
    own: Option<&OwnCertificate>,
) -> Result<ClientConfig, Why> {
    let provider = Arc::new(default_provider());
    let verifier = Vouched {
        authorities: authorities(roots)?,
        algorithms: provider.signature_verification_algorithms,
        tlsa,
        host: host.clone(),
        roots: roots.clone(),
    };
    let ours = |error: Error| Why::Ours(format!("tls: {error}"));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ours)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = read(own)?;
            config.with_client_auth_cert(chain, key).map_err(ours)?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn authorities(roots: &Roots) -> Result<Option<Arc<WebPkiServerVerifier>>, Why> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.certificates().cloned());
    if store.is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
    verifier.map(Some).map_err(|error| Why::Ours(format!("certificate authorities: {error}")))
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(own: &OwnCertificate) -> Result<Own, Why> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        Why::Ours(format!("{}: {error}", path.display()))
    };
    let open = |path: &Path| {
        let mut octets = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(path).map_err(|error| wrong(path, &error))?;
        file.take(MAX_FILE).read_to_end(&mut octets).map_err(|error| wrong(path, &error))?;
        Ok::<_, Why>(octets)
    };
    let chain = CertificateDer::pem_slice_iter(&open(&own.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(&own.certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(&own.certificate, &"no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&open(&own.key)?);
    // The library's words about PEM may repeat what stands there.
    Ok((chain, key.map_err(|_| wrong(&own.key, &"no private key in it"))?))
}

/// Believes authorities, or what DNSSEC proves of a certificate.
#[derive(Debug)]
struct Vouched {
    /// None where there are no authorities.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Proven, or empty.
    tlsa: Vec<Tlsa>,
    host: Name,
    roots: Roots,
}

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(leaf).chain(issuers).map(|der| der.to_vec());
        let chain = Chain::read(&all.collect::<Vec<_>>());
        let chain = chain.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match published(&self.tlsa, &chain, &self.host, &self.roots) {
            Published::This => Ok(ServerCertVerified::assertion()),
            Published::Other => {
                let why = CertificateError::ApplicationVerificationFailure;
                Err(Error::InvalidCertificate(why))
            }
            Published::Nothing => match &self.authorities {
                Some(known) => known.verify_server_cert(leaf, issuers, name, ocsp, now),
                None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn distrusted(host: &Name, error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate is not for {host}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no trusted authority vouches for the certificate".to_owned()
        }
        CertificateError::ApplicationVerificationFailure => {
            "the tlsa records of the host mean other certificates".to_owned()
        }
        other => format!("the certificate is not good: {other}"),
    }
}

/// What the protocol is called in a handshake.
const ALPN: &[u8] = b"fnap";

/// Octets of a file: the longest chains have four certificates.
const MAX_FILE: u64 = 1 << 20;
