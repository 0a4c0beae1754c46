//! What may be shown of a fault in a file that holds secrets.

/// A message of the TOML reader without the value that it repeats: `invalid type: string "…", expected …`.
/// Somebody may have put a secret there.
#[must_use]
pub fn without_value(message: &str) -> String {
    let cut = message.split_once(": string \"").zip(message.rsplit_once(", expected"));
    match cut {
        Some(((front, _), (_, expected))) => format!("{front}: string, expected{expected}"),
        None => message.lines().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_left_out_and_the_rest_stays() {
        let message = "invalid type: string \"hunter2, expected\", expected a sequence";
        assert_eq!(without_value(message), "invalid type: string, expected a sequence");
        assert_eq!(
            without_value("unknown field `colour`,\nexpected x"),
            "unknown field `colour`, expected x"
        );
    }
}
