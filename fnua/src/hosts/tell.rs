//! The look-ups of a run as the draft's transcripts show them (section 6.4), for `-d`.

use host_names::{Stage, Step};

use crate::trace::Trace;

/// Shows what was asked and what came.
pub(super) fn steps(steps: &[Step], trace: &Trace) {
    for step in steps {
        for line in lines(step) {
            trace.note(|| line);
        }
    }
}

fn lines(step: &Step) -> Vec<String> {
    let Step { owner, kind, code, records, .. } = step;
    let server = step.servers.first().map(ToString::to_string);
    let server = server.unwrap_or_else(|| "nobody".to_owned());
    let mut lines = vec![
        format!("Resolving {kind} for {owner}. using server {server}"),
        format!("Executing query {owner}. IN {code} using server {server}"),
    ];
    match &step.problem {
        Some(problem) => lines.push(format!("Executing failed: {problem}")),
        None => lines.push(format!("Executing successful: [{}]", records.join(" "))),
    }
    if step.stage == Stage::Address {
        let address = |record: &String| record.rsplit('\t').next().map(str::to_owned);
        let found = records.iter().filter_map(address);
        lines.extend(found.map(|address| {
            format!("Resolved {kind} to {address} for {owner}. using server {server}")
        }));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_is_told_in_the_words_of_the_draft() {
        let step = Step {
            stage: Stage::Address,
            owner: "fnaa.unix.ar".to_owned(),
            kind: "A".to_owned(),
            code: 1,
            servers: vec!["172.17.0.2:53".parse().unwrap()],
            records: vec!["fnaa.unix.ar.\t604800\tIN\tA\t127.0.0.1".to_owned()],
            missing: false,
            zone: None,
            security: None,
            took: Duration::ZERO,
            problem: None,
        };
        let wanted = [
            "Resolving A for fnaa.unix.ar. using server 172.17.0.2:53",
            "Executing query fnaa.unix.ar. IN 1 using server 172.17.0.2:53",
            "Executing successful: [fnaa.unix.ar.\t604800\tIN\tA\t127.0.0.1]",
            "Resolved A to 127.0.0.1 for fnaa.unix.ar. using server 172.17.0.2:53",
        ];
        assert_eq!(lines(&step), wanted);
    }
}
