//! `fnaad` as a process.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use crate::{Fnua, PATIENCE, Wire, eventually, program};

/// A start that did not come to `ready`.
#[derive(Debug)]
pub struct Refused {
    /// Exit code.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Words.
    pub stderr: String,
}

/// A running participant. Killed when dropped.
pub struct Fnaad {
    dir: PathBuf,
    child: Child,
    address: String,
    tls_address: Option<String>,
    observe: Option<String>,
    dns: Option<String>,
}

impl Fnaad {
    /// `fnaad dev DIR` with the namespace of the draft.
    #[must_use]
    pub fn dev(dir: &Path) -> Self {
        Self::dev_with(dir, &["--namespace", "flows.unix.ar"])
    }

    /// `fnaad dev DIR` with arguments.
    #[must_use]
    pub fn dev_with(dir: &Path, args: &[&str]) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new(program("fnaad"));
        command.arg("dev").arg(dir).args(args).args(own_address(dir, args));
        Self::start(dir, command)
    }

    /// `fnaad dev DIR` by somebody who may have so few files open until he asks for more.
    #[must_use]
    pub fn dev_with_files(dir: &Path, files: u32) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -S -n {files} && exec \"$0\" \"$@\""));
        command.arg(program("fnaad")).arg("dev").arg(dir).args(own_address(dir, &[]));
        Self::start(dir, command)
    }

    /// A start that has to fail: `fnaad` with arguments, until its end.
    #[must_use]
    pub fn refused(args: &[&OsStr]) -> Refused {
        let mut command = Command::new(program("fnaad"));
        let output = command.args(args).stdin(Stdio::null()).output().expect("fnaad starts");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Refused { code: output.status.code(), stdout, stderr }
    }

    /// `fnaad serve --config FILE`.
    #[must_use]
    pub fn serve(dir: &Path, config: &Path) -> Self {
        Self::serve_with(dir, config, &[])
    }

    /// The same by another program than the one that is built here.
    #[must_use]
    pub fn serve_by(program: &Path, dir: &Path, config: &Path) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(config);
        Self::start(dir, command)
    }

    /// The same with name servers of zones, `ZONE=IP:PORT`.
    #[must_use]
    pub fn serve_resolving(dir: &Path, config: &Path, zones: &[&str]) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new(program("fnaad"));
        command.arg("serve").arg("--config").arg(config);
        command.args(zones.iter().flat_map(|zone| ["--resolve", zone]));
        Self::start(dir, command)
    }

    /// The same in the network of another process, for which it takes root.
    #[must_use]
    pub fn serve_within(dir: &Path, config: &Path, process: u32) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg(program("fnaad"));
        command.arg("serve").arg("--config").arg(config);
        Self::start(dir, command)
    }

    /// The same in another environment.
    #[must_use]
    pub fn serve_with(dir: &Path, config: &Path, environment: &[(&str, &Path)]) -> Self {
        crate::compiled::lend(dir);
        let mut command = Command::new(program("fnaad"));
        command.arg("serve").arg("--config").arg(config).envs(environment.iter().copied());
        Self::start(dir, command)
    }

    /// `fnaad dev DIR` that ends itself at the place that [`arm`](Self::arm) names; `None` where it did
    /// so before it was ready.
    #[must_use]
    pub fn mortal(dir: &Path) -> Option<Self> {
        crate::compiled::lend(dir);
        let mut command = Command::new(program("fnaad"));
        command
            .arg("dev")
            .arg(dir)
            .args(["--namespace", "flows.unix.ar"])
            .args(own_address(dir, &[]));
        command.env("FNAAD_FAILPOINTS", dir.join("failpoints"));
        match Self::try_start(dir, command) {
            Ok(host) => Some(host),
            Err(status) if status.and_then(|status| status.signal()) == Some(ABORTED) => None,
            Err(status) => panic!("ended with {status:?}; log:\n{}", log_of(dir)),
        }
    }

    /// Says where a [`mortal`](Self::mortal) host of a directory ends itself from now on: `NAME:COUNT`,
    /// or nowhere.
    pub fn arm(dir: &Path, place: &str) {
        crate::drop_in(dir, "failpoints", place.as_bytes());
    }

    /// The places that a [`mortal`](Self::mortal) host passed, in order, those of its ancestors too.
    #[must_use]
    pub fn passed(&self) -> Vec<String> {
        let log = self.log();
        let names = log.lines().filter_map(|line| line.strip_prefix("failpoint "));
        names.map(str::to_owned).collect()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself, at `place`.
    pub fn until_ended(&mut self, place: &str) {
        eventually("the end of the host", || {
            if self.has_ended() { Ok(()) } else { Err(format!("it lives, at {place}")) }
        });
    }

    fn start(dir: &Path, command: Command) -> Self {
        Self::try_start(dir, command)
            .unwrap_or_else(|_| panic!("no ready line; log:\n{}", log_of(dir)))
    }

    /// Gives the status where it ended before it was ready, if it ended at all.
    fn try_start(dir: &Path, mut command: Command) -> Result<Self, Option<ExitStatus>> {
        std::fs::create_dir_all(dir).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(dir.join("fnaad.log"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.unwrap());
        // Hosts of one test are strangers to those of another.
        command.env("XDG_STATE_HOME", dir.join("state"));
        let mut child = command.spawn().expect("fnaad starts");
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let line = lines.recv_timeout(PATIENCE);
        let word = |key: &str| {
            let mut words = line.as_ref().ok()?.strip_prefix("ready ")?.split(' ');
            words.find_map(|word| word.strip_prefix(key)).map(str::to_owned)
        };
        let Some(address) = word("fnap=") else {
            let ended = child.try_wait().unwrap();
            drop(child.kill());
            return Err(ended.or(child.wait().ok()));
        };
        let (tls_address, observe, dns) = (word("fnaps="), word("observe="), word("dns="));
        Ok(Self { dir: dir.to_owned(), address, tls_address, observe, dns, child })
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `127.0.0.1:PORT` where TLS is spoken from the first octet on.
    #[must_use]
    pub fn tls_address(&self) -> &str {
        self.tls_address.as_deref().expect("an address for tls")
    }

    /// `127.0.0.1:PORT` of metrics and probes.
    #[must_use]
    pub fn observe(&self) -> &str {
        self.observe.as_deref().expect("an observe address")
    }

    /// `127.0.0.1:PORT` of the embedded name server.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.dns.as_deref().expect("an embedded name server").parse().unwrap()
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        log_of(&self.dir)
    }

    /// The user agent with the configuration that `fnaad dev` wrote.
    #[must_use]
    pub fn fnua(&self) -> Fnua {
        Fnua::new(self.dir.join("fnua.toml"))
    }

    /// A raw connection, greeted.
    #[must_use]
    pub fn connect(&self) -> Wire {
        Wire::connect(&self.address)
    }

    /// A raw connection, authenticated with the generated password.
    #[must_use]
    pub fn login(&self) -> Wire {
        let mut wire = self.connect();
        let (user, password) = self.fnua().credentials();
        wire.authenticate(&user, &password);
        wire
    }

    /// A raw connection, authenticated.
    #[must_use]
    pub fn login_as(&self, user: &str, password: &str) -> Wire {
        let mut wire = self.connect();
        wire.authenticate(user, password);
        wire
    }

    /// SIGKILL, at once.
    pub fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.dir.clone()
    }

    /// SIGKILL, at once, and a host on the same directory instead.
    pub fn kill_in_place(&mut self, dir: &Path) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        *self = Self::dev(dir);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn end(mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "did not end after SIGTERM; log:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Fnaad {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.dir.display(), self.log());
        }
    }
}

/// The signal by which a process ends itself.
const ABORTED: i32 = 6;

/// A loopback address of the directory's own, for its first start. A port kept over a restart would
/// otherwise be anybody's meanwhile: another participant's, or an outgoing connection's.
fn own_address(dir: &Path, args: &[&str]) -> Vec<String> {
    if args.contains(&"--listen") || dir.join("listen").exists() {
        return Vec::new();
    }
    let mut hasher = DefaultHasher::new();
    (std::process::id(), dir).hash(&mut hasher);
    let [a, b, c, ..] = hasher.finish().to_le_bytes();
    vec!["--listen".to_owned(), format!("127.{}.{b}.{}:0", a | 1, c.clamp(1, 254))]
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("fnaad.log")).unwrap_or_default()
}
