//! A client of librdkafka's, its queues, and being woken by them instead of keeping a thread that asks.
//!
//! Knows no request and no record. Waiting costs no thread: librdkafka calls when a queue is no longer
//! empty, and a task takes out what is there.

use std::any::Any;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::bindings::{
    rd_kafka_event_t, rd_kafka_queue_cb_event_enable, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer, rd_kafka_queue_get_main, rd_kafka_queue_length,
    rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t, rd_kafka_t,
};
use rdkafka::client::Client;
use tokio::sync::Notify;

/// A client, kept alive by whoever holds this.
#[derive(Clone)]
pub(in crate::kafka) struct Handle {
    client: NonNull<rd_kafka_t>,
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's clients may be used by any thread at any time, and the owner keeps this one alive.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// The client inside of an owner, where there is one.
    pub(in crate::kafka) fn of<O, C>(
        owner: Arc<O>,
        client: fn(&O) -> Option<&Client<C>>,
    ) -> Option<Self>
    where
        O: Send + Sync + 'static,
        C: ClientContext,
    {
        let client = NonNull::new(client(&owner)?.native_ptr())?;
        Some(Self { client, owner })
    }

    /// A client that its owner keeps alive.
    pub(super) fn of_client(
        client: NonNull<rd_kafka_t>,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { client, owner }
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_t {
        self.client.as_ptr()
    }
}

/// A queue of a client, and what is told when something lies in it.
pub(in crate::kafka) struct Queue {
    queue: NonNull<rd_kafka_queue_t>,
    woken: Arc<Notify>,
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: queues may be used by any thread; every call here takes librdkafka's own lock.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A queue of one's own.
    pub(super) fn new(handle: &Handle) -> Option<Self> {
        // SAFETY: the client is alive.
        let queue = unsafe { rd_kafka_queue_new(handle.as_ptr()) };
        Self::watched(queue, handle)
    }

    /// The client's main queue: delivery reports, log lines, errors. Not for `poll`: who made the client
    /// polls it and understands what comes.
    pub(in crate::kafka) fn main(handle: &Handle) -> Option<Self> {
        // SAFETY: the client is alive.
        let queue = unsafe { rd_kafka_queue_get_main(handle.as_ptr()) };
        Self::watched(queue, handle)
    }

    /// The queue of a consumer's group: records, and what happens to its partitions.
    pub(in crate::kafka) fn consumer(handle: &Handle) -> Option<Self> {
        // SAFETY: the client is alive; null where it is no consumer.
        let queue = unsafe { rd_kafka_queue_get_consumer(handle.as_ptr()) };
        Self::watched(queue, handle)
    }

    fn watched(queue: *mut rd_kafka_queue_t, handle: &Handle) -> Option<Self> {
        let queue = NonNull::new(queue)?;
        let woken = Arc::new(Notify::new());
        let opaque = Arc::as_ptr(&woken).cast_mut().cast::<c_void>();
        // SAFETY: the queue is alive. `opaque` is until `drop` has switched the call off, which takes the
        // lock that the call is made under: none is under way after that.
        unsafe { rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), opaque) };
        // What came before the call was switched on told nobody.
        woken.notify_one();
        Some(Self { queue, woken, _owner: Arc::clone(&handle.owner) })
    }

    pub(super) fn as_ptr(&self) -> *mut rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// Told whenever the queue stops being empty: take out everything before waiting again.
    pub(in crate::kafka) fn woken(&self) -> &Arc<Notify> {
        &self.woken
    }

    /// How much lies in it.
    pub(in crate::kafka) fn len(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { rd_kafka_queue_length(self.as_ptr()) }
    }

    /// Takes one event out without waiting.
    pub(super) fn poll(&self) -> Option<NonNull<rd_kafka_event_t>> {
        // SAFETY: the queue is alive; the event is the caller's then.
        NonNull::new(unsafe { rd_kafka_queue_poll(self.as_ptr(), 0) })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; it is not used after that, and its client (in `_owner`) still lives.
        unsafe {
            rd_kafka_queue_cb_event_enable(self.as_ptr(), None, std::ptr::null_mut());
            rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}

/// Called by librdkafka's threads with the queue locked: does nothing but tell.
unsafe extern "C" fn wake(_client: *mut rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is what `watched` gave, alive until the call is switched off.
    let woken = unsafe { &*opaque.cast::<Notify>() };
    woken.notify_one();
}
