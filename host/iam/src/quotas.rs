//! How much of the host one principal may use: connections, commands, events and octets in a second, and how
//! many flows and processors are his.
//!
//! Counts and says no; what is refused and what is only slowed down is for the caller. Where no quota is set
//! a question costs one look at a flag. Kept in memory is who is connected, or was a moment ago.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use fnap::subject::Subject;
use tokio::time::Instant;

use crate::principal::Principal;

/// What one principal may use; `None` is no limit but those of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Connections at once.
    pub connections: Option<u64>,
    /// Commands in a second.
    pub commands_per_second: Option<u64>,
    /// Events in a second, of READ and of WRITE each.
    pub events_per_second: Option<u64>,
    /// Octets of events in a second, of READ and of WRITE each.
    pub bytes_per_second: Option<u64>,
    /// Flows that are his.
    pub flows: Option<u64>,
    /// Processors that are his.
    pub processors: Option<u64>,
}

/// More than the quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("retry-after={} at most {most} {what} for {who}", retry_after.as_secs().max(1))]
pub struct Limited {
    /// When there is room again; at least a second.
    pub retry_after: Duration,
    what: &'static str,
    most: u64,
    who: Subject,
}

/// The quotas of a host. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is any rule.
    any: AtomicBool,
    /// Counts changes of the rules.
    generation: AtomicU64,
    rules: RwLock<BTreeMap<Subject, Quota>>,
    meters: Mutex<Meters>,
}

#[derive(Debug, Default)]
struct Meters {
    of: HashMap<Subject, Arc<Meter>>,
    /// At how many it is looked which are not needed any more.
    sweep_at: usize,
}

/// What one principal has used of late.
#[derive(Debug, Default)]
struct Meter(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    connections: u64,
    commands: Bucket,
    events_written: Bucket,
    bytes_written: Bucket,
    events_read: Bucket,
    bytes_read: Bucket,
}

/// A connection of a principal, as long as it lives.
#[derive(Debug)]
pub struct Seat {
    quotas: Quotas,
    who: Principal,
    meter: Arc<Meter>,
    /// His quota, and of which generation of the rules.
    quota: Mutex<(u64, Quota)>,
}

/// How much may be read at once, so that it comes evenly and not in bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Events.
    pub events: u64,
    /// Octets.
    pub bytes: u64,
}

impl Quotas {
    /// Takes other rules; who is connected is measured by them from now on.
    pub fn set(&self, rules: BTreeMap<Subject, Quota>) {
        let any = !rules.is_empty();
        let mut current = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        if *current != rules {
            *current = rules;
            self.0.any.store(any, Ordering::Release);
            self.0.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// What a principal may use. Each limit is taken for itself: the one that names him, else the largest of
    /// his groups, else that of everybody.
    #[must_use]
    pub fn of(&self, who: &Principal) -> Quota {
        if !self.0.any.load(Ordering::Acquire) {
            return Quota::default();
        }
        let rules = self.0.rules.read().unwrap_or_else(PoisonError::into_inner);
        let own = rules.get(who.subject()).copied().unwrap_or_default();
        let groups = who.groups().filter_map(|group| rules.get(&Subject::Group(group.to_owned())));
        let groups = groups.fold(Quota::default(), |one, other| one.pick(*other, larger));
        let everybody = rules.get(&Subject::Everybody).copied().unwrap_or_default();
        own.pick(groups, Option::or).pick(everybody, Option::or)
    }

    /// A connection more.
    ///
    /// # Errors
    /// When he has as many as he may.
    pub fn enter(&self, who: &Principal) -> Result<Seat, Limited> {
        let meter = self.meter(who.subject());
        let quota = self.of(who);
        {
            let mut used = meter.used();
            if let Some(most) = quota.connections
                && used.connections >= most
            {
                return Err(limited(who, "connections", most, CONNECTION_WAIT));
            }
            used.connections += 1;
        }
        let generation = self.0.generation.load(Ordering::Acquire);
        Ok(Seat {
            quotas: self.clone(),
            who: who.clone(),
            meter,
            quota: Mutex::new((generation, quota)),
        })
    }

    fn meter(&self, subject: &Subject) -> Arc<Meter> {
        let mut meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.of.get(subject) {
            return Arc::clone(meter);
        }
        if meters.of.len() >= meters.sweep_at {
            let now = Instant::now();
            // Who left with a debt comes back to it.
            meters.of.retain(|_, meter| Arc::strong_count(meter) > 1 || meter.used().owes(now));
            meters.sweep_at = (meters.of.len() * 2).max(SWEEP);
        }
        Arc::clone(meters.of.entry(subject.clone()).or_default())
    }
}

impl Seat {
    /// A command more.
    ///
    /// # Errors
    /// When it has to wait.
    pub fn command(&self) -> Result<(), Limited> {
        let Some(quota) = self.quota() else { return Ok(()) };
        let Some(rate) = quota.commands_per_second else { return Ok(()) };
        let wait = self.meter.used().commands.take(Instant::now(), 1, rate);
        wait.map_err(|wait| limited(&self.who, "commands a second", rate, wait))
    }

    /// A WRITE of so much. The first one over a limit is let through whole and has to be paid for in time, so
    /// that no batch is too large for ever.
    ///
    /// # Errors
    /// When it has to wait; nothing of it counts then.
    pub fn write(&self, events: u64, bytes: u64) -> Result<(), Limited> {
        let Some(quota) = self.quota() else { return Ok(()) };
        let now = Instant::now();
        let mut used = self.meter.used();
        let (of_events, of_bytes) = (quota.events_per_second, quota.bytes_per_second);
        if let Some(rate) = of_events
            && let Some(wait) = used.events_written.wait(now)
        {
            return Err(limited(&self.who, "events a second", rate, wait));
        }
        if let Some(rate) = of_bytes
            && let Some(wait) = used.bytes_written.wait(now)
        {
            return Err(limited(&self.who, "octets a second", rate, wait));
        }
        of_events.into_iter().for_each(|rate| used.events_written.charge(now, events, rate));
        of_bytes.into_iter().for_each(|rate| used.bytes_written.charge(now, bytes, rate));
        Ok(())
    }

    /// How much a READ takes at once; none where it is not limited.
    #[must_use]
    pub fn share(&self) -> Option<Share> {
        let quota = self.quota()?;
        let Quota { events_per_second: events, bytes_per_second: bytes, .. } = quota;
        (events.is_some() || bytes.is_some())
            .then(|| Share { events: events.unwrap_or(u64::MAX), bytes: bytes.unwrap_or(u64::MAX) })
    }

    /// So much was read; gives when it may go on, if not at once.
    #[must_use]
    pub fn read(&self, events: u64, bytes: u64) -> Option<Instant> {
        let quota = self.quota()?;
        let now = Instant::now();
        let mut used = self.meter.used();
        let of_events = quota.events_per_second.and_then(|rate| {
            used.events_read.charge(now, events, rate);
            used.events_read.wait(now)
        });
        let of_bytes = quota.bytes_per_second.and_then(|rate| {
            used.bytes_read.charge(now, bytes, rate);
            used.bytes_read.wait(now)
        });
        Some(now + of_events.max(of_bytes)?)
    }

    /// His quota as it is now; none where there are no rules at all.
    fn quota(&self) -> Option<Quota> {
        if !self.quotas.0.any.load(Ordering::Acquire) {
            return None;
        }
        let generation = self.quotas.0.generation.load(Ordering::Acquire);
        let mut known = self.quota.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != generation {
            *known = (generation, self.quotas.of(&self.who));
        }
        Some(known.1)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut used = self.meter.used();
        used.connections = used.connections.saturating_sub(1);
    }
}

/// What is limited, as `connections=2 flows=3`, in the words of the configuration.
impl fmt::Display for Quota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [
            ("connections", self.connections),
            ("commands_per_second", self.commands_per_second),
            ("events_per_second", self.events_per_second),
            ("bytes_per_second", self.bytes_per_second),
            ("flows", self.flows),
            ("processors", self.processors),
        ];
        let set = limits.iter().filter_map(|(what, most)| most.map(|most| (what, most)));
        for (index, (what, most)) in set.enumerate() {
            let blank = if index == 0 { "" } else { " " };
            write!(out, "{blank}{what}={most}")?;
        }
        Ok(())
    }
}

impl Quota {
    fn pick(self, other: Self, which: fn(Option<u64>, Option<u64>) -> Option<u64>) -> Self {
        Self {
            connections: which(self.connections, other.connections),
            commands_per_second: which(self.commands_per_second, other.commands_per_second),
            events_per_second: which(self.events_per_second, other.events_per_second),
            bytes_per_second: which(self.bytes_per_second, other.bytes_per_second),
            flows: which(self.flows, other.flows),
            processors: which(self.processors, other.processors),
        }
    }
}

/// `None` is less than anything, so a group that says nothing takes nothing away.
fn larger(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.max(other)
}

fn limited(who: &Principal, what: &'static str, most: u64, wait: Duration) -> Limited {
    // Whole seconds, and never too early.
    let retry_after = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Limited { retry_after, what, most, who: who.subject().clone() }
}

impl Meter {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn owes(&self, now: Instant) -> bool {
        let buckets = [
            &self.commands,
            &self.events_written,
            &self.bytes_written,
            &self.events_read,
            &self.bytes_read,
        ];
        buckets.iter().any(|bucket| bucket.paid.is_some_and(|paid| paid > now))
    }
}

/// A bucket that holds a second's worth. Kept is only by when all that was taken is paid for.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    paid: Option<Instant>,
}

impl Bucket {
    /// How long to wait until something may be taken; none where it may be now.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let debt = self.paid?.saturating_duration_since(now);
        debt.checked_sub(BURST).filter(|wait| !wait.is_zero())
    }

    /// Takes something, be it there or not.
    fn charge(&mut self, now: Instant, amount: u64, rate: u64) {
        let from = self.paid.map_or(now, |paid| paid.max(now));
        let seconds = amount as f64 / rate.max(1) as f64;
        self.paid = Some(from + Duration::from_secs_f64(seconds.min(LONGEST_DEBT)));
    }

    /// Takes something if it is there.
    fn take(&mut self, now: Instant, amount: u64, rate: u64) -> Result<(), Duration> {
        let seconds = Duration::from_secs_f64(amount as f64 / rate.max(1) as f64);
        let debt = self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now));
        // One alone is always let through, however little is allowed in a second.
        if !debt.is_zero() && debt + seconds > BURST {
            return Err((debt + seconds).saturating_sub(BURST));
        }
        self.charge(now, amount, rate);
        Ok(())
    }
}

/// What may be taken at once after a pause, in time.
const BURST: Duration = Duration::from_secs(1);

/// Seconds that one charge costs at most: a batch of 16 MiB at an octet a second would cost half a year.
const LONGEST_DEBT: f64 = 3600.0;

/// When somebody with too many connections shall try again: nobody knows when one of them ends.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

/// Fewest meters at which it is looked which are not needed any more.
const SWEEP: usize = 64;

#[cfg(test)]
#[path = "quotas_tests.rs"]
mod tests;
