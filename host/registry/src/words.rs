//! Words about names, short however many there are.

use crate::Name;

/// Up to three names, and how many more there are.
pub(crate) fn some_of(names: &[Name]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(Name::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Names that a conflict shows; a reply is one line.
const SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_three_and_a_count() {
        let names: Vec<Name> = (0..5).map(|n| format!("f{n}.test").parse().unwrap()).collect();
        assert_eq!(some_of(&names[..2]), "f0.test, f1.test");
        assert_eq!(some_of(&names), "f0.test, f1.test, f2.test and 2 more");
    }
}
