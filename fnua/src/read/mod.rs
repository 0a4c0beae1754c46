//! `fnua read`: the events of a flow on stdout, a line each, as the host sends them.
//!
//! Following, it notes where each event stood, and goes on from there after a broken connection.

mod position;
mod standing;

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fnap::command::{Command, MAX_PLACES, Timestamp};
use fnap::line::MAX_COMMAND;
use fnap::{Code, Event, Start};
use tokio::time::timeout;

use crate::cli::streams::ReadArgs;
use crate::config::Agent;
use crate::connection::{Connection, Limit, Patience, connect, connect_within};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::run::Setting;
use crate::teller::Teller;
use position::Positions;
use standing::Standing;

/// Bytes gathered before they go to stdout, where more has come at once.
const CHUNK: usize = 256 << 10;

/// A connection that lasted so long was a good one, even without an event.
const STEADY: Duration = Duration::from_secs(10);

/// How long a host may take to end a READ after `DONE`.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the command.
pub(crate) async fn read(
    args: &ReadArgs,
    agent: &Agent,
    setting: &Setting,
    stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    let mut reading = Reading {
        args,
        left: args.limit,
        began: now(),
        positions: Positions::new(),
        standing: Standing::default(),
        again: false,
        placed: false,
        plain: false,
        printer: Printer::start(stdout),
        interrupt: if args.follow { Interrupt::listen() } else { Interrupt::never() },
        chunk: Vec::new(),
    };
    let result = reading.run(agent, setting).await;
    let Reading { printer, mut interrupt, .. } = reading;
    // What came before the fault is still to be seen, unless nobody looks.
    let printed = tokio::select! {
        printed = printer.finish() => printed,
        () = interrupt.wait() => Ok(()),
    };
    result.and(printed)
}

struct Reading<'a> {
    args: &'a ReadArgs,
    /// How many events are still wanted.
    left: Option<u64>,
    began: Option<Timestamp>,
    positions: Positions,
    standing: Standing,
    /// Whether this is not the first connection.
    again: bool,
    /// Whether the READ under way names the places of several partitions.
    placed: bool,
    /// Whether the host does not know such a READ.
    plain: bool,
    printer: Printer,
    interrupt: Interrupt,
    chunk: Vec<u8>,
}

/// What a line or reply means for the loop.
#[derive(Debug)]
enum Step {
    On,
    Enough,
    End,
    Failed(Error),
}

impl Reading<'_> {
    async fn run(&mut self, agent: &Agent, setting: &Setting) -> Result<(), Error> {
        let mut connection = Some(connect(agent, setting).await?);
        let teller = Teller::new(setting.words.clone());
        let mut patience = Patience::new(Duration::from_secs(self.args.retry_for), teller);
        loop {
            let began = Instant::now();
            let attempt = async {
                let connection = match connection.take() {
                    Some(connection) => connection,
                    None => match self.connect_again(agent, setting, &mut patience).await? {
                        Some(connection) => connection,
                        None => return Ok(()),
                    },
                };
                self.over(connection, &mut patience).await
            };
            match attempt.await {
                Err(error) if self.args.follow && error.may_pass() => {
                    self.again = true;
                    if began.elapsed() >= STEADY {
                        patience.renew();
                    }
                    let pause = patience.wait(Duration::ZERO, &error);
                    let waited = tokio::select! {
                        waited = pause => waited,
                        () = self.interrupt.wait() => return Ok(()),
                    };
                    if !waited {
                        return Err(error);
                    }
                    setting.trace.note(|| format!("C: {error}, connecting again"));
                }
                Err(Error::Refused(failure)) if self.placed && failure.code == Code::BadFormat => {
                    self.plain = true;
                    self.placed = false;
                }
                result => return result,
            }
        }
    }

    /// None when interrupted.
    async fn connect_again(
        &mut self,
        agent: &Agent,
        setting: &Setting,
        patience: &mut Patience,
    ) -> Result<Option<Connection>, Error> {
        tokio::select! {
            connection = connect_within(agent, &setting.trace, patience) => connection.map(Some),
            () = self.interrupt.wait() => Ok(None),
        }
    }

    /// Reads over one connection.
    async fn over(
        &mut self,
        mut connection: Connection,
        patience: &mut Patience,
    ) -> Result<(), Error> {
        if self.left == Some(0) {
            return Ok(());
        }
        connection.limit_answers(patience.limit());
        let command = self.begin(&mut connection).await?;
        connection.send(&command).await?;
        connection.limit_answers(Limit::default());
        loop {
            let event = tokio::select! {
                event = connection.event() => event?,
                () = self.interrupt.wait() => return self.farewell(connection).await,
            };
            let mut step = self.take(&event, &connection);
            while matches!(step, Step::On) && self.chunk.len() < CHUNK {
                let Some(event) = connection.event_at_hand() else {
                    break;
                };
                step = self.take(&event, &connection);
            }
            if matches!(event, Event::DataStart) {
                patience.well();
            }
            if !self.chunk.is_empty() {
                patience.renew();
                self.print().await?;
            }
            match step {
                Step::On => {}
                Step::Failed(error) => return Err(error),
                Step::Enough if self.args.follow => return self.farewell(connection).await,
                Step::Enough | Step::End => {
                    connection.quit().await;
                    return Ok(());
                }
            }
        }
    }

    async fn begin(&mut self, connection: &mut Connection) -> Result<Command, Error> {
        let (flow, follow) = (self.args.flow.clone(), self.args.follow);
        if self.again {
            // The host would count what is left out here.
            let read = fnap::Read { follow, ..self.resume(connection).await? };
            self.placed = !read.places.is_empty();
            return Ok(Command::Read(read));
        }
        let from = self.first(connection).await?;
        Ok(Command::Read(fnap::Read { from, limit: self.left, follow, ..fnap::Read::new(flow) }))
    }

    /// Where the first connection begins; following, notes where the flow stands.
    async fn first(&mut self, connection: &mut Connection) -> Result<Option<Start>, Error> {
        if self.args.follow {
            self.standing = Standing::ask(connection, &self.args.flow).await?;
            if self.from() == Some(Start::Latest) {
                self.positions.begin_at(&self.standing.latest);
            }
        }
        Ok(self.from())
    }

    async fn print(&mut self) -> Result<(), Error> {
        let chunk = std::mem::take(&mut self.chunk);
        tokio::select! {
            printed = self.printer.print(chunk) => printed,
            // Who presses Ctrl-C while stdout is stuck wants to be gone.
            () = self.interrupt.wait() => Err(Error::OutputClosed),
        }
    }

    fn take(&mut self, event: &Event, connection: &Connection) -> Step {
        match event {
            Event::Data(line) => self.line(line),
            Event::DataStart => Step::On,
            Event::End | Event::Ok(_) => Step::End,
            Event::Failed(failure) => Step::Failed(connection.refused(failure.clone())),
            Event::Broken(error) => Step::Failed(connection.protocol(error.to_string())),
            other => Step::Failed(connection.protocol(format!("unexpected {other:?}"))),
        }
    }

    fn line(&mut self, line: &[u8]) -> Step {
        let fresh = !self.args.follow || self.positions.advance(line);
        if !fresh {
            return Step::On;
        }
        if self.left == Some(0) {
            return Step::Enough;
        }
        self.chunk.extend_from_slice(line.trim_ascii_end());
        self.chunk.push(b'\n');
        if let Some(left) = &mut self.left {
            *left -= 1;
            // The host ends a limited READ itself, unless it was asked for more than is wanted.
            if *left == 0 && self.again {
                return Step::Enough;
            }
        }
        Step::On
    }

    /// Ends a READ that follows; what comes before its end is still printed.
    async fn farewell(&mut self, mut connection: Connection) -> Result<(), Error> {
        connection.done().await?;
        let ended = timeout(FAREWELL, async {
            loop {
                let event = connection.event().await?;
                match self.take(&event, &connection) {
                    Step::End => return Ok(()),
                    Step::Failed(error) => return Err(error),
                    Step::On | Step::Enough => {}
                }
                if self.chunk.len() >= CHUNK {
                    self.print().await?;
                }
            }
        });
        // Whoever asked to stop does not want to wait for a host that does not.
        let ended = ended.await.unwrap_or(Ok(()));
        self.print().await?;
        ended?;
        connection.quit().await;
        Ok(())
    }

    /// Where to go on: each partition where it stood, and one that was not seen where all began. Where
    /// that cannot be said, more is read than is wanted, and what was seen is left out.
    async fn resume(&self, connection: &mut Connection) -> Result<fnap::Read, Error> {
        let standing = Standing::ask(connection, &self.args.flow).await?;
        if standing.incarnation != self.standing.incarnation {
            let words = format!("flow {} was deleted and made again", self.args.flow);
            return Err(fnap::Failure::new(fnap::Code::Conflict, words).into());
        }
        let read = fnap::Read::new(self.args.flow.clone());
        let begun = self.from();
        if !self.plain && !matches!(begun, Some(Start::Offset { .. })) {
            let places = self.places(&standing, begun);
            let read = match places.as_slice() {
                [] => None,
                [(partition, offset)] => {
                    let (partition, offset) = (*partition, *offset);
                    Some(fnap::Read {
                        from: Some(Start::Offset { partition, offset }),
                        ..read.clone()
                    })
                }
                _ => Some(fnap::Read { places, ..read.clone() }),
            };
            if let Some(read) = read.filter(|read| read.to_string().len() < MAX_COMMAND) {
                return Ok(read);
            }
        }
        let only =
            self.positions.only().map(|(partition, offset)| Start::Offset { partition, offset });
        let from = match begun {
            Some(Start::Offset { .. }) => only.or(begun),
            Some(Start::Latest) if self.positions.is_empty() => self.began.map(Start::Time),
            Some(Start::Latest) => Some(Start::Earliest),
            from => from,
        };
        Ok(fnap::Read { from, ..read })
    }

    /// The next offset of every partition; none where one of them cannot be said.
    fn places(&self, standing: &Standing, begun: Option<Start>) -> Vec<(u32, u64)> {
        let place = |(partition, earliest): (&u32, &u64)| {
            let unseen = match begun {
                // What is in a partition that came later was written later.
                Some(Start::Latest | Start::Earliest) => Some(*earliest),
                _ => None,
            };
            Some((*partition, self.positions.next(*partition).or(unseen)?))
        };
        let places: Option<Vec<_>> = standing.earliest.iter().map(place).collect();
        places.filter(|places| places.len() <= MAX_PLACES).unwrap_or_default()
    }

    /// Where the first connection begins: with --follow at what comes, unless told otherwise.
    fn from(&self) -> Option<Start> {
        self.args.from.or_else(|| self.args.follow.then_some(Start::Latest))
    }
}

fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).ok()?)
}
