//! Who may come in, and how, as it stands in a file, and what it means.

use std::path::Path;

use host_iam::{Account, ProviderSettings, Settings, UserList, is_safe_issuer};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawUser {
    pub(super) name: Spanned<String>,
    pub(super) verifier: Option<String>,
    pub(super) scram: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) disabled: Option<bool>,
}

impl std::fmt::Debug for RawUser {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RawUser").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawOauth {
    pub(super) name: Spanned<String>,
    pub(super) issuer: Spanned<String>,
    pub(super) audience: Spanned<String>,
    pub(super) user_claim: At<String>,
    pub(super) groups_claim: At<String>,
    pub(super) ca_file: At<String>,
    pub(super) trusted_names: Option<bool>,
}

impl Reader<'_> {
    pub(super) fn users(&mut self, written: Vec<RawUser>) -> UserList {
        let mut users = UserList::default();
        for RawUser { name, verifier, scram, groups, disabled } in written {
            let account = Account {
                name: name.get_ref(),
                verifier: verifier.as_deref(),
                scram: scram.as_deref(),
                groups: groups.as_deref().unwrap_or_default(),
                disabled: disabled.unwrap_or(false),
            };
            if let Err(error) = users.add(&account) {
                self.fault(&name, error);
            }
        }
        users
    }

    /// How others than users with passwords come in.
    pub(super) fn identities(
        &mut self,
        anonymous: Option<bool>,
        common_names: Option<bool>,
        written: Vec<RawOauth>,
        base: &Path,
    ) -> Settings {
        let mut providers: Vec<ProviderSettings> = Vec::new();
        for raw in written {
            let second = |other: &ProviderSettings| {
                other.name == *raw.name.get_ref() || other.issuer == *raw.issuer.get_ref()
            };
            if providers.iter().any(second) {
                self.fault(&raw.name, "a second provider of that name or issuer");
            }
            providers.push(self.provider(raw, base));
        }
        Settings {
            anonymous: anonymous.unwrap_or(false),
            certificates: false,
            common_names: common_names.unwrap_or(false),
            providers,
        }
    }

    fn provider(&mut self, raw: RawOauth, base: &Path) -> ProviderSettings {
        // It stands behind an "@": whatever is in front, the end says whose user it is.
        if raw.name.get_ref().contains('.') || self.name(&raw.name).is_none() {
            self.fault(&raw.name, "a provider's name is one label of a-z, 0-9 and inner '-'");
        }
        if !is_safe_issuer(raw.issuer.get_ref()) {
            self.fault(
                &raw.issuer,
                "an issuer begins with https://, or with http:// on this machine",
            );
        }
        if raw.audience.get_ref().is_empty() {
            self.fault(&raw.audience, "an audience is not empty");
        }
        ProviderSettings {
            name: raw.name.into_inner(),
            issuer: raw.issuer.into_inner(),
            audience: raw.audience.into_inner(),
            user_claim: raw.user_claim.map_or_else(|| USER_CLAIM.to_owned(), Spanned::into_inner),
            groups_claim: raw.groups_claim.map(Spanned::into_inner),
            ca_file: raw.ca_file.and_then(|file| self.path(&file, base)),
            trusted_names: raw.trusted_names.unwrap_or(false),
        }
    }
}

/// The claim with the user where the operator names none: the only one that every provider has.
const USER_CLAIM: &str = "sub";
