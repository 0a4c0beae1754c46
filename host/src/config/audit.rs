//! What the operator wrote about the audit log.

use std::path::Path;

use fnap::name::Name;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use super::meaning::Reader;
use super::raw::At;
use crate::audit::AuditOptions;

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    pub(super) file: At<String>,
    pub(super) flow: At<String>,
}

/// The name of the file where nothing is said, in the data directory.
pub(super) const FILE: &str = "audit.log";

impl Reader<'_> {
    pub(super) fn audit(
        &mut self,
        raw: RawAudit,
        base: &Path,
        data_dir: Option<&Path>,
        namespaces: &[(Name, String)],
    ) -> Option<AuditOptions> {
        let file = match raw.file {
            Some(file) => self.path(&file, base)?,
            None => data_dir?.join(FILE),
        };
        let mut flow = None;
        if let Some(text) = raw.flow {
            let name = self.name(&text)?;
            if !namespaces.iter().any(|(namespace, _)| name.is_within(namespace)) {
                self.fault(&text, format!("{name} lies below none of the namespaces here"));
            }
            flow = Some(name);
        }
        Some(AuditOptions { file, flow })
    }
}
