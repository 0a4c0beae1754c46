//! Domains: strangers who come in with the certificate of their domain's agent, and those who do not.
//!
//! DNS is a real BIND with a signed root of its own; certificates are those of `fnaad cert`.

use std::fmt::Write as _;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use bind_node::{Bind, Zone};
use stories::{Certificates, Config, Fnaad, Trust, Wire};

/// The record that names the agent of a domain.
pub(crate) const AGENT: &str = "_flow._tcp SRV 0 0 61000 fnaa\n";

/// A host that asks `bind` and believes the authority of `agents` about domains.
fn host(dir: &Path, bind: &Bind, agents: &Certificates) -> (Fnaad, Trust) {
    let mut config = Config::new(dir);
    let trust = believe(&mut config, dir, bind, agents);
    (Fnaad::serve(dir, config.save()), trust)
}

/// Makes a host speak TLS, ask `bind`, and believe the authority of `agents` about domains; gives what its
/// clients trust.
pub(crate) fn believe(
    config: &mut Config,
    dir: &Path,
    bind: &Bind,
    agents: &Certificates,
) -> Trust {
    let own = Certificates::make(&dir.join("own"), &["--name", "127.0.0.1"]);
    let shown = |path: &Path| path.display().to_string();
    let keys = format!(
        "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n\n\
         [names]\nservers = [\"{}\"]\ntrust_anchor_file = \"{}\"\nca_file = \"{}\"\ntimeout_seconds = 60\n",
        shown(&own.file("server.pem")),
        shown(&own.file("server.key")),
        bind.address(),
        shown(bind.trust_anchors()),
        shown(&agents.file("ca.pem")),
    );
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{keys}\n[[namespaces]]"), 1);
    own.trust()
}

/// The certificate of a domain's agent, by an authority in `dir`.
pub(crate) fn agent(dir: &Path, domain: &str) -> Certificates {
    let (host, client) = (format!("fnaa.{domain}"), format!("domain:{domain}"));
    Certificates::make(dir, &["--name", &host, "--client", &client])
}

/// The connection of somebody who shows a certificate, and what `AUTHENTICATE EXTERNAL` answers to him.
pub(crate) fn come(host: &Fnaad, trust: &Trust, domain: &str) -> (Wire, String) {
    let mut wire = Wire::connect_tls(host.tls_address(), trust).unwrap();
    let wanted = BASE64_STANDARD.encode(format!("domain:{domain}"));
    let answer = wire.ask(&format!("AUTHENTICATE EXTERNAL {wanted}")).remove(0);
    (wire, answer)
}

/// What `AUTHENTICATE EXTERNAL` answers to somebody who shows a certificate.
fn told(host: &Fnaad, trust: &Trust, domain: &str) -> String {
    come(host, trust, domain).1
}

/// A TLSA record that holds a whole certificate of a PEM file.
fn tlsa(certificate: &Path) -> String {
    let pem = std::fs::read_to_string(certificate).unwrap();
    let lines = pem.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1);
    let body: String = lines.take_while(|line| !line.starts_with("-----END")).collect();
    let mut record = "_61000._tcp.fnaa TLSA 3 0 0 ".to_owned();
    for octet in BASE64_STANDARD.decode(body).unwrap() {
        write!(record, "{octet:02x}").unwrap();
    }
    record + "\n"
}

#[test]
fn the_agent_of_a_domain_comes_in_without_an_account_and_as_no_other_domain() {
    let dir = tempfile::tempdir().unwrap();
    let agents = agent(&dir.path().join("agents"), "emiliano.ar");
    let bind = Bind::start(&[Zone::signed("emiliano.ar", AGENT), Zone::signed("other.ar", AGENT)]);
    let (host, trust) = host(dir.path(), &bind, &agents);
    let showing = trust.clone().showing(&agents, "domain-emiliano.ar");
    assert_eq!(told(&host, &showing, "emiliano.ar"), "220 Authenticated");
    for other in ["other.ar", "nobody.ar"] {
        let answer = told(&host, &showing, other);
        assert!(answer.starts_with("401 "), "{other}: {answer}");
    }
    let answer = told(&host, &trust, "emiliano.ar");
    assert!(!answer.starts_with("220"), "without a certificate: {answer}");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_taken_where_dns_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let agents = agent(&dir.path().join("agents"), "emiliano.ar");
    let strangers = agent(&dir.path().join("strangers"), "own.ar");
    strangers.more(&["--force", "--name", "fnaa.emiliano.ar", "--client", "domain:emiliano.ar"]);
    let record = tlsa(&strangers.file("domain-own.ar.pem"));
    let bind = Bind::start(&[
        Zone::signed("own.ar", &format!("{AGENT}{record}")),
        Zone::signed("emiliano.ar", AGENT),
    ]);
    let (host, trust) = host(dir.path(), &bind, &agents);
    let showing = |stem: &str| trust.clone().showing(&strangers, stem);
    assert_eq!(told(&host, &showing("domain-own.ar"), "own.ar"), "220 Authenticated");
    let answer = told(&host, &showing("domain-emiliano.ar"), "emiliano.ar");
    assert!(answer.starts_with("401 "), "{answer}");
    // What the domain published means one certificate, and not whatever that authority signs.
    let answer = told(&host, &showing("domain-emiliano.ar"), "own.ar");
    assert!(answer.starts_with("401 "), "{answer}");
}

#[test]
fn nobody_is_refused_for_a_name_server_that_lies_or_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let agents = agent(&dir.path().join("agents"), "emiliano.ar");
    let forged = Zone::signed("emiliano.ar", AGENT).forged("61000 fnaa", "61001 fnaa");
    let bind = Bind::start(&[forged]);
    let (host, trust) = host(dir.path(), &bind, &agents);
    let showing = trust.showing(&agents, "domain-emiliano.ar");
    for _ in 0..8 {
        let answer = told(&host, &showing, "emiliano.ar");
        assert!(answer.starts_with("503 UNAVAILABLE "), "{answer}");
    }
    // But nobody makes the host ask again and again without end.
    let answers: Vec<String> = (0..32).map(|_| told(&host, &showing, "emiliano.ar")).collect();
    assert!(
        answers.iter().any(|answer| answer.starts_with("429 RATE_LIMIT retry-after=")),
        "{answers:?}"
    );
    let known = |answer: &&String| answer.starts_with("503 ") || answer.starts_with("429 ");
    assert_eq!(answers.iter().filter(known).count(), answers.len(), "{answers:?}");
    host.login_as("test", "test").ok("NOOP");
}
