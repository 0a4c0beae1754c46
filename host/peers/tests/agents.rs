//! The way to another host, to hosts that behave and to those that do not. TLS is real; DNS is a real BIND where it
//! is asked.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect"
)]

mod support;

use std::time::Duration;

use bind_node::{Bind, Zone};
use fnap::Command;
use fnap::name::Name;
use host_peers::agent::{Again, PeerError, Step, Why};
use host_peers::dev::SharedSecret;
use support::{Manner, World, host};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

fn command(text: &str) -> Command {
    text.parse().unwrap()
}

/// Whoever calls may do so on a task of its own.
fn spawned<T: Send>(work: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    work
}

async fn refused(manner: Manner) -> PeerError {
    let world = World::new();
    let host = host(&world, manner).await;
    world.agents().connect(&world.found(&[&host])).await.unwrap_err()
}

#[tokio::test]
async fn a_host_is_reached_under_tls_and_knows_who_we_are() {
    let world = World::new();
    for manner in [Manner::Good, Manner::Implicit] {
        let host = host(&world, manner).await;
        let mut peer = world.agents().connect(&world.found(&[&host])).await.unwrap();
        assert_eq!(peer.name().as_str(), "fnaa.unix.ar");
        // Others greet with whatever name they like.
        assert_eq!(peer.greeting(), "fnaa.other.ar FNAA");
        assert!(peer.offers("stream=1") && !peer.offers("STREAM=2"));
        let answer = peer.command(&command("SUBSCRIBE time.flows.unix.ar")).await.unwrap();
        assert_eq!(answer.data, ["id.time.flows.unix.ar"]);
        assert_eq!(host.heard(), "domain:emiliano.ar");
    }
}

#[tokio::test]
async fn what_the_host_sends_right_behind_its_answer_to_stream_is_read_first() {
    let world = World::new();
    let host = host(&world, Manner::Good).await;
    let peer = world.agents().connect(&world.found(&[&host])).await.unwrap();
    let mut stream = peer.into_stream().await.unwrap();
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    stream.write_all(b"frame").await.unwrap();
    stream.flush().await.unwrap();
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"frame");
}

#[tokio::test]
async fn a_refused_command_says_whether_to_come_again_and_the_connection_goes_on() {
    let world = World::new();
    let host = host(&world, Manner::Good).await;
    let mut peer = world.agents().connect(&world.found(&[&host])).await.unwrap();
    for (flow, again) in [
        ("busy", Again::After(Duration::from_secs(7))),
        ("ask", Again::Pending("r42".to_owned())),
        ("away", Again::Later),
        ("closed", Again::No),
    ] {
        let error = peer.command(&command(&format!("SUBSCRIBE {flow}.ar"))).await.unwrap_err();
        assert_eq!((error.step, error.again()), (Step::Command, again), "{error}");
        assert!(error.to_string().starts_with("command: fnaa.unix.ar:"), "{error}");
    }
    peer.command(&command("SUBSCRIBE time.flows.unix.ar")).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_leaves_the_connection_of_no_use() {
    let world = World::new();
    for flow in ["endless", "line", "nonsense"] {
        let host = host(&world, Manner::Good).await;
        let mut peer = world.agents().connect(&world.found(&[&host])).await.unwrap();
        let error = peer.command(&command(&format!("SUBSCRIBE {flow}.ar"))).await.unwrap_err();
        let fits = matches!(error.why, Why::Protocol(_) | Why::TooMuch(_));
        assert!(fits && error.step == Step::Command, "{flow}: {error:?}");
        let error = peer.command(&Command::Noop).await.unwrap_err();
        assert_eq!(error.why, Why::OutOfStep, "{flow}");
    }
    let host = host(&world, Manner::Good).await;
    let mut peer = world.agents().connect(&world.found(&[&host])).await.unwrap();
    let silent = command("SUBSCRIBE silent.ar");
    let given_up = timeout(Duration::from_millis(100), peer.command(&silent)).await;
    assert!(given_up.is_err());
    assert_eq!(peer.command(&Command::Noop).await.unwrap_err().why, Why::OutOfStep);
}

#[tokio::test]
async fn a_certificate_of_another_name_of_the_past_or_of_a_stranger_is_not_believed() {
    for (manner, words) in [
        (Manner::OtherName, "not for fnaa.unix.ar"),
        (Manner::Expired, "expired"),
        (Manner::Stranger, "no trusted authority"),
    ] {
        let error = refused(manner).await;
        assert_eq!((error.step, error.again()), (Step::Tls, Again::No), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn who_strips_starttls_does_not_learn_who_we_are() {
    let world = World::new();
    let host = host(&world, Manner::Stripped).await;
    let error = world.agents().connect(&world.found(&[&host])).await.unwrap_err();
    assert_eq!((error.step, &error.why), (Step::Tls, &Why::NoTls));
    assert_eq!(host.heard(), "");
}

#[tokio::test]
async fn a_host_that_says_nothing_or_far_too_much_is_left() {
    let world = World::new();
    let silent = host(&world, Manner::Silent).await;
    let error = world.impatient().connect(&world.found(&[&silent])).await.unwrap_err();
    assert!(matches!(error.why, Why::Slow(_)), "{error}");
    assert_eq!((error.step, error.again()), (Step::Greeting, Again::Later));
    for manner in [Manner::Line, Manner::Flood, Manner::Nonsense] {
        let error = refused(manner).await;
        let bounded = matches!(error.why, Why::Protocol(_) | Why::TooMuch(_));
        assert!(bounded && error.step == Step::Greeting, "{manner:?}: {error:?}");
        assert!(error.to_string().len() < 500, "{error}");
    }
    let error = refused(Manner::Full).await;
    assert_eq!((error.step, error.again()), (Step::Greeting, Again::Later), "{error}");
}

#[tokio::test]
async fn a_host_that_refuses_our_certificate_is_the_last_one_asked() {
    let world = World::new();
    let (first, second) = (host(&world, Manner::Refuses).await, host(&world, Manner::Good).await);
    let error = world.agents().connect(&world.found(&[&first, &second])).await.unwrap_err();
    assert_eq!((error.step, error.again()), (Step::Authenticate, Again::No), "{error}");
    assert_eq!(second.heard(), "");
    let error = refused(Manner::NoExternal).await;
    assert_eq!((error.step, &error.why), (Step::Authenticate, &Why::NoExternal));
}

#[tokio::test]
async fn of_several_hosts_and_addresses_the_dead_are_passed_over() {
    let world = World::new();
    let (wrong, good) = (host(&world, Manner::OtherName).await, host(&world, Manner::Good).await);
    let mut found = world.found(&[&wrong, &good]);
    // Nobody listens at its port on the first address of the good one.
    found.agents[1].addresses.insert(0, "127.99.99.99".parse().unwrap());
    let peer = world.agents().connect(&found).await.unwrap();
    assert!(peer.host().ends_with("(127.0.0.1)"), "{}", peer.host());
    // Where all fail, the error is that of who came furthest.
    found.agents[1].addresses.pop();
    let error = world.agents().connect(&found).await.unwrap_err();
    assert_eq!(error.step, Step::Tls, "{error}");
}

#[tokio::test]
async fn hosts_of_one_user_on_one_machine_know_each_other_by_their_secret() {
    let world = World::new();
    let host = host(&world, Manner::Neighbour).await;
    let agents = |file: &str| {
        let secret = SharedSecret::open(&world.path(file)).unwrap();
        (world.agents().sharing(secret.clone()), secret)
    };
    let (us, _) = agents("peers.secret");
    let mut peer = us.connect(&world.found(&[&host])).await.unwrap();
    peer.command(&Command::Noop).await.unwrap();
    let (other, secret) = agents("other.secret");
    let error = other.connect(&world.found(&[&host])).await.unwrap_err();
    assert_eq!((error.step, error.again()), (Step::Authenticate, Again::No), "{error}");
    assert!(!format!("{error} {error:?} {other:?}").contains(secret.expose()));
}

#[tokio::test]
async fn dns_leads_to_the_host_or_says_that_there_is_none() {
    let world = World::new();
    let host = host(&world, Manner::Implicit).await;
    let records = format!(
        "time.flows PTR _flow._tcp.time.flows\n_flow._tcp.time.flows SRV 0 0 {} fnaa\n\
         _flow._tcp.time.flows TXT \"tls\"\nfnaa A 127.0.0.1\n\
         gone.flows PTR _flow._tcp.gone.flows\n_flow._tcp.gone.flows SRV 0 0 0 .\n",
        host.port
    );
    let bind = Bind::start(&[Zone::unsigned("unix.ar", &records)]);
    let agents = world.asking(bind.address(), Some(bind.trust_anchors()));
    let name = |text: &str| text.parse::<Name>().unwrap();
    let peer = spawned(agents.reach(&name("time.flows.unix.ar"))).await.unwrap();
    assert_eq!(peer.name().as_str(), "fnaa.unix.ar");
    for (flow, words) in [("gone.flows.unix.ar", "target"), ("none.flows.unix.ar", "no such name")]
    {
        let error = agents.reach(&name(flow)).await.unwrap_err();
        assert_eq!((error.step, error.again()), (Step::Resolve, Again::No), "{error}");
        assert!(error.to_string().starts_with(&format!("resolve: {flow}: ")), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
