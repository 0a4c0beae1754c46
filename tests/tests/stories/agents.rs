//! The way from one host to another, in the words of `host-peers` itself: to a real `fnaad`, by a real BIND.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bind_node::{Bind, Zone};
use fnap::name::Name;
use host_names::{Names, Options, Roots};
use host_peers::agent::{Again, Agents, OwnCertificate, Patience, Peer, PeerError, Step};
use host_peers::dev::SharedSecret;
use stories::{Certificates, Config, Fnaad};

use crate::domains::agent;

const FLOW: &str = "time.flows.unix.ar";

/// What says where the host of the flow is.
fn zone(address: &str, tls: bool) -> Zone {
    let address: SocketAddr = address.parse().unwrap();
    let words = if tls { "tls" } else { "id=1" };
    let records = format!(
        "time.flows PTR _flow._tcp.time.flows\n_flow._tcp.time.flows SRV 0 0 {} fnaa\n\
         _flow._tcp.time.flows TXT \"{words}\"\nfnaa A {}\n",
        address.port(),
        address.ip()
    );
    Zone::unsigned("unix.ar", &records)
}

fn agents(bind: &Bind, own: Option<&Certificates>, ca: &Path) -> Agents {
    let long = Duration::from_secs(60);
    let options = Options {
        servers: vec![bind.address()],
        trust_anchors: Some(bind.trust_anchors().to_owned()),
        timeout: long,
        ..Options::default()
    };
    let own = own.map(|own| OwnCertificate {
        certificate: own.file("domain-emiliano.ar.pem"),
        key: own.file("domain-emiliano.ar.key"),
    });
    let names = Arc::new(Names::new(&options).unwrap());
    let roots = Roots::of_file(ca).unwrap();
    let us = "emiliano.ar".parse().unwrap();
    let patience =
        Patience { connect: long, answer: long, authenticate: long * 2, whole: long * 4 };
    Agents::new(names, us, own, roots).patient(patience)
}

/// Comes as somebody else's host, and says SUBSCRIBE.
fn subscribe(agents: &Agents) -> Result<Vec<String>, PeerError> {
    let flow: Name = FLOW.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut peer: Peer = agents.reach(&flow).await?;
        assert_eq!(peer.greeting(), "fnaa.unix.ar FNAA");
        let command = format!("SUBSCRIBE {FLOW}").parse().unwrap();
        Ok(peer.command(&command).await?.data)
    })
}

#[test]
fn hosts_of_one_user_on_one_machine_need_no_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("state/peers.secret");
    let file = secret.display().to_string();
    let args = ["--namespace", "flows.unix.ar", "--peers-secret", &file];
    let host = Fnaad::dev_with(&dir.path().join("host"), &args);
    let mut owner = host.login();
    owner.ok(&format!("CREATE FLOW {FLOW}"));
    let bind = Bind::start(&[zone(host.address(), false)]);
    let ca = host.dir().join("tls/ca.pem");
    let us = agents(&bind, None, &ca).sharing(SharedSecret::open(&secret).unwrap());
    let error = subscribe(&us).unwrap_err();
    let Again::Pending(request) = error.again() else { panic!("{error}") };
    let requests = owner.data("GET REQUESTS FORMAT json");
    assert!(requests[0].contains("domain:emiliano.ar") && requests[0].contains(&request));
    owner.ok(&format!("UPDATE FLOW {FLOW} access=open"));
    let answer = subscribe(&us).unwrap();
    assert!(answer[0].ends_with(FLOW), "{answer:?}");
    // Another user of this machine, or nobody's host.
    let other = SharedSecret::open(&dir.path().join("other/peers.secret")).unwrap();
    let error = subscribe(&agents(&bind, None, &ca).sharing(other)).unwrap_err();
    assert_eq!((error.step, error.again()), (Step::Authenticate, Again::No), "{error}");
    let said = format!("{error} {} {}", host.log(), std::fs::read_to_string(&secret).unwrap());
    assert_eq!(said.matches(SharedSecret::open(&secret).unwrap().expose()).count(), 1);
    assert!(host.end().success());
}

#[test]
fn a_host_does_not_start_with_a_secret_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("peers.secret");
    SharedSecret::open(&secret).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let host = dir.path().join("host");
    let flag = "--peers-secret".as_ref();
    let refused = Fnaad::refused(&["dev".as_ref(), host.as_ref(), flag, secret.as_ref()]);
    assert!(refused.stderr.contains("mode is 0644"), "{}", refused.stderr);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
}

#[test]
fn a_domain_comes_with_its_certificate_by_starttls_and_under_tls() {
    let dir = tempfile::tempdir().unwrap();
    let us = agent(&dir.path().join("us"), "emiliano.ar");
    let own = Certificates::make(&dir.path().join("own"), &["--name", "fnaa.unix.ar"]);
    let shown = |path: &Path| path.display().to_string();
    // What the host asks about us.
    let about = Bind::start(&[Zone::signed("emiliano.ar", crate::domains::AGENT)]);
    let mut config = Config::new(dir.path());
    let keys = format!(
        "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n\n\
         [names]\nservers = [\"{}\"]\ntrust_anchor_file = \"{}\"\nca_file = \"{}\"\ntimeout_seconds = 60\n",
        shown(&own.file("server.pem")),
        shown(&own.file("server.key")),
        about.address(),
        shown(about.trust_anchors()),
        shown(&us.file("ca.pem")),
    );
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{keys}\n[[namespaces]]"), 1);
    let host = Fnaad::serve(dir.path(), config.save());
    host.login_as("test", "test").ok(&format!("CREATE FLOW {FLOW} access=open"));
    for (address, tls) in [(host.address(), false), (host.tls_address(), true)] {
        let bind = Bind::start(&[zone(address, tls)]);
        let answer = subscribe(&agents(&bind, Some(&us), &own.file("ca.pem"))).unwrap();
        assert!(answer[0].ends_with(FLOW), "{answer:?}");
        // Whom we do not believe learns nothing of us.
        let error = subscribe(&agents(&bind, Some(&us), &us.file("ca.pem"))).unwrap_err();
        assert_eq!(error.step, Step::Tls, "{error}");
        let error = subscribe(&agents(&bind, None, &own.file("ca.pem"))).unwrap_err();
        assert_eq!((error.step, error.again()), (Step::Authenticate, Again::No), "{error}");
    }
}
