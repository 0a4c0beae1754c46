use super::*;

use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;

use crate::list::Account;
use crate::peer::DomainProof;
use crate::users::Settings;
use crate::{UserList, hash_password, scram_verifier};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Every failure takes so long, whatever failed.
const FAILURE: Duration = Duration::from_millis(300);

fn users_with(settings: Settings) -> Arc<Users> {
    let (verifier, scram) = (hash_password("right").unwrap(), scram_verifier("right").unwrap());
    let groups = ["ops".to_owned()];
    let ana = Account {
        name: "ana",
        verifier: Some(&verifier),
        scram: Some(&scram),
        groups: &groups,
        ..Account::default()
    };
    let di = Account { name: "di", disabled: true, ..ana.clone() };
    let mut list = UserList::default();
    list.add(&ana).unwrap();
    list.add(&di).unwrap();
    list.add(&Account { name: "bo", verifier: Some(&verifier), ..Account::default() }).unwrap();
    Arc::new(Users::with(list, settings, &[7; 32]).unwrap())
}

fn everything() -> Arc<Users> {
    users_with(Settings { anonymous: true, certificates: true, ..Settings::default() })
}

fn begin(users: &Arc<Users>, mechanism: Mechanism) -> Exchange {
    users.begin(mechanism, Peer::in_clear(HERE))
}

fn ana() -> Step {
    Step::Authenticated(Principal::user("ana", ["ops".to_owned()]))
}

#[tokio::test(start_paused = true)]
async fn plain_takes_a_password_at_once_or_when_it_is_asked() {
    let users = everything();
    assert_eq!(begin(&users, Mechanism::Plain).step(Some(b"\0ana\0right")).await, ana());
    let mut asked = begin(&users, Mechanism::Plain);
    assert_eq!(asked.step(None).await, Step::Challenge(Vec::new()));
    assert_eq!(asked.step(Some(b"ana\0ana\0right")).await, ana());
}

/// A client of SCRAM, from another hand than the server; gives what the host says at last, and how long
/// it took for that.
async fn scram(users: &Arc<Users>, user: &str, password: &str) -> (Step, Duration) {
    use rsasl::prelude::{Mechname, SASLClient, SASLConfig};
    let config = SASLConfig::with_credentials(None, user.to_owned(), password.to_owned()).unwrap();
    let offered = [Mechname::parse(b"SCRAM-SHA-256").unwrap()];
    let mut client = SASLClient::new(config).start_suggested(&offered).unwrap();
    let mut host = begin(users, Mechanism::ScramSha256);
    let mut step = host.step(None).await;
    loop {
        let Step::Challenge(challenge) = &step else { panic!("{step:?}") };
        let challenge = (!challenge.is_empty()).then_some(challenge.as_slice());
        let mut response = Vec::new();
        client.step(challenge, &mut response).unwrap();
        let began = Instant::now();
        step = host.step(Some(&response)).await;
        if !matches!(step, Step::Challenge(_)) {
            return (step, began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_scram_client_proves_its_password_and_the_host_its_own_knowledge() {
    assert_eq!(scram(&everything(), "ana", "right").await.0, ana());
}

#[tokio::test(start_paused = true)]
async fn a_scram_client_that_cannot_is_refused_whoever_it_is() {
    for (user, password) in
        [("ana", "wrong"), ("bo", "right"), ("cy", "right"), ("di", "right"), ("di", "wrong")]
    {
        assert_eq!(scram(&everything(), user, password).await, (Step::Refused, FAILURE), "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_guesses_at_once_with_scram_gets_no_more_guesses_than_one_after_another() {
    let users = everything();
    let mut guesses = tokio::task::JoinSet::new();
    for number in 0..40_u32 {
        let peer = Peer::in_clear(Ipv4Addr::from(0x0a00_0000 + number).into());
        let mut exchange = users.begin(Mechanism::ScramSha256, peer);
        let step = exchange.step(Some(b"n,,n=ana,r=0123456789")).await;
        let Step::Challenge(challenge) = step else { panic!("{step:?}") };
        let challenge = String::from_utf8(challenge).unwrap();
        let nonce = challenge.split(',').next().unwrap().to_owned();
        let proof = format!("c=biws,{nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        guesses.spawn(async move { exchange.step(Some(proof.as_bytes())).await });
    }
    let said = guesses.join_all().await;
    let checked = said.iter().filter(|said| **said == Step::Refused).count();
    assert!((1..=4).contains(&checked), "{checked} guesses");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_challenges_and_gives_up_has_failed_whether_the_user_exists_or_not() {
    for user in ["ana", "nobody"] {
        let users = everything();
        let first = format!("n,,n={user},r=0123456789");
        let mut steps = Vec::new();
        for _ in 0..8 {
            let mut exchange = begin(&users, Mechanism::ScramSha256);
            steps.push(exchange.step(Some(first.as_bytes())).await);
        }
        assert!(matches!(steps[0], Step::Challenge(_)), "{steps:?}");
        assert!(matches!(steps[7], Step::Busy { .. }), "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_who_is_disabled_during_the_exchange_does_not_come_in() {
    let users = everything();
    let mut state = begin(&users, Mechanism::ScramSha256);
    state.state = State::Proven("ana".to_owned());
    users.replace(UserList::parse("[[users]]\nname = \"ana\"\ndisabled = true\n", "u").unwrap());
    assert_eq!(state.step(Some(b"")).await, Step::Refused);
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_every_mechanism_takes_the_same_time() {
    let wrong: [(Mechanism, &[u8]); 13] = [
        (Mechanism::Plain, b""),
        (Mechanism::Plain, b"ana"),
        (Mechanism::Plain, b"\0ana\0wrong"),
        (Mechanism::Plain, b"\0cy\0right"),
        (Mechanism::Plain, b"\0di\0right"),
        (Mechanism::Plain, b"\0\xff\0right"),
        (Mechanism::Plain, b"bo\0ana\0right"),
        (Mechanism::ScramSha256, b"n"),
        (Mechanism::ScramSha256, b"p=tls-exporter,,n=ana,r=0123456789"),
        (Mechanism::External, b""),
        (Mechanism::External, b"domain:a.test"),
        (Mechanism::Anonymous, b"\xff"),
        (Mechanism::OauthBearer, b"n,,\x01auth=Bearer a.b.c\x01\x01"),
    ];
    for (mechanism, response) in wrong {
        let mut exchange = begin(&everything(), mechanism);
        let began = Instant::now();
        let step = exchange.step(Some(response)).await;
        assert_eq!((step, began.elapsed()), (Step::Refused, FAILURE), "{mechanism:?} {response:?}");
        assert_eq!(exchange.step(Some(response)).await, Step::Refused, "it is over");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_of_any_mechanism_make_the_next_one_wait() {
    let users = everything();
    for _ in 0..9 {
        begin(&users, Mechanism::External).step(Some(b"")).await;
    }
    let step = begin(&users, Mechanism::Plain).step(Some(b"\0ana\0right")).await;
    assert!(matches!(step, Step::Busy { .. }), "{step:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_in_particular_comes_in_where_the_operator_lets_him() {
    let nobody = Step::Authenticated(Principal::anonymous());
    let long = "é".repeat(MAX_TRACE + 1);
    let users = everything();
    for trace in ["", "ana@example.com", &long[..2 * MAX_TRACE]] {
        assert_eq!(begin(&users, Mechanism::Anonymous).step(Some(trace.as_bytes())).await, nobody);
    }
    assert_eq!(
        begin(&users, Mechanism::Anonymous).step(Some(long.as_bytes())).await,
        Step::Refused
    );
    let closed = users_with(Settings::default());
    assert_eq!(begin(&closed, Mechanism::Anonymous).step(Some(b"")).await, Step::Refused);
    assert_eq!(closed.mechanisms(), [Mechanism::Plain, Mechanism::ScramSha256]);
}

/// Vouches for `a.test`, of peers with a certificate.
#[derive(Debug)]
struct ForA;

#[async_trait]
impl DomainProof for ForA {
    async fn proves(&self, domain: &Name, peer: &Peer) -> Result<bool, String> {
        assert!(!peer.certificates.is_empty());
        match domain.as_str() {
            "a.test" => Ok(true),
            "b.test" => Ok(false),
            _ => Err("no answer".to_owned()),
        }
    }
}

fn certificate(user: &str) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    let uri = format!("fnap:user:{user}");
    params.subject_alt_names.push(rcgen::SanType::URI(uri.try_into().unwrap()));
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

async fn external(users: &Arc<Users>, user: &str, verified: bool, authorize: &str) -> Step {
    let certificates = vec![certificate(user)];
    let peer = Peer { certificates, verified, encrypted: true, ..Peer::in_clear(HERE) };
    users.begin(Mechanism::External, peer).step(Some(authorize.as_bytes())).await
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_the_operators_authority_is_its_user() {
    let users = everything();
    for authorize in ["", "ana", "user:ana"] {
        assert_eq!(external(&users, "ana", true, authorize).await, ana(), "{authorize}");
    }
    let eve = Step::Authenticated(Principal::user("eve", []));
    assert_eq!(external(&users, "eve", true, "").await, eve, "also who is not in the list");
    for (user, verified, authorize) in
        [("ana", false, ""), ("ana", true, "bo"), ("di", true, ""), ("ana", true, "a.test")]
    {
        let users = everything();
        assert_eq!(external(&users, user, verified, authorize).await, Step::Refused, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_domain_comes_in_where_somebody_vouches_for_its_certificate() {
    let users = users_with(Settings::default());
    assert_eq!(external(&users, "ana", false, "domain:a.test").await, Step::Refused);
    users.ask_for_domains(Arc::new(ForA));
    let domain = Step::Authenticated(Principal::domain("a.test".parse().unwrap()));
    for authorize in ["a.test", "domain:A.test"] {
        assert_eq!(external(&users, "ana", false, authorize).await, domain);
    }
    for authorize in ["c.test", "domain:c.test"] {
        assert_eq!(external(&users, "ana", false, authorize).await, Step::Unknown, "{authorize}");
    }
    for authorize in ["", "b.test", "user:a.test"] {
        let users = users_with(Settings::default());
        users.ask_for_domains(Arc::new(ForA));
        assert_eq!(external(&users, "ana", false, authorize).await, Step::Refused, "{authorize}");
    }
    let bare = users.begin(Mechanism::External, Peer::in_clear(HERE)).step(Some(b"a.test")).await;
    assert_eq!(bare, Step::Refused, "without a certificate");
}

#[tokio::test(start_paused = true)]
async fn names_are_not_looked_up_without_end_for_an_address_whose_look_ups_nobody_answers() {
    let users = users_with(Settings::default());
    users.ask_for_domains(Arc::new(ForA));
    let mut told = Vec::new();
    for _ in 0..100 {
        told.push(external(&users, "ana", false, "domain:c.test").await);
    }
    let unknown = told.iter().filter(|step| **step == Step::Unknown).count();
    assert!((16..25).contains(&unknown), "{told:?}");
    assert!(matches!(told.last(), Some(Step::Busy { .. })), "{told:?}");
    // Whoever does not come as a domain is not told to wait.
    assert_eq!(external(&users, "ana", true, "").await, ana());
    let peer = Peer {
        certificates: vec![certificate("ana")],
        encrypted: true,
        ..Peer::in_clear([192, 0, 2, 1].into())
    };
    let elsewhere = users.begin(Mechanism::External, peer).step(Some(b"domain:c.test")).await;
    assert_eq!(elsewhere, Step::Unknown);
    // The answered ones are no reason to wait, however many there are.
    let users = users_with(Settings::default());
    users.ask_for_domains(Arc::new(ForA));
    for _ in 0..100 {
        let step = external(&users, "ana", false, "domain:a.test").await;
        assert!(matches!(step, Step::Authenticated(_)), "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_has_expired_since_the_handshake_holds_no_longer() {
    let until = |verified: bool, authorize: &'static str, year: i32| async move {
        let users = everything();
        users.ask_for_domains(Arc::new(ForA));
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI("fnap:user:ana".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let leaf = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let certificates = vec![leaf.der().to_vec()];
        let peer = Peer { certificates, verified, encrypted: true, ..Peer::in_clear(HERE) };
        let mut exchange = users.begin(Mechanism::External, peer);
        let step = exchange.step(Some(authorize.as_bytes())).await;
        let Step::Authenticated(principal) = step else { panic!("{step:?}") };
        let standing = users.follow(&principal, exchange.until());
        (exchange.until().is_some(), standing.has_ended().is_some())
    };
    assert_eq!(until(true, "user:ana", 2100).await, (true, false));
    assert_eq!(until(true, "user:ana", 2001).await, (true, true));
    assert_eq!(until(false, "domain:a.test", 2100).await, (true, false));
    // Its domain published this very certificate, which counts whatever it says.
    assert_eq!(until(false, "domain:a.test", 2001).await, (false, false));
}

fn with_provider(issuer: &str) -> Arc<Users> {
    let provider = crate::oauth::ProviderSettings {
        name: "corp".to_owned(),
        issuer: issuer.to_owned(),
        audience: "fnaad".to_owned(),
        user_claim: "sub".to_owned(),
        groups_claim: None,
        ca_file: None,
        trusted_names: true,
    };
    users_with(Settings { providers: vec![provider], ..Settings::default() })
}

#[tokio::test]
async fn a_provider_that_does_not_answer_keeps_nobody_else_out() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let users = with_provider(&issuer);
    let claims = engine.encode(format!("{{\"iss\":\"{issuer}\"}}"));
    let header = engine.encode("{\"alg\":\"ES256\",\"kid\":\"x\"}");
    let message = format!("n,,\x01auth=Bearer {header}.{claims}.AAAA\x01\x01");
    let waiting: Vec<_> = (0..300_u32)
        .map(|number| {
            let peer = Peer::in_clear(Ipv4Addr::from(0x0a00_0000 + number).into());
            let mut exchange = users.begin(Mechanism::OauthBearer, peer);
            let message = message.clone();
            tokio::spawn(async move { exchange.step(Some(message.as_bytes())).await })
        })
        .collect();
    // The provider has been asked: everybody waits for it.
    let (asked, listener) = (silent.try_clone().unwrap(), silent);
    let question = tokio::task::spawn_blocking(move || asked.accept().unwrap().0).await.unwrap();
    assert_eq!(begin(&users, Mechanism::Plain).step(Some(b"\0ana\0right")).await, ana());
    assert_eq!(scram(&users, "ana", "right").await.0, ana());
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    drop((question, listener));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_is_nobodys_failure_but_is_not_asked_for_without_end() {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    // Nobody may listen there, and nobody does.
    let issuer = "http://127.0.0.1:1";
    let users = with_provider(issuer);
    let claims = engine.encode(format!("{{\"iss\":\"{issuer}\"}}"));
    let header = engine.encode("{\"alg\":\"ES256\",\"kid\":\"x\"}");
    let message = format!("n,,\x01auth=Bearer {header}.{claims}.AAAA\x01\x01");
    let mut told = Vec::new();
    for _ in 0..100 {
        let mut exchange = begin(&users, Mechanism::OauthBearer);
        told.push(exchange.step(Some(message.as_bytes())).await);
    }
    assert_eq!(told.first(), Some(&Step::Unknown));
    assert!(told.iter().all(|step| matches!(step, Step::Unknown | Step::Busy { .. })), "{told:?}");
    assert!(matches!(told.last(), Some(Step::Busy { .. })), "{told:?}");
    // From the same address, at once.
    let began = Instant::now();
    assert_eq!(begin(&users, Mechanism::Plain).step(Some(b"\0ana\0right")).await, ana());
    assert_eq!(began.elapsed(), Duration::ZERO, "had to wait as if somebody had guessed");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_none_is_told_once_and_never_lets_anybody_in() {
    let users = with_provider("https://id.test/realm");
    for answer in [&b"\x01"[..], b"", b"n,,\x01auth=Bearer a.b.c\x01\x01"] {
        let mut exchange = begin(&users, Mechanism::OauthBearer);
        let began = Instant::now();
        let step = exchange.step(Some(b"n,,\x01auth=Bearer a.b.c\x01\x01")).await;
        let Step::Challenge(told) = step else { panic!("{step:?}") };
        assert!(began.elapsed() >= FAILURE);
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["status"], "invalid_token");
        let place = "https://id.test/realm/.well-known/openid-configuration";
        assert_eq!(told["openid-configuration"], place);
        assert_eq!(exchange.step(Some(answer)).await, Step::Refused);
    }
}
