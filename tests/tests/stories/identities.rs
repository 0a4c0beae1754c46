//! Who may come in, and what becomes of him when the operator thinks otherwise.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use stories::{
    Config, Fnaad, Wire, events, eventually, eventually_described, eventually_holds, program,
};
use tempfile::TempDir;

const FLOW: &str = "a.flows.unix.ar";
const CHANGED: &str = "401 AUTH_REQUIRED the user was changed, authenticate again";

/// `fnaad user …`; gives what it says.
pub(crate) fn user(dir: &Path, args: &[&str], password: &str) -> String {
    let mut command = Command::new(program("fnaad"));
    command.arg("user").args(args).arg("--config").arg(dir.join("fnaad.toml"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("fnaad starts");
    // Who is not asked for a password may have ended already.
    drop(writeln!(child.stdin.take().unwrap(), "{password}"));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A host with a users file in which ana and bo stand.
fn host() -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text =
        config.text.replace("listen", "users_file = \"users.toml\"\nanonymous = true\nlisten");
    let path = config.save().to_owned();
    user(dir.path(), &["add", "ana"], "one");
    user(dir.path(), &["add", "bo"], "two");
    (Fnaad::serve(dir.path(), &path), dir)
}

fn eventually_in(host: &Fnaad, name: &str, password: &str) -> Wire {
    eventually("the user to be let in", || {
        Wire::try_login(host.address(), name, password).ok_or_else(|| "refused".to_owned())
    })
}

#[test]
fn a_running_host_takes_users_over_by_itself_and_says_who() {
    let (host, dir) = host();
    assert_eq!(user(dir.path(), &["add", "cy", "--group", "ops"], "three"), "user cy added\n");
    eventually_in(&host, "cy", "three");
    assert!(host.log().lines().any(|line| line.contains("users changed") && line.contains("cy")));
    eventually("the addition in the audit log", || {
        let log = std::fs::read_to_string(dir.path().join("data/audit.log")).unwrap();
        let line = r#""from":"users file","what":"users","change":"addition","command":"cy""#;
        if log.contains(line) { Ok(()) } else { Err(log) }
    });
    user(dir.path(), &["passwd", "cy"], "four");
    eventually_in(&host, "cy", "four");
    let list = user(dir.path(), &["list", "--format", "json"], "");
    assert_eq!(list.lines().count(), 4, "also who stands in the configuration: {list}");
    assert!(!list.contains("argon2id"), "{list}");
}

#[test]
fn a_disabled_user_is_put_out_also_while_he_reads_and_the_others_stay() {
    let (host, dir) = host();
    let mut admin = host.login_as("test", "test");
    admin.ok(&format!("CREATE FLOW {FLOW}"));
    admin.ok(&format!("GRANT read ON {FLOW} TO user:ana"));
    let mut ana = host.login_as("ana", "one");
    let mut reader = host.login_as("ana", "one");
    let mut bo = host.login_as("bo", "two");
    reader.send(format!("READ {FLOW} FOLLOW\r\n").as_bytes());
    assert_eq!(reader.line(), "220 DATA");
    user(dir.path(), &["disable", "ana"], "");
    assert_eq!(ana.line(), CHANGED);
    assert!(ana.is_closed());
    let told = reader.rest();
    assert!(told.iter().any(|line| line == CHANGED), "{told:?}");
    assert!(Wire::try_login(host.address(), "ana", "one").is_none());
    bo.ok("NOOP");
    user(dir.path(), &["enable", "ana"], "");
    eventually_in(&host, "ana", "one");
    user(dir.path(), &["remove", "bo"], "");
    assert_eq!(bo.line(), CHANGED);
}

#[test]
fn what_a_removed_user_made_waits_until_there_is_one_of_his_name() {
    let (mut host, dir) = host();
    let mut admin = host.login_as("test", "test");
    let copy = "b.flows.unix.ar";
    for flow in [FLOW, copy] {
        admin.ok(&format!("CREATE FLOW {flow}"));
    }
    admin.ok(&format!("GRANT read ON {FLOW} TO user:ana"));
    admin.ok(&format!("GRANT write ON {copy} TO user:ana"));
    let mut ana = host.login_as("ana", "one");
    let (one, all) = (
        ana.ok(&format!("REPLICATE {FLOW} {copy}")),
        ana.ok(&format!("COLLECT a-*.flows.unix.ar {copy}")),
    );
    let removed = |admin: &mut Wire| {
        let why = "user:ana was removed from the users";
        let held = |seen: &serde_json::Value| seen["state"] == "paused" && seen["reason"] == why;
        eventually_described(admin, &one, "it is held", held);
        let held = |seen: &serde_json::Value| seen["state"] == "failed" && seen["reason"] == why;
        eventually_described(admin, &all, "it is held, too", held);
    };
    let said = user(dir.path(), &["remove", "ana"], "");
    assert!(said.contains("fnua get grants --to user:ana"), "{said}");
    removed(&mut admin);
    admin.write(FLOW, &events(0..1));
    // Where what is his can be looked for.
    let of_hers = |list: &[serde_json::Value]| list.iter().all(|row| row["owner"] == "user:ana");
    assert!(of_hers(&admin.json("GET PROCESSORS")), "{:?}", admin.json("GET PROCESSORS"));
    assert_eq!(admin.json("GET FLOWS")[0]["owner"], "user:test");
    assert_eq!(admin.data("GET GRANTS TO user:ana").len(), 2);
    // It is not forgotten, also not when he is removed while nobody looks.
    let path = dir.path().join("fnaad.toml");
    host.kill();
    host = Fnaad::serve(dir.path(), &path);
    let mut admin = host.login_as("test", "test");
    removed(&mut admin);
    assert!(admin.read(copy).is_empty());
    user(dir.path(), &["add", "ana"], "one");
    eventually_holds(&mut admin, copy, 1);
    // What is compared with at the next start has been written.
    eventually("her return in the audit log", || {
        let log = std::fs::read_to_string(dir.path().join("data/audit.log")).unwrap();
        let line = r#""what":"users","change":"addition","command":"ana""#;
        if log.contains(line) { Ok(()) } else { Err(log) }
    });
    host.kill();
    user(dir.path(), &["remove", "ana"], "");
    host = Fnaad::serve(dir.path(), &path);
    removed(&mut host.login_as("test", "test"));
}

#[test]
fn nobody_in_particular_comes_in_where_the_operator_says_so() {
    let (host, _dir) = host();
    assert!(host.connect().ask("AUTHENTICATE ANONYMOUS =")[0].starts_with("220 "));
    // "ana@example.com", for the log.
    assert!(
        host.connect().ask("AUTHENTICATE ANONYMOUS YW5hQGV4YW1wbGUuY29t")[0].starts_with("220 ")
    );
    assert!(host.log().contains("ana@example.com"));
    let dir = tempfile::tempdir().unwrap();
    let closed = Fnaad::serve(dir.path(), Config::new(dir.path()).save());
    assert!(closed.connect().refused("AUTHENTICATE ANONYMOUS =").starts_with("404 "));
}

#[test]
fn a_failure_is_one_line_of_the_log_that_names_only_users_who_exist() {
    let (host, _dir) = host();
    // "\0ana\0wrong" and "\0hunter2\0ana": a password in the field of the user.
    host.connect().refused("AUTHENTICATE PLAIN AGFuYQB3cm9uZw==");
    host.connect().refused("AUTHENTICATE PLAIN AGh1bnRlcjIAYW5h");
    let log = host.log();
    let failed: Vec<&str> =
        log.lines().filter(|line| line.contains("authentication failed")).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[0].contains("user=ana") && failed[0].contains("PLAIN"), "{failed:?}");
    assert!(failed[1].contains("no such user") && !log.contains("hunter2"), "{failed:?}");
}

/// What a stranger sees of a user in a SCRAM challenge.
fn challenge(host: &Fnaad, name: &str) -> String {
    use base64::Engine;
    let engine = base64::prelude::BASE64_STANDARD;
    let first = engine.encode(format!("n,,n={name},r=0123456789"));
    let answer = host.connect().ask(&format!("AUTHENTICATE SCRAM-SHA-256 {first}"));
    let text = engine.decode(answer[0].strip_prefix("330 ").expect("a challenge")).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.split_once(",s=").unwrap().1.to_owned()
}

#[test]
fn a_stranger_does_not_learn_from_scram_who_exists_also_over_a_restart() {
    let (host, dir) = host();
    let known = challenge(&host, "ana");
    let unknown = challenge(&host, "nobody");
    assert_eq!(known.split_once(",i=").unwrap().1, unknown.split_once(",i=").unwrap().1);
    assert_eq!(known.len(), unknown.len());
    assert_ne!(known, unknown);
    assert!(host.end().success());
    let host = Fnaad::serve(dir.path(), &dir.path().join("fnaad.toml"));
    assert_eq!(challenge(&host, "nobody"), unknown);
    assert_eq!(challenge(&host, "ana"), known);
}

#[test]
fn a_host_ends_while_a_provider_of_tokens_does_not_answer() {
    use base64::Engine;
    let dir = tempfile::tempdir().unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let mut config = Config::new(dir.path());
    let oauth = format!("\n[[oauth]]\nname = \"corp\"\nissuer = \"{issuer}\"\naudience = \"a\"\n");
    config.text.push_str(&oauth);
    let host = Fnaad::serve(dir.path(), config.save());
    let engine = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let claims = engine.encode(format!("{{\"iss\":\"{issuer}\"}}"));
    let header = engine.encode("{\"alg\":\"ES256\",\"kid\":\"unknown\"}");
    let message = format!("n,,\x01auth=Bearer {header}.{claims}.AAAA\x01\x01");
    let message = base64::prelude::BASE64_STANDARD.encode(message);
    let mut waiting = host.connect();
    waiting.send(format!("AUTHENTICATE OAUTHBEARER {message}\r\n").as_bytes());
    silent.set_nonblocking(true).unwrap();
    let _question = eventually("the provider to be asked", || {
        silent.accept().map_err(|error| error.to_string())
    });
    host.login_as("test", "test").ok("NOOP");
    assert!(host.end().success());
    assert_eq!(waiting.line(), "503 UNAVAILABLE the host is shutting down");
}
