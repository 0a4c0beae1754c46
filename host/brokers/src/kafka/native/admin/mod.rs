//! Requests of librdkafka's admin API: asked on a queue of their own, answered to a task that waits.
//!
//! Each request has a limit of time, which librdkafka keeps; those to coordinators of groups none that runs out, whoever asks
//! has one of his own (`kafka::coordinators`). Whoever stops waiting before is free to: the answer is thrown away, but what
//! was asked may still be done.

mod changes;
mod configs;
mod groups;
mod offsets;
mod rights;
mod topics;

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new,
    rd_kafka_AdminOptions_set_operation_timeout, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_AdminOptions_t, rd_kafka_admin_op_t, rd_kafka_error_code, rd_kafka_error_destroy,
    rd_kafka_error_string, rd_kafka_error_t, rd_kafka_event_destroy, rd_kafka_event_error,
    rd_kafka_event_error_string, rd_kafka_event_t, rd_kafka_queue_t, rd_kafka_resp_err_t,
    rd_kafka_t,
};
use rdkafka::error::RDKafkaErrorCode;

use super::handle::{Handle, Queue};

pub(in crate::kafka) use changes::{create_partitions, create_topic, delete_records, delete_topic};
pub(in crate::kafka) use configs::{Setting, set_settings, settings};
pub(in crate::kafka) use groups::{Given, Group, committed, describe_groups, list_groups};
pub(in crate::kafka) use offsets::{Seen, Wanted, list_offsets};
pub(in crate::kafka) use rights::{Resource, allow, disallow, rights, rights_of, set_user};
pub(in crate::kafka) use topics::{TopicDescription, describe_topics};

/// Why a request, or a part of it, failed.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Fault {
    /// What it is.
    pub(in crate::kafka) code: RDKafkaErrorCode,
    /// In the broker's or the library's words.
    pub(in crate::kafka) text: String,
}

impl Fault {
    pub(in crate::kafka) fn new(code: RDKafkaErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Nothing that a broker said.
    pub(in crate::kafka) fn ours(text: impl Into<String>) -> Self {
        Self::new(RDKafkaErrorCode::Fail, text)
    }

    /// Of a code and words that may be missing.
    ///
    /// # Safety
    /// `text` is null or a C string.
    unsafe fn of_code(code: rd_kafka_resp_err_t, text: *const c_char) -> Result<(), Self> {
        let code = RDKafkaErrorCode::from(code);
        if code == RDKafkaErrorCode::NoError {
            return Ok(());
        }
        // SAFETY: passed on.
        let text = unsafe { string(text) };
        Err(Self { code, text: if text.is_empty() { code.to_string() } else { text } })
    }

    /// Of an error object, where null says that there is none.
    ///
    /// # Safety
    /// `error` is null or alive.
    pub(super) unsafe fn of_error(error: *const rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: it is alive; its words live as long.
        unsafe { Self::of_code(rd_kafka_error_code(error), rd_kafka_error_string(error)) }
    }
}

/// An answer, which everything that is read from it points into.
pub(super) struct Event(NonNull<rd_kafka_event_t>);

// SAFETY: an event is nobody else's once it was taken out of its queue.
unsafe impl Send for Event {}

impl Event {
    fn as_ptr(&self) -> *mut rd_kafka_event_t {
        self.0.as_ptr()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is the last use.
        unsafe { rd_kafka_event_destroy(self.as_ptr()) };
    }
}

/// Something of librdkafka's that is ours, and what gives it back.
struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    /// # Safety
    /// `made` is null or nobody else's, and `destroy` is what gives such a thing back.
    unsafe fn new(made: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, Fault> {
        let made = NonNull::new(made).ok_or_else(|| no_memory("a request"))?;
        Ok(Self(made, destroy))
    }

    fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and this is the last use.
        unsafe { (self.1)(self.as_ptr()) };
    }
}

/// Options of one request.
struct Options(Owned<rd_kafka_AdminOptions_t>);

impl Options {
    fn new(handle: &Handle, op: rd_kafka_admin_op_t, limit: Duration) -> Result<Self, Fault> {
        // SAFETY: the client is alive.
        let options = unsafe {
            Owned::new(
                rd_kafka_AdminOptions_new(handle.as_ptr(), op),
                rd_kafka_AdminOptions_destroy,
            )?
        };
        let millis = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
        let mut words = Words::default();
        // SAFETY: the options are alive and the buffer is as large as is said.
        let code = unsafe {
            rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                millis,
                words.as_mut_ptr(),
                words.len(),
            )
        };
        words.check(code)?;
        if waits_at_the_broker(op) {
            // SAFETY: as above.
            let code = unsafe {
                rd_kafka_AdminOptions_set_operation_timeout(
                    options.as_ptr(),
                    millis,
                    words.as_mut_ptr(),
                    words.len(),
                )
            };
            words.check(code)?;
        }
        Ok(Self(options))
    }
}

/// Whether the broker answers when it is done, instead of when it has begun.
fn waits_at_the_broker(op: rd_kafka_admin_op_t) -> bool {
    use rd_kafka_admin_op_t as Op;
    matches!(
        op,
        Op::RD_KAFKA_ADMIN_OP_CREATETOPICS
            | Op::RD_KAFKA_ADMIN_OP_DELETETOPICS
            | Op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
            | Op::RD_KAFKA_ADMIN_OP_DELETERECORDS
    )
}

/// A request that is under way.
struct Asked(Queue);

impl Asked {
    /// Makes a request. `send` gets what its C function wants: client, options, and the queue of the answer.
    fn new(
        handle: &Handle,
        op: rd_kafka_admin_op_t,
        limit: Duration,
        send: impl FnOnce(*mut rd_kafka_t, *mut rd_kafka_AdminOptions_t, *mut rd_kafka_queue_t),
    ) -> Result<Self, Fault> {
        Self::with(handle, &Options::new(handle, op, limit)?, send)
    }

    /// The same with options that say more.
    fn with(
        handle: &Handle,
        options: &Options,
        send: impl FnOnce(*mut rd_kafka_t, *mut rd_kafka_AdminOptions_t, *mut rd_kafka_queue_t),
    ) -> Result<Self, Fault> {
        let queue = Queue::new(handle).ok_or_else(|| no_memory("a queue"))?;
        send(handle.as_ptr(), options.0.as_ptr(), queue.as_ptr());
        Ok(Self(queue))
    }

    /// Waits for the answer, and gives it unless the request failed as a whole.
    async fn answer(self) -> Result<Event, Fault> {
        let event = loop {
            if let Some(event) = self.0.poll() {
                break Event(event);
            }
            self.0.woken().notified().await;
        };
        // SAFETY: the event is alive, and so are its words.
        unsafe {
            Fault::of_code(
                rd_kafka_event_error(event.as_ptr()),
                rd_kafka_event_error_string(event.as_ptr()),
            )
        }?;
        Ok(event)
    }
}

/// Room for librdkafka's words about a failure.
struct Words([c_char; 256]);

impl Default for Words {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Words {
    fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn check(&self, code: rd_kafka_resp_err_t) -> Result<(), Fault> {
        // SAFETY: librdkafka ends its words with a zero within the room that it was told.
        unsafe { Fault::of_code(code, self.0.as_ptr()) }
    }

    /// Of an error object that was given to us, where null says that there is none.
    fn refused(error: *mut rd_kafka_error_t) -> Result<(), Fault> {
        // SAFETY: it is null or alive, and nobody else's.
        unsafe {
            let fault = Fault::of_error(error);
            if !error.is_null() {
                rd_kafka_error_destroy(error);
            }
            fault
        }
    }

    fn fault(&self) -> Fault {
        // SAFETY: as above.
        Fault::new(RDKafkaErrorCode::InvalidArgument, unsafe { string(self.0.as_ptr()) })
    }
}

/// A copy of a C string; empty for null.
///
/// # Safety
/// `text` is null or a C string.
pub(super) unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: passed on.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// An array of librdkafka's with its length; empty for null.
///
/// # Safety
/// `array` is null or has `count` elements that live as long as what `'a` is taken from.
unsafe fn array<'a, T>(array: *mut *const T, count: usize) -> &'a [*const T] {
    if array.is_null() {
        return &[];
    }
    // SAFETY: passed on.
    unsafe { std::slice::from_raw_parts(array, count) }
}

fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| {
        Fault::new(RDKafkaErrorCode::InvalidArgument, "a zero byte in a name or value")
    })
}

fn no_memory(what: &str) -> Fault {
    Fault::new(RDKafkaErrorCode::Fail, format!("no memory for {what}"))
}
