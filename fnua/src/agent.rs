//! Which host a command goes to.

use crate::address::Address;
use crate::config::{Agent, Config};

/// Why no host can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAgent {
    /// Nothing is configured and nothing was said.
    #[error("no agent: give --agent HOST:PORT, or a config file with --config (see fnua --help)")]
    NoneKnown,
    /// `--agent` is neither the name of an agent nor an address.
    #[error("no agent named {0:?} in the config, and it is no HOST:PORT")]
    Unknown(String),
}

/// Chooses: what was asked for, else the agent whose namespace is the longest suffix of the flow,
/// else the first.
///
/// # Errors
/// When there is no agent to choose from.
pub fn choose(config: &Config, asked: Option<&str>, flow: Option<&str>) -> Result<Agent, NoAgent> {
    if let Some(asked) = asked {
        return asked_for(config, asked);
    }
    let best = flow.and_then(|flow| {
        let hosting =
            config.agents.iter().filter_map(|agent| Some((suffix_length(agent, flow)?, agent)));
        // Of equally long ones the first written wins.
        hosting.rev().max_by_key(|(length, _)| *length)
    });
    let chosen = best.map(|(_, agent)| agent).or_else(|| config.agents.first());
    chosen.cloned().ok_or(NoAgent::NoneKnown)
}

fn asked_for(config: &Config, asked: &str) -> Result<Agent, NoAgent> {
    if let Some(agent) = config.agents.iter().find(|agent| agent.name == asked) {
        return Ok(agent.clone());
    }
    let unknown = || NoAgent::Unknown(asked.to_owned());
    // A bare word is a name that nobody configured, not a host on the habitual port.
    let address: Address =
        asked.parse().ok().filter(|_| asked.contains(':')).ok_or_else(unknown)?;
    let known = config.agents.iter().find(|agent| agent.address == address);
    Ok(known.cloned().unwrap_or_else(|| Agent::stranger(address)))
}

/// Whether an agent has said that it hosts what a name means.
pub(crate) fn fits(agent: &Agent, flow: &str) -> bool {
    suffix_length(agent, flow).is_some()
}

fn suffix_length(agent: &Agent, flow: &str) -> Option<usize> {
    let flow = flow.to_ascii_lowercase();
    let covers = |namespace: &&String| {
        let before = flow.strip_suffix(namespace.as_str());
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    agent.namespaces.iter().filter(covers).map(String::len).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, address: &str, namespaces: &[&str]) -> Agent {
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        Agent { name: name.to_owned(), namespaces, ..Agent::stranger(address.parse().unwrap()) }
    }

    fn config() -> Config {
        let agents = vec![
            agent("unix", "127.0.0.1:1", &["unix.ar", "flows.unix.ar"]),
            agent("lab", "127.0.0.1:2", &["lab.flows.unix.ar"]),
        ];
        Config { agents, ..Config::default() }
    }

    fn chosen(asked: Option<&str>, flow: Option<&str>) -> String {
        choose(&config(), asked, flow).unwrap().name
    }

    #[test]
    fn the_longest_namespace_that_is_a_suffix_of_the_flow_wins() {
        assert_eq!(chosen(None, Some("time.flows.unix.ar")), "unix");
        assert_eq!(chosen(None, Some("time.LAB.flows.unix.ar")), "lab");
        assert_eq!(chosen(None, Some("lab.flows.unix.ar")), "lab");
        assert_eq!(chosen(None, Some("notlab.flows.unix.ar")), "unix");
    }

    #[test]
    fn without_a_flow_of_a_known_namespace_the_first_agent_is_taken() {
        assert_eq!(chosen(None, None), "unix");
        assert_eq!(chosen(None, Some("time.flows.emiliano.ar")), "unix");
    }

    #[test]
    fn an_agent_that_was_asked_for_by_name_or_address_wins() {
        assert_eq!(chosen(Some("lab"), Some("time.flows.unix.ar")), "lab");
        assert_eq!(chosen(Some("127.0.0.1:2"), None), "lab");
        assert_eq!(chosen(Some("[::1]:5"), None), "[::1]:5");
    }

    #[test]
    fn an_unknown_agent_and_an_empty_config_are_refused() {
        assert_eq!(
            choose(&config(), Some("nobody"), None).unwrap_err(),
            NoAgent::Unknown("nobody".into())
        );
        assert_eq!(choose(&Config::default(), None, None).unwrap_err(), NoAgent::NoneKnown);
    }
}
