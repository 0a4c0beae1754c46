//! The thread that reads the inputs and gathers their lines into batches.

use std::io::{ErrorKind, Read};
use std::sync::{Arc, MutexGuard, PoisonError};

use memchr::memchr;

use super::batch::Place;
use super::input::{Shared, State};
use super::line::Form;
use super::source::Source;
use crate::connection::MAX_LINE;
use crate::error::Error;

/// Whole batches read ahead: one is being sent while the next is being read.
const READ_AHEAD: usize = 2;

/// Bytes read at once.
pub(super) const CHUNK: usize = 256 << 10;

pub(super) struct Feeder {
    pub(super) shared: Arc<Shared>,
    pub(super) form: Form,
}

/// Nobody wants more.
struct Abandoned;

impl Feeder {
    pub(super) fn run(mut self, sources: Vec<Source>) {
        let mut fault = None;
        for (index, source) in sources.into_iter().enumerate() {
            match self.read(index, source) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    fault = Some(error);
                    break;
                }
                Err(Abandoned) => return,
            }
        }
        let mut state = self.shared.lock();
        state.ended = true;
        state.fault = fault;
        drop(state);
        self.shared.news.notify_one();
    }

    fn read(&mut self, index: usize, mut source: Source) -> Result<Result<(), Error>, Abandoned> {
        let mut buffer = vec![0; CHUNK];
        let (mut filled, mut line) = (0, 0);
        loop {
            let read = match source.reader.read(buffer.get_mut(filled..).unwrap_or_default()) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Ok(Err(Error::Unreadable {
                        path: source.name.into(),
                        reason: error.to_string(),
                    }));
                }
            };
            filled += read;
            let bytes = buffer.get(..filled).unwrap_or_default();
            let taken = match self.take_lines(index, &mut line, bytes, read == 0)? {
                Ok(taken) => taken,
                Err(reason) => {
                    return Ok(Err(Error::Input {
                        name: source.name,
                        line,
                        reason: reason.to_owned(),
                    }));
                }
            };
            self.shared.news.notify_one();
            if read == 0 {
                return Ok(Ok(()));
            }
            buffer.copy_within(taken..filled, 0);
            filled -= taken;
            if filled == buffer.len() {
                if filled >= MAX_LINE {
                    let reason = format!("a line over {MAX_LINE} bytes");
                    return Ok(Err(Error::Input { name: source.name, line: line + 1, reason }));
                }
                buffer.resize(filled * 2, 0);
            }
        }
    }

    /// Takes the whole lines of the bytes, at the end also the one without an end; says how many bytes
    /// those were.
    fn take_lines(
        &mut self,
        source: usize,
        line: &mut u64,
        bytes: &[u8],
        end: bool,
    ) -> Result<Result<usize, &'static str>, Abandoned> {
        let mut taken = 0;
        let mut state = self.shared.lock();
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let length = match memchr(b'\n', rest) {
                Some(at) => at,
                None if end => rest.len(),
                None => break,
            };
            *line += 1;
            let place = Place { source, line: *line };
            let text = trimmed(rest.get(..length).unwrap_or_default(), *line);
            match self.form.convert(text) {
                Ok(Some(event)) => state = push(&self.shared, state, place, event)?,
                Ok(None) => {}
                Err(reason) => return Ok(Err(reason)),
            }
            taken = (taken + length + 1).min(bytes.len());
        }
        Ok(Ok(taken))
    }
}

fn push<'a>(
    shared: &'a Shared,
    mut state: MutexGuard<'a, State>,
    place: Place,
    event: &[u8],
) -> Result<MutexGuard<'a, State>, Abandoned> {
    // The sender may take the open batch while this waits for room, so look again each time.
    while state.open.is_full_for(event.len()) {
        if state.whole.len() < READ_AHEAD {
            let batch = state.open.take();
            state.whole.push_back(batch);
            shared.news.notify_one();
        } else {
            state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.abandoned {
            return Err(Abandoned);
        }
    }
    state.open.push(place, event);
    Ok(state)
}

/// The line without its CR and, on the first line, without a byte-order mark.
fn trimmed(line: &[u8], number: u64) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
}
