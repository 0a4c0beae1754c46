//! What was sent and is not taken yet, where somebody waits for it to be gone: how long that may take.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing may be taken of the rest of a frame of a stream that has ended: whoever ended it waits for that. Who
/// takes nothing for so long loses the connection. A stream that goes on may take nothing for so long of what was sent
/// before it was held, too; then it ends.
const NOTHING: Duration = Duration::from_secs(5);

/// How long all of it may take: what waits of one stream is a mebibyte, which a line of a megabit takes in ten seconds.
/// Less than whoever has ended it waits.
pub(super) const ALL: Duration = Duration::from_secs(15);

/// How it goes.
#[derive(Debug)]
pub(super) struct Rest {
    since: Instant,
    /// So much was left, and since when.
    left: Option<(usize, Instant)>,
}

impl Rest {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), left: None }
    }

    /// Whether too little was taken of it, now that so much is left.
    pub(super) fn is_late(&mut self, left: usize) -> bool {
        let now = Instant::now();
        let (before, at) = *self.left.get_or_insert((left, now));
        if left < before {
            self.left = Some((left, now));
        }
        now - self.since >= ALL || (left >= before && now - at >= NOTHING)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_has_time_and_one_that_takes_nothing_has_less() {
        let (mut slow, mut silent) = (Rest::new(), Rest::new());
        for second in 0..15 {
            assert!(!slow.is_late(1_000 - second), "{second}");
            assert_eq!(silent.is_late(1_000), second >= 5, "{second}");
            advance(Duration::from_secs(1)).await;
        }
        assert!(slow.is_late(1));
    }
}
