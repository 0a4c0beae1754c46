//! The examples that keep state, beside a model: exact also where the host is killed at the steps of a commit and
//! of a swap, under load.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use stories::{
    A, B, Fnaad, P, Wire, drop_in, eventually, eventually_typed, keyed_count, noted,
    tumbling_window,
};

/// Events that are written between two kills.
const PART: usize = 300;

/// Events that are written under fire.
const EVENTS: usize = PART * (PLACES.len() + 1);

/// Where the host ends itself: in commits, before and after they are durable, and when a new version has come.
const PLACES: [&str; 5] = [
    "broker.before-commit:7",
    "broker.committed:5",
    "plugins.activated:1",
    "broker.committed:2",
    "broker.before-commit:3",
];

/// Event `n`: of one of sixteen keys, a tenth of a second after the one before.
fn event(n: usize) -> String {
    let (minute, second, tenth) = (n / 600, n / 10 % 60, n % 10);
    let event = serde_json::json!({
        "specversion": "1.0", "id": format!("e{n}"), "source": "/stories", "type": "told",
        "time": format!("2020-01-01T00:{minute:02}:{second:02}.{tenth}Z"),
        "partitionkey": format!("k{}", n % 16), "data": {"n": n},
    });
    event.to_string()
}

fn start(dir: &Path) -> Fnaad {
    Fnaad::arm(dir, "");
    Fnaad::mortal(dir).expect("nothing ends it")
}

/// A plugin between two flows of four partitions.
fn create(wire: &mut Wire, dir: &Path, kind: &str, component: &[u8], config: &str) {
    drop_in(&dir.join("plugins"), &format!("{kind}.wasm"), component);
    eventually_typed(wire, kind, |_| true);
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=4"));
    }
    wire.ok(&format!("CREATE PROCESSOR {P} TYPE {kind} FROM {A} TO {B} CONFIG {config}"));
}

/// Writes all events while the host is killed again and again, and gets a new version of its plugin.
fn under_fire(mut host: Fnaad, dir: &Path, kind: &str, component: &[u8]) -> Fnaad {
    let mut writer = host.fnua().spawn(&["write", A, "--retry-for", "120"]);
    let mut pipe = writer.stdin.take().unwrap();
    // A part for each kill and one for the end, so that there is load when the host is to end itself.
    let (more, parts) = std::sync::mpsc::sync_channel::<usize>(PLACES.len() + 1);
    let feeding = std::thread::spawn(move || {
        for part in parts {
            for n in part * PART..(part + 1) * PART {
                writeln!(pipe, "{}", event(n)).unwrap();
                if n % 10 == 0 {
                    std::thread::sleep(Duration::from_millis(15));
                }
            }
        }
    });
    for (kill, place) in PLACES.into_iter().enumerate() {
        Fnaad::arm(dir, place);
        more.send(kill).unwrap();
        let note = b'a' + u8::try_from(kill).unwrap();
        drop_in(&dir.join("plugins"), &format!("{kind}.wasm"), &noted(component, note));
        host.until_ended(place);
        host = start(dir);
    }
    more.send(PLACES.len()).unwrap();
    drop(more);
    feeding.join().unwrap();
    let written = writer.wait_with_output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    host
}

fn key(event: &Value) -> String {
    event["partitionkey"].as_str().unwrap().to_owned()
}

fn nothing_was_given_up(wire: &mut Wire) {
    let letters = wire.describe(&format!("PROCESSOR {P}"))["dead-letters"].clone();
    let open = letters["open"].as_u64().unwrap_or(0);
    assert_eq!(open, 0, "{letters}");
}

#[test]
fn counts_by_key_are_exact_over_kills_and_new_versions() {
    let dir = tempfile::tempdir().unwrap();
    let host = start(dir.path());
    create(&mut host.login(), dir.path(), "keyed-count", keyed_count(), "{}");
    let host = under_fire(host, dir.path(), "keyed-count", keyed_count());
    let mut wire = host.login();
    let mut model = BTreeMap::<String, u64>::new();
    for event in stories::eventually_holds(&mut wire, A, EVENTS) {
        *model.entry(key(&event)).or_default() += 1;
    }
    let told = eventually("all counts", || {
        let mut told = BTreeMap::<String, Vec<u64>>::new();
        for event in wire.read(B) {
            told.entry(key(&event)).or_default().push(event["data"]["count"].as_u64().unwrap());
        }
        let last = |(key, counts): (&String, &Vec<u64>)| (key.clone(), *counts.last().unwrap());
        let now: BTreeMap<_, _> = told.iter().map(last).collect();
        if now == model { Ok(told) } else { Err(format!("{now:?}, not {model:?}")) }
    });
    for (key, counts) in told {
        assert!(counts.is_sorted_by(|one, next| one < next), "{key}: {counts:?}");
    }
    nothing_was_given_up(&mut wire);
}

#[test]
fn each_window_is_told_once_with_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = start(dir.path());
    let config = |idle: u32| format!(r#"{{"seconds":10,"sum":"/n","idle":{idle}}}"#);
    let window = tumbling_window();
    create(&mut host.login(), dir.path(), "tumbling-window", window, &config(3600));
    let host = under_fire(host, dir.path(), "tumbling-window", window);
    let mut wire = host.login();
    let mut model = BTreeMap::<(String, String), (u64, u64)>::new();
    for event in stories::eventually_holds(&mut wire, A, EVENTS) {
        let n = event["data"]["n"].as_u64().unwrap();
        let end = n / 100 * 10 + 10;
        let end = format!("2020-01-01T00:{:02}:{:02}Z", end / 60, end % 60);
        let (count, sum) = model.entry((key(&event), end)).or_default();
        *count += 1;
        *sum += n;
    }
    // The last windows are closed by the clock: no event does.
    wire.ok(&format!("UPDATE PROCESSOR {P} CONFIG {}", config(1)));
    let told = stories::eventually_holds(&mut wire, B, model.len());
    let window = |event: &Value| {
        let (data, number) = (&event["data"], |value: &Value| value.as_f64().unwrap() as u64);
        let end = data["to"].as_str().unwrap().to_owned();
        ((key(event), end), (number(&data["count"]), number(&data["sum"])))
    };
    assert_eq!(told.iter().map(window).collect::<BTreeMap<_, _>>(), model);
    nothing_was_given_up(&mut wire);
}
