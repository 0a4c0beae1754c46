//! SIGKILL between each pair of steps of every command that changes something: afterwards it is done
//! or undone as a whole, saying it again does it, and nothing of it lingers.
//!
//! The steps are not written down here. A debug build of the host says which places it passes
//! (`host/failpoints`); each is one run. A place that no command passes fails the story, and so does a
//! command of HELP that is no case.

mod cases;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use stories::{Fnaad, Wire, eventually, leftovers};
use tempfile::TempDir;

use cases::{CASES, CHANGE_NOTHING, Case, ELSEWHERE};
use run::Run;

/// Participants that work through the cases side by side: they mostly wait for the disk.
const PARTICIPANTS: usize = 3;

/// Most passings of one place by one command that are runs of their own.
const MOST_PASSINGS: usize = 6;

#[test]
fn killed_between_any_two_steps_of_any_command_it_is_done_or_undone_and_nothing_lingers() {
    let (next, passed) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..PARTICIPANTS {
            scope.spawn(|| {
                let mut participant = Participant::new();
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let places = participant.case(case);
                    passed.lock().unwrap().extend(places);
                }
                participant.end();
            });
        }
    });
    let mut passed = passed.into_inner().unwrap();
    passed.extend(PLACES_OF_PLUGINS.map(str::to_owned));
    passed.insert("processors.reconfigured".to_owned());
    passed.extend(crate::dns::PLACES.map(str::to_owned));
    passed.extend(crate::reports::PLACES.map(str::to_owned));
    passed.extend(crate::snapshots::PLACES.map(str::to_owned));
    passed.extend(stories::PLACES_OF_LENDING.map(str::to_owned));
    assert_eq!(places(), passed, "places in the code, and those that a command passes");
}

#[test]
fn every_command_that_changes_something_is_killed_at_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let begins = |line: &str, words: &str| {
        line.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    for line in host.login().data("HELP") {
        let mut others = CHANGE_NOTHING.iter().chain(ELSEWHERE);
        let known = others.any(|words| begins(&line, words));
        let plain: Vec<&str> =
            line.split(' ').take_while(|word| word.chars().all(|c| c.is_uppercase())).collect();
        let plain = plain.join(" ");
        let case = CASES.iter().any(|case| begins(case.command, &plain));
        assert!(known || case, "no case kills {line}");
    }
}

/// A host that is killed and born again, on one directory; its runs leave nothing behind.
struct Participant {
    dir: TempDir,
    host: Option<Fnaad>,
    wire: Wire,
    runs: usize,
}

impl Participant {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Fnaad::arm(dir.path(), "");
        let host = Fnaad::mortal(dir.path()).expect("nothing ends it");
        let wire = host.login();
        Self { dir, host: Some(host), wire, runs: 0 }
    }

    fn host(&mut self) -> &mut Fnaad {
        self.host.as_mut().unwrap()
    }

    /// Runs a case once to its end, and once for each place that it passed.
    fn case(&mut self, case: &Case) -> BTreeSet<String> {
        let whole = self.whole(case);
        let mut places = BTreeMap::<String, usize>::new();
        for place in &whole.places {
            *places.entry(place.clone()).or_default() += 1;
        }
        for (place, passings) in &places {
            for count in 1..=(*passings).min(MOST_PASSINGS) {
                self.killed(case, &whole, &format!("{place}:{count}"));
            }
        }
        places.into_keys().collect()
    }

    fn prepare(&mut self, case: &Case) -> (Run, Value) {
        self.runs += 1;
        let run = Run(self.runs);
        case.before.iter().for_each(|line| run.perform(&mut self.wire, line));
        (run, settled(run, &mut self.wire))
    }

    fn whole(&mut self, case: &Case) -> Whole {
        let (run, before) = self.prepare(case);
        let begun = self.host().passed().len();
        let wire = &mut self.wire;
        let first = run.say(wire, case.command).expect("the host lives");
        assert!(first.starts_with("220 OK"), "{}: {first}", case.command);
        case.effect.iter().for_each(|line| run.perform(wire, line));
        let after = settled(run, wire);
        let places = self.host().passed().split_off(begun);
        let wire = &mut self.wire;
        let again = case.repeat.then(|| run.say(wire, case.command).unwrap());
        case.after.iter().for_each(|line| run.perform(wire, line));
        run.clean(wire);
        Whole { before, after, first, again, places }
    }

    /// The same, with the host's end at a place.
    fn killed(&mut self, case: &Case, whole: &Whole, place: &str) {
        let told = format!("{} killed at {place}", case.command);
        let (run, before) = self.prepare(case);
        assert_eq!(before, whole.before, "{told}: before it");
        Fnaad::arm(self.dir.path(), place);
        let answer = run.say(&mut self.wire, case.command);
        let reached = self.await_end(run, whole);
        // How many commits carry the same events is a matter of time.
        let may_miss = place.starts_with("broker.") && !place.ends_with(":1");
        assert!(reached || may_miss, "{told}: it was not, after {answer:?}");
        self.be_born_again();
        let wire = &mut self.wire;
        let done_or_undone = |seen: &Value| *seen == whole.before || *seen == whole.after;
        let seen = eventually_seen(run, wire, &told, done_or_undone);
        if answer.is_some_and(|answer| answer.starts_with("220 ")) {
            // What was answered is done, even where its effect takes a while.
            eventually_seen(run, wire, &told, |seen| *seen == whole.after);
        } else if let Some(again) = &whole.again {
            let answer = say_again(run, wire, case.command);
            let known = answer == *again || answer == whole.first;
            assert!(known, "{told}, then said again: {answer}; it was {seen}");
            eventually_seen(run, wire, &told, |seen| *seen == whole.after);
        }
        case.after.iter().for_each(|line| run.perform(wire, line));
        run.clean(wire);
    }

    fn be_born_again(&mut self) {
        Fnaad::arm(self.dir.path(), "");
        drop(self.host.take().unwrap().kill());
        self.host = Fnaad::mortal(self.dir.path());
        self.wire = self.host().login();
    }

    /// Whether the host ended, looked for until the whole effect of the command is there.
    fn await_end(&mut self, run: Run, whole: &Whole) -> bool {
        eventually("the end of the host, or of the command", || {
            let view = run.view(&mut self.wire);
            match self.host().has_ended() {
                true => Ok(true),
                false if view.as_ref() == Some(&whole.after) => {
                    // What is seen is done; its last place may be a moment later.
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    Ok(self.host().has_ended())
                }
                false => Err(format!("{view:?}")),
            }
        })
    }

    fn end(mut self) {
        drop(self.host.take().unwrap().kill());
        assert_eq!(leftovers(&self.dir.path().join("data")), [""; 0]);
    }
}

/// What a command does that nobody kills.
struct Whole {
    before: Value,
    after: Value,
    /// Its answer, and the one to the same command again.
    first: String,
    again: Option<String>,
    /// Places that it passed, in order.
    places: Vec<String>,
}

/// The view once every processor has begun to do what it should.
fn settled(run: Run, wire: &mut Wire) -> Value {
    eventually("processors to settle", || {
        for processor in wire.json("GET PROCESSORS") {
            if !["running", "paused", "stopped", "pattern"]
                .iter()
                .any(|state| processor["state"] == *state)
            {
                return Err(processor.to_string());
            }
        }
        run.view(wire).ok_or_else(|| "nothing".to_owned())
    })
}

fn eventually_seen(
    run: Run,
    wire: &mut Wire,
    told: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    eventually(told, || {
        let seen = run.view(wire).expect("the host lives");
        if wanted(&seen) { Ok(seen) } else { Err(seen.to_string()) }
    })
}

/// Says a command again, after what is under way of it has ended.
fn say_again(run: Run, wire: &mut Wire, command: &str) -> String {
    eventually("what is under way", || {
        let answer = run.say(wire, command).expect("the host lives");
        let waits = answer.contains("under way") || answer.contains("is being deleted");
        if waits { Err(answer) } else { Ok(answer) }
    })
}

/// Places that only plugins pass; `swap`, `probation`, `upgrades`, `together` and `shadow_first` kill there.
const PLACES_OF_PLUGINS: [&str; 22] = [
    "plugins.compiled",
    "plugins.before-put",
    "plugins.put",
    "plugins.before-activation",
    "plugins.activated",
    "plugins.before-verdict",
    "plugins.verdict",
    "plugins.before-begun",
    "plugins.begun",
    "plugins.before-advance",
    "plugins.advanced",
    "plugins.before-wanted",
    "plugins.wanted",
    "plugins.before-cleaned",
    "plugins.before-answer",
    "plugins.before-removal",
    "plugins.removed",
    "plugins.before-forgotten",
    "processors.before-swap",
    "processors.swapped",
    "processors.before-successor",
    "processors.successor",
];

/// Every place in the code of the host.
fn places() -> BTreeSet<String> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host");
    let (mut folders, mut found) = (vec![host], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let names = text.split("failpoint!(\"").skip(1);
                found.extend(names.map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
    }
    found
}
