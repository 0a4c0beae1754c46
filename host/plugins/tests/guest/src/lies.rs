//! What the component says about itself when somebody has written so into its bytes.
//!
//! `describe` is told nothing, so tests write their wish over [`LIE`] in the component's file.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;

use flow_sdk::Info;

/// The wish, up to the first dot.
#[used]
static LIE: [u8; 32] = *b"lie=nothing.....................";

/// A name in JSON that a terminal would obey.
const RUDE_NAME: &str = "\\u001b[2J\\r\\nfnaad: ok\u{9b}2J";

/// The wish.
fn lie() -> String {
    let lie = String::from_utf8_lossy(black_box(&LIE));
    let lie = lie.split('.').next().unwrap_or_default();
    lie.strip_prefix("lie=").unwrap_or_default().to_owned()
}

/// Whether it is another version, which masks with nines.
pub(crate) fn is_nines() -> bool {
    lie() == "nines"
}

/// Whether it is the version that no longer fails on some events.
pub(crate) fn is_mended() -> bool {
    lie() == "mended"
}

/// Whether it is a version that nothing can be done with.
pub(crate) fn traps_in_init() -> bool {
    lie() == "traps-in-init"
}

/// Whether it is a version that does not end.
pub(crate) fn loops() -> bool {
    lie() == "loops"
}

/// How many times as rarely another version acts by the clock.
pub(crate) fn times_slower() -> u32 {
    if lie() == "slow-clock" { 3 } else { 1 }
}

/// What another version does, whatever it is configured with.
pub(crate) fn act() -> Option<String> {
    lie().strip_prefix("act-").map(str::to_owned)
}

/// Whether it is another version, which counts otherwise.
pub(crate) fn migrates() -> bool {
    matches!(&*lie(), "migrates" | "unmarked-only")
}

/// Whether it is one that cannot read a state with a mark.
pub(crate) fn reads_no_mark() -> bool {
    lie() == "unmarked-only"
}

/// Whether it is another version, which cannot read the state of any other.
pub(crate) fn cannot_migrate() -> bool {
    lie() == "cannot-migrate"
}

/// The description as it is told to be.
pub(crate) fn told(info: Info) -> Info {
    if act().is_some() {
        return Info { version: "0.2.0".to_owned(), ..info };
    }
    if let Some(patch) = lie().strip_prefix("patch-") {
        return Info { version: format!("0.1.{patch}"), ..info };
    }
    match lie().as_str() {
        "name" => Info { name: "../../etc/passwd".to_owned(), ..info },
        "version" => Info { version: "newest".to_owned(), ..info },
        "control" => info.summary("two\r\n220 OK"),
        "bidi" => info.summary("\u{202e}desrever"),
        "long-summary" => info.summary(&"s".repeat(1 << 20)),
        "giant-schema" => info.config_schema(&format!("{{\"a\":\"{}\"}}", "s".repeat(1 << 20))),
        "deep-schema" => info.config_schema(&"{\"a\":".repeat(10_000)),
        "wrong-schema" => info.config_schema(r#"{"type":"objekt"}"#),
        "strict-schema" => info.config_schema(
            r#"{"type":"object","additionalProperties":false,"properties":{"act":{"type":"string"},"tick":{"type":"integer"}}}"#,
        ),
        "cyclic-schema" => {
            info.config_schema(r##"{"required":["m"],"properties":{"m":{"$ref":"#"}}}"##)
        }
        "wide-schema" => {
            let names: Vec<_> = (0..20_000).map(|n| format!("\"n{n}\"")).collect();
            info.config_schema(&format!(r#"{{"type":"object","required":[{}]}}"#, names.join(",")))
        }
        "heavy-schema" => {
            let list = |inner, _| {
                format!(r#"{{"required":["l"],"properties":{{"l":{{"type":"array","minItems":64,"items":{inner}}}}}}}"#)
            };
            info.config_schema(&(0..6).fold("{}".to_owned(), list))
        }
        "wrong-schemas" => {
            let (name, wrong) = ("n".repeat(50_000), vec![r#"{"type":7}"#; 10_000]);
            info.config_schema(&format!(r#"{{"properties":{{"{name}":{{"anyOf":[{}]}}}}}}"#, wrong.join(",")))
        }
        "rude" => info.config_schema(&format!(r#"{{"properties":{{"{}":7}}}}"#, RUDE_NAME)),
        "required" => info.config_schema(r#"{"type":"object","required":["absent"]}"#),
        "one-output" => Info { outputs: flow_sdk::Cardinality::One, ..info },
        "keyed" => info.keyed(),
        "dice" => Info { version: format!("0.1.{}", RandomState::new().hash_one(0)), ..info },
        "loop" => crate::spin(),
        "trap" => crate::trap("deliberate"),
        "grow" => crate::grow(),
        "recurse" => info.summary(&crate::recurse(0).to_string()),
        _ => info,
    }
}
