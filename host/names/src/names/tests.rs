//! Against a real BIND, with its own root.

use std::net::UdpSocket;

use bind_node::{Bind, Zone};

use super::*;
use crate::Security::{self, Insecure, Secure};

const AGENT: &str = "_flow._tcp SRV 0 0 61000 fnaa\nfnaa A 192.0.2.1\n";

fn names(bind: &Bind) -> Names {
    asking(vec![bind.address()], bind.trust_anchors())
}

fn asking(servers: Vec<SocketAddr>, trust_anchors: &Path) -> Names {
    // Long, for a machine that does much else; nothing here waits for its end.
    patient(servers, trust_anchors, Duration::from_secs(60))
}

fn patient(servers: Vec<SocketAddr>, trust_anchors: &Path, timeout: Duration) -> Names {
    let trust_anchors = Some(trust_anchors.to_owned());
    Names::new(&Options { servers, trust_anchors, timeout, ..Options::default() }).unwrap()
}

async fn srv(names: &Names, domain: &str) -> Result<(Vec<String>, Security), LookupError> {
    let answer = names.srv(&format!("_flow._tcp.{domain}")).await?;
    let shown = |srv: &Srv| format!("{}:{}", srv.target, srv.port);
    Ok((answer.records.iter().map(shown).collect(), answer.security))
}

fn is_bogus<T: std::fmt::Debug>(result: &Result<T, LookupError>) -> bool {
    matches!(result, Err(LookupError::Bogus { .. }))
}

fn is_silence<T>(result: &Result<T, LookupError>) -> bool {
    matches!(result, Err(LookupError::TooSlow | LookupError::Unavailable { .. }))
}

#[tokio::test]
async fn a_signed_answer_is_secure_and_an_unsigned_one_is_not() {
    let bind =
        Bind::start(&[Zone::signed("emiliano.ar", AGENT), Zone::unsigned("plain.ar", AGENT)]);
    let names = names(&bind);
    let at = |host: &str| vec![format!("{host}:61000")];
    assert_eq!(srv(&names, "emiliano.ar").await, Ok((at("fnaa.emiliano.ar"), Secure)));
    assert_eq!(srv(&names, "EMILIANO.ar").await, Ok((at("fnaa.emiliano.ar"), Secure)));
    assert_eq!(srv(&names, "plain.ar").await, Ok((at("fnaa.plain.ar"), Insecure)));
}

#[tokio::test]
async fn that_there_is_nothing_is_proven_too() {
    let signed = |name| Zone::signed(name, AGENT);
    let bind = Bind::start(&[
        signed("emiliano.ar"),
        signed("hashed.ar").nsec3(0),
        Zone::unsigned("plain.ar", AGENT),
    ]);
    let names = names(&bind);
    for (owner, security) in [
        // No such name; a name without such a record; a name that only others lie below.
        ("_flow._tcp.x.emiliano.ar", Secure),
        ("fnaa.emiliano.ar", Secure),
        ("_tcp.emiliano.ar", Secure),
        ("_flow._tcp.x.hashed.ar", Secure),
        ("fnaa.hashed.ar", Secure),
        ("_flow._tcp.nowhere", Secure),
        ("_flow._tcp.x.plain.ar", Insecure),
        ("fnaa.plain.ar", Insecure),
    ] {
        let answer = names.srv(owner).await.unwrap();
        assert_eq!((answer.records.len(), answer.security), (0, security), "{owner}");
    }
}

#[tokio::test]
async fn what_dnssec_refutes_is_an_error_and_no_answer() {
    let bind = Bind::start(&[
        Zone::signed("forged.ar", AGENT).forged("61000 fnaa", "61001 fnaa"),
        Zone::signed("foreign.ar", AGENT).with_foreign_key(),
        Zone::signed("expired.ar", AGENT).expired(),
    ]);
    let names = names(&bind);
    for domain in ["forged.ar", "foreign.ar", "expired.ar"] {
        let answer = srv(&names, domain).await;
        assert!(is_bogus(&answer), "{domain}: {answer:?}");
    }
    // Only what was changed is refuted.
    let answer = names.tlsa("fnaa.forged.ar", 61000, Age::Any).await.unwrap();
    assert_eq!((answer.records.len(), answer.security), (0, Secure));
}

#[tokio::test]
async fn with_another_root_everything_is_refuted() {
    let ours = Bind::start(&[]);
    let theirs =
        Bind::start(&[Zone::signed("emiliano.ar", AGENT), Zone::unsigned("plain.ar", AGENT)]);
    let names = asking(vec![theirs.address()], ours.trust_anchors());
    for domain in ["emiliano.ar", "nowhere.ar"] {
        let answer = srv(&names, domain).await;
        assert!(is_bogus(&answer), "{domain}: {answer:?}");
    }
    // Nothing of this one is signed, so nothing can be refuted; it counts as little.
    let answer = srv(&names, "plain.ar").await;
    assert!(matches!(answer, Err(LookupError::Unproven { .. })), "{answer:?}");
}

#[tokio::test]
async fn aliases_are_followed_a_few_times_and_each_has_to_be_proven() {
    let chain = "_flow._tcp CNAME one\none CNAME two\ntwo CNAME three\nthree CNAME four\n\
                 four SRV 0 0 61000 fnaa\n_flow._tcp.long CNAME _flow._tcp\n\
                 _flow._tcp.ring CNAME _flow._tcp.ring\n\
                 _flow._tcp.out CNAME _flow._tcp.plain.ar.\n_flow._tcp.gone CNAME nobody\n";
    let bind = Bind::start(&[
        Zone::signed("emiliano.ar", chain),
        Zone::unsigned("plain.ar", &format!("{AGENT}_flow._tcp.in CNAME one.emiliano.ar.\n")),
    ]);
    let names = names(&bind);
    let at = |host: &str| vec![format!("{host}:61000")];
    assert_eq!(srv(&names, "emiliano.ar").await, Ok((at("fnaa.emiliano.ar"), Secure)));
    assert_eq!(srv(&names, "out.emiliano.ar").await, Ok((at("fnaa.plain.ar"), Insecure)));
    assert_eq!(srv(&names, "in.plain.ar").await, Ok((at("fnaa.emiliano.ar"), Insecure)));
    let answer = srv(&names, "long.emiliano.ar").await;
    assert!(matches!(answer, Err(LookupError::Aliases { .. })), "{answer:?}");
    // Servers differ in what they say about a ring; it is never an answer.
    assert!(srv(&names, "ring.emiliano.ar").await.is_err());
    // hickory takes the proof about the end of the chain for one about its beginning, and refutes it.
    assert!(is_bogus(&srv(&names, "gone.emiliano.ar").await));
}

#[tokio::test]
async fn a_wildcard_is_proven_with_what_it_stands_for() {
    let wild = "*.w SRV 0 0 61000 fnaa\n";
    let bind =
        Bind::start(&[Zone::signed("emiliano.ar", wild), Zone::signed("hashed.ar", wild).nsec3(0)]);
    let names = names(&bind);
    for zone in ["emiliano.ar", "hashed.ar"] {
        let at = vec![format!("fnaa.{zone}:61000")];
        assert_eq!(srv(&names, &format!("any.w.{zone}")).await, Ok((at, Secure)));
    }
}

#[tokio::test]
async fn an_answer_too_large_for_a_datagram_comes_whole() {
    let texts: String = (0..80)
        .map(|number| format!("_flow._tcp TXT \"{number} {}\"\n", "x".repeat(200)))
        .collect();
    let bind = Bind::start(&[Zone::signed("emiliano.ar", &texts)]);
    let answer = names(&bind).txt("_flow._tcp.emiliano.ar").await.unwrap();
    assert_eq!((answer.records.len(), answer.security), (80, Secure));
    let Txt(strings) = &answer.records[0];
    assert!(strings.len() == 1 && strings[0].ends_with(b"xxx"));
}

#[tokio::test]
async fn a_server_that_only_refers_to_others_is_no_answer() {
    let bind = Bind::start(&[Zone::lame("lame.ar")]);
    let answer = srv(&names(&bind), "lame.ar").await;
    assert!(matches!(answer, Err(LookupError::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_died_is_no_answer_until_it_is_back() {
    let mut bind = Bind::start(&[Zone::signed("emiliano.ar", AGENT)]);
    let names = patient(vec![bind.address()], bind.trust_anchors(), Duration::from_secs(2));
    bind.kill();
    let answer = srv(&names, "emiliano.ar").await;
    assert!(is_silence(&answer), "{answer:?}");
    bind.start_again();
    let end = Instant::now() + Duration::from_secs(60);
    while srv(&names, "emiliano.ar").await.is_err() {
        assert!(Instant::now() < end, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_no_more_than_the_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = Options {
        servers: vec![silent.local_addr().unwrap()],
        trust_anchors: None,
        timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let names = Names::new(&options).unwrap();
    let answer = srv(&names, "emiliano.ar").await;
    assert!(is_silence(&answer), "{answer:?}");
}

#[tokio::test]
async fn one_server_that_answers_is_enough() {
    let bind = Bind::start(&[Zone::signed("emiliano.ar", AGENT)]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = vec![silent.local_addr().unwrap(), bind.address()];
    let names = asking(servers, bind.trust_anchors());
    assert_eq!(srv(&names, "emiliano.ar").await.unwrap().1, Secure);
}

#[tokio::test]
async fn an_answer_is_remembered_while_its_server_is_gone() {
    let mut bind = Bind::start(&[Zone::signed("emiliano.ar", AGENT)]);
    let names = names(&bind);
    let answer = srv(&names, "emiliano.ar").await.unwrap();
    let ttl = names.srv("_flow._tcp.emiliano.ar").await.unwrap().ttl;
    assert!((SHORTEST..=Duration::from_secs(300)).contains(&ttl), "{ttl:?}");
    bind.kill();
    assert_eq!(srv(&names, "emiliano.ar").await.unwrap(), answer);
}

#[tokio::test]
async fn a_name_that_is_none_is_not_asked_for() {
    let options = Options { servers: vec![([127, 0, 0, 1], 9).into()], ..Options::default() };
    let names = Names::new(&options).unwrap();
    for owner in [format!("_flow._tcp.{}", "a.".repeat(130)), format!("{}.ar", "a".repeat(64))] {
        let answer = names.srv(&owner).await;
        assert!(matches!(answer, Err(LookupError::NoName(_))), "{owner}: {answer:?}");
    }
}

#[test]
fn trust_anchors_that_are_none_are_refused_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |text: &[u8]| {
        let path = dir.path().join("anchors");
        std::fs::write(&path, text).unwrap();
        let options = Options { trust_anchors: Some(path.clone()), ..Options::default() };
        let error = Names::new(&Options { servers: vec![([127, 0, 0, 1], 53).into()], ..options });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        error
    };
    refused(b"");
    refused(b"; . IN DNSKEY 257 3 13 AAAA\n");
    refused(b"nonsense DNSKEY\n");
    refused("; x\n".repeat(100_000).as_bytes());
    assert!(refused(b"\xff\xfe").ends_with("not a text of utf-8"));
}
