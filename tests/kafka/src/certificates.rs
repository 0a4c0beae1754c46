//! A certificate authority of one node, its server certificate and one for a client.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

/// Files in PEM, in the node's folder.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate: what a client trusts.
    pub ca: PathBuf,
    /// A client's certificate, for nodes that ask for one; its subject is `CN=client`.
    pub client: PathBuf,
    /// The client's private key, without a password.
    pub client_key: PathBuf,
    /// Private key and certificate of the server in one file, as Kafka reads them.
    pub(crate) server: PathBuf,
}

impl Certificates {
    /// Makes them for a server at `ip`.
    pub(crate) fn make(dir: &Path, ip: IpAddr) -> Self {
        let mut params = named("authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut server = named("server");
        server.subject_alt_names = vec![SanType::IpAddress(ip)];
        let (server, server_key) = signed(&server, &ca);
        let (client, client_key) = signed(&named("client"), &ca);
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            ca: file("ca.pem", ca.pem()),
            client: file("client.pem", client),
            client_key: file("client.key", client_key),
            server: file("server.pem", server_key + &server),
        }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Certificate and private key.
fn signed(params: &CertificateParams, ca: &CertifiedIssuer<'_, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, ca).unwrap().pem(), key.serialize_pem())
}
