//! Checks what somebody proves, a few at a time, and gives the same answer to every failure.
//!
//! SCRAM-SHA-256 is announced only while every enabled user with a password has a verifier for it, so that a client
//! that takes the best of what is announced never fails for want of one: no attempt is wasted, none is
//! counted, and it need not send the password after all. What is told is one bit about all users together.
//! It is taken in any case from who asks for it; so is PLAIN, which is checked against either verifier.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use fnap::name::Name;
use fnap::sasl::{Mechanism, PlainCredentials};
use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::attempts::{Attempts, Later, Turn};
use crate::exchange::Step;
use crate::grants::Absent;
use crate::list::{Changes, User, UserList, UsersError};
use crate::neighbours::{self, Neighbours};
use crate::oauth::{Provider, ProviderSettings};
use crate::peer::DomainProof;
use crate::prepare;
use crate::principal::Principal;
use crate::scram::{ITERATIONS, SALT, ScramVerifier};
use crate::strangers::{Stranger, Strangers};
use crate::verifier::{Verifier, VerifierError, hash_password};

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Wrong user, wrong password, or whatever else: nobody is told which.
    #[error("authentication failed")]
    Refused,
    /// Nothing was checked: too many attempts of late, or too many at once.
    #[error("too many attempts, try again in {} s", retry_after.as_secs().max(1))]
    Busy {
        /// When it may be tried again.
        retry_after: Duration,
    },
}

impl VerifyError {
    /// There is no place now.
    pub(crate) fn busy() -> Self {
        Self::Busy { retry_after: LONGEST_WAIT }
    }
}

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

    /// Checks a name and a password. A failure takes as long whether the user exists or not.
    ///
    /// # Errors
    /// [`VerifyError`]; its words may be shown to anybody.
    pub async fn verify(
        &self,
        credentials: &PlainCredentials,
        address: IpAddr,
    ) -> Result<Principal, VerifyError> {
        let attempt = Attempt { mechanism: Mechanism::Plain, address };
        let (Some(user), Some(password)) =
            (prepare::name(credentials.user()), prepare::password(credentials.password()))
        else {
            return attempt.fail(self, None, "malformed response").await;
        };
        let turn = self.queue(Some(&user), address).await?;
        let begun = Instant::now();
        let why = match self.check(&user, address, password).await? {
            Err(why) => why,
            Ok(()) if !acts_as(&user, credentials.authorize()) => "acts as somebody else",
            Ok(()) => match self.known(&user, address) {
                None => "the user is disabled",
                Some(principal) => {
                    turn.succeeded();
                    return Ok(principal);
                }
            },
        };
        drop(turn);
        Err(attempt.refused(self, Some(&user), why, begun).await)
    }

    /// What a response that cannot be understood comes to: the same as a wrong password.
    pub async fn refuse(&self, address: IpAddr) -> Step {
        let attempt = Attempt { mechanism: Mechanism::Plain, address };
        attempt.fail::<Step>(self, None, "malformed response").await.into()
    }

    /// Takes a place among those who wait, and gives a turn after the delay that failures have earned, also
    /// those of others who tried meanwhile.
    pub(crate) async fn queue(
        &self,
        user: Option<&str>,
        address: IpAddr,
    ) -> Result<Queued<'_>, VerifyError> {
        let retry_after = self.attempts.wait(user, address);
        if retry_after > LONGEST_WAIT {
            return Err(VerifyError::Busy { retry_after });
        }
        let place = self.queue.take(address).ok_or_else(VerifyError::busy)?;
        loop {
            let ended = self.attempts.ended();
            match self.attempts.begin(user, address) {
                Ok(turn) => return Ok(Queued { turn, _place: place }),
                Err(Later::Behind) => ended.await,
                Err(Later::After(wait)) if wait <= LONGEST_WAIT => tokio::time::sleep(wait).await,
                Err(Later::After(retry_after)) => return Err(VerifyError::Busy { retry_after }),
            }
        }
    }

    /// Takes a place among those for whom names are looked up, after the delay that earlier look-ups without an
    /// answer earned.
    pub(crate) async fn look_up(&self, address: IpAddr) -> Result<Lookup<'_>, VerifyError> {
        let place = self.lookups.try_acquire().map_err(|_| VerifyError::busy())?;
        let wait = self.attempts.looks_up(address, LONGEST_WAIT);
        let wait = wait.map_err(|retry_after| VerifyError::Busy { retry_after })?;
        tokio::time::sleep(wait).await;
        Ok(Lookup { users: self, address, _place: place })
    }

    /// Whether it is the user's password; else why not, for the log.
    async fn check(
        &self,
        user: &str,
        address: IpAddr,
        password: Zeroizing<String>,
    ) -> Result<Result<(), &'static str>, VerifyError> {
        let busy = |_| VerifyError::busy();
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(busy)?;
        let known = match self.neighbour(user, address) {
            Some((neighbours, _)) => Some((None, Some(neighbours.verifier().clone()))),
            None => self.user(user, |user| (user.verifier.clone(), user.scram.clone())),
        };
        let missing = match &known {
            None => Some("there is no such user"),
            Some((None, None)) => Some("the user has no password"),
            Some(_) => None,
        };
        let (verifier, scram) = known.unwrap_or_default();
        let nobody = self.nobody.clone();
        let work = move |worker: OwnedSemaphorePermit| {
            let accepted = match (verifier, scram) {
                (Some(verifier), _) => verifier.accepts(&password),
                (None, Some(scram)) => scram.accepts(&password),
                (None, None) => nobody.accepts(&password),
            };
            drop(worker);
            accepted
        };
        // The permit goes along: a connection that is closed meanwhile must not free it early.
        let accepted = tokio::task::spawn_blocking(move || work(worker)).await;
        let accepted = accepted.map_err(|_| VerifyError::busy())?;
        Ok(missing.map_or(if accepted { Ok(()) } else { Err("wrong password") }, Err))
    }

    /// What SCRAM asks of a user, and whether he can answer. A user who does not exist, or has no such
    /// verifier, is asked for what this host makes itself, and always for the same, whoever else there is. Takes
    /// as long for everybody.
    pub(crate) fn scram_of(
        &self,
        name: &str,
        address: IpAddr,
    ) -> (ScramVerifier, Result<(), &'static str>) {
        if let Some((neighbours, _)) = self.neighbour(name, address) {
            return (neighbours.verifier().clone(), Ok(()));
        }
        let salt = hmac::sign(&self.secret, name.as_bytes());
        let salt = salt.as_ref().iter().copied().take(SALT).collect();
        // Nobody knows a key for it, and an answer would not let anybody in.
        let made_up = ScramVerifier::impossible(ITERATIONS, salt, [0; 32]);
        match self.user(name, |user| user.scram.clone()) {
            Some(Some(verifier)) => (verifier, Ok(())),
            Some(None) => (made_up, Err("the user has no password for this mechanism")),
            None => (made_up, Err("there is no such user")),
        }
    }

    /// A failed attempt that was not even finished.
    pub(crate) fn given_up(&self, user: &str, address: IpAddr) {
        self.attempts.failed(Some(user), address);
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

/// A look-up for somebody. It counts against his address unless it was answered.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    users: &'a Users,
    address: IpAddr,
    _place: SemaphorePermit<'a>,
}

impl Lookup<'_> {
    pub(crate) fn was_answered(self) {
        self.users.attempts.was_answered(self.address);
    }
}

/// Whether an authorization identity is the user himself.
pub(crate) fn acts_as(user: &str, authorize: &str) -> bool {
    authorize.is_empty() || prepare::name(authorize).as_deref() == Some(user)
}

fn random() -> Result<Zeroizing<[u8; SECRET]>, VerifierError> {
    let mut secret = Zeroizing::new([0_u8; SECRET]);
    getrandom::fill(secret.as_mut()).map_err(|_| VerifierError::Failed)?;
    Ok(secret)
}

/// An attempt that is listened to. Dropping it counts as a failure, which comes before anybody else's turn.
#[derive(Debug)]
pub(crate) struct Queued<'a> {
    turn: Turn<'a>,
    _place: Stranger,
}

impl Queued<'_> {
    /// It was he.
    pub(crate) fn succeeded(self) {
        self.turn.succeeded();
    }

    /// Who could tell may be slow: whoever waits for a check shall not wait for that.
    pub(crate) fn leave(self) {
        self.turn.leave();
    }
}

/// Who tried what, for the count of failures and for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) mechanism: Mechanism,
    pub(crate) address: IpAddr,
}

impl Attempt {
    /// A failure that is known at once: waits for its turn, and as long as any other.
    pub(crate) async fn fail<T>(
        self,
        users: &Users,
        user: Option<&str>,
        why: &str,
    ) -> Result<T, VerifyError> {
        drop(users.queue(user, self.address).await?);
        Err(self.refused(users, user, why, Instant::now()).await)
    }

    /// A failure of a check that began at `begun`, and that nobody waited for.
    pub(crate) async fn failed(
        self,
        users: &Users,
        user: Option<&str>,
        why: &str,
        begun: Instant,
    ) -> VerifyError {
        users.attempts.failed(user, self.address);
        self.refused(users, user, why, begun).await
    }

    /// A failure that is counted already, of a check that began at `begun`.
    pub(crate) async fn refused(
        self,
        users: &Users,
        user: Option<&str>,
        why: &str,
        begun: Instant,
    ) -> VerifyError {
        // A name that nobody has may be a password in the wrong field.
        let known = user.filter(|name| users.user(name, |_| ()).is_some());
        let user = known.map(|name| tracing::field::display(name.escape_debug()));
        let (mechanism, address) = (self.mechanism.name(), self.address);
        tracing::info!(mechanism, %address, user, why, "authentication failed");
        // Verifiers from elsewhere may be cheaper or dearer than our own: this hides whose was checked.
        tokio::time::sleep_until(begun + FAILURE_TAKES).await;
        VerifyError::Refused
    }
}

impl<T: Into<Self>> From<Result<T, VerifyError>> for Step {
    fn from(outcome: Result<T, VerifyError>) -> Self {
        match outcome {
            Ok(step) => step.into(),
            Err(VerifyError::Refused) => Self::Refused,
            Err(VerifyError::Busy { retry_after }) => Self::Busy { retry_after },
        }
    }
}

impl From<Principal> for Step {
    fn from(principal: Principal) -> Self {
        Self::Authenticated(principal)
    }
}

/// Attempts that are checked at once: 19 MiB each, up to 64 MiB for verifiers from elsewhere, and a
/// core each that events do not get.
const MAX_WORKERS: usize = 4;

/// Attempts that wait for that or sit out a short delay. At 20 ms each the last one waits some
/// seconds; who comes after is told to try again.
const MAX_WAITING: usize = 256;

/// One of so many parts of them may be of one address: others are listened to while it guesses.
const PART_OF_WAITING: usize = 2;

/// Peers for whom names are looked up at once. Name servers that are silent hold a place for as long as
/// `timeout_seconds`; who comes after is told to try again.
const MAX_LOOKUPS: usize = 256;

/// A delay up to this is sat out on the connection; a longer one is told to the client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a failed attempt takes at least: twice what any verifier that is let in takes
/// ([`crate::verifier::MAX_WORK`], `MAX_ITERATIONS`), little enough for a person who mistyped.
const FAILURE_TAKES: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Account;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn users() -> Users {
        let mut list = UserList::default();
        list.insert("ana", &hash_password("right").unwrap()).unwrap();
        Users::new(list).unwrap()
    }

    fn plain(user: &str, password: &str) -> PlainCredentials {
        PlainCredentials::new(user, password).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_password_opens_and_gives_the_principal() {
        let principal = users().verify(&plain("ana", "right"), HERE).await.unwrap();
        assert_eq!(principal.name(), "ana");
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_has_one_text_and_one_duration() {
        let users = users();
        let mut seen = Vec::new();
        for (user, password) in [("ana", "wrong"), ("bo", "right"), ("Ana", "right")] {
            let begun = Instant::now();
            let error = users.verify(&plain(user, password), HERE).await.unwrap_err();
            seen.push((error.to_string(), begun.elapsed()));
        }
        // The clock is stopped while argon2 works: what is left is what was added on purpose.
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
        assert_eq!(seen[0].0, "authentication failed");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_acts_as_somebody_else() {
        use base64::Engine as _;
        let token = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let users = users();
        let himself = PlainCredentials::decode(&token("ana\0ana\0right")).unwrap();
        assert!(users.verify(&himself, HERE).await.is_ok());
        let other = PlainCredentials::decode(&token("bo\0ana\0right")).unwrap();
        assert_eq!(users.verify(&other, HERE).await, Err(VerifyError::Refused));
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_is_told_to_wait_and_then_listened_to_again() {
        let users = users();
        for _ in 0..3 {
            assert_eq!(users.verify(&plain("ana", "wrong"), HERE).await, Err(VerifyError::Refused));
        }
        users.verify(&plain("ana", "wrong"), HERE).await.unwrap_err();
        let error = users.verify(&plain("ana", "right"), HERE).await.unwrap_err();
        let VerifyError::Busy { retry_after } = error else { panic!("{error}") };
        tokio::time::advance(retry_after).await;
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_ok());
    }

    async fn at_once(user: &str, password: &str, from: u32) -> Vec<Result<Principal, VerifyError>> {
        let users = Arc::new(users());
        let attempts = (0..40).map(|number| {
            let address = Ipv4Addr::from(0x0a00_0000 + number * from).into();
            let (users, credentials) = (Arc::clone(&users), plain(user, password));
            async move { users.verify(&credentials, address).await }
        });
        attempts.collect::<tokio::task::JoinSet<_>>().join_all().await
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_at_once_gets_no_more_guesses_than_one_after_another() {
        for user in ["ana", "nobody"] {
            let said = at_once(user, "wrong", 1).await;
            let checked = said.iter().filter(|said| **said == Err(VerifyError::Refused)).count();
            assert!((1..=4).contains(&checked), "{checked} guesses at {user}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_of_one_client_come_in_at_once() {
        let begun = Instant::now();
        let said = at_once("ana", "right", 0).await;
        assert!(said.iter().all(Result::is_ok), "{said:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn more_attempts_at_once_than_there_are_places_are_turned_away() {
        let users = users();
        let mut places: Vec<_> = (0..MAX_WAITING as u32)
            .map(|number| users.queue.take(Ipv4Addr::from(0x0a00_0000 + number).into()).unwrap())
            .collect();
        let error = users.verify(&plain("ana", "right"), HERE).await.unwrap_err();
        assert_eq!(error, VerifyError::Busy { retry_after: LONGEST_WAIT });
        places.pop();
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_does_not_take_all_places() {
        let users = users();
        let guessing = [192, 0, 2, 1].into();
        let places: Vec<_> = std::iter::from_fn(|| users.queue.take(guessing)).collect();
        assert_eq!(places.len(), MAX_WAITING / PART_OF_WAITING);
        assert!(users.verify(&plain("ana", "right"), guessing).await.is_err());
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_list_counts_from_the_next_attempt_on() {
        let users = users();
        assert_eq!(users.replace(UserList::default()).removed, ["ana"]);
        assert!(users.replace(UserList::default()).is_empty());
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_the_same_however_it_is_typed() {
        let mut list = UserList::default();
        list.insert("Ana\u{ef}s", &hash_password("caf\u{e9} \u{2168}").unwrap()).unwrap();
        let users = Users::new(list).unwrap();
        let principal = users.verify(&plain("Anai\u{308}s", "cafe\u{301} IX"), HERE).await.unwrap();
        assert_eq!(principal.name(), "Ana\u{ef}s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_disabled_user_and_one_without_a_password_fail_like_a_stranger() {
        let verifier = hash_password("right").unwrap();
        let mut list = UserList::default();
        let ana = Account {
            name: "ana",
            verifier: Some(&verifier),
            disabled: true,
            ..Account::default()
        };
        list.add(&ana).unwrap();
        list.add(&Account { name: "bo", ..Account::default() }).unwrap();
        let users = Users::new(list).unwrap();
        for user in ["ana", "bo", "cy"] {
            let begun = Instant::now();
            assert_eq!(users.verify(&plain(user, "right"), HERE).await, Err(VerifyError::Refused));
            assert_eq!(begun.elapsed(), FAILURE_TAKES);
        }
    }

    fn with_scram(name: &str, password: &str, plain: bool) -> UserList {
        let (scram, verifier) =
            (crate::scram_verifier(password).unwrap(), hash_password(password).unwrap());
        let verifier = plain.then_some(verifier.as_str());
        let mut list = UserList::default();
        list.add(&Account { name, verifier, scram: Some(&scram), ..Account::default() }).unwrap();
        list
    }

    #[tokio::test(start_paused = true)]
    async fn plain_is_checked_against_the_verifier_that_there_is() {
        let users = Users::new(with_scram("ana", "right", false)).unwrap();
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_ok());
        let begun = Instant::now();
        assert_eq!(users.verify(&plain("ana", "wrong"), HERE).await, Err(VerifyError::Refused));
        assert_eq!(begun.elapsed(), FAILURE_TAKES);
    }

    #[test]
    fn scram_is_announced_while_everybody_who_has_a_password_can_use_it() {
        let mut list = with_scram("ana", "right", true);
        let users = Users::new(UserList::default()).unwrap();
        let announced = |list: &UserList| {
            users.replace(list.clone());
            assert!(users.mechanisms().contains(&Mechanism::ScramSha256));
            users.unannounced().is_empty()
        };
        assert!(!announced(&UserList::default()) && announced(&list));
        list.add(&Account { name: "cert", ..Account::default() }).unwrap();
        let verifier = hash_password("right").unwrap();
        let bo = Account { name: "bo", verifier: Some(&verifier), ..Account::default() };
        let mut kept_out = list.clone();
        kept_out.add(&Account { disabled: true, ..bo.clone() }).unwrap();
        assert!(announced(&list) && announced(&kept_out));
        list.add(&bo).unwrap();
        assert!(!announced(&list));
        let started = Users::new(kept_out).unwrap();
        assert!(started.unannounced().is_empty(), "from the start on");
    }

    #[test]
    fn a_user_who_does_not_exist_is_asked_for_the_same_salt_again() {
        let scram = crate::scram_verifier("right").unwrap();
        let mut list = UserList::default();
        list.add(&Account { name: "ana", scram: Some(&scram), ..Account::default() }).unwrap();
        let with =
            |secret| Users::with(list.clone(), Settings::default(), &[secret; SECRET]).unwrap();
        let outside = |users: &Users, name: &str| {
            let (verifier, _) = users.scram_of(name, HERE);
            (verifier.iterations(), verifier.salt().to_vec())
        };
        let users = with(1);
        assert_eq!(list.of_other_shape().count(), 0);
        let (ana, bo) = (outside(&users, "ana"), outside(&users, "bo"));
        assert_eq!((ana.0, ana.1.len()), (bo.0, bo.1.len()));
        assert_eq!(bo, outside(&with(1), "bo"), "also after a restart");
        assert_ne!(bo, outside(&users, "cy"));
        assert_ne!(bo, outside(&with(2), "bo"));
        assert!(users.scram_of("ana", HERE).1.is_ok() && users.scram_of("bo", HERE).1.is_err());
        // Others who come and go, and who have other verifiers, change nothing.
        let other = scram.replace("100000", "4096");
        list.add(&Account { name: "cy", scram: Some(&other), ..Account::default() }).unwrap();
        assert_eq!(list.of_other_shape().collect::<Vec<_>>(), ["cy"]);
        users.replace(list);
        assert_eq!(bo, outside(&users, "bo"));
        users.replace(UserList::default());
        assert_eq!(bo, outside(&users, "bo"));
    }

    #[test]
    fn a_failure_hides_the_dearest_verifier_also_on_a_core_that_is_half_as_fast() {
        use crate::scram;
        use crate::verifier::{MAX_WORK, TAKES};
        assert!(2 * TAKES * MAX_WORK <= FAILURE_TAKES);
        assert!(2 * scram::TAKES * scram::MAX_ITERATIONS <= FAILURE_TAKES);
    }

    #[test]
    fn nothing_secret_is_in_debug_texts() {
        let users = users();
        let text = format!("{users:?} {:?}", plain("ana", "right"));
        assert!(!text.contains("argon2id") && !text.contains("right"), "{text}");
    }
}
