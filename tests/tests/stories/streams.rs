//! Streams between hosts at the socket: what the source sends, when it stops, and whom it refuses.

use std::collections::BTreeMap;
use std::thread::scope;

use fnap::reply::Code;
use fnap::stream::{Begin, Followed, MAX_STREAMS, Partition, Record};
use serde_json::Value;
use stories::{A, B, Certificates, Config, Fnaad, Following, Wire, event, eventually, host_with};

const CREDIT: u64 = 64 << 10;

pub(crate) fn anywhere() -> BTreeMap<u32, u64> {
    BTreeMap::new()
}

/// Where an event lies and which it is.
pub(crate) fn read(wire: &mut Wire, flow: &str) -> Vec<(u64, u64, String)> {
    let place = |event: Value| {
        let offset = event["flowoffset"].as_str().unwrap().parse().unwrap();
        (event["flowpartition"].as_u64().unwrap(), offset, event["id"].as_str().unwrap().to_owned())
    };
    let mut read: Vec<_> = wire.read(flow).into_iter().map(place).collect();
    read.sort();
    read
}

/// The same of records; each partition in its order, and once.
pub(crate) fn came(records: &[(u32, Record)]) -> Vec<(u64, u64, String)> {
    let mut last = BTreeMap::new();
    let place = |(partition, record): &(u32, Record)| {
        let before = last.insert(*partition, record.offset);
        assert!(before.is_none_or(|before| before < record.offset), "{partition}: {before:?}");
        let id = record.headers.iter().find(|header| &*header.name == b"ce_id").unwrap();
        let id = String::from_utf8(id.value.clone().unwrap().to_vec()).unwrap();
        (u64::from(*partition), record.offset, id)
    };
    let mut came: Vec<_> = records.iter().map(place).collect();
    came.sort();
    came
}

pub(crate) fn write(wire: &mut Wire, flow: &str, numbers: std::ops::Range<usize>) {
    let events: Vec<String> = numbers.map(event).collect();
    assert!(wire.write(flow, &events).starts_with("220 "));
}

pub(crate) fn subscribe(wire: &mut Wire, flow: &str) -> String {
    wire.data(&format!("SUBSCRIBE {flow}")).swap_remove(0)
}

#[test]
fn two_followers_get_every_record_once_and_in_order_while_writes_go_on() {
    let (mut wire, host, _dir) = host_with(&[A], 3);
    write(&mut wire, A, 0..200);
    let name = subscribe(&mut wire, A);
    let follow = || {
        let mut following = Following::begin(host.login());
        let stream = following.attach(&name, &anywhere(), CREDIT);
        following.attached(stream);
        came(&following.records(stream, 1_000))
    };
    let (one, other) = scope(|scope| {
        let (one, other) = (scope.spawn(follow), scope.spawn(follow));
        (2..10).for_each(|part| write(&mut wire, A, part * 100..part * 100 + 100));
        (one.join().unwrap(), other.join().unwrap())
    });
    let read = read(&mut wire, A);
    assert_eq!(read.len(), 1_000);
    assert_eq!(one, read);
    assert_eq!(other, read);
}

#[test]
fn a_stream_under_tls_carries_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &["--name", "127.0.0.1"]);
    let mut config = Config::new(dir.path());
    let shown = |name| certificates.file(name).display().to_string();
    let keys = format!(
        "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n\n[[namespaces]]",
        shown("server.pem"),
        shown("server.key"),
    );
    config.text = config.text.replacen("\n[[namespaces]]", &keys, 1);
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = Wire::connect_tls(host.tls_address(), &certificates.trust()).unwrap();
    wire.authenticate("test", "test");
    wire.ok(&format!("CREATE FLOW {A} partitions=2"));
    write(&mut wire, A, 0..500);
    let read = read(&mut wire, A);
    let mut following = Following::begin(wire);
    let stream = following.attach(A, &anywhere(), CREDIT);
    assert_eq!(came(&following.records(stream, 500)), read);
}

#[test]
fn a_follower_says_where_it_begins_and_hears_where_it_cannot() {
    let (mut wire, host, _dir) = host_with(&[A], 2);
    write(&mut wire, A, 0..100);
    let read = read(&mut wire, A);
    let ends = [0, 1].map(|of| read.iter().filter(|(partition, ..)| *partition == of).count());
    let mut following = Following::begin(host.login());
    // What there is.
    let asked = following.attach_from(A, &anywhere(), Begin::None, CREDIT);
    let partition = |partition, next| {
        let latest = ends[partition as usize] as u64;
        Partition { partition, earliest: 0, latest, next }
    };
    assert_eq!(following.attached(asked), [partition(0, 0), partition(1, 0)]);
    // One partition, from a place on, and no other.
    let stream = following.attach_from(A, &[(1, 7)].into(), Begin::None, CREDIT);
    assert_eq!(following.attached(stream), [partition(1, 7)]);
    let rest: Vec<_> = read.iter().filter(|(of, at, _)| *of == 1 && *at >= 7).cloned().collect();
    assert_eq!(came(&following.records(stream, rest.len())), rest);
    // What comes.
    let latest = following.attach_from(A, &anywhere(), Begin::Latest, CREDIT);
    assert_eq!(
        following.attached(latest),
        [0, 1].map(|of| partition(of, ends[of as usize] as u64))
    );
    // What is not there.
    let beyond = ends[0] as u64 + 1;
    for (position, words) in [((0, beyond), "earliest=0 latest="), ((2, 0), "does not exist")] {
        let stream = following.attach(A, &[position].into(), CREDIT);
        let (failure, records) = following.ended(stream);
        assert_eq!((failure.code, records.len()), (Code::OutOfRange, 0), "{failure}");
        assert!(failure.words.contains(words), "{failure}");
    }
    for name in [B, "x.a.flows.unix.ar", "elsewhere.example"] {
        let stream = following.attach(name, &anywhere(), CREDIT);
        assert_eq!(following.ended(stream).0.to_string(), format!("404 NOT_FOUND flow {name}"));
    }
}

#[test]
fn a_slow_stream_stops_itself_alone() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    write(&mut wire, A, 0..500);
    let read = read(&mut wire, A);
    let mut following = Following::begin(host.login());
    let slow = following.attach(A, &anywhere(), 1_000);
    let quick = following.attach(A, &anywhere(), CREDIT);
    let (mut held, mut got) = (0, Vec::new());
    while got.len() < read.len() {
        let Followed::Records(batch) = following.next() else { continue };
        if batch.stream == quick {
            got.extend(batch.open_plain().unwrap().into_iter().map(|record| (0, record)));
            following.side().used(quick, batch.cost);
        } else {
            assert_eq!(batch.stream, slow);
            held += batch.cost;
        }
    }
    assert!((1..=1_000).contains(&held), "{held}");
    assert_eq!(came(&got), read);
    // It goes on where it stood.
    following.side().used(slow, held);
    assert!(!following.records(slow, 1).is_empty());
}

#[test]
fn after_the_answer_to_a_removal_no_record_crosses() {
    let (mut wire, host, _dir) = host_with(&[A, B], 1);
    write(&mut wire, B, 0..1);
    for end in ["REMOVE SUBSCRIBER", "UNSUBSCRIBE"] {
        let name = subscribe(&mut wire, A);
        let mut following = Following::begin(host.login());
        let stream = following.attach(&name, &anywhere(), 1 << 30);
        following.attached(stream);
        write(&mut wire, A, 0..400);
        let before = read(&mut wire, A).len();
        wire.ok(&format!("{end} {name}"));
        write(&mut wire, A, 400..500);
        let (failure, records) = following.ended(stream);
        let code = if end == "UNSUBSCRIBE" { Code::NotFound } else { Code::Forbidden };
        assert_eq!(failure.code, code, "{failure}");
        assert!(records.len() <= before, "{} of {before}", records.len());
        // Others go on, and nothing more comes of this one: the state machine would not take it.
        let other = following.attach(B, &anywhere(), CREDIT);
        assert_eq!(following.records(other, 1).len(), 1);
        let again = following.attach(&name, &anywhere(), CREDIT);
        assert_eq!(following.ended(again).0.code, code);
    }
}

#[test]
fn a_stream_ends_with_the_right_to_read_and_with_its_flow() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path()).with_users(&["ana", "eva"]);
    let host = Fnaad::serve(dir.path(), config.save());
    let mut root = host.login_as("test", "test");
    root.ok(&format!("CREATE FLOW {A}"));
    root.ok(&format!("GRANT read,subscribe ON {A} TO user:ana"));
    let mut ana = host.login_as("ana", "test");
    let name = subscribe(&mut ana, A);
    // It is nobody else's, and to who may not read there is no flow.
    let mut eva = Following::begin(host.login_as("eva", "test"));
    for wanted in [A, &name] {
        let stream = eva.attach(wanted, &anywhere(), CREDIT);
        assert_eq!(eva.ended(stream).0.to_string(), format!("404 NOT_FOUND flow {wanted}"));
    }
    let mut following = Following::begin(ana);
    let [plain, subscription] = [A, &name].map(|name| {
        let stream = following.attach(name, &anywhere(), CREDIT);
        following.attached(stream);
        stream
    });
    root.ok(&format!("REVOKE read ON {A} FROM user:ana"));
    assert_eq!(following.ended(plain).0.code, Code::Forbidden);
    write(&mut root, A, 0..10);
    assert_eq!(following.records(subscription, 10).len(), 10);
    root.ok(&format!("REMOVE SUBSCRIBER {name}"));
    assert_eq!(following.ended(subscription).0.code, Code::Forbidden);
    root.ok(&format!("GRANT read ON {A} TO user:ana"));
    let plain = following.attach(A, &anywhere(), CREDIT);
    following.records(plain, 10);
    root.ok(&format!("DELETE FLOW {A}"));
    assert_eq!(following.ended(plain).0.code, Code::NotFound);
}

#[test]
fn while_it_is_paused_a_stream_stays_and_nothing_is_sent() {
    let (mut wire, host, _dir) = host_with(&[A, B], 1);
    let name = subscribe(&mut wire, A);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), CREDIT);
    following.attached(stream);
    wire.ok(&format!("PAUSE {name}"));
    write(&mut wire, A, 0..20);
    write(&mut wire, B, 0..1);
    // What stands in the same connection behind anything that could be sent.
    let other = following.attach(B, &anywhere(), CREDIT);
    loop {
        match following.next() {
            Followed::Records(batch) if batch.stream == other => break,
            Followed::Records(batch) => panic!("{batch:?}"),
            _ => {}
        }
    }
    wire.ok(&format!("RESUME {name}"));
    assert_eq!(following.records(stream, 20).len(), 20);
}

#[test]
fn who_attaches_again_after_a_crash_goes_on_where_it_was() {
    let (mut wire, mut host, dir) = host_with(&[A], 2);
    write(&mut wire, A, 0..100);
    let name = subscribe(&mut wire, A);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), 2_000);
    let mut got = following.records(stream, 30);
    let positions = following.side().positions(stream).unwrap();
    following.side().ack(stream, &positions).unwrap();
    following.write();
    eventually("the place to be shown", || {
        let row = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
        let shown: BTreeMap<u32, u64> =
            serde_json::from_value(row["acked"].clone()).map_err(|_| row.to_string())?;
        if shown == positions && row["connected"] == 1 { Ok(()) } else { Err(row.to_string()) }
    });
    host.kill_in_place(dir.path());
    let mut wire = host.login();
    write(&mut wire, A, 100..200);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &positions, CREDIT);
    got.extend(following.records(stream, 200 - got.len()));
    assert_eq!(came(&got), read(&mut wire, A));
}

#[test]
fn thousands_of_streams_and_those_who_want_what_is_not_there_leave_the_host_to_others() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    write(&mut wire, A, 0..3);
    let mut following = Following::begin(host.login());
    let many: Vec<u32> =
        (0..MAX_STREAMS).map(|_| following.attach(A, &anywhere(), CREDIT)).collect();
    let mut came: BTreeMap<u32, usize> = BTreeMap::new();
    while came.values().sum::<usize>() < 3 * many.len() {
        if let Followed::Records(batch) = following.next() {
            *came.entry(batch.stream).or_default() += batch.count;
        }
    }
    assert!(many.iter().all(|stream| came[stream] == 3));
    // One that asks for more than it may is told and put out.
    following.send(&[0, 0, 0, 0]);
    loop {
        match following.try_next() {
            Some(Followed::Closed(failure)) => break assert_eq!(failure.code, Code::BadFormat),
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    }
    let mut following = Following::begin(host.login());
    for _ in 0..1_200 {
        let stream = following.attach(B, &anywhere(), 1);
        assert_eq!(following.ended(stream).0.code, Code::NotFound);
    }
    write(&mut wire, A, 3..4);
}

#[test]
fn a_host_that_ends_says_so_to_who_follows() {
    let (_wire, host, _dir) = host_with(&[A], 1);
    let mut following = Following::begin(host.login());
    let stream = following.attach(A, &anywhere(), CREDIT);
    following.attached(stream);
    let ended = std::thread::spawn(move || host.end());
    loop {
        match following.try_next() {
            Some(Followed::Closed(failure)) => break assert_eq!(failure.code, Code::Unavailable),
            Some(_) => {}
            None => panic!("closed without a word"),
        }
    }
    assert!(ended.join().unwrap().success());
}

#[test]
fn a_removal_waits_for_nobody_who_reads_nothing() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    let name = subscribe(&mut wire, A);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), 1 << 30);
    following.attached(stream);
    // More than sockets take, in frames that are cut in their middle.
    let large = event(0).replace("\"n\":0", &format!("\"n\":\"{}\"", "x".repeat(900_000)));
    for _ in 0..24 {
        assert!(wire.write(A, std::slice::from_ref(&large)).starts_with("220 "));
    }
    wire.ok(&format!("REMOVE SUBSCRIBER {name}"));
    let row = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
    assert_eq!((&row["state"], &row["connected"]), (&"ended".into(), &0.into()), "{row}");
}

#[test]
fn what_was_purged_is_not_sent_from_what_others_have_read() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    write(&mut wire, A, 0..100);
    let mut following = Following::begin(host.login());
    let slow = following.attach(A, &anywhere(), 1_000);
    let quick = following.attach(A, &anywhere(), CREDIT);
    let (mut held, mut got) = (0, 0);
    while got < 100 {
        let Followed::Records(batch) = following.next() else { continue };
        if batch.stream == quick {
            got += batch.count;
            following.side().used(quick, batch.cost);
        } else {
            held += batch.cost;
        }
    }
    following.write();
    wire.ok(&format!("PURGE FLOW {A} CONFIRM {A}"));
    following.side().used(slow, held);
    let (failure, records) = following.ended(slow);
    assert_eq!((failure.code, records.len()), (Code::OutOfRange, 0), "{failure}");
    // Who had read all goes on, and who comes now begins with what comes now.
    let late = following.attach(A, &anywhere(), CREDIT);
    write(&mut wire, A, 100..103);
    let ids = |records: Vec<(u32, Record)>| -> Vec<String> {
        came(&records).into_iter().map(|(.., id)| id).collect()
    };
    assert_eq!(ids(following.records(late, 3)), ["e100", "e101", "e102"]);
    // Another flow of the same name has nothing of it either.
    wire.ok(&format!("DELETE FLOW {A}"));
    assert_eq!(following.ended(late).0.code, Code::NotFound);
    wire.ok(&format!("CREATE FLOW {A}"));
    write(&mut wire, A, 200..202);
    let new = following.attach(A, &anywhere(), CREDIT);
    assert_eq!(ids(following.records(new, 2)), ["e200", "e201"]);
}

#[test]
fn a_pause_waits_until_what_was_sent_before_has_left() {
    let (mut wire, host, _dir) = host_with(&[A, B], 1);
    let name = subscribe(&mut wire, A);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), 1 << 30);
    following.attached(stream);
    let large = event(0).replace("\"n\":0", &format!("\"n\":\"{}\"", "x".repeat(900_000)));
    for _ in 0..24 {
        assert!(wire.write(A, std::slice::from_ref(&large)).starts_with("220 "));
    }
    // He takes nothing, so that more waits than sockets take: the answer comes when he has lost what waits.
    wire.ok(&format!("PAUSE {name}"));
    let mut before = 0;
    while let Some(event) = following.try_next() {
        before += if let Followed::Records(batch) = event { batch.count } else { 0 };
    }
    assert!(before < 24, "{before}");
    // He comes again, and gets the rest when he may.
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &[(0, before as u64)].into(), CREDIT << 10);
    following.attached(stream);
    wire.ok(&format!("RESUME {name}"));
    assert_eq!(following.records(stream, 24 - before).len(), 24 - before);
}

#[test]
fn partitions_that_a_flow_gains_are_told_of() {
    let (mut wire, host, _dir) = host_with(&[A], 2);
    write(&mut wire, A, 0..50);
    let mut following = Following::begin(host.login());
    let all = following.attach(A, &anywhere(), CREDIT);
    let one = following.attach_from(A, &[(0, 0)].into(), Begin::None, CREDIT);
    let mut came = following.records(all, 50);
    wire.ok(&format!("UPDATE FLOW {A} partitions=4"));
    let (mut added, mut ended) = (None, None);
    while added.is_none() || ended.is_none() {
        match following.next() {
            Followed::Added { stream, partitions } if stream == all => added = Some(partitions),
            Followed::Ended { stream, failure } if stream == one => ended = Some(failure),
            Followed::Ended { failure, .. } => panic!("{failure}"),
            _ => {}
        }
    }
    let new = |partition| Partition { partition, earliest: 0, latest: 0, next: 0 };
    assert_eq!(added, Some(vec![new(2), new(3)]));
    let failure = ended.unwrap();
    assert_eq!(failure.code, Code::Unavailable, "{failure}");
    assert!(failure.words.contains("4 partitions"), "{failure}");
    write(&mut wire, A, 50..200);
    came.extend(following.records(all, 150));
    assert_eq!(self::came(&came), read(&mut wire, A));
    assert!(came.iter().any(|(partition, _)| *partition > 1));
}

#[test]
fn who_says_more_than_anybody_needs_is_heard_all_the_same() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    write(&mut wire, A, 0..10);
    let name = subscribe(&mut wire, A);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), CREDIT);
    following.records(stream, 10);
    for at in 0..=10 {
        for _ in 0..2_000 {
            following.side().ack(stream, &[(0, at)].into()).unwrap();
        }
        following.write();
    }
    eventually("the last word to be heard", || {
        let row = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
        if row["acked"]["0"] == 10 { Ok(()) } else { Err(row.to_string()) }
    });
    write(&mut wire, A, 10..20);
    assert_eq!(following.records(stream, 10).len(), 10);
}
