//! TLS as a client, and the certificates of `fnaad cert`.

use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{self, CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::program;

/// A directory of certificates.
pub struct Certificates(PathBuf);

impl Certificates {
    /// `fnaad cert DIR/tls` with arguments.
    #[must_use]
    pub fn make(dir: &Path, args: &[&str]) -> Self {
        let made = Self(dir.join("tls"));
        made.more(args);
        made
    }

    /// Further ones, of the same authority.
    pub fn more(&self, args: &[&str]) {
        let mut command = Command::new(program("fnaad"));
        let output = command.arg("cert").arg(&self.0).args(args).output().expect("fnaad starts");
        assert!(output.status.success(), "{output:?}");
    }

    /// A file of them.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The authority, trusted by a client without a certificate.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::only(&self.file("ca.pem"))
    }
}

/// What a client trusts, and what it shows.
#[derive(Clone)]
pub struct Trust {
    ca: PathBuf,
    shown: Option<(PathBuf, PathBuf)>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Trust {
    /// One authority.
    #[must_use]
    pub fn only(ca: &Path) -> Self {
        Self { ca: ca.to_owned(), shown: None, versions: rustls::ALL_VERSIONS }
    }

    /// Shows a certificate of a directory: `user-ana`.
    #[must_use]
    pub fn showing(mut self, certificates: &Certificates, stem: &str) -> Self {
        let file = |ending| certificates.file(&format!("{stem}.{ending}"));
        self.shown = Some((file("pem"), file("key")));
        self
    }

    /// Speaks these versions only.
    #[must_use]
    pub fn speaking(mut self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    pub(crate) fn wrap(&self, stream: TcpStream, name: ServerName) -> Transport {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match &self.shown {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let connection = ClientConnection::new(Arc::new(config), name.0).unwrap();
        Transport::Tls(Box::new(StreamOwned::new(connection, stream)))
    }
}

/// Whom a client expects.
pub(crate) struct ServerName(pki_types::ServerName<'static>);

impl ServerName {
    /// The host of `HOST:PORT`.
    pub(crate) fn of(address: &str) -> Self {
        let (host, _) = address.rsplit_once(':').unwrap();
        Self(pki_types::ServerName::try_from(host.to_owned()).unwrap())
    }
}

/// What octets go through.
pub(crate) enum Transport {
    /// Clear text.
    Clear(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    pub(crate) fn handshake(&mut self) -> Result<()> {
        let Self::Tls(tls) = self else { return Ok(()) };
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(())
    }

    pub(crate) fn shown(&self) -> Option<Vec<u8>> {
        let Self::Tls(tls) = self else { return None };
        tls.conn.peer_certificates()?.first().map(|leaf| leaf.to_vec())
    }

    pub(crate) fn socket(&self) -> TcpStream {
        match self {
            Self::Clear(stream) => stream.try_clone().unwrap(),
            Self::Tls(tls) => tls.sock.try_clone().unwrap(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
