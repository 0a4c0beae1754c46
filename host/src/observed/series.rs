//! How many things have series of their own on the page of metrics.
//!
//! A database of metrics keeps every series for as long as it keeps anything, so there is a limit to what a host
//! gives it. Beyond it the oldest keep theirs, so that a new thing takes no other's away; what has none is counted.

use host_observe::{Exposition, Kind};

/// Processors with series of their own, about 40 for each.
pub(super) const MOST_PROCESSORS: usize = 2_000;

/// Flows with series of their own, three for each.
pub(super) const MOST_FLOWS: usize = 20_000;

/// Subscriptions of either end with series of their own, six for each.
pub(super) const MOST_SUBSCRIPTIONS: usize = 5_000;

/// How many were left out, of each kind.
pub(super) type Omitted = Vec<(&'static str, u64)>;

/// Leaves so many of them, the oldest; says how many went.
pub(super) fn oldest<T, K: Ord>(things: &mut Vec<T>, most: usize, age: impl Fn(&T) -> K) -> u64 {
    let omitted = things.len().saturating_sub(most);
    if omitted > 0 {
        things.sort_by_key(age);
        things.truncate(most);
    }
    omitted as u64
}

pub(super) fn write(page: &mut Exposition, omitted: &Omitted) {
    let help = "Things that have no series of their own because there are too many.";
    let mut family = page.family("fnaa_series_omitted", Kind::Gauge, help);
    for (what, count) in omitted {
        family.sample(&[("of", what)], *count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_keep_their_series_and_the_others_are_counted() {
        let mut things = vec![(3, "c"), (1, "b"), (2, "a")];
        assert_eq!(oldest(&mut things, 3, |(age, _)| *age), 0);
        assert_eq!(things.first(), Some(&(3, "c")));
        assert_eq!(oldest(&mut things, 2, |(age, _)| *age), 1);
        assert_eq!(things, [(1, "b"), (2, "a")]);
        let mut page = Exposition::default();
        write(&mut page, &vec![("processor", 1), ("flow", 0)]);
        let text = page.into_text();
        assert!(text.contains("fnaa_series_omitted{of=\"processor\"} 1\n"), "{text}");
    }
}
