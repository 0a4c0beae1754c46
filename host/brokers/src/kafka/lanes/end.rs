//! How a transaction of a lane ends: committed, aborted with the producer as good as before or a new one in its
//! stead, or in a way that nobody knows.

use std::sync::atomic::Ordering;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::lane::Held;
use super::producer::LaneProducer;
use super::recover;
use super::truth::Truth;
use super::turn::Turn;
use crate::broker::BrokerError;
use crate::kafka::native::produce::Trouble;

/// How a transaction ended.
pub(super) enum End {
    Committed,
    /// Aborted; these are to blame, each for what is said.
    Blamed(Vec<(usize, BrokerError)>),
    /// Aborted, and nobody in it is to blame.
    Aborted(BrokerError),
    /// Aborted, and it cannot be said who is to blame.
    Unclear(BrokerError),
    /// Aborted: it is more than can be written while a transaction may last.
    TooMuch(BrokerError),
    /// Aborted; the same goes well when it is done again with what is known now.
    Again(BrokerError),
    /// Aborted, and the producer is of no use any more.
    Broken(BrokerError),
    /// Somebody else has the lane.
    Fenced,
    Unknown(BrokerError),
}

impl Turn<'_> {
    /// Aborts, for a known reason or for the one that the library gives.
    pub(super) async fn abort(&self, held: &mut Held, end: Option<End>) -> End {
        let end = match end {
            Some(end) => end,
            None => match held.producer.commit().await {
                // It cannot be: something was refused or not reported.
                Ok(()) => return End::Unknown(self.closed()),
                Err(trouble) if trouble.is_fatal => return self.broken(&trouble),
                Err(trouble) => match self.cluster.fault("", &trouble.fault) {
                    away @ BrokerError::Unavailable(_) => End::Aborted(away),
                    other => End::Unclear(other),
                },
            },
        };
        let Err(trouble) = held.producer.abort().await else { return end };
        match self.broken(&trouble) {
            // Those who are not to blame go on as if it had been aborted, where nothing else happened.
            End::Broken(error) => match self.renew(held).await {
                Ok(true) => end,
                _ => End::Broken(error),
            },
            fenced => fenced,
        }
    }

    /// A new producer for one that is of no use any more. It settles what was left behind. Whether what is
    /// true of the lane is still what is known here.
    async fn renew(&self, held: &mut Held) -> Result<bool, BrokerError> {
        held.producer = LaneProducer::open(self.cluster, self.ours, self.lane).await?;
        let mut truth = Truth::of_whole_log();
        recover::read(self.cluster, self.ours, self.lane, &mut truth).await?;
        let same = truth.has_same_shards(&held.truth);
        held.truth = truth;
        Ok(same)
    }

    pub(super) async fn commit(&self, held: &mut Held) -> End {
        let Err(trouble) = held.producer.commit().await else { return End::Committed };
        if trouble.needs_abort && !trouble.is_fatal {
            let error = self.cluster.fault("", &trouble.fault);
            return self.abort(held, Some(End::Aborted(error))).await;
        }
        self.note(&trouble);
        // Also where it was fenced: the first attempt may have been heard before.
        End::Unknown(self.cluster.fault("", &trouble.fault))
    }

    /// The producer is of no use, and nothing of the transaction was committed.
    pub(super) fn broken(&self, trouble: &Trouble) -> End {
        if self.note(trouble) {
            return End::Fenced;
        }
        End::Broken(match self.cluster.fault("", &trouble.fault) {
            refused @ BrokerError::Refused(_) => refused,
            other => BrokerError::Unavailable(other.to_string()),
        })
    }

    fn note(&self, trouble: &Trouble) -> bool {
        let fenced = is_fenced(trouble.fault.code);
        self.fenced.fetch_or(fenced, Ordering::Relaxed);
        fenced
    }
}

fn is_fenced(code: Code) -> bool {
    matches!(code, Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fenced)
}
