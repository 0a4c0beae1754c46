//! One form for names and passwords that look the same: SASLprep (RFC 4013).
//!
//! Refuses what the profile forbids: control characters, characters without a meaning, mixed directions.

use fnap::sasl::{MAX_PASSWORD, MAX_USER};
use zeroize::Zeroizing;

/// A user's name as it is compared; `None` where it cannot be one.
pub(crate) fn name(text: &str) -> Option<String> {
    if !(1..=MAX_USER).contains(&text.len()) {
        return None;
    }
    let prepared = stringprep::saslprep(text).ok()?.into_owned();
    let odd = |c: char| c.is_control() || c.is_whitespace();
    let sound = (1..=MAX_USER).contains(&prepared.len()) && !prepared.contains(odd);
    sound.then_some(prepared)
}

/// A password as it is hashed; `None` where it cannot be one.
pub(crate) fn password(text: &str) -> Option<Zeroizing<String>> {
    if !(1..=MAX_PASSWORD).contains(&text.len()) {
        return None;
    }
    let prepared = Zeroizing::new(stringprep::saslprep(text).ok()?.into_owned());
    (!prepared.is_empty()).then_some(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of RFC 4013, section 3.
    #[test]
    fn names_that_look_the_same_are_the_same() {
        for (text, prepared) in [
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{aa}", "a"),
            ("\u{2168}", "IX"),
        ] {
            assert_eq!(name(text).as_deref(), Some(prepared), "{text:?}");
            assert_eq!(password(text).unwrap().as_str(), prepared, "{text:?}");
        }
        for text in ["", "\u{7}", "\u{627}1", "\u{ad}", "a\0"] {
            assert_eq!(name(text), None, "{text:?}");
            assert!(password(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_password_may_have_blanks_and_a_name_not() {
        assert_eq!(password("correct horse\u{a0}").unwrap().as_str(), "correct horse ");
        assert_eq!(name("correct horse"), None);
        assert_eq!(name(&"n".repeat(MAX_USER + 1)), None);
        assert!(password(&"p".repeat(MAX_PASSWORD + 1)).is_none());
    }
}
