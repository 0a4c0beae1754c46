//! Hostile peers, all at once: each does one kind of harm, as hard as it can, until they are called off.
//!
//! Their threads have the lowest priority: they stand for other machines, and what they take of this one
//! is not what the host lets them take.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use stories::{Fnaad, Wire};

use super::{A, greeted, login};

/// What one peer does again and again; false when it cannot any more.
pub type Harm = Box<dyn FnMut() -> bool + Send>;

/// Where a peer has to wait, so long.
const PAUSE: Duration = Duration::from_millis(1);

/// Peers of each kind; of those that say nothing, so many times more.
const EACH: usize = 3;
const SILENT: usize = 30;

/// One hostile peer.
pub enum Member {
    /// Does harm as long as it can.
    Does(Harm),
    /// Is there, and takes nothing.
    Is(Box<dyn Send>),
}

/// How one kind comes.
pub type Joins = fn(&Fnaad) -> Member;

/// Every kind.
pub const KINDS: &[(&str, Joins)] = &[
    ("who ask and ask", |host| flood(login(host), b"NOOP\r\n".repeat(100_000), true)),
    ("who ask and take no answer", |host| flood(login(host), b"HELP\r\n".repeat(10_000), false)),
    ("who write without end", |host| flood(login(host), endless_write(), true)),
    ("with a line without end", |host| flood(login(host), vec![b'x'; 1 << 20], true)),
    ("who speak no text", |host| flood(login(host), b"\xff\r\na\0b\r\n".repeat(10_000), true)),
    ("who speak byte by byte", |host| byte_by_byte(login(host))),
    ("who come and go", |host| come_and_go(host.address().to_owned())),
    ("who follow and take nothing", deaf),
    ("who say nothing", |host| {
        let silent: Vec<TcpStream> = (0..SILENT).map(|_| greeted(host.address())).collect();
        Member::Is(Box::new(silent))
    }),
];

/// The peers. They leave when it is dropped.
pub struct Crowd {
    on: Arc<AtomicBool>,
    peers: Vec<JoinHandle<()>>,
    _silent: Vec<Box<dyn Send>>,
}

impl Crowd {
    /// Some of each of these kinds around a host.
    pub fn around(host: &Fnaad, kinds: &[(&str, Joins)]) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let (mut peers, mut silent) = (Vec::new(), Vec::new());
        for (_, joins) in kinds.iter().flat_map(|kind| [kind; EACH]) {
            match joins(host) {
                Member::Is(one) => silent.push(one),
                Member::Does(mut harm) => {
                    let on = Arc::clone(&on);
                    peers.push(std::thread::spawn(move || {
                        rustix::process::setpriority_process(None, 19).unwrap();
                        while on.load(Ordering::Relaxed) && harm() {}
                    }));
                }
            }
        }
        Self { on, peers, _silent: silent }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
        for peer in self.peers.drain(..) {
            peer.join().unwrap();
        }
    }
}

/// A WRITE with lines for ever.
fn endless_write() -> Vec<u8> {
    let lines = format!("{}\r\n", "x".repeat(1000)).repeat(1000);
    format!("WRITE {A}\r\n{lines}").into_bytes()
}

/// Says the same for ever, and listens or does not.
fn flood(wire: Wire, said: Vec<u8>, listens: bool) -> Member {
    let mut stream = wire.speaker();
    stream.set_nonblocking(true).unwrap();
    let (mut at, mut heard) = (0, vec![0; 1 << 20]);
    Member::Does(Box::new(move || {
        let Some(wrote) = moved(stream.write(&said[at..])) else { return false };
        at = (at + wrote) % said.len();
        let read = if listens { moved(stream.read(&mut heard)) } else { Some(0) };
        if wrote == 0 && read == Some(0) {
            std::thread::sleep(PAUSE);
        }
        read.is_some()
    }))
}

/// How much went through a socket; none where its other end is gone.
fn moved(result: std::io::Result<usize>) -> Option<usize> {
    match result {
        Ok(count) => Some(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

/// A line that never ends, a byte at a time.
fn byte_by_byte(mut wire: Wire) -> Member {
    Member::Does(Box::new(move || {
        wire.send(b"x");
        std::thread::sleep(PAUSE);
        true
    }))
}

/// Connects, speaks nonsense and hangs up, again and again.
fn come_and_go(address: String) -> Member {
    Member::Does(Box::new(move || {
        if let Ok(mut stream) = TcpStream::connect(&address) {
            drop(stream.write_all(b"GET / HTTP/1.1\r\n\r\n"));
        }
        std::thread::sleep(PAUSE);
        true
    }))
}

/// Follows from the beginning, and takes nothing.
fn deaf(host: &Fnaad) -> Member {
    let mut deaf = login(host);
    deaf.send(format!("READ {A} FROM earliest FOLLOW\r\n").as_bytes());
    Member::Is(Box::new(deaf))
}
