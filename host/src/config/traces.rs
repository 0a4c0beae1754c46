//! What the operator wrote about traces.

use std::path::Path;

use host_observe::traces::{TraceOptions, check_endpoint};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawTraces {
    endpoint: At<String>,
    sample: Option<Spanned<f64>>,
    ca_file: At<String>,
}

impl Reader<'_> {
    /// None where no endpoint is named: traces are off.
    pub(super) fn traces(
        &mut self,
        raw: RawTraces,
        base: &Path,
        host: &str,
    ) -> Option<TraceOptions> {
        let ca_file = raw.ca_file.and_then(|file| self.file(&file, base));
        let sample = raw.sample.map_or(1.0, |sample| {
            if !(0.0..=1.0).contains(sample.get_ref()) {
                self.fault(&sample, "a share is between 0.0 and 1.0");
            }
            sample.into_inner()
        });
        let endpoint = raw.endpoint?;
        if let Err(what) = check_endpoint(endpoint.get_ref()) {
            self.fault(&endpoint, what);
        }
        let (endpoint, host) = (endpoint.into_inner(), host.to_owned());
        Some(TraceOptions { endpoint, sample, ca_file, host })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    fn parse(text: &str) -> Result<Option<TraceOptions>, ConfigError> {
        let text = format!(
            "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:61000\"]\ndata_dir = \"data\"\n{text}"
        );
        Ok(Config::parse(&text, Path::new("/etc/fnaad/fnaad.toml"))?.traces)
    }

    #[test]
    fn traces_are_off_without_an_endpoint_and_whole_without_a_share() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse("[traces]\nsample = 0.5\n").unwrap(), None);
        let url = "http://127.0.0.1:4318/v1/traces";
        let seen = parse(&format!("[traces]\nendpoint = \"{url}\"\n")).unwrap().unwrap();
        assert_eq!(
            (seen.endpoint.as_str(), seen.sample, seen.host.as_str()),
            (url, 1.0, "fnaa.test")
        );
    }

    #[test]
    fn an_endpoint_is_a_url_without_a_secret_and_a_share_a_share() {
        for wrong in [
            "endpoint = \"\"",
            "endpoint = \"collector:4318\"",
            "endpoint = \"ftp://collector/v1/traces\"",
            "endpoint = \"http://user:hunter2@collector/v1/traces\"",
            "sample = 1.5",
            "sample = -0.1",
            "sample = nan",
            "grpc = true",
        ] {
            let error = parse(&format!("[traces]\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.contains("fnaad.toml:5"), "{wrong}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
