//! Views: what of a flow leaves its owner's host, and what never does.

use fnap::stream::Record;
use serde_json::Value;
use stories::{A, Fnaad, Following, Wire, event, events, host_with};

use crate::streams::{anywhere, came, read, write};

const CREDIT: u64 = 64 << 10;

fn subscribe(wire: &mut Wire, settings: &str) -> String {
    wire.data(&format!("SUBSCRIBE {A} {settings}")).swap_remove(0)
}

/// What becomes of an event's data, which is JSON with a number.
fn data(records: &[(u32, Record)]) -> Vec<String> {
    let text = |(_, record): &(u32, Record)| {
        String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
    };
    records.iter().map(text).collect()
}

/// Follows a subscription from its beginning until one partition stands at `next`.
fn follow(host: &Fnaad, name: &str, next: u64) -> (Following, Vec<(u32, Record)>) {
    let mut following = Following::begin(host.login()).recording();
    let stream = following.attach(name, &anywhere(), CREDIT);
    following.attached(stream);
    let records = following.until(stream, 0, next);
    (following, records)
}

#[test]
fn what_a_filter_does_not_let_through_never_leaves_the_owners_host() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    (0..6).for_each(|part| write(&mut wire, A, part * 500..part * 500 + 500));
    let name = subscribe(&mut wire, "filter=\"data.n % 100 == 7\"");
    let (following, records) = follow(&host, &name, 3_000);
    let all = read(&mut wire, A);
    let wanted: Vec<_> = all.into_iter().filter(|(_, at, _)| at % 100 == 7).collect();
    assert_eq!(came(&records), wanted);
    for n in [7, 107, 2_907] {
        assert!(following.has_heard(&format!("{{\"n\":{n}}}")), "{n}");
    }
    for n in [6, 8, 108, 2_999] {
        assert!(!following.has_heard(&format!("\"n\":{n}")), "{n}");
        assert!(!following.has_heard(&format!("e{n}")), "{n}");
    }
}

#[test]
fn each_subscriber_sees_his_own_part_while_writes_go_on() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    let rest = |k| format!("filter=\"data.n % 3 == {k}\"");
    let names: Vec<String> =
        (0..3).map(|k| subscribe(&mut wire, &format!("REF={} {}", uuid(k), rest(k)))).collect();
    // Two with the same view, and one without any.
    let same = subscribe(&mut wire, &format!("REF={} {}", uuid(3), rest(0)));
    let whole = subscribe(&mut wire, "");
    let all = names.iter().chain([&same, &whole]);
    let seen = std::thread::scope(|scope| {
        let followers: Vec<_> =
            all.map(|name| scope.spawn(|| follow(&host, name, 900).1)).collect();
        (0..9).for_each(|part| write(&mut wire, A, part * 100..part * 100 + 100));
        Vec::from_iter(followers.into_iter().map(|one| came(&one.join().unwrap())))
    });
    let all = read(&mut wire, A);
    for (k, seen) in (0..).zip(&seen[..3]) {
        let part: Vec<_> = all.iter().filter(|(_, at, _)| at % 3 == k).cloned().collect();
        assert_eq!(*seen, part, "{k}");
    }
    assert_eq!((&seen[3], &seen[4]), (&seen[0], &all));
}

fn uuid(number: u32) -> String {
    format!("6f0c1d7e-6d0b-4f0e-9d8f-{number:012}")
}

#[test]
fn who_attaches_again_in_the_middle_of_what_was_left_out_misses_nothing() {
    let (mut wire, mut host, dir) = host_with(&[A], 1);
    write(&mut wire, A, 0..500);
    let name = subscribe(&mut wire, "filter=\"data.n >= 490 && data.n < 510\"");
    for from in [0, 1, 250, 489, 490, 495, 500] {
        let mut following = Following::begin(host.login());
        let stream = following.attach(&name, &[(0, from)].into(), CREDIT);
        following.attached(stream);
        if from < 500 {
            let records = following.until(stream, 0, 500);
            assert_eq!(records.len() as u64, 500 - from.max(490), "{from}");
        }
    }
    host.kill_in_place(dir.path());
    let mut wire = host.login();
    write(&mut wire, A, 500..600);
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &[(0, 495)].into(), CREDIT);
    let records = following.until(stream, 0, 600);
    let offsets: Vec<u64> = records.iter().map(|(_, record)| record.offset).collect();
    assert_eq!(offsets, Vec::from_iter(495..510));
}
