//! What a peer sends, read so that a connection that says nothing holds no room for it.
//!
//! Looks at no byte. A big buffer is held only while it is being filled: by a peer that sends much, or by
//! the events of a WRITE, which stay in it until they are written.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use fnap::server::{Phase, ServerSession};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Room for each read of a peer that sends much: a WRITE of 64 events of 1 KiB.
const MUCH: usize = 64 * 1024;

/// What is read at first: more than a person's command. Who fills it sends much.
const LITTLE: usize = 4 * 1024;

/// Reads into the session's input what the peer sent; waits until there is something. 0 is the end.
/// Dropping the future loses nothing.
pub(crate) async fn read<S, P>(stream: &mut S, session: &mut ServerSession<P>) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
    P: Clone,
{
    poll_fn(|cx| {
        // The lines of a WRITE keep the buffer that they were read into, so it shall be filled up.
        let keeps = session.phase() == Phase::Receiving;
        poll(stream, cx, session.input(), keeps)
    })
    .await
}

fn poll<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    input: &mut BytesMut,
    keeps: bool,
) -> Poll<io::Result<usize>> {
    if input.capacity() - input.len() >= LITTLE {
        let read = pin!(stream.read_buf(input)).poll(cx);
        if read.is_pending() && !keeps && input.len() < LITTLE {
            *input = BytesMut::from(input.as_ref());
        }
        return read;
    }
    let mut little = [MaybeUninit::uninit(); LITTLE];
    let mut little = ReadBuf::uninit(&mut little);
    ready!(Pin::new(stream).poll_read(cx, &mut little))?;
    let read = little.filled();
    if read.len() == LITTLE {
        input.reserve(LITTLE + MUCH);
    }
    input.extend_from_slice(read);
    Poll::Ready(Ok(read.len()))
}

#[cfg(test)]
mod tests {
    use fnap::server::{Action, ServerOptions};
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LOGIN: &[u8] = b"AUTHENTICATE PLAIN AHRlc3QAdGVzdA==\r\n";

    /// A session that is greeted, or ready.
    fn session(ready: bool) -> ServerSession<()> {
        let options = ServerOptions { clear_text: true, ..ServerOptions::new("h") };
        let mut session = ServerSession::new(options);
        if ready {
            session.receive(LOGIN);
        }
        settle(&mut session);
        session
    }

    fn settle(session: &mut ServerSession<()>) -> Vec<Action<()>> {
        let mut others = Vec::new();
        while let Some(action) = session.next_action() {
            match action {
                Action::Send(_) => {}
                Action::Authenticate { .. } => session.authenticated(()),
                other => others.push(other),
            }
        }
        others
    }

    /// The peer sends these, one after another, each once the one before has been read; then it waits.
    async fn heard(session: &mut ServerSession<()>, pieces: &[&[u8]]) -> Vec<Action<()>> {
        let (mut peer, mut stream) = tokio::io::duplex(1 << 20);
        let mut actions = Vec::new();
        for piece in pieces {
            peer.write_all(piece).await.unwrap();
            let mut left = piece.len();
            while left > 0 {
                left -= read(&mut stream, session).await.unwrap();
                actions.extend(settle(session));
            }
        }
        assert!(futures::poll!(pin!(read(&mut stream, session))).is_pending());
        actions
    }

    #[tokio::test]
    async fn a_connection_that_waits_holds_hardly_more_than_what_it_was_sent() {
        let much = b"NOOP\r\n".repeat(50_000);
        let half = [much.as_slice(), b"NO"].concat();
        for (pieces, held) in [
            (&[b"NOOP\r\n".as_slice()][..], 0),
            (&[b"N", b"O"], 2),
            (&[much.as_slice()], 0),
            (&[half.as_slice(), b"OP\r\nNO"], 2),
        ] {
            for ready in [false, true] {
                let mut session = session(ready);
                heard(&mut session, pieces).await;
                let input = session.input();
                assert_eq!(input.len(), held);
                assert!(input.capacity() <= 64, "{} octets for {held}", input.capacity());
            }
        }
    }

    #[tokio::test]
    async fn events_that_trickle_in_share_their_buffers() {
        for size in [LITTLE - 2, LITTLE + 1] {
            let mut session = session(true);
            let line = [vec![b'x'; size], b"\r\n".to_vec()].concat();
            let mut pieces = vec![b"WRITE f\r\n".as_slice()];
            pieces.extend((0..200).map(|_| line.as_slice()));
            pieces.push(b".\r\n");
            let actions = heard(&mut session, &pieces).await;
            let [Action::ExecuteWrite { batch, .. }] = &actions[..] else { panic!("{actions:?}") };
            // Each buffer lies elsewhere, and is as long as the way to the last line in it at least.
            let mut at: Vec<usize> = batch.lines.iter().map(|l| l.as_ptr() as usize).collect();
            at.sort_unstable();
            let gaps =
                at.windows(2).filter(|two| two[1] - two[0] > 2 * line.len() + LITTLE).count();
            assert!(gaps <= 200 * line.len() / MUCH + 1, "{gaps} buffers of {size}");
        }
    }
}
