use std::net::Ipv4Addr;
use std::time::Duration;

use fnap::sasl::PlainCredentials;
use tokio::time::Instant;

use super::proof::{FAILURE_TAKES, LONGEST_WAIT};
use super::*;
use crate::list::Account;

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
    let ana =
        Account { name: "ana", verifier: Some(&verifier), disabled: true, ..Account::default() };
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
    let with = |secret| Users::with(list.clone(), Settings::default(), &[secret; SECRET]).unwrap();
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
