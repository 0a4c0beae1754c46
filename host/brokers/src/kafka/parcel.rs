//! Records that are under way to the cluster, kept alive until librdkafka has told what became of each.
//!
//! Every message that librdkafka was given holds a part of its parcel, as its opaque value; so nothing that
//! a message points into goes away before its report, whoever stops waiting.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use crate::broker::Output;

/// One of several outputs, some or all of whose records are under way.
pub(super) struct Parcel {
    outputs: Arc<Vec<Output>>,
    /// Which of them.
    output: usize,
    /// Reports that are missing, and one more until everything is handed over.
    left: AtomicUsize,
    refused: Mutex<Option<Code>>,
    first: OnceLock<Instant>,
    taken: AtomicBool,
    done: Notify,
}

impl Parcel {
    pub(super) fn new(outputs: Arc<Vec<Output>>, output: usize) -> Arc<Self> {
        let (left, refused, taken) = (AtomicUsize::new(1), Mutex::default(), AtomicBool::default());
        let (first, done) = (OnceLock::new(), Notify::new());
        Arc::new(Self { outputs, output, left, refused, first, taken, done })
    }

    /// What is under way.
    pub(super) fn output(&self) -> Option<&Output> {
        self.outputs.get(self.output)
    }

    /// One more message is about to be handed over.
    pub(super) fn one_more(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of one message.
    pub(super) fn report(&self, refused: Option<Code>) {
        self.first.get_or_init(Instant::now);
        if refused.is_none() && !self.taken.load(Ordering::Relaxed) {
            self.taken.store(true, Ordering::Relaxed);
        }
        self.one_less(refused);
    }

    /// Whether the cluster took some of it.
    pub(super) fn was_taken_in_part(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// When the first report came.
    pub(super) fn first_report(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    /// What became of one message that was not taken; or, with no error, that everything was handed over.
    pub(super) fn one_less(&self, refused: Option<Code>) {
        if let Some(refused) = refused {
            let mut first = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            // What is swept away because of another one says less than that one.
            if first.is_none_or(|first| is_swept(first) && !is_swept(refused)) {
                *first = Some(refused);
            }
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_waiters();
        }
    }

    /// Whether everything is reported.
    pub(super) fn is_done(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    /// Why the first record was not taken that was not; of several the one that says most.
    pub(super) fn refused(&self) -> Option<Code> {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything is reported.
    pub(super) async fn done(&self) {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if self.is_done() {
                return;
            }
            done.await;
        }
    }
}

/// Whether a record fell because something else did.
pub(super) fn is_swept(code: Code) -> bool {
    matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::State | Code::Fatal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_done_when_all_is_reported_and_keeps_the_cause_that_says_most() {
        let parcel = Parcel::new(Arc::default(), 0);
        let (swept, cause) = (Code::PurgeQueue, Code::MessageSizeTooLarge);
        for _ in 0..3 {
            parcel.one_more();
        }
        parcel.one_less(None);
        parcel.one_less(Some(swept));
        assert_eq!(parcel.refused(), Some(swept));
        parcel.one_less(Some(cause));
        assert!(!parcel.is_done());
        parcel.one_less(Some(swept));
        assert!(parcel.is_done());
        assert_eq!(parcel.refused(), Some(cause));
    }
}
