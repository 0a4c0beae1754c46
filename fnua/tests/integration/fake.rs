//! A host that says what a test tells it to say, and the program that talks to it.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

/// One connection of the host.
pub(crate) struct Talk {
    // None only while a handshake takes it over.
    pipe: Option<BufReader<Pipe>>,
}

/// What the connection's bytes go through.
enum Pipe {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Pipe {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

pub(crate) type Script = Box<dyn FnOnce(&mut Talk) + Send>;

/// A host: each connection gets the next script. The host fails the test when a script does.
pub(crate) struct Fake {
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            for script in VecDeque::from(scripts) {
                let (stream, _) = listener.accept().unwrap();
                // A test that goes wrong must end.
                stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                script(&mut Talk { pipe: Some(BufReader::new(Pipe::Clear(stream))) });
            }
        });
        Self { port, thread: Some(thread) }
    }

    /// A host of one connection.
    pub(crate) fn once(script: impl FnOnce(&mut Talk) + Send + 'static) -> Self {
        Self::start(vec![Box::new(script)])
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Every script has run to its end.
    pub(crate) fn finish(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Talk {
    pub(crate) fn say(&mut self, lines: &str) {
        for line in lines.lines() {
            self.say_bytes(&format!("{line}\r\n"));
        }
    }

    /// Says bytes as they are.
    pub(crate) fn say_bytes(&mut self, bytes: &str) {
        let pipe = self.pipe().get_mut();
        pipe.write_all(bytes.as_bytes()).unwrap();
        pipe.flush().unwrap();
    }

    /// The same to a client that may have closed: whether it went out.
    pub(crate) fn try_say(&mut self, bytes: &str) -> bool {
        let pipe = self.pipe().get_mut();
        pipe.write_all(bytes.as_bytes()).and_then(|()| pipe.flush()).is_ok()
    }

    fn pipe(&mut self) -> &mut BufReader<Pipe> {
        self.pipe.as_mut().unwrap()
    }

    /// Speaks TLS from here on, and lets the client make the handshake.
    pub(crate) fn tls(&mut self, config: &Arc<ServerConfig>) {
        let reader = self.pipe.take().unwrap();
        assert!(reader.buffer().is_empty(), "the client talks before the handshake");
        let Pipe::Clear(stream) = reader.into_inner() else { panic!("tls twice") };
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        // A client that refuses is what the test looks at.
        drop(stream.conn.complete_io(&mut stream.sock));
        self.pipe = Some(BufReader::new(Pipe::Tls(Box::new(stream))));
    }

    /// What the client's certificate is, in DER; none without one.
    pub(crate) fn client_certificate(&mut self) -> Option<Vec<u8>> {
        match self.pipe().get_ref() {
            Pipe::Tls(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
            Pipe::Clear(_) => None,
        }
    }

    /// Offers STARTTLS beside these, and does what it says.
    pub(crate) fn greet_with_tls(&mut self, before: &str, config: &Arc<ServerConfig>, after: &str) {
        self.say("220 fnaa.unix.ar FNAA");
        self.offer(&format!("STARTTLS\n{before}"));
        self.expect("STARTTLS");
        self.say("220 OK");
        self.tls(config);
        self.offer(after);
    }

    /// Answers what it can do.
    pub(crate) fn offer(&mut self, words: &str) {
        self.expect("CAPABILITIES");
        let end = if words.is_empty() || words.ends_with('\n') { "" } else { "\n" };
        self.say(&format!("220 DATA\n{words}{end}220 OK"));
    }

    /// Greets, and says that it can do this.
    pub(crate) fn greet(&mut self, words: &str) {
        self.say("220 fnaa.unix.ar FNAA");
        self.offer(words);
    }

    /// The next line without its end; empty when the client has closed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        // A client that does not like what it sees may reset the connection.
        drop(self.pipe().read_line(&mut line));
        assert!(line.is_empty() || line.ends_with("\r\n"), "{line:?}");
        line.trim_end_matches("\r\n").to_owned()
    }

    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// The draft's first lines.
    pub(crate) fn login(&mut self) {
        self.greet("AUTH=PLAIN");
        self.plain();
    }

    /// The draft's authentication.
    pub(crate) fn plain(&mut self) {
        self.expect("AUTHENTICATE PLAIN");
        self.say("220 OK");
        self.expect("AHRlc3QAdGVzdA==");
        self.say("220 Authenticated");
    }

    /// Does not take the password.
    pub(crate) fn refuse_login(&mut self) {
        self.greet("AUTH=PLAIN");
        self.expect("AUTHENTICATE PLAIN");
        self.say("220 OK");
        self.line();
        self.say("401 AUTH_REQUIRED authentication failed");
        self.closed();
    }

    /// The same of a host that takes WRITEs ahead of their answers.
    pub(crate) fn login_to_write(&mut self) {
        self.greet("AUTH=PLAIN\nPIPELINING");
        self.plain();
    }

    pub(crate) fn quit(&mut self) {
        self.expect("QUIT");
        self.say("220 Bye");
    }

    /// A WRITE: its token and its events.
    pub(crate) fn take_write(&mut self, flow: &str) -> (String, Vec<String>) {
        let line = self.line();
        let token = line
            .strip_prefix(&format!("WRITE {flow} ID "))
            .unwrap_or_else(|| panic!("{line:?}"))
            .to_owned();
        self.say("330 Send events, end with a line of one dot");
        let mut events = Vec::new();
        loop {
            let line = self.line();
            if line == "." {
                return (token, events);
            }
            assert!(line.starts_with('{'), "{line:?}");
            events.push(line);
        }
    }

    /// Takes a WRITE and says that it is written.
    pub(crate) fn write_ok(&mut self, flow: &str) -> (String, Vec<String>) {
        let (token, events) = self.take_write(flow);
        self.say(&format!("220 OK {} events", events.len()));
        (token, events)
    }

    /// Waits until the client closes.
    pub(crate) fn closed(&mut self) {
        let mut rest = Vec::new();
        // A connection that the client resets is closed as well.
        drop(self.pipe().read_to_end(&mut rest));
    }
}

/// The program, with a configuration for one host.
pub(crate) struct Fnua {
    pub(crate) home: TempDir,
}

impl Fnua {
    pub(crate) fn with(fake: &Fake) -> Self {
        Self::with_agents(&[("unix", &fake.address(), "flows.unix.ar")])
    }

    pub(crate) fn with_agents(agents: &[(&str, &str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let agent = |(name, address, namespace): &(&str, &str, &str)| {
            format!(
                "[[agents]]\nname = \"{name}\"\naddress = \"{address}\"\nusername = \"test\"\npassword = \"test\"\nnamespaces = [\"{namespace}\"]\n"
            )
        };
        let fnua = Self { home };
        fnua.configure(&agents.iter().map(agent).collect::<String>());
        fnua
    }

    pub(crate) fn configure(&self, text: &str) {
        let path = self.path("fnua.toml");
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub(crate) fn file_with_mode(&self, name: &str, text: &str, mode: u32) {
        set_mode(&self.file(name, text), mode);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fnua"));
        command.args(words).current_dir(self.home.path()).env_clear().env("HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.command(words).output().unwrap().into()
    }

    pub(crate) fn run_with(&self, words: &[&str], stdin: &str) -> Said {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        ended(child)
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

/// Ctrl-C.
pub(crate) fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

pub(crate) fn ended(child: Child) -> Said {
    child.wait_with_output().unwrap().into()
}

/// What the program said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// Ended well; what it said on stdout.
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Ended with this code, and said this on stderr.
    pub(crate) fn badly(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(words), "{:?} not in {:?}", words, self.err);
    }
}
