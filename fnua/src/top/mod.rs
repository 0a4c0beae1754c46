//! `fnua top`: what flows and processors do, looked at again and again.
//!
//! On a terminal it fills the screen until Ctrl-C, also while the host is away; elsewhere it prints a table
//! after each interval. It asks for two lists and nothing else, so that looking costs the host little.

mod rates;
mod screen;
mod view;

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fnap::Format as FnapFormat;
use fnap::command::Command;
use tokio::time::sleep;

use crate::cli::Format;
use crate::cli::looking::TopArgs;
use crate::cli::streams::RETRY_SECONDS;
use crate::config::Agent;
use crate::connection::{Connection, Patience, connect, connect_within};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::io::printable;
use crate::look::{Thing, list};
use crate::run::Setting;
use crate::teller::Teller;
use rates::Counters;
use screen::Screen;
use view::View;

/// What is counted of flows and processors.
const COUNTERS: [&str; 4] = ["events", "events-in", "events-out", "failures"];

/// Runs the command.
pub(crate) async fn top(
    args: &TopArgs,
    agent: &Agent,
    setting: &Setting,
    stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    let connection = connect(agent, setting).await?;
    let mut interrupt = Interrupt::listen_to_all();
    let terminal = setting.screen && !args.once && setting.format != Format::Json;
    let screen = Screen::enter(stdout, terminal)?;
    let mut top = Top { args, setting, before: None, screen, terminal };
    tokio::select! {
        result = top.run(agent, connection) => result,
        () = interrupt.wait() => Ok(()),
    }
}

struct Top<'a> {
    args: &'a TopArgs,
    setting: &'a Setting,
    before: Option<Counters>,
    screen: Screen,
    /// Whether there is a screen to fill.
    terminal: bool,
}

impl Top<'_> {
    async fn run(&mut self, agent: &Agent, mut connection: Connection) -> Result<(), Error> {
        loop {
            let looked = look(&mut connection).await;
            match looked {
                Ok(things) => {
                    if self.show(things)? && self.args.once {
                        connection.quit().await;
                        return Ok(());
                    }
                    sleep(self.args.interval).await;
                }
                Err(error) if error.may_pass() && !self.args.once => {
                    connection = self.again(agent, error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Shows a look; whether there was something to compare it with.
    fn show(&mut self, (flows, processors): (Vec<Thing>, Vec<Thing>)) -> Result<bool, Error> {
        let things = [("flow", flows.as_slice()), ("processor", processors.as_slice())];
        let now = Counters::note(Instant::now(), &things, &COUNTERS);
        let before = self.before.as_ref();
        let compared = before.is_some();
        let view = View::new(now_millis(), (flows, processors), &now, before, self.args.sort);
        self.before = Some(now);
        match (self.terminal, self.setting.format) {
            // The first look has no rates yet, but a screen must not stay empty for so long.
            (true, _) => {
                let head = view.head();
                let above = head.lines().count() + 1;
                let lines = self.screen.size().map(|(rows, _)| rows.saturating_sub(above));
                let text = format!("{head}\n{}", view.tables(lines));
                self.screen.show(&text)?;
            }
            (false, _) if !compared => {}
            (false, Format::Json) => self.screen.show(&format!("{}\n", view.json()))?,
            (false, _) => {
                let end = if self.args.once { "" } else { "\n" };
                self.screen.show(&format!("{}\n{}{end}", view.head(), view.tables(None)))?;
            }
        }
        Ok(compared)
    }

    /// Connects again: as long as somebody looks at the screen, else for a minute.
    async fn again(&mut self, agent: &Agent, mut error: Error) -> Result<Connection, Error> {
        let Setting { words, trace, .. } = self.setting;
        if !self.terminal {
            let teller = Teller::new(words.clone());
            let mut patience = Patience::new(Duration::from_secs(RETRY_SECONDS), teller);
            if !patience.wait(Duration::ZERO, &error).await {
                return Err(error);
            }
            let connection = connect_within(agent, trace, &mut patience).await?;
            patience.renew();
            return Ok(connection);
        }
        loop {
            self.screen.show(&printable(&format!("no host: {error}; trying again")))?;
            sleep(self.args.interval).await;
            match Connection::open(agent, trace.clone()).await {
                Ok(connection) => return Ok(connection),
                Err(again) if again.may_pass() => error = again,
                Err(again) => return Err(again),
            }
        }
    }
}

async fn look(connection: &mut Connection) -> Result<(Vec<Thing>, Vec<Thing>), Error> {
    let format = FnapFormat::Json;
    let flows = list(connection, &Command::GetFlows { namespace: None, format }).await?;
    let processors = list(connection, &Command::GetProcessors { format }).await?;
    Ok((flows, processors))
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
