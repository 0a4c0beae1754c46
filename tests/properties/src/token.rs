//! Tokens of identity providers, and the keys that these publish: nobody is believed without the key's
//! signature, nor beyond what the token says of its issuer, its audience and its end.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use host_iam::messages::{Bearer, KeySet, judge};
use host_iam::{MAX_GROUPS, Principal, ProviderSettings, prepared_name};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use crate::input::Input;

/// A token, or its claims or its header signed by the provider, or a set of keys: the first control says.
pub fn token(data: &[u8]) {
    let input = Input::of(data);
    let payload = input.payload;
    match input.choice(0) % 4 {
        0 => {
            let text = String::from_utf8_lossy(payload);
            assert!(judge(&PROVIDER, &KEYS, &text, now()).is_err(), "a token without the key");
        }
        1 => claims(payload),
        2 => header(payload),
        _ => keys(payload),
    }
}

fn claims(claims: &[u8]) {
    let Ok(bearer) = judge(&PROVIDER, &KEYS, &signed(HEADER, claims), now()) else { return };
    let said: Value = serde_json::from_slice(claims).unwrap();
    let meant = |aud: &Value| aud == "fnaa";
    assert!(meant(&said["aud"]) || said["aud"].as_array().is_some_and(|all| all.iter().any(meant)));
    assert!(
        said["iss"] == ISSUER && said["exp"].as_f64().is_some_and(|ends| ends > NOW as f64 - 31.0)
    );
    is_sound(bearer);
}

fn is_sound(bearer: Bearer) {
    let Bearer { user, groups, until } = bearer;
    assert!(until > now() && until <= now() + Duration::from_secs(24 * 3600));
    assert_eq!(prepared_name(&user).as_ref(), Some(&user));
    assert!(groups.len() <= MAX_GROUPS && !groups.iter().any(|group| group == "domains"));
    let principal = Principal::user(&user, groups);
    let odd = |c: char| c.is_control() || c.is_whitespace();
    assert!(principal.groups().count() <= MAX_GROUPS + 1);
    assert!(principal.groups().all(|group| !group.contains(odd)));
    assert!(!principal.to_string().contains(odd));
}

fn header(header: &[u8]) {
    if judge(&PROVIDER, &KEYS, &signed(header, CLAIMS), now()).is_ok() {
        let said: Value = serde_json::from_slice(header).unwrap();
        assert!(said["alg"] == "EdDSA" && said.get("crit").is_none());
        assert!(!said["kid"].is_string() || said["kid"] == "k");
    }
}

/// Whatever keys there are, only the one that signed has signed.
fn keys(text: &[u8]) {
    let Ok(keys) = KeySet::read(text) else { return };
    if judge(&PROVIDER, &keys, &signed(HEADER, CLAIMS), now()).is_ok() {
        let has = String::from_utf8_lossy(text).contains(&*PUBLIC);
        // JSON has other ways to write the same.
        assert!(has || text.contains(&b'\\'));
    }
    for algorithm in ["RS256", "ES256"] {
        let header = format!("{{\"alg\":\"{algorithm}\"}}");
        let forged = forged(header.as_bytes(), CLAIMS, text);
        assert!(judge(&PROVIDER, &keys, &forged, now()).is_err(), "{algorithm}");
    }
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", coded(header), coded(claims));
    let proof = PAIR.sign(text.as_bytes());
    format!("{text}.{}", coded(proof.as_ref()))
}

fn forged(header: &[u8], claims: &[u8], proof: &[u8]) -> String {
    let proof = proof.get(..64).unwrap_or(proof);
    format!("{}.{}.{}", coded(header), coded(claims), coded(proof))
}

fn coded(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// When all this happens.
const NOW: u64 = 1_800_000_000;

const ISSUER: &str = "https://login.example";
const HEADER: &[u8] = br#"{"alg":"EdDSA","kid":"k"}"#;
const CLAIMS: &[u8] =
    br#"{"iss":"https://login.example","aud":"fnaa","exp":1800000300,"sub":"ana"}"#;

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap());

static PUBLIC: LazyLock<String> = LazyLock::new(|| coded(PAIR.public_key().as_ref()));

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{}"}}"#, *PUBLIC);
    KeySet::read(format!(r#"{{"keys":[{key}]}}"#).as_bytes()).unwrap()
});

static PROVIDER: LazyLock<ProviderSettings> = LazyLock::new(|| ProviderSettings {
    name: "login".to_owned(),
    issuer: ISSUER.to_owned(),
    audience: "fnaa".to_owned(),
    user_claim: "sub".to_owned(),
    groups_claim: Some("groups".to_owned()),
    ca_file: None,
    trusted_names: true,
});
