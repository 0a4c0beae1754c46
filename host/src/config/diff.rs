//! What changed between two configurations, for SIGHUP.
//!
//! Names keys, never values: some of them are verifiers.

use super::Config;

/// A key that has another value now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key, as it is written in the file.
    pub key: &'static str,
    /// Whether a running host can take it over; otherwise it counts from the next start on.
    pub live: bool,
}

/// What changed. What stands in the users file is not looked at here.
#[must_use]
pub fn differences(before: &Config, after: &Config) -> Vec<Difference> {
    let listener = |config: &Config| {
        let options = &config.listener;
        (options.connections, options.idle, options.stalled, options.max_data_line)
    };
    let ways = (&before.identities, &after.identities);
    let checks = [
        ("hostname", before.hostname != after.hostname, false),
        ("listen", before.listen != after.listen, false),
        ("listen_tls", before.listen_tls != after.listen_tls, false),
        ("clear_text_on", before.clear_text_on != after.clear_text_on, false),
        ("tls", before.tls != after.tls, false),
        ("data_dir", before.data_dir != after.data_dir, false),
        ("plugins_dir", before.plugins_dir != after.plugins_dir, false),
        ("brokers", before.brokers != after.brokers, false),
        ("namespaces", before.namespaces != after.namespaces, true),
        ("users_file", before.users_file != after.users_file, true),
        ("users", before.users != after.users, true),
        ("anonymous", ways.0.anonymous != ways.1.anonymous, false),
        ("certificate_common_names", ways.0.common_names != ways.1.common_names, false),
        ("oauth", ways.0.providers != ways.1.providers, false),
        ("administrators", before.administrators != after.administrators, true),
        ("quotas", before.quotas != after.quotas, true),
        ("limits", listener(before) != listener(after), false),
        ("limits.plugin", plugin(before) != plugin(after), false),
        ("limits.plugin_most", most(before) != most(after), false),
        ("log", before.log != after.log, false),
        ("audit", before.audit != after.audit, false),
        ("reports", before.reports != after.reports, false),
        ("traces", before.traces != after.traces, false),
        ("upgrades", before.upgrades != after.upgrades, false),
        ("observe", before.observe != after.observe, false),
        ("names", before.names != after.names, false),
        ("peers", before.peers != after.peers, false),
        ("dns", before.dns != after.dns, false),
    ];
    let changed = checks.into_iter().filter(|(_, differs, _)| *differs);
    changed.map(|(key, _, live)| Difference { key, live }).collect()
}

// The type has no equality of its own; its Debug text holds every field.
fn plugin(config: &Config) -> String {
    format!("{:?}", config.limits)
}

fn most(config: &Config) -> String {
    format!("{:?}", config.most)
}
