//! The commands that change something, each with what it meets and what follows.
//!
//! `@a` is flow or processor `a` of the run, `%n` its namespace `n`; every run has names of its own.

/// One command that is killed at every step of it.
pub(super) struct Case {
    /// Makes the state that the command meets.
    pub(super) before: &'static [&'static str],
    /// The command; `WRITE flow [ID token] first..last` has these events.
    pub(super) command: &'static str,
    /// Waits for what the command brings about beside its answer.
    pub(super) effect: &'static [&'static str],
    /// Whether it may be said again; otherwise it is done or undone, and either is right.
    pub(super) repeat: bool,
    /// What has to work afterwards.
    pub(super) after: &'static [&'static str],
}

impl Case {
    const fn new(before: &'static [&'static str], command: &'static str) -> Self {
        Self { before, command, effect: &[], repeat: true, after: &[] }
    }

    const fn effect(self, effect: &'static [&'static str]) -> Self {
        Self { effect, ..self }
    }

    const fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    const fn once(self) -> Self {
        Self { repeat: false, ..self }
    }
}

const FLOW: &[&str] = &["CREATE FLOW @a", "WRITE @a 0..3"];
/// `$@a` is the subscription to it.
const SUBSCRIBED: &[&str] = &["CREATE FLOW @a", "SUBSCRIBE @a"];
const TWO: &[&str] = &["CREATE FLOW @a", "CREATE FLOW @b", "WRITE @a 0..5"];
const FOUR: &[&str] =
    &["CREATE FLOW @a", "CREATE FLOW @b", "CREATE FLOW @c", "CREATE FLOW @d", "WRITE @a 0..5"];
const BRIDGE: &[&str] =
    &["CREATE FLOW @a", "CREATE FLOW @b", "REPLICATE @a @b AS @p", "WRITE @a 0..5", "HOLDS @b 5"];
const HELD_FLOW: &[&str] = &[
    "CREATE FLOW @a",
    "CREATE FLOW @b",
    "REPLICATE @a @b AS @p",
    "WRITE @a 0..5",
    "HOLDS @b 5",
    "PAUSE @a",
];
const HELD: &[&str] = &[
    "CREATE FLOW @a",
    "CREATE FLOW @b",
    "REPLICATE @a @b AS @p",
    "WRITE @a 0..5",
    "HOLDS @b 5",
    "PAUSE @p",
    "WRITE @a 5..8",
];
/// Two partitions, so that a move has two halves; the last event lies alone behind both.
const HELD_TWO: &[&str] = &[
    "CREATE FLOW @a partitions=2",
    "CREATE FLOW @b",
    "REPLICATE @a @b AS @p",
    "WRITE @a 0..16",
    "HOLDS @b 16",
    "PAUSE @p",
];
/// Tells of every third event; two are counted.
const COUNTING: &[&str] = &[
    "CREATE FLOW @a",
    "CREATE FLOW @b",
    r#"SIGNAL signal FROM @a TO @b AS @p CONFIG {"rules":[{"name":"third","when":"true","count":{"at-least":3,"within":3},"emit":{"type":"third"}}]}"#,
    "WRITE @a 0..2",
    "TAKEN @p 2",
    "PAUSE @p",
];

/// Flows that a pattern means, and a namespace for what is made of them.
const MEANT: &[&str] = &[
    "CREATE NAMESPACE %n",
    "CREATE FLOW all.%n",
    "CREATE FLOW a.@i partitions=2",
    "CREATE FLOW b.@i",
    "WRITE a.@i 0..5",
    "WRITE b.@i 5..8",
];
/// The same with a pattern that has taken them in.
const MIRRORED: &[&str] = &[
    MEANT[0],
    MEANT[1],
    MEANT[2],
    MEANT[3],
    MEANT[4],
    MEANT[5],
    "REPLICATE *.@i *.%n AS @p",
    "HOLDS a.%n 5",
    "HOLDS b.%n 3",
];

/// A bridge that passes its memory at one event.
const FAILING: &[&str] = &[
    "CREATE FLOW @a",
    "CREATE FLOW @b",
    concat!(
        "CREATE PROCESSOR @p TYPE bridge FROM @a TO @b limit.memory=16777216 ",
        r#"CONFIG {"filter":"id != 'e1' || ['xxxxxxxxxxxxxxxx']"#,
        ".map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)",
        ".map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)",
        ".map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x).map(x, x + x + x + x)",
        r#".size() > 0"}"#
    ),
];
/// The same, put right after it left a dead letter.
const MENDED: &[&str] = &[
    FAILING[0],
    FAILING[1],
    FAILING[2],
    "WRITE @a 0..3",
    "HOLDS @b 2",
    "OPEN @p 1",
    "UPDATE PROCESSOR @p CONFIG {}",
];

/// Every command that changes something, in the order of HELP.
pub(super) const CASES: &[Case] = &[
    Case::new(&[], "CREATE NAMESPACE %n").after(&["CREATE FLOW a.%n", "DELETE FLOW a.%n"]),
    Case::new(&["CREATE NAMESPACE %n"], "UPDATE NAMESPACE %n owner=me"),
    Case::new(&["CREATE NAMESPACE %n"], "DELETE NAMESPACE %n").after(&["CREATE NAMESPACE %n"]),
    Case::new(&[], "CREATE FLOW @a partitions=2").after(&["WRITE @a 0..5", "HOLDS @a 5"]),
    Case::new(BRIDGE, "UPDATE FLOW @a partitions=3").after(&["WRITE @a 5..25", "HOLDS @b 25"]),
    Case::new(FLOW, "UPDATE FLOW @a retention.ms=86400000").after(&["WRITE @a 3..5", "HOLDS @a 5"]),
    Case::new(FLOW, "DELETE FLOW @a").after(&["CREATE FLOW @a", "WRITE @a 0..1", "HOLDS @a 1"]),
    Case::new(BRIDGE, "PAUSE @a").after(&["RESUME @a", "WRITE @a 5..6", "HOLDS @b 6"]),
    Case::new(HELD_FLOW, "RESUME @a").after(&["WRITE @a 5..6", "HOLDS @b 6"]),
    Case::new(FLOW, "PURGE FLOW @a CONFIRM @a").after(&["WRITE @a 3..5", "HOLDS @a 2"]),
    Case::new(BRIDGE, "WRITE @a ID t 5..9").effect(&["HOLDS @b 9"]),
    Case::new(BRIDGE, "WRITE @a 5..9").effect(&["HOLDS @b 9"]).once(),
    Case::new(TWO, "REPLICATE @a @b AS @p")
        .effect(&["HOLDS @b 5"])
        .after(&["WRITE @a 5..9", "HOLDS @b 9"]),
    Case::new(FOUR, "COLLECT @a,@c @b AS @p")
        .effect(&["HOLDS @b 5"])
        .after(&["WRITE @c 5..9", "HOLDS @b 9"]),
    Case::new(MEANT, "REPLICATE *.@i *.%n AS @p")
        .effect(&["HOLDS a.%n 5", "HOLDS b.%n 3"])
        .after(&["WRITE a.@i 8..9", "HOLDS a.%n 6"]),
    Case::new(MEANT, "COLLECT *.@i all.%n AS @p")
        .effect(&["HOLDS all.%n 8"])
        .after(&["WRITE b.@i 8..9", "HOLDS all.%n 9"]),
    Case::new(MIRRORED, "DELETE PROCESSOR @p").after(&["WRITE b.@i 8..9", "HOLDS b.%n 4"]),
    Case::new(
        FOUR,
        r#"DISTRIBUTE @a @b,@c AS @p CONFIG {"rules":[{"when":"data.n % 2 == 0","to":"@b"}],"otherwise":"@c"}"#,
    )
    .effect(&["HOLDS @b 3", "HOLDS @c 2"])
    .after(&["WRITE @a 5..9", "HOLDS @b 5", "HOLDS @c 4"]),
    Case::new(
        FOUR,
        r#"SIGNAL signal FROM @a,@c TO @b,@d AS @p CONFIG {"rules":[{"name":"even","when":"data.n % 2 == 0","emit":{"type":"even"}}]}"#,
    )
    .effect(&["HOLDS @b 3", "HOLDS @d 3"])
    .after(&["WRITE @c 6..7", "HOLDS @b 4", "HOLDS @d 4"]),
    Case::new(TWO, "CREATE PROCESSOR @p TYPE bridge FROM @a TO @b START OFFSET 0:2")
        .effect(&["HOLDS @b 3"])
        .after(&["WRITE @a 5..9", "HOLDS @b 7"]),
    Case::new(BRIDGE, r#"UPDATE PROCESSOR @p CONFIG {"filter":"data.n >= 7"}"#)
        .after(&["WRITE @a 5..9", "HOLDS @b 7"]),
    Case::new(BRIDGE, "UPDATE PROCESSOR @p ring=allow").after(&["WRITE @a 5..9", "HOLDS @b 9"]),
    Case::new(HELD, "UPDATE PROCESSOR @p POSITION OFFSET 0:2 STATE keep")
        .after(&["RESUME @p", "HOLDS @b 11"]),
    Case::new(HELD_TWO, "UPDATE PROCESSOR @p POSITION earliest")
        .after(&["RESUME @p", "HOLDS @b 32"]),
    Case::new(HELD_TWO, "UPDATE PROCESSOR @p POSITION earliest")
        .once()
        .after(&["RESUME @p", "ENDS @p @a @b 16|32"]),
    Case::new(COUNTING, "UPDATE PROCESSOR @p POSITION latest STATE reset")
        .after(&["RESUME @p", "WRITE @a 2..5", "HOLDS @b 1"]),
    Case::new(COUNTING, "UPDATE PROCESSOR @p POSITION latest STATE keep")
        .after(&["RESUME @p", "WRITE @a 2..3", "HOLDS @b 1"]),
    Case::new(BRIDGE, "PAUSE @p").after(&["WRITE @a 5..9", "RESUME @p", "HOLDS @b 9"]),
    Case::new(HELD, "RESUME @p").effect(&["HOLDS @b 8"]),
    Case::new(BRIDGE, "STOP @p").after(&["WRITE @a 5..9", "RESUME @p", "HOLDS @b 9"]),
    Case::new(FAILING, "WRITE @a ID t 0..3")
        .effect(&["HOLDS @b 2", "OPEN @p 1"])
        .after(&["WRITE @a 3..5", "HOLDS @b 4"]),
    Case::new(MENDED, "REPLAY @p")
        .effect(&["HOLDS @b 3", "OPEN @p 0"])
        .after(&["WRITE @a 3..5", "HOLDS @b 5"]),
    Case::new(MENDED, "DISCARD @p").after(&["WRITE @a 3..5", "HOLDS @b 4"]),
    Case::new(FLOW, "SUBSCRIBE @a REF=6f0c1d7e-6d0b-4f0e-9d8f-0a1b2c3d4e5f")
        .after(&["PAUSE $@a", "REMOVE SUBSCRIBER $@a", "DELETE FLOW @a"]),
    Case::new(SUBSCRIBED, "PAUSE $@a").after(&["RESUME $@a"]),
    Case::new(SUBSCRIBED, "STOP $@a").after(&["RESUME $@a"]),
    Case::new(SUBSCRIBED, "UNSUBSCRIBE $@a").after(&["SUBSCRIBE @a"]),
    Case::new(
        &["CREATE FLOW @a", "SUBSCRIBE @a REF=6f0c1d7e-6d0b-4f0e-9d8f-0a1b2c3d4e5f"],
        "UNSUBSCRIBE @a REF=6f0c1d7e-6d0b-4f0e-9d8f-0a1b2c3d4e5f",
    )
    .after(&["SUBSCRIBE @a"]),
    Case::new(SUBSCRIBED, "REMOVE SUBSCRIBER $@a").after(&["SUBSCRIBE @a", "PAUSE $@a"]),
    Case::new(BRIDGE, "DELETE PROCESSOR @p").after(&[
        "REPLICATE @a @b AS @p",
        "HOLDS @b 10",
        "DELETE PROCESSOR @p",
        "DELETE FLOW @a",
    ]),
    Case::new(FLOW, "GRANT read,write ON @a TO user:u").after(&["DELETE FLOW @a"]),
    Case::new(
        &["CREATE FLOW @a", "GRANT read,write ON @a TO user:u"],
        "REVOKE read,write ON @a FROM user:u",
    )
    .after(&["GRANT read ON @a TO user:u"]),
];

/// Commands of HELP, by their first words, that change nothing.
pub(super) const CHANGE_NOTHING: &[&str] = &[
    "CAPABILITIES",
    "HELP",
    "COMPARE",
    "NOOP",
    "STARTTLS",
    "AUTHENTICATE",
    "QUIT",
    "DESCRIBE",
    "GET",
    "READ",
    "DONE",
    "STREAM",
];

/// Commands that only mean something where another domain has asked: `subscribers` kills them. Snapshots have numbers that
/// never come back: `snapshots` kills there.
pub(super) const ELSEWHERE: &[&str] = &["APPROVE", "DENY", "SNAPSHOT"];
