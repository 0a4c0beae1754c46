//! Says when a run waits for its host, and when it goes on: once for each such episode.
//!
//! What passes within a few seconds is nobody's concern, so it says nothing of that.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::io::Words;

/// How long a run waits in silence: a host that restarts is mostly back by then.
pub(crate) const TELL_AFTER: Duration = Duration::from_secs(3);

/// Tells people of waits; clones share the episode.
#[derive(Clone)]
pub(crate) struct Teller {
    /// How long it says nothing.
    after: Duration,
    episode: Arc<Mutex<Episode>>,
}

struct Episode {
    say: Box<dyn Fn(&str) + Send>,
    /// What stands behind each reason: how long it waits, and how to end it.
    hint: String,
    /// None while all is well.
    since: Option<Instant>,
    told: bool,
}

impl Teller {
    pub(crate) fn new(words: Words) -> Self {
        Self::through(move |line| words.say(line))
    }

    /// One that says its lines in a way of its own.
    pub(crate) fn through(say: impl Fn(&str) + Send + 'static) -> Self {
        Self::after(TELL_AFTER, say)
    }

    fn after(after: Duration, say: impl Fn(&str) + Send + 'static) -> Self {
        let (say, hint) = (Box::new(say), String::new());
        let episode = Episode { say, hint, since: None, told: false };
        Self { after, episode: Arc::new(Mutex::new(episode)) }
    }

    /// The same, which also says this behind each reason.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        self.episode().hint = format!(" ({hint})");
        self
    }

    /// The run cannot go on, for this reason, and will look again after a pause. Said once it has
    /// lasted, or will last, for more than [`TELL_AFTER`].
    pub(crate) fn trouble(&self, reason: &(dyn Display + Sync), pause: Duration) {
        let mut episode = self.episode();
        let since = *episode.since.get_or_insert_with(Instant::now);
        if !episode.told && since.elapsed() + pause >= self.after {
            episode.told = true;
            (episode.say)(&format!("fnua: waiting for the host: {reason}{}", episode.hint));
        }
    }

    /// The run goes on.
    pub(crate) fn well(&self) {
        let mut episode = self.episode();
        let Some(since) = episode.since.take() else { return };
        if std::mem::take(&mut episode.told) {
            let seconds = since.elapsed().as_secs();
            (episode.say)(&format!("fnua: goes on, after {seconds} s"));
        }
    }

    /// Says so when something takes long.
    pub(crate) async fn watch<T>(&self, reason: &str, what: impl Future<Output = T>) -> T {
        tokio::pin!(what);
        tokio::select! {
            done = &mut what => return done,
            () = sleep(self.after) => self.trouble(&reason, self.after),
        }
        what.await
    }

    fn episode(&self) -> MutexGuard<'_, Episode> {
        self.episode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Teller")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Captured, Io};

    const LONG: Duration = Duration::from_secs(3600);

    fn teller(after: Duration) -> (Teller, Captured) {
        let (io, _, stderr) = Io::captured(Vec::new());
        let words = Words::new(io.stderr);
        (Teller::after(after, move |line| words.say(line)), stderr)
    }

    #[test]
    fn a_wait_is_told_once_with_its_reason_and_so_is_its_end() {
        let (teller, said) = teller(Duration::ZERO);
        for reason in ["503 UNAVAILABLE disk full", "refused", "refused"] {
            teller.trouble(&reason, Duration::ZERO);
        }
        teller.well();
        teller.well();
        let wanted =
            "fnua: waiting for the host: 503 UNAVAILABLE disk full\nfnua: goes on, after 0 s\n";
        assert_eq!(said.text(), wanted);
        teller.trouble(&"gone", Duration::ZERO);
        assert_eq!(said.text().lines().count(), 3);
    }

    #[test]
    fn what_passes_soon_is_not_told_but_a_long_pause_is_told_at_its_beginning() {
        let (teller, said) = teller(LONG);
        teller.trouble(&"gone", Duration::ZERO);
        teller.well();
        assert_eq!(said.text(), "");
        teller.trouble(&"429 RATE_LIMIT retry-after=3600", LONG);
        assert_eq!(said.text(), "fnua: waiting for the host: 429 RATE_LIMIT retry-after=3600\n");
    }

    #[tokio::test]
    async fn an_attempt_that_takes_long_is_told_while_it_lasts() {
        let (teller, said) = teller(Duration::ZERO);
        let slow = async {
            while said.text().is_empty() {
                tokio::task::yield_now().await;
            }
            7
        };
        assert_eq!(teller.watch("no answer", slow).await, 7);
        assert_eq!(said.text(), "fnua: waiting for the host: no answer\n");
        let (teller, said) = self::teller(LONG);
        teller.watch("no answer", async {}).await;
        assert_eq!(said.text(), "");
    }
}
