use super::*;

fn quotas(rules: &[(&str, Quota)]) -> Quotas {
    let quotas = Quotas::default();
    quotas.set(rules.iter().map(|(who, quota)| (who.parse().unwrap(), *quota)).collect());
    quotas
}

fn ana() -> Principal {
    Principal::user("ana", ["ops".to_owned(), "dev".to_owned()])
}

fn connections(most: u64) -> Quota {
    Quota { connections: Some(most), ..Quota::default() }
}

fn flows(most: u64) -> Quota {
    Quota { flows: Some(most), ..Quota::default() }
}

#[test]
fn each_limit_is_that_of_the_principal_else_of_his_largest_group_else_of_everybody() {
    let rules = quotas(&[
        ("user:ana", connections(1)),
        ("group:ops", Quota { flows: Some(3), ..connections(9) }),
        ("group:dev", Quota { flows: Some(7), ..Quota::default() }),
        ("everybody", Quota { flows: Some(1), processors: Some(2), ..connections(5) }),
        ("anonymous", flows(0)),
    ]);
    let of = rules.of(&ana());
    assert_eq!((of.connections, of.flows, of.processors), (Some(1), Some(7), Some(2)));
    let of = rules.of(&Principal::user("bo", []));
    assert_eq!((of.connections, of.flows), (Some(5), Some(1)));
    assert_eq!(rules.of(&Principal::anonymous()).flows, Some(0));
    assert_eq!(Quotas::default().of(&ana()), Quota::default());
}

#[tokio::test(start_paused = true)]
async fn so_many_connections_and_one_more_when_one_ends() {
    let quotas = quotas(&[("group:users", connections(2))]);
    let first = quotas.enter(&ana()).unwrap();
    let _second = quotas.enter(&ana()).unwrap();
    let refused = quotas.enter(&ana()).unwrap_err().to_string();
    assert_eq!(refused, "retry-after=10 at most 2 connections for user:ana");
    let _other = quotas.enter(&Principal::user("bo", [])).unwrap();
    drop(first);
    assert!(quotas.enter(&ana()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn commands_over_the_rate_are_told_when_there_is_room_again() {
    let quota = Quota { commands_per_second: Some(4), ..Quota::default() };
    let quotas = quotas(&[("everybody", quota)]);
    let seat = quotas.enter(&ana()).unwrap();
    for _ in 0..4 {
        seat.command().unwrap();
    }
    let limited = seat.command().unwrap_err();
    assert_eq!(limited.to_string(), "retry-after=1 at most 4 commands a second for user:ana");
    // Another connection of hers is no way around it, and neither is a new one.
    assert!(quotas.enter(&ana()).unwrap().command().is_err());
    tokio::time::advance(Duration::from_millis(250)).await;
    seat.command().unwrap();
    assert!(seat.command().is_err());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!((0..9).filter(|_| seat.command().is_ok()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_write_over_the_rate_goes_through_once_and_is_paid_for() {
    let quota = Quota { events_per_second: Some(10), ..Quota::default() };
    let quotas = quotas(&[("user:ana", quota)]);
    let seat = quotas.enter(&ana()).unwrap();
    seat.write(100, 1).unwrap();
    let limited = seat.write(1, 1).unwrap_err();
    assert_eq!(limited.retry_after, Duration::from_secs(9));
    // Reading has a bucket of its own.
    assert_eq!(seat.read(10, 1_000_000), None);
    tokio::time::advance(Duration::from_secs(9)).await;
    seat.write(1, 1).unwrap();
    assert!(seat.write(1, 1).is_err());
}

#[tokio::test(start_paused = true)]
async fn reading_waits_as_long_as_its_octets_cost() {
    let quota = Quota { bytes_per_second: Some(1000), ..Quota::default() };
    let quotas = quotas(&[("user:ana", quota)]);
    let seat = quotas.enter(&ana()).unwrap();
    assert_eq!(seat.share(), Some(Share { events: u64::MAX, bytes: 1000 }));
    assert_eq!(seat.read(1, 1000), None);
    let until = seat.read(1, 3000).unwrap();
    assert_eq!(until - Instant::now(), Duration::from_secs(3));
    // Somebody else is not held up.
    let other = quotas.enter(&Principal::user("bo", [])).unwrap();
    assert_eq!((other.share(), other.read(1, 1 << 30)), (None, None));
}

#[tokio::test(start_paused = true)]
async fn other_rules_count_at_once_for_who_is_connected() {
    let quotas = quotas(&[]);
    let seat = quotas.enter(&ana()).unwrap();
    assert!((0..1000).all(|_| seat.command().is_ok()));
    let quota = Quota { commands_per_second: Some(1), ..connections(1) };
    quotas.set([(Subject::Everybody, quota)].into());
    seat.command().unwrap();
    assert!(seat.command().is_err());
    // The connection from before the rule counts.
    assert!(quotas.enter(&ana()).is_err());
    quotas.set(BTreeMap::new());
    assert!(seat.command().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_principals_that_came_and_went_are_forgotten_and_one_in_debt_is_not() {
    let quota = Quota { commands_per_second: Some(1), bytes_per_second: Some(1), ..flows(1) };
    let quotas = quotas(&[("everybody", quota)]);
    let debtor = quotas.enter(&ana()).unwrap();
    debtor.write(1, 3000).unwrap();
    drop(debtor);
    for number in 0..100_000_u32 {
        drop(quotas.enter(&Principal::user(&number.to_string(), [])).unwrap());
    }
    let kept = quotas.0.meters.lock().unwrap().of.len();
    assert!(kept <= 2 * SWEEP, "{kept} are kept");
    assert!(quotas.enter(&ana()).unwrap().write(1, 1).is_err());
}

#[test]
fn the_longest_debt_of_one_batch_is_an_hour() {
    let mut bucket = Bucket::default();
    let now = Instant::now();
    bucket.charge(now, u64::MAX, 1);
    assert_eq!(bucket.wait(now), Some(Duration::from_secs(3600) - BURST));
}
