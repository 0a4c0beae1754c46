//! Waits of librdkafka's that do not hang on the time of day.
//!
//! librdkafka measures everything with a clock that nobody sets, but it waits with `cnd_timedwait`, which ends
//! at a time of day. Where the clock is set back by an hour, whoever is waiting for a second waits for an hour:
//! timers, heartbeats of a group, attempts to connect. A program's own function goes before one of the C
//! library; so this one is called in its stead, and waits by the other clock.

use std::ffi::c_int;
use std::time::Duration;

use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, pthread_cond_t, pthread_mutex_t, timespec};

/// The longest wait. A jump between librdkafka's look at the time of day and ours makes a wait of any length;
/// librdkafka waits again where its own clock says that it is too early.
const LONGEST: Duration = Duration::from_secs(10);

// As in glibc's <threads.h>.
const SUCCESS: c_int = 0;
const ERROR: c_int = 2;
const TIMED_OUT: c_int = 4;

unsafe extern "C" {
    fn pthread_cond_clockwait(
        condition: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const timespec,
    ) -> c_int;
}

/// Waits until a condition is signalled, or until about the time of day that is given.
///
/// # Safety
/// As the function of the C library: condition and mutex are alive, the mutex is the caller's.
#[unsafe(no_mangle)]
unsafe extern "C" fn cnd_timedwait(
    condition: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    until: *const timespec,
) -> c_int {
    // SAFETY: as the caller promises. glibc's C11 conditions and mutexes are its POSIX ones.
    let waited = unsafe {
        let until = after(now(CLOCK_MONOTONIC), left(*until, now(CLOCK_REALTIME)));
        pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &until)
    };
    match waited {
        0 => SUCCESS,
        libc::ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

fn now(clock: libc::clockid_t) -> timespec {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the answer. Both clocks are always there.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now
}

/// How long it is from `now` until then.
fn left(until: timespec, now: timespec) -> Duration {
    let nanos = |time: timespec| i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    let most = i128::try_from(LONGEST.as_nanos()).unwrap_or(i128::MAX);
    let left = (nanos(until) - nanos(now)).clamp(0, most);
    Duration::from_nanos(u64::try_from(left).unwrap_or_default())
}

fn after(time: timespec, more: Duration) -> timespec {
    let nanos = time.tv_nsec + i64::from(more.subsec_nanos());
    let seconds = more.as_secs().cast_signed() + nanos / 1_000_000_000;
    timespec { tv_sec: time.tv_sec + seconds, tv_nsec: nanos % 1_000_000_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tv_sec: i64, tv_nsec: i64) -> timespec {
        timespec { tv_sec, tv_nsec }
    }

    #[test]
    fn no_wait_is_longer_than_the_longest_whatever_the_time_of_day_is_said_to_be() {
        assert_eq!(left(at(10, 5), at(9, 999_999_999)), Duration::from_nanos(6));
        assert_eq!(left(at(10, 0), at(10, 0)), Duration::ZERO);
        assert_eq!(left(at(10, 0), at(3610, 0)), Duration::ZERO);
        assert_eq!(left(at(3610, 0), at(10, 0)), LONGEST);
        assert_eq!(left(at(i64::MAX, 0), at(i64::MIN, 0)), LONGEST);
        let later = after(at(1, 999_999_999), Duration::from_nanos(2));
        assert_eq!((later.tv_sec, later.tv_nsec), (2, 1));
    }
}
