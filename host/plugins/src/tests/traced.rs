//! Traps of a guest that has its line tables: the message says where in its source.

use super::*;
use crate::LoadError;

/// The guest again, with line tables.
static TRACED: LazyLock<Bytes> = LazyLock::new(|| {
    build(
        "plugin-tests-lines",
        &[
            "--config",
            "profile.guest.strip='none'",
            "--config",
            "profile.guest.debug='line-tables-only'",
        ],
    )
});

/// Where the guest panics, as its compiler names it.
fn panics_at() -> String {
    let source = include_str!("../../tests/guest/src/lib.rs");
    let line = source.lines().position(|line| line.contains("panic!(\"{words}\")")).unwrap();
    format!("host/plugins/tests/guest/src/lib.rs:{}", line + 1)
}

async fn trap(component: &Bytes, act: &str) -> String {
    let plugin = engine().load(component.clone()).await.unwrap();
    let setup = setup(&format!(r#"{{"act":"{act}"}}"#));
    let mut instance = plugin.instantiate(setup).await.unwrap();
    match process(&mut instance, batch(1, 0)).await {
        Err(CallError::Trap(words)) => words.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_trap_says_function_and_line_first_and_then_every_frame() {
    let words = trap(&TRACED, "panic").await;
    let first = words.lines().next().unwrap();
    assert!(first.starts_with(&format!("at {}", panics_at())), "{words}");
    assert!(first.contains("test_guest::"), "{words}");
    assert!(words.contains("deliberate") && words.contains("wasm backtrace"), "{words}");
    let framed = words.lines().filter(|line| line.contains("!") && line.contains(".rs:")).count();
    assert!(framed > 1, "{words}");
    assert!(!words.contains("WASMTIME_BACKTRACE_DETAILS"), "{words}");
}

#[tokio::test]
async fn a_guest_without_tables_traps_as_ever() {
    let words = trap(&GUEST, "panic").await;
    assert!(words.contains("deliberate") && !words.starts_with("at "), "{words}");
}

#[tokio::test]
async fn a_passed_limit_says_where_as_well() {
    let plugin = engine().load(TRACED.clone()).await.unwrap();
    let limits = Limits { memory: 16 << 20, ..Limits::default() };
    let setup = Setup { limits, ..setup(r#"{"act":"recurse"}"#) };
    let mut instance = plugin.instantiate(setup).await.unwrap();
    let error = process(&mut instance, batch(1, 0)).await.unwrap_err();
    let CallError::Limit { which: "stack_bytes", words, .. } = error else { panic!("{error}") };
    assert!(words.starts_with("at host/plugins/tests/guest/src/lib.rs:"), "{words}");
}

/// Every octet of the tables says something else: whatever comes of it, it is told and nothing else happens.
#[tokio::test]
async fn tables_of_nonsense_harm_nobody() {
    const NAME: &[u8] = b"\x0b.debug_line";
    let at = TRACED.windows(NAME.len()).position(|window| window == NAME).unwrap() + NAME.len();
    for byte in [0, 1, 4, 0x7f, 0xff] {
        let mut bytes = TRACED.to_vec();
        bytes[at..at + 2_000].fill(byte);
        match engine().load(bytes.into()).await {
            Ok(plugin) => {
                let mut instance = plugin.instantiate(setup(r#"{"act":"panic"}"#)).await.unwrap();
                let error = process(&mut instance, batch(1, 0)).await.unwrap_err();
                assert!(error.to_string().contains("deliberate"), "{error}");
            }
            Err(error) => assert!(matches!(error, LoadError::Compile(_)), "{error}"),
        }
    }
}

/// The names of functions are their author's: here those of the guest, which say to clear the screen.
#[tokio::test]
async fn names_that_a_terminal_would_obey_are_shown_as_text() {
    const NAME: &[u8] = b"10test_guest4trap";
    const HOSTILE: &[u8] = b"10\x1b[2J\nCause4trap";
    let mut bytes = TRACED.to_vec();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(NAME)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + NAME.len()].copy_from_slice(HOSTILE);
    }
    let words = trap(&bytes.into(), "panic").await;
    assert!(words.contains("[2JCause"), "{words}");
    assert!(words.chars().all(|c| c == '\n' || !c.is_control()), "{words:?}");
}
