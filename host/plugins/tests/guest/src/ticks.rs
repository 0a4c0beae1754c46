//! What the guest does by the clock, where its configuration says `tick`.

use std::time::{Duration, SystemTime};

use flow_sdk::{Action, Error, Event, Timer, state};

use crate::Guest;

impl Timer for Guest {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.config.tick.into()) * crate::lies::times_slower()
    }

    fn tick(&mut self, now: i64) -> Result<Vec<Action>, Error> {
        Ok(match self.config.act.as_str() {
            "tick-idle" => Vec::new(),
            "tick-trap" => crate::trap("deliberate"),
            "tick-loop" => crate::spin(),
            "tick-forward" => vec![Action::forward(0, 0)],
            "tick-large" => {
                vec![Action::emit(0, ticked(0, now).with_data("text/plain", vec![b'x'; 4096]))]
            }
            "tick-letter" => vec![Action::dead_letter(0, "none")],
            "tick-output" => vec![Action::emit(9, ticked(0, now))],
            "tick-remember" => vec![Action::emit(0, ticked(self.seen, now))],
            "tick-reject" => return Err(Error::reject(0, "none")),
            "tick-fatal" => return Err(Error::fatal("stop")),
            _ => {
                let number = state::get(b"ticks").and_then(|bytes| bytes.try_into().ok());
                let number = number.map_or(0, u64::from_be_bytes) + 1;
                state::set(b"ticks", &number.to_be_bytes())?;
                let mut event = ticked(number, now);
                if let Some(from) = state::get(b"from") {
                    event.set("from", &*String::from_utf8_lossy(&from));
                }
                vec![Action::emit(0, event)]
            }
        })
    }
}

/// The event of a tick: its number, the time it was told, and what its clock says.
fn ticked(number: u64, now: i64) -> Event {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Event::new(&number.to_string(), "/guest", "ticked")
        .with("now", now.to_string().as_str())
        .with("clock", clock.as_millis().to_string().as_str())
}
