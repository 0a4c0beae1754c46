//! Questions that only a group's coordinator answers, and the client that asks these and nothing else.
//!
//! librdkafka (2.12) ends the whole process where such a question times out while its coordinator is away: it goes on
//! waiting for the coordinator, although nobody holds it any more. So it has no time there that could run out
//! ([`groups`](super::native::admin)): it is given up here, and the client goes with it, which takes back whatever waits in
//! it. That is why others than these questions are not asked of this client.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::{sleep, timeout};

use super::native::admin::Fault;
use super::native::handle::Handle;
use super::shared::SharedClient;

/// How long one question waits: a coordinator that is elected anew needs some seconds.
const QUESTION: Duration = Duration::from_secs(10);

/// How long a client is kept that is asked nothing: it costs threads and connections.
const IDLE: Duration = Duration::from_secs(60);

/// The client that is there, if one is: made when it is needed, and kept while it answers.
#[derive(Default)]
pub(super) struct Coordinators(Slot);

type Slot = Arc<Mutex<Option<There>>>;

struct There {
    client: Arc<SharedClient>,
    used: Instant,
}

/// A question under way. Unless it was answered, its client is asked nothing more.
struct Asking {
    slot: Slot,
    client: Arc<SharedClient>,
    is_answered: bool,
}

impl Coordinators {
    /// Asks. May be given up at any time. Only inside of a runtime.
    pub(super) async fn ask<T, Q>(
        &self,
        make: impl FnOnce() -> Result<Arc<SharedClient>, Fault>,
        question: impl FnOnce(Handle) -> Q,
    ) -> Result<T, Fault>
    where
        Q: Future<Output = Result<T, Fault>>,
    {
        let mut asking = self.begin(make)?;
        let handle = asking.client.handle().ok_or_else(|| Fault::ours("the client is closing"))?;
        let answer = timeout(QUESTION, question(handle)).await.unwrap_or_else(|_| Err(silence()));
        // One that refused to answer may know another coordinator than there is.
        asking.is_answered = answer.is_ok();
        answer
    }

    fn begin(
        &self,
        make: impl FnOnce() -> Result<Arc<SharedClient>, Fault>,
    ) -> Result<Asking, Fault> {
        let mut there = lock(&self.0);
        let client = match &mut *there {
            Some(there) => {
                there.used = Instant::now();
                Arc::clone(&there.client)
            }
            None => {
                let client = make()?;
                tokio::spawn(until_idle(Arc::downgrade(&self.0), Arc::downgrade(&client), IDLE));
                *there = Some(There { client: Arc::clone(&client), used: Instant::now() });
                client
            }
        };
        Ok(Asking { slot: Arc::clone(&self.0), client, is_answered: false })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.is_answered {
            drop(take(&self.slot, |there| Arc::ptr_eq(&there.client, &self.client)));
        }
    }
}

/// Gives a client up that was asked nothing for a while. Others who still wait for an answer of it keep it until then.
async fn until_idle(slot: Weak<Mutex<Option<There>>>, client: Weak<SharedClient>, idle: Duration) {
    loop {
        sleep(idle).await;
        let (Some(slot), Some(client)) = (slot.upgrade(), client.upgrade()) else { return };
        let is_idle =
            |there: &There| Arc::ptr_eq(&there.client, &client) && there.used.elapsed() >= idle;
        if take(&slot, is_idle).is_some() {
            return;
        }
    }
}

fn take(slot: &Slot, is_it: impl FnOnce(&There) -> bool) -> Option<There> {
    lock(slot).take_if(|there| is_it(there))
}

fn silence() -> Fault {
    let words = format!("the coordinator of a group has not answered for {} s", QUESTION.as_secs());
    Fault::new(Code::OperationTimedOut, words)
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<There>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::native::admin;
    use crate::kafka::voice::Voice;
    use rdkafka::ClientConfig;

    fn make() -> Result<Arc<SharedClient>, Fault> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.77.7.7:9");
        SharedClient::make(&config, &Voice::new("k", None))
            .map_err(|error| Fault::ours(error.to_string()))
    }

    async fn group(handle: Handle) -> Result<(), Fault> {
        admin::describe_groups(&handle, &["g"]).await.map(drop)
    }

    fn there(coordinators: &Coordinators) -> Option<Weak<SharedClient>> {
        lock(&coordinators.0).as_ref().map(|there| Arc::downgrade(&there.client))
    }

    async fn is_gone(client: &Weak<SharedClient>) {
        // The task that takes reports out may hold it for a moment.
        while client.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_question_that_is_given_up_takes_its_client_along_and_the_next_one_has_another() {
        let coordinators = Coordinators::default();
        let mut asked: Vec<_> = (0..3).map(|_| Box::pin(coordinators.ask(make, group))).collect();
        for question in &mut asked {
            assert!(futures::poll!(question).is_pending());
        }
        let first = there(&coordinators).unwrap();
        drop(asked.pop());
        assert!(there(&coordinators).is_none() && first.upgrade().is_some(), "two still ask it");
        let mut later = Box::pin(coordinators.ask(make, group));
        assert!(futures::poll!(&mut later).is_pending());
        let second = there(&coordinators).unwrap();
        assert!(!first.ptr_eq(&second));
        drop(asked);
        is_gone(&first).await;
        assert!(there(&coordinators).unwrap().ptr_eq(&second), "it is not theirs");
        drop(later);
        is_gone(&second).await;
    }

    #[tokio::test]
    async fn a_question_without_an_answer_ends_and_what_is_answered_keeps_its_client() {
        let coordinators = Coordinators::default();
        coordinators.ask(make, |_| async { Ok(()) }).await.unwrap();
        let first = there(&coordinators).unwrap();
        coordinators.ask(make, |_| async { Ok(()) }).await.unwrap();
        assert!(there(&coordinators).unwrap().ptr_eq(&first));
        let fault = coordinators.ask(make, group).await.unwrap_err();
        assert!(fault.text.contains("has not answered for 10 s"), "{}", fault.text);
        is_gone(&first).await;
    }

    #[tokio::test]
    async fn a_client_that_is_asked_nothing_is_given_up() {
        let coordinators = Coordinators::default();
        coordinators.ask(make, |_| async { Ok(()) }).await.unwrap();
        let client = there(&coordinators).unwrap();
        let slot = Arc::downgrade(&coordinators.0);
        until_idle(slot, Weak::clone(&client), Duration::from_millis(10)).await;
        assert!(there(&coordinators).is_none());
        is_gone(&client).await;
    }
}
