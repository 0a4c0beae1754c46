//! Asked by BIND's own tools.

use std::time::Duration;

use bind_node::{dig, nsupdate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::publish::testing::{flow, fresh, ground, withdrawn, zone};
use crate::publish::{Doubt, Flow};

async fn start() -> Embedded {
    let other = Zone::new("flows.emiliano.ar".parse().unwrap());
    let above = Zone::new("emiliano.ar".parse().unwrap());
    let options = EmbeddedOptions {
        zones: vec![zone(), above, other],
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        server: "fnaa.unix.ar".parse().unwrap(),
    };
    Embedded::start(&options).await.unwrap()
}

/// The tools wait for their answer, so they do it beside the server.
async fn asked(server: &Embedded, question: &str) -> String {
    let (address, question) = (server.addresses()[0], question.to_owned());
    let ask = move || dig(address, &question.split(' ').collect::<Vec<_>>());
    tokio::task::spawn_blocking(ask).await.unwrap()
}

async fn short(server: &Embedded, question: &str) -> Vec<String> {
    let answer = asked(server, &format!("+short {question}")).await;
    answer.lines().map(str::to_owned).collect()
}

fn status(answer: &str) -> &str {
    let rest = answer.split_once("status: ").expect("dig tells the status").1;
    rest.split_once(',').unwrap().0
}

#[tokio::test]
async fn dig_finds_what_is_published_by_udp_and_tcp() {
    let server = start().await;
    server.change(&zone(), &ground()).await.unwrap();
    server.change(&zone(), &fresh(&flow("time.flows.unix.ar", "4711"))).await.unwrap();
    for way in ["+notcp", "+tcp"] {
        let ask = async |question: &str| short(&server, &format!("{way} {question}")).await;
        assert_eq!(ask("time.flows.unix.ar PTR").await, ["_flow._tcp.time.flows.unix.ar."]);
        let service = "_flow._tcp.time.flows.unix.ar";
        assert_eq!(ask(&format!("{service} SRV")).await, ["30 30 61000 fnaa.unix.ar."]);
        let words = ["\"txtvers=1\" \"tls\" \"id=4711\""];
        assert_eq!(ask(&format!("{service} TXT")).await, words);
        assert_eq!(ask("TIME.flows.unix.AR SRV").await, ["0 0 61000 fnaa.unix.ar."]);
        assert_eq!(ask("fnaa.unix.ar A").await, ["192.0.2.1"]);
        assert_eq!(ask("fnaa.unix.ar AAAA").await, ["2001:db8::1"]);
        assert_eq!(ask("unix.ar NS").await, ["fnaa.unix.ar."]);
        let soa = ask("unix.ar SOA").await;
        assert!(soa[0].starts_with("fnaa.unix.ar. hostmaster.unix.ar. "), "{soa:?}");
    }
    let answer = asked(&server, "+notcp fnaa.unix.ar ANY").await;
    assert!(answer.contains("ANSWER: 1,") && status(&answer) == "NOERROR", "{answer}");
    let answer = asked(&server, "_flow._tcp.time.flows.unix.ar SRV").await;
    assert!(answer.contains("flags: qr aa;") && answer.contains("A\t192.0.2.1"), "{answer}");
}

#[tokio::test]
async fn what_is_not_there_is_told_as_dns_tells_it() {
    let server = start().await;
    server.change(&zone(), &fresh(&flow("time.flows.unix.ar", "4711"))).await.unwrap();
    for (question, wanted) in [
        ("nobody.unix.ar A", "NXDOMAIN"),
        ("time.flows.unix.ar A", "NOERROR"),
        // Only others lie below it.
        ("_tcp.time.flows.unix.ar A", "NOERROR"),
        ("flows.unix.ar A", "NOERROR"),
        ("lows.unix.ar A", "NXDOMAIN"),
        ("+notcp x.unix.ar ANY", "NXDOMAIN"),
        ("+notcp _tcp.time.flows.unix.ar ANY", "NOERROR"),
        ("unix.ar TXT", "NOERROR"),
        ("zz.zz.unix.ar A", "NXDOMAIN"),
        ("www.example.org A", "REFUSED"),
        (". NS", "REFUSED"),
        ("ar NS", "REFUSED"),
        ("version.bind CH TXT", "REFUSED"),
        ("unix.ar CH SOA", "REFUSED"),
        ("+tcp unix.ar AXFR", "REFUSED"),
        ("+tcp unix.ar IXFR=1", "REFUSED"),
        ("+opcode=notify unix.ar SOA", "NOTIMP"),
        ("+opcode=update unix.ar SOA", "REFUSED"),
    ] {
        let answer =
            asked(&server, &format!("{question} +noall +comments +answer +authority")).await;
        if question.contains("XFR") {
            assert!(answer.contains("Transfer failed"), "{question}: {answer}");
            continue;
        }
        assert_eq!(status(&answer), wanted, "{question}: {answer}");
        // Whoever does not find his own question in an answer takes it for nobody's, and a refusal for silence.
        assert!(answer.contains("; EDNS: version: 0"), "{question}: {answer}");
        assert!(answer.contains("QUERY: 1,"), "{question}: {answer}");
        let is_empty = matches!(wanted, "NXDOMAIN" | "NOERROR");
        assert_eq!(answer.contains("SOA\tfnaa.unix.ar."), is_empty, "{question}: {answer}");
        assert!(!answer.contains("ANSWER SECTION"), "{question}: {answer}");
    }
}

#[tokio::test]
async fn nobody_changes_a_zone_over_the_network() {
    let server = start().await;
    server.change(&zone(), &ground()).await.unwrap();
    let address = server.addresses()[0];
    let script = "zone unix.ar\nupdate delete unix.ar\nupdate delete fnaa.unix.ar\n\
                  update add x.unix.ar 60 A 192.0.2.9\nsend";
    let update = move || nsupdate(address, script);
    let (done, said) = tokio::task::spawn_blocking(update).await.unwrap();
    assert!(!done && said.contains("REFUSED"), "{said}");
    assert_eq!(short(&server, "fnaa.unix.ar A").await, ["192.0.2.1"]);
    assert_eq!(short(&server, "x.unix.ar A").await, [""; 0]);
}

#[tokio::test]
async fn a_change_is_seen_whole_withdrawn_whole_and_raises_the_serial_once() {
    let server = start().await;
    let first = server.serial(&zone()).await.unwrap();
    let change = fresh(&flow("time.flows.unix.ar", "4711"));
    assert_eq!(server.change(&zone(), &change).await.unwrap(), Outcome::default());
    let second = server.serial(&zone()).await.unwrap();
    assert!(second > first);
    let again = server.change(&zone(), &change).await.unwrap();
    assert_eq!(again.recognised, [change.fresh[0].0.clone()]);
    assert_eq!(server.serial(&zone()).await, Some(second));
    let other = fresh(&flow("date.flows.unix.ar", "4712"));
    server.change(&zone(), &other).await.unwrap();
    server.change(&zone(), &withdrawn(&change)).await.unwrap();
    assert!(server.serial(&zone()).await.unwrap() > second);
    for set in &change.add {
        let found = short(&server, &format!("{} {}", set.owner, set.kind())).await;
        let of_others = set.owner.as_str() == "_flow._tcp.flows.unix.ar.";
        assert_eq!(found.is_empty(), !of_others, "{} {found:?}", set.owner);
    }
    let answer = asked(&server, "time.flows.unix.ar A").await;
    assert_eq!(status(&answer), "NXDOMAIN");
    let listed = ["date._flow._tcp.flows.unix.ar."];
    assert_eq!(short(&server, "_flow._tcp.flows.unix.ar PTR").await, listed);
}

#[tokio::test]
async fn a_ttl_that_changes_is_the_ttl_of_the_whole_set() {
    let server = start().await;
    let mut change = ground();
    server.change(&zone(), &change).await.unwrap();
    for set in &mut change.add {
        set.ttl = 77;
    }
    server.change(&zone(), &change).await.unwrap();
    let answer = asked(&server, "+noall +answer fnaa.unix.ar A").await;
    assert!(answer.contains("77\tIN\tA"), "{answer}");
}

#[tokio::test]
async fn the_name_of_another_flow_is_taken_and_nothing_is_changed() {
    let server = start().await;
    let ours = flow("time.flows.unix.ar", "4711");
    server.change(&zone(), &fresh(&ours)).await.unwrap();
    let serial = server.serial(&zone()).await;
    let mut change = fresh(&flow("date.flows.unix.ar", "4713"));
    let other = fresh(&Flow { id: "4712".to_owned(), ..ours });
    change.add.extend(other.add);
    change.fresh.extend(other.fresh);
    match server.change(&zone(), &change).await {
        Err(PublishError::Taken { owners, partly: false }) => {
            assert_eq!(owners[0].as_str(), "time.flows.unix.ar.")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.serial(&zone()).await, serial);
}

#[tokio::test]
async fn a_flow_may_have_the_name_of_its_zone_and_what_is_doubtful_goes_if_it_is_ours() {
    let server = start().await;
    let mut change = fresh(&flow("unix.ar", "4711"));
    server.change(&zone(), &change).await.unwrap();
    assert_eq!(short(&server, "unix.ar PTR").await, ["_flow._tcp.unix.ar."]);
    assert_eq!(server.change(&zone(), &change).await.unwrap().recognised.len(), 1);
    let (flow, _) = change.fresh.pop().unwrap();
    for (id, left) in [("4712", 1), ("4711", 0)] {
        let doubt = Doubt { flow: flow.clone(), id: id.to_owned(), remove: change.add.clone() };
        let doubtful = Change { doubtful: vec![doubt], ..Change::default() };
        server.change(&zone(), &doubtful).await.unwrap();
        assert_eq!(short(&server, "unix.ar PTR").await.len(), left);
    }
}

#[tokio::test]
async fn what_belongs_to_no_zone_or_another_one_is_refused() {
    let server = start().await;
    let above = Zone::new("emiliano.ar".parse().unwrap());
    let nobodys = Zone::new("example.org".parse().unwrap());
    for (zone, owner) in [
        (&zone(), "fnaa.emiliano.ar"),
        (&zone(), "*.unix.ar"),
        (&above, "time.flows.emiliano.ar"),
        (&nobodys, "fnaa.example.org"),
    ] {
        let mut change = ground();
        change.add.truncate(1);
        change.add[0].owner = owner.parse().unwrap();
        let result = server.change(zone, &change).await;
        assert!(matches!(result, Err(PublishError::Impossible { .. })), "{owner}: {result:?}");
    }
}

#[tokio::test]
async fn a_large_answer_is_cut_by_udp_and_whole_by_tcp() {
    let server = start().await;
    for number in 0..100 {
        let change = fresh(&flow(&format!("flow-{number}.flows.unix.ar"), "4711"));
        server.change(&zone(), &change).await.unwrap();
    }
    let question = "+ignore +bufsize=4096 _flow._tcp.flows.unix.ar PTR";
    let cut = asked(&server, question).await;
    assert!(cut.contains("flags: qr aa tc;"), "{cut}");
    // Nothing but the question and EDNS: no more comes back than was sent.
    assert!(cut.contains("QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1"), "{cut}");
    let everything = asked(&server, "+ignore +notcp fnaa.unix.ar ANY").await;
    assert!(everything.contains("flags: qr tc;"), "{everything}");
    assert!(everything.contains("ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1"), "{everything}");
    assert_eq!(short(&server, "_flow._tcp.flows.unix.ar PTR").await.len(), 100);
}

#[tokio::test]
async fn nonsense_costs_its_sender_only() {
    let server = start().await;
    server.change(&zone(), &ground()).await.unwrap();
    let address = server.addresses()[0];
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for octets in [&b""[..], b"x", &[0; 11], &[0; 12], &[0xff; 600], &[0x80; 40]] {
        socket.send_to(octets, address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(octets).await.unwrap();
    }
    // Larger than any question: the connection ends.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0xff; 2]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(short(&server, "fnaa.unix.ar A").await, ["192.0.2.1"]);
    assert_eq!(short(&server, "+tcp fnaa.unix.ar A").await, ["192.0.2.1"]);
}

/// A question as it travels by TCP, for the SRV records of the flow.
fn framed(id: u8) -> Vec<u8> {
    let mut question = vec![0, id, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["_flow", "_tcp", "time", "flows", "unix", "ar"] {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    question.extend([0, 0, 33, 0, 1]);
    [&[0, u8::try_from(question.len()).unwrap()][..], &question].concat()
}

async fn answered_to(stream: &mut TcpStream) -> u8 {
    let answer = async {
        let length = stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(Duration::from_secs(60), answer).await.expect("an answer");
    assert_eq!(answer[7], 1, "one record: {answer:?}");
    answer[1]
}

#[tokio::test]
async fn questions_that_come_together_are_answered_while_half_of_another_one_is_there() {
    let server = start().await;
    server.change(&zone(), &fresh(&flow("time.flows.unix.ar", "4711"))).await.unwrap();
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let last = framed(9);
    let (half, rest) = last.split_at(7);
    let together: Vec<u8> = (1..=8).flat_map(framed).chain(half.iter().copied()).collect();
    stream.write_all(&together).await.unwrap();
    for id in 1..=8 {
        assert_eq!(answered_to(&mut stream).await, id);
    }
    stream.write_all(rest).await.unwrap();
    assert_eq!(answered_to(&mut stream).await, 9);
}

#[tokio::test]
async fn one_connection_more_than_there_are_places_is_sent_away_until_one_is_free() {
    let server = start().await;
    server.change(&zone(), &ground()).await.unwrap();
    let address = server.addresses()[0];
    let mut held = Vec::new();
    for number in 0..MAX_CONNECTIONS {
        let from = format!("127.77.54.{}", 1 + number / MAX_OF_ONE);
        let mut stream = connect_from(&from, address).await.unwrap();
        // An answer proves that it has its place.
        stream.write_all(QUESTION).await.unwrap();
        stream.read_u16().await.unwrap();
        held.push(stream);
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert_eq!(one_more.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(short(&server, "fnaa.unix.ar A").await, ["192.0.2.1"]);
    drop(held);
    let answered = async || {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(QUESTION).await?;
        stream.read_u16().await
    };
    let free_again = async {
        while answered().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, free_again).await.unwrap();
}

async fn connect_from(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{from}:0").parse().unwrap())?;
    socket.connect(to).await
}

#[tokio::test]
async fn one_address_does_not_keep_the_others_out() {
    let server = start().await;
    server.change(&zone(), &ground()).await.unwrap();
    let address = server.addresses()[0];
    let mut held = Vec::new();
    for _ in 0..MAX_OF_ONE {
        let mut stream = connect_from("127.77.55.1", address).await.unwrap();
        stream.write_all(QUESTION).await.unwrap();
        stream.read_u16().await.unwrap();
        held.push(stream);
    }
    let mut one_more = connect_from("127.77.55.1", address).await.unwrap();
    assert_eq!(one_more.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(short(&server, "+tcp fnaa.unix.ar A").await, ["192.0.2.1"]);
}

#[tokio::test]
async fn an_address_in_use_is_told_and_one_server_ends_when_dropped() {
    // An address of its own: nobody else takes the port meanwhile.
    let listen = vec!["127.77.53.1:0".parse().unwrap()];
    let server = "fnaa.unix.ar".parse().unwrap();
    let mut options = EmbeddedOptions { zones: vec![zone()], listen, server };
    let server = Embedded::start(&options).await.unwrap();
    assert_ne!(server.addresses()[0].port(), 0);
    options.listen = server.addresses().to_vec();
    let error = Embedded::start(&options).await.unwrap_err().to_string();
    assert!(error.contains(&options.listen[0].to_string()), "{error}");
    drop(server);
    let started_again = async {
        while Embedded::start(&options).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, started_again).await.unwrap();
}

/// For a machine that does much else.
const LONG: Duration = Duration::from_secs(60);

/// `unix.ar SOA`, with its length before it.
const QUESTION: &[u8] =
    b"\x00\x19\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04unix\x02ar\x00\x00\x06\x00\x01";
