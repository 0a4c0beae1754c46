//! What one question costs that is asked before each command: may he?

use std::hint::black_box;
use std::time::{Duration, Instant};

use host_iam::{Grants, Principal};

use crate::table::{Reach, Table};

/// Grants that there are, a hundred on each name.
const GRANTS: usize = 100_000;
const ON_EACH: usize = 100;
/// Questions of a round, about names one label below.
const QUESTIONS: usize = 200_000;
/// Rounds of which the best counts.
const ROUNDS: usize = 5;

pub fn measure(table: &mut Table) {
    let grants = Grants::default();
    for number in 0..GRANTS {
        let on = format!("f{}.flows.unix.ar", number / ON_EACH).parse().unwrap();
        let user = format!("user:u{}", number % ON_EACH).parse().unwrap();
        grants.granted(&on, &user, fnap::rights::Right::Read, fnap::rights::Scope::Below);
    }
    // Every other one may.
    let users: Vec<Principal> =
        (0..2 * ON_EACH).map(|n| Principal::user(&format!("u{n}"), ["ops".to_owned()])).collect();
    let names: Vec<fnap::name::Name> =
        (0..GRANTS / ON_EACH).map(|n| format!("a.f{n}.flows.unix.ar").parse().unwrap()).collect();
    let best = (0..ROUNDS).map(|_| round(&grants, &users, &names)).min().unwrap_or_default();
    let nanos = best.as_secs_f64() * 1e9 / QUESTIONS as f64;
    let what = format!("one question among {GRANTS} grants");
    table.figure(&what, nanos, "ns", None, Reach::AtMost(10_000.0));
}

fn round(grants: &Grants, users: &[Principal], names: &[fnap::name::Name]) -> Duration {
    let began = Instant::now();
    for (who, name) in users.iter().cycle().zip(names.iter().cycle().step_by(7)).take(QUESTIONS) {
        black_box(grants.may(black_box(who), fnap::rights::Right::Read, black_box(name)));
    }
    began.elapsed()
}
