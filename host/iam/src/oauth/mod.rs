//! OAUTHBEARER (RFC 7628): tokens of identity providers, checked here with the provider's published keys.
//!
//! A token that is not right never comes further than [`check`]: the exchange that tells the client so
//! cannot end well. Providers cannot name local users unless the operator trusts their names.

mod fetch;
mod keys;
mod request;
mod token;

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

pub use keys::KeySet;
pub use request::Request;

use crate::prepare;
use crate::principal::{DOMAINS, MAX_GROUPS, USERS};
use keys::Keys;
use token::{Key, Token};

/// Who issues tokens, and what is believed of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSettings {
    /// What stands behind the names of its users and groups: `ana@NAME`.
    pub name: String,
    /// The `iss` of its tokens; its keys are found below this address.
    pub issuer: String,
    /// What the `aud` of a token has to name.
    pub audience: String,
    /// The claim with the user's name.
    pub user_claim: String,
    /// The claim with the names of his groups.
    pub groups_claim: Option<String>,
    /// Whose certificates it may have, PEM; without it, those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether its names are taken as they are: its `ana` is the local `ana`.
    pub trusted_names: bool,
}

/// A provider and its keys.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: ProviderSettings,
    keys: Keys,
}

/// Whom a token names.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The user, prepared.
    pub user: String,
    /// His groups.
    pub groups: Vec<String>,
    /// When whoever came in with it has to come again.
    pub until: SystemTime,
}

/// Why a token names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBearer {
    /// Something is wrong with it; in words for the log.
    Wrong(&'static str),
    /// It was not looked at: too many wait for its provider.
    TooMany,
    /// It was not looked at: its provider does not say what it is signed with.
    Unknown,
}

impl From<&'static str> for NoBearer {
    fn from(why: &'static str) -> Self {
        Self::Wrong(why)
    }
}

impl Provider {
    pub(crate) fn new(settings: ProviderSettings) -> Self {
        let keys = Keys::new(&settings.issuer, settings.ca_file.clone());
        Self { settings, keys }
    }
}

impl ProviderSettings {
    /// Whom a token names, if this key's owner said so and all of it is right.
    fn judge(&self, token: &Token<'_>, key: &Key, now: SystemTime) -> Result<Bearer, &'static str> {
        let claims = token.verified(key)?;
        token.refuse_other_purpose()?;
        token::refuse_out_of_time(claims, now)?;
        token::refuse_other_audience(claims, &self.audience)?;
        self.bearer(claims, token::holds_until(claims, now)?)
    }

    fn bearer(
        &self,
        claims: &Map<String, Value>,
        until: SystemTime,
    ) -> Result<Bearer, &'static str> {
        let user = claims.get(&self.user_claim).and_then(Value::as_str);
        let user = user.ok_or("the token does not name a user")?;
        // By itself, too: with its provider's name behind it, nobody would look like somebody.
        let user = prepare::name(user).and_then(|user| prepare::name(&self.local(&user)));
        let user = user.ok_or("the token's user can be none here")?;
        let groups = self.groups_claim.as_ref().and_then(|claim| claims.get(claim));
        let groups = groups.and_then(Value::as_array).into_iter().flatten();
        let groups = groups.filter_map(Value::as_str).take(MAX_GROUPS);
        // Who is a user of this host, or a domain, is not for others to say.
        let groups = groups.filter(|group| ![USERS, DOMAINS, ""].contains(group));
        let groups = groups.map(|group| self.local(group)).collect();
        Ok(Bearer { user, groups, until })
    }

    fn local(&self, name: &str) -> String {
        match self.trusted_names {
            true => name.to_owned(),
            false => format!("{name}@{}", self.name),
        }
    }
}

/// Whom a token names, if all of it is right. May wait some seconds for a provider.
pub(crate) async fn check(providers: &[Provider], token: &str) -> Result<Bearer, NoBearer> {
    let token = Token::parse(token)?;
    let provider = issuer_of(&token, providers)?;
    let key = provider.keys.find(token.key_id(), token.algorithm()?).await?;
    Ok(provider.settings.judge(&token, &key, SystemTime::now())?)
}

/// The same where no provider need be asked for that, and none where one has to be.
pub(crate) fn check_at_once(
    providers: &[Provider],
    token: &str,
) -> Result<Option<Bearer>, &'static str> {
    let token = Token::parse(token)?;
    let provider = issuer_of(&token, providers)?;
    let key = provider.keys.at_hand(token.key_id(), token.algorithm()?);
    let judge = |key| provider.settings.judge(&token, &key, SystemTime::now());
    key.map(judge).transpose()
}

fn issuer_of<'a>(
    token: &Token<'_>,
    providers: &'a [Provider],
) -> Result<&'a Provider, &'static str> {
    let issuer = token.issuer();
    let provider = providers.iter().find(|provider| Some(&*provider.settings.issuer) == issuer);
    provider.ok_or("the token is of an unknown issuer")
}

/// Whom a token of a provider with these keys names, if all of it is right.
///
/// # Errors
/// What is wrong, in words for the log.
pub fn judge(
    settings: &ProviderSettings,
    keys: &KeySet,
    token: &str,
    now: SystemTime,
) -> Result<Bearer, &'static str> {
    let token = Token::parse(token)?;
    if token.issuer() != Some(&settings.issuer) {
        return Err("the token is of an unknown issuer");
    }
    let key = keys.find(token.key_id(), token.algorithm()?);
    settings.judge(&token, &key.ok_or("the token is signed with no key of the provider")?, now)
}

/// What a client is told whose token is none (RFC 7628, section 3.2.2): whatever is wrong with it.
pub(crate) fn challenge(providers: &[Provider]) -> Option<Vec<u8>> {
    let place = fetch::configuration_of(&providers.first()?.settings.issuer);
    let told = json!({ "status": "invalid_token", "openid-configuration": place });
    Some(told.to_string().into_bytes())
}

#[cfg(test)]
mod tests;
