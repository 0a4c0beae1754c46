//! Waiting for what becomes of a transaction's records, and who is to blame where one was not taken.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use host_events::Record;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::timeout;

use super::end::End;
use super::lane::Held;
use super::producer::RECORD;
use super::turn::{Turn, WRITING};
use crate::broker::{BrokerError, Output, TopicRef};
use crate::kafka::chains::{alone, chains};
use crate::kafka::native::admin::Fault;
use crate::kafka::parcel::{Parcel, is_swept};
use crate::kafka::travel::{Sent, Travel};

/// How often it is looked whether records still travel.
const LOOK: Duration = Duration::from_millis(50);

/// After so many looks the topics are asked for that are waited for: one that was deleted takes nothing.
const LOOKS: u32 = 20;

/// How long is waited for what they say at most: longer than it takes to hear of a topic that was just made, and
/// less than a record may take.
const ASKED: Duration = Duration::from_secs(5);

/// The looks that this stands for, so that a question without an answer puts no end off.
const ASKED_LOOKS: u32 = ASKED.as_secs() as u32 * 20;

/// After this a producer that takes records, and tells nothing of them, is given up. Longer than any record may
/// take.
pub(super) const SILENT: Duration = Duration::from_secs(2 * RECORD.as_secs());

/// The looks that this takes.
const MOST_LOOKS: u32 = SILENT.as_secs() as u32 * 20;

const _: () = assert!(MOST_LOOKS as u128 * LOOK.as_millis() == SILENT.as_millis());

/// Looks at records that travel.
#[derive(Default)]
struct Watch {
    looks: u32,
}

/// What is to be seen.
#[derive(Debug, PartialEq)]
enum Sight {
    /// Everything is reported.
    All,
    NotYet,
    /// Nothing will come any more.
    Silence,
}

impl Watch {
    async fn look(&mut self, all: Pin<&mut impl Future<Output = ()>>) -> Sight {
        let looked = timeout(LOOK, all).await;
        // Counted, and not measured: a host that was stopped has not looked.
        self.looks += 1;
        match looked {
            Ok(()) => Sight::All,
            Err(_) if self.looks >= MOST_LOOKS => Sight::Silence,
            Err(_) => Sight::NotYet,
        }
    }
}

impl Turn<'_> {
    /// Whose topics turned out to be gone, or of another life, while records travelled.
    pub(super) async fn unconfirmed(
        &self,
        loads: &[Arc<Vec<Output>>],
        ours: usize,
    ) -> Vec<(usize, BrokerError)> {
        let mut blamed = Vec::new();
        for (load, outputs) in loads.iter().enumerate().take(ours) {
            let topics = outputs.iter().map(|output| &output.topic);
            blamed.extend(self.outlets.confirm(topics).await.map(|error| (load, error)));
        }
        blamed
    }

    /// Sends all of it and waits until it is reported and taken; or says how the transaction is to end.
    pub(super) async fn delivered(
        &self,
        held: &Held,
        travel: &Travel<'_>,
        ours: usize,
    ) -> Result<(), Option<End>> {
        let chains = chains(travel.loads(), |topic| self.outlets.known_limit(topic));
        let all = travel.go(&chains, WRITING);
        tokio::pin!(all);
        let mut watch = Watch::default();
        let arrived = loop {
            match watch.look(all.as_mut()).await {
                Sight::All => break !travel.was_late(),
                Sight::Silence => return Err(Some(End::Broken(self.silence()))),
                Sight::NotYet if !held.producer.is_sound() => break false,
                Sight::NotYet if watch.looks.is_multiple_of(LOOKS) => tokio::select! {
                    // What travels goes on while a question takes its time.
                    () = &mut all => break !travel.was_late(),
                    dead = timeout(ASKED, self.dead_outlets(travel.sent(), ours)) => match dead {
                        Ok(Some(end)) => return Err(Some(end)),
                        Ok(None) => {}
                        Err(_) => watch.looks += ASKED_LOOKS,
                    },
                },
                Sight::NotYet => {}
            }
        };
        let sent = travel.sent();
        let refused = |(load, parcel): &Sent| Some((*load, Arc::clone(parcel), parcel.refused()?));
        let refused: Vec<_> = sent.iter().filter_map(refused).collect();
        if refused.is_empty() && arrived {
            return Ok(());
        }
        if refused.is_empty() && travel.was_late() {
            let links = chains.iter().flatten().map(Vec::len).sum();
            return Err(Some(End::TooMuch(self.too_much(sent.len(), links))));
        }
        // The library counts what the cluster refused, not what it refused itself: a commit that leaves that
        // out would succeed.
        let unclear = refused.iter().find(|(_, _, code)| !is_swept(*code));
        let unclear = unclear.map(|(_, _, code)| {
            End::Unclear(self.cluster.fault("", &Fault::new(*code, code.to_string())))
        });
        Err(self.blame(&sent, &refused, ours).await.or(unclear))
    }

    /// A producer tells nothing of what it was given.
    pub(super) fn silence(&self) -> BrokerError {
        let words = format!("lane {}: its producer has told nothing for {SILENT:?}", self.lane);
        BrokerError::Unavailable(self.cluster.words("", &words))
    }

    /// Who waits for a topic that is not there.
    async fn dead_outlets(&self, sent: Vec<Sent>, ours: usize) -> Option<End> {
        let waits = |(load, parcel): &&Sent| *load < ours && !parcel.is_done();
        let waiting = sent.iter().filter(waits);
        let waiting: Vec<_> =
            waiting.filter_map(|(load, parcel)| Some((*load, &parcel.output()?.topic))).collect();
        let topics: HashSet<&TopicRef> = waiting.iter().map(|(_, topic)| *topic).collect();
        let lives = topics.into_iter().map(|topic| async move {
            Some((topic, self.outlets.check_lives(std::iter::once(topic)).await?))
        });
        let dead: HashMap<_, _> = join_all(lives).await.into_iter().flatten().collect();
        let mut blamed: Vec<(usize, BrokerError)> = Vec::new();
        for (load, topic) in waiting {
            if let Some(error) = dead.get(topic)
                && !blamed.iter().any(|(other, _)| *other == load)
            {
                blamed.push((load, error.clone()));
            }
        }
        (!blamed.is_empty()).then_some(End::Blamed(blamed))
    }

    /// Who is to blame, as far as the reports say.
    async fn blame(
        &self,
        sent: &[Sent],
        refused: &[(usize, Arc<Parcel>, Code)],
        ours: usize,
    ) -> Option<End> {
        let mut blamed: Vec<(usize, BrokerError)> = Vec::new();
        for (load, parcel, code) in refused {
            let Some(output) = parcel.output() else { continue };
            if is_swept(*code) || blamed.iter().any(|(other, _)| other == load) {
                continue;
            }
            if *code == Code::MessageSizeTooLarge {
                match self.too_large(output).await {
                    // Whose record of ours it is shows when each goes alone.
                    Ok(Some(error)) if *load == ours => return Some(End::Unclear(error)),
                    Ok(Some(error)) => blamed.push((*load, error)),
                    // A batch has records of several entries, and all of them fall with it.
                    Ok(None) => {}
                    Err(end) => return Some(end),
                }
                continue;
            }
            // Whatever was known of it is no longer so.
            self.outlets.forget(&output.topic.topic);
            let fault = Fault::new(*code, code.to_string());
            let mut error = self.cluster.fault(&output.topic.topic, &fault);
            // Of this very partition: one whose leader is away says nothing of the others.
            let is_it = |part: &Parcel| {
                part.output().is_some_and(|one| {
                    one.topic == output.topic && one.partition == output.partition
                })
            };
            let in_part = || sent.iter().any(|(_, part)| is_it(part) && part.was_taken_in_part());
            if *code == Code::MessageTimedOut && in_part() {
                // What is slow gets through in smaller parts.
                error = BrokerError::TooMuch(error.to_string());
            }
            if *load == ours {
                return Some(End::Aborted(error));
            }
            blamed.push((*load, error));
        }
        (!blamed.is_empty()).then_some(End::Blamed(blamed))
    }

    /// Whether an output has a record that its topic does not take.
    async fn too_large(&self, output: &Output) -> Result<Option<BrokerError>, End> {
        let used = self.outlets.known_limit(&output.topic.topic);
        let limit = self.outlets.fresh_limit(&output.topic).await.map_err(End::Aborted)?;
        let size = output.records.iter().map(Record::size).max().unwrap_or_default();
        let wire = output.records.iter().map(alone).max().unwrap_or_default();
        let error = |size| BrokerError::TooLarge { size, limit };
        if size > limit {
            return Ok(Some(error(size)));
        }
        if limit != used {
            return Err(End::Again(error(size)));
        }
        Ok((wire > limit).then(|| error(wire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_that_never_come_are_not_waited_for_for_ever() {
        let parcel = Parcel::new(Arc::default(), 0);
        let all = parcel.done();
        tokio::pin!(all);
        let mut watch = Watch { looks: MOST_LOOKS - 2 };
        assert_eq!(watch.look(all.as_mut()).await, Sight::NotYet);
        assert_eq!(watch.look(all.as_mut()).await, Sight::Silence);
        parcel.one_less(None);
        assert_eq!(watch.look(all.as_mut()).await, Sight::All);
    }
}
