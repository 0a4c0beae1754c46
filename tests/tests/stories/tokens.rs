//! People who come in with a token and stand in no file: what they may do, and what goes on without them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use stories::{Config, Fnaad, Wire, events, eventually, eventually_holds};
use tempfile::TempDir;

use crate::identities::user;

const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";

/// Issues tokens, and publishes its key on loopback as long as the test runs.
pub struct Issuer {
    key: Arc<Ed25519KeyPair>,
    url: String,
}

impl Issuer {
    pub fn start() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Arc::new(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (public, place) = (encode(key.public_key().as_ref()), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let mut lines = lines.map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                let body = if first.contains("/keys") {
                    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": public }] })
                } else {
                    json!({ "issuer": place, "jwks_uri": format!("{place}/keys") })
                };
                let body = body.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                // Who asked may be gone.
                drop(stream.write_all((head + &body).as_bytes()));
            }
        });
        Self { key, url }
    }

    /// What makes a host take its tokens, with names and groups as they are.
    pub fn section(&self) -> String {
        format!(
            "\n[[oauth]]\nname = \"corp\"\nissuer = \"{}\"\naudience = \"fnaad\"\n\
             groups_claim = \"groups\"\ntrusted_names = true\n",
            self.url
        )
    }

    fn token(&self, user: &str, groups: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({ "alg": "EdDSA", "kid": "1", "typ": "at+jwt" });
        let claims: Value = json!({ "iss": self.url, "aud": "fnaad", "sub": user, "groups": groups,
            "preferred_username": user, "exp": now + 3600 });
        let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{text}.{}", encode(self.key.sign(text.as_bytes())))
    }

    /// Comes in with a token.
    pub fn login(&self, host: &Fnaad, user: &str, groups: &[&str]) -> Wire {
        let message = format!("n,,\x01auth=Bearer {}\x01\x01", self.token(user, groups));
        let mut wire = host.connect();
        let line = format!("AUTHENTICATE OAUTHBEARER {}", BASE64_STANDARD.encode(message));
        assert_eq!(wire.ask(&line), ["220 Authenticated"], "{}", host.log());
        wire
    }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

/// A host that takes tokens, with flows `a` and `b`.
fn house() -> (Issuer, Fnaad, Wire, TempDir) {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let mut config = Config::new(dir.path());
    config.text = config.text.replace("listen", "users_file = \"users.toml\"\nlisten");
    config.text += &issuer.section();
    config.save();
    user(dir.path(), &["add", "ana"], "one");
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    for flow in [A, B] {
        root.ok(&format!("CREATE FLOW {flow}"));
    }
    (issuer, host, root, dir)
}

#[test]
fn who_never_stood_among_the_users_is_not_taken_for_one_who_was_removed() {
    let (issuer, host, mut root, dir) = house();
    root.ok("GRANT administer ON flows.unix.ar TO user:cy");
    issuer.login(&host, "cy", &[]).ok(&format!("REPLICATE {A} {B}"));
    user(dir.path(), &["remove", "ana"], "");
    eventually("the removal in the audit log", || {
        let log = std::fs::read_to_string(dir.path().join("data/audit.log")).unwrap();
        if log.contains(r#""change":"removal""#) { Ok(()) } else { Err(log) }
    });
    root.write(A, &events(0..5));
    eventually_holds(&mut root, B, 5);
    issuer.login(&host, "cy", &[]).ok("CREATE FLOW c.flows.unix.ar");
}

#[test]
fn groups_of_a_token_open_flows_and_make_no_processor_that_would_never_run() {
    let (issuer, host, mut root, _dir) = house();
    root.ok(&format!("GRANT read ON {A} TO group:ops"));
    root.ok(&format!("GRANT write ON {B} TO group:ops"));
    let mut cy = issuer.login(&host, "cy", &["ops"]);
    assert!(cy.read(A).is_empty());
    let refused = |right: &str, on: &str| {
        format!(
            "403 FORBIDDEN {right} on {on} is granted by groups of a token alone, and a processor runs while its owner is away: it takes a grant to user:cy, or groups in the users file"
        )
    };
    let make = format!("REPLICATE {A} {B}");
    assert_eq!(cy.refused(&make), refused("read", A));
    assert_eq!(cy.refused(&format!("COLLECT *.flows.unix.ar {B}")), refused("write", B));
    root.ok(&format!("GRANT read ON {A} TO user:cy"));
    assert_eq!(cy.refused(&make), refused("write", B));
    root.ok(&format!("GRANT write ON {B} TO user:cy"));
    cy.ok(&make);
    drop(cy);
    root.write(A, &events(0..5));
    eventually_holds(&mut root, B, 5);
}
