//! Whether a name server answers.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// A question about the root's SOA: one question, no recursion.
const QUESTION: [u8; 17] = [0x4e, 0x21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1];

/// Asks once; true when an authoritative answer without error comes within a moment.
pub(crate) fn answers(server: SocketAddr) -> bool {
    ask(server).unwrap_or(false)
}

fn ask(server: SocketAddr) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((server.ip(), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    socket.connect(server)?;
    socket.send(&QUESTION)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    let is_answer = length > 12 && answer[..2] == QUESTION[..2];
    // Authoritative, and no error.
    Ok(is_answer && answer[2] & 0x84 == 0x84 && answer[3] & 0x0f == 0)
}
