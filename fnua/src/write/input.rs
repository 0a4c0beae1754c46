//! Batches of the inputs, from the thread that reads them to the task that sends them.
//!
//! Files end batches at the same lines in every run. A pipe may be slow, so what has come of a batch is
//! handed over as soon as nothing else is under way, unless the caller wants repeatable batches.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::batch::{Batch, Builder};
use super::feeder::Feeder;
use super::line::Form;
use super::source::Source;
use crate::error::Error;

/// How long the end of an input is waited for that has nothing more: its reader may not have seen it yet.
const MOMENT: Duration = Duration::from_millis(500);

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

/// What the reading thread and the sending task share.
pub(super) struct Shared {
    state: Mutex<State>,
    // The reader waits here until there is room, the sender until there is something.
    pub(super) room: Condvar,
    pub(super) news: Notify,
}

pub(super) struct State {
    /// Batches that are full.
    pub(super) whole: VecDeque<Batch>,
    /// The batch that is being gathered.
    pub(super) open: Builder,
    /// Nothing more comes.
    pub(super) ended: bool,
    /// Why it ended before its time.
    pub(super) fault: Option<Error>,
    /// Nobody wants more.
    pub(super) abandoned: bool,
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

    /// Whether there are more lines, for who takes none any more. Of a pipe that is open and silent nobody knows: what may come
    /// there does not count.
    pub(super) async fn has_more(&self) -> bool {
        let more = async {
            loop {
                match self.next(true) {
                    Next::Batch(_) => return true,
                    Next::End => return false,
                    Next::NotYet => self.news().await,
                }
            }
        };
        tokio::time::timeout(MOMENT, more).await.unwrap_or(!self.hasty)
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
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::super::feeder::CHUNK;
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
