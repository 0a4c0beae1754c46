use super::*;
use std::net::Ipv4Addr;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_user_grows_to_its_limit_and_success_ends_it() {
    let attempts = Attempts::default();
    assert_eq!(attempts.wait(Some("ana"), HERE), Duration::ZERO);
    let mut seen = Vec::new();
    for from in 0..6 {
        attempts.failed(Some("ana"), Ipv4Addr::new(198, 51, 100, from).into());
        seen.push(attempts.wait(Some("ana"), THERE).as_millis());
    }
    assert_eq!(seen, [250, 500, 1000, 2000, 2000, 2000]);
    tokio::time::advance(LONGEST_FOR_USER).await;
    attempts.begin(Some("ana"), THERE).unwrap().succeeded();
    attempts.failed(Some("ana"), HERE);
    assert_eq!(attempts.wait(Some("ana"), THERE), FIRST_DELAY);
}

#[tokio::test(start_paused = true)]
async fn only_a_few_try_at_once_and_one_where_somebody_failed() {
    let attempts = Attempts::default();
    let begin = |user, address| attempts.begin(Some(user), address);
    let mut trying: Vec<_> = (0..AT_ONCE).map(|_| begin("ana", HERE).unwrap()).collect();
    assert_eq!(begin("ana", THERE).unwrap_err(), Later::Behind, "of one user");
    assert_eq!(begin("bo", HERE).unwrap_err(), Later::Behind, "from one address");
    begin("bo", THERE).unwrap().leave();
    trying.pop().unwrap().leave();
    begin("ana", HERE).unwrap().leave();
    drop(trying.pop());
    assert_eq!(begin("ana", THERE).unwrap_err(), Later::After(FIRST_DELAY));
    tokio::time::advance(FIRST_DELAY).await;
    assert_eq!(begin("ana", THERE).unwrap_err(), Later::Behind);
    trying.into_iter().for_each(Turn::leave);
    let _only = begin("ana", THERE).unwrap();
    assert_eq!(begin("ana", THERE).unwrap_err(), Later::Behind);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_attempts_that_ended() {
    let attempts = Attempts::default();
    drop(attempts.begin(Some("ana"), HERE));
    attempts.begin(None, THERE).unwrap().succeeded();
    assert!(attempts.state().trying.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_address_that_guesses_waits_whatever_user_it_names() {
    let attempts = Attempts::default();
    for number in 0..12 {
        attempts.failed(Some(&format!("u{number}")), THERE);
    }
    assert_eq!(attempts.wait(Some("ana"), THERE), LONGEST_FOR_ADDRESS);
    assert_eq!(attempts.wait(Some("ana"), HERE), Duration::ZERO);
    attempts.begin(Some("ana"), HERE).unwrap().succeeded();
    assert_eq!(attempts.wait(Some("ana"), THERE), LONGEST_FOR_ADDRESS);
    tokio::time::advance(LONGEST_FOR_ADDRESS).await;
    assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_of_one_address_cost_others_behind_it_nothing() {
    let attempts = Attempts::default();
    for _ in 0..FREE_FOR_ADDRESS {
        attempts.failed(Some("bo"), THERE);
    }
    assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO);
    attempts.failed(Some("bo"), THERE);
    assert_eq!(attempts.wait(Some("ana"), THERE), FIRST_DELAY);
}

#[tokio::test(start_paused = true)]
async fn failures_are_forgotten_after_quiet() {
    let attempts = Attempts::default();
    for _ in 0..5 {
        attempts.failed(Some("ana"), HERE);
    }
    tokio::time::advance(FORGOTTEN_AFTER + Duration::from_secs(1)).await;
    attempts.failed(Some("ana"), HERE);
    assert_eq!(attempts.wait(Some("ana"), HERE), FIRST_DELAY);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_are_remembered() {
    let attempts = Attempts::default();
    for number in 0..(2 * MAX_REMEMBERED as u32) {
        attempts.failed(Some(&format!("u{number}")), Ipv4Addr::from(number).into());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert!(attempts.state().failures.len() <= MAX_REMEMBERED);
    let last = 2 * MAX_REMEMBERED as u32 - 1;
    assert!(attempts.wait(Some(&format!("u{last}")), HERE) > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn look_ups_that_are_not_answered_come_slower_and_slower_and_the_others_do_not() {
    let (attempts, most) = (Attempts::default(), Duration::from_secs(1));
    for _ in 0..100 {
        assert_eq!(attempts.looks_up(HERE, most), Ok(Duration::ZERO));
        attempts.was_answered(HERE);
    }
    // All at once: that none of them has been answered yet counts.
    let waits: Vec<_> = (0..40).map(|_| attempts.looks_up(THERE, most)).collect();
    assert!(waits.iter().take(FREE_LOOKUPS as usize + 1).all(|wait| *wait == Ok(Duration::ZERO)));
    let begun = waits.iter().filter(|wait| wait.is_ok()).count();
    assert!(begun <= FREE_LOOKUPS as usize + 3, "{waits:?}");
    assert_eq!(attempts.looks_up(HERE, most), Ok(Duration::ZERO));
    assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO, "nobody has failed");
    for _ in 0..20 {
        tokio::time::advance(LONGEST_FOR_ADDRESS).await;
        assert!(attempts.looks_up(THERE, most).is_ok());
    }
    assert_eq!(attempts.looks_up(THERE, most), Err(LONGEST_FOR_ADDRESS));
    tokio::time::advance(FORGOTTEN_AFTER + LONGEST_FOR_ADDRESS).await;
    for _ in 0..FREE_LOOKUPS {
        assert_eq!(attempts.looks_up(THERE, most), Ok(Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_of_one_ipv6_network_count_together() {
    let attempts = Attempts::default();
    for number in 0..9_u16 {
        attempts.failed(
            Some("x"),
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number).into(),
        );
    }
    let other = |net| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, net, 9, 9, 9, 9).into();
    assert!(attempts.wait(Some("ana"), other(1)) > Duration::ZERO);
    assert_eq!(attempts.wait(Some("ana"), other(2)), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_site_that_fails_from_everywhere_has_to_wait_and_others_have_not() {
    let attempts = Attempts::default();
    let from = |site, net| std::net::Ipv6Addr::new(0x2001, 0xdb8, site, net, 0, 0, 0, 1).into();
    for net in 0..200 {
        attempts.failed(Some(&format!("u{net}")), from(1, net));
    }
    assert_eq!(attempts.wait(Some("ana"), from(1, 999)), LONGEST_FOR_SITE);
    assert_eq!(attempts.wait(Some("ana"), from(2, 999)), Duration::ZERO);
}
