//! Against a real BIND, with certificates of the tests' own authorities.

use std::fmt::Write as _;

use bind_node::{Bind, Zone};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::Options;
use crate::testing::{Authority, expired, host};

const PATIENCE: Duration = Duration::from_secs(60);

fn domains(bind: &Bind, roots: Roots) -> Domains {
    patient(bind, roots, PATIENCE)
}

fn patient(bind: &Bind, roots: Roots, timeout: Duration) -> Domains {
    let options = Options {
        servers: vec![bind.address()],
        trust_anchors: Some(bind.trust_anchors().to_owned()),
        timeout,
        ..Options::default()
    };
    Domains::new(Names::new(&options).unwrap(), roots, timeout)
}

async fn ask(domains: &Domains, domain: &str, certificate: &[u8]) -> Result<Verdict, LookupError> {
    domains.proves(&domain.parse().unwrap(), &[certificate.to_vec()]).await
}

/// A record that means this public key or certificate by its SHA-256.
fn tlsa(owner: &str, usage: u8, selector: u8, selected: &[u8]) -> String {
    let digest = Sha256::digest(selected);
    let mut hex = String::new();
    digest.iter().for_each(|octet| write!(hex, "{octet:02x}").unwrap());
    format!("_61000._tcp.{owner} TLSA {usage} {selector} 1 {hex}\n")
}

const AGENT: &str = "_flow._tcp SRV 0 0 61000 fnaa\n";

fn refused(why: Refusal) -> Result<Verdict, LookupError> {
    Ok(Verdict::Refused(why))
}

const PROVEN: Result<Verdict, LookupError> = Ok(Verdict::Proven);

#[tokio::test]
async fn a_signed_domain_needs_a_certificate_with_the_name_of_its_agent() {
    let elsewhere = "_flow._tcp SRV 0 0 61000 agent.hosting.example.\n";
    let bind = Bind::start(&[
        Zone::signed("emiliano.ar", AGENT),
        Zone::signed("hosted.ar", elsewhere),
        Zone::signed("silent.ar", ""),
        Zone::signed("closed.ar", "_flow._tcp SRV 0 0 0 .\n"),
    ]);
    let authority = Authority::root("trusted");
    let domains = domains(&bind, authority.roots());
    let agent = authority.host(&["fnaa.emiliano.ar"]);
    assert_eq!(ask(&domains, "emiliano.ar", &agent).await, PROVEN);
    for other in ["hosted.ar", "silent.ar", "closed.ar", "nobody.ar"] {
        assert!(matches!(ask(&domains, other, &agent).await, Ok(Verdict::Refused(_))), "{other}");
    }
    let hosting = authority.host(&["agent.hosting.example"]);
    assert_eq!(ask(&domains, "hosted.ar", &hosting).await, PROVEN);
    assert_eq!(ask(&domains, "emiliano.ar", &hosting).await, refused(Refusal::NotNamed));
    // The certificate of the domain's web server is not its agent's.
    let web = authority.host(&["emiliano.ar", "www.emiliano.ar"]);
    assert_eq!(ask(&domains, "emiliano.ar", &web).await, refused(Refusal::NotNamed));
    let stranger = Authority::root("trusted").host(&["fnaa.emiliano.ar"]);
    assert_eq!(ask(&domains, "emiliano.ar", &stranger).await, refused(Refusal::NotTrusted));
    let (old, _) = authority.leaf(&expired(&["fnaa.emiliano.ar"]));
    assert_eq!(ask(&domains, "emiliano.ar", &old).await, refused(Refusal::NotTrusted));
    assert_eq!(ask(&domains, "silent.ar", &agent).await, refused(Refusal::NoAgent));
    assert_eq!(ask(&domains, "emiliano.ar", b"x").await, refused(Refusal::NoCertificate));
}

#[tokio::test]
async fn without_signatures_the_certificate_has_to_name_the_domain_too() {
    // What an answer looks like that somebody forged: it leads to a host of his own.
    let stolen = "_flow._tcp SRV 0 0 61000 evil.example.\n";
    let bind =
        Bind::start(&[Zone::unsigned("plain.ar", AGENT), Zone::unsigned("victim.ar", stolen)]);
    let authority = Authority::root("trusted");
    let domains = domains(&bind, authority.roots());
    let evil = authority.host(&["evil.example"]);
    assert_eq!(ask(&domains, "victim.ar", &evil).await, refused(Refusal::DomainNotNamed));
    let agent = authority.host(&["fnaa.plain.ar"]);
    assert_eq!(ask(&domains, "plain.ar", &agent).await, refused(Refusal::DomainNotNamed));
    let both = authority.host(&["fnaa.plain.ar", "plain.ar"]);
    assert_eq!(ask(&domains, "plain.ar", &both).await, PROVEN);
    let web = authority.host(&["plain.ar"]);
    assert_eq!(ask(&domains, "plain.ar", &web).await, refused(Refusal::NotNamed));
}

#[tokio::test]
async fn tlsa_lets_in_without_an_authority_where_it_is_signed_and_only_there() {
    let private = Authority::root("private");
    let (agent, key) = private.leaf(&host(&["fnaa.emiliano.ar"]));
    let records = format!("{AGENT}{}", tlsa("fnaa", 3, 1, &key));
    let bind = Bind::start(&[
        Zone::signed("emiliano.ar", &records),
        Zone::unsigned("plain.ar", &records),
        Zone::signed("bare.ar", AGENT),
    ]);
    let trusted = Authority::root("trusted");
    let domains = domains(&bind, trusted.roots());
    assert_eq!(ask(&domains, "emiliano.ar", &agent).await, PROVEN);
    let (own, _) = private.leaf(&host(&["fnaa.plain.ar", "plain.ar"]));
    assert_eq!(ask(&domains, "plain.ar", &own).await, refused(Refusal::NotTrusted));
    let (own, _) = private.leaf(&host(&["fnaa.bare.ar"]));
    assert_eq!(ask(&domains, "bare.ar", &own).await, refused(Refusal::NotTrusted));
    // Where a domain says which certificates are its own, nobody else's word counts.
    let issued = trusted.host(&["fnaa.emiliano.ar"]);
    assert_eq!(ask(&domains, "emiliano.ar", &issued).await, refused(Refusal::NotPublished));
    let issued = trusted.host(&["fnaa.bare.ar"]);
    assert_eq!(ask(&domains, "bare.ar", &issued).await, PROVEN);
}

#[tokio::test]
async fn tlsa_of_a_host_in_a_zone_without_signatures_counts_for_nothing() {
    let private = Authority::root("private");
    let (agent, key) = private.leaf(&host(&["fnaa.plain.ar"]));
    let bind = Bind::start(&[
        Zone::signed("emiliano.ar", "_flow._tcp SRV 0 0 61000 fnaa.plain.ar.\n"),
        Zone::unsigned("plain.ar", &tlsa("fnaa", 3, 1, &key)),
    ]);
    let trusted = Authority::root("trusted");
    let domains = domains(&bind, trusted.roots());
    assert_eq!(ask(&domains, "emiliano.ar", &agent).await, refused(Refusal::NotTrusted));
    assert_eq!(ask(&domains, "emiliano.ar", &trusted.host(&["fnaa.plain.ar"])).await, PROVEN);
}

#[tokio::test]
async fn what_dns_refutes_or_does_not_answer_is_not_decided() {
    let private = Authority::root("private");
    let (agent, key) = private.leaf(&host(&["fnaa.emiliano.ar"]));
    let records = format!("{AGENT}{}", tlsa("fnaa", 3, 1, &key));
    let mut bind = Bind::start(&[
        Zone::signed("forged.ar", &records).forged("61000 fnaa", "61001 fnaa"),
        Zone::signed("spoilt.ar", &records).forged("TLSA\t3 1 1", "TLSA\t3 0 1"),
        Zone::lame("lame.ar"),
    ]);
    let domains = domains(&bind, private.roots());
    for domain in ["forged.ar", "spoilt.ar", "lame.ar"] {
        let (own, _) = private.leaf(&host(&[&format!("fnaa.{domain}")]));
        let said = ask(&domains, domain, &own).await;
        assert!(said.is_err(), "{domain}: {said:?}");
    }
    bind.kill();
    let domains = patient(&bind, private.roots(), Duration::from_millis(500));
    assert!(ask(&domains, "emiliano.ar", &agent).await.is_err());
}

#[tokio::test]
async fn any_of_several_agents_may_come() {
    let agents = "_flow._tcp SRV 10 0 61000 one\n_flow._tcp SRV 20 0 61000 two\n\
                  _flow._tcp SRV 30 0 61000 fnaa.lame.ar.\n";
    let private = Authority::root("private");
    let (one, key) = private.leaf(&host(&["one.emiliano.ar"]));
    let records = format!("{agents}{}", tlsa("one", 3, 1, &key));
    let bind = Bind::start(&[Zone::signed("emiliano.ar", &records), Zone::lame("lame.ar")]);
    let trusted = Authority::root("trusted");
    let domains = domains(&bind, trusted.roots());
    assert_eq!(ask(&domains, "emiliano.ar", &one).await, PROVEN);
    assert_eq!(ask(&domains, "emiliano.ar", &trusted.host(&["two.emiliano.ar"])).await, PROVEN);
    // A third one cannot be asked about: who is neither of the others may be he.
    let third = ask(&domains, "emiliano.ar", &trusted.host(&["fnaa.lame.ar"])).await;
    assert!(third.is_err(), "{third:?}");
}

#[tokio::test]
async fn the_records_of_the_proof_of_concept_count_where_there_are_no_others() {
    let bind = Bind::start(&[
        Zone::signed("emiliano.ar", "@ SRV 0 0 61000 fnaa\n"),
        Zone::signed("both.ar", &format!("{AGENT}@ SRV 0 0 61000 old\n")),
    ]);
    let authority = Authority::root("trusted");
    let domains = domains(&bind, authority.roots());
    let certificate = |host: &str| authority.host(&[host]);
    assert_eq!(ask(&domains, "emiliano.ar", &certificate("fnaa.emiliano.ar")).await, PROVEN);
    let old = ask(&domains, "both.ar", &certificate("old.both.ar")).await;
    assert_eq!(old, refused(Refusal::NotNamed));
}
