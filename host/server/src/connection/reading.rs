//! A READ on its connection: the lines go out as fast as the peer takes them and his quota allows, until there
//! are no more, DONE comes, or something ends it from outside.
//!
//! What ends it also ends the lines that are gathered already: a reader whose right was taken away gets
//! the rest of the line that is on its way and no other, however slowly he reads.

use std::time::Duration;

use fnap::command::Read;
use fnap::name::Name;
use fnap::reply::Failure;
use fnap::rights::Right;
use fnap::server::Action;
use host_iam::{Grants, Principal, Seat, Standing};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Connection, Gone, ended, others_turn, stopping, taken, unwelcome};
use crate::input;
use crate::may;
use crate::perform::count;
use crate::read::{self, Chunk, Reading};

impl Connection {
    pub(super) async fn read(&mut self, principal: &Principal, command: Read) -> Result<(), Gone> {
        self.flush().await?;
        if let Err(failure) = self.metered(&command) {
            self.session.reply(failure.into());
            return Ok(());
        }
        let mut ends = Ends {
            stop: self.stop.clone(),
            standing: self.standing.take(),
            // From before he is asked for, so that no change is missed.
            rights: self.services.grants.subscribe(),
            grants: self.services.grants.clone(),
            principal: principal.clone(),
            flow: command.flow.clone(),
        };
        let started = read::start(&self.services, principal, &command).await;
        count(&self.services, &command, started.as_ref().err().map(|failure| failure.code));
        match started {
            Ok(reading) => {
                self.session.read_started();
                let outcome = self.carry(reading, command.follow, &mut ends).await?;
                self.session.read_ended(outcome);
            }
            Err(failure) => self.session.reply(failure.into()),
        }
        self.standing = ends.standing;
        Ok(())
    }

    async fn carry(
        &mut self,
        mut reading: Reading,
        follow: bool,
        ends: &mut Ends,
    ) -> Result<Result<(), Failure>, Gone> {
        // What he has read of late with another READ counts, too.
        let mut held_until = self.seat.as_ref().and_then(|seat| seat.read(0, 0));
        let mut over = false;
        loop {
            over |= self.is_done()?;
            if let Some(failure) = self.give(ends, &mut reading).await? {
                return Ok(Err(failure));
            }
            if over {
                return Ok(Ok(()));
            }
            let following = follow && self.session.wants_input();
            tokio::select! {
                biased;
                failure = ends.come() => return Ok(Err(failure)),
                // Before the events: DONE is heard also while there are always more of them.
                read = input::read(&mut self.stream, &mut self.session), if following => match read {
                    Ok(1..) => {}
                    Ok(0) => self.session.input_ended(),
                    Err(_) => return Err(Gone),
                },
                () = sleep_until(held_until.unwrap_or_else(Instant::now)), if held_until.is_some() => {
                    held_until = None;
                }
                chunk = reading.next_chunk(
                    &self.services.traffic,
                    self.seat.as_ref().and_then(Seat::share),
                    &mut self.out,
                ), if held_until.is_none() => match chunk {
                    Ok(Chunk { ended: true, .. }) => over = true,
                    Ok(Chunk { events, bytes, .. }) => {
                        held_until = self.seat.as_ref().and_then(|seat| seat.read(events, bytes));
                    }
                    Err(failure) => return Ok(Err(failure)),
                },
            }
        }
    }

    /// Gathers what the session says, and takes note of DONE.
    fn is_done(&mut self) -> Result<bool, Gone> {
        let mut done = false;
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Send(bytes) => self.out.extend_from_slice(&bytes),
                Action::StopFollowing => done = true,
                Action::Close => return Err(Gone),
                _ => {}
            }
        }
        Ok(done)
    }

    /// Sends what is gathered, or as much of it as may still be sent when something ends the READ. While
    /// nothing of it is taken, the reading keeps nothing that others need.
    async fn give(
        &mut self,
        ends: &mut Ends,
        reading: &mut Reading,
    ) -> Result<Option<Failure>, Gone> {
        let until = Instant::now() + self.options.stalled;
        let octets = self.out.len();
        let (mut given, mut ended) = (0, None);
        let mut patience = Instant::now() + STALLED;
        while let Some(rest @ [_, ..]) = self.out.get(given..) {
            tokio::select! {
                biased;
                failure = ends.come(), if ended.is_none() => {
                    ended = Some(failure);
                    cut(&mut self.out, given);
                }
                written = timeout_at(until, self.stream.write(rest)) => {
                    match taken(self.peer, written)? {
                        0 => return Err(Gone),
                        octets => given += octets,
                    }
                    patience = Instant::now() + STALLED;
                }
                () = sleep_until(patience) => {
                    reading.is_stalled();
                    patience = Instant::now() + STALLED;
                }
            }
        }
        // TLS may have kept some of it.
        let flushed = timeout_at(until, self.stream.flush()).await;
        taken(self.peer, flushed)?;
        self.out.clear();
        others_turn(octets).await;
        Ok(ended)
    }
}

/// Who takes nothing for so long makes no use of what was fetched for him, and gives it back if others need
/// the room. Shorter than anybody notices who waits for it.
const STALLED: Duration = Duration::from_millis(100);

/// What ends a READ from outside.
struct Ends {
    stop: watch::Receiver<bool>,
    standing: Option<Standing>,
    rights: watch::Receiver<u64>,
    grants: Grants,
    principal: Principal,
    flow: Name,
}

impl Ends {
    /// Waits for the first of them. May be dropped and called again.
    async fn come(&mut self) -> Failure {
        loop {
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => {
                    return stopping();
                }
                why = ended(&mut self.standing) => return unwelcome(why),
                Ok(()) = self.rights.changed() => {
                    if !self.grants.may(&self.principal, Right::Read, &self.flow) {
                        return may::forbidden(Right::Read, &self.flow);
                    }
                }
            }
        }
    }
}

/// Takes back what was not given, but for the rest of the line that was begun.
fn cut(out: &mut Vec<u8>, given: usize) {
    let begun =
        given.checked_sub(1).and_then(|last| out.get(last)).is_some_and(|last| *last != b'\n');
    let rest = out.get(given..).unwrap_or_default();
    let end = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |end| end + 1);
    out.truncate(if begun { given + end } else { given });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_gathered_only_the_line_that_was_begun_is_given_to_its_end() {
        let lines = b"220 DATA\r\n{\"a\":1}\r\n{\"b\":2}\r\n";
        for (given, left) in [(0, 0), (1, 10), (9, 10), (10, 10), (11, 19), (19, 19), (28, 28)] {
            let mut out = lines.to_vec();
            cut(&mut out, given);
            assert_eq!(out, lines[..left], "{given}");
        }
    }
}
