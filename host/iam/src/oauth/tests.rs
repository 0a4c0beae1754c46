//! Tokens of a provider that a test makes itself, over loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::keys::{ASKED_EVERY, FRESH_FOR, KEPT_FOR, MAX_WAITING};
use super::token::{Key, LONGEST, Token, refuse_out_of_time};
use super::*;

/// A provider's key, secret half included.
enum Signer {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random).unwrap())
    }

    fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    fn public(&self, id: &str) -> Value {
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
                    "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Self::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": id,
                "x": encode(pair.public_key().as_ref()) }),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let proof = match self {
            Self::P256(pair) => {
                pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap().as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        };
        format!("{text}.{}", encode(proof))
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        self.sign(&json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" }), claims)
    }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// What a provider publishes; `None` where it does not answer.
#[derive(Clone)]
struct Published(Arc<Mutex<(Option<Value>, usize)>>);

impl Published {
    fn set(&self, keys: Option<Vec<Value>>) {
        self.0.lock().unwrap().0 = keys.map(|keys| json!({ "keys": keys }));
    }

    fn questions(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

fn provider_of(keys: Vec<Value>) -> (ProviderSettings, Published) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let published = Published(Arc::new(Mutex::new((Some(json!({ "keys": keys })), 0))));
    let shown = published.clone();
    std::thread::spawn(move || serve(&listener, address, &shown));
    let settings = ProviderSettings {
        name: "corp".to_owned(),
        issuer: format!("http://{address}/realm"),
        audience: "fnaad".to_owned(),
        user_claim: "preferred_username".to_owned(),
        groups_claim: Some("groups".to_owned()),
        ca_file: None,
        trusted_names: false,
    };
    (settings, published)
}

fn serve(listener: &TcpListener, address: SocketAddr, published: &Published) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        while lines.next().is_some_and(|line| !line.is_empty()) {}
        let body = {
            let mut published = published.0.lock().unwrap();
            published.1 += usize::from(first.contains("/keys"));
            match &published.0 {
                None => continue,
                Some(keys) if first.contains("/keys") => keys.to_string(),
                Some(_) => json!({ "issuer": format!("http://{address}/realm"),
                    "jwks_uri": format!("http://{address}/keys") })
                .to_string(),
            }
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        drop(write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(issuer: &str) -> Value {
    json!({ "iss": issuer, "aud": ["account", "fnaad"], "exp": now() + 300, "sub": "4711",
        "preferred_username": "ana", "groups": ["ops", "users"] })
}

fn changed(claims: &Value, key: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[key] = value;
    claims
}

async fn refusal(providers: &[Provider], token: &str) -> &'static str {
    match check(providers, token).await.unwrap_err() {
        NoBearer::Wrong(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_token_names_a_user_of_the_provider_and_his_groups() {
    for signer in [Signer::p256(), Signer::ed25519()] {
        let (settings, _published) = provider_of(vec![signer.public("one")]);
        let token = signer.token("one", &claims(&settings.issuer));
        let providers = [Provider::new(settings.clone())];
        let bearer = check(&providers, &token).await.unwrap();
        assert_eq!(
            (bearer.user.as_str(), bearer.groups),
            ("ana@corp", vec!["ops@corp".to_owned()])
        );
        let providers = [Provider::new(ProviderSettings { trusted_names: true, ..settings })];
        let bearer = check(&providers, &token).await.unwrap();
        assert_eq!((bearer.user.as_str(), bearer.groups), ("ana", vec!["ops".to_owned()]));
    }
}

#[tokio::test]
async fn a_token_that_is_wrong_in_one_thing_is_refused() {
    let signer = Signer::p256();
    let (settings, _published) = provider_of(vec![signer.public("one")]);
    let good = claims(&settings.issuer);
    let providers = [Provider::new(settings)];
    for (key, value, why) in [
        ("iss", json!("http://127.0.0.1/else"), "unknown issuer"),
        ("aud", json!("other"), "another audience"),
        ("aud", Value::Null, "another audience"),
        ("exp", json!(now() - 60), "expired"),
        ("exp", json!("never"), "no end"),
        ("exp", json!(1e300), "end is none"),
        ("nbf", json!(now() + 60), "not valid yet"),
        ("nbf", json!("0"), "beginning is none"),
        ("preferred_username", json!(7), "does not name a user"),
        ("preferred_username", json!("a\u{7}"), "can be none"),
        ("preferred_username", json!(""), "can be none"),
        // A soft hyphen, which looks like nothing and is nothing.
        ("preferred_username", json!("\u{ad}"), "can be none"),
        ("typ", json!("ID"), "no access token"),
        ("typ", json!("Refresh"), "no access token"),
        ("typ", json!(1), "no access token"),
    ] {
        let token = signer.token("one", &changed(&good, key, value));
        assert!(refusal(&providers, &token).await.contains(why), "{why}");
    }
    let token = signer.token("one", &good);
    let (text, proof) = token.rsplit_once('.').unwrap();
    let (header, _) = text.split_once('.').unwrap();
    let other = encode(changed(&good, "preferred_username", json!("root")).to_string());
    let tampered = format!("{header}.{other}.{proof}");
    assert!(refusal(&providers, &tampered).await.contains("signature is wrong"));
    for none in ["", "a", "a.b", "a.b.c", "e30.e30.", &token.replace('.', "..")] {
        assert!(check(&providers, none).await.is_err(), "{none}");
    }
    assert!(check(&providers, &token).await.is_ok());
}

#[tokio::test]
async fn whoever_comes_in_with_a_token_comes_again_at_its_end_and_within_a_day() {
    let signer = Signer::ed25519();
    let (settings, _published) = provider_of(vec![signer.public("one")]);
    let good = claims(&settings.issuer);
    let providers = [Provider::new(settings)];
    let ends = now() + 300;
    for (exp, least, most) in [
        (json!(ends), ends, ends + 60),
        (json!(now() + 90 * 86_400), now() + LONGEST.as_secs(), now() + LONGEST.as_secs() + 600),
        (json!(1e12), now() + LONGEST.as_secs(), now() + LONGEST.as_secs() + 600),
    ] {
        let token = signer.token("one", &changed(&good, "exp", exp));
        let until = check(&providers, &token).await.unwrap().until;
        let until = until.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((least..=most).contains(&until), "{until} is not within {least} to {most}");
    }
}

#[tokio::test]
async fn the_key_decides_the_algorithm_and_not_the_token() {
    let signer = Signer::p256();
    let (settings, _published) = provider_of(vec![signer.public("one")]);
    let good = claims(&settings.issuer);
    let providers = [Provider::new(settings)];
    for header in [
        json!({ "alg": "none", "kid": "one" }),
        json!({ "alg": "HS256", "kid": "one" }),
        json!({ "alg": "RS256", "kid": "one" }),
        json!({ "kid": "one" }),
        json!({ "alg": "ES256", "kid": "one", "crit": ["exp"] }),
    ] {
        assert!(check(&providers, &signer.sign(&header, &good)).await.is_err(), "{header}");
    }
    for (typ, taken) in [
        ("at+jwt", true),
        ("AT+JWT", true),
        ("application/at+jwt", true),
        ("logout+jwt", false),
        ("dpop+jwt", false),
    ] {
        let header = json!({ "alg": "ES256", "kid": "one", "typ": typ });
        let keycloak = changed(&good, "typ", json!("Bearer"));
        let said = check(&providers, &signer.sign(&header, &keycloak)).await;
        assert_eq!(said.is_ok(), taken, "{typ}");
    }
    let without_id = signer.sign(&json!({ "alg": "ES256" }), &good);
    assert!(check(&providers, &without_id).await.is_ok(), "there is one key only");
}

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_again_when_an_unknown_one_signs_but_seldom() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let (settings, published) = provider_of(vec![old.public("old")]);
    let good = claims(&settings.issuer);
    let providers = [Provider::new(settings)];
    assert!(check(&providers, &old.token("old", &good)).await.is_ok());
    published.set(Some(vec![new.public("new")]));
    for _ in 0..3 {
        assert!(check(&providers, &new.token("new", &good)).await.is_err());
    }
    assert_eq!(published.questions(), 1, "asked too often");
    tokio::time::advance(ASKED_EVERY).await;
    assert!(check(&providers, &new.token("new", &good)).await.is_ok());
    assert!(check(&providers, &old.token("old", &good)).await.is_err(), "taken back");
}

#[tokio::test(start_paused = true)]
async fn known_keys_go_on_while_the_provider_is_away_but_not_for_ever() {
    let signer = Signer::ed25519();
    let (settings, published) = provider_of(vec![signer.public("one")]);
    let token = signer.token("one", &claims(&settings.issuer));
    let providers = [Provider::new(settings)];
    assert!(check(&providers, &token).await.is_ok());
    published.set(None);
    tokio::time::advance(FRESH_FOR).await;
    assert!(check(&providers, &token).await.is_ok());
    tokio::time::advance(KEPT_FOR - FRESH_FOR).await;
    assert_eq!(check(&providers, &token).await, Err(NoBearer::Unknown));
    published.set(Some(vec![signer.public("one")]));
    tokio::time::advance(ASKED_EVERY + Duration::from_secs(1)).await;
    assert!(check(&providers, &token).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_silent_provider_might_know_is_not_said_to_be_wrong() {
    let (old, new) = (Signer::p256(), Signer::ed25519());
    let (settings, published) = provider_of(vec![old.public("old")]);
    let good = claims(&settings.issuer);
    let providers = [Provider::new(settings)];
    assert!(check(&providers, &old.token("old", &good)).await.is_ok());
    published.set(None);
    tokio::time::advance(ASKED_EVERY).await;
    for _ in 0..2 {
        let unknown = check(&providers, &new.token("new", &good)).await;
        assert_eq!(unknown, Err(NoBearer::Unknown));
    }
    assert!(check(&providers, &old.token("old", &good)).await.is_ok(), "a known one");
    published.set(Some(vec![old.public("old")]));
    tokio::time::advance(ASKED_EVERY).await;
    assert!(refusal(&providers, &new.token("new", &good)).await.contains("no key"));
}

/// A provider that takes questions and answers none, until it is dropped.
struct Silent {
    listener: TcpListener,
    provider: Arc<[Provider]>,
    token: String,
}

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut settings, _) = provider_of(Vec::new());
        settings.issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let token = Signer::ed25519().token("unknown", &claims(&settings.issuer));
        Self { listener, provider: Arc::new([Provider::new(settings)]), token }
    }

    fn check(&self) -> tokio::task::JoinHandle<Result<Bearer, NoBearer>> {
        let (provider, token) = (Arc::clone(&self.provider), self.token.clone());
        tokio::spawn(async move { check(&provider, &token).await })
    }

    /// The next question.
    async fn asked(&self) -> std::net::TcpStream {
        let listener = self.listener.try_clone().unwrap();
        tokio::task::spawn_blocking(move || listener.accept().unwrap().0).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_provider_that_does_not_answer_waits_for_one_question() {
    let silent = Silent::new();
    let mut waiting: Vec<_> = (0..5).map(|_| silent.check()).collect();
    let question = silent.asked().await;
    // Who asked goes away: nobody asks again for those behind him.
    waiting.remove(0).abort();
    tokio::time::advance(2 * ASKED_EVERY).await;
    drop(question);
    silent.listener.set_nonblocking(true).unwrap();
    for check in waiting {
        assert_eq!(check.await.unwrap(), Err(NoBearer::Unknown));
    }
    assert!(silent.listener.accept().is_err(), "asked again");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_for_a_provider() {
    let silent = Silent::new();
    let waiting: Vec<_> = (0..MAX_WAITING).map(|_| silent.check()).collect();
    let question = silent.asked().await;
    assert_eq!(silent.check().await.unwrap(), Err(NoBearer::TooMany));
    drop(question);
    for check in waiting {
        assert_eq!(check.await.unwrap(), Err(NoBearer::Unknown));
    }
}

#[tokio::test]
async fn a_key_for_something_else_signs_nothing() {
    let signer = Signer::p256();
    for (key, value) in [("use", json!("enc")), ("alg", json!("ES512")), ("crv", json!("P-384"))] {
        let (settings, _published) = provider_of(vec![changed(&signer.public("one"), key, value)]);
        let token = signer.token("one", &claims(&settings.issuer));
        assert!(check(&[Provider::new(settings)], &token).await.is_err(), "{key}");
    }
}

// RFC 7515, appendix A.2.
#[test]
fn the_signed_token_of_the_rfc_is_right_and_long_expired() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
        T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS\
        -UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et\
        hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
        c19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_\
        O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Q\
        e7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY\
        9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let key = |n: &str| Key::Rsa { n: URL_SAFE_NO_PAD.decode(n).unwrap(), e: vec![1, 0, 1] };
    let token = Token::parse(token).unwrap();
    let claims = token.verified(&key(n)).unwrap();
    assert_eq!(refuse_out_of_time(claims, SystemTime::now()), Err("the token is expired"));
    assert!(token.verified(&key(&n.replace("ofgW", "ofgX"))).is_err());
}
