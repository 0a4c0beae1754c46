//! How long a host may take: as long as is usual, or for what is left of the time that somebody gives.

use std::time::Duration;

use tokio::time::Instant;

/// What is begun just before the end has this long all the same: an answer on its way is worth more than a second.
const LAST_STEP: Duration = Duration::from_secs(1);

/// The end of the time that somebody gives, for connections and their answers together; without one only what is usual counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit(pub(super) Option<Instant>);

impl Limit {
    /// How long something may take that begins now.
    pub(crate) fn of(self, usual: Duration) -> Duration {
        let now = Instant::now();
        self.end(now, usual).saturating_duration_since(now)
    }

    /// By when something has to be there that has begun, or was heard of, at this time.
    pub(crate) fn end(self, begun: Instant, usual: Duration) -> Instant {
        let usual_end = begun + usual;
        self.0.map_or(usual_end, |end| end.max(begun + LAST_STEP).min(usual_end))
    }

    /// By when all of something has to be through that begins now, however often something of it comes; none without an end.
    pub(crate) fn whole(self) -> Option<Instant> {
        self.0.map(|end| end.max(Instant::now() + LAST_STEP))
    }

    /// Whether nothing more is to be begun.
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }

    /// The part of one of so many that are tried one after the other, so that the first does not take all of it.
    pub(super) fn share(self, of: usize) -> Self {
        let now = Instant::now();
        let parts = u32::try_from(of).unwrap_or(u32::MAX).max(1);
        Self(self.0.map(|end| now + end.saturating_duration_since(now) / parts))
    }

    /// The same for a host that could do nothing for so long, since somebody here was asked for a password.
    pub(super) fn later(self, by: Duration) -> Self {
        Self(self.0.and_then(|end| end.checked_add(by)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_left_bounds_what_is_usual_and_a_last_step_is_always_left() {
        let now = Instant::now();
        let end = |seconds| Limit(Some(now + Duration::from_secs(seconds))).end(now, USUAL) - now;
        assert_eq!(Limit::default().end(now, USUAL) - now, USUAL);
        assert_eq!((end(3), end(600)), (Duration::from_secs(3), USUAL));
        assert_eq!(end(0), LAST_STEP);
        let asked = Limit(Some(now)).later(Duration::from_secs(20));
        assert_eq!(asked.end(now, USUAL) - now, Duration::from_secs(20));
        let third = Limit(Some(now + Duration::from_secs(30))).share(3).0.unwrap();
        assert!(third < now + Duration::from_secs(20) && third > now + Duration::from_secs(9));
        assert_eq!(Limit::default().share(3), Limit::default());
        assert!(Limit(Some(now)).is_over() && !Limit::default().is_over());
        let words = super::super::no_answer(Duration::from_micros(2_999_990));
        assert_eq!(words, "no answer within 3 s");
    }
}
