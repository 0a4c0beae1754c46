//! What an operator sees at a glance: `fnua status` and `fnua top`.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use stories::{Fnaad, Fnua, Wire, events, eventually};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";

fn host() -> (Wire, Fnua, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    for flow in [A, "b.flows.unix.ar"] {
        wire.ok(&format!("CREATE FLOW {flow} partitions=2"));
    }
    wire.ok(&format!("REPLICATE {A} b.flows.unix.ar AS good.flows.unix.ar"));
    let fnua = host.fnua();
    (wire, fnua, host, dir)
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn status_ends_well_while_all_is_well_and_names_what_is_wrong_else() {
    let (mut wire, fnua, _host, _dir) = host();
    let status = fnua.ok(&["status"]);
    assert!(status.ends_with("\nnothing is wrong\n"), "{status}");
    // Without end: a plugin that is stopped at its deadline, whatever is done with its events then.
    let list = format!("[{}]", vec!["0"; 60].join(","));
    let filter =
        (0..7).fold("true".to_owned(), |inner, depth| format!("{list}.all(x{depth}, {inner})"));
    let config = json!({ "filter": filter });
    wire.ok(&format!("REPLICATE {A} b.flows.unix.ar AS bad.flows.unix.ar CONFIG {config}"));
    wire.write(A, &events(0..1));
    // Between two tries it is not failed but starting, which is nothing to look at by itself.
    let wrong = |args: &[&str], words: &str| {
        eventually("what is wrong", || {
            let said = fnua.run(args);
            let found = said.code == 4 && said.stdout.contains(words);
            if found { Ok(said.stdout) } else { Err(format!("{said:?}")) }
        })
    };
    let text = wrong(&["status"], "\n! bad.flows.unix.ar: ");
    assert!(!text.contains("! good."), "{text}");
    let json = wrong(&["status", "--format", "json"], "\"wrong\":[{");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["wrong"][0]["about"], "bad.flows.unix.ar");
}

#[test]
fn top_counts_events_a_second_and_never_below_nothing() {
    let (mut wire, fnua, host, _dir) = host();
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = 0;
            while !seen.load(Ordering::Relaxed) {
                wire.write(A, &events(from..from + 100));
                from += 100;
            }
        });
        // Ends the writer also where this fails.
        let _end = End(&seen);
        eventually("rates of what flows", || {
            let text = fnua.ok(&["top", "--once", "--interval", "500ms", "--format", "json"]);
            let look: Value = serde_json::from_str(&text).unwrap();
            let good = &look["processors"][0];
            assert_eq!(good["processor"], "good.flows.unix.ar");
            assert_eq!(good["version"], "0.1.0");
            let rates = [&good["events-in-per-second"], &good["events-out-per-second"]];
            assert!(rates.iter().all(|rate| rate.as_f64() >= Some(0.0)), "{look}");
            if rates.iter().all(|rate| rate.as_f64() > Some(0.0)) { Ok(()) } else { Err(text) }
        });
    });
    drop(host);
    let said = fnua.run(&["top", "--once"]);
    assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{said:?}");
}

#[test]
fn top_prints_tables_where_no_terminal_is() {
    let (_wire, fnua, _host, _dir) = host();
    let text = fnua.ok(&["top", "--once", "--interval", "100ms"]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let heads: Vec<_> = text.lines().filter(|line| line.starts_with(['P', 'F'])).collect();
    assert!(heads[0].starts_with("PROCESSOR") && heads[1].starts_with("FLOW"), "{text}");
    assert!(text.contains("good.flows.unix.ar  running"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("a.flows.unix.ar  active")).count(), 1);
}
