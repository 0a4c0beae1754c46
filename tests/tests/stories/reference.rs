//! docs/fnap.md and docs/fnap-grammar.md are true: every example is said to a real host, and answered as it stands
//! there; every code has an example.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fnap::reply::Code;
use fnap::server::{Action, ServerOptions, ServerSession, Tls};
use stories::reference::{Example, House, has_elsewhere};

const PAGES: [(&str, &str); 2] = [
    ("fnap.md", include_str!("../../../docs/fnap.md")),
    ("fnap-grammar.md", include_str!("../../../docs/fnap-grammar.md")),
];

/// Played with a cluster beside, by the stories of Kafka.
const KAFKA: &str = "kafka";

/// Codes of the protocol for which no line of this host is written yet: that of other hosts.
const NOT_SENT: [Code; 1] = [Code::ConnError];

/// Hosts that run at once.
const AT_ONCE: usize = 3;

fn examples() -> Vec<Example> {
    PAGES.iter().flat_map(|(name, page)| Example::of_page(name, page, &["abnf"])).collect()
}

fn play(example: &Example) {
    if example.is("elsewhere") && !has_elsewhere() {
        // Nobody can come from elsewhere here: at least the session says so.
        return said_by_a_session(example);
    }
    House::of(example, "", &[]).play(example);
}

fn said_by_a_session(example: &Example) {
    let options = ServerOptions { tls: Tls::Offered, ..ServerOptions::new("fnaa.example.org") };
    let mut session = ServerSession::<()>::new(options);
    let refuse = |_: &mut _, _: &mut _, action: Action<()>| panic!("{action:?}");
    example.transcript().replay(&mut session, 7, refuse).unwrap();
}

#[test]
fn every_example_of_the_reference_is_answered_by_a_host_as_it_stands_there() {
    let examples: Vec<Example> =
        examples().into_iter().filter(|example| !example.is(KAFKA)).collect();
    assert!(examples.len() > 30, "{} examples", examples.len());
    let next = AtomicUsize::new(0);
    let take = || {
        let mut wrong = Vec::new();
        while let Some(example) = examples.get(next.fetch_add(1, Ordering::Relaxed)) {
            let played = std::panic::catch_unwind(|| play(example));
            wrong.extend(played.err().map(|_| example.place.clone()));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
        players.into_iter().flat_map(|player| player.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "said otherwise, as told above: {wrong:?}");
}

#[test]
fn every_code_that_a_host_sends_has_an_example_and_no_other_code_stands_in_the_reference() {
    let shown: BTreeSet<u16> =
        examples().iter().flat_map(Example::codes).map(Code::number).collect();
    let sent: BTreeSet<u16> = sent().into_iter().map(Code::number).collect();
    assert_eq!(shown, sent, "codes of the examples, and codes that the host has lines for");
    let unsent = Code::ALL.iter().filter(|code| !sent.contains(&code.number()));
    assert_eq!(unsent.copied().collect::<Vec<_>>(), NOT_SENT);
    for (name, page) in PAGES {
        for (line, number) in page.lines().zip(1..) {
            for (code, word) in codes_in(line) {
                let known = Code::from_number(code);
                assert!(Code::ALL.contains(&known), "{name}:{number}: there is no code {code}");
                let named = word.is_none_or(|word| word == known.name());
                assert!(named, "{name}:{number}: {code} is {}", known.name());
            }
        }
    }
}

/// Codes of a line of prose: `404`, or `404 NOT_FOUND`; with the name where one stands there.
fn codes_in(line: &str) -> Vec<(u16, Option<String>)> {
    let quoted = line.split('`').skip(1).step_by(2);
    let said = line.strip_prefix("S: ").into_iter();
    let code = |text: &str| {
        let mut words = text.split(' ');
        let code = words.next().filter(|code| code.len() == 3)?.parse().ok()?;
        let name = |word: &&str| word.contains('_') && !word.contains(|c: char| c.is_lowercase());
        Some((code, words.next().filter(name).map(str::to_owned)))
    };
    quoted.chain(said).filter_map(code).collect()
}

/// Codes for which there is a line in the session or in the host, tests left out.
fn sent() -> Vec<Code> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut text = String::new();
    for place in ["fnap/src/server", "host/server/src"] {
        sources(&root.join(place), &mut text);
    }
    let named = |code: &&Code| text.contains(&format!("Code::{code:?}"));
    // Success and the question for more have words of their own.
    let told = |code: &&Code| matches!(code, Code::Ok | Code::More) || named(code);
    Code::ALL.iter().filter(told).copied().collect()
}

fn sources(dir: &Path, text: &mut String) {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.collect::<Vec<PathBuf>>() {
        if path.is_dir() {
            sources(&path, text);
        } else if !path.ends_with("tests.rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
