//! Tokens of a real Keycloak: good ones let their users in, others let nobody in.

mod node;

use base64::Engine;
use node::{Keycloak, Realm};
use stories::{Config, Fnaad, eventually};
use tempfile::TempDir;

const REFUSED: &str = "401 AUTH_REQUIRED authentication failed";

/// A realm, and a host that takes its tokens for `fnaad`.
fn host(name: &str) -> (Realm, Fnaad, TempDir) {
    let realm = Keycloak::shared().realm(name);
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
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
