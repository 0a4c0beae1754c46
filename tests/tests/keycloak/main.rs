//! Tokens of a real Keycloak: good ones let their users in, others let nobody in.

mod node;

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use node::{Keycloak, Realm};
use stories::{A, Certificates, Config, Fnaad, Fnua, eventually};
use tempfile::TempDir;

const REFUSED: &str = "401 AUTH_REQUIRED authentication failed";

/// A realm, and a host that takes its tokens for `fnaad`.
fn host(name: &str) -> (Realm, Fnaad, TempDir) {
    let realm = Keycloak::shared().realm(name);
    let dir = tempfile::tempdir().unwrap();
    let _certificates = Certificates::make(dir.path(), &["--name", "127.0.0.1"]);
    let mut config = Config::new(dir.path());
    config.text = config.text.replacen("\"user:test\"", "\"user:test\", \"user:ana@corp\"", 1);
    let tls = "\n[tls]\ncertificate_file = \"tls/server.pem\"\nkey_file = \"tls/server.key\"\n";
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{tls}\n[[namespaces]]"), 1);
    config.text += &format!(
        "\n[[oauth]]\nname = \"corp\"\nissuer = \"{}\"\naudience = \"fnaad\"\n\
         user_claim = \"preferred_username\"\ngroups_claim = \"groups\"\n\
         \n[log]\nfilter = \"host_iam=debug\"\n",
        realm.issuer()
    );
    let host = Fnaad::serve(dir.path(), config.save());
    (realm, host, dir)
}

/// What a host says to a token; a client that is told what is wrong answers as RFC 7628 wants.
fn bring(host: &Fnaad, token: &str) -> String {
    let engine = base64::prelude::BASE64_STANDARD;
    let mut wire = host.connect();
    let message = format!("n,,\x01host=localhost\x01port=0\x01auth=Bearer {token}\x01\x01");
    let answer = wire.ask(&format!("AUTHENTICATE OAUTHBEARER {}", engine.encode(message)));
    let Some(told) = answer[0].strip_prefix("330 ") else { return answer[0].clone() };
    let told: serde_json::Value = serde_json::from_slice(&engine.decode(told).unwrap()).unwrap();
    assert_eq!(told["status"], "invalid_token");
    let place = told["openid-configuration"].as_str().unwrap();
    assert!(place.ends_with("/.well-known/openid-configuration"), "{told}");
    wire.ask("AQ==")[0].clone()
}

fn comes_in(host: &Fnaad, token: &str) -> Result<(), String> {
    match bring(host, token) {
        answer if answer.starts_with("220 ") => Ok(()),
        answer => Err(answer),
    }
}

#[test]
fn a_token_lets_its_user_in_and_a_changed_or_foreign_one_lets_nobody_in() {
    let (realm, host, _dir) = host("good");
    let token = realm.token("fnua");
    comes_in(&host, &token).unwrap();
    assert!(host.log().contains("user:ana@corp"), "{}", host.log());
    assert_eq!(bring(&host, &realm.token("other")), REFUSED);
    let (signed, proof) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let engine = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let claims = String::from_utf8(engine.decode(claims).unwrap()).unwrap();
    let changed = engine.encode(claims.replace("\"ana\"", "\"bea\""));
    assert_eq!(bring(&host, &format!("{header}.{changed}.{proof}")), REFUSED);
    let log = host.log();
    assert!(log.contains("the token is for another audience"), "{log}");
    assert!(log.contains("the token's signature is wrong"), "{log}");
    assert!(!log.contains(proof), "a token in the log");
}

#[test]
fn a_token_that_has_expired_lets_nobody_in() {
    let (realm, host, _dir) = host("brief");
    let token = realm.token("brief");
    comes_in(&host, &token).unwrap();
    eventually("the end of a token", || match bring(&host, &token) {
        answer if answer == REFUSED => Ok(()),
        answer => Err(answer),
    });
    assert!(host.log().contains("the token is expired"), "{}", host.log());
}

#[test]
fn a_new_key_of_the_provider_counts_by_itself_and_the_old_one_no_longer() {
    let (realm, host, _dir) = host("turning");
    let old = realm.token("fnua");
    comes_in(&host, &old).unwrap();
    realm.turn_keys();
    let new = realm.token("fnua");
    eventually("the new key", || comes_in(&host, &new));
    assert_eq!(bring(&host, &old), REFUSED);
}

#[test]
fn a_connection_ends_with_the_token_that_it_came_in_with_also_while_it_reads() {
    let (realm, host, _dir) = host("ending");
    host.login_as("test", "test").ok(&format!("CREATE FLOW {A}"));
    let engine = base64::prelude::BASE64_STANDARD;
    let token = realm.token("brief");
    let come = |token: &str| {
        let mut wire = host.connect();
        let message = engine.encode(format!("n,,\x01auth=Bearer {token}\x01\x01"));
        let answer = wire.ask(&format!("AUTHENTICATE OAUTHBEARER {message}"));
        assert_eq!(answer, ["220 Authenticated"]);
        wire
    };
    let (mut idle, mut reader) = (come(&token), come(&token));
    let mut other = come(&realm.token("fnua"));
    reader.send(format!("READ {A} FOLLOW\r\n").as_bytes());
    assert_eq!(reader.line(), "220 DATA");
    let expired = "401 AUTH_REQUIRED the token has expired, authenticate again";
    assert_eq!(idle.rest(), [expired]);
    let told = reader.rest();
    assert!(!told.is_empty() && told.iter().all(|line| line == expired), "{told:?}");
    other.ok("NOOP");
}

/// The user agent with a token in a file, under TLS.
fn agent(host: &Fnaad, token: &str) -> Fnua {
    let (file, kept) = (host.dir().join("agent.toml"), host.dir().join("token"));
    std::fs::write(&kept, format!("{token}\n")).unwrap();
    let address = host.address();
    let text = format!(
        "[[agents]]\nname = \"x\"\naddress = \"{address}\"\ntls = \"starttls\"\nca_file = \"tls/ca.pem\"\n\
         token_file = \"token\"\n"
    );
    std::fs::write(&file, text).unwrap();
    for file in [&file, &kept] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    Fnua::new(file)
}

#[test]
fn the_user_agent_comes_in_with_a_token_and_is_told_when_it_is_none() {
    let (realm, host, _dir) = host("agent");
    let token = realm.token("fnua");
    let fnua = agent(&host, &token);
    fnua.ok(&["create", "flow", A]);
    assert!(fnua.ok(&["describe", "flow", A]).contains("user:ana@corp"));
    let said = fnua.run(&["-d", "get", "flows"]);
    assert_eq!((said.code, said.stdout), (0, format!("{A}\n")));
    for line in ["C: STARTTLS", "C: AUTHENTICATE OAUTHBEARER", "S: 220 Authenticated"] {
        assert!(said.stderr.lines().any(|found| found == line), "{line}: {}", said.stderr);
    }
    assert!(!said.stderr.contains(&token), "{}", said.stderr);
    let said = agent(&host, &realm.token("other")).run(&["get", "flows"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains(REFUSED), "{said:?}");
}
