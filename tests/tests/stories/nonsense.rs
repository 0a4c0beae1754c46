//! Names that lead to nonsense: whoever subscribes, or traces, is told at which step, and nothing is left behind.
//!
//! DNS is a real BIND with a signed root, and a socket that answers octets that are no DNS; the hosts are sockets of
//! the test that greet badly, too slowly, too long or not at all, and one with somebody else's certificate.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use bind_node::{Bind, Zone};
use serde_json::Value;
use stories::{Certificates, Config, Fnaad, Fnua, Wire};

/// Somebody who takes connections and does not keep to the protocol; gives the port.
fn host(behaves: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || behaves(stream));
        }
    });
    port
}

/// Says something, and then nothing until the other side goes.
fn says(mut stream: TcpStream, words: &[u8]) {
    drop(stream.write_all(words));
    drop(std::io::copy(&mut stream, &mut std::io::sink()));
}

/// Says the same again and again, until the other side goes.
fn repeats(mut stream: TcpStream, words: &[u8], pause: Duration) {
    while stream.write_all(words).is_ok() {
        std::thread::sleep(pause);
    }
}

/// Greets well, and has one answer to everything.
fn agrees(mut stream: TcpStream) {
    drop(stream.write_all(b"220 fnaa.unix.ar FNAA\r\n"));
    let mut octets = [0; 4096];
    while let Ok(1..) = stream.read(&mut octets) {
        drop(stream.write_all(b"220 OK\r\n"));
    }
}

/// A name server that answers every question with octets of its own, or not at all.
fn name_server(answer: Option<&'static [u8]>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut octets = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut octets) {
            let Some(answer) = answer else { continue };
            // The identity of the question, so that it is looked at.
            let answer = [&octets[..length.min(2)], answer].concat();
            drop(socket.send_to(&answer, from));
        }
    });
    address
}

/// Where it ends, as the host says it to a subscriber, and as a trace does.
struct Case {
    flow: String,
    said: &'static str,
    traced: &'static str,
}

/// A name, the words of its TXT record, what its host does, and where that ends.
type Strange = (&'static str, &'static str, fn(TcpStream), &'static str, &'static str);

/// What stands in DNS, what leads to nothing there, and what keeps it alive.
struct Elsewhere {
    bind: Bind,
    zones: Vec<String>,
    cases: Vec<Case>,
    /// Whoever vouches for the host with somebody else's name.
    ca: std::path::PathBuf,
    _stranger: Fnaad,
}

impl Elsewhere {
    fn start(dir: &Path) -> Self {
        let stranger = dir.join("stranger");
        std::fs::create_dir_all(&stranger).unwrap();
        let own = Certificates::make(&stranger.join("own"), &["--name", "fnaa.unix.ar"]);
        let ca = own.file("ca.pem");
        let stranger = with_tls(&stranger, &own);
        let (_, tls) = stranger.tls_address().rsplit_once(':').unwrap();
        let tls: u16 = tls.parse().unwrap();
        let mut records = "fnaa A 127.0.0.1\nevil A 127.0.0.1\nother CNAME fnaa\n\
            loop.flows CNAME round.flows\nround.flows CNAME loop.flows\n\
            dangling.flows PTR _flow._tcp.dangling.flows\n"
            .to_owned();
        let mut cases = Vec::new();
        let mut add = |flow: &str, said, traced| {
            cases.push(Case { flow: flow.to_owned(), said, traced });
        };
        add("nobody.elsewhere.ar", "resolve: nobody.elsewhere.ar: no such name", "delegation");
        add("loop.flows.unix.ar", "resolve: loop.flows.unix.ar: ", "delegation");
        add("dangling.flows.unix.ar", "where no srv record is", "srv");
        add("time.broken.ar", "dnssec refutes the answer", "srv");
        add("time.silent.ar", "resolve: time.silent.ar: ", "delegation");
        add("time.mad.ar", "resolve: time.mad.ar: ", "delegation");
        let mut record = |name: &str, at: &str, words: &str, said, traced| {
            let service = format!("_flow._tcp.{name}.flows");
            writeln!(
                records,
                "{name}.flows PTR {service}\n{service} SRV 0 0 {at}\n{service} TXT \"{words}\""
            )
            .unwrap();
            add(&format!("{name}.flows.unix.ar"), said, traced);
        };
        record("closed", "0 .", "x", "has the target \".\"", "srv");
        record("homeless", "61000 nobody", "x", "nobody.unix.ar has no address", "addresses");
        record("aliased", "61000 other", "x", "is an alias (cname)", "addresses");
        record("portless", "0 fnaa", "x", "means no host: fnaa.unix.ar:0", "srv");
        record("deaf", "1 fnaa", "x", "connect: fnaa.unix.ar:1 (127.0.0.1): ", "connect");
        let hosts: [Strange; 8] = [
            (
                "web",
                "x",
                |one| says(one, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                "greeting: ",
                "greeting",
            ),
            ("shut", "x", drop, "greeting: ", "greeting"),
            ("mute", "x", |one| says(one, b""), "greeting: ", "greeting"),
            (
                "slow",
                "x",
                |one| repeats(one, b"2", Duration::from_millis(100)),
                "greeting: ",
                "greeting",
            ),
            (
                "endless",
                "x",
                |one| repeats(one, &[b'x'; 4096], Duration::ZERO),
                "greeting: ",
                "greeting",
            ),
            (
                "busy",
                "x",
                |one| says(one, b"503 UNAVAILABLE too many\r\n"),
                "503 UNAVAILABLE",
                "greeting",
            ),
            ("open", "tls", |one| says(one, b"220 fnaa.unix.ar FNAA\r\n"), "tls: ", "tls"),
            ("liar", "x", agrees, "authenticate: ", "tls"),
        ];
        for (name, words, behaves, said, traced) in hosts {
            record(name, &format!("{} fnaa", host(behaves)), words, said, traced);
        }
        record("stolen", &format!("{tls} evil"), "tls", "tls: evil.unix.ar:", "tls");
        let broken =
            "_flow._tcp.time SRV 0 0 61000 fnaa\ntime PTR _flow._tcp.time\nfnaa A 127.0.0.1\n";
        let bind = Bind::start(&[
            Zone::signed("unix.ar", &records).option("check-integrity no;"),
            Zone::signed("broken.ar", broken).forged("0 61000", "0 61001"),
            Zone::signed("elsewhere.ar", ""),
        ]);
        let zones = [
            ("silent.ar", None),
            ("mad.ar", Some(&b"\x84\x00\xff\xff\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c"[..])),
        ];
        let zones = zones.map(|(zone, answer)| format!("{zone}={}", name_server(answer)));
        Self { bind, zones: zones.into(), cases, ca, _stranger: stranger }
    }

    /// The keys of a host's `[names]`.
    fn names(&self) -> String {
        let (server, anchors) = (self.bind.address(), self.bind.trust_anchors().display());
        let zones: Vec<String> = self
            .zones
            .iter()
            .map(|zone| zone.split_once('=').unwrap())
            .map(|(zone, server)| format!("{{ zone = \"{zone}\", servers = [\"{server}\"] }}"))
            .collect();
        let zones = zones.join(", ");
        format!(
            "\n[names]\nservers = [\"{server}\"]\ntrust_anchor_file = \"{anchors}\"\ntimeout_seconds = 15\nzones = [{zones}]\n"
        )
    }
}

fn with_tls(dir: &Path, own: &Certificates) -> Fnaad {
    let mut config = Config::new(dir);
    let shown = |name: &str| own.file(name).display().to_string();
    let keys = format!(
        "anonymous = true\nlisten_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        shown("server.pem"),
        shown("server.key"),
    );
    config.text = config.text.replacen("\n[[namespaces]]", &format!("{keys}\n[[namespaces]]"), 1);
    Fnaad::serve(dir, config.save())
}

/// The host of those who subscribe.
fn subscriber(dir: &Path, elsewhere: &Elsewhere) -> Fnaad {
    let mut config = Config::new(dir);
    config.text = config
        .text
        .replace("fnaa.unix.ar", "fnaa.emiliano.ar")
        .replace("flows.unix.ar", "emiliano.ar");
    config.text += &elsewhere.names();
    config.text += &format!(
        "\n[peers]\ndomain = \"emiliano.ar\"\nsecret_file = \"{}\"\nca_file = \"{}\"\n",
        dir.join("peers.secret").display(),
        elsewhere.ca.display()
    );
    Fnaad::serve(dir, config.save())
}

fn user(dir: &Path, text: &str) -> Fnua {
    use std::os::unix::fs::PermissionsExt as _;
    let file = dir.join(format!("user-{}.toml", text.len()));
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Fnua::new(file)
}

/// What a case has come to, where it is not as it should be.
fn wrong(case: &Case, code: i32, said: &str) -> Option<String> {
    let is_told = said.contains(case.said) && (said.contains("502 ") || said.contains("503 "));
    (code != 1 || !is_told).then(|| format!("{}: {code} {said}", case.flow))
}

#[test]
fn whatever_a_name_leads_to_a_subscriber_is_told_the_step_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Elsewhere::start(dir.path());
    let own = dir.path().join("own");
    std::fs::create_dir_all(&own).unwrap();
    let host = subscriber(&own, &elsewhere);
    let text = format!(
        "[[agents]]\nname = \"home\"\naddress = \"{}\"\nusername = \"test\"\npassword = \"test\"\nnamespaces = [\"emiliano.ar\"]\n",
        host.address()
    );
    let fnua = user(dir.path(), &text);
    let local = |case: &Case, who: &str| {
        let labels: Vec<&str> = case.flow.split('.').collect();
        format!("{who}-{}.emiliano.ar", labels.join("-"))
    };
    let by_fnua = |case: &Case| {
        let said = fnua.run(&["subscribe", &case.flow, "--local", &local(case, "b")]);
        wrong(case, said.code, &said.stderr)
    };
    // Some take the whole time that a host has for its greeting.
    let mut ill: Vec<String> = std::thread::scope(|scope| {
        let by_wire = elsewhere.cases.iter().map(|case| {
            let mut wire = host.login_as("test", "test");
            scope.spawn(move || {
                let said =
                    wire.refused(&format!("SUBSCRIBE {} LOCAL {}", case.flow, local(case, "a")));
                wrong(case, 1, &said)
            })
        });
        let by_wire: Vec<_> = by_wire.collect();
        by_wire.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    // An address without a user gets few connections.
    for some in elsewhere.cases.chunks(AT_ONCE) {
        ill.extend(std::thread::scope(|scope| {
            let all: Vec<_> = some.iter().map(|case| scope.spawn(|| by_fnua(case))).collect();
            all.into_iter().filter_map(|one| one.join().unwrap()).collect::<Vec<_>>()
        }));
    }
    assert!(ill.is_empty(), "{}", ill.join("\n"));
    let mut wire = host.login_as("test", "test");
    for bad in ["a..b", "-", "x", "a_b.unix.ar", &format!("{}.unix.ar", "a".repeat(64)), "1.2.3.4"]
    {
        let said = wire.refused(&format!("SUBSCRIBE {bad} LOCAL x.emiliano.ar"));
        assert!(said.starts_with("400 BAD_FORMAT ") || said.starts_with("502 "), "{bad}: {said}");
    }
    is_empty(&mut wire);
    assert_eq!(host.log().matches("panicked").count(), 0);
    // Neither afterwards.
    let own = host.kill();
    is_empty(&mut Fnaad::serve(&own, &own.join("fnaad.toml")).login_as("test", "test"));
}

/// Users who come in at once.
const AT_ONCE: usize = 8;

fn is_empty(wire: &mut Wire) {
    for what in ["SUBSCRIPTIONS", "FLOWS", "PROCESSORS"] {
        assert_eq!(wire.data(&format!("GET {what}")), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn whatever_a_name_leads_to_a_trace_ends_at_that_step() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = Elsewhere::start(dir.path());
    let (server, anchors) = (elsewhere.bind.address(), elsewhere.bind.trust_anchors().display());
    let text = format!(
        "ca_file = \"{}\"\nnameservers = [\"{server}\"]\ntrust_anchor_file = \"{anchors}\"\n",
        elsewhere.ca.display()
    );
    let fnua = user(dir.path(), &text);
    let mut args = vec!["trace", "--format", "json"];
    args.extend(elsewhere.zones.iter().flat_map(|zone| ["--resolve", zone]));
    let ill: Vec<String> = std::thread::scope(|scope| {
        let (fnua, args) = (&fnua, &args);
        let traced = elsewhere.cases.iter().map(|case| {
            scope.spawn(move || {
                let said = fnua.run(&[args, &[&*case.flow][..]].concat());
                let json: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
                let rows = json["steps"].as_array().cloned().unwrap_or_default();
                let failed: Vec<&Value> =
                    rows.iter().filter(|row| row["status"] == "failed").collect();
                let is_it = failed.len() == 1
                    && failed[0]["step"].as_str().is_some_and(|step| case.traced.contains(step))
                    && failed[0]["means"].as_str().is_some_and(|means| !means.is_empty());
                (!is_it || said.code != 4).then(|| format!("{}: {failed:?} {said:?}", case.flow))
            })
        });
        let traced: Vec<_> = traced.collect();
        traced.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert!(ill.is_empty(), "{}", ill.join("\n"));
}
