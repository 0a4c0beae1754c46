//! Where the shards of a processor meet before they take over state with a new version: where one of them cannot, none does that has not
//! begun.
//!
//! Each says whether that version can read its state, and waits for the others of this host, at a batch boundary. One that cannot be opened
//! now, because another host has it or its broker is away, is not waited for, and one that does not come not without end: they are
//! asked when they begin, and where they cannot then, the others have begun. That is known here, because nobody goes back then.

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
    /// Whether a shard goes on with it, and its state may be that of this version.
    begun: bool,
}

impl Meeting {
    /// A shard can take over; waits until all of them can. It begins then.
    ///
    /// # Errors
    /// Why another one cannot.
    pub(crate) async fn agree(&self, shard: u32, shards: u32) -> Result<(), String> {
        self.comes(shard);
        self.more.notify_waiters();
        let (deadline, mut is_late) = (Instant::now() + PATIENCE, false);
        loop {
            let more = self.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(answer) = self.answer(shards, is_late) {
                return answer;
            }
            is_late = timeout_at(deadline, more).await.is_err();
        }
    }

    /// What holds for a shard that can; none while others are waited for. It is one step: where one has refused, nobody
    /// begins any more.
    fn answer(&self, shards: u32, is_late: bool) -> Option<Result<(), String>> {
        let mut said = self.lock();
        if let Some(no) = &said.no {
            return Some(Err(no.clone()));
        }
        let are_all = said.yes.len() + said.away.len() >= shards as usize;
        if !are_all && !is_late {
            return None;
        }
        said.begun = true;
        Some(Ok(()))
    }

    /// A shard goes on with that version without asking anybody: its state is of that one already, or it has none.
    pub(crate) fn goes_on(&self) {
        self.lock().begun = true;
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

    /// A shard cannot.
    pub(crate) fn refuse(&self, why: &str) {
        self.lock().no.get_or_insert_with(|| why.to_owned());
        self.more.notify_waiters();
    }

    /// Why one of them cannot, where no other one has begun: nobody will any more then.
    pub(crate) fn refusal(&self) -> Option<String> {
        let said = self.lock();
        said.no.clone().filter(|_| !said.begun)
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
        assert_eq!(meeting.refusal(), Some("no".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_came_after_another_shard_has_begun_is_none_for_the_whole() {
        let (late, away, same) = (Meeting::default(), Meeting::default(), Meeting::default());
        assert_eq!(late.agree(0, 2).await, Ok(()));
        away.leave(1);
        assert_eq!(away.agree(0, 2).await, Ok(()));
        same.goes_on();
        for meeting in [late, away, same] {
            meeting.refuse("no");
            assert_eq!(meeting.refusal(), None);
            assert_eq!(meeting.agree(0, 2).await, Err("no".to_owned()));
        }
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
