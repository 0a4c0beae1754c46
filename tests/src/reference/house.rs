//! What the marks of an example stand for: hosts, users, flows, and what is wrong with them.
//!
//! Everybody's password is `example`. `ana` administers the host, `bea` may do nothing until somebody grants it. With the
//! mark `domain` the client is the agent of `emiliano.ar`, and shows its certificate.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bind_node::{Bind, Zone};
use tempfile::TempDir;

use super::Example;
use super::play::{Entrance, Stage};
use crate::{Certificates, Fnaad, Trust, Wire, damage_events, eventually_described};

/// What argon2id and SCRAM-SHA-256 check the password against.
const VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$fFSfFzKrtgkY0Zh4akMxUQ$qTcJURZK324spZWtn8dnTlUgvRx3dCx9I3HK7mI3e04";
const SCRAM: &str = "SCRAM-SHA-256$100000:4PyrmHI2ywK7pJGfnqgoDQ==$gC7Rv1eYQaMaGE10xBs+my+LNF4tIDpD7PkwyY5AgA0=:GzUa1qj/Me09Q7JlVrtVBfYTN4MR1qXSmjhrJ4n7edo=";

/// Who can have come in before a dialogue.
const USERS: [&str; 2] = ["ana", "bea"];

/// A mark that changes the configuration: keys before the first table, and tables.
const CONFIGURED: &[(&str, &str, &str)] = &[
    ("anonymous", "anonymous = true", ""),
    ("idle", "", "[limits]\nidle_seconds = 1"),
    ("full", "", "[limits]\nconnections = 1"),
    ("small-events", "", "[limits]\nevent_bytes = 1024"),
    ("one-event-a-second", "", "[[quotas]]\nfor = \"user:bea\"\nevents_per_second = 1"),
    ("one-flow", "", "[[quotas]]\nfor = \"user:bea\"\nflows = 1"),
    (
        "zone",
        "",
        "[dns]\naddresses = [\"192.0.2.1\"]\nlisten = [\"127.0.0.1:0\"]\n\
         [[dns.zones]]\nname = \"example.org\"\nembedded = true",
    ),
    (
        "provider",
        "",
        "[[oauth]]\nname = \"corp\"\nissuer = \"http://127.0.0.1:9/realms/corp\"\naudience = \"fnaad\"",
    ),
];

/// What somebody does on a connection of his.
type Act = fn(&mut Wire);

/// A mark that says what `ana` has done before.
const DONE: &[(&str, Act)] = &[
    ("flow", |ana| drop(ana.ok("CREATE FLOW a.flows.example.org"))),
    ("wide-flow", |ana| drop(ana.ok("CREATE FLOW a.flows.example.org partitions=3"))),
    ("events", |ana| {
        ana.ok("CREATE FLOW a.flows.example.org");
        let event = |n: usize| {
            format!(
                r#"{{"specversion":"1.0","id":"{n}","source":"/clock","type":"org.example.tick","data":{{"n":{n}}}}}"#
            )
        };
        let events: Vec<String> = (1..=3).map(event).collect();
        assert_eq!(ana.write("a.flows.example.org", &events), "220 OK 3 events");
    }),
    ("two-flows", |ana| {
        ana.ok("CREATE FLOW q.flows.example.org");
        ana.ok("CREATE FLOW w.flows.example.org");
    }),
    ("bridge", |ana| {
        ana.ok("CREATE FLOW q.flows.example.org");
        ana.ok("CREATE FLOW w.flows.example.org");
        ana.ok("REPLICATE q.flows.example.org w.flows.example.org AS br.flows.example.org");
    }),
    ("letter", |ana| {
        ana.ok("CREATE FLOW q.flows.example.org");
        ana.ok("CREATE FLOW w.flows.example.org max.message.bytes=1024");
        ana.ok("REPLICATE q.flows.example.org w.flows.example.org AS br.flows.example.org");
        let large = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/clock","type":"org.example.tick","data":"{}"}}"#,
            "x".repeat(4096)
        );
        assert_eq!(ana.write("q.flows.example.org", &[large]), "220 OK 1 events");
        eventually_described(ana, "br.flows.example.org", "a dead letter", |seen| {
            seen["dead-letters"]["open"] == 1
        });
    }),
    ("reader", |ana| drop(ana.ok("GRANT read ON flows.example.org TO user:bea"))),
    ("owner", |ana| drop(ana.ok("GRANT administer ON flows.example.org TO user:bea"))),
    ("paused", |ana| drop(ana.ok("PAUSE a.flows.example.org"))),
    ("open", |ana| drop(ana.ok("UPDATE FLOW a.flows.example.org access=open"))),
];

/// Marks with a meaning of their own: certificates, where the client comes from, and what is broken.
const OTHERS: &[&str] = &["tls", "implicit", "certificate", "domain", "elsewhere", "damaged"];

/// A host that is as an example wants it.
pub struct House {
    host: Fnaad,
    trust: Option<(Trust, bool)>,
    entrance: Entrance,
    address: String,
    /// Says who speaks for a domain.
    _bind: Option<Bind>,
    /// Takes the only place there is.
    _guest: Option<Wire>,
    _dir: TempDir,
}

impl House {
    /// For an example; `tables` are further ones of the configuration.
    ///
    /// # Panics
    /// When a mark is unknown.
    #[must_use]
    pub fn of(example: &Example, tables: &str, own: &[&str]) -> Self {
        let known = |mark: &str| {
            USERS.contains(&mark)
                || OTHERS.contains(&mark)
                || own.contains(&mark)
                || CONFIGURED.iter().any(|(one, ..)| *one == mark)
                || DONE.iter().any(|(one, _)| *one == mark)
        };
        for mark in &example.marks {
            assert!(known(mark), "{}: nobody knows the mark {mark:?}", example.place);
        }
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = example.is("elsewhere").then(own_address).flatten();
        let name = elsewhere.as_deref().unwrap_or("127.0.0.1");
        let domain = example.is("domain").then(|| Domain::of(dir.path()));
        let tables = domain.as_ref().map_or_else(|| tables.to_owned(), |one| one.names(tables));
        let trust = ["tls", "implicit", "certificate", "domain", "elsewhere"]
            .iter()
            .any(|mark| example.is(mark))
            .then(|| {
                let certificates = Certificates::make(dir.path(), &["--name", name]);
                let trust = certificates.trust();
                if let Some(domain) = &domain {
                    return (trust.showing(&domain.agents, "domain-emiliano.ar"), true);
                }
                if !example.is("certificate") {
                    return (trust, example.is("implicit"));
                }
                certificates.more(&["--client", "user:ana"]);
                (trust.showing(&certificates, "user-ana"), example.is("implicit"))
            });
        let path = dir.path().join("fnaad.toml");
        std::fs::write(&path, config(example, trust.is_some(), &tables)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut host = Fnaad::serve(dir.path(), &path);
        prepare(&host, example);
        if example.is("damaged") {
            host.kill();
            damage_events(&dir.path().join("data"));
            host = Fnaad::serve(dir.path(), &path);
        }
        let user = example.marks.iter().find(|mark| USERS.contains(&&***mark));
        let entrance = user.map_or(Entrance::Greeting, |user| Entrance::As(user.clone()));
        let address = match (&trust, elsewhere) {
            (Some((_, true)), _) => host.tls_address().to_owned(),
            (_, Some(own)) => format!("{own}:{}", host.address().rsplit_once(':').unwrap().1),
            _ => host.address().to_owned(),
        };
        let guest = example.is("full").then(|| host.connect());
        let bind = domain.map(|domain| domain.bind);
        Self { host, trust, entrance, address, _bind: bind, _guest: guest, _dir: dir }
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Fnaad {
        &self.host
    }

    /// Plays the example for which the house was made.
    pub fn play(&self, example: &Example) {
        let Self { host, trust, entrance, address, .. } = self;
        let (address, entrance) = (address.clone(), entrance.clone());
        example.play(&Stage { host, address, trust: trust.clone(), entrance });
    }
}

/// A domain, and its agent's certificate.
struct Domain {
    bind: Bind,
    agents: Certificates,
}

impl Domain {
    fn of(dir: &Path) -> Self {
        let agent = "_flow._tcp SRV 0 0 61000 fnaa\n";
        let bind = Bind::start(&[Zone::signed("emiliano.ar", agent)]);
        let names = ["--name", "fnaa.emiliano.ar", "--client", "domain:emiliano.ar"];
        Self { bind, agents: Certificates::make(&dir.join("agents"), &names) }
    }

    /// How the host knows of it, and further tables.
    fn names(&self, tables: &str) -> String {
        format!(
            "{tables}[names]\nservers = [\"{}\"]\ntrust_anchor_file = \"{}\"\nca_file = \"{}\"\ntimeout_seconds = 60\n",
            self.bind.address(),
            self.bind.trust_anchors().display(),
            self.agents.file("ca.pem").display()
        )
    }
}

fn prepare(host: &Fnaad, example: &Example) {
    let mut done = DONE.iter().filter(|(mark, _)| example.is(mark)).peekable();
    if done.peek().is_some() {
        let mut ana = host.login_as("ana", super::play::PASSWORD);
        done.for_each(|(_, act)| act(&mut ana));
        assert_eq!(ana.ask("QUIT"), ["220 Bye"]);
        assert!(ana.is_closed());
    }
}

fn config(example: &Example, tls: bool, more: &str) -> String {
    let marked = || CONFIGURED.iter().filter(|(mark, ..)| example.is(mark));
    let keys: String = marked().map(|(_, keys, _)| format!("{keys}\n")).collect();
    let tables: String = marked().map(|(.., tables)| format!("{tables}\n")).collect();
    let listen = if example.is("elsewhere") { "0.0.0.0:0" } else { "127.0.0.1:0" };
    let (listen_tls, files) = match tls {
        false => ("", ""),
        true => (
            "listen_tls = [\"127.0.0.1:0\"]\n",
            "[tls]\ncertificate_file = \"tls/server.pem\"\nkey_file = \"tls/server.key\"\nclient_ca_file = \"tls/ca.pem\"\n",
        ),
    };
    let user = |name: &str| {
        format!("[[users]]\nname = \"{name}\"\nverifier = \"{VERIFIER}\"\nscram = \"{SCRAM}\"\n")
    };
    let users: String = USERS.into_iter().map(user).collect();
    format!(
        "hostname = \"fnaa.example.org\"\nlisten = [\"{listen}\"]\n{listen_tls}data_dir = \"data\"\n\
         administrators = [\"user:ana\"]\n{keys}{files}{tables}{more}\
         [[namespaces]]\nname = \"flows.example.org\"\n{users}"
    )
}

/// The address from which this machine would speak to others; nothing is sent there.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    own.ok().map(|own| own.ip()).filter(|own| !own.is_loopback()).map(|own| own.to_string())
}

/// Whether this machine has an address that is not loopback, as the mark `elsewhere` needs.
#[must_use]
pub fn has_elsewhere() -> bool {
    own_address().is_some()
}
