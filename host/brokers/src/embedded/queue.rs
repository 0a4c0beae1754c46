//! The way to the writer: bounded in requests and in bytes. Whoever finds no room waits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::broker::BrokerError;

use super::gone;
use super::writer::{Request, size};

/// Requests that may wait for the writer.
const MOST_WAITING: usize = 1024;

/// Payload bytes that may wait for the writer or be in its hands: a few transactions.
const MOST_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// What room is counted in.
const UNIT: usize = 1024;

/// A request, and the room it takes until it is done.
pub(crate) struct Waiting {
    pub(crate) request: Request,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// The writer's end.
pub(crate) type Requests = mpsc::Receiver<Waiting>;

/// The askers' end. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Queue {
    requests: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new() -> (Self, Requests) {
        let (requests, waiting) = mpsc::channel(MOST_WAITING);
        let room = Arc::new(Semaphore::new(MOST_WAITING_BYTES / UNIT));
        (Self { requests, room }, waiting)
    }

    /// Asks, when there is room.
    pub(crate) async fn ask(&self, request: Request) -> Result<(), BrokerError> {
        let room = match size(&request).min(MOST_WAITING_BYTES).div_ceil(UNIT) as u32 {
            0 => None,
            units => {
                let room = Arc::clone(&self.room).acquire_many_owned(units).await;
                Some(room.map_err(|_| gone())?)
            }
        };
        self.requests.send(Waiting { request, room }).await.map_err(|_| gone())
    }

    /// Asks for the end, where there is a place in the queue.
    pub(crate) fn close(&self) {
        drop(self.requests.try_send(Waiting { request: Request::Close, room: None }));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use host_events::{Incarnation, Record};
    use tokio::sync::oneshot;

    use super::*;
    use crate::broker::{Append, TopicRef};

    fn append(bytes: usize) -> Request {
        let topic = TopicRef::new("a", Incarnation(uuid::Uuid::nil()));
        let value = Some(Bytes::from(vec![0; bytes]));
        let records = vec![(0, Record { value, ..Record::default() })];
        let append = Append { records, token: None };
        Request::Append { topic, append, answer: oneshot::channel().0 }
    }

    #[test]
    fn bytes_that_find_no_room_wait_until_others_are_done() {
        const MIB: usize = 1024 * 1024;
        let (queue, mut requests) = Queue::new();
        for _ in 0..7 {
            queue.ask(append(9 * MIB)).now_or_never().unwrap().unwrap();
        }
        let mut waits = Box::pin(queue.ask(append(2 * MIB)));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(requests.try_recv().unwrap());
        waits.now_or_never().unwrap().unwrap();
        // What is larger than all room comes when it is alone.
        let mut large = Box::pin(queue.ask(append(MOST_WAITING_BYTES + MIB)));
        assert!(large.as_mut().now_or_never().is_none());
        while requests.try_recv().is_ok() {}
        large.now_or_never().unwrap().unwrap();
    }

    #[test]
    fn whoever_finds_no_room_stands_in_the_queue_only_when_he_is_told_so() {
        let (queue, mut requests) = Queue::new();
        for _ in 0..MOST_WAITING {
            queue.ask(append(1)).now_or_never().unwrap().unwrap();
        }
        let mut waits = Box::pin(queue.ask(append(2)));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(std::iter::from_fn(|| requests.try_recv().ok()).count(), MOST_WAITING);
        waits.now_or_never().unwrap().unwrap();
        assert_eq!(size(&requests.try_recv().unwrap().request), 2);
    }
}
