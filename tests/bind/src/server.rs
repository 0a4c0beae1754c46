//! One name server: started, stopped, started again.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::guard::Guard;
use crate::port::Port;
use crate::zone::{Signing, Zone};
use crate::{ready, sign};

/// A real BIND 9 with a port and a folder of its own; ends when dropped.
#[derive(Debug)]
pub struct Bind {
    port: Port,
    dir: PathBuf,
    anchors: PathBuf,
    named: Option<Child>,
    guard: Guard,
}

impl Bind {
    /// A name server for these zones and the root above them, ready to answer.
    pub fn start(zones: &[Zone]) -> Self {
        Self::start_with("", zones)
    }

    /// The same with further statements in its configuration, such as keys.
    pub fn start_with(statements: &str, zones: &[Zone]) -> Self {
        let port = Port::claim();
        let dir = TempDir::with_prefix("bind-node-").unwrap().keep();
        let guard = Guard::over(&dir);
        let anchors = sign::write_all(&dir, zones);
        let bind = Self { port, dir, anchors, named: None, guard };
        fs::write(bind.dir.join("named.conf"), bind.configuration(statements, zones)).unwrap();
        bind.running()
    }

    /// Where it answers, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number))
    }

    /// File of the DNSKEY records of its root: what a resolver has to believe.
    pub fn trust_anchors(&self) -> &Path {
        &self.anchors
    }

    /// Its folder: named.conf, named.log, the zones and their keys.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends it at once (SIGKILL); port and zones stay.
    pub fn kill(&mut self) {
        let Some(mut named) = self.named.take() else { return };
        named.kill().unwrap();
        named.wait().unwrap();
        self.guard.tell(0);
    }

    /// Starts it again with what lies in its folder.
    pub fn start_again(&mut self) {
        self.kill();
        self.spawn();
        self.wait_ready();
    }

    fn running(mut self) -> Self {
        self.start_again();
        self
    }

    fn spawn(&mut self) {
        let log = File::create(self.dir.join("named.log")).unwrap();
        let mut command = sign::tool("named", &self.dir);
        command.args(["-g", "-4", "-n", "1", "-c", "named.conf"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let named = command.spawn().expect("named runs");
        self.guard.tell(named.id());
        self.named = Some(named);
    }

    fn wait_ready(&mut self) {
        let end = Instant::now() + START;
        while !ready::answers(self.address()) {
            let named = self.named.as_mut().expect("it was started");
            if named.try_wait().unwrap().is_some() || Instant::now() > end {
                let log = fs::read_to_string(self.dir.join("named.log")).unwrap_or_default();
                panic!("BIND did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn configuration(&self, statements: &str, zones: &[Zone]) -> String {
        let (dir, port) = (self.dir.display(), self.port.number);
        let mut text = format!(
            "options {{ directory \"{dir}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
              pid-file none; session-keyfile none; recursion no;
              dnssec-validation no; empty-zones-enable no; notify no; minimal-responses no; }};
            controls {{ }};\n{statements}\n"
        );
        let root = Zone::signed("", "");
        for zone in zones.iter().filter(|zone| zone.signing != Signing::Lame).chain([&root]) {
            let (name, options) = (&zone.name, &zone.options);
            let file = sign::file(&self.dir, name);
            let file = file.display();
            writeln!(text, "zone \"{name}.\" {{ type primary; file \"{file}\"; {options} }};")
                .unwrap();
        }
        text
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How long a start may take on a machine that does much else.
const START: Duration = Duration::from_secs(120);
