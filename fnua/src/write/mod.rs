//! `fnua write`: lines of files or stdin become WRITEs, each written once.
//!
//! Every batch has a token, made of the run's name and its number. What is not answered when a connection
//! breaks is sent again with the same token over the next one, in order, and the host answers what it has
//! already with its first answer.

mod batch;
mod feeder;
mod input;
mod line;
mod pump;
mod replies;
mod report;
mod rest;
mod sending;
mod source;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::time::Duration;

use fnap::{Code, Failure};

use crate::cli::Format;
use crate::cli::streams::WriteArgs;
use crate::config::Agent;
use crate::connection::{Connection, Patience, connect_first, connect_within};
use crate::error::{Error, may_pass};
use crate::interrupt::Interrupt;
use crate::run::Setting;
use input::{Input, Next};
use line::{Form, Wrapper};
use pump::{Ended, Job, Pump, Refused};
use report::Tally;
use source::Source;

/// Runs the command.
pub(crate) async fn write(
    args: &WriteArgs,
    agent: &Agent,
    setting: &Setting,
    stdin: Box<dyn Read + Send>,
    stdout: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let sources = Source::open(&args.files, stdin)?;
    let mut tally = Tally::start(setting.progress && !setting.quiet);
    let hint = format!("for {} s at most, as --retry-for says; Ctrl-C ends it", args.retry_for);
    let teller = tally.teller(setting.words.clone()).with_hint(&hint);
    let mut patience = Patience::new(Duration::from_secs(args.retry_for), teller.clone());
    let (connection, again) = connect_first(agent, setting, &mut patience).await?;
    tally.connected(again);
    let run = args.run_id.clone().map_or_else(random_run, Ok)?;
    let form = match setting.format {
        Format::Raw => Form::Raw(Wrapper::new(&run, &args.source, &args.r#type)),
        Format::Text | Format::Json => Form::Events,
    };
    // Batches that end where they happen to end cannot be repeated by another run.
    let hasty = args.run_id.is_none() && !source::all_plain(&args.files);
    let job = Job {
        flow: args.flow.clone(),
        run,
        input: Input::start(sources, form, hasty),
        unanswered: VecDeque::new(),
        window: usize::from(args.window),
        tally,
        teller,
    };
    let (repeatable, known, refused) = (!hasty, false, false);
    let mut writing = Writing { agent, setting, job, patience, repeatable, known, refused };
    let mut interrupt = Interrupt::listen_to_all();
    let result = tokio::select! {
        result = writing.run(connection) => result,
        () = interrupt.wait() => Err(Error::Interrupted("ended before it was through".to_owned())),
    };
    writing.job.tally.stop();
    writing.conclude(result, stdout).await
}

struct Writing<'a> {
    agent: &'a Agent,
    setting: &'a Setting,
    job: Job,
    patience: Patience,
    repeatable: bool,
    /// Whether the host knows who writes.
    known: bool,
    /// Whether it ends since the host has refused something for good.
    refused: bool,
}

impl Writing<'_> {
    async fn run(&mut self, connection: Connection) -> Result<(), Error> {
        let mut connection = Some(connection);
        let window = self.job.window;
        loop {
            let connected = match connection.take() {
                Some(connected) => connected,
                None if !self.more_to_send().await => break,
                None => self.connect_again().await?,
            };
            self.known = connected.mechanism().is_some();
            let before = self.job.tally.batches;
            let limit = self.patience.limit();
            let ended = Pump::new(&mut self.job, connected, limit).run().await;
            if self.job.tally.batches > before {
                self.patience.renew_time();
                self.job.window = window;
            }
            match ended {
                Ended::Done => break,
                Ended::Broken(reason) => self.after_break(reason).await?,
                Ended::Refused(refused) => self.after_refusal(refused).await?,
            }
        }
        self.job.input.fault().map_or(Ok(()), Err)
    }

    /// Whether there is something to send; waits for the input.
    async fn more_to_send(&mut self) -> bool {
        while self.job.unanswered.is_empty() {
            match self.job.input.next(true) {
                Next::Batch(batch) => self.job.unanswered.push_back(batch),
                Next::NotYet => self.job.input.news().await,
                Next::End => return false,
            }
        }
        true
    }

    async fn connect_again(&mut self) -> Result<Connection, Error> {
        self.job.tally.now("connecting again");
        let connection = connect_within(self.agent, &self.setting.trace, &mut self.patience).await;
        self.job.tally.now("");
        self.job.tally.reconnects += 1;
        connection
    }

    async fn after_break(&mut self, reason: String) -> Result<(), Error> {
        if self.job.unanswered.is_empty() {
            // Nothing is lost: a host closes a connection that waits for a slow input.
            return Ok(());
        }
        let error = Error::Broken { address: self.agent.address.to_string(), reason };
        if self.patience.wait(Duration::ZERO, &error).await { Ok(()) } else { Err(error) }
    }

    async fn after_refusal(&mut self, refused: Refused) -> Result<(), Error> {
        // Who was somebody and has to prove it anew does so on another connection; if he cannot, that ends it.
        let put_out = |failure: &Failure| self.known && failure.code == Code::AuthRequired;
        let passes = |failure: &Failure| may_pass(failure) || put_out(failure);
        let final_word = refused.batches.iter().find(|(_, failure)| !passes(failure));
        if let Some((batch, failure)) = final_word {
            let error = Error::Refused(failure.clone());
            self.refused = true;
            self.tell_refusal(batch_origin(batch, failure), &refused);
            return Err(error);
        }
        let Some((first, failure)) = refused.batches.first() else {
            return Ok(());
        };
        let (span, failure) = (first.span(), failure.clone());
        for written in &refused.written_behind {
            self.setting.words.say(&format!(
                "fnua: {span} was refused for now ({failure}) and comes after {written}"
            ));
        }
        for (batch, _) in refused.batches.into_iter().rev() {
            self.job.unanswered.push_front(batch);
        }
        // One at a time until the host takes them again: then none overtakes another.
        self.job.window = 1;
        self.job.tally.now("the host asks to wait");
        let least = Duration::from_secs(retry_after(&failure).unwrap_or(0));
        if self.patience.wait(least, &failure).await { Ok(()) } else { Err(failure.into()) }
    }

    fn tell_refusal(&self, origin: Option<String>, refused: &Refused) {
        let words = &self.setting.words;
        if let Some(origin) = origin {
            words.say(&format!("fnua: {origin} is the line that the host refused"));
        }
        let none = rest::spans(refused.batches.iter().map(|(batch, _)| batch));
        words.say(&format!("fnua: nothing of {none} was written"));
        for written in &refused.written_behind {
            words.say(&format!("fnua: {written} was sent ahead and was written"));
        }
    }

    async fn conclude(
        &mut self,
        result: Result<(), Error>,
        stdout: &mut (dyn Write + Send),
    ) -> Result<(), Error> {
        let Setting { words, quiet, format, .. } = self.setting;
        let ended = matches!(result, Err(Error::Interrupted(_)));
        if ended {
            // How much of it was sent nobody has kept.
            self.job.unanswered.iter_mut().for_each(|batch| batch.doubtful = true);
        }
        let flow = self.job.flow.as_str();
        let left = self.refused || !self.job.unanswered.is_empty() || (ended && self.repeatable);
        if result.is_err() && left {
            rest::tell(&self.job, self.repeatable, self.refused, words).await;
        }
        if !quiet || result.is_err() {
            words.say(&format!("fnua: {}", self.job.tally.summary(flow)));
        }
        if *format == Format::Json {
            let line = self.job.tally.json(flow, &self.job.run);
            writeln!(stdout, "{line}").map_err(Error::Output)?;
        }
        result
    }
}

/// The input line that the host's words name: the refusal counts lines of the batch from 1.
fn batch_origin(batch: &batch::Batch, failure: &Failure) -> Option<String> {
    let (name, line) = batch.origin(number_after(&failure.words, "line")?.try_into().ok()?)?;
    Some(format!("{name}:{line}"))
}

fn retry_after(failure: &Failure) -> Option<u64> {
    number_after(&failure.words, "retry-after")
}

/// The number that follows a word, as in `line 3` or `retry-after=5`.
fn number_after(words: &str, word: &str) -> Option<u64> {
    let (_, after) = words.split_once(word)?;
    let digits = after.strip_prefix([' ', '='])?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

fn random_run() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Usage(format!("no randomness for a run's name: {error}")))?;
    Ok(uuid::Uuid::from_bytes(bytes).simple().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_words_of_a_host() {
        assert_eq!(number_after("line 3: no id", "line"), Some(3));
        assert_eq!(number_after("slow down retry-after=17", "retry-after"), Some(17));
        assert_eq!(number_after("no number", "line"), None);
        assert_eq!(number_after("inline data", "line"), None);
    }
}
