//! Peers that do not speak the protocol, or too much of it.

use std::io::Read;

use stories::{Fnaad, events};
use tempfile::TempDir;

fn host() -> (Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Fnaad::dev(dir.path()), dir)
}

#[test]
fn a_line_without_an_end_is_refused_once_and_then_thrown_away() {
    let (host, _dir) = host();
    let mut wire = host.connect();
    for _ in 0..64 {
        wire.send(&[b'x'; 64 * 1024]);
    }
    assert!(wire.line().starts_with("413 TOO_LARGE "));
    wire.send(b"\r\n");
    wire.ok("NOOP");
}

#[test]
fn bytes_that_are_no_text_are_refused_and_the_session_goes_on() {
    let (host, _dir) = host();
    let mut wire = host.connect();
    for garbage in [&b"\xff\xfe\xfd\r\n"[..], b"NO\0OP\r\n", b"\x16\x03\x01\x02\n", b"\r\n"] {
        wire.send(garbage);
        let answer = wire.line();
        assert!(answer.starts_with("400 ") || answer.starts_with("401 "), "{garbage:?}: {answer}");
    }
    wire.send("GRÜSSE\r\n".as_bytes());
    assert!(wire.line().starts_with("401 "));
    wire.ok("NOOP");
}

#[test]
fn thousands_of_pipelined_commands_are_answered_in_order() {
    let (host, _dir) = host();
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    let mut other = host.login();
    let flood: String =
        (0..5_000).map(|n| if n % 2 == 0 { "NOOP\r\n" } else { "GET FLOWS\r\n" }).collect();
    // The host takes no more than it answers, so one has to speak while the other listens.
    std::thread::scope(|scope| {
        let mut speaker = wire.speaker();
        scope.spawn(move || std::io::Write::write_all(&mut speaker, flood.as_bytes()).unwrap());
        for n in 0..5_000 {
            let wanted = if n % 2 == 0 {
                &["220 OK"][..]
            } else {
                &["220 DATA", "a.flows.unix.ar", "220 OK"]
            };
            assert_eq!(wire.answer(), wanted, "{n}");
            if n % 500 == 0 {
                other.ok("NOOP");
            }
        }
    });
}

#[test]
fn who_does_not_read_holds_nobody_up() {
    let (host, _dir) = host();
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    for from in (0..40_000).step_by(500) {
        wire.write("a.flows.unix.ar", &events(from..from + 500));
    }
    // Follows from the beginning and never reads a byte.
    let mut deaf = host.login();
    deaf.send(b"READ a.flows.unix.ar FROM earliest FOLLOW\r\n");
    for round in 0..20 {
        wire.ok("NOOP");
        wire.write("a.flows.unix.ar", &events(round..round + 1));
    }
    assert_eq!(wire.data("READ a.flows.unix.ar FROM latest").len(), 0);
    assert_eq!(deaf.line(), "220 DATA");
    assert!(deaf.line().contains("\"id\":\"e0\""));
    drop(deaf);
    assert!(host.end().success());
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let (host, _dir) = host();
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.flows.unix.ar");
    for said in ["READ a.flows.unix.ar FOLLOW\r\n", "WRITE a.flows.unix.ar\r\n{", "AUTH", "QUIT"] {
        let mut other = host.login();
        other.send(said.as_bytes());
        drop(other);
    }
    let mut gone = host.connect();
    gone.send(b"QUIT\r\nNOOP\r\n");
    let mut said = String::new();
    gone.speaker().read_to_string(&mut said).unwrap();
    assert_eq!(said, "220 Bye\r\n");
    assert!(wire.read("a.flows.unix.ar").is_empty());
    wire.write("a.flows.unix.ar", &events(0..1));
    assert_eq!(wire.read("a.flows.unix.ar").len(), 1);
}
