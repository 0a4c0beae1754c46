//! Starting, ending, configuring; and who may come in.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use stories::{Config, Fnaad, Refused, events, eventually, program};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn fnaad(command: &str, config: &Path) -> Refused {
    Fnaad::refused(&[command.as_ref(), "--config".as_ref(), config.as_ref()])
}

#[test]
fn a_participant_started_again_goes_on_with_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let (address, credentials) = (host.address().to_owned(), host.fnua().credentials());
    assert!(address.starts_with("127.") && !address.ends_with(":0"), "{address}");
    let mut wire = host.login();
    assert_eq!(wire.greeting, "220 fnaa.unix.ar FNAA");
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.write("a.flows.unix.ar", &events(0..5));
    assert!(host.end().success());
    // Without any argument: the port, the namespace and the password are kept.
    let host = Fnaad::dev_with(dir.path(), &[]);
    assert_eq!(host.address(), address);
    assert_eq!(host.fnua().credentials(), credentials);
    let mut wire = host.login();
    assert_eq!(wire.data("GET NAMESPACES"), ["flows.unix.ar"]);
    assert_eq!(wire.read("a.flows.unix.ar").len(), 5);
}

#[test]
fn what_holds_a_secret_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(&dir.path().join("new"));
    assert_eq!(mode(&host.dir().join("fnua.toml")), 0o600);
    assert_eq!(mode(&host.dir().join("users.toml")), 0o600);
    let (_, password) = host.fnua().credentials();
    assert!(password.len() >= 20, "a password of {} characters", password.len());
    let users = std::fs::read_to_string(host.dir().join("users.toml")).unwrap();
    assert!(users.contains("$argon2id$") && !users.contains(&password));
    host.login().ok("NOOP");
    assert!(!host.log().contains(&password));
}

#[test]
fn a_second_host_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    let second = Fnaad::refused(&["dev".as_ref(), dir.path().as_ref()]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stdout.is_empty());
    assert!(second.stderr.contains("in use by another host"), "{second:?}");
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.ok("NOOP");
    drop(host.login());
}

#[test]
fn a_start_waits_for_the_process_before_to_be_gone_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = Fnaad::dev(dir.path());
    first.login().ok("CREATE FLOW a.flows.unix.ar");
    let mut command = std::process::Command::new(program("fnaad"));
    command.arg("dev").arg(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut second = command.spawn().unwrap();
    let mut words = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = words.next().unwrap();
    let wanted = format!("in use by another host (process {}): waiting up to ", first.id());
    assert!(waits.contains(&wanted), "{waits}");
    drop(first);
    // Nobody stands still because his words are not read.
    std::thread::spawn(move || words.for_each(drop));
    let ready = BufReader::new(second.stdout.take().unwrap()).lines().next();
    assert!(ready.unwrap().unwrap().starts_with("ready fnap="));
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_second_host_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path());
    let host = Fnaad::serve(dir.path(), config.save());
    let second = fnaad("serve", config.save());
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("in use by another host"), "{second:?}");
    host.connect().ok("NOOP");
}

#[test]
fn a_directory_of_a_newer_version_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Fnaad::dev(dir.path()).end().success());
    std::fs::write(dir.path().join("layout"), "fnaad dev 9\n").unwrap();
    let refused = Fnaad::refused(&["dev".as_ref(), dir.path().as_ref()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("fnaad dev 9"), "{refused:?}");
}

#[test]
fn sigterm_tells_everybody_and_ends_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.ok("CREATE FLOW b.flows.unix.ar");
    wire.ok("REPLICATE a.flows.unix.ar b.flows.unix.ar");
    let mut follower = host.login();
    follower.send(b"READ a.flows.unix.ar FOLLOW\r\n");
    assert_eq!(follower.line(), "220 DATA");
    let (mut idle, mut stranger) = (host.login(), host.connect());
    wire.write("a.flows.unix.ar", &events(0..100));
    for _ in 0..100 {
        follower.line();
    }
    assert_eq!(host.end().code(), Some(0));
    for wire in [&mut follower, &mut idle, &mut stranger] {
        let told = wire.rest();
        // Who follows is told that the READ ends, and that the session does.
        let end = |line: &String| line == "503 UNAVAILABLE the host is shutting down";
        assert!(!told.is_empty() && told.iter().all(end), "{told:?}");
    }
}

#[test]
fn sighup_reads_the_configuration_again_and_logs_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    let host = Fnaad::serve(dir.path(), config.save());
    let verifier = stories::hash_password("another-word");
    config.text = config.text.replace("fnaa.unix.ar", "fnaa.example");
    config.text += &format!("\n[[users]]\nname = \"ana\"\nverifier = \"{verifier}\"\n");
    config.save();
    host.signal(Signal::HUP);
    eventually("the changed keys in the log", || {
        let log = host.log();
        let told = |key| log.lines().any(|line| line.contains("changed") && line.contains(key));
        if told("hostname") && told("users") { Ok(()) } else { Err(log) }
    });
    assert!(!host.log().lines().any(|line| line.contains("changed") && line.contains("data_dir")));
    host.connect().authenticate("ana", "another-word");
    host.connect().authenticate("test", "test");
    // A file that is wrong changes nothing.
    std::fs::write(dir.path().join("fnaad.toml"), "colour = 1\n").unwrap();
    host.signal(Signal::HUP);
    eventually("the fault in the log", || {
        let log = host.log();
        if log.contains("colour") { Ok(()) } else { Err(log) }
    });
    host.connect().authenticate("ana", "another-word");
}

#[test]
fn check_names_the_unknown_key_and_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    let fine = fnaad("check", config.save());
    assert_eq!(fine.code, Some(0), "{fine:?}");
    assert!(!dir.path().join("data").exists(), "a check starts nothing");
    config.text = config.text.replace("data_dir", "datadir");
    for command in ["check", "serve"] {
        let refused = fnaad(command, config.save());
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("fnaad.toml:3: ") && said.contains("datadir"), "{said}");
        assert!(!said.contains("ready"), "{said}");
    }
    config.text = config.text.replace("datadir = \"data\"", "data_dir = \"data\"\nlisten = 3");
    assert_eq!(fnaad("serve", config.save()).code, Some(1));
    assert_eq!(fnaad("serve", &dir.path().join("missing.toml")).code, Some(1));
}

#[test]
fn a_wrong_password_is_401_and_the_third_one_ends_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::serve(dir.path(), Config::new(dir.path()).save());
    let mut wire = host.connect();
    let failed = "401 AUTH_REQUIRED authentication failed";
    // Wrong password, unknown user, no token at all: one text for every cause.
    assert_eq!(wire.ask("AUTHENTICATE PLAIN AHRlc3QAd3Jvbmc="), [failed]);
    assert_eq!(wire.ask("AUTHENTICATE PLAIN AG5vYm9keQB0ZXN0"), [failed]);
    assert_eq!(wire.ask("AUTHENTICATE PLAIN"), ["220 OK"]);
    assert_eq!(wire.ask("no token"), [failed]);
    assert!(wire.is_closed());
    host.connect().authenticate("test", "test");
}

#[test]
fn no_secret_is_ever_logged() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text = config.text.replace("\n[[users]]", "\n[log]\nlevel = \"trace\"\n\n[[users]]");
    config.text = config.text.replace("[\"user:test\"]", "[\"user:ana\"]");
    let verifier = stories::hash_password("Blue-Herring-77");
    config.text += &format!("\n[[users]]\nname = \"ana\"\nverifier = \"{verifier}\"\n");
    let host = Fnaad::serve(dir.path(), config.save());
    host.connect().authenticate("ana", "Blue-Herring-77");
    let mut wire = host.connect();
    // "\0ana\0Red-Herring-78", and a password where a command should be.
    wire.ask("AUTHENTICATE PLAIN AGFuYQBSZWQtSGVycmluZy03OA==");
    assert!(wire.refused("Blue-Herring-77").starts_with("401 "));
    host.signal(Signal::HUP);
    let mut wire = host.connect();
    wire.authenticate("ana", "Blue-Herring-77");
    wire.ok("CREATE FLOW a.flows.unix.ar");
    wire.ask("QUIT");
    eventually("the end of the dialogue in the log", || {
        let log = host.log();
        if log.contains("a.flows.unix.ar") { Ok(()) } else { Err(log) }
    });
    let log = format!("{}{:?}", host.log(), host.end());
    let hash = verifier.rsplit('$').next().unwrap();
    for secret in ["Blue-Herring", "Red-Herring", "AGFuYQ", "SGVycmluZ", hash] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn connections_over_the_limit_and_silent_ones_are_told_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text += "\n[limits]\nconnections = 2\nidle_seconds = 1\n";
    let host = Fnaad::serve(dir.path(), config.save());
    let (mut first, mut second) = (host.connect(), host.connect());
    let mut third = host.connect();
    assert_eq!(third.greeting, "503 UNAVAILABLE too many connections");
    assert!(third.is_closed());
    for wire in [&mut first, &mut second] {
        assert_eq!(wire.line(), "408 TIMEOUT nothing was said for too long");
        assert!(wire.is_closed());
    }
    eventually("room for another connection", || {
        let greeting = host.connect().greeting;
        if greeting.starts_with("220 ") { Ok(()) } else { Err(greeting) }
    });
}
