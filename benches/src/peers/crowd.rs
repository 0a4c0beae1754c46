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

use super::{FLOW, greeted, login};

/// What one peer does again and again; false when it cannot any more.
type Harm = Box<dyn FnMut() -> bool + Send>;

/// Where a peer has to wait, so long.
const PAUSE: Duration = Duration::from_millis(1);

/// Peers of each kind.
const EACH: usize = 3;

/// The peers. They leave when it is dropped.
pub struct Crowd {
    on: Arc<AtomicBool>,
    peers: Vec<JoinHandle<()>>,
    _silent: Vec<TcpStream>,
    _deaf: Vec<Wire>,
}

impl Crowd {
    /// Around a host.
    pub fn around(host: &Fnaad) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let mut peers = Vec::new();
        let mut join = |mut harm: Harm| {
            let on = Arc::clone(&on);
            peers.push(std::thread::spawn(move || {
                rustix::process::setpriority_process(None, 19).unwrap();
                while on.load(Ordering::Relaxed) && harm() {}
            }));
        };
        for _ in 0..EACH {
            join(flood(login(host), b"NOOP\r\n".repeat(100_000), true));
            join(flood(login(host), b"HELP\r\n".repeat(10_000), false));
            join(flood(login(host), endless_write(), true));
            join(flood(login(host), vec![b'x'; 1 << 20], true));
            join(flood(login(host), b"\xff\r\na\0b\r\n".repeat(10_000), true));
            join(byte_by_byte(login(host)));
            join(come_and_go(host.address().to_owned()));
        }
        let deaf = || {
            let mut deaf = login(host);
            deaf.send(format!("READ {FLOW} FROM earliest FOLLOW\r\n").as_bytes());
            deaf
        };
        let silent = (0..100).map(|_| greeted(host.address())).collect();
        Self { on, peers, _silent: silent, _deaf: (0..EACH).map(|_| deaf()).collect() }
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
    format!("WRITE {FLOW}\r\n{lines}").into_bytes()
}

/// Says the same for ever, and listens or does not.
fn flood(wire: Wire, said: Vec<u8>, listens: bool) -> Harm {
    let mut stream = wire.speaker();
    stream.set_nonblocking(true).unwrap();
    let (mut at, mut heard) = (0, vec![0; 1 << 20]);
    Box::new(move || {
        let Some(wrote) = moved(stream.write(&said[at..])) else { return false };
        at = (at + wrote) % said.len();
        let read = if listens { moved(stream.read(&mut heard)) } else { Some(0) };
        if wrote == 0 && read == Some(0) {
            std::thread::sleep(PAUSE);
        }
        read.is_some()
    })
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
fn byte_by_byte(mut wire: Wire) -> Harm {
    Box::new(move || {
        wire.send(b"x");
        std::thread::sleep(PAUSE);
        true
    })
}

/// Connects, speaks nonsense and hangs up, again and again.
fn come_and_go(address: String) -> Harm {
    Box::new(move || {
        if let Ok(mut stream) = TcpStream::connect(&address) {
            drop(stream.write_all(b"GET / HTTP/1.1\r\n\r\n"));
        }
        std::thread::sleep(PAUSE);
        true
    })
}
