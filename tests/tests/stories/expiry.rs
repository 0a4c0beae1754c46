//! What somebody came in with expires while he is there.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use stories::{A, Certificates, Config, Fnaad, Trust, Wire};

const EXPIRED: &str = "401 AUTH_REQUIRED the certificate has expired, authenticate again";

/// How long a certificate lives that is to expire: long enough for a slow machine to come in with it.
const LIFE: Duration = Duration::from_secs(20);

/// A certificate of ana's by the authority of a directory, which expires soon.
fn brief(certificates: &Certificates, stem: &str) {
    let read = |name: &str| std::fs::read_to_string(certificates.file(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    let authority = Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names.push(SanType::URI("fnap:user:ana".try_into().unwrap()));
    params.not_after = (SystemTime::now() + LIFE).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(certificates.file(&format!("{stem}.pem")), certificate.pem()).unwrap();
    std::fs::write(certificates.file(&format!("{stem}.key")), key.serialize_pem()).unwrap();
}

fn host(dir: &Path) -> (Fnaad, Certificates) {
    let certificates = Certificates::make(dir, &["--name", "127.0.0.1", "--client", "user:ana"]);
    let mut config = Config::new(dir).with_users(&["ana"]);
    let tls = "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"tls/server.pem\"\n\
        key_file = \"tls/server.key\"\nclient_ca_file = \"tls/ca.pem\"\n";
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{tls}\n[[namespaces]]"), 1);
    (Fnaad::serve(dir, config.save()), certificates)
}

fn come(host: &Fnaad, trust: &Trust) -> Wire {
    let mut wire = Wire::connect_tls(host.tls_address(), trust).unwrap();
    assert_eq!(wire.ask("AUTHENTICATE EXTERNAL ="), ["220 Authenticated"]);
    wire
}

#[test]
fn a_connection_ends_with_the_certificate_that_it_came_in_with_also_while_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let mut root = host.login_as("test", "test");
    root.ok(&format!("CREATE FLOW {A}"));
    root.ok(&format!("GRANT read ON {A} TO user:ana"));
    brief(&certificates, "brief");
    let soon = certificates.trust().showing(&certificates, "brief");
    let late = certificates.trust().showing(&certificates, "user-ana");
    let (mut idle, mut reader) = (come(&host, &soon), come(&host, &soon));
    // He proved a password: that his certificate ends is nothing to him.
    let mut password = Wire::connect_tls(host.tls_address(), &soon).unwrap();
    password.authenticate("ana", "test");
    let mut other = come(&host, &late);
    reader.send(format!("READ {A} FOLLOW\r\n").as_bytes());
    assert_eq!(reader.line(), "220 DATA");
    assert_eq!(idle.rest(), [EXPIRED]);
    let told = reader.rest();
    assert!(!told.is_empty() && told.iter().all(|line| line == EXPIRED), "{told:?}");
    other.ok("NOOP");
    password.ok("NOOP");
    let mut again = Wire::connect_tls(host.tls_address(), &soon).unwrap();
    assert!(again.refused("AUTHENTICATE EXTERNAL =").starts_with("401 AUTH_REQUIRED "));
}
