//! The steps in DNS, out of a search.

use std::time::Duration;

use host_names::{Search, Security, Stage, Step, Way};

use super::advice;
use super::row::{DNS, Row, Rows};

/// Adds a row for each step that was come to.
pub(super) fn rows(search: &Search, is_checked: bool, rows: &mut Rows) {
    let end = search.found.as_ref().err().map(|error| {
        let last = search.steps.last().map_or(Stage::Delegation, |step| step.stage);
        (place(error.stage().unwrap_or(last)), error)
    });
    for (index, step) in DNS.into_iter().enumerate() {
        let steps: Vec<&Step> =
            search.steps.iter().filter(|step| place(step.stage) == index).collect();
        let took: Duration = steps.iter().map(|step| step.took).sum();
        let records = steps.iter().flat_map(|step| step.records.clone()).collect();
        match end {
            Some((at, error)) if at == index => {
                let row = Row::failed(step, &error.to_string(), advice::of_search(error));
                rows.push(row.after(took).with(records));
                return;
            }
            _ => rows
                .push(Row::well(step, took, said(search, index, &steps, is_checked)).with(records)),
        }
    }
}

const fn place(stage: Stage) -> usize {
    match stage {
        Stage::Delegation => 0,
        Stage::Pointer => 1,
        Stage::Service | Stage::Namespace => 2,
        Stage::Words | Stage::Queue => 3,
        Stage::Address => 5,
    }
}

fn said(search: &Search, index: usize, steps: &[&Step], is_checked: bool) -> String {
    let way = search.found.as_ref().ok().map(|found| found.way);
    let is_empty = steps.iter().all(|step| step.records.is_empty());
    match index {
        0 => delegation(steps),
        1 if is_empty => "no pointer at the name".to_owned(),
        2 => match way {
            Some(Way::Direct) => "at the name itself, as the proof of concept has it".to_owned(),
            Some(Way::Namespace) => "of the namespace above".to_owned(),
            _ => String::new(),
        },
        3 => match search.found.as_ref().ok() {
            Some(found) if found.agents.iter().any(|place| place.tls) => {
                "tls begins at once".to_owned()
            }
            Some(_) => "nothing about tls: starttls".to_owned(),
            None => String::new(),
        },
        4 => security(search, is_checked).to_owned(),
        _ => String::new(),
    }
}

fn delegation(steps: &[&Step]) -> String {
    let zone = steps.iter().find_map(|step| step.zone.as_deref());
    let zone = zone.map_or_else(|| "zone unknown".to_owned(), |zone| format!("zone {zone}."));
    let servers = steps.first().map_or(&[][..], |step| &step.servers);
    let servers: Vec<_> = servers.iter().take(SHOWN).map(ToString::to_string).collect();
    format!("{zone}, asked {}", servers.join(", "))
}

fn security(search: &Search, is_checked: bool) -> &'static str {
    let counts =
        |step: &&Step| step.stage != Stage::Address && !(is_queue(step) && step.records.is_empty());
    let worst = search.steps.iter().filter(counts).filter_map(|step| step.security).min();
    match worst {
        _ if !is_checked => {
            "not checked: name servers that you name yourself are believed (trust_anchor_file has them checked)"
        }
        Some(Security::Secure) => "proven, from the trust anchor down",
        _ => "not signed: whoever is in between can change it",
    }
}

fn is_queue(step: &Step) -> bool {
    step.stage == Stage::Queue
}

/// Name servers that are shown.
const SHOWN: usize = 4;
