//! The demo tells the truth: its table is clean, and it ends with 0.

use std::ffi::OsStr;

use stories::Fnaad;

/// The rows of the table at the end: name, and the numbers behind it.
fn table(text: &str) -> Vec<(&str, Vec<u64>)> {
    let row = |line: &'_ str| -> Option<(usize, Vec<u64>)> {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.ends_with(".flows.unix.ar"))?;
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
        (numbers.len() == 4).then_some((name.len(), numbers))
    };
    let cut = |line| {
        let (length, numbers) = row(line)?;
        Some((line.trim_start().get(..length)?, numbers))
    };
    text.lines().filter_map(cut).collect()
}

#[test]
fn the_demo_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("demo");
    let said = Fnaad::refused(&["demo".as_ref(), OsStr::new("--dir"), at.as_ref()]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    let rows = table(&said.stdout);
    assert_eq!(rows.len(), 6, "{}", said.stdout);
    for (flow, numbers) in rows {
        let [events_in, events_out, lost, repeated] = numbers[..] else { panic!("{numbers:?}") };
        assert!(events_in > 0, "{flow}");
        assert_eq!((events_out, lost, repeated), (events_in, 0, 0), "{flow}");
        if flow.starts_with("quakes.") || flow.starts_with("mirror.") {
            assert_eq!(events_in, 1707);
        }
    }
}
