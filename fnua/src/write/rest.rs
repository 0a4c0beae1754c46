//! What a run that gives up has not written, and what to do about it.

use super::batch::Batch;
use super::pump::Job;
use crate::io::Words;

/// Says which lines are not written beside those that were refused for good, which may be, and how the rest gets there.
pub(super) async fn tell(job: &Job, repeatable: bool, refused: bool, words: &Words) {
    let missing = spans(job.unanswered.iter().filter(|batch| !batch.doubtful));
    let more = job.input.has_more().await;
    if refused && !more && job.unanswered.is_empty() && job.tally.batches == 0 {
        // It is as if nothing had been given.
        return;
    }
    let missing = match (missing.is_empty(), more) {
        (false, false) => missing,
        (false, true) => format!("{missing}, and what follows"),
        (true, true) => "what follows".to_owned(),
        (true, false) => String::new(),
    };
    if !missing.is_empty() {
        words.say(&format!("fnua: not written: {missing}"));
    }
    if !repeatable && (refused || !missing.is_empty()) {
        let first = if refused { "once the cause is mended, " } else { "" };
        words.say(&format!(
            "fnua: what came through a pipe is not kept: {first}give it those lines again, and no others"
        ));
    }
    tell_doubts(job, repeatable, words);
    if repeatable {
        let run = &job.run;
        let first = if refused { "once the cause is mended, each line in its place, " } else { "" };
        words.say(&format!(
            "fnua: {first}the same with --run-id {run} writes the rest and nothing twice"
        ));
    }
}

/// Says which lines were sent and not answered. Those of a pipe nobody is told to give again.
fn tell_doubts(job: &Job, repeatable: bool, words: &Words) {
    let doubtful = spans(job.unanswered.iter().filter(|batch| batch.doubtful));
    if doubtful.is_empty() {
        return;
    }
    words.say(&format!("fnua: not known whether written: {doubtful}"));
    if !repeatable {
        words.say(&format!(
            "fnua: {doubtful} may be there already, and given again would be there twice: fnua read shows whether"
        ));
    }
}

/// Where batches stand in the input.
pub(super) fn spans<'a>(batches: impl Iterator<Item = &'a Batch>) -> String {
    batches.map(|batch| batch.span().to_string()).collect::<Vec<_>>().join(", ")
}
