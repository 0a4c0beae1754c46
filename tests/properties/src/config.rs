//! The text under a configuration: TOML of any shape ends in a table or in an error with a place.
//!
//! What the keys mean is tried beside the configuration itself, with the same corpus: the crate that
//! knows it holds the whole engine, which no fuzzer can build in reasonable time.

use toml::{Spanned, Table, Value};

/// A configuration's text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match toml::from_str::<Table>(text) {
        Ok(table) => {
            let printed = toml::to_string(&table).expect("a table that was read can be written");
            // Compared as text: a time of day may be no number, which is equal to nothing.
            let again = toml::from_str::<Table>(&printed).expect("what was written can be read");
            assert_eq!(toml::to_string(&again).expect("a table"), printed);
            let spanned: std::collections::BTreeMap<String, Spanned<Value>> =
                toml::from_str(text).expect("the same with places");
            assert!(spanned.values().all(|value| text.get(value.span()).is_some()));
        }
        Err(error) => {
            let place = error.span().unwrap_or_default();
            assert!(place.start <= text.len(), "{place:?} of {}", text.len());
        }
    }
}
