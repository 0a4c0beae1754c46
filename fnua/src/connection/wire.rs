//! The two halves of a connection, in clear or under TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::client::TlsStream;

/// What comes from the host.
pub(crate) enum Reader {
    Clear(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

/// What goes to the host. Under TLS nothing is sure to go before it is flushed.
pub(crate) enum Writer {
    Clear(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

/// Two halves of a stream in clear.
pub(super) fn clear(stream: TcpStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (Reader::Clear(reader), Writer::Clear(writer))
}

/// Two halves of a stream under TLS.
pub(super) fn tls(stream: TlsStream<TcpStream>) -> (Reader, Writer) {
    let (reader, writer) = tokio::io::split(stream);
    (Reader::Tls(reader), Writer::Tls(writer))
}

/// The stream in clear that the halves were made of; none under TLS.
pub(super) fn unite(reader: Reader, writer: Writer) -> Option<TcpStream> {
    match (reader, writer) {
        (Reader::Clear(reader), Writer::Clear(writer)) => reader.reunite(writer).ok(),
        _ => None,
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(reader) => Pin::new(reader).poll_read(context, buffer),
            Self::Tls(reader) => Pin::new(reader).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(writer) => Pin::new(writer).poll_write(context, bytes),
            Self::Tls(writer) => Pin::new(writer).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(writer) => Pin::new(writer).poll_flush(context),
            Self::Tls(writer) => Pin::new(writer).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(writer) => Pin::new(writer).poll_shutdown(context),
            Self::Tls(writer) => Pin::new(writer).poll_shutdown(context),
        }
    }
}
