//! Calls by the clock, of a plugin that exports the interface `timer`.
//!
//! Knows no clock: whoever calls says when it is.

use std::time::Duration;

use super::Instance;
use crate::action::Action;
use crate::call::Deadline;
use crate::error::CallError;
use crate::limits::{MAX_TICK_MS, MIN_TICK_MS};
use crate::v1;
use crate::version::Optional;
use crate::view::View;

impl Instance {
    /// How long from tick to tick; none where it wants no ticks.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Asks how long from tick to tick: the configuration may say it.
    pub(super) async fn ask_interval(&mut self) -> Result<(), CallError> {
        if !self.plugin.exports(Optional::Timer) {
            return Ok(());
        }
        let asked = self.caller.call(Deadline::Init, |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                match &guest.timer {
                    Some(timer) => timer.interval.call(store, ()).await.map(Some),
                    None => Ok(None),
                }
            })
        });
        self.interval = match asked.await?.unwrap_or(0) {
            0 => None,
            wish @ MIN_TICK_MS..=MAX_TICK_MS => Some(Duration::from_millis(wish.into())),
            wish => {
                let words = format!(
                    "limit passed: timer_min_ms={MIN_TICK_MS} timer_max_ms={MAX_TICK_MS}: asks for a tick every {wish} ms"
                );
                return Err(CallError::Contract(words));
            }
        };
        Ok(())
    }

    /// Lets the plugin act at a moment, milliseconds since 1970, and gives back what it decided, checked. Call
    /// [`crate::ShardState::begin`] first, or it cannot write state.
    ///
    /// # Errors
    /// As for [`Self::process`].
    pub async fn tick(&mut self, now: i64) -> Result<Vec<Action>, CallError> {
        let answer = self.tick_uncounted(View::tick(self.shard, now)).await;
        answer.inspect_err(|error| self.usage.failed(error))
    }

    async fn tick_uncounted(&mut self, view: View) -> Result<Vec<Action>, CallError> {
        let now = view.timestamp();
        let shown = view.clone();
        let answer = self.caller.call(Deadline::Call, move |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                let Some(timer) = &guest.timer else {
                    return Ok(Ok(Vec::new()));
                };
                store.data_mut().stand_at(&shown);
                let answer = timer.tick.call(store, (now,)).await;
                store.data_mut().end();
                answer
            })
        });
        let actions = answer.await?.map_err(|error| v1::refused(error, Some(&view)))?;
        Ok(v1::check(actions, &view, &self.terms(true))?.actions)
    }
}
