//! TLS at the door: both ways into it, who is kept out, and certificates that change under load.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use stories::metrics::Metrics;
use stories::{A, Certificates, Config, Fnaad, Fnua, PATIENCE, Trust, Wire, events, eventually};

static ONLY_1_2: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

const NAME: &[&str] = &["--name", "127.0.0.1"];

/// A configuration with a certificate, listening both ways.
fn config(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    let tls = "listen_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"tls/server.pem\"\n\
        key_file = \"tls/server.key\"\nclient_ca_file = \"tls/ca.pem\"\n\n[observe]\nlisten = \"127.0.0.1:0\"\n";
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{tls}\n[[namespaces]]"), 1);
    config
}

fn host(dir: &Path) -> (Fnaad, Certificates) {
    let certificates = Certificates::make(dir, NAME);
    (Fnaad::serve(dir, config(dir).save()), certificates)
}

/// Waits until the log says something.
fn logged(host: &Fnaad, words: &str) {
    eventually(&format!("{words:?} in the log"), || {
        let log = host.log();
        if log.contains(words) { Ok(()) } else { Err(log) }
    });
}

fn raw(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything that is said until the end; a reset is an end, too.
fn until_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => return all,
            Ok(length) => all.extend_from_slice(&some[..length]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                return all;
            }
        }
    }
}

#[test]
fn both_ways_lead_into_the_same_host_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let mut flows = Vec::new();
    for (name, version) in [("one", ONLY_1_2), ("two", ONLY_1_3)] {
        let trust = certificates.trust().speaking(version);
        let mut implicit = Wire::connect_tls(host.tls_address(), &trust).unwrap();
        let mut upgraded = host.connect();
        assert!(upgraded.data("CAPABILITIES").contains(&"STARTTLS".to_owned()));
        upgraded.start_tls(&trust).unwrap();
        for (way, wire) in [("a", &mut implicit), ("b", &mut upgraded)] {
            let capabilities = wire.data("CAPABILITIES");
            assert!(!capabilities.contains(&"STARTTLS".to_owned()), "{capabilities:?}");
            assert!(capabilities.contains(&"AUTH=PLAIN".to_owned()), "{capabilities:?}");
            assert_eq!(wire.refused("STARTTLS"), "409 CONFLICT tls is established already");
            wire.authenticate("test", "test");
            let flow = format!("{name}-{way}.flows.unix.ar");
            wire.ok(&format!("CREATE FLOW {flow}"));
            assert_eq!(wire.write(&flow, &events(0..50)), "220 OK 50 events");
            assert_eq!(wire.read(&flow).len(), 50);
            flows.push(flow);
        }
        assert_eq!(implicit.ask("QUIT"), ["220 Bye"]);
        assert!(implicit.is_closed(), "and tls says that this is the end");
    }
    flows.sort_unstable();
    assert_eq!(host.login_as("test", "test").data("GET FLOWS"), flows);
    let page = Metrics::of(host.observe());
    let left = page.get("fnaa_certificate_expires_seconds").unwrap();
    assert!((364.0 * 86_400.0..=365.0 * 86_400.0).contains(&left), "{left}");
}

#[test]
fn a_client_refuses_a_host_of_another_authority_or_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &["--name", "fnaa.unix.ar"]);
    let host = Fnaad::serve(dir.path(), config(dir.path()).save());
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Certificates::make(elsewhere.path(), NAME);
    for trust in [other.trust(), certificates.trust()] {
        assert!(Wire::connect_tls(host.tls_address(), &trust).is_err());
        assert!(host.connect().start_tls(&trust).is_err());
    }
    logged(&host, "no tls handshake");
    host.connect().authenticate("test", "test");
}

#[test]
fn what_follows_starttls_in_clear_text_is_never_performed() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let injected = "AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\nCREATE FLOW x.flows.unix.ar\r\n";
    let mut together = raw(host.address());
    together.write_all(format!("STARTTLS\r\n{injected}").as_bytes()).unwrap();
    let said = String::from_utf8(until_the_end(&mut together)).unwrap();
    // Both lines arrive in one piece here, or the second is taken for a handshake: never for commands.
    let refused = "220 fnaa.unix.ar FNAA\r\n400 BAD_FORMAT nothing may follow STARTTLS\r\n";
    assert_eq!(said, refused);
    let mut apart = Wire::connect(host.address());
    apart.ok("STARTTLS");
    let mut stream = apart.speaker();
    stream.write_all(injected.as_bytes()).unwrap();
    let said = until_the_end(&mut stream);
    assert_eq!(said.first(), Some(&21), "an alert of tls: {said:?}");
    assert!(!String::from_utf8_lossy(&said).contains("220"), "{said:?}");
    logged(&host, "the peer speaks clear text");
    let mut wire = Wire::connect_tls(host.tls_address(), &certificates.trust()).unwrap();
    wire.authenticate("test", "test");
    assert_eq!(wire.data("GET FLOWS"), [""; 0]);
}

#[test]
fn who_speaks_the_wrong_one_of_the_two_is_let_go_with_a_line_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let mut clear = raw(host.tls_address());
    clear.write_all(b"AUTHENTICATE PLAIN\r\n").unwrap();
    let said = until_the_end(&mut clear);
    assert!(!String::from_utf8_lossy(&said).contains("220"), "{said:?}");
    logged(&host, "the peer speaks clear text");
    assert!(Wire::connect_tls(host.address(), &certificates.trust()).is_err());
    logged(&host, "the peer speaks tls at an address of clear text");
    let failures = Metrics::of(host.observe()).get("fnaa_tls_handshake_failures_total").unwrap();
    assert!(failures >= 1.0, "{failures}");
}

#[test]
fn a_hundred_handshakes_that_stand_still_stop_nobody_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let half: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = raw(host.tls_address());
            // Nothing, or the head of a record that never comes.
            let said: &[u8] = if number % 2 == 0 { b"" } else { &[22, 3, 1, 2, 0, 1] };
            stream.write_all(said).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        let mut wire = Wire::connect_tls(host.tls_address(), &certificates.trust()).unwrap();
        wire.authenticate("test", "test");
        wire.ok("NOOP");
    }
    for mut stream in half {
        assert_eq!(until_the_end(&mut stream), b"");
    }
    eventually("no open connection", || {
        let open = Metrics::of(host.observe()).get("fnaa_connections_open").unwrap();
        if open == 0.0 { Ok(()) } else { Err(open.to_string()) }
    });
}

/// Writes and reads over one connection until it is told to stop; gives how often.
fn work(host: &Fnaad, trust: &Trust, flow: &str, stop: &AtomicBool) -> usize {
    let mut wire = Wire::connect_tls(host.tls_address(), trust).unwrap();
    wire.authenticate("test", "test");
    wire.ok(&format!("CREATE FLOW {flow}"));
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) || rounds == 0 {
        assert_eq!(wire.write(flow, &events(0..20)), "220 OK 20 events");
        wire.ok("NOOP");
        rounds += 1;
    }
    assert_eq!(wire.read(flow).len(), rounds * 20);
    rounds
}

#[test]
fn certificates_change_under_load_and_no_connection_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (host, certificates) = host(dir.path());
    let trust = certificates.trust();
    let shown = || Wire::connect_tls(host.tls_address(), &trust).unwrap().shown().unwrap();
    let first = shown();
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (host, trust, stop) = (&host, trust.clone(), Arc::clone(&stop));
                let flow = format!("f{number}.flows.unix.ar");
                scope.spawn(move || work(host, &trust, &flow, &stop))
            })
            .collect();
        // Nobody tells the host: it looks by itself.
        certificates.more(&["--name", "127.0.0.1", "--force"]);
        let second = eventually("another certificate", || {
            let now = shown();
            if now == first { Err("the first one".to_owned()) } else { Ok(now) }
        });
        // A pair that does not fit together, and no pair at all.
        let key = std::fs::read(certificates.file("server.key")).unwrap();
        let ca_key = std::fs::read(certificates.file("ca.key")).unwrap();
        std::fs::write(certificates.file("server.key"), ca_key).unwrap();
        host.signal(Signal::HUP);
        logged(&host, "is not the key of the certificate in");
        assert_eq!(shown(), second);
        std::fs::remove_file(certificates.file("server.key")).unwrap();
        host.signal(Signal::HUP);
        logged(&host, "server.key: No such file");
        assert_eq!(shown(), second);
        std::fs::write(certificates.file("server.key"), key).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(certificates.file("server.key"), mode).unwrap();
        host.signal(Signal::HUP);
        logged(&host, "server.key: mode is 0644: others can read the key");
        assert_eq!(shown(), second);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            assert!(worker.join().unwrap() > 0);
        }
    });
}

#[test]
fn nobody_authenticates_in_clear_text_from_elsewhere_and_everybody_under_tls() {
    // The address from which this machine would speak to others; nothing is sent there. What is refused
    // where there is none, the tests of the session and of the configuration say.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let Some(own) = own.ok().filter(|own| !own.ip().is_loopback()) else {
        return;
    };
    let own = own.ip().to_string();
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &["--name", &own]);
    let mut config = config(dir.path());
    config.text = config.text.replacen("127.0.0.1:0", "0.0.0.0:0", 1);
    let host = Fnaad::serve(dir.path(), config.save());
    let port = host.address().rsplit_once(':').unwrap().1.to_owned();
    Wire::connect(&format!("127.0.0.1:{port}")).authenticate("test", "test");
    let mut wire = Wire::connect(&format!("{own}:{port}"));
    assert!(!wire.data("CAPABILITIES").iter().any(|line| line.starts_with("AUTH=")));
    for command in ["AUTHENTICATE PLAIN", "AUTHENTICATE PLAIN AHRlc3QAdGVzdA=="] {
        assert_eq!(wire.refused(command), "426 TLS_REQUIRED STARTTLS comes first");
    }
    assert!(wire.refused("GET FLOWS").starts_with("401 AUTH_REQUIRED "));
    wire.start_tls(&certificates.trust()).unwrap();
    wire.authenticate("test", "test");
    assert_eq!(wire.data("GET FLOWS"), [""; 0]);
}

#[test]
fn an_open_address_needs_a_certificate_or_its_name_in_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text = config.text.replacen("127.0.0.1:0", "0.0.0.0:0", 1);
    for command in ["serve", "check"] {
        let path = config.save();
        let refused = Fnaad::refused(&[command.as_ref(), "--config".as_ref(), path.as_ref()]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let why = "fnaad.toml:2: 0.0.0.0:0 is not a loopback address: it needs [tls], or";
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    config.text =
        config.text.replacen("\ndata_dir", "\nclear_text_on = [\"0.0.0.0:0\"]\ndata_dir", 1);
    let path = config.save();
    let checked = Fnaad::refused(&["check".as_ref(), "--config".as_ref(), path.as_ref()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("warning: CLEAR_TEXT_ON: "), "{checked:?}");
    let host = Fnaad::serve(dir.path(), path);
    assert!(host.log().contains("CLEAR_TEXT_ON: "), "{}", host.log());
}

#[test]
fn check_says_what_is_wrong_with_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let check = || {
        let path = config.save();
        Fnaad::refused(&["check".as_ref(), "--config".as_ref(), path.as_ref()])
    };
    let missing = check();
    assert_eq!(missing.code, Some(1), "{missing:?}");
    for missing_file in
        [": error: certificate_file ", "server.pem: ", ": error: key_file ", "server.key: "]
    {
        assert!(missing.stderr.contains(missing_file), "{missing:?}");
    }
    let certificates = Certificates::make(dir.path(), NAME);
    assert_eq!(check().stderr, "");
    certificates.more(&["--name", "127.0.0.1", "--days", "1", "--force"]);
    assert_eq!(check().stderr, "", "a short life that has just begun");
    let authority = std::fs::read(certificates.file("ca.key")).unwrap();
    std::fs::write(certificates.file("server.key"), authority).unwrap();
    let mixed = check();
    assert_eq!(mixed.code, Some(1), "{mixed:?}");
    assert!(mixed.stderr.contains("is not the key of the certificate in"), "{mixed:?}");
}

#[test]
fn a_host_for_trying_out_offers_starttls_with_a_certificate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let trust = Trust::only(&dir.path().join("tls/ca.pem"));
    let (user, password) = host.fnua().credentials();
    let mut wire = host.connect();
    wire.start_tls(&trust).unwrap();
    wire.authenticate(&user, &password);
    wire.ok("CREATE FLOW a.flows.unix.ar");
    let shown = wire.shown();
    let address = host.address().to_owned();
    assert!(host.end().success());
    let host = Fnaad::dev_with(dir.path(), &[]);
    assert_eq!(host.address(), address);
    let mut wire = host.connect();
    wire.start_tls(&trust).unwrap();
    assert_eq!(wire.shown(), shown, "the certificate is kept");
}

#[test]
fn the_user_agent_comes_in_both_ways_and_names_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (host, _) = host(dir.path());
    std::fs::create_dir(dir.path().join("other")).unwrap();
    let _other = Certificates::make(&dir.path().join("other"), NAME);
    let agent = |address: &str, keys: &str| {
        use std::os::unix::fs::PermissionsExt;
        let file = dir.path().join("agent.toml");
        let text = format!(
            "[[agents]]\nname = \"x\"\naddress = \"{address}\"\nusername = \"test\"\npassword = \"test\"\n{keys}\n"
        );
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Fnua::new(file)
    };
    let upgraded = agent(host.address(), "tls = \"starttls\"\nca_file = \"tls/ca.pem\"");
    upgraded.ok(&["create", "flow", A]);
    let lines: String = events(0..2000).iter().map(|line| format!("{line}\n")).collect();
    upgraded.ok_with(&["write", A], &lines);
    let said = upgraded.run(&["-d", "get", "flows"]);
    assert!(
        said.stderr.contains("C: STARTTLS") && said.stderr.contains("C: TLSv1_3 with"),
        "{said:?}"
    );
    let implicit = agent(host.tls_address(), "tls = \"implicit\"\nca_file = \"tls/ca.pem\"");
    assert_eq!(implicit.ok(&["read", A]).lines().count(), 2000);
    let strange = agent(host.tls_address(), "tls = \"implicit\"\nca_file = \"other/tls/ca.pem\"");
    let said = strange.run(&["get", "flows"]);
    assert!(said.code == 3 && said.stderr.contains("no tls with"), "{said:?}");
    let misnamed = agent(host.address(), "fqdn = \"other.example\"\nca_file = \"tls/ca.pem\"");
    let said = misnamed.run(&["get", "flows"]);
    assert!(said.stderr.contains("is not for other.example but for 127.0.0.1"), "{said:?}");
}

#[test]
fn connections_to_all_addresses_share_the_places_of_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), NAME);
    let mut config = config(dir.path());
    let limit = "[limits]\nconnections = 3\n\n[observe]";
    config.text = config.text.replacen("[observe]", limit, 1);
    let host = Fnaad::serve(dir.path(), config.save());
    let trust = certificates.trust();
    let encrypted = || Wire::connect_tls(host.tls_address(), &trust);
    let _held = [host.login_as("test", "test"), host.login_as("test", "test")];
    let last = encrypted().unwrap();
    assert_eq!(host.connect().greeting, "503 UNAVAILABLE too many connections");
    assert!(encrypted().is_err(), "nothing can be said before a handshake");
    drop(last);
    eventually("a place", || match host.connect().greeting {
        greeting if greeting.starts_with("220 ") => Ok(()),
        greeting => Err(greeting),
    });
}
