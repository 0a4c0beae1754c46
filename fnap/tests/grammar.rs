//! docs/fnap-grammar.md against the parser: what is taken for a command is one by the grammar, too, and so is
//! every line that a client sends in the examples of docs/fnap.md.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests say what they expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use abnf::types::{Node, Repeat, Rule, TerminalValues};
use fnap::command::Command;
use proptest::prelude::*;

const PAGE: &str = include_str!("../../docs/fnap-grammar.md");
const REFERENCE: &str = include_str!("../../docs/fnap.md");

/// What RFC 5234 gives to every grammar.
const CORE: &str = "ALPHA = %x41-5A / %x61-7A\nDIGIT = %x30-39\nHEXDIG = DIGIT / \"A\" / \"B\" / \"C\" / \"D\" / \"E\" / \"F\"\n\
    DQUOTE = %x22\nSP = %x20\nHTAB = %x09\nVCHAR = %x21-7E\nCRLF = %x0D.0A\n";

static CLIENT: LazyLock<Grammar> = LazyLock::new(|| Grammar::of_page(0));

struct Grammar(BTreeMap<String, Node>);

impl Grammar {
    /// The n-th grammar of the page.
    fn of_page(n: usize) -> Self {
        let block = PAGE.split("```abnf\n").nth(n + 1).unwrap().split("```").next().unwrap();
        let text = format!("{CORE}{block}").replace('\n', "\r\n");
        let rules: Vec<Rule> = abnf::rulelist(&text).unwrap();
        let named = |rule: &Rule| (rule.name().to_ascii_lowercase(), rule.node().clone());
        let grammar: BTreeMap<String, Node> = rules.iter().map(named).collect();
        assert_eq!(grammar.len(), rules.len(), "a rule is there twice");
        Self(grammar)
    }

    fn matches(&self, rule: &str, text: &str) -> bool {
        let text: Vec<u32> = text.chars().map(u32::from).collect();
        self.rule(rule, &text, 0).contains(&text.len())
    }

    fn rule(&self, name: &str, text: &[u32], at: usize) -> BTreeSet<usize> {
        let node = self.0.get(&name.to_ascii_lowercase());
        self.ends(node.unwrap_or_else(|| panic!("no rule {name}")), text, at)
    }

    /// Where a node that begins at a place can end.
    fn ends(&self, node: &Node, text: &[u32], at: usize) -> BTreeSet<usize> {
        match node {
            Node::Alternatives(nodes) => {
                nodes.iter().flat_map(|node| self.ends(node, text, at)).collect()
            }
            Node::Concatenation(nodes) => {
                nodes.iter().fold(BTreeSet::from([at]), |places, node| {
                    places.iter().flat_map(|at| self.ends(node, text, *at)).collect()
                })
            }
            Node::Repetition { repeat, node } => self.repeated(repeat, node, text, at),
            Node::Rulename(name) => self.rule(name, text, at),
            Node::Group(node) => self.ends(node, text, at),
            Node::Optional(node) => {
                let mut ends = self.ends(node, text, at);
                ends.insert(at);
                ends
            }
            Node::String(literal) => {
                let wanted: Vec<u32> = literal.value().chars().map(u32::from).collect();
                let lower = |c: u32| char::from_u32(c).map(|c| c.to_ascii_lowercase());
                let found = text.get(at..at + wanted.len());
                let same =
                    |found: &[u32]| found.iter().zip(&wanted).all(|(a, b)| lower(*a) == lower(*b));
                found.filter(|found| same(found)).map(|_| at + wanted.len()).into_iter().collect()
            }
            Node::TerminalValues(TerminalValues::Range(from, to)) => {
                let found = text.get(at).filter(|c| (*from..=*to).contains(c));
                found.map(|_| at + 1).into_iter().collect()
            }
            Node::TerminalValues(TerminalValues::Concatenation(wanted)) => {
                let found = text.get(at..at + wanted.len()).filter(|found| *found == wanted);
                found.map(|_| at + wanted.len()).into_iter().collect()
            }
            Node::Prose(words) => panic!("prose: {words}"),
        }
    }

    fn repeated(&self, repeat: &Repeat, node: &Node, text: &[u32], at: usize) -> BTreeSet<usize> {
        let (least, most) = match *repeat {
            Repeat::Specific(exactly) => (exactly, exactly),
            Repeat::Variable { min, max } => (min.unwrap_or(0), max.unwrap_or(usize::MAX)),
        };
        let (mut ends, mut places, mut seen) =
            (BTreeSet::new(), BTreeSet::from([at]), BTreeSet::new());
        let mut times = 0;
        while !places.is_empty() && times <= most {
            if times >= least {
                ends.extend(&places);
                // From a place that was a beginning already nothing new can follow.
                places.retain(|place| seen.insert(*place));
            }
            places = places.iter().flat_map(|at| self.ends(node, text, *at)).collect();
            times += 1;
        }
        ends
    }

    fn names(&self, node: &Node) -> Vec<String> {
        match node {
            Node::Alternatives(nodes) | Node::Concatenation(nodes) => {
                nodes.iter().flat_map(|node| self.names(node)).collect()
            }
            Node::Repetition { node, .. } | Node::Group(node) | Node::Optional(node) => {
                self.names(node)
            }
            Node::Rulename(name) => vec![name.to_ascii_lowercase()],
            _ => Vec::new(),
        }
    }

    /// Everything that a rule needs.
    fn reached(&self, from: &str) -> BTreeSet<String> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(name) = next.pop() {
            let node = self.0.get(&name).unwrap_or_else(|| panic!("no rule {name}"));
            if reached.insert(name) {
                next.extend(self.names(node));
            }
        }
        reached
    }
}

/// Lines of a client in the examples that are commands: not events, the dot, nor a SASL response, nor what
/// stands for a longer line. With each, whether the host can read it there.
fn said() -> Vec<(&'static str, bool)> {
    let mut said = Vec::new();
    let (mut heard, mut asked) = ("", "");
    let mut lines = REFERENCE.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(line) = line.strip_prefix("S: ") {
            heard = line;
        }
        let Some(line) = line.strip_prefix("C: ") else { continue };
        let begun = asked.starts_with("AUTHENTICATE") && heard == "220 OK";
        asked = line;
        if begun || heard.starts_with("330 ") || line.contains('<') {
            continue;
        }
        let answer = lines.peek().and_then(|line| line.strip_prefix("S: ")).unwrap_or_default();
        // What HELP does not know is no fault of the line; before authentication nobody is told.
        let unreadable = answer.starts_with("400 ") && answer.contains(" at word ");
        let unknown = answer.starts_with("404 NOT_FOUND command ") && !line.starts_with("HELP");
        said.push((line, !unreadable && !unknown && line != "FLY"));
    }
    said
}

/// Every form of every command: those of the examples, and those that no example shows.
fn forms() -> Vec<&'static str> {
    let mut forms: Vec<&'static str> =
        said().into_iter().filter(|(_, sound)| *sound).map(|(line, _)| line).collect();
    forms.extend([
        "DESC FLOW flow://A.test",
        "get ns",
        "GET fl n.test FORMAT json",
        "\t HELP  create flow ",
        "AUTHENTICATE PLAIN =",
        "CREATE NAMESPACE n.test BROKER b",
        r#"UPDATE NAMESPACE n.test note="two \"words\" \u00e4" empty= x=y"#,
        "DELETE NAMESPACE n.test",
        "SUBSCRIBE a.test LOCAL b.test k=v",
        "UNSUBSCRIBE s.test",
        "REMOVE SUBSCRIBER s.test",
        r#"APPROVE r1 FILTER "data.n > 1" POLICY none"#,
        "DENY r1 not today",
        "STOP p.test",
        "READ a.test FROM OFFSET 0:1,1:2 LIMIT 3 FOLLOW",
        "READ a.test FROM TIME 2026-01-31t12:00:00.5+02:00",
        "PURGE FLOW a.test CONFIRM a.test",
        "REPLICATE a-*.test b-*.test START latest",
        "COLLECT a.test,b.test c.test AS p.test FROM earliest limit.memory=1",
        "COLLECT a-*.test c.test CONFIG [1, 2]",
        "DISTRIBUTE a.test b.test,c.test CONFIG {}",
        "SIGNAL t FROM a.test TO b.test,c.test START OFFSET 0:1 AS p.test",
        "CREATE PROCESSOR p.test TYPE t FROM a.test TO b.test k=v CONFIG {\"a\":1}",
        "UPDATE PROCESSOR p.test POSITION TIME 2026-01-31T12:00:00Z STATE reset",
        "DISCARD p.test OFFSET 0:1,0:2",
        "GET SUBSCRIBERS a.test",
        "GET CREDENTIALS s.a.test",
        "GET LOG p.test SINCE 3 FORMAT json",
        "GET PROCESSOR TYPES FORMAT text",
        "DESCRIBE AGENT n.test",
        "DESCRIBE NAMESERVER n.test FORMAT json",
        "DESCRIBE BROKER b",
        "STREAM",
        "STARTTLS",
        "DELETE FLOW a.test",
        "UPDATE FLOW a.test k=v",
        "GET NAMESPACES",
        "GET FLOWS",
        "GET SUBSCRIPTIONS",
        "GET REQUESTS",
        "PAUSE p.test",
        "RESUME p.test",
        "WRITE a.test ID t",
        "UPDATE PROCESSOR p.test CONFIG {}",
        "UPDATE PROCESSOR p.test k=v",
        "UPDATE PROCESSOR p.test SHADOW 1.3.0",
        "UPDATE PROCESSOR p.test PROMOTE",
        "UPDATE PROCESSOR p.test PROMOTE 1.3.0",
        "UPDATE PROCESSOR p.test DISCARD",
        "COMPARE p.test VERSION 1.3.0",
        "COMPARE p.test VERSION 1.3.0 FROM TIME 2026-01-31T12:00:00Z TO OFFSET 0:7",
        "COMPARE p.test VERSION 1.3.0 SNAPSHOT 7",
        "COMPARE p.test STOP",
        "SNAPSHOT p.test",
        "SNAPSHOT p.test FORGET 7",
        "DELETE PROCESSOR p.test",
        "DESCRIBE NAMESPACE n.test",
        "DESCRIBE PROCESSOR p.test",
        "REPLAY p.test",
        "GET PROCESSORS",
        "GRANT read,Write ON * TO user:ä@b",
        "REVOKE administer ON a.test FROM domain:b.test",
        "GET GRANTS ON a.test TO everybody FORMAT json",
        "GET GRANTS TO anonymous",
        "GET BROKERS",
        "GET AGENTS",
    ]);
    forms
}

#[test]
fn every_rule_is_there_and_is_used() {
    for (n, roots) in [(0, &["line"][..]), (1, &["greeting", "reply"])] {
        let grammar = Grammar::of_page(n);
        let reached: BTreeSet<String> =
            roots.iter().flat_map(|root| grammar.reached(root)).collect();
        let core = ["alpha", "digit", "hexdig", "dquote", "sp", "htab", "vchar", "crlf"];
        let unused: Vec<&String> = grammar
            .0
            .keys()
            .filter(|name| !reached.contains(*name) && !core.contains(&name.as_str()))
            .collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}

#[test]
fn every_command_of_the_help_has_a_form_and_every_form_is_one_by_the_parser_and_the_grammar() {
    let grammar = &CLIENT;
    for line in forms() {
        let is_command = line.parse::<Command>().is_ok() || line == "DONE";
        assert!(is_command, "the parser: {line}");
        assert!(grammar.matches("line", line), "the grammar: {line}");
    }
    for syntax in fnap::server::SYNTAX {
        // A word that stands for another one.
        let syntax = syntax.replace("MECHANISM", "mechanism");
        let words =
            syntax.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
        let words: Vec<&str> = words.collect();
        let begins = |line: &&str| {
            let mut found = line.split_ascii_whitespace();
            words
                .iter()
                .all(|word| found.next().is_some_and(|found| found.eq_ignore_ascii_case(word)))
        };
        assert!(forms().iter().any(begins), "no example of {syntax}");
    }
}

#[test]
fn what_is_no_command_is_none_by_the_grammar() {
    let grammar = &CLIENT;
    let shown = said().into_iter().filter(|(_, sound)| !sound).map(|(line, _)| line);
    let shown: Vec<&str> = shown.collect();
    assert!(shown.contains(&"FLY") && shown.len() > 4, "{shown:?}");
    for line in shown.into_iter().chain([
        "FLY",
        "CREATE FLOW",
        "CREATE FLOW a..test",
        "CREATE FLOW -a.test",
        "CREATE FLOW a.test k",
        "READ a.test FROM OFFSET 1",
        "READ a.test LIMIT x",
        "COLLECT a.test,b.test c.test,d.test",
        "UPDATE FLOW a.test",
        "GET PROCESSOR",
        "WRITE a.test ID",
    ]) {
        assert!(line.parse::<Command>().is_err(), "{line}");
        assert!(!grammar.matches("line", line), "{line}");
    }
}

#[test]
fn every_line_of_a_host_in_the_examples_is_one_by_the_grammar() {
    let grammar = Grammar::of_page(1);
    for line in REFERENCE.lines().filter_map(|line| line.strip_prefix("S: ")) {
        let line = format!("{line}\r\n");
        let kinds = ["greeting", "success", "more", "error", "data-line"];
        assert!(kinds.iter().any(|kind| grammar.matches(kind, &line)), "{line}");
        let reply = line.get(..4).is_some_and(|front| {
            front.ends_with(' ') && front[..3].bytes().all(|byte| byte.is_ascii_digit())
        });
        let known = kinds[..4].iter().any(|kind| grammar.matches(kind, &line));
        assert!(!reply || line == "220 DATA\r\n" || known, "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines that are nearly commands: words changed, left out, swapped, taken from another.
    #[test]
    fn whatever_the_parser_takes_the_grammar_takes(
        form in proptest::sample::select(forms()),
        other in proptest::sample::select(forms()),
        cut in 0_usize..12,
        joined in any::<bool>(),
        junk in "[ -~\\t\u{e4}]{0,3}",
    ) {
        let mut words: Vec<&str> = form.split(' ').collect();
        let at = cut.min(words.len());
        if joined {
            words.truncate(at);
            words.extend(other.split(' ').skip(at));
        } else {
            words.insert(at, &junk);
        }
        let line = words.join(" ");
        if line.parse::<Command>().is_ok() {
            prop_assert!(CLIENT.matches("line", &line), "{line:?}");
        }
    }
}
