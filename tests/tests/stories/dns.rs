//! Names out: what others find in DNS of a host's flows, by its own name server and by a real BIND 9.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

use bind_node::{Bind, Key, Zone, checkzone, dig, nsupdate};
use serde_json::Value;
use stories::{Config, Fnaad, Wire, eventually};

const TIME: &str = "time.flows.unix.ar";

/// Places between the steps of a change, in their order.
pub(crate) const PLACES: [&str; 3] = ["publishing.noted", "publishing.sent", "publishing.settled"];

fn configured(dir: &Path, zones: &str) -> Config {
    let mut config = Config::new(dir);
    config.text +=
        &format!("\n[dns]\nagent = \"fnaa.unix.ar:61000\"\naddresses = [\"192.0.2.1\"]\n{zones}");
    config
}

fn embedded(dir: &Path) -> Config {
    let zone = "listen = [\"127.0.0.1:0\"]\n[[dns.zones]]\nname = \"unix.ar\"\nembedded = true\n";
    configured(dir, zone)
}

fn updated(dir: &Path, bind: &Bind, key: &Path) -> Config {
    let (server, key) = (bind.address(), key.display());
    let zone = format!(
        "[[dns.zones]]\nname = \"unix.ar\"\nserver = [\"{server}\"]\nkey_file = \"{key}\"\n"
    );
    configured(dir, &zone)
}

/// A BIND that has unix.ar and lets a key write to it.
fn bind(key: &Key, records: &str) -> Bind {
    Bind::start_with(key.statement(), &[Zone::unsigned("unix.ar", records).updated_by(key)])
}

fn answers(server: SocketAddr, owner: &str, kind: &str) -> Vec<String> {
    let lines = dig(server, &["+noall", "+answer", owner, kind]);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.lines().map(words).filter(|line| !line.is_empty()).collect()
}

fn is_unknown(server: SocketAddr, owner: &str) -> Result<(), String> {
    let answer = dig(server, &[owner, "SRV"]);
    if answer.contains("status: NXDOMAIN") { Ok(()) } else { Err(answer) }
}

/// Waits until each of the three readers finds a flow.
fn eventually_found(server: SocketAddr, flow: &str) {
    let label = flow.strip_suffix(".flows.unix.ar").unwrap();
    let expected = [
        (flow.to_owned(), "PTR", format!("_flow._tcp.{flow}.")),
        (format!("_flow._tcp.{flow}"), "SRV", "30 30 61000 fnaa.unix.ar.".to_owned()),
        (flow.to_owned(), "SRV", "0 0 61000 fnaa.unix.ar.".to_owned()),
        ("fnaa.unix.ar".to_owned(), "SRV", "0 0 61000 fnaa.unix.ar.".to_owned()),
        ("fnaa.unix.ar".to_owned(), "A", "192.0.2.1".to_owned()),
        (
            "_flow._tcp.flows.unix.ar".to_owned(),
            "PTR",
            format!("{label}._flow._tcp.flows.unix.ar."),
        ),
        (format!("{label}._flow._tcp.flows.unix.ar"), "TXT", "\"txtvers=1\"".to_owned()),
    ];
    for (owner, kind, data) in expected {
        eventually(&format!("{owner} {kind} {data}"), || {
            let found = answers(server, &owner, kind);
            let is_it = |line: &String| line.contains(&format!("{kind} {data}"));
            if found.iter().any(is_it) { Ok(()) } else { Err(found.join("\n")) }
        });
    }
}

/// Waits until nothing of a flow is there.
fn eventually_gone(server: SocketAddr, flow: &str) {
    let label = flow.strip_suffix(".flows.unix.ar").unwrap();
    let instance = format!("{label}._flow._tcp.flows.unix.ar");
    for owner in [flow, &format!("_flow._tcp.{flow}"), &instance] {
        eventually(&format!("the end of {owner}"), || is_unknown(server, owner));
    }
    let listed = answers(server, "_flow._tcp.flows.unix.ar", "PTR");
    assert!(!listed.iter().any(|line| line.contains(&instance)), "{listed:?}");
}

fn nameserver(wire: &mut Wire) -> Value {
    wire.describe("NAMESERVER flows.unix.ar")
}

fn eventually_shown(wire: &mut Wire, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let seen = nameserver(wire);
        if is_so(&seen) { Ok(seen) } else { Err(seen.to_string()) }
    })
}

fn is_whole(seen: &Value) -> bool {
    seen["waiting"] == 0 && seen["published"].as_u64() > Some(1)
}

fn run(arguments: &[&str], config: &Path) -> (i32, String) {
    let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    all.extend([OsStr::new("--config"), config.as_os_str()]);
    let ended = Fnaad::refused(&all);
    (ended.code.unwrap(), ended.stdout + &ended.stderr)
}

#[test]
fn a_flow_is_found_in_the_hosts_own_name_server_until_it_is_deleted_or_withdrawn() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = embedded(dir.path());
    let host = Fnaad::serve(dir.path(), config.save());
    let server = host.dns();
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    eventually_found(server, TIME);
    let id = wire.describe(&format!("FLOW {TIME}"))["incarnation"].as_str().unwrap().to_owned();
    let text = answers(server, &format!("_flow._tcp.{TIME}"), "TXT").join(" ");
    assert!(text.contains(&format!("\"txtvers=1\" \"id={id}\"")), "{text}");
    assert!(answers(server, &format!("_queue._flow._tcp.{TIME}"), "SRV").is_empty());
    let seen = eventually_shown(&mut wire, "all of it", is_whole);
    assert_eq!((&seen["kind"], &seen["zone"]), (&"embedded".into(), &"unix.ar".into()));
    assert_eq!(seen["server"], serde_json::json!([server.to_string()]));
    wire.ok(&format!("UPDATE FLOW {TIME} publish=none"));
    eventually_gone(server, TIME);
    wire.ok(&format!("UPDATE FLOW {TIME} publish=flow"));
    eventually_found(server, TIME);
    wire.ok("CREATE FLOW hidden.flows.unix.ar access=closed");
    wire.ok("CREATE FLOW other.flows.unix.ar");
    eventually_found(server, "other.flows.unix.ar");
    is_unknown(server, "hidden.flows.unix.ar").unwrap();
    drop(wire);
    // What is there after a restart is what should be.
    host.kill();
    config.text = config.text.replace("192.0.2.1", "192.0.2.1\", \"2001:db8::1");
    let host = Fnaad::serve(dir.path(), config.save());
    let server = host.dns();
    eventually_found(server, TIME);
    assert_eq!(answers(server, "fnaa.unix.ar", "AAAA"), ["fnaa.unix.ar. 300 IN AAAA 2001:db8::1"]);
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("DELETE FLOW {TIME}"));
    eventually_gone(server, TIME);
}

#[test]
fn agents_are_shown_as_records_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::serve(dir.path(), embedded(dir.path()).save());
    let mut wire = host.login_as("test", "test");
    assert_eq!(wire.data("GET AGENTS"), ["fnaa.unix.ar"]);
    let agent = wire.describe("AGENT flows.unix.ar");
    assert_eq!(
        agent,
        serde_json::json!({
            "agent": "fnaa.unix.ar", "port": 61000, "tls": false, "address": ["192.0.2.1"],
        })
    );
    assert_eq!(wire.refused("DESCRIBE AGENT none.ar"), "404 NOT_FOUND namespace none.ar");
    wire.ok("CREATE NAMESPACE elsewhere.ar");
    let seen = wire.describe("NAMESERVER elsewhere.ar");
    assert_eq!(seen, serde_json::json!({"namespace": "elsewhere.ar", "kind": "none"}));
}

#[test]
fn a_bind_that_is_away_holds_no_command_up_and_gets_everything_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let mut bind = bind(&key, "");
    let server = bind.address();
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    eventually_found(server, TIME);
    let seen = eventually_shown(&mut wire, "all of it", is_whole);
    assert_eq!((&seen["kind"], &seen["why"]), (&"update".into(), &Value::Null));
    bind.kill();
    wire.ok("CREATE FLOW away.flows.unix.ar");
    wire.ok(&format!("DELETE FLOW {TIME}"));
    let seen = eventually_shown(&mut wire, "two that wait, and why", |seen| {
        seen["waiting"] == 2 && seen["why"].as_str().is_some_and(|why| why.contains("away"))
    });
    assert!(seen["since"].is_string(), "{seen}");
    let lines = wire.data("DESCRIBE NAMESERVER flows.unix.ar");
    assert!(lines.contains(&"waiting=2".to_owned()), "{lines:?}");
    bind.start_again();
    eventually_found(server, "away.flows.unix.ar");
    eventually_gone(server, TIME);
    let seen = eventually_shown(&mut wire, "all of it", is_whole);
    assert_eq!((&seen["why"], &seen["since"]), (&Value::Null, &Value::Null));
}

#[test]
fn killed_at_any_step_of_a_change_the_names_are_whole_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let bind = bind(&key, "");
    let server = bind.address();
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let path = config.save().to_owned();
    let places = dir.path().join("failpoints");
    let start = || {
        Fnaad::arm(dir.path(), "");
        Fnaad::serve_with(dir.path(), &path, &[("FNAAD_FAILPOINTS", &places)])
    };
    let mut host = start();
    for place in PLACES {
        for command in ["CREATE", "DELETE"] {
            let mut wire = host.login_as("test", "test");
            eventually_shown(&mut wire, "an end of what was before", is_whole);
            Fnaad::arm(dir.path(), &format!("{place}:1"));
            wire.try_ask::<&str>(&format!("{command} FLOW {TIME}"), &[]);
            host.until_ended(place);
            host = start();
            match command {
                "CREATE" => eventually_found(server, TIME),
                _ => eventually_gone(server, TIME),
            }
            let mut wire = host.login_as("test", "test");
            eventually_shown(&mut wire, "an end of what waits", is_whole);
        }
    }
}

#[test]
fn a_wrong_key_is_shown_with_words_and_stops_no_command() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (Key::new("fnaad"), Key::new("fnaad"));
    let bind = bind(&right, "");
    let config = updated(dir.path(), &bind, &wrong.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    let seen = eventually_shown(&mut wire, "a refusal", |seen| {
        seen["why"].as_str().is_some_and(|why| why.contains("refused"))
    });
    assert!(seen["waiting"].as_u64() > Some(0), "{seen}");
    let told = seen["why"].as_str().unwrap();
    assert!(told.contains(&bind.address().to_string()) && told.contains("fnaad"), "{told}");
    is_unknown(bind.address(), TIME).unwrap();
    host.kill();
    right.write(dir.path());
    let host = Fnaad::serve(dir.path(), config.save());
    eventually_found(bind.address(), TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
}

#[test]
fn a_name_that_somebody_else_has_waits_alone_until_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let bind = bind(&key, "time.flows A 192.0.2.77\n");
    let server = bind.address();
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    wire.ok("CREATE FLOW other.flows.unix.ar");
    eventually_found(server, "other.flows.unix.ar");
    let seen = eventually_shown(&mut wire, "the name that is taken", |seen| {
        seen["waiting"] == 1 && seen["why"].as_str().is_some_and(|why| why.contains(TIME))
    });
    assert!(seen["why"].as_str().unwrap().contains("in use by others"), "{seen}");
    assert_eq!(answers(server, TIME, "SRV"), [""; 0]);
    let script = format!("zone unix.ar\nupdate delete {TIME} A\nsend\n");
    let script = format!("{}\n{script}", key_line(&key));
    assert!(nsupdate(server, &script).0);
    eventually_found(server, TIME);
    eventually_shown(&mut wire, "all of it", is_whole);
}

/// How nsupdate is told a key.
fn key_line(key: &Key) -> String {
    let secret = key.statement().split("secret \"").nth(1).unwrap().split('"').next().unwrap();
    format!("key hmac-sha256:{} {secret}", key.name())
}

#[test]
fn a_set_that_its_server_calls_full_holds_up_no_name_outside_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let full: String =
        (0..100).map(|n| format!("_flow._tcp.flows PTR x{n}._flow._tcp.flows\n")).collect();
    let bind = bind(&key, &full);
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.login_as("test", "test");
    for n in 0..12 {
        wire.ok(&format!("CREATE FLOW f{n}.flows.unix.ar"));
    }
    wire.ok("CREATE NAMESPACE more.unix.ar");
    wire.ok("CREATE FLOW a.more.unix.ar");
    eventually("the flow of another namespace", || {
        let found = answers(bind.address(), "a.more.unix.ar", "SRV");
        if found.is_empty() { Err(nameserver(&mut wire).to_string()) } else { Ok(()) }
    });
    eventually_shown(&mut wire, "those that wait, and why", |seen| {
        seen["waiting"] == 12
            && seen["why"].as_str().is_some_and(|why| why.contains("cannot do it"))
    });
    let script = format!(
        "{}\nzone unix.ar\nupdate delete _flow._tcp.flows.unix.ar PTR\nsend\n",
        key_line(&key)
    );
    assert!(nsupdate(bind.address(), &script).0);
    eventually_shown(&mut wire, "all of it", is_whole);
}

#[test]
fn another_server_of_a_zone_gets_what_the_former_one_had() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let former = bind(&key, "");
    let config = updated(dir.path(), &former, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    host.login_as("test", "test").ok(&format!("CREATE FLOW {TIME}"));
    eventually_found(former.address(), TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
    host.kill();
    let other = bind(&key, "");
    let config = updated(dir.path(), &other, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    eventually_found(other.address(), TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
}

#[test]
fn what_is_exported_is_a_zone_and_what_differs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let bind = bind(&key, "");
    let server = bind.address();
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let path = config.save().to_owned();
    let host = Fnaad::serve(dir.path(), &path);
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    let (code, text) = run(&["dns", "export", "--zone", "unix.ar"], &path);
    assert_eq!(code, 0, "{text}");
    let line = format!("{TIME}. 300 IN SRV 0 0 61000 fnaa.unix.ar.\n");
    assert!(text.contains(&line) && text.contains("fnaa.unix.ar. 300 IN A 192.0.2.1\n"), "{text}");
    let zone = format!("$TTL 300\n@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 127.0.0.1\n{text}");
    checkzone("unix.ar", &zone).unwrap();
    let (_, json) = run(&["dns", "export", "--format", "json"], &path);
    let records = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(records.count(), text.lines().filter(|line| !line.starts_with(';')).count());
    eventually_shown(&mut wire, "all of it", is_whole);
    assert_eq!(run(&["dns", "check"], &path), (0, String::new()));
    let script = format!(
        "{}\nzone unix.ar\nupdate delete {TIME} SRV\nupdate add {TIME} 300 PTR x.unix.ar.\nsend\n",
        key_line(&key)
    );
    assert!(nsupdate(server, &script).0);
    let (code, told) = run(&["dns", "check"], &path);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains(&format!("{TIME}. SRV: missing 0 0 61000 fnaa.unix.ar.\n")), "{told}");
    assert!(told.contains(&format!("{TIME}. PTR: too much x.unix.ar.\n")), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    // Without the host it is the same.
    host.kill();
    assert_eq!(run(&["dns", "export", "--zone", "unix.ar"], &path), (0, text));
}

#[test]
fn what_was_left_over_is_told_by_check() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let bind = bind(&key, "");
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let path = config.save().to_owned();
    let host = Fnaad::serve(dir.path(), &path);
    host.login_as("test", "test").ok(&format!("CREATE FLOW {TIME}"));
    eventually_found(bind.address(), TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
    host.kill();
    // Deleted while nobody could withdraw it.
    let without = dir.path().join("without.toml");
    std::fs::copy(&path, &without).unwrap();
    std::fs::write(
        &without,
        std::fs::read_to_string(&path).unwrap().split("\n[dns]").next().unwrap(),
    )
    .unwrap();
    let host = Fnaad::serve(dir.path(), &without);
    host.login_as("test", "test").ok(&format!("DELETE FLOW {TIME}"));
    host.kill();
    let (code, told) = run(&["dns", "check"], &path);
    assert_eq!(code, 1, "{told}");
    let wanted = format!("{TIME}. PTR: too much _flow._tcp.{TIME}.\n");
    assert!(
        told.contains(&wanted) && told.contains("_flow._tcp.flows.unix.ar. PTR: too much time."),
        "{told}"
    );
    assert_eq!(told.lines().count(), 7, "{told}");
}

#[test]
fn a_zone_that_leaves_the_configuration_is_told_and_withdrawn_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new("fnaad");
    let bind = bind(&key, "");
    let server = bind.address();
    let config = updated(dir.path(), &bind, &key.write(dir.path()));
    let host = Fnaad::serve(dir.path(), config.save());
    host.login_as("test", "test").ok(&format!("CREATE FLOW {TIME}"));
    eventually_found(server, TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
    host.kill();
    let without = Fnaad::serve(dir.path(), Config::new(dir.path()).save());
    assert!(without.log().contains("a zone has left the configuration"), "{}", without.log());
    without.login_as("test", "test").ok(&format!("DELETE FLOW {TIME}"));
    without.kill();
    assert!(!answers(server, TIME, "SRV").is_empty());
    let host = Fnaad::serve(dir.path(), config.save());
    eventually_gone(server, TIME);
    eventually_shown(&mut host.login_as("test", "test"), "all of it", is_whole);
}

#[test]
fn a_subscription_is_found_by_its_own_name_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::serve(dir.path(), embedded(dir.path()).save());
    let mut wire = host.login_as("test", "test");
    wire.ok(&format!("CREATE FLOW {TIME}"));
    let id = wire.data(&format!("SUBSCRIBE {TIME}")).remove(0);
    let find = |what: &str| {
        eventually(what, || {
            let found = answers(host.dns(), &id, "SRV");
            let expected = format!("{id}. 300 IN SRV 0 0 61000 fnaa.unix.ar.");
            if found == [expected] { Ok(()) } else { Err(found.join("\n")) }
        });
    };
    let lose = |what: &str| eventually(what, || is_unknown(host.dns(), &id));
    find("its records");
    // Nobody who browses learns who subscribes.
    let listed = answers(host.dns(), "_flow._tcp.flows.unix.ar", "PTR").join("\n");
    assert!(!listed.contains(id.split('.').next().unwrap()), "{listed}");
    wire.ok(&format!("UPDATE FLOW {TIME} publish=flow"));
    lose("the end of its records while the flow says so");
    eventually_found(host.dns(), TIME);
    wire.ok(&format!("UPDATE FLOW {TIME} publish=full"));
    find("its records again");
    wire.ok(&format!("UNSUBSCRIBE {id}"));
    lose("the end of its records with it");
}
