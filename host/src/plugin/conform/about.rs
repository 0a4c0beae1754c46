//! Rules about what a plugin says of itself, and about its configuration.

use std::path::Path;

use host_plugins::{CallError, Plugin};

use super::report::{Report, Rule};
use super::shard::{cut, why};
use crate::plugin::desk::{Order, stem};
use crate::plugin::{advice, schema};

pub(super) fn name(plugin: &Plugin, file: &Path, report: &mut Report) {
    let name = &plugin.info().name;
    let wrong = (stem(file) != Some(name))
        .then(|| format!("describe says `{name}`, so the file must be {name}.wasm"));
    report.held(Rule::Name, wrong);
}

pub(super) fn schema(plugin: &Plugin, report: &mut Report) {
    let wrong = schema::wrong_with(&plugin.info().config_schema);
    report.held(Rule::Schema, (!wrong.is_empty()).then(|| wrong.join("\n")));
}

pub(super) async fn describe(plugin: &Plugin, report: &mut Report) {
    let broken = match plugin.describe_again().await {
        Ok(info) if info == *plugin.info() => None,
        Ok(info) => Some(format!("{:?}, and then {info:?}", plugin.info())),
        Err(error) => Some(error.to_string()),
    };
    report.held(Rule::Describe, broken);
}

/// Whether there can be instances at all.
pub(super) async fn init(plugin: &Plugin, order: &Order, report: &mut Report) -> bool {
    let mut broken = None;
    for shard in [0, 0, 1, 7] {
        if let Err(error) = plugin.instantiate(order.setup("conform", shard)).await {
            let to_do = advice::about_init(&error, order.is_chosen);
            broken = Some(format!("with {}, shard {shard}: {error}\n{to_do}", order.config));
            break;
        }
    }
    let well = broken.is_none();
    report.held(Rule::Init, broken);
    well
}

pub(super) async fn init_refuses(plugin: &Plugin, order: &Order, report: &mut Report) {
    let wrong = schema::wrong_configurations(&plugin.info().config_schema, &order.config);
    if wrong.is_empty() {
        return report
            .not_applicable(Rule::InitRefuses, "the schema forbids nothing that could be tried");
    }
    let mut broken = Vec::new();
    for (member, config) in wrong {
        let tried = Order { config: config.clone(), ..order.clone() };
        let reason = match plugin.instantiate(tried.setup("conform", 0)).await {
            Ok(_) => Some("it is taken".to_owned()),
            Err(CallError::Fatal(words)) => not_a_refusal(&member, &words),
            Err(other) => Some(why(&other)),
        };
        broken.extend(reason.map(|reason| format!("{}: {reason}", cut(&config))));
        // One that works to its limits in init would do so for each of them.
        if broken.len() == MOST_TOLD {
            break;
        }
    }
    report.held(Rule::InitRefuses, (!broken.is_empty()).then(|| broken.join("\n")));
}

/// What is missing in a refusal: somebody has to find the place from its words.
pub(super) fn not_a_refusal(member: &str, words: &str) -> Option<String> {
    let path = words
        .split_once(": ")
        .map(|(path, _)| path)
        .filter(|path| !path.contains(char::is_whitespace));
    if path.is_none_or(str::is_empty) {
        Some(format!("refused with `{words}`, which is no `path: reason`"))
    } else if !words.contains(member) {
        Some(format!("refused with `{words}`, which does not name `{member}`"))
    } else {
        None
    }
}

/// Wrong answers that are told; one says as much as a hundred.
const MOST_TOLD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_a_path_and_the_member_that_is_to_blame() {
        assert_eq!(not_a_refusal("n", "n: must be at least 1"), None);
        assert_eq!(not_a_refusal("n", "rules[2].n: no"), None);
        assert_eq!(not_a_refusal("", "config: missing field `n`"), None);
        assert!(not_a_refusal("n", "m: bad").unwrap().contains("does not name"));
        for words in ["", "wrong", "this is wrong: n", ": n"] {
            assert!(not_a_refusal("n", words).unwrap().contains("no `path: reason`"), "{words}");
        }
    }
}
