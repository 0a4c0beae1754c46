//! Sockets: datagrams and connections, each question answered before the next is read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::net::xfer::Protocol;
use hickory_server::zone_handler::Catalog;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::debug;

use super::answer::{answer, cut};
use super::places::Places;
use super::rate::{Rate, Verdict};

/// Listens by UDP and TCP, answers from then on; where it listens.
pub(super) async fn listen(
    address: SocketAddr,
    catalog: &Arc<Catalog>,
    tasks: &mut JoinSet<()>,
) -> io::Result<SocketAddr> {
    let (udp, tcp) = bind(address).await?;
    let local = udp.local_addr()?;
    tasks.spawn(datagrams(udp, Arc::clone(catalog)));
    tasks.spawn(connections(tcp, Arc::clone(catalog)));
    Ok(local)
}

async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = if address.port() == 0 { MAX_PORTS } else { 1 };
    loop {
        tries -= 1;
        let udp = UdpSocket::bind(address).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            // Free for one does not mean free for the other.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

async fn datagrams(socket: UdpSocket, catalog: Arc<Catalog>) {
    let mut buffer = vec![0; MAX_QUESTION];
    let mut rate = Rate::new(false);
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "no datagram of dns");
                sleep(PAUSE).await;
                continue;
            }
        };
        let message = buffer.get(..length).unwrap_or_default().to_vec();
        if from.port() == 0 {
            continue;
        }
        let octets = match rate.verdict(from.ip()) {
            Verdict::Answer => answered(&catalog, message, from, Protocol::Udp).await,
            Verdict::Cut => cut(&message),
            Verdict::Nothing => None,
        };
        let Some(octets) = octets else { continue };
        if let Err(error) = socket.send_to(&octets, from).await {
            debug!(%error, %from, "no answer of dns sent");
        }
    }
}

async fn connections(listener: TcpListener, catalog: Arc<Catalog>) {
    let places = Places::default();
    let mut tasks = JoinSet::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "no connection of dns");
                sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        // Who comes when all places are taken is sent away at once, and not left to wait.
        let Some(place) = places.take(from.ip()) else { continue };
        let catalog = Arc::clone(&catalog);
        tasks.spawn(async move {
            let _place = place;
            if let Err(error) = connection(stream, from, &catalog).await {
                debug!(%error, %from, "connection of dns ended");
            }
        });
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, catalog: &Arc<Catalog>) -> io::Result<()> {
    // Or an answer waits until the one before it was acknowledged, which takes 40 ms where nothing is said back.
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut answers = Vec::new();
    // Whoever has more to ask comes again, and somebody else in between.
    let end = Instant::now() + LONGEST;
    loop {
        let message = timeout_at(end.min(Instant::now() + IDLE), question(&mut stream)).await??;
        let Some(octets) = answered(catalog, message, from, Protocol::Tcp).await else {
            return timeout(IDLE, stream.write_all(&answers)).await?;
        };
        let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
        answers.extend_from_slice(&length.to_be_bytes());
        answers.extend_from_slice(&octets);
        // Answers to what came together go together.
        if !holds_question(stream.buffer()) || answers.len() >= MOST_TOGETHER {
            timeout(IDLE, stream.write_all(&answers)).await??;
            answers.clear();
        }
    }
}

/// Whether a whole question is there: half of one makes no answer wait.
fn holds_question(read: &[u8]) -> bool {
    let length = read.first_chunk().map(|octets| usize::from(u16::from_be_bytes(*octets)));
    length.is_some_and(|length| length <= MAX_QUESTION && read.len() >= 2 + length)
}

async fn question(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let length: usize = stream.read_u16().await?.into();
    if length > MAX_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "question too large"));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// In a task of its own: a stranger's question that makes hickory panic costs that question only.
async fn answered(
    catalog: &Arc<Catalog>,
    message: Vec<u8>,
    from: SocketAddr,
    protocol: Protocol,
) -> Option<Vec<u8>> {
    let catalog = Arc::clone(catalog);
    let task = tokio::spawn(async move { answer(&catalog, &message, from, protocol).await });
    task.await.unwrap_or_default()
}

/// How long a connection may be without a whole question, and how long it may take to send an answer.
pub const IDLE: Duration = Duration::from_secs(10);

/// How long a connection may last, however much is asked: places are few, and a connection costs a millisecond.
pub const LONGEST: Duration = Duration::from_secs(60);

/// Largest answer by UDP, whatever somebody says that he takes: what fits a datagram that nobody has to cut (as agreed on
/// the DNS flag day of 2020), and little enough for a forged address not to be worth it.
pub const MAX_UDP_ANSWER: u16 = 1_232;

/// Largest question in octets: a name and some options; nobody's is longer.
const MAX_QUESTION: usize = 4_096;

/// Octets of answers that wait for each other: as much as the largest answer has.
const MOST_TOGETHER: usize = 64 << 10;

/// How often another port is tried where any will do.
const MAX_PORTS: usize = 32;

/// How long to wait after an error of a socket, such as no more files, before trying again.
const PAUSE: Duration = Duration::from_millis(50);
