//! A consumer of librdkafka's without a group: it reads the partitions that it is told to, from where it
//! is told, and nothing else.
//!
//! Made here and not by the binding, because the binding puts log lines into a queue, and one of them
//! has to be heard in the moment it is said (see `reading::ears`).

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::ptr::NonNull;
use std::sync::Arc;

use libc::sockaddr;
use rdkafka::ClientConfig;
use rdkafka::bindings::*;
use rdkafka::error::KafkaError;

use super::gate;
use super::handle::Handle;

/// What a consumer tells by itself. Called on threads of librdkafka's with its locks held: must neither
/// wait nor call back.
pub(in crate::kafka) trait Hears: Send + Sync + 'static {
    /// A line of its log; levels as those of syslog.
    fn line(&self, level: i32, facility: &str, line: &str);
    /// A broker answered a request.
    fn answered(&self) {}
    /// Whether it may connect to an address.
    fn may_reach(&self, _: SocketAddr) -> bool {
        true
    }
}

/// A consumer.
pub(in crate::kafka) struct Consumer {
    client: NonNull<rd_kafka_t>,
    /// What librdkafka's opaque pointers point to. Always there until `drop`.
    ears: Option<Box<Arc<dyn Hears>>>,
}

// SAFETY: librdkafka's clients may be used by any thread at any time.
unsafe impl Send for Consumer {}
// SAFETY: as above.
unsafe impl Sync for Consumer {}

impl Consumer {
    /// One that is `guarded` asks before it connects to anybody.
    pub(in crate::kafka) fn new(
        config: &ClientConfig,
        ears: Arc<dyn Hears>,
        guarded: bool,
    ) -> Result<Arc<Self>, KafkaError> {
        let ears = Box::new(ears);
        let opaque = std::ptr::from_ref::<Arc<dyn Hears>>(&ears).cast_mut().cast::<c_void>();
        let config = config.create_native_config()?;
        let mut words: [c_char; 512] = [0; 512];
        // SAFETY: the configuration is alive and copied; a copy that `rd_kafka_new` took is its own, one that
        // it refused is ours. `opaque` stays where it is until the client is destroyed.
        let client = unsafe {
            let copy = rd_kafka_conf_dup(config.ptr());
            rd_kafka_conf_set_opaque(copy, opaque);
            rd_kafka_conf_set_log_cb(copy, Some(on_line));
            if guarded {
                rd_kafka_conf_set_connect_cb(copy, Some(on_connect));
            }
            rd_kafka_conf_interceptor_add_on_new(copy, NAME.as_ptr(), Some(on_new), opaque);
            let kind = rd_kafka_type_t::RD_KAFKA_CONSUMER;
            let client = rd_kafka_new(kind, copy, words.as_mut_ptr(), words.len());
            if client.is_null() {
                rd_kafka_conf_destroy(copy);
            }
            client
        };
        // SAFETY: librdkafka ends its words with a zero within the buffer.
        let words = || unsafe { CStr::from_ptr(words.as_ptr()) }.to_string_lossy().into_owned();
        let client = NonNull::new(client).ok_or_else(|| KafkaError::ClientCreation(words()))?;
        Ok(Arc::new(Self { client, ears: Some(ears) }))
    }

    pub(in crate::kafka) fn handle(self: &Arc<Self>) -> Handle {
        let owner: Arc<dyn Any + Send + Sync> = Arc::<Self>::clone(self);
        Handle::of_client(self.client, owner)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let parting = Parting(self.client, self.ears.take());
        // It waits for the client's threads, and whoever drops it may be a task.
        let ended = std::thread::Builder::new().name("kafka-close".into());
        drop(ended.spawn(move || drop(parting)));
    }
}

/// A client that nobody uses any more, and what it tells.
struct Parting(NonNull<rd_kafka_t>, Option<Box<Arc<dyn Hears>>>);

// SAFETY: as `Consumer`.
unsafe impl Send for Parting {}

impl Drop for Parting {
    fn drop(&mut self) {
        // SAFETY: the last use of the client; what it tells lives until it has ended.
        unsafe { rd_kafka_destroy_flags(self.0.as_ptr(), 0) };
        drop(self.1.take());
    }
}

const NAME: &CStr = c"fnaa";

thread_local! {
    /// The last error that was only told as a line of the log, by a call of this thread.
    static TOLD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What of a partition's errors was only told as a line of the log by the calls that this thread made
/// since it asked last: that a topic or a partition is not there any more.
pub(super) fn told() -> Option<String> {
    TOLD.take()
}

/// # Safety
/// `opaque` is what `new` gave.
unsafe fn ears<'a>(opaque: *mut c_void) -> &'a dyn Hears {
    // SAFETY: it points to what lives as long as the client.
    unsafe { &**opaque.cast::<Arc<dyn Hears>>() }
}

unsafe extern "C" fn on_line(
    client: *const rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both are C strings for the time of this call, and a line can only be told by a client that is
    // there or being made: its opaque pointer is set before.
    unsafe {
        if client.is_null() {
            return;
        }
        let (facility, line) = (CStr::from_ptr(facility), CStr::from_ptr(line));
        let (facility, line) = (facility.to_string_lossy(), line.to_string_lossy());
        if facility == "ERROR" {
            let told = Some(line.clone().into_owned());
            // A thread that ends, and whose own things are gone, takes nothing out any more.
            drop(TOLD.try_with(|last| last.replace(told)));
        }
        ears(rd_kafka_opaque(client)).line(level, &facility, &line);
    }
}

unsafe extern "C" fn on_connect(
    socket: c_int,
    address: *const sockaddr,
    length: c_int,
    _: *const c_char,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is what `new` gave; the socket and the address are librdkafka's for the time of this call.
    unsafe {
        let ears = ears(opaque);
        gate::connect(socket, address, length, |at| ears.may_reach(at))
    }
}

unsafe extern "C" fn on_new(
    client: *mut rd_kafka_t,
    _: *const rd_kafka_conf_t,
    opaque: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> rd_kafka_resp_err_t {
    // SAFETY: called while the client is made, which is when this may be added.
    unsafe {
        rd_kafka_interceptor_add_on_response_received(
            client,
            NAME.as_ptr(),
            Some(on_answer),
            opaque,
        )
    }
}

unsafe extern "C" fn on_answer(
    _: *mut rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: i32,
    _: i16,
    _: i16,
    _: i32,
    size: usize,
    _: i64,
    _: rd_kafka_resp_err_t,
    opaque: *mut c_void,
) -> rd_kafka_resp_err_t {
    // Requests that failed without an answer have none of any size.
    if size > 0 {
        // SAFETY: `opaque` is what `new` gave.
        unsafe { ears(opaque) }.answered();
    }
    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
