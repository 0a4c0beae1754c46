//! The few lines of HTTP that metrics and probes need: one request a connection, GET and HEAD only.
//!
//! No authentication and no TLS: it is for an address that only operators reach. Whoever connects is
//! hostile all the same: head, time and connections are limited, bodies are never read for their content.

mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use request::{Asked, Page, Refusal};

/// Connections at once: some scrapers and probes. Further ones are closed without a word.
const CONNECTIONS: usize = 32;

/// Time for the head of a request. A prober on the same network needs milliseconds.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time for an answer to be made. The longest wait within is that for a broker that hangs.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Time for a peer to take the answer.
const SEND_TIME: Duration = Duration::from_secs(20);

/// Octets of a head. Browsers with many cookies stay below.
const MAX_HEAD: usize = 8 * 1024;

/// What a peer still sends while it is answered; unread it would make the system cut the answer off.
const MAX_REST: u64 = 64 * 1024;

/// Time for that.
const REST_TIME: Duration = Duration::from_secs(1);

/// Wait after a failed accept, usually for want of file descriptors.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// What the pages say.
#[async_trait]
pub trait Pages: Send + Sync + 'static {
    /// `/metrics`, in the text format.
    async fn metrics(&self) -> String;
    /// `/livez`: what is broken so that only a new start helps; empty when nothing is.
    async fn not_alive(&self) -> Vec<String>;
    /// `/readyz`: why no work should be sent here now; empty when it may.
    async fn not_ready(&self) -> Vec<String>;
}

/// An address that is listened on.
#[derive(Debug)]
pub struct Door {
    socket: TcpListener,
}

struct Shared {
    pages: Arc<dyn Pages>,
    /// One page of metrics is made at a time: many scrapers must not cost more than one.
    scrape: Mutex<()>,
}

impl Door {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await? })
    }

    /// The address, with the port that was taken.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` becomes true or its sender is gone, then drops what is under way.
    pub async fn serve(self, pages: Arc<dyn Pages>, mut stop: watch::Receiver<bool>) {
        let shared = Arc::new(Shared { pages, scrape: Mutex::new(()) });
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
                Some(_) = tasks.join_next() => continue,
            };
            match (accepted, Arc::clone(&permits).try_acquire_owned()) {
                (Ok((stream, _)), Ok(permit)) => {
                    let shared = Arc::clone(&shared);
                    tasks.spawn(async move {
                        serve_one(stream, &shared).await;
                        drop(permit);
                    });
                }
                (Ok(_), Err(_)) => tracing::debug!("too many connections for metrics and probes"),
                (Err(error), _) => {
                    tracing::warn!(cause = %error, "a connection for metrics could not be accepted");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                }
            }
        }
    }
}

async fn serve_one(mut stream: TcpStream, shared: &Shared) {
    let asked = match timeout(HEAD_TIME, read_head(&mut stream)).await {
        Ok(Ok(asked)) => asked,
        Ok(Err(None)) => return,
        Ok(Err(Some(refusal))) => Err(refusal),
        Err(_) => Err(Refusal::TooSlow),
    };
    let answer = match asked {
        Ok(asked) => shared.answer(asked).await,
        Err(refusal) => refusal.answer(),
    };
    let sent = timeout(SEND_TIME, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    });
    if let Ok(Ok(())) = sent.await {
        let mut sink = tokio::io::sink();
        let mut rest = stream.take(MAX_REST);
        drop(timeout(REST_TIME, tokio::io::copy(&mut rest, &mut sink)).await);
    }
}

/// Reads until the head is there. `Err(None)` when the peer went away.
async fn read_head(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Result<Asked, Refusal>, Option<Refusal>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let room = MAX_HEAD.saturating_sub(head.len()) as u64;
        let read = (&mut *stream).take(room).read_buf(&mut head).await;
        match read {
            Ok(1..) => {}
            Ok(0) if room == 0 => return Err(Some(Refusal::TooLarge)),
            Ok(0) | Err(_) => return Err(None),
        }
        if let Some(asked) = request::parse(&head) {
            return Ok(asked);
        }
    }
}

impl Shared {
    async fn answer(&self, asked: Asked) -> Vec<u8> {
        let made = timeout(ANSWER_TIME, self.page(asked.page)).await;
        let (status, kind, body) = made.unwrap_or_else(|_| {
            (UNAVAILABLE, TEXT, "the host did not answer in time\n".to_owned())
        });
        response(status, kind, &[], &body, asked.head_only)
    }

    async fn page(&self, page: Page) -> (&'static str, &'static str, String) {
        match page {
            Page::Metrics => {
                let _one = self.scrape.lock().await;
                (OK, METRICS, self.pages.metrics().await)
            }
            Page::Live => probe(self.pages.not_alive().await),
            Page::Ready => probe(self.pages.not_ready().await),
        }
    }
}

/// `ok`, or one reason a line.
fn probe(reasons: Vec<String>) -> (&'static str, &'static str, String) {
    if reasons.is_empty() {
        return (OK, TEXT, "ok\n".to_owned());
    }
    let line = |reason: String| reason.replace(['\r', '\n'], " ") + "\n";
    (UNAVAILABLE, TEXT, reasons.into_iter().map(line).collect())
}

fn response(
    status: &str,
    kind: &str,
    more: &[(&str, &str)],
    body: &str,
    head_only: bool,
) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
        body.len()
    );
    for (name, value) in more {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    if !head_only {
        text += body;
    }
    text.into_bytes()
}

const OK: &str = "200 OK";
const UNAVAILABLE: &str = "503 Service Unavailable";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
