//! Whether a node answers, asked in Kafka's own protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request for metadata, version 1, of no topics; the client's name is absent.
const METADATA: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];

/// How many brokers the node at `address` knows to be up; none when it does not answer.
pub(crate) fn brokers(address: SocketAddr) -> Option<u32> {
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.write_all(&METADATA).ok()?;
    // Length and correlation, then the count of the list of brokers.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    Some(u32::from_be_bytes([answer[8], answer[9], answer[10], answer[11]]))
}
