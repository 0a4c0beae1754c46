//! Records handed to a producer as they are, and the calls of a transaction.
//!
//! Values are not copied: the message that points into one holds the parcel that keeps it.

use std::ffi::{CString, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;
use std::time::Duration;

use host_events::{Headers, Record};
use rdkafka::bindings::*;
use rdkafka::error::RDKafkaErrorCode;

use super::admin::Fault;
use super::handle::Handle;
use crate::kafka::parcel::Parcel;

/// A topic to produce to.
pub(in crate::kafka) struct Topic {
    topic: NonNull<rd_kafka_topic_t>,
    client: Handle,
}

// SAFETY: librdkafka's topics may be used by any thread, and the client is kept.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Topic {
    pub(in crate::kafka) fn new(client: &Handle, name: &str) -> Result<Self, RDKafkaErrorCode> {
        let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
        // SAFETY: client and name are alive; librdkafka copies the name.
        let topic = unsafe { rd_kafka_topic_new(client.as_ptr(), name.as_ptr(), null_mut()) };
        let topic = NonNull::new(topic).ok_or(RDKafkaErrorCode::InvalidTopic)?;
        Ok(Self { topic, client: client.clone() })
    }

    /// Hands one record over. What becomes of it is reported to the parcel, of whose outputs the record is
    /// one.
    pub(in crate::kafka) fn produce(
        &self,
        partition: u32,
        record: &Record,
        parcel: &Arc<Parcel>,
    ) -> Result<(), RDKafkaErrorCode> {
        let partition = i32::try_from(partition).map_err(|_| RDKafkaErrorCode::UnknownPartition)?;
        parcel.one_more();
        let opaque = Arc::into_raw(Arc::clone(parcel)).cast_mut().cast::<c_void>();
        let headers = native_headers(&record.headers);
        let message = [
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT, |u| u.rkt = self.topic.as_ptr()),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION, |u| u.i32_ = partition),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = 0),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, |u| u.mem = memory(record.value.as_deref())),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, |u| u.mem = memory(record.key.as_deref())),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE, |u| u.ptr = opaque),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP, |u| u.i64_ = time(record.timestamp)),
            vu(rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = headers),
        ];
        // Without headers the last one is left out: a null list is none, but is looked at.
        let count = if headers.is_null() { message.len() - 1 } else { message.len() };
        // SAFETY: client and topic are alive. Keys are copied by librdkafka; the value is kept by the parcel,
        // which the opaque value holds until the report.
        let error = unsafe { rd_kafka_produceva(self.client.as_ptr(), message.as_ptr(), count) };
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: nothing was taken, so all three are still ours, and this is their last use.
        unsafe {
            let code = rd_kafka_error_code(error);
            rd_kafka_error_destroy(error);
            if !headers.is_null() {
                rd_kafka_headers_destroy(headers);
            }
            let parcel = Arc::from_raw(opaque.cast_const().cast::<Parcel>());
            parcel.one_less(None);
            Err(RDKafkaErrorCode::from(code))
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, its client is alive, and this is the last use.
        unsafe { rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

fn vu(
    vtype: rd_kafka_vtype_t,
    set: impl FnOnce(&mut rd_kafka_vu_s__bindgen_ty_1),
) -> rd_kafka_vu_t {
    let mut u = rd_kafka_vu_s__bindgen_ty_1 { _pad: [0; 64] };
    set(&mut u);
    rd_kafka_vu_s { vtype, u }
}

/// Null for what is absent; what is empty has an address.
fn memory(bytes: Option<&[u8]>) -> rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
    let ptr = bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast());
    rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size: bytes.map_or(0, <[u8]>::len) }
}

/// librdkafka takes 0 for now, so the first millisecond of 1970 becomes the second one.
fn time(timestamp: i64) -> i64 {
    if timestamp == 0 { 1 } else { timestamp }
}

/// A list that is the caller's; null where there are no headers.
fn native_headers(headers: &Headers) -> *mut rd_kafka_headers_t {
    if headers.is_empty() {
        return null_mut();
    }
    // SAFETY: the list is ours; names and values are copied, and are as long as is said.
    unsafe {
        let list = rd_kafka_headers_new(headers.iter().count());
        for (name, value) in headers.iter() {
            let value = memory(value);
            let (size, len) = (name.len().cast_signed(), value.size.cast_signed());
            rd_kafka_header_add(list, name.as_ptr().cast(), size, value.ptr, len);
        }
        list
    }
}

/// Whether a producer takes records now. One with transactions does only in one that can be committed as far
/// as the library knows.
pub(in crate::kafka) fn takes_records(client: &Handle) -> bool {
    // SAFETY: the client is alive. A message of no parts is refused: because of the producer's state, which is
    // looked at first, or because no topic is named.
    unsafe {
        let error = rd_kafka_produceva(client.as_ptr(), std::ptr::null(), 0);
        let code = RDKafkaErrorCode::from(rd_kafka_error_code(error));
        rd_kafka_error_destroy(error);
        code == RDKafkaErrorCode::InvalidArgument
    }
}

/// Why a call of a transaction failed.
#[derive(Clone, Debug)]
pub(in crate::kafka) struct Trouble {
    pub(in crate::kafka) fault: Fault,
    /// The producer is of no use any more.
    pub(in crate::kafka) is_fatal: bool,
    /// The same call may be made again, and then goes on.
    pub(in crate::kafka) is_retriable: bool,
    /// The transaction has to be aborted.
    pub(in crate::kafka) needs_abort: bool,
}

/// Fences whoever had the same transactional id, and waits until what he left behind is settled. Blocks.
pub(in crate::kafka) fn init(client: &Handle, limit: Duration) -> Result<(), Trouble> {
    // SAFETY: the client is alive.
    unsafe { outcome(rd_kafka_init_transactions(client.as_ptr(), millis(limit))) }
}

/// Begins a transaction. Blocks only for as long as librdkafka's own thread needs to answer.
pub(in crate::kafka) fn begin(client: &Handle) -> Result<(), Trouble> {
    // SAFETY: the client is alive.
    unsafe { outcome(rd_kafka_begin_transaction(client.as_ptr())) }
}

/// Commits. Blocks. Everything has to be reported before.
pub(in crate::kafka) fn commit(client: &Handle, limit: Duration) -> Result<(), Trouble> {
    // SAFETY: the client is alive.
    unsafe { outcome(rd_kafka_commit_transaction(client.as_ptr(), millis(limit))) }
}

/// Sweeps away what is not sent and aborts. Blocks; reports have to be taken out meanwhile.
pub(in crate::kafka) fn abort(client: &Handle, limit: Duration) -> Result<(), Trouble> {
    // SAFETY: the client is alive.
    unsafe { outcome(rd_kafka_abort_transaction(client.as_ptr(), millis(limit))) }
}

fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// The error is null or the caller's to give away.
unsafe fn outcome(error: *mut rd_kafka_error_t) -> Result<(), Trouble> {
    // SAFETY: the error is alive until it is destroyed at the end.
    unsafe {
        let Err(fault) = Fault::of_error(error) else { return Ok(()) };
        let trouble = Trouble {
            fault,
            is_fatal: rd_kafka_error_is_fatal(error) != 0,
            is_retriable: rd_kafka_error_is_retriable(error) != 0,
            needs_abort: rd_kafka_error_txn_requires_abort(error) != 0,
        };
        rd_kafka_error_destroy(error);
        Err(trouble)
    }
}

/// Makes a producer unusable, as what cannot be mended does.
#[cfg(test)]
pub(in crate::kafka) fn fail_for_good(client: &Handle) {
    let code = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: client and words are alive.
    unsafe { rd_kafka_test_fatal_error(client.as_ptr(), code, c"of a test".as_ptr()) };
}
