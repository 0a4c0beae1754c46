//! `fnua logs`: what a processor's plugins logged and what the host did with it.
//!
//! The host keeps the last lines and gives each a number, so following is asking for what comes after the
//! last one. A host that was restarted begins to count again: then only what is later is shown.

use std::io::Write;
use std::time::Duration;

use fnap::Format as FnapFormat;
use fnap::command::Command;
use fnap::log::{LogEntry, LogItem};
use tokio::time::sleep;

use crate::cli::Format;
use crate::cli::looking::LogsArgs;
use crate::config::Agent;
use crate::connection::{Connection, Limit, Patience, connect, connect_within};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::run::Setting;
use crate::teller::Teller;

/// How often a follower asks: soon enough for somebody who looks, and little work for the host.
const POLL: Duration = Duration::from_millis(500);

/// Runs the command.
pub(crate) async fn logs(
    args: &LogsArgs,
    agent: &Agent,
    setting: &Setting,
    stdout: Box<dyn Write + Send>,
) -> Result<(), Error> {
    let mut interrupt = if args.follow { Interrupt::listen() } else { Interrupt::never() };
    let mut looking = Looking { args, setting, last: None, printer: Printer::start(stdout) };
    let result = tokio::select! {
        result = looking.run(agent) => result,
        () = interrupt.wait() => Ok(()),
    };
    let printed = tokio::select! {
        printed = looking.printer.finish() => printed,
        () = interrupt.wait() => Ok(()),
    };
    result.and(printed)
}

struct Looking<'a> {
    args: &'a LogsArgs,
    setting: &'a Setting,
    /// The last line that was seen: its number and its time.
    last: Option<(u64, String)>,
    printer: Printer,
}

impl Looking<'_> {
    async fn run(&mut self, agent: &Agent) -> Result<(), Error> {
        let mut connection = connect(agent, self.setting).await?;
        let teller = Teller::new(self.setting.words.clone());
        let mut patience = Patience::new(Duration::from_secs(self.args.retry_for), teller);
        let mut items = ask(&mut connection, self.args, self.args.since).await?;
        if let Some(lines) = self.args.lines {
            items.drain(..items.len().saturating_sub(lines));
        }
        self.show(items).await?;
        while self.args.follow {
            sleep(POLL).await;
            let error = match self.poll(&mut connection).await {
                Ok(()) => {
                    patience.renew();
                    continue;
                }
                Err(error) if error.may_pass() => error,
                Err(error) => return Err(error),
            };
            self.setting.trace.note(|| format!("C: {error}, connecting again"));
            connection = self.resume(agent, &mut patience, error).await?;
        }
        connection.quit().await;
        Ok(())
    }

    async fn poll(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let since = match &self.last {
            Some((seq, _)) => Some(seq.saturating_add(1)),
            None => self.args.since,
        };
        let items = ask(connection, self.args, since).await?;
        self.show(items).await
    }

    /// Goes on over another connection, where the host may be another one.
    async fn resume(
        &mut self,
        agent: &Agent,
        patience: &mut Patience,
        mut error: Error,
    ) -> Result<Connection, Error> {
        loop {
            if !patience.wait(Duration::ZERO, &error).await {
                return Err(error);
            }
            let mut connection = connect_within(agent, &self.setting.trace, patience).await?;
            connection.limit_answers(patience.limit());
            match ask(&mut connection, self.args, None).await {
                Ok(items) => {
                    connection.limit_answers(Limit::default());
                    let items = later(items, self.last.as_ref());
                    self.show(items).await?;
                    patience.renew();
                    return Ok(connection);
                }
                Err(again) if again.may_pass() => error = again,
                Err(again) => return Err(again),
            }
        }
    }

    async fn show(&mut self, items: Vec<LogItem>) -> Result<(), Error> {
        let mut chunk = String::new();
        for item in items {
            match self.setting.format {
                Format::Json => chunk += &item.to_json().to_string(),
                Format::Text | Format::Raw => chunk += &item.to_string(),
            }
            chunk.push('\n');
            if let LogItem::Line(LogEntry { seq, time, .. }) = item {
                self.last = Some((seq, time));
            }
        }
        if chunk.is_empty() { Ok(()) } else { self.printer.print(chunk.into_bytes()).await }
    }
}

async fn ask(
    connection: &mut Connection,
    args: &LogsArgs,
    since: Option<u64>,
) -> Result<Vec<LogItem>, Error> {
    let (processor, format) = (args.processor.clone(), FnapFormat::Json);
    let answer = connection.command(&Command::GetLog { processor, since, format }).await?;
    let item = |line: &String| {
        let wrong = || connection.protocol("a line that is no line of a log".to_owned());
        LogItem::from_json(line).ok_or_else(wrong)
    };
    answer.data.iter().map(item).collect()
}

/// What comes after the last line that was seen, out of everything that a host keeps: by its number,
/// where the host still has that very line, else by its time.
fn later(items: Vec<LogItem>, last: Option<&(u64, String)>) -> Vec<LogItem> {
    let Some((seq, time)) = last else { return items };
    let is_last = |item: &LogItem| matches!(item, LogItem::Line(line) if line.seq == *seq && line.time == *time);
    let same = items.iter().any(is_last);
    let is_later = |item: &LogItem| match item {
        LogItem::Line(line) if same => line.seq > *seq,
        LogItem::Line(line) => instant(&line.time) > instant(time),
        LogItem::Missed(_) => false,
    };
    items.into_iter().filter(is_later).collect()
}

fn instant(time: &str) -> Option<i64> {
    time.parse().ok().map(fnap::command::Timestamp::unix_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, second: u8) -> LogItem {
        LogItem::Line(LogEntry {
            seq,
            time: format!("2026-01-31T12:00:{second:02}Z"),
            level: "info".to_owned(),
            by_host: true,
            shard: None,
            message: String::new(),
            fields: Vec::new(),
        })
    }

    #[test]
    fn after_a_restart_of_the_host_only_what_is_later_is_shown() {
        let last = (7, "2026-01-31T12:00:30Z".to_owned());
        let kept = vec![line(6, 29), line(7, 30), line(8, 30)];
        assert_eq!(later(kept, Some(&last)), [line(8, 30)]);
        let restarted = vec![line(0, 40), line(1, 41)];
        assert_eq!(later(restarted.clone(), Some(&last)), restarted);
        assert_eq!(later(vec![line(7, 20), line(9, 45)], Some(&last)), [line(9, 45)]);
        assert_eq!(later(vec![line(1, 1)], None), [line(1, 1)]);
    }
}
