//! In which order the targets of SRV records are tried (RFC 2782): by priority, then by chance as weights say.
//!
//! Decides nothing by itself: whoever calls throws the dice.

use std::hash::{BuildHasher as _, RandomState};

use crate::records::Srv;

/// The records in the order in which they are to be tried. `dice` is given a number and answers one from 0 up to and
/// including it; what it answers beyond that counts as the number.
#[must_use]
pub fn order(mut records: Vec<Srv>, dice: &mut dyn FnMut(u64) -> u64) -> Vec<Srv> {
    // In whatever order servers send them: by priority, those without weight first, as the RFC has it.
    records.sort();
    records.dedup();
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let rivals = records.iter().take_while(|record| record.priority == priority);
        let total: u64 = rivals.clone().map(|record| u64::from(record.weight)).sum();
        let drawn = dice(total).min(total);
        let mut sum = 0;
        let chosen = rivals.clone().position(|record| {
            sum += u64::from(record.weight);
            sum >= drawn
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// Dice that nobody has to be afraid of: they spread load, and keep no secret.
pub(crate) fn dice() -> impl FnMut(u64) -> u64 {
    let random = RandomState::new();
    let mut throws = 0_u64;
    move |most| {
        throws += 1;
        random.hash_one(throws) % most.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 61000, target: target.to_owned() }
    }

    /// The order when the dice fall so, and what they were asked for.
    fn thrown(records: &[Srv], throws: &[u64]) -> (Vec<String>, Vec<u64>) {
        let (mut next, mut asked) = (throws.iter(), Vec::new());
        let ordered = order(records.to_vec(), &mut |most| {
            asked.push(most);
            *next.next().unwrap()
        });
        assert!(next.next().is_none(), "dice that nobody wanted");
        (ordered.into_iter().map(|record| record.target).collect(), asked)
    }

    #[test]
    fn the_lowest_priority_comes_first_whatever_the_dice_say() {
        let records = [srv(20, 9, "c"), srv(10, 0, "a"), srv(15, 65535, "b")];
        let (ordered, asked) = thrown(&records, &[u64::MAX, 0, 3]);
        assert_eq!((ordered.join(" "), asked), ("a b c".to_owned(), vec![0, 65535, 9]));
    }

    #[test]
    fn of_one_priority_each_is_drawn_by_its_share_of_what_is_left() {
        let records = [srv(1, 30, "c"), srv(1, 10, "a"), srv(1, 20, "b")];
        // Running sums: a 10, b 30, c 60.
        for (throw, first) in [(0, "a"), (10, "a"), (11, "b"), (30, "b"), (31, "c"), (60, "c")] {
            let (ordered, asked) = thrown(&records, &[throw, 0, 0]);
            assert_eq!(ordered[0], first, "{throw}");
            assert_eq!(asked[0], 60);
        }
        let (ordered, asked) = thrown(&records, &[31, 11, 0]);
        assert_eq!((ordered.join(" "), asked), ("c b a".to_owned(), vec![60, 30, 10]));
    }

    #[test]
    fn what_has_no_weight_is_drawn_by_a_zero_alone() {
        let records = [srv(1, 5, "heavy"), srv(1, 0, "light")];
        assert_eq!(thrown(&records, &[0, 0]).0, ["light", "heavy"]);
        assert_eq!(thrown(&records, &[1, 0]).0, ["heavy", "light"]);
        let equal = [srv(1, 0, "b"), srv(1, 0, "a")];
        assert_eq!(thrown(&equal, &[0, 0]), (vec!["a".to_owned(), "b".to_owned()], vec![0, 0]));
    }

    #[test]
    fn dice_that_lie_choose_nobody_twice_and_nobody_else() {
        let records = [srv(1, 1, "a"), srv(1, 1, "b"), srv(1, 1, "b")];
        assert_eq!(thrown(&records, &[u64::MAX, u64::MAX]).0, ["b", "a"]);
        let mut dice = dice();
        assert!((0..1000).all(|_| dice(3) <= 3) && dice(0) == 0);
    }
}
