//! Checks what somebody proves: a few at a time, after the delay that failures have earned, with one answer for every failure.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fnap::sasl::{Mechanism, PlainCredentials};
use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Users;
use crate::attempts::{Later, Turn};
use crate::exchange::Step;
use crate::prepare;
use crate::principal::Principal;
use crate::scram::{ITERATIONS, SALT, ScramVerifier};
use crate::strangers::Stranger;

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

impl Users {
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

/// A look-up for somebody. It counts against his address unless it was answered.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    pub(super) users: &'a Users,
    pub(super) address: IpAddr,
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

/// Attempts that wait for that or sit out a short delay. At 20 ms each the last one waits some
/// seconds; who comes after is told to try again.
pub(super) const MAX_WAITING: usize = 256;

/// One of so many parts of them may be of one address: others are listened to while it guesses.
pub(super) const PART_OF_WAITING: usize = 2;

/// Peers for whom names are looked up at once. Name servers that are silent hold a place for as long as
/// `timeout_seconds`; who comes after is told to try again.
pub(super) const MAX_LOOKUPS: usize = 256;

/// A delay up to this is sat out on the connection; a longer one is told to the client.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a failed attempt takes at least: twice what any verifier that is let in takes
/// ([`crate::verifier::MAX_WORK`], `MAX_ITERATIONS`), little enough for a person who mistyped.
pub(super) const FAILURE_TAKES: Duration = Duration::from_millis(300);
