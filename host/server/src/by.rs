//! Who asks for a change, in the words of the audit log.
//!
//! What a plugin is configured with may be a secret, and is left out.

use std::net::IpAddr;

use fnap::command::{Command, NewMirror, NewProcessor};
use fnap::value::Settings;
use host_iam::Principal;
use host_registry::{By, Lens, POLICY};

/// Stands for what is left out.
const HIDDEN: &str = " CONFIG (not shown)";

/// Who, from where, and what he said.
pub(crate) fn by(principal: &Principal, from: IpAddr, command: &Command) -> By {
    By { who: principal.to_string(), origin: from.to_string(), command: shown(command) }
}

/// A command without what may be a secret.
pub(crate) fn shown(command: &Command) -> String {
    match command {
        Command::ConfigureProcessor { processor, .. } => {
            format!("UPDATE PROCESSOR {processor}{HIDDEN}")
        }
        Command::CreateProcessor(new) if new.config.is_some() => {
            let bare = NewProcessor { config: None, ..new.clone() };
            format!("{}{HIDDEN}", Command::CreateProcessor(bare))
        }
        Command::Approve { request, filter, policy: Some(_) } => {
            let bare =
                Command::Approve { request: request.clone(), filter: filter.clone(), policy: None };
            format!("{bare} POLICY (not shown)")
        }
        Command::CreateMirror(new) if new.config.is_some() => {
            let bare = NewMirror { config: None, ..new.clone() };
            format!("{}{HIDDEN}", Command::CreateMirror(bare))
        }
        Command::CreateFlow { flow, settings } => {
            Command::CreateFlow { flow: flow.clone(), settings: without_policy(settings) }
                .to_string()
        }
        Command::UpdateFlow { flow, settings } => {
            Command::UpdateFlow { flow: flow.clone(), settings: without_policy(settings) }
                .to_string()
        }
        other => other.to_string(),
    }
}

/// Settings of a flow, of its policy the type alone.
fn without_policy(settings: &Settings) -> Settings {
    let mut shown = Settings::new();
    for (key, value) in settings.iter() {
        let value = match key {
            POLICY if value.contains(' ') => format!("{} (not shown)", Lens::policy(value).kind),
            _ => value.to_owned(),
        };
        // They were settings before.
        drop(shown.insert(key, value));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_is_configured_with_is_not_shown() {
        let cases = [
            ("CREATE FLOW a.test partitions=2", "CREATE FLOW a.test partitions=2"),
            (
                r#"UPDATE PROCESSOR p.test CONFIG {"k":"s3cret"}"#,
                "UPDATE PROCESSOR p.test CONFIG (not shown)",
            ),
            (
                r#"CREATE PROCESSOR p.test TYPE bridge FROM a.test TO b.test CONFIG {"k":"s3cret"}"#,
                "CREATE PROCESSOR p.test TYPE bridge FROM a.test TO b.test CONFIG (not shown)",
            ),
            (
                r#"REPLICATE a-*.test b-*.test CONFIG {"k":"s3cret"}"#,
                "REPLICATE a-*.test b-*.test CONFIG (not shown)",
            ),
            (
                r#"APPROVE r FILTER true POLICY "mask {\"k\":\"s3cret\"}""#,
                "APPROVE r FILTER true POLICY (not shown)",
            ),
            (
                r#"CREATE FLOW a.test partitions=2 policy="mask {\"k\":\"s3cret\"}""#,
                r#"CREATE FLOW a.test partitions=2 policy="mask (not shown)""#,
            ),
            (
                r#"UPDATE FLOW a.test policy="mask {\"k\":\"s3cret\"}" access=open"#,
                r#"UPDATE FLOW a.test policy="mask (not shown)" access=open"#,
            ),
            (r#"UPDATE FLOW a.test policy="""#, r#"UPDATE FLOW a.test policy="""#),
        ];
        for (said, expected) in cases {
            let command: Command = said.parse().unwrap();
            let by = by(&Principal::user("ana", []), [127, 0, 0, 1].into(), &command);
            assert_eq!((&*by.who, &*by.origin, &*by.command), ("user:ana", "127.0.0.1", expected));
        }
    }
}
