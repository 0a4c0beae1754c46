//! Certificates for tests.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PublicKeyData as _, date_time_ymd,
};

use crate::{Chain, Roots};

/// An authority, itself signed or by another one.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(authority(name), key).unwrap() }
    }

    pub(crate) fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(authority(name), key, &self.issuer).unwrap();
        Self { issuer }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.issuer.key().subject_public_key_info()
    }

    /// A leaf's DER and public key.
    pub(crate) fn leaf(&self, params: &CertificateParams) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().to_vec(), key.subject_public_key_info())
    }

    /// The leaf of a host, good for everything.
    pub(crate) fn host(&self, names: &[&str]) -> Vec<u8> {
        self.leaf(&host(names)).0
    }

    pub(crate) fn roots(&self) -> Roots {
        let dir = tempfile::tempdir().unwrap();
        let path: &Path = &dir.path().join("ca.pem");
        std::fs::write(path, self.issuer.pem()).unwrap();
        Roots::of_file(path).unwrap()
    }
}

/// What stands in the certificate of a host.
pub(crate) fn host(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// The same, in the past.
pub(crate) fn expired(names: &[&str]) -> CertificateParams {
    let mut params = host(names);
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    params
}

pub(crate) fn chain(certificates: &[&[u8]]) -> Chain {
    let certificates: Vec<Vec<u8>> = certificates.iter().map(|der| der.to_vec()).collect();
    Chain::read(&certificates).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}
