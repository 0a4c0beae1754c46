//! A stream's state machine on a socket: reads, writes, and the clock.
//!
//! Whatever is an `AsyncRead + AsyncWrite` will do: TCP, TLS, a pipe. What is said and what it means belongs to
//! [`fnap::stream`] and to the caller; nothing here is retried, and no task is spawned.

mod packing;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fnap::reply::Failure;
use fnap::stream::{Followed, Follower, Outgoing, Source, Sourced, StreamError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior};

pub use packing::{pack, unpack};

/// How long the peer may take nothing of what waits for it: as long as whoever follows a READ.
pub const STALLED: Duration = Duration::from_secs(60);

/// How long the last words may take.
pub const CLOSING: Duration = Duration::from_secs(5);

/// Least room for a read: a few records.
const LEAST: usize = 4 << 10;

/// What is read at once of what nobody wants to hear.
const UNHEARD: usize = 16 << 10;

/// How exactly time is told to the state machine, which counts in tens of seconds.
const TICK: Duration = Duration::from_secs(1);

/// Either side of a stream.
pub trait Side {
    /// What happens there.
    type Event;

    /// What happened next.
    ///
    /// # Errors
    /// What the peer did that nobody may do.
    fn next_event(&mut self) -> Result<Option<Self::Event>, StreamError>;
    /// What to write next.
    fn outgoing(&mut self) -> &mut Outgoing;
    /// Where to read into.
    fn input(&mut self) -> &mut BytesMut;
    /// How much room a read should have.
    fn input_room(&self) -> usize;
    /// Whether to go on reading.
    fn wants_input(&self) -> bool;
    /// So much time has passed.
    fn passed(&mut self, time: Duration);
    /// Ends the connection.
    fn close(&mut self, failure: &Failure);
    /// Whether it has ended.
    fn is_over(&self) -> bool;
}

macro_rules! side {
    ($machine:ty, $event:ty) => {
        impl Side for $machine {
            type Event = $event;

            fn next_event(&mut self) -> Result<Option<$event>, StreamError> {
                Self::next_event(self)
            }

            fn outgoing(&mut self) -> &mut Outgoing {
                Self::outgoing(self)
            }

            fn input(&mut self) -> &mut BytesMut {
                Self::input(self)
            }

            fn input_room(&self) -> usize {
                Self::input_room(self)
            }

            fn wants_input(&self) -> bool {
                Self::wants_input(self)
            }

            fn passed(&mut self, time: Duration) {
                Self::passed(self, time);
            }

            fn close(&mut self, failure: &Failure) {
                Self::close(self, failure);
            }

            fn is_over(&self) -> bool {
                Self::is_over(self)
            }
        }
    };
}

side!(Follower, Followed);
side!(Source, Sourced);

/// What came of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn<E> {
    /// Something happened at the peer.
    Event(E),
    /// Records are taken again, which was refused with [`Refused::Full`](fnap::stream::Refused::Full).
    Room,
    /// The connection has ended as it should: with a Close, whosever.
    Over,
}

/// Why a connection ended otherwise.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer broke the rules, and was told.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// The peer went away without a word.
    #[error("connection closed without a reason")]
    Gone,
    /// The peer takes nothing any more.
    #[error("nothing taken for too long")]
    Stalled,
    /// The socket's own.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
}

/// One side of a stream on a connection of its own.
#[derive(Debug)]
pub struct StreamConnection<S, M> {
    io: S,
    side: M,
    ticks: Interval,
    /// Until when the state machine knows of the time.
    told: Instant,
    /// When the peer last took something, or nothing waited for it.
    taken: Instant,
    /// Something was written and not flushed.
    unflushed: bool,
    /// How it ends, once it does, and until when the last words may be said.
    ending: Option<(Result<(), StreamError>, Instant)>,
    /// Why nothing can be written any more. What the peer said before it closed can still be read, and says why.
    broken: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, M: Side> StreamConnection<S, M> {
    /// Takes a connection on which STREAM was accepted, and nothing was read since.
    pub fn new(io: S, side: M) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        Self {
            io,
            side,
            ticks,
            told: now,
            taken: now,
            unflushed: false,
            ending: None,
            broken: None,
        }
    }

    /// The state machine, for saying things; they are written by [`Self::next`].
    pub fn side(&mut self) -> &mut M {
        &mut self.side
    }

    /// Reads, writes and waits until something happens. Nothing is lost where it is dropped half-way, so
    /// that it can stand in a `select!`; nothing moves while it is not waited for, and such time is not held
    /// against the peer.
    ///
    /// # Errors
    /// The connection is of no use any more; what the peer should know was sent to it.
    pub async fn next(&mut self) -> Result<Turn<M::Event>, WireError> {
        loop {
            if let Some((how, _)) = self.ending.clone() {
                self.say_last_words().await;
                return how.map(|()| Turn::Over).map_err(WireError::from);
            }
            let how = match self.side.next_event() {
                Ok(Some(event)) => return Ok(Turn::Event(event)),
                Ok(None) => self.side.is_over().then_some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            if let Some(how) = how {
                self.ending = Some((how, Instant::now() + CLOSING));
                continue;
            }
            let was_full = !self.side.outgoing().takes_records();
            poll_fn(|context| self.turn(context)).await?;
            if was_full && self.side.outgoing().takes_records() {
                return Ok(Turn::Room);
            }
        }
    }

    /// Writes what waits, without reading: for whoever has to know that it has left.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn flush(&mut self) -> Result<(), WireError> {
        poll_fn(|context| {
            loop {
                let waits = self.write(context).is_pending();
                if self.broken.is_some() {
                    return Poll::Ready(Err(WireError::Gone));
                }
                if !self.unflushed && !self.side.outgoing().has_remaining() {
                    return Poll::Ready(Ok(()));
                }
                if waits {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Tells the peer why it ends, waits until that is taken, at most [`CLOSING`], and closes.
    pub async fn close(mut self, failure: &Failure) {
        self.side.close(failure);
        self.say_last_words().await;
    }

    /// A peer that does not listen to them has only itself to blame. What it still says is thrown away as it comes: a
    /// socket closed over unread octets takes back what was written to it. Goes on where it was dropped half-way, and has no more
    /// time for that.
    async fn say_last_words(&mut self) {
        let until =
            self.ending.as_ref().map_or_else(|| Instant::now() + CLOSING, |(_, until)| *until);
        let words = async {
            self.flush().await?;
            self.io.shutdown().await?;
            let mut unheard = BytesMut::with_capacity(UNHEARD);
            while self.io.read_buf(&mut unheard).await? > 0 {
                unheard.clear();
            }
            Ok::<_, WireError>(())
        };
        match tokio::time::timeout_at(until, words).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "last words not sent"),
            Err(_) => tracing::debug!("last words not taken"),
        }
    }

    /// Does whatever can be done now; ready as soon as that was anything.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WireError>> {
        let written = self.write(context);
        let read = self.read(context)?;
        let ticked = self.tick(context)?;
        if ticked.is_ready() || written.is_ready() || read.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, WireError> {
        if self.ticks.poll_tick(context).is_pending() {
            return Ok(Poll::Pending);
        }
        let now = Instant::now();
        let passed = now - std::mem::replace(&mut self.told, now);
        // Whoever did other things meanwhile cannot say that nothing was said, or taken.
        let elsewhere = passed.saturating_sub(2 * TICK);
        self.taken += elsewhere;
        self.side.passed(passed - elsewhere);
        if !self.side.outgoing().has_remaining() {
            self.taken = now;
        } else if now - self.taken >= STALLED {
            return Err(WireError::Stalled);
        }
        Ok(Poll::Ready(()))
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        let out = self.side.outgoing();
        let done = if out.has_remaining() {
            // With many pieces in one write where the socket can.
            pin!(self.io.write_buf(out)).poll(context).map_ok(|count| (count > 0, true))
        } else if self.unflushed {
            pin!(self.io.flush()).poll(context).map_ok(|()| (true, false))
        } else {
            return Poll::Pending;
        };
        match done {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok((true, unflushed))) => {
                self.unflushed = unflushed;
                self.taken = Instant::now();
            }
            Poll::Ready(Ok((false, _))) => self.broken = Some(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Err(error)) => self.broken = Some(error),
        }
        Poll::Ready(())
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, WireError> {
        if !self.side.wants_input() {
            return Ok(Poll::Pending);
        }
        let room = self.side.input_room();
        let input = self.side.input();
        // A read into the last few octets of a buffer costs as much as any other.
        if input.capacity() - input.len() < LEAST {
            input.reserve(room);
        }
        match pin!(self.io.read_buf(input)).poll(context) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => Err(self.broken.take().map_or(WireError::Gone, WireError::Io)),
            Poll::Ready(Ok(_)) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }
}
