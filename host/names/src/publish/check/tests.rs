use bind_node::{Bind, Zone};

use super::*;
use crate::publish::testing::{agent, flow, fresh};
use crate::publish::{Data, Flow, flow_sets};

const LIMIT: Duration = Duration::from_secs(60);

fn sets() -> Vec<Set> {
    fresh(&flow("time.flows.unix.ar", "4711")).add
}

fn text(sets: &[Set]) -> String {
    sets.iter().map(ToString::to_string).collect()
}

async fn shown(records: &str, wanted: &[Set], gone: &[Set]) -> Vec<String> {
    let bind = Bind::start(&[Zone::unsigned("unix.ar", records)]);
    let found = compare(bind.address(), wanted, gone, &own_names(wanted), LIMIT, &mut |_| ())
        .await
        .unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_an_administrator_wrote_down_as_exported_has_no_difference() {
    assert_eq!(shown(&text(&sets()), &sets(), &[]).await, [""; 0]);
    let other = flow_sets(&flow("date.flows.unix.ar", "4712"), &agent());
    assert_eq!(shown(&text(&sets()), &sets(), &other).await, [""; 0]);
}

#[tokio::test]
async fn what_is_missing_different_too_much_and_too_long_is_named() {
    let mut served = sets();
    served.retain(|set| set.owner.as_str() != "_queue._flow._tcp.time.flows.unix.ar.");
    let served = text(&served)
        .replace("60 IN SRV 30 30 61000 fnaa", "60 IN SRV 30 30 61001 fnaa")
        .replace("\"id=4711\"", "\"id=4710\"")
        .replace("time.flows.unix.ar. 60 IN PTR", "time.flows.unix.ar. 3600 IN PTR")
        + "_flow._tcp.flows.unix.ar. 300 IN PTR other._flow._tcp.flows.unix.ar.\n";
    let found = shown(&served, &sets(), &[]).await;
    let line =
        |wanted: &str| assert!(found.iter().any(|one| one == wanted), "{wanted}: {found:#?}");
    line("_queue._flow._tcp.time.flows.unix.ar. SRV: missing 30 30 9092 kafka.unix.ar.");
    line(
        "_flow._tcp.time.flows.unix.ar. SRV: 30 30 61001 fnaa.unix.ar. instead of 30 30 61000 fnaa.unix.ar.",
    );
    line(
        "_flow._tcp.time.flows.unix.ar. TXT: \"txtvers=1\" \"tls\" \"id=4710\" instead of \"txtvers=1\" \"tls\" \"id=4711\"",
    );
    line("time.flows.unix.ar. PTR: ttl 3600 instead of 60");
    line("_flow._tcp.flows.unix.ar. PTR: too much other._flow._tcp.flows.unix.ar.");
    // And the instance's TXT, and the queue's.
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[tokio::test]
async fn what_should_be_gone_and_is_there_is_named_and_what_others_have_there_is_not() {
    let served = "time.flows PTR _flow._tcp.time.flows\ntime.flows PTR others\n";
    let mut gone = sets();
    gone.truncate(1);
    let found = shown(served, &[], &gone).await;
    assert_eq!(found, ["time.flows.unix.ar. PTR: too much _flow._tcp.time.flows.unix.ar."]);
}

#[tokio::test]
async fn an_alias_a_zone_elsewhere_and_a_server_that_is_away_are_told_apart() {
    let set = |owner: &str| Set {
        owner: owner.parse().unwrap(),
        ttl: 300,
        data: Data::A(["192.0.2.1".parse().unwrap()].into()),
    };
    let wanted = [set("fnaa.unix.ar"), set("fnaa.elsewhere.ar")];
    let mut bind = Bind::start(&[
        Zone::unsigned("unix.ar", "fnaa CNAME host\nhost A 192.0.2.1\n"),
        Zone::unsigned("ar", ""),
    ]);
    let found =
        compare(bind.address(), &wanted, &[], &BTreeSet::new(), LIMIT, &mut |_| ()).await.unwrap();
    assert_eq!(found[0].found, Found::Missing(vec!["192.0.2.1".to_owned()]));
    assert_eq!(found[1].found, Found::Alias("host.unix.ar.".to_owned()));
    bind.kill();
    let away = compare(bind.address(), &wanted, &[], &BTreeSet::new(), LIMIT, &mut |_| ()).await;
    assert!(matches!(away, Err(PublishError::Away { .. })), "{away:?}");
}

#[tokio::test]
async fn what_lies_under_own_names_and_should_not_is_named() {
    let mut wanted = crate::publish::testing::ground().add;
    let one = Flow { queue: None, listed: false, ..flow("time.flows.unix.ar", "4711") };
    wanted.extend(flow_sets(&one, &agent()));
    let left = flow_sets(&flow("time.flows.unix.ar", "4711"), &agent());
    let served = text(&wanted)
        + &text(&left.iter().filter(|set| !wanted.contains(set)).cloned().collect::<Vec<_>>())
        + "time.flows.unix.ar. 60 IN A 192.0.2.7\n";
    let found = shown(&served, &wanted, &[]).await;
    let said = [
        "_flow._tcp.flows.unix.ar. PTR: too much time._flow._tcp.flows.unix.ar.",
        "_queue._flow._tcp.time.flows.unix.ar. SRV: too much 30 30 9092 kafka.unix.ar.",
        "_queue._flow._tcp.time.flows.unix.ar. TXT: too much \"txtvers=1\" \"broker-type=kafka\" \"tls\"",
    ];
    assert_eq!(found, said);
}

#[tokio::test]
async fn a_server_that_ends_connections_and_answers_in_another_order_is_asked_to_the_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    // Each connection answers so many questions, the last of them first, and nothing more.
    let serving = tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            connections += 1;
            let mut asked = Vec::new();
            while asked.len() < 2 * AT_ONCE
                && let Ok(question) = read(&mut stream).await
            {
                asked.push(question);
                if asked.len() % AT_ONCE == 0 || asked.len() == 2 * AT_ONCE {
                    let last = asked.len() - AT_ONCE;
                    for question in asked[last..].iter().rev() {
                        let mut answer = question.clone();
                        answer[2] |= 0x80;
                        write(&mut stream, &answer).await;
                    }
                }
            }
            if connections == 3 {
                return connections;
            }
        }
        connections
    });
    let flows: Vec<Set> = (0..5 * AT_ONCE)
        .map(|number| {
            let owner = format!("f{number}.flows.unix.ar").parse().unwrap();
            Set {
                owner,
                ttl: 60,
                data: Data::Ptr([format!("x{number}.ar").parse().unwrap()].into()),
            }
        })
        .collect();
    let (mut told, own) = (Vec::new(), BTreeSet::new());
    let mut progress = |progress| told.push(progress);
    let found = compare(server, &flows, &[], &own, LIMIT, &mut progress).await.unwrap();
    assert_eq!(found.len(), 5 * AT_ONCE, "each is missing, and none is another's");
    for Difference { owner, found, .. } in &found {
        let number = owner.as_str().split('.').next().unwrap().replace('f', "x");
        assert_eq!(*found, Found::Missing(vec![format!("{number}.ar.")]), "{owner}");
    }
    assert_eq!(told.last(), Some(&(5 * AT_ONCE, 5 * AT_ONCE)));
    assert_eq!(told.len(), 5);
    assert_eq!(serving.await.unwrap(), 3);
}

async fn read(stream: &mut tokio::net::TcpStream) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; length.into()];
    stream.read_exact(&mut octets).await.map(|_| octets)
}

async fn write(stream: &mut tokio::net::TcpStream, octets: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
    drop(stream.write_all(&[&length[..], octets].concat()).await);
}
