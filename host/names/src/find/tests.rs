//! Against a real BIND, with zones as our own publisher, the draft and its proof of concept write them.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path as FilePath;

use bind_node::{Bind, Zone};

use super::*;
use crate::agents::MAX_AGENTS;
use crate::{LookupError, Options, ZoneServers};

const FLOWS: &str = "full.flows PTR _flow._tcp.full.flows
_flow._tcp.full.flows SRV 20 0 61001 other
_flow._tcp.full.flows SRV 10 0 61000 fnaa
_flow._tcp.full.flows TXT \"txtvers=1\" \"id=01-ab\" \"tls\"
_queue._flow._tcp.full.flows SRV 30 30 9092 kafka
_queue._flow._tcp.full.flows TXT \"broker-type=kafka tls\"
direct.flows SRV 0 0 61002 fnaa
_flow._tcp.flows SRV 0 0 61003 other
_flow._tcp.flows TXT \"tls\"
fnaa A 192.0.2.1
fnaa AAAA 2001:db8::1
other A 192.0.2.2
";

fn finder(bind: &Bind) -> Finder {
    asking(Options {
        servers: vec![bind.address()],
        trust_anchors: Some(bind.trust_anchors().to_owned()),
        ..Options::default()
    })
}

fn asking(options: Options) -> Finder {
    // Long, for a machine that does much else.
    let timeout = Duration::from_secs(60);
    Finder::new(Arc::new(Names::new(&Options { timeout, ..options }).unwrap()))
}

async fn find(finder: &Finder, name: &str) -> Search {
    finder.find(&name.parse().unwrap(), Age::Any).await
}

async fn found(finder: &Finder, name: &str) -> Found {
    let search = find(finder, name).await;
    search.found.unwrap_or_else(|error| panic!("{name}: {error}\n{:#?}", search.steps))
}

async fn error(finder: &Finder, name: &str) -> FindError {
    find(finder, name).await.found.expect_err(name)
}

/// Hosts as text, in order.
fn shown(found: &Found) -> Vec<String> {
    let shown = |place: &Place| {
        let addresses: Vec<_> = place.addresses.iter().map(ToString::to_string).collect();
        let tls = if place.tls { " tls" } else { "" };
        format!("{}:{} {}{tls}", place.target, place.port, addresses.join(","))
    };
    found.agents.iter().map(shown).collect()
}

#[tokio::test]
async fn a_flow_is_found_by_its_pointer_with_all_that_is_published_about_it() {
    let bind = Bind::start(&[Zone::signed("unix.ar", FLOWS), Zone::unsigned("plain.ar", FLOWS)]);
    let finder = finder(&bind);
    let full = found(&finder, "full.flows.unix.ar").await;
    let hosts =
        ["fnaa.unix.ar:61000 192.0.2.1,2001:db8::1 tls", "other.unix.ar:61001 192.0.2.2 tls"];
    assert_eq!(shown(&full), hosts);
    assert_eq!((full.way, full.security), (Way::Pointer, Security::Secure));
    assert_eq!(full.id.as_deref(), Some("01-ab"));
    let servers = vec![("kafka.unix.ar".parse().unwrap(), 9092)];
    assert_eq!(full.queue, Some(Queue { servers, kind: Some("kafka".into()), tls: true }));
    assert_eq!(full.ttl, Duration::from_secs(300));
    let plain = found(&finder, "full.flows.plain.ar").await;
    assert_eq!((plain.agents.len(), plain.security), (2, Security::Insecure));
}

#[tokio::test]
async fn what_was_asked_and_answered_is_told_step_by_step() {
    let bind = Bind::start(&[Zone::signed("unix.ar", FLOWS)]);
    let search = find(&finder(&bind), "full.flows.unix.ar").await;
    let steps: Vec<String> = search
        .steps
        .iter()
        .map(|step| {
            assert_eq!((&step.servers, &step.problem), (&vec![bind.address()], &None));
            assert_eq!(step.security, Some(Security::Secure));
            format!("{} {} {} {}", step.stage, step.owner, step.kind, step.records.len())
        })
        .collect();
    let wanted = [
        "delegation full.flows.unix.ar SOA 0",
        "ptr full.flows.unix.ar PTR 1",
        "srv _flow._tcp.full.flows.unix.ar SRV 2",
        "txt _flow._tcp.full.flows.unix.ar TXT 1",
        "queue _queue._flow._tcp.full.flows.unix.ar SRV 1",
        "queue _queue._flow._tcp.full.flows.unix.ar TXT 1",
        "address fnaa.unix.ar A 1",
        "address fnaa.unix.ar AAAA 1",
        "address other.unix.ar A 1",
        "address other.unix.ar AAAA 0",
    ];
    assert_eq!(steps, wanted);
    assert_eq!(search.steps[0].zone.as_deref(), Some("unix.ar"));
    let pointer = "full.flows.unix.ar.\t300\tIN\tPTR\t_flow._tcp.full.flows.unix.ar.";
    assert_eq!(search.steps[1].records, [pointer]);
    let words = "_flow._tcp.full.flows.unix.ar.\t300\tIN\tTXT\t\"txtvers=1\" \"id=01-ab\" \"tls\"";
    assert_eq!(search.steps[3].records, [words]);
}

#[tokio::test]
async fn the_proof_of_concept_and_namespaces_lead_to_hosts_too() {
    let reverse = "reverse.flows PTR fnaa.unix.ar.\nreverse.flows SRV 0 0 7 fnaa\n";
    let bind = Bind::start(&[Zone::signed("unix.ar", &format!("{FLOWS}{reverse}"))]);
    let finder = finder(&bind);
    let direct = found(&finder, "direct.flows.unix.ar").await;
    assert_eq!(shown(&direct), ["fnaa.unix.ar:61002 192.0.2.1,2001:db8::1"]);
    assert_eq!((direct.way, direct.security), (Way::Direct, Security::Secure));
    for below in ["new.flows.unix.ar", "a.b.c.flows.unix.ar", "flows.unix.ar"] {
        let found = found(&finder, below).await;
        assert_eq!(shown(&found), ["other.unix.ar:61003 192.0.2.2 tls"], "{below}");
        assert_eq!((found.way, found.id), (Way::Namespace, None));
    }
    // A pointer that leads to no service is another's.
    assert_eq!(found(&finder, "reverse.flows.unix.ar").await.way, Way::Direct);
    let agent = finder.host(&"fnaa.unix.ar".parse().unwrap(), 61000, true, Age::Any).await;
    let agent = agent.found.unwrap();
    assert_eq!(shown(&agent), ["fnaa.unix.ar:61000 192.0.2.1,2001:db8::1"]);
}

#[tokio::test]
async fn nobody_asks_beyond_the_zone_or_higher_than_eight_levels() {
    let deep = "_flow._tcp SRV 0 0 1 fnaa\nfnaa A 192.0.2.1\n";
    let bind = Bind::start(&[
        Zone::unsigned("ar", "_flow._tcp SRV 0 0 666 evil\nevil A 192.0.2.6\n"),
        Zone::unsigned("unix.ar", deep),
        Zone::unsigned("none.ar", ""),
    ]);
    let servers = vec![bind.address()];
    let finder = asking(Options { servers, checked: false, ..Options::default() });
    assert_eq!(shown(&found(&finder, "1.2.3.4.5.6.7.unix.ar").await), ["fnaa.unix.ar:1 192.0.2.1"]);
    let search = find(&finder, "1.2.3.4.5.6.7.8.unix.ar").await;
    assert!(matches!(search.found, Err(FindError::NoSuchName { .. })), "{:?}", search.found);
    let levels = search.steps.iter().filter(|step| step.stage == Stage::Namespace).count();
    assert_eq!(levels, MAX_LEVELS);
    let search = find(&finder, "time.none.ar").await;
    assert!(matches!(search.found, Err(FindError::NoSuchName { .. })), "{:?}", search.found);
    assert!(search.steps.iter().all(|step| step.owner != "_flow._tcp.ar"), "{:?}", search.steps);
}

#[tokio::test]
async fn each_fault_in_the_records_is_an_error_that_names_the_step() {
    let faults = "closed PTR _flow._tcp.closed
_flow._tcp.closed SRV 0 0 0 .
dangling PTR _flow._tcp.dangling
alias SRV 0 0 61000 www
www CNAME fnaa
fnaa A 192.0.2.1
homeless SRV 0 0 61000 nowhere
text TXT \"nothing else\"
port SRV 0 0 0 fnaa
under SRV 0 0 1 _x
ring CNAME ring
one CNAME two
two CNAME three
three CNAME four
four CNAME five
five CNAME six
six A 192.0.2.1
mixed SRV 0 0 61000 www
mixed SRV 1 0 61000 fnaa
";
    // A server that looks its zones through would not serve this one.
    let faulty =
        Zone::unsigned("unix.ar", faults).option("check-integrity no; check-names ignore;");
    let bind = Bind::start(&[faulty, Zone::lame("lame.ar")]);
    let finder = finder(&bind);
    type Meant = fn(&FindError) -> bool;
    let cases: [(&str, Option<Stage>, Meant); 9] = [
        ("closed.unix.ar", Some(Stage::Service), |e| matches!(e, FindError::Closed { .. })),
        ("dangling.unix.ar", Some(Stage::Service), |e| matches!(e, FindError::Dangling { .. })),
        ("alias.unix.ar", Some(Stage::Address), |e| matches!(e, FindError::Alias { .. })),
        ("homeless.unix.ar", Some(Stage::Address), |e| matches!(e, FindError::NoAddress { .. })),
        ("text.unix.ar", Some(Stage::Service), |e| matches!(e, FindError::NoService { .. })),
        ("gone.unix.ar", Some(Stage::Delegation), |e| matches!(e, FindError::NoSuchName { .. })),
        ("port.unix.ar", Some(Stage::Service), |e| matches!(e, FindError::Nonsense { .. })),
        ("under.unix.ar", Some(Stage::Service), |e| matches!(e, FindError::Nonsense { .. })),
        ("one.unix.ar", Some(Stage::Delegation), |e| {
            matches!(e, FindError::Lookup { source: LookupError::Aliases { .. }, .. })
        }),
    ];
    for (name, stage, is_meant) in cases {
        let error = error(&finder, name).await;
        assert!(is_meant(&error), "{name}: {error:?}");
        assert_eq!((error.stage(), error.may_pass()), (stage, false), "{name}");
    }
    // Servers differ in what they say about a ring; it is never an answer.
    assert_eq!(error(&finder, "ring.unix.ar").await.stage(), Some(Stage::Delegation));
    let lame = error(&finder, "time.lame.ar").await;
    assert!(lame.may_pass() && lame.stage() == Some(Stage::Delegation), "{lame:?}");
    // One good host is enough.
    let mixed = found(&finder, "mixed.unix.ar").await;
    assert_eq!(shown(&mixed), ["fnaa.unix.ar:61000 192.0.2.1"]);
}

#[tokio::test]
async fn a_broken_signature_ends_the_search_where_it_is() {
    let forged = |from: &str, to: &str| Zone::signed("unix.ar", FLOWS).forged(from, to);
    for (zone, stage) in [
        (forged("61000 fnaa", "61009 fnaa"), Stage::Service),
        (forged("id=01-ab", "id=99-zz"), Stage::Words),
        (forged("9092 kafka", "9099 kafka"), Stage::Queue),
    ] {
        let bind = Bind::start(&[zone]);
        let error = error(&finder(&bind), "full.flows.unix.ar").await;
        let FindError::Lookup { stage: at, source: LookupError::Bogus { .. } } = &error else {
            panic!("{stage}: {error:?}");
        };
        assert_eq!((*at, error.may_pass()), (stage, false));
    }
}

#[tokio::test]
async fn of_ninety_records_eight_hosts_are_looked_at() {
    let many: String = (0..90)
        .map(|number| format!("many SRV {number} 0 61000 h{number}\nh{number} A 192.0.2.1\n"))
        .collect();
    let bind = Bind::start(&[Zone::unsigned("unix.ar", &many)]);
    let many = found(&finder(&bind), "many.unix.ar").await;
    let hosts: Vec<_> = many.agents.iter().map(|place| place.target.to_string()).collect();
    assert_eq!(hosts, (0..MAX_AGENTS).map(|n| format!("h{n}.unix.ar")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_zone_with_servers_of_its_own_is_asked_there_and_the_longest_counts() {
    let zone = |port: u16| format!("time SRV 0 0 {port} fnaa\nfnaa A 192.0.2.1\n");
    let usual =
        Bind::start(&[Zone::signed("unix.ar", &zone(1)), Zone::signed("emiliano.ar", &zone(1))]);
    let theirs = Bind::start(&[
        Zone::signed("emiliano.ar", &zone(2)),
        Zone::signed("flows.emiliano.ar", &zone(2)),
    ]);
    let lab = Bind::start(&[Zone::signed("flows.emiliano.ar", &zone(3))]);
    let of = |name: &str, server: &Bind, trust_anchors: Option<&FilePath>| ZoneServers {
        name: name.parse().unwrap(),
        servers: vec![server.address()],
        trust_anchors: trust_anchors.map(FilePath::to_owned),
    };
    let finder = asking(Options {
        servers: vec![usual.address()],
        trust_anchors: Some(usual.trust_anchors().to_owned()),
        zones: vec![
            of("flows.emiliano.ar", &lab, Some(lab.trust_anchors())),
            of("emiliano.ar", &theirs, None),
        ],
        ..Options::default()
    });
    for (name, port, security, server) in [
        ("time.unix.ar", 1, Security::Secure, &usual),
        // Believed without anchors, so not proven.
        ("time.emiliano.ar", 2, Security::Insecure, &theirs),
        ("time.flows.emiliano.ar", 3, Security::Secure, &lab),
    ] {
        let search = find(&finder, name).await;
        let found = search.found.unwrap();
        assert_eq!((found.agents[0].port, found.security), (port, security), "{name}");
        assert!(search.steps.iter().all(|step| step.servers == [server.address()]), "{name}");
    }
    let gone = error(&finder, "gone.emiliano.ar").await;
    assert!(matches!(gone, FindError::NoSuchName { .. }), "{gone:?}");
}

#[tokio::test]
async fn what_is_not_checked_is_not_proven_and_a_silent_server_is_told() {
    let bind = Bind::start(&[Zone::signed("unix.ar", FLOWS).expired()]);
    let unchecked =
        asking(Options { servers: vec![bind.address()], checked: false, ..Options::default() });
    let found = found(&unchecked, "full.flows.unix.ar").await;
    assert_eq!((found.agents.len(), found.security), (2, Security::Insecure));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers: Vec<SocketAddr> = vec![silent.local_addr().unwrap()];
    let timeout = Duration::from_millis(300);
    let options = Options { servers, timeout, checked: false, ..Options::default() };
    let finder = Finder::new(Arc::new(Names::new(&options).unwrap()));
    let search = find(&finder, "time.unix.ar").await;
    let error = search.found.unwrap_err();
    assert!(error.may_pass(), "{error:?}");
    assert!(search.steps.iter().all(|step| step.problem.is_some()), "{:?}", search.steps);
}

#[test]
fn levels_end_at_the_zone_and_below_the_top() {
    let levels = |name: &str, zone: Option<&str>| {
        let levels = levels(&name.parse().unwrap(), zone);
        levels.map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(levels("a.b.unix.ar", Some("unix.ar")), "a.b.unix.ar b.unix.ar unix.ar");
    assert_eq!(levels("a.unix.ar", Some("ar")), "a.unix.ar unix.ar");
    assert_eq!(levels("a.unix.ar", Some("")), "a.unix.ar unix.ar");
    assert_eq!(levels("a.unix.ar", None), "a.unix.ar unix.ar");
    assert_eq!(levels("a.unix.ar", Some("nix.ar")), "");
    assert_eq!(levels("unix", None), "");
}

#[tokio::test]
async fn an_alias_into_a_zone_elsewhere_does_not_hide_the_namespace_above_it() {
    let records =
        "time.flows CNAME x.emiliano.ar.\n_flow._tcp.flows SRV 0 0 61000 fnaa\nfnaa A 192.0.2.1\n";
    let usual = Bind::start(&[Zone::unsigned("unix.ar", records)]);
    let theirs = Bind::start(&[Zone::unsigned("emiliano.ar", "x A 192.0.2.9\n")]);
    let zone = ZoneServers {
        name: "emiliano.ar".parse().unwrap(),
        servers: vec![theirs.address()],
        trust_anchors: None,
    };
    let finder = asking(Options {
        servers: vec![usual.address()],
        trust_anchors: Some(usual.trust_anchors().to_owned()),
        zones: vec![zone],
        ..Options::default()
    });
    let there = found(&finder, "time.flows.unix.ar").await;
    assert_eq!(
        (shown(&there), there.way),
        (vec!["fnaa.unix.ar:61000 192.0.2.1".to_owned()], Way::Namespace)
    );
}
