//! A TCP connection to a name server: messages and their answers, each exchange within its time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection, and how long each step may take.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    timeout: Duration,
    next: u16,
}

impl Connection {
    pub(super) async fn open(server: SocketAddr, limit: Duration) -> io::Result<Self> {
        let stream = within(limit, TcpStream::connect(server)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, timeout: limit, next: 1 })
    }

    /// An id for the next message. Who could forge an answer sees it anyway, so it need not be a secret.
    pub(super) fn id(&mut self) -> u16 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// Sends a message and waits for the next one (RFC 7766, section 8: a length before each).
    pub(super) async fn exchange(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut answers = self.exchange_all(&[message]).await?;
        answers.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends some messages together and waits for as many, in whatever order they come. Little enough that the other side
    /// can take all of them before it says anything.
    pub(super) async fn exchange_all(
        &mut self,
        messages: &[impl AsRef<[u8]>],
    ) -> io::Result<Vec<Vec<u8>>> {
        let mut framed = Vec::new();
        for message in messages.iter().map(AsRef::as_ref) {
            let length = u16::try_from(message.len()).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidInput, "message larger than 64 KiB")
            })?;
            framed.extend_from_slice(&length.to_be_bytes());
            framed.extend_from_slice(message);
        }
        let stream = &mut self.stream;
        within(self.timeout, async move {
            stream.write_all(&framed).await?;
            let mut answers = Vec::new();
            for _ in messages {
                let length = stream.read_u16().await?;
                let mut answer = vec![0; length.into()];
                stream.read_exact(&mut answer).await?;
                answers.push(answer);
            }
            Ok(answers)
        })
        .await
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let too_slow = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    timeout(limit, step).await.unwrap_or_else(|_| Err(too_slow()))
}
