//! Reads the inputs on a thread of its own and hands batches over.
//!
//! Files end batches at the same lines in every run. A pipe may be slow, so what has come of a batch is
//! handed over as soon as nothing else is under way, unless the caller wants repeatable batches.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use memchr::memchr;
use tokio::sync::Notify;

use super::batch::{Batch, Builder, Place};
use super::line::Form;
use crate::connection::MAX_LINE;
use crate::error::Error;

/// Whole batches read ahead: one is being sent while the next is being read.
const READ_AHEAD: usize = 2;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// One input.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) reader: Box<dyn Read + Send>,
}

impl Source {
    /// The files, or stdin where none is named. All are opened now, so that a wrong name is known before
    /// anything is written.
    pub(super) fn open(files: &[PathBuf], stdin: Box<dyn Read + Send>) -> Result<Vec<Self>, Error> {
        let mut stdin = Some(stdin);
        let dash = [PathBuf::from("-")];
        let files = if files.is_empty() { &dash } else { files };
        files.iter().map(|path| Self::open_one(path, &mut stdin)).collect()
    }

    fn open_one(path: &Path, stdin: &mut Option<Box<dyn Read + Send>>) -> Result<Self, Error> {
        if path == Path::new("-") {
            let twice = || Error::Usage("stdin (-) is named twice".to_owned());
            return Ok(Self { name: "stdin".to_owned(), reader: stdin.take().ok_or_else(twice)? });
        }
        let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(unreadable("a directory".to_owned()));
        }
        Ok(Self { name: path.display().to_string(), reader: Box::new(file) })
    }
}

/// Whether every file is a plain one, so that batches end at the same lines in every run.
pub(super) fn all_plain(files: &[PathBuf]) -> bool {
    !files.is_empty() && files.iter().all(|path| path.is_file())
}

/// What the input has for now.
#[derive(Debug)]
pub(super) enum Next {
    Batch(Batch),
    NotYet,
    End,
}

/// Batches of the inputs, from the thread that reads them.
pub(super) struct Input {
    shared: Arc<Shared>,
    // Whether a batch may be handed over before it is full.
    hasty: bool,
}

struct Shared {
    state: Mutex<State>,
    // The reader waits here until there is room, the sender until there is something.
    room: Condvar,
    news: Notify,
}

struct State {
    whole: VecDeque<Batch>,
    open: Builder,
    ended: bool,
    fault: Option<Error>,
    abandoned: bool,
}

impl Input {
    /// Begins to read.
    pub(super) fn start(sources: Vec<Source>, form: Form, hasty: bool) -> Self {
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let open = Builder::new(names.into());
        let state =
            State { whole: VecDeque::new(), open, ended: false, fault: None, abandoned: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            room: Condvar::new(),
            news: Notify::new(),
        });
        let feeder = Feeder { shared: Arc::clone(&shared), form };
        // Not joined: a read of a terminal cannot be interrupted, and the thread holds nothing that matters.
        drop(std::thread::spawn(move || feeder.run(sources)));
        Self { shared, hasty }
    }

    /// The next batch; one that is not full only when nothing else is under way (`idle`).
    pub(super) fn next(&self, idle: bool) -> Next {
        let mut state = self.shared.lock();
        if let Some(batch) = state.whole.pop_front() {
            self.shared.room.notify_one();
            return Next::Batch(batch);
        }
        if !state.open.is_empty() && (state.ended || (idle && self.hasty)) {
            return Next::Batch(state.open.take());
        }
        if state.ended { Next::End } else { Next::NotYet }
    }

    /// Waits until [`Self::next`] may have more.
    pub(super) async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// What was wrong with the input, once it has ended.
    pub(super) fn fault(&self) -> Option<Error> {
        self.shared.lock().fault.take()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.room.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Feeder {
    shared: Arc<Shared>,
    form: Form,
}

/// Nobody wants more.
struct Abandoned;

impl Feeder {
    fn run(mut self, sources: Vec<Source>) {
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
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn input(texts: &[&str], form: Form, hasty: bool) -> Input {
        let source = |(index, text): (usize, &&str)| Source {
            name: format!("{index}"),
            reader: Box::new(Cursor::new(text.as_bytes().to_vec())),
        };
        Input::start(texts.iter().enumerate().map(source).collect(), form, hasty)
    }

    async fn all(input: &Input) -> Vec<Batch> {
        let mut batches = Vec::new();
        loop {
            match input.next(false) {
                Next::Batch(batch) => batches.push(batch),
                Next::NotYet => input.news().await,
                Next::End => return batches,
            }
        }
    }

    #[tokio::test]
    async fn lines_of_several_inputs_go_on_in_one_batch_and_blank_lines_are_left_out() {
        let input =
            input(&["\u{feff}{\"a\":1}\r\n\n{\"a\":2}", "{\"a\":3}\n"], Form::Events, false);
        let batches = all(&input).await;
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].body, b"{\"a\":1}\r\n{\"a\":2}\r\n{\"a\":3}\r\n");
        assert_eq!(batches[0].origin(2), Some(("0", 3)));
        assert_eq!(batches[0].origin(3), Some(("1", 1)));
        assert!(input.fault().is_none());
    }

    #[tokio::test]
    async fn a_bad_line_ends_the_input_with_its_place_and_what_stood_before_is_kept() {
        let input = input(&["{}\n", "{}\n{}\n[1]\n{}\n"], Form::Events, false);
        let batches = all(&input).await;
        assert_eq!(batches.iter().map(|batch| batch.lines).sum::<u32>(), 3);
        let fault = input.fault().unwrap().to_string();
        assert!(fault.starts_with("1:3: a json array"), "{fault}");
    }

    #[tokio::test]
    async fn many_lines_become_many_batches_of_the_same_size_however_they_are_taken() {
        let text = "{\"n\":1}\n".repeat(512 * 5 + 1);
        let input = input(&[&text], Form::Events, false);
        let lines: Vec<u32> = all(&input).await.iter().map(|batch| batch.lines).collect();
        assert_eq!(lines, [512, 512, 512, 512, 512, 1]);
    }

    #[tokio::test]
    async fn a_line_longer_than_one_read_is_kept_whole() {
        let text = format!("{{\"d\":\"{}\"}}\n{{}}\n", "x".repeat(3 * CHUNK));
        let input = input(&[&text], Form::Events, false);
        let batches = all(&input).await;
        let lines: Vec<u32> = batches.iter().map(|batch| batch.lines).collect();
        assert_eq!(lines.iter().sum::<u32>(), 2);
        assert_eq!(batches.iter().map(|batch| batch.body.len()).sum::<usize>(), text.len() + 2);
    }

    struct Never;

    impl Read for Never {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            std::thread::park();
            Ok(0)
        }
    }

    #[tokio::test]
    async fn a_slow_input_hands_over_what_it_has_when_nothing_is_under_way() {
        let slow = Cursor::new(b"{}\n".to_vec()).chain(Never);
        let source = Source { name: "slow".to_owned(), reader: Box::new(slow) };
        let input = Input::start(vec![source], Form::Events, true);
        let batch = loop {
            match input.next(true) {
                Next::Batch(batch) => break batch,
                _ => input.news().await,
            }
        };
        assert_eq!(batch.lines, 1);
        assert!(matches!(input.next(true), Next::NotYet));
    }
}
