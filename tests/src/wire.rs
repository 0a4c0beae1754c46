//! A raw FNAP connection: what telnet would see.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use base64::Engine;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::PATIENCE;
use crate::tls::{ServerName, Transport, Trust};

/// A connection, line by line.
pub struct Wire {
    stream: TcpStream,
    lines: BufReader<Transport>,
    /// What the host greeted with.
    pub greeting: String,
}

impl Wire {
    /// Connects and takes the greeting.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        Self::greeted(stream_to(address), Transport::Clear)
    }

    /// The same from an address of one's own, such as any in 127/8.
    #[must_use]
    pub fn connect_from(own: &str, address: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let own: SocketAddr = format!("{own}:0").parse().unwrap();
        socket.bind(&own.into()).unwrap();
        socket.connect(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::greeted(stream, Transport::Clear)
    }

    /// Connects under TLS and takes the greeting; an error where the handshake fails.
    ///
    /// # Errors
    /// What the client's TLS says.
    pub fn connect_tls(address: &str, trust: &Trust) -> std::io::Result<Self> {
        let mut tls = trust.wrap(stream_to(address), ServerName::of(address));
        tls.handshake()?;
        Ok(Self::greeted(tls.socket(), |_| tls))
    }

    /// STARTTLS, and the handshake behind it.
    ///
    /// # Errors
    /// What the client's TLS says.
    pub fn start_tls(&mut self, trust: &Trust) -> std::io::Result<()> {
        self.ok("STARTTLS");
        self.shake_hands(trust)
    }

    /// The handshake, where the host waits for one.
    ///
    /// # Errors
    /// What the client's TLS says.
    pub fn shake_hands(&mut self, trust: &Trust) -> std::io::Result<()> {
        assert!(self.lines.buffer().is_empty(), "said behind 220 OK");
        let stream = self.stream.try_clone()?;
        let name = ServerName::of(&self.stream.peer_addr()?.to_string());
        let mut tls = trust.wrap(stream, name);
        tls.handshake()?;
        self.lines = BufReader::new(tls);
        Ok(())
    }

    /// The certificate that the host showed, as DER; none in clear text.
    #[must_use]
    pub fn shown(&self) -> Option<Vec<u8>> {
        self.lines.get_ref().shown()
    }

    fn greeted(stream: TcpStream, through: impl FnOnce(TcpStream) -> Transport) -> Self {
        let lines = BufReader::new(through(stream.try_clone().unwrap()));
        let mut wire = Self { stream, lines, greeting: String::new() };
        wire.greeting = wire.line();
        wire
    }

    /// Connects and authenticates, with a host that may end meanwhile; `None` where there is none.
    #[must_use]
    pub fn try_login(address: &str, user: &str, password: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        let lines = BufReader::new(Transport::Clear(stream.try_clone().ok()?));
        let mut wire = Self { stream, lines, greeting: String::new() };
        wire.greeting = wire.try_line()?;
        let token = base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let answer = wire.try_ask::<&str>(&format!("AUTHENTICATE PLAIN {token}"), &[])?;
        answer[0].starts_with("220 ").then_some(wire)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.lines.get_mut().write_all(bytes).unwrap();
    }

    /// What octets go through, for who speaks no lines any more.
    pub(crate) fn octets(&mut self) -> &mut BufReader<Transport> {
        &mut self.lines
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line of the host");
        assert!(line.is_empty() || line.ends_with("\r\n"), "no CRLF after {line:?}");
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Sends a command and gives its whole answer, line by line.
    pub fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(format!("{command}\r\n").as_bytes());
        self.answer()
    }

    /// Sends a command to a host that may end meanwhile; `None` where it did before its whole answer.
    /// A WRITE is followed by its events.
    pub fn try_ask<S: AsRef<str>>(&mut self, command: &str, events: &[S]) -> Option<Vec<String>> {
        self.lines.get_mut().write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut lines = vec![self.try_line()?];
        if lines[0].starts_with("330 ") {
            let events = events.iter().flat_map(|line| [line.as_ref(), "\r\n"]);
            let text = format!("{}.\r\n", events.collect::<String>());
            self.lines.get_mut().write_all(text.as_bytes()).ok()?;
            lines[0] = self.try_line()?;
        }
        while lines[0] == "220 DATA" && (lines.len() == 1 || !is_end(lines.last()?)) {
            lines.push(self.try_line()?);
        }
        Some(lines)
    }

    fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    }

    /// The next answer, line by line.
    pub fn answer(&mut self) -> Vec<String> {
        let mut lines = vec![self.line()];
        if lines[0] == "220 DATA" {
            loop {
                let line = self.line();
                assert!(!line.is_empty(), "the host closed within {lines:?}");
                let end = is_end(&line);
                lines.push(line);
                if end {
                    break;
                }
            }
        }
        lines
    }

    /// Asks for something that has to go well; gives what stands behind `220 OK`.
    pub fn ok(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        let [line] = answer.as_slice() else { panic!("{command}: {answer:?}") };
        let rest = line.strip_prefix("220 OK");
        rest.unwrap_or_else(|| panic!("{command}: {line}")).trim_start().to_owned()
    }

    /// Asks for something that is refused; gives the whole line.
    pub fn refused(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        let [line] = answer.as_slice() else { panic!("{command}: {answer:?}") };
        assert!(!line.starts_with("220") && !line.is_empty(), "{command}: {line:?}");
        line.clone()
    }

    /// Asks for data; gives its lines.
    pub fn data(&mut self, command: &str) -> Vec<String> {
        let mut answer = self.ask(command);
        assert_eq!(answer.first().map(String::as_str), Some("220 DATA"), "{command}: {answer:?}");
        assert_eq!(answer.pop().as_deref(), Some("220 OK"), "{command}");
        answer.remove(0);
        answer
    }

    /// Asks for one JSON object, or one a line.
    pub fn json(&mut self, command: &str) -> Vec<Value> {
        let lines = self.data(&format!("{command} FORMAT json"));
        let object = |line: &String| serde_json::from_str(line).expect("a JSON object");
        lines.iter().map(object).collect()
    }

    /// DESCRIBE of a flow or processor, as an object.
    pub fn describe(&mut self, what: &str) -> Value {
        self.json(&format!("DESCRIBE {what}")).swap_remove(0)
    }

    /// WRITE of some lines; gives the last reply. `command` is the flow, or the flow and `ID token`.
    pub fn write<S: AsRef<str>>(&mut self, command: &str, lines: &[S]) -> String {
        let asked = self.ask(&format!("WRITE {command}"));
        assert_eq!(asked, ["330 Send events, end with a line of one dot"], "WRITE {command}");
        let lines = lines.iter().flat_map(|line| [line.as_ref(), "\r\n"]);
        self.send(format!("{}.\r\n", lines.collect::<String>()).as_bytes());
        self.line()
    }

    /// Everything that is in a flow now.
    pub fn read(&mut self, flow: &str) -> Vec<Value> {
        let lines = self.data(&format!("READ {flow} FROM earliest"));
        lines.iter().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    /// The flows that one sees, but for what the host tells in reports.
    pub fn flows(&mut self) -> Vec<String> {
        let mut flows = self.data("GET FLOWS");
        flows.retain(|flow| !flow.starts_with("reports."));
        flows
    }

    /// AUTHENTICATE PLAIN as the draft shows it.
    pub fn authenticate(&mut self, user: &str, password: &str) {
        assert_eq!(self.ask("AUTHENTICATE PLAIN"), ["220 OK"]);
        let token = base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        assert_eq!(self.ask(&token), ["220 Authenticated"]);
    }

    /// What is said until the host ends the connection.
    pub fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => return lines,
                line => lines.push(line),
            }
        }
    }

    /// The socket again, for who speaks while another listens; below TLS, if there is any.
    #[must_use]
    pub fn speaker(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// What else is said within a moment: for the words of a test that fails.
    pub(crate) fn overheard(&mut self) -> String {
        let moment = Some(std::time::Duration::from_millis(500));
        drop(self.stream.set_read_timeout(moment));
        std::iter::from_fn(|| self.try_line()).map(|line| format!("\n         S: {line}")).collect()
    }

    /// Waits for the end of the connection; whether nothing more was said before it.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).is_ok_and(|_| rest.is_empty())
    }
}

fn stream_to(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Whether a line of data ends it: a code and a space.
fn is_end(line: &str) -> bool {
    let digits = line.bytes().take(3).filter(u8::is_ascii_digit).count() == 3;
    digits && line.as_bytes().get(3) == Some(&b' ')
}
