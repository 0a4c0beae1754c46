//! Views: what of a flow leaves its owner's host, and what never does.

use fnap::reply::Code;
use fnap::stream::Record;
use serde_json::Value;
use stories::metrics::Metrics;
use stories::{A, Fnaad, Following, Wire, drop_in, eventually, guest, host_with, lying_guest};
use tempfile::TempDir;

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
    let metric = |what: &str| {
        let series = format!("fnaa_subscriber_{what}{{subscription=\"{name}\",flow=\"{A}\"}}");
        Metrics::of(host.observe()).get(&series).unwrap_or_else(|| panic!("no {series}"))
    };
    let shown = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
    let usage = &shown["usage"];
    assert_eq!((&usage["events"], &usage["retries"]), (&30.into(), &0.into()), "{shown}");
    // Nothing was said to be safe at the subscriber's since he began.
    assert_eq!(usage["lag-events"], 3_000, "{shown}");
    assert!(usage["bytes"].as_u64().unwrap() > 30 * 10, "{shown}");
    assert_eq!((metric("events_total"), metric("connected")), (30.0, 1.0));
    assert!(metric("cpu_seconds_total") > 0.0, "of the filter");
    assert_eq!((metric("lag_events"), metric("retries_total")), (3_000.0, 0.0));
    assert!(!following.has_heard("e2999"));
    for n in [6, 8, 108, 2_999] {
        assert!(!following.has_heard(&format!("{{\"n\":{n}}}")), "{n}");
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

/// A host with the plugin that does what it is told, and a flow `a` that is made with further settings.
fn masking(settings: &str) -> (Wire, Fnaad, TempDir) {
    let (mut wire, host, dir) = host_with(&[], 1);
    drop_in(&dir.path().join("plugins"), "guest.wasm", guest());
    guest_is(&mut wire, "the type guest", |_| true);
    wire.ok(format!("CREATE FLOW {A} {settings}").trim_end());
    (wire, host, dir)
}

fn policy(act: &str) -> String {
    let text = format!("guest {}", serde_json::json!({"act": act}));
    format!("policy={}", Value::from(text))
}

#[test]
fn what_a_policy_masks_is_masked_for_every_subscriber_and_no_filter_finds_it_out() {
    let (mut wire, host, _dir) = masking(&policy("mask"));
    write(&mut wire, A, 100..300);
    let name = subscribe(&mut wire, &format!("REF={}", uuid(1)));
    let (following, records) = follow(&host, &name, 200);
    assert_eq!(data(&records), vec!["{\"n\":000}"; 200]);
    assert!(!following.has_heard("\"n\":1") && !following.has_heard("\"n\":2"));
    // Neither in what comes nor in whether something comes.
    let probe = subscribe(&mut wire, &format!("REF={} filter=\"data.n == 123\"", uuid(2)));
    assert!(follow(&host, &probe, 200).1.is_empty());
    // Who may read the flow itself is no subscriber.
    let whole = follow(&host, A, 200).1;
    assert_eq!(data(&whole)[23], "{\"n\":123}");
    let config = wire.describe(&format!("FLOW {A}"));
    assert_eq!(config["policy"], "guest {\"act\":\"mask\"}", "{config}");
}

#[test]
fn new_events_lie_where_the_old_ones_did() {
    let (mut wire, host, _dir) = masking(&policy("mask-anew"));
    write(&mut wire, A, 10..60);
    let name = subscribe(&mut wire, "");
    let (following, records) = follow(&host, &name, 50);
    let offsets: Vec<u64> = records.iter().map(|(_, record)| record.offset).collect();
    assert_eq!(offsets, Vec::from_iter(0..50));
    assert_eq!(data(&records), vec!["{\"n\":00}"; 50]);
    assert!(!following.has_heard("/stories"), "nothing of the old ones");
}

#[test]
fn what_a_policy_refuses_is_left_out_and_told_to_the_owner_alone() {
    let (mut wire, host, _dir) = masking(&policy("refuse-some"));
    write(&mut wire, A, 0..100);
    let name = subscribe(&mut wire, "");
    let (following, records) = follow(&host, &name, 100);
    let offsets: Vec<u64> = records.iter().map(|(_, record)| record.offset).collect();
    assert_eq!(offsets, Vec::from_iter((0..50).map(|half| half * 2)));
    assert!(!following.has_heard("\"n\":33"));
    assert!(host.log().contains("events are left out of a view"), "{}", host.log());
}

#[test]
fn where_a_policy_fails_nothing_is_sent_and_why_is_the_owners_business() {
    let (mut wire, host, _dir) = masking(&policy("panic-at-odd"));
    write(&mut wire, A, 1..2);
    let name = subscribe(&mut wire, "");
    let mut following = Following::begin(host.login()).recording();
    let stream = following.attach(&name, &anywhere(), CREDIT);
    let (failure, records) = following.ended(stream);
    let told = "503 UNAVAILABLE the policy of the flow's owner does not work";
    assert_eq!((failure.to_string().as_str(), records.len()), (told, 0));
    assert!(!following.has_heard("\"n\":1"));
    assert!(host.log().contains("a view fails, nothing of it is sent"));
    let row = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
    assert!(row["trouble"].as_str().unwrap().starts_with("trap: "), "{row}");
    // What the owner says next counts for who comes again.
    wire.ok(&format!("UPDATE FLOW {A} {}", policy("mask")));
    let stream = following.attach(&name, &anywhere(), CREDIT);
    assert_eq!(data(&following.records(stream, 1)), ["{\"n\":0}"]);
    let row = wire.json(&format!("GET SUBSCRIBERS {A}")).swap_remove(0);
    assert_eq!(row["trouble"], Value::Null, "{row}");
}

#[test]
fn after_the_answer_to_another_policy_nothing_crosses_as_it_was_before() {
    let (mut wire, host, _dir) = masking("");
    let name = subscribe(&mut wire, "");
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), 1 << 30);
    following.attached(stream);
    write(&mut wire, A, 100..200);
    assert_eq!(following.records(stream, 100).len(), 100);
    wire.ok(&format!("UPDATE FLOW {A} {}", policy("mask")));
    write(&mut wire, A, 200..300);
    let mut following = following.recording();
    let (failure, records) = following.ended(stream);
    assert_eq!((failure.code, records.len()), (Code::Unavailable, 0), "{failure}");
    let stream = following.attach(&name, &[(0, 100)].into(), CREDIT);
    assert_eq!(data(&following.until(stream, 0, 200)), vec!["{\"n\":000}"; 100]);
    assert!(!following.has_heard("\"n\":2"));
    // And away again.
    wire.ok(&format!("UPDATE FLOW {A} policy=\"\""));
    assert_eq!(following.ended(stream).0.code, Code::Unavailable);
    let stream = following.attach(&name, &[(0, 199)].into(), CREDIT);
    assert_eq!(data(&following.records(stream, 1)), ["{\"n\":299}"]);
}

#[test]
fn what_cannot_be_a_policy_is_refused_and_what_it_is_configured_with_is_kept_to_its_owner() {
    let (mut wire, host, dir) = masking("");
    let before = wire.describe(&format!("FLOW {A}"));
    for (text, code) in [
        ("nothing {}", "404"),
        ("bridge {\"fliter\":\"true\"}", "400"),
        ("guest {\"act\":\"trap-in-init\"}", "400"),
        ("guest {", "400"),
        ("Guest", "4"),
    ] {
        let answer = wire.refused(&format!("UPDATE FLOW {A} policy={}", Value::from(text)));
        assert!(answer.starts_with(code), "{text}: {answer}");
    }
    assert_eq!(wire.describe(&format!("FLOW {A}")), before);
    let secret = Value::from("bridge {\"filter\":\"subject != 's3cret'\"}");
    wire.ok(&format!("UPDATE FLOW {A} policy={secret}"));
    let log = dir.path().join("data/audit.log");
    eventually("the change in the audit log", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(!text.contains("s3cret"), "{text}");
        if text.contains("bridge (not shown)") { Ok(()) } else { Err(text) }
    });
    assert!(!host.log().contains("s3cret"));
}

#[test]
fn a_condition_that_is_enormous_is_refused_and_one_that_is_slow_holds_up_nobody() {
    let (mut wire, host, _dir) = host_with(&[A], 1);
    let long = format!("filter=\"data.n == 1{}\"", " || data.n == 2".repeat(300));
    assert!(wire.refused(&format!("SUBSCRIBE {A} {long}")).starts_with("400 "));
    let deep = format!("filter=\"{}data.n{} == 1\"", "[".repeat(200), "]".repeat(200));
    assert!(wire.refused(&format!("SUBSCRIBE {A} {deep}")).starts_with("400 "));
    // Sixteen million steps for each event.
    let list = Value::from(Vec::from_iter(0..64)).to_string();
    let slow = format!(
        "{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d + data.n >= 0))))"
    );
    let slow = format!("filter={}", Value::from(slow));
    write(&mut wire, A, 0..500);
    let slow = subscribe(&mut wire, &format!("REF={} {slow}", uuid(1)));
    let mut following = Following::begin(host.login()).recording();
    let stream = following.attach(&slow, &anywhere(), CREDIT);
    following.attached(stream);
    let quick = subscribe(&mut wire, &format!("REF={} filter=\"data.n < 3\"", uuid(2)));
    assert_eq!(follow(&host, &quick, 500).1.len(), 3);
    let (failure, records) = following.ended(stream);
    assert_eq!((failure.code, records.len()), (Code::Unavailable, 0));
    assert!(failure.words.starts_with("filter: limit passed: call_ms="), "{failure}");
    assert!(!following.has_heard("\"n\":"));
}

fn guest_is(wire: &mut Wire, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let types = wire.json("GET PROCESSOR TYPES");
        let found = types.iter().find(|found| found["type"] == "guest" && wanted(found));
        found.cloned().ok_or_else(|| format!("{types:?}"))
    })
}

#[test]
fn another_version_of_a_policy_takes_over_between_two_batches_and_one_that_refuses_it_never() {
    let (mut wire, host, dir) = masking(&policy("mask"));
    let name = subscribe(&mut wire, "");
    let mut following = Following::begin(host.login());
    let stream = following.attach(&name, &anywhere(), CREDIT);
    following.attached(stream);
    write(&mut wire, A, 100..150);
    assert_eq!(data(&following.until(stream, 0, 50)), vec!["{\"n\":000}"; 50]);
    let before = guest_is(&mut wire, "the first version", |_| true);
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("keyed"));
    let refused = |found: &Value| found.to_string().contains(&format!("policy of flow {A}"));
    eventually("a file that is rejected", || {
        let types = wire.json("GET PROCESSOR TYPES");
        if types.iter().any(refused) { Ok(()) } else { Err(format!("{types:?}")) }
    });
    write(&mut wire, A, 150..200);
    assert_eq!(data(&following.until(stream, 0, 100)), vec!["{\"n\":000}"; 50]);
    drop_in(&dir.path().join("plugins"), "guest.wasm", &lying_guest("nines"));
    guest_is(&mut wire, "the second version", |found| {
        found["digest"].is_string() && found["digest"] != before["digest"]
    });
    write(&mut wire, A, 200..250);
    assert_eq!(data(&following.until(stream, 0, 150)), vec!["{\"n\":999}"; 50]);
    // What the first one let through is not there any more for whoever comes later.
    assert_eq!(data(&follow(&host, &name, 150).1), vec!["{\"n\":999}"; 150]);
}
