//! Writes to stdout on a thread of its own, so that a slow reader of it holds up nothing else.

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::output;

/// Chunks that may wait to be written: a few of a quarter of a megabyte each.
const WAITING: usize = 4;

/// stdout, in chunks.
pub(crate) struct Printer {
    chunks: mpsc::Sender<Vec<u8>>,
    // Taken when it is known.
    result: Option<oneshot::Receiver<io::Result<()>>>,
}

impl Printer {
    pub(crate) fn start(mut stdout: Box<dyn Write + Send>) -> Self {
        let (chunks, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
        let (ended, result) = oneshot::channel();
        drop(std::thread::spawn(move || {
            let mut write_all = || {
                while let Some(chunk) = waiting.blocking_recv() {
                    stdout.write_all(&chunk)?;
                    stdout.flush()?;
                }
                Ok(())
            };
            // Nobody may be waiting any more, which is no fault.
            drop(ended.send(write_all()));
        }));
        Self { chunks, result: Some(result) }
    }

    /// Hands a chunk over; waits while too much is waiting.
    pub(crate) async fn print(&mut self, chunk: Vec<u8>) -> Result<(), Error> {
        match self.chunks.send(chunk).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.fault().await),
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> Result<(), Error> {
        drop(self.chunks);
        match self.result {
            Some(result) => match result.await {
                Ok(Err(error)) => Err(output::failed(error)),
                Ok(Ok(())) | Err(_) => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Why the thread has ended.
    async fn fault(&mut self) -> Error {
        match self.result.take() {
            Some(result) => match result.await {
                Ok(Err(error)) => output::failed(error),
                Ok(Ok(())) | Err(_) => Error::OutputClosed,
            },
            None => Error::OutputClosed,
        }
    }
}
