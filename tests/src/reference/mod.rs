//! The examples of a page of documentation, as dialogues that can be played against a host.
//!
//! An example is a fenced block of the kind `fnap`. The words behind that, its marks, name what has to be there
//! before: a user, a flow, TLS. What a mark means is for the test to say; one that it does not know fails it, and so
//! does a block of a kind that nobody plays. A block of another kind has to be named as such by the test.

mod expect;
mod house;
mod play;

pub use house::{House, has_elsewhere};

use fnap::reply::Code;
use fnap::transcript::Transcript;

/// One block.
#[derive(Clone, Debug)]
pub struct Example {
    /// The page, and the line on which the block begins.
    pub place: String,
    /// What has to be there before.
    pub marks: Vec<String>,
    steps: Vec<Step>,
}

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `C: …`
    Client(String),
    /// `S: …`
    Host(String),
    /// `# …`: what happens beside the dialogue.
    Aside(Aside),
}

/// What happens beside a dialogue. Other words behind `#` are refused: they would not be played.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aside {
    /// `# the TLS handshake`
    Handshake,
    /// `# the host closes the connection`
    Closed,
    /// `# the client says nothing more`: it ends its side.
    Finished,
    /// `# the host is told to end`
    Ended,
    /// `# further lines that begin with WORDS`: those are not in the page.
    Further(String),
    /// `# NAME says: COMMAND`: somebody does, on another connection, and it goes well.
    Elsewhere(String, String),
}

impl Example {
    /// The examples of a page. Blocks of the kinds in `others` are passed over.
    ///
    /// # Panics
    /// When a block is of no kind that is known, or holds a line that is none of a dialogue.
    #[must_use]
    pub fn of_page(name: &str, page: &str, others: &[&str]) -> Vec<Self> {
        let mut examples = Vec::new();
        let mut open: Option<Option<Self>> = None;
        for (line, number) in page.lines().zip(1..) {
            let place = || format!("{name}:{number}");
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => examples.extend(open.take().flatten()),
                (Some(info), None) => {
                    let mut words = info.split(' ').map(str::to_owned);
                    let kind = words.next().unwrap_or_default();
                    let played = kind == "fnap";
                    assert!(played || others.contains(&&*kind), "{}: a block {info:?}", place());
                    let example = Self { place: place(), marks: words.collect(), steps: vec![] };
                    open = Some(played.then_some(example));
                }
                (None, Some(Some(example))) => example.steps.push(Step::read(line, &place())),
                (None, _) => {}
            }
        }
        assert!(open.is_none(), "{name}: a block without an end");
        examples
    }

    /// Whether it has a mark.
    #[must_use]
    pub fn is(&self, mark: &str) -> bool {
        self.marks.iter().any(|one| one == mark)
    }

    /// The same for who has no host: only for one without asides.
    ///
    /// # Panics
    /// When something happens beside the dialogue.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        let lines = self.steps.iter().map(|step| match step {
            Step::Client(said) => format!("C: {said}\n"),
            Step::Host(said) => format!("S: {said}\n"),
            Step::Aside(aside) => panic!("{}: {aside:?}", self.place),
        });
        Transcript::parse(&lines.collect::<String>()).unwrap()
    }

    /// The codes that the host answers in it.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        let lines = self.steps.iter().filter_map(|step| match step {
            Step::Host(line) => line.split(' ').next(),
            _ => None,
        });
        let digits =
            |word: &&str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        lines.filter(digits).map(|word| Code::from_number(word.parse().unwrap())).collect()
    }
}

impl Step {
    const fn is_said(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    fn read(line: &str, place: &str) -> Self {
        match line.split_at_checked(3) {
            Some(("C: ", said)) => return Self::Client(said.to_owned()),
            Some(("S: ", said)) => return Self::Host(said.to_owned()),
            _ => {}
        }
        let aside = line.strip_prefix("# ").and_then(|words| match words {
            "the TLS handshake" => Some(Aside::Handshake),
            "the host closes the connection" => Some(Aside::Closed),
            "the client says nothing more" => Some(Aside::Finished),
            "the host is told to end" => Some(Aside::Ended),
            words => {
                if let Some(front) = words.strip_prefix("further lines that begin with ") {
                    return Some(Aside::Further(front.to_owned()));
                }
                let (name, command) = words.split_once(" says: ")?;
                Some(Aside::Elsewhere(name.to_owned(), command.to_owned()))
            }
        });
        Self::Aside(aside.unwrap_or_else(|| panic!("{place}: no line of a dialogue: {line:?}")))
    }
}
