//! The certificate authorities that are believed about names.

use std::path::Path;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

use crate::SetupError;

/// Certificate authorities.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

impl Roots {
    /// The authorities of a file in PEM, and of no other.
    ///
    /// # Errors
    /// When the file cannot be read, or something in it is no authority, or there is none.
    pub fn of_file(path: &Path) -> Result<Self, SetupError> {
        let wrong = |reason: String| SetupError::Authorities { path: path.to_owned(), reason };
        let mut roots = Self::default();
        let found =
            CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.anchors.is_empty() {
            return Err(wrong("no certificate in it".to_owned()));
        }
        Ok(roots)
    }

    /// The public ones, as the system keeps them. What of them cannot be read is left out; a system that
    /// keeps none gives none.
    #[must_use]
    pub fn of_the_system() -> Self {
        let mut roots = Self::default();
        let found = rustls_native_certs::load_native_certs();
        let count = found.certs.len();
        let taken = found.certs.into_iter().filter_map(|der| roots.add(der).ok()).count();
        if taken < count || count == 0 {
            tracing::debug!(count, taken, "certificate authorities of the system");
        }
        roots
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.anchors.len()
    }

    /// Their certificates.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.certificates.iter()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The certificate of an authority.
    pub(crate) fn certificate(&self, of: &TrustAnchor<'_>) -> Option<&CertificateDer<'static>> {
        let at = self.anchors.iter().position(|anchor| anchor == of)?;
        self.certificates.get(at)
    }

    fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), webpki::Error> {
        let anchor = anchor_from_trusted_cert(&certificate)?.to_owned();
        self.anchors.push(anchor);
        self.certificates.push(certificate);
        Ok(())
    }
}
