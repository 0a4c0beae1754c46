//! Which dead letters are done with: `{"0": [[0, 5], [7, 9]]}`, each from an offset to before another.

use std::collections::BTreeMap;

use serde_json::Value;

/// Ranges of offsets by partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Handled(BTreeMap<u32, Vec<(u64, u64)>>);

impl Handled {
    /// Reads what a host says; what it does not say is open.
    pub(super) fn read(value: &Value) -> Self {
        let mut handled = Self::default();
        for (partition, ranges) in value.as_object().into_iter().flatten() {
            let Ok(partition) = partition.parse() else { continue };
            let range = |range: &Value| Some((range.get(0)?.as_u64()?, range.get(1)?.as_u64()?));
            let ranges = ranges.as_array().into_iter().flatten().filter_map(range);
            let mut ranges: Vec<_> = ranges.collect();
            ranges.sort_unstable();
            handled.0.insert(partition, ranges);
        }
        handled
    }

    pub(super) fn contains(&self, partition: u32, offset: u64) -> bool {
        let Some(ranges) = self.0.get(&partition) else { return false };
        let behind = ranges.partition_point(|(from, _)| *from <= offset);
        let before = behind.checked_sub(1).and_then(|last| ranges.get(last));
        before.is_some_and(|(_, to)| offset < *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_range_is_handled_and_nothing_else() {
        let said = serde_json::json!({"0": [[7, 9], [0, 5]], "3": [[2, 3]], "x": [[0, 9]], "4": 7});
        let handled = Handled::read(&said);
        let of = |partition| {
            (0..10).filter(|offset| handled.contains(partition, *offset)).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [0, 1, 2, 3, 4, 7, 8]);
        assert_eq!((of(3), of(4), of(1)), (vec![2], vec![], vec![]));
        assert_eq!(Handled::read(&Value::Null), Handled::default());
    }
}
