//! A partition that is being read, and the messages that came of it.
//!
//! Each partition has a queue of its own, which tells when something lies in it. Closing waits until
//! librdkafka has let the partition go: that is for a thread that may wait.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings::*;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::admin::Fault;
use super::consumer::{Consumer, told};
use super::handle::Queue;

/// A partition that is being read. A consumer reads a partition once at a time.
pub(in crate::kafka) struct Partition {
    topic: Topic,
    number: i32,
    /// Never empty but while it is dropped.
    queue: Option<Queue>,
    _consumer: Arc<Consumer>,
}

/// A consumer's own notion of a topic.
struct Topic(NonNull<rd_kafka_topic_t>);

// SAFETY: librdkafka's topics may be used by any thread; whoever holds one keeps the consumer alive.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is the last use.
        unsafe { rd_kafka_topic_destroy(self.0.as_ptr()) };
    }
}

impl Partition {
    /// Begins to read at an offset.
    pub(in crate::kafka) fn start(
        consumer: &Arc<Consumer>,
        topic: &str,
        partition: u32,
        from: u64,
    ) -> Result<Self, Fault> {
        let handle = consumer.handle();
        let wrong = |text: &str| Fault::new(RDKafkaErrorCode::InvalidArgument, text);
        let name = CString::new(topic).map_err(|_| wrong("a zero in a topic's name"))?;
        let number = i32::try_from(partition).map_err(|_| wrong("partition out of range"))?;
        let from = i64::try_from(from).map_err(|_| wrong("offset out of range"))?;
        // SAFETY: the client is alive, the name is a C string.
        let made =
            unsafe { rd_kafka_topic_new(handle.as_ptr(), name.as_ptr(), std::ptr::null_mut()) };
        let topic = Topic(NonNull::new(made).ok_or_else(last_error)?);
        let queue = Queue::new(&handle).ok_or_else(|| wrong("no memory for a queue"))?;
        // SAFETY: topic and queue are alive, and the partition is closed before they go.
        let begun =
            unsafe { rd_kafka_consume_start_queue(topic.0.as_ptr(), number, from, queue.as_ptr()) };
        if begun != 0 {
            return Err(last_error());
        }
        Ok(Self { topic, number, queue: Some(queue), _consumer: Arc::clone(consumer) })
    }

    /// Told when there is something to take: to be taken out whole before waiting again.
    pub(in crate::kafka) fn woken(&self) -> Option<Arc<Notify>> {
        self.queue.as_ref().map(|queue| Arc::clone(queue.woken()))
    }

    /// Tells once more where something lies in it.
    pub(in crate::kafka) fn wake_for_more(&self) {
        if let Some(queue) = self.queue.as_ref().filter(|queue| queue.len() > 0) {
            queue.woken().notify_one();
        }
    }

    /// What has come, up to so many messages; does not wait.
    pub(in crate::kafka) fn take(&self, most: usize) -> Messages<'_> {
        let mut taken = Messages { messages: Vec::new(), doubt: None, _of: PhantomData };
        let Some(queue) = self.queue.as_ref().filter(|queue| queue.len() > 0) else {
            return taken;
        };
        let mut found = vec![std::ptr::null_mut(); most];
        drop(told());
        // SAFETY: the queue is alive and there is room for as many pointers as are said.
        let count = unsafe {
            rd_kafka_consume_batch_queue(queue.as_ptr(), 0, found.as_mut_ptr(), found.len())
        };
        found.truncate(usize::try_from(count).unwrap_or_default());
        taken.messages = found.into_iter().filter_map(NonNull::new).collect();
        taken.doubt = told();
        taken
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // SAFETY: it was started, and topic and queue are alive. Nothing is put into the queue after that.
        unsafe { rd_kafka_consume_stop(self.topic.0.as_ptr(), self.number) };
        drop(self.queue.take());
    }
}

/// Messages in the order of their offsets, between them what else happened to the partition.
pub(in crate::kafka) struct Messages<'a> {
    messages: Vec<NonNull<rd_kafka_message_t>>,
    doubt: Option<String>,
    _of: PhantomData<&'a Partition>,
}

impl Messages<'_> {
    /// Whether nothing came and nothing happened.
    pub(in crate::kafka) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.doubt.is_none()
    }

    /// That the partition may not be there any more, in words.
    pub(in crate::kafka) fn doubt(&self) -> Option<Fault> {
        let text = self.doubt.as_deref()?;
        Some(Fault::new(RDKafkaErrorCode::UnknownTopicOrPartition, text))
    }

    pub(in crate::kafka) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of keys and values.
    pub(in crate::kafka) fn bytes(&self) -> usize {
        self.iter().map(|Message(message)| message.key_len + message.len).sum()
    }

    pub(in crate::kafka) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: each is alive until all of them are dropped.
        self.messages.iter().map(|message| Message(unsafe { message.as_ref() }))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: it is ours, and this is the last use.
            unsafe { rd_kafka_message_destroy(message.as_ptr()) };
        }
    }
}

/// A message.
#[derive(Clone, Copy)]
pub(in crate::kafka) struct Message<'a>(&'a rd_kafka_message_t);

impl<'a> Message<'a> {
    /// Where it lies; of what happened, where it happened.
    pub(in crate::kafka) fn offset(self) -> i64 {
        self.0.offset
    }

    /// What happened, where it is no record.
    pub(in crate::kafka) fn fault(self) -> Option<Fault> {
        let code = RDKafkaErrorCode::from(self.0.err);
        if code == RDKafkaErrorCode::NoError {
            return None;
        }
        // SAFETY: the message is alive, its words are a C string that lives as long, or null.
        let text = unsafe { rd_kafka_message_errstr(self.0) };
        if text.is_null() {
            return Some(Fault::new(code, code.to_string()));
        }
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        Some(Fault::new(code, text))
    }

    pub(in crate::kafka) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the message says where its key lies, which lives as long as it does.
        unsafe { bytes(self.0.key.cast(), self.0.key_len) }
    }

    pub(in crate::kafka) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: as the key.
        unsafe { bytes(self.0.payload.cast(), self.0.len) }
    }

    /// Milliseconds since 1970 UTC; -1 where there is none.
    pub(in crate::kafka) fn timestamp(self) -> i64 {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        unsafe { rd_kafka_message_timestamp(self.0, &mut kind) }
    }

    /// Name and value of each header. An error where they cannot be understood.
    pub(in crate::kafka) fn headers(self) -> Result<Headers<'a>, Fault> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive, and nobody else has it: headers are understood at the first question,
        // and live as long as the message.
        let code = unsafe { rd_kafka_message_headers(self.0, &mut headers) };
        match RDKafkaErrorCode::from(code) {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::NoEnt => headers = std::ptr::null_mut(),
            code => return Err(Fault::new(code, "headers that cannot be understood")),
        }
        Ok(Headers { headers, next: 0, _of: PhantomData })
    }
}

/// The headers of a message, in order.
pub(in crate::kafka) struct Headers<'a> {
    headers: *mut rd_kafka_headers_t,
    next: usize,
    _of: PhantomData<&'a rd_kafka_message_t>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: the headers live as long as the message; what is given points into them.
        unsafe {
            let code =
                rd_kafka_header_get_all(self.headers, self.next, &mut name, &mut value, &mut size);
            if code != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            self.next += 1;
            Some((self::name(name, value), bytes(value.cast(), size)))
        }
    }
}

/// A header's name, which may have zeros in it: librdkafka does not say how long it is. A value lies behind the
/// zero that ends its name; without one the length is read where librdkafka keeps it.
///
/// # Safety
/// Both are what `rd_kafka_header_get_all` gave, of a header that is alive.
unsafe fn name<'a>(name: *const c_char, value: *const c_void) -> &'a [u8] {
    // SAFETY: librdkafka's header is `{ size_t, size_t, size_t name_size; char *value; char name[] }`; the
    // librdkafka that is linked is the one that the lock file names, and a test looks at names of both kinds.
    unsafe {
        let length = if value.is_null() {
            name.cast::<usize>().sub(2).read_unaligned()
        } else {
            value.addr().saturating_sub(name.addr() + 1)
        };
        std::slice::from_raw_parts(name.cast(), length)
    }
}

/// # Safety
/// `start` is null or has as many bytes as are said, for as long as `'a`.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, len) })
}

/// Why the call that this thread made last failed.
fn last_error() -> Fault {
    // SAFETY: asks for a number that belongs to this thread.
    let code = RDKafkaErrorCode::from(unsafe { rd_kafka_last_error() });
    Fault::new(code, code.to_string())
}
