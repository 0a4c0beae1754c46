//! Which processors take a new version of their plugin, and when: all at once, one before the others; and
//! what an operator says to that with `fnaad plugins`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use stories::{
    A, B, Config, Fnaad, Wire, drop_in, events, eventually, eventually_described, eventually_holds,
    eventually_typed, guest, lying_guest, program,
};

pub(crate) const C: &str = "c.flows.unix.ar";
pub(crate) const D: &str = "d.flows.unix.ar";
pub(crate) const ONE: &str = "one.flows.unix.ar";
pub(crate) const TWO: &str = "two.flows.unix.ar";
pub(crate) const THREE: &str = "three.flows.unix.ar";

/// Others follow after 40 events of the first, at once.
fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.text = config.text.replacen(
        "\n[[namespaces]]",
        "\n[upgrades]\nfirst_events = 40\nfirst_seconds = 0\n\n[[namespaces]]",
        1,
    );
    config
}

pub(crate) fn start(dir: &Path) -> Fnaad {
    let config = config(dir);
    Fnaad::serve(dir, config.save())
}

pub(crate) fn drop_guest(dir: &Path, bytes: &[u8]) {
    drop_in(&dir.join("data/plugins"), "guest.wasm", bytes);
}

/// Three processors of the type `guest` that read `a`; the options of each.
pub(crate) fn three(dir: &Path, options: [&str; 3]) -> (Fnaad, Wire) {
    std::fs::create_dir_all(dir.join("data/plugins")).unwrap();
    drop_guest(dir, guest());
    let host = start(dir);
    let mut wire = login(&host);
    for flow in [A, B, C, D] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    for ((processor, flow), options) in [(ONE, B), (TWO, C), (THREE, D)].into_iter().zip(options) {
        let command = format!("SIGNAL guest FROM {A} TO {flow} AS {processor} {options}");
        wire.ok(command.trim_end());
    }
    (host, wire)
}

pub(crate) fn login(host: &Fnaad) -> Wire {
    Wire::try_login(host.address(), "test", "test").expect("a way in")
}

pub(crate) fn version(wire: &mut Wire, processor: &str) -> Value {
    wire.describe(&format!("PROCESSOR {processor}"))["shard.0"]["version"].clone()
}

pub(crate) fn runs(wire: &mut Wire, processor: &str, version: &str) -> Value {
    eventually_described(wire, processor, version, |seen| {
        seen["shard.0"]["version"] == version && seen["state"] == "running"
    })
}

pub(crate) fn rejected(wire: &mut Wire) -> Option<String> {
    let types = wire.json("GET PROCESSOR TYPES");
    let found = types.into_iter().find(|found| found["file"] == "guest.wasm")?;
    Some(found["reason"].as_str().unwrap().to_owned())
}

fn plugins(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program("fnaad"));
    command.arg("plugins").args(args).arg("--config").arg(dir.join("fnaad.toml"));
    command.output().unwrap()
}

fn done(dir: &Path, args: &[&str]) -> String {
    let output = plugins(dir, args);
    let (out, words) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{args:?}: {out}{words}");
    out + &words
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let output = plugins(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn shown(dir: &Path) -> Value {
    let text = done(dir, &["show", "guest", "--format", "json"]);
    serde_json::from_str(&text).unwrap()
}

pub(crate) const FIRST: &str = "upgrade=one-first";

#[test]
fn the_others_follow_when_the_first_did_well_also_over_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), [FIRST, "upgrade=one-first upgrade-first=yes", ""]);
    drop_guest(dir.path(), &lying_guest("patch-9"));
    // The one that was named, and who did not want to wait.
    runs(&mut wire, TWO, "0.1.9");
    runs(&mut wire, THREE, "0.1.9");
    wire.write(A, &events(0..20));
    let counted = |seen: &Value| {
        let words = format!("waiting for {TWO}: 20 of 40 events");
        seen["upgrade-state"].as_str().is_some_and(|state| state.starts_with(&words))
    };
    let seen = eventually_described(&mut wire, ONE, "what it waits for", counted);
    assert_eq!(
        (&seen["shard.0"]["version"], &seen["next-version"]),
        (&"0.1.0".into(), &"0.1.9".into())
    );
    host.kill();
    let host = start(dir.path());
    let mut wire = login(&host);
    eventually_described(&mut wire, ONE, "what it waits for", counted);
    runs(&mut wire, TWO, "0.1.9");
    assert_eq!(version(&mut wire, ONE), "0.1.0");
    wire.write(A, &events(20..40));
    runs(&mut wire, ONE, "0.1.9");
    for flow in [B, C, D] {
        assert_eq!(eventually_holds(&mut wire, flow, 40).len(), 40);
    }
}

#[test]
fn where_the_first_fails_the_others_never_run_it() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), [FIRST, FIRST, FIRST]);
    drop_guest(dir.path(), &lying_guest("act-panic-at-odd"));
    runs(&mut wire, ONE, "0.2.0");
    wire.write(A, &events(0..40));
    let reason = eventually("the refusal", || rejected(&mut wire).ok_or_else(|| "none".to_owned()));
    assert!(reason.starts_with(&format!("processor {ONE}, ")), "{reason}");
    runs(&mut wire, ONE, "0.1.0");
    for flow in [B, C, D] {
        assert_eq!(eventually_holds(&mut wire, flow, 40).len(), 40);
    }
    let log = host.log();
    let took_over = log.lines().filter(|line| line.contains("new plugin version took over"));
    let others = took_over.filter(|line| line.contains(TWO) || line.contains(THREE)).count();
    assert_eq!(others, 0, "{log}");
}

#[test]
fn a_pinned_type_keeps_newer_files_waiting_until_it_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), ["", "", ""]);
    let told = done(dir.path(), &["pin", "guest", "0.1.0"]);
    assert!(told.starts_with("guest stays with 0.1.0 "), "{told}");
    drop_guest(dir.path(), &lying_guest("patch-9"));
    let waits = |wire: &mut Wire| {
        eventually("what waits", || match &wire.describe("PROCESSOR guest")["waiting"] {
            waiting if *waiting == "0.1.9" => Ok(()),
            other => Err(other.to_string()),
        })
    };
    waits(&mut wire);
    let listed = done(dir.path(), &["list"]);
    assert!(listed.contains("pinned to 0.1.0; 0.1.9 waits"), "{listed}");
    host.kill();
    // Beside no host: it is read, and done later.
    assert_eq!(shown(dir.path())["waiting"]["version"], "0.1.9");
    let host = start(dir.path());
    let mut wire = login(&host);
    waits(&mut wire);
    assert_eq!(version(&mut wire, ONE), "0.1.0");
    host.kill();
    assert!(done(dir.path(), &["unpin", "guest"]).contains("done when one starts"));
    let host = start(dir.path());
    let mut wire = login(&host);
    for processor in [ONE, TWO, THREE] {
        runs(&mut wire, processor, "0.1.9");
    }
    assert_eq!(shown(dir.path())["pinned"], Value::Null);
    let none = refused(dir.path(), &["pin", "guest", "7.7.7"]);
    assert!(none.contains("no version 7.7.7 of guest is kept: there are "), "{none}");
    assert!(refused(dir.path(), &["pin", "nothing", "1"]).contains("no processor type nothing"));
    let audit = std::fs::read_to_string(dir.path().join("data/audit.log")).unwrap();
    assert!(audit.contains("fnaad plugins unpin guest"), "{audit}");
    assert!(host.end().success());
}

#[test]
fn a_version_gone_back_from_is_tried_again_when_the_operator_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), ["", "", ""]);
    assert!(
        refused(dir.path(), &["rollback", "guest"]).contains("no version of guest that ran before")
    );
    drop_guest(dir.path(), &lying_guest("patch-9"));
    runs(&mut wire, ONE, "0.1.9");
    let told = done(dir.path(), &["rollback", "guest"]);
    assert!(told.starts_with("guest runs 0.1.0 "), "{told}");
    for processor in [ONE, TWO, THREE] {
        runs(&mut wire, processor, "0.1.0");
    }
    // Once more leads nowhere, least of all forth again.
    let twice = refused(dir.path(), &["rollback", "guest"]);
    assert!(twice.contains("no version of guest that ran before 0.1.0 is kept"), "{twice}");
    assert!(twice.contains("went back from 0.1.9 (") && twice.contains("pin guest"), "{twice}");
    host.kill();
    let host = start(dir.path());
    let mut wire = login(&host);
    let reason = eventually("the refusal", || rejected(&mut wire).ok_or_else(|| "none".to_owned()));
    assert_eq!(reason, "an operator went back from it");
    assert_eq!(version(&mut wire, ONE), "0.1.0");
    let list = done(dir.path(), &["list"]);
    assert!(list.contains("its file, 0.1.9, is rejected: an operator went back from it"), "{list}");
    done(dir.path(), &["unpin", "guest"]);
    runs(&mut wire, ONE, "0.1.9");
    // Or at once, by its digest.
    done(dir.path(), &["rollback", "guest"]);
    runs(&mut wire, ONE, "0.1.0");
    let withheld = shown(dir.path())["withheld"][0]["digest"].as_str().unwrap().to_owned();
    done(dir.path(), &["pin", "guest", &withheld[..12]]);
    runs(&mut wire, ONE, "0.1.9");
    assert!(host.end().success());
}

#[test]
fn a_type_is_removed_when_nobody_uses_it_or_its_processors_are_paused() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), ["", "", "upgrade=pinned"]);
    let used = refused(dir.path(), &["remove", "guest"]);
    assert!(used.contains(&format!("guest is used by {ONE}, {THREE}, {TWO}")), "{used}");
    assert_eq!(version(&mut wire, ONE), "0.1.0");
    let told = done(dir.path(), &["remove", "guest", "--force"]);
    assert!(told.contains("guest is removed, 3 processors are paused"), "{told}");
    assert!(!dir.path().join("data/plugins/guest.wasm").exists());
    let seen = eventually_described(&mut wire, ONE, "paused", |seen| seen["state"] == "paused");
    assert_eq!(seen["reason"], "processor type guest was removed");
    let gone = wire.refused("DESCRIBE PROCESSOR guest");
    assert!(gone.starts_with("404 "), "{gone}");
    host.kill();
    let host = start(dir.path());
    let mut wire = login(&host);
    // Back again, they go on where they stood.
    drop_guest(dir.path(), guest());
    eventually_typed(&mut wire, "guest", |_| true);
    wire.write(A, &events(0..10));
    for processor in [ONE, TWO, THREE] {
        wire.ok(&format!("RESUME {processor}"));
        assert_eq!(runs(&mut wire, processor, "0.1.0")["reason"], Value::Null);
    }
    for flow in [B, C, D] {
        assert_eq!(eventually_holds(&mut wire, flow, 10).len(), 10);
    }
    for processor in [ONE, TWO, THREE] {
        wire.ok(&format!("DELETE PROCESSOR {processor}"));
    }
    assert!(done(dir.path(), &["remove", "guest"]).contains("guest is removed"));
    assert!(refused(dir.path(), &["show", "guest"]).contains("no processor type guest"));
    assert!(host.end().success());
}

/// A mortal host with the guest in its second version between `a` and `b`.
fn mortal(dir: &Path) -> Fnaad {
    Fnaad::arm(dir, "");
    let host = Fnaad::mortal(dir).expect("nothing ends it");
    let plugins = dir.join("plugins");
    let mut wire = host.login();
    for flow in [A, B] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    drop_in(&plugins, "guest.wasm", guest());
    eventually("the type", || match wire.describe_type() {
        kind if kind["version"] == "0.1.0" => Ok(()),
        kind => Err(kind.to_string()),
    });
    wire.ok(&format!("SIGNAL guest FROM {A} TO {B} AS {ONE}"));
    drop_in(&plugins, "guest.wasm", &lying_guest("patch-9"));
    runs(&mut wire, ONE, "0.1.9");
    host
}

/// What DESCRIBE PROCESSOR says of the type, or what GET PROCESSOR TYPES has of it.
trait DescribeType {
    fn describe_type(&mut self) -> Value;
}

impl DescribeType for Wire {
    fn describe_type(&mut self) -> Value {
        let types = self.json("GET PROCESSOR TYPES");
        types.into_iter().find(|found| found["type"] == "guest").unwrap_or_default()
    }
}

/// Says something with the host's end at a place, and lets another one begin.
fn killed(dir: &Path, mut host: Fnaad, place: &str, args: &[&str]) -> Fnaad {
    Fnaad::arm(dir, &format!("{place}:1"));
    let mut command = Command::new(program("fnaad"));
    let output = command.arg("plugins").args(args).arg("--dir").arg(dir).output().unwrap();
    assert!(output.status.success(), "{args:?} at {place}: {output:?}");
    eventually("the end of the host", || {
        if host.has_ended() { Ok(()) } else { Err(format!("it lives, at {place}: {output:?}")) }
    });
    Fnaad::arm(dir, "");
    drop(host);
    Fnaad::mortal(dir).expect("nothing ends it")
}

#[test]
fn killed_at_any_step_of_what_an_operator_wants_it_is_done_by_the_next_host() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut host = mortal(dir);
    for place in ["before-wanted", "wanted", "before-cleaned", "before-answer"] {
        host = killed(dir, host, &format!("plugins.{place}"), &["pin", "guest", "0.1.0"]);
        runs(&mut host.login(), ONE, "0.1.0");
        assert_eq!(host.login().describe_type()["pinned"], "0.1.0", "killed at {place}");
        host = killed(dir, host, "plugins.before-answer", &["unpin", "guest"]);
        runs(&mut host.login(), ONE, "0.1.9");
    }
    for place in ["before-removal", "removed", "before-forgotten", "before-answer"] {
        let args = ["remove", "guest", "--force"];
        host = killed(dir, host, &format!("plugins.{place}"), &args);
        let mut wire = host.login();
        eventually("the end of the type", || match wire.describe_type() {
            Value::Null => Ok(()),
            kind => Err(kind.to_string()),
        });
        eventually_described(&mut wire, ONE, place, |seen| seen["state"] != "running");
        drop_in(&dir.join("plugins"), "guest.wasm", &lying_guest("patch-9"));
        eventually("the type", || match wire.describe_type() {
            Value::Null => Err("none".to_owned()),
            _ => Ok(()),
        });
        wire.ok(&format!("RESUME {ONE}"));
        runs(&mut wire, ONE, "0.1.9");
    }
    host.login().write(A, &events(0..10));
    eventually_holds(&mut host.login(), B, 10);
}

#[test]
fn killed_while_it_is_noted_how_a_version_does_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut host = mortal(dir);
    for (place, patch) in [("plugins.before-advance", 11), ("plugins.advanced", 12)] {
        Fnaad::arm(dir, &format!("{place}:1"));
        drop_in(&dir.join("plugins"), "guest.wasm", &lying_guest(&format!("patch-{patch}")));
        host.until_ended(place);
        Fnaad::arm(dir, "");
        drop(host);
        host = Fnaad::mortal(dir).expect("nothing ends it");
        runs(&mut host.login(), ONE, &format!("0.1.{patch}"));
    }
    host.login().write(A, &events(0..10));
    eventually_holds(&mut host.login(), B, 10);
}

#[test]
fn versions_that_nobody_may_need_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let (host, mut wire) = three(dir.path(), ["upgrade=pinned", "", ""]);
    for patch in 1..=4 {
        drop_guest(dir.path(), &lying_guest(&format!("patch-{patch}")));
        runs(&mut wire, TWO, &format!("0.1.{patch}"));
    }
    // What runs, the one before, and the one that a processor stays with, which is the last that proved itself.
    eventually("three versions", || {
        let shown = shown(dir.path());
        let versions = shown["versions"].as_array().unwrap().iter();
        let versions: Vec<&str> = versions.map(|one| one["version"].as_str().unwrap()).collect();
        if versions == ["0.1.4", "0.1.3", "0.1.0"] { Ok(()) } else { Err(format!("{versions:?}")) }
    });
    assert_eq!(version(&mut wire, ONE), "0.1.0");
    host.kill();
    let host = start(dir.path());
    let mut wire = login(&host);
    runs(&mut wire, ONE, "0.1.0");
    runs(&mut wire, TWO, "0.1.4");
    assert!(host.end().success());
}
