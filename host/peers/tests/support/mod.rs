//! Hosts that behave in one manner each, with certificates of an authority of the test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fnap::name::Name;
use fnap::sasl::Mechanism;
use host_iam::{Peer, Step, UserList, Users};
use host_names::{Found, Names, Options, Place, Roots, Security, Way};
use host_peers::agent::{Agents, OwnCertificate, Patience};
use host_peers::dev::SharedSecret;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How a host behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should, with STARTTLS.
    Good,
    /// As it should, under TLS from the first octet on.
    Implicit,
    /// Its certificate has another name.
    OtherName,
    /// Its certificate has expired.
    Expired,
    /// Its certificate is of an authority that nobody knows.
    Stranger,
    /// Somebody takes STARTTLS out of its capabilities.
    Stripped,
    /// It accepts and says nothing.
    Silent,
    /// It greets with a line that does not end.
    Line,
    /// It greets, and answers with lines that do not end.
    Flood,
    /// It speaks another protocol.
    Nonsense,
    /// It greets with 503.
    Full,
    /// It knows nobody.
    Refuses,
    /// It takes no certificates.
    NoExternal,
    /// It runs for the same user on the same machine, in clear text.
    Neighbour,
}

/// Authority, files, and who we are.
pub(crate) struct World {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    stranger: CertifiedIssuer<'static, KeyPair>,
}

/// A host that runs until the test ends.
pub(crate) struct Host {
    pub(crate) port: u16,
    implicit: bool,
    said: Arc<Mutex<String>>,
}

impl Host {
    /// As whom somebody came in, or wanted to.
    pub(crate) fn heard(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let (authority, stranger) = (issuer("ours"), issuer("a stranger's"));
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir, authority, stranger };
        std::fs::write(world.path("ca.pem"), world.authority.pem()).unwrap();
        let (leaf, key) = world.leaf(&world.authority, "fnaa.emiliano.ar", false);
        std::fs::write(world.path("own.pem"), leaf.pem()).unwrap();
        std::fs::write(world.path("own.key"), key.serialize_pem()).unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn agents(&self) -> Agents {
        // Nobody is asked there.
        self.asking("127.0.0.1:9".parse().unwrap(), None)
    }

    pub(crate) fn asking(&self, server: SocketAddr, anchors: Option<&Path>) -> Agents {
        let timeout = Duration::from_secs(60);
        let (servers, trust_anchors) = (vec![server], anchors.map(Path::to_owned));
        let options = Options { servers, trust_anchors, timeout, ..Options::default() };
        let own = OwnCertificate { certificate: self.path("own.pem"), key: self.path("own.key") };
        let roots = Roots::of_file(&self.path("ca.pem")).unwrap();
        let names = Arc::new(Names::new(&options).unwrap());
        let long = Duration::from_secs(60);
        let patience =
            Patience { connect: long, answer: long, authenticate: long, whole: long * 4 };
        Agents::new(names, name("emiliano.ar"), Some(own), roots).patient(patience)
    }

    /// Waits for no answer longer than a moment: for hosts that do not answer.
    pub(crate) fn impatient(&self) -> Agents {
        let (long, answer) = (Duration::from_secs(60), Duration::from_millis(300));
        let patience = Patience { connect: long, answer, authenticate: long, whole: long * 4 };
        self.agents().patient(patience)
    }

    /// What DNS would say.
    pub(crate) fn found(&self, hosts: &[&Host]) -> Found {
        let place = |host: &&Host| Place {
            target: name("fnaa.unix.ar"),
            port: host.port,
            addresses: vec!["127.0.0.1".parse().unwrap()],
            tls: host.implicit,
        };
        Found {
            agents: hosts.iter().map(place).collect(),
            id: None,
            queue: None,
            security: Security::Insecure,
            way: Way::Pointer,
            ttl: Duration::from_secs(60),
        }
    }

    fn leaf(
        &self,
        issuer: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        expired: bool,
    ) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, issuer).unwrap(), key)
    }

    fn acceptor(&self, manner: Manner) -> TlsAcceptor {
        let (issuer, name) = match manner {
            Manner::Stranger => (&self.stranger, "fnaa.unix.ar"),
            Manner::OtherName => (&self.authority, "fnaa.other.ar"),
            _ => (&self.authority, "fnaa.unix.ar"),
        };
        let (leaf, key) = self.leaf(issuer, name, manner == Manner::Expired);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut clients = RootCertStore::empty();
        clients.add(self.authority.der().clone()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider));
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap());
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// Starts a host.
pub(crate) async fn host(world: &World, manner: Manner) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, secret) = (world.acceptor(manner), world.path("peers.secret"));
    let said = Arc::new(Mutex::new(String::new()));
    let host = Host { port, implicit: manner == Manner::Implicit, said: Arc::clone(&said) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, said, secret) = (acceptor.clone(), Arc::clone(&said), secret.clone());
            // Whoever leaves in the middle is no fault of the test.
            tokio::spawn(async move { drop(serve(stream, manner, acceptor, said, secret).await) });
        }
    });
    host
}

type Done = std::io::Result<()>;

async fn serve(
    mut stream: TcpStream,
    manner: Manner,
    acceptor: TlsAcceptor,
    said: Arc<Mutex<String>>,
    secret: PathBuf,
) -> Done {
    const GREETING: &[u8] = b"220 fnaa.other.ar FNAA\r\n";
    match manner {
        Manner::Silent => return std::future::pending().await,
        Manner::Full => return stream.write_all(b"503 UNAVAILABLE full\r\n").await,
        Manner::Nonsense => return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        Manner::Line => return endless(&mut stream, b"xxxxxxxxxxxxxxxx").await,
        Manner::Flood => {
            stream.write_all(b"220 fnaa.other.ar FNAA\r\n220 DATA\r\n").await?;
            return endless(&mut stream, b"WORD=1\r\n").await;
        }
        Manner::Implicit => {
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(GREETING).await?;
            return talk(&mut BufReader::new(stream), manner, &said, &secret, true).await.map(drop);
        }
        _ => stream.write_all(GREETING).await?,
    }
    let mut clear = BufReader::new(stream);
    if talk(&mut clear, manner, &said, &secret, false).await? {
        let stream = acceptor.accept(clear.into_inner()).await?;
        talk(&mut BufReader::new(stream), manner, &said, &secret, true).await?;
    }
    Ok(())
}

/// Until the end, or until STARTTLS was said.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    manner: Manner,
    said: &Mutex<String>,
    secret: &Path,
    encrypted: bool,
) -> std::io::Result<bool> {
    loop {
        let line = read(stream).await?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["CAPABILITIES"] => {
                let mut answer = "220 DATA\r\nSTREAM=1\r\n".to_owned();
                if !encrypted && manner != Manner::Stripped {
                    answer += "STARTTLS\r\n";
                }
                if encrypted && manner != Manner::NoExternal {
                    answer += "AUTH=EXTERNAL\r\n";
                }
                stream.write_all((answer + "220 OK\r\n").as_bytes()).await?;
            }
            ["STARTTLS"] => {
                stream.write_all(b"220 OK\r\n").await?;
                return Ok(true);
            }
            ["AUTHENTICATE", "EXTERNAL"] => {
                stream.write_all(b"220 OK\r\n").await?;
                let who = STANDARD.decode(read(stream).await?).unwrap();
                *said.lock().unwrap() = String::from_utf8(who).unwrap();
                let answer = match manner {
                    Manner::Refuses => &b"401 AUTH_REQUIRED authentication failed\r\n"[..],
                    _ => b"220 Authenticated\r\n",
                };
                stream.write_all(answer).await?;
            }
            ["AUTHENTICATE", "SCRAM-SHA-256"] => scram(stream, secret).await?,
            ["STREAM"] => {
                stream.write_all(b"220 OK\r\nhello").await?;
                stream.flush().await?;
                let (mut reader, mut writer) = tokio::io::split(&mut *stream);
                tokio::io::copy(&mut reader, &mut writer).await?;
            }
            ["SUBSCRIBE", flow] => subscribe(stream, flow).await?,
            _ => stream.write_all(b"220 OK\r\n").await?,
        }
        stream.flush().await?;
    }
}

async fn subscribe<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    flow: &str,
) -> Done {
    let answer = match flow {
        "busy.ar" => "429 RATE_LIMIT retry-after=7".to_owned(),
        "ask.ar" => "450 PENDING request=r42".to_owned(),
        "away.ar" => "503 UNAVAILABLE the broker is away".to_owned(),
        "closed.ar" => format!("404 NOT_FOUND flow {flow}"),
        "nonsense.ar" => "what?".to_owned(),
        "silent.ar" => return std::future::pending().await,
        "line.ar" => return endless(stream, b"xxxxxxxxxxxxxxxx").await,
        "endless.ar" => {
            stream.write_all(b"220 DATA\r\n").await?;
            return endless(stream, b"id.endless.ar\r\n").await;
        }
        _ => format!("220 DATA\r\nid.{flow}\r\n220 OK"),
    };
    stream.write_all((answer + "\r\n").as_bytes()).await
}

/// The other side of the secret is the real one.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    secret: &Path,
) -> Done {
    let users = Users::new(UserList::default()).unwrap();
    users.trust_neighbours(SharedSecret::open(secret).unwrap().expose()).unwrap();
    let peer = Peer::in_clear("127.0.0.1".parse().unwrap());
    let mut exchange = Arc::new(users).begin(Mechanism::ScramSha256, peer);
    let mut code = "220 OK".to_owned();
    loop {
        stream.write_all((code + "\r\n").as_bytes()).await?;
        let response = match read(stream).await?.as_str() {
            "=" => Vec::new(),
            line => STANDARD.decode(line).unwrap(),
        };
        match exchange.step(Some(&response)).await {
            Step::Challenge(challenge) => code = format!("330 {}", STANDARD.encode(challenge)),
            Step::Authenticated(principal) => {
                assert_eq!(principal.to_string(), "domain:emiliano.ar");
                return stream.write_all(b"220 Authenticated\r\n").await;
            }
            _ => return stream.write_all(b"401 AUTH_REQUIRED authentication failed\r\n").await,
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

async fn endless<S: AsyncWrite + Unpin>(stream: &mut S, what: &[u8]) -> Done {
    let chunk = what.repeat(1_000);
    loop {
        stream.write_all(&chunk).await?;
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
