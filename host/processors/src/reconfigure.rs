//! Another configuration for a processor that runs, without a restart: what its instances remember stays.
//!
//! Every shard is asked at a batch boundary and waits there until all have answered: all take it, or none.
//! Where a shard cannot be asked, because it begins again or its broker is away, the processor is started
//! anew with the configuration, as one is that cannot do this.

use std::sync::Arc;
use std::time::Duration;

use host_failpoints::failpoint;
use host_plugins::{CallError, Level};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::shard::Failure;
use crate::snapshots::ShardSnapshot;
use crate::spec::Spec;
use crate::worker::Worker;

/// How long all shards may take to answer. A command waits 20 seconds; what is left is for a start.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asked of a shard.
pub(crate) enum Ask {
    /// To take another configuration.
    Configuration(Other),
    /// What is committed.
    State(oneshot::Sender<ShardSnapshot>),
}

/// Another configuration.
pub(crate) struct Other {
    spec: Arc<Spec>,
    /// Whether it takes it; the words of a refusal.
    answer: oneshot::Sender<Result<(), String>>,
    /// Whether all do. Gone where one does not.
    verdict: oneshot::Receiver<()>,
}

/// What all shards together said.
pub(crate) enum Taken {
    /// All go on with the new configuration.
    Yes,
    /// All go on with the old one; why.
    No(String),
    /// Not all could be asked.
    Unasked,
}

/// Asks every shard.
pub(crate) async fn ask(shards: &[mpsc::Sender<Ask>], spec: &Arc<Spec>) -> Taken {
    let deadline = Instant::now() + PATIENCE;
    let mut asked = Vec::new();
    for shard in shards {
        let (answer, answered) = oneshot::channel();
        let (go, verdict) = oneshot::channel();
        let other = Other { spec: Arc::clone(spec), answer, verdict };
        // What was asked before, and nobody waits for any more, may still lie there.
        let sent = timeout_at(deadline, shard.send(Ask::Configuration(other))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Taken::Unasked;
        }
        asked.push((answered, go));
    }
    let mut verdicts = Vec::new();
    for (answered, go) in asked {
        match timeout_at(deadline, answered).await {
            Ok(Ok(Ok(()))) => verdicts.push(go),
            Ok(Ok(Err(words))) => return Taken::No(words),
            Ok(Err(_)) | Err(_) => return Taken::Unasked,
        }
    }
    failpoint!("processors.reconfigured");
    for go in verdicts {
        // One that has ended meanwhile begins with what it is told then.
        go.send(()).ok();
    }
    Taken::Yes
}

impl Worker<'_> {
    /// Answers what it is asked. Whether the instance takes another configuration, and then does what all do.
    pub(crate) async fn reconfigure(&mut self, ask: Ask) -> Result<(), Failure> {
        let Other { spec, answer, verdict } = match ask {
            Ask::Configuration(other) => other,
            Ask::State(answer) => {
                // Who has asked may have gone.
                if !answer.is_closed() {
                    // What a version took over is in the state when its first commit has ended.
                    self.drain().await?;
                    answer.send(self.committed_state()).ok();
                }
                return Ok(());
            }
        };
        if answer.is_closed() {
            return Ok(());
        }
        self.drain().await?;
        // One that was given back is asked, too: it may have to refuse.
        self.prepare().await?;
        let old = self.shard.spec.config.clone();
        if let Err(cause) = self.living.reconfigure(&spec.config).await {
            let alive = matches!(cause, CallError::Fatal(_));
            // Nobody listens any more where another one has refused already.
            answer.send(Err(cause.to_string())).ok();
            return if alive { Ok(()) } else { self.renew().await };
        }
        if answer.send(Ok(())).is_ok() && verdict.await.is_ok() {
            self.shard.spec = spec;
            self.shard.log.host_line(Level::Info, "took another configuration", &[]);
            if self.companion.is_some() {
                self.follow_shadow();
            }
            return Ok(());
        }
        if self.living.reconfigure(&old).await.is_err() {
            self.renew().await?;
        }
        Ok(())
    }

    /// Both change when a commit has ended, and that is between two wakes. No commit may be under way in which another
    /// version takes over.
    fn committed_state(&self) -> ShardSnapshot {
        let entries = |(key, value): (&bytes::Bytes, &bytes::Bytes)| (key.clone(), value.clone());
        let report = self.shard.status.report(self.shard.shard);
        ShardSnapshot {
            positions: report.positions,
            digest: self.plugin.digest().to_string(),
            version: self.plugin.info().version.clone(),
            entries: self.state.lock().base().map(entries).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::tests::idle_spec;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_does_not_stand_in_the_way() {
        let (shard, mut asks) = mpsc::channel(1);
        let (answer, _) = oneshot::channel();
        assert!(shard.try_send(Ask::State(answer)).is_ok());
        tokio::spawn(async move {
            while let Some(asked) = asks.recv().await {
                if let Ask::Configuration(other) = asked {
                    other.answer.send(Ok(())).ok();
                }
            }
        });
        let taken = ask(&[shard], &Arc::new(idle_spec())).await;
        assert!(matches!(taken, Taken::Yes));
    }
}
