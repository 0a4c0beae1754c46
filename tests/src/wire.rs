//! A raw FNAP connection: what telnet would see.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use base64::Engine;

use crate::PATIENCE;

/// A connection, line by line.
pub struct Wire {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    /// What the host greeted with.
    pub greeting: String,
}

impl Wire {
    /// Connects and takes the greeting.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut wire = Self { stream, lines, greeting: String::new() };
        wire.greeting = wire.line();
        wire
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
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

    /// The next answer, line by line.
    pub fn answer(&mut self) -> Vec<String> {
        let mut lines = vec![self.line()];
        if lines[0] == "220 DATA" {
            loop {
                let line = self.line();
                let digits = line.bytes().take(3).filter(u8::is_ascii_digit).count() == 3;
                let end = digits && line.as_bytes().get(3) == Some(&b' ');
                lines.push(line);
                if end {
                    break;
                }
            }
        }
        lines
    }

    /// AUTHENTICATE PLAIN as the draft shows it.
    pub fn authenticate(&mut self, user: &str, password: &str) {
        assert_eq!(self.ask("AUTHENTICATE PLAIN"), ["220 OK"]);
        let token = base64::prelude::BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        assert_eq!(self.ask(&token), ["220 Authenticated"]);
    }

    /// Whether the host closed the connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).is_ok_and(|_| rest.is_empty())
    }
}
