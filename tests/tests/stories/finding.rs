//! Finding hosts by the names of their flows, and `fnua trace`: with a real BIND between the user agent and the host.

use std::path::{Path, PathBuf};

use bind_node::{Bind, Zone};
use serde_json::Value;
use stories::{Certificates, Config, Fnaad, Fnua, event};

const TIME: &str = "time.flows.unix.ar";

/// A host with one event in the flow, which everybody may read, and with a certificate for the name `fnaa.unix.ar`.
struct Site {
    host: Fnaad,
    ca: PathBuf,
    dir: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        let own = Certificates::make(&dir.join("own"), &["--name", "fnaa.unix.ar"]);
        let mut config = Config::new(&dir);
        let shown = |name: &str| own.file(name).display().to_string();
        let keys = format!(
            "anonymous = true\nlisten_tls = [\"127.0.0.1:0\"]\n\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
            shown("server.pem"),
            shown("server.key"),
        );
        config.text =
            config.text.replacen("\n[[namespaces]]", &format!("{keys}\n[[namespaces]]"), 1);
        let host = Fnaad::serve(&dir, config.save());
        let mut wire = host.login_as("test", "test");
        wire.ok(&format!("CREATE FLOW {TIME}"));
        wire.ok(&format!("GRANT read ON {TIME} TO anonymous"));
        assert_eq!(wire.write(TIME, &[event(1)]), "220 OK 1 events");
        Self { host, ca: own.file("ca.pem"), dir, _temporary: temporary }
    }

    /// Where TLS begins at once.
    fn tls_port(&self) -> &str {
        self.host.tls_address().rsplit_once(':').unwrap().1
    }

    /// Where it does not.
    fn port(&self) -> &str {
        self.host.address().rsplit_once(':').unwrap().1
    }

    /// The records of the draft for the flow, and those of the namespace.
    fn records(&self) -> String {
        let (tls, open) = (self.tls_port(), self.port());
        format!(
            "time.flows PTR _flow._tcp.time.flows\n_flow._tcp.time.flows SRV 0 0 {tls} fnaa\n\
             _flow._tcp.time.flows TXT \"txtvers=1\" \"tls\"\n_flow._tcp.flows SRV 0 0 {open} fnaa\n\
             poc.flows SRV 0 0 {open} fnaa\nfnaa A 127.0.0.1\n"
        )
    }

    /// A user agent that has to find everything, and believes the host's authority, with these further keys.
    fn fnua(&self, keys: &str) -> Fnua {
        let path = self.dir.join("user.toml");
        stories_file(&path, &format!("ca_file = \"{}\"\n{keys}", self.ca.display()));
        Fnua::new(path)
    }
}

fn stories_file(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The keys that have `bind` asked, and its signatures checked.
fn asking(bind: &Bind) -> String {
    let (server, anchors) = (bind.address(), bind.trust_anchors().display());
    format!("nameservers = [\"{server}\"]\ntrust_anchor_file = \"{anchors}\"\n")
}

/// The steps of a trace as `step status`, those that went well left out, with the exit code.
fn traced(fnua: &Fnua, args: &[&str]) -> (i32, Vec<String>, Value) {
    let said = fnua.run(&[&["trace", "--format", "json"], args].concat());
    let json: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let steps = json["steps"].as_array().unwrap().iter();
    let shown = steps.map(|row| {
        format!("{} {}", row["step"].as_str().unwrap(), row["status"].as_str().unwrap())
    });
    let ill = shown.filter(|shown| !shown.ends_with(" ok")).collect();
    assert_eq!(json["good"], said.code == 0, "{said:?}");
    (said.code, ill, json)
}

/// The steps behind this one, which are not come to.
fn skipped_behind(step: &str) -> Vec<String> {
    let steps = [
        "delegation",
        "ptr",
        "srv",
        "txt",
        "dnssec",
        "addresses",
        "connect",
        "tls",
        "greeting",
        "authentication",
        "grant",
        "first-event",
    ];
    let at = steps.iter().position(|one| *one == step).unwrap();
    let behind = steps[at + 1..].iter().map(|step| format!("{step} skipped"));
    std::iter::once(format!("{step} failed")).chain(behind).collect()
}

#[test]
fn a_flow_is_read_by_who_knows_nothing_but_its_name() {
    let site = Site::start();
    let bind = Bind::start(&[Zone::signed("unix.ar", &site.records())]);
    let fnua = site.fnua(&asking(&bind));
    let said = fnua.run(&["-d", "describe", "flow", TIME]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with(&format!("flow={TIME}\n")), "{said:?}");
    // In the words of the draft's transcripts.
    let server = bind.address();
    for line in [
        format!("Resolving SRV for _flow._tcp.{TIME}. using server {server}"),
        format!("Executing query _flow._tcp.{TIME}. IN 33 using server {server}"),
        format!(
            "Executing successful: [_flow._tcp.{TIME}.\t300\tIN\tSRV\t0 0 {} fnaa.unix.ar.]",
            site.tls_port()
        ),
        format!("Resolved A to 127.0.0.1 for fnaa.unix.ar. using server {server}"),
        "C: TLSv1_3 with fnaa.unix.ar".to_owned(),
    ] {
        assert!(said.stderr.lines().any(|shown| shown == line), "{line} not in {}", said.stderr);
    }
    assert_eq!(fnua.ok(&["read", TIME]).lines().count(), 1);
    // What is not there yet is asked about at the host of its namespace, by starttls.
    let refused = fnua.run(&["create", "flow", "new.flows.unix.ar"]);
    assert!(refused.code == 1 && refused.stderr.contains("fnua: 40"), "{refused:?}");
    let nobody = fnua.run(&["read", "time.nowhere.ar"]);
    assert_eq!(nobody.code, 3, "{nobody:?}");
    assert!(nobody.stderr.contains("no host of time.nowhere.ar found: no such name"), "{nobody:?}");
}

#[test]
fn the_own_host_is_asked_first_and_dns_where_it_does_not_know_the_flow() {
    let site = Site::start();
    let bind = Bind::start(&[Zone::signed("unix.ar", &site.records())]);
    let dir = tempfile::tempdir().unwrap();
    let own = Fnaad::dev_with(dir.path(), &["--namespace", "flows.emiliano.ar"]);
    let text = std::fs::read_to_string(dir.path().join("fnua.toml")).unwrap();
    let path = dir.path().join("both.toml");
    stories_file(&path, &format!("ca_file = \"{}\"\n{}\n{text}", site.ca.display(), asking(&bind)));
    let fnua = Fnua::new(path);
    fnua.ok(&["create", "flow", "mine.flows.emiliano.ar"]);
    assert_eq!(fnua.ok(&["read", TIME]).lines().count(), 1);
    assert!(fnua.ok(&["describe", "flow", TIME]).starts_with(&format!("flow={TIME}\n")));
    // Its own namespaces are its own: nobody else is asked.
    let gone = fnua.run(&["-d", "read", "gone.flows.emiliano.ar"]);
    assert!(gone.code == 1 && !gone.stderr.contains("Resolving"), "{gone:?}");
    // Of two that do not know it, the own one is heard.
    let gone = fnua.run(&["read", "gone.nowhere.ar"]);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.stderr.starts_with("fnua: 404 NOT_FOUND "), "{gone:?}");
    // A pipe can be read once, so the other host is only named.
    let piped = fnua.run_with(&["write", TIME], &format!("{}\n", event(2)));
    let other = format!("--agent fnaa.unix.ar:{}", site.tls_port());
    assert!(piped.code == 1 && piped.stderr.contains(&other), "{piped:?}");
    // --agent overrides everything.
    let asked = fnua.run(&["--agent", own.address(), "read", TIME]);
    assert_eq!(asked.code, 1, "{asked:?}");
}

#[test]
fn a_trace_shows_every_step_with_its_time_and_is_good_to_the_first_event() {
    let site = Site::start();
    let bind = Bind::start(&[Zone::signed("unix.ar", &site.records())]);
    let fnua = site.fnua(&asking(&bind));
    let (code, ill, json) = traced(&fnua, &[TIME]);
    assert_eq!((code, ill.len()), (0, 0), "{json:#}");
    let said = |step: &str| {
        let row = json["steps"].as_array().unwrap().iter().find(|row| row["step"] == step).unwrap();
        assert!(row["ms"].is_number(), "{row}");
        row["said"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(said("delegation"), format!("zone unix.ar., asked {}", bind.address()));
    assert_eq!(said("dnssec"), "proven, from the trust anchor down");
    assert_eq!(said("txt"), "tls begins at once");
    assert!(said("tls").starts_with("TLSv1_3, certificate of fnaa.unix.ar, until "), "{json:#}");
    assert_eq!(said("greeting"), "fnaa.unix.ar FNAA");
    assert_eq!(said("authentication"), "by ANONYMOUS");
    assert!(said("first-event").contains("\"specversion\""), "{json:#}");
    let text = fnua.ok(&["trace", TIME]);
    assert_eq!(text.lines().filter(|line| line.starts_with("ok ")).count(), 12, "{text}");
    assert!(text.contains(&format!("\t300\tIN\tPTR\t_flow._tcp.{TIME}.")), "{text}");
    // With its host named, nobody is asked for it.
    let (code, ill, _) = traced(&fnua, &["--agent", site.host.address(), TIME]);
    let dns = ["delegation", "ptr", "srv", "txt", "dnssec", "addresses"];
    assert_eq!((code, ill), (0, dns.map(|step| format!("{step} skipped")).to_vec()));
}

#[test]
fn a_trace_ends_at_the_step_that_fails_and_says_what_to_do() {
    let site = Site::start();
    let good = site.records();
    let tls = site.tls_port();
    let stranger = good
        .replace("fnaa A", "evil A 127.0.0.1\nfnaa A")
        .replace(&format!("{tls} fnaa"), &format!("{tls} evil"));
    let closed = good.replace(&format!("0 0 {tls} fnaa"), "0 0 0 .");
    // Nobody can listen there.
    let deaf = good.replace(&format!("0 0 {tls} fnaa"), "0 0 1 fnaa");
    let homeless = good.replace("fnaa A 127.0.0.1", "other A 127.0.0.1");
    let silent = good.replace("\"tls\"", "\"x\"");
    let forged = Zone::signed("unix.ar", &good).forged(&format!("{tls} fnaa"), "1 fnaa");
    let zone = |records: &str| Zone::signed("unix.ar", records).option("check-integrity no;");
    for (zone, flow, step, means) in [
        (zone(&good), "gone.other.ar", "delegation", "nobody has published the name"),
        (zone(&closed), TIME, "srv", "decidedly no such service"),
        (forged, TIME, "srv", "the signatures do not fit"),
        (zone(&homeless), TIME, "addresses", "neither an a nor an aaaa record"),
        (zone(&deaf), TIME, "connect", "nobody listens"),
        (zone(&stranger), TIME, "tls", "nothing proves that the host"),
        (zone(&good), "poc.flows.unix.ar", "grant", "does not have the flow"),
    ] {
        let bind = Bind::start(&[zone]);
        let (code, ill, json) = traced(&site.fnua(&asking(&bind)), &[flow]);
        assert_eq!((code, ill), (4, skipped_behind(step)), "{json:#}");
        let steps = json["steps"].as_array().unwrap();
        let failed = steps.iter().find(|row| row["status"] == "failed").unwrap();
        assert!(failed["means"].as_str().unwrap().contains(means), "{failed}");
        assert!(!failed["do"].as_str().unwrap().is_empty(), "{failed}");
    }
    // Where tls is not said and the host begins with it, it never greets.
    let bind = Bind::start(&[zone(&silent)]);
    let (code, ill, json) = traced(&site.fnua(&asking(&bind)), &[TIME]);
    assert_eq!(code, 4, "{json:#}");
    assert!(ill.contains(&"greeting failed".to_owned()), "{ill:?}");
}

#[test]
fn name_servers_of_the_command_line_are_asked_and_believed() {
    let site = Site::start();
    let bind = Bind::start(&[Zone::unsigned("unix.ar", &site.records())]);
    let fnua = site.fnua("");
    let server = bind.address().to_string();
    let zone = format!("unix.ar={server}");
    for args in [["--nameserver", &server], ["--resolve", &zone]] {
        let (code, ill, json) = traced(&fnua, &[args[0], args[1], TIME]);
        assert_eq!((code, ill.len()), (0, 0), "{json:#}");
        let dnssec = &json["steps"][4];
        assert!(dnssec["said"].as_str().unwrap().starts_with("not checked"), "{dnssec}");
    }
}

#[test]
fn a_host_asks_the_name_servers_of_a_zone_that_its_command_line_names() {
    let dir = tempfile::tempdir().unwrap();
    let agents = Certificates::make(
        &dir.path().join("agents"),
        &["--name", "fnaa.emiliano.ar", "--name", "emiliano.ar", "--client", "domain:emiliano.ar"],
    );
    let usual = Bind::start(&[]);
    let theirs = Bind::start(&[Zone::unsigned("emiliano.ar", crate::domains::AGENT)]);
    let mut config = Config::new(dir.path());
    let trust = crate::domains::believe(&mut config, dir.path(), &usual, &agents);
    let showing = trust.showing(&agents, "domain-emiliano.ar");
    let host = Fnaad::serve(dir.path(), config.save());
    assert!(crate::domains::come(&host, &showing, "emiliano.ar").1.starts_with("401 "));
    let dir = host.kill();
    let zone = format!("emiliano.ar={}", theirs.address());
    let host = Fnaad::serve_resolving(&dir, config.save(), &[&zone]);
    assert_eq!(crate::domains::come(&host, &showing, "emiliano.ar").1, "220 Authenticated");
}
