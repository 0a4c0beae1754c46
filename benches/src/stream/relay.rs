//! The long way: takes packets (Ethernet in vxlan, over UDP) from either side, loses some, and hands the others over when
//! they have been under way for long enough. There is no limit to how many are under way but what memory allows.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Counts what went through. Its threads end with the process.
pub struct Relay(Arc<Counted>);

#[derive(Default)]
struct Counted {
    passed: AtomicU64,
    lost: AtomicU64,
    late: AtomicU64,
}

type Packet = (Instant, Vec<u8>);

/// A packet that is handed over so much later than it should is late: the machine is too slow for what is measured.
const LATE: Duration = Duration::from_millis(5);

impl Relay {
    /// Between two addresses; one packet of `lost` is lost.
    pub fn start(ends: [SocketAddrV4; 2], delay: Duration, lost: u64) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        // As much as an ordinary process may have.
        socket.set_recv_buffer_size(64 << 20).unwrap();
        socket.set_send_buffer_size(64 << 20).unwrap();
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], ends[0].port())).into()).unwrap();
        let socket = Arc::new(UdpSocket::from(socket));
        let counted = Arc::new(Counted::default());
        let ways = ends.map(|end| {
            let (way, packets) = channel();
            let (socket, counted) = (Arc::clone(&socket), Arc::clone(&counted));
            std::thread::spawn(move || hand_over(&packets, &socket, end, &counted));
            (end, way)
        });
        let taken = Arc::clone(&counted);
        std::thread::spawn(move || take(&socket, &ways, delay, lost, &taken));
        Self(counted)
    }

    /// What went through.
    pub fn shown(&self) -> String {
        let [passed, lost, late] =
            [&self.0.passed, &self.0.lost, &self.0.late].map(|count| count.load(Ordering::Relaxed));
        format!("{passed} packets, {lost} lost, {late} more than {} ms late", LATE.as_millis())
    }
}

fn take(
    socket: &UdpSocket,
    ways: &[(SocketAddrV4, Sender<Packet>); 2],
    delay: Duration,
    lost: u64,
    counted: &Counted,
) {
    let (mut octets, mut chance) = (vec![0; 65_536], 0x9e37_79b9_7f4a_7c15_u64);
    loop {
        let Ok((count, from)) = socket.recv_from(&mut octets) else { continue };
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        if chance.is_multiple_of(lost) {
            counted.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let mut packet = octets[..count].to_vec();
        sum_up(&mut packet);
        let Some((_, way)) = ways.iter().find(|(end, _)| from.ip() != *end.ip()) else { continue };
        if way.send((Instant::now() + delay, packet)).is_err() {
            return;
        }
    }
}

fn hand_over(packets: &Receiver<Packet>, socket: &UdpSocket, to: SocketAddrV4, counted: &Counted) {
    for (due, packet) in packets {
        sleep(due.saturating_duration_since(Instant::now()));
        if due.elapsed() > LATE {
            counted.late.fetch_add(1, Ordering::Relaxed);
        }
        // What cannot be sent is lost, as elsewhere.
        let sent = socket.send_to(&packet, to);
        counted.passed.fetch_add(u64::from(sent.is_ok()), Ordering::Relaxed);
    }
}

/// Writes the checksum of a packet's segment, which the kernel leaves to the hardware, of which there is none.
fn sum_up(packet: &mut [u8]) {
    const IPV4: [u8; 2] = [8, 0];
    let Some(frame) = packet.get_mut(8..).filter(|frame| frame.get(12..14) == Some(&IPV4)) else {
        return;
    };
    let (protocol, header) = (frame[23], usize::from(frame[14] & 15) * 4);
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let pseudo = sum(&frame[26..34]) + u32::from(protocol) + (end - 14 - header) as u32;
    let segment = &mut frame[14 + header..end];
    match protocol {
        TCP => {
            segment[16..18].fill(0);
            let mut all = pseudo + sum(segment);
            while all > 0xffff {
                all = (all & 0xffff) + (all >> 16);
            }
            segment[16..18].copy_from_slice(&(!(all as u16)).to_be_bytes());
        }
        // There it may be left out.
        UDP => segment[6..8].fill(0),
        _ => {}
    }
}

fn sum(octets: &[u8]) -> u32 {
    let (pairs, rest) = octets.as_chunks::<2>();
    let pairs: u32 = pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    pairs + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

const TCP: u8 = 6;
const UDP: u8 = 17;
