//! One node: started, paused, killed, started again.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

use crate::address::Address;
use crate::certificates::Certificates;
use crate::guard::Guard;
use crate::home::{Home, log4j};
use crate::setup::{AGAIN, CLEAR, PROXIED, Place, SASL, SASL_TLS, Setup, TLS};
use crate::{Ran, ready, tools};

/// How long a start may take on a machine that does much else.
const START: Duration = Duration::from_secs(180);

/// A real Kafka node with a loopback address, a folder and a JVM of its own; ends when dropped.
#[derive(Debug)]
pub struct Node {
    address: Address,
    setup: Setup,
    certificates: Option<Certificates>,
    dir: PathBuf,
    /// How many brokers its cluster has.
    size: usize,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    jvm: Option<Child>,
    guard: Guard,
}

impl Node {
    /// The one that the tests of this program share: use topics of names of your own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Setup::default()))
    }

    /// A node of the test's own, ready to be used.
    pub fn start(setup: Setup) -> Self {
        if !setup.rehearsal {
            Home::get().prepare();
        }
        let address = Address::claim();
        let voters = [address.ip];
        let node = Self::prepare(setup, address, 1, &voters, &random_id());
        node.spawn();
        node.wait_ready();
        node
    }

    /// A formatted folder with its properties; nothing runs yet.
    pub(crate) fn prepare(
        setup: Setup,
        address: Address,
        id: u32,
        voters: &[Ipv4Addr],
        cluster: &str,
    ) -> Self {
        let under = setup.under.clone().unwrap_or_else(std::env::temp_dir);
        let dir = TempDir::with_prefix_in("kafka-node-", under).unwrap().keep();
        let guard = Guard::over(&dir);
        let certificates = setup.tls.then(|| Certificates::make(&dir, address.ip.into()));
        let place =
            Place { id, ip: address.ip, dir: &dir, voters, certificates: certificates.as_ref() };
        fs::write(dir.join("server.properties"), setup.server_properties(&place)).unwrap();
        fs::write(dir.join("log4j2.properties"), log_properties(&dir)).unwrap();
        format(&dir.join("log"), id, cluster, &setup);
        let running = Mutex::new(Running { jvm: None, guard });
        Self { address, setup, certificates, dir, size: voters.len(), running }
    }

    /// `ip:port` for clients in clear text.
    pub fn servers(&self) -> String {
        self.at(CLEAR).to_string()
    }

    /// `ip:port` for clients by TLS.
    pub fn tls_servers(&self) -> String {
        assert!(self.setup.tls, "this node has no TLS");
        self.at(TLS).to_string()
    }

    /// `ip:port` for clients that sign in, in clear text.
    pub fn sasl_servers(&self) -> String {
        assert!(!self.setup.users.is_empty(), "this node has no users");
        self.at(SASL).to_string()
    }

    /// `ip:port` for clients that sign in by TLS.
    pub fn sasl_tls_servers(&self) -> String {
        assert!(self.setup.tls && !self.setup.users.is_empty(), "this node has no users or no TLS");
        self.at(SASL_TLS).to_string()
    }

    /// Where a proxy finds the listener that tells its clients to come to the proxy.
    pub fn proxied(&self) -> SocketAddr {
        self.at(PROXIED)
    }

    /// Authority and client's certificate of a node with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("this node has no TLS")
    }

    /// Its folder: server.properties, server.log, and the log folders below `log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process that runs it; none after [`Node::kill`] and [`Node::terminate`].
    pub fn pid(&self) -> Option<u32> {
        self.running().jvm.as_ref().map(Child::id)
    }

    /// Whether it has ended by itself, as a node does that can no longer write.
    pub fn has_ended(&self) -> bool {
        self.running().jvm.as_mut().is_some_and(|jvm| jvm.try_wait().unwrap().is_some())
    }

    /// Ends it at once (SIGKILL); address and data stay.
    pub fn kill(&self) {
        let mut running = self.running();
        let Some(mut jvm) = running.jvm.take() else { return };
        jvm.kill().unwrap();
        jvm.wait().unwrap();
        running.guard.tell(0);
    }

    /// Ends it in good order (SIGTERM) and waits for that.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
        let mut running = self.running();
        drop(running.jvm.take().map(|mut jvm| jvm.wait()));
        running.guard.tell(0);
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again, killed before if it runs, on the same address and data; ready on return.
    pub fn restart(&self) {
        self.kill();
        let properties = File::options().append(true).open(self.dir.join("server.properties"));
        properties.and_then(|mut file| file.write_all(AGAIN.as_bytes())).unwrap();
        self.spawn();
        self.wait_ready();
    }

    /// Runs a tool of Kafka's, e.g. `tool("TopicCommand", &["--list"])`, and gives its output;
    /// panics when it fails. `--bootstrap-server` is added.
    pub fn tool(&self, class: &str, args: &[&str]) -> String {
        let ran = self.try_tool(class, args, &[]);
        assert!(ran.ok, "{class} {args:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// The same with `input` as its standard input; how it ended is the caller's matter.
    pub fn try_tool(&self, class: &str, args: &[&str], input: &[u8]) -> Ran {
        let servers = self.servers();
        tools::tool_with(class, &[&["--bootstrap-server", &servers], args].concat(), input)
    }

    /// Compiles and runs the Java program of one file, with this node's servers as its first
    /// argument, and gives its output; panics when it fails.
    pub fn java(&self, source: impl AsRef<Path>, args: &[&str]) -> String {
        let ran = tools::java(&self.servers(), source.as_ref(), args);
        assert!(ran.ok, "{} {args:?}: {}{}", source.as_ref().display(), ran.out, ran.err);
        ran.out
    }

    /// The last of its log.
    pub fn log(&self) -> String {
        let read = |name| fs::read(self.dir.join(name)).unwrap_or_default();
        let text = [read("server.log"), read("out.log")].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Starts the JVM; [`Node::wait_ready`] waits until it answers.
    pub(crate) fn spawn(&self) {
        let mut command = Home::get().node(&self.setup);
        command.arg(log4j(&self.dir.join("log4j2.properties")));
        command.arg("kafka.Kafka").arg(self.dir.join("server.properties")).current_dir(&self.dir);
        let out = File::options().create(true).append(true).open(self.dir.join("out.log")).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let mut running = self.running();
        let jvm = command.spawn().expect("java runs");
        running.guard.tell(jvm.id());
        running.jvm = Some(jvm);
    }

    /// Waits until the node answers in Kafka's protocol and knows every broker of its cluster.
    pub(crate) fn wait_ready(&self) {
        self.wait_for(self.size);
    }

    /// Waits until the node answers and knows `brokers` of its cluster to be up.
    pub(crate) fn wait_for(&self, brokers: usize) {
        let deadline = Instant::now() + START;
        while ready::brokers(self.at(CLEAR)) != Some(u32::try_from(brokers).unwrap()) {
            let ended =
                self.running().jvm.as_mut().is_none_or(|jvm| jvm.try_wait().unwrap().is_some());
            assert!(!ended, "the node has ended:\n{}", self.log());
            assert!(Instant::now() < deadline, "the node is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn at(&self, port: u16) -> SocketAddr {
        (self.address.ip, port).into()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid().expect("the node runs");
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Kafka at {}\n{}", self.servers(), self.log());
        }
        self.kill();
    }
}

/// What `StorageTool format` leaves behind, with ids of its own.
fn format(log: &Path, id: u32, cluster: &str, setup: &Setup) {
    fs::create_dir(log).unwrap();
    let directory = random_id();
    let meta = format!("version=1\nnode.id={id}\ndirectory.id={directory}\ncluster.id={cluster}\n");
    fs::write(log.join("meta.properties"), meta).unwrap();
    fs::write(log.join("bootstrap.checkpoint"), Home::get().checkpoint(&setup.users)).unwrap();
}

/// An id as Kafka writes them: a UUID in base 64, which its tools want without a leading `-`.
pub(crate) fn random_id() -> String {
    loop {
        let id = URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

fn log_properties(dir: &Path) -> String {
    format!(
        "rootLogger.level=INFO\nrootLogger.appenderRef.f.ref=F\nappender.f.type=File\nappender.f.name=F\n\
         appender.f.fileName={}\nappender.f.layout.type=PatternLayout\n\
         appender.f.layout.pattern=%d{{HH:mm:ss.SSS}} %p %m (%c{{1}})%n\n",
        dir.join("server.log").display()
    )
}
