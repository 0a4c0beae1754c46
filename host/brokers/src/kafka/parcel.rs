//! Records that are under way to the cluster, kept alive until librdkafka has told what became of each.
//!
//! Every message that librdkafka was given holds a part of its parcel, as its opaque value; so nothing that
//! a message points into goes away before its report, whoever stops waiting.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use crate::broker::Output;

/// Outputs, some or all of whose records are under way.
pub(super) struct Parcel {
    outputs: Arc<Vec<Output>>,
    /// Reports that are missing, and one more until everything is handed over.
    left: AtomicUsize,
    refused: Mutex<Option<Refused>>,
    first: OnceLock<Instant>,
    done: Notify,
}

/// The first record of a parcel that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Which output; the first one where the report does not say.
    pub(super) output: usize,
    pub(super) code: RDKafkaErrorCode,
}

impl Parcel {
    pub(super) fn new(outputs: Arc<Vec<Output>>) -> Arc<Self> {
        let (left, refused) = (AtomicUsize::new(1), Mutex::default());
        let (first, done) = (OnceLock::new(), Notify::new());
        Arc::new(Self { outputs, left, refused, first, done })
    }

    pub(super) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// One more message is about to be handed over.
    pub(super) fn one_more(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of one message.
    pub(super) fn report(&self, refused: Option<Refused>) {
        self.first.get_or_init(Instant::now);
        self.one_less(refused);
    }

    /// When the first report came.
    pub(super) fn first_report(&self) -> Option<Instant> {
        self.first.get().copied()
    }

    /// What became of one message that was not taken; or, with no error, that everything was handed over.
    pub(super) fn one_less(&self, refused: Option<Refused>) {
        if let Some(refused) = refused {
            let mut first = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            // What is swept away because of another one says less than that one.
            if first.as_ref().is_none_or(|first| first.is_swept() && !refused.is_swept()) {
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

    pub(super) fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

impl Refused {
    /// Whether it fell because something else did.
    pub(super) fn is_swept(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight
                | RDKafkaErrorCode::State
                | RDKafkaErrorCode::Fatal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_done_when_all_is_reported_and_keeps_the_cause_that_says_most() {
        let parcel = Parcel::new(Arc::default());
        let swept = Refused { output: 0, code: RDKafkaErrorCode::PurgeQueue };
        let cause = Refused { output: 1, code: RDKafkaErrorCode::MessageSizeTooLarge };
        for _ in 0..3 {
            parcel.one_more();
        }
        parcel.one_less(None);
        parcel.one_less(Some(swept.clone()));
        assert_eq!(parcel.refused(), Some(swept.clone()));
        parcel.one_less(Some(cause.clone()));
        assert!(!parcel.is_done());
        parcel.one_less(Some(swept));
        assert!(parcel.is_done());
        assert_eq!(parcel.refused(), Some(cause));
    }
}
