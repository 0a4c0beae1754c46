//! Sets of offsets, for each partition of a flow: which dead letters are meant.
//!
//! Kept as merged ranges, so that "all of them" is one range however many there are. Knows nothing of
//! what lies at the offsets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

type Ranges = Vec<(u64, u64)>;

/// Offsets of each partition, as ranges `[from, to)` in order that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<u32, Ranges>", into = "BTreeMap<u32, Ranges>")]
pub struct Letters(BTreeMap<u32, Ranges>);

impl Letters {
    /// Adds the offsets from `from` up to and without `to`.
    pub fn add(&mut self, partition: u32, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let ranges = self.0.entry(partition).or_default();
        let first = ranges.partition_point(|(_, end)| *end < from);
        let last = ranges.partition_point(|(start, _)| *start <= to);
        let touched = ranges.get(first..last).unwrap_or_default();
        let from = touched.first().map_or(from, |(start, _)| from.min(*start));
        let to = touched.last().map_or(to, |(_, end)| to.max(*end));
        ranges.splice(first..last.max(first), [(from, to)]);
    }

    /// Adds everything that another set has.
    pub fn extend(&mut self, other: &Self) {
        for (partition, from, to) in other.iter() {
            self.add(partition, from, to);
        }
    }

    /// What is here and not in another set.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (partition, mut from, to) in self.iter() {
            for &(start, end) in other.of(partition) {
                left.add(partition, from, to.min(start));
                from = from.max(end);
            }
            left.add(partition, from, to);
        }
        left
    }

    /// Ranges of one partition.
    #[must_use]
    pub fn of(&self, partition: u32) -> &[(u64, u64)] {
        self.0.get(&partition).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether an offset is in it.
    #[must_use]
    pub fn contains(&self, partition: u32, offset: u64) -> bool {
        let ranges = self.of(partition);
        let at = ranges.partition_point(|(_, end)| *end <= offset);
        ranges.get(at).is_some_and(|(start, _)| *start <= offset)
    }

    /// How many offsets are in it.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(|(_, from, to)| to - from).fold(0, u64::saturating_add)
    }

    /// How many ranges it takes to say it.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges() == 0
    }

    /// Partition and range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        self.0.iter().flat_map(|(partition, ranges)| {
            ranges.iter().map(move |(from, to)| (*partition, *from, *to))
        })
    }
}

impl From<BTreeMap<u32, Ranges>> for Letters {
    /// What was stored is brought in order: nobody else keeps the ranges apart.
    fn from(stored: BTreeMap<u32, Ranges>) -> Self {
        let mut letters = Self::default();
        for (partition, ranges) in stored {
            for (from, to) in ranges {
                letters.add(partition, from, to);
            }
        }
        letters
    }
}

impl From<Letters> for BTreeMap<u32, Ranges> {
    fn from(letters: Letters) -> Self {
        letters.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(ranges: &[(u64, u64)]) -> Letters {
        let mut letters = Letters::default();
        ranges.iter().for_each(|(from, to)| letters.add(0, *from, *to));
        letters
    }

    #[test]
    fn ranges_that_meet_become_one() {
        assert_eq!(letters(&[(5, 7), (0, 2), (9, 12)]).of(0), [(0, 2), (5, 7), (9, 12)]);
        assert_eq!(letters(&[(5, 7), (0, 2), (2, 5)]).of(0), [(0, 7)]);
        assert_eq!(letters(&[(0, 2), (4, 6), (8, 9), (1, 8)]).of(0), [(0, 9)]);
        assert_eq!(letters(&[(0, 10), (3, 4)]).of(0), [(0, 10)]);
        assert!(letters(&[(3, 3), (4, 2)]).is_empty());
    }

    #[test]
    fn every_offset_is_where_a_plain_set_has_it() {
        use std::collections::BTreeSet;
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let mut both = [(Letters::default(), BTreeSet::new()), Default::default()];
            for (ranges, plain) in &mut both {
                for _ in 0..random(8) {
                    let from = random(40);
                    let to = from + random(10);
                    ranges.add(0, from, to);
                    plain.extend(from..to);
                }
            }
            let [(a, plain_a), (b, plain_b)] = both;
            let left = a.without(&b);
            for offset in 0..60 {
                assert_eq!(a.contains(0, offset), plain_a.contains(&offset));
                let expected = plain_a.contains(&offset) && !plain_b.contains(&offset);
                assert_eq!(left.contains(0, offset), expected, "{a:?} {b:?} {offset}");
            }
            assert_eq!(a.count(), plain_a.len() as u64);
        }
    }

    #[test]
    fn what_was_stored_out_of_order_is_brought_in_order() {
        let stored: Letters = serde_json::from_str(r#"{"1":[[5,9],[0,6],[7,3]]}"#).unwrap();
        assert_eq!(stored.of(1), [(0, 9)]);
        assert_eq!(serde_json::to_string(&stored).unwrap(), r#"{"1":[[0,9]]}"#);
    }
}
