//! Commands by verb and outcome. The verbs are known beforehand: what a peer sends never becomes a label.

use std::fmt::{Display, Write};

use crate::counts::Counter;
use crate::text::{Exposition, Kind};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was refused: the asker's matter.
    Refused,
    /// It failed: the host's matter.
    Failed,
}

const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Ok, "ok"), (Outcome::Refused, "refused"), (Outcome::Failed, "failed")];

/// Whatever is none of the verbs.
const OTHER: &str = "OTHER";

/// Octets of a command that are looked at: longer than the longest verb.
const HEAD: usize = 48;

/// Counts of commands.
#[derive(Debug)]
pub struct Commands(Vec<(String, [Counter; OUTCOMES.len()])>);

impl Commands {
    /// Counts by these verbs. `syntax` may show more than the verb: `GET FLOWS [ns]` is `GET FLOWS`.
    #[must_use]
    pub fn new(syntax: &[&str]) -> Self {
        let mut verbs: Vec<String> = syntax.iter().map(|line| verb(line)).collect();
        verbs.push(OTHER.to_owned());
        verbs.sort();
        verbs.dedup();
        Self(verbs.into_iter().map(|verb| (verb, Default::default())).collect())
    }

    /// Counts a command by its verb.
    pub fn count_verb(&self, Verb(head): Verb, outcome: Outcome) {
        let is = |verb: &str| {
            head.strip_prefix(verb).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let longest = self.0.iter().filter(|(verb, _)| is(verb)).max_by_key(|(verb, _)| verb.len());
        let found = longest.or_else(|| self.0.iter().find(|(verb, _)| verb == OTHER));
        if let Some(count) = found.and_then(|(_, counts)| counts.get(outcome as usize)) {
            count.one();
        }
    }

    pub(crate) fn write(&self, page: &mut Exposition) {
        let help =
            "Commands performed, by verb and by how they ended: ok, refused (4xx), failed (5xx).";
        let mut family = page.family("fnaa_commands_total", Kind::Counter, help);
        for (verb, counts) in &self.0 {
            for (count, (_, outcome)) in counts.iter().zip(OUTCOMES) {
                if count.get() > 0 {
                    family.sample(&[("verb", verb), ("outcome", outcome)], count);
                }
            }
        }
    }
}

/// The beginning of a command, from before it is performed.
#[derive(Debug)]
pub struct Verb(String);

impl Verb {
    /// The beginning of a command; the rest of it is not even written down.
    #[must_use]
    pub fn of(command: &dyn Display) -> Self {
        let mut head = Head(String::with_capacity(HEAD));
        // It refuses what is too long, which is all right.
        write!(head, "{command}").ok();
        Self(head.0)
    }
}

/// The words in capitals that a line of syntax begins with; after one of these only what varies comes.
fn verb(syntax: &str) -> String {
    let capitals = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase());
    syntax.split(' ').take_while(capitals).collect::<Vec<_>>().join(" ")
}

/// The beginning of what is written to it.
struct Head(String);

impl Write for Head {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = HEAD.saturating_sub(self.0.len());
        let part = text.get(..text.floor_char_boundary(room)).unwrap_or(text);
        self.0.push_str(part);
        if part.len() == text.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verbs_that_are_known_become_labels() {
        let commands = Commands::new(&["GET FLOWS [ns]", "GET LOG p", "NOOP"]);
        for line in ["GET FLOWS", "GET FLOWS a.test", "NOOP", "NOOPS", "GET EVIL", "EVIL"] {
            commands.count_verb(Verb::of(&line), Outcome::Ok);
        }
        let long = format!("GET LOG {}", "x".repeat(1000));
        commands.count_verb(Verb::of(&long), Outcome::Failed);
        let mut page = Exposition::default();
        commands.write(&mut page);
        let text = page.into_text();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "fnaa_commands_total{verb=\"GET FLOWS\",outcome=\"ok\"} 2",
                "fnaa_commands_total{verb=\"GET LOG\",outcome=\"failed\"} 1",
                "fnaa_commands_total{verb=\"NOOP\",outcome=\"ok\"} 1",
                "fnaa_commands_total{verb=\"OTHER\",outcome=\"ok\"} 3",
            ]
        );
    }
}
