//! From files to what a handshake needs; checks that they belong together.
//!
//! Reads no more than [`MAX_FILE`] of each, and keeps no copy of a key but the one in use.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::TlsFiles;
use super::any_client::AnyClient;

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Others than its owner can read the key.
    #[error(
        "{path}: mode is {mode:04o}: others can read the key (chmod 600, or 640 where root owns it)"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A file holds something else.
    #[error("{path}: {what}")]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The key is another certificate's.
    #[error("{key} is not the key of the certificate in {certificate}")]
    Mismatch {
        /// The file with the certificate.
        certificate: String,
        /// The file with the key.
        key: String,
    },
}

/// What stands in the files.
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// What new connections get.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// Whose word on clients is taken.
    pub(super) authority: Option<Arc<dyn ClientCertVerifier>>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    /// So many seconds before it expires it is time to say so.
    pub(super) warn_before: i64,
}

impl Contents {
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.certificate, &*self.key, self.client_ca.as_ref().unwrap_or(&Vec::new())]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

impl Loaded {
    pub(super) fn not_after_text(&self) -> String {
        text_of(self.not_after)
    }

    /// Why clients refuse the certificate at this time, in seconds since 1970; none where they do not.
    pub(super) fn out_of_time(&self, now: i64) -> Option<String> {
        if self.not_after <= now {
            Some("has expired".to_owned())
        } else if self.not_before > now {
            Some(format!("is not valid before {}", text_of(self.not_before)))
        } else {
            None
        }
    }
}

fn text_of(time: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(time).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

pub(super) fn read(files: &TlsFiles) -> Result<Contents, TlsError> {
    Ok(Contents {
        certificate: read_file(&files.certificate)?,
        key: read_key(&files.key)?,
        client_ca: files.client_ca.as_deref().map(read_file).transpose()?,
    })
}

pub(super) fn load(files: &TlsFiles, contents: &Contents) -> Result<Loaded, TlsError> {
    let chain = certificates(&files.certificate, &contents.certificate)?;
    let wrong = |path: &Path, what: String| TlsError::Wrong { path: shown(path), what };
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|_| wrong(&files.key, "no private key (one without a password)".to_owned()))?;
    let (not_before, not_after) = validity(&files.certificate, &chain)?;
    let authority = match (&files.client_ca, &contents.client_ca) {
        (Some(path), Some(pem)) => Some(authority(path, pem)?),
        _ => None,
    };
    let config = config(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: shown(&files.certificate), key: shown(&files.key) }
        }
        error => wrong(&files.certificate, error.to_string()),
    })?;
    let life = not_after.saturating_sub(not_before);
    let warn_before = WARN_BEFORE.min(life / 3);
    Ok(Loaded { config: Arc::new(config), authority, not_before, not_after, warn_before })
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(default_provider());
    let clients = AnyClient::new(&provider);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain, key)?;
    // A client of another protocol that was sent here is refused (RFC 7301); one that names none is not.
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Without it two connections of TLS 1.2 can have one master secret, and a client's certificate says nothing of which of
    // them is his (RFC 7627, section 1). Those who do not have it are older than 2015.
    config.require_ems = true;
    // A certificate is looked at for every connection, so that what was taken back ends with the next one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn authority(path: &Path, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let wrong = |what: String| TlsError::Wrong { path: shown(path), what };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| wrong(error.to_string()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("no certificate".to_owned()),
        Err(error) => Err(format!("no pem: {error}")),
    }
    .map_err(|what| TlsError::Wrong { path: shown(path), what })
}

/// Since when and until when the first of them can be used.
fn validity(path: &Path, chain: &[CertificateDer<'_>]) -> Result<(i64, i64), TlsError> {
    let leaf = chain.first().map_or(&[][..], |leaf| leaf);
    let parsed = x509_parser::parse_x509_certificate(leaf);
    let (_, leaf) = parsed.map_err(|_| TlsError::Wrong {
        path: shown(path),
        what: "the first certificate is malformed".to_owned(),
    })?;
    let validity = leaf.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Reads a key that nobody else can read; a group may where root owns it, as what mounts secrets and PostgreSQL have it.
fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| unreadable(path, error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o7777;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(TlsError::Exposed { path: shown(path), mode });
    }
    read_whole(path, file).map(Zeroizing::new)
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_whole(path, open(path)?)
}

fn open(path: &Path) -> Result<File, TlsError> {
    File::open(path).map_err(|error| unreadable(path, error.to_string()))
}

fn unreadable(path: &Path, reason: String) -> TlsError {
    TlsError::Unreadable { path: shown(path), reason }
}

fn read_whole(path: &Path, file: File) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let length = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    match length.map_err(|error| unreadable(path, error.to_string()))? {
        length if length as u64 > MAX_FILE => {
            Err(unreadable(path, format!("larger than {MAX_FILE} octets")))
        }
        _ => Ok(bytes),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What the protocol is called in a handshake.
const ALPN: &[u8] = b"fnap";

/// Octets of a file: all authorities that a browser knows are a fifth of it.
const MAX_FILE: u64 = 1024 * 1024;

/// A certificate that has less than this left, or less than a third of its life, should have been renewed:
/// those of 90 days are renewed 30 days before their end.
const WARN_BEFORE: i64 = 14 * 86_400;
