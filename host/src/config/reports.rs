//! What the operator wrote about reports.

use std::time::Duration;

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use super::meaning::Reader;
use super::raw::At;

/// What is told in the reports flows of namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportsConfig {
    /// Whether anything is.
    pub enabled: bool,
    /// How long a subscription is behind, or its owner's host away, before that is told.
    pub late: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawReports {
    enabled: Option<bool>,
    late_seconds: At<u64>,
}

/// A host that starts again is back sooner.
const LATE: Duration = Duration::from_secs(60);

/// A day: later it is no news.
const LATEST: u64 = 86_400;

impl ReportsConfig {
    /// As where nothing is written: a host that is a participant of the network has them.
    #[must_use]
    pub const fn usual(participant: bool) -> Self {
        Self { enabled: participant, late: LATE }
    }
}

impl Reader<'_> {
    pub(super) fn reports(&mut self, raw: RawReports, participant: bool) -> ReportsConfig {
        let usual = ReportsConfig::usual(participant);
        let late = self.number(raw.late_seconds, 1..=LATEST);
        ReportsConfig {
            enabled: raw.enabled.unwrap_or(usual.enabled),
            late: late.map_or(usual.late, Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, ConfigError};
    use super::*;

    fn parse(text: &str) -> Result<ReportsConfig, ConfigError> {
        let text = format!(
            "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:61000\"]\ndata_dir = \"data\"\n{text}"
        );
        Ok(Config::parse(&text, Path::new("/etc/fnaad/fnaad.toml"))?.reports)
    }

    #[test]
    fn a_participant_has_reports_unless_he_says_otherwise() {
        assert!(!parse("").unwrap().enabled);
        let peers = "[peers]\ndomain = \"a.test\"\n";
        assert_eq!(parse(peers).unwrap(), ReportsConfig::usual(true));
        assert!(!parse(&format!("{peers}[reports]\nenabled = false\n")).unwrap().enabled);
        let told = parse("[reports]\nenabled = true\nlate_seconds = 5\n").unwrap();
        assert_eq!(told, ReportsConfig { enabled: true, late: Duration::from_secs(5) });
        for wrong in ["late_seconds = 0", "late_seconds = 86401", "late = 1"] {
            let error = parse(&format!("[reports]\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.contains("fnaad.toml:5"), "{wrong}: {error}");
        }
    }
}
