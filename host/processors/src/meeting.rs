//! Where the shards of a processor meet before they take over state with a new version: all of them do, or none.
//!
//! Each says whether that version can read its state, and waits for the others, at a batch boundary. One that cannot be opened now, because
//! another host has it or its broker is away, is not waited for, and one that does not come not without end: they are
//! asked when they begin.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long the others are waited for. Events wait as long: more than reading a large state takes, and less than
/// somebody takes for a host that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// The meeting about one version.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    said: Mutex<Said>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Said {
    yes: BTreeSet<u32>,
    away: BTreeSet<u32>,
    no: Option<String>,
}

impl Meeting {
    /// A shard can take over; waits until all of them can.
    ///
    /// # Errors
    /// Why another one cannot.
    pub(crate) async fn agree(&self, shard: u32, shards: u32) -> Result<(), String> {
        self.comes(shard);
        self.more.notify_waiters();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(no) = self.refusal() {
                return Err(no);
            }
            if self.are_all(shards) || timeout_at(deadline, more).await.is_err() {
                return Ok(());
            }
        }
    }

    /// A shard cannot be opened now.
    pub(crate) fn leave(&self, shard: u32) {
        let mut said = self.lock();
        if !said.yes.contains(&shard) {
            said.away.insert(shard);
        }
        drop(said);
        self.more.notify_waiters();
    }

    fn comes(&self, shard: u32) {
        let mut said = self.lock();
        said.away.remove(&shard);
        said.yes.insert(shard);
    }

    fn are_all(&self, shards: u32) -> bool {
        let said = self.lock();
        said.yes.len() + said.away.len() >= shards as usize
    }

    /// A shard cannot.
    pub(crate) fn refuse(&self, why: &str) {
        self.lock().no.get_or_insert_with(|| why.to_owned());
        self.more.notify_waiters();
    }

    /// Why one of them cannot.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.lock().no.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_go_on_when_all_can_and_none_where_one_cannot() {
        let meeting = Meeting::default();
        let (one, two) = tokio::join!(meeting.agree(0, 2), meeting.agree(1, 2));
        assert_eq!((one, two), (Ok(()), Ok(())));
        let meeting = Meeting::default();
        let (said, ()) = tokio::join!(meeting.agree(0, 2), async { meeting.refuse("no") });
        assert_eq!(said, Err("no".to_owned()));
        assert_eq!(meeting.agree(1, 2).await, Err("no".to_owned()), "also who comes later");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_come_is_not_waited_for_without_end() {
        let (meeting, began) = (Meeting::default(), Instant::now());
        assert_eq!(meeting.agree(0, 2).await, Ok(()));
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_opened_now_is_not_waited_for_and_asked_later() {
        let (meeting, began) = (Meeting::default(), Instant::now());
        meeting.leave(1);
        assert_eq!(meeting.agree(0, 2).await, Ok(()));
        meeting.leave(0);
        assert_eq!(meeting.agree(1, 2).await, Ok(()), "who has agreed does not count as away");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
