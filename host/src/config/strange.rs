//! Texts that nobody would write: each is a configuration, or faults with their lines and without a secret.

use std::path::Path;

use proptest::prelude::*;

use super::{Config, ConfigError};

const EXAMPLE: &str = include_str!("../../../docs/fnaad.example.toml");

/// What nobody may find in an error: it stands where passwords and verifiers are written.
const SECRET: &str = "hunter2";

fn look_at(text: &str) {
    match Config::parse(text, Path::new("/etc/fnaad/fnaad.toml")) {
        Ok(config) => {
            assert!(!config.listen.is_empty() && !config.brokers.is_empty());
            assert!(config.warnings().iter().all(|warning| !warning.contains(SECRET)));
            assert!(!format!("{config:?}").contains(SECRET));
        }
        Err(ConfigError::Wrong { faults, .. }) => {
            assert!(!faults.is_empty());
            let lines = 1..=text.lines().count() + 1;
            for fault in faults {
                assert!(lines.contains(&fault.line), "line {} of {lines:?}", fault.line);
                assert!(!fault.what.contains(['\n', '\r', '\0']), "{:?}", fault.what);
                assert!(!fault.what.contains(SECRET), "{}", fault.what);
            }
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn everything_that_fuzzing_kept_is_a_configuration_or_has_faults() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/config");
    let mut count = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        let path = input.unwrap().path();
        println!("{}", path.display());
        let Ok(text) = String::from_utf8(std::fs::read(&path).unwrap()) else { continue };
        look_at(&text);
        count += 1;
    }
    assert!(count > 3);
}

/// What may stand behind `key = `, right or wrong.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..EXAMPLE.lines().count()).prop_map(|number| {
            let line = EXAMPLE.lines().nth(number).unwrap_or_default();
            line.split_once(" = ").map_or("1", |(_, value)| value).to_owned()
        }),
        proptest::sample::select(vec![
            "-1",
            "0",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "nan",
            "true",
            "[]",
            "{}",
            "''",
            "[[]]",
            "1979-05-27T07:32:00Z",
            "\"\\u0000\"",
            "\"\\r\\n\"",
            "\"/../..\"",
            "{ a = 1 }",
            "'''\nx'''",
            "\"[::]:0\"",
            "\"255.255.255.255:65535\"",
            "[\"127.0.0.1:0\", 1]",
            "",
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| toml::Value::String(text).to_string()),
    ]
}

/// The example with some lines gone, some twice, some with another value.
fn mutilated() -> impl Strategy<Value = String> {
    let change = (0_usize..8, value());
    let count = EXAMPLE.lines().filter(|line| !line.starts_with('#')).count();
    proptest::collection::vec(proptest::option::weighted(0.1, change), count).prop_map(|changes| {
        let lines = EXAMPLE.lines().filter(|line| !line.starts_with('#'));
        let mut text = String::new();
        for (line, change) in lines.zip(changes) {
            let key = line.split_once(" = ").map(|(key, _)| key);
            match (change, key) {
                (Some((0, _)), _) => {}
                (Some((1, _)), _) => text += &format!("{line}\n{line}\n"),
                (Some((2, _)), Some(key)) => {
                    text += &format!("{key} = \"{SECRET}\"\n")
                        .replace(SECRET, if key == "verifier" { SECRET } else { "word" })
                }
                (Some((3, _)), _) => text += &format!("{line}\nusers = \"{SECRET}\"\n"),
                (Some((_, value)), Some(key)) => text += &format!("{key} = {value}\n"),
                _ => text += &format!("{line}\n"),
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn an_example_with_anything_changed_is_a_configuration_or_has_faults(text in mutilated()) {
        look_at(&text);
    }

    #[test]
    fn any_text_is_a_configuration_or_has_faults(text in any::<String>()) {
        look_at(&text);
    }
}
