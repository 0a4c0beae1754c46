//! Trying again: with growing pauses, and not for ever.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{CONNECT_TIMEOUT, Connection, Limit, Need};
use crate::config::Agent;
use crate::error::Error;
use crate::run::Setting;
use crate::teller::Teller;
use crate::trace::Trace;

/// First pause between two attempts; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: a host that is back is found soon, and a host that is down is not flooded.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Longest time that is taken by its word: an end further away could not be written down as one.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// How long to go on trying, and how long to pause.
#[derive(Debug)]
pub(crate) struct Patience {
    total: Duration,
    // None while all is well: the time runs from the first failure.
    until: Option<Instant>,
    /// The end of everything, failures or none.
    end: Limit,
    pause: Duration,
    teller: Teller,
}

impl Patience {
    pub(crate) fn new(total: Duration, teller: Teller) -> Self {
        let (total, end) = (total.min(FOR_EVER), Limit::default());
        Self { total, until: None, end, pause: FIRST_PAUSE, teller }
    }

    /// The same, and this long from now for everything; zero is as long as it takes.
    fn ending_after(mut self, time: Duration) -> Self {
        self.end = Limit((!time.is_zero()).then(|| Instant::now() + time.min(FOR_EVER)));
        self
    }

    /// What is left for connections and answers: all that is usual while all is well.
    pub(crate) fn limit(&self) -> Limit {
        Limit(self.until.or(self.end.0))
    }

    /// Something went well: the next failure has all the time again.
    pub(crate) fn renew(&mut self) {
        self.renew_time();
        self.teller.well();
    }

    /// The same where that was told then, and may be over.
    pub(crate) fn renew_time(&mut self) {
        self.until = None;
        self.pause = FIRST_PAUSE;
    }

    /// It goes on, which says nothing about how long: the time is not renewed.
    pub(crate) fn well(&self) {
        self.teller.well();
    }

    /// Waits before the next attempt, at least `least`; `false` when time is up. The reason is told
    /// when this lasts.
    pub(crate) async fn wait(&mut self, least: Duration, reason: &(dyn Display + Sync)) -> bool {
        // A host says how long, and may say anything.
        let (now, least) = (Instant::now(), least.min(FOR_EVER));
        let whole = now + self.total;
        let until = *self.until.get_or_insert(self.end.0.map_or(whole, |end| end.min(whole)));
        if now >= until {
            return false;
        }
        let pause = self.pause.max(least);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if now + pause > until && least > Duration::ZERO {
            // The host asked for more time than there is.
            return false;
        }
        self.teller.trouble(reason, pause);
        sleep_until((now + jittered(pause).max(least)).min(until)).await;
        true
    }
}

/// The first connection of a run: tries for as long as `--wait` says, and gives a host that says nothing no longer.
pub(crate) async fn connect(agent: &Agent, setting: &Setting) -> Result<Connection, Error> {
    connect_for(agent, setting, Need::Somebody).await
}

/// The same for something in particular.
pub(crate) async fn connect_for(
    agent: &Agent,
    setting: &Setting,
    need: Need,
) -> Result<Connection, Error> {
    connect_before(agent, setting, need, setting.wait).await
}

/// The same; each try, too, has to be through after `whole`.
async fn connect_before(
    agent: &Agent,
    setting: &Setting,
    need: Need,
    whole: Duration,
) -> Result<Connection, Error> {
    let teller = Teller::new(setting.words.clone());
    let mut patience = Patience::new(setting.wait, teller).ending_after(whole);
    let connection = keep_trying(agent, &setting.trace, &mut patience, need).await?;
    patience.well();
    Ok(connection)
}

/// The first connection of a run that can go on over several. Where nobody listens it tries for as long as `--wait` says; a
/// host that is there, and breaks it off or says that it starts, is tried again as it would be later in the run.
pub(crate) async fn connect_first(
    agent: &Agent,
    setting: &Setting,
    patience: &mut Patience,
) -> Result<(Connection, bool), Error> {
    // Who allows little for breaks has said nothing about a host that is slow to begin with.
    let usual = patience.total.max(CONNECT_TIMEOUT);
    let whole = if setting.wait.is_zero() { usual } else { setting.wait };
    match connect_before(agent, setting, Need::Somebody, whole).await {
        Ok(connection) => Ok((connection, false)),
        Err(error) if !error.may_pass() || matches!(error, Error::Unreachable { .. }) => Err(error),
        Err(error) => {
            if !patience.wait(Duration::ZERO, &error).await {
                return Err(error);
            }
            let connection = connect_within(agent, &setting.trace, patience).await?;
            patience.renew();
            Ok((connection, true))
        }
    }
}

/// Opens a connection, trying again for a while where that may help.
pub(crate) async fn connect_within(
    agent: &Agent,
    trace: &Trace,
    patience: &mut Patience,
) -> Result<Connection, Error> {
    keep_trying(agent, trace, patience, Need::Somebody).await
}

async fn keep_trying(
    agent: &Agent,
    trace: &Trace,
    patience: &mut Patience,
    need: Need,
) -> Result<Connection, Error> {
    loop {
        let opened = Connection::open_for(agent, trace.clone(), need, patience.limit());
        match patience.teller.watch("no answer to a new connection", opened).await {
            Ok(connection) => return Ok(connection),
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => {
                if !patience.wait(Duration::ZERO, &error).await {
                    return Err(error);
                }
            }
        }
    }
}

/// Between half and all of the pause, so that many clients of a host do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}
