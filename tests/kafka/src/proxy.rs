//! The network between a host and a node, in the hands of a test: cut, silent, slow, and whole again.
//!
//! Kafka's clients go where the node tells them to. So a proxy is made first, the node
//! [behind](crate::Setup::behind) it, and then the proxy is told where the node is.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::address::Address;
use crate::setup::CLEAR;

/// Takes connections for one node and carries them over, as well as it is told to. Its threads end
/// with their connections.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    network: Arc<Network>,
}

#[derive(Debug)]
struct Network {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    node: Option<SocketAddr>,
    /// Both ends of each connection that was made since the last cut.
    open: Vec<TcpStream>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Whole,
    Cut,
    Silent,
    Slow { delay: Duration, rate: u64 },
}

impl Proxy {
    /// One that refuses connections until it knows its node.
    pub fn start() -> Self {
        let address = Address::claim();
        let listener = TcpListener::bind((address.ip, CLEAR)).unwrap();
        let state = State { mode: Mode::Whole, node: None, open: Vec::new() };
        let network = Arc::new(Network { state: Mutex::new(state), changed: Condvar::new() });
        let own = network.clone();
        thread::spawn(move || {
            // The listener lives as long as the program: an accepting thread cannot be woken.
            for stream in listener.incoming().flatten() {
                drop(own.connect(stream));
            }
        });
        Self { address, network }
    }

    /// Where clients connect, and what the node tells them.
    pub fn address(&self) -> SocketAddr {
        (self.address.ip, CLEAR).into()
    }

    /// Carries connections to `node`, e.g. [`Node::proxied`](crate::Node::proxied).
    pub fn forward(&self, node: SocketAddr) {
        self.network.state().node = Some(node);
    }

    /// Ends every connection and refuses new ones.
    pub fn cut(&self) {
        self.network.set(Mode::Cut);
        self.network.end_all();
    }

    /// Keeps connections open and takes new ones, and carries nothing: bytes wait until the network
    /// is another, as in a network that loses every packet.
    pub fn silence(&self) {
        self.network.set(Mode::Silent);
    }

    /// Carries each piece after `delay`, and no more than `rate` bytes a second of each direction.
    pub fn slow(&self, delay: Duration, rate: u64) {
        assert!(rate > 0, "silence() is a rate of nothing");
        self.network.set(Mode::Slow { delay, rate });
    }

    /// Carries everything at once again.
    pub fn heal(&self) {
        self.network.set(Mode::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) {
        self.state().mode = mode;
        self.changed.notify_all();
    }

    fn end_all(&self) {
        for stream in self.state().open.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let mut state = self.state();
        let (Some(node), false) = (state.node, state.mode == Mode::Cut) else { return Ok(()) };
        let server = TcpStream::connect(node)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            state.open.push(stream.try_clone()?);
        }
        drop(state);
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let network = self.clone();
            thread::spawn(move || network.carry(from, to));
        }
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            self.pass(length);
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Waits as long as `length` bytes take now.
    fn pass(&self, length: usize) {
        let state = self.state();
        let state = self.changed.wait_while(state, |state| state.mode == Mode::Silent);
        let mode = state.unwrap_or_else(PoisonError::into_inner).mode;
        if let Mode::Slow { delay, rate } = mode {
            thread::sleep(delay + Duration::from_micros(length as u64 * 1_000_000 / rate));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// A server that says back what it hears, behind a proxy.
    fn behind() -> Proxy {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start();
        proxy.forward(server.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                let mut reader = stream.try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut reader, &mut stream));
            }
        });
        proxy
    }

    fn said_back(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        stream.write_all(bytes)?;
        let mut heard = vec![0; bytes.len()];
        stream.read_exact(&mut heard)?;
        assert_eq!(heard, bytes);
        Ok(())
    }

    #[test]
    fn a_cut_ends_connections_until_the_network_is_whole_again() {
        let proxy = behind();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        said_back(&mut stream, b"one").unwrap();
        proxy.cut();
        assert!(said_back(&mut stream, b"two").is_err());
        let again = TcpStream::connect(proxy.address());
        assert!(again.and_then(|mut stream| said_back(&mut stream, b"three")).is_err());
        proxy.heal();
        said_back(&mut TcpStream::connect(proxy.address()).unwrap(), b"four").unwrap();
    }

    #[test]
    fn a_silent_network_keeps_what_was_sent_and_carries_it_later() {
        let proxy = behind();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        said_back(&mut stream, b"one").unwrap();
        proxy.silence();
        let (told, heard) = channel();
        let waiting = thread::spawn(move || told.send(said_back(&mut stream, b"two").is_ok()));
        assert!(heard.recv_timeout(Duration::from_millis(200)).is_err());
        proxy.heal();
        assert!(heard.recv_timeout(Duration::from_secs(60)).unwrap());
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_slow_network_takes_as_long_as_it_is_told_to() {
        let proxy = behind();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        proxy.slow(Duration::from_millis(50), 100_000);
        let start = Instant::now();
        said_back(&mut stream, &[7; 10_000]).unwrap();
        // 50 ms and a tenth of a second, each way.
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    }
}
