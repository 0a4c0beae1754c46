//! Checks credentials, a few at a time, and gives the same answer to every failure.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fnap::sasl::PlainCredentials;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::attempts::Attempts;
use crate::exchange::Step;
use crate::list::{UserList, UsersError};
use crate::principal::Principal;
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

/// The users of this host.
#[derive(Debug)]
pub struct Users {
    list: RwLock<UserList>,
    /// Checked in place of a user who does not exist; nobody knows its password.
    nobody: Verifier,
    attempts: Attempts,
    queue: Semaphore,
    workers: Arc<Semaphore>,
}

impl Users {
    /// Takes a list of users.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn new(list: UserList) -> Result<Self, VerifierError> {
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|_| VerifierError::Failed)?;
        let secret: Zeroizing<String> =
            Zeroizing::new(secret.iter().map(|byte| format!("{byte:02x}")).collect());
        let nobody = Verifier::parse(&hash_password(&secret)?)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            list: RwLock::new(list),
            nobody,
            attempts: Attempts::default(),
            queue: Semaphore::new(MAX_WAITING),
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

    /// Takes another list, and says whether it says anything else; who is in stays in.
    pub fn replace(&self, list: UserList) -> bool {
        let mut current = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *current != list;
        *current = list;
        changed
    }

    /// Checks credentials. A failure takes as long whether the user exists or not.
    ///
    /// # Errors
    /// [`VerifyError`]; its words may be shown to anybody.
    pub async fn verify(
        &self,
        credentials: &PlainCredentials,
        address: IpAddr,
    ) -> Result<Principal, VerifyError> {
        let user = credentials.user();
        let begun = Instant::now();
        let _place = self.queue(user, address).await?;
        let acts_as_himself = ["", user].contains(&credentials.authorize());
        if self.check(credentials).await? && acts_as_himself {
            self.attempts.succeeded(user);
            return Ok(Principal::user(user, []));
        }
        self.attempts.failed(user, address);
        // Verifiers from elsewhere may be cheaper or dearer than our own: this hides whose was checked.
        tokio::time::sleep_until(begun + FAILURE_TAKES).await;
        Err(VerifyError::Refused)
    }

    /// What a response that cannot be understood comes to: the same as a wrong password.
    pub async fn refuse(&self, address: IpAddr) -> Step {
        let begun = Instant::now();
        // No name of a user is empty: the address alone is counted.
        match self.queue("", address).await {
            Ok(_place) => {
                self.attempts.failed("", address);
                tokio::time::sleep_until(begun + FAILURE_TAKES).await;
                Step::Refused
            }
            Err(VerifyError::Busy { retry_after }) => Step::Busy { retry_after },
            Err(VerifyError::Refused) => Step::Refused,
        }
    }

    /// Takes a place among those who wait, after the delay that earlier failures earned.
    async fn queue(&self, user: &str, address: IpAddr) -> Result<SemaphorePermit<'_>, VerifyError> {
        let retry_after = self.attempts.wait(user, address);
        if retry_after > LONGEST_WAIT {
            return Err(VerifyError::Busy { retry_after });
        }
        let busy = VerifyError::Busy { retry_after: LONGEST_WAIT };
        let place = self.queue.try_acquire().map_err(|_| busy)?;
        tokio::time::sleep(retry_after).await;
        Ok(place)
    }

    async fn check(&self, credentials: &PlainCredentials) -> Result<bool, VerifyError> {
        let busy = VerifyError::Busy { retry_after: LONGEST_WAIT };
        let worker = Arc::clone(&self.workers).acquire_owned().await.map_err(|_| busy)?;
        let known = {
            let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
            list.0.get(credentials.user()).cloned()
        };
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| self.nobody.clone());
        let password = Zeroizing::new(credentials.password().to_owned());
        let work = move |worker: OwnedSemaphorePermit| {
            let accepted = verifier.accepts(&password);
            drop(worker);
            accepted
        };
        // The permit goes along: a connection that is closed meanwhile must not free it early.
        let accepted = tokio::task::spawn_blocking(move || work(worker)).await;
        Ok(accepted.map_err(|_| busy)? && exists)
    }
}

/// Attempts that are checked at once: 19 MiB each, up to 64 MiB for verifiers from elsewhere, and a
/// core each that events do not get.
const MAX_WORKERS: usize = 4;

/// Attempts that wait for that or sit out a short delay. At 20 ms each the last one waits some
/// seconds; who comes after is told to try again.
const MAX_WAITING: usize = 256;

/// A delay up to this is sat out on the connection; a longer one is told to the client.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a failed attempt takes at least: more than any verifier that is let in takes on a quiet
/// machine, little enough for a person who mistyped.
const FAILURE_TAKES: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
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

    #[tokio::test(start_paused = true)]
    async fn more_attempts_at_once_than_there_are_places_are_turned_away() {
        let users = users();
        let _places = users.queue.try_acquire_many(MAX_WAITING as u32).unwrap();
        let error = users.verify(&plain("ana", "right"), HERE).await.unwrap_err();
        assert_eq!(error, VerifyError::Busy { retry_after: LONGEST_WAIT });
    }

    #[tokio::test(start_paused = true)]
    async fn another_list_counts_from_the_next_attempt_on() {
        let users = users();
        assert!(users.replace(UserList::default()));
        assert!(!users.replace(UserList::default()));
        assert!(users.verify(&plain("ana", "right"), HERE).await.is_err());
    }

    #[test]
    fn nothing_secret_is_in_debug_texts() {
        let users = users();
        let text = format!("{users:?} {:?}", plain("ana", "right"));
        assert!(!text.contains("argon2id") && !text.contains("right"), "{text}");
    }
}
