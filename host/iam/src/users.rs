//! The users of this host, who else may come in, and by which mechanisms.
//!
//! SCRAM-SHA-256 is announced only while every enabled user with a password has a verifier for it, so that a client
//! that takes the best of what is announced never fails for want of one: no attempt is wasted, none is
//! counted, and it need not send the password after all. What is told is one bit about all users together.
//! It is taken in any case from who asks for it; so is PLAIN, which is checked against either verifier.

mod proof;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use fnap::name::Name;
use fnap::sasl::Mechanism;
use ring::hmac;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::attempts::Attempts;
use crate::grants::Absent;
use crate::list::{Changes, User, UserList, UsersError};
use crate::neighbours::{self, Neighbours};
use crate::oauth::{Provider, ProviderSettings};
use crate::peer::DomainProof;
use crate::principal::Principal;
use crate::scram::{ITERATIONS, SALT};
use crate::strangers::Strangers;
use crate::verifier::{Verifier, VerifierError, hash_password};
pub use proof::VerifyError;
pub(crate) use proof::{Attempt, acts_as};
use proof::{MAX_LOOKUPS, MAX_WAITING, PART_OF_WAITING};

/// How one may say who one is, beside users with passwords.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether nobody in particular may come in.
    pub anonymous: bool,
    /// Whether there is an authority for clients' certificates.
    pub certificates: bool,
    /// Whether a certificate without `fnap:user:NAME` names a user by its subject's common name.
    pub common_names: bool,
    /// Who issues tokens.
    pub providers: Vec<ProviderSettings>,
}

/// The users of this host, and who else may come in.
#[derive(Debug)]
pub struct Users {
    list: RwLock<UserList>,
    revision: watch::Sender<u64>,
    /// Whether SCRAM-SHA-256 is announced.
    scram: AtomicBool,
    settings: Settings,
    providers: Vec<Provider>,
    domains: OnceLock<Arc<dyn DomainProof>>,
    neighbours: OnceLock<Neighbours>,
    /// Makes up what is asked of users who do not exist.
    secret: hmac::Key,
    /// Checked in place of a user who does not exist; nobody knows its password.
    nobody: Verifier,
    attempts: Attempts,
    queue: Arc<Strangers>,
    lookups: Semaphore,
    workers: Arc<Semaphore>,
}

/// Octets of the secret that makes up salts.
pub const SECRET: usize = 32;

impl Users {
    /// Takes a list of users, who come in with passwords only.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn new(list: UserList) -> Result<Self, VerifierError> {
        let secret = random()?;
        Self::with(list, Settings::default(), &secret)
    }

    /// Takes a list of users. `secret` is this host's own and always the same: what SCRAM asks of users who
    /// do not exist is made from it.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn with(
        list: UserList,
        settings: Settings,
        secret: &[u8; SECRET],
    ) -> Result<Self, VerifierError> {
        let password: Zeroizing<String> =
            Zeroizing::new(random()?.iter().map(|byte| format!("{byte:02x}")).collect());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        warn_of_shapes(&list);
        Ok(Self {
            scram: list.all_prove_by_scram().into(),
            list: RwLock::new(list),
            revision: watch::Sender::new(0),
            providers: settings.providers.iter().cloned().map(Provider::new).collect(),
            settings,
            domains: OnceLock::new(),
            neighbours: OnceLock::new(),
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            nobody: Verifier::parse(&hash_password(&password)?)?,
            attempts: Attempts::default(),
            queue: Strangers::with(MAX_WAITING, PART_OF_WAITING),
            lookups: Semaphore::new(MAX_LOOKUPS),
            workers: Arc::new(Semaphore::new(cores.min(MAX_WORKERS))),
        })
    }

    /// Reads a users file; see [`UserList::load`].
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or wrong.
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let failed = |error: VerifierError| UsersError::Unreadable {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        Self::new(UserList::load(path)?).map_err(failed)
    }

    /// Who tells which certificates are those of domains; the first one stays.
    pub fn ask_for_domains(&self, proof: Arc<dyn DomainProof>) {
        drop(self.domains.set(proof));
    }

    /// Takes whoever comes over loopback as `domain:NAME` and knows this secret for that domain's agent. The first secret
    /// stays.
    ///
    /// # Errors
    /// When it can be no password, or there are no random numbers.
    pub fn trust_neighbours(&self, secret: &str) -> Result<(), VerifierError> {
        drop(self.neighbours.set(Neighbours::new(secret)?));
        Ok(())
    }

    /// What somebody at this address has to know who wants to be a domain, and which one; none for users of the list.
    fn neighbour(&self, user: &str, address: IpAddr) -> Option<(&Neighbours, Name)> {
        let domain = neighbours::domain(user, address)?;
        let is_user = self.user(user, |_| ()).is_some();
        self.neighbours.get().filter(|_| !is_user).map(|neighbours| (neighbours, domain))
    }

    /// Somebody whose secret is proven: a user, or a domain on this machine.
    pub(crate) fn known(&self, name: &str, address: IpAddr) -> Option<Principal> {
        match self.neighbour(name, address) {
            Some((_, domain)) => Some(Principal::domain(domain)),
            None => self.admit(name, []),
        }
    }

    pub(crate) fn domains(&self) -> Option<&Arc<dyn DomainProof>> {
        self.domains.get()
    }

    /// The mechanisms by which anybody can come in.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let offered = |mechanism: &Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::ScramSha256 => true,
            Mechanism::OauthBearer => !self.providers.is_empty(),
            Mechanism::External => self.settings.certificates || self.domains().is_some(),
            Mechanism::Anonymous => self.settings.anonymous,
        };
        Mechanism::ALL.into_iter().filter(offered).collect()
    }

    /// Those of them that clients are not told of: whoever asks for them by name may still use them.
    #[must_use]
    pub fn unannounced(&self) -> Vec<Mechanism> {
        let announced = self.scram.load(Ordering::Relaxed);
        if announced { Vec::new() } else { vec![Mechanism::ScramSha256] }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn providers(&self) -> &[Provider] {
        &self.providers
    }

    /// Takes another list, and says what is different; who is neither disabled nor gone stays in.
    pub fn replace(&self, list: UserList) -> Changes {
        let changes = {
            let mut current = self.list.write().unwrap_or_else(PoisonError::into_inner);
            let changes = current.changes(&list);
            self.scram.store(list.all_prove_by_scram(), Ordering::Relaxed);
            if !changes.is_empty() {
                warn_of_shapes(&list);
            }
            *current = list;
            changes
        };
        if !changes.is_empty() {
            self.revision.send_modify(|revision| *revision += 1);
        }
        changes
    }

    /// What the list says of each user while he is not here.
    #[must_use]
    pub fn absent(&self) -> HashMap<String, Absent> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let absent = |user: &User| Absent { groups: user.groups.clone(), disabled: user.disabled };
        list.0.iter().map(|(name, user)| (name.clone(), absent(user))).collect()
    }

    /// What tells each user from what he was; see [`DISABLED`](crate::DISABLED).
    #[must_use]
    pub fn states(&self) -> BTreeMap<String, String> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).states()
    }

    pub(crate) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn user<T>(&self, name: &str, look: impl FnOnce(&User) -> T) -> Option<T> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.0.get(name).map(look)
    }

    pub(crate) fn is_disabled(&self, name: &str) -> bool {
        self.user(name, |user| user.disabled).unwrap_or(false)
    }

    /// The groups of a user whom the list names.
    pub(crate) fn groups_of(&self, name: &str) -> Option<BTreeSet<String>> {
        self.user(name, |user| user.groups.clone())
    }

    /// A user whose name is proven, with what the list says of him; `None` where it keeps him out.
    pub(crate) fn admit(
        &self,
        name: &str,
        further: impl IntoIterator<Item = String>,
    ) -> Option<Principal> {
        let listed = self.user(name, |user| (user.disabled, user.groups.clone()));
        match listed {
            Some((true, _)) => None,
            listed => Some(Principal::listed_user(name, listed.map(|(_, groups)| groups), further)),
        }
    }
}

/// Names users whom SCRAM challenges tell from those who do not exist.
fn warn_of_shapes(list: &UserList) {
    let users: Vec<&str> = list.of_other_shape().collect();
    if let Some(first) = users.first() {
        let (count, first) = (users.len(), first.escape_debug());
        let (iterations, salt) = (ITERATIONS.get(), SALT);
        tracing::warn!(
            count, %first, iterations, salt,
            "scram verifiers of another shape tell that their users exist"
        );
    }
}

fn random() -> Result<Zeroizing<[u8; SECRET]>, VerifierError> {
    let mut secret = Zeroizing::new([0_u8; SECRET]);
    getrandom::fill(secret.as_mut()).map_err(|_| VerifierError::Failed)?;
    Ok(secret)
}

/// Attempts that are checked at once: 19 MiB each, up to 64 MiB for verifiers from elsewhere, and a
/// core each that events do not get.
const MAX_WORKERS: usize = 4;

#[cfg(test)]
mod tests;
