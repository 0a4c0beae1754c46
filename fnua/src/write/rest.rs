//! What a run that gives up has not written, and what to do about it.

use std::collections::VecDeque;

use super::batch::Batch;
use super::input::Next;
use super::pump::Job;
use crate::io::Words;

/// Says which lines are not written, which may be, and how the rest gets there.
pub(super) fn tell(job: &Job, repeatable: bool, words: &Words) {
    let missing = spans(job.unanswered.iter().filter(|batch| !batch.doubtful));
    let more = !matches!(job.input.next(true), Next::End);
    let missing = match (missing.is_empty(), more) {
        (false, false) => missing,
        (false, true) => format!("{missing}, and what follows"),
        (true, true) => "what follows".to_owned(),
        (true, false) => String::new(),
    };
    if !missing.is_empty() {
        words.say(&format!("fnua: not written: {missing}"));
    }
    tell_doubts(&job.unanswered, words);
    words.say(&match repeatable {
        true => {
            format!("fnua: the same with --run-id {} writes the rest and nothing twice", job.run)
        }
        false => {
            "fnua: what came through a pipe is not kept: give it those lines again, and no others"
                .to_owned()
        }
    });
}

/// Says which lines were sent and not answered.
pub(super) fn tell_doubts(unanswered: &VecDeque<Batch>, words: &Words) {
    let doubtful = spans(unanswered.iter().filter(|batch| batch.doubtful));
    if !doubtful.is_empty() {
        words.say(&format!("fnua: not known whether written: {doubtful}"));
    }
}

/// Where batches stand in the input.
pub(super) fn spans<'a>(batches: impl Iterator<Item = &'a Batch>) -> String {
    batches.map(|batch| batch.span().to_string()).collect::<Vec<_>>().join(", ")
}
