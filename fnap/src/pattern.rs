//! Names with a `*` in them: which flows are meant, those that come later too, and what is made of each.
//!
//! The star stands for one or more characters, dots included; there is exactly one. Finds nothing by itself.

use std::fmt;
use std::str::FromStr;

use crate::name::{Name, NameError, bare};

/// A name with one star.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    front: String,
    back: String,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// None, or more than one.
    #[error("a pattern has one '*', not {stars}")]
    Stars {
        /// How many there are.
        stars: usize,
    },
    /// Whatever stood for the star, it would be no name.
    #[error("{0}")]
    Name(#[from] NameError),
}

impl Pattern {
    /// What the star stands for in a name; none where the name is not meant.
    #[must_use]
    pub fn star_of<'a>(&self, name: &'a Name) -> Option<&'a str> {
        let star = name.as_str().strip_prefix(&*self.front)?.strip_suffix(&*self.back)?;
        (!star.is_empty()).then_some(star)
    }

    /// The name with something in the star's place.
    ///
    /// # Errors
    /// When that is no name.
    pub fn fill(&self, star: &str) -> Result<Name, NameError> {
        // A second dot at the end is none that may be left out.
        Name::from_bare(&format!("{}{star}{}", self.front, self.back))
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let text = bare(text)?;
        let stars = text.matches('*').count();
        let Some((front, back)) = text.split_once('*').filter(|_| stars == 1) else {
            return Err(PatternError::Stars { stars });
        };
        let pattern = Self { front: front.to_ascii_lowercase(), back: back.to_ascii_lowercase() };
        // The shortest that it can stand for.
        pattern.fill("x")?;
        Ok(pattern)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}*{}", self.front, self.back)
    }
}

crate::text::as_text!(Pattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_star_stands_for_something_and_is_filled_with_it() {
        let pattern: Pattern = "Orders-*.a.example".parse().unwrap();
        let star = |name: &str| pattern.star_of(&name.parse().unwrap()).map(str::to_owned);
        assert_eq!(star("orders-eu.west.a.example").as_deref(), Some("eu.west"));
        assert_eq!(star("orders-eu.b.example"), None);
        let target: Pattern = "*.b.example".parse().unwrap();
        assert_eq!(target.fill("eu.west").unwrap().as_str(), "eu.west.b.example");
        assert_eq!(pattern.to_string(), "orders-*.a.example");
    }

    #[test]
    fn what_has_another_number_of_stars_or_can_be_no_name_is_refused() {
        assert_eq!("a.b".parse::<Pattern>(), Err(PatternError::Stars { stars: 0 }));
        assert_eq!("*.*".parse::<Pattern>(), Err(PatternError::Stars { stars: 2 }));
        assert!(matches!("*..b".parse::<Pattern>(), Err(PatternError::Name(_))));
        assert!(matches!("*.b..".parse::<Pattern>(), Err(PatternError::Name(_))));
        assert_eq!("flow://*.b./".parse::<Pattern>().unwrap().to_string(), "*.b");
        assert!(matches!("a_*".parse::<Pattern>(), Err(PatternError::Name(_))));
    }
}
