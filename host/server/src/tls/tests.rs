//! Real handshakes over loopback, and files that change.

use std::net::Ipv4Addr;
use std::path::Path;

use host_iam::Peer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::any_client::{MAX_CHAIN, MAX_OCTETS};
use super::*;

/// An authority, and what it signs.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Certificate and key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// The same, good since so many seconds and for so many days.
    fn sign_for(&self, seconds: i64, days: i64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["fnaa.test".to_owned()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::seconds(seconds);
        // An hour more, so that whole days are left while this runs.
        params.not_after = now + time::Duration::days(days) + time::Duration::hours(1);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn write(dir: &Path, (certificate, key): (String, String), ca: Option<&Authority>) -> TlsFiles {
    let file = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text).unwrap();
        dir.join(name)
    };
    let files = TlsFiles {
        certificate: file("c.pem", &certificate),
        key: file("k.pem", &key),
        client_ca: ca.map(|ca| file("ca.pem", &ca.1)),
    };
    set_mode(&files.key, 0o600);
    files
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Shows a certificate whoever asks for whatever.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn client(
    trusted: &Authority,
    version: &'static SupportedProtocolVersion,
    shown: Option<(String, String)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(der(&trusted.1)).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let Some((certificate, key)) = shown else { return config.with_no_client_auth() };
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap);
    let key = CertifiedKey::new(chain.collect(), any_supported_type(&key).unwrap());
    config.with_client_cert_resolver(Arc::new(Shows(Arc::new(key))))
}

type Client = std::io::Result<TlsStream<TcpStream>>;

/// Both ends of a handshake.
async fn meet(tls: &Tls, client: ClientConfig) -> (Option<(Stream, Peer)>, Client) {
    let (server, own) = pair().await;
    let name = ServerName::try_from("fnaa.test").unwrap();
    let connect = TlsConnector::from(Arc::new(client)).connect(name, own);
    let traffic = crate::traffic();
    let (_keep, stop) = watch::channel(false);
    let peer = server.peer_addr().unwrap();
    tokio::join!(welcome(tls, server, peer, &traffic, stop), connect)
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, own)
}

/// A host's end that waits, and a client's socket.
async fn waiting(tls: &Arc<Tls>) -> (tokio::task::JoinHandle<bool>, TcpStream) {
    let (server, own) = pair().await;
    let (tls, peer) = (Arc::clone(tls), server.peer_addr().unwrap());
    let waiting = tokio::spawn(async move {
        let (_keep, stop) = watch::channel(false);
        welcome(&tls, server, peer, &crate::traffic(), stop).await.is_some()
    });
    (waiting, own)
}

#[tokio::test]
async fn a_handshake_shows_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, stranger) = (Authority::new(), Authority::new());
    let tls = Tls::open(write(dir.path(), ca.sign("fnaa.test"), Some(&ca))).unwrap();
    for version in [&TLS12, &TLS13] {
        let (known, unknown) = (ca.sign("ana.test"), stranger.sign("bo.test"));
        let shown = [(None, false), (Some(known), true), (Some(unknown), false)];
        for (shown, verified) in shown {
            let (server, client) = meet(&tls, client(&ca, version, shown.clone())).await;
            let (_, peer) = server.unwrap();
            client.unwrap();
            let certificates: Vec<Vec<u8>> =
                shown.iter().map(|(pem, _)| der(pem).to_vec()).collect();
            assert_eq!(peer.certificates, certificates);
            assert!(peer.encrypted && peer.verified == verified, "{version:?}");
        }
    }
}

#[tokio::test]
async fn without_an_authority_nobody_is_verified_and_certificates_are_taken_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let tls = Tls::open(write(dir.path(), ca.sign("fnaa.test"), None)).unwrap();
    let (server, _client) = meet(&tls, client(&ca, &TLS13, Some(ca.sign("ana.test")))).await;
    let (_, peer) = server.unwrap();
    assert!(!peer.verified && peer.certificates.len() == 1);
}

#[tokio::test]
async fn a_client_shows_so_many_certificates_of_so_many_octets_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let tls = Tls::open(write(dir.path(), ca.sign("fnaa.test"), Some(&ca))).unwrap();
    let large = |octets: usize| {
        let names: Vec<String> = (0..octets / 64).map(|n| format!("{n:0>57}.test")).collect();
        let (params, key) = (CertificateParams::new(names).unwrap(), KeyPair::generate().unwrap());
        (params.signed_by(&key, &ca.0).unwrap().pem(), key.serialize_pem())
    };
    let times = |times: usize| {
        let (certificate, key) = ca.sign("ana.test");
        (certificate.repeat(times), key)
    };
    for version in [&TLS12, &TLS13] {
        for (shown, taken) in [
            (times(MAX_CHAIN), true),
            (times(MAX_CHAIN + 1), false),
            (large(MAX_OCTETS - 2048), true),
            (large(MAX_OCTETS + 64), false),
        ] {
            let (server, _) = meet(&tls, client(&ca, version, Some(shown))).await;
            assert_eq!(server.is_some(), taken, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_whose_key_the_client_does_not_have_ends_the_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let tls = Tls::open(write(dir.path(), ca.sign("fnaa.test"), Some(&ca))).unwrap();
    for version in [&TLS12, &TLS13] {
        let ((stolen, _), (_, own)) = (ca.sign("ana.test"), ca.sign("bo.test"));
        let (server, client) = meet(&tls, client(&ca, version, Some((stolen, own)))).await;
        assert!(server.is_none(), "{version:?}");
        drop(client);
    }
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused_and_one_that_names_none_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let tls = Tls::open(write(dir.path(), ca.sign("fnaa.test"), None)).unwrap();
    for (protocol, taken) in [(&b"http/1.1"[..], false), (b"fnap", true)] {
        let mut config = client(&ca, &TLS13, None);
        config.alpn_protocols = vec![protocol.to_vec()];
        assert_eq!(meet(&tls, config).await.0.is_some(), taken, "{protocol:?}");
    }
}

#[tokio::test]
async fn tls_1_1_and_clear_text_get_an_alert_and_an_end() {
    // A ClientHello of TLS 1.1 with the one suite that every client of it had (RFC 4346, 7.4.1.2), and with
    // signature algorithms, so that nothing but the version is missing.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let message = [&[1, 0, 0, length(&hello)], &hello[..]].concat();
    let old = [&[22, 3, 1, 0, length(&message)], &message[..]].concat();
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), Authority::new().sign("fnaa.test"), None);
    let tls = Arc::new(Tls::open(files).unwrap());
    for (said, alert) in [(&old[..], Some(70)), (b"AUTHENTICATE PLAIN\r\n", None)] {
        let (host, mut own) = waiting(&tls).await;
        own.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        own.read_to_end(&mut answer).await.unwrap();
        assert_eq!((answer.first(), answer.len()), (Some(&21), 7), "one alert: {answer:?}");
        assert!(alert.is_none() || answer.last().copied() == alert, "{answer:?}");
        assert!(!host.await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_begins_no_handshake_or_half_of_one_is_let_go_in_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), Authority::new().sign("fnaa.test"), None);
    let tls = Arc::new(Tls::open(files).unwrap());
    for said in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let (host, mut own) = waiting(&tls).await;
        own.write_all(said).await.unwrap();
        assert!(!host.await.unwrap());
        assert_eq!(own.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let ((one, key), (other, _)) = (ca.sign("a.test"), ca.sign("b.test"));
    let refusal = |certificate: &str, key: &str| {
        let files = write(dir.path(), (certificate.to_owned(), key.to_owned()), None);
        Tls::open(files).unwrap_err().to_string()
    };
    assert!(refusal(&other, &key).contains("k.pem is not the key of the certificate in "));
    assert!(refusal("", &key).contains("c.pem: no certificate"));
    assert!(refusal(&key, &key).contains("c.pem: no certificate"));
    assert!(refusal(&one, "hunter2").ends_with("k.pem: no private key (one without a password)"));
    let torn = one.replace("MII", "AAA");
    assert!(refusal(&torn, &key).contains("c.pem: the first certificate is malformed"));
    assert!(refusal(&"x".repeat(2 << 20), &key).contains("c.pem: larger than 1048576 octets"));
    let mut files = write(dir.path(), (one, key), None);
    files.client_ca = Some(dir.path().join("none.pem"));
    assert!(Tls::open(files.clone()).unwrap_err().to_string().contains("none.pem: No such file"));
    std::fs::write(dir.path().join("none.pem"), "").unwrap();
    assert!(Tls::open(files).unwrap_err().to_string().contains("none.pem: no certificate"));
}

/// The certificate that a new connection gets.
async fn shown(tls: &Tls, trusted: &Authority) -> CertificateDer<'static> {
    let (_, client) = meet(tls, client(trusted, &TLS13, None)).await;
    client.unwrap().get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn new_connections_get_what_the_files_say_and_broken_files_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let (first, second) = (ca.sign("fnaa.test"), ca.sign("fnaa.test"));
    let tls = Tls::open(write(dir.path(), first.clone(), None)).unwrap();
    assert_eq!(shown(&tls, &ca).await, der(&first.0));
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&first.0));
    write(dir.path(), (second.0.clone(), first.1.clone()), None);
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&first.0), "a certificate with the old key");
    std::fs::remove_file(dir.path().join("k.pem")).unwrap();
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&first.0), "no key");
    write(dir.path(), second.clone(), None);
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&second.0));
}

/// Whether this is the certificate that new connections get, without one of them: a client refuses some of these.
fn shows(tls: &Tls, pair: &(String, String)) -> bool {
    let leaf = der(&pair.0);
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    tls.current().not_after == leaf.validity().not_after.timestamp()
}

#[tokio::test]
async fn a_certificate_that_clients_refuse_for_its_time_waits_while_there_is_a_better_one() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let good = ca.sign_for(3_600, 30);
    let tls = Tls::open(write(dir.path(), good.clone(), None)).unwrap();
    for bad in [ca.sign_for(86_400 * 60, -1), ca.sign_for(-86_400, 60)] {
        write(dir.path(), bad, None);
        for _ in 0..2 {
            tls.look().await;
            assert_eq!(shown(&tls, &ca).await, der(&good.0));
        }
    }
    let soon = ca.sign_for(-2, 40);
    write(dir.path(), soon.clone(), None);
    tls.look().await;
    while !shows(&tls, &soon) {
        // Its files do not change any more: its time comes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        tls.look().await;
    }
    assert_eq!(shown(&tls, &ca).await, der(&soon.0));
}

#[tokio::test]
async fn where_no_certificate_is_good_the_latest_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let (expired, early) = (ca.sign_for(86_400 * 60, -1), ca.sign_for(-86_400, 60));
    let tls = Tls::open(write(dir.path(), expired.clone(), None)).unwrap();
    assert!(shows(&tls, &expired));
    write(dir.path(), early.clone(), None);
    tls.look().await;
    assert!(shows(&tls, &early));
}

#[tokio::test]
async fn a_link_that_is_swapped_counts_as_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let pairs = [ca.sign("fnaa.test"), ca.sign("fnaa.test")];
    for (name, pair) in ["one", "two"].iter().zip(&pairs) {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        write(&dir.path().join(name), pair.clone(), None);
    }
    let point_to = |target: &str| {
        let new = dir.path().join("new");
        std::os::unix::fs::symlink(target, &new).unwrap();
        std::fs::rename(new, dir.path().join("data")).unwrap();
    };
    point_to("one");
    let file = |name: &str| dir.path().join("data").join(name);
    let files = TlsFiles { certificate: file("c.pem"), key: file("k.pem"), client_ca: None };
    let tls = Tls::open(files).unwrap();
    point_to("two");
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&pairs[1].0));
}

#[test]
fn what_expires_soon_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let with_days =
        |before: i64, after: i64| write(dir.path(), ca.sign_for(86_400 * before, after), None);
    let warnings = |files: TlsFiles| Tls::open(files).unwrap().warnings();
    assert_eq!(warnings(with_days(60, 30)), [""; 0]);
    assert!(warnings(with_days(80, 10))[0].ends_with("c.pem expires in 10 days"));
    assert_eq!(warnings(with_days(3, 3)), [""; 0], "half of a short life is left");
    assert!(warnings(with_days(5, 1))[0].ends_with("expires in 1 days"));
    assert!(warnings(with_days(90, -1))[0].ends_with("c.pem has expired: clients refuse it"));
    let early = warnings(with_days(-1, 90)).remove(0);
    assert!(early.contains("c.pem is not valid before 2"), "{early}");
    assert!(early.ends_with("Z: clients refuse it"), "{early}");
    let tls = Tls::open(with_days(60, 30)).unwrap();
    assert!((30 * 86_400..=30 * 86_400 + 3_600).contains(&tls.expires_in()));
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused_and_the_one_before_it_stays() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new();
    let first = ca.sign("fnaa.test");
    let files = write(dir.path(), first.clone(), None);
    let tls = Tls::open(files.clone()).unwrap();
    let of_root = std::fs::metadata(&files.key).unwrap().uid() == 0;
    for (mode, taken) in [
        (0o400, true),
        (0o440, of_root),
        (0o640, of_root),
        (0o660, false),
        (0o604, false),
        (0o644, false),
    ] {
        set_mode(&files.key, mode);
        let said = Tls::open(files.clone()).map(drop).map_err(|error| error.to_string());
        let shown = format!("{mode:04o}: others can read the key");
        assert_eq!(said.is_ok(), taken, "{said:?}");
        assert!(said.err().is_none_or(|why| why.contains(&shown)), "{mode:o}");
    }
    write(dir.path(), ca.sign("fnaa.test"), None);
    set_mode(&files.key, 0o644);
    tls.look().await;
    assert_eq!(shown(&tls, &ca).await, der(&first.0));
}
